"""Arrays whose attributes say that values are not the numbers they seem.

Climate and Forecast conventions, as xarray writes and reads them: packed numbers, fill values,
times as numbers since a day, booleans as bytes. What is read here are the stored numbers; rather
than select by those, such arrays are refused, with the way out.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from dask_distill.errors import InputError

_SCALING = ("scale_factor", "add_offset", "valid_range", "valid_min", "valid_max", "_Unsigned")
_FILLING = ("_FillValue", "missing_value")
# xarray leaves these on what it has decoded
_KEPT_DECODED = ("valid_range", "valid_min", "valid_max", "dtype")


def refuse_packed(array: Any, what: str, name: str) -> None:
    """End where an array's stored numbers stand for others.

    Parameters
    ----------
    array : zarr array
    what : str
        What it is wanted for.
    name : str
        Of the array.

    Raises
    ------
    InputError
    """
    found = packing(dict(array.attrs), array.dtype)
    # xarray's mark; without it a fill value is what chunks that are not stored hold
    if array.metadata.zarr_format == 2 and "_ARRAY_DIMENSIONS" in array.attrs:
        fill = array.metadata.fill_value
        if fill is not None and not _is_nan(fill) and array.dtype.kind in "iuf":
            found.append("fill_value")
    _refuse(found, array.attrs, what, name, f"xarray.open_zarr(...)[{name!r}]")


def refuse_attributes(
    attributes: Mapping[str, Any], dtype: np.dtype[Any], what: str, name: str
) -> None:
    """As `refuse_packed`, for arrays of other stores that xarray opens.

    Raises
    ------
    InputError
    """
    name = name.rpartition("/")[2]
    _refuse(
        packing(dict(attributes), dtype),
        attributes,
        what,
        name,
        f"xarray.open_dataset(...)[{name!r}]",
    )


def refuse_undecoded(attributes: Mapping[str, Any], dtype: np.dtype[Any], what: str) -> None:
    """End where an xarray object has attributes that xarray takes off when it decodes.

    Raises
    ------
    InputError
    """
    ours = {name: value for name, value in attributes.items() if name not in _KEPT_DECODED}
    if found := packing(ours, dtype):
        raise InputError(
            f"{what} must be the numbers they seem, got an xarray object with the attributes "
            f"{', '.join(found)}, by which its numbers stand for others; open it with "
            "decode_cf=True, or decode it with xarray.decode_cf"
        )


def _refuse(
    found: list[str], attributes: Mapping[str, Any], what: str, name: str, decoded: str
) -> None:
    if what == "features" and "flag_values" in attributes:
        found.append("flag_values")
    if found:
        raise InputError(
            f"{what} must be the numbers they seem, got array {name!r} with the attributes "
            f"{', '.join(found)}, by which stored numbers stand for others; store it decoded, or "
            f"pass it from Python as {decoded} gives it"
        )


def packing(attributes: dict[str, Any], dtype: np.dtype[Any]) -> list[str]:
    """Names of the attributes that make other values of the stored ones.

    Examples
    --------
    >>> packing({"scale_factor": 0.1, "long_name": "wind"}, np.dtype("i2"))
    ['scale_factor']
    >>> packing({"_FillValue": float("nan"), "units": "m"}, np.dtype("f4"))
    []
    """
    found = [name for name in _SCALING if name in attributes]
    found += [name for name in _FILLING if name in attributes and not _is_nan(attributes[name])]
    # of numbers alone; as attribute of an array of dates it would be a description
    if " since " in str(attributes.get("units", "")) and dtype.kind in "iuf":
        found.append("units")
    if "dtype" in attributes:
        found.append("dtype")
    return found


def _is_nan(value: Any) -> bool:
    """Whether a fill value is NaN, which means what it says; xarray writes bytes as base64."""
    if isinstance(value, np.ndarray) and value.size == 1:
        # what HDF5 has of one value
        value = value.reshape(-1)[0]
    if isinstance(value, str):
        if value.lower() == "nan":
            return True
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError:
            return False
        kind = {2: "<f2", 4: "<f4", 8: "<f8"}.get(len(data))
        return kind is not None and bool(np.isnan(np.frombuffer(data, kind)[0]))
    return isinstance(value, float | np.floating) and bool(np.isnan(value))
