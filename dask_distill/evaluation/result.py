"""What an evaluation found: means, paired differences with intervals, and the verdict in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.statistics import (
    ALL_MODELS,
    EVEN,
    Compared,
    Difference,
    Score,
    plain_fields,
    points,
)
from dask_distill.evaluation.training import Trial
from dask_distill.support.text import shown_table

WAYS = {
    "subset": "the subset",
    "random": "a random subset",
    "stratified": "a class-stratified random subset",
    "everything": "everything",
}


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
    copies : Copies or None
        Copies of test rows among the rows trained on, which the verdict counts in.
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

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return plain_fields(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The evaluation that `as_dict` was called on; unknown keys are left out."""
        values = {field.name: plain[field.name] for field in fields(cls) if field.name != "copies"}
        # what was written before copies were looked for has none
        values["copies"] = Copies.from_dict(plain.get("copies"))
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
