"""Targets that are no classes: a number, or several yes-or-no labels a row.

The target travels as a carried array. For a regression the strategies see its strata, by
quantiles, as classes; for several labels those with quotas see strata of the rare ones, the
others no labels. The gradient criterion is computed here, from a model on the survey's sample.
"""

from dataclasses import replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.blocks import Block
from dask_distill.data.dataset import Dataset, as_dataset
from dask_distill.data.rows import take_rows
from dask_distill.errors import InputError
from dask_distill.proxy.target_model import TargetModel
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.runner import part
from dask_distill.selection.rare_labels import label_names, rare_labels, strata_of
from dask_distill.selection.request import Asked, Request
from dask_distill.storage.variables import STRATUM
from dask_distill.strategies import STRATEGIES
from dask_distill.strategies.auto import Auto
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.combined import Combined
from dask_distill.strategies.gradient import Gradient
from dask_distill.strategies.target_gradient import TargetGradient
from dask_distill.support.digest import digest_values
from dask_distill.survey.schema import Schema

Floats = npt.NDArray[np.float64]

STRATA = 10
_QUANTILE_ROWS = 100_000
_DIGEST_ROWS = 2**20
# behind the name of a target: what its strata are called


def as_target(labels: Any, task: str) -> da.Array:
    """Labels of a task as a dask array.

    Raises
    ------
    InputError
        Where there are none.
    """
    if labels is None:
        raise InputError(
            f'labels must be given with task="{task}", got none; pass labels=, or leave task out'
        )
    return next(iter(as_dataset(np.zeros((len(labels), 1)), carry={"y": labels}).carry.values()))


def labels_of(features: Any, labels: Any) -> tuple[Any, Any]:
    """Features and labels apart: those given, or the labels of an opened data set."""
    if isinstance(features, Dataset) and labels is None:
        return replace(features, labels=None), features.labels
    return features, labels


def with_task(
    dataset: Dataset, target: da.Array, request: Request, *, read: bool = True
) -> tuple[Dataset, Request]:
    """Bring data set and request into the form that a target needs.

    Parameters
    ----------
    dataset : Dataset
        Without labels.
    target : (n,) or (n, L) dask array
    request : Request
        With a ``task`` other than "classification".
    read : bool
        Whether the target's values are checked and cut into strata; a plan has no need of them.

    Returns
    -------
    dataset : Dataset
        The target carried under the label's name; for strategies with quotas, strata as labels
        (of several labels, where some are so rare that a proportional share would lose them).
    request : Request

    Raises
    ------
    InputError
        For a strategy that does not work with the task, or a target that does not fit it.
    """
    task, strategy = request.task, request.strategy
    _refuse(task, strategy, request.proxy)
    counts = _check_target(target, dataset.n, task, read)
    name = dataset.label_name
    carried = as_dataset(dataset, carry={**dataset.carry, name: target})
    if isinstance(strategy, Gradient):
        strategy = TargetGradient(strategy.sample, strategy.floor)
    elif isinstance(strategy, Auto):
        # neither strata nor sets of labels can be believed or doubted as classes are
        strategy = replace(strategy, trust=2.0, tilt=0.0, proxy="linear")
    grouped = not isinstance(strategy, TargetGradient)
    if task == "regression" and grouped:
        edges = _edges(target, int(request.seed)) if read else np.zeros(1)
        strata: Any = da.map_blocks(_strata, target, edges, dtype=np.int64)
        carried = as_dataset(replace(carried, label_name=f"{name}{STRATUM}"), strata)
    if counts is not None and strategy.takes_strata:
        rare = rare_labels(counts, dataset.n, request.rows(dataset.n))
        if len(rare):
            strata = strata_of(target, counts, rare, label_names(dataset.uses, len(counts)))
            carried = as_dataset(replace(carried, label_name=f"{name}{STRATUM}"), strata)
    return carried, replace(request, strategy=strategy, target=target)


def target_digest(target: da.Array) -> str:
    """Of a target's values, whatever its chunks: to tell two runs apart. Reads it."""
    tiles = dict.fromkeys(range(1, target.ndim), -1) | {0: _DIGEST_ROWS}
    run = Run.here()
    parts = run.chunks(target.rechunk(tiles, method="tasks"))
    digests = run.fetch_all([run.call("target-digest", digest_values, part) for part in parts])
    return digest_values(np.array(digests))


def score_blocks(
    asked: Asked, schema: Handle[Schema], blocks: list[Handle[Block]], run: Run
) -> tuple[Handle[Schema], list[Handle[Block]]]:
    """Handles of schema and blocks with gradient norms, where the strategy asks for them."""
    if not isinstance(asked.request.strategy, TargetGradient):
        return schema, blocks
    wide = wide_target(asked.request)
    model, found = target_model(asked.request, schema, run)
    parts = run.chunks(wide.rechunk({0: asked.bounds, 1: -1}, method="tasks"))
    scored = [
        run.call(part("target", i, blocks), _scored, block, values, start, model)
        for i, (block, values, start) in enumerate(zip(blocks, parts, asked.starts, strict=True))
    ]
    return run.call("target-schema", _scored_schema, schema, found, model), scored


def wide_target(request: Request) -> da.Array:
    """The target of a request as (n, T) numbers."""
    target: da.Array = request.target
    return target if target.ndim == 2 else target[:, None]


def target_model(
    request: Request, schema: Handle[Schema], run: Run
) -> tuple[Handle[TargetModel], Handle[npt.NDArray[Any]]]:
    """Handles of the model of a request's target, and of the sample's (m, T) targets."""
    rows = run.fetch(run.call("sample-rows", _sample_rows, schema))
    found = run.constant(take_rows(wide_target(request), rows).compute())
    logistic = request.task == "multilabel"
    return run.call("target-model", TargetModel.fit, schema, found, logistic), found


def _sample_rows(schema: Schema) -> npt.NDArray[np.int64]:
    return schema.sample.rows


def _scored(block: Block, values: npt.NDArray[Any], start: int, model: TargetModel) -> Block:
    return replace(block, novelty=model.gradient_norm(block.X, values[block.rows - start]))


def _scored_schema(schema: Schema, values: npt.NDArray[Any], model: TargetModel) -> Schema:
    norms = model.gradient_norm(schema.sample.X, values)
    return replace(schema, sample=replace(schema.sample, novelty=norms))


def _refuse(task: str, strategy: Strategy, proxy: Any) -> None:
    works = ", ".join(name for name, kind in STRATEGIES.items() if task in kind.tasks)
    if task not in strategy.tasks:
        raise InputError(
            f'strategy {strategy.name} needs classes, got task="{task}"; use one of {works}'
        )
    if isinstance(strategy, Combined) and not (
        strategy.criterion == "random" and strategy.trust >= 1
    ):
        raise InputError(
            f'combined must have criterion="random" and trust=1 with task="{task}", got '
            f"criterion={strategy.criterion!r} and trust={strategy.trust}; set them, or use one of "
            f"{works}"
        )
    if proxy is not None:
        raise InputError(
            f'proxy must be left out with task="{task}", got {type(proxy).__name__}; it judges '
            "classes alone"
        )


def _check_target(target: da.Array, n: int, task: str, read: bool) -> npt.NDArray[np.int64] | None:
    """Refuse what is no target; (L,) rows that have each of several labels, where they are read."""
    axes = 1 if task == "regression" else 2
    wanted = "(n,) numbers" if task == "regression" else "(n, L) of 0 and 1"
    if target.ndim != axes or target.shape[0] != n or target.dtype.kind not in "biuf":
        raise InputError(
            f'labels must be {wanted} for {n} rows with task="{task}", got {target.dtype} of shape '
            f"{target.shape}; convert them, or change task"
        )
    if not read:
        return None
    valid = da.isfinite(target) if axes == 1 else (target == 0) | (target == 1)
    wrong, counts = dask.compute((~valid).sum(), None if axes == 1 else (target == 1).sum(axis=0))
    if wrong:
        rule = "finite" if axes == 1 else "0 or 1"
        raise InputError(
            f'labels must be {rule} with task="{task}", got {int(wrong):,} other values; clean them'
        )
    return None if counts is None else counts.astype(np.int64)


def _edges(target: da.Array, seed: int) -> Floats:
    """Inner quantiles of the target, of rows drawn from their numbers alone."""
    n = int(target.shape[0])
    rows = np.arange(n)
    if n > _QUANTILE_ROWS:
        rows = np.unique(np.random.default_rng(seed).integers(0, n, _QUANTILE_ROWS))
    values = take_rows(target, rows).compute().astype(np.float64)
    edges = _quantiles(values)
    edges = edges[edges > values.min()]
    if len(edges) == 0 and (rest := values[values > values.min()]).size:
        # claims, rain, sales: nearly all are nothing, and the others are what is to be told apart
        edges = np.unique([rest.min(), *_quantiles(rest)])
    if len(edges) == 0:
        raise InputError(
            'labels must have different values with task="regression", got one alone; pass '
            "labels=None to select without them"
        )
    return edges


def _quantiles(values: Floats) -> Floats:
    return np.unique(np.quantile(values, np.arange(1, STRATA) / STRATA, method="higher"))


def _strata(values: npt.NDArray[Any], edges: Floats) -> npt.NDArray[np.int64]:
    return np.searchsorted(edges, values.astype(np.float64), side="right").astype(np.int64)
