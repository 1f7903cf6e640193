"""One HTML file that tells what was selected, from what, and how well; it loads nothing else."""

import base64
import hashlib
import json
import os
from dataclasses import asdict
from typing import Any

import numpy as np

from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.evaluation.curve_result import SizeCurve, curve_drawing
from dask_distill.evaluation.result import WAYS, Evaluation
from dask_distill.evaluation.statistics import ALL_MODELS, MAJORITY
from dask_distill.report.columns import columns_shown, rows_shown
from dask_distill.report.histograms import histograms
from dask_distill.report.overview import (
    FIRST,
    calm,
    cards,
    classes_kept,
    effective,
    percent,
    warnings_of,
)
from dask_distill.report.pictures import WHERE, drawings, pictures
from dask_distill.report.words import circumstances, command, target_name
from dask_distill.selection.decision import told as told_decision
from dask_distill.subset.subset import Subset
from dask_distill.support.drawing import MISSING
from dask_distill.support.files import checked_file, write_whole
from dask_distill.support.metrics import metric_named, shown_value
from dask_distill.support.text import shown_bytes
from dask_distill.synthesis.judged import SyntheticEvaluation

__all__ = ["command", "pictures", "render", "render_curve", "write_curve", "write_report"]


def write_report(
    coreset: Subset,
    path: str | os.PathLike[str],
    *,
    dataset: Dataset | None = None,
    evaluation: Evaluation | None = None,
    curve: SizeCurve | None = None,
    synthetic: SyntheticEvaluation | None = None,
) -> None:
    """Write the report of a subset; a file that is there is replaced.

    Parameters
    ----------
    coreset : Coreset
    path : path
        Of the HTML file, in a folder that exists.
    dataset : Dataset, optional
        What was selected from: a sample of it is shown behind the selected rows.
    evaluation : Evaluation, optional
        What training on the subset costs.
    curve : SizeCurve, optional
        Of `dask_distill.size_curve`.
    synthetic : SyntheticEvaluation, optional
        Of synthetic rows that were made from the subset.

    Raises
    ------
    InputError
        Where the file cannot be written, or jinja2 or matplotlib is not installed.
    """
    file = checked_file(path)
    text = render(coreset, dataset=dataset, evaluation=evaluation, curve=curve, synthetic=synthetic)
    write_whole(file, text.encode())


def render(
    coreset: Subset,
    *,
    dataset: Dataset | None = None,
    evaluation: Evaluation | None = None,
    curve: SizeCurve | None = None,
    synthetic: SyntheticEvaluation | None = None,
) -> str:
    """The report as one HTML text.

    Parameters
    ----------
    coreset, dataset, evaluation, curve, synthetic : as for `write_report`

    Returns
    -------
    str

    Examples
    --------
    >>> from dask_distill import distill
    >>> coreset = distill(np.random.default_rng(0).normal(size=(500, 3)), size=50)
    >>> render(coreset)[:15]
    '<!doctype html>'
    """
    environment = _environment()
    told = coreset.provenance
    decision = (told.get("selection") or {}).get("decision")
    drawn = {name: drawing.inline() for name, drawing in drawings(coreset, dataset).items()}
    if curve is not None:
        drawn["curve"] = curve_drawing(curve).inline()
    return environment.get_template("report.html.jinja").render(
        coreset=coreset,
        told=told,
        rows=told.get("rows", 0),
        sources=_sources(told),
        cards=cards(coreset, evaluation),
        classes=classes_kept(told),
        first=FIRST,
        warnings=warnings_of(coreset),
        calm=calm(told),
        target=target_name(coreset),
        pictures={name: _markup(svg) for name, svg in drawn.items()},
        by_score=[name for name in coreset.scores if f"{WHERE}{name}" in drawn],
        decision=None if decision is None else told_decision(decision),
        effective=effective(coreset),
        quantiles={
            name: np.nanquantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()
            for name, values in coreset.scores.items()
        },
        certificate=None if coreset.certificate is None else asdict(coreset.certificate),
        evaluation=evaluation,
        table=None if evaluation is None else _table(evaluation),
        curve=curve,
        synthetic=synthetic,
        columns=columns_shown(coreset, histograms(coreset, dataset)),
        samples=rows_shown(coreset),
        command=command(coreset),
        circumstances=circumstances(coreset),
        provenance=json.dumps(_recorded(told), indent=2, ensure_ascii=False, default=str),
        **_script(environment),
    )


def write_curve(curve: SizeCurve, path: str | os.PathLike[str]) -> None:
    """Write a curve with its table as one HTML file; one that is there is replaced.

    Parameters
    ----------
    curve : SizeCurve
    path : path

    Raises
    ------
    InputError
        Where the file cannot be written, or jinja2 or matplotlib is not installed.
    """
    file = checked_file(path)
    write_whole(file, render_curve(curve).encode())


def render_curve(curve: SizeCurve) -> str:
    """A curve with its table as one HTML text."""
    drawn = {"curve": _markup(curve_drawing(curve).inline())}
    page = _environment().get_template("curve.html.jinja")
    return page.render(curve=curve, pictures=drawn)


def _environment() -> Any:
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise InputError(MISSING) from None
    environment = Environment(
        loader=PackageLoader("dask_distill.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bytes": shown_bytes, "percent": percent, "markup": _markup}
    return environment


def _script(environment: Any) -> dict[str, Any]:
    """What folds, sorts and searches tables, and the digest by which nothing else may run."""
    text = environment.get_template("tables.js.jinja").render()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"script": _markup(text), "digest": _markup(digest)}


def _recorded(told: dict[str, Any]) -> dict[str, Any]:
    """What is recorded without histograms, which the page draws."""
    source = {name: value for name, value in told.get("input", {}).items() if name != "shapes"}
    if profile := source.get("profile"):
        columns = [
            {name: value for name, value in column.items() if name != "shape"}
            for column in profile["columns"]
        ]
        source["profile"] = profile | {"columns": columns}
    return told | ({"input": source} if "input" in told else {})


def _sources(told: dict[str, Any]) -> list[str]:
    found = told.get("input", {}).get("sources") or []
    return [str(place) for place in found]


def _table(evaluation: Evaluation) -> dict[str, Any]:
    """An evaluation's rows for the page: all models first, then each."""
    ways, objective = evaluation.ways(), evaluation.objective
    models = [m for m in dict.fromkeys(s.model for s in evaluation.scores) if m != ALL_MODELS]
    found = [evaluation.score(way) for way in ways]
    return {
        "names": [WAYS[way] for way in ways],
        "means": [
            ("rows", [f"{each.rows:,}" for each in found]),
            *((name, cells) for name, *cells in evaluation.rows_of_means()),
            ("seconds", [f"{each.seconds:,.1f}" for each in found]),
        ],
        "differences": [(name, cells) for name, *cells in evaluation.rows_of_differences()],
        "judged": metric_named(objective).words,
        "model_names": [WAYS[way] for way in ways if way != MAJORITY],
        "models": [
            (
                model,
                [
                    shown_value(objective, each.value(objective), each.half(objective))
                    for each in (evaluation.score(way, model) for way in evaluation.ways(model))
                ],
            )
            for model in models
            if len(models) > 1
        ],
    }


def _markup(svg: str) -> Any:
    from markupsafe import Markup

    # ours: matplotlib and `pictures` have escaped what users wrote
    return Markup(svg)
