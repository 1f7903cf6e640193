"""The report's pictures, as SVG text that takes its colours from the page around it."""

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import numpy.typing as npt

from dask_distill.block import as_features
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.threads import single_threaded

if TYPE_CHECKING:
    from dask_distill.coreset import Coreset
    from dask_distill.dataset import Dataset

MISSING = (
    "the report needs jinja2 and matplotlib, which are not all installed; "
    'run pip install "dask-distill[report]"'
)
_INK = "#010203"
_ACCENT = "#2f7fc1"
_SIZE = (4.6, 2.9)
_POINTS = 1500
_POINT_BYTES = 2**26
_MOST_CLASSES = 8
_STREAM = 21


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
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError(MISSING) from None
    drawn = {}
    positions = _positions(coreset, dataset)
    if positions is not None:
        drawn["where"] = _draw("where", _alt_where(coreset, dataset), _scatter, *positions)
    weights = coreset.weights
    title = f"Histogram of weights, from {weights.min():.4g} to {weights.max():.4g}"
    drawn["weights"] = _draw("weights", title, _histogram, weights, "weight")
    for name, values in coreset.scores.items():
        low, middle, high = np.quantile(values, (0, 0.5, 1))
        title = f"Histogram of {name}: {low:.3g} to {high:.3g}, median {middle:.3g}"
        words = name.replace("_", " ")
        drawn[f"score/{name}"] = _draw(f"score-{name}", title, _histogram, values, words)
    return drawn


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
        # distinct for most colour-blind eyes, on white and on black
        colors = (
            "#2f7fc1",
            "#e08214",
            "#1b9e77",
            "#d6457f",
            "#8c6bd1",
            "#b8a000",
            "#7f8c8d",
            "#a0522d",
        )
        for color, kind in zip(colors, kinds, strict=False):
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


def _draw(name: str, title: str, draw: Callable[..., None], *args: Any) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        **dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
        ),
    }
    buffer = io.StringIO()
    with rc_context(style), warnings.catch_warnings():
        # fonts are the reader's, not ours
        warnings.simplefilter("ignore")
        figure = Figure(figsize=_SIZE)
        draw(figure.add_subplot(), *args)
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            bbox_inches="tight",
            metadata={"Date": None, "Creator": None},
        )
    return _inline(buffer.getvalue(), name, title)


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
