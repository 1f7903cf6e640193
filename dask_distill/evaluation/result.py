"""What an evaluation found: means, paired differences with intervals, and the verdict in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.losses import Losses
from dask_distill.evaluation.statistics import (
    ALL_MODELS,
    MAJORITY,
    Compared,
    Difference,
    Score,
    plain_fields,
    points,
)
from dask_distill.evaluation.training import Trial
from dask_distill.support.html import folded, paragraph, plain_table
from dask_distill.support.metrics import METRICS, metric_named, shown_gap, shown_value
from dask_distill.support.text import as_page, shown_table

WAYS = {
    "subset": "the subset",
    "unweighted": "the subset, unweighted",
    "random": "a random subset",
    "stratified": "a class-stratified random subset",
    "everything": "everything",
    MAJORITY: "the most frequent class",
}
# a metric's name in the table, and what comes before it in a page's
_WIDEST = 20


@dataclass(frozen=True, kw_only=True)
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
    copies : Copies or None
        Copies of test rows among the rows trained on, which the verdict counts in.
    objective : str
        The metric that the verdict is on.
    rarest_class : str
        Of which the average precision is told: the one with the fewest test rows.
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
    copies: Copies | None = None
    objective: str = "accuracy"
    rarest_class: str = ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were measured."""
        names = [*METRICS, *self.scores[0].own]
        return tuple(name for name in names if any(s.value(name) is not None for s in self.scores))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return plain_fields(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The evaluation that `as_dict` was called on; unknown keys are left out."""
        # what older versions wrote has no such fields
        later = ("copies", "objective", "rarest_class")
        values = {field.name: plain[field.name] for field in fields(cls) if field.name not in later}
        values |= {name: plain[name] for name in later if name in plain}
        values["copies"] = Copies.from_dict(plain.get("copies"))
        values["scores"] = tuple(Score.from_dict(score) for score in plain["scores"])
        values["differences"] = tuple(Difference(**each) for each in plain["differences"])
        return cls(**values | {key: tuple(plain[key]) for key in ("seeds", "notes")})

    def ways(self, model: str = ALL_MODELS) -> tuple[str, ...]:
        """What was trained on, the subset first."""
        return tuple(dict.fromkeys(s.way for s in self.scores if s.model == model))

    def rows_of_means(self) -> list[tuple[str, ...]]:
        """A line for each metric: its words, and the mean of each way with half its interval."""
        found = [self.score(way) for way in self.ways()]
        return [
            (
                _label(name),
                *(shown_value(name, each.value(name), each.half(name)) for each in found),
            )
            for name in self.metrics
        ]

    def rows_of_differences(self) -> list[tuple[str, ...]]:
        """A line for each metric: its words, and the subset's difference to each other way."""
        lines = []
        for name in self.metrics:
            found = [self.found_difference(way, name) for way in self.ways()[1:]]
            cells = [("-" if d is None else shown_gap(name, d.mean, d.half)) for d in found]
            lines.append((_label(name), *cells))
        return lines

    def draws(self) -> str:
        """The sentence that says of what the figures are means."""
        text = (
            f"Means over {len(self.seeds)} draws, tested on {self.test_rows:,} rows each, and half "
            "of their 95 % intervals"
        )
        if not self.rarest_class:
            return f"{text}."
        return f"{text}; average precision is of {self.rarest_class}, the rarest class."

    def __str__(self) -> str:
        return self.as_text()

    def as_text(self, width: int | None = None) -> str:
        """The table and the verdict, for a terminal.

        Parameters
        ----------
        width : int, optional
            Columns of the terminal; lines are as long as they are unless given.
        """
        found = [self.score(way) for way in self.ways()]
        lines = [
            ("trained on", *self.ways()),
            ("rows", *(f"{each.rows:,}" for each in found)),
            *self.rows_of_means(),
            ("seconds", *(f"{each.seconds:.1f}" for each in found)),
            ("",) * (len(found) + 1),
            ("the subset against", "", *self.ways()[1:]),
        ]
        lines += [(name, "", *cells) for name, *cells in self.rows_of_differences()]
        told = (self.verdict, self.cost, self.draws(), *self.notes)
        return as_page(shown_table(lines, width), told, width)

    def _repr_html_(self) -> str:
        found = [self.score(way) for way in self.ways()]
        means = [
            ("rows", *(f"{each.rows:,}" for each in found)),
            *self.rows_of_means(),
            ("seconds", *(f"{each.seconds:.1f}" for each in found)),
        ]
        names = [WAYS[way] for way in self.ways()]
        told = plain_table("Trained on", ("", *names), means)
        against = plain_table(
            "The subset against each, in points", ("", *names[1:]), self.rows_of_differences()
        )
        notes = "".join(map(paragraph, (self.draws(), *self.notes)))
        head = paragraph(self.verdict, strong=True) + paragraph(self.cost)
        return f"{head}{told}{against}{folded('Of what these are means', notes)}"


def _label(name: str) -> str:
    """A metric's words and unit, in the width of a table."""
    metric = metric_named(name)
    text = f"{metric.words} %" if metric.percent else metric.words
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def verdict_on_subset(
    scores: Sequence[Score],
    differences: Sequence[Difference],
    *,
    bounded: bool = False,
    objective: str = "accuracy",
    seeds: int = 5,
) -> str:
    """The sentences that say what is lost, and whether the subset is worth having.

    Losses come first: metrics and classes in which the subset is worse than the better of its
    random peers, see `Losses`. Worth it is only what is better in what is judged by, and worse
    beyond its own interval in nothing.
    """
    losses = Losses.of(differences, seeds, objective)
    words, keeps = metric_named(objective).words, _keeps(scores, objective, bounded)
    peers = _against_random(differences, objective)
    balanced = _against_random(differences, "balanced_accuracy")
    # the other way that the subset is least sure to beat
    least, rare = (min(found, key=_surely) for found in (peers, balanced))
    worse = [each for each in peers if each.worse]
    lost, end = losses.first(), f"{losses.doubt()}.{losses.advice()}"
    if all(each.better for each in peers):
        return (
            f"{lost}{_worth(losses, f'in {words}')}: against {WAYS[least.against]} of the same "
            f"size it has {points(least)} of {words}, and {keeps}{end}"
        )
    if objective == "accuracy" and all(each.better for each in balanced):
        return (
            f"{lost}{_worth(losses, 'where rare classes matter')}: against {WAYS[rare.against]} of "
            f"the same size it has {points(rare)} of balanced accuracy, "
            f"{points(least)} of {words}, and {keeps}{end}"
        )
    if worse:
        least = min(worse, key=_at_best)
    does = "better here" if worse else f"as well here{_in(losses, words)}"
    sure = "" if worse else ", as far as these draws can tell"
    take = "" if losses.gains and not worse and not lost else "; take it"
    return (
        f"{lost}Random does {does}{sure}{take}: against {WAYS[least.against]} of the same size the "
        f"subset has {points(least)} of {words}, and {keeps}{losses.praise()}{end}"
    )


def _worth(losses: Losses, where: str) -> str:
    """What is said of a subset that is better in something."""
    if losses.sure:
        return f"It is better {where}"
    if losses.likely:
        return f"The subset is better {where}"
    return f"The subset is worth it{'' if where.startswith('in ') else f' {where}'}"


def _in(losses: Losses, words: str) -> str:
    # where something else is told apart, what is not has to be named
    return f" in {words}" if losses.sure or losses.gains else ""


def _keeps(scores: Sequence[Score], objective: str, bounded: bool) -> str:
    """What the subset keeps of training on everything, in the metric that is judged by."""
    whole = {score.way: score for score in scores if score.model == ALL_MODELS}
    rows = whole["everything"].rows
    everything = f"training on {f'{rows:,} rows' if bounded else 'everything'}"
    own, full = whole["subset"].value(objective), whole["everything"].value(objective)
    metric = metric_named(objective)
    assert own is not None
    assert full is not None
    if metric.percent and metric.higher_is_better:
        return f"keeps {own / max(full, 1e-9):.1%} of the {metric.words} of {everything}"
    shown = [shown_value(objective, value) for value in (own, full)]
    return f"its {metric.words} is {shown[0]} where that of {everything} is {shown[1]}"


def _surely(each: Difference) -> float:
    """How much better the subset is at least."""
    sign = metric_named(each.metric).sign
    return min(sign * each.low, sign * each.high)


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


def _at_best(each: Difference) -> float:
    """How much better the subset is at most."""
    sign = metric_named(each.metric).sign
    return max(sign * each.low, sign * each.high)


def _against_random(differences: Sequence[Difference], metric: str) -> list[Difference]:
    return [
        each
        for each in differences
        if (each.metric, each.model) == (metric, ALL_MODELS)
        and each.against in ("random", "stratified")
    ]
