"""Farthest-first traversal and nearest centers, as ratios to peers and limits measured beside.

    python benchmarks/farthest_first.py          # a few minutes
    python benchmarks/farthest_first.py --full   # every figure, some ten minutes

Needs fpsample. CPU seconds of one thread; the first, small calls compile and are not counted.
"""

import argparse
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

# before NumPy is imported: BLAS reads them once
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"

import fpsample
import numpy as np
import numpy.typing as npt
from mixture import mixture

from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.nearest import covering_distance, nearest_center

Features = npt.NDArray[np.float32]
Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="also the largest inputs")
    full = parser.parse_args().full
    warm()
    n, k = (100_000, 10_000) if full else (30_000, 3_000)
    many_features(n, 64, k, full)
    many_features(n, 256, k, full)
    if full:
        many_features(1_000_000, 64, 10_000, full, gemv=False)
    few_features(100_000, 10_000)
    numpy_alone(n, 64, k)
    centers(n, k)


def warm() -> None:
    """Compile what is measured later."""
    for d in (3, 8, 64):
        X = mixture(6_000, d)
        for part in (X, X.astype(np.float64)):
            traverse(part, 600)
            covering_distance(part, part[::10].copy())
            covering_distance(part, part[traverse(part, 600).indices])
            nearest_center(part, part[::10].copy())


def many_features(n: int, d: int, k: int, full: bool, gemv: bool = True) -> None:
    X = mixture(n, d)
    work = 64 * 10**9 if full else 10**9
    before = resource.getrusage(resource.RUSAGE_SELF)
    ours, traversal = fastest(lambda: traverse(X, k), 2)
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = (after.ru_stime - before.ru_stime) / max(after.ru_utime - before.ru_utime, 1e-9)
    case = f"n={n:,} d={d} k={k:,}, 1 thread"
    pairs = traversal.pairs
    limit = pairs * product_seconds(d)
    show("farthest_first / matrix product of the pairs it bounds", case, ours / limit)
    show("farthest_first, pairs bounded / n k", case, pairs / (n * k))
    show("farthest_first, system / user time", case, system)
    print(f"farthest_first, {case}: {ours:.2f} s", flush=True)
    if gemv:
        theirs, few = scaled(lambda m: gonzalez(X, m), k, work // (n * d))
        show("farthest_first / NumPy GEMV Gonzalez", case + few, ours / theirs)
    theirs, few = scaled(lambda m: fpsample.fps_sampling(X, m, start_idx=0), k, work // (3 * n * d))
    show("farthest_first / fpsample vanilla", case + few, ours / theirs)


def few_features(n: int, k: int) -> None:
    for d in (2, 3, 8):
        against_kd_line(mixture(n, d), k)


def against_kd_line(X: Features, k: int) -> None:
    n, d = X.shape
    ours, theirs = np.inf, np.inf
    # in turns, so that both meet the same machine; with the tree's best height
    for height in (7, 9, 10):
        ours = min(ours, fastest(lambda: traverse(X, k), 1)[0])
        theirs = min(theirs, fastest(partial(kd_line, X, k, height), 1)[0])
    show("farthest_first / fpsample kd-line", f"n={n:,} d={d} k={k:,}, 1 thread", ours / theirs)


def numpy_alone(n: int, d: int, k: int) -> None:
    X = mixture(n, d)
    ours, _ = fastest(lambda: traverse(X, k), 1)
    os.environ["DISTILL_NUMBA"] = "0"
    alone, _ = fastest(lambda: traverse(X, k), 1)
    del os.environ["DISTILL_NUMBA"]
    show("farthest_first, NumPy alone / numba", f"n={n:,} d={d} k={k:,}, 1 thread", alone / ours)


def centers(n: int, k: int) -> None:
    for d in (3, 8, 17, 64):
        X = mixture(n, d)
        C = X[traverse(X, k).indices]
        limit = n * k * product_seconds(d)
        for kernel in (nearest_center, covering_distance):
            seconds, _ = fastest(partial(kernel, X, C), 2)
            case = f"n={n:,} d={d} k={k:,}, 1 thread"
            show(f"{kernel.__name__} / matrix product of all pairs", case, seconds / limit)


def traverse(X: Features, k: int) -> FarthestFirst:
    traversal = FarthestFirst(X)
    traversal.extend(k)
    return traversal


def kd_line(X: Features, k: int, height: int) -> object:
    return fpsample.bucket_fps_kdline_sampling(X, k, h=height, start_idx=0)


def gonzalez(X: Features, k: int) -> list[int]:
    """One matrix-vector product for each pick, float32, no temporaries."""
    X = X - X.mean(axis=0)
    norms = np.einsum("ij,ij->i", X, X)
    least, distances = np.full(len(X), np.inf, np.float32), np.empty(len(X), np.float32)
    picks = [0]
    while len(picks) < k:
        np.dot(X, -2 * X[picks[-1]], out=distances)
        distances += norms[picks[-1]]
        np.minimum(least, distances, out=least)
        np.add(least, norms, out=distances)
        picks.append(int(distances.argmax()))
    return picks


def product_seconds(d: int) -> float:
    """Seconds for each pair in a product of 512 by 512 rows: a limit for all that need it."""
    rng = np.random.default_rng(0)
    A, B = rng.random((2, 512, d), dtype=np.float32)
    S = np.empty((512, 512), np.float32)
    repeats = max(20, 6_000 // d)

    def products() -> None:
        for _ in range(repeats):
            np.matmul(A, B.T, out=S)

    return fastest(products, 3)[0] / (repeats * S.size)


def scaled(run: Callable[[int], object], k: int, few: int) -> tuple[float, str]:
    """Seconds for k picks, from fewer picks where those would take too long."""
    few = min(few, k)
    seconds, _ = fastest(lambda: run(few), 1)
    return seconds * k / few, f" (extrapolated from k={few:,})" if few < k else ""


def fastest(run: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    """CPU seconds of the fastest of some runs, and its result."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        result = run()
        best = min(best, time.process_time() - start)
    return best, result


def show(what: str, case: str, ratio: float) -> None:
    print(f"{what}, {case}: {ratio:.3g}", flush=True)


if __name__ == "__main__":
    main()
