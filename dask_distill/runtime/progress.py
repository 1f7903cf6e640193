"""How far a run is: bars, a notebook's table, log lines; nothing in a library call by itself."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.progress import TaskID

logger = logging.getLogger("dask_distill")


class Progress(Protocol):
    """Phases, one after the other."""

    def start(self, phase: str, total: int) -> None:
        """A phase begins, of so many blocks; 0 where nobody knows how far it is."""

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


@contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[Progress]:
    """Show phases, blocks done, rate and time left: as bars, in a notebook's cell, or as log lines.

    Parameters
    ----------
    quiet : bool
        Show nothing.

    Yields
    ------
    Progress
        To give to `dask_distill.distill` and others as ``progress``.

    Examples
    --------
    >>> from dask_distill import distill
    >>> with show_progress(quiet=True) as progress:
    ...     coreset = distill([[1.0], [2.0]], size=1, strategy="random", progress=progress)
    """
    if quiet:
        yield Silent()
    elif _in_notebook():
        yield NotebookTable()
    elif sys.stderr.isatty():
        with TerminalBar() as bar:
            yield bar
    else:
        with _logged_to_stderr():
            yield LogLines()


def how_far(done: int, total: int, seconds: float) -> str:
    """Blocks done, rate and time left, in words.

    Examples
    --------
    >>> how_far(10, 40, 5.0)
    '10 of 40 blocks, 2.0/s, 15 s left'
    >>> how_far(0, 40, 5.0)
    '0 of 40 blocks'
    """
    text = f"{done:,} of {total:,} blocks"
    if done == 0 or seconds <= 0:
        return text
    rate = done / seconds
    text += f", {rate:.1f}/s"
    return text if done >= total else f"{text}, {_shown_seconds((total - done) / rate)} left"


class LogLines:
    """A log line when a phase begins and when it ends, and one now and then between.

    Parameters
    ----------
    every : float
        Seconds between lines on the same phase.
    """

    def __init__(self, every: float = 30.0) -> None:
        self._every = every
        self._phase = ""
        self._done, self._total = 0, 0
        self._started = self._told = 0.0

    def start(self, phase: str, total: int) -> None:
        """Log the beginning."""
        self._phase, self._done, self._total = phase, 0, total
        self._started = self._told = time.perf_counter()
        if total:
            logger.info("%s: %d blocks", phase, total)
        else:
            logger.info("%s", phase)

    def advance(self) -> None:
        """Log how far it is, where the last line is old: one a block would drown the log."""
        self._done += 1
        now = time.perf_counter()
        if now - self._told >= self._every and self._done < self._total:
            self._told = now
            far = how_far(self._done, self._total, now - self._started)
            logger.info("%s: %s", self._phase, far)

    def finish(self) -> None:
        """Log the time taken."""
        seconds = time.perf_counter() - self._started
        logger.info("%s: done in %.1f s", self._phase, seconds)


@dataclass
class _Phase:
    """A line of a notebook's table."""

    name: str
    total: int
    started: float
    done: int = 0
    seconds: float | None = None

    def cells(self) -> tuple[str, ...]:
        took = self.seconds
        if not self.total:
            return self.name, "" if took is None else _shown_seconds(took)
        if took is not None:
            return self.name, f"{self.total:,} of {self.total:,} blocks, {_shown_seconds(took)}"
        return self.name, how_far(self.done, self.total, time.perf_counter() - self.started)


class NotebookTable:
    """A table in a notebook's cell, one line a phase, brought up to date in place.

    Parameters
    ----------
    every : float
        Seconds between updates.
    """

    def __init__(self, every: float = 0.25) -> None:
        self._every = every
        self._phases: list[_Phase] = []
        self._handle: Any = None
        self._told = 0.0

    def start(self, phase: str, total: int) -> None:
        """Begin a line."""
        self._phases.append(_Phase(phase, total, time.perf_counter()))
        self._show()

    def advance(self) -> None:
        """Move the line by a block."""
        if self._phases:
            self._phases[-1].done += 1
        if time.perf_counter() - self._told >= self._every:
            self._show()

    def finish(self) -> None:
        """Leave the line full."""
        if self._phases:
            last = self._phases[-1]
            last.seconds = time.perf_counter() - last.started
        self._show()

    def _repr_html_(self) -> str:
        lines = []
        for phase in self._phases:
            name, words = map(escape, phase.cells())
            done = phase.total if phase.seconds is not None else phase.done
            bar = f'<progress max="{max(1, phase.total)}" value="{done}"></progress>'
            lines.append(
                f'<tr><th scope="row" style="text-align:left">{name}</th><td>{bar}</td>'
                f'<td style="text-align:left">{words}</td></tr>'
            )
        return f"<table><tbody>{''.join(lines)}</tbody></table>"

    def __repr__(self) -> str:
        return "\n".join(": ".join(phase.cells()) for phase in self._phases)

    def _show(self) -> None:
        from IPython.display import display

        self._told = time.perf_counter()
        if self._handle is None:
            show: Any = display
            self._handle = show(self, display_id=True)
        else:
            self._handle.update(self)


class TerminalBar:
    """A bar a phase, with blocks done, rate and time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress as Bars,
            ProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Counted(ProgressColumn):
            """A column that is empty where nobody knows how far it is."""

            def __init__(self, column: ProgressColumn) -> None:
                super().__init__()
                self._column = column

            def render(self, task: Any) -> Any:
                return self._column(task) if task.fields["counted"] else Text("")

        class Rate(ProgressColumn):
            def render(self, task: Any) -> Text:
                speed = task.finished_speed or task.speed
                return Text("" if speed is None else f"{speed:.1f}/s")

        self._bars = Bars(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            Counted(MofNCompleteColumn()),
            Counted(Rate()),
            TimeElapsedColumn(),
            Counted(TimeRemainingColumn()),
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
        if self._task is not None and kind is not None:
            # it has come to nothing, and what is told of it stands alone
            self._bars.remove_task(self._task)
        self._bars.stop()

    def start(self, phase: str, total: int) -> None:
        """Begin a bar."""
        self._task = self._bars.add_task(phase, total=total or None, counted=bool(total))

    def advance(self) -> None:
        """Move the bar by a block."""
        if self._task is not None:
            self._bars.advance(self._task)

    def finish(self) -> None:
        """Leave the bar full."""
        if self._task is not None:
            total = self._bars.tasks[self._task].total or 1
            self._bars.update(self._task, total=total, completed=total)
        self._task = None


def _in_notebook() -> bool:
    """Whether a kernel runs us, which shows what it is given; a terminal's IPython is none."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@contextmanager
def _logged_to_stderr() -> Iterator[None]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    # how far it is, and no more, whatever else is sent to other handlers
    handler.setLevel(logging.INFO)
    handler.addFilter(lambda record: record.name == logger.name)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(min(logging.INFO, logger.level or logging.INFO))
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _shown_seconds(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
