"""What a size curve says in words: in what a strategy is worse than random rows, what it keeps."""

from collections.abc import Sequence

from dask_distill.evaluation.curve_points import BASELINE, EVERYTHING, Point
from dask_distill.evaluation.losses import bracketed
from dask_distill.evaluation.statistics import ALL_MODELS, MAJORITY, Difference, widened
from dask_distill.support.metrics import metric_named, shown_value


def verdict_on_curve(
    points: Sequence[Point],
    names: Sequence[str],
    *,
    objective: str = "accuracy",
    seeds: int = 5,
) -> str:
    """The sentences on the first strategy that is not random.

    First the metrics in which it is worse than random rows beyond an interval of 95 % for all
    metrics and sizes together (Bonferroni), then what it keeps in the one that is judged by.
    """
    asked, objective = objective, judged_by(points, objective)
    name = next((each for each in names if each != BASELINE), BASELINE)
    mine = [p for p in points if (p.strategy, p.model) == (name, ALL_MODELS)]
    (full,) = [p for p in points if (p.strategy, p.model) == (EVERYTHING, ALL_MODELS)]
    text = f"{name} {_keeps(mine, full, objective)}"
    if asked != objective:
        text = f"too few draws tell {metric_named(asked).words}, so by {objective}: {text}"
    if name == BASELINE:
        return f"{text}."
    told = {
        "better": [p for p in mine if _sign(p, objective) > 0],
        "worse": [p for p in mine if _sign(p, objective) < 0],
        "not told apart from it": [p for p in mine if _sign(p, objective) == 0],
    }
    parts = [f"{words} at {_listed(found)}" for words, found in told.items() if found]
    return (
        f"{_losses(name, mine, objective, seeds)}{text}; against random rows it is "
        f"{', '.join(parts)} rows."
    )


def judged_by(points: Sequence[Point], objective: str) -> str:
    """The metric that is asked for, or accuracy where too few draws tell it."""
    mine = [p for p in points if p.model == ALL_MODELS and p.strategy != MAJORITY]
    return objective if all(p.value(objective) is not None for p in mine) else "accuracy"


def _keeps(mine: Sequence[Point], full: Point, objective: str) -> str:
    metric, few, many = metric_named(objective), mine[0], mine[-1]
    whole = full.known(objective)
    if metric.percent and metric.higher_is_better:
        shown = [f"{point.known(objective) / max(whole, 1e-9):.1%}" for point in (few, many)]
        text = f"keeps {shown[0]} of the {metric.words} of everything"
    else:
        shown = [shown_value(objective, point.value(objective)) for point in (few, many)]
        everything = f"where everything has {shown_value(objective, whole)}"
        text = f"has a {metric.words}, {everything}, of {shown[0]}"
    text += f" with {few.rows:,} rows"
    return text if many is few else f"{text} and {shown[1]} with {many.rows:,}"


def _losses(name: str, mine: Sequence[Point], objective: str, seeds: int) -> str:
    """The sentence on metrics in which a strategy is worse than random rows."""
    metrics = [each for each in mine[0].gains if each not in ("brier", "calibration_error")]
    metrics.sort(key=lambda each: each != objective)
    parts = []
    for metric in metrics:
        wide = [
            (point, widened(gap, len(metrics) * len(mine), seeds))
            for point in mine
            if (gap := _against(point, metric)) is not None
        ]
        lost = [f"at {point.rows:,} rows ({bracketed(each)})" for point, each in wide if each.worse]
        if lost:
            parts.append(f"in {metric_named(metric).words} {', '.join(lost)}")
    return f"{name} is worse than random rows {'; '.join(parts)}. " if parts else ""


def _against(point: Point, metric: str) -> Difference | None:
    found = point.difference(metric)
    return None if found is None else Difference.of(BASELINE, metric, point.model, found)


def _sign(point: Point, objective: str) -> int:
    gap = _against(point, objective)
    return 0 if gap is None else int(gap.better) - int(gap.worse)


def _listed(points: Sequence[Point]) -> str:
    *most, last = [f"{point.rows:,}" for point in points]
    return f"{', '.join(most)} and {last}" if most else last
