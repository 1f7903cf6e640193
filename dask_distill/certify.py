"""The certificate: how well selected rows cover all rows, and what no choice can beat."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.block import Block
from dask_distill.conversation import Final
from dask_distill.coreset import Certificate
from dask_distill.kernels.farthest_first import FarthestFirst, nearest_center
from dask_distill.progress import Progress
from dask_distill.rounds import Ledger, Runner, content, converse
from dask_distill.strategies import kcenter
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.kcenter import KCenter, Offer, Pool, Traverse, Traversed
from dask_distill.survey import Schema

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_STREAM = 5


@dataclass(frozen=True)
class Fetch:
    """Send these rows."""

    selected: Rows
    random: Rows
    squared_radii: Floats


@dataclass(frozen=True)
class Measure:
    """How far is your farthest row from the selected ones, and from the random ones?"""

    selected: npt.NDArray[np.floating]
    random: npt.NDArray[np.floating]
    squared_radii: Floats


@dataclass(frozen=True)
class Radii(Final):
    """Covering radii, and the squared insertion radii that prove the bound."""

    selected: float
    random: float
    squared_radii: Floats


def certify_rows(
    blocks: list[Any],
    indices: Rows,
    strategy: Strategy,
    outline: Any,
    runner: Runner,
    ledger: Ledger,
    progress: Progress,
) -> Certificate:
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
    metric, scale = "euclidean", "none"
    if isinstance(strategy, KCenter):
        metric, scale = strategy.metric, strategy.scale
    certifier = _Certifier(metric, scale, indices)
    handle = delayed(certifier, traverse=False)
    question = runner.call("certify-question", _ask, handle, outline)
    final, _ = converse(
        handle, blocks, question, runner, phase="certify", ledger=ledger, progress=progress
    )
    radii: Radii = runner.fetch(runner.call("certificate", content, final))
    bound = lower_bound(radii.squared_radii, len(indices))
    return Certificate(
        radius=radii.selected,
        lower_bound=bound,
        ratio=radii.selected / bound if bound > 0 else (1.0 if radii.selected == 0 else np.inf),
        random_radius=radii.random,
        metric=metric,
    )


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
    2.309401076758503
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


@dataclass(frozen=True)
class _Certifier:
    """Candidates as for k-center, one traversal of them, one measuring pass."""

    metric: str
    scale: str
    indices: Rows

    def ask(self, schema: Schema) -> Traverse:
        size = min(schema.n, len(self.indices) + 1)
        return KCenter(self.metric, self.scale).ask(schema, size, None)

    def observe(self, state: Block | Traversed, question: Any) -> Any:
        return KCenter().observe(state, question)

    def answer(self, state: Traversed, question: Any) -> Any:
        if isinstance(question, Fetch):
            return _of(state, question.selected), _of(state, question.random)
        if isinstance(question, Measure):
            if len(state.rows) == 0:
                return 0.0, 0.0
            return tuple(
                float(nearest_center(state.X, centers)[1].max())
                for centers in (question.selected, question.random)
            )
        return KCenter().answer(state, question)

    def combine(self, left: Any, right: Any) -> Any:
        if isinstance(left, tuple) and isinstance(left[0], float):
            return max(left[0], right[0]), max(left[1], right[1])
        if isinstance(left, tuple):
            return tuple(KCenter().combine(a, b) for a, b in zip(left, right, strict=True))
        return KCenter().combine(left, right)

    def advance(self, question: Any, answer: Any) -> Any:
        if isinstance(question, Traverse):
            following = kcenter._cut(question, answer)
            if isinstance(following, Offer):
                return replace(following, size=len(self.indices))
            return following
        if isinstance(question, Offer):
            order = np.argsort(answer.rows)
            traversal = FarthestFirst(answer.X[order])
            traversal.extend(len(order))
            return Fetch(self.indices, self._random_rows(question.n), traversal.squared_radii)
        if isinstance(question, Fetch):
            selected, random = answer
            return Measure(selected.X, random.X, question.squared_radii)
        return Radii(float(np.sqrt(answer[0])), float(np.sqrt(answer[1])), question.squared_radii)

    def choose(self, state: Any, choice: Any) -> Any:
        raise NotImplementedError

    def _random_rows(self, n: int) -> Rows:
        """As many rows, drawn in memory that does not grow with n."""
        k = len(self.indices)
        rng = np.random.default_rng(_STREAM)
        drawn = np.empty(0, np.int64)
        while len(drawn) < k:
            more = rng.integers(0, n, k - len(drawn) + k // 8 + 8)
            drawn = np.unique(np.concatenate([drawn, more]))
        return np.sort(rng.permutation(drawn)[:k])


def _ask(certifier: _Certifier, outline: Schema) -> Traverse:
    return certifier.ask(outline)


def _of(state: Traversed, rows: Rows) -> Pool:
    mine = np.flatnonzero(np.isin(state.rows, rows))
    return Pool(state.rows[mine], state.X[mine], np.empty(0))
