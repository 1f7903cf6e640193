"""zarr arrays whose attributes say that stored numbers stand for others, written by xarray."""

import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr

from dask_distill import InputError, distill, open_dataset

N = 200
rng = np.random.default_rng(0)
Y = rng.integers(0, 3, N)
X = rng.normal(size=(N, 4)) + Y[:, None]


def gaps(values):
    """With some of them missing."""
    values = values.astype(float)
    values[5:9] = np.nan
    return values


PACKED = {"dtype": "int16", "scale_factor": 0.001, "add_offset": 1.0, "_FillValue": -32768}
# which array, its values, how it is stored, and what the refusal names
CASES = {
    "packed": ("X", X, PACKED, "scale_factor, add_offset, (_FillValue|fill_value)"),
    "filled": ("X", gaps(X), {"_FillValue": -999.0}, "(_FillValue|fill_value)"),
    "labels": ("y", gaps(Y), {"dtype": "int8", "_FillValue": -1}, "(_FillValue|fill_value)"),
    "time": ("t", pd.date_range("2021", periods=N, freq="h"), {}, "units"),
}
# as older versions have written them, and other libraries
ATTRIBUTES = {
    "boolean": ("y", {"dtype": "bool"}),
    "delta": ("y", {"units": "days", "dtype": "timedelta64[ns]"}),
    "unsigned": ("X", {"_Unsigned": "true"}),
    "missing": ("X", {"missing_value": -999.0}),
    "range": ("X", {"valid_range": [0.0, 1.0]}),
}


@pytest.fixture(params=[2, 3])
def store(request, tmp_path):
    """Writes a data set as xarray does, in a format of zarr."""

    def write(name, values, encoding):
        dims = ("s", "f") if np.ndim(values) == 2 else ("s",)
        arrays = {"X": (("s", "f"), X), "y": ("s", Y)} | {name: (dims, values)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            xr.Dataset(arrays).to_zarr(
                tmp_path / "a.zarr",
                encoding={name: encoding},
                zarr_format=request.param,
                consolidated=False,
            )
        return tmp_path / "a.zarr"

    return write


@pytest.mark.parametrize("case", CASES)
def test_open_dataset__what_is_not_what_it_seems_is_refused(store, case):
    name, values, encoding, told = CASES[case]
    place = store(name, values, encoding)
    with pytest.raises(InputError, match=rf"the numbers they seem, got array '{name}'.*{told}"):
        open_dataset(place, carry=["t"] if name == "t" else [])


@pytest.mark.parametrize("case", ATTRIBUTES)
def test_open_dataset__attributes_that_change_values_are_named(store, case):
    name, attributes = ATTRIBUTES[case]
    place = store("t", gaps(Y), {})
    zarr.open_array(place / name, mode="r+").attrs.update(attributes)
    with pytest.raises(InputError, match=rf"array '{name}' with the attributes .*"):
        open_dataset(place)


def test_open_dataset__what_xarray_adds_to_plain_numbers_is_no_packing(store):
    place = store("t", gaps(Y).astype("f4"), {})
    dataset = open_dataset(place, carry=["t"])
    assert np.array_equal(dataset.features.compute(), X)
    assert np.array_equal(dataset.labels.compute(), Y)
    assert np.array_equal(dataset.carry["t"].compute(), gaps(Y).astype("f4"), equal_nan=True)


def test_open_dataset__flags_are_classes_and_no_features(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("X", data=X)
    label = group.create_array("y", data=Y)
    label.attrs.update({"flag_values": [0, 1, 2], "flag_meanings": "a b c"})
    assert open_dataset(tmp_path / "a.zarr").labels is not None
    with pytest.raises(InputError, match="flag_values"):
        open_dataset(tmp_path / "a.zarr", features="y", labels=False)


def test_distill__takes_what_xarray_has_decoded(store):
    """The way out that the refusal names."""
    place = store("X", gaps(X), PACKED)
    decoded = xr.open_zarr(place, consolidated=False)
    coreset = distill(decoded.X, decoded.y, size=20, on_invalid="drop", strategy="kcenter")
    assert not np.isin(np.arange(5, 9), coreset.indices).any()
    assert np.allclose(coreset.features.compute(), X[coreset.indices], atol=0.001)
