"""Points of a size curve."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.evaluation.splits import Rows
from dask_distill.evaluation.statistics import ALL_MODELS, METRICS, interval
from dask_distill.evaluation.training import Trial

BASELINE = "random"
EVERYTHING = "everything"


@dataclass(frozen=True)
class Draw:
    """Rows to train on, as one seed, strategy and size give them.

    Attributes
    ----------
    strategy : str
        Its name on the curve.
    step : int
        Number of the size; -1 for everything.
    seed : int
    rows : (m,) int64 array
        Positions in the pool.
    weights : (m,) float array, or None
    seconds : float
        Wall time of the selection.
    """

    strategy: str
    step: int
    seed: int
    rows: Rows
    weights: npt.NDArray[np.floating] | None
    seconds: float


@dataclass(frozen=True)
class Point:
    """What models trained on one strategy's rows of one size reach; means over the seeds.

    Attributes
    ----------
    strategy : str
        "everything" stands for all rows that were selected from.
    rows : int
        Trained on.
    share : float
        ``rows`` as a part of those that were selected from.
    model : str
        "all models" is their mean.
    accuracy, accuracy_low, accuracy_high : float
        With its 95 % interval.
    balanced_accuracy, worst_class_recall : float
    kept : float
        ``accuracy`` as a part of the accuracy of everything.
    gain, gain_low, gain_high : float or None
        Accuracy above that of random rows of the same size, paired by seed, with its 95 %
        interval; None for random itself and for everything.
    balanced_gain, balanced_gain_low, balanced_gain_high : float or None
        The same of balanced accuracy.
    training_seconds : float
        CPU time; of all models together where that is the model.
    selection_seconds : float
        Wall time.
    """

    strategy: str
    rows: int
    share: float
    model: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    worst_class_recall: float
    kept: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    balanced_gain: float | None
    balanced_gain_low: float | None
    balanced_gain_high: float | None
    training_seconds: float
    selection_seconds: float


def points_of(
    draws: Sequence["Draw"],
    trials: Sequence[Sequence[Trial]],
    names: Sequence[str],
    overlap: float,
    tests: int,
) -> tuple[Point, ...]:
    """Means over seeds with intervals, and differences to random, paired by seed.

    Parameters
    ----------
    draws : (m,) sequence of Draw
    trials : (m, models) trials
        Of each draw.
    names : sequence of str
        Of the strategies, in the order of the points.
    overlap : float
        Of `dask_distill.evaluation.statistics.interval`.
    tests : int
        Rows of one test.

    Returns
    -------
    tuple of Point
    """
    values: dict[tuple[str, int, str], list[tuple[Draw, list[Trial]]]] = {}
    for draw, mine in zip(draws, trials, strict=True):
        for model in (ALL_MODELS, *(trial.model for trial in mine)):
            group = [trial for trial in mine if model in (ALL_MODELS, trial.model)]
            values.setdefault((draw.strategy, draw.step, model), []).append((draw, group))
    whole = max(len(draw.rows) for draw in draws)
    points = []
    for name in names:
        for (strategy, step, model), found in values.items():
            if strategy != name:
                continue
            same = values.get((BASELINE, step, model))
            full = float(np.mean(_by_seed(values[EVERYTHING, -1, model], "accuracy")))
            accuracy, low, high = interval(_by_seed(found, "accuracy"), overlap=overlap)
            gains: dict[str, Any] = {}
            for prefix, metric in (("gain", "accuracy"), ("balanced_gain", "balanced_accuracy")):
                limits: tuple[float | None, ...] = (None, None, None)
                if name != BASELINE and same is not None:
                    gap = _by_seed(found, metric) - _by_seed(same, metric)
                    limits = interval(gap, overlap=overlap, least=_least_variance(gap, tests))
                keys = (prefix, f"{prefix}_low", f"{prefix}_high")
                gains |= dict(zip(keys, limits, strict=True))
            rows = len(found[0][0].rows)
            points.append(
                Point(
                    strategy=name,
                    rows=rows,
                    share=rows / whole,
                    model=model,
                    accuracy=accuracy,
                    accuracy_low=low,
                    accuracy_high=high,
                    **{
                        metric: float(np.mean(_by_seed(found, metric)))
                        for metric in METRICS
                        if metric != "accuracy"
                    },
                    kept=accuracy / max(full, 1e-9),
                    **gains,
                    training_seconds=math.fsum(t.seconds for _, group in found for t in group)
                    / len(found),
                    selection_seconds=math.fsum(draw.seconds for draw, _ in found) / len(found),
                )
            )
    return tuple(points)


def _by_seed(found: Any, metric: str) -> npt.NDArray[np.float64]:
    """(m,) means over models, by seed."""
    ordered = sorted(found, key=lambda pair: pair[0].seed)
    return np.array([np.mean([getattr(t, metric) for t in group]) for _, group in ordered])


def _least_variance(gap: npt.NDArray[np.float64], tests: int) -> float:
    """Of a difference of two accuracies on the same rows: they differ on |gap| of them at least."""
    mean = abs(float(np.mean(gap)))
    return (mean - mean**2) / tests
