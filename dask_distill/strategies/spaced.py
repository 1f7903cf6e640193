"""`spaced`: random rows, no two of them close in time."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.data.times import Span
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.masses import draw_keys
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.base import Footprint
from dask_distill.strategies.parts.steps import Inquiry, side_by_side
from dask_distill.strategies.parts.stepwise import RowChoice, Stepwise
from dask_distill.survey.schema import Schema


@dataclass(frozen=True, kw_only=True)
class StretchCandidates:
    """One row of each stretch of time, ascending: that of lowest hash which is not too near.

    Attributes
    ----------
    stretches : (s,) int64 array
    hashes : (s,) uint64 array
    rows : (s,) int64 array
    times : (s,) float64 array
    near : (s,) bool array
        Whether it is too near to a row that was chosen before; so are the others of its stretch.
    counts, masses : (s,) int64 arrays
        Rows of the stretch, and what they stand for.
    """

    stretches: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int64]
    times: npt.NDArray[np.float64]
    near: npt.NDArray[np.bool_]
    counts: npt.NDArray[np.int64]
    masses: npt.NDArray[np.int64]

    def merge(self, other: "StretchCandidates") -> "StretchCandidates":
        """Of both, those of lowest hash."""
        return side_by_side(self, other).lowest()

    def lowest(self) -> "StretchCandidates":
        """One for each stretch; of equal hashes the lowest row."""
        order = np.lexsort((self.rows, self.hashes, self.near, self.stretches))
        stretches, first, place = np.unique(
            self.stretches[order], return_index=True, return_inverse=True
        )
        counts, masses = np.zeros((2, len(stretches)), np.int64)
        np.add.at(counts, place, self.counts[order])
        np.add.at(masses, place, self.masses[order])
        kept = order[first]
        return StretchCandidates(
            stretches=stretches,
            hashes=self.hashes[kept],
            rows=self.rows[kept],
            times=self.times[kept],
            near=self.near[kept],
            counts=counts,
            masses=masses,
        )


@dataclass(frozen=True)
class OfferStretches(Inquiry):
    """Which row do you have of each stretch of time?

    ``taken`` are the times of rows that were chosen before, ascending.
    """

    size: int
    gap: float
    seed: int
    taken: npt.NDArray[np.float64]

    def answer(self, state: Block) -> StretchCandidates:
        """Stretches as long as the gap, counted from time 0."""
        alone = np.ones(len(state.rows), np.int64)
        hashes, masses = row_hash(state.rows, self.seed, stream=Stream.SPACED), alone
        if state.mass is not None:
            drawn = draw_keys(state.rows, self.seed, stream=Stream.SPACED, mass=state.mass)
            hashes, masses = drawn.astype(np.uint64), state.mass.astype(np.int64)
        return StretchCandidates(
            stretches=np.floor(state.times / self.gap).astype(np.int64),
            hashes=hashes,
            rows=state.rows,
            times=state.times,
            near=nearest_time(state.times, self.taken) < self.gap,
            counts=alone,
            masses=masses,
        ).lowest()

    def advance(self, answer: StretchCandidates) -> RowChoice:
        """Leave out what is too near to the one before it, and draw among the rest."""
        open_ = np.flatnonzero(~answer.near)
        kept = open_[spaced_positions(answer.times[open_], self.gap)]
        if len(kept) < self.size:
            beside = f" beside {len(self.taken):,} set apart" if len(self.taken) else ""
            raise InputError(
                f"size must be at most the {len(kept)} rows that are left when no two are closer "
                f"than min_gap={self.gap:g} (of {int(answer.counts.sum()):,}), got {self.size}"
                f"{beside}; lower one of them"
            )
        chosen = np.sort(kept[np.argsort(answer.hashes[kept], kind="stable")[: self.size]])
        # every row is stood for by the selected one that is nearest in time, stretch by stretch
        middles = (answer.times[chosen][1:] + answer.times[chosen][:-1]) / 2
        weights = np.bincount(
            np.searchsorted(middles, answer.times), answer.masses, minlength=len(chosen)
        ).astype(np.float64)
        told = {"rows_far_enough_apart": len(kept)}
        return RowChoice.of(answer.rows[chosen], weights, {}, told)


@dataclass(frozen=True)
class Spaced(Stepwise):
    """Random rows, no two closer in time than a gap.

    For series whose neighbours repeat each other: one row of each stretch of time, at random,
    less those that are too near to the one before; of these ``size`` at random. Where fewer are
    left than ``size``, that is an error, with their number. A row weighs the rows that are
    nearest to it in time, stretch by stretch; with sample weights, what these stand for. Labels are
    not looked at. Rows of ``protect`` and ``initial`` are there before: none is drawn too near to
    them; they may be near each other.

    Parameters
    ----------
    min_gap : float, text or timedelta
        In the unit of numbers as time; for dates in seconds, or e.g. "6h".
    """

    min_gap: float | str = ""

    name: ClassVar[str] = "spaced"
    when: ClassVar[str] = "rows of a series that do not repeat each other"
    grows: ClassVar[bool] = True
    needs_time: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_gap == "":
            raise InputError('strategy spaced needs min_gap, got none; e.g. min_gap="6h"')
        Span.of(self.min_gap, "min_gap")

    def check_time(self, dates: bool) -> None:
        """Hours need dates."""
        Span.of(self.min_gap, "min_gap").check("min_gap", dates)

    def ask(self, schema: Schema, size: int, proxy: Any) -> OfferStretches:
        """The one question."""
        taken = np.empty(0)
        if schema.chosen is not None and schema.chosen.time is not None:
            taken = np.sort(schema.chosen.time)
        return OfferStretches(size, Span.of(self.min_gap, "min_gap").length, schema.seed, taken)

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Candidates meet: as many as there are stretches, some times the size."""
        return Footprint(
            rounds=1,
            state_bytes_per_row=4 * d + 16,
            answer_bytes_per_block=40.0 * size,
            pool_rows=4.0 * size,
        )


def nearest_time(
    times: npt.NDArray[np.float64], taken: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """(m,) how far each time is from the nearest of those taken, which are ascending.

    Examples
    --------
    >>> nearest_time(np.array([0.0, 4.0, 9.0]), np.array([3.0, 8.0]))
    array([3., 1., 1.])
    """
    ends = np.concatenate([[-np.inf], taken, [np.inf]])
    after = np.searchsorted(taken, times) + 1
    return np.minimum(times - ends[after - 1], ends[after] - times)


def spaced_positions(times: npt.NDArray[np.float64], gap: float) -> npt.NDArray[np.intp]:
    """Positions of a subsequence with gaps, taken from the left.

    Parameters
    ----------
    times : (n,) float64 array
        Ascending.
    gap : float
        Of two neighbours that stay, at least.

    Returns
    -------
    (m,) int array.

    Examples
    --------
    >>> spaced_positions(np.array([0.0, 1.0, 2.5, 3.0, 5.0]), gap=2.0)
    array([0, 2, 4])
    """
    kept = []
    last = -np.inf
    for position, time in enumerate(times.tolist()):
        if time - last >= gap:
            kept.append(position)
            last = time
    return np.array(kept, np.intp)
