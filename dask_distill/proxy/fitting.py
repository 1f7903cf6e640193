"""Fitting the built-in judges on the survey's sample."""

from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.softmax import TILE_ROWS, TILE_VALUES, VECTORS, cross_fit, fit_all
from dask_distill.kernels.streams import Generator, Stream
from dask_distill.proxy.estimator import use_estimator
from dask_distill.proxy.models import (
    FOURIER_FEATURES,
    EnsembleProxy,
    Proxy,
    SoftmaxProxy,
    fourier,
)
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.silence import without_warnings
from dask_distill.runtime.threads import single_threaded
from dask_distill.survey.schema import Sample, Schema

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
# built-in judges by name
PROXIES = ("linear", "ensemble")
FOLDS = 3
# the models have mostly stopped before
_STEPS = 100
_BANDWIDTH_ROWS = 200
# weights of all models together: beyond, classes above so many leave each fewer features
_MOST_WEIGHTS = 2**20
_FEW_CLASSES = 64
# numbers in the directions that features are taken along instead
_MOST_AXES = 2**24
# probabilities of the sample that scikit-learn may hold, several times
_MOST_PROBABILITIES = 2**23


def judge_of(schema: Schema, kind: str, estimator: Any = None) -> Proxy:
    """The user's estimator, or the built-in judge of a name, of `PROXIES`."""
    if estimator is not None:
        return use_estimator(estimator, schema)
    return fit_ensemble(schema) if kind == "ensemble" else fit_softmax(schema)


def fit_softmax(schema: Schema) -> SoftmaxProxy:
    """Fit multinomial logistic regression on the survey's sample, standardised.

    Parameters
    ----------
    schema : Schema
        Of labelled rows.

    Returns
    -------
    SoftmaxProxy
    """
    sample, codes = schema.sample, schema.sample.class_numbers
    Z, C = Scaling.of(schema)(sample.X), len(schema.class_counts)
    axes = _fewer_axes(Z.shape[1], _width(C, 1), schema.seed)
    if axes is None and len(Z) * C <= _MOST_PROBABILITIES:
        return _fit(Z, codes, schema)
    features = Z if axes is None else Z @ axes
    present, among = np.unique(codes, return_inverse=True)
    with single_threaded():
        fitted = fit_all(
            features,
            among,
            len(present),
            strength=1.0,
            steps=_STEPS,
            weight=sample_weights(sample),
        )
    weights, intercepts = np.zeros((C, Z.shape[1]), np.float32), _unseen(schema)
    weights[present] = fitted[0] if axes is None else fitted[0] @ axes.T
    intercepts[present] = fitted[1]
    return SoftmaxProxy(weights, intercepts)


def fit_ensemble(schema: Schema) -> EnsembleProxy:
    """Fit one softmax model a fold, on Fourier features, each without its fold.

    They stop learning where what they say of their folds gets worse: see `kernels.softmax`.

    Parameters
    ----------
    schema : Schema
        Of labelled rows.

    Returns
    -------
    EnsembleProxy
    """
    sample, codes = schema.sample, schema.sample.class_numbers
    Z = Scaling.of(schema)(sample.X)
    d, C = Z.shape[1], len(schema.class_counts)
    width = _width(C, FOLDS)
    D = min(FOURIER_FEATURES, max(width - d, width // 2))
    axes = _fewer_axes(d, width - D, schema.seed)
    rng = np.random.default_rng([schema.seed % 2**63, Generator.FOURIER])
    frequencies = rng.standard_normal((d, D)).astype(np.float32)
    frequencies *= np.float32(np.sqrt(3.0 / _median_squared_distance(Z, rng)))
    phases = rng.uniform(0, 2 * np.pi, D).astype(np.float32)
    features = fourier(Z, frequencies, phases, axes)
    fold = folds_of(sample.rows, codes, schema.seed)
    with single_threaded():
        fit = cross_fit(
            features,
            codes,
            fold,
            C,
            strength=1 / 3,
            steps=_STEPS,
            weight=sample_weights(sample),
        )
    intercepts = np.where(fit.seen, fit.intercepts, _unseen(schema))
    members = tuple(map(SoftmaxProxy, fit.weights, intercepts))
    return EnsembleProxy(
        frequencies=frequencies,
        phases=phases,
        members=members,
        seen_rows=sample.rows,
        seen_fold=fold,
        axes=axes,
    )


def fit_bytes(rows: int, d: int, classes: int | None) -> int:
    """Reckon what fitting the built-in judges takes, about.

    Parameters
    ----------
    rows : int
        Of the sample.
    d : int
    classes : int or None
        None where they are not known yet: what it may come to then.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> fit_bytes(10_000, 64, 10) < fit_bytes(10_000, 64, 5_000) <= fit_bytes(10_000, 64, None)
    True
    """
    few = min(classes or _FEW_CLASSES, _FEW_CLASSES)
    weights = FOLDS * few * (FOURIER_FEATURES + d + 1)
    tile = min(TILE_ROWS * FOLDS * (classes or TILE_VALUES), TILE_VALUES)
    if classes is None or classes > few:
        weights = max(weights, _MOST_WEIGHTS)
    # the sample with its Fourier features, side by side and while they are made; errors of a tile
    return 16 * rows * (d + FOURIER_FEATURES) + 8 * VECTORS * weights + 12 * tile


def _width(classes: int, models: int) -> int:
    """Features that a model of so many classes may have."""
    if classes <= _FEW_CLASSES:
        return 2**62
    return max(2, _MOST_WEIGHTS // (models * classes) - 1)


def _fewer_axes(d: int, most: int, seed: int) -> Float32 | None:
    """Random directions, (d, r), that stand for d features; None where d are few enough."""
    if d <= most:
        return None
    r = max(1, min(most, _MOST_AXES // d))
    rng = np.random.default_rng([seed % 2**63, Generator.PROXY_AXES])
    return rng.standard_normal((d, r), np.float32) / np.float32(np.sqrt(r))


def _unseen(schema: Schema) -> Float32:
    """Intercepts of classes that a fit has not seen: what their shares say, far below the rest."""
    return (np.log(np.maximum(schema.class_counts, 1) / schema.n) - 10).astype(np.float32)


def _fit(Z: Float32, codes: npt.NDArray[np.int32], schema: Schema) -> SoftmaxProxy:
    from sklearn.linear_model import LogisticRegression

    C = len(schema.class_counts)
    weights = np.zeros((C, Z.shape[1]), np.float32)
    present = np.unique(codes)
    intercepts = _unseen(schema)
    if len(present) == 1:
        intercepts[present] = 0
        return SoftmaxProxy(weights, intercepts)
    # again, for the libraries that these imports may have loaded
    # a proxy need not converge to be a judge
    with single_threaded(), without_warnings():
        model = LogisticRegression(C=1.0, max_iter=100, tol=1e-3)
        model.fit(Z, codes, sample_weights(schema.sample))
    if len(present) == 2:
        weights[present[0]], intercepts[present[0]] = 0, 0
        weights[present[1]], intercepts[present[1]] = model.coef_[0], model.intercept_[0]
    else:
        weights[present], intercepts[present] = model.coef_, model.intercept_
    return SoftmaxProxy(weights, intercepts)


def sample_weights(sample: Sample) -> Float32 | None:
    """(m,) how often each row counts, once on average; None where they are alike."""
    if sample.mass is None:
        return None
    return (sample.mass / sample.mass.mean()).astype(np.float32)


def folds_of(rows: Rows, codes: npt.NDArray[np.int32], seed: int) -> npt.NDArray[np.int8]:
    """Deal each class's rows to the folds in turn, in order of their hash."""
    hashes = row_hash(rows, seed, stream=Stream.FOLD)
    order = np.lexsort((hashes, codes))
    fold = np.empty(len(order), np.int8)
    fold[order] = np.arange(len(order)) % FOLDS
    return fold


def _median_squared_distance(Z: Float32, rng: np.random.Generator) -> float:
    """Of pairs of random rows: the scale at which the Fourier features look."""
    left = Z[rng.integers(0, len(Z), _BANDWIDTH_ROWS)].astype(np.float64)
    right = Z[rng.integers(0, len(Z), _BANDWIDTH_ROWS)].astype(np.float64)
    # row by row: all differences at once take gigabytes where there are many features
    squared = np.stack([((row - right) ** 2).sum(axis=1) for row in left])
    positive = squared[squared > 0]
    return float(np.median(positive)) if len(positive) else 1.0
