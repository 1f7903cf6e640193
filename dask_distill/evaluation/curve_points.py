"""Points of a size curve."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dask_distill.evaluation.bench import POOL, Tables
from dask_distill.evaluation.splits import Rows, Split
from dask_distill.evaluation.statistics import ALL_MODELS, MAJORITY, Measured, interval
from dask_distill.evaluation.training import LabelledRows, Trial
from dask_distill.support.metrics import METRICS, metric_named

BASELINE = "random"
EVERYTHING = "everything"


@dataclass(frozen=True, kw_only=True)
class CurveDraw:
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

    @property
    def way(self) -> str:
        """The strategy."""
        return self.strategy

    def training(self, split: Split, tables: Tables) -> LabelledRows:
        """Its rows of the pool, weighed as they were selected."""
        taken = tables[POOL].take(self.rows)
        return replace(taken, weights=self.weights)


@dataclass(frozen=True, kw_only=True)
class Point(Measured):
    """What models trained on one strategy's rows of one size reach; means over the seeds.

    Attributes
    ----------
    strategy : str
        "everything" stands for all rows that were selected from, "majority" for their most
        frequent class.
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
    roc_auc, average_precision, log_loss, brier, calibration_error : float or None
        Of `dask_distill.evaluation.metrics.metrics_of`; None where no model tells.
    own : dict of float or None
        Of the user's scorers.
    intervals : dict of pairs of float
        By metric: the 95 % interval of its mean.
    gains : dict of three floats
        By metric: its difference to that of random rows of the same size, paired by seed, and the
        95 % interval; empty for random itself, for everything and for the majority.
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
    roc_auc: float | None = None
    average_precision: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    calibration_error: float | None = None
    own: Mapping[str, float | None] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    gains: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The point that was written, by this version or an older one."""
        known = {each.name for each in fields(cls)}
        values = {key: value for key, value in plain.items() if key in known}
        for name in ("intervals", "gains"):
            values[name] = {key: tuple(pair) for key, pair in plain.get(name, {}).items()}
        return cls(**values)

    def known(self, metric: str) -> float:
        """The same, NaN where no model tells it."""
        value = self.value(metric)
        return float("nan") if value is None else value

    def limits(self, metric: str) -> tuple[float, float] | None:
        """The interval of a metric's mean."""
        if metric in self.intervals:
            return self.intervals[metric]
        # older versions told that of accuracy alone
        return (self.accuracy_low, self.accuracy_high) if metric == "accuracy" else None

    def difference(self, metric: str) -> tuple[float, float, float] | None:
        """The metric's difference to random rows, with its interval."""
        found = self.gains.get(metric)
        if found is not None or metric != "accuracy":
            return found
        mean, low, high = self.gain, self.gain_low, self.gain_high
        # all three, or none
        return None if mean is None or low is None or high is None else (mean, low, high)

    def flat(self) -> dict[str, Any]:
        """All figures by name: the interval of NAME as NAME_low and NAME_high, gains alike."""
        plain = asdict(self)
        own, intervals, gains = (plain.pop(name) for name in ("own", "intervals", "gains"))
        plain |= own
        for name, (low, high) in intervals.items():
            plain |= {f"{name}_low": low, f"{name}_high": high}
        for name in [key for key in gains if key not in ("accuracy", "balanced_accuracy")]:
            keys = (f"{name}_gain", f"{name}_gain_low", f"{name}_gain_high")
            plain |= dict(zip(keys, gains[name], strict=True))
        return plain


def points_of(
    draws: Sequence["CurveDraw"],
    trials: Sequence[Sequence[Trial]],
    names: Sequence[str],
    overlap: float,
    tests: int,
) -> tuple[Point, ...]:
    """Means over seeds with intervals, and differences to random, paired by seed.

    Parameters
    ----------
    draws : (m,) sequence of CurveDraw
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
    values: dict[tuple[str, int, str], _Found] = {}
    for draw, mine in zip(draws, trials, strict=True):
        for model in (ALL_MODELS, *(trial.model for trial in mine if draw.strategy != MAJORITY)):
            group = [trial for trial in mine if model in (ALL_MODELS, trial.model)]
            values.setdefault((draw.strategy, draw.step, model), []).append((draw, group))
    # of everything models may have seen more than is at hand
    whole = max(trial.rows for mine in trials for trial in mine)
    points = []
    for name in names:
        for (strategy, step, model), found in values.items():
            if strategy == name:
                full = values[EVERYTHING, -1, model]
                same = None if name == BASELINE else values.get((BASELINE, step, model))
                points.append(_point(model, found, full, same, _Tested(whole, overlap, tests)))
    return tuple(points)


_Found = list[tuple[CurveDraw, list[Trial]]]


@dataclass(frozen=True)
class _Tested:
    """Rows of everything, overlap of the splits, rows of one test."""

    whole: int
    overlap: float
    tests: int


def _point(model: str, found: _Found, full: _Found, same: _Found | None, tested: _Tested) -> Point:
    means, gains = {}, {}
    for metric in (*METRICS, *found[0][1][0].own):
        # models that tell it of everything do of all
        models = {t.model for _, group in full for t in group if math.isfinite(t.value(metric))}
        own = _by_seed(found, metric, models)
        told = np.isfinite(own)
        if told.sum() > 1:
            means[metric] = interval(own[told], overlap=tested.overlap)
        if told.sum() > 1 and same is not None:
            gap = (own - _by_seed(same, metric, models))[told]
            least = _least_variance(gap, tested.tests) if metric_named(metric).percent else 0.0
            gains[metric] = interval(gap, overlap=tested.overlap, least=least)
    values = {metric: each[0] for metric, each in means.items()}
    accuracy, low, high = means["accuracy"]
    draw = found[0][0]
    rows = found[0][1][0].rows if draw.strategy == EVERYTHING else len(draw.rows)
    return Point(
        strategy=draw.strategy,
        rows=rows,
        share=rows / tested.whole,
        model=model,
        accuracy_low=low,
        accuracy_high=high,
        kept=accuracy / max(float(np.mean(_by_seed(full, "accuracy"))), 1e-9),
        **_gains("gain", gains.get("accuracy")),
        **_gains("balanced_gain", gains.get("balanced_accuracy")),
        training_seconds=math.fsum(t.seconds for _, group in found for t in group) / len(found),
        selection_seconds=math.fsum(draw.seconds for draw, _ in found) / len(found),
        own={name: values.get(name) for name in found[0][1][0].own},
        intervals={metric: each[1:] for metric, each in means.items()},
        gains=gains,
        **{name: value for name, value in values.items() if name in METRICS},
    )


def _gains(prefix: str, limits: tuple[float, float, float] | None) -> dict[str, Any]:
    keys = (prefix, f"{prefix}_low", f"{prefix}_high")
    return dict(zip(keys, limits or (None,) * 3, strict=True))


def _by_seed(found: _Found, metric: str, models: set[str] | None = None) -> npt.NDArray[np.float64]:
    """(m,) means over models, by seed; NaN where it cannot be told."""
    ordered = sorted(found, key=lambda pair: pair[0].seed)
    told = [
        [t.value(metric) for t in group if models is None or t.model in models or _alone(t)]
        for _, group in ordered
    ]
    return np.array([np.mean(values) if values else np.nan for values in told])


def _alone(trial: Trial) -> bool:
    return trial.way == MAJORITY


def _least_variance(gap: npt.NDArray[np.float64], tests: int) -> float:
    """Of a difference of two accuracies on the same rows: they differ on |gap| of them at least."""
    mean = abs(float(np.mean(gap)))
    return (mean - mean**2) / tests
