"""The tasks that write, find and check chunks, one a chunk, and how they are run."""

import itertools
import sys
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import dask.array as da
import dask.config
from dask.base import compute
from dask.callbacks import Callback
from dask.delayed import Delayed, delayed

from dask_distill.runtime.failures import plain_failures
from dask_distill.storage.chunks import (
    Layout,
    Receipt,
    check_chunk,
    confirm_chunk,
    find_chunk,
    write_chunk,
)
from dask_distill.storage.location import Location


def finding_tasks(
    work: Location, layouts: Mapping[str, Layout], there: Sequence[tuple[str, int]]
) -> list[Delayed]:
    """One task a chunk that an earlier run may have written."""
    find_one = delayed(find_chunk, pure=False, traverse=False)
    return [find_one(work, name, number, layouts[name]) for name, number in there]


def writing_tasks(
    work: Location,
    arrays: Mapping[str, da.Array],
    layouts: Mapping[str, Layout],
    done: Mapping[tuple[str, int], Receipt],
    compared: Collection[str] = (),
) -> list[Delayed]:
    """One task a chunk that is not done, each chunk whole; of some arrays those done are compared.

    What was selected from is known to be as it was; other arrays of the source may have changed.
    """
    tasks = []
    for name, layout in layouts.items():
        if layout.count == 0:
            continue
        chunks = {0: layout.chunks[0]} | dict.fromkeys(range(1, len(layout.shape)), -1)
        whole = arrays[name].rechunk(chunks, method="tasks")
        expected = tuple(layout.chunk_shape(number)[0] for number in range(layout.count))
        assert whole.chunks[0] == expected, "chunks must align"
        assert all(len(sizes) == 1 for sizes in whole.chunks[1:]), "chunks must align"
        # optimised one by one, arrays that share their input would each read it
        for number, values in enumerate(whole.to_delayed(optimize_graph=False).ravel()):
            receipt = done.get((name, number))
            if receipt is not None:
                if name in compared:
                    confirm_one = delayed(confirm_chunk, pure=False, traverse=False)
                    tasks.append(confirm_one(work, receipt, layout, values))
                continue
            write_one = delayed(write_chunk, pure=False, traverse=False)
            key = f"distill-write-{name}-{number}-{uuid.uuid4().hex}"
            tasks.append(write_one(work, name, number, layout, values, dask_key_name=key))
    return tasks


def checking_tasks(
    location: Location, content: Mapping[str, Any], layouts: Mapping[str, Layout]
) -> list[Delayed]:
    """One task a chunk of the manifest."""
    check_one = delayed(check_chunk, pure=False, traverse=False)
    return [
        check_one(location, name, int(number), layout, expected)
        for name, layout in layouts.items()
        for number, expected in content["manifest"][name]["digests"].items()
    ]


def run_tasks(tasks: list[Delayed], on_chunk: Callable[[int], None] | None) -> list[Any]:
    """Compute in one go, on the active client or on Dask's threads."""
    told, left = on_chunk or (lambda _: None), itertools.count(len(tasks), -1)
    told(next(left))
    if not tasks:
        return []
    client = _active_client()
    if client is None:
        keys = {task.key for task in tasks}
        with Callback(posttask=lambda key, *_: told(next(left)) if key in keys else None):
            return list(compute(*tasks))
    from distributed import as_completed

    # weights and scores are in the graph
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1GB"}):
        futures = client.compute(tasks)
    with plain_failures():
        for future in as_completed(futures):
            # the first failure ends the run
            future.result()
            told(next(left))
        return list(client.gather(futures))


def _active_client() -> Any:
    # without the import there is no client
    distributed = sys.modules.get("distributed")
    try:
        return None if distributed is None else distributed.default_client()
    except ValueError:
        return None
