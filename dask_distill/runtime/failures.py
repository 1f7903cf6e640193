"""What a cluster's failures mean, in one sentence: which block, which rows, which worker."""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dask_distill.errors import DistillError

_PART = re.compile(r"^distill-(?P<what>.+)-(?P<part>\d+)-of-(?P<parts>\d+)-[0-9a-f]{32}$")
_CHUNK = re.compile(r"^distill-write-(?P<name>.+)-(?P<number>\d+)-[0-9a-f]{32}$")
_NO_WORKERS = ("NoWorkerError", "NoValidWorkerError", "NoWorkersTimeout")
_CANCELLED = ("CancelledError", "FutureCancelledError", "FuturesCancelledError")
_WAY_OUT = "see the workers' logs for the cause"


@contextmanager
def plain_failures(rows: Sequence[tuple[int, int]] = ()) -> Iterator[None]:
    """Turn what the scheduler raises into a `DistillError`.

    Parameters
    ----------
    rows : sequence of (start, stop)
        Of each block, to name rows by.
    """
    try:
        yield
    except Exception as error:
        told = _told(error, rows)
        if told is None:
            raise
        raise DistillError(told) from None


def _told(error: Exception, rows: Sequence[tuple[int, int]]) -> str | None:
    kind = type(error).__name__
    if kind == "KilledWorker":
        task, worker, allowed = error.args
        tries = f"{allowed + 1} workers" if allowed else "1 worker"
        return (
            f"{describe_task(task, rows)} must not kill its worker, but {tries} died of it, the "
            f"last at {getattr(worker, 'address', worker)} (out of memory, or a crash in a "
            f"library); {_WAY_OUT}"
        )
    if kind in _NO_WORKERS:
        return "the run must have workers, but all are gone and none came back in time"
    if kind in _CANCELLED:
        return (
            "the run must have a scheduler and workers, but they are gone, or somebody has "
            "cancelled its tasks"
        )
    return None


def describe_task(key: Any, rows: Sequence[tuple[int, int]]) -> str:
    """A task by block and rows.

    Examples
    --------
    >>> describe_task("distill-select-answer-1-of-2-" + "0" * 32, [(0, 10), (10, 15)])
    'block 1 (rows 10 to 14, select-answer)'
    """
    if isinstance(key, tuple) and len(key) > 1:
        number = int(key[1])
        if "rechunk" in str(key[0]) and number < len(rows):
            return _block(number, rows, "read")
        return f"chunk {number} of the source"
    written, part = _CHUNK.match(str(key)), _PART.match(str(key))
    if written is not None:
        return f"array '{written['name']}', chunk {written['number']}"
    if part is None:
        return f"task {key!r}"
    number, parts = int(part["part"]), int(part["parts"])
    if parts == len(rows):
        return _block(number, rows, part["what"])
    return f"part {number} of {parts} ({part['what']})"


def _block(number: int, rows: Sequence[tuple[int, int]], what: str) -> str:
    start, stop = rows[number]
    return f"block {number} (rows {start:,} to {stop - 1:,}, {what})"


@contextmanager
def ended_without_workers(client: Any, seconds: float) -> Iterator[None]:
    """Cancel what a client waits for when its cluster has had no worker for so long.

    A scheduler that somebody else has started may be content to wait for ever.
    """
    over = threading.Event()

    def watch() -> None:
        since = None
        while not over.wait(min(2.0, seconds / 4)):
            if _has_workers(client):
                since = None
                continue
            since = since or time.monotonic()
            if time.monotonic() - since >= seconds:
                futures = _futures(client)
                if futures:
                    client.cancel(futures, force=True)
                    since = None

    watcher = threading.Thread(target=watch, name="distill-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(5)


def _has_workers(client: Any) -> bool:
    if client.status != "running":
        return False
    try:
        info = client.sync(client.scheduler.identity, n_workers=1, callback_timeout=5)
    except Exception:
        # a scheduler that does not answer
        return False
    return bool(info["workers"])


def _futures(client: Any) -> list[Any]:
    from distributed import Future

    return [Future(key, client) for key in list(client.futures)]
