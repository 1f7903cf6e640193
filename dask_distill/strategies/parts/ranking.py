"""Take the rows of lowest key in each group: the form behind random, stratified and top-k.

A conversation of counts: the blocks tell how many keys have each leading digit, the coordinator
finds the digit in which the last wanted key lies, and asks for the next digit of those. After
32 bits the threshold is exact. Rows whose keys equal it are drawn: 32 bits more, of a hash of
seed and row number, so that they come from all over the data; a model of trees gives thousands
of equal scores, and the first of them would be the head of the file.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Final, Selection
from dask_distill.data.blocks import Block, block_rows
from dask_distill.kernels.hashing import row_keys
from dask_distill.kernels.masses import Shares, draw_keys, sure_masses
from dask_distill.kernels.ranking import (
    KEY_BITS,
    add_histograms,
    ascending_keys,
    descend,
    digit_histogram,
)
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.base import Footprint, Strategy
from dask_distill.strategies.parts.scorers import GivenScores, NoveltyScorer, Scorer, Scores
from dask_distill.survey.schema import Schema

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
# cells of all histograms in one answer
_HISTOGRAM_BITS = 16
# a score's leading digit is its exponent and seven bits of its mantissa
_SCORE_CELLS = 4096


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A block's memory: rows with keys, groups and scores; what they stand for, as in a `Block`."""

    number: int
    rows: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint32]
    groups: npt.NDArray[np.int32]
    codes: npt.NDArray[np.int32] | None
    scores: dict[str, npt.NDArray[np.float32]]
    mass: Floats | None = None

    def given(self, space: Any = None) -> dict[str, npt.NDArray[Any] | None]:
        """What a journal need not write."""
        return {"rows": self.rows, "codes": self.codes, "mass": self.mass}


@dataclass(frozen=True, kw_only=True)
class RankQuestion:
    """How many keys begin with each group's prefix, by their next digit?

    Attributes
    ----------
    quotas, group_rows : (G,) int64 arrays
        Rows wanted from each group, and rows it has.
    wanted : (G,) int64 array
        Of the rows with the prefix, how many are wanted.
    prefixes : (G,) uint32 array
    known_bits : int
        Of the key, and beyond 32 of the hash that draws from equal keys.
    seed : int
    scorer : what turns features into scores; only in the first question
    thresholds : (G,) uint32 array or None
        Once known: the key of the last row that is wanted.
    group_masses : (G,) int64 array or None
        What the rows of each group stand for, where they are drawn in proportion to that.
    choice : RankChoice or None
        What is chosen, where all that is still asked is what that stands for.
    """

    quotas: Counts
    group_rows: Counts
    wanted: Counts
    prefixes: npt.NDArray[np.uint32]
    seed: int
    known_bits: int = 0
    scorer: Scorer | GivenScores | NoveltyScorer | None = None
    thresholds: npt.NDArray[np.uint32] | None = None
    group_masses: Counts | None = None
    choice: "RankChoice | None" = None

    @classmethod
    def begin(cls, quotas: Counts, group_rows: Counts, seed: int, **more: Any) -> Self:
        """The first question: nothing is known of any key."""
        prefixes = np.zeros(len(quotas), np.uint32)
        told: dict[str, Any] = {"quotas": quotas, "group_rows": group_rows, "seed": seed}
        return cls(wanted=quotas, prefixes=prefixes, **told, **more)

    @property
    def known_here(self) -> int:
        """Bits known of what is asked about: the key, or the hash."""
        return self.known_bits - (0 if self.thresholds is None else KEY_BITS)

    @property
    def digit_bits(self) -> int:
        """Bits of the next digit; 0 when all are known, and equal ones are counted by block."""
        groups = max(1, int(len(self.quotas) - 1).bit_length())
        return min(max(2, _HISTOGRAM_BITS + 1 - groups), KEY_BITS - self.known_here)

    def asked_of(self, state: "Ranked") -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]:
        """Keys and groups of the rows that are asked about."""
        if self.thresholds is None:
            return state.keys, state.groups
        tied = state.keys == self.thresholds[state.groups]
        return row_keys(state.rows[tied], self.seed, stream=Stream.TIES), state.groups[tied]

    def least(self, thresholds: npt.NDArray[np.uint32]) -> Floats:
        """(G,) from which masses on rows were sure to be drawn, by the keys of the last wanted."""
        return sure_masses(thresholds, self.quotas < self.group_rows)


@dataclass(frozen=True)
class RankAnswer:
    """Histogram of digits, as its cells that are not empty; or ties by block."""

    cells: Counts | None
    counts: Counts
    ties: tuple[tuple[int, Counts], ...] = ()


@dataclass(frozen=True, kw_only=True)
class RankChoice(Final):
    """Keys below the threshold, and of those equal to it the rows of lowest hash.

    Attributes
    ----------
    thresholds : (G,) uint32 array
    ties : dict of (G,) int64 arrays, or None
        Of rows whose keys and hashes both equal the limits: how many a block may take, its first.
        None where all rows up to the limits are taken.
    quotas, group_rows : (G,) int64 arrays
    limits : (G,) uint32 array or None
        Of equal keys, the greatest hash that is taken; None where all of them are.
    seed : int
    shares : Shares or None
        Of a draw by masses: what each row stands for.
    """

    thresholds: npt.NDArray[np.uint32]
    ties: dict[int, Counts] | None
    quotas: Counts
    group_rows: Counts
    limits: npt.NDArray[np.uint32] | None = None
    seed: int = 0
    shares: Shares | None = None

    def parts(self) -> dict[str, Any]:
        """Its fields, for those that say more."""
        return {part.name: getattr(self, part.name) for part in fields(RankChoice)}

    def taken(self, state: Ranked) -> npt.NDArray[np.bool_]:
        """Mask of a block's rows below the threshold, and of those drawn from the equal ones."""
        thresholds = self.thresholds[state.groups]
        wanted = self.quotas[state.groups] > 0
        chosen = (state.keys < thresholds) & wanted
        tied = np.flatnonzero((state.keys == thresholds) & wanted)
        if self.limits is not None:
            hashes = row_keys(state.rows[tied], self.seed, stream=Stream.TIES)
            limits = self.limits[state.groups[tied]]
            if self.ties is None:
                tied = tied[hashes <= limits]
            else:
                equal = tied[hashes == limits]
                chosen[equal[_first(state.groups[equal], self.ties[state.number])]] = True
                tied = tied[hashes < limits]
        chosen[tied] = True
        return chosen

    def stands_for(self, state: Ranked, taken: npt.NDArray[np.bool_]) -> Floats | None:
        """Masses of the rows taken: their own, or also of those like them that were not drawn."""
        if state.mass is None or self.shares is None:
            return None if state.mass is None else state.mass[taken]
        return self.shares.of(state.groups[taken], state.mass[taken])

    def weights(self, state: Ranked, taken: npt.NDArray[np.bool_]) -> Floats:
        """Of the rows taken, up to a common factor."""
        mass = self.stands_for(state, taken)
        if mass is not None:
            return mass
        groups = state.groups[taken]
        return self.group_rows[groups] / self.quotas[groups]

    def drawn(self, state: Ranked) -> Counts:
        """What `Shares.after` asks of a block."""
        assert self.shares is not None
        assert state.mass is not None
        taken = self.taken(state)
        return self.shares.drawn(state.groups[taken], state.mass[taken])

    def after(self, drawn: Counts) -> "RankChoice":
        """Once all blocks have told."""
        assert self.shares is not None
        return replace(self, shares=self.shares.after(drawn))


@dataclass(frozen=True)
class Ranking(Strategy):
    """Base of the strategies that rank rows by a key."""

    takes_weights: ClassVar[bool] = True
    grouped: ClassVar[bool] = False
    # whether keys are drawn, so that rows may have chances in proportion to what they stand for
    draws: ClassVar[bool] = True

    def quotas(self, schema: Schema, size: int) -> tuple[Counts, Counts]:
        """Rows wanted from each group, and rows it has: one group unless overridden."""
        return np.array([size], np.int64), np.array([schema.n], np.int64)

    def keys(self, block: Block, scores: Scores, seed: int) -> npt.NDArray[np.uint32]:
        """Lowest first; random unless overridden."""
        return draw_keys(block.rows, seed, stream=Stream.RANKING, mass=block.mass)

    def scorer(self, schema: Schema, proxy: Any) -> Scorer | GivenScores | NoveltyScorer | None:
        """What scores the rows, if anything."""
        if isinstance(proxy, GivenScores):
            return proxy
        return Scorer.of(schema, proxy) if self.uses_proxy else None

    def ask(self, schema: Schema, size: int, proxy: Any) -> RankQuestion:
        """Fit the proxy where one is needed, and ask for the leading digit."""
        quotas, group_rows = self.quotas(schema, size)
        scorer = self.scorer(schema, proxy)
        masses = None
        if self.draws and schema.block_masses is not None:
            masses = schema.masses if self.grouped else np.array([schema.mass], np.int64)
        return RankQuestion.begin(
            quotas, group_rows, schema.seed, scorer=scorer, group_masses=masses
        )

    def observe(self, state: Block | Ranked, question: RankQuestion) -> Ranked:
        """Score once, then remember keys alone: the features are let go."""
        if isinstance(state, Ranked):
            return state
        scores: Scores = {}
        if question.scorer is not None:
            scores = question.scorer(state)
        groups = np.zeros(len(state.rows), np.int32)
        if self.grouped and state.codes is not None:
            groups = state.codes
        keys = self.keys(state, scores, question.seed)
        return Ranked(
            number=state.number,
            rows=state.rows,
            keys=keys,
            groups=groups,
            codes=state.codes,
            scores=scores,
            mass=state.mass,
        )

    def answer(self, state: Ranked, question: RankQuestion) -> RankAnswer:
        """Count digits, or what is equal in all digits; at last, what is taken stands for."""
        if question.choice is not None:
            return RankAnswer(None, question.choice.drawn(state))
        keys, groups = question.asked_of(state)
        if question.digit_bits == 0:
            equal = groups[keys == question.prefixes[groups]]
            counts = np.bincount(equal, minlength=len(question.quotas)).astype(np.int64)
            return RankAnswer(None, counts[:0], ((state.number, counts),))
        histogram = digit_histogram(
            keys, groups, question.prefixes, question.known_here, question.digit_bits
        ).ravel()
        cells = np.flatnonzero(histogram)
        return RankAnswer(cells, histogram[cells])

    def combine(self, left: RankAnswer, right: RankAnswer) -> RankAnswer:
        """Counts add up; ties stay apart by block."""
        if left.cells is None or right.cells is None:
            return RankAnswer(None, left.counts + right.counts, left.ties + right.ties)
        cells, counts = add_histograms((left.cells, left.counts), (right.cells, right.counts))
        return RankAnswer(cells, counts)

    def advance(self, question: RankQuestion, answer: RankAnswer) -> RankQuestion | RankChoice:
        """One digit deeper: of the key, then of the hash; or the threshold, and what is equal."""
        if question.choice is not None:
            return question.choice.after(answer.counts)
        if answer.cells is None:
            left = question.wanted.copy()
            ties: dict[int, Counts] = {}
            for number, counts in sorted(answer.ties):
                ties[number] = np.minimum(counts, left)
                left = left - ties[number]
            return _choice(question, question.prefixes, ties)
        bits = question.digit_bits
        filled = np.zeros(len(question.quotas) << bits, np.int64)
        filled[answer.cells] = answer.counts
        histogram = filled.reshape(len(question.quotas), -1)
        digit, remaining = descend(histogram, question.wanted)
        # a prefix of no bits cannot be shifted by all 32
        prefixes = digit
        if question.known_here:
            prefixes = question.prefixes << np.uint32(bits) | digit
        following = replace(
            question,
            wanted=remaining,
            prefixes=prefixes,
            known_bits=question.known_bits + bits,
            scorer=None,
        )
        if following.digit_bits:
            return following
        equal = np.take_along_axis(histogram, digit[:, None].astype(np.int64), 1)[:, 0]
        if ((remaining == equal) | (question.quotas == 0)).all():
            # nothing to draw from
            return _choice(question, prefixes, None)
        if question.thresholds is None:
            return replace(following, thresholds=prefixes, prefixes=np.zeros_like(prefixes))
        return following

    def choose(self, state: Ranked, choice: RankChoice) -> Selection:
        """Rows below the threshold, and those drawn from the equal ones."""
        chosen = choice.taken(state)
        weights = choice.weights(state, chosen)
        scores = {name: values[chosen] for name, values in state.scores.items()}
        codes = None if state.codes is None else state.codes[chosen]
        return Selection(state.rows[chosen], weights, codes, scores)

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Keys, groups and four scores a row; histograms only on the coordinator."""
        groups = classes if self.grouped else 1
        # some more where so many keys are equal that they are drawn from
        rounds = 1 + KEY_BITS // max(2, _HISTOGRAM_BITS + 1 - max(1, (groups - 1).bit_length()))
        held = 16 + (16 if self.uses_proxy else 0)
        # only the first digit's histogram is more than some cells; scores lie in few of its cells
        rows, cells = block_rows(n, d), 2.0 ** (_HISTOGRAM_BITS + 1)
        filled = min(rows, _SCORE_CELLS) if self.uses_proxy else cells * -np.expm1(-rows / cells)
        return Footprint(
            rounds=rounds,
            state_bytes_per_row=held,
            answer_bytes_per_block=16 * filled / rounds,
            pool_rows=0,
        )


def _choice(
    question: RankQuestion, reached: npt.NDArray[np.uint32], ties: dict[int, Counts] | None
) -> RankQuestion | RankChoice:
    """What ends at the threshold itself, or at a hash among the keys that equal it.

    Of a draw by masses, what is asked at last: what those rows stand for.
    """
    known = question.thresholds
    choice = RankChoice(
        thresholds=reached if known is None else known,
        ties=ties,
        quotas=question.quotas,
        group_rows=question.group_rows,
        limits=None if known is None else reached,
        seed=question.seed,
    )
    masses = question.group_masses
    if masses is None:
        return choice
    shares = Shares(masses, question.least(choice.thresholds))
    return replace(question, choice=replace(choice, shares=shares))


def _first(groups: npt.NDArray[np.int32], wanted: Counts) -> npt.NDArray[np.intp]:
    """Positions of the first ``wanted`` members of each group."""
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups, minlength=len(wanted))
    rank = np.arange(len(groups)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order[rank < wanted[groups[order]]]


def highest_first(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """Keys that put the highest score first."""
    return ~ascending_keys(scores)
