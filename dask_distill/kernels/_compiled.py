"""The inner loops of the distance kernels, compiled by numba; imported only where it is there.

`squared_distance` sums in the order of `distances.paired`: eight lanes over the features, then
a fixed tree. It is compiled without fast math, so that both give the same bits.
"""

from typing import Any

import numba
import numpy as np

# reordering is allowed where a rounding error only costs a needless verification
_FILTER_MATH = {"reassoc", "contract", "nsz", "nnan", "ninf"}


def _jit(**options: Any) -> Any:
    """Compile on first call; keep the result on disk where a folder can be written to."""

    def decorate(function: Any) -> Any:
        try:
            return numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(nogil=True, **options)(function)

    return decorate


@_jit()
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


@_jit(fastmath=_FILTER_MATH)
def lower(
    S: Any,
    offsets: Any,
    X: Any,
    rows: Any,
    C: Any,
    first: int,
    limits: Any,
    unit: float,
    squared: Any,
    nearest: Any,
) -> int:
    """Lower the distances of some rows to some centers; returns the pairs verified."""
    verified = 0
    width = S.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        limit = np.float32(squared[i] * unit - limits[i])
        for start in range(0, width, 64):
            stop = min(width, start + 64)
            least = np.float32(np.inf)
            for j in range(start, stop):
                least = min(least, S[i, j] + offsets[j])
            if least <= limit:
                for j in range(start, stop):
                    if S[i, j] + offsets[j] <= limit:
                        value = squared_distance(X, row, C, first + j)
                        verified += 1
                        if value < squared[i]:
                            squared[i] = value
                            nearest[i] = first + j
                            limit = np.float32(value * unit - limits[i])
    return verified


@_jit()
def traverse(
    X: Any, rows: Any, squared: Any, stop: float, most: int, picks: Any, radii: Any
) -> int:
    """Sequential farthest-first traversal of a few rows, until the largest is at most ``stop``."""
    count = 0
    while count < most:
        largest = -1.0
        at = 0
        for i in range(len(rows)):
            if squared[i] > largest:
                largest = squared[i]
                at = i
        if largest <= stop:
            break
        picks[count] = at
        radii[count] = largest
        count += 1
        for i in range(len(rows)):
            value = squared_distance(X, rows[i], X, rows[at])
            if value < squared[i]:
                squared[i] = value
    return count
