"""Missing values of carried text: written beside the text, and there again when it is opened."""

import json
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from click.testing import CliRunner

from dask_distill import distill, grow, open_coreset, open_dataset, verify
from dask_distill.cli.main import cli
from dask_distill.storage import group as store

ROWS = 3000
rng = np.random.default_rng(0)
LABELS = rng.integers(0, 3, ROWS)
X = np.stack([rng.normal(size=ROWS) + LABELS, rng.normal(size=ROWS)], axis=1)
URL = [None if i % 7 == 5 else f"u{i}" for i in range(ROWS)]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(url=URL, **options):
    """A folder of parquet whose column url may hold nulls."""
    Path("in").mkdir()
    columns = {"a": X[:, 0], "b": X[:, 1], "y": LABELS, "url": url}
    pq.write_table(pa.table(columns), "in/x.parquet", row_group_size=500, **options)


def command(*words, code=0):
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == code, done.output
    return done


def run(*more):
    words = ("run", "in", "out.zarr", "--fraction", "0.1", "--workers", "1", "--carry", "url")
    return json.loads(command(*words, "--json", *more).stdout)


def expected(indices):
    return [URL[row] for row in indices.tolist()]


@pytest.mark.parametrize("more", [(), ("--resume",)])
def test_run__a_null_in_carried_text_is_written(more):
    table()
    run(*more)
    written = zarr.open_group("out.zarr", mode="r")
    indices = written["index"][:]
    assert written["url"][:].tolist() == [value or "" for value in expected(indices)]
    assert written["null/url"][:].tolist() == [value is None for value in expected(indices)]
    assert written["null/url"].dtype == bool
    assert 0 < sum(written["null/url"][:]) < len(indices)
    assert verify("out.zarr").ok
    coreset = open_coreset("out.zarr")
    assert coreset.carry["url"].compute().tolist() == expected(coreset.indices)


def test_run__text_that_statistics_say_is_whole_has_no_mask():
    table([value or "none" for value in URL])
    run()
    assert "null/url" not in zarr.open_group("out.zarr", mode="r")
    assert open_coreset("out.zarr").without_nulls == {"url"}


def test_run__text_without_statistics_may_hold_nulls():
    table(write_statistics=False)
    run()
    coreset = open_coreset("out.zarr")
    assert coreset.carry["url"].compute().tolist() == expected(coreset.indices)


def test_coreset__written_again_and_as_a_table_keeps_its_nulls():
    table()
    digest = run()["digest"]
    coreset = open_coreset("out.zarr")
    assert coreset.to_zarr("again.zarr")["digest"] == digest
    coreset.to_parquet("again")
    found = pq.read_table("again").column("url").to_pylist()
    assert found == expected(coreset.indices)


def test_open_dataset__a_subset_as_source_has_its_nulls():
    table()
    run()
    dataset = open_dataset("out.zarr", carry=["url"])
    indices = zarr.open_group("out.zarr", mode="r")["index"][:]
    assert dataset.carry["url"].compute().tolist() == expected(indices)


KINDS = {
    "objects": lambda values: np.array(values, object),
    "dask objects": lambda values: da.from_array(np.array(values, object), chunks=700),
    "pandas": lambda values: pd.Series(values, dtype="str"),
    "nullable": lambda values: pd.Series(values, dtype="string"),
    "text with a mark": lambda values: np.array(values, np.dtypes.StringDType(na_object=None)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_to_zarr__nulls_of_every_kind_of_text_are_kept(kind):
    coreset = distill(X, LABELS, size=300, strategy="random", carry={"url": KINDS[kind](URL)})
    coreset.to_zarr("out.zarr")
    found = open_coreset("out.zarr").carry["url"].compute().tolist()
    assert found == expected(coreset.indices)
    assert verify("out.zarr").ok


@pytest.mark.parametrize("kind", ["objects", "pandas"])
def test_to_zarr__whole_text_in_memory_has_no_mask(kind):
    whole = KINDS[kind](["t"] * ROWS)
    distill(X, LABELS, size=300, strategy="random", carry={"url": whole}).to_zarr("out.zarr")
    assert "null/url" not in zarr.open_group("out.zarr", mode="r")


def test_to_zarr__text_of_more_axes_keeps_its_nulls():
    pairs = np.array([[value, "t"] for value in URL], object)
    coreset = distill(X, LABELS, size=300, strategy="random", carry={"pair": pairs})
    coreset.to_zarr("out.zarr")
    found = open_coreset("out.zarr").carry["pair"].compute().tolist()
    assert found == [[value, "t"] for value in expected(coreset.indices)]


def test_update__nulls_that_come_with_a_later_batch_are_kept():
    whole = [value or "none" for value in URL]

    def batch(start, stop, values):
        return {"features": X[start:stop], "labels": LABELS[start:stop]} | {
            "carry": {"url": np.array(values[start:stop], object)}
        }

    coreset = grow(**batch(0, 1000, whole), size=100, strategy="random")
    coreset.to_zarr("one.zarr")
    assert "null" not in zarr.open_group("one.zarr", mode="r")
    coreset = open_coreset("one.zarr").update(**batch(1000, ROWS, URL))
    coreset.to_zarr("two.zarr")
    again = open_coreset("two.zarr")
    values = [*whole[:1000], *URL[1000:]]
    assert again.carry["url"].compute().tolist() == [values[row] for row in again.indices]
    kept = again.summary
    assert kept.dataset.carry["url"].compute().tolist() == [values[row] for row in kept.rows]
    assert again.update(**batch(0, 500, whole)).provenance["rows"] == ROWS + 500


def test_resume__a_null_that_is_text_by_now_is_refused(monkeypatch):
    """The mask is compared, too: empty text and none are written alike."""
    table()

    def fails(*args, **more):
        raise store.IncompleteOutput("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "make_manifest", fails)
        words = ("run", "in", "out.zarr", "--fraction", "0.1", "--workers", "1", "--quiet")
        command(*words, "--carry", "url", code=1)
    columns = {"a": X[:, 0], "b": X[:, 1], "y": LABELS, "url": [value or "" for value in URL]}
    columns["url"][0] = None
    pq.write_table(pa.table(columns), "in/x.parquet", row_group_size=500)
    done = command(*words, "--carry", "url", "--resume", code=2)
    assert "carry 'null/url' must have the same values" in done.output
