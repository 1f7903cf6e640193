"""Which rows are set apart before a strategy begins: protected ones, and those chosen already.

A `Protection` is what the user has asked for, checked against the metadata; a `Marks` is one
mask or list of row numbers. What they select is known on the workers alone; see `apart`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.data.arrays import from_array
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.subset.subset import Subset
from dask_distill.support.digest import digest_values

Rows = npt.NDArray[np.int64]

_FORMS = (
    "a boolean array, row numbers, the name of a boolean carried array, a function of a block, or "
    'a dict of "column", "class", "rare", "sparse"'
)
_KEYS = ("column", "class", "rare", "sparse")


@dataclass(frozen=True, eq=False)
class Marks:
    """Rows by a mask, or by their numbers.

    Attributes
    ----------
    mask : (n,) bool dask array or None
    rows : (m,) int64 array or None
        Ascending.
    """

    mask: da.Array | None = None
    rows: Rows | None = None

    @classmethod
    def of(cls, values: Any, name: str, n: int) -> "Marks":
        """Check a mask or row numbers.

        Raises
        ------
        InputError
        """
        mask = values if isinstance(values, da.Array) else np.asarray(values)
        if mask.ndim == 1 and mask.dtype == bool:
            if len(mask) != n:
                raise InputError(
                    f"{name} must have as many values as there are rows ({n}) where it is a mask, "
                    f"got {len(mask)}; pass a mask of the same rows"
                )
            return cls(mask=mask if isinstance(mask, da.Array) else from_array(mask))
        numbers = mask.ndim == 1 and (mask.dtype.kind in "iu" or mask.size == 0)
        if isinstance(mask, da.Array) or not numbers:
            raise InputError(
                f"{name} must be a boolean mask of (n,) or an array of row numbers, got "
                f"{mask.dtype} of shape {mask.shape}; make it booleans"
            )
        rows = np.sort(mask.astype(np.int64))
        outside = rows[(rows < 0) | (rows >= n)]
        if len(outside):
            raise InputError(
                f"{name} must hold row numbers from 0 to {n - 1}, got {outside[0]}; check them"
            )
        if np.any(np.diff(rows) == 0):
            twice = rows[:-1][np.diff(rows) == 0][0]
            raise InputError(
                f"{name} must hold each row number once, got {twice} again; for a mask pass "
                "booleans"
            )
        return cls(rows=rows)

    @cached_property
    def digest(self) -> str:
        """Of what is marked; reads a dask array."""
        if self.rows is not None:
            return digest_values(self.rows)
        assert self.mask is not None
        return digest_values(np.packbits(self.mask.compute()))


@dataclass(frozen=True, eq=False, kw_only=True)
class Protection:
    """Rows that are never dropped: any that one of these marks.

    Attributes
    ----------
    marks : Marks or None
    column : str or None
        Carried array that is the mask.
    classes : tuple
        Labels whose rows are protected.
    rare : int
        Classes of at most so many rows are protected.
    sparse : float
        About this part of the rows, those in the emptiest surroundings.
    function : callable or None
        Of (m, d) features and (m,) labels or None; gives an (m,) mask.
    """

    marks: Marks | None = None
    column: str | None = None
    classes: tuple[Any, ...] = ()
    rare: int = 0
    sparse: float = 0.0
    function: Callable[[Any, Any], Any] | None = None
    # whether labels came as words of a command line
    words: bool = False

    @classmethod
    def of(cls, protect: Any, dataset: Dataset) -> "Protection":
        """Check what was asked for.

        Parameters
        ----------
        protect : mask, row numbers, name, dict, function, or list of words
            An (n,) boolean array; row numbers; the name of a boolean carried array; a function of
            a block's (m, d) features and (m,) labels or None that gives an (m,) boolean array; or
            a dict of rules, of which any protects: ``{"column": name}``, ``{"class": label or
            labels}``, ``{"rare": rows}`` (classes of at most so many rows), ``{"sparse": part}``
            (about this part of the rows, those in the emptiest surroundings). On a command line
            a rule is a word: ``class=fraud``.
        dataset : Dataset

        Raises
        ------
        InputError
        """
        wanted = _as_rules(protect)
        if wanted is None:
            if callable(protect) and not hasattr(protect, "__array__"):
                return cls(function=protect)
            return cls(marks=Marks.of(protect, "protect", dataset.n))
        unknown = sorted(set(wanted) - set(_KEYS))
        if unknown or not wanted:
            raise InputError(f"protect must be {_FORMS}, got {unknown or 'none of them'}")
        found: dict[str, Any] = {"words": isinstance(protect, str | list | tuple)}
        if "column" in wanted:
            found |= {"column": wanted["column"], "marks": _column(wanted["column"], dataset)}
        if "class" in wanted:
            labels = wanted["class"]
            labels = tuple(labels) if isinstance(labels, list | tuple | np.ndarray) else (labels,)
            found["classes"] = tuple(np.asarray(labels).tolist())
        if "rare" in wanted:
            found["rare"] = int(_number("rare", wanted["rare"], part=False))
        if "sparse" in wanted:
            found["sparse"] = _number("sparse", wanted["sparse"], part=True)
        made = cls(**found)
        if (made.classes or made.rare) and dataset.labels is None:
            raise InputError(
                "protect by class must have labels, got none; pass labels=, or protect by a mask"
            )
        return made


def describe(values: Any) -> Any:
    """JSON-able form of what was given as ``protect`` or ``initial``; reads no dask array."""
    if isinstance(values, Subset):
        return f"a subset of {len(values):,} rows"
    rules = _as_rules(values)
    if values is None or rules is not None:
        return rules
    if callable(values) and not hasattr(values, "__array__"):
        return getattr(values, "__qualname__", type(values).__name__)
    if isinstance(values, da.Array):
        return f"a mask of {values.shape[0]:,} rows"
    array = np.asarray(values)
    if array.dtype == bool:
        return f"a mask of {len(array):,} rows, {int(array.sum()):,} of them"
    return f"{array.size:,} row numbers"


def columns_named(protect: Any, initial: Any) -> tuple[str, ...]:
    """Names of the columns or carried arrays that say which rows are protected, and chosen."""
    rules = _as_rules(protect) or {}
    names = (rules.get("column"), initial)
    return tuple(name for name in names if isinstance(name, str))


def as_initial(initial: Any, dataset: Dataset) -> Marks:
    """Rows that are chosen already: mask, row numbers, name of a carried mask, or a subset.

    Raises
    ------
    InputError
    """
    if isinstance(initial, Subset):
        return _of_subset(initial, dataset)
    if isinstance(initial, str):
        return _column(initial, dataset, "initial")
    return Marks.of(initial, "initial", dataset.n)


def _as_rules(protect: Any) -> dict[str, Any] | None:
    """Names and rules as a dict; None for masks, row numbers and functions."""
    if isinstance(protect, Mapping):
        return dict(protect)
    words = [protect] if isinstance(protect, str) else protect
    if not isinstance(words, list | tuple) or not words:
        return None
    if not all(isinstance(word, str) for word in words):
        return None
    rules: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        key, value = (key, value) if sign else ("column", word)
        if key == "class":
            rules.setdefault("class", []).append(value)
        elif key in rules:
            raise InputError(f"protect must name {key} once, got it again in {word!r}")
        else:
            rules[key] = value
    return rules


def _of_subset(subset: Subset, dataset: Dataset) -> Marks:
    """Its rows, if it was selected from as many rows as there are."""
    shape = subset.provenance.get("input", {}).get("shape", [None])
    if shape[0] != dataset.n:
        raise InputError(
            f"initial must be a subset of these {dataset.n} rows, got one that was selected from "
            f"{shape[0]} rows; pass row numbers of this source"
        )
    return Marks.of(subset.indices, "initial", dataset.n)


def _column(name: Any, dataset: Dataset, what: str = "protect") -> Marks:
    name = dataset.carried_name(name)
    if name not in dataset.carry:
        known = ", ".join(dataset.carry) or "none"
        raise InputError(
            f"{what} must name a carried array, got {name!r} (carried: {known}); carry it, or "
            "write class=LABEL, rare=ROWS or sparse=PART for a rule"
        )
    values = dataset.carry[name]
    if values.dtype != bool or values.ndim != 1:
        raise InputError(
            f"{what} must name a boolean array of one axis, got {name} of {values.dtype} and "
            f"shape {values.shape}; make it boolean"
        )
    return Marks.of(values, what, dataset.n)


def _number(name: str, value: Any, *, part: bool) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    fits = 0 < number <= 1 if part else number >= 1 and number.is_integer()
    if isinstance(value, bool) or not fits:
        kind = "above 0 and at most 1" if part else "a whole number of at least 1"
        raise InputError(f"protect: {name} must be {kind}, got {value!r}")
    return number
