"""Row groups of parquet files as Arrow tables, with all that their types say.

Rows come batch by batch, so that a row group of any size is never held whole but where all of its
rows are wanted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dask_distill.data.table import Rows, Table, TablePart, rows_of_table
from dask_distill.errors import InputError
from dask_distill.sources.batches import read_batches, refuse_changes
from dask_distill.sources.columns import Column
from dask_distill.sources.footers import Footer, metadata_of
from dask_distill.storage.location import Location, reading


@dataclass(frozen=True, eq=False, kw_only=True)
class RowGroup(TablePart):
    """A row group of a file.

    Attributes
    ----------
    location : Location
    path : str
    group : int
    count : int
        Its rows.
    partition : tuple of (name, value)
        What the names of the file's folders say.
    whole : Arrow schema
        Of all files together.
    """

    location: Location
    path: str
    group: int
    count: int
    partition: tuple[tuple[str, str | None], ...]
    whole: Any

    @property
    def schema(self) -> Any:
        """Of all files together."""
        return self.whole

    @property
    def rows(self) -> int:
        """Of the row group."""
        return self.count

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> Any:
        """Rows from ``start`` to ``stop``."""
        stop = self.count if stop is None else min(stop, self.count)
        kinds = self._kinds(columns)
        batches = []
        for first, batch in self._batches(kinds.names, stop):
            ends = max(0, start - first), min(batch.num_rows, stop - first)
            if ends[0] < ends[1]:
                batches.append(batch.slice(ends[0], ends[1] - ends[0]))
        return self._joined(batches, kinds)

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Rows by ascending number."""
        kinds = self._kinds(columns)
        return self._joined(list(self._taken(rows, kinds)), kinds)

    def batches(self, rows: Rows, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Rows by ascending number, those of a batch at a time."""
        kinds = self._kinds(columns)
        for batch in self._taken(rows, kinds):
            yield self._joined([batch], kinds)

    def _taken(self, rows: Rows, kinds: Any) -> Iterator[Any]:
        """Of each batch the wanted rows, where it has some."""
        last = int(rows[-1]) + 1 if len(rows) else 0
        for first, batch in self._batches(kinds.names, last):
            low, high = np.searchsorted(rows, (first, first + batch.num_rows))
            wanted = rows[low:high] - first
            if len(wanted) and wanted[-1] - wanted[0] == len(wanted) - 1:
                # one run of rows, which needs no copy
                yield batch.slice(int(wanted[0]), len(wanted))
            elif len(wanted):
                yield from rows_of_table(pa.Table.from_batches([batch]), wanted).to_batches()

    def _kinds(self, columns: Sequence[str] | None) -> Any:
        names = self.whole.names if columns is None else columns
        # metadata is of the whole
        return pa.schema([self.whole.field(name) for name in names])

    def _batches(self, names: Sequence[str], stop: int) -> Iterator[tuple[int, Any]]:
        """Batches of what the file has of these columns, each with its first row, up to a row."""
        with reading(self.location):
            metadata = metadata_of(self.location, self.path)
            refuse_changes(metadata, self.path, (self.group,), self.count)
            there = set(metadata.schema.to_arrow_schema().names)
            folders = {name for name, _ in self.partition}
            found = [name for name in names if name in there and name not in folders]
            if not found:
                yield 0, pa.record_batch({"": pa.nulls(self.count)})
                return
            first = 0
            for batch in read_batches(
                self.location, self.path, (self.group,), found, metadata, stop=stop
            ):
                yield first, batch
                first += batch.num_rows

    def _joined(self, batches: list[Any], kinds: Any) -> Any:
        rows = sum(batch.num_rows for batch in batches)
        stored = pa.Table.from_batches(batches) if batches else None
        return in_types(stored, rows, kinds, self.partition)


def in_types(
    stored: Any, rows: int, kinds: Any, partition: Sequence[tuple[str, str | None]]
) -> Any:
    """Rows of one file in the types of all files together.

    Parameters
    ----------
    stored : Arrow table or None
        Columns that the file has.
    rows : int
    kinds : Arrow schema
        Columns that are wanted.
    partition : sequence of (name, value)
        What the names of the file's folders say.
    """
    folders = dict(partition)
    columns = []
    for kind in kinds:
        if kind.name in folders:
            value = pa.scalar(folders[kind.name], pa.string()).cast(kind.type)
            columns.append(pa.chunked_array([pa.repeat(value, rows)]))
        elif stored is None or kind.name not in stored.column_names:
            columns.append(pa.chunked_array([pa.nulls(rows, kind.type)]))
        else:
            columns.append(_in_type(stored.column(kind.name), kind))
    return pa.Table.from_arrays(columns, schema=kinds)


def _in_type(values: Any, kind: Any) -> Any:
    if values.type == kind.type:
        return values
    try:
        if pa.types.is_dictionary(values.type) and not pa.types.is_dictionary(kind.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_dictionary(kind.type) and not pa.types.is_dictionary(values.type):
            values = values.cast(kind.type.value_type).dictionary_encode()
        return values.cast(kind.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"column {kind.name!r} must be of one type in all files, got {values.type} that does "
            f"not fit {kind.type} ({' '.join(str(error).split())}); write them alike"
        ) from None


def table_of(location: Location, footers: Sequence[Footer], columns: dict[str, Column]) -> Table:
    """The row groups of all files, in order."""
    whole = _whole_schema(footers, columns)
    parts, files, first = [], [], 0
    for footer in footers:
        files.append((footer.path, first))
        for number, rows in enumerate(footer.rows):
            if rows:
                part = RowGroup(
                    location=location,
                    path=footer.path,
                    group=number,
                    count=rows,
                    partition=footer.partition,
                    whole=whole,
                )
                parts.append(part)
                first += rows
    counts = tuple(part.count for part in parts)
    told = [field.name for field in whole if _footers_tell(field.type)]
    known = frozenset(name for name in told if not columns[name].nulls)
    return Table(whole, tuple(parts), counts, tuple(files), known)


def _footers_tell(kind: Any) -> bool:
    """Whether a column is of a type of which footers are asked for nulls; see `read_footers`.

    Not of floats, in which a missing value is NaN as well; of lists and structs they tell of the
    values within.
    """
    types, kind = pa.types, kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (types.is_integer, types.is_boolean, types.is_string, types.is_large_string)
    return any(test(kind) for test in (*tests, types.is_temporal))


def _whole_schema(footers: Sequence[Footer], columns: dict[str, Column]) -> Any:
    """Types as the files have them, where all agree; those that hold all values, where not."""
    fields = []
    for name, column in columns.items():
        if column.misfit:
            continue
        found = [f.schema.field(name) for f in footers if name in f.schema.names]
        same = found and all(one.type == found[0].type for one in found)
        folder = any(name == key for footer in footers for key, _ in footer.partition)
        if same and not folder:
            nullable = any(one.nullable for one in found) or len(found) < len(footers)
            fields.append(found[0].with_nullable(nullable))
        else:
            fields.append(pa.field(name, column.kind))
    return pa.schema(fields, metadata=footers[0].schema.metadata)
