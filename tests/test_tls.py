"""Clusters whose connections are encrypted: ours, and those that are joined."""

import json

import dask
import numpy as np
import pytest
from click.testing import CliRunner
from distributed.security import Security

from dask_distill import distill
from dask_distill.cli.main import cli
from dask_distill.clusters.connect import connect
from dask_distill.errors import DistillError, InputError

pytest.importorskip("cryptography")


def test_connect__tls_keeps_others_out(labelled):
    with connect(workers=1, tls=True) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert all(worker.startswith("tls://127.0.0.1:") for worker in client.nthreads())
        found = distill(labelled.X[:500], labelled.y[:500], size=10, strategy="stratified")
        with (
            pytest.raises(InputError, match="must be joined with certificates, got none; pass"),
            connect(scheduler_address=address),
        ):
            pass
        stranger = Security.temporary()
        with (
            dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
            pytest.raises(DistillError, match="no scheduler can be reached"),
            connect(scheduler_address=address, security=stranger),
        ):
            pass
    with dask.config.set(scheduler="sync"):
        here = distill(labelled.X[:500], labelled.y[:500], size=10, strategy="stratified")
    assert np.array_equal(found.indices, here.indices)


def test_run__joins_a_scheduler_by_its_certificates(labelled, tmp_path):
    from distributed import LocalCluster

    security = Security.temporary()
    (tmp_path / "cert.pem").write_text(security.tls_client_cert)
    (tmp_path / "key.pem").write_text(security.tls_client_key)
    np.savez(tmp_path / "in.npz", X=labelled.X[:500], y=labelled.y[:500])
    with LocalCluster(
        n_workers=1,
        processes=True,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        security=security,
        protocol="tls://",
        silence_logs=50,
    ) as cluster:
        command = ["run", tmp_path / "in.npz", tmp_path / "t", "--size", "10", "--json"]
        command += ["--strategy", "random", "--scheduler-address", cluster.scheduler_address]
        files = ["--tls-ca-file", tmp_path / "cert.pem", "--tls-cert", tmp_path / "cert.pem"]
        files += ["--tls-key", tmp_path / "key.pem"]
        done = CliRunner().invoke(cli, [str(word) for word in [*command, *files]])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["selected"] == 10
        done = CliRunner().invoke(cli, [str(word) for word in [*command, "--overwrite"]])
        assert done.exit_code == 2
        assert "must be joined with certificates, got none" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"tls": True, "scheduler_address": "tcp://127.0.0.1:1"}, "got a scheduler that is joined"),
        ({"security": object()}, "must come with a scheduler that is joined, got none"),
    ],
)
def test_connect__tls_where_it_cannot_be(arguments, sentence):
    with pytest.raises(InputError, match=sentence), connect(**arguments):
        pass
