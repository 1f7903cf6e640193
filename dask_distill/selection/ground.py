"""What is selected from: surveyed, and brought into the space where rows are compared."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block, RawBlock
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.kernels.distances import LARGEST
from dask_distill.proxy.estimator import EstimatorProxy, use_estimator
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline
from dask_distill.selection.checkpoint import Receipts
from dask_distill.selection.request import Asked
from dask_distill.selection.watched import Groups
from dask_distill.spaces.reduce import SpaceQuestion, reduce_blocks
from dask_distill.spaces.scales import (
    KINDS,
    Scales,
    scaled_block,
    scaled_schema,
    told_scales,
    unscaled,
)
from dask_distill.survey.reading import content_fingerprint, looked_at
from dask_distill.survey.schema import Outline, Schema
from dask_distill.survey.shapes import sample_shapes
from dask_distill.survey.survey import Survey, valid_block
from dask_distill.survey.validity import columns_named

_LARGEST_JUDGED = 1e15


@dataclass(frozen=True, kw_only=True, eq=False)
class Surveyed:
    """What the first pass has found, for whoever goes on from it.

    Attributes
    ----------
    schema : handle of `Schema`
        The sample too.
    held_outline : handle of `Outline`
        The same without the sample.
    outline : Outline
        That, here.
    """

    schema: Handle[Schema]
    held_outline: Handle[Outline]
    outline: Outline


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What is selected from, and what is known of it.

    Attributes
    ----------
    schema : handle of `Schema`
        What the survey found, its sample too.
    held_outline : handle of `Outline`
        Its outline: the same without the sample.
    outline : Outline
        That, here.
    blocks : list of handles of `Block`
        In the space where rows are compared.
    space : str or None
        That space's name; None for the features as they are.
    unreduced : list of handles of `Block`, or None
        As they are in the source, where that is something else.
    judge : handle of the user's model, or None
    groups : handle of `Groups`
        Of the rows of the sample; see `watched`.
    scaling : dict or None
        What was done to features whose spread a few rows make; see `told_scales`.
    scales : handle of `Scales`, or None
        What did it.
    judge_before : handle of `EstimatorProxy`, or None
        The user's model, which judges features as they were before.
    reducing : handle of `SpaceQuestion`, or None
        What brings rows into the space, where there is one.
    shapes : handle of dict, or None
        Histograms of the source's features and times; see `sample_shapes`.
    """

    schema: Handle[Schema]
    held_outline: Handle[Outline]
    outline: Outline
    blocks: list[Handle[Block]]
    space: str | None = None
    unreduced: list[Handle[Block]] | None = None
    judge: Handle[Any] | None = None
    groups: Handle[Groups] | None = None
    scaling: dict[str, Any] | None = None
    scales: Handle[Scales] | None = None
    judge_before: Handle[EstimatorProxy] | None = None
    reducing: Handle[SpaceQuestion] | None = None
    shapes: Handle[dict[str, Any]] | None = None

    @property
    def found(self) -> Surveyed:
        """What is known of it, alone."""
        return Surveyed(schema=self.schema, held_outline=self.held_outline, outline=self.outline)

    def groups_here(self, run: Run) -> Groups:
        """The groups, of ground that is `reduced`."""
        assert self.groups is not None
        return run.fetch(self.groups)


def surveyed(
    raw: Sequence[Handle[RawBlock]],
    asked: Asked,
    run: Run,
    receipts: Receipts,
    known: Surveyed | None = None,
) -> Ground:
    """The first pass; or what it found before the run died, where the values are still the same.

    ``known`` is what it has found for another stage of the same job, of the same data set with the
    same ``seed``, ``on_invalid`` and ``missing_label``.
    """
    journal = run.journal.shared
    outline: Outline | None = journal.get("outline") if journal.has("schema") else None
    if outline is None:
        found = known or _survey(looked_at(asked.dataset, raw, run.runner), asked, run)
        receipts.begin(found.outline.fingerprint)
        # the outline last: a run that resumes looks for it
        run.write(journal, schema=found.schema, outline=found.held_outline)
    else:
        receipts.begin(content_fingerprint(asked.dataset, raw, run.runner))
        found = Surveyed(
            schema=run.call("schema", journal.get, "schema"),
            held_outline=run.call("outline", journal.get, "outline"),
            outline=outline,
        )
    return Ground(
        schema=found.schema,
        held_outline=found.held_outline,
        outline=found.outline,
        blocks=[Inline(valid_block, block, found.held_outline) for block in raw],
        shapes=run.call("shapes", sample_shapes, found.schema, *_shown(asked.dataset)),
    )


def _shown(dataset: Dataset) -> tuple[bool, bool]:
    """Whether features of the survey's sample are the source's, and times are dates."""
    return dataset.profile is None, dataset.time is not None and dataset.time.dtype.kind == "M"


def scaled(ground: Ground, asked: Asked, run: Run) -> Ground:
    """With features in scales that do not hang on a few rows, where these are asked for or needed.

    A model of the user's has judged the features as they are, then.

    Raises
    ------
    InputError
        Where no distance can be taken of values so large.
    """
    request, stray = asked.request, ground.outline.stray
    scale = request.scale
    if scale == "none":
        schema, held_outline = run.held(
            *_outlined(run.call("unscaled", unscaled, ground.schema), run)
        )
        ground = replace(
            ground, schema=schema, held_outline=held_outline, outline=run.fetch(held_outline)
        )
    touched = scale in KINDS or (scale == "auto" and request.standardises and bool(stray))
    told = told_scales(stray, scale, asked.dataset.columns, touched=touched) if stray else None
    if not touched:
        _refuse_huge(asked, ground.outline)
        return replace(ground, scaling=told)
    scales = run.call("scales", Scales.of, ground.schema, scale)
    judge = None
    if request.proxy is not None:
        judge = run.call("judge-raw", use_estimator, run.constant(request.proxy), ground.schema)
    schema = run.call("scaled-schema", scaled_schema, scales, ground.schema, judge)
    scales, schema, held_outline = run.held(scales, *_outlined(schema, run))
    return replace(
        ground,
        schema=schema,
        held_outline=held_outline,
        outline=run.fetch(held_outline),
        blocks=[Inline(scaled_block, block, scales, judge) for block in ground.blocks],
        space="scaled features",
        unreduced=ground.blocks,
        judge=None if judge is None else run.call("judge", EstimatorProxy.spoken, judge),
        scaling=told,
        scales=scales,
        judge_before=judge,
    )


def _refuse_huge(asked: Asked, outline: Outline) -> None:
    """End the run where squares of distances would be infinite."""
    request = asked.request
    assert outline.largest is not None
    column, value = outline.largest
    plain = getattr(request.strategy, "scale", None) == "none" or request.certify
    # a model that is fitted to features as they are adds up their squares, and scores, in float32
    judged = request.scale == "none" and request.strategy.uses_proxy
    most = _LARGEST_JUDGED if judged else LARGEST
    if not (plain or judged) or request.reduce is not None or abs(value) < most:
        return
    names = asked.dataset.columns
    raise InputError(
        f"features must be below {most:g} in size, so that their squares are finite, got "
        f"{value:g} in column {column if names is None else names[column]}; clean it, or pass "
        'scale="robust" / --scale robust'
    )


def _outlined(schema: Handle[Schema], run: Run) -> tuple[Handle[Schema], Handle[Outline]]:
    """A schema, and its outline without the sample."""
    return schema, run.call("outline", Schema.outline, schema)


def reduced(ground: Ground, asked: Asked, run: Run) -> Ground:
    """In the space that is asked for, with the groups of which losses are told."""
    proxy = None if ground.judge is not None else asked.request.proxy
    space = asked.request.space(asked.dataset.features.shape[1:])
    if space is None and ground.judge is None:
        ground = replace(ground, judge=None if proxy is None else run.constant(proxy))
    elif space is not None:
        blocks, schema, judge, reducing = reduce_blocks(
            space, ground.blocks, ground.schema, proxy, run
        )
        schema, held_outline = run.held(*_outlined(schema, run))
        ground = Ground(
            schema=schema,
            held_outline=held_outline,
            outline=run.fetch(held_outline),
            blocks=blocks,
            space=space.label,
            unreduced=ground.unreduced or ground.blocks,
            judge=judge if proxy is not None else ground.judge,
            scaling=ground.scaling,
            reducing=reducing,
            shapes=ground.shapes,
        )
    run.wire.mark("survey")
    size = asked.rows(ground.outline.n)
    # made while the strategy makes its first question
    (groups,) = run.held(run.call("groups", Groups.of, ground.schema, size))
    return replace(ground, groups=groups)


def _survey(raw: Sequence[Handle[RawBlock]], asked: Asked, run: Run) -> Surveyed:
    """What a pass over all rows finds, held by the workers."""
    survey, dataset = Survey(), asked.dataset
    question = survey.ask(
        dataset.n,
        dataset.d,
        labelled=dataset.labels is not None,
        seed=int(asked.request.seed),
        on_invalid=asked.request.on_invalid or "raise",
        filled=asked.request.filled,
        none=asked.request.none,
        weighing=dataset.weighing,
    )
    question = replace(question, groups=dataset.groups, sampled=dataset.profile is not None)
    with columns_named(dataset.columns):
        final, _ = converse(survey, raw, question, run, phase="survey", keep=False)
        schema, held_outline = run.held(*_outlined(run.call("schema", content, final), run))
        outline = run.fetch(held_outline)
    return Surveyed(schema=schema, held_outline=held_outline, outline=outline)
