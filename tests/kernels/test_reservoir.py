"""Priority sampling: mergeable, proportionate, unbiased."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.reservoir import lowest_in_class, priorities, represented, thinned


@given(
    n=st.integers(0, 2000),
    count=st.integers(1, 5),
    classes=st.integers(1, 6),
    keys=st.integers(1, 10**6),
    dependent=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=150, deadline=None)
def test_lowest_in_class__equals_sorting_each_class(n, count, classes, keys, dependent, seed):
    rng = np.random.default_rng(seed)
    # classes of very different size; keys may repeat, or be low in some classes alone
    codes = np.minimum(rng.geometric(0.5, n) - 1, classes - 1)
    keys = rng.integers(0, keys, n) + dependent * codes * keys
    rows = rng.permutation(n)
    expected = np.zeros(n, bool)
    for code in range(classes):
        mine = np.flatnonzero(codes == code)
        expected[mine[np.lexsort((rows[mine], keys[mine]))[:count]]] = True
    assert np.array_equal(lowest_in_class(keys, rows, codes, count), expected)


@given(
    n=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    most=st.integers(1, 60),
    floor=st.integers(0, 4),
    classes=st.integers(1, 5),
    half_life=st.sampled_from([None, 3.0, 50.0]),
    seed=st.integers(0, 10),
)
@settings(max_examples=150, deadline=None)
def test_thinned__in_parts_equals_all_at_once(n, cuts, most, floor, classes, half_life, seed):
    rng = np.random.default_rng(seed)
    rows, codes = np.arange(n), rng.integers(0, classes, n)
    masses = rng.uniform(0.5, 3, n)
    priority = priorities(rows, masses, seed, half_life=half_life)

    def thin(part, least):
        kept, least = thinned(
            priority[part], part, codes[part], least=least, most=most, floor=floor
        )
        return part[kept], least

    whole, threshold = thin(rows, -np.inf)
    held, least = rows[:0], -np.inf
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]
    for start, stop in pairwise(edges):
        held, least = thin(np.concatenate([held, rows[start:stop]]), least)
    assert np.array_equal(held, whole)
    assert least == threshold


@pytest.mark.parametrize("half_life", [None, 400.0])
def test_represented__estimates_the_mass_of_any_part(half_life):
    n, most = 2000, 200
    rows = np.arange(n)
    masses = np.random.default_rng(0).uniform(0.2, 5, n)
    aged = masses if half_life is None else masses * np.exp2((rows - n) / half_life)
    part = rows % 3 == 0
    estimates = []
    for seed in range(200):
        priority = priorities(rows, masses, seed, half_life=half_life)
        kept, least = thinned(priority, rows, None, least=-np.inf, most=most, floor=0)
        assert kept.sum() == most
        mass = represented(rows[kept], masses[kept], least, n, half_life)
        estimates.append(mass[part[kept]].sum())
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - aged[part].sum()) < 4 * error


def test_thinned__keeps_rows_of_a_rare_class():
    rows = np.arange(1000)
    codes = (rows % 500 == 0).astype(int)
    priority = priorities(rows, np.ones(1000), 0)
    kept, _ = thinned(priority, rows, codes, least=-np.inf, most=10, floor=2)
    assert np.count_nonzero(kept & (codes == 1)) == 2
    assert np.count_nonzero(kept & (codes == 0)) >= 8
