"""Farthest-first traversal of some features: the triangle inequality, cell by cell.

A row's cell is that of its nearest pick. A fresh pick c can only be nearer to a row at distance
r from its pick p if c is within 2 r of p: between rounds, each cell lists the fresh picks within
twice its radius, nearest first, and its rows look at the beginning of that list. A round is a
lazy traversal of the rows with the largest distances.
"""

from types import ModuleType

import numpy as np

from dask_distill.kernels.distances import TILE, Floats, compiled
from dask_distill.kernels.lazy import BASE, LazyTraversal

# the pool of a round is this part of the rows
_ROUND = 32
# fewer fresh picks than this are multiplied with all rows
_FRESH = 128
# looking at a center by itself costs as much as so many products
_VISIT = 5
# room for the lists, in entries a row
_ENTRIES = 16


def _cell_loops() -> ModuleType | None:
    """The compiled loops over cells, or None: see `distances.compiled`."""
    if compiled() is None:
        return None
    from dask_distill.kernels import _compiled_cells

    return _compiled_cells


class CellTraversal(LazyTraversal):
    """A traversal whose rows are all brought up to date between rounds, cell by cell.

    Where the lists turn out to be long, as for points without clusters, it goes on lazily.
    """

    _apart: bool = False

    def extend(self, most: int, stop: float) -> None:
        """Up to ``most`` more picks, while the largest squared distance exceeds ``stop``."""
        target = len(self.indices) + most
        with_cells = _cell_loops() is not None
        while with_cells and not self._apart and len(self.indices) < target:
            before = len(self.indices)
            self._round(target - before, stop)
            if len(self.indices) == before:
                return
        if len(self.indices) < target:
            super().extend(target - len(self.indices), stop)

    def _round(self, most: int, stop: float) -> None:
        """Pick among the rows with the largest distances."""
        squared = self.catch_up()
        place = len(squared) - min(len(squared), max(BASE, len(squared) // _ROUND))
        threshold = max(float(np.partition(squared, place)[place]), stop)
        pool = np.flatnonzero(squared > threshold)
        if len(pool) == 0:
            # very many rows are equally far, or none is left
            pool = np.flatnonzero(squared == threshold)[:BASE]
            threshold = max(stop, float(np.nextafter(threshold, -1)))
        # a row keeps its old cell, to which the lists of fresh picks belong
        kept = squared[pool], self.nearest[pool], self._seen[pool]
        self._prepare()
        self._solve(pool, threshold, most)
        self._squared[pool], self.nearest[pool], self._seen[pool] = kept
        self._scratch = None

    def catch_up(self) -> Floats:
        """Every row's squared distance to the picks: (n,) float64 array, not a copy."""
        loops, before = _cell_loops(), int(self._seen[0])
        if loops is None or len(self.indices) - before < _FRESH or (self._seen != before).any():
            return super().catch_up()
        self._prepare()
        _, centers, _ = self._tools
        lists = self._lists(loops, before)
        if lists is None:
            self._apart = True
            return super().catch_up()
        visits = loops.lower_by_cells(
            self._X, centers.X, *lists, before, self._squared, self.nearest
        )
        self.pairs += visits
        self._apart = visits * _VISIT > len(self._X) * (len(self.indices) - before)
        self._seen[:] = len(self.indices)
        self._scratch = None
        return self._squared

    def _lists(self, loops: ModuleType, before: int) -> tuple[object, ...] | None:
        """The fresh picks near each old one's cell; None where there are too many."""
        rows, known, scratch = self._tools
        count = len(self.indices)
        radii = np.empty(before)
        loops.cell_radii(self._squared, self.nearest, radii)
        room = _ENTRIES * len(self._X)
        cells, centers = np.empty(room, np.int32), np.empty(room, np.int32)
        bounds = np.empty(room)
        unit, entries = rows.filter.unit, 0
        limits = known.limits
        for old in range(0, before, TILE):
            copies = scratch.gather(rows, self.indices[old : min(old + TILE, before)])
            for fresh in range(before, count, TILE):
                S = scratch.product(copies, known.copies[fresh : min(fresh + TILE, count)])
                entries = loops.neighbors(
                    S, limits, radii, unit, old, fresh, cells, centers, bounds, entries
                )
                if entries < 0:
                    return None
        self.pairs += before * (count - before)
        starts = np.empty(before + 1, np.int64)
        by_center, by_bound = loops.arrange(
            cells[:entries], centers[:entries], bounds[:entries], starts
        )
        return starts, by_center, by_bound
