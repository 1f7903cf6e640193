"""Peak memory of real worker processes, measured, against what the plan says."""

import ctypes
import gc
import logging
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from dask_distill import distill, open_dataset
from dask_distill.errors import InputError
from dask_distill.selection.plan import make_plan
from dask_distill.selection.request import Request
from dask_distill.strategies import make_strategy

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux"),
    pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning"),
]
SHAPES = {"wide": (300, 20_000), "tall": (120_000, 64)}
LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz012345", np.uint8)


def start_again():
    """Give memory back, and forget the peak."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def peak():
    """Most resident memory since, in bytes."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    for name, (n, d) in SHAPES.items():
        X = np.random.default_rng(0).standard_normal((n, d), np.float32)
        group = zarr.open_group(folder / name, mode="w")
        for key, values in {"X": X, "y": (X[:, 0] > 0).astype(int)}.items():
            chunks = (n // 4, *values.shape[1:])
            group.create_array(key, shape=values.shape, chunks=chunks, dtype=values.dtype)[:] = (
                values
            )
    return folder


@pytest.mark.parametrize(
    ("shape", "strategy"),
    [
        ("wide", "stratified"),
        ("wide", "auto"),
        ("wide", "kcenter"),
        ("tall", "entropy"),
        ("tall", "auto"),
        ("tall", "kcenter"),
    ],
)
def test_plan__measured_peaks_are_below_it(sources, local_client, shape, strategy):
    client = local_client(1)
    dataset = open_dataset(sources / shape)
    request = Request(strategy=make_strategy(strategy), fraction=0.01)
    made = make_plan(dataset, request, workers=1)
    client.run(start_again)
    start_again()
    here = peak()
    distill(dataset, fraction=0.01, strategy=strategy)
    # the one worker is where candidates meet, too
    [worker] = client.run(peak).values()
    planned = made.coordinator_bytes
    figures = f"{shape} {strategy}: measured {worker >> 20} MiB, planned {planned >> 20} MiB"
    logging.getLogger(__name__).info(figures)
    assert worker <= planned, figures
    assert planned <= 6 * worker, figures
    # the client sees that rounds are over, and the rows that are chosen
    assert peak() - here < 100 * 2**20


def texts(n, length):
    """Different texts, which no dictionary makes shorter."""
    letters = LETTERS[np.random.default_rng(0).integers(0, 32, (n, length), np.uint8)]
    return letters.view(f"S{length}").ravel().astype(object)


def one_row_group(path):
    """256 MiB, of which a reader can take all or nothing."""
    X = np.random.default_rng(0).normal(size=(1_000_000, 32))
    table = pa.table({f"x{i}": x for i, x in enumerate(X.T)} | {"y": np.arange(len(X)) % 3})
    pq.write_table(table, path, row_group_size=len(X))


def long_texts_in_parquet(path):
    """As a row group: 200 MB beside two small columns."""
    table = {"a": np.arange(40_000.0) ** 2 % 7, "t": pa.array(texts(40_000, 5_000), pa.binary())}
    table["t"] = table["t"].cast(pa.string())
    pq.write_table(pa.table(table), path, row_group_size=40_000)


def long_texts_in_zarr(path):
    """In small chunks; ours are larger."""
    group = zarr.open_group(path, mode="w")
    group.create_array("X", data=np.random.default_rng(0).normal(size=(60_000, 4)))
    kind = np.dtypes.StringDType()
    stored = group.create_array("t", shape=(60_000,), chunks=(500,), dtype=kind)
    stored[:] = np.array([text.decode() for text in texts(60_000, 3_000)], kind)


def thousands_of_classes(path):
    """Few rows and features; weights are many."""
    rng = np.random.default_rng(0)
    group = zarr.open_group(path, mode="w")
    group.create_array("X", data=rng.normal(size=(20_000, 5)).astype(np.float32))
    group.create_array("y", data=rng.integers(0, 5_000, 20_000))


def no_gaps(path):
    """Where eps is guessed, nearly every row has a cell of its own, and hundreds of neighbours."""
    group = zarr.open_group(path, mode="w")
    X = np.random.default_rng(0).normal(size=(150_000, 4)).astype(np.float32)
    group.create_array("X", data=X)


def masks_written(path):
    """Bytes of the masks of missing values."""
    group = zarr.open_group(path, mode="r")
    return sum(array.size for _, array in group["null"].arrays()) if "null" in group else 0


@pytest.mark.parametrize(
    ("write", "strategy", "asked"),
    [
        (one_row_group, "random", {}),
        (long_texts_in_parquet, "random", {"carry": ["t"]}),
        (long_texts_in_zarr, "random", {"carry": ["t"]}),
        (thousands_of_classes, "auto", {}),
        (no_gaps, "dbscan", {}),
    ],
)
def test_plan__knows_of_row_groups_and_texts_and_classes(
    tmp_path, local_client, write, strategy, asked
):
    source = tmp_path / ("in.zarr" if "zarr" in write.__name__ else "in.parquet")
    write(source)
    client = local_client(1)
    dataset = open_dataset(source, **asked)
    made = make_plan(dataset, Request(strategy=make_strategy(strategy), fraction=0.1), workers=1)
    client.run(start_again)
    coreset = distill(dataset, fraction=0.1, strategy=strategy)
    receipt = coreset.to_zarr(tmp_path / "out.zarr")
    [worker] = client.run(peak).values()
    planned = made.coordinator_bytes
    figures = f"{write.__name__}: measured {worker >> 20} MiB, planned {planned >> 20} MiB"
    logging.getLogger(__name__).info(figures)
    assert worker <= planned <= 2.5 * worker, figures
    # a score of four bytes a row, which some strategies add, is not in the plan; nor the masks that
    # zarr has where a value may be missing
    beside = receipt["bytes_written"] - made.bytes_written - masks_written(tmp_path / "out.zarr")
    assert abs(beside) <= 0.05 * made.bytes_written + 4 * len(coreset)


def test_select__refuses_from_python_what_cannot_fit(monkeypatch):
    X = np.zeros((5000, 4), np.float32)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", 100 * 2**20)
    with pytest.raises(InputError, match=r"GiB on a worker.* and 0.098 GiB are allowed; add"):
        distill(X, np.arange(5000) % 2, size=10)


def test_select__refuses_what_the_workers_of_a_client_cannot_hold():
    from distributed import Client, LocalCluster

    X = np.zeros((5000, 4), np.float32)
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            memory_limit="200MiB",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
        Client(cluster),
        pytest.raises(InputError, match=r"and 0.2 GiB are allowed"),
    ):
        distill(X, np.arange(5000) % 2, size=10)
