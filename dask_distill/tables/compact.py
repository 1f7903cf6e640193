"""Rows of a table as columns of few bytes: what there is of them before they are encoded."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.tables.categories import Indicators
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.numbers import Days, Numbers

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CompactTable:
    """Rows read in some pieces; see `dask_distill.data.compact.CompactRows`.

    Attributes
    ----------
    encoding : Encoding
    pieces : tuple of (int, tuple of Numbers)
        Rows of each, and its columns.
    """

    encoding: Encoding
    pieces: tuple[tuple[int, tuple[Numbers, ...]], ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and numbers of each once encoded."""
        return len(self), self.encoding.width

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers."""
        return self.encoding.dtype

    def __len__(self) -> int:
        return sum(rows for rows, _ in self.pieces)

    def __getitem__(self, rows: Any) -> "CompactTable":
        at = np.arange(len(self))[rows]
        edges = np.cumsum([0, *(count for count, _ in self.pieces)])
        cuts = np.searchsorted(at, edges)
        pieces = []
        for number in np.flatnonzero(np.diff(cuts)):
            local = at[cuts[number] : cuts[number + 1]] - edges[number]
            count, columns = self.pieces[number]
            if len(local) < count:
                columns = tuple(_taken(column, local) for column in columns)
            pieces.append((len(local), columns))
        return replace(self, pieces=tuple(pieces))

    def joined(self, others: Sequence["CompactTable"]) -> "CompactTable":
        """These and then others."""
        pieces = [piece for table in (self, *others) for piece in table.pieces]
        return replace(self, pieces=tuple(pieces))

    def dense(self) -> npt.NDArray[np.floating]:
        """(m, d) features."""
        out = np.empty(self.shape, self.encoding.dtype)
        start = 0
        for rows, columns in self.pieces:
            out[start : start + rows] = self.encoding.dense(columns, rows)
            start += rows
        return out

    def checksum(self) -> int:
        """Of the columns, one after another: the same in whatever pieces they were read."""
        found = []
        for number in range(len(self.encoding.readers)):
            values, missing = 0, 0
            for rows, columns in self.pieces:
                for part in _content(columns[number].values):
                    values = zlib.crc32(np.ascontiguousarray(part).view(np.uint8).data, values)
                marks = columns[number].missing
                marks = np.zeros(rows, np.bool_) if marks is None else marks
                missing = zlib.crc32(marks.view(np.uint8).data, missing)
            found += [values, missing]
        return zlib.crc32(np.array(found, "<u4").tobytes())

    def ends(self) -> tuple[Floats, Floats]:
        """Of numbers and embeddings; categories, dates and texts give no large ones."""
        least = np.full(self.encoding.width, np.inf)
        greatest = np.full(self.encoding.width, -np.inf)
        for rows, columns in self.pieces:
            start = 0
            for reader, column in zip(self.encoding.readers, columns, strict=True):
                if rows and reader.unbounded:
                    own = slice(start, start + len(reader.plain_names))
                    least[own] = np.minimum(least[own], column.values.min(axis=0))
                    greatest[own] = np.maximum(greatest[own], column.values.max(axis=0))
                start += len(reader.names)
        return least, greatest


def _taken(column: Numbers, rows: npt.NDArray[np.int64]) -> Numbers:
    values, missing = column.values, column.missing
    if isinstance(values, Indicators):
        taken: Any = replace(values, codes=values.codes[rows])
    elif isinstance(values, Days):
        gaps = None if values.missing is None else values.missing[rows]
        taken = replace(values, days=values.days[rows], missing=gaps)
    else:
        taken = values[rows]
    return Numbers(taken, None if missing is None else missing[rows])


def _content(values: Any) -> list[npt.NDArray[Any]]:
    """What a column's numbers are made of, whatever the dictionaries of its parts."""
    if isinstance(values, Indicators):
        both = np.empty(len(values.codes), [("place", "<i4"), ("sign", "<f4")])
        both["place"], both["sign"] = values.places[values.codes], values.signs[values.codes]
        return [both]
    return [values.days if isinstance(values, Days) else values]
