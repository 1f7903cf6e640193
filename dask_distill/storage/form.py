"""The two forms of a target, and which file of each is written last: with it a target is whole.

A zarr group has our attribute in its metadata; a folder of parquet files has it in a file.
"""

import json
import os
from dataclasses import dataclass
from typing import Any

from dask_distill.storage.location import Location

FORMAT_VERSION = 1
ATTRIBUTE = "dask_distill"


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
