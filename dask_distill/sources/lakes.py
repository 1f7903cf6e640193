"""Tables of lake formats: which files a table has now stands in its log, not in its folder.

Read as plain parquet, rows come back that were overwritten or deleted, for privacy maybe. So such
folders are known by name and refused, with the way out.
"""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from dask_distill.errors import InputError
from dask_distill.storage.location import Location

# folders above a source that may be the table's: partitions, and where a format keeps its data
_MOST_ABOVE = 8
_THREADS = 16


@dataclass(frozen=True)
class Lake:
    """A format: what one of its tables is called and shown by, and how its rows are had."""

    name: str
    folder: str
    file: re.Pattern[str]
    way_out: str


_LAKES = (
    Lake(
        "a Delta",
        "_delta_log",
        re.compile(r".*"),
        "write its rows as they are now to a folder of parquet, e.g. with "
        "pyarrow.dataset.write_dataset(deltalake.DeltaTable(path).to_pyarrow_dataset(), ...)",
    ),
    Lake(
        "an Iceberg",
        "metadata",
        re.compile(r".*\.metadata\.json(\.gz)?"),
        "write its rows as they are now to a folder of parquet, e.g. with pyiceberg's "
        "table.scan().to_arrow()",
    ),
    Lake(
        "a Hudi",
        ".hoodie",
        re.compile(r".*"),
        "write its rows as they are now to a folder of parquet, e.g. with Spark",
    ),
    Lake(
        "a Lance",
        "_versions",
        re.compile(r".*\.manifest"),
        "write its rows as they are now to a folder of parquet, e.g. with "
        "pyarrow.dataset.write_dataset(lance.dataset(path).scanner().to_reader(), ...)",
    ),
)


def refuse_lake_files(location: Location, files: Iterable[str]) -> None:
    """End where some of these files, which lie in or below a source, are of a table's log.

    Raises
    ------
    InputError
    """
    for path in files:
        *folders, name = path.split("/")
        for lake in _LAKES:
            if folders and folders[-1] == lake.folder and lake.file.fullmatch(name):
                raise _refusal(lake, location)


def refuse_part_of_lake(location: Location, system: Any, paths: Iterable[str]) -> None:
    """End where a source lies within the folder of such a table.

    Raises
    ------
    InputError
    """
    above = dict.fromkeys(folder for path in paths for folder in _above(path))
    if not above:
        return
    with ThreadPoolExecutor(min(_THREADS, len(above))) as pool:
        for lake in pool.map(partial(_lake_at, system), above):
            if lake is not None:
                raise _refusal(lake, location)


def _above(path: str) -> Iterator[str]:
    """Folders that a path lies in, the nearest first."""
    for _ in range(_MOST_ABOVE):
        path = path.rstrip("/").rpartition("/")[0]
        if not path.strip("/"):
            return
        yield path


def _lake_at(system: Any, path: str) -> Lake | None:
    """The format whose log lies in a folder."""
    for lake in _LAKES:
        # who may read the files need not be allowed to look around
        with suppress(OSError):
            log = f"{path}/{lake.folder}"
            if system.isdir(log) and any(
                lake.file.fullmatch(entry.rstrip("/").rpartition("/")[2])
                for entry in system.ls(log, detail=False)
            ):
                return lake
    return None


def _refusal(lake: Lake, location: Location) -> InputError:
    return InputError(
        f"source must be plain parquet files, got '{location.url}', which is (part of) "
        f"{lake.name} table, or has one in it: its folder also holds rows that the table no longer "
        f"has; {lake.way_out}"
    )
