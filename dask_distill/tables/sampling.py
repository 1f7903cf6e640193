"""Which rows of a table are looked at: runs of rows by number, whatever files they lie in."""

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.streams import Stream

RUNS, RUN_ROWS = 32, 1024


def looked_at(n: int) -> npt.NDArray[np.int64]:
    """Row numbers, ascending: all of a small table, else runs spread over it.

    They hang on the number of rows alone, so that files and chunks do not matter.

    Examples
    --------
    >>> len(looked_at(1000)), len(looked_at(10**9))
    (1000, 32768)
    """
    if n <= RUNS * RUN_ROWS:
        return np.arange(n, dtype=np.int64)
    edges = np.linspace(0, n, RUNS + 1).astype(np.int64)
    room = np.diff(edges) - RUN_ROWS + 1
    drawn = row_hash(np.arange(RUNS, dtype=np.int64), seed=0, stream=Stream.PROFILE)
    starts = edges[:-1] + (drawn % room.astype(np.uint64)).astype(np.int64)
    return (starts[:, None] + np.arange(RUN_ROWS)).ravel()
