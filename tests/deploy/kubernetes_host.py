"""A small Kubernetes on this machine, with the real Dask operator and a real S3 server.

Everything runs inside namespaces of its own (network, mounts, processes): nothing of the machine is
touched, and when the first process ends, all of it ends.

`MiniKubernetes` is the outside of it; run as a program, this file is the inside.
"""

import asyncio
import fcntl
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

_HERE = Path(__file__).parent
# beside the interpreter: kopf, kubectl, dask, dask-distill
PROGRAMS = Path(sys.executable).parent
_PORT = 18080


def cannot_host():
    """Why this machine cannot host it, or None."""
    missing = [name for name in ("kopf", "kubectl", "weed") if not (PROGRAMS / name).exists()]
    if missing:
        return f"{', '.join(missing)} must be installed beside python: the extra `test`"
    if os.geteuid() != 0:
        return "namespaces and mounts need root"
    missing = [
        name for name in ("unshare", "nsenter", "setpriv", "mount") if not shutil.which(name)
    ]
    if missing:
        return f"{', '.join(missing)} must be there (util-linux)"
    trial = "mount -t tmpfs tmpfs /mnt && mount -o remount,bind,ro /"
    done = subprocess.run([*_UNSHARE, "sh", "-c", trial], capture_output=True, text=True)
    return f"namespaces cannot be made here: {done.stderr.strip()}" if done.returncode else None


_UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


class MiniKubernetes:
    """The outside: runs commands where the cluster's names and addresses mean something."""

    def __init__(self, folder, process):
        self.folder, self.process = folder, process
        ready = json.loads((folder / "ready").read_text())
        self.s3_port = ready["s3"]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        self._enter = ["nsenter", f"--target={children[0]}", "--net", "--mount", "--pid", "--"]

    @property
    def environment(self):
        return os.environ | {
            "KUBECONFIG": str(self.folder / "kubeconfig"),
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        }

    def start(self, *command, **environment):
        """A process inside; it ends with the cluster at the latest."""
        return subprocess.Popen(
            [*self._enter, *map(str, command)],
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *command, seconds=60, check=True, **environment):
        """What a command inside gives."""
        process = self.start(*command, **environment)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{command} takes more than {seconds} s\n{self.logs()}") from None
        if check and process.returncode:
            raise AssertionError(f"{command}: exit {process.returncode}\n{out}{err}\n{self.logs()}")
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def kubectl(self, *arguments, **more):
        return self.run("kubectl", *arguments, **more).stdout

    def apply(self, resource):
        file = self.folder / "applied.json"
        file.write_text(json.dumps(resource))
        return self.kubectl("apply", "--filename", file)

    def wait_for(self, holds, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} takes more than {seconds} s\n{self.logs()}")
            time.sleep(0.5)
        return found

    def logs(self):
        """The last of everybody's, for who reads a failed test."""
        told = []
        for file in sorted((self.folder / "node/logs").glob("*")) + [
            self.folder / name for name in ("operator.log", "host.log")
        ]:
            told += [f"== {file.name}", *file.read_text(errors="replace").splitlines()[-25:]]
        return "\n".join(told)


@contextmanager
def mini_kubernetes(folder):
    """A `MiniKubernetes` with its operator at work."""
    with open(folder / "host.log", "w") as log:
        process = subprocess.Popen(
            [*_UNSHARE, sys.executable, str(_HERE / "kubernetes_host.py"), str(folder)],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "ready").exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "host.log").read_text()[-3000:])
            time.sleep(0.1)
        yield MiniKubernetes(folder, process)
    finally:
        # --kill-child: the first process inside goes with it, and with that all others
        process.kill()
        process.wait(20)


def _inside(folder):
    sys.path[:0] = [str(_HERE), str(_HERE.parent)]
    from s3_server import seaweedfs

    _loopback_up()
    # files of /etc and folders of /mnt that only those inside see
    (folder / "etc").parent.mkdir(exist_ok=True)
    shutil.copytree("/etc", folder / "etc", symlinks=True)
    _mount("--bind", folder / "etc", "/etc")
    _mount("-t", "tmpfs", "tmpfs", "/mnt")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "mini", "cluster": {"server": f"http://127.0.0.1:{_PORT}"}}],
        "users": [{"name": "tests", "user": {"token": "tests"}}],
        "contexts": [{"name": "mini", "context": {"cluster": "mini", "user": "tests"}}],
        "current-context": "mini",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    os.environ["KUBECONFIG"] = str(folder / "kubeconfig")
    (folder / "s3").mkdir()
    with seaweedfs(folder / "s3") as port:
        asyncio.run(_serve(folder, port))


def _loopback_up():
    # as `ip link set lo up`, without iproute2
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        request, up = struct.pack("16sh22x", b"lo", 0), 1
        flags = struct.unpack("16sh22x", fcntl.ioctl(handle, 0x8913, request))[1]
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh22x", b"lo", flags | up))


def _mount(*arguments):
    subprocess.run(["mount", *map(str, arguments)], check=True)


async def _serve(folder, s3_port):
    from aiohttp import web
    from kubernetes_api import application
    from kubernetes_node import Node
    from kubernetes_store import Store

    store = Store()
    (folder / "node").mkdir()
    node = Node(store, folder / "node", PROGRAMS, Path("/etc/hosts"))
    runner = web.AppRunner(application(store, node.logs), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", _PORT).start()
    with open(folder / "operator.log", "w") as log:
        operator = await asyncio.create_subprocess_exec(
            *(PROGRAMS / "kopf", "run", "-m", "dask_kubernetes.operator.controller"),
            *("--all-namespaces", "--standalone"),
            stdout=log,
            stderr=log,
        )
    (folder / "ready.part").write_text(json.dumps({"s3": s3_port}))
    (folder / "ready.part").rename(folder / "ready")
    parts = [node.run(), store.run_deployments(), operator.wait()]
    done, _ = await asyncio.wait(
        map(asyncio.ensure_future, parts), return_when=asyncio.FIRST_COMPLETED
    )
    raise SystemExit(f"a part of the cluster ended: {[str(part) for part in done]}")


if __name__ == "__main__":
    _inside(Path(sys.argv[1]))
