"""What was found about synthetic rows: accuracies, distances, and the verdict in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.result import WAYS
from dask_distill.evaluation.statistics import (
    ALL_MODELS,
    MAJORITY,
    Compared,
    Difference,
    Score,
    plain_fields,
    points,
)
from dask_distill.support.metrics import RIGHT
from dask_distill.support.text import as_page, shown_table

SYNTHETIC_WAYS = {
    "synthetic": "synthetic rows",
    "subset": "the subset",
    "both": "both together",
    "stratified": "class-stratified random rows",
    "everything": WAYS["everything"],
    MAJORITY: WAYS[MAJORITY],
}


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """How far rows are from real rows that were not selected: 0 is alike.

    Attributes
    ----------
    way : str
        "synthetic", "subset" or "stratified".
    rows : int
    wasserstein : float
        Mean over columns, in standard deviations of the real rows.
    kolmogorov_smirnov : float
        Mean over columns of the largest difference of distribution functions.
    total_variation : float
        Of the classes.
    correlation : float
        Mean difference of correlations, over pairs of columns.
    """

    way: str
    rows: int
    wasserstein: float
    kolmogorov_smirnov: float
    total_variation: float
    correlation: float

    @property
    def kinds(self) -> tuple[float, ...]:
        """The four distances in order."""
        names = ("wasserstein", "kolmogorov_smirnov", "total_variation", "correlation")
        return tuple(getattr(self, name) for name in names)


@dataclass(frozen=True, kw_only=True)
class Privacy:
    """How near synthetic rows are to the real ones that they were learnt from.

    Attributes
    ----------
    median, median_held_out : float
        Distance to the nearest of those, of synthetic rows and of real rows that were not seen.
    near : float
        Nearer than this are but 5 % of the rows that were not seen.
    nearer : float
        Part of the synthetic rows that are.
    copies, copies_held_out : float
        Part of the rows that equal one of those they were learnt from.
    """

    median: float
    median_held_out: float
    near: float
    nearer: float
    copies: float
    copies_held_out: float

    @property
    def verdict(self) -> str:
        """One sentence."""
        copies = f"{self.copies:.1%} are copies"
        if self.copies > self.copies_held_out + 0.001:
            return (
                f"Synthetic rows are not private: {copies} of real ones that they were learnt "
                f"from ({self.copies_held_out:.1%} of real rows that were not seen)."
            )
        if self.nearer > 0.1:
            return (
                f"Synthetic rows are not private: {self.nearer:.0%} are nearer to a real row that "
                "they were learnt from than all but 5 % of the real rows that were not seen."
            )
        return (
            f"Synthetic rows keep about the distance of real rows that were not seen ({copies}); "
            "that is no proof of privacy."
        )


@dataclass(frozen=True, kw_only=True)
class SyntheticEvaluation(Compared):
    """What synthetic rows are good for, beside the subset they were made from.

    Attributes
    ----------
    verdict : str
        One sentence: synthetic rows or the subset?
    added : Difference
        What adding synthetic rows to the subset changes, in accuracy; "against" is "subset".
    method : str
    rows, made, selected, test_rows : int
        Of the data, synthetic, of the subset, and of one test.
    classes : int
    seeds : tuple of int
    scores : tuple of Score
        Ways are "synthetic", "subset", "both", "stratified", "everything" and "majority".
    differences : tuple of Difference
        Of synthetic rows to the other ways.
    fidelity : tuple of Fidelity
    privacy : Privacy
    notes : tuple of str
    copies : Copies or None
        Copies of test rows among the real rows trained on, which the verdict counts in.
    """

    verdict: str
    added: Difference
    method: str
    rows: int
    made: int
    selected: int
    test_rows: int
    classes: int
    seeds: tuple[int, ...]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    fidelity: tuple[Fidelity, ...]
    privacy: Privacy
    notes: tuple[str, ...]
    copies: Copies | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {"synthetic": True} | plain_fields(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The evaluation that `as_dict` was called on; unknown keys are left out."""
        values = {field.name: plain[field.name] for field in fields(cls) if field.name != "copies"}
        return cls(
            **values
            | {
                "copies": Copies.from_dict(plain.get("copies")),
                "added": Difference(**plain["added"]),
                "scores": tuple(Score.from_dict(each) for each in plain["scores"]),
                "differences": tuple(Difference(**each) for each in plain["differences"]),
                "fidelity": tuple(Fidelity(**each) for each in plain["fidelity"]),
                "privacy": Privacy(**plain["privacy"]),
                "seeds": tuple(plain["seeds"]),
                "notes": tuple(plain["notes"]),
            }
        )

    @property
    def ways(self) -> list[tuple[str, Score]]:
        """What was trained on, in words, with the means over all models."""
        return [(words, self.score(way)) for way, words in self._measured().items()]

    def _measured(self) -> dict[str, str]:
        # older versions did not measure all of them
        known = {score.way for score in self.scores}
        return {way: words for way, words in SYNTHETIC_WAYS.items() if way in known}

    @property
    def gaps(self) -> list[tuple[str, list[str]]]:
        """Points of synthetic rows against each other way, for each metric."""
        return [
            (words, [points(self.difference(way, metric)) for metric in RIGHT])
            for way, words in self._measured().items()
            if way != "synthetic"
        ]

    @property
    def distances(self) -> list[tuple[str, Fidelity]]:
        """Fidelities with their ways in words."""
        return [(SYNTHETIC_WAYS[each.way], each) for each in self.fidelity]

    @property
    def addition(self) -> str:
        """The sentence on adding synthetic rows to the subset."""
        return f"Added to the subset, synthetic rows change its accuracy by {points(self.added)}."

    def __str__(self) -> str:
        return self.as_text()

    def as_text(self, width: int | None = None) -> str:
        """The tables and the verdicts, for a terminal.

        Parameters
        ----------
        width : int, optional
            Columns of the terminal; lines are as long as they are unless given.
        """
        head = ("trained on", "rows", "accuracy", "balanced", "worst class")
        lines: list[tuple[str, ...]] = [head]
        for words, found in self.ways:
            parts = (found.accuracy, found.balanced_accuracy, found.worst_class_recall)
            lines.append((words, f"{found.rows:,}", *(f"{part:.1%}" for part in parts)))
        far: list[tuple[str, ...]] = [
            ("distance to real rows", "Wasserstein", "KS", "classes", "correlation")
        ]
        for words, each in self.distances:
            far.append((words, *(f"{kind:.3f}" for kind in each.kinds)))
        tables = [*shown_table(lines, width), "", *shown_table(far, width)]
        told = (self.verdict, self.addition, self.privacy.verdict, *self.notes)
        return as_page(tables, told, width)


def verdict_on_synthetic(scores: Sequence[Score], differences: Sequence[Difference]) -> str:
    """The sentence that says which rows to train on."""
    whole = {score.way: score for score in scores if score.model == ALL_MODELS}
    gap = next(
        each
        for each in differences
        if (each.against, each.metric, each.model) == ("subset", "accuracy", ALL_MODELS)
    )
    shares = [whole[way].accuracy / max(whole["everything"].accuracy, 1e-9) for way in _COMPARED]
    kept = (
        f"{points(gap)} of accuracy; they keep {shares[0]:.1%} of that of training on everything, "
        f"the subset {shares[1]:.1%}"
    )
    if gap.worse:
        return f"The subset is better; train on it: against it synthetic rows have {kept}."
    if gap.better:
        return f"Synthetic rows are better here: against the subset they have {kept}."
    return (
        "Synthetic rows are no better than the subset, as far as these draws can tell; train on "
        f"the subset: against it they have {kept}."
    )


_COMPARED = ("synthetic", "subset")
