"""Train four models on what strategies select, over sets, fractions, seeds and wrong labels.

    python benchmarks/quality/run.py                 # default: about 25 minutes on one core
    python benchmarks/quality/run.py --full          # more sets, all kinds of labels
    python benchmarks/quality/run.py --sets digits --strategies auto auto@32class

Writes results.csv, and from it summary.md and picture.png.
"""

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import csv
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import sets
from blocks import Source, Spec
from models import MODELS, train_and_test

FIELDS = (
    "set", "noise", "rare", "seed", "n", "strategy", "draw", "fraction", "size", "model",
    "accuracy", "balanced", "fit_seconds", "select_seconds", "moved",
)  # fmt: skip
BASELINE = "stratified"
_HERE = Path(__file__).parent


def split(name, seed, noise=0.0, rare=False, cap=30_000):
    """Training and test parts, standardised, as one seed cuts them; noise hits training only."""
    X, y = sets.load(name)
    rng = np.random.default_rng(1000 + seed)
    shuffled = rng.permutation(len(y))
    tests = min(5000, len(y) // 4)
    test, train = shuffled[:tests], shuffled[tests:][:cap]
    if rare:
        # class 0 thinned to 0.1 % of the training rows
        members = train[y[train] == 0]
        kept = members[: max(5, len(train) // 1000)]
        train = rng.permutation(np.concatenate([train[y[train] != 0], kept]))
    mean, scale = X[train].mean(0), X[train].std(0)
    scale[scale == 0] = 1
    labels = y[train].copy()
    classes = int(y.max()) + 1
    wrong = rng.random(len(train)) < noise
    labels[wrong] = (labels[wrong] + rng.integers(1, classes, wrong.sum())) % classes
    return (X[train] - mean) / scale, labels, train, (X[test] - mean) / scale, y[test]


def measure(name, seed, noise, rare, fractions, strategies, draws, models, full, cap):
    """All rows of the table for one cut of one set."""
    X, y, time_order, X_test, y_test = split(name, seed, noise, rare, cap)
    source = Source(X, y, time_order, seed)
    out = []

    def record(strategy, draw, fraction, rows, weights, seconds, moved):
        for model in models:
            found = train_and_test(model, X[rows], y[rows], weights, X_test, y_test, seed)
            out.append(
                (name, noise, int(rare), seed, len(y), strategy, draw, fraction, len(rows), model,
                 round(found.accuracy, 5), round(found.balanced, 5), round(found.seconds, 4),
                 round(seconds, 4), round(moved, 3))
            )  # fmt: skip

    if full:
        record("full", 0, 1.0, np.arange(len(y)), None, 0.0, 0.0)
    for fraction in fractions:
        size = max(1, round(fraction * len(y)))
        for text in strategies:
            for draw in range(draws if text in (BASELINE, "random") else 1):
                started = time.perf_counter()
                found = source.select(Spec.parse(text), size, draw)
                if len(np.unique(y[found.rows])) < 2:
                    continue
                seconds = time.perf_counter() - started
                weights = None if text in (BASELINE, "random") else found.weights
                record(text, draw, fraction, found.rows, weights, seconds, found.moved)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--strategies", nargs="+", default=["auto", "random"])
    parser.add_argument("--fractions", nargs="+", type=float)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=3, help="of the random strategies")
    parser.add_argument("--noise", nargs="+", type=float)
    parser.add_argument("--rare", action="store_true", help="class 0 thinned to 0.1 %%")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--no-whole", action="store_true", help="do not train on all rows")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--cap", type=int, default=30_000, help="training rows at most")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=_HERE / "results.csv")
    given = parser.parse_args()
    names = given.sets or (sets.FULL if given.full else sets.DEFAULT)
    noises = given.noise or ([0.0, 0.1, 0.2] if given.full else [0.0])
    strategies = [BASELINE, *(s for s in given.strategies if s != BASELINE)]
    fractions = given.fractions or [0.01, 0.05, 0.1, 0.3]
    for name in names:
        sets.load(name)
    jobs = [
        (name, seed, noise, given.rare)
        for seed in range(given.first_seed, given.first_seed + given.seeds)
        for noise in noises
        for name in names
    ]
    with open(given.out, "w", newline="") as file, ProcessPoolExecutor(given.jobs) as pool:
        table = csv.writer(file)
        table.writerow(FIELDS)
        futures = {}
        for job in jobs:
            rest = (
                fractions, strategies, given.draws, given.models, not given.no_whole, given.cap,
            )  # fmt: skip
            futures[pool.submit(measure, *job, *rest)] = job
        for future in as_completed(futures):
            table.writerows(future.result())
            file.flush()
            print(time.strftime("%H:%M:%S"), *futures[future], flush=True)


if __name__ == "__main__":
    main()
