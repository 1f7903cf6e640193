"""The criteria: what a score is called, and how it is computed from class probabilities.

One entry is all that a criterion takes: `dask_distill.score`, the command line and the strategies
that score rows go by the names that are here. Knows arrays, no Dask.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dask_distill.kernels import scores
from dask_distill.kernels.label_noise import contradiction

Float32 = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class ScoredTile:
    """A tile of rows with what a proxy says of them.

    Attributes
    ----------
    P : (m, C) float32 array
        Class probabilities.
    Z : (m, d) float32 array
        Features as the proxy sees them.
    codes : (m,) int32 array
        Class numbers; empty where there are no labels.
    confident : (C,) float64 array or None
        Thresholds by class, of `dask_distill.kernels.label_noise.contradiction`.
    work : (k,) float32 array or None
        Memory for criteria that want some, one after the other: k >= m * C.
    """

    P: Float32
    Z: Float32
    codes: Codes
    confident: npt.NDArray[np.float64] | None = None
    work: Float32 | None = None

    @cached_property
    def top(self) -> tuple[scores.Float, scores.Float]:
        """(m,) the greatest probability of each row, and the next."""
        return scores.top_two(self.P)

    @cached_property
    def error(self) -> Float32:
        """(m,) length of the error vector."""
        return scores.el2n(self.P, self.codes, self.work)


@dataclass(frozen=True)
class Criterion:
    """What rows are scored by.

    Attributes
    ----------
    of : callable
        The score of each row of a `ScoredTile`, (m,) float32.
    labelled : bool
        Whether it asks how far probabilities are from the labels.
    reported : bool
        Whether a coreset shows it unless asked.
    """

    of: Callable[[ScoredTile], Float32]
    labelled: bool = False
    reported: bool = False


def _trust_gap(tile: ScoredTile) -> Float32:
    if tile.confident is None:
        return scores.trust_gap(tile.P, tile.codes, tile.top)
    return contradiction(tile.P, tile.codes, tile.confident).astype(np.float32)


# by name, in the order in which they are told
CRITERIA = {
    # the gradient's norm, without computing EL2N again
    "gradient": Criterion(
        lambda tile: tile.error * scores.input_length(tile.Z), labelled=True, reported=True
    ),
    "entropy": Criterion(lambda tile: scores.entropy(tile.P, tile.work), reported=True),
    "el2n": Criterion(lambda tile: tile.error, labelled=True, reported=True),
    "margin": Criterion(lambda tile: scores.margin(tile.P, tile.top), reported=True),
    "doubt": Criterion(lambda tile: (1 - tile.top[0]).astype(np.float32, copy=False)),
    "trust_gap": Criterion(_trust_gap, labelled=True),
}


def named_criteria(*, labelled: bool | None = None, reported: bool | None = None) -> list[str]:
    """Names of criteria, of all or of those that are so.

    Examples
    --------
    >>> named_criteria(labelled=False)
    ['entropy', 'margin', 'doubt']
    """
    return [
        name
        for name, each in CRITERIA.items()
        if labelled in (None, each.labelled) and reported in (None, each.reported)
    ]
