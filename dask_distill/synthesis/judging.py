"""Trains models on synthetic rows and tests them on real ones, beside the subset; and distances.

Trainings and distances are tasks, as in `dask_distill.evaluation.evaluate`.
"""

from dataclasses import dataclass, replace
from typing import Any

import dask
import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.blocks import as_features
from dask_distill.data.labels import as_labels
from dask_distill.errors import InputError
from dask_distill.evaluation.bench import Bench, SplitWay, Tables
from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.gathering import Gathering
from dask_distill.evaluation.metrics import Measures
from dask_distill.evaluation.notes import Remarks, stand_in
from dask_distill.evaluation.origin import labelled_source, labelled_test
from dask_distill.evaluation.splits import (
    Rows,
    Split,
    check_numbers,
    class_codes,
    first_by_hash,
    most_rows,
    split_rows,
)
from dask_distill.evaluation.statistics import (
    ALL_MODELS,
    Difference,
    interval,
    summarise,
)
from dask_distill.evaluation.training import LabelledRows, Trial, as_models
from dask_distill.kernels.streams import Stream
from dask_distill.runtime.progress import Progress
from dask_distill.subset.subset import Subset
from dask_distill.synthesis.distances import all_distances
from dask_distill.synthesis.judged import SYNTHETIC_WAYS, SyntheticEvaluation, verdict_on_synthetic
from dask_distill.synthesis.rows import SyntheticRows, rows_digest

_COMPARED_ROWS = 10_000
_AT_THAT_SIZE = "; one that is selected at that size may be better"
# the table of rows that were made
_MADE = "made"


def evaluate_synthetic(
    synthetic: SyntheticRows,
    coreset: Subset,
    features: Any,
    labels: Any = None,
    *,
    test: Any = None,
    models: Any = None,
    seeds: int = 5,
    test_rows: int | None = None,
    max_rows: int | None = None,
    seed: int = 0,
    sample_weight: Any = None,
    progress: Progress | None = None,
) -> SyntheticEvaluation:
    """Measure what synthetic rows are good for, beside the subset they were made from.

    For each seed, test rows are drawn by hash from the rows that were not selected, which the
    generator has not seen; models are trained on synthetic rows, on as many of the subset (all,
    where there are no more), on both, on class-stratified random rows and on everything. Weights
    count where models take them. How far rows are from real ones, and how near to those they were
    learnt from, is measured against rows that were not selected.

    Parameters
    ----------
    synthetic : Synthetic
    coreset : Coreset
        What the synthetic rows were made from.
    features : Dataset, (n, d) array, or pair of features and labels
        What that was selected from.
    labels : (n,) array, optional
    test : Dataset, or pair of features and labels, optional
        Held-out rows. Needed where rows have a time, since what was made tells nothing of when.
    models, seeds, test_rows, max_rows, seed, sample_weight, progress : as for `evaluate`
        See `dask_distill.evaluation.evaluate.evaluate`.

    Returns
    -------
    SyntheticEvaluation
        Print it for tables; `Coreset.report` shows it.

    Raises
    ------
    InputError
        Without labels, or where one was not made from the other.
    """
    _check(synthetic, coreset, test)
    dataset = labelled_source(coreset, features, labels, sample_weight)
    held_out = None if test is None else labelled_test(test, dataset)
    named = as_models(models)
    check_numbers(seeds=(seeds, 2), max_rows=(max_rows, 100), test_rows=(test_rows, 1))
    max_rows = most_rows(dataset, max_rows)
    job = Gathering(Run.here(progress), coreset, dataset, max_rows, seed)
    found, handles = job.gather(held_out)
    used = _evenly(len(synthetic), max_rows)
    X, its_labels = _rows_of(synthetic, used)
    codes, classes = class_codes([*found, its_labels])
    made = LabelledRows(X, codes.pop(), synthetic.weights[used])
    pool = job.usable(codes[0])
    size = min(len(made.codes), len(job.part))
    every_seed = tuple(range(seed, seed + seeds))
    splits = [
        split_rows(pool, codes[0], coreset.indices, one, len(used), max_rows, test_rows, held_out)
        for one in every_seed
    ]
    tables = job.tables(handles, codes)
    part = _compared(np.arange(len(job.part)), coreset.indices[job.part], seed, size)
    unseen = _unseen(pool, coreset, seed) if held_out is None else None
    distances = job.run.call(
        "distances", _distances, made, part, unseen, splits[0], len(classes), *tables
    )
    made_here = {_MADE: job.run.constant(made)}
    bench = Bench.of(job.run, tables, Measures(range(len(classes))), **made_here)
    copies = job.copies(splits[0], tables)
    compared = [replace(split, subset=part) for split in splits]
    trials = bench.of_ways([SyntheticWay(way) for way in SYNTHETIC_WAYS], compared, named)
    fidelities, private = job.run.fetch(distances)
    scores, differences = summarise(trials)
    return SyntheticEvaluation(
        verdict=copies.verdict(verdict_on_synthetic(scores, differences)),
        added=_added(trials),
        method=str(synthetic.provenance.get("method", "")),
        rows=dataset.n,
        made=len(synthetic),
        selected=len(coreset),
        test_rows=len(codes[2]) if held_out else len(splits[0].test),
        classes=len(classes),
        seeds=every_seed,
        scores=scores,
        differences=differences,
        fidelity=fidelities,
        privacy=private,
        notes=_notes(synthetic, coreset, size, len(used), copies, held_out is None).told(),
        copies=copies,
    )


def _unseen(pool: Rows, coreset: Subset, seed: int) -> Rows:
    """Some of the rows at hand that nothing was made from, by position."""
    others = np.flatnonzero((pool >= 0) & ~np.isin(pool, coreset.indices))
    return first_by_hash(others, pool, seed, Stream.JUDGE_PART, _COMPARED_ROWS)


def _check(synthetic: Any, coreset: Any, test: Any) -> None:
    if not isinstance(synthetic, SyntheticRows) or not isinstance(coreset, Subset):
        raise InputError(
            "evaluate_synthetic needs synthetic rows and the Coreset they were made from, got "
            f"{type(synthetic).__name__} and {type(coreset).__name__}"
        )
    if coreset.labels is None or synthetic.labels is None:
        raise InputError(
            "evaluate needs labels, got a subset of unlabelled rows; select again with labels= / "
            "--labels"
        )
    if synthetic.provenance.get("learnt_from", {}).get("digest") != rows_digest(coreset):
        raise InputError(
            "coreset must be the subset that the synthetic rows were made from, got another one; "
            "name that, or make them again"
        )
    if test is None and coreset.provenance.get("input", {}).get("time"):
        raise InputError(
            "test must be given where rows have a time, got none; pass later rows than the subset's"
        )


def _compared(
    positions: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], seed: int, size: int
) -> npt.NDArray[np.int64]:
    """As many of the subset's rows as there are synthetic ones, drawn by hash, in order."""
    return np.sort(first_by_hash(positions, rows, seed, Stream.JUDGE_PART, size))


def _evenly(count: int, most: int) -> npt.NDArray[np.int64]:
    """All rows, or so many in even steps: they lie in the order of their classes."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).astype(np.int64)


def _rows_of(synthetic: SyntheticRows, used: npt.NDArray[np.int64]) -> tuple[Any, Any]:
    X, labels = dask.compute(synthetic.features, synthetic.labels)
    return as_features(X[used]), as_labels(labels[used])


def _distances(
    made: LabelledRows,
    part: npt.NDArray[np.int64],
    unseen: npt.NDArray[np.int64] | None,
    split: Split,
    classes: int,
    pool: LabelledRows,
    subset: LabelledRows,
    held_out: LabelledRows | None = None,
) -> Any:
    ways = {
        "synthetic": made,
        "subset": subset.take(part),
        "stratified": pool.take(split.stratified),
    }
    others = held_out if held_out is not None else pool.take(unseen)  # type: ignore[arg-type]
    return all_distances(ways, subset, others, classes)


@dataclass(frozen=True)
class SyntheticWay(SplitWay):
    """Rows that were made, alone or with the subset's; or what any subset is compared with."""

    def training(self, split: Split, tables: Tables) -> LabelledRows:
        """As the split has them, where they were not made."""
        if self.way == "synthetic":
            return tables[_MADE]
        if self.way == "both":
            return together(SplitWay("subset").training(split, tables), tables[_MADE])
        return super().training(split, tables)


def together(one: LabelledRows, other: LabelledRows) -> LabelledRows:
    """Both tables' rows; each row keeps its part of its table's weight by the table's rows.

    Examples
    --------
    >>> one = LabelledRows(np.zeros((1, 2)), np.array([0]), np.array([5.0], np.float32))
    >>> together(one, one).weights
    array([1., 1.], dtype=float32)
    """
    weights = [
        np.ones(len(table.codes), np.float32)
        if table.weights is None
        else table.weights / table.weights.mean()
        for table in (one, other)
    ]
    return LabelledRows(
        np.concatenate([one.X, other.X]),
        np.concatenate([one.codes, other.codes]),
        np.concatenate(weights),
    )


def _added(trials: list[Trial]) -> Difference:
    """What synthetic rows add to the subset: means over models, paired by seed."""
    seeds = sorted({trial.seed for trial in trials})
    found = {
        way: np.array(
            [
                np.mean([t.accuracy for t in trials if (t.way, t.seed) == (way, seed)])
                for seed in seeds
            ]
        )
        for way in ("both", "subset", "stratified")
    }
    # both are single draws, whose luck varies about as a random subset's does
    drawn = [found["both"] - found["subset"], found["subset"] - found["stratified"]]
    return Difference.of("subset", "accuracy", ALL_MODELS, interval(drawn[0], drawn))


def _notes(
    synthetic: SyntheticRows, coreset: Subset, size: int, used: int, copies: Copies, unseen: bool
) -> Remarks:
    """What stands for what, and what is tested on."""
    return Remarks(
        copies=copies,
        made=stand_in(used, len(synthetic)),
        subset=stand_in(size, len(coreset), _AT_THAT_SIZE),
        fewer=stand_in(size, used),
        tests_vary=True if unseen else None,
    )
