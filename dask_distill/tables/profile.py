"""How the columns of a table are read: a plain record, found from values, that can be given again.

What a profile says is all that an encoding needs: next month's data, read by it, is read the same.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dask_distill.data.uses import READ
from dask_distill.errors import InputError
from dask_distill.support.text import likely
from dask_distill.tables.columns import paths

NUMBER, BOOLEAN, CATEGORY, DATE = "number", "boolean", "category", "date"
TEXT, EMBEDDING, ID, CONSTANT, LEFT_OUT = "text", "embedding", "id", "constant", "leave-out"
# what a user may ask for
KINDS = (NUMBER, BOOLEAN, CATEGORY, DATE, TEXT, EMBEDDING, ID, LEFT_OUT)
FEATURES = READ
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ColumnProfile:
    """A column, or a field of one, and how it is read.

    Attributes
    ----------
    name : str
        Fields of structs go by their path, as in ``address.city``.
    type : str
        Arrow's.
    kind : str
        "number", "boolean", "category", "date", "text" or "embedding"; or why it is no feature:
        "id", "constant", "leave-out".
    why : str
        In words, where that is not plain.
    nulls : float
        Part of the rows that were looked at in which it has no value.
    distinct : int
        Values in these rows.
    least, greatest : number, text or None
        Of these rows; of dates as text.
    encoding : dict
        What it takes to read it: the median, the categories, and so on.
    asked : bool
        Whether the kind is what the user asked for, and not what was found.
    shape : dict
        A small histogram of these rows, to be looked at; see `shapes`. It changes nothing of how
        the column is read.
    """

    name: str
    type: str
    kind: str
    why: str = ""
    nulls: float = 0.0
    distinct: int = 0
    least: Any = None
    greatest: Any = None
    encoding: dict[str, Any] = field(default_factory=dict)
    asked: bool = False
    shape: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def used(self) -> bool:
        """Whether it is a feature."""
        return self.kind in FEATURES


@dataclass(frozen=True, kw_only=True)
class Profile:
    """How each column of a table is read.

    Attributes
    ----------
    rows : int
        Of the table.
    sampled : int
        Rows that were looked at.
    columns : tuple of ColumnProfile
        Labels, carried columns and the like are not among them.
    filled : bool
        Whether missing values are filled in, or NaN.
    named : bool
        Whether the user has named the columns.
    given : bool
        Whether it was made before, of this table or another.
    """

    rows: int
    sampled: int
    columns: tuple[ColumnProfile, ...]
    filled: bool = True
    named: bool = False
    given: bool = False

    @property
    def features(self) -> tuple[ColumnProfile, ...]:
        """Columns that are used."""
        return tuple(column for column in self.columns if column.used)

    def unfilled(self) -> "Profile":
        """The same, but that missing values are NaN."""
        return replace(self, filled=False)

    def reading(self) -> "Profile":
        """The same without what is there to be looked at: what travels to workers."""
        return replace(self, columns=tuple(replace(each, shape={}) for each in self.columns))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "version": VERSION,
            "rows": self.rows,
            "sampled": self.sampled,
            "named": self.named,
            "given": self.given,
            "columns": [asdict(column) for column in self.columns],
        }

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> "Profile":
        """From what `as_dict` gave.

        Raises
        ------
        InputError
            Where it is something else, or of a later version.
        """
        try:
            if stored["version"] > VERSION:
                raise InputError(
                    f"profile must be of version {VERSION} at most, got {stored['version']}; "
                    "read it with the version that wrote it"
                )
            columns = tuple(ColumnProfile(**column) for column in stored["columns"])
            return cls(
                rows=int(stored["rows"]),
                sampled=int(stored["sampled"]),
                columns=columns,
                named=bool(stored.get("named")),
                given=bool(stored.get("given")),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "profile must be what plan --write-profile or a provenance holds, got "
                f"{type(error).__name__}: {error}; write it anew"
            ) from None

    def check(self, schema: Any, source: str = "the table") -> None:
        """Refuse a table that has other columns than those that are read.

        Raises
        ------
        InputError
        """
        there = dict(paths(schema))
        for column in self.features:
            kind = there.get(column.name)
            if kind is None:
                raise InputError(
                    f"profile must be of a table with the same columns, got none named "
                    f"{column.name!r} in '{source}'{likely(column.name, list(there))}; add it, or "
                    "make a profile of this source with plan --write-profile"
                )


def overruled(name: str, kind: str) -> str:
    """How to say how a column is read, in words."""
    return f'columns={{"{name}": "{kind}"}} / --column {name}={kind}'
