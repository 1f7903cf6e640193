"""Tries strategies on a bounded part of the rows: trials are tasks, the coordinator proposes.

Rows are gathered once, where the tasks run. A batch of trials is proposed from what earlier ones
found, and judged on one held-out part after the other; the worse half stops after the first.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dask_distill.conversation.run import Run
from dask_distill.errors import DistillError, InputError
from dask_distill.evaluation.bench import POOL
from dask_distill.evaluation.metrics import check_objective
from dask_distill.evaluation.splits import Split, as_labelled
from dask_distill.evaluation.statistics import interval
from dask_distill.evaluation.training import as_models, standard_models_named
from dask_distill.runtime.progress import Progress
from dask_distill.search.ranges import check_optuna, strategy_of
from dask_distill.search.result import LAST_SEEDS, StrategySearch, TrialResult, verdict_on_search
from dask_distill.search.study import Proposal, Record, StudyFile, propose
from dask_distill.search.trials import Judged, SearchPool, baseline, gather, judge
from dask_distill.selection.request import Asked, Request
from dask_distill.strategies.base import Strategy, describe_options
from dask_distill.strategies.search import Search
from dask_distill.support.digest import combined_digest
from dask_distill.support.metrics import as_metrics

# trials proposed at once: fixed, or what is found would depend on the number of workers
BATCH = 8


def search_strategy(
    features: Any,
    labels: Any = None,
    *,
    fraction: float | None = None,
    size: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **options: Any,
) -> StrategySearch:
    """Find the strategy, with its options, that keeps most on rows that are held out.

    What ``distill(strategy="search")`` does before it selects; see
    `dask_distill.strategies.search.Search` for how.

    Parameters
    ----------
    features : Dataset, (n, d) array, or pair of features and labels
    labels : (n,) array, optional
        Unless ``features`` brings them.
    fraction, size : as for `distill`
        What is searched for; trials select the same fraction of fewer rows.
    seed : int
    progress : Progress, optional
    **options
        Of `Search`: method, trials, minutes, metric, seeds, max_rows, study, model.

    Returns
    -------
    StrategySearch
        Its ``strategy`` can be passed to `distill`; `StrategySearch.plot` draws the front.

    Raises
    ------
    InputError
        Without labels or optuna, or for options that cannot be used.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(3000, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> found = search_strategy(X, y, fraction=0.05, trials=4, model=LogisticRegression())
    >>> len(found.trials), found.trials[0].strategy
    (4, 'auto')
    """
    dataset = as_labelled(features, labels, "source", "search")
    request = Request(strategy=Search(**options), fraction=fraction, size=size, seed=seed)
    return searched(request.of(dataset), Run.here(progress))


def with_strategy_found(asked: Asked, run: Run) -> tuple[Asked, Run, dict[str, Any]]:
    """With the strategy that a search has found; what another one has said is not recalled."""
    found = searched(asked, run)
    run.wire.mark("search")
    asked = replace(asked, request=replace(asked.request, strategy=found.strategy))
    branch = combined_digest({"strategy": repr(found.strategy)}) + "/"
    return asked, replace(run, journal=run.journal.branched(branch)), found.as_dict()


def searched(asked: Asked, run: Run) -> StrategySearch:
    """The search that a request's strategy asks for.

    Raises
    ------
    InputError
    """
    started, request, dataset = time.perf_counter(), asked.request, asked.dataset
    search = request.strategy
    assert isinstance(search, Search)
    check_optuna()
    scale = None if request.scale == "auto" else request.scale
    for name, value in (("reduce", request.reduce), ("proxy", request.proxy), ("scale", scale)):
        if value is not None:
            raise InputError(
                f"strategy search must be used without {name}=, got one; search first, then pass "
                f"the strategy found to distill with {name}="
            )
    model: Any = search.model or "logistic-regression,boosting"
    named = isinstance(model, str)
    models = standard_models_named(model.split(",")) if named else as_models(model)
    metrics = as_metrics(search.metric)
    check_objective(metrics, models)
    pool = gather(dataset, search, request.seed, run, request.none)
    part = request.rows(dataset.n) / dataset.n
    job = _Job(pool, search, models, part, run)
    told = {
        **{k: v for k, v in describe_options(search).items() if k not in ("trials", "minutes")},
        "metric": ",".join(metrics),
        "study": "",
        "model": {name: repr(model) for name, model in models.items()},
        "part": part,
        "seed": int(request.seed),
        "rows": pool.digest,
    }
    journal = StudyFile(Path(search.study) if search.study else None, told)
    records = job.records(journal, int(request.seed), started)
    return job.outcome(records, int(request.seed), started)


@dataclass
class _Job:
    """What is tried and where."""

    pool: SearchPool
    search: Search
    models: Mapping[str, Any]
    part: float
    run: Run

    @property
    def metric(self) -> str:
        """What trials are judged by."""
        return next(iter(as_metrics(self.search.metric)))

    def records(self, journal: StudyFile, seed: int, started: float) -> list[Record]:
        """Batch after batch, each kept once it is finished."""
        search = self.search
        records = journal.read()[: search.trials]
        limit = 60 * search.minutes or math.inf
        while len(records) < search.trials and (
            not records or time.perf_counter() - started < limit
        ):
            number = min(BATCH, search.trials - len(records))
            proposals = propose(records, number, search.method, seed)
            records = [*records, *self._judged(proposals, records)]
            journal.write(records)
        if records[0].failure:
            raise DistillError(f"the search failed at its first trial: {records[0].failure}")
        return records

    def _judged(self, proposals: Sequence[Proposal], before: Sequence[Record]) -> list[Record]:
        """On one held-out part after the other; who is below the median stops after the first."""
        chosen = [strategy_of(each.parameters) for each in proposals]
        sizes = [self._size(each.parameters, self.pool.splits[0]) for each in proposals]
        found: list[list[Judged]] = [[] for _ in proposals]
        going = list(range(len(proposals)))
        first = len(before)
        for number, split in enumerate(self.pool.splits):
            # what is asked for is the same part of what each split leaves
            judged = self._select_and_train(
                [(chosen[i], self._size(proposals[i].parameters, split), split) for i in going],
                f"trials {first + 1} to {first + len(proposals)}, part {number + 1}",
            )
            for i, one in zip(going, judged, strict=True):
                found[i].append(one)
            going = [i for i in going if not found[i][0].failure]
            if number == 0:
                going = self._worth_going_on(going, found, sizes, before)
        return [
            Record(
                number=first + i,
                parameters=proposal.parameters,
                rows=found[i][0].rows,
                scores=tuple(one.scores for one in found[i] if not one.failure),
                bytes_moved=found[i][0].bytes_moved,
                seconds=round(found[i][0].seconds, 3),
                stopped=not found[i][-1].failure and len(found[i]) < len(self.pool.splits),
                failure=found[i][-1].failure,
                distributions=proposal.distributions,
                notes=proposal.notes,
            )
            for i, proposal in enumerate(proposals)
        ]

    def _worth_going_on(
        self,
        going: Sequence[int],
        found: Sequence[Sequence[Judged]],
        sizes: Sequence[int],
        before: Sequence[Record],
    ) -> list[int]:
        """Trials at or above the median of those, up to now, that took no more rows."""
        known = [(r.rows, float(np.mean(r.scores[0]))) for r in before if r.scores]
        known += [(sizes[i], float(np.mean(found[i][0].scores))) for i in going]
        kept = []
        for i in going:
            own = float(np.mean(found[i][0].scores))
            others = [score for rows, score in known if rows <= sizes[i]]
            # auto, the first of all, is what the others are compared with
            if own >= float(np.median(others)) or (i == 0 and not before):
                kept.append(i)
        return kept

    def _size(self, parameters: Mapping[str, Any], split: Split) -> int:
        wanted = self.part * parameters.get("part", 1.0) * len(split.everything)
        return max(1, min(round(wanted), len(split.everything)))

    def _select_and_train(
        self, asked: Sequence[tuple[Strategy, int, Split]], title: str
    ) -> list[Judged]:
        run, bench = self.run, self.pool.bench
        models = run.constant(dict(self.models))
        splits = {id(split): run.constant(split) for _, _, split in asked}
        tasks = [
            run.call(
                "trial",
                judge,
                run.constant(strategy),
                size,
                splits[id(split)],
                bench.tables[POOL],
                models,
                bench.measures,
                self.metric,
            )
            for strategy, size, split in asked
        ]
        return run.fetch_all(run.watched(title, tasks))

    def outcome(self, records: Sequence[Record], seed: int, started: float) -> StrategySearch:
        """Compare the best trial with `auto` on rows that no trial has seen."""
        trials = tuple(map(_result, records))
        whole = [r for r in records if r.complete and r.parameters.get("part", 1.0) == 1.0]
        # of equals the earlier one: auto before all others
        leader = max(whole, key=lambda record: (record.score, -record.number))
        gain, rows = (0.0, 0.0, 0.0), len(self.pool.reserve)
        gains: dict[str, tuple[float, float, float]] = {}
        used = leader
        if leader.number:
            gain, gains = self._gain(strategy_of(leader.parameters), seed)
            used = leader if gain[0] > 0 else records[0]
        best = trials[leader.number]
        copies = self.pool.bench.copies(self.pool.splits[0])
        verdict = verdict_on_search(best, gain, trials[used.number], self.metric, gains)
        return StrategySearch(
            verdict=copies.verdict(verdict),
            strategy=strategy_of(used.parameters),
            chosen=used.number,
            metric=self.metric,
            method=self.search.method,
            size=records[0].rows,
            selected_from=len(self.pool.splits[0].everything),
            test_rows=rows,
            gain=gain[0],
            gain_low=gain[1],
            gain_high=gain[2],
            trials=trials,
            front=front_of(records),
            notes=self._notes(records) + copies.notes(),
            copies=copies,
            baseline=baseline(self.pool, self.metric),
            gains=gains,
            seconds=round(time.perf_counter() - started, 3),
        )

    def _gain(
        self, strategy: Strategy, seed: int
    ) -> tuple[tuple[float, float, float], dict[str, tuple[float, float, float]]]:
        """Of a strategy over `auto`, paired by seed, tested on the reserve; of all metrics, too."""
        pool = self.pool
        splits = [
            replace(split, seed=seed + 1000 + number, test=pool.reserve)
            for number, split in enumerate(
                pool.splits[i % len(pool.splits)] for i in range(LAST_SEEDS)
            )
        ]
        asked = [
            (each, self._size({}, split), split)
            for split in splits
            for each in (strategy, strategy_of({"strategy": "auto"}))
        ]
        judged = self._select_and_train(asked, "compare")
        failed = [one.failure for one in judged if one.failure]
        if failed:
            return (0.0, 0.0, 0.0), {}
        told = {name for name in judged[0].means if all(name in one.means for one in judged)}
        means = {
            name: [one.means[name] for one in judged] for name in judged[0].means if name in told
        }
        gains = {name: _paired(values) for name, values in means.items()}
        return _paired([float(np.mean(one.scores)) for one in judged]), gains

    def _notes(self, records: Sequence[Record]) -> tuple[str, ...]:
        stopped = sum(record.stopped for record in records)
        failed = sum(bool(record.failure) for record in records)
        notes = [
            f"{len(records)} trials, {stopped} of them stopped early"
            + (f", {failed} failed" if failed else "")
            + f"; judged by {' and '.join(self.models)} on {len(self.pool.splits)} held-out parts."
        ]
        if len(self.pool.splits[0].everything) == self.search.max_rows:
            notes.append(
                f"Trials selected from {self.search.max_rows:,} of {self.pool.total:,} rows, "
                "drawn at random; option max_rows raises it."
            )
        return tuple(notes)


def _paired(values: Sequence[float]) -> tuple[float, float, float]:
    """Of every other value over the one that follows it."""
    pairs = np.reshape(values, (-1, 2))
    return interval(pairs[:, 0] - pairs[:, 1])


def _result(record: Record) -> TrialResult:
    name = str(record.parameters["strategy"])
    options = {
        key.partition(".")[2]: value
        for key, value in record.parameters.items()
        if key.startswith(f"{name}.")
    }
    return TrialResult(
        number=record.number,
        strategy=name,
        options={**_fixed(record), **options},
        rows=record.rows,
        score=None if record.failure else record.score,
        bytes_moved=record.bytes_moved,
        seconds=record.seconds,
        stopped=record.stopped,
        failure=record.failure,
    )


def _fixed(record: Record) -> dict[str, Any]:
    """Options that every trial of the strategy has."""
    strategy = strategy_of(record.parameters)
    return {"sample": True} if getattr(strategy, "sample", False) else {}


def front_of(records: Sequence[Record]) -> tuple[int, ...]:
    """Trials that no other beats in score, rows and bytes moved at once.

    Examples
    --------
    >>> def one(number, rows, score):
    ...     return Record(
    ...         number=number,
    ...         parameters={"strategy": "auto"},
    ...         rows=rows,
    ...         scores=((score,),),
    ...         bytes_moved=0,
    ...         seconds=0.0,
    ...     )
    >>> front_of([one(0, 10, 0.9), one(1, 10, 0.8), one(2, 5, 0.85)])
    (0, 2)
    """
    whole = [record for record in records if record.complete]

    def beats(a: Record, b: Record) -> bool:
        left, right = (-a.score, a.rows, a.bytes_moved), (-b.score, b.rows, b.bytes_moved)
        return left != right and all(x <= y for x, y in zip(left, right, strict=True))

    return tuple(b.number for b in whole if not any(beats(a, b) for a in whole))
