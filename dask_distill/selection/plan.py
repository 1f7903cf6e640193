"""What a run would do, from shapes and footers alone: rows, blocks, tasks, memory, bytes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dask.array as da

from dask_distill.conversation.converse import FAN_IN
from dask_distill.data.blocks import block_rows
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.proxy.fitting import fit_bytes
from dask_distill.runtime.client import active_client, limits_here
from dask_distill.selection import certify
from dask_distill.selection.amounts import (
    CHUNK_BYTES,
    bytes_read_to_write,
    chunk_bytes,
    read_bytes,
    read_row_bytes,
    unmeasured_texts,
    written_lane_bytes,
    written_row_bytes,
)
from dask_distill.selection.request import Asked, Request
from dask_distill.selection.watched import group_bytes
from dask_distill.support.html import facts_table
from dask_distill.support.text import shown_bytes
from dask_distill.survey.survey import SAMPLE_FLOOR, SAMPLE_ROWS, offered_rows

# a Python process with our libraries, its services and compiled kernels, before any data
_PROCESS_BYTES = 512 * 2**20
# as stored, put together from chunks, as floats, and one more while it is standardised
_BLOCK_COPIES = 4
# a block, and the rows of it that are not set apart
_APART_COPIES = 1
# decomposed in float64: scaled, as LAPACK works on it, and what comes out of that
_DECOMPOSED_COPIES = 6
# questions of which rows are set apart, with a task a block before and after them
_APART_ROUNDS = 3
# the group of each row; and its number, where numbers have gaps
_GROUP_BYTES, _NUMBER_BYTES = 1, 8
# what each row stands for
_MASS_BYTES = 8
# classes are known only after the survey; how much they may add is bounded
_ASSUMED_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
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
        and selected rows; written are all their columns.
    bytes_read_to_write : int
        At most: chunks of the source that hold selected rows are read once more to write them.
    bytes_to_gather_everything : int
    unmeasured : tuple of str
        Columns of text of which nothing tells how long it is: counted as 32 bytes a value.
    subsets : int
        Into how many the selected rows are dealt out.
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
    unmeasured: tuple[str, ...] = ()
    subsets: int = 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)

    def _repr_html_(self) -> str:
        facts: list[tuple[str, object]] = [
            ("rows", f"{self.rows:,} × {self.features:,} features"),
            ("to select", f"{self.size:,} ({self.size / self.rows:.1%}) by {self.strategy}"),
            *([("subsets", f"{self.subsets:,}")] if self.subsets > 1 else []),
            ("blocks", f"{self.blocks:,} of {self.block_rows:,} rows"),
            ("tasks", f"about {self.tasks:,}"),
            ("memory of a worker", f"up to {shown_bytes(self.worker_bytes)}"),
            ("memory of the coordinator", f"up to {shown_bytes(self.coordinator_bytes)}"),
            ("passes over the data", f"{self.passes}, {shown_bytes(self.bytes_read)} read"),
            ("read to write", f"up to {shown_bytes(self.bytes_read_to_write)} more"),
            (
                "moved",
                f"about {shown_bytes(self.bytes_moved)} "
                f"(all the data: {shown_bytes(self.bytes_to_gather_everything)})",
            ),
            ("written", f"about {shown_bytes(self.bytes_written)}"),
        ]
        if self.unmeasured:
            facts.append(("length not known", ", ".join(self.unmeasured)))
        return facts_table("Plan", facts)


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


def plan_of(asked: Asked, workers: int, classes: int | None = None) -> Plan:
    """Reckon what a request that has been checked would do; classes, once they are counted."""
    dataset, request, strategy = asked.dataset, asked.request, asked.request.strategy
    n, d = dataset.n, dataset.d
    selected = asked.rows(n)
    rows, blocks = block_rows(n, d), len(asked.bounds)
    assumed = 1 if dataset.labels is None else classes or _ASSUMED_CLASSES
    # the strategy sees the reduced form, which the workers hold
    reduced = request.reduced_width(d)
    needs = [strategy.footprint(n, reduced or d, assumed, selected)]
    if request.certify:
        needs.append(certify.footprint(n, reduced or d, selected))
    value = max(4, dataset.features.dtype.itemsize)
    offered = offered_rows(n, assumed) * d * value
    pools = [need.pool(n, blocks) * (d * value + 48) for need in needs]
    apart = _rows_apart(asked, selected)
    if strategy.counts_chosen:
        pools[0] += apart * (d * value + 48)
    meeting = max(3 * pool + need.worked_bytes for pool, need in zip(pools, needs, strict=True))
    fit = 0
    if strategy.uses_proxy and dataset.labels is not None:
        fit = fit_bytes(min(n, SAMPLE_ROWS + SAMPLE_FLOOR * assumed), d, classes)
    if request.reduce is not None:
        fit = max(fit, request.reduce.meeting_bytes(n, d))
    blockwise, writing = _lane_bytes(asked), written_lane_bytes(dataset, selected)
    # one after the other; footprints are for float32
    state = max(need.state_bytes_per_row for need in needs) * value / 4
    noted = _GROUP_BYTES + (_NUMBER_BYTES if request.sets_apart else 0)
    noted += 0 if dataset.sample_weight is None else _MASS_BYTES
    held = (state + 4 * reduced + noted) * n / max(1, workers)
    worker = int(_PROCESS_BYTES + max(blockwise + held, writing))
    rounds = 1 + sum(need.rounds for need in needs)
    rounds += bool(reduced) + request.fits_all_rows + (_APART_ROUNDS if request.sets_apart else 0)
    # and a row's weight in each of several subsets
    written = written_row_bytes(dataset) + (4 * request.subsets if request.subsets > 1 else 0)
    return Plan(
        rows=n,
        features=d,
        size=selected,
        strategy=strategy.name,
        blocks=blocks,
        block_rows=rows,
        # a block answers and sends, in the survey and each round; rows are taken by chunks
        tasks=blocks
        + (2 * blocks + -(-blocks // (FAN_IN - 1)) + 8) * rounds
        + 2 * len(dataset.features.chunks[0]),
        worker_bytes=worker,
        lane_bytes=max(blockwise, writing),
        # one of the workers, beside its blocks
        coordinator_bytes=int(worker + 3 * offered + meeting + fit + 40 * (selected + apart)),
        passes=request.passes,
        bytes_read=request.passes * (int(n * read_row_bytes(dataset)) + _bytes(dataset.time))
        + _bytes_beside(asked),
        bytes_read_to_write=bytes_read_to_write(dataset, selected),
        bytes_moved=int(
            offered
            + sum(pools)
            + sum(blocks * need.rounds * need.answer_bytes_per_block for need in needs)
            + workers * group_bytes(reduced or d)
            + selected * written
        ),
        bytes_written=int(selected * (written + 12 + (16 if strategy.uses_proxy else 0))),
        bytes_to_gather_everything=dataset.nbytes,
        unmeasured=unmeasured_texts(dataset),
        subsets=int(request.subsets),
    )


def _lane_bytes(asked: Asked) -> int:
    """What one thread takes while blocks answer."""
    dataset = asked.dataset
    value = max(4, dataset.features.dtype.itemsize)
    copies = _BLOCK_COPIES + (_APART_COPIES if asked.request.sets_apart else 0)
    if asked.request.fits_all_rows:
        copies += _DECOMPOSED_COPIES
    rows = min(block_rows(dataset.n, dataset.d), dataset.n)
    block = copies * rows * dataset.d * value
    features = dataset.features
    if max(features.chunks[0]) <= rows or chunk_bytes(features) <= CHUNK_BYTES:
        # several small ones, as stored, of which a block reads its own
        return block
    # chunks that several blocks need: one is read, or the next, while blocks wait that are cut
    waiting = chunk_bytes(features) * (1 + (len(features.chunks[0]) > 1))
    return waiting + max(block, chunk_bytes(features) + read_bytes(features, None))


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
    """Of what is read beside features: masks, sample weights, and a target that is checked."""
    request, dataset = asked.request, asked.dataset
    marks = (asked.protection.marks, asked.initial)
    masks = [None if marked is None else marked.mask for marked in marks]
    # weights are measured before the passes
    weights = (request.passes + 1) * _bytes(dataset.sample_weight)
    if request.goes_unread:
        weights += _bytes(dataset.sample_weight) + _bytes(dataset.labels)
    return sum(_bytes(mask) for mask in masks) + 2 * _bytes(request.target) + weights


def _bytes(array: da.Array | None) -> int:
    return 0 if array is None else int(array.size * array.dtype.itemsize)


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


def refuse_unfit_here(asked: Asked, classes: int = _ASSUMED_CLASSES) -> None:
    """Refuse what cannot fit on the workers of the active client, or in this process.

    Once more when the survey has counted the classes: not before they are known to be many.

    Raises
    ------
    InputError
    """
    limits = limits_here(active_client())
    refuse_unfit(plan_of(asked, len(limits) or 1, classes), limits)
