"""`gradient` for a target that is no class."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.strategies.base import TARGETS
from dask_distill.strategies.gradient import Gradient
from dask_distill.strategies.parts.sampling import Scored
from dask_distill.strategies.parts.scorers import NoveltyScorer
from dask_distill.survey.schema import Schema

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TargetGradient(Scored):
    """`gradient` for a target that is no class; see `TargetModel`."""

    name: ClassVar[str] = "gradient"
    listed: ClassVar[bool] = False
    tasks: ClassVar[frozenset[str]] = TARGETS
    needs_labels: ClassVar[bool] = False
    uses_proxy: ClassVar[bool] = False
    criterion: ClassVar[str] = "gradient"
    trap: ClassVar[str] = Gradient.trap

    def scorer(self, schema: Schema, proxy: Any) -> NoveltyScorer:
        """What was computed from the target."""
        return NoveltyScorer(self.criterion)
