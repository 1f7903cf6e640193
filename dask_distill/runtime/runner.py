"""The seam to the engine: where calls run, at once on values or as tasks somewhere else.

An engine is a class that has what `Runner` says. `DaskRunner` is the one that a selection runs on,
and alone knows Dask's graphs; `LocalRunner` shows what must come out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from dask_distill.errors import InputError
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline, evaluate, leaves

if TYPE_CHECKING:
    from dask.delayed import Delayed

Value = TypeVar("Value")


class Runner(Protocol):
    """Where calls run: all that a selection asks of an engine.

    A selection is calls of functions on results of earlier calls. It names them, hands handles on,
    and brings home the little that it must know; it builds no graph, and never sees where rows
    lie. Whoever writes an engine may rely on this:

    - **Functions are pure.** The same arguments give the same result, bit for bit, on any worker
      and in any order; no argument is changed, but for what an `Inline` has made for this call
      alone. So a call may be made at any time between `call` and the first look at its result,
      made again where it failed or its result was lost, and made twice at once. (What a function
      writes into a run's journal, it may write twice.)
    - **Arguments** are handles, `Inline` calls, and plain values, which all can be pickled. A
      handle's place is taken by its value, an `Inline`'s by what ``function(*arguments)`` gives,
      made within the same task, its own arguments treated alike. Nothing else is looked into: no
      handle lies within a list or a record.
    - **Names** say the stage and, of a call on one of several blocks, which: see `part`. They are
      for people, in errors and on a dashboard; several calls may have one name.
    - **Refusals.** An `InputError` is an answer, not a fault: it is not tried again. A call of
      whose arguments some were refused is not made, and is refused as the first of them was, in
      their order; to fetch it raises that error. Any other exception is a fault of the call, which
      an engine may try again as often as it likes.
    - **Hints** are ``at``, ``chunk``, `Inline.anywhere` and `places`: an engine that knows no
      places ignores them, and gives the same rows.

    Data sets are Dask arrays, in and out: `from_dask` and `to_dask` are the two doors. A selection
    on an engine is ``select(asked, Run(engine))``; ``tests/engine.py`` has a small one.

    Attributes
    ----------
    rows : list of (int, int)
        The first row and the one after the last of each block, to name them in errors; set by
        whoever cuts a data set into blocks.
    """

    rows: list[tuple[int, int]]

    def call(
        self,
        name: str,
        function: Callable[..., Value],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Handle[Value]:
        """Call a function; what it gives stays where it is made.

        Parameters
        ----------
        name : str
        function : callable
        args : handles, `Inline` calls and plain values
        at : str, optional
            The worker, of those that `places` tells, that has what the call needs; another may
            make it where that one is gone.
        chunk : int, optional
            Number of the source's chunk that it takes rows of; it is best made beside that.
        """

    def constant(self, value: Value | Handle[Value]) -> Handle[Value]:
        """A handle of a value that is here, for arguments that many calls share: sent once.

        A handle stays what it is.
        """

    def places(self, results: Sequence[Handle[Any]]) -> list[str | None]:
        """The worker where each result is; None where that is not known, and of an `Inline`."""

    def settle(
        self, watched: Sequence[Handle[Any]], kept: Sequence[Handle[Any]]
    ) -> list[Handle[Any]]:
        """Make ``watched + kept`` now, and hold what they give; as handles, in this order.

        Ends when the watched are made, each of which is reported as progress. What is needed of a
        handle that is not settled may be made again for each who needs it; of one that is, it is
        made once, until all who know the new handle have forgotten it or its worker is lost.
        """

    def parallelism(self) -> int:
        """Tasks that run at a time."""

    def fetch(self, result: Handle[Value]) -> Value:
        """Bring a small result here; made now, where it is not yet.

        Raises
        ------
        InputError
            Where the call was refused.
        """

    def fetch_all(self, results: Sequence[Handle[Value]]) -> list[Value]:
        """Bring small results here, at once; of several that were refused the first is raised."""

    def from_dask(self, part: "Delayed") -> Handle[Any]:
        """What one task of a Dask collection gives: a chunk of the source, say."""

    def to_dask(self, result: Handle[Any]) -> "Delayed":
        """A result for those who take Dask collections alone; raises there what fetching would."""


@dataclass(frozen=True)
class Refusal:
    """An `InputError` on its way to the user."""

    reason: str


class LocalRunner:
    """Calls functions at once: the reference, and the driver for NumPy blocks.

    Its handles are the values themselves.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []

    def call(
        self,
        name: str,
        function: Callable[..., Value],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Handle[Value]:
        """Call it now."""
        refused = next((each for each in leaves(args) if isinstance(each, Refusal)), None)
        made = refused or guarded(evaluate, Inline(function, *args))
        return cast(Handle[Value], made)

    def constant(self, value: Value | Handle[Value]) -> Handle[Value]:
        """The value."""
        return cast(Handle[Value], value)

    def places(self, results: Sequence[Handle[Any]]) -> list[str | None]:
        """Everything is here."""
        return [None] * len(results)

    def settle(
        self, watched: Sequence[Handle[Any]], kept: Sequence[Handle[Any]]
    ) -> list[Handle[Any]]:
        """Everything is there already."""
        return [*watched, *kept]

    def parallelism(self) -> int:
        """One after the other."""
        return 1

    def fetch(self, result: Handle[Value]) -> Value:
        """It is here."""
        return accepted(cast(Value | Refusal, result))

    def fetch_all(self, results: Sequence[Handle[Value]]) -> list[Value]:
        """They are here."""
        return [self.fetch(result) for result in results]

    def from_dask(self, part: "Delayed") -> Handle[Any]:
        """Computed now."""
        return cast(Handle[Any], part.compute())

    def to_dask(self, result: Handle[Any]) -> "Delayed":
        """The value, in a graph of its own."""
        from dask.delayed import delayed

        return cast("Delayed", delayed(accepted, pure=False, traverse=False)(result))


def guarded(function: Callable[..., Value], *args: Any) -> Value | Refusal:
    """Call, unless an earlier call was refused; a refusal is a result like any other."""
    for argument in args:
        # of several, that of the first block: the same whoever reports first
        if isinstance(argument, Refusal):
            return argument
    try:
        return function(*args)
    except InputError as error:
        return Refusal(str(error))


def accepted(result: Value | Refusal) -> Value:
    """A result, unless it is a refusal, which is raised.

    Raises
    ------
    InputError
    """
    if isinstance(result, Refusal):
        raise InputError(result.reason)
    return result


def part(name: str, number: int, parts: Sequence[Any]) -> str:
    """The name of a call on one of several parts."""
    return f"{name}-{number}-of-{len(parts)}"
