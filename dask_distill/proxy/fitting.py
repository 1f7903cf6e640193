"""Fitting the built-in judges on the survey's sample."""

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.softmax import cross_fit
from dask_distill.kernels.streams import Generator, Stream
from dask_distill.proxy.models import FOURIER_FEATURES, EnsembleProxy, SoftmaxProxy, fourier
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.silence import without_warnings
from dask_distill.runtime.threads import single_threaded
from dask_distill.survey.schema import Sample, Schema

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
FOLDS = 3
# the models have mostly stopped before
_STEPS = 100
_BANDWIDTH_ROWS = 200


def fit_softmax(schema: Schema) -> SoftmaxProxy:
    """Fit multinomial logistic regression on the survey's sample, standardised.

    Parameters
    ----------
    schema : Schema
        With its sample.

    Returns
    -------
    SoftmaxProxy
    """
    sample, codes = _sample(schema)
    Z = Scaling.of(schema)(sample.X)
    return _fit(Z, codes, schema)


def fit_ensemble(schema: Schema) -> EnsembleProxy:
    """Fit one softmax model a fold, on Fourier features, each without its fold.

    They stop learning where what they say of their folds gets worse: see `kernels.softmax`.

    Parameters
    ----------
    schema : Schema
        With its sample.

    Returns
    -------
    EnsembleProxy
    """
    sample, codes = _sample(schema)
    Z = Scaling.of(schema)(sample.X)
    d = Z.shape[1]
    rng = np.random.default_rng([schema.seed % 2**63, Generator.FOURIER])
    frequencies = rng.standard_normal((d, FOURIER_FEATURES)).astype(np.float32)
    frequencies *= np.float32(np.sqrt(3.0 / _median_squared_distance(Z, rng)))
    phases = rng.uniform(0, 2 * np.pi, FOURIER_FEATURES).astype(np.float32)
    features = fourier(Z, frequencies, phases)
    fold = _folds(sample.rows, codes, schema.seed)
    assert schema.counts is not None
    with single_threaded():
        fit = cross_fit(features, codes, fold, len(schema.counts), strength=1 / 3, steps=_STEPS)
    intercepts = np.where(fit.seen, fit.intercepts, _unseen(schema))
    members = tuple(map(SoftmaxProxy, fit.weights, intercepts))
    return EnsembleProxy(frequencies, phases, members, sample.rows, fold)


def _unseen(schema: Schema) -> Float32:
    """Intercepts of classes that a fit has not seen: what their shares say, far below the rest."""
    assert schema.counts is not None
    return (np.log(np.maximum(schema.counts, 1) / schema.n) - 10).astype(np.float32)


def _fit(Z: Float32, codes: npt.NDArray[np.int32], schema: Schema) -> SoftmaxProxy:
    from sklearn.linear_model import LogisticRegression

    assert schema.counts is not None
    C = len(schema.counts)
    weights = np.zeros((C, Z.shape[1]), np.float32)
    present = np.unique(codes)
    intercepts = _unseen(schema)
    if len(present) == 1:
        intercepts[present] = 0
        return SoftmaxProxy(weights, intercepts)
    # again, for the libraries that these imports may have loaded
    # a proxy need not converge to be a judge
    with single_threaded(), without_warnings():
        model = LogisticRegression(C=1.0, max_iter=100, tol=1e-3).fit(Z, codes)
    if len(present) == 2:
        weights[present[0]], intercepts[present[0]] = 0, 0
        weights[present[1]], intercepts[present[1]] = model.coef_[0], model.intercept_[0]
    else:
        weights[present], intercepts[present] = model.coef_, model.intercept_
    return SoftmaxProxy(weights, intercepts)


def _sample(schema: Schema) -> tuple[Sample, npt.NDArray[np.int32]]:
    if schema.sample is None or schema.sample.codes is None:
        raise ValueError("schema must hold a labelled sample, got an outline")
    return schema.sample, schema.sample.codes


def _folds(rows: Rows, codes: npt.NDArray[np.int32], seed: int) -> npt.NDArray[np.int8]:
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
