"""Batches that are tables: each is read as the first was, and rows of it are kept with all columns.

A column that a batch does not have is null in it; one of another type is refused by its name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from dask.delayed import delayed

from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import chunk_rows
from dask_distill.data.table import MemoryPart, Table, TablePart
from dask_distill.errors import InputError
from dask_distill.tables.columns import is_text
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.lazy import encoded
from dask_distill.tables.profile import CATEGORY, Profile

Rows = npt.NDArray[np.int64]

# of a value whose length its type does not tell, and of a list
_LOOSE_BYTES, _LIST_BYTES = 64, 1024


@dataclass(frozen=True, eq=False)
class ConformedPart(TablePart):
    """A part with the columns of another schema: those that it does not have are null."""

    part: TablePart
    whole: pa.Schema

    @property
    def schema(self) -> pa.Schema:
        """The other one."""
        return self.whole

    @property
    def rows(self) -> int:
        """Of the part."""
        return self.part.rows

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> pa.Table:
        """Rows from ``start`` to ``stop``."""
        stop = self.part.rows if stop is None else min(stop, self.part.rows)
        names = self._names(columns)
        there = [name for name in names if name in self.part.schema.names]
        return self._as_told(self.part.read(there, start, stop), names, max(0, stop - start))

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> pa.Table:
        """Rows by ascending number."""
        names = self._names(columns)
        there = [name for name in names if name in self.part.schema.names]
        return self._as_told(self.part.take(rows, there), names, len(rows))

    def _names(self, columns: Sequence[str] | None) -> list[str]:
        return list(self.whole.names if columns is None else columns)

    def _as_told(self, found: pa.Table, names: Sequence[str], rows: int) -> pa.Table:
        fields = [self.whole.field(name) for name in names]
        arrays = []
        for field in fields:
            if field.name not in found.column_names:
                arrays.append(pa.chunked_array([pa.nulls(rows, field.type)]))
                continue
            values = found.column(field.name)
            arrays.append(values if values.type == field.type else values.cast(field.type))
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields, self.whole.metadata))


def table_as(table: Table, schema: pa.Schema) -> Table:
    """A table with the columns of another schema.

    Raises
    ------
    InputError
        Where the type of a column does not fit.
    """
    there = set(table.schema.names)
    for field in schema:
        if field.name in there:
            _refuse_type(field.name, table.schema.field(field.name).type, field.type)
    if _alike(table.schema, schema):
        return table
    conform = delayed(ConformedPart, pure=False, traverse=False)
    parts = tuple(
        ConformedPart(part, schema) if isinstance(part, TablePart) else conform(part, schema)
        for part in table.parts
    )
    whole = table.without_nulls & set(schema.names)
    return replace(table, schema=schema, parts=parts, without_nulls=whole)


def _alike(one: pa.Schema, other: pa.Schema) -> bool:
    return one.names == other.names and one.types == other.types


def _refuse_type(name: str, now: pa.DataType, then: pa.DataType) -> None:
    if not _fits(now, then):
        raise InputError(
            f"column {name!r} of a batch must be of type {then} like that before it, got {now}; "
            "convert it, or begin a new subset"
        )


def _fits(now: pa.DataType, then: pa.DataType) -> bool:
    """Whether every value of one type is one of the other, and stays what it was."""
    types = pa.types
    if now == then or types.is_null(now):
        return True
    if types.is_dictionary(now):
        now = now.value_type
    if types.is_dictionary(then):
        then = then.value_type
    if now == then or (is_text(now) and is_text(then)):
        return True
    if types.is_timestamp(now) and types.is_timestamp(then):
        return bool(now.tz == then.tz) and _FINER.index(now.unit) <= _FINER.index(then.unit)
    plain = [types.is_integer(kind) or types.is_floating(kind) for kind in (now, then)]
    if not all(plain):
        return False
    return bool(np.can_cast(now.to_pandas_dtype(), then.to_pandas_dtype(), "safe")) and (
        # NumPy takes int64 for float64, which does not hold all of them
        types.is_integer(now) == types.is_integer(then) or now.bit_width < then.bit_width
    )


_FINER = ("s", "ms", "us", "ns")


def joint_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """All columns in the order in which they come first; null where one schema lacks them.

    Raises
    ------
    InputError
        Where one column has two types.
    """
    found: dict[str, pa.Field] = {}
    every = list(schemas)
    for schema in every:
        for field in schema:
            if field.name in found:
                _refuse_type(field.name, field.type, found[field.name].type)
            found.setdefault(field.name, field)
    fields = [
        field.with_nullable(
            any(name not in s.names or s.field(name).nullable for s in every) or field.nullable
        )
        for name, field in found.items()
    ]
    return pa.schema(fields, metadata=every[0].metadata)


def same_reading(one: Any, other: Any) -> bool:
    """Whether two profiles read columns alike; they may be of different rows."""
    if one is None or other is None:
        return one is other
    return Profile.parse(one).features == Profile.parse(other).features


def read_alike(dataset: Dataset, before: Dataset) -> Dataset:
    """A batch with its columns read as those before it were.

    Parameters
    ----------
    dataset : Dataset
        The batch.
    before : Dataset
        What came before it.

    Returns
    -------
    Dataset
        With the table's columns of ``before``: others are left out, missing ones null.

    Raises
    ------
    InputError
        Where the types of columns do not fit, or one of both is a table.
    """
    if before.table is None:
        # of a subset that began with arrays: columns are arrays, too
        return replace(dataset, table=None, profile=None, groups=(), unfilled=None)
    if dataset.table is None:
        raise InputError(
            "a batch must be a table like those before it, got arrays; pass a frame, or what "
            "open_dataset gives, with their columns"
        )
    assert before.profile is not None
    table = table_as(dataset.table, before.table.schema)
    dataset = replace(dataset, table=table)
    if same_reading(dataset.profile, before.profile):
        return replace(dataset, profile=before.profile)
    return as_read(dataset, table, Profile.parse(before.profile), before.features.dtype)


def as_read(
    dataset: Dataset, table: Table, profile: Profile, dtype: np.dtype[Any] | None = None
) -> Dataset:
    """A data set of a table with its columns read by a profile."""
    encoding = Encoding(profile)
    return replace(
        dataset,
        features=_numbers(table, profile, dtype),
        unfilled=partial(_numbers, table, profile.unfilled(), dtype),
        columns=encoding.names,
        groups=encoding.groups,
        profile=profile.as_dict(),
    )


def _numbers(table: Table, profile: Profile, dtype: np.dtype[Any] | None) -> da.Array:
    found = encoded(table, profile)
    return found if dtype is None or found.dtype == dtype else found.astype(dtype)


def kept_table(pieces: Sequence[tuple[Table, Rows]]) -> Table:
    """Some rows of several tables, one after another, in tasks that hold them in memory.

    Parameters
    ----------
    pieces : sequence of (Table, (k,) ascending row numbers)
        Of the same columns.

    Returns
    -------
    Table
        To be persisted: its parts are tasks.
    """
    taken = [table.take(rows) for table, rows in pieces if len(rows)]
    fields = [
        field.with_nullable(any(table.schema.field(field.name).nullable for table in taken))
        for field in taken[0].schema
    ]
    schema = pa.schema(fields, metadata=taken[0].schema.metadata)
    read = delayed(_read, pure=False, traverse=False)
    join = delayed(_in_memory, pure=False, traverse=False)
    limit = chunk_rows(_row_bytes(schema), sum(table.n for table in taken))
    runs: list[tuple[list[Any], int]] = []
    for table in taken:
        for part, rows in zip(table.parts, table.rows, strict=True):
            one = read(part, schema)
            if runs and runs[-1][1] + rows <= limit:
                runs[-1] = ([*runs[-1][0], one], runs[-1][1] + rows)
            else:
                runs.append(([one], rows))
    return Table(
        schema,
        tuple(join(*parts) for parts, _ in runs),
        tuple(rows for _, rows in runs),
        without_nulls=frozenset.intersection(*(table.without_nulls for table in taken)),
    )


def _read(part: TablePart, schema: pa.Schema) -> pa.Table:
    return ConformedPart(part, schema).read()


def _in_memory(*tables: pa.Table) -> MemoryPart:
    return MemoryPart(pa.concat_tables(tables).unify_dictionaries().combine_chunks())


def _row_bytes(schema: pa.Schema) -> int:
    """About the bytes of a row."""

    def of(kind: pa.DataType) -> int:
        try:
            return max(1, int(kind.bit_width) // 8)
        except ValueError:
            return _LIST_BYTES if pa.types.is_nested(kind) else _LOOSE_BYTES

    return sum(of(kind) for kind in schema.types)


@dataclass(frozen=True)
class Listed:
    """Where among the features a column's categories are: the known ones, others, and the mark."""

    name: str
    start: int
    known: int
    others: int
    mark: bool

    def unlisted(self, X: npt.NDArray[np.floating]) -> int:
        """Rows of none of the values that the profile lists."""
        known, stop = self.start + self.known, self.start + self.known + self.others
        if self.others:
            return int(X[:, known:stop].any(axis=1).sum())
        # of no other column, such a row is like one that has no value
        none = ~X[:, self.start : known].any(axis=1)
        return int((none & (X[:, known] == 0)).sum() if self.mark else none.sum())


def listed(profile: Any) -> tuple[Listed, ...]:
    """Of every column that is a category."""
    if profile is None:
        return ()
    found, start = [], 0
    for reader in Encoding(Profile.parse(profile)).readers:
        told = reader.column.encoding
        if reader.column.kind == CATEGORY:
            sizes = len(told["known"]), int(told["others"])
            found.append(Listed(reader.column.name, start, *sizes, bool(told.get("mark"))))
        start += len(reader.names)
    return tuple(found)
