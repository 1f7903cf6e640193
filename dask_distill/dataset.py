"""A data set: arrays that share the row axis, checked as far as metadata goes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dask.array as da
import numpy as np

from dask_distill.errors import InputError

_CHUNK_BYTES = 16 * 2**20
_RESERVED = ("index", "weight", "score")


@dataclass(frozen=True)
class Dataset:
    """Features, labels and carried arrays of the same rows.

    Attributes
    ----------
    features : (n, d) or (n, ...) dask array
        Known chunks, one chunk along every axis but the first.
    labels : (n,) dask array or None
    carry : dict of (n, ...) dask arrays
    feature_name, label_name : str
        Names in the output.
    columns : tuple of str or None
        Names of the feature columns, where the source has them.
    sources : tuple of str
        Paths and URLs that are read from.
    """

    features: da.Array
    labels: da.Array | None = None
    carry: dict[str, da.Array] = field(default_factory=dict)
    feature_name: str = "X"
    label_name: str = "y"
    columns: tuple[str, ...] | None = None
    sources: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.features.shape[0])

    @property
    def d(self) -> int:
        """Features of a row, all axes but the first flattened."""
        return int(np.prod(self.features.shape[1:], dtype=np.int64))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's features and label in memory."""
        label = 0 if self.labels is None else self.labels.dtype.itemsize
        return self.d * self.features.dtype.itemsize + label

    @property
    def nbytes(self) -> int:
        """Bytes of all features and labels in memory."""
        return self.n * self.row_bytes

    def __repr__(self) -> str:
        labels = "no labels" if self.labels is None else f"labels {self.labels.dtype}"
        shape = " × ".join(f"{size:,}" for size in self.features.shape)
        return f"Dataset({shape} {self.features.dtype}, {labels}, {len(self.carry)} carried)"


def as_dataset(
    features: Any, labels: Any = None, *, carry: Mapping[str, Any] | None = None
) -> Dataset:
    """Bring arrays of any accepted kind into a `Dataset`, without computing.

    Parameters
    ----------
    features : array, DataFrame or Dataset
        NumPy and dask arrays, pandas and dask DataFrames, xarray objects, nested lists.
        With a `Dataset`, labels and carry given here replace its own.
    labels : (n,) array or Series, optional
    carry : mapping of (n, ...) arrays, optional

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        For shapes, types or lengths that cannot be used.
    """
    if isinstance(features, Dataset):
        base = features
    else:
        columns = _numeric_columns(features)
        base = Dataset(_one_row_axis(_as_dask(features, "features")), columns=columns)
    if labels is not None:
        base = replace(base, labels=_as_dask(labels, "labels"))
    if carry is not None:
        arrays = {name: _one_row_axis(_as_dask(a, f"carry {name}")) for name, a in carry.items()}
        base = replace(base, carry=arrays)
    return check(base)


def check(dataset: Dataset) -> Dataset:
    """Refuse what metadata shows to be unusable.

    Raises
    ------
    InputError
    """
    features, labels = dataset.features, dataset.labels
    if features.dtype.kind not in "biuf":
        raise InputError(
            f"features must be numbers, got dtype {features.dtype}; encode or leave out what is "
            "not a number"
        )
    if features.ndim < 2:
        raise InputError(
            f"features must have rows and columns, got shape {features.shape}; for one feature "
            "use reshape(-1, 1)"
        )
    if dataset.n == 0:
        raise InputError(f"features must have at least one row, got shape {features.shape}")
    if dataset.d == 0:
        raise InputError(f"features must have at least one column, got shape {features.shape}")
    if labels is not None:
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise InputError(
                f"labels must have one value a row, got shape {labels.shape}; for one-hot labels "
                "pass argmax(axis=1)"
            )
        if labels.dtype.kind not in "biufUOT":
            raise InputError(
                f"labels must be ints or strings, got dtype {labels.dtype}; convert them"
            )
        _same_length("labels", labels, dataset.n)
    for name, array in dataset.carry.items():
        _check_name(name, dataset, labels is not None)
        _same_length(f"carry {name}", array, dataset.n)
    return replace(dataset, labels=labels)


def from_array(array: Any) -> da.Array:
    """Wrap an array with row access in chunks of about 16 MiB, without hashing its content."""
    row = max(1, int(np.prod(array.shape[1:], dtype=np.int64)) * max(1, array.dtype.itemsize))
    rows = max(1, min(array.shape[0] or 1, _CHUNK_BYTES // row))
    return da.from_array(array, chunks=(rows, *array.shape[1:]), name=False)


def _as_dask(values: Any, name: str) -> da.Array:
    """Any accepted kind of array as a dask array with known chunks."""
    # xarray objects hold the array that we want, DataFrames and Series are told by their names
    kind = f"{type(values).__module__.split('.')[0]}.{type(values).__name__}"
    if kind in ("xarray.DataArray", "xarray.Variable"):
        values = values.data
    elif hasattr(values, "to_dask_array"):
        values = values.to_dask_array(lengths=True)
    elif kind in ("pandas.DataFrame", "pandas.Series"):
        values = _pandas_values(values)
    if isinstance(values, da.Array):
        if any(np.isnan(size) for axis in values.chunks for size in axis):
            values = values.compute_chunk_sizes()
        return values
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"{name} must be an array, got rows that differ: {error}") from None
    if array.ndim == 0:
        raise InputError(f"{name} must be an array, got {type(values).__name__}")
    return from_array(array)


def _pandas_values(values: Any) -> Any:
    """NumPy values; text as plain objects, whatever pandas holds it in."""
    if values.ndim == 1 and values.dtype.kind not in "biufcmM":
        return values.to_numpy(dtype=object)
    return values.to_numpy()


def _numeric_columns(features: Any) -> tuple[str, ...] | None:
    """Names of a DataFrame's columns, which must all be numbers; None for arrays."""
    if not hasattr(features, "columns") or not hasattr(features, "dtypes"):
        return None
    types = {str(name): kind for name, kind in features.dtypes.items()}
    other = {n: str(k) for n, k in types.items() if getattr(k, "kind", "O") not in "biuf"}
    if other:
        listed = ", ".join(f"{name} ({kind})" for name, kind in list(other.items())[:10])
        raise InputError(
            f"features must be numbers, got columns {listed}; encode them, or leave them out"
        )
    return tuple(types)


def _one_row_axis(array: da.Array) -> da.Array:
    """One chunk along every axis but the first."""
    if all(len(sizes) == 1 for sizes in array.chunks[1:]):
        return array
    return array.rechunk(dict.fromkeys(range(1, array.ndim), -1), method="tasks")


def _same_length(name: str, array: da.Array, n: int) -> None:
    if array.ndim == 0 or array.shape[0] != n:
        found = array.shape[0] if array.ndim else "a scalar"
        raise InputError(f"{name} must have as many rows as features ({n}), got {found}")


def _check_name(name: str, dataset: Dataset, labelled: bool) -> None:
    taken = [*_RESERVED, dataset.feature_name, *([dataset.label_name] if labelled else [])]
    if name in taken:
        raise InputError(f"carry must not be named like {', '.join(taken)}, got {name!r}; rename")
    if not name or name.startswith((".", "__")) or "/" in name or "\\" in name or "\0" in name:
        raise InputError(f"carry must have plain names, got {name!r}; rename it")
