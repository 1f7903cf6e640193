"""`distill`: the whole way on one page.

Survey, ask, converse, choose; the rows themselves stay where they are until they are written.
"""

import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.delayed import delayed

from dask_distill.certify import certify_rows
from dask_distill.coreset import Coreset, rows_of
from dask_distill.dataset import Dataset, as_dataset
from dask_distill.errors import InputError
from dask_distill.inline import Inline
from dask_distill.lost import Groups, lost
from dask_distill.placement import keeping_blocks
from dask_distill.plan import limits_here, make_plan, refuse_unfit
from dask_distill.progress import Progress, Silent
from dask_distill.provenance import make_provenance
from dask_distill.reading import content_fingerprint, raw_blocks
from dask_distill.reducing import Notes, Space, reduce_blocks
from dask_distill.reduction_spec import make_reduction
from dask_distill.request import TASKS, Request
from dask_distill.rounds import DaskRunner, Ledger, active_client, content, converse
from dask_distill.selecting import Ground, Job, Selected, select_from
from dask_distill.strategies import make_strategy
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.search import Search
from dask_distill.survey import Schema, Survey, valid_block
from dask_distill.targets import as_target, labels_of, with_task
from dask_distill.validity import OnInvalid
from dask_distill.wire import Wire, measured

if TYPE_CHECKING:
    from dask_distill.checkpoint import Checkpoint
    from dask_distill.journal import Journal


class SelectionWarning(UserWarning):
    """A strategy was asked for that is known to hurt."""


def distill(
    features: Any,
    labels: Any = None,
    *,
    fraction: float | None = None,
    size: int | None = None,
    strategy: str | Strategy = "auto",
    certify: bool = False,
    carry: Mapping[str, Any] | None = None,
    seed: int = 0,
    proxy: Any = None,
    options: Mapping[str, Any] | None = None,
    on_invalid: OnInvalid = "raise",
    task: str = "classification",
    protect: Any = None,
    initial: Any = None,
    reduce: Any = None,
    time: Any = None,
    time_scale: Any = None,
    progress: Progress | None = None,
) -> Coreset:
    """Select the rows of a data set that are worth training on, where the data lies.

    Runs on the active `distributed.Client`, or on Dask's threads without one. Same data, seed
    and parameters give the same rows and weights, bit for bit, for any chunking, number of
    workers, scheduler or order of tasks (on processors of the same kind).

    Parameters
    ----------
    features : (n, d) or (n, ...) dask array
        Numbers, without NaN or infinite values; more axes are flattened for the selection.
        NumPy arrays, dask and pandas DataFrames, xarray objects and `Dataset` are accepted.
    labels : (n,) dask array of ints or strings, optional
        None for an unlabelled pool.
    fraction : float, optional
        Part of the valid rows to select, 0 < fraction <= 1; round(fraction * n), at least 1.
    size : int, optional
        Rows to select; exactly one of ``fraction`` and ``size`` is given.
    strategy : str or Strategy
        A name (see `dask_distill.strategies`) or a strategy object.
    certify : bool
        Measure the covering radius over all rows and prove a lower bound.
    carry : dict of (n, ...) dask arrays, optional
        More columns to write with the selected rows.
    seed : int
        From 0 to 2**63 - 1.
    proxy : fitted estimator with ``predict_proba``, optional
        Judges the rows, on the features as they are, instead of the built-in model.
    options : dict, optional
        Options of the strategy that is given by name.
    on_invalid : "raise" or "drop"
        Whether rows with NaN, infinite values or a missing label end the run or are left out.
    task : "classification", "regression" or "multilabel"
        What labels are. For a regression they are (n,) numbers, and quotas are of their strata by
        quantiles; for several labels they are (n, L) of 0 and 1. Both are carried as ``y``, or
        under the name they have in the `Dataset`.
    protect : mask, row numbers, name, dict or function, optional
        Rows that are never dropped, each with weight 1; the strategy fills the rest of the size
        from the others. For the forms see `dask_distill.protection.Protection.of`.
    initial : mask, row numbers, name or Coreset, optional
        Rows chosen already, for instance labelled ones of a pool: a mask, row numbers, the name
        of a boolean carried array, or a subset of these rows. They are not selected again; fraction
        and weights are of the others. ``kcenter`` and ``active`` cover what these do not; a
        certificate is for both together.
    reduce : str, Reduction, fitted transformer or callable, optional
        Brings features into the space where scores and distances are taken: "pca:32",
        "random-projection:64", "autoencoder:32" (see `dask_distill.reduction`), something with
        ``transform``, or a function of a block's (m, ...) rows that gives (m, p) numbers, each
        row for itself. The output holds the rows as they were.
    time : (n,) array of numbers or dates, or str, optional
        When each row was: for strategies that ask for it, for ``time_scale``, and so that
        `evaluate` tests on later rows than it trains on. Carried as "time"; or the name of a
        carried array.
    time_scale : float, "6h" or the like, or "auto", optional
        Adds to all distances how far rows are apart in time: as much, on average, as two rows
        differ that are so far apart, if they lose their likeness after ``time_scale`` (in the
        unit of numbers, seconds for dates). "auto" finds it from the features' autocorrelation.
    progress : Progress, optional
        Takes phases and blocks done; `dask_distill.progress.show_progress` makes one.

    Returns
    -------
    Coreset

    Raises
    ------
    InputError
        For input or parameters that cannot be used, before any selection starts.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.random.default_rng(0).normal(size=(5000, 4), chunks=1000)
    >>> coreset = distill(X, (X[:, 0] > 0).astype(int), fraction=0.1)
    >>> len(coreset), float(round(coreset.weights.sum()))
    (500, 5000.0)
    """
    request = Request(
        strategy=make_strategy(strategy, options),
        fraction=fraction,
        size=size,
        certify=certify,
        seed=seed,
        proxy=proxy,
        on_invalid=on_invalid,
        protect=protect,
        initial=initial,
        reduce=make_reduction(reduce),
        task=task,
        time_scale=time_scale,
    )
    if task in TASKS[1:]:
        features, labels = labels_of(features, labels)
    classes = labels if task == "classification" else None
    dataset = as_dataset(features, classes, carry=carry, time=time)
    if task in TASKS[1:]:
        dataset, request = with_task(dataset, as_target(labels, task), request)
    request.check(dataset)
    refuse_asynchronous()
    return select(dataset, request, progress=progress)


def select(
    dataset: Dataset,
    request: Request,
    *,
    progress: Progress | None = None,
    checkpoint: "Checkpoint | None" = None,
) -> Coreset:
    """The way of a request that has been checked; see `distill`.

    Parameters
    ----------
    dataset : Dataset
    request : Request
    progress : Progress, optional
    checkpoint : Checkpoint, optional
        Keeps the finished selection, and gives it again to a run that resumes.

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
        if isinstance(request.strategy, Search) and saved is None:
            request, search = _decided(dataset, request, progress)
            wire.mark("search")
        return _select(dataset, request, progress, checkpoint, saved, wire, search)


def _select(
    dataset: Dataset,
    request: Request,
    progress: Progress | None,
    checkpoint: "Checkpoint | None",
    saved: Mapping[str, Any] | None,
    wire: Wire,
    search: Mapping[str, Any] | None,
) -> Coreset:
    started = time.perf_counter()
    ledger = Ledger()
    job = Job(DaskRunner(progress), ledger, progress or Silent())

    limits = limits_here(active_client())
    refuse_unfit(make_plan(dataset, request, workers=len(limits) or 1), limits)
    raw = raw_blocks(dataset, job.runner)
    if saved is not None and checkpoint is not None:
        checkpoint.check(content_fingerprint(dataset, raw, job.runner))
        return Coreset(**saved, **rows_of(dataset, saved["indices"]))
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
    space = Space.of(request, dataset.features.shape[1:])
    if space is not None:
        unreduced = blocks
        notes = Notes.of(journal, request, known is not None)
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
    coreset = Coreset(
        indices, found.weights, found.scores, certificate, provenance, **rows_of(dataset, indices)
    )
    if checkpoint is not None:
        checkpoint.save(coreset)
    return coreset


def _decided(
    dataset: Dataset, request: Request, progress: Progress | None
) -> tuple[Request, dict[str, Any]]:
    """The request with the strategy that a search has found, and how it was found."""
    from dask_distill.search import searched

    found = searched(dataset, request, progress)
    return replace(request, strategy=found.strategy), found.as_dict()


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


def _keep(journal: "Journal", schema: Schema, outline: Schema) -> bool:
    """The outline last: a run that resumes looks for it."""
    return journal.put("schema", schema) and journal.put("outline", outline)


def refuse_asynchronous() -> None:
    """End where the active client cannot be waited for.

    Raises
    ------
    InputError
    """
    client = active_client()
    if client is not None and client.asynchronous:
        raise InputError(
            "the active distributed.Client must be a synchronous one, got "
            "Client(asynchronous=True); make it without asynchronous=True"
        )
