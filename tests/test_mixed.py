"""Mixed tables: the whole way without a line of glue, the same rows for any layout."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill, grow, open_coreset, open_dataset
from dask_distill.cli import cli
from dask_distill.conversation.run import Run
from dask_distill.data.uses import told
from dask_distill.selection.checkpoint import Receipts
from dask_distill.selection.ground import surveyed
from dask_distill.selection.request import Request
from dask_distill.strategies import make_strategy
from dask_distill.survey.reading import raw_blocks
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.profile import Profile
from tests.mixed import mixed_table, write_mixed

TABLE = mixed_table()
KINDS = {
    "customer_id": ("left out", "id"),
    "code": ("left out", "id"),
    "age": ("feature", "number"),
    "visits": ("feature", "number"),
    "city": ("feature", "category"),
    "plan": ("feature", "category"),
    "street": ("feature", "category"),
    "active": ("feature", "boolean"),
    "since": ("feature", "date"),
    "note": ("feature", "text"),
    "vector": ("feature", "embedding"),
    "address.zip": ("feature", "category"),
    "address.floor": ("feature", "number"),
    "tags": ("left out", "leave-out"),
    "source": ("left out", "constant"),
    "empty": ("left out", "constant"),
    "churn": ("label", ""),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = write_mixed(tmp_path_factory.mktemp("whole") / "t.parquet", TABLE)
    return open_dataset(path, labels="churn")


def selected(coreset):
    """Rows of a coreset's table."""
    return pa.concat_tables([part.read() for part in coreset.table.parts])


def test_open_dataset__reads_columns_by_their_kind(whole):
    assert {use.name: (use.role, use.read_as) for use in whole.uses} == KINDS
    assert whole.features.dtype == np.float32
    assert not np.isnan(whole.features.compute()).any()
    lines = dict(told(whole.uses))
    assert lines["features"] == (
        "11 used (3 numbers, 4 categories, 1 boolean, 1 date, 1 text, 1 embedding)"
    )
    for name in ("customer_id", "code", "tags", "source", "empty"):
        assert f"{name} (" in lines["left out"]


def test_distill__mixed_rows_are_written_as_they_were(whole):
    coreset = distill(whole, fraction=0.1, seed=3)
    assert len(coreset) == 60
    rows = selected(coreset)
    assert rows.equals(TABLE.take(coreset.indices))
    assert rows.schema.equals(TABLE.schema)
    assert coreset.weights.sum() == pytest.approx(600)
    assert coreset.provenance["parameters"]["on_invalid"] == "fill"


LAYOUTS = [(1, None), (1, 7), (3, 50), (13, None), (2, 599)]


@pytest.mark.parametrize(("files", "group"), LAYOUTS)
def test_distill__same_mixed_rows_for_any_layout(whole, folder, files, group):
    folder.joinpath("p").mkdir()
    edges = np.linspace(0, 600, files + 1).astype(int)
    for number, (start, stop) in enumerate(itertools.pairwise(edges)):
        pq.write_table(
            TABLE.slice(start, stop - start), f"p/{number}.parquet", row_group_size=group or 10**6
        )
    found = open_dataset("p", labels="churn")
    assert found.profile == whole.profile
    np.testing.assert_array_equal(found.features.compute(), whole.features.compute())
    for strategy in ("auto", "kcenter", "strata"):
        one, other = (distill(d, size=40, strategy=strategy) for d in (found, whole))
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.weights, other.weights)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 600), st.integers(1, 600))
def test_part__any_rows_of_an_encoded_chunk_are_the_same(whole, start, count):
    encoding = Encoding(Profile.parse(whole.profile))
    rows = TABLE.slice(start, count)
    expected = whole.features.compute(scheduler="sync")[start : start + count]
    np.testing.assert_array_equal(encoding(rows), expected)


def test_profile__is_read_again_from_its_file(folder):
    write_mixed("t.parquet", TABLE)
    words = ["plan", "t.parquet", "--labels", "churn", "--size", "9"]
    done = CliRunner().invoke(
        cli, [*words, "--write-profile", "p.json", "--column", "visits=category"]
    )
    assert done.exit_code == 0, done.output
    assert "visits" in done.stdout
    profile = json.loads(folder.joinpath("p.json").read_text())
    # next month: other cities, other numbers
    later = mixed_table(300, seed=9)
    city = pa.array(["Bergen"] * 150 + later["city"].to_pylist()[150:])
    later = later.set_column(later.schema.get_field_index("city"), "city", city)
    write_mixed("later.parquet", later)
    then = open_dataset("later.parquet", labels="churn", profile=profile)
    now = open_dataset("t.parquet", labels="churn", columns={"visits": "category"})
    assert then.columns == now.columns
    cities = [name.startswith("city=") for name in then.columns]
    # a city that was not seen is none of the known ones
    assert not then.features.compute()[:150, cities].any()
    assert open_dataset("later.parquet", labels="churn").columns != now.columns


def test_columns__are_read_as_asked(folder):
    write_mixed("t.parquet", TABLE)
    asked = {"visits": "category", "city": "text", "customer_id": "number", "note": "leave-out"}
    found = open_dataset("t.parquet", labels="churn", columns=asked)
    read = {use.name: use.read_as for use in found.uses}
    assert {name: read[name] for name in asked} == asked


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"cty": "category"}, r"column must be in .*'cty' \(did you mean 'city'\?\)"),
        ({"city": "categry"}, r"got 'categry' \(did you mean 'category'\?\)"),
        ({"city": "number"}, "column 'city' must hold numbers to be read as such"),
        ({"city": "date"}, "column 'city' must hold dates to be read as such"),
        ({"note": "embedding"}, "column 'note' must be one that can be read as embedding"),
        ({"tags": "category"}, "column 'tags' must be one that can be read as category"),
        ({"churn": "category"}, "column 'churn' must be a feature .* and it is label"),
    ],
)
def test_columns__that_cannot_be_read_so_are_refused(folder, columns, sentence):
    write_mixed("t.parquet", TABLE)
    with pytest.raises(InputError, match=sentence):
        open_dataset("t.parquet", labels="churn", columns=columns)
    words = [f"--column={name}={kind}" for name, kind in columns.items()]
    done = CliRunner().invoke(
        cli, ["plan", "t.parquet", "--labels", "churn", "--size", "9", *words]
    )
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1


def test_profile__of_another_table_is_refused(folder):
    write_mixed("t.parquet", TABLE)
    profile = open_dataset("t.parquet", labels="churn").profile
    write_mixed("u.parquet", TABLE.drop(["age"]).append_column("aged", TABLE["age"]))
    with pytest.raises(InputError, match=r"none named 'age' .*\(did you mean 'aged'\?\)"):
        open_dataset("u.parquet", labels="churn", profile=profile)
    with pytest.raises(InputError, match="profile must be what plan --write-profile"):
        open_dataset("t.parquet", labels="churn", profile={"columns": []})


def test_nulls__end_no_run_and_lose_no_row(folder):
    table = mixed_table(400, seed=2)
    number = pa.array([float("nan") if k % 5 == 0 else float(k % 7) for k in range(400)])
    far = pa.array([float("inf") if k == 7 else 1.0 * (k % 3) for k in range(400)])
    table = table.append_column("number", number).append_column("far", far)
    write_mixed("t.parquet", table)
    coreset = distill(open_dataset("t.parquet", labels="churn"), fraction=0.25)
    assert coreset.provenance["rows"] == 400
    assert coreset.provenance["rows_dropped"] == 0
    with pytest.raises(InputError, match=r"features has .* NaN .* column 'age'"):
        distill(open_dataset("t.parquet", labels="churn"), fraction=0.25, on_invalid="raise")
    dropped = distill(open_dataset("t.parquet", labels="churn"), size=20, on_invalid="drop")
    odd = [pc.is_null(table[name]) for name in ("age", "city", "active")]
    odd += [pc.is_nan(number), pc.is_inf(far)]
    some = np.any([column.to_numpy(zero_copy_only=False) for column in odd], axis=0)
    assert dropped.provenance["rows"] == 400 - some.sum()


def test_embedding__of_many_numbers_counts_as_one_column(folder):
    rng = np.random.default_rng(0)
    n = 2000
    vectors = rng.normal(size=(n, 64)).astype(np.float32)
    table = pa.table(
        {
            "a": rng.normal(size=n),
            "b": rng.normal(size=n),
            "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 64),
        }
    )
    write_mixed("t.parquet", table)
    dataset = open_dataset("t.parquet")
    assert [(g.start, g.stop) for g in dataset.groups] == [(2, 66)]
    asked = Request(strategy=make_strategy("random", None), size=9).of(dataset)
    run = Run.here(None)
    schema = surveyed(raw_blocks(dataset, run.runner), asked, run, Receipts()).outline
    X = (dataset.features.compute() - schema.mean) / schema.scale
    variance = X.var(axis=0)
    assert variance[:2] == pytest.approx(1, abs=1e-3)
    assert variance[2:].sum() == pytest.approx(1, abs=1e-3)


def test_grow__takes_frames_by_the_names_of_their_columns():
    frame = TABLE.to_pandas()
    coreset = grow(frame[:200], "churn", size=40)
    coreset = coreset.update(frame[200:400], "churn").update(frame[400:], "churn")
    assert coreset.provenance["rows"] == 600
    ids = coreset.table.to_arrow(["customer_id"])["customer_id"]
    assert ids.to_pylist() == (10_000 + coreset.indices).tolist()


@pytest.mark.parametrize("form", ["zarr", "parquet"])
def test_coreset__is_written_with_some_columns_alone(whole, folder, form):
    coreset = distill(whole, size=30)
    write = coreset.to_zarr if form == "zarr" else coreset.to_parquet
    with pytest.raises(InputError, match=r"'agee'.*did you mean 'age'"):
        write(f"t.{form}", columns=["agee"])
    write(f"t.{form}", columns="age,v*")
    there = open_coreset(f"t.{form}")
    assert there.table.schema.names == ["age", "visits", "vector", "churn"]
    assert there.table.to_arrow().equals(
        TABLE.take(coreset.indices).select(there.table.schema.names)
    )
