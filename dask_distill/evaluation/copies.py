"""Are test rows copies of rows that models were trained on? Then a verdict is worth nothing.

Where rows come in groups, such as the visits of a patient, a split of rows puts parts of a group
on both sides, and models are asked for what they have seen. Knows arrays, no Dask.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from dask_distill.evaluation.splits import Split
from dask_distill.evaluation.training import LabelledRows
from dask_distill.runtime.threads import single_threaded

Floats = npt.NDArray[np.floating]
Rows = npt.NDArray[np.int64]

# test rows that are looked at, at most, and what bounds their distances to the trained ones
_LOOKED_AT = 500
_LEAST_LOOKED_AT = 50
_MOST_PRODUCTS = 2 * 10**10
# a row's copies end where the next neighbour is so many times as far
_GAP = 2.0
# more neighbours that are as near are no copies of a row: they are the data
_MOST_COPIES = 256
_MOST_COPIES_SHARE = 20
# neighbours behind the copies, whose labels say what features tell without copies
_BEHIND = 5
# a column in which values are nearer to each other, in standard deviations, has a fine scale
_FINE_STEP = 0.25
_STEP_ROWS = 5000
# labels that copies tell and others do not, as a part of the test rows: more decides a verdict
_TELLING = 0.05
# three standard errors: one false alarm in a thousand judgements
_SURE = 3.0
# equal rows that are worth a line, though they tell nothing
_WORTH_A_LINE = 0.1

_WAY_OUT = (
    "before selecting, hold out all rows of some patients, sessions or sources, and give them as "
    "test= / --test"
)


@dataclass(frozen=True)
class CopiesFound:
    """Test rows that have copies among the rows trained on, and what these tell.

    Attributes
    ----------
    share : float
        Part of the test rows looked at.
    agree, agree_others : float
        How often the copies have the label of the test row, and how often the nearest rows
        that are no copies of it; over rows that have copies.
    told, told_least : float
        Labels that copies tell and other rows do not, as a part of all test rows, and the lower
        limit of that.
    """

    share: float = 0.0
    agree: float = 0.0
    agree_others: float = 0.0
    told: float = 0.0
    told_least: float = 0.0

    @property
    def telling(self) -> bool:
        """Whether models may live on the copies."""
        return self.told_least > _TELLING


@dataclass(frozen=True)
class Copies:
    """Copies across a split into rows to train on and rows to test on.

    Attributes
    ----------
    looked_at : int
        Test rows.
    near : CopiesFound
        Far nearer than the neighbours behind them, by columns with a fine scale: rarely by nature.
    equal : CopiesFound
        Alike in every column: natural where columns have few values.
    """

    looked_at: int
    near: CopiesFound
    equal: CopiesFound

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any] | None) -> Self | None:
        """What was found, from its JSON; None where nothing was looked at."""
        if plain is None:
            return None
        return cls(plain["looked_at"], CopiesFound(**plain["near"]), CopiesFound(**plain["equal"]))

    def verdict(self, verdict: str) -> str:
        """A verdict, in the light of the copies: as it was, with a doubt, or none.

        Examples
        --------
        >>> Copies(500, CopiesFound(), CopiesFound()).verdict("The subset is worth it.")
        'The subset is worth it.'
        >>> Copies(500, CopiesFound(1.0, 1.0, 0.5, 0.5, 0.4), CopiesFound()).verdict("It is.")[:32]
        'This verdict is worth nothing: 1'
        """
        if self.near.telling:
            return (
                f"This verdict is worth nothing: {self.near.share:.0%} of the test rows have near-"
                f"copies among the rows trained on, and these tell their labels "
                f"({_agreement(self.near)}), so that models were asked for what they had seen; "
                f"{_WAY_OUT}."
            )
        if self.equal.telling:
            return (
                f"This verdict may be worth nothing: {self.equal.share:.0%} of the test rows equal "
                f"a row trained on, and these tell their labels ({_agreement(self.equal)}); where "
                f"they are repeats of one thing, {_WAY_OUT}; where rows are alike because values "
                f"are few, it stands: {verdict}"
            )
        return verdict

    def notes(self) -> tuple[str, ...]:
        """A line on equal rows that are many and harmless, as far as can be told."""
        if self.near.telling or self.equal.telling or self.equal.share < _WORTH_A_LINE:
            return ()
        return (
            f"{self.equal.share:.0%} of the test rows equal a row trained on, as happens where "
            f"values are few; if they are repeats of one thing, {_WAY_OUT}.",
        )


def copies_across(
    split: Split,
    pool: LabelledRows,
    subset: LabelledRows | None = None,
    fresh: Rows | None = None,
    held_out: LabelledRows | None = None,
) -> Copies:
    """Copies across one seed's split of the rows at hand.

    Parameters
    ----------
    split : Split
    pool : LabelledRows
    subset : LabelledRows, optional
        More rows that are trained on.
    fresh : (s,) int64 array, optional
        Positions in the subset of those that "everything" does not have.
    held_out : LabelledRows, optional
        Rows to test on, instead of the pool's.

    Returns
    -------
    Copies
    """
    trained = pool.take(split.everything)
    if subset is not None and fresh is not None and len(fresh):
        more = subset.take(fresh)
        trained = LabelledRows(
            np.concatenate([trained.X, more.X]), np.concatenate([trained.codes, more.codes])
        )
    return find_copies(pool.take(split.test) if held_out is None else held_out, trained)


def find_copies(test: LabelledRows, trained: LabelledRows) -> Copies:
    """Look for copies of test rows among the rows that models are trained on.

    A copy is a neighbour that is far nearer than those behind it: in ordinary data the distance
    to the next neighbour grows little from one to the next, and whatever its scale, there is no
    gap. How fine a column's values are bounds what near can mean: rows of few values are alike
    by nature. Such neighbours are harmful where they have the label of the test row more often
    than those behind the gap have; neighbours that make up half a class are the class.

    Parameters
    ----------
    test, trained : LabelledRows
        At most 500 of the test rows are looked at, in even steps; all that were trained on.

    Returns
    -------
    Copies

    References
    ----------
    Facco, d'Errico, Rodriguez, Laio (2017), Estimating the intrinsic dimension of datasets by a
    minimal neighborhood information, for the ratio of neighbours' distances in ordinary data.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> person = np.repeat(np.arange(300), 10)
    >>> X = rng.normal(size=(300, 6))[person] + 0.01 * rng.normal(size=(3000, 6))
    >>> y = rng.integers(0, 2, 300)[person]
    >>> found = find_copies(LabelledRows(X[::5], y[::5]), LabelledRows(X[1::5], y[1::5]))
    >>> found.near.share > 0.9, found.near.telling, found.equal.share
    (True, True, 0.0)
    """
    test = test.take(np.flatnonzero((test.codes >= 0) & np.isfinite(test.X).all(axis=1)))
    m = len(trained.codes)
    count = min(_LOOKED_AT, max(_LEAST_LOOKED_AT, _MOST_PRODUCTS // max(1, trained.X.size)))
    if len(test.codes) > count:
        test = test.take(np.linspace(0, len(test.codes) - 1, count).astype(np.int64))
    most = min(_MOST_COPIES, m // _MOST_COPIES_SHARE)
    with np.errstate(over="ignore", invalid="ignore"):
        center = trained.X.mean(axis=0, dtype=np.float64)
        scale = trained.X.std(axis=0, dtype=np.float64)
        used = np.flatnonzero((scale > 0) & np.isfinite(scale) & np.isfinite(center))
    if most < 1 or len(test.codes) == 0 or len(used) == 0:
        return Copies(len(test.codes), CopiesFound(), CopiesFound())
    center, scale = center[used].astype(trained.X.dtype), scale[used].astype(trained.X.dtype)
    ours, theirs = ((table.X[:, used] - center) / scale for table in (test, trained))
    labels = _Labels(test.codes, trained.codes, np.bincount(trained.codes))
    whole = _neighbours(ours, theirs, most + _BEHIND)
    equal = _found(_last_equal(whole[1], most), whole[0], labels)
    steps = _steps(theirs)
    fine = np.flatnonzero(steps <= _FINE_STEP)
    # on one line, neighbours are at all distances
    if len(fine) < 2:
        return Copies(len(test.codes), CopiesFound(), equal)
    if len(fine) < len(used):
        whole = _neighbours(ours[:, fine], theirs[:, fine], most + _BEHIND)
    # nearer than values are to each other is as near as can be told
    far = np.maximum(whole[1], max(float(np.linalg.norm(steps[fine])), 1e-12))
    near = _found(_last_before_gap(far, most), whole[0], labels)
    return Copies(len(test.codes), near, equal)


def _steps(X: Floats) -> Floats:
    """(d,) usual distances of a column's values to the next larger one: 0 where continuous."""
    some = X[:: -(-len(X) // _STEP_ROWS)]
    gaps = [np.diff(np.unique(column)) for column in some.T]
    return np.array([np.median(each) if len(each) else 0.0 for each in gaps])


def _neighbours(test: Floats, trained: Floats, most: int) -> tuple[Rows, Floats]:
    """The nearest trained rows of each test row, and how far they are: (t, most) each."""
    from sklearn.neighbors import NearestNeighbors

    most = min(most, len(trained))
    with single_threaded():
        search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(trained)
        order = search.kneighbors(test, return_distance=False)
    # anew, by differences: what products leave of a small distance is rounding
    far = np.stack(
        [
            np.linalg.norm((trained[near] - row).astype(np.float64), axis=1)
            for row, near in zip(test, order, strict=True)
        ]
    )
    ranks = np.argsort(far, axis=1, kind="stable")
    return np.take_along_axis(order, ranks, axis=1), np.take_along_axis(far, ranks, axis=1)


def _last_equal(far: Floats, most: int) -> Rows:
    """(t,) rank of each row's last equal neighbour; -1 where there is none."""
    return np.minimum((far == 0).sum(axis=1), most) - 1


def _last_before_gap(far: Floats, most: int) -> Rows:
    """(t,) rank of each row's last neighbour before the widest gap; -1 where none is wide."""
    ratios = far[:, 1 : most + 1] / far[:, :most]
    widest = ratios.argmax(axis=1)
    return np.where(ratios.max(axis=1) >= _GAP, widest, -1)


@dataclass(frozen=True)
class _Labels:
    """Class numbers of both sides, and the rows of each class that were trained on."""

    test: Rows
    trained: Rows
    counts: Rows


def _found(last: Rows, order: Rows, labels: _Labels) -> CopiesFound:
    """How often copies, and those behind them, have the labels of test rows."""
    rows = np.arange(len(last))
    right = np.cumsum(labels.trained[order] == labels.test[:, None], axis=1)
    behind = np.minimum(last + _BEHIND, order.shape[1] - 1)
    inside = right[rows, last]
    own = np.append(labels.counts, np.zeros(labels.test.max() + 1, np.int64))[labels.test]
    kept = np.flatnonzero((last >= 0) & (behind > last) & (2 * inside <= own))
    if len(kept) == 0:
        return CopiesFound(float((last >= 0).mean()))
    agree = inside[kept] / (last[kept] + 1)
    others = (right[kept, behind[kept]] - inside[kept]) / (behind[kept] - last[kept])
    told = np.zeros(len(last))
    told[kept] = agree - others
    mean, error = float(told.mean()), float(told.std()) / np.sqrt(len(told))
    return CopiesFound(
        float((last >= 0).mean()),
        float(agree.mean()),
        float(others.mean()),
        mean,
        float(mean - _SURE * error),
    )


def _agreement(found: CopiesFound) -> str:
    return f"{found.agree:.0%} have it, {found.agree_others:.0%} of the nearest others"
