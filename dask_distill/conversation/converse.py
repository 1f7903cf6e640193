"""Drives a conversation between a coordinator and blocks: over NumPy blocks, or over Dask.

A strategy's functions run as tasks: `observe` and `answer` on each block, `combine` in a tree of
fixed shape, `advance` once. Questions stay in the cluster and travel from worker to worker; the
client sees that a round is over, not what it said. A block is read, or what is remembered of it
used again, where it lies: only answers leave. A lost worker's states are rebuilt by Dask, which
replays the questions on the blocks. Input that is refused on a worker travels as a `Refusal` and is
raised here, not retried and logged there.
"""

import logging
import time
from collections.abc import Sequence
from functools import reduce
from typing import Any, TypeVar

from dask.sizeof import sizeof

from dask_distill.conversation.journal import Journal, Recalled
from dask_distill.conversation.ledger import Round
from dask_distill.conversation.protocol import Choosing, Conversation, Final
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import Message, Reply, Turn, payload_bytes, remembered
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline
from dask_distill.runtime.runner import part
from dask_distill.runtime.threads import single_threaded

# answers that one task combines: rows that are not thinned move once a level
FAN_IN = 32

Chosen = TypeVar("Chosen")

logger = logging.getLogger(__name__)
_ROUND = "%s, question %d: %d answers of %d bytes, %d bytes to say next, %.3f s"


def converse(
    strategy: Conversation | Handle[Conversation],
    states: Sequence[Handle[Any]],
    question: Any,
    run: Run,
    *,
    phase: str,
    keep: bool = True,
    written: bool = False,
    opening: str | None = None,
) -> tuple[Handle[Turn], list[Handle[Any]]]:
    """Ask until there is a final word.

    Parameters
    ----------
    strategy : Conversation, or a handle of one
    states : handles of the blocks' states
    question : the first question, or a handle of it
    run : Run
        Takes the cost of every round.
    phase : str
        Name in the ledger, in the journal and on the display.
    keep : bool
        Whether the blocks remember the last question; the survey's need not.
    written : bool
        Whether the run's journal takes questions and states, and gives those of a run that died.
    opening : str, optional
        What tasks are called that answer the first question.

    Returns
    -------
    final : handle of a `Turn`
    states : handles of the blocks' states
    """
    journal = run.journal.of(phase) if written else Journal()
    strategy, states = run.constant(strategy), list(states)
    told = journal.turns()
    number = max(0, len(told) - 1)
    if told:
        turn, states = _recalled(strategy, states, number, told[-1].final, run, phase, journal)
        run.ledger.rounds += [Round(phase, 0.0, t.answer_bytes, t.content_bytes) for t in told[1:]]
        if told[-1].final:
            return turn, states
    else:
        turn = run.call(f"{phase}-ask", _open, question, journal)
    while True:
        number += 1
        started = time.perf_counter()
        run.progress.start(phase if number == 1 else f"{phase}, question {number}", len(states))
        names = (f"{phase}-answer", f"{phase}-send")
        if opening and number == 1:
            names = (opening, f"{opening}-send")
        states, answers = _asked(strategy, states, turn, run, names, journal, number - 1)
        combined = _tree(strategy, answers, run, phase)
        turn = run.call(f"{phase}-advance", _advance, strategy, turn, combined, journal, number)
        outcome = run.call(f"{phase}-outcome", _outcome, turn)
        kept = [outcome, turn, *states] if keep else [outcome, turn]
        outcome, turn, *held = run.runner.settle(answers, kept)[len(answers) :]
        if keep:
            states = held
        final, answer_bytes, content_bytes = run.fetch(outcome)
        run.progress.finish()
        took = time.perf_counter() - started
        run.ledger.rounds.append(Round(phase, took, answer_bytes, content_bytes))
        sizes = (len(answers), answer_bytes, content_bytes)
        logger.debug(_ROUND, phase, number, *sizes, took)
        if final:
            return turn, [_plain(state) for state in states]


def _asked(
    strategy: Handle[Conversation],
    states: Sequence[Handle[Any]],
    turn: Handle[Turn],
    run: Run,
    names: tuple[str, str],
    journal: Journal,
    number: int,
) -> tuple[list[Handle[Reply]], list[Handle[Message]]]:
    """Handles of the blocks' states after a question, and of their answers to it.

    ``names`` are those of the tasks that answer, and that send the answers.
    """
    # what a block remembers stays where it is, whoever is idle
    asked, sent = names
    places = run.runner.places([_holder(state) for state in states])
    steps = [
        run.runner.call(
            part(asked, i, states),
            _step,
            strategy,
            state,
            turn,
            journal,
            part("block", i, states),
            number,
            at=place,
        )
        for i, (state, place) in enumerate(zip(states, places, strict=True))
    ]
    answers = [
        run.runner.call(part(sent, i, steps), _send, step, at=place)
        for i, (step, place) in enumerate(zip(steps, places, strict=True))
    ]
    return steps, answers


def _plain(step: Handle[Any]) -> Handle[Any]:
    """A block's state without its last answer."""
    return step.state if isinstance(step, Reply) else Inline(remembered, step)


def _holder(result: Handle[Any]) -> Handle[Any]:
    """The handle of what a worker holds."""
    if isinstance(result, Inline) and result.function is remembered:
        held: Handle[Any] = result.arguments[0]
        return held
    return result


def _recalled(
    strategy: Handle[Conversation],
    states: Sequence[Handle[Any]],
    last: int,
    final: bool,
    run: Run,
    phase: str,
    journal: Journal,
) -> tuple[Handle[Turn], list[Handle[Any]]]:
    """The last turn of a run that died, and the blocks' states as they were then."""
    turns = [run.call(f"{phase}-turn", journal.turn, number) for number in range(last + 1)]
    upto = last - 1 if final else last
    # within the task that goes on from there
    states = [
        Inline(_recall, journal, strategy, part("block", i, states), state, upto, final, *turns)
        for i, state in enumerate(states)
    ]
    return turns[-1], states


def choose(
    strategy: Choosing[Chosen] | Handle[Choosing[Chosen]],
    states: Sequence[Handle[Any]],
    final: Handle[Turn],
    run: Run,
) -> list[Handle[Chosen]]:
    """What each block selects, as handles."""
    strategy, places = run.constant(strategy), run.runner.places([_holder(s) for s in states])
    return [
        run.runner.call(part("choose", number, states), _choose, strategy, state, final, at=place)
        for number, (state, place) in enumerate(zip(states, places, strict=True))
    ]


def _tree(
    strategy: Handle[Conversation], answers: list[Handle[Message]], run: Run, phase: str
) -> Handle[Message]:
    """Combine some at a time, in block order: the shape depends on the number of blocks alone."""
    while len(answers) > 1:
        answers = [
            run.call(f"{phase}-combine", _combine, strategy, *answers[i : i + FAN_IN])
            for i in range(0, len(answers), FAN_IN)
        ]
    return answers[0]


def _open(question: Any, journal: Journal) -> Turn:
    turn = Turn(question, False, 0, sizeof(question))
    journal.keep_turn(0, turn)
    return turn


def _step(
    strategy: Conversation, state: Any, turn: Turn, journal: Journal, name: str, number: int
) -> Reply:
    """Observe and answer, in one task: between the two a state could move."""
    state = _observed(strategy, remembered(state), turn, journal, name, number)
    with single_threaded():
        answer = strategy.answer(state, turn.content)
    return Reply(state, Message(answer, payload_bytes(answer)))


def _observed(
    strategy: Conversation, state: Any, turn: Turn, journal: Journal, name: str, number: int
) -> Any:
    if isinstance(state, Recalled):
        if state.number == number:
            return state.state
        state = state.state
    started = time.perf_counter()
    with single_threaded():
        seen = strategy.observe(state, turn.content)
    took = time.perf_counter() - started
    if seen is not state and took >= journal.worth:
        journal.keep_state(name, number, seen)
    return seen


def _recall(
    journal: Journal, strategy: Any, name: str, base: Any, upto: int, final: bool, *turns: Turn
) -> Any:
    recalled = journal.recall(strategy, name, remembered(base), upto, *turns)
    if not final:
        return recalled
    # nothing more will be asked: the last question must have been seen
    return _observed(strategy, recalled, turns[upto], Journal(), name, upto)


def _send(step: Reply) -> Message:
    return step.message


def _combine(strategy: Conversation, *messages: Message) -> Message:
    with single_threaded():
        merged = reduce(strategy.combine, [message.content for message in messages])
    return Message(merged, sum(message.nbytes for message in messages))


def _advance(
    strategy: Conversation, turn: Turn, message: Message, journal: Journal, number: int
) -> Turn:
    with single_threaded():
        following = strategy.advance(turn.content, message.content)
    final = isinstance(following, Final)
    told = Turn(following, final, message.nbytes, payload_bytes(following))
    journal.keep_turn(number, told)
    return told


def _outcome(turn: Turn) -> tuple[bool, int, int]:
    return turn.final, turn.answer_bytes, turn.content_bytes


def _choose(strategy: Choosing[Chosen], state: Any, turn: Turn) -> Chosen:
    with single_threaded():
        return strategy.choose(remembered(state), turn.content)
