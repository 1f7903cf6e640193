"""A grid so fine that rows of one cell are neighbours: what density can be told from counts.

The side of a cell is eps / sqrt(axes), a hair less, so that two rows of one cell are at most eps
apart. Neighbours of a row are in cells whose boxes are at most eps away.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# rounding must not part what belongs together, nor join what does not
_SLACK = 1e-6


def cells_of(Z: Floats, eps: float) -> Ints:
    """Coordinates of each row's cell.

    Parameters
    ----------
    Z : (n, r) float64 array
    eps : float > 0

    Returns
    -------
    (n, r) int64 array.

    Examples
    --------
    >>> cells_of(np.array([[0.5], [1.5], [-0.5]]), 1.0).ravel()
    array([ 0,  1, -1])
    """
    side = eps / np.sqrt(Z.shape[1]) * (1 - _SLACK)
    return np.floor(Z / side).astype(np.int64)


def unique_cells(cells: Ints, counts: Ints | None = None) -> tuple[Ints, Ints, Ints]:
    """Distinct cells in lexicographic order.

    Parameters
    ----------
    cells : (n, r) int64 array
    counts : (n,) int64 array, optional
        1 each where not given.

    Returns
    -------
    distinct : (c, r) int64 array
    totals : (c,) int64 array
        Sums of the counts.
    place : (n,) int64 array
        Position of each cell among the distinct ones.
    """
    order = np.lexsort(cells.T[::-1])
    ordered = cells[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    place = np.empty(len(order), np.int64)
    place[order] = np.cumsum(fresh) - 1
    distinct = ordered[fresh]
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, place, np.ones(len(order), np.int64) if counts is None else counts)
    return distinct, totals, place


@dataclass(frozen=True)
class CellTable:
    """All cells that are not empty, as sorted numbers; neighbours are at fixed steps.

    Along each axis, gaps longer than any neighbourhood are cut short, so that numbers stay small.

    Attributes
    ----------
    keys : (C,) int64 array, ascending
    coordinates, codes : by axis, the coordinates there are, and their numbers
    strides : (r,) int64 array
    """

    keys: Ints
    coordinates: tuple[Ints, ...]
    codes: tuple[Ints, ...]
    strides: Ints

    @classmethod
    def of(cls, cells: Ints) -> "CellTable":
        """Number distinct cells that are in lexicographic order.

        Raises
        ------
        OverflowError
            Where there are too many to number.
        """
        axes = cells.shape[1]
        reach = _reach(axes)
        coordinates, codes, sizes = [], [], []
        for axis in range(axes):
            there = np.unique(cells[:, axis])
            gaps = np.minimum(np.diff(there, prepend=there[:1]), reach + 1)
            coordinates.append(there)
            codes.append(np.cumsum(gaps))
            sizes.append(int(codes[-1][-1]) + 1 + reach)
        strides = [1]
        for size in sizes[:0:-1]:
            strides.insert(0, strides[0] * size)
        if strides[0] * sizes[0] >= 2**62:
            raise OverflowError("too many cells to number")
        table = cls(np.empty(0, np.int64), tuple(coordinates), tuple(codes), np.array(strides))
        return cls(table.encode(cells), table.coordinates, table.codes, table.strides)

    def encode(self, cells: Ints) -> Ints:
        """Numbers of cells that are in the table."""
        keys = np.zeros(len(cells), np.int64)
        for axis, stride in enumerate(self.strides.tolist()):
            at = np.searchsorted(self.coordinates[axis], cells[:, axis])
            keys += self.codes[axis][at] * stride
        return keys

    def place(self, cells: Ints) -> Ints:
        """Positions of cells in the table."""
        return np.searchsorted(self.keys, self.encode(cells))

    def neighbors(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield pairs of positions whose boxes are at most eps apart, each once, near ones first.

        Yields
        ------
        left, right : (p,) int64 arrays
            A batch; a cell with itself is not among them.
        """
        for offset in _offsets(len(self.strides)):
            wanted = self.keys + int(offset @ self.strides)
            at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
            left = np.flatnonzero(self.keys[at] == wanted)
            if len(left):
                yield left, at[left]


def _reach(axes: int) -> int:
    """Cells along one axis that a neighbour may be away."""
    return int(np.floor(np.sqrt(axes) * (1 + 4 * _SLACK))) + 1


def _offsets(axes: int) -> Ints:
    """Steps to neighbours on one side, by how far the boxes are apart."""
    reach = range(-_reach(axes), _reach(axes) + 1)
    steps = np.array(list(itertools.product(reach, repeat=axes)), np.int64)
    steps = steps[len(steps) // 2 + 1 :]
    apart = (np.maximum(np.abs(steps) - 1, 0) ** 2).sum(axis=1)
    near = apart * (1 - 4 * _SLACK) <= axes
    steps, apart = steps[near], apart[near]
    return steps[np.lexsort((np.abs(steps).sum(axis=1), apart))]
