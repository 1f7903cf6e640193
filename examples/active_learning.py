"""Labelling with a human in the loop: which rows of a pool are worth the next hour?

    python examples/active_learning.py [--ask]

A pool of handwritten digits starts without labels. Every round a model is fitted on what is
labelled, rows it is unsure of and that nobody has seen the like of are selected, and someone says
what they are: with ``--ask`` it is you, at the keyboard; otherwise the labels that the set comes
with answer. The same loop with random rows stands beside it. Needs scikit-learn alone.
"""

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_distill.labelling import label_in_batches

SIZE, BATCHES = 20, 6


def main(by_hand: bool) -> None:
    X, truth = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    pool, test = order[:1300], order[1300:]
    X_pool, X_test, y_test = X[pool], X[test], truth[test]

    def known(rows: np.ndarray) -> np.ndarray:
        return truth[pool[rows]]

    def asked(rows: np.ndarray) -> np.ndarray:
        return np.array([int(input(f"{drawn(X_pool[row])}\nwhich digit? ")) for row in rows])

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    ways = {"active": ("active", "kmeans"), "random": ("random", "random")}
    if by_hand:
        ways.pop("random")
    scores = {}
    for name, (strategy, first) in ways.items():
        batches = label_in_batches(
            X_pool,
            asked if by_hand else known,
            model,
            size=SIZE,
            batches=BATCHES,
            strategy=strategy,
            first=first,
        )
        scores[name] = [batch.model.score(X_test, y_test) for batch in batches]
    print("labelled  " + "  ".join(f"{name:>7}" for name in scores))
    for number, row in enumerate(zip(*scores.values(), strict=True), start=1):
        print(f"{number * SIZE:>8}  " + "  ".join(f"{score:7.1%}" for score in row))


def drawn(pixels: np.ndarray) -> str:
    """A digit of 8 x 8 grey values, as text."""
    return "\n".join(
        "".join(" .:oO@"[int(value) // 3] * 2 for value in line) for line in pixels.reshape(8, 8)
    )


if __name__ == "__main__":
    main("--ask" in sys.argv[1:])
