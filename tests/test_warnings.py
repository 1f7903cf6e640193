"""Warnings: one line on the command line, without Python; the same line in Python."""

import re
import sys
import warnings
from pathlib import Path

import pytest
from click.testing import CliRunner

from dask_distill import distill, open_dataset
from dask_distill.cli.main import cli
from dask_distill.selection.select import SelectionWarning

sys.path.insert(0, str(Path(__file__).parent))
from messages import MESSAGES

# a keyword stands beside the option that is the same; options of a strategy are key=value
PAIR = re.compile(r"\w+=\S+ / --[\w-]+( [\w=.]+)?|--option \w+=\w+")
PYTHON = re.compile(r"\w=|\(\)|\[|\bNone\b|\bTrue\b|\bastype\b|\bnp\.|\bprovenance\b|\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("case", MESSAGES)
def test_run__warns_in_one_line_without_python(case, folder, monkeypatch, threads_for_a_cluster):
    message = MESSAGES[case]
    message.make()
    monkeypatch.setattr("dask_distill.clusters.connect.connect", threads_for_a_cluster)
    words = ["run", message.source, "out.zarr", "--size", "60", "--json", *message.more]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    (line,) = [line for line in lines if re.search(message.sentence, line)]
    assert line.startswith("dask-distill: warning: ")
    assert not PYTHON.search(PAIR.sub("", line)), line


@pytest.mark.parametrize("case", MESSAGES)
def test_python__is_told_the_same(case, folder):
    message = MESSAGES[case]
    message.make()
    dataset = open_dataset(message.source)
    if message.python is None:
        name = re.search(r"column '(\w+)'|chunks of (\w+)", message.sentence)
        assert next(filter(None, name.groups())) in dataset._repr_html_()
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SelectionWarning)
        distill(dataset, size=60, **message.python)
    told = [str(w.message) for w in caught if w.category is SelectionWarning]
    assert len([text for text in told if re.search(message.sentence, text)]) == 1, told
