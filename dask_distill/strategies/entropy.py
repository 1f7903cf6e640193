"""`entropy`: the rows that the proxy is least sure of (the paper's criterion)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.block import Block
from dask_distill.strategies.ranking import Ranking, highest_first


@dataclass(frozen=True)
class Entropy(Ranking):
    """The rows of highest entropy of the proxy's class probabilities.

    Uncertainty sampling. At small fractions the subset is the border between the classes
    alone, and a model trained on it does worse than on a random one. Every row weighs
    n / size: the selection is not a sample, and no weights can make it one. Without labels it
    works with the user's own fitted ``proxy``.

    References
    ----------
    Settles (2009), Active Learning Literature Survey.
    """

    name: ClassVar[str] = "entropy"
    needs_labels: ClassVar[bool] = True
    uses_proxy: ClassVar[bool] = True
    warning: ClassVar[str | None] = (
        'strategy="entropy" keeps the rows of highest entropy; at small fractions those are the '
        "border between classes alone, and models trained on them do worse than on random "
        'rows; use "auto" unless this is what you want'
    )

    def requires_labels(self, proxy: object) -> bool:
        """The user's model can be unsure of rows that have no label."""
        return proxy is None

    def keys(
        self, block: Block, scores: dict[str, npt.NDArray[np.float32]], seed: int
    ) -> npt.NDArray[np.uint32]:
        """Highest entropy first."""
        return highest_first(scores["entropy"])
