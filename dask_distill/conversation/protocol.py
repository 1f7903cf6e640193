"""A conversation between a coordinator and blocks, as pure functions: what the runner drives."""

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

Chosen_co = TypeVar("Chosen_co", covariant=True)


class Final:
    """Marks a conversation's last word."""


class Conversation(Protocol):
    """Questions and answers; every function is pure, and runs wherever the runner puts it."""

    def observe(self, state: Any, question: Any, /) -> Any:
        """On a worker: what a block knows after a question; at first it is the block."""

    def answer(self, state: Any, question: Any, /) -> Any:
        """On a worker: a small answer."""

    def combine(self, left: Any, right: Any, /) -> Any:
        """Associative; called in a tree whose shape depends on the number of blocks alone."""

    def advance(self, question: Any, answer: Any, /) -> Any:
        """On the coordinator: the next question, or a `Final`."""


class Choosing(Conversation, Protocol[Chosen_co]):
    """A conversation after which blocks choose rows: a `Selection` each, or what is like one."""

    def choose(self, state: Any, choice: Any, /) -> Chosen_co:
        """On a worker: what this block selects."""


@runtime_checkable
class Remembering(Protocol):
    """A state that says itself what need not be written of it."""

    def given(self, space: Any = None) -> dict[str, npt.NDArray[Any] | None]:
        """Arrays that the rows of the block give again, by name; some may be None.

        ``space`` is where a question compares rows: a block is not there yet, what it remembers
        is. A state of fewer rows than the block has gives none.
        """


@dataclass(frozen=True)
class Selection:
    """Rows that one block contributes, ascending.

    Attributes
    ----------
    rows : (k_b,) int64 array
        Global row numbers.
    weights : (k_b,) float64 array
    codes : (k_b,) int32 array of class numbers, or None
    scores : dict of (k_b,) float32 arrays
    """

    rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int32] | None
    scores: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)
