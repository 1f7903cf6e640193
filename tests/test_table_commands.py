"""Every command and verb on a small mixed table: parquet with text, categories, nulls, times."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from distributed import LocalCluster
from sklearn.linear_model import LogisticRegression

from dask_distill import InputError, distill, open_coreset, open_dataset
from dask_distill.cli.main import cli
from dask_distill.labelling import label_in_batches
from tests.mixed_table import mixed_table

N = 1_200
MODEL = ["--model", "logistic-regression"]
FEW = [*MODEL, "--seeds", "2"]
# no more than what a label of its own is
PLAIN = ["--column", "tag_a=leave-out", "--column", "tag_b=leave-out"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(5)
    made = mixed_table(N)
    for name, share in (("tag_a", 0.3), ("tag_b", 0.2)):
        made = made.append_column(name, pa.array((rng.random(N) < share).astype(np.int64)))
    return made


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """The table in three files, and a test file with a city of its own."""
    place = tmp_path_factory.mktemp("tables")
    (place / "src").mkdir()
    for number in range(3):
        part = table.slice(400 * number, 400)
        pq.write_table(part, place / "src" / f"{number}.parquet", row_group_size=150)
    later = mixed_table(300, seed=3, cities=("Oslo", "Rome", "Bergen"))
    pq.write_table(later, place / "test.parquet")
    pq.write_table(later.drop_columns(["age"]), place / "no_age.parquet")
    return place


@pytest.fixture(scope="module")
def words(folder):
    """Runs a command in the folder, on one small cluster."""
    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        dashboard_address=None,
    )
    there = ["--scheduler-address", cluster.scheduler_address]

    def run(*command, place=True):
        found = CliRunner().invoke(cli, [*command, *(there if place else [])])
        assert found.exit_code in (0, 2), found.output
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield run
    cluster.close()


@pytest.fixture(scope="module")
def selected(words):
    """A subset that later commands judge."""
    found = words("run", "src", "out.zarr", "--labels", "late", "--fraction", "0.2", *PLAIN)
    assert found.exit_code == 0, found.output
    return "out.zarr"


RUNS = {
    "certify": ["--strategy", "kcenter", "--certify"],
    "search": ["--strategy", "search", "--option", "trials=2", "--option", "seeds=2"],
    "protect": ["--protect", "keep"],
    "initial": ["--initial", "keep"],
    "time": ["--time", "when", "--strategy", "periods"],
    "time scale": ["--time", "when", "--time-scale", "24h"],
    "sample weight": ["--sample-weight", "times"],
    "subsets": ["--subsets", "2"],
    "reduce": ["--reduce", "pca:4"],
    "regression": ["--labels", "amount", "--task", "regression"],
    "several labels": ["--labels", "tag_a,tag_b", "--task", "multilabel"],
    "no labels": ["--labels", ""],
}


@pytest.mark.parametrize("case", RUNS)
def test_run__takes_a_mixed_table(case, words, table):
    more = RUNS[case] if "--labels" in RUNS[case] else ["--labels", "late", *RUNS[case]]
    target = f"{case.replace(' ', '_')}.zarr"
    found = words("run", "src", target, "--fraction", "0.1", *more, "--json")
    assert found.exit_code == 0, found.output
    coreset = open_coreset(target)
    told = json.loads(found.output)
    assert told["rows_dropped"] == 0
    assert len(coreset) == told["selected"]
    assert np.isfinite(coreset.features.compute()).all()
    if case == "protect":
        kept = np.flatnonzero(table["keep"].to_numpy(zero_copy_only=False))
        assert np.isin(kept, coreset.indices).all()
    if case == "sample weight":
        assert coreset.weights.sum() == pytest.approx(table["times"].to_numpy().sum(), rel=1e-5)
    if case == "certify":
        assert coreset.certificate.radius >= coreset.certificate.lower_bound > 0


def test_run__rows_with_nulls_are_dropped_or_refused_where_asked(words, table):
    gone = [table[name].is_null().to_numpy() for name in ("age", "city", "count")]
    whole = ~np.logical_or.reduce(gone)
    command = ["--labels", "late", "--fraction", "0.1", "--strategy", "random", *PLAIN]
    found = words("run", "src", "drop.zarr", *command, "--on-invalid", "drop", "--json")
    assert json.loads(found.output)["rows_dropped"] == N - whole.sum()
    again = words("run", "src", "again.zarr", *command, "--on-invalid", "drop")
    assert "filled in" not in again.output
    assert whole[open_coreset("drop.zarr").indices].all()
    refused = words("run", "src", "raise.zarr", *command, "--on-invalid", "raise")
    assert refused.exit_code == 2
    assert "features has" in refused.output
    assert "NaN values, first in row" in refused.output
    judged = words("evaluate", "drop.zarr", "--source", "src", *FEW, "--json")
    assert judged.exit_code == 0, judged.output
    # of rows that were not left out alone
    trained = {score["way"]: score["rows"] for score in json.loads(judged.stdout)["scores"]}
    assert trained["everything"] < whole.sum() < 0.8 * N


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "filled in, and marked where they are not few"),
        (["--on-invalid", "drop"], "rows that lack a value are left out"),
        (["--on-invalid", "raise"], "a row that lacks a value ends the run"),
    ],
)
def test_plan__says_what_becomes_of_nulls(asked, said, words):
    found = words("plan", "src", "--labels", "late", "--fraction", "0.1", *asked, place=False)
    (line,) = [line for line in found.output.splitlines() if line.startswith("nulls  ")]
    assert line.endswith(said)


def test_plan__explains_on_a_mixed_table(words):
    command = ["plan", "src", "--labels", "late", "--fraction", "0.1", *PLAIN, "--explain"]
    found = words(*command, place=False)
    assert found.exit_code == 0, found.output
    assert "1 text" in found.output
    assert "decision" in found.output


@pytest.mark.parametrize("test", [[], ["--test", "test.parquet"]])
def test_evaluate__gives_finite_numbers_with_nulls(words, selected, test):
    found = words("evaluate", selected, "--source", "src", *test, *FEW, "--json")
    assert found.exit_code == 0, found.output
    told = json.loads(found.stdout)

    def numbers(value):
        if isinstance(value, dict | list):
            for each in value.values() if isinstance(value, dict) else value:
                yield from numbers(each)
        elif isinstance(value, float):
            yield value

    every = list(numbers(told))
    assert len(every) > 50
    assert np.isfinite(every).all()


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "out.zarr", "--source", "src"],
        ["curve", "src", "--labels", "late", "--sizes", "10%", "--strategy", "random", *PLAIN],
    ],
)
def test_test_rows__that_lack_a_column_are_refused_by_name(words, selected, command):
    found = words(*command, "--test", "no_age.parquet", *FEW)
    assert found.exit_code == 2
    assert "got none named 'age' in " in found.output
    assert "no_age.parquet'" in found.output


def test_curve__with_test_rows_of_another_file(words):
    command = ["curve", "src", "--labels", "late", "--sizes", "10%", "--strategy", "random"]
    found = words(*command, *PLAIN, "--test", "test.parquet", *FEW)
    assert found.exit_code == 0, found.output
    assert "tested on 300 rows each" in found.output


def test_search__on_a_mixed_table(words):
    command = ["search", "src", "--labels", "late", "--fraction", "0.1", *MODEL, *PLAIN]
    found = words(*command, "--option", "trials=2", "--option", "seeds=2")
    assert found.exit_code == 0, found.output
    assert "2 trials" in found.output


def test_label_in_batches__of_a_mixed_table(folder, table):
    late = np.array(table["late"].to_pylist())
    pool = open_dataset(folder / "src", labels=False, columns={"late": "leave-out"})
    model = LogisticRegression(max_iter=2000)
    batches = label_in_batches(pool, lambda rows: late[rows], model, size=15, batches=2)
    *_, last = batches
    assert (len(last.rows), last.labels.tolist()) == (30, late[last.rows].tolist())


def test_proxy__of_the_users_own(folder, table):
    dataset = open_dataset(folder / "src", labels="late")
    late = np.array(table["late"].to_pylist())
    model = LogisticRegression(max_iter=2000).fit(dataset.features.compute(), late)
    coreset = distill(dataset, size=50, strategy="stratified", proxy=model)
    assert coreset.provenance["parameters"]["proxy"] == "LogisticRegression"
    assert len(coreset) == 50


def test_synthesize__text_is_refused_before_work(words, selected):
    found = words("synthesize", selected, "made.zarr")
    assert found.exit_code == 2
    assert "got text in text: it is read as n-grams" in found.output
    assert "--column text=leave-out" in found.output


def test_synthesize__made_rows_are_such_as_the_table_could_have(folder):
    pytest.importorskip("torch", reason="needs the extra torch")
    from dask_distill.synthesis.methods import Diffusion

    dataset = open_dataset(folder / "src", labels="late", columns={"text": "leave-out"})
    coreset = distill(dataset, size=200, strategy="stratified")
    method = Diffusion(steps=40, width=16, levels=8, batch=32)
    made = coreset.synthesize(method=method)
    X, names = made.features.compute(), list(dataset.columns)
    cities = X[:, [n for n, name in enumerate(names) if name.startswith("city")]]
    assert set(np.unique(cities)) == {0, 1}
    assert cities.sum(axis=1).max() == 1
    gone = X[:, names.index("age is null")] == 1
    (age,) = (c for c in dataset.profile["columns"] if c["name"] == "age")
    assert gone.any()
    assert np.allclose(X[gone, names.index("age")], age["encoding"]["fill"])
    assert made.provenance["learnt_from"]["profile"] == coreset.provenance["input"]["profile"]
    judged = made.evaluate(coreset, dataset, seeds=2, models={"linear": LogisticRegression()})
    assert np.isfinite([judged.privacy.median, judged.privacy.median_held_out]).all()


def test_update__of_other_columns_says_which(folder, table):
    dataset = open_dataset(folder / "src", labels="late")
    coreset = distill(dataset, size=50, strategy="random")
    changed = table.set_column(2, "city", pa.array(range(N)))
    pq.write_table(changed, folder / "changed.parquet")
    batch = open_dataset(folder / "changed.parquet", labels="late")
    with pytest.raises(InputError, match="column 'city' of a batch must be of type string"):
        coreset.update(batch)


@pytest.mark.parametrize(
    ("case", "task"), [("regression", "regression"), ("several labels", "multilabel")]
)
def test_judging__knows_targets_that_are_no_classes(words, case, task):
    target = f"{task}-judged.zarr"
    found = words("run", "src", target, "--size", "60", *RUNS[case])
    assert found.exit_code == 0, found.output
    found = words("report", target, "--source", "src", "-o", "no.html", place=False)
    assert found.exit_code == 0, found.output
    found = words("evaluate", target, "--source", "src", *FEW)
    assert found.exit_code == 2
    assert f"one class, got a subset selected for {task}" in found.stderr


@pytest.mark.parametrize("target", ["few.parquet", "few.zarr"])
def test_judging__says_which_columns_it_misses_and_reports_the_rest(words, target):
    asked = ["--labels", "late", "--size", "60", "--columns", "a*"]
    assert words("run", "src", target, *asked).exit_code == 0
    found = words("report", target, "--source", "src", "-o", "few.html", place=False)
    assert found.exit_code == 0, found.output
    found = words("evaluate", target, "--source", "src", *FEW)
    assert found.exit_code == 2
    assert "features must be made of columns that were written, and city, member" in found.stderr


@pytest.mark.parametrize("target", ["two.parquet", "two.zarr"])
def test_judging__says_so_of_numbers_alone(words, target):
    asked = ["--features", "amount,times", "--labels", "late", "--size", "60"]
    assert words("run", "src", target, *asked, "--columns", "amount").exit_code == 0
    with pytest.raises(InputError, match=r"were written, and times were not"):
        open_coreset(target).features.compute()


def test_report__of_numbers_whose_squares_are_none(words):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200))
    table = pa.table({"a": np.where(b > 0.5, 1.7e308, a), "b": b})
    pq.write_table(table, "huge.parquet")
    found = words("run", "huge.parquet", "huge.zarr", "--size", "20")
    assert found.exit_code == 0, found.output
    found = words("report", "huge.zarr", "-o", "huge.html", place=False)
    assert found.exit_code == 0, found.output
