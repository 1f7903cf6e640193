"""The paper's table 1: 100,000 rows to 10,000, accuracy and seconds on all rows and on a tenth.

    python benchmarks/quality/table1.py

On a set made like the paper's, of which a model trained on all rows gets about 92 % right;
20,000 further rows of it are the test. A tenth is drawn by three seeds, and figures are means over
them. Seconds are of one CPU; the selection (survey, proxy and cells, by `distill` on Dask's
threads) is counted. The support vector machine alone takes six minutes on all rows.
"""

import time
import warnings

import numpy as np
import sets
from models import DEARER, MODELS, train_and_test
from threadpoolctl import threadpool_limits

from dask_distill import distill

STRATEGIES = ("auto", "stratified", "random", "entropy", "gradient")
SEEDS = 3
_HEAD = ("rows by", "selection", "model", "all rows", "10 %", "points lost", "training, all rows",
         "10 %", "times faster", "with selection")  # fmt: skip


def main():
    X, y = sets.load("paper120")
    X_test, y_test = X[100_000:], y[100_000:]
    X, y = X[:100_000], y[:100_000]
    mean, scale = X.mean(0), X.std(0)
    X, X_test = (X - mean) / scale, (X_test - mean) / scale
    models = (*MODELS, *DEARER)
    whole = {model: train_and_test(model, X, y, None, X_test, y_test, 0) for model in models}
    print(f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}")
    for name in STRATEGIES:
        chosen, spent = zip(*(select(X, y, name, seed) for seed in range(SEEDS)), strict=True)
        seconds = np.mean(spent)
        for model, full in whole.items():
            parts = [
                train_and_test(
                    model, X[c.indices], y[c.indices], c.weights if name == "auto" else None,
                    X_test, y_test, seed,
                )
                for seed, c in enumerate(chosen)
            ]  # fmt: skip
            accuracy = np.mean([part.accuracy for part in parts])
            fit = np.mean([part.seconds for part in parts])
            # kNN has nothing to train
            factor = [full.seconds / fit, full.seconds / (fit + seconds)] if model != "knn" else []
            cells = (
                name,
                f"{seconds:.1f} s",
                model,
                f"{full.accuracy:.1%}",
                f"{accuracy:.1%}",
                f"{100 * (full.accuracy - accuracy):.2f}",
                f"{full.seconds:.2f} s",
                f"{fit:.2f} s",
                *(f"{times:.1f}" for times in factor),
                *[""] * (2 - len(factor)),
            )
            print(f"| {' | '.join(cells)} |", flush=True)


def select(X, y, strategy, seed):
    """A tenth of the rows, and the CPU seconds that it took."""
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        coreset = distill(X, y, size=10_000, strategy=strategy, seed=seed)
    return coreset, time.process_time() - started


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
