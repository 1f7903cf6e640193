"""Nearest centers and covering distances against all pairs."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.distances import Filter, Scratch, lower_distances, paired
from dask_distill.kernels.nearest import covering_distance, nearest_center, update_squared_distances


def all_pairs(X, C):
    """Canonical squared distances: (n, m)."""
    rows, others = np.divmod(np.arange(len(X) * len(C)), max(1, len(C)))
    return paired(X, rows, C, others).reshape(len(X), len(C))


def examples(n, d, seed, kind, dtype=np.float64):
    """Rows of one kind; `lattice` has many ties and duplicates, `units` features of any scale."""
    rng = np.random.default_rng(seed)
    if kind == "lattice":
        return rng.integers(0, 3, (n, d)).astype(dtype)
    X = rng.standard_normal((n, d)) + 4 * rng.integers(0, 3, (n, 1))
    if kind == "units":
        X *= 10.0 ** rng.integers(-4, 5, d)
    if kind == "shifted":
        X += 1e6
    return X.astype(dtype)


@pytest.fixture(params=["numba", "numpy"])
def path(request, monkeypatch):
    monkeypatch.setenv("DISTILL_NUMBA", "1" if request.param == "numba" else "0")
    return request.param


kinds = pytest.mark.parametrize("kind", ["normal", "lattice", "units", "shifted"])


def test_paired__is_the_squared_distance():
    A, B = examples(40, 19, 0, "normal"), examples(30, 19, 1, "normal")
    rows, others = np.arange(30), np.arange(30)[::-1]
    expected = ((A[rows] - B[others]) ** 2).sum(axis=1)
    np.testing.assert_allclose(paired(A, rows, B, others), expected, rtol=1e-13)


def test_paired__float32_rows_are_taken_as_they_are():
    A = examples(10, 3, 0, "normal", np.float32)
    rows = np.arange(10)
    np.testing.assert_array_equal(
        paired(A, rows, A, rows[::-1]), paired(A.astype(float), rows, A.astype(float), rows[::-1])
    )


def test_paired__agrees_with_the_compiled_loop_in_every_bit():
    compiled = pytest.importorskip("dask_distill.kernels._compiled")
    for d in (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 100):
        X = examples(20, d, d, "units")
        loop = [compiled.squared_distance(X, i, X, 19 - i) for i in range(20)]
        np.testing.assert_array_equal(paired(X, np.arange(20), X, np.arange(20)[::-1]), loop)


@pytest.mark.parametrize("kind", ["normal", "units", "shifted"])
@pytest.mark.parametrize("d", [1, 5, 64, 700])
def test_filter__bounds_no_distance_above_itself(kind, d):
    X = examples(100, d, 3, kind)
    X[0] *= 1e5
    filter_ = Filter(X)
    rows, centers = filter_.rows(X), filter_.centers(X)
    product = Scratch(d).product(rows.copies, centers.copies)
    bounds = (product + rows.limits[:, None]) / filter_.unit
    assert (bounds <= all_pairs(X, X)).all()


@kinds
def test_lower_distances__only_where_strictly_nearer(path, kind):
    X, C = examples(300, 6, 0, kind), examples(600, 6, 1, kind)
    exact = all_pairs(X, C)
    squared = np.quantile(exact, 0.001, axis=1)
    squared[::3] = exact[::3].min(axis=1)
    expected = np.minimum(squared, exact[:, 40:].min(axis=1))
    at = np.where(expected < squared, 40 + exact[:, 40:].argmin(axis=1), -7)
    nearest = np.full(300, -7)
    filter_ = Filter(np.concatenate([X, C]))
    rows, centers = filter_.rows(X), filter_.centers(C)
    lower_distances(rows, np.arange(300), centers, 40, 600, squared, nearest, Scratch(6))
    np.testing.assert_array_equal(squared, expected)
    np.testing.assert_array_equal(nearest, at)


@kinds
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "m", "d"), [(700, 90, 1), (900, 300, 3), (600, 200, 17), (80, 70, 90)]
)
def test_nearest_center__equals_all_pairs(path, kind, dtype, n, m, d):
    X, C = examples(n, d, 0, kind, dtype), examples(m, d, 1, kind, dtype)
    nearest, squared = nearest_center(X, C)
    exact = all_pairs(X, C)
    np.testing.assert_array_equal(nearest, exact.argmin(axis=1))
    np.testing.assert_array_equal(squared, exact.min(axis=1))
    assert nearest.dtype == np.int64
    assert squared.dtype == np.float64


@kinds
def test_update__equals_all_centers_at_once(path, kind):
    X, C = examples(500, 4, 0, kind), examples(400, 4, 1, kind)
    nearest, squared = nearest_center(X, C[:150])
    update_squared_distances(X, squared, C[150:151], nearest=nearest, first=150)
    update_squared_distances(X, squared, C[151:], nearest=nearest, first=151)
    expected = nearest_center(X, C)
    np.testing.assert_array_equal(nearest, expected[0])
    np.testing.assert_array_equal(squared, expected[1])


def test_update__without_rows_or_centers_changes_nothing(path):
    X, squared = examples(5, 2, 0, "normal"), np.arange(5.0)
    update_squared_distances(X, squared, X[:0])
    update_squared_distances(X[:0], squared[:0], X)
    np.testing.assert_array_equal(squared, np.arange(5.0))


@kinds
@pytest.mark.parametrize(
    ("n", "m", "d"), [(900, 30, 2), (900, 300, 3), (900, 100, 17), (700, 150, 90)]
)
def test_covering_distance__is_the_largest_of_all_rows(path, kind, n, m, d):
    X, C = examples(n, d, 0, kind), examples(m, d, 1, kind)
    expected = all_pairs(X, C).min(axis=1).max()
    assert covering_distance(X, C) == expected
    assert covering_distance(X, C, expected / 2) == expected
    assert covering_distance(X, C, expected * 2) == expected * 2


def test_covering_distance__sees_one_far_row(path):
    X = examples(3000, 20, 0, "normal")
    X[1234] += 100
    C = X[np.arange(0, 3000, 7)]
    assert covering_distance(X, C) == all_pairs(X[1234:1235], C).min()


def test_covering_distance__without_rows_is_the_least_asked_for(path):
    X = examples(3, 2, 0, "normal")
    assert covering_distance(X[:0], X, 2.0) == 2.0
    assert covering_distance(X, X) == 0.0


def test_covering_distance__without_centers_is_an_error():
    with pytest.raises(ValueError, match="centers must hold at least 1 row, got 0"):
        covering_distance(np.zeros((3, 2)), np.zeros((0, 2)))


def test_nearest_center__values_must_have_finite_squares(path):
    X = np.zeros((300, 3))
    X[7] = 1e200
    with pytest.raises(ValueError, match="X must hold values below 1e"):
        nearest_center(X, X)
    with pytest.raises(ValueError, match="X must hold values below 1e"):
        covering_distance(X, X)


def test_nearest_center__duplicated_centers_go_to_the_first(path):
    X = examples(400, 3, 0, "lattice")
    C = np.repeat(X[:60], 20, axis=0)
    nearest, squared = nearest_center(X, C)
    exact = all_pairs(X, C)
    np.testing.assert_array_equal(nearest, exact.argmin(axis=1))
    np.testing.assert_array_equal(squared, exact.min(axis=1))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 300),
    m=st.integers(1, 200),
    d=st.integers(1, 20),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["normal", "lattice", "units", "shifted"]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_nearest_and_covering__equal_all_pairs_for_any_input(n, m, d, seed, kind, dtype):
    X, C = examples(n, d, seed, kind, dtype), examples(m, d, seed ^ 1, kind, dtype)
    exact = all_pairs(X, C)
    nearest, squared = nearest_center(X, C)
    np.testing.assert_array_equal(nearest, exact.argmin(axis=1))
    np.testing.assert_array_equal(squared, exact.min(axis=1))
    assert covering_distance(X, C) == squared.max()


def test_kernels__compile_nothing_at_import():
    code = (
        "import sys, dask_distill.kernels.farthest_first; "
        "assert 'numba' not in sys.modules, 'numba was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)
