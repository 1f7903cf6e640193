"""Nearest centers by groups: those of all pairs, from a small part of them."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels import grouped
from dask_distill.kernels.distances import Filter, paired
from dask_distill.kernels.farthest_first import farthest_first
from dask_distill.kernels.frontier import Frontier, nearest_of_separated
from dask_distill.kernels.grouped import PivotGroups, lower_by_groups
from dask_distill.kernels.nearest import nearest_center, update_squared_distances

KINDS = ["clusters", "lattice", "units", "cosine", "line", "duplicates", "tiny", "huge", "alike"]


def all_pairs(X, C):
    """Canonical squared distances: (n, m)."""
    rows, others = np.divmod(np.arange(len(X) * len(C)), len(C))
    return paired(X, rows, C, others).reshape(len(X), len(C))


def clusters(n, d, seed=0, count=40, spread=6.0):
    """Rows of many narrow clusters, of unequal widths."""
    rng = np.random.default_rng(seed)
    means, widths = rng.normal(size=(count, d)) * spread, np.exp(rng.normal(size=count) / 2)
    group = rng.integers(0, count, n)
    return means[group] + rng.normal(size=(n, d)) * widths[group][:, None]


def examples(kind, n, d, seed):
    """Rows of one kind, of ties and scales of all sorts."""
    rng = np.random.default_rng(seed)
    X = clusters(n, d, seed)
    if kind == "lattice":
        return np.rint(X / 3)
    if kind == "units":
        return X * 10.0 ** rng.integers(-4, 5, d) + 1e3
    if kind == "cosine":
        return X / np.linalg.norm(X, axis=1, keepdims=True)
    if kind == "line":
        return np.outer(np.round(X[:, 0], 1), np.arange(1, d + 1))
    if kind == "duplicates":
        return X[rng.integers(0, min(n, 50), n)]
    if kind == "alike":
        return np.full((n, d), 7.25)
    return X * {"clusters": 1.0, "tiny": 1e-30, "huge": 1e30}[kind]


def search(X, C, *, squared=None, nearest=None, enough=-1.0):
    """What the kernel finds of all rows, and the pairs it has looked at."""
    filter_ = Filter(np.concatenate([X, C]))
    squared = np.full(len(X), np.inf) if squared is None else squared.copy()
    nearest = np.full(len(X), -1) if nearest is None else nearest.copy()
    every = np.arange(len(X))
    pairs = lower_by_groups(filter_.rows(X), every, filter_.centers(C), squared, nearest, enough)
    return nearest, squared, pairs


@pytest.fixture(params=["numba", "numpy"])
def path(request, monkeypatch):
    monkeypatch.setenv("DISTILL_NUMBA", "1" if request.param == "numba" else "0")
    return request.param


@pytest.fixture
def always(monkeypatch):
    """PivotGroups are formed of few rows, and kept where they are of no use."""
    monkeypatch.setattr(grouped, "_LEAST_ROWS", 2)
    monkeypatch.setattr(grouped, "_LEAST_CENTERS", 2)
    monkeypatch.setattr(grouped, "_LEFT", np.inf)
    monkeypatch.setattr(grouped, "_ROWS_A_PIVOT", 3)
    monkeypatch.setattr(grouped, "_FIRST", 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_by_groups__equals_all_pairs(path, always, kind, dtype):
    for d in (1, 3, 20):
        X = examples(kind, 420, d, d).astype(dtype)
        C = np.ascontiguousarray(X[::3])
        nearest, squared, pairs = search(X, C)
        exact = all_pairs(X, C)
        assert pairs is not None
        np.testing.assert_array_equal(squared, exact.min(axis=1))
        np.testing.assert_array_equal(nearest, exact.argmin(axis=1))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_by_groups__equals_all_pairs_whatever_is_known(data):
    kind, seed = data.draw(st.sampled_from(KINDS)), data.draw(st.integers(0, 999))
    d = data.draw(st.integers(1, 40))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    n, m = data.draw(st.integers(10, 500)), data.draw(st.integers(4, 300))
    both = examples(kind, n + m, d, seed).astype(dtype)
    X, C = both[:n], np.ascontiguousarray(both[n:])
    exact = all_pairs(X, C)
    known = data.draw(st.integers(0, m))
    at = exact[:, :known].argmin(axis=1) if known else np.full(n, -1)
    squared = exact[np.arange(n), at] if known else np.full(n, np.inf)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("_LEAST_ROWS", 2), ("_LEAST_CENTERS", 2), ("_LEFT", np.inf)):
            patch.setattr(grouped, name, value)
        patch.setattr(grouped, "_ROWS_A_PIVOT", data.draw(st.sampled_from([2, 5])))
        patch.setattr(grouped, "_DENSITY", data.draw(st.sampled_from([1.0, 4.0])))
        patch.setattr(grouped, "_FIRST", data.draw(st.sampled_from([1, 30])))
        found, lowered, pairs = search(X, C, squared=squared, nearest=at)
    assert pairs is not None
    np.testing.assert_array_equal(lowered, exact.min(axis=1))
    np.testing.assert_array_equal(found, exact.argmin(axis=1))


@pytest.mark.parametrize("kind", KINDS)
def test_bounds__are_above_no_distance(kind):
    for d in (1, 5, 64):
        X = examples(kind, 300, d, d + 1).astype(np.float32)
        X[0] += np.abs(X).max() * 100
        C = np.ascontiguousarray(X[::2])
        filter_ = Filter(X)
        rows, centers = filter_.rows(X), filter_.centers(C)
        groups = PivotGroups.of(rows, np.arange(300), centers, 12)
        filled = np.flatnonzero(np.diff(groups.starts))
        distances = np.sqrt(all_pairs(X, C) * filter_.unit)[:, groups.order]
        least = np.minimum.reduceat(distances, groups.starts[filled], axis=1)
        for row, group in enumerate(groups.nearest(rows.copies, np.arange(300)).tolist()):
            bounds = groups.bounds(rows, np.array([row]), group, filled)[0]
            assert np.all(bounds <= least[row] * (1 + 1e-6))


def test_by_groups__a_center_from_elsewhere_keeps_its_rows_where_both_are_equally_near(always):
    X = examples("lattice", 400, 4, 0)
    C = np.ascontiguousarray(X[:100])
    expected = all_pairs(X, C).min(axis=1)
    nearest, squared, _ = search(X, C, squared=expected)
    np.testing.assert_array_equal(squared, expected)
    assert np.all(nearest == -1)


def test_by_groups__of_rows_that_have_enough_nothing_is_asked(always):
    X = clusters(600, 20)
    C = np.ascontiguousarray(X[:200])
    known = np.where(np.arange(600) < 300, 4.0, np.inf)
    nearest, squared, pairs = search(X, C, squared=known, enough=4.0)
    assert np.all(nearest[:300] == -1)
    assert np.all(squared[:300] == 4.0)
    exact = all_pairs(X[300:], C)
    np.testing.assert_array_equal(nearest[300:], exact.argmin(axis=1))
    assert pairs is not None


@pytest.mark.parametrize("wild", [np.inf, -np.inf, np.nan])
def test_by_groups__centers_that_no_filter_bounds_are_left_to_others(always, wild):
    X = clusters(600, 20)
    filter_ = Filter(X)
    centers = filter_.centers(np.ascontiguousarray(X[:200]))
    centers.copies[7, -1] = wild
    squared, nearest = np.full(600, np.inf), np.full(600, -1)
    found = lower_by_groups(filter_.rows(X), np.arange(600), centers, squared, nearest)
    assert found is None
    assert np.all(squared == np.inf)


def test_by_groups__clusters_leave_a_small_part_of_all_pairs():
    X = clusters(20_000, 64, count=50).astype(np.float32)
    picks, radii = farthest_first(X, 2_000)
    nearest, squared, pairs = search(X, X[picks])
    assert pairs / (20_000 * 2_000) < 0.2
    expected = nearest_of_separated(X, X[picks], radii.min() ** 2)
    np.testing.assert_array_equal(nearest, expected[0])
    np.testing.assert_array_equal(squared, expected[1])


def test_by_groups__pairs_grow_far_slower_than_their_number():
    """Clusters of some rows each; ten rows for a center."""
    counted = []
    for n in (10_000, 40_000):
        X = clusters(n, 32, count=n // 200).astype(np.float32)
        _, _, pairs = search(X, np.ascontiguousarray(X[::10]))
        counted.append(pairs)
    assert np.log(counted[1] / counted[0]) / np.log(4) < 1.65


def test_by_groups__without_clusters_it_says_so_after_few_rows():
    X = np.random.default_rng(0).normal(size=(6_000, 64)).astype(np.float32)
    C = X[:600].copy()
    nearest, squared, pairs = search(X, C)
    assert pairs is None
    tried = np.flatnonzero(np.isfinite(squared))
    assert len(tried) <= 128
    exact = all_pairs(X[tried], C)
    np.testing.assert_array_equal(nearest[tried], exact.argmin(axis=1))


@pytest.mark.parametrize("kind", ["clusters", "lattice", "cosine", "duplicates"])
def test_nearest_center__equals_all_pairs_by_groups(path, kind):
    X = examples(kind, 2_100, 24, 1).astype(np.float32)
    C = np.ascontiguousarray(X[::4])
    exact = all_pairs(X, C)
    nearest, squared = nearest_center(X, C)
    np.testing.assert_array_equal(nearest, exact.argmin(axis=1))
    np.testing.assert_array_equal(squared, exact.min(axis=1))
    half = nearest_center(X, C[:100])
    update_squared_distances(X, half[1], C[100:], nearest=half[0])
    assert half[1].tobytes() == squared.tobytes()


@pytest.mark.parametrize("kind", ["clusters", "lattice", "cosine"])
def test_finish__goes_on_from_what_a_traversal_knows(path, kind):
    X = examples(kind, 2_400, 24, 2).astype(np.float32)
    C = np.ascontiguousarray(X[::4])
    exact = all_pairs(X, C)
    front = Frontier.of(X).push(C[:90]).catch_up(-1.0).push(C[90:])
    finished = front.finish(-1.0)
    np.testing.assert_array_equal(finished.squared, exact.min(axis=1))
    np.testing.assert_array_equal(finished.nearest, exact.argmin(axis=1))
    assert np.all(finished.seen == len(C))
    assert np.all(front.seen == 90)


def test_finish__without_centers_nothing_is_done():
    front = Frontier.of(clusters(20, 3))
    assert front.finish(-1.0) is front
