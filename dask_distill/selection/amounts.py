"""Bytes of what a run reads and writes, by shapes, chunks, and what sources tell of text.

Knows no strategy: what blocks and coordinator do between is the plan's matter.
"""

from collections.abc import Iterator

import dask.array as da
import numpy as np

from dask_distill.data.dataset import Dataset
from dask_distill.data.texts import TextSize, is_text, row_bytes, size_of

# a chunk of the output, as rows are counted for it; of the source, what is stored in less
CHUNK_BYTES = 16 * 2**20
_WRITTEN_TEXTS = CHUNK_BYTES // 32
# of it: the parts, put together, encoded
_WRITTEN_COPIES = 3
# a text as an object of Python, with what points to it; then in Arrow's memory or NumPy's
_TEXT_OBJECT, _TEXT_BESIDE = 57, 24
# its bytes: as stored, decoded, as objects, and as much again that allocators do not give back
_TEXT_COPIES = 5


def chunk_bytes(array: da.Array) -> int:
    """Bytes of the largest chunk in memory, numbers alone."""
    width = int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize
    return int(max(array.chunks[0])) * width


def read_bytes(array: da.Array, text: TextSize | None) -> int:
    """What reading the largest chunk takes beside its numbers: as it is stored, and decoded.

    Row groups of parquet and chunks of zarr are read whole.
    """
    if text is None:
        return chunk_bytes(array)
    return int(max(array.chunks[0]) * (_TEXT_OBJECT + _TEXT_BESIDE + _TEXT_COPIES * text.most))


def written_row_bytes(dataset: Dataset) -> float:
    """Bytes of a selected row with all its columns, before compression."""
    return sum(row_bytes(name, array, dataset.texts) for name, array in _arrays(dataset))


def written_lane_bytes(dataset: Dataset, selected: int) -> int:
    """What one thread takes while the selected rows are read once more and written."""
    most = 0
    for name, array in _arrays(dataset):
        text = size_of(name, array, dataset.texts)
        if text is None:
            row = row_bytes(name, array, dataset.texts)
            rows = min(selected, max(1, CHUNK_BYTES // max(1, int(row))))
            chunk = chunk_bytes(array)
        else:
            row = text.mean + _TEXT_BESIDE
            rows = min(selected, _WRITTEN_TEXTS)
            chunk = 0
        # a chunk may wait to be cut while the next one is read
        waiting = chunk if len(array.chunks[0]) > 1 else 0
        written = _WRITTEN_COPIES * rows * row
        most = max(most, int(waiting + chunk + read_bytes(array, text) + written))
    return most


def bytes_read_to_write(dataset: Dataset, selected: int) -> int:
    """At most: chunks that hold selected rows are read once more."""
    whole = sum(len(a) * row_bytes(name, a, dataset.texts) for name, a in _arrays(dataset))
    chunk = sum(
        max(a.chunks[0]) * row_bytes(name, a, dataset.texts) for name, a in _arrays(dataset)
    )
    return int(min(whole, selected * chunk))


def unmeasured_texts(dataset: Dataset) -> tuple[str, ...]:
    """Columns of text of which nothing tells how long it is."""
    return tuple(n for n, array in _arrays(dataset) if is_text(array) and n not in dataset.texts)


def _arrays(dataset: Dataset) -> Iterator[tuple[str, da.Array]]:
    yield dataset.feature_name, dataset.features
    if dataset.labels is not None:
        yield dataset.label_name, dataset.labels
    yield from dataset.carry.items()
