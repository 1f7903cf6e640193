"""A table where it lies: parts that workers read as Arrow tables, and rows of them by number.

Knows Arrow's types and no file format. A part is an object that travels, or a dask task that
gives one.
"""

import fnmatch
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.errors import InputError
from dask_distill.support.text import likely

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
        return rows_of_table(self.read(columns, first, last), rows - first)

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


@dataclass(frozen=True, eq=False)
class SelectedPart(TablePart):
    """Some columns of a part."""

    part: TablePart
    names: tuple[str, ...]

    @property
    def schema(self) -> "pa.Schema":
        """Of these columns."""
        return _schema_of(self.part.schema, self.names)

    @property
    def rows(self) -> int:
        """Of the part."""
        return self.part.rows

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> "pa.Table":
        """Rows from ``start`` to ``stop``."""
        return self.part.read(self.names if columns is None else columns, start, stop)

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> "pa.Table":
        """Rows by ascending number."""
        return self.part.take(rows, self.names if columns is None else columns)


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
    def kinds(self) -> dict[str, str]:
        """Types of the columns, in words."""
        return {field.name: str(field.type) for field in self.schema}

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

    def select(self, columns: str | Sequence[str], keep: Collection[str] = ()) -> "Table":
        """Some columns, in the order of the table.

        Parameters
        ----------
        columns : str or sequence of str
            Names, or globs (``price_*``); in a string, comma-separated.
        keep : collection of str
            Columns that stay whatever is named: the label's.

        Returns
        -------
        Table
            Of the same rows.

        Raises
        ------
        InputError
            Where there is no such column.

        Examples
        --------
        >>> import pyarrow as pa
        >>> table = table_of_one(pa.table({"id": [1], "x_1": [2.0], "x_2": [3.0], "y": [0]}))
        >>> table.select("x_*", keep=["y"]).schema.names
        ['x_1', 'x_2', 'y']
        """
        found = set(keep) | set(chosen_names(columns, self.schema.names))
        names = tuple(name for name in self.schema.names if name in found)
        return replace(
            self,
            schema=_schema_of(self.schema, names),
            parts=tuple(_selected(part, names) for part in self.parts),
            without_nulls=self.without_nulls & set(names),
        )

    def to_arrow(self, columns: Sequence[str] | None = None) -> "pa.Table":
        """All rows, read here: for those of a subset.

        Parameters
        ----------
        columns : sequence of str, optional
            In this order; all unless given.

        Returns
        -------
        pyarrow.Table

        Examples
        --------
        >>> import pyarrow as pa
        >>> table = table_of_one(pa.table({"a": [1, 2, 3]}))
        >>> table.take(np.array([0, 2])).to_arrow().to_pylist()
        [{'a': 1}, {'a': 3}]
        """
        import pyarrow as pa

        names = self.schema.names if columns is None else list(columns)
        kinds = pa.schema([self.schema.field(name) for name in names], self.schema.metadata)
        read = delayed(_read_part, pure=False, traverse=False)
        parts = dask.compute(*(read(part, names) for part in self.parts))
        if not parts:
            return kinds.empty_table()
        return pa.concat_tables(parts).unify_dictionaries().replace_schema_metadata(kinds.metadata)

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


def rows_of_table(table: "pa.Table", rows: Rows) -> "pa.Table":
    """Rows of an Arrow table by number, in their types; also of views, of which Arrow takes none.

    Examples
    --------
    >>> import pyarrow as pa
    >>> table = pa.table({"a": pa.array(["x", None, "y"], pa.string_view())})
    >>> rows_of_table(table, np.array([0, 2]))["a"].to_pylist()
    ['x', 'y']
    """
    import pyarrow as pa

    kinds = [_without_views(field) for field in table.schema]
    plain = pa.schema(kinds, metadata=table.schema.metadata)
    if plain.equals(table.schema):
        return table.take(pa.array(rows))
    return table.cast(plain).take(pa.array(rows)).cast(table.schema)


def _without_views(field: "pa.Field") -> "pa.Field":
    """The same values in types of which Arrow takes rows."""
    import pyarrow as pa

    kind, types = field.type, pa.types
    if types.is_string_view(kind):
        return field.with_type(pa.large_string())
    if types.is_binary_view(kind):
        return field.with_type(pa.large_binary())
    if types.is_struct(kind):
        return field.with_type(pa.struct([_without_views(inner) for inner in kind]))
    if types.is_map(kind):
        key, item = _without_views(kind.key_field), _without_views(kind.item_field)
        return field.with_type(pa.map_(key, item, kind.keys_sorted))
    if types.is_fixed_size_list(kind):
        return field.with_type(pa.list_(_without_views(kind.value_field), kind.list_size))
    if types.is_list(kind) or types.is_large_list(kind):
        make = pa.list_ if types.is_list(kind) else pa.large_list
        return field.with_type(make(_without_views(kind.value_field)))
    return field


def chosen_names(columns: str | Sequence[str], there: Sequence[str]) -> list[str]:
    """Columns by names and globs, in the order given.

    Raises
    ------
    InputError
        With names that are like it, where there is no such column.
    """
    # a list may hold names with commas
    given = columns.split(",") if isinstance(columns, str) else list(columns)
    wanted = [name if isinstance(name, str) else repr(name) for name in given]
    wanted = [name.strip() if name not in there else name for name in wanted]
    if not any(wanted):
        raise InputError("columns must name at least one column to write, got none; name some")
    found: dict[str, None] = {}
    for name in filter(None, wanted):
        if name in there:
            found[name] = None
            continue
        same = fnmatch.filter(there, name) if set(name) & set("*?[") else []
        if not same:
            raise _no_such_column(name, there)
        found |= dict.fromkeys(same)
    return list(found)


def _no_such_column(name: str, there: Sequence[str]) -> InputError:
    listed = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
    return InputError(
        f"columns must be of the table, got {name!r}{likely(name, there)}; there are: {listed}"
    )


def _schema_of(schema: "pa.Schema", names: Sequence[str]) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([schema.field(name) for name in names], metadata=schema.metadata)


def _selected(part: Any, names: tuple[str, ...]) -> Any:
    if isinstance(part, TablePart):
        return SelectedPart(part, names)
    return delayed(SelectedPart, pure=False)(part, names)


def _read_part(part: TablePart, columns: list[str]) -> "pa.Table":
    return part.read(columns)


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
    pairs = zip(table.column_names, table.columns, strict=True)
    whole = frozenset(name for name, column in pairs if not column.null_count)
    return Table(table.schema, (MemoryPart(table),), (table.num_rows,), without_nulls=whole)
