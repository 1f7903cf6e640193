"""A balanced tree of boxes over rows, and the traversal of few features that goes down it."""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from dask_distill.kernels.distances import Features, Floats, Rows, compiled
from dask_distill.kernels.lazy import LazyTraversal, Picks

# rows in a leaf: of centers to search, of rows to traverse
_CENTERS = 8
_ROWS = 16


def tree_loops() -> ModuleType | None:
    """The compiled loops over trees, or None: see `distances.compiled`."""
    if compiled() is None:
        return None
    from dask_distill.kernels import _compiled_trees

    return _compiled_trees


class Shape(NamedTuple):
    """A tree as the compiled loops take it: rows by leaves, and each node's box and rows.

    ``order`` is (n,), ``low`` and ``high`` (nodes, d), ``starts`` and ``stops`` (nodes,).
    """

    order: Rows
    low: Floats
    high: Floats
    starts: Rows
    stops: Rows


class Bounds(NamedTuple):
    """(n,) squared distances by leaves; each node's largest, and the lowest row that has it."""

    squared: Floats
    largest: Floats
    farthest: Rows


class Tree:
    """Rows in the order of a tree's leaves, and the boxes of its nodes.

    Parameters
    ----------
    X : (n, d) float array, n >= 1
    leaf : int
        Rows in a leaf, at most.

    Attributes
    ----------
    X : (n, d) float array
        In the order of the leaves.
    shape : Shape
    """

    def __init__(self, X: Features, leaf: int = _CENTERS) -> None:
        loops = _loops()
        depth = 0
        while len(X) > leaf << depth:
            depth += 1
        nodes = 2 ** (depth + 1) - 1
        self.order = np.arange(len(X))
        low, high = np.empty((nodes, X.shape[1])), np.empty((nodes, X.shape[1]))
        starts, stops = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
        self.shape = Shape(self.order, low, high, starts, stops)
        loops.grow(X, self.shape)
        self.X = X[self.order]

    def lower(self, X: Features, rows: Rows, squared: Floats, nearest: Rows, allowed: int) -> bool:
        """Lower some rows' distances in place; False, unfinished, above so many visits."""
        loops = _loops()
        return bool(loops.lower_by_tree(X, rows, self.X, self.shape, squared, nearest, allowed))

    def cover(self, X: Features, rows: Rows, floor: float, allowed: int) -> float | None:
        """Largest squared distance of some rows, at least ``floor``; None above the visits."""
        loops = _loops()
        largest = float(loops.cover_by_tree(X, rows, self.X, self.shape, floor, allowed))
        return None if largest < 0 else largest


def _loops() -> ModuleType:
    loops = tree_loops()
    if loops is None:
        raise RuntimeError("a tree needs numba's loops, got none")
    return loops


class TreeTraversal(LazyTraversal):
    """A traversal of few features: every pick goes down a tree, all distances are exact."""

    _tree: Tree | None = None

    def extend(self, most: int, stop: float) -> None:
        """Up to ``most`` more picks, while the largest squared distance exceeds ``stop``."""
        loops = tree_loops()
        if loops is None:
            super().extend(most, stop)
            return
        # picks may have been found without the tree
        super().catch_up()
        if self._tree is None:
            self._tree = Tree(self._X, _ROWS)
        tree, order = self._tree, self._tree.order
        nearest, nodes = self.nearest[order], len(tree.shape.starts)
        bounds = Bounds(self._squared[order], np.empty(nodes), np.empty(nodes, np.int64))
        loops.crown_all(tree.shape, bounds)
        found = Picks(np.empty(most, np.int64), np.empty(most))
        count, visited = loops.traverse_tree(
            tree.X, tree.shape, bounds, nearest, len(self.indices), stop, found
        )
        self._append(found.picks[:count], found.radii[:count])
        self._squared[order], self.nearest[order] = bounds.squared, nearest
        self._seen[:] = len(self.indices)
        self.pairs += visited

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_tree": None}
