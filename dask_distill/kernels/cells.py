"""Cells of equal mass: halve a cloud of rows along its main direction until each part is small.

A representative of each cell, weighted by the rows that the cell holds, stands for the cloud.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# rows that vote on a cell's main direction; more do not change the cut
_DIRECTION_ROWS = 512
_POWER_ITERATIONS = 3


@dataclass(frozen=True)
class Cells:
    """A partition into cells: ``order[bounds[j]:bounds[j + 1]]`` are the rows of cell j."""

    order: Rows
    bounds: Rows

    def __len__(self) -> int:
        return len(self.bounds) - 1


def halve(
    X: Float, count: int, rng: np.random.Generator, mass: npt.NDArray[np.float64] | None = None
) -> Cells:
    """Split rows into ``count`` cells of equal mass by cuts across the main direction.

    Parameters
    ----------
    X : (n, d) float array
        n >= count.
    count : int
        Cells to make, at least 1; each gets one row or more.
    rng : numpy.random.Generator
        Draws the rows that vote on a direction, and which part of an odd split is larger.
    mass : (n,) float array > 0, optional
        What the cells share out equally; 1 a row where not given.

    Returns
    -------
    Cells

    Raises
    ------
    ValueError
        Where there are fewer rows than cells.

    References
    ----------
    Verma, Kpotufe, Dasgupta (2009), Which spatial partition trees are adaptive to intrinsic
    dimension? (PCA trees.)

    Examples
    --------
    >>> cells = halve(np.array([[0.0], [1.0], [9.0], [10.0]]), 2, np.random.default_rng(0))
    >>> sorted(sorted(part.tolist()) for part in np.split(cells.order, cells.bounds[1:-1]))
    [[0, 1], [2, 3]]
    """
    n = len(X)
    if not 1 <= count <= n:
        raise ValueError(f"count must be from 1 to the number of rows {n}, got {count}")
    if mass is None:
        mass = np.ones(n)
    order = np.arange(n, dtype=np.int64)
    bounds = [0]
    stack = [(0, n, count)]
    while stack:
        start, stop, parts = stack.pop()
        if parts == 1:
            bounds.append(stop)
            continue
        left_parts = parts // 2
        if parts % 2 and rng.random() < 0.5:
            left_parts += 1
        rows = order[start:stop]
        # for cells of a few rows methods cost half of what functions and operators do
        by_position = _positions(X.take(rows, axis=0), rng).argsort(kind="stable")
        order[start:stop] = rows = rows.take(by_position)
        cumulative = mass.take(rows).cumsum()
        cut = int(cumulative.searchsorted(cumulative[-1] * left_parts / parts)) + 1
        # each part must keep a row for each of its cells
        cut = min(max(cut, left_parts), stop - start - (parts - left_parts))
        stack.append((start + cut, stop, parts - left_parts))
        stack.append((start, start + cut, left_parts))
    return Cells(order, np.array(bounds, np.int64))


def representatives(
    X: Float,
    cells: Cells,
    rng: np.random.Generator,
    weight: npt.NDArray[np.float64] | None = None,
    near: float = 0.7,
) -> Rows:
    """Pick one row of each cell, such that together they have the mean of the whole cloud.

    No row is the mean of its cell. What a pick is off by, times the rows that it stands for, is
    carried on to the next cell, as an image is dithered: neighbours make up for each other.

    Parameters
    ----------
    X : (n, d) float array
    cells : Cells
    rng : numpy.random.Generator
        Draws what is carried into the first cell.
    weight : (n,) float array > 0, optional
        Rows that each row stands for; 1 where not given.
    near : float
        The part of a cell to pick from, by distance to its mean: 0 picks the medoid-like
        nearest row, 1 any row.

    Returns
    -------
    (len(cells),) int64 array of row positions.

    References
    ----------
    Welling (2009), Herding dynamical weights to learn.
    Floyd, Steinberg (1976), An adaptive algorithm for spatial greyscale.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [9.0], [10.0]])
    >>> cells = Cells(np.arange(4), np.array([0, 2, 4]))
    >>> float(X[representatives(X, cells, np.random.default_rng(0), near=1)].mean())
    5.0
    """
    picks = np.empty(len(cells), np.int64)
    first = cells.order[: cells.bounds[1]]
    carried = len(first) * (_mean(X[first]) - X[first[rng.integers(len(first))]])
    for cell in range(len(cells)):
        rows = cells.order[cells.bounds[cell] : cells.bounds[cell + 1]]
        if len(rows) == 1:
            picks[cell] = rows[0]
            continue
        cloud = X.take(rows, axis=0)
        own = None if weight is None else weight.take(rows)
        size = X.dtype.type(len(rows) if own is None else own.sum())
        cloud -= _mean(cloud, own)
        distance = np.einsum("ij,ij->i", cloud, cloud)
        candidates = max(1, math.ceil(len(rows) * near))
        if len(rows) == 2 and weight is None and near > 0:
            # two rows are equally near to their mean
            candidates = 2
        nearest = distance.argsort(kind="stable")[:candidates]
        # |carried + size offset|^2 but for what is the same for all
        off_by = 2 * cloud.take(nearest, axis=0).dot(carried) + size * distance.take(nearest)
        best = nearest[int(off_by.argmin())]
        picks[cell] = rows[best]
        carried = carried + size * cloud[best]
    return picks


def totals(cells: Cells, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sum values over each cell.

    Parameters
    ----------
    cells : Cells
    values : (n,) float array

    Returns
    -------
    (len(cells),) float64 array.
    """
    return np.add.reduceat(values[cells.order], cells.bounds[:-1])


def _positions(cloud: Float, rng: np.random.Generator) -> Float:
    """Where each row lies along the main direction; ``cloud`` is centred in place."""
    voters = cloud
    if len(cloud) > _DIRECTION_ROWS:
        voters = cloud[rng.integers(0, len(cloud), _DIRECTION_ROWS)]
    # an offset far above the spread would drown it
    centre = _mean(voters)
    cloud -= centre
    return cloud.dot(_main_direction(cloud if voters is cloud else voters - centre))


def _main_direction(centred: Float) -> Float:
    """First principal direction of rows around the origin, by a few power iterations."""
    squared = np.einsum("ij,ij->i", centred, centred)
    direction = centred[int(squared.argmax())]
    for turn in range(_POWER_ITERATIONS + 1):
        if turn:
            direction = centred.T.dot(centred.dot(direction))
        length = np.sqrt(direction.dot(direction))
        if not length > 1e-30:
            # all rows alike: any direction serves
            direction = np.zeros(centred.shape[1], centred.dtype)
            direction[0] = 1
            return direction
        direction = direction / length
    return direction


def _mean(cloud: Float, weight: npt.NDArray[np.float64] | None = None) -> Float:
    """Mean row, added up in float64: (d,) in the type of the rows."""
    # called for every cell: what `numpy.average` does beside it takes longer than the sums
    if weight is None:
        mean = np.add.reduce(cloud, axis=0, dtype=np.float64)
        mean /= len(cloud)
    else:
        mean = np.add.reduce(cloud * weight[:, None], axis=0)
        mean /= np.add.reduce(weight)
    return mean.astype(np.float32) if cloud.dtype == np.float32 else mean
