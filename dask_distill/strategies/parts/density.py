"""DBSCAN over blocks, exactly: what cells cannot tell by their counts, rows are sent for.

Cells with enough rows are dense whatever their rows; of the others, the rows that may be dense
are counted around by every block. Dense cells hang together where representatives are near, and
where those leave it open, all their rows decide. Rows near dense cells are labelled by the lowest
cluster within reach, as scikit-learn does.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.kernels.density import DisjointSets, count_within, lowest_within
from dask_distill.kernels.grid import CellTable, cells_of, unique_cells
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.parts.density_rows import Density, Gridded, Projection, Sent
from dask_distill.strategies.parts.steps import Inquiry

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# what may come to the coordinator at once
MOST_CELLS = 5_000_000
MOST_ROWS = 1_000_000
# of each dense cell, to see whether it hangs together with the next
_REPRESENTATIVES = 8
_NOBODY = 2**62


@dataclass(frozen=True)
class CellCounts:
    """Distinct cells with their rows."""

    cells: Ints
    counts: Ints

    def merge(self, other: "CellCounts") -> "CellCounts":
        """Counts add up."""
        both = np.concatenate([self.cells, other.cells])
        counts = np.concatenate([self.counts, other.counts])
        return CellCounts(*unique_cells(both, counts)[:2])


@dataclass(frozen=True)
class Grid:
    """How many of your rows are in each cell?"""

    aim: Density
    projection: Projection

    def observe(self, block: Block) -> Gridded:
        """Project, and cut into cells."""
        Z = self.projection(block.X)
        with np.errstate(over="ignore"):
            far = float(np.abs(Z).max(initial=0)) / self.aim.eps
        if not far < 2.0**50:
            raise InputError(
                f"eps must not be so small beside the features, got {self.aim.eps:.6g} with rows "
                f"{far:.3g} times as far from the middle; raise it, or scale the features"
            )
        cells, _, place = unique_cells(cells_of(Z, self.aim.eps))
        return Gridded(
            number=block.number,
            rows=block.rows,
            codes=block.codes,
            Z=Z,
            cells=cells,
            place=place,
            mass=block.mass,
        )

    def answer(self, state: Gridded) -> CellCounts:
        """Of this block."""
        counts = np.bincount(state.place, minlength=len(state.cells)).astype(np.int64)
        return CellCounts(state.cells, counts)

    def advance(self, answer: CellCounts) -> Any:
        """Cells with enough rows are dense; those whose surroundings have too few are not."""
        self.aim.refuse("cells", len(answer.cells), MOST_CELLS)
        try:
            table = CellTable.of(answer.cells)
        except OverflowError:
            self.aim.refuse("cells", 2**62, MOST_CELLS)
            raise
        around = answer.counts.copy()
        for left, right in table.neighbors():
            # no cell is twice on the same side of one step
            around[left] += answer.counts[right]
            around[right] += answer.counts[left]
        dense = answer.counts >= self.aim.min_samples
        open_ = ~dense & (around >= self.aim.min_samples)
        self.aim.refuse("rows in doubt", int(answer.counts[open_].sum()), MOST_ROWS)
        return Doubt(self.aim, table, answer.counts, dense, open_)


@dataclass(frozen=True)
class Doubt:
    """Send your rows in cells that may be dense in part."""

    aim: Density
    table: CellTable
    counts: Ints
    dense: npt.NDArray[np.bool_]
    open_: npt.NDArray[np.bool_]

    def observe(self, state: Gridded) -> Gridded:
        """Know the cells by their place in the table."""
        return replace(state, place=self.table.place(state.cells)[state.place])

    def answer(self, state: Gridded) -> Sent:
        """The rows."""
        return Sent.of(state, self.open_[state.place])

    def advance(self, answer: Sent) -> "CountNeighbors":
        """Ask everybody."""
        return CountNeighbors(self, answer)


@dataclass(frozen=True)
class Neighbors:
    """(q,) numbers of neighbours, up to what is enough, in as few bytes as hold twice that."""

    counts: npt.NDArray[np.unsignedinteger]
    enough: int

    def merge(self, other: "Neighbors") -> "Neighbors":
        """They add up, to what is enough."""
        return Neighbors(np.minimum(self.counts + other.counts, self.enough), self.enough)


@dataclass(frozen=True)
class CountNeighbors(Inquiry):
    """How many of your rows are within eps of each of these?"""

    last: Doubt
    sent: Sent

    def answer(self, state: Gridded) -> Neighbors:
        """By a tree of this block."""
        enough = self.last.aim.min_samples
        counts = np.minimum(count_within(state.Z, self.sent.Z, self.last.aim.eps), enough)
        return Neighbors(counts.astype(np.min_scalar_type(2 * enough)), enough)

    def advance(self, answer: Neighbors) -> "Core":
        """Who has enough is dense."""
        enough = answer.counts >= answer.enough
        last = self.last
        return Core(last.aim, last.table, last.counts, last.dense, np.sort(self.sent.rows[enough]))


@dataclass(frozen=True)
class CoreCells:
    """Cells with dense rows: how many, the first of them, and some representatives."""

    cells: Ints
    counts: Ints
    first: Ints
    some: Sent

    def merge(self, other: "CoreCells") -> "CoreCells":
        """Counts add up, the first row stays, and so many representatives of lowest hash."""
        both = np.concatenate([self.cells, other.cells])
        cells, place = np.unique(both, return_inverse=True)
        counts, first = np.zeros(len(cells), np.int64), np.full(len(cells), _NOBODY)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        np.minimum.at(first, place, np.concatenate([self.first, other.first]))
        return CoreCells(cells, counts, first, fewest(self.some.merge(other.some)))


def fewest(sent: Sent) -> Sent:
    """Of each cell the rows of lowest hash."""
    order = np.lexsort((sent.rows, row_hash(sent.rows, 0, stream=Stream.DENSITY), sent.place))
    grouped = sent.place[order]
    starts = np.flatnonzero(np.diff(grouped, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    kept = order[rank < _REPRESENTATIVES]
    return Sent(sent.rows[kept], sent.Z[kept], sent.place[kept])


@dataclass(frozen=True)
class Core:
    """Which cells have dense rows of yours?"""

    aim: Density
    table: CellTable
    counts: Ints
    dense: npt.NDArray[np.bool_]
    rows: Ints

    def observe(self, state: Gridded) -> Gridded:
        """Know which rows are dense."""
        core = self.dense[state.place] | np.isin(state.rows, self.rows)
        return replace(state, core=core)

    def answer(self, state: Gridded) -> CoreCells:
        """Of this block."""
        sent = Sent.of(state, state.core)
        alone = CoreCells(sent.place, np.ones(len(sent.rows), np.int64), sent.rows, sent)
        none = Sent.of(state, np.zeros(len(state.rows), bool))
        return alone.merge(CoreCells(sent.place[:0], sent.rows[:0], sent.rows[:0], none))

    def advance(self, answer: CoreCells) -> Any:
        """Join cells by their representatives; where those leave it open, ask for all rows."""
        cells = len(self.counts)
        core_rows, first = np.zeros(cells, np.int64), np.full(cells, _NOBODY)
        core_rows[answer.cells], first[answer.cells] = answer.counts, answer.first
        some = fewest(answer.some)
        starts = np.searchsorted(some.place, np.arange(cells + 1))
        groups = DisjointSets(cells)
        near_core = core_rows > 0
        left = right = np.empty(0, np.int64)
        for one, other in self.table.neighbors():
            near_core[one] |= core_rows[other] > 0
            near_core[other] |= core_rows[one] > 0
            both = (core_rows[one] > 0) & (core_rows[other] > 0)
            one, other = one[both], other[both]
            groups.join_near(one, other, some.Z, starts, self.aim.eps)
            # where all rows are representatives, they have said all there is
            more = np.maximum(core_rows[one], core_rows[other]) > _REPRESENTATIVES
            left, right = np.append(left, one[more]), np.append(right, other[more])
            # pairs there are by the hundred a cell, but few stay apart
            apart = groups.of[left] != groups.of[right]
            left, right = left[apart], right[apart]
        found = CellFacts(self.aim, self.counts, core_rows, first, near_core)
        if not len(left):
            return found.borders(groups)
        open_ = np.zeros(cells, bool)
        open_[left] = open_[right] = True
        self.aim.refuse("rows between groups", int(core_rows[open_].sum()), MOST_ROWS)
        return Resolve(found, open_, groups.of, left, right)


@dataclass(frozen=True)
class CellFacts:
    """What the coordinator knows of the cells."""

    aim: Density
    counts: Ints
    core_rows: Ints
    first: Ints
    near_core: npt.NDArray[np.bool_]

    def borders(self, groups: DisjointSets) -> "Border":
        """Number the groups by their first row, and ask who is near them."""
        core = self.core_rows > 0
        _, members = np.unique(groups.of[core], return_inverse=True)
        first = np.full(members.max(initial=-1) + 1, _NOBODY)
        np.minimum.at(first, members, self.first[core])
        number = np.empty(len(first), np.int64)
        number[np.argsort(first)] = np.arange(len(first))
        labels = np.full(len(core), -1)
        labels[core] = number[members]
        near = int((self.counts - self.core_rows)[self.near_core].sum())
        self.aim.refuse("rows at the border of groups", near, MOST_ROWS)
        return Border(self.aim, labels, len(first), self.near_core)


@dataclass(frozen=True)
class Resolve(Inquiry):
    """Send all your dense rows of these cells."""

    found: CellFacts
    open_: npt.NDArray[np.bool_]
    groups: Ints
    left: Ints
    right: Ints

    def answer(self, state: Gridded) -> Sent:
        """The rows."""
        return Sent.of(state, state.core & self.open_[state.place])

    def advance(self, answer: Sent) -> "Border":
        """Look at all of them."""
        order = np.argsort(answer.place, kind="stable")
        cells, starts = np.unique(answer.place[order], return_index=True)
        parts = np.split(answer.Z[order], starts[1:])
        rows = dict(zip(cells.tolist(), parts, strict=True))
        groups = DisjointSets(0)
        groups.of = self.groups.copy()
        pairs = zip(self.left.tolist(), self.right.tolist(), strict=True)
        groups.join_exactly(pairs, rows, self.found.aim.eps)
        return self.found.borders(groups)


@dataclass(frozen=True)
class Border(Inquiry):
    """Send your rows that are not dense, but may be near dense ones."""

    aim: Density
    labels: Ints
    clusters: int
    near_core: npt.NDArray[np.bool_]

    def answer(self, state: Gridded) -> Sent:
        """The rows."""
        return Sent.of(state, ~state.core & self.near_core[state.place])

    def advance(self, answer: Sent) -> "Reach":
        """Ask everybody."""
        return Reach(self, answer)


@dataclass(frozen=True)
class Lowest:
    """(q,) lowest cluster within reach, or their number, in as few bytes as hold that."""

    labels: npt.NDArray[np.unsignedinteger]

    def merge(self, other: "Lowest") -> "Lowest":
        """The lower one."""
        return Lowest(np.minimum(self.labels, other.labels))


@dataclass(frozen=True)
class Reach(Inquiry):
    """Which is the first cluster with a dense row of yours within eps of each of these?"""

    last: Border
    sent: Sent

    def answer(self, state: Gridded) -> Lowest:
        """By a tree of this block's dense rows."""
        labels = self.last.labels[state.place[state.core]]
        eps = self.last.aim.eps
        none = self.last.clusters
        lowest = lowest_within(state.Z[state.core], labels, self.sent.Z, eps, none)
        return Lowest(lowest.astype(np.min_scalar_type(none)))

    def advance(self, answer: Lowest) -> Any:
        """All rows can be labelled."""
        hit = answer.labels < self.last.clusters
        rows, labels = self.sent.rows[hit], answer.labels[hit].astype(np.int64)
        order = np.argsort(rows)
        last = self.last
        return last.aim.finish(last.aim, last.labels, last.clusters, rows[order], labels[order])
