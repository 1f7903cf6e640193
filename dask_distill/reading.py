"""The source as blocks: which chunks each block is put together from, and what the source gave."""

from typing import Any

import dask.array as da
import numpy as np

from dask_distill.block import RawBlock, as_features, as_labels, block_bounds
from dask_distill.dataset import Dataset
from dask_distill.errors import DistillError, InputError
from dask_distill.progress import Progress
from dask_distill.rounds import DaskRunner, part
from dask_distill.survey import block_checksum, fingerprint_of
from dask_distill.times import as_times


def raw_blocks(dataset: Dataset, runner: DaskRunner) -> list[Any]:
    """The data set as blocks, as handles; each chunk of the source is read once a pass."""
    bounds = block_bounds(dataset.n, dataset.d)
    features = _by_blocks(dataset.features, bounds)
    labels: list[Any] = [None] * len(bounds)
    if dataset.labels is not None:
        labels = _by_blocks(dataset.labels, bounds)
    times: list[Any] = [None] * len(bounds)
    if dataset.time is not None:
        times = _by_blocks(dataset.time, bounds)
    starts = np.cumsum((0, *bounds[:-1])).tolist()
    runner.rows = [(start, start + rows) for start, rows in zip(starts, bounds, strict=True)]
    return [
        runner.call(
            part("read", number, bounds), _raw_block, X, y, t, number, start, rows, dataset.d
        )
        for number, (X, y, t, start, rows) in enumerate(
            zip(features, labels, times, starts, bounds, strict=True)
        )
    ]


def _by_blocks(array: da.Array, bounds: tuple[int, ...]) -> list[Any]:
    # peer-to-peer shuffles have a barrier and die with a worker; plain tasks are rebuilt
    whole = array.rechunk({0: bounds}, method="tasks")
    return list(whole.to_delayed().ravel())


def _raw_block(X: Any, y: Any, t: Any, number: int, start: int, rows: int, d: int) -> RawBlock:
    """Check what the source gave, on the worker, and bring it into form."""
    values = as_features(X)
    if values.shape != (rows, d):
        raise DistillError(
            f"features must have {rows} rows and {d} columns in rows {start} to {start + rows - 1},"
            f" got shape {values.shape}; the source is not what its metadata says"
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
    return RawBlock(number, start, values, labels, times)


def content_fingerprint(dataset: Dataset, progress: Progress | None = None) -> str:
    """Digest of a data set's values, as the survey has it: one pass that reads, and no more."""
    runner = DaskRunner(progress)
    raw = raw_blocks(dataset, runner)
    checksums = runner.fetch_all([runner.call("check", block_checksum, block) for block in raw])
    return fingerprint_of(dataset.n, dataset.d, checksums)
