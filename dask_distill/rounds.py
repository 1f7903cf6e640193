"""Drives a conversation between a coordinator and blocks: over NumPy blocks, or over Dask.

The only builder of graphs. A strategy's functions run as tasks: `observe` and `answer` on each
block, `combine` in a tree of fixed shape, `advance` once. Questions stay in the cluster and
travel from worker to worker; the client sees that a round is over, not what it said. A block
is read, or what is remembered of it used again, where it lies: only answers leave. A lost
worker's states are rebuilt by Dask, which replays the questions on the blocks. Input that is
refused on a worker travels as a `Refusal` and is raised here, not retried and logged there.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Protocol

import dask
from dask._task_spec import Task
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed
from dask.sizeof import sizeof

from dask_distill.conversation import Conversation, Final
from dask_distill.errors import InputError
from dask_distill.failures import plain_failures
from dask_distill.inline import Inline, detached, evaluate
from dask_distill.journal import Journal, Recalled
from dask_distill.progress import Progress, Silent
from dask_distill.threads import local_threads, single_threaded

# answers that one task combines: rows that are not thinned move once a level
FAN_IN = 32


@dataclass(frozen=True)
class Refusal:
    """An `InputError` on its way to the user."""

    reason: str


@dataclass(frozen=True)
class Message:
    """An answer on its way, and the bytes of all answers in it."""

    content: Any
    nbytes: int


@dataclass(frozen=True)
class Turn:
    """What the coordinator says next, and what the round has moved."""

    content: Any
    final: bool
    answer_bytes: int
    content_bytes: int


@dataclass(frozen=True)
class Step:
    """What a block remembers after a question, and its answer."""

    state: Any
    message: Message


@dataclass
class Round:
    """One round's cost: wall seconds, bytes of answers and of the next question."""

    phase: str
    seconds: float
    answer_bytes: int
    question_bytes: int


@dataclass
class Ledger:
    """The rounds so far."""

    rounds: list[Round] = field(default_factory=list)

    def seconds(self) -> dict[str, float]:
        """Wall seconds by phase."""
        total: dict[str, float] = {}
        for entry in self.rounds:
            total[entry.phase] = total.get(entry.phase, 0.0) + entry.seconds
        return {phase: round(seconds, 3) for phase, seconds in total.items()}

    def bytes_moved(self) -> int:
        """Bytes of all questions (once each) and answers."""
        return sum(entry.answer_bytes + entry.question_bytes for entry in self.rounds)


class Runner(Protocol):
    """Where calls run: at once on values, or as tasks of a graph."""

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Any:
        """Call a function on results of earlier calls, at a worker if it is there.

        ``chunk`` is the number of the source's chunk that it takes rows of, and is made beside.
        """

    def places(self, results: Sequence[Any]) -> list[str | None]:
        """The workers where results are; None where that is not known."""

    def settle(self, watched: Sequence[Any], kept: Sequence[Any], total: int) -> list[Any]:
        """Compute ``watched + kept``, where they are; report each of the watched as done."""

    def fetch(self, result: Any) -> Any:
        """Bring a small result here."""


class LocalRunner:
    """Calls functions at once: the reference, and the driver for NumPy blocks."""

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Any:
        """Call it now."""
        if any(isinstance(argument, Inline) for argument in args):
            return _guarded(evaluate, Inline(function, *args))
        return _guarded(function, *args)

    def places(self, results: Sequence[Any]) -> list[str | None]:
        """Everything is here."""
        return [None] * len(results)

    def settle(self, watched: Sequence[Any], kept: Sequence[Any], total: int) -> list[Any]:
        """Everything is there already."""
        return [*watched, *kept]

    def fetch(self, result: Any) -> Any:
        """It is here."""
        return _accepted(result)


class DaskRunner:
    """Builds tasks, and keeps results on the workers that made them."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.progress = progress or Silent()
        # of each block, to name rows by where one fails
        self.rows: list[tuple[int, int]] = []

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        *args: Any,
        at: str | None = None,
        chunk: int | None = None,
    ) -> Any:
        """One task; its key is new in every run, so that no run sees another's results."""
        # the name tells block and phase where the task kills its worker
        key: Any = f"distill-{name}-{uuid.uuid4().hex}"
        if chunk is not None:
            # a task group of its own: of a large one that needs few results Dask takes the tasks
            # for readers, and gives them to any worker, to which the whole chunk then moves
            key = key, chunk
        call = delayed(_guarded, pure=False, traverse=False)
        made = Inline(function, *args)
        if any(isinstance(argument, Inline) for argument in args):
            needed: list[Any] = []
            args = (detached(made, needed), *needed)
            function = evaluate
        if at is None:
            result = call(function, *args, dask_key_name=key)
            return _as_reader(result) if made.anywhere else result
        with dask.annotate(workers=[at], allow_other_workers=True):
            return call(function, *args, dask_key_name=key)

    def places(self, results: Sequence[Any]) -> list[str | None]:
        """One look at the scheduler, for all of them."""
        client = active_client()
        held_by = [_holder(result) for result in results]
        keys = [handle.key if isinstance(handle, Delayed) else None for handle in held_by]
        if client is None or not any(keys):
            return [None] * len(results)
        from distributed import futures_of

        held = client.who_has(futures_of([handle for handle in held_by if handle is not None]))
        return [next(iter(held.get(key, ())), None) for key in keys]

    def settle(self, watched: Sequence[Any], kept: Sequence[Any], total: int) -> list[Any]:
        """Persist: with a distributed client on its workers, otherwise in this process."""
        handles = [*watched, *kept]
        client = active_client()
        # constants (a strategy with the user's model) enter a graph once, and are rebuilt with it
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
            if client is None:
                with _Watch({h.key for h in watched}, self.progress):
                    return list(dask.persist(*handles))
            from distributed import as_completed, futures_of

            persisted = list(dask.persist(*handles))
            for _ in as_completed(futures_of(persisted[: len(watched)])):
                self.progress.advance()
            return persisted

    def parallelism(self) -> int:
        """Tasks that run at a time."""
        client = active_client()
        if client is None:
            return local_threads()
        return max(1, sum(client.nthreads().values()))

    def fetch(self, result: Any) -> Any:
        """Compute one small result."""
        with plain_failures(self.rows):
            return _accepted(_value(result))

    def fetch_all(self, results: Sequence[Any]) -> list[Any]:
        """Bring small results here, in one computation."""
        with plain_failures(self.rows):
            return [_accepted(result) for result in dask.compute(*results)]


def _as_reader(result: Delayed) -> Delayed:
    """The task as one that reads data: Dask gives it to the next worker that is idle.

    Otherwise it would run where something lies that it needs, be that a question.
    """
    reader = result.dask.layers[result.key][result.key]
    assert isinstance(reader, Task)
    reader._data_producer = True
    return result


def _value(result: Any) -> Any:
    """What a handle stands for: gathered where it is there already, computed otherwise."""
    if not isinstance(result, Delayed):
        return result
    client = active_client()
    if client is not None:
        from distributed import futures_of

        futures = futures_of(result)
        if [future.key for future in futures] == [result.key]:
            return client.gather(futures[0])
    return result.compute()


def _guarded(function: Callable[..., Any], *args: Any) -> Any:
    """Call, unless an earlier call was refused; a refusal is a result like any other."""
    for argument in args:
        # of several, that of the first block: the same whoever reports first
        if isinstance(argument, Refusal):
            return argument
    try:
        return function(*args)
    except InputError as error:
        return Refusal(str(error))


def _accepted(result: Any) -> Any:
    if isinstance(result, Refusal):
        raise InputError(result.reason)
    return result


class _Watch(Callback):
    """Reports finished tasks of Dask's local schedulers."""

    def __init__(self, keys: set[str], progress: Progress) -> None:
        super().__init__(posttask=self._done)  # type: ignore[no-untyped-call]
        self._keys = keys
        self._progress = progress

    def _done(self, key: Any, *_: Any) -> None:
        if key in self._keys:
            self._progress.advance()


def active_client() -> Any:
    """The distributed client in use, or None."""
    try:
        from distributed import default_client
    except ImportError:
        return None
    try:
        return default_client()
    except ValueError:
        return None


def converse(
    strategy: Any,
    states: Sequence[Any],
    question: Any,
    runner: Runner,
    *,
    phase: str,
    ledger: Ledger,
    progress: Progress | None = None,
    keep: bool = True,
    journal: Journal | None = None,
) -> tuple[Any, list[Any]]:
    """Ask until there is a final word.

    Parameters
    ----------
    strategy : handle of a `Conversation`
    states : handles of the blocks' states
    question : handle of the first question
    runner : Runner
    phase : str
        Name in the ledger and on the display.
    ledger : Ledger
        Takes the cost of every round.
    keep : bool
        Whether the blocks remember the last question; the survey's need not.
    journal : Journal, optional
        Takes questions and states, and gives those of a run that died.

    Returns
    -------
    final : handle of a `Turn`
    states : handles of the blocks' states
    """
    progress = progress or Silent()
    states = list(states)
    told = [] if journal is None else journal.turns()
    number = max(0, len(told) - 1)
    if journal is not None and told:
        turn, states = _recalled(strategy, states, number, told[-1].final, runner, phase, journal)
        ledger.rounds += [Round(phase, 0.0, t.answer_bytes, t.content_bytes) for t in told[1:]]
        if told[-1].final:
            return turn, states
    else:
        turn = runner.call(f"{phase}-ask", _open, question, journal)
    while True:
        number += 1
        started = time.perf_counter()
        progress.start(phase if number == 1 else f"{phase}, question {number}", len(states))
        # what a block remembers stays where it is, whoever is idle
        places = runner.places(states)
        states = [
            runner.call(
                part(f"{phase}-answer", i, states),
                _step,
                strategy,
                state,
                turn,
                journal,
                part("block", i, states),
                number - 1,
                at=place,
            )
            for i, (state, place) in enumerate(zip(states, places, strict=True))
        ]
        answers = [
            runner.call(part(f"{phase}-send", i, states), _send, state, at=place)
            for i, (state, place) in enumerate(zip(states, places, strict=True))
        ]
        combined = _tree(strategy, answers, runner, phase)
        turn = runner.call(f"{phase}-advance", _advance, strategy, turn, combined, journal, number)
        outcome = runner.call(f"{phase}-outcome", _outcome, turn)
        kept = [outcome, turn, *states] if keep else [outcome, turn]
        outcome, turn, *held = runner.settle(answers, kept, len(answers))[len(answers) :]
        if keep:
            states = held
        final, answer_bytes, content_bytes = runner.fetch(outcome)
        progress.finish()
        ledger.rounds.append(
            Round(phase, time.perf_counter() - started, answer_bytes, content_bytes)
        )
        if final:
            return turn, [_plain(state) for state in states]


def _plain(step: Any) -> Any:
    """A block's state without its last answer."""
    return step.state if isinstance(step, Step) else Inline(remembered, step)


def _holder(result: Any) -> Any:
    """The handle of what a worker holds."""
    if isinstance(result, Inline) and result.function is remembered:
        return result.arguments[0]
    return result


def _recalled(
    strategy: Any,
    states: Sequence[Any],
    last: int,
    final: bool,
    runner: Runner,
    phase: str,
    journal: Journal,
) -> tuple[Any, list[Any]]:
    """The last turn of a run that died, and the blocks' states as they were then."""
    turns = [runner.call(f"{phase}-turn", journal.turn, number) for number in range(last + 1)]
    upto = last - 1 if final else last
    # within the task that goes on from there
    states = [
        Inline(_recall, journal, strategy, part("block", i, states), state, upto, final, *turns)
        for i, state in enumerate(states)
    ]
    return turns[-1], states


def choose(strategy: Any, states: Sequence[Any], final: Any, runner: Runner) -> list[Any]:
    """What each block selects, as handles."""
    return [
        runner.call(part("choose", number, states), _choose, strategy, state, final, at=place)
        for number, (state, place) in enumerate(zip(states, runner.places(states), strict=True))
    ]


def part(name: str, number: int, parts: Sequence[Any]) -> str:
    """The name of a call on one of several parts."""
    return f"{name}-{number}-of-{len(parts)}"


def content(turn: Turn) -> Any:
    """What a turn says; runs as a task."""
    return turn.content


def _tree(strategy: Any, answers: list[Any], runner: Runner, phase: str) -> Any:
    """Combine some at a time, in block order: the shape depends on the number of blocks alone."""
    while len(answers) > 1:
        answers = [
            runner.call(f"{phase}-combine", _combine, strategy, *answers[i : i + FAN_IN])
            for i in range(0, len(answers), FAN_IN)
        ]
    return answers[0]


def _open(question: Any, journal: Journal | None) -> Turn:
    turn = Turn(question, False, 0, sizeof(question))
    if journal is not None:
        journal.keep_turn(0, turn)
    return turn


def _step(
    strategy: Conversation, state: Any, turn: Turn, journal: Journal | None, name: str, number: int
) -> Step:
    """Observe and answer, in one task: between the two a state could move."""
    state = _observed(strategy, remembered(state), turn, journal, name, number)
    with single_threaded():
        answer = strategy.answer(state, turn.content)
    return Step(state, Message(answer, payload_bytes(answer)))


def _observed(
    strategy: Conversation, state: Any, turn: Turn, journal: Journal | None, name: str, number: int
) -> Any:
    if isinstance(state, Recalled):
        if state.number == number:
            return state.state
        state = state.state
    started = time.perf_counter()
    with single_threaded():
        seen = strategy.observe(state, turn.content)
    took = time.perf_counter() - started
    if journal is not None and seen is not state and took >= journal.worth:
        journal.keep_state(name, number, seen)
    return seen


def _recall(
    journal: Journal, strategy: Any, name: str, base: Any, upto: int, final: bool, *turns: Turn
) -> Any:
    recalled = journal.recall(strategy, name, remembered(base), upto, *turns)
    if not final:
        return recalled
    # nothing more will be asked: the last question must have been seen
    return _observed(strategy, recalled, turns[upto], None, name, upto)


def _send(step: Step) -> Message:
    return step.message


def remembered(state: Any) -> Any:
    """A block before the first question, what it remembers after that."""
    return state.state if isinstance(state, Step) else state


def _combine(strategy: Conversation, *messages: Message) -> Message:
    with single_threaded():
        merged = reduce(strategy.combine, [message.content for message in messages])
    return Message(merged, sum(message.nbytes for message in messages))


def _advance(
    strategy: Conversation, turn: Turn, message: Message, journal: Journal | None, number: int
) -> Turn:
    with single_threaded():
        following = strategy.advance(turn.content, message.content)
    final = isinstance(following, Final)
    told = Turn(following, final, message.nbytes, payload_bytes(following))
    if journal is not None:
        journal.keep_turn(number, told)
    return told


def _outcome(turn: Turn) -> tuple[bool, int, int]:
    return turn.final, turn.answer_bytes, turn.content_bytes


def _choose(strategy: Conversation, state: Any, turn: Turn) -> Any:
    with single_threaded():
        return strategy.choose(remembered(state), turn.content)


def payload_bytes(value: Any) -> int:
    """Bytes of the arrays in a question or answer, through dataclasses and containers."""
    if hasattr(value, "nbytes"):
        return int(value.nbytes)
    if hasattr(value, "__dataclass_fields__"):
        return sum(payload_bytes(getattr(value, name)) for name in value.__dataclass_fields__)
    if isinstance(value, dict):
        return sum(payload_bytes(item) for item in (*value.keys(), *value.values()))
    if isinstance(value, tuple | list):
        return sum(payload_bytes(item) for item in value)
    return 8
