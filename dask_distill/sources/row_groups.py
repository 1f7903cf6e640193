"""Reading row groups of parquet files: which a task reads, and how values become NumPy's.

Every column is read by a task of its own array, so that labels alone, or carried columns of the
selected rows, never bring the features with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dask_distill.data.reader import RowReader
from dask_distill.data.rows import chunk_rows
from dask_distill.errors import InputError
from dask_distill.sources.batches import column_bytes, read_batches, refuse_changes
from dask_distill.sources.columns import Column
from dask_distill.sources.exact import refuse_rounding
from dask_distill.sources.footers import Footer, metadata_of, plain_type
from dask_distill.storage.location import Location, reading

_NOT_A_TIME = -(2**63)
# files of a few rows share a task; more would take long where each is a round trip away
_MOST_FILES = 64
# of a file, columns that are read at once
_TOGETHER_BYTES = 32 * 2**20


@dataclass(frozen=True)
class RowGroupRange:
    """Consecutive row groups of one file, and what its folders say of them."""

    path: str
    groups: tuple[int, ...]
    rows: int
    partition: tuple[tuple[str, str | None], ...]


# what one task reads
Piece = tuple[RowGroupRange, ...]


def pieces_of(footers: Sequence[Footer], row_bytes: int) -> list[Piece]:
    """Runs of row groups of about a chunk's rows; small files share a task."""
    limit = chunk_rows(row_bytes, sum(sum(footer.rows) for footer in footers))
    pieces: list[list[RowGroupRange]] = []
    room = 0
    for footer in footers:
        for number, rows in enumerate(footer.rows):
            if rows == 0:
                continue
            part = RowGroupRange(footer.path, (number,), rows, footer.partition)
            if rows > room or not _join(pieces[-1], part):
                pieces.append([part])
                room = limit
            room -= rows
    return [tuple(piece) for piece in pieces]


def _join(piece: list[RowGroupRange], part: RowGroupRange) -> bool:
    """Append to a piece, unless that has too many files."""
    last = piece[-1]
    if last.path == part.path:
        piece[-1] = replace(last, groups=last.groups + part.groups, rows=last.rows + part.rows)
        return True
    if len(piece) < _MOST_FILES:
        piece.append(part)
        return True
    return False


@dataclass(frozen=True, kw_only=True)
class RowGroups(RowReader):
    """Reads the wanted columns of some row groups, whole, and gives some of their rows."""

    location: Location
    piece: Piece
    columns: tuple[Column, ...]
    dtype: np.dtype[Any]
    exact: str | None
    flat: bool
    fill: tuple[float, ...] | None = None
    start: int = 0
    stop: int | None = None

    def __call__(self) -> npt.NDArray[np.generic]:
        """Read, on a worker: (m, d) numbers, or (m,) of one column."""
        with reading(self.location):
            values = _columns(self.location, self.piece, self.columns, self.dtype, self.exact)
        if self.fill is not None:
            fill_in(values, self.fill)
        values = values[:, 0] if self.flat else values
        whole = self.start == 0 and self.stop in (None, len(values))
        # a view would hold them all
        return values if whole else values[self.start : self.stop].copy()

    @property
    def most_readers(self) -> int:
        """So many that files are read two and a half times at most: those at edges, by both."""
        return 1 + 3 * len(self.piece) // 2

    def part(self, start: int, stop: int) -> "RowGroups":
        """Of the files that have none of the rows nothing is read."""
        start, stop, kept, before = self.start + start, self.start + stop, [], 0
        first = None
        for part in self.piece:
            if before < stop and before + part.rows > start:
                first = before if first is None else first
                kept.append(part)
            before += part.rows
        first = first or 0
        return replace(self, piece=tuple(kept), start=start - first, stop=stop - first)


def _columns(
    location: Location,
    piece: Piece,
    columns: Sequence[Column],
    dtype: np.dtype[Any],
    exact: str | None,
) -> npt.NDArray[np.generic]:
    """The wanted columns of some row groups; runs on a worker."""
    out = np.empty((sum(part.rows for part in piece), len(columns)), dtype)
    start = 0
    for part in piece:
        rows = out[start : start + part.rows]
        folders = dict(part.partition)
        told = [n for n, column in enumerate(columns) if column.name in folders]
        for number in told:
            value = pa.scalar(folders[columns[number].name], pa.string()).cast(columns[number].kind)
            rows[:, number] = values_of(pa.repeat(value, part.rows), columns[number], exact)
        _fill(rows, location, part, {n: c for n, c in enumerate(columns) if n not in told}, exact)
        start += part.rows
    return out


def fill_in(values: npt.NDArray[Any], fill: tuple[float, ...]) -> None:
    """Put a column's own number where a value is missing, or infinite."""
    for column, number in enumerate(fill):
        wrong = ~np.isfinite(values[:, column])
        if wrong.any():
            values[wrong, column] = number


def _fill(
    rows: npt.NDArray[np.generic],
    location: Location,
    part: RowGroupRange,
    columns: Mapping[int, Column],
    exact: str | None,
) -> None:
    """What a file has of columns, each by where it belongs; what it has not is missing."""
    metadata = metadata_of(location, part.path)
    refuse_changes(metadata, part.path, part.groups, part.rows)
    sizes = column_bytes(metadata, part.groups)
    for number, column in columns.items():
        if column.name not in sizes:
            rows[:, number] = values_of(pa.nulls(part.rows), column, exact)
    for numbers in _runs(columns, sizes):
        names = [columns[number].name for number in numbers]
        first = 0
        for batch in read_batches(location, part.path, part.groups, names, metadata):
            stop = first + batch.num_rows
            for number in numbers:
                values = batch.column(columns[number].name)
                rows[first:stop, number] = values_of(values, columns[number], exact)
            first = stop


def _runs(columns: Mapping[int, Column], sizes: Mapping[str, int]) -> Iterator[list[int]]:
    """Columns that are read together: what is held of a file beside the values is bounded."""
    run: list[int] = []
    room = 0
    for number, column in columns.items():
        if column.name in sizes:
            if run and sizes[column.name] > room:
                yield run
                run = []
            room = (room if run else _TOGETHER_BYTES) - sizes[column.name]
            run.append(number)
    if run:
        yield run


def values_of(values: Any, column: Column, exact: str | None) -> npt.NDArray[Any]:
    """One column as NumPy; missing values become NaN, NaT, or None in text."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    dtype = column.dtype
    if dtype.kind != "f" and plain_type(values.type) != column.kind:
        # of files whose types differ, or in which all are missing
        values = _cast(values, column)
    if dtype.kind in "mM":
        # days and times of 32 bits have no way to 64 but through their number
        number = pa.int32() if values.type.bit_width == 32 else pa.int64()
        ticks = values.cast(number).cast(pa.int64()).fill_null(_NOT_A_TIME)
        return ticks.to_numpy(zero_copy_only=False).view(dtype)
    if dtype.kind in "biu" and values.null_count:
        raise InputError(
            f"source must be what its footers say, got {values.null_count} nulls in column "
            f"{column.name!r} where there should be none; write it anew"
        )
    if pa.types.is_decimal(values.type):
        # straight to float64 rounds twice
        values = values.cast(pa.string()).cast(pa.float64())
    elif dtype.kind == "f" and not pa.types.is_floating(values.type):
        if exact is not None and pa.types.is_integer(values.type):
            ends = pc.min_max(values).as_py()
            refuse_rounding((ends["min"] or 0, ends["max"] or 0), exact)
        values = values.cast(pa.float64(), safe=False)
    return values.to_numpy(zero_copy_only=False)


def _cast(values: Any, column: Column) -> Any:
    try:
        return values.cast(column.kind)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"column {column.name!r} must be of one type in all files, got {values.type} that does "
            f"not fit {column.kind} ({' '.join(str(error).split())}); write them alike"
        ) from None
