"""The way of a checked request, a stage a line; the run's journal knows which are done."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.rows import rows_of
from dask_distill.selection.certify import certify_rows
from dask_distill.selection.checkpoint import Receipts
from dask_distill.selection.choose import Selected, chosen
from dask_distill.selection.given_scores import with_scores
from dask_distill.selection.ground import Ground, Surveyed, reduced, scaled, surveyed
from dask_distill.selection.plan import refuse_unfit_here
from dask_distill.selection.provenance import make_provenance
from dask_distill.selection.request import Asked
from dask_distill.selection.subsets import subset_weights
from dask_distill.subset.subset import Certificate, Subset
from dask_distill.survey.reading import content_fingerprint, raw_blocks


class SelectionWarning(UserWarning):
    """What is asked for is known to hurt, or what was selected is not what one would think."""


def select(
    asked: Asked,
    run: Run,
    receipts: Receipts | None = None,
    *,
    search: Mapping[str, Any] | None = None,
    known: Surveyed | None = None,
) -> Subset:
    """Select the rows that are asked for.

    Parameters
    ----------
    asked : Asked
    run : Run
    receipts : Receipts, optional
        Those of a checkpoint keep the finished selection, and give it again to a run that resumes.
    search : mapping, optional
        How the strategy was found, for the provenance.
    known : Surveyed, optional
        What another stage of the same job has found of the same data.

    Returns
    -------
    Subset

    Raises
    ------
    InputError, DistillError
    """
    started, receipts = time.perf_counter(), receipts or Receipts()
    refuse_unfit_here(asked)
    raw = raw_blocks(asked.dataset, run.runner)
    saved = receipts.selection()
    if saved is not None:
        receipts.check(content_fingerprint(asked.dataset, raw, run.runner))
        return Subset(**saved, **rows_of(asked.dataset, saved["indices"]))
    ground = surveyed(raw, asked, run, receipts, known)
    if ground.outline.counts is not None:
        refuse_unfit_here(asked, len(ground.outline.counts))
    run.progress.start("decide", 0)
    ground = scaled(ground, asked, run)
    ground = reduced(ground, asked, run)
    ground = with_scores(ground, asked, run)
    found = chosen(ground, asked, run)
    certificate = certified(ground, found, asked, run)
    told = make_provenance(ground, found, asked, run, time.perf_counter() - started)
    several, facts = dealt_out(found, asked)
    subset = Subset(
        indices=found.indices,
        weights=found.weights,
        scores=found.scores,
        certificate=certificate,
        provenance=told | facts | ({} if search is None else {"search": dict(search)}),
        **rows_of(asked.dataset, found.indices),
        subset_weights=several,
    )
    receipts.save(subset)
    return subset


def dealt_out(
    found: Selected, asked: Asked
) -> tuple[npt.NDArray[np.float32] | None, dict[str, Any]]:
    """The rows' weights in each of several subsets, and the facts; nothing where one is wanted."""
    number, seed = asked.request.subsets, asked.request.seed
    if number == 1:
        return None, {}
    size = asked.request.each(found.pool.n)
    rows = (found.indices, found.weights, found.codes)
    several, facts = subset_weights(*rows, number, size, seed, found.groups)
    return several, {"subsets": facts}


def certified(ground: Ground, found: Selected, asked: Asked, run: Run) -> Certificate | None:
    """How well the rows cover all rows, those chosen before too; None where nobody asks."""
    if not asked.request.certify:
        return None
    together = np.union1d(found.indices, found.initial)
    certificate = certify_rows(ground, together, asked.request.strategy, run)
    run.wire.mark("certify")
    return certificate
