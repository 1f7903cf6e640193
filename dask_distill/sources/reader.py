"""Reading rows of a source, or some of them; and the errors of what is not there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.storage.location import Location


class RowReader:
    """A task of a source: it reads rows, and can be told to read only some of them."""

    @property
    def most_readers(self) -> int | None:
        """Tasks that may each read a part; None where a part costs no more than its rows."""
        return None

    def __call__(self) -> npt.NDArray[np.generic]:
        """Read, on a worker."""
        raise NotImplementedError

    def part(self, start: int, stop: int) -> "RowReader":
        """Reads rows from ``start`` to ``stop`` of these."""
        raise NotImplementedError

    def followed_by(self, other: "RowReader") -> "RowReader | None":
        """Reads these rows and then those in one go; None where they are not one run."""
        return None


def open_filesystem(location: Location) -> tuple[Any, str]:
    """The fsspec file system of a location, and the path in it."""
    import fsspec

    return fsspec.core.url_to_fs(location.url, **location.options)


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
    return InputError(f"{what} must be in '{source}', got {name!r}; there are: {listed or 'none'}")


def unreadable(source: str, error: Exception) -> InputError:
    """The error for a source whose metadata is broken."""
    found = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return InputError(f"source '{source}' must be readable, got {found}; check that it is complete")
