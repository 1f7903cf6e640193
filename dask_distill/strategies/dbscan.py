"""`dbscan`: leave out noise, and draw from every dense group."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from dask_distill.kernels.density import guess_eps
from dask_distill.kernels.masses import draw_keys
from dask_distill.kernels.quotas import class_quotas
from dask_distill.kernels.streams import Stream
from dask_distill.strategies.base import AS_IT_IS, BALANCE, SCALE, TARGETS, Footprint
from dask_distill.strategies.parts.density import MOST_ROWS, Grid, Ints
from dask_distill.strategies.parts.density_rows import Density, Gridded, Projection
from dask_distill.strategies.parts.ranking import RankChoice, Ranked, RankQuestion
from dask_distill.strategies.parts.stepwise import SteppedRanking, Tally
from dask_distill.support.options import Interval, OneOf, option
from dask_distill.survey.schema import Schema
from dask_distill.survey.survey import SAMPLE_ROWS

_MOST_AXES = 4
# where rows meet, their cells in several tables and neighbours of theirs, a row and axis: measured
_WORKED_BYTES = 110


@dataclass(frozen=True)
class DrawPlan:
    """How rows are drawn in the end: so many, by this balance."""

    size: int
    balance: str

    def __call__(self, aim: Density, labels: Ints, clusters: int, rows: Ints, of: Ints) -> "Label":
        """The question after the last one of the density."""
        return Label(
            aim=aim, draw=self, labels=labels, clusters=clusters, border_rows=rows, border_labels=of
        )


@dataclass(frozen=True, kw_only=True)
class Label:
    """How many of your rows are in each group? Cells tell of dense rows, a list of others."""

    aim: Density
    draw: DrawPlan
    labels: Ints
    clusters: int
    border_rows: Ints
    border_labels: Ints

    def observe(self, state: Gridded) -> Ranked:
        """Label every row, draw its key, and let the rest go."""
        label = np.where(state.core, self.labels[state.place], -1)
        at = np.searchsorted(self.border_rows, state.rows)
        at = np.minimum(at, max(len(self.border_rows) - 1, 0))
        if len(self.border_rows):
            border = self.border_rows[at] == state.rows
            label[border] = self.border_labels[at[border]]
        return Ranked(
            number=state.number,
            rows=state.rows,
            keys=draw_keys(state.rows, self.aim.seed, stream=Stream.DBSCAN, mass=state.mass),
            groups=(label + 1).astype(np.int32),
            codes=state.codes,
            scores={"cluster": label.astype(np.float32)},
            mass=state.mass,
        )

    def answer(self, state: Ranked) -> Tally:
        """Of this block."""
        return Tally.of(state.groups, self.clusters + 1, state.mass)

    def advance(self, answer: Tally) -> "DenseQuestion":
        """Quotas of the groups; noise has one only where they do not suffice."""
        counts = answer.counts
        available = counts.copy()
        available[0] = 0
        dense = min(self.draw.size, int(available.sum()))
        shares = np.where(available > 0, answer.shares, 0).astype(np.float64)
        if self.draw.balance != "proportional":
            shares = np.sqrt(shares) if self.draw.balance == "sqrt" else (shares > 0).astype(float)
        quotas = np.zeros_like(counts)
        if dense:
            quotas = class_quotas(dense, shares, available, 1)
        quotas[0] = self.draw.size - dense
        seed, eps = self.aim.seed, self.aim.eps
        return DenseQuestion.begin(quotas, counts, seed, eps=eps, group_masses=answer.masses)


@dataclass(frozen=True, kw_only=True)
class DenseQuestion(RankQuestion):
    """The draw."""

    eps: float


@dataclass(frozen=True, kw_only=True)
class DenseChoice(RankChoice):
    """The draw's last word, and the eps that was used."""

    eps: float


@dataclass(frozen=True)
class DBSCAN(SteppedRanking):
    """Rows of dense groups, each in proportion, and no noise.

    Groups are those of DBSCAN: rows with at least ``min_samples`` rows within ``eps``, and
    what hangs together. Helps where the rows that matter are dense and stray ones are errors;
    hurts where stray rows are what matters (they are gone), and says little where density
    varies much from place to place, or in many dimensions. Rows are drawn at random within a
    group and weigh the group's rows for each one taken. Labels play no part. Sample weights
    count in quotas, chances and weights; what is dense is counted in rows.

    Parameters
    ----------
    eps : float or "auto"
        "auto" takes the bend of the distances to the ``min_samples``-th neighbour in a sample:
        a rule of thumb, told in the provenance.
    min_samples : int
        Rows within eps, itself included, that make a row dense.
    axes : int
        From 1 to 4. Where there are more features, density is measured on so many first
        principal axes (of the survey's sample); rows apart elsewhere then count as near.
    scale : "standard" or "none"
        Whether each feature is divided by its standard deviation first.
    balance : "proportional", "sqrt" or "equal"
        What the groups' quotas are proportional to; each gets a row where size allows.

    Notes
    -----
    Clusters and noise are exactly those of scikit-learn's DBSCAN on the same axes, whatever the
    blocks: counts by cells of a grid settle what is dense or empty, and rows that they do not
    settle are sent for, never more than 1,000,000 at once; beyond, the run is refused. Where eps
    holds hundreds of rows those are few; with "auto" it holds some ``min_samples``, and nearly
    all rows are sent once or twice: then it is for a million rows, not for a billion. The
    score ``cluster`` tells each row's group, -1 for noise. Noise is selected only where fewer
    other rows exist than wanted.

    References
    ----------
    Ester, Kriegel, Sander, Xu (1996), A density-based algorithm for discovering clusters in
    large spatial databases with noise; Gunawan (2013), A faster algorithm for DBSCAN (the
    grid); Song, Lee (2018), RP-DBSCAN.
    """

    eps: float | str = option("auto", Interval(0, closed="neither"), OneOf("auto"))
    min_samples: int = option(10, Interval(1), way_out="10 is the default")
    axes: int = option(4, Interval(1, _MOST_AXES), way_out="lower it")
    scale: str = option("standard", SCALE)
    balance: str = option("proportional", BALANCE, way_out=AS_IT_IS)

    name: ClassVar[str] = "dbscan"
    when: ClassVar[str] = "dense groups without stray rows"
    tasks: ClassVar[frozenset[str]] = TARGETS
    balances_classes: ClassVar[bool] = False

    def ask(self, schema: Schema, size: int, proxy: Any) -> Any:
        """Fix where density is measured, and eps."""
        inverse = 1 / schema.scale if self.scale == "standard" else np.ones(schema.d)
        # without scaling rows stay where they are: equal to the last bit
        mean = schema.mean if self.scale == "standard" else np.zeros(schema.d)
        projection = Projection(mean, inverse, None)
        Z = projection(schema.sample.X)
        if schema.d > self.axes:
            _, _, directions = np.linalg.svd(Z - Z.mean(axis=0), full_matrices=False)
            principal = np.zeros((schema.d, self.axes))
            found = directions[: self.axes].T
            principal[:, : found.shape[1]] = found
            projection = Projection(mean, inverse, principal)
            Z = projection(schema.sample.X)
        eps = self.eps
        if isinstance(eps, str):
            eps = guess_eps(Z, schema.n, self.min_samples)
        draw = DrawPlan(size, self.balance)
        return Grid(Density(float(eps), self.min_samples, schema.seed, draw), projection)

    def advance(self, question: Any, answer: Any) -> Any:
        """From density to labels to the draw."""
        following = super().advance(question, answer)
        if isinstance(question, DenseQuestion) and isinstance(following, RankChoice):
            return DenseChoice(**following.parts(), eps=question.eps)
        return following

    def facts(self, choice: DenseChoice) -> dict[str, Any]:
        """What was found."""
        return {
            "eps": choice.eps,
            "clusters": len(choice.quotas) - 1,
            "noise": int(choice.group_rows[0]),
            "noise_selected": int(choice.quotas[0]),
        }

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """Blocks hold their projected rows; all rows may meet, up to a million."""
        axes = min(d, self.axes)
        pool = min(n, MOST_ROWS)
        # counts around every row in doubt, from every block
        # and the survey's sample in float64, with what its directions are found from
        together = pool * min(1.0, axes / d) + 3.5 * min(n, SAMPLE_ROWS)
        worked = _WORKED_BYTES * axes * pool
        # projected rows and their cells are in eight bytes an axis each
        return Footprint(
            rounds=8 + 4,
            state_bytes_per_row=16 * axes + 24,
            answer_bytes_per_block=pool / 4,
            pool_rows=together,
            worked_bytes=worked,
        )
