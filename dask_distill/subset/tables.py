"""Selected rows as a table: a dask DataFrame, or a folder of parquet files. Rows stay on workers.

A folder is there whole or not at all. A local one is written beside its place and takes it by one
rename; a remote one has no ``_SUCCESS`` until all of its files are there.
"""

import hashlib
import itertools
import json
import os
import re
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask.delayed import Delayed, delayed

from dask_distill.errors import InputError, InputWarning
from dask_distill.storage import group as store
from dask_distill.storage.local import staged, sync
from dask_distill.storage.location import Location
from dask_distill.storage.remote import beside
from dask_distill.storage.tasks import run_tasks
from dask_distill.subset.names import distinct
from dask_distill.subset.subset import Subset
from dask_distill.support.digest import combined_digest, jsonable

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

MARKER = "_SUCCESS"
FORMAT_VERSION = 1
_PART_BYTES = 64 * 2**20
_PART_ROWS = 2**20
_PART = re.compile(r"part-\d{5}(-[0-9a-f]{12})?\.parquet")
_TEXT = "UOT"
# columns that every table has beside those of the source
_OURS = ("weight", "index")


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns, by what they hold.

    Attributes
    ----------
    features : tuple of str
    labels : str or None
    carry : dict of tuples of str
        By name of the carried array; several for one of more axes.
    scores : tuple of str
    """

    features: tuple[str, ...]
    labels: str | None
    carry: dict[str, tuple[str, ...]]
    scores: tuple[str, ...]


def to_dataframe(coreset: Subset, columns: Sequence[str] | None = None) -> "dd.DataFrame":
    """The selected rows as a dask DataFrame; see `Coreset.to_dataframe`."""
    import dask.dataframe as dd

    names = name_columns(coreset, columns)
    bounds = part_bounds(coreset)
    parts = _frames(coreset, names, bounds)
    edges = np.cumsum((0, *bounds)).tolist()
    meta = _frame(names, 0, *_empty(coreset))
    divisions = (*edges[:-1], edges[-1] - 1)
    table: dd.DataFrame = dd.from_delayed(parts, meta=meta, divisions=divisions)
    return table


def write_parquet(
    coreset: Subset,
    path: str | os.PathLike[str],
    *,
    storage_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    columns: Sequence[str] | None = None,
    on_part: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write the selected rows as a folder of parquet files; see `Coreset.to_parquet`."""
    names = name_columns(coreset, columns)
    for name, array in coreset.carry.items():
        if array.dtype.kind == "c":
            raise InputError(
                f"carry {name} must not be complex for parquet, got {array.dtype}; use to_zarr"
            )
    options = dict(storage_options or {})
    sources = coreset.provenance.get("input", {}).get("sources", [])
    store.check_target(
        path, overwrite=overwrite, storage_options=options, sources=sources, ours=_is_ours
    )
    location = Location(os.fspath(path).rstrip("/"), options)
    bounds = part_bounds(coreset)
    with _staging(location.resolved(), overwrite) as (work, ending):
        write_one = delayed(_write_part, pure=False, traverse=False)
        tasks = [
            write_one(
                work,
                f"part-{number:05d}{ending}.parquet",
                frame,
                dask_key_name=f"distill-write-part-{number}-of-{len(bounds)}-{uuid.uuid4().hex}",
            )
            for number, frame in enumerate(_frames(coreset, names, bounds))
        ]
        files = run_tasks(tasks, on_part)
        digest = combined_digest({file["name"]: file["digest"] for file in files})
        content = {
            "format_version": FORMAT_VERSION,
            "provenance": coreset.provenance,
            "certificate": None if coreset.certificate is None else coreset.certificate.as_dict(),
            "files": files,
            "digest": digest,
        }
        with work.guard(f"path '{location.shown}' must be committed"):
            # whoever looks for it takes the folder for whole, so it comes last
            _put(work, MARKER, json.dumps({"dask_distill": jsonable(content)}).encode())
    return {
        "path": location.shown,
        "digest": digest,
        "bytes_written": sum(file["bytes"] for file in files),
        "files": len(files),
    }


def name_columns(coreset: Subset, columns: Sequence[str] | None = None) -> Columns:
    """Names for all columns: those of the source's table, or x0, x1, … for the features.

    Raises
    ------
    InputError
        Where ``columns`` do not fit, or two of them are the same or like ours.
    """
    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    known = columns
    if columns is None:
        known = coreset.provenance.get("input", {}).get("columns")
        known = known if known is not None and len(known) == d else [f"x{i}" for i in range(d)]
    elif isinstance(columns, str) or len(columns) != d:
        raise InputError(
            f"columns must be the names of {d} features, got {len(columns)}; name each one"
        )
    labels = [] if coreset.labels is None else [coreset.label_name]
    groups = [_carried_names(name, array) for name, array in coreset.carry.items()]
    scores = tuple(f"score_{name}" for name in coreset.scores)
    wanted = [*map(str, known or ()), *labels, *(name for group in groups for name in group)]
    ours = (*_OURS, *scores)
    if columns is not None:
        _refuse_doubles([*wanted[:d], *ours])
    # the names that a user gives are kept, and those of ours
    fixed = [*ours, *wanted[:d]] if columns is not None else ours
    names = wanted[: d if columns is not None else 0]
    names += distinct(wanted[len(names) :], fixed, plain=False)
    for old, new in zip(wanted, names, strict=True):
        if old != new:
            line = f"{old!r} is written as {new!r}: the table has another column of that name"
            warnings.warn(line, InputWarning, stacklevel=4)
    rest = iter(names[d + len(labels) :])
    return Columns(
        tuple(names[:d]),
        names[d] if labels else None,
        {
            name: tuple(itertools.islice(rest, len(group)))
            for name, group in zip(coreset.carry, groups, strict=True)
        },
        scores,
    )


def _carried_names(name: str, array: da.Array) -> tuple[str, ...]:
    if array.ndim == 1:
        return (name,)
    return tuple(f"{name}_{i}" for i in range(int(np.prod(array.shape[1:], dtype=np.int64))))


def _refuse_doubles(names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"columns must have different names, got {twice!r} twice; name the features with "
            "columns="
        )


def part_bounds(coreset: Subset) -> tuple[int, ...]:
    """Rows of each part: from number and size of the rows alone, not from chunks."""
    arrays = [coreset.features, *coreset.carry.values()]
    arrays += [] if coreset.labels is None else [coreset.labels]
    width = sum(
        int(np.prod(array.shape[1:], dtype=np.int64)) * array.dtype.itemsize for array in arrays
    )
    width += 12 + 4 * len(coreset.scores)
    rows = int(max(1, min(_PART_ROWS, _PART_BYTES // width)))
    full, rest = divmod(len(coreset), rows)
    return (rows,) * full + ((rest,) if rest else ())


def _frames(coreset: Subset, names: Columns, bounds: tuple[int, ...]) -> list[Delayed]:
    """One task a part that makes its pandas DataFrame."""
    features, labels, carry = (
        _parts(coreset.features, bounds),
        None if coreset.labels is None else _parts(coreset.labels, bounds),
        [_parts(array, bounds) for array in coreset.carry.values()],
    )
    edges = np.cumsum((0, *bounds)).tolist()
    make = delayed(_frame, pure=False, traverse=False)
    return [
        make(
            names,
            start,
            features[number],
            None if labels is None else labels[number],
            coreset.indices[start:stop],
            coreset.weights[start:stop],
            [values[start:stop] for values in coreset.scores.values()],
            *(parts[number] for parts in carry),
        )
        for number, (start, stop) in enumerate(itertools.pairwise(edges))
    ]


def _parts(array: da.Array, bounds: tuple[int, ...]) -> list[Delayed]:
    whole = array.rechunk({0: bounds}, method="tasks")
    # optimised one by one, arrays that share their input would each read it
    return list(whole.to_delayed(optimize_graph=False).ravel())


def _empty(coreset: Subset) -> tuple[Any, ...]:
    """What a part without rows has."""

    def none(array: da.Array) -> Any:
        return np.empty((0, *array.shape[1:]), array.dtype)

    return (
        none(coreset.features),
        None if coreset.labels is None else none(coreset.labels),
        coreset.indices[:0],
        coreset.weights[:0],
        [values[:0] for values in coreset.scores.values()],
        *map(none, coreset.carry.values()),
    )


def _frame(
    names: Columns,
    start: int,
    features: Any,
    labels: Any,
    indices: Any,
    weights: Any,
    scores: list[Any],
    *carry: Any,
) -> "pd.DataFrame":
    """One part as a pandas DataFrame; runs as a task."""
    import pandas as pd

    columns: dict[str, Any] = {}
    columns |= _columns(names.features, features)
    if names.labels is not None:
        columns |= _columns((names.labels,), labels)
    for group, values in zip(names.carry.values(), carry, strict=True):
        columns |= _columns(group, values)
    columns["weight"], columns["index"] = weights, indices
    columns |= dict(zip(names.scores, scores, strict=True))
    rows = pd.RangeIndex(start, start + len(indices))
    return pd.DataFrame({name: _series(values, rows) for name, values in columns.items()})


def _columns(names: Sequence[str], values: Any) -> dict[str, Any]:
    table = np.asarray(values)
    table = table.reshape(len(table), len(names))
    return {name: table[:, column] for column, name in enumerate(names)}


def _series(values: Any, rows: Any) -> Any:
    import pandas as pd

    if values.dtype.kind in _TEXT:
        return pd.Series(values.astype(object), index=rows, dtype="str")
    return pd.Series(values, index=rows)


def _write_part(work: Location, name: str, frame: Any) -> dict[str, Any]:
    """Write one file; whoever does it again writes the same; runs as a task."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    with work.guard(f"file {name} must be written"):
        _put(work, name, content)
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return {"name": name, "rows": len(frame), "bytes": len(content), "digest": digest}


def _put(work: Location, name: str, content: bytes) -> None:
    """Write a file whole, on the disk when this returns."""
    if work.path is None:
        system, path = work.filesystem()
        system.pipe_file(f"{path.rstrip('/')}/{name}", content)
        return
    part = work.path / f".{name}.{uuid.uuid4().hex[:12]}"
    part.write_bytes(content)
    sync(part)
    part.replace(work.path / name)


@contextmanager
def _staging(target: Location, overwrite: bool) -> Iterator[tuple[Location, str]]:
    """Where files are written, and what tells a run's files from another's."""
    run = uuid.uuid4().hex[:12]
    if target.path is not None:
        with staged(target, overwrite, run=run) as work:
            yield work, ""
        return
    beside(target, "partial")
    with target.guard(f"path '{target.shown}' must be within reach"):
        system, path = target.filesystem()
        root = path.rstrip("/")
        old = system.find(root)
        # first the marker: from here on, no reader takes what is there for whole
        for key in sorted(old, key=lambda key: not key.endswith(f"/{MARKER}")):
            system.rm(key)
    try:
        yield target, f"-{run}"
        keys = _names(target)
        if any(f"-{run}." not in name for name in keys if name != MARKER):
            raise InputError(
                f"path '{target.shown}' must not change during a run, but another one has written "
                "it; choose another path for each run"
            )
    except BaseException:
        with suppress(Exception):
            system.rm([f"{root}/{name}" for name in _names(target) if run in name])
        raise


def _names(location: Location) -> list[str]:
    """Files of a folder, by their names in it."""
    system, path = location.filesystem()
    root = path.rstrip("/")
    return [key.rpartition(f"{root.lstrip('/')}/")[2] for key in system.find(root)]


def _is_ours(location: Location) -> bool:
    """Whether a folder holds what `write_parquet` writes, whole or not, and nothing else."""
    names = _names(location)
    return bool(names) and all(name == MARKER or _PART.fullmatch(name) for name in names)
