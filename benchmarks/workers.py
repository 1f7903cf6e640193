"""Two workers against one on 1,000,000 x 64, scoring and candidates; bytes that they exchange.

    python benchmarks/workers.py [--rows N] [--repeats N]

On LocalClusters of workers of one thread (for zarr's codecs, too: one worker would read with all
cores), from the same zarr, 1 %: selection alone, the faster of some runs each. `gradient` and
`entropy` are scoring; `auto` and `kcenter` send candidates.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["ZARR_THREADING__MAX_WORKERS"] = "1"

import zarr
from distributed import Client, LocalCluster
from whole_job import write

from dask_distill import SelectionWarning, distill, open_dataset

STRATEGIES = ("gradient", "entropy", "auto", "kcenter")


def measured(place, workers, repeats):
    """Seconds of selection and bytes between workers, by strategy, on so many workers."""
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit="9GB",
        ) as local,
        Client(local),
    ):
        # what is compiled and imported once is not counted
        group = zarr.open_group(place, mode="r")
        X, y = group["X"][:50_000], group["y"][:50_000]
        for strategy in STRATEGIES:
            distill(X, y, size=500, strategy=strategy)

        def run(strategy):
            started = time.perf_counter()
            found = distill(open_dataset(place), fraction=0.01, strategy=strategy)
            sent = found.provenance["bytes_on_the_wire"]["classes"]["worker-worker"]
            return time.perf_counter() - started, sent

        return {name: min(run(name) for _ in range(repeats)) for name in STRATEGIES}


def main(rows, repeats):
    warnings.simplefilter("ignore", SelectionWarning)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "data.zarr"
        write(place, rows, 64)
        ones, twos = (measured(place, workers, repeats) for workers in (1, 2))
    for name in STRATEGIES:
        (one, _), (two, sent) = ones[name], twos[name]
        print(
            f"one worker / two, {name}, 1 % of {rows:,} x 64: {one / two:.2f} ({one:.1f} s / "
            f"{two:.1f} s); sent between two / the data: {sent / (rows * 64 * 4):.1%}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    main(**vars(parser.parse_args()))
