"""A subset that was written as a folder of parquet files, opened: rows stay where they lie."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dask_distill.data.table import Table
from dask_distill.errors import IncompleteOutput
from dask_distill.sources.arrow_groups import RowGroup
from dask_distill.sources.footers import open_file
from dask_distill.sources.reader import open_filesystem
from dask_distill.storage import folder
from dask_distill.storage.location import Location
from dask_distill.storage.parts import digest_of
from dask_distill.storage.targets import refuse_scores
from dask_distill.storage.variables import (
    INDEX_COLUMN,
    LABELS,
    METADATA,
    SCORE_COLUMN,
    SUBSET_WEIGHT_COLUMN,
    WEIGHT_COLUMN,
    own_columns,
    scores_among,
)
from dask_distill.subset.columns import ArrayColumns
from dask_distill.subset.features import not_there, numbers_of, unwritten
from dask_distill.subset.subset import Certificate, Subset
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.lazy import encoded
from dask_distill.tables.profile import ColumnProfile, Profile

_SCHEMA = b"ARROW:schema"


@dataclass(frozen=True, eq=False, kw_only=True)
class WrittenGroup(RowGroup):
    """A row group of a file that we have written, which must be the one that was committed.

    Attributes
    ----------
    entry : dict
        Of the manifest.
    """

    entry: Mapping[str, Any]

    def _batches(self, names: Sequence[str], stop: int) -> Iterator[tuple[int, Any]]:
        with self.location.guard(f"'{self.path}' must be readable"):
            self._refuse_another()
        yield from super()._batches(names, stop)

    def _refuse_another(self) -> None:
        """Each page has its checksum; that it is a page of this file, the footer says."""
        system, _ = open_filesystem(self.location)
        size, length = self.entry["file_bytes"], self.entry["footer_bytes"]
        found = system.cat_file(self.path, start=size - length, end=size)
        if digest_of(found) != self.entry["footer_digest"]:
            raise IncompleteOutput(
                f"'{self.path}' is not what it was when the subset was opened: another has taken "
                "its place, or it is damaged; open it again, and verify it"
            )


def open_folder(location: Location) -> Subset:
    """The subset, of which features, labels and all columns stay on disk until computed."""
    content = folder.read(location)
    refuse_scores(location, content)
    place = location.resolved()
    names, told = content["names"], content["provenance"]
    whole = all_columns(place, content)
    schema = whole.schema
    ours = own_columns(schema.metadata)
    metadata = {key: value for key, value in (schema.metadata or {}).items() if key != METADATA}
    table = _table(place, content["manifest"], _without(schema, ours, metadata))
    small = _small(whole, schema, ours)
    features = ArrayColumns.parse(names["features"])
    labels = None if names["labels"] is None else ArrayColumns.parse(names["labels"])
    carry = [ArrayColumns.parse(one) for one in names["carry"]]
    certificate = content.get("certificate")
    return Subset(
        indices=small[INDEX_COLUMN],
        weights=small[WEIGHT_COLUMN],
        scores=scores_among(small, SCORE_COLUMN),
        certificate=None if certificate is None else Certificate(**certificate),
        provenance=told,
        features=_features(features, table, told, names["renamed"]),
        # strata of a target are no column of the table, and are among ours
        labels=None if labels is None else labels.read(whole),
        carry={one.name: one.read(table) for one in carry},
        feature_name=features.name,
        label_name=LABELS if labels is None else labels.name,
        without_nulls=frozenset(names["without_nulls"]),
        subset_weights=small.get(SUBSET_WEIGHT_COLUMN),
        table=table,
    )


def all_columns(place: Location, content: Mapping[str, Any]) -> Table:
    """All columns of a folder that we have written, ours too; they stay on disk."""
    return _table(place, content["manifest"], _schema(place, next(iter(content["manifest"]))))


def _features(
    features: ArrayColumns, table: Table, told: Mapping[str, Any], renamed: Mapping[str, str]
) -> da.Array:
    """Plain columns, or the whole table as its profile reads it."""
    stored = told.get("input", {}).get("profile")
    if not stored:
        return features.read(table)
    profile = Profile.parse(stored)
    filled = told.get("parameters", {}).get("on_invalid") == "fill"
    if features.columns:
        gone = unwritten(table, features.columns)
        if gone:
            width = int(np.prod(features.shape, dtype=np.int64))
            return not_there(table, gone, width, features.numpy_dtype)
        if not set(features.columns) <= set(table.schema.names):
            fields = zip(features.columns, profile.features, strict=True)
            known = {name: column.encoding["fill"] if filled else np.nan for name, column in fields}
            return numbers_of(table, known, features.numpy_dtype)
        fill = tuple(float(column.encoding["fill"]) for column in profile.features)
        whole = features.numpy_dtype.kind != "f"
        return features.read(table, fill if filled and not whole else None)
    columns = tuple(_renamed(column, renamed) for column in profile.columns)
    profile = replace(profile, columns=columns)
    gone = unwritten(table, [column.name for column in profile.features])
    if gone:
        encoding = Encoding(profile if filled else profile.unfilled())
        return not_there(table, gone, encoding.width, encoding.dtype)
    return encoded(table, profile if filled else profile.unfilled())


def _renamed(column: ColumnProfile, renamed: Mapping[str, str]) -> ColumnProfile:
    """A column by its name in the output; of a struct, all of its fields."""
    for old, new in renamed.items():
        if column.name == old or column.name.startswith(f"{old}."):
            return replace(column, name=new + column.name.removeprefix(old))
    return column


def _schema(place: Location, name: str) -> Any:
    """Types as they were when the file was written: not all of them are parquet's."""
    path = _path(place, name)
    with place.guard(f"'{path}' must be readable"), open_file(place, path) as file:
        metadata = pq.read_metadata(file).metadata or {}
        stored = base64.b64decode(metadata[_SCHEMA])
        return pa.ipc.read_schema(pa.py_buffer(stored))


def _without(schema: Any, ours: frozenset[str], metadata: dict[bytes, bytes]) -> Any:
    fields = [field for field in schema if field.name not in ours]
    return pa.schema(fields, metadata=metadata or None)


def _path(place: Location, name: str) -> str:
    path = open_filesystem(place)[1]
    return f"{path.rstrip('/')}/{name}"


def _table(place: Location, manifest: Mapping[str, Any], schema: Any) -> Table:
    parts = tuple(
        WrittenGroup(
            location=place,
            path=_path(place, name),
            group=number,
            count=rows,
            partition=(),
            whole=schema,
            entry=entry,
        )
        for name, entry in manifest.items()
        for number, rows in enumerate(entry["row_groups"])
    )
    return Table(schema, parts, tuple(part.rows for part in parts))


def _small(whole: Table, schema: Any, ours: frozenset[str]) -> dict[str, Any]:
    """Columns of ours, which are in memory."""
    found = {}
    for name in (name for name in schema.names if name in ours):
        kind = schema.field(name).type
        shape = (kind.list_size,) if pa.types.is_fixed_size_list(kind) else ()
        plain = kind.value_type if shape else kind
        dtype = np.dtype(plain.to_pandas_dtype())
        found[name] = ArrayColumns(name, (name,), dtype.str, shape).read(whole)
    values = dask.compute(*found.values())
    return dict(zip(found, values, strict=True))
