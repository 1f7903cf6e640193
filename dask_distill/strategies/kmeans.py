"""`kmeans`: the rows nearest to the centers of k-means clusters.

Seeds come from k-means||: draws in proportion to the squared distance to what was drawn
before, over all blocks, clustered on the coordinator. Lloyd's rounds add up sums by block. A
conversation rather than dask-ml's KMeans: that one draws in the order of the chunks, so that
its centers change with them, and holds a matrix of all rows by all centers.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.strategies.base import METRIC, SCALE, TARGETS, Footprint, Ranges
from dask_distill.strategies.parts.clustering import (
    DRAWS,
    Approach,
    Clustering,
    begin,
)
from dask_distill.strategies.parts.held import Features, Floats, Held, Rows, with_nearest
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import Inquiry, side_by_side
from dask_distill.strategies.parts.stepwise import RowChoice, Stepwise
from dask_distill.support.options import Interval, option
from dask_distill.survey.schema import Schema


@dataclass(frozen=True)
class Closest:
    """Of each cluster that is not empty: what it stands for, and the row nearest to the center."""

    clusters: Rows
    counts: Rows
    rows: Rows
    squared: Floats
    inertia: float

    def merge(self, other: "Closest") -> "Closest":
        """Counts add up; of two rows the nearer one, or the first."""
        clusters = np.concatenate([self.clusters, other.clusters])
        rows = np.concatenate([self.rows, other.rows])
        squared = np.concatenate([self.squared, other.squared])
        order = np.lexsort((rows, squared, clusters))
        first = order[np.flatnonzero(np.diff(clusters[order], prepend=-1))]
        place = np.searchsorted(clusters[first], clusters)
        counts = np.zeros(len(first), np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        return Closest(
            clusters[first], counts, rows[first], squared[first], self.inertia + other.inertia
        )


@dataclass(frozen=True)
class Nearest:
    """Which of your rows is nearest to each center?"""

    aim: Clustering
    centers: Features

    def observe(self, state: Held) -> Held:
        """Assign once more: the centers have moved."""
        return with_nearest(state, self.centers)

    def answer(self, state: Held) -> Closest:
        """Of the rows of each cluster."""
        nearest, squared = state.assigned
        alone = Closest(
            nearest,
            state.weighed(np.ones(len(state.rows))).astype(np.int64),
            state.rows,
            squared,
            float(state.weighed(squared).sum()),
        )
        empty = Closest(nearest[:0], alone.counts[:0], state.rows[:0], squared[:0], 0.0)
        return alone.merge(empty)

    def advance(self, answer: Closest) -> Any:
        """The choice, or first the rows that stand in for empty clusters."""
        if len(answer.clusters) < self.aim.size:
            return Fill(self, answer, self.aim.size - len(answer.clusters))
        return self.choice(answer, Far.none())

    def choice(self, answer: Closest, far: "Far") -> RowChoice:
        """A row that stands in takes its own from the weight of its cluster."""
        counts = answer.counts.copy()
        np.subtract.at(counts, np.searchsorted(answer.clusters, far.clusters), far.masses)
        distances = np.sqrt(np.concatenate([answer.squared, far.squared]))
        return RowChoice.of(
            np.concatenate([answer.rows, far.rows]),
            np.concatenate([counts, far.masses]).astype(np.float64),
            {"center_distance": distances.astype(np.float32)},
            {"inertia": answer.inertia, "clusters": len(answer.clusters)},
        )


@dataclass(frozen=True)
class Far:
    """Rows far from their center, and what they stand for."""

    rows: Rows
    clusters: Rows
    squared: Floats
    masses: Rows
    most: int

    @classmethod
    def none(cls) -> "Far":
        """No row."""
        none = np.empty(0, np.int64)
        return cls(none, none, np.empty(0), none, 0)

    def merge(self, other: "Far") -> "Far":
        """The farthest of both; of equal ones the first."""
        return side_by_side(self, other).farthest()

    def kept(self, which: npt.NDArray[Any]) -> "Far":
        """Some of them."""
        clusters, squared = self.clusters[which], self.squared[which]
        return Far(self.rows[which], clusters, squared, self.masses[which], self.most)

    def farthest(self) -> "Far":
        """No more than are wanted."""
        order = np.lexsort((self.rows, -self.squared))[: self.most]
        return self.kept(order)


@dataclass(frozen=True)
class Fill(Inquiry):
    """Which rows, beside those chosen, are farthest from their center?"""

    last: Nearest
    closest: Closest
    missing: int

    def answer(self, state: Held) -> Far:
        """As many as are missing."""
        nearest, squared = state.assigned
        free = ~np.isin(state.rows, self.closest.rows)
        masses = state.weighed(np.ones(len(state.rows))).astype(np.int64)
        far = Far(state.rows, nearest, squared, masses, self.missing)
        return far.kept(free).farthest()

    def advance(self, answer: Far) -> RowChoice:
        """The choice."""
        return self.last.choice(self.closest, answer)


@dataclass(frozen=True)
class Means(Clustering):
    """Centers, and then the row nearest to each."""

    def then(self, centers: Features) -> Nearest:
        """Ask for them."""
        return Nearest(self, centers)


@dataclass(frozen=True)
class KMeans(Stepwise):
    """The row nearest to each center of k-means, with the weight of its cluster.

    For a summary of the data by typical rows: weighted sums over the subset are near those over
    all rows. Rare patterns and borders vanish in large clusters, and classes play no part; for
    training, "auto" makes cells inside each class instead. One pass of n * size distances for
    each iteration: dear where size is large.

    Parameters
    ----------
    metric : "euclidean" or "cosine"
        Cosine is the Euclidean distance of rows brought to length 1.
    scale : "none" or "standard"
        Whether features count as they are, or each divided by its standard deviation.
    iterations : int
        Rounds of Lloyd over all rows after seeding, from 0 to 100. By our measurements inertia
        is 16 %, 4 %, 2 % and 1 % above scikit-learn's after 0, 1, 3 and 5. In each, every block
        sends one sum for each cluster it touches: where size is a tenth of the rows, about as
        many bytes as the data has; 0 avoids that.

    Notes
    -----
    Every row selected is the nearest one of its cluster, distinct by construction. Where
    clusters are empty, the rows farthest from their centers make up the number.

    References
    ----------
    Bahmani, Moseley, Vattani, Kumar, Vassilvitskii (2012), Scalable k-means++; Lloyd (1982),
    Least squares quantization in PCM.
    """

    metric: str = option("euclidean", METRIC)
    scale: str = option("none", SCALE)
    iterations: int = option(3, Interval(0, 100), way_out="3 is the default")

    name: ClassVar[str] = "kmeans"
    when: ClassVar[str] = "typical rows that sum up the data: weighted sums"
    tasks: ClassVar[frozenset[str]] = TARGETS
    grows: ClassVar[bool] = True
    ranges: ClassVar[Ranges | None] = {"scale": SCALE.choices}

    def ask(self, schema: Schema, size: int, proxy: Any) -> Approach:
        """Begin with rows of the survey's sample as candidates."""
        space = MetricSpace.of(self.metric, self.scale, schema, centred=True)
        return begin(Means(size, schema.seed, self.iterations), space, schema)

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks hold their rows; sums of the clusters in each block travel every round."""
        rounds = 2 * DRAWS + self.iterations + 3
        per_block = min(size, n) * (8 * d + 24)
        return Footprint(
            rounds=rounds,
            state_bytes_per_row=2 * 4 * d + 40,
            answer_bytes_per_block=per_block,
            pool_rows=(DRAWS + 1) * size,
        )
