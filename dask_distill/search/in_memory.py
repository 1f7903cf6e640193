"""Selection from NumPy arrays in the calling thread: no Dask, the same rows as `distill`."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.run import Run
from dask_distill.data.blocks import RawBlock, as_features, block_bounds
from dask_distill.data.labels import as_labels
from dask_distill.proxy.estimator import use_estimator
from dask_distill.runtime.runner import LocalRunner
from dask_distill.runtime.threads import single_threaded
from dask_distill.spaces.scales import Scales, scaled_block, scaled_schema
from dask_distill.strategies.base import Strategy
from dask_distill.survey.survey import Survey, valid_block


@dataclass(frozen=True)
class SelectedInMemory:
    """Rows of arrays at hand.

    Attributes
    ----------
    rows : (k,) int64 array, ascending
    weights : (k,) float32 array
    bytes_moved : int
        Of all questions and answers, had the blocks been elsewhere.
    """

    rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    bytes_moved: int


def select_in_memory(
    X: npt.ArrayLike,
    labels: npt.ArrayLike | None,
    strategy: Strategy,
    size: int,
    *,
    seed: int = 0,
    proxy: Any = None,
) -> SelectedInMemory:
    """Select rows of arrays that fit in memory, in the calling thread.

    Parameters
    ----------
    X : (n, d) array
    labels : (n,) array, or None
    strategy : Strategy
    size, seed, proxy : as for `distill`

    Returns
    -------
    SelectedInMemory
        The rows that `distill` selects.

    Raises
    ------
    InputError
        Where the data or the request cannot be used.

    Examples
    --------
    >>> from dask_distill.strategies import make_strategy
    >>> X = np.random.default_rng(0).normal(size=(500, 3))
    >>> len(select_in_memory(X, X[:, 0] > 0, make_strategy("auto"), 50).rows)
    50
    """
    values = as_features(X)
    known = None if labels is None else as_labels(labels)
    edges = np.cumsum((0, *block_bounds(len(values), values.shape[1]))).tolist()
    run, talk = Run(LocalRunner()), Survey()
    raw = [
        RawBlock(
            number=number,
            start=start,
            X=values[start:stop],
            y=None if known is None else known[start:stop],
        )
        for number, (start, stop) in enumerate(pairwise(edges))
    ]
    opening = talk.ask(len(values), values.shape[1], labelled=known is not None, seed=seed)
    whole = [run.constant(block) for block in raw]
    turn, _ = converse(talk, whole, opening, run, phase="survey", keep=False)
    schema = run.fetch(turn).content
    with single_threaded():
        blocks = [valid_block(block, schema) for block in raw]
        if schema.stray and strategy.standardises:
            scales = Scales.of(schema, "auto")
            judge = None if proxy is None else use_estimator(proxy, schema)
            schema = scaled_schema(scales, schema, judge)
            blocks = [scaled_block(block, scales, judge) for block in blocks]
            proxy = None if judge is None else judge.spoken()
        question = strategy.ask(schema, size, proxy)
    begun: list[Any] = [strategy.join(question, blocks)] if strategy.joins else list(blocks)
    states = [run.constant(state) for state in begun]
    final, states = converse(strategy, states, question, run, phase="select")
    chosen = run.fetch_all(choose(strategy, states, final, run))
    weights = np.concatenate([one.weights for one in chosen])
    return SelectedInMemory(
        np.concatenate([one.rows for one in chosen]),
        (weights * (schema.n / math.fsum(weights))).astype(np.float32),
        run.ledger.bytes_moved(),
    )
