"""Nearest centers where many lie close together: most groups of centers are excluded by a bound.

Rows and centers belong to the nearest of some pivots. A hyperplane stands halfway between two
pivots: no center of one group is nearer to a row of the other than both are to that plane
together. What these bounds leave is multiplied; no bound decides which of two centers is nearer.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from dask_distill.kernels.distances import (
    TILE,
    Filtered,
    Float32,
    Floats,
    Rows,
    Scratch,
    lower_listed,
)

# fewer centers or rows than this are not worth groups
_LEAST_CENTERS = 512
_LEAST_ROWS = 1024
# pivots for each square root of the centers, to begin with; rows for each pivot; pivots at most
_DENSITY = 1.0
_ROWS_A_PIVOT = 16
_MOST_PIVOTS = 1024
# rows and centers that pivots are found from, for each pivot, and how often they are moved
_SAMPLED = 8
_MOVES = 3
# one row in so many is tried, at most so many
_ONE_IN = 64
_TRIED = 128
# rows that share a product see what is left for any of them: so many times what one alone would
_TOGETHER = 2.0
# the part of all pairs that may be left; what twice the pivots must leave of that; pairs that a
# pivot costs a row
_LEFT = 0.9
_LESS = 0.95
_PRICE = 2.4
# centers that a group of rows sees before bounds are looked at
_FIRST = 64
# numbers that are held at a time
_AT_ONCE = 2**20
# pivots that are nearer to each other are one point
_LEAST_GAP = 1e-15
# what the float32 forms of a bound and of a distance may be off by, relative to themselves
_SAFE = np.float32(1 + 1e-6)


def lower_by_groups(
    rows: Filtered,
    which: Rows,
    centers: Filtered,
    squared: Floats,
    nearest: Rows,
    enough: float = -1.0,
) -> int | None:
    """Lower, in place, the squared distances of some rows by all centers that may be nearer.

    Parameters
    ----------
    rows, centers : Filtered
        From one `Filter`.
    which : (r,) int64 array
        The rows in question.
    squared, nearest : (n,) float64, (n,) int64 arrays
        Of all rows: distances known before, and positions among the centers; -1 for a center from
        elsewhere, which keeps its row where both are equally near. The lowest position wins ties.
    enough : float
        Rows with a squared distance of at most this are finished: no center is nearer.

    Returns
    -------
    int or None
        Pairs that were multiplied; None, with nothing but some rows lowered, where groups are of
        no use.

    References
    ----------
    Connor, Vadicamo, Cardillo, Rabitti (2017), Hilbert exclusion: improved metric search through
    finite isometric embeddings; Elkan (2003), Using the triangle inequality to accelerate
    k-means; Ding et al. (2015), Yinyang k-means.
    """
    which = which[squared[which] > enough]
    if (
        not may_be_grouped(len(which), len(centers.X))
        or not np.isfinite(centers.copies[:, -1]).all()
    ):
        return None
    scratch = Scratch(rows.X.shape[1])
    some = which[:: max(_ONE_IN, -(-len(which) // _TRIED))]
    every = np.arange(len(centers.X))
    for low in range(0, len(every), TILE):
        lower_listed(rows, some, centers, every[low : low + TILE], squared, nearest, scratch)
    groups = _suiting(rows, which, centers, some, squared[some])
    if groups is None:
        return None
    which = which[squared[which] > enough]
    group = groups.nearest(rows.copies, which)
    order = np.argsort(group, kind="stable")
    which, group = which[order], group[order]
    search = _Search(
        groups=groups,
        rows=rows,
        centers=centers,
        squared=squared,
        nearest=nearest,
        enough=enough,
        scratch=scratch,
    )
    for start in np.flatnonzero(np.diff(group, prepend=-1)).tolist():
        stop = int(np.searchsorted(group, group[start], side="right"))
        for low in range(start, stop, TILE):
            search.lower(which[low : min(low + TILE, stop)], int(group[start]))
    # those of pivots are distances, too
    return search.pairs + 2 * (len(which) + len(centers.X)) * len(groups.norms)


def may_be_grouped(rows: int, centers: int) -> bool:
    """Whether so many may be worth groups."""
    return rows >= _LEAST_ROWS and centers >= _LEAST_CENTERS


@dataclass(frozen=True, eq=False, kw_only=True)
class PivotGroups:
    """Centers by their nearest pivot, and what is known of each group; in the filter's units.

    Attributes
    ----------
    pivots : (g, d + 1) float32 array
        Right side of a product with rows' copies: |p|² - 2 x·p.
    norms : (g,) float64 array
        Squared lengths of the pivots.
    order, starts : (m,) int64, (g + 1,) int64 arrays
        Centers by group; group j has ``order[starts[j] : starts[j + 1]]``.
    near : (g, g') int64 array
        For each pivot the groups that have centers, the nearest first.
    halves : (g, g) float32 array
        1 / (2 · the distance of two pivots), at most that; 0 where they are one point.
    beyond : (g, g) float32 array
        ``beyond[a, b]``: no center c of group b has a lower |c - a|² - |c - b|².
    error : float
        Of a product, relative to |x|² + |p|².
    """

    pivots: Float32
    norms: Floats
    order: Rows
    starts: Rows
    near: Rows
    halves: Float32
    beyond: Float32
    error: float
    least: float

    @classmethod
    def of(cls, rows: Filtered, which: Rows, centers: Filtered, count: int) -> Self:
        """So many pivots, and the centers by their nearest one."""
        error, least = rows.filter.error, 4 * rows.filter.least
        pivots = _pivots(rows.copies, which, centers.copies, count)
        norms = np.einsum("ij,ij->i", pivots, pivots, dtype=np.float64)
        right = np.column_stack([pivots * np.float32(-2), norms.astype(np.float32)])
        group, own = _assigned(centers.copies, right)
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(count + 1))
        lengths = (centers.limits + rows.filter.least) / (1 - error)
        beyond = _beyond(centers.copies, lengths, right, order, starts, own, error)
        both = norms[:, None] + norms
        # of rows and of centers, each to both pivots
        beyond -= 2 * error * both + least
        wide = pivots.astype(np.float64)
        gaps = np.sqrt(np.maximum(both - 2 * wide @ wide.T, 0) + wide.shape[1] * 2.0**-48 * both)
        filled = np.flatnonzero(np.diff(starts))
        return cls(
            pivots=right,
            norms=norms,
            order=order,
            starts=starts,
            near=filled[np.argsort(gaps[:, filled], axis=1, kind="stable")],
            halves=np.where(gaps > _LEAST_GAP, 0.5 / np.maximum(gaps, _LEAST_GAP), 0).astype("f4"),
            beyond=beyond.astype(np.float32),
            error=error,
            least=least,
        )

    def nearest(self, copies: Float32, which: Rows) -> Rows:
        """Pivot of each of some rows; any will do, the nearest is best."""
        out = np.empty(len(which), np.int64)
        step = max(1, _AT_ONCE // len(self.norms))
        for start in range(0, len(which), step):
            part = which[start : start + step]
            out[start : start + step] = (copies[part] @ self.pivots.T).argmin(axis=1)
        return out

    def bounds(self, rows: Filtered, tile: Rows, group: int, others: Rows) -> Float32:
        """(h, o) float32 array: how near rows of one group can be to centers of others."""
        copies = rows.copies[tile]
        lengths = (rows.limits[tile] + rows.filter.least) / (1 - self.error)
        own = copies @ self.pivots[group] + (2 * self.error * lengths + self.least)
        bounds = copies @ self.pivots[others].T
        bounds -= own.astype(np.float32)[:, None]
        bounds += self.beyond[group, others]
        bounds *= self.halves[group, others]
        return bounds


@dataclass(eq=False, kw_only=True)
class _Search:
    """The search of one group of rows after another."""

    groups: PivotGroups
    rows: Filtered
    centers: Filtered
    squared: Floats
    nearest: Rows
    enough: float
    scratch: Scratch
    pairs: int = field(default=0, init=False)

    def lower(self, tile: Rows, group: int) -> None:
        """Lower the distances of rows of one group, at most TILE."""
        groups = self.groups
        near = groups.near[group]
        sizes = groups.starts[near + 1] - groups.starts[near]
        first = int(np.searchsorted(np.cumsum(sizes), _FIRST)) + 1
        self._multiply(tile, near[:first])
        others = near[first:]
        if len(others) == 0:
            return
        bounds = groups.bounds(self.rows, tile, group, others)
        reach = self._reach(tile)
        left = np.flatnonzero((bounds <= reach[:, None]).any(axis=0))
        others, bounds = others[left], bounds[:, left]
        through = np.cumsum(sizes[first:][left])
        start = 0
        while start < len(others):
            done = through[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(through, done + TILE, side="right")))
            close = bounds[:, start:stop] <= self._reach(tile)[:, None]
            some = np.flatnonzero(close.any(axis=1))
            if len(some):
                self._multiply(tile[some], others[start:stop][close.any(axis=0)])
            start = stop

    def _reach(self, tile: Rows) -> Float32:
        """What a bound must exceed to exclude; of finished rows all do."""
        squared = self.squared[tile]
        reach = np.sqrt(squared * self.rows.filter.unit).astype(np.float32) * _SAFE
        reach[squared <= self.enough] = -np.inf
        return reach

    def _multiply(self, tile: Rows, which: Rows) -> None:
        """Lower the distances by all centers of some groups."""
        groups = self.groups
        listed = np.concatenate(
            [groups.order[groups.starts[j] : groups.starts[j + 1]] for j in which]
        )
        for low in range(0, len(listed), TILE):
            part = listed[low : low + TILE]
            lower_listed(
                self.rows, tile, self.centers, part, self.squared, self.nearest, self.scratch
            )
        self.pairs += len(tile) * len(listed)


def _suiting(
    rows: Filtered, which: Rows, centers: Filtered, some: Rows, squared: Floats
) -> PivotGroups | None:
    """As many pivots as pay, by some rows of which all is known; None where none do."""
    m = len(centers.X)
    most = max(1, min(_MOST_PIVOTS, len(which) // _ROWS_A_PIVOT))
    count = min(most, max(1, int(_DENSITY * np.sqrt(m))))
    best, least = None, _LEFT * m
    while True:
        groups = PivotGroups.of(rows, which, centers, count)
        price = _PRICE * count * (1 + m / len(which))
        cost = min(m, _TOGETHER * _left(groups, rows, some, squared)) + price
        if cost > _LESS * least:
            return best
        best, least = groups, cost
        if count == most or least < 2 * price:
            return best
        count = min(most, 2 * count)


def _left(groups: PivotGroups, rows: Filtered, some: Rows, squared: Floats) -> float:
    """Centers that bounds leave for a row, in the mean."""
    reach = np.sqrt(squared * rows.filter.unit).astype(np.float32) * _SAFE
    sizes = np.diff(groups.starts)
    filled = np.flatnonzero(sizes)
    left = 0
    for row, group, within in zip(some, groups.nearest(rows.copies, some), reach, strict=True):
        bounds = groups.bounds(rows, np.array([row]), int(group), filled)[0]
        left += int(sizes[filled[bounds <= within]].sum())
    return left / len(some)


def _pivots(copies: Float32, which: Rows, centers: Float32, count: int) -> Float32:
    """Means of some rows and centers, as many of each; few steps of k-means."""
    half = _SAMPLED * count // 2
    some = [
        copies[which[:: max(1, len(which) // half)], :-1],
        centers[:: max(1, len(centers) // half), :-1] * np.float32(-0.5),
    ]
    points = np.concatenate(some)
    pivots = points[np.linspace(0, len(points) - 1, count).astype(np.int64)]
    ones = np.ones((len(points), 1), np.float32)
    for _ in range(_MOVES):
        norms = np.einsum("ij,ij->i", pivots, pivots)
        right = np.column_stack([pivots * np.float32(-2), norms])
        group = (np.hstack([points, ones]) @ right.T).argmin(axis=1)
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        sums = np.add.reduceat(points[order].astype(np.float64), starts, axis=0)
        sizes = np.diff(np.append(starts, len(points)))
        pivots = pivots.copy()
        pivots[group[order[starts]]] = sums / sizes[:, None]
    return np.ascontiguousarray(pivots)


def _assigned(centers: Float32, right: Float32) -> tuple[Rows, Floats]:
    """Each center's nearest pivot p, and |p|² - 2 c·p."""
    group, own = np.empty(len(centers), np.int64), np.empty(len(centers))
    step = max(1, _AT_ONCE // len(right))
    for start in range(0, len(centers), step):
        part = slice(start, start + step)
        T = _product(centers[part], right)
        group[part] = T.argmin(axis=1)
        own[part] = T[np.arange(len(T)), group[part]]
    return group, own


def _product(centers: Float32, right: Float32) -> Float32:
    """|p|² - 2 c·p of centers in the form of a right side."""
    T = centers[:, :-1] @ (right[:, :-1] * np.float32(-0.5)).T
    T += right[:, -1]
    return T


def _beyond(
    centers: Float32,
    lengths: Floats,
    right: Float32,
    order: Rows,
    starts: Rows,
    own: Floats,
    error: float,
) -> Floats:
    """``[a, b]``: least |c - a|² - |c - b|² of group b's centers, less their part of the error."""
    count = len(right)
    least = np.full((count, count), np.inf)
    step = max(1, _AT_ONCE // count)
    for start in range(0, len(order), step):
        part = order[start : start + step]
        T = _product(centers[part], right).astype(np.float64)
        T -= (own[part] + 2 * error * lengths[part])[:, None]
        at = np.searchsorted(starts, np.arange(start, start + len(part)), side="right") - 1
        heads = np.flatnonzero(np.diff(at, prepend=-1))
        found = np.minimum.reduceat(T, heads, axis=0)
        least[at[heads]] = np.minimum(least[at[heads]], found)
    return np.ascontiguousarray(least.T)
