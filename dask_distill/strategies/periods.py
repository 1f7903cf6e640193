"""`periods`: a random sample of every period, so that no season is lost."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.kernels.masses import counted, draw_keys
from dask_distill.kernels.quotas import class_quotas
from dask_distill.kernels.ranking import add_histograms
from dask_distill.kernels.streams import Stream
from dask_distill.kernels.timeline import period_numbers
from dask_distill.strategies.base import Footprint
from dask_distill.strategies.parts.ranking import Counts, RankChoice, Ranked, RankQuestion
from dask_distill.strategies.parts.steps import Inquiry
from dask_distill.strategies.parts.stepwise import SteppedRanking
from dask_distill.support.options import Interval, OneOf, option
from dask_distill.survey.schema import Schema

CALENDAR = ("year", "quarter", "month", "week", "day", "hour")
# quotas of more groups than this are no quotas any more
_MOST_SPANS = 10_000
_SPANS = Interval(1, _MOST_SPANS, kind="whole", noun="a number of spans")


@dataclass(frozen=True)
class Ends:
    """First and last time."""

    first: float
    last: float

    def merge(self, other: "Ends") -> "Ends":
        """Of both."""
        return Ends(min(self.first, other.first), max(self.last, other.last))


@dataclass(frozen=True)
class Occupied:
    """Groups that have rows, ascending: a group is a period of a class.

    How many rows, and what they stand for: their number too, where they are alike.
    """

    groups: Counts
    counts: Counts
    masses: Counts

    def merge(self, other: "Occupied") -> "Occupied":
        """They add up."""
        mine, its = (self.groups, self.counts, self.masses), (other.groups, other.counts)
        return Occupied(*add_histograms(mine, (*its, other.masses)))


@dataclass(frozen=True, kw_only=True)
class PeriodAim:
    """What is wanted; ``taken`` are the times of rows that were chosen before.

    ``weighed`` is whether rows stand for other numbers than one.
    """

    size: int
    period: str
    spans: int
    balance: str
    classes: int
    seed: int
    taken: npt.NDArray[np.float64]
    weighed: bool = False

    def periods_of(self, times: npt.NDArray[np.float64], ends: Ends | None) -> Counts:
        """(m,) number of each time's period."""
        if ends is None:
            return period_numbers(times, self.period)
        width = max(ends.last - ends.first, np.finfo(np.float64).tiny)
        share = (times - ends.first) / width
        numbers: Counts = np.clip((share * self.spans).astype(np.int64), 0, self.spans - 1)
        return numbers

    def groups_of(self, block: Block, ends: Ends | None) -> Counts:
        """(m,) number of each row's period and class."""
        period = self.periods_of(block.times, ends)
        code = 0 if block.codes is None else block.codes.astype(np.int64)
        return period * self.classes + code


@dataclass(frozen=True)
class When(Inquiry):
    """When are your first and last rows?"""

    asked: PeriodAim

    def answer(self, state: Block) -> Ends:
        """Of this block."""
        times = state.times
        return Ends(float(times.min(initial=np.inf)), float(times.max(initial=-np.inf)))

    def advance(self, answer: Ends) -> "CountPeriods":
        """Cut time into equal spans, that of rows chosen before too."""
        taken = self.asked.taken
        ends = answer.merge(Ends(taken.min(initial=np.inf), taken.max(initial=-np.inf)))
        return CountPeriods(self.asked, ends)


@dataclass(frozen=True)
class CountPeriods(Inquiry):
    """How many rows do you have of each period and class?"""

    asked: PeriodAim
    ends: Ends | None = None

    def answer(self, state: Block) -> Occupied:
        """Of this block."""
        groups, place = np.unique(self.asked.groups_of(state, self.ends), return_inverse=True)
        counts = counted(place, len(groups))
        return Occupied(groups, counts, counted(place, len(groups), state.mass))

    def advance(self, answer: Occupied) -> "DrawPeriods":
        """Quotas of the periods, then of the classes in each."""
        asked = self.asked
        period = answer.groups // asked.classes
        number, place = np.unique(period, return_inverse=True)
        covered = np.isin(number, asked.periods_of(asked.taken, self.ends))
        if int((~covered).sum()) > asked.size:
            beside = " beside those set apart" if len(asked.taken) else ""
            raise InputError(
                f"size must be at least the number of periods ({int((~covered).sum())} of period="
                f"{asked.period or asked.spans}), got {asked.size}{beside}; raise it, or choose "
                "longer ones"
            )
        rows = np.bincount(place, answer.counts).astype(np.int64)
        shares = np.ones(len(rows))
        if asked.balance == "proportional":
            shares = np.bincount(place, answer.masses).astype(np.float64)
        of_period = _of_periods(asked.size, shares, rows, covered)
        quotas = np.zeros(len(answer.groups), np.int64)
        for one in range(len(number)):
            members = np.flatnonzero(place == one)
            counts, share = answer.counts[members], answer.masses[members].astype(np.float64)
            quotas[members] = class_quotas(int(of_period[one]), share, counts, 1)
        # a class that a period is too small for is drawn from nowhere: its rows count elsewhere
        counts, masses = _shared(answer.counts, quotas, place, len(number)), None
        if asked.weighed:
            counts, masses = answer.counts, _shared(answer.masses, quotas, place, len(number), 1)
        found = {"ends": self.ends, "occupied": answer.groups, "group_masses": masses}
        return DrawPeriods.begin(quotas, counts, asked.seed, asked=asked, **found)


@dataclass(frozen=True, kw_only=True)
class DrawPeriods(RankQuestion):
    """A ranking by hash in each group."""

    asked: PeriodAim
    ends: Ends | None
    occupied: Counts

    def observe(self, state: Block | Ranked) -> Ranked:
        """Groups and keys; the features are let go."""
        if isinstance(state, Ranked):
            return state
        groups = np.searchsorted(self.occupied, self.asked.groups_of(state, self.ends))
        return Ranked(
            number=state.number,
            rows=state.rows,
            keys=draw_keys(state.rows, self.seed, stream=Stream.PERIODS, mass=state.mass),
            groups=groups.astype(np.int32),
            codes=state.codes,
            scores={},
            mass=state.mass,
        )


@dataclass(frozen=True)
class Periods(SteppedRanking):
    """A random sample of each period of time, and in it of each class.

    For series with seasons: a plain random sample of some rows may miss a quiet month, and a
    selection by score takes whatever month is hardest. A row weighs the rows of its period (and
    class) for each one taken.

    Parameters
    ----------
    period : str or int
        "year", "quarter", "month", "week", "day" or "hour" of the calendar (UTC), which needs
        dates; or into how many equal spans time is cut.
    balance : "proportional" or "equal"
        Whether a period gets rows as it has them, or as many as every other. Each gets one at
        least; where ``size`` is too small for that, those with a row of ``protect`` or
        ``initial`` go without.
    """

    period: float | str = option("month", OneOf(*CALENDAR, listed=True), _SPANS)
    balance: str = option("proportional", OneOf("proportional", "equal"))

    name: ClassVar[str] = "periods"
    when: ClassVar[str] = "no month of a series lost"
    grows: ClassVar[bool] = True
    needs_time: ClassVar[bool] = True
    balances_classes: ClassVar[bool] = False

    def check_time(self, dates: bool) -> None:
        """Months need dates."""
        if isinstance(self.period, str) and not dates:
            raise InputError(
                f"period={self.period} needs dates as time, got plain numbers; give a number of "
                "equal spans, e.g. period=12"
            )

    def ask(self, schema: Schema, size: int, proxy: Any) -> Any:
        """Begin with the ends of time, or with the calendar."""
        classes = 1 if schema.classes is None else len(schema.classes)
        calendar, chosen = isinstance(self.period, str), schema.chosen
        asked = PeriodAim(
            size=size,
            period=str(self.period) if calendar else "",
            spans=0 if calendar else int(self.period),
            balance=self.balance,
            classes=classes,
            seed=schema.seed,
            taken=np.empty(0) if chosen is None or chosen.time is None else chosen.time,
            weighed=schema.block_masses is not None,
        )
        return CountPeriods(asked) if calendar else When(asked)

    def observe(self, state: Any, question: Any) -> Any:
        """As the question has it, the draw's too."""
        return (
            question.observe(state)
            if isinstance(question, DrawPeriods)
            else super().observe(state, question)
        )

    def facts(self, choice: RankChoice) -> dict[str, Any]:
        """How many groups there are."""
        return {"groups": len(choice.quotas)}

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks are held for one or two questions before the draw."""
        need = super().footprint(n, d, classes, size)
        return replace(need, rounds=need.rounds + 2, state_bytes_per_row=4.0 * d + 24)


def _of_periods(
    size: int, shares: npt.NDArray[np.float64], rows: Counts, covered: npt.NDArray[np.bool_]
) -> Counts:
    """Quotas of the periods; each gets a row, unless there are too few and it is covered."""
    if size >= len(rows):
        return class_quotas(size, shares, rows, 1)
    quotas = (~covered).astype(np.int64)
    left = size - int(quotas.sum())
    return quotas + class_quotas(left, shares * covered, rows * covered, 1)


def _shared(
    counts: Counts,
    quotas: Counts,
    place: npt.NDArray[np.intp],
    periods: int,
    parts: int = 2**20,
) -> Counts:
    """(G,) rows that each group stands for: groups without a quota are stood for by the rest."""
    lost = np.bincount(place, np.where(quotas == 0, counts, 0), periods)
    kept = np.bincount(place, np.where(quotas > 0, counts, 0), periods)
    factor = 1 + lost / np.maximum(kept, 1)
    # whole parts of a million, so that weights keep six digits and sums stay whole; masses do so
    return np.rint(counts * factor[place] * parts).astype(np.int64)
