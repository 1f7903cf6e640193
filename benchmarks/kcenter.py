"""k-center over blocks: radius and rows moved against the sequential traversal, and time.

python benchmarks/kcenter.py            two rounds and exact, on blocks in this process
python benchmarks/kcenter.py --cluster  exact on a LocalCluster of 2 workers, n = 200,000
python benchmarks/kcenter.py --growth   250,000 to 1,000,000 rows x 64 on 2 workers: a picture
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import dask.array as da
import numpy as np
import psutil
import zarr
from mixture import mixture, mixture_with_clusters

from dask_distill import distill, open_dataset
from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block
from dask_distill.kernels.farthest_first import FarthestFirst, farthest_first
from dask_distill.kernels.nearest import nearest_center
from dask_distill.runtime.progress import Silent
from dask_distill.runtime.runner import LocalRunner
from dask_distill.search.in_memory import select_in_memory
from dask_distill.selection.certify import lower_bound
from dask_distill.strategies import KCenter
from dask_distill.survey.schema import Sample, Schema

HERE = Path(__file__).parent


def blocks_of(X, count):
    """Runs of rows, as equal as can be, and the schema that a strategy asks for."""
    edges = np.linspace(0, len(X), count + 1).astype(int)
    blocks = [
        Block(number=i, rows=np.arange(a, b), X=X[a:b], codes=None)
        for i, (a, b) in enumerate(itertools.pairwise(edges))
    ]
    d = X.shape[1]
    schema = Schema(
        n_source=len(X),
        n=len(X),
        d=d,
        classes=None,
        counts=None,
        block_counts=np.diff(edges),
        block_classes=None,
        mean=np.zeros(d),
        scale=np.ones(d),
        sample=Sample(rows=np.arange(1), X=X[:1], codes=None),
        dropped=0,
        fingerprint="",
        seed=0,
    )
    return blocks, schema


def converse_over(X, count, k, strategy):
    """The last word of a conversation over so many blocks."""
    blocks, schema = blocks_of(X, count)
    question = strategy.ask(schema, k, None)
    final, _ = converse(strategy, blocks, question, Run(LocalRunner()), phase="")
    return content(final)


def in_process():
    for d, (n, k), order in itertools.product(
        (8, 64), ((100_000, 1_000), (100_000, 10_000)), ("random", "sorted by cluster")
    ):
        X, group = mixture_with_clusters(n, d)
        if order != "random":
            X = X[np.argsort(group, kind="stable")]
        sequential = FarthestFirst(X)
        sequential.extend(k)
        radius = sequential.covering_radius()
        where = f"n={n:,} d={d} k={k:,}, 20 blocks, {order}"
        two = converse_over(X, 20, k, KCenter())
        print(
            f"two rounds: radius / sequential, {where}: {two.told['covering_radius'] / radius:.4f}"
        )
        print(f"two rounds: rows moved / k, {where}: {two.told['rows_moved'] / k:.2f}")
        longer = FarthestFirst(X)
        longer.extend(min(n, 4 * k + 1))
        bound = lower_bound(longer.squared_radii, k)
        print(
            f"certified ratio, {where}: sequential {radius / bound:.2f}, "
            f"two rounds {two.told['covering_radius'] / bound:.2f}"
        )
        for count in (1, 7, 20, 100):
            exact = converse_over(X, count, k, KCenter(exact=True))
            same = np.array_equal(exact.rows, np.sort(sequential.indices))
            print(
                f"exact: n={n:,} d={d} k={k:,}, {count} blocks, {order}: "
                f"{'same rows' if same else 'OTHER ROWS'}, {exact.told['pools']} rounds, "
                f"rows moved / k: {exact.told['rows_moved'] / k:.2f}",
                flush=True,
            )


def on_a_cluster(n=200_000, d=64, k=20_000):
    X = mixture(n, d)
    farthest_first(X[:2000], 200)
    started = time.perf_counter()
    expected, _ = farthest_first(X, k)
    sequential = time.perf_counter() - started
    started = time.perf_counter()
    nearest_center(X, X[expected])
    counting = time.perf_counter() - started
    with cluster() as client:
        lazy = client.persist(da.from_array(X, chunks=(n // 16, -1)))
        distill(lazy[:20_000], size=500, strategy=KCenter(exact=True))
        clock = LastQuestion()
        found = distill(lazy, size=k, strategy=KCenter(exact=True), progress=clock)
    assert np.array_equal(found.indices, np.sort(expected))
    seconds = found.provenance["seconds"]["select"]
    where = f"n={n:,} d={d} k={k:,}"
    print(
        f"sequential kernel, {where}, 1 thread: {sequential:.1f} s; nearest centers after it: "
        f"{counting:.1f} s"
    )
    print(
        f"exact on 2 workers, weights included / sequential kernel alone, {where}: "
        f"{seconds / sequential:.2f} ({found.provenance['rounds']} questions)"
    )
    print(
        f"exact on 2 workers, without the last question (which rows are nearest to each center) / "
        f"sequential kernel alone, {where}: {(seconds - clock.seconds) / sequential:.2f}"
    )
    print(
        f"exact on 2 workers / sequential kernel and nearest centers, {where}: "
        f"{seconds / (sequential + counting):.2f}"
    )


def growth(sizes, d=64):
    figures = {}
    for strategy in (KCenter(), KCenter(exact=True)):
        name = "exact" if strategy.exact else "two rounds"
        for n in sizes:
            with tempfile.TemporaryDirectory() as folder, cluster() as client:
                write_mixture(Path(folder) / "X", n, d)
                source = open_dataset(Path(folder) / "X")
                idle = PeakMemory(client)
                # what the libraries take that a worker loads for its first tasks
                client.run(small_run)
                distill(mixture(20_000, d), size=200, strategy=strategy)
                libraries = idle.workers()
                watch = PeakMemory(client)
                started = time.perf_counter()
                found = distill(source, size=n // 10, strategy=strategy)
                seconds = time.perf_counter() - started
                figures[name, n] = seconds
                data = n * d * 4
                print(
                    f"{name}: n={n:,} d={d} k={n // 10:,}, 2 workers: {seconds:.0f} s, memory of "
                    f"the workers / data: {watch.workers() / data:.2f}, and "
                    f"{libraries / 2**20:.0f} MiB of a first small run with its libraries; client "
                    f"{watch.client() / 2**20:.0f} MiB; {found.provenance['selection']}",
                    flush=True,
                )
    if len(sizes) > 1:
        draw(sizes, figures)


def draw(sizes, figures):
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for name in ("two rounds", "exact"):
        axes.plot(sizes, [figures[name, n] for n in sizes], marker="o", label=name)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="rows (64 features, k = 10 %)",
        ylabel="seconds",
        title="k-center on 2 workers of one thread",
    )
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.set_yticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(HERE / "kcenter_growth.svg", bbox_inches="tight")


def small_run():
    select_in_memory(mixture(20_000, 64), None, KCenter(), 200)


def write_mixture(place, n, d, chunk=32_768):
    array = zarr.create_array(place, shape=(n, d), chunks=(chunk, d), dtype="f4")
    for draw, start in enumerate(range(0, n, chunk)):
        rows = min(chunk, n - start)
        array[start : start + rows] = mixture_with_clusters(rows, d, draw=draw)[0]


def cluster():
    from contextlib import contextmanager

    from distributed import Client, LocalCluster

    @contextmanager
    def start():
        with (
            LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                memory_limit="9GB",
            ) as local,
            Client(local) as client,
        ):
            client.run(lambda: __import__("dask_distill.pipeline"))
            yield client

    return start()


class LastQuestion(Silent):
    """Wall time of a selection's last question."""

    seconds = 0.0

    def start(self, phase, total):
        self._started = time.perf_counter()

    def finish(self):
        self.seconds = time.perf_counter() - self._started


class PeakMemory:
    """Resident memory of workers and client above what they had at the start, sampled."""

    def __init__(self, client):
        import threading

        self._processes = [psutil.Process(pid) for pid in client.run(os.getpid).values()]
        self._own = psutil.Process()
        self._start = self._now()
        self._peak = self._start
        threading.Thread(target=self._watch, daemon=True).start()

    def _now(self):
        try:
            workers = sum(process.memory_info().rss for process in self._processes)
        except psutil.NoSuchProcess:
            workers = 0
        return workers, self._own.memory_info().rss

    def _watch(self):
        while self._processes[0].is_running():
            now = self._now()
            self._peak = tuple(max(a, b) for a, b in zip(self._peak, now, strict=True))
            time.sleep(0.2)

    def workers(self):
        return self._peak[0] - self._start[0]

    def client(self):
        return self._peak[1] - self._start[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cluster", action="store_true")
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--sizes", nargs="+", type=int, default=[250_000, 500_000, 1_000_000])
    arguments = parser.parse_args()
    sys.path.insert(0, str(HERE))
    if arguments.cluster:
        on_a_cluster()
    elif arguments.growth:
        growth(arguments.sizes)
    else:
        in_process()
