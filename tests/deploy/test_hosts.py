"""The job on several hosts: what crosses between them, and one of them cut off midway.

A scheduler, four workers and a client, each in a network namespace of its own.
"""

import json
import os
import queue
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest
import zarr

sys.path.insert(0, str(Path(__file__).parent))
from hosts import Hosts, reason_to_skip

REASON = reason_to_skip()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REASON is not None, reason=REASON or ""),
]

WORKERS = 4
SCHEDULER, CLIENT = 0, 5
PORT = 8786
STEP_SECONDS = 120
# Linux notices a dead connection after this long; the default is 30, and below 11 Dask refuses
TCP_SECONDS = 15
JOB = str(Path(__file__).with_name("host_job.py"))
N, D = 1_800_000, 32
CELLS = {"trust": 1}


class Job:
    """A client that runs jobs, on a host of its own."""

    def __init__(self, process):
        self._process = process
        self._facts = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def submit(self, **request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()

    def until(self, event, phase=None):
        """The next fact of a kind."""
        deadline = time.monotonic() + STEP_SECONDS
        while True:
            fact = self._facts.get(timeout=max(0.1, deadline - time.monotonic()))
            assert fact["event"] != "end", "the client has ended"
            if fact["event"] == event and (phase is None or fact["phase"] == phase):
                return fact

    def close(self):
        """Let the client go, so that its pipe can be closed."""
        self._process.stdin.close()
        self._process.kill()
        self._reader.join(10)

    def _read(self):
        for line in self._process.stdout:
            self._facts.put(json.loads(line))
        self._facts.put({"event": "end"})


@contextmanager
def cluster(folder):
    """Hosts, and a job's client that is connected to their cluster."""
    folder.mkdir()
    with Hosts(WORKERS + 2) as hosts, (folder / "log.txt").open("w") as log:
        where = f"tcp://{hosts.address(SCHEDULER)}:{PORT}"
        dask = [sys.executable, "-m", "dask"]
        environment = os.environ | {
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": f"{TCP_SECONDS}s",
            "OMP_NUM_THREADS": "1",
        }
        told = {"env": environment, "stderr": log, "text": True}
        place = ["--host", hosts.address(SCHEDULER), "--port", str(PORT), "--no-dashboard"]
        hosts.start(SCHEDULER, [*dask, "scheduler", *place], stdout=log, **told)
        for host in range(1, WORKERS + 1):
            own = ["--host", hosts.address(host), "--nthreads", "1", "--no-dashboard"]
            own += [
                "--no-nanny",
                "--memory-limit",
                "0",
                "--local-directory",
                str(folder / f"{host}"),
            ]
            hosts.start(host, [*dask, "worker", where, *own], stdout=log, **told)
        command = [sys.executable, JOB, where, str(WORKERS)]
        job = Job(hosts.start(CLIENT, command, stdin=PIPE, stdout=PIPE, **told))
        try:
            job.until("ready")
            yield hosts, job
        finally:
            job.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A zarr group of 245 MB: a Gaussian mixture with two classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, N)
    X = rng.normal(size=(N, D)).astype(np.float32) + 2 * rng.normal(size=(2, D)).astype("f4")[y]
    path = tmp_path_factory.mktemp("source") / "data.zarr"
    group = zarr.open_group(path, mode="w")
    group.create_array("X", data=X, chunks=(N // 40, D))
    group.create_array("y", data=y, chunks=(N // 40,))
    return str(path)


@pytest.fixture(scope="module")
def undisturbed(source, tmp_path_factory):
    """Two jobs, with what the interfaces counted meanwhile."""
    folder = tmp_path_factory.mktemp("undisturbed")
    results = {}
    with cluster(folder / "cluster") as (hosts, job):
        for fraction in (0.01, 0.1):
            before = hosts.traffic()
            target = str(folder / f"{fraction}.zarr")
            # these classes lie apart: left to itself, it would draw a stratified sample
            job.submit(source=source, target=target, fraction=fraction, options=CELLS)
            results[fraction] = job.until("done")
            results[fraction]["interfaces"] = hosts.traffic() - before
    return results


@pytest.mark.parametrize("fraction", [0.01, 0.1])
def test_wire__agrees_with_the_interfaces(undisturbed, fraction):
    result = undisturbed[fraction]
    told = result["selecting"]["total"] + result["writing"]["total"]
    assert told == result["selecting"]["between_hosts"] + result["writing"]["between_hosts"]
    assert told == pytest.approx(result["interfaces"].payload, rel=0.05)


def test_between_hosts__at_a_hundredth_less_than_a_twentieth_of_the_data(undisturbed):
    result = undisturbed[0.01]
    assert result["interfaces"].nbytes <= 0.05 * result["bytes_of_all"]


def test_between_hosts__at_a_tenth_two_and_a_half_times_the_selected_rows(undisturbed):
    result = undisturbed[0.1]
    assert result["interfaces"].nbytes <= 2.5 * result["bytes_written"]


def test_host_cut_off_midway__costs_no_bit(source, undisturbed, tmp_path, record_property):
    with cluster(tmp_path / "cluster") as (hosts, job):
        target = str(tmp_path / "cut.zarr")
        job.submit(source=source, target=target, fraction=0.1, options=CELLS)
        job.until("phase", "select")
        hosts.cut(WORKERS)
        result = job.until("done")
    assert result["digest"] == undisturbed[0.1]["digest"]
    record_property("seconds", result["seconds"])
    record_property("seconds_undisturbed", undisturbed[0.1]["seconds"])
