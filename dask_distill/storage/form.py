"""The two forms of a target, and the marker of each: what is written last makes a target whole.

A zarr group has our attribute in its metadata; a folder of parquet files has it in a file. The
marker is a part of either, and known here alone.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dask_distill.storage.location import Location
from dask_distill.support.digest import combined_digest

FORMAT_VERSION = 1
ATTRIBUTE = "dask_distill"
_COMMIT = "commit"
# what folders of parquet files had in its place before
_FORMER = "_SUCCESS"


def committed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a target says of itself, with its ``digest``, and the marker.

    Examples
    --------
    >>> is_committed({"digest": "7"}), is_committed(committed({"digest": "7"}))
    (False, True)
    """
    digests = {"digest": content["digest"], "attributes_digest": combined_digest(content)}
    return {**content, _COMMIT: digests}


def is_committed(content: Mapping[str, Any]) -> bool:
    """Whether the marker is there."""
    return isinstance(content.get(_COMMIT), dict)


def differing(content: Mapping[str, Any], digest: Any) -> list[str]:
    """What is not as it was when the marker was written; ``digest`` is the manifest's, made anew.

    Examples
    --------
    >>> differing(committed({"digest": "7"}) | {"rows": 1}, "7")
    ['the attributes differ from those committed']
    """
    commit = content[_COMMIT]
    if not digest == content.get("digest") == commit.get("digest"):
        return ["the manifest differs from the one committed"]
    rest = {key: value for key, value in content.items() if key != _COMMIT}
    if combined_digest(rest) != commit.get("attributes_digest"):
        return ["the attributes differ from those committed"]
    return []


def is_former(system: Any, path: str) -> bool:
    """Whether a folder has the marker that we ended folders of parquet files with before."""
    # others leave an empty file of this name, or none
    with suppress(OSError, ValueError):
        found = json.loads(system.cat_file(f"{path.rstrip('/')}/{_FORMER}") or b"{}")
        return isinstance(found, dict) and ATTRIBUTE in found
    return False


@dataclass(frozen=True)
class Form:
    """How a target says what it is.

    Attributes
    ----------
    what : str
        For people.
    root : str
        The file that is written last.
    in_attributes : bool
        Whether it is metadata of a zarr group, that has ours among its attributes.
    """

    what: str
    root: str
    in_attributes: bool

    def document(self, content: dict[str, Any]) -> bytes:
        """The file, with this content."""
        if not self.in_attributes:
            return json.dumps(content).encode()
        attributes = {ATTRIBUTE: content}
        whole = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        return json.dumps(whole).encode()

    def content(self, document: bytes) -> dict[str, Any] | None:
        """What we have written into a file; None where it is somebody else's.

        Raises
        ------
        ValueError
            Where it is no JSON.
        """
        found = json.loads(document)
        for name in ("attributes", ATTRIBUTE) if self.in_attributes else ():
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else None


GROUP = Form("zarr group", "zarr.json", True)
FOLDER = Form("parquet folder", "_dask_distill.json", False)


def form_wanted(target: str | os.PathLike[str]) -> Form:
    """The form that a target is to have, by its name."""
    name = os.fspath(target).rstrip("/").lower()
    return FOLDER if name.endswith(".parquet") else GROUP


def form_there(location: Location) -> Form:
    """The form of what is there, whatever its name; that of its name where nothing is."""
    wanted = form_wanted(location.url)
    other = GROUP if wanted is FOLDER else FOLDER
    system, path = location.filesystem()
    for form in (wanted, other):
        if system.exists(f"{path.rstrip('/')}/{form.root}"):
            return form
    return wanted
