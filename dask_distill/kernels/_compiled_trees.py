"""Loops over trees of boxes, compiled by numba; imported only where it is there."""

from typing import Any

import numpy as np

from dask_distill.kernels._compiled import SAFE, jit, rough_distance, squared_distance


@jit(fastmath={"reassoc", "nsz"})
def _box_distance(low: Any, high: Any, node: int, x: Any) -> float:
    """Squared distance of a point to a box, 0 inside; as rough as `rough_distance`."""
    total = 0.0
    for q in range(len(x)):
        t = max(max(low[node, q] - x[q], x[q] - high[node, q]), 0.0)
        total += t * t
    return total


@jit()
def grow(X: Any, shape: Any) -> None:
    """Halve the rows at the median of the widest feature; node i has children 2 i + 1, 2 i + 2."""
    n, d = X.shape
    order, low, high, starts, stops = shape
    values = np.empty(n)
    starts[0] = 0
    stops[0] = n
    for node in range(len(starts)):
        start, stop = starts[node], stops[node]
        low[node] = np.inf
        high[node] = -np.inf
        for p in range(start, stop):
            for q in range(d):
                x = np.float64(X[order[p], q])
                low[node, q] = min(low[node, q], x)
                high[node, q] = max(high[node, q], x)
        if 2 * node + 2 >= len(starts):
            continue
        widest = 0
        for q in range(1, d):
            if high[node, q] - low[node, q] > high[node, widest] - low[node, widest]:
                widest = q
        for p in range(start, stop):
            values[p] = X[order[p], widest]
        middle = (start + stop) // 2
        _select(values, order, start, stop, middle)
        starts[2 * node + 1] = start
        stops[2 * node + 1] = middle
        starts[2 * node + 2] = middle
        stops[2 * node + 2] = stop


@jit()
def _select(values: Any, order: Any, start: int, stop: int, middle: int) -> None:
    """Hoare's quickselect: no value before ``middle`` is above one after it."""
    last = stop - 1
    while start < last:
        pivot = values[(start + last) // 2]
        i, j = start, last
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            last = j
        elif middle >= i:
            start = i
        else:
            return


@jit()
def _search(
    X: Any,
    i: int,
    C: Any,
    shape: Any,
    best: float,
    at: int,
    floor: float,
    nodes: Any,
    distances: Any,
) -> tuple[float, int, int]:
    """One row's nearest center, or the first found at most ``floor`` away; and what was seen."""
    order, low, high, starts, stops = shape
    leaves = len(starts) // 2
    x = X[i].astype(np.float64)
    visited = 0
    nodes[0] = 0
    distances[0] = 0.0
    waiting = 1
    while waiting > 0 and best > floor:
        waiting -= 1
        node = nodes[waiting]
        if distances[waiting] > best * SAFE:
            continue
        while node < leaves:
            near, far = 2 * node + 1, 2 * node + 2
            a = _box_distance(low, high, near, x)
            b = _box_distance(low, high, far, x)
            if b < a:
                near, far = far, near
                a, b = b, a
            visited += 2
            nodes[waiting] = far
            distances[waiting] = b
            waiting += 1
            node = near
            if a > best * SAFE:
                break
        if node < leaves:
            continue
        for p in range(starts[node], stops[node]):
            if rough_distance(X, i, C, p) > best * SAFE:
                continue
            value = squared_distance(X, i, C, p)
            # a center from elsewhere (-1) keeps its row where both are equally near
            if value < best or (value == best and order[p] < at):
                best = value
                at = order[p]
        visited += stops[node] - starts[node]
    return best, at, visited


@jit()
def lower_by_tree(
    X: Any, rows: Any, C: Any, shape: Any, squared: Any, nearest: Any, allowed: int
) -> bool:
    """Lower the distances of some rows; False where more would be visited than is allowed."""
    nodes = np.empty(64, np.int64)
    distances = np.empty(64)
    for i in rows:
        best, at, visited = _search(X, i, C, shape, squared[i], nearest[i], -1.0, nodes, distances)
        squared[i] = best
        nearest[i] = at
        allowed -= visited
        if allowed < 0:
            return False
    return True


@jit()
def cover_by_tree(X: Any, rows: Any, C: Any, shape: Any, floor: float, allowed: int) -> float:
    """Largest squared distance of some rows, at least ``floor``; -1 where that takes too long."""
    nodes = np.empty(64, np.int64)
    distances = np.empty(64)
    for i in rows:
        best, _, visited = _search(X, i, C, shape, np.inf, -1, floor, nodes, distances)
        floor = max(floor, best)
        allowed -= visited
        if allowed < 0:
            return -1.0
    return floor


@jit()
def traverse_tree(
    X: Any, shape: Any, bounds: Any, nearest: Any, first: int, stop: float, found: Any
) -> tuple[int, int]:
    """Farthest-first traversal; a pick goes down to the leaves that it may be nearer to.

    ``X``, the bounds' ``squared`` and ``nearest`` are in the order of the tree.
    """
    order, low, high, starts, stops = shape
    squared, largest, farthest = bounds
    picks, radii = found
    leaves = len(starts) // 2
    nodes = np.empty(128, np.int64)
    visited = 0
    count = 0
    while count < len(picks) and largest[0] > stop:
        pick = farthest[0]
        x = X[pick].astype(np.float64)
        picks[count] = order[pick]
        radii[count] = largest[0]
        nodes[0] = 0
        waiting = 1
        while waiting > 0:
            waiting -= 1
            node = nodes[waiting]
            if node < 0:
                _join(~node, order, largest, farthest)
                continue
            visited += 1
            if _box_distance(low, high, node, x) > largest[node] * SAFE:
                continue
            if node < leaves:
                # the node's own turn comes again after its children's
                nodes[waiting] = ~node
                nodes[waiting + 1] = 2 * node + 1
                nodes[waiting + 2] = 2 * node + 2
                waiting += 3
                continue
            for p in range(starts[node], stops[node]):
                if rough_distance(X, p, X, pick) > squared[p] * SAFE:
                    continue
                value = squared_distance(X, p, X, pick)
                if value < squared[p]:
                    squared[p] = value
                    nearest[p] = first + count
            visited += stops[node] - starts[node]
            crown(node, shape, bounds)
        count += 1
    return count, visited


@jit()
def crown(node: int, shape: Any, bounds: Any) -> None:
    """The largest squared distance in a leaf; of equals the lowest row."""
    order, _, _, starts, stops = shape
    squared, largest, farthest = bounds
    at = starts[node]
    for p in range(starts[node], stops[node]):
        if squared[p] > squared[at] or (squared[p] == squared[at] and order[p] < order[at]):
            at = p
    largest[node] = squared[at]
    farthest[node] = at


@jit()
def _join(node: int, order: Any, largest: Any, farthest: Any) -> None:
    """The larger of the two children's."""
    a, b = 2 * node + 1, 2 * node + 2
    if largest[b] > largest[a] or (
        largest[b] == largest[a] and order[farthest[b]] < order[farthest[a]]
    ):
        a = b
    largest[node] = largest[a]
    farthest[node] = farthest[a]


@jit()
def crown_all(shape: Any, bounds: Any) -> None:
    """All nodes' largest squared distances, from the leaves up."""
    order, _, _, starts, _ = shape
    _, largest, farthest = bounds
    for node in range(len(starts) - 1, -1, -1):
        if node < len(starts) // 2:
            _join(node, order, largest, farthest)
        else:
            crown(node, shape, bounds)
