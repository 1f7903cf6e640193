"""Features are looked at no more than a choice needs: surveyed compact, or not read at all."""

import itertools
from dataclasses import replace

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill, open_dataset
from dask_distill.conversation.run import Run
from dask_distill.runtime.dask_runner import DaskRunner
from dask_distill.selection.checkpoint import Receipts
from dask_distill.selection.ground import surveyed
from dask_distill.selection.request import Request
from dask_distill.strategies import make_strategy
from dask_distill.survey.reading import content_fingerprint, raw_blocks
from dask_distill.tables.compact import CompactTable
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.lazy import CompactedRows, EncodedRows
from dask_distill.tables.profile import Profile
from tests.mixed import mixed_table, write_mixed

TABLE = mixed_table()
N = 40_000


@pytest.fixture(scope="module")
def encoding(tmp_path_factory):
    path = write_mixed(tmp_path_factory.mktemp("t") / "t.parquet", TABLE)
    return Encoding(Profile.parse(open_dataset(path, labels="churn").profile))


def compact(encoding, cuts=(), table=TABLE):
    """Rows as they would be read in pieces."""
    edges = [0, *sorted(cuts), table.num_rows]
    parts = [table.slice(a, b - a) for a, b in itertools.pairwise(edges)]
    return CompactTable(encoding, tuple((p.num_rows, encoding.columns(p)) for p in parts))


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(0, TABLE.num_rows), max_size=5),
    ends=st.tuples(st.integers(0, TABLE.num_rows), st.integers(0, TABLE.num_rows)),
    seed=st.integers(0, 99),
)
def test_compact_rows__are_the_encoded_ones_in_any_pieces(encoding, cuts, ends, seed):
    whole, rows = encoding(TABLE), compact(encoding, cuts)
    assert rows.shape == whole.shape
    assert rows.dtype == whole.dtype
    assert np.array_equal(rows.dense(), whole)
    assert rows.checksum() == compact(encoding).checksum()
    start, stop = sorted(ends)
    assert np.array_equal(rows[start:stop].dense(), whole[start:stop])
    mask = np.random.default_rng(seed).random(len(rows)) < 0.3
    assert np.array_equal(rows[mask].dense(), whole[mask])
    assert rows[:start].joined([rows[start:]]).checksum() == rows.checksum()
    least, greatest = rows.ends()
    assert np.allclose(least[np.isfinite(least)], whole.min(axis=0)[np.isfinite(least)])
    assert np.allclose(greatest[np.isfinite(greatest)], whole.max(axis=0)[np.isfinite(greatest)])


@pytest.mark.parametrize("name", ["age", "city", "street", "active", "since", "note", "vector"])
@pytest.mark.parametrize("how", ["another", "null"])
def test_checksum__tells_any_value_that_changes(encoding, name, how):
    number = TABLE.schema.names.index(name)
    column = TABLE.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0)
    row = next(i for i in range(50, 600) if column[i].is_valid)
    other = None
    if how == "another":
        other = next(v for v in column.to_pylist() if v is not None and v != column[row].as_py())
    values = column.to_pylist()
    values[row] = other
    changed = TABLE.set_column(number, name, pa.array(values, column.type))
    assert compact(encoding, table=changed).checksum() != compact(encoding).checksum()


def numbers(n=N, seed=0, **other):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    label = np.where(rng.random(n) < 0.5, "yes", "no")
    columns = {"x": x, "z": rng.normal(3, 5, n), "kind": rng.choice(["a", "b", "c"], n)}
    return pa.table(columns | {"label": label} | other)


def written(folder, table, rows):
    folder.mkdir(exist_ok=True)
    path = folder / f"t-{rows}.parquet"
    pq.write_table(table, path, row_group_size=rows)
    return open_dataset(str(path), labels="label")


def schema_of(dataset):
    asked = Request(strategy=make_strategy("random", None), size=9).of(dataset)
    run = Run.here(None)
    return surveyed(raw_blocks(dataset, run.runner), asked, run, Receipts()).outline


def test_survey__of_a_table_is_that_of_its_sample_whatever_the_layout(tmp_path):
    table = numbers()
    one, other = (schema_of(written(tmp_path, table, rows)) for rows in (N, 1_777))
    assert one.fingerprint == other.fingerprint
    assert np.array_equal(one.mean, other.mean)
    assert np.array_equal(one.scale, other.scale)
    # a sample of 10,000 rows
    for number, name in enumerate(("x", "z")):
        values = table[name].to_numpy()
        assert one.mean[number] == pytest.approx(values.mean(), abs=5 * values.std() / 100)
        assert one.scale[number] == pytest.approx(values.std(), rel=0.05)


def as_frame(table):
    """The same as partitions of Dask's, which are encoded one and all."""
    return dd.from_pandas(table.to_pandas(), npartitions=3, sort=False)


def test_survey__scales_columns_of_a_group_by_its_sample_from_any_source(tmp_path):
    rare = np.setdiff1d(np.arange(N), rows_of_sample(written(tmp_path, numbers(), N)))[::4_000]
    kind = numbers()["kind"].to_numpy().astype(object)
    kind[rare] = [f"rare {number}" for number in range(len(rare))]
    table = numbers().set_column(2, "kind", pa.array(kind))
    one, other = (distill(t, "label", size=800) for t in (table, as_frame(table)))
    assert np.array_equal(one.indices, other.indices)
    assert np.array_equal(one.weights, other.weights)


def test_survey__knows_no_spread_of_what_is_constant_in_its_sample(tmp_path):
    row = np.setdiff1d(np.arange(N), rows_of_sample(written(tmp_path, numbers(), N)))[0]
    values = np.zeros((N, 8), np.float32)
    values[:, :6] = np.random.default_rng(1).normal(size=(N, 6)) / 100
    values[row, 6:] = 0.02
    vector = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 8)
    dataset = written(tmp_path, numbers(vector=vector), N)
    scale = dict(zip(dataset.columns, schema_of(dataset).scale, strict=True))
    assert scale["vector[0]"] == pytest.approx(np.sqrt(6) / 100, rel=0.05)


@pytest.mark.filterwarnings("ignore:strategy entropy keeps")
def test_survey__looks_at_no_row_that_is_left_out_for_the_largest_value():
    x, label = (numbers()[name].to_numpy().copy() for name in ("x", "label"))
    x[7], label[7] = 1e17, "unknown"
    table = numbers().set_column(0, "x", pa.array(x)).set_column(3, "label", pa.array(label))
    options = {"size": 100, "strategy": "entropy", "scale": "none", "missing_label": "unknown"}
    compact, encoded = (distill(t, "label", **options) for t in (table, as_frame(table)))
    assert np.array_equal(compact.indices, encoded.indices)


def test_survey__encodes_few_rows_of_a_table(tmp_path, monkeypatch):
    seen = []
    dense = Encoding.dense
    monkeypatch.setattr(
        Encoding, "dense", lambda self, found, n: seen.append(n) or dense(self, found, n)
    )
    schema_of(written(tmp_path, numbers(), 8_192))
    assert 9_000 <= sum(seen) <= 17_000


def test_survey__tells_a_value_too_large_wherever_it_is(tmp_path):
    row = int(
        np.setdiff1d(np.arange(30_000, N), rows_of_sample(written(tmp_path, numbers(), N)))[0]
    )
    x = numbers()["x"].to_numpy().copy()
    x[row] = 1e200
    table = numbers().set_column(0, "x", pa.array(x))
    dataset = written(tmp_path, table, N)
    with pytest.raises(InputError, match=rf"1 infinite value, first in row {row}, column 'x'"):
        distill(dataset, size=100, strategy="kcenter")


def rows_of_sample(dataset):
    """Rows of the survey's sample."""
    asked = Request(strategy=make_strategy("random", None), size=9).of(dataset)
    run = Run.here(None)
    ground = surveyed(raw_blocks(dataset, run.runner), asked, run, Receipts())
    return run.fetch(ground.schema).sample.rows


def test_fingerprint__of_a_run_that_resumes_is_that_of_the_survey(tmp_path):
    dataset = written(tmp_path, numbers(), 5_000)
    runner = DaskRunner()
    found = content_fingerprint(dataset, raw_blocks(dataset, runner), runner)
    assert found == distill(dataset, size=100, strategy="random").provenance["input"]["fingerprint"]
    assert found == schema_of(written(tmp_path, numbers(), N)).fingerprint


@pytest.mark.parametrize("strategy", ["random", "stratified", "auto"])
def test_distill__reads_no_features_where_rows_are_drawn_by_their_numbers(
    tmp_path, monkeypatch, strategy
):
    """Of labels that features tell nothing of, auto draws a stratified sample."""
    rng = np.random.default_rng(2)
    noise = {f"noise {number}": rng.normal(size=N) for number in range(60)}
    dataset = written(tmp_path, numbers(**noise), 8_192)
    surveys = []
    read = CompactedRows.__call__
    monkeypatch.setattr(CompactedRows, "__call__", lambda self: surveys.append(1) or read(self))

    def fail(self):
        raise AssertionError("features are read again")

    monkeypatch.setattr(EncodedRows, "__call__", fail)
    coreset = distill(dataset, fraction=0.25, strategy=strategy)
    assert len(coreset) == N // 4
    assert surveys
    lost = coreset.provenance["lost"]
    assert lost["groups"] == []
    assert lost["groups_measured"] > 1
    assert lost["measure"].endswith("counted among the rows of that sample")


@pytest.fixture
def wide(tmp_path):
    """Labels that features tell nothing of, some of them no label; and weights."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(N, 60)).astype("f4")
    y = (rng.random(N) < 0.5).astype(np.int64)
    y[rng.random(N) < 0.01] = 7
    group = zarr.open_group(tmp_path / "x.zarr", mode="w")
    group.create_array("X", data=X, chunks=(3_000, 60))
    group.create_array("y", data=y, chunks=(7_000,))
    group.create_array("w", data=rng.integers(0, 4, N).astype("f4"), chunks=(7_000,))
    return tmp_path / "x.zarr"


@pytest.mark.parametrize("strategy", ["random", "stratified", "auto"])
@pytest.mark.parametrize("options", [{}, {"missing_label": 7}, {"sample_weight": "w"}])
def test_distill__selects_the_rows_that_it_would_with_features(
    wide, monkeypatch, strategy, options
):
    options = dict(options)
    opened = {"sample_weight": options.pop("sample_weight", None)}
    asked = {"strategy": strategy, "fraction": 0.2} | options
    unread = distill(open_dataset(wide, **opened), **asked)
    monkeypatch.setattr(Request, "allows_unread", property(lambda self: False))
    read = distill(open_dataset(wide, **opened), **asked)
    assert np.array_equal(unread.indices, read.indices)
    assert np.array_equal(unread.weights, read.weights)
    assert unread.provenance["classes"] == read.provenance["classes"]
    drawn = unread.provenance["selection"].get("decision", {"way": "stratified"})["way"]
    fewer = unread.provenance["bytes_read"] < read.provenance["bytes_read"]
    assert fewer == (drawn == "stratified")


def test_distill__a_dense_group_without_a_row_in_the_sample_is_told(monkeypatch):
    """Of what is drawn by number, too: rows of the sample are counted."""
    from dask_distill.selection import choose

    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    X[: N // 4] += 50
    monkeypatch.setattr(
        choose, "sampled_counts", lambda groups, schema, rows: far_is_lost(groups, schema)
    )
    found = distill(da.from_array(X, chunks=5_000), size=600, strategy="random")
    lost = found.provenance["lost"]["groups"]
    assert sum(entry["rows"] for entry in lost) == pytest.approx(N // 4, rel=0.1)
    assert all(entry["near_row"] < N // 4 for entry in lost)


def far_is_lost(groups, schema):
    near, far = groups(schema.sample.X), schema.sample.X[:, 0] > 25
    count = np.bincount(near, minlength=len(groups))
    rest = np.bincount(near[~far], minlength=len(groups))
    return np.stack([count, rest // 4])


def test_request__goes_unread_only_where_nobody_looks():
    random = Request(strategy=make_strategy("random", None), size=9)
    assert random.goes_unread
    assert not replace(random, subsets=2).goes_unread
    assert not replace(random, protect=np.array([1])).goes_unread
    assert not replace(random, on_invalid="drop").goes_unread
    assert not replace(random, strategy=make_strategy("auto", None)).goes_unread
