"""Sets rows apart before a strategy begins, so that no strategy needs to know of them.

A conversation of two questions: how many rows are protected, or chosen already; and which. The
strategy then sees the other rows alone, as blocks and in the schema. Protected rows join what it
selects, and weigh 1: they stand for themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.runner import part
from dask_distill.selection.apart_questions import Apart, CountApart, Marked, Parted, rows_kept
from dask_distill.selection.apart_rules import Emptiness, Mask, Rules
from dask_distill.selection.marks import Marks, Protection
from dask_distill.selection.request import Asked
from dask_distill.selection.watched import Groups
from dask_distill.strategies.parts.stepwise import Stepwise
from dask_distill.survey.schema import Outline, Schema

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parting:
    """What the pipeline goes on with: rows set apart, and the rest."""

    apart: Apart
    schema: Handle[Schema]
    outline: Outline
    blocks: list[Handle[Block]]


def set_apart(
    asked: Asked,
    schema: Handle[Schema],
    groups: Groups,
    blocks: list[Handle[Block]],
    unreduced: list[Handle[Block]] | None,
    run: Run,
) -> Parting:
    """Find the rows, and take them out of the blocks and of the schema.

    Parameters
    ----------
    asked : Asked
        With rows that are protected, or chosen already, or both.
    schema : handle of `Schema`
    groups : Groups
        Of `watched`.
    blocks, unreduced : handles of `Block`
        In the space that distances are taken in, and as they are; None where that is the same.
    run : Run

    Raises
    ------
    InputError
        Where more rows are protected than are wanted, or none are left.
    """
    protection, initial = asked.protection, asked.initial or Marks()
    masks = [_masks(marks, asked.bounds, run) for marks in (protection.marks, initial)]
    plain: Sequence[Handle[Block] | None] = [None] * len(blocks)
    if protection.function is not None and unreduced is not None:
        plain = unreduced
    marked = [
        run.call(part("marked", i, blocks), _marked, *marks)
        for i, marks in enumerate(
            zip(blocks, plain, asked.starts, asked.bounds, *masks, strict=True)
        )
    ]
    request, strategy = asked.request, asked.request.strategy
    wanted = run.constant(_Wanted(protection, initial, request.fraction, request.size))
    question = run.call(
        "apart-question", _ask, wanted, schema, groups, strategy.counts_chosen, strategy.needs_time
    )
    final, states = converse(Stepwise(), marked, question, run, phase="apart")
    found: Handle[Apart] = run.call("apart", content, final)
    apart = run.fetch(found)
    rest = run.call("rest", Apart.rest, found, schema)
    outline = run.fetch(run.call("rest-outline", Schema.outline, rest))
    # the rows of a block are read again, not held: only which of them are set apart is
    left = [
        run.call(part("rest", i, blocks), _rest, block, state)
        for i, (block, state) in enumerate(zip(blocks, states, strict=True))
    ]
    return Parting(apart, rest, outline, left)


def _marked(
    block: Block,
    unreduced: Block | None,
    start: int,
    length: int,
    protect: Mask | None,
    initial: Mask | None,
) -> Marked:
    return Marked(
        block=block,
        unreduced=unreduced,
        start=start,
        length=length,
        protect=protect,
        initial=initial,
    )


@dataclass(frozen=True, eq=False)
class _Wanted:
    """What the user has asked for, without masks, which travel by blocks."""

    protection: Protection
    initial: Marks
    fraction: float | None
    size: int | None

    def __getstate__(self) -> dict[str, Any]:
        marks = self.protection.marks
        plain = None if marks is None else Marks(rows=marks.rows)
        protection = replace(self.protection, marks=plain)
        return self.__dict__ | {"protection": protection, "initial": Marks(rows=self.initial.rows)}


def _ask(
    wanted: _Wanted, schema: Schema, groups: Groups, features: bool, times: bool
) -> CountApart:
    protection = wanted.protection
    marks = protection.marks
    emptiness = Emptiness.of(protection.sparse, schema) if protection.sparse else None
    rules = Rules(
        protect=None if marks is None else marks.rows,
        initial=wanted.initial.rows,
        codes=_class_codes(protection, schema),
        emptiness=emptiness,
        function=protection.function,
        labels=schema.classes,
    )
    classes = 1 if schema.classes is None else len(schema.classes)
    return CountApart(
        rules=rules,
        n=schema.n,
        classes=classes,
        fraction=wanted.fraction,
        size=wanted.size,
        features=features,
        times=times,
        groups=groups,
    )


def _class_codes(protection: Protection, schema: Schema) -> Rows:
    """Numbers of the classes that are protected."""
    if schema.classes is None or schema.counts is None:
        return np.empty(0, np.int64)
    names = schema.classes.tolist()
    if protection.words:
        names = [str(name) for name in names]
    dropped = {} if schema.invalid is None else schema.invalid["classes"]
    for label, rows in dropped.items():
        if (str(label) if protection.words else label) in protection.classes:
            raise InputError(
                f"protect must name classes whose rows can be kept, got {label!r} with {rows:,} "
                "rows with NaN or infinite values; fill them in, or protect others"
            )
    missing = [label for label in protection.classes if label not in names]
    if missing:
        raise InputError(
            f"protect must name classes of labels, got {missing[0]!r}; there are "
            f"{', '.join(repr(name) for name in names[:10])}{', …' if len(names) > 10 else ''}"
        )
    codes = {names.index(label) for label in protection.classes}
    codes |= set(np.flatnonzero(schema.counts <= protection.rare).tolist())
    return np.array(sorted(codes), np.int64)


def _masks(
    marks: Marks | None, bounds: tuple[int, ...], run: Run
) -> Sequence[Handle[npt.NDArray[np.bool_]] | None]:
    """The mask as parts, one a block."""
    if marks is None or marks.mask is None:
        return [None] * len(bounds)
    return run.chunks(marks.mask.rechunk({0: bounds}, method="tasks"))


def _rest(block: Block, state: Parted) -> Block:
    keep = np.ones(len(block.rows), bool)
    keep[state.protected] = False
    keep[state.initial] = False
    return block if keep.all() else rows_kept(block, keep)
