"""What is selected from: surveyed, and brought into the space where rows are compared."""

from dataclasses import dataclass, replace
from typing import Any

from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.runtime.inline import Inline
from dask_distill.selection.checkpoint import Receipts
from dask_distill.selection.request import Asked
from dask_distill.selection.watched import Groups
from dask_distill.spaces.reduce import reduce_blocks
from dask_distill.survey.reading import content_fingerprint
from dask_distill.survey.schema import Schema
from dask_distill.survey.survey import Survey, valid_block


@dataclass(frozen=True, kw_only=True, eq=False)
class Ground:
    """What is selected from, and what is known of it.

    Attributes
    ----------
    schema : handle of `Schema`
        What the survey found, its sample too.
    outline : handle of `Schema`
        The same without the sample.
    facts : Schema
        The outline, here.
    blocks : list of handles of `Block`
        In the space where rows are compared.
    space : str or None
        That space's name; None for the features as they are.
    unreduced : list of handles of `Block`, or None
        As they are in the source, where that is something else.
    judge : handle of the user's model, or None
    groups : handle of `Groups`
        Of the rows of the sample; see `watched`.
    """

    schema: Any
    outline: Any
    facts: Schema
    blocks: list[Any]
    space: str | None = None
    unreduced: list[Any] | None = None
    judge: Any = None
    groups: Any = None


def surveyed(raw: list[Any], asked: Asked, run: Run, receipts: Receipts) -> Ground:
    """The first pass; or what it found before the run died, where the values are still the same."""
    journal = run.journal.shared
    known: Schema | None = journal.get("outline") if journal.has("schema") else None
    if known is None:
        schema, outline = _survey(raw, asked, run)
        known = run.fetch(outline)
        receipts.begin(known.fingerprint)
        # the outline last: a run that resumes looks for it
        run.write(journal, schema=schema, outline=outline)
    else:
        receipts.begin(content_fingerprint(asked.dataset, raw, run.runner))
        schema = run.call("schema", journal.get, "schema")
        outline = run.call("outline", journal.get, "outline")
    blocks = [Inline(valid_block, block, outline) for block in raw]
    return Ground(schema=schema, outline=outline, facts=known, blocks=blocks)


def reduced(ground: Ground, asked: Asked, run: Run) -> Ground:
    """In the space that is asked for, with the groups of which losses are told."""
    proxy = asked.request.proxy
    space = asked.request.space(asked.dataset.features.shape[1:])
    if space is None:
        ground = replace(ground, judge=None if proxy is None else run.constant(proxy))
    else:
        blocks, schema, judge = reduce_blocks(space, ground.blocks, ground.schema, proxy, run)
        schema, outline = run.held(schema, run.call("outline", Schema.outline, schema))
        ground = Ground(
            schema=schema,
            outline=outline,
            facts=run.fetch(outline),
            blocks=blocks,
            space=space.label,
            unreduced=ground.blocks,
            judge=judge,
        )
    run.wire.mark("survey")
    size = asked.rows(ground.facts.n)
    # made while the strategy makes its first question
    (groups,) = run.held(run.call("groups", Groups.of, ground.schema, size))
    return replace(ground, groups=groups)


def _survey(raw: list[Any], asked: Asked, run: Run) -> list[Any]:
    """Handles of the schema, and of its outline without the sample."""
    survey, dataset = Survey(), asked.dataset
    question = survey.ask(
        dataset.n,
        dataset.d,
        labelled=dataset.labels is not None,
        seed=int(asked.request.seed),
        on_invalid=asked.request.on_invalid,
    )
    final, _ = converse(survey, raw, question, run, phase="survey", keep=False)
    schema = run.call("schema", content, final)
    return run.held(schema, run.call("outline", Schema.outline, schema))
