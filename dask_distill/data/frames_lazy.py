"""Frames in pieces that are not there yet: one Arrow schema for all of them, and their rows.

One pass counts rows and looks at types, since partitions may differ in what their objects and
categories hold; values are read again when they are wanted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import Delayed, delayed

from dask_distill.data.frames_pandas import arrow_of_pandas, refuse_names
from dask_distill.data.labels import text_of
from dask_distill.data.objects import in_chunks
from dask_distill.data.packed import refuse_undecoded
from dask_distill.data.rows import chunk_rows
from dask_distill.data.table import MemoryPart, Table
from dask_distill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


# ---------------------------------------------------------------- dask


def of_dask(frame: Any) -> Table:
    """A dask DataFrame, partition by partition.

    Raises
    ------
    InputError
        For columns that Arrow cannot hold, or that differ in type between partitions.
    """
    arrow_of_pandas(frame._meta)
    return table_of_pieces([_later(arrow_of_pandas)(piece) for piece in partitions_of(frame)])


def partitions_of(frame: Any) -> list[Delayed]:
    """Of a dask DataFrame or Series, those that it is computed in."""
    # reading may merge partitions where columns were picked (dask#12411): not after this
    frame = frame.optimize()
    graph = frame.__dask_graph__()
    # persist() lets go of partitions that reading has merged: their rows are in those before
    return [one for one in frame.to_delayed(optimize_graph=False) if one.key in graph]


def _later(function: Any) -> Any:
    return delayed(function, pure=False, traverse=False)


# ---------------------------------------------------------------- xarray


def of_xarray(data: Any) -> Table:
    """A Dataset of variables that share one axis, the rows.

    Raises
    ------
    InputError
    """
    row = _row_axis(data)
    variables = {str(name): data.variables[name] for name in data.data_vars}
    for name, coordinate in data.coords.items():
        # of several levels, the levels are the columns
        stacked = name == row and getattr(data.indexes.get(name), "nlevels", 1) > 1
        if row in coordinate.dims and not stacked:
            variables[str(name)] = coordinate.variable
    refuse_names(list(variables))
    arrays = {name: _rows_first(name, variable, row) for name, variable in variables.items()}
    bounds = _bounds(arrays)
    edges = np.cumsum([0, *bounds]).tolist()
    cut = [_cut(array, bounds, edges) for array in arrays.values()]
    pieces = [_later(_piece)(tuple(arrays), *blocks) for blocks in zip(*cut, strict=True)]
    if any(isinstance(array, da.Array) for array in arrays.values()):
        return table_of_pieces(pieces)
    return table_of_parts([_piece(tuple(arrays), *blocks) for blocks in zip(*cut, strict=True)])


def _row_axis(data: Any) -> Any:
    shared = [set(variable.dims) for variable in data.data_vars.values()]
    common = sorted(map(str, set.intersection(*shared))) if shared else []
    if len(common) != 1:
        found = f"{len(common)} ({', '.join(common)})" if common else "none"
        raise InputError(
            f"features must be variables that share one dimension, the rows, got {found}; pick "
            "variables, e.g. data[['a', 'b']], or make one dimension of several with stack()"
        )
    return next(dim for dim in data.dims if str(dim) == common[0])


def _rows_first(name: str, variable: Any, row: Any) -> Any:
    """(n,) or (n, p) values of a variable, in memory or of dask."""
    refuse_undecoded(variable.attrs, variable.dtype, f"column {name!r}")
    wide = variable.ndim > 1
    if variable.ndim > 2 or (wide and variable.dtype.kind not in "biuf"):
        raise InputError(
            f"column {name!r} must have one value or one vector of numbers a row, got "
            f"{variable.dtype} of {' x '.join(map(str, variable.dims))}; flatten it, or leave it "
            "out"
        )
    others = [dim for dim in variable.dims if dim != row]
    return in_chunks(variable.transpose(row, *others))


def _bounds(arrays: dict[str, Any]) -> tuple[int, ...]:
    """Rows of each piece: as the first lazy variable has them, or some 16 MiB."""
    lazy = [array for array in arrays.values() if isinstance(array, da.Array)]
    if lazy:
        return tuple(lazy[0].chunks[0])
    n = len(next(iter(arrays.values())))
    step = chunk_rows(sum(array.nbytes for array in arrays.values()) // max(1, n), n)
    return tuple(min(step, n - start) for start in range(0, n, step)) or (0,)


def _cut(array: Any, bounds: tuple[int, ...], edges: list[int]) -> list[Any]:
    if isinstance(array, da.Array):
        even = array.rechunk({0: bounds, 1: -1} if array.ndim > 1 else {0: bounds}, method="tasks")
        return even.to_delayed().ravel().tolist()
    return [array[start:stop] for start, stop in pairwise(edges)]


def _piece(names: Sequence[str], *columns: npt.NDArray[Any]) -> "pa.Table":
    """Columns of some rows; those of several numbers a row as lists of a fixed length."""
    import pandas as pd
    import pyarrow as pa

    single = {n: _plain(c) for n, c in zip(names, columns, strict=True) if c.ndim == 1}
    table = arrow_of_pandas(pd.DataFrame(single)) if single else pa.table({})
    found = []
    for name, values in zip(names, columns, strict=True):
        if values.ndim == 1:
            found.append(table.column(name))
        else:
            flat = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
            found.append(pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1]))
    return pa.table(found, names=list(names))


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype.kind == "S":
        return text_of(values)
    return values.astype(object) if values.dtype.kind in "UT" else values


# ---------------------------------------------------------------- one schema


@dataclass(frozen=True)
class _Look:
    """What a piece is.

    Attributes
    ----------
    rows : int
    schema : Arrow schema
    silent : frozenset of str
        Columns that hold nothing that would tell their type.
    gaps : frozenset of str
        Columns with nulls.
    """

    rows: int
    schema: "pa.Schema"
    silent: frozenset[str]
    gaps: frozenset[str]


def table_of_pieces(pieces: Sequence[Delayed]) -> Table:
    """A table of tasks that give an Arrow table each, in the types that hold all their values.

    Parameters
    ----------
    pieces : sequence of Delayed
        Looked at in one pass; without the empty ones they are parts of the table.

    Raises
    ------
    InputError
        Where a column has types that do not go together, or there is no row.
    """
    looks: tuple[_Look, ...] = dask.compute(*(_later(_look)(piece) for piece in pieces))
    whole = _one_schema(looks)
    rows = tuple(look.rows for look in looks if look.rows)
    if not rows:
        raise InputError("features must have at least one row, got a table without any")
    kept = zip(pieces, looks, strict=True)
    parts = tuple(_later(_part)(piece, whole) for piece, look in kept if look.rows)
    return Table(whole, parts, rows, without_nulls=_gapless(looks))


def table_of_parts(tables: Sequence["pa.Table"]) -> Table:
    """The same of tables that are there."""
    looks = tuple(_look(table) for table in tables)
    whole = _one_schema(looks)
    parts = tuple(_part(table, whole) for table in tables if table.num_rows)
    if not parts:
        raise InputError("features must have at least one row, got a table without any")
    rows = tuple(part.rows for part in parts)
    return Table(whole, parts, rows, without_nulls=_gapless(looks))


def _gapless(looks: Sequence[_Look]) -> frozenset[str]:
    return frozenset(looks[0].schema.names).difference(*(look.gaps for look in looks))


def _look(table: "pa.Table") -> _Look:
    import pyarrow.types as kinds

    columns = dict(zip(table.column_names, table.columns, strict=True))
    silent = {
        name
        for name, column in columns.items()
        if kinds.is_null(column.type)
        or (kinds.is_dictionary(column.type) and column.null_count == len(column))
    }
    gaps = {name for name, column in columns.items() if column.null_count}
    return _Look(table.num_rows, table.schema, frozenset(silent), frozenset(gaps))


def _one_schema(looks: Sequence[_Look]) -> "pa.Schema":
    import pyarrow as pa

    first = looks[0].schema
    for number, look in enumerate(looks):
        if look.schema.names != first.names:
            raise InputError(
                f"features must have the same columns in all partitions, got "
                f"{', '.join(look.schema.names[:10])} in partition {number} and "
                f"{', '.join(first.names[:10])} before; give map_partitions the right meta="
            )
    told = [look for look in looks if look.rows] or list(looks)
    fields = []
    for name in first.names:
        speaking = [look for look in told if name not in look.silent] or told
        kinds = list(dict.fromkeys(look.schema.field(name).type for look in speaking))
        fields.append(pa.field(name, _common(name, kinds)))
    return pa.schema(fields, metadata=told[0].schema.metadata)


def _common(name: str, kinds: list[Any]) -> Any:
    """The type that holds values of all of these."""
    import pyarrow as pa

    known = [_wide_codes(kind) for kind in kinds]
    found = known[0]
    for kind in known[1:]:
        schemas = [pa.schema({name: found}), pa.schema({name: kind})]
        try:
            if _is_bytes(found) != _is_bytes(kind):
                raise TypeError
            found = pa.unify_schemas(schemas, promote_options="permissive").field(name).type
        except (pa.ArrowException, TypeError, ValueError):
            raise InputError(
                f"column {name!r} must be of one type in all partitions, got {found} in one and "
                f"{kind} in another; convert it, e.g. with frame[{name!r}].astype(str), or drop it"
            ) from None
    return found


def _is_bytes(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))


def _wide_codes(kind: Any) -> Any:
    """Categories by numbers that reach for those of all partitions together."""
    import pyarrow as pa

    if not pa.types.is_dictionary(kind):
        return kind
    return pa.dictionary(pa.int32(), kind.value_type, kind.ordered)


def _part(table: "pa.Table", whole: "pa.Schema") -> MemoryPart:
    import pyarrow as pa

    columns = [_in_type(table.column(field.name), field) for field in whole]
    return MemoryPart(pa.Table.from_arrays(columns, schema=whole))


def _in_type(values: Any, field: Any) -> Any:
    import pyarrow as pa

    if values.type == field.type:
        return values
    if values.null_count == len(values):
        return pa.chunked_array([pa.nulls(len(values), field.type)])
    try:
        return values.cast(field.type)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            f"column {field.name!r} must be of one type in all partitions, got {values.type} that "
            f"does not fit {field.type} ({' '.join(str(error).split())}); convert it"
        ) from None
