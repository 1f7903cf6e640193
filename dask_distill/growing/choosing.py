"""The subset, of the rows that are kept, and what it stands for."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run, measured_run
from dask_distill.data.blocks import as_features
from dask_distill.data.rows import rows_of
from dask_distill.growing.check import made_request
from dask_distill.kernels.nearest import nearest_center
from dask_distill.runtime.progress import Progress
from dask_distill.selection.select import select
from dask_distill.selection.shares import underrepresented
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.random import Random
from dask_distill.subset.subset import Certificate, Subset
from dask_distill.subset.summary import Summary

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.generic]
Rows = npt.NDArray[np.int64]


def chosen(summary: Summary, progress: Progress | None) -> Subset:
    """A subset of the rows that are kept, which stands for all."""
    settings, remembered = summary.settings, summary.kept
    kept = remembered
    size = min(settings.wanted(summary.counted), len(summary.rows))
    request = replace(made_request(settings, size), certify=settings.covering)
    labels = summary.labels()
    if labels is not None and len(np.unique(labels)) == 1:
        # no classes to choose from: so far rows are as without labels
        kept = replace(kept, labels=None)
        if request.strategy.requires_labels(None):
            request = replace(request, strategy=Random())
    with measured_run(progress) as run:
        found = select(request.of(kept), run)
    at = found.indices
    if settings.covering and found.certificate is not None:
        weights, certificate = _standing_for(summary, found.indices, found.certificate)
    else:
        weights, certificate = _weighed(summary, labels, found), None
    shares = (weights * (summary.counted / math.fsum(weights))).astype(np.float32)
    # after a hundred half-lives a row counts for next to nothing, but is there
    shares = np.maximum(shares, np.finfo(np.float32).tiny)
    told, classes = found.provenance, _class_table(summary, labels, at)
    provenance = told | {
        "parameters": told["parameters"]
        | {"strategy": settings.strategy, "fraction": settings.fraction, "certify": False},
        "input": told["input"]
        | {
            "fingerprint": summary.fingerprint,
            "shape": [summary.n_source, *told["input"]["shape"][1:]],
        },
        "rows": summary.counted,
        "rows_dropped": summary.n_source - summary.n,
        "classes": classes,
        "underrepresented": _underrepresented(summary, labels, classes, len(at)),
        "bytes_to_gather_everything": summary.n_source * kept.row_bytes,
        "growing": {
            "batches": summary.batches,
            "kept": len(summary.rows),
            "oversample": settings.oversample,
            "window": settings.window,
            "half_life": settings.half_life,
        },
    }
    return Subset(
        indices=summary.rows[at],
        weights=shares,
        scores=found.scores,
        certificate=certificate,
        provenance=provenance,
        **rows_of(remembered, at),
        summary=summary,
    )


def _weighed(summary: Summary, labels: Labels | None, found: Subset) -> Floats:
    """Weights of the strategy, times what rows stand for; of each class, what there is of it."""
    masses = summary.represented()
    weights: Floats = found.weights * masses[found.indices]
    options = summary.settings.made_strategy()
    if labels is None or getattr(options, "balance", "proportional") != "proportional":
        return weights
    classes, codes = np.unique(labels, return_inverse=True)
    exact = summary.settings.window is None and summary.settings.half_life is None
    if exact and summary.classes is not None and summary.counts is not None:
        known = dict(zip(summary.classes, summary.counts, strict=True))
        due = np.array([known[label] for label in classes.tolist()], np.float64)
    else:
        due = np.bincount(codes, weights=masses, minlength=len(classes)).astype(np.float64)
    selected = codes[found.indices]
    have = np.bincount(selected, weights=weights, minlength=len(classes))
    return weights * (due / np.where(have > 0, have, 1))[selected]


def _standing_for(
    summary: Summary, indices: Rows, known: Certificate
) -> tuple[Floats, Certificate | None]:
    """Weights, and the bound that holds for all rows that came.

    Each row lies within ``reach`` of a kept one, and that within its distance of the selected
    one nearest to it: by the triangle inequality no row is farther from a selected one than the
    largest sum of both. The lower bound is proven by kept rows alone: they are rows of the data,
    of which no choice of centers can cover fewer than it must cover of all.
    """
    space = MetricSpace(known.metric, None, None, None)
    run = Run.here()
    parts = run.chunks(summary.kept.features)
    call = run.call("stand-for", _stand_for, space, indices, summary.masses, summary.reach, *parts)
    weights, radius = run.fetch(call)
    if math.isinf(radius):
        # of a subset that was selected without a certificate
        return weights, None
    return weights, Certificate.of(
        radius, known.lower_bound, None, metric=known.metric, measured=False
    )


def _stand_for(
    space: MetricSpace, at: Rows, masses: Floats, reach: Floats, *parts: Any
) -> tuple[Floats, float]:
    """Rows nearest to each selected one, and how far any is at most; runs as a task."""
    X = space(flat(*parts))
    nearest, squared = nearest_center(X, X[at])
    weights = np.bincount(nearest, weights=masses, minlength=len(at)).astype(np.float64)
    return weights, float((np.sqrt(squared) + reach).max())


def _class_table(summary: Summary, labels: Labels | None, at: Rows) -> list[dict[str, Any]] | None:
    """Rows of each class: all that came, or about what the window has."""
    if labels is None or summary.classes is None or summary.counts is None:
        return None
    names, codes = np.unique(labels, return_inverse=True)
    taken = np.bincount(codes[at], minlength=len(names)).tolist()
    selected = dict(zip(names.tolist(), taken, strict=True))
    known = dict(zip(summary.classes, summary.counts, strict=True))
    if summary.settings.window is not None:
        masses = np.bincount(codes, weights=summary.represented())
        shares = masses * summary.counted / masses.sum()
        known = dict(zip(names.tolist(), np.rint(shares).astype(int).tolist(), strict=True))
    return [
        {"label": label, "rows": rows, "selected": selected.get(label, 0)}
        for label, rows in known.items()
    ]


def _underrepresented(
    summary: Summary, labels: Labels | None, classes: list[dict[str, Any]] | None, size: int
) -> list[dict[str, Any]] | None:
    """Classes that are kept far below their share of the rows, as these count by now."""
    if labels is None or classes is None:
        return None
    if summary.settings.half_life is not None:
        names, codes = np.unique(labels, return_inverse=True)
        counted = np.bincount(codes, weights=summary.represented()).tolist()
        weights = dict(zip(names.tolist(), counted, strict=True))
        classes = [entry | {"weight": weights.get(entry["label"], 0.0)} for entry in classes]
    return underrepresented(classes, size, summary.settings.made_strategy())


def flat(*parts: Any) -> npt.NDArray[np.floating]:
    """Rows of some chunks as (m, d) floats."""
    return np.concatenate([as_features(part) for part in parts])
