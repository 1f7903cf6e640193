"""Ranking without a sort: mergeable histograms of ordered integer keys, digit by digit.

A float32 score becomes a uint32 key of the same order, so that one histogram of the leading
bits gives every quantile to a relative precision that does not depend on the range, and a
second one, of the bin that matters, gives the exact threshold.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint32]
Counts = npt.NDArray[np.int64]

KEY_BITS = 32


def ascending_keys(scores: npt.NDArray[np.float32]) -> Keys:
    """Map float32 scores to integers in the same order (-0.0 and 0.0 alike).

    Parameters
    ----------
    scores : (n,) float32 array, without NaN.

    Returns
    -------
    (n,) uint32 array; ``a < b`` exactly where the scores are.

    References
    ----------
    Herf (2001), Radix Tricks.

    Examples
    --------
    >>> np.argsort(ascending_keys(np.array([1.5, -2.0, 0.25], np.float32)))
    array([1, 2, 0])
    """
    bits = (scores + np.float32(0)).view(np.uint32)
    flip = np.where(bits >> 31 == 1, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    return bits ^ flip


def scores_of(keys: Keys) -> npt.NDArray[np.float32]:
    """Undo `ascending_keys`.

    Parameters
    ----------
    keys : (n,) uint32 array.

    Returns
    -------
    (n,) float32 array.
    """
    flip = np.where(keys >> 31 == 1, np.uint32(0x80000000), np.uint32(0xFFFFFFFF))
    return (keys ^ flip).view(np.float32)


def digit_histogram(
    keys: Keys,
    groups: npt.NDArray[np.int32],
    prefixes: npt.NDArray[np.uint32],
    known_bits: int,
    digit_bits: int,
) -> Counts:
    """Count, in each group, the next digit of the keys that begin with the group's prefix.

    Parameters
    ----------
    keys : (n,) uint32 array
    groups : (n,) int32 array
        Group numbers, 0 <= group < G.
    prefixes : (G,) uint32 array
        The leading ``known_bits`` bits that matter in each group.
    known_bits, digit_bits : int
        ``known_bits + digit_bits <= 32``.

    Returns
    -------
    (G, 2**digit_bits) int64 array. Histograms of blocks add up.
    """
    matching = np.ones(len(keys), bool)
    if known_bits:
        matching = keys >> np.uint32(KEY_BITS - known_bits) == prefixes[groups]
    shift = np.uint32(KEY_BITS - known_bits - digit_bits)
    digits = (keys[matching] >> shift) & np.uint32(2**digit_bits - 1)
    cells = groups[matching].astype(np.int64) << digit_bits | digits
    size = len(prefixes) << digit_bits
    return np.bincount(cells, minlength=size).reshape(len(prefixes), -1).astype(np.int64)


def descend(histogram: Counts, wanted: Counts) -> tuple[npt.NDArray[np.uint32], Counts]:
    """Find, in each group, the digit in which the wanted-th smallest key lies.

    Parameters
    ----------
    histogram : (G, D) int64 array, from `digit_histogram`.
    wanted : (G,) int64 array
        How many of the smallest keys to take; 0 <= wanted <= the group's total.

    Returns
    -------
    digit : (G,) uint32 array
        The digit of the wanted-th smallest key (0 where nothing is wanted).
    remaining : (G,) int64 array
        How many keys are still wanted among those with exactly that digit.

    Examples
    --------
    >>> digit, remaining = descend(np.array([[2, 3, 1]]), np.array([4]))
    >>> int(digit[0]), int(remaining[0])
    (1, 2)
    """
    cumulative = np.cumsum(histogram, axis=1)
    digit = (cumulative < wanted[:, None]).sum(axis=1)
    digit = np.minimum(digit, histogram.shape[1] - 1)
    before = np.where(
        digit > 0, np.take_along_axis(cumulative, np.maximum(digit - 1, 0)[:, None], 1)[:, 0], 0
    )
    return digit.astype(np.uint32), wanted - before


def quantile_bounds(histogram: Counts, quantile: float) -> tuple[float, float]:
    """Bracket a quantile of float32 scores by a histogram of their keys' leading bits.

    Parameters
    ----------
    histogram : (D,) int64 array
        Counts by leading bits of `ascending_keys`; D a power of two.
    quantile : float in [0, 1]
        Of the lower kind: the score at rank ``ceil(quantile * n)``, at least 1.

    Returns
    -------
    low, high : float
        The score lies in [low, high]; for D = 2**16 they are 1 % of the value apart at most.

    Raises
    ------
    ValueError
        Where the histogram is empty.
    """
    total = int(histogram.sum())
    if total == 0:
        raise ValueError("histogram must hold at least one score, got none")
    rank = max(1, int(np.ceil(quantile * total)))
    bits = len(histogram).bit_length() - 1
    digit = int(np.searchsorted(np.cumsum(histogram), rank))
    shift = KEY_BITS - bits
    edges = np.array([digit << shift, (digit + 1 << shift) - 1], np.uint32)
    # keys beyond those of the infinities are NaN's, which no score has
    limits = ascending_keys(np.array([-np.inf, np.inf], np.float32))
    low, high = scores_of(np.clip(edges, *limits))
    return float(low), float(high)


def add_histograms(
    left: tuple[npt.NDArray[Any], ...], right: tuple[npt.NDArray[Any], ...]
) -> tuple[npt.NDArray[Any], ...]:
    """Add up two histograms of which only the cells that are not empty are known.

    Parameters
    ----------
    left, right : tuples of (p,) and of (q,) int arrays
        Cells, each once, and one or more counts by cell.

    Returns
    -------
    tuple of (r,) arrays
        Cells, ascending, and int64 sums.

    Examples
    --------
    >>> one = np.array([1, 5]), np.array([2, 3])
    >>> other = np.array([5, 7]), np.array([4, 6])
    >>> [part.tolist() for part in add_histograms(one, other)]
    [[1, 5, 7], [2, 7, 6]]
    """
    cells, place = np.unique(np.concatenate([left[0], right[0]]), return_inverse=True)
    totals = [np.zeros(len(cells), np.int64) for _ in left[1:]]
    for total, *parts in zip(totals, left[1:], right[1:], strict=True):
        np.add.at(total, place, np.concatenate(parts))
    return cells, *totals
