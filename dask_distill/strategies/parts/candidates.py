"""Rows on their way in `auto`: those that stand for cells, those that are chosen for good."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.cells import Room, halve, representatives, totals
from dask_distill.kernels.streams import Generator
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies.parts.picking import Picking
from dask_distill.strategies.parts.trust import JudgedRows
from dask_distill.survey.schema import Schema

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Chosen:
    """Rows chosen on the coordinator.

    Attributes
    ----------
    rows : (k,) int64 array
        Global row numbers, ascending.
    counts : (k,) float64 array
        What each stands for, relative to the others of its class.
    """

    rows: Rows
    counts: Floats

    @classmethod
    def of(cls, rows: list[Rows], counts: list[Floats]) -> "Chosen":
        """Put the classes together."""
        every = np.concatenate([np.empty(0, np.int64), *rows])
        order = np.argsort(every)
        return cls(every[order], np.concatenate([np.empty(0), *counts])[order])

    def find(self, rows: Rows) -> tuple[npt.NDArray[np.bool_], Rows]:
        """Which of these rows are chosen, and where."""
        if len(self.rows) == 0:
            return np.zeros(len(rows), bool), np.zeros(len(rows), np.int64)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return self.rows[at] == rows, at


@dataclass(frozen=True, kw_only=True)
class Picked:
    """A block's memory: the rows that stand for its cells, and those that are settled.

    Attributes
    ----------
    rows : (k,) int64 array, global row numbers, ascending
    codes : (k,) int32 array
    counts, mass : (k,) float64 arrays
        What the rows in each cell stand for, and their mass.
    Z : (k, d) float32 array
        Standardised features.
    scores : dict of (k,) float32 arrays
    """

    rows: Rows
    codes: npt.NDArray[np.int32]
    counts: Floats
    mass: Floats
    Z: Float32
    scores: dict[str, Float32]


def pooled(parts: list[Picked], reserve: Picked) -> Picked:
    """Candidates of all blocks and rows of the sample, as one view of each class.

    Both stand for the whole class: each is trusted by the number of its rows.
    """
    every = [*parts, reserve]
    codes = np.concatenate([part.codes for part in every])
    C = int(codes.max(initial=-1)) + 1
    counts, mass = [], []
    ours = np.bincount(reserve.codes, minlength=C)
    offered = np.bincount(codes, minlength=C) - ours
    total = np.zeros((2, C))
    for part in parts:
        total[0] += np.bincount(part.codes, part.counts, C)
        total[1] += np.bincount(part.codes, part.mass, C)
    share = offered / np.maximum(offered + ours, 1)
    for part in parts:
        counts.append(part.counts * share[part.codes])
        mass.append(part.mass * share[part.codes])
    # the sample's rows take the rest of what the candidates stand for
    rest = (1 - share) * total
    for of, values, out in ((0, reserve.counts, counts), (1, reserve.mass, mass)):
        own = np.bincount(reserve.codes, values, C)
        out.append(values * (rest[of] / np.where(own > 0, own, 1.0))[reserve.codes])
    rows, first, place = np.unique(
        np.concatenate([part.rows for part in every]), return_index=True, return_inverse=True
    )
    return Picked(
        rows=rows,
        codes=codes[first],
        counts=sums(place, np.concatenate(counts), len(rows)),
        mass=sums(place, np.concatenate(mass), len(rows)),
        Z=np.concatenate([part.Z for part in every])[first],
        scores={},
    )


@dataclass(frozen=True)
class Representatives:
    """Representatives of one class: positions, what their cells stand for, and their mass."""

    positions: Rows
    counts: Floats
    mass: Floats


def cut(
    Z: Float32,
    rows: Rows,
    judged: JudgedRows,
    wanted: int,
    picking: Picking,
    rng: np.random.Generator,
    room: Room,
    unit: float | None = None,
) -> Representatives:
    """Halve rows into so many cells, and pick one row of each.

    Parameters
    ----------
    Z : (m, d) float32 array
        Standardised features of these rows.
    rows : (m,) int64 array
        Where ``judged`` has them.
    judged : JudgedRows
    wanted : int
    picking : Picking
    rng : numpy.random.Generator
    room : Room
        For all classes.
    unit : float, optional
        What a row stands for on average, unless rows are alike.
    """
    mass, times = judged.mass[rows], judged.times[rows]
    cells = halve(Z, wanted, rng, mass, room)
    # of rows that are alike any two are equally near to their mean
    weight = None if unit is None else times / unit
    return Representatives(
        rows[representatives(Z, cells, rng, weight, picking.near, room, picking.choices)],
        totals(cells, times),
        totals(cells, mass),
    )


def sums(group: npt.NDArray[np.intp], values: Floats, groups: int) -> Floats:
    """Sum of the values in each group."""
    return np.bincount(group, values, groups).astype(np.float64)


def settle(
    schema: Schema,
    scaling: Scaling,
    judged: JudgedRows,
    trusted: npt.NDArray[np.bool_],
    quotas: Rows,
    picking: Picking,
) -> tuple[Chosen, Floats]:
    """Choose from the survey's sample what is wanted of classes that have enough rows there.

    Parameters
    ----------
    schema : Schema
    scaling : Scaling
    judged : JudgedRows
        The sample.
    trusted : (m,) bool array
    quotas : (C,) int64 array
        Rows wanted of each class; 0 of those that are not chosen here.
    picking : Picking

    Returns
    -------
    Chosen
    covered : (C,) float64 array
        What the rows that were chosen from stand for.
    """
    sample = schema.sample
    codes = np.zeros(len(sample.rows), np.int32) if sample.codes is None else sample.codes
    chosen: list[Rows] = []
    counts: list[Floats] = []
    covered, room = np.zeros(len(quotas)), Room()
    unit = None if schema.block_masses is None else schema.mean_mass
    for code in np.flatnonzero(quotas):
        wanted = int(quotas[code])
        rows = judged.fill(np.flatnonzero(codes == code), trusted, wanted)
        rng = generator(schema.seed, Generator.AUTO_SAMPLE, code)
        made = cut(scaling(sample.X[rows]), rows, judged, wanted, picking, rng, room, unit)
        chosen.append(sample.rows[made.positions])
        counts.append(made.counts)
        covered[code] = judged.times[rows].sum()
    return Chosen.of(chosen, counts), covered


def sampled(
    schema: Schema, scaling: Scaling, codes: Codes, judged: JudgedRows, rows: Rows
) -> Picked:
    """Rows of the survey's sample as candidates: each stands for itself."""
    sample = schema.sample
    return Picked(
        rows=sample.rows[rows],
        codes=codes[rows],
        counts=judged.times[rows],
        mass=judged.mass[rows],
        Z=scaling(sample.X[rows]),
        scores={},
    )


def generator(seed: int, stream: int, code: int | np.integer) -> np.random.Generator:
    """Of one class's draws in one place."""
    return np.random.default_rng([seed % 2**63, stream, int(code)])
