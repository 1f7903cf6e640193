"""Rare labels of several: strata with a floor for them, and what a selection keeps of each.

A label is as rare as the rarer of its two values: one that nearly every row has is learnt from
the rows without it.
"""

from collections.abc import Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.data.rows import take_rows
from dask_distill.data.uses import LABEL, ColumnUse

Counts = npt.NDArray[np.int64]

# as with classes: a label that a proportional share has fewer rows of is rare
_FLOOR = 10
# strata, the rarest labels first: each takes rows from the others
_MOST_STRATA = 256
OTHERS = "others"


def rare_labels(counts: Counts, n: int, size: int) -> Counts:
    """Numbers of the labels that a proportional share of the rows would lose, rarest first.

    Parameters
    ----------
    counts : (L,) int64 array
        Rows that have each label.
    n, size : int
        Rows, and those to select.

    Returns
    -------
    (m,) int64 array
        Labels of which rows are there; at most half as many as rows to select.

    Examples
    --------
    >>> rare_labels(np.array([51, 20_000, 8, 0, 49_999]), 50_000, 500)
    array([4, 2, 0])
    """
    rarer = np.minimum(counts, n - counts)
    floor = max(1, min(_FLOOR, size // (2 * len(counts))))
    rare = np.flatnonzero((rarer > 0) & (rarer * size < floor * n))
    rare = rare[np.argsort(rarer[rare], kind="stable")]
    return rare[: min(_MOST_STRATA, size // 2)]


def strata_of(target: da.Array, counts: Counts, rare: Counts, names: Sequence[str]) -> da.Array:
    """The stratum of each row: the rarest of its rare labels, or the others.

    Parameters
    ----------
    target : (n, L) dask array of 0 and 1
    counts : (L,) int64 array
        Rows that have each label.
    rare : (m,) int64 array
        From `rare_labels`.
    names : sequence of str
        Of all labels.

    Returns
    -------
    (n,) dask array of str
    """
    present = 2 * counts[rare] <= target.shape[0]
    words = [
        f"{'with' if has else 'without'} {names[label]}"
        for label, has in zip(rare, present, strict=True)
    ]
    told = np.array([*words, OTHERS])
    whole = target.rechunk({1: -1}, method="tasks")
    strata: da.Array = da.map_blocks(
        _strata, whole, rare, present, told, drop_axis=1, dtype=told.dtype, meta=told[:0]
    )
    return strata


def label_names(uses: Sequence[ColumnUse], number: int) -> list[str]:
    """Names of the labels: of the columns that they came from, or their numbers."""
    named = [use.name for use in uses if use.role == LABEL]
    return named if len(named) == number else [str(label) for label in range(number)]


def label_table(
    target: da.Array, indices: npt.NDArray[np.int64], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Rows that have each label, in the source and selected; reads the target.

    Returns
    -------
    list of dict
        ``label``, ``rows`` and ``selected``, and the same ``without`` it.
    """
    chosen = take_rows(target, indices)
    every, mine = dask.compute(target.sum(axis=0, dtype=np.int64), chosen.sum(axis=0))
    return [
        {
            "label": name,
            "rows": int(rows),
            "selected": int(selected),
            "rows_without": int(target.shape[0] - rows),
            "selected_without": int(len(indices) - selected),
        }
        for name, rows, selected in zip(names, every, mine, strict=True)
    ]


def lost_labels(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Labels of which no row is selected, or none without, the most frequent first."""
    lost = [
        {"label": entry["label"], "rows": entry[f"rows{side}"], "without": bool(side)}
        for side in ("", "_without")
        for entry in table
        if entry[f"rows{side}"] and not entry[f"selected{side}"]
    ]
    return sorted(lost, key=lambda entry: -entry["rows"])


def _strata(
    values: npt.NDArray[Any], rare: Counts, present: npt.NDArray[np.bool_], told: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    # of several, the first is the rarest
    mine = (values[:, rare] != 0) == present
    return told[np.where(mine.any(axis=1), mine.argmax(axis=1), len(rare))]
