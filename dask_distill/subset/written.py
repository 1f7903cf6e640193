"""Which columns a subset has in parquet: those of its table, its arrays, and ours.

A subset of plain arrays has no table: its arrays become columns.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dask_distill.data.dataset import Dataset
from dask_distill.data.table import Table
from dask_distill.errors import InputError, InputWarning
from dask_distill.runtime.wire import Wire, joined
from dask_distill.storage.variables import (
    INDEX_COLUMN,
    SCORE_COLUMN,
    STRATUM,
    SUBSET_WEIGHT_COLUMN,
    WEIGHT_COLUMN,
    noted,
    own_columns,
)
from dask_distill.subset.columns import ArrayColumns, field_of
from dask_distill.subset.names import distinct
from dask_distill.subset.subset import Subset
from dask_distill.subset.tables import name_columns
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.profile import BOOLEAN, NUMBER, Profile

_PANDAS = b"pandas"


@dataclass(frozen=True, kw_only=True)
class Written:
    """What is written of a subset, and how.

    Attributes
    ----------
    schema : Arrow schema
    table : Table or None
        Of which columns are taken.
    taken : tuple of str
        These, by their names in the table.
    arrays : dict of (array, fields)
        Arrays that the table does not have, and their columns.
    names : dict
        Which columns hold which array, JSON-able.
    ours : dict of (k, ...) arrays
        Columns that are ours.
    """

    schema: Any
    table: Table | None
    taken: tuple[str, ...]
    arrays: dict[str, tuple[da.Array, list[Any]]]
    names: dict[str, Any]
    ours: dict[str, npt.NDArray[Any]]


def written(
    subset: Subset, columns: Sequence[str] | None = None, *, scores: bool = False
) -> Written:
    """Which columns a subset has in parquet; refuses what parquet does not have.

    Parameters
    ----------
    subset : Subset
    columns : sequence of str, optional
        Other names for the features of a subset of plain arrays.
    scores : bool
        Whether each row's scores are written.

    Raises
    ------
    InputError
    """
    ours: dict[str, npt.NDArray[Any]] = {
        INDEX_COLUMN: subset.indices,
        WEIGHT_COLUMN: subset.weights,
    }
    if subset.subset_weights is not None:
        ours[SUBSET_WEIGHT_COLUMN] = subset.subset_weights
    if scores:
        ours |= {f"{SCORE_COLUMN}{name}": values for name, values in subset.scores.items()}
    taken: tuple[str, ...] = ()
    fields: list[Any] = []
    metadata: Mapping[bytes, bytes] = {}
    if subset.table is None:
        arrays, names = _plain_arrays(subset, columns, tuple(ours))
    elif columns is not None:
        raise InputError(
            f"columns must be left out for rows of a table, which has names, got {len(columns)}"
        )
    else:
        taken = _foreign(subset.table.schema)
        arrays, names, fields = _beside_table(subset, subset.table.schema, taken, tuple(ours))
        metadata = _renamed_metadata(subset.table.schema.metadata or {}, names["renamed"])
    fields = [*fields, *(field for _, found in arrays.values() for field in found)]
    fields += [pa.field(name, _kind(values), nullable=False) for name, values in ours.items()]
    _refuse_fields(fields)
    # strata are made of the target: whoever opens the subset must not take them for features
    made = [] if names["labels"] is None else names["labels"]["columns"]
    strata = made if subset.label_name.endswith(STRATUM) and _is_no_class(subset) else []
    schema = pa.schema(fields, metadata={**metadata, **noted([*ours, *strata])})
    return Written(
        schema=schema, table=subset.table, taken=taken, arrays=arrays, names=names, ours=ours
    )


def attributes_of(
    subset: Subset, names: Mapping[str, Any], request: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a target of either form says of a subset."""
    found = {
        "provenance": subset.provenance,
        "certificate": None if subset.certificate is None else subset.certificate.as_dict(),
        "names": names,
    }
    return found if request is None else found | {"request": dict(request)}


def with_bytes_sent(attributes: dict[str, Any], wire: Wire) -> dict[str, Any]:
    """The attributes once rows are written: with what was sent for that."""
    wire.mark("write")
    told, sent = attributes["provenance"], wire.figures()
    if "bytes_on_the_wire" in told:
        sent = joined(told["bytes_on_the_wire"], sent)
    return {**attributes, "provenance": told | {"bytes_on_the_wire": sent}}


def _is_no_class(subset: Subset) -> bool:
    """Whether labels are of a target that is something else."""
    task = subset.provenance.get("parameters", {}).get("task", "classification")
    return bool(task != "classification")


def _kind(values: npt.NDArray[Any]) -> Any:
    kind = pa.from_numpy_dtype(values.dtype)
    return kind if values.ndim == 1 else pa.list_(kind, values.shape[1])


def _foreign(schema: Any) -> tuple[str, ...]:
    """Columns of a table but those that a subset before has added."""
    ours = own_columns(schema.metadata)
    return tuple(name for name in schema.names if name not in ours)


def _plain_arrays(
    subset: Subset, columns: Sequence[str] | None, ours: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """All arrays, each in columns of its own."""
    found = name_columns(subset, columns, ours)
    named = [("features", subset.feature_name, found.features, subset.features)]
    if subset.labels is not None:
        label = () if found.labels is None else (found.labels,)
        named.append(("labels", subset.label_name, label, subset.labels))
    named += [(f"carry {n}", n, found.carry[n], array) for n, array in subset.carry.items()]
    arrays = {
        what: (array, [field_of(column, array.dtype, what) for column in group])
        for what, _, group, array in named
    }
    told = [ArrayColumns.of(name, group, array) for _, name, group, array in named]
    return arrays, _told(told, subset)


def _told(told: Sequence[ArrayColumns], subset: Subset) -> dict[str, Any]:
    features, *rest = (one.as_dict() for one in told)
    labels = rest.pop(0) if subset.labels is not None else None
    names = {"features": features, "labels": labels, "carry": rest}
    return names | {"without_nulls": sorted(subset.without_nulls), "renamed": {}}


def _beside_table(
    subset: Subset, schema: Any, taken: tuple[str, ...], ours: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    """Arrays that are no columns of the table, which array is where, and the table's fields."""
    wanted = list(_arrays_of(subset))
    # features of a table are made of its columns, whether or not all of these are written
    made = {"features"} if subset.provenance.get("input", {}).get("profile") else set()
    beside = [each for each in wanted if each[0] not in made and not set(each[2]) <= set(taken)]
    more = [column for _, _, group, _ in beside for column in group if column not in taken]
    names = distinct([*taken, *more], ours, plain=False)
    new = dict(zip((*taken, *more), names, strict=True))
    for old in taken:
        if new[old] != old:
            warnings.warn(
                f"{old!r} is written as {new[old]!r}: the output has another column of that name",
                InputWarning,
                stacklevel=6,
            )
    fields = [schema.field(name).with_name(new[name]) for name in taken]
    arrays, told = {}, []
    for what, name, group, array in wanted:
        told.append(ArrayColumns.of(name, [new.get(column, column) for column in group], array))
        if any(what == each[0] for each in beside):
            found = [field_of(new[column], array.dtype, what) for column in group]
            arrays[what] = (array, found)
    renamed = {old: name for old, name in new.items() if old in taken and name != old}
    return arrays, _told(told, subset) | {"renamed": renamed}, fields


def _renamed_metadata(
    metadata: Mapping[bytes, bytes], renamed: Mapping[str, str]
) -> dict[bytes, bytes]:
    """What pandas knows of columns, by their names in the output: it makes their types of it."""
    found = dict(metadata)
    if not renamed or _PANDAS not in found:
        return found
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        told = json.loads(found[_PANDAS])
        for column in told["columns"]:
            for key in ("name", "field_name"):
                column[key] = renamed.get(column.get(key), column.get(key))
        told["index_columns"] = [
            renamed.get(name, name) if isinstance(name, str) else name
            for name in told["index_columns"]
        ]
        found[_PANDAS] = json.dumps(told).encode()
    return found


def _arrays_of(subset: Subset) -> Iterator[tuple[str, str, tuple[str, ...], da.Array]]:
    """Each array of a subset of a table: what it is, its name, its columns, and itself."""
    yield "features", subset.feature_name, _feature_columns(subset), subset.features
    if subset.labels is not None:
        columns = _columns_of(subset.label_name, subset.labels)
        yield "labels", subset.label_name, columns, subset.labels
    for name, array in subset.carry.items():
        columns = _columns_of(name, array)
        labels = [entry["label"] for entry in subset.provenance.get("labels") or ()]
        if array.ndim == 2 and array.shape[1] == len(labels):
            # of several labels a row, each is a column
            columns = tuple(map(str, labels))
        yield f"carry {name}", name, columns, array


def _feature_columns(subset: Subset) -> tuple[str, ...]:
    """Columns of the features; none where they are how the whole table is read."""
    told, width = subset.provenance.get("input", {}), subset.features.shape[1:]
    d = int(np.prod(width, dtype=np.int64))
    if not told.get("profile"):
        known = told.get("columns") or ()
        return tuple(known) if len(known) == d else _numbered(subset.feature_name, d)
    profile = Profile.parse(told["profile"])
    used = profile.features
    plain = all(c.kind in (NUMBER, BOOLEAN) and not c.encoding["mark"] for c in used)
    if plain and len(used) == d and subset.features.dtype != Encoding(profile).dtype:
        return tuple(column.name for column in used)
    return ()


def _columns_of(name: str, array: da.Array) -> tuple[str, ...]:
    width = int(np.prod(array.shape[1:], dtype=np.int64))
    return (name,) if array.ndim == 1 else _numbered(name, width)


def _numbered(name: str, width: int) -> tuple[str, ...]:
    return tuple(f"{name}_{number}" for number in range(width))


def refuse_unwritable(dataset: Dataset) -> None:
    """Refuse a data set of which parquet does not have the type of a column, before work starts.

    Raises
    ------
    InputError
    """
    table, arrays = dataset.table, {}
    if table is None:
        arrays["features"] = dataset.features
    if dataset.labels is not None:
        arrays["labels"] = dataset.labels
    arrays |= {f"carry {name}": array for name, array in dataset.carry.items()}
    for what, array in arrays.items():
        field_of("", array.dtype, what)
    if table is not None:
        _refuse_fields([table.schema.field(name) for name in _foreign(table.schema)])


def _refuse_fields(fields: Sequence[Any]) -> None:
    for field in fields:
        try:
            pq.write_table(pa.schema([field]).empty_table(), pa.BufferOutputStream())
        except pa.ArrowException as error:
            words = " ".join(str(error).split())[:200]
            raise InputError(
                f"column {field.name!r} must be of a type that parquet has, got {field.type} "
                f"({words}); convert it, or leave it out"
            ) from None
