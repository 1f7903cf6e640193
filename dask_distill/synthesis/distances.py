"""How far rows are from other rows: by columns, by pairs of columns, and to the nearest one.

Knows NumPy, SciPy and scikit-learn.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.evaluation.training import LabelledRows
from dask_distill.runtime.threads import single_threaded
from dask_distill.synthesis.judged import Fidelity, Privacy

Floats = npt.NDArray[np.float64]

# columns whose pairs are looked at, and rows whose nearest ones are looked for
_MOST_COLUMNS = 300
_MOST_ROWS = 5_000
_NEAR = 0.05


def fidelity(way: str, rows: LabelledRows, real: LabelledRows, classes: int) -> Fidelity:
    """Distances between what rows and real rows say about the data.

    Parameters
    ----------
    way : str
        What the rows are.
    rows, real : LabelledRows
        Weights count, where there are some.
    classes : int

    Returns
    -------
    Fidelity
    """
    own, its = rows.X.astype(np.float64), real.X.astype(np.float64)
    scale = its.std(axis=0)
    varying = np.flatnonzero(scale > 0)
    moved, steps = [], []
    for column in varying:
        moved.append(_wasserstein(own[:, column], its[:, column], rows, real) / scale[column])
        steps.append(largest_step(own[:, column], its[:, column], rows.weights, real.weights))
    looked = varying
    if len(varying) > _MOST_COLUMNS:
        looked = varying[np.linspace(0, len(varying) - 1, _MOST_COLUMNS).astype(int)]
    shares = [class_shares(table, classes) for table in (rows, real)]
    return Fidelity(
        way=way,
        rows=len(own),
        wasserstein=float(np.mean(moved)) if moved else 0.0,
        kolmogorov_smirnov=float(np.mean(steps)) if steps else 0.0,
        total_variation=float(np.abs(shares[0] - shares[1]).sum() / 2),
        correlation=correlation_distance(own[:, looked], its[:, looked], rows.weights),
    )


def _wasserstein(x: Floats, y: Floats, rows: LabelledRows, real: LabelledRows) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(x, y, rows.weights, real.weights))


def largest_step(x: Floats, y: Floats, x_weights: Any = None, y_weights: Any = None) -> float:
    """Kolmogorov's and Smirnov's: the largest difference of two distribution functions.

    As ``scipy.stats.ks_2samp``, which takes no weights.

    Examples
    --------
    >>> largest_step(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.5
    """
    points = np.concatenate([x, y])
    points.sort()
    return float(
        np.abs(_below(points, x, x_weights) - _below(points, y, y_weights)).max(initial=0.0)
    )


def _below(points: Floats, x: Floats, weights: Any) -> Floats:
    order = np.argsort(x, kind="stable")
    mass = np.ones(len(x)) if weights is None else np.asarray(weights, np.float64)[order]
    total = np.concatenate([[0.0], np.cumsum(mass)])
    found: Floats = total[np.searchsorted(x[order], points, side="right")] / total[-1]
    return found


def class_shares(rows: LabelledRows, classes: int) -> Floats:
    """(C,) part of the weight in each class."""
    counts = np.bincount(rows.codes, weights=rows.weights, minlength=classes)
    return counts / counts.sum()


def correlation_distance(own: Floats, real: Floats, weights: Any = None) -> float:
    """Mean difference of Pearson's correlation, over all pairs of columns.

    Examples
    --------
    >>> x = np.arange(10.0)
    >>> correlation_distance(np.column_stack([x, -x]), np.column_stack([x, x]))
    2.0
    """
    if own.shape[1] < 2:
        return 0.0
    pairs = np.triu_indices(own.shape[1], 1)
    with single_threaded():
        found = [_correlation(own, weights), _correlation(real, None)]
    return float(np.round(np.abs(found[0] - found[1])[pairs].mean(), 12))


def _correlation(X: Floats, weights: Any) -> Floats:
    # a column that does not vary goes with none
    covariance = np.atleast_2d(np.cov(X, rowvar=False, aweights=weights))
    spread = np.sqrt(np.diag(covariance))
    spread[spread == 0] = np.inf
    return covariance / np.outer(spread, spread)


def privacy(made: LabelledRows, learnt: LabelledRows, held_out: LabelledRows) -> Privacy:
    """How near made rows are to those they were learnt from, beside real rows that were not seen.

    Distances are between standardised rows. A row nearer than nearly all held-out ones are may
    tell of the one it was learnt from.

    Parameters
    ----------
    made, learnt, held_out : LabelledRows

    Returns
    -------
    Privacy
    """
    from sklearn.neighbors import NearestNeighbors

    scale = learnt.X.std(axis=0, dtype=np.float64)
    scale[scale == 0] = 1.0
    finder = NearestNeighbors(n_neighbors=1).fit(learnt.X / scale)
    with single_threaded():
        own, its = (
            finder.kneighbors(_some(table.X) / scale)[0][:, 0] for table in (made, held_out)
        )
    near = float(np.quantile(its, _NEAR))
    return Privacy(
        median=float(np.median(own)),
        median_held_out=float(np.median(its)),
        near=near,
        nearer=float((own < near).mean()),
        copies=_copies(made.X, learnt.X),
        copies_held_out=_copies(held_out.X, learnt.X),
    )


def _some(X: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """At most so many rows, evenly spaced: made ones lie in the order of their classes."""
    if len(X) <= _MOST_ROWS:
        return X
    return X[np.linspace(0, len(X) - 1, _MOST_ROWS).astype(int)]


def _copies(rows: Any, others: Any) -> float:
    """Part of the rows that are among the others, value for value.

    Examples
    --------
    >>> _copies(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[3.0, 4.0]]))
    0.5
    """
    # zero has two signs
    plain = [np.ascontiguousarray(table + 0.0, np.float64) for table in (rows, others)]
    own, its = (table.view(f"V{table.shape[1] * 8}").ravel() for table in plain)
    known = {row.tobytes() for row in its}
    return sum(row.tobytes() in known for row in own) / len(own)


def all_distances(
    ways: Mapping[str, LabelledRows], learnt: LabelledRows, held_out: LabelledRows, classes: int
) -> tuple[tuple[Fidelity, ...], Privacy]:
    """Fidelity of each way of choosing rows, and the privacy of the first."""
    found = tuple(fidelity(way, rows, held_out, classes) for way, rows in ways.items())
    return found, privacy(next(iter(ways.values())), learnt, held_out)
