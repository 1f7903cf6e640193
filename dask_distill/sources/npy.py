"""Opening .npy and .npz files."""

import math
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.data.arrays import from_array
from dask_distill.data.dataset import Dataset
from dask_distill.data.reader import RowReader
from dask_distill.data.rows import chunk_rows, join_rows
from dask_distill.data.uses import array_kind, array_uses
from dask_distill.data.weights import UNNAMED
from dask_distill.errors import InputError
from dask_distill.sources.errors import clear_errors, existing, location_of
from dask_distill.sources.reader import missing_name, one_name, open_filesystem
from dask_distill.storage.location import Location, reading
from dask_distill.storage.variables import FEATURES, LABELS

_ZIP_ENTRY = "<4s22xHH"


def open_npy(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: tuple[str, ...],
    weight: str | bool | None = None,
) -> Dataset:
    """Features in one .npy, labels in another, and sample weights."""
    if features is not None or carry:
        raise InputError(
            "features and carry name arrays of a group, got a single .npy; put several arrays "
            "into an .npz or a zarr group"
        )
    dataset = Dataset(features=_lazy(_npy(location)), sources=(location.url,))
    for field, name in (("labels", labels), ("sample_weight", weight)):
        if isinstance(name, str) and name:
            other = location_of(name, location.options)
            with clear_errors(other):
                other = existing(other)
                array = _lazy(_npy(other))
            changes: dict[str, Any] = {field: array, "sources": (*dataset.sources, other.url)}
            dataset = replace(dataset, **changes)
    return dataset


def open_npz(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: tuple[str, ...],
    weight: str | bool | None = None,
) -> Dataset:
    """Arrays of an archive, by their names in it."""
    system, path = open_filesystem(location)
    X = one_name(features, FEATURES, "features")
    with system.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
        y = (
            labels
            if isinstance(labels, str)
            else (LABELS if labels is None and LABELS in there else "")
        )
        w = str(weight or "")
        named = {"features": X} | {f"carry {name}": name for name in carry}
        named |= {"sample_weight": w} if w else {}
        # types of those that are left out are not read
        arrays, kinds = {}, dict.fromkeys(there, "array")
        for what, name in (named | ({"labels": y} if y else {})).items():
            if name not in there:
                raise missing_name(what, name, there, location.url)
            arrays[what] = _lazy(_member(location, file, archive, f"{name}.npy"))
            kinds[name] = array_kind(arrays[what].dtype, arrays[what].shape)
    return Dataset(
        features=arrays["features"],
        labels=arrays.get("labels"),
        carry={name: arrays[f"carry {name}"] for name in carry},
        feature_name=X,
        label_name=y or LABELS,
        sources=(location.url,),
        uses=array_uses(kinds, (X,), y, carry, w),
        sample_weight=arrays.get("sample_weight"),
        weight_name=w or UNNAMED,
    )


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """Where the values of one array lie: from a byte of a file on, or packed in an archive."""

    location: Location
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    member: str | None = None

    @property
    def mapped(self) -> bool:
        return self.location.path is not None and self.member is None

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def _npy(location: Location) -> _Stored:
    system, path = open_filesystem(location)
    with system.open(path, "rb") as file:
        shape, fortran, dtype = _header(file, location)
        stored = _Stored(
            location=location, offset=file.tell(), shape=shape, dtype=dtype, fortran=fortran
        )
    _refuse_short(stored, system.size(path))
    return stored


def _member(location: Location, file: Any, archive: zipfile.ZipFile, name: str) -> _Stored:
    """An array of an .npz: packed ones are read as a whole, others from where they lie."""
    entry = archive.getinfo(name)
    with archive.open(entry) as packed:
        shape, fortran, dtype = _header(packed, location)
        header = packed.tell()
    whole = _Stored(
        location=location,
        offset=header,
        shape=shape,
        dtype=dtype,
        fortran=fortran,
        member=name.removesuffix(".npy"),
    )
    _refuse_short(whole, entry.file_size)
    if entry.compress_type != zipfile.ZIP_STORED:
        return whole
    file.seek(entry.header_offset)
    _, name_size, extra_size = struct.unpack(_ZIP_ENTRY, file.read(struct.calcsize(_ZIP_ENTRY)))
    start = entry.header_offset + struct.calcsize(_ZIP_ENTRY) + name_size + extra_size
    return replace(whole, offset=start + header, member=None)


def _header(file: Any, location: Location) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    headers = np.lib.format
    old = headers.read_magic(file) == (1, 0)
    read = headers.read_array_header_1_0 if old else headers.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise InputError(
            f"source '{location.url}' must hold no object arrays: they would be unpickled; save "
            "numbers or fixed-width text"
        )
    if not shape or min(shape) < 0:
        raise InputError(
            f"source '{location.url}' must hold arrays with rows, got shape {shape}; save them "
            "as (n, d)"
        )
    return shape, fortran, dtype


def _refuse_short(stored: _Stored, size: int) -> None:
    needed = stored.offset + stored.shape[0] * stored.row_bytes
    if size < needed:
        raise InputError(
            f"source '{stored.location.url}' must hold {needed} bytes for shape {stored.shape}, "
            f"got {size}; check that it is complete"
        )


def _lazy(stored: _Stored) -> da.Array:
    """A dask array whose tasks read rows; those of a packed or column-wise file read it whole."""
    n = stored.shape[0]
    if 0 in stored.shape:
        return from_array(np.empty(stored.shape, stored.dtype))
    rows = chunk_rows(stored.row_bytes, n)
    whole = not stored.mapped and (stored.member is not None or stored.fortran)
    step = n if whole else rows
    parts = []
    for start in range(0, n, step):
        stop = min(start + step, n)
        shape = (stop - start, *stored.shape[1:])
        reader = _WholeFile(stored) if whole else _Rows(stored, start, stop)
        values = delayed(reader, pure=False, traverse=False)()
        parts.append(da.from_delayed(values, shape, dtype=stored.dtype))
    joined = join_rows(parts)
    return joined.rechunk({0: rows}, method="tasks") if whole else joined


@dataclass(frozen=True)
class _WholeFile:
    """Reads all rows of a stored array."""

    stored: _Stored

    def __call__(self) -> npt.NDArray[np.generic]:
        return _read(self.stored, 0, self.stored.shape[0])


@dataclass(frozen=True)
class _Rows(RowReader):
    """Reads rows of a stored array from where they lie."""

    stored: _Stored
    start: int
    stop: int

    def __call__(self) -> npt.NDArray[np.generic]:
        return _read(self.stored, self.start, self.stop)

    def part(self, start: int, stop: int) -> "_Rows":
        """Rows from ``start`` to ``stop`` of these."""
        return replace(self, start=self.start + start, stop=self.start + stop)

    def followed_by(self, other: RowReader) -> "_Rows | None":
        """Both, where the others come next in the same array."""
        if not isinstance(other, _Rows) or other != replace(self, start=self.stop, stop=other.stop):
            return None
        return replace(self, stop=other.stop)


def _read(stored: _Stored, start: int, stop: int) -> npt.NDArray[np.generic]:
    """Rows of a stored array; runs on a worker."""
    with reading(stored.location):
        return _rows(stored, start, stop)


def _rows(stored: _Stored, start: int, stop: int) -> npt.NDArray[np.generic]:
    system, path = open_filesystem(stored.location)
    if stored.mapped:
        order: Literal["F", "C"] = "F" if stored.fortran else "C"
        mapped = np.memmap(path, stored.dtype, "r", stored.offset, stored.shape, order)
        # parts of an archive may lie on odd addresses
        return np.require(mapped[start:stop].view(np.ndarray), requirements=["C", "A"])
    with system.open(path, "rb") as file:
        if stored.member is not None:
            with np.load(file, allow_pickle=False) as archive:
                return np.ascontiguousarray(archive[stored.member])
        file.seek(stored.offset + start * stored.row_bytes)
        data = file.read((stop - start) * stored.row_bytes)
    flat: npt.NDArray[np.generic] = np.frombuffer(data, stored.dtype)
    shape = (stop - start, *stored.shape[1:])
    return np.ascontiguousarray(flat.reshape(shape, order="F" if stored.fortran else "C"))
