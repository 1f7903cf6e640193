"""What scales are worth where tails are heavy or one value is bad: accuracy, beside random.

Each row of the table is one kind of the same data; each column one strategy, with the standard
deviation and with `scale="auto"`, beside class-stratified random. Medians over seeds, in per cent.

    python benchmarks/scales.py --seeds 3
"""

import argparse
import warnings

import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

from dask_distill import SelectionWarning, distill

_ROWS, _TEST, _FRACTION = 20_000, 3_000, 0.02


def kinds(X):
    """The same features as they are, with one bad value, and with heavy tails."""
    bad = X.copy()
    bad[5, 3] = np.finfo(np.float32).max
    return {"as made": X, "one bad value": bad, "exp(3x)": np.exp(3 * X / X.std(axis=0))}


def accuracy(X, y, clean, *, strategy, scale, seed):
    """Of a forest that is trained on the subset's rows, without the bad value."""
    coreset = distill(
        X[:_ROWS], y[:_ROWS], fraction=_FRACTION, strategy=strategy, scale=scale, seed=seed
    )
    rows = coreset.indices
    forest = RandomForestClassifier(60, random_state=0)
    forest.fit(clean[rows], y[rows], sample_weight=coreset.weights)
    return 100 * forest.score(clean[_ROWS:], y[_ROWS:])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="*", default=["auto", "coverage", "strata"])
    given = parser.parse_args()
    warnings.simplefilter("ignore", SelectionWarning)
    made = [
        make_classification(
            _ROWS + _TEST, 8, n_informative=5, n_classes=4, class_sep=1.2, random_state=seed
        )
        for seed in range(given.seeds)
    ]
    print("| data | stratified |", " | ".join(f"{s} | its gain" for s in given.strategies), "|")
    for name in kinds(made[0][0]):
        cells = []
        for strategy, scale in [
            ("stratified", "auto"),
            *((s, scale) for s in given.strategies for scale in ("standard", "auto")),
        ]:
            found = [
                accuracy(
                    kinds(X)[name],
                    y,
                    X if name == "one bad value" else kinds(X)[name],
                    strategy=strategy,
                    scale=scale,
                    seed=seed,
                )
                for seed, (X, y) in enumerate(made)
            ]
            cells.append(float(np.median(found)))
        pairs = zip(cells[1::2], cells[2::2], strict=True)
        told = [f"{plain:.1f} → {auto:.1f} | {auto - plain:+.1f}" for plain, auto in pairs]
        print(f"| {name} | {cells[0]:.1f} |", " | ".join(told), "|", flush=True)


if __name__ == "__main__":
    main()
