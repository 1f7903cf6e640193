"""Opening parquet files: which columns are what. What they hold is known from their footers."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pyarrow as pa
from dask.delayed import delayed

from dask_distill.data.arrays import from_array
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import join_rows
from dask_distill.data.table import Table
from dask_distill.data.uses import CARRIED, LABEL, LEFT_OUT, WEIGHT, ColumnUse
from dask_distill.errors import InputError
from dask_distill.sources.arrow_groups import table_of
from dask_distill.sources.columns import Column, common_columns, warn_of_lacking
from dask_distill.sources.exact import known_exactly
from dask_distill.sources.files import DataFile
from dask_distill.sources.footers import Footer, read_footers, text_sizes
from dask_distill.sources.reader import missing_name
from dask_distill.sources.row_groups import Piece, RowGroups, pieces_of
from dask_distill.storage.location import Location
from dask_distill.storage.variables import (
    FORMER,
    LABELS,
    STRATUM,
    SUBSET_WEIGHT_COLUMN,
    WEIGHT as FORMER_WEIGHT,
    WEIGHT_COLUMN,
    own_columns,
)
from dask_distill.tables.dataset import Wanted, profiled, with_features
from dask_distill.tables.profile import BOOLEAN, NUMBER, Profile

_LABEL_NAMES, _WEIGHT = (LABELS, "label"), "sample_weight"
_ROW_NUMBERS = re.compile(r"__index_level_\d+__")
# float64 holds every decimal of so many digits
_EXACT_DIGITS = 15
_DIFFERS = "not the same in all files"


def open_parquet(
    location: Location,
    files: Sequence[DataFile],
    features: Sequence[str] | None,
    labels: Sequence[str] | str | bool | None,
    carry: Sequence[str],
    weight: str | None = "",
    former: bool = False,
    kinds: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> Dataset:
    """A table as a data set: features are its columns as their profile says, labels one of them.

    A list of labels, which are names or globs, becomes one array of several columns. ``location``
    is where the files lie. ``kinds`` and ``profile`` are as for `open_dataset`. Without a
    ``weight``, not even "", a subset that we have written brings its own; ``former`` is one of
    which only its folder says so.
    """
    footers = read_footers(location, files)
    columns = common_columns(footers)
    own, weight = _own(footers, columns, former, weight)
    index = footers[0].index | own
    several: list[str] = []
    label = ""
    if isinstance(labels, list):
        several = label_names(labels, columns, set(carry), index, location.url)
    else:
        label = label_name(labels, columns, location.url)  # type: ignore[arg-type]
    for name, what in [(name, f"carry {name}") for name in carry] + [(weight, _WEIGHT)]:
        if name and name not in columns:
            raise missing_name(what, name, list(columns), location.url)
    warn_of_lacking([columns[n] for n in (label, *several) if n], len(footers))
    vectors = _vectors(location, footers, columns, label, carry)
    target = vectors.get(label)
    if several:
        parts = [columns[name] for name in several]
        common = np.result_type(*(column.dtype for column in parts))
        target = _lazy(location, pieces_of(footers, len(parts) * common.itemsize), parts, common)
    weights = None if not weight else _weights(location, footers, columns[weight])
    for name in features or ():
        if name in columns:
            columns[name].used_as("features")
    wanted = Wanted(
        features=features,
        apart=dict.fromkeys(carry, CARRIED)
        | ({weight: WEIGHT} if weight else {})
        | dict.fromkeys([label, *several] if label or several else [], LABEL),
        left_out=_left_out(columns, index),
        kinds=kinds or {},
        profile=None if profile is None else Profile.parse(profile),
        source=location.url,
    )
    table = table_of(location, footers, columns)
    dataset = Dataset(
        features=from_array(np.empty((sum(sum(footer.rows) for footer in footers), 1), np.float32)),
        labels=target,
        carry={name: vectors[name] for name in carry if name in vectors},
        label_name=label or LABELS,
        sources=(location.url,),
        texts=text_sizes(footers, columns),
        without_nulls=frozenset(n for n in carry if n in vectors and not columns[n].nulls),
        sample_weight=weights,
        weight_name=weight or _WEIGHT,
        table=table,
    )
    return _with_features(dataset, table, location, footers, columns, wanted)


def _weights(location: Location, footers: Sequence[Footer], column: Column) -> da.Array:
    """A column of sample weights as an array."""
    pieces = pieces_of(footers, 8)
    return _vector(location, pieces, column.used_as(_WEIGHT), _WEIGHT, label=False)


def _own(
    footers: Sequence[Footer], columns: Mapping[str, Column], former: bool, weight: str | None
) -> tuple[frozenset[str], str]:
    """Columns that a subset of ours has added; and sample weights: its own, where none are said."""
    own = own_columns(footers[0].schema.metadata)
    if former:
        own |= {name for name in columns if FORMER.fullmatch(name)}
    brought = next((name for name in (WEIGHT_COLUMN, FORMER_WEIGHT) if name in own), "")
    return own, brought if weight is None else weight


def _vectors(
    location: Location,
    footers: Sequence[Footer],
    columns: dict[str, Column],
    label: str,
    carry: Sequence[str],
) -> dict[str, da.Array]:
    """The label and carried columns as arrays."""
    pieces, found = pieces_of(footers, 8), {}
    for name in ([label] if label else []) + list(carry):
        what = f"{'labels' if name == label else 'carry'} {name!r}"
        if name != label and columns[name].dtype.kind == "V" and not columns[name].misfit:
            # lists, structs and bytes are in the table, and in no array
            continue
        columns[name] = known_exactly(location, footers, columns[name].used_as(what), what)
        found[name] = _vector(location, pieces, columns[name], what, label=name == label)
    return found


def _with_features(
    dataset: Dataset,
    table: Table,
    location: Location,
    footers: Sequence[Footer],
    columns: dict[str, Column],
    wanted: Wanted,
) -> Dataset:
    """Columns as their profile says; plain numbers are read as such, without a detour."""
    if dataset.n == 0:
        raise InputError(
            f"features must have at least one row, got a table without any in '{location.url}'; "
            "check what was selected"
        )
    profile = profiled(table, wanted)
    made = with_features(dataset, table, profile, wanted)
    misfits = [
        ColumnUse(name=name, kind="differs", role=LEFT_OUT, why=_DIFFERS)
        for name, column in columns.items()
        if column.misfit
    ]
    made = replace(made, uses=(*made.uses, *misfits))
    used = profile.features
    if not all(c.name in columns and c.kind in (NUMBER, BOOLEAN) for c in used):
        return made
    chosen = [columns[column.name] for column in used]
    if any(c.encoding["mark"] for c in used) or not all(column.is_number for column in chosen):
        return made
    dtype = np.result_type(*(column.dtype for column in chosen))
    pieces = pieces_of(footers, len(chosen) * dtype.itemsize)
    fill = tuple(float(c.encoding["fill"]) for c in used) if dtype.kind == "f" else None
    plain = partial(_lazy, location, pieces, chosen, dtype)
    return replace(made, features=plain(fill=fill), unfilled=plain)


def _left_out(columns: Mapping[str, Column], index: frozenset[str] | set[str]) -> dict[str, str]:
    """Columns that are no features whatever they hold, and why."""
    found = {}
    for name in columns:
        if name in index or _ROW_NUMBERS.fullmatch(name):
            ours = "a score" if re.match("_?score_", name) else "the index"
            ours = "the subsets' weights" if name == SUBSET_WEIGHT_COLUMN else ours
            found[name] = "strata of the target" if STRATUM in name and name in index else ours
    return found | {name: _DIFFERS for name, column in columns.items() if column.misfit}


def label_name(labels: str | bool | None, columns: Mapping[str, Column], source: str) -> str:
    """The column of labels that is named, or is named as labels are; "" where there is none."""
    if labels is None:
        return next((name for name in _LABEL_NAMES if name in columns), "")
    if labels and labels not in columns:
        raise missing_name("labels", str(labels), list(columns), source)
    return str(labels or "")


def label_names(
    patterns: Sequence[str],
    columns: Mapping[str, Column],
    taken: set[str],
    index: frozenset[str] | set[str],
    source: str,
) -> list[str]:
    """Names and globs of several labels resolved."""
    free = [n for n in columns if n not in taken | index and not _ROW_NUMBERS.fullmatch(n)]
    names = _matching(patterns, columns, free, source, "labels")
    for name in names:
        columns[name].used_as("labels")
    return list(dict.fromkeys(names))


def _matching(
    patterns: Sequence[str],
    columns: Mapping[str, Column],
    free: Sequence[str],
    source: str,
    what: str,
) -> list[str]:
    """Columns that are named, and those that globs stand for; all of them numbers."""
    names = []
    for pattern in patterns:
        matches = [pattern] if pattern in columns else fnmatch.filter(free, pattern)
        if not matches:
            raise missing_name(what, pattern, list(columns), source)
        names += matches
    other = [f"{name} ({columns[name].kind})" for name in names if not columns[name].is_number]
    if other:
        listed = ", ".join(other[:10]) + (", …" if len(other) > 10 else "")
        raise InputError(
            f"{what} must be numbers, got columns {listed}; encode them, or leave them out"
        )
    return names


def _vector(
    location: Location, pieces: Sequence[Piece], column: Column, what: str, *, label: bool
) -> da.Array:
    if label and pa.types.is_binary(column.kind):
        # text of writers that do not say so; refused where it is none
        column = replace(column, kind=pa.string())
    if column.dtype.kind == "V":
        raise InputError(
            f"{what} must hold numbers, dates or text, got type {column.kind}; convert it, or "
            "leave it out"
        )
    if pa.types.is_decimal(column.kind) and column.kind.precision > _EXACT_DIGITS:
        raise InputError(
            f"{what} must have at most {_EXACT_DIGITS} digits, or float64 would round it, got "
            f"{column.kind}; store it as text"
        )
    return _lazy(location, pieces, [column], column.dtype, what, flat=True)


def _lazy(
    location: Location,
    pieces: Sequence[Piece],
    columns: Sequence[Column],
    dtype: np.dtype[Any],
    exact: str | None = None,
    *,
    flat: bool = False,
    fill: tuple[float, ...] | None = None,
) -> da.Array:
    if not pieces:
        return from_array(np.empty((0,) if flat else (0, len(columns)), dtype))
    parts = []
    for piece in pieces:
        rows = sum(part.rows for part in piece)
        shape = (rows,) if flat else (rows, len(columns))
        reader = RowGroups(
            location=location,
            piece=tuple(piece),
            columns=tuple(columns),
            dtype=dtype,
            exact=exact,
            flat=flat,
            fill=fill,
        )
        values = delayed(reader, pure=False, traverse=False)()
        parts.append(da.from_delayed(values, shape, dtype=dtype))
    return join_rows(parts)
