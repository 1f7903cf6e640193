"""`synthesize`: rows of a subset are gathered where tasks run, learnt from, and made anew."""

import platform
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import dask.array as da
import numpy as np

from dask_distill.conversation.run import Run
from dask_distill.data.labels import as_labels
from dask_distill.data.rows import take_rows
from dask_distill.errors import InputError
from dask_distill.evaluation.splits import (
    first_by_hash,
    gather_features,
    gather_labels,
)
from dask_distill.kernels.streams import Stream
from dask_distill.runtime.client import active_client
from dask_distill.runtime.progress import Progress
from dask_distill.subset.subset import Subset
from dask_distill.synthesis.amounts import check_amounts, rows_to_make, weights_of
from dask_distill.synthesis.columns import profile_of, refuse_columns, tidied
from dask_distill.synthesis.encoding import Encoder, Floats, as_source
from dask_distill.synthesis.methods import Codes, Material, Method, make_method, require_torch
from dask_distill.synthesis.rows import learnt_from
from dask_distill.synthesis.synthetic import Synthetic

_LEAST_ROWS = 10


def synthesize(
    coreset: Subset,
    *,
    method: str | Method = "diffusion",
    size: int | None = None,
    fraction: float | None = None,
    per_class: int | Mapping[Any, int] | None = None,
    balance: str | None = None,
    options: Mapping[str, Any] | None = None,
    seed: int = 0,
    max_rows: int = 100_000,
    progress: Progress | None = None,
) -> Synthetic:
    """Make rows that are like those of a subset, and are none of them. Needs PyTorch.

    Selection does not do this: the subset itself stays as it is. A generator learns from the
    subset's rows, each as often as its weight says; where a client is active it does so on a
    worker, and with ``by_class`` in one task for each class. Same subset, seed and parameters
    give the same rows, bit for bit, wherever the tasks run, on processors of one kind and with
    one version of PyTorch.

    Parameters
    ----------
    coreset : Coreset
        Rows to learn from. For all rows of a data set that is small enough, select with
        ``fraction=1``.
    method : "gan", "diffusion", "condensation", or such an object
        See `GAN`, `Diffusion` and `Condensation`.
    size : int, optional
        Rows to make; as many as the subset has unless this or the next two are given.
    fraction : float, optional
        Part of the rows that the subset was selected from.
    per_class : int or dict, optional
        So many rows of each class, or of those that are named: to fill up rare ones.
    balance : "sqrt" or "equal", optional
        Classes by the square root of their sizes, or all alike; in the shares they have in the
        data unless given.
    options : dict, optional
        Of a method that is given by name.
    seed : int
    max_rows : int
        Most rows to learn from; of a larger subset a part, drawn by hash.
    progress : Progress, optional

    Returns
    -------
    Synthetic

    Raises
    ------
    InputError
        Without PyTorch, or for parameters that cannot be used; before any work.
    """
    started = time.perf_counter()
    made_by = make_method(method, options)
    _check(coreset, seed, max_rows)
    amounts: dict[str, Any] = {
        "fraction": fraction,
        "size": size,
        "per_class": per_class,
        "balance": balance,
    }
    check_amounts(**amounts)
    require_torch(made_by.name)
    run = Run.here(progress)
    everything = np.arange(len(coreset))
    part = first_by_hash(everything, coreset.indices, seed, Stream.SYNTHESIS, int(max_rows))
    part.sort()
    classes, codes = _classes(coreset, run)
    mass = np.bincount(codes, weights=coreset.weights.astype(np.float64)).astype(np.float64)
    rows = int(coreset.provenance.get("rows") or round(mass.sum()))
    counts = rows_to_make(classes, mass, rows=rows, selected=len(coreset), **amounts)
    told = coreset.provenance.get("input", {}).get("sample_weight")
    total = told["sum"] if told else rows
    weights = weights_of(counts, mass, total, by_class=per_class is None and balance is None)
    unseen = (counts > 0) & (np.bincount(codes[part], minlength=len(classes)) == 0)
    if unseen.any():
        raise InputError(
            f"max_rows must leave rows of each class to learn from, got {max_rows} and none of "
            f"class {classes[unseen][0]}; raise it"
        )
    X, made_codes = _make(run, coreset, part, codes, counts, made_by, int(seed))
    found = as_arrays(tidied(X, profile_of(coreset)), coreset)
    table = zip(classes.tolist(), np.bincount(codes).tolist(), counts.tolist(), strict=True)
    return Synthetic(
        weights=weights,
        provenance={
            "method": made_by.name,
            "parameters": amounts | {"options": made_by.describe(), "max_rows": int(max_rows)},
            "seed": int(seed),
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("dask-distill", "numpy", "torch")},
            "rows": rows,
            "input": {"sample_weight": told},
            "made": len(weights),
            "learnt_from": learnt_from(coreset, len(part)),
            "classes": None if coreset.labels is None else _class_table(table),
            "seconds": round(time.perf_counter() - started, 3),
        },
        features=da.from_array(found, chunks=(-1, *found.shape[1:])),
        labels=None if coreset.labels is None else da.from_array(classes[made_codes], chunks=-1),
        feature_name=coreset.feature_name,
        label_name=coreset.label_name,
    )


def _class_table(rows: Iterable[tuple[Any, int, int]]) -> list[dict[str, Any]]:
    """Of each class, the rows learnt from and made."""
    return [{"label": label, "learnt_from": had, "made": made} for label, had, made in rows]


def as_arrays(X: Floats, coreset: Subset) -> Any:
    """Made features in the shape and type of the subset's."""
    return as_source(X, coreset.features.dtype, coreset.features.shape[1:])


def _check(coreset: Any, seed: Any, max_rows: Any) -> None:
    if not isinstance(coreset, Subset):
        raise InputError(
            f"coreset must be a Coreset, got {type(coreset).__name__}; select rows with distill "
            "(fraction=1 for all of them), or open some with open_coreset"
        )
    client = active_client()
    if client is not None and client.asynchronous:
        raise InputError(
            "the active distributed.Client must be a synchronous one, got "
            "Client(asynchronous=True); make it without asynchronous=True"
        )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise InputError(f"seed must be an int from 0 to 2**63 - 1, got {seed!r}")
    if (
        isinstance(max_rows, bool)
        or not isinstance(max_rows, int | np.integer)
        or max_rows < _LEAST_ROWS
    ):
        raise InputError(f"max_rows must be an int of at least {_LEAST_ROWS}, got {max_rows!r}")
    if len(coreset) < _LEAST_ROWS:
        raise InputError(
            f"coreset must have at least {_LEAST_ROWS} rows to learn from, got {len(coreset)}; "
            "select more"
        )
    task = coreset.provenance.get("parameters", {}).get("task") or "classification"
    if task != "classification":
        raise InputError(
            f'synthetic rows are made for classes or without labels, got task="{task}"; select '
            "with labels that are classes"
        )
    refuse_columns(coreset)


def _classes(coreset: Subset, run: Run) -> tuple[Any, Codes]:
    """The classes in order, and each row's number; one class of no name where there is no label."""
    if coreset.labels is None:
        return np.array([""]), np.zeros(len(coreset), np.int64)
    found = as_labels(run.fetch(gather_labels(run, coreset.labels)))
    if found.dtype.kind == "f":
        raise InputError(
            f"labels must be classes, ints or text, got {found.dtype}; convert them and select "
            "again"
        )
    classes, codes = np.unique(found, return_inverse=True)
    return classes, codes.astype(np.int64)


def _make(
    run: Run,
    coreset: Subset,
    part: Codes,
    codes: Codes,
    counts: Codes,
    method: Method,
    seed: int,
) -> tuple[Floats, Codes]:
    """Features of the made rows and their class numbers, here."""
    rows = gather_features(run, take_rows(coreset.features, part))
    weights = coreset.weights[part].astype(np.float64)
    encoder = run.call("encode", Encoder.fit, rows, weights)
    material = run.call("material", _material, encoder, rows, codes[part], weights, counts)
    shared = run.constant(method)
    wanted = np.flatnonzero(counts) if method.each_class else [-1]
    tasks = [
        run.call("synthesize", _generate, shared, material, int(code), seed) for code in wanted
    ]
    done = run.watched("synthesize", tasks, encoder)
    found = run.call("decode", _decode, done[-1], *done[:-1])
    return run.fetch(found), np.repeat(np.arange(len(counts)), counts)


def _material(encoder: Encoder, rows: Any, codes: Codes, weights: Any, counts: Codes) -> Material:
    return Material(encoder.encode(rows), codes, weights, encoder.categories, counts)


def _generate(method: Method, material: Material, code: int, seed: int) -> Any:
    if code < 0:
        return method.generate(material, (seed,))
    # its seed is the class's own: the same rows whoever else is made
    return method.generate(material.of_class(code), (seed, code + 1))


def _decode(encoder: Encoder, *parts: Any) -> Floats:
    return encoder.decode(np.concatenate(parts))
