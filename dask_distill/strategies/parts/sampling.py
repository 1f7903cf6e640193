"""Importance sampling by a score: a draw of fixed size, with inverse-probability weights.

Two questions beside those of a ranking: the first adds up what the rows are worth, so that
every row knows its chance; the last measures what the draw is worth as a sample.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Selection
from dask_distill.data.blocks import Block
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.ranking import add_histograms, ascending_keys
from dask_distill.kernels.sampling import chance_rate, pareto_keys, uniforms
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.base import Footprint
from dask_distill.strategies.parts.ranking import (
    Counts,
    RankChoice,
    Ranked,
    Ranking,
    RankQuestion,
    highest_first,
)
from dask_distill.strategies.parts.scorers import GivenScores, NoveltyScorer, Scorer, Scores
from dask_distill.strategies.parts.steps import AddedUp
from dask_distill.support.options import Interval, option
from dask_distill.survey.schema import Schema

Floats = npt.NDArray[np.float64]

# desires are integers, so that sums are the same in any order: 1 is so many, and no more than that
_UNIT = 2**20
_MOST = 2.0**42
# leading bits of a desire's key: cells less than one per cent wide
_CELL_BITS = 16


@dataclass(frozen=True, kw_only=True)
class Valued:
    """A block's memory: what each row is worth, in units."""

    number: int
    rows: npt.NDArray[np.int64]
    desires: Counts
    codes: npt.NDArray[np.int32] | None
    scores: Scores
    mass: Floats | None = None

    def given(self, space: Any = None) -> dict[str, npt.NDArray[Any] | None]:
        """What a journal need not write."""
        return {"rows": self.rows, "codes": self.codes, "mass": self.mass}


@dataclass(frozen=True, kw_only=True)
class Drawn(Ranked):
    """A block's memory: keys of the draw, and the chances behind them."""

    chances: Floats


@dataclass(frozen=True)
class Worth:
    """Histogram of desires: cells that are not empty, ascending, with rows and sums."""

    cells: Counts
    counts: Counts
    sums: Counts

    def merge(self, other: "Worth") -> "Worth":
        """Cells add up."""
        return Worth(
            *add_histograms(
                (self.cells, self.counts, self.sums), (other.cells, other.counts, other.sums)
            )
        )


@dataclass(frozen=True, kw_only=True)
class Value:
    """What are your rows worth?

    Attributes
    ----------
    scorer : Scorer or GivenScores
    criterion : str
    mean : float
        The unit of the score: its mean over the survey's sample.
    floor : float
        Part of a row's desire that does not depend on its score.
    unit : float
        What a row stands for on average, where rows are not alike.
    """

    scorer: Scorer | GivenScores | NoveltyScorer
    criterion: str
    mean: float
    floor: float
    size: int
    n: int
    seed: int
    unit: float = 1.0

    def observe(self, block: Block) -> Valued:
        """Score once, and let the features go."""
        scores = self.scorer(block)
        relative = scores[self.criterion].astype(np.float64) / self.mean
        desire = _UNIT * ((1 - self.floor) * relative + self.floor)
        if block.mass is not None:
            desire *= block.mass / self.unit
        desire = np.rint(desire)
        return Valued(
            number=block.number,
            rows=block.rows,
            desires=np.clip(desire, 1, _MOST).astype(np.int64),
            codes=block.codes,
            scores=scores,
            mass=block.mass,
        )

    def answer(self, state: Valued) -> Worth:
        """Rows and sums by cells of the desires."""
        keys = ascending_keys(state.desires.astype(np.float32)) >> np.uint32(32 - _CELL_BITS)
        cells, place = np.unique(keys.astype(np.int64), return_inverse=True)
        sums = np.zeros(len(cells), np.int64)
        np.add.at(sums, place, state.desires)
        return Worth(cells, np.bincount(place, minlength=len(cells)).astype(np.int64), sums)

    def advance(self, answer: Worth) -> "Draw":
        """Chances that sum to the size."""
        rate = chance_rate(answer.counts, answer.sums, self.size)
        quota, every = np.array([self.size], np.int64), np.array([self.n], np.int64)
        # the mean that the sample will be measured against, out of the desires
        mean = self.mean
        if self.floor < 1:
            relative = int(answer.sums.sum()) / (_UNIT * self.n)
            mean = self.mean * max(0.0, relative - self.floor) / (1 - self.floor)
        return Draw.begin(quota, every, self.seed, rate=rate, mean=mean)


@dataclass(frozen=True, kw_only=True)
class Draw(RankQuestion):
    """A ranking by keys that are drawn: the lowest are the sample."""

    rate: float
    mean: float

    def observe(self, state: Valued | Drawn) -> Drawn:
        """Draw each row's key by its hash."""
        if isinstance(state, Drawn):
            return state
        chances = np.minimum(1.0, self.rate * state.desires)
        uniform = uniforms(row_hash(state.rows, self.seed, stream=Stream.SAMPLING))
        return Drawn(
            number=state.number,
            rows=state.rows,
            keys=ascending_keys(pareto_keys(chances, uniform)),
            groups=np.zeros(len(state.rows), np.int32),
            codes=state.codes,
            scores=state.scores,
            chances=chances,
            mass=state.mass,
        )


@dataclass(frozen=True)
class DrawSums(AddedUp):
    """Sums over the sample; added up in block order."""

    values: Floats


@dataclass(frozen=True, kw_only=True)
class SampleChoice(RankChoice):
    """The draw, and what it is worth."""

    effective: float
    estimate: float
    error: float
    mean: float


@dataclass(frozen=True)
class AssessDraw:
    """What is the draw worth: sums over its rows."""

    choice: RankChoice
    criterion: str
    mean: float

    def answer(self, state: Drawn) -> DrawSums:
        """Sums of the weights, their squares, and of the score's deviations."""
        taken = self.choice.taken(state)
        p = state.chances[taken]
        score = state.scores[self.criterion][taken].astype(np.float64)
        times = 1.0 if state.mass is None else state.mass[taken]
        expanded = times * (score - self.mean) / p
        open_ = 1 - p
        weighed = (times / p, times**2 * p**-2.0, times * score / p)
        parts = (*weighed, open_, open_ * expanded, open_ * expanded**2)
        return DrawSums(np.array([len(p), *(part.sum() for part in parts)]))

    def advance(self, answer: DrawSums) -> SampleChoice:
        """Kish's effective size, and the standard error of the weighted mean.

        References
        ----------
        Kish (1965), Survey Sampling; Hájek (1964), Asymptotic theory of rejective sampling.
        """
        k, weight, squares, scores, open_, deviations, spread = answer.values.tolist()
        variance = 0.0
        if open_ > 0:
            variance = max(0.0, spread - deviations**2 / open_) * k / max(1.0, k - 1)
        return SampleChoice(
            **self.choice.parts(),
            effective=weight**2 / squares,
            estimate=scores / weight,
            error=float(np.sqrt(variance)) / weight,
            mean=self.mean,
        )


@dataclass(frozen=True)
class Scored(Ranking):
    """Base of the strategies that take the highest scores, or a sample in proportion to them."""

    sample: bool = False
    floor: float = option(0.2, Interval(0, 1, closed="right"), way_out="0.2 is the default")

    draws: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = True
    uses_proxy: ClassVar[bool] = True
    # the highest scores are a trap at small fractions: their samples alone are worth a trial
    searched_with: ClassVar[Mapping[str, Any]] = MappingProxyType({"sample": True})
    criterion: ClassVar[str]
    trap: ClassVar[str]

    @property
    def warning(self) -> str | None:
        """The highest scores alone are a trap; a weighted sample is not."""
        return None if self.sample else self.trap

    def ranked_by(self, *, labelled: bool) -> tuple[str, ...]:
        """The criterion, where a proxy makes it."""
        return (self.criterion,) if self.uses_proxy else ()

    def scorer(self, schema: Schema, proxy: Any) -> Scorer | GivenScores | NoveltyScorer:
        """What scores the rows."""
        return proxy if isinstance(proxy, GivenScores) else Scorer.of(schema, proxy)

    def keys(self, block: Block, scores: Scores, seed: int) -> npt.NDArray[np.uint32]:
        """Highest score first."""
        return highest_first(scores[self.criterion])

    def ask(self, schema: Schema, size: int, proxy: Any) -> Any:
        """Rank at once, or first ask what the rows are worth."""
        if not self.sample:
            return super().ask(schema, size, proxy)
        scorer = self.scorer(schema, proxy)
        # what is given is of the rows, each at its place; the sample's are made side by side
        judge = proxy.judge if isinstance(proxy, GivenScores) else proxy
        scores = self.scorer(schema, judge)(schema.sample)
        mass = schema.sample.mass
        if mass is None:
            mean = float(scores[self.criterion].mean(dtype=np.float64))
        else:
            mean = float(np.average(scores[self.criterion], weights=mass))
        # a proxy that is sure of all rows has nothing to sample by
        mean = mean if mean > 1e-12 else 1.0
        return Value(
            scorer=scorer,
            criterion=self.criterion,
            mean=mean,
            floor=self.floor,
            size=size,
            n=schema.n,
            seed=schema.seed,
            unit=schema.mean_mass,
        )

    def observe(self, state: Any, question: Any) -> Any:
        """As the question has it."""
        if isinstance(question, Value | Draw):
            return question.observe(state)
        return state if isinstance(question, AssessDraw) else super().observe(state, question)

    def answer(self, state: Any, question: Any) -> Any:
        """As the question has it."""
        if isinstance(question, Value | AssessDraw):
            return question.answer(state)
        return super().answer(state, question)

    def combine(self, left: Any, right: Any) -> Any:
        """As the answers have it."""
        return (
            left.merge(right)
            if isinstance(left, Worth | DrawSums)
            else super().combine(left, right)
        )

    def advance(self, question: Any, answer: Any) -> Any:
        """From values to the draw, from the draw to what it is worth."""
        if isinstance(question, Value | AssessDraw):
            return question.advance(answer)
        following = super().advance(question, answer)
        if isinstance(question, Draw) and isinstance(following, RankChoice):
            return AssessDraw(following, self.criterion, question.mean)
        return following

    def choose(self, state: Any, choice: RankChoice) -> Selection:
        """The draw weighs the inverse of its chances."""
        selection = super().choose(state, choice)
        if not isinstance(choice, SampleChoice):
            return selection
        taken = choice.taken(state)
        weights = (1.0 if state.mass is None else state.mass[taken]) / state.chances[taken]
        return Selection(selection.rows, weights, selection.codes, selection.scores)

    def facts(self, choice: RankChoice) -> dict[str, Any]:
        """What the sample is worth: rows of a uniform one, and how well it knows the mean."""
        if not isinstance(choice, SampleChoice):
            return {}
        return {
            "effective_sample_size": choice.effective,
            f"{self.criterion}_mean": choice.mean,
            f"{self.criterion}_mean_estimated": choice.estimate,
            f"{self.criterion}_mean_standard_error": choice.error,
        }

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Two questions more, and a chance for each row, where a sample is drawn."""
        need = super().footprint(n, d, classes, size)
        more = 2 if self.sample else 0
        return replace(
            need,
            rounds=need.rounds + more,
            state_bytes_per_row=need.state_bytes_per_row + 4 * more,
        )
