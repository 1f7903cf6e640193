"""`active`: rows to label next."""

from dataclasses import dataclass
from typing import ClassVar

from dask_distill.strategies.base import Ranges
from dask_distill.strategies.combined import CRITERIA, DIVERSITY, Combined
from dask_distill.support.options import Interval, OneOf, option


@dataclass(frozen=True, kw_only=True)
class Active(Combined):
    """Rows that a model is unsure of, none of them like another or like one that is chosen.

    The rows of least margin fill a pool of ``pool`` rows for each one wanted; k-center chooses
    among them, around the rows that are chosen already (``initial`` of `distill`). For an
    unlabelled pool with a small labelled part: pass a ``proxy`` fitted on that part. The rows are
    for labelling, not a sample; see `dask_distill.labelling` for the loop.

    Parameters
    ----------
    trust, balance, criterion, pool, diversity, metric, scale, floor
        As of ``combined``, of which this is a setting.

    References
    ----------
    Scheffer, Decomain, Wrobel (2001), Active Hidden Markov Models for Information Extraction;
    Sener, Savarese (2018), Active learning for convolutional neural networks: a core-set approach.
    """

    trust: float = option(1.0, Interval(0), way_out="1 is the default")
    criterion: str = option("margin", OneOf(*CRITERIA, listed=True))
    diversity: str = option("kcenter", OneOf(*DIVERSITY, listed=True))

    name: ClassVar[str] = "active"
    when: ClassVar[str] = "rows to label next, none like another"
    tasks: ClassVar[frozenset[str]] = frozenset()
    ranges: ClassVar[Ranges | None] = None
