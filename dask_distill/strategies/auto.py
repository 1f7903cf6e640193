"""`auto`: trusted cells, the default.

Per class, rows that the proxy contradicts are left out; the others are halved into as many
cells of equal mass as the class has quota; a row near the middle of each stands for its cell.
Quotas by class and block come from exact counts, trust from the survey's sample, so that one
question is enough. A block finishes its cells alone where its share of a class is large; for
the other classes it offers candidates, which meet on the coordinator.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from dask_distill.block import Block
from dask_distill.budget import class_quotas, systematic
from dask_distill.conversation import Final, Selection
from dask_distill.errors import InputError
from dask_distill.kernels.cells import halve, representatives, totals
from dask_distill.proxy import (
    EnsembleProxy,
    EstimatorProxy,
    Scaling,
    fit_ensemble,
    score,
    use_estimator,
)
from dask_distill.strategies.base import Footprint, Strategy
from dask_distill.survey import Schema

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# a class smaller than this is never filtered: the proxy cannot know it
_TRUSTED_CLASS = 100
# at least this part of a class is kept, whatever the proxy says
_KEPT_PART = 0.3
_CLASS_FLOOR = 10
# a block finishes a class alone from this mean quota a block; below, rounding is too coarse
_LOCAL_QUOTA = 10
# candidates offered for each row selected, where blocks do not finish alone
_POOL_FACTOR = 2.5


@dataclass(frozen=True)
class CellQuestion:
    """How many cells each block makes of each class, and whom the blocks trust.

    Attributes
    ----------
    proxy, scaling : the judge; proxy is None without labels
    thresholds : (C,) float array
        A row is left out where its trust gap exceeds its class's threshold.
    mean_doubt : float
        Mean of 1 - max p over the kept rows of the sample.
    quotas : (C,) int64 array
        Rows wanted of each class.
    cells : (B, C) int64 array
        Cells that each block makes.
    local : (C,) bool array
        Classes whose cells are final as the blocks make them.
    group_rows : (C,) int64 array
    """

    proxy: EnsembleProxy | EstimatorProxy | None
    scaling: Scaling
    thresholds: Floats
    mean_doubt: float
    quotas: Counts
    cells: Counts
    local: npt.NDArray[np.bool_]
    group_rows: Counts
    tilt: float
    near: float
    weigh: bool
    seed: int


@dataclass(frozen=True)
class Picked:
    """A block's memory: the rows that stand for its cells.

    Attributes
    ----------
    rows : (k,) int64 array, global row numbers, ascending
    codes : (k,) int32 array
    counts, mass : (k,) float64 arrays
        Rows in each cell, and their mass.
    Z : (k, d) float32 array
        Standardised features.
    scores : dict of (k,) float32 arrays
    """

    rows: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]
    counts: Floats
    mass: Floats
    Z: npt.NDArray[np.float32]
    scores: dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class CellAnswer:
    """Rows in all cells by class, and the candidates of the classes that are pooled."""

    cell_rows: Counts
    candidates: tuple[tuple[int, Picked], ...]


@dataclass(frozen=True)
class CellChoice(Final):
    """What to take: every cell of the local classes, and these rows of the pooled ones."""

    local: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.int64]
    counts: Floats
    factors: Floats
    weigh: bool
    uniform_weight: float


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
        The part of a cell, nearest to its mean, of which a row is drawn; 0 takes the nearest.

    Notes
    -----
    Without labels the cells divide the whole set; trust, quotas and doubt play no part.
    """

    balance: str = "proportional"
    trust: float = 0.3
    tilt: float = 0.5
    pick: float = 0.5

    name: ClassVar[str] = "auto"
    uses_proxy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.balance not in ("proportional", "sqrt", "equal"):
            raise InputError(
                'balance must be "proportional", "sqrt" or "equal", '
                f"got {self.balance!r}; leave it out for proportional"
            )
        if not self.trust >= 0:
            raise InputError(f"trust must be at least 0, got {self.trust}; 0.3 is the default")
        for name in ("tilt", "pick"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{name} must be from 0 to 1, got {value}; 0.5 is the default")

    def ask(self, schema: Schema, size: int, proxy: Any) -> CellQuestion:
        """Fit the ensemble, judge the sample, fix thresholds and quotas."""
        scaling = Scaling.of(schema)
        model: EnsembleProxy | EstimatorProxy | None = None
        counts = schema.counts
        block_classes = schema.block_classes
        thresholds = np.array([np.inf])
        doubt = 1.0
        if counts is None or block_classes is None:
            counts = np.array([schema.n], np.int64)
            block_classes = schema.block_counts[:, None]
            kept = np.ones(1)
        else:
            model = fit_ensemble(schema) if proxy is None else use_estimator(proxy, schema)
            thresholds, kept, doubt = self._judge_sample(schema, model, scaling)
        shares = counts * kept
        if self.balance != "proportional":
            shares = np.sqrt(shares) if self.balance == "sqrt" else np.ones(len(counts))
        floor = max(1, min(_CLASS_FLOOR, size // (2 * len(counts))))
        quotas = class_quotas(size, shares, counts, floor)
        cells, local = _cells_by_block(quotas, counts, block_classes)
        return CellQuestion(
            model,
            scaling,
            thresholds,
            doubt,
            quotas,
            cells,
            local,
            counts,
            self.tilt,
            self.pick,
            self.balance == "proportional",
            schema.seed,
        )

    def observe(self, state: Block, question: CellQuestion) -> Picked:
        """Score the block, make its cells, remember their representatives alone."""
        Z = question.scaling(state.X)
        codes = np.zeros(len(Z), np.int32) if state.codes is None else state.codes
        scores: dict[str, npt.NDArray[np.float32]] = {}
        mass: Floats = np.ones(len(Z))
        gap = np.full(len(Z), -1, np.float32)
        if question.proxy is not None:
            scores = score(question.proxy, question.scaling, state.X, state.rows, codes)
            gap = scores.pop("trust_gap")
            doubt = scores.pop("doubt").astype(np.float64)
            mass = (1 - question.tilt) + question.tilt * doubt / question.mean_doubt
            # a cell of no mass could not be halved
            mass = np.maximum(mass, 1e-6)
        chosen, cell_counts, cell_mass = [], [], []
        for code in np.flatnonzero(question.cells[state.number]):
            wanted = int(question.cells[state.number, code])
            rows = _trusted(np.flatnonzero(codes == code), gap, question.thresholds[code], wanted)
            rng = np.random.default_rng([question.seed % 2**63, state.number, int(code)])
            cells = halve(Z[rows], wanted, rng, mass[rows])
            chosen.append(rows[representatives(Z[rows], cells, rng, near=question.near)])
            cell_counts.append(np.diff(cells.bounds).astype(np.float64))
            cell_mass.append(totals(cells, mass[rows]))
        picks = np.concatenate(chosen) if chosen else np.empty(0, np.int64)
        order = np.argsort(picks)
        picks = picks[order]
        return Picked(
            state.rows[picks],
            codes[picks],
            np.concatenate(cell_counts)[order] if chosen else np.empty(0),
            np.concatenate(cell_mass)[order] if chosen else np.empty(0),
            Z[picks],
            {name: values[picks] for name, values in scores.items()},
        )

    def answer(self, state: Picked, question: CellQuestion) -> CellAnswer:
        """Rows in the cells of each class, and the candidates of pooled classes."""
        cell_rows = np.bincount(
            state.codes, weights=state.counts, minlength=len(question.quotas)
        ).astype(np.int64)
        pooled = np.flatnonzero(~question.local[state.codes])
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
        rows: list[npt.NDArray[np.int64]] = []
        counts: list[Floats] = []
        if parts:
            every_row = np.concatenate([part.rows for part in parts])
            codes = np.concatenate([part.codes for part in parts])
            stand_for = np.concatenate([part.counts for part in parts])
            mass = np.concatenate([part.mass for part in parts])
            Z = np.concatenate([part.Z for part in parts])
            for code in np.flatnonzero(~question.local & (question.quotas > 0)):
                mine = np.flatnonzero(codes == code)
                rng = np.random.default_rng([question.seed % 2**63, 2**32, int(code)])
                cells = halve(Z[mine], int(question.quotas[code]), rng, mass[mine])
                picks = representatives(
                    Z[mine], cells, rng, weight=stand_for[mine], near=question.near
                )
                rows.append(every_row[mine[picks]])
                counts.append(totals(cells, stand_for[mine]))
        picked = np.concatenate(rows) if rows else np.empty(0, np.int64)
        order = np.argsort(picked)
        covered = np.maximum(answer.cell_rows, 1)
        # a class without quota has nothing to weigh; its rows' share goes to the others
        served = question.quotas > 0
        n = int(question.group_rows.sum())
        factors = question.group_rows / covered * (n / question.group_rows[served].sum())
        return CellChoice(
            question.local,
            picked[order],
            (np.concatenate(counts) if counts else np.empty(0))[order],
            factors,
            question.weigh,
            n / float(question.quotas.sum()),
        )

    def choose(self, state: Picked, choice: CellChoice) -> Selection:
        """The block's share of the choice."""
        taken = choice.local[state.codes].copy()
        stand_for = state.counts.copy()
        if len(choice.rows):
            at = np.minimum(np.searchsorted(choice.rows, state.rows), len(choice.rows) - 1)
            pooled = choice.rows[at] == state.rows
            taken |= pooled
            stand_for[pooled] = choice.counts[at[pooled]]
        weights = stand_for * choice.factors[state.codes]
        if not choice.weigh:
            weights = np.full(len(stand_for), choice.uniform_weight)
        return Selection(
            state.rows[taken],
            weights[taken],
            state.codes[taken],
            {name: values[taken] for name, values in state.scores.items()},
        )

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks keep their representatives; at most 2.5 candidates a selected row meet."""
        per_row = (4 * d + 40) * _POOL_FACTOR * size / n
        return Footprint(1, per_row, 0.0, _POOL_FACTOR * size)

    def _judge_sample(
        self, schema: Schema, model: EnsembleProxy | EstimatorProxy, scaling: Scaling
    ) -> tuple[Floats, Floats, float]:
        """Thresholds by class, the part of each class that is kept, and the mean doubt."""
        assert schema.sample is not None
        assert schema.sample.codes is not None
        assert schema.counts is not None
        sample = schema.sample
        assert sample.codes is not None
        judged = score(model, scaling, sample.X, sample.rows, sample.codes)
        C = len(schema.counts)
        thresholds = np.full(C, np.inf)
        kept = np.ones(C)
        for code in np.flatnonzero(schema.counts >= _TRUSTED_CLASS):
            gaps = judged["trust_gap"][sample.codes == code]
            if len(gaps) == 0:
                continue
            floor = np.sort(gaps)[int(np.ceil(_KEPT_PART * len(gaps))) - 1]
            thresholds[code] = max(self.trust, float(floor))
            kept[code] = (gaps <= thresholds[code]).mean()
        trusted = judged["trust_gap"] <= thresholds[sample.codes]
        doubt = float(judged["doubt"][trusted].astype(np.float64).mean())
        return thresholds, kept, max(doubt, 1e-6)


def _trusted(
    rows: npt.NDArray[np.int64], gap: npt.NDArray[np.float32], threshold: float, wanted: int
) -> npt.NDArray[np.int64]:
    """The rows to make cells of: the trusted ones, filled up with the least distrusted."""
    kept = rows[gap[rows] <= threshold]
    if len(kept) >= wanted:
        return kept
    return np.sort(rows[np.argsort(gap[rows], kind="stable")[:wanted]])


def _cells_by_block(
    quotas: Counts, counts: Counts, block_classes: Counts
) -> tuple[Counts, npt.NDArray[np.bool_]]:
    """Cells of each class in each block, and the classes that blocks finish alone."""
    cells = np.zeros_like(block_classes)
    blocks = (block_classes > 0).sum(axis=0)
    local = quotas >= _LOCAL_QUOTA * np.maximum(blocks, 1)
    # a class that lies in one block has nobody to meet
    local |= blocks <= 1
    for code in np.flatnonzero(quotas):
        wanted = int(quotas[code])
        if not local[code]:
            wanted = min(int(np.ceil(_POOL_FACTOR * wanted)), int(counts[code]))
        rows = block_classes[:, code]
        cells[:, code] = systematic(wanted, rows.astype(np.float64), rows)
    return cells, local
