"""What Slurm and dask-jobqueue are told, from the settings below `distill.slurm`."""

import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_bytes, parse_timedelta

from dask_distill.config import setting
from dask_distill.errors import InputError

# to be reached through a tunnel only
LOOPBACK_DASHBOARD = "127.0.0.1:0"
# of one node, in the network in which it reaches the scheduler; no import but Python's own
_OWN_ADDRESS = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    "s.connect(('{scheduler}', 1)); print(s.getsockname()[0])"
)


def cluster_options() -> tuple[int, dict[str, Any]]:
    """Worker processes of a job, and what `SLURMCluster` is told, by our settings.

    Returns
    -------
    processes : int
    options : dict

    Raises
    ------
    InputError
    """
    cores = _whole("slurm.cores", setting("slurm.cores"))
    processes = _whole("slurm.processes", setting("slurm.processes") or cores)
    if cores % processes:
        raise InputError(
            f"distill.slurm.processes must divide distill.slurm.cores {cores}, got {processes}; "
            "leave it unset for one process a core"
        )
    memory = setting("slurm.memory")
    try:
        parse_bytes(memory)
    except (ValueError, AttributeError, TypeError):
        raise InputError(
            f"distill.slurm.memory must be a number of bytes such as 16GiB, got {memory!r}"
        ) from None
    lists = {
        key: _texts(f"slurm.{key}")
        for key in ("job-script-prologue", "job-extra-directives", "worker-extra-args")
    }
    interface = setting("slurm.interface") or dask.config.get("jobqueue.slurm.interface", None)
    at_scheduler = setting("slurm.scheduler-interface") or interface
    host = own_address(at_scheduler)
    python = setting("slurm.python") or sys.executable
    arguments = ["--dashboard-address", LOOPBACK_DASHBOARD, *lists["worker-extra-args"]]
    prologue = lists["job-script-prologue"]
    if not interface:
        # without a name of an interface workers would listen on all of them
        own = _OWN_ADDRESS.format(scheduler=host)
        prologue = [*prologue, f'DISTILL_HOST=$({python} -c "{own}")']
        arguments = ["--host", '"$DISTILL_HOST"', *arguments]
    options = {
        **{key: setting(f"slurm.{key}") for key in ("queue", "account", "memory", "walltime")},
        "cores": cores,
        "processes": processes,
        "job_name": "distill",
        "python": python,
        "interface": interface,
        "local_directory": setting("slurm.local-directory"),
        "log_directory": str(folder_setting("slurm.log-directory") or Path.cwd()),
        "death_timeout": parse_timedelta(setting("slurm.death-timeout")),
        "job_script_prologue": prologue,
        "job_extra_directives": lists["job-extra-directives"],
        "worker_extra_args": arguments,
        "scheduler_options": {"host": host, "dashboard_address": LOOPBACK_DASHBOARD},
    }
    return processes, options


def jobs_wanted(workers: int | None, processes: int) -> tuple[int, int]:
    """Least and most jobs, by the number of workers that is asked for."""
    if workers is not None:
        jobs = -(-workers // processes)
        return jobs, jobs
    minimum = _whole("slurm.adaptive.minimum", setting("slurm.adaptive.minimum"))
    maximum = _whole("slurm.adaptive.maximum", setting("slurm.adaptive.maximum"))
    if maximum < minimum:
        raise InputError(
            f"distill.slurm.adaptive.maximum must be at least minimum {minimum}, got {maximum}"
        )
    return -(-minimum // processes), -(-maximum // processes)


@contextmanager
def certificates(shared: Path) -> Iterator[Any]:
    """Keys that this run's workers read from a folder that only its user can open."""
    if not setting("slurm.encrypt"):
        yield None
        return
    if importlib.util.find_spec("cryptography") is None:
        raise InputError(
            "distill.slurm.encrypt needs cryptography, which is not installed; "
            'pip install "dask-distill[slurm]", or set it to false'
        )
    from distributed.security import Security

    made = Security.temporary()
    shared.mkdir(parents=True, exist_ok=True)
    # Security's own files would stay until the cluster is collected
    with tempfile.TemporaryDirectory(prefix=".distill-keys-", dir=shared) as folder:
        files = {}
        for name in ("ca_file", "worker_cert", "worker_key"):
            file = Path(folder) / name
            file.touch(mode=0o600)
            file.write_text(getattr(made, f"tls_{name}"), encoding="ascii")
            files[name] = str(file)
        roles = ("scheduler", "worker", "client")
        certificates = {f"tls_{role}_cert": files["worker_cert"] for role in roles}
        keys = {f"tls_{role}_key": files["worker_key"] for role in roles}
        yield Security(
            tls_ca_file=files["ca_file"], require_encryption=True, **certificates, **keys
        )


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"distill.{key} must be a whole number of at least 1, got {value!r}")
    return value


def folder_setting(key: str) -> Path | None:
    """An absolute path, variables and ~ expanded; None where unset."""
    name = setting(key)
    return Path(os.path.expandvars(name)).expanduser().absolute() if name else None


def _texts(key: str) -> list[str]:
    value = setting(key)
    if not isinstance(value, (list, tuple)) or not all(isinstance(line, str) for line in value):
        raise InputError(f"distill.{key} must be a list of strings, got {value!r}")
    return list(value)


def own_address(interface: str | None) -> str:
    """By which workers reach a scheduler on this machine."""
    from distributed.utils import get_ip, get_ip_interface

    if not interface:
        return str(get_ip())
    try:
        return str(get_ip_interface(interface))
    except ValueError as error:
        raise InputError(
            f"distill.slurm.interface must be a network interface of this machine: {error}; set "
            "distill.slurm.scheduler-interface where it has another name here"
        ) from None
