"""The seam: what `Runner` says is enough for another engine, on which the rows are the same.

The engine of these tests throws results away and makes them again: what a call does may be done
twice, whichever call it is.
"""

import math
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import patch

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.conversation.converse import FAN_IN, choose, converse
from dask_distill.conversation.journal import Journal
from dask_distill.conversation.protocol import Final
from dask_distill.conversation.run import Run
from dask_distill.data.dataset import as_dataset
from dask_distill.errors import InputError
from dask_distill.runtime.chunks import array_of, chunks_of
from dask_distill.runtime.dask_runner import DaskRunner
from dask_distill.runtime.inline import Inline
from dask_distill.runtime.runner import LocalRunner, part
from dask_distill.selection.request import Request
from dask_distill.selection.select import select
from dask_distill.selection.task import with_task
from dask_distill.spaces.words import make_reduction
from dask_distill.storage.location import Location
from dask_distill.strategies import STRATEGIES, make_strategy

sys.path.insert(0, str(Path(__file__).parent))
from engine import Engine, WorkerDied, by_stage, same

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")

N, SIZE = 1_100, 90
BLOCKS = (400, 400, 300)

RNG = np.random.default_rng(0)
Y = RNG.choice(3, N, p=[0.6, 0.3, 0.1])
X = (RNG.normal(size=(N, 4)) + Y[:, None] * [1.5, 0, -1, 0]).astype(np.float32)
TIME = np.sort(RNG.uniform(0, 5_000, N))

# every strategy, and every stage beside: options of the strategy, and of the request
WAYS = {
    name: (name, {}, {})
    for name, kind in STRATEGIES.items()
    if not (kind.needs_novelty or kind.needs_time or name == "search")
} | {
    "novelty": ("novelty", {}, {"reduce": make_reduction("pca:2")}),
    "periods": ("periods", {"period": 8}, {}),
    "spaced": ("spaced", {"min_gap": 3.0}, {}),
    "exact": ("kcenter", {"exact": True}, {}),
    "sampled": ("gradient", {"sample": True}, {}),
    "apart": ("stratified", {}, {"protect": np.arange(7), "initial": np.arange(500, 520)}),
    "certified": ("kcenter", {}, {"certify": True}),
    "scaled": ("auto", {}, {"scale": "robust"}),
    "in time": ("kcenter", {}, {"time_scale": "auto"}),
    "all rows": ("kcenter", {}, {"reduce": make_reduction("pca:2:all")}),
    "a number": ("gradient", {}, {"task": "regression"}),
}


@pytest.fixture(autouse=True)
def few_rows_a_block():
    with (
        patch("dask_distill.survey.reading.block_bounds", lambda n, d: BLOCKS),
        patch("dask_distill.selection.request.block_bounds", lambda n, d: BLOCKS),
    ):
        yield


def asked(way):
    name, options, how = WAYS[way]
    lazily = da.from_array(X, chunks=(250, -1))
    labels = da.from_array(Y, chunks=250)
    request = Request(strategy=make_strategy(name, options), size=SIZE, **how)
    if request.task == "classification":
        return request.of(as_dataset(lazily, labels, time=TIME))
    dataset, request = with_task(as_dataset(lazily), labels * 2.5 + lazily[:, 1], request)
    return request.of(dataset)


def bits(subset):
    scores = [(name, subset.scores[name].tobytes()) for name in sorted(subset.scores)]
    return subset.indices.tobytes(), subset.weights.tobytes(), scores


def selected(way, engine):
    run = Run(engine)
    return bits(select(asked(way), run)), run.ledger.rounds


@pytest.fixture(scope="module")
def reference():
    """The same selections by tasks of Dask."""
    known = {}

    def find(way):
        if way not in known:
            with dask.config.set(scheduler="sync"):
                known[way] = bits(select(asked(way), Run.here()))
        return known[way]

    return find


# ---------------------------------------------------------------- the same rows


@pytest.mark.parametrize("way", WAYS)
def test_engine__gives_the_rows_of_dask_when_every_call_is_made_twice(way, reference):
    with Engine(faults=lambda call: 1) as engine:
        found, _ = selected(way, engine)
    assert found == reference(way)
    assert not engine.wrong
    assert engine.invoked == {name: 2 * count for name, count in engine.called.items()}


@pytest.fixture(scope="module")
def calls():
    """Calls of an exact traversal, of some twenty questions, in which none fails."""
    with (
        patch("dask_distill.survey.reading.block_bounds", lambda n, d: BLOCKS),
        patch("dask_distill.selection.request.block_bounds", lambda n, d: BLOCKS),
        Engine() as engine,
    ):
        selected("exact", engine)
    return engine.called


@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_engine__gives_the_same_rows_whichever_calls_fail(data, calls, reference):
    """Each as often as it is scripted to, and no other is made again."""
    every = [(name, number) for name, count in calls.items() for number in range(count)]
    faults = data.draw(st.dictionaries(st.sampled_from(every), st.integers(1, 3), max_size=20))
    with Engine(faults) as engine:
        found, _ = selected("exact", engine)
    assert found == reference("exact")
    assert not engine.wrong
    assert engine.called == calls
    again = Counter()
    for (name, _), times in faults.items():
        again[name] += times
    assert engine.invoked == calls + again


# ---------------------------------------------------------------- no call too many


def tree(parts):
    """Calls that unite so many answers."""
    count = 0
    while parts > 1:
        parts = math.ceil(parts / FAN_IN)
        count += parts
    return count


@pytest.mark.parametrize("way", ["auto", "kcenter", "exact", "stratified", "kmeans"])
def test_engine__asks_each_block_once_a_question(way):
    with Engine() as engine:
        _, rounds = selected(way, engine)
    stages, blocks = by_stage(engine.invoked), len(BLOCKS)
    strategy = asked(way).request.strategy
    # those whose rows do not hang on blocks are asked in as many as can answer at a time
    states = {"survey": blocks, "select": engine.parallelism() if strategy.joins else blocks}
    for phase in states:
        questions = sum(entry.phase == phase for entry in rounds)
        first = strategy.first_round if phase == "select" else None
        answers, sent = {f"{phase}-answer", first or f"{phase}-answer"}, {f"{phase}-send"}
        sent |= {f"{first}-send"} if first else set()
        assert sum(stages[name] for name in answers) == states[phase] * questions > 0
        assert sum(stages[name] for name in sent) == states[phase] * questions
        assert stages[f"{phase}-combine"] == tree(states[phase]) * questions
        assert stages[f"{phase}-advance"] == stages[f"{phase}-outcome"] == questions
        assert stages[f"{phase}-ask"] == 1
    # the survey is one pass, and each block chooses once
    assert stages["survey-answer"] == blocks
    assert stages["choose"] == states["select"]


class Sum:
    """A conversation about numbers: so many questions, of which each adds one to every state."""

    def __init__(self, questions):
        self.questions = questions

    def observe(self, state, question):
        return state + 1

    def answer(self, state, question):
        return state

    def combine(self, left, right):
        return left + right

    def advance(self, question, answer):
        return Total(answer) if question + 1 == self.questions else question + 1

    def choose(self, state, choice):
        return state, choice.value


class Total(Final):
    def __init__(self, value):
        self.value = value


@pytest.mark.parametrize(("blocks", "questions"), [(1, 1), (3, 2), (32, 1), (33, 1), (70, 3)])
def test_conversation__is_as_many_calls_as_blocks_and_questions_say(blocks, questions):
    with Engine() as engine:
        run = Run(engine)
        states = [run.constant(number) for number in range(blocks)]
        final, states = converse(Sum(questions), states, 0, run, phase="sum")
        chosen = run.fetch_all(choose(Sum(questions), states, final, run))
    total = sum(range(blocks)) + blocks * questions
    assert chosen == [(number + questions, total) for number in range(blocks)]
    del engine.called["constant"]
    assert by_stage(engine.called) == {
        "sum-ask": 1,
        "sum-answer": blocks * questions,
        "sum-send": blocks * questions,
        **({"sum-combine": tree(blocks) * questions} if blocks > 1 else {}),
        "sum-advance": questions,
        "sum-outcome": questions,
        "choose": blocks,
    }


# ---------------------------------------------------------------- calls that fail for good


@pytest.mark.parametrize(
    ("name", "number", "left"),
    # what the third advance has said is written before its result is lost
    [("select-advance", 2, 17), ("select-answer-1-of-2", 4, 16), ("choose-0-of-2", 0, 0)],
)
def test_engine__a_run_that_died_is_gone_on_with_where_it_was(
    name, number, left, calls, reference, tmp_path
):
    (tmp_path / "request.json").write_text("{}")
    journal = Journal.at(Location(str(tmp_path)))
    with Engine({(name, number): 4}) as dying, pytest.raises(WorkerDied):
        select(asked("exact"), Run(dying, journal=journal))
    with Engine() as engine:
        found = select(asked("exact"), Run(engine, journal=journal))
    assert bits(found) == reference("exact")
    # nothing that was answered is asked again
    assert calls["select-advance"] == 20
    assert engine.called["select-advance"] == left
    assert not by_stage(engine.called)["survey-answer"]


# ---------------------------------------------------------------- what a runner must do

ENGINES = {"local": LocalRunner, "dask": DaskRunner, "own": Engine}


@pytest.fixture(params=ENGINES)
def runner(request):
    return ENGINES[request.param]()


def refuse(reason):
    raise InputError(reason)


def listed(*values):
    return list(values)


def test_runner__arguments_are_handles_inline_calls_and_values(runner):
    one = runner.call("one", listed, 1)
    shared = runner.constant([2])
    assert runner.fetch(runner.constant(shared)) == [2]
    nested = Inline(listed, one, Inline(listed, shared, 3))
    both = runner.call(part("both", 0, [one]), listed, nested, one, "four", None)
    assert runner.fetch(both) == [[[1], [[2], 3]], [1], "four", None]
    assert nested.waits is not isinstance(runner, LocalRunner)


def test_runner__settled_results_are_fetched_in_order(runner):
    results = [runner.call("one", listed, number) for number in range(5)]
    settled = runner.settle(results[:2], results[2:])
    assert runner.fetch_all(settled) == [[number] for number in range(5)]
    assert runner.fetch(runner.call("two", listed, settled[3])) == [[3]]
    assert len(runner.places(settled)) == 5
    assert runner.places([Inline(listed)]) == [None]
    assert runner.parallelism() >= 1


def test_runner__the_first_refusal_comes_home_and_calls_that_need_it_are_not_made(runner):
    made = []
    first, second = (runner.call("no", refuse, word) for word in ("first", "second"))
    well = runner.constant(1)
    for arguments in (
        (well, first, second),
        (Inline(listed, well, first), second),
        (Inline(listed, Inline(listed, first)), Inline(listed, second)),
    ):
        both = runner.call("both", made.append, *arguments)
        with pytest.raises(InputError, match=r"^first$"):
            runner.fetch(runner.call("after", listed, both))
        (settled,) = runner.settle([], [both])
        with pytest.raises(InputError, match=r"^first$"):
            runner.fetch_all([well, settled, second])
    with pytest.raises(InputError, match=r"^inside$"):
        runner.fetch(runner.call("both", listed, Inline(refuse, "inside")))
    assert not made


def test_runner__dask_arrays_come_in_and_go_out(runner):
    array = da.arange(20, chunks=8).reshape(10, 2) * 2
    chunks = chunks_of(array, runner)
    doubled = [runner.call("twice", np.multiply, chunk, 2) for chunk in chunks]
    back = array_of(doubled, array.chunks[0], 2, array.dtype, runner)
    assert back.chunks == array.chunks
    assert same(back.compute(scheduler="sync"), 2 * array.compute(scheduler="sync"))
    refused = array_of([runner.call("no", refuse, "no")], [3], 2, float, runner)
    with pytest.raises(InputError, match=r"^no$"):
        refused.compute(scheduler="sync")
