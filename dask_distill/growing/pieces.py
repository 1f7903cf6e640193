"""What a growing source has: rows of a zarr group, or files of a folder; and what of it is new."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, Protocol

import dask.array as da

from dask_distill.data.dataset import Dataset, check, with_time
from dask_distill.data.rows import join_rows
from dask_distill.errors import InputError, InputWarning
from dask_distill.growing.check import check_alike, refuse_weights
from dask_distill.sources.files import DataFile, partition_of
from dask_distill.sources.open import ZARR_FILES, open_dataset
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
        self, look: Look, taken: Mapping[str, Any], max_rows: int
    ) -> Iterator[tuple[Dataset, dict[str, Any]]]:
        """What of it is new, and what is taken once each batch is.

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
        self, look: Look, taken: Mapping[str, Any], max_rows: int
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
            part = _each(dataset, lambda array, a=start, b=stop: run_of_rows(array, a, b))
            yield part, told
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
        self, look: Look, taken: Mapping[str, Any], max_rows: int
    ) -> Iterator[tuple[Dataset, dict[str, Any]]]:
        """Files that were not taken, in the order of their names."""
        done = list(taken.get("files", ()))
        known = set(done)
        names = [name for name, _ in look.files if name not in known]
        waiting: list[Dataset] = []
        for name in names:
            try:
                dataset = opened(self.place.child(name), self.opening)
            except InputError:
                if self._is_empty(name):
                    done.append(name)
                    continue
                if waiting:
                    # those before it are sound
                    yield self._joined(waiting, done)
                raise
            waiting.append(dataset)
            done.append(name)
            if sum(part.n for part in waiting) >= max_rows:
                yield self._joined(waiting, done)
                waiting = []
        if waiting:
            yield self._joined(waiting, done)

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

    def _joined(self, parts: list[Dataset], done: list[str]) -> tuple[Dataset, dict[str, Any]]:
        told = {"source": self.place.shown, "files": list(done)}
        # not each of the files: they may be many
        joint = joined_datasets(parts)
        return replace(joint, sources=(self.place.shown,), split=self.split, where=self.where), told


def opened(place: Location, opening: Mapping[str, Any]) -> Dataset:
    """A data set with its time, if that was asked for."""
    more = dict(opening)
    time = more.pop("time", None)
    carry = tuple(dict.fromkeys([*more.pop("carry", ()), *([time] if time else [])]))
    dataset = open_dataset(place.url, carry=carry, storage_options=place.options, **more)
    refuse_weights(dataset)
    return dataset if time is None else check(with_time(dataset, time))


def joined_datasets(parts: list[Dataset]) -> Dataset:
    """The rows of several, one after the other.

    Raises
    ------
    InputError
        Where they do not have the same arrays and columns.
    """
    first = parts[0]
    for part in parts[1:]:
        if _form(part) != _form(first):
            raise InputError(
                f"files must have the same columns and types, got {_form(part)} in "
                f"'{part.sources[0]}' and {_form(first)} in '{first.sources[0]}'; convert one"
            )
        check_alike(part, first)
    if len(parts) == 1:
        return first
    labels = [part.labels for part in parts if part.labels is not None]
    return check(
        replace(
            first,
            features=join_rows([part.features for part in parts]),
            labels=da.concatenate(labels) if labels else None,
            carry={
                name: da.concatenate([part.carry[name] for part in parts]) for name in first.carry
            },
            without_nulls=frozenset.intersection(*(part.without_nulls for part in parts)),
        )
    )


def _form(dataset: Dataset) -> tuple[Any, ...]:
    """What must be the same."""
    shape, kind = dataset.features.shape[1:], dataset.features.dtype
    return shape, str(kind), dataset.columns, dataset.labels is not None, sorted(dataset.carry)


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
