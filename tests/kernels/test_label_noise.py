"""Wrong labels told from overlap, where the truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.label_noise import class_thresholds, contradiction, label_noise

N = 10_000


def posterior(sharpness, seed=0, classes=2):
    """True probabilities of rows whose classes overlap the less, the sharper they are."""
    logits = sharpness * np.random.default_rng(seed).normal(size=(N, classes))
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True)


def drawn(P, seed=1):
    """Labels with these probabilities."""
    above = np.random.default_rng(seed).random((len(P), 1)) < P.cumsum(axis=1)
    return above.argmax(axis=1)


def spoilt(P, labels, flips, seed=2):
    """Labels that are wrong with these chances (from, to), and what a right model says of them."""
    chances = np.eye(len(flips)) * (1 - flips.sum(axis=1))[:, None] + flips
    return drawn(chances[labels], seed), P @ chances


def symmetric(rate, classes=2):
    flips = np.full((classes, classes), rate / (classes - 1))
    np.fill_diagonal(flips, 0)
    return flips


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("sharpness", [0.5, 1, 1.5, 2, 3, 6, 30])
def test_label_noise__overlap_alone_is_no_noise(sharpness, classes):
    P = posterior(sharpness, classes=classes)
    found = label_noise(P, drawn(P))
    assert not found.believed
    assert found.level < 0.75 or found.rate > 0.26


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.4])
def test_label_noise__finds_the_rate_where_classes_are_apart(rate, classes):
    P = posterior(30, classes=classes)
    labels, said = spoilt(P, drawn(P), symmetric(rate, classes))
    found = label_noise(said, labels)
    assert found.rate == pytest.approx(rate, abs=0.04)
    assert abs(found.rate - rate) < 4 * found.error + 0.01
    assert found.believed == (rate <= 0.2)
    assert found.level == pytest.approx(1, abs=0.21)
    np.testing.assert_allclose(found.by_label, rate, atol=0.08)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.4])
def test_label_noise__one_class_alone_may_have_wrong_labels(rate):
    P = posterior(30)
    labels, said = spoilt(P, drawn(P), np.array([[0, rate], [0, 0]]))
    found = label_noise(said, labels)
    assert found.believed
    assert found.matrix[0, 1] == pytest.approx(rate, abs=0.05)
    assert found.matrix[1, 0] == 0
    # rows that are labelled 1: as many again are right
    assert found.by_label[1] == pytest.approx(rate / (1 + rate), abs=0.05)
    assert found.by_label[0] == 0


def test_label_noise__what_contradicts_most_rows_is_no_noise():
    """Labels that say nothing of the features: any model is contradicted everywhere."""
    P = posterior(3)
    labels = np.random.default_rng(0).integers(0, 2, N)
    assert not label_noise(P, labels).believed


def test_label_noise__rows_of_weight_two_count_twice():
    P = posterior(2)[:400]
    labels = drawn(P)
    doubled = label_noise(np.repeat(P, 2, axis=0), np.repeat(labels, 2))
    weighed = label_noise(P, labels, np.full(400, 2.0))
    assert weighed.contradicted == pytest.approx(doubled.contradicted)
    assert weighed.rate == pytest.approx(doubled.rate, abs=0.02)


def test_label_noise__classes_without_rows():
    P = posterior(3, classes=3)
    labels = drawn(P[:, :2] / P[:, :2].sum(axis=1, keepdims=True))
    found = label_noise(P, labels)
    assert np.isfinite(found.rate)
    assert found.matrix[2].tolist() == [0, 0, 1]
    assert class_thresholds(P, labels)[2] == 1


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 6), st.integers(1, 60))
def test_contradiction__by_its_definition(seed, classes, n):
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(classes), n)
    labels = rng.integers(0, classes, n)
    weight = rng.uniform(0.5, 2, n)
    thresholds = class_thresholds(P, labels, weight)
    for c in range(classes):
        mine = labels == c
        expected = np.average(P[mine, c], weights=weight[mine]) if mine.any() else 1
        assert thresholds[c] == pytest.approx(expected)
    found = contradiction(P, labels, thresholds)
    for i in range(n):
        others = [P[i, c] - thresholds[c] for c in range(classes) if c != labels[i]]
        own = max(P[i, labels[i]] - thresholds[labels[i]], 0)
        assert found[i] == pytest.approx(max(others) - own, abs=1e-6)
