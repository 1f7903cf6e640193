"""`dask-distill score` and `run --scores all` as users meet them."""

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import Ridge

from dask_distill import open_coreset, open_scores, score
from dask_distill.cli.main import cli
from dask_distill.errors import DistillError
from dask_distill.survey.survey import Survey

N = 3000


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, threads_for_a_cluster):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dask_distill.clusters.connect.connect", threads_for_a_cluster)


@pytest.fixture
def source(labelled):
    np.savez("in.npz", X=labelled.X[:N], y=labelled.y[:N])
    return labelled.X[:N], labelled.y[:N]


def run(*words, code=0):
    done = CliRunner().invoke(cli, [*words])
    assert done.exit_code == code, done.output
    return done


def told(*words):
    return json.loads(run(*words, "--json").stdout)


@pytest.mark.parametrize("target", ["out.zarr", "out.parquet"])
def test_score__command_writes_what_the_function_gives(source, target):
    result = told("score", "in.npz", target, "--seed", "3", "--criteria", "margin,gradient")
    expected = score(*source, ("margin", "gradient"), seed=3)
    found = open_scores(target)
    assert list(found) == ["margin", "gradient"]
    np.testing.assert_array_equal(found.table.compute(), expected.table.compute())
    assert (result["rows"], result["seed"], result["resumed"]) == (N, 3, False)
    assert result["parameters"]["criteria"] == ["margin", "gradient"]
    phases = {"load", "open", "start", "survey", "write", "stop"}
    assert phases | {"total"} == set(result["seconds"])
    assert set(result["bytes_on_the_wire"]["phases"]) == {"survey", "write"}
    # and once more: it is there
    again = told(
        "score", "in.npz", target, "--seed", "3", "--criteria", "margin,gradient", "--resume"
    )
    assert (again["digest"], again["bytes_written"]) == (result["digest"], 0)
    refused = run("score", "in.npz", target, "--resume", "--seed", "4", code=2).stderr
    assert "seed was 3, is 4" in refused
    assert os.listdir() == sorted(["in.npz", target], key=os.listdir().index)


SPACES = {
    "--reduce pca:2": {"reduce": "pca:2"},
    "--reduce svd:2:all": {"reduce": "svd:2:all"},
    "--time t --time-scale 300": {"time": np.arange(N) * 1.0, "time_scale": 300},
}


@pytest.mark.parametrize("space", SPACES)
def test_score__command_in_a_space_writes_what_the_function_gives_there(source, space):
    X, y = source
    np.savez("in.npz", X=X, y=y, t=np.arange(N) * 1.0)
    words = ("score", "in.npz", "out.zarr", *space.split())
    result = told(*words)
    found, expected = open_scores("out.zarr"), score(X, y, **SPACES[space])
    np.testing.assert_array_equal(found.table.compute(), expected.table.compute())
    assert not np.array_equal(found.table.compute(), score(X, y).table.compute())
    # which a selection in that space takes, and none without; another space is not gone on with
    how = ("--size", "60", "--strategy", "gradient", "--from-scores", "out.zarr", "--quiet")
    run("run", "in.npz", "rows.zarr", *how, *space.split())
    assert "scores must be made with the" in run("run", "in.npz", "other.zarr", *how, code=2).stderr
    assert told(*words, "--resume")["digest"] == result["digest"]
    assert "is null" in run("score", "in.npz", "out.zarr", "--resume", code=2).stderr


def test_score__another_input_is_not_resumed(source):
    run("score", "in.npz", "out.zarr", "--quiet")
    X, y = source
    np.savez("in.npz", X=X + 1, y=y)
    refused = run("score", "in.npz", "out.zarr", "--resume", code=2).stderr
    assert "must have the same input to be resumed, but the values have changed" in refused
    assert run("verify", "out.zarr").stdout.startswith(
        "out.zarr: complete, scores of all 3,000 rows"
    )


def test_score__rows_that_cannot_be_used_have_none_and_are_told(source):
    X, y = source
    X = X.copy()
    X[7, 1] = np.nan
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(y=y)
    frame.to_parquet("in.parquet")
    words = ("--labels", "y", "--on-invalid", "drop")
    lines = run("score", "in.parquet", "out.parquet", *words).stdout.splitlines()
    assert lines[0] == "scored    2,999 rows by gradient, entropy, el2n, margin"
    assert lines[1] == "left out  1 rows with invalid values or no label"
    assert "          their scores are NaN" in lines
    found = pd.read_parquet("out.parquet")
    assert np.flatnonzero(found.isna().any(axis=1)).tolist() == [7]
    assert len(found) == N


JUDGES = ("auto:trust=confident", "auto:proxy=linear", "entropy", "combined")


@pytest.mark.parametrize("strategy", JUDGES)
def test_run__scores_of_all_rows_are_those_that_the_strategy_sees(source, strategy):
    name, _, option = strategy.partition(":")
    more = ("--option", option) if option else ()
    words = ("--size", "60", "--strategy", name, *more, "--scores", "all", "--quiet")
    run("run", "in.npz", "out.zarr", *words)
    coreset, scores = open_coreset("out.zarr"), open_scores("out.scores.zarr")
    seen = [name for name in coreset.scores if name in scores]
    assert "entropy" in seen
    for name in seen:
        np.testing.assert_array_equal(
            scores[name].compute()[coreset.indices], coreset.scores[name], err_msg=name
        )


@pytest.mark.parametrize("space", ["--reduce pca:2", "--time t --time-scale 300"])
def test_run__scores_of_all_rows_in_the_space_of_the_selection(source, space):
    X, y = source
    np.savez("in.npz", X=X, y=y, t=np.arange(N) * 1.0)
    words = ("--size", "60", "--strategy", "gradient", *space.split(), "--quiet")
    run("run", "in.npz", "out.zarr", *words, "--scores", "all")
    coreset, scores = open_coreset("out.zarr"), open_scores("out.scores.zarr")
    for name, values in coreset.scores.items():
        np.testing.assert_array_equal(scores[name].compute()[coreset.indices], values)
    # which a run with the same space may take
    run("run", "in.npz", "again.zarr", *words, "--from-scores", "out.scores.zarr")
    np.testing.assert_array_equal(open_coreset("again.zarr").indices, coreset.indices)
    other = ("--size", "60", "--strategy", "gradient", "--from-scores", "out.scores.zarr")
    refused = run("run", "in.npz", "other.zarr", *other, code=2).stderr
    assert "scores must be made with the" in refused


TARGETS = ("regression", "multilabel")


def write_targets(source, task, holes=False):
    """Numbers, or three labels of which one is rare; some rows with a hole."""
    X, _ = source
    noise = np.random.default_rng(0).normal(size=len(X))
    target = X[:, 0] + noise
    if task == "multilabel":
        rare = X[:, 2] > np.sort(X[:, 2])[-20]
        target = np.c_[X[:, 0] > 0, X[:, 1] + noise > 0, rare].astype(int)
    if holes:
        X = X.copy()
        X[::97, 3] = np.nan
    np.savez("in.npz", X=X, y=target)


@pytest.mark.parametrize("space", ["", "--reduce pca:3", "--scale rank", "--on-invalid drop"])
@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("strategy", ["gradient", "auto"])
def test_run__scores_of_all_rows_by_a_target_that_is_no_class(source, strategy, task, space):
    write_targets(source, task, holes="drop" in space)
    words = ("--size", "60", "--strategy", strategy, "--task", task, *space.split())
    run("run", "in.npz", "out.zarr", *words, "--scores", "all", "--quiet")
    coreset, scores = open_coreset("out.zarr"), open_scores("out.scores.zarr")
    assert set(scores) == set(coreset.scores)
    assert "gradient" in scores
    for name, values in coreset.scores.items():
        np.testing.assert_array_equal(scores[name].compute()[coreset.indices], values, err_msg=name)
    assert np.isnan(scores["gradient"].compute()).sum() == (31 if "drop" in space else 0)


def test_run__scores_of_all_rows_by_a_number_are_the_gradients_of_a_ridge_regression(source):
    write_targets(source, "regression")
    words = ("--size", "60", "--strategy", "gradient", "--task", "regression")
    run("run", "in.npz", "out.zarr", *words, "--scores", "all", "--quiet")
    scores = open_scores("out.scores.zarr")
    with np.load("in.npz") as found:
        X, target = found["X"].astype(float), found["y"]
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    error = target - Ridge(alpha=1.0).fit(Z, target).predict(Z)
    expected = np.abs(error) / target.std() * np.sqrt((Z**2).sum(axis=1) + 1)
    np.testing.assert_allclose(scores["gradient"].compute(), expected, rtol=1e-3, atol=1e-3)
    assert scores.provenance["parameters"]["task"] == "regression"
    # they are not taken for those of classes
    np.savez("in.npz", X=X, y=source[1])
    how = ("--size", "60", "--strategy", "gradient", "--from-scores", "out.scores.zarr")
    refused = run("run", "in.npz", "other.zarr", *how, code=2).stderr
    assert "scores must be made with the task that distill is given, 'classification'" in refused


def test_run__scores_of_all_rows_where_nothing_judges_them(source):
    write_targets(source, "multilabel")
    words = ("--size", "60", "--strategy", "kcenter", "--task", "multilabel", "--scores", "all")
    refused = run("run", "in.npz", "out.zarr", *words, code=2).stderr
    assert "got --task multilabel and strategy kcenter, for which none is fitted" in refused
    assert os.listdir() == ["in.npz"]


@pytest.mark.parametrize("task", ["classification", *TARGETS])
def test_run__scores_of_all_rows_and_the_subset_need_one_survey(labelled, task, monkeypatch):
    np.savez("in.npz", X=labelled.X, y=labelled.y)
    if task in TARGETS:
        write_targets((labelled.X, labelled.y), task)
    surveyed = Counter()
    plain = Survey.observe

    def counted(self, block, question):
        surveyed[block.start] += 1
        return plain(self, block, question)

    monkeypatch.setattr(Survey, "observe", counted)
    words = ("run", "in.npz", "--size", "60", "--strategy", "gradient", "--task", task, "--quiet")
    run(*words, "alone.zarr")
    assert len(surveyed) > 1
    assert set(surveyed.values()) == {1}
    surveyed.clear()
    run(*words, "out.zarr", "--scores", "all")
    assert set(surveyed.values()) == {1}
    alone, out = open_coreset("alone.zarr"), open_coreset("out.zarr")
    np.testing.assert_array_equal(alone.indices, out.indices)
    np.testing.assert_array_equal(alone.weights, out.weights)
    assert alone.provenance["input"] == out.provenance["input"]
    # of several blocks, too, they are what rows were selected by
    scores = open_scores("out.scores.zarr")["gradient"].compute()
    np.testing.assert_array_equal(scores[out.indices], out.scores["gradient"])


@pytest.mark.parametrize("dies", ["score", "select"])
def test_run__scores_of_all_rows_are_gone_on_with_after_one_survey(source, dies, monkeypatch):
    """What the survey has found for the scores is in the receipts of the subset as well."""
    words = ("run", "in.npz", "--size", "60", "--strategy", "gradient", "--scores", "all")
    run(*words, "plain.zarr", "--quiet")
    place = {
        "score": "dask_distill.scoring_run.write_scores",
        "select": "dask_distill.selection.select.chosen",
    }[dies]

    def dead(*args, **kwargs):
        raise DistillError("the workers are gone")

    with monkeypatch.context() as patched:
        patched.setattr(place, dead)
        assert "what is finished is kept" in run(*words, "out.zarr", code=1).stderr
    run(*words, "out.zarr", "--resume", "--quiet")
    for name in ("plain", "out"):
        run("verify", f"{name}.zarr")
        run("verify", f"{name}.scores.zarr")
    np.testing.assert_array_equal(
        open_coreset("plain.zarr").indices, open_coreset("out.zarr").indices
    )
    np.testing.assert_array_equal(
        open_scores("plain.scores.zarr").table.compute(),
        open_scores("out.scores.zarr").table.compute(),
    )


@pytest.mark.parametrize("ending", [".zarr", ".parquet", ""])
def test_run__scores_of_all_rows_beside_the_subset(source, ending):
    words = ("in.npz", f"out{ending}", "--size", "50", "--strategy", "gradient")
    result = told("run", *words, "--scores", "all")
    beside = f"out.scores{ending}"
    assert result["scores_of_all"]["target"] == beside
    assert sorted(os.listdir()) == sorted(["in.npz", f"out{ending}", beside])
    coreset, scores = open_coreset(f"out{ending}"), open_scores(beside)
    # to the bit those that were selected by
    for name, values in coreset.scores.items():
        np.testing.assert_array_equal(scores[name].compute()[coreset.indices], values)
    assert coreset.scores
    for target in (f"out{ending}", beside):
        assert run("verify", target)
    # where nothing is to be done, nothing is
    again = told("run", *words, "--scores", "all", "--resume")
    assert again["digest"] == result["digest"]
    assert again["scores_of_all"]["digest"] == result["scores_of_all"]["digest"]
    assert again["scores_of_all"]["bytes_written"] == again["bytes_written"] == 0
    # without them it is another run
    assert 'scores was "all", is null' in run("run", *words, "--resume", code=2).stderr
    # both are replaced
    how = ("--scores", "all", "--overwrite", "--seed", "1", "--scale", "robust")
    other = told("run", *words, *how)
    assert other["scores_of_all"]["digest"] != result["scores_of_all"]["digest"]
    assert open_scores(beside).provenance["seed"] == 1
    assert open_coreset(f"out{ending}").provenance["seed"] == 1


def test_run__from_scores_that_were_written_before(source):
    how = ("in.npz", "--size", "60", "--strategy", "gradient", "--quiet")
    run("score", "in.npz", "scores.parquet", "--quiet")
    run("run", *how, "plain.zarr")
    run("run", *how, "out.zarr", "--from-scores", "scores.parquet")
    plain, found = open_coreset("plain.zarr"), open_coreset("out.zarr")
    np.testing.assert_array_equal(found.indices, plain.indices)
    np.testing.assert_array_equal(found.weights, plain.weights)
    assert found.scores.keys() == plain.scores.keys()
    for name, values in plain.scores.items():
        np.testing.assert_array_equal(found.scores[name], values)
    # gone on with, it is another run than one without
    refused = run("run", *how, "out.zarr", "--resume", code=2).stderr
    assert 'scores was ["gradient", "entropy", "el2n", "margin"], is null' in refused


def test_run__scores_alone_are_those_of_the_selected_rows(source):
    """As before the option took a word, wherever it stands."""
    how = ("--size", "20", "--strategy", "gradient", "--quiet")
    run("run", "--scores", "in.npz", "one.parquet", *how)
    run("run", "in.npz", "two.parquet", *how, "--scores")
    run("run", *how, "--scores", "--", "in.npz", "three.parquet")
    run("run", "in.npz", "four.parquet", *how, "--scores=selected")
    run("run", "in.npz", "none.parquet", *how)
    for name in ("one", "two", "three", "four"):
        assert "_score_gradient" in pd.read_parquet(f"{name}.parquet").columns
        assert not Path(f"{name}.scores.parquet").exists()
    assert "_score_gradient" not in pd.read_parquet("none.parquet").columns


def test_score__a_table_and_its_missing_label():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"age": rng.normal(size=600), "town": ["Rome", "Oslo", None] * 200})
    frame["paid"] = np.where(frame["age"] > 0, "yes", "no")
    frame.loc[5, "paid"] = "?"
    frame.to_parquet("in.parquet")
    words = ("--labels", "paid", "--missing-label", "?", "--quiet")
    run("score", "in.parquet", "out.parquet", *words, "--criteria", "entropy")
    found = open_scores("out.parquet")
    assert np.flatnonzero(np.isnan(found["entropy"].compute())).tolist() == [5]
    assert found.provenance["input"]["labels"] == "paid"
