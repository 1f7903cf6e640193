"""The columns of a table as a dask array of numbers, and a column of it as an array."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from dask.delayed import delayed

from dask_distill.data.arrays import from_array
from dask_distill.data.reader import RowReader
from dask_distill.data.rows import chunk_rows, join_rows
from dask_distill.data.table import Table, TablePart
from dask_distill.errors import InputError
from dask_distill.tables.columns import as_text, is_text, undictionaried, values_at
from dask_distill.tables.compact import CompactTable
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.profile import Profile

# parts of few rows share a task
_MOST_PARTS = 64
# float64 holds every whole number up to here
_LARGEST_EXACT = 2**53


@dataclass(frozen=True, eq=False)
class EncodedRows(RowReader):
    """Reads some rows of parts of a table, and gives the numbers that they are compared by."""

    encoding: Encoding
    parts: tuple[TablePart, ...]
    start: int
    stop: int

    def __call__(self) -> npt.NDArray[np.generic]:
        """Read, on a worker: (m, width) numbers."""
        out = np.empty((self.stop - self.start, self.encoding.width), self.encoding.dtype)
        at = 0
        for table in self.tables():
            out[at : at + table.num_rows] = self.encoding(table)
            at += table.num_rows
        return out

    def tables(self) -> Iterator[pa.Table]:
        """The rows, some at a time: texts may be long, and those of all rows are not held."""
        before = 0
        for part in self.parts:
            first, last = max(self.start, before), min(self.stop, before + part.rows)
            if first < last:
                columns = self.encoding.sources(part.schema)
                yield from part.batches(np.arange(first - before, last - before), columns)
            before += part.rows

    @property
    def compacted(self) -> "CompactedRows | None":
        """Reads columns before they are encoded; None where gaps in them stay NaN."""
        return CompactedRows(self) if self.encoding.profile.filled else None

    @property
    def most_readers(self) -> int:
        """So many that a part is read two and a half times at most."""
        return 1 + 3 * len(self.parts) // 2

    def part(self, start: int, stop: int) -> "EncodedRows":
        """Parts that have none of the rows are not read."""
        start, stop, kept, before, skipped = self.start + start, self.start + stop, [], 0, 0
        for part in self.parts:
            if before < stop and before + part.rows > start:
                kept.append(part)
            elif before + part.rows <= start:
                skipped += part.rows
            before += part.rows
        return replace(self, parts=tuple(kept), start=start - skipped, stop=stop - skipped)


@dataclass(frozen=True, eq=False)
class CompactedRows(RowReader):
    """Reads some rows of a table, and gives them as a `CompactTable`."""

    rows: EncodedRows

    def __call__(self) -> CompactTable:
        """Read, on a worker."""
        encoding = self.rows.encoding
        pieces = [(t.num_rows, encoding.columns(t)) for t in self.rows.tables()]
        return CompactTable(encoding, tuple(pieces))

    @property
    def most_readers(self) -> int:
        """As if they were encoded."""
        return self.rows.most_readers

    def part(self, start: int, stop: int) -> "CompactedRows":
        """Parts that have none of the rows are not read."""
        return CompactedRows(self.rows.part(start, stop))


def encoded(table: Table, profile: Profile) -> da.Array:
    """A table's rows as numbers.

    Parameters
    ----------
    table : Table
    profile : Profile

    Returns
    -------
    (n, d) dask array
        Chunks are runs of parts.
    """
    encoding = Encoding(profile)
    if table.n == 0:
        return from_array(np.empty((0, encoding.width), encoding.dtype))
    limit = chunk_rows(encoding.width * encoding.dtype.itemsize, table.n)
    arrays = []
    for parts, rows in _runs(table, limit):
        shape = (rows, encoding.width)
        if isinstance(parts[0], TablePart):
            reader = EncodedRows(encoding, tuple(parts), 0, rows)
            values = delayed(reader, pure=False, traverse=False)()
        else:
            values = delayed(_encoded_part, pure=False)(parts[0], encoding)
        arrays.append(da.from_delayed(values, shape, dtype=encoding.dtype))
    return join_rows(arrays)


def _runs(table: Table, limit: int) -> list[tuple[list[Any], int]]:
    """Parts that share a task, and their rows; tasks of the user's stay alone."""
    found: list[tuple[list[Any], int]] = []
    for part, rows in zip(table.parts, table.rows, strict=True):
        alone = not isinstance(part, TablePart)
        if found and not alone and isinstance(found[-1][0][0], TablePart):
            parts, held = found[-1]
            if held + rows <= limit and len(parts) < _MOST_PARTS:
                found[-1] = ([*parts, part], held + rows)
                continue
        found.append(([part], rows))
    return found


def _encoded_part(part: TablePart, encoding: Encoding) -> npt.NDArray[np.generic]:
    return EncodedRows(encoding, (part,), 0, part.rows)()


def column_array(table: Table, name: str, what: str) -> da.Array:
    """A column as an array: numbers, dates, booleans, or text as objects with None.

    Parameters
    ----------
    table : Table
    name : str
    what : str
        For errors.

    Returns
    -------
    (n,) dask array

    Raises
    ------
    InputError
        For columns that no array holds: nested ones, bytes.
    """
    kind = table.schema.field(name).type
    dtype = _dtype_of(kind, name in table.without_nulls, what)
    read = delayed(partial(_column, name=name, dtype=dtype, what=what), pure=False)
    arrays = [
        da.from_delayed(read(part), (rows,), dtype=dtype)
        for part, rows in zip(table.parts, table.rows, strict=True)
    ]
    return join_rows(arrays) if arrays else from_array(np.empty(0, dtype))


def _dtype_of(kind: Any, whole: bool, what: str) -> np.dtype[Any]:
    """NumPy's type that holds a column: floats for whole numbers that may be missing."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    types = pa.types
    if types.is_boolean(kind) or types.is_integer(kind):
        return np.dtype(kind.to_pandas_dtype() if whole else np.float64)
    if types.is_floating(kind) or types.is_decimal(kind):
        return np.dtype(kind.to_pandas_dtype() if types.is_floating(kind) else np.float64)
    if is_text(kind):
        return np.dtype(object)
    if types.is_date(kind):
        return np.dtype("M8[D]" if types.is_date32(kind) else "M8[ms]")
    if types.is_timestamp(kind) or types.is_duration(kind) or types.is_time(kind):
        letter = "M" if types.is_timestamp(kind) else "m"
        return np.dtype(f"{letter}8[{kind.unit}]")
    raise InputError(
        f"{what} must hold numbers, dates or text, got type {kind}; convert it, or leave it out"
    )


def _column(part: TablePart, *, name: str, dtype: np.dtype[Any], what: str) -> Any:
    """A column of a part as an array; runs as a task."""
    values = undictionaried(values_at(part.read([name]), name))
    if dtype.kind == "O":
        return as_text(values).to_numpy(zero_copy_only=False)
    if dtype.kind in "mM":
        return values.to_numpy(zero_copy_only=False).astype(dtype)
    if pa.types.is_integer(values.type) and dtype.kind == "f":
        _refuse_rounding(values, what)
    if dtype.kind == "f":
        found = values.cast(pa.string()) if pa.types.is_decimal(values.type) else values
        found = found.cast(pa.int8()) if pa.types.is_boolean(found.type) else found
        return found.cast(pa.float64()).to_numpy(zero_copy_only=False).astype(dtype)
    if values.null_count:
        raise InputError(
            f"{what} must have a value in every row, as was said of it, got {values.null_count:,} "
            "missing; open it again"
        )
    return values.to_numpy(zero_copy_only=False)


def _refuse_rounding(values: Any, what: str) -> None:
    """Whole numbers that may be missing become floats, if that rounds none."""
    ends = pc.min_max(values).as_py()
    for end in (ends["min"], ends["max"]):
        if end is not None and abs(end) > _LARGEST_EXACT:
            raise InputError(
                f"{what} must be within ±2**53 where values may be missing, since it becomes "
                f"float64, got {end}; store it as text"
            )
