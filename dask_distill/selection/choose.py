"""A strategy's conversation from the first question to the rows, and what they must be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.journal import Journal
from dask_distill.conversation.ledger import Round
from dask_distill.conversation.protocol import Selection
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block
from dask_distill.errors import DistillError
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline
from dask_distill.runtime.threads import single_threaded
from dask_distill.selection.apart import set_apart
from dask_distill.selection.apart_questions import Apart
from dask_distill.selection.ground import Ground
from dask_distill.selection.request import Asked
from dask_distill.selection.task import score_blocks
from dask_distill.selection.watched import Watched, group_counts, sampled_counts, selected_groups
from dask_distill.strategies.base import Strategy
from dask_distill.survey.reading import unread_blocks
from dask_distill.survey.schema import Outline, Schema
from dask_distill.survey.survey import valid_block


@dataclass(frozen=True, eq=False, kw_only=True)
class Selected:
    """What a selection has come to, before it is certified.

    Attributes
    ----------
    indices, weights, scores : as in a `Coreset`
    initial : (i,) int64 array
        Rows that were chosen before.
    pool : Outline
        What the subset stands for.
    codes : (k,) int32 array or None
        Class numbers of the rows.
    taken : (C,) int64 array or None
        Rows selected of each class.
    groups : (k,) uint8 array or None
        Group of each row; None where some were protected.
    counts : (2, G) int64 array
        Rows of each group, all and selected; see `watched`.
    unread : bool
        Whether features were not read for them: counts are of the sample then.
    told : dict
        For the provenance.
    rounds : list of Round
    """

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    scores: dict[str, npt.NDArray[np.float32]]
    initial: npt.NDArray[np.int64]
    pool: Outline
    codes: npt.NDArray[np.int32] | None
    taken: npt.NDArray[np.int64] | None
    groups: npt.NDArray[np.uint8] | None
    counts: npt.NDArray[np.int64]
    unread: bool
    told: dict[str, Any]
    rounds: list[Round]


def chosen(ground: Ground, asked: Asked, run: Run) -> Selected:
    """The rows that are asked for: those of a run that died before it had a certificate, or new.

    Raises
    ------
    InputError, DistillError
    """
    journal = run.journal.of("certify")
    found: Selected | None = journal.get("selected")
    if found is None:
        found = select_from(ground, asked, run)
        if asked.request.certify:
            # whatever becomes of the certificate
            journal.put("selected", found)
    run.ledger.rounds = list(found.rounds)
    run.wire.mark("select")
    return found


@dataclass(frozen=True, eq=False, kw_only=True)
class Offered:
    """What the strategy chooses from, once rows are scored for it and some are set apart.

    Attributes
    ----------
    schema : handle of `Schema`
    outline : Outline
    blocks : list of handles of `Block`
    pool : Outline
        What the subset stands for.
    wanted : int
        Rows that are left to the strategy.
    apart : Apart or None
    """

    schema: Handle[Schema]
    outline: Outline
    blocks: list[Handle[Block]]
    pool: Outline
    wanted: int
    apart: Apart | None = None


def offered(ground: Ground, asked: Asked, run: Run) -> Offered:
    """What a request lets its strategy choose from."""
    schema, blocks = score_blocks(asked, ground.schema, ground.blocks, run)
    pool = ground.outline
    if not asked.request.sets_apart:
        wanted = asked.rows(pool.n)
        return Offered(schema=schema, outline=pool, blocks=blocks, pool=pool, wanted=wanted)
    groups = ground.groups_here(run)
    parting = set_apart(asked, schema, groups, blocks, ground.unreduced, run)
    pool = parting.apart.pool(pool)
    return Offered(
        schema=parting.schema,
        outline=parting.outline,
        blocks=parting.blocks,
        pool=pool,
        wanted=asked.rows(pool.n) - len(parting.apart.protected),
        apart=parting.apart,
    )


def select_from(ground: Ground, asked: Asked, run: Run) -> Selected:
    """The rows that a request asks for; goes on from what a journal has."""
    offer, strategy = offered(ground, asked, run), asked.request.strategy
    outline, pool, apart = offer.outline, offer.pool, offer.apart
    selections: Sequence[Selection] = []
    shown: dict[str, Any] = {}
    unread = False
    if offer.wanted:
        (question,) = run.held(first_question(ground, offer, asked, run))
        unread = _goes_unread(asked, question, run)
        opening = strategy.first_round if asked.request.scores is None else None
        if unread:
            raw = unread_blocks(asked.dataset, run.runner)
            blocks: list[Handle[Block]] = [
                Inline(valid_block, block, ground.held_outline) for block in raw
            ]
            selections, shown = select_rows(strategy, strategy, blocks, question, run, opening)
        else:
            # made meanwhile
            watched = Watched(strategy, ground.groups_here(run))
            blocks = offer.blocks
            selections, shown = select_rows(watched, strategy, blocks, question, run, opening)
    indices, weights, scores = assemble(selections, outline, offer.wanted, strategy)
    initial = np.empty(0, np.int64)
    if apart is not None:
        indices, weights, scores = apart.join(indices, weights, scores, pool)
        shown |= apart.facts()
        selections = [*selections, apart.selection()]
        initial = apart.initial
    codes, taken = None, None
    if outline.classes is not None:
        rows = np.concatenate([selection.rows for selection in selections])
        codes = np.concatenate([selection.codes for selection in selections])[np.argsort(rows)]
        taken = np.bincount(codes, minlength=len(outline.classes))
    counts = group_counts(selections, None if apart is None else apart.groups)
    if unread:
        counts = run.fetch(
            run.call("sampled", sampled_counts, ground.groups, ground.schema, indices)
        )
    return Selected(
        indices=indices,
        weights=weights,
        scores=scores,
        initial=initial,
        pool=pool,
        codes=codes,
        taken=taken,
        groups=selected_groups(selections),
        counts=counts,
        unread=unread,
        told=shown,
        rounds=list(run.ledger.rounds),
    )


def _goes_unread(asked: Asked, question: Handle[Any], run: Run) -> bool:
    """Whether the rest is chosen without a look at features."""
    strategy = asked.request.strategy
    if asked.request.goes_unread:
        return True
    if not (asked.request.allows_unread and strategy.may_draw_by_number):
        return False
    return not run.fetch(run.call("reads", _reads_features, run.constant(strategy), question))


def _reads_features(strategy: Strategy, question: Any) -> bool:
    return strategy.reads_features(question)


def first_question(ground: Ground, offer: Offered, asked: Asked, run: Run) -> Handle[Any]:
    """A handle of the first question: that of the run that died, or a new one."""
    journal = run.journal.of("select")
    if journal.turns():
        return run.call("question", _first_question, journal)
    strategy = run.constant(asked.request.strategy)
    return run.call("question", ask, strategy, offer.schema, offer.wanted, ground.judge)


def _first_question(journal: Journal) -> Any:
    return content(journal.turn(0))


def select_rows(
    speaker: Watched | Strategy,
    strategy: Strategy,
    blocks: list[Handle[Block]],
    question: Handle[Any],
    run: Run,
    opening: str | None,
) -> tuple[Sequence[Selection], dict[str, Any]]:
    """What each block selects, and what the provenance tells; ``speaker`` speaks for a strategy.

    ``opening`` is what tasks are called that answer the first question.
    """
    handle: Handle[Any] = run.constant(speaker)
    states = list[Handle[Any]](blocks)
    if strategy.joins:
        states = _joined(handle, blocks, question, run)
    final, states = converse(
        handle, states, question, run, phase="select", written=True, opening=opening
    )
    run.progress.start("collect", 0)
    selections: list[Selection] = run.fetch_all(choose(handle, states, final, run))
    return selections, run.fetch(run.call("facts", _facts, handle, final))


def assemble(
    selections: Sequence[Selection], outline: Outline, size: int, strategy: Strategy
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
    weights = (weights * (outline.weight / math.fsum(weights))).astype(np.float32)
    if not (np.all(np.isfinite(weights)) and np.all(weights > 0)):
        raise DistillError(f"strategy {strategy.name} must give weights above 0")
    names = selections[0].scores
    scores = {
        name: np.concatenate([selection.scores[name] for selection in selections]) for name in names
    }
    return indices, weights, scores


def ask(strategy: Strategy, schema: Schema, size: int, proxy: Any) -> Any:
    """The first question; runs as a task."""
    with single_threaded():
        return strategy.ask(schema, size, proxy)


def _joined(
    handle: Handle[Any], blocks: list[Handle[Block]], question: Handle[Any], run: Run
) -> list[Handle[Any]]:
    """Runs of neighbouring blocks, one for each task that can run at a time."""
    lanes = min(len(blocks), run.runner.parallelism())
    edges = [round(lane * len(blocks) / lanes) for lane in range(lanes + 1)]
    return [
        # as one list, of which nobody else holds the blocks
        run.call("join", _join, handle, question, Inline(_listed, *blocks[start:stop]))
        for start, stop in pairwise(edges)
    ]


def _join(strategy: Watched, question: Any, blocks: list[Any]) -> Any:
    return strategy.join(question, blocks)


def _listed(*blocks: Any) -> list[Any]:
    return list(blocks)


def _facts(strategy: Watched, final: Any) -> dict[str, Any]:
    return strategy.facts(content(final))
