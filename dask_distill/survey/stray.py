"""Which features have a spread that a few rows make, by the survey's moments and sample."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.rescaling import bulk, middle

Floats = npt.NDArray[np.float64]

# a column is looked at where a value is so many standard deviations from the mean: values that
# are one row in a hundred and make three quarters of the variance are farther
_FAR = 8.0
# the spread is made by a few rows where it is so many times that of all others,
_DOMINATED = 2.0
# and some lie so many times the width of the others outside it
_OUTSIDE = 3.0
# the quantiles themselves lie so many interquartile ranges out: no few rows, but a heavy tail
_HEAVY = 20.0


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A feature whose mean and standard deviation are made by a few rows.

    Attributes
    ----------
    column : int
    least, greatest : float
        Of all rows.
    low, high : float
        Between which 99 % of the sample lie.
    deviation : float
        Standard deviation of all rows.
    times : float
        How many times it is that of these 99 %.
    heavy : bool
        Whether the tail is heavy by itself, so that a logarithm brings it in; else a few values
        lie alone.
    """

    column: int
    least: float
    greatest: float
    low: float
    high: float
    deviation: float
    times: float
    heavy: bool

    @property
    def remedy(self) -> str:
        """The scale that does not hang on these rows."""
        return "log" if self.heavy else "robust"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form, without the column."""
        return {
            "least": self.least,
            "greatest": self.greatest,
            "low": self.low,
            "high": self.high,
            "times": round(self.times, 1) if self.times < 1e15 else self.times,
        }


def stray_columns(
    sample: npt.NDArray[np.floating],
    mean: Floats,
    deviation: Floats,
    least: Floats,
    greatest: Floats,
) -> tuple[Stray, ...]:
    """Features whose standard deviation is made by a few rows, in their order.

    Parameters
    ----------
    sample : (m, d) float array
        Rows drawn at random.
    mean, deviation, least, greatest : (d,) float64 arrays
        Of all rows.

    Returns
    -------
    tuple of Stray
    """
    if len(sample) == 0:
        return ()
    with np.errstate(over="ignore"):
        far = np.maximum(greatest / 2 - mean / 2, mean / 2 - least / 2) / deviation > _FAR / 2
    found = []
    for column in np.flatnonzero(far).tolist():
        values = sample[:, column].astype(np.float64)
        low, high, within = bulk(values)
        with np.errstate(over="ignore"):
            outside = max(greatest[column] - high, low - least[column])
            dominated = deviation[column] > _DOMINATED * within
        # of a column that is constant in the sample nothing is known: it may be a rare mark
        if within == 0 or not dominated or outside <= _OUTSIDE * (high - low):
            continue
        center, spread = middle(values)
        heavy = max(high - center, center - low) > _HEAVY * spread
        found.append(
            Stray(
                column=column,
                least=float(least[column]),
                greatest=float(greatest[column]),
                low=low,
                high=high,
                deviation=float(deviation[column]),
                times=float(deviation[column] / within),
                heavy=heavy,
            )
        )
    return tuple(found)
