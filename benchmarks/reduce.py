"""Selecting in learned features against selecting in pixels: accuracy and coverage.

    python benchmarks/reduce.py [--rows 20000] [--seeds 2]

Fashion-MNIST where Debian's dataset-fashion-mnist is installed, else scikit-learn's digits. Models
are trained on the pixels of the selected rows; distances are measured in pixels, whatever space the
rows were selected in. Needs the extra `torch` for the autoencoder, which is left out without it.
"""

import argparse
import gzip
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.neighbors import KNeighborsClassifier

from dask_distill import distill

_FASHION = Path("/usr/share/datasets/fashion-mnist")


def load(rows):
    """Training and test rows, pixels from 0 to 1."""
    if not _FASHION.exists():
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        order = np.random.default_rng(0).permutation(len(X))
        X, y = X[order].astype(np.float32) / 16, y[order]
        return X[:1300], y[:1300], X[1300:], y[1300:]
    parts = []
    for part, count in (("train", rows), ("t10k", 5_000)):
        with gzip.open(_FASHION / f"{part}-images-idx3-ubyte.gz") as file:
            pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)[:count]
        with gzip.open(_FASHION / f"{part}-labels-idx1-ubyte.gz") as file:
            labels = np.frombuffer(file.read(), np.uint8, offset=8)[:count].astype(int)
        parts += [pixels.astype(np.float32) / 255, labels]
    return tuple(parts)


def judge(X, y, X_test, y_test, coreset):
    """Accuracy of two models, and how far rows are from the nearest selected one."""
    chosen, weights = coreset.indices, coreset.weights
    linear = LogisticRegression(max_iter=200).fit(
        X[chosen], y[chosen], sample_weight=weights / weights.mean()
    )
    near = KNeighborsClassifier(3).fit(X[chosen], y[chosen])
    _, distance = pairwise_distances_argmin_min(X, X[chosen])
    return (
        linear.score(X_test, y_test),
        near.score(X_test, y_test),
        distance.mean(),
        distance.max(),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    X, y, X_test, y_test = load(options.rows)
    warnings.simplefilter("ignore")
    spaces = [None, "pca:32", "random-projection:64"]
    if find_spec("torch"):
        spaces.append("autoencoder:32")
    print(f"{len(X):,} x {X.shape[1]}, means of {options.seeds} seeds\n")
    print("| strategy | size | space | linear | neighbours | mean distance | largest |")
    print("|---|---|---|---|---|---|---|")
    for strategy in ("stratified", "auto", "kcenter"):
        for fraction in (0.01, 0.05):
            for space in spaces if strategy != "stratified" else [None]:
                figures = []
                for seed in range(options.seeds):
                    coreset = distill(
                        X, y, fraction=fraction, strategy=strategy, reduce=space, seed=seed
                    )
                    figures.append(judge(X, y, X_test, y_test, coreset))
                linear, near, mean, most = np.mean(figures, axis=0)
                print(
                    f"| `{strategy}` | {fraction:.0%} | {space or 'pixels'} | {linear:.1%} | "
                    f"{near:.1%} | {mean:.2f} | {most:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
