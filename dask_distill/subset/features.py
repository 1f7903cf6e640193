"""Features of a subset whose table was written: the columns as numbers, as when it was selected."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from dask.delayed import delayed

from dask_distill.data.arrow_columns import mask_of, values_of
from dask_distill.data.rows import join_rows
from dask_distill.data.table import Table, TablePart
from dask_distill.errors import InputError
from dask_distill.tables.columns import source_of, values_at
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.lazy import encoded
from dask_distill.tables.profile import Profile


def profile_in(provenance: Mapping[str, Any]) -> dict[str, Any] | None:
    """How features came of a table's columns; None where nothing tells."""
    profile: dict[str, Any] | None = provenance.get("input", {}).get("profile")
    return profile or None


def features_of(table: Table, provenance: Mapping[str, Any]) -> da.Array:
    """The columns of a table that was selected, as the numbers that rows were compared by.

    Parameters
    ----------
    table : Table
    provenance : mapping
        Of the subset; has a profile.

    Returns
    -------
    (k, d) dask array
        In the type that they had. Where a column was not written, whoever computes it is told.
    """
    profile = Profile.parse(profile_in(provenance) or {})
    if provenance.get("parameters", {}).get("on_invalid", "fill") != "fill":
        profile = profile.unfilled()
    encoding = Encoding(profile)
    dtype = np.dtype(provenance.get("input", {}).get("dtype", encoding.dtype))
    gone = unwritten(table, [column.name for column in profile.features])
    if gone:
        return not_there(table, gone, encoding.width, dtype)
    if dtype == encoding.dtype:
        return encoded(table, profile)
    fills = {c.name: c.encoding["fill"] if profile.filled else np.nan for c in profile.features}
    return numbers_of(table, fills, dtype)


def numbers_of(table: Table, fills: Mapping[str, float], dtype: np.dtype[Any]) -> da.Array:
    """Columns of numbers alone as they are, side by side; what is missing is filled in."""
    return _stacked(table, partial(_numbers, fills=fills, dtype=dtype), len(fills), dtype)


class NotWrittenError(InputError):
    """Features are made of columns that were left out when the subset was written."""


def unwritten(table: Table, columns: Sequence[str]) -> list[str]:
    """Columns, or fields of structs, that a table does not have."""
    names = table.schema.names
    return [
        path
        for path in columns
        if not any(path == name or path.startswith(f"{name}.") for name in names)
    ]


def not_there(table: Table, gone: Sequence[str], width: int, dtype: np.dtype[Any]) -> da.Array:
    """Features that are made of columns which were not written: whoever computes them is told."""
    listed = ", ".join(gone[:10]) + (", …" if len(gone) > 10 else "")
    return _stacked(table, partial(_not_written, columns=listed), width, dtype)


def _stacked(table: Table, task: Any, width: int, dtype: np.dtype[Any]) -> da.Array:
    """What a task gives for each part."""
    make = delayed(task, pure=False, traverse=False)
    return join_rows(
        [
            da.from_delayed(make(part), (rows, width), dtype=dtype)
            for part, rows in zip(table.parts, table.rows, strict=True)
        ]
    )


def _not_written(part: TablePart, *, columns: str) -> Any:
    raise NotWrittenError(
        f"features must be made of columns that were written, and {columns} were not; write these, "
        "too (columns= / --columns), or what is made of them (keep_encoded=True / --keep-encoded)"
    )


def _numbers(
    part: TablePart, *, fills: Mapping[str, float], dtype: np.dtype[Any]
) -> npt.NDArray[np.generic]:
    """Columns of numbers side by side, each in its own type before; runs as a task."""
    table = part.read(list(dict.fromkeys(source_of(name, part.schema) for name in fills)))
    rows = np.empty((table.num_rows, len(fills)), dtype)
    for at, (name, fill) in enumerate(fills.items()):
        column = pa.chunked_array([values_at(table, name)])
        values = values_of(column, name)
        missing = mask_of(column)
        if values.dtype.kind == "O":
            # decimals
            values = np.where(missing, "nan", values).astype(np.float64)
        rows[:, at] = values
        if dtype.kind == "f":
            missing |= ~np.isfinite(rows[:, at])
            rows[missing, at] = fill
    return rows
