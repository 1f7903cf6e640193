"""Fitted reductions, which travel to the blocks: features in, fewer features out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.kernels.projection import Float32, Layer, forward, squared_error
from dask_distill.proxy.scaling import Scaling, tiles
from dask_distill.survey.schema import Schema

Features = npt.NDArray[np.floating]


class Reducer(Protocol):
    """A fitted reduction."""

    @property
    def width(self) -> int:
        """Features of a row afterwards."""

    def __call__(self, X: Features) -> tuple[Features, Float32 | None]:
        """(m, width) features of m rows, and (m,) reconstruction errors where there are any."""

    def facts(self) -> dict[str, Any]:
        """What the provenance tells, JSON-able."""


@dataclass(frozen=True)
class Unchanged:
    """Features as they are."""

    width: int

    def __call__(self, X: Features) -> tuple[Features, Float32 | None]:
        """The same."""
        return X, None

    def facts(self) -> dict[str, Any]:
        """Nothing is fitted."""
        return {}


@dataclass(frozen=True)
class Linear:
    """(p, d) directions, on features that are scaled."""

    scaling: Scaling
    components: Float32
    orthonormal: bool
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Directions."""
        return len(self.components)

    def __call__(self, X: Features) -> tuple[Features, Float32 | None]:
        """In fixed tiles."""
        out = np.empty((len(X), self.width), np.float32)
        error = np.empty(len(X), np.float32) if self.orthonormal else None
        for tile in tiles(len(X), X.shape[1]):
            Z = self.scaling(X[tile])
            out[tile] = Z @ self.components.T
            if error is not None:
                error[tile] = squared_error(Z, out[tile] @ self.components)
        return out, error

    def facts(self) -> dict[str, Any]:
        """Of the fit."""
        return self.told


@dataclass(frozen=True)
class FittedAutoencoder:
    """An autoencoder's layers."""

    scaling: Scaling
    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Outputs of the encoder."""
        return len(self.encoder[-1][1])

    def __call__(self, X: Features) -> tuple[Features, Float32 | None]:
        """In fixed tiles."""
        out = np.empty((len(X), self.width), np.float32)
        error = np.empty(len(X), np.float32)
        for tile in tiles(len(X), X.shape[1]):
            Z = self.scaling(X[tile])
            out[tile] = forward(Z, self.encoder)
            error[tile] = squared_error(Z, forward(out[tile], self.decoder))
        return out, error

    def facts(self) -> dict[str, Any]:
        """Of the fit."""
        return self.told


@dataclass(frozen=True)
class Applied:
    """The user's function, and what its answers must look like."""

    function: Callable[[Any], Any]
    shape: tuple[int, ...]
    width: int
    dtype: np.dtype[Any]
    label: str

    @classmethod
    def tried(
        cls, function: Callable[[Any], Any], schema: Schema, shape: tuple[int, ...], label: str
    ) -> "Applied":
        """See what it makes of the first rows of the sample."""
        some = schema.sample.X[:8]
        if schema.filled is not None:
            _refuse_gaps(function, some[:1].copy(), shape, schema.filled, label)
        found = _answer(function, some.reshape(len(some), *shape), label)
        dtype = np.dtype(np.float32 if found.dtype.itemsize <= 4 else np.float64)
        return cls(function, shape, found.shape[1], dtype, label)

    def __call__(self, X: Features) -> tuple[Features, Float32 | None]:
        """On all rows of a block at once."""
        if len(X) == 0:
            return np.empty((0, self.width), self.dtype), None
        found = _answer(self.function, X.reshape(len(X), *self.shape), self.label)
        if found.shape[1] != self.width:
            raise InputError(
                f"reduce must give {self.width} columns for every block, as it did for the first "
                f"rows, got {found.shape[1]} from {self.label}; check the function"
            )
        # in one type, whatever single answers are
        return np.ascontiguousarray(found, self.dtype), None

    def facts(self) -> dict[str, Any]:
        """Nothing is fitted."""
        return {}


@dataclass(frozen=True)
class Transform:
    """``transform`` of an estimator, as a function that travels."""

    estimator: Any

    def __call__(self, X: Features) -> Any:
        """Dense, whatever the estimator gives."""
        found = self.estimator.transform(X)
        return found.toarray() if hasattr(found, "toarray") else found


def _refuse_gaps(
    function: Callable[[Any], Any],
    row: Features,
    shape: tuple[int, ...],
    filled: dict[str, Any],
    label: str,
) -> None:
    """End the run early where the user's function does not fill in what is missing."""
    rows, (first, column) = sum(filled["columns"].values()), filled["first"]
    row[0, column] = np.nan
    try:
        _answer(function, row.reshape(1, *shape), label)
    except InputError:
        raise InputError(
            f"features has NaN in {rows:,} places, first in row {first}, column {column}, and "
            f"reduce={label} does not fill them in; clean them, pass a reduce that does, such as a "
            'fitted pipeline with SimpleImputer, or pass on_invalid="drop"'
        ) from None


def _answer(function: Callable[[Any], Any], rows: Features, label: str) -> Features:
    """What the user's function makes of rows, checked."""
    try:
        # a copy: functions may work in place, as some transformers of dask-ml do
        found = np.asarray(function(rows.copy()))
    except (InputError, MemoryError, OSError):
        raise
    except Exception as error:
        raise InputError(
            f"reduce must work on rows of shape {rows.shape}, got {type(error).__name__} from "
            f"{label}: {error}; check the function"
        ) from error
    if found.ndim != 2 or len(found) != len(rows) or found.shape[1] == 0:
        raise InputError(
            f"reduce must give {len(rows)} rows with at least one column for as many rows, got "
            f"shape {found.shape} from {label}; check the function"
        )
    if found.dtype.kind not in "biuf":
        raise InputError(
            f"reduce must give numbers, got dtype {found.dtype} from {label}; check the function"
        )
    if not np.isfinite(found).all():
        given = " for rows with NaN" if np.isnan(rows).any() else ""
        raise InputError(
            f"reduce must give finite values, got NaN or infinite from {label}{given}; check the "
            "function"
        )
    return found
