"""What workers on this machine load when they start: Ctrl-C is for whoever has started them.

A terminal sends it to all processes of a run. The one that people see closes the workers in good
order; they need not die of it with a traceback each.
"""

import signal
import threading
from typing import Any


def dask_setup(worker: Any) -> None:
    """Dask calls this in a worker that starts."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
