"""Frames of other libraries as a table: rows in parts, with the Arrow types of their columns.

None of these libraries is imported but pandas and Arrow; who has a frame of one has it.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    return Table(table.schema, parts, tuple(part.rows for part in parts))


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
