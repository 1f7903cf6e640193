"""Peak memory of real worker processes, measured, against what the plan says."""

import ctypes
import gc
import logging
import re
from pathlib import Path

import numpy as np
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
    request = Request(make_strategy(strategy), fraction=0.01)
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
