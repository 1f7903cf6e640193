"""Which rows help on this data: cells, cells of trusted rows, or a stratified sample.

Decided on the survey's sample, by models trained on a few hundred rows that each way selects from
two thirds of it and judged on the third that neither they nor those who judge labels have seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.cells import Room, halve, representatives, totals
from dask_distill.kernels.label_noise import (
    LabelNoise,
    class_thresholds,
    contradiction,
    label_noise,
    trust_limits,
)
from dask_distill.kernels.quotas import class_quotas
from dask_distill.kernels.softmax import cross_fit, fit_all
from dask_distill.kernels.streams import Generator
from dask_distill.proxy.models import EnsembleProxy, Proxy, fourier
from dask_distill.runtime.threads import single_threaded
from dask_distill.strategies.parts.picking import Picking

Floats = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]

METRICS = ("accuracy", "balanced_accuracy", "roc_auc", "log_loss")
# log loss of what a right model says of labels that are wrong at the estimated rate
_CORRECTED = "corrected_log_loss"
STRATIFIED, CELLS, TRUSTED = "stratified", "cells", "trusted"
_FOLDS = 3
# a trial trains on at most so many rows, and of the rows there are on this part
_MOST_ROWS = 600
_PART = 4
# with fewer rows in the sample, or more classes, nothing is learnt from it
_LEAST_SAMPLE = 300
_MOST_CLASSES = 64
# numbers that one training goes over in a step
_MOST_VALUES = 2**20
_STEPS = 30
_JUDGE_STEPS = 60
_NEIGHBOURS = 5
_STRATIFIED_DRAWS = 2
# a probability that a model may not fall below
_LEAST = 1e-4
# models that come so near to the best one may lose no more accuracy than this by trust, where wrong
# labels surely explain most of what is contradicted; else none
_USEFUL, _LOST = 0.1, 0.0075
# 90 per cent, of nine differences (three folds, three models)
_T = 1.86


@dataclass(frozen=True, kw_only=True)
class TrialSample:
    """The survey's sample as a trial needs it.

    Attributes
    ----------
    Z : (m, d) float32 array
        Standardised features.
    codes : (m,) int32 array
    counts : (C,) int64 array
        Rows of each class in all data.
    times : (m,) float64 array
        What each row stands for.
    mass : (m,) float64 array
        What cells share out equally.
    fold : (m,) int8 array
        Which of three parts each row is in.
    """

    Z: Float32
    codes: Codes
    counts: Counts
    times: Floats
    mass: Floats
    fold: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Decision:
    """What is done, and why.

    Attributes
    ----------
    way : "cells", "trusted" or "stratified"
    rows : int
        What each model of the trial was trained on; 0 where there was none.
    leads : dict
        By way and metric: mean and half-width of the 90 % interval, against stratified samples.
    noise : LabelNoise
    why : str
        One sentence.
    """

    way: str
    rows: int
    leads: dict[str, dict[str, tuple[float, float]]]
    noise: LabelNoise
    why: str

    def facts(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "way": self.way,
            "why": self.why,
            "wrong_labels": round(self.noise.rate, 4),
            "wrong_labels_error": round(self.noise.error, 4),
            "contradicted": round(self.noise.contradicted, 4),
            "explained": round(self.noise.explained, 4),
            "level": round(self.noise.level, 4),
            "trial_rows": self.rows,
            "leads": {
                way: {name: [round(v, 5) for v in found] for name, found in leads.items()}
                for way, leads in self.leads.items()
            },
        }


def decide(
    judged: TrialSample,
    noise: LabelNoise,
    proxy: Proxy,
    size: int | None,
    pick: float | str,
    seed: int,
) -> Decision:
    """Try each way on the sample.

    ``size`` is of the rows asked for of all data, None where nothing can be tried; ``pick`` is as
    `Picking` has it; the proxy's Fourier features serve a model, where it has some.
    """
    C = proxy.classes
    # what judges say of other rows is less than what a model of more rows than they had knows
    doubted = noise.believed and (size is None or size <= len(judged.codes))
    ways = [CELLS, TRUSTED] if doubted else [CELLS]
    untried = ""
    if size is None:
        untried = "classes are not kept in proportion"
    elif C > _MOST_CLASSES:
        untried = f"{C:,} classes are too many to try what does better"
    elif len(judged.codes) < _LEAST_SAMPLE:
        untried = f"a sample of {len(judged.codes):,} rows is too small to try what does better"
    if size is None or untried:
        way = TRUSTED if noise.sure else CELLS
        return Decision(way, 0, {}, noise, f"{_NAMES[way]}: {untried}.")
    trial = _Trial(judged, noise, proxy, size, pick, seed)
    with single_threaded():
        found = {way: trial.scores(way) for way in [STRATIFIED, *ways]}
    leads = {
        way: {
            name: _interval(found[way][:, i] - found[STRATIFIED][:, i])
            for i, name in enumerate((*METRICS, _CORRECTED))
        }
        for way in ways
    }
    gains = _gains(found, noise) if TRUSTED in found else None
    way, why = _verdict(leads, noise, gains)
    if size > trial.size:
        why += f" Tried with {trial.size:,} rows; {size:,} are asked for."
    return Decision(way, trial.size, leads, noise, why)


_NAMES = {
    CELLS: "Cells of all rows",
    TRUSTED: "Cells of trusted rows",
    STRATIFIED: "A class-stratified random sample",
}


def _gains(found: dict[str, Floats], noise: LabelNoise) -> list[float]:
    """What models gain by trusted rows: mean accuracy and log loss, and the least of a useful one.

    The last with what it may lose: what suits one model on small samples takes from another what
    overlaps by nature.
    """
    by_model = {way: scores.reshape(_FOLDS, -1, len(METRICS) + 1) for way, scores in found.items()}
    gain = (by_model[TRUSTED] - by_model[CELLS]).mean(axis=0)
    accuracy = by_model[CELLS][:, :, 0].mean(axis=0)
    useful = accuracy >= accuracy.max() - _USEFUL
    least = float(gain[useful, 0].min()) + (_LOST if noise.sure else 0.0)
    return [*gain.mean(axis=0)[[0, -1]].tolist(), least]


def _verdict(
    leads: dict[str, dict[str, tuple[float, float]]],
    noise: LabelNoise,
    gains: list[float] | None,
) -> tuple[str, str]:
    """The way that is taken, and the sentence that says why."""
    way, because = CELLS, ""
    about = f"about {noise.rate:.0%} of the labels look wrong"
    if gains is not None and min(gains) >= 0:
        way, because = TRUSTED, f" since {about}"
    elif gains is not None:
        because = f" though {about}, since not all models do better without those"
    elif noise.believed:
        because = f" though {about}, to judges of fewer rows"
    ours = leads[way]
    names = [*METRICS[:-1], _CORRECTED if way == TRUSTED else METRICS[-1]]
    worse = any(ours[name][0] + ours[name][1] < 0 for name in names)
    better = any(ours[name][0] - ours[name][1] > 0 for name in names)
    told = ", ".join(f"{_SHORT[name]} {_shown(name, ours[name])}" for name in names)
    if worse or not better:
        return (
            STRATIFIED,
            f"{_NAMES[STRATIFIED]}: cells do no better on held-out rows of the sample ({told}).",
        )
    return way, f"{_NAMES[way]}{because}: against stratified samples, on held-out rows, {told}."


_SHORT = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "roc_auc": "AUC",
    "log_loss": "log loss",
    _CORRECTED: "log loss, corrected for wrong labels,",
}


def _shown(name: str, lead: tuple[float, float]) -> str:
    """A lead for people: points, or log loss with its own sign."""
    if name.endswith("log_loss"):
        return f"{-lead[0]:+.3f} ± {lead[1]:.3f}"
    return f"{100 * lead[0]:+.1f} ± {100 * lead[1]:.1f}"


def _interval(differences: Floats) -> tuple[float, float]:
    spread = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(differences.mean()), float(_T * spread)


class _Trial:
    """Selects, trains and judges within the sample."""

    def __init__(
        self,
        judged: TrialSample,
        noise: LabelNoise,
        proxy: Proxy,
        size: int,
        pick: float | str,
        seed: int,
    ) -> None:
        self._judged, self._noise, self._seed = judged, noise, seed
        self._classes = proxy.classes
        m, d = judged.Z.shape
        self.size = max(2, min(size, _MOST_ROWS, 2 * m // (_FOLDS * _PART)))
        self._picking = Picking.of(pick, self.size, 2 * m // _FOLDS)
        self._features: Float32 | None = None
        if isinstance(proxy, EnsembleProxy):
            D = max(32, _MOST_VALUES // (self.size * self._classes) - d)
            D = min(D, len(proxy.phases))
            axes = proxy.axes
            self._features = fourier(judged.Z, proxy.frequencies[:, :D], proxy.phases[:D], axes)

    def scores(self, way: str) -> Floats:
        """(folds times models, metrics) of what is trained on rows that a way selects."""
        draws = _STRATIFIED_DRAWS if way == STRATIFIED else 1
        out = []
        for fold in range(_FOLDS):
            test = np.flatnonzero(self._judged.fold == fold)
            each = [
                np.array(list(self._judge(*self._select(way, fold, draw), test)))
                for draw in range(draws)
            ]
            out.append(np.mean(each, axis=0))
        return np.concatenate(out)

    def _select(self, way: str, fold: int, draw: int) -> tuple[Rows, Floats]:
        """Rows of the other folds, and their weights."""
        judged, C = self._judged, self._classes
        rng = np.random.default_rng([self._seed % 2**63, Generator.REGIME, fold, draw])
        pool = np.flatnonzero(judged.fold != fold)
        counts = np.bincount(judged.codes[pool], minlength=C)
        quotas = class_quotas(self.size, counts.astype(np.float64), counts, 1)
        rows, weights, room = [], [], Room()
        trusted = self._trusted(pool) if way == TRUSTED else None
        for code in np.flatnonzero(quotas):
            mine = pool[judged.codes[pool] == code]
            whole = judged.times[mine].sum()
            if way == STRATIFIED:
                taken = np.sort(rng.choice(mine, quotas[code], replace=False))
                stand_for = judged.times[taken]
            else:
                kept = mine if trusted is None else mine[trusted[mine]]
                mine = kept if len(kept) >= quotas[code] else mine
                Z = judged.Z[mine]
                cells = halve(Z, int(quotas[code]), rng, judged.mass[mine], room)
                near, choices = self._picking.near, self._picking.choices
                taken = mine[representatives(Z, cells, rng, None, near, room, choices)]
                stand_for = totals(cells, judged.times[mine])
            rows.append(taken)
            weights.append(stand_for * whole / stand_for.sum())
        return np.concatenate(rows), np.concatenate(weights)

    def _trusted(self, pool: Rows) -> Bools:
        """Whose labels are believed by judges that know the pool alone; (m,), and True beyond it.

        Judges that knew the rows that models are tested on would tell of their labels.
        """
        codes, times = self._judged.codes[pool], self._judged.times[pool]
        X = (self._judged.Z if self._features is None else self._features)[pool]
        half = (self._judged.fold[pool] == self._judged.fold[pool].max()).astype(np.int8)
        fit = cross_fit(X, codes, half, self._classes, strength=1 / 3, steps=_JUDGE_STEPS)
        P = np.empty((len(pool), self._classes), np.float32)
        for side in range(2):
            mine = half == side
            logits = X[mine] @ fit.weights[side].T + fit.intercepts[side]
            logits[:, ~fit.seen[side]] = -np.inf
            P[mine] = _softmax(logits)
        gap = contradiction(P, codes, class_thresholds(P, codes, times))
        wrong = label_noise(P, codes, times).by_label
        limits = trust_limits(gap, codes, self._judged.counts, wrong, times)
        out = np.ones(len(self._judged.codes), bool)
        out[pool] = gap <= limits[codes]
        return out

    def _judge(self, rows: Rows, weights: Floats, test: Rows) -> Iterator[list[float]]:
        """Metrics of each model."""
        Z, codes = self._judged.Z, self._judged.codes
        present, among = np.unique(codes[rows], return_inverse=True)
        weight = (weights / weights.mean()).astype(np.float32)
        spaces = [Z] if self._features is None else [Z, self._features]
        for X in spaces:
            P = np.full((len(test), self._classes), _LEAST)
            if len(present) > 1:
                fitted = fit_all(
                    X[rows], among, len(present), strength=1.0, steps=_STEPS, weight=weight
                )
                P[:, present] = _softmax(X[test] @ fitted[0].T + fitted[1])
            else:
                P[:, present] = 1
            yield self._metrics(P, test)
        yield self._metrics(self._by_neighbours(Z[rows], codes[rows], Z[test]), test)

    def _by_neighbours(self, Z: Float32, codes: Codes, tested: Float32) -> Floats:
        """Shares of the classes among the nearest rows."""
        k = min(_NEIGHBOURS, len(Z))
        squared = np.einsum("ij,ij->i", Z, Z) - 2 * (tested @ Z.T)
        nearest = np.argpartition(squared, k - 1, axis=1)[:, :k]
        P = np.zeros((len(tested), self._classes))
        for place in range(k):
            P[np.arange(len(tested)), codes[nearest[:, place]]] += 1 / k
        return P

    def _metrics(self, P: Floats, test: Rows) -> list[float]:
        """What models get right of the test rows; of log loss the negative, plain and corrected."""
        codes, times = self._judged.codes[test], self._judged.times[test]
        P = np.maximum(P, _LEAST)
        P /= P.sum(axis=1, keepdims=True)
        right = P.argmax(axis=1) == codes
        counts = np.bincount(codes, times, self._classes)
        hits = np.bincount(codes, right * times, self._classes)
        here = counts > 0
        at = np.arange(len(codes))
        own = [np.maximum(said[at, codes], _LEAST) for said in (P, P @ self._noise.matrix)]
        return [
            float(np.average(right, weights=times)),
            float((hits[here] / counts[here]).mean()),
            _roc_auc(P, codes),
            *(float(np.average(np.log(said), weights=times)) for said in own),
        ]


def _roc_auc(P: Floats, codes: Codes) -> float:
    """Mean over the classes, each against the rest, by ranks."""
    from scipy.stats import rankdata

    counts = np.bincount(codes, minlength=P.shape[1])
    some = np.flatnonzero((counts > 0) & (counts < len(codes)))
    if len(some) == 0:
        return 1.0
    ranks = rankdata(P[:, some], axis=0)
    own = np.where(codes[:, None] == some, ranks, 0).sum(axis=0)
    n = counts[some]
    return float(((own - n * (n + 1) / 2) / (n * (len(codes) - n))).mean())


def _softmax(logits: Float32) -> Floats:
    values = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return values / values.sum(axis=1, keepdims=True)
