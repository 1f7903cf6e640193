"""Classes of which a selection keeps under half of their share of the rows, more than chance can.

Counts are all it knows: it reads no row, and a hundred thousand classes cost it nothing.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.quotas import class_quotas
from dask_distill.strategies.base import Strategy

Floats = npt.NDArray[np.float64]

# with a smaller share, a random subset may well have half of it or none
_EXPECTED = 5
# that anything is told of a random subset
_CHANCE = 0.01
# a class of a smaller part of the rows is rare
_RARE = 0.05
# named in a line
_NAMED = 5


def underrepresented(
    table: Sequence[Mapping[str, Any]], size: int, strategy: Strategy
) -> list[dict[str, Any]]:
    """Classes that are kept at under half of their share, the worst first.

    Of ``size`` rows a class's share is as many as it has of the data (of their weight, where
    rows have sample weights), and at most all it has. Where the strategy was asked for a
    balance or a floor, it is what these leave to the class, if that is less: what was asked for
    is no loss. A class counts if its share is 5 rows or more, under half of them are selected,
    and chance is no explanation: the probability of so few, were each of the class's rows kept
    for itself, is below 0.01, adjusted for the number of classes (Benjamini, Hochberg 1995).

    Parameters
    ----------
    table : sequence of mappings
        Of each class its ``label``, ``rows`` and those ``selected``, and where rows are not
        alike its ``weight``.
    size : int
        Rows selected, without those that were protected.
    strategy : Strategy

    Returns
    -------
    list of dict
        ``label``, ``rows``, ``selected`` and ``share`` (rows, to a tenth).

    Examples
    --------
    >>> from dask_distill.strategies import make_strategy
    >>> table = [
    ...     {"label": "fine", "rows": 9500, "selected": 998},
    ...     {"label": "fraud", "rows": 500, "selected": 2},
    ... ]
    >>> underrepresented(table, 1000, make_strategy("random"))
    [{'label': 'fraud', 'rows': 500, 'selected': 2, 'share': 50.0}]
    """
    return _short(table, dues(table, size, strategy))


def underrepresented_labels(
    labels: Sequence[Mapping[str, Any]],
    strata: Sequence[Mapping[str, Any]],
    size: int,
    strategy: Strategy,
    n: int,
) -> list[dict[str, Any]]:
    """The same of several labels, with and ``without`` each: quotas are of strata there.

    Parameters
    ----------
    labels : sequence of mappings
        As from `rare_labels.label_table`.
    strata : sequence of mappings
        As for `underrepresented`.
    size, n : int
        Rows selected, and all.
    strategy : Strategy
    """
    # what floors for rare labels may take of any row's chance
    share = _shares(strata, size)
    there = share > 0
    least = float(np.min(dues(strata, size, strategy)[there] / share[there], initial=1.0))
    sides = [
        {
            "label": entry["label"],
            "rows": entry[f"rows{side}"],
            "selected": entry[f"selected{side}"],
            "without": bool(side),
        }
        for entry in labels
        for side in ("", "_without")
    ]
    rows = np.array([entry["rows"] for entry in sides], np.float64)
    return _short(sides, least * np.minimum(size * rows / max(1, n), rows))


def dues(table: Sequence[Mapping[str, Any]], size: int, strategy: Strategy) -> Floats:
    """(C,) rows of each class that should be selected: its share, or what is asked if less."""
    share = _shares(table, size)
    balance, floor = strategy.class_balance, strategy.class_floor
    if len(table) == 0 or size == 0 or (balance == "proportional" and floor is None):
        return share
    rows = np.array([entry["rows"] for entry in table], np.int64)
    weights = _weights(table)
    if balance != "proportional":
        weights = np.sqrt(weights) if balance == "sqrt" else (weights > 0).astype(np.float64)
    if not floor:
        floor = 1 if floor is None else max(1, min(10, size // (2 * len(table))))
    quotas = class_quotas(min(size, int(rows.sum())), weights, rows, floor)
    return np.minimum(share, quotas)


def shown(found: Sequence[Mapping[str, Any]] | None) -> str:
    """One line for people; empty where every class has its share, or nearly."""
    if not found:
        return ""
    named = ", ".join(
        f"{_named(entry)} ({entry['selected']:,} of {entry['rows']:,} rows, share "
        f"{entry['share']:,.0f})"
        for entry in found[:_NAMED]
    )
    more = f", and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return f"{named}{more}"


def share_warning(provenance: Mapping[str, Any]) -> str | None:
    """What to warn of, from the provenance: which classes are short, and the ways out."""
    found = provenance.get("underrepresented")
    if not found:
        return None
    one, more = ("label", "labels") if "without" in found[0] else ("class", "classes")
    whose = f"1 {one} is kept at under half of its share"
    if len(found) > 1:
        whose = f"{len(found):,} {more} are kept at under half of their shares"
    ways = ['strategy="stratified" / --strategy stratified keeps every class at its share']
    if (floor := _floor(provenance)) is not None:
        way = f'options={{"floor": {floor}}} / --option floor={floor} keeps as many of each'
        ways.append(way)
    if "growing" not in provenance:
        ways.append("protect= / --protect keeps any rows that you name")
    return f"{whose}: {shown(found)}; {', '.join(ways)}"


def rare_classes(table: Sequence[Mapping[str, Any]] | None, size: int) -> list[dict[str, Any]]:
    """The smallest classes, at most three, each of under 5 % of the rows.

    Returns
    -------
    list of dict
        ``label``, ``rows``, ``selected`` and ``share``, the smallest first.
    """
    if not table:
        return []
    rows = np.array([entry["rows"] for entry in table], np.int64)
    order = np.argsort(rows, kind="stable")[:3]
    shares = _shares(table, size)
    return [
        _entry(table[at], shares[at]) for at in order.tolist() if 0 < rows[at] < _RARE * rows.sum()
    ]


def _short(table: Sequence[Mapping[str, Any]], due: Floats) -> list[dict[str, Any]]:
    rows = np.array([entry["rows"] for entry in table], np.float64)
    selected = np.array([entry["selected"] for entry in table], np.float64)
    tested = np.flatnonzero(due >= _EXPECTED)
    if not np.any(selected[tested] < due[tested] / 2):
        return []
    from scipy.stats import binom, false_discovery_control

    chance = binom.cdf(selected[tested], rows[tested], due[tested] / rows[tested])
    below = false_discovery_control(chance) < _CHANCE
    short = tested[below & (selected[tested] < due[tested] / 2)]
    order = np.lexsort((-due[short], selected[short] / due[short]))
    return [_entry(table[at], due[at]) for at in short[order].tolist()]


def _entry(entry: Mapping[str, Any], share: float) -> dict[str, Any]:
    kept = {name: value for name, value in entry.items() if name != "weight"}
    return kept | {"share": round(float(share), 1)}


def _weights(table: Sequence[Mapping[str, Any]]) -> Floats:
    """(C,) what quotas are of: weight, or rows where they are alike."""
    return np.array([entry.get("weight", entry["rows"]) for entry in table], np.float64)


def _shares(table: Sequence[Mapping[str, Any]], size: int) -> Floats:
    """(C,) rows that each class would have in proportion, at most all."""
    weights = _weights(table)
    rows = np.array([entry["rows"] for entry in table], np.float64)
    return np.minimum(size * weights / max(weights.sum(), np.finfo(np.float64).tiny), rows)


def _floor(provenance: Mapping[str, Any]) -> int | None:
    """One that keeps all classes that are short, if the strategy has floors and there is room."""
    if not isinstance(provenance["parameters"]["options"].get("floor"), int):
        return None
    wanted = math.ceil(max(entry["share"] for entry in provenance["underrepresented"]))
    classes = provenance.get("classes") or ()
    fits = provenance.get("labels") is None and wanted * len(classes) <= provenance["selected"]
    return wanted if fits else None


def _named(entry: Mapping[str, Any]) -> str:
    return f"without {entry['label']!r}" if entry.get("without") else repr(entry["label"])
