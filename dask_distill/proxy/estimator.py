"""The user's fitted estimator as the judge."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import tile_rows
from dask_distill.data.places import Places
from dask_distill.errors import InputError
from dask_distill.survey.schema import Outline

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EstimatorProxy:
    """The user's fitted estimator, on raw features; its columns brought into our order.

    None for the estimator where it has judged all rows before, ahead of a reduction.
    """

    estimator: Any
    columns: npt.NDArray[np.int64]

    @property
    def classes(self) -> int:
        """How many classes it knows."""
        return len(self.columns)

    @property
    def granule(self) -> int:
        """Whole tiles: calls cost."""
        return 0

    def judged(self, X: npt.NDArray[np.floating], rows: Rows, *, sampled: bool = False) -> Float32:
        """(m, C) probabilities in fixed tiles, as `score` has them; rows that are far between."""
        out, none = np.empty((len(X), self.classes), np.float32), np.empty((0, 0), np.float32)
        step = tile_rows(X.shape[1])
        for tile in Places.of(np.arange(len(X)) if sampled else rows, step).tiles(step):
            found = self.probabilities(tile.placed(X), none, tile.numbers)
            out[tile.rows] = tile.taken(found)
        return out

    def probabilities(
        self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows, work: Float32 | None = None
    ) -> Float32:
        """What ``predict_proba`` says, checked."""
        # a copy: a scaler before the model may work in place
        P = np.asarray(self.estimator.predict_proba(X.copy()))
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

    def spoken(self) -> "EstimatorProxy":
        """What travels on once all rows are judged: the columns alone."""
        return replace(self, estimator=None)


def use_estimator(estimator: Any, schema: Outline) -> EstimatorProxy:
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
