"""One scoring pass against one plain read-and-sum pass over the same zarr; memory of a worker.

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
import numpy as np
import psutil
import zarr
from mixture import mixture

from dask_distill import open_dataset
from dask_distill.data.blocks import block_rows
from dask_distill.proxy.models import SoftmaxProxy, score
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.runner import DaskRunner
from dask_distill.survey.reading import raw_blocks

CLASSES = 10


def write(place, rows, features):
    """A zarr as users have them: chunks of some 8 MiB, the default compressor."""
    group = zarr.open_group(place, mode="w")
    chunk = max(1, 2**21 // features)
    X = group.create_array("X", shape=(rows, features), chunks=(chunk, features), dtype="f4")
    for start in range(0, rows, chunk):
        X[start : start + chunk] = mixture(min(chunk, rows - start), features, seed=start)


def score_block(block, proxy, scaling):
    """All four scores of a block, reduced to a number so that nothing else is moved."""
    codes = (block.start + np.arange(len(block.X)) % CLASSES).astype(np.int32) % CLASSES
    rows = block.start + np.arange(len(block.X))
    scores = score(proxy, scaling, block.X, rows, codes)
    return float(sum(values.sum(dtype=float) for values in scores.values()))


def timed(function):
    """The faster of three runs: the page cache is warm for all of them."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def main(rows, features=64):
    rng = np.random.default_rng(0)
    proxy = SoftmaxProxy(rng.normal(size=(CLASSES, features)).astype("f4"), np.zeros(CLASSES, "f4"))
    scaling = Scaling(np.zeros(features), np.ones(features))
    with tempfile.TemporaryDirectory() as folder, dask.config.set(scheduler="sync"):
        place = Path(folder) / "data.zarr"
        write(place, rows, features)
        dataset = open_dataset(place)
        runner = DaskRunner()

        def scoring():
            blocks = raw_blocks(dataset, runner)
            runner.fetch_all([runner.call("s", score_block, b, proxy, scaling) for b in blocks])

        plain = timed(lambda: dataset.features.sum(dtype=np.float64).compute())
        ours = timed(scoring)
        print(
            f"scoring pass / read and sum, {rows:,} x {features} float32, {CLASSES} classes, "
            f"1 thread: {ours / plain:.2f} ({ours:.2f} s / {plain:.2f} s)"
        )
        block = 4 * features * min(rows, block_rows(rows, features))
        print(
            f"peak memory of a scoring process / a block of {block / 2**20:.1f} MiB: "
            f"{peak_in_a_process(place, proxy, scaling) / block:.1f}"
        )


def peak_in_a_process(place, proxy, scaling):
    """Resident memory that scoring adds to a process that has everything imported."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe()
    process = context.Process(target=_measure, args=(place, proxy, scaling, sender))
    process.start()
    peak = receiver.recv()
    process.join()
    return peak


def _measure(place, proxy, scaling, sender):
    import resource

    dataset, runner = open_dataset(place), DaskRunner()
    few = replace(dataset, features=dataset.features[:64])
    with dask.config.set(scheduler="sync"):
        for block in raw_blocks(few, runner):
            runner.fetch(runner.call("s", score_block, block, proxy, scaling))
        blocks = raw_blocks(dataset, runner)
        before = psutil.Process().memory_info().rss
        for block in blocks:
            runner.fetch(runner.call("s", score_block, block, proxy, scaling))
    sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    main(parser.parse_args().rows)
