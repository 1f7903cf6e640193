"""A selected table as a dask DataFrame, with types of pandas that lose nothing."""

import itertools
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.delayed import delayed

from dask_distill.data.arrow_columns import is_list, is_text, plain_column, plain_type, row_bytes
from dask_distill.data.table import Table, TablePart, read_parts
from dask_distill.errors import InputError, InputWarning
from dask_distill.storage.variables import INDEX_COLUMN, WEIGHT_COLUMN
from dask_distill.subset.names import distinct
from dask_distill.subset.subset import Subset

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd
    import pyarrow as pa

_PART_BYTES = 64 * 2**20
_PART_ROWS = 2**20
# numbers of a list of which nothing tells the length
_LIST_WIDTH = 64


def table_frame(
    subset: Subset, table: Table, columns: Sequence[str] | None = None
) -> "dd.DataFrame":
    """The columns of a selected table, with ``_index`` and ``_weight``.

    Parameters
    ----------
    subset : Subset
    table : Table
        Of the subset.
    columns : None
        Features are not among the columns, and have no names here.

    Returns
    -------
    dask.dataframe.DataFrame

    Raises
    ------
    InputError
        Where ``columns`` are given.
    """
    import dask.dataframe as dd

    if columns is not None:
        raise InputError(
            "columns must not be given for a table, whose columns have their names, got some; "
            "rename what comes out, with rename(columns={...})"
        )
    names = _names(table.schema.names)
    lossy = _lossy(table)
    edges = [*range(0, table.n, _part_rows(table)), table.n]
    make = delayed(_frame, pure=False, traverse=False)
    parts = []
    for start, stop in itertools.pairwise(edges):
        found = table.between(start, stop)
        own = (subset.indices[start:stop], subset.weights[start:stop])
        ranges = [(first, last) for _, first, last in found]
        parts.append(make(names, lossy, start, own, ranges, *(part for part, _, _ in found)))
    empty = (subset.indices[:0], subset.weights[:0])
    meta = _as_frame(table.schema.empty_table(), names, lossy, 0, empty)
    # each part has categories of its own
    meta = dd.utils.clear_known_categories(meta)
    frame: dd.DataFrame = dd.from_delayed(parts, meta=meta, divisions=(*edges[:-1], edges[-1] - 1))
    return frame


def _names(columns: Sequence[str]) -> list[str]:
    """Columns as they are called; one that is named as ours gets an underscore."""
    names = distinct(list(columns), (INDEX_COLUMN, WEIGHT_COLUMN), plain=False)
    for old, new in zip(columns, names, strict=True):
        if old != new:
            line = f"{old!r} is written as {new!r}: the table has another column of that name"
            warnings.warn(line, InputWarning, stacklevel=5)
    return names


def _lossy(table: Table) -> frozenset[str]:
    """Columns of which NumPy's types would lose something: they keep Arrow's."""
    nulls = {field.name for field in table.schema if field.nullable} - table.without_nulls
    return frozenset(
        field.name for field in table.schema if not _is_plain(field.type, field.name in nulls)
    )


def _is_plain(kind: "pa.DataType", nulls: bool) -> bool:
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _is_plain(kind.storage_type, nulls)
    if types.is_dictionary(kind):
        # of other values a category cannot be made of each
        inner = kind.value_type
        return is_text(inner) or types.is_integer(inner) or types.is_boolean(inner)
    if types.is_integer(kind) or types.is_boolean(kind):
        return not nulls
    dates = types.is_timestamp(kind) or types.is_duration(kind)
    return is_text(kind) or types.is_floating(kind) or dates


def _part_rows(table: Table) -> int:
    """Rows of a partition: from the types of the columns alone, not from parts."""
    row = sum(
        row_bytes(field.type, _LIST_WIDTH if is_list(plain_type(field.type)) else None)
        for field in table.schema
    )
    return int(max(1, min(_PART_ROWS, _PART_BYTES // max(1, row))))


def _frame(
    names: list[str],
    lossy: frozenset[str],
    start: int,
    own: tuple[Any, Any],
    ranges: list[tuple[int, int]],
    *parts: TablePart,
) -> "pd.DataFrame":
    """One partition; runs as a task."""
    return _as_frame(read_parts(parts, ranges, None), names, lossy, start, own)


def _as_frame(
    table: "pa.Table", names: list[str], lossy: frozenset[str], start: int, own: tuple[Any, Any]
) -> "pd.DataFrame":
    import pandas as pd

    index, weight = own
    rows = pd.RangeIndex(start, start + len(index))
    found = {
        new: pd.Series(_values(column, name in lossy), index=rows)
        for name, new, column in zip(table.column_names, names, table.columns, strict=True)
    }
    return pd.DataFrame(
        {**found, INDEX_COLUMN: pd.Series(index, rows), WEIGHT_COLUMN: pd.Series(weight, rows)}
    )


def _values(column: "pa.ChunkedArray", lossy: bool) -> Any:
    """A column's values as pandas has them."""
    import pandas as pd
    import pyarrow as pa

    if lossy:
        return pd.arrays.ArrowExtensionArray(plain_column(column))
    if isinstance(column.type, pa.BaseExtensionType):
        column = plain_column(column)
    if pa.types.is_dictionary(column.type):
        # the order of categories lies in the dictionary, which is another in each part
        values = plain_column(column).dictionary_encode()
        return pd.Categorical(values.to_pandas(), ordered=False)
    if is_text(column.type):
        return pd.Series(column.cast(pa.large_string()).to_pandas(), dtype="str").array
    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return np.asarray(column.to_numpy())
    return column.to_pandas().array
