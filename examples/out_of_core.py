"""A subset with weights beside all rows, in estimators of dask-ml that learn block by block.

    python examples/out_of_core.py [ROWS]

Makes rows in curved classes, holds some out with `train_test_split`, selects a hundredth of the
others, and trains the same model on them, on as many random ones, and on all of them.
"""

import sys
import time

import dask.array as da
import numpy as np
from dask_ml.metrics import accuracy_score
from dask_ml.model_selection import train_test_split
from dask_ml.wrappers import Incremental
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import SGDClassifier

from dask_distill import distill

CHUNK = 20_000
TOGETHER = 4
CLASSES = [0, 1, 2]


def made(rows: int) -> tuple[da.Array, da.Array]:
    """Rows of ten features in three classes, of which one is rare; each chunk from its own seed."""

    def chunk(block_info=None):
        place = block_info[None]
        rng = np.random.default_rng(place["chunk-location"][0])
        X = rng.normal(size=place["chunk-shape"]).astype(np.float32)
        X[:, 0] *= 2
        return X

    def labels(X):
        height = np.sin(X[:, 0]) + 0.5 * X[:, 1]
        return np.where(height > 1.4, 2, height > 0).astype(np.int64)

    X = da.map_blocks(
        chunk,
        chunks=(da.core.normalize_chunks(CHUNK, (rows,))[0], (10,)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
    )
    return X, X.map_blocks(labels, drop_axis=1, dtype=np.int64, meta=np.empty(0, np.int64))


def model() -> Incremental:
    """Logistic regression by stochastic gradient descent, a block at a time."""
    return Incremental(SGDClassifier(loss="log_loss", average=True, random_state=0), random_state=0)


def main(rows: int) -> None:
    X, y = made(rows)
    # a nonlinear map that is the same for every row: no block has to know of others
    waves = RBFSampler(gamma=0.05, n_components=200, random_state=0).fit(np.zeros((1, 10)))
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.1, random_state=0)

    def waved(X):
        chunks = (X.chunks[0], (200,))
        return X.map_blocks(waves.transform, chunks=chunks, meta=np.empty((0, 0), np.float32))

    def report(name, fitted, seconds, count):
        # in blocks, as it has learnt
        predicted = fitted.predict(waved(X_test))
        share = accuracy_score(y_test, predicted)
        print(f"{name:<10} {count:>9,} rows  {share:.1%} right  {seconds:.1f} s to train")

    for name, strategy in (("selected", "auto"), ("random", "random")):
        coreset = distill(X_train, y_train, fraction=0.01, strategy=strategy, seed=0)
        started, learning = time.perf_counter(), model()
        few, labels = waves.transform(coreset.features.compute()), coreset.labels.compute()
        # of Dask arrays, fit would give the weights of all rows to each block: so as NumPy's
        weights = coreset.weights / coreset.weights.mean()
        for _ in range(20):
            learning.partial_fit(few, labels, classes=CLASSES, sample_weight=weights)
        report(name, learning, time.perf_counter() - started, len(coreset))

    started = time.perf_counter()
    learning, all_rows = model(), waved(X_train)
    # fit would read ahead of what is learnt from, and hold all that it has read
    for at in range(0, all_rows.numblocks[0], TOGETHER):
        few = slice(at, at + TOGETHER)
        learning.partial_fit(all_rows.blocks[few], y_train.blocks[few], classes=CLASSES)
    report("all rows", learning, time.perf_counter() - started, len(X_train))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
