"""Ensembles of several subsets: dealt out of one selection, selected by seed, or in turn.

Each row is a data set, a strategy and a model: accuracy on held-out rows, in per cent, of the
average of the models' probabilities over eight subsets, and (in brackets) the mean of one model
alone. Subsets by seed may share rows; in turn, rows taken before are left out (``initial``).

    python benchmarks/subsets.py --seeds 3
"""

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_distill import SelectionWarning, distill
from dask_distill.cli.flights import flights_table

_SUBSETS = 8
_MODELS = {
    "neighbours": lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=60, early_stopping=False),
}


def data_sets():
    """Name, features, class numbers, training rows, rows of a subset."""
    digits = load_digits()
    yield "digits", digits.data, digits.target, 1_200, 100
    made = make_classification(
        24_000,
        20,
        n_informative=10,
        n_classes=5,
        n_clusters_per_class=3,
        flip_y=0.05,
        random_state=0,
    )
    yield "made", *made, 20_000, 500
    flights = flights_table(numeric=True).sample(60_000, random_state=0)
    late = (flights["late"] == "late").to_numpy().astype(int)
    features = flights.drop(columns="late").select_dtypes("number").to_numpy(np.float64)
    yield "flights", features, late, 50_000, 1_000


def dealt(X, y, size, **more):
    """Row numbers and weights of subsets that are dealt out."""
    coreset = distill(X, y, size=size, subsets=_SUBSETS, **more)
    return [(one.indices, one.weights) for one in map(coreset.subset, range(_SUBSETS))]


def by_seed(X, y, size, seed, **more):
    """The same of independent ones."""
    found = [distill(X, y, size=size, seed=1000 * seed + n, **more) for n in range(_SUBSETS)]
    return [(one.indices, one.weights) for one in found]


def in_turn(X, y, size, seed, **more):
    """The same of subsets that leave out the rows of those before."""
    found, taken = [], None
    for number in range(_SUBSETS):
        one = distill(X, y, size=size, seed=1000 * seed + number, initial=taken, **more)
        found.append((one.indices, one.weights))
        taken = one.indices if taken is None else np.union1d(taken, one.indices)
    return found


def accuracies(subsets, X, y, train, model):
    """Of the ensemble, and of one model alone on average; in per cent."""
    test = slice(train, None)
    votes = []
    for rows, weights in subsets:
        fitted = _MODELS[model]()
        weighted = {"sample_weight": weights / weights.mean()} if model == "boosting" else {}
        fitted.fit(X[rows], y[rows], **weighted)
        vote = np.zeros((len(X) - train, y.max() + 1))
        vote[:, fitted.classes_] = fitted.predict_proba(X[test])
        votes.append(vote)
    alone = np.mean([(vote.argmax(axis=1) == y[test]).mean() for vote in votes])
    together = (np.mean(votes, axis=0).argmax(axis=1) == y[test]).mean()
    return 100 * together, 100 * alone


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    warnings.simplefilter("ignore", SelectionWarning)
    print("ensemble (one alone):  dealt out  |  by seed  |  in turn")
    for name, features, classes, train, size in data_sets():
        for strategy in ("auto", "stratified"):
            found = {}
            for seed in seeds:
                order = np.random.default_rng(100 + seed).permutation(len(features))
                X, y = features[order], classes[order]
                for way in (dealt, by_seed, in_turn):
                    subsets = way(X[:train], y[:train], size, seed=seed, strategy=strategy)
                    for model in _MODELS:
                        scores = accuracies(subsets, X, y, train, model)
                        found.setdefault((model, way), []).append(scores)
            for model in _MODELS:
                means = [np.mean(found[model, way], axis=0) for way in (dealt, by_seed, in_turn)]
                told = "  |  ".join(f"{both:.1f} ({one:.1f})" for both, one in means)
                print(f"{name}, {strategy}, {model}:  {told}", flush=True)


if __name__ == "__main__":
    main()
