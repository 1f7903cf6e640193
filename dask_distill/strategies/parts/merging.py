"""The second round by itself: candidates are here, blocks are asked from the first center on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from dask_distill.conversation.protocol import Final
from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.strategies.parts.held import Features, Floats, Held, OrderedCenters, Pool, Rows
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.stepwise import RowChoice
from dask_distill.strategies.parts.two_rounds import Cover, Covering, OfferPicks


@dataclass(frozen=True)
class Ordered(Final):
    """The rows that are selected, and the order in which they were."""

    picks: RowChoice
    chosen: OrderedCenters


@dataclass(frozen=True)
class BlockCenters:
    """What a block has of the centers.

    Attributes
    ----------
    number : int
        Of the block.
    rows : (c,) int64 array
    X : (c, d) float array
        In the metric space.
    weights : (c,) float64 array
    """

    number: int
    rows: Rows
    X: Features
    weights: Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class Centers:
    """Centers in the order of choice.

    Attributes
    ----------
    rows, blocks : (k,) int64 arrays
    X : (k, d) float array
        In the metric space.
    radii : (k,) float64 array
        Distance of each to those chosen before it, first inf.
    weights : (k,) float64 array
        Rows nearest to each, or what these stand for.
    covering_radius : float
        Of all rows.
    """

    rows: Rows
    blocks: Rows
    X: Features
    radii: Floats
    weights: Floats
    covering_radius: float

    @classmethod
    def of(cls, last: Ordered, parts: Sequence[BlockCenters]) -> Self:
        """Put together what blocks have, in the order of choice."""
        there = [part for part in parts if len(part.rows)]
        rows = np.concatenate([part.rows for part in there])
        at = np.argsort(rows)[np.searchsorted(np.sort(rows), last.chosen.rows)]
        blocks = np.repeat([part.number for part in there], [len(part.rows) for part in there])
        return cls(
            rows=rows[at],
            blocks=blocks[at],
            X=np.concatenate([part.X for part in there])[at],
            radii=np.sqrt(last.chosen.squared_radii),
            weights=np.concatenate([part.weights for part in there])[at],
            covering_radius=last.picks.told["covering_radius"],
        )


@dataclass(frozen=True)
class Repair:
    """The conversation of k-center from the merge on; blocks were asked nothing before."""

    space: MetricSpace

    def merge(self, pool: Pool, size: int, n: int) -> Cover:
        """Its first question: all centers but those for the worst rows, to be measured."""
        aim = Covering(size=size, n=n, same=self.space.same(pool.X))
        cover: Cover = OfferPicks(aim, 0.0).advance(pool)
        return cover

    def observe(self, state: Block | Held, question: Any) -> Held:
        """As the step has it, for rows that are what was offered."""
        if isinstance(state, Block):
            state = Held.of(state, self.space)
            _refuse_others(state, question.chosen)
        held: Held = question.observe(state)
        return held

    def answer(self, state: Held, question: Any) -> Any:
        """As the step has it."""
        return question.answer(state)

    def combine(self, left: Any, right: Any) -> Any:
        """As the answers have it."""
        return left.merge(right)

    def advance(self, question: Any, answer: Any) -> Any:
        """As the step has it; and in which order, at last."""
        following = question.advance(answer)
        if isinstance(following, RowChoice):
            return Ordered(following, question.chosen)
        return following

    def choose(self, state: Held, choice: Ordered) -> BlockCenters:
        """The centers that lie in this block."""
        mine = choice.picks.of_block(state)
        X = state.X[np.searchsorted(state.rows, mine.rows)]
        return BlockCenters(state.number, mine.rows, X, mine.weights)


def _refuse_others(state: Held, chosen: OrderedCenters) -> None:
    """End where the centers that lie in a block are other rows there."""
    mine = np.flatnonzero(np.isin(chosen.rows, state.rows))
    rows = chosen.rows[mine]
    there, told = state.X[np.searchsorted(state.rows, rows)], chosen.fresh[mine]
    other = (there != told).any(axis=1)
    if other.any():
        first = int(np.sort(rows[other])[0])
        raise InputError(
            f"features must be what candidates were taken of, got another row {first}; pass the "
            "same features, and the same metric"
        )
