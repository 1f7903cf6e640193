"""Exact float64 distances behind a float32 matrix product that says which ones matter.

The filter computes lower bounds of many squared distances at once; only pairs that may lower a
row's distance are computed in float64, with one fixed order of summation. The result does not
depend on the filter, nor on how BLAS adds up.
"""

import os
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.floating]
Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

TILE = 512
_LANES = 8
LARGEST = 1e150
# of the factor, whose square must be finite: rows that are closer together have no squares
_LARGEST_POWER = 500.0
# numbers that NumPy handles at a time, so that its temporaries stay in cache
_AT_ONCE = 2**16
# rows whose median is the origin of the filter
_SAMPLE = 1024


def compiled() -> ModuleType | None:
    """The compiled loops, or None where numba is missing or DISTILL_NUMBA=0."""
    if os.environ.get("DISTILL_NUMBA", "1") == "0":
        return None
    try:
        from dask_distill.kernels import _compiled
    except ImportError:
        return None
    return _compiled


def paired(A: Features, rows: Rows, B: Features, others: Rows) -> Floats:
    """Canonical squared distances of pairs of rows: eight lanes, then a fixed tree.

    Parameters
    ----------
    A, B : (n, d), (m, d) float arrays
    rows, others : (p,) int64 arrays
        Pair i is ``A[rows[i]]`` and ``B[others[i]]``.

    Returns
    -------
    (p,) float64 array.

    Examples
    --------
    >>> X = np.array([[0.0, 0.0], [3.0, 4.0]])
    >>> paired(X, np.array([0]), X, np.array([1]))
    array([25.])
    """
    out = np.empty(len(rows))
    d = A.shape[1]
    step = max(1, _AT_ONCE // max(1, d))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        squares = np.zeros((len(rows[part]), -(-d // _LANES) * _LANES))
        np.subtract(A[rows[part]], B[others[part]], out=squares[:, :d], dtype=np.float64)
        squares *= squares
        total = squares[:, :_LANES] if d else np.zeros((len(squares), _LANES))
        for q in range(_LANES, d, _LANES):
            total += squares[:, q : q + _LANES]
        left = (total[:, 0] + total[:, 1]) + (total[:, 2] + total[:, 3])
        right = (total[:, 4] + total[:, 5]) + (total[:, 6] + total[:, 7])
        np.add(left, right, out=out[part])
    return out


def squared_distances_to(X: Features, row: int) -> Floats:
    """Canonical squared distances of all rows to one of them: (n,) float64 array."""
    out = np.empty(len(X))
    loops = compiled()
    if loops is not None:
        loops.distances_to(X, row, out)
        return out
    step = max(1, _AT_ONCE // max(1, X.shape[1]))
    for start in range(0, len(X), step):
        rows = np.arange(start, min(start + step, len(X)))
        out[rows] = paired(X, rows, X, np.full(len(rows), row))
    return out


class Filter:
    """Float32 copies of rows, shifted and scaled, with what bounds their rounding.

    For a row x and a center c of the copy, |x|² + |c|² - 2 x·c differs from the true squared
    distance by at most e · (|x|² + |c|²), e = 4 (d + 8) 2⁻²⁴: half of it for the product, half
    for the copies. So each side can carry its own part of the error.

    Parameters
    ----------
    X : (n, d) float array
        Gives origin and scale.
    """

    def __init__(self, X: Features) -> None:
        d = X.shape[1]
        self.shift = _middle(X)
        extent = _extent(X, self.shift)
        if extent > LARGEST:
            raise ValueError(
                f"X must hold values below {LARGEST:g}, whose squares are finite; got a spread of "
                f"{extent:g}; scale it first"
            )
        # a power of two changes no digit, and keeps squares within float32
        power = min(-np.ceil(np.log2(extent)), _LARGEST_POWER) if extent > 0 else 0.0
        self.factor = 2.0**power
        self.unit = self.factor * self.factor
        self.error = 4 * (d + 8) * 2.0**-24
        # what may be lost to underflow
        self.least = (d + 8) * 2.0**-120

    def rows(self, X: Features) -> "Filtered":
        """Copies for the left side of the product: a column of ones comes last."""
        copies, limits = self._copy(X)
        copies[:, -1] = 1
        return Filtered(self, X, copies, limits)

    def centers(self, C: Features) -> "Filtered":
        """Copies for the right side: times -2, and their part of the bound comes last."""
        return self.rows(C).as_centers(slice(None))

    def _copy(self, X: Features) -> tuple[Float32, Floats]:
        n, d = X.shape
        copies = np.zeros((n, d + 1), np.float32)
        norms = np.empty(n)
        step = max(1, _AT_ONCE // max(1, d))
        shifted = np.empty((min(step, n), d))
        for start in range(0, n, step):
            part = slice(start, start + step)
            own = shifted[: len(X[part])]
            np.subtract(X[part], self.shift, out=own)
            own *= self.factor
            copies[part, :-1] = own
            np.einsum("ij,ij->i", own, own, out=norms[part])
        norms *= 1 - self.error
        norms -= self.least
        return copies, norms


@dataclass(frozen=True)
class Filtered:
    """Rows or centers beside their filter copies.

    Attributes
    ----------
    X : (n, d) float array
    copies : (n, d + 1) float32 array
    limits : (n,) float64 array
        The part of the bound that is theirs.
    """

    filter: Filter
    X: Features
    copies: Float32
    limits: Floats

    def as_centers(self, which: Rows | slice) -> "Filtered":
        """Some of the rows as centers."""
        limits = self.limits[which]
        copies = self.copies[which] * np.float32(-2)
        copies[:, -1] = np.nextafter(limits.astype(np.float32), np.float32(-np.inf))
        return Filtered(self.filter, self.X[which], copies, limits)

    def first(self, count: int) -> "Filtered":
        """The first so many, not copied."""
        return Filtered(self.filter, self.X[:count], self.copies[:count], self.limits[:count])


class Scratch:
    """Buffers of one tile, used for every tile: fresh ones would cost page faults each time."""

    def __init__(self, d: int) -> None:
        self._product = np.empty(TILE * TILE, np.float32)
        self._copies = np.empty((TILE, d + 1), np.float32)

    def gather(self, rows: Filtered, tile: Rows) -> Float32:
        """(h, d + 1) float32 array: the copies of some rows, h at most TILE."""
        out = self._copies[: len(tile)]
        # other than "raise", this mode writes to the buffer without another one between
        return np.take(rows.copies, tile, axis=0, out=out, mode="clip")

    def product(self, copies: Float32, centers: Float32) -> Float32:
        """(h, w) float32 array: bounds up to what is the row's part; h, w at most TILE."""
        h, w = len(copies), len(centers)
        out = self._product[: h * w].reshape(h, w)
        return np.matmul(copies, centers.T, out=out)


def lower_distances(
    rows: Filtered,
    tile: Rows,
    centers: Filtered,
    start: int,
    stop: int,
    squared: Floats,
    nearest: Rows,
    scratch: Scratch,
) -> None:
    """Lower, in place, the distances of a tile of rows to the centers ``start`` to ``stop``.

    Parameters
    ----------
    rows, centers : Filtered
        From one `Filter`.
    tile : (h,) int64 array, h at most TILE
        The rows in question.
    squared, nearest : (n,) float64, (n,) int64 arrays
        Of all rows; lowered where a center is strictly nearer, whose position goes to
        ``nearest``. Among equally near centers the lowest position wins.
    """
    loops = compiled()
    unit = rows.filter.unit
    copies = scratch.gather(rows, tile)
    for low in range(start, stop, TILE):
        high = min(low + TILE, stop)
        S = scratch.product(copies, centers.copies[low:high])
        if loops is not None:
            loops.lower(S, rows.X, tile, centers.X, low, rows.limits, unit, squared, nearest)
        else:
            _lower(S, rows, tile, centers, np.arange(low, high), squared, nearest)


def lower_listed(
    rows: Filtered,
    tile: Rows,
    centers: Filtered,
    listed: Rows,
    squared: Floats,
    nearest: Rows,
    scratch: Scratch,
) -> None:
    """Lower, in place, the distances of a tile of rows to some centers, in any order.

    Parameters
    ----------
    rows, tile, centers, squared, nearest, scratch
        As of `lower_distances`; a center that is as near as the one known before takes its
        place where its position is lower.
    listed : (w,) int64 array, w at most TILE
        Positions of the centers.
    """
    loops = compiled()
    copies = scratch.gather(rows, tile)
    S = scratch.product(copies, np.take(centers.copies, listed, axis=0))
    if loops is not None:
        unit = rows.filter.unit
        loops.lower_listed(S, rows.X, tile, centers.X, listed, rows.limits, unit, squared, nearest)
    else:
        _lower(S, rows, tile, centers, listed, squared, nearest)


def _lower(
    S: Float32,
    rows: Filtered,
    tile: Rows,
    centers: Filtered,
    listed: Rows,
    squared: Floats,
    nearest: Rows,
) -> None:
    """NumPy's way: verify the pairs that may be the least of their row."""
    filter_ = rows.filter
    above = np.float32(np.inf)
    limit = np.nextafter((squared[tile] * filter_.unit - rows.limits[tile]).astype("f4"), above)
    column = S.argmin(axis=1)
    least = S[np.arange(len(tile)), column]
    close = np.flatnonzero(least <= limit)
    if len(close) == 0:
        return
    # the pair of the least bound is at most two errors above it, and so is the nearest
    lengths = rows.limits[tile[close]] + centers.limits[listed[column[close]]]
    lengths = (lengths + 2 * filter_.least) / (1 - filter_.error)
    width = least[close] * (1 + 2.0**-20 * np.sign(least[close]))
    width += 2.01 * filter_.error * lengths + 8 * filter_.least
    bound = np.nextafter(np.minimum(width, limit[close]).astype(np.float32), above)
    at, column = np.divmod(np.flatnonzero(S[close] <= bound[:, None]), S.shape[1])
    for low in range(0, len(at), _AT_ONCE):
        i, j = tile[close[at[low : low + _AT_ONCE]]], listed[column[low : low + _AT_ONCE]]
        value = paired(rows.X, i, centers.X, j)
        order = np.lexsort((j, value, at[low : low + _AT_ONCE]))
        head = order[np.flatnonzero(np.diff(i[order], prepend=-1))]
        head = head[
            (value[head] < squared[i[head]])
            | ((value[head] == squared[i[head]]) & (j[head] < nearest[i[head]]))
        ]
        squared[i[head]] = value[head]
        nearest[i[head]] = j[head]


def _middle(X: Features) -> Floats:
    """Median of some rows: float32 has its digits around zero, and no outlier moves it."""
    if len(X) == 0:
        return np.zeros(X.shape[1])
    some = np.sort(X[:: -(-len(X) // _SAMPLE)], axis=0)
    return some[len(some) // 2].astype(np.float64)


def _extent(X: Features, shift: Floats) -> float:
    """Largest length that a row can have after the shift."""
    if X.size == 0:
        return 0.0
    high = np.abs(X.max(axis=0) - shift)
    low = np.abs(X.min(axis=0) - shift)
    largest = float(np.maximum(high, low).max())
    return largest * float(np.sqrt(X.shape[1]))
