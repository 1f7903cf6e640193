"""No warnings while a model is fitted, in whatever thread: filters are the process's."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
