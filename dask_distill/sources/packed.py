"""Arrays whose attributes say that values are not the numbers they seem.

Climate and Forecast conventions, as xarray writes and reads them: packed numbers, fill values,
times as numbers since a day, booleans as bytes. What is read here are the stored numbers; rather
than select by those, such arrays are refused, with the way out.
"""

import base64
from typing import Any

import numpy as np

from dask_distill.errors import InputError

_SCALING = ("scale_factor", "add_offset", "valid_range", "valid_min", "valid_max", "_Unsigned")
_FILLING = ("_FillValue", "missing_value")


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
    if what == "features" and "flag_values" in array.attrs:
        found.append("flag_values")
    if found:
        raise InputError(
            f"{what} must be the numbers they seem, got array {name!r} with the attributes "
            f"{', '.join(found)}, by which stored numbers stand for others; store it decoded, or "
            f"pass it from Python as xarray.open_zarr(...)[{name!r}] gives it"
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
