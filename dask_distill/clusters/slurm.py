"""Workers as jobs of Slurm: asked for one by one, or all tasks of one `srun`.

Knows Slurm and dask-jobqueue, nothing of what the workers will do.
"""

import asyncio
import getpass
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_timedelta

from dask_distill.clusters.slurm_settings import (
    LOOPBACK_DASHBOARD,
    certificates,
    cluster_options,
    folder_setting,
    jobs_wanted,
    own_address,
)
from dask_distill.config import setting
from dask_distill.errors import DistillError, InputError

logger = logging.getLogger(__name__)

# between looks at the queue, in seconds
_LOOK = 3.0


@contextmanager
def slurm_cluster(workers: int | None = None) -> Iterator[Any]:
    """A Dask cluster whose workers are jobs of Slurm.

    The scheduler runs in this process, on a node from which `sbatch` works. Jobs that end early
    (cancelled, preempted, out of time) are replaced. Inside an `srun` of several tasks all of
    them join in instead: the first as the scheduler, the second as this process, the others as
    workers.

    Parameters
    ----------
    workers : int, optional
        Worker processes to keep, rounded up to whole jobs. Unless given, as many as there is
        work for, from ``distill.slurm.adaptive.minimum`` to ``maximum``.

    Yields
    ------
    dask_jobqueue.SLURMCluster or dask_jobqueue.SLURMRunner
        With at least one worker. Its jobs are cancelled at the end.

    Raises
    ------
    InputError
        Where the settings below ``distill.slurm`` cannot be used.
    DistillError
        Where Slurm takes no job, or no worker comes within ``distill.slurm.start-timeout``.
    """
    # its configuration must be there, or all of it would end with what is set here for a while
    import distributed  # noqa: F401

    resilience = {
        "distributed.scheduler.allowed-failures": setting("slurm.allowed-failures"),
        "distributed.scheduler.no-workers-timeout": setting("no-workers-timeout"),
        "distributed.deploy.lost-worker-timeout": setting("slurm.lost-worker-timeout"),
    }
    # before the scheduler starts: it reads them once
    with dask.config.set(resilience):
        if int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
            with _runner(workers) as runner:
                yield runner
        else:
            with _jobs(workers) as cluster:
                yield cluster


# ---------------------------------------------------------------- jobs


@contextmanager
def _jobs(workers: int | None) -> Iterator[Any]:
    processes, options = cluster_options()
    minimum, maximum = jobs_wanted(workers, processes)
    cluster_type = _cluster_type()
    shared = folder_setting("slurm.shared-temp-directory") or Path(options["log_directory"])
    with certificates(shared) as security, cluster_type(**options, security=security) as cluster:
        cluster.scale(jobs=minimum)
        _submitted(cluster)
        # `scale` does not ask again for a job that is lost, `adapt` does
        cluster.adapt(
            minimum_jobs=minimum,
            maximum_jobs=maximum,
            interval="1s",
            wait_count=max(1, round(parse_timedelta(setting("slurm.adaptive.idle-time")))),
            worker_key=_job_of_worker if processes > 1 else None,
        )
        _wait(cluster, minimum * processes)
        yield cluster


def _job_of_worker(worker: Any) -> str:
    """Jobs of several workers are given back as a whole."""
    return str(worker.name).rpartition("-")[0]


def _cluster_type() -> Any:
    with _interrupts_kept():
        from dask_jobqueue.slurm import SLURMCluster, SLURMJob
    from distributed.deploy.spec import ProcessInterface

    class Job(SLURMJob):  # type: ignore[misc]
        """Remembers that Slurm has refused it, instead of failing the cluster's closing."""

        refused = ""

        async def start(self) -> None:
            try:
                await super().start()
            except (RuntimeError, OSError, ValueError) as error:
                self.refused = _said(error)
                logger.warning("Slurm refused a job: %s", self.refused)
                await ProcessInterface.start(self)
                later(self._give_up)

        async def close(self) -> None:
            await super().close()
            # SLURMJob leaves it running, at which closing the cluster may stumble
            await ProcessInterface.close(self)

        def _give_up(self) -> None:
            cluster = self._cluster()
            if cluster is not None:
                cluster.give_up(self.name)

    class Cluster(SLURMCluster):  # type: ignore[misc]
        """Gives up every job that is lost, so that `adapt` asks for another.

        SLURMCluster does so only for jobs that had one worker.
        """

        job_cls = Job

        def _update_worker_status(self, op: str, msg: Any) -> None:
            lost = self.scheduler_info["workers"][msg]["name"] if op == "remove" else ""
            super()._update_worker_status(op, msg)
            job = lost.rpartition("-")[0]
            if job in self.workers:
                later(lambda: self.give_up(job))

        def give_up(self, job: str) -> None:
            """Forget a job that has no worker."""
            members = {
                f"{job}{suffix}" for suffix in self.worker_spec.get(job, {}).get("group", ())
            }
            here = {worker["name"] for worker in self.scheduler_info["workers"].values()}
            if job in self.workers and not here & {job, *members}:
                self._futures.add(asyncio.ensure_future(self.workers.pop(job).close()))

    def later(do: Callable[[], None]) -> None:
        delay = parse_timedelta(setting("slurm.lost-worker-timeout"))
        asyncio.get_running_loop().call_later(delay, do)

    return Cluster


def _said(error: Exception) -> str:
    text = str(error)
    _, found, standard_error = text.partition("stderr:\n")
    return " ".join((standard_error if found else text).split())


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """dask-jobqueue makes Ctrl-C a success of the process when it is imported."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _submitted(cluster: Any) -> None:
    """Until the first jobs are with Slurm."""

    async def settle() -> None:
        await cluster

    cluster.sync(settle)
    refused = next((job.refused for job in cluster.workers.values() if job.refused), None)
    if refused is not None:
        raise DistillError(
            f"Slurm must take the workers' jobs, but said: {refused}; check distill.slurm in "
            "Dask's configuration (queue, account, cores, memory, walltime)"
        )


def _wait(cluster: Any, minimum: int) -> None:
    """For the first worker as long as it may take, then a little for the others."""
    limit = parse_timedelta(setting("slurm.start-timeout"))
    started = looked = time.monotonic()
    logger.info("waiting for Slurm to start the first worker")
    while not cluster.scheduler.workers:
        time.sleep(0.1)
        now = time.monotonic()
        if now - started > limit:
            raise DistillError(
                f"a worker must come within {limit:g} s, none did: {_queue(cluster)[0]}; wait "
                "longer with distill.slurm.start-timeout, or ask for less"
            )
        if now - looked > _LOOK:
            looked = now
            told, waiting = _queue(cluster)
            if not waiting and not cluster.scheduler.workers:
                raise DistillError(f"the workers' jobs must run, but have ended: {told}")
    patience = time.monotonic() + parse_timedelta(setting("slurm.fill-timeout"))
    while len(cluster.scheduler.workers) < minimum and time.monotonic() < patience:
        time.sleep(0.1)


def _queue(cluster: Any) -> tuple[str, bool]:
    """What Slurm says of our jobs, and whether any of them is still with it."""
    jobs = {str(job.job_id) for job in list(cluster.workers.values()) if job.job_id}
    command = ["squeue", "--noheader", "--user", getpass.getuser(), "--format", "%i|%T|%r"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"squeue does not answer ({type(error).__name__})", True
    lines = [line.split("|") for line in done.stdout.splitlines()]
    found = [f"job {i} is {state} ({reason})" for i, state, reason in lines if i in jobs]
    if found:
        return f"Slurm says {', '.join(found[:5])}{' …' if len(found) > 5 else ''}", True
    logs = folder_setting("slurm.log-directory") or Path.cwd()
    return f"{', '.join(sorted(jobs))} not in the queue; see their logs in '{logs}'", False


# ---------------------------------------------------------------- all tasks of one srun


@contextmanager
def _runner(workers: int | None) -> Iterator[Any]:
    """Only the second task goes on: the others serve, and end with it."""
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    if tasks < 3:
        raise InputError(
            "srun must start at least 3 tasks (the scheduler, the client and a worker), got "
            f"{tasks}; raise --ntasks"
        )
    if workers is not None and workers != tasks - 2:
        raise InputError(
            f"workers must be srun's tasks less two, {tasks - 2}, got {workers}; leave it out"
        )
    restart = os.environ.get("SLURM_RESTART_COUNT", "0")
    step = os.environ.get("SLURM_STEP_ID", "0")
    # one name for each time that a job is run: an older file names a scheduler that is gone
    name = f".distill-scheduler-{{job_id}}-{step}-{restart}.json"
    shared = folder_setting("slurm.shared-temp-directory") or Path.cwd()
    host = own_address(setting("slurm.interface"))
    place = {"host": host, "dashboard_address": LOOPBACK_DASHBOARD}
    threads = int(os.environ.get("SLURM_CPUS_PER_TASK", 1))
    local_directory = setting("slurm.local-directory")
    with _interrupts_kept():
        from dask_jobqueue.slurm import SLURMRunner

        runner = SLURMRunner(
            scheduler_file=str(shared / name),
            scheduler_options=dict(place),
            worker_class="distributed.Nanny",
            worker_options={
                **place,
                "nthreads": threads,
                "memory_limit": _task_memory(threads) or "auto",
                "local_directory": local_directory and os.path.expandvars(local_directory),
            },
        )
    try:
        with runner:
            _wait_for_tasks(runner, tasks - 2)
            yield runner
    finally:
        runner.scheduler_file.unlink(missing_ok=True)


def _task_memory(threads: int) -> int | None:
    """Bytes that Slurm gives to a task, where it says so."""
    a_core = os.environ.get("SLURM_MEM_PER_CPU")
    a_node, tasks = os.environ.get("SLURM_MEM_PER_NODE"), os.environ.get("SLURM_NTASKS_PER_NODE")
    if a_core:
        return int(a_core) * threads * 2**20
    return int(a_node) * 2**20 // int(tasks) if a_node and tasks else None


def _wait_for_tasks(runner: Any, count: int) -> None:
    """All of them: each checks the target on its way here, and must find it untouched."""
    from distributed import Client

    limit = parse_timedelta(setting("slurm.start-timeout"))
    try:
        with Client(runner.scheduler_address) as client:
            client.wait_for_workers(count, timeout=limit)
    except (TimeoutError, OSError) as error:
        raise DistillError(
            f"all {count} tasks that are workers must come within {limit:g} s: {error}"
        ) from None
