"""Blocks are read and scored where they lie, in few tasks."""

import time

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from distributed import wait
from distributed.diagnostics.plugin import SchedulerPlugin

from dask_distill import distill, open_dataset
from dask_distill.conversation import converse as rounds
from dask_distill.conversation.turns import payload_bytes
from dask_distill.runtime.stealing import keeping_blocks


def stealing(client):
    return client.run_on_scheduler(
        lambda dask_scheduler: "stealing" in dask_scheduler.periodic_callbacks
    )


def eventually(client, expected):
    deadline = time.monotonic() + 30
    while stealing(client) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return stealing(client) == expected


def test_keeping_blocks__stops_stealing_until_the_last_run_is_over(local_client):
    client = local_client()
    with keeping_blocks(client):
        assert eventually(client, False)
        with keeping_blocks(client):
            pass
        time.sleep(1)
        assert not stealing(client)
    assert eventually(client, True)


def test_distill__moves_far_less_than_the_data(local_client, tmp_path):
    n, d = 100_000, 64
    X = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    zarr.open_group(tmp_path / "s.zarr", mode="w").create_array("X", data=X, chunks=(1_000, d))
    local_client()
    coreset = distill(open_dataset(tmp_path / "s.zarr"), size=500, strategy="kcenter")
    sent = coreset.provenance["bytes_on_the_wire"]
    # the survey's sample of 10,000 rows travels to where it is put together, and on from there:
    # two to three times its 2.6 MB, as the scheduler puts the tasks that need it
    assert sent["total"] < 0.4 * X.nbytes


def test_distill__reads_persisted_chunks_where_they_are(local_client):
    X = np.random.default_rng(0).normal(size=(60_000, 8))
    expected = distill(X, size=100, strategy="random").indices
    local_client()
    held = da.from_array(X, chunks=(7_000, 8)).persist()
    wait(held)
    found = distill(held, size=100, strategy="random")
    assert np.array_equal(found.indices, expected)


def source_rows(block):
    return block + 0


def test_distill__chunks_that_several_blocks_need_stay_where_they_are(local_client):
    # blocks of 65,536 rows: six to each of the three chunks, so that Dask might take the cuts for
    # tasks that may run anywhere
    X = da.zeros((1_179_648, 8), chunks=(393_216, 8), dtype="f4").map_blocks(
        source_rows, name="source", meta=np.empty((0, 0), "f4")
    )
    client = local_client()
    distill(X, size=100, strategy="random")
    logs = client.run(lambda dask_worker: list(dask_worker.transfer_incoming_log))
    moved = {str(key) for log in logs.values() for entry in log for key in entry["keys"]}
    assert moved
    assert not any("source" in key for key in moved)


class Answers(SchedulerPlugin):
    """Counts what each worker has answered in the survey."""

    name = "answers"

    def __init__(self):
        self.by_worker = {}

    def transition(self, key, start, finish, *args, worker=None, **kwargs):
        if (start, finish) == ("processing", "memory") and "survey-answer" in str(key):
            self.by_worker[worker] = self.by_worker.get(worker, 0) + 1


@pytest.mark.parametrize("held", ["labels", "one chunk", "six chunks"])
def test_distill__what_lies_on_one_worker_keeps_no_other_idle(local_client, held):
    n, chunk = 1_048_576, 65_536
    X = da.random.default_rng(0).normal(size=(n, 8), chunks=(chunk, 8)).astype("f4")
    y = da.from_array(np.arange(n) % 3, chunks=-1)
    client = local_client(workers=6)
    if held == "one chunk":
        X = X.rechunk((n, 8)).persist()
        wait(X)
    if held == "six chunks":
        one = next(iter(client.scheduler_info()["workers"]))
        there = client.persist(X[: 6 * chunk], workers=[one])
        wait(there)
        X = da.concatenate([there, X[6 * chunk :]])
    client.register_plugin(Answers())
    distill(X, y, size=100, strategy="stratified")
    answers = client.run_on_scheduler(
        lambda dask_scheduler: dask_scheduler.plugins["answers"].by_worker
    )
    assert sum(answers.values()) == 16
    assert len(answers) == 6


def test_distill__ten_thousand_chunks_make_few_tasks():
    X = da.random.default_rng(0).normal(size=(100_000, 4), chunks=(10, 4))
    assert X.numblocks[0] == 10_000
    counts = []

    def count(graph, keys, **options):
        counts.append(len(dict(graph.__dask_graph__())))
        return dask.threaded.get(graph, keys, **options)

    with dask.config.set(scheduler=count):
        distill(X, (X[:, 0] > 0).astype(int), size=100, strategy="stratified")
    assert sum(counts) < 2_000


@pytest.mark.filterwarnings("ignore::dask_distill.selection.select.SelectionWarning")
@pytest.mark.parametrize("name", ["auto", "gradient", "entropy", "kcenter", "kmeans", "coverage"])
def test_coordinator__holds_no_more_of_eight_times_the_rows(monkeypatch, name):
    """What it holds of a round is bounded by the size asked for and by the survey's sample."""
    largest, advance = [0], rounds._advance

    def watched(strategy, turn, message, *rest):
        largest[0] = max(largest[0], payload_bytes(message.content))
        return advance(strategy, turn, message, *rest)

    monkeypatch.setattr(rounds, "_advance", watched)
    held = []
    for n in (16_384, 131_072):
        X = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
        largest[0] = 0
        distill(X, (X[:, 0] > 0).astype(int), size=100, strategy=name)
        held.append(largest[0])
    assert held[1] <= 1.05 * held[0]
