"""All rows against selected ones: counts that are right, stored small, and in old targets none."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_distill import distill, grow, open_coreset, open_dataset
from dask_distill.data.dataset import as_dataset
from dask_distill.kernels.shapes import BARS, counted, moved, moved_by_chance, number_shape
from dask_distill.report.histograms import histograms, time_histogram
from dask_distill.report.page import render
from dask_distill.report.pictures import pictures
from dask_distill.tables.profile import Profile
from dask_distill.tables.sampling import RUN_ROWS, RUNS
from dask_distill.tables.shapes import column_shape

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

ROWS = 5000
DAYS = np.datetime64("2021-01-01") + np.arange(ROWS) % 400


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    city = rng.choice(["Ulm", "Bonn", "Kiel <b>"], ROWS, p=[0.6, 0.3, 0.1])
    columns = {
        "amount": np.where(rng.random(ROWS) < 0.1, np.nan, rng.gamma(2, 30, ROWS)),
        "rooms": rng.integers(1, 6, ROWS),
        "city": city,
        "sold": DAYS,
        "note": ["x" * int(n) + " one two three four five" for n in rng.integers(1, 90, ROWS)],
        "late": np.where(rng.random(ROWS) < 0.3, "yes", "no"),
    }
    return pa.table(columns)


@pytest.fixture(scope="module")
def source(table, tmp_path_factory):
    place = tmp_path_factory.mktemp("table") / "in.parquet"
    pq.write_table(table, place)
    return place


@pytest.fixture(scope="module")
def coreset(source):
    dataset = open_dataset(source, labels="late")
    # the rows of high amounts alone
    rows = pq.read_table(source)["amount"].to_numpy() > 60
    known = np.flatnonzero(rows)
    return distill(dataset, size=600, strategy="stratified", protect=known[:500])


def test_histograms__count_all_rows_and_selected_ones(coreset, table):
    found = histograms(coreset)
    assert list(found) == ["amount", "rooms", "city", "sold", "note"]
    amount = found["amount"]
    values = table["amount"].to_numpy()
    low, high = amount.shape["low"], amount.shape["high"]
    edges = np.linspace(low, high, BARS + 1)
    for rows, counts in ((values, amount.every), (values[coreset.indices], amount.own)):
        known = np.clip(rows[np.isfinite(rows)], low, high)
        assert counts.tolist() == np.histogram(known, edges)[0].tolist()
    assert found["rooms"].shape["at"] == [1.0, 2.0, 3.0, 4.0, 5.0]
    cities = found["city"]
    assert cities.shape["values"] == ["Ulm", "Bonn", "Kiel <b>"]
    own = table["city"].to_pandas()[coreset.indices].value_counts()
    assert cities.own.tolist() == [own[name] for name in cities.shape["values"]] + [0]
    assert found["note"].shape["high"] > 80
    assert "from 2021-01-01 to 2022-02-04" in found["sold"].words()


def test_histograms__tell_a_column_that_has_moved_from_chance(coreset):
    found = histograms(coreset)
    assert found["amount"].moved > 0.3
    assert found["amount"].moved > 5 * found["amount"].by_chance
    assert found["city"].moved < 3 * found["city"].by_chance
    assert "<b>" not in found["city"].svg()
    assert "Kiel &lt;b&gt;" in found["city"].svg()


def test_histograms__of_stored_subsets_in_both_forms(coreset, tmp_path):
    coreset.to_parquet(tmp_path / "out.parquet")
    coreset.to_zarr(tmp_path / "out.zarr")
    here = {name: each.svg() for name, each in histograms(coreset).items()}
    for name in ("out.parquet", "out.zarr"):
        stored = histograms(open_coreset(tmp_path / name))
        assert {name: each.svg() for name, each in stored.items()} == here


def test_histograms__of_what_older_versions_have_written(coreset, source):
    told = json.loads(json.dumps(coreset.provenance))
    for column in told["input"]["profile"]["columns"]:
        del column["shape"]
    del told["input"]["shapes"]
    old = replace(coreset, provenance=told)
    assert all(each.every is None for each in histograms(old).values())
    text = render(old)
    assert "how all rows lie is not known" in text
    # the source tells
    dataset = open_dataset(source, labels="late")
    found = histograms(old, dataset)
    assert found["amount"].moved > 0.3
    assert found["amount"].every.sum() < 2000


def test_histograms__of_arrays(labelled, tmp_path):
    X = labelled.X[:3000]
    dataset = replace(as_dataset(X, labelled.y[:3000]), columns=tuple("abcdef"))
    coreset = distill(dataset, fraction=0.1, strategy="stratified")
    found = histograms(coreset)
    assert list(found) == list("abcdef")
    for number, each in enumerate(found.values()):
        column = X[:, number].astype(np.float64)
        assert each.every.tolist() == counted(column, each.shape).tolist()
        assert each.own.tolist() == counted(column[coreset.indices], each.shape).tolist()
        assert each.moved < 4 * each.by_chance
    coreset.to_zarr(tmp_path / "out.zarr")
    stored = histograms(open_coreset(tmp_path / "out.zarr"))
    assert [each.svg() for each in stored.values()] == [each.svg() for each in found.values()]
    assert "<h2>Features</h2>" in render(coreset)


def test_histograms__each_class_counts_as_in_all_rows(labelled):
    """The survey's sample has more of a rare class than its share."""
    n = 30_000
    rare = np.arange(n) % 500 == 0
    X = np.where(rare[:, None], 5.0, 0.0) + np.random.default_rng(0).normal(size=(n, 2))
    found = histograms(distill(X, rare.astype(int), size=300, strategy="random"))
    for number, each in enumerate(found.values()):
        every = counted(X[:, number], each.shape)
        assert each.every.sum() == pytest.approx(n, rel=0.001)
        assert moved(every, each.every) < 0.03


def test_histograms__of_what_grows_are_not_held_against_its_first_batch(labelled):
    X, y = labelled.X[:900], labelled.y[:900]
    coreset = grow(X[:500], y[:500], size=40).update(X[500:], y[500:])
    assert histograms(coreset) == {}
    assert "<h2>Features</h2>" not in render(coreset)


def test_time__all_rows_and_selected_ones(labelled, tmp_path):
    X, y = labelled.X[:2000], labelled.y[:2000]
    for times in (np.arange(2000.0), DAYS[:2000]):
        coreset = distill(X, y, size=200, strategy="stratified", time=times)
        found = time_histogram(coreset)
        assert found.every.sum() == 2000
        assert found.own.sum() == 200
        assert found.dates == (times.dtype.kind == "M")
        assert "time" in pictures(coreset)
        assert "<h2>Over time</h2>" in render(coreset)
        coreset.to_zarr(tmp_path / f"{found.dates}.zarr")
        stored = open_coreset(tmp_path / f"{found.dates}.zarr")
        assert pictures(stored)["time"] == pictures(coreset)["time"]


def test_shapes__runs_of_neighbours_know_how_far_they_may_be_from_all():
    rng = np.random.default_rng(0)
    rows = RUNS * RUN_ROWS
    alone = pa.array(rng.normal(size=rows))
    alike = pa.array(rng.normal(size=rows) + np.repeat(rng.normal(size=RUNS), RUN_ROWS) * 2)
    errors = [column_shape(each, "number", run=RUN_ROWS)["error"] for each in (alone, alike)]
    assert errors[0] < 0.01
    assert 0.03 < errors[1] < 0.3
    assert "error" not in column_shape(alone, "number")


def test_shapes__one_far_value_leaves_more_than_one_bar():
    numbers = np.append(np.random.default_rng(0).normal(size=1000), 1e9)
    shape = number_shape(numbers)
    assert shape["high"] < 10
    assert sum(shape["counts"]) == 1001
    assert sum(count > 0 for count in shape["counts"]) == BARS
    assert number_shape(np.array([np.nan, np.inf])) == {}
    assert number_shape(np.array([-1e308, 1e308] * 20 + list(range(40))))["counts"]


def test_shapes__what_moves_by_chance_is_what_random_rows_do():
    rng = np.random.default_rng(0)
    every = np.array([500, 300, 150, 40, 10])
    draws = [moved(every, rng.multinomial(200, every / 1000)) for _ in range(400)]
    assert np.mean(draws) == pytest.approx(moved_by_chance(every, 200), rel=0.1)
    assert np.isnan(moved([0, 0], [1, 1]))


def test_shapes__change_nothing_of_how_a_column_is_read(source):
    profile = open_dataset(source, labels="late").profile
    found = Profile.parse(profile)
    assert all(column.shape for column in found.features)
    assert found == found.reading()
    assert not any(column.shape for column in found.reading().columns)
    assert len(json.dumps([column.shape for column in found.columns])) < 2000
