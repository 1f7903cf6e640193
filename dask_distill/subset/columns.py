"""Arrays of a subset as columns of a table, and back. Values come back in the arrays' types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from dask.delayed import Delayed, delayed

from dask_distill.data.rows import join_rows
from dask_distill.data.table import MemoryPart, Table, TablePart
from dask_distill.errors import InputError
from dask_distill.sources.columns import Column
from dask_distill.sources.footers import plain_type
from dask_distill.sources.row_groups import fill_in, values_of

_TEXT = "UOT"
_DAYS, _TICKS = ("D",), ("s", "ms", "us", "ns")


@dataclass(frozen=True)
class ArrayColumns:
    """In which columns of a table an array of a subset is.

    Attributes
    ----------
    name : str
        Of the array.
    columns : tuple of str
        One, or one for each value of a row. None: it is how the whole table is read.
    dtype : str
    shape : tuple of int
        Of a row.
    """

    name: str
    columns: tuple[str, ...]
    dtype: str
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, columns: Sequence[str], array: da.Array) -> "ArrayColumns":
        """Of an array."""
        kind = array.dtype.kind
        shape = tuple(int(size) for size in array.shape[1:])
        return cls(name, tuple(columns), kind if kind in "OT" else array.dtype.str, shape)

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> "ArrayColumns":
        """From what `as_dict` has stored."""
        columns, shape = tuple(map(str, told["columns"])), tuple(map(int, told["shape"]))
        return cls(str(told["name"]), columns, str(told["dtype"]), shape)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        columns, shape = list(self.columns), list(self.shape)
        return {"name": self.name, "columns": columns, "dtype": self.dtype, "shape": shape}

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """Of the array; text of no fixed width is of objects."""
        return np.dtype(object if self.dtype in "OT" else self.dtype)

    def read(self, table: Table, fill: tuple[float, ...] | None = None) -> da.Array:
        """The array, lazily: a task a part of the table. What is missing may be filled in."""
        read = delayed(_array, pure=False, traverse=False)
        blocks = [
            da.from_delayed(read(part, self, fill), (rows, *self.shape), dtype=self.numpy_dtype)
            for part, rows in zip(table.parts, table.rows, strict=True)
        ]
        return join_rows(blocks)


def _array(
    part: TablePart, wanted: ArrayColumns, fill: tuple[float, ...] | None
) -> npt.NDArray[Any]:
    """Rows of an array from a part of a table; runs as a task."""
    table = part.read(list(wanted.columns))
    rows, dtype = table.num_rows, wanted.numpy_dtype
    columns = [_values(column, dtype) for column in table.columns]
    if not wanted.shape:
        return columns[0]
    if len(columns) == 1 and pa.types.is_fixed_size_list(table.schema.field(0).type):
        return columns[0].reshape(rows, *wanted.shape)
    values = np.empty((rows, len(columns)), dtype)
    for number, column in enumerate(columns):
        values[:, number] = column
    if fill is not None:
        fill_in(values, fill)
    return values.reshape(rows, *wanted.shape)


def _values(column: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if pa.types.is_fixed_size_list(column.type):
        column = pa.chunked_array([column.combine_chunks().flatten()])
    kind = plain_type(column.type)
    found = values_of(column, Column("", kind, nulls=dtype.kind == "f"), None)
    # a width that was declared may be too small
    return np.asarray(found, dtype=str) if dtype.kind == "U" else found.astype(dtype, copy=False)


def field_of(name: str, dtype: np.dtype[Any], what: str) -> pa.Field:
    """The column's type for an array's.

    Raises
    ------
    InputError
        Where parquet has none.
    """
    if dtype.kind in _TEXT:
        return pa.field(name, pa.string())
    if dtype.kind in "mM" and np.datetime_data(dtype)[0] in _TICKS + _DAYS * (dtype.kind == "M"):
        unit = np.datetime_data(dtype)[0]
        if unit in _DAYS:
            return pa.field(name, pa.date32())
        return pa.field(name, pa.timestamp(unit) if dtype.kind == "M" else pa.duration(unit))
    if dtype.kind in "biuf" and dtype.char not in "gG":
        return pa.field(name, pa.from_numpy_dtype(dtype.newbyteorder("=")))
    raise InputError(f"{what} must be of a type that parquet has, got {dtype}; write it to zarr")


def parts_of_arrays(
    arrays: Mapping[str, tuple[da.Array, Sequence[pa.Field]]], bounds: tuple[int, ...]
) -> list[Delayed]:
    """A task a run of rows that makes a part of a table of all the arrays' columns."""
    fields = [list(found) for _, found in arrays.values()]
    blocks = [_runs(array, bounds) for array, _ in arrays.values()]
    make = delayed(_part, pure=False, traverse=False)
    return [make(fields, *each) for each in zip(*blocks, strict=True)]


def _runs(array: da.Array, bounds: tuple[int, ...]) -> list[Delayed]:
    chunks = {0: bounds} | dict.fromkeys(range(1, array.ndim), -1)
    whole = array.rechunk(chunks, method="tasks")
    # optimised one by one, arrays that share their input would each read it
    return list(whole.to_delayed(optimize_graph=False).ravel())


def _part(fields: list[list[pa.Field]], *blocks: Any) -> MemoryPart:
    """Arrays of the same rows as a part of a table; runs as a task."""
    columns, kinds = [], []
    for group, block in zip(fields, blocks, strict=True):
        values = np.asarray(block)
        values = values.reshape(len(values), len(group))
        for number, field in enumerate(group):
            columns.append(_column(values[:, number], field))
            kinds.append(field)
    return MemoryPart(pa.Table.from_arrays(columns, schema=pa.schema(kinds)))


def _column(values: npt.NDArray[Any], field: pa.Field) -> pa.Array:
    if values.dtype.kind in _TEXT:
        return pa.array(values.tolist(), field.type, from_pandas=True)
    plain = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
    return pa.array(plain, field.type)
