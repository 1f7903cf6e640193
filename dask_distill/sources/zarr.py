"""Opening zarr groups and arrays, of format 2 or 3, sharded or not.

Stored chunks are read whole and once; nothing open travels to a worker.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr
from dask.delayed import delayed
from zarr.storage import WrapperStore

from dask_distill.data.arrays import from_array
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import chunk_rows, join_rows
from dask_distill.data.texts import TextSize
from dask_distill.data.uses import ColumnUse, array_kind, array_uses
from dask_distill.errors import InputError
from dask_distill.sources.packed import refuse_packed
from dask_distill.sources.reader import RowReader, missing_name, one_name
from dask_distill.storage.location import Location, reading
from dask_distill.storage.manifest import ATTRIBUTE

_PICKLING = ("pickle", "object", "json2")
_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
# more chunks than this are not counted: a listing of an object store takes a request a thousand
_MOST_COUNTED = 100_000
# the first chunk of a text array is read at opening, to know how long texts are, up to so many
_SAMPLED_BYTES = 2**20
# stored chunks are read whole, unless they are more than so many of ours
_MOST_AT_ONCE = 8


def open_zarr(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: Sequence[str],
    *,
    complete: bool = False,
) -> Dataset:
    """Lazy arrays of a group (or one array alone, as features); complete ones, if that is asked."""
    missing: dict[str, tuple[int, int]] = {}
    node = zarr.open(**location.zarr_arguments, mode="r")
    if isinstance(node, zarr.Array):
        if features is not None or labels or carry:
            raise InputError(
                f"features, labels and carry name arrays of a group, got the single array "
                f"'{location.url}'; leave them out, or give the group"
            )
        refuse_packed(node, "features", node.basename or "X")
        _count_missing(location, node, "features", missing, complete)
        array = _lazy(location, node, "features", complete)
        return Dataset(array, sources=(location.url,), missing=missing)
    if node.metadata.consolidated_metadata is not None:
        # a copy of the metadata, which does not know of arrays that came later
        node = zarr.open_group(**location.zarr_arguments, mode="r", use_consolidated=False)
    usual_features, usual_labels = _usual_names(node, location)
    X = one_name(features, usual_features, "features")
    y = labels if isinstance(labels, str) else ""
    if labels is None and usual_labels in node:
        y = usual_labels

    def member(name: str, what: str) -> da.Array:
        array = node.get(name)
        if not isinstance(array, zarr.Array):
            there = sorted(name for name, _ in node.arrays())
            raise missing_name(what, name, there, location.url)
        refuse_packed(array, what, name)
        _count_missing(location.child(name), array, name, missing, complete)
        return _lazy(location.child(name), array, what, complete)

    return Dataset(
        member(X, "features"),
        member(y, "labels") if y else None,
        {name: member(name, f"carry {name}") for name in carry},
        texts=_text_sizes(node, [*carry, *([y] if y else [])], location),
        feature_name=X,
        label_name=y or "y",
        sources=(location.url,),
        missing=missing,
        uses=_uses(node, X, y, carry),
    )


def _uses(group: Any, features: str, labels: str, carry: Sequence[str]) -> tuple[ColumnUse, ...]:
    """What becomes of each array; of those beside, if all of them can be read."""
    named = {name: group[name] for name in (*carry, labels, features) if name}
    with suppress(Exception):
        # an array of a type that zarr does not know closes the listing, not the others
        named |= dict(group.arrays())
    kinds = {name: array_kind(array.dtype, array.shape) for name, array in named.items()}
    return array_uses(kinds, features, labels, carry)


def _text_sizes(group: Any, names: Sequence[str], location: Location) -> dict[str, TextSize]:
    """Of arrays of text, by their first chunks, unless these are large."""
    found = {}
    for name in names:
        array = group[name]
        if array.dtype.kind == "T" and array.ndim == 1 and array.shape[0]:
            with suppress(Exception):
                # what cannot be read is told by the run
                system, path = location.child(name).filesystem()
                key = array.metadata.encode_chunk_key((0,))
                if system.size(f"{path}/{key}") <= _SAMPLED_BYTES:
                    texts = array[: array.chunks[0]]
                    mean = sum(len(str(text).encode()) for text in texts) / len(texts)
                    found[name.rpartition("/")[2]] = TextSize(mean, mean)
    return found


def _usual_names(group: Any, location: Location) -> tuple[str, str]:
    """Names of features and labels: X and y, unless a subset that we have written says others."""
    ours = group.attrs.get(ATTRIBUTE)
    if not isinstance(ours, dict):
        return "X", "y"
    if not isinstance(ours.get("commit"), dict):
        raise InputError(
            f"source '{location.url}' must be complete, got a subset without its commit marker; "
            "write it again, or see what is missing with dask-distill verify"
        )
    names = ours.get("names")
    names = names if isinstance(names, dict) else {}
    return str(names.get("features") or "X"), str(names.get("labels") or "y")


def _count_missing(
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


def _lazy(location: Location, array: Any, what: str, complete: bool) -> da.Array:
    """A dask array whose chunks are whole stored chunks (or shards), several to a task."""
    _refuse_objects(array, what)
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
            array = zarr.open_array(**self.location.zarr_arguments, mode="r")
            if self.complete:
                store = _Complete(array.store, self.location)
                array = zarr.open_array(store=store, path=array.path, mode="r")
            values = array[self.place]
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


def _refuse_objects(array: Any, what: str) -> None:
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
