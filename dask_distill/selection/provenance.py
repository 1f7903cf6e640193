"""How a subset came about: what its attributes tell."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.attributes import attributes_that_hold
from dask_distill.data.dataset import Dataset
from dask_distill.selection.amounts import read_row_bytes
from dask_distill.selection.choose import Selected
from dask_distill.selection.ground import Ground
from dask_distill.selection.lost import lost
from dask_distill.selection.rare_labels import label_names, label_table, lost_labels
from dask_distill.selection.request import Asked, Request
from dask_distill.selection.shares import underrepresented, underrepresented_labels
from dask_distill.survey.schema import Outline


def make_provenance(
    ground: Ground, found: Selected, asked: Asked, run: Run, seconds: float
) -> dict[str, Any]:
    """How the subset came about, JSON-able."""
    dataset, request = asked.dataset, asked.request
    outline, taken, size = found.pool, found.taken, len(found.indices)
    dropped = dropped_facts(outline, dataset.columns)
    missing = lost(
        ground.groups_here(run), found.counts, outline, taken, size, sampled=found.unread
    )
    # of a class that was left out whole, no row is selected either
    missing["classes"] += [entry["label"] for entry in gone_classes({"dropped": dropped})]
    labels = None
    if request.task == "multilabel":
        target = request.target
        names = label_names(dataset.uses, target.shape[1])
        labels = label_table(target, found.indices, names)
        missing["labels"] = lost_labels(labels)
    classes = _class_table(outline, taken)
    free = size - found.told.get("rows_protected", 0)
    each = size if request.subsets == 1 else request.each(outline.n)
    parameters = request.describe() | {"size": each}
    return {
        "seed": parameters.pop("seed"),
        "parameters": parameters,
        "versions": versions(),
        "input": input_facts(dataset, outline) | _shapes(ground, run),
        "rows": outline.n,
        "rows_dropped": outline.dropped,
        "dropped": dropped,
        "filled": _filled(outline, dataset.columns),
        "selected": size,
        "classes": classes,
        "labels": labels,
        "underrepresented": _underrepresented(request, classes, labels, free, outline),
        "bytes_read": _bytes_read(found, asked),
        "bytes_moved": run.ledger.bytes_moved(),
        "bytes_on_the_wire": run.wire.figures(),
        "bytes_to_gather_everything": dataset.nbytes,
        "rounds": len(run.ledger.rounds),
        "reduction": outline.reduction,
        "scaling": ground.scaling,
        "selection": found.told,
        "seconds": run.ledger.seconds() | {"total": round(seconds, 3)},
        "lost": missing,
    }


def _shapes(ground: Ground, run: Run) -> dict[str, Any]:
    """Histograms of the sample, to be looked at."""
    return {} if ground.shapes is None else {"shapes": run.fetch(ground.shapes)}


def _bytes_read(found: Selected, asked: Asked) -> int:
    dataset, request = asked.dataset, asked.request
    row = read_row_bytes(dataset)
    if not found.unread:
        return request.passes * int(dataset.n * row)
    label = dataset.row_bytes - dataset.d * dataset.features.dtype.itemsize
    return (1 + request.certify) * int(dataset.n * row) + dataset.n * label


def versions() -> dict[str, str]:
    """Of Python and of the packages that results hang on."""
    packages = ("dask-distill", "dask", "distributed", "numpy", "scikit-learn", "zarr")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def input_facts(dataset: Dataset, outline: Outline) -> dict[str, Any]:
    """What was read, JSON-able."""
    return {
        "fingerprint": outline.fingerprint,
        "sources": list(dataset.sources),
        **{"split": dataset.split, "where": dataset.where},
        "shape": list(dataset.features.shape),
        "dtype": str(dataset.features.dtype),
        "columns": None if dataset.columns is None else list(dataset.columns),
        "blocks": len(outline.block_counts),
        "time": dataset.time_name,
        "renamed": dict(dataset.renamed),
        **_attributes(dataset),
        "labels": None if dataset.labels is None else dataset.label_name,
        "carry": list(dataset.carry),
        **_table(dataset),
        "chunks_missing": {name: count for name, (count, _) in dataset.missing.items()},
        "sample_weight": _weights(outline, dataset),
    }


def _table(dataset: Dataset) -> dict[str, Any]:
    """Of a table: how its columns are read, and where its files begin."""
    if dataset.table is None:
        return {}
    files = [{"path": path, "first_row": row} for path, row in dataset.table.files]
    return {"profile": dataset.profile, "files": files}


def _underrepresented(
    request: Request,
    classes: list[dict[str, Any]] | None,
    labels: list[dict[str, Any]] | None,
    size: int,
    outline: Outline,
) -> list[dict[str, Any]] | None:
    """Classes, or labels of several, that are kept far below their share; None without any."""
    if labels is not None:
        # what the rows of a label weigh is not counted
        if outline.weighing is not None:
            return None
        return underrepresented_labels(labels, classes or [], size, request.strategy, outline.n)
    # of numbers there are strata alone, which are no classes
    if classes is None or request.task == "regression":
        return None
    return underrepresented(classes, size, request.strategy)


def _filled(outline: Outline, columns: Sequence[str] | None) -> list[dict[str, Any]] | None:
    """Rows with NaN that the reduction fills in, by column."""
    if outline.filled is None:
        return None
    return [
        {"column": columns[number] if columns is not None else number, "rows": rows}
        for number, rows in outline.filled["columns"].items()
    ]


def _attributes(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Of the source's arrays and columns: attributes that hold of the selected rows, and others."""
    found = {name: attributes_that_hold(a, dataset.n) for name, a in dataset.attributes.items()}
    return {
        "attributes": {name: kept for name, (kept, _) in found.items() if kept},
        "attributes_left_out": {
            name: list(others) for name, (_, others) in found.items() if others
        },
    }


def _weights(outline: Outline, dataset: Dataset) -> dict[str, Any] | bool | None:
    """Which sample weights, and their sum; None where there are none, False for none wanted."""
    if outline.weighing is None:
        return None if dataset.weight_name else False
    return {
        "name": dataset.weight_name,
        "sum": outline.weight,
        "rows_of_weight_0": outline.weightless,
    }


def dropped_facts(outline: Outline, columns: Sequence[str] | None) -> dict[str, Any] | None:
    """Of the rows left out: how many by column and by class, and what is left of each class."""
    if outline.invalid is None:
        return None
    left: dict[Any, int] = {}
    if outline.classes is not None and outline.counts is not None:
        left = dict(zip(outline.classes.tolist(), outline.counts.tolist(), strict=True))
    return {
        "columns": [
            {"column": columns[number] if columns is not None else number, "rows": rows}
            for number, rows in outline.invalid["columns"].items()
        ],
        "classes": [
            {"label": label, "rows": rows, "left": left.get(label, 0)}
            for label, rows in outline.invalid["classes"].items()
        ],
        "without_label": outline.invalid["without_label"],
    }


def shown_filled(filled: Sequence[Mapping[str, Any]] | None) -> str:
    """One line for people on NaN that the reduction fills in; empty where there are none."""
    most = sorted(filled or (), key=lambda entry: -entry["rows"])
    told = ", ".join(f"{entry['column']} ({entry['rows']:,})" for entry in most[:5])
    return f"NaN in column {told}{', …' if len(most) > 5 else ''}" if told else ""


def gone_classes(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Classes of which all rows were left out."""
    dropped = provenance.get("dropped") or {"classes": []}
    return [entry for entry in dropped["classes"] if entry["left"] == 0]


def _class_table(
    outline: Outline, taken: npt.NDArray[np.int64] | None
) -> list[dict[str, Any]] | None:
    """Rows of each class, all and selected, in order of first appearance."""
    if outline.classes is None or outline.counts is None or taken is None:
        return None
    table = [
        {"label": label, "rows": int(rows), "selected": int(selected)}
        for label, rows, selected in zip(
            outline.classes.tolist(), outline.counts, taken, strict=True
        )
    ]
    if outline.weighing is None:
        return table
    masses = (outline.masses * outline.unit).tolist()
    return [entry | {"weight": mass} for entry, mass in zip(table, masses, strict=True)]
