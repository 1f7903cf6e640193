"""Farthest-first traversal of many rows and features: bounds, and products only where they matter.

Every row keeps an upper bound of its squared distance to the picks, and the number of picks for
which the bound is exact. Only rows whose bound may be the largest are brought up to date, many
at a time, by matrix products.
"""

from typing import Any, NamedTuple, Self

import numpy as np

from dask_distill.kernels.distances import (
    TILE,
    Features,
    Filter,
    Filtered,
    Float32,
    Floats,
    Rows,
    Scratch,
    compiled,
    lower_distances,
    paired,
)

# a pool this small is traversed one pick at a time
BASE = 192
# a pool is this part of the rows it is taken from
_POOL = 8


class Picks(NamedTuple):
    """Room for picks, by position or row, and for their squared insertion radii."""

    picks: Rows
    radii: Floats


class LazyTraversal:
    """The state of a traversal, and how it goes on.

    Parameters
    ----------
    filter_ : Filter
        Made from X.
    X : (n, d) float array
        Finite and contiguous; not copied.
    squared : (n,) float64 array
        Squared distances so far; taken over and changed.
    start : int, optional
        The first pick, to which ``squared`` are the distances.

    Attributes
    ----------
    indices, squared_radii : (k,) int64, (k,) float64 arrays
        Picks in order, and their squared distances to those before them.
    nearest : (n,) int64 array
        Position of the nearest pick that a row has seen; -1 where ``squared`` is less.
    pairs : int
        Distances that were bounded or computed so far.
    """

    def __init__(
        self, filter_: Filter, X: Features, squared: Floats, start: int | None = None
    ) -> None:
        n = len(X)
        self._filter = filter_
        self._X = X
        self._squared = squared
        # how many picks a row has seen
        self._seen = np.zeros(n, np.int64)
        self.nearest = np.full(n, -1, np.int64)
        self.indices: Rows = np.empty(0, np.int64)
        self.squared_radii: Floats = np.empty(0)
        self.pairs = 0
        self._rows: Filtered | None = None
        self._centers: Filtered | None = None
        self._scratch: Scratch | None = None
        if start is not None:
            self._append(np.array([start]), np.array([np.inf]))
            self._seen[:] = 1
            self.nearest[:] = 0
            self.pairs = n

    def extend(self, most: int, stop: float) -> None:
        """Up to ``most`` more picks, while the largest squared distance exceeds ``stop``."""
        self._prepare()
        self._solve(np.arange(len(self._X)), stop, most)
        self._scratch = None

    def catch_up(self) -> Floats:
        """Every row's squared distance to the picks: (n,) float64 array, not a copy."""
        stale = np.flatnonzero(self._seen < len(self.indices))
        if len(stale):
            self._prepare()
            self._update(stale)
            self._scratch = None
        return self._squared

    def copy(self) -> Self:
        """An independent traversal of the same rows."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        for name, value in other._own().items():
            setattr(other, name, value.copy())
        # the buffer of centers is written to as it grows: each has its own
        other._centers = None
        return other

    def _own(self) -> dict[str, Any]:
        """Arrays that are changed in place."""
        return {"_squared": self._squared, "_seen": self._seen, "nearest": self.nearest}

    def rest(self) -> None:
        """Let go of what can be made again: the filter copies of rows and picks."""
        self.__dict__.update(self.__getstate__())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_rows": None, "_centers": None, "_scratch": None}

    def _prepare(self) -> None:
        """Make the filter copies; after a rest and after unpickling they are made again."""
        if self._rows is None:
            self._rows = self._filter.rows(self._X)
        if self._centers is None:
            self._keep_centers(self._rows, 0)
        self._scratch = Scratch(self._X.shape[1])

    @property
    def _tools(self) -> tuple[Filtered, Filtered, Scratch]:
        """Filter copies of rows and picks, and room to multiply in; of `_prepare`."""
        if self._rows is None or self._centers is None or self._scratch is None:
            raise RuntimeError("the traversal must be prepared first")
        return self._rows, self._centers, self._scratch

    def _append(self, picks: Rows, squared_radii: Floats) -> None:
        before = len(self.indices)
        self.indices = np.concatenate([self.indices, picks])
        self.squared_radii = np.concatenate([self.squared_radii, squared_radii])
        if self._rows is not None:
            self._keep_centers(self._rows, before)

    def _keep_centers(self, rows: Filtered, before: int) -> None:
        """Add the picks from ``before`` on to the buffer of centers, which doubles when full."""
        count = len(self.indices)
        if self._centers is None or count > len(self._centers.X):
            room, d = max(2 * count, 1024), self._X.shape[1]
            self._centers = Filtered(
                rows.filter,
                np.empty((room, d), self._X.dtype),
                np.empty((room, d + 1), np.float32),
                np.empty(room),
            )
            before = 0
        fresh = rows.as_centers(self.indices[before:])
        self._centers.X[before:count] = fresh.X
        self._centers.copies[before:count] = fresh.copies
        self._centers.limits[before:count] = fresh.limits

    def _update(self, rows: Rows) -> None:
        """Bring the bounds of some rows up to date with all picks."""
        copies, centers, scratch = self._tools
        count = len(self.indices)
        # rows that have seen as many picks share a tile: few are multiplied in vain
        rows = rows[np.argsort(self._seen[rows], kind="stable")]
        for start in range(0, len(rows), TILE):
            tile = rows[start : start + TILE]
            first = int(self._seen[tile[0]])
            lower_distances(
                copies,
                tile,
                centers,
                first,
                count,
                self._squared,
                self.nearest,
                scratch,
            )
            self.pairs += len(tile) * (count - first)
        self._seen[rows] = count

    def _solve(self, rows: Rows, stop: float, most: int) -> None:
        """Pick up to ``most`` of these rows while the largest squared distance exceeds ``stop``.

        No other row's bound exceeds ``stop``, so that none of them can be next.
        """
        if len(rows) <= BASE:
            self._traverse(rows, stop, most)
            return
        began = len(self.indices)
        while (left := most - (len(self.indices) - began)) > 0:
            pool, threshold = self._pool(rows, stop)
            if len(pool):
                self._solve(pool, threshold, left)
                continue
            if threshold <= stop:
                break
            # very many rows are equally far: the lowest of them, until they are used up
            level = rows[self._squared[rows] == threshold][:BASE]
            self._traverse(level, float(np.nextafter(threshold, 0)), left)

    def _pool(self, rows: Rows, stop: float) -> tuple[Rows, float]:
        """Rows above a threshold, all up to date, and the threshold; no row where all tie."""
        count = len(self.indices)
        place = len(rows) - max(BASE, len(rows) // _POOL)
        while True:
            squared = self._squared[rows]
            threshold = max(float(np.partition(squared, place)[place]), stop)
            pool = rows[squared > threshold]
            stale = pool[self._seen[pool] < count]
            if len(pool) == 0 and threshold > stop:
                level = rows[squared == threshold]
                stale = level[self._seen[level] < count]
            if len(stale) == 0:
                return pool, threshold
            self._update(stale)

    def _traverse(self, rows: Rows, stop: float, most: int) -> None:
        """One pick at a time among a few rows."""
        copies, _, scratch = self._tools
        before = len(self.indices)
        self._update(rows[self._seen[rows] < before])
        squared, nearest = self._squared[rows], self.nearest[rows]
        most = min(most, len(rows))
        found = Picks(np.empty(most, np.int64), np.empty(most))
        # row i holds the bounds of the distances to row i as a center
        S = scratch.product(copies.as_centers(rows).copies, copies.copies[rows])
        limits, unit = copies.limits, copies.filter.unit
        loops = compiled()
        traverse = _traverse if loops is None else loops.traverse
        count = traverse(S, self._X, rows, limits, unit, squared, nearest, before, stop, found)
        self._append(rows[found.picks[:count]], found.radii[:count])
        self._squared[rows], self.nearest[rows] = squared, nearest
        self._seen[rows] = len(self.indices)
        self.pairs += len(rows) ** 2


def _traverse(
    S: Float32,
    X: Features,
    rows: Rows,
    limits: Floats,
    unit: float,
    squared: Floats,
    nearest: Rows,
    first: int,
    stop: float,
    found: Picks,
) -> int:
    """NumPy's form of the compiled loop."""
    for count in range(len(found.picks)):
        at = int(squared.argmax())
        if squared[at] <= stop:
            return count
        found.picks[count], found.radii[count] = at, squared[at]
        close = np.flatnonzero(S[at] <= (squared * unit - limits[rows]).astype(np.float32))
        value = paired(X, rows[close], X, np.full(len(close), rows[at]))
        better = value < squared[close]
        squared[close[better]] = value[better]
        nearest[close[better]] = first + count
    return len(found.picks)
