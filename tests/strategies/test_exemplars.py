"""coverage and kmedoids: near plain greedy choice and PAM on all rows, for any partition."""

import itertools

import dask
import dask.array as da
import numpy as np
import pytest
from blocks import select
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill
from dask_distill.kernels import exemplars
from dask_distill.kernels.exemplars import choose_exemplars, distances, greedy, swapped
from dask_distill.strategies import Coverage, KMedoids
from dask_distill.strategies.parts import exemplars as exemplar_steps


def mixture(n=2_000, d=5, seed=0, groups=15):
    rng = np.random.default_rng(seed)
    group = rng.choice(groups, n, p=rng.dirichlet(np.ones(groups)))
    X = rng.normal(size=(groups, d))[group] * 3 + rng.normal(size=(n, d))
    return X.astype(np.float32), group % 3


def cost(D, weights, picks):
    return float(weights @ D[:, picks].min(axis=1))


def plain_greedy(D, weights, k):
    """Every gain anew, every time."""
    picks = []
    for _ in range(k):
        current = D[:, picks].min(axis=1) if picks else np.full(len(D), D.max() * 2)
        gains = np.maximum(current[:, None] - D, 0).T @ weights
        gains[picks] = -1
        picks.append(int(gains.argmax()))
    return picks


# ---------------------------------------------------------------- kernels


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.integers(1, 3), st.integers(0, 999), st.data())
def test_greedy__equals_the_plain_algorithm(m, d, seed, data):
    rng = np.random.default_rng(seed)
    D = distances(rng.normal(size=(m, d)))
    weights = rng.uniform(0.5, 5, m)
    k = data.draw(st.integers(1, m))
    found = greedy(D, weights, k)
    assert len(set(found.tolist())) == k
    expected = plain_greedy(D, weights, k)
    # equal up to ties that rounding decides
    assert cost(D, weights, found) == pytest.approx(cost(D, weights, expected), rel=1e-9, abs=1e-9)
    if k <= m // 2:
        assert found.tolist() == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 9), st.integers(0, 999), st.data())
def test_greedy__reaches_its_guarantee(m, seed, data):
    rng = np.random.default_rng(seed)
    D = distances(rng.normal(size=(m, 2)))
    weights = rng.uniform(0.5, 5, m)
    k = data.draw(st.integers(1, m))
    none = float(D.max() * weights.sum())
    best = min(cost(D, weights, list(s)) for s in itertools.combinations(range(m), k))
    value = none - cost(D, weights, greedy(D, weights, k))
    assert value >= (1 - 1 / np.e) * (none - best) - 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(0, 999), st.data())
def test_swapped__no_swap_is_left_that_helps(m, seed, data):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 6, (m, 2)) if data.draw(st.booleans()) else rng.normal(size=(m, 2))
    D = distances(X)
    weights = rng.uniform(0.5, 5, m)
    k = data.draw(st.integers(1, m))
    found = swapped(D, weights, rng.choice(m, k, replace=False))
    assert len(set(found.tolist())) == k
    reached = cost(D, weights, found)
    for place, row in itertools.product(range(k), range(m)):
        other = found.copy()
        other[place] = row
        assert cost(D, weights, other) >= reached - 1e-9 * (1 + reached)


def test_swapped__is_as_good_as_pam():
    """PAM: the best of all swaps, until none helps."""
    X, _ = mixture(150, 2)
    D, weights = distances(X), np.ones(150)
    picks = greedy(D, weights, 8)
    mine = cost(D, weights, swapped(D, weights, picks))
    pam = picks.copy()
    while True:
        tries = []
        for place, row in itertools.product(range(8), range(150)):
            other = pam.copy()
            other[place] = row
            tries.append((cost(D, weights, other), place, row))
        best = min(tries)
        if best[0] >= cost(D, weights, pam) - 1e-9:
            break
        pam[best[1]] = best[2]
    assert mine <= 1.02 * cost(D, weights, pam)


def test_choose_exemplars__in_parts_is_nearly_as_good(monkeypatch):
    X, _ = mixture(1_200)
    D, weights = distances(X), np.random.default_rng(0).uniform(1, 4, 1_200)
    whole = choose_exemplars(X, weights, 90, 0, swap=True)
    monkeypatch.setattr(exemplars, "MOST_TOGETHER", 300)
    parts = choose_exemplars(X, weights, 90, 0, swap=True)
    assert len(np.unique(parts)) == 90
    assert cost(D, weights, parts) <= 1.1 * cost(D, weights, whole)


# ---------------------------------------------------------------- the strategies


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize(("k", "limit"), [(20, 1.08), (200, 1.1)])
def test_coverage__cost_is_nearly_that_of_greedy_on_all_rows(monkeypatch, k, limit, order):
    monkeypatch.setattr(exemplar_steps, "CHEAP", 500)
    X, y = mixture()
    X = X[np.argsort(y, kind="stable")] if order == "sorted" else X
    D, weights = distances(X), np.ones(len(X))
    expected = cost(D, weights, greedy(D, weights, k)) / len(X)
    found = select(Coverage(scale="none"), X, None, k, parts=10)
    assert found.facts["mean_distance"] == pytest.approx(cost(D, weights, found.rows) / len(X))
    assert found.facts["mean_distance"] <= limit * expected
    full = select(Coverage(scale="none", full=True), X, None, k, parts=10)
    assert full.facts["mean_distance"] <= 1.03 * expected
    assert full.facts["rows_moved"] >= found.facts["rows_moved"]
    if k == 200:
        assert found.facts["rows_moved"] == 600
    assert np.array_equal(found.weights, np.bincount(D[:, found.rows].argmin(1), minlength=k))


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize(("k", "limit"), [(20, 1.05), (200, 1.08)])
def test_kmedoids__cost_is_nearly_that_of_swaps_on_all_rows(k, limit, order):
    X, y = mixture()
    X = X[np.argsort(y, kind="stable")] if order == "sorted" else X
    D, weights = distances(X), np.ones(len(X))
    pam = cost(D, weights, swapped(D, weights, greedy(D, weights, k))) / len(X)
    found = select(KMedoids(), X, None, k, parts=10)
    assert found.facts["mean_distance"] <= limit * pam
    assert found.weights.sum() == len(X)
    if k == 20:
        random = np.random.default_rng(0).choice(len(X), k, replace=False)
        assert found.facts["mean_distance"] < 0.85 * cost(D, weights, random) / len(X)


def test_kmedoids__all_rows_offered_is_a_local_optimum():
    X, _ = mixture(60, 2)
    found = select(KMedoids(oversample=20), X, None, 6, parts=4)
    assert found.facts["rows_moved"] == 60
    D, weights = distances(X), np.ones(60)
    reached = cost(D, weights, found.rows)
    for place, row in itertools.product(range(6), range(60)):
        other = found.rows.copy()
        other[place] = row
        assert cost(D, weights, other) >= reached - 1e-9


@pytest.mark.parametrize("balance", ["proportional", "sqrt", "equal"])
def test_coverage__quotas_and_weights_are_the_classes(balance):
    X, y = mixture()
    found = select(Coverage(balance=balance), X, y, 120, 7)
    rows, taken = np.bincount(y).astype(float), np.bincount(y[found.rows])
    share = {"proportional": rows, "sqrt": np.sqrt(rows), "equal": np.ones(3)}[balance]
    np.testing.assert_allclose(taken, 120 * share / share.sum(), atol=1)
    np.testing.assert_allclose(np.bincount(y[found.rows], weights=found.weights), rows)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_exemplars__exactly_so_many_rows_duplicates_included(data):
    n, d = data.draw(st.integers(6, 150)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    X = rng.integers(0, data.draw(st.integers(1, 9)), size=(n, d)).astype(np.float32)
    y = rng.permutation(np.arange(n) % 3)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6).map(sorted))
    size = data.draw(st.integers(1, n))
    full = data.draw(st.booleans())
    strategy = data.draw(
        st.sampled_from([KMedoids(), KMedoids("cosine", "standard"), Coverage(full=full)])
    )
    labels = y if data.draw(st.booleans()) else None
    found = select(strategy, X, labels, size, np.diff([0, *cuts, n]))
    if labels is None or size >= 3:
        assert found.weights.sum() == n


@pytest.mark.parametrize("name", ["coverage", "kmedoids"])
def test_exemplars__same_bits_for_any_chunking(name):
    X, y = mixture(9_000)
    results = []
    for chunks, scheduler in [(9_000, "sync"), (1_234, "threads"), (4_097, "sync")]:
        with dask.config.set(scheduler=scheduler):
            found = distill(da.from_array(X, chunks=(chunks, -1)), y, size=300, strategy=name)
        told = repr(found.provenance["selection"])
        results.append((found.indices.tobytes(), found.weights.tobytes(), told))
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Coverage, {"metric": "l1"}, "metric must be"),
        (Coverage, {"balance": "fair"}, "balance must be"),
        (Coverage, {"oversample": 0.5}, "oversample must be from 1 to 20, got 0.5"),
        (KMedoids, {"oversample": float("nan")}, "oversample must be from 1 to 20"),
        (KMedoids, {"scale": "log"}, "scale must be"),
    ],
)
def test_exemplars__refuse_bad_options(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)


@pytest.mark.parametrize("strategy", [Coverage(), KMedoids(), Coverage(full=True)])
def test_footprint__counts_rounds_and_candidates(strategy):
    X, y = mixture()
    found = select(strategy, X, y, 60, 3)
    footprint = strategy.footprint(2_000, 5, 3, 60)
    assert len(found.ledger.rounds) == footprint.rounds
    assert found.facts["rows_moved"] <= footprint.pool_rows * 3
