"""Gradient and entropy with sample=True: chances, weights, and what the provenance says."""

import warnings

import dask
import dask.array as da
import numpy as np
import pytest
from blocks import schema_and_blocks, select
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.sampling import chance_rate, pareto_keys, uniforms
from dask_distill.proxy.fitting import fit_softmax
from dask_distill.proxy.models import score
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies import Entropy, Gradient


def data(n=4_000, d=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.normal(size=(3, d))[y] * 2 + rng.normal(size=(n, d))
    return X.astype(np.float32), y


def all_scores(X, y, name):
    schema, (block,) = schema_and_blocks(X, y)
    proxy = fit_softmax(schema)
    return score(proxy, Scaling.of(schema), block.X, block.rows, block.codes)[name].astype(float)


# ---------------------------------------------------------------- kernels


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 10_000)), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_chance_rate__chances_sum_to_the_size(cells, part):
    desires = np.sort(np.array([q for _, q in cells]))
    counts = np.array([c for c, _ in cells])
    size = max(1, int(part * counts.sum()))
    rate = chance_rate(counts, counts * desires, size)
    assert np.minimum(1, rate * desires) @ counts == pytest.approx(size)


def test_pareto__inclusion_probabilities_are_the_wanted_ones():
    rng = np.random.default_rng(0)
    chances = rng.uniform(0.02, 0.9, 200)
    chances[:3] = 1
    k = 60
    chances[3:] *= (k - 3) / chances[3:].sum()
    seen = np.zeros(200)
    draws = 4_000
    for seed in range(draws):
        keys = pareto_keys(chances, uniforms(row_hash(np.arange(200), seed)))
        seen[np.lexsort((np.arange(200), keys))[:k]] += 1
    error = np.sqrt(chances * (1 - chances) / draws) + 1e-3
    assert np.all(np.abs(seen / draws - chances) < 4.5 * error)
    assert np.all(seen[:3] == draws)


def test_uniforms__never_are_zero_or_one():
    ends = uniforms(np.array([0, 2**64 - 1], np.uint64))
    assert 0 < ends[0] < 1e-15
    assert 1 - 1e-15 < ends[1] < 1


# ---------------------------------------------------------------- the sample


@pytest.mark.parametrize("parts", [1, 7, 40, [0, 1, 3_999, 0]])
@pytest.mark.parametrize("strategy", [Gradient(sample=True), Entropy(sample=True, floor=0.5)])
def test_sample__weights_are_inverse_chances_that_follow_the_score(strategy, parts):
    X, y = data()
    found = select(strategy, X, y, 400, parts)
    scores = all_scores(X, y, strategy.criterion)
    desire = (1 - strategy.floor) * scores / scores.mean() + strategy.floor
    low, high = 0.0, 400.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, middle * desire).sum() < 400 else (low, middle)
    # the histogram's cells are one per cent wide
    chances = np.minimum(1, low * desire)
    np.testing.assert_allclose(1 / found.weights, chances[found.rows], rtol=5e-3)
    assert found.weights.sum() == pytest.approx(4_000, rel=0.15)
    assert found.weights.max() <= 4_000 / 400 / strategy.floor * 1.01


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 600), max_size=5).map(sorted), st.integers(1, 600))
def test_sample__same_bits_for_any_partition(cuts, size):
    X, y = data(600)
    whole = select(Entropy(sample=True), X, y, size)
    # scores are made in tiles of a block: those of small data are the same in any block
    parts = np.diff([0, *cuts, 600])
    found = select(Entropy(sample=True), X, y, size, parts)
    assert np.array_equal(found.rows, whole.rows)
    np.testing.assert_allclose(found.weights, whole.weights, rtol=1e-5)


def test_sample__rows_worth_more_than_one_place_are_certain():
    X, y = data(300)
    scores = all_scores(X, y, "gradient")
    found = select(Gradient(sample=True, floor=0.05), X, y, 150)
    certain = np.flatnonzero(scores > np.quantile(scores, 0.8))
    assert np.isin(certain, found.rows[found.weights == 1]).all()
    everything = select(Gradient(sample=True), X, y, 300, 3)
    assert np.all(everything.weights == 1)
    assert everything.facts["gradient_mean_standard_error"] == 0


def test_sample__the_standard_error_is_that_of_many_draws():
    X, y = data(2_000)
    scores = all_scores(X, y, "gradient")
    estimates, errors = [], []
    for seed in range(60):
        found = select(Gradient(sample=True), X, y, 200, 4, seed=seed)
        facts = found.facts
        values = found.scores["gradient"].astype(float)
        estimate = np.average(values, weights=found.weights)
        assert facts["gradient_mean_estimated"] == pytest.approx(estimate)
        assert facts["effective_sample_size"] == pytest.approx(
            found.weights.sum() ** 2 / (found.weights**2).sum()
        )
        estimates.append(facts["gradient_mean_estimated"])
        errors.append(facts["gradient_mean_standard_error"])
        assert facts["gradient_mean"] == pytest.approx(scores.mean(), rel=0.02)
    assert np.mean(errors) == pytest.approx(np.std(estimates), rel=0.3)
    assert abs(np.mean(estimates) - scores.mean()) < 4 * np.std(estimates) / np.sqrt(60)
    # a uniform sample of the same size knows the mean of its own criterion less well
    assert np.mean(errors) < scores.std() / np.sqrt(200)


def test_sample__equal_scores_are_a_uniform_sample():
    class Undecided:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    class Sure(Undecided):
        def predict_proba(self, X):
            return np.tile([1.0, 0.0], (len(X), 1))

    X, y = np.zeros((100, 2)), np.arange(100) % 2
    for proxy in (Undecided(), Sure()):
        found = select(Entropy(sample=True), X, y, 20, 4, proxy=proxy)
        np.testing.assert_allclose(found.weights, 5)
    unlabelled = select(Entropy(sample=True), X, None, 20, 4, proxy=Undecided())
    assert unlabelled.codes is None


@pytest.mark.parametrize("name", ["gradient", "entropy"])
def test_sample__same_bits_over_dask_and_no_warning_of_the_strategy(name):
    X, y = data(9_000)
    first = None
    for chunks, scheduler in [(9_000, "sync"), (1_234, "threads"), (4_097, "sync")]:
        with dask.config.set(scheduler=scheduler), warnings.catch_warnings():
            warnings.simplefilter("error")
            # an easy class has few of its rows in the sample, and their weights make up for it
            warnings.filterwarnings("ignore", "1 class is kept at under half of its share: 2")
            found = distill(
                da.from_array(X, chunks=(chunks, -1)),
                da.from_array(y, chunks=1_000),
                size=500,
                strategy=name,
                options={"sample": "yes"},
            )
        told = found.provenance["selection"]
        bits = (found.indices.tobytes(), found.weights.tobytes(), told)
        first = first or bits
        assert bits == first
    assert 100 < told["effective_sample_size"] <= 500
    assert found.weights.sum() == pytest.approx(9_000, rel=1e-5)


@pytest.mark.parametrize("floor", [0, -1, 1.5, float("nan")])
def test_sample__refuses_a_floor_out_of_range(floor):
    with pytest.raises(InputError, match="floor must be above 0 and at most 1"):
        Gradient(sample=True, floor=floor)


def test_footprint__counts_the_rounds_that_are_run():
    X, y = data(600)
    found = select(Gradient(sample=True), X, y, 60, 3)
    footprint = Gradient(sample=True).footprint(600, 4, 3, 60)
    assert len(found.ledger.rounds) <= footprint.rounds <= len(found.ledger.rounds) + 1
