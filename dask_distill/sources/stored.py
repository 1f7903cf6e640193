"""Rows of stored zarr arrays, of format 2 or 3, sharded or not.

Stored chunks are read whole and once; nothing open travels to a worker.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr
from dask.delayed import delayed
from zarr.storage import WrapperStore

from dask_distill.data.arrays import from_array
from dask_distill.data.reader import RowReader
from dask_distill.data.rows import chunk_rows, join_rows
from dask_distill.errors import InputError
from dask_distill.storage.location import Location, reading

_PICKLING = ("pickle", "object", "json2")
_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
# more chunks than this are not counted: a listing of an object store takes a request a thousand
_MOST_COUNTED = 100_000
# stored chunks are read whole, unless they are more than so many of ours
_MOST_AT_ONCE = 8


def count_missing(
    location: Location,
    array: Any,
    name: str,
    missing: dict[str, tuple[int, int]],
    complete: bool,
) -> None:
    """Note how many chunks, or shards, are not stored: by one listing, where that tells."""
    grid = [-(-size // unit) for size, unit in zip(array.shape, _stored(array), strict=True)]
    total = math.prod(grid)
    if not 0 < total <= _MOST_COUNTED:
        return
    try:
        system, path = location.filesystem()
        found = set(system.find(path))
    except Exception:
        # a store that cannot be listed may be read all the same
        return
    if not any(f"{path}/{file}" in found for file in ("zarr.json", ".zarray")):
        # not what is there, then
        return
    keys = (array.metadata.encode_chunk_key(place) for place in np.ndindex(*grid))
    absent = [key for key in keys if f"{path}/{key}" not in found]
    if absent and complete:
        raise _incomplete(location, absent[0], f" ({len(absent):,} of {total:,})")
    if absent:
        missing[name] = (len(absent), total)


def _incomplete(location: Location, key: str, more: str = "") -> InputError:
    return InputError(
        f"source must have every chunk where on_missing is error, got none '{key}'{more} in "
        f"'{location.shown}'; restore it, or pass on_missing=\"fill\" / --on-missing fill if it "
        "held the fill value alone"
    )


def _stored(array: Any) -> tuple[int, ...]:
    """Shape of what is one object in the store."""
    shape: tuple[int, ...] = array.shards or array.chunks
    return shape


def lazy_rows(location: Location, array: Any, what: str, complete: bool) -> da.Array:
    """A dask array whose chunks are whole stored chunks (or shards), several to a task.

    Raises
    ------
    InputError
        For scalars, and for what has no fixed form.
    """
    refuse_objects(array, what)
    shape, dtype = array.shape, array.dtype
    if not shape:
        raise InputError(
            f"{what} must be an array with rows, got a scalar '{location.url}'; name another"
        )
    if 0 in shape:
        return from_array(np.empty(shape, dtype))
    row_bytes = math.prod(shape[1:]) * max(1, dtype.itemsize)
    most_rows = _MOST_AT_ONCE * chunk_rows(row_bytes, shape[0])
    stored = _stored(array)
    if stored[0] > most_rows:
        # of a shard one can read a part
        stored = array.chunks
    unit = stored[0]
    if unit <= most_rows or len(shape) == 1 or stored[1] >= shape[1]:
        rows = chunk_rows(row_bytes, shape[0], unit)
        return join_rows([_part(location, array, complete, run) for run in _runs(shape[0], rows)])
    width = chunk_rows(unit * row_bytes // shape[1], shape[1], stored[1])
    columns = _runs(shape[1], width)
    grid = [
        join_rows([_part(location, array, complete, run, part) for run in _runs(shape[0], unit)])
        for part in columns
    ]
    # rows of chunks that are high and narrow: all columns come together piece by piece
    whole: da.Array = da.concatenate(grid, axis=1).rechunk({0: most_rows, 1: -1}, method="tasks")
    return whole if whole.dtype == dtype else whole.astype(dtype)


def _runs(size: int, step: int) -> list[slice]:
    return [slice(start, min(start + step, size)) for start in range(0, size, step)]


def _part(location: Location, array: Any, complete: bool, *place: slice) -> da.Array:
    """Some rows, and of them some columns, as one task."""
    shape = tuple(run.stop - run.start for run in place) + array.shape[len(place) :]
    reader = _Rows(location, place, array.dtype, complete)
    values = delayed(reader, pure=False, traverse=False)()
    part: da.Array = da.from_delayed(values, shape, dtype=array.dtype)
    return part


@dataclass(frozen=True)
class _Rows(RowReader):
    """Reads a part of a stored array, which a worker opens anew."""

    location: Location
    place: tuple[slice, ...]
    dtype: np.dtype[Any]
    complete: bool = False

    def __call__(self) -> npt.NDArray[np.generic]:
        with reading(self.location):
            values = open_stored(self.location, complete=self.complete)[self.place]
        return np.ascontiguousarray(values).astype(self.dtype, copy=False)

    def part(self, start: int, stop: int) -> "_Rows":
        """Rows from ``start`` to ``stop`` of these."""
        first = self.place[0].start
        return replace(self, place=(slice(first + start, first + stop), *self.place[1:]))

    def followed_by(self, other: RowReader) -> "_Rows | None":
        """Both, where the others come next in the same array: decoded side by side, not copied."""
        if not isinstance(other, _Rows):
            return None
        first, then = self.place[0], other.place[0]
        if first.stop != then.start or other != replace(self, place=(then, *self.place[1:])):
            return None
        return replace(self, place=(slice(first.start, then.stop), *self.place[1:]))


def open_stored(location: Location, *, complete: bool) -> Any:
    """A stored array, on a worker; where it is to be complete, a missing chunk is an error."""
    array = zarr.open_array(**location.zarr_arguments, mode="r")
    if not complete:
        return array
    return zarr.open_array(store=_Complete(array.store, location), path=array.path, mode="r")


class _Complete(WrapperStore[Any]):
    """A store in which a chunk that is not there is an error; asks nothing more of the store."""

    def __init__(self, store: Any, location: Location) -> None:
        super().__init__(store)
        self.location = location

    async def get(self, key: str, *arguments: Any, **more: Any) -> Any:
        """As the store does; metadata may be missing."""
        found = await self._store.get(key, *arguments, **more)
        if found is None and key.rpartition("/")[2] not in _METADATA:
            raise _incomplete(self.location, key)
        return found


def refuse_objects(array: Any, what: str) -> None:
    """Objects have no fixed form: some codecs run code to read them, others leave bytes."""
    names = list(_codecs(array.metadata.to_dict()))
    if any(word in name for name in names for word in _PICKLING):
        raise InputError(
            f"{what} must not be stored with a codec that runs code when read, got "
            f"{', '.join(names)}; store it again with zarr format 3"
        )
    if array.dtype.kind == "O":
        raise InputError(
            f"{what} must hold numbers, dates or text, got objects stored by {', '.join(names)}; "
            "convert it"
        )


def _codecs(metadata: Any) -> Iterator[str]:
    """Names of all codecs, those within a sharding codec too."""
    for key in ("filters", "compressor", "codecs", "index_codecs"):
        given = metadata.get(key) or ()
        for codec in [given] if isinstance(given, dict) else given:
            yield str(codec.get("id", codec.get("name", "")))
            yield from _codecs(codec.get("configuration", {}))


def lazy_columns(
    columns: Sequence[tuple[Location, Any]], dtype: np.dtype[Any], complete: bool
) -> da.Array:
    """(n, d) dask array of d stored arrays of one value a row, in a common type."""
    n = columns[0][1].shape[0]
    if n == 0:
        return from_array(np.empty((0, len(columns)), dtype))
    row_bytes = len(columns) * dtype.itemsize
    unit = max(_stored(array)[0] for _, array in columns)
    most_rows = _MOST_AT_ONCE * chunk_rows(row_bytes, n)
    if unit > most_rows:
        # chunks of very many rows are read once each, and come together piece by piece
        each = [lazy_rows(place, array, "features", complete) for place, array in columns]
        wide = da.concatenate([array.astype(dtype)[:, None] for array in each], axis=1)
        whole: da.Array = wide.rechunk({0: most_rows, 1: -1}, method="tasks")
        return whole
    parts = []
    for run in _runs(n, chunk_rows(row_bytes, n, unit)):
        readers = tuple(_Rows(place, (run,), array.dtype, complete) for place, array in columns)
        values = delayed(_Columns(readers, dtype), pure=False, traverse=False)()
        shape = (run.stop - run.start, len(columns))
        parts.append(da.from_delayed(values, shape, dtype=dtype))
    return join_rows(parts)


@dataclass(frozen=True)
class _Columns(RowReader):
    """Reads the same rows of several arrays, each as a column."""

    readers: tuple[_Rows, ...]
    dtype: np.dtype[Any]

    def __call__(self) -> npt.NDArray[np.generic]:
        run = self.readers[0].place[0]
        values = np.empty((run.stop - run.start, len(self.readers)), self.dtype)
        for position, reader in enumerate(self.readers):
            values[:, position] = reader()
        return values

    def part(self, start: int, stop: int) -> "_Columns":
        """Rows from ``start`` to ``stop`` of these."""
        return replace(self, readers=tuple(reader.part(start, stop) for reader in self.readers))

    def followed_by(self, other: RowReader) -> "_Columns | None":
        """Both, where the others come next in the same arrays."""
        if not isinstance(other, _Columns) or len(other.readers) != len(self.readers):
            return None
        both = [a.followed_by(b) for a, b in zip(self.readers, other.readers, strict=True)]
        joined = tuple(reader for reader in both if reader is not None)
        return replace(self, readers=joined) if len(joined) == len(both) else None
