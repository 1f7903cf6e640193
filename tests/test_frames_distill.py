"""`distill` of frames: columns by name, the same rows of any kind of frame, all columns out."""

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

from dask_distill import InputError, distill, open_dataset
from dask_distill.data.table import TablePart

N = 2_000
rng = np.random.default_rng(0)
Y = rng.random(N) < 0.3
AGE = np.where(rng.random(N) < 0.1, np.nan, rng.normal(40, 10, N) + 8 * Y)
FRAME = pd.DataFrame(
    {
        "age": AGE,
        "town": np.array(["Oslo", "Rome", None], object)[rng.integers(0, 3, N)],
        "when": pd.date_range("2020", periods=N, freq="h"),
        "number": np.arange(N),
        "vip": rng.random(N) < 0.01,
        "weight": rng.random(N) + 0.5,
        "outcome": np.where(Y, "yes", "no"),
    }
)
NUMBERS = FRAME[["age", "weight"]].fillna(0.0)


def rows(table):
    """All columns of the selected rows."""
    parts = dask.compute(*table.parts)
    assert all(isinstance(part, TablePart) for part in parts)
    return pa.concat_tables([part.read() for part in parts]).to_pandas()


def in_order(frame, columns):
    """The same values, whatever library's types they went through."""
    return frame[columns].astype(object).where(frame[columns].notna(), None).to_numpy().tolist()


def parquet(tmp_path):
    FRAME.to_parquet(tmp_path / "a.parquet", row_group_size=300)
    return tmp_path / "a.parquet"


KINDS = {
    "pandas": lambda _: FRAME,
    "dask": lambda _: dd.from_pandas(FRAME, npartitions=3),
    "dask of parquet": lambda path: dd.read_parquet(parquet(path), split_row_groups=True),
    "polars": lambda _: pl.from_pandas(FRAME),
    "arrow": lambda _: pa.Table.from_pandas(FRAME),
    "batch": lambda _: pa.RecordBatch.from_pandas(FRAME),
    "arrow dataset": lambda path: ads.dataset(parquet(path)),
    "xarray": lambda _: xr.Dataset({name: ("row", FRAME[name].to_numpy()) for name in FRAME}),
    "lazy xarray": lambda _: xr.Dataset(
        {name: ("row", FRAME[name].to_numpy()) for name in FRAME}
    ).chunk({"row": 700}),
}
NAMED = {"carry": ["number"], "time": "when", "sample_weight": "weight", "protect": "vip"}


@pytest.fixture(scope="module")
def expected():
    return distill(FRAME, "outcome", fraction=0.05, **NAMED)


@pytest.mark.parametrize("kind", KINDS)
def test_distill__same_rows_of_any_kind_of_frame(tmp_path, expected, kind):
    coreset = distill(KINDS[kind](tmp_path), "outcome", fraction=0.05, **NAMED)
    assert np.array_equal(coreset.indices, expected.indices)
    assert np.array_equal(coreset.weights, expected.weights)
    assert np.array_equal(coreset.features.compute(), expected.features.compute())
    assert coreset.labels.compute().tolist() == FRAME["outcome"][coreset.indices].tolist()
    assert coreset.carry["number"].compute().tolist() == coreset.indices.tolist()
    found = rows(coreset.table)
    assert in_order(found, list(FRAME)) == in_order(FRAME.iloc[coreset.indices], list(FRAME))


def test_distill__hugging_face_data_sets_with_text(tmp_path, expected):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    data = datasets.Dataset.from_pandas(FRAME, preserve_index=False)
    data.save_to_disk(tmp_path / "d")
    for given in (data, datasets.load_from_disk(tmp_path / "d")):
        coreset = distill(given, "outcome", fraction=0.05, **NAMED)
        assert np.array_equal(coreset.indices, expected.indices)
        assert b"huggingface" in coreset.table.schema.metadata


def test_distill__same_rows_as_of_the_parquet_file(tmp_path, expected):
    dataset = open_dataset(
        parquet(tmp_path), labels="outcome", carry=["number", "vip", "when"], sample_weight="weight"
    )
    coreset = distill(dataset, fraction=0.05, time="when", protect="vip")
    assert np.array_equal(coreset.indices, expected.indices)
    assert np.array_equal(coreset.weights, expected.weights)


def test_distill__what_is_named_is_no_feature(expected):
    told = expected.provenance["input"]
    assert {name.split("=")[0].split(" ")[0] for name in told["columns"]} == {"age", "town"}
    assert (told["time"], told["sample_weight"]["name"], told["labels"]) == (
        *("when", "weight", "outcome"),
    )
    assert set(expected.carry) == {"number", "when", "vip"}
    # protected rows are there, all of them
    assert set(np.flatnonzero(FRAME["vip"])) <= set(expected.indices.tolist())
    assert expected.provenance["rows_dropped"] == 0


@pytest.mark.parametrize("kind", ["pandas", "dask", "polars"])
def test_distill__labels_as_an_array_beside_a_frame_of_any_columns(tmp_path, kind):
    frame = FRAME.drop(columns="outcome")
    given = {"pandas": frame, "dask": dd.from_pandas(frame, 3), "polars": pl.from_pandas(frame)}
    coreset = distill(given[kind], FRAME["outcome"], size=50)
    named = distill(FRAME, "outcome", size=50)
    assert np.array_equal(coreset.indices, named.indices)
    assert coreset.table.schema.names == list(frame)


def test_distill__numbers_that_are_all_there_stay_arrays():
    for frame in (NUMBERS, dd.from_pandas(NUMBERS, 3), pl.from_pandas(NUMBERS)):
        coreset = distill(frame, FRAME["outcome"], size=50, sample_weight="weight")
        plain = distill(
            NUMBERS[["age"]].to_numpy(),
            FRAME["outcome"].to_numpy(),
            size=50,
            sample_weight=NUMBERS["weight"].to_numpy(),
        )
        assert coreset.table is None
        assert np.array_equal(coreset.indices, plain.indices)
        assert coreset.features.dtype == np.float64


@pytest.mark.parametrize("kind", ["Int32", "int32[pyarrow]"])
def test_distill__nullable_numbers_are_arrays_where_none_is_missing(kind):
    whole = pd.DataFrame({"a": np.arange(N), "b": AGE}).fillna(0).round().astype(kind)
    gaps = whole.mask(np.isnan(AGE)[:, None] & [False, True])
    for given, is_table in ((whole, False), (gaps, True)):
        for frame in (given, dd.from_pandas(given, 3)):
            coreset = distill(frame, FRAME["outcome"], size=20)
            assert (coreset.table is not None) == is_table


def test_distill__columns_and_profile_say_how_columns_are_read(expected):
    coreset = distill(FRAME, "outcome", size=50, columns={"age": "leave-out", "vip": "category"})
    assert not any(name.startswith("age") for name in coreset.provenance["input"]["columns"])
    profile = expected.provenance["input"]["profile"]
    again = distill(FRAME, "outcome", fraction=0.05, profile=profile)
    assert again.provenance["input"]["columns"] == expected.provenance["input"]["columns"]


def test_distill__tasks_of_other_targets_by_name():
    frame = FRAME.assign(price=np.nan_to_num(AGE) * 2, old=AGE > 50, rich=Y)
    target = frame["price"].to_numpy()
    coreset = distill(frame, "price", size=50, task="regression")
    assert np.array_equal(coreset.carry["price"].compute(), target[coreset.indices])
    given = distill(frame.drop(columns="price"), target, size=50, task="regression")
    assert np.array_equal(given.indices, coreset.indices)
    several = distill(frame, ["old", "rich"], size=50, task="multilabel", carry=["number"])
    assert several.carry["y"].compute().tolist() == (
        frame.loc[several.indices, ["old", "rich"]].to_numpy().tolist()
    )
    assert several.carry["number"].compute().tolist() == several.indices.tolist()


def test_distill__masks_by_name():
    frame = FRAME.assign(done=np.arange(N) < 30)
    coreset = distill(frame, "outcome", size=50, initial="done", protect={"column": "vip"})
    assert coreset.indices.min() >= 30
    assert set(np.flatnonzero(frame["vip"][30:]) + 30) <= set(coreset.indices.tolist())


def test_distill__arrays_beside_names(expected):
    carry = {"number": "number", "more": np.arange(N) * 2}
    coreset = distill(FRAME, "outcome", fraction=0.05, **NAMED | {"carry": carry})
    assert np.array_equal(coreset.indices, expected.indices)
    assert coreset.carry["more"].compute().tolist() == (coreset.indices * 2).tolist()
    weights = distill(
        FRAME.drop(columns=["weight", "when"]),
        "outcome",
        fraction=0.05,
        carry=["number"],
        protect="vip",
        time=FRAME["when"],
        sample_weight=FRAME["weight"],
    )
    assert np.array_equal(weights.indices, expected.indices)


def test_evaluate__a_frame_by_name_is_read_as_the_subset_was(expected):
    from sklearn.linear_model import LogisticRegression

    models = {"logistic": LogisticRegression(max_iter=300)}
    for frame in (FRAME, dd.from_pandas(FRAME, npartitions=3)):
        found = expected.evaluate(frame, "outcome", models=models, seeds=2)
        assert found.test_rows > 50
    plain = distill(FRAME, "outcome", size=200)
    half = FRAME.iloc[:1000]
    found = plain.evaluate(FRAME, "outcome", models=models, seeds=2, test=(half, "outcome"))
    assert found.test_rows > 50


@pytest.mark.parametrize(
    ("given", "more", "words"),
    [
        ((FRAME, "outcom"), {}, "label must be in 'the frame', got 'outcom'.*outcome"),
        ((FRAME, "outcome"), {"carry": ["numbers"]}, "carried must be in 'the frame', got 'number"),
        ((FRAME, "outcome"), {"time": "wen"}, "must be in 'the frame', got 'wen'"),
        ((FRAME, "outcome"), {"sample_weight": "w"}, "sample weights must be in 'the frame', got"),
        ((FRAME, "outcome"), {"protect": "vop"}, r"protect must name a carried array, got 'vop'"),
        ((FRAME, "outcome"), {"protect": "town"}, "protect must name a boolean array"),
        ((FRAME, "outcome"), {"carry": {"a": "age"}}, "carry must keep the names .* 'a' for 'age'"),
        ((FRAME, "outcome"), {"carry": [1]}, "carry must name columns or map names to arrays, got"),
        ((FRAME, "outcome"), {"carry": ["outcome"]}, "carry must not be named as the labels are"),
        ((FRAME, "outcome"), {"columns": {"age": "zip"}}, "column 'age' must be read as one of"),
        ((NUMBERS.to_numpy(), "y"), {}, "labels must be an array where .* name 'y'; pass a frame"),
        ((NUMBERS.to_numpy(), Y), {"columns": {"a": "number"}}, "columns must be given with a fra"),
        ((NUMBERS.to_numpy(), Y), {"profile": {}}, "profile must be given with a frame"),
        ((pl.LazyFrame(FRAME), "outcome"), {}, r"got polars.LazyFrame; collect\(\) it, or sink_pa"),
        ((FRAME, FRAME["outcome"][1:]), {}, "labels must have as many rows as features"),
        (
            (FRAME.assign(c=[1, "x"] * (N // 2)), "outcome"),
            {},
            "column 'c' must hold values of one",
        ),
    ],
)
def test_distill__refuses_names_and_columns(given, more, words):
    with pytest.raises(InputError, match=words):
        distill(*given, size=5, **more)


def test_distill__an_opened_data_set_has_its_label_already(tmp_path):
    dataset = open_dataset(parquet(tmp_path))
    with pytest.raises(InputError, match="the name 'outcome'; name it when it is opened"):
        distill(dataset, "outcome", size=5)


def test_distill__nothing_is_read_of_a_pool_without_labels():
    coreset = distill(FRAME.drop(columns="outcome"), size=30)
    assert coreset.labels is None
    assert len(rows(coreset.table)) == 30


def test_distill__rows_of_a_frame_that_pq_wrote_and_pandas_read_are_joined(tmp_path, expected):
    pq.write_table(pa.Table.from_pandas(FRAME), tmp_path / "a.parquet")
    again = expected.take(pd.read_parquet(tmp_path / "a.parquet"))
    assert again["number"].tolist() == expected.indices.tolist()


@pytest.mark.slow
def test_distill__frames_on_a_cluster(tmp_path, expected, local_client):
    local_client(2)
    for kind in ("pandas", "dask of parquet", "arrow dataset", "lazy xarray"):
        coreset = distill(KINDS[kind](tmp_path), "outcome", fraction=0.05, **NAMED)
        assert np.array_equal(coreset.indices, expected.indices)
        assert np.array_equal(coreset.weights, expected.weights)
        found = rows(coreset.table)
        assert in_order(found, list(FRAME)) == in_order(FRAME.iloc[coreset.indices], list(FRAME))
