"""`Coreset.take`: the selected rows of what another reader gives, as what it is."""

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

from dask_distill import InputError, distill, grow, open_coreset

N = 500
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 3))
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(X, columns=list("abc")).assign(t=np.array(["x", None, "y"], object)[Y - 1])
INDEXED = FRAME.set_axis(np.arange(N)[::-1] * 7)


@pytest.fixture(scope="module")
def coreset():
    return distill(X, Y, size=40)


@pytest.mark.parametrize("frame", [FRAME, INDEXED, INDEXED["t"], INDEXED.index])
def test_take__pandas(coreset, frame):
    found = coreset.take(frame)
    assert type(found) is type(frame)
    expected = (
        frame[coreset.indices] if isinstance(frame, pd.Index) else frame.iloc[coreset.indices]
    )
    assert found.equals(expected)


def test_take__polars_arrow_and_numpy(coreset):
    table, frame = pa.Table.from_pandas(FRAME), pl.DataFrame(FRAME)
    expected = table.take(pa.array(coreset.indices))
    assert coreset.take(table).equals(expected)
    assert coreset.take(table["t"]).equals(expected["t"])
    assert coreset.take(table["t"].combine_chunks()).to_pylist() == expected["t"].to_pylist()
    batch = table.combine_chunks().to_batches()[0]
    assert pa.Table.from_batches([coreset.take(batch)]).equals(expected)
    assert coreset.take(frame).equals(frame[coreset.indices.tolist()])
    assert coreset.take(frame["t"]).to_list() == expected["t"].to_pylist()
    assert np.array_equal(coreset.take(X), X[coreset.indices])
    assert np.array_equal(coreset.take(Y), Y[coreset.indices])


@pytest.mark.parametrize("partitions", [1, 7])
def test_take__dask_stays_lazy(coreset, partitions):
    frame = dd.from_pandas(INDEXED, npartitions=partitions, sort=False)
    found = coreset.take(frame)
    assert isinstance(found, dd.DataFrame)
    expected = frame.compute().iloc[coreset.indices]
    pd.testing.assert_frame_equal(found.compute(), expected)
    pd.testing.assert_frame_equal(found[["t", "a"]].compute(), expected[["t", "a"]])
    series = coreset.take(frame["t"])
    assert isinstance(series, dd.Series)
    pd.testing.assert_series_equal(series.compute(), expected["t"])
    array = coreset.take(da.from_array(X, chunks=(70, 2)))
    assert isinstance(array, da.Array)
    assert np.array_equal(array.compute(), X[coreset.indices])
    unknown = coreset.take(frame[["a", "b"]].to_dask_array())
    assert np.array_equal(unknown.compute(), X[coreset.indices][:, :2])


def test_take__dask_frames_of_files_of_which_columns_are_picked(tmp_path, coreset):
    for at in range(10):
        FRAME[at * 50 : at * 50 + 50].to_parquet(tmp_path / f"{at}.parquet")
    lazy = dd.read_parquet(tmp_path)[["t"]]
    found = coreset.take(lazy).compute()["t"]
    assert found.fillna("").tolist() == FRAME["t"].fillna("").to_numpy()[coreset.indices].tolist()


def test_take__partitions_without_selected_rows_are_not_computed():
    coreset = distill(X, Y, size=3, strategy="random")
    computed = []

    def read(at):
        computed.append(at)
        return FRAME[at * 10 : at * 10 + 10]

    lazy = dd.from_map(read, range(N // 10), meta=FRAME.iloc[:0])
    found = coreset.take(lazy)
    computed.clear()
    with dask.config.set(scheduler="synchronous"):
        assert len(found.compute()) == 3
    assert set(computed) == set((coreset.indices // 10).tolist())


def test_take__hugging_face(coreset):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"a": X[:, 0], "n": np.arange(N)})
    assert coreset.take(data)["n"][:] == coreset.indices.tolist()


def test_take__of_what_was_stored_and_of_what_has_grown(tmp_path, coreset):
    coreset.to_zarr(tmp_path / "out.zarr")
    assert open_coreset(tmp_path / "out.zarr").take(FRAME).equals(coreset.take(FRAME))
    grown = grow(X[:200], Y[:200], size=20).update(X[200:], Y[200:])
    assert grown.take(FRAME).equals(FRAME.iloc[grown.indices])
    with pytest.raises(InputError, match="the 500 rows"):
        grown.take(FRAME[:200])


def test_take__rows_that_are_dropped_are_counted():
    spoiled = X.copy()
    spoiled[:100, 0] = np.nan
    coreset = distill(spoiled, Y, size=20, on_invalid="drop", strategy="random")
    assert np.array_equal(coreset.take(spoiled), coreset.features.compute())


@pytest.mark.parametrize(
    "frame",
    [
        *(FRAME[1:], FRAME["a"][1:], X[1:], pa.table({"a": X[1:, 0]}), pl.Series(X[1:, 0])),
        *(dd.from_pandas(FRAME[1:], 3), da.from_array(X[1:], chunks=100)),
    ],
)
def test_take__refuses_another_number_of_rows(coreset, frame):
    words = "^frame must have the 500 rows that were selected from, in their order, got 499 rows; "
    with pytest.raises(InputError, match=words):
        coreset.take(frame)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pl.LazyFrame({"a": X[:, 0]}), "got polars.LazyFrame; collect it"),
        (X.tolist(), "got list; collect it, or make one of it"),
        (xr.Dataset({"a": ("r", Y)}), "got xarray.Dataset"),
        (None, "got NoneType"),
        (np.float64(1), "got numpy.float64"),
        (np.array(1), "got one value"),
        (da.asarray(1), "got one value"),
    ],
)
def test_take__refuses_other_kinds(coreset, frame, words):
    with pytest.raises(InputError, match=f"^frame must .*{words}"):
        coreset.take(frame)
