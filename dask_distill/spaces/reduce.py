"""Takes a reduction to the blocks: one conversation, after which rows are their reduced form.

The reduced blocks stay where they were made, so that the source is not read again for the
strategy's questions. What strategies see of the data, the schema with its moments and sample,
is then of the reduced space.
"""

import hashlib
import time
import uuid
from dataclasses import dataclass, replace
from functools import partial
from types import CodeType
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.converse import converse
from dask_distill.conversation.journal import Journal
from dask_distill.conversation.protocol import Final
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block, tile_rows
from dask_distill.errors import InputError
from dask_distill.kernels.moments import moments, pool_moments
from dask_distill.proxy.estimator import EstimatorProxy, use_estimator
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.threads import single_threaded
from dask_distill.spaces.fitted import Reducer, Unchanged
from dask_distill.spaces.reductions import Directions, Reduction
from dask_distill.spaces.timeline import Timeline
from dask_distill.spaces.whole import fit_on_all
from dask_distill.survey.schema import Schema

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SpaceQuestion:
    """Reduce your rows; how are they spread?

    Attributes
    ----------
    reducer : Reducer
    judge : EstimatorProxy or None
        The user's model, which judges the features as they are.
    timeline : Timeline or None
    """

    reducer: Reducer
    judge: EstimatorProxy | None
    timeline: Timeline | None = None

    def reduced(
        self, X: npt.NDArray[np.floating], time: Floats | None
    ) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.float32] | None]:
        """Features of the space, and reconstruction errors."""
        Z, novelty = self.reducer(X)
        if self.timeline is not None and time is not None:
            Z = self.timeline(Z, time)
        return Z, novelty

    @property
    def width(self) -> int:
        """Features of a row in the space."""
        return self.reducer.width + (0 if self.timeline is None else self.timeline.width)


@dataclass(frozen=True, kw_only=True)
class BlockMoments:
    """One block's moments, and the sum of its reconstruction errors; merged in block order.

    ``mass`` is what its rows stand for: their number, where they are alike.
    """

    number: int
    rows: int
    mass: int
    mean: Floats
    spread: Floats
    novelty: float | None


@dataclass(frozen=True)
class Moments(Final):
    """Mean and scale of the reduced features, and the mean reconstruction error."""

    mean: Floats
    scale: Floats
    novelty: float | None


@dataclass(frozen=True)
class Notes:
    """Where a run writes what it has reduced.

    Attributes
    ----------
    journal : Journal
    mark : str
        Of the user's function, transformer and model: rows reduced by others are not used again.
    """

    journal: Journal
    mark: str

    @classmethod
    def of(cls, journal: Journal, reduction: Reduction | None, proxy: Any) -> "Notes | None":
        """Of a run that is written, if it is."""
        if not journal.kept:
            return None
        code = None if reduction is None else reduction.code
        return cls(journal.of("reduce"), _mark(code, proxy))

    def recall(self, block: Block) -> Block | None:
        """The reduced form of a block, if it is there."""
        found = self.journal.get(f"block-{block.number}")
        if found is None or found[0] != self.mark or len(found[1]) != len(block.rows):
            return None
        _, Z, novelty, judged = found
        return replace(block, X=Z, novelty=novelty, probabilities=judged)

    def keep(self, block: Block, seconds: float) -> None:
        """Write a block's reduced form, if it was costly."""
        if seconds >= self.journal.worth:
            content = (self.mark, block.X, block.novelty, block.probabilities)
            self.journal.put(f"block-{block.number}", content)


@dataclass(frozen=True)
class Reducing:
    """The conversation that reduces."""

    notes: Notes | None = None

    def observe(self, block: Block, question: SpaceQuestion) -> Block:
        """From here on a block is its reduced form."""
        if self.notes is None:
            return self._reduced(block, question)
        reduced, started = self.notes.recall(block), time.perf_counter()
        if reduced is None:
            reduced = self._reduced(block, question)
            self.notes.keep(reduced, time.perf_counter() - started)
        return reduced

    def _reduced(self, block: Block, question: SpaceQuestion) -> Block:
        try:
            Z, novelty = question.reduced(block.X, block.time)
        except InputError as error:
            first = block.rows[0] if len(block.rows) else 0
            raise InputError(f"{error} (in the block from row {first} on)") from None
        if not np.isfinite(Z).all():
            raise InputError(
                "reduce must give finite values, got NaN or infinite: the features are too large; "
                "scale them first"
            )
        judged = block.probabilities
        if question.judge is not None:
            judged = question.judge.judged(block.X, block.rows)
        return replace(block, X=Z, novelty=novelty, probabilities=judged)

    def answer(self, block: Block, question: SpaceQuestion) -> tuple[BlockMoments, ...]:
        """In fixed tiles."""
        mean, spread = moments(block.X, tile_rows(block.X.shape[1]), block.mass)
        novelty = None if block.novelty is None else float(block.novelty.sum(dtype=np.float64))
        rows = len(block.rows)
        mass = rows if block.mass is None else int(block.mass.sum())
        return (
            BlockMoments(
                number=block.number, rows=rows, mass=mass, mean=mean, spread=spread, novelty=novelty
            ),
        )

    def combine(
        self, left: tuple[BlockMoments, ...], right: tuple[BlockMoments, ...]
    ) -> tuple[BlockMoments, ...]:
        """Side by side."""
        return left + right

    def advance(self, question: SpaceQuestion, answer: tuple[BlockMoments, ...]) -> Moments:
        """In the order of the blocks."""
        parts = sorted(answer, key=lambda part: part.number)
        mean, scale = pool_moments(
            [part.mass for part in parts],
            [part.mean for part in parts],
            [part.spread for part in parts],
        )
        known = [part.novelty for part in parts if part.novelty is not None]
        rows = sum(part.rows for part in parts)
        return Moments(mean, scale, sum(known) / rows if known else None)


@dataclass(frozen=True)
class Space:
    """Where rows are compared: features that are reduced, or know the time, or both.

    Attributes
    ----------
    reduction : Reduction or None
    timed : bool
    time_scale : float or None
        Found from the features where rows are timed and None is given.
    shape : tuple of int
        Of a row in the source.
    """

    reduction: Reduction | None
    timed: bool
    time_scale: float | None
    shape: tuple[int, ...]

    @classmethod
    def of(
        cls, reduction: Reduction | None, timed: bool, length: float | None, shape: tuple[int, ...]
    ) -> "Space | None":
        """What is asked for; None for the features as they are."""
        return None if reduction is None and not timed else cls(reduction, timed, length, shape)

    @property
    def label(self) -> str:
        """Short form, for the certificate."""
        features = "features" if self.reduction is None else self.reduction.label
        return f"{features} and time" if self.timed else features

    def fit(self, schema: Schema) -> Reducer:
        """The reduction, on the survey's sample."""
        if self.reduction is None:
            return Unchanged(schema.d)
        return self.reduction.fit(schema, self.shape)

    def describe(self) -> dict[str, Any]:
        """For the provenance."""
        reduction = {} if self.reduction is None else self.reduction.describe()
        return {"space": self.label, **reduction}


def reduce_blocks(
    space: Space, blocks: list[Handle[Block]], schema: Handle[Schema], proxy: Any, run: Run
) -> tuple[
    list[Handle[Block]], Handle[Schema], Handle[EstimatorProxy] | None, Handle[SpaceQuestion]
]:
    """Fit a space, and put the blocks into it.

    Parameters
    ----------
    space : Space
    blocks : handles of `Block`
    schema : handle of the survey's `Schema`
    proxy : the user's estimator, or None
        Judges the features as they are.
    run : Run
        What a run that died has reduced is not reduced again.

    Returns
    -------
    blocks : handles of `Block`, held by the workers
    schema : handle of the `Schema` of the reduced space
    judge : handle of what takes the user's estimator's place
    question : handle of the `SpaceQuestion` that brings other rows into the space
    """
    handle, journal = run.constant(space), run.journal.shared.of("reduce")
    if journal.has("reducer"):
        reducer = run.call("reduce-fitted", journal.get, "reducer")
    elif isinstance(space.reduction, Directions) and space.reduction.fits_all_rows:
        fitted = fit_on_all(space.reduction, blocks, run.fetch(schema), run)
        reducer = run.constant(fitted)
        journal.put("reducer", fitted)
    elif space.reduction is not None and space.reduction.fits_at_home:
        # the one fit that needs a package which workers need not have
        reducer = run.constant(_fit(space, run.fetch(schema), journal))
    else:
        reducer = run.call("reduce-fit", _fit, handle, schema, journal)
    judge = None if proxy is None else run.constant(proxy)
    question = run.call("reduce-question", _ask, handle, reducer, schema, judge)
    (question,) = run.held(question)
    notes = Notes.of(run.journal.shared, space.reduction, proxy)
    final, blocks = converse(Reducing(notes), blocks, question, run, phase="reduce")
    reduced = run.call("reduced-schema", _reduced, schema, question, final, handle)
    judge = None if proxy is None else run.call("judge", _judge, question)
    return blocks, reduced, judge, question


def _fit(space: Space, schema: Schema, journal: Journal) -> Reducer:
    with single_threaded():
        reducer = space.fit(schema)
    journal.put("reducer", reducer)
    return reducer


def _mark(*own: Any) -> str:
    """Digest of what is the user's: values, and the code that is in reach; empty for nothing."""
    if all(value is None for value in own):
        return ""
    import cloudpickle

    digest = hashlib.blake2b(digest_size=16)
    try:
        for value in own:
            digest.update(cloudpickle.dumps(value))
            inner = value.func if isinstance(value, partial) else value
            # of what is importable a pickle has the name alone
            called = inner if hasattr(inner, "__code__") else getattr(type(inner), "__call__", None)  # noqa: B004
            digest.update(_code(getattr(called, "__code__", None)))
    except Exception:
        # what cannot be known again is never the same
        return uuid.uuid4().hex
    return digest.hexdigest()


def _code(code: CodeType | None) -> bytes:
    """A function's instructions and constants, those of functions within it too."""
    if code is None:
        return b""
    parts = [code.co_code, repr((code.co_names, code.co_varnames)).encode()]
    for constant in code.co_consts:
        own = isinstance(constant, CodeType)
        parts.append(_code(constant) if own else repr(constant).encode())
    return b"\0".join(parts)


def _ask(space: Space, reducer: Reducer, schema: Schema, proxy: Any) -> SpaceQuestion:
    judge = None if proxy is None else use_estimator(proxy, schema)
    if not space.timed:
        return SpaceQuestion(reducer, judge)
    sample = schema.sample
    with single_threaded():
        timeline = Timeline.fit(sample.times, reducer(sample.X)[0], space.time_scale)
    return SpaceQuestion(reducer, judge, timeline)


def _reduced(schema: Schema, question: SpaceQuestion, final: Any, space: Space) -> Schema:
    """The schema of the reduced space: what strategies are told of the data."""
    found: Moments = content(final)
    sample = schema.sample
    with single_threaded():
        Z, novelty = question.reduced(sample.X, sample.time)
        judged = sample.probabilities
        if question.judge is not None:
            judged = question.judge.judged(sample.X, sample.rows, sampled=True)
    mean, scale = found.mean, found.scale.copy()
    told = space.describe() | question.reducer.facts() | {"features": question.width}
    if question.timeline is not None:
        # their unit, not their own spread: standardised, too, they count as they should
        scale[question.reducer.width :] = question.timeline.unit
        told |= question.timeline.facts()
    if found.novelty is not None:
        told["mean_squared_error"] = round(found.novelty, 6)
    return replace(
        schema,
        d=question.width,
        mean=mean,
        scale=scale,
        sample=replace(sample, X=Z, novelty=novelty, probabilities=judged),
        reduction=told,
    )


def _judge(question: SpaceQuestion) -> EstimatorProxy:
    assert question.judge is not None
    return question.judge.spoken()
