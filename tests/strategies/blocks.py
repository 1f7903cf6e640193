"""Runs a strategy over NumPy blocks that a test cuts as it likes."""

import itertools
from dataclasses import dataclass

import numpy as np

from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.ledger import Ledger
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import RawBlock, as_features
from dask_distill.data.labels import as_labels
from dask_distill.data.weights import Weighing, as_weights
from dask_distill.runtime.runner import LocalRunner
from dask_distill.survey.survey import Survey, valid_block


@dataclass(frozen=True)
class Found:
    rows: np.ndarray
    weights: np.ndarray
    codes: np.ndarray | None
    scores: dict
    facts: dict
    choice: object
    ledger: Ledger

    @property
    def shares(self):
        """Weights as `distill` gives them, per row of the data."""
        return self.weights / self.weights.sum()


def schema_and_blocks(X, y=None, parts=1, seed=0, weights=None):
    """What the survey finds, and the blocks; ``parts`` is a number or row counts.

    ``weights`` are whole numbers, told apart even where they are all the same.
    """
    if isinstance(parts, int):
        parts = np.diff(np.linspace(0, len(X), parts + 1).astype(int))
    edges = np.concatenate([[0], np.cumsum(parts)])
    raw = [
        RawBlock(
            number=i,
            start=int(a),
            X=as_features(X[a:b]),
            y=None if y is None else as_labels(y[a:b]),
            weight=None if weights is None else as_weights(weights[a:b]),
        )
        for i, (a, b) in enumerate(itertools.pairwise(edges))
    ]
    talk = Survey()
    weighing = None if weights is None else Weighing(1.0, False, float(np.sum(weights)))
    question = talk.ask(len(X), X.shape[1], labelled=y is not None, seed=seed, weighing=weighing)
    turn, _ = converse(talk, raw, question, Run(LocalRunner()), phase="survey")
    schema = turn.content
    return schema, [valid_block(block, schema) for block in raw]


def select(strategy, X, y=None, size=10, parts=1, seed=0, proxy=None, weights=None):
    schema, blocks = schema_and_blocks(X, y, parts, seed, weights)
    run = Run(LocalRunner())
    question = strategy.ask(schema, size, proxy)
    final, states = converse(strategy, blocks, question, run, phase="select")
    final = run.fetch(final)
    chosen = run.fetch_all(choose(strategy, states, final, run))
    codes = None if y is None else np.concatenate([one.codes for one in chosen])
    names = chosen[0].scores
    found = Found(
        np.concatenate([one.rows for one in chosen]),
        np.concatenate([one.weights for one in chosen]),
        codes,
        {name: np.concatenate([one.scores[name] for one in chosen]) for name in names},
        strategy.facts(content(final)),
        content(final),
        run.ledger,
    )
    assert len(found.rows) == size
    assert np.all(np.diff(found.rows) > 0)
    assert np.all(found.weights > 0)
    if codes is not None:
        assert np.array_equal(schema.classes[codes], y[found.rows])
    return found
