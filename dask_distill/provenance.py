"""How a subset came about: what its attributes tell."""

import platform
from dataclasses import fields
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.dataset import Dataset
from dask_distill.rounds import Ledger
from dask_distill.strategies.base import Strategy
from dask_distill.survey import Schema


def make_provenance(
    dataset: Dataset,
    facts: Schema,
    strategy: Strategy,
    ledger: Ledger,
    taken: npt.NDArray[np.int64] | None,
    *,
    size: int,
    fraction: float | None,
    seed: int,
    on_invalid: str,
    proxy: Any,
    seconds: float,
    passes: int,
    told: dict[str, Any],
) -> dict[str, Any]:
    """How the subset came about, JSON-able."""
    packages = ("dask-distill", "dask", "distributed", "numpy", "scikit-learn", "zarr")
    return {
        "parameters": {
            "strategy": strategy.name,
            "options": describe_options(strategy),
            "size": size,
            "fraction": None if fraction is None else float(fraction),
            "on_invalid": on_invalid,
            "proxy": None if proxy is None else type(proxy).__name__,
        },
        "seed": int(seed),
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in packages},
        "input": {
            "fingerprint": facts.fingerprint,
            "sources": list(dataset.sources),
            "shape": list(dataset.features.shape),
            "dtype": str(dataset.features.dtype),
            "columns": None if dataset.columns is None else list(dataset.columns),
            "blocks": len(facts.block_counts),
        },
        "rows": facts.n,
        "rows_dropped": facts.dropped,
        "selected": size,
        "classes": _class_table(facts, taken),
        "bytes_read": passes * dataset.nbytes,
        "bytes_moved": ledger.bytes_moved(),
        "bytes_to_gather_everything": dataset.nbytes,
        "rounds": len(ledger.rounds),
        "selection": told,
        "seconds": ledger.seconds() | {"total": round(seconds, 3)},
    }


def describe_options(strategy: Strategy) -> dict[str, Any]:
    """A strategy's options, functions by their name."""
    options = {field.name: getattr(strategy, field.name) for field in fields(strategy)}
    return {
        name: getattr(value, "__qualname__", repr(value)) if callable(value) else value
        for name, value in options.items()
    }


def _class_table(facts: Schema, taken: npt.NDArray[np.int64] | None) -> list[dict[str, Any]] | None:
    """Rows of each class, all and selected, in order of first appearance."""
    if facts.classes is None or facts.counts is None or taken is None:
        return None
    return [
        {"label": label, "rows": int(rows), "selected": int(selected)}
        for label, rows, selected in zip(facts.classes.tolist(), facts.counts, taken, strict=True)
    ]
