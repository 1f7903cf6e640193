"""The manifests and `--cluster kubernetes` under the real Dask operator, with real processes.

The API server and the node are small (`kubernetes_api`, `kubernetes_node`); kopf and the operator,
kubectl, Dask, the S3 server and the job are the real ones. Pods have a read-only root.
"""

import json
import sys
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import yaml

pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")
pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
pytest.importorskip("s3fs", reason="s3fs is not installed")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from kubernetes_host import PROGRAMS, cannot_host, mini_kubernetes  # noqa: E402
from s3_server import KEY, SECRET  # noqa: E402

from dask_distill import distill, open_dataset  # noqa: E402
from dask_distill.storage import group as store  # noqa: E402

MANIFESTS = Path(__file__).parents[2] / "cluster" / "kubernetes"
RUN = MANIFESTS / "run.sh"
DISTILL = PROGRAMS / "dask-distill"
SOURCE = "s3://data/source.zarr"
OPTIONS = ("--fraction", "0.1")
# on a quiet machine each step takes a tenth of it
SECONDS = 240

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
    y = rng.integers(0, 3, 30_000)
    X = (rng.normal(size=(3, 12))[y] + rng.normal(size=(30_000, 12))).astype("f4")
    source = str(folder / "source.zarr")
    da.from_array(X, chunks=(3_000, -1)).to_zarr(source, component="X")
    da.from_array(y, chunks=3_000).to_zarr(source, component="y")
    copy = f"import s3fs; s3fs.S3FileSystem().put({source!r}, {SOURCE[5:]!r}, recursive=True)"
    kubernetes.run(sys.executable, "-c", copy, **credentials)
    target = str(folder / "selected.zarr")
    with dask.config.set(scheduler="threads"):
        distill(open_dataset(source), fraction=0.1).to_zarr(target)
    return store.summary(target)["digest"]


def digest(kubernetes, credentials, target):
    """Of a target in the object store, verified."""
    done = kubernetes.run(DISTILL, "verify", target, "--json", **credentials)
    found = json.loads(done.stdout)
    assert found["ok"], found
    return found["digest"]


def state(kubernetes):
    path = "jsonpath={.status.jobStatus}"
    return kubernetes.kubectl("get", "daskjob", "distill", "--output", path, check=False)


def pods(kubernetes, component):
    label = f"dask.org/cluster-name=distill,dask.org/component={component}"
    return kubernetes.kubectl("get", "pods", "--selector", label, "--output", "name").split()


def nothing_left(kubernetes):
    """Whether the operator has cleaned up after a cluster."""
    kinds = "daskclusters,daskworkergroups,daskautoscalers,deployments,services"
    found = kubernetes.kubectl("get", kinds, "--output", "name").split()
    runner = pods(kubernetes, "job-runner")
    return not found and set(kubernetes.kubectl("get", "pods", "-o", "name").split()) <= set(runner)


def test_job__loses_a_worker_pod_and_ends_with_the_digest_of_a_local_run(
    kubernetes, credentials, expected
):
    target = "s3://data/selected.zarr"
    job = kubernetes.start("bash", RUN, SOURCE, target, *OPTIONS, LIMIT="230")
    log = kubernetes.folder / "node" / "logs" / "default.distill-runner.log"
    kubernetes.wait_for(
        lambda: log.exists() and "survey: " in log.read_text(), "the beginning of the job", SECONDS
    )
    before = pods(kubernetes, "worker")
    assert len(before) == 2
    # at once: SIGKILL, no good-bye to the scheduler
    kubernetes.kubectl("delete", before[0], "--grace-period=0", "--force")
    assert state(kubernetes) == "Running"
    kubernetes.wait_for(
        lambda: set(pods(kubernetes, "worker")) - set(before), "another pod in its place"
    )
    out, err = job.communicate(timeout=SECONDS)
    assert job.returncode == 0, (out, err, kubernetes.logs())
    assert "selected     3,000 of 30,000 rows" in out
    assert "run.sh: Successful after" in out
    assert state(kubernetes) == "Successful"
    assert digest(kubernetes, credentials, target) == expected
    kubernetes.wait_for(lambda: nothing_left(kubernetes), "cleaning up")


def test_job__that_fails_says_why_and_ends_the_launcher(kubernetes, credentials):
    source = "s3://data/nowhere.zarr"
    done = kubernetes.run(
        *("bash", RUN, source, "s3://data/none.zarr", "--size", "5"),
        seconds=SECONDS,
        check=False,
        LIMIT="230",
    )
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert "dask-distill: error: " in done.stdout
    assert "nowhere.zarr" in done.stdout
    assert "run.sh: Failed after" in done.stdout
    assert state(kubernetes) == "Failed"
    kubernetes.wait_for(lambda: nothing_left(kubernetes), "cleaning up")


def test_launcher__wants_source_and_target(kubernetes):
    done = kubernetes.run("bash", RUN, SOURCE, check=False)
    assert done.returncode == 2
    assert "SOURCE and TARGET must be given" in done.stderr


def test_cluster_kubernetes__adapts_and_gives_the_same_bits(kubernetes, credentials, expected):
    target = "s3://data/from-python.zarr"
    settings = MANIFESTS / "distill.yaml"
    job = kubernetes.start(
        *(DISTILL, "run", SOURCE, target, *OPTIONS, "--json", "--cluster", "kubernetes"),
        DASK_CONFIG=str(settings),
        DASK_DISTILL__KUBERNETES__ADAPTIVE__MAXIMUM="2",
        DASK_DISTILL__KUBERNETES__NAME="distill",
        DASK_DISTILL__KUBERNETES__START_TIMEOUT="230s",
        **credentials,
    )

    def bounds():
        path = "jsonpath={.spec.minimum} {.spec.maximum}"
        return kubernetes.kubectl("get", "daskautoscaler", "distill", "-o", path, check=False)

    assert kubernetes.wait_for(bounds, "the autoscaler", SECONDS) == "1 2"
    out, err = job.communicate(timeout=SECONDS)
    assert job.returncode == 0, (out, err, kubernetes.logs())
    assert json.loads(out)["digest"] == expected
    assert digest(kubernetes, credentials, target) == expected
    kubernetes.wait_for(lambda: nothing_left(kubernetes), "cleaning up")


def test_daskcluster__is_joined_by_address(kubernetes, credentials, expected):
    for name in ("daskcluster.yaml", "autoscaler.yaml"):
        kubernetes.kubectl("apply", "--filename", MANIFESTS / name)
    kubernetes.kubectl("apply", "--kustomize", MANIFESTS)
    target = "s3://data/by-address.zarr"
    begun = time.monotonic()
    done = kubernetes.run(
        *(DISTILL, "run", SOURCE, target, *OPTIONS, "--json", "--scheduler-address"),
        "tcp://distill-scheduler.default:8786",
        seconds=SECONDS,
        DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="120s",
        **credentials,
    )
    assert json.loads(done.stdout)["digest"] == expected
    # without work the autoscaler takes workers away, down to one
    kubernetes.wait_for(lambda: len(pods(kubernetes, "worker")) == 1, "scaling down", SECONDS)
    assert time.monotonic() - begun < SECONDS
    kubernetes.kubectl("delete", "daskcluster", "distill", "--wait=false")
    kubernetes.wait_for(lambda: nothing_left(kubernetes), "cleaning up")
