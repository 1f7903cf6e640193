"""The job through a real Slurm: launched, cancelled midway, resumed; the same digest always."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import dask
import numpy as np
import pytest
import zarr

from dask_distill import distill
from dask_distill.clusters.connect import connect
from dask_distill.errors import DistillError
from dask_distill.storage import group as store

sys.path.insert(0, str(Path(__file__).parent))
import slurm_daemons

WHY_NOT = slurm_daemons.missing()
pytestmark = [
    pytest.mark.deploy,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        bool(slurm_daemons.missing()), reason=slurm_daemons.missing() or "Slurm can be started"
    ),
]
ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "cluster" / "slurm" / "distill.sbatch"
PROGRAM = Path(sys.executable).with_name("dask-distill")
ENDED = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY")
SMALL = {
    "distill.slurm.cores": 1,
    "distill.slurm.memory": "2GiB",
    "distill.slurm.lost-worker-timeout": "1s",
}


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    with (
        slurm_daemons.running(tmp_path_factory.mktemp("slurm") / "s") as up,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in up.environment.items():
            patch.setenv(name, value)
        # jobs call what is in this environment by its name
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        for key, value in SMALL.items():
            patch.setenv(f"DASK_{key.replace('.', '__').replace('-', '_').upper()}", str(value))
        yield up


@pytest.fixture
def folder(queue, tmp_path, monkeypatch):
    """Where a run takes place; no job outlives a test."""
    monkeypatch.chdir(tmp_path)
    with dask.config.set(SMALL):
        yield tmp_path
    queue.cancel_all()


@pytest.fixture(scope="module")
def source(labelled, tmp_path_factory):
    """A data set, and the digest that threads of this process give."""
    place = tmp_path_factory.mktemp("source")
    group = zarr.open_group(place / "in.zarr", mode="w")
    X, y = labelled.X[:8_000], labelled.y[:8_000]
    for name, values in {"X": X, "y": y}.items():
        array = group.create_array(
            name, shape=values.shape, chunks=(2000, *values.shape[1:]), dtype=values.dtype
        )
        array[:] = values
    digest = distill(X, y, size=500).to_zarr(place / "whole")["digest"]
    return place / "in.zarr", digest


def submit(queue, *arguments, workers=2):
    """The launcher, as a user calls it; the number of the job."""
    told = queue.call(
        "sbatch", "--parsable", f"--ntasks={workers}", "--mem-per-cpu=2G", "--time=15",
        str(LAUNCHER), *map(str, arguments), "--size", "500",
    )  # fmt: skip
    return int(told.partition(";")[0])


def wait_until(condition, otherwise, seconds=240):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def text(path):
    return path.read_text() if path.exists() else ""


def assert_whole(target, digest):
    found = store.verify(target)
    assert found.ok, found.problems
    assert found.digest == digest


# ---------------------------------------------------------------- one allocation


def test_launcher__cancelled_midway_and_submitted_again_gives_the_digest_of_threads(
    queue, source, folder
):
    place, digest = source
    target = folder / "out.zarr"
    first = submit(queue, place, target)
    begun = lambda: list(folder.glob(".out.zarr.resume-*/*"))  # noqa: E731
    wait_until(begun, lambda: text(folder / f"distill-{first}.log"))
    queue.call("scancel", str(first))
    assert queue.wait_for(first, ENDED) == "CANCELLED"
    assert begun()
    assert not target.exists()
    second = submit(queue, place, target)
    assert queue.wait_for(second, ENDED) == "COMPLETED", text(folder / f"distill-{second}.log")
    assert_whole(target, digest)
    names = {path.name for path in folder.iterdir()} - {f"distill-{n}.log" for n in (first, second)}
    assert names - {f".distill-job-{first}"} == {"out.zarr"}


def test_launcher__bad_input_fails_the_job_with_its_sentence(queue, folder):
    np.savez("in.npz", X=np.zeros((20, 2)), y=np.zeros(20, int))
    job = submit(queue, "in.npz", "out.zarr", workers=1)
    assert queue.wait_for(job, ENDED) == "FAILED"
    assert "dask-distill: error: size must be" in text(folder / f"distill-{job}.log")


def test_runner__tasks_of_one_srun_share_the_roles(queue, source, folder):
    place, digest = source
    target = folder / "out.zarr"
    told = queue.call(
        "srun", "--ntasks=3", "--mem-per-cpu=2G", "--time=10", "--kill-on-bad-exit=1",
        str(PROGRAM), "run", str(place), str(target), "--size", "500", "--cluster", "slurm",
        "--json", seconds=240,
    )  # fmt: skip
    assert json.loads(told)["workers"] == 1
    assert_whole(target, digest)
    assert not list(folder.glob(".distill-scheduler-*"))


# ---------------------------------------------------------------- workers as jobs


def test_cluster_slurm__a_job_cancelled_midway_and_the_same_digest(queue, source, folder):
    place, digest = source
    target = folder / "out.zarr"
    before = set(queue.jobs())
    with subprocess.Popen(
        [PROGRAM, "run", place, target, "--size", "500", "--cluster", "slurm", "--workers", "2"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if "survey: done" in line:
                    workers = sorted(set(queue.jobs()) - before)
                    queue.call("scancel", str(workers[0]))
                    queue.wait_for(workers[0], ("CANCELLED",))
                    assert process.poll() is None, "the run was over before a job was cancelled"
            assert process.wait(240) == 0, lines
        finally:
            process.kill()
    assert len(workers) == 2
    assert_whole(target, digest)
    for job in set(queue.jobs()) - before:
        assert queue.wait_for(job, ENDED) == "CANCELLED"


def test_cluster_slurm__lost_jobs_of_several_workers_are_replaced(queue, folder):
    before = set(queue.jobs())
    options = {"distill.slurm.cores": 2, "distill.slurm.adaptive.minimum": 3}
    with dask.config.set(options), connect(cluster="slurm") as client:
        first = set(queue.jobs()) - before
        assert len(first) == 2, "three workers take two jobs of two"
        assert client.scheduler.address.startswith("tls://")
        queue.call("scancel", str(min(first)))
        wait_until(lambda: len(set(queue.jobs()) - before) == 3, queue.jobs)
        client.wait_for_workers(4, timeout=30)
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    assert not list(folder.glob("distill-logs/.distill-keys-*"))


def test_cluster_slurm__what_slurm_refuses_is_told(queue, folder):
    with (
        dask.config.set({"distill.slurm.queue": "nowhere"}),
        pytest.raises(DistillError, match=r"but said: .*[Ii]nvalid partition.*check distill.slurm"),
        connect(cluster="slurm", workers=1),
    ):
        pass


def test_cluster_slurm__a_queue_that_never_moves_is_told(queue, folder):
    # held, as a queue that is full
    with (
        dask.config.set(
            {"distill.slurm.job-extra-directives": ["--hold"], "distill.slurm.start-timeout": "1s"}
        ),
        pytest.raises(DistillError, match=r"within 1 s.*job \d+ is PENDING \(JobHeldUser\)"),
        connect(cluster="slurm", workers=1),
    ):
        pass


def test_cluster_slurm__jobs_that_die_at_once_are_told(queue, folder):
    with (
        dask.config.set({"distill.slurm.job-script-prologue": ["exit 3"]}),
        pytest.raises(DistillError, match=r"must run, but have ended.*see their logs in"),
        connect(cluster="slurm", workers=1),
    ):
        pass
