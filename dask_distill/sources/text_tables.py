"""Opening CSV and JSON lines as data sets: which columns are what."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np

from dask_distill.data.arrays import from_array
from dask_distill.data.dataset import Dataset
from dask_distill.data.table import Table
from dask_distill.data.uses import CARRIED, LABEL, LEFT_OUT, WEIGHT, ColumnUse
from dask_distill.sources.columns import Column, warn_of_lacking
from dask_distill.sources.files import DataFile
from dask_distill.sources.parquet import label_name, label_names
from dask_distill.sources.reader import missing_name
from dask_distill.sources.tables_at import table_at
from dask_distill.storage.location import Location
from dask_distill.storage.variables import LABELS
from dask_distill.tables.dataset import Wanted, profiled, with_features
from dask_distill.tables.lazy import column_array
from dask_distill.tables.profile import Profile

_WEIGHT = "sample_weight"
# the name that a column without one gets: pandas writes its index so
_INDEX = re.compile(r"Unnamed: 0|__index_level_\d+__")
_DIFFERS = "not the same in all rows"


def open_text_table(
    location: Location,
    files: Sequence[DataFile],
    features: Sequence[str] | None,
    labels: Sequence[str] | str | bool | None,
    carry: Sequence[str],
    weight: str = "",
    kinds: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> Dataset:
    """A table as a data set, as `open_parquet` does it; the files are read once for it."""
    found = table_at(location, files)
    table, columns = found.table, found.columns
    several: list[str] = []
    label = ""
    if isinstance(labels, list):
        several = label_names(labels, columns, set(carry), frozenset(), location.url)
    else:
        label = label_name(labels, columns, location.url)  # type: ignore[arg-type]
    wanted_apart = (
        dict.fromkeys(carry, CARRIED)
        | ({weight: WEIGHT} if weight else {})
        | dict.fromkeys(several or ([label] if label else []), LABEL)
    )
    arrays = _arrays(location, table, columns, wanted_apart)
    warn_of_lacking([columns[n] for n in (label, *several) if n], len(table.files))
    for name in features or ():
        if name in columns:
            columns[name].used_as("features")
    wanted = Wanted(
        features=features,
        apart=wanted_apart,
        left_out={name: "the index" for name in columns if _INDEX.fullmatch(name)}
        | {name: _DIFFERS for name, column in columns.items() if column.misfit},
        kinds=kinds or {},
        profile=None if profile is None else Profile.parse(profile),
        source=location.url,
    )
    target = arrays.get(label)
    if several:
        target = da.stack([arrays[name] for name in several], axis=1)
    dataset = Dataset(
        features=from_array(np.empty((table.n, 1), np.float32)),
        labels=target,
        carry={name: arrays[name] for name in carry},
        label_name=label or LABELS,
        sources=(location.url,),
        without_nulls=table.without_nulls & set(carry),
        sample_weight=arrays.get(weight),
        weight_name=weight or _WEIGHT,
        table=table,
    )
    made = with_features(dataset, table, profiled(table, wanted), wanted)
    misfits = [
        ColumnUse(name=name, kind="differs", role=LEFT_OUT, why=_DIFFERS)
        for name, column in columns.items()
        if column.misfit
    ]
    return replace(made, uses=(*made.uses, *misfits))


def _arrays(
    location: Location, table: Table, columns: Mapping[str, Column], apart: Mapping[str, str]
) -> dict[str, da.Array]:
    """Labels, what is carried, and weights."""
    words = {LABEL: "labels", CARRIED: "carry"}
    arrays = {}
    for name, role in apart.items():
        what = f"{words[role]} {name!r}" if role in words else _WEIGHT
        if name not in columns:
            raise missing_name(
                f"carry {name}" if role == CARRIED else what, name, list(columns), location.url
            )
        columns[name].used_as(what)
        arrays[name] = column_array(table, name, what)
    return arrays
