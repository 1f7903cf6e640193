"""Run a strategy's conversation over NumPy blocks of any number, in any order of the rows."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import RawBlock, block_bounds
from dask_distill.proxy import fitting
from dask_distill.runtime.runner import LocalRunner
from dask_distill.strategies import make_strategy
from dask_distill.survey.survey import Survey, valid_block

_fitted = {}


def _fit_once(schema, fit=fitting.fit_ensemble):
    """The proxy of a cut, which is the same for all sizes."""
    if id(schema) not in _fitted:
        _fitted[id(schema)] = schema, fit(schema)
    return _fitted[id(schema)][1]


fitting.fit_ensemble = _fit_once


@dataclass(frozen=True)
class Spec:
    """A strategy with its options, the number of blocks and the order of the rows.

    Written ``NAME[:KEY=VALUE,...][@BLOCKS[ORDER]]``, as in ``auto:tilt=0.3@32class``; orders are
    shuffled (none), class, time (as the source has it) and drift (along the main direction).
    Without ``@`` the blocks are those that `distill` would cut.
    """

    name: str
    options: tuple[tuple[str, str], ...] = ()
    blocks: int = 0
    order: str = ""

    @classmethod
    def parse(cls, text):
        strategy, _, where = text.partition("@")
        name, _, options = strategy.partition(":")
        pairs = tuple(tuple(pair.split("=", 1)) for pair in options.split(",") if pair)
        digits = where.rstrip("abcdefghijklmnopqrstuvwxyz")
        return cls(name, pairs, int(digits or 0), where[len(digits) :])


@dataclass(frozen=True)
class Selected:
    """Rows, their weights, the rows' worth of bytes that moved for each one, what was told."""

    rows: np.ndarray
    weights: np.ndarray
    moved: float
    facts: dict


class Source:
    """A training set that is surveyed once for each cut into blocks."""

    def __init__(self, X, y, time, seed):
        self.X, self.y, self.time, self.seed = X, y, time, seed
        self._cuts = {}
        _fitted.clear()

    def select(self, spec, size, draw=0):
        """Rows that a strategy selects."""
        order, blocks, schema = self._cut(spec.blocks, spec.order, draw)
        strategy = make_strategy(spec.name, dict(spec.options))
        run = Run(LocalRunner())
        question = strategy.ask(schema, size, None)
        states = [valid_block(block, schema) for block in blocks]
        if strategy.joins:
            states = [strategy.join(question, states)]
        final, states = converse(strategy, states, question, run, phase="select")
        picked = choose(strategy, states, final, run)
        rows = order[np.concatenate([part.rows for part in picked])]
        weights = np.concatenate([part.weights for part in picked])
        moved = sum(entry.answer_bytes for entry in run.ledger.rounds) / (self.X[0].nbytes * size)
        return Selected(rows, weights, moved, strategy.facts(content(final)))

    def _cut(self, count, order_name, draw):
        key = count, order_name, draw
        if key not in self._cuts:
            order = self._order(order_name)
            X, y = self.X[order], self.y[order]
            edges = [round(b * len(X) / count) for b in range(count + 1)] if count else None
            if edges is None:
                edges = np.cumsum((0, *block_bounds(*X.shape))).tolist()
            blocks = [
                RawBlock(number=b, start=start, X=X[start:stop], y=y[start:stop])
                for b, (start, stop) in enumerate(pairwise(edges))
            ]
            survey, run = Survey(), Run(LocalRunner())
            asked = survey.ask(len(X), X.shape[1], labelled=True, seed=self.seed + 1000 * draw)
            final, _ = converse(survey, blocks, asked, run, phase="survey")
            self._cuts[key] = order, blocks, content(final)
        return self._cuts[key]

    def _order(self, name):
        if name == "class":
            return np.argsort(self.y, kind="stable")
        if name == "time":
            return np.argsort(self.time, kind="stable")
        if name == "drift":
            Z = (self.X - self.X.mean(0)) / (self.X.std(0) + 1e-9)
            direction = np.linalg.eigh(np.cov(Z.T))[1][:, -1]
            return np.argsort(Z @ direction, kind="stable")
        return np.arange(len(self.y))
