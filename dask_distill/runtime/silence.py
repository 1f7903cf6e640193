"""No warnings of what is meant: models that do not converge, graphs that hold data."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dask

_lock = threading.Lock()
_depth = 0
_silence = ExitStack()


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore warnings until the last of all concurrent users leaves.

    `warnings.catch_warnings` in each of several threads would restore the old filters under the
    feet of the others.
    """
    global _depth
    with _lock:
        if _depth == 0:
            _silence.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _silence.close()


def allowing_large_graphs() -> Any:
    """A context in which distributed takes graphs that hold a model, or the user's own arrays.

    They enter a graph once, and are rebuilt with it where a worker is lost.
    """
    return dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"})
