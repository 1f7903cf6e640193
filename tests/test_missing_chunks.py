"""Chunks of a zarr source that are not there: counted, or refused; never a surprise."""

import json
from collections import Counter

import fsspec
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from dask_distill import InputError, distill, open_dataset
from dask_distill.cli.main import cli

X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
Y = np.repeat([0, 1], 50)


@pytest.fixture(autouse=True)
def memory():
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def write(place, zarr_format=3, **options):
    group = zarr.open_group(str(place), mode="w", zarr_format=zarr_format)
    group.create_array("X", data=X, chunks=(10, 3), **options)
    group.create_array("y", data=Y, chunks=(25,), fill_value=0)


def lose(place, key):
    system, path = fsspec.core.url_to_fs(str(place))
    system.rm_file(f"{path}/{key}")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("remote", [False, True])
def test_open_dataset__counts_chunks_that_are_not_stored(tmp_path, zarr_format, remote):
    place = "memory://bucket/a.zarr" if remote else tmp_path / "a.zarr"
    write(place, zarr_format)
    # two chunks of labels hold the fill value alone: zarr does not store them
    assert open_dataset(place).missing == {"y": (2, 4)}
    lose(place, "X/3.0" if zarr_format == 2 else "X/c/3/0")
    dataset = open_dataset(place)
    assert dataset.missing == {"X": (1, 10), "y": (2, 4)}
    assert "1 of 10 chunks of X" in dataset._repr_html_()
    np.testing.assert_array_equal(dataset.features[30:40].compute(), 0)
    coreset = distill(dataset, size=9)
    assert coreset.provenance["input"]["chunks_missing"] == {"X": 1, "y": 2}
    with pytest.raises(InputError, match=r"got none 'c/3/0'|got none '3.0'"):
        open_dataset(place, labels="", on_missing="error")


def test_open_dataset__shards_are_what_is_stored(tmp_path):
    write(tmp_path / "a.zarr", shards=(20, 3))
    lose(tmp_path / "a.zarr", "X/c/1/0")
    assert open_dataset(tmp_path / "a.zarr").missing["X"] == (1, 5)
    assert open_dataset(tmp_path / "a.zarr/X").missing == {"features": (1, 5)}


@pytest.mark.parametrize("options", [{}, {"shards": (20, 3)}], ids=["chunks", "shards"])
def test_on_missing_error__a_chunk_that_goes_later_is_refused_where_it_is_read(tmp_path, options):
    write(tmp_path / "a.zarr", **options)
    dataset = open_dataset(tmp_path / "a.zarr", labels="", on_missing="error")
    np.testing.assert_array_equal(dataset.features.compute(), X)
    lose(tmp_path / "a.zarr", "X/c/1/0")
    with pytest.raises(InputError, match=r"got none 'c/1/0' in .*pass on_missing=.fill"):
        distill(dataset, size=9)
    # the rest of a shard that is there may have gaps: that is not seen, and not claimed


def test_on_missing_error__asks_the_store_for_no_chunk_twice(tmp_path, monkeypatch):
    write(tmp_path / "a.zarr")
    asked = Counter()
    whole = zarr.storage.LocalStore.get

    async def get(self, key, *arguments, **more):
        asked[key] += key.startswith("c/")
        return await whole(self, key, *arguments, **more)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", get)
    open_dataset(tmp_path / "a.zarr", labels="", on_missing="error").features.compute()
    assert sum(asked.values()) == 10


def test_open_dataset__what_cannot_be_listed_or_is_too_much_is_not_counted(tmp_path, monkeypatch):
    write(tmp_path / "a.zarr")
    lose(tmp_path / "a.zarr", "X/c/3/0")
    with monkeypatch.context() as patch:
        patch.setattr("fsspec.implementations.local.LocalFileSystem.find", None)
        assert open_dataset(tmp_path / "a.zarr").missing == {}
    monkeypatch.setattr("dask_distill.sources.stored._MOST_COUNTED", 9)
    assert open_dataset(tmp_path / "a.zarr").missing == {"y": (2, 4)}
    # refused where it is read, then
    lazy = open_dataset(tmp_path / "a.zarr", labels="", on_missing="error")
    with pytest.raises(InputError, match="got none 'c/3/0'"):
        lazy.features.compute()


def test_plan__tells_what_is_missing_in_one_line_and_refuses_it_if_asked(tmp_path):
    write(tmp_path / "a.zarr")
    lose(tmp_path / "a.zarr", "X/c/3/0")
    words = ["plan", str(tmp_path / "a.zarr"), "--size", "9", "--json", "--labels", ""]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "warning: 1 of 10 chunks of X are not stored" in done.stderr
    assert json.loads(done.stdout)["rows"] == 100
    done = CliRunner().invoke(cli, [*words, "--on-missing", "error"])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    with pytest.raises(InputError, match='on_missing must be "fill" or "error"'):
        open_dataset(tmp_path / "a.zarr", on_missing="raise")
