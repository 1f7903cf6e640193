"""Arrays in the stores of other libraries, opened there by the user: rows are read when computed.

None of these libraries is imported; who has an object of one has.
"""

import importlib
import os
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.data.labels import dense
from dask_distill.data.packed import refuse_attributes, refuse_packed
from dask_distill.data.reader import RowReader
from dask_distill.errors import InputError
from dask_distill.storage.variables import FEATURES

_CHUNK_BYTES = 16 * 2**20
# these travel as an address; others hold the bytes
_STORED = ("LocalStore", "FsspecStore", "ZipStore", "ObjectStore")


def of_zarr(values: Any, name: str) -> da.Array:
    """A zarr array as a dask array; a group is refused.

    Raises
    ------
    InputError
    """
    if not hasattr(type(values), "chunks"):
        raise not_an_array(
            name, values, "pick one of its arrays, e.g. group['X'], or open_dataset its path"
        )
    refuse_packed(values, name, values.basename or FEATURES)
    if type(values.store).__name__ not in _STORED:
        return rows_of_object(values, name, values.shape, values.dtype)
    if hasattr(values.store, "root"):
        # a worker may have another working directory
        root = os.path.abspath(values.store.root)
        values = importlib.import_module("zarr").open_array(root, path=values.path, mode="r")
    unit = (values.shards or values.chunks or (1,))[0]
    return _stored_rows(values, name, values.shape, values.dtype, unit)


def of_h5py(values: Any, name: str) -> da.Array:
    """An HDF5 data set as a dask array; a file or group is refused.

    Raises
    ------
    InputError
    """
    if not hasattr(type(values), "chunks"):
        raise not_an_array(name, values, "pick one of its data sets, e.g. file['X']")
    refuse_attributes(values.attrs, values.dtype, name, values.name or "")
    if values.dtype.kind == "O" and (
        importlib.import_module("h5py").check_string_dtype(values.dtype) is None
    ):
        raise not_an_array(name, values, "it holds objects of any length; store it as numbers")
    unit = (values.chunks or (1,))[0]
    return _stored_rows(_H5Rows(values), name, values.shape, values.dtype, unit)


def rows_of_object(
    values: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> da.Array:
    """A dask array that takes rows of an object, which travels whole.

    Parameters
    ----------
    values : object
        Gives rows for slices.
    name : str
        What it is wanted for.
    shape : tuple of int
    dtype : dtype

    Raises
    ------
    InputError
    """
    if 0 in _rows_in(values, name, shape):
        return _empty(shape, dtype)
    lazy: da.Array = da.from_array(
        _Rows(values, name, shape, dtype),
        chunks=(_chunk_rows(shape, dtype, 1), *shape[1:]),
        name=False,
        meta=np.empty((0,) * len(shape), dtype),
    )
    return lazy


def _stored_rows(
    values: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], unit: int
) -> da.Array:
    """A dask array whose tasks read rows, of ``unit`` rows that are stored together."""
    if 0 in _rows_in(values, name, shape):
        return _empty(shape, dtype)
    rows = _Rows(values, name, shape, dtype)
    step = _chunk_rows(shape, dtype, unit)
    parts = []
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        part = delayed(_Run(rows, start, stop), pure=False, traverse=False)()
        parts.append(da.from_delayed(part, (stop - start, *shape[1:]), dtype=dtype))
    joined: da.Array = parts[0] if len(parts) == 1 else da.concatenate(parts)
    return joined if joined.dtype == dtype else joined.astype(dtype)


def _rows_in(values: Any, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape:
        raise not_an_array(name, values, "it has one value; pass one with rows")
    return shape


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> da.Array:
    empty: da.Array = da.from_array(np.empty(shape, dtype))
    return empty


def _chunk_rows(shape: tuple[int, ...], dtype: np.dtype[Any], unit: int) -> int:
    row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * max(1, dtype.itemsize)
    unit = max(1, unit)
    return min(shape[0], unit * max(1, _CHUNK_BYTES // (row_bytes * unit)))


@dataclass(frozen=True)
class _Run(RowReader):
    """Reads rows of a store."""

    rows: "_Rows"
    start: int
    stop: int

    def __call__(self) -> npt.NDArray[np.generic]:
        return self.rows[self.start : self.stop]

    def part(self, start: int, stop: int) -> "_Run":
        """Rows from ``start`` to ``stop`` of these."""
        return replace(self, start=self.start + start, stop=self.start + stop)

    def followed_by(self, other: RowReader) -> "_Run | None":
        """Both, where the others come next in the same store."""
        if not isinstance(other, _Run) or other.rows is not self.rows or other.start != self.stop:
            return None
        return replace(self, stop=other.stop)


class _Rows:
    """Rows of an object as NumPy's, and nothing else."""

    def __init__(self, values: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]):
        self.values, self.name, self.shape, self.dtype = values, name, shape, dtype
        self.ndim = len(shape)

    def __getitem__(self, place: Any) -> npt.NDArray[np.generic]:
        rows = self.values[place]
        if isinstance(rows, np.ma.MaskedArray):
            raise InputError(
                f"{self.name} must not be masked, got {type(self.values).__name__} of masked rows; "
                "fill it, e.g. with NaN"
            )
        return dense(rows, self.name)


class _H5Rows:
    """Rows of an HDF5 data set, which a worker opens anew: h5py's objects do not travel."""

    def __init__(self, dataset: Any = None, file: str = "", path: str = ""):
        self.dataset, self.file, self.path = dataset, file, path

    def __reduce__(self) -> Any:
        file, path = self.file, self.path
        if self.dataset is not None:
            file, path = os.path.abspath(self.dataset.file.filename), self.dataset.name
        return type(self), (None, file, path)

    def __getitem__(self, place: Any) -> Any:
        if self.dataset is not None:
            return _text_or_numbers(self.dataset)[place]
        h5py = importlib.import_module("h5py")
        try:
            with h5py.File(self.file, "r") as file:
                return _text_or_numbers(file[self.path])[place]
        except (OSError, KeyError) as error:
            raise InputError(
                f"'{self.path}' of '{self.file}' must be readable on workers, got {error}; close "
                "who writes to it, and put it where workers see it"
            ) from None


def _text_or_numbers(dataset: Any) -> Any:
    return dataset.asstr() if dataset.dtype.kind == "O" else dataset


def not_an_array(name: str, values: Any, way_out: str) -> InputError:
    """The error for an object that is none, with the way to one."""
    home = type(values).__module__.partition(".")[0]
    kind = type(values).__name__
    kind = kind if home in ("builtins", "numpy") else f"{home}.{kind}"
    return InputError(f"{name} must be an array, got {kind}; {way_out}")
