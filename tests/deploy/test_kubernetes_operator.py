"""The manifests and `--cluster kubernetes` under the real Dask operator, with real processes.

The API server and the node are small (`kubernetes_api`, `kubernetes_node`); kopf and the operator,
kubectl, Dask, the S3 server and the job are the real ones. Pods have a read-only root.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import yaml

pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")
pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
pytest.importorskip("psutil")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from kubernetes_host import PROGRAMS, cannot_host, mini_kubernetes  # noqa: E402
from s3_server import KEY, SECRET  # noqa: E402

MANIFESTS = Path(__file__).parents[2] / "cluster" / "kubernetes"
RUN = MANIFESTS / "run.sh"
SOURCE = "s3://data/source.zarr"
OPTIONS = ("--fraction", "0.1")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MANIFESTS.exists(), reason="cluster/kubernetes is not in this tree"),
]


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory):
    if reason := cannot_host():
        pytest.skip(reason)
    with mini_kubernetes(tmp_path_factory.mktemp("kubernetes")) as kubernetes:
        yield kubernetes


@pytest.fixture(scope="module")
def credentials(kubernetes):
    """The Secret of the example, filled in; and its entries."""
    secret = yaml.safe_load((MANIFESTS / "secret.example.yaml").read_text())
    secret["stringData"] = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{kubernetes.s3_port}",
    }
    kubernetes.apply(secret)
    return secret["stringData"]


@pytest.fixture(scope="module")
def expected(kubernetes, credentials, tmp_path_factory):
    """The digest of a run on this machine; the same data are put into the object store."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(7)
    y = rng.integers(0, 3, 60_000)
    X = (rng.normal(size=(3, 12))[y] + rng.normal(size=(60_000, 12))).astype("f4")
    chunks = {"X": (6_000, -1), "y": 6_000}
    for name, array in {"X": X, "y": y}.items():
        da.from_array(array, chunks=chunks[name]).to_zarr(
            str(folder / "source.zarr"), component=name
        )
    copy = (
        "import s3fs; s3fs.S3FileSystem().put(r'{}', 'data/source.zarr', recursive=True)"
    ).format(folder / "source.zarr")
    kubernetes.run(sys.executable, "-c", copy, **credentials)
    local = subprocess.run(
        [PROGRAMS / "dask-distill", "run", folder / "source.zarr", folder / "out.zarr"]
        + [*OPTIONS, "--json", "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return json.loads(local.stdout)["digest"]


def digest(kubernetes, credentials, target):
    """Of a target in the object store, verified."""
    command = [PROGRAMS / "dask-distill", "verify", target, "--json"]
    found = json.loads(kubernetes.run(*command, **credentials).stdout)
    assert found["ok"], found
    return found["digest"]


def state(kubernetes):
    return kubernetes.kubectl(
        *("get", "daskjob", "distill", "--output", "jsonpath={.status.jobStatus}")
    )


def pods(kubernetes, component):
    label = f"dask.org/cluster-name=distill,dask.org/component={component}"
    return kubernetes.kubectl("get", "pods", "--selector", label, "--output", "name").split()


def test_job__ends_with_the_digest_of_a_local_run(kubernetes, credentials, expected):
    begun = time.time()
    done = kubernetes.run(
        *("bash", RUN, SOURCE, "s3://data/selected.zarr", *OPTIONS), seconds=90, LIMIT="80"
    )
    print(done.stdout, done.stderr, time.time() - begun)
    assert state(kubernetes) == "Successful"
    assert digest(kubernetes, credentials, "s3://data/selected.zarr") == expected
