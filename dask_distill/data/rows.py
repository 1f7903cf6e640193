"""Rows of dask arrays, by number and one array after another."""

from collections.abc import Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError

_CHUNK_BYTES = 16 * 2**20
_MOST_CHUNKS = 4096


def rows_of(dataset: Dataset, indices: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Lazy arrays of some rows of a data set, as the fields of a `Coreset`."""
    return {
        "features": take_rows(dataset.features, indices),
        "labels": None if dataset.labels is None else take_rows(dataset.labels, indices),
        "carry": {name: take_rows(array, indices) for name, array in dataset.carry.items()},
        "feature_name": dataset.feature_name,
        "label_name": dataset.label_name,
        "without_nulls": dataset.without_nulls,
        "table": None if dataset.table is None else dataset.table.take(indices),
    }


def take_rows(array: da.Array, indices: npt.NDArray[np.int64]) -> da.Array:
    """Rows of an array by ascending number: one small task for each chunk that has some.

    Parameters
    ----------
    array : (n, ...) dask array, one chunk along every axis but the first
    indices : (k,) int64 array, ascending

    Returns
    -------
    (k, ...) dask array with known chunks.
    """
    if len(indices) == 0:
        raise InputError("indices must name at least one row, got none")
    edges = np.concatenate([[0], np.cumsum(array.chunks[0])])
    cuts = np.searchsorted(indices, edges)
    parts = []
    chunks = array.to_delayed().ravel()
    for number in np.flatnonzero(np.diff(cuts)):
        local = indices[cuts[number] : cuts[number + 1]] - edges[number]
        part = dask.delayed(_take, pure=True, traverse=False)(chunks[number], local)
        shape = (len(local), *array.shape[1:])
        parts.append(da.from_delayed(part, shape, dtype=array.dtype))
    return da.concatenate(parts) if len(parts) > 1 else parts[0]


def _take(chunk: Any, local: npt.NDArray[np.int64]) -> npt.NDArray[np.generic]:
    return np.asarray(chunk)[local]


def chunk_rows(row_bytes: int, n: int, unit: int = 1) -> int:
    """Rows of a Dask chunk: about 16 MiB, a multiple of the stored unit, not too many chunks."""
    unit = max(1, unit)
    return unit * max(_CHUNK_BYTES // max(1, row_bytes * unit), -(-n // (_MOST_CHUNKS * unit)), 1)


def join_rows(parts: Sequence[da.Array]) -> da.Array:
    """One array of the parts, in their type: concatenate alone undoes big-endian byte order."""
    joined: da.Array = parts[0] if len(parts) == 1 else da.concatenate(parts)
    return joined if joined.dtype == parts[0].dtype else joined.astype(parts[0].dtype)
