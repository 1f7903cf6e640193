"""Errors of sources, without secrets."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dask_distill.errors import InputError, InputWarning
from dask_distill.sources.reader import forget_archives, is_web, open_filesystem, unreadable
from dask_distill.storage.location import Location

_QUERY = re.compile(r"\?[^\s'\"]+")
_LONGEST_ERROR = 800


def locations_of(source: Any, storage_options: Any) -> list[Location]:
    """The locations that a user has named, one or several, or what is wrong with a name."""
    if not isinstance(source, list | tuple):
        return [location_of(source, storage_options)]
    if not source:
        raise InputError("source must be a path or URL, or a list of some, got an empty list")
    return [location_of(one, storage_options) for one in source]


def location_of(source: Any, storage_options: Any) -> Location:
    """The location that a user has named, or an error that says what is wrong with the name."""
    try:
        url = os.fsdecode(source)
    except TypeError:
        raise InputError(
            f"source must be a path or URL, got {type(source).__name__}; arrays and DataFrames "
            "need no opening"
        ) from None
    if not url:
        raise InputError("source must be a path or URL, got an empty string; give one")
    if not isinstance(storage_options, Mapping | None):
        kind = type(storage_options).__name__
        raise InputError(f"storage_options must map names to values, got {kind}; pass a dict")
    return Location(url, dict(storage_options or {}))


@contextmanager
def clear_errors(*locations: Location) -> Iterator[None]:
    """Whatever goes wrong ends in one sentence without secrets."""
    try:
        yield
    except InputError as error:
        raise InputError(_clean(locations, str(error))) from None
    except InputWarning:
        # of a user to whom warnings are errors
        raise
    except Exception as error:
        raise InputError(_clean(locations, str(unreadable(locations[0], error)))) from None


def _clean(locations: Sequence[Location], text: str) -> str:
    """A text without secrets; cut only then, since half a secret would not be found."""
    for location in locations:
        text = location.clean(text.replace(location.url, shown_url(location)))
        if is_web(location):
            text = _QUERY.sub("", text)
    half = _LONGEST_ERROR // 2
    return text if len(text) <= _LONGEST_ERROR else f"{text[:half]} … {text[-half:]}"


def shown_url(location: Location) -> str:
    """The location as users may see it: a signature in a web address is a credential too."""
    return location.shown.partition("?")[0] if is_web(location) else location.shown


def existing(location: Location) -> Location:
    """The location for a worker, which may have another working directory."""
    forget_archives()
    system, path = open_filesystem(location)
    # another process may have written since the listing was remembered
    system.invalidate_cache()
    if not _is_there(system, path):
        raise InputError(f"source '{location.url}' does not exist; check the path")
    return location.resolved()


def _is_there(system: Any, path: str) -> bool:
    """Whether there is something; what keeps us from seeing it is raised."""
    if system.exists(path):
        return True
    try:
        # some file systems say of all that they cannot see that it is not there, and of their root
        return bool(system.info(path) if path else system.ls(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
