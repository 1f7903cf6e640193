"""What trials share: rows at hand and their splits; and one trial, which knows no Dask."""

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dask_distill.conversation.run import Run
from dask_distill.data.dataset import Dataset
from dask_distill.data.labels import MissingLabel
from dask_distill.data.rows import take_rows
from dask_distill.errors import InputError
from dask_distill.evaluation.bench import POOL, Bench, RowsHere, SplitWay, judged
from dask_distill.evaluation.metrics import Measures, measures_of
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
from dask_distill.evaluation.statistics import MAJORITY, rarest_classes
from dask_distill.evaluation.training import LabelledRows, Trial
from dask_distill.kernels.streams import Stream
from dask_distill.search.in_memory import select_in_memory
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.search import Search
from dask_distill.support.metrics import METRICS, MORE, as_metrics, metric_named

# of the rows at hand that no trial sees, for the last comparison
_RESERVE = 0.2
_RESERVE_ROWS = 10_000
_NOTHING = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class SearchPool:
    """Rows at hand, where the tasks run, and how they are split.

    Attributes
    ----------
    bench : Bench
    splits : list of Split
        One for each held-out part that trials are judged on.
    reserve : (r,) int64 array
        Positions that no trial sees.
    digest : str
        Of the values and class numbers.
    total : int
        Rows of the data set.
    """

    bench: Bench
    splits: list[Split]
    reserve: Rows
    digest: str
    total: int


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One selection: what models trained on it reach.

    Attributes
    ----------
    rows : int
    scores : tuple of float
        By model, of what trials are judged by; losses are negative.
    bytes_moved : int
    seconds : float
    failure : str
    means : dict of float
        Of every metric that all models tell, over the models.
    """

    rows: int
    scores: tuple[float, ...]
    bytes_moved: int
    seconds: float
    failure: str = ""
    means: Mapping[str, float] = field(default_factory=dict)


def gather(
    dataset: Dataset, search: Search, seed: int, run: Run, none: MissingLabel | None = None
) -> SearchPool:
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
    (table,) = run.held(run.call("table", LabelledRows, X, codes))
    digest = run.fetch(run.call("digest", _digest, table))
    asked = as_metrics(search.metric)
    measures = measures_of(asked, classes, codes, _rarest(splits, reserve, codes, len(classes)))
    return SearchPool(
        bench=Bench.of(run, [table], measures),
        splits=splits,
        reserve=np.sort(reserve),
        digest=digest,
        total=dataset.n,
    )


def _rarest(splits: list[Split], reserve: Rows, codes: Rows, classes: int) -> int:
    """Class number with the fewest held-out rows, of those that occur in every held-out part."""
    parts = [codes[rows] for rows in (*(split.test for split in splits), reserve) if len(rows)]
    found = rarest_classes(parts, [None] * len(parts), classes)
    return next((code for code in found if all((part == code).any() for part in parts)), found[0])


def _digest(table: LabelledRows) -> str:
    content = hashlib.blake2b(table.X.tobytes(), digest_size=16)
    content.update(table.codes.tobytes())
    return content.hexdigest()


def judge(
    strategy: Strategy,
    size: int,
    split: Split,
    table: LabelledRows,
    models: Mapping[str, Any],
    measures: Measures,
    metric: str,
) -> Judged:
    """Select, train and test; a selection that is refused is a result like any other."""
    training = table.take(split.everything)
    started = time.thread_time()
    try:
        found = select_in_memory(training.X, training.codes, strategy, size, seed=split.seed)
    except InputError as error:
        return Judged(rows=size, scores=(), bytes_moved=0, seconds=0.0, failure=str(error))
    seconds = time.thread_time() - started
    mine = LabelledRows(training.X[found.rows], training.codes[found.rows], found.weights)
    entrant, tables = RowsHere(strategy.name, mine), {POOL: table}
    trials = [
        judged(entrant, name, model, split, measures, tables) for name, model in models.items()
    ]
    means = {
        name: float(np.mean([trial.value(name) for trial in trials]))
        for name in (*METRICS, *MORE, *measures.scorers)
    }
    return Judged(
        rows=size,
        scores=scores_of(trials, metric),
        bytes_moved=found.bytes_moved,
        seconds=seconds,
        means={name: mean for name, mean in means.items() if math.isfinite(mean)},
    )


def scores_of(trials: Sequence[Trial], metric: str) -> tuple[float, ...]:
    """By model, of those that tell the metric; higher is better, so losses are negative."""
    found = [metric_named(metric).sign * trial.value(metric) for trial in trials]
    told = tuple(value for value in found if math.isfinite(value))
    if not told:
        raise InputError(
            f"metric {metric} must be a number for some model, got none for "
            f"{', '.join(trial.model for trial in trials)}; choose another metric, or other models"
        )
    return told


def baseline(pool: SearchPool, metric: str) -> float:
    """Mean over held-out parts of what the most frequent class reaches, signed as scores are."""
    entries = [(SplitWay(MAJORITY), split) for split in pool.splits]
    found = pool.bench.trials(entries, {}, title=None)
    return float(np.mean([metric_named(metric).sign * each.value(metric) for (each,) in found]))
