"""Fifty appended batches against one run on everything: accuracy, covering radius, reads.

    python benchmarks/growing.py [--seeds 3] [--batches 50]

Rows come in the order of the source (flights: of time) and shuffled. 1 % is selected, the rest of a
set is tested on. Models are trained with the weights; points are those of the batches less those of
the one run. `kcenter` is measured on standardised features. Reads are counted for every chunk.
"""

import argparse
import itertools
import sys
import warnings
from collections import Counter
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from dask_distill import distill, grow
from dask_distill.kernels.nearest import covering_distance

sys.path.insert(0, str(Path(__file__).parent / "quality"))
from sets import load

MODELS = (
    lambda: LogisticRegression(max_iter=300),
    lambda: HistGradientBoostingClassifier(max_iter=60, random_state=0),
)
READS = Counter()


def counted(X, number):
    """A lazy array whose reads are counted for its batch."""

    def read():
        READS[number] += 1
        return X

    return da.from_delayed(dask.delayed(read, pure=False)(), X.shape, X.dtype)


def in_batches(X, y, batches, **options):
    """A subset after so many batches, and how often each was read during the others' turns."""
    edges = np.linspace(0, len(X), batches + 1).astype(int)
    coreset, late = None, 0
    READS.clear()
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        before = Counter(READS)
        part = (counted(X[start:stop], number), None if y is None else y[start:stop])
        coreset = grow(*part, **options) if coreset is None else coreset.update(*part)
        late += sum((READS - before)[other] for other in range(number))
    return coreset, late, READS.total() / batches


def mean_accuracy(models, X, y, coreset, test):
    """Of models trained on the subset with its weights, in per cent."""
    scores = []
    for make in models:
        model = make()
        weights = coreset.weights / coreset.weights.mean()
        model.fit(X[coreset.indices], y[coreset.indices], sample_weight=weights)
        scores.append(100 * model.score(*test))
    return float(np.mean(scores))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--sets", nargs="+", default=["flights", "diamonds"])
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| set | order | strategy | one run | batches | difference | reads of old batches |")
    print("|---|---|---|---|---|---|---|")
    for name in options.sets:
        features, labels = load(name)
        for order in ("source", "shuffled"):
            rows = []
            for seed in range(options.seeds):
                rng = np.random.default_rng(seed)
                shuffled = rng.permutation(len(features))
                train = shuffled[: min(options.rows, int(0.8 * len(features)))]
                test = shuffled[len(train) : len(train) + 40_000]
                if order == "source":
                    train = np.sort(train)
                X, y = features[train], labels[train]
                scale = X.std(axis=0) + 1e-9
                X = ((X - X.mean(axis=0)) / scale).astype(np.float32)
                Z = ((features[test] - features[train].mean(axis=0)) / scale).astype(np.float32)
                size = len(X) // 100
                one = distill(X, y, size=size, seed=seed)
                many, late, reads = in_batches(X, y, options.batches, size=size, seed=seed)
                test_part = (Z, labels[test])
                judged = [mean_accuracy(MODELS, X, y, each, test_part) for each in (one, many)]
                rows.append((*judged, late, reads))
            one, many, late, reads = np.array(rows).T
            gap = many - one
            error = 1.96 * gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else np.nan
            print(
                f"| {name} | {order} | `auto` | {one.mean():.1f}% | {many.mean():.1f}% | "
                f"{gap.mean():+.2f} ± {error:.2f} points | {late.sum():.0f} "
                f"(new: {reads.mean():.1f} each) |",
                flush=True,
            )
            once = distill(X, size=size, strategy="kcenter", certify=True)
            many, late, reads = in_batches(X, None, options.batches, size=size, strategy="kcenter")
            radius = float(np.sqrt(covering_distance(X, X[many.indices])))
            print(
                f"| {name} | {order} | `kcenter` | radius {once.certificate.radius:.3g} | "
                f"{radius:.3g} (bound {many.certificate.radius:.3g}) | "
                f"{radius / once.certificate.radius:.3f} times | {late} (new: {reads:.1f} each) |",
                flush=True,
            )


if __name__ == "__main__":
    main()
