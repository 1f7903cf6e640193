"""The paper's table 1: 100,000 rows to 10,000, accuracy and seconds on all rows and on a tenth.

    python benchmarks/quality/table1.py

On a set made like the paper's, of which a model trained on all rows gets about 92 % right;
20,000 further rows of it are the test. Seconds are of one CPU; the selection (survey, proxy and
cells, by `distill` on Dask's threads) is counted.
"""

import time
import warnings

import sets
from models import DEARER, MODELS, train_and_test
from threadpoolctl import threadpool_limits

from dask_distill import distill

STRATEGIES = ("auto", "stratified", "random", "entropy", "gradient")
_HEAD = ("rows by", "selection", "model", "all rows", "10 %", "kept", "training, all rows",
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
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coreset = distill(X, y, size=10_000, strategy=name)
        seconds = time.process_time() - started
        rows = coreset.indices
        weights = coreset.weights if name == "auto" else None
        for model, full in whole.items():
            part = train_and_test(model, X[rows], y[rows], weights, X_test, y_test, 0)
            cells = (
                name,
                f"{seconds:.1f} s",
                model,
                f"{full.accuracy:.1%}",
                f"{part.accuracy:.1%}",
                f"{part.accuracy / full.accuracy:.1%}",
                f"{full.seconds:.2f} s",
                f"{part.seconds:.2f} s",
                # kNN has nothing to train
                "" if model == "knn" else f"{full.seconds / part.seconds:.1f}",
                "" if model == "knn" else f"{full.seconds / (part.seconds + seconds):.1f}",
            )
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
