"""What `auto` asks of blocks, what they answer, and what is chosen."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Final
from dask_distill.proxy.models import Proxy
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies.parts.allocation import Allocation
from dask_distill.strategies.parts.candidates import Chosen, Picked
from dask_distill.strategies.parts.picking import Picking
from dask_distill.strategies.parts.ranking import RankChoice, RankQuestion
from dask_distill.strategies.parts.regime import Decision
from dask_distill.strategies.parts.trust import Judgement

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class CellQuestion:
    """How many cells each block makes of each class, and whom the blocks trust.

    Attributes
    ----------
    proxy, scaling : the judge; proxy is None without labels
    judgement : Judgement or None
    quotas : (C,) int64 array
        Rows wanted of each class.
    allocation : Allocation
    settled : Chosen
        What is chosen from the sample.
    reserve : Picked
        Rows of the sample that join the candidates.
    group_rows, covered : (C,) int64, float64 arrays
        What the rows of each class stand for, and the counts of what is settled.
    unit : float or None
        What a row stands for on average; None where they are alike.
    """

    proxy: Proxy | None
    scaling: Scaling
    judgement: Judgement | None
    quotas: Counts
    allocation: Allocation
    settled: Chosen
    reserve: Picked
    group_rows: Counts
    covered: Floats
    picking: Picking
    weigh: bool
    seed: int
    unit: float | None = None
    decision: Decision | None = None


@dataclass(frozen=True)
class CellAnswer:
    """What all cells stand for by class, and the candidates of the classes that are pooled."""

    cell_rows: Counts
    candidates: tuple[tuple[int, Picked], ...]


@dataclass(frozen=True, kw_only=True)
class CellChoice(Final):
    """What to take: every cell of the local classes, and these rows of the others."""

    local: npt.NDArray[np.bool_]
    chosen: Chosen
    factors: Floats
    weigh: bool
    uniform_weight: float
    candidates: int
    reserve: int
    decision: Decision | None = None


@dataclass(frozen=True, kw_only=True)
class StratifiedQuestion(RankQuestion):
    """A stratified sample, since cells do no better; and what that was decided by."""

    decision: Decision | None = None

    @classmethod
    def of(cls, drawn: RankQuestion, decision: Decision) -> "StratifiedQuestion":
        """The question of `Stratified`; rows are not scored, as blocks would keep scores of all."""
        told = {part.name: getattr(drawn, part.name) for part in fields(RankQuestion)}
        return cls(**told, decision=decision)


@dataclass(frozen=True, kw_only=True)
class StratifiedChoice(RankChoice):
    """The stratified sample, and what it was decided by."""

    decision: Decision | None = None
