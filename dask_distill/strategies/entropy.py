"""`entropy`: the rows that the proxy is least sure of (the paper's criterion)."""

from dataclasses import dataclass
from typing import ClassVar

from dask_distill.strategies.base import Ranges
from dask_distill.strategies.parts.sampling import Scored


@dataclass(frozen=True)
class Entropy(Scored):
    """The rows of highest entropy of the proxy's class probabilities, or a sample by it.

    Uncertainty sampling. At small fractions the highest entropies are the border between the
    classes alone, and a model trained on them does worse than on a random subset. Every row
    then weighs n / size: the selection is not a sample, and no weights can make it one. With
    ``sample=True`` it is one, and weights are the inverse of the rows' chances: estimates stay
    those of the whole data, for models that take weights; those that do not, such as nearest
    neighbours, see a distorted set. Without labels both work with the user's own fitted
    ``proxy``.

    Sample weights do not change which rows have the highest scores: these then weigh in proportion
    to their own. A sample is drawn in proportion to score times weight.

    Parameters
    ----------
    sample : bool
        Draw rows in proportion to their entropy instead of taking the highest.
    floor : float
        Part of a row's chance that does not depend on its score, above 0 and at most 1; no
        weight exceeds n / (size * floor) by much.

    References
    ----------
    Settles (2009), Active Learning Literature Survey; Rosén (1997), On sampling with
    probability proportional to size.
    """

    name: ClassVar[str] = "entropy"
    when: ClassVar[str] = "rows to label next; or weighted estimates"
    ranges: ClassVar[Ranges | None] = {"floor": (0.05, 0.9)}
    criterion: ClassVar[str] = "entropy"
    trap: ClassVar[str] = (
        "strategy entropy keeps the rows of highest entropy; at small fractions those are the "
        "border between classes alone, and models trained on them do worse than on random "
        "rows; use auto unless this is what you want, or sample=True / --option sample=true"
    )

    def requires_labels(self, proxy: object) -> bool:
        """The user's model can be unsure of rows that have no label."""
        return proxy is None
