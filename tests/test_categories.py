"""Categories: the same hash and the same columns for a value, whatever array it comes in."""

import datetime
import decimal
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.hashing import bytes_hash
from dask_distill.tables.categories import frequent_values, one_hot, value_hash
from dask_distill.tables.ngrams import TextProjection, fit_ngrams, ngram_features

values = st.lists(
    st.one_of(st.none(), st.sampled_from("abcdefg"), st.text(max_size=6)), max_size=12
)
# of "", "a", "New York" and "Größe": what was written once stays
KNOWN_HASHES = [
    17509614380081456743,
    17678373363539190777,
    7271676345015464241,
    15083851594337807837,
]


def reference_hash(text):
    """The bytes as digits of a number, then splitmix64's finaliser."""
    base, full = 0x243F6A8885A308D3, 2**64
    data = text.encode()
    total = sum((byte + 1) * pow(base, place, full) for place, byte in enumerate(data))
    z = (total + len(data) * 0x9E3779B97F4A7C15 + 0xBF58476D1CE4E5B9) % full
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % full
    z = (z ^ z >> 27) * 0x94D049BB133111EB % full
    return z ^ z >> 31


def reference_one_hot(column, known, others, nulls):
    out = np.zeros((len(column), len(known) + others + nulls), np.float32)
    for row, value in enumerate(column):
        if value is None:
            out[row, len(known) + others :] = 1
        elif value in known:
            out[row, known.index(value)] = 1
        elif others:
            found = reference_hash(value)
            sign = -1 if others > 1 and found >> 63 else 1
            out[row, len(known) + found % others] = sign
    return out


def forms(column):
    plain = pa.array(column, pa.string())
    yield plain
    yield plain.cast(pa.large_string())
    if hasattr(pa, "string_view"):
        yield pa.array(column, pa.string_view())
    yield plain.dictionary_encode()
    yield pa.concat_arrays([pa.array(["ahead", None]), plain, pa.array(["behind"])])[2:-1]
    yield pa.chunked_array([plain[:2], plain[2:].cast(pa.string())])
    # a dictionary that has a null, and more than is there
    words = pa.array([*dict.fromkeys(column), "unseen", None], pa.string())
    codes = [words.index(pa.scalar(value, pa.string())).as_py() for value in column]
    numbers = pa.array([len(words) - 1 if code < 0 else code for code in codes], pa.int8())
    yield pa.DictionaryArray.from_arrays(numbers, words)


@settings(deadline=None, max_examples=60)
@given(values)
def test_value_hash__equals_a_loop_over_bytes_for_any_array(column):
    expected = [0 if value is None else reference_hash(value) for value in column]
    for array in forms(column):
        assert value_hash(array).tolist() == expected


@settings(deadline=None, max_examples=60)
@given(
    values,
    st.lists(st.sampled_from("abcé"), unique=True).map(tuple),
    st.integers(0, 4),
    st.booleans(),
)
def test_one_hot__equals_a_loop_over_rows_for_any_array(column, known, others, nulls):
    expected = reference_one_hot(column, known, others, nulls)
    for array in forms(column):
        np.testing.assert_array_equal(one_hot(array, known, others, nulls=nulls), expected)


@settings(deadline=None, max_examples=60)
@given(values, st.integers(0, 9), st.randoms())
def test_frequent_values__do_not_depend_on_the_order_of_rows(column, most, random):
    counts = Counter(value for value in column if value is not None)
    expected = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]
    random.shuffle(column)
    for array in forms(column):
        assert frequent_values(array, most) == expected


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([7, None, -3], pa.int8()), ["7", None, "-3"]),
        (pa.array([7, None, -3], pa.int64()), ["7", None, "-3"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([datetime.date(2024, 2, 29)]), ["2024-02-29"]),
        (pa.array([datetime.datetime(2024, 2, 29, 1)], pa.timestamp("s")), ["2024-02-29 01:00:00"]),
        (pa.array([decimal.Decimal("1.50")]), ["1.50"]),
        (pa.array([0.5, None]), ["0.5", None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_values__are_told_apart_by_their_text(column, texts):
    plain = pa.array(texts, pa.string())
    for array in (column, column.dictionary_encode()):
        assert value_hash(array).tolist() == value_hash(plain).tolist()
        assert frequent_values(array, 5) == frequent_values(plain, 5)
        known = tuple(text for text in texts[:1] if text is not None)
        np.testing.assert_array_equal(one_hot(array, known, 3), one_hot(plain, known, 3))


def test_value_hash__stays_what_it_was():
    assert value_hash(pa.array(["", "a", "New York", "Größe"])).tolist() == KNOWN_HASHES


def test_value_hash__many_and_long_values_cross_tiles():
    column = ["x" * 200_000, "", *map(str, range(100_000)), *[""] * 70_000, "y" * 70_000]
    found = value_hash(pa.array(column))
    for row in (0, 1, 2, 99_999, 100_001, 100_002, len(column) - 1):
        assert found[row] == reference_hash(column[row])
    assert len(np.unique(found)) == len(set(column))


@pytest.mark.parametrize("shift", [0, 20, 56])
def test_value_hash__is_uniform_for_numbers_in_a_row(shift):
    found = value_hash(pa.array(np.arange(100_000)))
    counts = np.bincount(((found >> np.uint64(shift)) & np.uint64(255)).astype(int), minlength=256)
    expected = len(found) / 256
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert abs(statistic - 255) / np.sqrt(2 * 255) < 5


def test_bytes_hash__tells_zeros_and_lengths_apart():
    data = np.zeros(10, np.uint8)
    found = bytes_hash(data, np.array([0, 0, 1, 3, 6, 10]))
    assert len(np.unique(found)) == 5


def test_one_hot__writes_where_it_is_told_to():
    column = pa.array(["a", "b", "z", None] * 5_000)
    for dtype in (np.float32, np.float64):
        out = np.full((len(column), 9), 7, dtype)
        one_hot(column, ("a", "b"), 2, nulls=True, out=out[:, 2:7])
        expected = one_hot(column[:4], ("a", "b"), 2, nulls=True)
        np.testing.assert_array_equal(out[:, 2:7], np.tile(expected, (5_000, 1)))
        assert (out[:, :2] == 7).all()
        assert (out[:, 7:] == 7).all()


REFUSED = {
    "lists": (lambda: value_hash(pa.array([[1]])), r"a category must hold text.*got list"),
    "bytes": (lambda: one_hot(pa.array([b"a"]), ()), r"a category must hold text.*got binary"),
    "structs": (lambda: frequent_values(pa.array([{"a": 1}]), 1), r"a category must.*got struct"),
    "numbers as text": (lambda: ngram_features(pa.array([1])), r"as text must be.*got int64; read"),
    "a projection of no width": (lambda: fit_ngrams(pa.array(["a"]), 0), r"width must.*got 0"),
    "a projection that lacks its weights": (
        lambda: TextProjection.parse({"words": True, "width": 1, "scale": 1.0, "buckets": ""}),
        r"projection of text must.*KeyError: 'weights'; fit it anew",
    ),
    "a projection of another form": (
        lambda: TextProjection.parse(
            {"words": True, "width": 2, "scale": 1.0, "buckets": "AAA=", "weights": "AA=="}
        ),
        r"projection of text must.*ValueError.*; fit it anew",
    ),
    "a projection of buckets that there are not": (
        lambda: TextProjection.parse(
            {"words": True, "width": 1, "scale": 1.0, "buckets": "//8=", "weights": "AA=="}
        ),
        r"projection of text must.*bucket 65535; fit it anew",
    ),
    "no width": (lambda: ngram_features(pa.array(["a"]), 0), r"width must be at least 1, got 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_columns__that_cannot_be_read_are_refused(case):
    call, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence):
        call()
