"""Which files a source is, parquet, CSV or JSON lines: one, those of a folder, a pattern, a list.

Row numbers count rows in the order of these files: by path, and numbers in it as numbers. Reads
nothing but names, and the first bytes of files whose names do not say what they are.
"""

import glob
import itertools
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from dask_distill.errors import InputError
from dask_distill.sources.lakes import refuse_lake_files, refuse_part_of_lake
from dask_distill.sources.reader import is_web, open_filesystem
from dask_distill.sources.splits import split_of, splits_told, usual_split
from dask_distill.storage.location import Location
from dask_distill.support.text import likely

PARQUET, CSV, JSON_LINES = "parquet", "CSV", "JSON lines"
_SUFFIXES = (".parquet", ".parq", ".pq")
_TEXT_SUFFIXES = {CSV: (".csv", ".tsv"), JSON_LINES: (".jsonl", ".ndjson")}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_HIDDEN = re.compile(r"/[._]")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_MAGIC = b"PAR1"
# a folder of other things is told by its first files
_MOST_LOOKED_AT = 100
_THREADS = 16


@dataclass(frozen=True)
class DataFile:
    """A file, what the names of its folders say of its rows, its split, and what kind it is of."""

    path: str
    partition: tuple[tuple[str, str | None], ...] = ()
    split: str | None = None
    kind: str = "parquet"


def is_pattern(location: Location) -> bool:
    """Whether it stands for the files whose names are like it."""
    if is_web(location) or not glob.has_magic(location.url):
        return False
    system, path = open_filesystem(location)
    return not system.exists(path)


def named_parquet(path: str) -> bool:
    """Whether a name ends as those of parquet files do."""
    return path.lower().endswith(_SUFFIXES)


def compression_of(path: str) -> str | None:
    """How a file is compressed, by its name, as Arrow calls it; None where it is not."""
    return _COMPRESSIONS.get(PurePosixPath(path).suffix.lower())


def kind_of(path: str) -> str | None:
    """What a file of rows is by its name, compressed or not; None where that does not tell.

    Examples
    --------
    >>> [kind_of(name) for name in ("a.parquet", "b.CSV.gz", "c.jsonl", "d.txt")]
    ['parquet', 'CSV', 'JSON lines', None]
    """
    if named_parquet(path):
        return PARQUET
    plain = path.lower().removesuffix(
        PurePosixPath(path).suffix.lower() * (compression_of(path) is not None)
    )
    return next((kind for kind, ends in _TEXT_SUFFIXES.items() if plain.endswith(ends)), None)


def holds_parquet(system: Any, path: str) -> bool:
    """Whether a file begins as parquet files do, whatever its name."""
    with suppress(OSError):
        return bool(system.cat_file(path, start=0, end=len(_MAGIC)) == _MAGIC)
    return False


def files_at(location: Location) -> list[DataFile]:
    """The file that is there, or those of the folder, in order.

    Raises
    ------
    InputError
    """
    system, root = open_filesystem(location)
    found = (
        [DataFile(root, kind=kind_of(_plain(location, root)) or PARQUET)]
        if system.isfile(root)
        else _in_folder(location, system, root)
    )
    if not is_web(location):
        refuse_part_of_lake(location, system, [root])
    return found


def _plain(location: Location, path: str) -> str:
    """A path without what a web address may carry behind it."""
    return path.partition("?")[0] if is_web(location) else path


def files_like(places: Sequence[Location]) -> list[DataFile]:
    """Files of several patterns, files and folders, in the order of their paths, each once.

    Raises
    ------
    InputError
        Where one stands for no file, for one that is not parquet, or for one of another.
    """
    first, _ = open_filesystem(places[0])
    found: list[DataFile] = []
    for place in places:
        system, path = open_filesystem(place)
        if system is not first:
            raise InputError(
                f"source must lie in one place, got '{place.url}' beside '{places[0].url}'; copy "
                "one to the other"
            )
        found += _matches(place, system, path) if is_pattern(place) else _one(place, system, path)
    _refuse_kinds(found)
    paths = sorted((file.path for file in found), key=natural)
    twice = next((one for one, then in itertools.pairwise(paths) if one == then), None)
    if twice is not None:
        raise InputError(f"source must name each file once, got '{twice}' twice; leave one out")
    if not is_web(places[0]):
        refuse_part_of_lake(places[0], first, paths)
    return sorted(found, key=lambda file: natural(file.path))


def of_split(files: list[DataFile], split: str | None, source: str) -> tuple[list[DataFile], str]:
    """The files of one split; or all, and a warning where they are of several.

    Raises
    ------
    InputError
        Where none is of that split.
    """
    if split is None:
        told = splits_told(file.split for file in files)
        warning = (
            f"source '{source}' has files of several splits, which are taken together: {told}; to "
            "select from one of them, pass split= / --split"
        )
        return files, warning if told else ""
    wanted = usual_split(split)
    chosen = [file for file in files if file.split == wanted]
    if not chosen:
        there = sorted({file.split for file in files if file.split})
        raise InputError(
            f"split must be one that files of '{source}' are named by, got {split!r}"
            f"{likely(wanted, there)}; there are: {', '.join(there) or 'none'}"
        )
    return chosen, ""


def _matches(place: Location, system: Any, path: str) -> list[DataFile]:
    """Files and folders whose names are like a pattern."""
    # of what is above the pattern, hidden folders are meant
    fixed = re.split(r"[*?[]", path, maxsplit=1)[0].rpartition("/")[0]
    names = [name.rstrip("/") for name in system.glob(path)]
    names = [name for name in names if not _hidden(name[len(fixed) :])]
    if not names:
        raise InputError(
            f"source must be the name of files, got '{place.url}', which no file has; check the "
            "pattern"
        )
    found = {file.path: file for name in names for file in _one(place, system, name)}
    return list(found.values())


def _one(place: Location, system: Any, path: str) -> list[DataFile]:
    """A file, or those of a folder; in a list, a partition is told by its whole path."""
    if not system.exists(path):
        raise InputError(f"source '{place.url}' does not exist; check the path")
    if system.isfile(path):
        kind = kind_of(path)
        if kind is None and not holds_parquet(system, path):
            raise InputError(
                "source must be parquet files where it is several, or CSV, or JSON lines, got "
                f"'{path}', which is none; leave it out"
            )
        found = [DataFile(path, kind=kind or PARQUET)]
    else:
        found = _in_folder(place, system, path)
    return [
        DataFile(f.path, partition_of(f.path, nearest=True), split_of(f.path), f.kind)
        for f in found
    ]


def _in_folder(location: Location, system: Any, root: str) -> list[DataFile]:
    start = len(root.rstrip("/"))
    found = system.find(root)
    refuse_lake_files(location, (path[start:] for path in found))
    plain = sorted((path for path in found if not _hidden(path[start:])), key=natural)
    named = [(path, kind) for path in plain if (kind := kind_of(path)) is not None]
    files = named or [(path, PARQUET) for path in _looked_at(system, plain)]
    if not files:
        ends = (*_SUFFIXES, *itertools.chain(*_TEXT_SUFFIXES.values()))
        raise InputError(
            f"source '{location.url}' must be a zarr group, or a file or folder of parquet, CSV or "
            f"JSON lines, got a folder without any file that ends in {', '.join(ends)} or begins "
            "as parquet does; check the path"
        )
    found = [
        DataFile(path, partition_of(path[start:]), split_of(path[start:]), kind)
        for path, kind in files
    ]
    _refuse_kinds(found)
    return found


def _refuse_kinds(files: Sequence[DataFile]) -> None:
    """End where files are of several kinds: one may say the same as the other."""
    first = files[0]
    other = next((file for file in files if file.kind != first.kind), None)
    if other is not None:
        raise InputError(
            f"source must be files of one kind, got {other.kind} ('{other.path}') beside "
            f"{first.kind} ('{first.path}'); name one kind, by a pattern say"
        )


def _hidden(path: str) -> bool:
    # paths in an archive begin without a slash
    return bool(_HIDDEN.search(f"/{path.lstrip('/')}"))


def _looked_at(system: Any, paths: list[str]) -> list[str]:
    """Of files whose names do not end as those of parquet do, those that are parquet."""
    with ThreadPoolExecutor(_THREADS) as pool:
        is_one = partial(holds_parquet, system)
        known = list(pool.map(is_one, paths[:_MOST_LOOKED_AT]))
        if not any(known):
            return []
        known += pool.map(is_one, paths[_MOST_LOOKED_AT:])
    for path, is_parquet in zip(paths, known, strict=True):
        # notes.txt may lie beside them; a part that was not written to its end may not
        if not is_parquet and not PurePosixPath(path).suffix:
            raise InputError(
                f"source must hold parquet files alone where names do not end in .parquet, got "
                f"'{path}', which is none; remove it, or write it anew"
            )
    return [path for path, is_parquet in zip(paths, known, strict=True) if is_parquet]


def natural(path: str) -> tuple[list[Any], str]:
    """Part 2 before part 10."""
    pieces = re.split(r"([0-9]+)", path)
    return [(int(t), "") if t.isdecimal() else (-1, t) for t in pieces], path


def partition_of(path: str, *, nearest: bool = False) -> tuple[tuple[str, str | None], ...]:
    """Hive partitions of a path: year=2013/month=1; or those alone that the file lies in."""
    folders = [folder.partition("=") for folder in path.strip("/").split("/")[:-1]]
    if nearest:
        inner = itertools.takewhile(lambda folder: folder[1], reversed(folders))
        folders = list(inner)[::-1]
    return tuple(
        (unquote(name), None if value == _NO_VALUE else unquote(value))
        for name, equals, value in folders
        if equals
    )
