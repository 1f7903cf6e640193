"""What a search found: the strategy to use, all trials, the front, and the words."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.losses import bracketed
from dask_distill.evaluation.statistics import ALL_MODELS, Difference, plain_fields, widened
from dask_distill.strategies.base import Strategy
from dask_distill.support.drawing import (
    COLORS,
    MARKERS,
    Drawing,
    notebook_picture,
    plain_label,
    require_matplotlib,
)
from dask_distill.support.html import folded, paragraph, plain_table
from dask_distill.support.metrics import metric_named, signed_number
from dask_distill.support.text import as_page, shown_bytes, shown_table

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 8
# draws of the last comparison
LAST_SEEDS = 5


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
    metric = metric_named(search.metric)
    # losses are negative scores, and are drawn as they are
    scale = metric.sign * (100 if metric.percent else 1)
    trials = [trial for trial in search.trials if trial.score is not None and not trial.stopped]
    for number, name in enumerate(dict.fromkeys(trial.strategy for trial in trials)):
        mine = [trial for trial in trials if trial.strategy == name]
        axes.scatter(
            [trial.rows for trial in mine],
            [scale * (trial.score or 0.0) for trial in mine],
            label=plain_label(name),
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            s=22,
        )
    steps: list[tuple[int, float]] = []
    best = -np.inf
    for rows, score in sorted((trial.rows, -(trial.score or 0.0)) for trial in trials):
        if -score > best:
            # of as many rows the best comes first
            best = -score
            steps.append((rows, scale * best))
    axes.plot(*zip(*steps, strict=True), color="#8a8f96", linewidth=1.2, linestyle="--", zorder=1)
    counts = sorted({trial.rows for trial in trials})
    if len(counts) == 1:
        # an axis of one number has no others
        axes.set_xticks(counts, [f"{counts[0]:,}"])
    axes.set_xlabel("rows selected")
    unit = ", %" if metric.percent else ""
    axes.set_ylabel(f"{metric.words} on held-out rows{unit}")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.22), ncols=3, frameon=False)


@dataclass(frozen=True, kw_only=True)
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
        Of the metric, mean over models and held-out parts; higher is better, so that losses are
        negative. None where it failed.
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


@dataclass(frozen=True, kw_only=True)
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
        What the best trial's score is above that of ``auto`` on rows that no trial has seen, with
        its 95 % interval; zeros where that is ``auto``.
    trials : tuple of TrialResult
    front : tuple of int
        Numbers of the trials that no other one beats in score, rows and bytes moved at once.
    seconds : float
        Wall time of the search.
    notes : tuple of str
    copies : Copies or None
        Copies of held-out rows among those selected from, which the verdict counts in.
    baseline : float or None
        Score of the most frequent class of the rows selected from.
    gains : dict of three floats
        By metric: the best trial's less that of ``auto``, on rows that no trial has seen, with
        the 95 % interval.
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
    baseline: float | None = None
    gains: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)

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
        return self.as_text()

    def as_text(self, width: int | None = None) -> str:
        """The best trials and the verdict, for a terminal.

        Parameters
        ----------
        width : int, optional
            Columns of the terminal; lines are as long as they are unless given.
        """
        lines = [self._head(), *map(self._line, self.best()[:_SHOWN])]
        if self.baseline is not None:
            shown = shown_score(self.metric, self.baseline)
            lines.append(("", "the most frequent class", "", shown, "", ""))
        return as_page(shown_table(lines, width), (self.verdict, *self.notes), width)

    def _repr_html_(self) -> str:
        best = self.best()
        table = plain_table("", self._head(), [self._line(trial) for trial in best[:_SHOWN]])
        rest = plain_table("", self._head(), [self._line(trial) for trial in best[_SHOWN:]])
        picture = notebook_picture(partial(search_drawing, self), self.as_dict())
        more = folded(f"{len(best) - _SHOWN:,} more trials", rest) if len(best) > _SHOWN else ""
        notes = folded("What bounds it", "".join(map(paragraph, self.notes)))
        verdict = paragraph(self.verdict, strong=True)
        return f"{verdict}{picture}{table}{more}{notes if self.notes else ''}"

    def _head(self) -> tuple[str, ...]:
        return ("trial", "strategy", "rows", metric_named(self.metric).words, "moved", "CPU s")

    def _score(self, trial: TrialResult) -> str:
        return "-" if trial.score is None else shown_score(self.metric, trial.score)

    def _line(self, trial: TrialResult) -> tuple[str, ...]:
        return (
            f"{trial.number}{'*' if trial.number in self.front else ''}",
            shown_strategy(trial),
            f"{trial.rows:,}",
            self._score(trial),
            shown_bytes(trial.bytes_moved),
            f"{trial.seconds:.2f}",
        )


def shown_strategy(trial: TrialResult) -> str:
    """A trial's strategy and options, as the command line takes them.

    Examples
    --------
    >>> shown_strategy(
    ...     TrialResult(
    ...         number=0,
    ...         strategy="auto",
    ...         options={"trust": 0.3},
    ...         rows=10,
    ...         score=0.9,
    ...         bytes_moved=0,
    ...         seconds=0.0,
    ...         stopped=False,
    ...         failure="",
    ...     )
    ... )
    'auto trust=0.3'
    """
    options = (f"{name}={_short(value)}" for name, value in trial.options.items())
    return " ".join([trial.strategy, *options])


def shown_score(metric: str, score: float) -> str:
    """A score as the metric that it is of.

    Examples
    --------
    >>> shown_score("accuracy", 0.91234), shown_score("log_loss", -0.25)
    ('91.23 %', '0.250')
    """
    kind = metric_named(metric)
    return f"{100 * kind.sign * score:.2f} %" if kind.percent else f"{kind.sign * score:.3f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def verdict_on_search(
    best: TrialResult,
    gain: tuple[float, float, float],
    used: TrialResult,
    metric: str,
    gains: Mapping[str, tuple[float, float, float]] | None = None,
) -> str:
    """The sentence that names the strategy to use, and in what it is worse than `auto`.

    That holds beyond an interval of 95 % for all metrics together (Bonferroni).
    """
    if best.strategy == "auto" and best.number == 0:
        return "Use auto as it is: no trial was better on the held-out rows."
    # told as the metric is, not as the score
    sign = metric_named(metric).sign
    gap = Difference.of(
        "auto", metric, ALL_MODELS, (sign * gain[0], sign * gain[1], sign * gain[2])
    )
    shown = signed_number(metric, gap.mean)
    limits = [signed_number(metric, value) for value in sorted((gap.low, gap.high))]
    unit = " points" if metric_named(metric).percent else ""
    words = f"{shown}{unit} of {metric_named(metric).words}"
    text = f"{words} (95 % interval {limits[0]} to {limits[1]})"
    if used is not best:
        return (
            f"Use auto: the best trial, {shown_strategy(best)}, was {text} against auto on rows "
            "that no trial had seen."
        )
    doubt = "" if gain[1] > 0 else "; the interval includes no gain at all"
    compared = [
        Difference.of("auto", name, ALL_MODELS, each) for name, each in (gains or {}).items()
    ]
    wide = [widened(each, len(compared), LAST_SEEDS) for each in compared]
    lost = [f"{metric_named(e.metric).words} ({bracketed(e)})" for e in wide if e.worse]
    worse = f"; it is worse than auto in {', '.join(lost)}" if lost else ""
    return (
        f"Use {shown_strategy(best)}: {text} against auto on rows that no trial had seen{worse}"
        f"{doubt}."
    )
