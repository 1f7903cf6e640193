"""What a strategy adds to a conversation: a name, its needs, the first question."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar

from dask_distill.conversation.protocol import Selection
from dask_distill.data.blocks import Block
from dask_distill.support.options import OneOf, check_options
from dask_distill.survey.schema import Schema


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What a strategy needs, for the plan.

    Attributes
    ----------
    rounds : int
        Questions asked, about.
    state_bytes_per_row : float
        What blocks remember between questions.
    answer_bytes_per_block : float
    pool_rows : float
        Rows that meet on the coordinator at once.
    worked_bytes : float
        What the coordinator works with beside them.
    pool_rows_of_a_block, pool_rows_beside : float
        At most so many of them come from each block, and from elsewhere, whatever the size.
    """

    rounds: int
    state_bytes_per_row: float
    answer_bytes_per_block: float
    pool_rows: float
    worked_bytes: float = 0.0
    pool_rows_of_a_block: float = math.inf
    pool_rows_beside: float = 0.0

    def pool(self, n: int, blocks: int) -> int:
        """Rows that meet at once, of n in so many blocks: at most."""
        bound = self.pool_rows_beside + blocks * self.pool_rows_of_a_block
        return int(min(n, self.pool_rows, bound))


# options by name: (low, high) of a float, or a tuple of choices
Ranges = Mapping[str, tuple[Any, ...]]
# what labels may be beside classes: numbers, and several a row
NUMBERS, SEVERAL = "regression", "multilabel"
TARGETS = frozenset({NUMBERS, SEVERAL})


# what several have as options
METRIC = OneOf("euclidean", "cosine")
SCALE = OneOf("standard", "none")
BALANCE = OneOf("proportional", "sqrt", "equal")
AS_IT_IS = "leave it out for proportional"


@dataclass(frozen=True)
class Strategy:
    """Base of all strategies; their options are dataclass fields, with what each may be."""

    name: ClassVar[str]
    # what it is taken for, in 60 characters
    when: ClassVar[str] = ""
    # whether people choose it by name; False for what takes another's place
    listed: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False
    uses_proxy: ClassVar[bool] = False
    # which proxy that is, where its options do not say
    judge: ClassVar[str] = "linear"
    needs_novelty: ClassVar[bool] = False
    needs_time: ClassVar[bool] = False
    # whether another seed can give other rows
    uses_seed: ClassVar[bool] = True
    # whether it counts rows as often as they stand for one; see `Block`
    takes_weights: ClassVar[bool] = False
    # what labels it takes beside classes
    tasks: ClassVar[frozenset[str]] = frozenset()
    # whether the rare ones of several labels get quotas of their own, as classes do
    takes_strata: ClassVar[bool] = False
    # whether it can go on from a sample of what came before, where data grows
    grows: ClassVar[bool] = False
    # whether rows are drawn by their numbers and classes, whatever their features; or may be, as
    # the sample decides: then `reads_features` tells
    draws_by_number: ClassVar[bool] = False
    may_draw_by_number: ClassVar[bool] = False
    # what a search tries of its options beside their defaults; None where it is not searched
    ranges: ClassVar[Ranges | None] = None
    # options that it is searched with
    searched_with: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    # whether its option balance, where it has one, is for classes
    balances_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def works_alone(cls) -> bool:
        """Whether it works on features alone, with its defaults."""
        return not (cls.needs_time or cls.needs_novelty) and not cls().requires_labels(None)

    @property
    def warning(self) -> str | None:
        """Why these options are known to hurt, for the user; None where they are not."""
        return None

    @property
    def judged_by(self) -> str:
        """The built-in proxy by which it scores rows."""
        return str(getattr(self, "proxy", self.judge))

    @property
    def first_round(self) -> str | None:
        """What blocks do at first, as its tasks are called; None for what has no name."""
        return "score" if self.uses_proxy else None

    def ranked_by(self, *, labelled: bool) -> tuple[str, ...]:
        """Scores of rows, as `score` gives them, that decide what is selected; mostly none."""
        return ()

    def requires_labels(self, proxy: Any) -> bool:
        """Whether it cannot work without labels, given the user's proxy or None."""
        return self.needs_labels

    def check_time(self, dates: bool) -> None:
        """Refuse options that do not fit times which are dates, or plain numbers."""

    def check_size(self, size: int, n: int) -> None:
        """Refuse as many rows of n as its options do not allow."""

    def ask(self, schema: Schema, size: int, proxy: Any) -> Any:
        """The first question; runs as a task. ``proxy`` is the user's estimator or None."""
        raise NotImplementedError

    def observe(self, state: Any, question: Any) -> Any:
        """On a worker: what a block knows after a question; at first it is the block."""
        raise NotImplementedError

    def answer(self, state: Any, question: Any) -> Any:
        """On a worker: a small answer."""
        raise NotImplementedError

    def combine(self, left: Any, right: Any) -> Any:
        """Associative; called in a tree whose shape depends on the number of blocks alone."""
        raise NotImplementedError

    def advance(self, question: Any, answer: Any) -> Any:
        """On the coordinator: the next question, or a `Final`."""
        raise NotImplementedError

    def choose(self, state: Any, choice: Any) -> Selection:
        """On a worker: what this block selects."""
        raise NotImplementedError

    @property
    def standardises(self) -> bool:
        """Whether features are divided by their standard deviation."""
        own = getattr(self, "scale", None)
        return own == "standard" or (own is None and self.uses_proxy)

    @property
    def class_balance(self) -> str:
        """What it was asked to make the classes' parts proportional to: rows, or less."""
        own = getattr(self, "balance", None) if self.balances_classes else None
        return own or "proportional"

    @property
    def class_floor(self) -> int | None:
        """Rows of each class that it was asked for, 0 for the default; None without floors."""
        own = getattr(self, "floor", None)
        # that of an importance sample is a chance
        return own if isinstance(own, int) else None

    @property
    def counts_chosen(self) -> bool:
        """Whether it wants the features of rows that are chosen before it begins."""
        return False

    @property
    def settled(self) -> str | None:
        """Why the survey's sample decides nothing of what is done; None where it does."""
        return "it selects as its options say"

    @property
    def joins(self) -> bool:
        """Whether blocks may be put together, since the result does not depend on them."""
        return False

    def join(self, question: Any, blocks: list[Block]) -> Any:
        """On a worker: neighbouring blocks as one state; the list may be emptied on the way."""
        raise NotImplementedError

    def reads_features(self, question: Any) -> bool:
        """Whether blocks look at features for an answer to this first question; runs as a task.

        Where they do not, none are read: rows of such a block have no column.
        """
        return True

    def facts(self, choice: Any) -> dict[str, Any]:
        """What the provenance tells of the choice, JSON-able."""
        return {}

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """What the plan reckons with."""
        raise NotImplementedError


def describe_options(strategy: Strategy) -> dict[str, Any]:
    """A strategy's options, functions by their name."""
    options = {field.name: getattr(strategy, field.name) for field in fields(strategy)}
    return {
        name: getattr(value, "__qualname__", repr(value)) if callable(value) else value
        for name, value in options.items()
    }
