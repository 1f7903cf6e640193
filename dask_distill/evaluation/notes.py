"""What is said of trainings beside their scores: by evaluations, size curves and synthetic rows.

Each sentence stands here once, and so does their order. Knows figures, no models.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dask_distill.data.dataset import Dataset
from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.losses import untold
from dask_distill.evaluation.training import Trial

_UNSEEN = "Tested on rows of the source that were not selected."
_SAME_TESTS = (
    "All draws are tested on the same rows: intervals tell of draws and trainings, not of other "
    "test rows."
)
_FORWARD = "Tested on later rows than those trained on; the subset's later rows are left out, too."


@dataclass(frozen=True)
class StandIn:
    """Rows that stand for others.

    Attributes
    ----------
    rows, whole : int
    more : str
        What else is said of it.
    """

    rows: int
    whole: int
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class Remarks:
    """What a result is told with; nothing is said of what is None.

    Attributes
    ----------
    copies : Copies or None
        Of test rows among those trained on.
    opening : tuple of str
        What is said first, of the verdict.
    whole : tuple of str
        Of trainings on all rows, block by block.
    trials : sequence of Trial
        Of which is told what they cannot tell, and what they cost; nothing where there are none.
    selections : int or None
        That were made for them.
    selected_from, made, everything, subset : StandIn or None
        Rows that were selected from, synthetic rows, all rows, and the subset's.
    left_out : int
        Rows of the subset that have NaN.
    fewer : StandIn or None
        Rows of the subset where there are fewer than synthetic ones.
    tests_vary : bool or None
        Whether each draw is tested on other rows, which were not selected.
    forward : bool
        Whether tests are later than what is trained on.
    weighted_by : str or None
        Name of the sample weights.
    """

    copies: Copies | None = None
    opening: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    trials: Sequence[Trial] = ()
    selections: int | None = None
    selected_from: StandIn | None = None
    made: StandIn | None = None
    everything: StandIn | None = None
    subset: StandIn | None = None
    left_out: int = 0
    fewer: StandIn | None = None
    tests_vary: bool | None = None
    forward: bool = False
    weighted_by: str | None = None

    def told(self) -> tuple[str, ...]:
        """All of them, in order."""
        return (
            *self.opening,
            *untold(self.trials),
            *self.whole,
            *self._parts(),
            *self._tests(),
            *(() if self.copies is None else self.copies.notes()),
            *self._weights(),
        )

    def _parts(self) -> Iterator[str]:
        """What stands for what."""
        if one := self.selected_from:
            yield (
                f"Selected from {one.rows:,} of {one.whole:,} rows, drawn at random for each seed; "
                "shares are of these. max_rows / --max-rows raises it."
            )
        if one := self.made:
            yield f"{one.rows:,} of {one.whole:,} synthetic rows were trained on."
        if one := self.everything:
            yield (
                f"Everything stands for {one.rows:,} of {one.whole:,} rows, drawn at random; "
                "max_rows / --max-rows raises it."
            )
        if one := self.subset:
            yield (
                f"The subset stands for {one.rows:,} of its {one.whole:,} rows, drawn at "
                f"random{one.more}."
            )
        if self.left_out:
            yield f"Rows with NaN were left out, {self.left_out:,} of the subset's too."
        if one := self.fewer:
            yield f"The subset has {one.rows:,} rows: fewer than the {one.whole:,} synthetic ones."

    def _tests(self) -> Iterator[str]:
        """What is tested on, and what it took."""
        if self.tests_vary is not None:
            yield _UNSEEN if self.tests_vary else _SAME_TESTS
        if self.selections is not None:
            seconds = cpu_seconds(self.trials)
            yield (
                f"{self.selections} selections, and {len(self.trials)} trainings in {seconds:.0f} "
                "s of CPU."
            )
        elif self.trials:
            seconds, most = cpu_seconds(self.trials), max(trial.rows for trial in self.trials)
            yield (
                f"{len(self.trials)} trainings of at most {most:,} rows took {seconds:.0f} s of "
                "CPU."
            )
        if self.forward:
            yield _FORWARD

    def _weights(self) -> Iterator[str]:
        if self.weighted_by is not None:
            yield (
                "Trainings, where models take weights, and scores are weighted by "
                f"{self.weighted_by}."
            )


def stand_in(rows: int, whole: int, more: str = "") -> StandIn | None:
    """A part, where it is one.

    Examples
    --------
    >>> stand_in(100, 2000), stand_in(100, 100)
    (StandIn(rows=100, whole=2000, more=''), None)
    """
    return StandIn(rows, whole, more) if rows < whole else None


def weight_of(dataset: Dataset) -> str | None:
    """What the sample weights of a data set are called, where it has some."""
    return None if dataset.sample_weight is None else dataset.weight_name


def cpu_seconds(trials: Sequence[Trial]) -> float:
    """Of all trainings together."""
    return sum(trial.seconds for trial in trials)
