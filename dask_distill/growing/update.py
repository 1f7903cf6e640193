"""A batch arrives: what it brings is kept, and the subset is chosen anew from what is kept."""

import hashlib
import math
import time
from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import Run, measured_run
from dask_distill.conversation.turns import content
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import chunk_rows, join_rows, take_rows
from dask_distill.data.table import Table
from dask_distill.errors import InputError
from dask_distill.growing.arrivals import (
    Arrival,
    Covered,
    Kept,
    OfferOutlying,
    Rule,
    SampleBatch,
    Sampled,
    class_codes,
)
from dask_distill.growing.check import check_batch, made_request
from dask_distill.growing.choosing import chosen, flat
from dask_distill.growing.facts import Facts, joined_labels
from dask_distill.growing.tables import kept_table, listed
from dask_distill.kernels.reservoir import priorities, thinned
from dask_distill.runtime.client import refuse_asynchronous
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.progress import Progress
from dask_distill.runtime.wire import joined
from dask_distill.selection.plan import refuse_unfit_here
from dask_distill.strategies.kcenter import KCenter
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.random import Random
from dask_distill.subset.kept import is_plain, of_table
from dask_distill.subset.subset import Subset
from dask_distill.subset.summary import Summary
from dask_distill.survey.fingerprint import fingerprint_of
from dask_distill.survey.reading import raw_blocks
from dask_distill.survey.validity import columns_named
from dask_distill.tables.lazy import encoded
from dask_distill.tables.profile import Profile

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# a block may offer so many times its equal share of what may be kept
_SHARES = 2


def grown(summary: Summary, dataset: Dataset, *, progress: Progress | None = None) -> Subset:
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
    columns = _columns_told(summary, dataset)
    summary, dataset = check_batch(summary, dataset)
    refuse_asynchronous()
    started = time.perf_counter()
    with measured_run(progress) as run, columns_named(dataset.columns):
        following, facts = _arrived(summary, dataset, run)
        run.wire.mark("arrive")
    coreset = chosen(following, progress)
    told = coreset.provenance
    growing = told["growing"]
    if dataset.table is not None:
        growing = growing | {"last_batch": columns | {"other_values": dict(facts.other)}}
    provenance = told | {
        "growing": growing,
        # once for what it has, once for the rows that are kept; and those kept before
        "bytes_read": 2 * dataset.nbytes
        + (0 if summary.dataset is None else summary.dataset.nbytes),
        "bytes_moved": told["bytes_moved"] + run.ledger.bytes_moved(),
        "bytes_on_the_wire": joined(run.wire.figures(), told["bytes_on_the_wire"]),
        "rounds": told["rounds"] + len(run.ledger.rounds),
        "seconds": run.ledger.seconds()
        | told["seconds"]
        | {"total": round(time.perf_counter() - started, 3)},
        "input": told["input"]
        | {
            "sources": list(dataset.sources),
            "split": dataset.split,
            "where": dataset.where,
            "chunks_missing": {name: count for name, (count, _) in dataset.missing.items()},
        },
    }
    return replace(coreset, provenance=provenance)


def _columns_told(summary: Summary, dataset: Dataset) -> dict[str, list[str]]:
    """Columns of a table that those before it have and this one does not, and the reverse."""
    before = None if summary.dataset is None else summary.dataset.table
    if before is None or dataset.table is None:
        return {"columns_missing": [], "columns_left_out": []}
    then, now = before.schema.names, dataset.table.schema.names
    return {
        "columns_missing": [name for name in then if name not in now],
        "columns_left_out": [name for name in now if name not in then],
    }


def _arrived(summary: Summary, dataset: Dataset, run: Run) -> tuple[Summary, Facts]:
    """The summary of all that came, once the batch has told what it has; and that."""
    settings = summary.settings
    n = summary.n + dataset.n
    most = settings.most(n)
    plain = made_request(settings, 1 if most is None else min(most, dataset.n))
    if not settings.covering:
        plain = replace(plain, strategy=Random())
    refuse_unfit_here(plain.of(dataset))
    blocks = raw_blocks(dataset, run.runner)
    question = _question(summary, dataset, most, len(blocks), run)
    # rows are held between two questions; one needs no memory
    keep = settings.covering
    final, _ = converse(Arrival(), blocks, question, run, phase="arrive", keep=keep)
    told = run.fetch(run.call("told", _without_rows, final))
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
        return _having(following, summary, dataset, kept.rows), facts
    rows, masses, least = _sampled(summary, told, following)
    following = replace(following, masses=masses, reach=np.full(len(rows), math.inf), least=least)
    return _having(following, summary, dataset, rows), facts


def _question(
    summary: Summary, dataset: Dataset, most: int | None, blocks: int, run: Run
) -> SampleBatch | Handle[OfferOutlying]:
    """The first question, or a handle of it."""
    settings = summary.settings
    first = summary.n_source
    assert settings.on_invalid is not None
    told: dict[str, Any] = {
        "first": first,
        "on_invalid": settings.on_invalid,
        "categories": listed(dataset.profile),
    }
    if not settings.covering:
        least = max(summary.least, settings.least(first + dataset.n))
        # those of the batch are not known yet
        floor = settings.floor(len(summary.classes or ()))
        rule = Rule(least, most, floor)
        return SampleBatch(rule=rule, seed=settings.seed, half_life=settings.half_life, **told)
    assert most is not None
    share = math.ceil(_SHARES * most / blocks)
    size = settings.wanted(summary.n + dataset.n)
    strategy = settings.made_strategy()
    assert isinstance(strategy, KCenter)
    space = MetricSpace(strategy.metric, None, None, None)
    kept = Kept(
        summary.rows,
        np.empty((0, dataset.d)),
        summary.masses,
        summary.reach,
        max(0.0, summary.least),
    )
    parts = [] if summary.dataset is None else run.chunks(summary.dataset.features)
    spread = OfferOutlying(kept=kept, space=space, share=share, most=most, size=size, **told)
    return run.call("question", _spread, spread, *parts)


def _spread(question: OfferOutlying, *parts: Any) -> OfferOutlying:
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
    table = _kept_table(None if kept is None else kept.table, old, dataset.table, new)
    if table is None or is_plain(dataset.profile):
        features = together(None if kept is None else kept.features, dataset.features)
    else:
        # of the rows that are kept alone: the others need not be encoded again
        found = encoded(table, Profile.parse(dataset.profile or {}))
        features = found.astype(dataset.features.dtype)
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
    joint = replace(
        like,
        features=features,
        labels=labels,
        carry=carry,
        sources=(),
        missing={},
        without_nulls=like.without_nulls & dataset.without_nulls,
    )
    if table is not None:
        assert joint.profile is not None
        joint = of_table(joint, table, joint.profile, following.settings.on_invalid)
    return replace(following, dataset=joint, rows=rows)


def _kept_table(then: Table | None, old: Rows, now: Table | None, new: Rows) -> Table | None:
    """All columns of the rows that are kept, in memory on the workers; None for arrays."""
    if now is None or not len(old) + len(new):
        return None
    table = kept_table([*([] if then is None else [(then, old)]), (now, new)])
    (parts,) = dask.persist(table.parts)
    return replace(table, parts=parts)
