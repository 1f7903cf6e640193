"""`follow`: what is appended is taken once, whole, and in the end; a kill costs nothing."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
import zarr
from click.testing import CliRunner

from dask_distill import IncompleteOutput, InputError, grow, open_coreset
from dask_distill.cli.main import cli
from dask_distill.follow import follow
from dask_distill.storage import group as store
from dask_distill.subset.summary import Settings

SETTINGS = Settings.of("random", None, None, 40, None)
COLUMNS = list("abcd")


def make(seed, rows=500):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4))
    return X, (X[:, 0] > 0).astype(np.int64)


def put(folder, name, seed, rows=500):
    """One parquet file, whole from the moment it is there."""
    folder.mkdir(exist_ok=True)
    X, y = make(seed, rows)
    table = pd.DataFrame(X, columns=COLUMNS).assign(y=y)
    table.to_parquet(folder / f".{name}.tmp")
    (folder / f".{name}.tmp").rename(folder / f"{name}.parquet")
    return X, y


def append(path, seed, rows=500):
    X, y = make(seed, rows)
    group = zarr.open_group(path, mode="a")
    for name, values in (("X", X), ("y", y)):
        if name not in group:
            chunks = (200, *values.shape[1:])
            shape = (0, *values.shape[1:])
            config = {"write_empty_chunks": True}
            group.create_array(name, shape=shape, chunks=chunks, dtype=values.dtype, config=config)
        group[name].append(values)
    return X, y


def batches(*parts):
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def test_folder__new_files_are_taken_once_in_the_order_of_their_names(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    first = [put(source, name, seed) for seed, name in enumerate("ab")]
    (source / "_metadata.parquet").write_bytes(b"not a table")
    done = list(follow(str(source), str(target), SETTINGS, once=True))
    assert [each.new_rows for each in done] == [1000]
    assert list(follow(str(source), str(target), SETTINGS, once=True)) == []
    third = put(source, "c", 2)
    done = list(follow(str(source), str(target), SETTINGS, once=True))
    assert [each.new_rows for each in done] == [500]
    X, y = batches(*first, third)
    expected = grow(X, y, size=40, strategy="random")
    found = open_coreset(target)
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.features.compute(), X[found.indices])
    assert found.summary.taken["files"] == ["a.parquet", "b.parquet", "c.parquet"]
    assert store.verify(target).ok


def test_folder__files_without_rows_are_passed_over(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    put(source, "a", 0)
    put(source, "b", 1, rows=0)
    put(source, "c", 2)
    (done,) = follow(str(source), str(target), SETTINGS, once=True)
    assert done.new_rows == 1000
    # with its verbs
    assert len(done.coreset.to_dataframe().compute()) == 40
    assert open_coreset(target).summary.taken["files"] == ["a.parquet", "b.parquet", "c.parquet"]


def test_folder__files_that_differ_are_not_mixed(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    source.mkdir()
    for name, labels in (("a", [0, 1] * 20), ("b", ["u", "v"] * 20)):
        np.savez(source / f"{name}.npz", X=np.arange(80.0).reshape(40, 2), y=labels)
    with pytest.raises(InputError, match="labels of a batch must be like"):
        list(follow(str(source), str(target), SETTINGS, once=True))


def test_zarr__rows_behind_those_taken(tmp_path):
    source, target = tmp_path / "in.zarr", tmp_path / "out.zarr"
    parts = [append(source, seed, 450) for seed in range(2)]
    assert len(list(follow(str(source), str(target), SETTINGS, once=True, max_rows=600))) == 2
    parts.append(append(source, 2, 333))
    (done,) = follow(str(source), str(target), SETTINGS, once=True)
    assert done.new_rows == 333
    X, y = batches(*parts)
    expected = grow(X, y, size=40, strategy="random")
    assert np.array_equal(open_coreset(target).indices, expected.indices)
    assert np.array_equal(open_coreset(target).features.compute(), X[expected.indices])
    zarr.open_group(source)["X"].resize((900, 4))
    zarr.open_group(source)["y"].resize((900,))
    with pytest.raises(InputError, match="must have the 1,233 rows that were taken, got 900"):
        list(follow(str(source), str(target), SETTINGS, once=True))


def test_follow__what_is_still_being_written_waits(tmp_path):
    source, target = tmp_path / "in.zarr", tmp_path / "out.zarr"
    parts = [append(source, 0)]
    stop, done = threading.Event(), []

    def run():
        for each in follow(str(source), str(target), SETTINGS, interval=0.05, stop=stop):
            done.append(each.new_rows)
            if len(done) == 2:
                stop.set()

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 60
    while not done and time.monotonic() < deadline:
        time.sleep(0.02)
    # arrays of different lengths, and then rows whose chunks are not there yet
    X, y = make(1)
    group = zarr.open_group(source)
    group["X"].resize((1000, 4))
    time.sleep(0.15)
    group["y"].resize((1000,))
    time.sleep(0.15)
    assert done == [500]
    group["X"][500:], group["y"][500:] = X, y
    thread.join(60)
    assert done == [500, 500]
    expected = grow(*batches(*parts, (X, y)), size=40, strategy="random")
    assert np.array_equal(open_coreset(target).indices, expected.indices)


def test_follow__a_broken_file_ends_it_and_what_was_committed_stays(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    put(source, "a", 0)
    (source / "b.parquet").write_bytes(b"no table")
    with pytest.raises(InputError, match=r"b\.parquet"):
        list(follow(str(source), str(target), SETTINGS, once=True, max_rows=10))
    assert open_coreset(target).provenance["rows"] == 500
    (source / "b.parquet").unlink()
    put(source, "b", 1)
    (done,) = follow(str(source), str(target), SETTINGS, once=True)
    assert done.coreset.provenance["rows"] == 1000


def command(source, target, *more):
    words = ("follow", str(source), str(target), "--size", "40", "--workers", "1", "--json", *more)
    return [sys.executable, "-c", "from dask_distill.cli import main; main()", *words]


@pytest.mark.timeout(300)
def test_follow__killed_and_started_again_ends_at_the_same_rows(tmp_path):
    source, target, calm = tmp_path / "in", tmp_path / "out.zarr", tmp_path / "calm.zarr"
    # one file a batch, so that batches are the same whenever it is killed
    more = ("--strategy", "kcenter", "--max-rows", "400", "--interval", "0.1")
    for number in range(4):
        put(source, f"{number}", number)
    rng = np.random.default_rng(5)
    for _ in range(2):
        process = subprocess.Popen(
            command(source, target, *more), stdout=subprocess.PIPE, start_new_session=True
        )
        if not target.exists():
            process.stdout.readline()
        time.sleep(rng.uniform(2, 5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        # whole, whatever it was doing
        assert store.verify(target).ok
    for place in (target, calm):
        done = subprocess.run(
            command(source, place, *more, "--once"), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    found, expected = (store.summary(place)["digest"] for place in (target, calm))
    assert found == expected
    assert open_coreset(target).provenance["rows"] == 2000
    # nothing is left beside it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calm.zarr", "in", "out.zarr"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_follow__a_signal_ends_it_between_batches(tmp_path, number):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    put(source, "a", 0)
    process = subprocess.Popen(
        command(source, target, "--interval", "0.1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told = json.loads(process.stdout.readline())
    assert (told["batch"], told["new_rows"], told["selected"]) == (1, 500, 40)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert open_coreset(target).provenance["rows"] == 500


def test_follow__other_settings_and_other_sources_are_refused(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    put(source, "a", 0)
    list(follow(str(source), str(target), SETTINGS, once=True))
    for other, place, sentence in (
        (Settings.of("random", None, None, 50, None), source, "size must be 40 as it was"),
        (SETTINGS, tmp_path / "elsewhere", "must follow the source"),
    ):
        put(place, "a", 0)
        with pytest.raises(InputError, match=sentence):
            list(follow(str(place), str(target), other, once=True))


def test_cli__says_what_it_took(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    put(source, "a", 0)
    words = ["follow", str(source), str(target), "--size", "40", "--once", "--workers", "1"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "batch 1: 500 new rows, 500 in all; selected 40, kept 400" in done.output
    assert "took 1 batch; the same command goes on from there" in done.output


def test_follow__another_one_on_the_same_target_ends_the_first(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    for name in "abc":
        put(source, name, ord(name))
    first = follow(str(source), str(target), SETTINGS, once=True, max_rows=1)
    next(first)
    second = follow(str(source), str(target), SETTINGS, once=True, max_rows=1)
    next(second)
    with pytest.raises(IncompleteOutput, match="another has taken its place"):
        next(first)
    assert [each.new_rows for each in second] == [500]
    assert store.verify(target).ok
    assert open_coreset(target).provenance["rows"] == 1500


def test_follow__what_a_killed_one_has_left_is_removed(tmp_path):
    source, target = tmp_path / "in", tmp_path / "out.zarr"
    put(source, "a", 0)
    left = tmp_path / ".out.zarr.partial-follow-0123"
    (left / "X").mkdir(parents=True)
    other = tmp_path / ".out.zarr.partial-0123"
    other.mkdir()
    list(follow(str(source), str(target), SETTINGS, once=True))
    assert not left.exists()
    assert other.exists()
