"""A node: runs pods as plain processes, as their manifests say.

Of a container it takes command, environment (values, Secrets, ConfigMaps, fields, resources),
volumes (in a mount namespace of its own), a read-only root, dropped capabilities, no new
privileges, readiness and restart policy. It has no images, users, addresses, limits or liveness:
pods see this machine's programs, run as its root and share one network.
"""

import asyncio
import base64
import itertools
import os
import re
import shutil
import signal
from pathlib import Path

import aiohttp
from kubernetes_store import CONFIG_MAPS, PODS, SECRETS, SERVICES, Refused, now

# mounts what is given as pairs, then the root read-only where that is asked for, and runs the rest
_START = """
set -e
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift
if [ "$1" = read-only ]; then mount -o remount,bind,ro /; fi
shift
exec "$@"
"""
_QUANTITY = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}


class Node:
    """Takes every pod of a `Store`."""

    def __init__(self, store, folder, programs, hosts):
        self.store, self.folder, self.programs, self.hosts = store, folder, programs, hosts
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.pods = {}
        self.tasks = set()
        self._addresses = itertools.count(2)

    async def run(self):
        """Start what is new, stop what is gone, name what is served; without end."""
        while True:
            present = {}
            for body in self.store.list(PODS):
                metadata = body["metadata"]
                present[metadata["uid"]] = body
                pod = self.pods.get(metadata["uid"])
                if pod is None:
                    pod = Pod(self, body, f"127.1.0.{next(self._addresses)}")
                    self.pods[metadata["uid"]] = pod
                    self._start(pod.run())
                if "deletionTimestamp" in metadata and not pod.stopping:
                    pod.stopping = True
                    self._start(pod.stop())
            for uid in set(self.pods) - set(present):
                self.pods.pop(uid).kill()
            self._write_hosts()
            await asyncio.sleep(0.1)

    def _start(self, work):
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task):
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            asyncio.get_running_loop().call_exception_handler(
                {"message": "a pod's task failed", "exception": task.exception()}
            )

    def _write_hosts(self):
        """Each service's name, with the address of a pod behind it."""
        lines = [f"127.0.0.1 localhost {os.uname().nodename}"]
        for service in self.store.list(SERVICES):
            name, namespace = (service["metadata"][key] for key in ("name", "namespace"))
            wanted = service["spec"].get("selector", {}).items()
            for pod in self.pods.values():
                labels = pod.body["metadata"].get("labels", {}).items()
                if pod.namespace == namespace and pod.process and wanted <= labels:
                    full = f"{name}.{namespace}.svc.cluster.local {name}.{namespace} {name}"
                    lines.append(f"{pod.address} {full}")
                    break
        text = "\n".join(lines) + "\n"
        if self.hosts.read_text() != text:
            self.hosts.write_text(text)


class Pod:
    """One container, from its first start to its last."""

    def __init__(self, node, body, address):
        self.node, self.body, self.address = node, body, address
        self.namespace, self.name = (body["metadata"][key] for key in ("namespace", "name"))
        [self.container] = body["spec"]["containers"]
        self.process = None
        self.restarts = 0
        self.stopping = False
        self.home = node.folder / "pods" / body["metadata"]["uid"]

    async def run(self):
        policy = self.body["spec"].get("restartPolicy", "Always")
        while not self.stopping:
            try:
                command, environment = self._command()
            except Refused as error:
                self._report("Pending", _waiting("CreateContainerConfigError", str(error)))
                await asyncio.sleep(0.5)
                continue
            code = await self._once(command, environment)
            if self.stopping:
                return
            ended = {"exitCode": code if code >= 0 else 128 - code, "finishedAt": now()}
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                self._report("Failed" if code else "Succeeded", {"terminated": ended})
                return
            self.restarts += 1
            reason = "CrashLoopBackOff" if self.restarts > 2 else "Error"
            self._report("Running", _waiting(reason, f"exit code {code}"))
            await asyncio.sleep(min(2**self.restarts / 2, 30))

    async def _once(self, command, environment):
        with open(self.node.logs / f"{self.namespace}.{self.name}.log", "ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *command,
                env=environment,
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        running = {"running": {"startedAt": now()}}
        probe = self.container.get("readinessProbe")
        self._report("Running", running, ready=probe is None)
        probing = asyncio.ensure_future(self._probe(probe, running)) if probe else None
        try:
            return await self.process.wait()
        finally:
            self.process = None
            if probing:
                probing.cancel()

    async def _probe(self, probe, running):
        ports = {port["name"]: port["containerPort"] for port in self.container["ports"]}
        get = probe["httpGet"]
        url = f"http://{self.address}:{ports.get(get['port'], get['port'])}{get['path']}"
        async with aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(url, timeout=aiohttp.ClientTimeout(2)) as answer:
                        if answer.status < 400:
                            self._report("Running", running, ready=True)
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(0.2)

    def _report(self, phase, state, ready=False):
        condition = {"status": str(ready), "lastTransitionTime": now()}
        container = {"name": self.container["name"], "image": self.container["image"]}
        container |= {"imageID": "", "ready": ready, "restartCount": self.restarts, "state": state}
        status = {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": self.address,
            "conditions": [{"type": kind, **condition} for kind in ("ContainersReady", "Ready")],
            "containerStatuses": [container],
        }
        self.node.store.set_status(PODS, self.namespace, self.name, status)

    async def stop(self):
        """End it as an eviction does: SIGTERM, some time, SIGKILL, and the object is gone."""
        grace = min(self.body["spec"].get("terminationGracePeriodSeconds", 30), 5)
        if self.process:
            os.killpg(self.process.pid, signal.SIGTERM)
            for _ in range(grace * 10):
                if not self.process:
                    break
                await asyncio.sleep(0.1)
        self.kill()
        if (PODS, self.namespace, self.name) in self.node.store.objects:
            self.node.store.delete(PODS, self.namespace, self.name, grace=0)

    def kill(self):
        self.stopping = True
        if self.process:
            os.killpg(self.process.pid, signal.SIGKILL)

    def _command(self):
        environment = self._environment()
        security = self.container.get("securityContext", {})
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _START, "pod"]
        for source, place in self._volumes():
            command += [str(source), place]
        command += ["--", "read-only" if security.get("readOnlyRootFilesystem") else "writable"]
        command += ["setpriv"]
        if security.get("allowPrivilegeEscalation") is False:
            command += ["--no-new-privs"]
        if security.get("capabilities", {}).get("drop") == ["ALL"]:
            command += ["--bounding-set=-all", "--inh-caps=-all"]
        words = (self.container.get("command") or []) + (self.container.get("args") or [])
        return command + [_expanded(word, environment) for word in words], environment

    def _environment(self):
        # what an image would bring
        environment = {"PATH": f"{self.node.programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
        environment["LANG"] = "C.UTF-8"
        # OpenBLAS's: which of its kernels this machine uses is no matter of the pod
        environment |= {
            name: value
            for name, value in os.environ.items()
            if name == "PYTHONPATH" or name.startswith("OPENBLAS_")
        }
        for source in self.container.get("envFrom") or []:
            if "secretRef" in source:
                environment |= self._data(SECRETS, source["secretRef"]["name"])
            else:
                environment |= self._data(CONFIG_MAPS, source["configMapRef"]["name"])
        for entry in self.container.get("env") or []:
            if "valueFrom" in entry:
                environment[entry["name"]] = self._referred(entry["valueFrom"])
            else:
                environment[entry["name"]] = _expanded(entry.get("value") or "", environment)
        return environment

    def _referred(self, source):
        [(kind, reference)] = source.items()
        if kind == "secretKeyRef":
            return self._data(SECRETS, reference["name"])[reference["key"]]
        if kind == "configMapKeyRef":
            return self._data(CONFIG_MAPS, reference["name"])[reference["key"]]
        if kind == "resourceFieldRef":
            bound, resource = reference["resource"].split(".")
            return str(_amount(self.container["resources"][bound][resource]))
        fields = {"metadata.name": self.name, "metadata.namespace": self.namespace}
        return (fields | {"status.podIP": self.address})[reference["fieldPath"]]

    def _data(self, resource, name):
        data = self.node.store.get(resource, self.namespace, name).get("data") or {}
        if resource is SECRETS:
            return {key: base64.b64decode(value).decode() for key, value in data.items()}
        return dict(data)

    def _volumes(self):
        """Folders, and where the container sees them."""
        shutil.rmtree(self.home, ignore_errors=True)
        for mount in self.container.get("volumeMounts") or []:
            [volume] = [v for v in self.body["spec"]["volumes"] if v["name"] == mount["name"]]
            folder = self.home / mount["name"]
            folder.mkdir(parents=True)
            if "configMap" in volume:
                for key, text in self._data(CONFIG_MAPS, volume["configMap"]["name"]).items():
                    (folder / key).write_text(text)
            elif "emptyDir" not in volume:
                raise Refused(422, "Invalid", f"no volumes like {volume}")
            # in this namespace there is nothing that a missing folder could disturb
            Path(mount["mountPath"]).mkdir(parents=True, exist_ok=True)
            yield folder, mount["mountPath"]


def _waiting(reason, message):
    return {"waiting": {"reason": reason, "message": message}}


def _expanded(text, environment):
    return re.sub(r"\$\((\w+)\)", lambda found: environment.get(found[1], found[0]), text)


def _amount(text):
    number, unit = re.fullmatch(r"(\d+)(\w*)", str(text)).groups()
    return int(number) * _QUANTITY[unit]
