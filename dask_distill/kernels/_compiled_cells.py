"""Loops over cells, the rows that share a nearest center; imported only where numba is there."""

from typing import Any

import numpy as np

from dask_distill.kernels._compiled import RUN, SAFE, jit, rough_distance, squared_distance


@jit()
def cell_radii(squared: Any, nearest: Any, out: Any) -> None:
    """Largest squared distance in each cell."""
    out[:] = 0.0
    for i in range(len(squared)):
        out[nearest[i]] = max(out[nearest[i]], squared[i])


@jit()
def neighbors(
    S: Any,
    limits: Any,
    radii: Any,
    unit: float,
    old: int,
    fresh: int,
    cells: Any,
    centers: Any,
    bounds: Any,
    count: int,
) -> int:
    """List the fresh centers that are within twice an old center's cell, or may be.

    ``S[j, c]`` bounds the distance of ``old + j`` and ``fresh + c`` up to ``limits[old + j]``.
    Returns how many entries there are now, or -1 where there is no room for them.
    """
    width = S.shape[1]
    for j in range(S.shape[0]):
        cell = old + j
        cap = np.float32(4 * radii[cell] * SAFE * unit - limits[cell])
        for start in range(0, width, RUN):
            stop = min(width, start + RUN)
            close = np.int32(0)
            for c in range(start, stop):
                close += np.int32(S[j, c] <= cap)
            if close == 0:
                continue
            if count + close > len(cells):
                return -1
            for c in range(start, stop):
                if S[j, c] <= cap:
                    cells[count] = cell
                    centers[count] = fresh + c
                    bounds[count] = (S[j, c] + limits[cell]) / unit
                    count += 1
    return count


@jit()
def arrange(cells: Any, centers: Any, bounds: Any, starts: Any) -> tuple[Any, Any]:
    """Entries by cell, and in a cell by bound; those of cell j begin at ``starts[j]``."""
    starts[:] = 0
    for cell in cells:
        starts[cell + 1] += 1
    for j in range(len(starts) - 1):
        starts[j + 1] += starts[j]
    place = starts.copy()
    by_center = np.empty(len(cells), np.int32)
    by_bound = np.empty(len(cells))
    for e in range(len(cells)):
        at = place[cells[e]]
        place[cells[e]] += 1
        by_center[at] = centers[e]
        by_bound[at] = bounds[e]
    for j in range(len(starts) - 1):
        _sort(by_center[starts[j] : starts[j + 1]], by_bound[starts[j] : starts[j + 1]])
    return by_center, by_bound


@jit()
def _sort(centers: Any, bounds: Any) -> None:
    """By bound, in place; most lists are short."""
    if len(bounds) > 64:
        order = np.argsort(bounds)
        centers[:] = centers[order]
        bounds[:] = bounds[order]
        return
    for e in range(1, len(bounds)):
        center, bound = centers[e], bounds[e]
        at = e
        while at > 0 and bounds[at - 1] > bound:
            bounds[at] = bounds[at - 1]
            centers[at] = centers[at - 1]
            at -= 1
        centers[at] = center
        bounds[at] = bound


@jit()
def lower_by_cells(
    X: Any,
    C: Any,
    starts: Any,
    centers: Any,
    bounds: Any,
    fresh: int,
    squared: Any,
    nearest: Any,
) -> int:
    """Lower all rows' distances by the centers in the list of their cell; returns the visits."""
    visited = 0
    for i in range(len(X)):
        cell = nearest[i]
        best = squared[i]
        at = cell
        limit = 4 * best * SAFE
        for e in range(starts[cell], starts[cell + 1]):
            if bounds[e] > limit:
                break
            c = centers[e]
            visited += 1
            if rough_distance(X, i, C, c) > best * SAFE:
                continue
            value = squared_distance(X, i, C, c)
            if value < best:
                # a nearer one is at most best away from the row, not from the old center
                reach = np.sqrt(squared[i]) + np.sqrt(value)
                limit = reach * reach * SAFE
                best = value
                at = c
            elif value == best and fresh <= c < at:
                at = c
        squared[i] = best
        nearest[i] = at
    return visited
