"""What scores rows: a proxy with the scaling it wants, or what the reduction has measured."""

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
class NoveltyScorer:
    """Shows what the reduction has measured."""

    def __call__(self, rows: Block | Sample) -> dict[str, npt.NDArray[np.float32]]:
        """The reconstruction errors."""
        assert rows.novelty is not None
        return {"novelty": rows.novelty}
