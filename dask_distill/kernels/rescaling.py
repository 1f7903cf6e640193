"""Scales that do not hang on a few rows: bounded, logarithmic and by rank."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# interquartile ranges beyond which values are pressed together
ROBUST_BOUND = 3.0
LOG_BOUND = 10.0
# of ranks between 0 and 1, the width that gives a variance of 1
_RANK_WIDTH = float(np.sqrt(12))


def pressed(values: Floats, center: Floats, spread: Floats, bound: float) -> Floats:
    """How many spreads from the center, smoothly pressed into ``(-bound, bound)``.

    Near the center as good as linear, and strictly increasing wherever floats can tell.

    Parameters
    ----------
    values : (n, d) float64 array
        Finite, of any size.
    center, spread : (d,) float64 arrays
        ``spread`` > 0.
    bound : float > 0

    Returns
    -------
    (n, d) float64 array

    References
    ----------
    Holzmüller, Grinsztajn, Steinwart (2024), Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data (robust scaling and smooth clipping).

    Examples
    --------
    >>> out = pressed(np.array([[1.0], [2.0], [1e300]]), np.array([1.0]), np.array([1.0]), 3.0)
    >>> out.ravel().round(4).tolist()
    [0.0, 0.9487, 3.0]
    """
    # halves first: the difference of the largest floats is finite then
    with np.errstate(over="ignore"):
        apart = (values / 2 - center / 2) / spread * 2
        apart = np.clip(apart, -np.finfo(np.float64).max, np.finfo(np.float64).max)
        return apart / np.hypot(1.0, apart / bound)


def signed_log(values: Floats, unit: Floats) -> Floats:
    """``log(1 + |value| / unit)``, with the sign of the value.

    Parameters
    ----------
    values : (n, d) float64 array
        Finite, of any size.
    unit : (d,) float64 array, > 0
        Below it as good as linear, above it logarithmic.

    Returns
    -------
    (n, d) float64 array

    Examples
    --------
    >>> signed_log(np.array([[-1.0], [0.0], [np.e - 1]]), np.array([1.0])).ravel().tolist()
    [-0.6931471805599453, 0.0, 1.0]
    """
    size = np.abs(values)
    with np.errstate(over="ignore"):
        ratio = size / unit
        # where the ratio overflows, its logarithm does not
        found = np.where(np.isfinite(ratio), np.log1p(ratio), np.log(size + unit) - np.log(unit))
    return np.copysign(found, values)


def rank_scores(
    values: npt.NDArray[np.floating], knots: Floats, ranks: Floats
) -> npt.NDArray[np.float64]:
    """Where values stand among those of a sample, with mean 0 and variance 1 there.

    Parameters
    ----------
    values : (n,) float array
    knots, ranks : (p,) float64 arrays
        From `rank_knots`.

    Returns
    -------
    (n,) float64 array, linear between knots and flat beyond the outer ones.
    """
    return (np.interp(values, knots, ranks) - 0.5) * _RANK_WIDTH


def rank_knots(sample: npt.NDArray[np.floating], most: int = 256) -> tuple[Floats, Floats]:
    """Distinct values of a sample, and the part of it below each: equal ones share their ranks.

    Parameters
    ----------
    sample : (m,) float array, m >= 1
    most : int
        Knots, at most about; evenly by rank, the outermost values among them.

    Returns
    -------
    knots : (p,) float64 array, ascending
    ranks : (p,) float64 array from 0 to 1

    Examples
    --------
    >>> knots, ranks = rank_knots(np.array([0.0, 0.0, 0.0, 1.0]))
    >>> knots.tolist(), ranks.tolist()
    ([0.0, 1.0], [0.375, 0.875])
    """
    values, counts = np.unique(np.asarray(sample, np.float64), return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2) / len(sample)
    if len(values) > most:
        at = np.searchsorted(ranks, np.linspace(ranks[0], ranks[-1], most), side="left")
        keep = np.unique(np.minimum(at, len(values) - 1))
        values, ranks = values[keep], ranks[keep]
    return values, ranks


def middle(sample: Floats) -> tuple[float, float]:
    """Median and interquartile range of a column; of its other values where most are equal.

    Parameters
    ----------
    sample : (m,) float64 array, m >= 1

    Returns
    -------
    center, spread : float
        The spread is above 0: 1 for a constant column.

    Examples
    --------
    >>> middle(np.array([1.0, 2.0, 3.0, 4.0, 1e9]))
    (3.0, 2.0)
    """
    low, center, high = np.quantile(sample, [0.25, 0.5, 0.75])
    if high > low:
        return float(center), float(high - low)
    others = sample[sample != center]
    if len(others) == 0:
        return float(center), 1.0
    low, high = np.quantile(np.append(others, center), [0.25, 0.75])
    if high > low:
        return float(center), float(high - low)
    return float(center), float(np.abs(others - center).min())


def bulk(sample: Floats) -> tuple[float, float, float]:
    """Where nearly all values of a column lie, and their standard deviation if none lay outside.

    The values between the 0.5 and the 99.5 % quantiles; where more than half of all are equal, the
    quantiles are of the others, so that a rare mark is no outlier.

    Parameters
    ----------
    sample : (m,) float64 array, m >= 1

    Returns
    -------
    low, high, deviation : float

    Examples
    --------
    >>> bulk(np.array([0.0] * 999 + [1.0]))[:2]
    (0.0, 1.0)
    """
    center = np.quantile(sample, 0.5, method="lower")
    others = sample[sample != center]
    if 2 * len(others) > len(sample) or len(others) == 0:
        low, high = np.quantile(sample, [0.005, 0.995])
    else:
        low, high = np.quantile(others, [0.005, 0.995])
        low, high = min(low, center), max(high, center)
    return float(low), float(high), float(np.clip(sample, low, high).std())
