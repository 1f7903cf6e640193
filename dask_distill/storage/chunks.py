"""Arrays as stored: types, chunks, and what a worker does with one chunk.

One task writes, reads or checks one whole chunk, and opens what it needs itself.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from dask_distill.errors import DistillError, IncompleteOutput, InputError
from dask_distill.storage.form import GROUP, Form
from dask_distill.storage.local import sync
from dask_distill.storage.location import Location
from dask_distill.storage.variables import FEATURES, INDEX, SUBSET_WEIGHT, WEIGHT
from dask_distill.support.digest import digest_values

_CHUNK_BYTES = 16 * 2**20
# a manifest that claims more is not ours, and could fill the memory
_LARGEST_CHUNK = 2**30
# what a text of unknown length is taken for
_TEXT_BYTES = 32
_TEXT = "UOT"
_KINDS = "biufcmM" + _TEXT

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Layout:
    """An array of the group: shape, type in the source, chunks."""

    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]

    @classmethod
    def of(cls, name: str, array: da.Array) -> "Layout":
        """The layout for a dask array; refuses what cannot be stored as it is."""
        dtype = array.dtype
        if array.ndim == 0 or any(math.isnan(size) for size in array.shape):
            raise InputError(
                f"array '{name}' must have rows, and chunks of known size, got shape "
                f"{array.shape}; call compute_chunk_sizes() first"
            )
        # a long double is as wide as the machine likes: no format has it
        if dtype.kind not in _KINDS or dtype.char in "gG":
            raise InputError(
                f"array '{name}' must hold numbers, dates or text, got {dtype}; convert it, or "
                "leave it out"
            )
        if isinstance(array._meta, np.ma.MaskedArray):
            raise InputError(f"array '{name}' must not be masked; fill it first")
        shape = tuple(int(size) for size in array.shape)
        others = tuple(max(1, size) for size in shape[1:])
        whole = cls(shape, dtype.kind if dtype.kind in "OT" else dtype.str, (1, *others))
        rows = min(max(1, _CHUNK_BYTES // whole.row_bytes), max(1, shape[0]))
        return replace(whole, chunks=(rows, *others))

    @classmethod
    def parse(cls, name: str, entry: Any) -> "Layout":
        """The layout in a manifest, checked: what is read may be damaged, or made to harm."""
        try:
            shape = tuple(int(size) for size in entry["shape"])
            chunks = tuple(int(size) for size in entry["chunks"])
            layout = cls(shape, str(entry["dtype"]), chunks)
            fits = (
                is_plain_name(name)
                and layout.numpy_dtype.kind in _KINDS
                and 0 < len(shape) == len(chunks)
                and min(shape) >= 0 < min(chunks)
                and chunks[1:] == tuple(max(1, size) for size in shape[1:])
                and (chunks[0] == 1 or chunks[0] * layout.row_bytes <= _LARGEST_CHUNK)
                and len(entry["digests"]) == layout.count
                and all(str(number) in entry["digests"] for number in range(layout.count))
            )
        except (TypeError, KeyError, ValueError, AttributeError):
            fits = False
        if not fits:
            raise IncompleteOutput(f"the manifest's entry for array '{name}' is damaged")
        return layout

    @property
    def count(self) -> int:
        """Number of chunks; arrays without values have none."""
        return 0 if 0 in self.shape else -(-self.shape[0] // self.chunks[0])

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory, about."""
        dtype = self.numpy_dtype
        itemsize = _TEXT_BYTES if dtype.kind in "OT" else max(1, dtype.itemsize)
        return itemsize * math.prod(self.chunks[1:])

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The type in the source."""
        return np.dtypes.StringDType() if self.dtype == "T" else np.dtype(self.dtype)

    @property
    def stored_dtype(self) -> Any:
        """The type in zarr: text has one of variable length; byte order is the codec's matter."""
        dtype = self.numpy_dtype
        return np.dtypes.StringDType() if dtype.kind in _TEXT else dtype.newbyteorder("=")

    def rows(self, number: int) -> slice:
        """The rows of a chunk."""
        start = number * self.chunks[0]
        return slice(start, min(start + self.chunks[0], self.shape[0]))

    def key(self, number: int) -> str:
        """Where zarr puts a chunk, below the array."""
        return "/".join(["c", str(number), *("0" for _ in self.shape[1:])])

    def chunk_shape(self, number: int) -> tuple[int, ...]:
        """The shape of a chunk's values."""
        rows = self.rows(number)
        return (rows.stop - rows.start, *self.shape[1:])


@dataclass(frozen=True)
class Receipt:
    """What a task has written."""

    name: str
    number: int
    digest: str
    nbytes: int
    text_width: int


@dataclass(frozen=True)
class Finding:
    """What a task has found in a stored chunk: what is wrong, or facts for the invariants."""

    name: str
    problem: str | None
    facts: tuple[Any, ...] = ()


def is_plain_name(name: Any) -> bool:
    """Whether a name stays inside its group: no empty part, no dots, none that zarr uses."""
    return isinstance(name, str) and all(
        part.strip(".")
        and part != "zarr.json"
        and part[:2] != "__"
        and not set(part) & {"\\", "\0"}
        for part in name.split("/")
    )


def create_array(
    group: zarr.Group, name: str, layout: Layout, attributes: Mapping[str, Any] | None = None
) -> None:
    """Create an array without values."""
    plain = name.rpartition("/")[2]
    axes = [f"{plain}_{axis}" for axis in range(1, len(layout.shape))]
    group.create_array(
        name,
        shape=layout.shape,
        chunks=layout.chunks,
        dtype=layout.stored_dtype,
        compressors=[ZstdCodec(level=3), Crc32cCodec()],
        attributes=dict(attributes or {}),
        dimension_names=["row", *(["feature"] if plain == FEATURES and len(axes) == 1 else axes)],
    )


def write_chunk(location: Location, name: str, number: int, layout: Layout, values: Any) -> Receipt:
    """Write one whole chunk; runs on a worker."""
    values, text_width = _as_declared(values, name, number, layout)
    stored = values.astype(layout.stored_dtype, copy=False)
    with location.guard(f"array '{name}', chunk {number} must be written"):
        array: Any = zarr.open_array(**location.child(name).zarr_arguments, mode="r+")
        assert array.chunks == layout.chunks, "one task, one chunk"
        # zarr leaves out chunks that hold the fill value alone, and open_array takes no config
        whole = zarr.AsyncArray(
            array.metadata, array.store_path, config={"write_empty_chunks": True}
        )
        zarr.Array(whole)[layout.rows(number)] = stored
        if location.path is not None:
            sync(location.path / name / _key(array, number))
        stop_if_called_off(location)
    return Receipt(name, number, digest_values(values), _nbytes(values), text_width)


def _nbytes(values: Array) -> int:
    """Bytes of the values; of text, those of UTF-8."""
    if values.dtype.kind not in _TEXT:
        return int(values.nbytes)
    return sum(len(str(text).encode(errors="surrogatepass")) for text in values.ravel())


def _as_declared(values: Any, name: str, number: int, layout: Layout) -> tuple[Array, int]:
    """The values in the array's type, bit for bit, and the width of their text."""
    array = np.asarray(values)
    where = f"array '{name}', chunk {number} must"
    expected = layout.chunk_shape(number)
    if array.shape != expected:
        raise DistillError(f"{where} have shape {expected}, got {array.shape}")
    dtype = layout.numpy_dtype
    if dtype.kind in _TEXT:
        return _as_text(array, where)
    if array.dtype != dtype:
        # map_blocks and from_delayed take the user's word for a type
        if array.dtype.kind != dtype.kind or not np.can_cast(array.dtype, dtype, "safe"):
            raise DistillError(f"{where} hold {dtype}, got {array.dtype}; declare the right type")
        array = array.astype(dtype)
    return array, 0


def _as_text(array: Array, where: str) -> tuple[Array, int]:
    if array.dtype.kind not in _TEXT:
        raise DistillError(f"{where} hold text, got {array.dtype}; declare the right type")
    if array.dtype.kind == "U":
        # by the content: a block's type may be as wide as its source liked
        width = int(np.strings.str_len(array.astype(np.str_)).max(initial=0))
        # NumPy takes the bytes of big-endian text for those of little-endian text
        array = array.astype(array.dtype.newbyteorder("="))
    else:
        width = 0
        array = array.astype(object)
        for value in array.ravel():
            # None would become the word "None"
            if not isinstance(value, str):
                raise DistillError(f"{where} hold text, got {type(value).__name__}; fill or drop")
            width = max(width, len(value))
    try:
        return array.astype(np.dtypes.StringDType()), width
    except TypeError:
        raise DistillError(f"{where} hold valid Unicode, got a lone surrogate") from None


def stop_if_called_off(staging: Location, form: Form = GROUP) -> None:
    """Leave nothing behind when the run has ended, and removed its folder, while we wrote."""
    system, path = staging.filesystem()
    if not system.exists(f"{path.rstrip('/')}/{form.root}"):
        if system.exists(path):
            system.rm(path, recursive=True)
        raise DistillError("the run was called off")


def _key(array: Any, number: int) -> str:
    return str(array.metadata.encode_chunk_key((number, *(0,) * (array.ndim - 1))))


def read_chunk(location: Location, name: str, number: int, layout: Layout) -> Array:
    """The values of one chunk, in the source's type; runs on a worker."""
    where = f"array '{name}', chunk {number}"
    with location.guard(f"{where} must be readable"):
        array = zarr.open_array(**location.child(name).zarr_arguments, mode="r")
        system, path = location.filesystem()
        # zarr would give fill values
        if not system.exists(f"{path.rstrip('/')}/{name}/{_key(array, number)}"):
            raise IncompleteOutput(f"{where}: missing")
        try:
            stored = np.asarray(array[layout.rows(number)])
        except ValueError as error:
            if "checksum" not in str(error):
                raise
            raise IncompleteOutput(f"{where}: checksum error") from None
        if layout.dtype[0] == ">":
            # by way of the machine's order, see `_as_text`
            stored = stored.astype(layout.numpy_dtype.newbyteorder("="))
        return stored.astype(layout.numpy_dtype, copy=False)


def find_chunk(location: Location, name: str, number: int, layout: Layout) -> Receipt | None:
    """The receipt of a chunk that an earlier run has written; None where it must be written."""
    if layout.numpy_dtype.kind in _TEXT:
        # values may be wider than was declared
        layout = replace(layout, dtype="T")
    try:
        values, text_width = _as_declared(
            read_chunk(location, name, number, layout), name, number, layout
        )
    except DistillError:
        return None
    return Receipt(name, number, digest_values(values), _nbytes(values), text_width)


def confirm_chunk(location: Location, receipt: Receipt, layout: Layout, values: Any) -> Receipt:
    """Refuse a chunk of an earlier run that the source would give other values for by now."""
    name, number = receipt.name, receipt.number
    now, _ = _as_declared(values, name, number, layout)
    if digest_values(now) != receipt.digest:
        raise InputError(
            f"carry '{name}' must have the same values to be resumed, but they have changed in "
            f"chunk {number} of '{location.shown}'; restore them, or start again with "
            "overwrite=True / --overwrite"
        )
    return receipt


def check_chunk(
    location: Location, name: str, number: int, layout: Layout, expected: str
) -> Finding:
    """Compare a chunk with its digest, and gather facts; runs on a worker."""
    try:
        values = read_chunk(location, name, number, layout)
        if digest_values(values) != expected:
            return Finding(name, f"array '{name}', chunk {number}: digest differs")
        return Finding(name, None, facts_of(name, values))
    except Exception as error:
        return Finding(name, location.clean(str(error)))


def facts_of(name: str, values: Array) -> tuple[Any, ...]:
    """What the invariants need: order and ends of `index`, soundness and sums of weights."""
    if name == INDEX and values.dtype == np.int64:
        return bool(np.all(np.diff(values) > 0)), int(values[0]), int(values[-1])
    if name == WEIGHT and values.dtype.kind == "f":
        weight = values.astype(np.float64)
        return bool(np.all(np.isfinite(weight) & (weight > 0))), float(weight.sum())
    if name == SUBSET_WEIGHT and values.dtype.kind == "f" and values.ndim == 2:
        weight = values.astype(np.float64)
        sound = bool(np.all(np.isfinite(weight) & (weight >= 0)))
        counts = np.count_nonzero(weight, axis=0).tolist()
        return sound, tuple(weight.sum(axis=0).tolist()), tuple(counts)
    return ()


def lazy_array(
    location: Location, name: str, layout: Layout, token: str, digests: Mapping[str, str]
) -> da.Array:
    """A dask array of the stored chunks, which must be those of the digests when they are read."""
    dtype = layout.numpy_dtype
    if layout.count == 0:
        nothing: da.Array = da.empty(layout.shape, dtype=dtype, chunks=-1)
        return nothing
    heights = tuple(layout.chunk_shape(number)[0] for number in range(layout.count))
    array: da.Array = da.map_blocks(
        _read_block,
        location=location,
        array_name=name,
        layout=layout,
        digests=tuple(digests[str(number)] for number in range(layout.count)),
        chunks=(heights, *((size,) for size in layout.shape[1:])),
        dtype=dtype,
        meta=np.empty((0,) * len(layout.shape), dtype=dtype),
        # a name made by dask would hash the storage options
        name=f"read-{name.replace('/', '-')}-{token}",
    )
    return array


def _read_block(
    location: Location,
    array_name: str,
    layout: Layout,
    digests: tuple[str, ...],
    block_id: tuple[int, ...] = (0,),
) -> Array:
    return read_as_opened(location, array_name, block_id[0], layout, digests[block_id[0]])


def read_as_opened(
    location: Location, name: str, number: int, layout: Layout, digest: str
) -> Array:
    """The values of one chunk, if they are those of the digest; runs on a worker.

    Raises
    ------
    IncompleteOutput
    """
    values = read_chunk(location, name, number, layout)
    if digest_values(values) != digest:
        raise IncompleteOutput(
            f"array '{name}', chunk {number} of '{location.shown}' is not what it was when "
            "the subset was opened: another has taken its place, or it is damaged; open it again, "
            "and verify it"
        )
    return values
