"""A table where it lies: parts that workers read as Arrow tables, and rows of them by number.

Knows Arrow's types and no file format. A part is an object that travels, or a dask task that
gives one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Rows = npt.NDArray[np.int64]
# of a table in memory, rows that are copied at a time
_COPIED = 8192


class TablePart:
    """Some rows of a table, read where they are wanted. Small, and picklable."""

    @property
    def schema(self) -> "pa.Schema":
        """Of the columns that it gives."""
        raise NotImplementedError

    @property
    def rows(self) -> int:
        """How many."""
        raise NotImplementedError

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> "pa.Table":
        """Rows from ``start`` to ``stop``, of these columns in this order; all unless given."""
        raise NotImplementedError

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> "pa.Table":
        """Rows by ascending number in this part."""
        first, last = (int(rows[0]), int(rows[-1]) + 1) if len(rows) else (0, 0)
        return self.read(columns, first, last).take(rows - first)

    def batches(self, rows: Rows, columns: Sequence[str] | None = None) -> "Iterator[pa.Table]":
        """Rows by ascending number, as many at a time as are read: for those that may be large."""
        yield self.take(rows, columns)


@dataclass(frozen=True, eq=False)
class MemoryPart(TablePart):
    """Rows that are there: an Arrow table."""

    table: "pa.Table"

    @property
    def schema(self) -> "pa.Schema":
        """Of the table."""
        return self.table.schema

    @property
    def rows(self) -> int:
        """Of the table."""
        return int(self.table.num_rows)

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> "pa.Table":
        """A view of it."""
        length = None if stop is None else stop - start
        chosen = self.table if columns is None else self.table.select(list(columns))
        return chosen.slice(start, length)

    def batches(self, rows: Rows, columns: Sequence[str] | None = None) -> "Iterator[pa.Table]":
        """Copies of them, some at a time."""
        for start in range(0, len(rows), _COPIED):
            yield self.take(rows[start : start + _COPIED], columns)


@dataclass(frozen=True, eq=False)
class TakenPart(TablePart):
    """Some rows of a part, by ascending number in it."""

    part: TablePart
    numbers: Rows

    def __reduce__(self) -> tuple[Any, ...]:
        # of a table in memory, the other rows would travel along
        if isinstance(self.part, MemoryPart):
            return MemoryPart, (self.part.take(self.numbers),)
        return TakenPart, (self.part, self.numbers)

    @property
    def schema(self) -> "pa.Schema":
        """Of the part."""
        return self.part.schema

    @property
    def rows(self) -> int:
        """How many are taken."""
        return len(self.numbers)

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> "pa.Table":
        """Of the rows that are taken, those from ``start`` to ``stop``."""
        return self.part.take(self.numbers[start:stop], columns)

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> "pa.Table":
        """Of the rows that are taken, some."""
        return self.part.take(self.numbers[rows], columns)

    def batches(self, rows: Rows, columns: Sequence[str] | None = None) -> "Iterator[pa.Table]":
        """As the part reads them."""
        return self.part.batches(self.numbers[rows], columns)


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Rows in parts, one after another.

    Attributes
    ----------
    schema : Arrow schema
        Columns in the order of the source, with its metadata.
    parts : tuple
        `TablePart` objects, or dask tasks that give one each.
    rows : tuple of int
        Of each part.
    files : tuple of (str, int)
        Files of the source, each with the number of its first row.
    without_nulls : frozenset of str
        Columns in which, as is known, no value is missing.
    """

    schema: "pa.Schema"
    parts: tuple[Any, ...]
    rows: tuple[int, ...]
    files: tuple[tuple[str, int], ...] = ()
    without_nulls: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Table({self.n:,} rows, {len(self.schema.names):,} columns)"

    @property
    def n(self) -> int:
        """Rows."""
        return sum(self.rows)

    @property
    def starts(self) -> Rows:
        """(P,) number of each part's first row."""
        return np.cumsum((0, *self.rows), dtype=np.int64)[:-1]

    def take(self, indices: Rows) -> "Table":
        """Some rows, by ascending number; parts without any are gone."""
        edges = np.cumsum((0, *self.rows), dtype=np.int64)
        cuts = np.searchsorted(indices, edges)
        parts, rows = [], []
        for number in np.flatnonzero(np.diff(cuts)):
            local = indices[cuts[number] : cuts[number + 1]] - edges[number]
            parts.append(_taken(self.parts[number], local))
            rows.append(len(local))
        return replace(self, parts=tuple(parts), rows=tuple(rows), files=())

    def between(self, start: int, stop: int) -> list[tuple[Any, int, int]]:
        """Parts that have the rows from ``start`` to ``stop``, and which of their own they are."""
        found = []
        for part, first, rows in zip(self.parts, self.starts.tolist(), self.rows, strict=True):
            if first < stop and first + rows > start:
                found.append((part, max(0, start - first), min(rows, stop - first)))
        return found


def read_parts(
    parts: Sequence[TablePart], ranges: Sequence[tuple[int, int]], columns: Sequence[str] | None
) -> "pa.Table":
    """Some rows of each part, one after another; runs as a task, to which the parts come apart."""
    import pyarrow as pa

    found = [part.read(columns, *ends) for part, ends in zip(parts, ranges, strict=True)]
    return pa.concat_tables(found)


def _taken(part: Any, local: Rows) -> Any:
    if isinstance(part, TablePart):
        return TakenPart(part, local)
    return delayed(_kept, pure=False)(part, local)


def _kept(part: TablePart, local: Rows) -> TablePart:
    """Of rows that are there once the task has run, those that are taken alone."""
    if isinstance(part, MemoryPart):
        return MemoryPart(part.take(local))
    return TakenPart(part, local)


def table_of_one(table: "pa.Table") -> Table:
    """A table that is in memory."""
    if table.num_rows == 0:
        raise InputError("features must have at least one row, got a table without any")
    return Table(table.schema, (MemoryPart(table),), (table.num_rows,))
