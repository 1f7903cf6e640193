"""What `auto` decides, before a run and behind it: the same figures, told in the same words."""

import json
import re
from contextlib import contextmanager

import numpy as np
import pytest
from click.testing import CliRunner

from dask_distill import Request, distill, explain, open_coreset
from dask_distill.cli.main import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.report.page import render
from dask_distill.selection.decision import told
from dask_distill.strategies import make_strategy
from dask_distill.survey.survey import Survey

N = 6000


def rows(seed=0):
    """Two classes that a curve divides."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, 5))
    return X, np.where(X[:, 0] + X[:, 1] ** 2 > 1, "yes", "no"), rng


@pytest.fixture(scope="module")
def sets():
    X, y, rng = rows()
    other = np.where(y == "yes", "no", "yes")
    wrong = np.where(rng.random(N) < 0.2, other, y)
    easy = X + 20 * (y == "yes")[:, None]
    return {"right": (X, y), "wrong": (X, wrong), "easy": (easy, y)}


@pytest.fixture(scope="module")
def decisions(sets):
    return {
        name: distill(X, y, size=400, seed=3).provenance["selection"]["decision"]
        for name, (X, y) in sets.items()
    }


def asked(strategy="auto", options=None, **words):
    return Request(
        strategy=make_strategy(strategy, options or {}), **({"size": 400, "seed": 3} | words)
    )


def test_sets__are_decided_each_in_a_way_of_its_own(decisions):
    ways = {name: decision["way"] for name, decision in decisions.items()}
    assert ways == {"right": "cells", "wrong": "trusted", "easy": "stratified"}


@pytest.mark.parametrize("name", ["right", "wrong", "easy"])
def test_explain__decides_as_the_run_does(name, sets, decisions):
    assert explain(as_dataset(*sets[name]), asked()) == decisions[name]


@pytest.mark.parametrize(
    "words",
    [
        {"reduce": "pca:3"},
        {"scale": "rank"},
        {"protect": np.arange(1000), "size": 1400},
        {"initial": np.arange(500)},
        {"sample_weight": np.arange(N) % 4},
        {"options": {"balance": "sqrt"}},
        {"on_invalid": "drop"},
    ],
    ids=lambda words: next(iter(words)),
)
def test_explain__decides_as_a_run_with_the_same_words(words, sets):
    from dask_distill.data.weighted import with_weights
    from dask_distill.spaces.words import make_reduction

    X, y = sets["wrong"]
    if "on_invalid" in words:
        X = np.where(np.arange(N)[:, None] % 50 == 0, np.nan, X)
    size = words.get("size", 400)
    expected = distill(X, y, seed=3, **(words | {"size": size})).provenance["selection"]["decision"]
    request = dict(words)
    dataset = with_weights(as_dataset(X, y), request.pop("sample_weight", None))
    if "reduce" in request:
        request["reduce"] = make_reduction(request["reduce"])
    assert explain(dataset, asked(**request)) == expected


def test_explain__is_the_same_on_workers(sets, decisions, local_client):
    local_client(2)
    assert explain(as_dataset(*sets["wrong"]), asked()) == decisions["wrong"]


@pytest.mark.parametrize(
    ("strategy", "options"),
    [("kcenter", {}), ("random", {}), ("auto", {"trust": 0.3}), ("auto", {"trust": "confident"})],
)
def test_explain__where_nothing_is_left_to_the_sample_reads_nothing(
    strategy, options, sets, monkeypatch
):
    def surveyed(*_):
        raise AssertionError("read")

    monkeypatch.setattr(Survey, "observe", surveyed)
    assert explain(as_dataset(*sets["right"]), asked(strategy, options)) is None
    assert explain(as_dataset(sets["right"][0]), asked()) is None


def test_explain__protected_rows_that_fill_the_size_leave_nothing(sets):
    dataset = as_dataset(*sets["right"])
    assert explain(dataset, asked(size=50, protect=np.arange(50))) is None


# ---------------------------------------------------------------- in words


def test_told__has_every_figure_of_a_decision(decisions):
    for name, ways in (("right", ["cells of all rows"]), ("easy", ["cells of all rows"])):
        words = told(decisions[name])
        assert [way for way, _ in words.leads] == ways
        assert words.metrics == ("accuracy", "balanced accuracy", "AUC", "log loss")
    words = told(decisions["wrong"])
    assert [way for way, _ in words.leads] == ["cells of all rows", "cells of trusted rows"]
    assert words.metrics[-1] == "log loss, corrected"
    mean, half = decisions["wrong"]["leads"]["trusted"]["accuracy"]
    assert words.leads[1][1][0] == f"{100 * mean:+.1f} ± {100 * half:.1f}"
    fall, half = decisions["wrong"]["leads"]["trusted"]["log_loss"]
    assert words.leads[1][1][3] == f"{-fall:+.3f} ± {half:.3f}"
    assert words.labels.startswith(f"{decisions['wrong']['wrong_labels']:.1%} ± ")
    assert f"trained on {decisions['wrong']['trial_rows']} rows" in words.trial


def test_told__says_whether_labels_are_taken_for_wrong_or_for_overlap():
    figures = {"why": "", "wrong_labels_error": 0.01, "contradicted": 0.3, "trial_rows": 0}

    def labels(way, rate, tried=()):
        leads = {key: {"accuracy": [0.0, 0.0]} for key in tried}
        return told(figures | {"way": way, "wrong_labels": rate, "leads": leads}).labels

    overlap = "which is taken for overlap of classes"
    assert overlap in labels("cells", 0.1)
    assert overlap in labels("stratified", 0.1, ["cells"])
    # nothing looks wrong; it is believed in, though models did no better; or it was left out
    assert overlap not in labels("cells", 0.0004, ["cells"])
    assert overlap not in labels("cells", 0.1, ["cells", "trusted"])
    assert overlap not in labels("trusted", 0.1)


def test_told__agrees_with_the_sentence(decisions):
    for decision in decisions.values():
        words = told(decision)
        way = -1 if decision["way"] == "trusted" else 0
        for cell in words.leads[way][1][:3]:
            assert cell in decision["why"]


def test_told__without_a_trial_there_is_no_table(sets):
    X, y = sets["right"]
    found = distill(X, y, size=400, options={"balance": "equal"})
    words = told(found.provenance["selection"]["decision"])
    assert (words.leads, words.trial) == ([], "")
    assert words.why == "Cells of all rows: classes are not kept in proportion."


# ---------------------------------------------------------------- the command line


@pytest.fixture
def folder(sets, tmp_path, monkeypatch, threads_for_a_cluster):
    monkeypatch.chdir(tmp_path)
    for name, (X, y) in sets.items():
        np.savez(f"{name}.npz", X=X, y=y)
    monkeypatch.setattr("dask_distill.clusters.connect.connect", threads_for_a_cluster)
    return tmp_path


def invoke(*words):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


ASKED = ("--size", 400, "--seed", 3)


@pytest.mark.parametrize("name", ["right", "wrong", "easy"])
def test_plan_explain__and_run_tell_the_same(name, folder, decisions):
    planned = json.loads(invoke("plan", f"{name}.npz", *ASKED, "--explain", "--json"))
    ran = json.loads(invoke("run", f"{name}.npz", "out.zarr", *ASKED, "--json"))
    assert planned["decision"] == ran["decision"] == decisions[name]
    written = open_coreset("out.zarr").provenance["selection"]["decision"]
    assert written == planned["decision"]


def test_plan_explain__shows_the_figures(folder, decisions):
    text = invoke("plan", "wrong.npz", *ASKED, "--explain")
    words = told(decisions["wrong"])
    for line in (words.why, words.labels, words.trial):
        assert line in text
    for way, cells in words.leads:
        (line,) = [line for line in text.splitlines() if line.startswith(way)]
        assert re.split(r"\s{2,}", line) == [way, *cells]
    (head,) = [line for line in text.splitlines() if line.startswith("lead ")]
    assert re.split(r"\s{2,}", head) == ["lead", *words.metrics]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--strategy", "kcenter"], "strategy kcenter has nothing to decide: it selects as"),
        (["--strategy", "search"], "strategy search has nothing to decide: it tries strategies"),
        (["--option", "trust=0.3"], "strategy auto has nothing to decide: trust=0.3 says whose"),
        (["--labels", ""], "strategy auto has nothing to decide: there are no labels"),
        (
            ["--protect", "class=no", "--size", "{no}"],
            "strategy auto has nothing to decide: protected rows fill the size",
        ),
        (
            ["--labels", "t", "--task", "regression"],
            "strategy auto has nothing to decide: a target that is no class",
        ),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_plan_explain__says_why_there_is_nothing_to_decide(more, why, folder, sets):
    X, y = sets["right"]
    np.savez("in.npz", X=X, y=y, t=X[:, 0])
    more = [word.format(no=(y == "no").sum()) for word in more]
    assert why in invoke("plan", "in.npz", *ASKED, *more, "--explain")
    shown = json.loads(invoke("plan", "in.npz", *ASKED, *more, "--explain", "--json"))
    assert shown["decision"] is None


def test_plan__without_explain_says_nothing_of_it(folder):
    assert "decision" not in invoke("plan", "right.npz", *ASKED)
    assert "decision" not in json.loads(invoke("plan", "right.npz", *ASKED, "--json"))


def test_plan_explain__starts_the_workers_that_are_asked_for(folder, monkeypatch, decisions):
    asked_for = []

    @contextmanager
    def connect(**place):
        asked_for.append(place["workers"])
        yield

    monkeypatch.setattr("dask_distill.clusters.connect.connect", connect)
    words = ("plan", "right.npz", *ASKED, "--explain", "--json")
    assert json.loads(invoke(*words, "--workers", 2))["decision"] == decisions["right"]
    invoke(*words)
    assert asked_for == [2]


def test_run__says_in_a_line_why_these_rows(folder, decisions):
    for name in ("right", "easy"):
        text = invoke("run", f"{name}.npz", f"{name}.zarr", *ASKED)
        (line,) = [line for line in text.splitlines() if line.startswith("strategy ")]
        assert line.split(maxsplit=1)[1] == decisions[name]["why"]
    assert "A class-stratified random sample: cells do no better" in line
    assert "strategy " not in invoke("run", "easy.npz", "r.zarr", *ASKED, "--strategy", "random")


# ---------------------------------------------------------------- the report


def test_report__says_why_these_rows(sets, decisions):
    text = render(distill(*sets["wrong"], size=400, seed=3))
    words = told(decisions["wrong"])
    start, end = text.index("<h2>Why these rows</h2>"), text.index("<h2>What it took</h2>")
    section = text[start:end].replace("\u00a0", " ")
    for words_of in (words.why, words.labels, words.trial[1:]):
        assert words_of in section
    for way, cells in words.leads:
        row = f'<th scope="row">{way}</th>' + "".join(f"<td>{cell}</td>" for cell in cells)
        assert row in section
    assert "Log loss, corrected" in section


def test_report__without_a_trial_has_the_sentence_alone(sets):
    text = render(distill(*sets["right"], size=400, options={"balance": "sqrt"}))
    section = text[text.index("Why these rows") : text.index("<h2>What it took</h2>")]
    assert "Cells of all rows: classes are not kept in proportion." in section
    assert "<table>" not in section


def test_report__where_nothing_was_decided_has_no_such_section(sets):
    X, y = sets["right"]
    for coreset in (
        distill(X, y, size=100, strategy="stratified"),
        distill(X, y, size=100, options={"trust": 1}),
        distill(X, size=100),
    ):
        assert "Why these rows" not in render(coreset)
        coreset.provenance.pop("selection")
        assert "Why these rows" not in render(coreset)
