"""Reading rows of a source, or some of them; and the errors of what is not there."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from dask_distill.errors import InputError
from dask_distill.storage.location import Location, way_in
from dask_distill.support.text import likely

_ARCHIVES: OrderedDict[str, tuple[Any, str]] = OrderedDict()
_ARCHIVES_LOCK = threading.Lock()
_MOST_ARCHIVES = 8
_ONE_READER = ("tar", "libarchive")


def open_filesystem(location: Location) -> tuple[Any, str]:
    """The fsspec file system of a location, and the path in it."""
    import fsspec

    _refuse_unsafe(location)
    if location.path is not None and "::" in location.url:
        # colons in a name, which fsspec would take for a chain
        return fsspec.filesystem("file"), str(location.path.absolute())
    if len(location.links) == 1:
        return fsspec.core.url_to_fs(location.url, **location.options)
    # fsspec keeps no archive open: files in it would close when nobody holds on to it
    key = f"{location.url} {sorted(location.options.items(), key=str)}"
    with _ARCHIVES_LOCK:
        if key not in _ARCHIVES:
            _ARCHIVES[key] = fsspec.core.url_to_fs(location.url, **location.options)
        _ARCHIVES.move_to_end(key)
        while len(_ARCHIVES) > _MOST_ARCHIVES:
            _ARCHIVES.popitem(last=False)
        return _ARCHIVES[key]


def _refuse_unsafe(location: Location) -> None:
    """Archives whose one file handle two readers move at once would give the wrong bytes."""
    kinds = [link.partition("://")[0] for link in location.links if "://" in link]
    if unsafe := [kind for kind in kinds if kind in _ONE_READER]:
        raise InputError(
            f"source must be readable by several at once, got '{location.url}', and {unsafe[0]} "
            "archives are not; unpack it, or pack it as zip"
        )


def forget_archives() -> None:
    """Open archives anew the next time: they may have been written since."""
    with _ARCHIVES_LOCK:
        _ARCHIVES.clear()


def within(path: str, name: str) -> str:
    """The path of a file in a folder; the root of an archive has none."""
    return f"{path.rstrip('/')}/{name}" if path else name


def is_web(location: Location) -> bool:
    """Whether it is an address of the web, which may carry a signature."""
    return location.path is None and "http" in location.url


def one_name(names: str | Sequence[str] | None, default: str, what: str) -> str:
    """A single array name from what the user gave."""
    if names is None or isinstance(names, str):
        return default if names is None else names
    if len(names) == 1:
        return names[0]
    raise InputError(f"{what} must name one array, got {list(names)}; give one name")


def missing_name(what: str, name: str, there: Sequence[str], source: str) -> InputError:
    """The error for an array or column that is not there."""
    listed = ", ".join(list(there)[:20]) + (", …" if len(there) > 20 else "")
    return InputError(
        f"{what} must be in '{source}', got {name!r}{likely(name, there)}; there are: "
        f"{listed or 'none'}"
    )


def unreadable(source: Location | str, error: Exception) -> InputError:
    """The error for a source whose metadata cannot be read."""
    place = source if isinstance(source, Location) else Location(source)
    found = f"{type(error).__name__}: {' '.join(str(error).split())}"
    way_out = way_in(error, place) or "check that it is complete"
    if type(error) is FileNotFoundError:
        way_out = "check the path"
    if isinstance(error, ImportError):
        way_out = "install what is missing, here and on the workers"
    return InputError(f"source '{place.url}' must be readable, got {found}; {way_out}")
