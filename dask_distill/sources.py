"""Opening data sets: zarr groups, parquet, .npy and .npz, local or by fsspec URL.

Opening reads metadata alone. Every task carries what it needs to read its part.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.dataset import Dataset, check, from_array
from dask_distill.errors import InputError
from dask_distill.store import Location

_CHUNK_BYTES = 16 * 2**20
_MOST_CHUNKS = 4096


def open_dataset(
    source: str | os.PathLike[str],
    *,
    features: str | Sequence[str] | None = None,
    labels: str | bool | None = None,
    carry: Sequence[str] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Open a data set without reading its rows.

    Parameters
    ----------
    source : path or URL
        A zarr group or array, a parquet file or folder, an .npy or .npz file.
    features : str or sequence of str, optional
        zarr and .npz: name of the array ("X" unless given). Parquet: a list of columns, also
        comma-separated, globs allowed; every numeric column that is not label or carried
        unless given.
    labels : str, optional
        zarr and .npz: name of the array ("y" where there is one). Parquet: a column ("y" or
        "label" where there is one). .npy: path of another .npy. False or "" for no labels.
    carry : sequence of str
        More arrays or columns to write with the selected rows.
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        Where the source, an array or a column is missing, or cannot be read.
    """
    location = Location(os.fspath(source), dict(storage_options or {}))
    _refuse_missing(location)
    name = location.url.rstrip("/")
    if name.endswith((".npy", ".npz")):
        return check(_open_numpy(location, features, labels, carry))
    if _is_zarr(location):
        from dask_distill.sources_zarr import open_zarr

        return check(open_zarr(location, features, labels, carry))
    if _holds_parquet(location):
        from dask_distill.sources_parquet import open_parquet

        return check(open_parquet(location, features, labels, carry))
    raise InputError(
        "source must be a zarr group, a parquet file or folder, or an .npy or .npz file, got "
        f"'{location.url}'"
    )


def open_filesystem(location: Location) -> tuple[Any, str]:
    """The fsspec file system of a location, and the path in it."""
    import fsspec

    return fsspec.core.url_to_fs(location.url, **location.options)  # type: ignore[no-any-return]


def one_name(names: str | Sequence[str] | None, default: str, what: str) -> str:
    """A single array name from what the user gave."""
    if names is None:
        return default
    if isinstance(names, str):
        return names
    if len(names) == 1:
        return names[0]
    raise InputError(f"{what} must name one array, got {list(names)}")


def missing_name(what: str, name: str, there: Sequence[str], source: str) -> InputError:
    """The error for an array or column that is not there."""
    listed = ", ".join(list(there)[:20]) + (", …" if len(there) > 20 else "")
    return InputError(f"{what} must be in '{source}', got {name!r}; there are: {listed or 'none'}")


def unreadable(source: str, error: Exception) -> InputError:
    """The error for a source whose metadata is broken."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return InputError(
        f"source '{source}' must be readable, got {type(error).__name__}: {first[:200]}; "
        "check that it is complete"
    )


def chunk_rows(row_bytes: int, n: int, unit: int = 1) -> int:
    """Rows of a Dask chunk: about 16 MiB, a multiple of the stored unit, not too many chunks."""
    rows = max(_CHUNK_BYTES // max(1, row_bytes), -(-n // _MOST_CHUNKS), 1)
    return max(1, rows // unit) * unit


def _refuse_missing(location: Location) -> None:
    if not location.url:
        raise InputError("source must be a path or URL, got an empty string")
    if location.path is not None:
        there = location.path.exists()
    else:
        try:
            system, path = open_filesystem(location)
            there = system.exists(path)
        except Exception as error:
            raise unreadable(location.url, error) from None
    if not there:
        raise InputError(f"source '{location.url}' does not exist; check the path")


def _is_zarr(location: Location) -> bool:
    system, path = open_filesystem(location)
    names = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
    return any(system.exists(f"{path.rstrip('/')}/{name}") for name in names)


def _holds_parquet(location: Location) -> bool:
    system, path = open_filesystem(location)
    if system.isfile(path):
        return path.endswith((".parquet", ".parq", ".pq"))
    return True


def _open_numpy(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: Sequence[str],
) -> Dataset:
    """An .npy with features, its labels in another; or an .npz with both."""
    if location.url.endswith(".npz"):
        arrays = _read_npz(location)
        names = list(arrays)
        X = one_name(features, "X", "features")
        y = labels if isinstance(labels, str) else ("y" if labels is None else "")
        wanted = {"features": X} | {f"carry {name}": name for name in carry}
        if isinstance(labels, str) and labels:
            wanted["labels"] = labels
        for what, name in wanted.items():
            if name not in arrays:
                raise missing_name(what, name, names, location.url)
        return Dataset(
            from_array(arrays[X]),
            from_array(arrays[y]) if y and y in arrays else None,
            {name: from_array(arrays[name]) for name in carry},
            feature_name=X,
            label_name=y or "y",
            sources=(location.url,),
        )
    if features is not None or carry:
        raise InputError(
            "features and carry name arrays of a group, got a single .npy; put several arrays "
            "into an .npz or a zarr group"
        )
    labelled = None
    sources = [location.url]
    if isinstance(labels, str) and labels:
        other = Location(labels, location.options)
        _refuse_missing(other)
        labelled = _open_npy(other)
        sources.append(labels)
    return Dataset(_open_npy(location), labelled, sources=tuple(sources))


def _read_npz(location: Location) -> dict[str, npt.NDArray[np.generic]]:
    """All arrays of an .npz; an object array is never unpickled."""
    system, path = open_filesystem(location)
    try:
        with system.open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise InputError(
                f"source '{location.url}' must hold no object arrays: they would be unpickled; "
                "save numbers or fixed-width text"
            ) from None
        raise unreadable(location.url, error) from None
    except Exception as error:
        raise unreadable(location.url, error) from None


def _open_npy(location: Location) -> da.Array:
    """A lazy array over one .npy; local files are mapped part by part."""
    system, path = open_filesystem(location)
    try:
        with system.open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
            shape, fortran, dtype = header.get(version[0], header[2])(file)
            offset = file.tell()
    except Exception as error:
        raise unreadable(location.url, error) from None
    if dtype.hasobject:
        raise InputError(
            f"source '{location.url}' must hold no object arrays: they would be unpickled; save "
            "numbers or fixed-width text"
        )
    if fortran or not shape or 0 in shape:
        # not in row order (or empty): there are no parts to read
        with system.open(path, "rb") as file:
            return from_array(np.load(file, allow_pickle=False))
    row = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
    rows = chunk_rows(row, shape[0])
    read = delayed(_read_npy, pure=False, traverse=False)
    parts = [
        da.from_delayed(
            read(location, offset + start * row, (min(rows, shape[0] - start), *shape[1:]), dtype),
            (min(rows, shape[0] - start), *shape[1:]),
            dtype=dtype,
        )
        for start in range(0, shape[0], rows)
    ]
    return da.concatenate(parts) if len(parts) > 1 else parts[0]


def _read_npy(
    location: Location, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> npt.NDArray[np.generic]:
    system, path = open_filesystem(location)
    count = int(np.prod(shape, dtype=np.int64))
    with system.open(path, "rb") as file:
        file.seek(offset)
        data = file.read(count * dtype.itemsize)
    return np.frombuffer(data, dtype, count).reshape(shape)
