"""Where rows stand in tiles that are cut by global row number, whichever of them are here.

What BLAS gives for a row hangs on the shape of the product and on the row's place in it. A run
of rows that begins or ends within a tile, or lacks some, is put at its places among zeros.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tile:
    """Some granules side by side.

    Attributes
    ----------
    rows : slice
        Which of the rows lie here.
    numbers : (p,) int64 array
        The row number of each place.
    at : (m,) int array or None
        The rows' places; None where all are taken.
    """

    rows: slice
    numbers: Rows
    at: npt.NDArray[np.integer] | None

    def placed(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Values of all rows, brought to the places of this tile: (p, ...)."""
        mine = values[self.rows]
        if self.at is None:
            return mine
        out = np.zeros((len(self.numbers), *values.shape[1:]), values.dtype)
        out[self.at] = mine
        return out

    def taken(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Of values by place, those of the rows: (m, ...)."""
        return values if self.at is None else values[self.at]


@dataclass(frozen=True)
class Places:
    """Places of rows in those granules that hold some of them.

    Attributes
    ----------
    slots : (m,) int64 array, ascending
    granules : (g,) int64 array
        The number of each granule, ascending.
    rows : int
        Places in a granule.
    """

    slots: Rows
    granules: Rows
    rows: int

    @classmethod
    def of(cls, numbers: Rows, rows: int) -> "Places":
        """Of rows by their numbers, ascending, in granules of ``rows``.

        Examples
        --------
        >>> Places.of(np.array([5, 6, 12]), 4).slots
        array([1, 2, 4])
        """
        if len(numbers) and numbers[-1] - numbers[0] == len(numbers) - 1:
            # one run, as mostly: nothing to look for
            low, high = int(numbers[0]) // rows, int(numbers[-1]) // rows
            return cls(numbers - low * rows, np.arange(low, high + 1), rows)
        mine = numbers // rows
        first = np.diff(mine, prepend=-1) > 0
        return cls((np.cumsum(first) - 1) * rows + numbers % rows, mine[first], rows)

    @property
    def size(self) -> int:
        """Places in all."""
        return len(self.granules) * self.rows

    def tiles(self, most: int) -> Iterator[Tile]:
        """Granules side by side, of at most so many places, or one."""
        together = max(1, most // self.rows)
        within = np.arange(self.rows)
        for start in range(0, len(self.granules), together):
            granules = self.granules[start : start + together]
            low = start * self.rows
            numbers = (granules[:, None] * self.rows + within).ravel()
            a, b = np.searchsorted(self.slots, [low, low + len(numbers)]).tolist()
            at = None if b - a == len(numbers) else self.slots[a:b] - low
            yield Tile(slice(a, b), numbers, at)
