"""How far a run is, on terminals, in notebooks and in logs."""

import importlib.util
import io
import logging
import sys
import types

import nbformat
import numpy as np
import pytest
from click.testing import CliRunner

from dask_distill import InputError, distill
from dask_distill.cli.main import cli
from dask_distill.clusters.performance import check_performance_report
from dask_distill.runtime.progress import (
    LogLines,
    NotebookTable,
    TerminalBar,
    how_far,
    show_progress,
)


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by half a second each time it is looked at."""
    now = [100.0]

    def tick():
        now[0] += 0.5
        return now[0]

    monkeypatch.setattr("time.perf_counter", tick)
    return now


def walk(progress, phase="select", total=5):
    progress.start(phase, total)
    for _ in range(total):
        progress.advance()
    progress.finish()


@pytest.mark.parametrize(
    ("done", "total", "seconds", "words"),
    [
        (0, 10, 1, "0 of 10 blocks"),
        (5, 10, 1, "5 of 10 blocks, 5.0/s, 1.0 s left"),
        (10, 10, 2, "10 of 10 blocks, 5.0/s"),
        (1, 1000, 1, "1 of 1,000 blocks, 1.0/s, 17 min left"),
        (1, 10_000, 3, "1 of 10,000 blocks, 0.3/s, 8.3 h left"),
    ],
)
def test_how_far__tells_blocks_rate_and_time_left(done, total, seconds, words):
    assert how_far(done, total, seconds) == words


def test_log_lines__one_now_and_then(caplog, clock):
    caplog.set_level(logging.INFO, "dask_distill")
    walk(LogLines(every=1.0))
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "select: 5 blocks"
    assert lines[1] == "select: 2 of 5 blocks, 2.0/s, 1.5 s left"
    assert lines[-1].startswith("select: done in")
    assert len(lines) == 4
    caplog.clear()
    walk(LogLines())
    assert len(caplog.records) == 2


def test_terminal_bar__shows_the_rate(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    with TerminalBar() as bar:
        walk(bar, "survey")
        walk(bar)
    shown = screen.getvalue()
    assert "survey" in shown
    assert "5/5" in shown
    assert "/s" in shown


@pytest.fixture
def cell(monkeypatch):
    """A kernel's shell, and what its cell shows."""
    shown = []

    class Handle:
        def update(self, thing):
            shown[-1] = thing._repr_html_()

    def display(thing, display_id):
        assert display_id
        shown.append(thing._repr_html_())
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


def test_notebook__one_table_brought_up_to_date(cell, clock):
    with show_progress() as progress:
        assert isinstance(progress, NotebookTable)
        progress.start("<b>", 4)
        progress.advance()
        assert '<progress max="4" value="1">' in cell[0]
        assert "1 of 4 blocks" in cell[0]
        assert "left" in cell[0]
        progress.finish()
        walk(progress)
    assert len(cell) == 1
    assert "&lt;b&gt;" in cell[0]
    assert cell[0].count("<progress") == 2
    assert '<progress max="5" value="5">' in cell[0]


def test_show_progress__logs_where_nobody_looks(capsys):
    logger = logging.getLogger("dask_distill")
    before = logger.level, list(logger.handlers)
    with show_progress() as progress:
        distill(np.eye(30), size=3, strategy="random", progress=progress)
    assert (logger.level, list(logger.handlers)) == before
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "survey: 1 blocks" in shown.err
    with show_progress(quiet=True) as progress:
        distill(np.eye(30), size=3, strategy="random", progress=progress)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_notebook__in_a_real_kernel():
    client = pytest.importorskip("nbclient")
    code = (
        "import numpy as np\n"
        "from dask_distill import distill\n"
        "from dask_distill.runtime.progress import show_progress\n"
        "with show_progress() as progress:\n"
        "    coreset = distill(np.eye(40), size=4, strategy='random', progress=progress)\n"
        "coreset"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    client.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [each for each in notebook.cells[0].outputs if "data" in each]
    assert len(outputs) == 2
    table = outputs[0]["data"]["text/html"]
    assert "survey" in table
    assert "select" in table
    assert "1 of 1 blocks" in table
    assert "Coreset" in outputs[1]["data"]["text/html"]


# ---------------------------------------------------------------- the performance report


def test_performance_report__says_what_is_not_installed(monkeypatch, tmp_path):
    check_performance_report(None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs bokeh, which is not installed; run pip install"):
        check_performance_report(str(tmp_path / "p.html"))
    with pytest.raises(InputError, match="path must be a file in a folder that exists"):
        check_performance_report(str(tmp_path / "no" / "p.html"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("bokeh") is None, reason="bokeh is not installed")
def test_performance_report__is_written_by_a_run(tmp_path, labelled):
    np.savez(tmp_path / "in.npz", X=labelled.X[:500], y=labelled.y[:500])
    report = tmp_path / "performance.html"
    done = CliRunner().invoke(
        cli,
        [
            *("run", str(tmp_path / "in.npz"), str(tmp_path / "out.zarr"), "--size", "20"),
            *("--strategy", "random", "--workers", "1", "--json"),
            *("--performance-report", str(report)),
        ],
    )
    assert done.exit_code == 0, done.output
    text = report.read_text()
    assert "Dask Performance Report" in text
    assert '<script src="http' not in text


def test_performance_report__a_run_that_is_done_does_not_fail_for_it(monkeypatch, caplog):
    from dask_distill.clusters.performance import performance_recorded

    class Broken:
        def __init__(self, filename, mode):
            assert (filename, mode) == ("p.html", "inline")

        def __enter__(self):
            pass

        def __exit__(self, *_):
            raise OSError("no place left")

    monkeypatch.setattr("distributed.performance_report", Broken)
    with performance_recorded("p.html"):
        pass
    assert "could not be written: no place left" in caplog.text
    with pytest.raises(KeyError), performance_recorded("p.html"):
        raise KeyError
