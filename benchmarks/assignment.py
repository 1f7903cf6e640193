"""Which center is nearest to each row, where centers are a tenth of the rows.

    python benchmarks/assignment.py                  against all pairs, as before, and the growth
    python benchmarks/assignment.py --faiss          beside faiss, where faiss-cpu is installed
    python benchmarks/assignment.py --before FOLDER  whole jobs, in turns with another checkout

Centers are those of a farthest-first traversal. CPU seconds of one thread, the better of two
runs in turns; the first, small calls compile and are not counted.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np
from mixture import mixture

from dask_distill.kernels import frontier, grouped
from dask_distill.kernels.distances import Filter
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.frontier import nearest_of_separated, settled

D = 64
# inverted lists of faiss that are looked into
_PROBES = 8


def many_clusters(n):
    """Clusters of 400 rows each, however many rows: (n, 64) float32 array."""
    rng = np.random.default_rng(0)
    count = n // 400
    group = rng.integers(0, count, n)
    widths = np.exp(0.5 * rng.standard_normal(count))[group, None]
    means = 3 * rng.standard_normal((count, D))[group]
    return (means + widths * rng.standard_normal((n, D))).astype(np.float32)


def surface(n):
    """A bent surface of four dimensions, and noise: (n, 64) float32 array."""
    rng = np.random.default_rng(0)
    A, B, Z = rng.standard_normal((4, D)), rng.standard_normal((4, D)), rng.standard_normal((n, 4))
    return (2 * np.sin(Z @ A) + Z @ B + 0.05 * rng.standard_normal((n, D))).astype(np.float32)


def one_cloud(n):
    """A Gaussian of equal widths: (n, 64) float32 array."""
    return np.random.default_rng(0).standard_normal((n, D)).astype(np.float32)


def uniform(n):
    """Of a cube: (n, 64) float32 array."""
    return np.random.default_rng(0).random((n, D)).astype(np.float32)


DATA = {
    "mixture": lambda n: mixture(n, D),
    "many clusters": many_clusters,
    "surface of 4": surface,
    "one Gaussian": one_cloud,
    "uniform": uniform,
}


def centers_of(X):
    """A tenth of the rows, the squared radius they are apart by, and CPU seconds."""
    started = time.process_time()
    traversal = FarthestFirst(X)
    traversal.extend(len(X) // 10)
    seconds = time.process_time() - started
    return X[traversal.indices], float(traversal.squared_radii.min()), seconds


def before(X, centers, separation):
    """All pairs but those that the centers' separation settles: how it was."""
    kept = frontier.may_be_grouped
    frontier.may_be_grouped = lambda rows, centers: False
    try:
        return nearest_of_separated(X, centers, separation)
    finally:
        frontier.may_be_grouped = kept


def pairs_of(X, centers, separation):
    """Pairs that are multiplied, those of pivots included; n k where there are no groups."""
    filter_ = Filter(np.concatenate([X, centers]))
    squared, nearest = np.full(len(X), np.inf), np.full(len(X), -1)
    every = np.arange(len(X))
    rows, right = filter_.rows(X), filter_.centers(centers)
    enough = settled(separation)
    found = grouped.lower_by_groups(rows, every, right, squared, nearest, enough)
    return len(X) * len(centers) if found is None else found


def in_turns(*runs, repeats=2):
    """CPU seconds of the fastest of some runs of each, and their results."""
    seconds, results = [np.inf] * len(runs), [None] * len(runs)
    for _ in range(repeats):
        for place, run in enumerate(runs):
            started = time.process_time()
            results[place] = run()
            seconds[place] = min(seconds[place], time.process_time() - started)
    return seconds, results


def against_before(sizes):
    figures = {}
    for name, make in DATA.items():
        for n in sizes:
            X = make(n)
            centers, separation, traversal = centers_of(X)
            (old, new), (first, second) = in_turns(
                partial(before, X, centers, separation),
                partial(nearest_of_separated, X, centers, separation),
            )
            assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
            pairs = pairs_of(X, centers, separation)
            figures[name, n] = old, new, pairs
            print(
                f"{name}, n={n:,} d={D} k={n // 10:,}: by groups / as before {new / old:.2f} "
                f"({new:.2f} s, {old:.2f} s; the traversal {traversal:.2f} s), pairs / n k "
                f"{pairs / (n * n / 10):.3f}; the same bits",
                flush=True,
            )
        if len(sizes) > 1:
            grows = (np.log(np.array([figures[name, n] for n in sizes])).T, np.log(sizes))
            old, new, pairs = (np.polyfit(grows[1], line, 1)[0] for line in grows[0])
            print(f"{name}: time as n^{new:.2f}, before n^{old:.2f}; pairs as n^{pairs:.2f}")


def beside_faiss(n):
    if importlib.util.find_spec("faiss") is None:
        print("faiss is not installed (pip install faiss-cpu): left out")
        return
    import faiss

    faiss.omp_set_num_threads(1)
    X = mixture(n, D)
    centers, separation, _ = centers_of(X)
    lists = int(4 * np.sqrt(len(centers)))

    def flat():
        index = faiss.IndexFlatL2(D)
        index.add(centers)
        return index.search(X, 1)

    def inverted():
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(D), D, lists)
        index.train(centers)
        index.add(centers)
        index.nprobe = _PROBES
        return index.search(X, 1)

    (ours, exact, lossy), (own, by_flat, by_lists) = in_turns(
        lambda: nearest_of_separated(X, centers, separation), flat, inverted
    )
    where = f"mixture, n={n:,} d={D} k={n // 10:,}, 1 thread"
    for name, seconds, found in (
        ("IndexFlatL2", exact, by_flat),
        (f"IndexIVFFlat, {lists} lists, {_PROBES} looked into", lossy, by_lists),
    ):
        same = float((found[1][:, 0] == own[0]).mean())
        print(
            f"ours / faiss {name}, {where}: {ours / seconds:.3f} ({ours:.2f} s, {seconds:.2f} s); "
            f"rows with the same center: {same:.4%}",
            flush=True,
        )


_JOB = """
import json, os, sys, time, warnings
sys.path.insert(0, sys.argv[3])
import numpy as np, dask
from mixture import mixture
import dask_distill
from dask_distill import distill
warnings.simplefilter("ignore")
dask.config.set(scheduler="sync")
n, exact = int(sys.argv[1]), sys.argv[2] == "exact"
distill(mixture(20_000, 64), size=2_000, strategy="kcenter", options={"exact": exact})
X = mixture(n, 64)
started = time.process_time()
c = distill(X, size=n // 10, strategy="kcenter", options={"exact": exact})
seconds = time.process_time() - started
import hashlib
digest = hashlib.sha256(c.indices.tobytes() + c.weights.tobytes()).hexdigest()[:16]
print(json.dumps({"seconds": seconds, "digest": digest, "from": dask_distill.__file__}))
"""


def whole_jobs(folder, sizes):
    """`distill` with ``kcenter``, weights included, in this process, in turns with before."""
    own = Path(__file__).parents[1]
    for form in ("two rounds", "exact"):
        for n in sizes:
            best = {}
            for _ in range(2):
                for name, place in (("before", Path(folder)), ("now", own)):
                    command = [sys.executable, "-c", _JOB, str(n), form, str(own / "benchmarks")]
                    environment = os.environ | {"PYTHONPATH": str(place)}
                    told = json.loads(
                        subprocess.run(
                            command,
                            env=environment,
                            cwd=place,
                            check=True,
                            capture_output=True,
                            text=True,
                        ).stdout
                    )
                    assert told["from"].startswith(str(place.resolve()))
                    best[name] = min(best.get(name, told), told, key=lambda job: job["seconds"])
            assert best["now"]["digest"] == best["before"]["digest"]
            new, old = best["now"]["seconds"], best["before"]["seconds"]
            print(
                f"kcenter, {form}, n={n:,} d={D} k={n // 10:,}, CPU seconds of the whole "
                f"selection, now / before: {new / old:.2f} ({new:.1f} s, {old:.1f} s); the same "
                "rows and weights",
                flush=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faiss", action="store_true")
    parser.add_argument("--before", metavar="FOLDER")
    parser.add_argument("--sizes", nargs="+", type=int, default=[25_000, 50_000, 100_000, 200_000])
    arguments = parser.parse_args()
    for warm in (many_clusters(6_000), one_cloud(6_000)):
        nearest_of_separated(warm, *centers_of(warm)[:2])
    if arguments.faiss:
        beside_faiss(max(arguments.sizes))
    elif arguments.before:
        whole_jobs(arguments.before, arguments.sizes)
    else:
        against_before(arguments.sizes)
