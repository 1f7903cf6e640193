"""Opening data sets: zarr groups, parquet, CSV, JSON lines, .npy and .npz, local or by fsspec URL.

Opening reads metadata, and files of text once, which have none. Every task carries what it needs to
read its part. What users see of a location, here and in errors, holds neither passwords nor storage
options.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dask_distill.data.dataset import Dataset, check
from dask_distill.data.uses import WEIGHT, ColumnUse
from dask_distill.errors import InputError, InputWarning
from dask_distill.sources.errors import clear_errors, existing, locations_of, shown_url
from dask_distill.sources.files import (
    PARQUET,
    DataFile,
    files_at,
    files_like,
    holds_parquet,
    is_pattern,
    kind_of,
    of_split,
)
from dask_distill.sources.npy import open_npy, open_npz
from dask_distill.sources.parquet import open_parquet
from dask_distill.sources.reader import is_web, open_filesystem, within
from dask_distill.sources.splits import usual_split
from dask_distill.sources.text_tables import open_text_table
from dask_distill.sources.where import of_partitions, usual_where
from dask_distill.sources.zarr import open_zarr
from dask_distill.storage.form import is_former
from dask_distill.storage.location import Location
from dask_distill.storage.variables import RESERVED

_OWN = "those of the subset that the source is; --sample-weight '' counts rows alike"
ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")
# files of arrays by the end of their names, and what opens them: location, features, labels, what
# is carried and sample weights, by name; tables are told by `kind_of`, folders are zarr's
READERS: dict[str, Callable[..., Dataset]] = {".npz": open_npz, ".npy": open_npy}


def open_dataset(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    features: str | Sequence[str] | None = None,
    labels: str | os.PathLike[str] | bool | None = None,
    carry: Sequence[str] = (),
    storage_options: Mapping[str, Any] | None = None,
    task: str = "classification",
    on_missing: str = "fill",
    split: str | None = None,
    where: str | None = None,
    sample_weight: str | os.PathLike[str] | bool | None = None,
    columns: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> Dataset:
    """Open a data set without reading its rows.

    Parameters
    ----------
    source : path or URL, or list of them
        A zarr group or array (a written subset, or AnnData, too), a file or folder of parquet, CSV
        or JSON lines (hive partitions are columns), an .npy or .npz file; also in an archive or
        behind a cache, by a chain of URLs. Several tables: a list, or a pattern such as
        ``data/2013-*.parquet``; of files and folders. Rows are numbered in the order of the files'
        paths, part 2 before part 10, in whatever order they are listed.
    features : str or sequence of str, optional
        zarr and .npz: name of the array ("X" unless given). Parquet, and arrays of one number a
        row in zarr: a list of columns, also comma-separated, globs allowed, in the order given
        (globs: as stored); in parquet every numeric column that is not label or carried unless
        given.
    labels : str or path, optional
        zarr and .npz: name of the array ("y" where there is one). Parquet: a column ("y", or
        else "label", where there is one). .npy: path of another .npy. False or "" for no labels.
    carry : sequence of str
        More arrays or columns to write with the selected rows.
    storage_options : mapping, optional
        For fsspec; needed to read, shown nowhere.
    task : str
        "multilabel" where a row has several labels: an (n, L) array; in parquet several columns,
        named as features are, which become the array "y".
    on_missing : "fill" or "error"
        What a chunk of a zarr array that is not stored means. zarr does not store chunks that hold
        the fill value alone, and reads a chunk that was lost as such; the two cannot be told
        apart. With "fill" they are read as zarr has it, and counted in ``Dataset.missing``; with
        "error" they are refused, here or where they are read.
    split : str, optional
        Of a folder, list or pattern of parquet files, those that are named by this split, as
        Hugging Face has it: ``train-00000-of-00004.parquet``, ``test/…``. Files of several splits
        are otherwise taken together, with an `InputWarning`.
    where : str, optional
        Of a folder, list or pattern of tables, those files of whose folders' names this holds, as
        in ``"year>=2020 and country in (de, fr)"`` for ``year=2021/country=de/part-0.parquet``:
        ``=``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` or ``in``, joined by ``and``. Values are
        compared as numbers where all are whole numbers, else as text; of a folder without a value
        nothing holds. Other files are not read, and rows are numbered without them.
    sample_weight : str, path or False, optional
        Array or column (.npy: path of another .npy) that says how many rows each row stands for.
        A subset that we have written brings its weights unless others are named; False or "" for
        none.
    columns : mapping, optional
        How columns of a table are read, by name, where that is not to be found out: "number",
        "boolean", "category", "date", "text", "embedding", "id" or "leave-out".
    profile : mapping, optional
        What ``Dataset.profile`` was of another table: this one is read the same, and a category
        that it did not have counts as other.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        Where the source, an array or a column is missing, or cannot be read; for tables of Delta,
        Iceberg, Hudi and Lance, whose folders also hold rows that the table no longer has.

    Notes
    -----
    Parquet columns of features get their common type. Missing values become NaN; a column of
    integers or booleans that has some becomes float64, features also where footers do not tell.
    Labels and carried integers that float64 would round are refused; where footers do not tell
    whether values are missing, these columns are read for it. A column whose type differs from
    file to file gets the one that holds all of its values; where there is none, it is refused if
    it is used. Where a file does not have a column, its values are missing; of labels, that is
    warned of. Decimals become float64, days and times NumPy's, those
    with a time zone in UTC. Where no file of a folder is named as parquet, those that begin as it
    does are taken.

    CSV (``.csv``, ``.tsv``) and JSON lines (``.jsonl``, ``.ndjson``), also compressed (``.gz``,
    ``.zst``, ``.bz2``), do not say what they hold: opening reads them once, and all rows have a say
    in the types of columns, which are then as for parquet. CSV is UTF-8 with a row of names;
    cells are told apart by the first of comma, tab, semicolon and ``|`` that this row has. Empty
    cells and Arrow's other spellings (NA, N/A, NULL, null, nan, NaN, #N/A, …) are missing values,
    codes such as 007 are text. Members of JSON objects are columns, objects in them structs; a
    member that is a number here and text there is refused if it is used.
    """
    places = locations_of(source, storage_options)
    label = os.fspath(labels) if isinstance(labels, os.PathLike) else labels
    several = task == "multilabel"
    if on_missing not in ("fill", "error"):
        raise InputError(f'on_missing must be "fill" or "error", got {on_missing!r:.60}')
    weight = os.fspath(sample_weight) if isinstance(sample_weight, os.PathLike) else sample_weight
    if weight is True or not isinstance(weight, str | bool | None):
        raise InputError(
            f"sample_weight must be a name, or False for none, got {weight!r:.60}; name one"
        )
    if label is True or not isinstance(label, str | bool | None):
        raise InputError(f"labels must be a name, or False for none, got {label!r:.60}; name one")
    if not isinstance(split, str | None) or split == "":
        raise InputError(f"split must be a name, got {split!r:.60}; leave it out for all files")
    wanted = features if isinstance(features, str | None) else _names("features", features)
    carried = _names("carry", [carry] if isinstance(carry, str) else carry)
    with clear_errors(*places):
        asked = _Asked(
            features=wanted,
            labels=label,
            carry=carried,
            weight=weight,
            several=several,
            complete=on_missing == "error",
            split=split,
            kinds=columns,
            profile=profile,
            where=usual_where(where),
        )
        dataset, warning = _opened(places, asked)
        if weight is None and dataset.sample_weight is not None:
            dataset = replace(dataset, uses=tuple(map(_brought, dataset.uses)))
        dataset = check(
            replace(
                dataset,
                sources=tuple(shown_url(Location(url)) for url in dataset.sources),
                split=None if split is None else usual_split(split),
                where=asked.where,
            ),
            several=several,
        )
    if warning:
        warnings.warn(warning, InputWarning, stacklevel=2)
    return dataset


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is wanted of a source; several labels a row, complete arrays, some of its files."""

    features: str | Sequence[str] | None
    labels: str | bool | None
    carry: tuple[str, ...]
    weight: str | bool | None
    several: bool
    complete: bool
    split: str | None
    kinds: Mapping[str, str] | None = None
    profile: Mapping[str, Any] | None = None
    where: str | None = None


def _brought(use: ColumnUse) -> ColumnUse:
    """With what to say of weights that nobody has named."""
    return replace(use, why=_OWN) if use.role == WEIGHT else use


def _names(what: str, given: Any) -> tuple[str, ...]:
    names = tuple(given) if isinstance(given, Iterable) else (None,)
    if all(isinstance(name, str) for name in names):
        return names
    raise InputError(f"{what} must be a list of names, got {given!r:.60}; give names")


def _opened(places: Sequence[Location], asked: _Asked) -> tuple[Dataset, str]:
    """By the reader that fits what is there; and what is to be warned of."""
    if len(places) > 1 or is_pattern(places[0]):
        places = [place.resolved() for place in places]
        dataset, warning = _table(places[0], files_like(places), asked)
        return replace(dataset, sources=tuple(place.url for place in places)), warning
    location = existing(places[0])
    if _is_table(location):
        return _table(location, files_at(location), asked)
    if asked.split is not None:
        raise InputError(
            f"split must be of a folder, list or pattern of parquet files, got {asked.split!r} of "
            f"'{location.url}'; leave it out"
        )
    if asked.where is not None:
        raise InputError(
            f"where must be of a folder, list or pattern of tables, got {asked.where!r} of "
            f"'{location.url}'; leave it out"
        )
    return _other(location, asked), ""


def _is_table(location: Location) -> bool:
    """Whether it is a file of parquet, CSV or JSON lines, or a folder that is nothing else."""
    system, path = open_filesystem(location)
    name = path.partition("?")[0] if is_web(location) else path
    if name.endswith(tuple(READERS)):
        return False
    if system.isfile(path):
        return kind_of(name) is not None or holds_parquet(system, path)
    return not any(system.exists(within(path, file)) for file in ZARR_FILES)


def _table(location: Location, files: list[DataFile], asked: _Asked) -> tuple[Dataset, str]:
    files, warning = of_split(files, asked.split, location.url)
    files = of_partitions(files, asked.where, location.url)
    named: list[str] | str | bool | None = asked.labels
    if asked.several and isinstance(asked.labels, str) and asked.labels:
        named = _patterns(asked.labels, "labels")
    features = _patterns(asked.features)
    if files[0].kind != PARQUET:
        told = (str(asked.weight or ""), asked.kinds, asked.profile)
        return open_text_table(location, files, features, named, asked.carry, *told), warning
    # a subset that we have written brings weights, row numbers and scores
    weight = None if asked.weight is None else str(asked.weight or "")
    former = is_former(*open_filesystem(location))
    read = (features, named, asked.carry, weight, former, asked.kinds, asked.profile)
    return open_parquet(location, files, *read), warning


def _other(location: Location, asked: _Asked) -> Dataset:
    system, path = open_filesystem(location)
    name = path.partition("?")[0] if is_web(location) else path
    for ending, reader in READERS.items():
        if name.endswith(ending):
            return reader(location, asked.features, asked.labels, asked.carry, asked.weight)
    if not system.isfile(path):
        found = open_zarr(
            location,
            asked.features,
            asked.labels,
            asked.carry,
            asked.weight,
            complete=asked.complete,
            kinds=asked.kinds,
            profile=asked.profile,
        )
        return _named_plainly(found)
    raise InputError(
        "source must be a zarr group, a file or folder of parquet, CSV or JSON lines, or an "
        f".npy or .npz file, got '{location.url}'; convert it, or check the path"
    )


def _named_plainly(dataset: Dataset) -> Dataset:
    """An array of a subgroup goes by its own name; where that is another's, by its path."""
    renamed: dict[str, str] = {}
    taken = list(RESERVED)

    def plain(name: str) -> str:
        ways = (name.rpartition("/")[2], name.replace("/", "_"))
        # what is still another's keeps its path; the output has a name for it
        taken.append(next((way for way in ways if way not in taken), name))
        if taken[-1] != name:
            renamed[taken[-1]] = name
        return taken[-1]

    features = plain(dataset.feature_name)
    labels = dataset.label_name if dataset.labels is None else plain(dataset.label_name)
    carry = {plain(name): array for name, array in dataset.carry.items()}
    named = {theirs: ours for ours, theirs in renamed.items()}
    return replace(
        dataset,
        feature_name=features,
        label_name=labels,
        carry=carry,
        renamed=renamed,
        attributes={named.get(name, name): held for name, held in dataset.attributes.items()},
    )


def _patterns(features: str | Sequence[str] | None, what: str = "features") -> list[str] | None:
    if features is None:
        return None
    # a list may hold names with commas, and with blanks at their ends
    given = [t.strip() for t in features.split(",")] if isinstance(features, str) else features
    patterns = [text for text in given if text.strip()]
    if not patterns:
        raise InputError(f"{what} must name at least one column, got none; name some")
    return patterns
