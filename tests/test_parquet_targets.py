"""Subsets as folders of parquet files: all columns as they were, whole or not at all."""

import datetime
import decimal
import errno
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dask
import dask.array as da
import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dask_distill import InputError, InputWarning, distill, open_coreset, open_dataset, verify
from dask_distill.cli.main import cli
from dask_distill.data.arrow_columns import array_type
from dask_distill.data.table import table_of_one
from dask_distill.errors import DistillError, IncompleteOutput
from dask_distill.pipeline import distill_to_zarr
from dask_distill.selection.request import Request
from dask_distill.storage.folder import Part, write
from dask_distill.storage.form import FOLDER
from dask_distill.storage.values import ValueDigest
from dask_distill.strategies import make_strategy
from dask_distill.subset import parquet as _parquet

MARKER = FOLDER.root
ROWS = 2000
pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.selection.select.SelectionWarning")


def every(number, values):
    """Values of which some are missing."""
    return [None if i % number == 0 else value for i, value in enumerate(values)]


def mixed(rows=ROWS, seed=0):
    """A table of nearly all that parquet has."""
    rng, span = np.random.default_rng(seed), range(rows)
    start = datetime.datetime(2024, 1, 1)
    when = [start + datetime.timedelta(hours=i) for i in span]
    pairs = [[(f"k{j}", j) for j in range(i % 3)] for i in span]
    columns = {
        "id": pa.array(span, pa.int64()),
        "number": pa.array(every(7, rng.normal(size=rows).tolist())),
        "small": pa.array(every(5, [i % 100 for i in span]), pa.int8()),
        "big": pa.array(every(3, [2**60 + i for i in span]), pa.uint64()),
        "half": pa.array(rng.normal(size=rows).astype(np.float16)),
        "price": pa.array(every(4, [decimal.Decimal(i) / 100 for i in span]), pa.decimal128(20, 2)),
        "when": pa.array(every(6, when), pa.timestamp("ns", "Europe/Berlin")),
        "day": pa.array([moment.date() for moment in when]),
        "clock": pa.array([moment.time() for moment in when], pa.time64("us")),
        "took": pa.array(every(8, span), pa.duration("ms")),
        "text": pa.array(every(11, [f"ä{i % 50} " * (i % 9) for i in span])),
        "long": pa.array(every(9, [f"{i}" for i in span]), pa.large_string()),
        "raw": pa.array(every(10, [bytes([i % 256]) * (i % 5) for i in span])),
        "flag": pa.array(every(8, [i % 2 == 0 for i in span])),
        "kind": pa.array(every(12, [f"c{i % 3}" for i in span])).dictionary_encode(),
        "vector": pa.array(
            list(rng.normal(size=(rows, 4)).astype("f4")), pa.list_(pa.float32(), 4)
        ),
        "tags": pa.array(
            every(6, [["a", None, "b"][: i % 4] for i in span]), pa.list_(pa.string())
        ),
        "place": pa.array(
            every(9, [{"city": f"t{i % 7}", "at": [1.5, float(i)]} for i in span]),
            pa.struct([("city", pa.string()), ("at", pa.list_(pa.float64()))]),
        ),
        "map": pa.array(every(7, pairs), pa.map_(pa.string(), pa.int32())),
        "nothing": pa.nulls(rows),
        "y": pa.array(["no", "yes", "no", "no"] * (rows // 4)),
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": {}}}).encode()}
    return pa.table(columns).replace_schema_metadata(metadata)


def write_source(folder, table, files=3, groups=300):
    folder.mkdir()
    edges = np.linspace(0, table.num_rows, files + 1).astype(int).tolist()
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        part = table.slice(start, stop - start)
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=groups)
    return folder


@pytest.fixture(scope="module")
def table():
    return mixed()


@pytest.fixture(scope="module")
def source(table, tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source") / "rows", table)


@pytest.fixture(scope="module")
def coreset(source):
    return distill(open_dataset(source, labels="y"), size=200, strategy="entropy")


@pytest.fixture
def small(monkeypatch):
    """Several files, of several row groups, without gigabytes."""
    monkeypatch.setattr(_parquet, "_STEP_BYTES", 600)
    monkeypatch.setattr(_parquet, "_STEPS", 8)
    monkeypatch.setattr("dask_distill.storage.parts.GROUP_BYTES", 1500)


def flat(coreset):
    """Columns that zarr has, too."""
    return [field.name for field in coreset.table.schema if array_type(field.type) is not None]


def assert_same(found, expected):
    """Rows of a source, as pyarrow takes them, with all types."""
    for field in expected.schema:
        column = found.column(field.name)
        assert column.type == field.type, field.name
        wanted = expected.column(field.name)
        same = column.combine_chunks().equals(wanted.combine_chunks())
        assert same or column.to_pylist() == wanted.to_pylist(), field.name


# ---------------------------------------------------------------- what comes out


def test_to_parquet__has_all_columns_as_arrow_takes_them(coreset, table, tmp_path, small):
    receipt = coreset.to_parquet(tmp_path / "out.parquet")
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.schema.names == [*table.schema.names, "_index", "_weight"]
    assert_same(found, table.take(coreset.indices))
    assert found.schema.metadata[b"huggingface"] == table.schema.metadata[b"huggingface"]
    assert found["_index"].to_pylist() == coreset.indices.tolist()
    assert found.schema.field("_index").type == pa.int64()
    assert np.array_equal(found["_weight"], coreset.weights)
    assert found.schema.field("_weight").type == pa.float32()
    names = sorted(os.listdir(tmp_path / "out.parquet"))
    assert names == [MARKER, *(f"part-{number:05d}.parquet" for number in range(len(names) - 1))]
    assert receipt["files"] == len(names) - 1 > 2
    first = pq.read_metadata(tmp_path / "out.parquet" / "part-00000.parquet")
    assert first.num_row_groups > 1
    assert os.listdir(tmp_path) == ["out.parquet"]


def test_to_parquet__says_all_that_zarr_says(coreset, tmp_path):
    coreset.to_parquet(tmp_path / "out.parquet")
    coreset.to_zarr(tmp_path / "out.zarr", columns=flat(coreset))
    ours = json.loads((tmp_path / "out.parquet" / MARKER).read_text())
    theirs = json.loads((tmp_path / "out.zarr" / "zarr.json").read_text())
    # the types, which files of parquet have themselves
    assert set(theirs["attributes"]["dask_distill"]) - {"schema"} <= set(ours)
    assert ours["provenance"]["input"] == json.loads(json.dumps(coreset.provenance["input"]))
    entry = ours["manifest"]["part-00000.parquet"]
    assert entry["rows"] == 200
    assert entry["file_bytes"] == (tmp_path / "out.parquet" / "part-00000.parquet").stat().st_size


def test_open_coreset__is_the_subset_that_was_written(coreset, tmp_path, small):
    coreset.to_parquet(tmp_path / "out.parquet", scores=True)
    found = open_coreset(tmp_path / "out.parquet")
    assert repr(found) == repr(coreset)
    assert np.array_equal(found.indices, coreset.indices)
    assert found.weights.dtype == np.float32
    assert np.array_equal(found.weights, coreset.weights)
    assert list(found.scores) == list(coreset.scores)
    for name, values in coreset.scores.items():
        assert np.array_equal(found.scores[name], values)
    assert found.features.dtype == coreset.features.dtype
    assert np.array_equal(*dask.compute(found.features, coreset.features))
    assert found.labels.compute().tolist() == coreset.labels.compute().tolist()
    assert found.table.schema.equals(coreset.table.schema)
    assert found.table.schema.metadata == coreset.table.schema.metadata
    assert_same(rows_of(found.table), rows_of(coreset.table))
    assert found.label_name == "y"
    again = found.to_parquet(tmp_path / "again.parquet", scores=True)["digest"]
    assert again == json.loads((tmp_path / "out.parquet" / MARKER).read_text())["digest"]


def rows_of(table):
    parts = [part.compute() if hasattr(part, "compute") else part for part in table.parts]
    return pa.concat_tables([part.read() for part in parts])


def test_to_parquet__scores_are_written_on_request_alone(coreset, tmp_path):
    coreset.to_parquet(tmp_path / "without.parquet")
    assert open_coreset(tmp_path / "without.parquet").scores == {}
    coreset.to_parquet(tmp_path / "with.parquet", scores=True)
    names = pq.read_schema(tmp_path / "with.parquet" / "part-00000.parquet").names
    assert [name for name in names if name.startswith("_score_")] == [
        f"_score_{name}" for name in coreset.scores
    ]


@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_to_parquet__of_pandas_is_read_as_pandas_wrote_it(tmp_path):
    frame = pd.DataFrame(
        {
            "size": pd.array([1, None, 3] * 100, dtype="Int16"),
            "kind": pd.Categorical(
                ["b", "a", None] * 100, categories=["c", "b", "a"], ordered=True
            ),
            "seen": pd.date_range("2024-03-30", periods=300, freq="h", tz="Europe/Berlin"),
            "note": ["x", None, "zz"] * 100,
            "y": [0, 1, 1] * 100,
        },
        index=pd.Index([f"row {i}" for i in range(300)], name="name"),
    )
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=70)
    dataset = open_dataset(tmp_path / "in.parquet", labels="y")
    coreset = distill(dataset, size=40, strategy="random")
    coreset.to_parquet(tmp_path / "out.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    expected = pd.read_parquet(tmp_path / "in.parquet").iloc[coreset.indices]
    pd.testing.assert_frame_equal(found.drop(columns=["_index", "_weight"]), expected)
    assert found["kind"].cat.categories.tolist() == ["c", "b", "a"]
    lazy = dd.read_parquet(tmp_path / "out.parquet").compute()
    assert lazy["_index"].tolist() == coreset.indices.tolist()


def test_to_parquet__types_that_parquet_has_not_come_back(tmp_path):
    """Other readers get what parquet has for them; ours gets what was given."""
    table = pa.table(
        {
            "x": pa.array(np.arange(100.0)),
            "seconds": pa.array(every(3, range(100)), pa.timestamp("s", "UTC")),
            "day": pa.array([86_400_000 * i for i in range(100)], pa.date64()),
            "code": pa.array([i % 3 for i in range(100)]).dictionary_encode(),
            "long": pa.array(["a", "b"] * 50, pa.large_string()).dictionary_encode(),
        }
    )
    coreset = distill(np.arange(100.0)[:, None], size=10, strategy="random")
    coreset = replace(coreset, table=table_of_one(table.take(coreset.indices)))
    coreset.to_parquet(tmp_path / "out.parquet")
    found = open_coreset(tmp_path / "out.parquet").table
    # what has no profile is an array beside the table
    assert found.schema.names == [*table.schema.names, "X_0"]
    assert_same(rows_of(found), table.take(coreset.indices))


def test_to_parquet__views_are_read_and_stay(tmp_path):
    rng, span = np.random.default_rng(0), range(300)
    texts = every(7, ["Oslo", "Rome", ""] * 100)
    table = pa.table(
        {
            "a": rng.normal(size=300),
            "text": pa.array(texts, pa.string_view()),
            "bytes": pa.array([b"%d" % i for i in span], pa.binary_view()),
            "list": pa.array(every(5, [[text] for text in texts]), pa.list_(pa.string_view())),
            "map": pa.array([[("k", t)] for t in texts], pa.map_(pa.string(), pa.string_view())),
            "y": rng.integers(0, 2, 300),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=90)
    stored = pq.read_table(tmp_path / "in.parquet")
    assert pa.types.is_string_view(stored.schema.field("text").type)
    found = distill(open_dataset(tmp_path / "in.parquet", labels="y"), size=40)
    found.to_parquet(tmp_path / "out.parquet")
    written = open_coreset(tmp_path / "out.parquet").table.to_arrow()
    assert written.schema.equals(stored.schema)
    rows = found.indices.tolist()
    for name in stored.column_names:
        values = stored[name].to_pylist()
        assert written[name].to_pylist() == [values[row] for row in rows]
    assert found.take(table).equals(written)


def test_to_parquet__numbers_alone_are_written_once(tmp_path):
    rng = np.random.default_rng(0)
    pairs = [{"x": value} for value in rng.normal(size=300)]
    table = pa.table({"a": rng.normal(size=300), "at": pa.array(pairs), "b": rng.normal(size=300)})
    pq.write_table(table, tmp_path / "in.parquet")
    found = distill(open_dataset(tmp_path / "in.parquet"), size=40)
    assert found.features.shape == (40, 3)
    for columns, names in ((None, ["a", "at", "b"]), ("a,at", ["a", "at"])):
        found.to_parquet(tmp_path / "out.parquet", columns=columns, overwrite=True)
        stored = pq.read_schema(tmp_path / "out.parquet" / "part-00000.parquet").names
        assert stored == [*names, "_index", "_weight"]
        written = open_coreset(tmp_path / "out.parquet")
        assert written.table.to_arrow().equals(table.select(names).take(pa.array(found.indices)))
        if columns is None:
            np.testing.assert_array_equal(written.features.compute(), found.features.compute())
        else:
            with pytest.raises(InputError, match="were written, and b were not"):
                written.features.compute()


def test_to_parquet__of_plain_arrays(labelled, tmp_path):
    X = labelled.X[:500].reshape(500, 2, 3)
    carry = {
        "box": np.arange(2000).reshape(500, 4),
        "name": np.array([None if i % 5 == 0 else str(i) for i in range(500)], object),
        "day": np.arange(500).astype("M8[D]"),
    }
    coreset = distill(X, labelled.names[:500], size=20, strategy="random", carry=carry)
    coreset.to_parquet(tmp_path / "out.parquet", columns=list("abcdef"))
    frame = pd.read_parquet(tmp_path / "out.parquet")
    boxes = [f"box_{i}" for i in range(4)]
    assert list(frame) == [*"abcdef", "y", *boxes, "name", "day", "_index", "_weight"]
    found = open_coreset(tmp_path / "out.parquet")
    assert found.table is not None
    for name in ("features", "labels"):
        mine, theirs = getattr(found, name), getattr(coreset, name)
        assert (mine.dtype.kind, mine.shape) == (theirs.dtype.kind, theirs.shape)
        assert mine.compute().tolist() == theirs.compute().tolist()
    for name, array in coreset.carry.items():
        assert found.carry[name].compute().tolist() == array.compute().tolist()
    coreset.to_zarr(tmp_path / "one.zarr")
    one = open_coreset(tmp_path / "one.zarr")
    one.to_parquet(tmp_path / "by-zarr.parquet", columns=list("abcdef"))
    assert verify(tmp_path / "by-zarr.parquet").digest == verify(tmp_path / "out.parquet").digest


def test_to_parquet__several_subsets_are_a_list_a_row(source, tmp_path):
    coreset = distill(open_dataset(source, labels="y"), size=50, subsets=3, strategy="random")
    coreset.to_parquet(tmp_path / "out.parquet")
    assert verify(tmp_path / "out.parquet").ok
    weights = np.stack(pd.read_parquet(tmp_path / "out.parquet")["_subset_weight"])
    assert np.array_equal(weights, coreset.subset_weights)
    found = open_coreset(tmp_path / "out.parquet")
    assert np.array_equal(found.subset_weights, coreset.subset_weights)
    for number in range(3):
        assert_same(rows_of(found.subset(number).table), rows_of(coreset.subset(number).table))


# ---------------------------------------------------------------- names that are ours


def test_to_parquet__columns_of_the_source_named_like_ours_stay(tmp_path):
    frame = pd.DataFrame({"_index": ["logs", "web"] * 50, "_weight": range(100), "a": range(100)})
    frame.to_parquet(tmp_path / "in.parquet")
    coreset = distill(open_dataset(tmp_path / "in.parquet"), size=10, strategy="random")
    with pytest.warns(InputWarning) as told:
        coreset.to_parquet(tmp_path / "out.parquet")
    assert [str(line.message).partition(":")[0] for line in told] == [
        "'_index' is written as '_index_'",
        "'_weight' is written as '_weight_'",
    ]
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["_index_"].tolist() == frame["_index"][coreset.indices].tolist()
    assert found["_weight_"].tolist() == frame["_weight"][coreset.indices].tolist()
    assert found["_index"].tolist() == coreset.indices.tolist()
    opened = open_coreset(tmp_path / "out.parquet")
    assert np.array_equal(*dask.compute(opened.features, coreset.features))


def test_open_dataset__a_subset_brings_its_weights_and_nothing_else(coreset, tmp_path, small):
    coreset.to_parquet(tmp_path / "one.parquet", scores=True)
    one = tmp_path / "one.parquet"
    for place in (one, one / "*.parquet"):
        dataset = open_dataset(place, labels="y")
        assert dataset.weight_name == "_weight"
        assert np.array_equal(dataset.sample_weight.compute(), coreset.weights)
        assert not any(name.startswith("_") for name in dataset.columns)
    second = distill(dataset, size=50, strategy="random")
    assert second.weights.sum() == pytest.approx(ROWS)
    second.to_parquet(tmp_path / "two.parquet")
    found = pq.read_table(tmp_path / "two.parquet")
    assert found.schema.names == [*coreset.table.schema.names, "_index", "_weight"]
    assert found["_index"].to_pylist() == second.indices.tolist()
    assert np.array_equal(found["_weight"], second.weights)
    alike = open_dataset(one, labels="y", sample_weight=False)
    assert alike.sample_weight is None
    assert not {"_index", "_weight"} & set(alike.columns)


def test_open_dataset__a_subset_of_the_form_before_is_known_too(tmp_path):
    (tmp_path / "old").mkdir()
    frame = pd.DataFrame({"a": range(20), "weight": 5.0, "index": range(20), "score_el2n": 0.5})
    frame.astype({"weight": "f4"}).to_parquet(tmp_path / "old" / "part-00000.parquet")
    (tmp_path / "old" / "_SUCCESS").write_text(json.dumps({"dask_distill": {}}))
    dataset = open_dataset(tmp_path / "old")
    assert (dataset.columns, dataset.weight_name) == (("a",), "weight")
    # and replaced
    distill(dataset, size=5, strategy="random")
    coreset = distill(np.arange(20.0)[:, None], size=5, strategy="random")
    coreset.to_parquet(tmp_path / "old", overwrite=True)
    assert verify(tmp_path / "old").ok


def test_open_dataset__columns_called_weight_and_index_are_the_users(tmp_path):
    frame = pd.DataFrame({"weight": [1.5, 2.5] * 20, "index": [3, 5] * 20, "a": range(40)})
    frame.to_parquet(tmp_path / "in.parquet")
    coreset = distill(open_dataset(tmp_path / "in.parquet"), size=30, strategy="random")
    coreset.to_parquet(tmp_path / "out.parquet")
    again = open_dataset(tmp_path / "out.parquet")
    used = {use.name for use in again.uses if use.role == "feature"}
    assert used == {"weight", "index", "a"}
    assert again.weight_name == "_weight"


# ---------------------------------------------------------------- the same whatever lies below


def test_to_parquet__same_digest_for_any_files_and_workers(table, tmp_path, small, local_client):
    digests, sizes = set(), set()
    table = table.combine_chunks()
    for number, (files, groups) in enumerate([(1, 5000), (3, 300), (7, 64)]):
        folder = write_source(tmp_path / f"in{number}", table, files, groups)
        coreset = distill(open_dataset(folder, labels="y"), size=300, strategy="random")
        receipt = coreset.to_parquet(tmp_path / f"out{number}.parquet")
        digests.add(receipt["digest"])
        marker = json.loads((tmp_path / f"out{number}.parquet" / MARKER).read_text())
        sizes.add(str([entry["row_groups"] for entry in marker["manifest"].values()]))
    local_client(2)
    digests.add(coreset.to_parquet(tmp_path / "by-workers.parquet")["digest"])
    assert len(digests) == 1
    assert len(sizes) == 1


def test_to_parquet__same_digest_for_any_chunks_of_arrays(labelled, tmp_path, small):
    digests = set()
    for number, chunks in enumerate((1000, 333, 77)):
        X = da.from_array(labelled.X[:1000], chunks=(chunks, -1))
        names = da.from_array(labelled.names[:1000].astype(object), chunks=chunks)
        coreset = distill(X, labelled.y[:1000], size=300, strategy="random", carry={"n": names})
        digests.add(coreset.to_parquet(tmp_path / str(number))["digest"])
    assert len(digests) == 1


def test_digest__differs_where_a_value_does(table):
    def digest(rows):
        values = ValueDigest()
        values.add(rows)
        return values.hexdigest()

    whole = digest(table.slice(0, 50))
    assert whole == digest(table.take(np.arange(50)))
    for name in table.schema.names:
        if name == "nothing":
            continue
        column = table.column(name)
        other = pa.chunked_array([column.slice(1, 1).combine_chunks(), *column.slice(1, 49).chunks])
        at = table.schema.names.index(name)
        changed = table.slice(0, 50).set_column(at, table.schema.field(name), other)
        assert (digest(changed) == whole) == changed.equals(table.slice(0, 50)), name


def test_memory__long_text_in_one_row_group_is_written_by_and_by(tmp_path):
    """A row group of 400 MB; what is selected of it is 200 MB."""
    script = f"""
import resource, sys
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
from dataclasses import replace
from dask_distill import distill, open_dataset
from dask_distill.subset.parquet import write_parquet
import dask
dask.config.set(scheduler="sync")
path = {str(tmp_path / "in.parquet")!r}
if sys.argv[1] == "write":
    rng = np.random.default_rng(0)
    schema = pa.schema([("x", pa.float64()), ("text", pa.string())])
    texts = ["".join(map(chr, rng.integers(97, 123, 4000))) for _ in range(200)]
    pieces = [pa.table({{"x": rng.normal(size=5000), "text": [t[i % 7:] for i, t in
        zip(range(5000), texts * 25)]}}, schema=schema) for _ in range(20)]
    pq.write_table(pa.concat_tables(pieces), path, row_group_size=10**6, compression="none",
        use_dictionary=False)
else:
    dataset = open_dataset(path, features="x")
    coreset = distill(np.arange(100_000.0)[:, None], size=50_000, strategy="random")
    coreset = replace(coreset, table=dataset.table.take(coreset.indices))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    coreset.to_parquet({str(tmp_path / "out.parquet")!r})
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script]
    subprocess.run([*command, "write"], check=True, env=environment)
    told = subprocess.run(
        [*command, "read"], check=True, env=environment, capture_output=True, text=True
    )
    assert int(told.stdout) < 350, told.stdout
    marker = json.loads((tmp_path / "out.parquet" / MARKER).read_text())
    assert sum(entry["rows"] for entry in marker["manifest"].values()) == 50_000
    groups = [rows for entry in marker["manifest"].values() for rows in entry["row_groups"]]
    # of some 4 kB a row
    assert 14_000 < groups[0] < 19_000


# ---------------------------------------------------------------- whole or not at all


def broken(coreset):
    """One whose rows cannot be read."""
    features = coreset.features.map_blocks(lambda block: 1 / 0, dtype=coreset.features.dtype)
    return replace(coreset, features=features, table=None, carry={}, scores={})


def plain(labelled, **more):
    return distill(labelled.X[:1000], labelled.y[:1000], size=250, strategy="random", **more)


def test_to_parquet__a_failed_run_leaves_nothing(labelled, tmp_path):
    coreset = plain(labelled)
    coreset.to_parquet(tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    for path, overwrite in (("new", False), ("deep/new", False), ("out", True)):
        with pytest.raises(Exception, match="division by zero"):
            broken(coreset).to_parquet(tmp_path / path, overwrite=overwrite)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert os.listdir(tmp_path) == ["out"]
    coreset.to_parquet(tmp_path / "out", overwrite=True)
    parts = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("part*")}
    assert parts == {name: data for name, data in before.items() if name != MARKER}


def test_to_parquet__a_remote_one_stays_until_the_commit(labelled):
    url = f"memory://tables-{os.getpid()}/out.parquet"
    system = fsspec.filesystem("memory")
    coreset = plain(labelled)
    digest = coreset.to_parquet(url)["digest"]
    assert verify(url).digest == digest
    assert np.array_equal(open_coreset(url).indices, coreset.indices)
    with pytest.raises(InputError, match="exists; choose another"):
        coreset.to_parquet(url)
    with pytest.raises(Exception, match="division by zero"):
        broken(coreset).to_parquet(url, overwrite=True)
    assert verify(url).digest == digest
    other = plain(labelled, seed=1)
    assert other.to_parquet(url, overwrite=True)["digest"] == verify(url).digest != digest
    assert len(system.find(f"memory://tables-{os.getpid()}")) == 2


@pytest.mark.slow
def test_to_parquet__workers_write_and_one_may_die(labelled, tmp_path, local_client, small):
    coreset = distill(labelled.X[:3000], labelled.y[:3000], size=900, strategy="random")
    expected = coreset.to_parquet(tmp_path / "here")
    client = local_client(2)
    victim = next(iter(client.run(os.getpid).values()))

    class Kill:
        left = 5

        def start(self, phase, total):
            pass

        def advance(self):
            self.left -= 1
            if self.left == 0:
                os.kill(victim, signal.SIGKILL)

        def finish(self):
            pass

    found = coreset.to_parquet(tmp_path / "there", progress=Kill())
    assert found["digest"] == expected["digest"]
    assert sorted(os.listdir(tmp_path / "here")) == sorted(os.listdir(tmp_path / "there"))


def test_to_parquet__replaces_nothing_that_is_not_ours(coreset, source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-00000.parquet").write_text("years of work")
    for overwrite, sentence in ((False, "exists; choose another"), (True, "something else")):
        with pytest.raises(InputError, match=sentence):
            coreset.to_parquet(tmp_path / "out", overwrite=overwrite)
    with pytest.raises(InputError, match="must not be, hold or lie in the source"):
        coreset.to_parquet(source, overwrite=True)
    assert (tmp_path / "out" / "part-00000.parquet").read_text() == "years of work"


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        ({"table": None}, {"columns": ["a"]}, "columns must be the names of .* features, got 1"),
        ({}, {"columns": ["nope"]}, "columns must be .*, got 'nope'"),
        (
            {"carry": {"z": da.zeros(200, dtype=complex)}},
            {},
            "carry z must be of a type that parquet has, got complex128; write it to zarr",
        ),
        (
            {"table": table_of_one(pa.table({"e": pa.array([{}] * 200, pa.struct([]))}))},
            {},
            "column 'e' must be of a type that parquet has, got struct<>",
        ),
    ],
)
def test_to_parquet__refuses_in_one_sentence(coreset, tmp_path, change, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(coreset, **change).to_parquet(tmp_path / "out", **arguments)
    assert os.listdir(tmp_path) == []


def test_overwrite__a_group_by_a_folder_and_back(labelled, tmp_path):
    coreset, target = plain(labelled), tmp_path / "t"
    zarr_digest = coreset.to_zarr(target)["digest"]
    digest = coreset.to_parquet(target, overwrite=True)["digest"]
    assert verify(target).digest == digest
    assert np.array_equal(open_coreset(target).indices, coreset.indices)
    coreset.to_zarr(target, overwrite=True)
    assert verify(target).digest == zarr_digest
    assert not list(target.glob("*.parquet"))


# ---------------------------------------------------------------- damage


def damage(change):
    def do(folder):
        file = folder / "part-00001.parquet"
        data = bytearray(file.read_bytes())
        change(data)
        file.write_bytes(bytes(data))

    return do


def swap(folder):
    one, other = folder / "part-00000.parquet", folder / "part-00001.parquet"
    held = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(held)


def lie(**changes):
    def do(folder):
        content = json.loads((folder / MARKER).read_text())
        content["provenance"] |= changes
        (folder / MARKER).write_text(json.dumps(content))

    return do


def forge(folder):
    content = json.loads((folder / MARKER).read_text())
    content["manifest"]["part-00000.parquet"]["digest"] = "0" * 32
    (folder / MARKER).write_text(json.dumps(content))


DAMAGE = {
    "a byte": (damage(lambda data: data.__setitem__(100, data[100] ^ 4)), "part-00001.*differs"),
    "cut": (damage(lambda data: data.__delitem__(slice(-20, None))), "part-00001.*differs"),
    "a file is gone": (lambda f: (f / "part-00001.parquet").unlink(), "part-00001.*missing"),
    "two are swapped": (swap, "part-0000[01].*differs"),
    "no marker": (lambda f: (f / MARKER).unlink(), "_dask_distill.json' is missing"),
    "half a marker": (lambda f: (f / MARKER).write_text('{"comm'), "is no JSON"),
    "a lie": (lie(seed=7), "attributes differ"),
    "a forged digest": (forge, "manifest differs"),
    "no commit": (lambda f: (f / MARKER).write_text('{"format_version": 1}'), "commit marker"),
    "nonsense": (
        lambda f: (f / MARKER).write_text('{"commit": {}, "manifest": {"../x": 3}}'),
        "manifest is damaged",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_verify__names_what_is_wrong(labelled, tmp_path, small, case):
    spoil, sentence = DAMAGE[case]
    target = tmp_path / "out.parquet"
    plain(labelled).to_parquet(target)
    assert verify(target).ok
    spoil(target)
    found = verify(target)
    assert not found.ok
    assert any(re.search(sentence, line) for line in found.problems), found
    done = CliRunner().invoke(cli, ["verify", str(target)])
    assert done.exit_code == 1
    if case in ("a file is gone", "no marker", "half a marker", "no commit", "nonsense"):
        with pytest.raises((IncompleteOutput, InputError)):
            open_coreset(target)


def test_open_coreset__another_in_its_place_is_not_taken_for_it(labelled, tmp_path):
    target = tmp_path / "out.parquet"
    plain(labelled).to_parquet(target)
    opened = open_coreset(target)
    plain(labelled, seed=1).to_parquet(target, overwrite=True)
    with pytest.raises(IncompleteOutput, match="is not what it was when the subset was opened"):
        opened.features.compute()


def test_open_coreset__a_page_that_is_damaged_is_refused(labelled, tmp_path):
    target = tmp_path / "out.parquet"
    plain(labelled).to_parquet(target)
    opened = open_coreset(target)
    file = target / "part-00000.parquet"
    data = bytearray(file.read_bytes())
    data[200] ^= 16
    file.write_bytes(bytes(data))
    with pytest.raises(DistillError):
        opened.features.compute()


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("_index", lambda a: a[::-1].copy(), "column '_index' is not ascending and unique from 0"),
        ("_weight", lambda a: -a, "column '_weight' has values that are not finite and above 0"),
        ("_weight", lambda a: a * 2, "column '_weight' sums to 2000, not to 1000 rows"),
    ],
)
def test_verify__invariants_hold_of_what_was_written_wrong(
    labelled, tmp_path, name, values, problem
):
    coreset = plain(labelled)
    field = {"_index": "indices", "_weight": "weights"}[name]
    wrong = replace(coreset, **{field: values(getattr(coreset, field))})
    wrong.to_parquet(tmp_path / "out.parquet")
    found = verify(tmp_path / "out.parquet")
    assert found.problems == (problem,)


# ---------------------------------------------------------------- by command, and resumed


def run(*words):
    done = CliRunner().invoke(cli, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def figures(entry):
    """But how long it took."""
    return {name: value for name, value in entry.items() if "seconds" not in name}


def test_commands__treat_parquet_as_they_treat_zarr(
    source, coreset, tmp_path, monkeypatch, threads_for_a_cluster
):
    monkeypatch.setattr("dask_distill.clusters.connect.connect", threads_for_a_cluster)
    asked = ("--labels", "y", "--size", "200", "--strategy", "stratified")
    asked += ("--column", "place.city=leave-out", "--column", "place.at=leave-out")
    told, scores = {}, {}
    for form in ("zarr", "parquet"):
        target = tmp_path / f"out.{form}"
        # zarr has no nested columns
        some = ("--columns", ",".join(flat(coreset))) if form == "zarr" else ()
        told[form] = json.loads(run("run", source, target, *asked, *some, "--json").stdout)
        assert "200 rows" in run("verify", target).stdout
        assert json.loads(run("verify", target, "--json").stdout)["digest"] == told[form]["digest"]
        run("report", target, "--source", source, "-o", tmp_path / f"{form}.html", "--quiet")
        words = ("--source", source, "--model", "logistic-regression", "--seeds", "2", "--json")
        scores[form] = json.loads(run("evaluate", target, *words).stdout)
        again = run("run", source, target, *asked, *some, "--resume", "--json")
        assert json.loads(again.stdout)["digest"] == told[form]["digest"]
    assert set(told["zarr"]) <= set(told["parquet"])
    assert [figures(entry) for entry in scores["zarr"]["scores"]] == [
        figures(entry) for entry in scores["parquet"]["scores"]
    ]
    one, other = (open_coreset(tmp_path / f"out.{form}") for form in ("zarr", "parquet"))
    assert np.array_equal(one.indices, other.indices)
    assert np.array_equal(one.weights, other.weights)


REQUEST = Request(strategy=make_strategy("random"), size=150)


def resumed(dataset, target, **how):
    with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"}):
        return distill_to_zarr(dataset, target, REQUEST, **how)[1]


def test_resume__parts_that_are_there_are_not_written_again(source, tmp_path, small, monkeypatch):
    dataset, target = open_dataset(source, labels="y"), tmp_path / "out.parquet"
    expected = resumed(dataset, tmp_path / "whole.parquet")
    assert expected["files"] > 4
    whole, written = Path.replace, []

    def dies(self, other):
        written.append(Path(other).name)
        if written.count(Path(other).name) == 1 and len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, other)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(DistillError, match="what is finished is kept"):
        resumed(dataset, target)
    there = {name for name in written[:3] if name.startswith("part-")}
    assert len(there) > 1
    written.clear()
    assert resumed(dataset, target, resume=True)["digest"] == expected["digest"]
    assert not there & set(written)
    assert verify(target).ok
    left = sorted(entry for entry in os.listdir(tmp_path))
    assert left == ["out.parquet", "whole.parquet"]


def test_resume__what_has_changed_since_is_as_it_is_now(table, tmp_path, small, monkeypatch):
    """A column that decides nothing: no part may be of what it was before."""
    folder = write_source(tmp_path / "in", table)
    words = {"labels": "y", "features": "number,half"}
    target, whole, count = tmp_path / "out.parquet", Path.replace, []

    def dies(self, other):
        count.append(other)
        if len(count) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return whole(self, other)

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(DistillError, match="what is finished is kept"):
        resumed(open_dataset(folder, **words), target)
    shutil.rmtree(folder)
    at = table.schema.names.index("text")
    other = table.set_column(at, "text", pa.array(["new"] * ROWS))
    write_source(folder, other)
    resumed(open_dataset(folder, **words), target, resume=True)
    assert set(pq.read_table(target)["text"].to_pylist()) == {"new"}
    assert verify(target).ok


def test_write__refuses_rows_of_another_form(tmp_path):
    class Wrong:
        def tables(self):
            yield pa.table({"a": ["text"]})

    schema = pa.schema([("a", pa.int64())])
    with pytest.raises(DistillError, match=r"file part-00000.parquet must have"):
        write(tmp_path / "out.parquet", schema, 5, [Part(Wrong(), ())], {})
    assert os.listdir(tmp_path) == []


def test_to_parquet__a_disk_that_fails_at_once_is_told_in_a_sentence(
    coreset, tmp_path, monkeypatch
):
    """The folder beside the target cannot be made: before any file is written."""
    whole = os.mkdir

    def fails(path, *args, **options):
        if ".partial-" in os.fspath(path):
            raise OSError(errno.EIO, "Input/output error", os.fspath(path))
        return whole(path, *args, **options)

    monkeypatch.setattr(os, "mkdir", fails)
    with pytest.raises(DistillError, match=r"target '.*out' must be written, got OSError: .*5"):
        coreset.to_parquet(tmp_path / "out")
    with pytest.raises(DistillError, match=r"target '.*out.zarr' must be written, got OSError"):
        coreset.to_zarr(tmp_path / "out.zarr", columns=flat(coreset))
    assert list(tmp_path.iterdir()) == []


def test_open_dataset__strata_of_a_target_are_no_feature(tmp_path):
    """A column made of what is to be predicted, in the data that are trained on."""
    rng = np.random.default_rng(0)
    values = pa.table({"a": rng.normal(size=900), "price": rng.lognormal(size=900)})
    pq.write_table(values, tmp_path / "in.parquet")
    words = ("--task", "regression", "--labels", "price", "--size", "90", "--workers", "1")
    target = tmp_path / "out.parquet"
    run("run", tmp_path / "in.parquet", target, *words, "--strategy", "stratified", "--quiet")
    again = open_dataset(target, labels="price")
    assert "price_stratum" in again.table.schema.names
    assert again.columns == ("a",)
    uses = {use.name: use.why for use in again.uses}
    assert uses["price_stratum"] == "strata of the target"


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_to_parquet__is_known_to_verify_whatever_its_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(60, 3))
    distill(rows, size=9, strategy="random").to_parquet(name)
    done = CliRunner().invoke(cli, ["verify", name])
    assert done.exit_code == 0, done.output
    assert f"{name}: complete, 9 rows, 1 file checked, digest " in " ".join(done.stdout.split())
    next(Path(name).glob("*.parquet")).unlink()
    done = CliRunner().invoke(cli, ["verify", name])
    assert done.exit_code == 1
    assert "not written by" not in done.stderr
