"""Cells of equal mass: halve a cloud of rows along its main direction until each part is small.

A representative of each cell, weighted by the rows that the cell holds, stands for the cloud.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Values = TypeVar("Values", bound=npt.NDArray[np.floating])

# rows that vote on a cell's main direction; more do not change the cut
_DIRECTION_ROWS = 512
_POWER_ITERATIONS = 3
# values that are worked on at once: what the processor keeps at hand
_VALUES = 2**19
# cells that are cut in one go differ in size by no more than this factor
_SIMILAR = 1.5


@dataclass(frozen=True)
class Cells:
    """A partition into cells: ``order[bounds[j]:bounds[j + 1]]`` are the rows of cell j."""

    order: Rows
    bounds: Rows

    def __len__(self) -> int:
        return len(self.bounds) - 1


class Room:
    """Memory that is used again for every cell and class: new arrays would cost page faults."""

    def __init__(self) -> None:
        self._values: dict[tuple[np.dtype[Any], int], Any] = {}

    def take(self, X: Values, rows: Rows, place: int = 0) -> Values:
        """``X[rows]``, until the next call for the same place."""
        count = rows.size * X.shape[1]
        values = self._values.get((X.dtype, place))
        if values is None or len(values) < count:
            values = self._values[X.dtype, place] = np.empty(max(count, _VALUES), X.dtype)
        out: Any = values[:count].reshape(*rows.shape, X.shape[1])
        # any other mode goes by way of a copy
        X.take(rows, axis=0, out=out, mode="clip")
        return out


def halve(
    X: Float,
    count: int,
    rng: np.random.Generator,
    mass: npt.NDArray[np.float64] | None = None,
    room: Room | None = None,
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
    room : Room, optional
        Where calls that follow each other share one.

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
    bounds, parts = np.array([0, n], np.int64), np.array([count], np.int64)
    room = room or Room()
    # squares may overflow, and BLAS raises flags for what it reads beyond the rows
    with np.errstate(over="ignore", invalid="ignore"):
        # level by level: to cut many small cells takes hardly more calls than to cut one
        while (divided := np.flatnonzero(parts > 1)).size:
            starts, sizes = bounds[:-1], np.diff(bounds)
            left = parts // 2
            left[divided] += (parts[divided] % 2) & (rng.random(len(divided)) < 0.5)
            cuts = np.zeros_like(starts)
            for some in _similar(divided, sizes, X.shape[1]):
                level = _Level(starts[some], sizes[some], left[some], parts[some])
                cuts[some] = level.cut(X, mass, order, room, rng)
            # each cell that is cut makes place for one behind it
            halves = np.repeat(np.arange(len(parts)), np.minimum(parts, 2))
            behind = np.flatnonzero(halves[1:] == halves[:-1]) + 1
            bounds = np.append(starts[halves], n)
            bounds[behind] += cuts[divided]
            whole, parts = parts, left[halves]
            parts[behind] = (whole - left)[divided]
    return Cells(order, bounds)


def representatives(
    X: Float,
    cells: Cells,
    rng: np.random.Generator,
    weight: npt.NDArray[np.float64] | None = None,
    near: float = 0.7,
    room: Room | None = None,
    choices: int | None = None,
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
    room : Room, optional
        Where calls that follow each other share one.
    choices : int, optional
        Of that part so many rows, drawn over all distances, are chosen from: all unless given.
        The more, the nearer to the middle of large cells the picks are, and outskirts are missed.

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
    sizes = np.diff(cells.bounds)
    allowed = np.maximum(1, np.ceil(sizes * near)).astype(np.int64)
    if weight is None and near > 0:
        # two rows are equally near to their mean
        allowed[sizes == 2] = 2
    room = room or Room()
    begun = None if choices is None else rng.random(len(cells))
    for run in _runs(sizes * X.shape[1]):
        rows = cells.order[cells.bounds[run.start] : cells.bounds[run.stop]]
        own = None if weight is None else weight[rows]
        # squares may overflow
        with np.errstate(over="ignore", invalid="ignore"):
            counts = allowed[run]
            near_rows, offsets = _nearest(room.take(X, rows), sizes[run], counts, own, room)
            if choices is not None and begun is not None and counts.max() > choices:
                drawn, counts = _drawn(counts, choices, begun[run])
                near_rows, offsets = near_rows[drawn], offsets[drawn]
            # |carried + offset|^2 / 2 but for what is the same for all
            off_by = np.einsum("ij,ij->i", offsets, offsets) / 2
            stop = 0
            best = []
            for count in counts.tolist():
                start, stop = stop, stop + count
                along = offsets[start:stop].dot(carried)
                along += off_by[start:stop]
                best.append(start + int(along.argmin()))
                carried += offsets[best[-1]]
            picks[run] = rows[near_rows[best]]
    return picks


def totals(cells: Cells, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sum (n,) values over each cell: (len(cells),) float64."""
    return np.add.reduceat(values[cells.order], cells.bounds[:-1])


def _similar(which: Rows, sizes: Rows, d: int) -> Iterator[Rows]:
    """Groups of cells of about the same size, of not too many values; large ones alone."""
    which = which[sizes[which].argsort(kind="stable")]
    ordered = sizes[which]
    start = 0
    while start < len(which):
        stop = start + 1
        largest = int(_SIMILAR * ordered[start])
        if ordered[start] <= _DIRECTION_ROWS:
            most = max(1, _VALUES // (largest * d))
            stop = min(start + most, int(ordered.searchsorted(largest, side="right")))
        yield which[start:stop]
        start = stop


def _runs(values: Rows) -> Iterator[slice]:
    """Runs of cells of not too many values, or of one."""
    ends = values.cumsum()
    start = 0
    while start < len(values):
        most = _VALUES + (ends[start - 1] if start else 0)
        stop = max(start + 1, int(ends.searchsorted(most, side="right")))
        yield slice(start, stop)
        start = stop


@dataclass(frozen=True)
class _Level:
    """Cells that are cut in one go: first row, rows, and parts that go to the left and in all."""

    starts: Rows
    sizes: Rows
    left: Rows
    parts: Rows

    def cut(
        self,
        X: Float,
        mass: npt.NDArray[np.float64],
        order: Rows,
        room: Room,
        rng: np.random.Generator,
    ) -> Rows:
        """Arrange each cell's rows along its main direction: how many go to the left."""
        place = np.arange(self.sizes.max())
        within = place < self.sizes[:, None]
        starts = self.starts[:, None]
        # shorter cells repeat their first row
        at = starts + np.where(within, place, 0)
        positions = _positions(room.take(X, order[at]), within, room, rng)
        if not np.isfinite(positions).all():
            np.nan_to_num(positions, copy=False)
        positions[~within] = np.inf
        rows = order[starts + np.where(within, _stable_argsort(positions), 0)]
        order[at[within]] = rows[within]
        cumulative = np.where(within, mass[rows], 0.0).cumsum(axis=1)
        wanted = cumulative[:, -1] * self.left / self.parts
        cuts = (cumulative < wanted[:, None]).sum(axis=1) + 1
        # each part must keep a row for each of its cells
        return np.maximum(np.minimum(cuts, self.sizes - (self.parts - self.left)), self.left)


def _positions(
    cloud: Float, within: npt.NDArray[np.bool_], room: Room, rng: np.random.Generator
) -> Float:
    """Where rows lie along the main direction of their cell; ``cloud`` is centred in place.

    Parameters
    ----------
    cloud : (cells, m, d) float array
    within : (cells, m) bool array
        Which rows are the cell's own.
    room : Room
    rng : numpy.random.Generator
        Draws the rows that vote, where there is one cell of many.
    """
    voters: Any = cloud
    voting: Any = within.astype(cloud.dtype)
    if len(cloud) == 1 and cloud.shape[1] > _DIRECTION_ROWS:
        drawn = rng.integers(0, cloud.shape[1], _DIRECTION_ROWS)
        voters = room.take(cloud[0], drawn, place=3)[None]
        voting = np.ones(voters.shape[:2], cloud.dtype)
    # an offset far above the spread would drown it
    centre = _per_cell(voting / voting.sum(axis=1, keepdims=True), voters)[:, None]
    cloud -= centre
    if voters is not cloud:
        voters -= centre
    direction = _main_directions(voters, voting)
    return np.matmul(cloud, direction[:, :, None])[:, :, 0]


def _stable_argsort(values: Float) -> Rows:
    """``values.argsort(axis=1, kind="stable")`` of numbers that are not NaN."""
    if values.dtype != np.float32:
        return values.argsort(axis=1, kind="stable")
    # integers that hold value and place are sorted several times faster
    bits = (values + np.float32(0)).view(np.int32)  # -0 is 0
    bits ^= (bits >> 31) & 0x7FFFFFFF
    keys = bits.astype(np.int64) << 32
    keys |= np.arange(values.shape[1])
    keys.sort(axis=1)
    keys &= 0xFFFFFFFF
    return keys


def _main_directions(centred: Float, voting: Float) -> Float:
    """First principal direction of each cell's rows around the origin, by power iterations."""
    squared = np.einsum("bij,bij->bi", centred, centred) * voting
    directions = centred[np.arange(len(centred)), squared.argmax(axis=1)]
    for turn in range(_POWER_ITERATIONS + 1):
        if turn:
            along = np.matmul(centred, directions[:, :, None])[:, :, 0]
            directions = _per_cell(along * voting, centred)
        length = np.sqrt(np.einsum("bj,bj->b", directions, directions))
        # where all rows are alike any direction serves
        alike = ~(length > 1e-30)
        if alike.any():
            directions[alike] = np.eye(1, centred.shape[2])
            length[alike] = 1
        directions /= length[:, None]
    return directions


def _per_cell(values: Float, clouds: Float) -> Float:
    """Sum of each cell's rows times their values: (cells, d)."""
    return np.matmul(values[:, None, :], clouds)[:, 0]


def _nearest(
    cloud: Float,
    sizes: Rows,
    allowed: Rows,
    weight: npt.NDArray[np.float64] | None,
    room: Room,
) -> tuple[Rows, Float]:
    """The rows of each cell that are nearest to its mean; ``cloud`` is centred in place.

    Returns
    -------
    (k,) int64 array
        So many positions for each cell as are allowed, nearest first.
    (k, d) float array
        How far the cell would be off with each for its mean: offset times the rows it stands for.
    """
    from scipy.sparse import csr_array

    m = len(cloud)
    starts = np.cumsum(sizes) - sizes
    cell = np.repeat(np.arange(len(sizes)), sizes)
    # an offset far above the spread would drown it
    cloud -= room.take(cloud, starts[cell], place=1)
    stand_for = sizes if weight is None else np.add.reduceat(weight, starts)
    counts = np.ones(m, cloud.dtype) if weight is None else weight
    # ten times as fast as reduceat along rows
    total = csr_array((counts, np.arange(m), np.append(starts, m)), (len(sizes), m)) @ cloud
    mean: Any = (total / stand_for[:, None]).astype(cloud.dtype)
    cloud -= room.take(mean, cell, place=1)
    nearest = _within_cells(cell, np.einsum("ij,ij->i", cloud, cloud))
    nearest = nearest[np.arange(len(cell)) - starts[cell] < allowed[cell]]
    offsets = room.take(cloud, nearest, place=1)
    offsets *= stand_for[cell[nearest], None].astype(cloud.dtype)
    return nearest, offsets


def _drawn(counts: Rows, choices: int, begun: npt.NDArray[np.float64]) -> tuple[Rows, Rows]:
    """Places of at most so many rows of each cell, evenly over its ranks, and how many they are."""
    fewer = np.minimum(counts, choices)
    cell = np.repeat(np.arange(len(counts)), fewer)
    place = np.arange(len(cell)) - (np.cumsum(fewer) - fewer)[cell]
    at = np.floor((place + begun[cell]) * (counts / fewer)[cell]).astype(np.int64)
    at = np.where(counts[cell] > choices, np.minimum(at, counts[cell] - 1), place)
    return (np.cumsum(counts) - counts)[cell] + at, fewer


def _within_cells(cell: Rows, squared: Float) -> Rows:
    """``np.lexsort((squared, cell))`` for cells that ascend and values from 0."""
    if squared.dtype != np.float32:
        return np.lexsort((squared, cell))
    # as integers such values keep their order, NaN last
    keys = cell.astype(np.int64) << 32
    keys |= np.abs(squared).view(np.int32)
    return keys.argsort(kind="stable")


def _mean(cloud: Float) -> Float:
    """Mean row, added up in float64: (d,) in the type of the rows."""
    return cloud.mean(axis=0, dtype=np.float64).astype(cloud.dtype)
