"""k-center in two rounds, cut by radius, with a repair.

Each block runs a resumable farthest-first traversal and reports its insertion radii alone; the
coordinator cuts at a common radius, and blocks that fall short of it extend. The rows above the
cut are merged by a second traversal. One exact pass then tells every row's distance, and the
centers that were kept back go to the worst rows.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.kernels.composable import common_cut, first_picks, stood_for, traversed
from dask_distill.kernels.distances import Features
from dask_distill.kernels.dominating import refined_centers
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.frontier import nearest_of_separated, settled
from dask_distill.kernels.masses import counted
from dask_distill.kernels.nearest import nearest_center, update_squared_distances
from dask_distill.kernels.outliers import centers_with_outliers
from dask_distill.kernels.ranking import add_histograms
from dask_distill.strategies.parts.exact_rounds import First, candidates
from dask_distill.strategies.parts.held import Aim, Floats, Held, OrderedCenters, Pool, Rows
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import Inquiry, SideBySide
from dask_distill.strategies.parts.stepwise import RowChoice

# candidates for each center, and the part of the centers that is kept for the worst rows
OVERSAMPLING = 1.9
_REPAIR = 0.15
_WORST = 1.5  # rows fetched for each of those centers
_GROWTH = 1.5
# from here on candidates are merged where they lie: a traversal of as many takes a minute
SPREAD_ROWS = 250_000
# a coreset whose pairs of rows one process can hold
MOST_WITH_OUTLIERS = 10_000
# candidates among which a search for better centers goes on, and the centers kept back for rows
# that were none
MOST_REFINED = 20_000
_REPAIR_REFINED = 0.1


@dataclass(frozen=True, kw_only=True)
class Covering:
    """What k-center is after: ``size`` centers, all rows but ``outliers`` near one."""

    size: int
    n: int
    outliers: int = 0
    exact: bool = False
    # centers that are there before: no row of the result, but rows near them are covered
    initial: int = 0
    # squared distance within which rows are one point
    same: float = 0.0
    # passes of a search for better centers
    refine: int = 0

    @property
    def total(self) -> int:
        """Centers in the end, those included that were there before."""
        return self.initial + self.size

    @property
    def picks(self) -> int:
        """Of the merge: all but those for the worst rows."""
        part = _REPAIR
        if self.refine:
            part = _REPAIR_REFINED if self.n > MOST_REFINED else 0.0
        kept_back = 0 if self.exact or self.outliers else int(part * self.size)
        return self.initial + max(1, self.size - kept_back)

    def after(self, chosen: OrderedCenters, rounds: int, moved: int) -> "Cover":
        """Measure."""
        return Cover(self, chosen, rounds, moved)


@dataclass(frozen=True)
class Radii(SideBySide):
    """By block: squared insertion radii, and whether it has no distinct row left."""

    blocks: dict[int, tuple[Floats, bool]] = field(default_factory=dict)

    def followed_by(self, more: "Radii") -> "Radii":
        """What was told before, and what is new."""
        both = dict(self.blocks)
        for number, (fresh, exhausted) in more.blocks.items():
            before = both[number][0] if number in both else fresh[:0]
            both[number] = (np.concatenate([before, fresh]), exhausted)
        return Radii(both)


@dataclass(frozen=True, kw_only=True)
class Traverse:
    """Extend your own traversal to so many picks, and tell the radii."""

    aim: Aim
    space: MetricSpace
    candidates: int
    targets: dict[int, int]
    told: Radii = field(default_factory=Radii)
    initial: Pool | None = None

    @classmethod
    def begin(
        cls,
        aim: Aim,
        space: MetricSpace,
        candidates: int,
        block_counts: Rows,
        initial: Pool | None = None,
    ) -> "Traverse":
        """Every block begins with its share of the centers, and a little more."""
        each = 0.6 * candidates / int(block_counts.sum())
        targets = {
            number: first_picks(rows, each)
            for number, rows in enumerate(block_counts.tolist())
            if rows
        }
        return cls(aim=aim, space=space, candidates=candidates, targets=targets, initial=initial)

    def observe(self, state: Block | Held) -> Held:
        """Go on from the last pick."""
        state = Held.taken(state, self.space)
        target = self.targets.get(state.number, 0)
        if target == 0:
            return state
        centers = None if self.initial is None else self.initial.X
        traversal = traversed(state.X, target, before=state.traversal, centers=centers)
        return replace(state, traversal=traversal)

    def answer(self, state: Held) -> Radii:
        """What is new of this block."""
        if state.traversal is None:
            return Radii({state.number: (np.empty(0), True)})
        known = len(self.told.blocks.get(state.number, (np.empty(0), False))[0])
        fresh = state.traversal.squared_radii[known:].copy()
        return Radii({state.number: (fresh, state.traversal.exhausted)})

    def advance(self, answer: Radii) -> Any:
        """Cut at the radius that as many picks exceed as candidates are wanted."""
        told = self.told.followed_by(answer)
        every = np.concatenate([radii for radii, _ in told.blocks.values()])
        cut = common_cut([every], self.candidates, self.aim.same)
        targets = {
            number: int(np.ceil(_GROWTH * len(radii))) + 8
            for number, (radii, exhausted) in told.blocks.items()
            if not exhausted and radii[-1] > cut
        }
        if targets:
            return replace(self, targets=targets, told=told)
        above = int((every > cut).sum())
        if above > SPREAD_ROWS:
            return First(self.aim, cut, initial=self.initial)
        return OfferPicks(self.aim, cut, self.initial)


@dataclass(frozen=True)
class OfferPicks(Inquiry):
    """Send the rows that your traversal picked at a squared radius above the cut."""

    aim: Aim
    cut: float
    initial: Pool | None = None

    def answer(self, state: Held) -> Pool:
        """The candidates; with outliers, and the rows that each stands for."""
        picks = candidates(state, self.cut)
        weights = np.ones(len(picks))
        if isinstance(self.aim, Covering) and self.aim.outliers and len(picks):
            weights, _ = stood_for(state.X, state.X[picks])
        return Pool(state.rows[picks], state.X[picks], weights)

    def advance(self, answer: Pool) -> Any:
        """Traverse the candidates, or choose among them with their weights."""
        pool = answer.sorted()
        aim = self.aim
        if isinstance(aim, Covering) and aim.outliers:
            picks, radius = centers_with_outliers(pool.X, pool.squared, aim.size, aim.outliers)
            if aim.same and len(picks):
                apart = FarthestFirst(pool.X[picks])
                apart.extend(len(picks), stop_squared=aim.same)
                picks = picks[np.sort(apart.indices)]
            radii = np.full(len(picks), radius**2)
            chosen = OrderedCenters(pool.rows[picks], radii, pool.X[picks])
        else:
            known, before = self.initial, 0 if self.initial is None else len(self.initial.rows)
            centers = None if known is None else known.X
            traversal = traversed(
                pool.X, aim.picks - before, centers=centers, stop_squared=aim.same
            )
            chosen = OrderedCenters().plus(pool, traversal)
            if isinstance(aim, Covering) and aim.refine:
                chosen = _refined(pool, traversal, centers, aim)
            if known is not None:
                chosen = OrderedCenters.before(known).joined(chosen)
        return self.aim.after(chosen, 1, len(pool.rows))


def _refined(
    pool: Pool, traversal: FarthestFirst, known: Features | None, aim: Covering
) -> OrderedCenters:
    """As many centers as a traversal's that cover the candidates within less."""
    squared = None if known is None else nearest_center(pool.X, known)[1]
    picks, radius = refined_centers(
        pool.X, traversal.indices, aim.refine, squared=squared, same=aim.same
    )
    return OrderedCenters(pool.rows[picks], np.full(len(picks), radius**2), pool.X[picks])


@dataclass(frozen=True)
class Followers:
    """How many rows are nearest to a center: only of centers that have any.

    A block knows few of very many centers: their numbers and counts are far less than one number
    for each center there is.

    Attributes
    ----------
    centers : (p,) int array, ascending
    counts : (p,) int array
        Both of 32 bits where they fit.
    """

    centers: npt.NDArray[np.integer] = field(default_factory=lambda: np.empty(0, np.int32))
    counts: npt.NDArray[np.integer] = field(default_factory=lambda: np.empty(0, np.int32))

    @classmethod
    def of(cls, nearest: Rows, mass: Floats | None = None) -> Self:
        """Of each row's nearest center, and what the rows stand for."""
        centers, place = np.unique(nearest, return_inverse=True)
        return cls(_narrow(centers), _narrow(counted(place, len(centers), mass)))

    def merge(self, other: "Followers") -> "Followers":
        """Add up."""
        centers, counts = add_histograms((self.centers, self.counts), (other.centers, other.counts))
        return Followers(centers, _narrow(counts))

    def dense(self, centers: int) -> Rows:
        """Of each center."""
        every = np.zeros(centers, np.int64)
        every[self.centers] = self.counts
        return every


def _narrow(values: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """Integers in 32 bits, where they fit."""
    fit = values.max(initial=0) <= np.iinfo(np.int32).max
    return values.astype(np.int32 if fit else np.int64, copy=False)


@dataclass(frozen=True)
class Distances(SideBySide):
    """Of each block the largest squared distances, descending; of each center its rows.

    ``largest`` holds by block the values, and whether there are others. ``followers`` are told
    when no center is missing.
    """

    largest: dict[int, tuple[Floats, bool]]
    followers: Followers

    def every(self) -> Floats:
        """All values told."""
        return np.concatenate([values for values, _ in self.largest.values()])

    def floor(self) -> float:
        """Below this, the list is not complete."""
        cut = [values[-1] for values, others in self.largest.values() if others]
        return float(max(cut, default=0.0))


@dataclass(frozen=True)
class Cover:
    """Bring your rows' distances up to date with the new centers, and tell the largest."""

    aim: Covering
    chosen: OrderedCenters
    rounds: int = 0
    moved: int = 0

    def observe(self, state: Held) -> Held:
        """Exactly, for every row."""
        fresh = self.chosen.fresh
        if state.squared is None or state.nearest is None:
            nearest, squared = self._first(state)
            # the traversals have done their work: let them go
            return replace(
                state, traversal=None, front=None, front_rows=None, nearest=nearest, squared=squared
            )
        # a center was picked at its radius from all before it
        radius = float(self.chosen.squared_radii[self.chosen.known :].min(initial=np.inf))
        open_ = np.flatnonzero(state.squared > settled(radius))
        nearest, squared = state.nearest[open_], state.squared[open_]
        known = self.chosen.known
        update_squared_distances(state.X[open_], squared, fresh, nearest=nearest, first=known)
        every, bounds = state.nearest.copy(), state.squared.copy()
        every[open_], bounds[open_] = nearest, squared
        return replace(state, nearest=every, squared=bounds)

    def _first(self, state: Held) -> tuple[Rows, Floats]:
        """Each row's nearest center and its squared distance."""
        # centers that were chosen otherwise may lie close together
        otherwise = self.aim.outliers or self.aim.initial or self.aim.refine
        separation = 0.0 if otherwise else float(self.chosen.squared_radii.min())
        front = state.front
        if front is None:
            return nearest_of_separated(state.X, self.chosen.fresh, separation)
        front = front.push(self.chosen.fresh)
        if len(front.squared) < len(state.rows):
            return nearest_of_separated(state.X, front.centers, separation)
        front = front.finish(settled(separation))
        return front.nearest, front.squared

    def answer(self, state: Held) -> Distances:
        """The largest distances in proportion to the block; all outliers may lie in one."""
        nearest, squared = state.assigned
        complete = len(self.chosen) == self.aim.total
        followers = Followers.of(nearest, state.mass) if complete else Followers()
        share = int(8 * _REPAIR * self.aim.size * len(state.rows) / self.aim.n)
        take = min(len(state.rows), max(16 + share, self.aim.outliers + 1))
        place = len(state.rows) - take
        largest = np.sort(np.partition(squared, place)[place:] if take else squared)
        return Distances({state.number: (largest[::-1], place > 0)}, followers)

    def advance(self, answer: Distances) -> Any:
        """Ask for the worst rows while centers are left; then the choice is made."""
        missing = self.aim.total - len(self.chosen)
        if missing == 0:
            return _choice(self, answer)
        every = answer.every()
        largest = float(every.max())
        if largest <= self.aim.same:
            others = " beside those set apart," if self.aim.initial else ""
            why = ", since multiples of a row are one point by cosine" if self.aim.same else ""
            raise InputError(
                f"size must be at most the number of distinct rows{others} "
                f"{len(self.chosen) - self.aim.initial}{why}, got {self.aim.size}; lower it"
            )
        place = len(every) - min(len(every) - 1, int(_WORST * missing)) - 1
        threshold = max(float(np.partition(every, place)[place]), answer.floor())
        # where very many are equally far, the worst rows must be more than none
        # the blocks know all centers by now
        known = replace(self, chosen=replace(self.chosen, fresh=self.chosen.fresh[:0]))
        return Worst(known, min(threshold, float(np.nextafter(largest, 0))))


@dataclass(frozen=True)
class Worst(Inquiry):
    """Send the rows whose squared distance is above the threshold."""

    cover: Cover
    threshold: float

    def answer(self, state: Held) -> Pool:
        """The rows."""
        _, squared = state.assigned
        above = np.flatnonzero(squared > self.threshold)
        return Pool(state.rows[above], state.X[above], squared[above])

    def advance(self, answer: Pool) -> Cover:
        """Continue the traversal among them, until others may be worse."""
        cover, pool = self.cover, answer.sorted()
        traversal = FarthestFirst.resume(pool.X, pool.squared)
        missing = cover.aim.total - len(cover.chosen)
        traversal.extend(missing, stop_squared=max(self.threshold, cover.aim.same))
        chosen = cover.chosen.plus(pool, traversal)
        return Cover(cover.aim, chosen, cover.rounds + 1, cover.moved + len(pool.rows))


def _choice(cover: Cover, answer: Distances) -> RowChoice:
    """When all centers are measured: each weighs the rows nearest to it."""
    chosen, aim = cover.chosen, cover.aim
    radii = np.sqrt(chosen.squared_radii)
    # the first center was picked at no distance from others: show the largest there is
    largest = radii[np.isfinite(radii)].max(initial=0.0)
    radii = np.where(np.isfinite(radii), radii, largest).astype(np.float32)
    every = np.sort(answer.every())[::-1]
    name = "covering_radius_without_outliers" if aim.outliers else "covering_radius"
    told = {
        name: float(np.sqrt(every[min(aim.outliers, len(every) - 1)])),
        "pools": cover.rounds,
        "rows_moved": cover.moved,
    }
    if aim.initial:
        told["initial"] = aim.initial
    weights = answer.followers.dense(len(chosen)).astype(np.float64)
    new = slice(aim.initial, None)
    return RowChoice.of(chosen.rows[new], weights[new], {"insertion_radius": radii[new]}, told)
