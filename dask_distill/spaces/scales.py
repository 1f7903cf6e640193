"""How features are scaled before rows are compared: scales that do not hang on a few rows.

Found from the survey's sample; each value is scaled for itself, so that blocks need no other
block, and rows no other row. What strategies see of the data is then in these scales; what is
written is the rows as they were.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block, tile_rows
from dask_distill.errors import InputError
from dask_distill.kernels.moments import moments, pool_moments
from dask_distill.kernels.rescaling import (
    LOG_BOUND,
    ROBUST_BOUND,
    middle,
    pressed,
    rank_knots,
    rank_scores,
    signed_log,
)
from dask_distill.proxy.estimator import EstimatorProxy
from dask_distill.runtime.threads import single_threaded
from dask_distill.survey.schema import Schema
from dask_distill.survey.stray import Stray

Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.floating]
Columns = npt.NDArray[np.int64]

SCALES = ("auto", "standard", "robust", "log", "rank", "none")
# those that are of each value, and need no moments
KINDS = ("robust", "log", "rank")
# features that a warning names
_NAMED = 5
# of the sizes in a column of one sign, the quantile below which a logarithm is linear: all but
# the least values keep their ratios
_UNIT_QUANTILE = 0.05


def check_scale(scale: str) -> None:
    """Refuse an unknown name.

    Raises
    ------
    InputError
    """
    if scale not in SCALES:
        raise InputError(
            f"scale must be one of {', '.join(SCALES)}, got {scale!r}; leave it out for auto"
        )


@dataclass(frozen=True, eq=False)
class Pressing:
    """Columns that are pressed into a bound, after a logarithm where they have a unit.

    Attributes
    ----------
    columns : (c,) int64 array
    center, spread : (c,) float64 arrays
    bound : float
    unit : (c,) float64 array or None
    """

    columns: Columns
    center: Floats
    spread: Floats
    bound: float
    unit: Floats | None = None

    @classmethod
    def robust(cls, columns: Columns, sample: Features) -> "Pressing":
        """By median and interquartile range."""
        found = [middle(sample[:, column].astype(np.float64)) for column in columns]
        center, spread = np.array(found, np.float64).reshape(-1, 2).T
        return cls(columns, center, spread, ROBUST_BOUND)

    @classmethod
    def log(cls, columns: Columns, sample: Features) -> "Pressing":
        """By a signed logarithm, and then as the robust ones."""
        units, middles = [], []
        for column in columns:
            values = sample[:, column].astype(np.float64)
            unit = _unit(values)
            units.append(unit)
            middles.append(middle(signed_log(values[:, None], np.array([unit]))[:, 0]))
        center, spread = np.array(middles, np.float64).reshape(-1, 2).T
        return cls(columns, center, spread, LOG_BOUND, np.array(units))

    def __call__(self, X: Features) -> Floats:
        """(m, c) float64 of (m, d) rows."""
        values = X[:, self.columns].astype(np.float64)
        if self.unit is not None:
            values = signed_log(values, self.unit)
        return pressed(values, self.center, self.spread, self.bound)


@dataclass(frozen=True, eq=False)
class RankTransform:
    """Columns of which the rank in the sample counts."""

    columns: Columns
    knots: tuple[tuple[Floats, Floats], ...]

    @classmethod
    def of(cls, columns: Columns, sample: Features) -> "RankTransform":
        """From the sample."""
        return cls(columns, tuple(rank_knots(sample[:, column]) for column in columns))

    def __call__(self, X: Features) -> Floats:
        """(m, c) float64 of (m, d) rows."""
        return np.column_stack(
            [
                rank_scores(X[:, column], *knots)
                for column, knots in zip(self.columns, self.knots, strict=True)
            ]
        )


@dataclass(frozen=True, eq=False)
class Scales:
    """What is done to which column; the others stay as they are.

    Attributes
    ----------
    parts : tuple of Pressing or RankTransform
    kinds : dict
        Kind by column number.
    """

    parts: tuple[Pressing | RankTransform, ...]
    kinds: dict[int, str]

    @classmethod
    def of(cls, schema: Schema, scale: str) -> "Scales":
        """As asked for; for "auto" of the columns alone whose spread a few rows make."""
        sample = schema.sample
        kinds = {stray.column: stray.remedy for stray in schema.stray}
        if scale != "auto":
            # those that are scaled together are indicators, waves and the like
            together = {n for group in schema.groups for n in range(group.start, group.stop)}
            kinds = {n: scale for n in range(schema.d) if n not in together}
        made: dict[str, Callable[[Columns, Features], Pressing | RankTransform]] = {
            "robust": Pressing.robust,
            "log": Pressing.log,
            "rank": RankTransform.of,
        }
        parts = []
        for kind in KINDS:
            columns = np.array([column for column, one in kinds.items() if one == kind], np.int64)
            if len(columns):
                parts.append(made[kind](columns, sample.X))
        return cls(tuple(parts), kinds)

    def __call__(self, X: Features) -> Features:
        """Rows in these scales, in the type of X; finite."""
        out = np.array(X, order="C")
        step = tile_rows(X.shape[1])
        for start in range(0, len(X), step):
            rows = slice(start, start + step)
            for part in self.parts:
                out[rows, part.columns] = part(X[rows])
        return out


def scaled_schema(scales: Scales, schema: Schema, judge: EstimatorProxy | None) -> Schema:
    """What strategies are told: sample, mean and scale in these scales.

    Of the sample, not of all rows: where values have bounds it knows them well enough.
    """
    sample = schema.sample
    X = scales(sample.X)
    mean, spread = moments(X, tile_rows(X.shape[1]), sample.mass)
    mean, spread = pool_moments([len(X)], [mean], [spread])
    changed = np.zeros(schema.d, bool)
    changed[list(scales.kinds)] = True
    judged = None
    if judge is not None:
        with single_threaded():
            judged = judge.judged(sample.X, sample.rows, sampled=True)
    return replace(
        schema,
        mean=np.where(changed, mean, schema.mean),
        scale=np.where(changed, spread, schema.scale),
        sample=replace(sample, X=X, probabilities=judged),
    )


def unscaled(schema: Schema) -> Schema:
    """With nothing to take off and nothing to divide by."""
    return replace(schema, mean=np.zeros(schema.d), scale=np.ones(schema.d))


def scaled_block(block: Block, scales: Scales, judge: EstimatorProxy | None) -> Block:
    """A block in these scales; a model of the user's judges the features as they are."""
    judged = block.probabilities
    if judge is not None:
        judged = judge.judged(block.X, block.rows)
    return replace(block, X=scales(block.X), probabilities=judged)


def told_scales(
    stray: Sequence[Stray], scale: str, names: Sequence[str] | None, *, touched: bool
) -> dict[str, Any]:
    """For the provenance: what became of the features whose spread a few rows make, and why."""
    own = {"auto": "as it is", "none": "as it is"}.get(scale, scale)
    columns = [
        {
            "column": stray.column if names is None else names[stray.column],
            "scale": stray.remedy if touched and scale == "auto" else own,
            "remedy": stray.remedy,
            **stray.as_dict(),
        }
        for stray in stray
    ]
    return {"scale": scale, "columns": columns}


def stray_warning(provenance: Mapping[str, Any]) -> str | None:
    """What to warn of, from the provenance: features that were scaled otherwise, or should be."""
    scaling = provenance["scaling"]
    if scaling is None or scaling["scale"] != "auto":
        return None
    scaled = [entry for entry in scaling["columns"] if entry["scale"] in KINDS]
    if scaled:
        remedies = " and ".join(sorted({entry["scale"] for entry in scaled}))
        return (
            f"{_listed(scaled)}; scaled by {remedies} for the selection: "
            'scale="standard" / --scale standard divides by the standard deviation all the same'
        )
    if scaling["columns"] and provenance["parameters"]["options"].get("scale") == "none":
        remedy = scaling["columns"][0]["remedy"]
        return (
            f"{_listed(scaling['columns'])}; distances see little else: "
            f'scale="{remedy}" / --scale {remedy} brings it in'
        )
    return None


def _listed(entries: Sequence[Mapping[str, Any]]) -> str:
    """Features by name or number, the values of the first."""
    names = ", ".join(str(entry["column"]) for entry in entries[:_NAMED])
    more = f", … ({len(entries):,} in all)" if len(entries) > _NAMED else ""
    one = entries[0]
    return (
        f"a few rows make the spread of feature{'s' if len(entries) > 1 else ''} {names}{more}: "
        f"{one['column']} has values from {one['least']:.4g} to {one['greatest']:.4g}, of which "
        f"99 % lie from {one['low']:.4g} to {one['high']:.4g}"
    )


def _unit(values: Floats) -> float:
    """Below what size a logarithm is linear."""
    sizes = np.abs(values[values != 0])
    if len(sizes) == 0:
        return 1.0
    one_sided = (values >= 0).all() or (values <= 0).all()
    unit = float(np.quantile(sizes, _UNIT_QUANTILE if one_sided else 0.5))
    return max(unit, np.finfo(np.float64).tiny)
