"""What users would do without this package, beside it: accuracy, AUC, log loss and CPU seconds.

    pip install --no-deps cleanlab termcolor tqdm kmedoids xgboost-cpu
    python benchmarks/quality/peers.py

A tenth of 5,000 rows by `auto`, and by what is put together from others: cleanlab's label issues
(from the out-of-bag probabilities of a random forest) left out, and of what is left, per class,
k-means (scikit-learn; the rows nearest to the centers, which weigh their clusters) or FasterPAM.
All against class-stratified random. XGBoost is trained on such tenths, too, and on all rows with a
tenth of them drawn anew for each tree: by gradient (minimal variance sampling), and at random.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from blocks import Source, Spec
from cleanlab.filter import find_label_issues
from kmedoids import fasterpam
from models import Outcome, brier_score, log_loss, roc_auc, train_and_test
from run import split
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import pairwise_distances, pairwise_distances_argmin
from summary import interval
from threadpoolctl import threadpool_limits
from xgboost import XGBClassifier

from dask_distill.kernels.quotas import class_quotas

HERE = Path(__file__).parent
SETS = ("digits", "letter", "magic", "satimage", "phoneme", "spambase")
MODELS = ("logistic", "boosting", "knn")
BASELINE = "stratified"
_ROWS, _FRACTION, _DRAWS = 5_000, 0.1, 2
METRICS = (("accuracy", 100), ("balanced", 100), ("roc_auc", 100), ("log_loss", -100))


def kept_by_cleanlab(X, y, seed):
    """Rows without label issues, which are told from probabilities by trees without the row."""
    forest = RandomForestClassifier(200, oob_score=True, random_state=seed).fit(X, y)
    return np.flatnonzero(~find_label_issues(y, forest.oob_decision_function_, n_jobs=1))


def by_class(X, y, rows, size, seed, pick):
    """Of each class, rows of its share of what is left, and how many each stands for."""
    counts = np.bincount(y[rows], minlength=int(y.max()) + 1)
    quotas = class_quotas(size, counts.astype(np.float64), counts, 1)
    chosen, weights = [], []
    for code in np.flatnonzero(quotas):
        mine = rows[y[rows] == code]
        picks, stand_for = pick(X[mine], int(quotas[code]), seed)
        chosen.append(mine[picks])
        weights.append(stand_for)
    return np.concatenate(chosen), np.concatenate(weights)


def kmeans(X, k, seed):
    """Rows nearest to the centers; a row that is so for several counts for all of them."""
    fitted = KMeans(k, n_init=1, random_state=seed).fit(X)
    sizes = np.bincount(fitted.labels_, minlength=k)
    nearest = pairwise_distances_argmin(fitted.cluster_centers_, X)
    rows, place = np.unique(nearest, return_inverse=True)
    return rows, np.bincount(place, weights=sizes)


def medoids(X, k, seed):
    """FasterPAM on all distances within the class."""
    found = fasterpam(pairwise_distances(X), k, random_state=seed, n_cpu=1)
    return found.medoids.astype(np.int64), np.bincount(found.labels, minlength=k).astype(float)


def selections(X, y, time_order, size, seed):
    """(strategy, rows, weights, CPU seconds) of each way."""
    source = Source(X, y, time_order, seed)

    def timed(name, select):
        started = time.process_time()
        rows, weights = select()
        return name, rows, weights, time.process_time() - started

    for draw in range(_DRAWS):
        drawn = source.select(Spec.parse(BASELINE), size, draw)
        yield BASELINE, drawn.rows, None, 0.0

    def ours():
        # a source of its own, whose survey counts
        found = Source(X, y, time_order, seed).select(Spec.parse("auto"), size)
        return found.rows, found.weights

    yield timed("auto", ours)
    every = np.arange(len(y))
    kept = {}

    def peer(pick, clean):
        if clean:
            kept["rows"] = kept_by_cleanlab(X, y, seed)
        return by_class(X, y, kept["rows"] if clean else every, size, seed, pick)

    for name, pick in (("k-means", kmeans), ("FasterPAM", medoids)):
        yield timed(f"{name} by class", lambda pick=pick: peer(pick, False))
        yield timed(f"cleanlab, {name} by class", lambda pick=pick: peer(pick, True))


def xgboost(X, y, weights, test, seed, **options):
    """XGBoost's outcome; 50 trees a class."""
    X_test, y_test = test
    classes, codes = np.unique(y, return_inverse=True)
    model = XGBClassifier(
        n_estimators=50, learning_rate=0.2, max_depth=5, n_jobs=1, random_state=seed, **options
    )
    started = time.process_time()
    model.fit(X, codes, sample_weight=None if weights is None else weights / weights.mean())
    seconds = time.process_time() - started
    P = model.predict_proba(X_test)
    right = classes[P.argmax(axis=1)] == y_test
    recalls = [right[y_test == c].mean() for c in np.unique(y_test)]
    probable = [f(P, classes, y_test) for f in (brier_score, roc_auc, log_loss)]
    return Outcome(float(right.mean()), float(np.mean(recalls)), *probable, seconds)


def measure(name, seed, noise):
    """Rows of the table for one cut of one set."""
    X, y, time_order, X_test, y_test = split(name, seed, noise, cap=_ROWS)
    X, X_test = X.astype(np.float32), X_test.astype(np.float32)
    size, test = round(_FRACTION * len(y)), (X_test, y_test)
    cut = {"set": name, "noise": noise, "seed": seed}
    for strategy, rows, weights, seconds in selections(X, y, time_order, size, seed):
        for model in MODELS:
            found = train_and_test(model, X[rows], y[rows], weights, X_test, y_test, seed)
            yield cut | _row(strategy, model, len(rows), seconds, found)
        found = xgboost(X[rows], y[rows], weights, test, seed)
        yield cut | _row(strategy, "XGBoost", len(rows), seconds, found)
    ways = {"gradient": "gradient_based", "random": "uniform"}
    for way, method in ways.items():
        drawn = {"subsample": _FRACTION, "sampling_method": method, "tree_method": "hist"}
        found = xgboost(X, y, None, test, seed, **drawn)
        yield cut | _row(f"a tenth for each tree, by {way}", "XGBoost", len(y), 0.0, found)
    found = xgboost(X, y, None, test, seed)
    yield cut | _row("all rows", "XGBoost", len(y), 0.0, found)


def _row(strategy, model, size, seconds, found):
    numbers = {name: round(getattr(found, name), 5) for name, _ in METRICS}
    told = {"strategy": strategy, "model": model, "size": size, "select_seconds": round(seconds, 3)}
    return told | numbers | {"fit_seconds": round(found.seconds, 4)}


def markdown(table):
    """Means over sets of what each way is above stratified, with an interval over sets."""
    names = [name for name, _ in METRICS]
    by = ["set", "noise", "seed", "model"]
    base = table[table.strategy == BASELINE].groupby(by)[names].mean()
    others = table[table.strategy != BASELINE].set_index([*by, "strategy"])
    found = others[names] - base.reindex(others.index.droplevel("strategy")).to_numpy()
    for name, factor in METRICS:
        found[name] *= factor
    found[["select_seconds", "fit_seconds"]] = others[["select_seconds", "fit_seconds"]]
    found = found.reset_index()
    head = ["labels", "rows by", "accuracy", "balanced accuracy", "AUC", "log loss",
            "selection, CPU s", "training, CPU s"]  # fmt: skip
    text = []
    for title, models in (("Mean of logistic, boosting, kNN", MODELS), ("XGBoost", ["XGBoost"])):
        text += [f"{title}:", "", _line(head), "|" + "---|" * len(head)]
        part = found[found.model.isin(models)]
        for (noise, strategy), rows in part.groupby(["noise", "strategy"], sort=False):
            sets = rows.groupby("set")[[*names, "select_seconds", "fit_seconds"]].mean()
            cells = [f"{m:+.2f} ± {h:.2f}" for m, h in (interval(sets[n]) for n in names)]
            spent = [f"{sets[c].mean():.2f}" for c in ("select_seconds", "fit_seconds")]
            labels = f"{noise:.0%} wrong" if noise else "as they are"
            text.append(_line([labels, strategy, *cells, *spent]))
        text.append("")
    return "\n".join(text)


def _line(cells):
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--noise", nargs="+", type=float, default=[0.0, 0.1])
    parser.add_argument("--out", type=Path, default=HERE / "results-peers.csv")
    given = parser.parse_args()
    rows = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for noise in given.noise:
            for seed in range(given.seeds):
                for name in given.sets:
                    rows += measure(name, seed, noise)
    table = pd.DataFrame(rows)
    table.to_csv(given.out, index=False)
    print(markdown(table))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
