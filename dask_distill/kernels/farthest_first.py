"""Farthest-first traversal: the greedy k-center order, exactly, without n · k distances.

Every row keeps an upper bound of its squared distance to the centers, and the number of
centers for which the bound is exact. Only rows whose bound may be the largest are brought up
to date, many at a time; the picks equal those of float64 Gonzalez, the lowest row number
winning ties.
"""

import warnings
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.distances import (
    TILE,
    Features,
    Filter,
    Float32,
    Floats,
    Rows,
    center_side,
    compiled,
    lower_distances,
    paired,
)

# a pool this small is traversed one pick at a time
_BASE = 192
# a pool is this part of the rows it is taken from
_POOL = 8


def farthest_first(
    X: npt.ArrayLike, k: int, *, start: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Pick k rows, each the farthest from all picked before it.

    Parameters
    ----------
    X : (n, d) float array
        Finite; other numbers are taken as float64.
    k : int
        Rows to pick, at least 1.
    start : int
        The first pick.

    Returns
    -------
    indices : (k,) int64 array
        In the order of picking; of equally far rows the lowest number. Fewer than k where
        there are fewer distinct rows, with a warning.
    radii : (k,) float64 array
        ``radii[j]`` is the distance of pick j to the nearest pick before it; inf for the first.

    Raises
    ------
    ValueError
        For k below 1, a start that is no row, or rows that are not finite.

    References
    ----------
    Gonzalez (1985), Clustering to minimize the maximum intercluster distance.

    Examples
    --------
    >>> indices, radii = farthest_first(np.array([[0.0], [1.0], [5.0]]), 3)
    >>> indices.tolist(), radii.tolist()
    ([0, 2, 1], [inf, 5.0, 1.0])
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be an int of at least 1, got {k!r}")
    traversal = FarthestFirst(X, start=start)
    traversal.extend(int(k))
    if len(traversal.indices) < k:
        warnings.warn(
            f"k must be at most the number of distinct rows {len(traversal.indices)}, got {k}; "
            "stopped there",
            stacklevel=2,
        )
    return traversal.indices, traversal.radii


def update_squared_distances(
    X: Features, squared: Floats, centers: Features, nearest: Rows | None = None, first: int = 0
) -> None:
    """Lower, in place, each row's squared distance by more centers.

    Parameters
    ----------
    X : (n, d) float array
    squared : (n,) float64 array
        Squared distances so far; inf where there are none.
    centers : (m, d) float array
    nearest : (n,) int64 array, optional
        ``first + j`` is put where center j is strictly nearer; the lowest position wins ties.
    first : int
        Position of ``centers[0]`` among all centers.
    """
    if len(X) == 0 or len(centers) == 0:
        return
    filter_ = Filter(np.concatenate([X.min(axis=0)[None], X.max(axis=0)[None], centers]))
    center_copies, offsets = center_side(filter_, centers)
    for start in range(0, len(X), TILE):
        rows = np.arange(start, min(start + TILE, len(X)))
        copies, limits = filter_.copy(X[rows])
        own = squared[rows]
        at = np.full(len(rows), -1, np.int64)
        lower_distances(
            X,
            rows,
            copies,
            limits,
            centers,
            center_copies,
            offsets,
            filter_.unit,
            own,
            at,
            0,
            len(centers),
        )
        squared[rows] = own
        if nearest is not None:
            nearest[rows] = np.where(at >= 0, at + first, nearest[rows])


def nearest_center(X: Features, centers: Features) -> tuple[Rows, Floats]:
    """Find each row's nearest center.

    Parameters
    ----------
    X : (n, d) float array
    centers : (m, d) float array, m >= 1

    Returns
    -------
    nearest : (n,) int64 array
        Position of the center; the lowest one of those equally near.
    squared : (n,) float64 array
        Squared distance to it.

    Examples
    --------
    >>> nearest_center(np.array([[0.0], [3.0]]), np.array([[1.0], [4.0]]))
    (array([0, 1]), array([1., 1.]))
    """
    squared = np.full(len(X), np.inf)
    nearest = np.zeros(len(X), np.int64)
    update_squared_distances(X, squared, centers, nearest)
    return nearest, squared


class FarthestFirst:
    """A traversal that can be extended, copied and pickled.

    Parameters
    ----------
    X : (n, d) float array
        Not copied, and not to be changed.
    start : int
        The first pick.

    Attributes
    ----------
    indices : (k,) int64 array
        Picks so far, in order.
    squared_radii : (k,) float64 array
        Squared distance of each pick to those before it; inf for the first.
    pairs : int
        Distances that were bounded or computed so far.
    """

    def __init__(self, X: npt.ArrayLike, *, start: int = 0) -> None:
        self._begin(_checked(X))
        n = len(self._X)
        if n == 0:
            return
        if isinstance(start, bool) or not 0 <= start < n:
            raise ValueError(f"start must be a row from 0 to {n - 1}, got {start!r}")
        self._bounds = np.full(n, np.inf)
        self._pick(np.array([start]), np.array([np.inf]))
        self._bounds = paired(self._X, np.arange(n), self._X, np.full(n, start))
        self._stamps[:] = 1

    @classmethod
    def resume(cls, X: npt.ArrayLike, squared_distances: Floats) -> Self:
        """Continue among rows whose distances to centers chosen elsewhere are known.

        Parameters
        ----------
        X : (n, d) float array
        squared_distances : (n,) float64 array

        Returns
        -------
        FarthestFirst
            Without picks; the first will be the row of the largest given distance.
        """
        traversal = cls.__new__(cls)
        traversal._begin(_checked(X))
        traversal._bounds = np.array(squared_distances, np.float64)
        return traversal

    @property
    def radii(self) -> Floats:
        """(k,) float64 array: distance of each pick to those before it."""
        return np.sqrt(self.squared_radii)

    @property
    def exhausted(self) -> bool:
        """Whether every row equals a pick."""
        return self._exhausted or len(self.indices) == len(self._X)

    def extend(self, k: int, *, stop_squared: float | None = None) -> None:
        """Go on to k picks in all.

        Stops before, where no distinct row is left, or where the next pick's squared radius
        would be at most ``stop_squared``.
        """
        stop = 0.0 if stop_squared is None else max(0.0, float(stop_squared))
        most = min(k, len(self._X)) - len(self.indices)
        if most <= 0 or self._exhausted:
            return
        if self._filter is None:
            self._prepare()
        done = self._solve(np.arange(len(self._X)), stop, most)
        if done < most and stop == 0.0:
            self._exhausted = True

    def squared_distances(self) -> Floats:
        """(n,) float64 array: every row's squared distance to the picks."""
        if self._filter is None and len(self._X):
            self._prepare()
        self._update(np.flatnonzero(self._stamps < len(self.indices)))
        return self._bounds.copy()

    def covering_radius(self) -> float:
        """Largest distance of any row to the picks; 0 without rows."""
        return float(np.sqrt(self.squared_distances().max(initial=0.0)))

    def nearest(self) -> Rows:
        """(n,) int64 array: position of each row's nearest pick, the lowest of equals."""
        return nearest_center(self._X, self._X[self.indices])[0]

    def copy(self) -> Self:
        """An independent traversal of the same rows."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name in ("_bounds", "_stamps"):
            setattr(other, name, getattr(self, name).copy())
        # picks are appended by replacing arrays; only the buffer of centers is written to
        other._room = 0
        return other

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for name in ("_filter", "_copies", "_limits", "_centers", "_center_copies", "_offsets"):
            state[name] = None
        state["_room"] = 0
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _begin(self, X: Features) -> None:
        n = len(X)
        self._X = X
        self._bounds = np.full(n, np.inf)
        self._stamps = np.zeros(n, np.int64)
        self.indices: Rows = np.empty(0, np.int64)
        self.squared_radii: Floats = np.empty(0)
        self.pairs = 0
        self._exhausted: bool = n == 0
        self._room = 0
        self._filter: Filter | None = None
        self._copies: Float32 | None = None
        self._limits: Floats | None = None
        self._centers: Features | None = None
        self._center_copies: Float32 | None = None
        self._offsets: Float32 | None = None

    def _prepare(self) -> None:
        """Make the filter copies; after unpickling they are made again."""
        self._filter = Filter(self._X)
        self._copies, self._limits = self._filter.copy(self._X)
        self._room = 0
        self._keep_centers(0)

    def _pick(self, rows: Rows, squared_radii: Floats) -> None:
        before = len(self.indices)
        self.indices = np.concatenate([self.indices, rows])
        self.squared_radii = np.concatenate([self.squared_radii, squared_radii])
        if self._filter is not None:
            self._keep_centers(before)

    def _keep_centers(self, before: int) -> None:
        """Append the centers from ``before`` on to the buffers, which double when full."""
        assert self._copies is not None
        assert self._filter is not None
        count = len(self.indices)
        if count > self._room or self._centers is None:
            self._room = max(2 * count, 1024)
            d = self._X.shape[1]
            self._centers = np.empty((self._room, d), self._X.dtype)
            self._center_copies = np.empty((self._room, d), np.float32)
            self._offsets = np.empty(self._room, np.float32)
            before = 0
        assert self._centers is not None
        assert self._center_copies is not None
        assert self._offsets is not None
        fresh = self.indices[before:]
        self._centers[before:count] = self._X[fresh]
        copies, offsets = center_side(self._filter, self._X[fresh])
        self._center_copies[before:count] = copies
        self._offsets[before:count] = offsets

    def _update(self, rows: Rows) -> None:
        """Bring the bounds of some rows up to date with all picks."""
        count = len(self.indices)
        if len(rows) == 0 or count == 0:
            return
        assert self._filter is not None
        assert self._copies is not None
        assert self._limits is not None
        assert self._centers is not None
        assert self._center_copies is not None
        assert self._offsets is not None
        # rows that have seen as many centers share a tile: none is multiplied in vain
        rows = rows[np.argsort(self._stamps[rows], kind="stable")]
        unused = np.empty(TILE, np.int64)
        for start in range(0, len(rows), TILE):
            tile = rows[start : start + TILE]
            seen = int(self._stamps[tile[0]])
            squared = self._bounds[tile]
            lower_distances(
                self._X,
                tile,
                self._copies[tile],
                self._limits[tile],
                self._centers,
                self._center_copies,
                self._offsets,
                self._filter.unit,
                squared,
                unused[: len(tile)],
                seen,
                count,
            )
            self._bounds[tile] = squared
            self._stamps[tile] = count
            self.pairs += len(tile) * (count - seen)

    def _solve(self, rows: Rows, stop: float, most: int) -> int:
        """Pick up to ``most`` of these rows while the largest squared distance exceeds ``stop``.

        No other row's bound exceeds ``stop``, so that none of them can be next.
        """
        if len(rows) <= _BASE:
            return self._traverse(rows, stop, most)
        began = len(self.indices)
        while (left := most - (len(self.indices) - began)) > 0:
            pool, threshold = self._pool(rows, stop)
            if len(pool):
                self._solve(pool, threshold, left)
                continue
            if threshold <= stop:
                break
            # very many rows are equally far: the lowest of them, until they are used up
            level = rows[self._bounds[rows] == threshold][:_BASE]
            self._traverse(level, float(np.nextafter(threshold, 0)), left)
        return len(self.indices) - began

    def _pool(self, rows: Rows, stop: float) -> tuple[Rows, float]:
        """Rows above a threshold, all up to date, and the threshold; no row where all tie."""
        count = len(self.indices)
        size = max(_BASE, len(rows) // _POOL)
        while True:
            bounds = self._bounds[rows]
            threshold = max(float(np.partition(bounds, len(rows) - size)[len(rows) - size]), stop)
            pool = rows[bounds > threshold]
            stale = pool[self._stamps[pool] < count]
            if len(stale) == 0 and len(pool) == 0 and threshold > stop:
                level = rows[bounds == threshold]
                stale = level[self._stamps[level] < count]
            if len(stale) == 0:
                return pool, threshold
            self._update(stale)

    def _traverse(self, rows: Rows, stop: float, most: int) -> int:
        """One pick at a time among a few rows."""
        self._update(rows[self._stamps[rows] < len(self.indices)])
        squared = self._bounds[rows]
        most = min(most, len(rows))
        picks, radii = np.empty(most, np.int64), np.empty(most)
        loops = compiled()
        if loops is not None:
            count = loops.traverse(self._X, rows, squared, stop, most, picks, radii)
        else:
            count = _traverse(self._X, rows, squared, stop, most, picks, radii)
        if count:
            self._pick(rows[picks[:count]], radii[:count])
        self._bounds[rows] = squared
        self._stamps[rows] = len(self.indices)
        self.pairs += count * len(rows)
        return int(count)


def _traverse(
    X: Features, rows: Rows, squared: Floats, stop: float, most: int, picks: Rows, radii: Floats
) -> int:
    """NumPy's form of the compiled loop."""
    for count in range(most):
        at = int(squared.argmax())
        if squared[at] <= stop:
            return count
        picks[count], radii[count] = at, squared[at]
        np.minimum(squared, paired(X, rows, X, np.full(len(rows), rows[at])), out=squared)
    return most


def _checked(X: npt.ArrayLike) -> Features:
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(f"X must have rows and columns, got shape {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("X must be finite, got NaN or infinite values; clean it first")
    return np.ascontiguousarray(array)
