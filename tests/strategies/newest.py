"""`newest`: the rows that came last."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.sampling import uniforms
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.base import TARGETS, Ranges
from dask_distill.strategies.parts.ranking import Ranking
from dask_distill.strategies.parts.scorers import Scores
from dask_distill.support.options import Interval, option


@dataclass(frozen=True)
class Newest(Ranking):
    """The last rows, or the last but some that chance passes over.

    Parameters
    ----------
    skipped : float
        Part of the rows that is passed over, from 0 to below 1.
    """

    skipped: float = option(0.0, Interval(0, 1, closed="left"), way_out="try 0.1")

    name: ClassVar[str] = "newest"
    draws: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = TARGETS
    grows: ClassVar[bool] = True
    ranges: ClassVar[Ranges | None] = {"skipped": (0.0, 0.5)}

    def keys(self, block: Block, scores: Scores, seed: int) -> npt.NDArray[np.uint32]:
        """The later a row came, the lower its key; of up to 2**31 rows."""
        age = np.uint32(2**31 - 1) - block.rows.astype(np.uint32)
        # of seed and row number, in whatever block it lies
        chance = uniforms(row_hash(block.rows, seed, stream=Stream.RANKING))
        passed_over = (chance < self.skipped).astype(np.uint32)
        return age | passed_over << np.uint32(31)
