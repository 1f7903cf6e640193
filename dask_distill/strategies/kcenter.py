"""`kcenter`: rows such that every row has a selected one near it, in two rounds and a repair.

Round one: each block runs a resumable farthest-first traversal and reports insertion radii
alone; the coordinator cuts at a common radius, and blocks that fall short of it extend. Round
two: the rows above the cut meet, and a traversal of them gives most of the centers. Then one
exact pass tells every row's distance, and the remaining centers go to the worst rows.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.block import Block
from dask_distill.conversation import Final, Selection
from dask_distill.errors import InputError
from dask_distill.kernels.farthest_first import (
    FarthestFirst,
    nearest_center,
    update_squared_distances,
)
from dask_distill.strategies.base import Footprint, Strategy
from dask_distill.strategies.space import Space
from dask_distill.survey import Schema

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# candidates for each center, and the part of the centers that is kept for the worst rows
_OVERSAMPLING = 2.0
_REPAIR = 0.1
_GROWTH = 1.5


@dataclass(frozen=True)
class Traversed:
    """A block's memory: its rows in the metric space, its traversal, later its distances."""

    number: int
    rows: Rows
    X: npt.NDArray[np.floating]
    codes: npt.NDArray[np.int32] | None
    traversal: FarthestFirst | None
    nearest: Rows | None = None
    squared: Floats | None = None


@dataclass(frozen=True)
class Centers:
    """Chosen rows, in the order of choice, with the squared radius at which each was picked."""

    rows: Rows
    X: npt.NDArray[np.floating]
    squared_radii: Floats

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Traverse:
    """Extend your traversal to this many centers, and tell the radii."""

    space: Space
    size: int
    n: int
    targets: dict[int, int]
    radii: dict[int, tuple[Floats, bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class Offer:
    """Send the rows that were picked at a squared radius above the cut."""

    size: int
    n: int
    cut: float


@dataclass(frozen=True)
class Cover:
    """Bring your rows' distances up to date with the new centers, and tell the largest."""

    size: int
    n: int
    centers: Centers
    fresh: int
    report: float


@dataclass(frozen=True)
class Worst:
    """Send the rows whose squared distance is above the threshold."""

    cover: Cover
    threshold: float


@dataclass(frozen=True)
class Pool:
    """Rows on their way to the coordinator."""

    rows: Rows
    X: npt.NDArray[np.floating]
    squared: Floats


@dataclass(frozen=True)
class Covered:
    """The largest squared distances of each block: values, whether rows were left out, counts."""

    largest: dict[int, tuple[Floats, bool]]
    counts: Rows


@dataclass(frozen=True)
class KCenterChoice(Final):
    """Centers in ascending row order, the rows nearest to each, and the covering radius."""

    rows: Rows
    counts: Rows
    insertion_radii: npt.NDArray[np.float32]
    radius: float


@dataclass(frozen=True)
class KCenter(Strategy):
    """k-center: no row is far from a selected one.

    For coverage, near-duplicates and rare patterns; not for accuracy at small fractions, where
    the subset is all outskirts. Each center weighs the rows that are nearest to it.

    Parameters
    ----------
    metric : "euclidean" or "cosine"
        Cosine is the Euclidean distance of rows brought to length 1.
    scale : "none" or "standard"
        Whether features count as they are, or each divided by its standard deviation.

    References
    ----------
    Gonzalez (1985), Clustering to minimize the maximum intercluster distance; Malkomes et al.
    (2015), Fast distributed k-center clustering with outliers on massive data; Sener, Savarese
    (2018), Active learning for convolutional neural networks: a core-set approach.
    """

    metric: str = "euclidean"
    scale: str = "none"

    name: ClassVar[str] = "kcenter"

    def __post_init__(self) -> None:
        Space.check(self.metric, self.scale)

    def ask(self, schema: Schema, size: int, proxy: Any) -> Traverse:
        """Every block begins with its share of the centers."""
        counts = schema.block_counts
        targets = {
            number: min(int(rows), int(np.ceil(1.2 * size * rows / schema.n)) + 1)
            for number, rows in enumerate(counts.tolist())
            if rows
        }
        return Traverse(Space.of(self.metric, self.scale, schema), size, schema.n, targets)

    def observe(self, state: Block | Traversed, question: Any) -> Traversed:
        """Traverse further, or measure the new centers."""
        if isinstance(state, Block):
            X = question.space(state.X)
            traversal = FarthestFirst(X) if len(X) else None
            state = Traversed(state.number, state.rows, X, state.codes, traversal)
        if isinstance(question, Traverse) and state.traversal is not None:
            target = question.targets.get(state.number, 0)
            if target > len(state.traversal.indices):
                traversal = state.traversal.copy()
                traversal.extend(target)
                return replace(state, traversal=traversal)
        if isinstance(question, Cover):
            return _measure(state, question)
        return state

    def answer(self, state: Traversed, question: Any) -> Any:
        """Radii, candidates, largest distances or the worst rows, as asked."""
        if isinstance(question, Traverse):
            return _radii(state, question)
        if isinstance(question, Offer):
            return _candidates(state, question)
        if isinstance(question, Cover):
            return _largest(state, question)
        assert state.squared is not None
        above = np.flatnonzero(state.squared > question.threshold)
        return Pool(state.rows[above], state.X[above], state.squared[above])

    def combine(self, left: Any, right: Any) -> Any:
        """Reports side by side, counts added."""
        if isinstance(left, Pool):
            return Pool(
                np.concatenate([left.rows, right.rows]),
                np.concatenate([left.X, right.X]),
                np.concatenate([left.squared, right.squared]),
            )
        if isinstance(left, Covered):
            return Covered(left.largest | right.largest, left.counts + right.counts)
        return left | right

    def advance(self, question: Any, answer: Any) -> Any:
        """Extend, cut, merge, measure, repair, in this order."""
        if isinstance(question, Traverse):
            return _cut(question, answer)
        if isinstance(question, Offer):
            return _merge(question, answer)
        if isinstance(question, Cover):
            return _next_worst(question, answer)
        return _repair(question, answer)

    def choose(self, state: Traversed, choice: KCenterChoice) -> Selection:
        """The centers that lie in this block."""
        low, high = 0, 0
        if len(state.rows):
            low = int(np.searchsorted(choice.rows, state.rows[0]))
            high = int(np.searchsorted(choice.rows, state.rows[-1], side="right"))
        rows = choice.rows[low:high]
        codes = None
        if state.codes is not None:
            codes = state.codes[np.searchsorted(state.rows, rows)]
        return Selection(
            rows,
            choice.counts[low:high].astype(np.float64),
            codes,
            {"insertion_radius": choice.insertion_radii[low:high]},
        )

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks hold their rows and distances; twice the centers meet on the coordinator."""
        held = 2 * 4 * d + 40
        share = size / n * _OVERSAMPLING
        return Footprint(6, held, share * held, _OVERSAMPLING * size)


def _measure(state: Traversed, question: Cover) -> Traversed:
    """Distances to the nearest center, of all centers so far."""
    if state.squared is None or state.nearest is None:
        nearest, squared = nearest_center(state.X, question.centers.X)
        # the traversal has done its work: let its bounds go
        return replace(state, traversal=None, nearest=nearest, squared=squared)
    nearest, squared = state.nearest.copy(), state.squared.copy()
    fresh = question.centers.X[question.fresh :]
    update_squared_distances(state.X, squared, fresh, nearest=nearest, first=question.fresh)
    return replace(state, nearest=nearest, squared=squared)


def _radii(state: Traversed, question: Traverse) -> dict[int, tuple[Floats, bool]]:
    """This block's new squared radii, and whether it has no distinct row left."""
    if state.traversal is None:
        return {state.number: (np.empty(0), True)}
    known = len(question.radii[state.number][0]) if state.number in question.radii else 0
    return {state.number: (state.traversal.squared_radii[known:].copy(), state.traversal.exhausted)}


def _candidates(state: Traversed, question: Offer) -> Pool:
    """The rows above the cut; the first of each block is always one."""
    if state.traversal is None:
        return Pool(state.rows[:0], state.X[:0], np.empty(0))
    above = int((state.traversal.squared_radii > question.cut).sum())
    picks = np.sort(state.traversal.indices[:above])
    return Pool(state.rows[picks], state.X[picks], np.empty(0))


def _largest(state: Traversed, question: Cover) -> Covered:
    """The largest distances in proportion to the block, and how many rows each center has."""
    assert state.squared is not None
    assert state.nearest is not None
    counts = np.bincount(state.nearest, minlength=len(question.centers)).astype(np.int64)
    take = min(len(state.rows), 16 + int(question.report * len(state.rows) / question.n))
    if take == len(state.rows):
        return Covered({state.number: (np.sort(state.squared)[::-1], False)}, counts)
    top = np.partition(state.squared, len(state.squared) - take)[-take:]
    return Covered({state.number: (np.sort(top)[::-1], True)}, counts)


def _cut(question: Traverse, answer: dict[int, tuple[Floats, bool]]) -> Traverse | Offer:
    """The radius that twice as many picks as centers exceed; who falls short extends."""
    radii = dict(question.radii)
    for number, (fresh, exhausted) in answer.items():
        before = radii[number][0] if number in radii else np.empty(0)
        radii[number] = (np.concatenate([before, fresh]), exhausted)
    every = np.concatenate([values for values, _ in radii.values()])
    wanted = int(np.ceil(_OVERSAMPLING * question.size))
    cut = 0.0
    if len(every) > wanted:
        cut = float(np.partition(every, len(every) - wanted - 1)[len(every) - wanted - 1])
    targets = {
        number: int(np.ceil(_GROWTH * len(values))) + 8
        for number, (values, exhausted) in radii.items()
        if not exhausted and len(values) and values[-1] > cut
    }
    if targets:
        return replace(question, targets=targets, radii=radii)
    return Offer(question.size, question.n, cut)


def _merge(question: Offer, pool: Pool) -> Cover:
    """A traversal of the candidates: all centers but those that are kept for the repair."""
    order = np.argsort(pool.rows)
    rows, X = pool.rows[order], pool.X[order]
    first = max(1, question.size - int(_REPAIR * question.size))
    traversal = FarthestFirst(X)
    traversal.extend(min(first, len(rows)))
    picks = traversal.indices
    centers = Centers(rows[picks], X[picks], traversal.squared_radii.copy())
    return Cover(question.size, question.n, centers, 0, 8 * _REPAIR * question.size)


def _next_worst(question: Cover, answer: Covered) -> Worst | KCenterChoice:
    """Ask for the worst rows while centers are left; then the choice is made."""
    missing = question.size - len(question.centers)
    if missing == 0:
        return _choice(question.centers, answer)
    every = np.concatenate([values for values, _ in answer.largest.values()])
    hidden = [values[-1] for values, truncated in answer.largest.values() if truncated]
    wanted = min(len(every) - 1, 4 * missing)
    threshold = float(np.partition(every, len(every) - wanted - 1)[len(every) - wanted - 1])
    # below what a block has left out, the list is not complete
    threshold = max([threshold, *hidden])
    largest = float(every.max())
    if largest <= 0:
        raise InputError(
            f"size must be at most the number of distinct rows {len(question.centers)}, got "
            f"{question.size}; lower it"
        )
    # equal distances at the top: the worst rows must be more than none
    return Worst(question, min(threshold, float(np.nextafter(largest, 0))))


def _repair(question: Worst, pool: Pool) -> Cover:
    """Continue the traversal among the worst rows, until others may be worse."""
    cover = question.cover
    order = np.argsort(pool.rows)
    rows, X = pool.rows[order], pool.X[order]
    traversal = FarthestFirst.resume(X, pool.squared[order])
    traversal.extend(cover.size - len(cover.centers), stop_squared=question.threshold)
    picks = traversal.indices
    centers = Centers(
        np.concatenate([cover.centers.rows, rows[picks]]),
        np.concatenate([cover.centers.X, X[picks]]),
        np.concatenate([cover.centers.squared_radii, traversal.squared_radii]),
    )
    return replace(cover, centers=centers, fresh=len(cover.centers))


def _choice(centers: Centers, answer: Covered) -> KCenterChoice:
    order = np.argsort(centers.rows)
    radii = np.sqrt(centers.squared_radii)
    # the first center was picked at no distance from others: show the largest there is
    radii[0] = radii[1:].max(initial=0.0)
    radius = max(float(values[0]) for values, _ in answer.largest.values() if len(values))
    return KCenterChoice(
        centers.rows[order],
        answer.counts[order],
        radii[order].astype(np.float32),
        float(np.sqrt(radius)),
    )
