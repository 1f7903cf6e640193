"""What do I lose? Trains models on a subset, on random ones of its size, and on everything.

Trainings are tasks on the active client, or on Dask's threads. The rows they need are gathered
once, where the tasks run; labels alone come here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.block import as_features, as_labels, missing_labels
from dask_distill.budget import largest_remainder
from dask_distill.dataset import Dataset, as_dataset
from dask_distill.errors import InputError
from dask_distill.evaluation import Evaluation, cost_of, summarise, verdict_of, worst_class_of
from dask_distill.kernels.hashing import row_hash
from dask_distill.progress import Progress, Silent
from dask_distill.rounds import DaskRunner
from dask_distill.trials import Table, Trial, as_models, train_and_test

if TYPE_CHECKING:
    from dask_distill.coreset import Coreset

Rows = npt.NDArray[np.int64]

_TEST_ROWS = 10_000
_TEST_SHARE = 0.2
_LEAST_TEST_ROWS = 20
# rows gathered for each row that one training may take: draws of several seeds must differ
_POOL = 4
_POOL_STREAM, _TEST_STREAM, _DRAW_STREAM, _PART_STREAM = 11, 12, 13, 14


@dataclass(frozen=True)
class Split:
    """One seed's rows, as positions in the pool.

    Attributes
    ----------
    seed : int
    test : (t,) int64 array
        Never selected ones; empty where test rows are given.
    random, stratified, everything : (m,) int64 arrays
        To train on; none is in ``test``.
    """

    seed: int
    test: Rows
    random: Rows
    stratified: Rows
    everything: Rows


def evaluate(
    coreset: "Coreset",
    features: Any,
    labels: Any = None,
    *,
    test: Any = None,
    models: Any = None,
    seeds: int = 5,
    test_rows: int | None = None,
    max_rows: int = 50_000,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure what training on a subset costs, against random subsets and against everything.

    For each seed: test rows are drawn by hash from the rows that were not selected; models are
    trained on the subset (with its weights, where they take weights), on a uniform and on a
    class-stratified random subset of its size, and on everything; all are judged on the same
    test rows.

    Parameters
    ----------
    coreset : Coreset
    features : Dataset, (n, d) array, or pair of features and labels
        What the subset was selected from.
    labels : (n,) array, optional
        Unless ``features`` brings them.
    test : Dataset, or pair of features and labels, optional
        Held-out rows, instead of rows of the source that were not selected. Give some where the
        fraction is large: what a selection leaves is then no fair sample of the data.
    models : classifier or dict of classifiers, optional
        `dask_distill.trials.standard_models` unless given.
    seeds : int
        How many times to draw and train, at least 2.
    test_rows : int, optional
        A fifth of the rows that were not selected, at most 10,000, unless given.
    max_rows : int
        The most rows that one training takes; "everything" is a random part where there are more,
        and so is the subset. At most four times as many are gathered.
    seed : int
        The first of the seeds.
    progress : Progress, optional

    Returns
    -------
    Evaluation
        Print it for a table; `as_dict` gives JSON.

    Raises
    ------
    InputError
        Without labels, or where the source is not what the subset was selected from.

    Examples
    --------
    >>> from dask_distill import distill
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(3000, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> coreset = distill(X, y, fraction=0.1, strategy="random")
    >>> found = evaluate(coreset, X, y, models=LogisticRegression(), seeds=3)
    >>> found.verdict.partition(",")[0]
    'Random does as well here'
    """
    dataset = _labelled_source(coreset, features, labels)
    held_out = None if test is None else _labelled_test(test, dataset.d)
    named = as_models(models)
    _check_numbers(seeds=(seeds, 2), max_rows=(max_rows, 100), test_rows=(test_rows, 1))
    job = _Gathering(DaskRunner(progress), coreset, dataset, max_rows, seed)
    labels_here, handles = job.gather(held_out)
    codes, classes = _codes(labels_here)
    pool = _valid_rows(job.pool, codes[0])
    size = min(len(job.part), max_rows)
    every_seed = tuple(range(seed, seed + seeds))
    splits = [
        split_rows(pool, codes[0], coreset.indices, one, size, max_rows, test_rows, held_out)
        for one in every_seed
    ]
    size = min(size, len(splits[0].random))
    tables = [
        job.runner.call("table", Table, handle, code, weights)
        for handle, code, weights in zip(
            handles, codes, (None, coreset.weights[job.part], None)[: len(codes)], strict=True
        )
    ]
    trials = _train(job.runner, tables, splits, named, len(classes), progress or Silent())
    scores, differences = summarise(trials)
    everything, tests = len(splits[0].everything), len(splits[0].test)
    bounded = everything == max_rows < dataset.n - tests
    taken = coreset.provenance.get("seconds", {}).get("total")
    tested = len(codes[2]) if held_out else tests
    return Evaluation(
        verdict=verdict_of(scores, differences, bounded=bounded),
        cost=cost_of(scores, taken, bounded=bounded),
        strategy=str(coreset.provenance.get("parameters", {}).get("strategy", "")),
        rows=dataset.n,
        selected=len(coreset),
        test_rows=tested,
        classes=len(classes),
        seeds=every_seed,
        scores=scores,
        differences=differences,
        worst_class=worst_class_of(trials, classes),
        selection_seconds=taken,
        notes=_notes(coreset, dataset, size, everything if bounded else None, tests),
    )


def split_rows(
    pool: Rows,
    codes: npt.NDArray[np.int64],
    selected: Rows,
    seed: int,
    size: int,
    max_rows: int,
    test_rows: int | None,
    held_out: Any = None,
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
        count = test_rows or min(_TEST_ROWS, int(_TEST_SHARE * len(others)))
        if count < _LEAST_TEST_ROWS or count > len(others):
            raise InputError(
                f"evaluate needs at least {max(count, _LEAST_TEST_ROWS)} rows to test on that "
                f"were not selected, got {count if test_rows else len(others)}; give test rows of "
                "your own with test= / --test"
            )
        test = _first(others, pool, seed, _TEST_STREAM, count)
    rest = np.setdiff1d(valid, test)
    order = _first(rest, pool, seed, _DRAW_STREAM, len(rest))
    size = min(size, len(order))
    available = np.bincount(codes[order])
    quota = largest_remainder(size, available, available)
    by_class = order[np.argsort(codes[order], kind="stable")]
    starts = np.cumsum(available) - available
    place = np.arange(len(by_class)) - starts[codes[by_class]]
    return Split(
        seed,
        np.sort(test),
        np.sort(order[:size]),
        np.sort(by_class[place < quota[codes[by_class]]]),
        np.sort(order[:max_rows]),
    )


@dataclass
class _Gathering:
    """Brings the rows together that trainings need, where the tasks run."""

    runner: DaskRunner
    coreset: "Coreset"
    dataset: Dataset
    max_rows: int
    seed: int

    def __post_init__(self) -> None:
        self.pool = hashed_rows(self.dataset.n, _POOL * self.max_rows, self.seed, _POOL_STREAM)
        indices = self.coreset.indices
        self.part = _first(np.arange(len(indices)), indices, self.seed, _PART_STREAM, self.max_rows)
        self.part.sort()

    def gather(self, held_out: Dataset | None) -> tuple[list[Any], list[Any]]:
        """Labels of pool, subset and test, here; features of the same, as handles."""
        from dask_distill.coreset import take_rows

        coreset, dataset = self.coreset, self.dataset
        chosen: list[tuple[Any, Rows]] = [(dataset, self.pool), (coreset, self.part)]
        if held_out is not None:
            chosen.append(
                (held_out, hashed_rows(held_out.n, self.max_rows, self.seed, _TEST_STREAM))
            )
        features, labels = [], []
        for origin, rows in chosen:
            features.append(self._together(_features, take_rows(origin.features, rows)))
            labels.append(self._together(_labels, take_rows(origin.labels, rows)))
        kept = self.runner.settle([], [*features, *labels], 0)
        features, labels = kept[: len(chosen)], kept[len(chosen) :]
        # which pool rows the subset has, too: they must be the same
        both, mine, its = np.intersect1d(
            self.pool, coreset.indices[self.part], assume_unique=True, return_indices=True
        )
        differing, valid, *found = self.runner.fetch_all(
            [
                self.runner.call("compare", _differing, *features[:2], mine, its),
                self.runner.call("valid", _valid, features[0]),
                *labels,
            ]
        )
        if differing:
            raise InputError(
                "the source must be what the subset was selected from, got other values in "
                f"{differing} of {len(both)} rows that were looked at; check the path and the names"
            )
        found[0] = np.where(valid, found[0].astype(object), None)
        return found, features

    def _together(self, function: Any, array: da.Array) -> Any:
        # optimised one by one, arrays that share their input would each read it
        return self.runner.call("gather", function, *array.to_delayed(optimize_graph=False).ravel())


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
    return np.sort(drawn[_first(np.arange(len(drawn)), drawn, seed, stream, count)])


def _first(positions: Rows, numbers: Rows, seed: int, stream: int, count: int) -> Rows:
    """The positions whose row numbers have the lowest hashes, lowest first."""
    order = np.argsort(row_hash(numbers[positions], seed, stream=stream), kind="stable")
    return positions[order[:count]]


def _features(*parts: Any) -> Any:
    return as_features(np.concatenate([as_features(part) for part in parts]))


def _labels(*parts: Any) -> Any:
    return np.concatenate([as_labels(part) for part in parts])


def _valid(X: Any) -> Any:
    return np.isfinite(X).all(axis=1)


def _differing(pool: Any, subset: Any, mine: Rows, its: Rows) -> int:
    return int((pool[mine] != subset[its]).any(axis=1).sum())


def _codes(labels: Sequence[Any]) -> tuple[list[npt.NDArray[np.int64]], list[Any]]:
    """Class numbers, -1 where a label is missing, and the classes in order."""
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


def _valid_rows(pool: Rows, codes: npt.NDArray[np.int64]) -> Rows:
    return np.where(codes >= 0, pool, -1)


def _train(
    runner: DaskRunner,
    tables: Sequence[Any],
    splits: Sequence[Split],
    models: dict[str, Any],
    classes: int,
    progress: Progress,
) -> list[Trial]:
    """Every model on every way of choosing rows, for every seed."""
    from dask.delayed import delayed

    named = {name: delayed(model, traverse=False) for name, model in models.items()}
    trials = []
    for split in splits:
        handle = delayed(split, traverse=False)
        for way in ("subset", "random", "stratified", "everything"):
            trials += [
                runner.call("train", _trial, way, name, model, handle, classes, *tables)
                for name, model in named.items()
            ]
    progress.start("train", len(trials))
    done = runner.settle(trials, [], len(trials))
    progress.finish()
    return runner.fetch_all(done)


def _trial(
    way: str,
    name: str,
    model: Any,
    split: Split,
    classes: int,
    pool: Table,
    subset: Table,
    held_out: Table | None = None,
) -> Trial:
    training = subset if way == "subset" else pool.take(getattr(split, way))
    test = pool.take(split.test) if held_out is None else held_out
    return train_and_test(way, name, model, split.seed, training, test, classes)


def _labelled_source(coreset: "Coreset", features: Any, labels: Any) -> Dataset:
    if coreset.labels is None:
        raise InputError(
            "evaluate needs labels, got a subset of unlabelled rows; select again with labels= / "
            "--labels"
        )
    dataset = _as_labelled(features, labels, "source")
    told = coreset.provenance
    n = told.get("rows", 0) + told.get("rows_dropped", 0)
    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    if (dataset.n, dataset.d) != (n or dataset.n, d):
        raise InputError(
            f"the source must be what the subset was selected from, {n:,} rows of {d} features, "
            f"got {dataset.n:,} of {dataset.d}; check the path and the names"
        )
    return dataset


def _labelled_test(test: Any, d: int) -> Dataset:
    dataset = _as_labelled(test, None, "test")
    if dataset.d != d:
        raise InputError(
            f"test must have the {d} features of the source, got {dataset.d}; name the same columns"
        )
    return dataset


def _as_labelled(features: Any, labels: Any, what: str) -> Dataset:
    if isinstance(features, tuple) and len(features) == 2 and labels is None:
        features, labels = features
    dataset = as_dataset(features, labels)
    if dataset.labels is None:
        raise InputError(
            f"evaluate needs the labels of the {what}, got none; pass them, or name them with "
            "labels= / --labels"
        )
    return dataset


def _check_numbers(**limits: tuple[Any, int]) -> None:
    for name, (value, least) in limits.items():
        if value is None and name == "test_rows":
            continue
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise InputError(f"{name} must be an int of at least {least}, got {value!r}")


def _notes(
    coreset: "Coreset", dataset: Dataset, size: int, part: int | None, tests: int
) -> tuple[str, ...]:
    notes = []
    if part is not None:
        notes.append(
            f"Everything stands for {part:,} of {dataset.n:,} rows, drawn at random; "
            "max_rows / --max-rows raises it."
        )
    if size < len(coreset):
        notes.append(
            f"The subset stands for {size:,} of its {len(coreset):,} rows, drawn at random."
        )
    if tests:
        notes.append("Tested on rows of the source that were not selected.")
    return tuple(notes)
