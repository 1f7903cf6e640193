"""What two rounds are made of: cuts, traversals that go on, what centers stand for."""

import numpy as np
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.composable import above, common_cut, first_picks, stood_for, traversed


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_common_cut__is_that_of_whole_traversals_however_far_each_has_gone(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    span = data.draw(st.integers(2, 40))
    blocks = [rng.integers(0, span, (n, 2)).astype(np.float64) for n in sizes]
    wanted = data.draw(st.integers(1, 60))
    whole = [traversed(X, len(X)) for X in blocks]
    cut = common_cut([t.squared_radii for t in whole], wanted)
    # begin anywhere, go on towards each cut that is known until all are at it
    parts = [traversed(X, data.draw(st.integers(1, len(X)))) for X in blocks]
    for steps in (2, 5, wanted + 1):
        so_far = common_cut([t.squared_radii for t in parts], wanted)
        assert so_far <= cut
        parts = [
            traversed(X, max(len(t.indices), steps), before=t, stop_squared=so_far)
            for X, t in zip(blocks, parts, strict=True)
        ]
    assert common_cut([t.squared_radii for t in parts], wanted) == cut
    offered = [above(t, cut).tolist() for t in parts]
    assert offered == [above(t, cut).tolist() for t in whole]
    assert sum(map(len, offered)) <= max(wanted, len(sizes))
    assert all(rows[0] == 0 for rows in offered)


def test_traversed__leaves_what_it_goes_on_from():
    X = np.random.default_rng(0).normal(size=(500, 5))
    first = traversed(X, 20)
    both = traversed(X, 60, before=first)
    assert len(first.indices) == 20
    np.testing.assert_array_equal(both.indices, traversed(X, 60).indices)


def test_traversed__takes_centers_that_are_there_for_picks():
    X = np.random.default_rng(0).normal(size=(500, 5))
    whole = traversed(X, 60)
    rest = traversed(X, 40, centers=X[whole.indices[:20]])
    np.testing.assert_array_equal(rest.indices, whole.indices[20:])
    np.testing.assert_array_equal(rest.squared_radii, whole.squared_radii[20:])


def test_first_picks__is_one_at_least_and_no_more_than_rows():
    assert [first_picks(rows, 0.01) for rows in (1, 50, 1000)] == [1, 2, 11]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(1, 60), m=st.integers(1, 20), k=st.integers(1, 6))
def test_stood_for__reaches_hold_through_two_merges(seed, n, m, k):
    """Rows by candidates, candidates by centers: no row is farther than its center says."""
    rng = np.random.default_rng(seed)
    X, C, K = (rng.normal(size=(count, 3)) for count in (n, m, k))
    masses, reaches = stood_for(X, C)
    last, bounds = stood_for(C, K, masses, reaches)
    assert last.sum() == n
    by_candidate = np.linalg.norm(X[:, None] - C, axis=2).argmin(1)
    by_center = np.linalg.norm(C[:, None] - K, axis=2).argmin(1)[by_candidate]
    far = np.linalg.norm(X - K[by_center], axis=1)
    assert (far <= bounds[by_center] * (1 + 1e-12)).all()
    np.testing.assert_array_equal(np.bincount(by_center, minlength=k), last)
