"""Columns of parquet files: one type for all files, as wide as holds the values of each.

Knows types alone. A column that does not fit in all files says so when it is used, not before.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from dask_distill.errors import InputError
from dask_distill.sources.footers import Footer

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBERS = "biuf"


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
    """

    name: str
    kind: Any
    nulls: bool
    misfit: str = ""

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
                f"{what} must be the same columns in all files, got column {self.name!r} "
                f"{self.misfit}; write them alike, or name columns without it"
            )
        return self


def common_columns(footers: Sequence[Footer]) -> dict[str, Column]:
    """The columns of all files, by name, in the order of the first file."""
    distinct: list[Footer] = []
    for footer in footers:
        if not any(footer.kinds == known.kinds for known in distinct):
            distinct.append(footer)
    names = dict.fromkeys(name for footer in distinct for name in footer.kinds)
    nulls = frozenset().union(*(footer.nulls | footer.untold for footer in footers))
    columns = {name: _joined(name, distinct, name in nulls) for name in names}
    folders = dict.fromkeys(name for footer in footers for name, _ in footer.partition)
    return columns | {name: _partition_column(name, footers) for name in folders}


def _joined(name: str, footers: Iterable[Footer], nulls: bool) -> Column:
    """One column from the types that it has in files; one whose values are missing has any."""
    first, *others = footers
    kind = first.kinds.get(name)
    for footer in others:
        other = footer.kinds.get(name)
        wider = kind if other == kind else _wider(kind, other)
        if other != kind and wider is None:
            text = f"of type {other or 'none'} in '{footer.path}' and {kind or 'none'} before it"
            found = [Column(name, one, nulls, text) for one in (kind, other) if one is not None]
            # what is a number in one of them would be taken as a feature
            return next((column for column in found if column.is_number), found[0])
        kind = wider
    return Column(name, kind, nulls)


def _wider(one: Any, other: Any) -> Any:
    """The type that holds the values of both as they are; None where there is none."""
    if one is None or other is None:
        return None
    both = (one, other)
    if any(map(pa.types.is_uint64, both)) and any(map(pa.types.is_signed_integer, both)):
        # Arrow would take int64 for both
        return None
    if any(map(pa.types.is_decimal, both)) and any(map(pa.types.is_floating, both)):
        return None
    schemas = [pa.schema([("", kind)]) for kind in both]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return None


def _partition_column(name: str, footers: Sequence[Footer]) -> Column:
    """What the names of folders say: whole numbers where all are, text otherwise."""
    folders = [dict(footer.partition) for footer in footers]
    values = [told[name] for told in folders if name in told]
    known = {value for value in values if value is not None}
    whole = bool(known) and all(_WHOLE.fullmatch(value) for value in known)
    without = [f.path for f, told in zip(footers, folders, strict=True) if name not in told]
    misfit = f"in the names of some folders, and not in '{without[0]}'" if without else ""
    return Column(name, pa.int64() if whole else pa.string(), None in values, misfit)
