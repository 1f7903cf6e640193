"""What do I lose? Known data, so that the verdict is known, too."""

import json
from dataclasses import replace

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from dask_distill import Evaluation, InputError, distill, open_coreset
from dask_distill.cli.main import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.data.rows import rows_of
from dask_distill.evaluation.result import verdict_on_subset
from dask_distill.evaluation.splits import hashed_rows, split_rows
from dask_distill.evaluation.statistics import interval
from dask_distill.evaluation.training import (
    LabelledRows,
    standard_models,
    train_and_test,
    weight_parameter,
)
from dask_distill.support.metrics import METRICS

LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
FAST = {"models": LINEAR, "seeds": 5, "max_rows": 4000}


@pytest.fixture(scope="module")
def small(labelled):
    return labelled.X[:6000], labelled.names[:6000]


@pytest.fixture(scope="module")
def drawn(small):
    return distill(*small, fraction=0.05, strategy="random")


@pytest.fixture(scope="module")
def found(small, drawn):
    return drawn.evaluate(*small, **FAST)


# ---------------------------------------------------------------- the verdict


@pytest.mark.parametrize("seed", range(1, 4))
def test_evaluate__random_does_as_well_as_random(small, seed):
    coreset = distill(*small, fraction=0.05, strategy="random", seed=seed)
    found = coreset.evaluate(small, **FAST, seed=100 * seed)
    assert found.verdict.startswith("Random does as well here")
    assert "take it" in found.verdict
    assert found.verdict.count(". ") == 0


def test_evaluate__rows_of_one_corner_are_worse_than_random(small):
    X, y = small
    one_sided = np.flatnonzero(X[:, 0] > np.quantile(X[:, 0], 0.9))[:300]
    coreset = distill(X, y, size=300, strategy="random")
    coreset = replace(coreset, indices=one_sided, **rows_of(as_dataset(X, y), one_sided))
    found = coreset.evaluate(X, y, **FAST)
    assert found.verdict.startswith("The subset is worse than a")
    assert "in accuracy (" in found.verdict.partition(". ")[0]
    assert "Random does better here; take it" in found.verdict
    assert found.difference("random", "accuracy").high < 0


def test_evaluate__clean_rows_among_wrong_labels_are_worth_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 5))
    truth = (X[:, 0] + X[:, 1] > 0).astype(int)
    wrong = rng.random(len(X)) < 0.35
    y = np.where(wrong, 1 - truth, truth)
    clean = np.flatnonzero(~wrong)[:400]
    coreset = distill(X, y, size=400, strategy="random")
    coreset = replace(coreset, indices=clean, **rows_of(as_dataset(X, y), clean))
    found = coreset.evaluate(X, y, models=DecisionTreeClassifier(), seeds=6, max_rows=4000)
    assert found.verdict.startswith("The subset is worth it: against")
    assert all(found.difference(way, "accuracy").low > 0 for way in ("random", "stratified"))


def test_verdict__rare_classes_may_be_what_matters(found):
    better = [
        replace(each, mean=0.1, low=0.05, high=0.15) if each.metric == "balanced_accuracy" else each
        for each in found.differences
    ]
    assert verdict_on_subset(found.scores, better).startswith(
        "The subset is worth it where rare classes matter"
    )


# ---------------------------------------------------------------- rows


def test_split__test_rows_are_never_selected_nor_trained_on():
    rng = np.random.default_rng(1)
    pool = np.sort(rng.choice(10_000, 3000, replace=False))
    pool[:7] = -1
    codes = np.where(pool < 0, -1, pool % 3)
    selected = np.sort(rng.choice(10_000, 1000, replace=False))
    for seed in range(5):
        split = split_rows(pool, codes, selected, seed, 400, 2000, None)
        assert not np.isin(pool[split.test], selected).any()
        for rows in (split.random, split.stratified, split.everything):
            assert not np.isin(rows, split.test).any()
            assert (pool[rows] >= 0).all()
            assert len(np.unique(rows)) == len(rows)
        assert len(split.random) == len(split.stratified) == 400
        assert len(split.everything) == 2000
        shares = np.bincount(codes[split.stratified]) / 400
        rest = np.setdiff1d(np.flatnonzero(pool >= 0), split.test)
        assert np.allclose(shares, np.bincount(codes[rest]) / len(rest), atol=1 / 400)
        again = split_rows(pool, codes, selected, seed, 400, 2000, None)
        assert np.array_equal(again.test, split.test)


def test_hashed_rows__are_distinct_and_spread():
    rows = hashed_rows(10**12, 5000, 0, 1)
    assert len(np.unique(rows)) == len(rows) == 5000
    assert abs(rows.mean() / 1e12 - 0.5) < 0.03
    assert np.array_equal(rows, hashed_rows(10**12, 5000, 0, 1))


def test_evaluate__a_bounded_part_is_said_to_be_one(small, drawn):
    found = drawn.evaluate(small, **FAST | {"max_rows": 200})
    assert found.score("everything").rows == found.score("subset").rows == 200
    assert "Everything stands for 200 of 6,000 rows" in found.notes[0]
    assert "The subset stands for 200 of its 300 rows" in found.notes[1]
    assert found.verdict.endswith("of the accuracy of training on 200 rows.")
    assert "won back" not in found.cost


def test_evaluate__invalid_rows_are_left_out(small):
    X, y = small[0].copy(), small[1]
    X[::7, 1] = np.nan
    coreset = distill(X, y, fraction=0.05, strategy="random", on_invalid="drop")
    found = coreset.evaluate(X, y, **FAST)
    assert found.score("everything").accuracy > 0.8
    assert found.test_rows + found.score("everything").rows <= 6000 - len(X[::7])


def test_evaluate__given_test_rows_are_used(labelled, drawn, small):
    test = labelled.X[20_000:20_500], labelled.names[20_000:20_500]
    found = drawn.evaluate(small, test=test, **FAST)
    assert found.test_rows == 500
    assert not any("not selected" in note for note in found.notes)


def test_evaluate__rows_of_an_image_are_flattened(small, drawn):
    X = small[0].reshape(6000, 2, 3)
    coreset = distill(X, small[1], fraction=0.05, strategy="random")
    assert coreset.evaluate(X, small[1], **FAST).scores[0].accuracy > 0.8


# ---------------------------------------------------------------- figures


def test_interval__holds_the_truth_as_often_as_it_says():
    """Draws on either side vary alike: 95 % of the intervals hold the true difference, 0."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(2000):
        luck = rng.normal()
        gaps = luck - rng.normal(size=5)
        _, low, high = interval(gaps, [gaps])
        held.append(low <= 0 <= high)
    assert 0.935 < np.mean(held) < 0.965


def test_interval__is_narrower_where_only_our_side_is_fixed():
    gaps = [0.01, 0.02, 0.04]
    mean, low, high = interval(gaps)
    assert low < mean < high
    assert mean == pytest.approx(np.mean(gaps))
    wide = interval(gaps, [gaps])
    assert wide[1] < low
    assert wide[2] > high


def test_evaluation__figures_hang_together(found):
    assert found.metrics == tuple(METRICS)
    for metric in METRICS:
        for way in ("random", "stratified", "everything", "majority"):
            gap = found.score("subset").value(metric) - found.score(way).value(metric)
            assert found.difference(way, metric).mean == pytest.approx(gap, abs=1e-12)
    assert found.worst_class in {"alpha", "beta", "gamma", "delta"}
    assert found.selection_seconds > 0
    assert "selecting took" in found.cost
    assert Evaluation.from_dict(json.loads(json.dumps(found.as_dict()))) == found
    for words in ("the subset against", "stratified", "worst class", "log loss", found.verdict):
        assert words in str(found)


def test_train__weights_reach_models_that_take_them():
    X = np.array([[0.0], [0.0], [1.0]])
    codes = np.array([0, 1, 1])
    test = LabelledRows(X[:1], codes[:1])
    heavy = LabelledRows(X, codes, np.array([10, 1, 1], np.float32))
    light = LabelledRows(X, codes, np.array([1, 10, 1], np.float32))
    tree = DecisionTreeClassifier()
    assert train_and_test("subset", "tree", tree, 0, heavy, test, 2).accuracy == 1
    assert train_and_test("subset", "tree", tree, 0, light, test, 2).accuracy == 0
    names = {name: weight_parameter(model) for name, model in standard_models().items()}
    assert names == {
        "logistic regression": "logisticregression__sample_weight",
        "boosting": "sample_weight",
        "neighbours": None,
        "neural network": "mlpclassifier__sample_weight",
    }


def test_train__one_class_alone_can_only_be_repeated():
    training = LabelledRows(np.zeros((3, 1)), np.array([1, 1, 1]))
    test = LabelledRows(np.zeros((4, 1)), np.array([0, 1, 1, 1]))
    trial = train_and_test("random", "lr", LogisticRegression(), 0, training, test, 3)
    assert (trial.accuracy, trial.worst_class_recall) == (0.75, 0.0)
    assert np.isnan(trial.recalls[2])


def test_evaluate__same_on_a_cluster(small, drawn, found, local_client):
    local_client(1)
    there = drawn.evaluate(small, **FAST)
    assert [s.accuracy for s in there.scores] == [s.accuracy for s in found.scores]


@pytest.mark.slow
def test_evaluate__standard_models(small, drawn):
    found = drawn.evaluate(small, seeds=2, max_rows=600, test_rows=300)
    assert {score.model for score in found.scores} == {"all models", *standard_models()}
    assert min(score.accuracy for score in found.scores if score.way != "majority") > 0.7


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"seeds": 1}, "seeds must be an int of at least 2, got 1"),
        ({"max_rows": 3}, "max_rows must be an int of at least 100, got 3"),
        ({"models": "best"}, "models must be scikit-learn classifiers, or a dict"),
        ({"models": {}}, "models must hold at least one classifier"),
        ({"test_rows": 5900}, "needs at least 5900 rows to test on that were not selected"),
        ({"test": (np.zeros((5, 2)), np.zeros(5, int))}, "test must have the 6 features"),
        ({"test": np.zeros((5, 6))}, "needs the labels of the test, got none"),
        ({"test": (np.zeros((5, 6)), np.zeros(5, int))}, "must be of one type"),
    ],
)
def test_evaluate__refuses_in_one_sentence(small, drawn, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        drawn.evaluate(small, **FAST | arguments)


def test_evaluate__refuses_another_source(small, drawn):
    with pytest.raises(InputError, match=r"6,000 rows of 6 features, got 5,000 of 6"):
        drawn.evaluate(small[0][:5000], small[1][:5000], **FAST)
    with pytest.raises(InputError, match="got other values in"):
        drawn.evaluate(small[0] + 1, small[1], **FAST)


def test_evaluate__refuses_the_unlabelled(small, drawn):
    with pytest.raises(InputError, match="needs the labels of the source, got none"):
        drawn.evaluate(small[0], **FAST)
    unlabelled = distill(small[0], size=50, strategy="random")
    with pytest.raises(InputError, match="needs labels, got a subset of unlabelled rows"):
        unlabelled.evaluate(small, **FAST)


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def written(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    group = zarr.open_group(folder / "in.zarr", mode="w")
    parts = {"X": small[0], "y": small[1], "X_test": small[0][:400], "y_test": small[1][:400]}
    for name, values in parts.items():
        dtype = "str" if values.dtype.kind == "U" else values.dtype
        group.create_array(name, shape=values.shape, dtype=dtype)[:] = values
    coreset = distill(*small, fraction=0.05, strategy="random")
    coreset.to_zarr(folder / "out.zarr")
    distill(small[0], size=50, strategy="random").to_zarr(folder / "unlabelled.zarr")
    return folder


@pytest.fixture
def command(written, monkeypatch):
    """Run the command on this process's threads, with one quick model."""
    from contextlib import nullcontext

    monkeypatch.chdir(written)
    monkeypatch.setattr("dask_distill.clusters.connect.connect", lambda **places: nullcontext())
    quick = {"logistic regression": LINEAR}
    monkeypatch.setattr("dask_distill.evaluation.training.standard_models", lambda: quick)

    def run(*arguments):
        return CliRunner().invoke(cli, ["evaluate", *arguments])

    return run


FEW = ["--source", "in.zarr", "--seeds", "2", "--max-rows", "2000"]


def test_command__json_is_one_object(command):
    done = command("out.zarr", *FEW, "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    found = Evaluation.from_dict(json.loads(done.stdout))
    assert (found.rows, found.selected, found.strategy) == (6000, 300, "random")
    here = open_coreset("out.zarr")
    assert here.weights.sum() == pytest.approx(6000)


@pytest.mark.parametrize(
    "tests", [["--test", "X_test", "y_test"], ["--test", "X_test", "--test", "y_test"]]
)
def test_command__test_arrays_of_the_source(command, tests):
    done = command("out.zarr", *FEW, *tests, "--json")
    assert json.loads(done.stdout)["test_rows"] == 400


def test_command__table_and_verdict(command):
    done = command("out.zarr", *FEW, "--test", "in.zarr")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("trained on")
    assert "Random does" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["out.zarr"], "source must be given for 'out.zarr'"),
        (["out.zarr", "more", *FEW], "one TARGET is wanted, got out.zarr more"),
        (["unlabelled.zarr", *FEW], "got a subset of unlabelled rows; select again with --labels"),
        (["out.zarr", *FEW, "--test", "none.zarr"], "does not exist"),
        (["out.zarr", *FEW, "--test", "a", "b", "c"], "test must be one source, or two arrays"),
        (["nowhere", *FEW], "nowhere"),
    ],
)
def test_command__bad_input_is_one_sentence(command, arguments, sentence):
    done = command(*arguments)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


def test_evaluate__of_rows_beside_those_that_were_chosen_before():
    """They are in the source, and not among the rows that were selected from."""
    X = np.random.default_rng(0).normal(size=(600, 4))
    y = (X[:, 0] > 0).astype(int)
    coreset = distill(X, y, size=60, strategy="random", initial=np.arange(20))
    found = coreset.evaluate(X, y, models=LogisticRegression(), seeds=2)
    assert len(found.verdict) > 0
    with pytest.raises(InputError, match="selected from, 600 rows of 4 features, got 599"):
        coreset.evaluate(X[:599], y[:599], models=LogisticRegression(), seeds=2)
