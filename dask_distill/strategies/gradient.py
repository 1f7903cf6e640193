"""`gradient`: the rows whose loss gradient is longest (the paper's criterion)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.block import Block
from dask_distill.strategies.ranking import Ranking, highest_first


@dataclass(frozen=True)
class Gradient(Ranking):
    """The rows of highest gradient norm under the proxy.

    At small fractions these are the mislabelled and borderline rows, and a model trained on
    them does far worse than one trained on a random subset. Of use at large fractions of
    clean data, or to find suspicious labels. Every row weighs n / size: the selection is not a
    sample, and no weights can make it one.

    References
    ----------
    Paul, Ganguli, Dziugaite (2021), Deep Learning on a Data Diet.
    """

    name: ClassVar[str] = "gradient"
    needs_labels: ClassVar[bool] = True
    uses_proxy: ClassVar[bool] = True
    warning: ClassVar[str | None] = (
        'strategy="gradient" keeps the rows of highest gradient norm; at small fractions those '
        "are mislabelled and borderline rows, and models trained on them do worse than on "
        'random rows; use "auto" unless this is what you want'
    )

    def keys(
        self, block: Block, scores: dict[str, npt.NDArray[np.float32]], seed: int
    ) -> npt.NDArray[np.uint32]:
        """Longest gradient first."""
        return highest_first(scores["gradient"])
