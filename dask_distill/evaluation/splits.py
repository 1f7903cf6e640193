"""Rows that trainings are drawn from: gathered where the tasks run, split by hash, labels as codes.

Whatever judges selections by training shares this, so that their figures can be compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.blocks import as_features
from dask_distill.data.dataset import Dataset, as_dataset
from dask_distill.data.labels import as_labels, missing_labels
from dask_distill.data.rows import take_rows
from dask_distill.data.weights import as_weights
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.quotas import largest_remainder
from dask_distill.kernels.streams import Stream
from dask_distill.runtime.handle import Handle
from dask_distill.sources.frames import Given, named

Value = TypeVar("Value")
Rows = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int64]

_TEST_ROWS = 10_000
_TEST_SHARE = 0.2
_LEAST_TEST_ROWS = 20
_FIRST_CUT = 0.6
_MOST_ROWS = 50_000
# what the rows at hand may take in the memory of one worker, unless the user asks for more
_POOL_BYTES = 2**30
# rows gathered for each row that one training may take: draws of several seeds must differ
_POOL = 4
# so many classes may have a row or two each
_MANY_CLASSES = 50


@dataclass(frozen=True, kw_only=True)
class Split:
    """One seed's rows, as positions in the pool.

    Attributes
    ----------
    seed : int
    test : (t,) int64 array
        Never selected ones; empty where test rows are given.
    random, stratified, everything : (m,) int64 arrays
        To train on; none is in ``test``.
    subset : (s,) int64 array or None
        Positions in the subset at hand that may be trained on; None for all.
    until : float or None
        Time of the last row that may be trained on; None for any.
    """

    seed: int
    test: Rows
    random: Rows
    stratified: Rows
    everything: Rows
    subset: Rows | None = None
    until: float | None = None


@dataclass(frozen=True)
class ForwardSplit:
    """Train up to a time, test after it: masks over the pool, and positions in the subset."""

    before: npt.NDArray[np.bool_]
    after: npt.NDArray[np.bool_]
    subset: Rows
    until: float


def forward_cuts(times: tuple[Any, Any] | None, seeds: int) -> list[ForwardSplit | None]:
    """One cut in time for each seed, at 60 to 80 per cent; rows of one time stay on one side.

    Parameters
    ----------
    times : pair of (p,) and (s,) float64 arrays, or None
        Of the pool and of the subset; None where rows have no time.
    seeds : int

    Raises
    ------
    InputError
        Where no row is later than others.
    """
    if times is None:
        return [None] * seeds
    pool, subset = times
    cuts: list[ForwardSplit | None] = []
    for share in np.linspace(_FIRST_CUT, 1 - _TEST_SHARE, seeds):
        # of times that there are, so that equal ones fall on the same side
        start, end = np.quantile(pool, [share, share + _TEST_SHARE], method="inverted_cdf")
        after = (pool > start) & (pool <= end)
        before = np.flatnonzero(subset <= start)
        if not after.any() or len(before) == 0:
            raise InputError(
                f"time must leave rows to train on and later ones to test on, got {len(before)} "
                f"selected rows up to {start:g} and {int(after.sum())} rows after it; give test "
                "rows of your own with test= / --test"
            )
        cuts.append(ForwardSplit(pool <= start, after, before, float(start)))
    return cuts


def split_rows(
    pool: Rows,
    codes: npt.NDArray[np.int64],
    selected: Rows,
    seed: int,
    size: int,
    max_rows: int,
    test_rows: int | None,
    held_out: Any = None,
    cut: ForwardSplit | None = None,
) -> Split:
    """Draw one seed's test rows and random subsets by hash.

    Parameters
    ----------
    pool : (p,) int64 array
        Global numbers of the rows at hand; -1 for invalid ones.
    codes : (p,) int64 array of class numbers
    selected : (k,) int64 array, ascending
    seed, size, max_rows : int
    test_rows : int, optional
    held_out : object, optional
        Anything but None: no test rows are drawn.
    cut : ForwardSplit, optional
        Test rows come from after it, all others from before.

    Returns
    -------
    Split

    Raises
    ------
    InputError
        Where too few rows are left to test on.
    """
    test = np.empty(0, np.int64)
    valid = np.flatnonzero(pool >= 0)
    if held_out is None:
        others = valid[~np.isin(pool[valid], selected)]
        if cut is not None:
            others = others[cut.after[others]]
        share = _TEST_SHARE if cut is None else 1.0
        count = test_rows or min(_TEST_ROWS, int(share * len(others)))
        if count < _LEAST_TEST_ROWS or count > len(others):
            raise InputError(
                f"a test needs at least {max(count, _LEAST_TEST_ROWS)} rows to test on that were "
                f"not selected, got {count if test_rows else len(others)}; give test rows of "
                "your own with test= / --test"
            )
        test = first_by_hash(others, pool, seed, Stream.JUDGE_TEST, count)
    rest = np.setdiff1d(valid, test)
    if cut is not None:
        rest = rest[cut.before[rest]]
        size = min(size, len(cut.subset))
    order = first_by_hash(rest, pool, seed, Stream.JUDGE_DRAW, len(rest))
    size = min(size, len(order))
    available = np.bincount(codes[order])
    quota = largest_remainder(size, available, available)
    by_class = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(available) - available
    place = np.arange(len(by_class)) - starts[codes[by_class]]
    return Split(
        seed=seed,
        test=np.sort(test),
        random=np.sort(order[:size]),
        stratified=np.sort(by_class[place < quota[codes[by_class]]]),
        everything=np.sort(order[:max_rows]),
        subset=None if cut is None else cut.subset,
        until=None if cut is None else cut.until,
    )


def pool_rows(n: int, max_rows: int, seed: int) -> Rows:
    """Row numbers to gather: four for each row that one training may take, drawn by hash."""
    return hashed_rows(n, _POOL * max_rows, seed, Stream.JUDGE_POOL)


def most_rows(dataset: Dataset, max_rows: int | None) -> int:
    """The most rows of one training: as asked, or 50,000 and a GiB of all that is gathered."""
    if max_rows is not None:
        return max_rows
    fits = _POOL_BYTES // (_POOL * max(1, dataset.row_bytes))
    return max(100, min(_MOST_ROWS, fits))


def hashed_rows(n: int, count: int, seed: int, stream: int) -> Rows:
    """Up to ``count`` of n row numbers, ascending, in memory that does not grow with n.

    Examples
    --------
    >>> hashed_rows(3, 5, 0, 0)
    array([0, 1, 2])
    """
    if count >= n:
        return np.arange(n)
    drawn = np.empty(0, np.int64)
    start = 0
    while len(drawn) < count:
        more = count + count // 8 + 8
        hashes = row_hash(np.arange(start, start + more), seed, stream=stream)
        drawn = np.unique(np.concatenate([drawn, (hashes % np.uint64(n)).astype(np.int64)]))
        start += more
    return np.sort(drawn[first_by_hash(np.arange(len(drawn)), drawn, seed, stream, count)])


def first_by_hash(positions: Rows, numbers: Rows, seed: int, stream: int, count: int) -> Rows:
    """The positions whose row numbers have the lowest hashes, lowest first."""
    order = np.argsort(row_hash(numbers[positions], seed, stream=stream), kind="stable")
    return positions[order[:count]]


def gather_features(run: Run, rows: da.Array) -> Handle[npt.NDArray[np.floating]]:
    """One task whose result holds all rows: (m, d) floats in C order."""
    return _together(run, _features, rows)


def gather_labels(run: Run, rows: da.Array) -> Handle[npt.NDArray[Any]]:
    """One task whose result holds all labels."""
    return _together(run, _labels, rows)


def _together(run: Run, function: Callable[..., Value], array: da.Array) -> Handle[Value]:
    # optimised one by one, arrays that share their input would each read it
    return run.call("gather", function, *run.chunks(array, optimised=False))


def _features(*parts: Any) -> npt.NDArray[np.floating]:
    return as_features(np.concatenate([as_features(part) for part in parts]))


def _labels(*parts: Any) -> npt.NDArray[Any]:
    return np.concatenate([as_labels(part) for part in parts])


def weights_here(dataset: Dataset, rows: Rows) -> npt.NDArray[np.float64] | None:
    """(m,) sample weights of some rows; None where rows count alike."""
    if dataset.sample_weight is None:
        return None
    return as_weights(take_rows(dataset.sample_weight, rows).compute())


def finite_rows(X: Any) -> Any:
    """Which rows have no NaN or infinite value."""
    return np.isfinite(X).all(axis=1)


def class_codes(labels: Sequence[Any]) -> tuple[list[npt.NDArray[np.int64]], list[Any]]:
    """Class numbers, -1 where a label is missing, and the classes in order.

    Raises
    ------
    InputError
        Where labels are no classes: numbers with fractions, or as many values as rows.
    """
    values = [np.asarray(each, object) for each in labels]
    known = [~missing_labels(each) for each in values]
    found = [each[mask].tolist() for each, mask in zip(values, known, strict=True)]
    kinds = {isinstance(label, str) for each in found for label in each}
    if len(kinds) != 1:
        raise InputError(
            "labels of the source, the subset and the test rows must be of one type, got text "
            "and numbers; convert them"
        )
    classes = sorted(set().union(*found))
    _refuse_numbers(classes, sum(map(len, found)))
    number = {label: code for code, label in enumerate(classes)}
    codes = []
    for mask, each in zip(known, found, strict=True):
        code = np.full(len(mask), -1, np.int64)
        code[mask] = [number[label] for label in each]
        codes.append(code)
    if len(classes) < 2:
        raise InputError(
            f"labels must have at least two classes, got only {classes[0]}; name another label"
        )
    return codes, classes


def _refuse_numbers(classes: Sequence[Any], rows: int) -> None:
    """End where labels are a target to be estimated, or an id, before anything is trained on."""
    way_out = "name a label with --labels, or train models of your own for numbers"
    fractions = [each for each in classes if isinstance(each, float) and not each.is_integer()]
    if fractions:
        raise InputError(
            f"labels must be classes, since classifiers are trained, got numbers such as "
            f"{fractions[0]:g}; {way_out}"
        )
    if len(classes) > max(_MANY_CLASSES, rows // 2):
        raise InputError(
            f"labels must be classes with rows to learn from, got {len(classes):,} different "
            f"values in {rows:,} rows; {way_out}"
        )


def valid_rows(pool: Rows, codes: npt.NDArray[np.int64]) -> Rows:
    """The pool with -1 in place of rows without a label."""
    return np.where(codes >= 0, pool, -1)


def as_labelled(
    features: Any, labels: Any, what: str, who: str = "evaluate", carry: tuple[str, ...] = ()
) -> Dataset:
    """A data set that has labels; a pair of features and labels will do, or a frame and a name.

    ``carry`` are columns of a frame, where it has them.
    """
    if isinstance(features, tuple) and len(features) == 2 and labels is None:
        features, labels = features
    given = named(Given(features=features, labels=labels, marks=carry))
    dataset = as_dataset(given.features, given.labels)
    if dataset.labels is None:
        raise InputError(
            f"{who} needs the labels of the {what}, got none; pass them, or name them with "
            "labels= / --labels"
        )
    return dataset


def check_numbers(**limits: tuple[Any, int]) -> None:
    """Refuse what is no int of at least so many; None stands for a default."""
    for name, (value, least) in limits.items():
        if value is None and name in ("test_rows", "max_rows"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} must be an int of at least {least}, got {value!r}")
