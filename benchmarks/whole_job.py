"""The whole job on 1,000,000 x 64 against reading the data once.

    python benchmarks/whole_job.py [--rows N] [--chunk ROWS] [--repeat TIMES] [--strategy NAME ...]

On a LocalCluster of two workers of one thread: select 10 % by each strategy, write them to zarr,
as `dask-distill run` does; before and after each a plain pass that sums the same zarr on the same
workers. The ratio is to the mean of these two, since machines are fast now and slow then.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import zarr
from distributed import Client, LocalCluster
from mixture import mixture_with_clusters

from dask_distill import SelectionWarning, distill, open_dataset

STRATEGIES = ("random", "stratified", "gradient", "entropy", "auto", "kcenter")


def write(place, rows, features, chunk=25_000, part=50_000):
    """The mixture, its clusters modulo 10 as labels, a tenth of them wrong."""
    group = zarr.open_group(place, mode="w")
    X = group.create_array("X", shape=(rows, features), chunks=(chunk, features), dtype="f4")
    y = group.create_array("y", shape=(rows,), chunks=(200_000,), dtype="i4")
    labels = np.empty(rows, np.int32)
    for number, start in enumerate(range(0, rows, part)):
        values, cluster = mixture_with_clusters(min(part, rows - start), features, draw=number)
        X[start : start + part] = values
        labels[start : start + part] = cluster % 10
    rng = np.random.default_rng(0)
    wrong = rng.random(rows) < 0.1
    labels[wrong] = rng.integers(0, 10, int(wrong.sum()))
    y[:] = labels


def main(rows, chunk, repeat, strategies, features=64):
    warnings.simplefilter("ignore", SelectionWarning)
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit="9GB",
        ) as local,
        Client(local) as client,
    ):
        place = Path(folder) / "data.zarr"
        write(place, rows, features, chunk)
        client.run(lambda: __import__("dask_distill.pipeline"))
        dataset = open_dataset(place)
        distill(open_dataset(place), size=100, strategy="auto")

        def read():
            started = time.perf_counter()
            dataset.features.sum(dtype=np.float64).compute()
            return time.perf_counter() - started

        for strategy in strategies:
            before, ratios = read(), []
            for number in range(repeat):
                started = time.perf_counter()
                coreset = distill(dataset, fraction=0.1, strategy=strategy)
                selected = time.perf_counter() - started
                coreset.to_zarr(Path(folder) / f"{strategy}-{number}.zarr")
                whole = time.perf_counter() - started
                after = read()
                once, before = (before + after) / 2, after
                ratios.append((selected / once, whole / once))
                print(
                    f"{strategy}, 10 % of {rows:,} x {features}: selection {selected:.1f} s, whole "
                    f"job {whole:.1f} s, reading once {once:.2f} s: {ratios[-1][0]:.1f} and "
                    f"{ratios[-1][1]:.1f} times",
                    flush=True,
                )
            if repeat > 1:
                select, whole = (statistics.median(each) for each in zip(*ratios, strict=True))
                print(f"{strategy}, median: {select:.1f} and {whole:.1f} times", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=25_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--strategy", nargs="+", default=STRATEGIES)
    given = parser.parse_args()
    main(given.rows, given.chunk, given.repeat, given.strategy)
