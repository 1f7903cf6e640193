"""One training: a model on some rows, judged on test rows. Knows arrays and models, no Dask."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.evaluation.metrics import Measures, answer_of, metrics_of
from dask_distill.runtime.silence import without_warnings
from dask_distill.runtime.threads import single_threaded
from dask_distill.support.metrics import METRICS, RECALL
from dask_distill.support.text import likely

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LabelledRows:
    """Rows to train or test on.

    Attributes
    ----------
    X : (m, d) float array
    codes : (m,) int64 array of class numbers
    weights : (m,) float array, or None where every row counts the same
    """

    X: npt.NDArray[np.floating]
    codes: Codes
    weights: npt.NDArray[np.floating] | None = None

    def take(self, rows: npt.NDArray[np.int64]) -> "LabelledRows":
        """Some of the rows."""
        weights = None if self.weights is None else self.weights[rows]
        return LabelledRows(self.X[rows], self.codes[rows], weights)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one training gave.

    Attributes
    ----------
    way : str
        What was trained on: "subset", "unweighted", "random", "stratified", "everything"; or
        "majority", where no features were.
    model : str
    seed : int
    rows : int
        Trained on.
    accuracy, balanced_accuracy, worst_class_recall : float
        On the test rows; the last two over the classes that occur there.
    recalls : tuple of float
        By class number; NaN for classes without test rows.
    seconds : float
        CPU time of the training, in one thread: what else the machine does is not in it.
    roc_auc, average_precision, log_loss, brier, calibration_error : float
        Of `dask_distill.evaluation.metrics.metrics_of`; NaN for a model without probabilities.
    own : dict of float
        Of the user's scorers.
    """

    way: str
    model: str
    seed: int
    rows: int
    accuracy: float
    balanced_accuracy: float
    worst_class_recall: float
    recalls: tuple[float, ...]
    seconds: float
    roc_auc: float = float("nan")
    average_precision: float = float("nan")
    log_loss: float = float("nan")
    brier: float = float("nan")
    calibration_error: float = float("nan")
    own: Mapping[str, float] = field(default_factory=dict)

    def value(self, metric: str, number: int = -1) -> float:
        """A metric by its name; a recall by its class number."""
        if metric.startswith(RECALL):
            return self.recalls[number]
        return float(getattr(self, metric) if metric in METRICS else self.own[metric])


def standard_models() -> dict[str, Any]:
    """Four models of different kinds, at settings that suit most tables.

    Returns
    -------
    dict of scikit-learn classifiers by name
        Logistic regression, gradient boosting, nearest neighbours and a small neural network;
        features are scaled where the model needs it.

    Examples
    --------
    >>> list(standard_models())
    ['logistic regression', 'boosting', 'neighbours', 'neural network']
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
        # without the penalty its default diverges where there are many classes
        "boosting": HistGradientBoostingClassifier(l2_regularization=1.0, early_stopping=False),
        "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
        "neural network": make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=40)),
    }


def block_models() -> dict[str, Any]:
    """Three models of different kinds that learn block by block, for all rows.

    Returns
    -------
    dict of scikit-learn classifiers by name
        Logistic regression by averaged stochastic gradient descent, naive Bayes, whose moments
        are those of all rows in any order, and a small neural network.

    Examples
    --------
    >>> list(block_models())
    ['sgd', 'naive bayes', 'neural network']
    """
    from sklearn.linear_model import SGDClassifier
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    descent = SGDClassifier(loss="log_loss", average=True)
    return {
        "sgd": make_pipeline(StandardScaler(), descent),
        "naive bayes": GaussianNB(),
        "neural network": make_pipeline(StandardScaler(), MLPClassifier((64,), max_iter=40)),
    }


def standard_models_named(names: Iterable[str]) -> dict[str, Any]:
    """Some of the standard models, or of `block_models`; hyphens may stand for spaces.

    Raises
    ------
    InputError

    Examples
    --------
    >>> list(standard_models_named(["logistic-regression"]))
    ['logistic regression']
    """
    known = block_models() | standard_models()
    found = {}
    for name in names:
        plain = name.replace("-", " ")
        if plain not in known:
            ordered = [*standard_models(), *block_models()]
            listed = ", ".join(dict.fromkeys(each.replace(" ", "-") for each in ordered))
            raise InputError(
                f"model must be one of {listed}, got '{name}'{likely(name, listed.split(', '))}"
            )
        found[plain] = known[plain]
    return found


def as_models(models: Any) -> dict[str, Any]:
    """The user's estimators by name, or the standard ones.

    Raises
    ------
    InputError
        For what cannot be cloned, fitted and asked.
    """
    if models is None:
        return standard_models()
    named = dict(models) if isinstance(models, Mapping) else {type(models).__name__: models}
    for name, model in named.items():
        lacking = [
            method for method in ("fit", "predict", "get_params") if not hasattr(model, method)
        ]
        if lacking or isinstance(model, type):
            raise InputError(
                f"models must be scikit-learn classifiers, or a dict of them, got {name!r} of type "
                f"{type(model).__name__}; give it fit, predict and get_params"
            )
    if not named:
        raise InputError("models must hold at least one classifier, got none")
    return named


def train_and_test(
    way: str,
    name: str,
    model: Any,
    seed: int,
    training: LabelledRows,
    test: LabelledRows,
    classes: int,
    measures: Measures | None = None,
) -> Trial:
    """Fit a copy of a model and measure how good its answers are.

    Parameters
    ----------
    way, name : str
        Of the rows and of the model, for the record.
    model : estimator
        Is cloned; gets the seed where it takes one, and the weights where it takes them.
    seed : int
    training, test : LabelledRows
    classes : int
    measures : Measures, optional
        The user's scorers, and the class of which the average precision is told.

    Returns
    -------
    Trial

    Raises
    ------
    InputError
        Where a model cannot learn from such rows, or a scorer of the user's fails.
    """
    from sklearn.dummy import DummyClassifier

    single = len(np.unique(training.codes)) == 1
    # a draw that missed all classes but one can only repeat it
    fresh = fresh_copy(DummyClassifier() if single else model, seed)
    parameters = {}
    weight_name = None if training.weights is None else weight_parameter(fresh)
    if weight_name is not None and training.weights is not None:
        parameters[weight_name] = training.weights / training.weights.mean()
    # that a model has not converged is no news of the subset
    with single_threaded(), without_warnings(), refusing(name, len(training.codes)):
        started = time.thread_time()
        fresh.fit(training.X, training.codes, **parameters)
        seconds = time.thread_time() - started
    trained = Trained(
        way=way, name=name, seed=seed, model=fresh, rows=len(training.codes), seconds=seconds
    )
    return trained.judged(test, measures or Measures(range(classes)), training.codes)


def fresh_copy(model: Any, seed: int) -> Any:
    """An unfitted copy, with the seed where it takes one."""
    from sklearn.base import clone

    fresh = clone(model)
    seeds = {key: seed for key in fresh.get_params() if key.rpartition("__")[2] == "random_state"}
    fresh.set_params(**seeds)
    return fresh


@contextmanager
def refusing(name: str, rows: int) -> Iterator[None]:
    """Say in one sentence which model cannot learn from its rows.

    Raises
    ------
    InputError
    """
    try:
        yield
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"models must learn from as few rows as are selected, but {name} on "
            f"{rows:,} rows raised {type(error).__name__}: {error}; select "
            "more rows, or choose models without it (models= / --model)"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model that was fitted on class numbers, and what that took.

    Attributes
    ----------
    way, name : str
    seed : int
    model : fitted estimator
    rows : int
        Trained on.
    seconds : float
        CPU time.
    """

    way: str
    name: str
    seed: int
    model: Any
    rows: int
    seconds: float

    def judged(self, test: LabelledRows, measures: Measures, known: Codes | None = None) -> Trial:
        """Measure how good its answers are.

        Parameters
        ----------
        test : LabelledRows
        measures : Measures
        known : int array, optional
            Class numbers that it was fitted on, for a model that does not tell; all unless given.

        Raises
        ------
        InputError
            Where a scorer of the user's fails.
        """
        classes = len(measures.labels)
        known = np.arange(classes) if known is None else known
        with single_threaded(), without_warnings():
            with refusing(self.name, self.rows):
                answer = answer_of(self.model, test.X, known, classes)
            found, recalls = metrics_of(answer, test.codes, test.weights, classes, measures.rarest)
            own = measures.own(self.model, answer, test.X, test.codes, test.weights)
        return Trial(
            way=self.way,
            model=self.name,
            seed=self.seed,
            rows=self.rows,
            recalls=tuple(recalls.tolist()),
            seconds=self.seconds,
            own=own,
            **found,
        )


def majority() -> dict[str, Any]:
    """What needs no features: the most frequent class; as probabilities, the classes' shares.

    Examples
    --------
    >>> majority()
    {'majority': DummyClassifier()}
    """
    from sklearn.dummy import DummyClassifier

    return {"majority": DummyClassifier(strategy="prior")}


def weight_parameter(model: Any) -> str | None:
    """What `fit` calls the weights, or None for a model that takes none.

    Examples
    --------
    >>> models = standard_models()
    >>> weight_parameter(models["boosting"]), weight_parameter(models["neighbours"])
    ('sample_weight', None)
    """
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import has_fit_parameter

    prefix = ""
    while isinstance(model, Pipeline):
        last, model = model.steps[-1]
        prefix += f"{last}__"
    return f"{prefix}sample_weight" if has_fit_parameter(model, "sample_weight") else None
