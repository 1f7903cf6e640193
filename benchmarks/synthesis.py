"""The subset against rows made from it by GAN, diffusion and condensation: accuracy, distances.

    python benchmarks/synthesis.py [--seeds 3] [--rows 4000] [--sets diamonds,flights]
        [--fractions 0.01,0.1]

A data set is cut in two at random for each seed: rows to select from, and rows to test on. `auto`
selects 1 % and 10 %; from that each method makes as many rows again, with its default options.
Condensation also makes 1 % from the 10 %. Differences are paired by seed, mean of three models.
Needs the extra `torch`.
"""

import argparse
import os
import sys
import warnings
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import dask
import numpy as np

from dask_distill import distill
from dask_distill.evaluation.statistics import interval
from dask_distill.evaluation.training import LabelledRows, standard_models_named, train_and_test
from dask_distill.synthesis.distances import all_distances
from dask_distill.synthesis.judging import together

sys.path.insert(0, str(Path(__file__).parent / "quality"))
from sets import load


def as_table(rows):
    """The rows as `train_and_test` takes them."""
    X, y = dask.compute(rows.features, rows.labels)
    return LabelledRows(X, y, rows.weights)


def ways_of(X, y, fraction, seed):
    """Training rows by what they are, and the subset that they were made from."""
    coreset = distill(X, y, fraction=fraction, seed=seed)
    stratified = distill(X, y, fraction=fraction, seed=seed, strategy="stratified")
    ways = {"subset": as_table(coreset), "stratified": as_table(stratified)}
    for method in ("gan", "diffusion", "condensation"):
        ways[method] = as_table(coreset.synthesize(method=method, seed=seed))
        ways[f"subset + {method}"] = together(ways["subset"], ways[method])
    if fraction < 0.1:
        larger = distill(X, y, fraction=0.1, seed=seed)
        made = larger.synthesize(method="condensation", size=len(coreset), seed=seed)
        ways["condensation of the 10 %"] = as_table(made)
    return ways


def judge(name, rows, seeds, fraction):
    """(way -> (seeds,) accuracies), (way -> (seeds, 5) distances)."""
    X, y = load(name)
    models = standard_models_named(["logistic-regression", "boosting", "neighbours"])
    accuracies, far = {}, {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        train, test = np.split(order[: 2 * rows], [min(rows, 2 * len(X) // 3)])
        held_out = LabelledRows(X[test], y[test])
        ways = ways_of(X[train], y[train], fraction, seed)
        ways["everything"] = LabelledRows(X[train], y[train])
        classes = int(y.max()) + 1
        for way, table in ways.items():
            trials = [
                train_and_test(way, model_name, model, seed, table, held_out, classes)
                for model_name, model in models.items()
            ]
            accuracies.setdefault(way, []).append(np.mean([t.accuracy for t in trials]))
            if way == "everything" or "+" in way:
                continue
            found, private = all_distances({way: table}, ways["subset"], held_out, classes)
            far.setdefault(way, []).append((*found[0].kinds, private.nearer))
    return {way: np.array(values) for way, values in accuracies.items()}, far


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--sets", default="diamonds,flights")
    parser.add_argument("--fractions", default="0.01,0.1")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print(
        "| set | size | rows | accuracy | against the subset | Wasserstein | KS | classes "
        "| correlation | nearer |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in options.sets.split(","):
        for fraction in map(float, options.fractions.split(",")):
            accuracies, far = judge(name, options.rows, options.seeds, fraction)
            for way, values in accuracies.items():
                mean, low, high = interval(values - accuracies["subset"])
                gap = f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
                kinds = ["" for _ in range(5)]
                if way in far:
                    *found, nearer = np.mean(far[way], axis=0)
                    near = "" if way in ("subset", "stratified") else f"{nearer:.0%}"
                    kinds = [*(f"{kind:.2f}" for kind in found), near]
                print(
                    f"| {name} | {fraction:.0%} | {way} | {values.mean():.1%} | "
                    f"{'' if way == 'subset' else gap} | {' | '.join(kinds)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
