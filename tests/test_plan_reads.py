"""What a plan says of reads and tasks, held against what a run does."""

from collections import Counter

import dask.array as da
import numpy as np
import pytest
import zarr
from dask.callbacks import Callback
from zarr.storage import LocalStore

from dask_distill import distill, open_dataset
from dask_distill.data.blocks import block_rows
from dask_distill.data.dataset import as_dataset, with_time
from dask_distill.selection.plan import make_plan
from dask_distill.selection.request import Request
from dask_distill.spaces.words import make_reduction
from dask_distill.strategies import make_strategy

N, D, SIZE = 49_152, 4, 300
ROWS = block_rows(N, D)
FEW = np.arange(40)


def first_column(X, y):
    """A rule of the user's."""
    return X[:, 0] > 3.2


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan") / "in.zarr"
    X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
    group = zarr.open_group(folder, mode="w")
    arrays = {"X": X, "y": (X[:, 1] > 0).astype(int), "mask": X[:, 0] > 3}
    for name, values in (arrays | {"when": np.arange(float(N))}).items():
        # chunks end where blocks do: none is needed by two of them
        group.create_array(name, data=values, chunks=(ROWS, *values.shape[1:]))
    return folder


@pytest.fixture
def reads(monkeypatch):
    """Chunks read of each array, as the store sees it."""
    found = Counter()
    whole = LocalStore.get

    async def get(self, key, *arguments, **more):
        if key.startswith("c/"):
            found[self.root.name] += 1
        return await whole(self, key, *arguments, **more)

    monkeypatch.setattr(LocalStore, "get", get)
    return found


class Tasks(Callback):
    """Counts what Dask's scheduler runs."""

    def __init__(self):
        super().__init__(posttask=self.count)
        self.number = 0

    def count(self, *_):
        self.number += 1


@pytest.mark.parametrize(
    ("passes", "asked"),
    [
        (1, {}),
        (1, {"strategy": "stratified"}),
        (2, {"strategy": "kcenter"}),
        (3, {"protect": FEW}),
        (3, {"protect": "mask"}),
        (3, {"protect": {"sparse": 0.001}, "strategy": "auto"}),
        (3, {"protect": first_column}),
        (3, {"initial": "mask", "strategy": "kcenter"}),
        (2, {"certify": True}),
        (4, {"certify": True, "initial": FEW, "protect": "mask"}),
        (2, {"certify": True, "reduce": "pca:2", "protect": FEW}),
        (3, {"reduce": "pca:2", "protect": first_column}),
        (3, {"reduce": "pca:2:all"}),
        (3, {"time": "when", "strategy": "periods", "protect": FEW}),
    ],
)
def test_plan__counts_every_pass_and_task(source, reads, tmp_path, passes, asked):
    asked = {"strategy": "random", "size": SIZE} | asked
    options = {"period": 4} if asked["strategy"] == "periods" else None
    time = asked.pop("time", None)
    dataset = open_dataset(source, carry=("mask", "when"))
    timed = {} if time is None else {"time": time}
    request = Request(
        **asked
        | {
            "strategy": make_strategy(asked["strategy"], options),
            "reduce": make_reduction(asked.get("reduce")),
        }
    )
    with Tasks() as tasks:
        coreset = distill(dataset, options=options, **timed, **asked)
        blocks = N // ROWS
        # who draws rows by their numbers reads labels alone for it
        unread = asked.keys() <= {"strategy", "size", "certify"} and passes == 1 + (
            "certify" in asked
        )
        assert reads["X"] == passes * blocks
        assert reads["y"] == (passes + unread) * blocks
        labels = unread * dataset.labels.nbytes
        assert coreset.provenance["bytes_read"] == passes * dataset.nbytes + labels
        chunk = {"X": ROWS * D * 4, "y": ROWS * 8, "mask": ROWS, "when": ROWS * 8}
        measured = sum(count * chunk[name] for name, count in reads.items())
        reads.clear()
        coreset.to_zarr(tmp_path / "out.zarr")
        to_write = sum(count * chunk[name] for name, count in reads.items())
    made = make_plan(dataset if time is None else with_time(dataset, time), request)
    assert made.passes == passes
    assert made.bytes_read == measured
    assert to_write <= made.bytes_read_to_write
    assert tasks.number <= 1.3 * made.tasks
    assert made.tasks <= 1.5 * tasks.number


def test_plan__notes_of_groups_and_rows_set_apart_take_memory():
    # chunks of a block's rows: to write selected ones takes less than to answer
    dataset = as_dataset(da.zeros((N, D), dtype="f4", chunks=(ROWS, D)))

    def plan(**asked):
        return make_plan(dataset, Request(strategy=make_strategy("kcenter"), size=SIZE, **asked))

    plain, apart, certified = plan(), plan(initial=np.arange(5_000)), plan(certify=True)
    # a block more, eight bytes a row that has a number of its own
    assert apart.lane_bytes == plain.lane_bytes * 5 // 4
    assert apart.worker_bytes - apart.lane_bytes - (plain.worker_bytes - plain.lane_bytes) == 8 * N
    # their features come to where candidates meet
    assert apart.coordinator_bytes - apart.worker_bytes >= (
        plain.coordinator_bytes - plain.worker_bytes + 3 * 5_000 * D * 4
    )
    assert certified.tasks > plain.tasks
    random = [
        make_plan(dataset, Request(strategy=make_strategy("random"), size=SIZE, certify=certify))
        for certify in (False, True)
    ]
    # rows are held to be certified, whatever the strategy holds
    assert random[1].worker_bytes - random[0].worker_bytes > N * D * 4
