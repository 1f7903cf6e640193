"""What is at a target's place, and what may be done with it: the same for either form.

Knows neither arrays nor tables.
"""

import json
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.storage.form import FOLDER, Form, form_there, form_wanted, is_former
from dask_distill.storage.local import staged
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import holds_scores, open_content
from dask_distill.storage.remote import beside, discard_anywhere, staged_remotely
from dask_distill.support.digest import jsonable
from dask_distill.support.html import facts_table


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What `verify` found.

    Attributes
    ----------
    ok : bool
    problems : tuple of str
        One sentence each, naming array and chunk.
    rows, arrays, chunks : int
        What the manifest speaks of.
    digest : str or None
        Digest of the whole content, where the manifest could be read.
    synthetic : bool
        Whether rows were made, not selected.
    scores : bool
        Whether it has the scores of all rows of a source, and no rows.
    """

    ok: bool
    problems: tuple[str, ...]
    rows: int
    arrays: int
    chunks: int
    digest: str | None
    synthetic: bool = False
    scores: bool = False

    def _repr_html_(self) -> str:
        holds = "synthetic rows" if self.synthetic else "scores" if self.scores else "selected rows"
        facts: list[tuple[str, object]] = [
            ("complete and unchanged", "yes" if self.ok else "no"),
            *(
                ("problem" if number == 0 else "", each)
                for number, each in enumerate(self.problems)
            ),
            ("holds", f"{self.rows:,} rows: {holds}"),
            ("checked", f"{self.chunks:,} chunks or files of {self.arrays:,} arrays or columns"),
            ("digest", self.digest or "not known"),
        ]
        return facts_table("Verification", facts)


def check_target(
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    sources: Sequence[str] = (),
    ours: Callable[[Location], bool] | None = None,
    what: str = "a subset",
) -> None:
    """Refuse a target that cannot be written, before any work; creates nothing.

    Parameters
    ----------
    target : path or URL
    overwrite : bool
        Whether a subset of ours that is there, complete or not, may be replaced.
    storage_options : mapping, optional
        For fsspec.
    sources : sequence of str
        Paths and URLs that are read from; the target must keep clear of them.
    ours : callable, optional
        Whether what is there may be replaced; a subset in either form unless given.
    what : str
        What ``ours`` looks for, in words.

    Raises
    ------
    InputError
    """
    location = located(target, storage_options)
    for source in sources:
        if location.overlaps(Location(source)):
            raise InputError(
                f"target '{location.shown}' must not be, hold or lie in the source "
                f"'{Location(source).shown}'; choose another"
            )
    with location.guard(f"target '{location.shown}' must be within reach", InputError):
        if location.path is None:
            beside(location, "partial")
        if location.exists():
            _refuse_existing(location, overwrite, ours or has_rows, what)
    if location.path is not None:
        parent = os.path.dirname(os.path.realpath(location.path))
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(
                f"target must lie in a folder that can be written to, got '{parent}'; "
                "choose another"
            )


def refuse_folder(target: str | os.PathLike[str], what: str) -> None:
    """Refuse a target whose name asks for parquet, for what is kept in zarr alone.

    Raises
    ------
    InputError
    """
    if target and form_wanted(target) is FOLDER:
        raise InputError(
            f"target must be a zarr group for {what}, got '{located(target, None).shown}'; give a "
            "name that does not end in .parquet"
        )


def discard_unfinished(
    target: str | os.PathLike[str],
    prefix: str,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Remove what runs whose names begin so have left beside a target."""
    final = located(target, storage_options).resolved()
    with final.guard(f"target '{final.shown}' must be within reach"):
        first = beside(final, f"partial-{prefix}")
        system, path = first.filesystem()
        try:
            found = system.ls(path.rpartition("/")[0], detail=False)
        except FileNotFoundError:
            return
    folder, _, start = first.url.rpartition("/")
    for name in (place.rstrip("/").rpartition("/")[2] for place in found):
        if name.startswith(start):
            discard_anywhere(Location(f"{folder}/{name}", final.options))


def form_of(location: Location) -> Form:
    """The form of what is there; that of its name where nothing is."""
    with location.guard(f"target '{location.shown}' must be within reach"):
        return form_there(location)


def unwritten(location: Location, problems: Sequence[str]) -> IncompleteOutput:
    """The error for a target that is not whole."""
    return IncompleteOutput(
        f"target '{location.shown}' is incomplete: {'; '.join(problems)}; "
        "run again with overwrite=True / --overwrite"
    )


def refuse_scores(location: Location, content: Mapping[str, Any]) -> None:
    """Refuse a target without rows where a subset is to be opened.

    Raises
    ------
    InputError
    """
    if holds_scores(content):
        raise InputError(
            f"target '{location.shown}' must hold selected rows, got the scores of all rows; open "
            "it with open_scores"
        )


@contextmanager
def storing(location: Location) -> Iterator[None]:
    """A disk that fails on the way, as one sentence; what else goes wrong is told as it is."""
    try:
        yield
    except OSError as error:
        with location.guard(f"target '{location.shown}' must be written"):
            raise error from None


def located(target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None) -> Location:
    """Where a target lies."""
    url = os.fspath(target)
    if not url:
        raise InputError("target must be a path or URL, got an empty string")
    return Location(url.rstrip("/") or "/", dict(storage_options or {}))


def _refuse_existing(
    location: Location, overwrite: bool, ours: Callable[[Location], bool], what: str
) -> None:
    if not overwrite:
        raise InputError(
            f"target '{location.shown}' exists; choose another, or pass overwrite=True / "
            "--overwrite"
        )
    if not ours(location):
        raise InputError(
            f"target '{location.shown}' must be {what} written by dask-distill to be "
            "overwritten, got something else; choose another, or remove it yourself"
        )


def is_ours(location: Location) -> bool:
    """Whether a target that we have written is there, whole or not."""
    try:
        return open_content(location) is not None or is_former(*location.filesystem())
    except IncompleteOutput:
        return False


def has_rows(location: Location) -> bool:
    """Whether a subset that we have written is there, whole or not: no scores of all rows."""
    if not is_ours(location):
        return False
    content = open_content(location)
    return content is None or not holds_scores(content)


def plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as a reader will get them."""
    try:
        text = json.dumps(jsonable(attributes), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"attributes must be plain values that JSON has, got {error}") from None
    found: dict[str, Any] = json.loads(text)
    return found


def staging(final: Location, form: Form, overwrite: bool, run: str | None) -> Any:
    """Where a target is written until it is committed; a context that commits at its end."""
    name, keep = run or uuid.uuid4().hex[:12], run is not None
    if final.path is not None:
        return staged(final, overwrite, run=name, keep=keep)
    return staged_remotely(final, form, run=name, keep=keep)
