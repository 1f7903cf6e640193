"""A linear model of targets that are no classes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.scores import input_length
from dask_distill.proxy.fitting import sample_weights
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.threads import single_threaded
from dask_distill.survey.schema import Schema

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TargetModel:
    """A linear model of each target on standardised features.

    Ridge regression of a number, or one logistic regression a label. With a loss that is half the
    squared error, or the sum of the logistic losses, the gradient with respect to weights and
    intercepts is the outer product of (prediction - target) and (x, 1): its norm is the product
    of theirs, as with EL2N.

    Attributes
    ----------
    weights, intercepts : (T, d), (T,) float64 arrays
    logistic : bool
    unit : float
        Standard deviation of a number, which its errors are divided by.
    """

    weights: Floats
    intercepts: Floats
    scaling: Scaling
    logistic: bool
    unit: float

    @classmethod
    def fit(cls, schema: Schema, targets: npt.NDArray[Any], logistic: bool) -> "TargetModel":
        """On the survey's sample, of (m, T) targets."""
        from sklearn.linear_model import LogisticRegression, Ridge

        scaling = Scaling.of(schema)
        Z, Y = scaling(schema.sample.X).astype(np.float64), targets.astype(np.float64)
        own = sample_weights(schema.sample)
        with single_threaded():
            if not logistic:
                unit = float(Y.std()) or 1.0
                ridge = Ridge(alpha=1.0, solver="cholesky").fit(Z, Y[:, 0] / unit, own)
                weights, intercepts = ridge.coef_[None], np.array([ridge.intercept_])
                return cls(weights, intercepts, scaling, False, unit)
            weights, intercepts = np.zeros((Y.shape[1], Z.shape[1])), np.empty(Y.shape[1])
            for label, y in enumerate(Y.T):
                if y.min() == y.max():
                    # a label that the sample does not know is as rare as half a row of it
                    odds = (y.sum() + 0.5) / (len(y) - y.sum() + 0.5)
                    intercepts[label] = np.log(odds)
                    continue
                model = LogisticRegression(max_iter=200, tol=1e-3).fit(Z, y, own)
                weights[label], intercepts[label] = model.coef_[0], model.intercept_[0]
        return cls(weights, intercepts, scaling, True, 1.0)

    def gradient_norm(self, X: npt.NDArray[np.floating], targets: npt.NDArray[Any]) -> Float32:
        """(m,) norm of each row's loss gradient."""
        Z = self.scaling(X)
        with single_threaded():
            found = Z.astype(np.float64) @ self.weights.T + self.intercepts
        if self.logistic:
            found = 1 / (1 + np.exp(-np.clip(found, -500, 500)))
        error = found - targets.astype(np.float64) / self.unit
        norm: Float32 = np.sqrt((error**2).sum(axis=1)).astype(np.float32) * input_length(Z)
        return norm
