"""Time as columns beside the features."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.kernels.timeline import FREQUENCIES, correlation_time, time_features


@dataclass(frozen=True)
class Timeline:
    """Adds to the features columns that say when a row was.

    Attributes
    ----------
    origin, scale : float
        In the unit of the times.
    length : float
        Of the columns: rows far apart in time get as far apart by them as two rows at random
        are by the features.
    unit : float
        Of the columns, as a standard deviation.
    correlation : float or None
        Of the features at the shortest lag in the sample, where the scale was found from them.
    """

    origin: float
    scale: float
    length: float
    unit: float
    correlation: float | None

    @classmethod
    def fit(
        cls, times: npt.NDArray[np.float64], Z: npt.NDArray[np.floating], scale: float | None
    ) -> "Timeline":
        """From the survey's sample; with a scale of the user's, or the features' own.

        Raises
        ------
        InputError
            Where all times are equal.
        """
        if times.min() == times.max():
            raise InputError(
                f"time must differ between rows, got {times[0]:g} for all of the sample; leave "
                "time_scale out"
            )
        spread = Z.std(axis=0, dtype=np.float64)
        correlation = None
        if scale is None:
            standard = (Z - Z.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1)
            scale, correlation = correlation_time(times, standard)
        length = float(np.sqrt(np.square(spread).sum())) or 1.0
        unit = length / float(np.sqrt(Z.shape[1]))
        return cls(float(np.median(times)), scale, length, unit, correlation)

    @property
    def width(self) -> int:
        """Columns."""
        return 2 * FREQUENCIES

    def __call__(
        self, Z: npt.NDArray[np.floating], times: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.floating]:
        """(m, d + 32) features with the columns behind them."""
        columns = time_features(times - self.origin, self.scale) * np.float32(self.length)
        return np.concatenate([Z, columns.astype(Z.dtype)], axis=1)

    def facts(self) -> dict[str, Any]:
        """What the provenance tells, JSON-able."""
        told: dict[str, Any] = {"time_scale": self.scale}
        if self.correlation is not None:
            told["correlation_at_shortest_lag"] = round(self.correlation, 4)
        return told
