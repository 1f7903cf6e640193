"""A table in an array of bytes: Arrow's own form, which has every type of column.

For rows that are kept beside the selected ones, which nobody but this package reads.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from dask.delayed import delayed

from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import join_rows
from dask_distill.data.table import MemoryPart, Table, TablePart
from dask_distill.survey.validity import OnInvalid
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.lazy import encoded
from dask_distill.tables.profile import BOOLEAN, NUMBER, Profile

Bytes = npt.NDArray[np.uint8]


def is_plain(profile: Any) -> bool:
    """Whether features may be the columns themselves, in their own types."""
    used = Profile.parse(profile).features
    return all(
        column.kind in (NUMBER, BOOLEAN) and not column.encoding.get("mark") for column in used
    )


def of_table(
    dataset: Dataset, table: Table, profile: Mapping[str, Any], on_invalid: OnInvalid | None
) -> Dataset:
    """Kept rows of a table: features are there, and how they are read."""
    parsed = Profile.parse(profile)
    # of rows that are dropped where values are missing, none is kept
    unfilled = partial(encoded, table, parsed.unfilled()) if on_invalid == "fill" else None
    return replace(
        dataset,
        table=table,
        profile=profile,
        groups=Encoding(parsed).groups,
        unfilled=unfilled,
    )


def table_as_bytes(table: Table) -> tuple[da.Array, dict[str, Any]]:
    """A table's parts as bytes, as many of them for each row, and what it takes to read them.

    Parameters
    ----------
    table : Table
        In memory: its parts are computed, to know how long they are.

    Returns
    -------
    bytes : (n, b) uint8 dask array
        The rows of a part, read one after another, are its bytes, and zeros.
    about : dict
        JSON-able, for `table_of_bytes`.
    """
    parts = dask.persist(*(delayed(_as_bytes, pure=False)(part) for part in table.parts))
    sizes = dask.compute(*(delayed(len)(part) for part in parts))
    width = max(-(-size // rows) for size, rows in zip(sizes, table.rows, strict=True))
    arrays = [
        da.from_delayed(
            delayed(_in_rows, pure=False)(part, rows, width), (rows, width), np.dtype(np.uint8)
        )
        for part, rows in zip(parts, table.rows, strict=True)
    ]
    about = {
        "schema": base64.b64encode(table.schema.serialize().to_pybytes()).decode(),
        "rows": list(table.rows),
        "without_nulls": sorted(table.without_nulls),
    }
    return join_rows(arrays), about


def table_of_bytes(stored: da.Array, about: Mapping[str, Any]) -> Table:
    """The table in an array that is stored; nothing of it is read."""
    ends = np.cumsum([0, *about["rows"]]).tolist()
    read = delayed(_part_of, pure=False)
    parts = [read(*stored[start:stop].to_delayed().ravel()) for start, stop in pairwise(ends)]
    schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(about["schema"])))
    whole = frozenset(about["without_nulls"])
    return Table(schema, tuple(parts), tuple(about["rows"]), without_nulls=whole)


def _as_bytes(part: TablePart) -> Bytes:
    table = part.read()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def _in_rows(held: Bytes, rows: int, width: int) -> Bytes:
    found = np.zeros((rows, width), np.uint8)
    found.reshape(-1)[: len(held)] = held
    return found


def _part_of(*chunks: Bytes) -> MemoryPart:
    held = np.ascontiguousarray(np.concatenate(chunks)).reshape(-1)
    # what comes behind its end is not read
    return MemoryPart(pa.ipc.open_stream(pa.py_buffer(held)).read_all())
