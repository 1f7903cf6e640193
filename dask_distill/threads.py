"""One BLAS thread while our numbers are made: OpenBLAS takes every core, and its bits vary."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_lock = threading.Lock()
_depth = 0
_limits: threadpool_limits | None = None


@contextmanager
def single_threaded() -> Iterator[None]:
    """Hold BLAS and OpenMP at one thread until the last of all concurrent users leaves.

    The limit is one of the whole process; a plain `threadpool_limits` in each of several
    threads would restore the old limit under the feet of the others.
    """
    global _depth, _limits
    with _lock:
        if _depth == 0:
            _limits = threadpool_limits(1)
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _limits is not None:
                _limits.restore_original_limits()
                _limits = None
