"""Whom the proxy believes, and how much each row matters: what `auto` learns from the sample."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.proxy.models import Proxy, score
from dask_distill.proxy.scaling import Scaling
from dask_distill.survey.schema import Sample, Schema

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

# a class smaller than this is never filtered: the proxy cannot know it
_TRUSTED_CLASS = 100
# at least this part of a class is kept, whatever the proxy says
_KEPT_PART = 0.3
# a row of no mass could not be shared out
_LEAST_MASS = 1e-6


@dataclass(frozen=True)
class Judgement:
    """What to make of a proxy's scores.

    Attributes
    ----------
    thresholds : (C,) float array
        A row is left out where its trust gap exceeds its class's threshold.
    mean_doubt : float
        Mean of 1 - max p over the trusted rows.
    tilt : float
        How strongly doubt adds to a row's mass.
    """

    thresholds: Floats
    mean_doubt: float
    tilt: float

    def trusts(self, gap: Float32, codes: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Which rows have labels that the proxy does not contradict."""
        return gap <= self.thresholds[codes]

    def mass(self, doubt: Float32) -> Floats:
        """What each row counts for where cells of equal mass are made; 1 on average."""
        relative = doubt.astype(np.float64) / self.mean_doubt
        return np.maximum((1 - self.tilt) + self.tilt * relative, _LEAST_MASS)


@dataclass(frozen=True)
class JudgedRows:
    """Rows with what the proxy says of them.

    Attributes
    ----------
    gap : (m,) float32 array
        By how much the best other class beats the row's own.
    mass : (m,) float64 array
    scores : dict of (m,) float32 arrays
        The other scores, for the user.
    times : (m,) float64 array
        What each row stands for, as in a `Block`; its part in ``mass`` is relative.
    """

    gap: Float32
    mass: Floats
    scores: dict[str, Float32]
    times: Floats

    @classmethod
    def alike(cls, times: Floats, unit: float) -> "JudgedRows":
        """Rows of which nothing is known but what they stand for."""
        return cls(np.full(len(times), -1, np.float32), times / unit, {}, times)

    def trusted(self, rows: Rows, threshold: float, wanted: int) -> Rows:
        """Of these positions the trusted ones, filled up with the least distrusted."""
        kept = rows[self.gap[rows] <= threshold]
        if len(kept) >= wanted:
            return kept
        return np.sort(rows[np.argsort(self.gap[rows], kind="stable")[:wanted]])


def judge_sample(
    schema: Schema, proxy: Proxy, scaling: Scaling, trust: float, tilt: float
) -> tuple[Judgement, JudgedRows]:
    """Fix thresholds from the survey's sample.

    Parameters
    ----------
    schema : Schema
        With its labelled sample.
    proxy : Proxy
    scaling : Scaling
    trust : float
        A row is left out where the best other class beats its own by more than this; but never
        more than 70 % of a class, and no row of a class of fewer than 100.
    tilt : float

    Returns
    -------
    Judgement
    JudgedRows
        The sample as it is judged.
    """
    sample, counts = schema.sample, schema.counts
    assert sample is not None
    assert sample.codes is not None
    assert counts is not None
    scores = score(proxy, scaling, sample.X, sample.rows, sample.codes, sample.probabilities)
    gap, doubt = scores.pop("trust_gap"), scores.pop("doubt")
    thresholds = np.full(len(counts), np.inf)
    for code in np.flatnonzero(counts >= _TRUSTED_CLASS):
        gaps = np.sort(gap[sample.codes == code])
        if len(gaps):
            least = gaps[int(np.ceil(_KEPT_PART * len(gaps))) - 1]
            thresholds[code] = max(trust, float(least))
    trusted = gap <= thresholds[sample.codes]
    times = times_of(sample)
    doubts = doubt[trusted].astype(np.float64)
    mean = float(doubts.mean() if sample.mass is None else np.average(doubts, None, times[trusted]))
    judgement = Judgement(thresholds, max(mean, _LEAST_MASS), tilt)
    mass = judgement.mass(doubt) * (times / schema.mean_mass)
    return judgement, JudgedRows(gap, mass, scores, times)


def times_of(rows: Block | Sample) -> Floats:
    """(m,) what each row stands for: 1 where they are alike."""
    return np.ones(len(rows.rows)) if rows.mass is None else rows.mass
