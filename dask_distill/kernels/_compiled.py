"""The inner loops of the distance kernels, compiled by numba; imported only where it is there.

`squared_distance` sums in the order of `distances.paired`: eight lanes over the features, then
a fixed tree. It is compiled without fast math, so that both give the same bits.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

Loop = TypeVar("Loop", bound=Callable[..., Any])

# bounds that are looked at together
RUN = 128
# more than what the order of summation and a square root may cost
SAFE = 1 + 1e-9


def jit(**options: Any) -> Callable[[Loop], Loop]:
    """Compile on first call; keep the result on disk where a folder can be written to."""

    def decorate(function: Loop) -> Loop:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, **options)(function)

    return decorate


# a call would take as long as the distance between rows of few features
@jit(inline="always")
def squared_distance(A: Any, i: int, B: Any, j: int) -> float:
    """Canonical squared distance of two rows."""
    d = A.shape[1]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = d - d % 8
    for q in range(0, whole, 8):
        t0 = np.float64(A[i, q]) - np.float64(B[j, q])
        t1 = np.float64(A[i, q + 1]) - np.float64(B[j, q + 1])
        t2 = np.float64(A[i, q + 2]) - np.float64(B[j, q + 2])
        t3 = np.float64(A[i, q + 3]) - np.float64(B[j, q + 3])
        t4 = np.float64(A[i, q + 4]) - np.float64(B[j, q + 4])
        t5 = np.float64(A[i, q + 5]) - np.float64(B[j, q + 5])
        t6 = np.float64(A[i, q + 6]) - np.float64(B[j, q + 6])
        t7 = np.float64(A[i, q + 7]) - np.float64(B[j, q + 7])
        s0 += t0 * t0
        s1 += t1 * t1
        s2 += t2 * t2
        s3 += t3 * t3
        s4 += t4 * t4
        s5 += t5 * t5
        s6 += t6 * t6
        s7 += t7 * t7
    for q in range(whole, d):
        t = np.float64(A[i, q]) - np.float64(B[j, q])
        lane = q - whole
        if lane == 0:
            s0 += t * t
        elif lane == 1:
            s1 += t * t
        elif lane == 2:
            s2 += t * t
        elif lane == 3:
            s3 += t * t
        elif lane == 4:
            s4 += t * t
        elif lane == 5:
            s5 += t * t
        else:
            s6 += t * t
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@jit(fastmath={"reassoc", "nsz"})
def rough_distance(A: Any, i: int, B: Any, j: int) -> float:
    """`squared_distance` in another order of summation, which is several times faster.

    It is off by less than 1e-9 of itself: `SAFE` times a limit misses no pair below the limit.
    """
    total = 0.0
    for q in range(A.shape[1]):
        t = np.float64(A[i, q]) - np.float64(B[j, q])
        total += t * t
    return total


@jit()
def distances_to(X: Any, row: int, out: Any) -> None:
    """Canonical squared distances of all rows to one of them."""
    for i in range(len(X)):
        out[i] = squared_distance(X, i, X, row)


@jit()
def lower(
    S: Any,
    X: Any,
    tile: Any,
    C: Any,
    first: int,
    limits: Any,
    unit: float,
    squared: Any,
    nearest: Any,
) -> None:
    """Lower the distances of some rows to some centers, of which the bounds are given."""
    width = S.shape[1]
    for i in range(len(tile)):
        row = tile[i]
        limit = np.float32(squared[row] * unit - limits[row])
        for start in range(0, width, RUN):
            stop = min(width, start + RUN)
            # counted without a branch: this is the loop that every pair goes through
            close = np.int32(0)
            for j in range(start, stop):
                close += np.int32(S[i, j] <= limit)
            if close == 0:
                continue
            for j in range(start, stop):
                if S[i, j] <= limit:
                    value = squared_distance(X, row, C, first + j)
                    if value < squared[row]:
                        squared[row] = value
                        nearest[row] = first + j
                        limit = np.float32(value * unit - limits[row])


@jit()
def lower_listed(
    S: Any,
    X: Any,
    tile: Any,
    C: Any,
    listed: Any,
    limits: Any,
    unit: float,
    squared: Any,
    nearest: Any,
) -> None:
    """`lower`, by some centers in any order: of those equally near the lowest position."""
    width = S.shape[1]
    for i in range(len(tile)):
        row = tile[i]
        limit = np.float32(squared[row] * unit - limits[row])
        for start in range(0, width, RUN):
            stop = min(width, start + RUN)
            close = np.int32(0)
            for j in range(start, stop):
                close += np.int32(S[i, j] <= limit)
            if close == 0:
                continue
            for j in range(start, stop):
                if S[i, j] <= limit:
                    value = squared_distance(X, row, C, listed[j])
                    if value < squared[row]:
                        squared[row] = value
                        nearest[row] = listed[j]
                        limit = np.float32(value * unit - limits[row])
                    elif value == squared[row] and listed[j] < nearest[row]:
                        nearest[row] = listed[j]


@jit()
def traverse(
    S: Any,
    X: Any,
    rows: Any,
    limits: Any,
    unit: float,
    squared: Any,
    nearest: Any,
    first: int,
    stop: float,
    found: Any,
) -> int:
    """Sequential farthest-first traversal of a few rows, until the largest is at most ``stop``."""
    picks, radii = found
    caps = np.empty(len(rows), np.float32)
    for i in range(len(rows)):
        caps[i] = np.float32(squared[i] * unit - limits[rows[i]])
    count = 0
    while count < len(picks):
        pick = np.argmax(squared)
        if squared[pick] <= stop:
            break
        picks[count] = pick
        radii[count] = squared[pick]
        for i in range(len(rows)):
            if S[pick, i] <= caps[i]:
                value = squared_distance(X, rows[i], X, rows[pick])
                if value < squared[i]:
                    squared[i] = value
                    nearest[i] = first + count
                    caps[i] = np.float32(value * unit - limits[rows[i]])
        count += 1
    return count
