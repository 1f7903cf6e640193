"""Data sets: the same values from every kind of source, read once, and clear refusals."""

import io
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from typing import ClassVar

import dask
import dask.array as da
import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings, strategies as st

from dask_distill.data import arrays, rows as chunk_sizes
from dask_distill.data.dataset import Dataset, as_dataset
from dask_distill.errors import InputError
from dask_distill.sources import (
    errors as source_errors,
    footers,
    npy,
    open as opening,
    row_groups,
    stored as zarr_source,
)
from dask_distill.sources.open import open_dataset
from dask_distill.storage import group as store
from dask_distill.storage.location import Location
from dask_distill.tables.profile import ColumnProfile, Profile

SECRET = "correct-horse-battery"
NUMBERS = ["?", "i1", "u1", "i4", "i8", "u8", "f2", "f4", "f8"]

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
y = rng.integers(0, 4, 60)
TEXT = np.array(["a", "bé", "", "日本"] * 15)


def numbers(dtype, shape=(60, 3)):
    return (rng.normal(size=shape) * 50).astype(dtype)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Every test works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def memory():
    """The in-memory file system, empty before and after."""
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    yield MemoryFileSystem
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 240 bytes, so that little data has many."""
    monkeypatch.setattr(chunk_sizes, "_CHUNK_BYTES", 240)
    monkeypatch.setattr(arrays, "_CHUNK_BYTES", 240)


@pytest.fixture
def no_compute():
    """Computing anything fails."""

    def refuse(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        yield


def same(lazy, values):
    """Equal bit for bit, of the same type, as declared."""
    found = lazy.compute(scheduler="sync")
    values = np.asarray(values)
    assert lazy.dtype == found.dtype == values.dtype
    assert lazy.shape == found.shape == values.shape
    if values.dtype.kind in "OT":
        assert found.tolist() == values.tolist()
    else:
        assert found.tobytes() == values.tobytes()


def refused(*parts):
    """The error's text holds all parts."""
    return pytest.raises(InputError, match="(?s)" + "".join(f"(?=.*{part})" for part in parts))


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize("dtype", NUMBERS)
def test_as_dataset__numpy_values_bit_for_bit(dtype, small_chunks):
    values = numbers(dtype)
    dataset = as_dataset(values, TEXT, carry={"id": y, "image": X.reshape(60, 3, 1)})
    same(dataset.features, values)
    same(dataset.labels, TEXT)
    same(dataset.carry["id"], y)
    same(dataset.carry["image"], X.reshape(60, 3, 1))
    assert (dataset.n, dataset.d) == (60, 3)
    assert dataset.row_bytes == 3 * values.itemsize + TEXT.itemsize
    assert dataset.nbytes == 60 * dataset.row_bytes
    assert dataset.columns is None
    assert dataset.sources == ()


def test_as_dataset__chunks_are_of_rows(small_chunks):
    assert as_dataset(X).features.chunks == ((10,) * 6, (3,))


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(sum),
    columns=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    depth=st.lists(st.integers(1, 2), min_size=0, max_size=2),
)
def test_as_dataset__any_chunking_has_one_chunk_on_other_axes(rows, columns, depth):
    shape = (sum(rows), sum(columns), *([sum(depth)] if depth else []))
    values = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    chunks = (tuple(rows), tuple(columns), *([tuple(depth)] if depth else []))
    dataset = as_dataset(da.from_array(values, chunks=chunks))
    assert dataset.features.chunks == (tuple(rows), *((size,) for size in shape[1:]))
    same(dataset.features, values)


def test_as_dataset__computes_nothing(no_compute):
    lazy = da.random.default_rng(0).normal(size=(100, 4), chunks=(7, 2))
    as_dataset(lazy, lazy[:, 0] > 0, carry={"id": lazy})
    as_dataset(X, y)


def test_as_dataset__labels_keep_their_chunks():
    dataset = as_dataset(da.from_array(X, chunks=7), da.from_array(y, chunks=11))
    assert dataset.labels.chunks == ((11, 11, 11, 11, 11, 5),)


def test_as_dataset__unknown_chunks_are_counted_and_the_users_array_is_left_alone():
    lazy = da.from_array(X, chunks=(7, 2))
    keep = X[:, 0] > 0
    filtered, labels = lazy[lazy[:, 0] > 0], da.from_array(y, chunks=7)[lazy[:, 0] > 0]
    dataset = as_dataset(filtered, labels)
    same(dataset.features, X[keep])
    same(dataset.labels, y[keep])
    assert np.isnan(filtered.shape[0])
    assert np.isnan(labels.shape[0])


def test_as_dataset__a_column_of_labels_is_a_vector():
    same(as_dataset(X, y[:, None]).labels, y)
    same(as_dataset(X, pd.DataFrame({"y": y})).labels, y)
    text = pd.DataFrame({"y": TEXT})
    assert as_dataset(X, dd.from_pandas(text, npartitions=2)).labels.compute().tolist() == [*TEXT]


def test_as_dataset__lists():
    dataset = as_dataset([[1, 2], [3, 4]], ["a", "b"])
    same(dataset.features, np.array([[1, 2], [3, 4]]))
    same(dataset.labels, np.array(["a", "b"]))


def test_as_dataset__a_dataset_keeps_or_replaces():
    first = as_dataset(X, y, carry={"id": y})
    assert as_dataset(first).labels is first.labels
    assert set(as_dataset(first).carry) == {"id"}
    second = as_dataset(first, TEXT, carry={})
    same(second.labels, TEXT)
    assert second.carry == {}


def test_dataset__put_together_by_hand_is_brought_into_form():
    lazy = da.from_array(X, chunks=(7, 1))
    dataset = as_dataset(Dataset(features=lazy[lazy[:, 0] > 0]))
    same(dataset.features, X[X[:, 0] > 0])
    assert dataset.features.numblocks[1] == 1


def test_dataset__repr_is_short():
    assert repr(as_dataset(X, y)) == "Dataset(60 x 3 float64, labels int64, 0 carried)"
    assert repr(as_dataset(X)) == "Dataset(60 x 3 float64, no labels, 0 carried)"


def test_dataset__importing_is_light():
    code = (
        "import sys, dask.array; before = set(sys.modules); import dask_distill.data.dataset; "
        "print([m for m in set(sys.modules) - before if m.split('.')[0] != 'dask_distill'])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# ---------------------------------------------------------------- xarray and DataFrames


def test_as_dataset__xarray():
    lazy = da.from_array(X, chunks=(7, 2))
    for features in (xr.DataArray(X), xr.DataArray(lazy), xr.Variable(("a", "b"), lazy)):
        dataset = as_dataset(features, xr.DataArray(y))
        same(dataset.features, X)
        same(dataset.labels, y)
    with refused("xarray Dataset", "pick one variable"):
        as_dataset(xr.Dataset({"X": (("a", "b"), X)}))


def test_as_dataset__xarray_in_a_file_stays_there(no_compute):
    xr.Dataset({"X": (("a", "b"), X)}).to_zarr("x.zarr", consolidated=False)
    opened = xr.open_zarr("x.zarr", chunks=None, consolidated=False)["X"]
    dataset = as_dataset(opened)
    assert not opened.variable._in_memory
    same(dataset.features, X)


@pytest.mark.parametrize("lazy", [False, True])
def test_as_dataset__frames_get_the_common_type_and_column_names(lazy):
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True], 5: [0.5, 1.5, 2.5]})
    given = dd.from_pandas(frame, npartitions=2) if lazy else frame
    dataset = as_dataset(given)
    same(dataset.features, np.array([[1, 1, 0.5], [2, 0, 1.5], [3, 1, 2.5]]))
    assert dataset.columns == ("a", "b", "5")


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["Int64", "int64[pyarrow]", "boolean", "Float32"])
def test_as_dataset__missing_values_of_nullable_columns_become_nan(lazy, kind):
    frame = pd.DataFrame({"a": pd.array([1, None, 0], dtype=kind), "b": [1, 2, 3]})
    given = dd.from_pandas(frame, npartitions=2) if lazy else frame
    same(as_dataset(given).features, np.array([[1.0, 1], [np.nan, 2], [0, 3]]))


def test_as_dataset__nullable_columns_without_missing_values_stay_what_they_are():
    frame = pd.DataFrame({"a": pd.array([2**62 + 1, 3], dtype="Int64")})
    same(as_dataset(frame).features, np.array([[2**62 + 1], [3]]))
    same(as_dataset(X[:2], frame["a"]).labels, np.array([2**62 + 1, 3]))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["str", "string[pyarrow]", "object", "category"])
def test_as_dataset__series_of_text_become_objects(lazy, kind):
    series = pd.Series(["a", "b", "é"] * 20, dtype=kind)
    given = dd.from_pandas(series, npartitions=3) if lazy else series
    same(as_dataset(X, given).labels, np.array(["a", "b", "é"] * 20, dtype=object))


def test_as_dataset__categories_that_are_numbers_stay_numbers():
    same(as_dataset(X[:3], pd.Series([7, 5, 7], dtype="category")).labels, np.array([7, 5, 7]))
    same(as_dataset(X[:2], pd.Index(["a", "b"])).labels, np.array(["a", "b"], dtype=object))


def test_as_dataset__dask_series_of_numbers_and_dates():
    frame = dd.from_pandas(
        pd.DataFrame({"y": y, "t": pd.date_range("2013", periods=60)}), npartitions=4
    )
    dataset = as_dataset(X, frame["y"], carry={"t": frame["t"]})
    same(dataset.labels, y)
    same(dataset.carry["t"], frame["t"].compute().to_numpy())


BERLIN = pd.Series(pd.date_range("2013", periods=3, tz="Europe/Berlin", unit="us"))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    ("series", "values"),
    [
        (BERLIN, ["2012-12-31T23", "2013-01-01T23", "2013-01-02T23"]),
        (
            BERLIN.astype(pd.ArrowDtype(pa.timestamp("us", "Europe/Berlin"))),
            ["2012-12-31T23", "2013-01-01T23", "2013-01-02T23"],
        ),
        (
            pd.Series([BERLIN[0].tz_localize(None), None] * 2).astype(
                pd.ArrowDtype(pa.timestamp("us"))
            ),
            ["2013-01-01", "NaT"] * 2,
        ),
        (
            BERLIN.dt.tz_localize(None).astype("category"),
            ["2013-01-01", "2013-01-02", "2013-01-03"],
        ),
    ],
)
def test_as_dataset__series_of_dates_are_in_utc(lazy, series, values):
    given = dd.from_pandas(series, npartitions=2) if lazy else series
    found = as_dataset(X[: len(series)], carry={"t": given}).carry["t"]
    same(found, np.array(values, "M8[us]"))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("kind", ["Int64", "int64[pyarrow]"])
def test_as_dataset__carried_integers_beside_missing_values_are_never_rounded(lazy, kind):
    series = pd.Series(pd.array([2**53, None, -(2**53)], dtype=kind))
    given = dd.from_pandas(series, npartitions=2) if lazy else series
    same(as_dataset(X[:3], carry={"id": given}).carry["id"], [2.0**53, np.nan, -(2.0**53)])
    given = given - 1
    with refused("^carry id", "9007199254740993", "missing", "astype"):
        as_dataset(X[:3], carry={"id": given}).carry["id"].compute(scheduler="sync")


@pytest.mark.parametrize(
    "series",
    [
        BERLIN.dt.tz_localize(None).dt.to_period("D"),
        pd.Series(pd.interval_range(0, 3)),
        pd.Series([1, 2, 3], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_as_dataset__refuses_series_of_other_things(lazy, series):
    given = dd.from_pandas(series, npartitions=1) if lazy else series
    with refused("carry c must hold numbers, dates or text", str(series.dtype)[:6], "convert"):
        as_dataset(X[:3], carry={"c": given})


# ---------------------------------------------------------------- refusals of arrays


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.array([[1, "a"]], dtype=object), ("dtype object", "encode")),
        (np.array([["a", "b"]]), ("must be numbers", "<U1")),
        (X * 1j, ("must be numbers", "complex128")),
        (X.astype("M8[s]"), ("must be numbers", "datetime64")),
        (np.zeros((2, 2), np.longdouble), ("at most float64", "store them so")),
        (X[:, 0], ("rows and columns", r"\(60,\)", r"shape \(60, 1\)")),
        (np.zeros((0, 3)), ("at least one row", r"\(0, 3\)")),
        (np.zeros((3, 0)), ("at least one column", r"\(3, 0\)")),
        (np.zeros((3, 2, 0)), ("at least one column",)),
        (None, ("must be an array", "NoneType")),
        ("X.zarr", ("must be an array", "open_dataset")),
        ([[1, 2], [3]], ("must be an array", "rows that differ")),
        (np.ma.masked_greater(X, 0), ("masked", "filled")),
        (da.ma.masked_greater(da.from_array(X), 0), ("masked", "filled")),
        (pd.DataFrame({"a": [1], "t": ["x"], "c": [1j]}), (r"t \(str\)", r"c \(complex128\)")),
        (dd.from_pandas(pd.DataFrame({"a": [1], "t": ["x"]}), npartitions=1), (r"t \(str",)),
        (pd.DataFrame(X, columns=["a", "a", "b"]), ("different names",)),
        (pd.DataFrame(index=range(3)), ("at least one column",)),
        (pd.DataFrame({"t": ["x"]}), ("must be numbers", r"t \(str\)")),
    ],
)
def test_as_dataset__refuses_features(features, words):
    with refused("^features", *words):
        as_dataset(features)


def test_as_dataset__refuses_blocks_that_are_not_numpy():
    sparse = pytest.importorskip("scipy.sparse")
    lazy = da.from_array(X, chunks=(20, 3)).map_blocks(
        sparse.csr_matrix, meta=sparse.csr_matrix((0, 0))
    )
    with refused("features must have NumPy blocks", "csr_matrix", "map_blocks"):
        as_dataset(lazy)
    with refused("features must be an array", "csr_matrix", "toarray"):
        as_dataset(sparse.csr_matrix(X))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (y[:59], ("as many rows as features \\(60\\)", "got 59")),
        (np.eye(60), ("one value a row", "argmax")),
        (np.array(5), ("must be an array",)),
        (y * 1j, ("ints or strings", "complex128")),
        (y.astype("M8[s]"), ("ints or strings", "datetime64")),
        (pd.DataFrame({"a": y, "b": TEXT}), ("must be numbers", r"b \(str\)")),
    ],
)
def test_as_dataset__refuses_labels(labels, words):
    with refused("^labels", *words):
        as_dataset(X, labels)


@pytest.mark.parametrize("dtype", ["f8", "?", "O", np.dtypes.StringDType()])
def test_as_dataset__leaves_the_check_of_label_values_for_later(dtype):
    assert as_dataset(X, y.astype(dtype)).labels.dtype == np.dtype(dtype)


@pytest.mark.parametrize("name", ["", " ", 3])
def test_as_dataset__refuses_names(name):
    with refused("^carry must have a name", "rename it"):
        as_dataset(X, y, carry={name: y})


def test_as_dataset__carried_arrays_are_not_named_as_the_labels():
    with refused("carry must not be named as the labels", "'y'"):
        as_dataset(X, y, carry={"y": y})


def test_as_dataset__the_labels_name_is_free_without_labels():
    assert set(as_dataset(X, carry={"y": y}).carry) == {"y"}


def test_as_dataset__refuses_carried_arrays():
    with refused("carry id", r"features \(60\)", "got 59"):
        as_dataset(X, carry={"id": y[:59]})
    with refused("carry raw", "dtype |S1"):
        as_dataset(X, carry={"raw": y.astype("S1")})
    with refused("carry must map names", "got list"):
        as_dataset(X, carry=[y])


# ---------------------------------------------------------------- zarr


def write_zarr(place, arrays, zarr_format=3, **options):
    group = zarr.open_group(place, mode="w", zarr_format=zarr_format)
    for name, values in arrays.items():
        chunks = {"chunks": (7, *values.shape[1:]), **options}
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, **chunks)
        array[:] = values
    return place


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_open_dataset__zarr_values_bit_for_bit(zarr_format, dtype, small_chunks):
    values, images = numbers(dtype), numbers("u1", (60, 4, 4))
    write_zarr("a.zarr", {"X": values, "y": y, "image": images}, zarr_format)
    dataset = open_dataset("a.zarr", carry=["image"])
    same(dataset.features, values)
    same(dataset.labels, y)
    same(dataset.carry["image"], images)
    assert dataset.sources == (os.path.realpath("a.zarr"),)


def test_open_dataset__zarr_rows_of_more_axes():
    images = numbers("u1", (60, 28, 28))
    dataset = open_dataset(write_zarr("a.zarr", {"X": images}, chunks=(7, 9, 10)))
    same(dataset.features, images)
    assert dataset.features.numblocks[1:] == (1, 1)
    assert (dataset.labels, dataset.d) == (None, 784)


def test_open_dataset__zarr_labels_of_text():
    # format 3 has no stable text of fixed width
    write_zarr("fixed.zarr", {"X": X, "y": TEXT}, 2)
    same(open_dataset("fixed.zarr").labels, TEXT)
    write_zarr("free.zarr", {"X": X, "y": TEXT.astype(np.dtypes.StringDType())})
    assert open_dataset("free.zarr").labels.compute().tolist() == TEXT.tolist()


def test_open_dataset__zarr_big_endian_values_stay_so(small_chunks):
    values = numbers(">f8")
    write_zarr("a.zarr", {"X": values}, 2)
    same(open_dataset("a.zarr").features, values)


@pytest.mark.parametrize(("zarr_format", "order"), [(2, "C"), (2, "F"), (3, "C")])
def test_open_dataset__zarr_byte_orders_and_memory_layouts(zarr_format, order, small_chunks):
    values = numbers(">i4")
    big = {"serializer": zarr.codecs.BytesCodec(endian="big")}
    write_zarr("a.zarr", {"X": values}, zarr_format, **({"order": order}, big)[zarr_format - 2])
    features = open_dataset("a.zarr").features
    # format 3 has numbers of the machine's order, whatever is stored
    same(features, values.astype(features.dtype))
    assert features.blocks[0].compute(scheduler="sync").flags.c_contiguous


def test_open_dataset__zarr_names():
    write_zarr("a.zarr", {"features": X, "kind": y, "y": y, "id": y})
    dataset = open_dataset("a.zarr", features="features", labels="kind", carry="id")
    assert (dataset.feature_name, dataset.label_name, set(dataset.carry)) == (
        "features", "kind", {"id"},
    )  # fmt: skip
    assert open_dataset("a.zarr", features="features").label_name == "y"
    for none in (False, ""):
        assert open_dataset("a.zarr", features="features", labels=none).labels is None
    write_zarr("a.zarr/part", {"X": X})
    inner = open_dataset("a.zarr", features="part/X", labels=False)
    assert inner.feature_name == "X"
    same(inner.features, X)


def test_open_dataset__a_zarr_array_alone_is_features():
    write_zarr("a.zarr", {"X": X})
    dataset = open_dataset("a.zarr/X")
    same(dataset.features, X)
    assert dataset.labels is None
    with refused("single array"):
        open_dataset("a.zarr/X", labels="y")


@pytest.fixture
def zarr_reads(monkeypatch):
    """How often each chunk, or shard, has been read."""
    reads = Counter()
    get = zarr.storage.LocalStore.get

    async def counting(self, key, *args, **kwargs):
        if not key.endswith((".json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")):
            # a shard is read in parts: its index, then ranges of it
            reads[key, str(args[1:]), str(kwargs)] += 1
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counting)
    return reads


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.integers(1, 70),
    unit=st.integers(1, 20),
    columns=st.integers(1, 3),
    shard=st.sampled_from([None, 1, 3]),
    zarr_format=st.sampled_from([2, 3]),
)
def test_open_dataset__zarr_reads_each_stored_chunk_once(
    zarr_reads, small_chunks, rows, unit, columns, shard, zarr_format
):
    values = numbers("f8", (rows, 3))
    options = {"chunks": (unit, columns)}
    if shard and zarr_format == 3:
        options["shards"] = (unit * shard, columns)
    write_zarr("a.zarr", {"X": values}, zarr_format, **options)
    zarr_reads.clear()
    dataset = open_dataset("a.zarr")
    assert not zarr_reads, "opening reads no rows"
    stored = unit * (options["shards"][0] // unit if "shards" in options else 1)
    assert all(size % stored == 0 for size in dataset.features.chunks[0][:-1])
    same(dataset.features, values)
    assert set(zarr_reads.values()) == {1}
    assert len({key for key, *_ in zarr_reads}) == -(-rows // stored) * -(-3 // columns)


@pytest.mark.parametrize("chunks", [(90, 1), (100, 2), (90, 1, 2)])
@pytest.mark.parametrize("dtype", ["f8", ">f8"])
def test_open_dataset__zarr_chunks_of_many_rows_and_few_columns(
    zarr_reads, small_chunks, chunks, dtype
):
    values = np.arange(100 * 30).reshape(100, 15, 2)[:, :, 0 if len(chunks) == 2 else slice(None)]
    values = values.astype(dtype)
    write_zarr("a.zarr", {"X": values}, 2, chunks=chunks)
    zarr_reads.clear()
    dataset = open_dataset("a.zarr")
    assert max(dataset.features.chunks[0]) <= 16
    assert dataset.features.numblocks[1] == 1
    same(dataset.features, values)
    assert set(zarr_reads.values()) == {1}


def test_open_dataset__zarr_shards_of_very_many_rows_are_read_in_parts(small_chunks):
    values = numbers("f8", (100, 15))
    write_zarr("a.zarr", {"X": values}, chunks=(5, 15), shards=(100, 15))
    features = open_dataset("a.zarr").features
    assert set(features.chunks[0]) == {5}
    same(features, values)


def test_open_dataset__zarr_chunks_are_of_about_16_mib_and_not_too_many(monkeypatch):
    group = zarr.open_group("a.zarr", mode="w")
    group.create_array("X", shape=(3_000_000, 8), dtype="f8", chunks=(1000, 8))
    sizes = open_dataset("a.zarr").features.chunks[0]
    assert 15 * 2**20 < sizes[0] * 64 <= 16 * 2**20
    monkeypatch.setattr(chunk_sizes, "_CHUNK_BYTES", 1)
    assert len(open_dataset("a.zarr").features.chunks[0]) <= 4096
    monkeypatch.setattr(chunk_sizes, "_MOST_CHUNKS", 2000)
    # 1,500 rows a chunk would do, but must be whole stored chunks
    assert set(open_dataset("a.zarr").features.chunks[0]) == {2000}


def test_open_dataset__zarr_without_rows_is_refused():
    write_zarr("a.zarr", {"X": X[:0]})
    with refused("at least one row"):
        open_dataset("a.zarr")


def test_open_dataset__graphs_travel_without_open_files():
    dataset = open_dataset(write_zarr("a.zarr", {"X": X, "y": y}))
    same(pickle.loads(pickle.dumps(dataset)).features, X)


def test_open_dataset__zarr_reads_no_rows_and_looks_only_at_what_is_named(zarr_reads, monkeypatch):
    write_zarr("a.zarr", {"X": X, "y": y, "id": y, "other": y})
    zarr_reads.clear()
    monkeypatch.setattr(zarr.Group, "arrays", None)
    open_dataset("a.zarr", carry=["id"])
    assert not zarr_reads


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_open_dataset__zarr_arrays_newer_than_the_consolidated_metadata_are_seen(zarr_format):
    write_zarr("a.zarr", {"X": X}, zarr_format)
    zarr.consolidate_metadata("a.zarr")
    zarr.open_group("a.zarr", use_consolidated=False).create_array("y", data=y)
    same(open_dataset("a.zarr").labels, y)


@pytest.mark.parametrize(("features", "labels"), [("X", "y"), ("pixels", "kind"), ("pixels", None)])
def test_open_dataset__a_written_subset_has_its_own_names(features, labels):
    arrays = {features: X, "index": y, "weight": y, "day": y} | ({labels: y} if labels else {})
    arrays = {name: da.from_array(values) for name, values in arrays.items()}
    names = {"features": features, "labels": labels, "carry": ["day"]}
    store.write("a.zarr", arrays | {"score/margin": arrays["day"]}, {"names": names})
    dataset = open_dataset("a.zarr", carry=["day"])
    assert (dataset.feature_name, dataset.label_name) == (features, labels or "y")
    same(dataset.features, X)
    assert (dataset.labels is None) == (labels is None)
    assert set(dataset.carry) == {"day"}
    same(open_dataset("a.zarr", carry=["index"]).carry["index"], y)
    with refused("features must be in", "'Q'"):
        open_dataset("a.zarr", features="Q")


@pytest.mark.parametrize("left", [{"format_version": 1}, {"format_version": 1, "names": 3}])
def test_open_dataset__a_subset_without_commit_marker_is_refused(left):
    write_zarr("a.zarr", {"X": X, "y": y})
    zarr.open_group("a.zarr").attrs.put({"dask_distill": left})
    with refused("source '.*a.zarr' must be complete", "commit marker", "verify"):
        open_dataset("a.zarr")
    zarr.open_group("a.zarr").attrs.put({"dask_distill": left | {"commit": {}}})
    assert open_dataset("a.zarr").label_name == "y"


def test_open_dataset__zarr_refuses_records_and_scalars():
    records = np.zeros(60, [("a", "f4"), ("b", "i4")])
    write_zarr("a.zarr", {"X": X, "records": records}, 2)
    zarr.open_group("a.zarr").create_array("one", shape=(), dtype="f8")
    with refused("features must be numbers", "'a', '<f4'"):
        open_dataset("a.zarr", features="records")
    with refused("labels must be ints or strings", "'a', '<f4'"):
        open_dataset("a.zarr", labels="records")
    with refused("carry records must hold numbers", "leave it out"):
        open_dataset("a.zarr", carry=["records"])
    with refused("carry one must be an array with rows", "scalar"):
        open_dataset("a.zarr", carry=["one"])


@pytest.mark.filterwarnings("ignore:The data type")
def test_open_dataset__zarr_refuses_bytes_of_any_length():
    group = zarr.open_group(write_zarr("a.zarr", {"X": X}))
    group.create_array("y", shape=(60,), dtype="variable_length_bytes", chunks=(7,))
    with refused("labels must hold numbers, dates or text", "vlen-bytes"):
        open_dataset("a.zarr")


def test_open_dataset__zarr_refusals():
    write_zarr("a.zarr", {"X": X, "y": y})
    with refused("features must be in", "got 'Q'", "there are: X, y"):
        open_dataset("a.zarr", features="Q")
    with refused("labels must be in", "got 'Q'", "there are: X, y"):
        open_dataset("a.zarr", labels="Q")
    with refused("carry Q must be in", "there are: X, y"):
        open_dataset("a.zarr", carry=["Q"])
    with refused("columns of one number a row", r"got X \(float64, 60 x 3\)", "alone"):
        open_dataset("a.zarr", features=["X", "y"])
    with refused("labels must be a name", "got True"):
        open_dataset("a.zarr", labels=True)
    with refused("must be readable"):
        open_dataset("a.zarr", features="../b.zarr/X")
    for name in ("index", "weight", "score"):
        write_zarr("b.zarr", {name: X})
        # the output renames it
        assert open_dataset("b.zarr", features=name).feature_name == name
    zarr.open_group("e.zarr", mode="w")
    write_zarr("e.zarr/part", {"X": y})
    write_zarr("e.zarr/whole", {"X": X})
    both = open_dataset("e.zarr", features="whole/X", labels="part/X")
    assert (both.feature_name, both.label_name) == ("X", "part_X")
    write_zarr("c.zarr", {"X": X, "y": y[:59]})
    with refused("labels", r"features \(60\)", "got 59"):
        open_dataset("c.zarr")
    zarr.open_group("d.zarr", mode="w")
    with refused("got 'X'", "there are: none"):
        open_dataset("d.zarr")


@pytest.mark.parametrize("text", ["{", '{"zarr_format": 3, "node_type": "what"}'])
def test_open_dataset__broken_zarr_metadata_ends_in_one_sentence(folder, text):
    (folder / "a.zarr").mkdir()
    (folder / "a.zarr/zarr.json").write_text(text)
    with refused("a.zarr'", "must be readable", "complete"):
        open_dataset("a.zarr")


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("dtype", ["|O", "<f8"])
def test_open_dataset__zarr_never_unpickles(folder, place, dtype):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "harm"),))

    write_zarr("a.zarr", {"y": y}, 2)
    (folder / "a.zarr/X").mkdir()
    codecs = (
        {"filters": [{"id": "pickle"}]} if place == "filters" else {"compressor": {"id": "pickle"}}
    )
    metadata = {
        "zarr_format": 2, "shape": [4, 2], "chunks": [4, 2], "dtype": dtype, "order": "C",
        "fill_value": None, "filters": None, "compressor": None, **codecs,
    }  # fmt: skip
    (folder / "a.zarr/X/.zarray").write_text(json.dumps(metadata))
    (folder / "a.zarr/X/0.0").write_bytes(pickle.dumps(Trap()))
    with refused("pickle"):
        open_dataset("a.zarr")
    assert not (folder / "harm").exists()


def test_open_dataset__zarr_codecs_within_a_shard_are_looked_at(monkeypatch):
    write_zarr("a.zarr", {"X": X}, shards=(21, 3))
    array = zarr.open_array("a.zarr/X")
    assert list(zarr_source._codecs(array.metadata.to_dict()))[:3] == [
        "sharding_indexed", "bytes", "zstd",
    ]  # fmt: skip
    monkeypatch.setattr(zarr_source, "_PICKLING", ("zstd",))
    with refused("features must not be stored with a codec that runs code", "zstd"):
        open_dataset("a.zarr")


# ---------------------------------------------------------------- parquet

FRAME = pd.DataFrame(
    {
        "a": (7 * np.arange(60, dtype="i4")) % 60,
        "b": X[:, 0].astype("f4"),
        "y": y,
        "text": TEXT,
        "flag": y > 1,
        "day": pd.date_range("2013-01-01", periods=60),
    }
)


def write_parquet(place, frame=FRAME, **options):
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), place, **options)
    return str(place)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_open_dataset__parquet_values_bit_for_bit(dtype):
    values = numbers(dtype)
    frame = pd.DataFrame(values, columns=["p", "q", "r"]).assign(label=TEXT)
    path = write_parquet("a.parquet", frame, row_group_size=7)
    dataset = open_dataset(path, features="p,q,r")
    same(dataset.features, values)
    same(dataset.labels, TEXT.astype(object))
    assert (dataset.columns, dataset.label_name) == (("p", "q", "r"), "label")


def test_open_dataset__parquet_columns():
    path = write_parquet("a.parquet", row_group_size=7)
    dataset = open_dataset(path, carry=["text", "day"])
    assert dataset.columns == ("a", "b", "flag")
    same(dataset.features, FRAME[["a", "b", "flag"]].to_numpy(np.float64))
    same(dataset.labels, y)
    same(dataset.carry["text"], TEXT.astype(object))
    assert (dataset.carry["day"].compute() == FRAME["day"].to_numpy()).all()
    assert "y" in open_dataset(path, labels=False).columns
    assert open_dataset(path, labels="text", carry=["day"]).columns == ("a", "b", "y", "flag")


@pytest.mark.parametrize(
    ("features", "columns"),
    [
        ("b,a", ("b", "a")),
        (" b , a ,", ("b", "a")),
        (["flag", "a"], ("flag", "a")),
        ("x_*", ("x_2", "x_10", "x_1")),
        ("x_1,x_*", ("x_1", "x_2", "x_10")),
        ("x_?,a", ("x_2", "x_1", "a")),
        ("x_[12]", ("x_2", "x_1")),
    ],
)
def test_open_dataset__parquet_columns_by_name_and_glob(features, columns):
    frame = FRAME.assign(x_2=1.0, x_10=2.0, x_1=3.0)
    dataset = open_dataset(write_parquet("a.parquet", frame), features=features)
    assert dataset.columns == columns
    same(dataset.features, frame[list(columns)].to_numpy(dataset.features.dtype))


def test_open_dataset__parquet_globs_leave_label_and_carry_out():
    frame = pd.DataFrame({"x_1": X[:, 0], "x_y": y, "x_id": y})
    dataset = open_dataset(
        write_parquet("a.parquet", frame), features="x_*", labels="x_y", carry=["x_id"]
    )
    assert dataset.columns == ("x_1",)


@pytest.mark.parametrize(
    ("kinds", "common"),
    [(("i4", "f4"), "f8"), (("?", "i1"), "i1"), (("u1", "i1"), "i2"), (("i8", "i8"), "i8")],
)
def test_open_dataset__parquet_features_get_their_common_type(kinds, common):
    frame = pd.DataFrame({f"c{i}": [0, 1, 1] for i in range(2)})
    frame = frame.astype(dict(zip(frame.columns, kinds, strict=True)))
    dataset = open_dataset(write_parquet("a.parquet", frame))
    same(dataset.features, frame.to_numpy(common))


def test_open_dataset__parquet_nulls_are_filled_in_or_nan():
    table = pa.table(
        {
            "whole": pa.array([1, None, 3]),
            "flag": pa.array([True, None, False]),
            "sure": pa.array([1, 2, 3], pa.int64()),
        }
    )
    pq.write_table(table, "a.parquet")
    dataset = open_dataset("a.parquet")
    same(dataset.unfilled(), np.array([[1, 1, 1], [np.nan, np.nan, 2], [3, 0, 3]], "f8"))
    # filled in by the median, and by what is more frequent
    same(dataset.features, np.array([[1, 1, 1], [2, 1, 2], [3, 0, 3]], "f8"))
    assert open_dataset("a.parquet", features="sure").features.dtype == np.int64
    assert open_dataset("a.parquet", features="sure", labels="whole").labels.dtype == np.float64


def test_open_dataset__parquet_without_statistics_may_hold_nulls():
    table = pa.table({"a": pa.array([1, 2, 3])})
    pq.write_table(table, "a.parquet", write_statistics=False)
    same(open_dataset("a.parquet").features, np.array([[1.0], [2.0], [3.0]]))


def test_open_dataset__parquet_missing_text_stays_missing():
    pq.write_table(pa.table({"a": [1, 2], "y": pa.array(["p", None])}), "a.parquet")
    assert open_dataset("a.parquet").labels.compute().tolist() == ["p", None]


def test_open_dataset__parquet_files_in_natural_order_of_their_paths(folder):
    (folder / "p/sub").mkdir(parents=True)
    (folder / "p/_hidden").mkdir()
    names = ["part-1", "part-2", "part-10", "sub/part-0"]
    for number, name in enumerate(names):
        write_parquet(folder / f"p/{name}.parquet", pd.DataFrame({"a": [number], "y": [1]}))
    write_parquet(folder / "p/_hidden/x.parquet", pd.DataFrame({"other": [1]}))
    (folder / "p/_SUCCESS").write_text("")
    same(open_dataset("p").features, np.arange(4)[:, None])


def test_open_dataset__by_a_profile_reads_footers_alone(monkeypatch, no_compute):
    path = write_parquet("a.parquet", row_group_size=7)
    known = {"type": "int32", "kind": "number", "encoding": {"fill": 1.0, "mark": False}}
    columns = tuple(ColumnProfile(name=name, **known) for name in ("a", "y"))
    profile = Profile(rows=9, sampled=9, columns=columns).as_dict()
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", None)
    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", None)
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    monkeypatch.setattr(pq, "read_table", None)
    assert open_dataset(path, labels="b", carry=["day"], profile=profile).n == 60


def test_open_dataset__parquet_reads_each_row_group_once_and_only_wanted_columns(
    monkeypatch, small_chunks
):
    reads = []
    read = pq.ParquetFile.iter_batches

    def counting(self, step, row_groups, columns, **kwargs):
        reads.extend((group, name) for group in row_groups for name in columns)
        return read(self, step, row_groups=row_groups, columns=columns, **kwargs)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", counting)
    path = write_parquet("a.parquet", row_group_size=7)
    dataset = open_dataset(path, features="a,b", carry=["flag"])
    # some rows tell what columns are
    reads.clear()
    assert dataset.features.chunks[0] == (14, 14, 14, 14, 4)
    dask.compute(dataset.features, dataset.labels, dataset.carry, scheduler="sync")
    expected = [(group, name) for group in range(9) for name in ("a", "b", "y", "flag")]
    assert sorted(reads) == sorted(expected)


@settings(max_examples=25, deadline=None)
@given(
    files=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    group=st.integers(1, 12),
    limit=st.integers(1, 600),
)
def test_open_dataset__parquet_any_split_gives_the_same_rows(files, group, limit):
    place = f"memory://split-{group}"
    system = fsspec.filesystem("memory")
    if system.exists(place):
        system.rm(place, recursive=True)
    values = np.arange(2 * sum(files), dtype="i4").reshape(-1, 2)
    start = 0
    for number, rows in enumerate(files):
        frame = pd.DataFrame(values[start : start + rows], columns=["a", "b"])
        with fsspec.open(f"{place}/{number}.parquet", "wb") as file:
            write = pa.Table.from_pandas(frame, preserve_index=False)
            pq.write_table(write, file, row_group_size=group)
        start += rows
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk_sizes, "_CHUNK_BYTES", limit)
        dataset = open_dataset(place)
    same(dataset.features, values)


def test_open_dataset__parquet_files_without_rows_do_not_change_types(folder):
    (folder / "p").mkdir()
    write_parquet("p/1.parquet", FRAME[:0])
    write_parquet("p/2.parquet")
    same(open_dataset("p", features="a").features, FRAME[["a"]].to_numpy())
    pd.DataFrame(columns=["a", "y"]).to_parquet("p/0.parquet")
    pd.DataFrame().to_parquet("p/3.parquet")
    same(open_dataset("p", features="a").features, FRAME[["a"]].to_numpy())


def test_open_dataset__hive_partitions_of_whole_numbers_are_features():
    FRAME.assign(month=np.arange(60) % 12).to_parquet("p", partition_cols=["month"])
    dataset = open_dataset("p", features="month,a")
    expected = [[m, FRAME.a[row]] for m in range(12) for row in range(m, 60, 12)]
    same(dataset.features, np.array(expected))


def test_open_dataset__hive_partitions_of_text_can_be_labels():
    FRAME.assign(kind=np.where(y > 1, "p", "q")).to_parquet("p", partition_cols=["kind"])
    labels = open_dataset("p", labels="kind").labels.compute()
    assert labels.tolist() == ["p"] * int((y > 1).sum()) + ["q"] * int((y <= 1).sum())


def test_open_dataset__hive_partitions_are_decoded():
    frame = pd.DataFrame({"a": [1, 2, 3], "y": [0, 0, 1], "at": ["x/y", "0 7", None]})
    frame.to_parquet("p", partition_cols=["at"])
    found = open_dataset("p", carry=["at"]).carry["at"].compute().tolist()
    assert sorted(found, key=str) == ["0 7", None, "x/y"]


def test_open_dataset__parquet_names_with_dots_stay_integers():
    pq.write_table(pa.table({"a.b": [1, 2]}), "a.parquet")
    same(open_dataset("a.parquet").features, np.array([[1], [2]]))


def test_open_dataset__row_numbers_that_pandas_leaves_are_no_features():
    FRAME[["a", "y"]].sample(frac=1, random_state=0).to_parquet("a.parquet")
    assert open_dataset("a.parquet").columns == ("a",)


def test_open_dataset__many_small_files_are_few_chunks(folder):
    (folder / "p").mkdir()
    for number in range(20):
        write_parquet(f"p/{number}.parquet", pd.DataFrame({"a": [number], "y": [1]}))
    features = open_dataset("p").features
    assert features.numblocks == (1, 1)
    same(features, np.arange(20)[:, None])


def test_open_dataset__carried_integers_are_never_rounded():
    pq.write_table(pa.table({"a": [1, 2], "id": pa.array([2**60 + 1, None])}), "a.parquet")
    with refused("'id'", "missing", "2\\*\\*53"):
        open_dataset("a.parquet", features="a", carry=["id"])
    # also where the null is in another row group
    pq.write_table(
        pa.table({"a": [1, 2], "id": pa.array([2**60 + 1, None])}), "b.parquet", row_group_size=1
    )
    with refused("'id'", "2\\*\\*53"):
        open_dataset("b.parquet", features="a", carry=["id"])


def test_open_dataset__parquet_days_are_dates():
    days = np.array(["2013-01-01", "2014-01-01"], "M8[D]")
    pq.write_table(pa.table({"a": [1, 2], "day": days}), "a.parquet")
    same(open_dataset("a.parquet", carry=["day"]).carry["day"], days)


def test_open_dataset__parquet_categories_of_text():
    frame = FRAME.assign(text=FRAME["text"].astype("category"))
    dataset = open_dataset(write_parquet("a.parquet", frame), labels="text")
    same(dataset.labels, TEXT.astype(object))


DAYS = ["2013-01-01", "1969-12-31"]
HALF = ["2013-01-01T12:00:00.000001", "1969-12-31T23:59:59"]


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(
    ("values", "kind", "expected", "dtype"),
    [
        (["a", "é"], pa.large_string(), ["a", "é"], "O"),
        (["a", "é"], pa.string_view(), ["a", "é"], "O"),
        (["a", "é"], pa.dictionary(pa.int8(), pa.string()), ["a", "é"], "O"),
        (["a", "é"], pa.dictionary(pa.int8(), pa.large_string()), ["a", "é"], "O"),
        ([1, 2**53], pa.dictionary(pa.int8(), pa.int64()), [1, 2**53], "i8"),
        ([True, False], pa.bool_(), [True, False], "?"),
        ([2**53, 0], pa.uint64(), [2**53, 0], "u8"),
        ([1.5, -2], pa.float16(), [1.5, -2], "f2"),
        ([1.5, -2], pa.float32(), [1.5, -2], "f4"),
        # the nearest float64, which a cast of Arrow's misses
        (["2.675", "0.1"], pa.decimal128(15, 3), [2.675, 0.1], "f8"),
        (["2.675", "0.1"], pa.decimal64(15, 3), [2.675, 0.1], "f8"),
        (DAYS, pa.date32(), DAYS, "M8[D]"),
        # as parquet has them
        (DAYS, pa.date64(), DAYS, "M8[D]"),
        (HALF, pa.timestamp("us"), HALF, "M8[us]"),
        (HALF, pa.timestamp("ns"), HALF, "M8[ns]"),
        (HALF, pa.timestamp("us", "Asia/Kolkata"), HALF, "M8[us]"),
        ([3, -4], pa.duration("ms"), [3, -4], "m8[ms]"),
        ([3, 4], pa.time32("s"), [3000, 4000], "m8[ms]"),
        ([3, 4], pa.time64("us"), [3, 4], "m8[us]"),
    ],
)
def test_open_dataset__parquet_columns_of_any_type(values, kind, expected, dtype, missing):
    column, expected = as_arrow(values, kind), np.array(expected, dtype)
    if missing:
        column = pa.concat_arrays([column, pa.nulls(1, column.type)])
        # NaT of its own unit: without one, NumPy 2.5 warns
        of_kind = np.array(["NaT"], expected.dtype) if expected.dtype.kind in "mM" else [np.nan]
        grown = np.append(expected, [None] if expected.dtype.kind == "O" else of_kind)
        expected = grown.astype(dtype) if expected.dtype.kind == "f" else grown
    pq.write_table(pa.table({"a": range(len(column)), "c": column}), "a.parquet")
    lazy = open_dataset("a.parquet", features="a", carry=["c"]).carry["c"]
    found = lazy.compute(scheduler="sync")
    assert lazy.dtype == found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def as_arrow(values, kind):
    """An Arrow array of types that need a way round."""
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pa.array(np.array(values, "M8[us]")).cast(kind)
    if pa.types.is_time(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    return pa.array(values).cast(kind) if pa.types.is_decimal(kind) else pa.array(values, kind)


def test_open_dataset__parquet_columns_of_other_types_are_features_where_they_can_be():
    lists = pa.array([[1], [2]])
    table = pa.table(
        {
            "a": [1, 2],
            "list": lists,
            "pair": pa.array([(1, 2), (3, 4)], pa.list_(pa.int8(), 2)),
            "struct": pa.array([{"x": 1}, {"x": 2}]),
            "bytes": pa.array([b"a", b"b"]),
            "nothing": pa.nulls(2),
        }
    )
    pq.write_table(table, "a.parquet")
    found = open_dataset("a.parquet")
    assert found.columns == ("a", "list[0]", "pair[0]", "pair[1]", "struct.x")
    same(found.features[:, 1:], np.array([[1, 1, 2, 1], [2, 3, 4, 2]], "f4"))
    for name in ("list", "pair", "struct", "bytes", "nothing"):
        # bytes may be text, as labels
        if name != "bytes":
            with refused(f"labels '{name}' must hold numbers, dates or text", "leave it out"):
                open_dataset("a.parquet", labels=name)
        # written as it is, and no feature
        carried = open_dataset("a.parquet", carry=[name])
        assert not any(column.startswith(name) for column in carried.columns)
        assert name in carried.table.schema.names


def test_open_dataset__parquet_decimals_that_float64_would_round_are_features_alone():
    exact = pa.array(["1.25", "2.5"]).cast(pa.decimal128(16, 2))
    pq.write_table(pa.table({"a": exact}), "a.parquet")
    same(open_dataset("a.parquet").features, np.array([[1.25], [2.5]]))
    with refused("carry 'a' must have at most 15 digits", r"decimal128\(16, 2\)", "text"):
        open_dataset("a.parquet", features="a", carry=["a"])


def test_open_dataset__parquet_columns_that_cannot_be_null_need_no_statistics():
    schema = pa.schema([pa.field("a", pa.int64(), nullable=False)])
    table = pa.table({"a": [2**60 + 1, 2]}, schema=schema)
    pq.write_table(table, "a.parquet", write_statistics=False)
    same(open_dataset("a.parquet").features, np.array([[2**60 + 1], [2]]))


def test_open_dataset__parquet_columns_within_others_are_not_mixed_up():
    pairs = pa.array([{"b": 1}, {"b": None}])
    pq.write_table(pa.table({"a": pairs, "a.b": [7, 8], "c": [1, 2]}), "a.parquet")
    same(open_dataset("a.parquet", features=["a.b", "c"]).features, np.array([[7.0, 1], [8, 2]]))


def test_open_dataset__parquet_columns_of_one_name_are_refused():
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), "a.parquet")
    with refused("columns of different names", "'a' twice", "rename"):
        open_dataset("a.parquet")


def test_open_dataset__parquet_list_of_names_may_hold_commas_and_blanks():
    pq.write_table(pa.table({"a,b": [1, 2], " c": [3, 4], "d": [5, 6]}), "a.parquet")
    assert open_dataset("a.parquet", features=["a,b", " c"]).columns == ("a,b", " c")


def test_open_dataset__parquet_files_may_write_the_same_values_in_other_ways(folder):
    (folder / "p").mkdir()
    text = pa.array(["u", "v"])
    for number, kind in enumerate(
        (
            pa.null(),
            pa.string(),
            pa.large_string(),
            pa.dictionary(pa.int8(), pa.string()),
            pa.dictionary(pa.int32(), pa.string()),
            pa.null(),
        )
    ):
        values = pa.nulls(2) if kind == pa.null() else text
        if pa.types.is_dictionary(kind):
            values = text.dictionary_encode()
        columns = {
            "a": [1, 2],
            "y": values.cast(kind),
            "n": pa.array([1.5, None]).cast(pa.float64()),
        }
        if kind == pa.null():
            columns["n"] = pa.nulls(2)
        order = list(columns)[:: -1 if number % 2 else 1]
        pq.write_table(pa.table({name: columns[name] for name in order}), f"p/{number}.parquet")
    dataset = open_dataset("p", features="a,n")
    known = [[1, 1.5], [2, np.nan]]
    none = [[1, np.nan], [2, np.nan]]
    same(dataset.unfilled()[:, :2], np.array([*none, *known * 4, *none], "f4"))
    filled = [[1, 1.5, 1], [2, 1.5, 1]], [[1, 1.5, 0], [2, 1.5, 1]]
    same(dataset.features, np.array([*filled[0], *filled[1] * 4, *filled[0]], "f4"))
    same(dataset.labels, np.array([None] * 2 + ["u", "v"] * 4 + [None] * 2, object))


def test_open_dataset__parquet_whole_numbers_missing_from_one_file_are_floats(folder):
    (folder / "p").mkdir()
    pq.write_table(pa.table({"a": [1, 2], "n": [5, 6]}), "p/1.parquet")
    pq.write_table(pa.table({"a": [3], "n": pa.nulls(1)}), "p/2.parquet")
    same(open_dataset("p").unfilled(), np.array([[1.0, 5], [2, 6], [3, np.nan]]))


def test_open_dataset__an_index_that_pandas_has_stored_is_no_feature():
    frame = pd.DataFrame({"id": [5, 9, 6], "a": [1, 2, 3]}).set_index("id")
    frame.to_parquet("a.parquet")
    dataset = open_dataset("a.parquet", carry=["id"])
    assert dataset.columns == ("a",)
    same(dataset.carry["id"], np.array([5, 9, 6]))
    assert open_dataset("a.parquet", features="*").columns == ("a",)
    assert open_dataset("a.parquet", features="id,a").columns == ("id", "a")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("m=01", "m=2", "m=-3"), np.array([1, 2, -3])),
        (("m=1", "m=__HIVE_DEFAULT_PARTITION__"), np.array([1.0, np.nan])),
        (("m=1", "m=x"), np.array(["1", "x"], object)),
        (("m=1.5", "m=2"), np.array(["1.5", "2"], object)),
        (("m=__HIVE_DEFAULT_PARTITION__",), np.array([None], object)),
        (("m=%C3%A9%3D", "m="), np.array(["é=", ""], object)),
    ],
)
def test_open_dataset__hive_partitions_have_one_type(folder, folders, expected):
    for name in folders:
        (folder / "p" / name).mkdir(parents=True)
        write_parquet(f"p/{name}/x.parquet", pd.DataFrame({"a": [1]}))
    found = open_dataset("p", features="a", carry=["m"]).carry["m"]
    assert sorted(map(str, found.compute().tolist())) == sorted(map(str, expected.tolist()))
    assert found.dtype == expected.dtype


def test_open_dataset__files_beside_hive_partitions_lack_their_value(folder):
    (folder / "p/m=1").mkdir(parents=True)
    write_parquet("p/m=1/x.parquet", pd.DataFrame({"a": [1]}))
    write_parquet("p/x.parquet", pd.DataFrame({"a": [2]}))
    found = open_dataset("p", features="a", carry=["m"]).carry["m"].compute()
    np.testing.assert_array_equal(found, [1, np.nan])
    write_parquet("p/y.parquet", pd.DataFrame({"a": [2], "m": [1]}))
    with refused("types go together", "'m'", "names of some folders", r"within '.*p/y\.parquet'"):
        open_dataset("p", features="a", carry=["m"])


def test_open_dataset__one_task_opens_not_too_many_files(folder, monkeypatch):
    monkeypatch.setattr(row_groups, "_MOST_FILES", 3)
    (folder / "p").mkdir()
    for number in range(8):
        frame = pd.DataFrame({"a": [number] * 2})
        write_parquet(f"p/{number}.parquet", frame, row_group_size=1)
    features = open_dataset("p").features
    assert features.chunks[0] == (6, 6, 4)
    same(features, np.repeat(np.arange(8), 2)[:, None])


def test_open_dataset__a_broken_file_among_many_is_named(folder):
    (folder / "p").mkdir()
    for number in range(40):
        write_parquet(f"p/{number}.parquet")
    (folder / "p/17.parquet").write_bytes(b"junk")
    with refused(r"source '.*p/17\.parquet' must be readable", "complete"):
        open_dataset("p")


def test_open_dataset__parquet_that_changes_after_opening_is_refused():
    path = write_parquet("a.parquet")
    features = open_dataset(path).features
    write_parquet("a.parquet", FRAME[:59])
    with refused("must not change while it is read", "59 rows", "60", "open it again"):
        features.compute(scheduler="sync")


def test_open_dataset__parquet_footers_that_lie_are_refused(monkeypatch):
    monkeypatch.setattr(footers, "_may_hold_nulls", lambda *_: ((), ()))
    pq.write_table(pa.table({"a": [1, None]}), "a.parquet")
    with refused("must be what its footers say", "1 nulls in column 'a'"):
        open_dataset("a.parquet").features.compute(scheduler="sync")


class Bucket(fsspec.AbstractFileSystem):
    """Like an object store: keys without folders, ranges that are fetched; notes every fetch."""

    protocol = "httpbucket"
    cachable = True
    keys: ClassVar[dict[str, bytes]] = {}
    fetched: ClassVar[list[tuple[str, int, int]]] = []

    def ls(self, path, detail=True, **kwargs):
        key = path.partition("?")[0].strip("/")
        if key in self.keys:
            return [{"name": path, "size": len(self.keys[key]), "type": "file"}]
        prefix = f"{key}/" if key else ""
        below = {name[len(prefix) :] for name in self.keys if name.startswith(prefix)}
        if not below:
            raise FileNotFoundError(path)
        found = []
        for first, deeper, _ in sorted({name.partition("/") for name in below}):
            size = 0 if deeper else len(self.keys[prefix + first])
            kind = "directory" if deeper else "file"
            found.append({"name": prefix + first, "size": size, "type": kind})
        return found if detail else [entry["name"] for entry in found]

    def _open(self, path, mode="rb", **kwargs):
        return BucketFile(self, path, mode, **kwargs)


class BucketFile(fsspec.spec.AbstractBufferedFile):
    def _fetch_range(self, start, end):
        key = self.path.partition("?")[0].strip("/")
        Bucket.fetched.append((key, start, min(end, self.size)))
        return Bucket.keys[key][start:end]


@pytest.fixture
def bucket():
    """An object store with two files of five columns, of 80,000 bytes a row group each."""
    fsspec.register_implementation("httpbucket", Bucket, clobber=True)
    Bucket.keys.clear()
    for number in range(2):
        columns = {name: rng.normal(size=40_000) for name in ("a", "skip", "b", "id")}
        columns["y"] = rng.integers(0, 3, 40_000)
        file = io.BytesIO()
        table = pa.table(columns)
        plain = {"compression": "none", "use_dictionary": False}
        pq.write_table(table, file, row_group_size=10_000, **plain)
        Bucket.keys[f"data/part-{number}.parquet"] = file.getvalue()
    Bucket.keys["data/_metadata"] = b"none"
    Bucket.keys["data/.hidden.parquet"] = b"none"
    yield Bucket
    Bucket.keys.clear()


def test_open_dataset__a_labelled_run_fetches_no_byte_twice(bucket, monkeypatch):
    # chunks of two row groups
    monkeypatch.setattr(chunk_sizes, "_CHUNK_BYTES", 20_000 * 16)
    dataset = open_dataset("httpbucket://data", features="a,b", carry=["id"])
    tails = list(bucket.fetched)
    assert {key for key, *_ in tails} == {"data/part-0.parquet", "data/part-1.parquet"}
    # footers, and rows that tell what columns are: of these two columns alone, each at most once
    assert sum(end - start for _, start, end in tails) <= 2 * 2**16 + 20_000 + 2 * 40_000 * 2 * 8
    bucket.fetched.clear()
    # as blocks are made: each array is optimised for itself
    arrays = (dataset.features, dataset.labels, dataset.carry["id"])
    blocks = [block for array in arrays for block in array.to_delayed().ravel()]
    dask.compute(blocks, scheduler="threads")
    size = 0
    for key in bucket.keys:
        end = 0
        for begin, stop in sorted((s, e) for k, s, e in bucket.fetched if k == key):
            assert begin >= end, "ranges do not overlap"
            size, end = size + stop - begin, stop
    wanted = 2 * 40_000 * 4 * 8
    # 50 bytes or so of each page's header
    assert wanted <= size < 1.01 * wanted


def test_open_dataset__labels_alone_fetch_labels_alone(bucket):
    dataset = open_dataset("httpbucket://data", features="a,b")
    bucket.fetched.clear()
    dataset.labels.compute(scheduler="sync")
    assert sum(end - start for _, start, end in bucket.fetched) < 1.01 * 2 * 40_000 * 8


def test_open_dataset__parquet_at_signed_addresses(bucket):
    dataset = open_dataset(f"httpbucket://data/part-0.parquet?signature={SECRET}")
    assert dataset.sources == ("httpbucket://data/part-0.parquet",)
    assert dataset.columns == ("a", "skip", "b", "id")
    assert dataset.features[:3].compute(scheduler="sync").shape == (3, 4)
    with refused("carry Q must be in 'httpbucket://data/part-0.parquet'") as error:
        open_dataset(f"httpbucket://data/part-0.parquet?signature={SECRET}", carry=["Q"])
    assert SECRET not in str(error.value)


def test_open_dataset__footers_are_forgotten_in_time(monkeypatch):
    reads = []
    cache = footers._FooterCache(250)

    class Footer:
        serialized_size = 100

    for key in "abacab":
        cache.get(key, lambda key=key: reads.append(key) or Footer())
    # two have room; b had to go for c
    assert reads == ["a", "b", "c", "b"]


def test_open_dataset__parquet_refusals(folder):
    path = write_parquet("a.parquet")
    with refused("features must be in", "'nope'", "there are: a, b, y, text"):
        open_dataset(path, features="a,nope")
    with refused("labels must be in", "'nope'", "there are: a, b"):
        open_dataset(path, labels="nope")
    with refused("carry nope must be in", "there are: a, b"):
        open_dataset(path, carry=["nope"])
    with refused("features must not hold the label", "'y'"):
        open_dataset(path, features="a,y")
    for none in ([], "", ","):
        with refused("at least one column"):
            open_dataset(path, features=none)
    write_parquet("t.parquet", FRAME[["text"]])
    with refused("features must tell what rows are like"):
        open_dataset("t.parquet", labels="text")
    write_parquet("z.parquet", FRAME[:0])
    with refused("at least one row"):
        open_dataset("z.parquet")
    wide = pd.DataFrame(np.zeros((2, 30)), columns=[f"c{i}" for i in range(30)])
    with refused("c0, c1", "c19, …$"):
        open_dataset(write_parquet("w.parquet", wide), features="nope")
    (folder / "empty").mkdir()
    with refused("empty'", "folder without any", "check the path"):
        open_dataset("empty")


def test_open_dataset__parquet_files_that_differ_are_named(folder):
    (folder / "p").mkdir()
    write_parquet("p/1.parquet")
    write_parquet("p/2.parquet", FRAME.assign(b="1"))
    with refused("types go together in all files", r"column 'b'", r"p/2\.parquet"):
        open_dataset("p", features="a,b")


@pytest.mark.parametrize("data", [b"", b"junk", b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_open_dataset__broken_parquet_ends_in_one_sentence(folder, data):
    (folder / "a.parquet").write_bytes(data)
    with refused("a.parquet'", "must be readable", "complete"):
        open_dataset("a.parquet")


# ---------------------------------------------------------------- .npy and .npz


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("place", ["", "memory://f/"])
@pytest.mark.parametrize("dtype", [*NUMBERS, ">f4"])
def test_open_dataset__npy_values_bit_for_bit(dtype, place, order, small_chunks, no_compute):
    values = np.asarray(numbers(dtype, (60, 3, 2)), order=order)
    for name, array in (("X", values), ("y", TEXT)):
        with fsspec.open(f"{place}{name}.npy", "wb") as file:
            np.save(file, array)
    dataset = open_dataset(f"{place}X.npy", labels=f"{place}y.npy")
    same(dataset.features, values)
    same(dataset.labels, TEXT)
    assert dataset.features.numblocks[0] > 1 or values.itemsize * 6 * 60 < 480
    assert len(dataset.sources) == 2


@pytest.mark.parametrize("place", ["", "memory://f/"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_open_dataset__npz_values_bit_for_bit(place, save, order, small_chunks, no_compute):
    with fsspec.open(f"{place}a.npz", "wb") as file:
        save(file, X=np.asarray(X, order=order), y=y, an_id=TEXT)
    dataset = open_dataset(f"{place}a.npz", carry=["an_id"])
    same(dataset.features, X)
    same(dataset.labels, y)
    same(dataset.carry["an_id"], TEXT)
    assert dataset.features.numblocks == (6, 1)
    named = open_dataset(f"{place}a.npz", features="X", labels="an_id")
    assert named.label_name == "an_id"
    assert open_dataset(f"{place}a.npz", labels=False).labels is None


def test_open_dataset__npy_opens_without_reading_values(monkeypatch, folder):
    np.save("a.npy", X)
    np.savez("a.npz", X=X)
    monkeypatch.setattr(npy, "_read", None)
    monkeypatch.setattr(np, "load", None)
    for name in ("a.npy", "a.npz"):
        assert open_dataset(name).n == 60


def test_open_dataset__npy_maps_local_files(monkeypatch):
    np.save("a.npy", X)
    dataset = open_dataset("a.npy")
    calls = []
    monkeypatch.setattr(np, "memmap", lambda *a: calls.append(a) or np.zeros((60, 3)))
    dataset.features.compute(scheduler="sync")
    assert [call[2] for call in calls] == ["r"]


def test_open_dataset__numpy_never_unpickles(folder):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(folder / "harm"),))

    trap = np.array([[Trap()]], dtype=object)
    np.save("a.npy", trap, allow_pickle=True)
    np.savez("a.npz", X=trap, y=y)
    for name in ("a.npy", "a.npz"):
        with refused(name, "no object arrays"):
            open_dataset(name)
    np.save("X.npy", X[:1])
    with refused("no object arrays"):
        open_dataset("X.npy", labels="a.npy")
    assert not (folder / "harm").exists()


def npy_header(shape, dtype="<f8"):
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "must be readable"),
        (b"junk", "must be readable"),
        (npy_header((10**12, 10**6)), "must hold"),
        (npy_header((5, 3)) + b"\0" * 119, "must hold 248 bytes"),
        # 2**80 columns are 0 where 64 bits overflow
        (npy_header((5, 2**40, 2**40)), "must hold"),
        (npy_header((-5, 3)), "arrays with rows"),
        (npy_header(()) + b"\0" * 8, "arrays with rows"),
        (npy_header((0, 3)), "at least one row"),
        (npy_header((5,)) + b"\0" * 40, "rows and columns"),
    ],
)
def test_open_dataset__broken_npy_ends_in_one_sentence(folder, data, words):
    (folder / "a.npy").write_bytes(data)
    with refused(words):
        open_dataset("a.npy")


def test_open_dataset__numpy_refusals(folder):
    np.save("X.npy", X)
    np.save("short.npy", y[:59])
    np.savez("a.npz", X=X)
    with refused("single .npy"):
        open_dataset("X.npy", features="X")
    with refused("single .npy"):
        open_dataset("X.npy", carry=["id"])
    with refused("labels", r"features \(60\)", "got 59"):
        open_dataset("X.npy", labels="short.npy")
    with refused("source 'gone.npy' does not exist"):
        open_dataset("X.npy", labels="gone.npy")
    for what, names in (
        ("features", {"features": "Q"}),
        ("labels", {"labels": "Q"}),
        ("carry Q", {"carry": ["Q"]}),
    ):
        with refused(f"^{what} must be in", "got 'Q'", "there are: X"):
            open_dataset("a.npz", **names)
    (folder / "b.npz").write_bytes(b"PK junk")
    with refused("b.npz'", "must be readable"):
        open_dataset("b.npz")


# ---------------------------------------------------------------- all sources


def test_open_dataset__memory_urls():
    with fsspec.open("memory://p/a.parquet", "wb") as file:
        FRAME.to_parquet(file)
    store = zarr.storage.FsspecStore.from_url("memory://a.zarr", read_only=False)
    write_zarr(store, {"X": X, "y": y})
    same(open_dataset("memory://p").labels, y)
    same(open_dataset("memory://p/a.parquet").labels, y)
    dataset = open_dataset("memory://a.zarr")
    same(dataset.features, X)
    assert dataset.sources == ("memory://a.zarr",)


def test_open_dataset__zarr_takes_options_beside_any_url():
    """zarr itself refuses them for some schemes, even where there are none."""
    store = zarr.storage.FsspecStore.from_url("memory://o.zarr", read_only=False)
    write_zarr(store, {"X": X, "y": y})
    for options in ({}, {"listings_expiry_time": 1}):
        same(open_dataset("memory://o.zarr", storage_options=options).features, X)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("gone", "source 'gone' does not exist"),
        ("memory://gone.zarr", "source 'memory://gone.zarr' does not exist"),
        ("", "must be a path or URL, got an empty string"),
        (None, "must be a path or URL, got NoneType"),
        (X, "must be a path or URL, got ndarray"),
        ("nope://gone", "must be readable"),
        (
            "notes.txt",
            "must be a zarr group, a file or folder of parquet, CSV or JSON lines, or",
        ),
    ],
)
def test_open_dataset__refuses_sources(folder, source, words):
    (folder / "notes.txt").write_text("notes")
    with refused(words):
        open_dataset(source)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"labels": 5}, "labels must be a name, or False for none, got 5"),
        ({"labels": ["y"]}, r"labels must be a name, or False for none, got \['y'\]"),
        ({"features": 3}, "features must be a list of names, got 3"),
        ({"features": ["X", 3]}, "features must be a list of names"),
        ({"carry": None}, "carry must be a list of names, got None"),
        ({"carry": [3]}, r"carry must be a list of names, got \[3\]"),
    ],
)
def test_open_dataset__refuses_what_is_no_name(names, words):
    np.savez("a.npz", X=X, y=y)
    with refused(words):
        open_dataset("a.npz", **names)


def test_open_dataset__refuses_storage_options_without_showing_them():
    np.save("a.npy", X)
    with refused("storage_options must map names to values, got str") as error:
        open_dataset("a.npy", storage_options=SECRET)
    assert SECRET not in str(error.value)


def test_open_dataset__paths_may_be_path_objects(folder):
    np.save("X.npy", X)
    np.save("y.npy", y)
    same(open_dataset(folder / "X.npy", labels=folder / "y.npy").labels, y)


@pytest.mark.parametrize("kind", ["npy", "npz", "zarr", "parquet"])
def test_open_dataset__secrets_show_nowhere(kind):
    place = f"memory://a.{kind}"
    if kind == "zarr":
        write_zarr(zarr.storage.FsspecStore.from_url(place, read_only=False), {"X": X})
    else:
        with fsspec.open(place, "wb") as file:
            if kind == "npy":
                np.save(file, X)
            elif kind == "npz":
                np.savez(file, X=X)
            else:
                FRAME.to_parquet(file)
    dataset = open_dataset(place, storage_options={"token": SECRET})
    graph = dict(dataset.features.dask)
    shown = [repr(dataset), repr(dataset.features), repr(graph), str(list(graph)), dataset.sources]
    assert SECRET not in str(shown)
    with pytest.raises(InputError) as error:
        open_dataset(place, carry=["Q"], storage_options={"token": SECRET})
    assert SECRET not in str(error.value)


def test_open_dataset__secrets_in_errors_and_urls_are_hidden(monkeypatch):
    def fail(self, path, **kwargs):
        raise OSError(f"cannot log in to {path} with {SECRET}")

    monkeypatch.setattr(MemoryFileSystem, "exists", fail)
    with pytest.raises(InputError, match=r"with \*\*\*") as error:
        open_dataset("memory://a", storage_options={"deep": [{"token": SECRET}]})
    assert SECRET not in str(error.value)
    with refused("me:\\*\\*\\*@host", "must be readable") as error:
        open_dataset(f"nope://me:{SECRET}@host/a")
    assert SECRET not in str(error.value)
    signed = Location(f"https://host/a.npy?signature={SECRET}")
    assert source_errors.shown_url(signed) == "https://host/a.npy"
    assert source_errors._clean([signed], f"no {signed.url}") == "no https://host/a.npy"


@pytest.mark.parametrize("before", ["", "simplecache::", "zip://a.npy::"])
def test_open_dataset__signatures_of_web_addresses_are_hidden(before):
    location = Location(f"{before}https://host/a b.npy?signature={SECRET}")
    assert SECRET not in source_errors.shown_url(location)
    # as a library quotes it: the inner address, encoded anew
    inner = f"404 for 'https://host/a%20b.npy?signature={SECRET}', gone"
    assert source_errors._clean([location], inner) == "404 for 'https://host/a%20b.npy', gone"


def test_open_dataset__signed_addresses_are_not_among_the_sources(monkeypatch, folder):
    np.save("a.npy", X)
    for module in (source_errors, opening, npy):
        monkeypatch.setattr(
            module, "open_filesystem", lambda _: (fsspec.filesystem("file"), str(folder / "a.npy"))
        )
    dataset = open_dataset(f"simplecache::https://host/a.npy?signature={SECRET}")
    assert dataset.sources == ("simplecache::https://host/a.npy",)


@pytest.mark.parametrize("before", range(150, 210, 6))
def test_open_dataset__errors_are_cut_after_secrets_are_hidden(monkeypatch, before):
    def fail(self, path, **kwargs):
        raise OSError("x" * before + SECRET + " and more" * 1000)

    monkeypatch.setattr(MemoryFileSystem, "exists", fail)
    with refused("must be readable", "check that it is complete$") as error:
        open_dataset("memory://a", storage_options={"token": SECRET})
    assert SECRET[:4] not in str(error.value)
    assert len(str(error.value)) < 1000


def test_open_dataset__works_in_other_processes_and_folders(folder, monkeypatch):
    distributed = pytest.importorskip("distributed")
    write_zarr("a.zarr", {"X": X, "y": y})
    write_parquet("a.parquet", pd.DataFrame(X).assign(y=y).rename(columns=str), row_group_size=7)
    np.savez("a.npz", X=X, y=y)
    opened = [open_dataset(name) for name in ("a.zarr", "a.parquet", "a.npz")]
    opened.append(as_dataset(da.from_array(X, chunks=7), pd.Series(y)))
    (folder / "other").mkdir()
    monkeypatch.chdir(folder / "other")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        found = dask.compute(*[(dataset.features, dataset.labels) for dataset in opened])
    for features, labels in found:
        assert features.tobytes() == X.tobytes()
        assert labels.tobytes() == y.tobytes()


# ---------------------------------------------------------------- what pandas and dask hand out


WORDS = np.array(["p", "q"])[np.arange(3000) % 2]


@pytest.mark.parametrize("take", [lambda s: s.values, lambda s: s.array, pd.Index])
@pytest.mark.parametrize(
    "values",
    [
        WORDS,
        pd.Categorical(WORDS),
        pd.array(np.arange(3000) % 3, dtype="Int64"),
        pd.array(np.arange(3000) % 2 == 0, dtype="boolean"),
    ],
    ids=["text", "category", "Int64", "boolean"],
)
def test_as_dataset__extension_arrays_are_what_their_series_is(values, take):
    series = pd.Series(values)
    plain = as_dataset(np.zeros((3000, 2)), series)
    found = as_dataset(np.zeros((3000, 2)), take(series), carry={"c": take(series)})
    expected = plain.labels.compute()
    assert found.labels.dtype == plain.labels.dtype
    assert np.array_equal(found.labels.compute(), expected)
    assert np.array_equal(found.carry["c"].compute(), expected)


@pytest.mark.parametrize("take", [lambda s: s.array, pd.DatetimeIndex])
def test_as_dataset__times_of_a_zone_are_in_utc(take):
    when = pd.Series(pd.date_range("2021-07-01", periods=50, freq="h", tz="Europe/Oslo"))
    found = as_dataset(np.zeros((50, 2)), time=take(when)).time.compute()
    assert found[0] == np.datetime64("2021-06-30T22:00")


@pytest.fixture
def stored_frame(folder):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(3000, 3)), columns=list("abc")).assign(
        y=WORDS, i=np.arange(3000)
    )
    os.mkdir("frame")
    for part in range(4):
        frame.iloc[750 * part : 750 * (part + 1)].to_parquet(f"frame/{part}.parquet")
    return dd.read_parquet("frame")


FRAMES = {
    "as it is": lambda t: t,
    "filtered": lambda t: t[t.a > 0],
    "filtered on reading": lambda t: dd.read_parquet("frame", filters=[("a", ">", 0)]),
    "without a column": lambda t: t.drop(columns=["i"]),
    "with a new one": lambda t: t.assign(z=t.a + 1),
    "persisted": lambda t: t.persist(),
    "repartitioned": lambda t: t.repartition(npartitions=2),
    "by row groups": lambda t: dd.read_parquet("frame", split_row_groups=True),
    "one partition": lambda t: t.partitions[1],
}


@pytest.mark.parametrize("kind", FRAMES)
def test_as_dataset__columns_of_frames_from_parquet_fit_together(stored_frame, kind):
    """dask#12411: rows of a selection of columns are counted by other partitions than are read."""
    frame = FRAMES[kind](stored_frame)
    dataset = as_dataset(frame[["a", "b"]], frame["y"], carry={"c": frame["c"]})
    whole = frame.compute()
    assert np.array_equal(dataset.features.compute(), whole[["a", "b"]].to_numpy())
    assert dataset.labels.compute().tolist() == whole["y"].tolist()
    assert np.array_equal(dataset.carry["c"].compute(), whole["c"].to_numpy())


@pytest.mark.parametrize("chunks", [700, 3000])
def test_distill__sparse_blocks_behind_a_dense_meta_are_one_sentence(chunks):
    from scipy.sparse import csr_matrix

    from dask_distill import distill

    x = da.from_array(np.ones((3000, 4)), chunks=(chunks, 4))
    sparse = x.map_blocks(csr_matrix, dtype="f8", meta=np.empty((0, 0)))
    with pytest.raises(InputError, match=r"NumPy blocks, got a block of type csr_matrix.*toarray"):
        distill(sparse, np.arange(3000) % 3, fraction=0.1)


@pytest.mark.parametrize("kind", ["zarr", "parquet", "array"])
def test_labels__bytes_are_text(folder, kind):
    from dask_distill import distill, open_coreset

    labels = np.array(["cat", "høne"])[np.arange(100) % 2]
    stored = np.array([label.encode() for label in labels])
    if kind == "zarr":
        group = zarr.open_group("a.zarr", mode="w", zarr_format=2)
        group["X"], group["y"] = np.random.default_rng(0).normal(size=(100, 3)), stored
        dataset = open_dataset("a.zarr")
    elif kind == "parquet":
        table = pa.table({"a": np.arange(100.0), "y": pa.array(stored.tolist(), pa.binary())})
        pq.write_table(table, "a.parquet")
        dataset = open_dataset("a.parquet")
    else:
        dataset = as_dataset(np.random.default_rng(0).normal(size=(100, 3)), stored)
    coreset = distill(dataset, size=20, strategy="stratified")
    assert {entry["label"] for entry in coreset.provenance["classes"]} == {"cat", "høne"}
    coreset.to_zarr("out.zarr")
    found = open_coreset("out.zarr")
    assert found.labels.compute().tolist() == labels[found.indices].tolist()


def test_labels__bytes_that_are_no_text_are_refused():
    from dask_distill import distill

    with pytest.raises(InputError, match="text in UTF-8 where they are bytes"):
        distill(np.ones((9, 2)), np.array([b"\xff"] * 9), size=3)
