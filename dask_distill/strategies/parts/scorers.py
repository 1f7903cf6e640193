"""What turns rows into scores: a proxy, what was measured before, or scores that are given."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.proxy.criteria import named_criteria
from dask_distill.proxy.fitting import judge_of
from dask_distill.proxy.models import Proxy, score
from dask_distill.proxy.scaling import Scaling
from dask_distill.survey.schema import Sample, Schema

Scores = dict[str, npt.NDArray[np.float32]]

# the scores that a coreset shows
REPORTED = tuple(named_criteria(reported=True))


@dataclass(frozen=True)
class Scorer:
    """A proxy with the scaling it wants."""

    proxy: Proxy
    scaling: Scaling

    @classmethod
    def of(cls, schema: Schema, proxy: Any) -> "Scorer":
        """With the user's estimator, or one that is fitted here."""
        return cls(judge_of(schema, "linear", proxy), Scaling.of(schema))

    def __call__(self, rows: Block | Sample) -> Scores:
        """What a coreset shows, of a block or of the survey's sample."""
        return self.named(rows, REPORTED)

    def named(self, rows: Block | Sample, names: Collection[str]) -> Scores:
        """Scores by their names; those that need labels where there are some."""
        asked = (rows.X, rows.rows, rows.codes, rows.probabilities)
        sampled = isinstance(rows, Sample)
        return score(self.proxy, self.scaling, *asked, sampled=sampled, names=names)


@dataclass(frozen=True)
class GivenScores:
    """Stands for the judge where the scores of all rows are there already.

    Attributes
    ----------
    criteria : tuple of str
        Of the columns of each block's scores.
    judge : EstimatorProxy, fitted estimator or None
        By what they were made, for those that score the survey's sample: as in `Strategy.ask`.
    """

    criteria: tuple[str, ...]
    judge: Any = None

    def __call__(self, rows: Block | Sample) -> Scores:
        """What a coreset shows, of a block."""
        return self.named(rows, REPORTED)

    def named(self, rows: Block | Sample, names: Collection[str]) -> Scores:
        """Scores by their names, as far as they are there."""
        assert isinstance(rows, Block)
        assert rows.scores is not None
        return {
            name: np.ascontiguousarray(values)
            for name, values in zip(self.criteria, rows.scores.T, strict=True)
            if name in names
        }


@dataclass(frozen=True)
class NoveltyScorer:
    """Shows what was measured before: by the reduction, unless something else is named."""

    name: str = "novelty"

    def __call__(self, rows: Block | Sample) -> dict[str, npt.NDArray[np.float32]]:
        """The reconstruction errors, or what is named."""
        if rows.novelty is None:
            raise ValueError(f"rows must have been measured to have {self.name}, got none")
        return {self.name: rows.novelty}
