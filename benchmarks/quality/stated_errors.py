"""Does the interval that a drawn sample states for its mean score hold as often as it should?

    python benchmarks/quality/stated_errors.py

`gradient:sample=true` draws rows with chances in proportion to their score, weighs them by the
inverse of these, and states in its provenance the score's mean over all rows, the mean that the
sample estimates and its standard error. Of many draws: how often the truth lies within 1.96
standard errors, the root mean square of error over standard error (1 where the error is as stated),
and the largest weight over the mean weight, which is at most 1 / floor but for rounding.
"""

import argparse
from itertools import product

import numpy as np
from blocks import Source, Spec
from large import cut
from threadpoolctl import threadpool_limits

SETS = ("flights:20000", "made:0.2:0:20000")
STRATEGIES = ("gradient:sample=true", "gradient:sample=true,floor=0.05", "entropy:sample=true")
_HEAD = ("rows", "strategy", "selected", "draws", "within 1.96 standard errors",
         "error / standard error", "largest weight / mean", "1 / floor")  # fmt: skip


def draws(X, y, text, size, seeds):
    """Error over standard error, and largest weight over the mean, of each draw."""
    spec, found = Spec.parse(text), []
    criterion = spec.name
    for seed in range(seeds):
        # another survey and another proxy each time, whose score's mean is the truth
        selected = Source(X, y, None, seed).select(spec, size)
        facts, weights = selected.facts, selected.weights
        error = facts[f"{criterion}_mean_estimated"] - facts[f"{criterion}_mean"]
        stated = facts[f"{criterion}_mean_standard_error"]
        found.append((error / stated, weights.max() / weights.mean()))
    return np.array(found).T


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--sizes", nargs="+", type=int, default=[200, 2000])
    parser.add_argument("--seeds", type=int, default=200)
    given = parser.parse_args()
    print(f"| {' | '.join(_HEAD)} |\n|{'---|' * len(_HEAD)}")
    for name, text, size in product(given.sets, given.strategies, given.sizes):
        X, y, _, _ = cut(name, 0)
        ratio, largest = draws(X, y, text, size, given.seeds)
        floor = float(dict(Spec.parse(text).options).get("floor", 0.2))
        cells = (
            name,
            f"`{text}`",
            f"{size:,}",
            given.seeds,
            f"{np.mean(np.abs(ratio) <= 1.96):.1%}",
            f"{np.sqrt(np.mean(ratio**2)):.2f}",
            f"{largest.max():.2f}",
            f"{1 / floor:.0f}",
        )
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
