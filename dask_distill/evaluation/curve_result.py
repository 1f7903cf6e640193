"""What a size curve found: points with intervals, full against distilled, and the words."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dask_distill.errors import InputError
from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.curve_points import EVERYTHING, Point
from dask_distill.evaluation.statistics import ALL_MODELS, MAJORITY, plain_fields
from dask_distill.support.drawing import (
    COLORS,
    MARKERS,
    Drawing,
    notebook_picture,
    plain_label,
    require_matplotlib,
)
from dask_distill.support.html import facts_table, plain_table
from dask_distill.support.metrics import METRICS, metric_named, shown_gap, shown_value
from dask_distill.support.text import as_page, shown_table

if TYPE_CHECKING:
    import pandas as pd

# shown beside what is judged by, as far as there is room
_BESIDE = ("roc_auc", "log_loss", "accuracy")
# as much of the axis a line below or above the others may take
_ROOM = 0.6
_NO_STRATEGIES = (EVERYTHING, MAJORITY)


def curve_drawing(
    curve: "SizeCurve", *, metric: str | None = None, model: str = "all models"
) -> Drawing:
    """A metric against the size of the subset.

    Parameters
    ----------
    curve : SizeCurve
    metric : str, optional
        One of ``curve.metrics``; what the curve is judged by unless given.
    model : str
        One of ``curve.models``.

    Raises
    ------
    InputError
        For another metric or model, or where matplotlib is not installed.
    """
    require_matplotlib()
    metric = curve.objective if metric is None else metric
    for name, value, known in (("metric", metric, curve.metrics), ("model", model, curve.models)):
        if value not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    words = f"{metric_named(metric).words} of {model} against the rows trained on"
    title = f"{words[0].upper()}{words[1:]}, for {', '.join(curve.strategies)} and everything"
    return Drawing("curve", title, _lines, (curve, metric, model))


def _lines(axes: Any, curve: "SizeCurve", metric: str, model: str) -> None:
    kind = metric_named(metric)
    scale = 100 if kind.percent else 1
    (full,) = curve.line("everything", model)
    _level(axes, scale * full.known(metric), f"everything\n({full.rows:,} rows)", "--")
    for number, name in enumerate(curve.strategies):
        points = curve.line(name, model)
        # beside each other, or the bars would hide one another
        shift = 1.025 ** (number - (len(curve.strategies) - 1) / 2)
        x = [point.rows * shift for point in points]
        y = [scale * point.known(metric) for point in points]
        limits = [point.limits(metric) for point in points]
        # intervals have their means in the middle
        halves = [scale * (each[1] - each[0]) / 2 for each in limits if each is not None]
        bars: Any = halves if len(halves) == len(points) else None
        if bars and kind.percent:
            # nothing is under none, or over all
            ends = [np.clip((v - half, v + half), 0, 100) for v, half in zip(y, bars, strict=True)]
            bars = np.abs(np.transpose(ends) - y)
        axes.errorbar(
            x,
            y,
            yerr=bars,
            label=plain_label(name),
            color=COLORS[number % len(COLORS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4.5,
            linewidth=1.6,
            elinewidth=0.8,
            capsize=2,
        )
    rows = sorted({point.rows for name in curve.strategies for point in curve.line(name, model)})
    axes.set_xscale("log")
    named = _apart(rows)
    axes.set_xticks(named, [_tick(count, count / full.rows) for count in named])
    axes.set_xticks([], minor=True)
    for point in curve.line(MAJORITY, model):
        _majority(axes, scale * point.known(metric), shown_value(metric, point.value(metric)))
    if kind.percent:
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0), min(high, 100 + 0.02 * (high - low)))
    axes.set_xlabel("rows trained on")
    axes.set_ylabel(f"{kind.words}, %" if kind.percent else kind.words)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.3), ncols=3, frameon=False)


def _level(axes: Any, level: float, words: str, style: str) -> None:
    """A line across, of what does not hang on the size; nothing where it is not known."""
    if math.isnan(level):
        return
    axes.axhline(level, color="#8a8f96", linewidth=1.2, linestyle=style, zorder=1)
    # beside the axes, where no point is
    place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(words, (1, level), xytext=(3, 0), va="center", fontsize=8, **place)


def _majority(axes: Any, level: float, shown: str) -> None:
    """The most frequent class alone: a line where it is near, so that the others stay apart."""
    low, high = axes.get_ylim()
    if low - _ROOM * (high - low) <= level <= high + _ROOM * (high - low):
        _level(axes, level, "the most\nfrequent class", ":")
    elif not math.isnan(level):
        words, side = ("lower", 0.0) if level < low else ("higher", 1.0)
        place = {"xycoords": "axes fraction", "textcoords": "offset points"}
        text = f"the most\nfrequent class\nis {words}: {shown}"
        how = {"va": "bottom" if side == 0 else "top", "fontsize": 8}
        axes.annotate(text, (1, side), xytext=(3, 0), **how, **place)


def _apart(rows: list[int]) -> list[int]:
    """The sizes whose names do not run into each other on a logarithmic axis."""
    least = (rows[-1] / rows[0]) ** 0.12
    kept = rows[:1]
    for count in rows[1:]:
        if count > kept[-1] * least:
            kept.append(count)
    return kept


def _tick(rows: int, share: float) -> str:
    return f"{rows:,}\n{100 * share:.3g}%"


@dataclass(frozen=True, kw_only=True)
class SizeCurve:
    """Accuracy against the size of the subset.

    Attributes
    ----------
    verdict : str
        One sentence on the first strategy.
    rows, selected_from, test_rows : int
        Of the data set, of what one selection had to select from, and of one test.
    classes : int
    seeds : tuple of int
        One split and one selection of each kind for each.
    points : tuple of Point
        By strategy, size and model; everything comes last.
    notes : tuple of str
        What bounds the comparison, and what it took.
    copies : Copies or None
        Copies of test rows among the rows selected from, which the verdict counts in.
    objective : str
        The metric that strategies are judged by.
    rarest_class : str
        Of which the average precision is told: the one with the fewest test rows.
    """

    verdict: str
    rows: int
    selected_from: int
    test_rows: int
    classes: int
    seeds: tuple[int, ...]
    points: tuple[Point, ...]
    notes: tuple[str, ...]
    copies: Copies | None = None
    objective: str = "accuracy"
    rarest_class: str = ""

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, without everything and the majority."""
        names = dict.fromkeys(point.strategy for point in self.points)
        return tuple(name for name in names if name not in _NO_STRATEGIES)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that were measured."""
        names = [*METRICS, *self.points[0].own]
        return tuple(name for name in names if any(p.value(name) is not None for p in self.points))

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, all of them together first."""
        return tuple(dict.fromkeys(point.model for point in self.points))

    def line(self, strategy: str, model: str = ALL_MODELS) -> tuple[Point, ...]:
        """One strategy's points, by size."""
        return tuple(p for p in self.points if (p.strategy, p.model) == (strategy, model))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return plain_fields(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The curve that `as_dict` was called on; unknown keys are left out."""
        # what older versions wrote has no such fields
        later = ("copies", "objective", "rarest_class")
        values = {field.name: plain[field.name] for field in fields(cls) if field.name not in later}
        values |= {name: plain[name] for name in later if name in plain}
        values["copies"] = Copies.from_dict(plain.get("copies"))
        values["points"] = tuple(Point.from_dict(point) for point in plain["points"])
        return cls(**values | {key: tuple(plain[key]) for key in ("seeds", "notes")})

    def to_dataframe(self) -> "pd.DataFrame":
        """All points, one a row; the columns are those of `Point.flat`."""
        import pandas as pd

        return pd.DataFrame([point.flat() for point in self.points])

    def table(self, model: str = ALL_MODELS) -> "pd.DataFrame":
        """Full against distilled: rows, accuracy, seconds of training and selecting.

        Parameters
        ----------
        model : str
            One of `models`.

        Returns
        -------
        pandas.DataFrame
            Everything and the most frequent class first, then each strategy by size.
        """
        columns = ["strategy", "rows", "share", "accuracy", "accuracy_low", "accuracy_high"]
        columns += ["kept", "gain", "gain_low", "gain_high"]
        columns += [*self.metrics[1:], "training_seconds", "selection_seconds"]
        import pandas as pd

        found = [point.flat() for point in self._ordered(model)]
        return pd.DataFrame(found, columns=columns)

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        metric: str | None = None,
        model: str = ALL_MODELS,
    ) -> None:
        """Draw a metric against size as an .svg or .png file.

        Parameters
        ----------
        path : path
            The ending says which; a file that is there is replaced.
        metric : str, optional
            One of `metrics`; `objective` unless given.
        model : str
            One of `models`.

        Raises
        ------
        InputError
            Where the file cannot be written, or matplotlib is not installed.
        """
        curve_drawing(self, metric=metric, model=model).save(path)

    def head_of_table(self) -> tuple[str, ...]:
        """The columns of `rows_of_table`."""
        shown = [self._column(name) for name in self._beside()]
        head = ("trained on", "rows", "share", self._column(self.objective), "kept", "vs. random")
        return (*head, *shown, "train s", "select s")

    def rows_of_table(self, model: str = ALL_MODELS) -> list[tuple[str, ...]]:
        """The table as people read it, without its head; halves of 95 % intervals after ±.

        "kept" is a part of what everything reaches, "vs. random" the difference to random rows.
        """
        shown: list[tuple[str, ...]] = []
        for point in self._ordered(model):
            gain = point.difference(self.objective)
            half = None if gain is None else (gain[2] - gain[1]) / 2
            shown.append(
                (
                    point.strategy,
                    f"{point.rows:,}",
                    shown_share(point.share),
                    _shown(point, self.objective),
                    self._kept(point, model),
                    "" if gain is None else shown_gap(self.objective, gain[0], half),
                    *(_shown(point, name) for name in self._beside()),
                    f"{point.training_seconds:.1f}",
                    "" if point.strategy in _NO_STRATEGIES else f"{point.selection_seconds:.1f}",
                )
            )
        return shown

    def _beside(self) -> list[str]:
        known = [name for name in _BESIDE if name in self.metrics and name != self.objective]
        return known[:2]

    @staticmethod
    def _column(name: str) -> str:
        metric = metric_named(name)
        return f"{metric.words} %" if metric.percent else metric.words

    def _kept(self, point: Point, model: str) -> str:
        """What is kept of everything, where that is a part."""
        metric = metric_named(self.objective)
        (full,) = self.line(EVERYTHING, model)
        whole, own = full.value(self.objective), point.value(self.objective)
        if not whole or own is None or not (metric.percent and metric.higher_is_better):
            return ""
        return f"{own / whole:.1%}"

    def _ordered(self, model: str) -> list[Point]:
        names = [*_NO_STRATEGIES, *self.strategies]
        return [point for name in names for point in self.line(name, model)]

    def __str__(self) -> str:
        return self.as_text()

    def as_text(self, width: int | None = None) -> str:
        """The table and the verdict, for a terminal.

        Parameters
        ----------
        width : int, optional
            Columns of the terminal; lines are as long as they are unless given.
        """
        table = shown_table([self.head_of_table(), *self.rows_of_table()], width)
        return as_page(table, (self.verdict, self._draws(), *self.notes), width)

    def _draws(self) -> str:
        return (
            f"Means over {len(self.seeds)} splits, tested on {self.test_rows:,} rows each, and "
            "half of their 95 % intervals."
        )

    def _repr_html_(self) -> str:
        words = metric_named(self.objective).words
        title = f"{words[0].upper()}{words[1:]} against size"
        table = plain_table(title, self.head_of_table(), self.rows_of_table())
        facts = facts_table("", [("verdict", self.verdict), ("draws", self._draws())])
        return f"{notebook_picture(partial(curve_drawing, self), self)}{table}{facts}"


def shown_share(share: float) -> str:
    """A part as per cent, with as many digits as it takes.

    Examples
    --------
    >>> shown_share(0.1), shown_share(0.0025)
    ('10%', '0.25%')
    """
    return f"{100 * share:.3g}%"


def _shown(point: Point, metric: str) -> str:
    limits = point.limits(metric)
    half = None if limits is None else (limits[1] - limits[0]) / 2
    return shown_value(metric, point.value(metric), half)
