"""What do I lose? Trains models on a subset, on random ones of its size, and on everything.

Trainings are tasks on the active client, or on Dask's threads. The rows they need are gathered
once, where the tasks run; labels alone come here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dask_distill.conversation.run import Run
from dask_distill.evaluation.bench import UNWEIGHTED, Bench, SplitWay
from dask_distill.evaluation.gathering import Gathering
from dask_distill.evaluation.losses import Losses
from dask_distill.evaluation.metrics import check_objective, measures_of
from dask_distill.evaluation.notes import Remarks, StandIn, stand_in, weight_of
from dask_distill.evaluation.origin import labelled_source, labelled_test, timed
from dask_distill.evaluation.result import (
    WAYS,
    Evaluation,
    cost_of,
    verdict_on_subset,
    worst_class_of,
)
from dask_distill.evaluation.splits import (
    Split,
    check_numbers,
    class_codes,
    most_rows,
)
from dask_distill.evaluation.statistics import MOST_RECALLS, summarise
from dask_distill.evaluation.training import (
    Trial,
    weight_parameter,
)
from dask_distill.evaluation.whole import models_for, passes_of, train_on_all
from dask_distill.runtime.progress import Progress
from dask_distill.subset.subset import Subset
from dask_distill.support.metrics import as_metrics, metric_named


def evaluate(
    coreset: Subset,
    features: Any,
    labels: Any = None,
    *,
    test: Any = None,
    models: Any = None,
    metric: Any = None,
    seeds: int = 5,
    test_rows: int | None = None,
    max_rows: int | None = None,
    everything: str = "part",
    seed: int = 0,
    time: Any = None,
    sample_weight: Any = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure what training on a subset costs, against random subsets and against everything.

    For each seed: test rows are drawn by hash from the rows that were not selected; models are
    trained on the subset (with its weights, where they take weights, and without, where weights
    differ), on a uniform and on a class-stratified random subset of its size, and on everything;
    all are judged on the same test rows, by classes, rankings and probabilities, beside what the
    most frequent class alone reaches. Where rows have a time, the test rows are later than all
    that is trained on: each seed cuts time elsewhere, at 60 to 80 per cent of the rows, and tests
    on the fifth that follows. The verdict says first in what the subset is worse than a random
    one; and where copies of test rows among the rows trained on make it worth nothing.

    Parameters
    ----------
    coreset : Coreset
    features : Dataset, (n, d) array, frame, or pair of features and labels
        What the subset was selected from.
    labels : (n,) array or name of a frame's column, optional
        Unless ``features`` brings them.
    test : Dataset, or pair of features and labels, optional
        Held-out rows, instead of rows of the source that were not selected. Give some where the
        fraction is large: what a selection leaves is then no fair sample of the data.
    models : classifier or dict of classifiers, optional
        `dask_distill.evaluation.training.standard_models` unless given.
    metric : str, callable, or dict or list of them, optional
        What the verdict is on, accuracy unless given: a name of
        `dask_distill.support.metrics.METRICS` or of a scikit-learn scorer, or a scorer
        (estimator, X, y) -> float, higher is better. Of several the first; all are measured
        beside those that always are. The estimator speaks of the labels as the source has them.
    seeds : int
        How many times to draw and train, at least 2.
    test_rows : int, optional
        A fifth of the rows that were not selected, at most 10,000, unless given.
    max_rows : int, optional
        The most rows that one training takes; "everything" is a random part where there are more,
        and so is the subset. At most four times as many are gathered, on one worker. 50,000
        unless given, fewer where those gathered would take more than a GiB.
    everything : str
        "part" is the random part of at most ``max_rows``. "all" is all rows, block by block, once;
        "all:3" three times: for models with ``partial_fit``, or pipelines that end in one, whose
        other steps are fitted on the part; `dask_distill.evaluation.training.block_models` unless
        ``models`` are given. The source is read once more for each time.
    seed : int
        The first of the seeds.
    time : (n,) array or str, optional
        When each row of the source was, where the subset was selected with one; ``features`` may
        be a `Dataset` that has it.
    sample_weight : (n,) array, str or False, optional
        How many rows each row of the source stands for; ``features`` may be a `Dataset` that has
        it. Trainings and scores are weighted, as the subset was selected unless this is given.
    progress : Progress, optional

    Returns
    -------
    Evaluation
        Print it for a table; `as_dict` gives JSON.

    Raises
    ------
    InputError
        Without labels, where the source is not what the subset was selected from, or for a metric
        that is not known or fails.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_distill import distill
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(3000, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> coreset = distill(X, y, fraction=0.1, strategy="random")
    >>> found = evaluate(coreset, X, y, models=LogisticRegression(), seeds=3)
    >>> found.verdict.partition(",")[0]
    'Random does as well here'
    """
    dataset = timed(coreset, labelled_source(coreset, features, labels, sample_weight), time)
    held_out = None if test is None else labelled_test(test, dataset)
    passes, asked = passes_of(everything), as_metrics(metric)
    named = models_for(models, passes)
    check_numbers(seeds=(seeds, 2), max_rows=(max_rows, 100), test_rows=(test_rows, 1))
    check_objective(asked, named)
    max_rows = most_rows(dataset, max_rows)
    job = Gathering(Run.here(progress), coreset, dataset, max_rows, seed)
    labels_here, handles = job.gather(held_out)
    codes, classes = class_codes(labels_here)
    splits = job.splits(codes[0], seeds, test_rows, held_out)
    size, tables = min(job.size, len(splits[0].random)), job.tables(handles, codes)
    copies = job.copies(splits[0], tables)
    rarest = job.rarest(splits, codes, len(classes))
    bench = Bench.of(job.run, tables, measures_of(asked, classes, codes[0], rarest[0]))
    trials, whole = _trained(job, bench, named, splits, passes)
    tests = len(splits[0].test)
    bounded = len(splits[0].everything) == max_rows < dataset.n - tests and not passes
    found = _judged(trials, classes, rarest, tests, [*asked, "accuracy"][0], bounded)
    taken = coreset.provenance.get("seconds", {}).get("total")
    notes = _notes(job, size, splits[0], bounded=bounded)
    notes = replace(notes, copies=copies, opening=found.pop("notes"), whole=whole, trials=trials)
    return Evaluation(
        verdict=copies.verdict(found.pop("verdict")),
        cost=cost_of(found["scores"], taken, bounded=bounded),
        strategy=str(coreset.provenance.get("parameters", {}).get("strategy", "")),
        rows=dataset.n,
        selected=len(coreset),
        test_rows=len(codes[2]) if held_out else tests,
        classes=len(classes),
        seeds=tuple(split.seed for split in splits),
        selection_seconds=taken,
        notes=notes.told(),
        copies=copies,
        **found,
    )


def _trained(
    job: Gathering,
    bench: Bench,
    named: dict[str, Any],
    splits: Sequence[Split],
    passes: int,
) -> tuple[list[Trial], tuple[str, ...]]:
    """All trainings, in the order of `WAYS`, and what is to be said of those on all rows."""
    ways = [SplitWay(way) for way in _ways(named, job.unlike())]
    if not passes:
        return bench.of_ways(ways, splits, named), ()
    trials = bench.of_ways([way for way in ways if way.way != "everything"], splits, named)
    fixed = (bench.measures, *bench.tables.values())
    more, notes = train_on_all(job.run, job.dataset, named, splits, job.pool, fixed, passes)
    order = list(WAYS)
    return sorted([*trials, *more], key=lambda trial: order.index(trial.way)), notes


def _judged(
    trials: Sequence[Trial],
    classes: Sequence[Any],
    rarest: Sequence[int],
    tests: int,
    objective: str,
    bounded: bool,
) -> dict[str, Any]:
    """Scores, differences, and what is said of them, by the field of `Evaluation`."""
    recalls = {str(classes[code]): code for code in rarest[:MOST_RECALLS]}
    whole = next(trial.rows for trial in trials if trial.way == "everything")
    scores, differences = summarise(trials, recalls=recalls, overlap=tests / whole)
    seeds = len({trial.seed for trial in trials})
    notes: tuple[str, ...] = ()
    if scores[0].value(objective) is None:
        words = metric_named(objective).words
        notes, objective = (f"The verdict is on accuracy: too few draws tell {words}.",), "accuracy"
    return {
        "scores": scores,
        "differences": differences,
        "objective": objective,
        "verdict": verdict_on_subset(
            scores, differences, bounded=bounded, objective=objective, seeds=seeds
        ),
        "notes": notes + Losses.of(differences, seeds, objective).notes(),
        "worst_class": worst_class_of(trials, classes),
        "rarest_class": str(classes[rarest[0]]),
    }


def _ways(models: dict[str, Any], unlike: bool) -> tuple[str, ...]:
    """What is trained on: without weights as well, where these make a difference to a model."""
    weighs = any(weight_parameter(model) is not None for model in models.values())
    return tuple(way for way in WAYS if way != UNWEIGHTED or (weighs and unlike))


def _notes(job: Gathering, size: int, split: Split, *, bounded: bool) -> Remarks:
    """What stands for what, and what is tested on."""
    left_out, selected = len(job.part) - len(job.complete), len(job.coreset)
    return Remarks(
        everything=StandIn(len(split.everything), job.dataset.n) if bounded else None,
        subset=stand_in(size, selected) if size + left_out < selected else None,
        left_out=left_out,
        tests_vary=len(split.test) > 0,
        forward=split.until is not None,
        weighted_by=weight_of(job.dataset),
    )
