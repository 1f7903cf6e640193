"""The proxy: a cheap model whose probabilities say what each row has to teach.

Fitted on the survey's bounded sample; blocks only apply it, in tiles of a fixed shape.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import tile_rows
from dask_distill.data.places import Places
from dask_distill.kernels.softmax import widened
from dask_distill.proxy.criteria import CRITERIA, ScoredTile, named_criteria
from dask_distill.proxy.scaling import Scaling

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

FOURIER_FEATURES = 600
# rows that are multiplied at once: their Fourier features stay where the processor has them at hand
GRANULE_ROWS = 256
# probabilities of a tile: with more than 512 classes, tiles have fewer rows
_MOST_PROBABILITIES = 2**21


class Proxy(Protocol):
    """Class probabilities of a tile of rows."""

    @property
    def classes(self) -> int:
        """How many classes it knows."""

    @property
    def granule(self) -> int:
        """Rows that it judges together, whole tiles where it is 0: bits hang on no others."""

    def probabilities(
        self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows, work: Float32 | None = None
    ) -> Float32:
        """(m, C) probabilities of raw features X, which are Z when standardised.

        ``work``, (2, k) with k >= m * C, is memory for calls one after the other; they may lie in
        its second half, and the first is free again.
        """


@dataclass(frozen=True)
class SoftmaxProxy:
    """Softmax regression: (C, d) weights and (C,) intercepts on standardised features."""

    weights: Float32
    intercepts: Float32

    @property
    def classes(self) -> int:
        """How many classes it knows."""
        return len(self.intercepts)

    @property
    def granule(self) -> int:
        """Rows of one product."""
        return GRANULE_ROWS

    def probabilities(
        self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows, work: Float32 | None = None
    ) -> Float32:
        """Softmax of the logits."""
        weights = np.ascontiguousarray(self.weights.T)
        values = len(Z) * self.classes
        work = np.empty((2, values), np.float32) if work is None else work[:, :values]
        by_row = work[0].reshape(len(Z), self.classes)
        logits = work[1].reshape(self.classes, len(Z))
        whole = len(Z) - len(Z) % GRANULE_ROWS
        # one call for all granules, each a product of its own
        granules = Z[:whole].reshape(-1, GRANULE_ROWS, Z.shape[1])
        np.matmul(granules, weights, out=by_row[:whole].reshape(*granules.shape[:2], self.classes))
        if whole < len(Z):
            np.matmul(Z[whole:], weights, out=by_row[whole:])
        # rows first is twice as fast to multiply, classes first is faster for all that follows
        np.add(by_row.T, self.intercepts[:, None], out=logits)
        return _softmax(logits, axis=0).T


@dataclass(frozen=True, kw_only=True)
class EnsembleProxy:
    """Mean of cross-fitted softmax models on random Fourier features beside the plain ones.

    A row of the sample is judged only by the model that has not seen it. With ``axes``, (d, r),
    the plain features are those along them.

    References
    ----------
    Rahimi, Recht (2007), Random features for large-scale kernel machines.
    """

    frequencies: Float32
    phases: Float32
    members: tuple[SoftmaxProxy, ...]
    seen_rows: Rows
    seen_fold: npt.NDArray[np.int8]
    axes: Float32 | None = None

    @property
    def classes(self) -> int:
        """How many classes it knows."""
        return self.members[0].classes

    @property
    def granule(self) -> int:
        """Rows of one product."""
        return GRANULE_ROWS

    def probabilities(
        self, X: npt.NDArray[np.floating], Z: Float32, rows: Rows, work: Float32 | None = None
    ) -> Float32:
        """Mean over the members, or the one member for rows of the sample."""
        each = self._each(Z)
        mean = each[0].copy()
        for other in each[1:]:
            mean += other
        mean /= np.float32(len(each))
        at = np.searchsorted(self.seen_rows, rows)
        at = np.minimum(at, len(self.seen_rows) - 1)
        hit = np.flatnonzero(self.seen_rows[at] == rows)
        for fold, member in enumerate(each):
            mine = hit[self.seen_fold[at[hit]] == fold]
            mean[:, mine] = member[:, mine]
        return mean.T

    def _each(self, Z: Float32) -> Float32:
        """What each member says: (members, C, m)."""
        D, count = len(self.phases), len(self.members)
        intercepts = np.concatenate([m.intercepts for m in self.members])[:, None]
        columns = len(intercepts)
        weights = widened(np.concatenate([m.weights for m in self.members]))
        lifted = np.vstack([self.frequencies, self.phases])
        each = np.empty((count, columns // count, len(Z)), np.float32)
        # Fourier features of few rows stay where the processor has them at hand
        room = np.empty((min(len(Z), GRANULE_ROWS), D), np.float32)
        ones = np.ones((len(room), len(lifted)), np.float32)
        for start in range(0, len(Z), GRANULE_ROWS):
            part = slice(start, min(start + GRANULE_ROWS, len(Z)))
            some = slice(part.stop - start)
            logits = _waves(Z[part], lifted, out=room[some], ones=ones[some]) @ weights[:D]
            plain = Z[part] if self.axes is None else Z[part] @ self.axes
            logits += plain @ weights[D:]
            logits = np.ascontiguousarray(logits.T[:columns])
            logits += intercepts
            each[:, :, part] = _softmax(logits.reshape(*each.shape[:2], -1), axis=1)
        return each


def score(
    proxy: Proxy,
    scaling: Scaling,
    X: npt.NDArray[np.floating],
    rows: Rows,
    codes: npt.NDArray[np.int32] | None,
    given: Float32 | None = None,
    confident: npt.NDArray[np.float64] | None = None,
    *,
    sampled: bool = False,
    names: Collection[str] = tuple(CRITERIA),
) -> dict[str, Float32]:
    """Scores of some rows, each row at its place in tiles that are cut by global row number.

    Bits hang on a row's values and number alone, not on which others are here; rows that are
    ``sampled``, far between, are put side by side. ``given`` are probabilities known before. With
    ``confident``, thresholds by class, the trust gap is that of `contradiction`.

    Returns
    -------
    dict of (m,) float32 arrays
        Of ``names``, as `dask_distill.proxy.criteria.CRITERIA` has them: those that need labels
        where there are some.
    """
    there = named_criteria(labelled=False)
    there += [] if codes is None else named_criteria(labelled=True)
    names = [name for name in there if name in names]
    out = {name: np.empty(len(X), np.float32) for name in names}
    step = _score_rows(X.shape[1], proxy.classes if given is None else given.shape[1])
    places = Places.of(np.arange(len(rows)) if sampled else rows, min(proxy.granule or step, step))
    # one buffer for all tiles: a fresh one each would cost page faults, which on workers, whose
    # memory goes back at once, take longer than the scores
    most = min(places.size, step)
    room = np.empty((most, X.shape[1]), np.float32)
    work = np.empty((2, most * (proxy.classes if given is None else given.shape[1])), np.float32)
    for tile in places.tiles(step):
        some = tile.placed(X)
        Z = scaling(some, out=room[: len(some)])
        if given is None:
            numbers = tile.placed(rows) if sampled else tile.numbers
            P = proxy.probabilities(some, Z, numbers, work)
        else:
            P = tile.placed(given)
        own = np.empty(0, np.int32) if codes is None else tile.placed(codes)
        judged = ScoredTile(P, Z, own, confident, work[0])
        for name in names:
            out[name][tile.rows] = tile.taken(CRITERIA[name].of(judged))
    return out


def probabilities(
    proxy: Proxy, scaling: Scaling, X: npt.NDArray[np.floating], rows: Rows
) -> Float32:
    """(m, C) probabilities of sampled rows, in the tiles of `score`."""
    out = np.empty((len(X), proxy.classes), np.float32)
    step = _score_rows(X.shape[1], proxy.classes)
    for tile in Places.of(np.arange(len(X)), min(proxy.granule or step, step)).tiles(step):
        some = tile.placed(X)
        found = proxy.probabilities(some, scaling(some), tile.placed(rows))
        out[tile.rows] = tile.taken(found)
    return out


def _score_rows(d: int, classes: int) -> int:
    """Rows scored together: fixed by features and classes, so that bits are."""
    step = tile_rows(d)
    while step > 16 and step * classes > _MOST_PROBABILITIES:
        step //= 2
    return step


def fourier(
    Z: Float32, frequencies: Float32, phases: Float32, axes: Float32 | None = None
) -> Float32:
    """Random Fourier features beside the plain ones, or these along axes: (m, D + d)."""
    plain = Z if axes is None else Z @ axes
    return np.hstack([_waves(Z, np.vstack([frequencies, phases])), plain])


def _waves(
    Z: Float32, lifted: Float32, out: Float32 | None = None, ones: Float32 | None = None
) -> Float32:
    """Random Fourier features alone: (m, D), of frequencies above phases, (d + 1, D).

    ``ones``, of which all but the last column is written over, may be given for many calls.
    """
    # a feature of ones adds the phases within the product
    if ones is None:
        ones = np.ones((len(Z), len(lifted)), np.float32)
    ones[:, :-1] = Z
    waves: Float32 = np.matmul(ones, lifted, out=out)
    return np.cos(waves, out=waves)


def _softmax(logits: Float32, axis: int) -> Float32:
    """Softmax over an axis, in place."""
    logits -= logits.max(axis=axis, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=axis, keepdims=True)
    return logits
