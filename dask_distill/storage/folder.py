"""Output as a folder of parquet files that is there whole or not at all.

As with a zarr group everything is written beside the target, and takes its place at commit; the
marker ``_dask_distill.json`` is written last, and holds what a group's attribute does. Knows
Arrow's tables and attributes alone.
"""

import os
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dask.delayed import Delayed, delayed

from dask_distill.errors import InputError
from dask_distill.storage.chunks import Layout
from dask_distill.storage.form import FOLDER, FORMAT_VERSION, committed, differing
from dask_distill.storage.local import sync
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import (
    broken_invariants,
    holds_scores,
    open_content,
    uncommitted,
)
from dask_distill.storage.parts import (
    PartReceipt,
    Rows,
    check_part,
    find_part,
    part_name,
    write_part,
)
from dask_distill.storage.targets import (
    Verification,
    check_target,
    is_ours,
    located,
    plain,
    staging,
    storing,
    unwritten,
)
from dask_distill.storage.tasks import run_tasks
from dask_distill.storage.values import type_name
from dask_distill.storage.variables import ARRAYS
from dask_distill.support.digest import combined_digest

# what the digest of a whole folder is of: not the files' bytes, which writers may order otherwise
_VALUES = ("rows", "digest")
_DIGESTS = ("digest", "file_digest", "footer_digest")


@dataclass(frozen=True)
class Part:
    """The rows of one file: what gives them, and the parts of a table that it takes them from.

    ``parts`` travel as they are; those that are dask tasks are done first.

    Attributes
    ----------
    rows : Rows
    parts : tuple
    compared : bool
        Whether a file that a run before has left is compared with these rows. Otherwise nothing of
        it is made again.
    """

    rows: Rows
    parts: tuple[Any, ...]
    compared: bool = True


def write(
    target: str | os.PathLike[str],
    schema: Any,
    step: int,
    parts: Sequence[Part],
    attributes: Mapping[str, Any],
    *,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    on_part: Callable[[int], None] | None = None,
    run: str | None = None,
    amend: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Write rows as a folder of parquet files, from the workers, and commit.

    Parameters
    ----------
    target : path or URL
    schema : Arrow schema
    step : int
        Rows that are taken at a time: a row group ends with a step.
    parts : sequence of Part
        Of each file.
    attributes, overwrite, storage_options, run, amend
        As for a zarr group. Of the files that a run before has left those stay that are what would
        be written now; or, where they are not `compared`, those that are whole.
    on_part : callable, optional
        Told how many files are still to be written: all before the first, 0 after the last.

    Returns
    -------
    dict
        ``target``, ``digest`` (of the values), ``bytes_written`` (of them, before compression)
        and the number of ``files``.

    Raises
    ------
    InputError
        Where target or attributes cannot be used; nothing has been written.
    DistillError
        Where a file could not be written.
    """
    # whose place it is who calls has checked
    check_target(target, overwrite=overwrite, storage_options=storage_options, ours=is_ours)
    location = located(target, storage_options)
    content = {**plain(attributes), "format_version": FORMAT_VERSION}
    content["columns"] = {field.name: type_name(field.type) for field in schema}
    with storing(location), staging(location.resolved(), FOLDER, overwrite, run) as work:
        with work.guard(f"target '{location.shown}' must be written"):
            there = set() if run is None else _names_in(work)
            # tasks that nobody awaits any more look for it
            _put_root(work, {"format_version": FORMAT_VERSION})
        known = _found(work, schema, step, there, parts)
        tasks = _writing_tasks(work, schema, step, parts, there, known)
        written = {receipt.name: receipt for receipt in run_tasks(tasks, on_part)}
        names = [part_name(number) for number in range(len(parts))]
        receipts = [known.get(name) or written[name] for name in names]
        if amend is not None:
            content = amend(content)
        content |= _sealed(receipts, content["columns"])
        with work.guard(f"target '{location.shown}' must be committed"):
            _tidy(work, {receipt.name for receipt in receipts})
            # whoever looks for it takes the folder for whole, so it comes last
            _put_root(work, committed(content))
    return {
        "target": location.shown,
        "digest": content["digest"],
        "bytes_written": sum(receipt.nbytes for receipt in receipts),
        "files": len(receipts),
    }


def _writing_tasks(
    work: Location,
    schema: Any,
    step: int,
    parts: Sequence[Part],
    there: set[str],
    known: Collection[str],
) -> list[Delayed]:
    write_one = delayed(write_part, pure=False, traverse=False)
    return [
        write_one(
            work,
            number,
            schema,
            step,
            part_name(number) in there,
            part.rows,
            *part.parts,
            dask_key_name=f"distill-write-part-{number}-of-{len(parts)}-{uuid.uuid4().hex}",
        )
        for number, part in enumerate(parts)
        if part_name(number) not in known
    ]


def _found(
    work: Location, schema: Any, step: int, there: set[str], parts: Sequence[Part]
) -> dict[str, PartReceipt]:
    """Files of a run before that are whole, and need not be compared, by name."""
    find_one = delayed(find_part, pure=False, traverse=False)
    trusted = [part_name(number) for number, part in enumerate(parts) if not part.compared]
    names = [name for name in trusted if name in there]
    found = run_tasks([find_one(work, name, schema, step) for name in names], None)
    return {receipt.name: receipt for receipt in found if receipt is not None}


def _sealed(receipts: Sequence[PartReceipt], columns: Mapping[str, str]) -> dict[str, Any]:
    """Manifest, digest and commit, which are added to the attributes."""
    manifest = {receipt.name: receipt.entry() for receipt in receipts}
    return {"manifest": manifest, "digest": _digest(manifest, columns)}


def _digest(manifest: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    """Of the values of all files, in order, and of what columns they are."""
    values = {name: [entry.get(key) for key in _VALUES] for name, entry in manifest.items()}
    return combined_digest({"columns": list(columns.items()), "parts": values})


def _names_in(work: Location) -> set[str]:
    """Files that a run before this one has left."""
    system, path = work.filesystem()
    return {key.rpartition("/")[2] for key in system.find(path)}


def _tidy(work: Location, kept: set[str]) -> None:
    """Remove what killed workers have left, and parts of a run that had others."""
    if work.path is None:
        system, path = work.filesystem()
        left = _names_in(work) - kept - {FOLDER.root}
        if left:
            system.rm([f"{path.rstrip('/')}/{name}" for name in sorted(left)])
        return
    for file in work.path.iterdir():
        if file.name not in kept | {FOLDER.root}:
            file.unlink(missing_ok=True)


def _put_root(work: Location, content: dict[str, Any]) -> None:
    """Write the marker's file whole, on the disk when this returns."""
    data = FOLDER.document(content)
    if work.path is None:
        system, path = work.filesystem()
        system.pipe_file(f"{path.rstrip('/')}/{FOLDER.root}", data)
        return
    partial = work.path / f".{FOLDER.root}.{uuid.uuid4().hex[:12]}"
    partial.write_bytes(data)
    sync(partial)
    partial.replace(work.path / FOLDER.root)


def read(location: Location) -> dict[str, Any]:
    """What a committed folder says of itself.

    Raises
    ------
    InputError
        Where nothing is there, or something that is not ours.
    IncompleteOutput
        Where the commit marker, or a file of the manifest, is missing.
    """
    content = open_content(location)
    if content is None:
        raise InputError(
            f"target '{location.shown}' must be a subset written by dask-distill, got something "
            "else; check the path"
        )
    problems = uncommitted(location, content)
    if not problems:
        problems = _damaged(content) or _missing(location, content)
    if problems:
        raise unwritten(location, problems)
    return content


def verify(location: Location, content: dict[str, Any]) -> Verification:
    """Recompute the digest of every file on the workers; see `dask_distill.storage.group`."""
    problems = uncommitted(location, content)
    if problems:
        return Verification(
            ok=False, problems=tuple(problems), rows=0, arrays=0, chunks=0, digest=None
        )
    if damaged := _damaged(content):
        return Verification(
            ok=False, problems=tuple(damaged), rows=0, arrays=0, chunks=0, digest=None
        )
    manifest = content["manifest"]
    problems += differing(content, _digest(manifest, content["columns"]))
    check_one = delayed(check_part, pure=False, traverse=False)
    place = location.resolved()
    tasks = [check_one(place, name, entry) for name, entry in manifest.items()]
    findings = [finding for found in run_tasks(tasks, None) for finding in found]
    problems += [finding.problem for finding in findings if finding.problem]
    rows = sum(entry["rows"] for entry in manifest.values())
    layouts = _layouts(rows, content["columns"])
    problems += broken_invariants(layouts, findings, content, "column '_{}'")
    return Verification(
        ok=not problems,
        problems=tuple(problems),
        rows=rows,
        arrays=len(content["columns"]),
        chunks=len(manifest),
        digest=content["digest"],
        scores=holds_scores(content),
    )


def _layouts(rows: int, columns: Mapping[str, str]) -> dict[str, Layout]:
    """Our columns as arrays of a group."""
    types = {"int64": "<i8", "float": "<f4"}
    known = [(name, columns[column]) for column, name in ARRAYS.items() if column in columns]
    found = {name: types.get(kind, "O") for name, kind in known}
    return {name: Layout((rows,), dtype, (max(1, rows),)) for name, dtype in found.items()}


def _damaged(content: Mapping[str, Any]) -> list[str]:
    """What is wrong with the marker: what is read may be damaged, or made to harm."""
    try:
        entries = content["manifest"].items()
        names = [part_name(number) for number in range(len(entries))]
        sound = isinstance(content["digest"], str) and [name for name, _ in entries] == names
        columns = content["columns"]
        sound = sound and all(isinstance(columns[name], str) for name in columns)
        for _, entry in entries:
            groups = entry["row_groups"]
            sound = sound and all(isinstance(rows, int) and rows > 0 for rows in groups)
            sound = sound and sum(groups) == entry["rows"] and entry["file_bytes"] > 0
            sound = sound and 0 < entry["footer_bytes"] <= entry["file_bytes"]
            sound = sound and all(isinstance(entry[name], str) for name in _DIGESTS)
    except (TypeError, KeyError, ValueError, AttributeError):
        sound = False
    return [] if sound else ["the manifest is damaged"]


def _missing(location: Location, content: Mapping[str, Any]) -> list[str]:
    with location.guard(f"target '{location.shown}' must be within reach"):
        there = _names_in(location)
    return [f"file {name} is missing" for name in content["manifest"] if name not in there]
