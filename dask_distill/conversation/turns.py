"""What travels between coordinator and blocks."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Message:
    """An answer on its way, and the bytes of all answers in it."""

    content: Any
    nbytes: int


@dataclass(frozen=True)
class Turn:
    """What the coordinator says next, and what the round has moved."""

    content: Any
    final: bool
    answer_bytes: int
    content_bytes: int


@dataclass(frozen=True)
class Reply:
    """What a block remembers after a question, and its answer."""

    state: Any
    message: Message


def content(turn: Turn) -> Any:
    """What a turn says; runs as a task."""
    return turn.content


def remembered(state: Any) -> Any:
    """A block before the first question, what it remembers after that."""
    return state.state if isinstance(state, Reply) else state


def payload_bytes(value: Any) -> int:
    """Bytes of the arrays in a question or answer, through dataclasses and containers."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if hasattr(value, "__dataclass_fields__"):
        return sum(payload_bytes(getattr(value, name)) for name in value.__dataclass_fields__)
    if isinstance(value, dict):
        return sum(payload_bytes(item) for item in (*value.keys(), *value.values()))
    if isinstance(value, tuple | list):
        return sum(payload_bytes(item) for item in value)
    return 8
