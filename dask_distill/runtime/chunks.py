"""A data set's chunks as results of an engine, and such results as chunks of a Dask array."""

from collections.abc import Sequence
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.runtime.handle import Handle
from dask_distill.runtime.runner import Runner


def chunks_of(collection: Any, runner: Runner, *, optimised: bool = True) -> list[Handle[Any]]:
    """The chunks of a Dask array, or the partitions of a frame, in order.

    Parameters
    ----------
    collection : dask array or frame
    runner : Runner
    optimised : bool
        By itself. Collections that share their input must not be: each would read it.
    """
    parts = collection.to_delayed(optimize_graph=optimised)
    return [runner.from_dask(part) for part in np.asarray(parts, object).ravel()]


def array_of(
    results: Sequence[Handle[Any]],
    rows: Sequence[int],
    width: int,
    dtype: npt.DTypeLike,
    runner: Runner,
) -> da.Array:
    """Results that are (rows, width) arrays as one Dask array, a chunk each."""
    whole: da.Array = da.concatenate(
        [
            da.from_delayed(runner.to_dask(result), (count, width), dtype=dtype)
            for result, count in zip(results, rows, strict=True)
        ]
    )
    return whole
