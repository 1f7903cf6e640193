"""Worker processes on this machine, which are replaced should they die for good."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask

from dask_distill.clusters import interrupts
from dask_distill.config import setting

# between two looks at who is alive; a worker that is being restarted takes less
_SECONDS = 5.0


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
            **encrypted,
        ) as cluster,
        _replacing(cluster, count),
    ):
        yield cluster


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
