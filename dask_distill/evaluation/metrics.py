"""How good a model's answers are: classes, rankings, probabilities. Knows arrays, no Dask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.runtime.silence import without_warnings
from dask_distill.support.metrics import Scorer, more_of, takes_weights

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

# probabilities of less count as this, one of 0 as well: a row costs at most 13.8 of log loss
CLIP = 1e-6
BINS = 15
# their classes are those of the highest probability, and asking twice costs
_OF_PROBABILITIES = frozenset(
    (
        *("DummyClassifier", "ExtraTreesClassifier", "HistGradientBoostingClassifier"),
        *("KNeighborsClassifier", "RandomForestClassifier"),
    )
)


@dataclass(frozen=True)
class Prediction:
    """What a model says of test rows.

    Attributes
    ----------
    predicted : (m,) int64 array of class numbers
    probabilities : (m, C) float array, or None
        0 for classes that were not trained on; rows sum to 1.
    ranks : (m, C) float array, or None
        The higher, the likelier the class: probabilities, or values of the decision function.
    """

    predicted: Codes
    probabilities: Floats | None
    ranks: Floats | None


@dataclass(frozen=True)
class Measures:
    """What is measured of each model beyond what always is.

    Attributes
    ----------
    labels : sequence of C labels
        As the user has them, by class number.
    rarest : int or None
        Class number of which the average precision is told.
    scorers : dict of the user's scorers by name
    """

    labels: Sequence[Any]
    rarest: int | None = None
    scorers: Mapping[str, Scorer] = field(default_factory=dict)

    def own(
        self, model: Any, answer: Prediction, X: Any, codes: Codes, weights: Floats | None
    ) -> dict[str, float]:
        """What `MORE` metrics and the user's scorers say of a model fitted on class numbers.

        Scorers see a model of the user's labels, which knows all classes.

        Raises
        ------
        InputError
            Where a scorer fails. NaN is what it cannot tell.
        """
        labels = np.asarray(self.labels)
        speaking = _Speaking(model, X, answer, labels)
        found = more_of(answer, codes, weights, len(labels))
        for name, scorer in self.scorers.items():
            weighted = weights is not None and takes_weights(scorer)
            more = {"sample_weight": weights} if weighted else {}
            try:
                found[name] = float(scorer(speaking, X, labels[codes], **more))
            except Exception as error:
                raise InputError(
                    f"metric {name} must give a number for each model, but for "
                    f"{type(model).__name__} it raised {type(error).__name__}: {error}; choose "
                    "another one, or mend the scorer"
                ) from error
        return found

    def check(self, codes: Codes) -> None:
        """Refuse scikit-learn's scorers that cannot score these labels, before anything is trained.

        Raises
        ------
        InputError
        """
        from sklearn.dummy import DummyClassifier

        named = {
            name: scorer
            for name, scorer in self.scorers.items()
            if type(scorer).__module__.startswith("sklearn.")
        }
        known = np.arange(len(self.labels)) if len(codes) == 0 else np.unique(codes)
        X = np.zeros((len(known), 1))
        model = DummyClassifier(strategy="prior").fit(X, known)
        answer = answer_of(model, X, known, len(self.labels))
        # of a few rows much is not defined
        with without_warnings():
            Measures(self.labels, None, named).own(model, answer, X, known, None)


def check_objective(asked: Mapping[str, Any], models: Mapping[str, Any]) -> None:
    """Refuse to judge by what none of the models can tell.

    Raises
    ------
    InputError
    """
    objective = next(iter(asked), "")
    methods = {
        **dict.fromkeys(("log_loss", "brier", "calibration_error"), ("predict_proba",)),
        **dict.fromkeys(("roc_auc", "average_precision"), ("predict_proba", "decision_function")),
    }.get(objective)
    if methods is None:
        return
    if not any(hasattr(model, method) for model in models.values() for method in methods):
        raise InputError(
            f"metric {objective} needs a model with {' or '.join(methods)}, got "
            f"{', '.join(models)}; choose another metric, or name it after one that they can tell"
        )


def measures_of(
    asked: Mapping[str, Scorer | None], labels: Sequence[Any], codes: Codes, rarest: int | None
) -> Measures:
    """What is measured where these metrics are asked for, checked against the labels.

    Raises
    ------
    InputError
        For a scikit-learn scorer that cannot score such labels.
    """
    scorers = {name: scorer for name, scorer in asked.items() if scorer is not None}
    measures = Measures(tuple(labels), rarest, scorers)
    measures.check(codes[codes >= 0])
    return measures


def answer_of(model: Any, X: Any, trained: Codes, classes: int) -> Prediction:
    """Ask a fitted model once, where its classes are those of the highest probability.

    Parameters
    ----------
    model : estimator fitted on class numbers
    X : (m, d) float array
    trained : int array
        Class numbers that it was fitted on.
    classes : int

    Returns
    -------
    Prediction

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> X, y = np.zeros((4, 1)), np.array([0, 2, 2, 2])
    >>> answer_of(DummyClassifier().fit(X, y), X[:1], y, 3).probabilities
    array([[0.25, 0.  , 0.75]])
    """
    known = np.asarray(getattr(model, "classes_", np.unique(trained)), np.int64)
    probabilities = _columns(_asked(model, "predict_proba", X), known, classes, 0.0)
    if probabilities is not None:
        sums = probabilities.sum(axis=1, keepdims=True)
        usable = bool((probabilities >= 0).all() and (sums > 0).all())
        probabilities = probabilities / sums if usable else None
    if probabilities is not None and _tells_classes(model):
        return Prediction(probabilities.argmax(axis=1), probabilities, probabilities)
    predicted = np.asarray(model.predict(X)).astype(np.int64)
    if probabilities is not None:
        return Prediction(predicted, probabilities, probabilities)
    values = _asked(model, "decision_function", X)
    if values is not None and values.ndim == 1 and len(known) == 2:
        values = np.stack([-values, values], axis=1)
    lowest = 0.0 if values is None or values.size == 0 else float(values.min()) - 1
    return Prediction(predicted, None, _columns(values, known, classes, lowest))


def _asked(model: Any, method: str, X: Any) -> Any:
    """What a method says, or None where the model has none, or says what is no number."""
    if not hasattr(model, method):
        return None
    found = np.asarray(getattr(model, method)(X), np.float64)
    return found if np.isfinite(found).all() else None


def _columns(values: Any, known: Codes, classes: int, missing: float) -> Floats | None:
    """A column for each class, whether it was trained on or not."""
    if values is None or values.ndim != 2 or values.shape[1] != len(known):
        return None
    whole = np.full((len(values), classes), missing)
    whole[:, known] = values
    return whole


def _tells_classes(model: Any) -> bool:
    from sklearn.pipeline import Pipeline

    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    kind = type(model)
    usual = kind.__module__.startswith("sklearn.") and kind.__name__ in _OF_PROBABILITIES
    # weighted votes, and draws, are not the highest probability
    return usual and getattr(model, "weights", "uniform") == "uniform" and not _draws(model)


def _draws(model: Any) -> bool:
    return getattr(model, "strategy", "prior") not in ("prior", "most_frequent")


def metrics_of(
    answer: Prediction,
    codes: Codes,
    weights: Floats | None,
    classes: int,
    rarest: int | None = None,
) -> tuple[dict[str, float], Floats]:
    """All metrics by name, NaN for what cannot be told, and the recall of each class.

    Accuracy; balanced accuracy, the mean of the recalls of the classes that occur, and the
    lowest of these. ROC AUC: each class against the rest, mean over the classes that occur; one
    that was not trained on has a constant probability, and so 0.5, or a subset that lost a class
    would seem better for it. Average precision of the rarest class. Log loss, with probabilities
    clipped at `CLIP` and scaled to a sum of 1. Brier score: squares summed over classes, halved
    where there are two. Expected calibration error of the highest probability, in `BINS` bins of
    equal width.

    Parameters
    ----------
    answer : Prediction
    codes : (m,) int64 array
        Class numbers of the test rows.
    weights : (m,) float array, or None
    classes : int
    rarest : int or None
        Of which the average precision is told; the rarest one here unless given.

    Returns
    -------
    dict of float, (classes,) float array

    References
    ----------
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks; Naeini, Cooper,
    Hauskrecht (2015), for the calibration error.

    Examples
    --------
    >>> half = np.full((2, 2), 0.5)
    >>> first = Prediction(np.zeros(2, int), half, half)
    >>> found, recalls = metrics_of(first, np.array([0, 1]), None, 2)
    >>> {name: round(value, 3) for name, value in found.items() if value != 0.5}
    {'worst_class_recall': 0.0, 'log_loss': 0.693, 'brier': 0.25, 'calibration_error': 0.0}
    """
    right = answer.predicted == codes
    counts = np.bincount(codes, weights, minlength=classes)
    times = 1.0 if weights is None else weights
    hits = np.bincount(codes, right * times, minlength=classes)
    recalls = np.where(counts > 0, hits / np.where(counts > 0, counts, 1), np.nan)
    found = {
        "accuracy": float(np.average(right, weights=weights)),
        "balanced_accuracy": float(np.nanmean(recalls)),
        "worst_class_recall": float(np.nanmin(recalls)),
    }
    if rarest is None:
        rarest = int(np.argmin(np.where(counts > 0, counts, np.inf)))
    found |= _ranking(answer.ranks, codes, weights, counts, rarest)
    return found | _probable(answer, codes, weights, classes), recalls


def _ranking(
    ranks: Floats | None, codes: Codes, weights: Floats | None, counts: Any, rarest: int
) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    found = {"roc_auc": float("nan"), "average_precision": float("nan")}
    occur = np.flatnonzero(counts > 0)
    if ranks is None or len(occur) < 2:
        return found
    # of two classes, either against the other is the same
    told = occur[1:] if len(counts) == 2 else occur
    areas = [roc_auc_score(codes == c, ranks[:, c], sample_weight=weights) for c in told]
    found["roc_auc"] = float(np.mean(areas))
    if counts[rarest] > 0:
        found["average_precision"] = float(
            average_precision_score(codes == rarest, ranks[:, rarest], sample_weight=weights)
        )
    return found


def _probable(
    answer: Prediction, codes: Codes, weights: Floats | None, classes: int
) -> dict[str, float]:
    from sklearn.metrics import brier_score_loss, log_loss

    P, numbers = answer.probabilities, np.arange(classes)
    if P is None:
        return dict.fromkeys(("log_loss", "brier", "calibration_error"), float("nan"))
    clipped = np.clip(P, CLIP, 1.0)
    clipped /= clipped.sum(axis=1, keepdims=True)
    more: dict[str, Any] = {"labels": numbers, "sample_weight": weights}
    # of two classes scikit-learn takes the second's column
    squares = P[:, 1] if classes == 2 else P
    return {
        "log_loss": float(log_loss(codes, clipped, **more)),
        "brier": float(brier_score_loss(codes, squares, **more)),
        "calibration_error": calibration_error(P, codes, weights),
    }


def calibration_error(P: Floats, codes: Codes, weights: Floats | None = None) -> float:
    """Mean distance of the highest probability from how often it is right, in 15 bins.

    Parameters
    ----------
    P : (m, C) float array
    codes : (m,) int array
    weights : (m,) float array, optional

    Returns
    -------
    float, 0 to 1

    References
    ----------
    Guo, Pleiss, Sun, Weinberger (2017), On calibration of modern neural networks.

    Examples
    --------
    >>> round(calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1])), 3)
    0.4
    """
    highest, right = P.max(axis=1), P.argmax(axis=1) == codes
    # bins are open below: 1 belongs to the last
    bins = np.clip(np.ceil(highest * BINS).astype(np.int64) - 1, 0, BINS - 1)
    share = np.ones(len(codes)) if weights is None else np.asarray(weights, np.float64)
    gaps = np.bincount(bins, share * (right - highest), minlength=BINS)
    return float(np.abs(gaps).sum() / share.sum())


class _Speaking:
    """A model fitted on class numbers, as one of the user's labels that knows all classes."""

    def __init__(self, model: Any, X: Any, answer: Prediction, labels: Any) -> None:
        self._model, self._X, self._answer = model, X, answer
        self.classes_ = labels

    def __sklearn_tags__(self) -> Any:
        from sklearn.base import BaseEstimator, ClassifierMixin

        return type("Classifier", (ClassifierMixin, BaseEstimator), {})().__sklearn_tags__()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("_model", "_X", "_answer"):
            raise AttributeError(name)

        # scikit-learn knows the two by the names of functions
        def predict_proba(X: Any) -> Any:
            return self._of(X).probabilities

        def decision_function(X: Any) -> Any:
            return self._values(X)

        if name == "predict_proba" and self._answer.probabilities is not None:
            return predict_proba
        if name == "decision_function" and hasattr(self._model, name):
            return decision_function
        return getattr(self._model, name)

    def predict(self, X: Any) -> Any:
        """(m,) labels of the user's."""
        return self.classes_[self._of(X).predicted]

    def _values(self, X: Any) -> Any:
        values = self._model.decision_function(X)
        known = np.asarray(getattr(self._model, "classes_", np.arange(len(self.classes_))))
        if len(known) == len(self.classes_):
            return values
        if values.ndim == 1:
            values = np.stack([-values, values], axis=1)
        return _columns(values, known, len(self.classes_), float(values.min()) - 1)

    def _of(self, X: Any) -> Prediction:
        if X is self._X:
            return self._answer
        known = np.asarray(getattr(self._model, "classes_", np.arange(len(self.classes_))))
        return answer_of(self._model, X, known, len(self.classes_))
