"""Small local files that are there whole or not at all."""

import os
from pathlib import Path

from dask_distill.errors import InputError


def checked_file(path: str | os.PathLike[str]) -> Path:
    """A path that a file can have.

    Raises
    ------
    InputError
        For a folder, or a file in a folder that does not exist.
    """
    file = Path(path)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise InputError(
            f"path must be a file in a folder that exists, got '{file}'; choose another"
        )
    return file


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file beside its place and rename it; one that is there is replaced.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    file = checked_file(path)
    part = file.with_name(f".{file.name}.partial")
    try:
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(
            f"path must be a file that can be written, got '{file}': {error.strerror}; "
            "choose another"
        ) from None
