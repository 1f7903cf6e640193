"""One run: where its calls take place, who is told, what it costs, what is written of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

import dask.array as da
import numpy.typing as npt

from dask_distill.conversation.journal import Journal
from dask_distill.conversation.ledger import Ledger
from dask_distill.runtime.chunks import array_of, chunks_of
from dask_distill.runtime.client import active_client
from dask_distill.runtime.dask_runner import DaskRunner
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.phases import Consecutive
from dask_distill.runtime.progress import Progress, Silent
from dask_distill.runtime.runner import Runner
from dask_distill.runtime.stealing import keeping_blocks
from dask_distill.runtime.wire import Wire, measured

Value = TypeVar("Value")
First = TypeVar("First")
Second = TypeVar("Second")
Third = TypeVar("Third")


@dataclass(frozen=True, eq=False)
class Run:
    """What every stage of a job works with; made once.

    Attributes
    ----------
    runner : Runner
    progress : Progress
    ledger : Ledger
        Takes the cost of every round.
    wire : Wire
        Counts bytes, phase by phase.
    journal : Journal
        Has what a run that died has said and worked out, and takes what this one does.
    """

    runner: Runner
    progress: Progress = field(default_factory=Silent)
    ledger: Ledger = field(default_factory=Ledger)
    wire: Wire = field(default_factory=lambda: Wire(None))
    journal: Journal = field(default_factory=Journal)

    @classmethod
    def here(cls, progress: Progress | None = None) -> "Run":
        """On the active client, or on Dask's threads."""
        progress = Consecutive(progress or Silent())
        return cls(DaskRunner(progress), progress)

    def call(self, name: str, function: Callable[..., Value], *args: Any) -> Handle[Value]:
        """Call a function on results of earlier calls; a handle of what it gives."""
        return self.runner.call(name, function, *args)

    def constant(self, value: Value | Handle[Value]) -> Handle[Value]:
        """A handle of a value that is here: it enters a graph once, whole."""
        return self.runner.constant(value)

    def chunks(self, collection: Any, *, optimised: bool = True) -> list[Handle[Any]]:
        """The chunks of a Dask array or frame as handles; see `chunks_of`."""
        return chunks_of(collection, self.runner, optimised=optimised)

    def array(
        self,
        handles: Sequence[Handle[Any]],
        rows: Sequence[int],
        width: int,
        dtype: npt.DTypeLike,
    ) -> da.Array:
        """A Dask array of handles of (rows, width) arrays; see `array_of`."""
        return array_of(handles, rows, width, dtype, self.runner)

    @overload
    def held(self, one: Handle[First], /) -> tuple[Handle[First]]: ...
    @overload
    def held(
        self, one: Handle[First], two: Handle[Second], /
    ) -> tuple[Handle[First], Handle[Second]]: ...
    @overload
    def held(
        self, one: Handle[First], two: Handle[Second], three: Handle[Third], /
    ) -> tuple[Handle[First], Handle[Second], Handle[Third]]: ...
    @overload
    def held(self, *handles: Handle[Value]) -> tuple[Handle[Value], ...]: ...
    def held(self, *handles: Handle[Any]) -> tuple[Handle[Any], ...]:
        """The same handles, computed and kept where they are."""
        return tuple(self.runner.settle([], handles))

    def fetch(self, handle: Handle[Value]) -> Value:
        """Bring a small result here."""
        return self.runner.fetch(handle)

    def fetch_all(self, handles: Sequence[Handle[Value]]) -> list[Value]:
        """Bring small results here, in one computation."""
        return self.runner.fetch_all(handles)

    def watched(
        self, title: str, tasks: Sequence[Handle[Value]], *beside: Handle[Any]
    ) -> list[Handle[Value]]:
        """Compute tasks that people see the progress of, and keep what they and others give."""
        self.progress.start(title, len(tasks))
        done = self.runner.settle(tasks, beside)
        self.progress.finish()
        return done

    def write(self, journal: Journal, **results: Handle[Any]) -> None:
        """Write results that lie on workers into a journal, in this order, by one of them."""
        if journal.kept:
            self.fetch(self.call("keep", _write, journal, tuple(results), *results.values()))


@contextmanager
def measured_run(progress: Progress | None = None, journal: Journal | None = None) -> Iterator[Run]:
    """A run whose bytes on the wire are counted, and whose blocks stay where they are made."""
    client = active_client()
    run = Run.here(progress)
    with measured(client) as wire, keeping_blocks(client):
        yield Run(run.runner, run.progress, run.ledger, wire, journal or run.journal)
        run.progress.finish()


def _write(journal: Journal, names: Sequence[str], *values: Any) -> bool:
    return all(journal.put(name, value) for name, value in zip(names, values, strict=True))
