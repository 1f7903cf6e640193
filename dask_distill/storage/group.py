"""Output as one zarr v3 group that is there whole or not at all.

Everything is written beside the target, and takes its place at commit: a folder by one rename,
a remote prefix by conditional requests. The commit marker is the last thing written. A manifest
holds a digest of every chunk's values, so that `verify` needs no source. Knows arrays and
attributes alone.
"""

import json
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dask.array as da
import zarr

from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.storage.chunks import Layout, create_array, lazy_array
from dask_distill.storage.local import staged
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import (
    ATTRIBUTE,
    FORMAT_VERSION,
    SYNTHETIC,
    broken_digests,
    broken_invariants,
    lay_out,
    make_manifest,
    misfit,
    open_content,
    parse_manifest,
    selected_rows,
)
from dask_distill.storage.remote import beside, discard_anywhere, staged_remotely
from dask_distill.storage.tasks import checking_tasks, finding_tasks, run_tasks, writing_tasks
from dask_distill.support.digest import combined_digest, jsonable

__all__ = ["ATTRIBUTE", "FORMAT_VERSION", "Location", "Verification", "check_target", "read"]
__all__ += ["verify", "write"]


@dataclass(frozen=True)
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
    """

    ok: bool
    problems: tuple[str, ...]
    rows: int
    arrays: int
    chunks: int
    digest: str | None
    synthetic: bool = False


def check_target(
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    sources: Sequence[str] = (),
    ours: Callable[[Location], bool] | None = None,
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
        Whether what is there may be replaced; a group that `write` has written unless given.

    Raises
    ------
    InputError
    """
    location = _location(target, storage_options)
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
            _refuse_existing(location, overwrite, ours or _is_ours)
    if location.path is not None:
        parent = os.path.dirname(os.path.realpath(location.path))
        while not os.path.lexists(parent):
            parent = os.path.dirname(parent)
        if not os.path.isdir(parent) or not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(
                f"target must lie in a folder that can be written to, got '{parent}'; "
                "choose another"
            )


def write(
    target: str | os.PathLike[str],
    arrays: Mapping[str, da.Array],
    attributes: Mapping[str, Any],
    *,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    on_chunk: Callable[[int], None] | None = None,
    run: str | None = None,
    compared: Collection[str] = (),
    amend: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    marks: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write arrays and attributes as one group, from the workers, and commit.

    The target is as it was until the commit, and stays so if the run fails. A remote one is
    incomplete while its chunks are copied into place, at the end.

    Parameters
    ----------
    target : path or URL
    arrays : mapping of dask arrays
        All with the selected rows along the first axis, chunks known; by name in the group
        ("score/entropy" makes a subgroup).
    attributes : mapping
        JSON-able; NaN and infinite numbers become null. "array_attributes" go to arrays, by name.
    overwrite : bool
        Replace a subset of ours that is there, at commit.
    storage_options : mapping, optional
        For fsspec; never stored, never shown.
    on_chunk : callable, optional
        Told how many chunks are still to be written: all before the first, 0 after the last.
    run : str, optional
        Names a run that may be resumed: what it has written stays if it fails, and chunks that
        it wrote before are used again.
    compared : collection of str
        Arrays whose chunks from before are compared with what would be written now.
    amend : callable, optional
        Given the attributes once the chunks are written, gives them as they are to be stored.
    marks : mapping, optional
        More attributes of the group, beside ours: for whoever opens it without us.

    Returns
    -------
    dict
        ``target``, ``digest`` and ``bytes_written`` (of the values, before compression).

    Raises
    ------
    InputError
        Where target, arrays or attributes cannot be used; nothing has been written.
    DistillError
        Where a chunk could not be written.
    """
    check_target(target, overwrite=overwrite, storage_options=storage_options)
    location = _location(target, storage_options)
    layouts = lay_out(arrays)
    content = {**_plain(attributes), "format_version": FORMAT_VERSION}
    final = location.resolved()
    with _storage(location), _staging(final, overwrite, run) as work:
        with work.guard(f"target '{location.shown}' must be written"):
            group = _create(work, layouts, content.pop("array_attributes", {}))
            there = [] if run is None else _stored_chunks(work, layouts)
        found = run_tasks(finding_tasks(work, layouts, there), None)
        done = {(receipt.name, receipt.number): receipt for receipt in found if receipt}
        written = run_tasks(writing_tasks(work, arrays, layouts, done, compared), on_chunk)
        # one that was compared is the same
        done |= {(receipt.name, receipt.number): receipt for receipt in written}
        receipts = list(done.values())
        if amend is not None:
            content = amend(content)
        manifest = make_manifest(layouts, receipts)
        digest = combined_digest(manifest)
        content |= {"manifest": manifest, "digest": digest}
        commit = {"digest": digest, "attributes_digest": combined_digest(content)}
        with work.guard(f"target '{location.shown}' must be committed"):
            group.attrs.put({**(marks or {}), ATTRIBUTE: content})
            # a reader trusts nothing without this, so it comes when everything else is there
            group.attrs.put({**(marks or {}), ATTRIBUTE: content | {"commit": commit}})
    return {
        "target": location.shown,
        "digest": digest,
        "bytes_written": sum(receipt.nbytes for receipt in receipts),
    }


def discard_unfinished(
    target: str | os.PathLike[str],
    prefix: str,
    *,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Remove what runs whose names begin so have left beside a target."""
    final = _location(target, storage_options).resolved()
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


def read(
    target: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> tuple[dict[str, da.Array], dict[str, Any]]:
    """Open a committed group: lazy arrays by name, and our attribute.

    Raises
    ------
    InputError
        Where nothing is there, or something that is not ours.
    IncompleteOutput
        Where the commit marker, or an array of the manifest, is missing.
    """
    location = _location(target, storage_options)
    content = open_content(location)
    if content is None:
        raise InputError(
            f"target '{location.shown}' must be a zarr group written by dask-distill, got "
            "something else; check the path"
        )
    layouts, problems = parse_manifest(location, content)
    if problems:
        raise IncompleteOutput(
            f"target '{location.shown}' is incomplete: {'; '.join(problems)}; "
            "run again with overwrite=True / --overwrite"
        )
    token, place = uuid.uuid4().hex, location.resolved()
    manifest = content["manifest"]
    arrays = {
        name: lazy_array(place, name, layout, token, manifest[name]["digests"])
        for name, layout in layouts.items()
    }
    return arrays, content


def summary(
    target: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What `write` would have told of a group that was there already."""
    content = read(target, storage_options=storage_options)[1]
    shown = _location(target, storage_options).shown
    return {"target": shown, "digest": content["digest"], "bytes_written": 0}


def verify(
    target: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> Verification:
    """Recompute every digest on the workers, and check the invariants of a coreset.

    Parameters
    ----------
    target : path or URL
    storage_options : mapping, optional

    Returns
    -------
    Verification
        Damage of any kind is told here, not raised.

    Raises
    ------
    InputError
        Where nothing is there, or something written by a later version.
    """
    location = _location(target, storage_options)
    try:
        content = open_content(location)
    except IncompleteOutput as error:
        return Verification(False, (str(error),), 0, 0, 0, None)
    if content is None:
        problem = f"the attribute '{ATTRIBUTE}' is missing: not written by dask-distill, or lost"
        return Verification(False, (problem,), 0, 0, 0, None)
    layouts, problems = parse_manifest(location, content)
    problems += broken_digests(content)
    misfits = {name: misfit(location, name, layout) for name, layout in layouts.items()}
    problems += filter(None, misfits.values())
    # an array that cannot be opened would fail in every chunk alike
    sound = {name: layout for name, layout in layouts.items() if not misfits[name]}
    findings = run_tasks(checking_tasks(location.resolved(), content, sound), None)
    problems += [finding.problem for finding in findings if finding.problem]
    problems += broken_invariants(layouts, findings, content)
    rows = selected_rows(layouts)
    digest = content.get("digest")
    return Verification(
        not problems,
        tuple(problems),
        rows,
        len(layouts),
        len(findings),
        digest if isinstance(digest, str) else None,
        bool(content.get(SYNTHETIC)),
    )


@contextmanager
def _storage(location: Location) -> Iterator[None]:
    """A disk that fails on the way, as one sentence; what else goes wrong is told as it is."""
    try:
        yield
    except OSError as error:
        with location.guard(f"target '{location.shown}' must be written"):
            raise error from None


def _location(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None
) -> Location:
    url = os.fspath(target)
    if not url:
        raise InputError("target must be a path or URL, got an empty string")
    return Location(url.rstrip("/") or "/", dict(storage_options or {}))


def _refuse_existing(location: Location, overwrite: bool, ours: Callable[[Location], bool]) -> None:
    if not overwrite:
        raise InputError(
            f"target '{location.shown}' exists; choose another, or pass overwrite=True / "
            "--overwrite"
        )
    if not ours(location):
        raise InputError(
            f"target '{location.shown}' must be a subset written by dask-distill to be "
            "overwritten, got something else; choose another, or remove it yourself"
        )


def _is_ours(location: Location) -> bool:
    try:
        return open_content(location) is not None
    except IncompleteOutput:
        return False


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes as a reader will get them."""
    try:
        text = json.dumps(jsonable(attributes), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"attributes must be plain values that JSON has, got {error}") from None
    plain: dict[str, Any] = json.loads(text)
    return plain


def _staging(final: Location, overwrite: bool, run: str | None) -> Any:
    name, keep = run or uuid.uuid4().hex[:12], run is not None
    if final.path is not None:
        return staged(final, overwrite, run=name, keep=keep)
    return staged_remotely(final, run=name, keep=keep)


def _unfinished() -> dict[str, Any]:
    return {ATTRIBUTE: {"format_version": FORMAT_VERSION}}


def _create(work: Location, layouts: Mapping[str, Layout], about: Mapping[str, Any]) -> zarr.Group:
    group = zarr.open_group(**work.zarr_arguments, mode="a", zarr_format=3)
    group.attrs.put(_unfinished())
    for name, layout in layouts.items():
        # a run that resumes has left some
        if name not in group or misfit(work, name, layout):
            create_array(group, name, layout, about.get(name))
    return group


def _stored_chunks(work: Location, layouts: Mapping[str, Layout]) -> list[tuple[str, int]]:
    """Chunks that a run before this one may have written."""
    system, path = work.filesystem()
    keys = set(system.find(path))
    return [
        (name, number)
        for name, layout in layouts.items()
        for number in range(layout.count)
        if f"{path.rstrip('/')}/{name}/{layout.key(number)}" in keys
    ]
