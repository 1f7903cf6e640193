"""Files of a folder that grows, each opened as those before it were; and several as one batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dask.array as da

from dask_distill.data.dataset import Dataset, check, with_time
from dask_distill.data.rows import join_rows
from dask_distill.data.table import Table
from dask_distill.data.uses import CARRIED, LABEL, LEFT_OUT
from dask_distill.errors import InputError
from dask_distill.growing.check import check_alike, refuse_weights
from dask_distill.growing.tables import (
    as_read,
    joint_schema,
    read_alike,
    same_reading,
    table_as,
)
from dask_distill.sources.open import open_dataset
from dask_distill.storage.location import Location
from dask_distill.tables.dataset import Wanted, profiled
from dask_distill.tables.profile import Profile


@dataclass(frozen=True)
class AlikeFiles:
    """Opens files of a folder.

    Attributes
    ----------
    place : Location
        Of the folder.
    opening : mapping
        How a file is opened; see `open_dataset`.
    before : Dataset or None
        What came before them.
    """

    place: Location
    opening: Mapping[str, Any]
    before: Dataset | None

    @property
    def profile(self) -> Mapping[str, Any] | None:
        """How columns are read, where that is known."""
        before = None if self.before is None else self.before.profile
        return before or self.opening.get("profile")

    def open(self, name: str) -> Dataset:
        """A file, its columns as they are read in those before it; it may lack some."""
        return self._opened(name, self.profile)

    def _opened(self, name: str, profile: Mapping[str, Any] | None) -> Dataset:
        place = self.place.child(name)
        if profile is None or name.endswith(".npz"):
            return opened(place, self.opening)
        parsed = Profile.parse(profile)
        there = _names_in(place)
        columns = [c for c in parsed.columns if any(_within(c.name, name) for name in there)]
        known = replace(parsed, columns=tuple(columns)).as_dict()
        return opened(place, {**self.opening, "columns": None, "profile": known})

    def joined(self, names: Sequence[str], parts: Sequence[Dataset]) -> Dataset:
        """Files as one batch; of the first one, columns are profiled on all of its files."""
        before = self.before
        if before is None and len(parts) > 1 and all(part.table is not None for part in parts):
            before = self._first(names, parts)
            # by a profile, which reads no rows
            parts = [self._opened(name, before.profile) for name in names]
        if before is not None and before.table is not None:
            parts = [read_alike(part, before) for part in parts]
        return joined_datasets(parts)

    def _first(self, names: Sequence[str], parts: Sequence[Dataset]) -> Dataset:
        """What all files of the first batch are read like."""
        tables = [part.table for part in parts if part.table is not None]
        schema = joint_schema(table.schema for table in tables)
        table = joined_tables([table_as(each, schema) for each in tables])
        profile = self.opening.get("profile")
        if profile is None:
            wanted = _wanted(parts, self.opening, self.place.shown)
            profile = profiled(table, wanted).as_dict()
        like = replace(parts[0], table=table, profile=profile)
        again = (self._opened(name, profile) for name in names)
        whole = next((one for one in again if same_reading(one.profile, profile)), None)
        if whole is None:
            # each of them lacks a column
            return as_read(like, table, Profile.parse(profile))
        return replace(like, features=whole.features)


def _wanted(parts: Sequence[Dataset], opening: Mapping[str, Any], source: str) -> Wanted:
    first, given = parts[0], opening.get("features")
    features = given.split(",") if isinstance(given, str) else given
    apart = dict.fromkeys(first.carry, CARRIED)
    apart |= {first.label_name: LABEL} if first.labels is not None else {}
    gone = {
        use.name: use.why
        for part in parts
        for use in part.uses
        # neither a feature nor looked at: an index, or a score of ours
        if use.role == LEFT_OUT and not use.read_as and use.why != "not named"
    }
    return Wanted(
        features=None if features is None else [name.strip() for name in features],
        apart=apart,
        left_out=gone,
        kinds=opening.get("columns") or {},
        source=source,
    )


def _names_in(place: Location) -> list[str]:
    """Columns of a parquet file."""
    from pyarrow import parquet

    system, path = place.filesystem()
    guard = place.guard(f"'{place.shown}' must be a parquet file", InputError)
    with guard, system.open(path, "rb") as file:
        return list(parquet.read_schema(file).names)


def _within(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}.")


def opened(place: Location, opening: Mapping[str, Any]) -> Dataset:
    """A data set with its time, if that was asked for."""
    more = dict(opening)
    time = more.pop("time", None)
    carry = tuple(dict.fromkeys([*more.pop("carry", ()), *([time] if time else [])]))
    dataset = open_dataset(place.url, carry=carry, storage_options=place.options, **more)
    refuse_weights(dataset)
    return dataset if time is None else check(with_time(dataset, time))


def joined_tables(tables: Sequence[Table]) -> Table:
    """The rows of several with the same columns, one after the other."""
    return replace(
        tables[0],
        parts=tuple(part for table in tables for part in table.parts),
        rows=tuple(rows for table in tables for rows in table.rows),
        files=(),
        without_nulls=frozenset.intersection(*(table.without_nulls for table in tables)),
    )


def joined_datasets(parts: Sequence[Dataset]) -> Dataset:
    """The rows of several, one after the other.

    Raises
    ------
    InputError
        Where they do not have the same arrays and columns.
    """
    first = parts[0]
    for part in parts[1:]:
        if _form(part) != _form(first):
            raise InputError(
                f"files must have the same columns and types, got {_form(part)} in "
                f"'{part.sources[0]}' and {_form(first)} in '{first.sources[0]}'; convert one"
            )
        check_alike(part, first)
    if len(parts) == 1:
        return first
    labels = [part.labels for part in parts if part.labels is not None]
    return check(
        replace(
            first,
            features=join_rows([part.features for part in parts]),
            labels=da.concatenate(labels) if labels else None,
            carry={
                name: da.concatenate([part.carry[name] for part in parts]) for name in first.carry
            },
            without_nulls=frozenset.intersection(*(part.without_nulls for part in parts)),
            **_joint_table(parts),
        )
    )


def _joint_table(parts: Sequence[Dataset]) -> dict[str, Any]:
    """Of data sets that are tables, read alike: what becomes of them together."""
    tables = [part.table for part in parts if part.table is not None]
    if len(tables) < len(parts):
        return {"table": None, "profile": None, "groups": (), "unfilled": None}
    ways = [part.unfilled for part in parts if part.unfilled is not None]
    whole = partial(_unfilled, ways) if len(ways) == len(parts) else None
    return {"table": joined_tables(tables), "unfilled": whole}


def _unfilled(ways: Sequence[Callable[[], da.Array]]) -> da.Array:
    return join_rows([way() for way in ways])


def _form(dataset: Dataset) -> tuple[Any, ...]:
    """What must be the same."""
    shape, kind = dataset.features.shape[1:], dataset.features.dtype
    return shape, str(kind), dataset.columns, dataset.labels is not None, sorted(dataset.carry)
