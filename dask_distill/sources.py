"""Opening data sets: zarr groups, parquet, .npy and .npz, local or by fsspec URL.

Opening reads metadata alone. Every task carries what it needs to read its part. What users see
of a location, here and in errors, holds neither passwords nor storage options.
"""

import math
import os
import re
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill._location import Location, reading
from dask_distill.dataset import Dataset, check, from_array
from dask_distill.errors import InputError

_CHUNK_BYTES = 16 * 2**20
_MOST_CHUNKS = 4096
ZARR_FILES = ("zarr.json", ".zgroup", ".zarray")
_ZIP_ENTRY = "<4s22xHH"
_QUERY = re.compile(r"\?[^\s'\"]+")
_LONGEST_ERROR = 800


class RowReader:
    """A task of a source: it reads rows, and can be told to read only some of them."""

    @property
    def most_readers(self) -> int | None:
        """Tasks that may each read a part; None where a part costs no more than its rows."""
        return None

    def __call__(self) -> npt.NDArray[np.generic]:
        """Read, on a worker."""
        raise NotImplementedError

    def part(self, start: int, stop: int) -> "RowReader":
        """Reads rows from ``start`` to ``stop`` of these."""
        raise NotImplementedError

    def followed_by(self, other: "RowReader") -> "RowReader | None":
        """Reads these rows and then those in one go; None where they are not one run."""
        return None


def open_dataset(
    source: str | os.PathLike[str],
    *,
    features: str | Sequence[str] | None = None,
    labels: str | os.PathLike[str] | bool | None = None,
    carry: Sequence[str] = (),
    storage_options: Mapping[str, Any] | None = None,
    task: str = "classification",
    on_missing: str = "fill",
) -> Dataset:
    """Open a data set without reading its rows.

    Parameters
    ----------
    source : path or URL
        A zarr group or array (a written subset, too), a parquet file or folder (hive partitions
        are columns), an .npy or .npz file.
    features : str or sequence of str, optional
        zarr and .npz: name of the array ("X" unless given). Parquet: a list of columns, also
        comma-separated, globs allowed, in the order given (globs: as stored); every numeric
        column that is not label or carried unless given.
    labels : str or path, optional
        zarr and .npz: name of the array ("y" where there is one). Parquet: a column ("y", or
        else "label", where there is one). .npy: path of another .npy. False or "" for no labels.
    carry : sequence of str
        More arrays or columns to write with the selected rows.
    storage_options : mapping, optional
        For fsspec; needed to read, shown nowhere.
    task : str
        "multilabel" where a row has several labels: an (n, L) array; in parquet several columns,
        named as features are, which become the array "y".
    on_missing : "fill" or "error"
        What a chunk of a zarr array that is not stored means. zarr does not store chunks that hold
        the fill value alone, and reads a chunk that was lost as such; the two cannot be told
        apart. With "fill" they are read as zarr has it, and counted in ``Dataset.missing``; with
        "error" they are refused, here or where they are read.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        Where the source, an array or a column is missing, or cannot be read.

    Notes
    -----
    Parquet columns of features get their common type. Missing values become NaN; a column of
    integers or booleans that has some, or whose footers do not tell, becomes float64; labels and
    carried integers that float64 would round are refused when they are read. Decimals become
    float64, days and times NumPy's, those with a time zone in UTC.
    """
    location = _location(source, storage_options)
    label = os.fspath(labels) if isinstance(labels, os.PathLike) else labels
    several = task == "multilabel"
    if on_missing not in ("fill", "error"):
        raise InputError(f'on_missing must be "fill" or "error", got {on_missing!r:.60}')
    if label is True or not isinstance(label, str | bool | None):
        raise InputError(f"labels must be a name, or False for none, got {label!r:.60}; name one")
    wanted = features if isinstance(features, str | None) else _names("features", features)
    carried = _names("carry", [carry] if isinstance(carry, str) else carry)
    with _clear_errors(location):
        location = _found(location)
        dataset = _open(location, wanted, label, carried, several, on_missing == "error")
        return check(
            replace(
                dataset,
                # an array of a subgroup goes by its own name
                feature_name=dataset.feature_name.rpartition("/")[2],
                label_name=dataset.label_name.rpartition("/")[2],
                sources=tuple(_shown(Location(url)) for url in dataset.sources),
            ),
            several=several,
        )


def open_filesystem(location: Location) -> tuple[Any, str]:
    """The fsspec file system of a location, and the path in it."""
    import fsspec

    return fsspec.core.url_to_fs(location.url, **location.options)


def one_name(names: str | Sequence[str] | None, default: str, what: str) -> str:
    """A single array name from what the user gave."""
    if names is None or isinstance(names, str):
        return default if names is None else names
    if len(names) == 1:
        return names[0]
    raise InputError(f"{what} must name one array, got {list(names)}; give one name")


def missing_name(what: str, name: str, there: Sequence[str], source: str) -> InputError:
    """The error for an array or column that is not there."""
    listed = ", ".join(list(there)[:20]) + (", …" if len(there) > 20 else "")
    return InputError(f"{what} must be in '{source}', got {name!r}; there are: {listed or 'none'}")


def unreadable(source: str, error: Exception) -> InputError:
    """The error for a source whose metadata is broken."""
    found = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return InputError(f"source '{source}' must be readable, got {found}; check that it is complete")


def chunk_rows(row_bytes: int, n: int, unit: int = 1) -> int:
    """Rows of a Dask chunk: about 16 MiB, a multiple of the stored unit, not too many chunks."""
    unit = max(1, unit)
    return unit * max(_CHUNK_BYTES // max(1, row_bytes * unit), -(-n // (_MOST_CHUNKS * unit)), 1)


def join_rows(parts: Sequence[da.Array]) -> da.Array:
    """One array of the parts, in their type: concatenate alone undoes big-endian byte order."""
    joined: da.Array = parts[0] if len(parts) == 1 else da.concatenate(parts)
    return joined if joined.dtype == parts[0].dtype else joined.astype(parts[0].dtype)


def _location(source: Any, storage_options: Any) -> Location:
    try:
        url = os.fsdecode(source)
    except TypeError:
        raise InputError(
            f"source must be a path or URL, got {type(source).__name__}; arrays and DataFrames "
            "need no opening"
        ) from None
    if not url:
        raise InputError("source must be a path or URL, got an empty string; give one")
    if not isinstance(storage_options, Mapping | None):
        kind = type(storage_options).__name__
        raise InputError(f"storage_options must map names to values, got {kind}; pass a dict")
    return Location(url, dict(storage_options or {}))


def _names(what: str, given: Any) -> tuple[str, ...]:
    names = tuple(given) if isinstance(given, Iterable) else (None,)
    if all(isinstance(name, str) for name in names):
        return names
    raise InputError(f"{what} must be a list of names, got {given!r:.60}; give names")


@contextmanager
def _clear_errors(location: Location) -> Iterator[None]:
    """Whatever goes wrong ends in one sentence without secrets."""
    try:
        yield
    except InputError as error:
        raise InputError(_clean(location, str(error))) from None
    except Exception as error:
        raise InputError(_clean(location, str(unreadable(location.url, error)))) from None


def _clean(location: Location, text: str) -> str:
    """A text without secrets; cut only then, since half a secret would not be found."""
    text = location.clean(text.replace(location.url, _shown(location)))
    if _is_web(location):
        text = _QUERY.sub("", text)
    half = _LONGEST_ERROR // 2
    return text if len(text) <= _LONGEST_ERROR else f"{text[:half]} … {text[-half:]}"


def _shown(location: Location) -> str:
    """The location as users may see it: a signature in a web address is a credential too."""
    return location.shown.partition("?")[0] if _is_web(location) else location.shown


def _is_web(location: Location) -> bool:
    return location.path is None and "http" in location.url


def _found(location: Location) -> Location:
    """The location for a worker, which may have another working directory."""
    system, path = open_filesystem(location)
    # another process may have written since the listing was remembered
    system.invalidate_cache()
    if not system.exists(path):
        raise InputError(f"source '{location.url}' does not exist; check the path")
    return location.resolved()


def _open(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: tuple[str, ...],
    several: bool,
    complete: bool,
) -> Dataset:
    """The reader that fits what is there."""
    system, path = open_filesystem(location)
    name = path.partition("?")[0] if _is_web(location) else path
    if name.endswith(".npz"):
        return _open_npz(location, features, labels, carry)
    if name.endswith(".npy"):
        return _open_npy(location, features, labels, carry)
    is_file = system.isfile(path)
    is_parquet = is_file and name.endswith((".parquet", ".parq", ".pq"))
    if not is_file and any(system.exists(f"{path.rstrip('/')}/{file}") for file in ZARR_FILES):
        from dask_distill.sources_zarr import open_zarr

        return open_zarr(location, features, labels, carry, complete=complete)
    if is_parquet or not is_file:
        from dask_distill.sources_parquet import open_parquet

        named: list[str] | str | bool | None = labels
        if several and isinstance(labels, str) and labels:
            named = _patterns(labels, "labels")
        return open_parquet(location, _patterns(features), named, carry)
    raise InputError(
        "source must be a zarr group, a parquet file or folder, or an .npy or .npz file, got "
        f"'{location.url}'; convert it, or check the path"
    )


def _patterns(features: str | Sequence[str] | None, what: str = "features") -> list[str] | None:
    if features is None:
        return None
    # a list may hold names with commas, and with blanks at their ends
    given = [t.strip() for t in features.split(",")] if isinstance(features, str) else features
    patterns = [text for text in given if text.strip()]
    if not patterns:
        raise InputError(f"{what} must name at least one column, got none; name some")
    return patterns


def _open_npy(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: tuple[str, ...],
) -> Dataset:
    """Features in one .npy, labels in another."""
    if features is not None or carry:
        raise InputError(
            "features and carry name arrays of a group, got a single .npy; put several arrays "
            "into an .npz or a zarr group"
        )
    dataset = Dataset(_lazy(_npy(location)), sources=(location.url,))
    if not isinstance(labels, str) or not labels:
        return dataset
    other = _location(labels, location.options)
    with _clear_errors(other):
        other = _found(other)
        array = _lazy(_npy(other))
    return replace(dataset, labels=array, sources=(location.url, other.url))


def _open_npz(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: tuple[str, ...],
) -> Dataset:
    system, path = open_filesystem(location)
    X = one_name(features, "X", "features")
    with system.open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
        y = labels if isinstance(labels, str) else ("y" if labels is None and "y" in there else "")
        named = {"features": X} | {f"carry {name}": name for name in carry}
        arrays = {}
        for what, name in (named | ({"labels": y} if y else {})).items():
            if name not in there:
                raise missing_name(what, name, there, location.url)
            arrays[what] = _lazy(_member(location, file, archive, f"{name}.npy"))
    return Dataset(
        arrays["features"],
        arrays.get("labels"),
        {name: arrays[f"carry {name}"] for name in carry},
        feature_name=X,
        label_name=y or "y",
        sources=(location.url,),
    )


@dataclass(frozen=True)
class _Stored:
    """Where the values of one array lie: from a byte of a file on, or packed in an archive."""

    location: Location
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    member: str | None = None

    @property
    def mapped(self) -> bool:
        return self.location.path is not None and self.member is None

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize


def _npy(location: Location) -> _Stored:
    system, path = open_filesystem(location)
    with system.open(path, "rb") as file:
        shape, fortran, dtype = _header(file, location)
        stored = _Stored(location, file.tell(), shape, dtype, fortran)
    _refuse_short(stored, system.size(path))
    return stored


def _member(location: Location, file: Any, archive: zipfile.ZipFile, name: str) -> _Stored:
    """An array of an .npz: packed ones are read as a whole, others from where they lie."""
    entry = archive.getinfo(name)
    with archive.open(entry) as packed:
        shape, fortran, dtype = _header(packed, location)
        header = packed.tell()
    whole = _Stored(location, header, shape, dtype, fortran, name.removesuffix(".npy"))
    _refuse_short(whole, entry.file_size)
    if entry.compress_type != zipfile.ZIP_STORED:
        return whole
    file.seek(entry.header_offset)
    _, name_size, extra_size = struct.unpack(_ZIP_ENTRY, file.read(struct.calcsize(_ZIP_ENTRY)))
    start = entry.header_offset + struct.calcsize(_ZIP_ENTRY) + name_size + extra_size
    return replace(whole, offset=start + header, member=None)


def _header(file: Any, location: Location) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    headers = np.lib.format
    old = headers.read_magic(file) == (1, 0)
    read = headers.read_array_header_1_0 if old else headers.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise InputError(
            f"source '{location.url}' must hold no object arrays: they would be unpickled; save "
            "numbers or fixed-width text"
        )
    if not shape or min(shape) < 0:
        raise InputError(
            f"source '{location.url}' must hold arrays with rows, got shape {shape}; save them "
            "as (n, d)"
        )
    return shape, fortran, dtype


def _refuse_short(stored: _Stored, size: int) -> None:
    needed = stored.offset + stored.shape[0] * stored.row_bytes
    if size < needed:
        raise InputError(
            f"source '{stored.location.url}' must hold {needed} bytes for shape {stored.shape}, "
            f"got {size}; check that it is complete"
        )


def _lazy(stored: _Stored) -> da.Array:
    """A dask array whose tasks read rows; those of a packed or column-wise file read it whole."""
    n = stored.shape[0]
    if 0 in stored.shape:
        return from_array(np.empty(stored.shape, stored.dtype))
    rows = chunk_rows(stored.row_bytes, n)
    whole = not stored.mapped and (stored.member is not None or stored.fortran)
    step = n if whole else rows
    parts = []
    for start in range(0, n, step):
        stop = min(start + step, n)
        shape = (stop - start, *stored.shape[1:])
        reader = _WholeFile(stored) if whole else _Rows(stored, start, stop)
        values = delayed(reader, pure=False, traverse=False)()
        parts.append(da.from_delayed(values, shape, dtype=stored.dtype))
    joined = join_rows(parts)
    return joined.rechunk({0: rows}, method="tasks") if whole else joined


@dataclass(frozen=True)
class _WholeFile:
    """Reads all rows of a stored array."""

    stored: _Stored

    def __call__(self) -> npt.NDArray[np.generic]:
        return _read(self.stored, 0, self.stored.shape[0])


@dataclass(frozen=True)
class _Rows(RowReader):
    """Reads rows of a stored array from where they lie."""

    stored: _Stored
    start: int
    stop: int

    def __call__(self) -> npt.NDArray[np.generic]:
        return _read(self.stored, self.start, self.stop)

    def part(self, start: int, stop: int) -> "_Rows":
        """Rows from ``start`` to ``stop`` of these."""
        return replace(self, start=self.start + start, stop=self.start + stop)

    def followed_by(self, other: RowReader) -> "_Rows | None":
        """Both, where the others come next in the same array."""
        if not isinstance(other, _Rows) or other != replace(self, start=self.stop, stop=other.stop):
            return None
        return replace(self, stop=other.stop)


def _read(stored: _Stored, start: int, stop: int) -> npt.NDArray[np.generic]:
    """Rows of a stored array; runs on a worker."""
    with reading(stored.location):
        return _rows(stored, start, stop)


def _rows(stored: _Stored, start: int, stop: int) -> npt.NDArray[np.generic]:
    system, path = open_filesystem(stored.location)
    if stored.mapped:
        order: Literal["F", "C"] = "F" if stored.fortran else "C"
        mapped = np.memmap(path, stored.dtype, "r", stored.offset, stored.shape, order)
        # parts of an archive may lie on odd addresses
        return np.require(mapped[start:stop].view(np.ndarray), requirements=["C", "A"])
    with system.open(path, "rb") as file:
        if stored.member is not None:
            with np.load(file, allow_pickle=False) as archive:
                return np.ascontiguousarray(archive[stored.member])
        file.seek(stored.offset + start * stored.row_bytes)
        data = file.read((stop - start) * stored.row_bytes)
    flat: npt.NDArray[np.generic] = np.frombuffer(data, stored.dtype)
    shape = (stop - start, *stored.shape[1:])
    return np.ascontiguousarray(flat.reshape(shape, order="F" if stored.fortran else "C"))
