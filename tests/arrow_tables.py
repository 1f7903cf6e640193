"""Arrow tables of any columns that a group of arrays can hold, as hypothesis makes them."""

from decimal import Decimal

import pyarrow as pa
from hypothesis import strategies as st

from dask_distill.data.table import MemoryPart, Table

LARGEST = {8: 2**7, 16: 2**15, 32: 2**31, 64: 2**63}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


def whole(kind):
    bits = kind.bit_width
    if str(kind).startswith("u"):
        return st.integers(0, 2**bits - 1)
    return st.integers(-LARGEST[bits], LARGEST[bits] - 1)


def decimals(precision, scale):
    digits = st.integers(-(10**precision) + 1, 10**precision - 1)
    return digits.map(lambda n: Decimal(n).scaleb(-scale))


INTEGERS = [
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64()),
    *(pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()),
]
UNITS = ("s", "ms", "us", "ns")
TICKS = st.integers(-(2**63), 2**63 - 1)
# what values of each type are made of
VALUES = {
    **{kind: whole(kind) for kind in INTEGERS},
    pa.float16(): st.floats(width=16),
    pa.float32(): st.floats(width=32),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.string(): TEXT,
    pa.large_string(): TEXT,
    pa.string_view(): TEXT,
    pa.null(): st.none(),
    pa.decimal128(9, 2): decimals(9, 2),
    pa.decimal128(38, 10): decimals(20, 10),
    pa.decimal128(12, -3): st.integers(-(10**9), 10**9).map(lambda n: Decimal(n).scaleb(3)),
    pa.decimal256(60, 5): decimals(20, 5),
    pa.date32(): st.integers(-(2**31), 2**31 - 1),
    pa.date64(): st.integers(-(10**5), 10**5).map(lambda day: day * 86_400_000),
    pa.time32("s"): st.integers(0, 86_399),
    pa.time32("ms"): st.integers(0, 86_399_999),
    pa.time64("us"): st.integers(0, 86_399_999_999),
    pa.time64("ns"): st.integers(0, 86_399_999_999_999),
    **{pa.duration(unit): TICKS for unit in UNITS},
    **{pa.timestamp(unit): TICKS for unit in UNITS},
    **{pa.timestamp(unit, "Europe/Berlin"): TICKS for unit in UNITS},
}
NUMBERS = [*INTEGERS, pa.float16(), pa.float32(), pa.float64(), pa.bool_()]


@st.composite
def arrays(draw, rows):
    """An array of some type, with nulls or without."""
    form = draw(st.sampled_from(["plain", "plain", "dictionary", "list", "extension"]))
    if form == "list":
        inner = draw(st.sampled_from(NUMBERS))
        width = draw(st.integers(0, 3))
        kind = draw(
            st.sampled_from([pa.list_(inner), pa.large_list(inner), pa.list_(inner, width)])
        )
        values = st.lists(VALUES[inner], min_size=width, max_size=width)
    elif form == "extension":
        kind, values = draw(
            st.sampled_from([(pa.json_(), TEXT), (pa.bool8(), st.integers(-128, 127))])
        )
    else:
        kind = draw(st.sampled_from(list(VALUES)))
        values = VALUES[kind]
    missing = draw(st.booleans())
    made = draw(st.lists(st.none() | values if missing else values, min_size=rows, max_size=rows))
    if form == "extension":
        return kind.wrap_array(pa.array(made, kind.storage_type))
    array = pa.array(made, kind)
    simple = not pa.types.is_null(kind) and "view" not in str(kind)
    return array.dictionary_encode() if form == "dictionary" and simple else array


@st.composite
def tables(draw, rows, columns=4):
    """A table in memory, with metadata and fields that may be missing or not."""
    found = [draw(arrays(rows)) for _ in range(draw(st.integers(1, columns)))]
    fields = []
    for number, array in enumerate(found):
        empty = not array.null_count and not pa.types.is_null(array.type)
        nullable = not empty or draw(st.booleans())
        fields.append(pa.field(f"c{number}", array.type, nullable, metadata={"unit": "m"}))
    return pa.table(found, schema=pa.schema(fields, metadata={"made": "here"}))


def in_parts(table, size, *, known=False):
    """The same rows in parts of so many."""
    parts = [MemoryPart(table[start : start + size]) for start in range(0, len(table), size)]
    named = zip(table.column_names, table.columns, strict=True)
    whole = frozenset(name for name, column in named if known and not column.null_count)
    return Table(
        table.schema, tuple(parts), tuple(part.rows for part in parts), without_nulls=whole
    )


def read_all(table):
    """The rows of a `Table`, here."""
    parts = [part.compute() if hasattr(part, "compute") else part for part in table.parts]
    found = pa.concat_tables([part.read(table.schema.names) for part in parts])
    return pa.Table.from_arrays(found.columns, schema=table.schema)


def same(one, other):
    """Whether two columns have the same values, NaN as NaN and null as null, bit for bit."""
    if one.type != other.type or len(one) != len(other):
        return False
    return all(map(_alike, plain(one), plain(other)))


def plain(column):
    """Values as Python has them; times as numbers, since Python's end before Arrow's do."""
    while True:
        kind = column.type
        if isinstance(kind, pa.BaseExtensionType):
            column = pa.chunked_array([c.storage for c in column.chunks], kind.storage_type)
        elif pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
        elif pa.types.is_temporal(kind):
            bits = pa.int32() if kind.bit_width == 32 else pa.int64()
            column = pa.chunked_array([c.view(bits) for c in column.chunks], bits)
        else:
            return column.to_pylist()


def _alike(one, other):
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if one is None or other is None:
        return one is other
    return type(one) is type(other) and (one == other or (one != one and other != other))
