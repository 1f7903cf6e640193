"""A cluster on Kubernetes, made by the Dask operator from the settings in `distill.kubernetes`.

Imported only where such a cluster is asked for. What the pods are made of is also written down in
``cluster/kubernetes/daskcluster.yaml``; a test holds the two together.
"""

import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dask.utils import parse_timedelta

from dask_distill.config import setting
from dask_distill.errors import DistillError, InputError

logger = logging.getLogger(__name__)

SCRATCH = "/mnt/scratch"
# the operator puts "-scheduler" behind it, and the whole may have 63 characters
_NAME = re.compile(r"^(?=.{1,53}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_CREDENTIAL = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|CREDENTIAL", re.IGNORECASE)
_SECONDS_TO_ANSWER = 15


@contextmanager
def kubernetes_cluster(workers: int | None = None) -> Iterator[Any]:
    """A cluster of pods, deleted at the end.

    Reads ``distill.kubernetes`` of Dask's configuration: image, namespace, name, bounds of
    workers, resources, environment, secrets, time limits.

    Parameters
    ----------
    workers : int, optional
        Worker pods; unless given, as many as there is work for, within ``adaptive``.

    Yields
    ------
    dask_kubernetes.operator.KubeCluster
        With its workers up, or those of them that came up in time.

    Raises
    ------
    InputError
        Where dask-kubernetes is not installed or a setting cannot be used.
    DistillError
        Where no Kubernetes answers, the operator is not there, or no worker comes up in time.
    """
    try:
        import kr8s
        from dask_kubernetes.operator import KubeCluster
    except ImportError as error:
        raise InputError(
            "cluster 'kubernetes' needs dask-kubernetes, which cannot be imported "
            f'({error}); pip install "dask-distill[kubernetes]"'
        ) from None
    minimum, maximum = _bounds(workers)
    name = setting("kubernetes.name") or f"distill-{uuid.uuid4().hex[:8]}"
    # refuses settings before anything is asked of a server
    spec = cluster_spec(name, minimum)
    seconds = parse_timedelta(setting("kubernetes.start-timeout"))
    with _plain_failures():
        # named, so that another file than last time is seen
        api = kr8s.api(
            kubeconfig=os.environ.get("KUBECONFIG"), namespace=setting("kubernetes.namespace")
        )
        api.timeout = _SECONDS_TO_ANSWER
    namespace = api.namespace
    with _created(api, spec, namespace):
        with _plain_failures():
            _wait_until_up(api, name, namespace, minimum, seconds)

            def join() -> Any:
                return KubeCluster.from_name(
                    name, namespace=namespace, shutdown_on_close=False, quiet=True
                )

            cluster = _within(seconds, join, f"the scheduler of '{name}'")
        with cluster:
            if maximum > minimum:
                with _plain_failures():
                    cluster.adapt(minimum=minimum, maximum=maximum)
            yield cluster


def cluster_spec(name: str, workers: int) -> dict[str, Any]:
    """The `DaskCluster` resource: what the operator makes scheduler and workers from.

    Parameters
    ----------
    name : str
        Of the cluster: lower-case letters, digits and dashes, at most 53.
    workers : int
        Worker pods to begin with.

    Returns
    -------
    dict
        Settings that name secrets are kept as references; no value of a secret is in it.

    Raises
    ------
    InputError
        Where a setting cannot be used.
    """
    from dask_kubernetes.operator import make_cluster_spec

    if not isinstance(name, str) or not _NAME.match(name):
        raise InputError(
            "distill.kubernetes.name must be at most 53 lower-case letters, digits and dashes, "
            f"got {name!r}; leave it out to have one made up"
        )
    # the library's commands are gone from distributed: its service and ports are what we take
    spec: dict[str, Any] = make_cluster_spec(name, image=_image(), n_workers=workers)
    spec["spec"]["idleTimeout"] = int(parse_timedelta(setting("kubernetes.idle-timeout")))
    scheduler, worker = spec["spec"]["scheduler"], spec["spec"]["worker"]
    probe = {"httpGet": {"path": "/health", "port": "http-dashboard"}, "timeoutSeconds": 10}
    scheduler["spec"] = _pod(
        scheduler["spec"]["containers"][0],
        resources=setting("kubernetes.scheduler"),
        command=["dask", "scheduler"],
        args=["--dashboard-address", ":8787"],
        env=_resilience(),
        probes={
            "readinessProbe": probe | {"periodSeconds": 2},
            # a busy scheduler answers late; only one that is dead for two minutes is restarted
            "livenessProbe": probe | {"periodSeconds": 20, "failureThreshold": 6},
        },
    )
    memory = {"resourceFieldRef": {"resource": "limits.memory"}}
    worker["spec"] = _pod(
        worker["spec"]["containers"][0],
        resources=setting("kubernetes.worker"),
        command=["dask", "worker"],
        args=[
            *("--name", "$(DASK_WORKER_NAME)", "--nthreads", "1"),
            *("--memory-limit", "$(WORKER_MEMORY)", "--local-directory", SCRATCH),
            *("--dashboard-address", ":8788"),
        ],
        env=[{"name": "WORKER_MEMORY", "valueFrom": memory}],
        # no liveness: the nanny restarts a dead worker, and the scheduler gives up a silent one
        probes={"readinessProbe": probe | {"periodSeconds": 2}},
    ) | (setting("kubernetes.pod") or {})
    return spec


def _pod(
    container: dict[str, Any],
    *,
    resources: dict[str, str],
    command: list[str],
    args: list[str],
    env: list[dict[str, Any]],
    probes: dict[str, Any],
) -> dict[str, Any]:
    """A pod that may write to its scratch folder and to nothing else."""
    if not all(resources.get(key) for key in ("cpu", "memory")):
        raise InputError(
            "distill.kubernetes.worker and .scheduler must give cpu and memory, got "
            f"{resources!r}; for example {{cpu: '1', memory: 4Gi}}"
        )
    amounts = {key: str(value) for key, value in resources.items()}
    return {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": container["name"],
                "image": container["image"],
                "command": command,
                "args": args,
                "env": env + _environment(),
                "envFrom": [{"secretRef": {"name": name}} for name in _secrets()],
                "ports": container["ports"],
                # requests as high as limits: evicted last, and never killed for a neighbour
                "resources": {"requests": amounts, "limits": amounts},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "scratch", "mountPath": SCRATCH}],
                **probes,
            }
        ],
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": setting("kubernetes.scratch")}},
        ],
    }


def _resilience() -> list[dict[str, Any]]:
    """What the scheduler must know before it starts."""
    return [
        {
            "name": "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES",
            "value": str(setting("kubernetes.allowed-failures")),
        },
        {
            "name": "DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT",
            "value": str(setting("no-workers-timeout")),
        },
    ]


def _environment() -> list[dict[str, Any]]:
    given = setting("kubernetes.env") or {}
    for key in given:
        if _CREDENTIAL.search(key):
            raise InputError(
                f"distill.kubernetes.env must not hold credentials, got '{key}'; put it into a "
                "Secret and name that in distill.kubernetes.secrets"
            )
    places = {"HOME": SCRATCH, "TMPDIR": SCRATCH, "NUMBA_CACHE_DIR": f"{SCRATCH}/numba"}
    return [{"name": key, "value": str(value)} for key, value in (places | given).items()]


def _secrets() -> list[str]:
    names = setting("kubernetes.secrets") or []
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"distill.kubernetes.secrets must be a list of names of Secrets, got {names!r}; for "
            "example [distill-s3]"
        )
    return list(names)


def _image() -> str:
    image = setting("kubernetes.image")
    if not isinstance(image, str) or not image:
        raise InputError(
            f"distill.kubernetes.image must name an image with dask-distill in it, got {image!r}; "
            "set DASK_DISTILL__KUBERNETES__IMAGE, cluster/kubernetes/Dockerfile makes one"
        )
    return image


def _bounds(workers: int | None) -> tuple[int, int]:
    """Fewest and most workers."""
    if workers is not None:
        return workers, workers
    minimum, maximum = (setting(f"kubernetes.adaptive.{key}") for key in ("minimum", "maximum"))
    numbers = all(isinstance(value, int) for value in (minimum, maximum))
    if not numbers or not 1 <= minimum <= maximum:
        raise InputError(
            "distill.kubernetes.adaptive.minimum and .maximum must be whole numbers, 1 <= minimum "
            f"<= maximum, got {minimum!r} and {maximum!r}; --workers N gives a fixed number"
        )
    return minimum, maximum


@contextmanager
def _created(api: Any, spec: dict[str, Any], namespace: str) -> Iterator[None]:
    """The resource, and what the operator makes of it, for as long as it is needed."""
    from kr8s.objects import object_from_spec

    full = {**spec, "metadata": {**spec["metadata"], "namespace": namespace}}
    resource = object_from_spec(full, api=api, allow_unknown_type=True)
    with _plain_failures():
        resource.create()
    try:
        yield
    finally:
        try:
            resource.delete()
        except Exception as error:
            logger.warning(
                "the DaskCluster '%s' in namespace '%s' could not be deleted: %s; "
                "kubectl delete daskcluster %s",
                *(resource.name, namespace, error, resource.name),
            )


def _wait_until_up(api: Any, name: str, namespace: str, workers: int, seconds: float) -> None:
    """Wait for the scheduler and the workers; at the end of the time one worker will do."""
    deadline = time.monotonic() + seconds
    while True:
        pods = [
            pod.raw
            for pod in api.get(
                "pods", namespace=namespace, label_selector={"dask.org/cluster-name": name}
            )
        ]
        ready = [pod["metadata"]["labels"]["dask.org/component"] for pod in pods if _is_ready(pod)]
        up = ready.count("worker") if "scheduler" in ready else 0
        if up >= workers:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.5)
    waiting = "; ".join(_described(pod) for pod in pods if not _is_ready(pod))
    if not up:
        raise DistillError(
            f"the cluster '{name}' must have a scheduler and a worker within {seconds:g} s, but "
            + (waiting or "there are no pods; is the Dask operator running?")
        )
    logger.warning("%d of %d workers came up within %g s: %s", up, workers, seconds, waiting)


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _described(pod: dict[str, Any]) -> str:
    """A pod that is not ready, with what Kubernetes says of it."""
    status = pod.get("status", {})
    states = [entry.get("state", {}) for entry in status.get("containerStatuses", [])]
    reasons = [state["waiting"].get("reason") for state in states if "waiting" in state]
    reasons += [c.get("message") for c in status.get("conditions", []) if c["status"] == "False"]
    told = next((reason for reason in reasons if reason), "not ready")
    return f"pod {pod['metadata']['name']} is {status.get('phase', 'Pending')} ({told})"


def _within(seconds: float, call: Callable[[], Any], what: str) -> Any:
    """What a call gives, where the library would wait for it for ever."""
    outcome: dict[str, Any] = {}

    def work() -> None:
        try:
            outcome["value"] = call()
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=work, name="distill-connect", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise DistillError(f"{what} must answer within {seconds:g} s; see the logs of its pod")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["value"]


@contextmanager
def _plain_failures() -> Iterator[None]:
    """Turn what the Kubernetes libraries raise into a sentence."""
    import httpx
    import kr8s

    unreachable = "no Kubernetes cluster can be reached"
    try:
        yield
    except DistillError:
        raise
    except kr8s.ServerError as error:
        status = getattr(error.response, "status_code", 0)
        raise DistillError(_refusal(status, str(error))) from None
    except (httpx.HTTPError, OSError, kr8s.APITimeoutError, kr8s.ConnectionClosedError) as error:
        told = str(error) or type(error).__name__
        raise DistillError(f"{unreachable}: {told}; check `kubectl get nodes`") from None
    except ValueError as error:
        # what kr8s says without a kubeconfig and outside a pod
        raise DistillError(f"{unreachable}: {error}; set KUBECONFIG to a file") from None


def _refusal(status: int, told: str) -> str:
    ways = {
        401: "; log in again",
        403: "; your role must allow creating daskclusters and reading pods and services",
        404: "; are the namespace and the Dask operator there? cluster/kubernetes/README.md",
        409: "; a cluster of that name is there: give distill.kubernetes.name another, or delete "
        "it with kubectl delete daskcluster",
    }
    return f"Kubernetes refused: {told.splitlines()[0] if told else status}{ways.get(status, '')}"
