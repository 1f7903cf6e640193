"""A new strategy is one new file: what it says of itself is all that the rest knows of it."""

from pathlib import Path

import dask.array as da
import numpy as np
import pytest

import dask_distill.strategies
from dask_distill import distill, grow
from dask_distill.errors import InputError
from dask_distill.search.ranges import beginnings, searched, strategy_of
from dask_distill.strategies import STRATEGIES, make_strategy
from dask_distill.subset.summary import sampled

# what the guide "Write a strategy" shows
FILE = Path(__file__).parent / "newest.py"


@pytest.fixture
def newest(tmp_path, monkeypatch):
    (tmp_path / FILE.name).write_text(FILE.read_text())
    path = [*dask_distill.strategies.__path__, str(tmp_path)]
    monkeypatch.setattr(dask_distill.strategies, "__path__", path)
    for name, kind in dask_distill.strategies._found().items():
        monkeypatch.setitem(STRATEGIES, name, kind)


X = np.random.default_rng(0).normal(size=(3000, 3))


@pytest.mark.usefixtures("newest")
def test_new_strategy__selects_by_its_name():
    coreset = distill(da.from_array(X, chunks=(700, 3)), strategy="newest", size=200)
    np.testing.assert_array_equal(coreset.indices, np.arange(2800, 3000))
    assert make_strategy("newest", {"skipped": "0.25"}).skipped == 0.25
    with pytest.raises(InputError, match=r"strategy must be one of auto, .*spaced, newest, got"):
        make_strategy("newes")


@pytest.mark.usefixtures("newest")
@pytest.mark.parametrize("chunks", [(700, 3), (3000, 3), (41, 3)])
def test_new_strategy__passes_over_the_same_rows_for_any_chunking(chunks):
    how = {"strategy": "newest", "options": {"skipped": 0.5}, "size": 200}
    rows = distill(da.from_array(X, chunks=chunks), **how).indices
    np.testing.assert_array_equal(rows, distill(X, **how).indices)
    assert 2400 < rows[0] < 2700
    with pytest.raises(InputError, match="skipped must be at least 0 and below 1, got 1"):
        make_strategy("newest", {"skipped": 1.0})


@pytest.mark.usefixtures("newest")
def test_new_strategy__takes_the_targets_that_it_says():
    coreset = distill(X, X[:, 0], strategy="newest", size=200, task="regression")
    np.testing.assert_array_equal(coreset.indices, np.arange(2800, 3000))
    with pytest.raises(InputError, match=r"strata needs classes.*newest"):
        distill(X, X[:, 0], strategy="strata", size=200, task="regression")
    with pytest.raises(InputError, match=r"strata needs labels.*newest"):
        distill(X, strategy="strata", size=200)


@pytest.mark.usefixtures("newest")
def test_new_strategy__is_searched_in_the_ranges_that_it_says():
    assert searched()["newest"] == {"skipped": (0.0, 0.5)}
    assert {"strategy": "newest", "newest.skipped": 0.0} in beginnings()
    found = strategy_of({"strategy": "newest", "newest.skipped": 0.5, "auto.trust": 1.0})
    assert found == make_strategy("newest", {"skipped": 0.5})


@pytest.mark.usefixtures("newest")
def test_new_strategy__follows_data_that_grows():
    assert "newest" in sampled()
    coreset = grow(X[:1000], size=50, strategy="newest").update(X[1000:])
    assert len(coreset) == 50
    with pytest.raises(InputError, match=r"strategy gradient cannot follow.*newest"):
        grow(X, X[:, 0] > 0, size=50, strategy="gradient")


def test_strategies__are_those_of_the_folder():
    folder = dask_distill.strategies
    assert sorted(STRATEGIES) == sorted(folder._ORDER)
    for name, kind in STRATEGIES.items():
        assert kind.name == name
        assert kind.__doc__
