"""Row groups of a parquet file batch by batch: what is decoded and held at a time is bounded.

Knows files and columns by name, and neither tables nor arrays.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow.parquet as pq

from dask_distill.errors import InputError
from dask_distill.sources.footers import open_file
from dask_distill.storage.location import Location

# rows that are decoded at a time, by their bytes
_BATCH_BYTES = 8 * 2**20
_FEWEST, _MOST = 16, 65_536
# so much of a file is asked for at once, and held; of more, each column has a part of it
_HELD_BYTES = 64 * 2**20
_LEAST_BUFFER = 64 * 2**10


def refuse_changes(metadata: Any, path: str, groups: Sequence[int], rows: int) -> None:
    """End where row groups are not those that were there when the source was opened.

    Raises
    ------
    InputError
    """
    there = sum(metadata.row_group(n).num_rows for n in groups if n < metadata.num_row_groups)
    if there != rows:
        raise InputError(
            f"source must not change while it is read, got {there} rows instead of {rows} in "
            f"'{path}'; open it again"
        )


def column_bytes(metadata: Any, groups: Sequence[int]) -> dict[str, int]:
    """Bytes in the file of each column of some row groups, with all that is nested in it."""
    return _sizes(metadata, groups, "total_compressed_size")


def read_batches(
    location: Location,
    path: str,
    groups: Sequence[int],
    names: Sequence[str],
    metadata: Any,
    *,
    stop: int | None = None,
) -> Iterator[Any]:
    """Record batches of some columns of some row groups, in order.

    Parameters
    ----------
    location : Location
    path : str
    groups : sequence of int
    names : sequence of str
        Columns that the file has.
    metadata : FileMetaData
    stop : int, optional
        Rows after this one are not wanted: what comes after the batch that has it is not read.
        Rows before it are decoded in any case, since parquet has no way to a row but through its
        column's pages.
    """
    rows = sum(metadata.row_group(number).num_rows for number in groups)
    plain = _sizes(metadata, groups, "total_uncompressed_size")
    size = max(1, sum(plain.get(name, 0) for name in names) // max(1, rows))
    step = int(min(_MOST, max(_FEWEST, _BATCH_BYTES // size)))
    stored = column_bytes(metadata, groups)
    held = sum(stored.get(name, 0) for name in names)
    # one request for all of it, unless that would hold too much, or only its beginning is wanted
    whole = held <= _HELD_BYTES and (stop is None or stop >= rows)
    buffer = 0 if whole else max(_LEAST_BUFFER, min(held, _HELD_BYTES // 2) // max(1, len(names)))
    with (
        open_file(location, path) as file,
        pq.ParquetFile(
            file,
            metadata=metadata,
            pre_buffer=whole,
            buffer_size=buffer,
            page_checksum_verification=True,
        ) as parquet,
    ):
        first = 0
        for batch in parquet.iter_batches(
            step, row_groups=list(groups), columns=list(names), use_threads=False
        ):
            yield batch
            first += batch.num_rows
            if stop is not None and first >= stop:
                return


def _sizes(metadata: Any, groups: Sequence[int], what: str) -> dict[str, int]:
    """By name, where several leaves may lie in one column; their paths begin with its name."""
    found: dict[str, int] = dict.fromkeys(metadata.schema.to_arrow_schema().names, 0)
    tops = _tops(metadata, found)
    for number in groups:
        group = metadata.row_group(number)
        for position, name in enumerate(tops):
            found[name] += getattr(group.column(position), what)
    return found


def _tops(metadata: Any, names: Mapping[str, int]) -> list[str]:
    """Of each leaf, the column that it is in; names may have dots themselves."""
    order = list(names)
    tops, at = [], 0
    for position in range(len(metadata.schema)):
        path = metadata.schema.column(position).path
        while not (path == order[at] or path.startswith(f"{order[at]}.")):
            at += 1
        tops.append(order[at])
    return tops
