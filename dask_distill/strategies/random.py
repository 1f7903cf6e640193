"""`random`: a uniform sample without replacement."""

from dataclasses import dataclass
from typing import ClassVar

from dask_distill.strategies.parts.ranking import Ranking


@dataclass(frozen=True)
class Random(Ranking):
    """A uniform sample: the rows whose hash of seed and row number is lowest.

    Every row weighs n / size. The baseline that any other strategy has to beat.
    """

    name: ClassVar[str] = "random"
