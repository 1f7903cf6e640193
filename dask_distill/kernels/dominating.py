"""k-center nearer to the optimum: dominating sets of threshold graphs.

Centers within r of all rows are a dominating set of the graph whose edges are the pairs within r
of each other. A greedy one with few centers is looked for at smaller and smaller r.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.distances import (
    TILE,
    Features,
    Filter,
    Float32,
    Floats,
    Rows,
    Scratch,
    paired,
)
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.nearest import nearest_center

# edges that are held at most, and rows that the number of edges is told from
MOST_EDGES = 2**24
_SAMPLED = 256
# where rows are left out of the graph: the part of the centers that is kept for the worst, and
# of the rows that would have edges enough
_KEPT_BACK = 0.1
_FEWER = 0.8


def refined_centers(
    X: Features,
    centers: Rows,
    passes: int,
    *,
    squared: Floats | None = None,
    same: float = 0.0,
) -> tuple[Rows, float]:
    """Look for as many centers with a smaller covering radius.

    A pass tries one radius: of the rows that are not yet covered, the one with the fewest others
    within the radius comes first, and the row within its reach that covers most of what is left
    becomes a center. Radii halve the interval between half the first covering radius, below
    which nothing is looked for, and the least reached.

    Parameters
    ----------
    X : (n, d) float array
        Finite. Rows to be covered; centers are rows. Where more than `MOST_EDGES` pairs are within
        the first radius, the graph is of rows far from each other; radii are measured over all.
    centers : (k,) int64 array
        Row numbers of centers, as of a farthest-first traversal.
    passes : int
        Radii that are tried.
    squared : (n,) float64 array, optional
        Squared distances to centers that stay, beside those looked for.
    same : float
        Squared distance within which rows are one point, of which no two are centers.

    Returns
    -------
    centers : (k,) int64 array
        In the order of choice; as given where no pass finds better ones. Centers that are not
        needed go to the farthest rows.
    radius : float
        Largest distance of any row to them and those that stay.

    References
    ----------
    Mihelič, Robič (2005), Solving the k-center problem efficiently with a dominating set
    algorithm; Garcia-Diaz et al. (2017), A structure-driven randomized algorithm for the
    k-center problem (critical dominating sets).

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [7.0], [8.0], [9.0]])
    >>> refined_centers(X, np.array([0, 5]), passes=4)
    (array([1, 4]), 1.0)
    """
    known = np.full(len(X), np.inf) if squared is None else np.asarray(squared, np.float64)
    k = len(centers)
    if len(X) == 0 or k == 0:
        return centers, float(np.sqrt(known.max(initial=0.0)))
    least = float(np.minimum(known, nearest_center(X, X[centers])[1]).max())
    if least == 0:
        return centers, 0.0
    rows = _told_apart(X, least)
    whole = len(rows) == len(X)
    graph = _Graph.of(X[rows], least)
    # where some rows are left out, centers are kept back for those that turn out to be far
    wanted = k if whole else max(1, k - int(_KEPT_BACK * k))
    # in units of the first radius
    relative = known[rows] / least
    low, high, best = 0.5, 1.0, centers
    for _ in range(passes):
        middle = (low + high) / 2
        found = graph.within(middle * middle).dominating(wanted, relative)
        if found is None:
            low = middle
            continue
        high = min(middle, float(np.sqrt(found[1])))
        picks, reached = _filled(X, rows[found[0]], k, known, same)
        if reached < least and _apart(X, picks, k, known, same):
            best, least = picks, reached
        if high <= low:
            break
    return best, float(np.sqrt(least))


def _told_apart(X: Features, squared: float) -> Rows:
    """All rows, or those far from each other, as many as have edges enough within a distance."""
    n = len(X)
    some = np.arange(0, n, -(-n // _SAMPLED))
    share = float((_to_all(X, some) <= squared).mean())
    most = int(np.sqrt(MOST_EDGES / max(share, 1 / n)))
    if n <= most:
        return np.arange(n)
    traversal = FarthestFirst(X)
    # rows far from each other are in denser parts of the graph than others
    traversal.extend(int(_FEWER * most))
    return np.sort(traversal.indices)


def _filled(X: Features, picks: Rows, k: int, known: Floats, same: float) -> tuple[Rows, float]:
    """Centers that are not used yet go to the farthest rows; and the largest squared distance."""
    squared = np.minimum(known, nearest_center(X, X[picks])[1]) if len(picks) else known
    more = FarthestFirst.resume(X, squared)
    more.extend(k - len(picks), stop_squared=same)
    return np.concatenate([picks, more.indices]), float(more.squared_distances().max())


def _apart(X: Features, picks: Rows, k: int, known: Floats, same: float) -> bool:
    """Whether so many centers are different points, and none is one that stays."""
    if same == 0:
        return len(picks) == k
    apart = FarthestFirst(X[picks])
    apart.extend(k, stop_squared=same)
    return len(apart.indices) == k and bool((known[picks] > same).all())


@dataclass(frozen=True, eq=False, kw_only=True)
class _Graph:
    """Rows within a distance of each other, each of itself too.

    Attributes
    ----------
    starts : (n + 1,) int64 array
        Neighbors of row i are ``ends[starts[i] : starts[i + 1]]``, ascending.
    ends : (e,) int32 array
    squared : (e,) float32 array
        Their squared distances, or a little more; in units of the largest looked for, since
        squares of float32 may be none.
    most : float
        Within which all pairs are there, in these units.
    """

    starts: Rows
    ends: npt.NDArray[np.int32]
    squared: Float32
    most: float

    @classmethod
    def of(cls, X: Features, most: float) -> Self:
        """Of all rows, within a squared distance."""
        n = len(X)
        filter_ = Filter(X)
        rows, centers = filter_.rows(X), filter_.centers(X)
        scratch = Scratch(X.shape[1])
        starts, ends, squared = np.zeros(n + 1, np.int64), [], []
        for low in range(0, n, TILE):
            tile = np.arange(low, min(low + TILE, n))
            copies = scratch.gather(rows, tile)
            limit = (most * filter_.unit - rows.limits[tile]).astype(np.float32)
            limit = np.nextafter(limit, np.float32(np.inf))
            i, j = [], []
            for right in range(0, n, TILE):
                S = scratch.product(copies, centers.copies[right : right + TILE])
                at, to = np.nonzero(limit[:, None] >= S)
                i.append(at)
                j.append(to + right)
            at, to = np.concatenate(i), np.concatenate(j)
            value = paired(X, at + low, X, to)
            order = np.flatnonzero(value <= most)
            order = order[np.lexsort((to[order], at[order]))]
            starts[tile + 1] = np.bincount(at[order], minlength=len(tile))
            ends.append(to[order].astype(np.int32))
            # rounded up: no edge is taken for shorter than it is
            squared.append(
                np.nextafter((value[order] / most).astype(np.float32), np.float32(np.inf))
            )
        np.cumsum(starts, out=starts)
        return cls(
            starts=starts,
            ends=np.concatenate(ends),
            squared=np.concatenate(squared),
            most=1.0,
        )

    def within(self, most: float) -> "_Graph":
        """The edges that are no longer."""
        kept = self.squared <= most
        before = np.concatenate([[0], np.cumsum(kept)])
        return _Graph(
            starts=before[self.starts],
            ends=self.ends[kept],
            squared=self.squared[kept],
            most=most,
        )

    def dominating(self, k: int, known: Floats) -> tuple[Rows, float] | None:
        """At most k centers near which all rows are, and the largest squared distance."""
        near = known.copy()
        open_ = near > self.most
        degrees = np.diff(self.starts)
        # how many open rows a center would cover
        gains = self._gains(np.flatnonzero(open_))
        picks: list[int] = []
        # equal degrees in the order of the rows
        for row in np.argsort(degrees, kind="stable").tolist():
            if not open_[row]:
                continue
            if len(picks) == k:
                return None
            beside = self.ends[self.starts[row] : self.starts[row + 1]]
            pick = int(beside[gains[beside].argmax()])
            picks.append(pick)
            part = slice(self.starts[pick], self.starts[pick + 1])
            covered = self.ends[part]
            near[covered] = np.minimum(near[covered], self.squared[part])
            fresh = covered[open_[covered]]
            open_[fresh] = False
            gains -= self._gains(fresh)
        return np.array(picks, np.int64), float(near.max())

    def _gains(self, rows: npt.NDArray[np.integer]) -> Rows:
        """How many of some rows each row is beside."""
        n = len(self.starts) - 1
        parts = [self.ends[self.starts[row] : self.starts[row + 1]] for row in rows.tolist()]
        return np.bincount(np.concatenate(parts), minlength=n) if parts else np.zeros(n, np.int64)


def _to_all(X: Features, some: Rows) -> Floats:
    """(s, n) squared distances of some rows to all."""
    every = np.arange(len(X))
    return np.array([paired(X, np.full(len(X), row), X, every) for row in some.tolist()])
