"""Which run is gone on with, or begun: what is asked is checked against what is there."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dask_distill.conversation.run import Run
from dask_distill.data.dataset import Dataset
from dask_distill.data.weighted import measured
from dask_distill.data.written import without_bytes_label
from dask_distill.errors import DistillError, InputError
from dask_distill.runtime.progress import Progress
from dask_distill.selection.checkpoint import Checkpoint, describe_request
from dask_distill.selection.given_scores import check_given_scores
from dask_distill.selection.request import Asked, Request
from dask_distill.storage import group as store
from dask_distill.storage.form import FOLDER, form_wanted
from dask_distill.storage.location import Location
from dask_distill.subset.arrays import check_columns
from dask_distill.subset.written import refuse_unwritable
from dask_distill.survey.reading import content_fingerprint, raw_blocks


def open_checkpoint(
    dataset: Dataset,
    target: str | os.PathLike[str],
    request: Request,
    *,
    resume: bool,
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
    scores: bool | str = False,
    keep_encoded: bool = False,
) -> tuple[Asked, Checkpoint]:
    """Check request and target, and find the run to resume; writes nothing.

    ``scores`` says whether they are written where they need not be; "all", of all rows, too.

    Raises
    ------
    InputError
    """
    if resume and overwrite:
        raise InputError("at most one of resume and overwrite may be given, got both; drop one")
    if form_wanted(target) is FOLDER:
        refuse_unwritable(dataset)
        if keep_encoded:
            raise InputError(
                "keep_encoded must be left out where the target is parquet, got True: its rows are "
                "the table's alone; choose a zarr target, or drop --keep-encoded"
            )
    asked = request.of(dataset)
    check_given_scores(asked)
    # before anything is written, too
    asked = replace(asked, dataset=measured(asked.dataset))
    described = describe_request(asked, keep_encoded=keep_encoded)
    described |= {"scores": scores} if scores else {}
    url = os.fspath(target)
    if form_wanted(target) is not FOLDER:
        asked = replace(asked, dataset=_in_arrays(asked.dataset))
    where: dict[str, Any] = {
        "storage_options": storage_options,
        "sources": asked.dataset.sources,
    }
    if not resume:
        store.check_target(target, overwrite=overwrite, **where)
    elif not url:
        raise InputError("target must be a path or URL, got an empty string")
    place = Location(url.rstrip("/") or "/", dict(storage_options or {}))
    checkpoint = Checkpoint.start(place, described, resume=resume, overwrite=overwrite)
    if resume and not checkpoint.complete:
        store.check_target(target, overwrite=checkpoint.overwrite, **where)
    checkpoint.lasting = resume
    checkpoint.keep_encoded = keep_encoded
    return asked, checkpoint


@contextmanager
def going_on(checkpoint: Checkpoint) -> Iterator[None]:
    """A run that keeps what it has finished where it fails, and leaves nothing at its end."""
    try:
        yield
    except InputError:
        # what is finished stays for who resumes: only this call may have been wrong
        checkpoint.close(keep=checkpoint.lasting)
        raise
    except BaseException as error:
        checkpoint.close(keep=True)
        if isinstance(error, DistillError) and checkpoint.begun:
            raise type(error)(
                f"{error}; what is finished is kept: run again with resume=True / --resume"
            ) from error.__cause__
        raise
    checkpoint.close()


def refuse_changed(dataset: Dataset, checkpoint: Checkpoint, progress: Progress | None) -> None:
    """Refuse an input that is not what it was when the target was written; reads it once.

    Raises
    ------
    InputError
    """
    runner = Run.here(progress).runner
    raw = raw_blocks(dataset, runner)
    checkpoint.check(content_fingerprint(dataset, raw, runner))


def _in_arrays(dataset: Dataset) -> Dataset:
    """With a table of which every column can be an array; refused where one cannot."""
    label = None if dataset.labels is None else dataset.label_name
    table = without_bytes_label(dataset.table, label)
    if table is not None:
        check_columns(table)
    return replace(dataset, table=table)
