"""`stratified`: a random sample that keeps the class proportions."""

from dataclasses import dataclass
from typing import ClassVar

from dask_distill.kernels.quotas import class_quotas
from dask_distill.strategies.base import NUMBERS, Ranges
from dask_distill.strategies.parts.ranking import Counts, Ranking
from dask_distill.support.options import Interval, option
from dask_distill.survey.schema import Schema


@dataclass(frozen=True)
class Stratified(Ranking):
    """A random sample of each class, in proportion, at least ``floor`` rows of each.

    A row weighs its class's rows / its class's quota, so that weighted class shares are those
    of the data. Where rows have sample weights, quotas and chances are in proportion to these.

    Parameters
    ----------
    floor : int
        Rows that every class gets at least (or all it has), while size allows.
    """

    floor: int = option(1, Interval(1), way_out="1 keeps every class")

    name: ClassVar[str] = "stratified"
    when: ClassVar[str] = "something to compare with: each class in proportion"
    tasks: ClassVar[frozenset[str]] = frozenset({NUMBERS})
    grows: ClassVar[bool] = True
    ranges: ClassVar[Ranges | None] = {}
    needs_labels: ClassVar[bool] = True
    grouped: ClassVar[bool] = True
    draws_by_number: ClassVar[bool] = True

    def quotas(self, schema: Schema, size: int) -> tuple[Counts, Counts]:
        """In proportion to the classes' rows."""
        counts = schema.class_counts
        return class_quotas(size, schema.masses, counts, self.floor), counts
