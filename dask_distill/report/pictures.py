"""The report's pictures: SVG text that takes its colours from the page, or files of their own."""

import os
from pathlib import Path
from typing import Any

import dask
import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import as_features
from dask_distill.data.dataset import Dataset
from dask_distill.data.groups import grouped_scale
from dask_distill.data.rows import take_rows
from dask_distill.errors import InputError
from dask_distill.evaluation.curve_result import SizeCurve, curve_drawing
from dask_distill.evaluation.splits import hashed_rows
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.streams import Stream
from dask_distill.report.histograms import Histogram, time_histogram
from dask_distill.report.overview import is_classified
from dask_distill.runtime.threads import single_threaded
from dask_distill.storage.variables import SCORE
from dask_distill.subset.features import NotWrittenError
from dask_distill.subset.subset import Subset
from dask_distill.support.drawing import (
    ACCENT,
    COLORS,
    FORMATS,
    Drawing,
    plain_label,
    require_matplotlib,
)
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.profile import Profile

# begins the name of a picture by score
WHERE = "where/"
_POINTS = 1500
_POINT_BYTES = 2**26
_MOST_CLASSES = 8
# of each score's picture
_FEWER_POINTS = 400
# as long as a tail may be, in medians, and as few values as have a bar each
_LONG_TAIL, _FEW_VALUES = 20, 12
_GREY = "#8a8f96"
# columns that an axis is named after, and the part of it that each must make
_NAMED, _LEAST = 2, 0.1


def pictures(coreset: Subset, dataset: Dataset | None = None) -> dict[str, str]:
    """Draw where the selected rows lie, their scores and weights.

    Parameters
    ----------
    coreset : Coreset
    dataset : Dataset, optional
        What was selected from: a sample of it is then shown behind the selected rows.

    Returns
    -------
    dict of str
        SVG by name: "where", "where/<criterion>", "time", "weights", "score/<criterion>". What
        cannot be drawn is left out, and what would be one bar.

    Raises
    ------
    InputError
        Where matplotlib is not installed.

    Examples
    --------
    >>> from dask_distill import distill
    >>> coreset = distill(np.random.default_rng(0).normal(size=(500, 3)), size=50)
    >>> sorted(pictures(coreset))
    ['where']
    """
    return {name: drawing.inline() for name, drawing in drawings(coreset, dataset).items()}


def save_pictures(
    coreset: Subset,
    folder: str | os.PathLike[str],
    *,
    dataset: Dataset | None = None,
    curve: SizeCurve | None = None,
    kind: str = "svg",
) -> dict[str, Path]:
    """Write every picture of the report as a file of its own.

    Parameters
    ----------
    coreset : Coreset
    folder : path
        Is made where it is not there; files of the same names are replaced.
    dataset, curve : optional
        As for `dask_distill.report.page.write_report`.
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


def drawings(coreset: Subset, dataset: Dataset | None = None) -> dict[str, Drawing]:
    """The pictures of `pictures`, before they have a format."""
    require_matplotlib()
    drawn = {}
    positions = _positions(coreset, dataset)
    if positions is not None:
        shown, *drawable = positions
        drawn["where"] = Drawing("where", _alt_where(coreset, dataset), _scatter, tuple(drawable))
        drawn |= _each_score(coreset, shown, *drawable)
    time = time_histogram(coreset)
    if time is not None:
        title = f"All rows and selected ones over time, {time.words()}"
        drawn["time"] = Drawing("time", title, _timeline, (time,))
    weights = coreset.weights
    if not is_one_value(weights):
        title = f"Histogram of weights, from {weights.min():.4g} to {weights.max():.4g}"
        drawn["weights"] = Drawing("weights", title, _histogram, (weights, "weight"))
    for name, scores in coreset.scores.items():
        # those of protected rows are not known
        values = scores[np.isfinite(scores)]
        if len(values) == 0 or is_one_value(values):
            continue
        low, middle, high = np.quantile(values, (0, 0.5, 1))
        title = f"Histogram of {name}: {low:.3g} to {high:.3g}, median {middle:.3g}"
        words = name.replace("_", " ")
        drawn[f"{SCORE}{name}"] = Drawing(f"score-{name}", title, _histogram, (values, words))
    return drawn


def _each_score(
    coreset: Subset, shown: Any, points: Any, _: Any, behind: Any, named: Any
) -> dict[str, Drawing]:
    """Where rows of high and low scores lie, a picture for each criterion."""
    found = {}
    for name, scores in coreset.scores.items():
        known = np.flatnonzero(np.isfinite(scores[shown]))[:_FEWER_POINTS]
        values = scores[shown][known]
        if len(values) < 3 or is_one_value(values):
            continue
        word = name.replace("_", " ")
        title = f"Selected rows on the first two principal axes, in the colour of their {word}"
        few = None if behind is None else behind[:_FEWER_POINTS]
        given = (points[known], values, few, named, word)
        found[f"{WHERE}{name}"] = Drawing(f"where-{name}", title, _by_score, given)
    return found


def _positions(coreset: Subset, dataset: Dataset | None) -> tuple[Any, ...] | None:
    """Which selected rows, where on two principal axes, their labels, and a sample of all there."""
    from sklearn.decomposition import PCA

    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    count = max(10, min(_POINTS, _POINT_BYTES // (8 * d)))
    hashes = row_hash(coreset.indices, 0, stream=Stream.PICTURES)
    shown = np.sort(np.argsort(hashes, kind="stable")[:count])
    wanted: list[Any] = [take_rows(coreset.features, shown), None, None]
    if coreset.labels is not None and is_classified(coreset.provenance):
        wanted[1] = take_rows(coreset.labels, shown)
    if dataset is not None:
        rows = hashed_rows(dataset.n, count, 0, Stream.PICTURES)
        wanted[2] = take_rows(dataset.features, rows)
    try:
        values, labels, sample = dask.compute(*wanted)
    except NotWrittenError:
        return None
    X = as_features(values).astype(np.float64)
    if d < 2 or len(X) < 3:
        return None
    reference = X
    if sample is not None:
        sample = as_features(sample).astype(np.float64)
        reference = sample = sample[np.isfinite(sample).all(axis=1)]
        if len(sample) < 3:
            return None
    with np.errstate(over="ignore", invalid="ignore"):
        center, scale = reference.mean(axis=0), reference.std(axis=0)
    encoding = _encoding(coreset, d)
    if encoding is not None:
        # categories and embeddings count as one column each, as they do where rows are compared
        scale = grouped_scale(scale, scale == 0, encoding.groups)
    scale[scale == 0] = 1
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = (reference - center) / scale
    # numbers so large that their squares are none, or rows that are all alike
    if not np.isfinite(scaled).all() or not np.ptp(scaled, axis=0).any():
        return None
    with single_threaded():
        axes = PCA(2, random_state=0).fit(scaled)
        behind = None if sample is None else axes.transform((sample - center) / scale)
        points = axes.transform((X - center) / scale)
    shares = axes.explained_variance_ratio_
    names = ("first axis", "second axis")
    made = ("", "") if encoding is None else [_made_of(each, encoding) for each in axes.components_]
    return shown, points, labels, behind, [*map(_axis_label, names, shares, made)]


def _encoding(coreset: Subset, d: int) -> Encoding | None:
    """How a table's columns became features; None where these are an array's."""
    stored = coreset.provenance.get("input", {}).get("profile")
    found = Encoding(Profile.parse(stored)) if stored else None
    return found if found is not None and found.width == d else None


def _made_of(loadings: npt.NDArray[np.float64], encoding: Encoding) -> str:
    """The columns that make most of an axis, in words."""
    names = [reader.column.name for reader in encoding.readers]
    widths = [len(reader.names) for reader in encoding.readers]
    edges = np.cumsum([0, *widths])[:-1]
    parts = np.add.reduceat(np.square(loadings), edges)
    first = np.argsort(-parts, kind="stable")[:_NAMED]
    kept = [number for number in first.tolist() if parts[number] >= _LEAST]
    return ", ".join(plain_label(names[number]) for number in kept) or "many columns"


def _axis_label(name: str, share: float, made_of: str) -> str:
    return f"{name} ({share:.0%} of the variance)" + (f"\n{made_of}" if made_of else "")


def _alt_where(coreset: Subset, dataset: Dataset | None) -> str:
    text = f"Selected rows ({min(len(coreset), _POINTS):,} of {len(coreset):,}) on the first two"
    text += " principal axes"
    return text if dataset is None else f"{text}, over a sample of all rows in grey"


def _scatter(axes: Any, points: Any, labels: Any, behind: Any, named: Any) -> None:
    limits = _limits(points if behind is None else np.concatenate([points, behind]))
    if behind is not None:
        _dots(axes, behind, limits, s=16, color=_GREY, alpha=0.4, label="all rows")
    names = None if labels is None else np.asarray(labels).astype(object).astype(str)
    kinds = [] if names is None else sorted(set(names), key=lambda k: -int((names == k).sum()))
    if names is None or len(kinds) > _MOST_CLASSES:
        _dots(axes, points, limits, s=6, color=ACCENT, alpha=0.85, label="selected")
    else:
        for color, kind in zip(COLORS, kinds, strict=False):
            mine = points[names == kind]
            _dots(axes, mine, limits, s=6, color=color, alpha=0.85, label=plain_label(kind))
    _framed(axes, limits, named)
    below = -0.2 - 0.06 * named[0].count("\n")
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, below), ncols=2, frameon=False, markerscale=2.2
    )


def _by_score(axes: Any, points: Any, scores: Any, behind: Any, named: Any, word: str) -> None:
    """Selected rows in the colour of their score, the highest above the others."""
    limits = _limits(points if behind is None else np.concatenate([points, behind]))
    if behind is not None:
        _dots(axes, behind, limits, s=16, color=_GREY, alpha=0.4)
    order = np.argsort(scores, kind="stable")
    low, high = np.quantile(scores, (0.02, 0.98)).tolist()
    how = {
        "c": scores[order],
        "cmap": _scale_of_colors(),
        "vmin": low,
        "vmax": high if high > low else None,
    }
    drawn = axes.scatter(*_within(points[order], limits).T, s=9, linewidths=0, **how)
    _framed(axes, limits, named)
    axes.figure.colorbar(drawn, ax=axes, label=plain_label(word), extend="both")


def _scale_of_colors() -> Any:
    """From low to high in colours that are seen on white and on black."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("scores", COLORS[:2])


def _limits(every: Any) -> Any:
    """(2, 2) of each axis, low and high: a few far rows would press all others into one spot."""
    low, high = np.quantile(every, (0.005, 0.995), axis=0)
    margin = np.where(high > low, 0.02 * (high - low), 1.0)
    return np.stack([low - margin, high + margin])


def _within(points: Any, limits: Any) -> Any:
    """What lies outside is drawn on the edge: it is there, and no half of a dot is."""
    return np.clip(points, *limits)


def _dots(axes: Any, points: Any, limits: Any, **how: Any) -> None:
    if len(points):
        axes.scatter(*_within(points, limits).T, linewidths=0, **how)


def _framed(axes: Any, limits: Any, named: Any) -> None:
    """Limits with room for whole dots, and the names of the axes."""
    margin = 0.04 * (limits[1] - limits[0])
    for limit, low, high in zip(
        (axes.set_xlim, axes.set_ylim), limits[0] - margin, limits[1] + margin, strict=True
    ):
        limit(float(low), float(high))
    axes.set_xlabel(named[0])
    axes.set_ylabel(named[1])


def is_one_value(values: npt.NDArray[np.float32]) -> bool:
    """Whether a histogram would be one bar."""
    low, high = float(values.min()), float(values.max())
    return high - low <= 1e-6 * max(abs(low), abs(high))


def _histogram(axes: Any, values: npt.NDArray[np.float32], name: str) -> None:
    values = values.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    distinct = np.unique(values)
    if low > 0 and high > _LONG_TAIL * float(np.median(values)):
        # most rows would be in one bar
        bins: Any = np.geomspace(low, high, 31)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
    elif len(distinct) <= _FEW_VALUES:
        # a bar a value, as wide as the nearest two allow
        width = float(np.diff(distinct).min()) if len(distinct) > 1 else 1.0
        counts = [int((values == value).sum()) for value in distinct]
        axes.bar(distinct, counts, width=max(0.8 * width, 0.01 * (high - low)), color=ACCENT)
        bins = None
    else:
        bins = 30
    if bins is not None:
        axes.hist(values, bins=bins, color=ACCENT)
    axes.set_xlabel(plain_label(name))
    axes.set_ylabel("selected rows")
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _timeline(axes: Any, found: Histogram) -> None:
    """All rows and selected ones over time, each as parts of its own."""
    assert found.every is not None
    if "at" in found.shape:
        edges = _edges_around(np.asarray(found.shape["at"], np.float64))
    else:
        edges = np.linspace(found.shape["low"], found.shape["high"], len(found.own) + 1)
    times: Any = edges
    if found.dates:
        times = np.rint(edges * 1e6).astype("M8[us]")
    for counts, color, word, fill in (
        (found.every, _GREY, "all rows", True),
        (found.own, ACCENT, "selected", False),
    ):
        share = 100 * counts / max(counts.sum(), 1)
        how = {"alpha": 0.5, "linewidth": 0} if fill else {"linewidth": 1.8}
        axes.stairs(share, times, fill=fill, color=color, label=word, baseline=0, **how)
    axes.set_ylim(0, None)
    axes.set_ylabel("rows, %")
    axes.set_xlabel(plain_label(found.name))
    if found.dates:
        axes.figure.autofmt_xdate(rotation=30)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.16), ncols=2, frameon=False)


def _edges_around(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Edges half-way between values, and as far outside the first and last."""
    if len(values) == 1:
        return np.array([values[0] - 0.5, values[0] + 0.5])
    middles = (values[1:] + values[:-1]) / 2
    return np.array([2 * values[0] - middles[0], *middles, 2 * values[-1] - middles[-1]])
