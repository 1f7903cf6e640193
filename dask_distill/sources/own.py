"""What we have written ourselves, in a form of which the files do not say so."""

import json
from contextlib import suppress

from dask_distill.sources.reader import open_filesystem
from dask_distill.storage.location import Location

_MARKER, _OURS = "_SUCCESS", "dask_distill"


def is_former_table(location: Location) -> bool:
    """Whether a folder is one that `Coreset.to_parquet` committed when it ended with a marker."""
    system, path = open_filesystem(location)
    # others leave an empty file of this name, or none
    with suppress(OSError, ValueError):
        content = json.loads(system.cat_file(f"{path.rstrip('/')}/{_MARKER}") or b"{}")
        return isinstance(content, dict) and _OURS in content
    return False
