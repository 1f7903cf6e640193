"""Whole numbers that are labels or carried: kept as they are, or refused before the work.

A column becomes float64 where values are missing. Of files whose footers do not tell whether any
are, and how large the others are, the column is read for it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dask_distill.errors import InputError
from dask_distill.sources.columns import Column
from dask_distill.sources.footers import LARGEST_EXACT, Footer, metadata_of, open_file, plain_type
from dask_distill.storage.location import Location

_THREADS = 16


@dataclass(frozen=True)
class _Facts:
    """Of a column in one file: whether values are missing; its ends, 0 where there are none."""

    nulls: bool
    ends: tuple[int, int] = (0, 0)


def known_exactly(
    location: Location, footers: Sequence[Footer], column: Column, what: str
) -> Column:
    """The column, and whether values of it are missing, once that is known.

    Parameters
    ----------
    location : Location
    footers : sequence of Footer
        Of all files.
    column : Column
        Of labels, or carried.
    what : str
        For errors.

    Raises
    ------
    InputError
        Where whole numbers become float64 that it cannot hold.
    """
    whole = [footer for footer in footers if _is_whole(footer.kinds.get(column.name))]
    if not whole:
        return column
    if column.nulls and not pa.types.is_floating(column.kind):
        untold = [f for f in whole if column.name in f.untold]
        told = any(_lacks(footer, column.name) for footer in footers)
        nulls = told or any(facts.nulls for facts in _facts(location, column.name, untold, False))
        column = replace(column, nulls=nulls)
    if column.dtype.kind == "f" and any(_is_long(f.kinds[column.name]) for f in whole):
        for facts in _facts(location, column.name, whole, True):
            refuse_rounding(facts.ends, what)
    return column


def refuse_rounding(ends: tuple[int, int], what: str) -> None:
    """Refuse whole numbers that float64 would round.

    Raises
    ------
    InputError
    """
    for end in ends:
        if abs(end) > LARGEST_EXACT:
            raise InputError(
                f"{what} must be within ±2**53 where values are missing or other files hold "
                f"floats, since it becomes float64, got {end}; fill what is missing, or store it "
                "as text"
            )


def _is_whole(kind: Any) -> bool:
    return kind is not None and (pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _lacks(footer: Footer, name: str) -> bool:
    """Whether values are known to be missing, or the whole column is."""
    return name in footer.nulls or footer.kinds.get(name) in (None, pa.null())


def _is_long(kind: Any) -> bool:
    return pa.types.is_integer(kind) and kind.bit_width == 64


def _facts(
    location: Location, name: str, footers: Sequence[Footer], ends: bool
) -> Iterator[_Facts]:
    """A few files at a time, for they may be far away; from statistics where these tell."""
    if footers:
        with ThreadPoolExecutor(min(_THREADS, len(footers))) as pool:
            yield from pool.map(partial(_told_or_read, location, name, ends), footers)


def _told_or_read(location: Location, name: str, ends: bool, footer: Footer) -> _Facts:
    metadata = metadata_of(location, footer.path)
    told = _told_ends(metadata, name) if ends else None
    return told or _read(location, name, footer, metadata)


def _told_ends(metadata: Any, name: str) -> _Facts | None:
    """The ends that statistics tell; None where one does not."""
    leaves = [metadata.schema.column(number).path for number in range(len(metadata.schema))]
    position = leaves.index(name)
    if pa.types.is_uint64(plain_type(metadata.schema.to_arrow_schema().field(name).type)):
        # their statistics are of signed numbers
        return None
    found = []
    for number in range(metadata.num_row_groups):
        statistics = metadata.row_group(number).column(position).statistics
        if statistics is None or not (statistics.has_min_max or statistics.num_values == 0):
            return None
        if statistics.has_min_max:
            found += [int(statistics.min), int(statistics.max)]
    return _Facts(False, (min(found, default=0), max(found, default=0)))


def _read(location: Location, name: str, footer: Footer, metadata: Any) -> _Facts:
    """What the values themselves say, a row group at a time."""
    nulls, found = False, [0]
    with open_file(location, footer.path) as file:
        parquet = pq.ParquetFile(file, metadata=metadata)
        for number in range(metadata.num_row_groups):
            values = parquet.read_row_group(number, columns=[name], use_threads=False).column(name)
            nulls = nulls or values.null_count > 0
            if pa.types.is_dictionary(values.type):
                values = values.cast(values.type.value_type)
            least, most = pc.min_max(values).as_py().values()
            found += [int(end) for end in (least, most) if end is not None]
    return _Facts(nulls, (min(found), max(found)))
