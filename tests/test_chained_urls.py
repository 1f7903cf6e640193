"""URLs of several links: what lies in archives, behind caches, by references; and no way in."""

import json
import os
import tarfile
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from dask_distill import InputError, distill, open_coreset, open_dataset
from dask_distill.cli import cli
from dask_distill.cli.options import storage_pairs
from dask_distill.storage.location import Location

N = 200
X = np.random.default_rng(0).normal(size=(N, 2))
Y = np.arange(N) % 2


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The same rows in every format, by themselves, packed, and in a remote place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    group = zarr.open_group("a.zarr", mode="w")
    group.create_array("X", data=X, chunks=(30, 2))
    group.create_array("y", data=Y, chunks=(70,))
    os.makedirs("d/sub")
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "y": Y})
    pq.write_table(table[:80], "d/sub/part-1.parquet")
    pq.write_table(table[80:], "d/sub/part-2.parquet")
    np.save("a.npy", X)
    np.savez("a.npz", X=X, y=Y)
    np.savez_compressed("packed.npz", X=X, y=Y)
    names = ["a.zarr", "d", "a.npy", "a.npz", "packed.npz"]
    files = [path for name in names for path in (Path(name), *Path(name).rglob("*"))]
    with zipfile.ZipFile("all.zip", "w") as archive:
        for path in files:
            if path.is_file():
                archive.write(path)
    with tarfile.open("all.tar", "w") as archive:
        for name in names:
            archive.add(name)
    memory = fsspec.filesystem("memory")
    for name in ["all.zip", *names]:
        memory.put(name, f"/far/{name}", recursive=True)
    return tmp_path


URLS = [
    "zip://a.zarr::all.zip",
    "zip://d::all.zip",
    "zip://d/sub::file://{folder}/all.zip",
    "zip://a.npz::all.zip",
    "zip://packed.npz::all.zip",
    "zip://a.zarr::memory://far/all.zip",
    "simplecache::memory://far/a.zarr",
    "simplecache::memory://far/d",
    "simplecache::memory://far/a.npz",
    "simplecache::zip://a.zarr::memory://far/all.zip",
    pytest.param(
        "blockcache::file://{folder}/d",
        # fsspec leaves the files of this cache open
        marks=pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    ),
]


@pytest.mark.parametrize("url", URLS)
def test_open_dataset__chained_urls(folder, url):
    dataset = open_dataset(url.format(folder=folder))
    coreset = distill(dataset, size=20)
    coreset.to_zarr("out.zarr")
    coreset = open_coreset("out.zarr")
    assert np.array_equal(coreset.indices, distill(X, Y, size=20).indices)
    assert np.array_equal(coreset.features.compute(), X[coreset.indices])
    assert np.array_equal(coreset.labels.compute(), Y[coreset.indices])


def test_open_dataset__a_file_in_an_archive(folder):
    rows = open_dataset("zip://d/sub/part-2.parquet::all.zip").features.compute()
    assert np.array_equal(rows, X[80:])
    assert np.array_equal(open_dataset("zip://a.npy::all.zip").features.compute(), X)
    with zipfile.ZipFile("whole.zip", "w") as archive:
        for path in Path("a.zarr").rglob("*"):
            archive.write(path, path.relative_to("a.zarr"))
    # the group is the archive
    assert np.array_equal(open_dataset("zip://::whole.zip").features.compute(), X)


def test_open_dataset__an_archive_that_was_written_again_is_read_anew(folder):
    url = "zip://a.npy::one.zip"
    for values in (X, X + 1):
        np.save("a.npy", values)
        with zipfile.ZipFile("one.zip", "w") as archive:
            archive.write("a.npy")
        assert np.array_equal(open_dataset(url).features.compute(), values)


def test_open_dataset__references(folder):
    """As kerchunk makes them: where in other files the chunks of a zarr group are."""
    zarr.create_array("v2/X", data=X, zarr_format=2, chunks=(100, 2), compressors=None)
    refs = {".zgroup": '{"zarr_format": 2}', "X/.zarray": Path("v2/X/.zarray").read_text()}
    refs |= {f"X/{n}.0": [str(folder / f"v2/X/{n}.0")] for n in (0, 1)}
    Path("r.json").write_text(json.dumps({"version": 1, "refs": refs}))
    dataset = open_dataset("reference://", storage_options={"fo": "r.json"})
    assert np.array_equal(dataset.features.compute(), X)
    assert dataset.missing == {}
    words = ["run", "reference://", "out.zarr", "--storage-option", "fo=r.json", "--size", "20"]
    done = CliRunner().invoke(cli, [*words, "--workers", "1", "--quiet"])
    assert done.exit_code == 0, done.output
    coreset = open_coreset("out.zarr")
    assert np.array_equal(coreset.features.compute(), X[coreset.indices])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("zip://nope::all.zip", "'zip://nope::all.zip' does not exist; check the path"),
        ("zip://a.zarr::nope.zip", "No such file or directory.*; check the path"),
        ("tar://a.zarr::all.tar", "by several at once, .* unpack it, or pack it as zip"),
        ("simplecache::memory://nope", "does not exist; check the path"),
    ],
)
def test_open_dataset__what_is_not_there_or_cannot_be_read(folder, url, words):
    with pytest.raises(InputError, match=words):
        open_dataset(url)


@pytest.mark.parametrize("target", ["zip://out.zarr::out.zip", "simplecache::memory://out"])
def test_to_zarr__refuses_a_chain_as_target(folder, target):
    with pytest.raises(InputError, match=r"must be a path or one URL, got a chain"):
        distill(X, size=5).to_zarr(target)


def test_to_zarr__a_source_behind_a_cache_is_not_overwritten(folder):
    coreset = distill(open_dataset("simplecache::memory://far/a.zarr"), size=5)
    with pytest.raises(InputError, match="must not be, hold or lie in the source"):
        coreset.to_zarr("memory://far/a.zarr", overwrite=True)


@pytest.mark.parametrize(
    ("url", "child"),
    [
        ("a.zarr", "a.zarr/X"),
        ("a.zarr/", "a.zarr/X"),
        ("s3://b/a.zarr", "s3://b/a.zarr/X"),
        ("memory://", "memory://X"),
        ("zip://::a.zip", "zip://X::a.zip"),
        ("zip://a/b::s3://b/a.zip", "zip://a/b/X::s3://b/a.zip"),
        ("simplecache::s3://b/a", "simplecache::s3://b/a/X"),
        ("simplecache::zip://::s3://b/a.zip", "simplecache::zip://X::s3://b/a.zip"),
        ("simplecache::/a/b", "simplecache::/a/b/X"),
        ("odd::name", "odd::name/X"),
    ],
)
def test_location__members_of_chains(url, child):
    assert Location(url).child("X").url == child


def test_location__colons_in_a_file_name_make_no_chain(tmp_path):
    assert Location("odd::name").path == Path("odd::name")
    group = zarr.open_group(tmp_path / "odd::name.zarr", mode="w")
    group.create_array("X", data=X)
    assert open_dataset(tmp_path / "odd::name.zarr").n == N


def test_storage_options__name_the_protocol_in_a_chain():
    words = ("anon=true", "s3.key=a.b", "s3.endpoint_url=http://x")
    found = storage_pairs(None, None, words)
    assert found == {"anon": "true", "s3": {"key": "a.b", "endpoint_url": "http://x"}}
    # none of them shows
    assert "http" not in Location("s3://b", found).clean("at http://x")


@pytest.fixture
def no_credentials(monkeypatch, tmp_path):
    pytest.importorskip("s3fs")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    "url", ["s3://bucket/a.zarr", "s3://bucket/a.parquet", "simplecache::s3://bucket/d"]
)
def test_open_dataset__says_that_credentials_are_missing(no_credentials, url):
    with pytest.raises(InputError, match=r"Unable to locate credentials; give credentials .*anon"):
        open_dataset(url)


def test_open_dataset__says_what_a_store_needs_to_be_installed(monkeypatch):
    def missing(*arguments, **more):
        raise ImportError("Please install gcsfs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(InputError, match=r"Please install gcsfs; install what is missing"):
        open_dataset("gs://bucket/a.zarr")
