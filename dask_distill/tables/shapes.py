"""Small histograms of columns: of the rows that are looked at, and of others by the same bars."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dask_distill.kernels.shapes import counted, moved, number_shape
from dask_distill.tables.columns import as_days, as_numbers, as_text, undictionaried
from dask_distill.tables.profile import BOOLEAN, CATEGORY, DATE, NUMBER, TEXT

# values that have a bar of their own; the others share the last
_VALUES = 12
_LONGEST = 60


def column_shape(values: Any, kind: str, *, run: int = 0) -> dict[str, Any]:
    """Where a column's values lie; empty for what has no histogram.

    Parameters
    ----------
    values : Arrow array
        Of the rows that are looked at.
    kind : str
        How it is read. Of text it is the number of characters.
    run : int
        Rows in each run of neighbours, where some of all rows are looked at.

    Returns
    -------
    dict
        As of `number_shape`; of categories and booleans ``values``, the most frequent first, and
        ``counts`` of these and of all others. Of runs ``error``, too: how far (as `moved`) these
        may be from all rows, by how far every other run is from the rest. Neighbours are alike,
        so that it is more than of as many rows drawn one by one.

    Examples
    --------
    >>> column_shape(pa.array(["b", "a", "b", None]), CATEGORY)
    {'values': ['b', 'a'], 'counts': [2, 1, 0]}
    """
    shape = _shape(values, kind)
    if not shape or run == 0:
        return shape
    one = (np.arange(len(values)) // run) % 2 == 0
    halves = [column_counts(values.filter(pa.array(half)), kind, shape) for half in (one, ~one)]
    far = moved(*halves)
    # the mean of both is half as far from the truth as they are from each other
    return shape | {"error": 0.0 if np.isnan(far) else round(far / 2, 6)}


def _shape(values: Any, kind: str) -> dict[str, Any]:
    if kind in (CATEGORY, BOOLEAN):
        found = pc.value_counts(pc.drop_null(as_text(values)))
        names, counts = (found.field(name).to_pylist() for name in ("values", "counts"))
        # ties by the value, so that the order of rows does not matter
        ranked = sorted(zip(counts, names, strict=True), key=lambda pair: (-pair[0], pair[1]))
        short = [(count, name) for count, name in ranked[:_VALUES] if len(name) <= _LONGEST]
        kept = [count for count, _ in short]
        return {"values": [name for _, name in short], "counts": [*kept, sum(counts) - sum(kept)]}
    numbers = _numbers(values, kind)
    return {} if numbers is None else number_shape(numbers)


def column_counts(values: Any, kind: str, shape: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Values of other rows by the bars of a shape."""
    if "values" in shape:
        known = pc.drop_null(as_text(values))
        at = pc.index_in(known, value_set=pa.array(shape["values"], pa.string()))
        bars = pc.fill_null(at, len(shape["values"])).to_numpy(zero_copy_only=False)
        return np.bincount(bars, minlength=len(shape["values"]) + 1).astype(np.float64)
    numbers = _numbers(values, kind)
    assert numbers is not None
    return counted(numbers, shape)


def _numbers(values: Any, kind: str) -> npt.NDArray[np.float64] | None:
    if kind == NUMBER:
        return as_numbers(values)
    if kind == DATE:
        return as_days(values)
    if kind == TEXT:
        return as_numbers(pc.utf8_length(as_text(undictionaried(values))))
    return None
