"""`distill`, `distill_to_zarr`: the whole way on one page.

Survey, ask, converse, choose; the rows themselves stay where they are until they are written.
"""

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dask_distill.conversation.run import measured_run
from dask_distill.coreset import Coreset, open_coreset
from dask_distill.data.dataset import Dataset, as_dataset
from dask_distill.data.labels import UNSET
from dask_distill.data.weighted import measured, with_weights
from dask_distill.data.written import beside_table
from dask_distill.runtime.client import refuse_asynchronous
from dask_distill.runtime.progress import Progress
from dask_distill.search.run import with_strategy_found
from dask_distill.selection.checkpoint import Checkpoint, Receipts
from dask_distill.selection.given_scores import check_given_scores
from dask_distill.selection.ground import Surveyed
from dask_distill.selection.marks import columns_named
from dask_distill.selection.request import TASKS, Asked, Request
from dask_distill.selection.resume import going_on, open_checkpoint, refuse_changed
from dask_distill.selection.select import SelectionWarning, select
from dask_distill.selection.task import as_target, labels_of, with_task
from dask_distill.selection.warned import warned_after, warned_before
from dask_distill.sources.frames import Given, named
from dask_distill.spaces.words import make_reduction
from dask_distill.storage import group as store
from dask_distill.storage.form import GROUP, form_wanted
from dask_distill.strategies import make_strategy
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.search import Search
from dask_distill.subset.names import names_in_output
from dask_distill.subset.scores import Scores
from dask_distill.subset.stored import write_subset
from dask_distill.survey.validity import OnInvalid


def distill(
    features: Any,
    labels: Any = None,
    *,
    fraction: float | None = None,
    size: int | None = None,
    strategy: str | Strategy = "auto",
    certify: bool = False,
    carry: Mapping[str, Any] | Sequence[str] | None = None,
    seed: int = 0,
    proxy: Any = None,
    options: Mapping[str, Any] | None = None,
    on_invalid: OnInvalid | None = None,
    task: str = "classification",
    protect: Any = None,
    initial: Any = None,
    reduce: Any = None,
    time: Any = None,
    time_scale: Any = None,
    scale: str = "auto",
    missing_label: Any = UNSET,
    sample_weight: Any = None,
    subsets: int = 1,
    columns: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
    scores: Scores | None = None,
    progress: Progress | None = None,
) -> Coreset:
    """Select the rows of a data set that are worth training on, where the data lies.

    Runs on the active `distributed.Client`, or on Dask's threads without one. Same data, seed
    and parameters give the same rows and weights, bit for bit, for any chunking, number of
    workers, scheduler or order of tasks (on processors of the same kind).

    Parameters
    ----------
    features : (n, d) or (n, ...) dask array, or frame
        Numbers, without NaN or infinite values; more axes are flattened for the selection.
        NumPy arrays, xarray objects, stored arrays of zarr and h5py, and `Dataset` are accepted.
        A frame may hold any columns: of pandas, dask or polars, an Arrow table or dataset, an
        xarray Dataset (variables are columns), a Hugging Face `datasets.Dataset`. See below.
    labels : (n,) dask array of ints or strings, or str, optional
        Or the name of a frame's column (names, for several labels). None for an unlabelled pool.
    fraction : float, optional
        Part of the valid rows to select, 0 < fraction <= 1; round(fraction * n), at least 1.
    size : int, optional
        Rows to select; exactly one of ``fraction`` and ``size`` is given.
    strategy : str or Strategy
        A name (see `dask_distill.strategies`) or a strategy object.
    certify : bool
        Measure the covering radius over all rows and prove a lower bound.
    carry : dict of (n, ...) dask arrays, or list of str, optional
        More columns to write with the selected rows; of a frame, those that are no features.
    seed : int
        From 0 to 2**63 - 1.
    proxy : fitted estimator with ``predict_proba``, optional
        Judges the rows, on the features as they are, instead of the built-in model.
    options : dict, optional
        Options of the strategy that is given by name.
    on_invalid : "raise", "drop" or "fill", optional
        Whether rows with NaN, infinite values or a missing label end the run, are left out
        (``provenance["dropped"]`` has how many, by column and by class), or have missing and
        infinite values filled in for the selection: what is written is as it was. "fill" unless
        given for tables, "raise" for arrays.
    task : "classification", "regression" or "multilabel"
        What labels are. For a regression they are (n,) numbers, and quotas are of their strata by
        quantiles; for several labels they are (n, L) of 0 and 1. Both are carried as ``y``, or
        under the name they have in the `Dataset`.
    protect : mask, row numbers, name, dict or function, optional
        Rows that are never dropped, each with weight 1; the strategy fills the rest of the size
        from the others. For the forms see `dask_distill.selection.marks.Protection.of`. A
        boolean column of a frame that is named here is carried, and no feature.
    initial : mask, row numbers, name or Coreset, optional
        Rows chosen already: a mask, row numbers, the name of a boolean carried array, or a subset.
        They are not selected again; fraction and weights are of the others. ``kcenter`` and
        ``active`` cover what these do not; a certificate is for both together.
    reduce : str, Reduction, fitted transformer or callable, optional
        Brings features into the space where scores and distances are taken: "pca:32", "svd:32",
        "pca:32:all" (fitted on all rows), "random-projection:64", "autoencoder:32" (see
        `dask_distill.spaces.reductions`), something with ``transform``, or a function of a
        block's (m, ...) rows that gives (m, p) numbers, each row for itself. The output holds the
        rows as they were. One of your own may fill in NaN, such as a fitted pipeline with an
        imputer: rows are then valid if what it gives is.
    time : (n,) array of numbers or dates, or str, optional
        When each row was: for strategies that ask for it, ``time_scale``, and `evaluate`, which
        tests on later rows. Carried as "time"; or the name of a carried array, or of a column.
    time_scale : float, "6h" or the like, or "auto", optional
        Adds to all distances how far rows are apart in time, if they lose their likeness after
        so long (in the unit of numbers, seconds for dates). "auto" finds it from the features.
    scale : "auto", "standard", "robust", "log", "rank" or "none"
        How features are scaled before rows are compared. "auto" leaves that to the strategy, but
        for features whose standard deviation a few rows make: these are scaled by "log" or
        "robust" where it would be divided by, with a warning. See the guide on scales.
    missing_label : number, text, NaN or None, optional
        What stands for "no label", such as -1: no class, whatever ``on_invalid`` says. Selected
        from are the rows with a label; to select among all rows, leave ``labels`` out.
    sample_weight : (n,) array of numbers from 0, str or False, optional
        How many rows each row stands for, or the name of a carried array or column: weights sum
        to theirs, and rows of weight 0 are not selected. A subset that we have written brings
        its own, which multiply; False takes rows alike.
    subsets : int
        How many, for an ensemble: ``fraction`` and ``size`` are of each. They are dealt out of one
        selection, which the coreset has; see `Coreset.subset` and `Coreset.subsets`.
    columns, profile : mapping, optional
        How a frame's columns are read, as for `open_dataset`.
    scores : Scores, optional
        Of all rows, as `score` (maybe persisted) or `open_scores` gives them: they are read beside
        the rows and not made again, for ``gradient``, ``entropy``, ``strata`` and, with
        "trust_gap" by ``proxy="ensemble"``, ``combined`` and ``active``. The same rows, weights
        and scores as without, where `score` was given the same seed, ``proxy``, ``on_invalid``,
        ``scale``, ``missing_label`` and ``sample_weight``.
    progress : Progress, optional
        Takes phases and blocks done; `dask_distill.runtime.progress.show_progress` makes one.

    Returns
    -------
    Coreset

    Notes
    -----
    A frame is a table where it has more than numbers that are all there, or where a column is
    named: its columns are read as their profile says (``provenance["input"]["profile"]``), and
    ``coreset.table`` has all of them for the selected rows. ``coreset.features`` are the columns as
    numbers. Other frames are arrays. An index of pandas or dask is a column if it has a name.

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

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31, None, 47, 55], "town": ["Oslo", "Rome", None, "Rome"]})
    >>> frame["late"] = ["yes", "no", "no", "yes"]
    >>> coreset = distill(frame, "late", size=2, strategy="stratified")
    >>> len(coreset.take(frame)), coreset.table.schema.names
    (2, ['age', 'town', 'late'])
    """
    amount: Any = {"fraction": fraction, "size": size, "subsets": subsets, "seed": seed}
    rows: Any = {"protect": protect, "initial": initial, "scores": scores}
    request = Request(
        strategy=make_strategy(strategy, options),
        certify=certify,
        proxy=proxy,
        on_invalid=on_invalid,
        reduce=make_reduction(reduce),
        task=task,
        time_scale=time_scale,
        scale=scale,
        missing_label=missing_label,
        **amount,
        **rows,
    )
    by_name = {"labels": labels, "carry": carry, "time": time, "sample_weight": sample_weight}
    read = {"columns": columns, "profile": profile}
    marks = columns_named(protect, initial)
    several = task == "multilabel"
    given = named(Given(features=features, marks=marks, several=several, **by_name, **read))
    features, labels = beside_table(given.features, given.labels, given.arrays), given.labels
    if task in TASKS[1:]:
        features, labels = labels_of(features, labels)
    classes = labels if task == "classification" else None
    dataset = as_dataset(features, classes, carry=given.carry, time=given.time)
    dataset = with_weights(dataset, given.sample_weight)
    if task in TASKS[1:]:
        dataset, request = with_task(dataset, as_target(labels, task), request)
    asked = request.of(dataset)
    check_given_scores(asked)
    refuse_asynchronous()
    return _selected(asked, progress, Receipts())


def _selected(
    asked: Asked,
    progress: Progress | None,
    receipts: Receipts,
    *,
    depth: int = 3,
    known: Surveyed | None = None,
) -> Coreset:
    """The rows; the strategy is searched for first, where the request leaves that to a search."""
    for line in warned_before(asked.request):
        # of the user's line, so many calls above
        warnings.warn(line, SelectionWarning, stacklevel=depth)
    asked = replace(asked, dataset=measured(asked.dataset))
    with measured_run(progress, receipts.journal) as run:
        search = None
        if isinstance(asked.request.strategy, Search) and receipts.selection() is None:
            asked, run, search = with_strategy_found(asked, run)
        found = select(asked, run, receipts, search=search, known=known)
    for line in warned_after(found.provenance):
        warnings.warn(line, SelectionWarning, stacklevel=depth)
    return Coreset.of(found)


def distill_to_zarr(
    dataset: Dataset,
    target: str | os.PathLike[str],
    request: Request,
    *,
    resume: bool = False,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    scores: bool = False,
    keep_encoded: bool = False,
    progress: Progress | None = None,
) -> tuple[Coreset, dict[str, Any]]:
    """Select rows and write them; what dies on the way can be resumed.

    A target that ends in ``.parquet`` becomes a folder of parquet files, any other a zarr group.

    Parameters
    ----------
    dataset, progress
        As for `distill`.
    request : Request
        What `distill` would be asked for.
    target, storage_options, keep_encoded
        As for `Coreset.to_zarr`.
    resume : bool
        Go on with the run that died on this target; begin one where none has.
    overwrite : bool
        Replace a subset that is there, at commit; discards an unfinished run.
    scores : bool
        Whether a folder of parquet files has the rows' scores; a zarr group has them always.

    Returns
    -------
    coreset : Coreset
    receipt : dict
        As from `Coreset.to_zarr` or `to_parquet`, and ``seconds`` for writing.

    Raises
    ------
    InputError
        Where input or parameters cannot be used, or differ from those of the run to resume.
    DistillError
        Where the run failed; what it has finished is kept for ``resume=True``.
    """
    how: Any = {"resume": resume, "overwrite": overwrite, "storage_options": storage_options}
    how |= {"scores": scores, "keep_encoded": keep_encoded}
    asked, checkpoint = open_checkpoint(dataset, target, request, **how)
    if form_wanted(target) is GROUP:
        names_in_output(asked.dataset).warn(stacklevel=2)
    return select_and_write(asked, target, checkpoint, storage_options, progress, scores=scores)


def select_and_write(
    asked: Asked,
    target: str | os.PathLike[str],
    checkpoint: Checkpoint,
    storage_options: Mapping[str, Any] | None,
    progress: Progress | None,
    *,
    scores: bool = False,
    known: Surveyed | None = None,
) -> tuple[Coreset, dict[str, Any]]:
    """What `distill_to_zarr` does, once it has a checkpoint.

    ``known`` is what the survey found, where another stage of the job has made it.

    Raises
    ------
    InputError, DistillError
    """
    with going_on(checkpoint):
        if checkpoint.complete:
            refuse_changed(asked.dataset, checkpoint, progress)
            coreset = open_coreset(target, storage_options)
            found = store.summary(target, storage_options=storage_options)
            receipt = found | {"seconds": 0.0}
        else:
            coreset = _selected(asked, progress, checkpoint, depth=4, known=known)
            started = time.perf_counter()
            how: Any = {"scores": scores, "progress": progress, "run": checkpoint.run}
            noted = {**checkpoint.request, "fingerprint": checkpoint.fingerprint}
            receipt = write_subset(
                coreset,
                target,
                storage_options,
                checkpoint.overwrite,
                keep_encoded=checkpoint.keep_encoded,
                request=noted,
                **how,
            )
            receipt["seconds"] = round(time.perf_counter() - started, 3)
    return coreset, receipt
