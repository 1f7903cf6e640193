"""Features of a subset whose table was written: the columns as numbers, as when it was selected."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.data.arrow_columns import mask_of, values_of
from dask_distill.data.rows import join_rows
from dask_distill.data.table import Table, TablePart
from dask_distill.errors import InputError
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
    gone = [column.name for column in profile.features if not _has(table, column.name)]
    if gone:
        listed = ", ".join(gone[:10]) + (", …" if len(gone) > 10 else "")
        return _stacked(table, partial(_not_written, columns=listed), encoding.width, dtype)
    if dtype == encoding.dtype:
        return encoded(table, profile)
    # a table of numbers alone is read as it is
    fills = {c.name: c.encoding["fill"] if profile.filled else np.nan for c in profile.features}
    return _stacked(table, partial(_numbers, fills=fills, dtype=dtype), encoding.width, dtype)


def _has(table: Table, path: str) -> bool:
    names = table.schema.names
    return any(path == name or path.startswith(f"{name}.") for name in names)


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
    raise InputError(
        f"features must be made of columns that were written, and {columns} were not; write these, "
        "too (columns= / --columns), or what is made of them (keep_encoded=True / --keep-encoded)"
    )


def _numbers(
    part: TablePart, *, fills: Mapping[str, float], dtype: np.dtype[Any]
) -> npt.NDArray[np.generic]:
    """Columns of numbers side by side, each in its own type before; runs as a task."""
    table = part.read(list(fills))
    rows = np.empty((table.num_rows, len(fills)), dtype)
    for at, (name, fill) in enumerate(fills.items()):
        column = table.column(name)
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
