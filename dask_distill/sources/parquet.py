"""Opening parquet files and folders; what they hold is known from their footers.

Every column is read by a task of its own array, so that labels alone, or carried columns of the
selected rows, never bring the features with them.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dask.delayed import delayed

from dask_distill.data.arrays import from_array
from dask_distill.data.dataset import Dataset
from dask_distill.data.reader import RowReader
from dask_distill.data.rows import chunk_rows, join_rows
from dask_distill.data.uses import (
    CARRIED,
    FEATURE,
    LABEL,
    LEFT_OUT,
    ColumnUse,
    refuse_an_id_alone,
)
from dask_distill.errors import InputError
from dask_distill.sources.footers import (
    Column,
    Footer,
    common_columns,
    metadata_of,
    open_file,
    plain_type,
    read_footers,
    text_sizes,
)
from dask_distill.sources.reader import missing_name
from dask_distill.storage.location import Location, reading

_LABEL_NAMES = ("y", "label")
_ROW_NUMBERS = re.compile(r"__index_level_\d+__")
# float64 holds every whole number up to here, and every decimal of so many digits
_LARGEST_EXACT = 2**53
_EXACT_DIGITS = 15
_NOT_A_TIME = -(2**63)
# files of a few rows share a task; more would take long where each is a round trip away
_MOST_FILES = 64
_BATCH_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Part:
    """Consecutive row groups of one file, and what its folders say of them."""

    path: str
    groups: tuple[int, ...]
    rows: int
    partition: tuple[tuple[str, str | None], ...]


# what one task reads
Piece = tuple[Part, ...]


def open_parquet(
    location: Location,
    features: Sequence[str] | None,
    labels: Sequence[str] | str | bool | None,
    carry: Sequence[str],
) -> Dataset:
    """Lazy arrays of the wanted columns: one task a run of row groups.

    A list of labels, which are names or globs, becomes one array of several columns.
    """
    footers = read_footers(location)
    columns = common_columns(footers)
    index = footers[0].index
    several: list[str] = []
    label = ""
    if isinstance(labels, list):
        several = _names(labels, columns, set(carry), index, location.url, "labels")
    else:
        label = _label(labels, columns, location.url)  # type: ignore[arg-type]
    for name in carry:
        if name not in columns:
            raise missing_name(f"carry {name}", name, list(columns), location.url)
    taken = {label, *several, *carry}
    chosen = [columns[n] for n in _names(features, columns, taken, index, location.url, "features")]
    _refuse_labels(chosen, {label, *several})
    uses = _uses(columns, {c.name for c in chosen}, {label, *several}, carry, features, index)
    if features is None:
        refuse_an_id_alone(uses)
    dtype = np.result_type(*(column.dtype for column in chosen))
    pieces = _pieces(footers, len(chosen) * dtype.itemsize)
    vectors = {
        name: _vector(location, pieces, columns[name], "labels" if name == label else "carry")
        for name in ([label] if label else []) + list(carry)
    }
    target = vectors.get(label)
    if several:
        parts = [columns[name] for name in several]
        common = np.result_type(*(column.dtype for column in parts))
        target = _lazy(location, pieces, parts, common)
    return Dataset(
        _lazy(location, pieces, chosen, dtype),
        target,
        {name: vectors[name] for name in carry},
        label_name=label or "y",
        columns=tuple(column.name for column in chosen),
        sources=(location.url,),
        uses=uses,
        texts=text_sizes(footers, vectors),
    )


def _uses(
    columns: Mapping[str, Column],
    features: set[str],
    labels: set[str],
    carry: Sequence[str],
    asked: Sequence[str] | None,
    index: frozenset[str],
) -> tuple[ColumnUse, ...]:
    """What becomes of each column."""

    def use(column: Column) -> ColumnUse:
        name, kind = column.name, str(column.kind)
        for role, names in ((FEATURE, features), (LABEL, labels), (CARRIED, carry)):
            if name in names:
                return ColumnUse(name, kind, role)
        if name in index or _ROW_NUMBERS.fullmatch(name):
            return ColumnUse(name, kind, LEFT_OUT, "the index")
        why = "no number" if not column.is_number else "not named" if asked is not None else ""
        return ColumnUse(name, kind, LEFT_OUT, why)

    return tuple(use(column) for column in columns.values())


def _label(labels: str | bool | None, columns: dict[str, Column], source: str) -> str:
    if labels is None:
        return next((name for name in _LABEL_NAMES if name in columns), "")
    if labels and labels not in columns:
        raise missing_name("labels", str(labels), list(columns), source)
    return str(labels or "")


def _refuse_labels(features: Sequence[Column], labels: set[str]) -> None:
    """They would make every strategy look perfect."""
    for column in features:
        if column.name in labels:
            raise InputError(
                f"features must not hold the label, got column {column.name!r}; leave it out, or "
                "name another label"
            )


def _names(
    patterns: Sequence[str] | None,
    columns: dict[str, Column],
    taken: set[str],
    index: frozenset[str],
    source: str,
    what: str,
) -> list[str]:
    """Names and globs resolved; every numeric column where none are given."""
    free = [n for n in columns if n not in taken | index and not _ROW_NUMBERS.fullmatch(n)]
    if patterns is None:
        names = [name for name in free if columns[name].is_number]
        if not names:
            raise InputError(
                f"features must be numbers, got no numeric column in '{source}' beside labels, "
                "carry and index; encode some"
            )
        return names
    names = []
    for pattern in patterns:
        matches = [pattern] if pattern in columns else fnmatch.filter(free, pattern)
        if not matches:
            raise missing_name(what, pattern, list(columns), source)
        names += matches
    other = [f"{name} ({columns[name].kind})" for name in names if not columns[name].is_number]
    if other:
        listed = ", ".join(other[:10]) + (", …" if len(other) > 10 else "")
        raise InputError(
            f"{what} must be numbers, got columns {listed}; encode them, or leave them out"
        )
    return list(dict.fromkeys(names))


def _pieces(footers: Sequence[Footer], row_bytes: int) -> list[Piece]:
    """Runs of row groups of about a chunk's rows; small files share a task."""
    limit = chunk_rows(row_bytes, sum(sum(footer.rows) for footer in footers))
    pieces: list[list[Part]] = []
    room = 0
    for footer in footers:
        for number, rows in enumerate(footer.rows):
            if rows == 0:
                continue
            part = Part(footer.path, (number,), rows, footer.partition)
            if rows > room or not _join(pieces[-1], part):
                pieces.append([part])
                room = limit
            room -= rows
    return [tuple(piece) for piece in pieces]


def _join(piece: list[Part], part: Part) -> bool:
    """Append to a piece, unless that has too many files."""
    last = piece[-1]
    if last.path == part.path:
        piece[-1] = replace(last, groups=last.groups + part.groups, rows=last.rows + part.rows)
        return True
    if len(piece) < _MOST_FILES:
        piece.append(part)
        return True
    return False


def _vector(location: Location, pieces: Sequence[Piece], column: Column, role: str) -> da.Array:
    what = f"{role} {column.name!r}"
    if role == "labels" and pa.types.is_binary(column.kind):
        # text of writers that do not say so; refused where it is none
        column = replace(column, kind=pa.string())
    if column.dtype.kind == "V":
        raise InputError(
            f"{what} must hold numbers, dates or text, got type {column.kind}; convert it, or "
            "leave it out"
        )
    if pa.types.is_decimal(column.kind) and column.kind.precision > _EXACT_DIGITS:
        raise InputError(
            f"{what} must have at most {_EXACT_DIGITS} digits, or float64 would round it, got "
            f"{column.kind}; store it as text"
        )
    return _lazy(location, pieces, [column], column.dtype, what, flat=True)


def _lazy(
    location: Location,
    pieces: Sequence[Piece],
    columns: Sequence[Column],
    dtype: np.dtype[Any],
    exact: str | None = None,
    *,
    flat: bool = False,
) -> da.Array:
    if not pieces:
        return from_array(np.empty((0,) if flat else (0, len(columns)), dtype))
    parts = []
    for piece in pieces:
        rows = sum(part.rows for part in piece)
        shape = (rows,) if flat else (rows, len(columns))
        reader = _Rows(location, tuple(piece), tuple(columns), dtype, exact, flat)
        values = delayed(reader, pure=False, traverse=False)()
        parts.append(da.from_delayed(values, shape, dtype=dtype))
    return join_rows(parts)


@dataclass(frozen=True)
class _Rows(RowReader):
    """Reads the wanted columns of some row groups, whole, and gives some of their rows."""

    location: Location
    piece: Piece
    columns: tuple[Column, ...]
    dtype: np.dtype[Any]
    exact: str | None
    flat: bool
    start: int = 0
    stop: int | None = None

    def __call__(self) -> npt.NDArray[np.generic]:
        values = _read(self.location, self.piece, self.columns, self.dtype, self.exact)
        values = values[:, 0] if self.flat else values
        whole = self.start == 0 and self.stop in (None, len(values))
        # a view would hold them all
        return values if whole else values[self.start : self.stop].copy()

    @property
    def most_readers(self) -> int:
        """So many that files are read two and a half times at most: those at edges, by both."""
        return 1 + 3 * len(self.piece) // 2

    def part(self, start: int, stop: int) -> "_Rows":
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


def _read(
    location: Location,
    piece: Piece,
    columns: Sequence[Column],
    dtype: np.dtype[Any],
    exact: str | None,
) -> npt.NDArray[np.generic]:
    """The wanted columns of some row groups; runs on a worker."""
    with reading(location):
        return _columns(location, piece, columns, dtype, exact)


def _columns(
    location: Location,
    piece: Piece,
    columns: Sequence[Column],
    dtype: np.dtype[Any],
    exact: str | None,
) -> npt.NDArray[np.generic]:
    out = np.empty((sum(part.rows for part in piece), len(columns)), dtype)
    start = 0
    for part in piece:
        rows = out[start : start + part.rows]
        folders = dict(part.partition)
        stored = _stored(location, part, [c.name for c in columns if c.name not in folders])
        for position, column in enumerate(columns):
            if column.name in folders:
                value = pa.scalar(folders[column.name], pa.string()).cast(column.kind)
                values = pa.repeat(value, part.rows)
            else:
                values = next(stored)
            rows[:, position] = _values(values, column, exact)
        start += part.rows
    return out


def _stored(location: Location, part: Part, names: Sequence[str]) -> Iterator[Any]:
    """Columns of a file, a few at a time: row groups may be large, and are held once already."""
    if not names:
        return
    width = max(1, _BATCH_BYTES // (8 * part.rows))
    metadata = metadata_of(location, part.path)
    with open_file(location, part.path) as file:
        parquet = pq.ParquetFile(file, metadata=metadata, pre_buffer=True)
        for first in range(0, len(names), width):
            batch = list(names[first : first + width])
            found = parquet.read_row_groups(list(part.groups), columns=batch, use_threads=False)
            if found.num_rows != part.rows:
                raise InputError(
                    f"source must not change while it is read, got {found.num_rows} rows instead "
                    f"of {part.rows} in '{part.path}'; open it again"
                )
            yield from (found.column(name) for name in batch)


def _values(values: Any, column: Column, exact: str | None) -> npt.NDArray[Any]:
    """One column as NumPy; missing values become NaN, NaT, or None in text."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if plain_type(values.type) != column.kind:
        # a file in which all are missing has no type
        values = values.cast(column.kind)
    dtype = column.dtype
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
            _refuse_rounding(values, exact)
        values = values.cast(pa.float64(), safe=False)
    return values.to_numpy(zero_copy_only=False)


def _refuse_rounding(values: Any, what: str) -> None:
    """Labels and carried numbers are kept as they are, or not at all."""
    ends = pc.min_max(values).as_py()
    for end in (ends["min"] or 0, ends["max"] or 0):
        if abs(end) > _LARGEST_EXACT:
            raise InputError(
                f"{what} must be within ±2**53 where it has nulls, or no statistics that tell, "
                f"since it becomes float64, got {end}; fill the nulls, or store it as text"
            )
