"""Tables that grow: every batch is read as the first was, and what is kept has all columns."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dask_distill import InputError, distill, grow, open_coreset, open_dataset
from dask_distill.cli.main import cli
from dask_distill.follow import follow
from dask_distill.growing.tables import table_as
from dask_distill.subset.summary import Settings
from tests.mixed_table import mixed_table

N = 2_000


@pytest.fixture(scope="module")
def table():
    return mixed_table(N)


@pytest.fixture
def opened(tmp_path):
    """Writes a table as parquet, and opens that."""

    def write_and_open(table, **options):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        pq.write_table(table, path, row_group_size=300)
        return open_dataset(path, labels="late", **options)

    return write_and_open


def columns_of(table):
    """All rows of a table of ours, as an Arrow table."""
    parts = [part.compute() if hasattr(part, "compute") else part for part in table.parts]
    return pa.concat_tables([part.read() for part in parts]).combine_chunks()


def same(one, other):
    return np.array_equal(one.indices, other.indices) and np.array_equal(one.weights, other.weights)


@pytest.mark.parametrize("strategy", ["auto", "stratified"])
def test_grow__fifty_batches_of_a_mixed_table_are_as_one(table, opened, strategy):
    whole = opened(table, carry=["id"])
    once = grow(whole, size=60, strategy=strategy)
    coreset = None
    for start in range(0, N, N // 50):
        batch = opened(table.slice(start, N // 50), carry=["id"], profile=whole.profile)
        if coreset is None:
            coreset = grow(batch, size=60, strategy=strategy)
        else:
            coreset = coreset.update(batch)
    assert same(coreset, once)
    assert columns_of(coreset.table).equals(table.take(coreset.indices).combine_chunks())
    assert coreset.carry["id"].compute().tolist() == [f"row-{row:08d}" for row in coreset.indices]
    assert coreset.provenance["parameters"]["on_invalid"] == "fill"
    assert np.isfinite(coreset.features.compute()).all()


@pytest.mark.parametrize("strategy", ["stratified", "kcenter"])
def test_update__goes_on_from_disk_as_from_memory(table, opened, tmp_path, strategy):
    coreset = grow(opened(table), size=50, strategy=strategy)
    coreset.to_zarr(tmp_path / "out.zarr")
    more = mixed_table(500, seed=1, first=N)
    here = coreset.update(opened(more))
    there = open_coreset(tmp_path / "out.zarr").update(opened(more))
    assert same(here, there)
    both = pa.concat_tables([table, more])
    assert columns_of(there.table).equals(both.take(there.indices).combine_chunks())


def test_update__tells_other_values_and_columns_that_are_not_there(table, opened):
    coreset = grow(opened(table), fraction=0.1, strategy="stratified")
    more = mixed_table(500, seed=1, cities=("Oslo", "Rome", "Bergen"))
    bergen = more["city"].to_pylist().count("Bergen")
    more = more.drop_columns(["amount", "count"]).append_column("fresh", pa.array(range(500)))
    coreset = coreset.update(opened(more))
    assert coreset.provenance["growing"]["last_batch"] == {
        "columns_missing": ["count", "amount"],
        "columns_left_out": ["fresh"],
        "other_values": {"city": bergen},
    }
    late = columns_of(coreset.table).filter(pa.array(coreset.indices >= N))
    assert late.num_rows > 20
    assert late["amount"].null_count == late["count"].null_count == late.num_rows
    assert late.schema.names == table.schema.names


def test_update__a_column_of_another_type_is_refused_by_name(table, opened):
    coreset = grow(opened(table), size=50, strategy="random")
    ages = table["age"].cast(pa.string())
    changed = table.set_column(1, "age", ages)
    with pytest.raises(InputError, match="column 'age' of a batch must be of type double like"):
        coreset.update(opened(changed))
    with pytest.raises(InputError, match="a batch must be a table like those before it"):
        coreset.update(coreset.features, coreset.labels)


def test_update__of_a_table_that_was_selected_once(table, opened):
    coreset = distill(opened(table), size=80, strategy="stratified")
    more = mixed_table(500, seed=1, first=N)
    following = coreset.update(opened(more))
    both = pa.concat_tables([table, more])
    assert columns_of(following.table).equals(both.take(following.indices).combine_chunks())
    assert following.provenance["rows"] == N + 500


@pytest.mark.parametrize(
    ("now", "then", "fits"),
    [
        (pa.int32(), pa.int64(), True),
        (pa.int64(), pa.int32(), False),
        (pa.int64(), pa.float64(), False),
        (pa.int32(), pa.float64(), True),
        (pa.float32(), pa.float64(), True),
        (pa.string(), pa.dictionary(pa.int32(), pa.string()), True),
        (pa.large_string(), pa.string(), True),
        (pa.null(), pa.string(), True),
        (pa.timestamp("us"), pa.timestamp("ns"), True),
        (pa.timestamp("ns"), pa.timestamp("us"), False),
        (pa.timestamp("us", "UTC"), pa.timestamp("us"), False),
        (pa.bool_(), pa.int64(), False),
    ],
)
def test_table_as__takes_types_whose_values_stay_what_they_are(now, then, fits):
    from dask_distill.data.table import table_of_one

    table = table_of_one(pa.table({"a": pa.array([None], now), "b": [1]}))
    wanted = pa.schema({"a": then, "c": pa.string()})
    if not fits:
        with pytest.raises(InputError, match="column 'a' of a batch must be of type"):
            table_as(table, wanted)
        return
    found = columns_of(table_as(table, wanted))
    assert found.schema == wanted
    assert found["c"].null_count == 1


# ------------------------------------------------ following a folder


def put(folder, name, table):
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / name, row_group_size=300)


def test_follow__mixed_files_are_read_as_the_first_batch_was(tmp_path, table):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    put(source, "a.parquet", table.slice(0, 700))
    put(source, "b.parquet", table.slice(700, 700).drop_columns(["amount"]))
    command = ["follow", str(source), str(target), "--labels", "late", "--size", "60", "--once"]
    first = CliRunner().invoke(cli, command)
    assert first.exit_code == 0, first.stderr
    profile = open_coreset(target).summary.dataset.profile
    # of both files
    assert (profile["rows"], profile["sampled"]) == (1400, 1400)
    put(source, "c.parquet", mixed_table(600, seed=3, cities=("Oslo", "Rome", "Bergen")))
    then = CliRunner().invoke(cli, command)
    assert then.exit_code == 0, then.stderr
    assert "batch 2: 600 new rows, 2,000 in all" in then.output
    assert "counted as other: city (" in then.output
    coreset = open_coreset(target)
    assert coreset.summary.dataset.profile == profile
    assert coreset.provenance["rows"] == 2000


def test_follow__another_reading_is_refused(tmp_path, table):
    source, target = tmp_path / "in", str(tmp_path / "out.zarr")
    put(source, "a.parquet", table)
    settings = Settings.of("random", None, None, 40, None)
    list(follow(str(source), target, settings, once=True))
    with pytest.raises(InputError, match="column 'city' must be read as category, as it was when"):
        list(follow(str(source), target, settings, opening={"columns": {"city": "text"}}))
    other = open_dataset(source, columns={"city": "text"}).profile
    with pytest.raises(InputError, match="profile must be as it was when the target began"):
        list(follow(str(source), target, settings, opening={"profile": other}))
    with pytest.raises(
        InputError, match="target must be a zarr group for the subset of a source that is followed"
    ):
        list(follow(str(source), str(tmp_path / "out.parquet"), settings))
