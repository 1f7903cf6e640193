"""What `combined` is asked for, as its questions carry it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dask_distill.strategies.parts.held import Pool

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """What is wanted of all steps.

    ``counts`` and ``block_counts`` are rows by class (one, where there are no labels), of all
    and by block; ``masses`` is what those of each class stand for.
    """

    size: int
    trust: float
    balance: str
    criterion: str
    pool: float
    diversity: str
    counts: Counts
    block_counts: Counts
    by_class: bool
    seed: int
    initial: Pool | None = None
    floor: int = 0
    same: float = 0.0
    masses: Counts | None = None

    @property
    def shares(self) -> Counts:
        """What the rows of each class stand for: their number, where they are alike."""
        return self.counts if self.masses is None else self.masses
