"""The base of strategies whose questions know what to do with them, and their last word."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Final, Selection
from dask_distill.kernels.masses import counted
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.parts.ranking import RankAnswer, Ranking, RankQuestion
from dask_distill.strategies.parts.steps import AddedUp


class Answer(Protocol):
    """What a block says; knows how to unite with another block's."""

    def merge(self, other: Any) -> Self:
        """Associative and commutative, up to the order of what is kept apart."""


class Step(Protocol):
    """A question, as five functions have it, without the last."""

    def observe(self, state: Any) -> Any:
        """On a worker: the block's new state."""

    def answer(self, state: Any) -> Any:
        """On a worker: an `Answer`."""

    def advance(self, answer: Any) -> Any:
        """On the coordinator: the next step, or the last word."""


@dataclass(frozen=True)
class RowChoice(Final):
    """The rows that are selected.

    Attributes
    ----------
    rows : (k,) int64 array
        Global row numbers, ascending.
    weights : (k,) float64 array
    scores : dict of (k,) float32 arrays
    told : dict
        For the provenance.
    """

    rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    scores: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        rows: npt.NDArray[np.int64],
        weights: npt.NDArray[np.float64],
        scores: dict[str, npt.NDArray[np.float32]],
        told: dict[str, Any],
    ) -> "RowChoice":
        """In row order."""
        order = np.argsort(rows)
        ordered = {name: values[order] for name, values in scores.items()}
        return cls(rows[order], weights[order], ordered, told)

    def of_block(self, state: Any) -> Selection:
        """Those that lie in a block, whose state has ``rows`` and ``codes``."""
        low, high = 0, 0
        if len(state.rows):
            low = int(np.searchsorted(self.rows, state.rows[0]))
            high = int(np.searchsorted(self.rows, state.rows[-1], side="right"))
        rows = self.rows[low:high]
        codes = None
        if state.codes is not None:
            codes = state.codes[np.searchsorted(state.rows, rows)]
        scores = {name: values[low:high] for name, values in self.scores.items()}
        return Selection(rows, self.weights[low:high], codes, scores)


@dataclass(frozen=True)
class Tally(AddedUp):
    """(G,) rows of each group, and what they stand for where they are not alike."""

    counts: npt.NDArray[np.int64]
    masses: npt.NDArray[np.int64] | None = None

    @classmethod
    def of(
        cls,
        groups: npt.NDArray[np.integer[Any]],
        number: int,
        mass: npt.NDArray[np.float64] | None = None,
    ) -> "Tally":
        """Count the rows of so many groups."""
        masses = None if mass is None else counted(groups, number, mass)
        return cls(counted(groups, number), masses)

    @property
    def shares(self) -> npt.NDArray[np.int64]:
        """What each group's rows stand for: their number, where they are alike."""
        return self.counts if self.masses is None else self.masses


@dataclass(frozen=True)
class Stepwise(Strategy):
    """Base of strategies that are steps; states have ``rows`` and ``codes``."""

    takes_weights: ClassVar[bool] = True

    def observe(self, state: Any, question: Any) -> Any:
        """As the step has it."""
        return question.observe(state)

    def answer(self, state: Any, question: Any) -> Any:
        """As the step has it."""
        return question.answer(state)

    def combine(self, left: Any, right: Any) -> Any:
        """As the answers have it."""
        return left.merge(right)

    def advance(self, question: Any, answer: Any) -> Any:
        """As the step has it."""
        return question.advance(answer)

    def choose(self, state: Any, choice: RowChoice) -> Selection:
        """The selected rows that lie in this block."""
        return choice.of_block(state)

    def facts(self, choice: RowChoice) -> dict[str, Any]:
        """As the last step has it."""
        return choice.told


@dataclass(frozen=True)
class SteppedRanking(Ranking):
    """Base of strategies whose steps lead to a draw, or from one: rankings among other steps."""

    def observe(self, state: Any, question: Any) -> Any:
        """As the step has it, or the ranking."""
        if isinstance(question, RankQuestion):
            return super().observe(state, question)
        return question.observe(state)

    def answer(self, state: Any, question: Any) -> Any:
        """As the step has it, or the ranking."""
        if isinstance(question, RankQuestion):
            return super().answer(state, question)
        return question.answer(state)

    def combine(self, left: Any, right: Any) -> Any:
        """As the answers have it, or the ranking."""
        if isinstance(left, RankAnswer):
            return super().combine(left, right)
        return left.merge(right)

    def advance(self, question: Any, answer: Any) -> Any:
        """As the step has it, or the ranking."""
        if isinstance(question, RankQuestion):
            return super().advance(question, answer)
        return question.advance(answer)
