"""Train four models on what strategies select, over sets, fractions, seeds and wrong labels.

    python benchmarks/quality/run.py                 # default: about 25 minutes on one core
    python benchmarks/quality/run.py --full          # more sets and rows, all kinds of labels
    python benchmarks/quality/run.py --sets digits --strategies auto auto@32class

Writes results.csv, and from it summary.md and picture.png.
"""

import argparse
import csv
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sets
import summary
from blocks import Source, Spec
from models import MODELS, train_and_test
from threadpoolctl import threadpool_limits

FIELDS = (
    "set", "noise", "rare", "seed", "n", "strategy", "draw", "fraction", "size", "model",
    "accuracy", "balanced", "brier", "roc_auc", "log_loss",
    "fit_seconds", "select_seconds", "moved",
)  # fmt: skip
# fewer rows than these are a lottery
LEAST_ROWS = 30
FRACTIONS = (0.01, 0.05, 0.1, 0.3)


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


def measure(name, seed, case, draws, models, cap):
    """All rows of the table for one cut of one set."""
    X, y, time_order, X_test, y_test = split(name, seed, case.noise, case.rare, cap)
    source = Source(X, y, time_order, seed)
    out = []

    def record(strategy, draw, fraction, rows, weights, seconds, moved):
        for model in models:
            found = train_and_test(model, X[rows], y[rows], weights, X_test, y_test, seed)
            out.append(
                (name, case.noise, int(case.rare), seed, len(y), strategy, draw, fraction,
                 len(rows), model, round(found.accuracy, 5), round(found.balanced, 5),
                 round(found.brier, 5), round(found.roc_auc, 5), round(found.log_loss, 5),
                 round(found.seconds, 4), round(seconds, 4), round(moved, 3))
            )  # fmt: skip

    if case.whole:
        record("full", 0, 1.0, np.arange(len(y)), None, 0.0, 0.0)
    for fraction in case.fractions:
        size = round(fraction * len(y))
        if size < LEAST_ROWS:
            continue
        for text in case.strategies:
            plain = text in (summary.BASELINE, "random")
            for draw in range(draws if plain else 1):
                started = time.perf_counter()
                found = source.select(Spec.parse(text), size, draw)
                seconds = time.perf_counter() - started
                if len(np.unique(y[found.rows])) > 1:
                    weights = None if plain else found.weights
                    record(text, draw, fraction, found.rows, weights, seconds, found.moved)
    return out


def _pool(jobs):
    """Processes with one thread each."""
    return ProcessPoolExecutor(jobs, initializer=threadpool_limits, initargs=(1,))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--strategies", nargs="+", default=["auto"])
    parser.add_argument("--fractions", nargs="+", type=float)
    parser.add_argument("--noise", nargs="+", type=float, help="part of labels that is wrong")
    parser.add_argument("--rare", action="store_true", help="class 0 thinned to 0.1 %%")
    parser.add_argument("--whole", action="store_true", help="train on all rows, too")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=2, help="of stratified, and of random")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--cap", type=int, help="training rows at most; 10,000 unless --full")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results.csv")
    given = parser.parse_args()
    names = given.sets or (sets.FULL if given.full else sets.DEFAULT)
    cap = given.cap or (30_000 if given.full else 10_000)
    for name in names:
        sets.load(name)
    with open(given.out, "w", newline="") as file, _pool(given.jobs) as pool:
        table = csv.writer(file)
        table.writerow(FIELDS)
        futures = {}
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            for case in _cases(given):
                for name in names:
                    future = pool.submit(measure, name, seed, case, given.draws, given.models, cap)
                    futures[future] = name, seed, case
        for future in as_completed(futures):
            table.writerows(future.result())
            file.flush()
            name, seed, case = futures[future]
            print(time.strftime("%H:%M:%S"), name, seed, case.noise, case.rare, flush=True)
    summary.write([given.out], given.out.parent)


@dataclass(frozen=True)
class Case:
    """What is done to the labels, and what is measured then."""

    noise: float
    rare: bool
    fractions: tuple[float, ...]
    strategies: tuple[str, ...]
    whole: bool = False


def _cases(given):
    """As asked for; otherwise labels as they are, wrong ones, and a rare class."""
    strategies = (summary.BASELINE, *(s for s in given.strategies if s != summary.BASELINE))
    if given.noise or given.rare or given.fractions:
        fractions = tuple(given.fractions or FRACTIONS)
        return [
            Case(noise, given.rare, fractions, strategies, given.whole)
            for noise in given.noise or [0.0]
        ]
    balanced = (*strategies, "auto:balance=sqrt")
    if given.full:
        wrong = [Case(noise, False, FRACTIONS, strategies) for noise in (0.1, 0.2)]
        rare = Case(0.0, True, FRACTIONS, balanced)
        return [Case(0.0, False, FRACTIONS, strategies, True), *wrong, rare]
    return [
        Case(0.0, False, FRACTIONS, strategies, True),
        Case(0.2, False, (0.01, 0.1), strategies),
        Case(0.0, True, (0.1,), balanced),
    ]


if __name__ == "__main__":
    main()
