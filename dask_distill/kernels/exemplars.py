"""Exemplars: rows whose distances to all rows sum to little, by greedy choice and by swaps.

Facility location: the value of a set is the sum over rows of (the largest distance - the distance
to the nearest exemplar), monotone and submodular; what is left is the cost of k-medoids.
"""

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.cells import halve
from dask_distill.kernels.quotas import largest_remainder
from dask_distill.kernels.streams import Generator

Features = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# stale gains brought up to date at once
_BATCH = 32
# rows whose pairs are looked at together
MOST_TOGETHER = 2048


def distances(X: Features) -> Floats:
    """Euclidean distances of all pairs, each computed for itself.

    Parameters
    ----------
    X : (m, d) float array

    Returns
    -------
    (m, m) float64 array.
    """
    from scipy.spatial.distance import cdist

    wide = X.astype(np.float64)
    return cdist(wide, wide)


def greedy(D: Floats, weights: Floats, k: int) -> Rows:
    """Choose exemplars one by one, each the one that lowers the cost most.

    Lazily: a gain never grows, so that most need not be computed again. The result is that of
    the plain algorithm, at least 1 - 1/e of the best value; of equal gains the lowest row wins.

    Parameters
    ----------
    D : (m, m) float64 array
        Distances, symmetric.
    weights : (m,) float array > 0
    k : int
        1 <= k <= m.

    Returns
    -------
    (k,) int64 array, in the order of choice.

    References
    ----------
    Nemhauser, Wolsey, Fisher (1978), An analysis of approximations for maximizing submodular
    set functions; Minoux (1978), Accelerated greedy algorithms.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> greedy(distances(X), np.ones(4), 2)
    array([1, 3])
    """
    m = len(D)
    cost = np.array([float(np.sum(weights * row)) for row in D])
    picks = [int(cost.argmin())]
    current = D[picks[0]].copy()
    gains = np.empty(m)
    for start in range(0, m, _BATCH):
        rows = np.arange(start, min(start + _BATCH, m))
        gains[rows] = _gains(D, weights, current, rows)
    gains[picks[0]] = -np.inf
    stale = np.zeros(m, bool)
    while len(picks) < k:
        top = int(gains.argmax())
        if stale[top]:
            rows = np.flatnonzero(stale)
            if len(rows) > _BATCH:
                rows = rows[np.argpartition(-gains[rows], _BATCH)[:_BATCH]]
                # where many gains are equal it may not be among them
                rows[0] = top if top not in rows else rows[0]
            gains[rows] = _gains(D, weights, current, rows)
            stale[rows] = False
            continue
        picks.append(top)
        gains[top] = -np.inf
        np.minimum(current, D[top], out=current)
        stale[:] = True
        stale[picks] = False
    return np.array(picks, np.int64)


def swapped(D: Floats, weights: Floats, medoids: Rows, sweeps: int = 20) -> Rows:
    """Swap medoids for other rows while that lowers the cost: eager swaps, all medoids at once.

    Parameters
    ----------
    D : (m, m) float64 array
    weights : (m,) float array > 0
    medoids : (k,) int64 array
    sweeps : int
        Over all rows, at most; it ends when none helps.

    Returns
    -------
    (k,) int64 array.

    References
    ----------
    Schubert, Rousseeuw (2021), Fast and eager k-medoids clustering (FasterPAM).

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [10.0]])
    >>> np.sort(swapped(distances(X), np.ones(4), np.array([0, 1])))
    array([1, 3])
    """
    medoids = medoids.copy()
    if len(medoids) == 1:
        return np.array([np.argmin([float(np.sum(weights * row)) for row in D])], np.int64)
    state = _Assignment(D, weights, medoids)
    least = 1e-12 * float(np.sum(weights * state.first))
    is_medoid = np.zeros(len(D), bool)
    is_medoid[medoids] = True
    last = -1
    for candidate in np.tile(np.arange(len(D)), sweeps).tolist():
        if candidate == last:
            break
        last = candidate if last < 0 else last
        if is_medoid[candidate]:
            continue
        place, change = state.best_swap(candidate)
        if change < -least:
            is_medoid[medoids[place]] = False
            is_medoid[candidate] = True
            state.swap(place, candidate)
            last = candidate
    return medoids


def choose_exemplars(X: Features, weights: Floats, k: int, seed: int, *, swap: bool) -> Rows:
    """Choose k weighted rows, in parts of the space where they are many.

    Parameters
    ----------
    X : (m, d) float array
    weights : (m,) float array > 0
    k : int
    seed : int
    swap : bool
        Whether swaps follow the greedy choice.

    Returns
    -------
    (k,) int64 array of positions, ascending.
    """
    if k >= len(X):
        return np.arange(len(X), dtype=np.int64)
    parts = min(k, -(-len(X) // MOST_TOGETHER))
    cells = halve(X, parts, np.random.default_rng([seed % 2**63, Generator.EXEMPLARS]))
    sizes = np.diff(cells.bounds)
    chosen = []
    for cell, quota in enumerate(largest_remainder(k, sizes, sizes).tolist()):
        rows = np.sort(cells.order[cells.bounds[cell] : cells.bounds[cell + 1]])
        if quota:
            D = distances(X[rows])
            picks = greedy(D, weights[rows], quota)
            picks = swapped(D, weights[rows], picks) if swap else picks
            chosen.append(rows[picks])
    return np.sort(np.concatenate(chosen))


def _gains(D: Floats, weights: Floats, current: Floats, rows: Rows) -> Floats:
    """What each of some rows would lower the cost by."""
    lower = current - D[rows]
    np.maximum(lower, 0, out=lower)
    lower *= weights
    return lower.sum(axis=1)


class _Assignment:
    """Each row's nearest and second medoid, and what it would cost to lose a medoid."""

    def __init__(self, D: Floats, weights: Floats, medoids: Rows) -> None:
        self.D, self.weights, self.medoids = D, weights, medoids
        m = len(D)
        self.nearest, self.second_nearest = np.zeros(m, np.int64), np.zeros(m, np.int64)
        self.first, self.second = np.zeros(m), np.zeros(m)
        self._assign(np.arange(m))
        self._price()

    def best_swap(self, candidate: int) -> tuple[int, float]:
        """Which medoid to give up for a row, and the change of the cost."""
        d = self.D[candidate]
        gain = float(np.sum(self.weights * np.minimum(d - self.first, 0)))
        spared = np.minimum(np.maximum(d, self.first), self.second) - self.second
        price = self.removal + np.bincount(
            self.nearest, self.weights * spared, minlength=len(self.medoids)
        )
        place = int(price.argmin())
        return place, float(price[place]) + gain

    def swap(self, place: int, candidate: int) -> None:
        """Do it."""
        self.medoids[place] = candidate
        d = self.D[candidate]
        lost = (self.nearest == place) | (self.second_nearest == place)
        nearer = ~lost & (d < self.first)
        self.second[nearer], self.second_nearest[nearer] = self.first[nearer], self.nearest[nearer]
        self.first[nearer], self.nearest[nearer] = d[nearer], place
        middle = ~lost & ~nearer & (d < self.second)
        self.second[middle], self.second_nearest[middle] = d[middle], place
        self._assign(np.flatnonzero(lost))
        self._price()

    def _assign(self, rows: Rows) -> None:
        to = self.D[rows[:, None], self.medoids[None, :]]
        at = np.arange(len(rows))
        nearest = to.argmin(axis=1)
        self.nearest[rows], self.first[rows] = nearest, to[at, nearest]
        to[at, nearest] = np.inf
        second = to.argmin(axis=1)
        self.second_nearest[rows], self.second[rows] = second, to[at, second]

    def _price(self) -> None:
        lost = self.weights * (self.second - self.first)
        self.removal = np.bincount(self.nearest, lost, minlength=len(self.medoids))
