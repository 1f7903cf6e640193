"""Targets that are no classes: a number, or several labels a row."""

import dask.array as da
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from dask_distill import InputError, distill, open_coreset
from dask_distill.selection.task import _WORKS, STRATA

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")

N, SIZE = 6_000, 300
OPTIONS = {"combined": {"trust": 1.0}}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    y = X @ [3.0, -1, 0, 0] + rng.gumbel(size=N)
    Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(N, 3)) > 1).astype(int)
    return X, y, Y


def select(table, task, name, chunks):
    X, y, Y = table
    target = y if task == "regression" else Y
    return distill(
        da.from_array(X, chunks=(chunks, -1)),
        da.from_array(target, chunks=(chunks // 2, *target.shape[1:])),
        size=SIZE,
        strategy=name,
        options=OPTIONS.get(name),
        task=task,
        reduce="pca:2" if name == "novelty" else None,
    )


@pytest.mark.parametrize(("task", "name"), [(t, n) for t, names in _WORKS.items() for n in names])
def test_task__every_strategy_it_names_gives_the_same_rows_for_any_chunking(table, task, name):
    one, other = (select(table, task, name, chunks) for chunks in (1_300, N))
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert len(one) == SIZE
    assert one.weights.sum(dtype=float) == pytest.approx(N)
    expected = table[1] if task == "regression" else table[2]
    np.testing.assert_array_equal(one.carry["y"].compute(), expected[one.indices])
    assert one.provenance["parameters"]["task"] == task


@pytest.mark.parametrize("name", ["auto", "stratified"])
def test_regression__every_stratum_of_the_target_has_its_share(table, name):
    y = table[1]
    coreset = select(table, "regression", name, N)
    edges = np.quantile(y, np.arange(1, STRATA) / STRATA)
    counts = np.bincount(np.searchsorted(edges, y[coreset.indices]), minlength=STRATA)
    np.testing.assert_allclose(counts, SIZE / STRATA, atol=2)
    # the weighted mean is that of the target
    assert np.average(y[coreset.indices], weights=coreset.weights) == pytest.approx(
        y.mean(), abs=0.15
    )


def test_regression__gradient_is_the_norm_of_ridge_regressions_gradient(table):
    X, y, _ = table
    coreset = select(table, "regression", "gradient", N)
    Z = (X - X.mean(0)) / X.std(0)
    model = Ridge(alpha=1.0).fit(Z, y / y.std())
    norm = np.abs(model.predict(Z) - y / y.std()) * np.sqrt((Z**2).sum(1) + 1)
    # all rows are in the sample that the model is fitted on
    np.testing.assert_allclose(coreset.scores["gradient"], norm[coreset.indices], rtol=1e-3)
    assert norm[coreset.indices].min() >= np.sort(norm)[-SIZE] * (1 - 1e-3)


def test_multilabel__gradient_is_that_of_the_sum_of_logistic_losses(table):
    X, _, Y = table
    coreset = select(table, "multilabel", "gradient", N)
    Z = (X - X.mean(0)) / X.std(0)
    error = np.zeros(N)
    for label in Y.T:
        P = LogisticRegression(max_iter=200, tol=1e-3).fit(Z, label).predict_proba(Z)[:, 1]
        error += (P - label) ** 2
    norm = np.sqrt(error) * np.sqrt((Z**2).sum(1) + 1)
    np.testing.assert_allclose(coreset.scores["gradient"], norm[coreset.indices], rtol=1e-2)


def test_multilabel__labels_that_nobody_has_are_no_fault(table):
    X, _, Y = table
    none = np.column_stack([Y, np.zeros(N, int), np.ones(N, int)])
    coreset = distill(X, none, size=50, strategy="gradient", task="multilabel")
    assert np.isfinite(coreset.scores["gradient"]).all()


def test_targets__are_written_and_read_again(table, tmp_path):
    for task, target in (("regression", table[1]), ("multilabel", table[2])):
        place = tmp_path / f"{task}.zarr"
        distill(table[0], target, size=40, strategy="random", task=task).to_zarr(place)
        stored = open_coreset(place)
        np.testing.assert_array_equal(stored.carry["y"].compute(), target[stored.indices])


def test_task__is_never_guessed(table):
    X, y, Y = table
    with pytest.raises(InputError, match='for a regression target pass task="regression"'):
        distill(X, y, size=10)
    with pytest.raises(InputError, match='for several labels a row task="multilabel"'):
        distill(X, Y, size=10)
    with pytest.raises(InputError, match='pass task="regression"'):
        distill(X, np.arange(N) % 4_000, size=10)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("ranking", {}, "task must be one of classification, regression, multilabel"),
        ("regression", {"strategy": "entropy"}, "entropy needs classes.*use one of auto, strat"),
        ("regression", {"strategy": "combined"}, "combined must have criterion"),
        ("multilabel", {"strategy": "stratified"}, "stratified needs classes.*use one of auto"),
        ("multilabel", {"strategy": "combined"}, "combined needs classes"),
        ("regression", {"labels": np.full(N, np.nan)}, "must be finite.*6,000 other values"),
        ("regression", {"labels": np.zeros((N, 2))}, r"must be \(n,\) numbers"),
        ("regression", {"labels": np.ones(N), "strategy": "stratified"}, "different values"),
        ("regression", {"labels": None}, "labels must be given"),
        ("regression", {"proxy": LogisticRegression()}, "proxy must be left out"),
        ("multilabel", {"labels": np.full((N, 2), 3)}, "must be 0 or 1"),
        ("multilabel", {"labels": np.ones(N)}, r"must be \(n, L\) of 0 and 1"),
    ],
)
def test_task__refuses_what_does_not_work_and_names_what_does(table, task, options, message):
    X, y, Y = table
    given = {"labels": Y if task == "multilabel" else y, "size": 20} | options
    with pytest.raises(InputError, match=message):
        distill(X, task=task, **given)


@pytest.mark.parametrize("nothing", [0.8, 0.9, 0.95, 0.999])
def test_regression__targets_that_are_mostly_nothing_have_strata_of_the_rest(nothing):
    """Claims, rain, sales."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 4))
    y = np.where(rng.random(20_000) < nothing, 0.0, np.exp(X[:, 0]))
    coreset = distill(X, y, size=400, strategy="stratified", task="regression")
    assert len(coreset) == 400
    share = (y[coreset.indices] > 0).mean()
    assert share >= (y > 0).mean() * 0.5
    mean = np.average(y[coreset.indices], weights=coreset.weights)
    assert mean == pytest.approx(y.mean(), rel=0.5, abs=0.01)


def test_regression__a_target_of_one_value_is_refused():
    with pytest.raises(InputError, match="got one alone"):
        distill(
            np.random.default_rng(0).normal(size=(500, 3)), np.ones(500), size=9, task="regression"
        )
