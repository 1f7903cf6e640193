"""A strategy's conversation from the first question to the rows, and what they must be."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.conversation import Selection
from dask_distill.errors import DistillError
from dask_distill.lost import Watched
from dask_distill.progress import Progress
from dask_distill.rounds import DaskRunner, Ledger, choose, content, converse
from dask_distill.strategies.base import Strategy
from dask_distill.survey import Schema

if TYPE_CHECKING:
    from dask_distill.journal import Journal


@dataclass(frozen=True)
class Job:
    """Where calls run, and who is told."""

    runner: DaskRunner
    ledger: Ledger
    progress: Progress


def select_rows(
    job: Job, watched: Watched, blocks: list[Any], question: Any, journal: "Journal | None"
) -> tuple[list[Selection], dict[str, Any]]:
    """What each block selects, and what the provenance tells."""
    runner = job.runner
    handle = delayed(watched, traverse=False)
    states = blocks
    if watched.strategy.joins:
        states = _joined(runner, handle, blocks, question)
    final, states = converse(
        handle,
        states,
        question,
        runner,
        phase="select",
        ledger=job.ledger,
        progress=job.progress,
        journal=journal,
    )
    selections = runner.fetch_all(choose(handle, states, final, runner))
    return selections, runner.fetch(runner.call("facts", _facts, handle, final))


def assemble(
    selections: list[Selection], facts: Schema, size: int, strategy: Strategy
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], dict[str, npt.NDArray[np.float32]]]:
    """Put the blocks' shares together, and check what the contract promises."""
    if size == 0:
        return np.empty(0, np.int64), np.empty(0, np.float32), {}
    indices = np.concatenate([selection.rows for selection in selections])
    weights = np.concatenate([selection.weights for selection in selections])
    if len(indices) != size or np.any(np.diff(indices) <= 0):
        raise DistillError(
            f"strategy {strategy.name} must select {size} rows in order, got {len(indices)}; "
            "this is a fault of the strategy"
        )
    # what rounding left: one factor, the same whatever the blocks
    weights = (weights * (facts.n / math.fsum(weights))).astype(np.float32)
    if not (np.all(np.isfinite(weights)) and np.all(weights > 0)):
        raise DistillError(f"strategy {strategy.name} must give weights above 0")
    names = selections[0].scores
    scores = {
        name: np.concatenate([selection.scores[name] for selection in selections]) for name in names
    }
    return indices, weights, scores


def ask(strategy: Strategy, schema: Schema, size: int, proxy: Any) -> Any:
    """The first question; runs as a task."""
    from dask_distill.threads import single_threaded

    with single_threaded():
        return strategy.ask(schema, size, proxy)


def _joined(runner: DaskRunner, handle: Any, blocks: list[Any], question: Any) -> list[Any]:
    """Runs of neighbouring blocks, one for each task that can run at a time."""
    lanes = min(len(blocks), runner.parallelism())
    edges = [round(lane * len(blocks) / lanes) for lane in range(lanes + 1)]
    return [
        runner.call("join", _join, handle, question, *blocks[start:stop])
        for start, stop in pairwise(edges)
    ]


def _join(strategy: Watched, question: Any, *blocks: Any) -> Any:
    return strategy.join(question, list(blocks))


def _facts(strategy: Watched, final: Any) -> dict[str, Any]:
    return strategy.facts(content(final))
