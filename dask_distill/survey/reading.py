"""The source as blocks: which chunks each block is put together from, and what the source gave."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from dask._task_spec import Alias, DataNode, GraphNode, Task
from dask.delayed import Delayed, delayed
from dask.sizeof import sizeof

from dask_distill.data.blocks import RawBlock, as_features, block_bounds
from dask_distill.data.compact import is_compact, stacked
from dask_distill.data.dataset import Dataset
from dask_distill.data.labels import as_labels, dense
from dask_distill.data.reader import RowReader
from dask_distill.data.rows import join_rows
from dask_distill.data.times import as_times
from dask_distill.data.weights import as_weights
from dask_distill.errors import DistillError, InputError
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline
from dask_distill.runtime.runner import Runner
from dask_distill.survey.fingerprint import block_checksum, fingerprint_of

_SMALL_BYTES = 2**16


def raw_blocks(dataset: Dataset, runner: Runner) -> list[Handle[RawBlock]]:
    """The data set as blocks, read by the tasks that use them.

    Each chunk of the source is read once a pass. Those that lie in one block, and share nothing
    with others, are computed by the block's task: no task of their own, nothing to send.
    """
    features, held = _by_blocks(dataset.features, block_bounds(dataset.n, dataset.d), runner)
    times = _beside(dataset.time, dataset, runner)
    # beside them, some workers would have nothing to do
    few = held < runner.parallelism()
    # beside its features, or by whoever has time where these are not there yet
    return _raw_blocks(dataset, features, times, runner, [few or not X.waits for X in features])


def looked_at(
    dataset: Dataset, raw: Sequence[Handle[RawBlock]], runner: Runner
) -> Sequence[Handle[RawBlock]]:
    """The blocks as the survey reads them: in a smaller form, where all of the source has one.

    It looks at few rows, and of the others it takes a checksum.
    """
    readers = _compacted_readers(dataset)
    if readers is None:
        return raw
    bounds = block_bounds(dataset.n, dataset.d)
    features, _ = _by_blocks(dataset.features, bounds, runner, readers)
    times = _beside(dataset.time, dataset, runner)
    return _raw_blocks(dataset, features, times, runner, [not X.waits for X in features])


def _compacted_readers(dataset: Dataset) -> list[RowReader] | None:
    """What reads each chunk in a smaller form; None where not all chunks have one."""
    if dataset.profile is None:
        return None
    plain = dict(dataset.features.__dask_graph__())
    found: list[RowReader] = []
    for handle in dataset.features.to_delayed().ravel():
        reader = _reader(plain, handle.key)
        small = None if reader is None else reader.compacted
        if small is None:
            return None
        found.append(small)
    return found


def unread_blocks(dataset: Dataset, runner: Runner) -> list[Handle[RawBlock]]:
    """The same without features, which are not read: blocks whose rows have no column, no time."""
    none: list[Inline[Any] | None] = [None] * len(block_bounds(dataset.n, dataset.d))
    return _raw_blocks(dataset, none, none, runner, [True] * len(none))


def _raw_blocks(
    dataset: Dataset,
    features: Sequence[Inline[Any] | None],
    times: Sequence[Inline[Any] | None],
    runner: Runner,
    anywhere: Sequence[bool],
) -> list[Handle[RawBlock]]:
    assert dataset.sample_weight is None or dataset.weighing is not None
    labels = _beside(dataset.labels, dataset, runner)
    weights = _beside(dataset.sample_weight, dataset, runner)
    bounds = block_bounds(dataset.n, dataset.d)
    starts = np.cumsum((0, *bounds[:-1])).tolist()
    runner.rows = [(start, start + rows) for start, rows in zip(starts, bounds, strict=True)]
    each = zip(features, labels, times, weights, starts, bounds, anywhere, strict=True)
    return [
        Inline(_raw_block, X, y, t, w, number, start, rows, dataset.d, anywhere=free)
        for number, (X, y, t, w, start, rows, free) in enumerate(each)
    ]


def in_blocks(array: da.Array, bounds: tuple[int, ...], runner: Runner) -> Sequence[Inline[Any]]:
    """The rows of each block of one array, read by the tasks that use them."""
    return _by_blocks(array, bounds, runner)[0]


def _beside(
    array: da.Array | None, dataset: Dataset, runner: Runner
) -> Sequence[Inline[Any] | None]:
    """What rows have beside their features, by block; None where they have none."""
    bounds = block_bounds(dataset.n, dataset.d)
    return [None] * len(bounds) if array is None else in_blocks(array, bounds, runner)


def run_of_rows(array: da.Array, start: int, stop: int) -> da.Array:
    """Rows from ``start`` to ``stop``; of a stored array no others are read."""
    plain = dict(array.__dask_graph__())
    edges = np.cumsum((0, *array.chunks[0])).tolist()
    parts = []
    for number, (handle, first) in enumerate(zip(array.to_delayed().ravel(), edges, strict=False)):
        rows = array.chunks[0][number]
        a, b = max(0, start - first), min(rows, stop - first)
        if a >= b:
            continue
        reader = _reader(plain, handle.key)
        if reader is None or b - a == rows:
            parts.append(array[first + a : first + b])
            continue
        part = delayed(reader.part(a, b), pure=False, traverse=False)()
        shape = (b - a, *array.shape[1:])
        parts.append(da.from_delayed(part, shape, dtype=array.dtype))
    return join_rows(parts)


def _by_blocks(
    array: da.Array,
    bounds: tuple[int, ...],
    runner: Runner,
    readers: Sequence[RowReader] | None = None,
) -> tuple[list[Inline[Any]], int]:
    """The rows of each block, put together from the chunks that they lie in.

    And how many chunks are tasks of their own, whose results lie on some worker. ``readers`` are
    what reads the chunks, where that is something else than the array's own.
    """
    edges = np.cumsum((0, *array.chunks[0]))
    starts = np.cumsum((0, *bounds))
    # of each block, the first chunk that it needs, and the first that it does not
    first = np.searchsorted(edges, starts[:-1], side="right") - 1
    last = np.searchsorted(edges, starts[1:], side="left")
    users = np.zeros(len(edges) - 1, np.int64)
    for start, stop in zip(first, last, strict=True):
        users[start:stop] += 1
    shared = None if readers is None else _shared(readers, users, runner)
    chunks = _chunks(array, users, runner) if shared is None else shared
    blocks: list[Inline[Any]] = []
    for number in range(len(bounds)):
        parts: list[RowReader | Handle[Any]] = []
        for place in range(first[number], last[number]):
            start, stop = (starts[number : number + 2] - edges[place]).tolist()
            rows = max(0, start), min(stop, array.chunks[0][place])
            part = _part(chunks[place], *rows, array.chunks[0][place], place, runner)
            both = _one_run(parts[-1], part) if parts else None
            if both is None:
                parts.append(part)
            else:
                parts[-1] = both
        taken = [Inline(part) if isinstance(part, RowReader) else part for part in parts]
        blocks.append(Inline(_stacked, *taken))
    return blocks, sum(not isinstance(chunk, RowReader | Inline) for chunk in chunks)


def _one_run(left: Any, right: Any) -> RowReader | None:
    """What reads both, where both are read from the source and one goes on from the other."""
    if isinstance(left, RowReader) and isinstance(right, RowReader):
        return left.followed_by(right)
    return None


def _part(
    chunk: RowReader | Handle[Any], start: int, stop: int, size: int, number: int, runner: Runner
) -> RowReader | Handle[Any]:
    """Some rows of a chunk, such that no others are sent."""
    if isinstance(chunk, RowReader):
        return chunk.part(start, stop)
    if stop - start == size:
        return chunk
    if isinstance(chunk, Inline):
        return Inline(_rows, chunk, start, stop)
    return runner.call("cut", _rows, chunk, start, stop, chunk=number)


def _chunks(
    array: da.Array, users: npt.NDArray[np.int64], runner: Runner
) -> list[RowReader | Handle[Any]]:
    """Chunks as readers of the source, as calls, or as handles of tasks that several need.

    Computed by the task that uses it is a chunk that one block needs (of all its ``users``), and
    of whose tasks no other chunk needs one. Handles remain where a chunk is computed once for
    several blocks, and where it is on the cluster already.
    """
    plain = dict(array.__dask_graph__())
    handles = list(array.to_delayed().ravel())
    graph = dict(handles[0].dask) if handles else {}
    parts = [_ancestors(graph, handle.key) for handle in handles]
    needed = Counter(key for part in parts for key in part or ())

    def chunk(handle: Delayed, part: set[Any] | None, blocks: int) -> RowReader | Handle[Any]:
        reader = _reader(plain, handle.key)
        if reader is not None and blocks <= (reader.most_readers or blocks):
            return reader
        if part is None or blocks > 1:
            return runner.from_dask(handle)
        if any(needed[key] > 1 and not _is_small(graph[key]) for key in part):
            return runner.from_dask(handle)
        return Inline(_compute, {key: graph[key] for key in part}, handle.key)

    return [chunk(*each) for each in zip(handles, parts, users.tolist(), strict=True)]


def _shared(
    readers: Sequence[RowReader], users: npt.NDArray[np.int64], runner: Runner
) -> list[RowReader | Handle[Any]]:
    """The readers, or a task of one where more blocks need its chunk than should read it."""
    return [
        runner.from_dask(delayed(reader, pure=False, traverse=False)())
        if blocks > (reader.most_readers or blocks)
        else reader
        for reader, blocks in zip(readers, users.tolist(), strict=True)
    ]


def _reader(graph: dict[Any, Any], key: Any) -> RowReader | None:
    """What reads a chunk, where that is all that is done to it."""
    node = graph.get(key)
    # a name for another task, in either form that Dask has for it; a call is a tuple, too
    while isinstance(node, Alias) or (isinstance(node, tuple) and not callable(node[0])):
        node = graph.get(node.target if isinstance(node, Alias) else node)
    function = node.func if isinstance(node, Task) else None
    return function if isinstance(function, RowReader) else None


def _ancestors(graph: dict[Any, Any], key: Any) -> set[Any] | None:
    """All that a task needs, and itself; None where some of it is on the cluster already."""
    found, ahead = set(), [key]
    while ahead:
        key = ahead.pop()
        if key in found:
            continue
        if not isinstance(graph.get(key), GraphNode):
            return None
        found.add(key)
        ahead += graph[key].dependencies
    return found


def _is_small(node: GraphNode) -> bool:
    """Whether a constant may be given to every task that needs it, such as a handle on a store."""
    return isinstance(node, DataNode) and sizeof(node.value) <= _SMALL_BYTES


def _compute(graph: dict[Any, Any], key: Any) -> Any:
    return dask.get(graph, key)


def _rows(chunk: Any, start: int, stop: int) -> Any:
    return chunk[start:stop]


def _stacked(*parts: Any) -> Any:
    if len(parts) == 1:
        return parts[0]
    if is_compact(parts[0]):
        return stacked(parts)
    return np.concatenate([dense(part, "features and labels") for part in parts])


def _raw_block(
    X: Any, y: Any, t: Any, w: Any, number: int, start: int, rows: int, d: int
) -> RawBlock:
    """Check what the source gave, on the worker, and bring it into form."""
    compact = X if is_compact(X) else None
    values = as_features(X) if compact is None and X is not None else None
    shape = (rows, d) if X is None else X.shape if values is None else values.shape
    if shape != (rows, d):
        raise DistillError(
            f"features must have {rows} rows and {d} columns in rows {start} to {start + rows - 1},"
            f" got shape {shape}; the source is not what its metadata says"
        )
    labels = None if y is None else as_labels(y)
    if labels is not None and len(labels) != rows:
        raise DistillError(
            f"labels must have {rows} values from row {start} on, got {len(labels)}; the source "
            "is not what its metadata says"
        )
    times = None if t is None else as_times(t)
    if times is not None and len(times) != rows:
        raise DistillError(
            f"time must have {rows} values from row {start} on, got {len(times)}; the source is "
            "not what its metadata says"
        )
    if times is not None and not np.isfinite(times).all():
        first = start + int((~np.isfinite(times)).argmax())
        raise InputError(
            f"time must be known of every row, got a missing or infinite one in row {first}; fill "
            "it in, or leave the row out"
        )
    weights = None if w is None else as_weights(w)
    if weights is not None and len(weights) != rows:
        raise DistillError(
            f"sample_weight must have {rows} values from row {start} on, got {len(weights)}; the "
            "source is not what its metadata says"
        )
    if values is None:
        values = np.empty((rows, 0), np.float32)
    return RawBlock(
        number=number,
        start=start,
        X=values,
        y=labels,
        time=times,
        weight=weights,
        compact=compact,
    )


def content_fingerprint(dataset: Dataset, raw: Sequence[Handle[RawBlock]], runner: Runner) -> str:
    """Digest of a data set's values, as the survey has it: one pass over its `raw_blocks`."""
    blocks = looked_at(dataset, raw, runner)
    checksums = runner.fetch_all([runner.call("check", block_checksum, block) for block in blocks])
    return fingerprint_of(dataset.n, dataset.d, checksums)
