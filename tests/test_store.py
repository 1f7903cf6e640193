"""The output: there whole or not at all, bit for bit, and damage is found and named."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import dask
import dask.array as da
import fsspec
import numpy as np
import pytest
import zarr
from dask.delayed import delayed
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings, strategies as st

from dask_distill.errors import DistillError, IncompleteOutput, InputError
from dask_distill.storage import chunks as _chunks, group as store, local
from dask_distill.storage.location import Location
from dask_distill.storage.remote import discard_remotely, finish

SECRET = "correct-horse-battery"

rng = np.random.default_rng(0)
VALUES = {
    "bool": rng.integers(0, 2, 50).astype(bool),
    "int8": rng.integers(-128, 127, 50).astype("i1"),
    "int64": rng.integers(-(2**62), 2**62, 50),
    "uint64": rng.integers(0, 2**64 - 1, 50, dtype="u8"),
    "float16": rng.normal(size=50).astype("f2"),
    "float32": np.array([np.nan, np.inf, -np.inf, -0.0, 1e-45] * 10, "f4"),
    "float64 with a NaN of its own": np.array([0x7FF8_0000_0000_0123] * 50, "u8").view("f8"),
    "big endian": rng.normal(size=(50, 3)).astype(">f8"),
    "complex64": (rng.normal(size=50) + 1j).astype("c8"),
    "complex128": rng.normal(size=(50, 2)) * 1j,
    "dates": np.array(["2013-01-01", "NaT"] * 25, "M8[ns]"),
    "days": np.array(["2013-01-01", "NaT"] * 25, "M8[D]"),
    "durations": np.array([1, -5] * 25, "m8[s]"),
    "text": np.array(["", "é", "日本", "a\0b", "<b>"] * 10),
    "big-endian text": np.array(["ab", "c"] * 25, ">U2"),
    "text objects": np.array(["", "a\0", "x" * 100, "😀", "é"] * 10, dtype=object),
    "variable-length text": np.array(["", "long " * 9] * 25, dtype=np.dtypes.StringDType()),
    "cube": rng.normal(size=(50, 2, 3)).astype("f4"),
    "no columns": np.zeros((50, 0)),
}


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 256 bytes, so that little data has many."""
    monkeypatch.setattr(_chunks, "_CHUNK_BYTES", 256)


@pytest.fixture
def memory():
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def coreset(rows=40, **more):
    """Arrays as a run writes them."""
    generator = np.random.default_rng(rows)
    arrays = {
        "X": generator.normal(size=(rows, 4)).astype("f4"),
        "y": np.array(["on time", "late"] * rows)[:rows],
        "index": np.sort(generator.choice(10 * rows, rows, replace=False)).astype("i8"),
        "weight": np.full(rows, 10, "f4"),
        "score/entropy": generator.random(rows).astype("f4"),
    } | more
    return {name: da.from_array(values, chunks=7) for name, values in arrays.items()}


ATTRIBUTES = {"provenance": {"rows": 400, "seed": np.int64(3), "loss": float("nan")}}


def same(left, right):
    """Equal type, shape and bits."""
    if left.dtype.kind in "OT":
        return left.dtype == right.dtype and left.tolist() == right.tolist()
    return left.dtype == right.dtype and left.shape == right.shape and (
        left.tobytes() == right.tobytes()
    )  # fmt: skip


def everything_below(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def chunk_files(target):
    return sorted(path for path in Path(target).rglob("c/*") if path.is_file()) + sorted(
        path for path in Path(target).rglob("c/*/*") if path.is_file()
    )


def described(target, path):
    """Array and chunk as problems name them."""
    name, _, key = str(path.relative_to(target)).partition("/c/")
    return f"array '{name}', chunk {key.split('/')[0]}:"


# --- round trips -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", VALUES)
def test_write__rows_come_back_bit_for_bit(tmp_path, small_chunks, kind):
    values = VALUES[kind]
    receipt = store.write(tmp_path / "t", {"a": da.from_array(values, chunks=7)}, {})
    arrays, content = store.read(tmp_path / "t")
    assert same(arrays["a"].compute(scheduler="sync"), values)
    assert arrays["a"].chunks[0] == tuple(
        len(values[i : i + content["manifest"]["a"]["chunks"][0]])
        for i in range(0, 50, content["manifest"]["a"]["chunks"][0])
    ) or kind == "no columns"  # fmt: skip
    assert content["digest"] == receipt["digest"]
    found = store.verify(tmp_path / "t")
    assert (found.ok, found.rows, found.problems) == (True, 50, ())


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_write__any_shape_and_chunking_same_values_and_digest(tmp_path_factory, small_chunks, data):
    folder = tmp_path_factory.mktemp("any")
    shape = data.draw(st.tuples(st.integers(0, 90), st.integers(0, 5)))
    texts = st.text(st.characters(codec="utf-8"), max_size=5)
    text = data.draw(st.lists(texts, min_size=shape[0], max_size=shape[0]))
    values = {
        "X": np.arange(shape[0] * shape[1], dtype="f8").reshape(shape),
        "y": np.array(text, dtype=object),
        "z": np.array(text, dtype="U5"),
    }
    digests = set()
    for target in ("one", "two"):
        cuts = data.draw(st.lists(st.integers(0, shape[0]), max_size=6).map(sorted))
        rows = tuple(np.diff([0, *cuts, shape[0]]).tolist())
        columns = data.draw(st.sampled_from([(shape[1],), (1,) * shape[1] or (0,)]))
        arrays = {
            name: da.from_array(array, chunks=(rows, columns)[: array.ndim])
            for name, array in values.items()
        }
        digests.add(store.write(folder / target, arrays, {})["digest"])
        read, _ = store.read(folder / target)
        assert all(same(read[name].compute(), values[name]) for name in values)
        assert store.verify(folder / target).ok
    assert len(digests) == 1
    one, two = ({p: (folder / t / p).read_bytes() for p in everything_below(folder / t)
                 if (folder / t / p).is_file()} for t in ("one", "two"))  # fmt: skip
    assert one == two


def test_write__digest_changes_with_values_names_and_types(tmp_path):
    X = np.arange(6.0)
    variants = [{"X": X}, {"x": X}, {"X": X + 1}, {"X": X.reshape(3, 2)}, {"X": X.view("i8")}]
    digests = {
        store.write(tmp_path / str(n), {k: da.from_array(v) for k, v in arrays.items()}, {})[
            "digest"
        ]
        for n, arrays in enumerate(variants)
    }
    assert len(digests) == len(variants)


def test_write__zarr_alone_reads_the_group(tmp_path, small_chunks):
    arrays = coreset() | {"pixels": da.zeros((40, 2, 3), chunks=9)}
    store.write(tmp_path / "t", arrays, ATTRIBUTES)
    group = zarr.open_group(tmp_path / "t", mode="r")
    assert group.metadata.zarr_format == 3
    assert np.array_equal(group["X"][:], arrays["X"].compute())
    assert group["y"][:].tolist() == arrays["y"].compute().tolist()
    assert group["X"].metadata.dimension_names == ("row", "feature")
    assert group["pixels"].metadata.dimension_names == ("row", "pixels_1", "pixels_2")
    assert group["score/entropy"].metadata.dimension_names == ("row",)
    for name in arrays:
        codecs = [codec["name"] for codec in group[name].metadata.to_dict()["codecs"]]
        assert codecs[-2:] == ["zstd", "crc32c"]
    assert group.attrs["dask_distill"]["provenance"] == {"rows": 400, "seed": 3, "loss": None}


def test_write__chunks_have_the_targets_size(tmp_path):
    wide = da.zeros((300, 2**20), dtype="u1", chunks=(7, 2**18))
    store.write(tmp_path / "t", {"wide": wide, "thin": wide[:, 0]}, {})
    group = zarr.open_group(tmp_path / "t", mode="r")
    assert group["wide"].chunks == (16, 2**20)
    assert group["thin"].chunks == (300,)


def test_write__chunks_of_zeros_are_stored(tmp_path, small_chunks):
    zeros = {"f": da.zeros((100, 4)), "t": da.full(100, "", dtype="U3"), "b": da.zeros(600, "?")}
    zeros["b"] = zeros["b"][:100]
    store.write(tmp_path / "t", zeros, {})
    manifest = store.read(tmp_path / "t")[1]["manifest"]
    stored = [described(tmp_path / "t", path) for path in chunk_files(tmp_path / "t")]
    promised = [f"array '{a}', chunk {n}:" for a, e in manifest.items() for n in e["digests"]]
    assert sorted(stored) == sorted(promised)
    assert len(stored) > 15


def test_write__every_input_is_read_once(tmp_path, small_chunks):
    reads = []

    def load(block_id=(0,)):
        reads.append(block_id)
        return np.ones((10, 4))

    base = da.map_blocks(load, chunks=((10,) * 6, (4,)), meta=np.empty((0, 0)), name="load-rows")
    store.write(tmp_path / "t", {"X": base[:, :3], "y": base[:, 3]}, {})
    assert sorted(reads) == [(n, 0) for n in range(6)]


def test_write__text_wider_than_declared_is_kept(tmp_path):
    block = delayed(np.array)(["short", "rather long"])
    array = da.from_delayed(block, (2,), dtype="U2")
    store.write(tmp_path / "t", {"y": array}, {})
    y = store.read(tmp_path / "t")[0]["y"].compute()
    assert y.tolist() == ["short", "rather long"]
    assert y.dtype == "<U11"


@pytest.mark.parametrize(
    ("values", "declared", "rule"),
    [
        (np.array(["a", None], object), object, "hold text, got NoneType"),
        (np.array([1.5, 2]), "i8", "hold int64, got float64"),
        (np.array([1, 2]), "U1", "hold text, got int64"),
        (np.array([1, 2, 3]), "i8", r"have shape \(2,\), got \(3,\)"),
        (np.array(["a", "\ud800"]), "U1", "lone surrogate"),
    ],
)
def test_write__values_that_are_not_as_declared_end_the_run(tmp_path, values, declared, rule):
    array = da.from_delayed(delayed(values), (2,), dtype=declared)
    with pytest.raises(DistillError, match=f"^array 'a', chunk 0 must .*{rule}"):
        store.write(tmp_path / "t", {"a": array}, {})
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize(
    ("arrays", "rule"),
    [
        ({"../a": da.zeros(3)}, "names must be plain"),
        ({"a//b": da.zeros(3)}, "names must be plain"),
        ({"zarr.json": da.zeros(3)}, "names must be plain"),
        ({"a": da.zeros(3), "a/b": da.zeros(3)}, "must not also be a group"),
        ({"a": da.zeros(3), "b": da.zeros(4)}, "same number of rows, got 3 in 'a', 4 in 'b'"),
        ({"a": da.zeros(3)[da.zeros(3) == 0]}, "chunks of known size"),
        ({"a": da.zeros((), chunks=())}, "must have rows"),
        ({"a": da.zeros(3, dtype="S3")}, "numbers, dates or text"),
        ({"a": da.zeros(3, dtype="g")}, "numbers, dates or text"),
        ({"a": da.ma.masked_equal(da.zeros(3), 0)}, "must not be masked"),
    ],
)
def test_write__refuses_what_no_group_can_hold(tmp_path, arrays, rule):
    with pytest.raises(InputError, match=rule):
        store.write(tmp_path / "t", arrays, {})
    assert everything_below(tmp_path) == []


def test_write__refuses_attributes_without_json(tmp_path):
    with pytest.raises(InputError, match="attributes must be plain"):
        store.write(tmp_path / "t", coreset(), {"model": object()})
    assert everything_below(tmp_path) == []


def test_write__tells_what_is_left(tmp_path, small_chunks):
    told = []
    store.write(tmp_path / "t", coreset(), {}, on_chunk=told.append)
    assert told == list(range(store.verify(tmp_path / "t").chunks, -1, -1))


# --- before work -------------------------------------------------------------------------------


def test_check_target__creates_nothing(tmp_path):
    store.check_target(tmp_path / "new" / "deep" / "t.zarr")
    assert everything_below(tmp_path) == []


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_check_target__refuses_one_that_exists(tmp_path, prefix):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "folder", "folder/", "link"):
        with pytest.raises(InputError, match=r"exists; choose another, or pass overwrite=True"):
            store.check_target(f"{prefix}{tmp_path}/{name}")


def test_check_target__overwrite_refuses_what_is_not_ours(tmp_path, memory):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "zarr.json").write_text("{")
    zarr.create_group(tmp_path / "foreign.zarr")
    memory.pipe("/bucket/key/thesis.tex", b"mine")
    before = everything_below(tmp_path)
    targets = [tmp_path / n for n in ("file", "folder", "broken", "foreign.zarr")]
    for target in [*targets, "memory://bucket/key"]:
        with pytest.raises(InputError, match="must be a subset written by dask-distill"):
            store.check_target(target, overwrite=True)
        with pytest.raises(InputError, match="must be a subset written by dask-distill"):
            store.write(target, coreset(), {}, overwrite=True)
    assert everything_below(tmp_path) == before
    assert memory.cat("/bucket/key/thesis.tex") == b"mine"


def test_check_target__refuses_the_source(tmp_path, monkeypatch):
    source = tmp_path / "source.zarr"
    store.write(source, coreset(), {})
    (tmp_path / "link").symlink_to(source)
    monkeypatch.chdir(tmp_path)
    targets = [source, f"{source}/", f"file://{source}", "source.zarr", tmp_path / "link",
               source / "inner", "link/inner", tmp_path, "./x/../source.zarr"]  # fmt: skip
    for target in targets:
        for spelled in (str(source), f"{source}/", f"file://{source}", "source.zarr", "link"):
            with pytest.raises(InputError, match="must not be, hold or lie in the source"):
                store.check_target(target, overwrite=True, sources=["elsewhere", spelled])
    store.check_target(tmp_path / "source.zarr2", sources=[str(source)])
    for target in ("s3://b/data", "s3a://b/data/", "s3://b/data/x", "s3://b", "s3://b//data"):
        with pytest.raises(InputError, match="must not be, hold or lie in the source"):
            store.check_target(target, sources=["s3://b/data"])


def test_check_target__refuses_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for target in ("file/t", "file/deep/t"):
        with pytest.raises(InputError, match="folder that can be written to"):
            store.check_target(tmp_path / target)
    # the tests may run as root, to whom everything is open
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match="folder that can be written to"):
        store.check_target(tmp_path / "t")


def test_check_target__unknown_protocol_is_bad_input():
    with pytest.raises(InputError, match="must be within reach"):
        store.check_target("nosuch://bucket/t")
    with pytest.raises(InputError, match="empty"):
        store.check_target("")


# --- whole or not at all -----------------------------------------------------------------------


def failing(rows=40, kind=RuntimeError):
    """Arrays of which one block fails when others have been written."""

    def fail(block, block_id=(0,)):
        if block_id[0] == 30:
            raise kind("disk on fire")
        return block

    arrays = coreset(rows)
    arrays["late"] = da.zeros(rows, chunks=1).map_blocks(fail, dtype=float, meta=np.empty(0))
    return arrays


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_write__a_failure_midway_leaves_nothing(tmp_path, small_chunks, scheduler, kind):
    for _ in range(5):
        with dask.config.set(scheduler=scheduler), pytest.raises(kind):
            store.write(tmp_path / "new" / "t", failing(kind=kind), {})
    time.sleep(0.3)
    assert everything_below(tmp_path) == []


def test_write__a_failure_midway_leaves_the_old_one(tmp_path, small_chunks):
    store.write(tmp_path / "t", coreset(), ATTRIBUTES)
    before = everything_below(tmp_path)
    with pytest.raises(RuntimeError, match="disk on fire"):
        store.write(tmp_path / "t", failing(), {}, overwrite=True)
    assert everything_below(tmp_path) == before
    assert store.verify(tmp_path / "t").ok


def test_write__a_task_nobody_awaits_leaves_nothing(tmp_path, small_chunks):
    layout = _chunks.Layout.of("a", da.zeros(10))
    location = Location(str(tmp_path / "work"))
    group = zarr.create_group(tmp_path / "work")
    _chunks.create_array(group, "a", layout)
    (tmp_path / "work" / "zarr.json").unlink()
    with pytest.raises(DistillError, match="called off"):
        _chunks.write_chunk(location, "a", 0, layout, np.zeros(10))
    assert everything_below(tmp_path) == []


def test_write__overwrite_keeps_the_old_one_readable_until_commit(tmp_path):
    old = store.write(tmp_path / "t", coreset(), ATTRIBUTES)
    seen = []

    def look(block):
        seen.append(store.read(tmp_path / "t")[1]["digest"])
        return block

    fresh = coreset(20)
    fresh["X"] = fresh["X"].map_blocks(look, meta=np.empty((0, 0), "f4"))
    new = store.write(tmp_path / "t", fresh, {}, overwrite=True)
    assert set(seen) == {old["digest"]}
    assert store.read(tmp_path / "t")[1]["digest"] == new["digest"] != old["digest"]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


@pytest.mark.parametrize("atomic", [True, False])
def test_write__a_subset_can_replace_itself(tmp_path, monkeypatch, atomic):
    if not atomic:
        monkeypatch.setattr(local, "_exchange", lambda one, other: False)
    store.write(tmp_path / "real", coreset(), {})
    (tmp_path / "t").symlink_to("real")
    arrays, _ = store.read(tmp_path / "t")
    store.write(tmp_path / "t", {"X": arrays["X"][:10]}, {}, overwrite=True)
    assert store.read(tmp_path / "t")[0]["X"].shape == (10, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real", "t"]
    assert (tmp_path / "t").is_symlink()


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("overwrite", [True, False])
def test_commit__two_writers_one_wins(tmp_path, monkeypatch, atomic, overwrite):
    if not atomic:
        monkeypatch.setattr(local, "_exchange", lambda one, other: False)
    target = tmp_path / "t"
    if overwrite:
        store.write(target, coreset(), {})
    won = []

    def interfere(block):
        if not won:
            won.append(store.write(target, coreset(10), {}, overwrite=overwrite)["digest"])
        return block

    arrays = coreset(20)
    arrays["X"] = arrays["X"].rechunk(-1).map_blocks(interfere, meta=np.empty((0, 0), "f4"))
    with pytest.raises(InputError, match="another one has written it"):
        store.write(target, arrays, {}, overwrite=overwrite)
    assert store.read(target)[1]["digest"] == won[0]
    assert store.verify(target).ok
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


KILLED = """
import sys, time, pathlib
import dask, dask.array as da
from dask_distill.storage import chunks as _chunks, group as store
_chunks._CHUNK_BYTES = 256
folder = pathlib.Path(sys.argv[1])
def wait(left):
    if left == 5:
        (folder / "midway").touch()
        time.sleep(100)
dask.config.set(scheduler="sync")
X = da.ones((80, 4), chunks=10)
store.write(folder / "t", {"X": X}, {}, overwrite=True, on_chunk=wait)
"""


@pytest.mark.parametrize("there", [False, True])
def test_write__a_killed_process_leaves_the_target_as_it_was(tmp_path, there):
    if there:
        digest = store.write(tmp_path / "t", coreset(), ATTRIBUTES)["digest"]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "midway").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    if there:
        assert store.verify(tmp_path / "t").ok
        assert store.read(tmp_path / "t")[1]["digest"] == digest
    else:
        with pytest.raises(InputError, match="does not exist"):
            store.read(tmp_path / "t")
    [staging] = tmp_path.glob(".t.partial-*")
    assert len(chunk_files(staging)) == 5
    with pytest.raises(IncompleteOutput, match="commit marker is missing; the manifest is missing"):
        store.read(staging)
    store.check_target(staging, overwrite=True)
    store.write(tmp_path / "t", coreset(), {}, overwrite=there)
    assert store.verify(tmp_path / "t").ok


# --- reading and verifying ---------------------------------------------------------------------


def edit(target, change):
    """Change our attribute in the file."""
    path = Path(target) / "zarr.json"
    metadata = json.loads(path.read_text())
    change(metadata["attributes"]["dask_distill"])
    path.write_text(json.dumps(metadata))


@pytest.fixture
def target(tmp_path, small_chunks):
    store.write(tmp_path / "t", coreset(), ATTRIBUTES)
    return tmp_path / "t"


def test_verify__a_whole_target_is_whole(target):
    found = store.verify(target)
    assert found.ok
    assert (found.rows, found.arrays, found.chunks) == (40, 5, len(chunk_files(target)))
    assert found.digest == store.read(target)[1]["digest"]


def test_verify__a_flipped_bit_in_any_chunk_is_found_and_named(target):
    for path in chunk_files(target):
        whole = path.read_bytes()
        for position in (0, len(whole) // 2, len(whole) - 1):
            broken = bytearray(whole)
            broken[position] ^= 1
            path.write_bytes(broken)
            found = store.verify(target)
            assert found.problems == (f"{described(target, path)} checksum error",)
        name = described(target, path).split("'")[1]
        with pytest.raises(DistillError, match="checksum error"):
            store.read(target)[0][name].compute()
        path.write_bytes(whole)
    assert store.verify(target).ok


def test_verify__a_truncated_chunk_is_found_and_named(target):
    path = chunk_files(target)[-1]
    whole = path.read_bytes()
    for length in (0, 3, len(whole) // 2):
        path.write_bytes(whole[:length])
        [problem] = store.verify(target).problems
        assert problem.startswith(described(target, path)[:-1])


def test_verify__a_deleted_chunk_is_found_and_named(target):
    for path in chunk_files(target):
        whole = path.read_bytes()
        path.unlink()
        assert store.verify(target).problems == (f"{described(target, path)} missing",)
        name = described(target, path).split("'")[1]
        with pytest.raises(IncompleteOutput, match="missing"):
            store.read(target)[0][name].compute()
        path.write_bytes(whole)


def test_verify__rewritten_values_are_found_and_named(target):
    zarr.open_array(target / "X", mode="r+")[17] = 5
    assert store.verify(target).problems == ("array 'X', chunk 1: digest differs",)


def test_verify__damaged_metadata_are_told_not_raised(target):
    for path in sorted(target.rglob("zarr.json")):
        whole = path.read_text()
        for broken in ("", "{", "[]", "{}", whole.replace("[", "{", 1), whole.replace("4", "5")):
            path.write_text(broken)
            found = store.verify(target)
            # a group between says nothing that is needed
            assert found.ok == (path.parent.name == "score" or broken == whole)
            assert found.ok or found.problems
        path.write_text(whole)
    (target / "X" / "zarr.json").unlink()
    assert store.verify(target).problems == ("array 'X' is missing",)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda c: c.pop("commit"), "commit marker is missing"),
        (lambda c: c.update(commit=1), "commit marker is missing"),
        (lambda c: c.pop("manifest"), "manifest is missing"),
        (lambda c: c["manifest"].update({"../../etc": c["manifest"]["X"]}), "etc' is damaged"),
        (lambda c: c["manifest"]["X"].update(shape=[10**15, 4]), "'X' is damaged"),
        (lambda c: c["manifest"]["X"].update(chunks=[10**9, 4]), "'X' is damaged"),
        (lambda c: c["manifest"]["X"].update(dtype="V9"), "'X' is damaged"),
        (lambda c: c["manifest"]["X"]["digests"].popitem(), "'X' is damaged"),
        (lambda c: c["manifest"].update(X=3), "'X' is damaged"),
        (lambda c: c["manifest"]["X"].update(dtype="<f8"), "differ from the manifest's"),
        (lambda c: c["manifest"].pop("y"), "manifest differs"),
        (lambda c: c["provenance"].update(seed=4), "attributes differ"),
    ],
)
def test_verify__a_changed_attribute_is_found(target, change, problem):
    edit(target, change)
    found = store.verify(target)
    assert not found.ok
    assert any(problem in text for text in found.problems)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"index": np.array([3, 2] * 20)}, "'index' is not ascending"),
        ({"index": np.repeat(np.arange(20), 2)}, "'index' is not ascending"),
        ({"index": np.arange(-1, 39)}, "'index' is not ascending"),
        ({"index": np.r_[np.arange(32), np.arange(8)]}, "'index' is not ascending"),
        ({"index": np.arange(40, dtype="i4")}, "'index' must be int64, got int32"),
        ({"weight": np.full(40, 9, "f4")}, "'weight' sums to 360, not to 400 rows"),
        ({"weight": np.r_[np.zeros(1), np.full(39, 400 / 39)]}, "not finite and above 0"),
        ({"weight": np.full(40, np.nan)}, "not finite and above 0"),
    ],
)
def test_verify__invariants_of_a_coreset(tmp_path, small_chunks, more, problem):
    store.write(tmp_path / "t", coreset(**more), ATTRIBUTES)
    [found] = store.verify(tmp_path / "t").problems
    assert problem in found


def test_read__a_target_without_its_marker_is_incomplete(target):
    edit(target, lambda content: content.pop("commit"))
    with pytest.raises(IncompleteOutput, match="is incomplete: the commit marker is missing"):
        store.read(target)


def test_read__names_the_arrays_that_are_missing(target):
    for name in ("X", "score/entropy"):
        (target / name / "zarr.json").unlink()
    with pytest.raises(IncompleteOutput, match="'X' is missing; array 'score/entropy' is missing"):
        store.read(target)


def test_read__refuses_what_is_not_ours(tmp_path):
    zarr.create_group(tmp_path / "foreign.zarr")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("foreign.zarr", "folder", "file"):
        with pytest.raises(InputError, match="must be a zarr group written by dask-distill"):
            store.read(tmp_path / name)
        assert not store.verify(tmp_path / name).ok
    for name in ("none", "file/none"):
        with pytest.raises(InputError, match="does not exist"):
            store.read(tmp_path / name)
        with pytest.raises(InputError, match="does not exist"):
            store.verify(tmp_path / name)


def test_read__refuses_a_later_format(target):
    edit(target, lambda content: content.update(format_version=2))
    for function in (store.read, store.verify):
        with pytest.raises(InputError, match="format version 1 at most, got 2"):
            function(target)
    with pytest.raises(InputError, match="format version"):
        store.check_target(target, overwrite=True)


def test_read__computes_nothing_and_works_from_any_folder(target, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays, _ = store.read("t")
    monkeypatch.chdir("/")
    assert same(arrays["X"].compute(), coreset()["X"].compute())


# --- other stores, other schedulers ------------------------------------------------------------


class Vault(MemoryFileSystem):
    """A remote store that wants a secret, and can be told to talk about it."""

    protocol = "vault"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    broken = ""

    def __init__(self, token, headers=None, **options):
        super().__init__(**options)
        self.token, self.headers = token, headers

    @classmethod
    def _strip_protocol(cls, path):
        return MemoryFileSystem._strip_protocol(path.replace("vault://", "memory://"))

    def pipe_file(self, path, value, **options):
        if self.broken and self.broken in path:
            raise PermissionError(f"token {self.token} in {self.headers} may not write {path}")
        return super().pipe_file(path, value, **options)

    def exists(self, path, **options):
        if self.broken == "exists":
            raise PermissionError(f"token {self.token} may not look")
        return super().exists(path, **options)


OPTIONS = {"token": SECRET, "headers": {"Authorization": f"Bearer {SECRET}"}}


@pytest.fixture
def vault():
    fsspec.register_implementation("vault", Vault, clobber=True)
    yield Vault
    Vault.broken = ""
    Vault.store.clear()
    Vault.pseudo_dirs[:] = [""]


def test_remote__round_trip_and_overwrite(memory, small_chunks):
    url = "memory://bucket/deep/t.zarr"
    arrays = coreset()
    receipt = store.write(url, arrays, ATTRIBUTES)
    assert receipt["target"] == url
    assert store.verify(url).ok
    read, _ = store.read(url)
    assert all(same(read[name].compute(), arrays[name].compute()) for name in arrays)
    with pytest.raises(InputError, match="exists"):
        store.write(url, arrays, {})
    store.write(url, {"index": da.arange(30, chunks=4)}, {}, overwrite=True)
    assert store.verify(url).ok
    assert list(store.read(url)[0]) == ["index"]
    assert not memory.exists("/bucket/deep/t.zarr/X")
    memory.rm("/bucket/deep/t.zarr/index/c/0")
    assert store.verify(url).problems == ("array 'index', chunk 0: missing",)
    with pytest.raises(InputError, match="does not exist"):
        store.read("memory://bucket/none")


@pytest.mark.parametrize("overwrite", [False, True])
def test_remote__a_failure_midway_leaves_it_as_it_was(memory, small_chunks, overwrite):
    url = "memory://bucket/t.zarr"
    if overwrite:
        store.write(url, coreset(), {})
    before = memory.find("/bucket")
    with pytest.raises(RuntimeError, match="disk on fire"):
        store.write(url, failing(), {}, overwrite=overwrite)
    time.sleep(0.3)
    assert memory.find("/bucket") == before
    store.write(url, coreset(), {}, overwrite=overwrite)
    assert store.verify(url).ok


def test_remote__a_failure_at_commit_leaves_it_incomplete_and_the_rest_beside(vault, small_chunks):
    url = "vault://bucket/t.zarr"
    store.write(url, coreset(), {}, storage_options=OPTIONS)

    def fail(self, one, two, **options):
        raise PermissionError(f"token {self.token} may not copy")

    vault.cp_file = fail
    try:
        with pytest.raises(DistillError, match="holds the whole subset") as caught:
            store.write(url, coreset(20), {}, storage_options=OPTIONS, overwrite=True)
    finally:
        del vault.cp_file
    assert SECRET not in str(caught.value)
    with pytest.raises(IncompleteOutput, match="commit marker is missing"):
        store.read(url, storage_options=OPTIONS)
    assert not store.verify(url, storage_options=OPTIONS).ok
    [staging] = fsspec.filesystem("vault", **OPTIONS).glob("/bucket/.t.zarr.partial-*")
    assert store.verify(f"vault:/{staging}", storage_options=OPTIONS).ok
    store.write(url, coreset(), {}, storage_options=OPTIONS, overwrite=True)
    assert store.verify(url, storage_options=OPTIONS).ok


@pytest.mark.parametrize("again", [False, True])
def test_remote__a_commit_that_failed_is_finished_by_the_next(vault, small_chunks, again):
    """What was whole takes its place; an overwrite can fail again, and loses nothing either."""
    url, system = "vault://bucket/t.zarr", fsspec.filesystem("vault", **OPTIONS)
    whole = Vault.cp_file

    def fail(self, one, two, **options):
        if two.endswith("weight/zarr.json"):
            raise PermissionError("may not copy")
        whole(self, one, two, **options)

    vault.cp_file = fail
    try:
        with pytest.raises(DistillError, match="holds the whole subset"):
            store.write(url, coreset(20), {}, storage_options=OPTIONS)
    finally:
        vault.cp_file = whole
    place = Location(url, OPTIONS)
    with pytest.raises(IncompleteOutput, match="finishes this") as caught:
        store.read(url, storage_options=OPTIONS)
    beside = caught.value.args[0].split("'")[3]
    digest = store.verify(beside, storage_options=OPTIONS).digest
    if again:
        with pytest.raises(RuntimeError, match="disk on fire"):
            store.write(url, failing(), {}, storage_options=OPTIONS, overwrite=True)
    else:
        finish(place)
    assert store.verify(url, storage_options=OPTIONS).ok
    assert store.verify(url, storage_options=OPTIONS).digest == digest
    assert not system.glob("/bucket/.t.zarr.partial-*/*")


@pytest.mark.parametrize("name", ["other.zarr", ".t.zarr.partial-1/../../other.zarr", "", 7, None])
def test_remote__a_claim_that_names_another_place_moves_nothing(memory, name):
    """What a target says of itself may be made to harm."""
    store.write("memory://bucket/other.zarr", coreset(), {})
    store.write("memory://bucket/t.zarr", coreset(20), {})
    claim = {"zarr_format": 3, "node_type": "group"}
    claim["attributes"] = {"dask_distill": {"format_version": 1, "claim": "x", "staged": name}}
    memory.pipe_file("/bucket/t.zarr/zarr.json", json.dumps(claim).encode())
    before = memory.find("/bucket")
    finish(Location("memory://bucket/t.zarr"))
    assert memory.find("/bucket") == before


@pytest.mark.parametrize("overwrite", [True, False])
def test_remote__two_writers_one_wins(memory, overwrite):
    url = "memory://bucket/t.zarr"
    if overwrite:
        store.write(url, coreset(), {})
    won = []

    def interfere(block):
        if not won:
            won.append(store.write(url, coreset(10), {}, overwrite=overwrite)["digest"])
        return block

    arrays = coreset(20)
    arrays["X"] = arrays["X"].rechunk(-1).map_blocks(interfere, meta=np.empty((0, 0), "f4"))
    with pytest.raises(InputError, match="another one has written it"):
        store.write(url, arrays, {}, overwrite=overwrite)
    assert store.read(url)[1]["digest"] == won[0]
    assert store.verify(url).ok
    assert not memory.glob("/bucket/.t.zarr*")


def test_remote__a_bucket_is_no_target():
    with pytest.raises(InputError, match="must be a place in a bucket"):
        store.check_target("s3://bucket")


def test_options__reach_nothing_that_is_written_or_said(vault, small_chunks):
    url = "vault://bucket/t.zarr"
    store.write(url, coreset(), ATTRIBUTES, storage_options=OPTIONS)
    assert store.verify(url, storage_options=OPTIONS).ok
    arrays, content = store.read(url, storage_options=OPTIONS)
    texts = [repr(content), repr(arrays), repr(list(arrays["X"].dask)), arrays["X"]._repr_html_()]
    texts += [str(key) + str(file.getvalue()) for key, file in vault.store.items()]
    texts += [repr(store.Location(url, OPTIONS)), str(store.Location(url, OPTIONS))]
    assert len(vault.store) > 10
    assert not [text for text in texts if SECRET in text]
    assert pickle.loads(pickle.dumps(store.Location(url, OPTIONS))).options == OPTIONS


@pytest.mark.parametrize("broken", ["X/c/1", "t.zarr/zarr.json", "exists"])
def test_options__show_in_no_error(vault, small_chunks, broken):
    vault.broken = broken
    url = "vault://bucket/t.zarr"
    with pytest.raises(DistillError, match="PermissionError") as caught:
        store.write(url, coreset(), {}, storage_options=OPTIONS)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert "***" in str(caught.value)


def test_options__passwords_in_urls_do_not_show():
    location = store.Location("ftp://user:hunter2@host/t")
    assert location.shown == "ftp://user:***@host/t"
    assert "hunter2" not in repr(location)
    assert store.Location("abfs://container@account/t").shown == "abfs://container@account/t"


def test_distributed__same_digest_and_failures_leave_nothing(tmp_path, small_chunks):
    distributed = pytest.importorskip("distributed")
    expected = store.write(tmp_path / "threads", coreset(), ATTRIBUTES)["digest"]
    told = []
    with (
        distributed.LocalCluster(
            processes=True, n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0"
        ) as cluster,
        distributed.Client(cluster),
    ):
        for number, tell in enumerate([None, told.append]):
            target = tmp_path / str(number)
            receipt = store.write(target, coreset(), ATTRIBUTES, on_chunk=tell)
            assert receipt["digest"] == expected
            assert store.verify(target).ok
            with pytest.raises(RuntimeError, match="disk on fire"):
                store.write(tmp_path / "t", failing(), {}, on_chunk=tell)
        read, _ = store.read(tmp_path / "0")
        assert same(read["X"].compute(), coreset()["X"].compute())
        time.sleep(0.5)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "threads"]
    assert told[: told.index(0) + 1] == list(range(told[0], -1, -1))


@pytest.mark.parametrize("remote", [False, True])
def test_read__one_that_was_replaced_meanwhile_is_not_mixed(tmp_path, memory, small_chunks, remote):
    target = "memory://bucket/t" if remote else tmp_path / "t"
    first, second = (da.from_array(np.arange(400) * sign, chunks=100) for sign in (1, -1))
    store.write(target, {"index": first}, {})
    old = store.read(target)[0]["index"]
    assert old[:100].compute().tolist() == list(range(100))
    store.write(target, {"index": second}, {}, overwrite=True)
    with pytest.raises(IncompleteOutput, match="not what it was when the subset was opened"):
        old.compute()
    assert store.read(target)[0]["index"][-1].compute() == -399


def test_write__sweeps_up_what_a_removal_could_not_remove(tmp_path, monkeypatch):
    """A disk that fails while a folder is removed leaves some of it, under a name nobody wants."""
    target = tmp_path / "t"
    arrays = {"X": da.from_array(np.arange(6.0).reshape(3, 2), chunks=-1)}
    store.write(target, arrays, {})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        store.write(target, arrays, {}, overwrite=True)
    (left,) = set(os.listdir(tmp_path)) - {"t"}
    assert left.endswith(".bin")
    store.write(target, arrays, {}, overwrite=True)
    assert os.listdir(tmp_path) == ["t"]
    # what another run is about to put in its place is not swept
    other = tmp_path / ".t.partial-abc.turn"
    other.mkdir()
    store.write(target, arrays, {}, overwrite=True)
    assert other.exists()


@pytest.mark.parametrize("failures", [1, 2])
def test_remote__a_removal_that_fails_once_is_made_again(memory, monkeypatch, failures):
    """What stays of a run that is over would look like one to go on with."""
    work = Location("memory://bucket/.t.resume-abc")
    for name in ("request.json", "selection.npz"):
        memory.pipe_file(f"/bucket/.t.resume-abc/{name}", b"{}")
    left, plain = [failures], MemoryFileSystem.rm

    def rm(self, path, **how):
        if left[0]:
            left[0] -= 1
            raise OSError(5, "the store is busy")
        return plain(self, path, **how)

    monkeypatch.setattr(MemoryFileSystem, "rm", rm)
    if failures == 1:
        discard_remotely(work)
        assert not memory.exists("/bucket/.t.resume-abc")
        return
    with pytest.raises(DistillError, match=r"must be removed.*the store is busy"):
        discard_remotely(work)
