"""Columns of a table as numbers that rows are compared by, each row for itself.

Everything is decided by a profile, and nothing by the other rows of a block: rows are the same in
any chunk. What is not said by a column of its own (categories, n-grams, embeddings) is a group of
numbers, which counts as one column; see `Group`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dask_distill.data.groups import Group
from dask_distill.errors import InputError
from dask_distill.tables.buffers import is_missing
from dask_distill.tables.categories import indicators
from dask_distill.tables.columns import (
    as_days,
    as_numbers,
    as_text,
    as_vectors,
    source_of,
    values_at,
)
from dask_distill.tables.ngrams import TextProjection, ngram_features
from dask_distill.tables.numbers import Days, Numbers
from dask_distill.tables.profile import (
    BOOLEAN,
    CATEGORY,
    DATE,
    EMBEDDING,
    LEFT_OUT,
    NUMBER,
    TEXT,
    ColumnProfile,
    Profile,
    overruled,
)

Out = npt.NDArray[np.floating]

# marks and waves have a spread of about a half: so far apart are rows that differ in them
_HALF = 0.5
_WAVE = 1.0
# numbers of which float32 would keep less than this part of their spread are kept in float64
_FINE = 2.0**-14
# and those that squares of float32 cannot hold
_LARGEST = 1e18
# bytes of rows that are written at a time, so that they stay in cache
_AT_ONCE = 2**21
_CYCLES = {1.0: "day", 7.0: "week"}


@dataclass(frozen=True)
class Encoding:
    """What turns rows of a table into numbers.

    Attributes
    ----------
    profile : Profile
        Of which the columns that are features count.
    """

    profile: Profile

    def __reduce__(self) -> tuple[Any, ...]:
        # what follows from the profile need not travel
        return Encoding, (self.profile.reading(),)

    @cached_property
    def readers(self) -> tuple["Reader", ...]:
        """One a column that is used."""
        return tuple(_READERS[column.kind](column) for column in self.profile.features)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the numbers."""
        return tuple(name for reader in self.readers for name in reader.names)

    @property
    def width(self) -> int:
        """Numbers of a row."""
        return len(self.names)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Which numbers count as one column, and those whose scale is known."""
        found, start = [], 0
        for reader in self.readers:
            found += [
                Group(start + first, start + last, scale) for first, last, scale in reader.groups
            ]
            start += len(reader.names)
        return tuple(found)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Type that holds them."""
        fine = any(reader.fine for reader in self.readers)
        return np.dtype(np.float64 if fine else np.float32)

    def sources(self, schema: Any) -> list[str]:
        """Columns of the table that are read."""
        names = [source_of(column.name, schema) for column in self.profile.features]
        return list(dict.fromkeys(names))

    def __call__(self, table: Any) -> Out:
        """(m, width) numbers of m rows.

        Raises
        ------
        InputError
            Where a value is not what the profile says.
        """
        return self.dense(self.columns(table), table.num_rows)

    def columns(self, table: Any) -> tuple[Numbers, ...]:
        """Of m rows, before they are numbers side by side.

        Raises
        ------
        InputError
        """
        names = [reader.column.name for reader in self.readers]
        return tuple(
            reader.numbers(values_at(table, name))
            for reader, name in zip(self.readers, names, strict=True)
        )

    def dense(self, found: Sequence[Numbers], rows_there: int) -> Out:
        """(m, width) numbers of columns."""
        edges = np.cumsum([0, *(len(reader.names) for reader in self.readers)]).tolist()
        columns = [slice(start, stop) for start, stop in pairwise(edges)]
        out = np.zeros((rows_there, self.width), self.dtype)
        step = max(1, _AT_ONCE // max(1, self.width * out.itemsize))
        for first in range(0, len(out), step):
            last = min(first + step, len(out))
            rows = out[first:last]
            for reader, numbers, own in zip(self.readers, found, columns, strict=True):
                numbers.put(first, last, own, reader.marked, rows)
                if numbers.missing is not None and not self.profile.filled:
                    rows[numbers.missing[first:last], own] = np.nan
        return out


class Reader:
    """Reads one column."""

    # whether float32 would lose what matters
    fine = False
    # whether numbers may be of any size
    unbounded = False

    def __init__(self, column: ColumnProfile) -> None:
        self.column = column
        self.told = column.encoding

    @property
    def plain_names(self) -> list[str]:
        """Of the numbers, but for the mark."""
        return [self.column.name]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the numbers; the last is the mark for missing values, if there is one."""
        return (*self.plain_names, *([f"{self.column.name} is null"] if self.marked else []))

    @property
    def marked(self) -> bool:
        """Whether missing values have a mark."""
        return bool(self.told.get("mark"))

    @property
    def plain_groups(self) -> list[tuple[int, int, float | None]]:
        """Which numbers go together, and their scale where it is known; see `Group`."""
        return []

    @property
    def groups(self) -> list[tuple[int, int, float | None]]:
        """With the mark."""
        last = len(self.names)
        return [*self.plain_groups, *([(last - 1, last, _HALF)] if self.marked else [])]

    def numbers(self, values: Any) -> Numbers:
        """Of one column; all but the mark."""
        raise NotImplementedError


class Number(Reader):
    """As it is; missing ones are the median."""

    unbounded = True

    @property
    def fine(self) -> bool:  # type: ignore[override]
        """Where the offset is far above the spread."""
        least, greatest = self.column.least, self.column.greatest
        if not isinstance(least, int | float) or not isinstance(greatest, int | float):
            return False
        size = max(abs(least), abs(greatest))
        offset = greatest > least and 2.0**-24 * size > _FINE * (greatest - least)
        return bool(offset or size > _LARGEST)

    def numbers(self, values: Any) -> Numbers:
        """One number."""
        with readable(self.column):
            found = as_numbers(values)
        missing = _some(np.isnan(found))
        if missing is not None:
            found = np.where(missing, self.told["fill"], found)
        return Numbers(found, missing)


class Date(Reader):
    """Days since the middle of the sample, and where in its cycles a date is."""

    @property
    def plain_names(self) -> list[str]:
        """Position, and a wave and its quarter a cycle."""
        name = self.column.name
        waves = [f"{name} {_CYCLES.get(length, 'year')}" for length in self.told["cycles"]]
        return [name, *(f"{wave} {part}" for wave in waves for part in ("sin", "cos"))]

    @property
    def plain_groups(self) -> list[tuple[int, int, float | None]]:
        """A cycle counts as one column."""
        count = len(self.told["cycles"])
        return [(1 + 2 * k, 3 + 2 * k, _WAVE) for k in range(count)]

    def numbers(self, values: Any) -> Numbers:
        """Position and waves."""
        with readable(self.column):
            days = as_days(values)
        missing = _some(np.isnan(days))
        if missing is not None:
            days[missing] = self.told["fill"]
        return Numbers(Days(days, self.told["since"], self.told["cycles"], missing), missing)


class Category(Reader):
    """A column for each frequent value; the others share some by their hash."""

    @property
    def plain_names(self) -> list[str]:
        """By value."""
        name = self.column.name
        known = [f"{name}={value}" for value in self.told["known"]]
        return known + [f"{name}=other {number}" for number in range(self.told["others"])]

    @property
    def plain_groups(self) -> list[tuple[int, int, float | None]]:
        """All count as one column."""
        return [(0, len(self.plain_names), None)]

    def numbers(self, values: Any) -> Numbers:
        """Indicators."""
        known, others = tuple(self.told["known"]), self.told["others"]
        found = indicators(as_categories(values), known, others)
        return Numbers(found, _missing(values))


class Text(Reader):
    """What texts are made of, projected."""

    @cached_property
    def projection(self) -> TextProjection | None:
        """As fitted; profiles of before had none."""
        stored = self.told.get("projection")
        return None if stored is None else TextProjection.parse(stored)

    @property
    def plain_names(self) -> list[str]:
        """By number."""
        return [f"{self.column.name} n-grams {number}" for number in range(self.told["width"])]

    @property
    def plain_groups(self) -> list[tuple[int, int, float | None]]:
        """All count as one column."""
        return [(0, len(self.plain_names), None)]

    def numbers(self, values: Any) -> Numbers:
        """Sums over tokens."""
        text = values if pa.types.is_dictionary(values.type) else as_text(values)
        found = ngram_features(
            text, self.told["width"], self.told["words"], projection=self.projection
        )
        return Numbers(found, _missing(values))


class Embedding(Reader):
    """Numbers as they are; a missing one is the mean."""

    unbounded = True

    @property
    def plain_names(self) -> list[str]:
        """By position."""
        return [f"{self.column.name}[{number}]" for number in range(self.told["length"])]

    @property
    def plain_groups(self) -> list[tuple[int, int, float | None]]:
        """All count as one column."""
        return [(0, len(self.plain_names), None)]

    def numbers(self, values: Any) -> Numbers:
        """As they are."""
        length = self.told["length"]
        vectors = as_vectors(values, length)
        if vectors is None:
            raise InputError(
                f"column {self.column.name!r} must have {length} numbers in every row, as those "
                "that were looked at, got a list of another length; pad it, or leave the column "
                f"out: {overruled(self.column.name, LEFT_OUT)}"
            )
        missing = _some(np.isnan(vectors).any(axis=1))
        if missing is not None:
            vectors[missing] = self.told["fill"] or 0.0
        return Numbers(vectors, missing)


_READERS: dict[str, type[Reader]] = {
    NUMBER: Number,
    BOOLEAN: Number,
    CATEGORY: Category,
    DATE: Date,
    TEXT: Text,
    EMBEDDING: Embedding,
}


def as_categories(values: Any) -> Any:
    """Values as text, still by their dictionary where they have one."""
    if not pa.types.is_dictionary(values.type):
        return as_text(values)
    words = values.dictionary
    if not pa.types.is_string(words.type):
        values = pa.DictionaryArray.from_arrays(values.indices, words.cast(pa.string()))
    return values


def _missing(values: Any) -> npt.NDArray[np.bool_] | None:
    return is_missing(values) if values.null_count or _dictionary_nulls(values) else None


def _dictionary_nulls(values: Any) -> bool:
    return pa.types.is_dictionary(values.type) and values.dictionary.null_count > 0


def _some(marks: Any) -> npt.NDArray[np.bool_] | None:
    return np.asarray(marks, np.bool_) if marks.any() else None


@contextmanager
def readable(column: ColumnProfile) -> Iterator[None]:
    """What Arrow cannot read as the profile says, as one sentence.

    Raises
    ------
    InputError
    """
    try:
        yield
    except pa.ArrowInvalid as error:
        raise InputError(
            f"column {column.name!r} must hold what can be read as {column.kind}, as in the rows "
            f"that were looked at, got {' '.join(str(error).split())[:120]}; clean it, or pass "
            f"{overruled(column.name, TEXT)}"
        ) from None
