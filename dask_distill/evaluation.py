"""What an evaluation found: means, paired differences with intervals, and the verdict in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from dask_distill._text import shown_table
from dask_distill.trials import Trial

WAYS = {
    "subset": "the subset",
    "random": "a random subset",
    "stratified": "a class-stratified random subset",
    "everything": "everything",
}
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


@dataclass(frozen=True)
class Evaluation(Compared):
    """What training on the subset costs or gains.

    Attributes
    ----------
    verdict : str
        One sentence.
    cost : str
        One sentence on seconds: of selecting, and of training on the subset and on everything.
    strategy : str
    rows, selected, test_rows : int
        Of the data set, of the subset, and of one test.
    classes : int
    seeds : tuple of int
        One test set and one draw of each kind for each.
    scores : tuple of Score
    differences : tuple of Difference
    worst_class : str
        The class that models trained on the subset know least.
    selection_seconds : float or None
        Wall time of the selection.
    notes : tuple of str
        What bounds the comparison.
    """

    verdict: str
    cost: str
    strategy: str
    rows: int
    selected: int
    test_rows: int
    classes: int
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    worst_class: str
    selection_seconds: float | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return plain_fields(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The evaluation that `as_dict` was called on; unknown keys are left out."""
        values = {field.name: plain[field.name] for field in fields(cls)}
        values["scores"] = tuple(Score(**score) for score in plain["scores"])
        values["differences"] = tuple(Difference(**each) for each in plain["differences"])
        return cls(**values | {key: tuple(plain[key]) for key in ("seeds", "notes")})

    def __str__(self) -> str:
        """The table and the verdict, for a terminal."""
        head = ("trained on", "rows", "accuracy", "balanced", "worst class", "seconds")
        lines = [head]
        for way in dict.fromkeys(score.way for score in self.scores):
            found = self.score(way)
            lines.append(
                (
                    WAYS[way],
                    f"{found.rows:,}",
                    f"{found.accuracy:.1%}",
                    f"{found.balanced_accuracy:.1%}",
                    f"{found.worst_class_recall:.1%}",
                    f"{found.seconds:.1f}",
                )
            )
        lines.append(("", "", "", "", "", ""))
        lines.append(("the subset against", "", "accuracy", "", "", ""))
        lines += [
            (f"  {WAYS[each.against]}", "", points(each), "", "", "")
            for each in self.differences
            if (each.metric, each.model) == ("accuracy", ALL_MODELS)
        ]
        table = shown_table(lines, measured=len(WAYS) + 1)
        return "\n".join([*table, "", self.verdict, self.cost, *self.notes])


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


def verdict_of(
    scores: Sequence[Score], differences: Sequence[Difference], *, bounded: bool = False
) -> str:
    """The sentence that says whether the subset is worth having."""
    whole = {score.way: score for score in scores if score.model == ALL_MODELS}
    kept = whole["subset"].accuracy / max(whole["everything"].accuracy, 1e-9)
    whole_name = f"{whole['everything'].rows:,} rows" if bounded else "everything"
    keeps = f"keeps {kept:.1%} of the accuracy of training on {whole_name}"
    accuracy = _against_random(differences, "accuracy")
    balanced = _against_random(differences, "balanced_accuracy")
    # the other way that the subset is least sure to beat
    least, rare = (min(found, key=lambda each: each.low) for found in (accuracy, balanced))
    worse = [each for each in accuracy if _worse(each)]
    if all(_better(each) for each in accuracy):
        return (
            f"The subset is worth it: against {WAYS[least.against]} of the same size it has "
            f"{points(least)} of accuracy, and {keeps}."
        )
    if all(_better(each) for each in balanced):
        return (
            f"The subset is worth it where rare classes matter: against {WAYS[rare.against]} of "
            f"the same size it has {points(rare)} of balanced accuracy, "
            f"{points(least)} of accuracy, and {keeps}."
        )
    if worse:
        least = min(worse, key=lambda each: each.high)
    does = "better here" if worse else "as well here, as far as these draws can tell"
    return (
        f"Random does {does}; take it: against {WAYS[least.against]} of the same size the subset "
        f"has {points(least)} of accuracy, and {keeps}."
    )


def cost_of(
    scores: Sequence[Score], selection_seconds: float | None, *, bounded: bool = False
) -> str:
    """The sentence on time, with the selection counted in."""
    whole = {score.way: score for score in scores if score.model == ALL_MODELS}
    own, full = whole["subset"], whole["everything"]
    text = (
        f"Training takes {own.seconds:.1f} s on the subset and {full.seconds:.1f} s on "
        f"{full.rows:,} rows"
    )
    if selection_seconds is None:
        return f"{text}."
    text += f"; selecting took {selection_seconds:.1f} s"
    if bounded:
        # what training on all rows would take is not known
        return f"{text}."
    saved = full.seconds - own.seconds
    if saved <= 0:
        return f"{text}, which training does not win back."
    times = math.ceil(selection_seconds / saved)
    if times <= 1:
        return f"{text}, won back by the first training."
    return f"{text}, won back after {times:,} trainings of each model."


def worst_class_of(trials: Sequence[Trial], labels: Sequence[Any]) -> str:
    """Name of the class that models trained on the subset know least, by mean recall."""
    recalls = np.array([trial.recalls for trial in trials if trial.way == "subset"])
    counts = np.isfinite(recalls).sum(axis=0)
    mean = np.nansum(recalls, axis=0) / np.maximum(counts, 1)
    return str(labels[int(np.argmin(np.where(counts > 0, mean, np.inf)))])


def _by_seed(trials: Sequence[Trial], way: str, metric: str) -> Any:
    """(m,) means over models, by seed."""
    seeds = sorted({trial.seed for trial in trials})
    return np.array(
        [
            np.mean([getattr(t, metric) for t in trials if (t.way, t.seed) == (way, seed)])
            for seed in seeds
        ]
    )


def _against_random(differences: Sequence[Difference], metric: str) -> list[Difference]:
    return [
        each
        for each in differences
        if (each.metric, each.model) == (metric, ALL_MODELS) and each.against != "everything"
    ]


def _better(each: Difference) -> bool:
    return each.low > 0 and each.mean > EVEN


def _worse(each: Difference) -> bool:
    return each.high < 0 and each.mean < -EVEN


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
