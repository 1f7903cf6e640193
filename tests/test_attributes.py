"""What a source says of its arrays is said of the selected rows, where it holds of them."""

import json
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner

from dask_distill import distill, open_coreset, open_dataset, verify
from dask_distill.cli import cli
from dask_distill.data.attributes import attributes_that_hold

N = 80
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 3))
Y = np.arange(N) % 2
KEPT = {
    "X": {"units": "m s-1", "long_name": "wind", "bands": ["u", "v", "w"]},
    "y": {"flag_values": [0, 1], "flag_meanings": "calm storm"},
    "when": {"long_name": "hour", "source": {"station": 7}},
}
LOST = {
    "X": {"actual_range": [-3.0, 3.0], "coordinates": "lat lon", "mean": 0.1, "_other": 1},
    "y": {"class_counts": [40, 40], "names_of_rows": list("ab" * 40)},
    "when": {},
}


@pytest.fixture
def group(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = zarr.open_group("a.zarr", mode="w")
    for name, values in {"X": X, "y": Y}.items():
        made.create_array(name, data=values, attributes=KEPT[name] | LOST[name])
    inner = made.create_group("obs")
    inner.create_array("when", data=np.arange(N), attributes=KEPT["when"] | LOST["when"])
    return made


def held(place):
    return {name: dict(zarr.open_array(f"{place}/{name}", mode="r").attrs) for name in KEPT}


def test_run__keeps_the_attributes_that_hold_and_tells_of_others(group):
    words = ["run", "a.zarr", "out.zarr", "--carry", "obs/when", "--size", "20", "--workers", "1"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    line = "not kept, as they need not hold of a part: actual_range, coordinates, mean, _other of X"
    assert line in " ".join(done.stdout.split())
    assert held("out.zarr") == KEPT
    coreset = open_coreset("out.zarr")
    assert coreset.provenance["input"]["attributes"] == KEPT
    left_out = {name: list(others) for name, others in LOST.items() if others}
    assert coreset.provenance["input"]["attributes_left_out"] == left_out
    # and in what is written of it again
    coreset.to_zarr("again.zarr")
    assert held("again.zarr") == KEPT
    assert verify("again.zarr").ok
    with xr.open_zarr("out.zarr", consolidated=False) as opened:
        assert opened["X"].attrs == KEPT["X"]
        assert opened["X"].dims == ("row", "feature")
    done = CliRunner().invoke(cli, [*words, "--overwrite", "--json"])
    assert json.loads(done.stdout)["attributes_left_out"] == left_out


def test_distill__keeps_what_zarr_and_xarray_say_of_their_arrays(group):
    of_zarr = {name: group[name] for name in ("X", "y")} | {"when": group["obs/when"]}
    of_xarray = {
        name: xr.DataArray(values, attrs=KEPT[name] | LOST[name])
        for name, values in {"X": X, "y": Y, "when": np.arange(N)}.items()
    }
    for arrays in (of_zarr, of_xarray):
        carry = {"when": arrays["when"]}
        distill(arrays["X"], arrays["y"], carry=carry, size=20).to_zarr("b.zarr", overwrite=True)
        assert held("b.zarr") == KEPT


def test_distill__columns_keep_theirs_in_the_provenance(group):
    columns = {"a": ("r", X[:, 0], {"units": "K"}), "b": ("r", X[:, 1])}
    told = distill(xr.Dataset(columns), size=20).provenance["input"]
    assert told["attributes"] == {"a": {"units": "K"}}
    for name in ("a", "b"):
        group.create_array(name, data=X[:, 0], attributes={"units": name})
    told = distill(open_dataset("a.zarr", features="a,b"), size=20).provenance["input"]
    assert told["attributes"]["a"] == {"units": "a"}


def test_distill__attributes_that_xarray_writes_are_those_it_reads(tmp_path):
    data = xr.Dataset({"X": (("r", "f"), X, {"units": "m"}), "y": ("r", Y, {"long_name": "kind"})})
    for zarr_format in (2, 3):
        place = tmp_path / f"{zarr_format}.zarr"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data.to_zarr(place, zarr_format=zarr_format, consolidated=False)
        distill(open_dataset(place), size=20).to_zarr(tmp_path / f"out{zarr_format}")
        with xr.open_zarr(tmp_path / f"out{zarr_format}", consolidated=False) as opened:
            assert (opened["X"].attrs, opened["y"].attrs) == (data["X"].attrs, data["y"].attrs)


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("units", "K", True),
        ("minute_mean_of", "wind", False),
        ("min", 3, False),
        ("actualMax", 3, False),
        ("summary", "all of it", True),
        ("description", "mean of the hour", True),
        ("classNames", ["a", "b"], True),
        ("per_row", [1, 2, 3, 4], False),
        ("units", "days since 1970-01-01", False),
        ("dtype", "bool", False),
        ("encoding-type", "array", False),
        ("odd", {1, 2}, False),
        ("bytes", b"K", True),
        ("number", np.float32(2), True),
        ("one", np.array([2]), True),
        ("several", np.array([2, 3]), True),
        ("sizes", [3, 3], True),
    ],
)
def test_attributes_that_hold(name, value, holds):
    kept, left_out = attributes_that_hold({name: value}, 4)
    assert (name in kept, name in left_out) == (holds, not holds)
    json.dumps(kept)
