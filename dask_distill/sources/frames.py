"""Frames as data sets: labels, weights and whatever else is a column go by their names.

Frames of numbers that are all there, beside labels that are an array, stay arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da

from dask_distill.data.dataset import Dataset, as_dataset, check
from dask_distill.data.frames import is_frame, numbers_alone, table_of_frame
from dask_distill.data.objects import attributes_of
from dask_distill.data.table import Table
from dask_distill.data.uses import LABEL
from dask_distill.errors import InputError
from dask_distill.tables.dataset import dataset_of

_SOURCE = "the frame"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a user gives of rows; each may be an array, or the name of a frame's column.

    Attributes
    ----------
    features : array, frame or Dataset
    labels : array, name, or names of several labels
    carry : mapping of arrays or names, or sequence of names
    time : array or name
    sample_weight : array, name or False
    marks : tuple of str
        Columns that say which rows are set apart; carried, where they are there.
    several : bool
        Whether a list of names is that of several labels a row.
    columns : mapping or None
        How columns are read, by name; as for `open_dataset`.
    profile : mapping or None
        How columns were read before.
    """

    features: Any
    labels: Any = None
    carry: Any = None
    time: Any = None
    sample_weight: Any = None
    marks: tuple[str, ...] = ()
    several: bool = False
    columns: Mapping[str, str] | None = None
    profile: Mapping[str, Any] | None = None

    @property
    def by_name(self) -> bool:
        """Whether something is named that a frame alone has."""
        carried = self.carry if isinstance(self.carry, Mapping) else {}
        names = [self.labels, *carried.values()]
        names += [name for name in (self.time, *self.marks) if name not in list(carried)]
        named = any(isinstance(name, str) for name in names)
        return named or bool(self.label_names) or _names(self.carry) or self.read_so

    @property
    def arrays(self) -> list[str]:
        """Names of what is carried that is no column of a frame."""
        known = self.features.carry if isinstance(self.features, Dataset) else {}
        carried = self.carry if isinstance(self.carry, Mapping) else {}
        return [name for name in carried if carried[name] is not known.get(name)]

    @property
    def label_names(self) -> list[str]:
        """Of several labels a row; a list of text is labels otherwise."""
        return list(self.labels) if self.several and _names(self.labels) else []

    @property
    def read_so(self) -> bool:
        """Whether it is said how columns are read."""
        return self.columns is not None or self.profile is not None


def named(given: Given) -> Given:
    """The same, with a `Dataset` in place of a frame that is more than numbers, or has names.

    Parameters
    ----------
    given : Given

    Returns
    -------
    Given
        What is named is part of the `Dataset`; arrays stay where they were.

    Raises
    ------
    InputError
        For names that are not there, and columns that cannot be read.
    """
    if not is_frame(given.features):
        return _arrays(given)
    if not given.by_name and numbers_alone(given.features):
        return given
    table = table_of_frame(given.features)
    carry = _carried(given, table)
    weight = given.sample_weight if _is_name(given.sample_weight) else ""
    several = given.label_names
    arrays = {n: a for n, a in carry.items() if not isinstance(a, str)}
    label = given.labels if isinstance(given.labels, str) else None
    dataset = dataset_of(
        table,
        labels=label,
        carry=[*several, *(name for name in carry if name not in arrays)],
        weight=weight,
        time=given.time if isinstance(given.time, str) and given.time not in arrays else "",
        columns=given.columns,
        profile=given.profile,
        source=_SOURCE,
    )
    if several:
        dataset = _with_several(dataset, several, [name for name in carry if name not in arrays])
    attributes = attributes_of({dataset.feature_name: given.features})
    return replace(
        given,
        features=check(replace(dataset, attributes=attributes), several=bool(several)),
        labels=None if label or several else given.labels,
        carry={**dataset.carry, **arrays} if arrays else None,
        time=None if dataset.time_name else given.time,
        sample_weight=None if weight else given.sample_weight,
    )


def as_named_dataset(given: Given) -> Dataset:
    """What is given as one data set: names looked up in a frame, arrays beside it.

    Parameters
    ----------
    given : Given

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
    """
    found = named(given)
    return as_dataset(found.features, found.labels, carry=found.carry, time=found.time)


def _arrays(given: Given) -> Given:
    """Beside arrays there are no columns to be named."""
    if given.read_so:
        what = "columns" if given.columns is not None else "profile"
        raise InputError(
            f"{what} must be given with a frame whose columns are read so, got features of "
            f"{type(given.features).__name__}; give it to open_dataset, or pass a frame"
        )
    if isinstance(given.labels, str):
        opened = isinstance(given.features, Dataset)
        raise InputError(
            f"labels must be an array where features are no frame, got the name {given.labels!r}; "
            + ("name it when it is opened" if opened else "pass a frame that has it")
        )
    return given


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _names(values: Any) -> bool:
    """Whether this is a list of names, and no array."""
    if not isinstance(values, list | tuple) or not values:
        return False
    return all(isinstance(value, str) for value in values)


def _carried(given: Given, table: Table) -> dict[str, Any]:
    """Columns and arrays that are carried, by the name that they get."""
    carry = given.carry
    if carry is None or isinstance(carry, str):
        carry = {} if carry is None else {carry: carry}
    elif not isinstance(carry, Mapping):
        if not isinstance(carry, Sequence) or not all(isinstance(one, str) for one in carry):
            raise InputError(
                "carry must name columns or map names to arrays, got "
                f"{type(carry).__name__}; pass a list of names, or a dict"
            )
        carry = {name: name for name in carry}
    for name, values in carry.items():
        if isinstance(values, str) and values != name:
            raise InputError(
                f"carry must keep the names of columns, got {name!r} for {values!r}; pass a list "
                "of names"
            )
    marks = [name for name in given.marks if name in table.schema.names]
    return dict(carry) | {name: name for name in marks if name not in carry}


def _with_several(dataset: Dataset, labels: Sequence[str], carried: Sequence[str]) -> Dataset:
    """Columns that are one label each as an array of several labels a row."""
    columns = [dataset.carry[name] for name in labels]
    uses = [replace(use, role=LABEL) if use.name in labels else use for use in dataset.uses]
    kept = {name: dataset.carry[name] for name in dataset.carry if name in carried}
    return replace(dataset, labels=da.stack(columns, axis=1), carry=kept, uses=tuple(uses))
