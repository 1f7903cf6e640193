"""Worker processes on this machine, which are replaced should they die for good."""

import logging
import multiprocessing
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import forkserver
from typing import Any

import dask

from dask_distill.clusters import interrupts
from dask_distill.config import setting

# between two looks at who is alive; a worker that is being restarted takes less
_SECONDS = 5.0
# what workers load, in the process that they are forks of
_LOADED = ("distributed", "distributed.nanny", "distributed.worker", "dask_distill.pipeline")


@contextmanager
def local_cluster(workers: int | None, *, tls: bool = False) -> Iterator[Any]:
    """Worker processes of one thread each, seen by this machine alone.

    Parameters
    ----------
    workers : int, optional
        ``distill.local.workers`` unless given, or one a core.
    tls : bool
        Whether they talk encrypted.

    Yields
    ------
    distributed.LocalCluster
    """
    from distributed import LocalCluster

    resilience = {
        "distributed.scheduler.allowed-failures": setting("local.allowed-failures"),
        "distributed.scheduler.no-workers-timeout": setting("no-workers-timeout"),
        "distributed.deploy.lost-worker-timeout": setting("local.lost-worker-timeout"),
        # one task at a time: Dask blames all that a worker had when it died
        "distributed.scheduler.worker-saturation": 1.0,
    }
    encrypted: dict[str, Any] = {}
    if tls:
        from distributed.security import Security

        encrypted = {"security": Security.temporary(), "protocol": "tls://"}
    count = workers or setting("local.workers") or len(os.sched_getaffinity(0))
    with (
        dask.config.set(resilience),
        _loaded_once(),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            memory_limit=setting("local.memory-limit"),
            dashboard_address="127.0.0.1:0",
            preload=[*dask.config.get("distributed.worker.preload", []), interrupts.__name__],
            # workers slow to stop would be warned of; what fails on one is told here
            silence_logs=logging.CRITICAL,
            # a fork has the environment of when the first workers were started
            env=dict(os.environ),
            **encrypted,
        ) as cluster,
        _replacing(cluster, count),
    ):
        yield cluster


@contextmanager
def _loaded_once() -> Iterator[None]:
    """Workers as forks of one process that has loaded what they need, where there are forks.

    Loading takes some two seconds of a processor, which each worker would spend, and each that is
    started again. That process runs no thread of ours, and ends with this one.
    """
    methods = multiprocessing.get_all_start_methods()
    key = "distributed.worker.multiprocessing-method"
    method = dask.config.get(key)
    if not setting("local.forks"):
        # another cluster that is open here may have set its own
        with dask.config.set({key: "spawn" if method == "forkserver" else method}):
            yield
        return
    # who has chosen another way knows why
    if method != "spawn" or "forkserver" not in methods:
        yield
        return
    from distributed.utils import get_mp_context

    with dask.config.set({key: "forkserver"}):
        # Dask's own list comes first, and would come later
        get_mp_context().set_forkserver_preload(list(_LOADED))
        with _environment(dask.config.get("distributed.nanny.pre-spawn-environ")):
            forkserver.ensure_running()
        yield


@contextmanager
def _environment(wanted: Mapping[str, Any]) -> Iterator[None]:
    """Variables that are set for a while, but for those that are set already."""
    new = {name: str(value) for name, value in wanted.items() if name not in os.environ}
    # as Dask has it: strings have the same hash in all workers
    new |= {} if "PYTHONHASHSEED" in os.environ else {"PYTHONHASHSEED": "6640"}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


@contextmanager
def _replacing(cluster: Any, count: int) -> Iterator[None]:
    """Start others for workers that stay dead.

    A nanny starts its worker again, but for one that dies while it starts. And a worker that
    happens to be down when the time for lost ones is over, counted from any death before, is
    given up by `LocalCluster` together with its nanny.
    """
    from tornado.ioloop import PeriodicCallback

    dead: set[Any] = set()

    def look() -> None:
        nonlocal dead
        found = {name for name, nanny in cluster.workers.items() if not nanny.is_alive()}
        found |= set(cluster.worker_spec) - set(cluster.workers)
        for name in found & dead & set(cluster.workers):
            nanny = cluster.workers.pop(name)
            cluster.loop.add_callback(nanny.close)
        if found & dead:
            # opens what the specification has and the cluster has not
            cluster.scale(count)
        dead = found

    watch = PeriodicCallback(look, 1000 * _SECONDS)
    cluster.loop.add_callback(watch.start)
    try:
        yield
    finally:
        cluster.loop.add_callback(watch.stop)
