"""`kmeans`: the rows nearest to the centers of k-means clusters.

Seeds come from k-means||: draws in proportion to the squared distance to what was drawn
before, over all blocks, clustered on the coordinator. Lloyd's rounds add up sums by block. A
conversation rather than dask-ml's KMeans: that one draws in the order of the chunks, so that
its centers change with them, and holds a matrix of all rows by all centers.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dask_distill.block import Block
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.kmeans import cluster_sums, weighted_kmeans
from dask_distill.kernels.nearest import nearest_center, update_squared_distances
from dask_distill.kernels.sampling import uniforms
from dask_distill.strategies.base import Footprint
from dask_distill.strategies.space import Space
from dask_distill.strategies.steps import Features, Floats, Held, Pool, Rows
from dask_distill.strategies.stepwise import Picks, Stepwise
from dask_distill.survey import Schema

# draws of k-means||, each of as many rows as there are centers, about
DRAWS = 3
_STREAM = 16
_STREAM_FIRST = 7


@dataclass(frozen=True)
class Clustering:
    """What is wanted, and what follows when the centers are found."""

    size: int
    seed: int
    iterations: int

    def weights(self, counts: Rows) -> Floats:
        """What candidates weigh that stand for so many rows."""
        return counts.astype(np.float64)

    def then(self, centers: Features) -> Any:
        """The step that follows when the centers are found."""
        return Nearest(self, centers)


@dataclass(frozen=True)
class Spread:
    """By candidate the rows nearest to it, and the sum of squared distances."""

    counts: Rows
    squared: float

    def merge(self, other: "Spread") -> "Spread":
        """They add up."""
        return Spread(self.counts + other.counts, self.squared + other.squared)


@dataclass(frozen=True)
class Approach:
    """Bring your distances up to date with the last candidates; how far are you from them?"""

    aim: Clustering
    space: Space
    pool: Features
    known: int
    draw: int = 0

    def observe(self, state: Block | Held) -> Held:
        """Exactly, for every row."""
        held = Held.of(state, self.space) if isinstance(state, Block) else state
        if held.nearest is None or held.squared is None:
            nearest, squared = nearest_center(held.X, self.pool)
            return replace(held, nearest=nearest, squared=squared)
        nearest, squared = held.nearest.copy(), held.squared.copy()
        fresh = self.pool[self.known :]
        update_squared_distances(held.X, squared, fresh, nearest=nearest, first=self.known)
        return replace(held, nearest=nearest, squared=squared)

    def answer(self, state: Held) -> Spread:
        """Rows by candidate, and the sum of squares."""
        assert state.nearest is not None
        assert state.squared is not None
        counts = np.bincount(state.nearest, minlength=len(self.pool)).astype(np.int64)
        return Spread(counts, float(state.squared.sum()))

    def advance(self, answer: Spread) -> Any:
        """Draw more, or cluster the candidates."""
        if self.draw < DRAWS and answer.squared > 0:
            return Oversample(self, self.aim.size / answer.squared)
        used = np.flatnonzero(answer.counts)
        centers = np.ascontiguousarray(self.pool[used])
        if len(used) > self.aim.size:
            weights = self.aim.weights(answer.counts[used])
            centers = weighted_kmeans(centers, weights, self.aim.size, self.aim.seed)
        if self.aim.iterations == 0:
            return self.aim.then(centers)
        return Lloyd(self.aim, centers, self.aim.iterations)


@dataclass(frozen=True)
class Oversample:
    """Send rows, each with a chance in proportion to its squared distance."""

    last: Approach
    rate: float

    def observe(self, state: Held) -> Held:
        """Nothing changes."""
        return state

    def answer(self, state: Held) -> Pool:
        """By the hash of each row."""
        assert state.squared is not None
        hashes = row_hash(state.rows, self.last.aim.seed, stream=_STREAM + self.last.draw)
        drawn = np.flatnonzero(uniforms(hashes) < self.rate * state.squared)
        return Pool(state.rows[drawn], state.X[drawn], state.squared[drawn])

    def advance(self, answer: Pool) -> Approach:
        """They are candidates."""
        last = self.last
        pool = np.concatenate([last.pool, answer.sorted().X])
        return replace(last, pool=pool, known=len(last.pool), draw=last.draw + 1)


@dataclass(frozen=True)
class Sums:
    """Of each cluster that is not empty: rows, and their sum."""

    clusters: Rows
    counts: Floats
    sums: Floats

    def merge(self, other: "Sums") -> "Sums":
        """They add up."""
        both = np.concatenate([self.clusters, other.clusters])
        clusters, place = np.unique(both, return_inverse=True)
        counts = np.zeros(len(clusters))
        sums = np.zeros((len(clusters), self.sums.shape[1]))
        for part in (self, other):
            at = place[: len(part.clusters)] if part is self else place[len(self.clusters) :]
            counts[at] += part.counts
            sums[at] += part.sums
        return Sums(clusters, counts, sums)


@dataclass(frozen=True)
class Lloyd:
    """Assign your rows to the centers; what do they sum to?"""

    aim: Clustering
    centers: Features
    left: int

    def observe(self, state: Held) -> Held:
        """Exactly."""
        nearest, squared = nearest_center(state.X, self.centers)
        return replace(state, nearest=nearest, squared=squared)

    def answer(self, state: Held) -> Sums:
        """Clusters of this block."""
        assert state.nearest is not None
        return Sums(*cluster_sums(state.X, state.nearest))

    def advance(self, answer: Sums) -> Any:
        """Move the centers; an empty cluster's stays where it is."""
        centers = self.centers.copy()
        centers[answer.clusters] = (answer.sums / answer.counts[:, None]).astype(centers.dtype)
        if self.left > 1 and not np.array_equal(centers, self.centers):
            return replace(self, centers=centers, left=self.left - 1)
        return self.aim.then(centers)


@dataclass(frozen=True)
class Closest:
    """Of each cluster that is not empty: its rows, and the one nearest to the center."""

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
        nearest, squared = nearest_center(state.X, self.centers)
        return replace(state, nearest=nearest, squared=squared)

    def answer(self, state: Held) -> Closest:
        """Of the rows of each cluster."""
        assert state.nearest is not None
        assert state.squared is not None
        alone = Closest(
            state.nearest,
            np.ones(len(state.rows), np.int64),
            state.rows,
            state.squared,
            float(state.squared.sum()),
        )
        empty = Closest(state.nearest[:0], alone.counts[:0], state.rows[:0], state.squared[:0], 0.0)
        return alone.merge(empty)

    def advance(self, answer: Closest) -> Any:
        """The choice, or first the rows that stand in for empty clusters."""
        if len(answer.clusters) < self.aim.size:
            return Fill(self, answer, self.aim.size - len(answer.clusters))
        return self.choice(answer, Far.none())

    def choice(self, answer: Closest, far: "Far") -> Picks:
        """A row that stands in takes one from the weight of its cluster."""
        counts = answer.counts.copy()
        np.subtract.at(counts, np.searchsorted(answer.clusters, far.clusters), 1)
        distances = np.sqrt(np.concatenate([answer.squared, far.squared]))
        return Picks.of(
            np.concatenate([answer.rows, far.rows]),
            np.concatenate([counts, np.ones(len(far.rows), np.int64)]).astype(np.float64),
            {"center_distance": distances.astype(np.float32)},
            {"inertia": answer.inertia, "clusters": len(answer.clusters)},
        )


@dataclass(frozen=True)
class Far:
    """Rows far from their center."""

    rows: Rows
    clusters: Rows
    squared: Floats
    most: int

    @classmethod
    def none(cls) -> "Far":
        """No row."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), 0)

    def merge(self, other: "Far") -> "Far":
        """The farthest of both; of equal ones the first."""
        return Far(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.clusters, other.clusters]),
            np.concatenate([self.squared, other.squared]),
            self.most,
        ).farthest()

    def farthest(self) -> "Far":
        """No more than are wanted."""
        order = np.lexsort((self.rows, -self.squared))[: self.most]
        return Far(self.rows[order], self.clusters[order], self.squared[order], self.most)


@dataclass(frozen=True)
class Fill:
    """Which rows, beside those chosen, are farthest from their center?"""

    last: Nearest
    closest: Closest
    missing: int

    def observe(self, state: Held) -> Held:
        """Nothing changes."""
        return state

    def answer(self, state: Held) -> Far:
        """As many as are missing."""
        assert state.nearest is not None
        assert state.squared is not None
        free = ~np.isin(state.rows, self.closest.rows)
        far = Far(state.rows[free], state.nearest[free], state.squared[free], self.missing)
        return far.farthest()

    def advance(self, answer: Far) -> Picks:
        """The choice."""
        return self.last.choice(self.closest, answer)


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

    metric: str = "euclidean"
    scale: str = "none"
    iterations: int = 3

    name: ClassVar[str] = "kmeans"

    def __post_init__(self) -> None:
        Space.check(self.metric, self.scale)
        check_iterations(self.iterations)

    def ask(self, schema: Schema, size: int, proxy: Any) -> Approach:
        """Begin with rows of the survey's sample as candidates."""
        space = Space.of(self.metric, self.scale, schema)
        return begin(Clustering(size, schema.seed, self.iterations), space, schema)

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks hold their rows; sums of the clusters in each block travel every round."""
        rounds = 2 * DRAWS + self.iterations + 3
        per_block = min(size, n) * (8 * d + 24)
        return Footprint(rounds, 2 * 4 * d + 40, per_block, (DRAWS + 1) * size)


def begin(aim: Clustering, space: Space, schema: Schema) -> Approach:
    """The first question of a clustering."""
    assert schema.sample is not None
    hashes = row_hash(schema.sample.rows, schema.seed, stream=_STREAM_FIRST)
    some = np.sort(np.argsort(hashes, kind="stable")[: aim.size])
    return Approach(aim, space, space(schema.sample.X[some]), 0)


def check_iterations(iterations: int) -> None:
    """Refuse what would not move, or not end."""
    if not 0 <= iterations <= 100:
        raise InputError(f"iterations must be from 0 to 100, got {iterations}; 3 is the default")
