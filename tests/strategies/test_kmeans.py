"""kmeans: as good as scikit-learn's, the nearest row to each center, exactly so many rows."""

import dask
import dask.array as da
import numpy as np
import pytest
import sklearn.cluster
from blocks import select
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill
from dask_distill.kernels.kmeans import cluster_sums, weighted_kmeans
from dask_distill.strategies import KMeans


def mixture(n=6_000, d=8, seed=0, groups=20):
    rng = np.random.default_rng(seed)
    group = rng.choice(groups, n, p=rng.dirichlet(np.ones(groups)))
    X = rng.normal(size=(groups, d))[group] * 3 + rng.normal(size=(n, d))
    return X.astype(np.float32), group


def peer_inertia(X, k, seed=0):
    return sklearn.cluster.KMeans(k, n_init=1, random_state=seed).fit(X).inertia_


# ---------------------------------------------------------------- kernels


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(1, 8), st.integers(0, 999))
def test_cluster_sums__equal_those_of_a_loop(n, k, seed):
    rng = np.random.default_rng(seed)
    X, nearest = rng.normal(size=(n, 3)), rng.integers(0, k, n)
    weights = rng.uniform(0.5, 2, n)
    clusters, counts, sums = cluster_sums(X, nearest, weights)
    assert np.array_equal(clusters, np.unique(nearest))
    for place, cluster in enumerate(clusters):
        mine = nearest == cluster
        assert counts[place] == pytest.approx(weights[mine].sum())
        np.testing.assert_allclose(sums[place], weights[mine] @ X[mine])
    plain = cluster_sums(X, nearest)
    np.testing.assert_allclose(plain[1], np.bincount(nearest, minlength=k)[clusters])


@pytest.mark.parametrize("together", [100, 16_384])
def test_weighted_kmeans__is_as_good_as_scikit_learns(monkeypatch, together):
    monkeypatch.setattr("dask_distill.kernels.kmeans._TOGETHER", together)
    X, _ = mixture(1_500)
    weights = np.random.default_rng(1).uniform(0.5, 3, len(X))
    centers = weighted_kmeans(X, weights, 60, 0, iterations=30)
    assert centers.shape == (60, 8)
    squared = ((X[:, None].astype(float) - centers[None]) ** 2).sum(2).min(1)
    peer = sklearn.cluster.KMeans(60, n_init=1, random_state=0).fit(X, sample_weight=weights)
    assert weights @ squared <= 1.06 * peer.inertia_


# ---------------------------------------------------------------- the strategy


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize("k", [20, 300])
def test_kmeans__inertia_is_that_of_scikit_learn(k, order):
    X, group = mixture()
    X = X[np.argsort(group, kind="stable")] if order == "sorted" else X
    found = select(KMeans(iterations=5), X, None, k, parts=20)
    peers = [peer_inertia(X, k, seed) for seed in range(3)]
    assert found.facts["inertia"] <= 1.06 * np.mean(peers)


def test_kmeans__takes_the_nearest_row_of_each_cluster_with_its_weight():
    X, _ = mixture()
    found = select(KMeans(), X, None, 100, parts=7)
    assert found.facts["clusters"] == 100
    assert found.weights.sum() == len(X)
    distance = found.scores["center_distance"]
    squared = ((X[:, None].astype(float) - X[found.rows][None]) ** 2).sum(2)
    # the rows stand for their clusters: little more than the centers themselves
    assert squared.min(1).sum() <= 1.25 * found.facts["inertia"]
    assert (distance**2).max() < squared.min(1).max()
    by_nearest = np.bincount(squared.argmin(1), minlength=100)
    assert np.corrcoef(by_nearest, found.weights)[0, 1] > 0.8


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_kmeans__exactly_so_many_rows_duplicates_included(data):
    n, d = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    X = rng.integers(0, data.draw(st.integers(1, 9)), size=(n, d)).astype(np.float32)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6).map(sorted))
    size = data.draw(st.integers(1, n))
    found = select(
        KMeans(iterations=data.draw(st.integers(0, 2))), X, None, size, np.diff([0, *cuts, n])
    )
    assert found.weights.sum() == n
    assert np.isfinite(found.scores["center_distance"]).all()


def test_kmeans__the_metric_and_the_scale_count():
    X, _ = mixture(1_000)
    X = X * np.geomspace(0.01, 100, 8).astype(np.float32)
    rows = [
        select(KMeans(metric, scale), X, None, 50, 4).rows.tolist()
        for metric in ("euclidean", "cosine")
        for scale in ("none", "standard")
    ]
    assert len({tuple(r) for r in rows}) == 4


def test_kmeans__same_bits_for_any_chunking():
    X, _ = mixture(9_000)
    results = []
    for chunks, scheduler in [(9_000, "sync"), (1_234, "threads"), (4_097, "sync")]:
        with dask.config.set(scheduler=scheduler):
            found = distill(da.from_array(X, chunks=(chunks, -1)), size=300, strategy="kmeans")
        told = found.provenance["selection"]["inertia"]
        results.append((found.indices.tobytes(), found.weights.tobytes(), told))
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "l1"}, "metric must be"),
        ({"scale": "minmax"}, "scale must be"),
        ({"iterations": -1}, "iterations must be from 0 to 100, got -1"),
    ],
)
def test_kmeans__refuses_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        KMeans(**options)


def test_footprint__counts_the_rounds_that_are_run():
    X, _ = mixture(2_000)
    found = select(KMeans(), X, None, 60, 3)
    footprint = KMeans().footprint(2_000, 8, 1, 60)
    assert len(found.ledger.rounds) <= footprint.rounds <= len(found.ledger.rounds) + 2
    assert max(r.answer_bytes for r in found.ledger.rounds) <= (
        3 * footprint.answer_bytes_per_block + 60 * footprint.pool_rows
    )
