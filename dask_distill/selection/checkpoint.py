"""What a run that dies leaves for one that resumes: a folder of receipts beside the target.

A checkpoint is made when the survey has accepted the input, and holds what was asked, the
fingerprint of the input, and the selection once it is chosen. The chunks that are written lie
beside it, and are their own receipts. Plain JSON and NumPy files: nothing is ever unpickled.
"""

import io
import json
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from dask_distill.conversation.journal import Journal
from dask_distill.errors import DistillError, IncompleteOutput, InputError
from dask_distill.selection.request import Asked
from dask_distill.selection.task import target_digest
from dask_distill.storage.form import is_committed
from dask_distill.storage.local import BIN, sync
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import FORMAT_VERSION, open_content
from dask_distill.storage.remote import beside, discard_anywhere, finish
from dask_distill.storage.variables import SCORE, scores_among
from dask_distill.subset.subset import Certificate, Subset
from dask_distill.support.digest import jsonable

_REQUEST, _SELECTION, _LOCK = "request.json", "selection.npz", "lock"
_META = "meta"


def describe_request(asked: Asked, *, keep_encoded: bool = False) -> dict[str, Any]:
    """All that decides what is written, but the values of the input: to compare two runs by."""
    request, dataset = asked.request, asked.dataset
    labels, carry = dataset.labels, dataset.carry
    described = {
        "format version": FORMAT_VERSION,
        "dask-distill version": version("dask-distill"),
        **request.describe(),
        **asked.digests(),
        "features": [dataset.feature_name, dataset.features.shape, str(dataset.features.dtype)],
        "columns": dataset.columns,
        "labels": None if labels is None else [dataset.label_name, labels.dtype.kind],
        **({} if request.target is None else {"target digest": target_digest(request.target)}),
        "carry": {name: [array.shape[1:], str(array.dtype)] for name, array in carry.items()},
        **({} if dataset.sample_weight is None else {"sample weight": dataset.weight_name}),
        **({} if dataset.table is None else {"written columns": dataset.table.kinds}),
        **({"keep encoded": True} if keep_encoded else {}),
    }
    plain: dict[str, Any] = json.loads(json.dumps(jsonable(described)))
    return plain


class Receipts:
    """What a run notes of itself: nothing, unless it is a `Checkpoint`."""

    @property
    def journal(self) -> Journal:
        """Where the selection is written while it is made."""
        return Journal()

    def begin(self, fingerprint: str) -> None:
        """Note what is asked of which input, or check that it is what it was."""

    def check(self, fingerprint: str) -> None:
        """Refuse an input that has changed."""

    def selection(self) -> dict[str, Any] | None:
        """The finished selection, as fields of a `Subset`; None where there is none."""
        return None

    def save(self, subset: Subset) -> None:
        """Keep a finished selection."""


@dataclass(kw_only=True)
class Checkpoint(Receipts):
    """One run's receipts, kept beside its target.

    Attributes
    ----------
    target : Location
    run : str
        Names the run's folders beside the target.
    request : dict
        See `describe_request`.
    overwrite : bool
        Whether the target may be replaced.
    fingerprint : str or None
        Of the input; None until the survey has read it.
    complete : bool
        Whether the target is there already, as this request asks for it.
    resumed : bool
        Whether it goes on with a run that died.
    lasting : bool
        Whether receipts stay where the input turns out to be wrong.
    keep_encoded : bool
        Whether features are written beside the columns of a table.
    """

    target: Location
    run: str
    request: dict[str, Any]
    overwrite: bool = False
    fingerprint: str | None = None
    complete: bool = False
    resumed: bool = False
    lasting: bool = False
    keep_encoded: bool = False
    _handle: int | None = field(default=None, repr=False)

    @classmethod
    def start(
        cls,
        target: Location,
        request: dict[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> "Checkpoint":
        """Find the run to go on with, or begin a new one; writes nothing.

        But a commit that has died is finished: what is to be replaced must be there until then.

        Raises
        ------
        InputError
            Where another run is unfinished, or the one to resume differs in what was asked.
        """
        target = target.resolved()
        fresh = cls(target=target, run=uuid.uuid4().hex[:12], request=request, overwrite=overwrite)
        finish(target)
        with target.guard(f"target '{target.shown}' must be within reach", InputError):
            found = _unfinished(target)
            if not resume:
                _make_way(target, found, overwrite)
                return fresh
            recorded = _recorded(target)
            same = [one for one in found if not differences(one.request, request)]
            for one in same:
                one.lock()
                one.resumed = True
                if recorded == {**request, "fingerprint": one.fingerprint}:
                    one.complete = True
                return one
            if found:
                raise _refusal(target, "the run to resume", found[0].request, request)
            if recorded is not None:
                fresh.fingerprint = recorded.pop("fingerprint", None)
                if differences(recorded, request):
                    raise _refusal(target, "the run that wrote it", recorded, request)
                fresh.complete = True
            return fresh

    @property
    def folder(self) -> Location:
        """Where the receipts are."""
        return beside(self.target, f"resume-{self.run}")

    @property
    def journal(self) -> Journal:
        """Where the selection is written while it is made."""
        return Journal.at(self.folder, resumed=self.resumed)

    def begin(self, fingerprint: str) -> None:
        """Note what is asked of which input, or check that it is what it was."""
        self.check(fingerprint)
        self.fingerprint = fingerprint
        noted = {"request": self.request, "fingerprint": fingerprint, "overwrite": self.overwrite}
        # a folder that nobody holds and that has no request is of a run that died right here
        self.lock()
        self._put(_REQUEST, json.dumps(noted).encode())

    def check(self, fingerprint: str) -> None:
        """Refuse an input that has changed.

        Raises
        ------
        InputError
        """
        if self.fingerprint not in (None, fingerprint):
            raise InputError(
                f"the run that '{self.target.shown}' was begun with must have the same input to be "
                f"resumed, but the values have changed (fingerprint was {self.fingerprint}, is "
                f"{fingerprint}); restore them, or start again with overwrite=True / --overwrite"
            )

    def save(self, subset: Subset) -> None:
        """Keep a finished selection."""
        certificate = subset.certificate
        meta = {
            "provenance": subset.provenance,
            "certificate": None if certificate is None else certificate.as_dict(),
        }
        arrays = {"indices": subset.indices, "weights": subset.weights}
        arrays |= {f"{SCORE}{name}": values for name, values in subset.scores.items()}
        if subset.subset_weights is not None:
            arrays["subset_weights"] = subset.subset_weights
        arrays[_META] = np.frombuffer(json.dumps(jsonable(meta)).encode(), np.uint8)
        file = io.BytesIO()
        # the archive has a checksum of each array
        np.savez(file, **arrays)  # type: ignore[arg-type]
        self._put(_SELECTION, file.getvalue())

    def selection(self) -> dict[str, Any] | None:
        """The finished selection, as fields of a `Subset`; None where there is none."""
        data = self._get(_SELECTION)
        if data is None:
            return None
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            meta = json.loads(arrays[_META].tobytes())
            certificate = meta["certificate"]
            return {
                "indices": arrays["indices"],
                "weights": arrays["weights"],
                "scores": scores_among(arrays),
                "certificate": None if certificate is None else Certificate(**certificate),
                "provenance": meta["provenance"],
                "subset_weights": arrays.get("subset_weights"),
            }
        except Exception:
            # half written, or damaged since: chosen again
            return None

    def lock(self) -> None:
        """Keep others from resuming this run while this process lives; local folders only.

        Raises
        ------
        InputError
            Where another process holds it.
        """
        if self.folder.path is None or self._handle is not None:
            return
        with self.target.guard(f"a checkpoint must be written beside '{self.target.shown}'"):
            self._handle = self._held(self.folder.path)

    def _held(self, folder: Path) -> int | None:
        import fcntl

        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise InputError(
                f"target '{self.target.shown}' must not be written by two runs, but another one "
                "is at work; wait for its end"
            ) from None
        except OSError:
            # file systems without locks: two runs that resume write the same bytes
            os.close(handle)
            return None
        return handle

    def close(self, *, keep: bool = False) -> None:
        """Let go; the receipts are removed unless they are kept."""
        if not keep:
            # in this order: what is left by a death between the two is found by its receipts
            _discard(beside(self.target, f"partial-{self.run}"))
            _discard(self.folder)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def begun(self) -> bool:
        """Whether there is anything to resume from."""
        with suppress(DistillError):
            return self._get(_REQUEST) is not None
        return False

    def _put(self, name: str, data: bytes) -> None:
        with self.target.guard(f"a checkpoint must be written beside '{self.target.shown}'"):
            path = self.folder.path
            if path is None:
                system, place = self.folder.filesystem()
                system.pipe_file(f"{place}/{name}", data)
                return
            path.mkdir(parents=True, exist_ok=True)
            partial = path / f"{name}.{uuid.uuid4().hex}"
            partial.write_bytes(data)
            sync(partial)
            os.replace(partial, path / name)
            sync(path)

    def _get(self, name: str) -> bytes | None:
        data: bytes | None = None
        with (
            self.target.guard(f"the checkpoint beside '{self.target.shown}' must be readable"),
            suppress(FileNotFoundError, NotADirectoryError),
        ):
            system, place = self.folder.filesystem()
            data = system.cat_file(f"{place}/{name}")
        return data


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two requests, in words."""
    names = [*before, *(name for name in now if name not in before)]
    return [
        f"{name} was {json.dumps(before.get(name))}, is {json.dumps(now.get(name))}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _refusal(
    target: Location, who: str, before: Mapping[str, Any], now: Mapping[str, Any]
) -> InputError:
    changed = "; ".join(differences(before, now))
    return InputError(
        f"target '{target.shown}' must be resumed with what {who} was given, but {changed}; "
        "give the same parameters, choose another target, or pass overwrite=True / --overwrite"
    )


def _unfinished(target: Location) -> list[Checkpoint]:
    """Runs that have left a checkpoint beside a target, the latest first."""
    pattern = beside(target, "resume-")
    system, path = pattern.filesystem()
    parent, _, start = path.rpartition("/")
    try:
        names = [entry.rstrip("/").rpartition("/")[2] for entry in system.ls(parent, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for name in sorted(names):
        if not name.startswith(start):
            continue
        one = Checkpoint(target=target, run=name.removeprefix(start).removesuffix(BIN), request={})
        if name.endswith(BIN):
            # the run is over, and its removal died
            _discard(one.folder)
            continue
        try:
            noted = json.loads(one._get(_REQUEST) or b"")
            one.request = dict(noted["request"])
            one.fingerprint, one.overwrite = str(noted["fingerprint"]), bool(noted["overwrite"])
        except (ValueError, KeyError, TypeError):
            _tidy(one)
            continue
        found.append(one)
    return found


def _tidy(one: Checkpoint) -> None:
    """Remove a folder whose run died while it was made: nothing to resume."""
    try:
        one.lock()
    except InputError:
        return
    one.close()


def _make_way(target: Location, found: list[Checkpoint], overwrite: bool) -> None:
    if found and not overwrite:
        state = "its selection is" if found[0].selection() else "its input was surveyed, nothing is"
        raise InputError(
            f"target '{target.shown}' has an unfinished run beside it ({state} finished); continue "
            "it with resume=True / --resume, or discard it with overwrite=True / --overwrite"
        )
    for one in found:
        one.lock()
        one.close()


def _recorded(target: Location) -> dict[str, Any] | None:
    """The request in a target that is complete."""
    if not target.exists():
        return None
    try:
        content = open_content(target)
    except IncompleteOutput:
        return None
    if content is None or not is_committed(content):
        return None
    request = content.get("request")
    return dict(request) if isinstance(request, dict) else {}


def _discard(folder: Location) -> None:
    # what is left says what it is, and harms nobody
    with suppress(DistillError):
        discard_anywhere(folder)
