"""Labelling in batches: select, ask for labels, fit again, select.

The loop of pool-based active learning around `distill`; whoever labels is a function.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.dataset import as_dataset
from dask_distill.data.labels import missing_labels
from dask_distill.data.rows import rows_of
from dask_distill.errors import InputError
from dask_distill.pipeline import distill
from dask_distill.strategies.base import Strategy

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """What is known after a batch.

    Attributes
    ----------
    rows : (m,) int64 array
        Labelled so far, ascending.
    labels : (m,) array
    fresh : (b,) int64 array
        Asked for in this batch, those that could not be told, too.
    model : fitted estimator
        On all of them.
    """

    rows: Rows
    labels: npt.NDArray[np.generic]
    fresh: Rows
    model: Any


def label_in_batches(
    features: Any,
    ask: Callable[[Rows], Any],
    model: Any,
    *,
    size: int,
    batches: int,
    rows: npt.ArrayLike = (),
    labels: npt.ArrayLike = (),
    strategy: str | Strategy = "active",
    options: Mapping[str, Any] | None = None,
    first: str | Strategy = "kmeans",
    seed: int = 0,
) -> Iterator[Batch]:
    """Label a pool batch by batch, each where the model of the last one needs it.

    Parameters
    ----------
    features : (n, d) array, as for `distill`
        The pool, with or without labels of its own.
    ask : callable
        Takes the (b,) ascending row numbers of a batch and gives their labels: a person, or a
        measurement. None or NaN for a row that cannot be told: it is not asked for again.
    model : estimator with ``fit`` and ``predict_proba``
        A clone is fitted on the labelled rows after every batch, on one machine.
    size : int
        Rows of a batch; the last one of a pool has what is left.
    batches : int
        At most; it ends where no row is left to ask for.
    rows, labels : (m,) arrays
        What is labelled already.
    strategy, options
        Selects a batch, given the model and the rows that are labelled.
    first : str or Strategy
        Selects while fewer than two classes are known: it gets no model.
    seed : int

    Yields
    ------
    Batch

    Raises
    ------
    InputError

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> X = np.random.default_rng(0).normal(size=(600, 2))
    >>> truth = (X[:, 0] > 0).astype(int)
    >>> *_, last = label_in_batches(
    ...     X, lambda rows: truth[rows], LogisticRegression(), size=10, batches=3
    ... )
    >>> len(last.rows), bool(last.model.score(X, truth) > 0.9)
    (30, True)
    """
    from sklearn.base import clone

    dataset = as_dataset(features)
    known = np.asarray(rows, np.int64)
    answers = np.asarray(labels)
    if len(known) != len(answers):
        raise InputError(
            f"labels must be as many as rows ({len(known)}), got {len(answers)}; pass one a row"
        )
    fitted = _fit(clone(model), dataset, known, answers)
    # rows that were asked for, labelled or not
    asked = known
    for _ in range(batches):
        left = dataset.n - len(asked)
        if left == 0:
            return
        chosen = distill(
            dataset,
            size=min(size, left),
            strategy=first if fitted is None else strategy,
            options=None if fitted is None else options,
            proxy=fitted,
            initial=asked if len(asked) else None,
            seed=seed,
        ).indices
        given = _given(ask(chosen), chosen)
        told = ~missing_labels(given)
        # of one type again, where answers of several were missing
        given = np.asarray(given[told].tolist()) if given.dtype.kind == "O" else given[told]
        asked = np.union1d(asked, chosen)
        if told.any():
            both = np.concatenate([known, chosen[told]])
            order = np.argsort(both)
            answers = np.concatenate([answers, given])[order] if len(known) else given
            known = both[order]
            fitted = _fit(clone(model), dataset, known, answers)
        yield Batch(known, answers, chosen, fitted)


def _given(answers: Any, chosen: Rows) -> npt.NDArray[Any]:
    """Answers as an array, a value a row."""
    given = np.asarray(answers)
    if given.dtype.kind == "U" and not isinstance(answers, np.ndarray):
        # NumPy makes words of a missing answer among words
        given = np.asarray(answers, object)
    if given.shape != chosen.shape:
        raise InputError(
            f"ask must give a label for each of {len(chosen)} rows, got shape {given.shape}; "
            "check the function"
        )
    return given


def _fit(model: Any, dataset: Any, rows: Rows, labels: npt.NDArray[np.generic]) -> Any:
    """The model, or None while there is nothing to tell apart."""
    if len(np.unique(labels)) < 2:
        return None
    order = np.argsort(rows)
    X = rows_of(dataset, rows[order])["features"].compute()
    return model.fit(X.reshape(len(X), -1), labels[order])
