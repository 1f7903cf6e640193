"""Features with heavy tails or a stray value: seen, brought in, told; and scales asked for."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
)
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from dask_distill import InputError, SelectionWarning, distill
from dask_distill.kernels.rescaling import (
    bulk,
    middle,
    pressed,
    rank_knots,
    rank_scores,
    signed_log,
)
from dask_distill.search.in_memory import select_in_memory
from dask_distill.spaces.scales import SCALES
from dask_distill.strategies import make_strategy
from dask_distill.survey.stray import stray_columns

# of strategies that are known to hurt: not what is tested here
pytestmark = pytest.mark.filterwarnings("ignore:strategy ")

STANDARDISING = ("auto", "coverage", "combined", "hierarchical", "dbscan", "gradient", "strata")
LARGEST32 = float(np.finfo(np.float32).max)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def classes():
    """(23,000, 8) float64 features of four classes, and labels; 20,000 rows to select from."""
    return make_classification(
        23_000, 8, n_informative=5, n_classes=4, class_sep=1.2, random_state=0
    )


def _stray(X):
    X = np.asarray(X, np.float64)
    deviation = np.where(X.std(axis=0) > 0, X.std(axis=0), 1.0)
    return stray_columns(X[:10_000], X.mean(axis=0), deviation, X.min(axis=0), X.max(axis=0))


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=60), st.sampled_from([1.0, 3.0]))
def test_pressed__keeps_the_order_and_the_bound(values, bound):
    column = np.sort(np.array(values))[:, None]
    center, spread = middle(column[:, 0])
    out = pressed(column, np.array([center]), np.array([spread]), bound)[:, 0]
    assert (np.diff(out) >= 0).all()
    assert (np.abs(out) <= bound).all()


@given(st.lists(st.floats(-1.7e308, 1.7e308), min_size=1, max_size=40), st.floats(1e-300, 1e300))
def test_signed_log__is_finite_odd_and_in_order(values, unit):
    column = np.sort(np.array(values))[:, None]
    out = signed_log(column, np.array([unit]))
    assert np.isfinite(out).all()
    assert (np.diff(out[:, 0]) >= 0).all()
    np.testing.assert_array_equal(signed_log(-column, np.array([unit])), -out)


def test_signed_log__equals_its_definition():
    values = np.array([[-3.0], [0.5], [200.0]])
    np.testing.assert_allclose(
        signed_log(values, np.array([2.0])), np.sign(values) * np.log(1 + np.abs(values) / 2)
    )


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=300), st.integers(2, 256))
@settings(max_examples=50)
def test_rank_scores__of_the_sample_are_its_mid_ranks(values, most):
    sample = np.array(values, np.float64)
    knots = rank_knots(sample, most=256)
    mid = [((sample < v).sum() + (sample <= v).sum()) / 2 / len(sample) for v in sample]
    np.testing.assert_allclose(rank_scores(sample, *knots), (np.array(mid) - 0.5) * np.sqrt(12))
    few = rank_knots(sample, most=most)
    assert len(few[0]) <= most
    assert {few[0][0], few[0][-1]} == {sample.min(), sample.max()}


def test_bulk__of_a_rare_mark_is_the_mark():
    assert bulk(np.repeat([0.0, 1.0], [995, 5]))[:2] == (0.0, 1.0)


@pytest.mark.parametrize("load", [load_digits, load_iris, load_wine, load_breast_cancer])
def test_stray__none_in_ordinary_data(load):
    assert _stray(load().data) == ()


def test_stray__rare_marks_and_bounded_shapes_are_none(rng):
    n = 20_000
    columns = [rng.random(n) < share for share in (0.5, 0.05, 0.005, 5e-4, 1e-4)]
    columns += [rng.normal(size=n), rng.uniform(size=n), rng.exponential(size=n)]
    columns += [rng.lognormal(size=n), rng.poisson(0.05, size=n), np.ones(n)]
    columns += [rng.integers(0, 2**40, n), 1.7e12 + rng.uniform(0, 1e9, n)]
    assert _stray(np.column_stack(columns)) == ()


def test_stray__heavy_tails_and_lone_values_are_told_apart(rng):
    n = 20_000
    lone = rng.normal(size=n)
    lone[17] = LARGEST32
    both = rng.normal(size=n)
    both[3] = -1e6
    gains = np.where(rng.random(n) < 0.08, rng.lognormal(3, 3, n), 0)
    X = np.column_stack([rng.normal(size=n), lone, np.exp(3 * rng.normal(size=n)), both, gains])
    found = {stray.column: stray for stray in _stray(X)}
    assert {column: stray.remedy for column, stray in found.items()} == {
        1: "robust",
        2: "log",
        3: "robust",
        4: "log",
    }
    assert found[1].greatest == LARGEST32
    assert found[3].least == -1e6
    assert found[3].low == pytest.approx(-2.6, abs=0.2)


# what has no quotas may keep few rows of a class, with the bad value and without
@pytest.mark.filterwarnings("ignore:1 class is kept at under half of its share")
@pytest.mark.parametrize("strategy", STANDARDISING)
def test_distill__one_bad_value_changes_little(classes, strategy):
    X, y = classes
    bad = X[:20_000].copy()
    bad[5, 3] = LARGEST32
    options = {"eps": 1.0, "min_samples": 5} if strategy == "dbscan" else None
    clean = distill(X[:20_000], y[:20_000], fraction=0.02, strategy=strategy, options=options)
    with pytest.warns(SelectionWarning, match="feature 3: 3 has values from .* to 3.403e\\+38"):
        found = distill(bad, y[:20_000], fraction=0.02, strategy=strategy, options=options)
    assert found.weights.max() < 3 * clean.weights.max() + 50

    def accuracy(coreset):
        rows = coreset.indices
        model = RandomForestClassifier(60, random_state=0)
        model.fit(X[rows], y[rows], sample_weight=coreset.weights)
        return model.score(X[20_000:], y[20_000:])

    assert accuracy(found) > accuracy(clean) - 0.03


@pytest.mark.parametrize("strategy", ["auto", "coverage"])
def test_distill__heavy_tails_cost_nothing_against_stratified(classes, strategy):
    X, y = classes
    heavy = np.exp(3 * X / X.std(axis=0))

    def accuracy(strategy, scale="auto"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SelectionWarning)
            coreset = distill(
                heavy[:20_000], y[:20_000], fraction=0.02, strategy=strategy, scale=scale
            )
        rows = coreset.indices
        model = RandomForestClassifier(60, random_state=0)
        model.fit(heavy[rows], y[rows], sample_weight=coreset.weights)
        return model.score(heavy[20_000:], y[20_000:])

    found = accuracy(strategy)
    assert found > accuracy("stratified")
    assert found > accuracy(strategy, "standard") + 0.02


def test_distill__told_in_the_provenance_by_name(rng):
    import pandas as pd

    frame = pd.DataFrame({"a": rng.normal(size=4000), "price": np.exp(3 * rng.normal(size=4000))})
    labels = (frame["a"] > 0).astype(int)
    with pytest.warns(SelectionWarning, match="spread of feature price: .* scaled by log") as seen:
        coreset = distill(frame, labels, size=100)
    assert len(seen) == 1
    (entry,) = coreset.provenance["scaling"]["columns"]
    assert (entry["column"], entry["scale"]) == ("price", "log")
    assert entry["greatest"] == frame["price"].max()
    json.dumps(coreset.provenance["scaling"])
    np.testing.assert_array_equal(coreset.features.compute(), frame.to_numpy()[coreset.indices])


def test_distill__distances_as_they_are_are_warned_of(rng):
    X = rng.normal(size=(3000, 3))
    X[7, 1] = 1e9
    with pytest.warns(SelectionWarning, match='distances see little else: scale="robust"'):
        plain = distill(X, size=50, strategy="kcenter")
    assert 7 in plain.indices
    for strategy in ("random", "stratified"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            distill(X, X[:, 0] > 0, size=50, strategy=strategy)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("strategy", ["auto", "kcenter", "kmeans", "coverage", "gradient"])
def test_scale__same_rows_for_any_chunking(rng, scale, strategy):
    import dask.array as da

    X = np.exp(2 * rng.normal(size=(9000, 3)))
    y = (X[:, 0] > 1).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        one, other = (
            distill(da.from_array(X, chunks), y, size=80, strategy=strategy, scale=scale)
            for chunks in ((9000, 3), (1234, 3))
        )
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert one.provenance["parameters"]["scale"] == scale


def test_scale__standard_and_none_are_the_strategy_s_own(rng):
    X = rng.normal(size=(3000, 3)) * [1, 10, 100]
    own = distill(X, size=60, strategy="kcenter", options={"scale": "standard"})
    np.testing.assert_array_equal(
        distill(X, size=60, strategy="kcenter", scale="standard").indices, own.indices
    )
    plain = distill(X, size=60, strategy="coverage", options={"scale": "none"})
    np.testing.assert_array_equal(
        distill(X, size=60, strategy="coverage", scale="none").indices, plain.indices
    )


def test_scale__log_and_rank_do_not_see_the_unit(rng):
    X = np.exp(rng.normal(size=(4000, 3)))
    y = (X[:, 0] > 1).astype(int)
    for scale in ("robust", "log", "rank"):
        one = distill(X, y, size=80, scale=scale)
        np.testing.assert_array_equal(
            distill(X * 2.0**40, y, size=80, scale=scale).indices, one.indices
        )


def test_scale__a_model_of_the_users_judges_the_features_as_they_are(rng):
    X = rng.normal(size=(4000, 3))
    X[:, 1] = np.exp(3 * X[:, 1])
    y = (X[:, 0] + 0.3 * rng.normal(size=4000) > 0).astype(int)
    model = LogisticRegression().fit(X[:, :1].repeat(3, axis=1), y)
    with pytest.warns(SelectionWarning, match="scaled by log"):
        coreset = distill(X, y, size=200, strategy="entropy", proxy=model)
    P = model.predict_proba(X[coreset.indices])
    expected = -(P * np.log(np.maximum(P, 1e-300))).sum(axis=1)
    np.testing.assert_allclose(coreset.scores["entropy"], expected, rtol=1e-4, atol=1e-6)


def test_scale__before_a_reduction_and_beside_time(rng):
    X = rng.normal(size=(4000, 5))
    X[9, 2] = 1e30
    y = (X[:, 0] > 0).astype(int)
    for more in ({"reduce": "pca:2"}, {"time": np.arange(4000.0), "time_scale": 50.0}):
        with pytest.warns(SelectionWarning, match="scaled by robust"):
            coreset = distill(X, y, size=100, certify=True, **more)
        # one far row would leave the others a single place
        assert coreset.certificate.radius < 30


def test_scale__the_certificate_says_in_what_space(rng):
    X = rng.normal(size=(2000, 3))
    assert distill(X, size=50, strategy="kcenter", certify=True, scale="rank").certificate.space


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
@pytest.mark.parametrize("strategy", STANDARDISING)
def test_in_memory__selects_the_same_rows(rng, strategy):
    X = rng.normal(size=(6000, 4))
    X[:, 1] = np.exp(3 * X[:, 1])
    y = (X[:, 0] > 0).astype(int)
    options = {"eps": 1.0} if strategy == "dbscan" else None
    wanted = distill(X, y, size=120, strategy=strategy, options=options)
    found = select_in_memory(X, y, make_strategy(strategy, options), 120)
    np.testing.assert_array_equal(found.rows, wanted.indices)
    np.testing.assert_array_equal(found.weights, wanted.weights)


def test_scale__unknown_or_beside_a_reduction_of_one_s_own_is_refused(rng):
    X = rng.normal(size=(500, 3))
    with pytest.raises(InputError, match=r"scale must be one of auto, .* got 'minmax'"):
        distill(X, size=10, scale="minmax")
    with pytest.raises(InputError, match="scale must be left out beside a reduction of your own"):
        distill(X, size=10, reduce=np.abs, scale="rank")


@pytest.mark.parametrize("strategy", ["kcenter", "kmeans", "kmedoids"])
def test_distances__infinite_squares_are_refused_by_name(rng, strategy):
    X = rng.normal(size=(800, 3))
    X[5, 2] = 1e200
    with pytest.raises(InputError, match=r"below 1e\+150 .* got 1e\+200 in column 2; .* --scale"):
        distill(X, size=20, strategy=strategy)
    with pytest.raises(InputError, match=r"below 1e\+150"):
        distill(X, X[:, 0] > 0, size=20, strategy="stratified", certify=True)
    assert len(distill(X, size=20, strategy=strategy, scale="robust")) == 20


@pytest.mark.parametrize("offset", [1e8, 2.0**40, 1.7e12])
def test_kmeans__a_constant_or_a_shift_changes_nothing_that_matters(rng, offset):
    X = rng.normal(size=(5000, 4))

    def spread(rows):
        return ((X[:, None] - X[None, rows]) ** 2).sum(axis=2).min(axis=1).mean()

    plain = spread(distill(X, size=100, strategy="kmeans").indices)
    beside = np.column_stack([X, np.full(len(X), offset)])
    assert spread(distill(beside, size=100, strategy="kmeans").indices) < 1.02 * plain
    assert spread(distill(X + min(offset, 1e8), size=100, strategy="kmeans").indices) < 1.02 * plain


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
@pytest.mark.parametrize(
    "strategy",
    ["auto", "gradient", "entropy", "strata", "combined", "active", "kmeans", "coverage"],
)
def test_scores__do_not_become_constant_at_large_offsets(rng, strategy):
    X = rng.normal(size=(3000, 4))
    y = (X[:, 0] + 0.5 * rng.normal(size=3000) > 0).astype(int)
    near, far = (distill(X + shift, y, size=100, strategy=strategy) for shift in (0.0, 2.0**33))
    assert len(np.intersect1d(near.indices, far.indices)) >= 95
    for name, values in far.scores.items():
        assert values.std() == pytest.approx(near.scores[name].std(), rel=0.1)


def test_scale__none_with_values_that_no_model_can_judge_is_refused(rng):
    X = rng.normal(size=(2000, 3))
    X[17, 1] = 3e38
    y = X[:, 0] > 0
    for strategy, options in (("gradient", {"sample": True}), ("auto", None)):
        with pytest.raises(InputError, match=r"below 1e\+15 in size, .* got 3e\+38 in column 1"):
            distill(X, y, size=100, strategy=strategy, options=options, scale="none")
