"""What has been tried, kept in a file, and what optuna would try next: a function of the records.

Proposals are made for a whole batch from the finished records and a seed alone. So a search that
is resumed goes on as if it had never stopped, and the number of workers changes nothing.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dask_distill.errors import InputError
from dask_distill.search.ranges import Parameters, beginnings, suggest
from dask_distill.support.files import checked_file, write_whole

FORMAT = 1


@dataclass(frozen=True)
class Proposal:
    """What optuna would have tried, and what it needs to know of it later."""

    parameters: Parameters
    distributions: dict[str, str]
    notes: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """One trial.

    Attributes
    ----------
    number : int
    parameters : dict
        "strategy", "part" where fewer rows may be tried, and options as "strategy.option".
    rows : int
        Selected.
    scores : tuple of tuple of float
        By held-out part and model; one part only where the trial was stopped early.
    bytes_moved : int
        Of the questions and answers of one selection, about.
    seconds : float
        Of one selection; CPU time.
    stopped : bool
        Whether it was given up after the first part.
    failure : str
        Why nothing could be selected; '' where it could.
    """

    number: int
    parameters: Parameters
    rows: int
    scores: tuple[tuple[float, ...], ...]
    bytes_moved: int
    seconds: float
    stopped: bool = False
    failure: str = ""
    distributions: dict[str, str] = field(default_factory=dict, repr=False)
    notes: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def score(self) -> float:
        """Mean over models and held-out parts; NaN where it failed."""
        flat = [value for part in self.scores for value in part]
        return sum(flat) / len(flat) if flat else float("nan")

    @property
    def complete(self) -> bool:
        """Whether it was judged on all held-out parts."""
        return not self.stopped and not self.failure


def propose(records: Sequence[Record], number: int, method: str, seed: int) -> list[Proposal]:
    """What to try next.

    Parameters
    ----------
    records : sequence of Record
        All that is finished.
    number : int
        How many proposals to make at once.
    method : "tpe" or "nsga2"
    seed : int

    Returns
    -------
    list of Proposal
        The strategies' defaults come before anything else.
    """
    with _quiet() as optuna:
        directions = ["maximize"] if method == "tpe" else ["maximize", "minimize", "minimize"]
        # new for every batch: a sampler's state would not survive a resume
        sampler = _sampler(optuna, method, (seed + len(records)) % 2**32)
        study = optuna.create_study(directions=directions, sampler=sampler)
        for record in records:
            study.add_trial(_frozen(optuna, record, method))
        for start in beginnings()[len(records) : len(records) + number]:
            study.enqueue_trial(start if method == "tpe" else {**start, "part": 1.0})
        for _ in range(number):
            suggest(study.ask(), method == "nsga2")
        to_json = optuna.distributions.distribution_to_json
        return [
            Proposal(
                dict(trial.params),
                {name: to_json(value) for name, value in trial.distributions.items()},
                # the generation that a trial belongs to, where it has one
                {k: v for k, v in trial.system_attrs.items() if k != "fixed_params"},
            )
            for trial in study.get_trials()[len(records) :]
        ]


def _sampler(optuna: Any, method: str, seed: int) -> Any:
    if method == "tpe":
        return optuna.samplers.TPESampler(
            seed=seed, constant_liar=True, n_startup_trials=len(beginnings())
        )
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=len(beginnings()))


def _frozen(optuna: Any, record: Record, method: str) -> Any:
    """A record as optuna's own."""
    read = optuna.distributions.json_to_distribution
    values = [record.score] if method == "tpe" else [record.score, record.rows, record.bytes_moved]
    state = optuna.trial.TrialState.FAIL if record.failure else optuna.trial.TrialState.COMPLETE
    return optuna.trial.create_trial(
        state=state,
        params=record.parameters,
        distributions={name: read(value) for name, value in record.distributions.items()},
        values=None if record.failure else values,
        system_attrs=record.notes,
    )


@contextmanager
def _quiet() -> Iterator[Any]:
    """Optuna, without its log lines and its warnings that an option may change."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(level)


@dataclass(frozen=True)
class StudyFile:
    """A file of finished records, a JSON line each; the first line says of which search.

    Attributes
    ----------
    path : Path or None
        None keeps nothing.
    asked : dict
        All that decides what is tried and how it is judged.
    """

    path: Path | None
    asked: Mapping[str, Any]

    def read(self) -> list[Record]:
        """What was finished before.

        Raises
        ------
        InputError
            Where the file is of another search, or no study.
        """
        if self.path is None:
            return []
        checked_file(self.path)
        if not self.path.exists():
            return []
        try:
            first, *lines = self.path.read_text(encoding="utf-8").splitlines()
            found = dict(json.loads(first)["asked"])
            records = [_record(json.loads(line)) for line in lines]
        except (ValueError, KeyError, TypeError, OSError):
            raise InputError(
                f"study must be a file that a search has written, got '{self.path}'; choose "
                "another, or remove it"
            ) from None
        asked = self._asked()
        changed = sorted(k for k in {*found, *asked} if found.get(k) != asked.get(k))
        if changed:
            raise InputError(
                f"study '{self.path}' must be of the same search, but it differs in "
                f"{', '.join(changed)}; choose another file, or remove it"
            )
        return records

    def write(self, records: Sequence[Record]) -> None:
        """Replace the file by one with these records.

        Raises
        ------
        InputError
            Where it cannot be written.
        """
        if self.path is None:
            return
        lines = [json.dumps({"format": FORMAT, "asked": self._asked()})]
        lines += [json.dumps(asdict(record)) for record in records]
        write_whole(self.path, ("\n".join(lines) + "\n").encode())

    def _asked(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(self.asked))
        return plain


def _record(plain: dict[str, Any]) -> Record:
    return Record(**{**plain, "scores": tuple(map(tuple, plain["scores"]))})
