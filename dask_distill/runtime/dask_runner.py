"""Calls as tasks of Dask: the one way from a selection to Dask's graphs."""

import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import dask
from dask._task_spec import Task
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed

from dask_distill.runtime.client import active_client
from dask_distill.runtime.failures import plain_failures
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline, detached, evaluate
from dask_distill.runtime.progress import Progress, Silent
from dask_distill.runtime.runner import accepted, guarded
from dask_distill.runtime.silence import allowing_large_graphs
from dask_distill.runtime.stopping import refuse_stopped
from dask_distill.runtime.threads import local_threads

Value = TypeVar("Value")

# handles are Dask's own: what people see of them on a dashboard is what runs
Handle.register(Delayed)


class DaskRunner:
    """Builds tasks, and keeps results on the workers that made them."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or Silent()
        # of each block, to name rows by where one fails
        self.rows: list[tuple[int, int]] = []

    def call(
        self,
        name: str,
        function: Callable[..., Value],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Handle[Value]:
        """One task; its key is new in every run, so that no run sees another's results."""
        # the name tells block and phase where the task kills its worker
        key: Any = f"distill-{name}-{uuid.uuid4().hex}"
        if chunk is not None:
            # a task group of its own: of a large one that needs few results Dask takes the tasks
            # for readers, and gives them to any worker, to which the whole chunk then moves
            key = key, chunk
        call = delayed(guarded, pure=False, traverse=False)
        made = Inline(function, *args)
        if any(isinstance(argument, Inline) for argument in args):
            needed: list[Any] = []
            args = (detached(made, needed), *needed)
            function = evaluate
        if at is None:
            result = call(function, *args, dask_key_name=key)
            return cast(Handle[Value], _as_reader(result) if made.anywhere else result)
        with dask.annotate(workers=[at], allow_other_workers=True):
            return cast(Handle[Value], call(function, *args, dask_key_name=key))

    def places(self, results: Sequence[Handle[Any]]) -> list[str | None]:
        """One look at the scheduler, for all of them."""
        client = active_client()
        keys = [handle.key if isinstance(handle, Delayed) else None for handle in results]
        if client is None or not any(keys):
            return [None] * len(results)
        from distributed import futures_of

        held = client.who_has(futures_of(list(results)))
        return [next(iter(held.get(key, ())), None) for key in keys]

    def constant(self, value: Value | Handle[Value]) -> Handle[Value]:
        """As part of the graph: rebuilt with it, where the worker that has it is lost."""
        return cast(Handle[Value], delayed(value, traverse=False))

    def settle(
        self, watched: Sequence[Handle[Any]], kept: Sequence[Handle[Any]]
    ) -> list[Handle[Any]]:
        """Persist: with a distributed client on its workers, otherwise in this process."""
        refuse_stopped()
        handles: list[Any] = [*watched, *kept]
        client = active_client()
        with allowing_large_graphs():
            if client is None:
                with _Watch({h.key for h in handles[: len(watched)]}, self.progress):
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

    def fetch(self, result: Handle[Value]) -> Value:
        """Compute one small result."""
        refuse_stopped()
        with plain_failures(self.rows):
            return accepted(_value(result))

    def fetch_all(self, results: Sequence[Handle[Value]]) -> list[Value]:
        """Bring small results here, in one computation."""
        refuse_stopped()
        with plain_failures(self.rows):
            return [accepted(result) for result in dask.compute(*results)]

    def from_dask(self, part: Delayed) -> Handle[Any]:
        """The task itself."""
        return cast(Handle[Any], part)

    def to_dask(self, result: Handle[Any]) -> Delayed:
        """The task, and one more that raises what was refused."""
        return cast(Delayed, delayed(accepted, pure=False)(result))


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


class _Watch(Callback):
    """Reports finished tasks of Dask's local schedulers."""

    def __init__(self, keys: set[str], progress: Progress) -> None:
        super().__init__(posttask=self._done)  # type: ignore[no-untyped-call]
        self._keys = keys
        self._progress = progress

    def _done(self, key: Any, *_: Any) -> None:
        if key in self._keys:
            self._progress.advance()
