"""Parquet as people have it: several files, names of all kinds, types that drift, splits."""

import json
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, InputWarning, distill, open_coreset, open_dataset
from dask_distill.cli.main import cli
from dask_distill.sources import files as source_files
from dask_distill.sources.arrow_groups import table_of
from dask_distill.sources.columns import common_columns
from dask_distill.sources.files import DataFile
from dask_distill.sources.footers import read_footers
from dask_distill.storage.location import Location

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, start=0, rows=4, **more):
    """Rows numbered in column a."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    columns = {"a": np.arange(start, start + rows, dtype="f8")} | more
    pq.write_table(pa.table(columns), path)
    return start + rows


def numbers(source, **more):
    return open_dataset(source, **more).features[:, 0].compute().tolist()


def refused(*parts):
    return pytest.raises(InputError, match="(?s)" + "".join(f"(?=.*{part})" for part in parts))


def command(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


# ---------------------------------------------------------------- exact integers


def ids(**options):
    X = rng.normal(size=(1000, 2))
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": (X[:, 0] > 0).astype(int)})
    table = table.append_column("id", pa.array(np.arange(1000) + 2**60))
    pq.write_table(table, "f.parquet", row_group_size=300, **options)


@pytest.mark.parametrize("statistics", [True, False])
def test_run__carried_integers_are_exact_whatever_footers_tell(statistics):
    ids(write_statistics=statistics)
    words = ("f.parquet", "--carry", "id", "--fraction", "0.1")
    command("plan", *words)
    command("run", *words[:1], "out.zarr", *words[1:], "--workers", "1", "--quiet")
    coreset = open_coreset("out.zarr")
    found = coreset.carry["id"].compute()
    assert found.dtype == np.int64
    assert (found == coreset.indices + 2**60).all()
    assert coreset.labels.dtype == np.int64


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "uint64", "bool"])
def test_open_dataset__types_without_statistics_are_those_of_the_values(kind):
    values = pa.array([1, 0, 1]).cast(kind)
    table = pa.table({"a": [1.0] * 3, "v": values, "w": values})
    pq.write_table(table, "f.parquet", write_statistics=False)
    dataset = open_dataset("f.parquet", features="a", labels="v", carry=["w"])
    for array in (dataset.labels, dataset.carry["w"]):
        assert array.dtype == np.dtype(kind)
        assert array.compute().tolist() == values.to_pylist()


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize(
    ("values", "fits"),
    [
        ([2**53, None], True),
        ([-(2**53) - 1, None], False),
        ([2**53 + 1, 1], True),
        ([None, None], True),
    ],
)
def test_open_dataset__integers_that_floats_would_round_are_refused_at_once(
    values, fits, statistics
):
    table = pa.table({"a": [1.0, 2.0], "id": pa.array(values, pa.int64())})
    pq.write_table(table, "f.parquet", write_statistics=statistics, row_group_size=1)
    if fits:
        found = open_dataset("f.parquet", features="a", carry=["id"]).carry["id"].compute()
        assert [None if np.isnan(v) else int(v) for v in found] == values
        return
    with refused("carry 'id'", r"±2\*\*53", str(values[0]), "store it as text"):
        open_dataset("f.parquet", features="a", carry=["id"])


def test_open_dataset__large_unsigned_integers_beside_nulls_are_refused_at_once():
    """Their statistics are of signed numbers."""
    table = pa.table({"a": [1.0, 2.0], "id": pa.array([2**64 - 1, None], pa.uint64())})
    pq.write_table(table, "f.parquet")
    with refused("carry 'id'", str(2**64 - 1)):
        open_dataset("f.parquet", features="a", carry=["id"])


# ---------------------------------------------------------------- types that drift


def drifting(one, other, **more):
    """Two files whose columns v have these values."""
    write("p/0.parquet", 0, len(one), v=one)
    write("p/1.parquet", len(one), len(other), v=other)
    return open_dataset("p", **more)


@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [
        ("int64", "int32", "i8"),
        ("int8", "uint8", "i2"),
        ("uint32", "int32", "i8"),
        ("int32", "float", "f8"),
        ("int16", "float", "f4"),
        ("int64", "double", "f8"),
        ("float", "double", "f8"),
    ],
)
def test_open_dataset__numbers_of_other_widths_are_widened(one, other, dtype):
    values = [1, 2, 3]
    dataset = drifting(
        pa.array(values).cast(one), pa.array(values).cast(other), features="a", carry=["v"]
    )
    found = dataset.carry["v"].compute()
    assert found.dtype == dataset.carry["v"].dtype == np.dtype(dtype)
    assert found.tolist() == values * 2


def test_open_dataset__dates_and_decimals_of_other_widths_are_widened():
    moments = pa.array([0, 1], pa.timestamp("ms"))
    dataset = drifting(moments, moments.cast(pa.timestamp("us")), features="a", carry=["v"])
    assert dataset.carry["v"].dtype == "M8[us]"
    assert dataset.carry["v"].compute().astype(int).tolist() == [0, 1000] * 2
    amounts = pa.array([1, 2]).cast(pa.decimal128(20, 1)).cast(pa.decimal128(8, 1))
    dataset = drifting(amounts, amounts.cast(pa.decimal128(10, 2)), features="v")
    assert dataset.features[:, 0].compute().tolist() == [1, 2, 1, 2]


UNFIT = {
    "text and numbers": (["x", "y"], [1, 2]),
    "booleans and numbers": ([True, False], [1, 2]),
    "signed and unsigned": (pa.array([1, 2], pa.int64()), pa.array([1, 2], pa.uint64())),
    "dates with a zone and without": (
        pa.array([0], pa.timestamp("s")),
        pa.array([0], pa.timestamp("s", "UTC")),
    ),
}


@pytest.mark.parametrize("kind", UNFIT)
def test_open_dataset__types_that_nothing_holds_matter_only_where_they_are_used(kind):
    dataset = drifting(*UNFIT[kind], features="a", labels=False)
    assert dataset.columns == ("a",)
    left = {use.name: use.why for use in dataset.uses if use.role == "left out"}
    assert left == {"v": "not the same in all files"}
    with refused("carry 'v'", "of type", r"p/1\.parquet", "write them alike"):
        open_dataset("p", features="a", carry=["v"])
    with refused("labels 'v'"):
        open_dataset("p", features="a", labels="v")


def test_open_dataset__a_number_that_drifts_is_not_left_out_in_silence():
    with refused("features must be columns whose types go together", "'v'", "name columns"):
        drifting([1, 2], ["x", "y"], features="a,v")
    found = drifting(["x", "y"], [1, 2], columns={"a": "number"})
    assert [(use.name, use.why) for use in found.uses if use.role == "left out"] == [
        ("v", "not the same in all files")
    ]


def table_at(*paths):
    """All columns of files, as Arrow has them."""
    location = Location(str(Path.cwd()))
    footers = read_footers(location, [DataFile(str(Path(path).absolute())) for path in paths])
    table = table_of(location, footers, common_columns(footers))
    return pa.concat_tables([part.read() for part in table.parts])


@pytest.mark.parametrize("statistics", [True, False])
def test_open_dataset__a_column_that_a_file_lacks_is_missing_there(statistics):
    Path("p").mkdir()
    one = pa.table({"a": [1.0, 2.0], "n": [1, 2], "t": ["x", None], "b": [True, False]})
    other = pa.table({"w": pa.array([7, 8], pa.timestamp("ms")), "a": [3.0, 4.0]})
    for number, table in enumerate((one, other)):
        pq.write_table(table, f"p/{number}.parquet", write_statistics=statistics)
    dataset = open_dataset("p", features="a", carry=["n", "t", "w", "b"])
    nan = np.nan
    np.testing.assert_array_equal(dataset.carry["b"].compute(), [1, 0, nan, nan])
    np.testing.assert_array_equal(dataset.carry["n"].compute(), [1, 2, nan, nan])
    assert dataset.carry["t"].compute().tolist() == ["x", None, None, None]
    times = np.array(["NaT", "NaT", 7, 8], "M8[ms]")
    np.testing.assert_array_equal(dataset.carry["w"].compute(), times)
    whole = table_at("p/0.parquet", "p/1.parquet")
    assert whole.schema.types == [
        pa.float64(),
        pa.int64(),
        pa.string(),
        pa.bool_(),
        pa.timestamp("ms"),
    ]
    assert whole.column("n").to_pylist() == [1, 2, None, None]
    assert whole.column("b").to_pylist() == [True, False, None, None]
    assert whole.column("w").combine_chunks().to_pylist()[:2] == [None, None]


def test_open_dataset__labels_that_a_file_lacks_are_missing_labels():
    write("p/0.parquet", y=["u", "v"] * 2)
    write("p/1.parquet", 4)
    with pytest.warns(InputWarning, match=r"'y' is not in 1 of 2 files.*1\.parquet.*no label"):
        dataset = open_dataset("p", labels="y")
    assert dataset.labels.compute().tolist() == ["u", "v"] * 2 + [None] * 4
    done = command("plan", "p", "--labels", "y", "--size", "2")
    assert done.stderr.count("their rows have no label") == 1


def test_open_dataset__whole_numbers_beside_missing_ones_are_never_rounded():
    write("p/0.parquet", id=np.arange(4) + 2**53)
    write("p/1.parquet", 4)
    with refused("carry 'id'", r"2\*\*53"):
        open_dataset("p", features="a", carry=["id"])
    assert table_at("p/0.parquet", "p/1.parquet").column("id")[3].as_py() == 2**53 + 3


DRIFTS = {
    "all missing": (pa.nulls(2), pa.array(["x", "y"]), pa.string()),
    "categories": (pa.array(["x", "y"]).dictionary_encode(), pa.array(["x", "z"]), pa.string()),
    "long text": (pa.array(["x", "y"], pa.large_string()), pa.array(["x", None]), pa.string()),
    "decimals and whole numbers": (
        pa.array([1, 2]).cast(pa.decimal128(20, 1)),
        pa.array([2**62, 3]),
        pa.decimal128(21, 1),
    ),
    "a field more": (
        pa.array([{"u": 1}, None], pa.struct([("u", pa.int32())])),
        pa.array([{"u": 2**40, "v": "x"}, None]),
        pa.struct([("u", pa.int64()), ("v", pa.string())]),
    ),
    "widths within lists": (
        pa.array([[1.5], None], pa.list_(pa.float32())),
        pa.array([[1.5, 2.0], []], pa.list_(pa.float64())),
        pa.list_(pa.float64()),
    ),
    "lists of some length and of any": (
        pa.array([[1.0, 2.0], None], pa.list_(pa.float64(), 2)),
        pa.array([[1.0], [2.0]]),
        pa.list_(pa.float64()),
    ),
    "lists without values": (
        pa.array([[], None], pa.list_(pa.null())),
        pa.array([["x"], []]),
        pa.list_(pa.string()),
    ),
}


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kind", DRIFTS)
def test_table__has_the_type_that_holds_the_values_of_all_files(kind, turned):
    one, other, wide = DRIFTS[kind]
    one, other = (other, one) if turned else (one, other)
    write("p/0.parquet", 0, 2, v=one)
    write("p/1.parquet", 2, 2, v=other)
    found = table_at("p/0.parquet", "p/1.parquet").column("v")
    assert found.type == wide
    fields = {"u": None, "v": None}
    plain = [
        fields | value if isinstance(value, dict) else value
        for value in one.to_pylist() + other.to_pylist()
    ]
    assert found.to_pylist() == plain


def test_table__leaves_out_what_does_not_go_together():
    for one, other in (*UNFIT.values(), ([[1]], [{"u": 1}])):
        write("p/0.parquet", 0, len(one), v=one)
        write("p/1.parquet", 2, len(other), v=other)
        assert table_at("p/0.parquet", "p/1.parquet").column_names == ["a"]


def test_open_dataset__columns_that_nobody_asked_for_may_come_and_go():
    write("p/0.parquet", 0, c=np.arange(4))
    write("p/1.parquet", 4, comment=["x"] * 4)
    write("p/2.parquet", 8, c=np.arange(4.0), comment=["x"] * 4)
    assert numbers("p", features="a") == list(range(12))
    assert {use.name for use in open_dataset("p", features="a").uses} == {"a", "c", "comment"}


@pytest.mark.parametrize("statistics", [True, False])
def test_open_dataset__integers_beside_floats_of_other_files_are_never_rounded(statistics):
    options = {"write_statistics": statistics}
    Path("p").mkdir()
    pq.write_table(pa.table({"a": [1.0], "id": [2**53 + 1]}), "p/0.parquet", **options)
    pq.write_table(pa.table({"a": [2.0], "id": [1.5]}), "p/1.parquet", **options)
    with refused("carry 'id'", r"2\*\*53", "float64"):
        open_dataset("p", features="a", carry=["id"])
    with refused("column 'id'", "double" if not statistics else r"2\*\*53", "write them alike"):
        open_dataset("p", features="id", columns={"id": "number"})
    if statistics:
        assert table_at("p/0.parquet", "p/1.parquet").column_names == ["a"]


def test_open_dataset__values_that_the_wider_type_cannot_hold_are_told():
    far = pa.array([10**9], pa.timestamp("s"))
    dataset = drifting(far, pa.array([2**62], pa.timestamp("ns")), features="a", carry=["v"])
    assert dataset.carry["v"].dtype == "M8[ns]"
    dataset = drifting(
        pa.array([10**15], pa.timestamp("s")), pa.array([0], pa.timestamp("ns")), carry=["v"]
    )
    with refused("column 'v' must be of one type", "does not fit", "write them alike"):
        dataset.carry["v"].compute(scheduler="sync")


# ---------------------------------------------------------------- several files, and their names


def months():
    start = 0
    for month in (1, 2, 10):
        start = write(f"p/month={month}/part-0.parquet", start)
        start = write(f"p/month={month}/part-1.parquet", start)
    return [f"p/month={month}" for month in (1, 2, 10)]


def test_open_dataset__patterns_lists_and_folders_give_the_same_rows():
    folders = months()
    whole = numbers("p", features="a")
    assert whole == list(range(24))
    for source in (
        "p/*/*.parquet",
        "p/month=*",
        "p/month=*/part-[01].parquet",
        "p/**/*.parquet",
        folders,
        folders[::-1],
        [Path(name) for name in folders],
        ["p/month=10/*", *folders[:2]],
        f"file://{Path.cwd()}/p/month=*",
    ):
        dataset = open_dataset(source, features="a,month")
        assert dataset.features[:, 0].compute().tolist() == whole
        assert dataset.features[:, 1].compute().tolist() == [1] * 8 + [2] * 8 + [10] * 8
    assert numbers("p/month=1*", features="a") == [*range(8), *range(16, 24)]
    assert numbers(["p/month=2/part-1.parquet"], features="a") == [12, 13, 14, 15]


def test_open_dataset__patterns_of_other_file_systems():
    system = fsspec.filesystem("memory")
    for number in (2, 10):
        with system.open(f"/bucket/part-{number}.parquet", "wb") as file:
            pq.write_table(pa.table({"a": [float(number)]}), file)
    try:
        assert numbers("memory://bucket/part-*.parquet") == [2, 10]
        assert numbers(["memory://bucket/part-10.parquet", "memory://bucket/part-2*"]) == [2, 10]
        with refused("must lie in one place"):
            write("here.parquet")
            open_dataset(["here.parquet", "memory://bucket"])
    finally:
        system.rm("/bucket", recursive=True)


def test_open_dataset__what_a_pattern_or_list_cannot_be_is_one_sentence():
    months()
    with refused("no file has", "pattern"):
        open_dataset("p/*.parq")
    with refused("each file once", "twice"):
        open_dataset(["p/month=1", "p/month=1/part-0.parquet"])
    with refused("does not exist", "p/gone"):
        open_dataset(["p/month=1", "p/gone"])
    with refused("empty list"):
        open_dataset([])
    Path("p/notes").write_text("notes")
    with refused("must be parquet files where it is several", "p/notes"):
        open_dataset("p/*")
    with refused("must be a path or URL, got int"):
        open_dataset(["p", 3])


def test_open_dataset__a_folder_whose_name_has_signs_is_that_folder():
    write("p[1]/x.parquet")
    write("p1/x.parquet", 100)
    assert numbers("p[1]") == [0, 1, 2, 3]


def test_open_dataset__a_pattern_within_a_table_is_refused(folder):
    (folder / "t" / "_delta_log").mkdir(parents=True)
    (folder / "t" / "_delta_log" / "0.json").write_text("{}")
    write("t/x.parquet")
    for source in ("t/*.parquet", ["t/x.parquet", "t/x.parquet"][:1], "t*"):
        with refused("Delta"):
            open_dataset(source)


@pytest.mark.parametrize("name", ["part-{}", "part-{}.snappy", "{}.PARQUET", "data.parquet.{}"])
def test_open_dataset__files_are_known_by_what_they_hold(name):
    for number in (10, 2):
        write(f"p/{name.format(number)}", number, 1)
    Path("p/_SUCCESS").write_text("")
    Path("p/README.md").write_text("about")
    assert numbers("p") == [2, 10]
    assert numbers(f"p/{name.format(2)}") == [2]
    assert numbers(f"p/{name.format('*')}") == [2, 10]


def test_open_dataset__a_part_that_was_not_written_is_not_left_out():
    write("p/part-0")
    Path("p/part-1").write_bytes(b"")
    with refused("p/part-1", "is none"):
        open_dataset("p")


def test_open_dataset__a_folder_of_other_things_is_told_by_its_first_files(monkeypatch):
    monkeypatch.setattr(source_files, "_MOST_LOOKED_AT", 3)
    Path("p").mkdir()
    for number in range(5):
        Path(f"p/{number}").write_bytes(b"jpeg")
    write("p/9")
    with refused("folder without any"):
        open_dataset("p")


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(12)))
def test_open_dataset__the_order_of_a_list_does_not_matter(order):
    for number in range(12):
        if not Path(f"list/part-{number}.parquet").exists():
            write(f"list/part-{number}.parquet", number, 1)
    assert numbers([f"list/part-{number}.parquet" for number in order]) == list(range(12))


def test_run__takes_what_a_shell_makes_of_a_pattern(folder):
    start = 0
    for number in range(12):
        start = write(f"p/part-{number}.parquet", start, 50, y=np.arange(50) % 2)
    words = ("--fraction", "0.1", "--workers", "1", "--json")
    shell = sorted(str(path) for path in Path("p").iterdir())
    digests = {
        json.loads(command("run", *source, f"out-{number}.zarr", *words).stdout)["digest"]
        for number, source in enumerate([["p"], ["p/*.parquet"], shell])
    }
    rows = [open_coreset(f"out-{number}.zarr") for number in range(3)]
    assert len(digests) == 1
    for coreset in rows:
        assert (coreset.indices == rows[0].indices).all()
        assert (coreset.features.compute()[:, 0] == coreset.indices).all()
    command("plan", *shell, "--fraction", "0.1")
    sources = [word for path in shell for word in ("--source", path)]
    command("evaluate", "out-2.zarr", *sources, "--seeds", "2", "--workers", "1", "--quiet")


@pytest.mark.parametrize("target", ["p/month=1/out.zarr", "p/month=1", "p"])
def test_run__a_target_within_a_pattern_is_refused(target):
    months()
    words = ("--fraction", "0.5", "--features", "a", "--overwrite")
    done = command("run", "p/month=*", target, *words, code=2)
    assert "must not be, hold or lie in the source" in done.output


# ---------------------------------------------------------------- splits


def splits(style, rows=50):
    names = {
        "hub": ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"),
        "folders": ("train/part-0", "train/part-1", "eval/part-0"),
        "words": ("my_training_2013", "my_training_2014", "my_testing"),
    }[style]
    for number, name in enumerate(names):
        write(f"p/{name}.parquet", 100 * number, rows, y=np.arange(rows) % 2)
    return [*range(50), *range(100, 150)], list(range(200, 250))


@pytest.mark.parametrize("style", ["hub", "folders", "words"])
def test_open_dataset__splits_in_one_folder_are_warned_of_and_can_be_named(style):
    train, test = splits(style)
    with pytest.warns(InputWarning, match=r"test \(1 file\), train \(2 files\).*split="):
        assert sorted(numbers("p")) == train + test
    assert numbers("p", split="train") == train
    assert numbers("p", split="test") == test
    assert open_dataset("p", split="eval").split == "test"
    with refused("split must be one", "'dev'", "there are: test, train"):
        open_dataset("p", split="dev")


def test_open_dataset__one_split_or_none_is_no_matter(folder):
    write("p/train-0.parquet")
    write("p/train-1.parquet")
    write("q/latest.parquet")
    write("q/contest.parquet")
    assert len(numbers("p")) == len(numbers("q")) == 8
    np.savez("a.npz", X=np.zeros((3, 1)))
    with refused("split must be of a folder", "'train'", "leave it out"):
        open_dataset("a.npz", split="train")
    with refused("split must be a name"):
        open_dataset("p", split="")


@pytest.mark.parametrize("name", ["run", "plan"])
def test_command__tells_of_splits_once_and_takes_one(name):
    splits("hub")
    target = ["out.zarr", "--workers", "1"] if name == "run" else []
    words = (name, "p", *target, "--size", "20", "--json")
    done = command(*words)
    lines = [line for line in done.stderr.splitlines() if "several splits" in line]
    assert len(lines) == 1
    assert "dask-distill: warning: source" in lines[0]
    assert "--split" in lines[0]
    done = command(*words, "--split", "train", *(["--overwrite"] if target else []))
    assert "splits" not in done.stderr
    assert json.loads(done.stdout)["rows"] == 100


def test_evaluate__opens_the_split_that_was_selected_from():
    splits("hub", rows=200)
    command("run", "p", "out.zarr", "--size", "20", "--split", "train", "--quiet", "--workers", "1")
    told = open_coreset("out.zarr").provenance["input"]
    assert told["split"] == "train"
    done = command("evaluate", "out.zarr", "--source", "p", "--seeds", "2", "--workers", "1")
    assert "splits" not in done.stderr
    command("report", "out.zarr", "--source", "p", "--quiet")
    assert "--split train" in Path("out.html").read_text()


def test_follow__tells_of_splits_and_takes_one():
    splits("hub")
    words = ("follow", "p", "out.zarr", "--size", "20", "--once", "--workers", "1", "--quiet")
    done = command(*words)
    assert done.stderr.count("several splits") == 1
    done = command("follow", "p", "one.zarr", *words[3:], "--split", "test")
    assert "splits" not in done.stderr
    assert open_coreset("one.zarr").provenance["rows"] == 50


def test_distill__names_the_split_in_the_provenance():
    splits("words")
    coreset = distill(open_dataset("p", split="training"), size=5, strategy="random")
    assert coreset.provenance["input"]["split"] == "train"


def test_open_dataset__pandas_that_wrote_nulls_into_one_file_is_read():
    frame = pd.DataFrame({"a": rng.normal(size=20), "c": rng.integers(0, 9, 20), "y": [0, 1] * 10})
    Path("p").mkdir()
    frame[:10].to_parquet("p/p0.parquet", index=False)
    frame[10:].assign(c=frame.c[10:].astype("f8")).to_parquet("p/p1.parquet", index=False)
    assert open_dataset("p", features=["a"], labels="y").columns == ("a",)
    found = open_dataset("p").features.compute()
    assert (found == frame[["a", "c"]].to_numpy()).all()
