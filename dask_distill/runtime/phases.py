"""Phases one after the other, and the time that each took: every second belongs to one."""

import logging
import time

from dask_distill.runtime.progress import Progress, TerminalBar

logger = logging.getLogger(__name__)


class Consecutive:
    """Phases of which each ends where the next one begins; whoever shows them sees pairs.

    Parameters
    ----------
    progress : Progress
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._open = False

    def start(self, phase: str, total: int = 0) -> None:
        """End the phase before, and begin this one."""
        self.finish()
        self._progress.start(phase, total)
        self._open = True

    def advance(self) -> None:
        """A block is done."""
        self._progress.advance()

    def finish(self) -> None:
        """End the phase, if there is one."""
        if self._open:
            self._progress.finish()
        self._open = False


class Timed(Consecutive):
    """Phases with the time each took: what lies between two belongs to the first.

    Parameters
    ----------
    progress : Progress
    began : float
        When the first phase began, by `time.perf_counter`.
    """

    def __init__(self, progress: Progress, began: float) -> None:
        super().__init__(progress)
        self._name, self._told, self._since = "", "", began
        self._seconds: dict[str, float] = {}

    def start(self, phase: str, total: int = 0) -> None:
        """End the phase before, and begin this one."""
        super().start(phase, total)
        self._note(phase)

    def open(self, phase: str) -> None:
        """Begin a phase that is shown on a terminal, and in no log: it may end in a refusal."""
        if isinstance(self._progress, TerminalBar):
            super().start(phase, 0)
        else:
            super().finish()
        self._note(phase)

    def seconds(self) -> dict[str, float]:
        """Seconds by the first words of phases, so far, and their sum as ``total``.

        Examples
        --------
        >>> from dask_distill.runtime.progress import Silent
        >>> timed = Timed(Silent(), time.perf_counter())
        >>> timed.start("survey", 3)
        >>> timed.start("select, question 2", 3)
        >>> list(timed.seconds())
        ['survey', 'select', 'total']
        """
        self._note(self._name)
        found = {name: round(seconds, 3) for name, seconds in self._seconds.items()}
        return found | {"total": round(sum(found.values()), 3)}

    def _note(self, phase: str) -> None:
        now = time.perf_counter()
        if self._name:
            self._seconds.setdefault(self._name, 0.0)
            self._seconds[self._name] += now - self._since
            logger.debug("%s took %.3f s", self._told, now - self._since)
            self._since = now
        self._told = phase
        # what was before the first phase belongs to it
        self._name = phase.replace(",", "").partition(" ")[0]
