"""Bytes of what a run reads and writes, by shapes, chunks, and what sources tell of text.

Knows no strategy: what blocks and coordinator do between is the plan's matter.
"""

from collections.abc import Iterator

import dask.array as da
import numpy as np
import pyarrow as pa

from dask_distill.data.dataset import Dataset
from dask_distill.data.table import Table
from dask_distill.data.texts import ASSUMED, TextSize, is_text, row_bytes, size_of
from dask_distill.tables.columns import is_text as is_words, plain_kind
from dask_distill.tables.profile import FEATURES

# a chunk of the output, as rows are counted for it; of the source, what is stored in less
CHUNK_BYTES = 16 * 2**20
_WRITTEN_TEXTS = CHUNK_BYTES // 32
# of it: the parts, put together, encoded
_WRITTEN_COPIES = 3
# of a table's rows: what is put together for a row group of the output, and what is read of the
# source at a time
_TABLE_PART, _TABLE_READ = 64 * 2**20, 128 * 2**20
# of it: as taken, put together, encoded; for zarr texts are objects on the way
_TABLE_COPIES = 5
# of a column of which nothing is known
_VALUE_BYTES = 8
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


def read_row_bytes(dataset: Dataset) -> float:
    """Bytes of a row's features and label as a pass reads them, before compression."""
    table, profile = dataset.table, dataset.profile
    if table is None or profile is None:
        return float(dataset.row_bytes)
    used = {c["name"].split(".")[0] for c in profile["columns"] if c["kind"] in FEATURES}
    label = dataset.row_bytes - dataset.d * dataset.features.dtype.itemsize
    # those that are not written either are not in the table
    there = used.intersection(table.schema.names)
    return (
        label
        + _VALUE_BYTES * len(used - there)
        + sum(_column_bytes(dataset, table, n) for n in there)
    )


def _column_bytes(dataset: Dataset, table: Table, name: str) -> float:
    """Of a value of a table's column."""
    return _value_bytes(table.schema.field(name).type, dataset.texts.get(name, ASSUMED))


def _value_bytes(kind: pa.DataType, text: TextSize) -> float:
    types = pa.types
    if types.is_dictionary(kind):
        return kind.index_type.bit_width / 8
    if types.is_struct(kind):
        return sum(_value_bytes(field.type, text) for field in kind)
    if types.is_fixed_size_list(kind):
        return kind.list_size * _value_bytes(kind.value_type, text)
    if types.is_nested(kind) or types.is_null(kind):
        return text.mean
    try:
        return kind.bit_width / 8
    except ValueError:
        # of no fixed width
        return text.mean


def written_row_bytes(dataset: Dataset) -> float:
    """Bytes of a selected row with all its columns, before compression."""
    if (table := dataset.table) is not None:
        return sum(_column_bytes(dataset, table, name) for name in table.schema.names)
    return sum(row_bytes(name, array, dataset.texts) for name, array in _arrays(dataset))


def written_lane_bytes(dataset: Dataset, selected: int) -> int:
    """What one thread takes while the selected rows are read once more and written."""
    if dataset.table is not None:
        held = min(selected * written_row_bytes(dataset), _TABLE_PART)
        return int(_TABLE_COPIES * held + _TABLE_READ)
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
    if dataset.table is not None:
        row, part = written_row_bytes(dataset), max(dataset.table.rows)
        return int(min(dataset.n, selected * part) * row)
    whole = sum(len(a) * row_bytes(name, a, dataset.texts) for name, a in _arrays(dataset))
    chunk = sum(
        max(a.chunks[0]) * row_bytes(name, a, dataset.texts) for name, a in _arrays(dataset)
    )
    return int(min(whole, selected * chunk))


def unmeasured_texts(dataset: Dataset) -> tuple[str, ...]:
    """Columns of text of which nothing tells how long it is."""
    if dataset.table is not None:
        kinds = {field.name: plain_kind(field.type) for field in dataset.table.schema}
        names = [name for name, kind in kinds.items() if is_words(kind)]
    else:
        names = [name for name, array in _arrays(dataset) if is_text(array)]
    return tuple(name for name in names if name not in dataset.texts)


def _arrays(dataset: Dataset) -> Iterator[tuple[str, da.Array]]:
    yield dataset.feature_name, dataset.features
    if dataset.labels is not None:
        yield dataset.label_name, dataset.labels
    yield from dataset.carry.items()
