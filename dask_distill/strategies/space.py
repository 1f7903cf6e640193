"""The metric space of the coverage strategies: rows as they are, scaled, or of length 1."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.survey import Schema

Features = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Space:
    """Brings rows where Euclidean distance is the distance that was asked for."""

    metric: str
    mean: npt.NDArray[np.float64] | None
    scale: npt.NDArray[np.float64] | None

    @staticmethod
    def check(metric: str, scale: str) -> None:
        """Refuse unknown names."""
        if metric not in ("euclidean", "cosine"):
            raise InputError(f'metric must be "euclidean" or "cosine", got {metric!r}')
        if scale not in ("none", "standard"):
            raise InputError(f'scale must be "none" or "standard", got {scale!r}')

    @classmethod
    def of(cls, metric: str, scale: str, schema: Schema) -> "Space":
        """With the survey's moments, where they are needed."""
        if scale == "none":
            return cls(metric, None, None)
        return cls(metric, schema.mean, schema.scale)

    def __call__(self, X: Features) -> Features:
        """(m, d) rows of the space, in the type of X."""
        if self.mean is not None and self.scale is not None:
            X = ((X - self.mean) / self.scale).astype(X.dtype)
        if self.metric == "cosine":
            # a power of two a row changes no direction, and lets no square overflow or vanish
            _, exponent = np.frexp(np.abs(X).max(axis=1, initial=0))
            X = np.ldexp(X, -exponent[:, None])
            length = np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64))
            # a row of zeros has no direction, and stays at the origin
            X = (X / np.where(length > 0, length, 1)[:, None]).astype(X.dtype)
        return np.ascontiguousarray(X)
