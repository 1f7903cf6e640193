"""`auto`: cells, the default.

Per class, rows are halved into as many cells of equal mass as the class has quota; a row of each
stands for its cell, taken such that neighbours make up for each other. Rows whose labels look
wrong are left out before, where models trained on the survey's sample do better without them: by
nature overlapping classes look alike. Where cells do no better there, a stratified sample is drawn.
Quotas come from exact counts, trust from the survey's sample, so that one question is enough. A
block finishes its cells alone where its share of a class is large. Small quotas are met from
the sample itself, before any block is asked; for the classes between, blocks offer candidates,
which meet on the coordinator.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Selection
from dask_distill.data.blocks import Block
from dask_distill.kernels.cells import Room, halve, representatives, totals
from dask_distill.kernels.masses import counted
from dask_distill.kernels.quotas import class_quotas
from dask_distill.kernels.streams import Generator
from dask_distill.proxy.fitting import judge_of
from dask_distill.proxy.models import Proxy, score
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies.base import AS_IT_IS, BALANCE, TARGETS, Footprint, Ranges, Strategy
from dask_distill.strategies.parts.allocation import (
    LOCAL_QUOTA,
    POOL_FACTOR,
    POOL_ROWS,
    allocate,
    block_shares,
)
from dask_distill.strategies.parts.candidates import (
    Chosen,
    Picked,
    Representatives,
    cut,
    generator,
    pooled,
    sampled,
    settle,
    sums,
)
from dask_distill.strategies.parts.cell_questions import (
    CellAnswer,
    CellChoice,
    CellQuestion,
    StratifiedChoice,
    StratifiedQuestion,
)
from dask_distill.strategies.parts.picking import Picking
from dask_distill.strategies.parts.ranking import RankAnswer, RankChoice, RankQuestion
from dask_distill.strategies.parts.regime import STRATIFIED
from dask_distill.strategies.parts.trust import JudgedRows, Judgement, judge_sample, times_of
from dask_distill.strategies.stratified import Stratified
from dask_distill.support.options import Interval, OneOf, option
from dask_distill.survey.schema import Schema
from dask_distill.survey.survey import SAMPLE_ROWS

Floats = npt.NDArray[np.float64]

_CLASS_FLOOR = 10
# of so many rows half of the tilt counts
_TILT, _TILTED_ROWS = 0.25, 500
_DRAWN = Stratified()
# what options may be, and what ends the sentence on what they may not
_TRUST = (OneOf("auto", "confident"), Interval(0, noun="a number"))
_AUTO = '"auto" is the default'
_OWN_PROXY = "to judge by a model of your own, pass distill(proxy=)"


@dataclass(frozen=True, kw_only=True)
class Auto(Strategy):
    """Cells: diverse rows of each class that stand for their neighbours, with weights.

    Parameters
    ----------
    balance : "proportional", "sqrt" or "equal"
        What class quotas are proportional to: the rows, their square root, or nothing.
        The last two help where rare classes matter; rows then weigh alike.
    trust : "auto", "confident" or float
        Which rows are left out since their labels look wrong. "confident": of each class as many
        as its purest rows say, those first of which the proxy is most confident that they are of
        another (thresholds by class, confident learning). "auto": those, but only where labels
        look wrong rather than classes overlap, and where models trained on the survey's sample
        do better without them; and where cells do no better there than a class-stratified random
        sample, that is drawn. A number: where the best other class beats the row's own by more;
        1 or more trusts every row, and nothing is tried.
    tilt : "auto" or float from 0 to 1
        How strongly cells shrink where the proxy is in doubt; 0 ignores doubt. "auto" is up to
        0.25: the fewer rows, the better they serve where the data is dense; half of it at 500.
    pick : "auto" or float from 0 to 1
        The part of a cell, nearest to its mean, of which a row is taken; 0 takes the nearest.
        "auto" goes from half of it to all of it, where many rows stand for many more.
    proxy : "ensemble" or "linear"
        The built-in judge: three softmax models on random Fourier features, each without the rows
        of the sample that it judges; or one on the features alone, faster, but blind to curves.
    floor : int
        Rows that every class gets at least (or all it has), while size allows; 0 is 10, or half
        of an equal share where that is less.

    Notes
    -----
    Without labels the cells divide the whole set; trust, quotas and doubt play no part. A
    stratified sample has no scores.

    What is tried, on which figures it was decided, and how many labels look wrong stands in the
    provenance, under ``selection``. Wrong labels are told from overlap by the purest rows of
    each class (`dask_distill.kernels.label_noise`): where no row of a class is pure by nature, they
    cannot be told apart.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), Confident learning: estimating uncertainty in dataset labels;
    Liu, Tao (2016), Classification with noisy labels by importance reweighting.
    """

    balance: str = option("proportional", BALANCE, way_out=AS_IT_IS)
    trust: float | str = option(
        "auto", *_TRUST, way_out='"auto" is the default, and 1 trusts every row'
    )
    tilt: float | str = option("auto", OneOf("auto"), Interval(0, 1), way_out=_AUTO)
    pick: float | str = option("auto", OneOf("auto"), Interval(0, 1), way_out=_AUTO)
    proxy: str = option("ensemble", OneOf("ensemble", "linear"), way_out=_OWN_PROXY)
    floor: int = option(0, Interval(0), way_out="0 is the default")

    name: ClassVar[str] = "auto"
    when: ClassVar[str] = "to train on less; labels may be wrong in places"
    tasks: ClassVar[frozenset[str]] = TARGETS
    takes_strata: ClassVar[bool] = True
    grows: ClassVar[bool] = True
    ranges: ClassVar[Ranges | None] = {
        "trust": ("auto", "confident", 1.0, 0.3),
        "tilt": ("auto", 0.0, 0.25, 0.5, 1.0),
        "pick": ("auto", 0.25, 0.5, 0.75, 1.0),
        "balance": ("proportional", "sqrt"),
    }
    takes_weights: ClassVar[bool] = True
    uses_proxy: ClassVar[bool] = True
    may_draw_by_number: ClassVar[bool] = True

    @property
    def settled(self) -> str | None:
        """Whom to trust is given, or left to the sample."""
        return None if self.trust == "auto" else f"trust={self.trust} says whose labels count"

    def ask(self, schema: Schema, size: int, proxy: Any) -> CellQuestion | StratifiedQuestion:
        """Fit the proxy, judge the sample, fix thresholds and quotas, settle small quotas."""
        sample = schema.sample
        scaling = Scaling.of(schema)
        counts, block_classes, codes = schema.counts, schema.block_classes, sample.codes
        model: Proxy | None = None
        judgement: Judgement | None = None
        judged = JudgedRows.alike(times_of(sample), schema.mean_mass)
        thresholds = np.array([np.inf])
        if counts is None or block_classes is None or codes is None:
            counts = np.array([schema.n], np.int64)
            block_classes = schema.block_counts[:, None]
            codes = np.zeros(len(sample.rows), np.int32)
        else:
            model = judge_of(schema, self.proxy, proxy)
            tried = size if self.balance == "proportional" else None
            tilt = _TILT * size / (size + _TILTED_ROWS)
            tilt = tilt if isinstance(self.tilt, str) else self.tilt
            judgement, judged = judge_sample(
                schema, model, scaling, self.trust, tilt, tried, self.pick
            )
            thresholds = judgement.thresholds
        floor = self.floor or max(1, min(_CLASS_FLOOR, size // (2 * len(counts))))
        decision = None if judgement is None else judgement.decision
        if decision is not None and decision.way == STRATIFIED:
            drawn = replace(_DRAWN, floor=floor).ask(schema, size, None)
            return StratifiedQuestion.of(drawn, decision)
        trusted = judged.gap <= thresholds[codes]
        sizes = np.bincount(codes, minlength=len(counts)).astype(np.int64)
        shares = self._shares(schema, codes, trusted, judged.times, judgement)
        quotas = class_quotas(size, shares, counts, floor)
        value = np.where(trusted, judged.mass, 0.0)
        by_block = block_shares(schema, sample, block_classes, value)
        alike = schema.block_masses is None
        allocation = allocate(quotas, counts, block_classes, sizes, by_block, alike=alike)
        picking = Picking.of(self.pick, size, schema.n)
        wanted = np.where(allocation.sampled, quotas, 0)
        settled, covered = settle(schema, scaling, judged, trusted, wanted, picking)
        between = ~allocation.local & ~allocation.sampled & (sizes >= quotas) & (quotas > 0)
        joining = np.flatnonzero(trusted & between[codes])
        reserve = sampled(schema, scaling, codes, judged, joining)
        return CellQuestion(
            proxy=model,
            scaling=scaling,
            judgement=judgement,
            quotas=quotas,
            allocation=allocation,
            settled=settled,
            reserve=reserve,
            group_rows=schema.masses,
            covered=covered,
            picking=picking,
            weigh=self.balance == "proportional",
            seed=schema.seed,
            unit=None if alike else schema.mean_mass,
            decision=decision,
        )

    def reads_features(self, question: CellQuestion | StratifiedQuestion) -> bool:
        """Cells are made of them; a stratified sample is not."""
        return isinstance(question, CellQuestion)

    def observe(self, state: Any, question: Any) -> Any:
        """Of a block, the representatives of its cells; of a stratified sample, keys."""
        if isinstance(question, CellQuestion):
            return self._cells(state, question)
        return _DRAWN.observe(state, question)

    def _cells(self, state: Block, question: CellQuestion) -> Picked:
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
                question.judgement.confident,
            )
            gap, doubt = scores.pop("trust_gap"), scores.pop("doubt")
            mass = question.judgement.mass(doubt) * judged.mass
            judged = JudgedRows(gap, mass, scores, times)
            thresholds = question.judgement.thresholds
        trusted = judged.gap <= thresholds[codes]
        # what the coordinator has settled, or may still choose by itself
        known = np.isin(state.rows, question.settled.rows) | np.isin(
            state.rows, question.reserve.rows
        )
        none = np.zeros(int(known.sum()))
        made = [Representatives(np.flatnonzero(known), none, none)]
        room = Room()
        for code in np.flatnonzero(question.allocation.cells[state.number]):
            wanted = int(question.allocation.cells[state.number, code])
            rows = judged.fill(np.flatnonzero(codes == code), trusted, wanted)
            rng = generator(question.seed, state.number, code)
            picking = question.picking.within(question.allocation.local[code])
            Z = question.scaling.within(room.take(X, rows, place=2))
            made.append(cut(Z, rows, judged, wanted, picking, rng, room, unit))
        every = np.concatenate([part.positions for part in made])
        picks, place = np.unique(every, return_inverse=True)
        counts = np.concatenate([part.counts for part in made])
        mass = np.concatenate([part.mass for part in made])
        return Picked(
            rows=state.rows[picks],
            codes=codes[picks],
            counts=sums(place, counts, len(picks)),
            mass=sums(place, mass, len(picks)),
            Z=question.scaling(X[picks]),
            scores={name: values[picks] for name, values in judged.scores.items()},
        )

    def answer(self, state: Any, question: Any) -> CellAnswer | RankAnswer:
        """Rows in the cells of each class, and the candidates of pooled classes."""
        if not isinstance(question, CellQuestion):
            return _DRAWN.answer(state, question)
        allocation = question.allocation
        made = state.counts > 0
        cell_rows = np.bincount(
            state.codes[made], weights=state.counts[made], minlength=len(question.quotas)
        ).astype(np.int64)
        pooled = np.flatnonzero(made & ~allocation.local[state.codes])
        if len(pooled) == 0:
            return CellAnswer(cell_rows, ())
        part = Picked(
            rows=state.rows[pooled],
            codes=state.codes[pooled],
            counts=state.counts[pooled],
            mass=state.mass[pooled],
            Z=state.Z[pooled],
            scores={},
        )
        return CellAnswer(cell_rows, ((int(part.rows[0]), part),))

    def combine(self, left: Any, right: Any) -> CellAnswer | RankAnswer:
        """Counts add up, candidates stand side by side."""
        if not isinstance(left, CellAnswer):
            return _DRAWN.combine(left, right)
        return CellAnswer(left.cell_rows + right.cell_rows, left.candidates + right.candidates)

    def advance(self, question: Any, answer: Any) -> RankQuestion | CellChoice | StratifiedChoice:
        """Halve the pooled candidates, each with the mass of its cell, to the quotas."""
        if isinstance(question, StratifiedQuestion):
            following = _DRAWN.advance(question, answer)
            if isinstance(following, RankQuestion):
                return following
            return StratifiedChoice(**following.parts(), decision=question.decision)
        parts = [part for _, part in sorted(answer.candidates, key=lambda item: item[0])]
        rows, counts = [question.settled.rows], [question.settled.counts]
        pool = pooled(parts, question.reserve)
        room = Room()
        for code in np.unique(pool.codes):
            mine = np.flatnonzero(pool.codes == code)
            rng = generator(question.seed, Generator.AUTO_POOL, code)
            Z, stand_for = pool.Z[mine], pool.counts[mine]
            cells = halve(Z, int(question.quotas[code]), rng, pool.mass[mine], room)
            relative = stand_for / (question.unit or 1.0)
            how = question.picking
            picks = representatives(Z, cells, rng, relative, how.near, room, how.choices)
            rows.append(pool.rows[mine[picks]])
            counts.append(totals(cells, stand_for))
        covered = question.covered + answer.cell_rows
        # a class without quota has nothing to weigh; its rows' share goes to the others
        served = question.quotas > 0
        n = int(question.group_rows.sum())
        factors = question.group_rows / np.where(covered > 0, covered, 1.0)
        return CellChoice(
            local=question.allocation.local,
            chosen=Chosen.of(rows, counts),
            factors=factors * (n / question.group_rows[served].sum()),
            weigh=question.weigh,
            uniform_weight=n / float(question.quotas.sum()),
            candidates=sum(len(part.rows) for part in parts),
            reserve=len(question.reserve.rows),
            decision=question.decision,
        )

    def choose(self, state: Any, choice: Any) -> Selection:
        """The block's share of the choice."""
        if isinstance(choice, RankChoice):
            return _DRAWN.choose(state, choice)
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

    def facts(self, choice: CellChoice | StratifiedChoice) -> dict[str, Any]:
        """How many rows the blocks sent, and how many of the sample joined them.

        The latter also went out to the blocks, with the question: at most the sample. And what
        was decided, on which figures.
        """
        told: dict[str, Any] = {}
        if isinstance(choice, CellChoice):
            told = {"candidates": choice.candidates, "reserve": choice.reserve}
        return told if choice.decision is None else told | {"decision": choice.decision.facts()}

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks keep their representatives; 2.5 candidates a selected row and the sample meet.

        But not of classes of which a block has enough to finish alone. Questions are those of a
        stratified sample, where one may be drawn.
        """
        sample = min(n, SAMPLE_ROWS)
        drawn = _DRAWN.footprint(n, d, classes, size)
        may_draw = self.settled is None
        return Footprint(
            rounds=drawn.rounds if may_draw else 1,
            state_bytes_per_row=(4 * d + 40) * POOL_FACTOR * size / n,
            answer_bytes_per_block=drawn.answer_bytes_per_block if may_draw else 0.0,
            pool_rows=POOL_FACTOR * size + sample,
            pool_rows_of_a_block=POOL_FACTOR * LOCAL_QUOTA * classes,
            pool_rows_beside=POOL_ROWS + sample,
        )

    def _shares(
        self,
        schema: Schema,
        codes: npt.NDArray[np.int32],
        trusted: npt.NDArray[np.bool_],
        times: Floats,
        judgement: Judgement | None,
    ) -> Floats:
        """What quotas are proportional to: with a fixed threshold, what it leaves of each class."""
        masses = schema.masses.astype(np.float64)
        if judgement is not None and judgement.confident is None:
            whole = counted(codes, len(masses), times)
            kept = counted(codes[trusted], len(masses), times[trusted])
            masses *= np.where(whole > 0, kept / np.maximum(whole, 1), 1.0)
        if self.balance == "proportional":
            return masses
        return np.sqrt(masses) if self.balance == "sqrt" else np.ones(len(masses))
