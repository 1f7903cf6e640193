"""Scores of all rows as a target: the same bits for any chunks, whole or not there, told apart."""

import itertools
import json
import os
import shutil
import sys
from pathlib import Path

import dask.array as da
import fsspec
import numpy as np
import pandas as pd
import pytest
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings, strategies as st

from dask_distill import Scores, distill, open_coreset, open_scores, score, verify
from dask_distill.errors import DistillError, IncompleteOutput, InputError
from dask_distill.storage import chunks as _chunks
from dask_distill.subset import parquet as _parquet
from dask_distill.subset.scores_target import read_scores, write_scores

sys.path.insert(0, str(Path(__file__).parent))
import deeds
from bucket import PROTOCOL
from mortal import Host, Strike

N = 5_000
TARGETS = ("scores.zarr", "scores.parquet")
TOLD = {"rows": N, "input": {"sources": []}}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def several_parts(monkeypatch):
    """Chunks of 256 rows, files of 512."""
    monkeypatch.setattr(_chunks, "_CHUNK_BYTES", 1024)
    monkeypatch.setattr(_parquet, "_STEP_ROWS", 128)
    monkeypatch.setattr(_parquet, "_STEPS", 4)


@pytest.fixture
def memory():
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def values(seed=0):
    rng = np.random.default_rng(seed)
    found = {name: rng.normal(size=N).astype(np.float32) for name in ("gradient", "entropy")}
    # of a row that was left out there is none
    found["entropy"][17] = np.nan
    return found


def lazy(chunks=1000, seed=0):
    return {name: da.from_array(each, chunks=chunks) for name, each in values(seed).items()}


def write(target, *, chunks=1000, seed=0, **how):
    return write_scores(lazy(chunks, seed), TOLD, target, **how)


def parts_of(target):
    """Chunks or files."""
    found = Path(target).rglob("c/*" if target.endswith("zarr") else "*.parquet")
    return sorted(path for path in found if path.is_file())


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize("target", TARGETS)
def test_write__what_is_read_again_is_what_was_there(target):
    receipt = write(target)
    found, told = read_scores(target)
    assert list(found) == ["gradient", "entropy"]
    assert told["rows"] == N
    assert told["bytes_on_the_wire"]["total"] == receipt["bytes_on_the_wire"]["total"]
    for name, expected in values().items():
        assert isinstance(found[name], da.Array)
        assert found[name].dtype == np.float32
        assert not np.isnan(found[name].shape).any()
        np.testing.assert_array_equal(found[name].compute(), expected)
    checked = verify(target)
    assert checked.ok
    assert checked.scores
    assert not checked.synthetic
    assert (checked.rows, checked.digest) == (N, receipt["digest"])


def test_write__zarr_is_read_without_us():
    write("scores.zarr")
    group = zarr.open_group("scores.zarr", mode="r")
    array = group["score/entropy"]
    assert array.metadata.dimension_names == ("row",)
    assert array.chunks == (256,)
    np.testing.assert_array_equal(array[:], values()["entropy"])
    told = dict(group.attrs)["dask_distill"]
    assert (told["kind"], told["format_version"]) == ("scores", 1)
    assert told["commit"]["digest"] == told["digest"]


def test_write__parquet_is_read_without_us():
    write("scores.parquet")
    frame = pd.read_parquet("scores.parquet")
    assert frame.dtypes.astype(str).to_dict() == {
        "_index": "int64",
        "_score_gradient": "float32",
        "_score_entropy": "float32",
    }
    np.testing.assert_array_equal(frame["_index"], np.arange(N))
    np.testing.assert_array_equal(frame["_score_entropy"], values()["entropy"])
    assert len(list(Path("scores.parquet").glob("part-*.parquet"))) == -(-N // 512)
    told = json.loads(Path("scores.parquet/_dask_distill.json").read_text())
    assert (told["kind"], told["format_version"]) == ("scores", 1)


@pytest.mark.parametrize("target", TARGETS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.sets(st.integers(1, N - 1), max_size=12))
def test_write__same_digest_for_any_chunks(target, cuts):
    edges = [0, *sorted(cuts), N]
    heights = tuple(stop - start for start, stop in itertools.pairwise(edges))
    shutil.rmtree(target, ignore_errors=True)
    assert write(target, chunks=(heights,))["digest"] == _expected(target)


def _expected(target, known={}):  # noqa: B006
    if target not in known:
        known[target] = write(f"once-{target}", chunks=N)["digest"]
    return known[target]


@pytest.mark.parametrize("target", TARGETS)
def test_write__same_digest_by_workers(target, local_client):
    local_client(2)
    assert write(target, chunks=333)["digest"] == _expected(target)
    found, _ = read_scores(target)
    np.testing.assert_array_equal(found["gradient"].compute(), values()["gradient"])


@pytest.mark.parametrize("target", TARGETS)
def test_scores__write_and_open(target):
    X = da.random.default_rng(0).normal(size=(3000, 4), chunks=(700, 2))
    scores = score(X, (X[:, 0] > 0).astype(int))
    receipt = scores.write(target)
    assert verify(target).digest == receipt["digest"]
    found = open_scores(target)
    assert isinstance(found, Scores)
    assert list(found) == list(scores)
    assert found.provenance["input"] == json.loads(json.dumps(scores.provenance["input"]))
    table = scores.table.compute()
    np.testing.assert_array_equal(found.table.compute(), table)
    np.testing.assert_array_equal(found["margin"].compute(), table[:, list(scores).index("margin")])
    assert list(found.to_frame().columns) == list(scores)
    other = score(X.rechunk((111, -1)), (X[:, 0] > 0).astype(int))
    assert other.write(target, overwrite=True)["digest"] == receipt["digest"]


@pytest.mark.parametrize("target", TARGETS)
def test_scores__are_written_in_one_pass(target):
    read = []

    def note(block, block_info=None):
        read.append(block_info[0]["chunk-location"][0])
        return block

    X = da.random.default_rng(0).normal(size=(3000, 4), chunks=(700, 4))
    y = (X[:, 0] > 0).astype(int).compute()
    scores = score(X.map_blocks(note, dtype=X.dtype, meta=np.empty((0, 0))), y)
    read.clear()
    scores.write(target)
    assert sorted(read) == [0, 1, 2, 3, 4]


def test_open_scores__each_is_read_for_itself():
    write("scores.zarr")
    scores = open_scores("scores.zarr")
    shutil.rmtree("scores.zarr/score/gradient/c")
    np.testing.assert_array_equal(scores["entropy"].compute(), values()["entropy"])
    with pytest.raises(IncompleteOutput, match=r"array 'score/gradient', chunk \d+: missing"):
        scores.table.compute()


# ---------------------------------------------------------------- what is not whole, or not ours


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(bytes(data))


def change_told(target, change):
    path = Path(target) / ("zarr.json" if target.endswith("zarr") else "_dask_distill.json")
    told = json.loads(path.read_text())
    change(told["attributes"]["dask_distill"] if target.endswith("zarr") else told)
    path.write_text(json.dumps(told))


@pytest.mark.parametrize("target", TARGETS)
def test_verify__finds_a_flipped_bit(target):
    write(target)
    flip(parts_of(target)[3])
    (problem,) = verify(target).problems
    assert "checksum" in problem or "digest differs" in problem


@pytest.mark.parametrize("target", TARGETS)
def test_verify__finds_a_part_that_is_gone(target):
    write(target)
    parts_of(target)[3].unlink()
    (problem,) = verify(target).problems
    assert "missing" in problem


@pytest.mark.parametrize("target", TARGETS)
def test_verify__finds_another_provenance(target):
    write(target)
    change_told(target, lambda told: told["provenance"].update(rows=N + 1))
    assert verify(target).problems == ("the attributes differ from those committed",)


@pytest.mark.parametrize("target", TARGETS)
def test_open__without_the_commit_is_incomplete(target):
    write(target)
    change_told(target, lambda told: told.pop("commit"))
    with pytest.raises(IncompleteOutput, match="the commit marker is missing"):
        read_scores(target)
    assert not verify(target).ok


@pytest.mark.parametrize("target", TARGETS)
def test_open__a_part_that_another_put_there_is_not_read(target):
    write(target)
    found, _ = read_scores(target)
    shutil.rmtree(target)
    write(target, seed=1)
    with pytest.raises(IncompleteOutput, match="is not what it was when"):
        found["gradient"].compute()


@pytest.mark.parametrize("target", TARGETS)
def test_open_coreset__refuses_scores_and_names_the_way(target):
    write(target)
    with pytest.raises(InputError, match="got the scores of all rows; open it with open_scores"):
        open_coreset(target)


@pytest.mark.parametrize("target", TARGETS)
def test_open__refuses_a_subset_and_names_the_way(target):
    coreset = distill(np.arange(40.0).reshape(20, 2), size=5, strategy="random")
    (coreset.to_zarr if target.endswith("zarr") else coreset.to_parquet)(target)
    with pytest.raises(InputError, match="got rows; open it with open_coreset"):
        read_scores(target)
    with pytest.raises(InputError, match="must be scores written by dask-distill to be overwr"):
        write(target, overwrite=True)
    assert len(open_coreset(target)) == 5


@pytest.mark.parametrize("target", TARGETS)
def test_write__replaces_scores_where_asked_to(target):
    first = write(target)["digest"]
    with pytest.raises(InputError, match="exists; choose another, or pass overwrite=True"):
        write(target)
    second = write(target, seed=1, overwrite=True)["digest"]
    assert verify(target).digest == second != first


def test_write__keeps_clear_of_the_source():
    with pytest.raises(InputError, match="must not be, hold or lie in the source"):
        write_scores(lazy(), {"input": {"sources": ["here/in.zarr"]}}, "here/in.zarr/scores")


# ---------------------------------------------------------------- what dies on the way


def failing(scores, row):
    """Scores of which a block cannot be computed."""

    def fail(block, block_info=None):
        start, stop = block_info[0]["array-location"][0]
        if start <= row < stop:
            raise DistillError("the cluster died")
        return block

    return {name: array.map_blocks(fail, dtype=array.dtype) for name, array in scores.items()}


def counted(scores, seen):
    """Scores that note which blocks are computed."""

    def note(block, block_info=None):
        seen.append(block_info[0]["array-location"][0][0])
        return block

    return {name: array.map_blocks(note, dtype=array.dtype) for name, array in scores.items()}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("remote", [False, True])
def test_write__goes_on_without_what_is_there(target, remote, memory):
    place = f"memory://bucket/{target}" if remote else target
    with pytest.raises(DistillError, match="the cluster died"):
        write_scores(failing(lazy(256), 4000), TOLD, place, run="one")
    assert not fsspec.core.url_to_fs(place)[0].exists(place)
    system, path = fsspec.core.url_to_fs(place)
    work = system.find(f"{path.rpartition('/')[0]}/.{target}.partial-one")
    left = [key for key in work if "/c/" in key or key.endswith(".parquet")]
    assert left, "something was finished"
    # one of them is not what it was
    data = bytearray(system.cat_file(left[0]))
    data[len(data) // 2] ^= 16
    system.pipe_file(left[0], bytes(data))
    seen = []
    receipt = write_scores(counted(lazy(256), seen), TOLD, place, run="one")
    assert receipt["digest"] == _expected(target)
    assert verify(place).ok
    # each finished part spares at least its own block
    assert 0 < len(seen) <= 2 * (-(-N // 256)) - (len(left) - 1)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda _: b"", lambda _: b"x" * 9])
def test_find_part__a_file_that_is_no_whole_one_is_written_again(change):
    with pytest.raises(DistillError, match="the cluster died"):
        write_scores(failing(lazy(256), 4000), TOLD, "scores.parquet", run="one")
    left = sorted(Path(".scores.parquet.partial-one").glob("part-*.parquet"))
    left[0].write_bytes(change(left[0].read_bytes()))
    assert write("scores.parquet", run="one")["digest"] == _expected("scores.parquet")
    assert verify("scores.parquet").ok


def test_write__of_an_object_store_that_outlives_us(folder):
    where = {"storage_options": {"root": str(folder)}}
    receipt = write(f"{PROTOCOL}://b/scores.zarr", **where)
    assert verify(f"{PROTOCOL}://b/scores.zarr", **where).digest == receipt["digest"]
    found, told = read_scores(f"{PROTOCOL}://b/scores.zarr", **where)
    assert str(folder) not in json.dumps(told)
    np.testing.assert_array_equal(found["gradient"].compute(), values()["gradient"])


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """A source, and processes that may die."""
    folder = tmp_path_factory.mktemp("hosts")
    deeds.make_source(folder / "in.zarr")
    with Host() as host:
        yield host, str(folder / "in.zarr")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="deaths are those of forks")
@pytest.mark.parametrize("place", [*TARGETS, f"{PROTOCOL}://out/scores"])
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_score__a_death_anywhere_leaves_nothing_half_and_is_resumed(hosts, folder, place, step):
    host, source = hosts
    remote = place.startswith(PROTOCOL)

    def do(deed, at, **more):
        home = folder / str(at)
        home.mkdir(exist_ok=True)
        target = place if remote else str(home / place)
        where = {"folder": home, "target": target} | ({"remote": str(home)} if remote else {})
        return host.do(deed, number=at, **where, **more)

    how = {"source": source, "seed": 0}
    assert "done" in do("score", 0, **how)
    expected = do("read_scores", 0)["done"]
    assert len(expected["values"]["gradient"]) == deeds.ROWS
    at, resumed = 1, 0
    while "died" in (told := do("score", at, strike=Strike("die", at), **how)):
        seen = do("read_scores", at)["done"]
        # whole, or nothing that could be taken for it
        assert "nothing" in seen or seen["digest"] == expected["digest"], told["struck"]
        resumed += bool(seen["beside"])
        again = do("score", at, resume=True, **how)
        assert again.get("done") == expected["digest"], (told["struck"], again)
        assert do("read_scores", at)["done"] == expected, told["struck"]
        other = do("score", at, resume=True, source=source, seed=1)
        assert "must be resumed with what the run that wrote it was given" in other["refused"]
        at += step
    assert "done" in told
    assert resumed > 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="deaths are those of forks")
def test_score__a_death_is_told_to_who_begins_again(hosts, folder):
    host, source = hosts
    how = {"folder": folder, "target": str(folder / "scores.zarr"), "source": source, "seed": 0}
    at = 1
    while "resume" not in str(os.listdir(folder)):
        assert "died" in host.do("score", number=at, strike=Strike("die", at), **how)
        at += 4
    refused = host.do("score", number=0, **how)["refused"]
    assert "has an unfinished run beside it" in refused
    assert "done" in host.do("score", number=0, overwrite=True, **how)
    assert os.listdir(folder) == ["scores.zarr"]
