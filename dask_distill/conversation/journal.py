"""What a selection has said and worked out so far, written beside the target.

The questions of a conversation, in order, are what a run that resumes goes on from: what a block
knows is what replaying them on it gives. Where that would take long, the block's state is
written too. Everything is a help and nothing a need: what cannot be written or read is worked
out again. Written and read by tasks; nothing is unpickled (see `codec`).
"""

import math
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from dask.utils import parse_timedelta

from dask_distill.config import setting
from dask_distill.conversation.codec import (
    Array,
    NotDecodable,
    NotEncodable,
    decode,
    encode,
    is_sound,
)
from dask_distill.conversation.protocol import Remembering
from dask_distill.runtime.threads import single_threaded
from dask_distill.storage.location import Location


@dataclass(frozen=True)
class Recalled:
    """A block's state as it was after a question of this number."""

    state: Any
    number: int


@dataclass(frozen=True)
class Journal:
    """Where a conversation is written; one without a folder has nothing and takes nothing.

    Attributes
    ----------
    folder : Location or None
        Of the run's receipts; written to while it has the file ``request.json``.
    worth : float
        Seconds from which on a block's work is written rather than done again.
    phase : str
        Whose questions and states these are; each has its own.
    resumed : bool
        Whether a run that died may have left something: otherwise nobody need look.
    branch : str
        Of a run whose strategy was searched for: what another strategy has said is not its own.
    """

    folder: Location | None = None
    worth: float = math.inf
    phase: str = "select"
    resumed: bool = True
    branch: str = ""

    @classmethod
    def at(cls, folder: Location, *, resumed: bool = True) -> "Journal":
        """With the settings of this process."""
        return cls(folder, parse_timedelta(setting("checkpoint.worth")), resumed=resumed)

    @property
    def kept(self) -> bool:
        """Whether anything is written."""
        return self.folder is not None

    def of(self, phase: str) -> "Journal":
        """That of another conversation of the run."""
        return replace(self, phase=phase)

    def branched(self, branch: str) -> "Journal":
        """That of the run with a strategy of its own."""
        return replace(self, branch=branch)

    @property
    def shared(self) -> "Journal":
        """That of what any strategy starts from."""
        return replace(self, branch="")

    def turns(self) -> list[Any]:
        """The turns that were written, without gap from the first; on the client."""
        found: list[Any] = []
        while (turn := self.get(f"turn-{len(found)}")) is not None:
            found.append(turn)
        return found

    def turn(self, number: int) -> Any:
        """One of them; on a worker."""
        turn = self.get(f"turn-{number}")
        if turn is None:
            raise FileNotFoundError(f"question {number} of the checkpoint is gone")
        return turn

    def keep_turn(self, number: int, turn: Any) -> None:
        """Write what the coordinator has said."""
        self.put(f"turn-{number}", turn)

    def keep_state(self, name: str, number: int, state: Any) -> None:
        """Write what a block knows after a question; only the latest stays."""
        if self.put(f"state-{name}/{number}", state, _given(state)):
            for earlier in self._numbers(name):
                if earlier < number:
                    self._remove(f"state-{name}/{earlier}")

    def recall(self, strategy: Any, name: str, base: Any, last: int, *turns: Any) -> Recalled:
        """What a block knew after the question ``last``, or the latest before that is known.

        Parameters
        ----------
        strategy : Conversation
        name : str
            Of the block's states.
        base : object
            What the block was before the first question.
        last : int
        turns : Turn
            From the first on; those up to ``last - 1`` are replayed where they must be.
        """
        known = _given(base, getattr(turns[0].content, "space", None))
        state, done = base, -1
        for number in sorted((n for n in self._numbers(name) if n <= last), reverse=True):
            found = self.get(f"state-{name}/{number}", known)
            if found is not None:
                state, done = found, number
                break
        with single_threaded():
            for number in range(done + 1, last):
                state, done = strategy.observe(state, turns[number].content), number
        return Recalled(state, done)

    def put(self, name: str, value: Any, known: dict[str, Array] | None = None) -> bool:
        """Write a value, whole or not at all; False where that cannot be."""
        if self.folder is None:
            return False
        try:
            data = encode(value, known)
        except NotEncodable:
            return False
        with suppress(Exception):
            system, place = self.folder.filesystem()
            # a task that nobody awaits any more must not bring a folder back
            if not system.exists(f"{place}/request.json"):
                return False
            if self.folder.path is None:
                system.pipe_file(f"{place}/{self._within(name)}", data)
                return True
            path = self.folder.path / self._within(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            partial.write_bytes(data)
            os.replace(partial, path)
            return True
        return False

    def has(self, name: str) -> bool:
        """Whether a value was written, and is sound."""
        data = self._read(name)
        return data is not None and is_sound(data)

    def get(self, name: str, known: dict[str, Array] | None = None) -> Any:
        """A value that was written; None where there is none that is sound."""
        data = self._read(name)
        with suppress(NotDecodable):
            return None if data is None else decode(data, known)
        return None

    def _within(self, name: str) -> str:
        return f"{self.branch}{self.phase}/{name}"

    def _read(self, name: str) -> bytes | None:
        if self.folder is None or not self.resumed:
            return None
        with suppress(Exception):
            system, place = self.folder.filesystem()
            data: bytes = system.cat_file(f"{place}/{self._within(name)}")
            return data
        return None

    def _numbers(self, name: str) -> list[int]:
        if self.folder is None:
            return []
        with suppress(Exception):
            system, place = self.folder.filesystem()
            entries = system.ls(f"{place}/{self._within(f'state-{name}')}", detail=False)
            ends = [entry.rpartition("/")[2] for entry in entries]
            return [int(end) for end in ends if end.isdecimal()]
        return []

    def _remove(self, name: str) -> None:
        if self.folder is None:
            return
        with suppress(Exception):
            system, place = self.folder.filesystem()
            system.rm_file(f"{place}/{self._within(name)}")


def _given(state: Any, space: Any = None) -> dict[str, Array]:
    """Arrays that a state's rows give again, where it says so: see `Remembering`."""
    if not isinstance(state, Remembering):
        return {}
    return {name: array for name, array in state.given(space).items() if array is not None}
