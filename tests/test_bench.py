"""The bench on which evaluations, curves, searches and synthetic rows are judged."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import dask_distill
from dask_distill.conversation.run import Run
from dask_distill.evaluation.bench import (
    HELD_OUT,
    POOL,
    SUBSET,
    Bench,
    RowsHere,
    SplitWay,
    rows_to_judge,
)
from dask_distill.evaluation.metrics import Measures
from dask_distill.evaluation.notes import Remarks, StandIn, stand_in
from dask_distill.evaluation.splits import Split
from dask_distill.evaluation.training import LabelledRows, train_and_test
from dask_distill.runtime.runner import LocalRunner

rng = np.random.default_rng(0)
MODELS = {"lr": LogisticRegression(), "neighbours": KNeighborsClassifier(3)}


def labelled(rows, weights=None):
    X = rng.normal(size=(rows, 3))
    return LabelledRows(X, (X[:, 0] > 0).astype(np.int64), weights)


TABLES = {POOL: labelled(200), SUBSET: labelled(40, np.linspace(1, 3, 40))}
SPLITS = [
    Split(
        seed=seed,
        test=np.arange(50) + seed,
        random=np.arange(60, 100),
        stratified=np.arange(70, 110),
        everything=np.arange(60, 200),
    )
    for seed in (0, 1)
]


def bench(run=None, tables=TABLES):
    run = run or Run(LocalRunner())
    return Bench(run, {name: run.constant(rows) for name, rows in tables.items()}, MEASURES)


MEASURES = Measures(range(2))


@pytest.mark.parametrize(
    ("way", "table", "rows"),
    [
        ("subset", SUBSET, None),
        ("majority", SUBSET, None),
        ("random", POOL, SPLITS[0].random),
        ("stratified", POOL, SPLITS[0].stratified),
        ("everything", POOL, SPLITS[0].everything),
    ],
)
def test_split_way__is_the_rows_of_that_name(way, table, rows):
    found = SplitWay(way).training(SPLITS[0], TABLES)
    expected = TABLES[table] if rows is None else TABLES[table].take(rows)
    assert np.array_equal(found.X, expected.X)
    assert found.weights is expected.weights or np.array_equal(found.weights, expected.weights)


def test_split_way__without_weights_and_without_a_subset():
    unweighted = SplitWay("unweighted").training(SPLITS[0], TABLES)
    assert unweighted.weights is None
    assert unweighted.X is TABLES[SUBSET].X
    alone = SplitWay("majority").training(SPLITS[0], {POOL: TABLES[POOL]})
    assert np.array_equal(alone.X, TABLES[POOL].X[SPLITS[0].everything])


def test_tests__are_those_of_the_split_unless_rows_are_held_out():
    assert np.array_equal(rows_to_judge(SPLITS[1], TABLES).X, TABLES[POOL].X[1:51])
    held_out = labelled(7)
    assert rows_to_judge(SPLITS[1], {**TABLES, HELD_OUT: held_out}) is held_out


def test_trials__are_each_entrys_by_model_and_one_of_the_majority():
    ways = [SplitWay("subset"), SplitWay("majority"), SplitWay("unweighted")]
    entries = [(way, split) for split in SPLITS for way in ways]
    found = bench().trials(entries, MODELS)
    assert [[trial.model for trial in mine] for mine in found] == [
        ["lr", "neighbours"],
        ["majority"],
        # a model that takes no weights is not trained without them
        ["lr"],
    ] * 2
    assert [mine[0].seed for mine in found] == [0, 0, 0, 1, 1, 1]
    test = TABLES[POOL].take(SPLITS[1].test)
    same = train_and_test("subset", "lr", MODELS["lr"], 1, TABLES[SUBSET], test, 2, MEASURES)
    assert found[3][0].accuracy == same.accuracy
    assert found[3][0].log_loss == same.log_loss


def test_of_ways__counts_trainings_that_would_be_the_same_twice():
    trials = bench().of_ways([SplitWay("subset"), SplitWay("unweighted")], SPLITS, MODELS)
    by_key = {(each.way, each.model, each.seed): each for each in trials}
    assert len(by_key) == len(trials) == 8
    for seed in (0, 1):
        with_, without = (by_key[way, "neighbours", seed] for way in ("subset", "unweighted"))
        assert with_.accuracy == without.accuracy
        assert with_.seconds == without.seconds


def test_trials__are_the_same_as_tasks(local_client):
    entries = [(RowsHere("mine", TABLES[POOL].take(np.arange(90, 150))), SPLITS[0])]
    (here,) = bench().trials(entries, MODELS)
    (there,) = bench(Run.here()).trials(entries, MODELS)
    assert [each.log_loss for each in here] == [each.log_loss for each in there]
    assert {each.way for each in there} == {"mine"}


def test_notes__say_what_stands_for_what():
    (mine,) = bench().trials([(SplitWay("random"), SPLITS[0])], MODELS)
    none = bench().copies(SPLITS[0])
    notes = Remarks(
        copies=none,
        opening=("First.",),
        whole=("Of all.",),
        trials=mine,
        everything=StandIn(1000, 5000),
        subset=stand_in(10, 2000, "; so"),
        left_out=3,
        tests_vary=True,
        forward=True,
        weighted_by="often",
    ).told()
    assert notes[:2] == ("First.", "Of all.")
    assert notes[2].startswith("Everything stands for 1,000 of 5,000 rows")
    assert notes[3].endswith("10 of its 2,000 rows, drawn at random; so.")
    assert notes[4].startswith("Rows with NaN were left out, 3 of")
    assert "that were not selected" in notes[5]
    assert notes[6].startswith("2 trainings of at most 40 rows took")
    assert notes[7].startswith("Tested on later rows")
    assert notes[-1].endswith("scores are weighted by often.")


def test_notes__of_what_stands_for_itself_nothing_is_said():
    assert Remarks(copies=bench().copies(SPLITS[0]), subset=stand_in(5, 5)).told() == ()


def test_notes__are_put_together_in_one_place():
    root = Path(dask_distill.__file__).parent
    # whoever judges gives facts; sentences with figures are not made elsewhere
    said = re.compile(r"rows, drawn at random|trainings of at most|Tested on later rows")
    made = {file for file in root.rglob("*.py") if said.search(file.read_text())}
    assert {file.name for file in made} == {"notes.py"}


def test_training__is_the_matter_of_the_bench_alone():
    root = Path(dask_distill.__file__).parent
    callers = {
        file.relative_to(root).as_posix()
        for file in root.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "train_and_test"
    }
    assert callers == {"evaluation/bench.py"}
