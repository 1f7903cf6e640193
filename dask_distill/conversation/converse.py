"""Drives a conversation between a coordinator and blocks: over NumPy blocks, or over Dask.

The only builder of graphs. A strategy's functions run as tasks: `observe` and `answer` on each
block, `combine` in a tree of fixed shape, `advance` once. Questions stay in the cluster and
travel from worker to worker; the client sees that a round is over, not what it said. A block
is read, or what is remembered of it used again, where it lies: only answers leave. A lost
worker's states are rebuilt by Dask, which replays the questions on the blocks. Input that is
refused on a worker travels as a `Refusal` and is raised here, not retried and logged there.
"""

import time
from collections.abc import Sequence
from functools import reduce
from typing import Any

from dask.sizeof import sizeof

from dask_distill.conversation.journal import Journal, Recalled
from dask_distill.conversation.ledger import Ledger, Round
from dask_distill.conversation.protocol import Conversation, Final
from dask_distill.conversation.turns import Message, Step, Turn, payload_bytes, remembered
from dask_distill.runtime.inline import Inline
from dask_distill.runtime.progress import Progress, Silent
from dask_distill.runtime.runner import Runner, part
from dask_distill.runtime.threads import single_threaded

# answers that one task combines: rows that are not thinned move once a level
FAN_IN = 32


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
        places = runner.places([_holder(state) for state in states])
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
        for number, (state, place) in enumerate(
            zip(states, runner.places([_holder(s) for s in states]), strict=True)
        )
    ]


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
