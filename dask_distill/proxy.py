"""The proxy: a cheap model whose probabilities say what each row has to teach.

Fitted on the survey's bounded sample; blocks only apply it, in tiles of a fixed shape.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_distill.block import tile_rows
from dask_distill.errors import InputError
from dask_distill.kernels import scores as kernels
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.softmax import cross_fit, widened
from dask_distill.survey import Sample, Schema
from dask_distill.threads import single_threaded

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

FOURIER_FEATURES = 600
FOLDS = 3
# rows whose Fourier features are made at once
_FOURIER_ROWS = 256
# the models have mostly stopped before
_STEPS = 100
_BANDWIDTH_ROWS = 200
_STREAM_FOLD = 2
# features of rows that are standardised side by side: the loop runs over all of them
_TOGETHER = 4096


class Proxy(Protocol):
    """Class probabilities of a tile of rows."""

    def probabilities(self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows) -> Float32:
        """(m, C) probabilities of raw features X, which are Z when standardised."""


@dataclass(frozen=True)
class Scaling:
    """Standardisation of features: (d,) mean and 1 / standard deviation."""

    mean: npt.NDArray[np.float64]
    inverse: npt.NDArray[np.float64]

    @classmethod
    def of(cls, schema: Schema) -> "Scaling":
        """From the survey's moments."""
        return cls(schema.mean, 1 / schema.scale)

    def __call__(self, X: npt.NDArray[np.floating], out: Float32 | None = None) -> Float32:
        """(m, d) float32. Float32 input stays float32 where its offsets allow it."""
        if out is None:
            out = np.empty(X.shape, np.float32)
        if X.dtype == np.float32 and self._is_tame:
            mean, inverse = self._together
            d, wide = len(self.mean), len(mean)
            whole = len(X) - len(X) % (wide // d)
            if not (X.flags.c_contiguous and out.flags.c_contiguous):
                whole = 0
            together = out[:whole].reshape(-1, wide)
            np.subtract(X[:whole].reshape(-1, wide), mean, out=together)
            together *= inverse
            np.subtract(X[whole:], mean[:d], out=out[whole:])
            out[whole:] *= inverse[:d]
        else:
            out[:] = (X - self.mean) * self.inverse
        return out

    def within(self, X: npt.NDArray[np.floating]) -> Float32:
        """(m, d) float32, in the memory of X itself where that is of this type."""
        return self(X, out=X if X.dtype == np.float32 else None)

    @cached_property
    def _together(self) -> tuple[Float32, Float32]:
        """Mean and 1 / standard deviation of some rows side by side."""
        rows = max(1, _TOGETHER // len(self.mean))
        mean, inverse = self.mean.astype(np.float32), self.inverse.astype(np.float32)
        return np.tile(mean, rows), np.tile(inverse, rows)

    @cached_property
    def _is_tame(self) -> bool:
        """Whether float32 loses nothing that matters: no offset far above the spread."""
        spread = np.abs(self.mean) * self.inverse
        return bool(
            np.all(spread < 1e3)
            and np.all(np.abs(self.mean) < 1e30)
            and np.all(self.inverse < 1e30)
            and np.all(self.inverse > 1e-30)
        )


@dataclass(frozen=True)
class SoftmaxProxy:
    """Softmax regression: (C, d) weights and (C,) intercepts on standardised features."""

    weights: Float32
    intercepts: Float32

    def probabilities(self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows) -> Float32:
        """Softmax of the logits."""
        # rows first is twice as fast to multiply, classes first is faster for all that follows
        logits = np.ascontiguousarray((Z @ np.ascontiguousarray(self.weights.T)).T)
        logits += self.intercepts[:, None]
        return _softmax(logits, axis=0).T


@dataclass(frozen=True)
class EnsembleProxy:
    """Mean of cross-fitted softmax models on random Fourier features beside the plain ones.

    A row of the sample is judged only by the model that has not seen it.

    References
    ----------
    Rahimi, Recht (2007), Random features for large-scale kernel machines.
    """

    frequencies: Float32
    phases: Float32
    members: tuple[SoftmaxProxy, ...]
    seen_rows: Rows
    seen_fold: npt.NDArray[np.int8]

    def probabilities(self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows) -> Float32:
        """Mean over the members, or the one member for rows of the sample."""
        each = self._each(Z)
        mean = each[0].copy()
        for other in each[1:]:
            mean += other
        mean /= np.float32(len(each))
        at = np.searchsorted(self.seen_rows, rows)
        at = np.minimum(at, len(self.seen_rows) - 1)
        hit = np.flatnonzero(self.seen_rows[at] == rows)
        for fold, member in enumerate(each):
            mine = hit[self.seen_fold[at[hit]] == fold]
            mean[:, mine] = member[:, mine]
        return mean.T

    def _each(self, Z: Float32) -> Float32:
        """What each member says: (members, C, m)."""
        D, count = len(self.phases), len(self.members)
        intercepts = np.concatenate([m.intercepts for m in self.members])[:, None]
        columns = len(intercepts)
        weights = widened(np.concatenate([m.weights for m in self.members]))
        lifted = np.vstack([self.frequencies, self.phases])
        each = np.empty((count, columns // count, len(Z)), np.float32)
        # Fourier features of few rows stay where the processor has them at hand
        room = np.empty((min(len(Z), _FOURIER_ROWS), D), np.float32)
        ones = np.ones((len(room), len(lifted)), np.float32)
        for start in range(0, len(Z), _FOURIER_ROWS):
            part = slice(start, min(start + _FOURIER_ROWS, len(Z)))
            some = slice(part.stop - start)
            logits = _waves(Z[part], lifted, out=room[some], ones=ones[some]) @ weights[:D]
            logits += Z[part] @ weights[D:]
            logits = np.ascontiguousarray(logits.T[:columns])
            logits += intercepts
            each[:, :, part] = _softmax(logits.reshape(*each.shape[:2], -1), axis=1)
        return each


@dataclass(frozen=True)
class EstimatorProxy:
    """The user's fitted estimator, on raw features; its columns brought into our order.

    None for the estimator where it has judged all rows before, ahead of a reduction.
    """

    estimator: Any
    columns: npt.NDArray[np.int64]

    def probabilities(self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows) -> Float32:
        """What ``predict_proba`` says, checked."""
        P = np.asarray(self.estimator.predict_proba(X))
        wanted = (len(X), len(self.columns))
        if P.shape != wanted:
            raise InputError(
                f"proxy.predict_proba must return probabilities of shape {wanted}, got "
                f"{P.shape}; check the estimator"
            )
        # NaN is not within either
        if not ((P >= 0) & (P <= 1 + 1e-6)).all():
            raise InputError(
                "proxy.predict_proba must return probabilities from 0 to 1, got values from "
                f"{P.min():.3g} to {P.max():.3g}; check the estimator"
            )
        return P[:, self.columns].astype(np.float32)


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
    rng = np.random.default_rng([schema.seed % 2**63, 0xF0])
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


def use_estimator(estimator: Any, schema: Schema) -> EstimatorProxy:
    """Wrap a fitted estimator, after checking that it knows the data's classes.

    Raises
    ------
    InputError
        Where it is not fitted, has no ``predict_proba``, or knows other classes or features.
    """
    if isinstance(estimator, EstimatorProxy):
        return estimator
    check_estimator(estimator)
    fitted = next(e for e in _judges(estimator) if _is_fitted(e))
    features = getattr(fitted, "n_features_in_", schema.d)
    if features != schema.d:
        raise InputError(
            f"proxy must know the data's {schema.d} features, got an estimator fitted on "
            f"{features}; fit it on these features"
        )
    if any(np.ndim(label) for label in fitted.classes_):
        raise InputError(
            f"proxy must have one output, got an estimator with {len(fitted.classes_)}; fit it on "
            "the labels alone"
        )
    known = np.asarray(fitted.classes_)
    if schema.classes is None:
        if len(known) < 2:
            raise InputError(
                f"proxy must know at least two classes, got {known.tolist()}; fit it on more"
            )
        return EstimatorProxy(fitted, np.arange(len(known)))
    wanted = schema.classes
    missing = sorted(set(wanted.tolist()) - set(known.tolist()))
    if missing or len(known) != len(wanted):
        raise InputError(
            f"proxy must know the classes of labels, got an estimator with {len(known)} classes "
            f"for {len(wanted)} in the data (missing: {missing[:5]}); fit it on these labels"
        )
    position = {label: column for column, label in enumerate(known.tolist())}
    return EstimatorProxy(fitted, np.array([position[c] for c in wanted.tolist()], np.int64))


def check_estimator(estimator: Any) -> None:
    """Refuse what is not a fitted classifier with probabilities."""
    if not any(_is_fitted(judge) for judge in _judges(estimator)):
        raise InputError(
            f"proxy must be a fitted estimator with predict_proba, got {type(estimator).__name__};"
            " fit it first, or leave proxy out for the built-in one"
        )


def _judges(estimator: Any) -> Iterator[Any]:
    """The estimator; then what dask-ml's ParallelPostFit, itself never fitted, wraps."""
    yield estimator
    # scikit-learn's own wrappers must be fitted themselves
    if any(kind.__module__.startswith("dask_ml.") for kind in type(estimator).__mro__):
        yield getattr(estimator, "estimator", None)


def _is_fitted(estimator: Any) -> bool:
    return hasattr(estimator, "predict_proba") and hasattr(estimator, "classes_")


def tiles(count: int, d: int) -> Iterator[slice]:
    """The fixed tiles of a block of ``count`` rows."""
    step = tile_rows(d)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def score(
    proxy: Proxy,
    scaling: Scaling,
    X: npt.NDArray[np.floating],
    rows: Rows,
    codes: npt.NDArray[np.int32] | None,
    given: Float32 | None = None,
) -> dict[str, Float32]:
    """All scores of a block, in fixed tiles; ``given`` are probabilities known before.

    Returns
    -------
    dict of (m,) float32 arrays
        ``entropy``, ``margin`` and ``doubt`` (1 - max p); with labels also ``gradient``,
        ``el2n`` and ``trust_gap``.
    """
    names = ["entropy", "margin", "doubt"]
    if codes is not None:
        names += ["gradient", "el2n", "trust_gap"]
    out = {name: np.empty(len(X), np.float32) for name in names}
    # one buffer for all tiles: a fresh one each would cost page faults
    room = np.empty((min(len(X), tile_rows(X.shape[1])), X.shape[1]), np.float32)
    for tile in tiles(len(X), X.shape[1]):
        Z = scaling(X[tile], out=room[: tile.stop - tile.start])
        P = proxy.probabilities(X[tile], Z, rows[tile]) if given is None else given[tile]
        out["entropy"][tile] = kernels.entropy(P)
        top = kernels.top_two(P)
        out["margin"][tile] = kernels.margin(P, top)
        out["doubt"][tile] = 1 - top[0]
        if codes is not None:
            own = codes[tile]
            out["el2n"][tile] = kernels.el2n(P, own)
            # the gradient's norm, without computing EL2N again
            out["gradient"][tile] = out["el2n"][tile] * kernels.input_length(Z)
            out["trust_gap"][tile] = kernels.trust_gap(P, own, top)
    return out


def fourier(Z: Float32, frequencies: Float32, phases: Float32) -> Float32:
    """Random Fourier features beside the plain ones: (m, D + d)."""
    return np.hstack([_waves(Z, np.vstack([frequencies, phases])), Z])


def _waves(
    Z: Float32, lifted: Float32, out: Float32 | None = None, ones: Float32 | None = None
) -> Float32:
    """Random Fourier features alone: (m, D), of frequencies above phases, (d + 1, D).

    ``ones``, of which all but the last column is written over, may be given for many calls.
    """
    # a feature of ones adds the phases within the product
    if ones is None:
        ones = np.ones((len(Z), len(lifted)), np.float32)
    ones[:, :-1] = Z
    waves: Float32 = np.matmul(ones, lifted, out=out)
    return np.cos(waves, out=waves)


def _softmax(logits: Float32, axis: int) -> Float32:
    """Softmax over an axis, in place."""
    logits -= logits.max(axis=axis, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=axis, keepdims=True)
    return logits


def _unseen(schema: Schema) -> Float32:
    """Intercepts of classes that a fit has not seen: what their shares say, far below the rest."""
    assert schema.counts is not None
    return (np.log(np.maximum(schema.counts, 1) / schema.n) - 10).astype(np.float32)


def _fit(Z: Float32, codes: npt.NDArray[np.int32], schema: Schema) -> SoftmaxProxy:
    from sklearn.exceptions import ConvergenceWarning
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
    with single_threaded(), warnings.catch_warnings():
        # a proxy need not converge to be a judge
        warnings.simplefilter("ignore", ConvergenceWarning)
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
    hashes = row_hash(rows, seed, stream=_STREAM_FOLD)
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
