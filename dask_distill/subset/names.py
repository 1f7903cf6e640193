"""Names of the output's arrays: those of the source, but where an array cannot be named so.

A column may be called ``score`` or ``km/h``; a group has arrays of ours, and folders for arrays.
"""

import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import dask.array as da

from dask_distill.data.dataset import Dataset
from dask_distill.data.nulls import beside_masks, with_nulls
from dask_distill.errors import InputWarning
from dask_distill.storage.variables import LABELS, NULL, RESERVED

_UNFIT = re.compile(r"[/\\\0]|\.\.+")


@dataclass(frozen=True)
class ArrayNames:
    """Under which name each array of the source is written.

    Attributes
    ----------
    features : str
    labels : str or None
    carry : dict
        By name in the source.
    source : dict
        Names in the source of those that are written under another, by that.
    table : dict or None
        Of the columns, by name in the source, where that is a table; labels and carried arrays
        that are columns of it have the same.
    """

    features: str
    labels: str | None
    carry: dict[str, str]
    source: dict[str, str] = field(default_factory=dict)
    table: dict[str, str] | None = None

    @classmethod
    def of(
        cls,
        features: str,
        labels: str | None,
        carry: Collection[str],
        table: Collection[str] | None = None,
    ) -> "ArrayNames":
        """Those that can be kept are kept; the others get an underscore.

        Examples
        --------
        >>> ArrayNames.of("X", "score", ["X", "km/h"])
        ArrayNames(features='X', labels='score_', carry={'X': 'X_', 'km/h': 'km_h'}, \
source={'score_': 'score', 'X_': 'X', 'km_h': 'km/h'}, table=None)
        """
        others = [*([] if labels is None else [labels]), *carry]
        # those that are columns of a table are these columns
        taken = [*(table or ()), *(name for name in others if name not in (table or ()))]
        # columns are the user's, features how we read them
        wanted = [features, *taken] if table is None else [*taken, features]
        names = distinct(wanted, RESERVED)
        renamed = {new: old for new, old in zip(names, wanted, strict=True) if new != old}
        own = names.pop(0 if table is None else -1)
        columns = dict(zip(table or (), names, strict=False))
        rest = iter(names[len(columns) :])
        written = [columns[name] if name in columns else next(rest) for name in others]
        return cls(
            own,
            None if labels is None else written.pop(0),
            dict(zip(carry, written, strict=True)),
            renamed,
            None if table is None else columns,
        )

    @classmethod
    def parse(cls, names: Mapping[str, Any]) -> "ArrayNames":
        """From what `as_dict` has stored."""
        source = names.get("source", {})
        carry, table = (
            None if told is None else {source.get(name, name): name for name in told}
            for told in (names.get("carry", ()), names.get("table"))
        )
        return cls(names["features"], names["labels"], carry or {}, source, table)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        names = {
            "features": self.features,
            "labels": self.labels,
            "carry": list(self.carry.values()),
        }
        names |= {} if self.table is None else {"table": list(self.table.values())}
        return names | ({"source": self.source} if self.source else {})

    def original(self, name: str) -> str:
        """What an array is called in the source."""
        return self.source.get(name, name)

    def lines(self) -> list[str]:
        """For people: which arrays get another name."""
        return [
            f"{old!r} is written as {new!r}: "
            + ("the output has another array of that name" if fits(old) else "no array can have it")
            for new, old in self.source.items()
            # of a table, they are written where that is asked for alone
            if self.table is None or new != self.features
        ]

    def warn(self, stacklevel: int) -> None:
        """Tell which arrays get another name."""
        for line in self.lines():
            warnings.warn(line, InputWarning, stacklevel=stacklevel + 1)

    def arrays(
        self,
        features: da.Array,
        labels: da.Array | None,
        carry: Mapping[str, da.Array],
        without_nulls: Collection[str],
    ) -> tuple[dict[str, da.Array], list[str]]:
        """Arrays by the names they are written under, and which of them are carried."""
        rows = {self.features: features}
        if labels is not None and self.labels is not None:
            rows[self.labels] = labels
        renamed = {self.carry[name]: array for name, array in carry.items()}
        whole = {self.carry[name] for name in without_nulls if name in self.carry}
        carried = beside_masks(renamed, whole)
        return rows | carried, list(carried)

    def fields(self, arrays: Mapping[str, da.Array]) -> dict[str, Any]:
        """Of a `Subset` or `Dataset`, from arrays that have been read."""
        masks = {name: arrays.get(NULL + new) for name, new in self.carry.items()}
        carry = {name: arrays[new] for name, new in self.carry.items()}
        for name, mask in masks.items():
            if mask is not None:
                carry[name] = with_nulls(carry[name], mask)
        return {
            "features": arrays[self.features],
            "labels": None if self.labels is None else arrays[self.labels],
            "carry": carry,
            "feature_name": self.original(self.features),
            "label_name": LABELS if self.labels is None else self.original(self.labels),
            "without_nulls": frozenset(name for name, mask in masks.items() if mask is None),
        }


def names_in_output(dataset: Dataset) -> ArrayNames:
    """Under which names a subset of a data set will be written."""
    labels = None if dataset.labels is None else dataset.label_name
    columns = None if dataset.table is None else dataset.table.schema.names
    return ArrayNames.of(dataset.feature_name, labels, list(dataset.carry), columns)


def distinct(wanted: list[str], ours: Collection[str], *, plain: bool = True) -> list[str]:
    """Names as they are where each can be kept; others changed so that no two are the same.

    ``plain`` names are such as an array can have.
    """
    taken, kept = set(ours), []
    for name in wanted:
        keeps = name not in taken and (fits(name) or not plain)
        kept.append(name if keeps else None)
        taken |= {name} if keeps else set()
    found = []
    for name, same in zip(wanted, kept, strict=True):
        new = same
        if new is None:
            new = _plain(name) if plain else name
            while new in taken:
                new += "_"
            taken.add(new)
        found.append(new)
    return found


def fits(name: str) -> bool:
    """Whether an array can be named so."""
    return name == _plain(name)


def _plain(name: str) -> str:
    """As an array can be named: no path, nothing hidden, nothing that zarr has for itself."""
    plain = _UNFIT.sub("_", name)
    plain = plain.lstrip("._") if plain.startswith((".", "__")) else plain
    # of signs alone, a longer one would be hidden
    return "array" if not plain.strip("_. ") else plain.replace("zarr.json", "zarr_json")
