"""How many rows each class, stratum or block gets."""

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


def largest_remainder(total: int, shares: npt.ArrayLike, available: Counts) -> Counts:
    """Split ``total`` in proportion to ``shares``, never above what is available.

    Parameters
    ----------
    total : int
        Rows to give out; at most ``available.sum()``.
    shares : (G,) array of float >= 0
    available : (G,) int64 array

    Returns
    -------
    (G,) int64 array that sums to ``total``. Equal remainders go to the lower number.

    Raises
    ------
    ValueError
        Where more is to be given out than there is.

    Examples
    --------
    >>> largest_remainder(10, [0.55, 0.35, 0.1], np.array([100, 100, 100]))
    array([6, 3, 1])
    """
    share = _relative(shares)
    _refuse_excess(total, available)
    quota = np.zeros(len(share), np.int64)
    open_ = available > 0
    # a group that is exhausted leaves its surplus to the others: at most G rounds
    while (left := total - int(quota.sum())) > 0:
        weights = np.where(open_, share, 0.0)
        if weights.sum() <= 0:
            weights = np.where(open_, (available - quota).astype(np.float64), 0.0)
        exact = left * weights / weights.sum()
        step = np.floor(exact).astype(np.int64)
        order = np.argsort(step - exact, kind="stable")
        order = order[open_[order]]
        step[order[: left - int(step.sum())]] += 1
        quota = np.minimum(quota + step, available)
        open_ = quota < available
    return quota


def class_quotas(total: int, shares: npt.ArrayLike, available: Counts, floor: int) -> Counts:
    """Split ``total`` over classes with a floor: no class vanishes while there is room.

    Parameters
    ----------
    total : int
        Rows to give out; at most ``available.sum()``.
    shares : (C,) array of float >= 0
        What the quotas are proportional to above the floor.
    available : (C,) int64 array
        Rows in each class.
    floor : int
        Rows that each class gets at least, or all it has. Lowered until it fits; with fewer
        rows than classes the largest shares get one row each.

    Returns
    -------
    (C,) int64 array that sums to ``total``.

    Raises
    ------
    ValueError
        Where more is to be given out than there is.

    Examples
    --------
    >>> class_quotas(10, [990, 9, 1], np.array([990, 9, 1]), floor=1)
    array([8, 1, 1])
    """
    present = available > 0
    if total < int(present.sum()):
        order = np.argsort(-np.where(present, np.asarray(shares, np.float64), -1), kind="stable")
        quota = np.zeros(len(available), np.int64)
        quota[order[:total]] = 1
        return quota
    while floor > 1 and int(np.minimum(available, floor).sum()) > total:
        floor -= 1
    low = np.minimum(available, max(floor, 1))
    quota = largest_remainder(total, shares, available)
    quota = np.maximum(quota, low)
    # what the floors took comes from those above theirs, in proportion
    room = quota - low
    return quota - largest_remainder(int(quota.sum()) - total, room, room)


def systematic(total: int, shares: npt.ArrayLike, available: Counts) -> Counts:
    """Round quotas along an order: any run of groups gets its share to within one row.

    Parameters
    ----------
    total : int
        Rows to give out; at most ``available.sum()``.
    shares : (B,) array of float >= 0
        Shares in the global order (blocks in row order).
    available : (B,) int64 array

    Returns
    -------
    (B,) int64 array that sums to ``total``.

    Raises
    ------
    ValueError
        Where more is to be given out than there is.

    References
    ----------
    Madow (1949), On the theory of systematic sampling, II.

    Examples
    --------
    >>> systematic(2, [1, 1, 1, 1], np.array([9, 9, 9, 9]))
    array([1, 0, 1, 0])
    """
    share = _relative(shares)
    _refuse_excess(total, available)
    if share.sum() <= 0:
        share = available.astype(np.float64)
    if share.sum() <= 0:
        return np.zeros(len(share), np.int64)
    cumulative = np.cumsum(share)
    # halves always go up: to the even number, neighbours with a share of 1 would get 0 and 2
    edges = np.floor(total * cumulative / cumulative[-1] + 0.5).astype(np.int64)
    quota = np.minimum(np.diff(edges, prepend=0), available)
    missing = total - int(quota.sum())
    if missing:
        room = available - quota
        quota = quota + largest_remainder(missing, room, room)
    return quota


def _relative(shares: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Shares by a power of two near the largest: exact, and no sum overflows or vanishes."""
    share = np.asarray(shares, np.float64)
    _, exponent = np.frexp(share.max(initial=0.0))
    return np.ldexp(share, -exponent)


def _refuse_excess(total: int, available: Counts) -> None:
    if total > int(available.sum()):
        raise ValueError(
            f"total must be at most the {int(available.sum())} rows available, got {total}"
        )
