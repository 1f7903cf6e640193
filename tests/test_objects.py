"""What other libraries hold rows in: read lazily, converted, or refused with the way."""

import os
import pickle

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xarray as xr
import zarr

from dask_distill import InputError, distill
from dask_distill.data import stores
from dask_distill.data.dataset import as_dataset

N = 60
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 3))
Y = np.arange(N) % 3
TEXT = np.array(["a", "b", "c"])[Y]
FRAME = pd.DataFrame(X, columns=list("abc"))
LISTS = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 3)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(features, labels, columns=None):
    """The rows selected, and what they hold, are those of the arrays in NumPy."""
    dataset = as_dataset(features, labels)
    assert dataset.columns == columns
    assert np.array_equal(dataset.features.compute(), X)
    assert dataset.labels.compute().tolist() in (Y.tolist(), TEXT.tolist())
    coreset = distill(features, labels, size=9)
    assert np.array_equal(coreset.indices, distill(X, Y, size=9).indices)
    assert np.array_equal(coreset.features.compute(), X[coreset.indices])


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    "labels",
    [
        FRAME.assign(t=TEXT)["t"].values,
        pd.Series(TEXT, dtype="category").array,
        pd.Series(TEXT, dtype="string[pyarrow]").array,
        pd.Series(Y, dtype="Int8").array,
        pd.Index(TEXT),
        pa.array(TEXT),
        pa.chunked_array([TEXT[:7], TEXT[7:]]),
        pa.array(TEXT).dictionary_encode(),
        pa.array(TEXT, pa.string_view()),
        pa.array(Y, pa.uint8()),
    ],
)
def test_distill__labels_of_pandas_and_arrow(labels):
    same(X, labels)


@pytest.mark.parametrize(
    ("features", "columns"),
    [
        (pa.table(FRAME), ("a", "b", "c")),
        (pa.RecordBatch.from_pandas(FRAME), ("a", "b", "c")),
        (LISTS, None),
        (pa.chunked_array([LISTS[:7], LISTS[7:]]), None),
        (pa.table({"embedding": LISTS}), None),
        (pa.array(X.tolist()), None),
        (pa.FixedShapeTensorArray.from_numpy_ndarray(X), None),
        (xr.Dataset({name: ("row", X[:, at]) for at, name in enumerate("abc")}), tuple("abc")),
    ],
)
def test_distill__features_of_arrow_and_xarray(features, columns):
    same(features, Y, columns)


def test_as_dataset__nulls_of_arrow_are_nan_and_large_numbers_are_not_rounded():
    table = pa.table({"a": [1, None, 3], "b": pa.array([1, 2, 3], pa.int8())})
    found = as_dataset(table).features.compute()
    assert np.array_equal(found, [[1, 1], [np.nan, 2], [3, 3]], equal_nan=True)
    days = pa.array([0, 1, 2], pa.int32()).cast(pa.date32())
    carried = as_dataset(X[:3], carry={"day": days}).carry["day"]
    assert carried.compute().astype("M8[D]").astype(int).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"carry n must be within ±2\*\*53"):
        as_dataset(X[:2], carry={"n": pa.array([2**60 + 1, None])})


def test_as_dataset__an_index_of_pandas_is_no_way_to_lose_a_column():
    """Arrow keeps which column was the index, and would make it one again."""
    indexed = pa.Table.from_pandas(FRAME.set_index("a"))
    assert as_dataset(indexed).columns == ("b", "c", "a")


class Capsule:
    """A table of a library that hands it over by Arrow's protocol."""

    def __init__(self, inner):
        self.inner = inner

    def __arrow_c_stream__(self, requested_schema=None):
        return self.inner.__arrow_c_stream__(requested_schema)


def test_distill__takes_what_speaks_arrow():
    same(Capsule(pa.table(FRAME)), Capsule(pa.chunked_array([TEXT.tolist()])), ("a", "b", "c"))


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (pa.table(FRAME.assign(t=TEXT)), r"got columns t \(str\); encode them"),
        (pa.table({"a": X[:, 0], "e": LISTS}), r"got e \(fixed_size_list.*; pass such a column al"),
        (pa.table([X[:, 0], X[:, 1]], ["a", "a"]), "columns of different names, got one twice"),
        (pa.array([[1.0], [1.0, 2.0]]), r"as many numbers in every row, got list.* of 2 lengths"),
        (pa.array([["a"], ["b"]]), r"as many numbers in every row, got list<item: string>"),
        (pa.array([[1.0, None]]), "no nulls in lists"),
        (pa.schema([]), r"got pyarrow.Schema; read it to a table"),
        (
            xr.Dataset({"t": ("r", TEXT), "a": ("r", Y)}),
            r"with t \(<U1, r\); pick one variable",
        ),
        (xr.Dataset({"X": (("r", "f"), X)}), r"with X \(float64, r x f\); pick one variable"),
        (xr.Dataset({"a": ("r", Y), "b": ("q", Y)}), "with rows along q, r"),
        (xr.Dataset(), "with rows along nothing"),
        (xr.DataTree(), r"got xarray.DataTree; pick one variable"),
        (dask.delayed(X), r"got dask.Delayed.*; make a dask array or DataFrame"),
        ({"a": Y}, r"got dict; pass NumPy or dask arrays, or a DataFrame"),
        (iter(X), "got iterator; pass NumPy or dask arrays"),
        (object(), "got object; pass NumPy or dask arrays"),
    ],
)
def test_as_dataset__refuses_and_says_the_way(features, words):
    with pytest.raises(InputError, match=f"^features must .*{words}"):
        as_dataset(features)


# ---------------------------------------------------------------- the type is asked for first


def untouchable(module, name="Thing"):
    """An object of a library that is asked for its type, and for nothing else."""

    def touched(self, *arguments, **more):
        raise AssertionError("asked for more than its type")

    walks = ("__array__", "__len__", "__iter__", "__getitem__", "__getattr__")
    return type(name, (), dict.fromkeys(walks, touched) | {"__module__": module})()


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("anndata._core.anndata", "got anndata.Thing; pass its X, and labels of its obs"),
        ("scipy.sparse._csr", r"made dense with toarray\(\)"),
        ("netCDF4._netCDF4", "open it with xarray"),
        ("tables.carray", "open it with h5py"),
        ("datasets.iterable_dataset", r"write it with to_parquet\(\), and open_dataset that"),
        ("polars.lazyframe.frame", r"collect\(\) it, or sink_parquet\(\)"),
        ("zarr.core.group", r"pick one of its arrays, e.g. group\['X'\], or open_dataset its path"),
        ("h5py._hl.files", r"pick one of its data sets, e.g. file\['X'\]"),
    ],
)
def test_as_dataset__asks_for_the_type_first(module, words):
    thing = untouchable(module)
    for given, more in (((thing,), {}), ((X, thing), {}), ((X,), {"carry": {"c": thing}})):
        with pytest.raises(InputError, match=words):
            as_dataset(*given, **more)
    with pytest.raises(InputError, match=r"got a list of .*Thing; pass one array of all rows"):
        as_dataset([thing, thing])


class InPieces:
    """An array of a library unknown to us, which must not be taken whole."""

    def __init__(self, values, masked=False):
        self.values, self.masked = values, masked
        self.shape, self.dtype = values.shape, values.dtype

    def __array__(self, *arguments, **more):
        raise AssertionError("taken whole")

    def __getitem__(self, place):
        rows = self.values[place]
        assert len(rows) <= 20
        return np.ma.masked_greater(rows, 0) if self.masked else rows


def test_distill__what_says_that_it_is_an_array_is_read_in_rows(monkeypatch):
    monkeypatch.setattr(stores, "_CHUNK_BYTES", 20 * 3 * 8)
    same(InPieces(X), Y)
    with pytest.raises(InputError, match="must not be masked, got InPieces of masked rows"):
        distill(InPieces(X, masked=True), size=9)


# ---------------------------------------------------------------- zarr


@pytest.mark.parametrize("chunk_bytes", [2**24, 7 * 24, 1])
def test_distill__zarr_arrays_are_read_in_whole_chunks(folder, monkeypatch, chunk_bytes):
    monkeypatch.setattr(stores, "_CHUNK_BYTES", chunk_bytes)
    group = zarr.open_group("a.zarr", mode="w")
    group.create_array("X", data=X, chunks=(7, 2))
    group.create_array("y", data=Y, chunks=(16,), shards=(32,))
    features, labels = group["X"], group["y"]
    assert all(rows % 7 == 0 for rows in as_dataset(features).features.chunks[0][:-1])
    assert all(rows % 32 == 0 for rows in as_dataset(X, labels).labels.chunks[0][:-1])
    same(features, labels)
    # what is embedded in a graph is an address that holds elsewhere, too
    lazy = pickle.loads(pickle.dumps(as_dataset(features).features))
    assert len(pickle.dumps(lazy)) < 20_000 + 2_000 * lazy.npartitions
    os.mkdir("other")
    os.chdir("other")
    assert np.array_equal(lazy.compute(), X)


def test_distill__zarr_arrays_in_memory(folder):
    same(zarr.create_array({}, data=X, chunks=(7, 3)), zarr.create_array({}, data=Y))


def test_distill__no_zarr_chunk_is_read_before_rows_are(folder, monkeypatch):
    array = zarr.open_group("a.zarr", mode="w").create_array("X", data=X, chunks=(7, 3))
    reads = []
    get = zarr.storage.LocalStore.get

    async def counting(self, key, *args, **kwargs):
        reads.extend([key] if "/c/" in key else [])
        return await get(self, key, *args, **kwargs)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", counting)
    dataset = as_dataset(array)
    assert not reads
    dataset.features.compute()
    assert len(reads) == len(set(reads)) == 9


def test_distill__arrays_that_are_packed_are_refused(folder):
    array = zarr.open_group("a.zarr", mode="w").create_array("X", data=X)
    array.attrs["scale_factor"] = 0.1
    with pytest.raises(InputError, match="got array 'X' with the attributes scale_factor"):
        distill(array, size=9)
    undecoded = xr.DataArray(X, attrs={"_FillValue": -9.0, "valid_range": [0, 1]})
    with pytest.raises(InputError, match=r"attributes _FillValue, .* open it with decode_cf=True"):
        distill(undecoded, size=9)
    as_dataset(xr.DataArray(X, attrs={"valid_range": [0, 1], "_FillValue": np.nan}))


def test_as_dataset__zarr_scalars_and_nothing(folder):
    group = zarr.open_group("a.zarr", mode="w")
    with pytest.raises(InputError, match="it has one value; pass one with rows"):
        as_dataset(group.create_array("one", shape=(), dtype="f8"))
    with pytest.raises(InputError, match="at least one row"):
        as_dataset(group.create_array("none", shape=(0, 3), dtype="f8"))


# ---------------------------------------------------------------- HDF5


@pytest.fixture
def file(folder):
    h5py = pytest.importorskip("h5py")
    with h5py.File("a.h5", "w") as made:
        made.create_dataset("X", data=X, chunks=(7, 3))
        made["y"], made["text"], made["bytes"] = Y, TEXT.tolist(), TEXT.astype("S")
    with h5py.File("a.h5", "r") as opened:
        yield opened


@pytest.mark.parametrize("labels", ["y", "text", "bytes"])
def test_distill__hdf5(file, labels):
    same(file["X"], file[labels])


def test_distill__hdf5_is_opened_anew_where_it_is_sent(file):
    lazy = pickle.loads(pickle.dumps(as_dataset(file["X"], file["text"])))
    file.close()
    assert np.array_equal(lazy.features.compute(), X)
    assert lazy.labels.compute().tolist() == TEXT.tolist()
    os.rename("a.h5", "b.h5")
    with pytest.raises(InputError, match=r"'/X' of '.*a.h5' must be readable on workers"):
        lazy.features.compute()


def test_as_dataset__hdf5_refusals(file):
    with pytest.raises(InputError, match=r"got h5py.File; pick one of its data sets"):
        as_dataset(file)
    file.close()
    import h5py

    with h5py.File("a.h5", "a") as opened:
        opened["X"].attrs.update({"_FillValue": np.array([-9.0]), "scale_factor": 2.0})
        opened["y"].attrs["_FillValue"] = np.array([np.nan])
        with pytest.raises(InputError, match="'X' with the attributes scale_factor, _FillValue"):
            as_dataset(opened["X"])
        as_dataset(X, opened["y"])


# ---------------------------------------------------------------- others, where they are installed


def test_distill__polars():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({name: X[:, at] for at, name in enumerate("abc")})
    same(frame, polars.Series(TEXT.tolist()), ("a", "b", "c"))
    same(frame, polars.Series(TEXT.tolist(), dtype=polars.Categorical), ("a", "b", "c"))
    with pytest.raises(InputError, match=r"polars.LazyFrame; collect\(\) it"):
        as_dataset(frame.lazy())


def test_distill__hugging_face_data_sets():
    datasets = pytest.importorskip("datasets")
    whole = datasets.Dataset.from_dict(
        {name: X[:, at] for at, name in enumerate("abc")} | {"e": X.tolist(), "label": TEXT}
    )
    same(whole.select_columns(list("abc")), whole["label"], ("a", "b", "c"))
    same(whole["e"], whole["label"])
    turned = whole.select(range(N - 1, -1, -1))
    assert np.array_equal(as_dataset(turned["e"]).features.compute(), X[::-1])
    with pytest.raises(InputError, match=r"it has e \(list.*\), label .*: pick columns of numbers"):
        as_dataset(whole)
    with pytest.raises(InputError, match=r"DatasetDict; pick one split of 'train'"):
        as_dataset(datasets.DatasetDict(train=whole))


def test_as_dataset__blocks_of_dask_stay_where_they_are():
    lazy = da.from_array(X, chunks=(7, 3))
    assert as_dataset(lazy).features is not None
    assert as_dataset(lazy).features.chunks == lazy.chunks
