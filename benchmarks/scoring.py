"""`score` of all rows against one plain read-and-sum pass over the same zarr; memory; its graph.

python benchmarks/scoring.py [--rows N]
"""

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import dask
import dask.array as da
import numpy as np
import psutil
import zarr
from memory import most_memory
from mixture import mixture

from dask_distill import open_dataset, score
from dask_distill.data.dataset import as_dataset
from dask_distill.scoring import scored

CLASSES = 10


def write(place, rows, features):
    """A zarr as users have them: chunks of 16 MiB, the default compressor; labels beside them."""
    group = zarr.open_group(place, mode="w")
    chunk = max(1, 2**22 // features)
    X = group.create_array("X", shape=(rows, features), chunks=(chunk, features), dtype="f4")
    y = group.create_array("y", shape=(rows,), chunks=(chunk,), dtype="i8")
    for start in range(0, rows, chunk):
        m = min(chunk, rows - start)
        X[start : start + chunk] = mixture(m, features, seed=start)
        y[start : start + chunk] = np.arange(start, start + m) % CLASSES


def timed(function):
    """CPU seconds, the least of five runs: the page cache is warm for all of them."""
    times = []
    for _ in range(5):
        started = time.process_time()
        function()
        times.append(time.process_time() - started)
    return min(times)


def main(rows, features=64):
    with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler="sync"):
        place = Path(folder) / "data.zarr"
        write(place, rows, features)
        dataset = open_dataset(place)
        started = time.process_time()
        scores = score(dataset)
        survey = time.process_time() - started
        plain = timed(lambda: dataset.features.sum(dtype=np.float64).compute())
        ours = timed(lambda: scores.table.sum(dtype=np.float64).compute())
        print(
            f"scores of all rows / read and sum, {rows:,} x {features} float32, {CLASSES} classes,"
            f" 1 thread: {ours / plain:.2f} ({ours:.2f} s / {plain:.2f} s); the survey before: "
            f"{survey / plain:.2f}"
        )
        chunk = 4 * features * dataset.features.chunks[0][0]
        print(
            f"peak memory of a scoring worker / a chunk of {chunk / 2**20:.1f} MiB: "
            f"{peak_in_a_process(place) / chunk:.1f}"
        )
        print(f"graph for 10,000 chunks: {graph(scores):.2f} s")


def scorer_of(scores):
    """What judges the chunks, out of a graph."""
    tasks = dict(scores.table.dask)
    (scorer,) = [tasks[name].value for name in tasks if str(name).startswith("proxy-")]
    return scorer


def graph(scores, chunks=10_000):
    """Seconds to build what scores as many chunks, and to make its tasks."""
    features = da.zeros((1000 * chunks, 64), chunks=(1000, 64), dtype="f4")
    labels = da.zeros(1000 * chunks, chunks=1000, dtype="i8")
    dataset = as_dataset(features, labels)
    scorer = scorer_of(scores)
    started = time.process_time()
    dict(scored(dataset, scorer).__dask_graph__())
    return time.process_time() - started


def peak_in_a_process(place):
    """Resident memory that scoring adds to a worker's process that has everything imported."""
    import multiprocessing

    # as Dask's nannies start their workers: elsewhere, what glibc keeps of the memory of threads
    # that read is a matter of chance, and more than what is in use
    os.environ.update(nannys())
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    process = context.Process(target=_measure, args=(place, sender))
    process.start()
    peak = receiver.recv()
    process.join()
    return peak


def nannys():
    """Variables that a nanny sets before it starts a worker."""
    from distributed import config  # noqa: F401 - has Dask's defaults read

    given = dask.config.get("distributed.nanny.pre-spawn-environ")
    return {name: str(value) for name, value in given.items()}


def _measure(place, sender):
    with dask.config.set(scheduler="sync"):
        dataset = open_dataset(place)
        few = replace(dataset, features=dataset.features[:5000], labels=dataset.labels[:5000])
        scores = score(few)
        scores.table.sum().compute()
        chunks = dataset.features.chunks[0]
        scorer = replace(scorer_of(scores), starts=np.cumsum((0, *chunks[:-1])))
        table = scored(dataset, scorer)
        before = psutil.Process().memory_info().rss
        table.sum(dtype=np.float64).compute()
    sender.send(most_memory() - before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    main(parser.parse_args().rows)
