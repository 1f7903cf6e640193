"""What a size curve found: points with intervals, full against distilled, and the words."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from dask_distill.errors import InputError
from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.curve_points import BASELINE, EVERYTHING, Point
from dask_distill.evaluation.statistics import ALL_MODELS, EVEN, METRICS, plain_fields, signed
from dask_distill.support.drawing import COLORS, MARKERS, Drawing, plain_label, require_matplotlib
from dask_distill.support.html import facts_table, plain_table
from dask_distill.support.text import shown_table

if TYPE_CHECKING:
    import pandas as pd

_HEAD: tuple[str, ...] = ("trained on", "rows", "share", "accuracy", "of everything")


def curve_drawing(
    curve: "SizeCurve", *, metric: str = "accuracy", model: str = "all models"
) -> Drawing:
    """Accuracy against the size of the subset.

    Parameters
    ----------
    curve : SizeCurve
    metric : str
        "accuracy", which has intervals, "balanced_accuracy" or "worst_class_recall".
    model : str
        One of ``curve.models``.

    Raises
    ------
    InputError
        For another metric or model, or where matplotlib is not installed.
    """
    require_matplotlib()
    for name, value, known in (("metric", metric, METRICS), ("model", model, curve.models)):
        if value not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    words = f"{METRICS[metric]} of {model} against the rows trained on"
    title = f"{words[0].upper()}{words[1:]}, for {', '.join(curve.strategies)} and everything"
    return Drawing("curve", title, _lines, (curve, metric, METRICS[metric], model))


def curve_in_notebook(curve: "SizeCurve") -> str:
    """The curve for a cell's output; nothing where it cannot be drawn."""
    try:
        drawing = curve_drawing(curve)
    except InputError:
        return ""
    # a page may show several, and what is named in an SVG is named for the page
    key = hashlib.blake2b(repr(curve).encode(), digest_size=6).hexdigest()
    svg = replace(drawing, name=f"curve-{key}").inline()
    return f'<div style="max-width:34rem">{svg}</div>'


def _lines(axes: Any, curve: "SizeCurve", metric: str, words: str, model: str) -> None:
    (full,) = curve.line("everything", model)
    axes.axhline(
        100 * getattr(full, metric), color="#8a8f96", linewidth=1.2, linestyle="--", zorder=1
    )
    axes.annotate(
        f"everything ({full.rows:,} rows)",
        (0, 100 * getattr(full, metric)),
        xycoords=("axes fraction", "data"),
        xytext=(3, 3),
        textcoords="offset points",
        fontsize=8,
    )
    for number, name in enumerate(curve.strategies):
        points = curve.line(name, model)
        # beside each other, or the bars would hide one another
        shift = 1.025 ** (number - (len(curve.strategies) - 1) / 2)
        x = [point.rows * shift for point in points]
        y = [100 * getattr(point, metric) for point in points]
        bars = None
        if metric == "accuracy":
            bars = [
                [100 * (point.accuracy - point.accuracy_low) for point in points],
                [100 * (point.accuracy_high - point.accuracy) for point in points],
            ]
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
    axes.set_xlabel("rows trained on")
    axes.set_ylabel(f"{words}, %")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.3), ncols=3, frameon=False)


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


_HEAD += ("against random", "training s", "selection s")


@dataclass(frozen=True)
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

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, without everything."""
        names = dict.fromkeys(point.strategy for point in self.points)
        return tuple(name for name in names if name != EVERYTHING)

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
        values = {field.name: plain[field.name] for field in fields(cls) if field.name != "copies"}
        values["copies"] = Copies.from_dict(plain.get("copies"))
        values["points"] = tuple(Point(**point) for point in plain["points"])
        return cls(**values | {key: tuple(plain[key]) for key in ("seeds", "notes")})

    def to_dataframe(self) -> "pd.DataFrame":
        """All points, one a row; the columns are the attributes of `Point`."""
        import pandas as pd

        return pd.DataFrame([asdict(point) for point in self.points])

    def table(self, model: str = ALL_MODELS) -> "pd.DataFrame":
        """Full against distilled: rows, accuracy, seconds of training and selecting.

        Parameters
        ----------
        model : str
            One of `models`.

        Returns
        -------
        pandas.DataFrame
            Everything first, then each strategy by size.
        """
        columns = ["strategy", "rows", "share", "accuracy", "accuracy_low", "accuracy_high"]
        columns += ["kept", "gain", "gain_low", "gain_high"]
        columns += ["training_seconds", "selection_seconds"]
        import pandas as pd

        found = [asdict(point) for point in self._ordered(model)]
        return pd.DataFrame(found, columns=columns)

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        metric: str = "accuracy",
        model: str = ALL_MODELS,
    ) -> None:
        """Draw accuracy against size as an .svg or .png file.

        Parameters
        ----------
        path : path
            The ending says which; a file that is there is replaced.
        metric : str
            "accuracy", "balanced_accuracy" or "worst_class_recall".
        model : str
            One of `models`.

        Raises
        ------
        InputError
            Where the file cannot be written, or matplotlib is not installed.
        """
        curve_drawing(self, metric=metric, model=model).save(path)

    def rows_of_table(self, model: str = ALL_MODELS) -> list[tuple[str, ...]]:
        """The table as people read it, without its head."""
        shown: list[tuple[str, ...]] = []
        for point in self._ordered(model):
            gain = "" if point.gain is None else _gain(point)
            shown.append(
                (
                    point.strategy,
                    f"{point.rows:,}",
                    shown_share(point.share),
                    f"{point.accuracy:.1%}",
                    f"{point.kept:.1%}",
                    gain,
                    f"{point.training_seconds:.1f}",
                    "" if point.strategy == EVERYTHING else f"{point.selection_seconds:.1f}",
                )
            )
        return shown

    def _ordered(self, model: str) -> list[Point]:
        names = [EVERYTHING, *self.strategies]
        return [point for name in names for point in self.line(name, model)]

    def __str__(self) -> str:
        """The table and the verdict, for a terminal."""
        table = shown_table([_HEAD, *self.rows_of_table()])
        return "\n".join([*table, "", self.verdict, self._draws(), *self.notes])

    def _draws(self) -> str:
        return f"Means over {len(self.seeds)} splits, tested on {self.test_rows:,} rows each."

    def _repr_html_(self) -> str:

        table = plain_table("Accuracy against size", _HEAD, self.rows_of_table())
        facts = facts_table("", [("verdict", self.verdict), ("draws", self._draws())])
        return f"{curve_in_notebook(self)}{table}{facts}"


def verdict_of(points: Sequence[Point], names: Sequence[str]) -> str:
    """The sentence on the first strategy that is not random."""
    name = next((each for each in names if each != BASELINE), BASELINE)
    mine = [p for p in points if (p.strategy, p.model) == (name, ALL_MODELS)]
    few, many = mine[0], mine[-1]
    text = f"{name} keeps {few.kept:.1%} of the accuracy of everything with {few.rows:,} rows"
    if many is not few:
        text += f" and {many.kept:.1%} with {many.rows:,}"
    if name == BASELINE:
        return f"{text}."
    told = {
        "better": [p for p in mine if _sign(p) > 0],
        "worse": [p for p in mine if _sign(p) < 0],
        "not told apart from it": [p for p in mine if _sign(p) == 0],
    }
    parts = [f"{words} at {_listed(found)}" for words, found in told.items() if found]
    return f"{text}; against random rows it is {', '.join(parts)} rows."


def shown_share(share: float) -> str:
    """A part as per cent, with as many digits as it takes.

    Examples
    --------
    >>> shown_share(0.1), shown_share(0.0025)
    ('10%', '0.25%')
    """
    return f"{100 * share:.3g}%"


def _sign(point: Point) -> int:
    assert point.gain is not None
    assert point.gain_low is not None
    assert point.gain_high is not None
    if point.gain_low > 0 and point.gain > EVEN:
        return 1
    return -1 if point.gain_high < 0 and point.gain < -EVEN else 0


def _listed(points: Sequence[Point]) -> str:
    *most, last = [f"{point.rows:,}" for point in points]
    return f"{', '.join(most)} and {last}" if most else last


def _gain(point: Point) -> str:
    assert point.gain is not None
    assert point.gain_low is not None
    assert point.gain_high is not None
    return f"{signed(point.gain)} ({signed(point.gain_low)} to {signed(point.gain_high)})"
