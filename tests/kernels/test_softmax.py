"""Cross-fitted softmax regression: scikit-learn's answer at the end, a better one before."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.linear_model import LogisticRegression

from dask_distill.kernels import softmax
from dask_distill.kernels.softmax import _Problem, cross_fit, fit_all


def rows(n, C, d=6, wrong=0.0, apart=1.0, seed=0):
    """Gaussian classes, folds in turn, some labels wrong: X, codes, fold, true codes."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, C, n)
    X = rng.normal(size=(n, d)) + apart * rng.normal(size=(C, d))[true]
    flipped = rng.random(n) < wrong
    codes = np.where(flipped, (true + rng.integers(1, C, n)) % C, true)
    fold = (np.arange(n) % 3).astype(np.int8)
    return X.astype(np.float32), codes.astype(np.int32), fold, true


def probabilities(fit, fold, X):
    logits = X @ fit.weights[fold].T + fit.intercepts[fold]
    P = np.exp(logits - logits.max(axis=1, keepdims=True))
    return P / P.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("C", [3, 7])
def test_cross_fit__to_the_end_is_logistic_regression_without_each_fold(C):
    """With rows enough to learn no noise, what is best of unseen rows is the end."""
    X, codes, fold, _ = rows(5000, C)
    fit = cross_fit(X, codes, fold, C, strength=0.3, steps=500, patience=500)
    for f in range(3):
        peer = LogisticRegression(C=0.3, max_iter=1000).fit(X[fold != f], codes[fold != f])
        np.testing.assert_allclose(probabilities(fit, f, X), peer.predict_proba(X), atol=0.03)


@pytest.mark.parametrize("strength", [0.01, 1])
@pytest.mark.parametrize("n", [400, 5000])
def test_cross_fit__the_models_of_scikit_learn_have_the_least_loss(n, strength):
    X, codes, fold, _ = rows(n, 4)
    at = np.empty((3, 4, 7))
    for f in range(3):
        peer = LogisticRegression(C=strength, max_iter=1000, tol=1e-6)
        peer.fit(X[fold != f].astype(np.float64), codes[fold != f])
        at[f, :, :-1], at[f, :, -1] = peer.coef_, peer.intercept_
    problem = _Problem(X, codes, fold, 4, strength)
    assert np.abs(problem.loss_and_gradient(at.ravel())[1]).max() < 1e-5
    assert np.abs(problem.loss_and_gradient(0.9 * at.ravel())[1]).max() > 1e-4


def test_cross_fit__gradient_is_that_of_the_loss():
    X, codes, fold, _ = rows(60, 3, d=2)
    problem = _Problem(X, codes, fold, 3, strength=0.5)
    at = np.random.default_rng(1).normal(size=3 * 3 * 3)
    error = check_grad(
        lambda w: problem.loss_and_gradient(w)[0],
        lambda w: problem.loss_and_gradient(w)[1],
        at,
        epsilon=1e-2,
    )
    assert error < 0.01 * np.linalg.norm(problem.loss_and_gradient(at)[1])


@pytest.mark.parametrize("C", [64, 100, 200])
def test_cross_fit__many_classes(C):
    """Folds are bytes, and numbers of classes may be too large for these."""
    X, codes, fold, _ = rows(20 * C, C, d=8, apart=4)
    fit = cross_fit(X, codes, fold, C, strength=1, steps=40)
    assert fit.seen.all()
    for f in range(3):
        told = probabilities(fit, f, X[fold == f]).argmax(axis=1)
        assert (told == codes[fold == f]).mean() > 0.9


def test_cross_fit__stops_before_it_learns_wrong_labels():
    X, codes, fold, true = rows(600, 4, d=120, wrong=0.3, apart=0.25)
    right = {}
    for patience in (5, 500):
        fit = cross_fit(X, codes, fold, 4, strength=1, steps=500, patience=patience)
        told = np.empty(len(X), int)
        for f in range(3):
            told[fold == f] = probabilities(fit, f, X[fold == f]).argmax(axis=1)
        right[patience] = (told == true).mean()
        assert fit.steps < 50
    to_the_end = [
        LogisticRegression(C=1, max_iter=300).fit(X[fold != f], codes[fold != f]).predict(X)
        for f in range(3)
    ]
    end = np.mean([told[fold == f] == true[fold == f] for f, told in enumerate(to_the_end)])
    # the best point on the way is kept, however long one looks on
    assert right[5] == pytest.approx(right[500], abs=0.02)
    assert right[5] > end + 0.05


def test_cross_fit__a_model_does_not_look_at_its_fold():
    X, codes, fold, _ = rows(300, 3)
    plain = cross_fit(X, codes, fold, 3, strength=1, steps=1, patience=9)
    turned = np.where(fold == 1, (codes + 1) % 3, codes)
    other = cross_fit(X, turned, fold, 3, strength=1, steps=1, patience=9)
    # one step goes down the gradient, scaled by that of all models
    ratio = other.weights[1] / plain.weights[1]
    np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-4)
    assert not np.allclose(other.weights[0] / plain.weights[0], ratio.mean(), rtol=1e-2)


def test_cross_fit__a_class_that_a_model_has_not_seen_is_left_alone():
    X, codes, fold, _ = rows(300, 3)
    codes[:] = np.where(codes == 2, 0, codes)
    codes[fold == 1] = np.where(np.arange(100) < 4, 2, codes[fold == 1])
    fit = cross_fit(X, codes, fold, 3, strength=1, steps=50)
    assert fit.seen.tolist() == [[True, True, True], [True, True, False], [True, True, True]]
    assert not fit.weights[1, 2].any()
    assert fit.intercepts[1, 2] == 0
    assert fit.weights[0, 2].any()


def test_cross_fit__the_same_again():
    X, codes, fold, _ = rows(3000, 5, wrong=0.2)
    one, two = (cross_fit(X, codes, fold, 5, strength=1, steps=40) for _ in range(2))
    assert np.array_equal(one.weights, two.weights)
    assert np.array_equal(one.intercepts, two.intercepts)


@pytest.mark.parametrize("C", [2, 5])
def test_fit_all__is_logistic_regression(monkeypatch, C):
    X, codes, _, _ = rows(3_000, C)
    # tiles of one row, and of all
    for values in (1, 2**22):
        monkeypatch.setattr(softmax, "TILE_VALUES", values)
        weights, intercepts = fit_all(X[:900], codes[:900], C, strength=1.0, steps=500)
        logits = X @ weights.T + intercepts
        P = np.exp(logits - logits.max(axis=1, keepdims=True))
        peer = LogisticRegression(C=1.0, max_iter=1000).fit(X[:900], codes[:900])
        told = peer.predict_proba(X)
        np.testing.assert_allclose(P / P.sum(axis=1, keepdims=True), told, atol=0.05)
