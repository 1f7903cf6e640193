"""The way of a checked request, stage by stage."""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from dask.delayed import delayed

from dask_distill.conversation.converse import converse
from dask_distill.conversation.journal import Journal
from dask_distill.conversation.ledger import Ledger
from dask_distill.conversation.turns import content
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import rows_of
from dask_distill.runtime.client import active_client, limits_here
from dask_distill.runtime.inline import Inline
from dask_distill.runtime.progress import Progress, Silent
from dask_distill.runtime.runner import DaskRunner
from dask_distill.runtime.stealing import keeping_blocks
from dask_distill.runtime.wire import Wire, measured
from dask_distill.selection.certify import certify_rows
from dask_distill.selection.checkpoint import Checkpoint
from dask_distill.selection.choose import Ground, Job, Selected, select_from
from dask_distill.selection.lost import lost
from dask_distill.selection.plan import make_plan, refuse_unfit
from dask_distill.selection.provenance import make_provenance
from dask_distill.selection.request import Request
from dask_distill.selection.watched import Groups
from dask_distill.spaces.reduce import Notes, Space, reduce_blocks
from dask_distill.subset.subset import Subset
from dask_distill.survey.reading import content_fingerprint, raw_blocks
from dask_distill.survey.schema import Schema
from dask_distill.survey.survey import Survey, valid_block


class SelectionWarning(UserWarning):
    """A strategy was asked for that is known to hurt."""


def select(
    dataset: Dataset,
    request: Request,
    *,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
    decide: Callable[[Dataset, Request], tuple[Request, dict[str, Any]]] | None = None,
) -> Subset:
    """The way of a request that has been checked; see `distill`.

    Parameters
    ----------
    dataset : Dataset
    request : Request
    progress : Progress, optional
    checkpoint : Checkpoint, optional
        Keeps the finished selection, and gives it again to a run that resumes.
    decide : callable, optional
        Gives the request with another strategy, and how that was found.

    Returns
    -------
    Coreset
    """
    if request.strategy.warning:
        warnings.warn(request.strategy.warning, SelectionWarning, stacklevel=3)
    client = active_client()
    saved = None if checkpoint is None else checkpoint.selection()
    with measured(client) as wire, keeping_blocks(client):
        search = None
        if decide is not None and saved is None:
            request, search = decide(dataset, request)
            wire.mark("search")
        return _select(dataset, request, progress, checkpoint, saved, wire, search)


def _select(
    dataset: Dataset,
    request: Request,
    progress: Progress | None,
    checkpoint: Checkpoint | None,
    saved: Mapping[str, Any] | None,
    wire: Wire,
    search: Mapping[str, Any] | None,
) -> Subset:
    started = time.perf_counter()
    ledger = Ledger()
    job = Job(DaskRunner(progress), ledger, progress or Silent())

    limits = limits_here(active_client())
    refuse_unfit(make_plan(dataset, request, workers=len(limits) or 1), limits)
    raw = raw_blocks(dataset, job.runner)
    if saved is not None and checkpoint is not None:
        checkpoint.check(content_fingerprint(dataset, raw, job.runner))
        return Subset(**saved, **rows_of(dataset, saved["indices"]))
    journal = None if checkpoint is None else checkpoint.journal
    known: Schema | None = None
    if journal is not None and journal.has("schema"):
        known = journal.get("outline")
    if journal is not None and checkpoint is not None and known is not None:
        # what was surveyed is known, but must be what is there
        checkpoint.check(content_fingerprint(dataset, raw, job.runner))
        outline = job.runner.call("outline", journal.get, "outline")
        schema = job.runner.call("schema", journal.get, "schema")
    else:
        schema, outline = _survey(job, dataset, raw, request)
    if checkpoint is not None:
        checkpoint.begin((known or job.runner.fetch(outline)).fingerprint)
    if journal is not None and known is None:
        job.runner.fetch(job.runner.call("keep", _keep, journal, schema, outline))
    blocks: list[Any] = [Inline(valid_block, block, outline) for block in raw]
    judge = None if request.proxy is None else delayed(request.proxy, traverse=False)
    unreduced: list[Any] | None = None
    space = Space.of(
        request.reduce, request.time_scale, request.time_span(), dataset.features.shape[1:]
    )
    if space is not None:
        unreduced = blocks
        notes = Notes.of(journal, request.reduce, request.proxy, known is not None)
        blocks, schema, judge = reduce_blocks(
            space, blocks, schema, judge, job.runner, ledger, job.progress, notes
        )
        outline = job.runner.call("outline", Schema.outline, schema)
        schema, outline = job.runner.settle([], [schema, outline], 0)
    facts: Schema = job.runner.fetch(outline)
    wire.mark("survey")
    size = request.rows(facts.n)
    # made while the strategy makes its first question
    (groups,) = job.runner.settle([], [job.runner.call("groups", Groups.of, schema, size)], 0)
    certifying = None if journal is None else journal.of("certify")
    found: Selected | None = None
    # a search may come to another strategy
    if certifying is not None and known is not None and search is None:
        found = certifying.get("selected")
    if found is None:
        ground = Ground(schema, judge, facts, groups, blocks, unreduced)
        found = select_from(ground, dataset, request, job, journal)
        if request.certify and certifying is not None:
            # whatever becomes of the certificate
            certifying.put("selected", found)
    ledger.rounds = list(found.rounds)
    indices, pool, rows = found.indices, found.pool, len(found.indices)
    wire.mark("select")
    certificate = None
    if request.certify:
        certificate = certify_rows(
            blocks,
            np.union1d(indices, found.initial),
            request.strategy,
            outline,
            job.runner,
            ledger,
            job.progress,
            certifying,
        )
        if space is not None:
            certificate = replace(certificate, space=space.label)
        wire.mark("certify")
    provenance = make_provenance(
        dataset,
        request,
        pool,
        ledger,
        found.taken,
        size=rows,
        seconds=time.perf_counter() - started,
        told=found.told,
        wire=wire.figures(),
    )
    provenance["lost"] = lost(job.runner.fetch(groups), found.counts, pool, found.taken, rows)
    if search is not None:
        provenance["search"] = dict(search)
    coreset = Subset(
        indices, found.weights, found.scores, certificate, provenance, **rows_of(dataset, indices)
    )
    if checkpoint is not None:
        checkpoint.save(coreset)
    return coreset


def _survey(job: Job, dataset: Dataset, raw: list[Any], request: Request) -> tuple[Any, Any]:
    """Handles of the schema, and of its outline without the sample."""
    survey = Survey()
    question = survey.ask(
        dataset.n,
        dataset.d,
        labelled=dataset.labels is not None,
        seed=int(request.seed),
        on_invalid=request.on_invalid,
    )
    final, _ = converse(
        delayed(survey, traverse=False),
        raw,
        question,
        job.runner,
        phase="survey",
        ledger=job.ledger,
        progress=job.progress,
        keep=False,
    )
    schema = job.runner.call("schema", content, final)
    outline = job.runner.call("outline", Schema.outline, schema)
    schema, outline = job.runner.settle([], [schema, outline], 0)
    return schema, outline


def _keep(journal: Journal, schema: Schema, outline: Schema) -> bool:
    """The outline last: a run that resumes looks for it."""
    return journal.put("schema", schema) and journal.put("outline", outline)
