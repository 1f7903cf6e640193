"""Rows that are left out as invalid: told by column and by class, and never protected ones."""

import json

import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner

from dask_distill import InputError, SelectionWarning, distill
from dask_distill.cli import cli

N = 6000
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 4)).astype("f4")
Y = rng.integers(0, 2, N)
# a class that comes from a site without the fourth sensor, and some values beside
Y[5500:] = 2
X[5500:, 3] = np.nan
X[10:20, 1] = np.inf


@pytest.mark.parametrize("chunks", [N, 700])
@pytest.mark.parametrize("strategy", ["auto", "random", "stratified", "kcenter"])
def test_distill__a_class_that_is_left_out_is_told(chunks, strategy):
    with pytest.warns(SelectionWarning, match=r"no row is left of class 2 \(500 rows\)"):
        coreset = distill(
            da.from_array(X, chunks=(chunks, -1)), Y, size=100, strategy=strategy, on_invalid="drop"
        )
    told = coreset.provenance["dropped"]
    assert told["columns"] == [{"column": 1, "rows": 10}, {"column": 3, "rows": 500}]
    by_class = {entry["label"]: (entry["rows"], entry["left"]) for entry in told["classes"]}
    expected = {
        label: (int((Y[10:20] == label).sum()), int((label == Y).sum() - (Y[10:20] == label).sum()))
        for label in (0, 1)
    }
    assert by_class == expected | {2: (500, 0)}
    assert told["without_label"] == 0
    assert coreset.provenance["rows_dropped"] == 510
    assert 2 in coreset.provenance["lost"]["classes"]


def test_distill__tells_nothing_where_nothing_is_left_out():
    assert distill(X[20:5500], Y[20:5500], size=50).provenance["dropped"] is None


def test_distill__labels_that_are_missing_are_counted():
    names = np.array(["a", "b", "c"], object)[Y]
    names[:7] = None
    coreset = distill(X[:5500], names[:5500], size=50, on_invalid="drop", strategy="random")
    assert coreset.provenance["dropped"]["without_label"] == 7
    assert coreset.provenance["rows_dropped"] == 17


@pytest.mark.parametrize("chunks", [N, 700])
def test_protect__rows_that_would_be_left_out_are_refused(chunks):
    lazy = da.from_array(X, chunks=(chunks, -1))
    mask = np.zeros(N, bool)
    mask[5400:5600] = True
    for protect, told in (
        (mask, "got 100 with NaN or infinite values, no label or sample weight 0, first row 5500"),
        (
            np.array([15, 3, 5900]),
            "got 2 with NaN or infinite values, no label or sample weight 0, first row 15",
        ),
        ({"class": 2}, "got 2 with 500 rows"),
    ):
        with pytest.raises(InputError, match=told):
            distill(lazy, Y, size=900, on_invalid="drop", protect=protect)
    mask[5500:] = False
    with pytest.warns(SelectionWarning, match="class 2"):
        coreset = distill(lazy, Y, size=900, on_invalid="drop", protect=mask)
    assert np.isin(np.arange(5400, 5500), coreset.indices).all()


def test_run__tells_columns_and_classes_that_are_left_out(tmp_path):
    np.savez(tmp_path / "in.npz", X=X, y=Y)
    words = ["run", str(tmp_path / "in.npz"), str(tmp_path / "out.zarr"), "--size", "60"]
    words += ["--on-invalid", "drop", "--workers", "1"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "left out     510 rows with invalid values" in done.stdout
    assert "500 in column 3, 10 in column 1" in done.stdout
    assert "2: 500 of 500: none is left" in done.stdout
    assert "warning: no row is left of class 2" in done.stderr
    done = CliRunner().invoke(cli, [*words, "--overwrite", "--json"])
    assert {"column": 3, "rows": 500} in json.loads(done.stdout)["dropped"]["columns"]
