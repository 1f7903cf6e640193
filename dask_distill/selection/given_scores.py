"""Scores of all rows that are given to a selection: checked, and read beside the rows."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.blocks import Block
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline
from dask_distill.selection.ground import Ground
from dask_distill.selection.request import Asked, Request
from dask_distill.strategies import STRATEGIES
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.parts.scorers import GivenScores
from dask_distill.subset.scores import Scores
from dask_distill.support.digest import jsonable
from dask_distill.survey.reading import in_blocks

# of a request, what scores hang on, as their provenance has it
_HANGS_ON = ("on_invalid", "scale", "missing_label", "reduce", "time_scale")


def check_given_scores(asked: Asked) -> None:
    """Refuse scores that the strategy does not rank by, or that were made otherwise.

    Raises
    ------
    InputError
    """
    request, dataset, scores = asked.request, asked.dataset, asked.request.scores
    if scores is None:
        return
    if not isinstance(scores, Scores):
        raise InputError(
            "scores must be what dask_distill.score or open_scores gives, got "
            f"{type(scores).__name__}; score the features first, or leave scores out"
        )
    if request.task != "classification":
        raise InputError(
            f'scores must be given where labels are classes, got task="{request.task}"; leave '
            "scores out"
        )
    needed = request.strategy.ranked_by(labelled=dataset.labels is not None)
    if not needed:
        raise InputError(
            "scores must be given to a strategy that ranks by them, "
            f"{', '.join(_rankers())}, got {request.strategy.name}; leave scores out"
        )
    found = int(scores.table.shape[0])
    if found != dataset.n:
        raise InputError(
            f"scores must be of the {dataset.n} rows of features, got {found}; score these "
            "features, or leave scores out"
        )
    if missing := [name for name in needed if name not in scores.criteria]:
        raise InputError(
            f"scores must hold {', '.join(needed)} for strategy {request.strategy.name}, got "
            f"{', '.join(scores.criteria)}; add {', '.join(missing)} to criteria, or leave scores "
            "out"
        )
    _refuse_set_apart(request)
    _refuse_made_otherwise(request, scores.provenance)


def _rankers() -> list[str]:
    """Strategies some of whose forms rank by what a proxy says."""
    return [
        name
        for name, kind in STRATEGIES.items()
        if kind.uses_proxy and kind.ranked_by is not Strategy.ranked_by
    ]


def _refuse_set_apart(request: Request) -> None:
    """Scores are by a proxy that may have seen every row."""
    apart = [name for name in ("protect", "initial") if getattr(request, name) is not None]
    if apart and request.proxy is None:
        raise InputError(
            f"scores must be by a proxy of your own beside {apart[0]}, got none: the built-in one "
            "is fitted to the other rows alone; pass proxy= to score and distill, or leave scores "
            "out"
        )


def _refuse_made_otherwise(request: Request, provenance: Mapping[str, Any]) -> None:
    parameters = provenance.get("parameters", {})
    asked = request.describe()
    judge = asked["proxy"] or request.strategy.judged_by
    if parameters.get("proxy") != judge:
        raise InputError(
            f"scores must be by the proxy that strategy {request.strategy.name} judges by, "
            f"{judge}, got {parameters.get('proxy')}; pass the same proxy to score and to distill"
        )
    pairs = [("seed", provenance.get("seed"), asked["seed"])]
    pairs.append(("task", parameters.get("task", "classification"), asked["task"]))
    pairs += [(name, parameters.get(name), asked.get(name)) for name in _HANGS_ON]
    for name, was, wanted in pairs:
        # what was written has lists in place of tuples
        if json.dumps(jsonable(was)) != json.dumps(jsonable(wanted)):
            raise InputError(
                f"scores must be made with the {name} that distill is given, {wanted!r}, got "
                f"{was!r}; score again with it, or pass {name}={was!r}"
            )


def with_scores(ground: Ground, asked: Asked, run: Run) -> Ground:
    """With blocks that have the scores that were given, read where the rows are.

    Raises
    ------
    InputError
        Where they are of other values.
    """
    scores = asked.request.scores
    if scores is None:
        return ground
    _refuse_other_values(scores, asked.dataset, ground)
    labelled = asked.dataset.labels is not None
    names = asked.request.strategy.ranked_by(labelled=labelled)
    needed = tuple(scores.criteria.index(name) for name in names)
    parts = in_blocks(scores.table, asked.bounds, run.runner)
    blocks: list[Handle[Block]] = [
        Inline(_scored, block, part, start, needed, scores.criteria)
        for block, part, start in zip(ground.blocks, parts, asked.starts, strict=True)
    ]
    judge = run.call("given-scores", GivenScores, tuple(scores.criteria), ground.judge)
    return replace(ground, blocks=blocks, judge=judge)


def _refuse_other_values(scores: Scores, dataset: Dataset, ground: Ground) -> None:
    told = scores.provenance.get("input", {})
    known = told.get("fingerprint")
    # times are part of what was read, and of its fingerprint
    if known is not None and (told.get("time") is None) != (dataset.time is None):
        made = "without" if told.get("time") is None else "with"
        raise InputError(
            f"scores must be made with time where a selection has one, got scores {made} it; pass "
            "time= to score as to distill, or to neither"
        )
    if known in (None, ground.outline.fingerprint):
        return
    raise InputError(
        "scores must be of the values of features, labels and sample weights, got scores of "
        f"others (fingerprint {known}, here {ground.outline.fingerprint}); score these, or leave "
        "scores out"
    )


def _scored(
    block: Block,
    values: npt.NDArray[Any],
    start: int,
    needed: tuple[int, ...],
    criteria: tuple[str, ...],
) -> Block:
    """The block with the scores of its rows."""
    mine = np.asarray(values)[block.rows - start].astype(np.float32, copy=False)
    for column in needed:
        unknown = np.isnan(mine[:, column])
        if unknown.any():
            row = int(block.rows[unknown.argmax()])
            raise InputError(
                f"scores must be known of every row that can be selected, got NaN by "
                f"{criteria[column]} in row {row}; score these features, or leave scores out"
            )
    return replace(block, scores=mine)
