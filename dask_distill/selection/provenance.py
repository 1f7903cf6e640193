"""How a subset came about: what its attributes tell."""

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.selection.choose import Selected
from dask_distill.selection.ground import Ground
from dask_distill.selection.lost import lost
from dask_distill.selection.request import Asked
from dask_distill.survey.schema import Schema


def make_provenance(
    ground: Ground, found: Selected, asked: Asked, run: Run, seconds: float
) -> dict[str, Any]:
    """How the subset came about, JSON-able."""
    dataset, request = asked.dataset, asked.request
    facts, taken, size = found.pool, found.taken, len(found.indices)
    packages = ("dask-distill", "dask", "distributed", "numpy", "scikit-learn", "zarr")
    parameters = request.describe() | {"size": size}
    return {
        "seed": parameters.pop("seed"),
        "parameters": parameters,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in packages},
        "input": {
            "fingerprint": facts.fingerprint,
            "sources": list(dataset.sources),
            "shape": list(dataset.features.shape),
            "dtype": str(dataset.features.dtype),
            "columns": None if dataset.columns is None else list(dataset.columns),
            "blocks": len(facts.block_counts),
            "time": dataset.time_name,
            "chunks_missing": {name: count for name, (count, _) in dataset.missing.items()},
        },
        "rows": facts.n,
        "rows_dropped": facts.dropped,
        "selected": size,
        "classes": _class_table(facts, taken),
        "bytes_read": request.passes * dataset.nbytes,
        "bytes_moved": run.ledger.bytes_moved(),
        "bytes_on_the_wire": run.wire.figures(),
        "bytes_to_gather_everything": dataset.nbytes,
        "rounds": len(run.ledger.rounds),
        "reduction": facts.reduction,
        "selection": found.told,
        "seconds": run.ledger.seconds() | {"total": round(seconds, 3)},
        "lost": lost(run.fetch(ground.groups), found.counts, facts, taken, size),
    }


def _class_table(facts: Schema, taken: npt.NDArray[np.int64] | None) -> list[dict[str, Any]] | None:
    """Rows of each class, all and selected, in order of first appearance."""
    if facts.classes is None or facts.counts is None or taken is None:
        return None
    return [
        {"label": label, "rows": int(rows), "selected": int(selected)}
        for label, rows, selected in zip(facts.classes.tolist(), facts.counts, taken, strict=True)
    ]
