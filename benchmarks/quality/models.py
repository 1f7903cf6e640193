"""The models that are trained on subsets, and how well they do on rows held out."""

import time
import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

MODELS = ("logistic", "boosting", "knn", "mlp")
# models whose training takes long enough to be worth a selection
DEARER = ("mlp, as many epochs", "forest", "svm")
# as many steps for a small subset as for the whole, within reason
_MLP_STEPS = 800
_EPOCHS = 50
# a probability that log loss takes for 0
_LEAST = 1e-6


@dataclass(frozen=True)
class Outcome:
    """What a trained model is worth, and what it cost.

    Accuracy; balanced accuracy (mean recall over the test's classes); the Brier score of its
    probabilities, from 0 (certain and right) to 2; the area under the ROC curve, each class against
    the rest, mean over the test's classes; log loss in nats, probabilities from 1e-6 on; CPU
    seconds to fit.
    """

    accuracy: float
    balanced: float
    brier: float
    roc_auc: float
    log_loss: float
    seconds: float


def make(name, n, classes, seed):
    """A model for n rows."""
    if name == "logistic":
        return LogisticRegression(C=1.0, max_iter=150, tol=1e-3)
    if name == "boosting":
        # without l2_regularization it diverges on many classes
        return HistGradientBoostingClassifier(
            max_iter=20 if classes > 8 else 50,
            learning_rate=0.2,
            max_leaf_nodes=15,
            l2_regularization=2.0,
            min_samples_leaf=10 if n >= 1000 else 5,
            early_stopping=False,
            random_state=seed,
        )
    if name == "knn":
        return KNeighborsClassifier(5 if n >= 300 else 3, algorithm="brute")
    if name == "forest":
        return RandomForestClassifier(100, random_state=seed)
    if name == "svm":
        return SVC(cache_size=1000)
    if name == "mlp, as many epochs":
        return MLPClassifier((64,), max_iter=_EPOCHS, n_iter_no_change=_EPOCHS, random_state=seed)
    batch = min(n, 64 if n < 5000 else 200)
    epochs = int(np.clip(_MLP_STEPS * batch / n, 10, 100))
    return MLPClassifier(
        (64,),
        batch_size=batch,
        max_iter=epochs,
        n_iter_no_change=epochs,
        learning_rate_init=2e-3,
        random_state=seed,
    )


def binned(X, X_test):
    """Each feature as the number of its quantile among the training rows.

    scikit-learn 1.9 takes 0.1 s a feature to bin rows with weights, unless values are few.
    """
    edges = np.quantile(X, np.linspace(0, 1, 256)[1:-1], axis=0)
    columns = [np.unique(column) for column in edges.T]
    return tuple(
        np.column_stack(
            [np.searchsorted(c, values[:, j], side="right") for j, c in enumerate(columns)]
        ).astype(np.float32)
        for values in (X, X_test)
    )


def train_and_test(name, X, y, weights, X_test, y_test, seed):
    """Fit on a subset (all models but kNN with its weights) and judge on the test rows."""
    model = make(name, len(y), len(np.unique(y)), seed)
    started = time.process_time()
    if name == "boosting":
        X, X_test = binned(X, X_test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "knn" or weights is None:
            model.fit(X, y)
        else:
            model.fit(X, y, sample_weight=weights * (len(weights) / weights.sum()))
        seconds = time.process_time() - started
        right = model.predict(X_test) == y_test
        probable = [np.nan] * 3
        if hasattr(model, "predict_proba"):
            P = model.predict_proba(X_test)
            probable = [f(P, model.classes_, y_test) for f in (brier_score, roc_auc, log_loss)]
    recalls = [right[y_test == c].mean() for c in np.unique(y_test)]
    return Outcome(float(right.mean()), float(np.mean(recalls)), *probable, seconds)


def brier_score(P, classes, y_test):
    """Mean squared distance of probabilities to the truth; 0 for classes that were not learnt."""
    truth = y_test[:, None] == classes
    missing = ~truth.any(axis=1)
    return float((((P - truth) ** 2).sum(axis=1) + missing).mean())


def roc_auc(P, classes, y_test):
    """Mean over the test's classes, each against the rest; one half for one that was not learnt."""
    areas = []
    for code in np.unique(y_test):
        learnt = np.flatnonzero(classes == code)
        areas.append(roc_auc_score(y_test == code, P[:, learnt[0]]) if len(learnt) else 0.5)
    return float(np.mean(areas))


def log_loss(P, classes, y_test):
    """Mean of -log of the probability of the truth; 1e-6 for classes that were not learnt."""
    own = np.where(y_test[:, None] == classes, P, 0).max(axis=1)
    return float(-np.log(np.clip(own, _LEAST, 1)).mean())
