"""Row hashes: uniform, independent between streams, and a matter of the row alone."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.hashing import row_hash

ROWS = np.arange(200_000, dtype=np.int64)
# of rows 0, 1 and 2**40, seed 0, stream 1
FIRST_HASHES = [1124765325508800508, 3207027209776756347, 4682924442259048939]


def chi_square(counts):
    """Standardised: about normal(0, 1) for uniform counts."""
    expected = counts.sum() / counts.size
    statistic = ((counts - expected) ** 2 / expected).sum()
    freedom = counts.size - 1
    return (statistic - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
@pytest.mark.parametrize("shift", [0, 20, 56])
@pytest.mark.parametrize("step", [1, 1024, 10**9])
def test_row_hash__is_uniform_in_high_middle_and_low_bits(seed, shift, step):
    bytes_ = (row_hash(ROWS * step, seed) >> np.uint64(shift)) & np.uint64(255)
    assert abs(chi_square(np.bincount(bytes_.astype(int), minlength=256))) < 5


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"seed": 0, "stream": 0}, {"seed": 0, "stream": 1}),
        ({"seed": 0, "stream": 1}, {"seed": 0, "stream": 3}),
        ({"seed": 0}, {"seed": 1}),
        ({"seed": 5, "stream": 2}, {"seed": 6, "stream": 2}),
    ],
)
def test_row_hash__streams_and_seeds_are_independent(left, right):
    a = (row_hash(ROWS, **left) >> np.uint64(60)).astype(int)
    b = (row_hash(ROWS, **right) >> np.uint64(60)).astype(int)
    for shifted in (b, np.roll(b, 1)):
        pairs = np.bincount(a * 16 + shifted, minlength=256)
        assert abs(chi_square(pairs)) < 5


def test_row_hash__neighbouring_rows_are_independent():
    top = (row_hash(ROWS, 0) >> np.uint64(60)).astype(int)
    assert abs(chi_square(np.bincount(top[:-1] * 16 + top[1:], minlength=256))) < 5


def test_row_hash__no_two_rows_collide():
    assert len(np.unique(row_hash(ROWS, 7))) == len(ROWS)


@settings(deadline=None)
@given(st.integers(0, 1000), st.integers(0, 2**63 - 1), st.integers(0, 9))
def test_row_hash__is_the_same_for_any_split(cut, seed, stream):
    rows = np.arange(10**12, 10**12 + 1000)
    parts = [row_hash(part, seed, stream=stream) for part in (rows[:cut], rows[cut:])]
    whole = row_hash(rows, seed, stream=stream)
    assert whole.dtype == np.uint64
    assert np.array_equal(np.concatenate(parts), whole)


def test_row_hash__stays_what_it_was():
    """Subsets of earlier versions can be drawn again."""
    assert row_hash(np.array([0, 1, 2**40]), seed=0, stream=1).tolist() == FIRST_HASHES


def test_row_hash__takes_numpys_integers_as_seed():
    assert np.array_equal(row_hash(ROWS[:9], np.int64(2**62)), row_hash(ROWS[:9], 2**62))
