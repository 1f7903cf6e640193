"""Arrow's buffers of text: bytes and offsets of any slice, in tiles of bounded size."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dask_distill.errors import InputError

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.integer]

# bytes that are handled at a time, so that what comes between stays in cache; a longer text is
# a tile of its own
TILE = 2**18


def plain_text(chunk: Any) -> Any:
    """As string or large_string, whose offsets lie in one buffer."""
    if pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type):
        return chunk
    if pa.types.is_string_view(chunk.type):
        return chunk.cast(pa.large_string())
    if pa.types.is_null(chunk.type):
        return chunk.cast(pa.string())
    raise InputError(
        f"a column that is read as text must be of strings, got {chunk.type}; read it as a "
        "category, or cast it to a string"
    )


def text_buffers(chunk: Any) -> tuple[Bytes, Offsets]:
    """Bytes, and the (n + 1,) offsets of a slice's texts in them."""
    wide = pa.types.is_large_string(chunk.type)
    _, ends, data = chunk.buffers()
    if len(chunk) == 0:
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    offsets: Offsets = np.frombuffer(ends, np.int64 if wide else np.int32)
    offsets = offsets[chunk.offset : chunk.offset + len(chunk) + 1]
    values = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return values, offsets


def tiles(chunk: Any) -> Iterator[Any]:
    """Runs of rows of some TILE bytes."""
    _, offsets = text_buffers(chunk)
    most = np.iinfo(offsets.dtype).max
    start = 0
    while start < len(chunk):
        # of the offsets' own type: others would be converted, all of them
        end = offsets.dtype.type(min(int(offsets[start]) + TILE, most))
        stop = int(np.searchsorted(offsets, end, side="right")) - 1
        # nulls and empty texts have rows, too
        stop = min(max(stop, start + 1), start + TILE // 8, len(chunk))
        yield chunk.slice(start, stop - start)
        start = stop


def is_missing(values: Any) -> npt.NDArray[np.bool_]:
    """(n,) which values are null."""
    found: npt.NDArray[np.bool_] = pc.is_null(values).to_numpy(zero_copy_only=False)
    return found
