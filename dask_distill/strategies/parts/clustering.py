"""k-means over blocks: seeds by k-means||, then Lloyd's rounds."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_distill.data.blocks import Block
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.kmeans import cluster_sums, weighted_kmeans
from dask_distill.kernels.masses import counted
from dask_distill.kernels.sampling import uniforms
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.parts.held import Features, Floats, Held, Pool, Rows, with_nearest
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import AddedUp, Inquiry
from dask_distill.survey.schema import Schema

# draws of k-means||, each of as many rows as there are centers, about
DRAWS = 3


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
        raise NotImplementedError


@dataclass(frozen=True)
class Inertia(AddedUp):
    """By candidate what the rows nearest to it stand for, and the sum of squared distances."""

    counts: Rows
    squared: float


@dataclass(frozen=True)
class Approach:
    """Bring your distances up to date with the last candidates; how far are you from them?"""

    aim: Clustering
    space: MetricSpace
    pool: Features
    known: int
    draw: int = 0

    def observe(self, state: Block | Held) -> Held:
        """Exactly, for every row."""
        held = Held.taken(state, self.space)
        return with_nearest(held, self.pool, None if held.nearest is None else self.known)

    def answer(self, state: Held) -> Inertia:
        """Rows by candidate, and the sum of squares."""
        nearest, squared = state.assigned
        counts = counted(nearest, len(self.pool), state.mass)
        return Inertia(counts, float(state.weighed(squared).sum()))

    def advance(self, answer: Inertia) -> Any:
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
class Oversample(Inquiry):
    """Send rows, each with a chance in proportion to its squared distance."""

    last: Approach
    rate: float

    def answer(self, state: Held) -> Pool:
        """By the hash of each row."""
        _, squared = state.assigned
        hashes = row_hash(
            state.rows, self.last.aim.seed, stream=Stream.KMEANS_DRAW + self.last.draw
        )
        drawn = np.flatnonzero(uniforms(hashes) < self.rate * state.weighed(squared))
        return Pool(state.rows[drawn], state.X[drawn], squared[drawn])

    def advance(self, answer: Pool) -> Approach:
        """They are candidates."""
        last = self.last
        pool = np.concatenate([last.pool, answer.sorted().X])
        return replace(last, pool=pool, known=len(last.pool), draw=last.draw + 1)


@dataclass(frozen=True)
class ClusterSums:
    """Of each cluster that is not empty: rows, and their sum."""

    clusters: Rows
    counts: Floats
    sums: Floats

    def merge(self, other: "ClusterSums") -> "ClusterSums":
        """They add up."""
        both = np.concatenate([self.clusters, other.clusters])
        clusters, place = np.unique(both, return_inverse=True)
        counts = np.zeros(len(clusters))
        sums = np.zeros((len(clusters), self.sums.shape[1]))
        for part in (self, other):
            at = place[: len(part.clusters)] if part is self else place[len(self.clusters) :]
            counts[at] += part.counts
            sums[at] += part.sums
        return ClusterSums(clusters, counts, sums)


@dataclass(frozen=True)
class Lloyd:
    """Assign your rows to the centers; what do they sum to?"""

    aim: Clustering
    centers: Features
    left: int

    def observe(self, state: Held) -> Held:
        """Exactly."""
        return with_nearest(state, self.centers)

    def answer(self, state: Held) -> ClusterSums:
        """Clusters of this block."""
        nearest, _ = state.assigned
        return ClusterSums(*cluster_sums(state.X, nearest, state.mass))

    def advance(self, answer: ClusterSums) -> Any:
        """Move the centers; an empty cluster's stays where it is."""
        centers = self.centers.copy()
        centers[answer.clusters] = (answer.sums / answer.counts[:, None]).astype(centers.dtype)
        if self.left > 1 and not np.array_equal(centers, self.centers):
            return replace(self, centers=centers, left=self.left - 1)
        return self.aim.then(centers)


def begin(aim: Clustering, space: MetricSpace, schema: Schema) -> Approach:
    """The first question of a clustering."""
    hashes = row_hash(schema.sample.rows, schema.seed, stream=Stream.KMEANS_FIRST)
    some = np.sort(np.argsort(hashes, kind="stable")[: aim.size])
    return Approach(aim, space, space(schema.sample.X[some]), 0)
