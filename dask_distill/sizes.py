"""What a size curve found: points with intervals, full against distilled, and the words."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from dask_distill._html import facts_table, plain_table
from dask_distill._text import shown_table
from dask_distill.evaluation import ALL_MODELS, EVEN, METRICS, interval, plain_fields, signed
from dask_distill.trials import Trial

if TYPE_CHECKING:
    import pandas as pd

    from dask_distill.curve import Draw

BASELINE = "random"
EVERYTHING = "everything"
_HEAD: tuple[str, ...] = ("trained on", "rows", "share", "accuracy", "of everything")
_HEAD += ("against random", "training s", "selection s")


@dataclass(frozen=True)
class Point:
    """What models trained on one strategy's rows of one size reach; means over the seeds.

    Attributes
    ----------
    strategy : str
        "everything" stands for all rows that were selected from.
    rows : int
        Trained on.
    share : float
        ``rows`` as a part of those that were selected from.
    model : str
        "all models" is their mean.
    accuracy, accuracy_low, accuracy_high : float
        With its 95 % interval.
    balanced_accuracy, worst_class_recall : float
    kept : float
        ``accuracy`` as a part of the accuracy of everything.
    gain, gain_low, gain_high : float or None
        Accuracy above that of random rows of the same size, paired by seed, with its 95 %
        interval; None for random itself and for everything.
    balanced_gain, balanced_gain_low, balanced_gain_high : float or None
        The same of balanced accuracy.
    training_seconds : float
        CPU time; of all models together where that is the model.
    selection_seconds : float
        Wall time.
    """

    strategy: str
    rows: int
    share: float
    model: str
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    balanced_accuracy: float
    worst_class_recall: float
    kept: float
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    balanced_gain: float | None
    balanced_gain_low: float | None
    balanced_gain_high: float | None
    training_seconds: float
    selection_seconds: float


@dataclass(frozen=True)
class SizeCurve:
    """Accuracy against the size of the subset.

    Attributes
    ----------
    verdict : str
        One sentence on the first strategy.
    rows, selected_from, test_rows : int
        Of the data set, of what one selection had to select from, and of one test.
    classes : int
    seeds : tuple of int
        One split and one selection of each kind for each.
    points : tuple of Point
        By strategy, size and model; everything comes last.
    notes : tuple of str
        What bounds the comparison, and what it took.
    """

    verdict: str
    rows: int
    selected_from: int
    test_rows: int
    classes: int
    seeds: tuple[int, ...]
    points: tuple[Point, ...]
    notes: tuple[str, ...]

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies, without everything."""
        names = dict.fromkeys(point.strategy for point in self.points)
        return tuple(name for name in names if name != EVERYTHING)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, all of them together first."""
        return tuple(dict.fromkeys(point.model for point in self.points))

    def line(self, strategy: str, model: str = ALL_MODELS) -> tuple[Point, ...]:
        """One strategy's points, by size."""
        return tuple(p for p in self.points if (p.strategy, p.model) == (strategy, model))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return plain_fields(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """The curve that `as_dict` was called on; unknown keys are left out."""
        values = {field.name: plain[field.name] for field in fields(cls)}
        values["points"] = tuple(Point(**point) for point in plain["points"])
        return cls(**values | {key: tuple(plain[key]) for key in ("seeds", "notes")})

    def to_dataframe(self) -> "pd.DataFrame":
        """All points, one a row; the columns are the attributes of `Point`."""
        import pandas as pd

        return pd.DataFrame([asdict(point) for point in self.points])

    def table(self, model: str = ALL_MODELS) -> "pd.DataFrame":
        """Full against distilled: rows, accuracy, seconds of training and selecting.

        Parameters
        ----------
        model : str
            One of `models`.

        Returns
        -------
        pandas.DataFrame
            Everything first, then each strategy by size.
        """
        columns = ["strategy", "rows", "share", "accuracy", "accuracy_low", "accuracy_high"]
        columns += ["kept", "gain", "gain_low", "gain_high"]
        columns += ["training_seconds", "selection_seconds"]
        import pandas as pd

        found = [asdict(point) for point in self._ordered(model)]
        return pd.DataFrame(found, columns=columns)

    def plot(
        self,
        path: str | os.PathLike[str],
        *,
        metric: str = "accuracy",
        model: str = ALL_MODELS,
    ) -> None:
        """Draw accuracy against size as an .svg or .png file.

        Parameters
        ----------
        path : path
            The ending says which; a file that is there is replaced.
        metric : str
            "accuracy", "balanced_accuracy" or "worst_class_recall".
        model : str
            One of `models`.

        Raises
        ------
        InputError
            Where the file cannot be written, or matplotlib is not installed.
        """
        from dask_distill.pictures import curve_drawing

        curve_drawing(self, metric=metric, model=model).save(path)

    def rows_of_table(self, model: str = ALL_MODELS) -> list[tuple[str, ...]]:
        """The table as people read it, without its head."""
        shown: list[tuple[str, ...]] = []
        for point in self._ordered(model):
            gain = "" if point.gain is None else _gain(point)
            shown.append(
                (
                    point.strategy,
                    f"{point.rows:,}",
                    shown_share(point.share),
                    f"{point.accuracy:.1%}",
                    f"{point.kept:.1%}",
                    gain,
                    f"{point.training_seconds:.1f}",
                    "" if point.strategy == EVERYTHING else f"{point.selection_seconds:.1f}",
                )
            )
        return shown

    @property
    def head_of_table(self) -> tuple[str, ...]:
        """The names of its columns."""
        return _HEAD

    def _ordered(self, model: str) -> list[Point]:
        names = [EVERYTHING, *self.strategies]
        return [point for name in names for point in self.line(name, model)]

    def __str__(self) -> str:
        """The table and the verdict, for a terminal."""
        table = shown_table([_HEAD, *self.rows_of_table()])
        return "\n".join([*table, "", self.verdict, self._draws(), *self.notes])

    def _draws(self) -> str:
        return f"Means over {len(self.seeds)} splits, tested on {self.test_rows:,} rows each."

    def _repr_html_(self) -> str:
        from dask_distill.pictures import curve_in_notebook

        table = plain_table("Accuracy against size", _HEAD, self.rows_of_table())
        facts = facts_table("", [("verdict", self.verdict), ("draws", self._draws())])
        return f"{curve_in_notebook(self)}{table}{facts}"


def points_of(
    draws: Sequence["Draw"],
    trials: Sequence[Sequence[Trial]],
    names: Sequence[str],
    overlap: float,
    tests: int,
) -> tuple[Point, ...]:
    """Means over seeds with intervals, and differences to random, paired by seed.

    Parameters
    ----------
    draws : (m,) sequence of Draw
    trials : (m, models) trials
        Of each draw.
    names : sequence of str
        Of the strategies, in the order of the points.
    overlap : float
        Of `dask_distill.evaluation.interval`.
    tests : int
        Rows of one test.

    Returns
    -------
    tuple of Point
    """
    values: dict[tuple[str, int, str], list[tuple[Draw, list[Trial]]]] = {}
    for draw, mine in zip(draws, trials, strict=True):
        for model in (ALL_MODELS, *(trial.model for trial in mine)):
            group = [trial for trial in mine if model in (ALL_MODELS, trial.model)]
            values.setdefault((draw.strategy, draw.step, model), []).append((draw, group))
    whole = max(len(draw.rows) for draw in draws)
    points = []
    for name in names:
        for (strategy, step, model), found in values.items():
            if strategy != name:
                continue
            same = values.get((BASELINE, step, model))
            full = float(np.mean(_by_seed(values[EVERYTHING, -1, model], "accuracy")))
            accuracy, low, high = interval(_by_seed(found, "accuracy"), overlap=overlap)
            gains: dict[str, Any] = {}
            for prefix, metric in (("gain", "accuracy"), ("balanced_gain", "balanced_accuracy")):
                limits: tuple[float | None, ...] = (None, None, None)
                if name != BASELINE and same is not None:
                    gap = _by_seed(found, metric) - _by_seed(same, metric)
                    limits = interval(gap, overlap=overlap, least=_least_variance(gap, tests))
                keys = (prefix, f"{prefix}_low", f"{prefix}_high")
                gains |= dict(zip(keys, limits, strict=True))
            rows = len(found[0][0].rows)
            points.append(
                Point(
                    strategy=name,
                    rows=rows,
                    share=rows / whole,
                    model=model,
                    accuracy=accuracy,
                    accuracy_low=low,
                    accuracy_high=high,
                    **{
                        metric: float(np.mean(_by_seed(found, metric)))
                        for metric in METRICS
                        if metric != "accuracy"
                    },
                    kept=accuracy / max(full, 1e-9),
                    **gains,
                    training_seconds=math.fsum(t.seconds for _, group in found for t in group)
                    / len(found),
                    selection_seconds=math.fsum(draw.seconds for draw, _ in found) / len(found),
                )
            )
    return tuple(points)


def verdict_of(points: Sequence[Point], names: Sequence[str]) -> str:
    """The sentence on the first strategy that is not random."""
    name = next((each for each in names if each != BASELINE), BASELINE)
    mine = [p for p in points if (p.strategy, p.model) == (name, ALL_MODELS)]
    few, many = mine[0], mine[-1]
    text = f"{name} keeps {few.kept:.1%} of the accuracy of everything with {few.rows:,} rows"
    if many is not few:
        text += f" and {many.kept:.1%} with {many.rows:,}"
    if name == BASELINE:
        return f"{text}."
    told = {
        "better": [p for p in mine if _sign(p) > 0],
        "worse": [p for p in mine if _sign(p) < 0],
        "not told apart from it": [p for p in mine if _sign(p) == 0],
    }
    parts = [f"{words} at {_listed(found)}" for words, found in told.items() if found]
    return f"{text}; against random rows it is {', '.join(parts)} rows."


def shown_share(share: float) -> str:
    """A part as per cent, with as many digits as it takes.

    Examples
    --------
    >>> shown_share(0.1), shown_share(0.0025)
    ('10%', '0.25%')
    """
    return f"{100 * share:.3g}%"


def _by_seed(found: Any, metric: str) -> npt.NDArray[np.float64]:
    """(m,) means over models, by seed."""
    ordered = sorted(found, key=lambda pair: pair[0].seed)
    return np.array([np.mean([getattr(t, metric) for t in group]) for _, group in ordered])


def _least_variance(gap: npt.NDArray[np.float64], tests: int) -> float:
    """Of a difference of two accuracies on the same rows: they differ on |gap| of them at least."""
    mean = abs(float(np.mean(gap)))
    return (mean - mean**2) / tests


def _sign(point: Point) -> int:
    assert point.gain is not None
    assert point.gain_low is not None
    assert point.gain_high is not None
    if point.gain_low > 0 and point.gain > EVEN:
        return 1
    return -1 if point.gain_high < 0 and point.gain < -EVEN else 0


def _listed(points: Sequence[Point]) -> str:
    *most, last = [f"{point.rows:,}" for point in points]
    return f"{', '.join(most)} and {last}" if most else last


def _gain(point: Point) -> str:
    assert point.gain is not None
    assert point.gain_low is not None
    assert point.gain_high is not None
    return f"{signed(point.gain)} ({signed(point.gain_low)} to {signed(point.gain_high)})"
