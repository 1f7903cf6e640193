"""The report's pictures: SVG text that takes its colours from the page, or files of their own."""

import hashlib
import io
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import numpy.typing as npt

from dask_distill._files import write_whole
from dask_distill.block import as_features
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.threads import single_threaded

if TYPE_CHECKING:
    from dask_distill.coreset import Coreset
    from dask_distill.dataset import Dataset
    from dask_distill.search.result import StrategySearch
    from dask_distill.sizes import SizeCurve

FORMATS = ("svg", "png")
MISSING = (
    "the report needs jinja2 and matplotlib, which are not all installed; "
    'run pip install "dask-distill[report]"'
)
_INK = "#010203"
_ACCENT = "#2f7fc1"
_COLORED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
# distinct for most colour-blind eyes, on white and on black
_COLORS = (
    "#2f7fc1",
    "#e08214",
    "#1b9e77",
    "#d6457f",
    "#8c6bd1",
    "#b8a000",
    "#7f8c8d",
    "#a0522d",
)
_MARKERS = "osD^vPX*"
_SIZE = (4.6, 2.9)
_DOTS_PER_INCH = 200
_POINTS = 1500
_POINT_BYTES = 2**26
_MOST_CLASSES = 8
_STREAM = 21


@dataclass(frozen=True)
class Drawing:
    """A picture before it has a format.

    Attributes
    ----------
    name : str
        Of the picture, and of what in an SVG has to have a name of its own.
    title : str
        What it shows, for those who do not see it.
    draw : callable
        Takes matplotlib's axes and ``arguments``.
    arguments : tuple
    """

    name: str
    title: str
    draw: Callable[..., None]
    arguments: tuple[Any, ...]

    def inline(self) -> str:
        """SVG text for a page, which gives it its width and colours."""
        return _inline(self._rendered("svg", transparent=True).decode(), self.name, self.title)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .svg or .png file, on white.

        Parameters
        ----------
        path : path
            A file that is there is replaced.

        Raises
        ------
        InputError
            For another ending, or where the file cannot be written.
        """
        kind = Path(path).suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise InputError(f"path must end in .svg or .png, got '{path}'; choose one of them")
        write_whole(path, self._rendered(kind, transparent=False))

    def _rendered(self, kind: str, *, transparent: bool) -> bytes:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        ink = _INK if transparent else "#1c2024"
        style: Any = {
            "svg.fonttype": "none" if transparent else "path",
            "svg.hashsalt": self.name,
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            **dict.fromkeys(_COLORED, ink),
        }
        dated = {"Date": None, "Creator": None, "Title": self.title}
        buffer = io.BytesIO()
        with rc_context(style), warnings.catch_warnings():
            # fonts are the reader's, not ours
            warnings.simplefilter("ignore")
            figure = Figure(figsize=_SIZE)
            self.draw(figure.add_subplot(), *self.arguments)
            figure.savefig(
                buffer,
                format=kind,
                transparent=transparent,
                bbox_inches="tight",
                dpi=_DOTS_PER_INCH,
                metadata=dated if kind == "svg" else {"Software": None, "Title": self.title},
            )
        return buffer.getvalue()


def pictures(coreset: "Coreset", dataset: "Dataset | None" = None) -> dict[str, str]:
    """Draw where the selected rows lie, their scores and weights.

    Parameters
    ----------
    coreset : Coreset
    dataset : Dataset, optional
        What was selected from: a sample of it is then shown behind the selected rows.

    Returns
    -------
    dict of str
        SVG by name: "where", "weights", "score/<criterion>". What cannot be drawn is left out.

    Raises
    ------
    InputError
        Where matplotlib is not installed.

    Examples
    --------
    >>> from dask_distill import distill
    >>> coreset = distill(np.random.default_rng(0).normal(size=(500, 3)), size=50)
    >>> sorted(pictures(coreset))
    ['weights', 'where']
    """
    return {name: drawing.inline() for name, drawing in drawings(coreset, dataset).items()}


def save_pictures(
    coreset: "Coreset",
    folder: str | os.PathLike[str],
    *,
    dataset: "Dataset | None" = None,
    curve: "SizeCurve | None" = None,
    kind: str = "svg",
) -> dict[str, Path]:
    """Write every picture of the report as a file of its own.

    Parameters
    ----------
    coreset : Coreset
    folder : path
        Is made where it is not there; files of the same names are replaced.
    dataset, curve : optional
        As for `dask_distill.report.write_report`.
    kind : str
        "svg" or "png".

    Returns
    -------
    dict of Path
        Files by the name of the picture.

    Raises
    ------
    InputError
        Where a file cannot be written, or matplotlib is not installed.
    """
    if kind not in FORMATS:
        raise InputError(f'kind must be "svg" or "png", got {kind!r}; choose one of them')
    drawn = drawings(coreset, dataset)
    if curve is not None:
        drawn["curve"] = curve_drawing(curve)
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"folder must be one that can be made, got '{place}': {error.strerror}; choose another"
        ) from None
    files = {name: place / f"{drawing.name}.{kind}" for name, drawing in drawn.items()}
    for name, file in files.items():
        drawn[name].save(file)
    return files


def drawings(coreset: "Coreset", dataset: "Dataset | None" = None) -> dict[str, Drawing]:
    """The pictures of `pictures`, before they have a format."""
    _require()
    drawn = {}
    positions = _positions(coreset, dataset)
    if positions is not None:
        drawn["where"] = Drawing("where", _alt_where(coreset, dataset), _scatter, positions)
    weights = coreset.weights
    title = f"Histogram of weights, from {weights.min():.4g} to {weights.max():.4g}"
    drawn["weights"] = Drawing("weights", title, _histogram, (weights, "weight"))
    for name, scores in coreset.scores.items():
        # those of protected rows are not known
        values = scores[np.isfinite(scores)]
        low, middle, high = np.quantile(values, (0, 0.5, 1))
        title = f"Histogram of {name}: {low:.3g} to {high:.3g}, median {middle:.3g}"
        words = name.replace("_", " ")
        drawn[f"score/{name}"] = Drawing(f"score-{name}", title, _histogram, (values, words))
    return drawn


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
    from dask_distill.evaluation import METRICS

    _require()
    for name, value, known in (("metric", metric, METRICS), ("model", model, curve.models)):
        if value not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    words = f"{METRICS[metric]} of {model} against the rows trained on"
    title = f"{words[0].upper()}{words[1:]}, for {', '.join(curve.strategies)} and everything"
    return Drawing("curve", title, _lines, (curve, metric, METRICS[metric], model))


def search_drawing(search: "StrategySearch") -> Drawing:
    """Trials of a search and their front: score against rows.

    Raises
    ------
    InputError
        Where matplotlib is not installed.
    """
    _require()
    title = f"Score against rows of {len(search.trials)} trials, and those that no other beats"
    return Drawing("search", title, _front, (search,))


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


def _require() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError(MISSING) from None


def _positions(coreset: "Coreset", dataset: "Dataset | None") -> tuple[Any, ...] | None:
    """Selected rows on two principal axes, their labels, and a sample of all rows there."""
    from sklearn.decomposition import PCA

    from dask_distill.coreset import take_rows
    from dask_distill.splits import hashed_rows

    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    count = max(10, min(_POINTS, _POINT_BYTES // (8 * d)))
    hashes = row_hash(coreset.indices, 0, stream=_STREAM)
    shown = np.sort(np.argsort(hashes, kind="stable")[:count])
    wanted: list[Any] = [take_rows(coreset.features, shown), None, None]
    if coreset.labels is not None:
        wanted[1] = take_rows(coreset.labels, shown)
    if dataset is not None:
        rows = hashed_rows(dataset.n, count, 0, _STREAM)
        wanted[2] = take_rows(dataset.features, rows)
    values, labels, sample = dask.compute(*wanted)
    X = as_features(values).astype(np.float64)
    if d < 2 or len(X) < 3:
        return None
    reference = X
    if sample is not None:
        sample = as_features(sample).astype(np.float64)
        reference = sample = sample[np.isfinite(sample).all(axis=1)]
        if len(sample) < 3:
            return None
    center, scale = reference.mean(axis=0), reference.std(axis=0)
    scale[scale == 0] = 1
    with single_threaded():
        axes = PCA(2, random_state=0).fit((reference - center) / scale)
        behind = None if sample is None else axes.transform((sample - center) / scale)
        points = axes.transform((X - center) / scale)
    return points, labels, behind, axes.explained_variance_ratio_


def _alt_where(coreset: "Coreset", dataset: "Dataset | None") -> str:
    text = f"Selected rows ({min(len(coreset), _POINTS):,} of {len(coreset):,}) on the first two"
    text += " principal axes"
    return text if dataset is None else f"{text}, over a sample of all rows in grey"


def _scatter(axes: Any, points: Any, labels: Any, behind: Any, shares: Any) -> None:
    if behind is not None:
        axes.scatter(*behind.T, s=5, color="#8a8f96", alpha=0.45, linewidths=0, label="all rows")
    names = None if labels is None else np.asarray(labels).astype(str)
    kinds = [] if names is None else sorted(set(names), key=lambda k: -int((names == k).sum()))
    if names is None or len(kinds) > _MOST_CLASSES:
        axes.scatter(*points.T, s=7, color=_ACCENT, alpha=0.8, linewidths=0, label="selected")
    else:
        for color, kind in zip(_COLORS, kinds, strict=False):
            mine = points[names == kind]
            axes.scatter(*mine.T, s=7, color=color, alpha=0.8, linewidths=0, label=_plain(kind))
    every = points if behind is None else np.concatenate([points, behind])
    # a single far row would press all others into one spot
    for limit, column in ((axes.set_xlim, 0), (axes.set_ylim, 1)):
        low, high = np.quantile(every[:, column], (0.005, 0.995))
        margin = 0.08 * (high - low) or 1
        limit(low - margin, high + margin)
    axes.set_xlabel(f"first axis ({shares[0]:.0%} of the variance)")
    axes.set_ylabel(f"second axis ({shares[1]:.0%})")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=2, frameon=False, markerscale=2.2)


def _histogram(axes: Any, values: npt.NDArray[np.float32], name: str) -> None:
    low, high = float(values.min()), float(values.max())
    bins = 30 if high - low > 1e-6 * abs(high) else np.linspace(low - 0.5, low + 0.5, 4)
    axes.hist(values.astype(np.float64), bins=bins, color=_ACCENT)
    axes.set_xlabel(_plain(name))
    axes.set_ylabel("selected rows")


def _plain(text: str) -> str:
    """A label as matplotlib shows it: no markup, nothing that XML cannot hold."""
    shown = "".join(letter for letter in text if letter.isprintable())
    shown = shown if len(shown) <= 28 else f"{shown[:27]}…"
    # it leaves labels that start with an underscore out of the legend
    shown = f"\u200b{shown}" if shown.startswith("_") else shown
    return shown.replace("$", r"\$") or "(empty)"


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
            label=_plain(name),
            color=_COLORS[number % len(_COLORS)],
            marker=_MARKERS[number % len(_MARKERS)],
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


def _front(axes: Any, search: "StrategySearch") -> None:
    from dask_distill.evaluation import METRICS

    trials = [trial for trial in search.trials if trial.score is not None and not trial.stopped]
    for number, name in enumerate(dict.fromkeys(trial.strategy for trial in trials)):
        mine = [trial for trial in trials if trial.strategy == name]
        axes.scatter(
            [trial.rows for trial in mine],
            [100 * (trial.score or 0.0) for trial in mine],
            label=_plain(name),
            color=_COLORS[number % len(_COLORS)],
            marker=_MARKERS[number % len(_MARKERS)],
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


def _inline(svg: str, name: str, title: str) -> str:
    """An SVG file as part of a page: ids of its own, the page's ink and font, a title."""
    from html import escape

    key = re.sub(r"\W", "-", name)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = svg.replace("url(#", f"url(#{key}-").replace('xlink:href="#', f'href="#{key}-')
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace(_INK, "currentColor")
    svg = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 system-ui, sans-serif", svg)
    # the page sets the width
    svg = re.sub(r'(<svg [^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{key}-title" '
    svg = svg.replace("<svg ", head, 1)
    start = svg.index(">") + 1
    return f'{svg[:start]}<title id="{key}-title">{escape(title)}</title>{svg[start:]}'
