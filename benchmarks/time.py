"""A series on which random splitting flatters, and the split forward in time does not.

    python benchmarks/time.py

Eight sensors as an autoregressive process, and a state that changes slowly and shows in none of
them for long: a model that knows rows from the same hours recognises the hours. Neighbours, trees
and a linear model are trained on selected rows and tested on others, drawn at random or later ones.
"""

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from dask_distill import distill
from dask_distill.data.dataset import as_dataset

N = 20_000


def sensors(n=N, memory=200.0, seed=0):
    """(n, 8) readings, a class that lasts some 100 readings, and times in hours."""
    rng = np.random.default_rng(seed)
    kept = np.exp(-1 / memory)
    X = np.empty((n, 8))
    X[0] = rng.normal(size=8)
    steps = rng.normal(size=(n, 8)) * np.sqrt(1 - kept**2)
    for row in range(1, n):
        X[row] = kept * X[row - 1] + steps[row]
    # a quarter of the state shows in the first sensor, the rest is a drift of its own
    drift = np.empty(n)
    drift[0] = 0
    noise = rng.normal(size=n) * np.sqrt(1 - kept**2)
    for row in range(1, n):
        drift[row] = kept * drift[row - 1] + noise[row]
    y = (0.5 * X[:, 0] + drift > 0).astype(int)
    return X.astype(np.float32), y, np.arange(n, dtype=float)


def main():
    X, y, hours = sensors()
    models = {
        "linear": LogisticRegression(),
        "neighbours": KNeighborsClassifier(3),
        "boosting": HistGradientBoostingClassifier(max_iter=50),
    }
    print(f"{N:,} x 8, 5 seeds\n")
    print("| selected by | split | subset | random | everything |")
    print("|---|---|---|---|---|")
    for name, how in (
        ("stratified", {}),
        ("auto", {}),
        ("auto", {"time_scale": "auto"}),
        ("periods", {"options": {"period": 50}}),
        ("spaced", {"options": {"min_gap": 5}}),
    ):
        coreset = distill(X, y, time=hours, fraction=0.05, strategy=name, **how)
        timed = as_dataset(X, y, time=hours)
        # the same rows, judged as if nothing were known of their time
        timeless = distill(X, y, time=hours, fraction=0.05, strategy=name, **how)
        timeless.provenance["input"]["time"] = None
        for split, found in (
            ("at random", timeless.evaluate(X, y, models=models)),
            ("forward", coreset.evaluate(timed, models=models)),
        ):
            scores = [found.score(way).accuracy for way in ("subset", "random", "everything")]
            label = f"`{name}`" + (", time_scale=auto" if "time_scale" in how else "")
            print(f"| {label} | {split} | " + " | ".join(f"{s:.1%}" for s in scores) + " |")


if __name__ == "__main__":
    main()
