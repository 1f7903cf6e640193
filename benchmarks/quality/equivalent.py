"""How many rows of a stratified sample train as well as one row that `auto` selects.

    python benchmarks/quality/equivalent.py

A learning curve of stratified samples of f/2, f, 1.5 f, 2 f, 3 f, 4 f and 6 f of the rows; where it
reaches what the rows that `auto` selects at f do (mean of the models and seeds; between two points
linear in the logarithm of the rows) is r times f. Below 1, stratified samples train better; curves
that never reach it give "above 6".
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import sets
from blocks import Source, Spec
from models import train_and_test
from run import LEAST_ROWS, split
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
FACTORS = (0.5, 1, 1.5, 2, 3, 4, 6)
FRACTIONS = (0.01, 0.1)
MODELS = ("logistic", "boosting", "knn")


def measure(name, seed, given):
    """Accuracies of one cut of one set."""
    X, y, time_order, X_test, y_test = split(name, seed, cap=given.cap)
    source = Source(X, y, time_order, seed)

    def record(strategy, fraction, factor, found, weights):
        for model in MODELS:
            told = train_and_test(
                model, X[found.rows], y[found.rows], weights, X_test, y_test, seed
            )
            yield {
                "set": name, "seed": seed, "fraction": fraction, "strategy": strategy,
                "factor": factor, "model": model, "accuracy": round(told.accuracy, 5),
                "roc_auc": round(told.roc_auc, 5),
            }  # fmt: skip

    for fraction in FRACTIONS:
        if fraction * len(y) < LEAST_ROWS:
            continue
        chosen = source.select(Spec.parse("auto"), round(fraction * len(y)))
        yield from record("auto", fraction, 1, chosen, chosen.weights)
        for factor in FACTORS:
            for draw in range(given.draws):
                size = round(factor * fraction * len(y))
                drawn = source.select(Spec.parse("stratified"), size, draw)
                yield from record("stratified", fraction, factor, drawn, None)


def factor_of(curve, reached):
    """Where a curve (by factor, ascending) first reaches a value."""
    factors, values = curve.index.to_numpy(), np.maximum.accumulate(curve.to_numpy())
    if reached > values[-1]:
        return np.inf
    return float(np.exp(np.interp(reached, values, np.log(factors))))


def markdown(table):
    """r by set, fraction and metric."""
    metrics = ("accuracy", "roc_auc")
    columns, lines = {}, []
    for (name, fraction), part in table.groupby(["set", "fraction"], sort=False):
        for metric in metrics:
            curve = part[part.strategy == "stratified"].groupby("factor")[metric].mean()
            reached = part[part.strategy == "auto"][metric].mean()
            columns.setdefault((metric, fraction), {})[name] = factor_of(curve, reached)
    heads = [(m, f) for f in sorted(table.fraction.unique()) for m in metrics]
    titles = [f"{'AUC' if m == 'roc_auc' else m}, {f:.0%}" for m, f in heads]
    lines = [f"| set | {' | '.join(titles)} |", "|" + "---|" * (len(titles) + 1)]
    for name in table.set.unique():
        cells = [_shown(columns[head].get(name)) for head in heads]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    medians = [_shown(float(np.median(list(columns[head].values())))) for head in heads]
    return "\n".join([*lines, f"| median | {' | '.join(medians)} |"])


def _shown(r):
    if r is None:
        return ""
    return f"above {FACTORS[-1]}" if np.isinf(r) else f"{r:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=sets.DEFAULT)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--cap", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=HERE / "results-equivalent.csv")
    given = parser.parse_args()
    rows = []
    for name in given.sets:
        for seed in range(given.seeds):
            rows += measure(name, seed, given)
    table = pd.DataFrame(rows)
    table.to_csv(given.out, index=False)
    print(markdown(table))


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
