"""`kcenter`: rows such that every row has a selected one near it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dask_distill.data.blocks import Block, block_bounds
from dask_distill.errors import InputError
from dask_distill.kernels.dominating import MOST_EDGES
from dask_distill.strategies.base import METRIC, SCALE, TARGETS, Footprint
from dask_distill.strategies.parts.exact_rounds import First
from dask_distill.strategies.parts.held import Held, chosen_before
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.stepwise import Stepwise
from dask_distill.strategies.parts.two_rounds import (
    MOST_REFINED,
    MOST_WITH_OUTLIERS,
    OVERSAMPLING,
    Covering,
    Traverse,
)
from dask_distill.support.options import Interval, Such, option
from dask_distill.survey.schema import Schema

_FUNCTION = Such(lambda value: value is None or callable(value), "a function of a block")
# candidates for each center and outlier
_WITH_OUTLIERS = 8


@dataclass(frozen=True, kw_only=True)
class KCenter(Stepwise):
    """k-center: no row is far from a selected one.

    For coverage, near-duplicates and rare patterns; not for accuracy at small fractions, where
    the subset is all outskirts. Each center weighs the rows that are nearest to it: with sample
    weights, what these stand for. Which rows are centers does not depend on sample weights: a row
    must be covered, however often it counts.

    Rows that are chosen before (``initial`` and ``protect`` of `distill`) are centers too: the
    traversal begins with them, and rows nearest to one of them weigh on no other.

    The seed plays no part: of rows equally far the first is taken, in the order of the data.

    Parameters
    ----------
    metric : "euclidean" or "cosine"
        Cosine is the Euclidean distance of rows brought to length 1: rows that are multiples of
        each other are one point, of which one is selected.
    scale : "none" or "standard"
        Whether features count as they are, or each divided by its standard deviation.
    exact : bool
        Give the rows of a sequential farthest-first traversal from the first row, whatever the
        blocks: some 20 rounds instead of three. Otherwise two rounds and a repair, whose
        covering radius is some per cent larger at most.
    outliers : int
        Rows that need not be near a selected one. Chosen on the coordinator among weighted
        candidates: for some thousand centers at most.
    refine : int
        Passes of a search for centers with a smaller covering radius, some tenth below that of
        a traversal; 8 come close to what more would find. Up to 20,000 rows are
        candidates, and the search takes some seconds on the coordinator.
    reduce : callable, optional
        Turns the (m, d) features of a block into the (m, r) features that distances are
        measured in; must treat each row for itself. From Python alone.

    References
    ----------
    Gonzalez (1985), Clustering to minimize the maximum intercluster distance; Malkomes et al.
    (2015), Fast distributed k-center clustering with outliers on massive data; Ceccarello,
    Pietracaprina, Pucci (2019), Solving k-center clustering (with outliers) in MapReduce and
    streaming, almost as accurately as sequentially; Sener, Savarese (2018), Active learning for
    convolutional neural networks: a core-set approach; Mihelič, Robič (2005), Solving the
    k-center problem efficiently with a dominating set algorithm.
    """

    metric: str = option("euclidean", METRIC)
    scale: str = option("none", SCALE)
    exact: bool = False
    outliers: int = option(0, Interval(0), way_out="0 covers all rows")
    refine: int = option(0, Interval(0, 64), way_out="0 leaves centers as a traversal gives them")
    reduce: Callable[[Any], Any] | None = option(None, _FUNCTION)

    name: ClassVar[str] = "kcenter"
    when: ClassVar[str] = "every kind of row present, none left far away"
    tasks: ClassVar[frozenset[str]] = TARGETS
    grows: ClassVar[bool] = True
    uses_seed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outliers and self.exact:
            raise InputError(
                "exact must be False with outliers, got True: there is no traversal to be equal to"
            )

        if self.refine and (self.exact or self.outliers):
            other = "exact" if self.exact else "outliers"
            raise InputError(
                f"refine must be 0 with {other}, got {self.refine}; leave one of them out"
            )

    @property
    def first_round(self) -> str | None:
        """Blocks traverse their own rows, but for the one traversal of all."""
        return None if self.exact else "candidates"

    @property
    def counts_chosen(self) -> bool:
        """They are centers."""
        return True

    @property
    def joins(self) -> bool:
        """Neighbouring blocks may be put together: only the exact form gives the same rows."""
        return self.exact

    def join(self, question: First, blocks: list[Block]) -> Held:
        """On a worker: some blocks as one state."""
        assert question.space is not None
        return Held.joined(blocks, question.space)

    def check_size(self, size: int, n: int) -> None:
        """As many as there are candidates for."""
        if self.outliers and self.outliers + size >= n:
            raise InputError(
                f"size and outliers must be fewer than the rows {n}, got {size} and "
                f"{self.outliers}; lower outliers"
            )
        most = int(MOST_REFINED / OVERSAMPLING)
        if self.refine and size > most:
            raise InputError(
                f"size must be at most {most} with refine, got {size}; lower it, or leave refine "
                "out"
            )

    def ask(self, schema: Schema, size: int, proxy: Any) -> First | Traverse:
        """Begin the one traversal, or one in each block."""
        space = MetricSpace.of(self.metric, self.scale, schema, self.reduce)
        initial = chosen_before(schema, space)
        before = 0 if initial is None else len(initial.rows)
        if before and self.outliers:
            raise InputError(
                f"outliers must be 0 where rows are chosen before (initial, protect), got "
                f"{self.outliers}; leave one of them out"
            )
        same = space.same(schema.sample.X)
        aim = Covering(
            size=size,
            n=schema.n,
            outliers=self.outliers,
            exact=self.exact,
            initial=before,
            same=same,
            refine=self.refine,
        )
        if self.exact:
            return First(aim, space=space, initial=initial)
        # rows that are left out may be few enough to matter
        self.check_size(size, schema.n)
        wanted = int(np.ceil(OVERSAMPLING * size))
        if self.outliers:
            wanted = _with_outliers(size + self.outliers)
        if self.refine:
            wanted = min(schema.n, MOST_REFINED)
        return Traverse.begin(aim, space, wanted, schema.block_counts, initial)

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks hold their rows and bounds; candidates meet on the coordinator."""
        held = 4 * d + 40
        if self.exact:
            # filter copies and centers are held beside the rows, and pools come a third of the
            # centers at a time
            held += 4 * d
            return Footprint(
                rounds=60,
                state_bytes_per_row=held + 8 * d * size / n,
                answer_bytes_per_block=2**17,
                pool_rows=max(64.0, size / 8),
            )
        # centers go out once, their numbers and radii with most questions, and at last each block
        # tells its rows by center, where it has any
        blocks, rounds = len(block_bounds(n, d)), 11
        told = (170 + 4 * d) * size + 8 * min(n, size * blocks)
        return Footprint(
            rounds=rounds,
            state_bytes_per_row=held,
            answer_bytes_per_block=told / blocks / rounds,
            pool_rows=float(min(n, MOST_REFINED)) if self.refine else OVERSAMPLING * size,
            # edges are held twice while a pass looks at some of them
            worked_bytes=24.0 * MOST_EDGES if self.refine else 0.0,
        )


def _with_outliers(together: int) -> int:
    """Candidates that one process can compare pair by pair; weights make up for no distance."""
    if together >= MOST_WITH_OUTLIERS:
        raise InputError(
            f"size and outliers must be below {MOST_WITH_OUTLIERS} together, got {together}; "
            "lower one of them"
        )
    return min(_WITH_OUTLIERS * together, MOST_WITH_OUTLIERS)
