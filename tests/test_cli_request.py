"""What a command line says of labels and of rows that are chosen already."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import zarr
from click.testing import CliRunner

from dask_distill import InputError, distill, open_coreset, open_dataset
from dask_distill.cli.main import cli
from dask_distill.cli.request import prepared
from dask_distill.pipeline import distill_to_zarr

N = 2_000
STATED = {
    "features": None, "labels": None, "carry": (), "fraction": None, "size": 60,
    "strategy": "kcenter", "options": {}, "storage": {}, "reduce": None, "time": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(N, 3)).astype(np.float32)
    price = X @ [3.0, -1, 0] + rng.gumbel(size=N)
    tags = (X @ rng.normal(size=(3, 2)) > 0.5).astype(np.int64)
    return X, price, tags


@pytest.fixture
def source(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, price, tags = table
    group = zarr.open_group("in.zarr", mode="w")
    mask = np.arange(N) % 50 == 0
    for name, values in (("X", X), ("price", price), ("tags", tags), ("labelled", mask)):
        group.create_array(name, data=values, chunks=(700, *values.shape[1:]))
    return mask


def ask(source="in.zarr", read=True, **stated):
    return prepared(source, STATED | stated, read=read)


def selected(dataset, request):
    coreset, _ = distill_to_zarr(dataset, "out.zarr", request, overwrite=True)
    return coreset


def invoke(*words):
    return CliRunner().invoke(cli, list(words))


# ---------------------------------------------------------------- labels that are no classes


def test_run__task_regression_is_that_of_python_and_resumes_with_the_same_alone(source, table):
    X, price, _ = table
    words = ["run", "in.zarr", "out.zarr", "--labels", "price", "--size", "60", "--quiet"]
    done = invoke(*words, "--task", "regression", "--workers", "1")
    assert done.exit_code == 0, done.output
    written = open_coreset("out.zarr")
    here = distill(X, price, size=60, task="regression")
    np.testing.assert_array_equal(written.indices, here.indices)
    np.testing.assert_array_equal(written.carry["price"].compute(), price[here.indices])
    assert written.provenance["parameters"]["task"] == "regression"
    done = invoke(*words, "--resume", "--task", "multilabel")
    assert done.exit_code == 2
    assert "labels must be (n, L)" in done.output
    done = invoke(*words[:3], "--labels", "tags", *words[5:], "--resume", "--task", "multilabel")
    assert done.exit_code == 2
    assert 'task was "regression", is "multilabel"' in done.output


def test_resume__a_target_whose_values_have_changed_is_refused(source):
    selected(*ask(labels="price", task="regression", strategy="random"))
    zarr.open_group("in.zarr")["price"][0] += 0.001
    dataset, request = ask(labels="price", task="regression", strategy="random")
    with pytest.raises(InputError, match="target digest was"):
        distill_to_zarr(dataset, "out.zarr", request, resume=True)


@pytest.mark.parametrize("kind", ["zarr", "parquet"])
def test_run__task_multilabel_takes_an_array_or_columns(source, table, kind):
    X, _, tags = table
    where, labels, name = "in.zarr", "tags", "tags"
    if kind == "parquet":
        frame = pd.DataFrame(X, columns=list("abc"))
        frame["tag_1"], frame["tag_2"] = tags.T
        frame.to_parquet("in.parquet", row_group_size=600)
        where, labels, name = "in.parquet", "tag_*", "y"
    dataset, request = ask(where, labels=labels, task="multilabel", strategy="gradient")
    assert dataset.d == 3
    with pytest.warns(match="gradient"):
        found = selected(dataset, request)
    with pytest.warns(match="gradient"):
        here = distill(X, tags, size=60, strategy="gradient", task="multilabel")
    np.testing.assert_array_equal(found.indices, here.indices)
    np.testing.assert_array_equal(open_coreset("out.zarr").carry[name][:], tags[here.indices])


def test_distill__takes_the_target_of_an_opened_data_set(source, table):
    X, price, tags = table
    for task, labels, target in (("regression", "price", price), ("multilabel", "tags", tags)):
        opened = open_dataset("in.zarr", labels=labels, task=task)
        found = distill(opened, size=60, strategy="random", task=task)
        here = distill(X, target, size=60, strategy="random", task=task)
        np.testing.assert_array_equal(found.indices, here.indices)
        np.testing.assert_array_equal(found.carry[labels].compute(), target[here.indices])
    with pytest.raises(InputError, match='for several labels a row pass task="multilabel"'):
        distill(opened, size=60)


def test_plan__knows_the_task_and_reads_no_label(source, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a plan computes nothing")

    monkeypatch.setattr("dask.base.get_scheduler", refuse)
    done = invoke("plan", "in.zarr", "--labels", "price", "--size", "60", "--task", "regression")
    assert done.exit_code == 0, done.output
    assert "60 (3.0%) by auto" in done.output


# ---------------------------------------------------------------- rows that are chosen already


@pytest.mark.parametrize("form", ["column", "numbers", "mask", "subset", "two files"])
def test_initial__every_form_names_the_same_rows(source, table, form):
    X, mask = table[0], source
    rows = np.flatnonzero(mask)
    words = {
        "column": ("labelled",),
        "numbers": ("rows.npy",),
        "mask": ("./mask.npy",),
        "subset": ("first.zarr",),
        "two files": ("rows.npy", "first.zarr"),
    }[form]
    np.save("rows.npy", rows[::-1] if form == "numbers" else rows[: len(rows) // 2])
    np.save("mask.npy", mask)
    distill(X, size=len(rows), strategy="random", protect=rows).to_zarr("first.zarr")
    found = selected(*ask(initial=words))
    here = distill(X, size=60, strategy="kcenter", initial=rows)
    np.testing.assert_array_equal(found.indices, here.indices)
    assert not np.isin(found.indices, rows).any()
    assert found.provenance["selection"]["rows_initial"] == len(rows)
    # it is a parameter of the run
    dataset, request = ask()
    with pytest.raises(InputError, match="initial was"):
        distill_to_zarr(dataset, "out.zarr", request, resume=True)


def test_initial__a_subset_itself_counts_in_python(table):
    X = table[0]
    first = distill(X, size=40, strategy="random")
    found = distill(X, size=60, strategy="kcenter", initial=first)
    here = distill(X, size=60, strategy="kcenter", initial=first.indices)
    np.testing.assert_array_equal(found.indices, here.indices)
    assert found.provenance["parameters"]["initial"] == "a subset of 40 rows"


def test_plan__takes_initial(source):
    done = invoke("plan", "in.zarr", "--size", "60", "--initial", "labelled", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["size"] == 60


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("nowhere.npy",), r"--initial '\S*nowhere.npy' does not exist"),
        (("nowhere.zarr",), "does not exist"),
        (("price",), "initial must name a boolean array of one axis, got price of float64"),
        (("labelled", "tags"), "--initial must name one column, got labelled, tags"),
        (("labelled", "rows.npy"), "--initial must name one column, or files"),
        (("rows.npy",), "row numbers from 0 to 1999, got 2000.*'rows.npy'"),
        (("pickled.npy",), "damaged"),
        (("other.zarr",), "subset of these 2000 rows, got one that was selected from 1500"),
    ],
)
def test_initial__what_cannot_be_meant_is_one_sentence(source, table, words, sentence):
    np.save("rows.npy", [1, N])
    np.save("pickled.npy", np.array([{}], object), allow_pickle=True)
    distill(table[0][:1500], size=3, strategy="random").to_zarr("other.zarr")
    done = invoke("run", "in.zarr", "out.zarr", "--size", "9", "--quiet", *(
        part for word in words for part in ("--initial", word)))  # fmt: skip
    assert done.exit_code == 2, done.output
    assert done.output.count("\n") == 1
    assert re.search(sentence, done.output), done.output
