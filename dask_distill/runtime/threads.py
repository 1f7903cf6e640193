"""One BLAS thread while our numbers are made: OpenBLAS takes every core, and its bits vary."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dask
from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_depth = 0
# pools that all threads share, with the limits they had before the first of us came
_held: list[tuple[Any, int]] = []
# the pools are looked up again where modules have come: it takes milliseconds
_pools: list[Any] = []
_modules = 0


@contextmanager
def single_threaded() -> Iterator[None]:
    """Hold BLAS and OpenMP at one thread until the last of all concurrent users leaves.

    OpenBLAS has one limit for the process; a plain `threadpool_limits` in each of several
    threads would restore the old limit under the feet of the others. OpenMP and MKL have one
    for each thread. The limits hold for the libraries that are loaded; who imports one under
    them enters again.
    """
    global _depth
    with _lock:
        _look_up()
        mine = [(pool, pool.num_threads) for pool in _pools if not _is_shared(pool)]
        known = {pool.filepath for pool, _ in _held}
        fresh = [pool for pool in _pools if _is_shared(pool) and pool.filepath not in known]
        _held.extend((pool, pool.num_threads) for pool in fresh)
        for pool in [*fresh, *(pool for pool, _ in mine)]:
            _limit(pool, 1)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            for pool, threads in mine:
                _limit(pool, threads)
            if _depth == 0:
                for pool, threads in _held:
                    _limit(pool, threads)
                _held.clear()


def local_threads() -> int:
    """Threads that Dask's own scheduler has in this process."""
    if dask.config.get("scheduler", None) in ("sync", "synchronous", "single-threaded"):
        return 1
    return int(dask.config.get("num_workers", None) or len(os.sched_getaffinity(0)))


def _look_up() -> None:
    """Find the thread pools of this process."""
    global _modules
    modules = len(sys.modules)
    if modules != _modules:
        _pools[:] = ThreadpoolController().lib_controllers
        _modules = modules


def _is_shared(pool: Any) -> bool:
    """Whether a pool's limit is one of the process, not of each thread."""
    if pool.user_api == "openmp" or pool.internal_api == "mkl":
        return False
    return getattr(pool, "threading_layer", None) != "openmp"


def _limit(pool: Any, threads: int) -> None:
    """Set a pool's limit, whoever set it before."""
    # threadpoolctl heeds only the first thread that sets OpenBLAS's limit, and does not say so
    release = getattr(pool, "clear_controlling_thread", lambda force: None)
    release(force=True)
    pool.set_num_threads(threads)
    release(force=True)
