"""Columns of parquet files: one type for all files, as wide as holds the values of each.

Knows types alone. Where a file does not have a column, its values are missing. A column whose types
do not go together says so when it is used, not before.
"""

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from dask_distill.errors import InputError, InputWarning
from dask_distill.sources.footers import Footer

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBERS = "biuf"
# digits of whole numbers by their bits
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
_MOST_DIGITS = 38


@dataclass(frozen=True)
class Column:
    """A column in all files.

    Attributes
    ----------
    name : str
    kind : Arrow type
        Of all files together.
    nulls : bool
        Whether values may be missing.
    misfit : str
        Which files do not go together, where some do not.
    lacking : tuple of str
        Files that do not have it, in which its values are missing.
    """

    name: str
    kind: Any
    nulls: bool
    misfit: str = ""
    lacking: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type that holds it; void for what has no rows of numbers, dates or text."""
        types = pa.types
        if types.is_boolean(self.kind) or types.is_integer(self.kind):
            return np.dtype(np.float64 if self.nulls else self.kind.to_pandas_dtype())
        if types.is_floating(self.kind):
            return np.dtype(self.kind.to_pandas_dtype())
        if types.is_decimal(self.kind):
            return np.dtype(np.float64)
        if types.is_string(self.kind):
            return np.dtype(object)
        if types.is_date(self.kind):
            return np.dtype("M8[D]" if types.is_date32(self.kind) else "M8[ms]")
        if types.is_temporal(self.kind) and hasattr(self.kind, "unit"):
            letter = "M" if types.is_timestamp(self.kind) else "m"
            return np.dtype(f"{letter}8[{self.kind.unit}]")
        return np.dtype("V")

    @property
    def is_number(self) -> bool:
        """Whether it can be a feature."""
        return self.dtype.kind in _NUMBERS

    def used_as(self, what: str) -> "Column":
        """The column itself, if it fits in all files.

        Raises
        ------
        InputError
        """
        if self.misfit:
            raise InputError(
                f"{what} must be columns whose types go together in all files, got column "
                f"{self.name!r} {self.misfit}; write them alike, or name columns without it"
            )
        return self


def common_columns(footers: Sequence[Footer]) -> dict[str, Column]:
    """The columns of all files, by name, in the order in which files first have them."""
    distinct: list[Footer] = []
    for footer in footers:
        looks = (footer.kinds, footer.large)
        if not any(looks == (known.kinds, known.large) for known in distinct):
            distinct.append(footer)
    names = dict.fromkeys(name for footer in distinct for name in footer.kinds)
    nulls = frozenset().union(*(footer.nulls | footer.untold for footer in footers))
    folders = {name for footer in footers for name, _ in footer.partition}
    columns = {}
    for name in names:
        lacking: tuple[str, ...] = ()
        if not all(name in footer.kinds for footer in distinct):
            lacking = tuple(footer.path for footer in footers if name not in footer.kinds)
        found = (
            partition_column(name, [dict(f.partition) for f in footers], _stored(name, footers))
            if name in folders
            else _joined(name, distinct, name in nulls or bool(lacking))
        )
        columns[name] = replace(found, lacking=lacking)
    return columns


def warn_of_lacking(labels: Iterable[Column], files: int) -> None:
    """Say of labels that some of so many files do not have them."""
    for column in labels:
        if column.lacking:
            told = (
                f"column {column.name!r} is not in {len(column.lacking)} of {files} files, such as "
                f"'{column.lacking[0]}': their rows have no label"
            )
            # whoever has called open_dataset
            warnings.warn(told, InputWarning, stacklevel=6)


def _joined(name: str, footers: Iterable[Footer], nulls: bool) -> Column:
    """One column from the types that it has in the files that have it."""
    kind, large = None, ""
    for footer in footers:
        other = footer.kinds.get(name)
        if other is None:
            continue
        large = large or (footer.path if name in footer.large else "")
        wider = other if kind in (None, other) else wider_type(kind, other)
        if wider is None:
            text = f"of type {other} in '{footer.path}' and {kind} before it"
            found = [Column(name, one, nulls, text) for one in (kind, other)]
            # what is a number in one of them would be taken as a feature
            return next((column for column in found if column.is_number), found[0])
        kind = wider
    if large and pa.types.is_floating(kind):
        text = (
            f"with whole numbers beyond ±2**53 in '{large}', which float64 would round, and with "
            "floats in others"
        )
        return Column(name, kind, nulls, text)
    return Column(name, kind, nulls)


def wider_type(one: Any, other: Any) -> Any:
    """The Arrow type that holds the values of both as they are; None where there is none.

    Examples
    --------
    >>> wider_type(pa.int64(), pa.float64()), wider_type(pa.null(), pa.string())
    (DataType(double), DataType(string))
    >>> wider_type(pa.int64(), pa.string()) is None
    True
    """
    both = (one, other)
    types = pa.types
    if any(map(types.is_uint64, both)) and any(map(types.is_signed_integer, both)):
        # Arrow would take int64 for both
        return None
    if any(map(types.is_decimal, both)) and any(map(types.is_floating, both)):
        return None
    if any(map(types.is_decimal, both)) and any(map(types.is_integer, both)):
        return _decimal_for(*sorted(both, key=types.is_integer))
    schemas = [pa.schema([("", kind)]) for kind in both]
    try:
        wider = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        for kind in both:
            pa.nulls(0, kind).cast(wider)
    except pa.ArrowException:
        return None
    return wider


def _decimal_for(decimal: Any, whole: Any) -> Any:
    """Decimals of as many digits as whole numbers of some width may need; Arrow takes too few."""
    scale = decimal.scale
    digits = max(decimal.precision, _DIGITS[whole.bit_width] + scale)
    return pa.decimal128(digits, scale) if digits <= _MOST_DIGITS else None


def partition_column(
    name: str, folders: Sequence[Mapping[str, str | None]], stored: Sequence[str]
) -> Column:
    """What the names of folders say: whole numbers where all are, text otherwise.

    Parameters
    ----------
    name : str
    folders : sequence of mapping
        Of each file, what the names of its folders say.
    stored : sequence of str
        Files that have a column of that name themselves, and whose folders do not.
    """
    values = [told.get(name) for told in folders]
    known = {value for value in values if value is not None}
    whole = bool(known) and all(_WHOLE.fullmatch(value) for value in known)
    misfit = f"in the names of some folders, and within '{stored[0]}'" if stored else ""
    return Column(name, pa.int64() if whole else pa.string(), None in values, misfit)


def _stored(name: str, footers: Sequence[Footer]) -> list[str]:
    """Files that have a column which the names of folders of others tell."""
    return [f.path for f in footers if name in f.kinds and name not in dict(f.partition)]
