"""Tables in zarr: every column an array, and the same table again when it is opened."""

import json
import os
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings, strategies as st

from dask_distill import InputError, distill, open_coreset, open_dataset, verify
from dask_distill.cli.main import cli
from dask_distill.data.dataset import Dataset
from dask_distill.data.table import table_of_one
from dask_distill.data.written import with_written
from dask_distill.errors import DistillError, IncompleteOutput, InputWarning
from dask_distill.pipeline import distill_to_zarr
from dask_distill.selection.request import Request
from dask_distill.sources.arrow_arrays import StoredRows
from dask_distill.storage import chunks as _chunks
from dask_distill.strategies import make_strategy
from dask_distill.tables.dataset import dataset_of

sys.path.insert(0, str(Path(__file__).parent))
from arrow_tables import in_parts, read_all, same, tables

ROWS = 1200
rng = np.random.default_rng(0)
LABELS = np.array(["no", "yes"])[rng.integers(0, 2, ROWS)]


def some(values, every):
    return [None if row % every == 1 else value for row, value in enumerate(values)]


def made():
    """Real columns: numbers, text, dates, nulls, an embedding, a category."""
    days = np.arange(ROWS)
    return pa.table(
        {
            "amount": rng.normal(size=ROWS) + (LABELS == "yes"),
            "count": pa.array(some(range(ROWS), 7), pa.int32()),
            "flag": pa.array(some([bool(row % 3) for row in range(ROWS)], 5)),
            "note": some([f"note {row % 40}" for row in range(ROWS)], 6),
            "seen": pa.array(some((days * 10**9).tolist(), 9), pa.timestamp("us", "Asia/Tokyo")),
            "day": pa.array(some(days.tolist(), 4), pa.date32()),
            "price": pa.array([Decimal(row) / 4 for row in range(ROWS)], pa.decimal128(12, 2)),
            "words": pa.array(some(rng.normal(size=(ROWS, 3)).tolist(), 8), pa.list_(pa.float32())),
            "city": pa.array(np.array(["a", "b", "c"])[days % 3]).dictionary_encode(),
            "km/h": days,
            "weight": rng.normal(size=ROWS),
            "y": LABELS.tolist(),
        }
    ).replace_schema_metadata({"made": "here"})


TABLE = made()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def memory():
    yield
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.errors.InputWarning")


def source(table=TABLE, size=250, **names):
    return dataset_of(in_parts(table, size, known=True), **({"labels": "y"} | names))


def selected(table=TABLE, size=250, rows=100, **names):
    return distill(source(table, size, **names), size=rows, strategy="random")


def equal(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other))


def command(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


def array(name, path="out.zarr"):
    return zarr.open_group(path, mode="r")[name]


# ---------------------------------------------------------------- the same table again


def assert_same(found, expected):
    assert found.schema.equals(expected.schema, check_metadata=True)
    for name in expected.column_names:
        assert same(found[name], expected[name]), name


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tables(12), st.integers(1, 12), st.sets(st.integers(0, 11), min_size=1), st.booleans())
def test_to_zarr__any_table_comes_back_value_by_value(folder, table, size, rows, known):
    """Whatever columns, nulls, parts and selected rows there are."""
    dataset = Dataset(
        features=da.from_array(np.arange(24.0).reshape(12, 2)),
        table=in_parts(table, size, known=known),
    )
    coreset = distill(dataset, size=len(rows), strategy="random")
    coreset = replace(coreset, indices=np.sort(np.fromiter(rows, np.int64)))
    coreset = replace(coreset, table=dataset.table.take(coreset.indices))
    with dask.config.set(scheduler="sync"):
        coreset.to_zarr("any.zarr", overwrite=True)
        opened = open_coreset("any.zarr")
        # Arrow takes no rows of some types
        picked = [table[row : row + 1] for row in coreset.indices.tolist()]
        assert_same(read_all(opened.table), pa.concat_tables(picked))
    missing = {f.name for f, c in zip(table.schema, table.columns, strict=True) if c.null_count}
    assert not opened.table.without_nulls & missing


def test_to_zarr__a_real_table_comes_back():
    coreset = selected()
    coreset.to_zarr("out.zarr")
    assert verify("out.zarr").ok
    opened = open_coreset("out.zarr")
    expected = TABLE.take(coreset.indices)
    assert_same(read_all(opened.table), expected)
    assert opened.label_name == "y"
    assert opened.labels.compute().tolist() == expected["y"].to_pylist()
    assert opened.features.dtype == coreset.features.dtype
    assert equal(opened.features, coreset.features)
    # and once more, as a source
    assert_same(read_all(open_dataset("out.zarr").table), expected)


def test_to_zarr__every_column_is_an_array_of_its_type():
    coreset = selected()
    coreset.to_zarr("out.zarr")
    group = zarr.open_group("out.zarr", mode="r")
    expected = {
        "amount": "float64",
        "count": "int32",
        "flag": "bool",
        "note": "StringDType()",
        "seen": "datetime64[us]",
        "day": "datetime64[D]",
        "price": "StringDType()",
        "words": "float32",
        "city": "StringDType()",
        "km_h": "int64",
        "weight_": "float64",
        "y": "StringDType()",
        "index": "int64",
        "weight": "float32",
    }
    assert {name: str(found.dtype) for name, found in group.arrays()} == expected
    nulls = {name for name, _ in group["null"].arrays()}
    assert nulls == {"count", "flag", "note", "seen", "day", "words"}
    rows = TABLE.take(coreset.indices)
    for name in nulls:
        assert group["null"][name][:].tolist() == rows[name].is_null().to_pylist()
    assert group["words"].shape == (100, 3)
    assert group["count"][:].tolist() == rows["count"].fill_null(0).to_pylist()
    assert np.isnat(group["seen"][:]).tolist() == rows["seen"].is_null().to_pylist()
    assert dict(group["seen"].attrs) == {"unit": "us", "time_zone": "Asia/Tokyo"}
    assert dict(group["price"].attrs) == {"arrow_type": "decimal128(12, 2)"}
    assert group["price"][:].tolist() == [str(value) for value in rows["price"].to_pylist()]


def test_to_zarr__xarray_opens_it():
    xarray = pytest.importorskip("xarray")
    coreset = selected()
    coreset.to_zarr("out.zarr")
    with xarray.open_zarr("out.zarr", consolidated=False) as opened:
        rows = TABLE.take(coreset.indices)
        assert opened["count"].values.tolist() == rows["count"].fill_null(0).to_pylist()
        seen = rows["seen"].cast(pa.timestamp("us")).to_pandas().to_numpy()
        assert np.array_equal(opened["seen"].values, seen, equal_nan=True)


def test_to_zarr__same_digest_for_any_parts(monkeypatch):
    monkeypatch.setattr("dask_distill.subset.arrays._PIECE_ROWS", 17)
    monkeypatch.setattr(_chunks, "_CHUNK_BYTES", 256)
    digests = set()
    for size in (13, 250, ROWS):
        coreset = selected(size=size)
        digests.add(coreset.to_zarr(f"{size}.zarr")["digest"])
        assert_same(read_all(open_coreset(f"{size}.zarr").table), TABLE.take(coreset.indices))
    assert len(digests) == 1


def test_open_coreset__parts_read_some_rows_of_some_columns(monkeypatch):
    monkeypatch.setattr(_chunks, "_CHUNK_BYTES", 256)
    monkeypatch.setattr("dask_distill.sources.arrow_arrays._PART_BYTES", 4000)
    coreset = selected()
    coreset.to_zarr("out.zarr")
    table = open_coreset("out.zarr").table
    rows = TABLE.take(coreset.indices)
    assert len(table.parts) > 3
    first = table.rows[0]
    part = table.parts[1]
    assert isinstance(part, StoredRows)
    found = part.read(["note", "seen"], 1, 3)
    assert found.to_pylist() == rows.select(["note", "seen"])[first + 1 : first + 3].to_pylist()
    taken = table.take(np.array([0, first + 2, table.n - 1]))
    assert_same(read_all(taken), rows.take([0, first + 2, table.n - 1]))


def test_open_coreset__a_damaged_column_is_told():
    selected().to_zarr("out.zarr")
    table = open_coreset("out.zarr").table
    chunk = Path("out.zarr/amount/c/0")
    chunk.write_bytes(chunk.read_bytes()[:-3] + b"abc")
    assert not verify("out.zarr").ok
    with pytest.raises(IncompleteOutput, match="array 'amount', chunk 0"):
        read_all(table)


@pytest.mark.parametrize("damage", ["text", "of another table", "none of it"])
def test_open_coreset__a_damaged_schema_is_told(damage):
    selected().to_zarr("out.zarr")
    path = Path("out.zarr/zarr.json")
    told = json.loads(path.read_text())
    content = told["attributes"]["dask_distill"]
    if damage == "text":
        content["schema"] = "no schema"
    elif damage == "of another table":
        content["names"]["table"][:2] = content["names"]["table"][1::-1]
    else:
        content["names"]["table"] = []
    path.write_text(json.dumps(told))
    with pytest.raises(IncompleteOutput, match="damaged: its schema is not that of its arrays"):
        open_coreset("out.zarr")


def test_to_zarr__to_memory_by_a_url(memory):
    coreset = selected()
    coreset.to_zarr("memory://out.zarr")
    assert verify("memory://out.zarr").ok
    assert_same(read_all(open_coreset("memory://out.zarr").table), TABLE.take(coreset.indices))


@pytest.mark.slow
def test_to_zarr__workers_write_and_read(local_client):
    local_client(2)
    coreset = selected()
    coreset.to_zarr("out.zarr")
    opened = open_coreset("out.zarr")
    assert_same(read_all(opened.table), TABLE.take(coreset.indices))
    assert equal(opened.features.compute(), coreset.features.compute())


# ---------------------------------------------------------------- features, labels, carried


def test_to_zarr__features_are_written_where_that_is_asked_for():
    coreset = selected()
    coreset.to_zarr("out.zarr")
    assert "X" not in zarr.open_group("out.zarr")
    coreset.to_zarr("kept.zarr", keep_encoded=True)
    written = array("X", "kept.zarr")
    assert equal(written[:], coreset.features.compute())
    names = written.attrs["features"]
    assert len(names) == written.shape[1]
    assert {"amount", "city=a", "words[2]"} <= set(names)
    assert equal(open_coreset("kept.zarr").features, coreset.features)


def test_to_zarr__features_give_way_to_a_column_of_their_name():
    coreset = selected(TABLE.rename_columns(["X", *TABLE.column_names[1:]]))
    coreset.to_zarr("out.zarr", keep_encoded=True)
    assert array("X").shape == (100,)
    assert array("X_").shape == coreset.features.shape
    opened = open_coreset("out.zarr")
    assert opened.feature_name == "X"
    assert equal(opened.features, coreset.features)


@pytest.mark.parametrize("on_invalid", ["fill", "drop"])
def test_open_coreset__numbers_alone_have_the_features_they_had(on_invalid):
    table = pa.table(
        {
            "a": pa.array(some((rng.normal(size=ROWS)).tolist(), 50)),
            "b": pa.array(range(ROWS), pa.int64()),
            "c": pa.array([Decimal(row) / 8 for row in range(ROWS)], pa.decimal128(12, 3)),
            "d": pa.array((np.arange(ROWS) % 2 == 0).tolist()),
        }
    )
    pq.write_table(table, "in.parquet", row_group_size=100)
    dataset = open_dataset("in.parquet", labels=False)
    coreset = distill(dataset, size=200, strategy="random", on_invalid=on_invalid)
    coreset.to_zarr("out.zarr")
    opened = open_coreset("out.zarr")
    assert opened.features.dtype == coreset.features.dtype
    assert equal(opened.features.compute(), coreset.features.compute())


def test_to_zarr__what_is_carried_and_in_the_table_is_written_once():
    coreset = selected(carry=["count", "note", "seen"])
    coreset.to_zarr("out.zarr")
    names = {name for name, _ in zarr.open_group("out.zarr").arrays()}
    assert len(names) == len(TABLE.column_names) + 2
    opened = open_coreset("out.zarr")
    assert list(opened.carry) == ["count", "note", "seen"]
    for name, carried in coreset.carry.items():
        again = opened.carry[name]
        assert again.dtype == carried.dtype
        one, other = again.compute(), carried.compute()
        assert all(a == b or (a != a and b != b) for a, b in zip(one, other, strict=True))


def test_to_zarr__arrays_beside_a_table_are_written_beside_it():
    row = np.arange(ROWS)
    # labels of one's own take no column's place
    dataset = source()
    coreset = distill(dataset, row % 2, size=100, strategy="random", carry={"row": row})
    coreset.to_zarr("out.zarr")
    assert equal(array("y_")[:], coreset.indices % 2)
    opened = open_coreset("out.zarr")
    assert equal(opened.labels, coreset.indices % 2)
    assert opened.label_name == "y_"
    assert equal(opened.carry["row"], coreset.indices)
    assert_same(read_all(opened.table), TABLE.take(coreset.indices))
    again = open_dataset("out.zarr", carry=["row"])
    assert equal(again.labels, coreset.indices % 2)
    assert equal(again.carry["row"], coreset.indices)


def test_distill__a_carried_array_that_is_named_as_a_column_is_refused():
    with pytest.raises(InputError, match=r"carry must not be named as a column .* got 'note'"):
        distill(source(), size=10, carry={"note": np.arange(ROWS)})


def test_to_zarr__a_target_that_is_a_column_is_written_once():
    dataset = source(TABLE.set_column(11, "y", pa.array(rng.normal(size=ROWS))))
    coreset = distill(dataset, size=200, task="regression", strategy="stratified")
    coreset.to_zarr("out.zarr")
    opened = open_coreset("out.zarr")
    assert equal(array("y")[:], opened.carry["y"])
    assert equal(opened.carry["y"], coreset.carry["y"])
    assert equal(opened.labels, coreset.labels)
    assert opened.label_name == "y_stratum"


def test_to_zarr__names_that_no_array_can_have_are_told():
    with pytest.warns(InputWarning, match="'weight' is written as 'weight_'"):
        selected().to_zarr("out.zarr")


def test_subset__of_several_has_its_rows_of_the_table():
    coreset = distill(source(), size=40, subsets=2, strategy="random")
    coreset.to_zarr("out.zarr")
    one = open_coreset("out.zarr").subset(1)
    assert_same(read_all(one.table), TABLE.take(one.indices))


# ---------------------------------------------------------------- some columns


def test_with_written__restricts_what_is_written_and_nothing_else():
    dataset = source(carry=["count"])
    whole = distill(dataset, size=100, strategy="kcenter")
    some = distill(with_written(dataset, "no*, km/h"), size=100, strategy="kcenter")
    assert equal(whole.indices, some.indices)
    some.to_zarr("out.zarr")
    names = {name for name, _ in zarr.open_group("out.zarr").arrays()}
    assert names == {"count", "note", "km_h", "y", "index", "weight"}
    opened = open_coreset("out.zarr")
    expected = TABLE.take(some.indices).select(["count", "note", "km/h", "y"])
    assert_same(read_all(opened.table), expected)
    assert opened.features.shape == some.features.shape
    with pytest.raises(InputError, match=r"and amount, flag, .* were not; write these, too .* --k"):
        opened.features.compute()
    some.to_zarr("kept.zarr", keep_encoded=True)
    assert equal(open_coreset("kept.zarr").features, some.features)


UNKNOWN = {
    "cout": r"got 'cout' \(did you mean 'count'\?\)",
    "note,zzz": r"got 'zzz'; there are: amount, count, flag, .*",
    "x_*": r"got 'x_\*'; there are",
    " , ": "at least one column to write, got none",
}


@pytest.mark.parametrize("columns", UNKNOWN)
def test_select__a_column_that_is_not_there_is_told_with_what_is_like_it(columns):
    with pytest.raises(InputError, match=UNKNOWN[columns]):
        table_of_one(TABLE).select(columns)


def test_select__takes_names_with_commas_and_globs_from_a_list():
    table = table_of_one(pa.table({"a,b": [1], "a": [2], "b": [3]}))
    assert table.select(["a,b"]).schema.names == ["a,b"]
    assert table.select("b,a").schema.names == ["a", "b"]
    assert read_all(table.select(["a*"])).column_names == ["a,b", "a"]
    part = table.select("b").parts[0]
    assert part.read().column_names == ["b"]
    assert part.take(np.array([0])).column_names == ["b"]
    assert part.schema.names == ["b"]


# ---------------------------------------------------------------- what no array holds


REFUSED = {
    "struct": (pa.array([{"a": 1}] * ROWS), r"odd \(struct<a: int64>\)"),
    "bytes": (pa.array([b"a"] * ROWS), r"odd \(binary\)"),
    "lists of text": (pa.array([["a"]] * ROWS), r"odd \(list<element: string>\)"),
    "ragged": (
        pa.array([[1.0] * (1 + row % 2) for row in range(ROWS)]),
        "'odd' must have as many numbers in every list .* got 1 and 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_run__what_no_array_holds_is_refused_before_the_work(case, monkeypatch):
    column, sentence = REFUSED[case]
    table = TABLE.append_column("odd", column)
    pq.write_table(table, "in.parquet", row_group_size=100)

    def begun(*_, **__):
        raise AssertionError("the work has begun")

    words = ("run", "in.parquet", "out.zarr", "--labels", "y", "--size", "50", "--workers", "1")
    with monkeypatch.context() as patch:
        patch.setattr("dask_distill.pipeline.select_and_write", begun)
        done = command(*words, code=2)
        assert sentence.partition("'odd'")[2] in done.stderr or "odd" in done.stderr
        with pytest.raises(InputError, match=sentence):
            distill_to_zarr(
                open_dataset("in.parquet", labels="y"),
                "out.zarr",
                Request(strategy=make_strategy("random"), size=50),
            )
    assert "--columns" in done.stderr
    assert "ends in .parquet" in done.stderr
    assert sorted(os.listdir()) == ["in.parquet"]
    command(*words, "--quiet", "--columns", "amount,no*")
    assert {"amount", "note", "y"} <= {name for name, _ in zarr.open_group("out.zarr").arrays()}
    assert "odd" not in zarr.open_group("out.zarr")


def test_to_zarr__lists_that_differ_later_are_refused_when_they_are_met():
    lists = [[1.0, 2.0]] * 600 + [[1.0]] + [[1.0, 2.0]] * 599
    coreset = selected(TABLE.append_column("odd", pa.array(lists)), rows=ROWS)
    with pytest.raises(InputError, match="'odd' must have as many numbers in every list"):
        coreset.to_zarr("out.zarr")
    assert not os.path.exists("out.zarr")


def test_to_zarr__lists_of_which_the_first_are_missing_have_their_length():
    lists = pa.array([None] * 600 + [[1.0, 2.0]] * 600, pa.list_(pa.float64()))
    coreset = selected(TABLE.append_column("late", lists), rows=ROWS)
    coreset.to_zarr("out.zarr")
    assert array("late").shape == (ROWS, 2)
    assert_same(
        read_all(open_coreset("out.zarr").table.select("late")),
        pa.table({"late": lists, "y": TABLE["y"]})
        .select(["late"])
        .replace_schema_metadata(TABLE.schema.metadata),
    )


# ---------------------------------------------------------------- a run that dies


def run(dataset, **more):
    return distill_to_zarr(
        dataset, "out.zarr", Request(strategy=make_strategy("random"), size=80), **more
    )


def die(monkeypatch, after):
    whole, written = _chunks.write_chunk, []

    def write(location, name, number, layout, values):
        if len(written) >= after:
            raise DistillError("the cluster died")
        written.append(name)
        return whole(location, name, number, layout, values)

    monkeypatch.setattr("dask_distill.storage.tasks.write_chunk", write)


def test_resume__goes_on_and_refuses_other_columns_and_values(monkeypatch):
    expected = selected(rows=80).to_zarr("expected.zarr")["digest"]
    with monkeypatch.context() as patch:
        die(patch, 8)
        with pytest.raises(DistillError, match="resume"):
            run(source(), resume=True)
    with pytest.raises(InputError, match="written columns"):
        run(with_written(source(), "note"), resume=True)
    with pytest.raises(InputError, match="keep encoded"):
        run(source(), resume=True, keep_encoded=True)
    changed = TABLE.take(np.arange(ROWS)[::-1])
    dataset = source()
    # features are as they were; whichever chunks were written, columns are not
    other = replace(dataset, table=in_parts(changed, 250, known=True))
    with pytest.raises(InputError, match="must have the same values to be resumed"):
        run(other, resume=True)
    coreset, receipt = run(dataset, resume=True)
    assert_same(read_all(coreset.table), TABLE.take(coreset.indices))
    assert verify("out.zarr").ok
    assert len(receipt["digest"]) == len(expected)
    coreset, receipt = run(dataset, resume=True)
    assert receipt["bytes_written"] == 0
    assert_same(read_all(coreset.table), TABLE.take(coreset.indices))
    coreset, _ = run(dataset, overwrite=True, keep_encoded=True)
    assert array("X").shape == coreset.features.shape


# ---------------------------------------------------------------- the command line


def test_run__writes_reports_evaluates_and_selects_again():
    pq.write_table(TABLE, "in.parquet", row_group_size=100)
    words = ("--labels", "y", "--size", "120", "--workers", "1", "--quiet")
    command("run", "in.parquet", "out.zarr", *words, "--carry", "count", "--keep-encoded")
    assert "X" in zarr.open_group("out.zarr")
    command("run", "in.parquet", "out.zarr", *words, "--overwrite")
    assert "X" not in zarr.open_group("out.zarr")
    command("verify", "out.zarr")
    judged = ("evaluate", "out.zarr", "--source", "in.parquet", "--seeds", "2", "--workers", "1")
    command(*judged, "--quiet")
    command("report", "out.zarr", "--source", "in.parquet", "-o", "out.html")
    command("run", "out.zarr", "again.zarr", "--size", "30", "--workers", "1", "--quiet")
    again, before = open_coreset("again.zarr"), open_coreset("out.zarr")
    rows = pq.read_table("in.parquet").take(before.indices).take(again.indices)
    assert_same(read_all(again.table), rows)
    assert again.weights.sum() == pytest.approx(before.weights.sum(), rel=1e-5)


def test_plan__takes_the_columns_too_and_tells_names_of_these_alone():
    pq.write_table(TABLE, "in.parquet", row_group_size=100)
    words = ("plan", "in.parquet", "--labels", "y", "--size", "120")
    assert "'weight' is written as 'weight_'" in command(*words).stderr
    assert "is written as" not in command(*words, "--columns", "note").stderr
