"""Density: neighbours within eps, groups of cells that hang together, a guess at eps."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# pairs of cells whose representatives are compared at once
_PAIRS = 20_000


def count_within(Z: Floats, queries: Floats, eps: float) -> Ints:
    """Count the rows within eps of each query.

    Parameters
    ----------
    Z : (n, r) float64 array
    queries : (q, r) float64 array
    eps : float

    Returns
    -------
    (q,) int64 array.
    """
    from sklearn.neighbors import KDTree

    if len(Z) == 0 or len(queries) == 0:
        return np.zeros(len(queries), np.int64)
    return KDTree(Z).query_radius(queries, eps, count_only=True).astype(np.int64)


def lowest_within(Z: Floats, labels: Ints, queries: Floats, eps: float, none: int) -> Ints:
    """Find the lowest label among the rows within eps of each query.

    Parameters
    ----------
    Z : (n, r) float64 array
    labels : (n,) int64 array
    queries : (q, r) float64 array
    eps : float
    none : int
        What is told where there is no row.

    Returns
    -------
    (q,) int64 array.
    """
    from sklearn.neighbors import KDTree

    lowest = np.full(len(queries), none, np.int64)
    if len(Z) == 0 or len(queries) == 0:
        return lowest
    tree = KDTree(Z)
    for start in range(0, len(queries), 4096):
        found = tree.query_radius(queries[start : start + 4096], eps)
        for at, rows in enumerate(found, start):
            if len(rows):
                lowest[at] = labels[rows].min()
    return lowest


class DisjointSets:
    """Cells that hang together: a partition that only ever joins."""

    def __init__(self, count: int) -> None:
        self.of = np.arange(count)

    def join(self, left: Ints, right: Ints) -> None:
        """Join the groups of these pairs of cells."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        apart = self.of[left] != self.of[right]
        if apart.any():
            pairs = (self.of[left[apart]], self.of[right[apart]])
            count = int(self.of.max()) + 1
            graph = coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(count, count))
            _, joined = connected_components(graph, directed=False)
            self.of = joined[self.of].astype(np.int64)

    def join_near(self, left: Ints, right: Ints, Z: Floats, starts: Ints, eps: float) -> None:
        """Join pairs of cells with a pair of representatives within eps.

        Parameters
        ----------
        left, right : (p,) int64 arrays
        Z : (m, r) float array
            Representatives, cell by cell.
        starts : (C + 1,) int64 array
            Where those of each cell begin.
        eps : float
        """
        apart = np.flatnonzero(self.of[left] != self.of[right])
        for start in range(0, len(apart), _PAIRS):
            some = apart[start : start + _PAIRS]
            one = _side_by_side(Z, starts, left[some])
            other = _side_by_side(Z, starts, right[some])
            offset = one[:, :, None] - other[:, None, :]
            squared = np.einsum("pabr,pabr->pab", offset, offset)
            near = some[(squared <= eps**2).any(axis=(1, 2))]
            self.join(left[near], right[near])

    def join_exactly(
        self, pairs: Iterable[tuple[int, int]], rows: dict[int, Floats], eps: float
    ) -> None:
        """Join pairs of cells that have rows within eps, looking at all their rows."""
        from sklearn.neighbors import KDTree

        for left, right in pairs:
            if self.of[left] == self.of[right]:
                continue
            few, many = sorted((rows[left], rows[right]), key=len)
            distance, _ = KDTree(many).query(few, k=1)
            if distance.min() <= eps:
                self.join(np.array([left]), np.array([right]))


def _side_by_side(Z: Floats, starts: Ints, cells: Ints) -> Floats:
    """Representatives of some cells: (p, most, r), NaN where a cell has fewer."""
    counts = starts[cells + 1] - starts[cells]
    step = np.arange(counts.max(initial=0))
    there = step < counts[:, None]
    points = np.full((*there.shape, Z.shape[1]), np.nan)
    points[there] = Z[(starts[cells][:, None] + step)[there]]
    return points


def guess_eps(Z: Floats, n: int, min_samples: int) -> float:
    """Guess eps from a sample: where the sorted distances to the k-th neighbour bend.

    Parameters
    ----------
    Z : (m, r) float64 array
        A sample.
    n : int
        Rows of the whole, among which neighbours will be counted.
    min_samples : int

    Returns
    -------
    float > 0

    References
    ----------
    Ester, Kriegel, Sander, Xu (1996), A density-based algorithm for discovering clusters; Satopää
    et al. (2011), Finding a "kneedle" in a haystack.
    """
    from sklearn.neighbors import KDTree

    m, axes = Z.shape
    if m < 2:
        return 1.0
    wanted = max(1, min_samples - 1)
    k = min(max(1, round(wanted * m / n)), m - 1)
    distances = np.sort(KDTree(Z).query(Z, k=k + 1)[0][:, -1])
    # in the whole the same neighbour is nearer, by the density
    distances *= (wanted / (k * n / m)) ** (1 / axes)
    positive = distances[distances > 0]
    if len(positive) == 0:
        return 1.0
    # the very last ones would draw the knee to themselves
    curve = positive[: max(1, int(np.ceil(0.99 * len(positive))))]
    if curve[-1] == curve[0]:
        return float(curve[0])
    height = (curve - curve[0]) / (curve[-1] - curve[0])
    return float(curve[int(np.argmax(np.linspace(0, 1, len(curve)) - height))])
