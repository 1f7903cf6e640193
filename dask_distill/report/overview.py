"""A report's first screen: key figures, what to look at, and how well each class is kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from dask_distill.errors import InputError
from dask_distill.evaluation.result import Evaluation
from dask_distill.selection.lost import shown as shown_lost
from dask_distill.selection.warned import warned_after
from dask_distill.strategies import STRATEGIES, make_strategy
from dask_distill.subset.subset import Subset
from dask_distill.support.metrics import metric_named, shown_value, signed_number
from dask_distill.support.text import shown_bytes

# weights that tell as much about means as under this part of the rows are worth a warning
_FEW = 0.2
# the longest bar, of 100: room for the line of all rows
_BAR = 95
# classes that a page lists
MOST_CLASSES = 1000
# rows of a table that are seen before it is unfolded
FIRST = 8


@dataclass(frozen=True, kw_only=True)
class Card:
    """A key figure.

    Attributes
    ----------
    name, value, words : str
        What it is, the figure, and what it is of.
    """

    name: str
    value: str
    words: str


def cards(coreset: Subset, evaluation: Evaluation | None) -> list[Card]:
    """Key figures: how many rows, what is lost, what is kept least, what it weighs and costs."""
    found = [_rows(coreset), _lost(coreset, evaluation), _least(coreset), _covered(coreset)]
    weight = Card(
        name="Weighs like",
        value=f"{effective(coreset):,.0f}",
        words="rows of equal weight, where means are estimated",
    )
    found += [weight, _cost(coreset.provenance)]
    return [card for card in found if card is not None]


def effective(coreset: Subset) -> float:
    """The effective sample size: as many rows of equal weight tell as much about means."""
    weights = coreset.weights.astype(np.float64)
    return float(weights.sum() ** 2 / (weights**2).sum())


def is_classified(told: Mapping[str, Any]) -> bool:
    """Whether labels are classes: strata of a number are none."""
    task = told.get("parameters", {}).get("task", "classification")
    return bool(task != "regression")


def classes_kept(told: Mapping[str, Any]) -> dict[str, Any] | None:
    """Classes, or several labels, the one of which the smallest part was kept first.

    Returns
    -------
    dict or None
        ``shown``: of each its ``label``, ``rows``, ``selected``, the part that is ``kept``, and
        what a bar of 100 shows of it; ``all``: the same of all rows; ``more``: how many are not
        shown; ``noun``. None where there are none.
    """
    labels = told.get("labels")
    table = labels or told.get("classes")
    if not table or not is_classified(told):
        return None
    rows, selected = told.get("rows") or 0, told.get("selected") or 0
    rows = rows or sum(entry["rows"] for entry in table)
    selected = selected or sum(entry["selected"] for entry in table)
    every, longest = selected / max(rows, 1), 0.0
    entries = []
    for entry in table:
        kept = entry["selected"] / entry["rows"] if entry["rows"] else 0.0
        longest = max(longest, kept, every)
        figures = {name: entry[name] for name in ("label", "rows", "selected")}
        entries.append(figures | {"share": entry["rows"] / max(rows, 1), "kept": kept})
    entries.sort(key=lambda entry: (entry["kept"], -entry["rows"]))
    for entry in entries:
        entry["bar"] = round(_BAR * entry["kept"] / longest, 1) if longest else 0
    return {
        "shown": entries[:MOST_CLASSES],
        "more": max(0, len(entries) - MOST_CLASSES),
        "count": len(entries),
        "all": every,
        "bar": round(_BAR * every / longest, 1) if longest else 0,
        "noun": "label" if labels else "class",
    }


def warnings_of(coreset: Subset) -> list[str]:
    """What to look at before training, a sentence each; empty where there is nothing."""
    # what grows has no such entries
    told = {"scaling": None, "parameters": {}} | coreset.provenance
    found = list(warned_after(told))
    found += [f"{line[:1].upper()}{line[1:]}." for line in _more_warnings(coreset, told)]
    return [f"{line[:1].upper()}{line[1:]}" for line in found]


def calm(told: Mapping[str, Any]) -> str:
    """What was looked for, where nothing was found."""
    parts = ["weights are not very unequal"]
    if told.get("underrepresented") is not None:
        parts.insert(0, "no class is kept at under half of its share")
    if told.get("lost"):
        parts.insert(0, "no dense group of rows is without a selected one")
    if told.get("rows_dropped") == 0:
        parts.insert(0, "no row was left out")
    text = ", ".join(parts[:-1])
    text = f"{text}, and {parts[-1]}" if text else parts[-1]
    return f"{text[:1].upper()}{text[1:]}."


def percent(share: float) -> str:
    """A part, with as many digits as tell it from none.

    Examples
    --------
    >>> percent(0.1), percent(0.0025), percent(0.0)
    ('10.0%', '0.25%', '0.0%')
    """
    return f"{share:.1%}" if share >= 0.01 or share == 0 else f"{100 * share:.2g}%"


def _more_warnings(coreset: Subset, told: Mapping[str, Any]) -> Iterator[str]:
    if lost := shown_lost(told.get("lost")):
        yield f"lost: {lost}"
    if dropped := told.get("rows_dropped"):
        yield f"{dropped:,} rows with invalid values or no label were left out{_where(told)}"
    equal, rows = effective(coreset), len(coreset)
    if equal < _FEW * rows:
        yield (
            f"weights are very unequal: of means the {rows:,} rows tell no more than {equal:,.0f} "
            "of equal weight"
        )
    for name, count in (told.get("input", {}).get("chunks_missing") or {}).items():
        if count:
            chunks = "1 chunk" if count == 1 else f"{count:,} chunks"
            yield f"{chunks} of {name} not stored in the source, and read as the fill value"
    if trap := _trap(told["parameters"]):
        yield trap.rstrip(".")


def _trap(parameters: Mapping[str, Any]) -> str | None:
    """What the strategy says of itself, as it was asked for."""
    name = parameters.get("strategy")
    if name not in STRATEGIES:
        return None
    known = {field.name for field in fields(STRATEGIES[name])}
    options = {key: value for key, value in parameters.get("options", {}).items() if key in known}
    try:
        return make_strategy(name, options).warning
    except InputError:
        # options of an earlier version
        return None


def _where(told: Mapping[str, Any]) -> str:
    """In which columns invalid values are, the most of them first."""
    columns = (told.get("dropped") or {}).get("columns") or []
    most = sorted(columns, key=lambda entry: -entry["rows"])[:3]
    listed = ", ".join(f"{entry['rows']:,} for column {entry['column']}" for entry in most)
    return f" ({listed}{', …' if len(columns) > 3 else ''})" if listed else ""


def _rows(coreset: Subset) -> Card:
    rows, selected = coreset.provenance.get("rows", 0), len(coreset)
    if not rows:
        return Card(name="Selected", value=f"{selected:,}", words="rows")
    words = f"{selected:,} of {rows:,} rows"
    return Card(name="Selected", value=percent(selected / rows), words=words)


def _lost(coreset: Subset, evaluation: Evaluation | None) -> Card | None:
    """What training on the subset loses against all rows; or how to find out."""
    if evaluation is None:
        task = coreset.provenance.get("parameters", {}).get("task", "classification")
        if coreset.labels is None or task != "classification":
            return None
        words = "evaluate TARGET --source SOURCE tells it; report --evaluation shows it here"
        return Card(name="What is lost", value="not measured", words=words)
    name = evaluation.objective
    metric, own = metric_named(name), evaluation.score("subset").value(name)
    full = evaluation.score("everything")
    figures = [shown_value(name, value) for value in (own, full.value(name))]
    unit = "%" if metric.percent else ""
    words = f"{metric.words}: {figures[0]}{unit}, and {figures[1]}{unit} on {full.rows:,} rows"
    found = evaluation.found_difference("everything", name)
    if found is None:
        return Card(name="What is lost", value=f"{figures[0]}{unit}", words=words)
    value = f"{signed_number(name, found.mean)}{' points' if metric.percent else ''}"
    return Card(name="Against everything", value=value, words=f"of {words}")


def _least(coreset: Subset) -> Card | None:
    classes = classes_kept(coreset.provenance)
    if classes is None:
        return None
    least = classes["shown"][0]
    words = f"of {least['label']}; of all rows {percent(classes['all'])}"
    return Card(name=f"Least kept {classes['noun']}", value=percent(least["kept"]), words=words)


def _covered(coreset: Subset) -> Card | None:
    found = coreset.certificate
    if found is None:
        return None
    random = found.random_radius
    words = "is the largest distance of a row to a selected one"
    words += "" if random is None else f"; of a random subset {random:.4g}"
    return Card(name="Covering radius", value=f"{found.radius:.4g}", words=words)


def _cost(told: Mapping[str, Any]) -> Card | None:
    seconds = told.get("seconds", {}).get("total")
    if not isinstance(seconds, int | float):
        return None
    moved, all_bytes = told.get("bytes_moved"), told.get("bytes_to_gather_everything")
    words = "to select"
    if isinstance(moved, int | float) and isinstance(all_bytes, int | float):
        words += f"; {shown_bytes(moved)} moved, where all the data are {shown_bytes(all_bytes)}"
    return Card(name="Cost", value=f"{seconds:,.1f} s", words=words)
