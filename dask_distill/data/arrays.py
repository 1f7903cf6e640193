"""Any accepted kind of array as a dask array with NumPy blocks and known chunks."""

import sys
from typing import Any

import dask.array as da
import numpy as np

from dask_distill.data.objects import FRAMES, home_of, known_form
from dask_distill.errors import InputError

_CHUNK_BYTES = 16 * 2**20
NUMBERS = "biuf"
TEXT = "UOT"
# float64 holds every whole number up to here
_LARGEST_EXACT = 2**53


def from_array(array: Any) -> da.Array:
    """Wrap an array with row access in chunks of about 16 MiB, without hashing its content."""
    row = max(1, int(np.prod(array.shape[1:], dtype=np.int64)) * max(1, array.dtype.itemsize))
    rows = max(1, min(array.shape[0] or 1, _CHUNK_BYTES // row))
    wrapped: da.Array = da.from_array(array, chunks=(rows, *array.shape[1:]), name=False)
    return wrapped


def as_dask(values: Any, name: str) -> da.Array:
    """Any accepted kind of array as a dask array with NumPy blocks and known chunks."""
    values = known_form(values, name)
    home = home_of(values)
    if home in FRAMES and _is_frame(values):
        values = _frame_values(values, name)
    elif home in FRAMES and _is_series(values):
        values = _series_values(_as_series(values), name)
    if isinstance(values, da.Array):
        return _numpy_blocks(values, name)
    if isinstance(values, np.ma.MaskedArray):
        raise InputError(_masked(name))
    try:
        array = np.asarray(values)
    except Exception as error:
        raise InputError(
            f"{name} must be an array, got {type(values).__name__} with rows that differ: {error}; "
            "give every row the same length"
        ) from None
    if array.ndim == 0:
        raise InputError(
            f"{name} must be an array, got {type(values).__name__}; a file is opened with "
            "open_dataset, a sparse matrix made dense with toarray()"
        )
    return from_array(array)


def _is_frame(values: Any) -> bool:
    # a dask Series has columns, too
    return hasattr(values, "columns") and getattr(values, "ndim", 0) == 2


def _is_series(values: Any) -> bool:
    # a Delayed says that it has whatever is asked for
    return not isinstance(values, da.Array) and hasattr(type(values), "astype")


def _as_series(values: Any) -> Any:
    """A Series; what `.values`, `.array` and an index are in pandas has less of what is asked."""
    if hasattr(values, "dropna") and hasattr(values, "dt"):
        return values
    pandas = sys.modules.get("pandas")
    is_index = pandas is not None and isinstance(values, pandas.Index)
    is_array = pandas is not None and isinstance(values, pandas.api.extensions.ExtensionArray)
    return pandas.Series(values) if pandas is not None and (is_index or is_array) else values


def _numpy_blocks(array: da.Array, name: str) -> da.Array:
    meta = array._meta
    if isinstance(meta, np.ma.MaskedArray):
        raise InputError(_masked(name))
    if not isinstance(meta, np.ndarray | np.generic):
        raise InputError(
            f"{name} must have NumPy blocks, got blocks of type {type(meta).__name__}; convert "
            "them with map_blocks"
        )
    return known_chunks(array)


def _masked(name: str) -> str:
    return f"{name} must not be masked, got a masked array; fill it with filled(), e.g. with NaN"


def known_chunks(array: da.Array) -> da.Array:
    """The array with its chunks counted; counting reads it, where they are not known."""
    if not any(np.isnan(size) for axis in array.chunks for size in axis):
        return array
    # compute_chunk_sizes changes the array itself, and this one is the user's
    ours = da.Array(array.dask, array.name, array.chunks, meta=array._meta)
    counted: da.Array = ours.compute_chunk_sizes()
    return counted


def _frame_values(frame: Any, name: str) -> Any:
    """A DataFrame's columns, which must be numbers, in their common type.

    One column of anything else is taken as a Series, so that labels may come as a DataFrame.
    """
    kinds = [(str(column), frame.iloc[:, i]) for i, column in enumerate(frame.columns)]
    if len(kinds) == 1 and name != "features":
        return _series_values(kinds[0][1], name)
    types = {column: _numpy_dtype(series) for column, series in kinds}
    other = [
        f"{column} ({series.dtype})"
        for column, series in kinds
        if types[column].kind not in NUMBERS
    ]
    if other:
        listed = ", ".join(other[:10]) + (", …" if len(other) > 10 else "")
        raise InputError(
            f"{name} must be numbers, got columns {listed}; encode them, or leave them out"
        )
    if len(types) != len(kinds):
        raise InputError(f"{name} must have columns of different names, got one twice; rename it")
    common = np.result_type(*types.values()) if types else np.dtype(np.float64)
    return _to_array(frame.astype(common))


def _series_values(series: Any, name: str) -> Any:
    """A Series as numbers or dates of NumPy's, or as objects where it holds text."""
    kind, dtype = series.dtype, _numpy_dtype(series)
    # objects may be anything; of the types that pandas names, only text becomes objects
    is_text = isinstance(kind, np.dtype) or hasattr(kind, "categories") or kind.type is str
    if dtype.kind == "O" and not is_text:
        raise InputError(
            f"{name} must hold numbers, dates or text, got a Series of {kind}; convert it"
        )
    if kind == dtype:
        return _to_array(series)
    if dtype.kind == "M" and (getattr(kind, "tz", None) or "tz=" in str(kind)):
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    if dtype.kind == "f" and getattr(kind, "kind", "") in "iu":
        if hasattr(series, "dask"):
            meta = (series.name, np.float64)
            return _to_array(series.map_partitions(_exact_floats, name, meta=meta))
        return _to_array(_exact_floats(series, name))
    return _to_array(series.astype(dtype))


def _exact_floats(series: Any, name: str) -> Any:
    """Integers that may be missing, as float64, unless that would round them."""
    known = series.dropna()
    large = known[(known > _LARGEST_EXACT) | (known < -_LARGEST_EXACT)]
    if len(large):
        raise InputError(
            f"{name} must be within ±2**53 where values may be missing, since it becomes float64, "
            f'got {large.iloc[0]}; where none is missing use astype("{series.dtype.kind}8")'
        )
    return series.astype(np.float64)


def _to_array(values: Any) -> Any:
    if hasattr(values, "to_dask_array"):
        # rows would be counted by partitions that reading may have merged (dask#12411)
        values = values.optimize() if hasattr(values, "optimize") else values
        return values.to_dask_array(lengths=True)
    return values.to_numpy()


def _numpy_dtype(series: Any) -> np.dtype[Any]:
    """The NumPy type that holds a Series, missing values included; object for text."""
    kind = series.dtype
    if isinstance(kind, np.dtype):
        return kind
    if hasattr(kind, "tz") and isinstance(kind.base, np.dtype):
        return kind.base
    lazy = hasattr(series, "dask")
    if hasattr(kind, "categories"):
        # categories may be numbers; dask does not always know them
        known = not lazy or series.cat.known
        inner = kind.categories.dtype if known and kind.categories is not None else None
        numpy_type = inner if isinstance(inner, np.dtype) else np.dtype(object)
    else:
        inner = getattr(kind, "numpy_dtype", None) or getattr(kind, "subtype", None)
        # the bounds of intervals are a subtype, too
        if not isinstance(inner, np.dtype) or inner.kind != kind.kind:
            inner = np.dtype(object)
        numpy_type = inner
    if numpy_type.kind not in NUMBERS + "mM":
        return np.dtype(object)
    if numpy_type.kind in "biu" and (lazy or bool(series.isna().any())):
        return np.dtype(np.float64)
    return numpy_type


def columns_of(features: Any) -> tuple[str, ...] | None:
    """Names of a DataFrame's columns; None for arrays."""
    if home_of(features) in FRAMES and _is_frame(features):
        return tuple(str(name) for name in features.columns)
    return None


def one_row_axis(array: da.Array) -> da.Array:
    """One chunk along every axis but the first."""
    if all(len(sizes) == 1 for sizes in array.chunks[1:]):
        return array
    whole = dict.fromkeys(range(1, array.ndim), -1)
    joined: da.Array = array.rechunk(whole, method="tasks")
    return joined
