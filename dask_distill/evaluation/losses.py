"""In what is the subset worse? Metrics looked at together, and the sentences on them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from dask_distill.evaluation.statistics import ALL_MODELS, Difference, points, widened
from dask_distill.evaluation.training import Trial
from dask_distill.support.metrics import METRICS, RECALL, metric_named, signed_number

# what is told of each model but a part of the others: a Brier score and a calibration error are
# of the log loss's kind, and the worst of several recalls is one of them
_NOT_LOOKED_AT = ("worst_class_recall", "brier", "calibration_error")
_DRAWS = {"random": "a random one", "stratified": "a class-stratified random one"}
_MOST_NAMED = 4


@dataclass(frozen=True)
class Losses:
    """Where a subset is worse than the better of its random peers.

    What is looked at is set before anything is measured: the metric that is judged by, accuracy,
    balanced accuracy, ROC AUC, average precision of the rarest class, log loss, the user's
    scorers, and the recalls of at most 20 classes. Of each, the difference to the better of the
    random and the class-stratified subset counts. The more are looked at, the likelier is a bad
    draw among them; so ``sure`` is what is worse beyond an interval for all of them together
    (Bonferroni: 0.05 / their number for the end that counts). ``likely`` is what is worse beyond
    its own 95 % interval alone, of metrics and the rarest class's recall: doubt enough not to
    call a subset worth it.

    Attributes
    ----------
    sure, likely : tuple of Difference
        Worse beyond the common interval, which they have; and beyond their own alone.
    gains : tuple of Difference
        Better than both beyond the common interval.
    unweighted : tuple of Difference
        Metrics in which training without the weights is better beyond the common interval.
    looked_at : int
    """

    sure: tuple[Difference, ...]
    likely: tuple[Difference, ...]
    gains: tuple[Difference, ...]
    unweighted: tuple[Difference, ...]
    looked_at: int

    @classmethod
    def of(cls, differences: Sequence[Difference], seeds: int, objective: str = "accuracy") -> Self:
        """Of all differences that were measured, with so many seeds."""
        whole = [each for each in differences if each.model == ALL_MODELS]
        names = [
            name
            for name in dict.fromkeys(each.metric for each in whole)
            if name not in _NOT_LOOKED_AT or name == objective
        ]
        names.sort(key=lambda name: (name != objective, name.startswith(RECALL)))
        sure, likely, gains, unweighted = [], [], [], []
        for name in names:
            mine = {each.against: each for each in whole if each.metric == name}
            drawn = [each for way, each in mine.items() if way in _DRAWS]
            sign = metric_named(name).sign
            if drawn:
                other = _harder(drawn, sign)
                wide = widened(other, len(names), seeds)
                if wide.worse:
                    sure.append(wide)
                elif other.worse and name not in (objective, *_but_first(names)):
                    likely.append(other)
                elif name != objective and all(
                    widened(each, len(names), seeds).better for each in drawn
                ):
                    gains.append(wide)
            # one class's recall can always be had for another's
            if "unweighted" in mine and not name.startswith(RECALL):
                wide = widened(mine["unweighted"], len(names), seeds)
                unweighted += [wide] if wide.worse else []
        return cls(tuple(sure), tuple(likely), tuple(gains), tuple(unweighted), len(names))

    def first(self) -> str:
        """The sentence that comes before all others; nothing where there is no loss for sure."""
        parts: list[str] = []
        for way, words in _DRAWS.items():
            mine = [each for each in self.sure if each.against == way]
            if mine:
                than = words if parts else f"{words} of its size"
                parts.append(f"than {than} in {_named(mine)}")
        return f"The subset is worse {', and '.join(parts)}. " if parts else ""

    def doubt(self) -> str:
        """What may be lost, as the end of a sentence."""
        if not self.likely:
            return ""
        told = [f"{metric_named(each.metric).words}, {points(each)}" for each in self.likely]
        return f"; it may be worse in {', in '.join(told[:_MOST_NAMED])}"

    def praise(self) -> str:
        """What is won beside what is judged by, as the end of a sentence."""
        return f"; it is better in {_named(self.gains)}" if self.gains else ""

    def advice(self) -> str:
        """The sentence on training without weights."""
        if not self.unweighted:
            return ""
        told = [
            f"{metric_named(each.metric).words} (with them {bracketed(each)})"
            for each in self.unweighted
        ]
        return f" Train without the weights for {' and '.join(told)}."

    def notes(self) -> tuple[str, ...]:
        """For people: what the intervals of the verdict are."""
        if not self.sure and not self.gains and not self.unweighted:
            return ()
        return (
            f"Intervals in square brackets hold for all {self.looked_at} metrics and recalls "
            "looked at together; all others are of 95 % for one alone.",
        )


def _harder(drawn: Sequence[Difference], sign: int) -> Difference:
    """To the better of the draws; of two that are alike the last, so that they are named as one."""
    least = min(sign * each.mean for each in drawn)
    return [each for each in drawn if sign * each.mean <= least + each.half / 10][-1]


def _but_first(names: Sequence[str]) -> list[str]:
    """Recalls, without that of the rarest class, which comes first."""
    return [name for name in names if name.startswith(RECALL)][1:]


def _named(found: Sequence[Difference]) -> str:
    """Metrics with their differences, as part of a sentence."""
    shown = [f"{metric_named(each.metric).words} ({bracketed(each)})" for each in found]
    if len(shown) > _MOST_NAMED:
        shown = [*shown[:_MOST_NAMED], f"{len(shown) - _MOST_NAMED} more"]
    *most, last = shown
    return f"{', in '.join(most)} and in {last}" if most else last


def bracketed(each: Difference) -> str:
    """A difference with its interval, for the inside of brackets.

    Examples
    --------
    >>> bracketed(Difference.of("random", "log_loss", "all models", (0.25, 0.21, 0.29)))
    '+0.250 [+0.210, +0.290]'
    """
    mean, low, high = (signed_number(each.metric, v) for v in (each.mean, each.low, each.high))
    unit = " points" if metric_named(each.metric).percent else ""
    return f"{mean}{unit} [{low}, {high}]"


def untold(trials: Sequence[Trial]) -> tuple[str, ...]:
    """A line on models that give no probabilities, where there are some."""
    notes = []
    models = dict.fromkeys(trial.model for trial in trials if trial.way == trials[0].way)
    for names in (("log_loss", "brier", "calibration_error"), ("roc_auc", "average_precision")):
        without = [
            model
            for model in models
            if all(math.isnan(t.value(n)) for t in trials if t.model == model for n in names)
        ]
        if without:
            *most, last = [METRICS[name].words for name in names]
            notes.append(
                f"{', '.join(most)} and {last} are without {', '.join(without)}, which "
                + ("gives no probabilities." if len(without) == 1 else "give no probabilities.")
            )
    return tuple(notes)
