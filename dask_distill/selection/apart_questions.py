"""Which rows are set apart: two questions to the blocks, how many there are, and which."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Final, Selection
from dask_distill.data.blocks import Block
from dask_distill.data.size import resolve_size
from dask_distill.errors import InputError
from dask_distill.kernels.masses import counted
from dask_distill.selection.apart_rules import Rules, is_in
from dask_distill.selection.watched import Groups
from dask_distill.strategies.parts.steps import Inquiry
from dask_distill.survey.schema import Outline, Sample, Schema

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Features = npt.NDArray[np.floating]
Float32 = npt.NDArray[np.float32]
AnyRows = TypeVar("AnyRows", Block, Sample)
Known = TypeVar("Known", bound=Outline)


@dataclass(frozen=True, eq=False, kw_only=True)
class Apart(Final):
    """The rows set apart.

    Attributes
    ----------
    protected, initial : (p,), (i,) int64 arrays
        Row numbers, ascending.
    codes : (p,) int32 array or None
        Class numbers of the protected rows.
    counts : (B, 2, C) int64 array
        Rows protected, and chosen already, by block and class (one, where there are no labels).
    chosen : Sample or None
        All of them with features or times, where the strategy wants those.
    groups : (G,) int64 array
        Protected rows by group; see `watched`.
    mass : (p,) float64 array or None
        Of the protected rows, as in a `Block`.
    masses : (B, 2, C) int64 array or None
        What the rows counted stand for, where they are not alike.
    """

    protected: Rows
    initial: Rows
    codes: npt.NDArray[np.int32] | None
    counts: npt.NDArray[np.int64]
    chosen: Sample | None
    groups: npt.NDArray[np.int64]
    mass: npt.NDArray[np.float64] | None = None
    masses: npt.NDArray[np.int64] | None = None

    def selection(self) -> Selection:
        """The protected rows, as one more block would give them."""
        return Selection(self.protected, np.ones(len(self.protected)), self.codes)

    def join(
        self, indices: Rows, weights: Float32, scores: dict[str, Float32], pool: Outline
    ) -> tuple[Rows, Float32, dict[str, Float32]]:
        """Protected rows among the selected ones, which stand for the pool together.

        Their scores are NaN, since no strategy has seen them; score ``protected`` is 1 for them.
        """
        if len(self.protected) == 0:
            return indices, weights, scores
        mass = np.ones(len(self.protected)) if self.mass is None else self.mass
        # where there is nobody else to stand for the other rows, these share them
        unit = pool.unit if len(indices) else pool.weight / mass.sum()
        own = (mass * unit).astype(np.float32)
        both = np.concatenate([indices, self.protected])
        order = np.argsort(both)
        unknown = np.full(len(own), np.nan, np.float32)
        joined = {name: np.concatenate([s, unknown])[order] for name, s in scores.items()}
        joined["protected"] = (order >= len(indices)).astype(np.float32)
        return both[order], np.concatenate([weights, own])[order], joined

    def facts(self) -> dict[str, Any]:
        """For the provenance."""
        return {"rows_protected": len(self.protected), "rows_initial": len(self.initial)}

    def pool(self, outline: Outline) -> Outline:
        """The outline without rows that were chosen already: what the subset stands for."""
        masses = None if self.masses is None else self.masses[:, 1]
        return _without(outline, self.counts[:, 1], masses)

    def rest(self, schema: Schema) -> Schema:
        """What the strategy sees: neither protected nor chosen rows."""
        masses = None if self.masses is None else self.masses.sum(axis=1)
        left = _without(schema, self.counts.sum(axis=1), masses)
        sample = schema.sample
        gone = np.isin(sample.rows, self.protected) | np.isin(sample.rows, self.initial)
        open_ = np.flatnonzero(~gone)
        if len(open_) == 0 and left.n:
            raise InputError(
                f"protect and initial must leave rows to choose among, got {left.n:,} of "
                f"{schema.n:,} and none of the sample; set fewer rows apart"
            )
        return replace(left, sample=rows_kept(sample, open_), chosen=self.chosen)


@dataclass(frozen=True, eq=False, kw_only=True)
class Marked:
    """A block, and what masks say of its rows: (rows in the source,) bool arrays or None.

    ``start`` is its first row in the source, valid or not, ``length`` are its rows there.
    ``unreduced`` is what the user's function sees, where features are reduced.
    """

    block: Block
    unreduced: Block | None
    start: int
    length: int
    protect: Mask | None
    initial: Mask | None

    def invalid(self, rows: Rows | None) -> Rows:
        """Rows that are protected by number or mask, and were left out as invalid."""
        found = [np.empty(0, np.int64)]
        if rows is not None:
            found.append(rows[(rows >= self.start) & (rows < self.start + self.length)])
        if self.protect is not None:
            found.append(self.start + np.flatnonzero(self.protect))
        return np.setdiff1d(np.concatenate(found), self.block.rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class Parted:
    """A block's memory: which of its rows are set apart, by position in the block.

    ``X`` and ``time`` are of these rows, protected ones first; ``groups`` counts protected ones.
    """

    number: int
    protected: Rows
    initial: Rows
    rows: Rows
    codes: npt.NDArray[np.int32] | None
    X: Features
    time: npt.NDArray[np.float64] | None
    groups: npt.NDArray[np.int64]
    invalid: Rows
    mass: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Counted:
    """(2, C) rows set apart by block, and (G,) protected rows by group.

    Of protected rows that were left out as invalid: how many, and the first of them.
    """

    blocks: dict[int, npt.NDArray[np.int64]]
    groups: npt.NDArray[np.int64]
    invalid: int = 0
    first: int | None = None
    masses: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)

    def merge(self, other: "Counted") -> "Counted":
        """Side by side, and added up."""
        firsts = [first for first in (self.first, other.first) if first is not None]
        return Counted(
            self.blocks | other.blocks,
            self.groups + other.groups,
            self.invalid + other.invalid,
            min(firsts, default=None),
            self.masses | other.masses,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class CountApart:
    """How many of your rows are set apart?"""

    rules: Rules
    n: int
    classes: int
    fraction: float | None
    size: int | None
    features: bool
    times: bool
    groups: Groups

    def observe(self, state: Marked) -> Parted:
        """Remember which."""
        block = state.block
        protected = self.rules.protects(block, state.unreduced)
        initial = np.zeros(len(block.rows), bool)
        if self.rules.initial is not None:
            initial |= is_in(block.rows, self.rules.initial)
        at = block.rows - state.start
        if state.protect is not None:
            protected |= state.protect[at]
        if state.initial is not None:
            initial |= state.initial[at]
        # what was chosen before is not chosen again, protected or not
        first, second = np.flatnonzero(protected & ~initial), np.flatnonzero(initial)
        both = np.concatenate([first, second])
        return Parted(
            number=block.number,
            protected=first,
            initial=second,
            rows=block.rows[both],
            codes=None if block.codes is None else block.codes[both],
            X=block.X[both] if self.features else block.X[:0],
            time=block.time[both] if self.times and block.time is not None else None,
            groups=self.groups.counted(block.X[first]),
            invalid=state.invalid(self.rules.protect),
            mass=None if block.mass is None else block.mass[both],
        )

    def answer(self, state: Parted) -> Counted:
        """By class."""
        codes = np.zeros(len(state.rows), np.int64) if state.codes is None else state.codes
        split = len(state.protected)
        halves = slice(None, split), slice(split, None)
        counts = np.stack([counted(codes[half], self.classes) for half in halves])
        masses, mass = {}, state.mass
        if mass is not None:
            weighed = [counted(codes[half], self.classes, mass[half]) for half in halves]
            masses[state.number] = np.stack(weighed)
        invalid = state.invalid
        return Counted(
            {state.number: counts},
            state.groups,
            len(invalid),
            int(invalid[0]) if len(invalid) else None,
            masses,
        )

    def advance(self, answer: Counted) -> "CollectApart":
        """Refuse more than fit, and rows that cannot be kept."""
        if answer.invalid:
            raise InputError(
                f"protect must name rows that can be kept, got {answer.invalid:,} with NaN or "
                f"infinite values, no label or sample weight 0, first row {answer.first}; mend "
                "them, or protect others"
            )
        counts = np.stack([answer.blocks[number] for number in sorted(answer.blocks)])
        protected, initial = counts.sum(axis=(0, 2)).tolist()
        pool = self.n - initial
        if pool == 0:
            raise InputError(
                f"initial must leave rows to choose among, got all {self.n:,} valid rows; pass "
                "fewer"
            )
        size = resolve_size(self.fraction, self.size, pool)
        if protected > size:
            raise InputError(
                f"size must be at least the {protected:,} protected rows, got {size:,} of {pool:,};"
                " raise it, or protect fewer rows"
            )
        masses = None
        if answer.masses:
            masses = np.stack([answer.masses[number] for number in sorted(answer.masses)])
        return CollectApart(counts, self.features or self.times, answer.groups, masses)


@dataclass(frozen=True, eq=False)
class Gathered:
    """Protected rows and those chosen already, with classes and, where wanted, features."""

    protected: Sample
    initial: Sample

    def merge(self, other: "Gathered") -> "Gathered":
        """Side by side."""
        return Gathered(
            _side_by_side(self.protected, other.protected),
            _side_by_side(self.initial, other.initial),
        )


@dataclass(frozen=True, eq=False)
class CollectApart(Inquiry):
    """Which are they?"""

    counts: npt.NDArray[np.int64]
    told: bool
    groups: npt.NDArray[np.int64]
    masses: npt.NDArray[np.int64] | None = None

    def answer(self, state: Parted) -> Gathered:
        """Those of this block."""
        split = len(state.protected)
        parts = []
        for part_ in (slice(None, split), slice(split, None)):
            codes = None if state.codes is None else state.codes[part_]
            time = None if state.time is None else state.time[part_]
            mass = None if state.mass is None else state.mass[part_]
            parts.append(
                Sample(rows=state.rows[part_], X=state.X[part_], codes=codes, time=time, mass=mass)
            )
        return Gathered(*parts)

    def advance(self, answer: Gathered) -> Apart:
        """In row order."""
        protected, initial = _by_row(answer.protected), _by_row(answer.initial)
        chosen = None
        if self.told and len(protected.rows) + len(initial.rows):
            chosen = _by_row(_side_by_side(answer.protected, answer.initial))
        return Apart(
            protected=protected.rows,
            initial=initial.rows,
            codes=protected.codes,
            counts=self.counts,
            chosen=chosen,
            groups=self.groups,
            mass=protected.mass,
            masses=self.masses,
        )


def rows_kept(rows: AnyRows, keep: npt.NDArray[Any]) -> AnyRows:
    """Some of a block's or sample's rows, in all its arrays."""
    kept: dict[str, Any] = {
        column.name: np.ascontiguousarray(value[keep])
        for column in fields(rows)
        if isinstance(value := getattr(rows, column.name), np.ndarray)
    }
    return replace(rows, **kept)


def _without(
    schema: Known, gone: npt.NDArray[np.int64], masses: npt.NDArray[np.int64] | None
) -> Known:
    """Counts without (B, C) rows, and what those stand for."""
    counts = None if schema.counts is None else schema.counts - gone.sum(axis=0)
    table = None if schema.block_classes is None else schema.block_classes - gone
    left = schema.block_masses
    if left is not None and masses is not None:
        left = left - masses
    return replace(
        schema,
        n=schema.n - int(gone.sum()),
        counts=counts,
        block_counts=schema.block_counts - gone.sum(axis=1),
        block_classes=table,
        block_masses=left,
    )


def _side_by_side(left: Sample, right: Sample) -> Sample:
    codes = None
    if left.codes is not None and right.codes is not None:
        codes = np.concatenate([left.codes, right.codes])
    time = None
    if left.time is not None and right.time is not None:
        time = np.concatenate([left.time, right.time])
    mass = None
    if left.mass is not None and right.mass is not None:
        mass = np.concatenate([left.mass, right.mass])
    rows, X = np.concatenate([left.rows, right.rows]), np.concatenate([left.X, right.X])
    return Sample(rows=rows, X=X, codes=codes, time=time, mass=mass)


def _by_row(sample: Sample) -> Sample:
    order = np.argsort(sample.rows)
    # without features there are fewer of those than rows
    X = sample.X[order] if len(sample.X) == len(order) else sample.X
    codes = None if sample.codes is None else sample.codes[order]
    time = None if sample.time is None else sample.time[order]
    mass = None if sample.mass is None else sample.mass[order]
    return Sample(rows=sample.rows[order], X=X, codes=codes, time=time, mass=mass)
