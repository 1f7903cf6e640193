"""Small histograms, by which the values of some rows can be held against those of all.

Numbers alone: what columns they are of, others know.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# bars of a histogram; of so few values, each has its own
BARS = 16
# values between which all but these parts lie: a few far values would leave one bar
_TAIL = 0.01
_FAR = 3.0


def number_shape(numbers: Floats, weights: Floats | None = None) -> dict[str, Any]:
    """Where numbers lie: what a histogram of others is made alike by, and the counts.

    Parameters
    ----------
    numbers : (m,) float64 array
        NaN are left out.
    weights : (m,) float64 array, optional
        How many rows each stands for.

    Returns
    -------
    dict
        ``at``: the values, where they are few, or else ``low`` and ``high``, between which bars of
        equal width lie, the outer ones with what is beyond; ``counts``. Empty without numbers.

    Examples
    --------
    >>> number_shape(np.array([1.0, 2.0, 2.0, np.nan]))
    {'at': [1.0, 2.0], 'counts': [1, 2]}
    """
    known = np.isfinite(numbers)
    numbers = numbers[known]
    weights = None if weights is None else weights[known]
    if len(numbers) == 0:
        return {}
    values = np.unique(numbers)
    if len(values) <= BARS:
        shape: dict[str, Any] = {"at": values.tolist()}
    else:
        low, high = float(values[0]), float(values[-1])
        near = np.quantile(numbers, (_TAIL, 1 - _TAIL)).tolist()
        if near[1] > near[0] and high - low > _FAR * (near[1] - near[0]):
            low, high = near
        shape = {"low": low, "high": high}
    return shape | {"counts": np.rint(counted(numbers, shape, weights)).astype(int).tolist()}


def counted(numbers: Floats, shape: dict[str, Any], weights: Floats | None = None) -> Floats:
    """Numbers by the bars of a shape; NaN are left out.

    Examples
    --------
    >>> counted(np.array([-5.0, 0.5, 40.0]), {"low": 0.0, "high": 16.0})[[0, 15]]
    array([2., 1.])
    """
    known = np.isfinite(numbers)
    numbers = numbers[known]
    weights = None if weights is None else weights[known]
    if "at" in shape:
        at = np.asarray(shape["at"], np.float64)
        # other values belong to the nearest
        bars, number = np.searchsorted((at[1:] + at[:-1]) / 2, numbers), len(at)
    else:
        low, high, number = shape["low"], shape["high"], BARS
        with np.errstate(over="ignore", invalid="ignore"):
            share = (np.clip(numbers, low, high) / 2 - low / 2) / (high / 2 - low / 2)
        bars = np.minimum((share * BARS).astype(np.int64), BARS - 1)
    return np.bincount(bars, weights, number).astype(np.float64)


def moved(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """The part of the rows that lie otherwise: total variation between two histograms.

    Examples
    --------
    >>> moved([1, 1], [3, 1])
    0.25
    """
    p, q = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if p.sum() == 0 or q.sum() == 0:
        return float("nan")
    return float(np.abs(p / p.sum() - q / q.sum()).sum() / 2)


def moved_by_chance(counts: npt.ArrayLike, rows: float) -> float:
    """What `moved` is of so many rows drawn at random, about; ``rows`` above 0.

    The mean distance of a binomial share from its mean is close to that of a normal one.

    Examples
    --------
    >>> round(moved_by_chance([50, 50], 100), 2)
    0.04
    """
    p = np.asarray(counts, np.float64)
    p = p / max(p.sum(), 1)
    return float(np.sqrt(2 * p * (1 - p) / (np.pi * rows)).sum() / 2)
