"""Time as features: how long rows stay alike, and columns whose distance says how far apart."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# frequencies of the columns: a cosine and a sine of each
FREQUENCIES = 16


def time_features(times: Floats, scale: float) -> npt.NDArray[np.float32]:
    """Columns whose squared distance is 2 (1 - exp(-lag / scale)), about.

    Cosines and sines at quantiles of the kernel's spectrum (a Cauchy distribution): rows far
    apart in time are at a squared distance of 2, however far, give or take 0.24.

    Parameters
    ----------
    times : (n,) float64 array
    scale : float, > 0
        In the unit of the times: after so long rows are no longer alike.

    Returns
    -------
    (n, 32) float32 array of rows of length 1.

    References
    ----------
    Rahimi, Recht (2007), Random features for large-scale kernel machines.

    Examples
    --------
    >>> near, later = time_features(np.array([0.0, 1.0]), scale=1.0)
    >>> bool(abs(((near - later) ** 2).sum() - 2 * (1 - np.exp(-1))) < 0.1)
    True
    """
    quantiles = (np.arange(FREQUENCIES) + 0.5) / FREQUENCIES
    angles = times[:, None] * (np.tan(np.pi / 2 * quantiles) / scale)
    columns = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return (columns / np.sqrt(FREQUENCIES)).astype(np.float32)


def correlation_time(times: Floats, Z: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Lag at which the features' autocorrelation has fallen to 1/e.

    From pairs of rows that are 1, 2, 4, ... places apart in time: the correlation at a lag is
    1 less the mean squared distance of such pairs over that of all rows (the variogram).

    Parameters
    ----------
    times : (n,) float64 array
        In any order.
    Z : (n, d) float array
        Features, each of variance 1 about.

    Returns
    -------
    lag : float
        In the unit of the times; 0 where all times are equal. The shortest lag there is where
        rows are not alike even then, the longest where they still are.
    correlation : float
        At the shortest lag: about 0 says that the order in time tells nothing.

    References
    ----------
    Matheron (1963), Principles of geostatistics.

    Examples
    --------
    >>> times = np.arange(20_000.0)
    >>> noise = np.random.default_rng(0).normal(size=20_000)
    >>> series = np.convolve(noise, 0.9 ** np.arange(200))[:20_000]
    >>> lag, _ = correlation_time(times, series[:, None] / series.std())
    >>> bool(8 < lag < 11)
    True
    """
    order = np.argsort(times, kind="stable")
    times, Z = times[order], np.asarray(Z[order], np.float64)
    total = 2 * Z.var(axis=0).sum()
    lags, correlations = [], []
    apart = 1
    while apart < len(times):
        lag = float(np.mean(times[apart:] - times[:-apart]))
        if lag > 0 and total > 0:
            squared = np.square(Z[apart:] - Z[:-apart]).sum(axis=1).mean()
            lags.append(lag)
            correlations.append(1 - float(squared) / total)
        apart *= 2
    if not lags:
        return float(times[-1] - times[0]), 0.0
    wanted = np.exp(-1)
    for before, (lag, correlation) in enumerate(zip(lags, correlations, strict=True), start=-1):
        if correlation > wanted:
            continue
        if before < 0:
            return lag, correlations[0]
        share = (correlations[before] - wanted) / (correlations[before] - correlation)
        return lags[before] * (lag / lags[before]) ** share, correlations[0]
    return lags[-1], correlations[0]


def period_numbers(times: Floats, period: str) -> npt.NDArray[np.int64]:
    """Calendar period of each time: months, days, ... since 1970.

    Parameters
    ----------
    times : (n,) float64 array
        Seconds since 1970, UTC.
    period : "year", "quarter", "month", "week", "day" or "hour"

    Returns
    -------
    (n,) int64 array.

    Examples
    --------
    >>> period_numbers(np.array([0.0, 31.5 * 86_400]), "month")
    array([0, 1])
    """
    if period in ("day", "hour", "week"):
        # 1970 began on a Thursday: weeks begin on Mondays
        offset = 3 * 86_400 if period == "week" else 0
        length = {"hour": 3_600, "day": 86_400, "week": 7 * 86_400}[period]
        return np.floor((times + offset) / length).astype(np.int64)
    moments = np.floor(times).astype("datetime64[s]")
    months = moments.astype("datetime64[M]").astype(np.int64)
    return months // {"month": 1, "quarter": 3, "year": 12}[period]
