"""hierarchical: the budget split alike at every level, whatever the density."""

import dask
import dask.array as da
import numpy as np
import pytest
from blocks import select
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill
from dask_distill.kernels.hierarchy import clusters_above, even_quotas
from dask_distill.strategies import Hierarchical, make_strategy


def unbalanced(n=4_000, d=4, seed=0):
    """Eight groups, each half as large as the one before."""
    rng = np.random.default_rng(seed)
    share = 0.5 ** np.arange(8)
    group = rng.choice(8, n, p=share / share.sum())
    X = (rng.normal(size=(8, d)) * 6)[group] + rng.normal(size=(n, d))
    return X.astype(np.float32), group


# ---------------------------------------------------------------- kernels


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 999), st.floats(0, 1))
def test_even_quotas__sum_to_the_size_and_are_even_where_there_is_room(leaves, seed, part):
    rng = np.random.default_rng(seed)
    rows = rng.integers(1, 50, leaves)
    middle = np.unique(rng.integers(0, 8, leaves), return_inverse=True)[1]
    top = np.unique(rng.integers(0, 3, middle.max() + 1), return_inverse=True)[1]
    size = int(part * rows.sum())
    quotas = even_quotas(size, rows, [middle, top])
    assert quotas.sum() == size
    assert np.all((quotas >= 0) & (quotas <= rows))
    above = np.bincount(top[middle], weights=quotas)
    room = above < np.bincount(top[middle], weights=rows)
    if room.any():
        # what an exhausted one leaves is rounded anew
        assert above.max() <= above[room].min() + len(above)


def test_clusters_above__members_of_a_cluster_are_near_each_other():
    X, group = unbalanced()
    (parent,) = clusters_above(X[:800], levels=1, shrink=100, resample=3, seed=0)
    assert parent.max() + 1 <= 8
    within = np.mean([(X[:800][parent == c].std(axis=0) ** 2).sum() for c in np.unique(parent)])
    assert within < 0.5 * (X[:800].std(axis=0) ** 2).sum()
    assert len(group) == 4_000
    assert clusters_above(X[:3], levels=3, shrink=10, resample=1, seed=0) == []


# ---------------------------------------------------------------- the strategy


@pytest.mark.parametrize("parts", [1, 11])
def test_hierarchical__rare_groups_are_lifted(parts):
    X, group = unbalanced()
    found = select(Hierarchical(), X, None, 200, parts)
    rows, taken = np.bincount(group) / 4_000, np.bincount(group[found.rows], minlength=8) / 200

    def entropy(p):
        return -np.sum(p[p > 0] * np.log(p[p > 0]))

    assert entropy(taken) > entropy(rows) + 0.3
    assert taken.min() > 0
    # weights undo it
    weighed = np.bincount(group[found.rows], weights=found.weights) / found.weights.sum()
    assert np.abs(weighed - rows).max() < 0.08
    assert found.facts["clusters"][0] <= 200
    assert len(found.facts["clusters"]) == 3


def test_hierarchical__resampling_flattens_more_than_plain_clustering():
    X, group = unbalanced()
    largest = [
        np.bincount(group[select(Hierarchical(resample=r), X, None, 200, 5).rows]).max()
        for r in (0, 3)
    ]
    assert largest[1] <= largest[0]
    assert largest[0] < 0.5 * 200


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_hierarchical__exactly_so_many_rows_duplicates_included(data):
    n, d = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    X = rng.integers(0, data.draw(st.integers(1, 9)), size=(n, d)).astype(np.float32)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6).map(sorted))
    size = data.draw(st.integers(1, n))
    strategy = Hierarchical(
        levels=data.draw(st.integers(1, 4)),
        shrink=data.draw(st.integers(2, 5)),
        leaves=data.draw(st.integers(0, 40)),
    )
    found = select(strategy, X, None, size, np.diff([0, *cuts, n]))
    assert np.isfinite(found.weights).all()


def test_hierarchical__same_bits_for_any_chunking():
    X, _ = unbalanced(9_000)
    results = []
    for chunks, scheduler in [(9_000, "sync"), (1_234, "threads"), (4_097, "sync")]:
        with dask.config.set(scheduler=scheduler):
            found = distill(
                da.from_array(X, chunks=(chunks, -1)), size=300, strategy="hierarchical"
            )
        told = repr(found.provenance["selection"])
        results.append((found.indices.tobytes(), found.weights.tobytes(), told))
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 0}, "levels must be from 1 to 6, got 0"),
        ({"shrink": 1}, "shrink must be from 2 to 1,000, got 1"),
        ({"leaves": -1}, "leaves must be from 0 to 100,000, got -1"),
        ({"resample": 21}, "resample must be from 0 to 20, got 21"),
        ({"metric": "l1"}, "metric must be"),
    ],
)
def test_hierarchical__refuses_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        make_strategy("hierarchical", options)


def test_footprint__counts_the_rounds_that_are_run():
    X, _ = unbalanced()
    found = select(Hierarchical(), X, None, 60, 3)
    footprint = Hierarchical().footprint(4_000, 4, 1, 60)
    assert len(found.ledger.rounds) <= footprint.rounds <= len(found.ledger.rounds) + 2
