"""Labels as plain arrays, and which are missing."""

from typing import Any

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
    array = dense(values, "labels").reshape(-1)
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


def dense(values: npt.ArrayLike, what: str) -> npt.NDArray[Any]:
    """A block as NumPy's; sparse ones, which NumPy makes a single object of, are refused.

    Raises
    ------
    InputError
    """
    if hasattr(values, "toarray") or hasattr(values, "todense"):
        raise InputError(
            f"{what} must have NumPy blocks, got a block of type {type(values).__name__}; make "
            "them dense, e.g. with map_blocks(lambda block: block.toarray())"
        )
    return np.asarray(values)


def text_of(values: npt.NDArray[np.bytes_]) -> npt.NDArray[np.object_]:
    """Bytes as the text that they are in UTF-8.

    Raises
    ------
    InputError
    """
    found = np.empty(values.shape, object)
    for at, value in enumerate(values.tolist()):
        try:
            found[at] = value.decode()
        except UnicodeDecodeError:
            raise InputError(
                f"labels must be text in UTF-8 where they are bytes, got {value!r:.60}; convert "
                "them"
            ) from None
    return found


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
