"""Wrong labels, told from classes that overlap, by probabilities of rows that were not learnt from.

What a class's own model says of its purest rows tells the two apart. Where classes merely overlap,
some rows are pure: the most probable rows of a class have its label. Where labels are wrong
whatever the features, no row is: the part that has another label is the rate of wrong ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int32] | npt.NDArray[np.int64]

# a class smaller than this is never filtered: no model can know it
TRUSTED_CLASS = 100
# at least this part of a class is kept, whatever models say
KEPT_PART = 0.3
# the most probable rows of a class, for each that has its label
_PUREST = 0.2
_PUREST_ROWS = 30
# wrong labels may explain what is contradicted where they explain so much, and do from here on
_EXPLAINED, _SURELY = 0.45, 0.55
# the very purest rows have as many wrong labels as half of a class: overlap thins towards them
_VERY_PUREST, _HALF, _LEVEL = (0.05, 0.1), 0.5, 0.78
# and so much of that lies where the purest rows have wrong labels
_CONCERNED = 1 / 3
# of the purest rows so many have another label, or none has; with more, features that tell little
# of right labels look alike
_LEAST_NOISE = 0.01
_MOST_NOISE = 0.26


@dataclass(frozen=True, kw_only=True)
class LabelNoise:
    """How many labels are wrong, as far as that can be told.

    Attributes
    ----------
    rate : float
        Part of the most probable rows of each class that have another label, averaged over the
        classes by how often they are the most probable.
    error : float
        Standard error of the rate.
    contradicted : float
        Part of all rows whose label is not the most probable class.
    explained : float
        Of the rows contradicted where a class is the most probable whose purest rows have wrong
        labels, the part that these explain, at least: two standard errors below. 0 where that is
        less than a third of all rows contradicted.
    level : float
        Part of the very purest rows (5 and 10 %) with another label, over that of the purest half:
        1 where wrong labels are everywhere alike, less where they are overlap.
    matrix : (C, C) float array
        Of the purest rows of each class (down), the share with each label (across).
    by_label : (C,) float array
        Part of the rows with each label for which it is wrong.
    """

    rate: float
    error: float
    contradicted: float
    explained: float
    level: float
    matrix: Floats
    by_label: Floats

    @property
    def believed(self) -> bool:
        """Whether contradictions may be wrong labels rather than classes that overlap."""
        return self.explained >= _EXPLAINED and self.level >= _LEVEL and self.rate <= _MOST_NOISE

    @property
    def sure(self) -> bool:
        """Whether most of them surely are."""
        return self.believed and self.explained >= _SURELY


def label_noise(P: Float, labels: Codes, weight: Floats | None = None) -> LabelNoise:
    """Estimate the rate of wrong labels from the rows that are purest.

    Parameters
    ----------
    P : (n, C) float array
        Probabilities by models that have not seen the row.
    labels : (n,) int array
        Class numbers, 0 <= label < C.
    weight : (n,) float array, optional
        How often each row counts; once where not given.

    Returns
    -------
    LabelNoise

    Notes
    -----
    Assumed is that whether a label is wrong depends on the class and not on the features, and
    that every class has rows that are surely of it (anchors; Liu and Tao 2016; Patrini et al.
    2017). Where no row of a class is pure by nature, as of late flights, its overlap cannot be told
    from wrong labels by any method that sees features and labels alone; then the rate is too
    high, which is why it is believed only where it explains most of what is contradicted, and where
    the purest rows are no purer than others: overlap thins towards them, wrong labels do not.

    References
    ----------
    Liu, Tao (2016), Classification with noisy labels by importance reweighting; Patrini, Rozza,
    Menon, Nock, Qu (2017), Making deep neural networks robust to label noise.

    Examples
    --------
    >>> P = np.repeat([[0.8, 0.2], [0.2, 0.8]], 500, axis=0)
    >>> right = np.repeat([0, 1], 500)
    >>> wrong = np.where(np.arange(1000) % 5 == 0, 1 - right, right)
    >>> label_noise(P, right).rate, round(label_noise(P, wrong).rate, 2)
    (0.0, 0.2)
    """
    C = P.shape[1]
    counts = np.bincount(labels, minlength=C)
    times = np.ones(len(labels)) if weight is None else weight
    best = P.argmax(axis=1)
    share = np.bincount(best, times, C) / times.sum()
    matrix, purest, parts = np.eye(C), np.ones(C), np.zeros((3, C))
    for code in np.flatnonzero(counts):
        order = np.argsort(-P[:, code], kind="stable")
        rows = order[: _first(_PUREST, counts[code])]
        matrix[code] = np.bincount(labels[rows], times[rows], C) / times[rows].sum()
        purest[code] = len(rows)
        for at, part in enumerate((*_VERY_PUREST, _HALF)):
            rows = order[: _first(part, counts[code])]
            parts[at, code] = np.average(labels[rows] != code, weights=times[rows])
    wrong = 1 - matrix.diagonal()
    deviation = share * np.sqrt(wrong * (1 - wrong) / purest)
    against = np.bincount(best, times * (best != labels), C) / times.sum()
    noisy = wrong >= np.maximum(_LEAST_NOISE, 2 * np.sqrt(wrong * (1 - wrong) / purest))
    least = (share * wrong)[noisy].sum() - 2 * np.sqrt((deviation[noisy] ** 2).sum())
    # the purest rows of a rare class reach beyond those of which it is the most probable
    labelled = np.bincount(labels, times, C) / times.sum()
    wrongly = (share * noisy) @ (matrix - np.diag(matrix.diagonal()))
    found = against[noisy].sum() if against[noisy].sum() >= _CONCERNED * against.sum() else 0.0
    return LabelNoise(
        rate=float((share * wrong).sum()),
        error=float(np.sqrt((deviation**2).sum())),
        contradicted=float(against.sum()),
        explained=float(np.clip(least / found, 0, 1)) if found > 0 else 0.0,
        level=_level(parts[:, noisy] @ share[noisy]),
        matrix=matrix,
        by_label=np.minimum(1, wrongly / np.where(labelled > 0, labelled, 1)),
    )


def _first(part: float, rows: np.integer) -> int:
    """How many are the purest of a class of so many rows."""
    return max(min(_PUREST_ROWS, int(rows)), int(part * rows))


def _level(rates: Floats) -> float:
    """Of the very purest rows and of half, relative."""
    return float(rates[:-1].mean() / rates[-1]) if rates[-1] > 0 else 0.0


def class_thresholds(P: Float, labels: Codes, weight: Floats | None = None) -> Floats:
    """From which probability on a model is confident of each class.

    The mean probability that rows of the class give to it, so that a class the model is never
    sure of has a threshold that it can reach.

    Parameters
    ----------
    P : (n, C) float array
        Probabilities by models that have not seen the row.
    labels : (n,) int array
    weight : (n,) float array, optional

    Returns
    -------
    (C,) float64 array
        1 for classes without rows.

    References
    ----------
    Northcutt, Jiang, Chuang (2021), Confident learning: estimating uncertainty in dataset labels.

    Examples
    --------
    >>> class_thresholds(np.array([[0.75, 0.25], [0.25, 0.75]]), np.array([0, 0]))
    array([0.5, 1. ])
    """
    C = P.shape[1]
    own = P[np.arange(len(labels)), labels].astype(np.float64)
    times = np.ones(len(labels)) if weight is None else weight
    rows = np.bincount(labels, times, C)
    sums = np.bincount(labels, own * times, C)
    return np.where(rows > 0, sums / np.where(rows > 0, rows, 1), 1.0)


def contradiction(P: Float, labels: Codes, thresholds: Float) -> Float32:
    """By how much a class the model is confident of speaks against an example's own label.

    The most that another class is above its threshold, less what the own class is above its:
    above 0, confident learning calls the label wrong. Thresholds by class keep a class that
    the model is never sure of from being contradicted whole.

    Parameters
    ----------
    P : (n, C) float array
    labels : (n,) int array
    thresholds : (C,) float array
        Of `class_thresholds`.

    Returns
    -------
    (n,) float32 array

    Examples
    --------
    >>> P = np.array([[0.25, 0.75], [0.5, 0.5]])
    >>> contradiction(P, np.array([0, 0]), np.array([0.75, 0.625]))
    array([ 0.125, -0.125], dtype=float32)
    """
    above = P - thresholds.astype(P.dtype)
    rows = np.arange(len(labels))
    own = np.maximum(above[rows, labels], 0)
    above[rows, labels] = -np.inf
    return (above.max(axis=1) - own).astype(np.float32)


def trust_limits(
    gap: Float32, labels: Codes, counts: npt.NDArray[np.int64], wrong: Floats, times: Floats
) -> Floats:
    """From which contradiction on a label is left out: of each class as many as are wrong.

    Parameters
    ----------
    gap : (n,) float32 array
        Of `contradiction`.
    labels : (n,) int array
    counts : (C,) int64 array
        Rows of each class in all data; one of fewer than 100 is never left out from.
    wrong : (C,) float array
        Part of the rows with each label for which it is wrong; at most 0.7 are left out.
    times : (n,) float array
        How often each row counts.

    Returns
    -------
    (C,) float array
        Rows above it are left out; infinite where none are.

    Examples
    --------
    >>> gap = np.array([-0.5, 0.5, -0.25, 0.75], np.float32)
    >>> labels, times = np.zeros(4, int), np.ones(4)
    >>> trust_limits(gap, labels, np.array([400]), np.array([0.25]), times)
    array([0.5])
    """
    limits = np.full(len(counts), np.inf)
    for code in np.flatnonzero((counts >= TRUSTED_CLASS) & (wrong > 0)):
        mine = np.flatnonzero(labels == code)
        if len(mine):
            mine = mine[np.argsort(gap[mine], kind="stable")]
            kept = np.cumsum(times[mine]) / times[mine].sum()
            last = np.searchsorted(kept, max(1 - wrong[code], KEPT_PART) - 1e-9)
            limits[code] = gap[mine[min(last, len(mine) - 1)]]
    return limits
