"""k centers for weighted rows of which some need not be covered."""

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.distances import Features, Floats, Rows
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.nearest import nearest_center

_TILE = 512
# the search for the radius ends when it is known to this part
_PRECISION = 1.01


def centers_with_outliers(
    X: Features, weights: Floats, k: int, outliers: float
) -> tuple[Rows, float]:
    """Choose k rows such that the rows far from all of them weigh little.

    For a radius r, k times the row is taken that has the largest uncovered weight within r, and
    all within 3 r of it are covered. The smallest r that leaves no more than ``outliers`` is
    searched for; where a farthest-first traversal of what is covered then covers it closer, its
    rows are taken instead. The radius that covers the rest is at most three times (and the
    precision of the search) that of the best k rows. Needs (m, m) float32 of memory.

    Parameters
    ----------
    X : (m, d) float array
    weights : (m,) float64 array > 0
        Rows that each row stands for.
    k : int
        From 1 to the number of distinct rows.
    outliers : float
        Weight that may stay uncovered.

    Returns
    -------
    indices : (k,) int64 array
        In the order of choice.
    radius : float
        The r of the search; all but ``outliers`` of the weight lie within 3 r.

    References
    ----------
    Charikar, Khuller, Mount, Narasimhan (2001), Algorithms for facility location problems with
    outliers; Ceccarello, Pietracaprina, Pucci (2019), Solving k-center clustering (with
    outliers) in MapReduce and streaming, almost as accurately as sequentially.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [50.0], [51.0], [900.0]])
    >>> indices, _ = centers_with_outliers(X, np.ones(6), k=2, outliers=1)
    >>> bool(X[indices].max() < 900)
    True
    """
    distances = _pairwise(X)
    traversal = FarthestFirst(X)
    traversal.extend(min(len(X), k + int(outliers) + 1))
    # of more rows than centers and outliers, two share a center
    low = float(traversal.radii[-1]) / 2 if len(traversal.indices) > k + outliers else 0.0
    high = float(distances.max())
    best, uncovered = _greedy(distances, weights, k, outliers, low)
    if weights[uncovered].sum() <= outliers:
        return _better(X, best, uncovered, k), low
    # of a tie or of duplicates: any positive distance is above it
    low = max(low, float(distances[distances > 0].min(initial=np.inf)) / 4)
    best, uncovered = _greedy(distances, weights, k, outliers, high)
    while high > low * _PRECISION:
        middle = float(np.sqrt(low * high))
        picks, left = _greedy(distances, weights, k, outliers, middle)
        if weights[left].sum() <= outliers:
            best, uncovered, high = picks, left, middle
        else:
            low = middle
    return _better(X, best, uncovered, k), high


def _pairwise(X: Features) -> npt.NDArray[np.float32]:
    """(m, m) distances, in tiles of a fixed shape."""
    shifted = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    norms = np.einsum("ij,ij->i", shifted, shifted)
    out = np.empty((len(X), len(X)), np.float32)
    for i in range(0, len(X), _TILE):
        for j in range(0, len(X), _TILE):
            rows, columns = slice(i, i + _TILE), slice(j, j + _TILE)
            squared = norms[rows, None] + norms[columns] - 2 * shifted[rows] @ shifted[columns].T
            out[rows, columns] = np.sqrt(np.maximum(squared, 0))
    np.fill_diagonal(out, 0)
    return out


def _greedy(
    distances: npt.NDArray[np.float32], weights: Floats, k: int, outliers: float, radius: float
) -> tuple[Rows, npt.NDArray[np.bool_]]:
    """Disks of the largest uncovered weight, until little enough stays uncovered; and what."""
    uncovered = np.ones(len(weights), bool)
    gain = np.zeros(len(weights))
    for start in range(0, len(weights), _TILE):
        part = slice(start, start + _TILE)
        gain += (distances[:, part] <= radius) @ weights[part]
    picks: list[int] = []
    while len(picks) < k and weights[uncovered].sum() > outliers:
        pick = int(gain.argmax())
        picks.append(pick)
        fresh = np.flatnonzero(uncovered & (distances[pick] <= 3 * radius))
        uncovered[fresh] = False
        for start in range(0, len(fresh), _TILE):
            some = fresh[start : start + _TILE]
            gain -= (distances[some] <= radius).T @ weights[some]
    return np.array(picks, np.int64), uncovered


def _better(X: Features, picks: Rows, uncovered: npt.NDArray[np.bool_], k: int) -> Rows:
    """The disks' centers, or a traversal of what they cover, whichever covers it closer."""
    covered = np.flatnonzero(~uncovered)
    found = [_filled(X, picks, uncovered, k), _filled(X, picks[:0], uncovered, k)]
    if len(covered) == 0:
        return found[0]
    radii = [nearest_center(X[covered], X[centers])[1].max() for centers in found]
    return found[int(np.argmin(radii))]


def _filled(X: Features, picks: Rows, uncovered: npt.NDArray[np.bool_], k: int) -> Rows:
    """The rest of the centers, where fewer cover enough: the farthest rows, outliers last."""
    for rows in (np.flatnonzero(~uncovered), np.flatnonzero(uncovered)):
        if len(picks) < k and len(rows):
            squared = np.full(len(rows), np.inf)
            if len(picks):
                squared = nearest_center(X[rows], X[picks])[1]
            traversal = FarthestFirst.resume(X[rows], squared)
            traversal.extend(k - len(picks))
            picks = np.concatenate([picks, rows[traversal.indices]])
    return picks
