"""Opening parquet files: which columns are what. What they hold is known from their footers."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pyarrow as pa
from dask.delayed import delayed

from dask_distill.data.arrays import from_array
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import join_rows
from dask_distill.data.uses import (
    LEFT_OUT,
    ROLES,
    ColumnUse,
    refuse_an_id_alone,
)
from dask_distill.errors import InputError
from dask_distill.sources.columns import Column, common_columns
from dask_distill.sources.exact import known_exactly
from dask_distill.sources.files import DataFile
from dask_distill.sources.footers import read_footers, text_sizes
from dask_distill.sources.reader import missing_name
from dask_distill.sources.row_groups import Piece, RowGroups, pieces_of
from dask_distill.storage.location import Location

_LABEL_NAMES, _WEIGHT = ("y", "label"), "sample_weight"
_OURS = re.compile(r"index|weight|score_.+")
_ROW_NUMBERS = re.compile(r"__index_level_\d+__")
# float64 holds every decimal of so many digits
_EXACT_DIGITS = 15


def open_parquet(
    location: Location,
    files: Sequence[DataFile],
    features: Sequence[str] | None,
    labels: Sequence[str] | str | bool | None,
    carry: Sequence[str],
    weight: str = "",
    own: bool = False,
) -> Dataset:
    """Lazy arrays of the wanted columns: one task a run of row groups.

    A list of labels, which are names or globs, becomes one array of several columns. ``location``
    is where the files lie.
    """
    footers = read_footers(location, files)
    columns = common_columns(footers)
    index = footers[0].index | {name for name in columns if own and _OURS.fullmatch(name)}
    several: list[str] = []
    label = ""
    if isinstance(labels, list):
        several = _names(labels, columns, set(carry), index, location.url, "labels")
    else:
        label = _label(labels, columns, location.url)  # type: ignore[arg-type]
    for name, what in [(name, f"carry {name}") for name in carry] + [(weight, _WEIGHT)]:
        if name and name not in columns:
            raise missing_name(what, name, list(columns), location.url)
    taken = {label, *several, *carry, weight}
    chosen = [columns[n] for n in _names(features, columns, taken, index, location.url, "features")]
    _refuse_labels(chosen, {label, *several})
    named = ({c.name for c in chosen}, {label, *several}, carry, features, index, weight)
    uses = _uses(columns, *named)
    if features is None:
        refuse_an_id_alone(uses)
    dtype = np.result_type(*(column.dtype for column in chosen))
    pieces = pieces_of(footers, len(chosen) * dtype.itemsize)
    vectors = {}
    for name in ([label] if label else []) + list(carry):
        what = f"{'labels' if name == label else 'carry'} {name!r}"
        columns[name] = known_exactly(location, footers, columns[name].used_as(what), what)
        vectors[name] = _vector(location, pieces, columns[name], what, label=name == label)
    weights = None
    if weight:
        column = columns[weight].used_as(_WEIGHT)
        weights = _vector(location, pieces, column, _WEIGHT, label=False)
    target = vectors.get(label)
    if several:
        parts = [columns[name] for name in several]
        common = np.result_type(*(column.dtype for column in parts))
        target = _lazy(location, pieces, parts, common)
    return Dataset(
        _lazy(location, pieces, chosen, dtype),
        target,
        {name: vectors[name] for name in carry},
        label_name=label or "y",
        columns=tuple(column.name for column in chosen),
        sources=(location.url,),
        uses=uses,
        texts=text_sizes(footers, vectors),
        without_nulls=frozenset(name for name in carry if not columns[name].nulls),
        sample_weight=weights,
        weight_name=weight or _WEIGHT,
    )


def _uses(
    columns: Mapping[str, Column],
    features: set[str],
    labels: set[str],
    carry: Sequence[str],
    asked: Sequence[str] | None,
    index: frozenset[str],
    weight: str,
) -> tuple[ColumnUse, ...]:
    """What becomes of each column."""

    def use(column: Column) -> ColumnUse:
        name, kind = column.name, str(column.kind)
        for role, names in zip(ROLES, (features, labels, carry, (weight,)), strict=False):
            if name in names:
                return ColumnUse(name, kind, role)
        if name in index or _ROW_NUMBERS.fullmatch(name):
            why = "a score" if name.startswith("score_") else "the index"
            return ColumnUse(name, kind, LEFT_OUT, why)
        if column.misfit:
            return ColumnUse(name, "differs", LEFT_OUT, "not the same in all files")
        why = "no number" if not column.is_number else "not named" if asked is not None else ""
        return ColumnUse(name, kind, LEFT_OUT, why)

    return tuple(use(column) for column in columns.values())


def _label(labels: str | bool | None, columns: dict[str, Column], source: str) -> str:
    if labels is None:
        return next((name for name in _LABEL_NAMES if name in columns), "")
    if labels and labels not in columns:
        raise missing_name("labels", str(labels), list(columns), source)
    return str(labels or "")


def _refuse_labels(features: Sequence[Column], labels: set[str]) -> None:
    """They would make every strategy look perfect."""
    for column in features:
        if column.name in labels:
            raise InputError(
                f"features must not hold the label, got column {column.name!r}; leave it out, or "
                "name another label"
            )


def _names(
    patterns: Sequence[str] | None,
    columns: dict[str, Column],
    taken: set[str],
    index: frozenset[str],
    source: str,
    what: str,
) -> list[str]:
    """Names and globs resolved; every numeric column where none are given."""
    free = [n for n in columns if n not in taken | index and not _ROW_NUMBERS.fullmatch(n)]
    if patterns is None:
        names = [name for name in free if columns[name].is_number]
        if not names:
            raise InputError(
                f"features must be numbers, got no numeric column in '{source}' beside labels, "
                "carry and index; encode some"
            )
    else:
        names = _matching(patterns, columns, free, source, what)
    for name in names:
        columns[name].used_as(what)
    return list(dict.fromkeys(names))


def _matching(
    patterns: Sequence[str],
    columns: dict[str, Column],
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
) -> da.Array:
    if not pieces:
        return from_array(np.empty((0,) if flat else (0, len(columns)), dtype))
    parts = []
    for piece in pieces:
        rows = sum(part.rows for part in piece)
        shape = (rows,) if flat else (rows, len(columns))
        reader = RowGroups(location, tuple(piece), tuple(columns), dtype, exact, flat)
        values = delayed(reader, pure=False, traverse=False)()
        parts.append(da.from_delayed(values, shape, dtype=dtype))
    return join_rows(parts)
