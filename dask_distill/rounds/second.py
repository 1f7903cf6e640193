"""The second round: centers among what blocks have offered, and among the rows it left far away."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd
from dask.base import tokenize
from dask.delayed import delayed

from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.run import Run, measured_run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import take_rows
from dask_distill.data.size import resolve_size
from dask_distill.errors import InputError
from dask_distill.kernels.composable import stood_for, traversed
from dask_distill.rounds.table import (
    COVERING,
    INSERTION,
    OURS,
    ROW,
    WEIGHT,
    as_candidates,
    check_space,
    checked_block,
    coordinates,
    frame_of,
    opened,
    space_of,
)
from dask_distill.runtime.client import refuse_asynchronous
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline
from dask_distill.runtime.threads import single_threaded
from dask_distill.strategies.parts.held import Pool
from dask_distill.strategies.parts.merging import Centers, Repair
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.survey.reading import raw_blocks


def merge_candidates(
    candidates: Any,
    size: int,
    features: Any = None,
    *,
    metric: str = "euclidean",
    scale: str = "none",
    reduce: Callable[[Any], Any] | None = None,
    columns: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
    sample_weight: Any = None,
) -> Any:
    """Choose centers among the candidates of all blocks: the second round.

    A farthest-first traversal of the candidates, from the one of lowest row number. Without
    ``features`` that is all, and lazy: every row is within the largest ``_covering_radius`` of
    one of the centers, which is proven, not measured.

    With ``features`` the result is that of the strategy "kcenter", at once: 85 % of the centers
    come of the merge; a pass over all rows measures how far each is from the nearest of them; and
    the others go to the worst rows, until none is left that is farther. What no block has
    offered is found so: a row may be far from all centers though a candidate was near it.

    Parameters
    ----------
    candidates : dask or pandas DataFrame
        As `candidates` gives it, or parts of it, or what was merged before.
    size : int
        Centers, at least 1 and at most the distinct candidates; with ``features`` at most the
        distinct rows.
    features : array or frame, optional
        What the candidates were taken of.
    metric : "euclidean" or "cosine"
        As the candidates were taken.
    scale, reduce, columns, profile, sample_weight
        As the candidates were taken, beside ``features``; of no account without.

    Returns
    -------
    dask DataFrame
        ``size`` rows in one partition, in the order of choice, with the columns of `candidates`:
        ``_insertion_radius`` is the distance to the centers chosen before it;
        ``_weight`` sums up what its candidates stand for, and with ``features`` counts the rows
        nearest to it, or sums up their sample weights; ``_covering_radius`` bounds how far these
        are from it, with ``features`` by the covering radius that was measured, the same for all.

    Raises
    ------
    InputError
        For candidates or features that do not fit, and a size beyond them; without ``features``
        when it is computed.

    See Also
    --------
    candidates : The first round.
    distill : Both rounds and the repair in one go, ``strategy="kcenter"``.

    Notes
    -----
    With r the radius at which the traversal would have gone on, and c the largest covering radius
    of the candidates, every row is within c + r of a center. Of k centers, anywhere in space,
    none cover all rows closer than r / 2; where every block has offered k candidates, nor
    closer than c / 2: the merged centers are then within four times the optimum (Malkomes et al.
    2015).

    Examples
    --------
    >>> import dask.array as da
    >>> from dask_distill import candidates
    >>> X = da.random.default_rng(0).normal(size=(10_000, 2), chunks=1000)
    >>> offered = candidates(X, 100)
    >>> centers = merge_candidates(offered, 100).compute()
    >>> repaired = merge_candidates(offered, 100, X).compute()
    >>> bool(repaired["_covering_radius"].max() < centers["_covering_radius"].max())
    True
    >>> from dask_distill import distill
    >>> coreset = distill(X, size=100, strategy="kcenter")
    >>> sorted(repaired["_index"]) == coreset.indices.tolist()
    True
    """
    check_space(metric, scale)
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise InputError(f"size must be an int of at least 1, got {size!r}")
    offered = as_candidates(candidates)
    names = [name for name in offered.columns if name not in OURS]
    space = MetricSpace(metric, None, None)
    if features is not None:
        dataset = opened(features, columns, profile, sample_weight)
        space = space_of(dataset, metric, scale, reduce)
        if reduce is None and dataset.d != len(names):
            raise InputError(
                f"features must have the {len(names)} columns of the candidates, got {dataset.d}; "
                "pass what these were taken of"
            )
        size = resolve_size(None, size, dataset.n)
        return dd.from_pandas(_repaired(offered, size, dataset, space), npartitions=1, sort=False)
    key = f"merge-candidates-{tokenize(offered, size, metric)}"
    parts = offered.to_delayed()
    merged = delayed(_merged, pure=True)(int(size), space, names, *parts, dask_key_name=key)
    meta = offered._meta
    return dd.from_delayed([merged], meta=meta, prefix="merge-candidates", verify_meta=False)


def _merged(
    size: int, space: MetricSpace, names: Sequence[str], *parts: pd.DataFrame
) -> pd.DataFrame:
    """Centers of the candidates of all blocks."""
    frame = pd.concat(parts).sort_values(ROW, kind="stable")
    X = coordinates(frame, names, space)
    with single_threaded():
        same = space.same(X) if len(X) else 0.0
        traversal = traversed(X, size, stop_squared=same)
        picks = traversal.indices
        if len(picks) < size:
            raise InputError(
                f"size must be at most the number of distinct candidates {len(picks)}, got {size}; "
                "lower it, or take candidates for more"
            )
        given = frame[WEIGHT].to_numpy(), frame[COVERING].to_numpy()
        weights, reaches = stood_for(X, X[picks], *given)
    centers = frame.iloc[picks].reset_index(drop=True)
    made = {INSERTION: traversal.radii, COVERING: reaches, WEIGHT: weights}
    return centers.assign(**made)


def _repaired(offered: Any, size: int, dataset: Dataset, space: MetricSpace) -> pd.DataFrame:
    """Centers of the candidates, and of the worst rows: a conversation with all blocks."""
    names = [name for name in offered.columns if name not in OURS]
    refuse_asynchronous()
    with measured_run() as run:
        raw = raw_blocks(dataset, run.runner)
        weighing = dataset.weighing
        blocks = [Inline(checked_block, block, space, dataset.columns, weighing) for block in raw]
        pool = run.call("merge-pool", _pool, space, names, dataset.n, *run.chunks(offered))
        n = dataset.n
        if dataset.sample_weight is not None:
            (pool,) = run.held(pool)
            n = _rows_that_weigh(dataset.sample_weight, run.fetch(run.call("rows", _rows, pool)))
        centers = _conversed(Repair(space), pool, size, n, blocks, run)
    return frame_of(
        centers.rows,
        centers.blocks,
        centers.X,
        centers.radii,
        np.full(len(centers.rows), centers.covering_radius),
        centers.weights * (1.0 if weighing is None else weighing.unit),
        names,
    )


def _rows_that_weigh(weights: da.Array, candidates: npt.NDArray[np.int64]) -> int:
    """Rows of sample weights above 0; candidates must be some of them."""
    mine, n = dask.compute(take_rows(weights, candidates), (weights > 0).sum())
    if not (mine > 0).all():
        row = int(candidates[(mine > 0).argmin()])
        raise InputError(
            f"candidates must be rows of sample weights above 0, got row {row}; take them with the "
            "same sample_weight, too"
        )
    return int(n)


def _rows(pool: Pool) -> npt.NDArray[np.int64]:
    return np.unique(pool.rows)


def _conversed(
    repair: Repair,
    pool: Handle[Pool],
    size: int,
    n: int,
    blocks: Sequence[Handle[Block]],
    run: Run,
) -> Centers:
    """From the merge to the choice."""
    handle = run.constant(repair)
    question = run.call("merge-candidates", repair.merge, pool, size, n)
    final, states = converse(handle, blocks, question, run, phase="merge-candidates")
    chosen = run.fetch_all(choose(handle, states, final, run))
    return Centers.of(run.fetch(run.call("centers", content, final)), chosen)


def _pool(space: MetricSpace, names: Sequence[str], n: int, *parts: pd.DataFrame) -> Pool:
    frame = pd.concat(parts)
    rows = frame[ROW].to_numpy()
    if len(rows) == 0 or rows.min() < 0 or rows.max() >= n:
        found = "none" if len(rows) == 0 else f"row {rows.max() if rows.min() >= 0 else rows.min()}"
        raise InputError(
            f"candidates must be some of the {n} rows of features, got {found}; pass what they "
            "were taken of"
        )
    return Pool(rows, coordinates(frame, names, space), np.ones(len(rows)))
