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

_POINTS = 1500
_POINT_BYTES = 2**26
_MOST_CLASSES = 8
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
        drawn[f"{SCORE}{name}"] = Drawing(f"score-{name}", title, _histogram, (values, words))
    return drawn


def _positions(coreset: Subset, dataset: Dataset | None) -> tuple[Any, ...] | None:
    """Selected rows on two principal axes, their labels, and a sample of all rows there."""
    from sklearn.decomposition import PCA

    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    count = max(10, min(_POINTS, _POINT_BYTES // (8 * d)))
    hashes = row_hash(coreset.indices, 0, stream=Stream.PICTURES)
    shown = np.sort(np.argsort(hashes, kind="stable")[:count])
    wanted: list[Any] = [take_rows(coreset.features, shown), None, None]
    if coreset.labels is not None:
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
    # numbers so large that their squares are none
    if not np.isfinite(scaled).all():
        return None
    with single_threaded():
        axes = PCA(2, random_state=0).fit(scaled)
        behind = None if sample is None else axes.transform((sample - center) / scale)
        points = axes.transform((X - center) / scale)
    shares = axes.explained_variance_ratio_
    names = ("first axis", "second axis")
    made = ("", "") if encoding is None else [_made_of(each, encoding) for each in axes.components_]
    return points, labels, behind, [*map(_axis_label, names, shares, made)]


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
    if behind is not None:
        axes.scatter(*behind.T, s=5, color="#8a8f96", alpha=0.45, linewidths=0, label="all rows")
    names = None if labels is None else np.asarray(labels).astype(object).astype(str)
    kinds = [] if names is None else sorted(set(names), key=lambda k: -int((names == k).sum()))
    if names is None or len(kinds) > _MOST_CLASSES:
        axes.scatter(*points.T, s=7, color=ACCENT, alpha=0.8, linewidths=0, label="selected")
    else:
        for color, kind in zip(COLORS, kinds, strict=False):
            mine = points[names == kind]
            axes.scatter(
                *mine.T, s=7, color=color, alpha=0.8, linewidths=0, label=plain_label(kind)
            )
    every = points if behind is None else np.concatenate([points, behind])
    # a single far row would press all others into one spot
    for limit, column in ((axes.set_xlim, 0), (axes.set_ylim, 1)):
        low, high = np.quantile(every[:, column], (0.005, 0.995))
        margin = 0.08 * (high - low) or 1
        limit(low - margin, high + margin)
    axes.set_xlabel(named[0])
    axes.set_ylabel(named[1])
    below = -0.2 - 0.06 * named[0].count("\n")
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, below), ncols=2, frameon=False, markerscale=2.2
    )


def _histogram(axes: Any, values: npt.NDArray[np.float32], name: str) -> None:
    low, high = float(values.min()), float(values.max())
    bins = 30 if high - low > 1e-6 * abs(high) else np.linspace(low - 0.5, low + 0.5, 4)
    axes.hist(values.astype(np.float64), bins=bins, color=ACCENT)
    axes.set_xlabel(plain_label(name))
    axes.set_ylabel("selected rows")
