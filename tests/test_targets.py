"""Targets that are no classes: a number, or several labels a row."""

import dask.array as da
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from dask_distill import InputError, distill, open_coreset
from dask_distill.selection.lost import shown
from dask_distill.selection.task import STRATA
from dask_distill.strategies import STRATEGIES

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")

N, SIZE = 6_000, 300
OPTIONS = {"combined": {"trust": 1.0}}
WORKS = [(task, name) for name, kind in STRATEGIES.items() for task in sorted(kind.tasks)]


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


@pytest.mark.parametrize(("task", "name"), WORKS)
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
    with pytest.raises(InputError, match='for several labels a row pass task="multilabel"'):
        distill(X, Y, size=10)
    with pytest.raises(InputError, match='pass task="regression"'):
        distill(X, np.arange(N) % 4_000, size=10)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("ranking", {}, "task must be one of classification, regression, multilabel"),
        ("regression", {"strategy": "entropy"}, "entropy needs classes.*use one of auto, random"),
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


# ---------------------------------------------------------------- rare labels of several


@pytest.fixture(scope="module")
def posts():
    """Six labels of 50,000 rows: two are rare, one is nearly everywhere."""
    rng = np.random.default_rng(0)
    Y = np.zeros((50_000, 6), int)
    for label, rows in enumerate((15_000, 51, 5_000, 8, 49_970, 1_500)):
        Y[rng.choice(50_000, rows, replace=False), label] = 1
    return rng.normal(size=(50_000, 8)).astype(np.float32), Y


def test_multilabel__rare_labels_have_a_floor_as_classes_have(posts):
    X, Y = posts
    coreset = distill(X, Y, size=500, task="multilabel")
    mine = coreset.carry["y"].compute()
    np.testing.assert_array_equal(mine, Y[coreset.indices])
    kept = mine.sum(axis=0)
    # all eight, ten of 51, and ten of the thirty without the one that nearly all have
    assert kept[3] == 8
    assert kept[1] >= 10
    assert 500 - kept[4] >= 10
    # weights make up for it
    weighed = (mine * coreset.weights[:, None]).sum(axis=0, dtype=float)
    np.testing.assert_allclose(weighed[[1, 3, 4]], Y.sum(axis=0)[[1, 3, 4]], rtol=0.05)
    assert weighed.sum() == pytest.approx(Y.sum(), rel=0.1)
    assert coreset.provenance["lost"]["labels"] == []
    table = {entry["label"]: entry for entry in coreset.provenance["labels"]}
    assert (table["3"]["rows"], table["3"]["selected"]) == (8, 8)
    assert table["4"]["rows_without"] == 30
    assert {entry["label"] for entry in coreset.provenance["classes"]} == {
        *("others", "with 1", "with 3", "without 4")
    }


def test_multilabel__lost_labels_are_told_whatever_the_strategy(posts):
    X, Y = posts
    for strategy in ("random", "kmeans"):
        coreset = distill(X, Y, size=100, strategy=strategy, task="multilabel")
        mine = Y[coreset.indices]
        lost = {
            (entry["label"], entry["without"]) for entry in coreset.provenance["lost"]["labels"]
        }
        expected = {(str(label), False) for label in np.flatnonzero(mine.sum(axis=0) == 0)}
        expected |= {(str(label), True) for label in np.flatnonzero(mine.sum(axis=0) == 100)}
        assert lost == expected
        assert len(lost) >= 2
        assert "no row of" in shown(coreset.provenance["lost"])
        assert "with 3 (8)" in shown(coreset.provenance["lost"])


def test_multilabel__without_rare_labels_nothing_changes(table, monkeypatch):
    X, _, Y = table
    plain = distill(X, Y, size=SIZE, task="multilabel")
    assert plain.labels is None
    assert plain.provenance["classes"] is None
    monkeypatch.setattr(STRATEGIES["auto"], "takes_strata", False)
    np.testing.assert_array_equal(
        distill(X, Y, size=SIZE, task="multilabel").indices, plain.indices
    )


@pytest.mark.parametrize("strategy", ["auto", "coverage"])
def test_multilabel__floors_are_the_same_for_any_chunking(posts, strategy):
    X, Y = posts
    found = [
        distill(
            da.from_array(X, chunks=(rows, -1)),
            da.from_array(Y, chunks=(rows // 3, 2)),
            size=500,
            strategy=strategy,
            task="multilabel",
        )
        for rows in (7_000, 50_000)
    ]
    np.testing.assert_array_equal(found[0].indices, found[1].indices)
    np.testing.assert_array_equal(found[0].weights, found[1].weights)
    assert (Y[found[0].indices].sum(axis=0) > 0).all()


def test_multilabel__more_rare_labels_than_rows_are_no_fault():
    rng = np.random.default_rng(0)
    Y = (rng.random((2_000, 300)) < 0.002).astype(int)
    coreset = distill(rng.normal(size=(2_000, 3)), Y, size=40, task="multilabel")
    assert len(coreset) == 40
    # of 300 labels in 40 rows most are lost, and said to be
    lost = {int(entry["label"]) for entry in coreset.provenance["lost"]["labels"]}
    none = Y[coreset.indices].sum(axis=0) == 0
    assert lost == set(np.flatnonzero(none & (Y.sum(axis=0) > 0)).tolist())


def test_multilabel__rare_columns_of_a_table_are_named(tmp_path):
    import pandas as pd
    from click.testing import CliRunner

    from dask_distill.cli.main import cli

    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(4_000, 3)), columns=list("abc"))
    frame["tag_cat"] = (rng.random(4_000) < 0.4).astype(int)
    frame["tag_yak"] = (np.arange(4_000) % 1_000 == 7).astype(int)
    frame.to_parquet(tmp_path / "posts.parquet")
    words = ["run", str(tmp_path / "posts.parquet"), "", "--labels", "tag_*", "--size", "80"]
    words += ["--features", "a,b,c", "--task", "multilabel"]
    words[2] = str(tmp_path / "kept.zarr")
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "tag_yak: 4 of 4" in done.stdout
    assert open_coreset(words[2]).provenance["labels"][1]["selected"] == 4
    words[2] = str(tmp_path / "random.zarr")
    done = CliRunner().invoke(cli, [*words, "--strategy", "random"])
    assert "no row of 1 label (with tag_yak (4))" in done.stdout
