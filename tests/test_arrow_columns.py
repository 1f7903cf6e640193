"""Columns of Arrow tables as arrays, and back: the same values, types and nulls."""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill import InputError
from dask_distill.data.arrow_columns import (
    array_type,
    column_of,
    is_list,
    list_width,
    mask_of,
    plain_type,
    refuse_unfit,
    values_of,
)

sys.path.insert(0, str(Path(__file__).parent))
from arrow_tables import VALUES, arrays, plain, same


def through(column):
    """A column as arrays, and as a column again."""
    kind = plain_type(column.type)
    width = None
    if is_list(kind):
        width = getattr(kind, "list_size", None)
        width = list_width(column, "c") or 0 if width is None else width
    values, mask = values_of(column, "c", width), mask_of(column)
    assert values.dtype == array_type(column.type)
    assert values.shape == (len(column), *([] if width is None else [width]))
    assert mask.sum() == sum(value is None for value in plain(column))
    made = column_of(values, mask, column.type)
    made.validate(full=True)
    return made


@settings(max_examples=300)
@given(st.integers(0, 6).flatmap(arrays), st.integers(0, 3), st.integers(1, 3))
def test_column_of__gives_what_values_and_mask_were_taken_of(array, start, size):
    chunks = [array[at : at + size] for at in range(start, len(array), size)]
    column = pa.chunked_array(chunks, array.type)
    assert same(through(column), column)


@pytest.mark.parametrize("kind", list(VALUES), ids=str)
def test_column_of__of_no_rows_and_of_nulls_alone(kind):
    for column in (pa.chunked_array([], kind), pa.chunked_array([pa.nulls(3, kind)])):
        assert same(through(column), column)


def test_values_of__times_and_numbers_are_as_numpy_has_them():
    times = pa.chunked_array([pa.array([0, None], pa.timestamp("us", "Asia/Tokyo"))])
    assert values_of(times, "c").tolist()[0] == np.datetime64("1970-01-01", "us").item()
    assert np.isnat(values_of(times, "c")[1])
    numbers = values_of(pa.chunked_array([pa.array([1.5, None, float("nan")])]), "c")
    assert numbers.tolist()[0] == 1.5
    assert np.isnan(numbers[1:]).all()
    flags = values_of(pa.chunked_array([pa.array([True, None])]), "c")
    assert flags.dtype == bool
    assert flags.tolist() == [True, False]


def test_column_of__more_values_than_a_dictionary_counts_become_two():
    kind = pa.dictionary(pa.int8(), pa.string())
    words = np.array([f"w{n}" for n in range(200)], object)
    made = column_of(words, None, kind)
    assert made.type == kind
    assert made.num_chunks == 2
    assert made.cast(pa.string()).to_pylist() == words.tolist()


LISTS = {
    "of two lengths": (pa.array([[1, 2], [3]]), r"as many numbers in every list .* got 1 and 2;"),
    "with a hole": (pa.array([[1, None]]), r"no missing number in a list .* got some;"),
    "fixed, with a hole": (pa.array([[1, None]], pa.list_(pa.int8(), 2)), r"no missing number"),
}


@pytest.mark.parametrize("case", LISTS)
def test_list_width__refuses_what_is_no_array(case):
    array, sentence = LISTS[case]
    column = pa.chunked_array([array])
    with pytest.raises(InputError, match=f"column 'c' must have {sentence}"):
        list_width(column, "c")
    with pytest.raises(InputError, match=f"column 'c' must have {sentence}"):
        values_of(column, "c", 2)


def test_values_of__refuses_lists_of_another_length_than_those_before():
    with pytest.raises(InputError, match=r"as many numbers in every list .* got 3 and 2;"):
        values_of(pa.chunked_array([[[1, 2, 3]]]), "c", 2)


UNFIT = {
    "struct": pa.struct({"a": pa.int8()}),
    "map": pa.map_(pa.string(), pa.int8()),
    "list of text": pa.list_(pa.string()),
    "list of lists": pa.list_(pa.list_(pa.int8())),
    "bytes": pa.binary(),
    "bytes of one length": pa.binary(16),
    "uuid": pa.uuid(),
    "union": pa.dense_union([pa.field("a", pa.int8())]),
    "interval": pa.month_day_nano_interval(),
    "dictionary of bytes": pa.dictionary(pa.int8(), pa.binary()),
}


@pytest.mark.parametrize("case", UNFIT)
def test_refuse_unfit__names_column_and_type_and_the_ways_out(case):
    schema = pa.schema({"good": pa.int8(), "odd": UNFIT[case]})
    with pytest.raises(InputError) as error:
        refuse_unfit(schema)
    told = str(error.value)
    assert f"got odd ({UNFIT[case]})" in told
    assert "ends in .parquet" in told
    assert "--columns" in told
    assert "good" not in told


def test_refuse_unfit__two_columns_of_one_name():
    schema = pa.schema([pa.field("a", pa.int8()), pa.field("a", pa.int8())])
    with pytest.raises(InputError, match="different names to be arrays, got 'a' twice"):
        refuse_unfit(schema)
