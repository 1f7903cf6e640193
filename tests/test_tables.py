"""Selected rows as a dask DataFrame, and in xarray: the same values."""

from dataclasses import replace

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dask_distill import InputError, distill, open_coreset, open_dataset


@pytest.fixture(scope="module")
def source(labelled, tmp_path_factory):
    """A folder of parquet files with text labels, and a frame of the same rows."""
    frame = pd.DataFrame(labelled.X[:3000], columns=list("abcdef"))
    frame["kind"] = labelled.names[:3000]
    frame["when"] = pd.date_range("2020-01-01", periods=3000, freq="h")
    path = tmp_path_factory.mktemp("source") / "rows"
    path.mkdir()
    for number in range(4):
        frame[750 * number : 750 * (number + 1)].to_parquet(path / f"{number}.parquet")
    return path, frame


@pytest.fixture(scope="module")
def coreset(source):
    dataset = open_dataset(source[0], features="a,b,c,d,e,f", labels="kind", carry=["when"])
    # its arrays alone; tables as such are another test's matter
    dataset = replace(dataset, table=None, profile=None)
    return distill(dataset, size=200, strategy="entropy")


pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.selection.select.SelectionWarning")


def same_as_source(found, coreset, frame):
    """Whether a table is the selected rows of a frame, with what was found about them."""
    expected = frame.iloc[coreset.indices].reset_index(drop=True)
    for name in expected:
        assert (found[name].to_numpy() == expected[name].to_numpy()).all(), name
    assert np.array_equal(found["index"], coreset.indices)
    assert np.array_equal(found["weight"], coreset.weights)
    assert found.weight.dtype == np.float32
    for name, values in coreset.scores.items():
        assert np.array_equal(found[f"score_{name}"], values)
    return True


def test_to_dataframe__has_the_rows_under_their_names(coreset, source):
    lazy = coreset.to_dataframe()
    assert isinstance(lazy, dd.DataFrame)
    scores = [f"score_{name}" for name in coreset.scores]
    assert list(lazy.columns) == [*"abcdef", "kind", "when", "weight", "index", *scores]
    found = lazy.compute()
    assert same_as_source(found, coreset, source[1])
    assert found.index.tolist() == list(range(200))
    assert lazy.dtypes.equals(found.dtypes)


def test_to_dataframe__of_what_was_written_and_opened(coreset, source, tmp_path):
    coreset.to_zarr(tmp_path / "out.zarr")
    opened = open_coreset(tmp_path / "out.zarr")
    assert same_as_source(opened.to_dataframe().compute(), coreset, source[1])


def test_to_dataframe__more_axes_become_columns(labelled):
    X = labelled.X[:500].reshape(500, 2, 3)
    carry = {"box": np.arange(2000).reshape(500, 4), "name": np.arange(500).astype(str)}
    coreset = distill(X, size=20, strategy="random", carry=carry)
    table = coreset.to_dataframe().compute()
    assert list(table.columns) == [
        *(f"x{i}" for i in range(6)),
        *(f"box_{i}" for i in range(4)),
        *("name", "weight", "index"),
    ]
    assert np.array_equal(table.iloc[:, :6], labelled.X[coreset.indices])
    assert table["name"].tolist() == [str(i) for i in coreset.indices]
    named = coreset.to_dataframe(columns=list("abcdef"))
    assert list(named.columns)[:6] == list("abcdef")


def test_xarray__opens_what_is_written(coreset, source, tmp_path):
    coreset.to_zarr(tmp_path / "out.zarr")
    with xr.open_zarr(tmp_path / "out.zarr", consolidated=False) as found:
        (rows,) = {found[name].dims[0] for name in ("X", "kind", "when", "weight", "index")}
        assert found.sizes[rows] == 200
        assert np.array_equal(found["index"], coreset.indices)
        assert np.array_equal(found["X"], coreset.features.compute())
        assert found["kind"].values.tolist() == source[1].kind[coreset.indices].tolist()
    with xr.open_zarr(tmp_path / "out.zarr", group="score", consolidated=False) as found:
        assert np.array_equal(found["entropy"], coreset.scores["entropy"])


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (["a", "b"], "columns must be the names of 6 features, got 2"),
        ("abcdef", "columns must be the names of 6 features"),
        ([*"abcde", "weight"], "got 'weight' twice; name the features with"),
    ],
)
def test_to_dataframe__refuses_names_in_one_sentence(coreset, columns, sentence):
    with pytest.raises(InputError, match=sentence):
        coreset.to_dataframe(columns)
