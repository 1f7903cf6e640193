"""Every storage call fails once, enumerated: success or a typed error, and resume completes.

Locally an audit hook sees every file that this process opens, makes, moves, lists or removes,
whichever library does it; looks (stat) are wrapped. Requests to S3 fail one by one in test_s3.py.
"""

import errno
import os
import sys
import threading
from functools import partial
from pathlib import Path

import dask
import numpy as np
import pytest
import zarr

from dask_distill import open_coreset, open_dataset
from dask_distill.errors import DistillError, IncompleteOutput, InputError
from dask_distill.pipeline import distill_to_zarr
from dask_distill.selection.request import Request
from dask_distill.storage import group as store
from dask_distill.strategies import make_strategy

EVENTS = {"open", "os.rename", "os.mkdir", "os.listdir", "os.scandir", "os.remove", "os.rmdir"}
ROWS, SIZE = 64, 8


class Disk:
    """Counts the calls that touch a folder, and lets one of them fail."""

    def __init__(self):
        self.lock = threading.Lock()
        self.folder = None
        self.seen, self.fail, self.failed = 0, None, None
        # whether looks are counted, or everything else
        self.looks = False

    def watch(self, folder, fail=None, looks=False):
        self.looks = looks
        self.seen, self.fail, self.failed = 0, fail, None
        self.folder = os.fspath(folder)

    def call(self, event, path):
        if self.folder is None or self.looks != event.endswith("stat"):
            return
        if not isinstance(path, str | os.PathLike):
            return
        if not os.fspath(path).startswith(self.folder):
            return
        with self.lock:
            self.seen += 1
            struck = self.seen == self.fail
        if struck:
            self.failed = f"{event} {os.path.basename(path)}"
            raise OSError(errno.EIO, "Input/output error", os.fspath(path))


DISK = Disk()


def hook(event, arguments):
    if DISK.folder is not None and event in EVENTS:
        DISK.call(event, arguments[0])


@pytest.fixture(scope="module")
def disk():
    """An audit hook cannot be taken away again: it is put to sleep."""
    sys.addaudithook(hook)
    yield DISK
    DISK.folder = None


@pytest.fixture
def synced(monkeypatch, disk):
    """Bringing to the disk is a call too, by a handle."""
    whole = os.fsync

    def fsync(handle):
        disk.call("os.fsync", os.readlink(f"/proc/self/fd/{handle}"))
        whole(handle)

    if Path("/proc/self/fd").exists():
        monkeypatch.setattr(os, "fsync", fsync)


@pytest.fixture
def looked(monkeypatch, disk):
    """No audit event tells of these."""

    def look(whole, path, *args, **options):
        disk.call(f"os.{whole.__name__}", path)
        return whole(path, *args, **options)

    for whole in (os.stat, os.lstat):
        monkeypatch.setattr(os, whole.__name__, partial(look, whole))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    X = np.random.default_rng(0).normal(size=(ROWS, 3))
    zarr.open_group(folder / "in.zarr", mode="w").create_array("X", data=X)
    return folder / "in.zarr"


def run(source, target, seed=0, **more):
    request = Request(strategy=make_strategy("random"), size=SIZE, seed=seed)
    with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"}):
        return distill_to_zarr(open_dataset(source), target, request, **more)[1]["digest"]


def readable(target, known):
    """What a reader finds is whole and known, or said to be incomplete, or not there."""
    try:
        open_coreset(target)
    except (IncompleteOutput, InputError):
        return None
    found = store.verify(target)
    assert found.ok, found.problems
    assert found.digest in known
    return found.digest


# zarr leaves coroutines behind where one of several fails
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("overwrite", "step", "looks", "name"),
    [
        (False, 1, False, "t"),
        (True, 5, False, "t"),
        pytest.param(True, 1, False, "t", marks=pytest.mark.soak),
        (False, 4, True, "t"),
        (True, 9, True, "t"),
        pytest.param(False, 1, True, "t", marks=pytest.mark.soak),
        pytest.param(True, 1, True, "t", marks=pytest.mark.soak),
        (False, 5, False, "t.parquet"),
        (True, 7, False, "t.parquet"),
        pytest.param(False, 1, False, "t.parquet", marks=pytest.mark.soak),
        pytest.param(True, 1, False, "t.parquet", marks=pytest.mark.soak),
        pytest.param(True, 1, True, "t.parquet", marks=pytest.mark.soak),
    ],
)
def test_local__every_call_fails_once(
    source, tmp_path, disk, synced, looked, overwrite, step, looks, name
):
    new = run(source, tmp_path / f"whole.{name}")
    old = run(source, tmp_path / f"old.{name}", seed=1)

    def one(number):
        """Whether there was such a call."""
        folder = tmp_path / f"{number}"
        folder.mkdir()
        target = folder / name
        if overwrite:
            run(source, target, seed=1)
        disk.watch(folder, number, looks)
        told = ""
        try:
            run(source, target, overwrite=overwrite)
        except DistillError as error:
            told = str(error)
        except Exception as error:
            told = f"{type(error).__name__}\n"
        seen, disk.folder = disk.seen, None
        assert "\n" not in told, (disk.failed, told)
        if number and disk.failed is None:
            return seen
        found = readable(target, {new, old} if overwrite else {new})
        if overwrite:
            assert found is not None, f"{disk.failed}: no reader may be without the old subset"
        if overwrite and found == old and not list(folder.glob(".t*.resume-*/request.json")):
            # nothing was begun that could be resumed
            assert run(source, target, overwrite=True) == new
        else:
            assert run(source, target, resume=True) == new, disk.failed
        assert readable(target, {new}) == new
        left = [entry.name for entry in folder.iterdir() if entry.name != name]
        assert not [name for name in left if ".resume-" in name], (disk.failed, left)
        return seen

    calls = one(0)
    assert calls > 50
    problems = []
    for number in range(1, calls + 1, step):
        try:
            one(number)
        except Exception as error:
            problems.append(f"call {number} of {calls}, {disk.failed}: {error!r}"[:300])
        finally:
            disk.folder = None
    assert not problems, "\n".join(problems)
