"""`kcenter` with ``refine`` against the traversal alone, and a critical-dominating-set heuristic.

    python benchmarks/refine.py          some minutes
    python benchmarks/refine.py --blocks `distill` on 50,000 rows, the radius measured

The heuristic (Garcia-Diaz et al. 2017) tries radii by bisection: the row farthest from the
centers so far is covered by the row within the radius that covers most rows not yet covered.
"""

import argparse
import os
import time
import warnings

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import dask
import numpy as np
from mixture import mixture
from scipy.spatial.distance import cdist

from dask_distill import distill
from dask_distill.kernels.dominating import refined_centers
from dask_distill.kernels.farthest_first import FarthestFirst

PASSES = 8


def one_cloud(n, d):
    return np.random.default_rng(0).standard_normal((n, d)).astype(np.float32)


def critical_dominating_set(D, k, radius):
    """The covering radius that k centers reach which are looked for at a radius."""
    near, beside = np.full(len(D), np.inf), radius >= D
    score, open_ = beside.sum(axis=1), np.ones(len(D), bool)
    for number in range(k):
        row = int(near.argmax()) if number else int(score.argmin())
        others = np.flatnonzero(beside[row])
        near = np.minimum(near, D[others[score[others].argmax()]])
        fresh = np.flatnonzero((near <= radius) & open_)
        open_[fresh] = False
        score = score - beside[fresh].sum(axis=0)
    return near.max()


def heuristic(D, k, first, tries=16):
    low, high, best = first / 2, first, first
    for _ in range(tries):
        middle = (low + high) / 2
        reached = critical_dominating_set(D, k, middle)
        best = min(best, reached)
        low, high = (low, middle) if reached <= middle else (middle, high)
    return best


def kernel():
    for d in (2, 8, 64):
        for n, k in ((2_000, 100), (20_000, 200), (20_000, 2_000)):
            for name, make in (("mixture", mixture), ("one Gaussian", one_cloud)):
                X = make(n, d)
                traversal = FarthestFirst(X)
                traversal.extend(k)
                first = traversal.covering_radius()
                started = time.process_time()
                _, radius = refined_centers(X, traversal.indices, PASSES)
                seconds = time.process_time() - started
                line = (
                    f"{name}, n={n:,} d={d} k={k:,}: radius / traversal's {radius / first:.3f} "
                    f"({seconds:.1f} s)"
                )
                if n <= 2_000:
                    wide = X.astype(np.float64)
                    line += f", / heuristic's {radius / heuristic(cdist(wide, wide), k, first):.3f}"
                print(line, flush=True)


def blocks():
    warnings.simplefilter("ignore")
    for d in (2, 8, 64):
        for k in (500, 5_000):
            X, told = mixture(50_000, d), []
            for passes in (0, PASSES):
                started = time.process_time()
                options = {"refine": passes}
                found = distill(X, size=k, strategy="kcenter", options=options, certify=True)
                told.append((found.certificate, time.process_time() - started))
            (plain, before), (refined, after) = told
            print(
                f"mixture, n=50,000 d={d} k={k:,}: radius / without "
                f"{refined.radius / plain.radius:.3f}, certified ratio {refined.ratio:.2f} "
                f"({plain.ratio:.2f} without), CPU seconds "
                f"{after:.1f} ({before:.1f})",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", action="store_true")
    with dask.config.set(scheduler="sync"):
        blocks() if parser.parse_args().blocks else kernel()
