"""Labels as plain arrays, and which are missing."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError

Rows = npt.NDArray[np.int64]


class Unset(Enum):
    """Stands for what was not given, where None would mean something."""

    UNSET = "not given"


UNSET: Final = Unset.UNSET


@dataclass(frozen=True)
class MissingLabel:
    """What stands for "no label" in partly labelled data.

    Attributes
    ----------
    value : int, float, str or None
        None stands for NaN and pandas' NA, too.
    """

    value: Any

    @classmethod
    def of(cls, value: Any) -> "MissingLabel":
        """Check it.

        Raises
        ------
        InputError
        """
        plain = value.item() if isinstance(value, np.generic) else value
        if plain is None or not _equals_itself(plain):
            return cls(None)
        if isinstance(plain, bool) or not isinstance(plain, int | float | str):
            raise InputError(
                f"missing_label must be a number, a text, NaN or None, got {value!r}; pass what "
                "stands for no label"
            )
        return cls(plain)

    @classmethod
    def worded(cls, word: str, kind: str) -> "MissingLabel":
        """From a word of a command line, for labels of a kind of dtype.

        Raises
        ------
        InputError
        """
        if word.lower() in ("nan", "none", "null"):
            return cls(None)
        if kind not in "biuf":
            return cls(word)
        try:
            number = float(word)
            return cls(int(number) if number.is_integer() else number)
        except (ValueError, OverflowError):
            raise InputError(
                f"missing_label must be a number, as labels are, got {word!r}; pass what stands "
                "for no label"
            ) from None

    def among(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Which labels are none.

        Examples
        --------
        >>> MissingLabel(-1).among(np.array([0, -1, 2]))
        array([False,  True, False])
        """
        if self.value is None:
            return missing_labels(labels)
        if labels.dtype.kind in "OT":
            gone = missing_labels(labels)
            pairs = zip(labels.tolist(), gone, strict=True)
            # what is missing by itself may not be compared with anything
            return np.array([not none and v == self.value for v, none in pairs], bool)
        if isinstance(self.value, str) != (labels.dtype.kind == "U"):
            return np.zeros(len(labels), bool)
        return np.asarray(labels == self.value)


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


def class_codes(
    labels: npt.NDArray[np.generic], classes: npt.NDArray[np.generic]
) -> npt.NDArray[np.int32]:
    """Number of each label's class."""
    if len(labels) == 0:
        return np.empty(0, np.int32)
    labels = as_labels(labels)
    ranked = np.argsort(classes)
    ascending = classes[ranked]
    whole = labels.dtype == classes.dtype and classes.dtype.kind in "iu"
    if whole and int(ascending[-1]) - int(ascending[0]) == len(classes) - 1:
        # differences are right where int64 wraps, too
        place = labels.astype(np.int64) - ascending[:1].astype(np.int64)
        return ranked.astype(np.int32).take(place)
    return ranked[np.searchsorted(ascending, labels)].astype(np.int32)


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


def unique_labels(labels: npt.NDArray[np.generic]) -> tuple[npt.NDArray[Any], Rows, Rows, Rows]:
    """Different labels in ascending order, as `numpy.unique` has them, and of each row which.

    Returns
    -------
    names : (c,) array
    first : (c,) int64 array
        Position of the first row of each.
    inverse : (m,) int64 array
        Which of them each row has.
    counts : (c,) int64 array

    Examples
    --------
    >>> [found.tolist() for found in unique_labels(np.array([7, 5, 7]))]
    [[5, 7], [1, 0], [1, 0, 1], [1, 2]]
    """
    if labels.dtype.kind in "iu" and labels.dtype.itemsize <= 8 and len(labels):
        least, width = labels.min(keepdims=True), int(labels.max()) - int(labels.min()) + 1
        if width <= len(labels):
            # class numbers: no need to sort rows; differences are right where int64 wraps, too
            place = labels.astype(np.int64) - least.astype(np.int64)
            counts = np.bincount(place, minlength=width)
            there = np.flatnonzero(counts)
            number = np.cumsum(counts > 0) - 1
            first = np.empty(width, np.int64)
            # of places that are written twice the last value stays
            first[place[::-1]] = np.arange(len(labels) - 1, -1, -1)
            names = (there + least.astype(np.int64)).astype(labels.dtype)
            return names, first[there], number[place], counts[there]
    names, first, inverse, counts = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    return names, first, inverse, counts
