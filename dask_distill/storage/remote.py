"""A remote target: written beside its place, then put there by one conditional request.

Object stores cannot rename. Chunks go below a prefix of their own beside the target, so that a
subset that is there stays readable while the run lasts. At commit the file that a form is known
by (``zarr.json``, ``_dask_distill.json``) is claimed, on condition that nobody has changed it
since the run began; the rest is copied within the store, and the finished file comes last, on
condition that the claim still stands. Of two writers one loses a condition. While chunks are
copied, readers find a target without its commit marker. A claim says where the whole subset lies:
where its process has died, whoever writes next finishes the commit first, so that nothing is lost.
Where the store has no conditional requests (anything but S3), the condition is looked at just
before the request.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dask_distill.errors import DistillError, InputError
from dask_distill.storage.form import FOLDER, FORMAT_VERSION, GROUP, Form, form_there
from dask_distill.storage.local import discard
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import STAGED

_CONDITIONAL = ("s3", "s3a")
# a bucket has no place beside it
_BUCKET = re.compile(r"^(s3a?|gs|gcs)://[^/]+$")


class _TakenError(Exception):
    """Somebody else has written the key."""


@contextmanager
def staged_remotely(
    target: Location, form: Form, *, run: str, keep: bool = False
) -> Iterator[Location]:
    """A prefix beside a remote target whose content takes its place at the end.

    Parameters
    ----------
    target : Location
    form : Form
        Of what is written.
    run : str
        Names the prefix.
    keep : bool
        Whether a failed run leaves what it has written, for one that resumes.
    """
    finish(target)
    with target.guard(f"target '{target.shown}' must be within reach"):
        system, path = target.filesystem()
        before = _tag(system, f"{path.rstrip('/')}/{form.root}")
    work = beside(target, f"partial-{run}")
    try:
        yield work
    except BaseException as error:
        if not keep or isinstance(error, InputError):
            # a store that is out of reach must not hide why
            with suppress(DistillError):
                discard_remotely(work)
        raise
    with target.guard(f"target '{target.shown}' must be committed"):
        _take_place(work, target, form, before)
    discard_remotely(work)


def finish(target: Location) -> None:
    """Finish a commit to an object store that a process has died in, if there is one.

    Where that process lives, it is told that another has come before it.
    """
    if target.path is not None:
        return
    with target.guard(f"target '{target.shown}' must be committed"):
        form = form_there(target)
        work = _claimed_for(target, form)
        if work is None or not work.child(form.root).exists():
            return
        system, path = target.filesystem()
        _take_place(work, target, form, _tag(system, f"{path.rstrip('/')}/{form.root}"))
    discard_remotely(work)


def _claimed_for(target: Location, form: Form) -> Location | None:
    """Where the subset lies whose process has claimed a target's place, and not finished."""
    system, path = target.filesystem()
    try:
        found = form.content(system.cat_file(f"{path.rstrip('/')}/{form.root}"))
    except (FileNotFoundError, ValueError):
        return None
    name = None if found is None else found.get(STAGED)
    folder, _, start = beside(target, "partial-").url.rpartition("/")
    # what is read may be made to harm
    if not isinstance(name, str) or not name.startswith(start) or "/" in name:
        return None
    return Location(f"{folder}/{name}", target.options)


def beside(target: Location, ending: str) -> Location:
    """A hidden neighbour of a target."""
    if len(target.links) > 1:
        raise InputError(
            f"target '{target.shown}' must be a path or one URL, got a chain of them; write to a "
            "folder or bucket, and copy or pack it then"
        )
    if _BUCKET.match(target.url):
        raise InputError(
            f"target '{target.shown}' must be a place in a bucket, got the bucket itself; add a "
            "name"
        )
    head, _, name = target.url.rpartition("/")
    return Location(f"{head}/.{name}.{ending}", target.options)


def discard_anywhere(work: Location) -> None:
    """Remove what lies at a place, local or remote."""
    if work.path is None:
        discard_remotely(work)
    else:
        discard(work.path)


def discard_remotely(work: Location) -> None:
    """Remove all keys below a prefix; once more, where a request fails on the way."""
    with work.guard(f"'{work.shown}' must be removed"):
        system, path = work.filesystem()
        try:
            _remove_keys(system, path)
        except Exception:
            # receipts that stay would look like a run that can be gone on with
            system.invalidate_cache()
            _remove_keys(system, path)


def _remove_keys(system: Any, path: str) -> None:
    keys = system.find(path)
    if keys:
        system.rm(keys)
    # file systems that have folders keep empty ones
    if system.exists(path):
        system.rm(path, recursive=True)


def _take_place(work: Location, target: Location, form: Form, before: str | None) -> None:
    system, path = target.filesystem()
    staging, place = work.filesystem()[1].rstrip("/"), path.rstrip("/")
    root, first = f"{place}/{form.root}", f"{staging}/{form.root}"
    name = work.url.rpartition("/")[2]
    claimed_by = {"format_version": FORMAT_VERSION, "claim": uuid.uuid4().hex, STAGED: name}
    claim = form.document(claimed_by)
    try:
        _put_if(system, root, claim, before, target)
    except _TakenError:
        discard_remotely(work)
        raise _lost(target) from None
    try:
        claimed = _tag(system, root)
        if system.cat_file(root) != claim:
            raise _TakenError
        final = system.cat_file(first)
        old = [key for key in system.find(place) if not key.endswith(root)]
        # of the other form: nobody is to take what goes now for whole
        known = [key for key in old if key.endswith(_roots(place))]
        for keys in (known, [key for key in old if key not in known]):
            if keys:
                system.rm(keys)
        keys = [key for key in system.find(staging) if not key.endswith(first)]
        ends = [key.rpartition(staging)[2] for key in keys]
        system.copy(keys, [f"{place}{end}" for end in ends])
        _put_if(system, root, final, claimed, target)
    except _TakenError:
        if _claimed_for(target, form) != work:
            # otherwise another is finishing this commit
            discard_remotely(work)
        raise _lost(target) from None
    except Exception as error:
        words = target.clean(" ".join(str(error).split()))[:300]
        raise DistillError(
            f"target '{target.shown}' must be committed, got {type(error).__name__}: {words}; it "
            f"is incomplete, and '{work.shown}' holds the whole subset: copy it, or run again "
            "with overwrite=True / --overwrite"
        ) from None


def _lost(target: Location) -> InputError:
    return InputError(
        f"target '{target.shown}' must not change during a run, but another one has written it; "
        "choose another target for each run"
    )


def _roots(place: str) -> tuple[str, ...]:
    return tuple(f"{place}/{form.root}" for form in (GROUP, FOLDER))


def _put_if(system: Any, key: str, data: bytes, expected: str | None, target: Location) -> None:
    """Write a key if it is as expected, and only then."""
    condition: dict[str, Any] = {}
    if target.url.partition("://")[0] in _CONDITIONAL:
        condition = {"mode": "create"} if expected is None else {"IfMatch": expected}
    elif _tag(system, key) != expected:
        raise _TakenError
    try:
        system.pipe_file(key, data, **condition)
    except Exception:
        # the answer to a request that succeeded may be lost, and its repetition then fails
        if _tag(system, key) is not None and system.cat_file(key) == data:
            return
        if _tag(system, key) != expected:
            raise _TakenError from None
        raise


def _tag(system: Any, key: str) -> str | None:
    """What changes whenever a key is written; None where it is not there."""
    system.invalidate_cache()
    try:
        info = system.info(key)
        if "ETag" in info:
            return str(info["ETag"])
        return hashlib.blake2b(system.cat_file(key)).hexdigest()
    except FileNotFoundError:
        return None
