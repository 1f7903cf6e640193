"""The paper's table 1: 100,000 rows to 10,000, accuracy and seconds on all rows and on a tenth.

    python benchmarks/quality/table1.py

On a set made like the paper's, of which a model trained on all rows gets about 92 % right;
20,000 further rows of it are the test. Selection is counted: survey, proxy and cells, by
`distill` on Dask's threads; its wall and CPU seconds are shown, those of training are of one CPU.
"""

import time
import warnings

import numpy as np
import sets
from models import MODELS, train_and_test
from threadpoolctl import threadpool_limits

from dask_distill import distill

STRATEGIES = ("auto", "stratified", "random", "entropy", "gradient")


def main():
    X, y = sets.load("paper120")
    X_test, y_test = X[100_000:], y[100_000:]
    X, y = X[:100_000], y[:100_000]
    mean, scale = X.mean(0), X.std(0)
    X, X_test = (X - mean) / scale, (X_test - mean) / scale
    whole = {model: train_and_test(model, X, y, None, X_test, y_test, 0) for model in MODELS}
    lines = [
        "| rows by | select | CPU | model | all rows | 10 % | kept | train all | train 10 % | ratio |"
        " with selection |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name in STRATEGIES:
        started = time.perf_counter(), time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            coreset = distill(X, y, size=10_000, strategy=name)
        wall = time.perf_counter() - started[0]
        seconds = time.process_time() - started[1]
        rows = coreset.indices
        weights = coreset.weights if name == "auto" else None
        for model in MODELS:
            full = whole[model]
            part = train_and_test(model, X[rows], y[rows], weights, X_test, y_test, 0)
            lines.append(
                f"| {name} | {wall:.1f} s | {seconds:.1f} s | {model} | {full.accuracy:.1%} | {part.accuracy:.1%} "
                f"| {part.accuracy / full.accuracy:.1%} | {full.seconds:.2f} s "
                f"| {part.seconds:.2f} s | {full.seconds / max(part.seconds, 1e-9):.1f} "
                f"| {full.seconds / (part.seconds + seconds):.1f} |"
            )
        print(name, np.bincount(y[rows]), flush=True)
    print("\n".join(lines))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
