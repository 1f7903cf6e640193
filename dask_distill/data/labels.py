"""Labels as plain arrays, and which are missing."""

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError


def as_labels(values: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """Labels as ints, floats or fixed-width strings; as they are where some are missing.

    Raises
    ------
    InputError
        Where strings are mixed with something else, or ints do not fit in 64 bits.
    """
    array = np.asarray(values).reshape(-1)
    if array.dtype.kind not in "OT":
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    # NumPy does not turn strings of variable width into those of fixed width by itself
    array = array.astype(object)
    missing = missing_labels(array)
    kinds = {type(value) for value in array[~missing]}
    if all(issubclass(kind, str) for kind in kinds):
        return array if missing.any() else array.astype("U")
    if not all(issubclass(kind, int | np.integer | np.bool_) for kind in kinds):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise InputError(
            f"labels must be all ints or all strings, got {names}; convert them to one type"
        )
    try:
        whole = array[~missing].astype(np.int64)
    except OverflowError:
        raise InputError(
            "labels must be ints of 64 bits or strings, got larger ints; convert them to strings"
        ) from None
    return array if missing.any() else whole


def missing_labels(labels: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Which labels are NaN, None or pandas' NA."""
    if labels.dtype.kind == "f":
        return np.isnan(labels)
    if labels.dtype.kind in "OT":
        # NaN and NA are the values that do not equal themselves
        return np.array([v is None or not _equals_itself(v) for v in labels], bool)
    return np.zeros(len(labels), bool)


def _equals_itself(value: object) -> bool:
    try:
        return bool(value == value)
    except TypeError:
        return False
