"""Text of which some values are missing: as one array with None, and as text beside a mask.

Formats whose text knows no missing value store the two: the mask goes by ``null/`` and the name.
"""

from collections.abc import Collection, Mapping
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.data.labels import missing_labels

NULL = "null/"


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


def with_nulls(text: da.Array, mask: da.Array) -> da.Array:
    """Stored text with None where its mask says so.

    Examples
    --------
    >>> text = da.from_array(np.array(["a", ""], object), chunks=2)
    >>> with_nulls(text, da.from_array(np.array([False, True]))).compute().tolist()
    ['a', None]
    """
    mask = mask.rechunk(text.chunks, method="tasks")
    meta = np.empty((0,) * text.ndim, object)
    joined: da.Array = da.map_blocks(_restored, text, mask, dtype=object, meta=meta)
    return joined


def _missing(values: Any) -> npt.NDArray[np.bool_]:
    array = np.asarray(values)
    return missing_labels(array.astype(object).ravel()).reshape(array.shape)


def _filled(values: Any) -> npt.NDArray[np.object_]:
    array = np.asarray(values).astype(object)
    array[_missing(array)] = ""
    return array


def _restored(text: Any, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.object_]:
    array = np.asarray(text).astype(object)
    array[mask] = None
    return array
