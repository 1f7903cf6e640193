"""The metric space of the coverage strategies: rows as they are, scaled, or of length 1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.survey.schema import Outline

Features = npt.NDArray[np.floating]

# how far two rows of length 1 may be apart by rounding, in units of it: twice what rows that were
# multiplied by a number, and then brought to their length, can be
_ROUNDING = 8


@dataclass(frozen=True)
class MetricSpace:
    """Brings rows where Euclidean distance is the distance that was asked for."""

    metric: str
    mean: npt.NDArray[np.float64] | None
    scale: npt.NDArray[np.float64] | None
    reduce: Callable[[Any], Any] | None = None

    @classmethod
    def of(
        cls,
        metric: str,
        scale: str,
        schema: Outline,
        reduce: Callable[[Any], Any] | None = None,
        *,
        centred: bool = False,
    ) -> "MetricSpace":
        """With the survey's moments, where they are needed.

        ``centred`` takes the mean off in any case: means and inner products of rows far from the
        origin lose what tells them apart. Directions have no mean to take off.
        """
        if scale == "none":
            mean = schema.mean if centred and metric == "euclidean" else None
            return cls(metric, mean, None, reduce)
        return cls(metric, schema.mean, schema.scale, reduce)

    def same(self, X: Features) -> float:
        """Squared distance within which rows are one point, given some rows as they are.

        By their directions, rows that are multiples of each other differ by rounding alone.
        """
        if self.metric != "cosine":
            return 0.0
        return float(_ROUNDING * np.finfo(self(X[:1]).dtype).epsneg) ** 2

    def __call__(self, X: Features) -> Features:
        """(m, d) rows of the space, in the type of X."""
        if self.mean is not None:
            moved = X - self.mean
            X = (moved if self.scale is None else moved / self.scale).astype(X.dtype)
        if self.reduce is not None:
            X = _reduced(X, self.reduce)
        if self.metric == "cosine":
            # a power of two a row changes no direction, and lets no square overflow or vanish
            _, exponent = np.frexp(np.abs(X).max(axis=1, initial=0))
            X = np.ldexp(X, -exponent[:, None])
            length = np.sqrt(np.einsum("ij,ij->i", X, X, dtype=np.float64))
            # a row of zeros has no direction, and stays at the origin
            X = (X / np.where(length > 0, length, 1)[:, None]).astype(X.dtype)
        return np.ascontiguousarray(X)


def _reduced(X: Features, reduce: Callable[[Any], Any]) -> Features:
    """What the user's function makes of the rows, checked."""
    # a copy: it may work in place
    Z = np.asarray(reduce(X.copy()))
    if Z.ndim != 2 or len(Z) != len(X) or Z.shape[1] == 0:
        raise InputError(
            f"reduce must give {len(X)} rows with at least one column for as many rows, got shape "
            f"{Z.shape}; check the function"
        )
    if Z.dtype not in (np.float32, np.float64):
        Z = Z.astype(np.float64)
    if not np.isfinite(Z).all():
        raise InputError("reduce must give finite values, got NaN or infinite; check the function")
    return Z
