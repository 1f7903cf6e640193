"""Fits directions on all rows, by dask-ml: one more pass over the blocks, none of which is kept.

`dask_ml.decomposition.PCA` would do for arrays in memory: it takes the mean off all rows before it
decomposes them, and holds them until then. The survey knows the mean, so `TruncatedSVD` is
enough, which makes a triangle of each block and lets the block go.
"""

from collections.abc import Sequence

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.blocks import Block
from dask_distill.kernels.projection import upright
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.failures import plain_failures
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.silence import allowing_large_graphs
from dask_distill.runtime.threads import single_threaded
from dask_distill.spaces.fitted import Linear
from dask_distill.spaces.reductions import Directions
from dask_distill.survey.schema import Schema


def fit_on_all(
    reduction: Directions, blocks: Sequence[Handle[Block]], schema: Schema, run: Run
) -> Linear:
    """Directions of all rows.

    Parameters
    ----------
    reduction : Directions
    blocks : handles of `Block`
    schema : Schema
        Of these blocks.
    run : Run

    Returns
    -------
    Linear

    References
    ----------
    Benson, Gleich, Demmel (2013), Direct QR factorizations for tall-and-skinny matrices in
    MapReduce architectures.
    """
    from dask_ml.decomposition import TruncatedSVD

    scaling = reduction.scaling(schema)
    Z = _all_rows(blocks, schema, scaling, run)
    # not computed at once: that would make the rows' coordinates, too
    model = TruncatedSVD(reduction.components, algorithm="tsqr", compute=False).fit(Z)
    wanted = model.components_, model.singular_values_, da.square(Z).sum()
    with single_threaded(), allowing_large_graphs(), plain_failures(run.runner.rows):
        components, singular, total = dask.compute(*wanted)
    parts = np.square(singular) / max(float(total), np.finfo(np.float64).tiny)
    return reduction.found(scaling, upright(components), parts, schema.n)


def _all_rows(
    blocks: Sequence[Handle[Block]], schema: Schema, scaling: Scaling, run: Run
) -> da.Array:
    """(n, d) scaled rows, a chunk for each block that has some, as often as they count."""
    counts = schema.block_counts.tolist()
    parts = [
        run.call("reduce-rows", _scaled, scaling, block)
        for block, rows in zip(blocks, counts, strict=True)
        if rows
    ]
    return run.array(parts, [rows for rows in counts if rows], schema.d, np.float64)


def _scaled(scaling: Scaling, block: Block) -> npt.NDArray[np.float64]:
    Z = scaling(block.X).astype(np.float64)
    if block.mass is not None:
        Z *= np.sqrt(block.mass)[:, None]
    return Z
