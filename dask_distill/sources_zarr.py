"""Opening zarr groups, of format 2 or 3."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import zarr
from dask.delayed import delayed

from dask_distill.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.sources import chunk_rows, missing_name, one_name, unreadable
from dask_distill.store import Location

_PICKLING = ("pickle", "object", "json2")


def open_zarr(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: Sequence[str],
) -> Dataset:
    """Lazy arrays of a group (or one array alone, as features)."""
    try:
        node = zarr.open(**location.zarr_arguments, mode="r")
    except Exception as error:
        raise unreadable(location.url, error) from None
    if isinstance(node, zarr.Array):
        if features is not None or labels or carry:
            raise InputError(
                f"features, labels and carry name arrays of a group, got the single array "
                f"'{location.url}'; leave them out, or give the group"
            )
        return Dataset(_lazy(location, node, "features"), sources=(location.url,))
    there = sorted(name for name, _ in node.arrays())
    X = one_name(features, "X", "features")
    y = labels if isinstance(labels, str) else ("y" if labels is None and "y" in node else "")
    for what, name in [
        ("features", X),
        *([("labels", y)] if y else []),
        *((f"carry {name}", name) for name in carry),
    ]:
        if name not in node or not isinstance(node[name], zarr.Array):
            raise missing_name(what, name, there, location.url)
    return Dataset(
        _lazy(location.child(X), node[X], "features"),
        _lazy(location.child(y), node[y], "labels") if y else None,
        {name: _lazy(location.child(name), node[name], f"carry {name}") for name in carry},
        feature_name=X,
        label_name=y or "y",
        sources=(location.url,),
    )


def _lazy(location: Location, array: Any, what: str) -> da.Array:
    """A dask array whose chunks are whole stored chunks (or shards), several to a task."""
    _refuse_pickle(array, what)
    if array.ndim == 0:
        raise InputError(f"{what} must be an array with rows, got a scalar '{location.url}'")
    unit = (array.shards or array.chunks)[0]
    row = int(np.prod(array.shape[1:], dtype=np.int64)) * max(1, array.dtype.itemsize)
    rows = chunk_rows(row, array.shape[0], unit)
    read = delayed(_read, pure=False, traverse=False)
    parts = []
    for start in range(0, max(1, array.shape[0]), rows):
        stop = min(start + rows, array.shape[0])
        shape = (stop - start, *array.shape[1:])
        parts.append(da.from_delayed(read(location, start, stop), shape, dtype=array.dtype))
    return da.concatenate(parts) if len(parts) > 1 else parts[0]


def _read(location: Location, start: int, stop: int) -> Any:
    """Rows of a stored array; opened anew on the worker, so that nothing open travels."""
    return zarr.open_array(**location.zarr_arguments, mode="r")[start:stop]


def _refuse_pickle(array: Any, what: str) -> None:
    """Object arrays of format 2 run code when they are read."""
    metadata = array.metadata.to_dict()
    codecs = [*(metadata.get("filters") or ()), *(metadata.get("codecs") or ())]
    names = [str(c.get("id", c.get("name", ""))) if isinstance(c, dict) else "" for c in codecs]
    if array.dtype.kind == "O" and not any("vlen" in name for name in names):
        raise InputError(f"{what} must be numbers or text, got an object array; convert it")
    if any(word in name for name in names for word in _PICKLING):
        raise InputError(
            f"{what} must not be stored with a codec that runs code when read, got "
            f"{', '.join(names)}; store it again with zarr format 3"
        )
