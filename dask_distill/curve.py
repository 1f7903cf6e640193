"""How many rows are enough? Accuracy against the size of the subset, for several strategies.

Each seed holds out test rows first and selects from the rest, so that the luck of every draw is
counted. Selections and trainings run on the active client, or on Dask's threads.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dask_distill.conversation.run import Run
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import take_rows
from dask_distill.data.weighted import measured, with_weights
from dask_distill.errors import InputError
from dask_distill.evaluation.bench import HELD_OUT, POOL, Bench
from dask_distill.evaluation.curve_points import BASELINE, EVERYTHING, CurveDraw, points_of
from dask_distill.evaluation.curve_pool import CurvePool
from dask_distill.evaluation.curve_result import SizeCurve
from dask_distill.evaluation.curve_sizes import check_sizes, rows_of_size
from dask_distill.evaluation.curve_verdict import judged_by, verdict_on_curve
from dask_distill.evaluation.metrics import Measures, check_objective, measures_of
from dask_distill.evaluation.notes import Remarks, StandIn, weight_of
from dask_distill.evaluation.splits import (
    Rows,
    Split,
    as_labelled,
    check_numbers,
    class_codes,
    finite_rows,
    gather_features,
    gather_labels,
    hashed_rows,
    most_rows,
    pool_rows,
    split_rows,
    valid_rows,
    weights_here,
)
from dask_distill.evaluation.statistics import MAJORITY
from dask_distill.evaluation.training import (
    LabelledRows,
    Trial,
)
from dask_distill.evaluation.whole import models_for, passes_of, train_on_all
from dask_distill.kernels.streams import Stream
from dask_distill.pipeline import distill
from dask_distill.runtime.progress import Progress
from dask_distill.selection.select import SelectionWarning
from dask_distill.strategies import make_strategy
from dask_distill.strategies.base import Strategy
from dask_distill.support.metrics import as_metrics
from dask_distill.tables.dataset import read_as

_NOTHING = np.empty(0, np.int64)


def size_curve(
    features: Any,
    labels: Any = None,
    *,
    sizes: Sequence[float] = (0.01, 0.05, 0.1),
    strategies: Any = ("auto", "stratified", "random"),
    test: Any = None,
    models: Any = None,
    metric: Any = None,
    seeds: int = 5,
    test_rows: int | None = None,
    max_rows: int | None = None,
    everything: str = "part",
    seed: int = 0,
    sample_weight: Any = None,
    progress: Progress | None = None,
) -> SizeCurve:
    """Measure accuracy against the size of the subset, for several strategies.

    For each seed: test rows are drawn by hash, each strategy selects each size from the rest,
    models are trained on what was selected (with its weights, where they take weights) and on
    everything, and all are judged on the same test rows. A uniform random subset is always among
    the strategies: a curve tells nothing without it.

    The work is bounded: seeds × sizes × strategies selections, as many trainings of each model and
    those on everything, none on more than ``max_rows`` rows. A larger source is represented by
    random parts of it, which the result says.

    Parameters
    ----------
    features : Dataset, (n, d) array, or pair of features and labels
    labels : (n,) array, optional
        Unless ``features`` brings them.
    sizes : sequence of float or int
        Floats up to 1 are parts of the rows that are selected from, ints are rows.
    strategies : sequence of names, or dict of names or strategy objects by the name to show
    test : Dataset, or pair of features and labels, optional
        Held-out rows, instead of rows of the source.
    models : classifier or dict of classifiers, optional
        `dask_distill.evaluation.training.standard_models` unless given.
    metric : str, callable, or dict or list of them, optional
        What strategies are judged by, accuracy unless given; as for
        `dask_distill.evaluation.evaluate.evaluate`.
    seeds : int
        How many times to split, select and train, at least 2.
    test_rows : int, optional
        A fifth of the rows at hand, at most 10,000, unless given.
    max_rows : int, optional
        The most rows that are selected from, and that one training takes. At most four times as
        many are gathered, on one worker. 50,000 unless given, fewer where those gathered would
        take more than a GiB.
    everything : str
        "part" trains on everything that is selected from; "all" or "all:3" (passes) on all rows
        but those tested on, block by block, as `dask_distill.evaluation.evaluate.evaluate` does.
        Shares are of it.
    seed : int
        The first of the seeds.
    sample_weight : (n,) array, str or False, optional
        As for `distill`: selections, trainings and scores are weighted.
    progress : Progress, optional

    Returns
    -------
    SizeCurve
        Print it for the table, `SizeCurve.plot` draws it.

    Raises
    ------
    InputError
        Without labels, or for sizes, strategies, models or metrics that cannot be used.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(3000, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> curve = size_curve(
    ...     X, y, sizes=[0.02, 200], strategies=["stratified"], models=LogisticRegression(), seeds=2
    ... )
    >>> [(point.strategy, point.rows) for point in curve.points if point.model == "all models"][:4]
    [('stratified', 48), ('stratified', 200), ('random', 48), ('random', 200)]
    >>> len(curve.line("everything")), len(curve.line("majority"))
    (1, 1)
    """
    check_numbers(seeds=(seeds, 2), max_rows=(max_rows, 100), test_rows=(test_rows, 1))
    check_numbers(seed=(seed, 0))
    dataset = as_labelled(features, labels, "source", "size_curve")
    dataset = measured(with_weights(dataset, sample_weight))
    held_out = None if test is None else _test_set(test, dataset)
    passes, chosen, asked = passes_of(everything), as_strategies(strategies), as_metrics(metric)
    named = models_for(models, passes)
    check_objective(asked, named)
    check_sizes(sizes)
    job = _Job(dataset, held_out, Run.here(progress))
    max_rows = most_rows(dataset, max_rows)
    pool, splits, classes = job.split(range(seed, seed + seeds), max_rows, test_rows)
    rarest = pool.rarest(splits, len(classes))
    measures = measures_of(asked, classes, pool.codes[0], rarest)
    part = len(splits[0].everything)
    steps = sorted({rows_of_size(size, part) for size in sizes})
    with _warned_once(chosen):
        draws = job.select(pool, splits, chosen, steps)
    bench = job.bench(pool, measures)
    trials, whole = job.train(bench, pool, splits, draws, named, passes)
    tests = len(splits[0].test)
    tested = tests if held_out is None else len(pool.codes[1])
    copies = bench.copies(splits[0])
    points = points_of(draws, trials, [*chosen, EVERYTHING, MAJORITY], tests / part, tested)
    objective = next(iter(asked), "accuracy")
    verdict = verdict_on_curve(points, list(chosen), objective=objective, seeds=seeds)
    bounded = part == max_rows < dataset.n - tests
    notes = _notes(dataset, part if bounded else None, len(draws) - 2 * seeds, trials)
    notes = replace(notes, copies=copies, whole=whole)
    return SizeCurve(
        verdict=copies.verdict(verdict),
        rows=dataset.n,
        selected_from=part,
        test_rows=tested,
        classes=len(classes),
        seeds=tuple(split.seed for split in splits),
        points=points,
        notes=notes.told(),
        copies=copies,
        objective=judged_by(points, objective),
        rarest_class=str(classes[rarest]),
    )


def as_strategies(strategies: Any) -> dict[str, Strategy]:
    """Strategies by the name that the curve shows, random among them.

    Raises
    ------
    InputError
    """
    if isinstance(strategies, str | Strategy):
        strategies = (strategies,)
    named = (
        dict(strategies)
        if isinstance(strategies, Mapping)
        else {each if isinstance(each, str) else each.name: each for each in strategies}
    )
    for name, what in ((EVERYTHING, "all rows"), (MAJORITY, "their most frequent class")):
        if name in named:
            raise InputError(
                f"strategies must not be named {name!r}, which stands for {what}; choose another "
                "name"
            )
    return {name: make_strategy(each) for name, each in ({**named, BASELINE: BASELINE}).items()}


@dataclass
class _Job:
    """What is split, selected from and trained on, and where."""

    dataset: Dataset
    held_out: Dataset | None
    run: Run

    def split(
        self, seeds: Sequence[int], max_rows: int, test_rows: int | None
    ) -> tuple[CurvePool, list[Split], list[Any]]:
        """Gather rows, and split them once for each seed."""
        rows = pool_rows(self.dataset.n, max_rows, seeds[0])
        chosen: list[tuple[Any, Rows]] = [(self.dataset, rows)]
        if self.held_out is not None:
            chosen.append(
                (self.held_out, hashed_rows(self.held_out.n, max_rows, 0, Stream.JUDGE_TEST))
            )
        run = self.run
        parts = [gather_features(run, take_rows(each.features, mine)) for each, mine in chosen]
        labels = [gather_labels(run, take_rows(each.labels, mine)) for each, mine in chosen]
        kept = [*run.held(*parts, *labels)]
        parts, labels = kept[: len(chosen)], kept[len(chosen) :]
        finite = [run.call("valid", finite_rows, each) for each in parts]
        found = run.fetch_all([*finite, *labels])
        valid, values = found[: len(chosen)], found[len(chosen) :]
        values[0] = np.where(valid[0], values[0].astype(object), None)
        codes, classes = class_codes(values)
        if not all(each.all() for each in valid[1:]) or any((c < 0).any() for c in codes[1:]):
            raise InputError(
                "test must have no NaN, infinite value or missing label, got some; clean the rows"
            )
        numbers = valid_rows(rows, codes[0])
        weights = [weights_here(each, mine) for each, mine in chosen]
        if weights[0] is not None:
            # rows that stand for nothing are neither selected nor tested on
            numbers = np.where(weights[0] > 0, numbers, -1)
        splits = [
            split_rows(numbers, codes[0], _NOTHING, one, 1, max_rows, test_rows, self.held_out)
            for one in seeds
        ]
        return CurvePool(parts, codes, weights, self.dataset.d, rows), splits, classes

    def select(
        self,
        pool: CurvePool,
        splits: Sequence[Split],
        strategies: Mapping[str, Strategy],
        steps: Sequence[int],
    ) -> list[CurveDraw]:
        """Every strategy at every size from what each seed leaves to select from."""
        draws = []
        progress = self.run.progress
        progress.start("select", len(splits) * len(strategies) * len(steps))
        for split in splits:
            rows = split.everything
            own = None if pool.weights[0] is None else pool.weights[0][rows]
            draws += [
                CurveDraw(
                    strategy=name, step=-1, seed=split.seed, rows=rows, weights=own, seconds=0.0
                )
                for name in (EVERYTHING, MAJORITY)
            ]
            X, codes = pool.part(self.run, rows), pool.codes[0][rows]
            how: dict[str, Any] = {"seed": split.seed, "sample_weight": own}
            for name, strategy in strategies.items():
                for step, size in enumerate(steps):
                    found = distill(X, codes, size=size, strategy=strategy, **how)
                    draw = CurveDraw(
                        strategy=name,
                        step=step,
                        seed=split.seed,
                        rows=rows[found.indices],
                        weights=found.weights,
                        seconds=float(found.provenance["seconds"]["total"]),
                    )
                    draws.append(draw)
                    progress.advance()
        progress.finish()
        return draws

    def train(
        self,
        bench: Bench,
        pool: CurvePool,
        splits: Sequence[Split],
        draws: Sequence[CurveDraw],
        models: Mapping[str, Any],
        passes: int,
    ) -> tuple[list[list[Trial]], tuple[str, ...]]:
        """Every model on every draw, and what is to be said of trainings on all rows.

        Where there are ``passes`` over these, each model learns them block by block.
        """
        of_seed = {split.seed: split for split in splits}
        out_of_core = [bool(passes) and draw.strategy == EVERYTHING for draw in draws]
        entries = [
            (draw, of_seed[draw.seed])
            for draw, apart in zip(draws, out_of_core, strict=True)
            if not apart
        ]
        trials = iter(bench.trials(entries, models))
        more: Sequence[Trial] = ()
        notes: tuple[str, ...] = ()
        if passes:
            held_out = [bench.tables[HELD_OUT]] if HELD_OUT in bench.tables else []
            fixed = (bench.measures, bench.tables[POOL], self.run.constant(None), *held_out)
            more, notes = train_on_all(
                self.run, self.dataset, models, splits, pool.rows, fixed, passes
            )
        made = [
            [trial for trial in more if trial.seed == draw.seed] if apart else next(trials)
            for draw, apart in zip(draws, out_of_core, strict=True)
        ]
        return made, notes

    def bench(self, pool: CurvePool, measures: Measures) -> Bench:
        """Where models are trained on draws from the pool."""
        tables = [
            self.run.call("table", LabelledRows, *each)
            for each in zip(pool.parts, pool.codes, pool.weights, strict=True)
        ]
        named = dict(zip((POOL, HELD_OUT), tables, strict=False))
        return Bench(self.run, named, self.run.constant(measures))


def _test_set(test: Any, source: Dataset) -> Dataset:
    dataset = read_as(as_labelled(test, None, "test rows", "size_curve"), source.profile)
    d = source.d
    if dataset.d != d:
        raise InputError(
            f"test must have the {d} features of the source, got {dataset.d}; name the same columns"
        )
    return dataset


@contextmanager
def _warned_once(strategies: Mapping[str, Strategy]) -> Iterator[None]:
    """A strategy's warning once, not for every selection."""
    for strategy in strategies.values():
        if strategy.warning:
            warnings.warn(strategy.warning, SelectionWarning, stacklevel=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        yield


def _notes(
    dataset: Dataset, part: int | None, selections: int, trials: Sequence[Sequence[Trial]]
) -> Remarks:
    """What was selected from, and what it took; the majority's trainings look at no features."""
    return Remarks(
        trials=[trial for each in trials for trial in each if trial.way != MAJORITY],
        selections=selections,
        selected_from=None if part is None else StandIn(part, dataset.n),
        weighted_by=weight_of(dataset),
    )
