"""Deaths of workers, clients and schedulers, for real: same bits, or a sentence, and no hang."""

import inspect
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from distributed import Status
from distributed.utils import get_mp_context

from dask_distill import distill
from dask_distill.clusters.connect import connect
from dask_distill.data.dataset import as_dataset
from dask_distill.errors import DistillError
from dask_distill.pipeline import distill_to_zarr
from dask_distill.runtime.progress import Silent
from dask_distill.selection.request import Request
from dask_distill.storage import group as store
from dask_distill.strategies import make_strategy

PROGRAM = Path(sys.executable).with_name("dask-distill")
# another way through the phases each
STRATEGIES = [
    ("auto", None),
    ("kcenter", None),
    ("gradient", None),
    ("kcenter", {"exact": "true"}),
    ("stratified", None),
    ("entropy", None),
]


# storms that everybody runs; the others, to 200, are for `make soak`
IN_MAKE_TEST = 20


def kill(pid):
    """Whether there was something to kill."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Killer(Silent):
    """Kills workers when phases begin and blocks are done, by a seed that replays."""

    def __init__(self, cluster, seed):
        self.random = random.Random(seed)
        self.cluster = cluster
        self.deaths = 0
        self.phases = set()

    def start(self, phase, total):
        if phase not in self.phases and phase in ("survey", "select", "write"):
            self.strike()
        self.phases.add(phase)

    def advance(self):
        # the last of five is for the writing
        if self.random.random() < 0.7 and self.deaths < (5 if "write" in self.phases else 4):
            self.strike()

    def strike(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            # one that is killed while it starts is not started again
            alive = self.cluster.scheduler.workers
            nannies = list(self.cluster.workers.values())
            pids = [nanny.pid for nanny in nannies if nanny.worker_address in alive and nanny.pid]
            self.random.shuffle(pids)
            if any(kill(pid) for pid in pids):
                self.deaths += 1
                return
            # all are being started again
            time.sleep(0.05)


def slowly(block):
    time.sleep(0.02)
    return block


def dataset(labelled, rows=9_000):
    X = da.from_array(labelled.X[:rows], chunks=(1000, -1))
    return as_dataset(X.map_blocks(slowly, meta=np.empty((0, 0), "f4")), labelled.names[:rows])


@pytest.fixture(scope="module")
def client():
    with (
        dask.config.set({"distill.local.allowed-failures": 100, "logging.distributed": "critical"}),
        connect(workers=2) as client,
    ):
        yield client


@contextmanager
def workers_that_fork():
    """Start workers again from a process that has imported everything: storms start hundreds."""
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        get_mp_context().set_forkserver_preload(["distributed", "dask_distill.pipeline", "zarr"])
        yield


def one_storm(client, labelled, folder, seed):
    name, options = STRATEGIES[seed % len(STRATEGIES)]
    expected, found = (folder / f"{kind}-{seed}" for kind in ("whole", "stormy"))
    data = dataset(labelled)
    request = Request(strategy=make_strategy(name, options), size=400)
    with dask.config.set(scheduler="threads"):
        distill_to_zarr(data, expected, request, progress=Silent())
    killer = Killer(client.cluster, seed)
    with workers_that_fork():
        distill_to_zarr(data, found, request, progress=killer)
    verified = store.verify(found)
    assert verified.ok, (seed, verified.problems)
    assert verified.rows == 400, seed
    assert verified.digest == store.summary(expected)["digest"], f"seed {seed} gave other bits"
    assert killer.deaths >= 5, f"seed {seed}"
    assert {"survey", "select", "write"} <= killer.phases


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
@pytest.mark.parametrize("seed", range(IN_MAKE_TEST))
def test_workers__five_deaths_and_the_same_bits(client, labelled, tmp_path, seed):
    one_storm(client, labelled, tmp_path, seed)


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
@pytest.mark.parametrize("seed", range(IN_MAKE_TEST, 200))
def test_workers__two_hundred_storms(client, labelled, tmp_path, seed):
    one_storm(client, labelled, tmp_path, seed)


def poisoned(block, block_id=(0,)):
    if block_id[0] == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return block


def test_workers__a_block_that_kills_them_is_named(labelled):
    X = da.from_array(labelled.X[:12_288], chunks=(4096, -1))
    X = X.map_blocks(poisoned, meta=np.empty((0, 0), "f4"))
    with (
        dask.config.set({"distill.local.allowed-failures": 1, "logging.distributed": "critical"}),
        connect(workers=1),
        pytest.raises(DistillError, match="must not kill its worker") as caught,
    ):
        distill(X, labelled.y[:12_288], size=10, strategy="stratified")
    text = str(caught.value)
    assert "block 2 (rows 8,192 to 12,287" in text or "chunk 2 of the source" in text
    assert "2 workers died of it, the last at tcp://127.0.0.1:" in text


def test_workers__one_that_dies_while_it_starts_is_replaced(labelled, monkeypatch):
    monkeypatch.setattr("dask_distill.clusters.local._SECONDS", 0.2)
    with connect(workers=1) as client:
        (nanny,) = client.cluster.workers.values()
        dead = nanny.pid
        # its nanny would not start it again
        nanny.status = Status.starting
        os.kill(dead, signal.SIGKILL)
        coreset = distill(labelled.X[:500], labelled.y[:500], size=10, strategy="random")
        assert len(coreset) == 10
        (other,) = client.cluster.workers.values()
        assert other.pid != dead
        # in older versions of Dask a nanny does start it again
        if "Status.starting" in inspect.getsource(type(nanny)._on_worker_exit):
            assert other is not nanny


def test_workers__one_that_is_given_up_is_replaced(labelled, monkeypatch):
    monkeypatch.setattr("dask_distill.clusters.local._SECONDS", 0.2)
    # counted from the first death; if the worker is down then, for whatever reason, it is given up
    with (
        # a fork would be there again before
        dask.config.set(
            {"distill.local.lost-worker-timeout": "0.1s", "distill.local.forks": False}
        ),
        connect(workers=1) as client,
    ):
        (nanny,) = client.cluster.workers.values()
        os.kill(nanny.pid, signal.SIGKILL)
        coreset = distill(labelled.X[:500], labelled.y[:500], size=10, strategy="random")
        assert len(coreset) == 10
        assert list(client.cluster.workers.values()) != [nanny]


def test_workers__all_gone_ends_in_an_error(labelled):
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        started = time.monotonic()
        with (
            dask.config.set({"distill.no-workers-timeout": "3s"}),
            connect(scheduler_address=cluster.scheduler_address),
            pytest.raises(DistillError, match="they are gone"),
        ):
            distill(labelled.X[:500], labelled.y[:500], size=10, strategy="random")
        assert time.monotonic() - started < 100


def test_scheduler__gone_ends_in_an_error(labelled, tmp_path):
    code = (
        "from distributed import LocalCluster; import time\n"
        "if __name__ == '__main__':\n"
        "    c = LocalCluster(n_workers=1, dashboard_address=None,"
        " host='127.0.0.1')\n"
        "    print(c.scheduler_address, flush=True); time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()

        pid = process.pid

        def murderous(block):
            os.kill(pid, signal.SIGKILL)
            time.sleep(100)
            return block

        X = da.from_array(labelled.X[:500]).map_blocks(murderous, meta=np.empty((0, 0), "f4"))
        with (
            dask.config.set(
                {"distill.no-workers-timeout": "3s", "distributed.comm.timeouts.connect": "2s"}
            ),
            connect(scheduler_address=address),
            pytest.raises(DistillError, match="they are gone"),
        ):
            distill(X, labelled.y[:500], size=10, strategy="random")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# ---------------------------------------------------------------- the client


@pytest.fixture(scope="module")
def source(labelled, tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    group = zarr.open_group(folder / "in.zarr", mode="w")
    for name, values in {"X": labelled.X, "y": labelled.y}.items():
        array = group.create_array(
            name, shape=values.shape, chunks=(1000, *values.shape[1:]), dtype=values.dtype
        )
        array[:] = values
    digest = distill(labelled.X, labelled.y, size=500).to_zarr(folder / "whole")["digest"]
    return folder / "in.zarr", digest


def command(source, target, *more):
    return [PROGRAM, "run", source, target, "--size", "500", *more]


def seen(target, known):
    """What a reader finds: the digest, or None where nothing whole is there."""
    if not target.exists():
        return None
    found = store.verify(target)
    assert not found.ok or found.digest in known
    return found.digest if found.ok else None


def kill_and_resume(source, target, kill_when, known):
    """Start a run, kill the client, look, resume; the digest at the end."""
    environment = os.environ | {"DASK_DISTILL__LOCAL__WORKERS": "1"}
    process = subprocess.Popen(
        command(source, target), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env=environment,
    )  # fmt: skip
    kill_when(process)
    process.kill()
    process.wait()
    process.stderr.close()
    seen(target, known)
    done = subprocess.run(
        command(source, target, "--resume", "--quiet"),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert [entry.name for entry in target.parent.iterdir()] == [target.name]
    return seen(target, known)


def at(words):
    """Until the log has these words."""

    def wait(process):
        for line in process.stderr:
            if words in line:
                return

    return wait


@pytest.mark.parametrize("words", ["survey: done", "select: done", "write: "])
def test_client__killed_then_resumed_gives_the_same_digest(source, tmp_path, words):
    place, digest = source
    assert kill_and_resume(place, tmp_path / "t", at(words), {digest}) == digest


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=pytest.mark.soak if seed > 6 else ()) for seed in range(100)]
)
def test_client__a_hundred_deaths_at_random_moments(source, tmp_path, seed):
    place, digest = source
    moment = random.Random(seed).uniform(0, 12)
    found = kill_and_resume(place, tmp_path / "t", lambda _: time.sleep(moment), {digest})
    assert found == digest, f"seed {seed}"
