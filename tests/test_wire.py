"""Bytes on the wire, by class of connection."""

import os
import signal
import subprocess
import sys
import time

import dask.array as da
import numpy as np
import pytest
from distributed import Client, LocalCluster, Security, wait
from distributed.comm import tcp

from dask_distill import distill, open_coreset
from dask_distill.runtime import wire
from dask_distill.runtime.wire import CLASSES, joined, measured

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def client():
    with workers() as cluster, Client(cluster) as client:
        yield client


def workers(**options):
    return LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
        **options,
    )


def send(client, megabytes=4):
    """Make one worker ask the other for so many megabytes."""
    first, second = client.scheduler_info()["workers"]
    values = client.submit(np.ones, megabytes * 125_000, workers=[first], pure=False)
    wait(client.submit(np.sum, values, workers=[second], pure=False))


def near(expected):
    return pytest.approx(expected, rel=0.02)


def test_measured__tells_who_talks_to_whom(client):
    with measured(client) as sent:
        send(client)
        sent.mark("between workers")
        client.gather(client.submit(np.ones, 250_000, pure=False))
        sent.mark("to the client")
        client.scatter(np.ones(375_000))
        sent.mark("from the client")
    phases = sent.figures()["phases"]
    assert phases["between workers"]["worker-worker"] == near(4 * MEGABYTE)
    # through the scheduler, so over two connections
    assert phases["to the client"]["worker-scheduler"] == near(2 * MEGABYTE)
    assert phases["to the client"]["client-scheduler"] == near(2 * MEGABYTE)
    assert phases["from the client"]["client-scheduler"] == near(3 * MEGABYTE)
    assert phases["to the client"]["worker-worker"] == 0


def test_measured__sums_up(client):
    with measured(client) as sent:
        for phase in ("one", "two", "one"):
            send(client, 1)
            sent.mark(phase)
    figures = sent.figures()
    assert list(figures["phases"]) == ["one", "two"]
    assert figures["phases"]["one"]["worker-worker"] == near(2 * MEGABYTE)
    for name in CLASSES:
        assert figures["classes"][name] == sum(p[name] for p in figures["phases"].values())
    assert figures["total"] == sum(figures["classes"].values())
    assert figures["between_hosts"] == 0


def test_measured__counts_peer_to_peer_shuffles(client):
    values = da.ones((1000, 1000), chunks=(1000, 100)).rechunk((100, 1000), method="p2p")
    with measured(client) as sent:
        values.sum().compute()
        sent.mark("shuffle")
    # half of 8 MB stays where it is, as long as the outputs are spread evenly
    assert 2 * MEGABYTE < sent.figures()["classes"]["worker-worker"] < 9 * MEGABYTE


def test_measured__counts_encrypted_connections():
    with workers(security=Security.temporary()) as cluster, Client(cluster) as client:
        assert client.scheduler.address.startswith("tls://")
        with measured(client) as sent:
            send(client)
            sent.mark("run")
    assert sent.figures()["classes"]["worker-worker"] == near(4 * MEGABYTE)


def test_measured__knows_a_client_that_fetches_from_workers(tmp_path):
    # a scheduler of its own: where it shares the client's process the two cannot be told apart
    file = tmp_path / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    common = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    commands = [
        [*dask, "scheduler", *common, "--port", "0"],
        [*dask, "worker", *common, "--nthreads", "1", "--no-nanny"],
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(command, cwd=tmp_path, **quiet) for command in commands]
    try:
        with Client(scheduler_file=str(file), timeout=30) as client:
            client.wait_for_workers(1, timeout=30)
            values = client.submit(np.ones, 250_000)
            wait(values)
            with measured(client) as sent:
                client.gather(values, direct=True)
                sent.mark("run")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sent.figures()["classes"]["client-worker"] == near(2 * MEGABYTE)


def test_measured__counts_workers_that_join_and_forgives_those_that_die(client):
    with measured(client) as sent:
        send(client, 1)
        sent.mark("before")
        victim, pid = next(iter(client.run(os.getpid).items()))
        os.kill(pid, signal.SIGKILL)
        while victim in client.scheduler_info()["workers"]:
            time.sleep(0.1)
        client.wait_for_workers(2, timeout=60)
        send(client, 3)
        sent.mark("after")
    phases = sent.figures()["phases"]
    assert phases["before"]["worker-worker"] == near(MEGABYTE)
    assert phases["after"]["worker-worker"] == near(3 * MEGABYTE)


def test_measured__leaves_nothing_behind(client):
    def state(dask_worker=None):
        from distributed.comm import tcp

        ours = [name for name in dask_worker.plugins if "distill" in name]
        return tcp.TCP.write.__wrapped__ if hasattr(tcp.TCP.write, "__wrapped__") else None, ours

    write, read = tcp.TCP.write, tcp.read_bytes_rw
    with measured(client):
        assert tcp.TCP.write is not write
        assert all(patched for _, patched in client.run(state).values())
    assert (tcp.TCP.write, tcp.read_bytes_rw) == (write, read)
    assert all(found == (None, []) for found in client.run(state).values())


def test_measured__two_runs_at_a_time_do_not_disturb_each_other(client):
    write = tcp.TCP.write
    with measured(client) as outer:
        with measured(client) as inner:
            send(client, 1)
            inner.mark("run")
        send(client, 1)
        outer.mark("run")
    assert inner.figures()["classes"]["worker-worker"] == near(MEGABYTE)
    assert outer.figures()["classes"]["worker-worker"] == near(2 * MEGABYTE)
    assert tcp.TCP.write is write


def test_measured__in_this_process_nothing_is_sent():
    with measured(None) as sent:
        sent.mark("survey")
    assert sent.figures()["total"] == 0
    assert sent.figures()["phases"] == {"survey": dict.fromkeys(CLASSES, 0)}


def test_measured__threads_of_one_process_send_nothing():
    with (
        LocalCluster(n_workers=2, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        measured(client) as sent,
    ):
        send(client, 1)
        sent.mark("run")
    assert sent.figures()["total"] == 0


@pytest.mark.parametrize("missing", ["read_bytes_rw", "TCPBackend"])
def test_measured__another_version_of_distributed_is_not_measured(client, monkeypatch, missing):
    monkeypatch.delattr(tcp, missing)
    assert not wire._can_count("tcp://127.0.0.1:1")
    monkeypatch.undo()
    monkeypatch.setattr(wire, "_can_count", lambda address: False)
    with measured(client) as sent:
        sent.mark("run")
    assert sent.figures() is None


def test_measured__other_transports_are_not_measured():
    assert wire._can_count("tls://127.0.0.1:1")
    assert not wire._can_count("ws://127.0.0.1:1")


def test_measured__a_scheduler_that_refuses_costs_the_figures_alone(client, monkeypatch):
    def refuse(*arguments, **options):
        raise ValueError("pickle is not allowed")

    write = tcp.TCP.write
    monkeypatch.setattr(client, "run_on_scheduler", refuse)
    with measured(client) as sent:
        sent.mark("run")
    assert sent.figures() is None
    assert tcp.TCP.write is write


def test_distributed__has_what_is_relied_on():
    import inspect

    from distributed import Scheduler
    from distributed.comm.registry import backends

    assert tcp.TLS.write is tcp.TCP.write
    assert list(inspect.signature(tcp.read_bytes_rw).parameters) == ["stream", "n"]
    assert type(backends["tcp"]) is tcp.TCPBackend
    assert {"msg", "workers", "on_error"} <= set(inspect.signature(Scheduler.broadcast).parameters)


def test_joined__adds_up_and_stays_unmeasured():
    one = {
        "total": 3,
        "between_hosts": 1,
        "classes": dict.fromkeys(CLASSES, 0) | {"worker-worker": 3},
        "phases": {"select": dict.fromkeys(CLASSES, 0) | {"worker-worker": 3}},
    }
    both = joined(one, one)
    assert (both["total"], both["between_hosts"]) == (6, 2)
    assert both["phases"]["select"]["worker-worker"] == 6
    assert joined(one, None) is None


def test_distill__tells_what_it_sent(client, labelled, tmp_path):
    X, y = (da.from_array(values[:6_000], chunks=1_000) for values in (labelled.X, labelled.y))
    coreset = distill(X, y, size=60, strategy="stratified", certify=True)
    sent = coreset.provenance["bytes_on_the_wire"]
    assert list(sent["phases"]) == ["survey", "select", "certify"]
    assert sent["total"] > 0
    receipt = coreset.to_zarr(tmp_path / "out.zarr")
    stored = open_coreset(tmp_path / "out.zarr").provenance["bytes_on_the_wire"]
    assert list(receipt["bytes_on_the_wire"]["phases"]) == ["write"]
    assert stored == joined(sent, receipt["bytes_on_the_wire"])
    assert "worker ↔ worker" in page(open_coreset(tmp_path / "out.zarr"))


def page(coreset):
    from dask_distill.report.page import render

    return render(coreset)
