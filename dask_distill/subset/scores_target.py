"""Scores of all rows as a target of its own: written by the workers, and opened lazily.

A zarr group has ``score/NAME``, a folder of parquet files ``_index`` and ``_score_NAME``. Where
chunks and files end is decided by the number of rows alone, not by how the source is cut. Knows
no model: scores are arrays with names.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.array as da
import numpy as np
import pyarrow as pa

from dask_distill.data.table import TablePart
from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.runtime.client import active_client
from dask_distill.runtime.progress import Progress, countdown
from dask_distill.runtime.wire import measured
from dask_distill.storage import folder, group as store
from dask_distill.storage.form import FOLDER, form_wanted
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import KIND, SCORES, holds_scores, open_content
from dask_distill.storage.parts import Rows
from dask_distill.storage.targets import check_target, form_of, located
from dask_distill.storage.variables import INDEX_COLUMN, SCORE, SCORE_COLUMN, noted
from dask_distill.subset.columns import ArrayColumns, field_of, parts_of_arrays
from dask_distill.subset.folder import all_columns
from dask_distill.subset.parquet import steps
from dask_distill.subset.written import with_bytes_sent


@dataclass(frozen=True)
class ScoredRows(Rows):
    """Scores of the rows of one file, and which rows these are.

    Attributes
    ----------
    schema : Arrow schema
    first : int
        Number of the first row.
    """

    schema: Any
    first: int

    def tables(self, *parts: TablePart) -> Iterator[Any]:
        """One table, of few bytes a row."""
        (part,) = parts
        rows = pa.array(np.arange(self.first, self.first + part.rows, dtype=np.int64))
        yield pa.Table.from_arrays([rows, *part.read().columns], schema=self.schema)


def write_scores(
    scores: Mapping[str, da.Array],
    provenance: Mapping[str, Any],
    target: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    *,
    progress: Progress | None = None,
    run: str | None = None,
    request: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the scores of all rows, by the workers, in the form that the target's name asks for.

    Parameters
    ----------
    scores : mapping of (n,) float32 dask arrays
        By criterion, chunks known, of any size: what is written is cut by n alone.
    provenance : mapping
        How they came about, JSON-able; ``input.sources`` are kept clear of.
    target : path or URL
        One that ends in ``.parquet`` becomes a folder of parquet files, any other a zarr group.
    storage_options : mapping, optional
        For fsspec; never stored.
    overwrite : bool
        Replace scores that are there, at commit; nothing else is replaced.
    progress : Progress, optional
        Takes the chunks or files that are written.
    run, request
        As for `dask_distill.subset.stored.write_group`; what a run before has written whole stays
        as it is, and is not computed again.

    Returns
    -------
    dict
        ``target``, ``digest`` (of the values), ``bytes_written``, of parquet the number of
        ``files``, and ``bytes_on_the_wire`` of this call alone.

    Raises
    ------
    InputError
        Where the target exists, is the source, or cannot be written.
    """
    options = dict(storage_options or {})
    sources = provenance.get("input", {}).get("sources", [])
    check_scores_target(target, overwrite=overwrite, storage_options=options, sources=sources)
    attributes: dict[str, Any] = {KIND: SCORES, "provenance": dict(provenance)}
    attributes |= {} if request is None else {"request": dict(request)}
    tell = None if progress is None else countdown("write", progress)
    with measured(active_client()) as wire:
        how: Any = {"overwrite": overwrite, "storage_options": options, "run": run}
        how["amend"] = partial(with_bytes_sent, wire=wire)
        if form_wanted(target) is FOLDER:
            schema, step, parts = _cut(scores)
            receipt = folder.write(target, schema, step, parts, attributes, on_part=tell, **how)
        else:
            arrays = {f"{SCORE}{name}": array for name, array in scores.items()}
            receipt = store.write(target, arrays, attributes, on_chunk=tell, **how)
    return receipt | {"bytes_on_the_wire": wire.figures()}


def _cut(scores: Mapping[str, da.Array]) -> tuple[Any, int, list[folder.Part]]:
    """Columns, rows that are taken at a time, and the files."""
    arrays = {
        name: (array, [field_of(f"{SCORE_COLUMN}{name}", array.dtype, f"score {name}")])
        for name, array in scores.items()
    }
    fields = [field.with_nullable(False) for _, group in arrays.values() for field in group]
    fields.insert(0, pa.field(INDEX_COLUMN, pa.int64(), nullable=False))
    schema = pa.schema(fields, metadata=noted([field.name for field in fields]))
    n = next(iter(scores.values())).shape[0]
    step, bounds = steps(n, sum(field.type.bit_width // 8 for field in fields))
    firsts = np.cumsum((0, *bounds)).tolist()
    blocks = parts_of_arrays(arrays, bounds)
    parts = [
        folder.Part(ScoredRows(schema, first), (block,), compared=False)
        for first, block in zip(firsts, blocks, strict=False)
    ]
    return schema, step, parts


def check_scores_target(target: str | os.PathLike[str], **where: Any) -> None:
    """Refuse a target that cannot be written, or whose place something else has.

    Parameters
    ----------
    target : path or URL
    **where
        Of `dask_distill.storage.targets.check_target`: overwrite, storage_options, sources.

    Raises
    ------
    InputError
    """
    check_target(target, ours=_are_scores, what="scores", **where)


def scores_beside(target: str | os.PathLike[str]) -> str:
    """Where the scores of all rows go that are written beside a subset.

    Examples
    --------
    >>> scores_beside("s3://bucket/out.parquet"), scores_beside("here/out/"), scores_beside("a.b")
    ('s3://bucket/out.scores.parquet', 'here/out.scores', 'a.b.scores')
    """
    place = os.fspath(target).rstrip("/")
    stem, dot, ending = place.rpartition(".")
    known = dot and ending.lower() in ("parquet", "zarr")
    return f"{stem}.scores.{ending}" if known else f"{place}.scores"


def _are_scores(location: Location) -> bool:
    try:
        content = open_content(location)
    except IncompleteOutput:
        return False
    return content is not None and holds_scores(content)


def read_scores(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> tuple[dict[str, da.Array], dict[str, Any]]:
    """Scores that `write_scores` has written, which stay on disk until computed.

    Parameters
    ----------
    target : path or URL
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    scores : dict of (n,) float32 dask arrays
        By criterion, chunks known.
    provenance : dict

    Raises
    ------
    IncompleteOutput
        Where the commit marker or a part is missing.
    InputError
        Where nothing is there, or something else.
    """
    location = located(target, storage_options)
    if form_of(location) is FOLDER:
        content = folder.read(location)
        _refuse_others(location, content)
        table = all_columns(location.resolved(), content)
        columns = [name for name in table.schema.names if name.startswith(SCORE_COLUMN)]
        scores = {
            name.removeprefix(SCORE_COLUMN): ArrayColumns(name, (name,), "<f4").read(table)
            for name in columns
        }
        return scores, content["provenance"]
    arrays, content = store.read(target, storage_options=dict(storage_options or {}))
    _refuse_others(location, content)
    return {name.removeprefix(SCORE): array for name, array in arrays.items()}, content[
        "provenance"
    ]


def _refuse_others(location: Location, content: Mapping[str, Any]) -> None:
    if not holds_scores(content):
        raise InputError(
            f"target '{location.shown}' must hold the scores of all rows, got rows; open it with "
            "open_coreset, or write scores with dask-distill score"
        )
