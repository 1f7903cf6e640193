"""What becomes of each column or array of a source, in words for people and as JSON."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

FEATURE, LABEL, CARRIED, LEFT_OUT = "feature", "label", "carried", "left out"
WEIGHT = "sample weights"
ROLES = (FEATURE, LABEL, CARRIED, WEIGHT)
# how columns of tables are read that are features
READ = ("number", "boolean", "category", "date", "text", "embedding")
# what becomes of rows that lack a value, by `on_invalid`
_WITHOUT_VALUES = {
    "fill": "filled in, and marked where they are not few",
    "drop": "rows that lack a value are left out",
    "raise": "a row that lacks a value ends the run",
}
_LIKE_LABELS = {"class", "classes", "label", "labels", "outcome", "response", "target", "y"}
_LIKE_IDS = {"guid", "id", "idx", "index", "rowid", "uuid"}


@dataclass(frozen=True, kw_only=True)
class ColumnUse:
    """A column or array of a source.

    Attributes
    ----------
    name : str
    kind : str
        Its type, as the source has it.
    role : str
        "feature", "label", "carried", "sample weights" or "left out".
    why : str
        Where it is left out, or was taken without being named.
    read_as : str
        How a column of a table is read: "number", "category" and so on; "" for arrays.
    nulls : float or None
        Of a column that was looked at, the part of these rows that have no value.
    distinct : int or None
        Values in these rows.
    """

    name: str
    kind: str
    role: str
    why: str = ""
    read_as: str = ""
    nulls: float | None = None
    distinct: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


def named_like_an_id(name: str) -> bool:
    """Whether a name says that values tell rows apart and nothing else.

    Examples
    --------
    >>> [named_like_an_id(name) for name in ("id", "order_id", "userId", "humidity", "idea")]
    [True, True, True, False, False]
    """
    last = re.split(r"[^0-9A-Za-z]+", name)[-1]
    return last.lower() in _LIKE_IDS or re.fullmatch(r".*[a-z0-9]I[dD]", last) is not None


def named_like_labels(name: str) -> bool:
    """Whether a name says that it is what is to be predicted."""
    return name.lower() in _LIKE_LABELS


def doubtful_lines(uses: Sequence[ColumnUse]) -> list[str]:
    """What people should look at: features that look like labels or like identifiers."""
    labelled = any(use.role == LABEL for use in uses)
    lines = []
    for use in uses:
        if use.role != FEATURE:
            continue
        if not labelled and named_like_labels(use.name):
            lines.append(
                f"column {use.name!r} ({use.kind}) is taken as a feature, and there are no labels; "
                f"if it is the label, pass --labels {use.name}"
            )
        elif named_like_an_id(use.name):
            lines.append(
                f"column {use.name!r} ({use.kind}) is taken as a feature, and named like an "
                f"identifier; leave it out with --features, or carry it with --carry {use.name}"
            )
    return lines


def array_uses(
    kinds: Mapping[str, str],
    features: Collection[str],
    labels: str,
    carry: Sequence[str],
    weight: str = "",
) -> tuple[ColumnUse, ...]:
    """What becomes of each array of a group or archive, given its kind in words."""
    roles = dict.fromkeys(carry, CARRIED) | {weight: WEIGHT, labels: LABEL}
    roles |= dict.fromkeys(features, FEATURE)
    return tuple(
        ColumnUse(name=name, kind=kind, role=roles[name])
        if name in roles
        else ColumnUse(name=name, kind=kind, role=LEFT_OUT, why="not named")
        for name, kind in kinds.items()
    )


def array_kind(dtype: Any, shape: Sequence[int]) -> str:
    """Type and shape of an array, in words."""
    return f"{dtype}, {' x '.join(f'{size:,}' for size in shape) or 'one value'}"


def told(
    uses: Sequence[ColumnUse], most: int = 8, on_invalid: str | None = None
) -> list[tuple[str, str]]:
    """For people: a line for each role, the reasons behind what is left out."""

    def listed(role: str) -> str:
        found = [use for use in uses if use.role == role]
        words = [
            f"{use.name} ({use.kind}{': ' + use.why if use.why else ''})" for use in found[:most]
        ]
        more = f", and {len(found) - most} more" if len(found) > most else ""
        return ", ".join(words) + more

    features = [use for use in uses if use.role == FEATURE]
    many = f"{len(features)}: " if len(features) > 1 else ""
    kinds = [use.read_as for use in features if use.read_as]
    lines = [("features", told_kinds(kinds) if kinds else f"{many}{listed(FEATURE)}")]
    lines += [("nulls", text) for text in [_nulls(features, most, on_invalid)] if text]
    lines.append(("labels", listed(LABEL) or "none"))
    lines += [(role, text) for role in (WEIGHT, CARRIED, LEFT_OUT) if (text := listed(role))]
    return lines if uses else []


def told_kinds(kinds: Sequence[str]) -> str:
    """How many columns are used, and how many of them are read how.

    Examples
    --------
    >>> told_kinds(["number", "category", "number", "category", "date"])
    '5 used (2 numbers, 2 categories, 1 date)'
    """
    words = [f"{count} {_plural(kind, count)}" for kind, count in Counter(kinds).items()]
    return f"{len(kinds)} used ({', '.join(words)})"


def used_columns(profile: Mapping[str, Any]) -> str:
    """The same of a table's profile, as it is stored."""
    # a kind that is no feature is a reason
    return told_kinds([column["kind"] for column in profile["columns"] if column["kind"] in READ])


def _plural(kind: str, count: int) -> str:
    if count == 1:
        return kind
    return f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"


def _nulls(features: Sequence[ColumnUse], most: int, on_invalid: str | None) -> str:
    """Columns that lack values, those that lack most first."""
    found = sorted((use for use in features if use.nulls), key=lambda use: -(use.nulls or 0))
    if not found:
        return ""
    words = ", ".join(f"{use.nulls:.1%} of {use.name}" for use in found[:most])
    more = f", and {len(found) - most} more columns" if len(found) > most else ""
    return f"{words}{more}: {_WITHOUT_VALUES[on_invalid or 'fill']}"


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names, up to a number of them.

    Examples
    --------
    >>> listed(["a", "b", "c"], most=2)
    'a, b, …'
    """
    return f"{', '.join(names[:most])}{', …' if len(names) > most else ''}"
