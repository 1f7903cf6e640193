"""Cells: a partition into parts of equal mass, and one row of the middle of each."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.cells import (
    Cells,
    Room,
    _stable_argsort,
    _within_cells,
    halve,
    representatives,
    totals,
)


def parts(cells):
    return np.split(cells.order, cells.bounds[1:-1])


def as_sets(cells, names=None):
    return {frozenset((part if names is None else names[part]).tolist()) for part in parts(cells)}


def spread_within(X, cells):
    """Sum of squared distances to the cells' means."""
    clouds = [X[part].astype(np.float64) for part in parts(cells)]
    return sum(((cloud - cloud.mean(axis=0)) ** 2).sum() for cloud in clouds)


@st.composite
def clouds(draw):
    """Rows that may repeat, a number of cells, and masses."""
    n, d = draw(st.integers(1, 120)), draw(st.integers(1, 5))
    count = draw(st.integers(1, n))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = rng.normal(size=(n, d)).astype(draw(st.sampled_from([np.float32, np.float64])))
    X = X[rng.integers(0, draw(st.integers(1, n)), n)]
    return X, count, rng.lognormal(sigma=draw(st.sampled_from([0.0, 1.0, 5.0])), size=n)


VALUES = [0.0, -0.0, 1e-45, -1e-45, 1.0, -1.0, 3e38, -3e38, np.inf, -np.inf]


@given(
    st.lists(st.sampled_from(VALUES) | st.floats(width=32, allow_nan=False), max_size=40),
    st.sampled_from([np.float32, np.float64]),
)
def test_stable_argsort__is_that_of_numpy(values, dtype):
    both = np.array([values, values[::-1]], dtype)
    assert np.array_equal(_stable_argsort(both), both.argsort(axis=1, kind="stable"))


@given(
    st.lists(st.integers(0, 5), max_size=40).map(sorted),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 99),
)
def test_within_cells__is_lexsort(cell, dtype, seed):
    squared = np.abs(np.array([*VALUES, np.nan, 2.0], dtype))
    squared = np.random.default_rng(seed).choice(squared, len(cell))
    cell = np.array(cell, np.int64)
    assert np.array_equal(_within_cells(cell, squared), np.lexsort((squared, cell)))


@settings(deadline=None)
@given(clouds(), st.integers(0, 9))
def test_halve__partitions_the_rows_into_cells_that_are_not_empty(case, seed):
    X, count, mass = case
    cells = halve(X, count, np.random.default_rng(seed), mass)
    assert len(cells) == count
    assert cells.order.dtype == cells.bounds.dtype == np.int64
    assert (cells.bounds[0], cells.bounds[-1]) == (0, len(X))
    assert np.all(np.diff(cells.bounds) >= 1)
    assert np.array_equal(np.sort(cells.order), np.arange(len(X)))


@settings(deadline=None)
@given(clouds(), st.integers(0, 9))
def test_halve__without_masses_sizes_differ_by_one_at_most(case, seed):
    X, count, _ = case
    sizes = np.diff(halve(X, count, np.random.default_rng(seed)).bounds)
    assert set(sizes) <= {len(X) // count, -(-len(X) // count)}


@settings(deadline=None)
@given(clouds(), st.integers(0, 9))
def test_halve__masses_are_equal_to_within_two_rows(case, seed):
    X, count, mass = case
    # clear of the limit where every cell needs a row of its own
    count = max(1, count // 8)
    mass = np.clip(mass, 0.5, 2)
    cells = halve(X, count, np.random.default_rng(seed), mass)
    assert np.all(np.abs(totals(cells, mass) - mass.sum() / count) <= 2 * mass.max())


@settings(deadline=None)
@given(clouds(), st.integers(0, 9))
def test_totals__sum_to_the_whole_and_to_each_cells_own(case, seed):
    X, count, mass = case
    cells = halve(X, count, np.random.default_rng(seed), mass)
    got = totals(cells, mass)
    np.testing.assert_allclose(got, [mass[part].sum() for part in parts(cells)], rtol=1e-12)
    assert totals(cells, np.ones(len(X))).sum() == len(X)


def test_halve__as_many_cells_as_rows_gives_each_its_own():
    X = np.random.default_rng(0).normal(size=(37, 3))
    cells = halve(X, 37, np.random.default_rng(0))
    assert np.array_equal(np.diff(cells.bounds), np.ones(37))
    picks = representatives(X, cells, np.random.default_rng(0))
    assert np.array_equal(np.sort(picks), np.arange(37))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 3.0, 1e6])
def test_halve__divides_rows_that_are_all_alike(kind, value):
    X = np.full((1000, 4), value, kind)
    cells = halve(X, 7, np.random.default_rng(0))
    assert set(np.diff(cells.bounds)) == {142, 143}
    assert len(set(representatives(X, cells, np.random.default_rng(0)))) == 7


@pytest.mark.parametrize("count", [0, 4, -1])
def test_halve__refuses_more_cells_than_rows_and_none(count):
    with pytest.raises(ValueError, match="count must be from 1 to the number of rows 3"):
        halve(np.zeros((3, 2)), count, np.random.default_rng(0))


def test_halve__finds_clusters_that_lie_apart():
    rng = np.random.default_rng(1)
    corners = np.array([[0, 0, 0], [100, 0, 0], [0, 40, 0], [100, 40, 0]], float)
    label = np.repeat(np.arange(4), 50)
    X = corners[label] + rng.normal(size=(200, 3))
    assert as_sets(halve(X, 4, rng)) == {frozenset(np.flatnonzero(label == c)) for c in range(4)}


def test_halve__is_near_the_cuts_of_the_exact_principal_direction():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(3000, 8)) * np.geomspace(4, 0.5, 8)
    _, _, directions = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    order = np.argsort((X - X.mean(axis=0)) @ directions[0])
    exact = Cells(order, np.array([0, 1500, 3000]))
    assert spread_within(X, halve(X, 2, rng)) < 1.02 * spread_within(X, exact)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_halve__does_not_mind_an_offset_far_above_the_spread(offset):
    X = np.random.default_rng(3).normal(size=(20_000, 16)) * np.geomspace(8, 1, 16)
    moved = (X + offset).astype(np.float32)
    here = spread_within(X, halve(X.astype(np.float32), 500, np.random.default_rng(0)))
    there = spread_within(X, halve(moved, 500, np.random.default_rng(0)))
    assert there < 1.005 * here


@pytest.mark.parametrize("factor", [1e-9, 1e6])
def test_halve__does_not_mind_the_unit(factor):
    X = np.random.default_rng(4).normal(size=(400, 5)).astype(np.float32)
    scaled = X * np.float32(factor)
    assert spread_within(X, halve(scaled, 8, np.random.default_rng(0))) == pytest.approx(
        spread_within(X, halve(X, 8, np.random.default_rng(0))), rel=0.02
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_halve__partitions_rows_whose_squares_overflow(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 3)).astype(kind)
    X[rng.random(900) < 0.2] *= np.finfo(kind).max / 1e5
    cells = halve(X, 200, np.random.default_rng(0))
    assert np.array_equal(np.sort(cells.order), np.arange(900))
    assert set(np.diff(cells.bounds)) == {4, 5}
    picks = representatives(X, cells, np.random.default_rng(0))
    assert all(pick in part for part, pick in zip(parts(cells), picks, strict=True))


def test_halve__and_representatives__one_room_serves_all():
    rng = np.random.default_rng(0)
    room = Room()
    for n, d, kind in [(30, 2, np.float32), (4000, 7, np.float32), (50, 3, np.float64)] * 2:
        X = rng.normal(size=(n, d)).astype(kind)
        alone = halve(X, n // 5, np.random.default_rng(1))
        shared = halve(X, n // 5, np.random.default_rng(1), None, room)
        assert np.array_equal(alone.order, shared.order)
        picks = representatives(X, alone, np.random.default_rng(1))
        again = representatives(X, alone, np.random.default_rng(1), room=room)
        assert np.array_equal(picks, again)


@settings(deadline=None)
@given(clouds(), st.integers(0, 9))
def test_halve__and_representatives__are_the_same_again(case, seed):
    X, count, mass = case
    before = X.copy()
    got = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        cells = halve(X, count, rng, mass)
        got.append((cells.order, cells.bounds, representatives(X, cells, rng)))
    for left, right in zip(*got, strict=True):
        assert np.array_equal(left, right)
    assert np.array_equal(X, before)


@pytest.mark.parametrize("seed", range(5))
def test_halve__does_not_depend_on_the_order_of_few_rows(seed):
    """Up to 512 rows vote all, and a power of two has no odd split."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(512, 4))
    shuffled = rng.permutation(512)
    plain = halve(X, 32, np.random.default_rng(0))
    moved = halve(X[shuffled], 32, np.random.default_rng(9))
    assert as_sets(plain) == as_sets(moved, shuffled)


@settings(deadline=None)
@given(clouds(), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.booleans())
def test_representatives__lie_in_the_nearest_part_of_their_cell(case, near, weighted):
    X, count, mass = case
    cells = halve(X, count, np.random.default_rng(0))
    weight = mass if weighted else None
    picks = representatives(X, cells, np.random.default_rng(1), weight=weight, near=near)
    assert picks.shape == (count,)
    assert picks.dtype == np.int64
    for part, pick in zip(parts(cells), picks, strict=True):
        assert pick in part
        cloud = X[part].astype(np.float64)
        mean = np.average(cloud, axis=0, weights=mass[part] if weighted else None)
        distance = np.linalg.norm(cloud - mean, axis=1)
        allowed = np.sort(distance)[max(1, int(np.ceil(near * len(part)))) - 1]
        assert distance[part == pick][0] <= allowed * (1 + 1e-5) + 1e-6


def test_representatives__differ_by_chance_within_the_nearest_part():
    X = np.arange(11, dtype=float)[:, None]
    cells = halve(X, 1, np.random.default_rng(0))
    rng = np.random.default_rng(5)
    drawn = np.bincount(
        np.concatenate([representatives(X, cells, rng, near=0.5) for _ in range(600)]),
        minlength=11,
    )
    assert drawn[[0, 1, 9, 10]].sum() == 0
    # six of eleven rows: five around the middle, and one of the two next to them
    assert np.all(drawn[3:8] > 40)


@pytest.mark.parametrize("near", [0.5, 0.7, 1.0])
def test_representatives__of_two_rows_are_either_by_chance(near):
    X = np.array([[0.0], [1.0]])
    cells = halve(X, 1, np.random.default_rng(0))
    rng = np.random.default_rng(6)
    drawn = np.bincount(
        np.concatenate([representatives(X, cells, rng, near=near) for _ in range(2000)])
    )
    assert np.all(np.abs(drawn - 1000) < 150)
    heavy = representatives(X, cells, rng, weight=np.array([1.0, 3.0]), near=0.5)
    assert heavy.tolist() == [1]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_representatives__make_up_for_each_other(kind, weighted):
    """The mean of what they stand for is far nearer to the data's than by a draw of each cell."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 3)).astype(kind)
    weight = rng.uniform(0.5, 2, 3000) if weighted else np.ones(3000)
    cells = halve(X, 60, rng)
    stand_for = totals(cells, weight)
    picks = representatives(X, cells, rng, weight=weight if weighted else None, near=1)
    drawn = [rng.choice(part) for part in parts(cells)]
    target = np.average(X, axis=0, weights=weight)
    apart = [
        np.linalg.norm(np.average(X[chosen], axis=0, weights=stand_for) - target)
        for chosen in (picks, drawn)
    ]
    assert apart[0] < 0.01
    assert apart[0] < 0.3 * apart[1]
