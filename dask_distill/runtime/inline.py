"""Calls that are made within the task that needs their result: what they give never moves."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from dask_distill.runtime.handle import Handle

Value = TypeVar("Value")


class Inline(Handle[Value], Generic[Value]):
    """A call that is made within the task that needs its result, so that no such result moves.

    Arguments may be results of earlier calls, and calls of this kind. It is an argument of calls
    alone: nobody settles or fetches one.

    ``anywhere`` says that the task may run on any worker that has time, wherever the results lie
    that it needs: it reads most of its data itself.
    """

    # not a dataclass: Dask would look for its own objects in there
    def __init__(
        self, function: Callable[..., Value], *arguments: Any, anywhere: bool = False
    ) -> None:
        self.function = function
        self.arguments = arguments
        self.anywhere: bool = anywhere or any(
            isinstance(argument, Inline) and argument.anywhere for argument in arguments
        )

    @property
    def waits(self) -> bool:
        """Whether it needs results of earlier calls."""
        return any(
            argument.waits if isinstance(argument, Inline) else isinstance(argument, Handle)
            for argument in self.arguments
        )


def leaves(arguments: Iterable[Any]) -> Iterator[Any]:
    """Arguments, and those of inline calls among them in their place."""
    for argument in arguments:
        if isinstance(argument, Inline):
            yield from leaves(argument.arguments)
        else:
            yield argument


class _Needed:
    """Stands for a result of an earlier call within an inline one."""

    def __init__(self, number: int) -> None:
        self.number = number


def detached(call: Inline[Value], needed: list[Any]) -> Inline[Value]:
    """A call without the results that it needs, which are put into a list."""
    arguments: list[Any] = []
    for argument in call.arguments:
        if isinstance(argument, Inline):
            arguments.append(detached(argument, needed))
        elif isinstance(argument, Handle):
            arguments.append(_Needed(len(needed)))
            needed.append(argument)
        else:
            arguments.append(argument)
    return Inline(call.function, *arguments)


def evaluate(call: Inline[Value], *needed: Any) -> Value:
    """Make an inline call, on a worker."""

    def value(argument: Any) -> Any:
        if isinstance(argument, Inline):
            return argument.function(*map(value, argument.arguments))
        return needed[argument.number] if isinstance(argument, _Needed) else argument

    made: Value = value(call)
    return made
