"""Exemplars over blocks: each offers some of its own, a choice is made among those, all rows count.

GreeDi: blocks choose greedily among groups of their rows, the coordinator among what they offer,
each candidate with the weight of the rows it stands for.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.kernels.exemplars import choose_exemplars, distances, greedy
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.masses import counted
from dask_distill.kernels.nearest import nearest_center
from dask_distill.kernels.quotas import systematic
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.parts.held import Features, Floats, Held, Rows
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.steps import AddedUp, Inquiry, SideBySide
from dask_distill.strategies.parts.stepwise import RowChoice
from dask_distill.support.options import Interval

# rows among which a block chooses at once: the cost is its square
GROUP = 1024
# so many candidates meet without ado, where each row selected has few
CHEAP = 2048


# candidates for each row selected
OVERSAMPLE = Interval(1, 20)
AS_USUAL = "leave it out for the default"


@dataclass(frozen=True, kw_only=True)
class Exemplars:
    """What is wanted: so many rows of each group (class, or all), with or without swaps.

    ``factors`` are what a row of each group stands for, where not all rows take part; ``told``
    is what earlier steps have to tell.
    """

    quotas: Rows
    by_class: bool
    swap: bool
    seed: int
    factors: Floats | None = None
    told: dict[str, Any] = field(default_factory=dict)

    def groups(self, state: Block | Held) -> Rows:
        """Each row's group."""
        if self.by_class and state.codes is not None:
            return state.codes.astype(np.int64)
        return np.zeros(len(state.rows), np.int64)


@dataclass(frozen=True)
class Candidates(SideBySide):
    """Rows on their way to the coordinator, with their groups and what they weigh."""

    rows: Rows
    X: Features
    groups: Rows
    weights: Floats


@dataclass(frozen=True)
class OfferExemplars:
    """Which rows of yours are exemplars of your own, so many of each group?

    ``targets`` is (B, G).
    """

    aim: Exemplars
    space: MetricSpace
    targets: Rows

    def observe(self, state: Block | Held) -> Held:
        """Bring rows where distances are what was asked for."""
        return Held.taken(state, self.space)

    def answer(self, state: Held) -> Candidates:
        """Greedily, in random parts of each group."""
        groups = self.aim.groups(state)
        picks, weights = [], []
        for group, target in enumerate(self.targets[state.number].tolist()):
            mine = np.flatnonzero(groups == group)
            if target:
                chosen, stand_for = _offered(state, mine, target, self.aim.seed)
                picks.append(chosen)
                weights.append(stand_for)
        every = np.concatenate(picks) if picks else np.empty(0, np.int64)
        return Candidates(
            state.rows[every],
            state.X[every],
            groups[every],
            np.concatenate(weights) if weights else np.empty(0),
        )

    def advance(self, answer: Candidates) -> "Assign":
        """Choose among the candidates of each group."""
        order = np.argsort(answer.rows)
        groups, weights = answer.groups[order], answer.weights[order]
        X = answer.X[order]
        chosen = []
        for group, quota in enumerate(self.aim.quotas.tolist()):
            mine = np.flatnonzero(groups == group)
            if quota:
                picks = choose_exemplars(
                    X[mine], weights[mine], quota, self.aim.seed, swap=self.aim.swap
                )
                chosen.append(mine[picks])
        final = np.sort(np.concatenate(chosen))
        rows = answer.rows[order][final]
        return Assign(
            self.aim, rows, np.ascontiguousarray(X[final]), groups[final], len(answer.rows)
        )


def _offered(state: Held, mine: Rows, target: int, seed: int) -> tuple[Rows, Floats]:
    """Exemplars of some rows of a block, and how many rows each stands for."""
    mass = state.weighed(np.ones(len(state.rows)))
    if target >= len(mine):
        return mine, mass[mine]
    # random parts, and not runs of rows: each is a picture of the whole
    hashes = row_hash(state.rows[mine], seed, stream=Stream.EXEMPLARS)
    shuffled = mine[np.argsort(hashes, kind="stable")]
    count = min(target, -(-len(mine) // GROUP))
    picks, weights = [], []
    edges = [round(i * len(mine) / count) for i in range(count + 1)]
    shares = [round(i * target / count) for i in range(count + 1)]
    for part in range(count):
        rows = np.sort(shuffled[edges[part] : edges[part + 1]])
        D = distances(state.X[rows])
        chosen = greedy(D, mass[rows], shares[part + 1] - shares[part])
        nearest = D[chosen].argmin(axis=0)
        # an exemplar stands for itself, also beside its duplicate
        nearest[chosen] = np.arange(len(chosen))
        picks.append(rows[chosen])
        weights.append(counted(nearest, len(chosen), mass[rows]).astype(np.float64))
    return np.concatenate(picks), np.concatenate(weights)


@dataclass(frozen=True)
class Assigned(AddedUp):
    """What the rows nearest to each exemplar stand for, and the sum of the distances."""

    counts: Rows
    distance: float


@dataclass(frozen=True)
class Assign(Inquiry):
    """How many of your rows are nearest to each exemplar, in its group?"""

    aim: Exemplars
    rows: Rows
    X: Features
    groups: Rows
    offered: int

    def answer(self, state: Held) -> Assigned:
        """Exactly."""
        groups = self.aim.groups(state)
        counts = np.zeros(len(self.rows), np.int64)
        distance = 0.0
        for group in np.unique(groups).tolist():
            mine, theirs = np.flatnonzero(groups == group), np.flatnonzero(self.groups == group)
            if len(theirs) == 0:
                continue
            nearest, squared = nearest_center(state.X[mine], self.X[theirs])
            own = np.searchsorted(self.rows[theirs], state.rows[mine])
            own = np.minimum(own, len(theirs) - 1)
            itself = self.rows[theirs[own]] == state.rows[mine]
            nearest[itself] = own[itself]
            own_mass = None if state.mass is None else state.mass[mine]
            counts += counted(theirs[nearest], len(counts), own_mass)
            apart = np.sqrt(squared)
            distance += float((apart if own_mass is None else apart * own_mass).sum())
        return Assigned(counts, distance)

    def advance(self, answer: Assigned) -> RowChoice:
        """Each exemplar weighs the rows it stands for."""
        weights = answer.counts.astype(np.float64)
        if self.aim.factors is not None:
            weights *= self.aim.factors[self.groups]
        return RowChoice(
            self.rows,
            weights,
            {},
            self.aim.told
            | {
                "mean_distance": answer.distance / max(1, int(answer.counts.sum())),
                "rows_moved": self.offered,
            },
        )


def targets(
    quotas: Rows, oversample: float, block_groups: npt.NDArray[np.int64], *, full: bool
) -> Rows:
    """(B, G) candidates of each block: in proportion to its rows, or as many as are wanted.

    Small selections get nearly as many from each block as are wanted in all, since it is cheap.
    """
    wanted = np.zeros_like(block_groups)
    for group in np.flatnonzero(quotas).tolist():
        rows = block_groups[:, group]
        if full:
            wanted[:, group] = np.minimum(rows, quotas[group])
            continue
        every = int(np.minimum(rows, quotas[group]).sum())
        cheap = min(every, int(CHEAP * quotas[group] / quotas.sum()))
        total = min(max(int(np.ceil(oversample * quotas[group])), cheap), int(rows.sum()))
        wanted[:, group] = systematic(total, rows.astype(np.float64), rows)
    return wanted


def first_question(
    schema: Any,
    space: MetricSpace,
    quotas: Rows,
    oversample: float,
    *,
    swap: bool,
    full: bool = False,
) -> OfferExemplars:
    """The conversation's beginning; quotas of one group mean that classes play no part."""
    by_class = len(quotas) > 1 and schema.block_classes is not None
    block_groups = schema.block_classes if by_class else schema.block_counts[:, None]
    aim = Exemplars(quotas=quotas, by_class=by_class, swap=swap, seed=schema.seed)
    return OfferExemplars(aim, space, targets(quotas, oversample, block_groups, full=full))
