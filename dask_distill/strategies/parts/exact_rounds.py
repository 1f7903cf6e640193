"""A farthest-first traversal over all blocks at once: the sequential one's picks, bit for bit.

Blocks keep bounds. A round: blocks bring the rows above a threshold up to date, and tell how
many are how far; those above a second threshold, a pool, come to the coordinator, which
continues the traversal inside it until others may be farther. No row outside the pool can be
picked before, so that the partition does not matter. Picks go to the blocks with the next round.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.errors import DistillError
from dask_distill.kernels.composable import above
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.ranking import add_histograms
from dask_distill.strategies.parts.held import Aim, Floats, Held, OrderedCenters, Pool, Rows
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import Inquiry

# a pool is this part of the picks: fewer rounds against fewer rows moved
_POOL_PART = 8
_LEAST_POOL = 64
_POOL_BYTES = 2**28
# rows brought up to date for each row of the next pool; adapts
_OVERSAMPLING = 2.0
# of a float64: eleven bits of exponent, thirteen of mantissa, 0.012 % apart
_LEVEL_SHIFT = np.uint64(39)


@dataclass(frozen=True)
class Levels:
    """How many rows are how far: counts by the leading bits of the squared distance."""

    keys: npt.NDArray[np.uint32]
    counts: Rows

    @classmethod
    def of(cls, squared: Floats) -> "Levels":
        """Of squared distances, or bounds of them."""
        bits = np.ascontiguousarray(squared).view(np.uint64) >> _LEVEL_SHIFT
        # level 0 holds the rows that equal a center
        levels = np.where(squared > 0, bits + np.uint64(1), np.uint64(0))
        keys, counts = np.unique(levels.astype(np.uint32), return_counts=True)
        return cls(keys, counts.astype(np.int64))

    def merge(self, other: "Levels") -> "Levels":
        """Add up."""
        return Levels(*add_histograms((self.keys, self.counts), (other.keys, other.counts)))

    def edges(self) -> Floats:
        """The largest number below each level; -1 for that of the zeros."""
        first = np.maximum(self.keys, 1).astype(np.uint64) - np.uint64(1) << _LEVEL_SHIFT
        edges = (np.maximum(first, np.uint64(1)) - np.uint64(1)).view(np.float64)
        return np.where(self.keys == 0, -1.0, edges)

    def above(self, threshold: float) -> int:
        """Rows in the levels that lie above a threshold."""
        return int(self.counts[self.edges() >= threshold].sum())

    def threshold(self, wanted: float, below: float = np.inf) -> float:
        """The highest edge with at least so many rows above it, of those not above ``below``."""
        edges = self.edges()
        open_ = edges < below
        if not open_.any():
            return 0.0
        cumulative = np.cumsum(self.counts[open_][::-1])
        place = min(int(np.searchsorted(cumulative, wanted)), len(cumulative) - 1)
        return max(0.0, float(edges[open_][::-1][place]))


@dataclass(frozen=True)
class First:
    """Which is the first row of all?

    Attributes
    ----------
    cut : float or None
        Where only candidates take part: those that the blocks' own traversals have picked at a
        squared radius above it.
    initial : Pool or None
        Centers that are there before; then they take the place of the first row.
    """

    aim: Aim
    cut: float | None = None
    space: MetricSpace | None = None
    initial: Pool | None = None

    def observe(self, state: Block | Held) -> Held:
        """All rows of the block, or its candidates, take part."""
        if self.space is not None:
            state = Held.taken(state, self.space)
        assert isinstance(state, Held)
        return state.restart(None if self.cut is None else candidates(state, self.cut))

    def answer(self, state: Held) -> Pool:
        """The block's first row."""
        front, rows = state.taking_part
        return Pool(rows[:1], front.X[:1], front.squared[:1])

    def advance(self, answer: Pool) -> Any:
        """It is the first pick."""
        first = answer.sorted()
        chosen = OrderedCenters(first.rows[:1], np.array([np.inf]), first.X[:1])
        if self.initial is not None:
            chosen = OrderedCenters.before(self.initial)
        rows = min(self.aim.picks // _POOL_PART, _POOL_BYTES // (8 * first.X.shape[1]))
        return _following(
            Push(aim=self.aim, chosen=chosen, threshold=-1.0, pool_rows=max(_LEAST_POOL, rows))
        )


@dataclass(frozen=True, kw_only=True)
class Push:
    """Here are new centers: bring your rows above the threshold up to date, and tell how far.

    Attributes
    ----------
    pool_rows : int
        Rows wanted in a pool.
    oversampling : float
        Rows to bring up to date for each.
    rounds, moved : int
        Pools so far, and the rows in them.
    """

    aim: Aim
    chosen: OrderedCenters
    threshold: float
    pool_rows: int
    oversampling: float = _OVERSAMPLING
    rounds: int = 0
    moved: int = 0

    def observe(self, state: Held) -> Held:
        """Lower the bounds."""
        front, _ = state.taking_part
        front = front.push(self.chosen.fresh).catch_up(self.threshold)
        return replace(state, front=front)

    def answer(self, state: Held) -> Levels:
        """How many rows are how far."""
        squared = state.taking_part[0].squared
        # what a pick is one point with is no row to be told of
        return Levels.of(np.where(squared > self.aim.same, squared, 0.0))

    def advance(self, answer: Levels) -> Any:
        """Ask for a pool, or for more rows to be brought up to date before."""
        told = replace(self, chosen=replace(self.chosen, fresh=self.chosen.fresh[:0]))
        exact = answer.above(max(self.threshold, 0.0))
        if exact < self.pool_rows // 2 and self.threshold > 0:
            growth = min(4.0, max(1.3, self.pool_rows / max(exact, 1)))
            more = self.oversampling * growth
            lower = answer.threshold(more * self.pool_rows, below=self.threshold)
            return replace(told, threshold=lower, oversampling=more)
        if exact == 0:
            # every row that takes part equals a pick
            return self.aim.after(told.chosen, self.rounds, self.moved)
        cut = max(answer.threshold(self.pool_rows), self.threshold)
        calmer = self.oversampling * min(1.5, max(0.6, 1.2 * self.pool_rows / exact))
        told = replace(told, oversampling=max(1.5, calmer))
        if answer.above(cut) > 4 * self.pool_rows:
            return Level(told, answer)
        return Collect(told, cut, answer)


@dataclass(frozen=True)
class Collect(Inquiry):
    """Send your rows above the cut."""

    push: Push
    cut: float
    levels: Levels

    def answer(self, state: Held) -> Pool:
        """The rows, which are up to date."""
        cut = max(self.cut, self.push.aim.same)
        return _rows_of(state, np.flatnonzero(state.taking_part[0].squared > cut))

    def advance(self, answer: Pool) -> Any:
        """Continue the traversal in the pool, as far as no other row can come between."""
        push = _traverse(self.push, answer, self.cut)
        # rows of this pool come again; the others must be as many as wanted
        threshold = self.levels.threshold(push.oversampling * push.pool_rows, below=self.cut)
        return _following(replace(push, threshold=threshold))


@dataclass(frozen=True)
class Tied:
    """Rows of one squared distance, those of lowest number, at most so many."""

    squared: float
    pool: Pool
    most: int

    def merge(self, other: "Tied") -> "Tied":
        """The farther ones; of both, where they are equally far."""
        if self.squared != other.squared:
            return self if self.squared > other.squared else other
        pool = self.pool.merge(other.pool).sorted()
        most = self.most
        return Tied(self.squared, Pool(pool.rows[:most], pool.X[:most], pool.squared[:most]), most)


@dataclass(frozen=True)
class Level(Inquiry):
    """Very many rows are almost equally far: send the first of the farthest."""

    push: Push
    levels: Levels

    def answer(self, state: Held) -> Tied:
        """Rows of the largest distance, the lowest numbers first."""
        squared = state.taking_part[0].squared
        largest = float(squared.max(initial=-1.0))
        most = self.push.pool_rows
        return Tied(largest, _rows_of(state, np.flatnonzero(squared == largest)[:most]), most)

    def advance(self, answer: Tied) -> Any:
        """A row that was left out comes after all of these, or is no longer so far."""
        stop = float(np.nextafter(answer.squared, 0))
        return _following(_traverse(self.push, answer.pool, stop))


def candidates(state: Held, cut: float) -> Rows:
    """Positions of the rows that a block's own traversal picked above the cut, ascending."""
    if state.traversal is None:
        return np.empty(0, np.int64)
    return np.sort(above(state.traversal, cut))


def _rows_of(state: Held, at: Rows) -> Pool:
    front, rows = state.taking_part
    return Pool(rows[at], front.X[at], front.squared[at])


def _traverse(push: Push, answer: Pool, stop: float) -> Push:
    pool = answer.sorted()
    traversal = FarthestFirst.resume(pool.X, pool.squared)
    traversal.extend(push.aim.picks - len(push.chosen), stop_squared=max(stop, push.aim.same))
    if len(traversal.indices) == 0:
        raise DistillError("a round of the exact traversal has picked nothing")
    return replace(
        push,
        chosen=push.chosen.plus(pool, traversal),
        rounds=push.rounds + 1,
        moved=push.moved + len(pool.rows),
    )


def _following(push: Push) -> Any:
    """The next round, or what comes after the last pick."""
    if len(push.chosen) < push.aim.picks:
        return push
    return push.aim.after(push.chosen, push.rounds, push.moved)
