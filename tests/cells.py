"""Selections of `auto` over blocks in memory, for its tests."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import RawBlock
from dask_distill.runtime.runner import LocalRunner
from dask_distill.strategies import Auto
from dask_distill.survey.survey import Survey, valid_block


@dataclass(frozen=True)
class Found:
    """A selection, and what the strategy tells of it."""

    rows: np.ndarray
    weights: np.ndarray
    candidates: int


def survey(X, y, edges, seed=0, rows=10_000):
    """Blocks cut at these edges, and their schema."""
    raw = [
        RawBlock(number=b, start=start, X=X[start:stop], y=None if y is None else y[start:stop])
        for b, (start, stop) in enumerate(pairwise(edges))
    ]
    asked = Survey().ask(len(X), X.shape[1], labelled=y is not None, seed=seed, size=rows)
    final, _ = converse(Survey(), raw, asked, Run(LocalRunner()), phase="survey")
    schema = content(final)
    return [valid_block(block, schema) for block in raw], schema


def select(X, y, size, *, blocks=1, edges=None, strategy=None, proxy=None, seed=0, rows=10_000):
    """What a strategy selects over blocks of about equal length, or with given edges."""
    strategy = strategy or Auto()
    if edges is None:
        edges = [round(b * len(X) / blocks) for b in range(blocks + 1)]
    states, schema = survey(X, y, edges, seed, rows)
    question = strategy.ask(schema, size, proxy)
    final, states = converse(strategy, states, question, Run(LocalRunner()), phase="select")
    parts = choose(strategy, states, final, Run(LocalRunner()))
    assert all(
        np.array_equal(part.codes, states[b].codes[np.isin(states[b].rows, part.rows)])
        for b, part in enumerate(parts)
    )
    return Found(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.weights for part in parts]),
        strategy.facts(content(final)).get("candidates", 0),
    )


def mixture(n, classes, d=4, seed=0, spread=3.0, order=None):
    """Gaussian classes; shuffled, or sorted by class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    X = (rng.normal(size=(classes, d)) * spread)[y] + rng.normal(size=(n, d))
    if order == "class":
        by_class = np.argsort(y, kind="stable")
        X, y = X[by_class], y[by_class]
    return X.astype(np.float32), y
