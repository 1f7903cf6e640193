"""The certificate: how well selected rows cover all rows, and what no choice can beat."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.converse import converse
from dask_distill.conversation.protocol import Final
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.kernels.nearest import covering_distance
from dask_distill.kernels.streams import Generator
from dask_distill.selection.ground import Ground
from dask_distill.strategies.base import Footprint, Strategy
from dask_distill.strategies.kcenter import KCenter
from dask_distill.strategies.parts.held import Held, OrderedCenters, Pool
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import Inquiry, SideBySide
from dask_distill.strategies.parts.two_rounds import OVERSAMPLING, Traverse
from dask_distill.subset.subset import Certificate
from dask_distill.survey.schema import Outline

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# questions, about: candidates, those that fall short, a traversal, rows, distances
_ROUNDS = 5


@dataclass(frozen=True)
class Spreading:
    """What the traversal is for: as many rows as possible, far from each other."""

    size: int
    n: int
    indices: Rows
    picks: int
    # rows that are one point are bounds of nothing, but do no harm
    same: float = 0.0

    def after(self, chosen: OrderedCenters, rounds: int, moved: int) -> "Fetch":
        """Fetch what is to be measured."""
        return Fetch(self.indices, _random_rows(self.n, self.indices), chosen.squared_radii)


@dataclass(frozen=True)
class Pools(SideBySide):
    """Rows on their way: selected ones, random ones."""

    selected: Pool
    random: Pool


@dataclass(frozen=True)
class Fetch:
    """Send these rows."""

    selected: Rows
    random: Rows
    squared_radii: Floats

    def observe(self, state: Held) -> Held:
        """The traversals have done their work."""
        return replace(state, traversal=None, front=None, front_rows=None)

    def answer(self, state: Held) -> Pools:
        """Those of this block."""
        return Pools(_of(state, self.selected), _of(state, self.random))

    def advance(self, answer: Pools) -> "Measure":
        """Measure them."""
        return Measure(answer.selected.sorted().X, answer.random.sorted().X, self.squared_radii)


@dataclass(frozen=True)
class Farthest:
    """Squared distance of the row farthest from the selected ones, and from the random ones."""

    selected: float
    random: float

    def merge(self, other: "Farthest") -> "Farthest":
        """The larger of each."""
        return Farthest(max(self.selected, other.selected), max(self.random, other.random))


@dataclass(frozen=True)
class Measure(Inquiry):
    """How far is your farthest row from the selected ones, and from the random ones?"""

    selected: npt.NDArray[np.floating]
    random: npt.NDArray[np.floating]
    squared_radii: Floats

    def answer(self, state: Held) -> Farthest:
        """Exactly, over every row."""
        return Farthest(
            *(covering_distance(state.X, centers) for centers in (self.selected, self.random))
        )

    def advance(self, answer: Farthest) -> "MeasuredRadii":
        """All is known."""
        radii = np.sqrt([answer.selected, answer.random]).tolist()
        return MeasuredRadii(radii[0], radii[1], self.squared_radii)


@dataclass(frozen=True)
class MeasuredRadii(Final):
    """Covering radii, and the squared insertion radii that prove the bound."""

    selected: float
    random: float
    squared_radii: Floats


def certify_rows(ground: Ground, indices: Rows, strategy: Strategy, run: Run) -> Certificate:
    """Measure and prove, in the metric of the strategy (Euclidean where it has none).

    Proven: for k centers anywhere in space, whichever they are, some row lies at least
    ``lower_bound`` from all of them. Of (q - 1) k + 1 rows that are pairwise at least s apart,
    q share a center; a ball that holds q such points has a radius of at least
    s · sqrt((q - 1) / (2 q)) (Jung's theorem read backwards). For q = 2 that is s / 2, the
    bound of Hochbaum and Shmoys (1985). The rows come from a farthest-first traversal of the
    candidates that the blocks offer: the j-th pick is at least its insertion radius from all
    before it. The best q is taken. ``radius`` is measured over every valid row.

    References
    ----------
    Hochbaum, Shmoys (1985), A best possible heuristic for the k-center problem; Jung (1901),
    Über die kleinste Kugel, die eine räumliche Figur einschliesst.
    """
    certifier = _Certifier(indices=indices)
    if isinstance(strategy, KCenter):
        certifier = _Certifier(
            metric=strategy.metric,
            scale=strategy.scale,
            reduce=strategy.reduce,
            indices=indices,
        )
    handle = run.constant(certifier)
    question = run.call("certify-question", _ask, handle, ground.held_outline, len(indices))
    final, _ = converse(handle, ground.blocks, question, run, phase="certify", written=True)
    radii: MeasuredRadii = run.fetch(run.call("certificate", content, final))
    bound = lower_bound(radii.squared_radii, len(indices))
    found = Certificate.of(radii.selected, bound, radii.random, metric=certifier.metric)
    return found if ground.space is None else replace(found, space=ground.space)


def footprint(n: int, d: int, size: int) -> Footprint:
    """What a plan reckons with: rows are held as for `KCenter`, and traversed further."""
    need = KCenter().footprint(n, d, 1, min(n, size + 1))
    return replace(need, rounds=_ROUNDS)


def lower_bound(squared_radii: Floats, k: int) -> float:
    """Largest proven bound from squared insertion radii in the order of picking.

    Parameters
    ----------
    squared_radii : (m,) float64 array
        ``squared_radii[j]``: squared distance of pick j to those before it; inf for the first.
    k : int
        Centers.

    Returns
    -------
    float
        0 where there are no more than k picks.

    Examples
    --------
    >>> lower_bound(np.array([np.inf, 16.0, 4.0]), k=1)
    2.0
    """
    m = len(squared_radii)
    q = np.arange(2, max(2, (m - 1) // k + 1) + 1)
    last = (q - 1) * k
    q, last = q[last < m], last[last < m]
    if len(q) == 0:
        return 0.0
    # pairwise distances of the first j + 1 picks are at least the smallest radius among them
    smallest = np.minimum.accumulate(squared_radii)[last]
    return float(np.sqrt(smallest * (q - 1) / (2 * q)).max())


@dataclass(frozen=True, kw_only=True)
class _Certifier(KCenter):
    """Candidates as for k-center, one traversal of them, one measuring pass."""

    indices: Rows

    def ask(self, schema: Outline, size: int, proxy: Any) -> Traverse:
        """Twice as many rows as were selected, as far from each other as can be."""
        wanted = int(np.ceil(OVERSAMPLING * min(schema.n, size + 1)))
        aim = Spreading(size, schema.n, self.indices, wanted)
        space = MetricSpace.of(self.metric, self.scale, schema, self.reduce)
        return Traverse.begin(aim, space, wanted, schema.block_counts)


def _ask(certifier: _Certifier, outline: Outline, size: int) -> Traverse:
    return certifier.ask(outline, size, None)


def _random_rows(n: int, indices: Rows) -> Rows:
    """As many rows of the source, drawn in memory that does not grow with n."""
    rng = np.random.default_rng(Generator.CERTIFICATE)
    k = len(indices)
    drawn = np.empty(0, np.int64)
    while len(drawn) < k:
        more = rng.integers(0, n, k - len(drawn) + k // 8 + 8)
        drawn = np.unique(np.concatenate([drawn, more]))
    return np.sort(rng.permutation(drawn)[:k])


def _of(state: Held, rows: Rows) -> Pool:
    mine = np.flatnonzero(np.isin(state.rows, rows))
    return Pool(state.rows[mine], state.X[mine], np.zeros(len(mine)))
