"""Exemplars of a stream that is seen once: sieve-streaming for facility location.

For every guess of the best value a set of its own, which takes a row if that brings it its share of
the guess. Memory does not grow with the stream.
"""

import numpy as np
import numpy.typing as npt

Features = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# rows whose distances to the ground set are taken together
_TILE = 1024


class Sieve:
    """At most k rows of a stream, near the rows of a ground set on average.

    The value of a set is the sum over the ground set's rows of weight · (``far`` - distance to the
    nearest row of the set), none below 0: monotone and submodular, as for `greedy`. The best of
    the sieve's sets has at least (1/2 - epsilon) of the value of the best k rows of all that were
    fed, in any order. What a row brings is measured on the ground set alone: a uniform sample of
    the data makes that an estimate of what it brings to all.

    Parameters
    ----------
    ground : (m, d) float array
        Finite, at least one row.
    k : int
        At least 1.
    weights : (m,) float array, optional
        Above 0.
    groups : (m,) int array, optional
        A row brings something to ground rows of its own group alone.
    far : float, optional
        Above 0; the largest distance of a ground row to their mean, twice, unless given.
    epsilon : float
        From 0.01 to 0.5; log(2k) / epsilon sets are kept, about.

    References
    ----------
    Badanidiyuru, Mirzasoleiman, Karbasi, Krause (2014), Streaming submodular maximization: massive
    data summarization on the fly.

    Examples
    --------
    >>> sieve = Sieve(np.array([[0.0], [1.0], [10.0], [11.0]]), k=2)
    >>> sieve.feed(np.array([[30.0], [1.0], [20.0], [10.0]]), np.arange(4))
    >>> sieve.rows.tolist()
    [1, 3]
    """

    def __init__(
        self,
        ground: Features,
        k: int,
        *,
        weights: Floats | None = None,
        groups: npt.NDArray[np.integer] | None = None,
        far: float | None = None,
        epsilon: float = 0.1,
    ) -> None:
        ground = np.asarray(ground, np.float64)
        if ground.ndim != 2 or len(ground) == 0:
            raise ValueError(f"ground must hold at least 1 row, got shape {ground.shape}")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        if not 0.01 <= epsilon <= 0.5:
            raise ValueError(f"epsilon must be from 0.01 to 0.5, got {epsilon}")
        if far is None:
            far = 2 * float(np.sqrt(((ground - ground.mean(axis=0)) ** 2).sum(axis=1).max())) or 1.0
        self._ground, self._groups = ground, groups
        self._weights = np.ones(len(ground)) if weights is None else np.asarray(weights, np.float64)
        self._k, self._far, self._step = int(k), far, np.log1p(epsilon)
        self._largest = 0.0
        # of each set: the guess's exponent, what it covers by now, its value, its rows
        self._exponents = np.empty(0, np.int64)
        self._covered = np.empty((0, len(ground)))
        self._values = np.empty(0)
        self._sets: list[list[int]] = []

    @property
    def rows(self) -> Rows:
        """(at most k,) int64 array: the best set, ascending; of equal ones that of lowest guess."""
        if not self._sets:
            return np.empty(0, np.int64)
        return np.sort(np.array(self._sets[int(self._values.argmax())], np.int64))

    @property
    def value(self) -> float:
        """Of the best set."""
        return float(self._values.max(initial=0.0))

    @property
    def candidates(self) -> Rows:
        """(c,) int64 array: rows of all sets, ascending; what a stream must remember."""
        return np.unique(np.array([row for rows in self._sets for row in rows], np.int64))

    def feed(self, X: Features, rows: Rows, groups: npt.NDArray[np.integer] | None = None) -> None:
        """Offer rows, in this order.

        Parameters
        ----------
        X : (n, d) float array
        rows : (n,) int64 array
            Their numbers.
        groups : (n,) int array, optional
            Where the ground set has groups.
        """
        from scipy.spatial.distance import cdist

        for start in range(0, len(X), _TILE):
            part = slice(start, start + _TILE)
            near = np.maximum(0, self._far - cdist(np.asarray(X[part], np.float64), self._ground))
            if groups is not None and self._groups is not None:
                near *= groups[part, None] == self._groups
            alone = near @ self._weights
            for at in range(len(near)):
                self._offer(near[at], float(alone[at]), int(rows[start + at]))

    def _offer(self, near: Floats, alone: float, row: int) -> None:
        if alone <= 0:
            return
        if alone > self._largest:
            self._largest = alone
            self._guess()
        open_ = np.array([len(rows) < self._k for rows in self._sets])
        gains = np.maximum(0, near - self._covered) @ self._weights
        left = self._k - np.array([len(rows) for rows in self._sets])
        due = (np.exp(self._exponents * self._step) / 2 - self._values) / np.maximum(left, 1)
        for number in np.flatnonzero(open_ & (gains >= due) & (gains > 0)):
            self._sets[number].append(row)
            np.maximum(self._covered[number], near, out=self._covered[number])
            self._values[number] = self._covered[number] @ self._weights

    def _guess(self) -> None:
        """Guesses from the largest value of one row to 2k times it; sets of others are dropped."""
        low = int(np.ceil(np.log(self._largest) / self._step))
        high = int(np.floor(np.log(2 * self._k * self._largest) / self._step))
        wanted = np.arange(low, max(low, high) + 1)
        known = {int(exponent): number for number, exponent in enumerate(self._exponents)}
        # a set without rows is what a new guess would have come to: no row was worth its share
        at = [known.get(int(exponent), -1) for exponent in wanted]
        covered = np.zeros((len(wanted), len(self._ground)))
        values, sets = np.zeros(len(wanted)), [list[int]() for _ in wanted]
        for number, before in enumerate(at):
            if before >= 0:
                covered[number], values[number] = self._covered[before], self._values[before]
                sets[number] = self._sets[before]
        self._exponents, self._covered, self._values, self._sets = wanted, covered, values, sets
