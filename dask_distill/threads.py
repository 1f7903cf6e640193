"""One BLAS thread while our numbers are made: OpenBLAS takes every core, and its bits vary."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module

import threadpoolctl

# libraries that bring a BLAS or OpenMP of their own: a limit holds only for what is loaded
_POOLS = ("scipy.linalg", "sklearn.utils._openmp_helpers")

_lock = threading.Lock()
_depth = 0
_keeper: "_Keeper | None" = None


@contextmanager
def single_threaded() -> Iterator[None]:
    """Hold BLAS and OpenMP at one thread until the last of all concurrent users leaves.

    OpenBLAS has one limit for the process, which threadpoolctl lets one thread at a time
    change; OpenMP has one for each thread. So a thread of ours keeps the first, as long as
    anyone is here, and everyone who comes in sets the second.
    """
    global _depth, _keeper
    with _lock:
        if _depth == 0:
            for name in _POOLS:
                import_module(name)
            _keeper = _Keeper()
        _depth += 1
    try:
        with _controller(len(sys.modules)).limit(limits=1):
            yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _keeper is not None:
                _keeper.release()
                _keeper = None


class _Keeper:
    """A thread that holds the limit of the process, and puts the old one back."""

    def __init__(self) -> None:
        self._held = threading.Event()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="distill-blas", daemon=True)
        self._thread.start()
        self._held.wait()

    def release(self) -> None:
        """Put the old limit back."""
        self._released.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            _take_control()
            with _controller(len(sys.modules)).limit(limits=1):
                self._held.set()
                self._released.wait()
        finally:
            self._held.set()


@lru_cache(maxsize=1)
def _controller(modules: int) -> threadpoolctl.ThreadpoolController:
    """The BLAS and OpenMP libraries that are loaded; looked up again after an import."""
    return threadpoolctl.ThreadpoolController()


def _take_control() -> None:
    """From a thread that is inside a limit of its own; before threadpoolctl 3.8 nobody had it."""
    clear = getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)
