"""Frames of other libraries as tables: the same rows and types, lazily, or refused by column."""

import datetime
import decimal
import pickle
from itertools import pairwise

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ads
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

from dask_distill import InputError
from dask_distill.data import frames_pandas, rows
from dask_distill.data.frames import is_frame, table_of_frame
from dask_distill.data.table import TablePart

N = 60
rng = np.random.default_rng(0)
DAYS = pd.date_range("2020-03-28", periods=N, freq="7h")


def whole(table, columns=None):
    """All rows of a table, as what a worker would read of its parts."""
    parts = [pickle.loads(pickle.dumps(part)) for part in dask.compute(*table.parts)]
    assert all(isinstance(part, TablePart) for part in parts)
    assert tuple(part.rows for part in parts) == table.rows
    assert all(part.schema.equals(table.schema) for part in parts)
    return pa.concat_tables([part.read(columns) for part in parts])


def frame_of_all_kinds():
    """A pandas frame with a column of each type that Arrow holds."""
    text = np.array(["a", None, "ü"], object)[np.arange(N) % 3]
    return pd.DataFrame(
        {
            "int": np.arange(N, dtype=np.int16),
            "float": np.where(np.arange(N) % 7 == 0, np.nan, rng.normal(size=N)),
            "half": rng.normal(size=N).astype(np.float16),
            "flag": np.arange(N) % 2 == 0,
            "nullable": pd.array([None if i % 5 == 0 else i for i in range(N)], "Int32"),
            "nullable_flag": pd.array([None, True, False] * (N // 3), "boolean"),
            "arrow": pd.array([None if i % 5 == 0 else i for i in range(N)], "int8[pyarrow]"),
            "decimal": pd.array(
                [decimal.Decimal(i) / 4 for i in range(N)], pd.ArrowDtype(pa.decimal128(9, 2))
            ),
            "text": pd.Series(text, dtype="str"),
            "arrow_text": pd.Series(text, dtype="string[pyarrow]"),
            "object_text": pd.Series(text, dtype=object),
            "category": pd.Categorical(text),
            "ordered": pd.Categorical(text, categories=["ü", "a"], ordered=True),
            "when": DAYS.tz_localize(None),
            "there": DAYS.tz_localize("UTC").tz_convert("Europe/Berlin"),
            "nat": pd.Series(DAYS).where(np.arange(N) % 4 != 0),
            "lasts": pd.to_timedelta(np.arange(N), unit="min"),
            "day": pd.Series(DAYS.date, dtype=object),
            "list": pd.Series([[float(i), 1.0] for i in range(N)], dtype=object),
            "struct": pd.Series([{"a": i, "b": "x"} for i in range(N)], dtype=object),
            "bytes": pd.Series([bytes([i]) for i in range(N)], dtype=object),
            "whole_objects": pd.Series([None if i == 3 else i for i in range(N)], dtype=object),
        }
    )


ALL = frame_of_all_kinds()


# ---------------------------------------------------------------- pandas


def test_table_of_frame__pandas_columns_come_back_as_they_were():
    table = table_of_frame(ALL)
    assert table.n == N
    assert table.schema.names == list(ALL.columns)
    found = whole(table)
    assert found.equals(pa.Table.from_pandas(ALL, preserve_index=False))
    arrow = ["decimal", "arrow", "arrow_text"]
    back = found.to_pandas().astype({name: ALL[name].dtype for name in arrow})
    exact = [name for name in ALL if name not in ("list", "whole_objects", "object_text")]
    pd.testing.assert_frame_equal(back[exact], ALL[exact])
    assert back["object_text"].fillna("").tolist() == ALL["object_text"].fillna("").tolist()
    assert np.array_equal(np.stack(back["list"]), np.array(ALL["list"].tolist()))
    assert back["whole_objects"].isna().tolist() == ALL["whole_objects"].isna().tolist()


@pytest.mark.parametrize(
    ("index", "more"),
    [
        (pd.RangeIndex(N), []),
        (pd.RangeIndex(5, 5 + N), []),
        (pd.Index(np.arange(N)[::-1]), []),
        (pd.Index(np.arange(N)[::-1], name="id"), ["id"]),
        (pd.RangeIndex(N, name="id"), ["id"]),
        (DAYS.rename("when"), ["when"]),
        (pd.MultiIndex.from_arrays([DAYS, np.arange(N)], names=["day", None]), ["day"]),
        (pd.MultiIndex.from_arrays([DAYS, np.arange(N)], names=["day", "n"]), ["day", "n"]),
        (pd.MultiIndex.from_arrays([DAYS, np.arange(N)]), []),
    ],
)
def test_table_of_frame__an_index_with_a_name_is_a_column(index, more):
    frame = ALL[["int", "text"]].set_axis(index)
    found = whole(table_of_frame(frame))
    assert found.column_names == ["int", "text", *more]
    for name in more:
        assert found.column(name).to_pylist() == index.get_level_values(name).tolist()
    # and an index again, for who reads it with pandas
    assert list(filter(None, found.to_pandas().index.names)) == more


def test_table_of_frame__names_that_are_no_text_become_text():
    assert table_of_frame(pd.DataFrame({0: [1], "a": [2], 1.5: [3]})).schema.names == [
        *("0", "a", "1.5")
    ]


def test_table_of_frame__exact_times_among_objects():
    exact = pd.Timestamp("2020-01-01 00:00:00.123456789")
    short = pd.Timedelta(1, "ns")
    frame = pd.DataFrame({"at": [exact, None], "lasts": [short, None]}, dtype=object)
    found = whole(table_of_frame(frame)).to_pandas()
    assert found["at"][0] == exact
    assert found["lasts"][0] == short


def test_table_of_frame__numbers_of_other_machines():
    frame = pd.DataFrame({"a": np.array([1, 258], ">i4"), "b": np.array([0.5, 2], ">f8")})
    assert whole(table_of_frame(frame)).to_pydict() == {"a": [1, 258], "b": [0.5, 2.0]}


class GeometryDtype(pd.api.extensions.ExtensionDtype):
    """As geopandas names its own."""

    name = "geometry"
    type = object

    @classmethod
    def construct_array_type(cls):
        return Geometry


class Geometry(pd.api.extensions.ExtensionArray):
    """An array of a type that pandas does not know."""

    dtype = GeometryDtype()

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, place):
        return Geometry(len(range(self.n)[place])) if isinstance(place, slice) else None

    def isna(self):
        return np.zeros(self.n, bool)

    def copy(self):
        return self


BAD_COLUMNS = [
    ([1, "x"], r"hold values of one type, got int, str; make it one, e.g. with frame\['c'\].as"),
    (["x", 1], "hold values of one type, got int, str"),
    ([True, 1], "hold values of one type, got bool, int"),
    ([b"x", "y"], "hold values of one type, got bytes, str"),
    ([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 3)], "got date, datetime"),
    ([datetime.datetime(2020, 1, 1, 3), datetime.date(2020, 1, 1)], "got date, datetime"),
    ([1 + 2j, None], "hold what Arrow can hold, got complex .*; convert it, or drop it"),
    ([np.zeros((2, 2)), np.ones((2, 2))], "hold what Arrow can hold, got ndarray"),
    ([2**70, 1], "hold what Arrow can hold, got int .*too large"),
    (["a\ud800", "b"], "hold what Arrow can hold, got str .*surrogates"),
    (pd.Categorical([1, "a"]), "hold values of one type, got int, str"),
    (np.array([1, 2], complex), "hold what Arrow can hold, got complex128"),
    (pd.array([0, 1], "Sparse[int]"), r"got Sparse\[int64, 0\]; .*frame\['c'\].sparse.to_dense\("),
    (pd.interval_range(0, 2), r"got interval\[int64, right\]; take its bounds"),
    (pd.period_range("2020", periods=2, freq="D"), r"got period\[D\]; .*dt.to_timestamp\(\)"),
    (Geometry(2), r"got geometry; make bytes .*frame\['c'\].to_wkb\(\), or drop it"),
]


@pytest.mark.parametrize(("values", "words"), BAD_COLUMNS)
def test_table_of_frame__refuses_what_arrow_cannot_hold(values, words):
    objects = isinstance(values, list)
    column = pd.Series(values, dtype=object if objects else None, name="c")
    frame = pd.DataFrame({"a": [1, 2]}).assign(c=column)
    with pytest.raises(InputError, match=f"^column 'c' must .*{words}"):
        table_of_frame(frame)


def test_table_of_frame__refuses_an_index_that_arrow_cannot_hold():
    frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index([1, "x"], name="id"))
    with pytest.raises(InputError, match=r"^column 'id' must hold .* got int, str; make"):
        table_of_frame(frame)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "columns of different names, got 'a' twice"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), "columns of different names, got '1' twice"),
        (
            pd.DataFrame({"a": [1]}, index=pd.Index([2], name="a")),
            "columns of different names, got 'a' twice",
        ),
        (pd.DataFrame({("a", "b"): [1]}), "one name a column, got 2 levels of names; join them"),
        (pd.DataFrame({"a": []}), "at least one row, got a table without any"),
        (pd.DataFrame(index=[1, 2]), "at least one column, got a frame without any"),
        (pa.table({"a": pa.array([], pa.int8())}), "at least one row"),
        (pa.table([[1], [2]], ["a", "a"]), "columns of different names, got 'a' twice"),
        (pl.DataFrame(), "at least one column"),
        (pl.LazyFrame({"a": [1]}), r"got polars.LazyFrame; collect\(\) it, or sink_parquet\(\)"),
        (xr.Dataset({"a": ("r", [1.0]), "b": ("q", [2.0])}), "share one dimension, .*got none"),
        (xr.Dataset(), "share one dimension, the rows, got none"),
        (xr.Dataset({"a": (("r", "q"), [[1.0]])}), r"got 2 \(q, r\); .* of several with stack\("),
        (ads.dataset(pa.table({"a": [1]})), r"one of tables in memory; pass its to_table\(\)"),
    ],
)
def test_table_of_frame__refuses_frames(frame, words):
    with pytest.raises(InputError, match=f"^features must .*{words}"):
        table_of_frame(frame)


# ---------------------------------------------------------------- polars and Arrow


def test_table_of_frame__polars():
    frame = pl.DataFrame(
        {
            "a": [1, None, 3],
            "nan": [float("nan"), None, 1.0],
            "text": ["x", None, "ü"],
            "kind": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
            "few": pl.Series(["x", "y", "x"], dtype=pl.Enum(["y", "x"])),
            "day": [datetime.date(2020, 1, 1), None, datetime.date(2020, 1, 3)],
            "at": pl.Series([datetime.datetime(2020, 1, 1), None, None]).dt.replace_time_zone(
                "UTC"
            ),
            "vector": pl.Series([[1.0, 2.0]] * 3, dtype=pl.Array(pl.Float32, 2)),
            "struct": [{"a": 1}, {"a": 2}, None],
        }
    )
    found = whole(table_of_frame(frame))
    assert found.schema.field("text").type == pa.large_string()
    assert pl.from_arrow(found).equals(frame)


@pytest.mark.parametrize(
    "values", [pl.Series([object(), 1], dtype=pl.Object), pl.Series([1, 2], dtype=pl.Int128)]
)
def test_table_of_frame__polars_types_that_arrow_does_not_have(values):
    frame = pl.DataFrame({"a": [1, 2], "o": values})
    with pytest.raises(InputError, match=f"^column 'o' must be .* got {values.dtype}; cast it"):
        table_of_frame(frame)


def test_table_of_frame__arrow_tables_and_batches_keep_types_and_metadata():
    table = pa.Table.from_pandas(ALL).replace_schema_metadata({"mine": "kept"})
    assert whole(table_of_frame(table)).equals(table, check_metadata=True)
    batch = pa.RecordBatch.from_pandas(ALL[["int", "text"]])
    assert whole(table_of_frame(batch)).equals(pa.Table.from_batches([batch]))


def test_table_of_frame__in_memory_parts_travel_alone(monkeypatch):
    monkeypatch.setattr(rows, "_CHUNK_BYTES", 64 * 1024)
    table = table_of_frame(pd.DataFrame({"a": np.arange(100_000), "t": ["some text"] * 100_000}))
    assert len(table.parts) > 10
    assert max(len(pickle.dumps(part)) for part in table.parts) < 100_000
    assert whole(table).column("a").to_pylist() == list(range(100_000))
    few = table.take(np.array([5, 50_000, 99_999]))
    assert max(len(pickle.dumps(part)) for part in few.parts) < 2_000
    assert whole(few).column("a").to_pylist() == [5, 50_000, 99_999]


def test_table_of_frame__of_a_task_the_rows_that_are_taken_are_kept():
    table = table_of_frame(dd.from_pandas(pd.DataFrame({"a": np.arange(100_000)}), npartitions=2))
    few = table.take(np.array([5, 60_000]))
    assert max(len(pickle.dumps(part)) for part in dask.compute(*few.parts)) < 2_000
    assert whole(few).column("a").to_pylist() == [5, 60_000]


class Stream:
    """A table of a library that hands it over by Arrow's protocol."""

    columns = ("a",)

    def __init__(self, inner):
        self.inner = inner

    def __arrow_c_stream__(self, requested_schema=None):
        return self.inner.__arrow_c_stream__(requested_schema)


def test_is_frame():
    table = pa.table({"a": [1]})
    frames = [
        ALL,
        dd.from_pandas(ALL[["int"]], 2),
        pl.DataFrame(ALL[["int"]]),
        table,
        Stream(table),
    ]
    assert all(map(is_frame, [*frames, xr.Dataset({"a": ("r", [1])}), pl.LazyFrame({"a": [1]})]))
    others = [ALL["int"], frames[1]["int"], pl.Series([1]), table["a"], table.to_reader()]
    assert not any(map(is_frame, [*others, xr.DataArray([1]), np.zeros((2, 2)), {"a": [1]}, None]))
    assert whole(table_of_frame(frames[-1])).equals(table)


@pytest.fixture
def folder(tmp_path):
    for k in (1, 2):
        (tmp_path / f"k={k}").mkdir()
        table = pa.table({"a": np.arange(10) + 10 * k, "t": ["x", None] * 5})
        pq.write_table(table, tmp_path / f"k={k}/x.parquet", row_group_size=3)
    return tmp_path


def test_table_of_frame__arrow_datasets_are_read_by_row_group(folder):
    data = ads.dataset(folder, partitioning="hive")
    table = table_of_frame(data)
    assert table.rows == (3, 3, 3, 1) * 2
    assert [first for _, first in table.files] == [0, 10]
    assert whole(table).equals(data.to_table())
    assert whole(table, ["k", "a"]).equals(data.to_table(["k", "a"]))
    part = table.parts[5]
    assert part.read(["a"], 1, 2)["a"].to_pylist() == [24]
    assert part.read(["a"], 2, 99)["a"].to_pylist() == [25]
    assert part.take(np.array([0, 2]), ["k", "a"]).to_pydict() == {"k": [2, 2], "a": [23, 25]}
    assert part.take(np.array([], np.int64)).num_rows == 0
    with pytest.raises(InputError, match=r"got one with a filter; read it with to_table\(\)"):
        table_of_frame(data.filter(ads.field("a") > 11))


def test_table_of_frame__arrow_datasets_of_other_formats(tmp_path):
    ALL[["int", "flag"]].to_csv(tmp_path / "a.csv", index=False)
    data = ads.dataset(tmp_path / "a.csv", format="csv")
    assert whole(table_of_frame(data)).equals(data.to_table())


# ---------------------------------------------------------------- dask

PLAIN = [name for name in ALL if name not in ("half",)]


@pytest.mark.parametrize("convert", [True, False])
@pytest.mark.parametrize("npartitions", [1, 4])
def test_table_of_frame__dask_columns_are_those_of_pandas(npartitions, convert):
    with dask.config.set({"dataframe.convert-string": convert}):
        lazy = dd.from_pandas(ALL[PLAIN], npartitions=npartitions)
        found = whole(table_of_frame(lazy)).to_pandas()
        expected = whole(table_of_frame(lazy.compute())).to_pandas()
    for name in ("list", "struct") if not convert else ():
        assert list(map(str, found.pop(name))) == list(map(str, expected.pop(name)))
    pd.testing.assert_frame_equal(found, expected, check_categorical=False)


def pieces(*frames, meta=None):
    """A dask frame of these partitions, without divisions."""
    return dd.from_map(lambda at: frames[at], range(len(frames)), meta=meta)


def column_of(*partitions, dtype=object, meta=None):
    """The one column of a dask frame whose partitions hold these values."""
    frames = [pd.DataFrame({"c": pd.Series(values, dtype=dtype)}) for values in partitions]
    with dask.config.set({"dataframe.convert-string": False}):
        lazy = pieces(*frames, meta=frames[0].iloc[:0] if meta is None else meta)
        found = whole(table_of_frame(lazy))
    return found.column("c")


@pytest.mark.parametrize(
    ("partitions", "dtype", "kind"),
    [
        ([["a", None], [None, None], ["b"]], object, pa.string()),
        ([[None, None], ["a"]], object, pa.string()),
        ([[], ["a"], [], ["b"]], object, pa.string()),
        ([[1, None], [2.5]], object, pa.float64()),
        ([[True, None], [False]], object, pa.bool_()),
        ([[None], [None]], object, pa.null()),
        ([[b"a"], [None, b"b"]], object, pa.binary()),
        ([[[1]], [[]], [[2, 3], None]], object, pa.list_(pa.int64())),
        ([[{"a": 1, "b": None}], [{"a": None, "b": "x"}]], object, None),
        ([[datetime.date(2020, 1, 1)], [None]], object, pa.date32()),
        (
            [["a", "b"], ["c", None], [None]],
            "category",
            pa.dictionary(pa.int32(), pa.large_string()),
        ),
        ([[None], [3, 4], [5]], "category", pa.dictionary(pa.int32(), pa.int64())),
        ([[None], [None]], "category", pa.dictionary(pa.int32(), pa.float64())),
        ([["a"], [None], []], "str", pa.large_string()),
        ([[1], [None], []], "Int8", pa.int8()),
        ([[True], [None], []], "boolean", pa.bool_()),
        ([[1], [None]], "int32[pyarrow]", pa.int32()),
    ],
)
def test_table_of_frame__dask_partitions_get_one_type(partitions, dtype, kind):
    found = column_of(*partitions, dtype=dtype)
    assert found.to_pylist() == [value for values in partitions for value in values]
    assert kind is None or found.type == kind


def test_table_of_frame__categories_of_many_partitions_are_more_than_a_byte_counts():
    partitions = [[f"{at}-{i}" for i in range(100)] for at in range(4)]
    found = column_of(*partitions, dtype="category").combine_chunks()
    assert found.to_pylist() == [text for values in partitions for text in values]


@pytest.mark.parametrize(
    ("partitions", "dtype", "words"),
    [
        ([["a"], [1]], object, "of one type in all partitions, got string in one and int64 in ano"),
        ([["a"], [b"a"]], object, "got string in one and binary in another; convert it, e.g."),
        ([[True], [2]], object, "got bool in one and int64 in another"),
        ([["a"], [1]], "category", "got dictionary<.*string.*int64.*; convert it"),
        ([[2**60 + 1], [0.5]], object, "got int64 that does not fit double"),
        ([["a"], ["b", 1]], object, "hold values of one type, got int, str"),
    ],
)
def test_table_of_frame__dask_partitions_that_do_not_go_together(partitions, dtype, words):
    with pytest.raises(InputError, match=f"^column 'c' must .*{words}"):
        column_of(*partitions, dtype=dtype)


def test_table_of_frame__dask_partitions_of_other_columns_than_said():
    frames = [pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})]
    with pytest.raises(InputError, match="same columns in all partitions, got b in partition 1"):
        table_of_frame(pieces(*frames, meta=frames[0]))
    # what a partition holds counts, not what was said of it
    assert column_of([1.5], [2], dtype=None, meta=pd.DataFrame({"c": [1]})).to_pylist() == [1.5, 2]


def test_table_of_frame__dask_frames_without_rows():
    lazy = dd.from_pandas(ALL[["int"]], npartitions=3)
    with pytest.raises(InputError, match="at least one row, got a table without any"):
        table_of_frame(lazy[lazy["int"] > N])


@pytest.mark.parametrize(("values", "words"), BAD_COLUMNS[-4:-1])
def test_table_of_frame__dask_types_are_refused_before_anything_is_read(values, words):
    def read(at):
        raise AssertionError("read")

    meta = pd.DataFrame({"a": [1, 2], "c": pd.Series(values)})
    with pytest.raises(InputError, match=f"^column 'c' must .*{words}"):
        table_of_frame(dd.from_map(read, [0, 1], meta=meta.iloc[:0]))


WAYS = {
    "read": lambda lazy: lazy,
    "picked": lambda lazy: lazy[["text", "int"]],
    "one": lambda lazy: lazy[["int"]],
    "filtered": lambda lazy: lazy[lazy["int"] % 3 == 0],
    "emptied": lambda lazy: lazy[lazy["int"] > 50],
    "dropped": lambda lazy: lazy.drop(columns=["float", "when"]),
    "without nulls": lambda lazy: lazy.dropna(subset=["text"]),
    "persisted": lambda lazy: lazy[["int", "text"]].persist(),
    "assigned": lambda lazy: lazy.assign(twice=lazy["int"] * 2, t=lazy["text"].str.upper()),
    "categories": lambda lazy: lazy.assign(kind=lazy["text"].astype("category")),
    "known categories": lambda lazy: lazy.categorize(columns=["text"]),
    "repartitioned": lambda lazy: lazy.repartition(npartitions=2),
    "joined": lambda lazy: dd.concat([lazy, lazy[["text", "int"]]]),
    "indexed": lambda lazy: lazy.set_index("int"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("files", [1, 6])
def test_table_of_frame__dask_frames_of_parquet(tmp_path, files, way):
    """Reading merges files where few columns are picked (dask#12411)."""
    frame = ALL[["int", "float", "text", "when", "there", "nullable"]]
    for at in range(files):
        frame[at * N // files : (at + 1) * N // files].to_parquet(tmp_path / f"{at}.parquet")
    lazy = WAYS[way](dd.read_parquet(tmp_path))
    assert way in ("indexed", "persisted", "known categories") or not lazy.known_divisions
    found = whole(table_of_frame(lazy))
    # what is picked and persisted dask itself can no longer compute
    expected = frame[["int", "text"]] if way == "persisted" else lazy.compute()
    if way == "indexed":
        expected = expected.reset_index()[[*found.column_names]]
    assert found.num_rows == len(expected)
    pd.testing.assert_frame_equal(
        found.to_pandas(ignore_metadata=True).astype(expected.dtypes.to_dict()),
        expected.reset_index(drop=True),
        check_categorical=False,
    )


def test_table_of_frame__dask_partitions_are_looked_at_once():
    reads = []

    def read(at):
        reads.append(at)
        return pd.DataFrame({"a": [at, at], "t": ["x", None]})

    lazy = dd.from_map(read, range(4), meta=read(0))
    reads.clear()
    table = table_of_frame(lazy)
    assert sorted(reads) == [0, 1, 2, 3]
    dask.compute(*table.parts[:1])
    assert len(reads) == 5


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 12), max_size=4),
    kind=st.sampled_from(["str", "category", object]),
)
def test_table_of_frame__same_values_for_any_partitions(values, cuts, kind):
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    partitions = [values[a:b] for a, b in pairwise(edges)]
    assert column_of(*partitions, dtype=kind).to_pylist() == values


# ---------------------------------------------------------------- xarray


def dataset_of_all_kinds():
    numbers = np.where(np.arange(N) % 7 == 0, np.nan, np.arange(N))
    return xr.Dataset(
        {
            "speed": ("row", numbers, {"units": "m/s"}),
            "kind": ("row", np.array(["a", "b", "cc"])[np.arange(N) % 3]),
            "text": ("row", np.array(["a", None, "ü"], object)[np.arange(N) % 3]),
            "bytes": ("row", np.array([b"a", b"bc"])[np.arange(N) % 2]),
            "flag": ("row", np.arange(N) % 2 == 0),
            "lasts": ("row", np.arange(N).astype("m8[s]")),
            "spectrum": (("band", "row"), rng.normal(size=(3, N)).astype(">f4")),
        },
        coords={"when": ("row", DAYS), "row": np.arange(N)[::-1], "band": [1, 2, 3], "run": 7},
    )


@pytest.mark.parametrize("chunks", [None, {"row": 17}, {"row": 60, "band": 2}, "file"])
def test_table_of_frame__xarray_variables_are_columns(tmp_path, monkeypatch, chunks):
    data = dataset_of_all_kinds()
    given = data if chunks is None else data.chunk(chunks if chunks != "file" else {})
    if chunks == "file":
        monkeypatch.setattr(rows, "_CHUNK_BYTES", 256)
        data = data.assign(kind=data["kind"].astype(np.dtypes.StringDType()))
        data.drop_vars(["bytes", "text"]).to_zarr(tmp_path / "a.zarr", consolidated=False)
        given = xr.open_zarr(tmp_path / "a.zarr", chunks=None, consolidated=False)
        data = data.drop_vars(["bytes", "text"])
    found = whole(table_of_frame(given))
    assert sorted(found.column_names) == sorted([*data.data_vars, "when", "row"])
    assert found.schema.field("spectrum").type == pa.list_(pa.float32(), 3)
    expected = {
        "speed": [None if np.isnan(v) else v for v in data["speed"].values.tolist()],
        "kind": data["kind"].values.tolist(),
        "flag": data["flag"].values.tolist(),
        "row": list(range(N))[::-1],
        "spectrum": data["spectrum"].values.T.tolist(),
        "when": list(DAYS),
        "lasts": [datetime.timedelta(seconds=i) for i in range(N)],
    }
    if chunks != "file":
        expected |= {"text": ["a", None, "ü"] * (N // 3), "bytes": ["a", "bc"] * (N // 2)}
    for name, values in expected.items():
        assert found.column(name).to_pylist() == values, name


def test_table_of_frame__xarray_levels_of_a_stacked_axis_are_columns():
    grid = xr.Dataset({"t": (("y", "x"), rng.normal(size=(2, 3)))}, coords={"x": [1, 2, 3]})
    found = whole(table_of_frame(grid.stack(cell=("y", "x"))))
    assert found.column_names == ["t", "y", "x"]
    assert found["x"].to_pylist() == [1, 2, 3] * 2


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"c": (("r", "q", "p"), np.zeros((2, 2, 2)))}, "one vector of numbers a row, got float64"),
        ({"c": (("r", "q"), np.array([["x"], ["y"]]))}, "one vector of numbers a row, got <U1 of"),
        ({"c": ("r", np.array([1, "x"], object))}, "hold values of one type, got int, str"),
        ({"c": ("r", [1, 2], {"scale_factor": 0.1})}, "be the numbers they seem"),
    ],
)
def test_table_of_frame__xarray_refusals(variables, words):
    data = xr.Dataset({"a": ("r", [1, 2]), **variables})
    with pytest.raises(InputError, match=f"^column 'c' must .*{words}"):
        table_of_frame(data)


# ---------------------------------------------------------------- Hugging Face


def test_table_of_frame__hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_dict(
        {"a": list(range(N)), "text": ["x", None] * (N // 2), "e": [[1.0, 2.0]] * N}
    )
    assert whole(table_of_frame(data)).equals(data.with_format("arrow")[:])
    data.save_to_disk(tmp_path / "d")
    stored = datasets.load_from_disk(tmp_path / "d")
    for version in (
        stored,
        stored.shuffle(seed=0),
        stored.with_format("numpy"),
        stored.select([5]),
    ):
        table = table_of_frame(version)
        expected = version.with_format("arrow")[:]
        assert whole(table).equals(expected)
        assert b"huggingface" in table.schema.metadata
        # its files are named, rows are not in it
        assert len(pickle.dumps(table.parts[0])) < 5_000 or version.num_rows == 1
    part = table_of_frame(stored.shuffle(seed=0)).parts[0]
    assert part.take(np.array([3, 7]), ["a"])["a"].to_pylist() == [
        expected_row["a"] for expected_row in stored.shuffle(seed=0).select([3, 7])
    ]
    assert part.read([], 2, 5).num_rows in (0, 3)
    with pytest.raises(InputError, match="DatasetDict; pick one split of 'train'"):
        table_of_frame(datasets.DatasetDict(train=data))


def test_is_misread__asks_only_where_arrow_guesses():
    assert not frames_pandas._is_misread(pd.Series(["a"], dtype=object), pa.string())
