"""What many questions and answers do alike: change nothing, lie side by side, add up."""

from dataclasses import fields
from typing import Any, Self, TypeVar

import numpy as np

State = TypeVar("State")
Answer = TypeVar("Answer")


class Inquiry:
    """A question that changes nothing of what a block knows."""

    def observe(self, state: State) -> State:
        """Nothing changes."""
        return state


class SideBySide:
    """An answer, a dataclass, whose fields lie one after the other in the order of the blocks."""

    def merge(self, other: Self) -> Self:
        """Side by side."""
        return side_by_side(self, other)


class AddedUp:
    """An answer, a dataclass, whose fields are numbers or counts that add up, or None."""

    def merge(self, other: Self) -> Self:
        """They add up."""
        return _by_field(self, other, _sum)


def side_by_side(left: Answer, right: Answer) -> Answer:
    """Two answers as one: arrays and tuples joined, dicts united, answers within merged.

    Plain numbers are what both have in common.

    Parameters
    ----------
    left, right : instances of one dataclass

    Examples
    --------
    >>> from dask_distill.strategies.parts.held import Pool
    >>> one = Pool(np.array([3]), np.zeros((1, 2)), np.ones(1))
    >>> side_by_side(one, one).rows
    array([3, 3])
    """
    return _by_field(left, right, _joined)


def _by_field(left: Answer, right: Answer, join: Any) -> Answer:
    both: Any = left
    made: Answer = type(both)(
        **{
            field.name: join(getattr(left, field.name), getattr(right, field.name))
            for field in fields(both)
        }
    )
    return made


def _joined(left: Any, right: Any) -> Any:
    if isinstance(left, np.ndarray):
        return np.concatenate([left, right])
    if isinstance(left, dict):
        return left | right
    if isinstance(left, tuple):
        return left + right
    return left.merge(right) if hasattr(left, "merge") else left


def _sum(left: Any, right: Any) -> Any:
    return None if left is None or right is None else left + right
