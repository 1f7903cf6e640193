"""`kubernetes_cluster`: what it takes from settings, and what it says when it cannot start.

Against an API server without operator and nodes; with both: `test_kubernetes_operator`.
"""

import asyncio
import sys
import threading
from pathlib import Path

import dask
import pytest
import yaml

pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")
pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
sys.path.insert(0, str(Path(__file__).parent))
from kubernetes_api import application
from kubernetes_schemas import errors
from kubernetes_store import PODS, Store

from dask_distill.clusters.connect import connect
from dask_distill.clusters.kubernetes import cluster_spec, kubernetes_cluster
from dask_distill.errors import DistillError, InputError

IMAGE = "registry.example.com/dask-distill:0.1.0"


def settings(**more):
    more = {"image": IMAGE, "secrets": ["distill-s3"]} | more
    return dask.config.set(
        {f"distill.kubernetes.{key.replace('_', '-')}": value for key, value in more.items()}
    )


def test_cluster_spec__takes_what_is_set():
    more = {
        "env": {"AWS_DEFAULT_REGION": "eu-west-1"},
        "secrets": ["one", "two"],
        "worker": {"cpu": 2, "memory": "8Gi"},
        "pod": {"tolerations": [{"key": "spot", "operator": "Exists"}]},
        "idle_timeout": "10m",
    }
    with settings(**more):
        spec = cluster_spec("mine", 3)
    assert errors(spec) == []
    assert spec["spec"]["idleTimeout"] == 600
    assert spec["spec"]["worker"]["replicas"] == 3
    worker = spec["spec"]["worker"]["spec"]
    assert worker["tolerations"] == more["pod"]["tolerations"]
    [container] = worker["containers"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "8Gi"}
    assert [source["secretRef"]["name"] for source in container["envFrom"]] == ["one", "two"]
    assert {"name": "AWS_DEFAULT_REGION", "value": "eu-west-1"} in container["env"]
    assert "tolerations" not in spec["spec"]["scheduler"]["spec"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"image": None}, "distill.kubernetes.image must name an image"),
        ({"name": "Not_A_Name"}, "distill.kubernetes.name must be at most 53"),
        ({"adaptive": {"minimum": 4, "maximum": 2}}, "got 4 and 2"),
        ({"adaptive": {"minimum": "two"}}, "must be whole numbers"),
        ({"worker": {"cpu": "1", "memory": None}}, "must give cpu and memory"),
        ({"secrets": "distill-s3"}, "must be a list of names of Secrets"),
        ({"env": {"AWS_SECRET_ACCESS_KEY": "x"}}, "must not hold credentials"),
    ],
)
def test_kubernetes_cluster__refuses_settings_before_it_starts(given, told, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    with settings(**given), pytest.raises(InputError, match=told), kubernetes_cluster():
        pass


def test_kubernetes_cluster__names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", None)
    with (
        settings(),
        pytest.raises(InputError, match=r'pip install "dask-distill\[kubernetes\]"'),
        connect(cluster="kubernetes", workers=1),
    ):
        pass


def kubeconfig(folder, port):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    return str(folder / "kubeconfig")


def test_kubernetes_cluster__says_that_nothing_answers(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, 1))
    with (
        settings(),
        pytest.raises(DistillError, match="no Kubernetes cluster can be reached"),
        connect(cluster="kubernetes", workers=1),
    ):
        pass


@pytest.fixture
def bare_server(tmp_path, monkeypatch):
    """The store of an API server without operator and nodes, which KUBECONFIG leads to."""
    from aiohttp import web

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start():
        store = Store()
        runner = web.AppRunner(application(store, tmp_path), access_log=None, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return store, runner, site._server.sockets[0].getsockname()[1]

    store, runner, port = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, port))
    yield store
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def clusters(store):
    return [key for key in store.objects if key[0].kind == "DaskCluster"]


def test_kubernetes_cluster__says_that_no_operator_is_at_work(bare_server):
    with (
        settings(start_timeout="1s"),
        pytest.raises(DistillError, match="within 1 s, but there are no pods; is the Dask oper"),
        kubernetes_cluster(2),
    ):
        pass
    assert not clusters(bare_server)
    changes = [change for _, change, kind, _ in bare_server.history if kind.kind == "DaskCluster"]
    assert changes == ["ADDED", "DELETED"]


def test_kubernetes_cluster__says_what_holds_up_a_pod(bare_server):
    spec = {"containers": [{"name": "scheduler", "image": IMAGE}]}
    labels = {"dask.org/cluster-name": "mine", "dask.org/component": "scheduler"}
    pod = {"metadata": {"name": "mine-scheduler", "labels": labels}, "spec": spec}
    bare_server.create(PODS, "default", pod)
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    container = {"name": "scheduler", "image": IMAGE, "imageID": "", "ready": False}
    container |= {"restartCount": 0, "state": waiting}
    status = {"phase": "Pending", "containerStatuses": [container]}
    bare_server.set_status(PODS, "default", "mine-scheduler", status)
    told = r"pod mine-scheduler is Pending \(ImagePullBackOff\)"
    with (
        settings(start_timeout="1s", name="mine"),
        pytest.raises(DistillError, match=told),
        kubernetes_cluster(2),
    ):
        pass
    assert not clusters(bare_server)


def test_kubernetes_cluster__says_that_the_operator_is_not_installed(bare_server):
    for key in [key for key in bare_server.resources if key[0] == "kubernetes.dask.org"]:
        del bare_server.resources[key]
    with (
        settings(start_timeout="1s"),
        pytest.raises(DistillError, match="are the namespace and the Dask operator there"),
        kubernetes_cluster(2),
    ):
        pass


def test_kubernetes_cluster__leaves_a_cluster_of_that_name_alone(bare_server):
    [resource] = [r for r in bare_server.resources.values() if r.kind == "DaskCluster"]
    with settings():
        bare_server.create(resource, "default", cluster_spec("mine", 1))
    with (
        settings(start_timeout="1s", name="mine"),
        pytest.raises(DistillError, match="a cluster of that name is there"),
        kubernetes_cluster(2),
    ):
        pass
    assert len(clusters(bare_server)) == 1
