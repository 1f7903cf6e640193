"""A search for the strategy: the same for anybody, resumed as if it had never stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dask_distill import DistillError, InputError, distill, search_strategy
from dask_distill.search import run as running
from dask_distill.search.in_memory import select_in_memory
from dask_distill.search.ranges import beginnings, strategy_of
from dask_distill.search.run import front_of
from dask_distill.search.study import Record, propose
from dask_distill.strategies import make_strategy

pytest.importorskip("optuna")
MODEL = LogisticRegression(max_iter=200)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 2400)
    centers = rng.normal(size=(3, 5)) * 2
    return (centers[y] + rng.normal(size=(2400, 5))).astype("f4"), y


def plain(found):
    """All that must not depend on time."""
    told = found.as_dict()
    told.pop("seconds")
    for trial in told["trials"]:
        trial.pop("seconds")
    return json.loads(json.dumps(told))


def record(number, score, rows=10, **parameters):
    return Record(
        number=number,
        parameters={"strategy": "stratified", **parameters},
        rows=rows,
        scores=((score,),),
        bytes_moved=0,
        seconds=0.0,
    )


def test_propose__begins_with_auto_and_every_default():
    proposals = propose([], 4, "tpe", seed=0)
    assert [each.parameters for each in proposals] == beginnings()[:4]
    assert strategy_of(proposals[0].parameters) == make_strategy("auto")


@pytest.mark.parametrize("method", ["tpe", "nsga2"])
def test_propose__is_a_function_of_records_and_seed(method):
    records = []
    for number in range(3):
        for proposal in propose(records, 8, method, seed=5):
            score = 0.5 + 0.01 * len(proposal.parameters)
            records.append(
                Record(
                    number=len(records),
                    parameters=proposal.parameters,
                    rows=10 + number,
                    scores=((score,),),
                    bytes_moved=100,
                    seconds=0.0,
                    distributions=proposal.distributions,
                    notes=proposal.notes,
                )
            )
    again = json.loads(json.dumps([vars(each) for each in records]))
    kept = [Record(**{**each, "scores": tuple(map(tuple, each["scores"]))}) for each in again]
    assert propose(records, 8, method, 5) == propose(kept, 8, method, 5)
    assert propose(records, 8, method, 5) != propose(records, 8, method, 6)


def test_front_of__is_what_no_other_trial_beats():
    rng = np.random.default_rng(0)
    records = [record(i, float(s), int(r)) for i, (s, r) in enumerate(rng.integers(0, 9, (60, 2)))]
    expected = {
        a.number
        for a in records
        if not any(
            (b.score >= a.score and b.rows <= a.rows) and (b.score, b.rows) != (a.score, a.rows)
            for b in records
        )
    }
    assert set(front_of(records)) == expected


@pytest.mark.filterwarnings("ignore:strategy kcenter does not use seed")
@pytest.mark.parametrize("name", ["auto", "stratified", "gradient", "kcenter", "kmeans"])
def test_select_in_memory__selects_what_distill_selects(data, name):
    X, y = data
    strategy = make_strategy(name, {"sample": True} if name == "gradient" else None)
    found = select_in_memory(X, y, strategy, 60, seed=2)
    expected = distill(da.from_array(X, chunks=(500, -1)), y, size=60, strategy=strategy, seed=2)
    assert np.array_equal(found.rows, expected.indices)
    assert np.array_equal(found.weights, expected.weights)


def test_search__same_trials_for_any_chunking_and_scheduler(data):
    X, y = data
    with dask.config.set(scheduler="synchronous"):
        one = search_strategy(X, y, fraction=0.05, trials=10, model=MODEL)
    cut = da.from_array(X, chunks=(700, -1))
    other = search_strategy(cut, y, fraction=0.05, trials=10, model=MODEL)
    assert plain(one) == plain(other)


def test_distill__by_search_selects_by_what_was_found(data):
    X, y = data
    options = {"trials": 9, "model": MODEL}
    found = search_strategy(X, y, size=120, **options)
    coreset = distill(X, y, size=120, strategy="search", options=options)
    expected = distill(X, y, size=120, strategy=found.strategy)
    assert np.array_equal(coreset.indices, expected.indices)
    told = coreset.provenance["search"]
    assert told["verdict"] == found.verdict
    assert coreset.provenance["parameters"]["strategy"] == told["strategy"]


def test_search__is_resumed_as_if_it_had_never_stopped(data, tmp_path, monkeypatch):
    X, y = data
    study = str(tmp_path / "study.jsonl")
    options = {"fraction": 0.05, "trials": 18, "model": MODEL, "study": study}
    expected = search_strategy(X, y, **{**options, "study": ""})
    whole, calls = running.propose, []

    def die(*args):
        calls.append(args)
        if len(calls) == 2:
            raise DistillError("killed")
        return whole(*args)

    with monkeypatch.context() as patched:
        patched.setattr(running, "propose", die)
        with pytest.raises(DistillError, match="killed"):
            search_strategy(X, y, **options)
    judged = []
    judge = running.judge

    def count(*args):
        judged.append(args)
        return judge(*args)

    monkeypatch.setattr(running, "judge", count)
    again = search_strategy(X, y, **options)
    assert plain(again) == plain(expected)
    # the first batch was not tried again
    assert len(judged) <= sum(2 - trial.stopped for trial in again.trials[8:]) + 10
    finished = search_strategy(X, y, **options)
    assert plain(finished) == plain(expected)
    with pytest.raises(InputError, match="it differs in metric"):
        search_strategy(X, y, **options, metric="balanced_accuracy")
    with pytest.raises(InputError, match="it differs in rows"):
        search_strategy(X[:2000], y[:2000], **options)


def test_search__a_killed_run_resumes_to_the_same_rows(data, tmp_path):
    X, y = data
    np.savez(tmp_path / "data.npz", X=X, y=y)

    def command(target, study):
        options = ["--option", "trials=9", "--option", f"study={study}", "--size", "100"]
        code = "import sys; from dask_distill.cli import main; main()"
        source = str(tmp_path / "data.npz")
        options += ["--option", "max_rows=500"]
        words = ["run", source, str(target), "--strategy", "search", *options, "--workers", "1"]
        return [sys.executable, "-c", code, *words, "--quiet"]

    study = tmp_path / "killed.jsonl"
    process = subprocess.Popen(command(tmp_path / "t", study), start_new_session=True)
    deadline = time.monotonic() + 120
    while not study.exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    begun = study.read_text().count("\n")
    assert begun >= 9
    subprocess.run(command(tmp_path / "t", study), check=True, timeout=200)
    subprocess.run(command(tmp_path / "u", tmp_path / "whole.jsonl"), check=True, timeout=200)
    # it was killed before its end
    assert begun < (tmp_path / "whole.jsonl").read_text().count("\n")
    one, other = (dask_distill_digest(tmp_path / name) for name in "tu")
    assert one == other


def dask_distill_digest(target):
    from dask_distill.storage import group as store

    return store.summary(target)["digest"]


def test_search__uses_auto_where_the_best_trial_fails_on_new_rows(data, monkeypatch):
    X, y = data

    def judge(strategy, size, split, table, models, classes, metric):
        good = strategy.name == "stratified"
        # better in every trial, worse on rows that no trial has seen
        score = 0.5 + 0.1 * good * (1 if split.seed < 1000 else -1) + 0.001 * (split.seed % 3)
        return running.Judged(rows=size, scores=(score,), bytes_moved=0, seconds=0.0)

    monkeypatch.setattr(running, "judge", judge)
    found = search_strategy(X, y, fraction=0.1, trials=8, model=MODEL)
    assert found.best()[0].strategy == "stratified"
    assert found.strategy == make_strategy("auto")
    assert found.gain < 0
    assert "Use auto" in found.verdict


def test_search__stops_trials_below_the_median_early(data):
    X, y = data
    found = search_strategy(X, y, fraction=0.05, trials=16, model=MODEL)
    stopped = [trial for trial in found.trials if trial.stopped]
    assert stopped
    assert not found.trials[0].stopped
    assert all(not trial.stopped for trial in found.best())


def test_search__genetic_tries_fewer_rows_and_draws_its_front(data, tmp_path):
    X, y = data
    found = search_strategy(X, y, fraction=0.1, trials=14, method="nsga2", model=MODEL)
    assert len({trial.rows for trial in found.trials}) > 1
    pytest.importorskip("matplotlib")
    found.plot(tmp_path / "front.svg")
    assert "<svg" in (tmp_path / "front.svg").read_text()
    assert "<td>0" in found._repr_html_()
    assert str(found).endswith(found.notes[-1])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "grid"}, "method must be one of tpe, nsga2, got 'grid'"),
        ({"trials": 1}, "trials must be from 2 to 10,000, got 1"),
        ({"minutes": -1.0}, "minutes must be at least 0 and finite, got -1.0"),
        ({"metric": "f2"}, "metric must be one of accuracy, balanced_accuracy, .* got 'f2'"),
        ({"study": "/nowhere/study"}, "path must be a file in a folder that exists"),
        ({"model": "trees"}, "model must be one of logistic-regression, .* got 'trees'"),
        ({"model": 3}, "models must be scikit-learn classifiers"),
    ],
)
def test_search__bad_options_end_before_work(data, options, sentence):
    with pytest.raises(InputError, match=sentence):
        search_strategy(*data, fraction=0.1, **options)


def test_search__needs_labels_and_optuna(data, monkeypatch):
    with pytest.raises(InputError, match="strategy search needs labels, got none"):
        distill(data[0], fraction=0.1, strategy="search")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install \"dask-distill\[search\]\""):
        distill(*data, fraction=0.1, strategy="search")


def test_search__a_file_that_is_no_study_is_refused(data, tmp_path):
    study = tmp_path / "notes.txt"
    study.write_text("bread, butter\n")
    with pytest.raises(InputError, match="study must be a file that a search has written"):
        search_strategy(*data, fraction=0.1, study=str(study), model=MODEL)
    assert study.read_text() == "bread, butter\n"
