"""`gradient`: the rows whose loss gradient is longest (the paper's criterion)."""

from dataclasses import dataclass
from typing import ClassVar

from dask_distill.strategies.base import TARGETS, Ranges
from dask_distill.strategies.parts.sampling import Scored


@dataclass(frozen=True)
class Gradient(Scored):
    """The rows of highest gradient norm under the proxy, or a sample in proportion to it.

    At small fractions the longest gradients are the mislabelled and borderline rows, and a
    model trained on them does far worse than one trained on a random subset. Of use at large
    fractions of clean data, or to find suspicious labels. Every row then weighs n / size: the
    selection is not a sample, and no weights can make it one. With ``sample=True`` it is one
    (OSMAC, criterion L), and weights are the inverse of the rows' chances: for weighted fits
    of models like the proxy it estimates best; as training data at small fractions it still
    falls short of a stratified random subset, far with models that ignore weights.

    Sample weights do not change which rows have the highest scores: these then weigh in proportion
    to their own. A sample is drawn in proportion to score times weight.

    Parameters
    ----------
    sample : bool
        Draw rows in proportion to their gradient norm instead of taking the longest.
    floor : float
        Part of a row's chance that does not depend on its score, above 0 and at most 1; no
        weight exceeds n / (size * floor) by much.

    References
    ----------
    Paul, Ganguli, Dziugaite (2021), Deep Learning on a Data Diet; Wang, Zhu, Ma (2018), Optimal
    subsampling for large sample logistic regression; Yao, Wang (2019), Optimal subsampling for
    softmax regression; Rosén (1997), On sampling with probability proportional to size.
    """

    name: ClassVar[str] = "gradient"
    when: ClassVar[str] = "rows to look at: suspicious labels; or weighted estimates"
    tasks: ClassVar[frozenset[str]] = TARGETS
    ranges: ClassVar[Ranges | None] = {"floor": (0.05, 0.9)}
    criterion: ClassVar[str] = "gradient"
    trap: ClassVar[str] = (
        "strategy gradient keeps the rows of highest gradient norm; at small fractions those "
        "are mislabelled and borderline rows, and models trained on them do worse than on "
        "random rows; use auto unless this is what you want, or sample=True / --option sample=true"
    )
