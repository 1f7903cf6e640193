"""What density is measured with: rules, a block's rows, and rows on their way."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.strategies.parts.steps import SideBySide

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Projection:
    """Where density is measured: scaled features, or their first principal axes."""

    mean: Floats
    inverse: Floats
    axes: Floats | None

    def __call__(self, X: npt.NDArray[np.floating]) -> Floats:
        """(m, r) float64."""
        Z = (X.astype(np.float64) - self.mean) * self.inverse
        return np.ascontiguousarray(Z if self.axes is None else Z @ self.axes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gridded:
    """A block's memory: rows where density is measured, and their cells.

    ``place`` is each row's cell in this block, then in the table of all; ``core`` and ``label``
    are told when they are known.
    """

    number: int
    rows: Ints
    codes: npt.NDArray[np.int32] | None
    Z: Floats
    cells: Ints
    place: Ints
    core: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    mass: Floats | None = None

    def given(self, space: Any = None) -> dict[str, npt.NDArray[Any] | None]:
        """What a journal need not write."""
        return {"rows": self.rows, "codes": self.codes, "mass": self.mass}


@dataclass(frozen=True)
class Density:
    """What is dense, and how the rows will be drawn in the end."""

    eps: float
    min_samples: int
    seed: int
    finish: Any

    def refuse(self, what: str, count: int, most: int) -> None:
        """Nothing is gathered that does not fit."""
        if count > most:
            raise InputError(
                f"eps and min_samples must leave at most {most:,} {what}, got {count:,} with "
                f"eps={self.eps:.6g} and min_samples={self.min_samples}; raise eps, or lower axes"
            )


@dataclass(frozen=True)
class Sent(SideBySide):
    """Rows that are sent: numbers, positions, and their cells."""

    rows: Ints
    Z: Floats
    place: Ints

    @classmethod
    def of(cls, state: Gridded, chosen: npt.NDArray[np.bool_]) -> "Sent":
        """Some rows of a block."""
        return cls(state.rows[chosen], state.Z[chosen], state.place[chosen])
