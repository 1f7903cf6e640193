"""Deals rows out to several subsets, each of which has its part of every class."""

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.streams import Stream

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def dealt(
    rows: Rows,
    codes: npt.ArrayLike | None,
    number: int,
    size: int,
    seed: int,
    *,
    places: npt.ArrayLike | None = None,
) -> Mask:
    """Which subset has which row: as with cards, class by class.

    Within a class rows are taken place by place and in their order, so many at a time as there
    are subsets, shuffled by a hash of seed and row number, and dealt one by one: every subset has
    rows from all parts of the data. Where there are too few rows, each is dealt as often as any
    other or once more, never twice to one subset.

    Parameters
    ----------
    rows : (k,) int64 array
        Row numbers, ascending.
    codes : (k,) int array or None
        Class numbers; None for one class.
    number : int
        Subsets.
    size : int
        Rows of each; at most k, and at least k / number.
    seed : int
    places : (k,) int array, optional
        Where rows lie among the others: any number for rows that are near each other.

    Returns
    -------
    (k, number) bool array; each column has ``size`` rows, and of each class as many as any other
    column, or one more or less.

    Examples
    --------
    >>> dealt(np.arange(6), np.array([0, 0, 0, 0, 1, 1]), 2, 3, seed=0).sum(axis=0)
    array([3, 3])
    """
    k = len(rows)
    group = np.zeros(k, np.int64) if codes is None else np.asarray(codes, np.int64)
    near = np.zeros(k, np.int64) if places is None else np.asarray(places)
    # a class's neighbours side by side, then hands of as many as there are subsets, each shuffled
    order = np.lexsort((rows, near, group))
    starts = np.searchsorted(group[order], group[order])
    hand = (np.arange(k) - starts) // number
    shuffled = row_hash(rows[order], seed, stream=Stream.DEALING)
    order = order[np.lexsort((shuffled, hand, group[order]))]
    # places in a row for each: a run of neighbours has its share of them to within one
    edges = np.arange(k + 1, dtype=np.int64) * (number * size) // k
    times = np.diff(edges)
    subset = np.arange(number * size) % number
    mask = np.zeros((k, number), bool)
    mask[np.repeat(order, times), subset] = True
    return mask


def dealt_weights(
    weights: npt.NDArray[np.float32], codes: npt.ArrayLike | None, mask: Mask
) -> npt.NDArray[np.float32]:
    """The weight of each row in each subset: classes weigh what they weigh in all subsets together.

    Parameters
    ----------
    weights : (k,) float32 array
        Above 0.
    codes : (k,) int array or None
    mask : (k, N) bool array
        From `dealt`.

    Returns
    -------
    (k, N) float32 array, 0 where a row is not in the subset; each column sums to the sum of the
    weights. A class of which a subset has no row is left out of it, and the others stand for it.

    Examples
    --------
    >>> mask = np.array([[True, False], [False, True], [True, True]])
    >>> dealt_weights(np.array([1, 3, 2], np.float32), np.array([0, 0, 1]), mask)
    array([[4., 0.],
           [0., 4.],
           [2., 2.]], dtype=float32)
    """
    group = np.zeros(len(weights), np.int64) if codes is None else np.asarray(codes, np.int64)
    _, group = np.unique(group, return_inverse=True)
    heavy = weights.astype(np.float64)
    due = np.bincount(group, weights=heavy)
    found = np.zeros(mask.shape, np.float32)
    for column in range(mask.shape[1]):
        at = np.flatnonzero(mask[:, column])
        have = np.bincount(group[at], weights=heavy[at], minlength=len(due))
        own = heavy[at] * (due / np.where(have > 0, have, 1.0))[group[at]]
        found[at, column] = own * (heavy.sum() / own.sum())
    return found
