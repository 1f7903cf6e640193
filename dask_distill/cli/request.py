"""From the words of a command line to a data set and what is asked of it."""

import json
import os
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from dask_distill.coreset import open_coreset
from dask_distill.data.dataset import Dataset, check, with_time
from dask_distill.data.labels import MissingLabel
from dask_distill.data.weighted import measured
from dask_distill.data.written import with_written
from dask_distill.errors import InputError
from dask_distill.selection.marks import as_initial
from dask_distill.selection.request import TASKS, Request
from dask_distill.selection.task import as_target, labels_of, with_task
from dask_distill.sources.open import open_dataset
from dask_distill.spaces.words import named_function
from dask_distill.storage.location import Location, reading
from dask_distill.strategies import make_strategy

# of a `Request`, what words have to be turned into; all else is an option of the same name
_READ = {"strategy", "protect", "reduce", "initial", "missing_label", "proxy", "target"}
_NAMES = {field.name for field in fields(Request)} - _READ


def prepared(
    source: str | list[str], arguments: dict[str, Any], *, read: bool
) -> tuple[Dataset, Request]:
    """What is to be selected from, and what is asked of it.

    Parameters
    ----------
    source : str or list of str
    arguments : dict
        Of the command line, by the names of its options.
    read : bool
        Whether a target that is no class may be read, to check it.

    Raises
    ------
    InputError
    """
    made = Request(
        strategy=make_strategy(arguments["strategy"], arguments["options"]),
        protect=list(arguments.get("protect", ())) or None,
        reduce=named_function(arguments.get("reduce")),
        **{name: arguments[name] for name in _NAMES if name in arguments},
    )
    dataset = opened(source, arguments)
    dataset = measured(dataset) if read else dataset
    words, storage = arguments.get("initial", ()), arguments["storage"]
    request = replace(made, initial=_initial(words, dataset, storage))
    if (word := arguments.get("missing_label")) is not None:
        request = replace(request, missing_label=missing_label_of(word, dataset))
    if request.task not in TASKS[1:]:
        return dataset, request
    plain, labels = labels_of(dataset, None)
    return with_task(plain, as_target(labels, request.task), request, read=read)


def missing_label_of(word: str, dataset: Dataset) -> MissingLabel:
    """What stands for no label, as a label of this data set."""
    kind = "O" if dataset.labels is None else dataset.labels.dtype.kind
    return MissingLabel.worded(word, kind)


def opened(source: str | list[str], arguments: dict[str, Any]) -> Dataset:
    """What is to be selected from, or scored."""
    time, task = arguments.get("time"), arguments.get("task", TASKS[0])
    carry = arguments.get("carry", ())
    # masks are carried, too: they tell in the output who is there for them
    masks = [name for name in arguments.get("protect", ()) if "=" not in name]
    masks += [name for name in arguments.get("initial", ()) if not _is_place(name)]
    dataset = open_dataset(
        source,
        features=arguments["features"],
        labels=arguments["labels"],
        carry=tuple(dict.fromkeys([*carry, *([time] if time else []), *masks])),
        storage_options=arguments["storage"],
        task=task,
        on_missing=arguments.get("on_missing", "fill"),
        split=arguments.get("split"),
        where=arguments.get("where"),
        sample_weight=arguments.get("sample_weight"),
        columns=arguments.get("columns") or None,
        profile=profile_in(arguments.get("profile")),
    )
    if (columns := arguments.get("written")) is not None:
        dataset = with_written(dataset, _written(columns))
    several = task == "multilabel"
    return dataset if time is None else check(with_time(dataset, time), several=several)


def profile_in(path: str | None) -> dict[str, Any] | None:
    """How columns are read, from a file.

    Raises
    ------
    InputError
    """
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(
            f"profile must be a file that plan --write-profile has written, got '{path}' "
            f"({type(error).__name__}: {error}); check the path"
        ) from None
    if not isinstance(found, dict):
        raise InputError(
            f"profile must be a file that plan --write-profile has written, got '{path}', which "
            "holds something else; check the path"
        )
    return found


def _written(columns: str) -> str:
    """Columns to write, which are names: how one is read is another option's matter."""
    name, sign, kind = columns.partition("=")
    if sign and "," not in columns:
        raise InputError(
            f"--columns must be names of columns to write, got {columns!r}; to say how one is "
            f"read: --column {name}={kind}"
        )
    return columns


def _initial(words: Sequence[str], dataset: Dataset, storage: dict[str, str]) -> Any:
    """Rows that are chosen already: those of a column, or of all files together."""
    places = [word for word in words if _is_place(word)]
    if not places:
        if len(words) > 1:
            raise InputError(
                f"--initial must name one column, got {', '.join(words)}; join them into one"
            )
        return words[0] if words else None
    if len(places) < len(words):
        raise InputError(
            f"--initial must name one column, or files, got {', '.join(words)}; give one or the "
            "other"
        )
    parts = [_chosen(Location(place, storage), dataset) for place in places]
    return np.unique(np.concatenate(parts))


def _is_place(word: str) -> bool:
    """Whether a word is a path or URL: it ends as one does, or has a slash."""
    return word.endswith((".npy", ".zarr", ".parquet")) or "/" in word or os.sep in word


def _chosen(place: Location, dataset: Dataset) -> Any:
    """Row numbers in a file: an .npy of them or of a mask, or a subset of this source."""
    if not place.url.endswith(".npy"):
        marks = as_initial(open_coreset(place.url, place.options), dataset)
        return marks.rows
    system, path = place.filesystem()
    if not system.exists(path):
        raise InputError(f"--initial '{place.shown}' does not exist; check the path")
    with reading(place), system.open(path, "rb") as file:
        values = np.load(file, allow_pickle=False)
    try:
        marks = as_initial(values, dataset)
    except InputError as error:
        raise InputError(f"{error} (in '{place.shown}')") from None
    return np.flatnonzero(values) if marks.rows is None else marks.rows
