"""The bench: models are trained on some rows and judged on others, whoever asks.

Evaluations, size curves, searches and synthetic rows say what is trained on, an `Entrant` each.
How rows become trainings, what these are tested on, and which models take part is said here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, Protocol

from dask_distill.conversation.run import Run
from dask_distill.evaluation.copies import Copies, copies_across
from dask_distill.evaluation.metrics import Measures
from dask_distill.evaluation.splits import Rows, Split
from dask_distill.evaluation.statistics import MAJORITY
from dask_distill.evaluation.training import (
    LabelledRows,
    Trial,
    majority,
    train_and_test,
    weight_parameter,
)
from dask_distill.runtime.handle import Handle

# tables at hand: of the source, of the subset, rows that are held out
POOL, SUBSET, HELD_OUT = "pool", "subset", "held_out"
# the subset's rows to a model that is not told their weights
UNWEIGHTED = "unweighted"

Tables = Mapping[str, LabelledRows]


class Entrant(Protocol):
    """What models are trained on."""

    @property
    def way(self) -> str:
        """What it is called in a `Trial`."""

    def training(self, split: Split, tables: Tables) -> LabelledRows:
        """Its rows, out of the tables at hand."""


@dataclass(frozen=True)
class SplitWay:
    """The subset's rows, or those of the pool that a split has drawn.

    Attributes
    ----------
    way : str
        "subset", "unweighted", "random", "stratified", "everything"; or "majority", for which
        the subset's rows, or everything where there is no subset, are looked at for their
        classes alone.
    """

    way: str

    def training(self, split: Split, tables: Tables) -> LabelledRows:
        """As the split has them."""
        if self.way in ("subset", UNWEIGHTED, MAJORITY) and SUBSET in tables:
            whole = tables[SUBSET]
            found = whole if split.subset is None else whole.take(split.subset)
            return replace(found, weights=None) if self.way == UNWEIGHTED else found
        drawn: Rows = getattr(split, "everything" if self.way == MAJORITY else self.way)
        return tables[POOL].take(drawn)


@dataclass(frozen=True)
class RowsHere:
    """Rows that have been taken already."""

    way: str
    rows: LabelledRows

    def training(self, split: Split, tables: Tables) -> LabelledRows:
        """Those."""
        return self.rows


def rows_to_judge(split: Split, tables: Tables) -> LabelledRows:
    """Rows that are held out, or those of the pool that a split tests on."""
    return tables[HELD_OUT] if HELD_OUT in tables else tables[POOL].take(split.test)


def judged(
    entrant: Entrant, name: str, model: Any, split: Split, measures: Measures, tables: Tables
) -> Trial:
    """One training: a model, by its name, on an entrant's rows, tested on what a split holds out.

    Raises
    ------
    InputError
        Where the model cannot learn from such rows, or a scorer of the user's fails.
    """
    training, test = entrant.training(split, tables), rows_to_judge(split, tables)
    classes = len(measures.labels)
    return train_and_test(entrant.way, name, model, split.seed, training, test, classes, measures)


@dataclass(frozen=True)
class Bench:
    """Rows at hand where the tasks run, and what models are judged by.

    Attributes
    ----------
    run : Run
    tables : dict of handles of `LabelledRows`
        By `POOL`, `SUBSET` and `HELD_OUT`, or other names that entrants know.
    measures : handle of `Measures`, or of None where nothing is trained
    """

    run: Run
    tables: Mapping[str, Handle[LabelledRows]]
    measures: Handle[Measures | None]

    @classmethod
    def of(
        cls,
        run: Run,
        tables: Sequence[Handle[LabelledRows]],
        measures: Measures | None = None,
        **more: Handle[LabelledRows],
    ) -> "Bench":
        """Of the handles of the pool, the subset and what is held out, as far as there are any."""
        named = dict(zip((POOL, SUBSET, HELD_OUT), tables, strict=False))
        return cls(run, named | more, run.constant(measures))

    def trials(
        self,
        entries: Sequence[tuple[Entrant, Split]],
        models: Mapping[str, Any],
        title: str | None = "train",
    ) -> list[list[Trial]]:
        """Every model on every entrant's rows, a task each: the trials of each entry.

        Of the majority, where features are not looked at, there is but one. Models that take no
        weights need not be trained without them.

        Parameters
        ----------
        entries : sequence of (Entrant, Split)
        models : dict of estimators by name
        title : str or None
            What people see of it.
        """
        run = self.run
        named = {name: run.constant(model) for name, model in models.items()}
        alone = {name: run.constant(model) for name, model in majority().items()}
        splits = {id(split): run.constant(split) for _, split in entries}
        tasks: list[Handle[Trial]] = []
        counts = []
        for entrant, split in entries:
            held = run.constant(entrant)
            mine = [
                run.call("train", _trial, held, name, model, splits[id(split)], *self._beside)
                for name, model in (alone if entrant.way == MAJORITY else named).items()
                if entrant.way != UNWEIGHTED or weight_parameter(models[name]) is not None
            ]
            tasks += mine
            counts.append(len(mine))
        done = tasks if title is None else run.watched(title, tasks)
        found = iter(run.fetch_all(done))
        return [list(islice(found, count)) for count in counts]

    def of_ways(
        self, ways: Sequence[Entrant], splits: Sequence[Split], models: Mapping[str, Any]
    ) -> list[Trial]:
        """Every model on every way of choosing rows, for every seed."""
        entries = [(way, split) for split in splits for way in ways]
        trials = list(chain(*self.trials(entries, models)))
        return _with_ignored(trials) if any(way.way == UNWEIGHTED for way in ways) else trials

    def copies(self, split: Split, fresh: Rows | None = None) -> Copies:
        """Copies of test rows among all that are trained on, for one of the splits.

        ``fresh`` are the rows of the subset that the split's everything lacks.
        """
        held_out = [self.tables[HELD_OUT]] if HELD_OUT in self.tables else []
        subset = None if fresh is None else self.tables[SUBSET]
        return self.run.fetch(
            self.run.call(
                "copies",
                copies_across,
                *(self.run.constant(split), self.tables[POOL], subset, fresh, *held_out),
            )
        )

    @property
    def _beside(self) -> tuple[Any, ...]:
        """What every task gets."""
        return self.measures, tuple(self.tables), *self.tables.values()


def _trial(
    entrant: Entrant,
    name: str,
    model: Any,
    split: Split,
    measures: Measures,
    names: Sequence[str],
    *tables: LabelledRows,
) -> Trial:
    """Runs as a task."""
    return judged(entrant, name, model, split, measures, dict(zip(names, tables, strict=True)))


def _with_ignored(trials: list[Trial]) -> list[Trial]:
    """Trainings without weights of models that take none are those with them."""
    known = {(trial.model, trial.seed) for trial in trials if trial.way == UNWEIGHTED}
    return trials + [
        replace(trial, way=UNWEIGHTED)
        for trial in trials
        if trial.way == "subset" and (trial.model, trial.seed) not in known
    ]
