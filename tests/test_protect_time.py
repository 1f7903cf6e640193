"""Rows that are set apart, beside strategies that know the time."""

import dask.array as da
import numpy as np
import pytest

from dask_distill import InputError, distill

N, GAP = 4_000, np.timedelta64(24, "h")
WHEN = np.datetime64("2020-01-01") + np.arange(N) * np.timedelta64(3, "h")
MONTHS = WHEN.astype("M8[M]")
SPIKE = np.arange(1_000, 1_040)
STRATEGIES = {
    "spaced": {"min_gap": "24h"},
    "periods": {"period": "month"},
    "spans": {"period": 5, "balance": "equal"},
}


@pytest.fixture(scope="module")
def series():
    rng = np.random.default_rng(5)
    X = np.cumsum(rng.normal(size=(N, 3)), axis=0).astype(np.float32)
    return X, (X[:, 0] > np.median(X[:, 0])).astype(int)


def select(series, name, chunks=900, **asked):
    X, y = series
    return distill(
        da.from_array(X, chunks=(chunks, -1)),
        da.from_array(y, chunks=chunks),
        strategy="periods" if name == "spans" else name,
        options=STRATEGIES[name],
        time=WHEN,
        **{"size": 120} | asked,
    )


def distances(rows, others):
    return np.abs(WHEN[rows][:, None] - WHEN[others]).min(axis=1)


@pytest.mark.parametrize("apart", ["protect", "initial"])
@pytest.mark.parametrize("name", STRATEGIES)
def test_apart__same_bits_for_any_chunking_and_weights_of_the_others(series, name, apart):
    one, other = (select(series, name, chunks, **{apart: SPIKE}) for chunks in (900, N))
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert len(one) == 120
    there = np.isin(one.indices, SPIKE)
    assert there.sum() == (len(SPIKE) if apart == "protect" else 0)
    assert (one.weights[there] == 1).all()
    assert one.weights.sum() == pytest.approx(N - (0 if apart == "protect" else len(SPIKE)))


@pytest.mark.parametrize("apart", ["protect", "initial"])
def test_spaced__keeps_the_gap_to_rows_set_apart(series, apart):
    # as many as there can be: without the rule some are beside the spike
    found = select(series, "spaced", size=300, **{apart: SPIKE})
    drawn = np.setdiff1d(found.indices, SPIKE)
    assert (np.diff(WHEN[drawn]) >= GAP).all()
    assert (distances(drawn, SPIKE) >= GAP).all()
    # on both sides of it, not far from it
    near = drawn[distances(drawn, SPIKE) < 3 * GAP]
    assert near.min() < SPIKE[0]
    assert near.max() > SPIKE[-1]


def test_spaced__what_is_too_near_to_rows_set_apart_is_stood_for_by_the_nearest(series):
    found = select(series, "spaced", size=300, protect=SPIKE)
    own = np.isin(found.indices, SPIKE)
    beside = np.abs(found.indices - 1_020) < 60
    # rows of the spike stand for themselves, those around it for their day and the gap
    around = found.weights[beside & ~own]
    assert around.max() > np.median(found.weights[~own])
    assert found.weights[~own].sum() == pytest.approx(N - len(SPIKE))


def test_spaced__says_how_many_are_left_beside_rows_set_apart(series):
    every_day = np.arange(0, N, 8)
    with pytest.raises(InputError, match=r"at most the 0 rows .* got 20 beside 500 set apart"):
        select(series, "spaced", size=520, protect=every_day)


def test_periods__a_protected_row_saves_its_period(series):
    months = np.unique(MONTHS)
    # one of each month but two, and two rows more: no period is without a row
    first = np.array([np.flatnonzero(month == MONTHS)[0] for month in months[:-2]])
    found = select(series, "periods", size=len(months), protect=first)
    np.testing.assert_array_equal(np.unique(MONTHS[found.indices]), months)
    assert found.weights.sum() == pytest.approx(N)
    with pytest.raises(InputError, match=r"number of periods \(2 of period=month\), got 1 beside"):
        select(series, "periods", size=len(months) - 1, protect=first)
    # with more than the periods need, the others get some too
    more = select(series, "periods", size=len(months) + 5, protect=first)
    assert len(np.unique(MONTHS[np.setdiff1d(more.indices, first)])) == 7


def test_periods__a_period_that_is_protected_as_a_whole_is_no_gap(series):
    month = np.flatnonzero(np.datetime64("2020-03") == MONTHS)
    found = select(series, "periods", size=len(month) + 60, protect=month)
    drawn = np.setdiff1d(found.indices, month)
    assert len(np.unique(MONTHS[drawn])) == len(np.unique(MONTHS)) - 1
    # the last span is where time ends, whoever is there
    late = np.arange(N - 700, N)
    spans = select(series, "spans", size=800, protect=late)
    of = np.minimum(5 * np.setdiff1d(spans.indices, late) // (N - 1), 4)
    np.testing.assert_array_equal(np.bincount(of), [20, 20, 20, 20, 20])
