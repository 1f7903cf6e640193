"""What a strategy decides on the survey's sample: before a row is selected, and in words."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from dask_distill.conversation.run import measured_run
from dask_distill.data.dataset import Dataset
from dask_distill.data.weighted import measured
from dask_distill.runtime.progress import Progress
from dask_distill.selection.checkpoint import Receipts
from dask_distill.selection.choose import first_question, offered
from dask_distill.selection.ground import reduced, scaled, surveyed
from dask_distill.selection.plan import refuse_unfit_here
from dask_distill.selection.request import TASKS, Asked, Request
from dask_distill.survey.reading import raw_blocks

_WAYS = {"cells": "cells of all rows", "trusted": "cells of trusted rows"}
# what is told of a lead, and whether it is in points of a hundred
_METRICS = {
    "accuracy": ("accuracy", True),
    "balanced_accuracy": ("balanced accuracy", True),
    "roc_auc": ("AUC", True),
    "log_loss": ("log loss", False),
}
# where wrong labels are believed in alone
_CORRECTED = {"corrected_log_loss": ("log loss, corrected", False)}


def explain(
    dataset: Dataset, request: Request, *, progress: Progress | None = None
) -> dict[str, Any] | None:
    """What ``auto`` decides on a data set, and on which figures, before a row is selected.

    Surveys the data on the active `distributed.Client`, or on Dask's threads: one pass, with
    ``protect`` or ``initial`` one more. `distill` with the same request decides the same, and has
    it in ``provenance["selection"]["decision"]``.

    Parameters
    ----------
    dataset : Dataset
    request : Request
    progress : Progress, optional

    Returns
    -------
    dict or None
        JSON-able; None where nothing is left to the sample, as by other strategies and without
        labels, which reads nothing. ``way`` is "cells", "trusted" (cells of the rows whose labels
        do not look wrong) or "stratified" (a class-stratified random sample), ``why`` a sentence.
        ``wrong_labels`` is the part of the labels that looks wrong by the purest rows of each
        class, with its standard error; ``contradicted`` the part that the proxy contradicts.
        ``trial_rows`` is what each model of the trial was trained on; 0 where nothing was tried.
        ``leads`` has by way and metric the mean lead over class-stratified random samples, and
        half of its 90 % interval: in parts of 1; of log loss as its fall. ``corrected_log_loss``
        is that of what a right model says of labels that are wrong at that rate.

    Raises
    ------
    InputError
        For input or a request that cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from dask_distill import Request, distill
    >>> from dask_distill.data.dataset import as_dataset
    >>> from dask_distill.strategies import make_strategy
    >>> X = np.random.default_rng(0).normal(size=(4000, 5))
    >>> dataset = as_dataset(X, (X[:, 0] > 0).astype(int))
    >>> found = explain(dataset, Request(strategy=make_strategy("auto"), fraction=0.05))
    >>> found == distill(dataset, fraction=0.05).provenance["selection"]["decision"]
    True
    """
    asked = request.of(dataset)
    if nothing_left(asked) is not None:
        return None
    refuse_unfit_here(asked)
    asked = replace(asked, dataset=measured(dataset))
    with measured_run(progress) as run:
        ground = surveyed(raw_blocks(asked.dataset, run.runner), asked, run, Receipts())
        if ground.outline.counts is not None:
            refuse_unfit_here(asked, len(ground.outline.counts))
        ground = reduced(scaled(ground, asked, run), asked, run)
        offer = offered(ground, asked, run)
        if not offer.wanted:
            return None
        question = first_question(ground, offer, asked, run)
        found: dict[str, Any] | None = run.fetch(run.call("decision", _decision, question))
    return found


def _decision(question: Any) -> dict[str, Any] | None:
    decision = getattr(question, "decision", None)
    return None if decision is None else decision.facts()


def nothing_left(asked: Asked) -> str | None:
    """Why the sample has nothing to decide, as a clause; None where it has."""
    request = asked.request
    if request.strategy.settled is not None:
        if request.task != TASKS[0] and request.strategy.name == "auto":
            return "a target that is no class is neither trusted nor doubted"
        return request.strategy.settled
    return "there are no labels" if asked.dataset.labels is None else None


@dataclass(frozen=True)
class Told:
    """A decision in words.

    Attributes
    ----------
    why : str
        One sentence.
    labels : str
        How many look wrong: the rate with its standard error, and what the proxy contradicts.
    trial : str
        How the leads were found; empty where nothing was tried.
    metrics : tuple of str
        What the leads are in.
    leads : list of (way, cells)
        Of each metric the mean lead, and half of its 90 % interval.
    """

    why: str
    labels: str
    trial: str
    metrics: tuple[str, ...]
    leads: list[tuple[str, list[str]]]


def told(decision: Mapping[str, Any]) -> Told:
    """A decision, as the provenance has it, for people.

    Examples
    --------
    >>> lead = {"accuracy": [0.012, 0.004], "log_loss": [0.05, 0.01]}
    >>> figures = {"wrong_labels": 0.02, "wrong_labels_error": 0.004, "contradicted": 0.1}
    >>> figures |= {"way": "cells", "why": "Cells.", "trial_rows": 600}
    >>> words = told(figures | {"leads": {"cells": lead}})
    >>> words.metrics, words.leads
    (('accuracy', 'log loss'), [('cells of all rows', ['+1.2 ± 0.4', '-0.050 ± 0.010'])])
    >>> words.labels.partition(";")[0]
    '2.0% ± 0.4% look wrong by the purest rows of each class, which is taken for overlap of classes'
    """
    leads, rows = decision["leads"], decision["trial_rows"]
    known = _METRICS | (_CORRECTED if "trusted" in leads else {})
    names = [name for name in known if any(name in found for found in leads.values())]
    rate, believed = decision["wrong_labels"], "trusted" in (decision["way"], *leads)
    overlap = "" if believed or round(rate, 3) == 0 else ", which is taken for overlap of classes"
    labels = (
        f"{rate:.1%} ± {decision['wrong_labels_error']:.1%} look wrong by the purest rows of each "
        f"class{overlap}; the proxy contradicts {decision['contradicted']:.1%}"
    )
    trial = (
        f"leads over class-stratified random of models trained on {rows:,} rows of the sample, in "
        "points (log loss as it is, lower is better), ± half of the 90 % interval"
    )
    return Told(
        decision["why"],
        labels,
        trial if leads else "",
        tuple(known[name][0] for name in names),
        [
            (_WAYS[way], [_lead(*found[name], in_points=known[name][1]) for name in names])
            for way, found in leads.items()
        ],
    )


def _lead(mean: float, half: float, *, in_points: bool) -> str:
    """A lead: points, or log loss with its own sign."""
    if in_points:
        return f"{100 * mean:+.1f} ± {100 * half:.1f}"
    return f"{-mean:+.3f} ± {half:.3f}"
