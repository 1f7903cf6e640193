"""Each row's nearest center, exactly, and how far the farthest row is from all of them.

Where boxes around groups of centers exclude most of them, a tree is searched row by row;
otherwise many distances are bounded at once by matrix products, of all rows and centers or of
those that bounds leave (`grouped`). A few rows tell which is faster.
"""

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
from dask_distill.kernels.trees import Tree, tree_loops

# fewer centers than this are not worth a tree
_FEW = 64
# rows that are tried, at most, and one in so many of all rows
_TRIED = 128
_ONE_IN = 256
# rows that a floor is found from
_FLOOR = 256


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

    Raises
    ------
    ValueError
        For values whose squares are not finite.

    References
    ----------
    Friedman, Bentley, Finkel (1977), An algorithm for finding best matches in logarithmic
    expected time.

    Examples
    --------
    >>> nearest_center(np.array([[0.0], [3.0]]), np.array([[1.0], [4.0]]))
    (array([0, 1]), array([1., 1.]))
    """
    squared = np.full(len(X), np.inf)
    nearest = np.zeros(len(X), np.int64)
    update_squared_distances(X, squared, centers, nearest)
    return nearest, squared


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

    Examples
    --------
    >>> squared, nearest = np.array([4.0, 1.0]), np.array([0, 0])
    >>> X, fresh = np.array([[0.0], [3.0]]), np.array([[1.0]])
    >>> update_squared_distances(X, squared, fresh, nearest=nearest, first=1)
    >>> squared, nearest
    (array([1., 1.]), array([1, 0]))
    """
    if len(X) == 0 or len(centers) == 0:
        return
    filter_ = _filter(X, centers)
    at = np.full(len(X), -1, np.int64)
    tree = _tree(centers, len(X))
    if tree is not None:
        some = _some(len(X))
        # on copies: what is lowered but not finished must not be taken for less than it is
        allowed = len(some) * _visits(centers, 0.8)
        if not tree.lower(X, some, squared.copy(), at.copy(), allowed):
            tree = None
    if tree is not None:
        tree.lower(X, np.arange(len(X)), squared, at, np.iinfo(np.int64).max)
    else:
        _multiply(filter_, X, squared, centers, at)
    if nearest is not None:
        np.add(at, first, out=nearest, where=at >= 0)


def covering_distance(X: Features, centers: Features, at_least: float = 0.0) -> float:
    """Find the largest squared distance of any row to its nearest center.

    A row is left as soon as one center is within the largest distance known so far: few rows
    need to see more than a few centers.

    Parameters
    ----------
    X : (n, d) float array
    centers : (m, d) float array, m >= 1
    at_least : float
        A squared distance below which nothing is to be known.

    Returns
    -------
    float
        The largest squared distance, or ``at_least`` where that is larger.

    Raises
    ------
    ValueError
        For rows without any center.

    Examples
    --------
    >>> covering_distance(np.array([[0.0], [2.0], [5.0]]), np.array([[0.0], [4.0]]))
    4.0
    """
    floor = float(at_least)
    if len(X) == 0:
        return floor
    if len(centers) == 0:
        raise ValueError("centers must hold at least 1 row, got 0")
    filter_ = _filter(X, centers)
    some = np.arange(0, len(X), -(-len(X) // _FLOOR))
    floor = max(floor, float(nearest_center(X[some], centers)[1].max()))
    tree = _tree(centers, len(X))
    if tree is not None:
        some = _some(len(X))
        found = tree.cover(X, some, floor, len(some) * _visits(centers, 0.1))
        found = found and tree.cover(X, np.arange(len(X)), floor, np.iinfo(np.int64).max)
        if found is not None:
            return found
    return _cover(filter_, X, centers, floor)


def _tree(centers: Features, n: int) -> Tree | None:
    """A tree of the centers, where it may be of use."""
    if tree_loops() is None or len(centers) < _FEW or n < _FEW:
        return None
    return Tree(centers)


def _some(n: int) -> Rows:
    """Rows that are tried: in proportion, so that trying never costs much."""
    count = min(_TRIED, n // _ONE_IN + 1)
    return np.arange(0, n, -(-n // count))


def _visits(centers: Features, part: float) -> int:
    """Boxes and centers that a row may visit in this part of the time of the products."""
    m, d = centers.shape
    product, visit = 0.8 + 0.025 * d, 10 + 0.7 * d
    return int(part * m * product / visit) + 2 * _FEW


def _multiply(filter_: Filter, X: Features, squared: Floats, centers: Features, at: Rows) -> None:
    """Lower all distances, by groups or tile by tile."""
    right = filter_.centers(centers)
    if may_be_grouped(len(X), len(centers)):
        every = filter_.rows(X)
        if lower_by_groups(every, np.arange(len(X)), right, squared, at) is not None:
            return
    scratch = Scratch(X.shape[1])
    for start in range(0, len(X), TILE):
        part = slice(start, start + TILE)
        rows = filter_.rows(X[part])
        tile = np.arange(len(rows.X))
        lower_distances(rows, tile, right, 0, len(centers), squared[part], at[part], scratch)


def _cover(filter_: Filter, X: Features, centers: Features, floor: float) -> float:
    """Group rows by one center in many, and go from the nearest centers outwards."""
    right = filter_.centers(centers)
    pivots = centers[:: max(1, int(np.sqrt(len(centers))))]
    nearest, squared = nearest_center(X, pivots)
    far = np.flatnonzero(squared > floor)
    far = far[np.argsort(nearest[far], kind="stable")]
    starts = np.searchsorted(nearest[far], np.arange(len(pivots) + 1))
    # an estimate is enough: it orders the centers, and decides nothing
    estimates = right.copies @ filter_.rows(pivots).copies.T
    scratch = Scratch(X.shape[1])
    # groups with the farthest rows first: they raise the floor for the others
    for group in _farthest_first(squared[far], starts):
        rows = far[starts[group] : starts[group + 1]]
        order = np.argsort(estimates[:, group], kind="stable")
        floor = _cover_group(X, rows, squared[rows], right, order, floor, scratch)
    return floor


def _farthest_first(squared: Floats, starts: Rows) -> Rows:
    """Groups that have rows, by their largest distance, descending."""
    groups = np.flatnonzero(np.diff(starts))
    largest = np.maximum.reduceat(squared, starts[groups]) if len(groups) else np.empty(0)
    return groups[np.argsort(-largest, kind="stable")]


def _cover_group(
    X: Features,
    rows: Rows,
    squared: Floats,
    centers: Filtered,
    order: Rows,
    floor: float,
    scratch: Scratch,
) -> float:
    """The floor, raised by some rows, which see the centers in the given order."""
    width = 64
    start = 0
    while start < len(order) and len(rows):
        chosen = order[start : start + width]
        chunk = Filtered(
            centers.filter, centers.X[chosen], centers.copies[chosen], centers.limits[chosen]
        )
        for low in range(0, len(rows), TILE):
            part = slice(low, low + TILE)
            left = centers.filter.rows(X[rows[part]])
            tile, own = np.arange(len(left.X)), squared[part]
            lower_distances(left, tile, chunk, 0, len(chosen), own, np.empty_like(tile), scratch)
        start += len(chosen)
        # most rows leave at once; those that stay see more centers at a time
        width = TILE
        stay = squared > floor
        rows, squared = rows[stay], squared[stay]
    return max(floor, float(squared.max(initial=floor)))


def _filter(X: Features, centers: Features) -> Filter:
    """A filter that suits rows and centers, whose squares must be finite."""
    return Filter(np.concatenate([X.min(axis=0)[None], X.max(axis=0)[None], centers]))
