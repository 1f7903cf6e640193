"""A folder beside its place that takes it at the end, or goes without trace."""

import ctypes
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dask_distill.errors import InputError
from dask_distill.storage.form import FOLDER, GROUP
from dask_distill.storage.location import Location

_METADATA = frozenset((GROUP.root, FOLDER.root))
_NO_FSYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)
# ends the names of folders that are being removed: nobody wants them, and whoever finds one may
# remove it; and of those that are about to take their place, which are what was there afterwards
BIN, _TURN = ".bin", ".turn"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


@contextmanager
def staged(
    target: Location, overwrite: bool, *, run: str, keep: bool = False
) -> Iterator[Location]:
    """A folder beside a local target that takes its place at the end, or goes without trace.

    Parameters
    ----------
    target : Location
        Local and resolved.
    overwrite : bool
        Whether the folder that is there now may be replaced; one that comes later may not.
    run : str
        Names the folder.
    keep : bool
        Whether a failed run leaves what it has written, for one that resumes.
    """
    path = target.path
    assert path is not None
    replaced = path.stat().st_ino if overwrite and path.exists() else None
    parents = [folder for folder in path.parents if not folder.exists()]
    work = path.with_name(f".{path.name}.partial-{run}")
    try:
        with target.guard(f"target '{target.shown}' must be written"):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sweep(path)
            work.mkdir(exist_ok=keep)
            made = work.stat().st_ino
        yield Location(str(work))
        with target.guard(f"target '{target.shown}' must be committed"):
            sync_tree(work)
            if work.stat().st_ino != made:
                # chunks written since then would have made the folder again, without those before
                raise InputError(
                    f"'{work}' must stay until it is committed, but another run has removed it; "
                    "run one at a time"
                )
            _take_place(work, path, replaced)
    except BaseException as error:
        if keep and not isinstance(error, InputError):
            raise
        discard(work)
        for folder in parents:
            # a folder that someone else has filled meanwhile stays
            _remove_empty(folder)
        raise


def _take_place(work: Path, target: Path, replaced: int | None) -> None:
    """Put the finished folder in the target's place; an old one goes only then."""
    taken = InputError(
        f"target '{target}' must not change during a run, but another one has written it; "
        "choose another target for each run"
    )
    if replaced is None or not os.path.lexists(target):
        try:
            # fails on a folder that holds something, and on a file
            os.rename(work, target)
        except OSError as error:
            raise (taken if os.path.lexists(target) else error) from None
    else:
        work = _renamed(work, f"{work.name}{_TURN}")
        if _exchange(work, target):
            if work.stat().st_ino != replaced:
                _exchange(work, target)
                raise taken
            # only now is it sure that it is the old one; the new one has its place in any case
            with suppress(OSError):
                work = _renamed(work, f"{work.name.removesuffix(_TURN)}{BIN}")
        else:
            old = target.with_name(f".{target.name}.old-{uuid.uuid4().hex[:12]}")
            if target.stat().st_ino != replaced:
                raise taken
            os.rename(target, old)
            try:
                os.rename(work, target)
            except BaseException:
                os.rename(old, target)
                raise
            discard(old)
    sync(target.parent)
    # after an exchange this is the old one
    shutil.rmtree(work, ignore_errors=True)


def _renamed(work: Path, name: str) -> Path:
    """Under a name that nobody resumes from: once two folders are swapped, it is the old one's."""
    to = work.with_name(name)
    shutil.rmtree(to, ignore_errors=True)
    return work.rename(to)


def _sweep(target: Path) -> None:
    """Remove what removals before have left, because they died or a disk failed."""
    start = f".{target.name}.partial-"
    for name in os.listdir(target.parent):
        if name.startswith(start) and name.endswith(BIN):
            shutil.rmtree(target.with_name(name), ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, so that no reader finds neither; False where none can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    return bool(rename(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0)


def discard(folder: Path) -> None:
    """Remove a folder in which tasks that nobody awaits may still be writing.

    And what a removal before this one has left, where that died.
    """
    bin_ = folder.with_name(f"{folder.name}{BIN}")
    for left in (bin_, folder.with_name(f"{folder.name}{_TURN}")):
        shutil.rmtree(left, ignore_errors=True)
    try:
        os.rename(folder, bin_)
    except FileNotFoundError:
        return
    except OSError:
        bin_ = folder
    shutil.rmtree(bin_, ignore_errors=True)


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def sync_tree(root: Path) -> None:
    """Bring folders and metadata to the disk; chunks are synced by those who write them."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in _METADATA.intersection(names):
            sync(Path(folder) / name)
        sync(Path(folder))


def sync(path: Path) -> None:
    """Bring a file or folder to the disk, where the file system can."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(handle)
