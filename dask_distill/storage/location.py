"""Where a group lies, local or behind an fsspec URL, and how a folder takes another's place.

Storage options go where they are needed and show nowhere: not in a repr, not in an error.
"""

import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dask_distill.errors import DistillError, InputError

_LOCAL = re.compile(r"^(file|local):(//)?")
_CHAIN = re.compile(r"^([A-Za-z][\w+.-]*)(://.*?)?::")
_PASSWORD = re.compile(r"(://[^/@:]*):[^/@]*@")
_NO_ENTRY = re.compile(
    r"credential|permission|forbidden|unauthori[sz]ed|access ?denied|authenticat|"
    r"InvalidAccessKeyId|SignatureDoesNotMatch|TokenExpired|ExpiredToken",
    re.IGNORECASE,
)
_ALIASES = {"s3a": "s3", "gcs": "gs"}
# shorter options are words like "us" that occur in any text
_SHORTEST_SECRET = 4


@dataclass(frozen=True, repr=False)
class Location:
    """Where a group is, and how to get at it; the options never show."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Location({self.shown!r})"

    @property
    def path(self) -> Path | None:
        """The local path, or None for a remote URL."""
        if len(self.links) > 1:
            return None
        if _LOCAL.match(self.url):
            return Path(_LOCAL.sub("", self.url))
        return None if "://" in self.url else Path(self.url)

    @property
    def links(self) -> list[str]:
        """The URLs of a chain such as "zip://a.zarr::s3://bucket/all.zip"; else the one."""
        found = _CHAIN.match(self.url) if "::" in self.url else None
        if found is None:
            return [self.url]
        import fsspec

        # a file may have colons in its name
        return self.url.split("::") if found[1] in fsspec.available_protocols() else [self.url]

    @property
    def shown(self) -> str:
        """The URL as users may see it, without a password."""
        return _PASSWORD.sub(r"\1:***@", self.url)

    @property
    def zarr_arguments(self) -> dict[str, Any]:
        """What zarr's opening functions want."""
        if self.path is not None:
            return {"store": self.path}
        from zarr.storage import FsspecStore

        # zarr decides by the scheme whether options may be given beside a URL; fsspec knows
        return {"store": FsspecStore.from_url(self.url, storage_options=dict(self.options))}

    def child(self, name: str) -> "Location":
        """A member of this group, by its own location."""
        links = self.links
        # a cache has no path of its own, but that of what it caches
        own = next((at for at, link in enumerate(links) if "://" in link), len(links) - 1)
        slash = "" if links[own].endswith("://") else "/"
        links[own] = f"{links[own].rstrip('/') if slash else links[own]}{slash}{name}"
        return Location("::".join(links), self.options)

    def resolved(self) -> "Location":
        """The same place for a worker with another working directory; links followed."""
        if self.path is not None:
            return Location(os.path.realpath(self.path))
        *links, last = self.links
        path = Location(last).path
        if links and path is not None:
            last = os.path.realpath(path)
        options = dict(self.options)
        file = options.get("fo")
        if isinstance(file, str) and os.path.exists(file):
            # what an archive, or references, are in
            options["fo"] = os.path.realpath(file)
        return Location("::".join((*links, last)), options)

    def filesystem(self) -> tuple[Any, str]:
        """The fsspec file system, and the path in it."""
        import fsspec

        if self.path is not None:
            return fsspec.filesystem("file"), str(self.path)
        system, path = fsspec.core.url_to_fs(self.url, **self.options)
        # another process may have written since the listing was remembered
        system.invalidate_cache()
        return system, path

    def exists(self) -> bool:
        """Whether anything is there: a file, a folder, a key below it."""
        if self.path is not None:
            return os.path.lexists(self.path)
        system, path = self.filesystem()
        return bool(system.exists(path))

    def overlaps(self, other: "Location") -> bool:
        """Whether one is the other, or lies in it; either may be a pattern of names."""
        ours, theirs = (place._comparable().split("/") for place in (self, other))
        return all(
            name == like or fnmatchcase(name, like) or fnmatchcase(like, name)
            for name, like in zip(ours, theirs, strict=False)
        )

    def _comparable(self) -> str:
        if self.path is not None:
            return os.path.realpath(self.path).rstrip("/")
        *links, last = self.links
        if links:
            return Location(last)._comparable()
        protocol, _, path = self.url.partition("://")
        return f"{_ALIASES.get(protocol, protocol)}://{posixpath.normpath(path)}"

    def clean(self, text: str) -> str:
        """A text without the values of the options."""
        for secret in sorted(_texts(self.options), key=len, reverse=True):
            text = text.replace(secret, "***")
        return _PASSWORD.sub(r"\1:***@", text)

    @contextmanager
    def guard(self, rule: str, kind: type[DistillError] = DistillError) -> Iterator[None]:
        """Turn whatever storage raises into one sentence that holds no secret."""
        try:
            yield
        except DistillError:
            raise
        except Exception as error:
            words = self.clean(" ".join(str(error).split()))
            raise kind(f"{rule}, got {type(error).__name__}: {words[:300]}") from None


@contextmanager
def reading(source: Location) -> Iterator[None]:
    """What is raised where a part of a source is read, as one sentence.

    Damage is bad input; a disk or network that fails is a failed run.
    """
    kind: type[DistillError] = InputError
    try:
        yield
        return
    except (DistillError, MemoryError):
        raise
    except FileNotFoundError as error:
        found: Exception = error
        way_out = "files must not go while a run reads them"
    except (ValueError, RuntimeError, TypeError, EOFError) as error:
        found, way_out = error, "it is damaged: restore it, or write it again"
    except Exception as error:
        kind, found = DistillError, error
        way_out = way_in(error, source) or "see that it can be reached"
    words = source.clean(" ".join(str(found).split()))[:300]
    raise kind(
        f"source '{source.shown}' must be readable, got {type(found).__name__}: {words}; {way_out}"
    )


def way_in(error: Exception, place: Location) -> str:
    """What helps where a store does not let us in; "" for other errors."""
    if not _NO_ENTRY.search(f"{type(error).__name__}: {error}"):
        return ""
    if place.path is not None:
        return "see that you may read it"
    public = "; anon=true if it is public" if "s3" in place.url else ""
    return (
        "give credentials that may read it, in the environment or as storage_options= / "
        f"--storage-option KEY=VALUE, here and on the workers{public}"
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str) and len(value) >= _SHORTEST_SECRET:
        yield value
