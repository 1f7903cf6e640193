"""Means over models and seeds, paired differences, intervals."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dask_distill.evaluation.training import Trial

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "worst_class_recall": "worst class recall",
}
ALL_MODELS = "all models"
_CONFIDENCE = 0.95
# parts of a point that nobody would choose a method for
EVEN = 0.002


@dataclass(frozen=True)
class Score:
    """Means over the seeds for one way of choosing rows and one model, or all models.

    Attributes
    ----------
    way, model : str
    rows : int
        Trained on.
    accuracy, balanced_accuracy, worst_class_recall : float
    seconds : float
        CPU time of training; of all models together where that is the model.
    """

    way: str
    model: str
    rows: int
    accuracy: float
    balanced_accuracy: float
    worst_class_recall: float
    seconds: float


@dataclass(frozen=True)
class Difference:
    """How much better the subset is than another way of choosing rows, on the same test rows.

    Attributes
    ----------
    against : str
        "random", "stratified" or "everything".
    metric, model : str
    mean, low, high : float
        Mean over the seeds, and its 95 % interval. Against a random draw, the interval counts
        that the subset is one draw, too.
    """

    against: str
    metric: str
    model: str
    mean: float
    low: float
    high: float


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
        """How much better what is judged is than another way."""
        wanted = (against, metric, model)
        return next(d for d in self.differences if (d.against, d.metric, d.model) == wanted)


def summarise(trials: Sequence[Trial]) -> tuple[tuple[Score, ...], tuple[Difference, ...]]:
    """Means over seeds, and paired differences, for each model and for all together."""
    ways = list(dict.fromkeys(trial.way for trial in trials))
    models = list(dict.fromkeys(trial.model for trial in trials))
    scores, differences = [], []
    for model in [ALL_MODELS, *models]:
        mine = [trial for trial in trials if model in (ALL_MODELS, trial.model)]
        for way in ways:
            found = [trial for trial in mine if trial.way == way]
            count = len({trial.seed for trial in found})
            scores.append(
                Score(
                    way,
                    model,
                    found[0].rows,
                    **{m: float(np.mean([getattr(t, m) for t in found])) for m in METRICS},
                    seconds=math.fsum(trial.seconds for trial in found) / count,
                )
            )
        for metric in METRICS:
            own = _by_seed(mine, ways[0], metric)
            gaps = {way: own - _by_seed(mine, way, metric) for way in ways[1:]}
            random = [gap for way, gap in gaps.items() if way != "everything"]
            for way, gap in gaps.items():
                limits = interval(gap) if way == "everything" else interval(gap, random)
                differences.append(Difference(way, metric, model, *limits))
    return tuple(scores), tuple(differences)


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


def _by_seed(trials: Sequence[Trial], way: str, metric: str) -> Any:
    """(m,) means over models, by seed."""
    seeds = sorted({trial.seed for trial in trials})
    return np.array(
        [
            np.mean([getattr(t, metric) for t in trials if (t.way, t.seed) == (way, seed)])
            for seed in seeds
        ]
    )


def points(each: Difference) -> str:
    """A difference in points of per cent, with its interval."""
    return f"{signed(each.mean)} points ({signed(each.low)} to {signed(each.high)})"


def signed(value: float) -> str:
    """A part as points of per cent, with its sign.

    Examples
    --------
    >>> signed(0.0123), signed(-0.1)
    ('+1.2', '−10.0')
    """
    text = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if text in ("+0.0", "−0.0") else text
