"""combined: filter, quotas, criterion, diversity, each doing its part, for any blocks."""

import dask
import dask.array as da
import numpy as np
import pytest
from blocks import schema_and_blocks, select
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill
from dask_distill.kernels.exemplars import distances
from dask_distill.proxy.fitting import fit_ensemble
from dask_distill.proxy.models import score
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies import Combined, make_strategy


def data(n=3_000, d=4, seed=0, wrong=0.0):
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=[0.6, 0.3, 0.1])
    X = rng.normal(size=(3, d))[y] * 3 + rng.normal(size=(n, d))
    flipped = rng.random(n) < wrong
    return X.astype(np.float32), np.where(flipped, (y + 1) % 3, y), flipped


def ensemble_scores(X, y):
    schema, (block,) = schema_and_blocks(X, y)
    return score(fit_ensemble(schema), Scaling.of(schema), block.X, block.rows, block.codes)


@pytest.mark.parametrize("criterion", ["el2n", "gradient", "entropy", "margin"])
def test_combined__the_criterion_alone_takes_its_highest_trusted_rows(criterion):
    X, y, _ = data(wrong=0.05)
    strategy = Combined(criterion=criterion, diversity="none")
    found = select(strategy, X, y, 150)
    scores = ensemble_scores(X, y)
    trusted = scores["trust_gap"] <= 0.3
    value = -scores[criterion] if criterion == "margin" else scores[criterion]
    assert trusted[found.rows].all()
    for label in range(3):
        mine = np.flatnonzero((y == label) & trusted)
        taken = found.rows[y[found.rows] == label]
        highest = np.sort(value[mine])[::-1][len(taken) - 1]
        # keys have one bit less than scores
        assert value[taken].min() >= highest - 1e-5 * (1 + abs(highest))


def test_combined__wrong_labels_are_filtered_and_trust_1_keeps_them():
    X, y, flipped = data(wrong=0.15)
    assert flipped[select(Combined(), X, y, 300, 5).rows].mean() < 0.05
    assert flipped[select(Combined(trust=1), X, y, 300, 5).rows].mean() > 0.1


@pytest.mark.parametrize("balance", ["proportional", "sqrt", "equal"])
def test_combined__quotas_follow_the_balance_and_weights_undo_it(balance):
    X, y, _ = data()
    found = select(Combined(balance=balance, trust=1), X, y, 300, 6)
    rows, taken = np.bincount(y).astype(float), np.bincount(y[found.rows])
    share = {"proportional": rows, "sqrt": np.sqrt(rows), "equal": np.ones(3)}[balance]
    np.testing.assert_allclose(taken, 300 * share / share.sum(), atol=1)
    np.testing.assert_allclose(np.bincount(y[found.rows], weights=found.weights), rows)
    assert found.facts["rows_in_pool"] >= 1_000


def test_combined__diversity_covers_better_than_the_criterion_alone():
    X, y, _ = data()
    D = distances(X / X.std(axis=0))
    cost = {
        diversity: D[:, select(Combined(diversity=diversity), X, y, 150, 5).rows].min(1).mean()
        for diversity in ("none", "coverage", "medoids")
    }
    assert cost["coverage"] < 0.95 * cost["none"]
    assert cost["medoids"] < 0.95 * cost["none"]


@settings(max_examples=25, deadline=None)
@given(data_=st.data())
def test_combined__exactly_so_many_rows_for_any_options(data_):
    n = data_.draw(st.integers(12, 300))
    rng = np.random.default_rng(data_.draw(st.integers(0, 999)))
    X = rng.integers(0, data_.draw(st.integers(2, 9)), size=(n, 2)).astype(np.float32)
    y = rng.permutation(np.arange(n) % 3) if data_.draw(st.booleans()) else None
    cuts = data_.draw(st.lists(st.integers(0, n), max_size=5).map(sorted))
    criteria = ["random"] if y is None else ["random", "el2n", "margin"]
    strategy = Combined(
        trust=data_.draw(st.sampled_from([0.0, 0.3, 2.0])),
        balance=data_.draw(st.sampled_from(["proportional", "equal"])),
        criterion=data_.draw(st.sampled_from(criteria)),
        pool=data_.draw(st.floats(1, 20)),
        diversity=data_.draw(st.sampled_from(["coverage", "medoids", "none"])),
    )
    size = data_.draw(st.integers(1, n))
    found = select(strategy, X, y, size, np.diff([0, *cuts, n]))
    if y is None or size >= 3:
        assert found.weights.sum() == pytest.approx(n)


def test_combined__without_labels_by_a_users_model():
    class Model:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            p = 1 / (1 + np.exp(-X[:, 0].astype(float)))
            return np.stack([1 - p, p], axis=1)

    X, _, _ = data()
    strategy = Combined(criterion="entropy", diversity="none")
    found = select(strategy, X, None, 100, 4, proxy=Model())
    assert set(found.rows) == set(np.argsort(np.abs(X[:, 0]), kind="stable")[:100])
    assert not strategy.requires_labels(Model())
    assert strategy.requires_labels(None)
    assert Combined(criterion="el2n").requires_labels(Model())
    assert not Combined().requires_labels(None)
    with pytest.raises(InputError, match="strategy combined needs labels"):
        distill(X, size=10, strategy=strategy)


def test_combined__same_bits_for_any_chunking():
    X, y, _ = data(9_000)
    results = []
    for chunks, scheduler in [(9_000, "sync"), (1_234, "threads"), (4_097, "sync")]:
        with dask.config.set(scheduler=scheduler):
            found = distill(da.from_array(X, chunks=(chunks, -1)), y, size=300, strategy="combined")
        told = repr(found.provenance["selection"])
        results.append((found.indices.tobytes(), found.weights.tobytes(), told))
    assert len(set(results)) == 1
    assert set(found.scores) == {"gradient", "el2n", "entropy", "margin"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trust": -0.1}, "trust must be at least 0, got -0.1"),
        ({"balance": "fair"}, "balance must be one of proportional, sqrt, equal, got 'fair'"),
        ({"criterion": "loss"}, "criterion must be one of random"),
        ({"diversity": "much"}, "diversity must be one of coverage"),
        ({"pool": 0.5}, "pool must be from 1 to 20, got 0.5"),
        ({"scale": "log"}, "scale must be"),
    ],
)
def test_combined__refuses_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        make_strategy("combined", options)


def test_footprint__counts_the_rounds_that_are_run():
    X, y, _ = data()
    found = select(Combined(), X, y, 60, 3)
    footprint = Combined().footprint(3_000, 4, 3, 60)
    assert len(found.ledger.rounds) <= footprint.rounds <= len(found.ledger.rounds) + 2
