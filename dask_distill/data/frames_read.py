"""Rows that another library reads from its files: Arrow's data sets, and Hugging Face's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dask_distill.data.rows import chunk_rows
from dask_distill.data.table import Rows, Table, TablePart
from dask_distill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class Fragment(TablePart):
    """Some rows of a file that `pyarrow.dataset` reads.

    Attributes
    ----------
    fragment : pyarrow.dataset.Fragment
        A row group where it is of parquet, else a file.
    count : int
        Its rows.
    whole : Arrow schema
        Of the data set.
    """

    fragment: Any
    count: int
    whole: Any

    @property
    def schema(self) -> "pa.Schema":
        """Of the data set."""
        return self.whole

    @property
    def rows(self) -> int:
        """Of the fragment."""
        return self.count

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> "pa.Table":
        """Rows from ``start`` to ``stop``: those before are decoded, too, and not kept."""
        import pyarrow as pa

        stop = self.count if stop is None else min(stop, self.count)
        names = self.whole.names if columns is None else list(columns)
        kinds = pa.schema([self.whole.field(name) for name in names])
        batches, first = [], 0
        for batch in self.fragment.to_batches(
            schema=self.whole, columns=names, use_threads=False, batch_readahead=1
        ):
            low, high = max(0, start - first), min(batch.num_rows, stop - first)
            if low < high:
                batches.append(batch.slice(low, high - low))
            first += batch.num_rows
            if first >= stop:
                break
        return pa.Table.from_batches(batches, kinds)


def of_arrow_dataset(data: Any) -> Table:
    """A `pyarrow.dataset.Dataset`, in the order that it has.

    Raises
    ------
    InputError
        For one that is filtered, or without rows.
    """
    try:
        fragments = list(data.get_fragments())
    except ValueError:
        raise InputError(
            "features must be an Arrow dataset as it was opened, got one with a filter; read it "
            "with to_table(), or write it and open_dataset that"
        ) from None
    parts, files, first = [], [], 0
    for fragment in fragments:
        if not hasattr(fragment, "path"):
            raise InputError(
                "features must be an Arrow dataset of files, got one of tables in memory; pass "
                "its to_table()"
            )
        files.append((fragment.path, first))
        for piece, count in _row_groups(fragment):
            if count:
                parts.append(Fragment(piece, count, data.schema))
                first += count
    if not parts:
        raise InputError("features must have at least one row, got a dataset without any")
    rows = tuple(part.count for part in parts)
    whole = frozenset(data.schema.names).difference(*map(_gaps, parts))
    return Table(data.schema, tuple(parts), rows, tuple(files), whole)


def _gaps(part: Fragment) -> frozenset[str]:
    """Columns in which values may be missing, as far as the file tells without being read."""
    names = {field.name for field in part.whole if field.nullable}
    if hasattr(part.fragment, "metadata"):
        group = part.fragment.metadata.row_group(part.fragment.row_groups[0].id)
        for number in range(group.num_columns):
            column = group.column(number)
            # what is nested goes by a longer path
            told = column.is_stats_set and column.statistics.null_count == 0
            names -= {column.path_in_schema} if told else set()
    return frozenset(names)


def _row_groups(fragment: Any) -> list[tuple[Any, int]]:
    if not hasattr(fragment, "split_by_row_group"):
        return [(fragment, int(fragment.count_rows()))]
    pieces = fragment.split_by_row_group()
    # count_rows of a row group is that of its file
    return [(piece, int(piece.row_groups[0].num_rows)) for piece in pieces]


# ---------------------------------------------------------------- Hugging Face


@dataclass(frozen=True, eq=False)
class Examples(TablePart):
    """Some rows of a `datasets.Dataset` in files, which travels as their paths.

    Attributes
    ----------
    data : datasets.Dataset
    first : int
        Number of the first row.
    count : int
    whole : Arrow schema
    """

    data: Any
    first: int
    count: int
    whole: Any

    @property
    def schema(self) -> "pa.Schema":
        """Of the data set."""
        return self.whole

    @property
    def rows(self) -> int:
        """How many."""
        return self.count

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> "pa.Table":
        """Rows from ``start`` to ``stop``."""
        stop = self.count if stop is None else min(stop, self.count)
        return self._picked(slice(self.first + start, self.first + max(start, stop)), columns)

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> "pa.Table":
        """Rows by ascending number: picked by the data set's own index."""
        if len(rows) == 0:
            return self.read(columns, 0, 0)
        return self._picked((rows + self.first).tolist(), columns)

    def _picked(self, rows: Any, columns: Sequence[str] | None) -> "pa.Table":
        # of no columns there would be no rows
        chosen = self.data.select_columns(list(columns)) if columns else self.data
        found = chosen.with_format("arrow")[rows]
        return found if columns is None else found.select(list(columns))


def of_hugging_face(data: Any) -> Table:
    """A `datasets.Dataset` in files, with its picked rows in their order."""
    schema = data.with_format("arrow")[:0].schema
    step = chunk_rows(int(data.data.nbytes) // max(1, data.data.num_rows), len(data))
    starts = range(0, len(data), step)
    parts = tuple(Examples(data, at, min(step, len(data) - at), schema) for at in starts)
    columns = zip(data.data.column_names, data.data.columns, strict=True)
    whole = frozenset(name for name, column in columns if column.null_count == 0)
    return Table(schema, parts, tuple(part.count for part in parts), without_nulls=whole)
