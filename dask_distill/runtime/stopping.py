"""Ctrl-C, and the signal by which a scheduler of jobs ends one: heard wherever they come.

Python raises `KeyboardInterrupt` where its main thread happens to be. In a finalizer, or in a
callback of a weak reference or of the garbage collector, nothing can be raised: it is printed there
and dropped, and the run would go on. So it is remembered here, and looked at between tasks.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# the number of the signal that came, where `stoppable` listens
_heard: list[int] = []
# the main thread's, while it listens
_listening: list[threading.Thread] = []


class Stopped(KeyboardInterrupt):
    """The run is to end; what is finished is kept."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Listen for both signals, in the main thread of a program of ours.

    Raises
    ------
    Stopped
        Where one comes, or at the next `refuse_stopped`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def tell(number: int, frame: Any) -> None:
        _heard.append(number)
        raise Stopped

    hook = sys.unraisablehook

    def drop(told: Any) -> None:
        # it is remembered: nobody needs to read a traceback of where it was not raised
        if not (told.exc_type is not None and issubclass(told.exc_type, Stopped)):
            hook(told)

    _heard.clear()
    before = {number: signal.signal(number, tell) for number in _SIGNALS}
    sys.unraisablehook = drop
    _listening.append(threading.current_thread())
    try:
        yield
    finally:
        _listening.pop()
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


def refuse_stopped() -> None:
    """End the run where a signal has come that Python dropped.

    Raises
    ------
    Stopped
    """
    if _heard and threading.current_thread() in _listening:
        raise Stopped


def exit_code() -> int:
    """What shells know a program by that a signal has ended: 128 and its number.

    Examples
    --------
    >>> exit_code()
    130
    """
    return 128 + (_heard[0] if _heard else signal.SIGINT)
