"""`auto`: trusted cells, the default.

Per class, rows that the proxy contradicts are left out; the others are halved into as many
cells of equal mass as the class has quota; a row of each stands for its cell, taken such that
neighbours make up for each other.
Quotas come from exact counts, trust from the survey's sample, so that one question is enough. A
block finishes its cells alone where its share of a class is large. Small quotas are met from
the sample itself, before any block is asked; for the classes between, blocks offer candidates,
which meet on the coordinator.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Final, Selection
from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.kernels.cells import Room, halve, representatives, totals
from dask_distill.kernels.masses import counted
from dask_distill.kernels.quotas import class_quotas
from dask_distill.kernels.streams import Generator
from dask_distill.proxy.estimator import use_estimator
from dask_distill.proxy.fitting import fit_ensemble, fit_softmax
from dask_distill.proxy.models import Proxy, score
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies.base import Footprint, Strategy
from dask_distill.strategies.parts.allocation import POOL_FACTOR, Allocation, allocate, block_shares
from dask_distill.strategies.parts.candidates import Chosen, Cut, Picked, cut, pooled, sums
from dask_distill.strategies.parts.trust import JudgedRows, Judgement, judge_sample, times_of
from dask_distill.survey.schema import Schema
from dask_distill.survey.survey import SAMPLE_ROWS

Counts = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

_CLASS_FLOOR = 10
# random streams beside those of the blocks


@dataclass(frozen=True)
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
    near: float
    weigh: bool
    seed: int
    unit: float | None = None


@dataclass(frozen=True)
class CellAnswer:
    """What all cells stand for by class, and the candidates of the classes that are pooled."""

    cell_rows: Counts
    candidates: tuple[tuple[int, Picked], ...]


@dataclass(frozen=True)
class CellChoice(Final):
    """What to take: every cell of the local classes, and these rows of the others."""

    local: npt.NDArray[np.bool_]
    chosen: Chosen
    factors: Floats
    weigh: bool
    uniform_weight: float
    candidates: int
    reserve: int


@dataclass(frozen=True)
class Auto(Strategy):
    """Trusted cells: diverse rows whose labels the proxy believes, with weights.

    Parameters
    ----------
    balance : "proportional", "sqrt" or "equal"
        What class quotas are proportional to: the kept rows, their square root, or nothing.
        The last two help where rare classes matter; rows then weigh alike.
    trust : float
        A row is left out where the best other class beats its own by more than this;
        1 or more trusts every row.
    tilt : float from 0 to 1
        How strongly cells shrink where the proxy is in doubt; 0 ignores doubt.
    pick : float from 0 to 1
        The part of a cell, nearest to its mean, of which a row is taken; 0 takes the nearest.
    proxy : "ensemble" or "linear"
        The built-in judge: three softmax models on random Fourier features, each without the
        rows that it judges in the sample; or one on the features alone, which is faster, and
        takes what is not linear for wrong labels.

    floor : int
        Rows that every class gets at least (or all it has), while size allows; 0 is 10, or half
        of an equal share where that is less.

    Notes
    -----
    Without labels the cells divide the whole set; trust, quotas and doubt play no part.
    """

    balance: str = "proportional"
    trust: float = 0.3
    tilt: float = 0.5
    pick: float = 0.7
    proxy: str = "ensemble"
    floor: int = 0

    name: ClassVar[str] = "auto"
    takes_weights: ClassVar[bool] = True
    uses_proxy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.balance not in ("proportional", "sqrt", "equal"):
            raise InputError(
                'balance must be "proportional", "sqrt" or "equal", '
                f"got {self.balance!r}; leave it out for proportional"
            )
        if self.proxy not in ("ensemble", "linear"):
            raise InputError(
                f'proxy must be "ensemble" or "linear", got {self.proxy!r}; to judge by a model of '
                "your own, pass distill(proxy=)"
            )
        if self.floor < 0:
            raise InputError(f"floor must be at least 0, got {self.floor}; 0 is the default")
        if not self.trust >= 0:
            raise InputError(f"trust must be at least 0, got {self.trust}; 0.3 is the default")
        for name, default in (("tilt", 0.5), ("pick", 0.7)):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(
                    f"{name} must be from 0 to 1, got {value}; {default} is the default"
                )

    def ask(self, schema: Schema, size: int, proxy: Any) -> CellQuestion:
        """Fit the proxy, judge the sample, fix thresholds and quotas, settle small quotas."""
        sample = schema.sample
        assert sample is not None
        scaling = Scaling.of(schema)
        model: Proxy | None = None
        judgement: Judgement | None = None
        judged = JudgedRows.alike(times_of(sample), schema.mean_mass)
        counts, block_classes, codes = schema.counts, schema.block_classes, sample.codes
        if counts is None or block_classes is None or codes is None:
            counts = np.array([schema.n], np.int64)
            block_classes = schema.block_counts[:, None]
            codes = np.zeros(len(sample.rows), np.int32)
            thresholds = np.array([np.inf])
        else:
            model = self._judge(schema, proxy)
            judgement, judged = judge_sample(schema, model, scaling, self.trust, self.tilt)
            thresholds = judgement.thresholds
        trusted = judged.gap <= thresholds[codes]
        sizes = np.bincount(codes, minlength=len(counts)).astype(np.int64)
        times = counted(codes, len(counts), judged.times)
        kept = counted(codes[trusted], len(counts), judged.times[trusted]) / np.maximum(times, 1)
        shares = schema.masses.astype(np.float64) * np.where(sizes > 0, kept, 1.0)
        if self.balance != "proportional":
            shares = np.sqrt(shares) if self.balance == "sqrt" else np.ones(len(counts))
        floor = self.floor or max(1, min(_CLASS_FLOOR, size // (2 * len(counts))))
        quotas = class_quotas(size, shares, counts, floor)
        value = np.where(trusted, judged.mass, 0.0)
        by_block = block_shares(schema, sample, block_classes, value)
        alike = schema.block_masses is None
        allocation = allocate(quotas, counts, block_classes, sizes, by_block, alike=alike)
        settled, covered = self._settle(
            schema, scaling, codes, judged, thresholds, quotas, allocation
        )
        between = ~allocation.local & ~allocation.sampled & (sizes >= quotas) & (quotas > 0)
        joining = np.flatnonzero(trusted & between[codes])
        reserve = Picked(
            sample.rows[joining],
            codes[joining],
            judged.times[joining],
            judged.mass[joining],
            scaling(sample.X[joining]),
            {},
        )
        return CellQuestion(
            model,
            scaling,
            judgement,
            quotas,
            allocation,
            settled,
            reserve,
            schema.masses,
            covered,
            self.pick,
            self.balance == "proportional",
            schema.seed,
            None if alike else schema.mean_mass,
        )

    def observe(self, state: Block, question: CellQuestion) -> Picked:
        """Score the block, make its cells, remember their representatives alone."""
        X, codes = state.X, state.codes
        if codes is None:
            codes = np.zeros(len(X), np.int32)
        times, unit = times_of(state), question.unit
        judged = JudgedRows.alike(times, unit or 1.0)
        thresholds = np.full(len(question.quotas), np.inf)
        if question.proxy is not None and question.judgement is not None:
            scores = score(
                question.proxy,
                question.scaling,
                X,
                state.rows,
                codes,
                state.probabilities,
            )
            gap, doubt = scores.pop("trust_gap"), scores.pop("doubt")
            mass = question.judgement.mass(doubt) * judged.mass
            judged = JudgedRows(gap, mass, scores, times)
            thresholds = question.judgement.thresholds
        # what the coordinator has settled, or may still choose by itself
        known = np.isin(state.rows, question.settled.rows) | np.isin(
            state.rows, question.reserve.rows
        )
        none = np.zeros(int(known.sum()))
        made = [Cut(np.flatnonzero(known), none, none)]
        room = Room()
        for code in np.flatnonzero(question.allocation.cells[state.number]):
            wanted = int(question.allocation.cells[state.number, code])
            rows = judged.trusted(np.flatnonzero(codes == code), thresholds[code], wanted)
            rng = _rng(question.seed, state.number, code)
            # candidates may be any row of their cells, since the pool is cut once more
            near = question.near if question.allocation.local[code] else 1.0
            Z = question.scaling.within(room.take(X, rows, place=2))
            made.append(cut(Z, rows, judged, wanted, near, rng, room, unit))
        every = np.concatenate([part.positions for part in made])
        picks, place = np.unique(every, return_inverse=True)
        counts = np.concatenate([part.counts for part in made])
        mass = np.concatenate([part.mass for part in made])
        return Picked(
            state.rows[picks],
            codes[picks],
            sums(place, counts, len(picks)),
            sums(place, mass, len(picks)),
            question.scaling(X[picks]),
            {name: values[picks] for name, values in judged.scores.items()},
        )

    def answer(self, state: Picked, question: CellQuestion) -> CellAnswer:
        """Rows in the cells of each class, and the candidates of pooled classes."""
        allocation = question.allocation
        made = state.counts > 0
        cell_rows = np.bincount(
            state.codes[made], weights=state.counts[made], minlength=len(question.quotas)
        ).astype(np.int64)
        pooled = np.flatnonzero(made & ~allocation.local[state.codes])
        if len(pooled) == 0:
            return CellAnswer(cell_rows, ())
        part = Picked(
            state.rows[pooled],
            state.codes[pooled],
            state.counts[pooled],
            state.mass[pooled],
            state.Z[pooled],
            {},
        )
        return CellAnswer(cell_rows, ((int(part.rows[0]), part),))

    def combine(self, left: CellAnswer, right: CellAnswer) -> CellAnswer:
        """Counts add up, candidates stand side by side."""
        return CellAnswer(left.cell_rows + right.cell_rows, left.candidates + right.candidates)

    def advance(self, question: CellQuestion, answer: CellAnswer) -> CellChoice:
        """Halve the pooled candidates, each with the mass of its cell, to the quotas."""
        parts = [part for _, part in sorted(answer.candidates, key=lambda item: item[0])]
        rows, counts = [question.settled.rows], [question.settled.counts]
        pool = pooled(parts, question.reserve)
        room = Room()
        for code in np.unique(pool.codes):
            mine = np.flatnonzero(pool.codes == code)
            rng = _rng(question.seed, Generator.AUTO_POOL, code)
            Z, stand_for = pool.Z[mine], pool.counts[mine]
            cells = halve(Z, int(question.quotas[code]), rng, pool.mass[mine], room)
            relative = stand_for / (question.unit or 1.0)
            picks = representatives(Z, cells, rng, relative, question.near, room)
            rows.append(pool.rows[mine[picks]])
            counts.append(totals(cells, stand_for))
        covered = question.covered + answer.cell_rows
        # a class without quota has nothing to weigh; its rows' share goes to the others
        served = question.quotas > 0
        n = int(question.group_rows.sum())
        factors = question.group_rows / np.where(covered > 0, covered, 1.0)
        return CellChoice(
            question.allocation.local,
            Chosen.of(rows, counts),
            factors * (n / question.group_rows[served].sum()),
            question.weigh,
            n / float(question.quotas.sum()),
            sum(len(part.rows) for part in parts),
            len(question.reserve.rows),
        )

    def choose(self, state: Picked, choice: CellChoice) -> Selection:
        """The block's share of the choice."""
        chosen, at = choice.chosen.find(state.rows)
        taken = (choice.local[state.codes] & (state.counts > 0)) | chosen
        stand_for = state.counts.copy()
        stand_for[chosen] = choice.chosen.counts[at[chosen]]
        weights = stand_for * choice.factors[state.codes]
        if not choice.weigh:
            weights = np.full(len(stand_for), choice.uniform_weight)
        return Selection(
            state.rows[taken],
            weights[taken],
            state.codes[taken],
            {name: values[taken] for name, values in state.scores.items()},
        )

    def facts(self, choice: CellChoice) -> dict[str, Any]:
        """How many rows the blocks sent, and how many of the sample joined them.

        The latter also went out to the blocks, with the question: at most the sample.
        """
        return {"candidates": choice.candidates, "reserve": choice.reserve}

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks keep their representatives; 2.5 candidates a selected row and the sample meet."""
        per_row = (4 * d + 40) * POOL_FACTOR * size / n
        return Footprint(1, per_row, 0.0, POOL_FACTOR * size + min(n, SAMPLE_ROWS))

    def _judge(self, schema: Schema, proxy: Any) -> Proxy:
        """The user's estimator, or the built-in model that is asked for."""
        if proxy is not None:
            return use_estimator(proxy, schema)
        return fit_ensemble(schema) if self.proxy == "ensemble" else fit_softmax(schema)

    def _settle(
        self,
        schema: Schema,
        scaling: Scaling,
        codes: npt.NDArray[np.int32],
        judged: JudgedRows,
        thresholds: Floats,
        quotas: Counts,
        allocation: Allocation,
    ) -> tuple[Chosen, Floats]:
        """Choose from the sample where it is large enough, and what that stands for by class."""
        chosen: list[Rows] = []
        counts: list[Floats] = []
        covered = np.zeros(len(quotas))
        unit = None if schema.block_masses is None else schema.mean_mass
        sample, room = schema.sample, Room()
        assert sample is not None
        for code in np.flatnonzero(allocation.sampled & (quotas > 0)):
            wanted = int(quotas[code])
            rows = judged.trusted(np.flatnonzero(codes == code), thresholds[code], wanted)
            rng = _rng(schema.seed, Generator.AUTO_SAMPLE, code)
            Z = scaling(sample.X[rows])
            made = cut(Z, rows, judged, wanted, self.pick, rng, room, unit)
            chosen.append(sample.rows[made.positions])
            counts.append(made.counts)
            covered[code] = judged.times[rows].sum()
        return Chosen.of(chosen, counts), covered


def _rng(seed: int, stream: int, code: int | np.integer) -> np.random.Generator:
    return np.random.default_rng([seed % 2**63, stream, int(code)])
