"""Columns of an Arrow table by path: fields of structs are columns of their own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# structs in structs are opened so deep
_DEEPEST = 3
# days before 1970 that are still dates, whatever the unit
_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def paths(schema: Any) -> Iterator[tuple[str, Any]]:
    """Path and type of each column; of a struct, those of its fields.

    Examples
    --------
    >>> list(paths(pa.schema({"a": pa.int8(), "at": pa.struct({"x": pa.float32()})})))
    [('a', DataType(int8)), ('at.x', DataType(float))]
    """
    for field in schema:
        for path, kind in _paths(field.name, field.type, 0):
            # a column may be named as a field is reached
            if path == field.name or path not in schema.names:
                yield path, kind


def _paths(name: str, kind: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if not pa.types.is_struct(kind) or depth >= _DEEPEST or kind.num_fields == 0:
        yield name, kind
        return
    for field in kind:
        yield from _paths(f"{name}.{field.name}", field.type, depth + 1)


def source_of(path: str, schema: Any) -> str:
    """The column of the table in which a path lies; names may have dots."""
    names = [name for name in schema.names if path == name or path.startswith(f"{name}.")]
    return str(max(names, key=len))


def values_at(table: Any, path: str) -> Any:
    """The values at a path as one Arrow array; null where the struct around them is."""
    name = source_of(path, table.schema)
    column = table.column(name)
    values = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(values, pa.ChunkedArray):
        values = values.chunk(0) if values.num_chunks else pa.array([], values.type)
    rest = path[len(name) + 1 :]
    while pa.types.is_struct(values.type) and rest:
        names = [f.name for f in values.type if rest == f.name or rest.startswith(f"{f.name}.")]
        field = max(names, key=len)
        # unlike field(), this knows the nulls of the struct
        values = pc.struct_field(values, field)
        rest = rest[len(field) + 1 :]
    return plain(values)


def plain(values: Any) -> Any:
    """Without what only says how values are stored: extensions, views; categories stay."""
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    # Arrow counts and compares no views
    stored = {"string_view": pa.string, "binary_view": pa.binary}.get(str(values.type))
    return values if stored is None else values.cast(stored())


def plain_kind(kind: Any) -> Any:
    """The type of the values, where it is a dictionary's."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: Any) -> bool:
    """Whether values are text, however it is stored."""
    types = pa.types
    view = getattr(types, "is_string_view", lambda _: False)
    return types.is_string(kind) or types.is_large_string(kind) or bool(view(kind))


def is_number(kind: Any) -> bool:
    """Whether values are numbers, durations too."""
    types = pa.types
    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_duration)
    return any(test(kind) for test in tests)


def is_date(kind: Any) -> bool:
    """Whether values are days, times or times of a day."""
    return bool(pa.types.is_temporal(kind)) and not (
        pa.types.is_duration(kind) or pa.types.is_interval(kind)
    )


def is_vector(kind: Any) -> bool:
    """Whether values are lists of numbers."""
    types = pa.types
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return lists and (types.is_integer(kind.value_type) or types.is_floating(kind.value_type))


def undictionaried(values: Any) -> Any:
    """The values themselves, where they are stored as numbers of a dictionary."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def as_text(values: Any) -> Any:
    """Values as text: what categories are told apart by."""
    values = undictionaried(values)
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def as_numbers(values: Any) -> npt.NDArray[np.float64]:
    """Numbers as float64; NaN where they are missing, and where they are infinite."""
    values = undictionaried(values)
    kind = values.type
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif pa.types.is_duration(kind):
        return _ticks(values) / (_DAY[kind.unit] / 86_400)
    elif pa.types.is_decimal(kind):
        # straight to float64 rounds twice
        values = values.cast(pa.string())
    if not pa.types.is_float64(values.type):
        values = values.cast(pa.float64(), safe=False)
    found = values.to_numpy(zero_copy_only=False)
    if np.isinf(found).any():
        found = np.where(np.isinf(found), np.nan, found)
    return found


def as_days(values: Any) -> npt.NDArray[np.float64]:
    """Dates as days since 1970, times of a day as parts of one; NaN where they are missing."""
    values = undictionaried(values)
    if is_text(values.type):
        values = values.cast(pa.timestamp("us"))
    kind = values.type
    days = _ticks(values)
    if not pa.types.is_date32(kind):
        days /= _DAY["ms" if pa.types.is_date64(kind) else kind.unit]
    return days


def _ticks(values: Any) -> npt.NDArray[np.float64]:
    width = pa.int32() if values.type.bit_width == 32 else pa.int64()
    ticks = values.cast(width).cast(pa.int64())
    if values.null_count:
        ticks = ticks.fill_null(0)
    found = ticks.to_numpy(zero_copy_only=False).astype(np.float64)
    if values.null_count:
        found[values.is_null().to_numpy(zero_copy_only=False)] = np.nan
    return found


def as_vectors(values: Any, length: int) -> npt.NDArray[np.float32] | None:
    """Lists of numbers as (m, length); NaN in rows without one, None where lengths differ."""
    missing = values.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.unique(pc.drop_null(pc.list_value_length(values))).to_pylist()
    if any(found != length for found in lengths):
        return None
    out = np.full((len(values), length), np.nan, np.float32)
    inner = pc.list_flatten(values)
    if pa.types.is_fixed_size_list(values.type):
        # flattened, lists that are missing are left out as of other kinds
        inner = pc.list_flatten(values.filter(values.is_valid()))
    numbers = inner.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    numbers = numbers.reshape(-1, length)
    if np.isinf(numbers).any():
        numbers = np.where(np.isinf(numbers), np.nan, numbers)
    out[~missing] = numbers
    return out
