"""Beside dask-ml, where it does what a part of ours does; and what it costs where it is called.

    python benchmarks/dask_ml_peers.py [--rows N] [--clusters K] [--repeat R]

One thread, both sides in one process and in turns; ratios of medians. Both k-means make at most 20
rounds of Lloyd's from seeds by k-means||; ours surveys the rows and finds the row nearest to each
center, too.
"""

import argparse
import os
import statistics
import time
import warnings
from itertools import pairwise

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import dask
import dask.array as da
import dask.bag as db
import numpy as np
import pyarrow as pa
from dask_ml.cluster import KMeans
from dask_ml.feature_extraction.text import HashingVectorizer
from mixture import mixture
from sklearn.naive_bayes import GaussianNB

from dask_distill import distill
from dask_distill.conversation.run import Run
from dask_distill.data.blocks import block_bounds
from dask_distill.data.dataset import as_dataset
from dask_distill.evaluation.learner import Learner
from dask_distill.evaluation.whole import learnt
from dask_distill.kernels.nearest import nearest_center
from dask_distill.strategies import make_strategy
from dask_distill.tables.ngrams import ngram_features

ROUNDS = 20


def in_turns(ours, theirs, repeat):
    """Seconds of each, medians, and what the last calls gave."""
    times, found = ([], []), [None, None]
    for _ in range(repeat):
        for side, function in enumerate((ours, theirs)):
            started = time.perf_counter()
            found[side] = function()
            times[side].append(time.perf_counter() - started)
    return *map(statistics.median, times), *found


def inertia(X, centers):
    """Mean of the squared distances to the nearest center."""
    return float(nearest_center(X, np.ascontiguousarray(centers, np.float32))[1].mean())


def kmeans(rows, clusters, repeat):
    X = mixture(rows, 16)
    parts = da.from_array(X, chunks=(2**14, 16))
    options = {"scale": "none", "iterations": ROUNDS}

    def ours():
        strategy = make_strategy("kmeans", options)
        return distill(parts, size=clusters, strategy=strategy)

    def theirs(chunks=parts):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = KMeans(clusters, max_iter=ROUNDS, random_state=0)
            return model.fit(chunks).cluster_centers_

    one, other, coreset, centers = in_turns(ours, theirs, repeat)
    indices, wanted = coreset.indices, inertia(X, centers)
    print(
        f"k-means, {rows:,} x 16, {clusters:,} clusters, ours / dask-ml: {one / other:.2f} "
        f"({one:.2f} s / {other:.2f} s)"
    )
    own = coreset.provenance["selection"]["inertia"] / rows
    rows_for_centers = inertia(X, X[indices]) / wanted
    print(
        f"mean squared distance to the nearest center, ours / dask-ml's: {own / wanted:.3f}; to "
        f"the rows that stand in for ours / to dask-ml's centers: {rows_for_centers:.3f}"
    )
    again = theirs(da.from_array(X, chunks=(2**13, 16)))
    same = np.array_equal(np.sort(again, axis=0), np.sort(centers, axis=0))
    print(f"dask-ml's centers with chunks of half the rows are {'the same' if same else 'others'}")
    halves = da.from_array(X, chunks=(2**13, 16))
    ours_again = distill(halves, size=clusters, strategy=make_strategy("kmeans", options)).indices
    print(f"our rows are {'the same' if np.array_equal(indices, ours_again) else 'others'}")


def text(rows, repeat):
    rng = np.random.default_rng(0)
    words = np.array(["delayed", "at", "gate", "weather", "over", "newark", "crew", "late", "for"])
    texts = [" ".join(line) for line in rng.choice(words, size=(rows, 6))]
    column, bag = pa.array(texts), db.from_sequence(texts, npartitions=8)
    vectorizer = HashingVectorizer(
        analyzer="char", ngram_range=(2, 2), n_features=32, norm=None, dtype=np.float32
    )

    def theirs():
        return vectorizer.transform(bag).compute()

    one, other, _, _ = in_turns(lambda: ngram_features(column, 32), theirs, repeat)
    print(
        f"pairs of characters hashed to 32 numbers, {rows:,} texts of {len(texts[0])} characters, "
        f"ours / dask-ml's HashingVectorizer: {one / other:.3f} ({one:.2f} s / {other:.2f} s)"
    )


def directions(rows, repeat):
    X = da.from_array(mixture(rows, 64), chunks=(2**15, 64))
    how = {"size": 100, "strategy": "random"}
    all_rows, sample, _, _ = in_turns(
        lambda: distill(X, reduce="pca:8:all", **how),
        lambda: distill(X, reduce="pca:8", **how),
        repeat,
    )
    print(
        f"a selection in pca:8:all / in pca:8, {rows:,} x 64: {all_rows / sample:.2f} "
        f"({all_rows:.2f} s / {sample:.2f} s)"
    )


def everything(rows, repeat):
    """Learning from all rows, beside a loop over them in memory: what Dask and dask-ml cost."""
    X, y = mixture(rows, 64), np.arange(rows) % 10
    dataset = as_dataset(da.from_array(X, chunks=(2**15, 64)), da.from_array(y, chunks=2**15))
    starts = np.cumsum([0, *block_bounds(rows, 64)])

    def ours():
        none = np.empty(0, np.int64)
        learner = Learner(
            name="nb",
            seed=0,
            model=GaussianNB(),
            steps=[],
            tests=none,
            until=None,
            weight=None,
            counts=np.zeros(10),
        )
        return learnt(Run.here(), dataset, [learner], range(10), 0, 1)

    def loop():
        model = GaussianNB()
        for start, stop in pairwise(starts):
            model.partial_fit(X[start:stop], y[start:stop], classes=np.arange(10))

    one, other, _, _ = in_turns(ours, loop, repeat)
    print(
        f"naive Bayes on all of {rows:,} x 64 by evaluate(everything='all') / by a loop over "
        f"blocks in memory: {one / other:.2f} ({one:.2f} s / {other:.2f} s)"
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--clusters", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    asked = parser.parse_args()
    with dask.config.set(scheduler="sync"):
        kmeans(asked.rows, asked.clusters, asked.repeat)
        text(asked.rows, asked.repeat)
        directions(2 * asked.rows, asked.repeat)
        everything(2 * asked.rows, asked.repeat)


if __name__ == "__main__":
    main()
