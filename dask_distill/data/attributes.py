"""Attributes of a source's arrays: which of them hold of some of its rows as of all.

Units, names and meanings do. What was measured over all rows, names other arrays of the source, or
says how numbers were stored does not, and would lie on the selected rows.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from dask_distill.data.packed import packing
from dask_distill.support.digest import jsonable

_STORAGE = re.compile(r"_.*|encoding-.*|[A-Z]+_LIST|CLASS|NAME|dtype|calendar|shape")
_OTHER_ARRAYS = {
    *("ancillary_variables", "bounds", "cell_measures", "climatology", "coordinates"),
    *("formula_terms", "grid_mapping"),
}
_OF_ALL_ROWS = {
    *("actual", "average", "avg", "checksum", "count", "counts", "crc32", "digest", "etag"),
    *("hash", "histogram", "length", "max", "maximum", "md5", "mean", "median", "min", "minimum"),
    *("nbytes", "nrows", "percentile", "percentiles", "quantile", "quantiles", "rows", "sha1"),
    *("sha256", "size", "statistics", "std", "stddev", "sum", "variance"),
}
_WORD = re.compile(r"[a-z]+[0-9]*|[A-Z]+(?![a-z])[0-9]*|[A-Z][a-z]+[0-9]*")


def attributes_that_hold(
    attributes: Mapping[str, Any], n: int
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The attributes that hold of selected rows, and the names of the others.

    Parameters
    ----------
    attributes : mapping
        Of an array of the source.
    n : int
        Its rows; a list of so many values is a value for each.

    Returns
    -------
    kept : dict
        JSON-able.
    left_out : tuple of str

    Examples
    --------
    >>> attributes_that_hold({"units": "K", "actual_range": [250, 310], "classes": ["a", "b"]}, 9)
    ({'units': 'K', 'classes': ['a', 'b']}, ('actual_range',))
    """
    kept, left_out = {}, []
    # as of numbers: times since a day are dates here
    packed = set(packing(dict(attributes), np.dtype(np.float64)))
    for name, value in attributes.items():
        plain = _plain(value)
        each_row = isinstance(plain, list) and len(plain) == n > 1
        words = {word.lower() for word in _WORD.findall(name)}
        if (
            plain is None
            or each_row
            or name in packed | _OTHER_ARRAYS
            or _STORAGE.fullmatch(name)
            or words & _OF_ALL_ROWS
        ):
            left_out.append(name)
        else:
            kept[name] = plain
    return kept, tuple(left_out)


def _plain(value: Any) -> Any:
    """A value as JSON has it; None where it has none."""
    try:
        plain = jsonable(value.decode() if isinstance(value, bytes) else value)
        json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError):
        return None
    # HDF5 has one value as a list of one
    alone = isinstance(value, np.ndarray) and value.size == 1
    return plain[0] if alone and isinstance(plain, list) else plain
