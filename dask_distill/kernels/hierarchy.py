"""Clusters of clusters, and a budget that every level splits alike."""

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.kmeans import weighted_kmeans
from dask_distill.kernels.nearest import nearest_center
from dask_distill.kernels.quotas import largest_remainder

Features = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]


def clusters_above(
    centers: Features, *, levels: int, shrink: int, resample: int, seed: int
) -> list[Rows]:
    """Cluster centers, and the centers of those, level by level.

    Between rounds of k-means only the inputs nearest to each center are kept, as many for each:
    centers then spread over the space evenly, and not as its density has it.

    Parameters
    ----------
    centers : (m, d) float array
        Of the lowest level.
    levels : int
        To put above it, at most.
    shrink : int
        How many times fewer clusters each level has.
    resample : int
        Rounds of resampling at each level.
    seed : int

    Returns
    -------
    list of int64 arrays
        For each level from below, the cluster of each member of the level beneath.

    References
    ----------
    Vo, Khalidov, Darcet et al. (2024), Automatic data curation for self-supervised learning: a
    clustering-based approach.
    """
    parents = []
    inputs = centers
    for level in range(levels):
        k = -(-len(inputs) // shrink)
        if k < 2 or k >= len(inputs):
            break
        found = weighted_kmeans(inputs, np.ones(len(inputs)), k, seed + level)
        most = max(1, len(inputs) // (2 * k))
        for turn in range(resample):
            some = _nearest_members(inputs, found, most)
            if len(some) < k:
                break
            found = weighted_kmeans(inputs[some], np.ones(len(some)), k, seed + level + turn + 1)
        _, parent = np.unique(nearest_center(inputs, found)[0], return_inverse=True)
        parents.append(parent.astype(np.int64))
        inputs = np.stack([inputs[parent == c].mean(axis=0) for c in range(parent.max() + 1)])
    return parents


def even_quotas(size: int, rows: Rows, parents: list[Rows]) -> Rows:
    """Split a budget evenly over the top clusters, over the members of each, and so on.

    Parameters
    ----------
    size : int
        At most ``rows.sum()``.
    rows : (m,) int64 array
        Rows of each cluster of the lowest level.
    parents : list of int64 arrays
        As `clusters_above` gives them.

    Returns
    -------
    (m,) int64 array that sums to size; what a small cluster leaves goes to its neighbours.

    Examples
    --------
    >>> even_quotas(8, np.array([90, 90, 90]), [np.array([0, 0, 1])])
    array([2, 2, 4])
    """
    available = [rows]
    for parent in parents:
        above = np.zeros(int(parent.max()) + 1, np.int64)
        np.add.at(above, parent, available[-1])
        available.append(above)
    quotas = largest_remainder(size, np.ones(len(available[-1])), available[-1])
    for parent, there in zip(parents[::-1], available[-2::-1], strict=True):
        below = np.zeros(len(there), np.int64)
        for cluster in np.flatnonzero(quotas).tolist():
            mine = np.flatnonzero(parent == cluster)
            below[mine] = largest_remainder(int(quotas[cluster]), np.ones(len(mine)), there[mine])
        quotas = below
    return quotas


def _nearest_members(inputs: Features, centers: Features, most: int) -> Rows:
    """The so many inputs of each cluster that are nearest to its center, ascending."""
    nearest, squared = nearest_center(inputs, centers)
    order = np.lexsort((np.arange(len(inputs)), squared, nearest))
    grouped = nearest[order]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return np.sort(order[rank < most])
