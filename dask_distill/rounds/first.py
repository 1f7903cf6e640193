"""The first round: what blocks offer, as a Dask graph.

The strategy "kcenter" does the same in a conversation; the numbers of both are made by the
kernels in `composable`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd

from dask_distill.data.blocks import RawBlock, as_features, block_bounds
from dask_distill.data.size import resolve_size
from dask_distill.data.weights import Weighing, as_weights
from dask_distill.errors import InputError
from dask_distill.kernels.composable import above, common_cut, first_picks, stood_for, traversed
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.rounds.table import (
    checked_block,
    coordinate_names,
    frame_of,
    like,
    opened,
    space_of,
)
from dask_distill.runtime.threads import single_threaded
from dask_distill.strategies.parts.held import Held
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.two_rounds import OVERSAMPLING

States = npt.NDArray[np.object_]

# blocks begin with a little more than their share of the candidates: then there is a cut
_SHARE = 1.2
# those that fall short of it go on to so many times as many picks, and then as far as need be
_GROWTH = (2.0, np.inf)


@dataclass(frozen=True, eq=False)
class TraversedBlock:
    """A block, and how far its traversal has come."""

    held: Held
    traversal: FarthestFirst


def candidates(
    features: Any,
    size: int,
    *,
    metric: str = "euclidean",
    scale: str = "none",
    reduce: Callable[[Any], Any] | None = None,
    columns: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
    sample_weight: Any = None,
    common_radius: bool = True,
) -> Any:
    """Take local k-center candidates of each block: the first of two rounds, as a lazy frame.

    Each block runs a farthest-first traversal of its rows: of each row picked, the insertion
    radius is its distance to the rows picked before it. The blocks' radii alone meet, and are cut
    at the radius that some 1.9 times ``size`` picks of all blocks exceed; blocks that fall short
    of it go on. What is offered are the rows above the cut, which are those of the
    strategy "kcenter". Blocks are cut from the number of rows and features alone: any chunking
    gives the same candidates, bit for bit.

    Parameters
    ----------
    features : (n, d) or (n, ...) dask array, frame, or what else `distill` takes
        Arrays without NaN or infinite values; of tables columns are read, and gaps filled in, as
        `distill` does. Rows are counted where chunks are unknown, and a sample is read of a
        table; no more is read before it is computed, but for ``scale``.
    size : int
        Centers that are wanted in the end, from 1 to n.
    metric : "euclidean" or "cosine"
        Cosine is the Euclidean distance of rows brought to length 1.
    scale : "none" or "standard"
        "standard" divides each feature by its standard deviation, which takes a pass over all rows
        at once.
    reduce : callable, optional
        Turns the (m, d) features of a block into the (m, r) ones that distances are measured in;
        must treat each row for itself.
    columns, profile : mapping, optional
        How a frame's columns are read, as for `open_dataset`.
    sample_weight : (n,) array, str, or False, optional
        How many rows each row stands for, as for `distill`; it is read at once. It changes no
        candidate, but what each weighs, and a scale; rows of weight 0 are left out. A data set
        that was opened with sample weights brings them unless False is given.
    common_radius : bool
        False for the textbook's coreset: ``size`` candidates of every block. No block waits for
        others, or is held until they are done; far more rows move where blocks are many.

    Returns
    -------
    dask DataFrame
        A partition a block, in its order of picking. Columns: ``_index``, the row's number in the
        source (int64); ``_block`` (int32); ``_insertion_radius``, inf for the first of a block;
        ``_covering_radius``, how far the farthest row is of those that the candidate stands for
        (float64, in the units of the features); ``_weight``, how many rows of the block are
        nearest to it, or the sum of their sample weights (float64, they sum to n, or to these);
        then coordinates, those that distances are measured in (scaled, reduced; of length 1 for
        "cosine"), under the names of a frame's columns, or ``x0``, ``x1``, ….

    Raises
    ------
    InputError
        For parameters or features that cannot be used; where a value is not finite, when it is
        computed.

    See Also
    --------
    merge_candidates : The second round.

    Notes
    -----
    Graphs and dashboards show the tasks as ``candidates-traverse``, ``candidates-radii``,
    ``candidates-cut``, ``candidates-extend`` and ``candidates``. Between the first
    and the last of these, blocks are held: a cluster must have memory for all rows, unless
    ``common_radius=False``.

    References
    ----------
    Gonzalez (1985), Clustering to minimize the maximum intercluster distance; Malkomes et al.
    (2015), Fast distributed k-center clustering with outliers on massive data; Ceccarello,
    Pietracaprina, Pucci (2019), Solving k-center clustering (with outliers) in MapReduce and
    streaming, almost as accurately as sequentially.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(10_000, 2), chunks=1000)
    >>> offered = candidates(X, 100)
    >>> offered.npartitions, offered.columns.tolist()[-3:]
    (3, ['_weight', 'x0', 'x1'])
    >>> frame = offered.compute()
    >>> len(frame), float(frame["_weight"].sum())
    (190, 10000.0)
    """
    dataset = opened(features, columns, profile, sample_weight)
    size = resolve_size(None, size, dataset.n)
    if not isinstance(common_radius, bool | np.bool_):
        raise InputError(f"common_radius must be True or False, got {common_radius!r}")
    space = space_of(dataset, metric, scale, reduce)
    names = coordinate_names(dataset, space)
    bounds = block_bounds(dataset.n, dataset.d)
    wanted = int(np.ceil(OVERSAMPLING * size))
    share = _SHARE * wanted / dataset.n
    X = dataset.features.rechunk({0: bounds}, method="tasks")
    weighing = dataset.weighing
    weights: list[Any] = []
    if dataset.sample_weight is not None:
        # beside features of as many axes
        along = (slice(None), *(None,) * (X.ndim - 1))
        weights.append(dataset.sample_weight.rechunk((bounds,), method="tasks")[along])
    told: Any = {"columns": dataset.columns, "weighing": weighing}
    states = da.map_blocks(
        partial(_begun, rows=bounds[0], space=space, **told),
        X,
        *weights,
        share=share if common_radius else None,
        most=size,
        token="candidates-traverse",
        drop_axis=list(range(1, X.ndim)),
        **_states(len(bounds)),
    )
    cut: Any = -1.0
    if common_radius:
        same = space.same(like(X))
        for growth in _GROWTH:
            more: Any = {"growth": growth, "most": wanted + 1}
            cut = _cut(states, wanted, same)
            states = da.map_blocks(
                _extended, states, cut, token="candidates-extend", **more, **_states(len(bounds))
            )
        cut = _cut(states, wanted, same)
    empty = space(like(X))[:0]
    meta = frame_of(np.empty(0, np.int64), 0, empty, np.empty(0), np.empty(0), np.empty(0), names)
    unit = 1.0 if weighing is None else weighing.unit
    offer = partial(_offered, names=names, unit=unit)
    offered = da.map_blocks(offer, states, cut, token="candidates", **_states(len(bounds)))
    # map_blocks makes a frame itself, but hashes every task of the graph, which takes minutes
    parts = offered.to_delayed(optimize_graph=False).tolist()
    return dd.from_delayed(parts, meta=meta, prefix="candidates", verify_meta=False)


def _begun(
    X: Any,
    weight: Any = None,
    *,
    rows: int,
    space: MetricSpace,
    columns: tuple[str, ...] | None,
    weighing: Weighing | None,
    share: float | None,
    most: int,
    block_id: tuple[int, ...],
) -> States:
    """A block's traversal, up to its share of the candidates, or to so many picks."""
    number = block_id[0]
    weights = None if weight is None else as_weights(weight)
    raw = RawBlock(number=number, start=number * rows, X=as_features(X), y=None, weight=weights)
    block = checked_block(raw, space, columns, weighing)
    with single_threaded():
        held = Held.of(block, space)
        picks = most if share is None else first_picks(len(held.rows), share)
        return _boxed(held, traversed(held.X, picks))


def _extended(states: States, cut: float, growth: float, most: int) -> States:
    """The traversal, gone on with towards the cut."""
    begun: TraversedBlock = states[0]
    held, before = begun.held, begun.traversal
    picks = min(most, len(held.rows), growth * len(before.indices) + 8)
    with single_threaded():
        return _boxed(held, traversed(held.X, int(picks), before=before, stop_squared=float(cut)))


def _radii(states: States) -> npt.NDArray[np.float64]:
    """Squared insertion radii: all that a cut needs to know."""
    begun: TraversedBlock = states[0]
    return begun.traversal.squared_radii.copy()


def _offered(states: States, cut: float, *, names: Sequence[str], unit: float) -> pd.DataFrame:
    """The rows that were picked above the cut, and what each stands for."""
    begun: TraversedBlock = states[0]
    held, picks = begun.held, above(begun.traversal, float(cut))
    X = held.X[picks]
    with single_threaded():
        masses, reaches = np.empty(0), np.empty(0)
        if len(picks):
            masses, reaches = stood_for(held.X, X, held.mass)
    radii = begun.traversal.radii[: len(picks)]
    return frame_of(held.rows[picks], held.number, X, radii, reaches, masses * unit, names)


def _cut(states: da.Array, wanted: int, same: float) -> da.Array:
    """The common cut, as an array without axes: one task, which sees radii alone."""
    unknown: Any = {"chunks": ((np.nan,) * states.numblocks[0],), "meta": np.empty(0)}
    radii = da.map_blocks(_radii, states, token="candidates-radii", **unknown)
    cut: da.Array = da.blockwise(
        partial(common_cut, candidates=wanted, same=same),
        "",
        radii,
        "i",
        token="candidates-cut",
        concatenate=False,
        meta=np.array(0.0),
    )
    return cut


def _states(blocks: int) -> dict[str, Any]:
    """What Dask is told of arrays that hold one object for each block."""
    return {"chunks": ((1,) * blocks,), "meta": np.empty(0, object)}


def _boxed(held: Held, traversal: FarthestFirst) -> States:
    box = np.empty(1, object)
    box[0] = TraversedBlock(held, traversal)
    return box
