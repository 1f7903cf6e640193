"""Farthest-first traversal: the greedy k-center order, exactly, without n · k distances.

The picks equal those of float64 Gonzalez, the lowest row number winning ties. How they are found
depends on the number of features: see `lazy` and `pruned`.
"""

import warnings
from typing import Self

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.distances import Features, Filter, Floats, Rows, squared_distances_to
from dask_distill.kernels.lazy import LazyTraversal
from dask_distill.kernels.nearest import covering_distance, nearest_center, update_squared_distances
from dask_distill.kernels.pruned import CellTraversal
from dask_distill.kernels.trees import TreeTraversal

# up to so many features a tree is fastest, then cells, then products alone
_TREES = 4
_CELLS = 12

__all__ = [
    "FarthestFirst",
    "covering_distance",
    "farthest_first",
    "nearest_center",
    "update_squared_distances",
]


def farthest_first(
    X: npt.ArrayLike, k: int, *, start: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Pick k rows, each the farthest from all picked before it.

    Parameters
    ----------
    X : (n, d) float array
        Finite; other numbers are taken as float64.
    k : int
        Rows to pick, at least 1.
    start : int
        The first pick.

    Returns
    -------
    indices : (k,) int64 array
        In the order of picking; of equally far rows the lowest number. Fewer than k where
        there are fewer distinct rows, with a warning.
    radii : (k,) float64 array
        ``radii[j]`` is the distance of pick j to the nearest pick before it; inf for the first.

    Raises
    ------
    ValueError
        For k below 1, a start that is no row, or rows that are not finite.

    References
    ----------
    Gonzalez (1985), Clustering to minimize the maximum intercluster distance.

    Examples
    --------
    >>> indices, radii = farthest_first(np.array([[0.0], [1.0], [5.0]]), 3)
    >>> indices.tolist(), radii.tolist()
    ([0, 2, 1], [inf, 5.0, 1.0])
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise ValueError(f"k must be an int of at least 1, got {k!r}")
    traversal = FarthestFirst(X, start=start)
    traversal.extend(int(k))
    if len(traversal.indices) < k:
        warnings.warn(
            f"k must be at most the number of distinct rows {len(traversal.indices)}, got {k}; "
            "stopped there",
            stacklevel=2,
        )
    return traversal.indices, traversal.radii


class FarthestFirst:
    """A traversal that can be extended, copied and pickled.

    Parameters
    ----------
    X : (n, d) float array
        Finite; other numbers are taken as float64. Not to be changed; not copied where it is
        contiguous.
    start : int
        The first pick.

    Raises
    ------
    ValueError
        For a start that is no row, rows that are not finite, or whose squares are not.

    Examples
    --------
    >>> traversal = FarthestFirst(np.array([[0.0], [1.0], [5.0]]))
    >>> traversal.extend(2)
    >>> traversal.indices, traversal.covering_radius()
    (array([0, 2]), 1.0)
    """

    def __init__(self, X: npt.ArrayLike, *, start: int = 0) -> None:
        self._X = _checked(X)
        n = len(self._X)
        self._exhausted = n == 0
        filter_ = Filter(self._X)
        if n == 0:
            self._traversal = LazyTraversal(filter_, self._X, np.empty(0))
            return
        if isinstance(start, bool) or not 0 <= start < n:
            raise ValueError(f"start must be a row from 0 to {n - 1}, got {start!r}")
        squared = squared_distances_to(self._X, int(start))
        self._traversal = _begin(filter_, self._X, squared, int(start))

    @classmethod
    def resume(cls, X: npt.ArrayLike, squared_distances: Floats) -> Self:
        """Continue among rows whose distances to centers chosen elsewhere are known.

        Parameters
        ----------
        X : (n, d) float array
        squared_distances : (n,) float64 array

        Returns
        -------
        FarthestFirst
            Without picks; the first will be the row of the largest given distance.
        """
        traversal = cls.__new__(cls)
        traversal._X = _checked(X)
        squared = np.array(squared_distances, np.float64)
        traversal._traversal = LazyTraversal(Filter(traversal._X), traversal._X, squared)
        traversal._exhausted = len(squared) == 0
        return traversal

    @property
    def indices(self) -> Rows:
        """(k,) int64 array: picks so far, in order."""
        return self._traversal.indices

    @property
    def squared_radii(self) -> Floats:
        """(k,) float64 array: squared distance of each pick to those before it, first inf."""
        return self._traversal.squared_radii

    @property
    def radii(self) -> Floats:
        """(k,) float64 array: distance of each pick to those before it."""
        return np.sqrt(self.squared_radii)

    @property
    def pairs(self) -> int:
        """Distances that were bounded or computed so far."""
        return self._traversal.pairs

    @property
    def exhausted(self) -> bool:
        """Whether every row equals a pick."""
        return self._exhausted or len(self.indices) == len(self._X)

    def extend(self, k: int, *, stop_squared: float | None = None) -> None:
        """Go on to k picks in all.

        Stops before, where no distinct row is left, or where the next pick's squared radius
        would be at most ``stop_squared``.
        """
        stop = 0.0 if stop_squared is None else max(0.0, float(stop_squared))
        k = min(int(k), len(self._X))
        if k <= len(self.indices) or self._exhausted:
            return
        self._traversal.extend(k - len(self.indices), stop)
        if len(self.indices) < k and stop == 0.0:
            self._exhausted = True

    def rest(self) -> None:
        """Let go of what can be made again, more memory than the rows take; go on when you like."""
        self._traversal.rest()

    def squared_distances(self) -> Floats:
        """(n,) float64 array: every row's squared distance to the picks."""
        return self._traversal.catch_up().copy()

    def covering_radius(self) -> float:
        """Largest distance of any row to the picks; 0 without rows."""
        return float(np.sqrt(self._traversal.catch_up().max(initial=0.0)))

    def nearest(self) -> Rows:
        """(n,) int64 array: position of each row's nearest pick, the lowest of equals."""
        self._traversal.catch_up()
        nearest = self._traversal.nearest
        if (nearest < 0).any():
            # centers from elsewhere were nearer than any pick
            return nearest_center(self._X, self._X[self.indices])[0]
        return nearest.copy()

    def copy(self) -> Self:
        """An independent traversal of the same rows."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._traversal = self._traversal.copy()
        return other


def _begin(filter_: Filter, X: Features, squared: Floats, start: int) -> LazyTraversal:
    """The traversal that suits the number of features."""
    if X.shape[1] <= _TREES:
        return TreeTraversal(filter_, X, squared, start)
    if X.shape[1] <= _CELLS:
        return CellTraversal(filter_, X, squared, start)
    return LazyTraversal(filter_, X, squared, start)


def _checked(X: npt.ArrayLike) -> Features:
    array = np.asarray(X)
    if array.ndim != 2:
        raise ValueError(f"X must have rows and columns, got shape {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError("X must be finite, got NaN or infinite values; clean it first")
    return np.ascontiguousarray(array)
