"""The columns of a selected table as arrays of a zarr group, and the table again from these.

Every column is an array of its name. Features are how columns are read: they are written where
that is asked for, or where nothing tells how they were made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.base import compute
from dask.delayed import Delayed, delayed

from dask_distill.data.arrow_columns import (
    array_type,
    is_list,
    list_width,
    mask_of,
    plain_type,
    refuse_unfit,
    row_bytes,
    values_of,
)
from dask_distill.data.nulls import with_nulls
from dask_distill.data.rows import join_rows
from dask_distill.data.table import Table, TablePart
from dask_distill.storage.variables import LABELS, NULL
from dask_distill.subset.features import features_of, profile_in
from dask_distill.subset.names import ArrayNames
from dask_distill.subset.subset import Subset
from dask_distill.tables.lazy import column_array

if TYPE_CHECKING:
    import pyarrow as pa

# rows that are asked how long their lists are, before any work
_PEEKED = 256
# of a table that a task cuts into columns
_PIECE_BYTES, _PIECE_ROWS = 32 * 2**20, 2**18


@dataclass(frozen=True)
class WrittenArrays:
    """Arrays of a group, by name, and what is said of them.

    Attributes
    ----------
    arrays : dict of (k, ...) dask arrays
    compared : list of str
        Those whose values are compared where a run is resumed.
    about : dict of dict
        Attributes of arrays.
    """

    arrays: dict[str, da.Array]
    compared: list[str]
    about: dict[str, dict[str, Any]]


def check_columns(table: Table) -> None:
    """Refuse a table of which a column cannot be a zarr array, before any work.

    Types are known; of lists some rows are read, of the first, the middle and the last part.

    Parameters
    ----------
    table : Table

    Raises
    ------
    InputError
        With the way out: parquet, or fewer columns.
    """
    refuse_unfit(table.schema)
    names = _of_unknown_width(table.schema)
    if names:
        numbers = sorted({0, len(table.parts) // 2, len(table.parts) - 1})
        ends = np.cumsum((0, *table.rows)).tolist()
        rows = [(ends[at], min(ends[at + 1], ends[at] + _PEEKED)) for at in numbers]
        _known_widths(table, names, rows)


def written_arrays(
    subset: Subset, table: Table, names: ArrayNames, *, keep_encoded: bool
) -> WrittenArrays:
    """All arrays of the rows: columns and masks, what is carried beside them, and features.

    Parameters
    ----------
    subset : Subset
    table : Table
        Of the subset.
    names : ArrayNames
    keep_encoded : bool
        Whether features are written where the columns tell them, too.

    Raises
    ------
    InputError
    """
    refuse_unfit(table.schema)
    ours = names.table or {}
    arrays = _column_arrays(table, ours)
    source = subset.provenance.get("input", {})
    given = source.get("attributes", {})
    carry = {name: array for name, array in subset.carry.items() if name not in ours}
    labels = None if subset.label_name in ours else subset.labels
    others, carried = names.arrays(subset.features, labels, carry, subset.without_nulls)
    compared = [*arrays, *carried]
    about = {new: given.get(names.original(new), {}) for new in {**arrays, **others}}
    for field in table.schema:
        about[ours[field.name]] = {**about[ours[field.name]], **_about(field.type)}
    if not keep_encoded and profile_in(subset.provenance) is not None:
        del others[names.features]
    else:
        known = source.get("columns") or ()
        fits = len(known) == int(np.prod(subset.features.shape[1:], dtype=np.int64))
        about[names.features] = {"features": list(known)} if fits else {}
    return WrittenArrays(
        arrays | others, compared, {name: told for name, told in about.items() if told}
    )


def table_fields(
    names: ArrayNames,
    arrays: Mapping[str, da.Array],
    table: Table,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Of a `Subset` whose table was written: features, labels, carried arrays and their names."""
    ours = names.table or {}

    def found(name: str, array: str) -> da.Array:
        if name in ours:
            return column_array(table, name, f"column {name!r}")
        mask = arrays.get(NULL + array)
        return arrays[array] if mask is None else with_nulls(arrays[array], mask)

    own = names.features
    label = LABELS if names.labels is None else names.original(names.labels)
    masked = {name for name, array in names.carry.items() if NULL + array in arrays}
    return {
        "features": arrays[own] if own in arrays else features_of(table, provenance),
        "labels": None if names.labels is None else found(label, names.labels),
        "carry": {name: found(name, array) for name, array in names.carry.items()},
        "feature_name": names.original(own),
        "label_name": label,
        "without_nulls": frozenset(set(names.carry) - masked),
        "table": table,
    }


# ---------------------------------------------------------------- a table as arrays


def _column_arrays(table: Table, names: Mapping[str, str]) -> dict[str, da.Array]:
    """Values of each column, and a mask of those that may be missing, by the arrays' names."""
    unknown = _of_unknown_width(table.schema)
    widths = _known_widths(table, unknown, [(0, min(table.n, _PEEKED))]) if unknown else {}
    untold = [name for name in unknown if widths.get(name) is None]
    if untold:
        # lists that are missing tell nothing; where all are, any length will do
        found = _known_widths(table, untold, [(0, table.n)])
        widths |= {name: width or 0 for name, width in found.items()}
    fields = list(table.schema)
    sizes = {field.name: _width(field.type, widths.get(field.name)) for field in fields}
    row = sum(row_bytes(field.type, sizes[field.name]) for field in fields)
    pieces = _pieces(table, max(1, min(_PIECE_ROWS, _PIECE_BYTES // max(1, row))))
    arrays = {}
    for field in fields:
        kind, width = array_type(field.type), sizes[field.name]
        assert kind is not None
        shape = () if width is None else (width,)
        arrays[names[field.name]] = _stacked(pieces, _values, (field.name, width), shape, kind)
        if field.nullable and field.name not in table.without_nulls:
            mask = _stacked(pieces, _mask, (field.name,), (), np.dtype(bool))
            arrays[NULL + names[field.name]] = mask
    return arrays


def _of_unknown_width(schema: "pa.Schema") -> list[str]:
    kinds = {field.name: plain_type(field.type) for field in schema}
    return [name for name, kind in kinds.items() if is_list(kind) and _width(kind, None) is None]


def _width(kind: "pa.DataType", found: int | None) -> int | None:
    """Numbers of each list, as its type says or as was found; None for what is no list."""
    plain = plain_type(kind)
    return int(plain.list_size) if hasattr(plain, "list_size") else found


def _known_widths(
    table: Table, names: list[str], rows: list[tuple[int, int]]
) -> dict[str, int | None]:
    """How many numbers lists have in some runs of rows, none where all of them are missing."""
    reads = []
    for start, stop in rows:
        found = table.between(start, stop)
        reads += [
            delayed(_read, pure=False)(part, names, first, last) for part, first, last in found
        ]
    gathered = delayed(_widths_of, pure=False)(names, *reads)
    return dict(zip(names, compute(gathered)[0], strict=True))


def _widths_of(names: list[str], *tables: "pa.Table") -> list[int | None]:
    import pyarrow as pa

    found = []
    for name in names:
        chunks = [chunk for table in tables for chunk in table.column(name).chunks]
        column = pa.chunked_array(chunks, tables[0].schema.field(name).type)
        found.append(list_width(column, name))
    return found


def _pieces(table: Table, step: int) -> list[tuple[Delayed, int]]:
    """Runs of rows, each with how many: a task for each part, and one that joins small ones."""
    names = table.schema.names
    read = delayed(_read, pure=False, traverse=False)
    runs: list[list[tuple[Delayed, int]]] = [[]]
    for part, count in zip(table.parts, table.rows, strict=True):
        for start in range(0, count, step):
            rows = min(step, count - start)
            if sum(size for _, size in runs[-1]) + rows > step and runs[-1]:
                runs.append([])
            runs[-1].append((read(part, names, start, start + rows), rows))
    join = delayed(_joined, pure=False, traverse=False)
    return [
        (run[0][0] if len(run) == 1 else join(*(one for one, _ in run)), sum(n for _, n in run))
        for run in runs
    ]


def _read(part: TablePart, names: list[str], start: int, stop: int) -> "pa.Table":
    return part.read(names, start, stop)


def _joined(*tables: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables(tables)


def _stacked(
    pieces: list[tuple[Delayed, int]],
    task: Any,
    more: tuple[Any, ...],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> da.Array:
    cut = delayed(task, pure=False, traverse=False)
    meta = np.empty((0,) * (1 + len(shape)), dtype)
    parts = [
        da.from_delayed(cut(piece, *more), (rows, *shape), dtype=dtype, meta=meta)
        for piece, rows in pieces
    ]
    return join_rows(parts)


def _values(piece: "pa.Table", name: str, width: int | None) -> Any:
    return values_of(piece.column(name), name, width)


def _mask(piece: "pa.Table", name: str) -> Any:
    return mask_of(piece.column(name))


def _about(kind: "pa.DataType") -> dict[str, Any]:
    """What an array's own type does not tell."""
    import pyarrow as pa

    plain, types = plain_type(kind), pa.types
    if types.is_timestamp(plain):
        told = {"unit": plain.unit}
        return told if plain.tz is None else {**told, "time_zone": plain.tz}
    return {"arrow_type": str(plain)} if types.is_decimal(plain) or types.is_time(plain) else {}
