"""What rounds cost."""

from dataclasses import dataclass, field


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
