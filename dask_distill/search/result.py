"""What a search found: the strategy to use, all trials, the front, and the words."""

import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.statistics import METRICS, plain_fields, signed
from dask_distill.strategies.base import Strategy
from dask_distill.support.drawing import COLORS, MARKERS, Drawing, plain_label, require_matplotlib
from dask_distill.support.html import facts_table
from dask_distill.support.text import shown_bytes, shown_table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 8


def search_drawing(search: "StrategySearch") -> Drawing:
    """Trials of a search and their front: score against rows.

    Raises
    ------
    InputError
        Where matplotlib is not installed.
    """
    require_matplotlib()
    title = f"Score against rows of {len(search.trials)} trials, and those that no other beats"
    return Drawing("search", title, _front, (search,))


def _front(axes: Any, search: "StrategySearch") -> None:
    trials = [trial for trial in search.trials if trial.score is not None and not trial.stopped]
    for number, name in enumerate(dict.fromkeys(trial.strategy for trial in trials)):
        mine = [trial for trial in trials if trial.strategy == name]
        axes.scatter(
            [trial.rows for trial in mine],
            [100 * (trial.score or 0.0) for trial in mine],
            label=plain_label(name),
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            s=22,
        )
    best: dict[int, float] = {}
    for trial in trials:
        best[trial.rows] = max(best.get(trial.rows, 0.0), 100 * (trial.score or 0.0))
    steps: list[tuple[int, float]] = []
    for rows, score in sorted(best.items()):
        if not steps or score > steps[-1][1]:
            steps.append((rows, score))
    axes.plot(*zip(*steps, strict=True), color="#8a8f96", linewidth=1.2, linestyle="--", zorder=1)
    axes.set_xlabel("rows selected")
    axes.set_ylabel(f"{METRICS[search.metric]} on held-out rows, %")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.22), ncols=3, frameon=False)


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes
    ----------
    number : int
    strategy : str
    options : dict
        Those that were tried.
    rows : int
        Selected.
    score : float or None
        Of the metric, mean over models and held-out parts; None where it failed.
    bytes_moved : int
        Questions and answers of one selection.
    seconds : float
        CPU time of one selection.
    stopped : bool
        Given up after the first held-out part, below the median of the others.
    failure : str
    """

    number: int
    strategy: str
    options: dict[str, Any]
    rows: int
    score: float | None
    bytes_moved: int
    seconds: float
    stopped: bool
    failure: str


@dataclass(frozen=True)
class StrategySearch:
    """Which strategy to use, and what it was compared with.

    Attributes
    ----------
    verdict : str
        One sentence.
    strategy : Strategy
        To pass to `distill`.
    chosen : int
        Number of its trial.
    metric, method : str
    size, selected_from, test_rows : int
        Of the largest subset tried, of what trials selected from, and of the last comparison.
    gain, gain_low, gain_high : float
        Points of the metric, as parts, that the best trial is above ``auto`` on rows that no
        trial has seen, with its 95 % interval; zeros where that is ``auto``.
    trials : tuple of TrialResult
    front : tuple of int
        Numbers of the trials that no other one beats in score, rows and bytes moved at once.
    seconds : float
        Wall time of the search.
    notes : tuple of str
    copies : Copies or None
        Copies of held-out rows among those selected from, which the verdict counts in.
    """

    verdict: str
    strategy: Strategy
    chosen: int
    metric: str
    method: str
    size: int
    selected_from: int
    test_rows: int
    gain: float
    gain_low: float
    gain_high: float
    trials: tuple[TrialResult, ...]
    front: tuple[int, ...]
    seconds: float
    notes: tuple[str, ...]
    copies: Copies | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        best = self.trials[self.chosen]
        # a strategy may hold what is no JSON; a trial names it
        plain = plain_fields(replace(self, strategy=Strategy()))
        return plain | {"strategy": best.strategy, "options": best.options}

    def to_dataframe(self) -> "pd.DataFrame":
        """All trials, one a row; the columns are the attributes of `TrialResult`."""
        import pandas as pd

        return pd.DataFrame([asdict(trial) for trial in self.trials])

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draw the trials and their front: score against rows.

        Parameters
        ----------
        path : path
            Ends in .svg or .png.
        """
        search_drawing(self).save(path)

    def best(self) -> list[TrialResult]:
        """Complete trials, best first; of equals the earlier one."""
        whole = [t for t in self.trials if t.score is not None and not t.stopped]
        return sorted(whole, key=lambda t: (-(t.score or 0.0), t.number))

    def __str__(self) -> str:
        head = ("trial", "strategy", "rows", METRICS[self.metric], "moved", "CPU s")
        lines = [head, *map(self._line, self.best()[:_SHOWN])]
        return "\n".join([*shown_table(lines), "", self.verdict, *self.notes])

    def _repr_html_(self) -> str:
        facts = [
            (f"trial {trial.number}", f"{_score(trial)}: {shown_strategy(trial)}")
            for trial in self.best()[:_SHOWN]
        ]
        return facts_table("Search for the strategy", [("verdict", self.verdict), *facts])

    def _line(self, trial: TrialResult) -> tuple[str, ...]:
        return (
            f"{trial.number}{'*' if trial.number in self.front else ''}",
            shown_strategy(trial),
            f"{trial.rows:,}",
            _score(trial),
            shown_bytes(trial.bytes_moved),
            f"{trial.seconds:.2f}",
        )


def shown_strategy(trial: TrialResult) -> str:
    """A trial's strategy and options, as the command line takes them.

    Examples
    --------
    >>> shown_strategy(TrialResult(0, "auto", {"trust": 0.3}, 10, 0.9, 0, 0.0, False, ""))
    'auto trust=0.3'
    """
    options = (f"{name}={_short(value)}" for name, value in trial.options.items())
    return " ".join([trial.strategy, *options])


def _score(trial: TrialResult) -> str:
    return "-" if trial.score is None else f"{100 * trial.score:.2f} %"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def verdict_of(
    best: TrialResult, gain: tuple[float, float, float], used: TrialResult, metric: str
) -> str:
    """The sentence that names the strategy to use."""
    words = METRICS[metric]
    if best.strategy == "auto" and best.number == 0:
        return "Use auto as it is: no trial was better on the held-out rows."
    mean, low, high = gain
    points = f"{signed(mean)} points of {words} (95 % interval {signed(low)} to {signed(high)})"
    if used is not best:
        return (
            f"Use auto: the best trial, {shown_strategy(best)}, was {points} against auto on rows "
            "that no trial had seen."
        )
    doubt = "" if low > 0 else "; the interval includes no gain at all"
    return (
        f"Use {shown_strategy(best)}: {points} against auto on rows that no trial had seen{doubt}."
    )
