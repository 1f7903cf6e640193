"""A batch arrives: what it brings is kept, and the subset is chosen anew from what is kept."""

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.coreset import Coreset, take_rows
from dask_distill.dataset import Dataset, as_dataset
from dask_distill.errors import InputError
from dask_distill.growing.arrivals import (
    Arrival,
    Covered,
    Facts,
    Kept,
    Rule,
    Sample,
    Sampled,
    Spread,
    class_codes,
    joined_labels,
)
from dask_distill.growing.batch import check_batch, made_request
from dask_distill.growing.choosing import chosen, flat
from dask_distill.growing.summary import Settings, Summary
from dask_distill.kernels.reservoir import priorities, thinned
from dask_distill.pipeline import refuse_asynchronous
from dask_distill.placement import keeping_blocks
from dask_distill.plan import limits_here, make_plan, refuse_unfit
from dask_distill.progress import Progress
from dask_distill.reading import raw_blocks
from dask_distill.rounds import DaskRunner, Ledger, active_client, content, converse
from dask_distill.sources import chunk_rows, join_rows
from dask_distill.strategies.kcenter import KCenter
from dask_distill.strategies.random import Random
from dask_distill.strategies.space import Space
from dask_distill.survey import fingerprint_of
from dask_distill.validity import OnInvalid
from dask_distill.wire import joined, measured

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# a block may offer so many times its equal share of what may be kept
_SHARES = 2


def grow(
    features: Any,
    labels: Any = None,
    *,
    fraction: float | None = None,
    size: int | None = None,
    strategy: str = "auto",
    options: Mapping[str, Any] | None = None,
    carry: Mapping[str, Any] | None = None,
    time: Any = None,
    oversample: float | None = None,
    window: int | None = None,
    half_life: float | None = None,
    seed: int = 0,
    on_invalid: OnInvalid = "raise",
    progress: Progress | None = None,
) -> Coreset:
    """Select rows of a first batch, so that `Coreset.update` can add others.

    Besides the subset some more rows are kept, and what each of them stands for: its `summary`.
    Every batch is read when it comes, and never again. Rows are numbered in the order in which
    they come, over all batches.

    Most strategies choose from a random sample: which rows are in it depends on seed and row
    numbers alone, so that fifty batches give the rows and weights of the same data in one, bit
    for bit. ``kcenter`` keeps rows far from each other; its certificate then states a bound
    instead of a measured radius, see the guide on growing data.

    Parameters
    ----------
    features, labels, carry, time, seed, on_invalid, progress
        As for `dask_distill.distill`. All batches have the same columns and types.
    fraction : float, optional
        Part of the rows that have come, 0 < fraction <= 1: the subset grows with them.
    size : int, optional
        Rows to select, as soon as there are so many (for ``kcenter``, so many distinct ones); what
        is kept stays bounded. Exactly one of ``fraction`` and ``size`` is given.
    strategy : str
        kcenter, auto, coverage, hierarchical, kmeans, kmedoids, periods, random, spaced, strata
        or stratified.
    options : dict, optional
        Of the strategy.
    oversample : float, optional
        Rows kept for each one selected: 10 unless given, fewer where that is more than 40 %
        of all rows.
    window : int, optional
        Only the last so many rows count, by their numbers. Needs ``size``.
    half_life : float, optional
        Rows count for half as much when so many have come after them. Needs ``size``.

    Returns
    -------
    Coreset
        With a ``summary``. Weights sum to the rows that count: with a half-life to all rows,
        though old ones have a smaller part in that.

    Raises
    ------
    InputError
        For input or parameters that cannot be used, before any selection starts.

    References
    ----------
    Duffield, Lund, Thorup (2007), Priority sampling for estimation of arbitrary subset sums;
    Charikar, Chekuri, Feder, Motwani (2004), Incremental clustering and dynamic information
    retrieval.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(3000, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> coreset = grow(X[:1000], y[:1000], size=100)
    >>> coreset = coreset.update(X[1000:], y[1000:])
    >>> len(coreset), float(round(coreset.weights.sum())), coreset.provenance["rows"]
    (100, 3000.0, 3000)
    """
    settings = Settings.of(
        strategy,
        options,
        fraction,
        size,
        oversample,
        window=window,
        half_life=half_life,
        seed=seed,
        on_invalid=on_invalid,
    )
    dataset = as_dataset(features, labels, carry=carry, time=time)
    return grown(Summary.begin(settings), dataset, progress=progress)


def grown(summary: Summary, dataset: Dataset, *, progress: Progress | None = None) -> Coreset:
    """What a summary and one more batch come to.

    Parameters
    ----------
    summary : Summary
        Of all before, or of nothing.
    dataset : Dataset
        The batch.
    progress : Progress, optional

    Returns
    -------
    Coreset
        Its ``summary`` is that of all together.

    Raises
    ------
    InputError
        For a batch that does not fit what came before, or cannot be used.
    """
    check_batch(summary, dataset)
    refuse_asynchronous()
    started = time.perf_counter()
    client = active_client()
    ledger, runner = Ledger(), DaskRunner(progress)
    with measured(client) as wire, keeping_blocks(client):
        following = _arrived(summary, dataset, runner, ledger, progress)
        wire.mark("arrive")
    coreset = chosen(following, progress)
    told = coreset.provenance
    provenance = told | {
        # once for what it has, once for the rows that are kept; and those kept before
        "bytes_read": 2 * dataset.nbytes
        + (0 if summary.dataset is None else summary.dataset.nbytes),
        "bytes_moved": told["bytes_moved"] + ledger.bytes_moved(),
        "bytes_on_the_wire": joined(wire.figures(), told["bytes_on_the_wire"]),
        "rounds": told["rounds"] + len(ledger.rounds),
        "seconds": ledger.seconds()
        | told["seconds"]
        | {"total": round(time.perf_counter() - started, 3)},
        "input": told["input"]
        | {
            "sources": list(dataset.sources),
            "chunks_missing": {name: count for name, (count, _) in dataset.missing.items()},
        },
    }
    return replace(coreset, provenance=provenance)


def _arrived(
    summary: Summary,
    dataset: Dataset,
    runner: DaskRunner,
    ledger: Ledger,
    progress: Progress | None,
) -> Summary:
    """The summary of all that came, once the batch has told what it has."""
    settings = summary.settings
    n = summary.n + dataset.n
    most = settings.most(n)
    plain = made_request(settings, 1 if most is None else min(most, dataset.n))
    if not settings.covering:
        plain = replace(plain, strategy=Random())
    limits = limits_here(active_client())
    refuse_unfit(make_plan(dataset, plain, workers=len(limits) or 1), limits)
    blocks = raw_blocks(dataset, runner)
    question = _question(summary, dataset, most, len(blocks), runner)
    final, _ = converse(
        delayed(Arrival(), traverse=False),
        blocks,
        question,
        runner,
        phase="arrive",
        ledger=ledger,
        progress=progress,
        # rows are held between two questions; one needs no memory
        keep=settings.covering,
    )
    told: Sampled | Covered = runner.fetch(runner.call("told", _without_rows, final))
    facts = told.facts
    checksums = [checksum for _, checksum in sorted(facts.checksums)]
    counted = _counted(summary, facts)
    following = replace(
        summary,
        n_source=summary.n_source + dataset.n,
        n=summary.n + facts.valid,
        classes=None if counted is None else tuple(counted),
        counts=None if counted is None else tuple(counted.values()),
        batches=summary.batches + 1,
        fingerprint=_chained(summary.fingerprint, fingerprint_of(dataset.n, dataset.d, checksums)),
    )
    if isinstance(told, Covered):
        kept = told.kept
        following = replace(following, masses=kept.masses, reach=kept.reach, least=kept.separation)
        return _having(following, summary, dataset, kept.rows)
    rows, masses, least = _sampled(summary, told, following)
    following = replace(following, masses=masses, reach=np.full(len(rows), math.inf), least=least)
    return _having(following, summary, dataset, rows)


def _question(
    summary: Summary, dataset: Dataset, most: int | None, blocks: int, runner: DaskRunner
) -> Any:
    """A handle of the first question."""
    settings = summary.settings
    on_invalid, first = settings.on_invalid, summary.n_source
    if not settings.covering:
        least = max(summary.least, settings.least(first + dataset.n))
        # those of the batch are not known yet
        floor = settings.floor(len(summary.classes or ()))
        rule = Rule(least, most, floor)
        return Sample(rule, first, settings.seed, settings.half_life, on_invalid)
    assert most is not None
    share = math.ceil(_SHARES * most / blocks)
    size = settings.wanted(summary.n + dataset.n)
    strategy = settings.made_strategy()
    assert isinstance(strategy, KCenter)
    space = Space(strategy.metric, None, None, None)
    kept = Kept(
        summary.rows,
        np.empty((0, dataset.d)),
        summary.masses,
        summary.reach,
        max(0.0, summary.least),
    )
    parts = [] if summary.dataset is None else list(summary.dataset.features.to_delayed().ravel())
    return runner.call(
        "question", _spread, Spread(kept, space, first, share, most, size, on_invalid), *parts
    )


def _spread(question: Spread, *parts: Any) -> Spread:
    """With the rows that are kept; runs as a task."""
    if not parts:
        return question
    X = question.space(flat(*parts))
    return replace(question, kept=replace(question.kept, X=X))


def _without_rows(final: Any) -> Sampled | Covered:
    told: Sampled | Covered = content(final)
    if isinstance(told, Covered):
        return replace(told, kept=replace(told.kept, X=told.kept.X[:0]))
    return told


def _counted(summary: Summary, facts: Facts) -> dict[Any, int] | None:
    """Rows of each class, those of this batch too."""
    if facts.labels is None or facts.counts is None:
        return None
    before = dict(zip(summary.classes or (), summary.counts or (), strict=True))
    for label, rows in zip(facts.labels.tolist(), facts.counts.tolist(), strict=True):
        before[label] = before.get(label, 0) + rows
    return before


def _chained(before: str, fingerprint: str) -> str:
    """Of one batch its own; of several a digest of theirs, in order."""
    if not before:
        return fingerprint
    return hashlib.blake2b(f"{before} {fingerprint}".encode(), digest_size=16).hexdigest()


def _sampled(summary: Summary, told: Sampled, following: Summary) -> tuple[Rows, Floats, float]:
    """Rows that are kept by chance, of old ones and new: numbers, masses, threshold."""
    settings, drawn = summary.settings, told.drawn
    rows = np.concatenate([summary.rows, drawn.rows])
    masses = np.concatenate([summary.masses, np.ones(len(drawn.rows))])
    priority = priorities(rows, masses, settings.seed, half_life=settings.half_life)
    labels, old = drawn.labels, summary.labels()
    if labels is not None and old is not None:
        labels = joined_labels(old, labels)
    codes = class_codes(labels, len(rows))
    rule, floor = drawn.rule, settings.floor(len(following.classes or ()))
    kept, least = thinned(priority, rows, codes, least=rule.least, most=rule.most, floor=floor)
    if settings.window is not None:
        kept &= rows >= following.n_source - settings.window
    return rows[kept], masses[kept], least


def _having(following: Summary, before: Summary, dataset: Dataset, rows: Rows) -> Summary:
    """With the rows of these numbers, held on the workers, or here where there are none."""
    first = before.n_source
    at = int(np.searchsorted(rows, first))
    old = np.searchsorted(before.rows, rows[:at])
    new = rows[at:] - first
    kept = before.dataset

    def together(then: da.Array | None, now: da.Array) -> da.Array:
        parts = [take_rows(then, old)] if then is not None and len(old) else []
        parts += [take_rows(now, new)] if len(new) else []
        kind = np.result_type(*(part.dtype for part in parts))
        joint = join_rows([part.astype(kind) for part in parts])
        size = math.prod(joint.shape[1:]) * joint.dtype.itemsize
        return joint.rechunk({0: chunk_rows(size, len(rows))}, method="tasks")

    if len(rows) == 0:
        raise InputError(
            "a batch must leave some rows to select from, got none that is valid; clean it"
        )
    features = together(None if kept is None else kept.features, dataset.features)
    labels = None
    if dataset.labels is not None:
        labels = together(None if kept is None else kept.labels, dataset.labels)
    carry = {
        name: together(None if kept is None else kept.carry[name], array)
        for name, array in dataset.carry.items()
    }
    # otherwise every question to these rows would read their batches again
    features, labels, carry = dask.persist(features, labels, carry)
    like = dataset if kept is None else kept
    joint = replace(like, features=features, labels=labels, carry=carry, sources=(), missing={})
    return replace(following, dataset=joint, rows=rows)
