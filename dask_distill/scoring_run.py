"""Scores of all rows of a data set, written to a target; what dies on the way can be resumed."""

import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dask_distill.conversation.run import measured_run
from dask_distill.data.dataset import Dataset
from dask_distill.data.weighted import measured
from dask_distill.errors import InputError
from dask_distill.runtime.progress import Progress
from dask_distill.scoring import (
    asked_for,
    checked_criteria,
    checked_proxy,
    scores_of,
    surveyed_for,
)
from dask_distill.selection.checkpoint import Checkpoint, describe_request
from dask_distill.selection.ground import Surveyed
from dask_distill.selection.request import Asked, Request
from dask_distill.selection.resume import going_on, refuse_changed
from dask_distill.selection.select import SelectionWarning
from dask_distill.spaces.scales import stray_warning
from dask_distill.storage import group as store
from dask_distill.storage.manifest import KIND, SCORES
from dask_distill.storage.targets import located
from dask_distill.strategies.parts.scorers import REPORTED
from dask_distill.strategies.target_gradient import TargetGradient
from dask_distill.subset.scores import Scores, open_scores
from dask_distill.subset.scores_target import check_scores_target, scores_beside, write_scores

# of a request, what scores hang on
_SCORED_BY = ("seed", "on_invalid", "scale", "missing_label", "reduce", "time_scale")


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoringRun:
    """What is to be scored, and where it goes: checked, and nothing is read yet.

    Attributes
    ----------
    asked : Asked
    criteria : tuple of str
    target : path or URL
    checkpoint : Checkpoint
        Of the run that is gone on with, or begun.
    kind : str
        Of the built-in proxies.
    storage_options : dict
    """

    asked: Asked
    criteria: tuple[str, ...]
    target: str | os.PathLike[str]
    checkpoint: Checkpoint
    kind: str
    storage_options: dict[str, Any]


def scoring_run(
    dataset: Dataset,
    target: str | os.PathLike[str],
    criteria: Sequence[str],
    words: Mapping[str, Any],
    *,
    proxy: str = "linear",
    resume: bool = False,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> ScoringRun:
    """Check what is asked and the target, and find the run to resume; writes nothing.

    Parameters
    ----------
    dataset : Dataset
    target : path or URL
        As for `Scores.write`.
    criteria : sequence of str
    words : mapping
        Of a `Request`: seed, on_invalid, scale, missing_label, reduce, time_scale.
    proxy : "linear" or "ensemble"
        As for `score`.
    resume : bool
        Go on with the run that died on this target; begin one where none has.
    overwrite : bool
        Replace scores that are there, at commit; discards an unfinished run.
    storage_options : mapping, optional
        For fsspec.

    Raises
    ------
    InputError
    """
    if resume and overwrite:
        raise InputError("at most one of resume and overwrite may be given, got both; drop one")
    wanted, kind = checked_criteria(criteria), checked_proxy(proxy)
    options = dict(storage_options or {})
    asked = asked_for(dataset, wanted, **words)
    # before anything is written, too
    asked = replace(asked, dataset=measured(asked.dataset))
    place = located(target, options)
    where: dict[str, Any] = {"storage_options": options, "sources": asked.dataset.sources}
    if not resume:
        check_scores_target(target, overwrite=overwrite, **where)
    described = {KIND: SCORES, "criteria": list(wanted), **describe_request(asked), "proxy": kind}
    checkpoint = Checkpoint.start(place, described, resume=resume, overwrite=overwrite)
    if resume and not checkpoint.complete:
        check_scores_target(target, overwrite=checkpoint.overwrite, **where)
    checkpoint.lasting = resume
    return ScoringRun(
        asked=asked,
        criteria=wanted,
        target=target,
        checkpoint=checkpoint,
        kind=kind,
        storage_options=options,
    )


def scoring_beside(
    dataset: Dataset, target: str | os.PathLike[str], request: Request, **how: Any
) -> ScoringRun:
    """Check what is to be scored beside a selection, by the model that it judges rows by.

    Parameters
    ----------
    dataset : Dataset
        With strata as labels, where the target is no class and the strategy sees these.
    target : path or URL
        Of the subset.
    request : Request
        What is selected by.
    **how
        Of `scoring_run`: resume, overwrite, storage_options.

    Raises
    ------
    InputError
    """
    words = {name: getattr(request, name) for name in _SCORED_BY}
    criteria: Sequence[str] = REPORTED
    if isinstance(request.strategy, TargetGradient):
        words |= {name: getattr(request, name) for name in ("strategy", "task", "target")}
        criteria = (request.strategy.criterion,)
    elif request.task != "classification" and dataset.labels is None:
        raise InputError(
            "--scores all must be asked for where a model judges rows, got --task "
            f"{request.task} and strategy {request.strategy.name}, for which none is fitted: of "
            "several labels no classes are made here; pass --strategy gradient, or leave out the "
            "word all"
        )
    judge = request.strategy.judged_by
    return scoring_run(dataset, scores_beside(target), criteria, words, proxy=judge, **how)


def score_and_write(
    job: ScoringRun, progress: Progress | None = None
) -> tuple[Scores, dict[str, Any], Surveyed | None]:
    """Survey, score and write, by the workers.

    Parameters
    ----------
    job : ScoringRun
    progress : Progress, optional

    Returns
    -------
    scores : Scores
        As they were written.
    receipt : dict
        As from `Scores.write`, and ``seconds`` by phase.
    known : Surveyed or None
        What the survey has found, for a selection that follows; None where none was made, or where
        it lies in receipts that are gone.

    Raises
    ------
    InputError
        Where the input has changed since the run that is resumed.
    DistillError
        Where the run failed; what it has finished is kept for ``resume=True``.
    """
    checkpoint, where = job.checkpoint, (job.target, job.storage_options)
    started, known = time.perf_counter(), None
    with going_on(checkpoint):
        if checkpoint.complete:
            refuse_changed(job.asked.dataset, checkpoint, progress)
            receipt = store.summary(job.target, storage_options=job.storage_options)
            surveyed, scores = time.perf_counter(), open_scores(*where)
        else:
            with measured_run(progress, checkpoint.journal) as run:
                ground = surveyed_for(job.asked, run, checkpoint)
                known = None if checkpoint.resumed else ground.found
                scores = scores_of(ground, job.asked, job.criteria, run, kind=job.kind)
                run.wire.mark("survey")
                sent = {"bytes_on_the_wire": run.wire.figures()}
            surveyed = time.perf_counter()
            receipt = write_scores(
                scores,
                scores.provenance | sent,
                *where,
                checkpoint.overwrite,
                progress=progress,
                run=checkpoint.run,
                request={**checkpoint.request, "fingerprint": checkpoint.fingerprint},
            )
    if line := stray_warning(scores.provenance):
        warnings.warn(line, SelectionWarning, stacklevel=2)
    ended = time.perf_counter()
    seconds = {"survey": round(surveyed - started, 3), "write": round(ended - surveyed, 3)}
    found = scores if checkpoint.complete else open_scores(*where)
    return found, receipt | {"seconds": seconds}, known
