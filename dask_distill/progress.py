"""How far a run is: a line on a terminal, log lines elsewhere, nothing in a library call."""

import logging
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID

logger = logging.getLogger("dask_distill")


class Progress(Protocol):
    """Phases with a known number of blocks."""

    def start(self, phase: str, total: int) -> None:
        """A phase begins."""

    def advance(self) -> None:
        """A block is done."""

    def finish(self) -> None:
        """The phase is over."""


def countdown(phase: str, progress: Progress) -> Callable[[int], None]:
    """A function that is told how many are left, and tells it as a phase."""
    begun = False

    def tell(left: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            progress.start(phase, left)
        else:
            progress.advance()
        if left == 0:
            progress.finish()

    return tell


class Silent:
    """Says nothing."""

    def start(self, phase: str, total: int) -> None:
        """Say nothing."""

    def advance(self) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""


class LogLines:
    """One log line when a phase begins, one when it ends."""

    def __init__(self) -> None:
        self._phase = ""
        self._total = 0
        self._started = 0.0

    def start(self, phase: str, total: int) -> None:
        """Log the beginning."""
        self._phase, self._total, self._started = phase, total, time.perf_counter()
        logger.info("%s: %d blocks", phase, total)

    def advance(self) -> None:
        """Nothing: one line a block would drown the log."""

    def finish(self) -> None:
        """Log the time taken."""
        seconds = time.perf_counter() - self._started
        logger.info("%s: done in %.1f s", self._phase, seconds)


class TerminalBar:
    """A bar a phase, with blocks done and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
        )
        self._task: TaskID | None = None

    def __enter__(self) -> "TerminalBar":
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def start(self, phase: str, total: int) -> None:
        """Begin a bar."""
        self._task = self._bars.add_task(phase, total=total)

    def advance(self) -> None:
        """Move the bar by a block."""
        if self._task is not None:
            self._bars.advance(self._task)

    def finish(self) -> None:
        """Leave the bar full."""
        if self._task is not None:
            self._bars.update(self._task, completed=self._bars.tasks[self._task].total)
        self._task = None
