"""`kmedoids`: rows with the least mean distance of all rows to the nearest one, by swaps."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dask_distill.strategies.base import METRIC, SCALE, TARGETS, Footprint
from dask_distill.strategies.parts.exemplars import (
    AS_USUAL,
    CHEAP,
    OVERSAMPLE,
    OfferExemplars,
    first_question,
)
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.stepwise import Stepwise
from dask_distill.support.options import option
from dask_distill.survey.schema import Schema


@dataclass(frozen=True)
class KMedoids(Stepwise):
    """Medoids: actual rows at the heart of their clusters, robust to outliers.

    Blocks choose candidates greedily; each stands, with its weight, for the rows nearest to it;
    among them medoids are swapped while that lowers the cost (FasterPAM, on parts of the space
    of 2,048 candidates). For summaries that must be real rows and distances that must not be
    squared. As with k-means, rare patterns and class borders are not its matter. Labels play no
    part. Each medoid weighs the rows that are nearest to it.

    Parameters
    ----------
    metric : "euclidean" or "cosine"
    scale : "none" or "standard"
        Whether features count as they are, or each divided by its standard deviation.
    oversample : float
        Candidates for each medoid, from 1 to 20; the more, the nearer to PAM on all rows.

    References
    ----------
    Kaufman, Rousseeuw (1990), Finding Groups in Data (PAM); Schubert, Rousseeuw (2021), Fast
    and eager k-medoids clustering: O(k) runtime improvement of the PAM, CLARA, and CLARANS
    algorithms; Ene, Im, Moseley (2011), Fast clustering using MapReduce.
    """

    metric: str = option("euclidean", METRIC)
    scale: str = option("none", SCALE)
    oversample: float = option(3.0, OVERSAMPLE, way_out=AS_USUAL)

    name: ClassVar[str] = "kmedoids"
    when: ClassVar[str] = "typical rows, which stray rows hardly move"
    tasks: ClassVar[frozenset[str]] = TARGETS
    grows: ClassVar[bool] = True

    def ask(self, schema: Schema, size: int, proxy: Any) -> OfferExemplars:
        """All rows are one group."""
        space = MetricSpace.of(self.metric, self.scale, schema)
        return first_question(schema, space, np.array([size], np.int64), self.oversample, swap=True)

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks hold their rows; candidates meet."""
        return Footprint(
            rounds=2,
            state_bytes_per_row=2 * 4 * d + 24,
            answer_bytes_per_block=8.0 * size,
            pool_rows=max(self.oversample * size, CHEAP),
        )
