"""A column's numbers while a block is encoded: compact, and written a few rows at a time.

Column by column, each row of a wide block would come to the cache once a column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.tables.categories import Indicators

Out = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Numbers:
    """A column as numbers, and what is missing.

    Attributes
    ----------
    values : (m,) or (m, k) array, `Indicators` or `Days`
    missing : (m,) bool array or None
        None where no value is.
    """

    values: Any
    missing: npt.NDArray[np.bool_] | None

    def put(self, first: int, last: int, columns: slice, marked: bool, out: Out) -> None:
        """Write those of some rows to their columns, of which the last may be for a mark.

        Parameters
        ----------
        first, last : int
            Rows.
        columns : slice
            Of ``out``.
        marked : bool
            Whether missing values have a mark.
        out : (last - first, d) float array
            C-contiguous, and zeros where nothing was written to.
        """
        if isinstance(self.values, Indicators | Days):
            self.values.put(first, last, columns.start, out)
        else:
            rows = self.values[first:last].reshape(last - first, -1)
            out[:, columns.start : columns.start + rows.shape[1]] = rows
        if marked and self.missing is not None:
            out[:, columns.stop - 1] = self.missing[first:last]


@dataclass(frozen=True, eq=False)
class Days:
    """Dates as their distance from one day, and a wave and its quarter for each cycle.

    Attributes
    ----------
    days : (m,) float64 array
    since : float
    cycles : sequence of float
        Their lengths, in days.
    missing : (m,) bool array or None
        Rows that are nowhere in a cycle.
    """

    days: npt.NDArray[np.float64]
    since: float
    cycles: Sequence[float]
    missing: npt.NDArray[np.bool_] | None

    def put(self, first: int, last: int, start: int, out: Out) -> None:
        """Write those of some rows to columns from ``start`` on."""
        days = self.days[first:last]
        out[:, start] = days - self.since
        for number, length in enumerate(self.cycles):
            turns = days * (1 / length)
            turns -= np.floor(turns)
            angle = (turns * (2 * np.pi)).astype(np.float32)
            out[:, start + 1 + 2 * number] = np.sin(angle)
            out[:, start + 2 + 2 * number] = np.cos(angle)
        if self.missing is not None:
            stop = start + 1 + 2 * len(self.cycles)
            out[self.missing[first:last], start + 1 : stop] = 0.0
