"""A table opened as a data set: columns profiled, features encoded, the label by its name."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dask.array as da

from dask_distill.data.dataset import Dataset
from dask_distill.data.table import Table
from dask_distill.data.uses import CARRIED, FEATURE, LABEL, LEFT_OUT, WEIGHT, ColumnUse
from dask_distill.errors import InputError
from dask_distill.storage.variables import LABELS
from dask_distill.support.text import likely
from dask_distill.tables.columns import paths, source_of, values_at
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.kinds import column_profile
from dask_distill.tables.lazy import column_array, encoded
from dask_distill.tables.profile import KINDS, ColumnProfile, Profile, overruled
from dask_distill.tables.sampling import RUN_ROWS, looked_at
from dask_distill.tables.shapes import column_shape

_BATCH = 32


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is wanted of a table's columns.

    Attributes
    ----------
    features : sequence of str or None
        Names and globs; None for all that tell what a row is like.
    apart : mapping
        Columns that are no features, and what they are instead: label, carried, sample weights.
    left_out : mapping
        Columns that are neither, and why.
    kinds : mapping
        How columns are to be read, by name, where that is not found out.
    profile : Profile or None
        How they were read before.
    source : str
        In words.
    """

    features: Sequence[str] | None = None
    apart: Mapping[str, str]
    left_out: Mapping[str, str]
    kinds: Mapping[str, str]
    profile: Profile | None = None
    source: str = "the table"


def dataset_of(
    table: Table,
    *,
    labels: str | None = None,
    carry: Sequence[str] = (),
    features: Sequence[str] | None = None,
    weight: str = "",
    time: str = "",
    columns: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
    source: str = "the table",
) -> Dataset:
    """Open a table as a data set; some of its rows are read, to find out what columns are.

    Parameters
    ----------
    table : Table
    labels : str, optional
        Column; none unless given.
    carry : sequence of str
        Columns that are no features, and wanted as arrays.
    features : sequence of str, optional
        Columns, also globs; all that tell what a row is like, unless given.
    weight, time : str
        Columns; "" for none.
    columns : mapping, optional
        How columns are read, by name: "number", "boolean", "category", "date", "text",
        "embedding", "id" or "leave-out".
    profile : mapping, optional
        What ``Dataset.profile`` was of another table: this one is read the same.
    source : str
        For errors.

    Returns
    -------
    Dataset
        Not checked yet.

    Raises
    ------
    InputError
    """
    carried = list(dict.fromkeys([*carry, *([time] if time else [])]))
    apart = dict.fromkeys(carried, CARRIED)
    apart |= {weight: WEIGHT} if weight else {}
    apart |= {labels: LABEL} if labels else {}
    wanted = Wanted(
        features=features,
        apart=apart,
        left_out={},
        kinds=columns or {},
        profile=None if profile is None else Profile.parse(profile),
        source=source,
    )
    for name, role in apart.items():
        if name not in table.schema.names:
            raise unknown_column(role, name, table.schema.names, source)
    found = profiled(table, wanted)
    arrays = {name: column_array(table, name, f"{apart[name]} {name!r}") for name in apart}
    made = with_features(
        Dataset(
            features=da.empty((table.n, 1)),
            labels=arrays.get(labels or ""),
            carry={name: arrays[name] for name in carried},
            label_name=labels or LABELS,
            time_name=time or None,
            table=table,
            without_nulls=table.without_nulls & set(carried),
        ),
        table,
        found,
        wanted,
    )
    if not weight:
        return made
    return replace(made, sample_weight=arrays[weight], weight_name=weight)


def with_features(dataset: Dataset, table: Table, profile: Profile, wanted: Wanted) -> Dataset:
    """The data set of a table with its columns, read as the profile says, as features."""
    encoding = Encoding(profile)
    return replace(
        dataset,
        features=encoded(table, profile),
        unfilled=partial(encoded, table, profile.unfilled()),
        columns=encoding.names,
        groups=encoding.groups,
        profile=profile.as_dict(),
        uses=uses_of(table.schema, profile, wanted),
    )


def read_as(dataset: Dataset, profile: Mapping[str, Any] | None) -> Dataset:
    """A table with its columns read as those of another were, so that the two can be compared.

    Raises
    ------
    InputError
        Where it lacks one of them.
    """
    if dataset.table is None or dataset.profile is None or profile is None:
        return dataset
    found = Profile.parse(profile)
    if found.columns == Profile.parse(dataset.profile).columns:
        return dataset
    found.check(dataset.table.schema)
    encoding = Encoding(found)
    return replace(
        dataset,
        features=encoded(dataset.table, found),
        unfilled=partial(encoded, dataset.table, found.unfilled()),
        columns=encoding.names,
        groups=encoding.groups,
        profile=profile,
    )


def profiled(table: Table, wanted: Wanted) -> Profile:
    """How the columns of a table are read: as they were before, or found from some rows.

    Raises
    ------
    InputError
        Where a column cannot be read as asked, or none tells what rows are like.
    """
    there = list(paths(table.schema))
    names = [name for name, _ in there]
    for name, kind in wanted.kinds.items():
        _refuse_kind(name, kind, names, wanted)
    if wanted.profile is not None:
        wanted.profile.check(table.schema, wanted.source)
        return replace(wanted.profile, rows=table.n, given=True)
    named = _named(wanted.features, names, wanted)
    apart = {*wanted.apart, *wanted.left_out}
    free = named or [name for name in names if source_of(name, table.schema) not in apart]
    rows = looked_at(table.n)
    columns = _columns(table, rows, free, wanted, explicit=named is not None)
    profile = Profile(
        rows=table.n, sampled=len(rows), columns=tuple(columns), named=named is not None
    )
    if not profile.features:
        raise _nothing_to_compare(profile, wanted)
    return profile


def _refuse_kind(name: str, kind: str, names: Sequence[str], wanted: Wanted) -> None:
    if name not in names:
        raise unknown_column("column", name, names, wanted.source)
    if kind not in KINDS:
        raise InputError(
            f"column {name!r} must be read as one of {', '.join(KINDS)}, got {kind!r}"
            f"{likely(kind, KINDS)}; choose one"
        )
    if name in wanted.apart:
        raise InputError(
            f"column {name!r} must be a feature to be read as {kind}, and it is "
            f"{wanted.apart[name]}; leave one of the two out"
        )
    if wanted.profile is not None:
        raise InputError(
            f"columns and profile must not be given together, got {name}={kind} beside a profile, "
            "which says how columns are read; leave one out"
        )


def unknown_column(what: str, name: str, names: Sequence[str], source: str) -> InputError:
    """The error for a column that is not there."""
    listed = ", ".join(list(names)[:20]) + (", …" if len(names) > 20 else "")
    return InputError(
        f"{what} must be in '{source}', got {name!r}{likely(name, names)}; there are: "
        f"{listed or 'none'}"
    )


def _named(
    patterns: Sequence[str] | None, names: Sequence[str], wanted: Wanted
) -> list[str] | None:
    """Columns that are named as features; fields of a struct by its name, too."""
    if patterns is None:
        return None
    found: list[str] = []
    for pattern in patterns:
        matches = [n for n in names if n == pattern or n.startswith(f"{pattern}.")]
        if not matches:
            matches = [
                name
                for name in fnmatch.filter(names, pattern)
                if name not in wanted.apart and name not in wanted.left_out
            ]
        if not matches:
            raise unknown_column("features", pattern, names, wanted.source)
        found += matches
    for name in found:
        if wanted.apart.get(name) == LABEL:
            raise InputError(
                f"features must not hold the label, got column {name!r}; leave it out, or name "
                "another label"
            )
    return list(dict.fromkeys(found))


def _columns(
    table: Table, rows: Any, names: Sequence[str], wanted: Wanted, *, explicit: bool
) -> list[ColumnProfile]:
    """Profiles of these columns, a few at a time: texts may be long."""
    found = []
    taken = table.take(rows)
    for first in range(0, len(names), _BATCH):
        batch = names[first : first + _BATCH]
        sources = list(dict.fromkeys(source_of(name, table.schema) for name in batch))
        looked = taken.to_arrow(sources).combine_chunks()
        for name in batch:
            values = values_at(looked, name)
            kind = wanted.kinds.get(name, "")
            complete = len(rows) == table.n
            column = column_profile(name, values, kind, named=explicit, complete=complete)
            run = 0 if complete else RUN_ROWS
            shape = column_shape(values, column.kind, run=run) if column.used else {}
            found.append(replace(column, shape=shape))
    return found


def _nothing_to_compare(profile: Profile, wanted: Wanted) -> InputError:
    reasons = [f"{c.name} ({c.type}: {c.why or c.kind})" for c in profile.columns]
    reasons += [f"{name} ({why})" for name, why in wanted.left_out.items()]
    told, more = ", ".join(reasons[:10]), ", …" if len(reasons) > 10 else ""
    return InputError(
        f"features must tell what rows are like, got no column of '{wanted.source}' that does: "
        f"{told or 'there are none beside labels, carry and index'}{more}; name features with "
        f"features= / --features, or say how one is read: {overruled('NAME', 'KIND')}"
    )


def uses_of(schema: Any, profile: Profile, wanted: Wanted) -> tuple[ColumnUse, ...]:
    """What becomes of each column, in the order of the table."""
    known = {column.name: column for column in profile.columns}
    found = []
    for name, kind in paths(schema):
        column, source = known.get(name), source_of(name, schema)
        if source in wanted.apart:
            found.append(ColumnUse(name=name, kind=str(kind), role=wanted.apart[source]))
        elif column is None:
            why = wanted.left_out.get(source, "not named")
            found.append(ColumnUse(name=name, kind=str(kind), role=LEFT_OUT, why=why))
        else:
            found.append(_use(column))
    return tuple(found)


def _use(column: ColumnProfile) -> ColumnUse:
    return ColumnUse(
        name=column.name,
        kind=column.type,
        role=FEATURE if column.used else LEFT_OUT,
        why="" if column.used else column.why or column.kind,
        read_as=column.kind,
        nulls=column.nulls,
        distinct=column.distinct,
    )
