"""Better centers by dominating sets: never worse than the given ones, near the best."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial.distance import cdist

from dask_distill.kernels import dominating
from dask_distill.kernels.dominating import refined_centers
from dask_distill.kernels.farthest_first import FarthestFirst, farthest_first


def radius_of(X, picks):
    """Largest distance of any row to its nearest center."""
    return float(cdist(X, X[picks]).min(axis=1).max())


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_refined__is_no_worse_and_no_better_than_can_be(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    n, d = data.draw(st.integers(2, 10)), data.draw(st.integers(1, 3))
    X = rng.integers(0, 12, (n, d)).astype(float)
    k = data.draw(st.integers(1, min(3, len(np.unique(X, axis=0)))))
    given_, _ = farthest_first(X, k)
    picks, radius = refined_centers(X, given_, data.draw(st.integers(1, 9)))
    best = min(radius_of(X, list(c)) for c in itertools.combinations(range(n), k))
    assert radius == pytest.approx(radius_of(X, picks))
    assert best - 1e-9 <= radius <= radius_of(X, given_) + 1e-9
    assert len(np.unique(picks)) == k


@pytest.mark.parametrize("d", [2, 8, 32])
@pytest.mark.parametrize("path", ["0", "1"])
def test_refined__is_a_tenth_below_the_traversal(monkeypatch, path, d):
    monkeypatch.setenv("DISTILL_NUMBA", path)
    X = np.random.default_rng(0).normal(size=(1_500, d)).astype(np.float32)
    given_, _ = farthest_first(X, 80)
    picks, radius = refined_centers(X, given_, 8)
    assert radius == pytest.approx(radius_of(X, picks))
    assert radius < 0.92 * radius_of(X, given_)
    assert len(np.unique(picks)) == 80
    again, _ = refined_centers(X, given_, 8)
    np.testing.assert_array_equal(picks, again)


def test_refined__more_passes_are_no_worse():
    X = np.random.default_rng(0).normal(size=(1_000, 5))
    given_, _ = farthest_first(X, 50)
    radii = [refined_centers(X, given_, passes)[1] for passes in (0, 2, 4, 8, 16)]
    assert radii[0] == pytest.approx(radius_of(X, given_))
    assert sorted(radii, reverse=True) == radii


def test_refined__of_a_graph_with_too_many_edges_some_rows_are_left_out(monkeypatch):
    X = np.random.default_rng(0).normal(size=(1_500, 8)).astype(np.float32)
    given_, _ = farthest_first(X, 80)
    monkeypatch.setattr(dominating, "MOST_EDGES", 20_000)
    assert len(dominating._told_apart(X, radius_of(X, given_) ** 2)) < 1_200
    picks, radius = refined_centers(X, given_, 8)
    assert radius == pytest.approx(radius_of(X, picks))
    assert radius < radius_of(X, given_)


def test_refined__rows_near_centers_that_stay_need_no_other():
    X = np.random.default_rng(0).normal(size=(900, 4))
    stay = X[:40] + 0.01
    squared = cdist(X, stay).min(axis=1) ** 2
    traversal = FarthestFirst.resume(X, squared)
    traversal.extend(30)
    picks, radius = refined_centers(X, traversal.indices, 8, squared=squared)
    together = np.minimum(squared, cdist(X, X[picks]).min(axis=1) ** 2)
    assert radius == pytest.approx(np.sqrt(together.max()))
    assert radius < np.sqrt(traversal.squared_distances().max())


def test_refined__no_two_centers_are_one_point():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(60, 3)), 5, axis=0) + rng.normal(size=(300, 3)) * 1e-7
    traversal = FarthestFirst(X)
    traversal.extend(40)
    picks, _ = refined_centers(X, traversal.indices, 8, same=1e-10)
    assert len(np.unique(picks // 5)) == 40


def test_refined__without_rows_or_centers_nothing_changes():
    none = np.empty(0, np.int64)
    assert refined_centers(np.empty((0, 2)), none, 3)[1] == 0.0
    assert refined_centers(np.ones((3, 2)), none, 3, squared=np.full(3, 4.0))[1] == 2.0
