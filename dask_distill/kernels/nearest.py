"""Each row's nearest center, exactly, and how far the farthest row is from all of them."""

import numpy as np

from dask_distill.kernels.distances import TILE, Features, Filter, Floats, Rows, Scratch, lower_distances


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
    at = np.full(len(X), -1, np.int64)
    _multiply(X, squared, centers, at)
    if nearest is not None:
        np.add(at, first, out=nearest, where=at >= 0)

def _multiply(X,squared,centers,at):
    filter_ = Filter(np.concatenate([X.min(axis=0)[None], X.max(axis=0)[None], centers]))
    right = filter_.centers(centers)
    scratch = Scratch(X.shape[1])
    for start in range(0, len(X), TILE):
        part = slice(start, start + TILE)
        rows = filter_.rows(X[part])
        lower_distances(rows, np.arange(len(rows.X)), right, 0, len(centers), squared[part], at[part], scratch)

def covering_distance(X,centers,at_least=0.0): ...
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


