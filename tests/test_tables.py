"""Selected rows as a table, and in xarray: the same values, whole or not at all."""

import errno
import json
import os
import signal
from dataclasses import replace

import dask.array as da
import dask.dataframe as dd
import fsspec
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dask_distill import InputError, distill, open_coreset, open_dataset
from dask_distill.errors import DistillError
from dask_distill.subset.tables import MARKER, part_bounds


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


# dask does so itself
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_to_parquet__is_read_by_pandas_dask_and_ourselves(coreset, source, tmp_path):
    receipt = coreset.to_parquet(tmp_path / "out")
    assert same_as_source(pd.read_parquet(tmp_path / "out"), coreset, source[1])
    assert same_as_source(dd.read_parquet(tmp_path / "out").compute(), coreset, source[1])
    again = open_dataset(tmp_path / "out", features="a,b", labels="kind")
    assert (again.n, again.d) == (200, 2)
    marker = json.loads((tmp_path / "out" / MARKER).read_text())["dask_distill"]
    assert marker["provenance"]["seed"] == 0
    assert marker["digest"] == receipt["digest"]
    assert sum(file["rows"] for file in marker["files"]) == 200
    assert receipt["files"] == len(marker["files"]) == 1
    assert os.listdir(tmp_path) == ["out"]


def test_to_parquet__same_bytes_for_any_chunking(labelled, tmp_path, monkeypatch):
    # several parts without gigabytes
    monkeypatch.setattr("dask_distill.subset.tables._PART_BYTES", 4000)
    digests = set()
    for number, chunks in enumerate((1000, 333, 77)):
        X = da.from_array(labelled.X[:1000], chunks=(chunks, -1))
        coreset = distill(X, labelled.y[:1000], size=300, strategy="random")
        assert len(part_bounds(coreset)) > 2
        digests.add(coreset.to_parquet(tmp_path / str(number))["digest"])
    assert len(digests) == 1
    table = pd.read_parquet(tmp_path / "0")
    assert table["index"].tolist() == coreset.indices.tolist()


@pytest.mark.slow
def test_to_parquet__workers_write_and_one_may_die(labelled, tmp_path, local_client, monkeypatch):
    monkeypatch.setattr("dask_distill.subset.tables._PART_BYTES", 2000)
    coreset = distill(labelled.X[:3000], labelled.y[:3000], size=900, strategy="random")
    expected = coreset.to_parquet(tmp_path / "here")
    client = local_client(2)
    victim = next(iter(client.run(os.getpid).values()))

    class Kill:
        def __init__(self):
            self.left = 5

        def start(self, phase, total):
            pass

        def advance(self):
            self.left -= 1
            if self.left == 0:
                os.kill(victim, signal.SIGKILL)

        def finish(self):
            pass

    found = coreset.to_parquet(tmp_path / "there", progress=Kill())
    assert found["digest"] == expected["digest"]
    names = sorted(os.listdir(tmp_path / "here"))
    # a killed worker may leave what it was writing, which no reader takes for a part
    left = [name for name in os.listdir(tmp_path / "there") if not name.startswith(".")]
    assert sorted(left) == names


def test_to_parquet__a_failed_run_leaves_nothing(coreset, tmp_path, monkeypatch):
    coreset.to_parquet(tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    broken = replace(
        coreset,
        features=coreset.features.map_blocks(lambda block: 1 / 0, dtype=np.float32),
    )
    for path, overwrite in (("new", False), ("deep/new", False), ("out", True)):
        with pytest.raises(Exception, match="division by zero"):
            broken.to_parquet(tmp_path / path, overwrite=overwrite)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert os.listdir(tmp_path) == ["out"]
    coreset.to_parquet(tmp_path / "out", overwrite=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_to_parquet__remote_marker_comes_last_and_goes_first(coreset, source):
    url = f"memory://tables-{os.getpid()}/out"
    system = fsspec.filesystem("memory")
    receipt = coreset.to_parquet(url)
    assert same_as_source(pd.read_parquet(url), coreset, source[1])
    seen = []

    class Look:
        def start(self, phase, total):
            seen.append(system.exists(f"{url}/{MARKER}"))

        def advance(self):
            seen.append(system.exists(f"{url}/{MARKER}"))

        def finish(self):
            pass

    with pytest.raises(InputError, match="exists; choose another"):
        coreset.to_parquet(url)
    again = coreset.to_parquet(url, overwrite=True, progress=Look())
    assert seen
    assert not any(seen)
    assert again["bytes_written"] == receipt["bytes_written"]
    assert len(system.find(url)) == 2
    broken = replace(
        coreset, features=coreset.features.map_blocks(lambda block: 1 / 0, dtype=np.float32)
    )
    with pytest.raises(Exception, match="division by zero"):
        broken.to_parquet(url, overwrite=True)
    assert system.find(url) == []


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        ({}, {"columns": ["a", "b"]}, "columns must be the names of 6 features, got 2"),
        ({}, {"columns": "abcdef"}, "columns must be the names of 6 features"),
        ({}, {"columns": [*"abcde", "weight"]}, "got 'weight' twice; name the features with"),
        ({"carry": {"z": da.zeros(200, dtype=complex)}}, {}, "carry z must not be complex"),
    ],
)
def test_to_parquet__refuses_in_one_sentence(coreset, tmp_path, change, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(coreset, **change).to_parquet(tmp_path / "out", **arguments)
    assert os.listdir(tmp_path) == []


def test_to_parquet__replaces_nothing_that_is_not_ours(coreset, source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.parquet").write_text("years of work")
    for overwrite, sentence in ((False, "exists; choose another"), (True, "something else")):
        with pytest.raises(InputError, match=sentence):
            coreset.to_parquet(tmp_path / "out", overwrite=overwrite)
    with pytest.raises(InputError, match="must not be, hold or lie in the source"):
        coreset.to_parquet(source[0], overwrite=True)
    assert (tmp_path / "out" / "thesis.parquet").read_text() == "years of work"


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


def test_to_parquet__a_disk_that_fails_at_once_is_told_in_a_sentence(
    coreset, tmp_path, monkeypatch
):
    """The folder beside the target cannot be made: before any file is written."""
    whole = os.mkdir

    def fails(path, *args, **options):
        if ".partial-" in os.fspath(path):
            raise OSError(errno.EIO, "Input/output error", os.fspath(path))
        return whole(path, *args, **options)

    monkeypatch.setattr(os, "mkdir", fails)
    with pytest.raises(DistillError, match=r"target '.*out' must be written, got OSError: .*5"):
        coreset.to_parquet(tmp_path / "out")
    with pytest.raises(DistillError, match=r"target '.*out.zarr' must be written, got OSError"):
        coreset.to_zarr(tmp_path / "out.zarr")
    assert list(tmp_path.iterdir()) == []
