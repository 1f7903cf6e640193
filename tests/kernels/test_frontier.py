"""Bounds against centers from elsewhere: exact where they are asked to be."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.distances import paired
from dask_distill.kernels.farthest_first import farthest_first
from dask_distill.kernels.frontier import Frontier, nearest_of_separated
from dask_distill.kernels.nearest import nearest_center


def brute(X, C):
    """Canonical float64 squared distance to the nearest center."""
    every = [paired(X, np.arange(len(X)), C, np.full(len(X), j)) for j in range(len(C))]
    return np.min(every, axis=0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_frontier__rows_above_the_threshold_are_exact_and_no_other_can_be_farther(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    n, d = data.draw(st.integers(1, 700)), data.draw(st.integers(1, 20))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    offset = data.draw(st.sampled_from([0.0, 1e6]))
    X = (rng.normal(size=(n, d)) + offset).astype(dtype)
    frontier = Frontier.of(X)
    C = X[:0]
    for _ in range(data.draw(st.integers(1, 4))):
        fresh = (rng.normal(size=(int(rng.integers(0, 60)), d)) * 2 + offset).astype(dtype)
        C = np.concatenate([C, fresh])
        before = frontier
        frontier = frontier.push(fresh)
        if len(C) == 0:
            continue
        true = brute(X, C)
        threshold = data.draw(st.sampled_from([-1.0, float(np.median(true)), float(true.max())]))
        kept = before.squared.copy()
        frontier = frontier.catch_up(threshold)
        above = frontier.squared > threshold
        assert np.array_equal(frontier.squared[above], true[above])
        at = frontier.nearest[above]
        assert np.array_equal(paired(X, np.flatnonzero(above), C, at), true[above])
        assert np.all(frontier.squared >= true)
        assert not np.any((true > threshold) & ~above)
        assert np.array_equal(before.squared, kept)
        assert np.array_equal(frontier.centers, C)
        frontier = pickle.loads(pickle.dumps(frontier))


@pytest.mark.parametrize("far", [1e25, 1e60, -1e140])
def test_frontier__centers_far_outside_the_rows_do_not_disturb(far):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 5))
    C = np.concatenate([np.full((3, 5), far), X[:7] + 0.1, np.full((2, 5), -far)])
    frontier = Frontier.of(X).push(C).catch_up(-1.0)
    assert np.array_equal(frontier.squared, brute(X, C))


def test_frontier__steps_from_one_state_do_not_disturb_each_other():
    """As when a task is done twice, or a lost one again."""
    rng = np.random.default_rng(0)
    X, C = rng.normal(size=(500, 4)), rng.normal(size=(90, 4))
    one = Frontier.of(X).push(C[:30]).catch_up(2.0)
    first = one.push(C[30:]).catch_up(1.0)
    second = one.push(C[30:]).catch_up(1.0)
    assert np.array_equal(first.squared, second.squared)
    assert np.array_equal(first.squared[first.squared > 1], brute(X, C)[first.squared > 1])
    assert one.count == 30


@pytest.mark.parametrize("d", [3, 30])
def test_nearest_of_separated__equals_nearest_center(d):
    rng = np.random.default_rng(0)
    width = rng.choice([0.01, 1.0, 5.0], 3_000)[:, None]
    X = rng.integers(0, 9, size=(3_000, d)) * 3 + rng.normal(size=(3_000, d)) * width
    X = np.concatenate([X, X[:300]])
    picks, radii = farthest_first(X, 900)
    found = nearest_of_separated(X, X[picks], radii.min() ** 2)
    expected = nearest_center(X, X[picks])
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_frontier__no_rows_and_no_centers():
    empty = Frontier.of(np.empty((0, 3))).push(np.ones((2, 3))).catch_up(-1.0)
    assert len(empty.squared) == 0
    assert Frontier.of(np.ones((4, 3))).catch_up(-1.0).count == 0
