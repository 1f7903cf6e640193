"""Standardised features, in fixed tiles."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import tile_rows
from dask_distill.survey.schema import Outline

Float32 = npt.NDArray[np.float32]
# features of rows that are standardised side by side: the loop runs over all of them
_TOGETHER = 8192


@dataclass(frozen=True)
class Scaling:
    """Standardisation of features: (d,) mean and 1 / standard deviation."""

    mean: npt.NDArray[np.float64]
    inverse: npt.NDArray[np.float64]

    @classmethod
    def of(cls, schema: Outline) -> "Scaling":
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
            if whole < len(X):
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


def tiles(count: int, d: int, step: int = 0) -> Iterator[slice]:
    """The fixed tiles of a block of ``count`` rows: of ``step`` rows, or as many as d allows."""
    step = step or tile_rows(d)
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))
