"""Scores: equal to their definitions, worked out row by row in float64."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.scores import (
    el2n,
    entropy,
    gradient_norm,
    margin,
    top_two,
    trust_gap,
)

EPS = np.finfo(np.float32).eps


@st.composite
def judged(draw, most_classes=12):
    """Probabilities of a softmax model, from unsure to certain; labels; features."""
    n = draw(st.integers(1, 20))
    C = draw(st.integers(2, most_classes))
    d = draw(st.integers(1, 6))
    sharpness = draw(st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0]))
    kind = draw(st.sampled_from([np.float32, np.float64]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    logits = rng.normal(size=(n, C)) * sharpness
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    X = rng.normal(size=(n, d)) * draw(st.sampled_from([1e-3, 1.0, 1e3]))
    return P.astype(kind), rng.integers(0, C, n), X.astype(kind)


def one_hot(label, C):
    return np.eye(C)[label]


@settings(deadline=None)
@given(judged())
def test_el2n__equals_the_definition(case):
    P, y, _ = case
    expected = [
        np.linalg.norm(p - one_hot(c, len(p))) for p, c in zip(P.astype(float), y, strict=True)
    ]
    np.testing.assert_allclose(el2n(P, y), expected, rtol=20 * EPS, atol=1e-18)


@settings(deadline=None)
@given(judged())
def test_gradient_norm__equals_the_outer_product(case):
    P, y, X = case
    expected = []
    for p, c, x in zip(P.astype(float), y, X.astype(float), strict=True):
        gradient = np.outer(p - one_hot(c, len(p)), np.append(x, 1))
        expected.append(np.linalg.norm(gradient))
    np.testing.assert_allclose(gradient_norm(P, y, X), expected, rtol=40 * EPS, atol=1e-18)


def test_gradient_norm__equals_finite_differences_of_the_loss():
    rng = np.random.default_rng(0)
    n, C, d, step = 5, 3, 4, 1e-6
    W, X, y = rng.normal(size=(C, d + 1)), rng.normal(size=(n, d)), rng.integers(0, C, n)

    def loss(weights, x, label):
        logits = weights @ np.append(x, 1)
        return np.log(np.exp(logits).sum()) - logits[label]

    expected = []
    for x, label in zip(X, y, strict=True):
        slopes = []
        for at in np.ndindex(W.shape):
            up, down = W.copy(), W.copy()
            up[at] += step
            down[at] -= step
            slopes.append((loss(up, x, label) - loss(down, x, label)) / (2 * step))
        expected.append(np.linalg.norm(slopes))
    logits = np.c_[X, np.ones(n)] @ W.T
    P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gradient_norm(P, y, X), expected, rtol=1e-6)


@settings(deadline=None)
@given(judged())
def test_entropy__equals_the_definition(case):
    P, _, _ = case
    expected = [-sum(p * np.log(p) for p in row if p > 0) for row in P.astype(float)]
    np.testing.assert_allclose(entropy(P), expected, rtol=20 * EPS, atol=4 * EPS)


@settings(deadline=None)
@given(judged())
def test_margin__equals_the_gap_of_the_sorted_row(case):
    P, _, _ = case
    best = np.sort(P.astype(float), axis=1)[:, ::-1]
    np.testing.assert_allclose(margin(P), best[:, 0] - best[:, 1], rtol=EPS, atol=EPS)


@settings(deadline=None)
@given(judged())
def test_trust_gap__equals_the_best_other_minus_the_own(case):
    P, y, _ = case
    expected = [
        max(p for k, p in enumerate(row) if k != c) - row[c]
        for row, c in zip(P.astype(float), y, strict=True)
    ]
    np.testing.assert_allclose(trust_gap(P, y), expected, rtol=EPS, atol=EPS)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("C", [2, 3, 1000])
def test_scores__of_certain_rows_are_the_ends_of_their_ranges(kind, C):
    P = np.eye(C, dtype=kind)
    right, wrong = np.arange(C), (np.arange(C) + 1) % C
    X = np.zeros((C, 2), kind)
    assert np.array_equal(entropy(P), np.zeros(C))
    assert not np.signbit(entropy(P)).any()
    assert np.array_equal(margin(P), np.ones(C))
    assert np.array_equal(el2n(P, right), np.zeros(C))
    assert np.array_equal(gradient_norm(P, right, X), np.zeros(C))
    assert np.array_equal(trust_gap(P, right), -np.ones(C))
    assert np.array_equal(trust_gap(P, wrong), np.ones(C))
    np.testing.assert_allclose(el2n(P, wrong), np.sqrt(2), rtol=EPS)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("C", [2, 3, 1000])
def test_scores__of_uniform_rows(kind, C):
    P, y = np.full((2, C), 1 / C, kind), np.array([0, C - 1])
    np.testing.assert_allclose(entropy(P), np.log(C), rtol=40 * EPS)
    assert np.array_equal(margin(P), [0, 0])
    assert np.array_equal(trust_gap(P, y), [0, 0])
    np.testing.assert_allclose(el2n(P, y), np.sqrt((1 - 1 / C) ** 2 + (C - 1) / C**2), rtol=EPS * 4)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_scores__of_no_rows_are_empty_float32(kind):
    P, y, X = np.empty((0, 3), kind), np.empty(0, np.int32), np.empty((0, 5), kind)
    for values in (el2n(P, y), gradient_norm(P, y, X), entropy(P), margin(P), trust_gap(P, y)):
        assert values.shape == (0,)
        assert values.dtype == np.float32


def test_el2n__keeps_the_order_of_rows_the_model_is_sure_of():
    others = np.geomspace(1e-6, 1e-4, 50)
    P = np.stack([1 - 2 * others, others, others], axis=1).astype(np.float32)
    assert np.all(np.diff(el2n(P, np.zeros(50, int))) > 0)


@settings(deadline=None)
@given(judged())
def test_scores__leave_their_input_alone_whatever_its_memory_order(case):
    P, y, X = case
    before = P.copy()
    columns = np.asfortranarray(P)
    for plain, transposed in (
        (el2n(P, y), el2n(columns, y)),
        (gradient_norm(P, y, X), gradient_norm(columns, y, X)),
        (entropy(P), entropy(columns)),
        (margin(P), margin(columns)),
        (trust_gap(P, y), trust_gap(columns, y)),
    ):
        assert plain.dtype == np.float32
        np.testing.assert_allclose(plain, transposed, rtol=10 * EPS, atol=EPS)
    assert np.array_equal(P, before)
    assert np.array_equal(columns, before)


@settings(deadline=None)
@given(judged(), st.sampled_from("CF"), st.integers(0, 3))
def test_scores__have_the_same_bits_in_memory_that_is_given(case, order, more):
    P, y, _ = case
    P = np.array(P, order=order)
    before = P.copy()
    work = np.full(P.size + more, np.nan, P.dtype)
    for given_ in (work, np.empty(P.size, np.float16)):
        np.testing.assert_array_equal(el2n(P, y, given_), el2n(P, y))
        np.testing.assert_array_equal(entropy(P, given_), entropy(P))
    every_other = np.repeat(P, 2, axis=0)[::2]
    np.testing.assert_array_equal(el2n(every_other, y, work), el2n(every_other, y))
    np.testing.assert_array_equal(P, before)


@settings(deadline=None)
@given(judged(most_classes=25))
def test_top_two__are_the_last_of_each_row_in_order(case):
    P = case[0]
    best, second = top_two(P)
    ascending = np.sort(P, axis=1)
    np.testing.assert_array_equal(best, ascending[:, -1])
    np.testing.assert_array_equal(second, ascending[:, -2])
