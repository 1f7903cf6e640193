"""Sampling by importance, without replacement: chances, and keys whose lowest ones are the draw.

Every row has a uniform number of its own, a hash, so that a draw of fixed size is the lowest
keys of all rows: parts of the data merge, and nothing is drawn in sequence.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


def uniforms(hashes: npt.NDArray[np.uint64]) -> Floats:
    """Turn hashes into numbers strictly between 0 and 1.

    Parameters
    ----------
    hashes : (n,) uint64 array

    Returns
    -------
    (n,) float64 array.

    Examples
    --------
    >>> uniforms(np.array([0, 2**63], np.uint64)).round(3)
    array([0. , 0.5])
    """
    return ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def pareto_keys(chances: Floats, uniform: Floats) -> npt.NDArray[np.float32]:
    """Ranking variables of Pareto sampling: the k lowest are a sample with these chances.

    Parameters
    ----------
    chances : (n,) float array, 0 < chance <= 1
        Wanted inclusion probabilities, which sum to k.
    uniform : (n,) float array, 0 < u < 1

    Returns
    -------
    (n,) float32 array; 0 where the chance is 1. With k rows drawn, inclusion probabilities
    differ from the wanted ones by O(1 / sum of p (1 - p)).

    References
    ----------
    Rosén (1997), On sampling with probability proportional to size.

    Examples
    --------
    >>> pareto_keys(np.array([1.0, 0.5]), np.array([0.9, 0.5]))
    array([0., 1.], dtype=float32)
    """
    odds = uniform / (1 - uniform) * ((1 - chances) / chances)
    return np.minimum(odds, np.finfo(np.float32).max).astype(np.float32)


def chance_rate(counts: Counts, sums: Counts, size: int) -> float:
    """Find the factor for which min(1, factor * desire) sum to the sample's size.

    Parameters
    ----------
    counts, sums : (B,) int64 arrays
        Rows, and the sum of their desires > 0, in cells of a histogram, ascending by desire.
        Within a cell desires count as equal.
    size : int
        At most ``counts.sum()``.

    Returns
    -------
    float
        Infinite where all rows are wanted.

    Examples
    --------
    >>> chance_rate(np.array([6, 1]), np.array([6, 100]), 3)
    0.3333333333333333
    """
    left, rest = size, int(sums.sum())
    if size >= int(counts.sum()):
        return float("inf")
    for cell in range(len(counts) - 1, -1, -1):
        rate = left / rest
        # in whole numbers: unless the mean of the cell times the rate is above 1
        if left * int(sums[cell]) <= rest * int(counts[cell]):
            return rate
        left -= int(counts[cell])
        rest -= int(sums[cell])
    return float("inf")
