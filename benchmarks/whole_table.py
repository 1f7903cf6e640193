"""A mixed table from parquet to parquet against reading it once.

    python benchmarks/whole_table.py [--rows N] [--files N] [--group ROWS] [--strategy NAME ...]

The table of encoding.py, 20 columns, in files of parquet. On a LocalCluster of two workers of one
thread: opened, a tenth of the rows selected and written, as `dask-distill run` does; before and
after it the same workers read all columns of it with pyarrow, a file a task. Beside it Dask's own
`read_parquet(...).sample(frac=0.1).to_parquet(...)`. Memory is the most that a worker's process
has held (the kernel's high-water mark), its libraries included. `--strategy auto:trust=1` is `auto`
with that option: cells, whatever the sample says.
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import dask.dataframe as dd
import pyarrow as pa
import pyarrow.parquet as pq
from distributed import Client, LocalCluster
from encoding import mixed_table
from memory import most_memory

from dask_distill import SelectionWarning, distill, open_dataset

LABEL = "flag"


def write(folder, rows, files, group):
    """As many files, each with rows of its own."""
    folder.mkdir()
    for number in range(files):
        table = mixed_table(rows // files, seed=number)
        pq.write_table(table, folder / f"{number:03d}.parquet", row_group_size=group)
    return table.schema


def read_file(path):
    """All columns of a file, on one thread."""
    pa.set_cpu_count(1)
    return pq.read_table(path, use_threads=False).num_rows


def main(rows, files, group, strategies, label):
    warnings.simplefilter("ignore", SelectionWarning)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "table"
        schema = write(folder, rows, files, group)
        print(f"{rows:,} rows, columns: {', '.join(schema.names)}", flush=True)
        for strategy in strategies:
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
                measure(client, folder, Path(temporary), strategy, label)
        sample(folder, Path(temporary))


def measure(client, folder, temporary, strategy, label):
    """One strategy, between two readings."""
    paths = sorted(map(str, folder.iterdir()))

    def read():
        started = time.perf_counter()
        client.gather(client.map(read_file, paths, pure=False))
        return time.perf_counter() - started

    client.run(lambda: __import__("dask_distill.pipeline"))
    read()
    before, started = read(), time.perf_counter()
    dataset = open_dataset(str(folder), labels=label)
    opened = time.perf_counter() - started
    name, *options = strategy.split(":")
    options = {key: float(value) for key, value in (one.split("=") for one in options)}
    coreset = distill(dataset, fraction=0.1, strategy=name, options=options)
    selected = time.perf_counter() - started
    coreset.to_parquet(temporary / f"{strategy}.parquet")
    whole = time.perf_counter() - started
    memory = max(client.run(most_memory).values())
    once = (before + read()) / 2
    print(
        f"{strategy}: opened {opened:.1f} s, selected {selected:.1f} s, whole job {whole:.1f} s, "
        f"reading once {once:.2f} s: {whole / once:.1f} times; a worker held at most "
        f"{memory / 2**20:,.0f} MiB; {dataset.d} numbers a row",
        flush=True,
    )


def sample(folder, temporary):
    """A random tenth by Dask, on two processes of its own."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as local,
        Client(local),
    ):
        for _ in range(2):
            started = time.perf_counter()
            frame = dd.read_parquet(folder).sample(frac=0.1, random_state=0)
            frame.to_parquet(temporary / "sample.parquet", overwrite=True)
            seconds = time.perf_counter() - started
        print(f"Dask's sample of a tenth, to parquet: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--group", type=int, default=131_072)
    parser.add_argument("--strategy", nargs="+", default=["random", "stratified", "auto"])
    parser.add_argument("--label", default=LABEL)
    given = parser.parse_args()
    main(given.rows, given.files, given.group, given.strategy, given.label)
