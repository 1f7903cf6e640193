"""Exact float64 distances behind a float32 matrix product that says which ones matter.

The filter computes lower bounds of many squared distances at once; only pairs that may lower a
row's distance are computed in float64, with one fixed order of summation. The result does not
depend on the filter, nor on how BLAS adds up.
"""

import os
from types import ModuleType

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.floating]
Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

TILE = 512
_LANES = 8
_LARGEST = 1e150
# pairs that NumPy verifies at a time
_VERIFY = 2**16


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
    """
    d = A.shape[1]
    total = np.zeros((len(rows), _LANES))
    for start in range(0, d, _LANES):
        part = slice(start, min(start + _LANES, d))
        difference = A[rows, part].astype(np.float64) - B[others, part]
        difference *= difference
        total[:, : difference.shape[1]] += difference
    left = (total[:, 0] + total[:, 1]) + (total[:, 2] + total[:, 3])
    return left + ((total[:, 4] + total[:, 5]) + (total[:, 6] + total[:, 7]))


class Filter:
    """Float32 copies of rows, centred and scaled, with what bounds their rounding.

    For a row x and a center c of the copy, |x|² + |c|² - 2 x·c differs from the true squared
    distance by at most e · (|x|² + |c|²), e = 4 (d + 8) 2⁻²⁴: half of it for the product, half
    for the copies. So each side can carry its own part of the error.
    """

    def __init__(self, X: Features) -> None:
        d = X.shape[1]
        self.shift = _shift(X)
        extent = _extent(X, self.shift)
        if extent > _LARGEST:
            raise ValueError(
                f"X must hold values below {_LARGEST:g}, whose squares are finite; got a spread of "
                f"{extent:g}; scale it first"
            )
        # a power of two changes no digit, and keeps squares within float32
        self.factor = 2.0 ** -np.ceil(np.log2(extent)) if extent > 0 else 1.0
        self.unit = self.factor * self.factor
        self.error = 4 * (d + 8) * 2.0**-24
        # what may be lost to underflow
        self.least = (d + 8) * 2.0**-120

    def copy(self, X: Features) -> tuple[Float32, Floats]:
        """Filter copies of rows and the part of the bound that is theirs: (n, d), (n,)."""
        out = np.empty(X.shape, np.float32)
        norms = np.empty(len(X))
        for start in range(0, len(X), 4096):
            part = slice(start, start + 4096)
            shifted = (X[part] - self.shift) * self.factor
            out[part] = shifted
            norms[part] = np.einsum("ij,ij->i", shifted, shifted)
        return out, norms * (1 - self.error) - self.least


def lower_distances(
    X: Features,
    rows: Rows,
    copies: Float32,
    limits: Floats,
    C: Features,
    center_copies: Float32,
    offsets: Float32,
    unit: float,
    squared: Floats,
    nearest: Rows,
    start: int,
    stop: int,
) -> None:
    """Lower, in place, the distances of a tile of rows to the centers ``start`` to ``stop``.

    Parameters
    ----------
    X, rows : (n, d) float array, (h,) int64 array
        The tile is ``X[rows]``.
    copies, limits : (h, d) float32, (h,) float64 arrays
        From `Filter.copy`, of the tile.
    C : (m, d) float array
        Centers.
    center_copies, offsets : (m, d), (m,) float32 arrays
        Filter copies times -2, and their part of the bound.
    unit : float
        Filter units per squared distance.
    squared, nearest : (h,) float64, (h,) int64 arrays
        Lowered where a center is strictly nearer; its position goes to ``nearest``.
    """
    loops = compiled()
    for low in range(start, stop, TILE):
        high = min(low + TILE, stop)
        S = copies @ center_copies[low:high].T
        if loops is not None:
            loops.lower(S, offsets[low:high], X, rows, C, low, limits, unit, squared, nearest)
        else:
            S += offsets[low:high]
            _lower(S, X, rows, C, low, limits, unit, squared, nearest)


def center_side(filter_: Filter, C: Features) -> tuple[Float32, Float32]:
    """Filter copies of centers times -2, and their offsets, rounded down."""
    copies, norms = filter_.copy(C)
    copies *= np.float32(-2)
    return copies, np.nextafter(norms.astype(np.float32), np.float32(-np.inf))


def _lower(
    S: Float32,
    X: Features,
    rows: Rows,
    C: Features,
    first: int,
    limits: Floats,
    unit: float,
    squared: Floats,
    nearest: Rows,
) -> None:
    """NumPy's way: verify the pairs that may be the least of their row."""
    limit = np.nextafter((squared * unit - limits).astype(np.float32), np.float32(np.inf))
    least = S.min(axis=1)
    close = np.flatnonzero(least <= limit)
    if len(close) == 0:
        return
    # the true least is within both sides' errors of the least bound: 2 e (|x|^2 + |c|^2) each
    extent = np.abs(limits[close]) + np.abs(S[close]).max(axis=1) + np.abs(limit[close])
    extent = np.where(np.isfinite(extent), extent, np.abs(limits[close]) + np.abs(S[close]).max(1))
    width = least[close] + 16 * (X.shape[1] + 8) * 2.0**-24 * extent
    bound = np.minimum(width, limit[close]).astype(np.float32)
    bound = np.nextafter(bound, np.float32(np.inf))
    at, column = np.nonzero(S[close] <= bound[:, None])
    for low in range(0, len(at), _VERIFY):
        i, j = close[at[low : low + _VERIFY]], column[low : low + _VERIFY] + first
        value = paired(X, rows[i], C, j)
        order = np.lexsort((j, value, i))
        i, j, value = i[order], j[order], value[order]
        head = np.flatnonzero(np.diff(i, prepend=-1))
        i, j, value = i[head], j[head], value[head]
        better = value < squared[i]
        squared[i[better]] = value[better]
        nearest[i[better]] = j[better]


def _shift(X: Features) -> Floats:
    """Mean of the rows, where it does not overflow: float32 has its digits around zero."""
    with np.errstate(over="ignore", invalid="ignore"):
        shift = X.mean(axis=0, dtype=np.float64)
    return np.where(np.isfinite(shift), shift, 0.0)


def _extent(X: Features, shift: Floats) -> float:
    """Largest length that a row can have after the shift."""
    if X.size == 0:
        return 0.0
    high = np.abs(X.max(axis=0) - shift)
    low = np.abs(X.min(axis=0) - shift)
    largest = float(np.maximum(high, low).max())
    return largest * float(np.sqrt(X.shape[1]))
