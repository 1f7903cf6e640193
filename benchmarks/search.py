"""The strategy that a search finds against `auto`, on six sets: gain and cost.

    python benchmarks/search.py [--trials 24] [--seeds 3]

A search sees the training part alone, and compares on rows of it that no trial saw. Both subsets
(5 %) are then judged on a test part that neither saw, by the models of the search. Cost: wall time
of the search against that of one selection by `auto`.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from growing import mean_accuracy
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from dask_distill import distill, search_strategy

sys.path.insert(0, str(Path(__file__).parent / "quality"))
from sets import load

SETS = ("flights", "diamonds", "digits", "fashion", "letter", "paper")
MODELS = (
    lambda: LogisticRegression(max_iter=300),
    lambda: HistGradientBoostingClassifier(max_iter=60, random_state=0, l2_regularization=1.0),
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--sets", nargs="+", default=SETS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| set | `auto` | found | gain | search / selection | what was found |")
    print("|---|---|---|---|---|---|")
    for name in options.sets:
        features, labels = load(name)
        rows, names = [], []
        for seed in range(options.seeds):
            order = np.random.default_rng(seed).permutation(len(features))
            train = order[: min(options.rows, int(0.7 * len(order)))]
            test = order[len(train) : len(train) + 20_000]
            scaler = StandardScaler().fit(features[train])
            X, Z = (scaler.transform(features[part]).astype(np.float32) for part in (train, test))
            y = labels[train]
            started = time.perf_counter()
            usual = distill(X, y, fraction=0.05, seed=seed)
            selecting = time.perf_counter() - started
            found = search_strategy(X, y, fraction=0.05, seed=seed, trials=options.trials)
            names.append(found.strategy.name)
            chosen = usual
            if found.chosen:
                chosen = distill(X, y, fraction=0.05, strategy=found.strategy, seed=seed)
            test_part = (Z, labels[test])
            scores = [mean_accuracy(MODELS, X, y, each, test_part) for each in (usual, chosen)]
            rows.append((*scores, found.seconds / selecting))
        auto, best, cost = np.array(rows).T
        gain = best - auto
        error = 1.96 * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
        print(
            f"| {name} | {auto.mean():.1f}% | {best.mean():.1f}% | {gain.mean():+.2f} ± "
            f"{error:.2f} points | {np.median(cost):.0f} | {', '.join(names)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
