"""`random`: a uniform sample without replacement."""

from dataclasses import dataclass
from typing import ClassVar

from dask_distill.strategies.base import TARGETS
from dask_distill.strategies.parts.ranking import Ranking


@dataclass(frozen=True)
class Random(Ranking):
    """A uniform sample: the rows whose hash of seed and row number is lowest.

    Every row weighs n / size; where rows have sample weights, chances are in proportion to these,
    and rows that are sure to be drawn weigh their own. The baseline that any other strategy has to
    beat.
    """

    name: ClassVar[str] = "random"
    when: ClassVar[str] = "something to compare with: all rows alike"
    tasks: ClassVar[frozenset[str]] = TARGETS
    grows: ClassVar[bool] = True
    draws_by_number: ClassVar[bool] = True
