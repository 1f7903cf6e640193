"""What it is worth to tell a selection of sample weights: accuracy, beside multiplying them after.

Four classes, of which one counts for a third of its rows; weights vary tenfold and more. Each row
of the table is a strategy: weighted accuracy on held-out rows where the selection knew the weights,
and where the weights of its rows were multiplied afterwards, of two models.

    python benchmarks/sample_weight.py --seeds 2
"""

import argparse

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from dask_distill import distill

_ROWS, _TEST, _SIZE = 10_000, 6_000, 300
_STRATEGIES = ("random", "stratified", "auto", "coverage", "combined")


def accuracies(X, y, weights, *, strategy, told, seed):
    """Weighted accuracy of both models, in per cent."""
    train, test = np.split(np.random.default_rng(seed).permutation(len(X)), [_ROWS])
    coreset = distill(
        X[train],
        y[train],
        size=_SIZE,
        strategy=strategy,
        seed=seed,
        sample_weight=weights[train] if told else None,
    )
    rows = train[coreset.indices]
    mine = coreset.weights if told else coreset.weights * weights[rows]
    models = LogisticRegression(max_iter=300), RandomForestClassifier(60, random_state=0)
    found = []
    for model in models:
        model.fit(X[rows], y[rows], sample_weight=mine / mine.mean())
        found.append(100 * model.score(X[test], y[test], sample_weight=weights[test]))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    seeds = range(parser.parse_args().seeds)
    shares = [0.55, 0.3, 0.1, 0.05]
    X, y = make_classification(
        _ROWS + _TEST,
        8,
        n_informative=5,
        n_classes=4,
        class_sep=1.2,
        weights=shares,
        random_state=0,
    )
    print("weighted accuracy, logistic regression and forest: told / multiplied afterwards")
    for strategy in _STRATEGIES:
        table = []
        for seed in seeds:
            skewed = np.random.default_rng(seed + 100).lognormal(0, 1, len(X))
            weights = skewed * np.where(y == 0, 0.3, 1)
            how = {"strategy": strategy, "seed": seed}
            table.append([accuracies(X, y, weights, told=told, **how) for told in (True, False)])
        told, after = np.mean(table, axis=0)
        pairs = ", ".join(f"{a:.1f} / {b:.1f}" for a, b in zip(told, after, strict=True))
        print(f"{strategy:<12}{pairs}", flush=True)


if __name__ == "__main__":
    main()
