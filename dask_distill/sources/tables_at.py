"""Tables where they lie, by what is there: parquet, CSV or JSON lines."""

from collections.abc import Sequence
from dataclasses import dataclass

from dask_distill.data.table import Table
from dask_distill.sources.arrow_groups import table_of
from dask_distill.sources.columns import Column, common_columns
from dask_distill.sources.delimited import open_csv
from dask_distill.sources.files import CSV, JSON_LINES, DataFile
from dask_distill.sources.footers import read_footers
from dask_distill.sources.json_lines import open_json_lines
from dask_distill.storage.location import Location


@dataclass(frozen=True, eq=False)
class FoundTable:
    """A table, and what is known of its columns.

    Attributes
    ----------
    table : Table
        Of the columns whose types go together in all files.
    columns : dict
        All of them by name, `Column.used_as` refuses the others.
    index : frozenset of str
        Columns that are an index of pandas.
    """

    table: Table
    columns: dict[str, Column]
    index: frozenset[str] = frozenset()


def table_at(location: Location, files: Sequence[DataFile]) -> FoundTable:
    """The table that files are, which are of one kind.

    Parquet is known by its footers; the others are read once.

    Parameters
    ----------
    location : Location
        Where they lie.
    files : sequence of DataFile

    Raises
    ------
    InputError
    """
    kind = files[0].kind
    if kind == CSV:
        return FoundTable(*open_csv(location, list(files)))
    if kind == JSON_LINES:
        return FoundTable(*open_json_lines(location, list(files)))
    footers = read_footers(location, files)
    columns = common_columns(footers)
    return FoundTable(table_of(location, footers, columns), columns, footers[0].index)
