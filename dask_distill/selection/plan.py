"""What a run would do, from shapes alone: rows, blocks, tasks, memory, bytes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dask.array as da

from dask_distill.conversation.converse import FAN_IN
from dask_distill.data.blocks import block_rows
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.runtime.client import active_client, limits_here
from dask_distill.selection import certify
from dask_distill.selection.request import Asked, Request
from dask_distill.selection.watched import group_bytes
from dask_distill.survey.survey import SAMPLE_FLOOR, SAMPLE_ROWS

# a Python process with our libraries, its services and compiled kernels, before any data
_PROCESS_BYTES = 512 * 2**20
# as stored, put together from chunks, as floats, and one more while it is standardised
_BLOCK_COPIES = 4
# a block, and the rows of it that are not set apart
_APART_COPIES = 1
# questions of which rows are set apart, with a task a block before and after them
_APART_ROUNDS = 3
# the group of each row; and its number, where numbers have gaps
_GROUP_BYTES, _NUMBER_BYTES = 1, 8
# classes are known only after the survey
_ASSUMED_CLASSES = 10


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    rows, features, size : int
    strategy : str
    blocks, block_rows : int
    tasks : int
        Of the whole job, about.
    worker_bytes : int
        Projected peak memory of one worker (one thread).
    lane_bytes : int
        What each more of its threads takes.
    coordinator_bytes : int
        Projected peak memory of a worker where candidates meet.
    passes : int
        Times that features and labels are read to select.
    bytes_read, bytes_moved, bytes_written : int
        Before compression; read is what the passes read, moved are questions, answers, candidates
        and selected rows.
    bytes_read_to_write : int
        At most: chunks of the source that hold selected rows are read once more to write them.
    bytes_to_gather_everything : int
    """

    rows: int
    features: int
    size: int
    strategy: str
    blocks: int
    block_rows: int
    tasks: int
    worker_bytes: int
    lane_bytes: int
    coordinator_bytes: int
    passes: int
    bytes_read: int
    bytes_read_to_write: int
    bytes_moved: int
    bytes_written: int
    bytes_to_gather_everything: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def make_plan(
    dataset: Dataset,
    request: Request,
    *,
    workers: int = 1,
) -> Plan:
    """Reckon what `distill` would do; computes nothing.

    Parameters
    ----------
    dataset : Dataset
    request : Request
    workers : int
        Over which the blocks' memories are spread.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        Where the request cannot work.
    """
    return plan_of(request.of(dataset), workers)


def plan_of(asked: Asked, workers: int) -> Plan:
    """Reckon what a request that has been checked would do."""
    dataset, request, strategy = asked.dataset, asked.request, asked.request.strategy
    n, d = dataset.n, dataset.d
    selected = asked.rows(n)
    rows, blocks = block_rows(n, d), len(asked.bounds)
    classes = 1 if dataset.labels is None else _ASSUMED_CLASSES
    # the strategy sees the reduced form, which the workers hold
    reduced = request.reduced_width(d)
    needs = [strategy.footprint(n, reduced or d, classes, selected)]
    if request.certify:
        needs.append(certify.footprint(n, reduced or d, selected))
    value = max(4, dataset.features.dtype.itemsize)
    sample = min(n, SAMPLE_ROWS + SAMPLE_FLOOR * classes)
    offers = min(n, int(1.5 * sample)) * d * value
    pools = [int(min(n, need.pool_rows) * (d * value + 48)) for need in needs]
    apart = _rows_apart(asked, selected)
    if strategy.counts_chosen:
        pools[0] += apart * (d * value + 48)
    chunks = len(dataset.features.chunks[0])
    combines = -(-blocks // (FAN_IN - 1))
    fit = 0
    if strategy.uses_proxy and dataset.labels is not None:
        # the sample with its Fourier features, and the solver's copies of it
        fit = 4 * sample * (d + 600) * value
    copies = _BLOCK_COPIES + (_APART_COPIES if request.sets_apart else 0)
    lane = copies * min(rows, n) * d * value
    # one after the other; footprints are for float32
    state = max(need.state_bytes_per_row for need in needs) * value / 4
    noted = _GROUP_BYTES + (_NUMBER_BYTES if request.sets_apart else 0)
    held = (state + 4 * reduced + noted) * n / max(1, workers)
    worker = int(_PROCESS_BYTES + lane + held)
    rounds = 1 + sum(need.rounds for need in needs)
    rounds += (1 if reduced else 0) + (_APART_ROUNDS if request.sets_apart else 0)
    chunk = max(dataset.features.chunks[0]) * dataset.row_bytes
    return Plan(
        rows=n,
        features=d,
        size=selected,
        strategy=strategy.name,
        blocks=blocks,
        block_rows=rows,
        # a block answers and sends, in the survey and each round; rows are taken by chunks
        tasks=blocks + (2 * blocks + combines + 8) * rounds + 2 * chunks,
        worker_bytes=worker,
        lane_bytes=lane,
        # one of the workers, beside its blocks
        coordinator_bytes=int(worker + 3 * offers + 3 * max(pools) + fit + 40 * (selected + apart)),
        passes=request.passes,
        bytes_read=request.passes * (dataset.nbytes + _bytes(dataset.time)) + _bytes_beside(asked),
        bytes_read_to_write=min(
            dataset.nbytes + sum(_bytes(array) for array in dataset.carry.values()),
            selected * (chunk + sum(_chunk_bytes(array) for array in dataset.carry.values())),
        ),
        bytes_moved=int(
            offers
            + sum(pools)
            + sum(blocks * need.rounds * need.answer_bytes_per_block for need in needs)
            + workers * group_bytes(reduced or d)
            + selected * dataset.row_bytes
        ),
        bytes_written=selected * (dataset.row_bytes + 12 + (16 if strategy.uses_proxy else 0)),
        bytes_to_gather_everything=dataset.nbytes,
    )


def _rows_apart(asked: Asked, selected: int) -> int:
    """Rows set apart: as many as are named, else as many as are selected."""
    found, request = 0, asked.request
    for marked, given in (
        (asked.protection.marks, request.protect),
        (asked.initial, request.initial),
    ):
        if given is not None:
            known = None if marked is None else marked.rows
            found += selected if known is None else len(known)
    return min(found, asked.dataset.n)


def _bytes_beside(asked: Asked) -> int:
    """Of what is read beside the passes: masks, and a target that is no class, which is checked."""
    marks = (asked.protection.marks, asked.initial)
    masks = [None if marked is None else marked.mask for marked in marks]
    return sum(_bytes(mask) for mask in masks) + 2 * _bytes(asked.request.target)


def _bytes(array: da.Array | None) -> int:
    return 0 if array is None else int(array.size * array.dtype.itemsize)


def _chunk_bytes(array: da.Array) -> int:
    return max(array.chunks[0]) * (_bytes(array) // max(1, len(array)))


def refuse_unfit(plan: Plan, limits: Sequence[tuple[int, int]]) -> None:
    """Refuse a run that cannot fit, before it reads a row.

    Parameters
    ----------
    plan : Plan
        For as many workers as there are.
    limits : sequence of (memory limit in bytes, threads)
        Of each worker; 0 bytes for none. Candidates meet on one of them.

    Raises
    ------
    InputError
    """
    known = [(limit, threads) for limit, threads in limits if limit]
    if not known:
        return
    limit, threads = min(known)
    for what, one_thread, way_out in (
        ("a worker", plan.worker_bytes, "add workers, give them more memory or fewer threads"),
        ("the coordinator", plan.coordinator_bytes, "give workers more memory"),
    ):
        need = one_thread + (threads - 1) * plan.lane_bytes
        if need > limit:
            at = f" with {threads} threads" if threads > 1 else ""
            raise InputError(
                f"the run needs {need / 2**30:.2g} GiB on {what}{at} and "
                f"{limit / 2**30:.2g} GiB are allowed; {way_out}, or lower size"
            )


def refuse_unfit_here(asked: Asked) -> None:
    """Refuse what cannot fit on the workers of the active client, or in this process.

    Raises
    ------
    InputError
    """
    limits = limits_here(active_client())
    refuse_unfit(plan_of(asked, len(limits) or 1), limits)
