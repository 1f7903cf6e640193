"""Where a run takes place: what is refused, and what is asked of a batch system."""

import importlib.util
import os
import signal
import subprocess
import sys
from pathlib import Path

import dask
import numpy as np
import pytest
import yaml
import zarr

from dask_distill import verify
from dask_distill.clusters import CLUSTERS
from dask_distill.clusters.connect import closed_quietly, connect
from dask_distill.clusters.slurm import slurm_cluster
from dask_distill.clusters.slurm_settings import certificates, cluster_options, jobs_wanted
from dask_distill.config import setting
from dask_distill.errors import InputError

ROOT = Path(__file__).parents[1]
PROGRAM = Path(sys.executable).with_name("dask-distill")


def refused(**arguments):
    with pytest.raises(InputError) as caught, connect(**arguments):
        pass
    return str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"cluster": "cloud"}, "cluster must be one of local, slurm, kubernetes, got 'cloud'"),
        ({"cluster": "slurm", "workers": 0}, "workers must be at least 1, got 0"),
        (
            {"cluster": "slurm", "scheduler_address": "tcp://127.0.0.1:1"},
            "at most one of cluster, scheduler_address and scheduler_file may be given, got 2; "
            "cluster is for a cluster that is started for the run",
        ),
        (
            {"cluster": "local", "scheduler_file": "s.json"},
            "at most one of cluster, scheduler_address and scheduler_file may be given, got 2; "
            "cluster is for a cluster that is started for the run",
        ),
        (
            {"workers": 1, "scheduler_file": "s.json"},
            "at most one of workers, scheduler_address and scheduler_file may be given, got 2; "
            "workers is for a cluster that is started here",
        ),
    ],
)
def test_connect__refuses_what_contradicts_itself(arguments, sentence):
    assert refused(**arguments) == sentence


@pytest.mark.parametrize("cluster", ["slurm", "kubernetes"])
def test_connect__names_the_extra_that_is_missing(cluster, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentence = refused(cluster=cluster)
    assert f"cluster '{cluster}' needs dask-" in sentence
    assert f'which is not installed; pip install "dask-distill[{cluster}]"' in sentence


def test_options__offer_the_clusters_that_there_are():
    from dask_distill.cli.main import cli

    for command in ("run", "evaluate", "curve"):
        option = next(o for o in cli.commands[command].params if o.name == "cluster")
        assert list(option.type.choices) == list(CLUSTERS)


# ---------------------------------------------------------------- what Slurm is told


def job_script(**settings):
    """Of a worker's job, and its lines."""
    pytest.importorskip("dask_jobqueue")
    from dask_distill.clusters.slurm import _interrupts_kept

    with _interrupts_kept():
        from dask_jobqueue.slurm import SLURMJob
    with dask.config.set({f"distill.slurm.{key}": value for key, value in settings.items()}):
        _, options = cluster_options()
    scheduler = options.pop("scheduler_options")
    job = SLURMJob("tls://192.0.2.1:8786", name="w", **options)
    return scheduler, job.job_script().splitlines()


def test_job_script__says_what_the_settings_say(tmp_path):
    scheduler, lines = job_script(
        **{
            "queue": "long",
            "account": "physics",
            "cores": 6,
            "processes": 3,
            "memory": "12GiB",
            "walltime": "02:00:00",
            "local-directory": "$TMPDIR",
            "log-directory": str(tmp_path / "logs"),
            "job-script-prologue": ["module load python"],
            "job-extra-directives": ["--constraint=ib"],
            "worker-extra-args": ["--resources", "GPU=1"],
            "python": "/opt/python",
            "interface": "lo",
        }
    )
    directives = {line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")}
    assert {
        "-J distill", "-p long", "-A physics", "-n 1", "--cpus-per-task=6", "--mem=12G",
        "-t 02:00:00", "--constraint=ib", f"-o {tmp_path}/logs/distill-%J.out",
    } <= directives  # fmt: skip
    assert lines.index("module load python") < len(lines) - 1
    command = lines[-1]
    assert command.startswith(
        "/opt/python -m distributed.cli.dask_worker tls://192.0.2.1:8786 --name w --nthreads 2 "
        "--memory-limit 4.00GiB --nworkers 3 --nanny"
    )
    for words in ("--local-directory $TMPDIR", "--resources GPU=1", "--interface lo",
                  "--dashboard-address 127.0.0.1:0", "--death-timeout 60"):  # fmt: skip
        assert words in command
    assert scheduler == {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}


def test_job_script__without_an_interface_workers_listen_where_they_reach_the_scheduler(tmp_path):
    scheduler, lines = job_script(**{"log-directory": str(tmp_path)})
    assert '--host "$DISTILL_HOST"' in lines[-1]
    address = next(line for line in lines if line.startswith("DISTILL_HOST="))
    shown = subprocess.run(
        ["bash", "-c", f"{address}; echo $DISTILL_HOST"], capture_output=True, text=True, check=True
    )
    # the worker is on this machine, too
    assert shown.stdout.strip() == scheduler["host"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cores": 0}, "distill.slurm.cores must be a whole number of at least 1, got 0"),
        ({"cores": "4"}, "distill.slurm.cores must be a whole number of at least 1, got '4'"),
        (
            {"cores": 4, "processes": 3},
            "distill.slurm.processes must divide distill.slurm.cores 4, got 3; leave it unset "
            "for one process a core",
        ),
        (
            {"memory": "much"},
            "distill.slurm.memory must be a number of bytes such as 16GiB, got 'much'",
        ),
        (
            {"job-script-prologue": "module load python"},
            "distill.slurm.job-script-prologue must be a list of strings, got 'module load python'",
        ),
        (
            {"adaptive.minimum": 4, "adaptive.maximum": 3},
            "distill.slurm.adaptive.maximum must be at least minimum 4, got 3",
        ),
    ],
)
def test_slurm__settings_that_cannot_be_are_refused(settings, sentence, tmp_path):
    named = {f"distill.slurm.{key}": value for key, value in settings.items()}
    with (
        dask.config.set(named | {"distill.slurm.log-directory": str(tmp_path / "logs")}),
        pytest.raises(InputError) as caught,
        slurm_cluster(),
    ):
        pass
    assert str(caught.value) == sentence
    assert not (tmp_path / "logs").exists()


def test_slurm__leaves_dasks_configuration_as_it_was():
    """In a process of its own: distributed may not have been loaded before."""
    script = """
import dask
from dask_distill.clusters.slurm import slurm_cluster
from dask_distill.errors import InputError
wrong = {"distill.slurm.adaptive.minimum": 4, "distill.slurm.adaptive.maximum": 3}
try:
    with dask.config.set(wrong), slurm_cluster():
        pass
except InputError:
    import distributed
    assert dask.config.get("distributed.comm.require-encryption") is None
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_slurm__an_interface_that_is_not_there_is_refused():
    with (
        dask.config.set({"distill.slurm.interface": "ib7"}),
        pytest.raises(InputError, match=r"distill.slurm.interface must be .*'ib7'"),
    ):
        cluster_options()


def test_slurm__workers_are_rounded_up_to_whole_jobs():
    assert jobs_wanted(5, 2) == (3, 3)
    with dask.config.set({"distill.slurm.adaptive": {"minimum": 1, "maximum": 9}}):
        assert jobs_wanted(None, 4) == (1, 3)


@pytest.mark.parametrize(
    ("tasks", "workers", "sentence"),
    [
        (2, None, r"srun must start at least 3 tasks .* got 2; raise --ntasks"),
        (5, 4, "workers must be srun's tasks less two, 3, got 4; leave it out"),
    ],
)
def test_slurm__tasks_of_srun_must_suffice(tasks, workers, sentence, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", str(tasks))
    with pytest.raises(InputError, match=sentence), slurm_cluster(workers):
        pass


def test_certificates__are_for_their_user_alone_and_gone_at_the_end(tmp_path):
    pytest.importorskip("cryptography")
    with certificates(tmp_path) as security:
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
        assert [file.stat().st_mode & 0o077 for file in folder.iterdir()] == [0, 0, 0]
        assert security.require_encryption
    assert not list(tmp_path.iterdir())
    with dask.config.set({"distill.slurm.encrypt": False}), certificates(tmp_path) as security:
        assert security is None


# ---------------------------------------------------------------- settings and launchers


def test_setting__a_default_outlives_what_was_set_for_a_while():
    with dask.config.set({"distill.slurm.cores": 2}):
        assert setting("slurm.cores") == 2
        assert setting("slurm.queue") is None
    assert setting("slurm.cores") == 4


def leaves(tree, above=()):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, key))
        else:
            yield ".".join((*above, key))


@pytest.mark.parametrize("cluster", ["local", "slurm"])
def test_example_settings__name_every_setting_of_their_cluster(cluster):
    defaults = yaml.safe_load((ROOT / "dask_distill" / "distill.yaml").read_text())
    example = yaml.safe_load((ROOT / "cluster" / cluster / "distill.yaml").read_text())
    wanted = set(leaves(defaults["distill"][cluster]))
    assert set(leaves(example["distill"][cluster])) == wanted


def test_local_launcher__gives_what_run_gives_and_goes_on_where_one_died(tmp_path):
    calls = tmp_path / "dask-distill"
    calls.write_text('#!/usr/bin/env bash\necho "$@" "$DASK_CONFIG"\n')
    calls.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    environment.pop("DASK_CONFIG", None)
    launcher = ROOT / "cluster" / "local" / "distill.sh"
    for arguments, expected in [
        (["in put", "out"], "run in put out --resume --cluster local"),
        (["in", "out", "--overwrite"], "run in out --overwrite --cluster local"),
    ]:
        done = subprocess.run(
            [launcher, *arguments], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == f"{expected} {launcher.parent / 'distill.yaml'}"


# ---------------------------------------------------------------- how a run ends


class Ends:
    """A context whose end fails."""

    def __enter__(self):
        return self

    def __exit__(self, *failed):
        raise TimeoutError


def test_closing__cannot_fail_what_was_done():
    with closed_quietly(Ends()) as value:
        assert isinstance(value, Ends)
    with pytest.raises(ZeroDivisionError), closed_quietly(Ends()):
        _ = 1 / 0


SLOW = """
import asyncio, sys
from distributed.process import AsyncProcess
join = AsyncProcess.join
async def slow(self, timeout=None):
    await join(self, timeout)
    raise asyncio.TimeoutError
if __name__ == "__main__":
    AsyncProcess.join = slow
    from dask_distill.cli import main
    main()
"""


def test_run__a_worker_that_is_slow_to_stop_is_no_failure(labelled, tmp_path):
    """What Dask raises then comes after the commit."""
    np.savez(tmp_path / "in.npz", X=labelled.X[:500], y=labelled.y[:500])
    (tmp_path / "slow.py").write_text(SLOW)
    words = ["run", "in.npz", "out.zarr", "--size", "50", "--strategy", "stratified"]
    done = subprocess.run(
        [sys.executable, "slow.py", *words, "--workers", "1", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "Error" not in done.stderr
    assert verify(tmp_path / "out.zarr").ok


@pytest.fixture
def large(tmp_path):
    """A source that takes long to select from, and the words for it."""
    group = zarr.open_group(tmp_path / "in.zarr", mode="w")
    group["X"] = np.random.default_rng(0).normal(size=(200_000, 20)).astype("f4")
    words = ["run", str(tmp_path / "in.zarr"), str(tmp_path / "out.zarr"), "--fraction", "0.2"]
    return [str(PROGRAM), *words, "--strategy", "kcenter", "--workers", "1"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupt__is_one_line_and_no_traceback(large, number, code):
    """As a terminal sends it: to all processes at once."""
    run = subprocess.Popen(
        large, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    lines = []
    for line in run.stderr:
        lines.append(line)
        if "survey" in line:
            break
    os.killpg(run.pid, number)
    rest = run.communicate(timeout=100)[1]
    assert run.returncode == code
    assert "Traceback" not in "".join(lines) + rest
    assert rest.rstrip().endswith("stopped; what is finished is kept for --resume")


DROPPED = """
import gc, signal, sys, weakref
from dask_distill.runtime.dask_runner import DaskRunner

class Thing:
    pass

def struck(self, watched, kept, settle=DaskRunner.settle):
    # where it cannot be raised: Python drops what a weak reference's callback raises
    thing = Thing()
    kept_alive = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))
    del thing
    return settle(self, watched, kept)

if __name__ == "__main__":
    DaskRunner.settle = struck
    from dask_distill.cli.main import main
    main()
"""


def test_interrupt__that_python_drops_ends_the_run_all_the_same(large, tmp_path):
    (tmp_path / "dropped.py").write_text(DROPPED)
    done = subprocess.run(
        [sys.executable, "dropped.py", *large[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.rstrip().endswith("stopped; what is finished is kept for --resume")


def parent_of_a_worker():
    """The command line of what a worker is a fork of."""
    with connect(workers=1) as client:
        (parent,) = client.run(os.getppid).values()
        return Path(f"/proc/{parent}/cmdline").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_local__workers_are_forks_unless_it_is_said_otherwise(monkeypatch):
    assert "multiprocessing.forkserver" in parent_of_a_worker()
    monkeypatch.setenv("SET_LATER", "yes")
    with connect(workers=1) as client:
        (later,) = client.run(lambda: os.environ.get("SET_LATER")).values()
    assert later == "yes"
    with dask.config.set({"distill.local.forks": False}):
        assert "multiprocessing.forkserver" not in parent_of_a_worker()
    # another cluster that is open here has no say
    with connect(workers=1), dask.config.set({"distill.local.forks": False}):
        assert "multiprocessing.forkserver" not in parent_of_a_worker()


def test_closed_pipe__ends_without_a_word(tmp_path):
    np.savez(tmp_path / "in.npz", X=np.ones((50, 3)))
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [str(PROGRAM), "plan", str(tmp_path / "in.npz"), "--size", "5"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""
