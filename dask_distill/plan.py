"""What a run would do, from shapes alone: rows, blocks, tasks, memory, bytes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dask_distill.block import block_rows
from dask_distill.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.request import Request
from dask_distill.survey import SAMPLE_FLOOR, SAMPLE_ROWS
from dask_distill.threads import local_threads

# a Python process with our libraries, its services and compiled kernels, before any data
_PROCESS_BYTES = 512 * 2**20
# as stored, put together from chunks, as floats, and one more while it is standardised
_BLOCK_COPIES = 4
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
    bytes_read, bytes_moved, bytes_written : int
        Before compression; moved are questions, answers, candidates and selected rows.
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
    bytes_read: int
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
    request.check(dataset)
    strategy = request.strategy
    n, d = dataset.n, dataset.d
    selected = request.rows(n)
    rows = block_rows(n, d)
    blocks = -(-n // rows)
    classes = 1 if dataset.labels is None else _ASSUMED_CLASSES
    # the strategy sees the reduced form, which the workers hold
    reduced = request.reduced_width(d)
    need = strategy.footprint(n, reduced or d, classes, selected)
    value = max(4, dataset.features.dtype.itemsize)
    sample = min(n, SAMPLE_ROWS + SAMPLE_FLOOR * classes)
    offers = min(n, int(1.5 * sample)) * d * value
    pool = int(min(n, need.pool_rows) * (d * value + 48))
    chunks = len(dataset.features.chunks[0])
    combines = -(-blocks // 7)
    fit = 0
    if strategy.uses_proxy and dataset.labels is not None:
        # the sample with its Fourier features, and the solver's copies of it
        fit = 4 * sample * (d + 600) * value
    lane = _BLOCK_COPIES * min(rows, n) * d * value
    # footprints are for float32
    held = (need.state_bytes_per_row * value / 4 + 4 * reduced) * n / max(1, workers)
    worker = int(_PROCESS_BYTES + lane + held)
    return Plan(
        rows=n,
        features=d,
        size=selected,
        strategy=strategy.name,
        blocks=blocks,
        block_rows=rows,
        # a block answers and sends, in the survey and each round; rows are taken by chunks
        tasks=blocks + (2 * blocks + combines + 8) * (1 + need.rounds) + 2 * chunks,
        worker_bytes=worker,
        lane_bytes=lane,
        # one of the workers, beside its blocks
        coordinator_bytes=int(worker + 3 * offers + 3 * pool + fit + 40 * selected),
        bytes_read=2 * dataset.nbytes,
        bytes_moved=int(
            offers
            + pool
            + blocks * need.rounds * need.answer_bytes_per_block
            + selected * dataset.row_bytes
        ),
        bytes_written=selected * (dataset.row_bytes + 12 + (16 if strategy.uses_proxy else 0)),
        bytes_to_gather_everything=dataset.nbytes,
    )


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


def limits_here(client: Any) -> list[tuple[int, int]]:
    """Memory limit and threads of each worker; of this process, where there is no client."""
    if client is not None:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return [(int(w.get("memory_limit") or 0), int(w["nthreads"])) for w in workers]
    from distributed.system import MEMORY_LIMIT

    return [(int(MEMORY_LIMIT), local_threads())]
