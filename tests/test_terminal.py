"""The command line on a terminal of 80 columns."""

import dataclasses
import json
import logging
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from dask_distill import distill
from dask_distill.cli.help import Option, OptionGroup
from dask_distill.cli.main import cli
from dask_distill.runtime.phases import Consecutive, Timed
from dask_distill.runtime.progress import Silent
from dask_distill.strategies import STRATEGIES
from dask_distill.support.text import left_aligned, shown_table, wrapped

sys.path.insert(0, str(Path(__file__).parent))
from terminal import shown, widest


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def source():
    rng = np.random.default_rng(0)
    group = zarr.open_group("in.zarr", mode="w")
    labels = rng.integers(0, 2, 600)
    group.create_array("X", data=rng.normal(size=(600, 3)) + labels[:, None], chunks=(200, 3))
    group.create_array("y", data=labels, chunks=(200,))


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("name", [None, *cli.commands])
def test_help__fits_80_columns_and_lists_every_option_in_a_group(name):
    text = shown(*filter(None, [name]), "--help")
    assert widest(text) <= 80
    if name is None:
        listed = text.partition("Commands:")[2].strip().splitlines()
        assert [line.split()[0] for line in listed] == list(cli.commands)
        assert "..." not in "".join(listed)
        return
    found = cli.commands[name]
    for param in found.params:
        assert isinstance(param, Option | click.Argument)
    groups = {param.group for param in found.params if isinstance(param, Option)}
    assert [group for group in OptionGroup if f"\n{group} options:" in text] == [
        group for group in OptionGroup if group in groups | {OptionGroup.OTHER}
    ]
    # an option stands below the heading of its group
    parts = {part.partition("\n")[0]: part for part in text.split("\n\n")}
    for param in found.params:
        if isinstance(param, Option):
            assert f"  {param.opts[0]}" in parts[f"{param.group} options:"]
    assert "Examples:" in text


@pytest.mark.parametrize("name", list(cli.commands))
def test_examples__are_commands_that_can_be_given(name):
    lines = cli.commands[name].epilog.partition("Examples:\n")[2].replace("\\\n", "")
    given = [line for line in lines.splitlines() if not line.strip().startswith("#")]
    assert given
    for line in given:
        program, command, *words = shlex.split(line)
        assert (program, command in cli.commands) == ("dask-distill", True)
        cli.commands[command].make_context(command, words)


# ---------------------------------------------------------------- strategies


def test_strategies__a_line_each_and_all_there_is_of_one():
    text = shown("strategies")
    assert widest(text) <= 80
    lines = text.splitlines()
    assert [line.split()[0] for line in lines[: len(STRATEGIES)]] == list(STRATEGIES)
    assert all(kind.when and len(kind.when) <= 60 for kind in STRATEGIES.values())
    text = shown("strategies", "strata")
    assert widest(text) <= 80
    assert "drop    at least 0 and below 1; 0.3 unless given" in text
    assert "strata  from 1 to 10,000; 50 unless given" in text
    assert STRATEGIES["strata"].when in text


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_strategies__json_has_every_option_with_default_and_words(name):
    done = CliRunner().invoke(cli, ["strategies", name, "--json"])
    told = json.loads(done.stdout)
    kind = STRATEGIES[name]
    defaults = {each.name: each.default for each in dataclasses.fields(kind)}
    assert {each["name"]: each["default"] for each in told["options"]} == defaults
    assert told["when"] == kind.when
    for each in told["options"]:
        assert each["allowed"] or each["default"] in ("", None) or name == "search"
    assert all(not set("`") & set(text) for text in told["about"])


def test_strategies__a_name_that_is_none_is_one_line():
    done = CliRunner().invoke(cli, ["strategies", "kcentre"])
    assert done.exit_code == 2
    assert "did you mean 'kcenter'" in done.stderr
    done = CliRunner().invoke(cli, ["strategies", "--json"])
    assert [each["name"] for each in json.loads(done.stdout)["strategies"]] == list(STRATEGIES)


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(("text", "rows"), [("10%", 60), ("0.1", 60), ("2.5 %", 15)])
def test_fraction__may_be_per_cent(source, text, rows):
    done = CliRunner().invoke(cli, ["plan", "in.zarr", "--fraction", text, "--json"])
    assert json.loads(done.stdout)["size"] == rows


def test_messages__name_options_as_they_are_typed(source):
    done = CliRunner().invoke(
        cli, ["run", "in.zarr", "o.zarr", "--size", "9", "--sample-weight", "w"]
    )
    assert "error: --sample-weight must be in" in done.stderr
    done = CliRunner().invoke(cli, ["evaluate", "o.zarr", "--max-rows", "0"])
    assert "max_rows" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion__is_there_as_documented(shell):
    text = shown(env={"_DASK_DISTILL_COMPLETE": f"{shell}_source"})
    assert "dask_distill" in text
    words = {"COMP_WORDS": "dask-distill ev", "COMP_CWORD": "ev" if shell == "fish" else "1"}
    assert "evaluate" in shown(env={"_DASK_DISTILL_COMPLETE": f"{shell}_complete", **words})


# ---------------------------------------------------------------- the source that is recorded


def test_evaluate__finds_the_source_that_the_target_records(source):
    call = CliRunner().invoke
    words = ["run", "in.zarr", "out.zarr", "--size", "90", "--strategy", "random"]
    assert call(cli, [*words, "--workers", "1", "--quiet"]).exit_code == 0
    few = ["--seeds", "2", "--model", "logistic-regression", "--workers", "1", "--json"]
    done = call(cli, ["evaluate", "out.zarr", *few])
    assert done.exit_code == 0, done.output
    named = json.loads(call(cli, ["evaluate", "out.zarr", "--source", "in.zarr", *few]).stdout)
    found = json.loads(done.stdout)
    assert [each["accuracy"] for each in found["scores"]] == [
        each["accuracy"] for each in named["scores"]
    ]
    Path("in.zarr").rename("moved.zarr")
    done = call(cli, ["evaluate", "out.zarr", *few])
    assert done.exit_code == 2
    assert "does not exist; pass --source where it has moved" in done.stderr
    distill(np.eye(30), np.arange(30) % 2, size=9, strategy="random").to_zarr("own.zarr")
    done = call(cli, ["evaluate", "own.zarr", *few])
    assert done.exit_code == 2
    assert "selected from what no path names; pass --source" in done.stderr


def test_wrapped__keeps_numbers_with_their_units():
    for width in range(25, 60):
        lines = wrapped(
            "moved  ", "470.3 KiB of questions, 5 s, +1.4 ± 0.9, and 3 MiB of all", width
        )
        assert max(map(len, lines)) <= width
        assert all(
            not line.split()[0].startswith(("KiB", "s,", "±", "0.9", "MiB")) for line in lines
        )
    assert wrapped("a  ", "b " * 100, None) == [f"a  {'b ' * 100}".rstrip()]


# ---------------------------------------------------------------- tables


def test_tables__fit_80_columns_in_every_command_that_prints_one(source):
    seen = {}
    words = ("in.zarr", "--fraction", "10%", "--workers", "1")
    seen["plan"] = shown("plan", *words, "--explain")
    seen["run"] = shown("run", *words[:1], "out.zarr", *words[1:], "--strategy", "gradient")
    few = ("--seeds", "2", "--model", "logistic-regression", "--workers", "1")
    seen["evaluate"] = shown("evaluate", "out.zarr", *few)
    seen["curve"] = shown("curve", "in.zarr", "--sizes", "10%", "--strategy", "random", *few)
    for name, text in seen.items():
        # warnings are one line each, for who looks for them in a log
        lines = [line for line in text.splitlines() if "dask-distill: warning" not in line]
        assert widest("\n".join(lines)) <= 80, name
        assert "Traceback" not in text
    for text in (seen["run"], seen["plan"]):
        assert all(line.split()[:1] not in (["MiB"], ["KiB"], ["s"]) for line in text.splitlines())
    assert "the subset against" in seen["evaluate"]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 200])
def test_shown_table__has_every_cell_within_the_width(width):
    rng = np.random.default_rng(0)
    head = ("trained on", *(f"way {i}" * rng.integers(1, 3) for i in range(6)))
    lines = [head, *(("metric", *(f"{x:.3f}±.001" for x in rng.random(6))) for _ in range(4))]
    text = shown_table(lines, width)
    assert max(map(len, text)) <= width
    cells = [cell for line in lines for cell in line[1:]]
    assert sorted(" ".join(text).split()) == sorted(
        word
        for cell in (*cells, *("trained on", *["metric"] * 4) * blocks(text))
        for word in cell.split()
    )


def blocks(text):
    return 1 + sum(not line for line in text)


def test_left_aligned__cuts_what_is_wide_and_goes_on_below():
    line = ("a" * 50, "struct<" + "x" * 60, "left out: an identifier, since all values differ")
    text = left_aligned([("column", "type", ""), line], 80)
    assert max(map(len, text)) <= 80
    assert "…" in text[1]
    assert "all values differ" in " ".join(" ".join(text).split())
    assert left_aligned([line]) == ["  ".join(line)]


# ---------------------------------------------------------------- phases

PHASES = ("load", "open", "start", "survey", "decide", "select", "collect", "write", "stop")


def test_phases__each_is_shown_and_they_add_up_to_the_whole_time(source):
    words = ("in.zarr", "out.zarr", "--fraction", "10%", "--workers", "1")
    text = shown("run", *words)
    places = [text.index(f"\n{name}" if i else name) for i, name in enumerate(PHASES)]
    assert places == sorted(places)
    told = re.search(r"^time +(\d+\.\d) s on 1 workers \((.*?)\)", text, re.MULTILINE | re.DOTALL)
    parts = dict(part.split() for part in " ".join(told[2].split()).split(", "))
    assert tuple(parts) == PHASES
    assert sum(map(float, parts.values())) == pytest.approx(float(told[1]))
    began = time.perf_counter()
    program = Path(sys.executable).with_name("dask-distill")
    with subprocess.Popen(
        [program, "run", *words, "--overwrite", "--json"], stdout=subprocess.PIPE
    ) as process:
        seconds = json.loads(process.stdout.readline())["seconds"]
        took = time.perf_counter() - began
    assert tuple(seconds) == (*PHASES, "total")
    assert sum(seconds.values()) == pytest.approx(2 * seconds["total"])
    # but for what Python takes to start
    assert 0 <= took - seconds["total"] < 1.5


def test_phases__a_log_has_none_before_the_input_is_checked(source):
    done = CliRunner().invoke(cli, ["run", "in.zarr", "out.zarr", "--size", "900"])
    assert done.stderr.count("\n") == 1


def test_timed__what_lies_between_two_phases_belongs_to_the_first(monkeypatch):
    now = iter([1.0, 3.0, 7.0, 7.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    timed = Timed(Silent(), began=0.0)
    timed.start("survey", 3)
    timed.finish()
    timed.start("select", 3)
    timed.start("select, question 2", 3)
    assert timed.seconds() == {"survey": 3.0, "select": 4.5, "total": 7.5}


def test_consecutive__shows_pairs_however_phases_begin():
    seen = []

    class Noted(Silent):
        def start(self, phase, total):
            seen.append(phase)

        def finish(self):
            seen.append("end")

    phases = Consecutive(Noted())
    phases.start("a", 0)
    phases.start("b", 2)
    phases.finish()
    phases.finish()
    assert seen == ["a", "end", "b", "end"]


# ---------------------------------------------------------------- where to watch, and logs


def test_run__tells_where_to_watch_and_logs_to_a_file(source):
    words = ("in.zarr", "out.zarr", "--fraction", "10%", "--workers", "1")
    secret = ("--storage-option", "password=sesame", "--log-file", "run.log")
    text = shown("run", *words, "--strategy", "gradient", *secret)
    link = re.search(r"watch: http://127\.0\.0\.1:\d+/\S+", text)[0]
    log = Path("run.log").read_text()
    assert link in log
    for phase in PHASES:
        assert re.search(rf"DEBUG dask_distill\.runtime\.phases: {phase}.* took [\d.]+ s", log)
    assert "DEBUG dask_distill.conversation.converse: survey, question 1: " in log
    # what is warned of is there, too, and no secret is
    assert "WARNING dask_distill.cli: strategy gradient keeps" in log
    assert "sesame" not in text + log
    # behind what is there; of what fails, where
    done = CliRunner().invoke(cli, ["run", *words, "--quiet", "--log-file", "run.log"])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    more = Path("run.log").read_text()
    assert more.startswith(log)
    assert "Traceback" in more[len(log) :]
    assert not logging.getLogger("dask_distill").handlers


def test_verbose__tells_every_step_on_standard_error(source):
    words = ["run", "in.zarr", "out.zarr", "--fraction", "10%", "--workers", "1", "--json"]
    done = CliRunner().invoke(cli, [*words, "--verbose"])
    assert json.loads(done.stdout)["selected"] == 60
    assert "DEBUG dask_distill.runtime.phases: survey took" in done.stderr
    quiet = CliRunner().invoke(cli, [*words, "--overwrite"])
    assert quiet.stderr == ""


def test_warnings__are_told_once_where_no_log_is_kept():
    # a process of its own: handlers of the tests would take what logging shows by itself
    words = [sys.executable, "-c", "from dask_distill.cli.logs import warn; warn('look')"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == "dask-distill: warning: look\n"


def test_plan__says_that_run_tells_where_to_watch(source):
    done = CliRunner().invoke(cli, ["plan", "in.zarr", "--fraction", "10%"])
    assert re.search(r"^to watch +run tells the address", done.stdout, re.MULTILINE)


def test_evaluate__refuses_numbers_as_classes_before_it_trains(source, monkeypatch):
    group = zarr.open_group("in.zarr")
    group.create_array("price", data=np.random.default_rng(1).normal(size=600), chunks=(200,))
    group.create_array("id", data=np.arange(600), chunks=(200,))
    words = ("--size", "90", "--strategy", "random", "--workers", "1", "--quiet")
    assert CliRunner().invoke(cli, ["run", "in.zarr", "out.zarr", *words]).exit_code == 0

    def refuse(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr("dask_distill.evaluation.bench.Bench.of", refuse)
    for name, sentence in (
        ("price", "labels must be classes, since classifiers are trained, got numbers such as"),
        ("id", r"labels must be classes with rows to learn from, got 600 different values in 690"),
    ):
        done = CliRunner().invoke(cli, ["evaluate", "out.zarr", "--labels", name, *words[4:]])
        assert done.exit_code == 2, done.output
        assert re.search(sentence, done.stderr), done.stderr


def test_regression__its_report_takes_the_source(source):
    group = zarr.open_group("in.zarr")
    group.create_array("price", data=np.random.default_rng(1).normal(size=600), chunks=(200,))
    words = ("--labels", "price", "--task", "regression", "--fraction", "10%", "--workers", "1")
    assert CliRunner().invoke(cli, ["run", "in.zarr", "out.zarr", *words, "--quiet"]).exit_code == 0
    done = CliRunner().invoke(cli, ["report", "out.zarr", "--source", "recorded", "-o", "r.html"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(cli, ["evaluate", "out.zarr"])
    assert "got a subset selected for regression" in done.stderr
    assert "stratum" not in done.stderr
