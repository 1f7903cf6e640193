"""Every option of every command reaches something: what is done is not the same without it.

Commands run here with the library's verbs replaced by ones that note what they are asked for. An
option that changes neither this, nor what is printed, nor whether the command is refused, is dead.
"""

import copy
import re
from contextlib import contextmanager
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import zarr
from click import Option
from click.testing import CliRunner

from dask_distill.cli import cli
from dask_distill.coreset import Coreset
from dask_distill.pipeline import distill
from dask_distill.runtime.progress import Silent
from dask_distill.scoring import score
from dask_distill.selection.request import Request
from dask_distill.storage.location import Location
from dask_distill.synthesis.synthetic import Synthetic

PLACE = {
    "cluster": ["--cluster", "slurm"],
    "workers": ["--workers", "1"],
    "scheduler_address": ["--scheduler-address", "tcp://127.0.0.1:1"],
    "scheduler_file": ["--scheduler-file", "nowhere.json"],
    "tls": ["--tls"],
    "tls_ca_file": ["--tls-ca-file", "nowhere.pem"],
    "tls_cert": ["--tls-cert", "nowhere.pem"],
    "tls_key": ["--tls-key", "nowhere.pem"],
    "verbose": ["--verbose"],
    "log_file": ["--log-file", "no/folder/run.log"],
}
STORAGE = {"storage": ["--storage-option", "auto_mkdir=true"]}
SOURCE = {
    "features": ["--features", "Z"],
    "labels": ["--labels", "z"],
    "carry": ["--carry", "t"],
    "fraction": ["--fraction", "0.3"],
    "size": ["--size", "7"],
    "strategy": ["--strategy", "random"],
    "options": ["--option", "trust=0.1"],
    "reduce": ["--reduce", "pca:2"],
    "time": ["--time", "t"],
    "sample_weight": ["--sample-weight", "t"],
    "time_scale": ["--time-scale", "5"],
    "scale": ["--scale", "rank"],
    "task": ["--task", "multilabel"],
    "on_missing": ["--on-missing", "error"],
    "protect": ["--protect", "class=1"],
    "initial": ["--initial", "rows.npy"],
    "split": ["--split", "train"],
    "where": ["--where", "year>2020"],
}
# of arrays, which `in.zarr` has, these are refused or told of
TABLES = {
    "columns": ["--column", "a=category"],
    "profile": ["--profile", "nowhere.json"],
}
WRITTEN = {"written": ["--columns", "a,b*"]}
SUBSETS = {"subsets": ["--subsets", "2"]}
SHOWN = {"as_json": ["--json"], "quiet": ["--quiet"]}
DRAWS = {
    "seeds": ["--seeds", "3"],
    "seed": ["--seed", "3"],
    "test_rows": ["--test-rows", "9"],
    "max_rows": ["--max-rows", "200"],
}
OPENED = {
    "features": ["--features", "Z"],
    "labels": ["--labels", "z"],
    "split": ["--split", "train"],
    "where": ["--where", "year>2020"],
}
SEED = {"seed": ["--seed", "3"]}
ON_INVALID = {"on_invalid": ["--on-invalid", "drop"]}
# command: what it is given anyway, and the words of each option
COMMANDS = {
    "run": (
        ["in.zarr", "out.zarr", "--fraction", "0.1"],
        SOURCE
        | SEED
        | ON_INVALID
        | PLACE
        | STORAGE
        | SHOWN
        | SUBSETS
        | TABLES
        | WRITTEN
        | {
            "keep_encoded": ["--keep-encoded"],
            "scores": ["--scores"],
            "from_scores": ["--from-scores", "scored.zarr"],
            "missing_label": ["--missing-label", "1"],
            "certify": ["--certify"],
            "resume": ["--resume"],
            "overwrite": ["--overwrite"],
            "performance_report": ["--performance-report", "no/folder/report.html"],
        },
    ),
    "plan": (
        ["in.zarr", "--fraction", "0.1"],
        SOURCE
        | SEED
        | ON_INVALID
        | STORAGE
        | SUBSETS
        | TABLES
        | WRITTEN
        | {
            "write_profile": ["--write-profile", "profile.json"],
            "missing_label": ["--missing-label", "1"],
            "workers": ["--workers", "7"],
            "explain": ["--explain"],
            "as_json": ["--json"],
        },
    ),
    "score": (
        ["in.zarr", "scores.zarr"],
        SEED
        | ON_INVALID
        | PLACE
        | STORAGE
        | SHOWN
        | TABLES
        | OPENED
        | {
            "sample_weight": ["--sample-weight", "t"],
            "criteria": ["--criteria", "entropy"],
            "proxy": ["--proxy", "ensemble"],
            "missing_label": ["--missing-label", "1"],
            "reduce": ["--reduce", "pca:2"],
            "time": ["--time", "t"],
            "time_scale": ["--time-scale", "5"],
            "scale": ["--scale", "rank"],
            "on_missing": ["--on-missing", "error"],
            "resume": ["--resume"],
            "overwrite": ["--overwrite"],
        },
    ),
    "verify": (["sub.zarr"], STORAGE | {"as_json": ["--json"]}),
    "strategies": (["auto"], {"as_json": ["--json"]}),
    "demo": (["demo"], {"fraction": ["--fraction", "0.3"], "workers": ["--workers", "1"]}),
    "evaluate": (
        ["sub.zarr", "--source", "in.zarr"],
        DRAWS
        | PLACE
        | STORAGE
        | SHOWN
        | {
            "models": ["--model", "boosting"],
            "everything": ["--everything", "all"],
            "metrics": ["--metric", "log_loss"],
            "source": ["--source", "other.zarr"],
            "subset": ["--subset", "sub.zarr"],
            "tests": ["--test", "other.zarr"],
            "features": ["--features", "Z"],
            "labels": ["--labels", "z"],
            "sample_weight": ["--sample-weight", "t"],
        },
    ),
    "curve": (
        ["in.zarr"],
        DRAWS
        | PLACE
        | STORAGE
        | SHOWN
        | TABLES
        | OPENED
        | {
            "everything": ["--everything", "all"],
            "output": ["-o", "curve.svg"],
            "sizes": ["--sizes", "20%"],
            "strategies": ["--strategy", "random"],
            "models": ["--model", "boosting"],
            "metrics": ["--metric", "log_loss"],
            "tests": ["--test", "other.zarr"],
            "sample_weight": ["--sample-weight", "t"],
        },
    ),
    "search": (
        ["in.zarr", "--fraction", "0.1"],
        SEED
        | PLACE
        | STORAGE
        | SHOWN
        | TABLES
        | OPENED
        | {
            "fraction": ["--fraction", "0.3"],
            "size": ["--size", "7"],
            "models": ["--model", "boosting"],
            "metrics": ["--metric", "log_loss"],
            "options": ["--option", "trials=5"],
            "output": ["-o", "front.svg"],
        },
    ),
    "report": (
        ["sub.zarr"],
        STORAGE
        | {
            "output": ["-o", "page.html"],
            "source": ["--source", "in.zarr"],
            "evaluation": ["--evaluation", "nowhere.json"],
            "curve": ["--curve", "nowhere.json"],
            "synthetic": ["--synthetic", "nowhere.json"],
            "pictures": ["--pictures", "folder"],
            "kind": ["--kind", "png"],
            "features": ["--features", "Z"],
            "quiet": ["--quiet"],
        },
    ),
    "synthesize": (
        ["sub.zarr", "made.zarr"],
        SEED
        | PLACE
        | STORAGE
        | SHOWN
        | {
            "method": ["--method", "gan"],
            "fraction": ["--fraction", "0.3"],
            "size": ["--size", "7"],
            "per_class": ["--per-class", "5"],
            "balance": ["--balance", "equal"],
            "options": ["--option", "steps=5000"],
            "max_rows": ["--max-rows", "200"],
            "overwrite": ["--overwrite"],
        },
    ),
    "follow": (
        ["in.zarr", "out.zarr", "--size", "5"],
        {k: v for k, v in SOURCE.items() if k not in ("scale", "task", "protect", "initial")}
        | SEED
        | ON_INVALID
        | PLACE
        | STORAGE
        | SHOWN
        | TABLES
        | {
            "on_missing": ["--on-missing", "fill"],
            "size": ["--size", "7"],
            "oversample": ["--oversample", "4"],
            "window": ["--window", "50"],
            "half_life": ["--half-life", "50"],
            "interval": ["--interval", "1"],
            "once": ["--once"],
            "max_rows": ["--max-rows", "200"],
        },
    ),
}
# where an option has a sense beside another alone
BESIDE = {
    ("report", "kind"): ["--pictures", "folder"],
    ("report", "features"): ["--source", "in.zarr"],
    ("run", "time_scale"): ["--time", "t"],
    ("run", "from_scores"): ["--strategy", "entropy"],
    ("plan", "time_scale"): ["--time", "t"],
    ("score", "time_scale"): ["--time", "t"],
}
CASES = [(command, name) for command, (_, words) in COMMANDS.items() for name in words]


def test_table__has_every_option_of_every_command():
    for command, found in cli.commands.items():
        options = {param.name for param in found.params if isinstance(param, Option)}
        assert options == set(COMMANDS[command][1]), command


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A source, another one, and a subset of the first."""
    folder = tmp_path_factory.mktemp("options")
    rng = np.random.default_rng(0)
    for name in ("in", "other"):
        group = zarr.open_group(folder / f"{name}.zarr", mode="w")
        labels = rng.integers(0, 2, 300)
        group.create_array("X", data=rng.normal(size=(300, 3)), chunks=(100, 3))
        group.create_array("Z", data=rng.normal(size=(300, 2)), chunks=(100, 2))
        for column in ("y", "z"):
            group.create_array(column, data=labels, chunks=(100,))
        group.create_array("t", data=np.arange(300.0), chunks=(100,))
    np.save(folder / "rows.npy", np.arange(5))
    source = zarr.open_group(folder / "in.zarr", mode="r")
    coreset = distill(source["X"][:], source["y"][:], fraction=0.1, strategy="stratified")
    coreset.to_zarr(folder / "sub.zarr")
    score(source["X"][:], source["y"][:]).write(folder / "scored.zarr")
    coreset.to_parquet(folder / "demo" / "selected.parquet")
    return folder, coreset


def told(value):
    """What a value says of itself, whatever its place in memory."""
    if hasattr(value, "features"):
        return (
            value.features.shape,
            str(value.features.dtype),
            value.feature_name,
            value.label_name,
            sorted(value.carry),
            getattr(value, "sources", None),
            getattr(value, "time_name", None),
            getattr(value, "sample_weight", None) is None,
        )
    if isinstance(value, dict):
        return {key: told(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [told(one) for one in value]
    return repr(value).partition(" at 0x")[0]


@pytest.fixture
def seen(made, monkeypatch):
    """Notes of what reaches the library, whose verbs do nothing else."""
    folder, coreset = made
    monkeypatch.chdir(folder)
    notes = []

    def noting(name, answer, *, real=None):
        def verb(*args, **kwargs):
            notes.append((name, told(args), told(kwargs)))
            return answer if real is None else real(*args, **kwargs)

        return verb

    def replace(path, answer=None, *, keep=False):
        module, _, name = path.rpartition(".")
        owner = pytest.importorskip(module)
        real = getattr(owner, name) if keep else None
        monkeypatch.setattr(owner, name, noting(name, answer, real=real))

    @contextmanager
    def here(**place):
        notes.append(("connect", told(place)))
        yield SimpleNamespace(scheduler_info=lambda n_workers: {"workers": {}})

    @contextmanager
    def shown(*, quiet):
        notes.append(("progress", quiet))
        yield Silent()

    of, filesystem = Request.of, Location.filesystem

    def resolved(request, dataset):
        notes.append(("request", told(request), told(dataset)))
        return of(request, dataset)

    def opened(location):
        notes.append(("storage", told(location.options)))
        return filesystem(location)

    monkeypatch.setattr(Request, "of", resolved)
    monkeypatch.setattr(Location, "filesystem", opened)
    monkeypatch.setattr("dask_distill.clusters.connect.connect", here)
    monkeypatch.setattr("dask_distill.runtime.progress.show_progress", shown)
    receipt = {"target": "out.zarr", "digest": "", "bytes_written": 0, "seconds": 0.0}
    replace("dask_distill.pipeline.select_and_write", (coreset, receipt))
    scores = SimpleNamespace(
        provenance={"rows": 300, "rows_dropped": 0, "parameters": {"criteria": ["entropy"]}}
    )
    written = receipt | {"seconds": {"survey": 0.0, "write": 0.0}}
    monkeypatch.setattr(
        "dask_distill.scoring_run.score_and_write",
        lambda job, progress: (
            notes.append(("score", job.criteria, job.kind, job.checkpoint.request)),
            (scores, copy.deepcopy(written), None),
        )[1],
    )
    replace("dask_distill.selection.resume.open_checkpoint", keep=True)
    replace("dask_distill.scoring_run.scoring_run", keep=True)
    replace("dask_distill.selection.plan.make_plan", keep=True)
    replace("dask_distill.cli.request.open_dataset", keep=True)
    replace("dask_distill.sources.open.open_dataset", keep=True)
    replace("dask_distill.cli.demo.run_request", {})
    replace("dask_distill.cli.show.print_result")
    replace("dask_distill.cli.flights.flights_table")
    replace("dask_distill.cli.flights.write_partitions", 12)
    result = SimpleNamespace(as_dict=dict, as_text=lambda width: f"{width}")
    replace("dask_distill.coreset.judged", result)
    replace("dask_distill.curve.size_curve", result)
    replace("dask_distill.cli.curve._write_curve")
    replace("dask_distill.coreset.write_report")
    replace("dask_distill.report.pictures.save_pictures", {})
    rows = Synthetic(
        weights=np.ones(3, np.float32),
        provenance={"learnt_from": {"rows": 30}, "seconds": 0.0},
        features=da.ones((3, 3)),
    )
    replace("dask_distill.synthesis.methods.require_torch")
    replace("dask_distill.synthesis.rows.check_target")
    replace("dask_distill.coreset.made", rows)
    monkeypatch.setattr(Synthetic, "to_zarr", lambda *_, **__: receipt)
    batch = dict.fromkeys(("batch", "new_rows", "rows", "selected", "kept", "seconds"), 0)
    replace("dask_distill.follow.follow", [SimpleNamespace(as_dict=lambda: batch)])
    assert Coreset is type(coreset)
    return notes


@pytest.mark.parametrize(("command", "name"), CASES)
def test_option__reaches_something(command, name, seen):
    given, options = COMMANDS[command]
    given = [*given, *BESIDE.get((command, name), [])]

    def happens(words):
        seen.clear()
        done = CliRunner().invoke(cli, [command, *words])
        return done.exit_code, done.stdout, done.stderr, list(seen)

    plain = happens(given)
    assert plain[0] == 0, plain
    other = happens([*given, *options[name]])
    assert other[0] in (0, 2), other
    assert other != plain
    if other[0] == 2:
        # refused for what it says
        words = re.sub("[-_]", " ", other[2])
        assert name.replace("_", " ") in words or options[name][-1] in other[2], other[2]
