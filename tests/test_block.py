"""Blocks: cut from n and d alone; features and labels in one form whatever the source gave."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.data.blocks import as_features, block_bounds, block_rows, tile_rows
from dask_distill.data.labels import as_labels, missing_labels
from dask_distill.errors import InputError

rows = st.integers(1, 10**12)
features = st.integers(1, 10**8)


@settings(deadline=None)
@given(rows, features)
def test_block_rows__are_whole_tiles_or_thousands_and_few_blocks(n, d):
    size = block_rows(n, d)
    assert size % min(1024, tile_rows(d)) == 0
    assert -(-n // size) <= 4096


@settings(deadline=None)
@given(st.integers(1, 10**9), features)
def test_block_bounds__cover_the_rows_in_equal_blocks_but_the_last(n, d):
    bounds = block_bounds(n, d)
    assert sum(bounds) == n
    assert set(bounds[:-1]) <= {block_rows(n, d)}
    assert 1 <= bounds[-1] <= block_rows(n, d)


@settings(deadline=None)
@given(features)
def test_tile_rows__are_a_power_of_two_that_fits_in_cache(d):
    tile = tile_rows(d)
    assert tile & (tile - 1) == 0
    assert 16 <= tile <= 4096
    assert tile == 16 or tile * d <= 2**18


def test_block_bounds__give_sixteen_blocks_where_there_are_rows_enough():
    assert len(block_bounds(10**6, 64)) >= 16
    assert len(block_bounds(4000, 64)) == 1


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("?", "f4"),
        ("i1", "f4"),
        ("u1", "f4"),
        ("i2", "f4"),
        ("u2", "f4"),
        ("i4", "f8"),
        ("u4", "f8"),
        ("i8", "f8"),
        ("u8", "f8"),
        ("f2", "f4"),
        ("f4", "f4"),
        ("f8", "f8"),
    ],
)
@pytest.mark.parametrize("order", "<>")
def test_as_features__hold_the_values_exactly_in_native_floats(kind, expected, order):
    kind = np.dtype(kind).newbyteorder(order)
    largest = np.finfo(kind).max if kind.kind == "f" else 2 ** min(8 * kind.itemsize - 1, 53) - 1
    source = np.array([[0, 1, largest]]).astype(kind)
    values = as_features(source)
    assert values.dtype == np.dtype(expected)
    assert values.dtype.isnative
    assert np.array_equal(values, source)


def test_as_features__flatten_in_c_order_and_copy_only_where_needed():
    images = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert np.array_equal(as_features(images), images.reshape(2, 12))
    assert np.shares_memory(as_features(images), images)
    turned = as_features(np.asfortranarray(images.reshape(2, 12)))
    assert turned.flags.c_contiguous
    assert as_features(pd.DataFrame({"a": [1.0], "b": [2.0]})).shape == (1, 2)


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 5)])
def test_as_features__of_no_rows_keep_their_columns(shape):
    assert as_features(np.empty(shape)).shape == (0, np.prod(shape[1:]))


@pytest.mark.parametrize("kind", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
def test_as_labels__leave_numbers_as_they_are(kind, order):
    kind = np.dtype(kind)
    labels = np.array([0, 1, 1]).astype(kind.newbyteorder(order))
    got = as_labels(labels)
    assert got.dtype == kind
    assert got.dtype.isnative
    assert np.array_equal(got, labels)


@pytest.mark.parametrize(
    ("labels", "kind"),
    [
        (np.array(["a", "bé"], object), "U"),
        (np.array(["a", "bé"], np.dtypes.StringDType()), "U"),
        (np.array([np.str_("a"), "b"], object), "U"),
        (np.array([1, 2], object), "i"),
        (np.array([np.uint8(1), 2], object), "i"),
        (np.array([True, np.bool_(False)], object), "i"),
        (pd.Series(["a", "b"], dtype="string").to_numpy(), "U"),
        (pd.Series([True, False], dtype="boolean").to_numpy(object), "i"),
    ],
)
def test_as_labels__bring_objects_to_one_type(labels, kind):
    got = as_labels(labels)
    assert got.dtype.kind == kind
    assert got.tolist() == labels.tolist()


@pytest.mark.parametrize("missing", [None, np.nan, float("nan"), pd.NA, pd.NaT])
@pytest.mark.parametrize("value", ["a", 1, True])
def test_as_labels__leave_objects_with_missing_ones_to_the_survey(missing, value):
    labels = as_labels(np.array([value, missing, value], object))
    assert missing_labels(labels).tolist() == [False, True, False]
    assert as_labels(labels[[0, 2]]).tolist() == [value, value]


def test_missing_labels__are_found_in_floats_and_in_numpys_strings():
    assert missing_labels(np.array([1.0, np.nan, np.inf])).tolist() == [False, True, False]
    text = np.array(["a", None, ""], np.dtypes.StringDType(na_object=None))
    assert missing_labels(as_labels(text)).tolist() == [False, True, False]
    assert missing_labels(np.array(["nan", "None", ""])).tolist() == [False] * 3
    assert missing_labels(np.array([0, 1])).tolist() == [False, False]


class Stubborn:
    """A value that does not know whether it equals itself."""

    def __eq__(self, other):
        raise TypeError

    __hash__ = None


def test_missing_labels__count_what_does_not_equal_itself():
    assert missing_labels(np.array([Stubborn(), "a"], object)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (["a", 1], "int, str"),
        (["a", 1, None], "int, str"),
        ([1, 2.5], "float, int"),
        ([b"a", b"b"], "bytes"),
        ([(1,), (2,)], "tuple"),
    ],
)
def test_as_labels__refuse_mixed_types_and_name_them(labels, found):
    array = np.empty(len(labels), object)
    array[:] = labels
    with pytest.raises(InputError, match=f"all ints or all strings, got {found}; convert"):
        as_labels(array)


def test_as_labels__refuse_ints_beyond_64_bits():
    with pytest.raises(InputError, match="64 bits"):
        as_labels(np.array([1, 2**70], object))
