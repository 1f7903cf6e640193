"""Frames of other libraries as a table: rows in parts, with the Arrow types of their columns.

None of these libraries is imported but pandas and Arrow; who has a frame of one has it.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dask_distill.data.frames_lazy import of_dask, of_xarray
from dask_distill.data.frames_pandas import arrow_of_pandas, refuse_names
from dask_distill.data.frames_read import of_arrow_dataset, of_hugging_face
from dask_distill.data.objects import home_of
from dask_distill.data.rows import chunk_rows
from dask_distill.data.stores import not_an_array
from dask_distill.data.table import MemoryPart, Table
from dask_distill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

# by package, the types whose rows have named columns
_FRAMES = {
    "pandas": ("DataFrame",),
    "dask": ("DataFrame",),
    "polars": ("DataFrame", "LazyFrame"),
    "pyarrow": ("Table", "RecordBatch", "Dataset"),
    "xarray": ("Dataset",),
    "datasets": ("Dataset", "DatasetDict", "IterableDataset", "IterableDatasetDict"),
}


def is_frame(values: Any) -> bool:
    """Whether this has rows of named columns, of any library that is known.

    Examples
    --------
    >>> import pandas as pd
    >>> is_frame(pd.DataFrame({"a": [1]})), is_frame(pd.Series([1]))
    (True, False)
    """
    names = _FRAMES.get(home_of(values))
    if names is None:
        return hasattr(type(values), "__arrow_c_stream__") and _is_stream_of_columns(values)
    return any(kind.__name__ in names for kind in type(values).__mro__)


def numbers_alone(frame: Any) -> bool:
    """Whether a frame's columns are numbers and booleans, of which none is missing.

    That NumPy's floats in a dask frame or an xarray Dataset have no NaN is believed, since all of
    it would have to be read.
    """
    home = home_of(frame)
    if home == "pandas":
        return _are_numbers(frame) and not bool(frame.isna().to_numpy().any())
    if home == "dask":
        kinds = frame._meta.dtypes
        nullable = [at for at, kind in enumerate(kinds) if not isinstance(kind, np.dtype)]
        return _are_numbers(frame._meta) and not (
            nullable and bool(frame.iloc[:, nullable].isna().any().any().compute())
        )
    if home == "xarray":
        columns = list(frame.data_vars.values())
        plain = all(column.ndim == 1 and column.dtype.kind in "biuf" for column in columns)
        return plain and len({column.dims for column in columns}) == 1
    if home == "pyarrow" and hasattr(frame, "get_fragments"):
        return False
    if home == "datasets":
        return type(frame).__name__ == "Dataset" and _are_whole(frame.data)
    return _are_whole(_arrow_of_polars(frame) if home == "polars" else _arrow(frame))


def _are_numbers(frame: Any) -> bool:
    return all(kind.kind in "biuf" for kind in frame.dtypes)


def _are_whole(table: Any) -> bool:
    """Of an Arrow table; one column of lists, which are vectors, will do."""
    import pyarrow.types as kinds

    def is_number(kind: Any) -> bool:
        return bool(kinds.is_boolean(kind) or kinds.is_integer(kind) or kinds.is_floating(kind))

    columns = table.columns
    if len(columns) == 1 and "list" in str(columns[0].type).partition("<")[0]:
        return True
    return all(is_number(column.type) and column.null_count == 0 for column in columns)


def table_of_frame(frame: Any) -> Table:
    """A frame of any kind as a table.

    Parameters
    ----------
    frame : pandas, dask or polars DataFrame, Arrow table, batch or dataset, xarray or \
Hugging Face Dataset
        Rows keep their order. What is lazy stays so, but for one pass over a dask frame's
        partitions, or an xarray Dataset's chunks, which counts rows and looks at types. An index
        of pandas and dask is a column where it has a name, and none where it has not.

    Returns
    -------
    Table

    Raises
    ------
    InputError
        For kinds, columns and types that cannot be one.

    Examples
    --------
    >>> import pandas as pd
    >>> table_of_frame(pd.DataFrame({"a": [1, 2], "b": ["x", None]}))
    Table(2 rows, 2 columns)
    """
    home = home_of(frame)
    if home == "pandas":
        return in_memory(arrow_of_pandas(frame))
    if home == "dask":
        return of_dask(frame)
    if home == "xarray":
        return of_xarray(frame)
    if home == "polars":
        return in_memory(_arrow_of_polars(frame))
    if home == "datasets":
        return _of_datasets(frame)
    if home == "pyarrow" and hasattr(frame, "get_fragments"):
        return of_arrow_dataset(frame)
    return in_memory(_arrow(frame))


def in_memory(table: "pa.Table") -> Table:
    """An Arrow table in parts of some 16 MiB, each of which travels alone.

    Raises
    ------
    InputError
        For a table without rows, or with a name twice.
    """
    refuse_names(table.column_names)
    n = table.num_rows
    if n == 0:
        raise InputError("features must have at least one row, got a table without any")
    step = chunk_rows(table.nbytes // n, n)
    parts = tuple(_Slice(table.slice(start, step)) for start in range(0, n, step))
    whole = frozenset(
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if column.null_count == 0
    )
    rows = tuple(part.rows for part in parts)
    return Table(table.schema, parts, rows, without_nulls=whole)


@dataclass(frozen=True, eq=False)
class _Slice(MemoryPart):
    """Rows of a larger table: pickled as Arrow's stream, since a pickle would hold all of it."""

    def __reduce__(self) -> tuple[Any, ...]:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as stream:
            stream.write_table(self.table)
        return _slice_of, (sink.getvalue().to_pybytes(),)


def _slice_of(stream: bytes) -> _Slice:
    import pyarrow as pa

    return _Slice(pa.ipc.open_stream(stream).read_all())


def _is_stream_of_columns(values: Any) -> bool:
    """Of what speaks Arrow's protocol, a table; a stream can be read once, and is none."""
    return hasattr(type(values), "columns") or hasattr(type(values), "column_names")


def _arrow(frame: Any) -> "pa.Table":
    import pyarrow as pa

    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    try:
        return frame if isinstance(frame, pa.Table) else pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError):
        raise not_an_array("features", frame, "pass an Arrow table or a DataFrame") from None


def _arrow_of_polars(frame: Any) -> "pa.Table":
    if not hasattr(type(frame), "to_arrow"):
        raise not_an_array(
            "features", frame, "collect() it, or sink_parquet() and open_dataset that"
        )
    # of objects it would hand over their addresses
    for name, kind in frame.schema.items():
        if str(kind) in ("Object", "Int128", "UInt128"):
            raise InputError(
                f"column {name!r} must be of a type that Arrow holds, got {kind}; cast it, or "
                "drop it"
            )
    table: pa.Table = frame.to_arrow(compat_level=sys.modules["polars"].CompatLevel.oldest())
    return table


def _of_datasets(data: Any) -> Table:
    kind = type(data).__name__
    if kind in ("DatasetDict", "IterableDatasetDict"):
        splits = ", ".join(repr(split) for split in data)
        raise not_an_array("features", data, f"pick one split of {splits}")
    if kind != "Dataset":
        raise not_an_array("features", data, "write it with to_parquet(), and open_dataset that")
    if len(data) and data.num_columns and data.cache_files:
        return of_hugging_face(data)
    return in_memory(data.with_format("arrow")[:])
