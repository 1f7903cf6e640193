"""What a batch has to tell: whether it can be used, its classes, and the rows to be kept.

Conversations of one question where rows are kept by chance, of two where they are kept by how
far apart they are: what is far from all that is kept, and then what is nearest to what.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Final
from dask_distill.data.blocks import RawBlock
from dask_distill.growing.facts import Facts, joined_labels
from dask_distill.growing.tables import Listed
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.nearest import nearest_center, update_squared_distances
from dask_distill.kernels.reservoir import priorities, thinned
from dask_distill.strategies.parts.held import with_nearest
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import Inquiry, SideBySide
from dask_distill.strategies.parts.stepwise import Stepwise
from dask_distill.survey.validity import OnInvalid, refuse_invalid

Features = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.generic]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Arrival(Stepwise):
    """The conversation about a batch: its steps know what to do."""

    name: ClassVar[str] = "arrival"


@dataclass(frozen=True)
class Rule:
    """Which rows are kept by chance; see `dask_distill.kernels.reservoir.thinned`."""

    least: float
    most: int | None
    floor: int


@dataclass(frozen=True)
class Reservoir:
    """Rows that may be kept, numbered from the start of all batches."""

    rule: Rule
    rows: Rows
    priority: Floats
    labels: Labels | None

    def thinned(self) -> "Reservoir":
        """As few as the rule allows."""
        codes = class_codes(self.labels, len(self.rows))
        kept, least = thinned(
            self.priority,
            self.rows,
            codes,
            least=self.rule.least,
            most=self.rule.most,
            floor=self.rule.floor,
        )
        labels = None if self.labels is None else self.labels[kept]
        rule = replace(self.rule, least=least)
        return Reservoir(rule, self.rows[kept], self.priority[kept], labels)

    def merge(self, other: "Reservoir") -> "Reservoir":
        """Together, and thinned: no part may have kept a row that both would not."""
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = joined_labels(self.labels, other.labels)
        return Reservoir(
            replace(self.rule, least=max(self.rule.least, other.rule.least)),
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.priority, other.priority]),
            labels,
        ).thinned()


@dataclass(frozen=True)
class SampleAnswer(SideBySide):
    """Facts and rows of some blocks."""

    facts: Facts
    drawn: Reservoir


@dataclass(frozen=True)
class Sampled(Final):
    """What a batch brings, where rows are kept by chance."""

    facts: Facts
    drawn: Reservoir


@dataclass(frozen=True, kw_only=True)
class SampleBatch(Inquiry):
    """What are you, and which of your rows may be kept? ``first`` is the batch's first row."""

    rule: Rule
    first: int
    seed: int
    half_life: float | None
    on_invalid: OnInvalid
    categories: tuple[Listed, ...] = ()

    def answer(self, state: RawBlock) -> SampleAnswer:
        """Rows by the hash of their numbers: features need not be seen, but must be valid."""
        facts, rows, _, labels = Facts.of(state, self.categories)
        rows = self.first + rows
        priority = priorities(rows, np.ones(len(rows)), self.seed, half_life=self.half_life)
        return SampleAnswer(facts, Reservoir(self.rule, rows, priority, labels).thinned())

    def advance(self, answer: SampleAnswer) -> Sampled:
        """Nothing more to ask."""
        refuse_invalid(answer.facts.invalid, self.on_invalid)
        return Sampled(answer.facts, answer.drawn)


@dataclass(frozen=True)
class HeldArrivals:
    """A block that waits for the second question: valid rows where distances are taken."""

    facts: Facts
    rows: Rows
    X: Features
    squared: Floats
    nearest: Rows


@dataclass(frozen=True)
class OutlyingRows(SideBySide):
    """Facts, and rows far from all that is kept and from each other."""

    facts: Facts
    rows: Rows
    X: Features


@dataclass(frozen=True)
class Kept:
    """Rows kept so far, as `Summary` has them, where distances are taken."""

    rows: Rows
    X: Features
    masses: Floats
    reach: Floats
    separation: float


@dataclass(frozen=True, kw_only=True)
class OfferOutlying:
    """What are you, and which of your rows are far from all that is kept?

    ``share`` is what one block may offer, ``most`` what may be kept in the end, of which ``size``
    are to be selected.
    """

    kept: Kept
    space: MetricSpace
    first: int
    share: int
    most: int
    size: int
    on_invalid: OnInvalid
    categories: tuple[Listed, ...] = ()

    def observe(self, state: RawBlock | HeldArrivals) -> HeldArrivals:
        """How far is each row from what is kept?"""
        if isinstance(state, HeldArrivals):
            return state
        facts, rows, X, _ = Facts.of(state, self.categories)
        Z = self.space(X)
        squared, nearest = np.full(len(Z), np.inf), np.full(len(Z), -1)
        update_squared_distances(Z, squared, self.kept.X, nearest)
        return HeldArrivals(facts, self.first + rows, Z, squared, nearest)

    def answer(self, state: HeldArrivals) -> OutlyingRows:
        """Farthest first, until what is left is near enough."""
        limit = max(self.kept.separation**2, self.space.same(state.X))
        far = np.flatnonzero(state.squared > limit)
        picks = far[:0]
        if len(far):
            X = np.ascontiguousarray(state.X[far])
            started = len(self.kept.rows) > 0
            traversal = FarthestFirst.resume(X, state.squared[far]) if started else FarthestFirst(X)
            traversal.extend(self.share, stop_squared=limit)
            picks = np.sort(far[traversal.indices])
        return OutlyingRows(state.facts, state.rows[picks], state.X[picks])

    def advance(self, answer: OutlyingRows) -> "AssignBatch":
        """Keep all, or half of what may be kept, so that this is seldom done."""
        refuse_invalid(answer.facts.invalid, self.on_invalid)
        kept = self.kept
        order = np.argsort(answer.rows)
        rows = np.concatenate([kept.rows, answer.rows[order]])
        X = np.concatenate([kept.X.astype(answer.X.dtype), answer.X[order]])
        masses = np.concatenate([kept.masses, np.zeros(len(order))])
        # a row covers itself
        reach = np.concatenate([kept.reach, np.zeros(len(order))])
        together = Kept(rows, X, masses, reach, kept.separation)
        left = thinned_out(together, self.most, self.size)
        # distances to these are known, unless some were given up
        known = len(kept.rows) if left is together else 0
        return AssignBatch(answer.facts, left, known)


def thinned_out(kept: Kept, most: int, size: int) -> Kept:
    """At most so many rows; what those stood for that are left out goes to the nearest.

    A row p that is left out covered rows up to ``reach[p]`` away; the row nearest to it covers
    them within its distance to p and ``reach[p]`` (triangle inequality).
    """
    if len(kept.rows) <= most:
        return kept
    traversal = FarthestFirst(kept.X)
    # one more than are selected proves how well that can be done
    traversal.extend(max(size + 1, most // 2))
    picks = np.sort(traversal.indices)
    nearest, squared = nearest_center(kept.X, kept.X[picks])
    distances = np.sqrt(squared)
    masses = np.bincount(nearest, weights=kept.masses, minlength=len(picks)).astype(np.float64)
    reach = np.zeros(len(picks))
    np.maximum.at(reach, nearest, distances + kept.reach)
    separation = max(kept.separation, float(distances.max()))
    return Kept(kept.rows[picks], kept.X[picks], masses, reach, separation)


@dataclass(frozen=True)
class BatchAssignment:
    """Rows of the batch nearest to each kept row, and the squared distance of the farthest."""

    at: Rows
    masses: Floats
    squared: Floats

    def merge(self, other: "BatchAssignment") -> "BatchAssignment":
        """Counts added, the larger of the distances."""
        at, inverse = np.unique(np.concatenate([self.at, other.at]), return_inverse=True)
        masses, squared = np.zeros(len(at)), np.zeros(len(at))
        np.add.at(masses, inverse, np.concatenate([self.masses, other.masses]))
        np.maximum.at(squared, inverse, np.concatenate([self.squared, other.squared]))
        return BatchAssignment(at, masses, squared)


@dataclass(frozen=True)
class AssignBatch:
    """Which of these is each of your rows nearest to, and how far?

    Of the first ``known`` of them, blocks know it.
    """

    facts: Facts
    kept: Kept
    known: int

    def observe(self, state: HeldArrivals) -> HeldArrivals:
        """Against those that are new; or against all, where what was nearest may be left out."""
        return with_nearest(state, self.kept.X, self.known or None)

    def answer(self, state: HeldArrivals) -> BatchAssignment:
        """By row that is kept, if any of the block is nearest to it."""
        if len(state.rows) == 0:
            return BatchAssignment(state.nearest, np.empty(0), np.empty(0))
        at, inverse = np.unique(state.nearest, return_inverse=True)
        masses = np.bincount(inverse).astype(np.float64)
        squared = np.zeros(len(at))
        np.maximum.at(squared, inverse, state.squared)
        return BatchAssignment(at, masses, squared)

    def advance(self, answer: BatchAssignment) -> "Covered":
        """What each kept row stands for now."""
        masses, reach = self.kept.masses.copy(), self.kept.reach.copy()
        masses[answer.at] += answer.masses
        reach[answer.at] = np.maximum(reach[answer.at], np.sqrt(answer.squared))
        # exactly as many as rows came: a kept row of this batch counts itself
        return Covered(self.facts, replace(self.kept, masses=masses, reach=reach))


@dataclass(frozen=True)
class Covered(Final):
    """What a batch brings, where rows are kept by how far apart they are."""

    facts: Facts
    kept: Kept


def class_codes(labels: Labels | None, rows: int) -> Rows:
    """(n,) numbers of classes, in any order; one class where there are no labels."""
    if labels is None:
        return np.zeros(rows, np.int64)
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
