"""Every kind of source: read to the last bit, or refused in one sentence that names the way."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from dask_distill import InputError, distill, open_dataset
from dask_distill.cli.main import cli

sys.path.insert(0, str(Path(__file__).parent))
from sources import SOURCES, X, Y, own

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.InputWarning")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def expected(source, made):
    """Features, labels and row numbers as they were written."""
    if source.features is own:
        return np.asarray(made.features), np.asarray(made.labels)
    if source.features is not None:
        return source.features, source.labels
    return X, Y


@pytest.mark.parametrize("kind", [kind for kind, one in SOURCES.items() if one.refused is None])
def test_source__selected_rows_are_those_that_are_stored(kind, folder):
    source = SOURCES[kind]
    made = source.make()
    features, labels = expected(source, made)
    dataset = open_dataset(source.place, **source.opened)
    coreset = distill(dataset, size=40, strategy="stratified")
    np.testing.assert_array_equal(coreset.features.compute(), features[coreset.indices])
    np.testing.assert_array_equal(coreset.labels.compute(), labels[coreset.indices])
    assert dataset.n == len(features)
    # row numbers are those of the order in which rows were written
    every = distill(dataset, fraction=1.0, strategy="random")
    np.testing.assert_array_equal(every.features.compute(), features)


@pytest.mark.parametrize("kind", [kind for kind, one in SOURCES.items() if one.refused])
def test_source__is_refused_in_a_sentence_that_names_the_way(kind, folder):
    source = SOURCES[kind]
    source.make()
    with pytest.raises(InputError, match=source.refused) as refusal:
        open_dataset(source.place, **source.opened)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", [kind for kind, one in SOURCES.items() if one.refused])
def test_plan__refuses_the_same(kind, folder):
    source = SOURCES[kind]
    source.make()
    places = [source.place] if isinstance(source.place, str) else source.place
    words = ["plan", *places, "--size", "10"]
    for name, given in source.opened.items():
        words += [f"--{name}", given if isinstance(given, str) else ",".join(given)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("dask-distill: error: ")
    assert done.stderr.count("\n") == 1
    assert re.search(source.refused, done.stderr), done.stderr


def test_table__has_kinds_of_each_sort():
    assert len(SOURCES) >= 30
    assert sum(one.refused is not None for one in SOURCES.values()) >= 10
