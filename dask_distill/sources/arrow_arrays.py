"""A table in the arrays of a zarr group that we have written: its columns in their Arrow types.

A column is an array of its values, and a mask of those that are missing where some may be.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dask_distill.data.arrow_columns import array_type, column_of, is_list, plain_type
from dask_distill.data.table import Table, TablePart
from dask_distill.errors import IncompleteOutput
from dask_distill.storage.chunks import Layout, read_as_opened
from dask_distill.storage.location import Location
from dask_distill.storage.variables import NULL

# of the group's attribute: the Arrow schema of its columns
SCHEMA = "schema"
# of all columns of a part, as they are in memory
_PART_BYTES = 64 * 2**20


@dataclass(frozen=True)
class StoredArray:
    """An array of a group, and the digests of its chunks, by number."""

    name: str
    layout: Layout
    digests: Mapping[int, str]

    def read(self, location: Location, start: int, stop: int) -> Any:
        """Rows from ``start`` to ``stop``, as they were when the group was opened."""
        if not self.layout.count or start >= stop:
            return np.empty((max(0, stop - start), *self.layout.shape[1:]), self.layout.numpy_dtype)
        height = self.layout.chunks[0]
        parts = []
        for number in range(start // height, -(-stop // height)):
            digest = self.digests[number]
            values = read_as_opened(location, self.name, number, self.layout, digest)
            first = number * height
            parts.append(values[max(0, start - first) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def between(self, start: int, stop: int) -> "StoredArray":
        """With the digests of these rows alone."""
        height = self.layout.chunks[0]
        numbers = range(start // height, -(-stop // height)) if self.layout.count else ()
        return StoredArray(self.name, self.layout, {n: self.digests[n] for n in numbers})


@dataclass(frozen=True, eq=False)
class StoredRows(TablePart):
    """Rows of a table that lies in arrays.

    Attributes
    ----------
    location : Location
    whole : Arrow schema
    columns : dict of (StoredArray, StoredArray or None)
        Values and mask, by the column's name.
    first, count : int
        Which rows of the arrays.
    """

    location: Location
    whole: pa.Schema
    columns: Mapping[str, tuple[StoredArray, StoredArray | None]]
    first: int
    count: int

    @property
    def schema(self) -> pa.Schema:
        """As it was in the source."""
        return self.whole

    @property
    def rows(self) -> int:
        """How many."""
        return self.count

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> pa.Table:
        """Rows from ``start`` to ``stop``."""
        start = min(start, self.count)
        stop = max(start, self.count if stop is None else min(stop, self.count))
        ends = self.first + start, self.first + stop
        names = self.whole.names if columns is None else columns
        found = []
        for name in names:
            values, mask = self.columns[name]
            gone = None if mask is None else mask.read(self.location, *ends)
            kind = self.whole.field(name).type
            found.append(column_of(values.read(self.location, *ends), gone, kind))
        fields = [self.whole.field(name) for name in names]
        metadata = self.whole.metadata if columns is None else None
        return pa.Table.from_arrays(found, schema=pa.schema(fields, metadata=metadata))


def schema_text(schema: pa.Schema) -> str:
    """A schema as an attribute can have it."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def table_in(location: Location, content: Mapping[str, Any]) -> Table:
    """The table in a group that is whole.

    Parameters
    ----------
    location : Location
    content : mapping
        Our attribute of the group.

    Raises
    ------
    IncompleteOutput
        Where schema and arrays do not go together.
    """
    manifest = content["manifest"]
    place = location.resolved()
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(content[SCHEMA], validate=True)))
        names = content["names"]["table"]
        columns = {
            field.name: (_stored(name, manifest), _stored(NULL + name, manifest))
            for field, name in zip(schema, names, strict=True)
        }
        arrays = {name: values for name, (values, _) in columns.items() if values is not None}
        fit = arrays.keys() == columns.keys() and all(
            _fits(arrays[field.name], columns[field.name][1], field.type) for field in schema
        )
    except (KeyError, TypeError, ValueError, pa.ArrowException):
        fit = False
    if not fit:
        raise IncompleteOutput(
            f"target '{location.shown}' is damaged: its schema is not that of its arrays; verify it"
        )
    n = next(iter(arrays.values())).layout.shape[0]
    whole = {name: (values, columns[name][1]) for name, values in arrays.items()}
    step = _part_rows([values.layout for values in arrays.values()])
    parts = [
        _part(place, schema, whole, start, min(n, start + step)) for start in range(0, n, step)
    ]
    known = frozenset(name for name, (_, mask) in whole.items() if mask is None)
    rows = tuple(part.count for part in parts)
    return Table(schema, tuple(parts), rows, without_nulls=known)


def _stored(name: str, manifest: Mapping[str, Any]) -> StoredArray | None:
    if name not in manifest:
        return None
    layout = Layout.parse(name, manifest[name])
    digests = manifest[name]["digests"]
    return StoredArray(name, layout, {n: str(digests[str(n)]) for n in range(layout.count)})


def _fits(values: StoredArray, mask: StoredArray | None, kind: pa.DataType) -> bool:
    dtype, layout = array_type(kind), values.layout
    axes = 2 if is_list(plain_type(kind)) else 1
    same = layout.numpy_dtype == dtype and len(layout.shape) == axes
    if mask is None:
        return same
    rows = mask.layout.shape == layout.shape[:1]
    return same and rows and mask.layout.numpy_dtype == np.dtype(bool)


def _part_rows(layouts: Sequence[Layout]) -> int:
    """Rows of a part: whole chunks of the array with the smallest, where these fit."""
    row = sum(layout.row_bytes for layout in layouts)
    rows, least = _PART_BYTES // row, min(layout.chunks[0] for layout in layouts)
    return max(1, rows // least * least or rows)


def _part(
    place: Location,
    schema: pa.Schema,
    columns: Mapping[str, tuple[StoredArray, StoredArray | None]],
    start: int,
    stop: int,
) -> StoredRows:
    mine = {
        name: (
            values.between(start, stop),
            None if mask is None else mask.between(start, stop),
        )
        for name, (values, mask) in columns.items()
    }
    return StoredRows(place, schema, mine, start, stop - start)
