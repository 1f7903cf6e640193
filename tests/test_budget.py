"""Quotas: they sum to the total, stay within bounds, and follow their shares."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from dask_distill.kernels.quotas import class_quotas, largest_remainder, systematic


@st.composite
def demands(draw, largest=50):
    """A total, shares, and rows available for it."""
    groups = draw(st.integers(1, 12))
    available = np.array(
        draw(st.lists(st.integers(0, largest), min_size=groups, max_size=groups)), np.int64
    )
    share = st.integers(0, 100).map(float) | st.floats(0, 1e308) | st.just(0.0)
    shares = draw(st.lists(share, min_size=groups, max_size=groups))
    total = draw(st.integers(0, int(available.sum())))
    return total, shares, available


@settings(deadline=None)
@given(demands())
@example((3, [1e308, 1e308, 1e-320], np.array([2, 2, 2])))
@example((2, [0.0, 5e-324], np.array([1, 1])))
@example((4, [0.0, 0.0], np.array([0, 4])))
def test_every_rule__sums_to_the_total_within_what_is_available(demand):
    total, shares, available = demand
    for quota in (
        largest_remainder(total, shares, available),
        class_quotas(total, shares, available, floor=3),
        systematic(total, shares, available),
    ):
        assert quota.dtype == np.int64
        assert quota.sum() == total
        assert np.all((quota >= 0) & (quota <= available))


@settings(deadline=None)
@given(demands(largest=1000))
def test_largest_remainder__is_within_a_row_of_the_share_where_there_is_room(demand):
    total, shares, _ = demand
    room = np.full(len(shares), total, np.int64)
    weight = np.array(shares) / max(max(shares), 1e-300)
    if weight.sum() == 0:
        return
    exact = total * weight / weight.sum()
    assert np.all(np.abs(largest_remainder(total, shares, room) - exact) < 1 + 1e-9)


@pytest.mark.parametrize("rule", [largest_remainder, lambda *args: class_quotas(*args, floor=2)])
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=10),
    st.floats(0, 1),
)
def test_quotas__grow_with_the_share_and_with_what_is_available(rule, groups, part):
    # who has the larger share has no fewer rows
    shares, available = np.sort(np.array(groups), axis=0).T
    available = available + 1
    total = int(part * available.sum())
    quota = rule(total, shares.astype(float), available)
    order = np.argsort(shares, kind="stable")
    strictly = np.diff(shares[order]) > 0
    assert np.all(np.diff(quota[order])[strictly] >= 0)


@settings(deadline=None)
@given(demands(), st.integers(1, 10))
def test_class_quotas__give_every_class_its_floor_while_there_is_room(demand, floor):
    total, shares, available = demand
    quota = class_quotas(total, shares, available, floor)
    if np.minimum(available, floor).sum() <= total:
        assert np.all(quota >= np.minimum(available, floor))
    elif (available > 0).sum() <= total:
        assert np.all(quota[available > 0] >= 1)
    else:
        assert quota.max() <= 1


@settings(deadline=None)
@given(demands(largest=1000))
def test_class_quotas__above_the_floors_are_the_shares(demand):
    total, shares, available = demand
    plain = largest_remainder(total, shares, available)
    if np.all(plain >= np.minimum(available, 2)):
        assert np.array_equal(class_quotas(total, shares, available, 2), plain)


def test_class_quotas__of_fewer_rows_than_classes_serve_the_largest_shares():
    quota = class_quotas(2, [5, 1, 9, 7], np.array([5, 1, 0, 7]), floor=4)
    assert quota.tolist() == [1, 0, 0, 1]
    assert class_quotas(1, [0, 0, 9], np.array([3, 3, 0]), floor=1).tolist() == [1, 0, 0]


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=30).filter(any),
    st.floats(0, 1),
)
def test_systematic__any_run_is_within_a_row_of_its_share(rows, part):
    rows = np.array(rows, np.int64)
    total = int(part * rows.sum())
    quota = systematic(total, rows.astype(float), rows)
    exact = np.cumsum(total * rows / rows.sum())
    drift = np.concatenate([[0], np.cumsum(quota) - exact])
    assert np.all(np.abs(drift) <= 0.5 + 1e-9)
    assert drift.max() - drift.min() <= 1 + 1e-9
    # no block is asked for more than its share, rounded up
    assert np.all(quota <= np.ceil(total * rows / rows.sum() - 1e-9) + 1e-9)


def test_systematic__a_share_of_one_gets_one():
    assert systematic(2, [0.5, 1, 0.5], np.array([9, 9, 9])).tolist() == [1, 1, 0]
    assert systematic(500, np.ones(1000), np.ones(1000, int)).reshape(-1, 2).sum(axis=1).max() == 1


def test_systematic__what_a_block_lacks_goes_to_those_with_room():
    assert systematic(6, [1, 1, 1], np.array([0, 2, 9])).tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    "rule",
    [largest_remainder, systematic, lambda *args: class_quotas(*args, floor=1)],
)
def test_every_rule__refuses_more_than_there_is(rule):
    with pytest.raises(ValueError, match="at most the 3 rows available, got 4"):
        rule(4, [1.0, 1.0], np.array([1, 2]))


def test_every_rule__of_nothing_gives_nothing():
    none = np.zeros(3, np.int64)
    assert largest_remainder(0, [1, 2, 3], none).tolist() == [0, 0, 0]
    assert systematic(0, [0, 0, 0], none).tolist() == [0, 0, 0]
    assert systematic(0, [1, 2, 3], np.array([1, 1, 1])).tolist() == [0, 0, 0]
    assert class_quotas(0, [1, 2, 3], np.array([1, 1, 1]), floor=5).tolist() == [0, 0, 0]


def test_every_rule__is_quick_for_a_hundred_thousand_groups():
    rng = np.random.default_rng(0)
    available = rng.integers(1, 4, 100_000)
    shares = rng.lognormal(sigma=4, size=100_000)
    for quota in (
        largest_remainder(150_000, shares, available),
        class_quotas(150_000, shares, available, floor=10),
        systematic(150_000, shares, available),
    ):
        assert quota.sum() == 150_000
