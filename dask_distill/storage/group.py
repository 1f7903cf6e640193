"""Output as one zarr v3 group that is there whole or not at all.

Everything is written beside the target, and takes its place at commit: a folder by one rename,
a remote prefix by conditional requests. The commit marker is the last thing written. A manifest
holds a digest of every chunk's values, so that `verify` needs no source. Knows arrays and
attributes alone.
"""

import os
import uuid
from collections.abc import Callable, Collection, Mapping
from typing import Any

import dask.array as da
import zarr

from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.storage import folder
from dask_distill.storage.chunks import Layout, create_array, lazy_array
from dask_distill.storage.form import FOLDER, GROUP, committed, form_wanted
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import (
    ATTRIBUTE,
    FORMAT_VERSION,
    SYNTHETIC,
    broken_digests,
    broken_invariants,
    holds_scores,
    lay_out,
    make_manifest,
    misfit,
    open_content,
    parse_manifest,
    selected_rows,
)
from dask_distill.storage.targets import (
    Verification,
    check_target,
    discard_unfinished,
    form_of,
    is_ours,
    located,
    plain,
    staging,
    storing,
    unwritten,
)
from dask_distill.storage.tasks import checking_tasks, finding_tasks, run_tasks, writing_tasks
from dask_distill.support.digest import combined_digest

__all__ = ["ATTRIBUTE", "FORMAT_VERSION", "Location", "Verification", "check_target"]
__all__ += ["discard_unfinished", "read", "summary", "verify", "write"]


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
    # whose place it is who calls has checked
    check_target(target, overwrite=overwrite, storage_options=storage_options, ours=is_ours)
    location = located(target, storage_options)
    layouts = lay_out(arrays)
    content = {**plain(attributes), "format_version": FORMAT_VERSION}
    final = location.resolved()
    with storing(location), staging(final, GROUP, overwrite, run) as work:
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
        with work.guard(f"target '{location.shown}' must be committed"):
            group.attrs.put({**(marks or {}), ATTRIBUTE: content})
            # a reader trusts nothing without this, so it comes when everything else is there
            group.attrs.put({**(marks or {}), ATTRIBUTE: committed(content)})
    return {
        "target": location.shown,
        "digest": digest,
        "bytes_written": sum(receipt.nbytes for receipt in receipts),
    }


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
    location = located(target, storage_options)
    content = open_content(location)
    if content is None:
        raise InputError(
            f"target '{location.shown}' must be a zarr group written by dask-distill, got "
            "something else; check the path"
        )
    layouts, problems = parse_manifest(location, content)
    if problems:
        raise unwritten(location, problems)
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
    """What would have been told of writing a target that was there already, in either form."""
    location = located(target, storage_options)
    if form_of(location) is FOLDER:
        content = folder.read(location)
    else:
        content = read(target, storage_options=storage_options)[1]
    return {"target": location.shown, "digest": content["digest"], "bytes_written": 0}


def verify(
    target: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None
) -> Verification:
    """Recompute every digest on the workers, and check the invariants of a coreset.

    A zarr group or a folder of parquet files: what is there tells.

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
    location = located(target, storage_options)
    try:
        content = open_content(location)
    except IncompleteOutput as error:
        return Verification(
            ok=False, problems=(str(error),), rows=0, arrays=0, chunks=0, digest=None
        )
    if content is not None and form_of(location) is FOLDER:
        return folder.verify(location, content)
    if content is None:
        problem = f"the attribute '{ATTRIBUTE}' is missing: not written by dask-distill, or lost"
        if form_wanted(location.url) is FOLDER:
            problem = f"'{FOLDER.root}' is missing: not written by dask-distill, or incomplete"
        return Verification(ok=False, problems=(problem,), rows=0, arrays=0, chunks=0, digest=None)
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
        ok=not problems,
        problems=tuple(problems),
        rows=rows,
        arrays=len(layouts),
        chunks=len(findings),
        digest=digest if isinstance(digest, str) else None,
        synthetic=bool(content.get(SYNTHETIC)),
        scores=holds_scores(content),
    )


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
