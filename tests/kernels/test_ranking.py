"""Ranking without a sort: against NumPy's sort and quantiles."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from dask_distill.kernels.ranking import (
    KEY_BITS,
    add_histograms,
    ascending_keys,
    descend,
    digit_histogram,
    quantile_bounds,
    scores_of,
)

SPECIAL = [-np.inf, -3.4e38, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.1754944e-38, 1.0, 3.4e38, np.inf]
floats = st.floats(width=32, allow_nan=False) | st.sampled_from(SPECIAL)
scores = arrays(np.float32, st.integers(1, 80), elements=floats)
keys = arrays(np.uint32, st.integers(0, 80), elements=st.integers(0, 2**32 - 1))


def select(parts, groups, wanted, digit_bits):
    """Thresholds and ties, by histograms of parts that are added up, digit by digit."""
    G = len(wanted)
    prefixes, known = np.zeros(G, np.uint32), 0
    while known < KEY_BITS:
        bits = min(digit_bits, KEY_BITS - known)
        histogram = sum(
            digit_histogram(k, g, prefixes, known, bits) for k, g in zip(parts, groups, strict=True)
        )
        digit, wanted = descend(histogram, wanted)
        prefixes = digit if known == 0 else prefixes << np.uint32(bits) | digit
        known += bits
    return prefixes, wanted


@settings(deadline=None)
@given(scores, scores)
def test_ascending_keys__order_as_the_scores_do(left, right):
    m = min(len(left), len(right))
    a, b = left[:m], right[:m]
    assert np.array_equal(ascending_keys(a) < ascending_keys(b), a < b)
    assert np.array_equal(ascending_keys(a) == ascending_keys(b), a == b)


def test_ascending_keys__order_of_zeros_denormals_and_infinities():
    got = ascending_keys(np.array(SPECIAL, np.float32)).astype(np.int64)
    steps = np.diff(got)
    # -0.0 and 0.0 are one key, everything else rises
    assert np.array_equal(steps == 0, np.array(SPECIAL[1:]) == np.array(SPECIAL[:-1]))
    assert np.all(steps >= 0)


@settings(deadline=None)
@given(scores)
def test_scores_of__undoes_ascending_keys(values):
    back = scores_of(ascending_keys(values))
    assert back.dtype == np.float32
    assert np.array_equal(back, values)


@settings(deadline=None)
@given(keys, st.integers(1, 5), st.integers(0, 2**32), st.sampled_from([0, 3, 16]))
def test_digit_histogram__counts_as_a_loop_does_and_adds_up(values, G, seed, known):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, G, len(values)).astype(np.int32)
    prefixes = np.zeros(G, np.uint32)
    if len(values) and known:
        prefixes = rng.choice(values, G) >> np.uint32(KEY_BITS - known)
    bits = 5
    expected = np.zeros((G, 2**bits), np.int64)
    for key, group in zip(values.tolist(), groups.tolist(), strict=True):
        if key >> (KEY_BITS - known) == prefixes[group]:
            expected[group, (key >> (KEY_BITS - known - bits)) % 2**bits] += 1
    got = digit_histogram(values, groups, prefixes, known, bits)
    assert got.dtype == np.int64
    assert np.array_equal(got, expected)
    cut = int(rng.integers(0, len(values) + 1))
    parts = [
        digit_histogram(values[s], groups[s], prefixes, known, bits)
        for s in (slice(None, cut), slice(cut, None))
    ]
    assert np.array_equal(parts[0] + parts[1], expected)


@settings(deadline=None)
@given(
    arrays(np.int64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.integers(0, 5)),
    st.integers(0, 2**32),
)
def test_descend__finds_the_digit_of_the_wanted_th_key(histogram, seed):
    wanted = np.random.default_rng(seed).integers(0, histogram.sum(axis=1) + 1)
    digit, remaining = descend(histogram, wanted)
    for counts, want, got, left in zip(histogram, wanted, digit, remaining, strict=True):
        every = np.repeat(np.arange(len(counts)), counts)
        if want == 0:
            assert (got, left) == (0, 0)
        else:
            assert got == every[want - 1]
            assert left == want - (every < got).sum()


@pytest.mark.parametrize("digit_bits", [2, 7, 16])
@settings(deadline=None)
@given(scores, st.integers(1, 4), st.integers(0, 2**32))
def test_digit_refinement__selects_exactly_the_lowest_of_a_sort(digit_bits, values, G, seed):
    rng = np.random.default_rng(seed)
    values = values[rng.integers(0, len(values), len(values))]
    groups = rng.integers(0, G, len(values)).astype(np.int32)
    wanted = rng.integers(0, np.bincount(groups, minlength=G) + 1)
    cut = int(rng.integers(0, len(values) + 1))
    found = ascending_keys(values)
    thresholds, ties = select(
        (found[:cut], found[cut:]), (groups[:cut], groups[cut:]), wanted, digit_bits
    )
    for group in range(G):
        mine = np.sort(values[groups == group])[: wanted[group]]
        if len(mine) == 0:
            continue
        assert scores_of(thresholds[group : group + 1])[0] == mine[-1]
        assert ties[group] == (mine == mine[-1]).sum()


@pytest.mark.parametrize("bits", [2, 4, 10, 16])
@settings(deadline=None)
@given(scores, st.integers(0, 1000))
def test_quantile_bounds__bracket_numpys_quantile(bits, values, permille):
    quantile = permille / 1000
    histogram = digit_histogram(
        ascending_keys(values), np.zeros(len(values), np.int32), np.zeros(1, np.uint32), 0, bits
    )[0]
    low, high = quantile_bounds(histogram, quantile)
    exact = np.sort(values)[max(1, int(np.ceil(quantile * len(values)))) - 1]
    assert low <= exact <= high
    # NumPy rounds quantile * n in another way where it is whole
    if not (quantile * len(values)).is_integer():
        with np.errstate(invalid="ignore"):
            assert low <= np.quantile(values, quantile, method="inverted_cdf") <= high


def test_quantile_bounds__of_16_bits_are_within_a_hundredth():
    values = np.random.default_rng(0).lognormal(sigma=5, size=5000).astype(np.float32)
    histogram = digit_histogram(
        ascending_keys(values), np.zeros(5000, np.int32), np.zeros(1, np.uint32), 0, 16
    )[0]
    for quantile in (0.0, 0.1, 0.5, 0.999, 1.0):
        low, high = quantile_bounds(histogram, quantile)
        assert 0 < high - low <= 0.01 * high


def test_quantile_bounds__refuse_an_empty_histogram():
    with pytest.raises(ValueError, match="at least one score"):
        quantile_bounds(np.zeros(16, np.int64), 0.5)


sparse = st.dictionaries(st.integers(0, 12), st.integers(1, 2**40), max_size=8)


@given(sparse, sparse)
def test_add_histograms__as_counters_do(left, right):
    def parts(counts):
        cells = np.array(sorted(counts), np.int64)
        values = np.array([counts[cell] for cell in cells.tolist()], np.int64)
        return cells, values, 2 * values

    cells, counts, doubles = add_histograms(parts(left), parts(right))
    assert dict(zip(cells.tolist(), counts.tolist(), strict=True)) == Counter(left) + Counter(right)
    assert (np.diff(cells) > 0).all()
    assert (counts.dtype, doubles.tolist()) == (np.int64, (2 * counts).tolist())
