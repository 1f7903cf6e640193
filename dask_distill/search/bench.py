"""What trials share: rows at hand and their splits; and one trial, which knows no Dask."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dask_distill.conversation.run import Run
from dask_distill.data.dataset import Dataset
from dask_distill.data.labels import MissingLabel
from dask_distill.data.rows import take_rows
from dask_distill.errors import InputError
from dask_distill.evaluation.splits import (
    Rows,
    Split,
    class_codes,
    finite_rows,
    first_by_hash,
    gather_features,
    gather_labels,
    hashed_rows,
    split_rows,
    valid_rows,
)
from dask_distill.evaluation.training import Table, train_and_test
from dask_distill.kernels.streams import Stream
from dask_distill.search.in_memory import select_in_memory
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.search import Search

# of the rows at hand that no trial sees, for the last comparison
_RESERVE = 0.2
_RESERVE_ROWS = 10_000
_NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True)
class Bench:
    """Rows at hand, where the tasks run, and how they are split.

    Attributes
    ----------
    table : handle of a `Table`
    splits : list of Split
        One for each held-out part that trials are judged on.
    reserve : (r,) int64 array
        Positions that no trial sees.
    classes : int
    digest : str
        Of the values and class numbers.
    total : int
        Rows of the data set.
    """

    table: Any
    splits: list[Split]
    reserve: Rows
    classes: int
    digest: str
    total: int


@dataclass(frozen=True)
class Judged:
    """One selection: what models trained on it reach."""

    rows: int
    scores: tuple[float, ...]
    bytes_moved: int
    seconds: float
    failure: str = ""


def gather(
    dataset: Dataset, search: Search, seed: int, run: Run, none: MissingLabel | None = None
) -> Bench:
    """Bring the rows together that trials need, and split them."""
    assert dataset.labels is not None
    # so many that each split leaves max_rows to select from
    numbers = hashed_rows(dataset.n, 2 * search.max_rows, seed, Stream.SEARCH_POOL)
    X = gather_features(run, take_rows(dataset.features, numbers))
    y = gather_labels(run, take_rows(dataset.labels, numbers))
    X, y = run.held(X, y)
    finite, found = run.fetch_all([run.call("valid", finite_rows, X), y])
    if none is not None:
        finite = finite & ~none.among(found)
    (codes,), classes = class_codes([np.where(finite, found.astype(object), None)])
    pool = valid_rows(numbers, codes)
    valid = np.flatnonzero(pool >= 0)
    count = min(_RESERVE_ROWS, int(_RESERVE * len(valid)))
    reserve = first_by_hash(valid, pool, seed, Stream.SEARCH_RESERVE, count)
    pool = pool.copy()
    pool[reserve] = -1
    splits = [
        split_rows(pool, codes, _NOTHING, seed + number, 1, search.max_rows, None)
        for number in range(search.seeds)
    ]
    (table,) = run.held(run.call("table", Table, X, codes))
    digest = run.fetch(run.call("digest", _digest, table))
    return Bench(table, splits, np.sort(reserve), len(classes), digest, dataset.n)


def _digest(table: Table) -> str:
    content = hashlib.blake2b(table.X.tobytes(), digest_size=16)
    content.update(table.codes.tobytes())
    return content.hexdigest()


def judge(
    strategy: Strategy,
    size: int,
    split: Split,
    table: Table,
    models: Mapping[str, Any],
    classes: int,
    metric: str,
) -> Judged:
    """Select, train and test; a selection that is refused is a result like any other."""
    training, test = table.take(split.everything), table.take(split.test)
    started = time.thread_time()
    try:
        found = select_in_memory(training.X, training.codes, strategy, size, seed=split.seed)
    except InputError as error:
        return Judged(size, (), 0, 0.0, str(error))
    seconds = time.thread_time() - started
    mine = Table(training.X[found.rows], training.codes[found.rows], found.weights)
    trials = [
        train_and_test(strategy.name, name, model, split.seed, mine, test, classes)
        for name, model in models.items()
    ]
    scores = tuple(float(getattr(trial, metric)) for trial in trials)
    return Judged(size, scores, found.bytes_moved, seconds)
