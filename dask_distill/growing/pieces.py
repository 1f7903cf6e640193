"""What a growing source has: rows of a zarr group, or files of a folder; and what of it is new."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Protocol

import dask.array as da
import numpy as np

from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError, InputWarning
from dask_distill.growing.files import AlikeFiles, opened
from dask_distill.sources.files import DataFile, partition_of
from dask_distill.sources.open import ZARR_FILES
from dask_distill.sources.splits import split_of, usual_split
from dask_distill.sources.where import of_partitions, usual_where
from dask_distill.storage.location import Location
from dask_distill.survey.reading import run_of_rows

_ENDINGS = (".parquet", ".parq", ".pq", ".npz")


@dataclass(frozen=True)
class Look:
    """What was there at one moment: rows, or the size of each file."""

    rows: int = 0
    files: tuple[tuple[str, int], ...] = ()

    def settled(self, before: "Look | None") -> "Look":
        """What was there before, too, and as it is now."""
        if before is None:
            return Look()
        then = set(before.files)
        return Look(min(self.rows, before.rows), tuple(file for file in self.files if file in then))


class Pieces(Protocol):
    """A source that grows."""

    def look(self) -> Look:
        """What is there now.

        Raises
        ------
        InputError
            Where the source cannot be used, or not yet.
        """

    def batches(
        self,
        look: Look,
        taken: Mapping[str, Any],
        max_rows: int,
        before: Dataset | None = None,
    ) -> Iterator[tuple[Dataset, dict[str, Any]]]:
        """What of it is new, and what is taken once each batch is; read as what is known.

        Raises
        ------
        InputError
        """


def pieces_of(place: Location, opening: dict[str, Any]) -> Pieces:
    """The kind that fits what is there.

    Raises
    ------
    InputError
    """
    with place.guard(f"source '{place.shown}' must be within reach", InputError):
        system, path = place.filesystem()
        if not system.exists(path):
            raise InputError(f"source '{place.shown}' does not exist; check the path")
        if system.isfile(path):
            raise InputError(
                f"source '{place.shown}' must be a folder of files or a zarr group to be followed, "
                "got a file; name the folder that it lies in"
            )
        zarr = any(system.exists(f"{path.rstrip('/')}/{name}") for name in ZARR_FILES)
    place = place.resolved()
    if zarr:
        return AppendedRows(place, opening)
    plain = {name: value for name, value in opening.items() if name not in ("split", "where")}
    split, where = opening.get("split"), usual_where(opening.get("where"))
    return AddedFiles(place, plain, None if split is None else usual_split(split), where)


@dataclass(frozen=True)
class AppendedRows:
    """Arrays of a zarr group that get longer."""

    place: Location
    opening: dict[str, Any]

    def look(self) -> Look:
        """Rows that all arrays have."""
        return Look(rows=opened(self.place, self.opening).n)

    def batches(
        self,
        look: Look,
        taken: Mapping[str, Any],
        max_rows: int,
        before: Dataset | None = None,
    ) -> Iterator[tuple[Dataset, dict[str, Any]]]:
        """Rows behind those that were taken."""
        start = int(taken.get("rows", 0))
        if look.rows and look.rows < start:
            raise InputError(
                f"source '{self.place.shown}' must have the {start:,} rows that were taken, got "
                f"{look.rows:,}; rows can be added to what is followed, not taken away"
            )
        if start >= look.rows:
            return
        dataset = opened(self.place, self.opening)
        while start < look.rows:
            stop = min(look.rows, start + max_rows)
            told = {"source": self.place.shown, "rows": stop}
            yield _between(dataset, start, stop), told
            start = stop


@dataclass(frozen=True)
class AddedFiles:
    """Files that are put into a folder, at any depth."""

    place: Location
    opening: dict[str, Any]
    split: str | None = None
    where: str | None = None

    def look(self) -> Look:
        """Files of ours to take, with their sizes."""
        # out of reach for a moment is no reason to end
        with self.place.guard(f"source '{self.place.shown}' must be within reach", InputError):
            system, path = self.place.filesystem()
            found = system.find(path, detail=True)
        inside = {
            name[len(path.rstrip("/")) + 1 :]: entry.get("size") or 0
            for name, entry in found.items()
        }
        files = [(name, size) for name, size in inside.items() if _is_data(name)]
        if self.split is None:
            self._warn_of_splits({split_of(name) for name, _ in files} - {None})
        else:
            files = [file for file in files if split_of(file[0]) == self.split]
        if self.where is not None:
            # the first that it holds of may be still to come
            there = [DataFile(name, partition_of(name)) for name, _ in files]
            left = of_partitions(there, self.where, self.place.shown, waiting=True)
            chosen = {file.path for file in left}
            files = [file for file in files if file[0] in chosen]
        return Look(files=tuple(sorted(files)))

    def _warn_of_splits(self, splits: set[str | None]) -> None:
        if len(splits) > 1:
            warnings.warn(
                f"source '{self.place.shown}' has files of several splits, which are taken "
                f"together: {', '.join(sorted(map(str, splits)))}; to follow one of them, pass "
                "split= / --split",
                InputWarning,
                stacklevel=2,
            )

    def batches(
        self,
        look: Look,
        taken: Mapping[str, Any],
        max_rows: int,
        before: Dataset | None = None,
    ) -> Iterator[tuple[Dataset, dict[str, Any]]]:
        """Files that were not taken, in the order of their names."""
        done = list(taken.get("files", ()))
        known = set(done)
        names = [name for name, _ in look.files if name not in known]
        files = AlikeFiles(self.place, self.opening, before)
        waiting: dict[str, Dataset] = {}

        def batch() -> tuple[Dataset, dict[str, Any]]:
            nonlocal files, waiting
            joint = files.joined(list(waiting), list(waiting.values()))
            # what comes next is read like the first
            files, waiting = replace(files, before=files.before or joint), {}
            told = {"source": self.place.shown, "files": list(done)}
            # not each of the files: they may be many
            joint = replace(joint, split=self.split, where=self.where)
            return replace(joint, sources=(self.place.shown,)), told

        for name in names:
            try:
                dataset = files.open(name)
            except InputError:
                if self._is_empty(name):
                    done.append(name)
                    continue
                if waiting:
                    # those before it are sound
                    yield batch()
                raise
            waiting[name] = dataset
            done.append(name)
            if sum(part.n for part in waiting.values()) >= max_rows:
                yield batch()
        if waiting:
            yield batch()

    def _is_empty(self, name: str) -> bool:
        """Whether a file has no rows: an hour in which nothing happened."""
        if name.endswith(".npz"):
            return False
        from pyarrow import ArrowException, parquet

        system, path = self.place.child(name).filesystem()
        try:
            with system.open(path, "rb") as file:
                return bool(parquet.read_metadata(file).num_rows == 0)
        except (OSError, ArrowException):
            return False


def _between(dataset: Dataset, start: int, stop: int) -> Dataset:
    """Some rows that follow each other."""
    part = _each(dataset, lambda array: run_of_rows(array, start, stop))
    if dataset.table is None:
        return part
    whole = None if dataset.unfilled is None else partial(_some, dataset.unfilled, start, stop)
    return replace(part, table=dataset.table.take(np.arange(start, stop)), unfilled=whole)


def _some(unfilled: Callable[[], da.Array], start: int, stop: int) -> da.Array:
    return run_of_rows(unfilled(), start, stop)


def _each(dataset: Dataset, change: Any) -> Dataset:
    """The same change of every array."""
    return replace(
        dataset,
        features=change(dataset.features),
        labels=None if dataset.labels is None else change(dataset.labels),
        carry={name: change(array) for name, array in dataset.carry.items()},
    )


def _is_data(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return name.endswith(_ENDINGS) and not any(part.startswith(("_", ".")) for part in parts)
