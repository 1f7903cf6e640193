"""Select and write in one go, so that a run that dies can be continued.

A finished selection is used again, and chunks that are written are not written again. What the
selection was made from is read once more, to be sure that it is the same.
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from dask_distill import store
from dask_distill._location import Location
from dask_distill.checkpoint import Checkpoint, describe_request
from dask_distill.coreset import Coreset, open_coreset
from dask_distill.dataset import Dataset
from dask_distill.errors import DistillError, InputError
from dask_distill.pipeline import select
from dask_distill.progress import Progress
from dask_distill.reading import content_fingerprint, raw_blocks
from dask_distill.request import Request
from dask_distill.rounds import DaskRunner


def distill_to_zarr(
    dataset: Dataset,
    target: str | os.PathLike[str],
    request: Request,
    *,
    resume: bool = False,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Coreset, dict[str, Any]]:
    """Select rows and write them; what dies on the way can be resumed.

    Parameters
    ----------
    dataset, progress
        As for `distill`.
    request : Request
        What `distill` would be asked for.
    target, storage_options
        As for `Coreset.to_zarr`.
    resume : bool
        Go on with the run that died on this target; begin one where none has.
    overwrite : bool
        Replace a subset that is there, at commit; discards an unfinished run.
    checkpoint : Checkpoint, optional
        Of `open_checkpoint`, where that was called before.

    Returns
    -------
    coreset : Coreset
    receipt : dict
        As from `Coreset.to_zarr`, and ``seconds`` for writing.

    Raises
    ------
    InputError
        Where input or parameters cannot be used, or differ from those of the run to resume.
    DistillError
        Where the run failed; what it has finished is kept for ``resume=True``.
    """
    checkpoint = checkpoint or open_checkpoint(
        dataset,
        target,
        request,
        resume=resume,
        overwrite=overwrite,
        storage_options=storage_options,
    )
    try:
        if checkpoint.complete:
            runner = DaskRunner(progress)
            raw = raw_blocks(dataset, runner)
            checkpoint.check(content_fingerprint(dataset, raw, runner))
            written = open_coreset(target, storage_options)
            found = store.summary(target, storage_options=storage_options)
            checkpoint.close()
            return written, found | {"seconds": 0.0}
        coreset = select(dataset, request, progress=progress, checkpoint=checkpoint)
        writing = time.perf_counter()
        receipt = coreset.to_zarr(
            target,
            storage_options,
            checkpoint.overwrite,
            progress=progress,
            checkpoint=checkpoint,
        )
        receipt["seconds"] = round(time.perf_counter() - writing, 3)
    except InputError:
        # what was finished before stays, should only this call have been wrong
        checkpoint.close(keep=resume)
        raise
    except BaseException as error:
        checkpoint.close(keep=True)
        if isinstance(error, DistillError) and checkpoint.begun:
            raise type(error)(
                f"{error}; what is finished is kept: run again with resume=True / --resume"
            ) from error.__cause__
        raise
    checkpoint.close()
    return coreset, receipt


def open_checkpoint(
    dataset: Dataset,
    target: str | os.PathLike[str],
    request: Request,
    *,
    resume: bool,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
) -> Checkpoint:
    """Check request and target, and find the run to resume; writes nothing.

    Raises
    ------
    InputError
    """
    if resume and overwrite:
        raise InputError("at most one of resume and overwrite may be given, got both; drop one")
    request.check(dataset)
    described = describe_request(dataset, request)
    url = os.fspath(target)
    if not resume:
        _check_target(dataset, target, overwrite, storage_options)
    elif not url:
        raise InputError("target must be a path or URL, got an empty string")
    place = Location(url.rstrip("/") or "/", dict(storage_options or {}))
    checkpoint = Checkpoint.start(place, described, resume=resume, overwrite=overwrite)
    if resume and not checkpoint.complete:
        _check_target(dataset, target, checkpoint.overwrite, storage_options)
    return checkpoint


def _check_target(
    dataset: Dataset,
    target: str | os.PathLike[str],
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
) -> None:
    store.check_target(
        target,
        overwrite=overwrite,
        storage_options=storage_options,
        sources=dataset.sources,
    )
