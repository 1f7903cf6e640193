"""A model that learns from one block of rows after the other. Knows arrays and models, no Dask."""

import copy
import inspect
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.labels import as_labels
from dask_distill.data.times import as_times
from dask_distill.data.weights import as_weights
from dask_distill.errors import InputError
from dask_distill.evaluation.splits import Rows, Split
from dask_distill.evaluation.training import LabelledRows, Trained, fresh_copy
from dask_distill.runtime.silence import without_warnings
from dask_distill.runtime.threads import single_threaded

Floats = npt.NDArray[np.float64]

WAY = "everything"
# what of a row goes with its features: one array, since dask-ml's `Incremental` takes two alone,
# and would give weights of all rows to every block
ABOUT = np.dtype([("row", np.int64), ("code", np.int64), ("weight", np.float64), ("time", float)])


def about_rows(
    rows: Rows, labels: Any, weights: Any, times: Any, *, classes: tuple[Any, ...]
) -> npt.NDArray[np.void]:
    """(m,) records of `ABOUT`; weight 1 and time 0 where rows have none.

    Parameters
    ----------
    rows : (m,) int64 array of global row numbers
    labels : (m,) array
    weights, times : (m,) arrays or None
    classes : tuple of labels
        In the order of class numbers; other labels, and missing ones, have -1.

    Examples
    --------
    >>> about_rows(np.arange(3), np.array(["b", "?", "a"]), None, None, classes=("a", "b"))["code"]
    array([ 1, -1,  0])
    """
    found = np.zeros(len(rows), ABOUT)
    found["row"], found["weight"] = rows, 1.0
    found["code"] = _codes(as_labels(labels), {label: code for code, label in enumerate(classes)})
    if weights is not None:
        found["weight"] = as_weights(weights)
    if times is not None:
        found["time"] = as_times(times)
    return found


def _codes(labels: npt.NDArray[Any], numbers: dict[Any, int]) -> Rows:
    if labels.dtype == object:
        # what is missing may not be compared, nor sorted
        found = [numbers.get(v, -1) if _is_plain(v) else -1 for v in labels.tolist()]
        return np.array(found, np.int64)
    some, at = np.unique(labels, return_inverse=True)
    codes = np.array([numbers.get(label, -1) for label in some.tolist()], np.int64)
    return codes[at] if len(codes) else np.empty(0, np.int64)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


@dataclass(kw_only=True)
class Learner:
    """One model and one seed, and which rows it may learn from.

    Attributes
    ----------
    name : str
    seed : int
    model : estimator with ``partial_fit``
    steps : list of fitted transformers
        Rows go through them first.
    tests : (t,) int64 array, ascending
        Global numbers of rows that are tested on, which it does not see.
    until : float or None
        Nor rows of a later time.
    weight : float or None
        Mean of the sample weights, which are divided by it; None where rows count alike.
    counts : (C,) float64 array
        Rows learnt from, by class.
    spread : float
        Sum over blocks of the squares of its class counts over its rows.
    seconds : float
        CPU time.
    """

    name: str
    seed: int
    model: Any
    steps: list[Any]
    tests: Rows
    until: float | None
    weight: float | None
    counts: Floats
    spread: float = 0.0
    seconds: float = field(default=0.0, compare=False)

    @classmethod
    def prepared(
        cls, name: str, model: Any, split: Split, pool: LabelledRows, tests: Rows, classes: int
    ) -> "Learner":
        """Unfitted, but for the steps before it, which are fitted on the rows at hand.

        Parameters
        ----------
        name, model
        split : Split
        pool : LabelledRows
            Its rows of ``split.everything`` are a random part of all rows.
        tests : (t,) int64 array
            Global numbers.
        classes : int
        """
        from sklearn.pipeline import Pipeline

        fresh, steps = fresh_copy(model, split.seed), []
        if isinstance(fresh, Pipeline):
            part = pool.take(split.everything)
            X = part.X
            with single_threaded(), without_warnings():
                for _, step in fresh.steps[:-1]:
                    if step is not None and step != "passthrough":
                        X = step.fit(X, part.codes).transform(X)
                        steps.append(step)
            fresh = fresh.steps[-1][1]
        takes = "sample_weight" in inspect.signature(fresh.partial_fit).parameters
        weight = float(pool.weights.mean()) if pool.weights is not None and takes else None
        tests = np.sort(tests)
        return cls(
            name=name,
            seed=split.seed,
            model=fresh,
            steps=steps,
            tests=tests,
            until=split.until,
            weight=weight,
            counts=np.zeros(classes),
        )

    def __sklearn_clone__(self) -> "Learner":
        # as it is: its steps are fitted
        return copy.deepcopy(self)

    def fit(self, X: Any, y: Any) -> "Learner":
        """The same as `partial_fit`: what scikit-learn knows estimators by."""
        return self.partial_fit(X, y)

    def score(self, X: Any, y: Any) -> float:
        """Of no block: it is judged at the end."""
        raise NotImplementedError

    def partial_fit(self, X: npt.NDArray[np.floating], y: npt.NDArray[np.void]) -> "Learner":
        """Learn from those of a block's rows that may be seen, have a class and are finite.

        Parameters
        ----------
        X : (m, d) float array
        y : (m,) array of `ABOUT`

        Raises
        ------
        InputError
            Where the model cannot.
        """
        kept = (y["code"] >= 0) & (y["weight"] > 0) & np.isfinite(X).all(axis=1)
        kept &= ~np.isin(y["row"], self.tests)
        if self.until is not None:
            kept &= y["time"] <= self.until
        if not kept.any():
            return self
        Z, about = (X, y) if kept.all() else (X[kept], y[kept])
        more = {} if self.weight is None else {"sample_weight": about["weight"] / self.weight}
        counts = np.bincount(about["code"], minlength=len(self.counts))
        with single_threaded(), without_warnings():
            started = time.thread_time()
            try:
                for step in self.steps:
                    Z = step.transform(Z)
                classes = np.arange(len(self.counts))
                self.model.partial_fit(Z, about["code"], classes=classes, **more)
            except (ValueError, TypeError) as error:
                raise InputError(
                    f"models must learn block by block for everything='all', but {self.name} on "
                    f"{len(Z):,} rows raised {type(error).__name__}: {error}; choose models "
                    "without it (models= / --model)"
                ) from error
            self.seconds += time.thread_time() - started
        self.counts = self.counts + counts
        self.spread += float(np.square(counts).sum() / len(Z))
        return self

    def sorted_by_class(self) -> float:
        """How much of a row's class its block tells, from 0 to 1: Goodman and Kruskal's tau."""
        n = self.counts.sum()
        even = float(np.square(self.counts).sum() / n) if n else 0.0
        return (self.spread - even) / (n - even) if n > even else 0.0

    def trained(self, passes: int) -> Trained:
        """The model as it is now, its steps before it."""
        from sklearn.pipeline import make_pipeline

        model = make_pipeline(*self.steps, self.model) if self.steps else self.model
        rows = int(self.counts.sum()) // passes
        if rows == 0:
            raise InputError(
                "everything='all' needs rows with a class and finite features beside those tested "
                "on, got none; leave everything= / --everything out"
            )
        return Trained(
            way=WAY, name=self.name, seed=self.seed, model=model, rows=rows, seconds=self.seconds
        )
