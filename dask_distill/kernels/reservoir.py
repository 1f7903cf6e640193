"""A bounded sample of rows without end: priority sampling, keyed to the global row number.

Which rows are kept does not depend on the batches in which they came.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.streams import Stream

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def priorities(rows: Rows, masses: Floats, seed: int, *, half_life: float | None = None) -> Floats:
    """Logarithm of each row's priority: its mass over a uniform number that belongs to it.

    With a half-life, mass is worth twice as much in a row that came so many rows later. That is
    said once, when the row comes, and not again as it ages.

    Parameters
    ----------
    rows : (n,) int64 array
        Global row numbers.
    masses : (n,) float64 array
        Above 0: the rows that each stands for.
    seed : int
    half_life : float, optional
        In rows.

    Returns
    -------
    (n,) float64 array
        To base 2.

    References
    ----------
    Duffield, Lund, Thorup (2007), Priority sampling for estimation of arbitrary subset sums;
    Cormode, Shkapenyuk, Srivastava, Xu (2009), Forward decay.

    Examples
    --------
    >>> one, two = priorities(np.array([7, 7]), np.array([1.0, 2.0]), seed=0)
    >>> float(two - one)
    1.0
    """
    # from 0 (excluded) to 1; 53 bits are what a float64 holds
    uniform = ((row_hash(rows, seed, stream=Stream.RESERVOIR) >> np.uint64(11)) + 1.0) * 2.0**-53
    logarithms = np.log2(masses) - np.log2(uniform)
    return logarithms if half_life is None else logarithms + rows / half_life


def thinned(
    priority: Floats,
    rows: Rows,
    codes: npt.NDArray[np.integer] | None,
    *,
    least: float,
    most: int | None,
    floor: int,
) -> tuple[npt.NDArray[np.bool_], float]:
    """Keep the rows of highest priority, and some of every class.

    Thinned parts, put together and thinned, are what all rows at once would have given.

    Parameters
    ----------
    priority : (n,) float64 array
        As from `priorities`.
    rows : (n,) int64 array
        The lowest wins ties.
    codes : (n,) int array or None
        Class numbers from 0, in any order.
    least : float
        Rows of this priority or less are not kept.
    most : int or None
        Rows to keep at most.
    floor : int
        Rows of each class that are kept all the same.

    Returns
    -------
    kept : (n,) bool array
    least : float
        The priority that rows had to surpass; the next thinning begins with it.

    Examples
    --------
    >>> kept, least = thinned(
    ...     np.array([1.0, 5.0, 3.0]), np.arange(3), None, least=-np.inf, most=2, floor=0
    ... )
    >>> kept.tolist(), least
    ([False, True, True], 1.0)
    """
    kept = priority > least
    if most is not None and np.count_nonzero(kept) > most:
        order = np.lexsort((rows, -priority))
        least = float(priority[order[most]])
        kept = np.zeros(len(rows), bool)
        kept[order[:most]] = True
    if codes is not None and floor:
        kept |= lowest_in_class(-priority, rows, codes, floor)
    return kept, least


def lowest_in_class(
    keys: npt.NDArray[Any], rows: Rows, codes: npt.NDArray[np.integer], count: int
) -> npt.NDArray[np.bool_]:
    """Find the rows of lowest key in each class.

    Parameters
    ----------
    keys : (n,) array
    rows : (n,) int64 array
        The lowest wins ties.
    codes : (n,) int array
        Class numbers from 0, in any order.
    count : int
        Rows of each class.

    Returns
    -------
    (n,) bool array

    Examples
    --------
    >>> lowest_in_class(np.array([3, 1, 2]), np.arange(3), np.array([0, 0, 1]), 1).tolist()
    [False, True, True]
    """
    mask = np.zeros(len(rows), bool)
    among = _few(keys, codes, count)
    order = among[np.lexsort((rows[among], keys[among], codes[among]))]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    mask[order[rank < count]] = True
    return mask


def _few(
    keys: npt.NDArray[Any], codes: npt.NDArray[np.integer], count: int
) -> npt.NDArray[np.intp]:
    """Positions that hold the lowest of each class: few, where rows are many and classes few."""
    size = np.bincount(codes)
    # twice what is wanted, if keys know nothing of the classes
    wanted = 2 * count * np.count_nonzero(size)
    if 2 * wanted >= len(keys):
        return np.arange(len(keys))
    low = keys <= np.partition(keys, wanted)[wanted]
    # classes of which fewer are low are looked at whole
    lacking = np.bincount(codes[low], minlength=len(size)) < count
    return np.flatnonzero(low | lacking[codes])


def represented(
    rows: Rows, masses: Floats, least: float, now: int, half_life: float | None = None
) -> Floats:
    """The mass that each kept row stands for, its own and that of those like it not kept.

    Parameters
    ----------
    rows : (n,) int64 array
    masses : (n,) float64 array
        Of each row alone.
    least : float
        What their priorities had to surpass.
    now : int
        Number of the next row to come; with a half-life, masses are as seen from there.
    half_life : float, optional

    Returns
    -------
    (n,) float64 array

    References
    ----------
    As for `priorities`.

    Examples
    --------
    >>> represented(np.array([0, 1]), np.array([1.0, 8.0]), 2.0, now=2)
    array([4., 8.])
    """
    logarithms = np.log2(masses)
    if half_life is not None:
        logarithms = logarithms + (rows - now) / half_life
        least = least - now / half_life
    return np.exp2(np.maximum(logarithms, least))
