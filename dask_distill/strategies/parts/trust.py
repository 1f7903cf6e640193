"""Whom the proxy believes, and how much each row matters: what `auto` learns from the sample."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.kernels.label_noise import (
    KEPT_PART,
    TRUSTED_CLASS,
    class_thresholds,
    label_noise,
    trust_limits,
)
from dask_distill.proxy.fitting import folds_of
from dask_distill.proxy.models import Proxy, probabilities, score
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies.parts.regime import TRUSTED, Decision, TrialSample, decide
from dask_distill.survey.schema import Sample, Schema

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]

# a row of no mass could not be shared out
_LEAST_MASS = 1e-6
# probabilities of the sample that are held at once; of more classes wrong labels are not told
_MOST_PROBABILITIES = 2**23


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
    confident : (C,) float array or None
        From which probability on the proxy is confident of each class, where the trust gap is
        what another class is above that.
    decision : Decision or None
        What was tried, where that was left to the sample.
    """

    thresholds: Floats
    mean_doubt: float
    tilt: float
    confident: Floats | None = None
    decision: Decision | None = None

    @classmethod
    def of(
        cls,
        thresholds: Floats,
        tilt: float,
        doubt: Float32,
        gap: Float32,
        codes: Codes,
        times: Floats,
    ) -> "Judgement":
        """With the mean doubt of the sample's rows that are trusted."""
        trusted = gap <= thresholds[codes]
        mean = float(np.average(doubt[trusted].astype(np.float64), None, times[trusted]))
        return cls(thresholds, max(mean, _LEAST_MASS), tilt)

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

    def fill(self, rows: Rows, trusted: npt.NDArray[np.bool_], wanted: int) -> Rows:
        """Of these positions the trusted ones, filled up with the least distrusted."""
        kept = rows[trusted[rows]]
        if len(kept) >= wanted:
            return kept
        return np.sort(rows[np.argsort(self.gap[rows], kind="stable")[:wanted]])


def judge_sample(
    schema: Schema,
    proxy: Proxy,
    scaling: Scaling,
    trust: float | str,
    tilt: float,
    size: int | None = None,
    pick: float | str = "auto",
) -> tuple[Judgement, JudgedRows]:
    """Fix thresholds from the survey's sample.

    Parameters
    ----------
    schema : Schema
        With its labelled sample.
    proxy : Proxy
    scaling : Scaling
    trust : float, "confident" or "auto"
        A row is left out where the best other class beats its own by more than a number; or, of
        each class, as many as look wrong, those first that are contradicted most. "auto" does so
        only where models do better without such rows. Never are more than 70 % of a class left
        out, and no row of a class of fewer than 100.
    tilt : float
    size, pick : int, and float or str
        Rows asked for, and how they are picked, where "auto" tries it out; without a size it
        does not.

    Returns
    -------
    Judgement
    JudgedRows
        The sample as it is judged.
    """
    sample, counts = schema.sample, schema.class_counts
    codes, times = sample.class_numbers, times_of(sample)
    told = not isinstance(trust, str)
    if not told and len(codes) * proxy.classes > _MOST_PROBABILITIES:
        told, trust = True, np.inf
    P = sample.probabilities
    confident = None
    if not told:
        if P is None:
            P = probabilities(proxy, scaling, sample.X, sample.rows)
        confident = class_thresholds(P, codes, times)
    scores = score(proxy, scaling, sample.X, sample.rows, codes, P, confident, sampled=True)
    gap, doubt = scores.pop("trust_gap"), scores.pop("doubt")
    decision = None
    if P is None or confident is None:
        thresholds = _fixed(gap, codes, counts, float(trust))
    else:
        noise = label_noise(P, codes, times)
        thresholds = trust_limits(gap, codes, counts, noise.by_label, times)
        if trust == "auto":
            judged = TrialSample(
                Z=scaling(sample.X),
                codes=codes,
                counts=counts,
                times=times,
                mass=Judgement.of(thresholds, tilt, doubt, gap, codes, times).mass(doubt),
                fold=folds_of(sample.rows, codes, schema.seed),
            )
            decision = decide(judged, noise, proxy, size, pick, schema.seed)
            if decision.way != TRUSTED:
                # blocks need not ask who contradicts whom
                thresholds, confident = np.full(len(counts), np.inf), None
    judgement = Judgement.of(thresholds, tilt, doubt, gap, codes, times)
    judgement = replace(judgement, confident=confident, decision=decision)
    mass = judgement.mass(doubt) * (times / schema.mean_mass)
    return judgement, JudgedRows(gap, mass, scores, times)


def _fixed(gap: Float32, codes: Codes, counts: Counts, trust: float) -> Floats:
    """One threshold for all classes, above that where it would leave out too many."""
    thresholds = np.full(len(counts), np.inf)
    for code in np.flatnonzero(counts >= TRUSTED_CLASS):
        gaps = np.sort(gap[codes == code])
        if len(gaps):
            least = gaps[int(np.ceil(KEPT_PART * len(gaps))) - 1]
            thresholds[code] = max(trust, float(least))
    return thresholds


def times_of(rows: Block | Sample) -> Floats:
    """(m,) what each row stands for: 1 where they are alike."""
    return np.ones(len(rows.rows)) if rows.mass is None else rows.mass
