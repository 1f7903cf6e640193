"""Means over models and seeds, paired differences, intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.evaluation.training import Trial
from dask_distill.support.metrics import METRICS, RECALL, metric_named, signed_number

ALL_MODELS = "all models"
MAJORITY = "majority"
# ways that are no random draws of the subset's size: their luck is not the subset's
_NO_DRAWS = ("unweighted", "everything", MAJORITY)
# of so many classes, the rarest ones, the recalls are compared one by one
MOST_RECALLS = 20
_CONFIDENCE = 0.95
# parts of a point that nobody would choose a method for
EVEN = 0.002


class Measured:
    """What has the metrics as attributes, and those of the user's scorers in ``own``."""

    own: Mapping[str, float | None]

    def value(self, metric: str) -> float | None:
        """The mean of a metric by its name."""
        if metric in METRICS:
            found: float | None = getattr(self, metric)
            return found
        return self.own.get(metric)


@dataclass(frozen=True, kw_only=True)
class Score(Measured):
    """Means over the seeds for one way of choosing rows and one model, or all models.

    Attributes
    ----------
    way, model : str
    rows : int
        Trained on.
    accuracy, balanced_accuracy, worst_class_recall : float
    seconds : float
        CPU time of training; of all models together where that is the model.
    roc_auc, average_precision, log_loss, brier, calibration_error : float or None
        Of `dask_distill.evaluation.metrics.metrics_of`; None where no model tells.
    own : dict of float or None
        Of the user's scorers.
    intervals : dict of pairs of float
        By metric: the 95 % interval of its mean.
    """

    way: str
    model: str
    rows: int
    accuracy: float
    balanced_accuracy: float
    worst_class_recall: float
    seconds: float
    roc_auc: float | None = None
    average_precision: float | None = None
    log_loss: float | None = None
    brier: float | None = None
    calibration_error: float | None = None
    own: Mapping[str, float | None] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The score that was written, by this version or an older one."""
        known = {each.name for each in fields(cls)}
        values = {key: value for key, value in plain.items() if key in known}
        limits = plain.get("intervals", {})
        return cls(**values | {"intervals": {key: tuple(pair) for key, pair in limits.items()}})

    def half(self, metric: str) -> float | None:
        """Half of the interval of a metric."""
        low, high = self.intervals.get(metric, (None, None))
        return None if low is None or high is None else (high - low) / 2


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far the subset is from another way of choosing rows, on the same test rows.

    Attributes
    ----------
    against : str
        "random", "stratified", "everything", "unweighted" or "majority".
    metric, model : str
        The metric may be a class's recall, "recall:NAME", for all models.
    mean, low, high : float
        Of the subset's metric less the other's: mean over the seeds, and its 95 % interval.
        Against a random draw, the interval counts that the subset is one draw, too.
    """

    against: str
    metric: str
    model: str
    mean: float
    low: float
    high: float

    @classmethod
    def of(
        cls, against: str, metric: str, model: str, limits: tuple[float, float, float]
    ) -> "Difference":
        """From mean, low and high, as `interval` gives them."""
        mean, low, high = limits
        return cls(against=against, metric=metric, model=model, mean=mean, low=low, high=high)

    @property
    def higher_is_better(self) -> bool:
        """Whether the subset is better where the difference is above 0."""
        return metric_named(self.metric).higher_is_better

    @property
    def better(self) -> bool:
        """Whether the subset is better beyond the interval, and by more than nothing."""
        sign = metric_named(self.metric).sign
        return min(sign * self.low, sign * self.high) > 0 and sign * self.mean > _even(self.metric)

    @property
    def worse(self) -> bool:
        """Whether the subset is worse beyond the interval, and by more than nothing."""
        sign = metric_named(self.metric).sign
        return max(sign * self.low, sign * self.high) < 0 and sign * self.mean < -_even(self.metric)

    @property
    def half(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2


def _even(metric: str) -> float:
    # the scale of the user's scorers is not known
    return EVEN if metric in METRICS or metric.startswith(RECALL) else 0.0


class Compared:
    """Looks up the scores and differences of a result."""

    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]

    def score(self, way: str, model: str = ALL_MODELS) -> Score:
        """The means of one way of choosing rows."""
        return next(s for s in self.scores if (s.way, s.model) == (way, model))

    def difference(
        self, against: str, metric: str = "accuracy", model: str = ALL_MODELS
    ) -> Difference:
        """How much better what is judged is than another way.

        Raises
        ------
        InputError
            For what was not compared.
        """
        found = self.found_difference(against, metric, model)
        if found is None:
            raise InputError(
                f"difference must be one that was measured, got none in {metric!r} against "
                f"{against!r} of {model!r}; see differences"
            )
        return found

    def found_difference(
        self, against: str, metric: str, model: str = ALL_MODELS
    ) -> Difference | None:
        """The same, or None for what was not compared."""
        wanted = (against, metric, model)
        return next((d for d in self.differences if (d.against, d.metric, d.model) == wanted), None)


class _Values:
    """Trials of some models, by way, seed and model."""

    def __init__(self, trials: Sequence[Trial], ways: Sequence[str]) -> None:
        self.ways = ways
        self.seeds = sorted({trial.seed for trial in trials})
        self.models = list(dict.fromkeys(t.model for t in trials if t.way != MAJORITY))
        self._found = {(trial.way, trial.seed, trial.model): trial for trial in trials}

    def of(self, metric: str, number: int = -1) -> dict[str, npt.NDArray[np.float64]]:
        """(m,) means over models by seed, for each way; of models and seeds that all ways have.

        Nothing where fewer than two seeds are left; without the majority where that has some only.
        """
        cube = {
            way: np.array(
                [[self._value(way, s, m, metric, number) for m in self.models] for s in self.seeds]
            )
            for way in self.ways
        }
        told = np.all([np.isfinite(cube[way]) for way in cube if way != MAJORITY], axis=0)
        seeds = told.any(axis=1)
        models = told[seeds].all(axis=0)
        if seeds.sum() < 2 or not models.any():
            return {}
        means = {way: values[seeds][:, models].mean(axis=1) for way, values in cube.items()}
        return {way: mean for way, mean in means.items() if np.isfinite(mean).all()}

    def _value(self, way: str, seed: int, model: str, metric: str, number: int) -> float:
        # what needs no features is the same for all models
        name = MAJORITY if way == MAJORITY else model
        return self._found[way, seed, name].value(metric, number)


def summarise(
    trials: Sequence[Trial], *, recalls: Mapping[str, int] | None = None, overlap: float = 0.0
) -> tuple[tuple[Score, ...], tuple[Difference, ...]]:
    """Means over seeds, and paired differences, for each model and for all together.

    Parameters
    ----------
    trials : sequence of Trial
        The first one's way is compared with all others.
    recalls : dict, optional
        Class numbers by name, of classes whose recalls are compared, too.
    overlap : float
        Of `interval`, for the means: test rows for each row at hand.
    """
    ways = list(dict.fromkeys(trial.way for trial in trials))
    models = list(dict.fromkeys(trial.model for trial in trials if trial.way != MAJORITY))
    names = [*METRICS, *trials[0].own]
    scores, differences = [], []
    for model in [ALL_MODELS, *models]:
        mine = [t for t in trials if model in (ALL_MODELS, t.model)]
        its_ways = [way for way in ways if way != MAJORITY or model == ALL_MODELS]
        values = _Values(mine, its_ways)
        means = {name: values.of(name) for name in names}
        scores += [_score(way, model, mine, means, overlap) for way in its_ways]
        if model == ALL_MODELS:
            means |= {f"{RECALL}{k}": values.of(RECALL, n) for k, n in (recalls or {}).items()}
        for metric, found in means.items():
            differences += _differences(metric, model, found)
    return tuple(scores), tuple(differences)


def _score(
    way: str, model: str, trials: Sequence[Trial], means: Mapping[str, Any], overlap: float
) -> Score:
    found = [trial for trial in trials if trial.way == way]
    limits = {name: interval(of[way], overlap=overlap) for name, of in means.items() if way in of}
    values = {name: limits[name][0] if name in limits else None for name in means}
    return Score(
        way=way,
        model=model,
        rows=found[0].rows,
        seconds=math.fsum(t.seconds for t in found) / len({t.seed for t in found}),
        own={name: value for name, value in values.items() if name not in METRICS},
        intervals={name: (low, high) for name, (_, low, high) in limits.items()},
        **{name: value for name, value in values.items() if name in METRICS},  # type: ignore[arg-type]
    )


def _differences(metric: str, model: str, found: Mapping[str, Any]) -> list[Difference]:
    """Of the first way to all others."""
    ways = list(found)
    gaps = {way: found[ways[0]] - found[way] for way in ways[1:]}
    draws = [gap for way, gap in gaps.items() if way not in _NO_DRAWS]
    return [
        Difference.of(
            way, metric, model, interval(gap) if way in _NO_DRAWS else interval(gap, draws)
        )
        for way, gap in gaps.items()
    ]


def rarest_classes(codes: Sequence[Any], weights: Sequence[Any], classes: int) -> list[int]:
    """Class numbers that occur, the one with the fewest rows (or the least weight) first.

    Examples
    --------
    >>> rarest_classes([np.array([0, 2, 2])], [None], 3)
    [0, 2]
    """
    counts = np.zeros(classes)
    for mine, its in zip(codes, weights, strict=True):
        counts += np.bincount(mine, its, minlength=classes)
    occur = np.flatnonzero(counts > 0)
    return [int(code) for code in occur[np.argsort(counts[occur], kind="stable")]]


def plain_fields(result: Any) -> dict[str, Any]:
    """The fields of a result, JSON-able: a dataclass and those in it as dicts, tuples as lists."""
    plain = asdict(result)
    return {key: list(v) if isinstance(v, tuple) else v for key, v in plain.items()}


def interval(
    gaps: Any, drawn: Sequence[Any] = (), *, overlap: float = 0.0, least: float = 0.0
) -> tuple[float, float, float]:
    """Mean of paired differences and its 95 % interval by Student's t.

    Parameters
    ----------
    gaps : (m,) array, m >= 2
        One difference for each seed.
    drawn : sequence of (m,) arrays
        Differences to all kinds of random draws, where ``gaps`` are of one of them: the other
        side was drawn anew for each seed while ours is one draw, whose luck is the same in all of
        them. Its variance, taken to be theirs, is then added; and a few draws that happen to be
        alike do not make an interval narrow, since the larger variance counts.
    overlap : float
        Rows tested on for each row drawn from, where every seed splits the same rows anew: what
        one seed trains on is mostly what another one does, so that the differences vary less than
        those on other data would.
    least : float
        The variance that differences have at least, where a few happen to be alike.

    Returns
    -------
    mean, low, high : float

    References
    ----------
    Nadeau, Bengio (2003), Inference for the Generalization Error, for ``overlap``.

    Examples
    --------
    >>> [round(value, 3) for value in interval([0.01, 0.03])]
    [0.02, -0.107, 0.147]
    """
    from scipy.stats import t

    m = len(gaps)
    mean = float(np.mean(gaps))
    variance = max(float(np.var(each, ddof=1)) for each in drawn or [gaps])
    variance = max(variance, least)
    spread = math.sqrt(variance * (1 / m + bool(drawn) + overlap))
    half = float(t.ppf((1 + _CONFIDENCE) / 2, m - 1)) * spread
    return mean, mean - half, mean + half


def widened(each: Difference, together: int, seeds: int) -> Difference:
    """With an interval that holds for so many differences at once (Bonferroni).

    One end counts, where it is asked whether any is worse: that end is crossed by chance, in any
    of them, in 5 of 100 comparisons of equals at most.

    Parameters
    ----------
    each : Difference
    together : int
        How many are looked at.
    seeds : int

    Examples
    --------
    >>> wide = widened(Difference.of("random", "accuracy", "all models", (0.1, 0.0, 0.2)), 5, 5)
    >>> round(wide.low, 3), round(wide.high, 3)
    (-0.035, 0.235)
    """
    from scipy.stats import t

    tails = (1 - _CONFIDENCE) / together, (1 - _CONFIDENCE) / 2
    needed, own = (float(t.ppf(1 - tail, seeds - 1)) for tail in tails)
    half = each.half * max(1.0, needed / own)
    return replace(each, low=each.mean - half, high=each.mean + half)


def points(each: Difference) -> str:
    """A difference with its interval; in points of per cent where the metric is a part of 1."""
    mean, low, high = (signed_number(each.metric, v) for v in (each.mean, each.low, each.high))
    unit = " points" if metric_named(each.metric).percent else ""
    return f"{mean}{unit} ({low} to {high})"


def signed(value: float) -> str:
    """A part as points of per cent, with its sign.

    Examples
    --------
    >>> signed(0.0123), signed(-0.1)
    ('+1.2', '−10.0')
    """
    return signed_number("accuracy", value)
