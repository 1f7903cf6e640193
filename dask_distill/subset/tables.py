"""Selected rows as a dask DataFrame: names of its columns, and its parts. Rows stay on workers."""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed, delayed

from dask_distill.errors import InputError, InputWarning
from dask_distill.storage.variables import INDEX, SCORE_OF_FRAME, WEIGHT
from dask_distill.subset.frames import table_frame
from dask_distill.subset.names import distinct
from dask_distill.subset.subset import Subset

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

_PART_BYTES = 64 * 2**20
_PART_ROWS = 2**20
_TEXT = "UOT"
# columns that every table has beside those of the source
_OURS = (WEIGHT, INDEX)


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns, by what they hold.

    Attributes
    ----------
    features : tuple of str
    labels : str or None
    carry : dict of tuples of str
        By name of the carried array; several for one of more axes.
    scores : tuple of str
    """

    features: tuple[str, ...]
    labels: str | None
    carry: dict[str, tuple[str, ...]]
    scores: tuple[str, ...]


def to_dataframe(coreset: Subset, columns: Sequence[str] | None = None) -> "dd.DataFrame":
    """The selected rows as a dask DataFrame; see `Coreset.to_dataframe`."""
    import dask.dataframe as dd

    if coreset.table is not None:
        return table_frame(coreset, coreset.table, columns)
    names = name_columns(coreset, columns)
    bounds = part_bounds(coreset)
    parts = _frames(coreset, names, bounds)
    edges = np.cumsum((0, *bounds)).tolist()
    meta = _frame(names, 0, *_empty(coreset))
    divisions = (*edges[:-1], edges[-1] - 1)
    table: dd.DataFrame = dd.from_delayed(parts, meta=meta, divisions=divisions)
    return table


def name_columns(
    coreset: Subset, columns: Sequence[str] | None = None, ours: Sequence[str] | None = None
) -> Columns:
    """Names for all columns: those of the source's table, or x0, x1, … for the features.

    ``ours`` are those that are there in any case; ``weight``, ``index``, and those of scores,
    unless given.

    Raises
    ------
    InputError
        Where ``columns`` do not fit, or two of them are the same or like ours.
    """
    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    known = columns
    if columns is None:
        known = coreset.provenance.get("input", {}).get("columns")
        known = known if known is not None and len(known) == d else [f"x{i}" for i in range(d)]
    elif isinstance(columns, str) or len(columns) != d:
        raise InputError(
            f"columns must be the names of {d} features, got {len(columns)}; name each one"
        )
    labels = [] if coreset.labels is None else [coreset.label_name]
    groups = [_carried_names(name, array) for name, array in coreset.carry.items()]
    scores = tuple(f"{SCORE_OF_FRAME}{name}" for name in coreset.scores)
    wanted = [*map(str, known or ()), *labels, *(name for group in groups for name in group)]
    ours = (*_OURS, *scores) if ours is None else tuple(ours)
    if columns is not None:
        _refuse_doubles([*wanted[:d], *ours])
    # the names that a user gives are kept, and those of ours
    fixed = [*ours, *wanted[:d]] if columns is not None else ours
    names = wanted[: d if columns is not None else 0]
    names += distinct(wanted[len(names) :], fixed, plain=False)
    for old, new in zip(wanted, names, strict=True):
        if old != new:
            line = f"{old!r} is written as {new!r}: the table has another column of that name"
            warnings.warn(line, InputWarning, stacklevel=4)
    rest = iter(names[d + len(labels) :])
    return Columns(
        tuple(names[:d]),
        names[d] if labels else None,
        {
            name: tuple(itertools.islice(rest, len(group)))
            for name, group in zip(coreset.carry, groups, strict=True)
        },
        scores,
    )


def _carried_names(name: str, array: da.Array) -> tuple[str, ...]:
    if array.ndim == 1:
        return (name,)
    return tuple(f"{name}_{i}" for i in range(int(np.prod(array.shape[1:], dtype=np.int64))))


def _refuse_doubles(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"columns must have different names, got {twice!r} twice; name the features with "
            "columns="
        )


def part_bounds(coreset: Subset) -> tuple[int, ...]:
    """Rows of each part: from number and size of the rows alone, not from chunks."""
    arrays = [coreset.features, *coreset.carry.values()]
    arrays += [] if coreset.labels is None else [coreset.labels]
    width = sum(
        int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize for array in arrays
    )
    width += 12 + 4 * len(coreset.scores)
    rows = int(max(1, min(_PART_ROWS, _PART_BYTES // width)))
    full, rest = divmod(len(coreset), rows)
    return (rows,) * full + ((rest,) if rest else ())


def _frames(coreset: Subset, names: Columns, bounds: tuple[int, ...]) -> list[Delayed]:
    """One task a part that makes its pandas DataFrame."""
    features, labels, carry = (
        _parts(coreset.features, bounds),
        None if coreset.labels is None else _parts(coreset.labels, bounds),
        [_parts(array, bounds) for array in coreset.carry.values()],
    )
    edges = np.cumsum((0, *bounds)).tolist()
    make = delayed(_frame, pure=False, traverse=False)
    return [
        make(
            names,
            start,
            features[number],
            None if labels is None else labels[number],
            coreset.indices[start:stop],
            coreset.weights[start:stop],
            [values[start:stop] for values in coreset.scores.values()],
            *(parts[number] for parts in carry),
        )
        for number, (start, stop) in enumerate(itertools.pairwise(edges))
    ]


def _parts(array: da.Array, bounds: tuple[int, ...]) -> list[Delayed]:
    whole = array.rechunk({0: bounds}, method="tasks")
    # optimised one by one, arrays that share their input would each read it
    return list(whole.to_delayed(optimize_graph=False).ravel())


def _empty(coreset: Subset) -> tuple[Any, ...]:
    """What a part without rows has."""

    def none(array: da.Array) -> Any:
        return np.empty((0, *array.shape[1:]), array.dtype)

    return (
        none(coreset.features),
        None if coreset.labels is None else none(coreset.labels),
        coreset.indices[:0],
        coreset.weights[:0],
        [values[:0] for values in coreset.scores.values()],
        *map(none, coreset.carry.values()),
    )


def _frame(
    names: Columns,
    start: int,
    features: Any,
    labels: Any,
    indices: Any,
    weights: Any,
    scores: list[Any],
    *carry: Any,
) -> "pd.DataFrame":
    """One part as a pandas DataFrame; runs as a task."""
    import pandas as pd

    columns: dict[str, Any] = {}
    columns |= _columns(names.features, features)
    if names.labels is not None:
        columns |= _columns((names.labels,), labels)
    for group, values in zip(names.carry.values(), carry, strict=True):
        columns |= _columns(group, values)
    columns[WEIGHT], columns[INDEX] = weights, indices
    columns |= dict(zip(names.scores, scores, strict=True))
    rows = pd.RangeIndex(start, start + len(indices))
    return pd.DataFrame({name: _series(values, rows) for name, values in columns.items()})


def _columns(names: Sequence[str], values: Any) -> dict[str, Any]:
    table = np.asarray(values)
    table = table.reshape(len(table), len(names))
    return {name: table[:, column] for column, name in enumerate(names)}


def _series(values: Any, rows: Any) -> Any:
    import pandas as pd

    if values.dtype.kind in _TEXT:
        return pd.Series(values.astype(object), index=rows, dtype="str")
    return pd.Series(values, index=rows)
