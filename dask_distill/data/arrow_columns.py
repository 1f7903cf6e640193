"""Columns of Arrow tables as arrays of NumPy's, and back: the same values and types.

An array has no place for a missing value, so that a column is its values beside a mask of those
that are missing. Knows types and values, and neither files nor Dask.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_PARQUET = (
    "write parquet, a target that ends in .parquet, or restrict what is written with columns= / "
    "--columns"
)
# bytes of a value of text, where nothing tells more
_TEXT_BYTES = 64


def array_type(kind: "pa.DataType") -> np.dtype[Any] | None:
    """NumPy type of a column's values, of a list's numbers; None where no array holds them.

    Text and decimals, which are written as text, are objects; dictionaries are as their values.

    Examples
    --------
    >>> import pyarrow as pa
    >>> array_type(pa.timestamp("us", "UTC")), array_type(pa.list_(pa.float32()))
    (dtype('<M8[us]'), dtype('float32'))
    """
    import pyarrow as pa

    kind, types = plain_type(kind), pa.types
    if is_list(kind):
        inner = plain_type(kind.value_type)
        numbers = types.is_integer(inner) or types.is_floating(inner) or types.is_boolean(inner)
        return array_type(inner) if numbers else None
    if is_text(kind) or types.is_decimal(kind):
        return np.dtype(object)
    if types.is_boolean(kind) or types.is_null(kind):
        return np.dtype(bool)
    if types.is_integer(kind) or types.is_floating(kind):
        return np.dtype(kind.to_pandas_dtype())
    if types.is_date(kind):
        return np.dtype("M8[D]" if types.is_date32(kind) else "M8[ms]")
    if types.is_timestamp(kind):
        return np.dtype(f"M8[{kind.unit}]")
    if types.is_duration(kind) or types.is_time(kind):
        return np.dtype(f"m8[{kind.unit}]")
    return None


def plain_type(kind: "pa.DataType") -> "pa.DataType":
    """What values are: of an extension its storage, of a dictionary its values."""
    import pyarrow as pa

    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def is_text(kind: "pa.DataType") -> bool:
    """Whether values are text, of any of Arrow's types for it."""
    import pyarrow as pa

    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_list(kind: "pa.DataType") -> bool:
    """Whether values are lists, of a fixed length or not."""
    import pyarrow as pa

    types = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def refuse_unfit(schema: "pa.Schema") -> None:
    """Refuse columns that no array can hold: structs, maps, lists but of numbers, and bytes.

    Raises
    ------
    InputError
    """
    names = schema.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"columns must have different names to be arrays, got {twice!r} twice; rename one"
        )
    odd = [f"{field.name} ({field.type})" for field in schema if array_type(field.type) is None]
    if odd:
        listed = ", ".join(odd[:10]) + (", …" if len(odd) > 10 else "")
        raise InputError(
            "columns must hold numbers, booleans, text, dates or lists of as many numbers to be "
            f"zarr arrays, got {listed}; {_PARQUET}"
        )


def row_bytes(kind: "pa.DataType", width: int | None) -> int:
    """Bytes of a value in memory, about."""
    dtype = array_type(kind)
    itemsize = _TEXT_BYTES if dtype is None or dtype.kind == "O" else dtype.itemsize
    return itemsize * (1 if width is None else max(1, width))


# ---------------------------------------------------------------- from Arrow


def list_width(column: "pa.ChunkedArray", name: str) -> int | None:
    """How many numbers each list has; None where none tells.

    Raises
    ------
    InputError
        Where they differ, or a number in one is missing.
    """
    import pyarrow.compute as pc

    sizes = set(pc.unique(pc.list_value_length(plain_column(column))).to_pylist()) - {None}
    if len(sizes) > 1:
        found = f"{min(sizes)} and {max(sizes)}"
        raise InputError(
            f"column {name!r} must have as many numbers in every list to be a zarr array, got "
            f"{found}; {_PARQUET}"
        )
    if any(_numbers_in(chunk).null_count for chunk in plain_column(column).chunks):
        raise _hole(name)
    return int(sizes.pop()) if sizes else None


def values_of(column: "pa.ChunkedArray", name: str, width: int | None = None) -> Array:
    """(m,) or (m, width) values; where one is missing 0, NaN, NaT, False or an empty text.

    Parameters
    ----------
    column : Arrow column of m rows
    name : str
        For errors.
    width : int, optional
        Of lists, how many numbers each has.

    Raises
    ------
    InputError
        Where a list has more or fewer, or a number in one is missing.

    Examples
    --------
    >>> import pyarrow as pa
    >>> values_of(pa.chunked_array([[1, None, 3]]), "a"), values_of(pa.chunked_array([["a"]]), "b")
    (array([1, 0, 3]), array(['a'], dtype=object))
    """
    dtype = array_type(column.type)
    assert dtype is not None, "refused before"
    chunks = [_chunk_values(chunk, dtype, name, width) for chunk in plain_column(column).chunks]
    if not chunks:
        return np.empty((0,) if width is None else (0, width), dtype)
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def mask_of(column: "pa.ChunkedArray") -> Mask:
    """(m,) whether a value is missing, in a dictionary, too."""
    found = plain_column(column).is_null().to_numpy()
    return np.asarray(found, dtype=np.bool_)


def plain_column(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """The values of a column: those that a dictionary or an extension stands for."""
    import pyarrow as pa

    while True:
        kind = column.type
        if isinstance(kind, pa.BaseExtensionType):
            column = pa.chunked_array([c.storage for c in column.chunks], kind.storage_type)
        elif pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        else:
            return column


def _chunk_values(chunk: "pa.Array", dtype: np.dtype[Any], name: str, width: int | None) -> Array:
    import pyarrow as pa

    kind = chunk.type
    if is_list(kind):
        return _rows_of_lists(chunk, dtype, name, width or 0)
    if pa.types.is_null(kind):
        return np.zeros(len(chunk), bool)
    if pa.types.is_boolean(kind):
        return np.asarray(chunk.fill_null(False).to_numpy(zero_copy_only=False))
    if dtype.kind == "O":
        text = chunk.cast(pa.large_string())
        return np.asarray(text.fill_null("").to_numpy(zero_copy_only=False), dtype=object)
    # by their bits, which Arrow fills in and NumPy takes as they are
    bits = pa.int64() if dtype.itemsize == 8 else getattr(pa, f"int{8 * dtype.itemsize}")()
    if kind.bit_width < 8 * dtype.itemsize:
        # days and times of a day that are narrower in Arrow
        chunk = chunk.view(pa.int32()).cast(bits)
    plain = chunk.view(bits)
    if plain.null_count:
        fill = np.array("NaT" if dtype.kind in "mM" else np.nan if dtype.kind == "f" else 0, dtype)
        plain = plain.fill_null(int(fill.view(f"i{dtype.itemsize}")))
    return np.asarray(plain.to_numpy(zero_copy_only=False)).view(dtype)


def _rows_of_lists(chunk: "pa.Array", dtype: np.dtype[Any], name: str, width: int) -> Array:
    import pyarrow as pa

    there = ~mask_of(pa.chunked_array([chunk]))
    numbers = _numbers_in(chunk)
    found = list_width(pa.chunked_array([chunk]), name)
    if found not in (None, width):
        raise InputError(
            f"column {name!r} must have as many numbers in every list to be a zarr array, got "
            f"{found} and {width}; {_PARQUET}"
        )
    rows = np.full((len(chunk), width), np.nan if dtype.kind == "f" else 0, dtype)
    inner = plain_column(pa.chunked_array([numbers]))
    rows[there] = values_of(inner, name).reshape(int(there.sum()), width)
    return rows


def _numbers_in(chunk: "pa.Array") -> "pa.Array":
    """Of the lists that are there, one after another."""
    return chunk.flatten()


def _hole(name: str) -> InputError:
    return InputError(
        f"column {name!r} must have no missing number in a list to be a zarr array, got some; "
        f"{_PARQUET}"
    )


# ---------------------------------------------------------------- and back


def column_of(values: Array, mask: Mask | None, kind: "pa.DataType") -> "pa.ChunkedArray":
    """A column of a type, from its values and where one is missing.

    Parameters
    ----------
    values : (m,) or (m, width) array
        As from `values_of`.
    mask : (m,) bool array or None
        None where none is missing.
    kind : Arrow type

    Examples
    --------
    >>> import pyarrow as pa
    >>> column_of(np.array([1, 0]), np.array([False, True]), pa.int64()).to_pylist()
    [1, None]
    """
    import pyarrow as pa

    if mask is not None and not mask.any():
        mask = None
    if isinstance(kind, pa.BaseExtensionType):
        stored = column_of(values, mask, kind.storage_type)
        return pa.chunked_array([kind.wrap_array(c) for c in stored.chunks], kind)
    if pa.types.is_dictionary(kind):
        chunks = _as_dictionaries(column_of(values, mask, kind.value_type).combine_chunks(), kind)
        return pa.chunked_array(chunks, kind)
    made = _plain_array(values, mask, kind)
    return made if isinstance(made, pa.ChunkedArray) else pa.chunked_array([made], kind)


def _plain_array(values: Array, mask: Mask | None, kind: "pa.DataType") -> Any:
    import pyarrow as pa

    types = pa.types
    if types.is_null(kind):
        return pa.nulls(len(values))
    if is_list(kind):
        return _as_lists(values, mask, kind)
    if types.is_decimal(kind):
        return pa.array(values, pa.string(), mask=mask).cast(kind)
    if is_text(kind):
        return pa.array(values, kind, mask=mask)
    if types.is_boolean(kind):
        return pa.array(values, mask=mask)
    bits = np.ascontiguousarray(values).view(f"i{values.dtype.itemsize}")
    if kind.bit_width < 8 * values.dtype.itemsize:
        # where a value is missing, NaT would not fit
        bits = (bits if mask is None else np.where(mask, 0, bits)).astype(np.int32)
    return pa.array(bits, mask=mask).view(kind)


def _as_lists(values: Array, mask: Mask | None, kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    count, width = values.shape
    if width == 0:
        # Arrow divides by it
        missing = np.zeros(count, bool) if mask is None else mask
        return pa.array([None if one else [] for one in missing.tolist()], kind)
    gone = None if mask is None else pa.array(mask)
    numbers = column_of(values.reshape(-1), None, kind.value_type).combine_chunks()
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(numbers, type=kind, mask=gone)
    large = pa.types.is_large_list(kind)
    starts = pa.array(np.arange(count + 1) * width, pa.int64() if large else pa.int32())
    form = pa.LargeListArray if large else pa.ListArray
    return form.from_arrays(starts, numbers, type=kind, mask=gone)


def _as_dictionaries(column: Any, kind: "pa.DataType") -> list[Any]:
    """Values as a dictionary's; as two, where there are more of them than its numbers count."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    encoded = column.dictionary_encode()
    dtype = np.dtype(kind.index_type.to_pandas_dtype())
    if len(encoded.dictionary) - 1 > np.iinfo(dtype).max:
        half = len(column) // 2
        return _as_dictionaries(column[:half], kind) + _as_dictionaries(column[half:], kind)
    numbers = encoded.indices.cast(kind.index_type)
    return [pa.DictionaryArray.from_arrays(numbers, encoded.dictionary, ordered=kind.ordered)]
