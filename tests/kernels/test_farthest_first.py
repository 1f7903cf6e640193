"""Farthest-first traversal against Gonzalez' algorithm with all distances."""

import itertools
import pickle

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels import farthest_first as module
from dask_distill.kernels.distances import paired
from dask_distill.kernels.farthest_first import FarthestFirst, farthest_first
from dask_distill.kernels.lazy import LazyTraversal
from dask_distill.kernels.pruned import CellTraversal
from dask_distill.kernels.trees import TreeTraversal

TRAVERSALS = [LazyTraversal, CellTraversal, TreeTraversal]


def gonzalez(X, k, start=0, distances=None):
    """The reference: float64, canonical distances, the lowest row of equals."""
    rows = np.arange(len(X))
    if distances is None:
        distances = lambda i: paired(X, rows, X, np.full(len(X), i))  # noqa: E731
    squared, indices, radii = distances(start), [start], [np.inf]
    while len(indices) < k and squared.max() > 0:
        indices.append(int(squared.argmax()))
        radii.append(squared.max())
        squared = np.minimum(squared, distances(indices[-1]))
    return np.array(indices), np.sqrt(radii)


def examples(kind, n, d, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.exp(rng.standard_normal((n, 1)) / 2)
    X += 5 * rng.standard_normal((7, d))[rng.integers(0, 7, n)]
    if kind == "lattice":
        X = rng.integers(0, 4, (n, d))
    elif kind == "binary":
        X = rng.integers(0, 2, (n, d))
    elif kind == "duplicates":
        X = X[rng.integers(0, max(1, n // 3), n)]
    elif kind == "equal":
        X = np.ones((n, d))
    elif kind == "constant columns":
        X[:, ::2] = 3.0
    elif kind == "offset":
        X += 1e6
    elif kind == "outlier":
        X[n // 2] *= 1e9
    elif kind == "far twins":
        X = X * 1e-4 + 1e3 * (np.arange(n)[:, None] % 2)
    elif kind == "tiny":
        X = X * 1e-30
    elif kind == "huge":
        X = X * 1e30 if dtype is np.float64 else X * 1e15
    return np.ascontiguousarray(X, dtype)


KINDS = [
    "mixture",
    "lattice",
    "binary",
    "duplicates",
    "equal",
    "constant columns",
    "offset",
    "outlier",
    "far twins",
    "tiny",
    "huge",
]


@pytest.fixture(params=["numba", "numpy"])
def path(request, monkeypatch):
    monkeypatch.setenv("DISTILL_NUMBA", "1" if request.param == "numba" else "0")
    return request.param


@pytest.fixture(params=TRAVERSALS)
def traversal(request, monkeypatch):
    """Every way of traversing, for any number of features."""
    monkeypatch.setattr(module, "_begin", request.param)
    # rounds of cells and pools of few rows
    monkeypatch.setattr("dask_distill.kernels.pruned._FRESH", 3)
    monkeypatch.setattr("dask_distill.kernels.lazy.BASE", 20)
    return request.param


def extended(X, k, start=0):
    traversal = FarthestFirst(X, start=start)
    traversal.extend(k)
    return traversal


def check(X, k, start=0):
    traversal = extended(X, k, start)
    indices, radii = gonzalez(X, k, start)
    np.testing.assert_array_equal(traversal.indices, indices)
    np.testing.assert_array_equal(traversal.radii, radii)
    exact = paired(
        X, np.repeat(np.arange(len(X)), len(indices)), X, np.tile(indices, len(X))
    ).reshape(len(X), -1)
    np.testing.assert_array_equal(traversal.squared_distances(), exact.min(axis=1))
    np.testing.assert_array_equal(traversal.nearest(), exact.argmin(axis=1))
    assert traversal.covering_radius() == np.sqrt(exact.min(axis=1).max())
    assert traversal.exhausted == (len(indices) < k or k == len(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d", "k"), [(500, 2, 120), (700, 7, 100), (400, 40, 80)])
def test_farthest_first__equals_float64_gonzalez(traversal, kind, dtype, n, d, k):
    check(examples(kind, n, d, dtype=dtype), k, start=5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [3, 8, 33])
def test_farthest_first__numpy_alone_equals_float64_gonzalez(monkeypatch, kind, d):
    monkeypatch.setenv("DISTILL_NUMBA", "0")
    check(examples(kind, 800, d), 100)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 12, 13, 100, 2000])
def test_farthest_first__any_number_of_features(path, d):
    check(examples("mixture", 250, d), 40)


@pytest.mark.parametrize("d", [1, 3, 6, 20])
def test_farthest_first__integers_equal_any_order_of_summation(path, d):
    X = np.random.default_rng(d).integers(-50, 50, (1500, d)).astype(np.float64)
    expected = gonzalez(X, 300, 0, lambda i: ((X - X[i]) ** 2).sum(axis=1))
    k = len(expected[0])
    indices, radii = farthest_first(X, k)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_array_equal(radii, expected[1])


@pytest.mark.parametrize("d", [2, 8, 30])
def test_farthest_first__larger_input_equals_float64_gonzalez(path, d):
    X = examples("mixture", 6_000, d, dtype=np.float32)
    indices, radii = farthest_first(X, 300)
    expected = gonzalez(X, 300)
    np.testing.assert_array_equal(indices, expected[0])
    np.testing.assert_array_equal(radii, expected[1])


@settings(max_examples=100, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 400),
    d=st.integers(1, 20),
    part=st.floats(0, 1),
    start=st.integers(0, 10**6),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float32, np.float64]),
    way=st.sampled_from(TRAVERSALS),
)
def test_farthest_first__equals_gonzalez_for_any_input(kind, n, d, part, start, seed, dtype, way):
    X = examples(kind, n, d, seed, dtype)
    k = max(1, round(part * n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_begin", way)
        patch.setattr("dask_distill.kernels.pruned._FRESH", 3)
        patch.setattr("dask_distill.kernels.lazy.BASE", 16)
        check(X, k, start % n)


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    kind=st.sampled_from(["mixture", "lattice", "duplicates"]),
    d=st.sampled_from([2, 6, 30]),
    between=st.sampled_from(["nothing", "copy", "pickle", "rest", "distances", "numpy"]),
    seed=st.integers(0, 1000),
)
def test_extend__any_split_gives_the_same_picks(steps, kind, d, between, seed):
    X = examples(kind, 600, d, seed)
    traversal = FarthestFirst(X)
    with pytest.MonkeyPatch.context() as patch:
        for number, k in enumerate(itertools.accumulate(steps)):
            if between == "numpy":
                patch.setenv("DISTILL_NUMBA", str(number % 2))
            traversal.extend(k)
            if between == "copy":
                traversal = traversal.copy()
            elif between == "rest":
                traversal.rest()
            elif between == "pickle":
                traversal = pickle.loads(pickle.dumps(traversal))
            elif between == "distances":
                traversal.squared_distances()
    whole = extended(X, sum(steps))
    np.testing.assert_array_equal(traversal.indices, whole.indices)
    np.testing.assert_array_equal(traversal.squared_radii, whole.squared_radii)
    np.testing.assert_array_equal(traversal.squared_distances(), whole.squared_distances())
    np.testing.assert_array_equal(traversal.nearest(), whole.nearest())


@pytest.mark.parametrize("d", [2, 6, 30])
def test_copy__leaves_the_first_as_it_was(path, d):
    X = examples("mixture", 1000, d)
    first = extended(X, 80)
    second = first.copy()
    second.extend(300)
    assert len(first.indices) == 80
    np.testing.assert_array_equal(first.squared_distances(), extended(X, 80).squared_distances())
    first.extend(200)
    np.testing.assert_array_equal(first.indices, second.indices[:200])


@pytest.mark.parametrize("d", [2, 6, 30])
def test_extend__stops_at_a_radius(path, d):
    X = examples("mixture", 1000, d)
    whole = extended(X, 400)
    stop = whole.squared_radii[150]
    part = FarthestFirst(X)
    part.extend(400, stop_squared=stop)
    assert len(part.indices) == int((whole.squared_radii > stop).sum())
    assert not part.exhausted
    part.extend(400)
    np.testing.assert_array_equal(part.indices, whole.indices)


@pytest.mark.parametrize("d", [2, 6, 30])
def test_resume__continues_where_others_have_begun(path, d):
    X = examples("mixture", 1000, d)
    whole = extended(X, 200)
    begun = extended(X, 60)
    rest = FarthestFirst.resume(X, begun.squared_distances())
    rest.extend(140)
    np.testing.assert_array_equal(rest.indices, whole.indices[60:])
    np.testing.assert_array_equal(rest.squared_radii, whole.squared_radii[60:])
    np.testing.assert_array_equal(rest.squared_distances(), whole.squared_distances())
    exact = [paired(X, np.arange(1000), X, np.full(1000, i)) for i in rest.indices]
    np.testing.assert_array_equal(rest.nearest(), np.argmin(exact, axis=0))


def test_resume__without_rows_has_nothing_to_pick():
    assert FarthestFirst.resume(np.zeros((0, 3)), np.zeros(0)).exhausted


@pytest.mark.parametrize(("d", "part"), [(2, 0.1), (8, 0.55), (64, 0.5)])
def test_pairs__of_clusters_are_less_than_half_of_all(path, d, part):
    rng = np.random.default_rng(0)
    cluster = rng.choice(50, 10_000, p=rng.dirichlet(np.ones(50)))
    X = rng.standard_normal((10_000, d)) * np.exp(0.5 * rng.standard_normal((50, 1)))[cluster]
    X += 3 * rng.standard_normal((50, d))[cluster]
    # a tree and cells are for compiled loops
    part = part if path == "numba" else 0.7
    assert 0 < extended(X, 1000).pairs < part * 10_000 * 1000


@pytest.mark.parametrize("d", [2, 6, 30])
def test_pairs__exactly_tied_rows_do_not_cost_more_than_all_pairs(path, d):
    # a simplex in each group: every row is equally far from every other
    X = np.zeros((20_000, d))
    X[np.arange(20_000), np.arange(20_000) % d] = 1.0
    traversal = extended(X, 50)
    assert traversal.indices.tolist() == list(range(d))[:50]
    assert traversal.exhausted
    assert traversal.pairs <= 20_000 * 60


def test_farthest_first__more_than_distinct_rows_warns_and_stops(path):
    X = np.repeat(examples("mixture", 30, 3), 10, axis=0)
    with pytest.warns(
        UserWarning, match="k must be at most the number of distinct rows 30, got 31"
    ):
        indices, radii = farthest_first(X, 31)
    assert len(indices) == len(radii) == 30
    assert len(np.unique(X[indices], axis=0)) == 30


def test_farthest_first__one_row(path):
    indices, radii = farthest_first(np.array([[2.0, 3.0]]), 1)
    assert indices.tolist() == [0]
    assert radii.tolist() == [np.inf]
    assert indices.dtype == np.int64
    assert radii.dtype == np.float64


def test_farthest_first__no_rows(path):
    with pytest.warns(UserWarning, match="distinct rows 0, got 1"):
        indices, radii = farthest_first(np.zeros((0, 4)), 1)
    assert len(indices) == len(radii) == 0
    traversal = FarthestFirst(np.zeros((0, 4)))
    assert traversal.exhausted
    assert traversal.covering_radius() == 0.0
    assert len(traversal.squared_distances()) == len(traversal.nearest()) == 0
    assert traversal.copy().exhausted


def test_farthest_first__integers_and_other_orders_are_taken(path):
    X = np.asfortranarray(np.random.default_rng(0).integers(0, 9, (200, 5)))
    np.testing.assert_array_equal(
        farthest_first(X, 20)[0], farthest_first(X.astype(np.float64), 20)[0]
    )
    view = X.astype(np.float64)[::2, ::-1]
    np.testing.assert_array_equal(farthest_first(view, 20)[0], farthest_first(view.copy(), 20)[0])


@pytest.mark.parametrize("k", [0, -1, True, 2.0, "3", None])
def test_farthest_first__k_must_be_a_positive_int(k):
    with pytest.raises(ValueError, match="k must be an int of at least 1, got"):
        farthest_first(np.zeros((3, 2)), k)


@pytest.mark.parametrize("start", [-1, 3, True])
def test_farthest_first__start_must_be_a_row(start):
    with pytest.raises(ValueError, match="start must be a row from 0 to 2, got"):
        farthest_first(np.zeros((3, 2)), 1, start=start)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_farthest_first__rows_must_be_finite(value):
    X = np.zeros((3, 2))
    X[1, 1] = value
    with pytest.raises(ValueError, match="X must be finite"):
        farthest_first(X, 1)


def test_farthest_first__rows_must_have_columns():
    with pytest.raises(ValueError, match=r"X must have rows and columns, got shape \(3,\)"):
        farthest_first(np.zeros(3), 1)


@pytest.mark.parametrize("d", [3, 8, 20])
def test_farthest_first__values_must_have_finite_squares(d):
    X = np.zeros((300, d))
    X[7] = 1e200
    with pytest.raises(ValueError, match="X must hold values below 1e"):
        farthest_first(X, 2)
