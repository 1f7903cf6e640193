"""Where calls run: at once on values, or as tasks of a graph."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dask
from dask._task_spec import Task
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed

from dask_distill.errors import InputError
from dask_distill.runtime.client import active_client
from dask_distill.runtime.failures import plain_failures
from dask_distill.runtime.inline import Inline, detached, evaluate
from dask_distill.runtime.progress import Progress, Silent
from dask_distill.runtime.silence import allowing_large_graphs
from dask_distill.runtime.stopping import refuse_stopped
from dask_distill.runtime.threads import local_threads


@dataclass(frozen=True)
class Refusal:
    """An `InputError` on its way to the user."""

    reason: str


class Runner(Protocol):
    """Where calls run: at once on values, or as tasks of a graph.

    ``rows`` are the first row and the one after the last of each block, to name them in errors.
    """

    rows: list[tuple[int, int]]

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Any:
        """Call a function on results of earlier calls, at a worker if it is there.

        ``chunk`` is the number of the source's chunk that it takes rows of, and is made beside.
        """

    def constant(self, value: Any) -> Any:
        """A result that is a value which is here."""

    def places(self, results: Sequence[Any]) -> list[str | None]:
        """The workers where results are; None where that is not known."""

    def settle(self, watched: Sequence[Any], kept: Sequence[Any]) -> list[Any]:
        """Compute ``watched + kept``, where they are; report each of the watched as done."""

    def parallelism(self) -> int:
        """Tasks that run at a time."""

    def fetch(self, result: Any) -> Any:
        """Bring a small result here."""

    def fetch_all(self, results: Sequence[Any]) -> list[Any]:
        """Bring small results here, in one computation."""


class LocalRunner:
    """Calls functions at once: the reference, and the driver for NumPy blocks."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int]] = []

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Any:
        """Call it now."""
        if any(isinstance(argument, Inline) for argument in args):
            return _guarded(evaluate, Inline(function, *args))
        return _guarded(function, *args)

    def constant(self, value: Any) -> Any:
        """The value."""
        return value

    def places(self, results: Sequence[Any]) -> list[str | None]:
        """Everything is here."""
        return [None] * len(results)

    def settle(self, watched: Sequence[Any], kept: Sequence[Any]) -> list[Any]:
        """Everything is there already."""
        return [*watched, *kept]

    def parallelism(self) -> int:
        """One after the other."""
        return 1

    def fetch(self, result: Any) -> Any:
        """It is here."""
        return accepted(result)

    def fetch_all(self, results: Sequence[Any]) -> list[Any]:
        """They are here."""
        return [accepted(result) for result in results]


class DaskRunner:
    """Builds tasks, and keeps results on the workers that made them."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or Silent()
        # of each block, to name rows by where one fails
        self.rows: list[tuple[int, int]] = []

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Any:
        """One task; its key is new in every run, so that no run sees another's results."""
        # the name tells block and phase where the task kills its worker
        key: Any = f"distill-{name}-{uuid.uuid4().hex}"
        if chunk is not None:
            # a task group of its own: of a large one that needs few results Dask takes the tasks
            # for readers, and gives them to any worker, to which the whole chunk then moves
            key = key, chunk
        call = delayed(_guarded, pure=False, traverse=False)
        made = Inline(function, *args)
        if any(isinstance(argument, Inline) for argument in args):
            needed: list[Any] = []
            args = (detached(made, needed), *needed)
            function = evaluate
        if at is None:
            result = call(function, *args, dask_key_name=key)
            return _as_reader(result) if made.anywhere else result
        with dask.annotate(workers=[at], allow_other_workers=True):
            return call(function, *args, dask_key_name=key)

    def places(self, results: Sequence[Any]) -> list[str | None]:
        """One look at the scheduler, for all of them."""
        client = active_client()
        keys = [handle.key if isinstance(handle, Delayed) else None for handle in results]
        if client is None or not any(keys):
            return [None] * len(results)
        from distributed import futures_of

        held = client.who_has(futures_of([handle for handle in results if handle is not None]))
        return [next(iter(held.get(key, ())), None) for key in keys]

    def constant(self, value: Any) -> Any:
        """As part of the graph: rebuilt with it, where the worker that has it is lost."""
        return delayed(value, traverse=False)

    def settle(self, watched: Sequence[Any], kept: Sequence[Any]) -> list[Any]:
        """Persist: with a distributed client on its workers, otherwise in this process."""
        refuse_stopped()
        handles = [*watched, *kept]
        client = active_client()
        with allowing_large_graphs():
            if client is None:
                with _Watch({h.key for h in watched}, self.progress):
                    return list(dask.persist(*handles))
            from distributed import as_completed, futures_of

            persisted = list(dask.persist(*handles))
            for _ in as_completed(futures_of(persisted[: len(watched)])):
                refuse_stopped()
                self.progress.advance()
            return persisted

    def parallelism(self) -> int:
        """Tasks that run at a time."""
        client = active_client()
        if client is None:
            return local_threads()
        return max(1, sum(client.nthreads().values()))

    def fetch(self, result: Any) -> Any:
        """Compute one small result."""
        refuse_stopped()
        with plain_failures(self.rows):
            return accepted(_value(result))

    def fetch_all(self, results: Sequence[Any]) -> list[Any]:
        """Bring small results here, in one computation."""
        refuse_stopped()
        with plain_failures(self.rows):
            return [accepted(result) for result in dask.compute(*results)]


def _as_reader(result: Delayed) -> Delayed:
    """The task as one that reads data: Dask gives it to the next worker that is idle.

    Otherwise it would run where something lies that it needs, be that a question.
    """
    reader = result.dask.layers[result.key][result.key]
    assert isinstance(reader, Task)
    reader._data_producer = True
    return result


def _value(result: Any) -> Any:
    """What a handle stands for: gathered where it is there already, computed otherwise."""
    if not isinstance(result, Delayed):
        return result
    client = active_client()
    if client is not None:
        from distributed import futures_of

        futures = futures_of(result)
        if [future.key for future in futures] == [result.key]:
            return client.gather(futures[0])
    return result.compute()


def _guarded(function: Callable[..., Any], *args: Any) -> Any:
    """Call, unless an earlier call was refused; a refusal is a result like any other."""
    for argument in args:
        # of several, that of the first block: the same whoever reports first
        if isinstance(argument, Refusal):
            return argument
    try:
        return function(*args)
    except InputError as error:
        return Refusal(str(error))


def accepted(result: Any) -> Any:
    """A result, unless it is a refusal, which is raised.

    Raises
    ------
    InputError
    """
    if isinstance(result, Refusal):
        raise InputError(result.reason)
    return result


class _Watch(Callback):
    """Reports finished tasks of Dask's local schedulers."""

    def __init__(self, keys: set[str], progress: Progress) -> None:
        super().__init__(posttask=self._done)  # type: ignore[no-untyped-call]
        self._keys = keys
        self._progress = progress

    def _done(self, key: Any, *_: Any) -> None:
        if key in self._keys:
            self._progress.advance()


def part(name: str, number: int, parts: Sequence[Any]) -> str:
    """The name of a call on one of several parts."""
    return f"{name}-{number}-of-{len(parts)}"
