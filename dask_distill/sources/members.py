"""What lies in a zarr group: members by name or pattern, and what there is where none is found.

An array of a type that zarr does not know closes zarr's own listing. Here it closes itself alone.
"""

import fnmatch
import re
import warnings
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

import zarr

from dask_distill.data.arrays import NUMBERS
from dask_distill.data.uses import array_kind
from dask_distill.errors import InputError
from dask_distill.sources.reader import missing_name
from dask_distill.storage.location import Location

ENCODING = "encoding-type"
# groups whose members are not what they hold, but how
ENCODED = re.compile(r"cs[rc]_matrix|categorical|nullable-.*|awkward-array")
_GLOB = re.compile(r"[*?\[]")
_MOST_LISTED = 21


def find_member(group: zarr.Group, location: Location, name: str, what: str) -> Any:
    """An array or encoded group by its name, which may be a path.

    Raises
    ------
    InputError
        Where there is none, or one that zarr cannot open.
    """
    try:
        found = group.get(name)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(
            f"{what} must be readable, got {reason}, for array {name!r} of '{location.url}'; name "
            "another, or store it as zarr knows it"
        ) from None
    if isinstance(found, zarr.Array) or encoding_of(found):
        return found
    if isinstance(found, zarr.Group):
        within = ", ".join(_listed(found, location.child(name), f"{name}/")) or "none"
        raise InputError(
            f"{what} must be an array, got {name!r}, which is a group in '{location.url}'; its "
            f"arrays are: {within}"
        )
    raise missing_name(what, name, _listed(group, location), location.url)


def holds(group: zarr.Group, name: str) -> bool:
    """Whether there is something of that name, be it of a type that zarr does not know."""
    try:
        return name in group
    except (ValueError, TypeError, KeyError, AttributeError):
        return True


def encoding_of(node: Any) -> str:
    """How a group holds one array, as AnnData writes it; "" for arrays and other groups."""
    kind = node.attrs.get(ENCODING) if isinstance(node, zarr.Group) else None
    return kind if isinstance(kind, str) and ENCODED.fullmatch(kind) else ""


def member_kind(node: Any) -> str:
    """What a member is, in words."""
    if isinstance(node, zarr.Array):
        return array_kind(node.dtype, node.shape)
    return encoding_of(node) or ("group" if isinstance(node, zarr.Group) else "of unknown type")


def members_of(group: zarr.Group, location: Location) -> dict[str, Any]:
    """Members by name, sorted; None for those that zarr cannot open."""
    with suppress(Exception), warnings.catch_warnings():
        # of files beside them
        warnings.simplefilter("ignore")
        return dict(sorted(group.members()))
    found: dict[str, Any] = {}
    with suppress(Exception):
        system, path = location.filesystem()
        entries = system.ls(path, detail=True)
        folders = [entry["name"] for entry in entries if entry["type"] == "directory"]
        for name in sorted(folder.rstrip("/").rpartition("/")[2] for folder in folders):
            try:
                found[name] = group[name]
            except KeyError:
                continue
            except Exception:
                found[name] = None
    return found


def _listed(group: zarr.Group, location: Location, prefix: str = "") -> list[str]:
    """Paths of arrays, the nearest first; what is more than one array, or none, with its kind."""
    found: list[str] = []
    ahead = [(group, location, prefix)]
    while ahead and len(found) < _MOST_LISTED:
        node, place, start = ahead.pop(0)
        for name, member in members_of(node, place).items():
            if isinstance(member, zarr.Array):
                found.append(f"{start}{name}")
            elif isinstance(member, zarr.Group) and not encoding_of(member):
                ahead.append((member, place.child(name), f"{start}{name}/"))
            else:
                found.append(f"{start}{name} ({member_kind(member)})")
    return found


def find_columns(
    group: zarr.Group, location: Location, patterns: Sequence[str], taken: Collection[str]
) -> dict[str, Any]:
    """Arrays of one number a row, by names and globs, in the order given.

    Parameters
    ----------
    group : zarr group
    location : Location
        Of the group.
    patterns : sequence of str
        Globs stand for arrays of one group: "a_*", "obs/*".
    taken : collection of str
        Labels and carried arrays, which globs leave out.

    Raises
    ------
    InputError
    """
    found: dict[str, Any] = {}
    for pattern in patterns:
        if _GLOB.search(pattern) and not holds(group, pattern):
            matches = _matching(group, location, pattern, taken)
            if not matches:
                raise missing_name("features", pattern, _listed(group, location), location.url)
            found |= matches
        else:
            found[pattern] = find_member(group, location, pattern, "features")
    _check_columns(found)
    for name in found:
        if name in taken:
            raise InputError(
                f"features must not hold labels or what is carried, got column {name!r}; leave it "
                "out of one"
            )
    return found


def _matching(
    group: zarr.Group, location: Location, pattern: str, taken: Collection[str]
) -> dict[str, Any]:
    """Arrays of one number a row that fit a glob; others may lie beside them."""
    folder, slash, _ = pattern.rpartition("/")
    node = group.get(folder) if folder and not _GLOB.search(folder) else group
    if not isinstance(node, zarr.Group):
        return {}
    place = location.child(folder) if node is not group else location
    start = f"{folder}{slash}" if node is not group else ""
    return {
        f"{start}{name}": member
        for name, member in members_of(node, place).items()
        if fnmatch.fnmatchcase(f"{start}{name}", pattern)
        and f"{start}{name}" not in taken
        and isinstance(member, zarr.Array)
        and member.ndim == 1
        and member.dtype.kind in NUMBERS
    }


def _check_columns(columns: dict[str, Any]) -> None:
    """Each has one number a row, and all have the same rows."""
    odd = [
        f"{name} ({member_kind(node)})"
        for name, node in columns.items()
        if not isinstance(node, zarr.Array) or node.ndim != 1 or node.dtype.kind not in NUMBERS
    ]
    if odd:
        raise InputError(
            f"features must be columns of one number a row where several are named, got "
            f"{', '.join(odd[:10])}{', …' if len(odd) > 10 else ''}; name one array of several "
            "columns alone, and of others only those"
        )
    rows = {name: node.shape[0] for name, node in columns.items()}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{count:,} in {name}" for name, count in list(rows.items())[:10])
        raise InputError(f"features must be columns of the same rows, got {listed}; name others")
