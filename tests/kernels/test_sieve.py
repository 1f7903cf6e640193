"""Sieve-streaming: half of the best value in any order, in memory that does not grow."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial.distance import cdist

from dask_distill.kernels.exemplars import distances, greedy
from dask_distill.kernels.sieve import Sieve


def value(ground, far, chosen, weights=1.0):
    if len(chosen) == 0:
        return 0.0
    return float((weights * np.maximum(0, far - cdist(ground, chosen)).max(axis=1)).sum())


@given(
    n=st.integers(1, 9),
    m=st.integers(1, 6),
    k=st.integers(1, 3),
    far=st.sampled_from([0.5, 3.0, 20.0]),
    seed=st.integers(0, 500),
)
@settings(max_examples=200, deadline=None)
def test_sieve__has_its_part_of_the_best_value(n, m, k, far, seed):
    rng = np.random.default_rng(seed)
    X, ground = rng.normal(size=(n, 2)) * 2, rng.normal(size=(m, 2)) * 2
    weights = rng.uniform(0.5, 2, m)
    sieve = Sieve(ground, k, weights=weights, far=far, epsilon=0.1)
    sieve.feed(X, np.arange(n))
    best = max(
        value(ground, far, X[list(rows)], weights) for rows in combinations(range(n), min(k, n))
    )
    assert len(sieve.rows) <= k
    assert sieve.value == pytest.approx(value(ground, far, X[sieve.rows], weights))
    assert sieve.value >= 0.4 * best * (1 - 1e-9)


def test_sieve__memory_is_bounded_and_batches_do_not_matter():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3))
    whole, parts = (Sieve(X[::40], 10, far=4.0) for _ in range(2))
    whole.feed(X, np.arange(4000))
    for start in range(0, 4000, 130):
        parts.feed(X[start : start + 130], np.arange(start, min(4000, start + 130)))
    assert np.array_equal(whole.rows, parts.rows)
    assert len(whole.candidates) <= 10 * (np.log(20) / np.log(1.1) + 2)


def test_sieve__is_near_greedy_on_clusters():
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(12, 2)) * 20
    X = centers[rng.integers(0, 12, 1500)] + rng.normal(size=(1500, 2))
    far = float(distances(X).max())
    sieve = Sieve(X, 12, far=far)
    sieve.feed(X, np.arange(1500))
    best = value(X, far, X[greedy(distances(X), np.ones(1500), 12)])
    assert sieve.value >= 0.8 * best


def test_sieve__groups_are_apart():
    ground = np.array([[0.0], [0.0], [9.0]])
    sieve = Sieve(ground, 2, groups=np.array([0, 1, 1]), far=5.0)
    sieve.feed(np.array([[0.0], [0.0], [9.0]]), np.arange(3), np.array([0, 1, 0]))
    # the last row has no ground row of its group near it
    assert sieve.rows.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"k": 0}, "k must be at least 1"),
        ({"epsilon": 0.9}, "epsilon must be from"),
        ({"ground": np.empty((0, 2))}, "ground must hold"),
    ],
)
def test_sieve__bad_arguments(options, sentence):
    arguments = {"ground": np.zeros((2, 2)), "k": 1} | options
    with pytest.raises(ValueError, match=sentence):
        Sieve(arguments.pop("ground"), **arguments)


def test_sieve__nothing_fed_or_nothing_near():
    sieve = Sieve(np.zeros((2, 2)), 1, far=1.0)
    assert sieve.rows.tolist() == []
    sieve.feed(np.full((3, 2), 50.0), np.arange(3))
    assert sieve.rows.tolist() == []
    assert sieve.value == 0
