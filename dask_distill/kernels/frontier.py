"""Rows and centers that are chosen elsewhere: which rows may be the farthest from them?

Every row keeps an upper bound of its squared distance to the centers, and the number of centers
that it has seen. Rows are brought up to date only where the bound is above a threshold.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from dask_distill.kernels.distances import (
    TILE,
    Features,
    Filter,
    Filtered,
    Floats,
    Rows,
    Scratch,
    lower_distances,
)
from dask_distill.kernels.grouped import lower_by_groups, may_be_grouped
from dask_distill.kernels.nearest import nearest_center

# up to here trees of centers find the nearest sooner
_FEW_FEATURES = 16
_FIRST_CENTERS = 64
# the square of a center's length in units of the rows' extent, from which the filter is useless
_FAR = 1e30


@dataclass(frozen=True, eq=False, kw_only=True)
class Frontier:
    """Bounds of some rows; every step gives a new one and leaves the old one as it was.

    Attributes
    ----------
    X : (n, d) float array
    squared : (n,) float64 array
        Upper bounds of the squared distances to all centers, exact where the row has seen them.
    nearest : (n,) int64 array
        Position of the nearest center that each row has seen, the first of equals; -1 for none.
    seen : (n,) int64 array
        Centers that each row has seen.
    count : int
        Centers so far.
    """

    X: Features
    squared: Floats
    nearest: Rows
    seen: Rows
    count: int = 0
    _rows: Filtered | None = field(default=None, repr=False)
    # with room for more than ``count``: later steps append to the same buffers
    _buffer: Filtered | None = field(default=None, repr=False)

    @classmethod
    def of(cls, X: Features) -> Self:
        """No centers yet: every bound is infinite.

        Parameters
        ----------
        X : (n, d) float array, finite
        """
        nothing = np.zeros(len(X), np.int64)
        return cls(X=X, squared=np.full(len(X), np.inf), nearest=nothing - 1, seen=nothing)

    def push(self, C: Features) -> "Frontier":
        """Add (m, d) centers; no row has seen them yet."""
        if len(C) == 0:
            return self
        rows = self._rows or Filter(self.X).rows(self.X)
        total = self.count + len(C)
        buffer = self._buffer
        if buffer is None or len(buffer.X) < total:
            buffer = _room(rows.filter, C, 2 * total)
            if self._buffer is not None:
                _put(buffer, 0, self._buffer, self.count)
        # where another step from here has written before, it has written the same
        _put(buffer, self.count, _as_centers(rows.filter, C), len(C))
        return replace(self, count=total, _rows=rows, _buffer=buffer)

    def catch_up(self, above: float) -> "Frontier":
        """Bring up to date every row whose bound, a squared distance, is above ``above``."""
        stale = np.flatnonzero((self.squared > above) & (self.seen < self.count))
        if len(stale) == 0 or self._rows is None or self._buffer is None:
            return self
        squared, nearest, seen = self.squared.copy(), self.nearest.copy(), self.seen.copy()
        scratch = Scratch(self.X.shape[1])
        # rows that have seen as many centers share a tile: few are multiplied in vain
        stale = stale[np.argsort(seen[stale], kind="stable")]
        for start in range(0, len(stale), TILE):
            tile = stale[start : start + TILE]
            first = int(seen[tile[0]])
            lower_distances(
                self._rows, tile, self._buffer, first, self.count, squared, nearest, scratch
            )
        seen[stale] = self.count
        return replace(self, squared=squared, nearest=nearest, seen=seen)

    def finish(self, above: float) -> "Frontier":
        """As `catch_up`, where centers are many: of most groups of them a bound is enough."""
        return self.by_groups(above) or self.catch_up(above)

    def by_groups(self, above: float) -> "Frontier | None":
        """As `catch_up`; None where groups of centers are of no use."""
        if self._rows is None or self._buffer is None:
            return None
        stale = np.flatnonzero((self.squared > above) & (self.seen < self.count))
        squared, nearest, seen = self.squared.copy(), self.nearest.copy(), self.seen.copy()
        centers = self._buffer.first(self.count)
        if lower_by_groups(self._rows, stale, centers, squared, nearest, above) is None:
            return None
        seen[stale] = self.count
        return replace(self, squared=squared, nearest=nearest, seen=seen)

    @property
    def centers(self) -> Features:
        """(count, d) array, in the order of their coming."""
        return self.X[:0] if self._buffer is None else self._buffer.X[: self.count]

    def __getstate__(self) -> dict[str, Any]:
        """Without the filter copies, which are made again where the pickle is opened."""
        names = ("X", "squared", "nearest", "seen")
        return {name: getattr(self, name) for name in names} | {"centers": self.centers}

    def __setstate__(self, state: dict[str, Any]) -> None:
        bare = Frontier(
            X=state["X"], squared=state["squared"], nearest=state["nearest"], seen=state["seen"]
        )
        self.__dict__.update(bare.push(state["centers"]).__dict__)


def nearest_of_separated(
    X: Features, centers: Features, squared_separation: float
) -> tuple[Rows, Floats]:
    """Find each row's nearest center, where centers are known to be apart.

    Who is within half the separation of one center is nearer to no other, and is left alone:
    in the order of a traversal that is most rows of dense groups, after few centers.

    Parameters
    ----------
    X : (n, d) float array
    centers : (m, d) float array, m >= 1
    squared_separation : float
        No two centers are nearer to each other.

    Returns
    -------
    nearest, squared : (n,) int64, (n,) float64 arrays
        As of `nearest_center`, which does not need to know, and wins in few dimensions.
    """
    if X.shape[1] <= _FEW_FEATURES:
        return nearest_center(X, centers)
    enough = settled(squared_separation)
    front = Frontier.of(X)
    if may_be_grouped(len(X), len(centers)):
        every = front.push(centers)
        if (found := every.by_groups(enough)) is not None:
            return found.nearest, found.squared
        front = replace(front, _rows=every._rows)
    done, step = 0, _FIRST_CENTERS
    while done < len(centers):
        front = front.push(centers[done : done + step]).catch_up(enough)
        done, step = done + step, 2 * step
    return front.nearest, front.squared


def settled(squared_separation: float) -> float:
    """Squared distance within which a center is the nearest; with a margin for rounding."""
    if not np.isfinite(squared_separation):
        return -1.0
    return squared_separation / 4 * (1 - 1e-9)


def _room(filter_: Filter, like: Features, count: int) -> Filtered:
    d = like.shape[1]
    copies = np.empty((count, d + 1), np.float32)
    return Filtered(filter_, np.empty((count, d), like.dtype), copies, np.empty(count))


def _put(buffer: Filtered, at: int, centers: Filtered, count: int) -> None:
    part = slice(at, at + count)
    buffer.X[part] = centers.X[:count]
    buffer.copies[part] = centers.copies[:count]
    buffer.limits[part] = centers.limits[:count]


def _as_centers(filter_: Filter, C: Features) -> Filtered:
    """Filter copies of centers that may lie anywhere; those too far away always get verified."""
    with np.errstate(over="ignore", invalid="ignore"):
        centers = filter_.centers(C)
    far = ~(np.abs(centers.limits) < _FAR)
    if far.any():
        centers.copies[far] = 0
        centers.copies[far, -1] = -np.inf
        centers.limits[far] = 0
    return centers
