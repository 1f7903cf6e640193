"""Values of which some are missing: as one array, and as values beside a mask.

Formats whose arrays know no missing value store the two: the mask goes by ``null/`` and the name.
"""

from collections.abc import Collection, Mapping
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.data.labels import missing_labels
from dask_distill.storage.variables import NULL


def may_hold_nulls(array: da.Array) -> bool:
    """Whether a value of this type can be missing: objects can, and text that has a mark for it."""
    kind = array.dtype.kind
    return kind == "O" or (kind == "T" and hasattr(array.dtype, "na_object"))


def beside_masks(
    arrays: Mapping[str, da.Array], without_nulls: Collection[str]
) -> dict[str, da.Array]:
    """Arrays as they can be stored: text where values may be missing, and a mask of those.

    Parameters
    ----------
    arrays : mapping of (n, ...) dask arrays
    without_nulls : collection of str
        Names of text arrays that are known to be whole.

    Returns
    -------
    dict of (n, ...) dask arrays
        Missing text is empty; ``null/NAME`` is a boolean array.

    Examples
    --------
    >>> text = da.from_array(np.array(["a", None], object), chunks=2)
    >>> {name: a.compute().tolist() for name, a in beside_masks({"url": text}, ()).items()}
    {'url': ['a', ''], 'null/url': [False, True]}
    """
    found = {}
    for name, array in arrays.items():
        if name in without_nulls or not may_hold_nulls(array):
            found[name] = array
            continue
        empty = (0,) * array.ndim
        found[name] = da.map_blocks(_filled, array, dtype=object, meta=np.empty(empty, object))
        found[NULL + name] = da.map_blocks(_missing, array, dtype=bool, meta=np.empty(empty, bool))
    return found


def with_nulls(values: da.Array, mask: da.Array) -> da.Array:
    """Stored values without those that a mask of the rows says are missing.

    Text has None there, times NaT, numbers NaN: whole ones and booleans become float64.

    Examples
    --------
    >>> text = da.from_array(np.array(["a", ""], object), chunks=2)
    >>> with_nulls(text, da.from_array(np.array([False, True]))).compute().tolist()
    ['a', None]
    """
    rows = mask.rechunk(values.chunks[: mask.ndim], method="tasks")
    # of an array of more axes a row is missing whole
    rows = rows[(..., *(None,) * (values.ndim - mask.ndim))]
    kind = values.dtype
    dtype = np.dtype(object) if kind.kind in "UOT" else kind
    dtype = np.dtype(np.float64) if kind.kind in "biu" else dtype
    meta = np.empty((0,) * values.ndim, dtype)
    joined: da.Array = da.map_blocks(_restored, values, rows, dtype=dtype, meta=meta)
    return joined


def _missing(values: Any) -> npt.NDArray[np.bool_]:
    array = np.asarray(values)
    return missing_labels(array.astype(object).ravel()).reshape(array.shape)


def _filled(values: Any) -> npt.NDArray[np.object_]:
    array = np.asarray(values).astype(object)
    array[_missing(array)] = ""
    return array


def _restored(values: Any, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.generic]:
    array = np.asarray(values)
    kind = array.dtype.kind
    dtype = object if kind in "UOT" else np.float64 if kind in "biu" else array.dtype
    array = array.astype(dtype)
    missing = None if kind in "UOT" else np.array("NaT" if kind in "mM" else np.nan, array.dtype)
    array[np.broadcast_to(mask, array.shape)] = missing
    return array
