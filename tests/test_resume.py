"""A run that dies is continued: same digest, finished work used again, changes refused."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import dask.array as da
import fsspec
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem

from dask_distill.cli.main import cli
from dask_distill.conversation.run import Run
from dask_distill.data.dataset import as_dataset
from dask_distill.errors import DistillError, InputError
from dask_distill.pipeline import distill_to_zarr
from dask_distill.selection import choose as selecting
from dask_distill.selection.checkpoint import Checkpoint
from dask_distill.selection.request import Request
from dask_distill.selection.select import select
from dask_distill.storage import chunks as _chunks, group as store
from dask_distill.storage.location import Location
from dask_distill.strategies import make_strategy


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(_chunks, "_CHUNK_BYTES", 1024)


@pytest.fixture
def memory():
    yield fsspec.filesystem("memory")
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def dataset(labelled, spoil=None):
    X, y = labelled.X[:6000].copy(), labelled.names[:6000]
    if spoil is not None:
        X[spoil, 0] += 1
    number = da.from_array(np.arange(6000), chunks=700)
    return as_dataset(da.from_array(X, chunks=(1000, -1)), y, carry={"number": number})


def run(data, target, **changes):
    strategy = make_strategy(changes.pop("strategy", "stratified"))
    place = {key: changes.pop(key) for key in ("resume", "overwrite") if key in changes}
    request = Request(strategy=strategy, **({"size": 300} | changes))
    return distill_to_zarr(data, target, request, **place)[1]


def die_writing(monkeypatch, after=10):
    """The write task after so many chunks fails, as when all workers are gone."""
    written = []
    whole = _chunks.write_chunk

    def write(location, name, number, layout, values):
        if len(written) >= after:
            raise DistillError("the cluster died")
        written.append((name, number))
        return whole(location, name, number, layout, values)

    monkeypatch.setattr("dask_distill.storage.tasks.write_chunk", write)
    return written


def die_choosing(monkeypatch):
    def fail(*_, **__):
        raise DistillError("the cluster died")

    monkeypatch.setattr(selecting, "choose", fail)


def hidden(target):
    """What lies beside a target."""
    if "://" in str(target):
        system, path = fsspec.core.url_to_fs(str(target))
        head, _, name = path.rpartition("/")
        found = [key.rpartition("/")[2] for key in system.ls(head, detail=False)]
    else:
        head, name = os.path.split(target)
        found = os.listdir(head)
    return sorted(entry for entry in found if entry.startswith(f".{name}."))


@pytest.mark.parametrize("remote", [False, True])
def test_resume__after_a_death_in_writing(
    labelled, tmp_path, memory, monkeypatch, small_chunks, remote
):
    expected = run(dataset(labelled), tmp_path / "whole")["digest"]
    assert hidden(tmp_path / "whole") == []
    target = "memory://bucket/t" if remote else tmp_path / "t"
    with monkeypatch.context() as patch:
        first = die_writing(patch)
        with pytest.raises(DistillError, match="the cluster died; what is finished is kept: run"):
            run(dataset(labelled), target)
    assert [entry.split("-")[0] for entry in hidden(target)] == [".t.partial", ".t.resume"]
    with pytest.raises(InputError, match="does not exist"):
        store.read(target)
    with pytest.raises(InputError, match=r"its selection is finished\); continue it with resume"):
        run(dataset(labelled), target)
    # nothing is selected again, and no chunk written twice
    with monkeypatch.context() as patch:
        die_choosing(patch)
        second = die_writing(patch, after=1000)
        assert run(dataset(labelled), target, resume=True)["digest"] == expected
    assert len(first) == 10
    assert not set(first) & set(second)
    assert len(first) + len(second) == store.verify(target).chunks
    assert store.verify(target).ok
    assert hidden(target) == []
    # and once more: it is there
    assert run(dataset(labelled), target, resume=True)["digest"] == expected
    with pytest.raises(InputError, match='strategy was "stratified", is "random"'):
        run(dataset(labelled), target, resume=True, strategy="random")
    with pytest.raises(InputError, match="the values have changed"):
        run(dataset(labelled, spoil=5), target, resume=True)


def test_resume__after_a_death_in_selecting(labelled, tmp_path, monkeypatch):
    expected = run(dataset(labelled), tmp_path / "whole")["digest"]
    with monkeypatch.context() as patch:
        die_choosing(patch)
        with pytest.raises(DistillError, match="run again with resume"):
            run(dataset(labelled), tmp_path / "t")
    assert run(dataset(labelled), tmp_path / "t", resume=True)["digest"] == expected
    assert hidden(tmp_path / "t") == []


def test_resume__of_an_overwrite_replaces_only_then(labelled, tmp_path, monkeypatch):
    old = run(dataset(labelled), tmp_path / "t", seed=1)["digest"]
    with monkeypatch.context() as patch:
        die_writing(patch, after=2)
        with pytest.raises(DistillError, match="run again with resume"):
            run(dataset(labelled), tmp_path / "t", overwrite=True)
    assert store.verify(tmp_path / "t").digest == old
    new = run(dataset(labelled), tmp_path / "t", resume=True)["digest"]
    assert store.verify(tmp_path / "t").digest == new != old


def test_resume__begins_where_nothing_is(labelled, tmp_path):
    assert run(dataset(labelled), tmp_path / "t", resume=True)
    assert store.verify(tmp_path / "t").ok


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 301}, "size was 300, is 301"),
        ({"size": None, "fraction": 0.1}, "fraction was null, is 0.1; size was 300, is null"),
        ({"seed": 7}, "seed was 0, is 7"),
        ({"strategy": "random"}, 'strategy was "stratified", is "random"'),
        ({"certify": True}, "certify was false, is true"),
    ],
)
def test_resume__refuses_changed_parameters(labelled, tmp_path, monkeypatch, changes, sentence):
    with monkeypatch.context() as patch:
        die_writing(patch, after=2)
        with pytest.raises(DistillError):
            run(dataset(labelled), tmp_path / "t")
    with pytest.raises(InputError, match="must be resumed with what") as caught:
        run(dataset(labelled), tmp_path / "t", resume=True, **changes)
    assert sentence in str(caught.value)
    assert len(hidden(tmp_path / "t")) == 2
    assert run(dataset(labelled), tmp_path / "t", resume=True)


@pytest.mark.parametrize("phase", ["choose", "write"])
def test_resume__refuses_changed_input(labelled, tmp_path, monkeypatch, phase):
    with monkeypatch.context() as patch:
        die_writing(patch, after=2) if phase == "write" else die_choosing(patch)
        with pytest.raises(DistillError):
            run(dataset(labelled), tmp_path / "t")
    with pytest.raises(InputError, match="the values have changed"):
        run(dataset(labelled, spoil=4321), tmp_path / "t", resume=True)
    wider = dataset(labelled)
    wider = replace(wider, features=da.hstack([wider.features, wider.features]).rechunk((1000, -1)))
    with pytest.raises(InputError, match=r"features was .* 6\], .*, is .* 12\], "):
        run(wider, tmp_path / "t", resume=True)
    assert run(dataset(labelled), tmp_path / "t", resume=True)


@pytest.mark.parametrize("changed", [0, 299])
def test_resume__refuses_changed_carry(labelled, tmp_path, monkeypatch, small_chunks, changed):
    with monkeypatch.context() as patch:
        die_writing(patch, after=1000)
        patch.setattr("dask_distill.storage.group.make_manifest", lambda *_: die())
        with pytest.raises(DistillError):
            run(dataset(labelled), tmp_path / "t")
    chosen = np.load(next(tmp_path.glob(".t.resume-*/selection.npz")))["indices"][changed]
    other = np.arange(6000)
    other[chosen] = -1
    data = replace(dataset(labelled), carry={"number": da.from_array(other, chunks=700)})
    with pytest.raises(InputError, match="carry 'number' must have the same values to be resumed"):
        run(data, tmp_path / "t", resume=True)
    assert run(dataset(labelled), tmp_path / "t", resume=True)
    assert store.verify(tmp_path / "t").ok


def die():
    raise DistillError("the cluster died")


@pytest.mark.parametrize("entry", ["format version", "dask-distill version"])
def test_resume__refuses_another_version(labelled, tmp_path, monkeypatch, entry):
    with monkeypatch.context() as patch:
        die_writing(patch, after=2)
        with pytest.raises(DistillError):
            run(dataset(labelled), tmp_path / "t")
    [noted] = tmp_path.glob(".t.resume-*/request.json")
    content = json.loads(noted.read_text())
    content["request"][entry] = 0
    noted.write_text(json.dumps(content))
    with pytest.raises(InputError, match=f"{entry} was 0, is"):
        run(dataset(labelled), tmp_path / "t", resume=True)
    assert run(dataset(labelled), tmp_path / "t", overwrite=True)
    assert hidden(tmp_path / "t") == []


def test_resume__damaged_receipts_are_made_again(labelled, tmp_path, monkeypatch, small_chunks):
    expected = run(dataset(labelled), tmp_path / "whole")["digest"]
    with monkeypatch.context() as patch:
        die_writing(patch)
        with pytest.raises(DistillError):
            run(dataset(labelled), tmp_path / "t")
    [selection] = tmp_path.glob(".t.resume-*/selection.npz")
    selection.write_bytes(selection.read_bytes()[:-100])
    chunk = next(path for path in tmp_path.glob(".t.partial-*/*/c/**/*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-3])
    assert run(dataset(labelled), tmp_path / "t", resume=True)["digest"] == expected
    assert store.verify(tmp_path / "t").ok


def test_checkpoint__another_process_at_work_is_not_disturbed(labelled, tmp_path):
    target = Location(str(tmp_path / "t"))
    at_work = Checkpoint.start(target, {"a": 1})
    at_work.begin("fingerprint")
    for options in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(InputError, match="another one is at work"):
            Checkpoint.start(target, {"a": 1}, **options)
    at_work.close(keep=True)
    assert Checkpoint.start(target, {"a": 1}, resume=True).run == at_work.run


def test_checkpoint__nothing_is_unpickled(tmp_path):
    checkpoint = Checkpoint.start(Location(str(tmp_path / "t")), {})
    checkpoint.begin("fingerprint")
    [folder] = tmp_path.glob(".t.resume-*")
    evil = np.array([print], dtype=object)
    np.savez(folder / "selection.npz", indices=evil, weights=evil, meta=evil)
    assert checkpoint.selection() is None
    checkpoint.close()


def test_input_errors__leave_nothing(labelled, tmp_path):
    data = as_dataset(np.zeros((50, 2)), np.arange(50) % 2)
    with pytest.raises(InputError, match="distinct rows"):
        run(data, tmp_path / "t", size=3, strategy="kcenter")
    assert os.listdir(tmp_path) == []


def test_distill__a_checkpoint_gives_the_selection_again(labelled, tmp_path):
    checkpoint = Checkpoint.start(Location(str(tmp_path / "t")), {})
    request = Request(strategy=make_strategy("kcenter"), size=50, certify=True)
    asked = request.of(dataset(labelled))
    first, again = (select(asked, Run.here(), checkpoint) for _ in range(2))
    assert np.array_equal(first.indices, again.indices)
    assert np.array_equal(first.weights, again.weights)
    assert first.certificate == again.certificate
    assert first.provenance["seconds"] == again.provenance["seconds"]
    checkpoint.close()


def test_run__resume_and_overwrite_exclude_each_other(labelled, tmp_path):
    group = zarr.open_group(tmp_path / "in.zarr", mode="w")
    for name, values in {"X": labelled.X[:500], "y": labelled.y[:500]}.items():
        group.create_array(name, data=values)
    command = ["run", str(tmp_path / "in.zarr"), str(tmp_path / "t"), "--size", "5"]
    done = CliRunner().invoke(cli, [*command, "--resume", "--overwrite"])
    assert done.exit_code == 2
    assert "at most one of resume and overwrite may be given" in done.stderr
    program = Path(sys.executable).with_name("dask-distill")
    environment = os.environ | {"DASK_DISTILL__LOCAL__WORKERS": "1"}
    results = [
        json.loads(
            subprocess.check_output([program, *command, "--resume", "--json"], env=environment)
        )
        for _ in range(2)
    ]
    assert results[0]["digest"] == results[1]["digest"]
    assert results[1]["bytes_written"] == 0


def test_resume__what_a_first_run_has_finished_stays_whatever_goes_wrong(
    labelled, tmp_path, monkeypatch
):
    """Scripts always pass resume=True: a mistake at the end must not cost the selection."""

    def refuse(*_, **__):
        raise InputError("the carried values have changed")

    data = dataset(labelled)
    expected = run(data, tmp_path / "whole")["digest"]
    with monkeypatch.context() as patch:
        patch.setattr("dask_distill.pipeline.write_subset", refuse)
        with pytest.raises(InputError, match="have changed"):
            run(data, tmp_path / "t", resume=True)
        assert list(tmp_path.rglob("selection.npz"))
        patch.setattr("dask_distill.selection.select.reduced", refuse)
        with pytest.raises(InputError, match="have changed"):
            run(data, tmp_path / "t", resume=True)
    assert run(data, tmp_path / "t", resume=True)["digest"] == expected
