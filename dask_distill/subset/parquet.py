"""A subset as a folder of parquet files, written by the workers.

Where files and row groups end
is decided by the number of rows and by their values alone, not by how the source is cut.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from dask.delayed import delayed

from dask_distill.data.rows import take_rows
from dask_distill.data.table import TablePart
from dask_distill.runtime.client import active_client
from dask_distill.runtime.progress import Progress, countdown
from dask_distill.runtime.wire import measured
from dask_distill.storage import folder
from dask_distill.storage.parts import Rows
from dask_distill.storage.targets import check_target
from dask_distill.storage.tasks import run_tasks
from dask_distill.storage.values import ValueDigest
from dask_distill.subset.columns import parts_of_arrays
from dask_distill.subset.subset import Subset
from dask_distill.subset.written import Written, attributes_of, with_bytes_sent, written

_TEXT = "UOT"
_STEP_BYTES, _STEP_ROWS = 4 * 2**20, 2**15
# of a file: some 128 MiB, and 2**20 rows at most
_STEPS = 32
# rows whose size is looked at, in so many runs
_RUNS, _RUN_ROWS = 32, 16


@dataclass(frozen=True)
class SelectedRows(Rows):
    """The rows of one file; see `dask_distill.storage.parts.Rows`.

    Attributes
    ----------
    schema : Arrow schema
    taken : tuple of str
        Columns of the table.
    ranges : tuple of (int, int)
        Rows of each of the table's parts.
    arrays : bool
        Whether arrays that are no columns of the table come first, as one part.
    ours : dict of arrays
    """

    schema: Any
    taken: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    arrays: bool
    ours: dict[str, npt.NDArray[Any]]

    def tables(self, *parts: TablePart) -> Iterator[Any]:
        """All columns of the rows, as many rows at a time as the table reads."""
        if not self.ranges:
            yield self._whole([], parts[0], 0, parts[0].rows)
            return
        arrays = parts[0] if self.arrays else None
        first = 0
        for part, (start, stop) in zip(parts[self.arrays :], self.ranges, strict=True):
            for table in part.batches(np.arange(start, stop), self.taken):
                yield self._whole(table.columns, arrays, first, table.num_rows)
                first += table.num_rows

    def _whole(self, columns: Sequence[Any], arrays: TablePart | None, first: int, n: int) -> Any:
        more = [] if arrays is None else arrays.read(None, first, first + n).columns
        ours = [
            _as_column(values[first : first + n], self.schema.field(name).type)
            for name, values in self.ours.items()
        ]
        return pa.Table.from_arrays([*columns, *more, *ours], schema=self.schema)


def _as_column(values: npt.NDArray[Any], kind: Any) -> Any:
    if values.ndim == 1:
        return pa.array(values, kind)
    flat = pa.array(np.ascontiguousarray(values).ravel(), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(flat, type=kind)


def write_parquet(
    subset: Subset,
    target: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    *,
    columns: Sequence[str] | None = None,
    scores: bool = False,
    progress: Progress | None = None,
    run: str | None = None,
    request: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a subset as a folder of parquet files, by the workers.

    Parameters
    ----------
    subset : Subset
    target, storage_options, overwrite, columns, scores, progress : as for `Coreset.to_parquet`
    run, request
        As for `dask_distill.subset.stored.write_subset`.

    Returns
    -------
    dict
        As `Coreset.to_parquet`.
    """
    options = dict(storage_options or {})
    sources = subset.provenance.get("input", {}).get("sources", [])
    check_target(target, overwrite=overwrite, storage_options=options, sources=sources)
    found = written(subset, columns, scores=scores)
    with measured(active_client()) as wire:
        step, parts = cut(subset, found)
        receipt = folder.write(
            target,
            found.schema,
            step,
            parts,
            attributes_of(subset, found.names, request),
            overwrite=overwrite,
            storage_options=options,
            on_part=None if progress is None else countdown("write", progress),
            run=run,
            amend=partial(with_bytes_sent, wire=wire),
        )
    return receipt | {"bytes_on_the_wire": wire.figures()}


def cut(subset: Subset, found: Written) -> tuple[int, list[folder.Part]]:
    """Rows that are taken at a time, and the parts of the folder."""
    k = len(subset)
    step, bounds = steps(k, _row_bytes(k, found))
    edges = np.cumsum((0, *bounds)).tolist()
    arrays = parts_of_arrays(found.arrays, bounds) if found.arrays else [None] * len(bounds)
    parts = []
    for start, stop, block in zip(edges, edges[1:], arrays, strict=False):
        pieces = [] if found.table is None else found.table.between(start, stop)
        rows = SelectedRows(
            found.schema,
            found.taken,
            tuple(ends for _, *ends in pieces),  # type: ignore[misc]
            block is not None,
            {name: values[start:stop] for name, values in found.ours.items()},
        )
        blocks = () if block is None else (block,)
        parts.append(folder.Part(rows, (*blocks, *(part for part, _, _ in pieces))))
    return step, parts


def steps(rows: int, row_bytes: int) -> tuple[int, tuple[int, ...]]:
    """Rows that are taken at a time, and rows of each file: by the rows alone, not by chunks."""
    step = int(max(1, min(_STEP_ROWS, _STEP_BYTES // max(1, row_bytes))))
    full, rest = divmod(rows, step * _STEPS)
    return step, (step * _STEPS,) * full + ((rest,) if rest else ())


def _row_bytes(k: int, found: Written) -> int:
    """Bytes of a row, about: by its types, and where these do not tell, by some of the rows."""
    size = sum(values.nbytes // max(1, k) for values in found.ours.values())
    sample = _sample(k)
    for array, _ in found.arrays.values():
        if array.dtype.kind in _TEXT:
            texts = take_rows(array, sample).compute().ravel()
            size += sum(len(str(text).encode(errors="replace")) for text in texts) // len(sample)
        else:
            size += int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize
    if found.table is None:
        return max(1, size)
    kinds = {name: found.table.schema.field(name).type for name in found.taken}
    fixed = {name: _fixed_bytes(kind) for name, kind in kinds.items()}
    size += sum(width for width in fixed.values() if width is not None)
    varying = [name for name, width in fixed.items() if width is None]
    if varying:
        measure = delayed(_measured, pure=False, traverse=False)
        parts = found.table.take(sample).parts
        size += sum(run_tasks([measure(part, varying) for part in parts], None)) // len(sample)
    return max(1, size)


def _sample(k: int) -> npt.NDArray[np.int64]:
    """Numbers of some rows: in runs, so that few parts of the source are read for them."""
    if k <= _RUNS * _RUN_ROWS:
        return np.arange(k, dtype=np.int64)
    starts = np.arange(_RUNS, dtype=np.int64) * (k - _RUN_ROWS) // (_RUNS - 1)
    return np.unique(starts[:, None] + np.arange(_RUN_ROWS))


def _fixed_bytes(kind: Any) -> int | None:
    """Bytes of a value; None where values differ in it."""
    if pa.types.is_dictionary(kind):
        return None
    try:
        return int(-(-kind.bit_width // 8))
    except ValueError:
        return None


def _measured(part: TablePart, columns: Sequence[str]) -> int:
    """Bytes of all values of some columns; runs as a task."""
    values = ValueDigest()
    for table in part.batches(np.arange(part.rows), columns):
        values.add(table)
    return values.nbytes
