"""`novelty`: the rows that a reduction makes again worst."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dask_distill.strategies.base import TARGETS
from dask_distill.strategies.parts.sampling import Scored
from dask_distill.strategies.parts.scorers import NoveltyScorer
from dask_distill.survey.schema import Schema


@dataclass(frozen=True)
class Novelty(Scored):
    """The rows of highest reconstruction error, or a sample in proportion to it.

    Needs ``reduce="autoencoder:32"`` or ``"pca:32"`` (any number): the score is the mean over
    the features of the squared difference between a row and what the reduction makes of its
    few numbers, in units of the features' standard deviations. The highest are what is unlike
    all else: rare patterns, faults, damage. To look at, not to train on: every row then weighs
    n / size. With ``sample=True`` rows are drawn in proportion, and weights are the inverse of
    the rows' chances, so that rare patterns are there and averages over the data stay right.

    Sample weights do not change which rows have the highest scores: these then weigh in proportion
    to their own. A sample is drawn in proportion to score times weight.

    Parameters
    ----------
    sample : bool
        Draw rows in proportion to their error instead of taking the highest.
    floor : float
        Part of a row's chance that does not depend on its score, above 0 and at most 1.

    References
    ----------
    Hawkins, He, Williams, Baxter (2002), Outlier detection using replicator neural networks.
    """

    name: ClassVar[str] = "novelty"
    when: ClassVar[str] = "rows to look at: unlike all others"
    tasks: ClassVar[frozenset[str]] = TARGETS
    needs_labels: ClassVar[bool] = False
    uses_proxy: ClassVar[bool] = False
    needs_novelty: ClassVar[bool] = True
    criterion: ClassVar[str] = "novelty"
    trap: ClassVar[str] = (
        "strategy novelty keeps the rows that are least like the others, faults and outliers "
        "first; models trained on them do worse than on random rows; use auto to train, or "
        "sample=True / --option sample=true to have a weighted sample"
    )

    def scorer(self, schema: Schema, proxy: Any) -> NoveltyScorer:
        """What the reduction has measured."""
        return NoveltyScorer()
