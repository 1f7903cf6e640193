"""Keeps blocks where they lie: no work stealing on the scheduler while a selection is on.

Between two questions every block has one task to run, on the worker that holds it. To an idle
worker Dask would give the task of a busy one, and move the block after it; it would have to come
back, or move again, for the next question. Blocks that read their own features are
balanced by the scheduler's queue, which does not need stealing; others are made where those lie.
"""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_LOOK_SECONDS = 0.5
# runs that are on, in the scheduler's process
_RUNS: set[str] = set()


@contextmanager
def keeping_blocks(client: Any) -> Iterator[None]:
    """Ask a client's scheduler to leave tasks where they are, until the end or the client's.

    Where that cannot be had more may move; the rows are the same.

    Parameters
    ----------
    client : distributed.Client or None
    """
    if client is None:
        yield
        return
    run = uuid.uuid4().hex
    # a scheduler need not have this package, nor let functions run
    with suppress(Exception):
        client.run_on_scheduler(_stop_stealing, run, client.id, wait=False)
    try:
        yield
    finally:
        with suppress(Exception):
            client.run_on_scheduler(_over, run)


async def _stop_stealing(run: str, client: str, dask_scheduler: Any) -> None:
    stealing = dask_scheduler.extensions["stealing"]
    if not _RUNS and "stealing" not in dask_scheduler.periodic_callbacks:
        # it is off by configuration
        return
    _RUNS.add(run)
    try:
        await stealing.stop()
        while run in _RUNS and client in dask_scheduler.clients:
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        _RUNS.discard(run)
        if not _RUNS:
            await stealing.start()


def _over(run: str) -> None:
    _RUNS.discard(run)
