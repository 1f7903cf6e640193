"""Mean and spread of features, in parts that go together, for floats of any size."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# a unit in which the squares of the largest floats are finite
_HUGE = 2.0**520
# a spread whose squares are still above 0
_TINY = 1e-150


@dataclass(frozen=True)
class Totals:
    """What one look at rows tells of each feature: (d,) sums, least and greatest values.

    The last two are inf and -inf where there are no rows.
    """

    sums: Floats
    least: Floats
    greatest: Floats

    @classmethod
    def of(cls, X: npt.NDArray[np.floating], step: int) -> "Totals":
        """Of (n, d) rows, so many at a time: these stay in cache for all three.

        Examples
        --------
        >>> found = Totals.of(np.array([[1.0], [5.0]]), step=1024)
        >>> float(found.sums[0]), float(found.least[0]), float(found.greatest[0])
        (6.0, 1.0, 5.0)
        """
        d = X.shape[1]
        sums, least, greatest = np.zeros(d), np.full(d, np.inf), np.full(d, -np.inf)
        with np.errstate(over="ignore", invalid="ignore"):
            for tile in tiles(X, step):
                sums += tile.sum(axis=0, dtype=np.float64)
                np.minimum(least, tile.min(axis=0), out=least)
                np.maximum(greatest, tile.max(axis=0), out=greatest)
        return cls(sums, least, greatest)

    @property
    def finite(self) -> bool:
        """Whether all values are, as far as sums tell: those of very large ones may not be."""
        return bool(np.isfinite(self.sums).all())


def moments(
    X: npt.NDArray[np.floating],
    step: int,
    mass: Floats | None = None,
    *,
    totals: Totals | None = None,
) -> tuple[Floats, Floats]:
    """Mean and root mean square deviation of each feature.

    Parameters
    ----------
    X : (n, d) float array
        Finite.
    step : int
        Rows added up together; the bits depend on it.
    mass : (n,) float64 array > 0, optional
        How often each row counts; once where not given.
    totals : Totals, optional
        Of these rows, by the same ``step``, where they are known.

    Returns
    -------
    mean, spread : (d,) float64 arrays
        Zeros where there are no rows.

    Examples
    --------
    >>> mean, spread = moments(np.array([[1.0], [5.0]]), step=1024)
    >>> float(mean[0]), float(spread[0])
    (3.0, 2.0)
    """
    if len(X) == 0:
        return np.zeros(X.shape[1]), np.zeros(X.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = _moments_in(X, step, 1.0, mass, totals)
        fits = np.isfinite(mean) & np.isfinite(spread)
        if not fits.all():
            huge_mean, huge_spread = _moments_in(X, step, _HUGE, mass)
            mean = np.where(fits, mean, huge_mean * _HUGE)
            spread = np.where(fits, spread, huge_spread * _HUGE)
    return mean, spread


def _moments_in(
    X: npt.NDArray[np.floating],
    step: int,
    unit: float,
    mass: Floats | None,
    totals: Totals | None = None,
) -> tuple[Floats, Floats]:
    """Moments as multiples of a unit, tile by tile in float64."""
    if mass is not None:
        return _weighted_moments_in(X, step, unit, mass / mass.sum())
    total = np.zeros(X.shape[1]) if totals is None else totals.sums
    for tile in tiles(X, step) if totals is None else ():
        scaled = tile if unit == 1 else tile / np.float64(unit)
        total += scaled.sum(axis=0, dtype=np.float64)
    mean = total / len(X)
    squares = np.zeros(X.shape[1])
    # the same memory for all tiles: fresh arrays would cost page faults
    room = np.empty((min(len(X), step), X.shape[1]))
    for tile in tiles(X, step):
        deviation = room[: len(tile)]
        np.subtract(tile if unit == 1 else tile / np.float64(unit), mean, out=deviation)
        squares += np.einsum("ij,ij->j", deviation, deviation)
    return mean, np.sqrt(squares / len(X))


def _weighted_moments_in(
    X: npt.NDArray[np.floating], step: int, unit: float, share: Floats
) -> tuple[Floats, Floats]:
    """Moments of rows with shares that sum to 1."""
    mean, squares = np.zeros(X.shape[1]), np.zeros(X.shape[1])
    parts = list(zip(tiles(X, step), tiles(share, step), strict=True))
    for tile, part in parts:
        mean += np.einsum("i,ij->j", part, tile / np.float64(unit))
    for tile, part in parts:
        squares += np.einsum("i,ij->j", part, (tile / np.float64(unit) - mean) ** 2)
    return mean, np.sqrt(squares)


def pool_moments(
    rows: Sequence[int], means: Sequence[Floats], spreads: Sequence[Floats]
) -> tuple[Floats, Floats]:
    """Mean and standard deviation over all parts, added up in their order.

    Parameters
    ----------
    rows : sequence of int
        Rows of each part, or what they stand for.
    means, spreads : sequences of (d,) float64 arrays
        From `moments`.

    Returns
    -------
    mean, scale : (d,) float64 arrays
        The scale of a constant feature is its size, at least 1.

    References
    ----------
    Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance.

    Examples
    --------
    >>> one, two = np.array([1.0]), np.array([5.0])
    >>> mean, scale = pool_moments([1, 1], [one, two], [np.zeros(1), np.zeros(1)])
    >>> float(mean[0]), float(scale[0])
    (3.0, 2.0)
    """
    n = 0
    mean = np.zeros_like(means[0])
    spread = np.zeros_like(mean)
    for count, own_mean, own_spread in zip(rows, means, spreads, strict=True):
        if count == 0:
            continue
        n += count
        share = count / n
        with np.errstate(over="ignore"):
            apart = np.abs(own_mean - mean) * np.sqrt(share * (1 - share))
            within = np.hypot(np.sqrt(1 - share) * spread, np.sqrt(share) * own_spread)
            spread = np.minimum(np.hypot(within, apart), np.finfo(np.float64).max)
        mean = (1 - share) * mean + share * own_mean
    # a constant feature says nothing: what rounding left of it must not grow
    size = np.abs(mean)
    noise = np.maximum(1e-12 * size, _TINY)
    return mean, np.where(spread > noise, spread, np.maximum(size, 1.0))


def tiles(X: npt.NDArray[np.floating], step: int) -> Iterator[npt.NDArray[np.floating]]:
    """The rows, so many at a time."""
    for start in range(0, len(X), step):
        yield X[start : start + step]
