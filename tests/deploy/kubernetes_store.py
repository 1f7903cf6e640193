"""The objects of a small Kubernetes in memory: create, patch, delete, watch, owners, deployments.

Knows nothing of HTTP and nothing of processes. Every write is checked against the schemas of
`kubernetes_schemas`; what they refuse, is refused here. Replica sets are left out: deployments
have pods of their own.
"""

import asyncio
import copy
import itertools
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from kubernetes_schemas import crds, errors


class Refused(Exception):  # noqa: N818  (not all are errors to whom it is told)
    """What a server answers with another status than 200."""

    def __init__(self, status, reason, message):
        super().__init__(message)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Resource:
    """A kind of object, and where it is served."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self):
        return f"{self.group}/{self.version}" if self.group else self.version


PODS = Resource("", "v1", "Pod", "pods")
SERVICES = Resource("", "v1", "Service", "services")
DEPLOYMENTS = Resource("apps", "v1", "Deployment", "deployments")
SECRETS = Resource("", "v1", "Secret", "secrets")
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps")
NAMESPACES = Resource("", "v1", "Namespace", "namespaces", False)
CRDS = Resource(
    *("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
)
BUILT_IN = [
    *(PODS, SERVICES, DEPLOYMENTS, SECRETS, CONFIG_MAPS, NAMESPACES, CRDS),
    Resource("", "v1", "Event", "events"),
    Resource("events.k8s.io", "v1", "Event", "events"),
    Resource("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
    Resource("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
]


def now():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects, and the changes that watchers follow."""

    def __init__(self):
        self.resources = {(r.group, r.version, r.plural): r for r in BUILT_IN}
        self.objects = {}
        self.history = []
        self.watchers = set()
        self._numbers = itertools.count(1)
        self.version = 0
        for name in ("default", "dask-operator"):
            self.create(NAMESPACES, None, {"metadata": {"name": name}})
        for crd in crds():
            self._serve(copy.deepcopy(crd))

    def _serve(self, crd):
        spec = crd["spec"]
        for version in spec["versions"]:
            names = spec["names"]
            served = Resource(spec["group"], version["name"], names["kind"], names["plural"])
            self.resources[served.group, served.version, served.plural] = served
        crd["status"] = {
            "acceptedNames": spec["names"],
            "storedVersions": [version["name"] for version in spec["versions"]],
            "conditions": [
                {"type": kind, "status": "True", "reason": "Served", "lastTransitionTime": now()}
                for kind in ("NamesAccepted", "Established")
            ],
        }
        self._put("ADDED", (CRDS, None, crd["metadata"]["name"]), crd)

    def get(self, resource, namespace, name):
        try:
            return self.objects[resource, namespace if resource.namespaced else None, name]
        except KeyError:
            raise Refused(404, "NotFound", f'{resource.plural} "{name}" not found') from None

    def list(self, resource, namespace=None):
        return [
            found
            for (kind, place, _), found in self.objects.items()
            if kind is resource and (namespace is None or place in (namespace, None))
        ]

    def create(self, resource, namespace, body):
        body = copy.deepcopy(body)
        body.setdefault("apiVersion", resource.api_version)
        body.setdefault("kind", resource.kind)
        metadata = body.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = metadata.get("generateName", "") + uuid.uuid4().hex[:5]
        if resource.namespaced:
            metadata["namespace"] = namespace
        key = (resource, namespace if resource.namespaced else None, metadata["name"])
        if key in self.objects:
            message = f'{resource.plural} "{metadata["name"]}" already exists'
            raise Refused(409, "AlreadyExists", message)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        self._check(body)
        if resource is PODS:
            body["status"] = {"phase": "Pending"}
        if resource is SERVICES:
            body["spec"].setdefault("clusterIP", f"10.96.0.{next(self._numbers) % 250 + 1}")
            body["status"] = {"loadBalancer": {}}
        if resource is SECRETS:
            _encode(body)
        return self._put("ADDED", key, body)

    def replace(self, resource, namespace, name, body):
        """Put another object in the place of one; what the server owns is kept."""
        old = self.get(resource, namespace, name)
        body = copy.deepcopy(body)
        metadata = body["metadata"]
        for field in ("uid", "creationTimestamp", "deletionTimestamp", "resourceVersion"):
            if field in old["metadata"]:
                metadata[field] = old["metadata"][field]
        metadata["generation"] = old["metadata"]["generation"]
        if body == old:
            return old
        metadata["generation"] += body.get("spec") != old.get("spec")
        self._check(body)
        key = (resource, metadata.get("namespace"), name)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            self._put("MODIFIED", key, body)
            if resource is not PODS:
                self._remove(key)
            return body
        return self._put("MODIFIED", key, body)

    def delete(self, resource, namespace, name, grace=None):
        """Mark what somebody still has to clean up after, remove the rest."""
        found = self.get(resource, namespace, name)
        key = (resource, found["metadata"].get("namespace"), name)
        running = resource is PODS and grace != 0
        if not running and not found["metadata"].get("finalizers"):
            self._remove(key)
        elif "deletionTimestamp" not in found["metadata"]:
            marked = copy.deepcopy(found)
            marked["metadata"]["deletionTimestamp"] = now()
            self._put("MODIFIED", key, marked)
        return found

    def set_status(self, resource, namespace, name, status):
        """For the parts of the cluster itself; the object may be gone."""
        key = (resource, namespace, name)
        if key in self.objects and self.objects[key].get("status") != status:
            self._put("MODIFIED", key, {**copy.deepcopy(self.objects[key]), "status": status})

    def _check(self, body):
        if found := errors(body):
            message = f"{body['kind']} {body['metadata']['name']!r} is invalid: {found[:5]}"
            raise Refused(422, "Invalid", message)

    def _put(self, change, key, body):
        self.version = next(self._numbers)
        body["metadata"]["resourceVersion"] = str(self.version)
        self.objects[key] = body
        self._tell(change, key[0], body)
        return body

    def _tell(self, change, resource, body):
        event = (int(body["metadata"]["resourceVersion"]), change, resource, copy.deepcopy(body))
        self.history.append(event)
        for queue in self.watchers:
            queue.put_nowait(event)

    def _remove(self, key):
        gone = self.objects.pop(key)
        self.version = next(self._numbers)
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._tell("DELETED", key[0], gone)
        for (resource, namespace, name), body in list(self.objects.items()):
            if owned_by(body, gone) and (resource, namespace, name) in self.objects:
                self.delete(resource, namespace, name)

    async def watch(self, resource, since):
        """Changes after a version, without end."""
        queue = asyncio.Queue()
        for event in self.history:
            queue.put_nowait(event)
        self.watchers.add(queue)
        try:
            while True:
                version, change, kind, body = await queue.get()
                if kind is resource and version > since:
                    yield change, body
        finally:
            self.watchers.discard(queue)

    async def run_deployments(self):
        """The controller that keeps as many pods as a deployment asks for."""
        while True:
            for deployment in self.list(DEPLOYMENTS):
                self._reconcile(deployment)
            await asyncio.sleep(0.1)

    def _reconcile(self, deployment):
        metadata, spec = deployment["metadata"], deployment["spec"]
        live = [
            pod
            for pod in self.list(PODS, metadata["namespace"])
            if owned_by(pod, deployment)
            and "deletionTimestamp" not in pod["metadata"]
            and pod["status"]["phase"] not in ("Failed", "Succeeded")
        ]
        for _ in range(spec["replicas"] - len(live)):
            owner = {
                **{key: deployment[key] for key in ("apiVersion", "kind")},
                **{key: metadata[key] for key in ("name", "uid")},
                "controller": True,
            }
            template = copy.deepcopy(spec["template"])
            template["metadata"].pop("name", None)
            template["metadata"] |= {
                "generateName": f"{metadata['name']}-",
                "ownerReferences": [owner],
            }
            self.create(PODS, metadata["namespace"], template)
        for pod in live[spec["replicas"] :]:
            self.delete(PODS, metadata["namespace"], pod["metadata"]["name"])
        ready = sum(is_ready(pod) for pod in live)
        status = {"replicas": len(live), "readyReplicas": ready, "availableReplicas": ready}
        self.set_status(DEPLOYMENTS, metadata["namespace"], metadata["name"], status)


def owned_by(body, owner):
    references = body["metadata"].get("ownerReferences") or []
    return any(reference["uid"] == owner["metadata"]["uid"] for reference in references)


def is_ready(pod):
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _encode(secret):
    import base64

    plain = secret.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(text.encode()).decode() for key, text in plain.items()}
    secret["data"] = (secret.get("data") or {}) | encoded
