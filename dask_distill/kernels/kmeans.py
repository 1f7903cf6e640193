"""k-means on rows that have weights: seeds, and Lloyd's rounds as sums that add up."""

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.cells import halve, totals
from dask_distill.kernels.nearest import nearest_center
from dask_distill.kernels.streams import Generator

Features = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# rows among which seeds are drawn at once: the cost is rows times seeds
_TOGETHER = 16_384


def weighted_kmeans(
    X: Features, weights: Floats, k: int, seed: int, iterations: int = 10
) -> Features:
    """Cluster weighted rows on one machine: k-means++ in parts, then Lloyd's rounds on all.

    Parameters
    ----------
    X : (m, d) float array, m >= k
    weights : (m,) float array > 0
    k : int
    seed : int
    iterations : int
        Rounds of Lloyd, at most.

    Returns
    -------
    (k, d) array of centers, in the type of X.

    References
    ----------
    Arthur, Vassilvitskii (2007), k-means++: the advantages of careful seeding.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [10.0], [11.0]])
    >>> np.sort(weighted_kmeans(X, np.array([1.0, 3, 1, 1]), 2, seed=0).ravel())
    array([ 0.75, 10.5 ])
    """
    centers = _seeds(X, weights, k, seed)
    for _ in range(iterations):
        nearest, _ = nearest_center(X, centers)
        at, counts, sums = cluster_sums(X, nearest, weights)
        moved = centers.copy()
        moved[at] = (sums / counts[:, None]).astype(X.dtype)
        if np.array_equal(moved, centers):
            break
        centers = moved
    return centers


def cluster_sums(
    X: Features, nearest: Rows, weights: Floats | None = None
) -> tuple[Rows, Floats, Floats]:
    """Add up the rows of each cluster.

    Parameters
    ----------
    X : (n, d) float array
    nearest : (n,) int64 array
        Each row's cluster.
    weights : (n,) float array, optional
        1 a row where not given.

    Returns
    -------
    clusters : (c,) int64 array
        Those with a row, ascending.
    counts : (c,) float64 array
        Weight of each.
    sums : (c, d) float64 array
    """
    if len(X) == 0:
        return np.empty(0, np.int64), np.empty(0), np.empty((0, X.shape[1]))
    order = np.argsort(nearest, kind="stable")
    grouped = nearest[order]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    values = X[order].astype(np.float64)
    if weights is None:
        counts = np.diff(np.append(starts, len(order))).astype(np.float64)
    else:
        values *= weights[order, None]
        counts = np.add.reduceat(weights[order], starts)
    return grouped[starts], counts, np.add.reduceat(values, starts, axis=0)


def _seeds(X: Features, weights: Floats, k: int, seed: int) -> Features:
    """k-means++ in parts of the space, each with its share of the seeds."""
    from sklearn.cluster import kmeans_plusplus

    rng = np.random.default_rng([seed % 2**63, Generator.KMEANS])
    parts = min(-(-len(X) // _TOGETHER), k)
    cells = halve(X, parts, rng, weights) if parts > 1 else halve(X, 1, rng)
    share = totals(cells, weights)
    sizes = np.diff(cells.bounds)
    quotas = _split(k, share, sizes)
    chosen = []
    for cell in range(parts):
        rows = cells.order[cells.bounds[cell] : cells.bounds[cell + 1]]
        if quotas[cell]:
            found, _ = kmeans_plusplus(
                np.ascontiguousarray(X[rows]),
                int(quotas[cell]),
                sample_weight=weights[rows],
                random_state=int(rng.integers(2**31)),
                n_local_trials=1 if k > 100 else None,
            )
            chosen.append(found)
    return np.ascontiguousarray(np.concatenate(chosen).astype(X.dtype))


def _split(k: int, share: Floats, sizes: Rows) -> Rows:
    """Seeds by part, in proportion to the weight and never more than rows."""
    exact = k * share / share.sum()
    quotas = np.minimum(np.floor(exact).astype(np.int64), sizes)
    while (left := k - int(quotas.sum())) > 0:
        order = np.argsort(quotas - exact, kind="stable")
        open_ = order[quotas[order] < sizes[order]][:left]
        quotas[open_] += 1
    return quotas
