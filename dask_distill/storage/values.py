"""Digests and sizes of Arrow columns by their values, however these lie in memory.

Neither how a column is cut into chunks, nor offsets, nor what lies under a missing value, nor the
order of a dictionary changes them.
"""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_DIGEST_BYTES = 16


class ValueDigest:
    """Digest of rows that come one table after another; the same tables, the same digest.

    Attributes
    ----------
    nbytes : int
        Bytes of the values so far: of rows together as many as of each for itself.

    Examples
    --------
    >>> words = pa.table({"word": ["b", None, "a"]})
    >>> coded = words.set_column(0, "word", words["word"].dictionary_encode())
    >>> first, second = ValueDigest(), ValueDigest()
    >>> first.add(words), second.add(coded), first.hexdigest() == second.hexdigest()
    (26, 26, True)
    """

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.nbytes = 0

    def add(self, table: pa.Table) -> int:
        """Add rows, of all columns in their order; how many bytes these have."""
        before = self.nbytes
        self._digest.update(np.int64(table.num_rows).tobytes())
        for column in table.columns:
            if column.num_chunks == 1:
                self._add(column.chunk(0))
            else:
                self._add(_joined(column))
        return self.nbytes - before

    def hexdigest(self) -> str:
        """Hex digest of all rows so far."""
        return self._digest.hexdigest()

    def _count(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        self.nbytes += view.nbytes
        self._digest.update(view)

    def _add(self, array: pa.Array) -> None:
        array, types = _plain(array), pa.types
        kind = array.type
        if array.null_count:
            self._digest.update(b"\1")
            self._digest.update(np.packbits(np.asarray(array.is_valid())).tobytes())
        else:
            self._digest.update(b"\0")
        if types.is_null(kind):
            return
        if types.is_struct(kind):
            # each with what is missing of the whole
            for child in array.flatten():
                self._add(child)
        elif types.is_fixed_size_list(kind):
            self._add(array.drop_null().flatten())
        elif types.is_map(kind):
            self._pairs(array.drop_null())
        elif _is_list(kind):
            self._lengths(pc.list_value_length(array))
            self._add(array.flatten())
        elif types.is_boolean(kind):
            self._count(np.asarray(array.drop_null()).tobytes())
        elif types.is_large_binary(kind) or types.is_large_string(kind):
            self._lengths(pc.binary_length(array))
            self._texts(array.drop_null())
        else:
            self._numbers(array.drop_null())

    def _lengths(self, lengths: pa.Array) -> None:
        found = lengths.fill_null(0).to_numpy(zero_copy_only=False)
        self._count(np.ascontiguousarray(found, dtype=np.int64))

    def _pairs(self, array: pa.Array) -> None:
        ends = array.offsets
        self._lengths(pc.pairwise_diff(ends).drop_null())
        first, last = (ends[0].as_py(), ends[-1].as_py()) if len(array) else (0, 0)
        for values in (array.keys, array.items):
            self._add(values.slice(first, last - first))

    def _texts(self, array: pa.Array) -> None:
        if len(array) == 0:
            return
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
        if ends[-1] > ends[0]:
            self._count(data.slice(int(ends[0]), int(ends[-1] - ends[0])))

    def _numbers(self, array: pa.Array) -> None:
        if len(array) == 0:
            return
        width = array.type.bit_width // 8
        if width:
            values = array.buffers()[1]
            self._count(values.slice(array.offset * width, len(array) * width))


def type_name(kind: pa.DataType) -> str:
    """A type in words, but for the names that writers give to what lists and maps hold.

    Examples
    --------
    >>> type_name(pa.list_(pa.field("element", pa.int8())))
    'list<int8>'
    """
    types = pa.types
    if types.is_struct(kind):
        fields = (f"{field.name}: {type_name(field.type)}" for field in kind)
        return f"struct<{', '.join(fields)}>"
    if types.is_map(kind):
        return f"map<{type_name(kind.key_type)}, {type_name(kind.item_type)}>"
    if types.is_fixed_size_list(kind):
        return f"list<{type_name(kind.value_type)}>[{kind.list_size}]"
    if _is_list(kind):
        large = "large_" if types.is_large_list(kind) else ""
        return f"{large}list<{type_name(kind.value_type)}>"
    return str(kind)


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    views = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(types.is_list(kind) or types.is_large_list(kind) or views)


def _plain(array: pa.Array) -> pa.Array:
    """The values themselves: without a dictionary, without a type around theirs."""
    types = pa.types
    while True:
        kind = array.type
        if isinstance(kind, pa.BaseExtensionType):
            array = array.storage
        elif types.is_dictionary(kind):
            array = array.dictionary_decode()
        elif types.is_string(kind) or types.is_string_view(kind):
            array = array.cast(pa.large_string())
        elif types.is_binary(kind) or types.is_binary_view(kind):
            array = array.cast(pa.large_binary())
        else:
            return array


def _joined(column: pa.ChunkedArray) -> pa.Array:
    """One array of a column's chunks."""
    if column.num_chunks == 0:
        return pa.nulls(0, column.type) if len(column) == 0 else column.combine_chunks()
    return pa.concat_arrays(column.unify_dictionaries().chunks)
