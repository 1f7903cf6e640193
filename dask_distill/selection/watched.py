"""A strategy's conversation, and a note of each row's group on the way.

Groups are a few cells of the survey's sample. A wrapper of the conversation notes the group of
every row while the strategy sees the rows, and counts when the choice is made: no pass over the
data, and nothing that the choice could depend on. Where the strategy looks at no features, these
are not read for it: the rows of the sample are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Remembering, Selection
from dask_distill.data.blocks import Block, tile_rows
from dask_distill.kernels.kmeans import weighted_kmeans
from dask_distill.kernels.moments import tiles
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.threads import single_threaded
from dask_distill.survey.schema import Schema

Counts = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

# at most so many groups, and one for so many rows selected
_GROUPS, _EACH = 64, 20
_SAMPLE_ROWS = 4096
# numbers in all centers: they travel to every worker
_CENTER_VALUES = 2**20


@dataclass(frozen=True, eq=False)
class Groups:
    """Cells around a few centers.

    Attributes
    ----------
    centers : (G, d) float32 array
        Standardised; none where the data is too wide.
    scaling : Scaling
    near : (G,) int64 array
        Row of the sample that is nearest to each center.
    codes : (G,) int32 array or None
        Class numbers of these rows.
    """

    centers: Float32
    scaling: Scaling
    near: Rows
    codes: npt.NDArray[np.int32] | None

    @classmethod
    def of(cls, schema: Schema, size: int) -> "Groups":
        """By k-means of a part of the survey's sample, fewer for few rows to select."""
        sample, scaling = schema.sample, Scaling.of(schema)
        part = slice(None, None, -(-len(sample.rows) // _SAMPLE_ROWS))
        Z = scaling(sample.X[part])
        wanted = max(2, size // _EACH)
        number = min(_GROUPS, wanted, _CENTER_VALUES // schema.d, len(Z) // 4)
        if number < 2:
            none = np.empty(0, np.int64)
            return cls(Z[:0], scaling, none, None)
        with single_threaded():
            found = weighted_kmeans(Z, np.ones(len(Z)), number, seed=0).astype(np.float32)
            distance = _to_centers(found, Z) + np.einsum("ij,ij->i", Z, Z)[:, None] / 2
        nearest = distance.argmin(axis=0)
        codes = None if sample.codes is None else sample.codes[part][nearest]
        return cls(found, scaling, sample.rows[part][nearest], codes)

    def __len__(self) -> int:
        return len(self.centers)

    def __call__(self, X: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
        """(m,) group of each row."""
        out = np.zeros(len(X), np.uint8)
        if len(self) == 0:
            return out
        step = tile_rows(X.shape[1])
        # the same memory for all tiles: fresh arrays would cost page faults
        Z = np.empty((min(len(X), step), X.shape[1]), np.float32)
        distances = np.empty((len(Z), len(self)), np.float32)
        start = 0
        for tile in tiles(X, step):
            stop = start + len(tile)
            self.scaling(tile, out=Z[: len(tile)])
            near = _to_centers(self.centers, Z[: len(tile)], out=distances[: len(tile)])
            out[start:stop] = near.argmin(axis=1)
            start = stop
        return out

    def counted(self, X: npt.NDArray[np.floating]) -> Counts:
        """(G,) rows of each group."""
        return np.bincount(self(X), minlength=len(self)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Seen:
    """A block's memory: the strategy's, and the group of each row.

    ``rows`` is None where row numbers have no gap: then ``first`` tells them.
    """

    inner: Any
    groups: npt.NDArray[np.uint8]
    first: int
    rows: Rows | None

    def of(self, rows: Rows) -> npt.NDArray[np.uint8]:
        """Groups of some rows of the block."""
        at = rows - self.first if self.rows is None else np.searchsorted(self.rows, rows)
        return self.groups[at]

    def given(self, space: Any = None) -> dict[str, npt.NDArray[Any] | None]:
        """As the strategy's own memory has it."""
        return self.inner.given(space) if isinstance(self.inner, Remembering) else {}


@dataclass(frozen=True, kw_only=True)
class Noted(Selection):
    """What a block selects, the rows' groups, and (2, G) rows of each: all, and selected."""

    counts: Counts = field(default_factory=lambda: np.zeros((2, 0), np.int64))
    groups: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))


@dataclass(frozen=True)
class Watched:
    """A strategy's conversation, and a note of each row's group."""

    strategy: Any
    groups: Groups

    def join(self, question: Any, blocks: list[Block]) -> Seen:
        """Neighbouring blocks as one state."""
        rows = np.concatenate([block.rows for block in blocks])
        groups = np.concatenate([self.groups(block.X) for block in blocks])
        return _seen(self.strategy.join(question, blocks), groups, rows)

    def observe(self, state: Block | Seen, question: Any) -> Seen:
        """As the strategy does; at first, see where rows lie."""
        if isinstance(state, Seen):
            inner = self.strategy.observe(state.inner, question)
            # what has not changed is not kept again
            return state if inner is state.inner else replace(state, inner=inner)
        inner = self.strategy.observe(state, question)
        return _seen(inner, self.groups(state.X), state.rows)

    def answer(self, state: Seen, question: Any) -> Any:
        """As the strategy does."""
        return self.strategy.answer(state.inner, question)

    def combine(self, left: Any, right: Any) -> Any:
        """As the strategy does."""
        return self.strategy.combine(left, right)

    def advance(self, question: Any, answer: Any) -> Any:
        """As the strategy does."""
        return self.strategy.advance(question, answer)

    def choose(self, state: Seen, choice: Any) -> Noted:
        """As the strategy does; count."""
        found: Selection = self.strategy.choose(state.inner, choice)
        number = len(self.groups)
        mine = state.of(found.rows)
        counts = [np.bincount(part, minlength=number)[:number] for part in (state.groups, mine)]
        return Noted(
            found.rows,
            found.weights,
            found.codes,
            found.scores,
            counts=np.stack(counts),
            groups=mine,
        )

    def facts(self, choice: Any) -> dict[str, Any]:
        """As the strategy has it."""
        facts: dict[str, Any] = self.strategy.facts(choice)
        return facts


def group_bytes(d: int) -> int:
    """Of the groups' centers, at most; they travel to every worker."""
    return 4 * min(_GROUPS * d, _CENTER_VALUES)


def group_counts(selections: Sequence[Selection], apart: Counts | None) -> Counts:
    """(2, G) rows of each group, all and selected; protected rows are both."""
    noted = [selection.counts for selection in selections if isinstance(selection, Noted)]
    if not noted:
        # protected rows fill the size, and nobody has looked at the others
        return np.zeros((2, 0), np.int64)
    total: Counts = np.sum(noted, axis=0)
    return total if apart is None else total + apart


def sampled_counts(groups: Groups, schema: Schema, selected: Rows) -> Counts:
    """(2, G) rows of each group in the survey's sample, all and selected: features are not read."""
    near, mine = groups(schema.sample.X), np.isin(schema.sample.rows, selected, assume_unique=True)
    number = len(groups)
    return np.stack([np.bincount(part, minlength=number)[:number] for part in (near, near[mine])])


def selected_groups(selections: Sequence[Selection]) -> npt.NDArray[np.uint8] | None:
    """(k,) group of each selected row, in row order; None where some were protected."""
    if not all(isinstance(selection, Noted) for selection in selections):
        return None
    return np.concatenate([s.groups for s in selections if isinstance(s, Noted)])


def _seen(inner: Any, groups: npt.NDArray[np.uint8], rows: Rows) -> Seen:
    if len(rows) == 0:
        return Seen(inner, groups, 0, None)
    gapless = int(rows[-1] - rows[0]) + 1 == len(rows)
    return Seen(inner, groups, int(rows[0]), None if gapless else rows)


def _to_centers(centers: Float32, Z: Float32, out: Float32 | None = None) -> Float32:
    """(m, G) half squared distances, but for the rows' own lengths."""
    half = np.einsum("ij,ij->i", centers, centers) / np.float32(2)
    distances: Float32 = np.matmul(Z, centers.T, out=out)
    return np.subtract(half, distances, out=distances)
