"""k-center in two rounds, as numbers: what a block offers, where all are cut, what a merge takes.

A composable coreset: rows of each part of the data such that good centers of these rows are good
centers of all. Both rounds are the same farthest-first traversal, of a block and of what blocks
have offered.
"""

from collections.abc import Sequence

import numpy as np

from dask_distill.kernels.distances import Features, Floats, Rows
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.nearest import nearest_center


def traversed(
    X: Features,
    picks: int,
    *,
    before: FarthestFirst | None = None,
    centers: Features | None = None,
    stop_squared: float | None = None,
) -> FarthestFirst:
    """Traverse some rows farthest first, up to so many picks.

    Parameters
    ----------
    X : (n, d) float array
    picks : int
        In all; fewer where no distinct row is left.
    before : FarthestFirst, optional
        A traversal of the same rows to go on from; it stays as it was.
    centers : (m, d) float array, optional
        Centers that are there before the first pick, where there was none before.
    stop_squared : float, optional
        Squared radius at or below which no row is picked.

    Returns
    -------
    FarthestFirst
        At rest: many blocks wait while few go on.

    References
    ----------
    Gonzalez (1985), Clustering to minimize the maximum intercluster distance.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [5.0], [9.0]])
    >>> first = traversed(X, 2)
    >>> traversed(X, 4, before=first, stop_squared=4.0).indices, first.indices
    (array([0, 3, 2]), array([0, 3]))
    """
    if before is not None:
        traversal = before.copy()
    elif centers is not None:
        traversal = FarthestFirst.resume(X, nearest_center(X, centers)[1])
    else:
        traversal = FarthestFirst(X)
    traversal.extend(picks, stop_squared=stop_squared)
    traversal.rest()
    return traversal


def first_picks(rows: int, share: float) -> int:
    """Picks that a block of so many rows begins with, where each row is worth a share of one.

    Examples
    --------
    >>> first_picks(100, 0.125), first_picks(3, 2.0)
    (14, 3)
    """
    return min(rows, int(np.ceil(share * rows)) + 1)


def common_cut(squared_radii: Sequence[Floats], candidates: int, same: float = 0.0) -> float:
    """Find the squared radius that no more picks of all blocks exceed than are wanted.

    Parameters
    ----------
    squared_radii : sequence of (p,) float64 arrays
        Squared insertion radii of the picks of each block; inf for the first of each.
    candidates : int
        Picks wanted above the cut.
    same : float
        Squared distance within which rows are one point: the cut is no lower.

    Returns
    -------
    float
        ``same`` where there are not more picks. Finite: the first pick of a block is always above
        it, however many blocks there are.

    Notes
    -----
    Radii of a traversal never grow. Where the last of each block that has rows left is at or
    below the cut, the cut is that of the whole traversals: who has gone on farther, and in how
    many steps, makes no difference.

    Examples
    --------
    >>> radii = [np.array([np.inf, 9.0, 4.0]), np.array([np.inf, 1.0])]
    >>> common_cut(radii, 3), common_cut(radii, 5)
    (4.0, 0.0)
    """
    every = np.concatenate(squared_radii)
    place = len(every) - candidates - 1
    if place < 0:
        return same
    wanted = min(float(np.partition(every, place)[place]), float(np.finfo(float).max))
    return max(same, wanted)


def above(traversal: FarthestFirst, cut: float) -> Rows:
    """Find which rows a traversal has picked at a squared radius above the cut.

    Returns
    -------
    (p,) int64 array
        Positions in the order of picking: a traversal's first picks.

    Examples
    --------
    >>> above(traversed(np.array([[0.0], [1.0], [5.0]]), 3), 1.0)
    array([0, 2])
    """
    return traversal.indices[: int((traversal.squared_radii > cut).sum())]


def stood_for(
    X: Features, centers: Features, mass: Floats | None = None, reach: Floats | None = None
) -> tuple[Floats, Floats]:
    """Find what each center stands for: the rows that are nearest to it, and how far they lie.

    Parameters
    ----------
    X : (n, d) float array
    centers : (m, d) float array, m >= 1
        Of those equally near the first.
    mass : (n,) float64 array, optional
        What each row stands for itself; 1 unless given.
    reach : (n,) float64 array, optional
        How far what it stands for may be from it; 0 unless given.

    Returns
    -------
    masses : (m,) float64 array
        Sums of the rows' masses.
    reaches : (m,) float64 array
        By the triangle inequality nothing that a center stands for is farther from it; 0 for a
        center without rows.

    Examples
    --------
    >>> X, centers = np.array([[0.0], [1.0], [5.0]]), np.array([[0.0], [7.0]])
    >>> masses, reaches = stood_for(X, centers)
    >>> masses, reaches
    (array([2., 1.]), array([1., 2.]))
    >>> stood_for(centers, np.array([[4.0]]), masses, reaches)
    (array([3.]), array([5.]))
    """
    nearest, squared = nearest_center(X, centers)
    masses = np.bincount(nearest, mass, minlength=len(centers)).astype(np.float64)
    distances = np.sqrt(squared)
    reaches = np.zeros(len(centers))
    np.maximum.at(reaches, nearest, distances if reach is None else distances + reach)
    return masses, reaches
