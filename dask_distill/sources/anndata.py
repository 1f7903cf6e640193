"""Arrays that AnnData and its kin keep as groups: sparse matrices, categories, values with gaps.

Knows the format alone, `on-disk format` of AnnData, and reads it with zarr: rows of a sparse matrix
become dense block by block, and no matrix is whole in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import dask.array as da
import numpy as np
import numpy.typing as npt
import zarr
from dask.delayed import delayed
from scipy import sparse

from dask_distill.data.arrays import from_array
from dask_distill.data.reader import RowReader
from dask_distill.data.rows import chunk_rows, join_rows
from dask_distill.errors import InputError
from dask_distill.sources.members import encoding_of
from dask_distill.sources.stored import open_stored, refuse_objects
from dask_distill.storage.location import Location, reading

# what each encoding is made of
PARTS = {
    "csr_matrix": ("data", "indices", "indptr"),
    "categorical": ("codes", "categories"),
    "nullable-integer": ("values", "mask"),
    "nullable-boolean": ("values", "mask"),
    "nullable-string-array": ("values", "mask"),
}


def lazy_encoded(
    location: Location, group: zarr.Group, name: str, what: str, complete: bool
) -> da.Array:
    """Rows of an encoded group: numbers of a sparse matrix, or labels.

    Parameters
    ----------
    location : Location
        Of the group.
    group : zarr group
    name : str
    what : str
        What it is wanted for.
    complete : bool
        Whether a chunk that is missing is an error.

    Returns
    -------
    (n, d) dask array of numbers, or (n,) of objects in which None is what is missing.

    Raises
    ------
    InputError
    """
    kind = encoding_of(group)
    is_matrix = kind == "csr_matrix"
    if kind not in PARTS or is_matrix != (what == "features"):
        raise _refusal(kind, name, what)
    parts = parts_of(group, name, what)
    if is_matrix:
        return _lazy_matrix(location, group, parts, name, complete)
    if what != "labels" and _values_of(parts).dtype.kind not in "UT":
        raise InputError(
            f"{what} must be text where values may be missing, got {name!r}, {kind} of "
            f"{_values_of(parts).dtype}; carry {name}/{PARTS[kind][0]}"
        )
    reader = _Labels(location=location, complete=complete, kind=kind)
    return _lazy(reader, parts[PARTS[kind][0]].shape[0], 8)


def lazy_codes(location: Location, array: Any, complete: bool) -> da.Array:
    """The codes of categories, in which -1 stands for what is missing: None, and no class."""
    return _lazy(_Labels(location=location, complete=complete, kind="codes"), array.shape[0], 8)


def _refusal(kind: str, name: str, what: str) -> InputError:
    if kind == "csc_matrix":
        way_out = "it is stored by columns: store it by rows, e.g. with tocsr()"
    elif what == "features":
        way_out = "encode it, or name an array of numbers"
    else:
        way_out = "store it as an array of one value a row"
    rule = "numbers of each row" if what == "features" else "one value a row"
    return InputError(f"{what} must be {rule}, got {name!r}, which is a {kind}; {way_out}")


def parts_of(group: zarr.Group, name: str, what: str) -> dict[str, Any]:
    """The arrays that an encoded group is made of.

    Raises
    ------
    InputError
    """
    kind = encoding_of(group)
    parts = {part: group.get(part) for part in PARTS.get(kind, ())}
    for part, array in parts.items():
        if not isinstance(array, zarr.Array) or array.ndim != 1:
            raise InputError(
                f"{what} must be complete, got {name!r}, a {kind}, without its array {part!r}; "
                "store it again"
            )
        refuse_objects(array, what)
    return parts


def _values_of(parts: Mapping[str, Any]) -> Any:
    return parts["categories"] if "categories" in parts else parts["values"]


def _lazy_matrix(
    location: Location, group: zarr.Group, parts: Mapping[str, Any], name: str, complete: bool
) -> da.Array:
    shape = group.attrs.get("shape")
    if not isinstance(shape, list) or parts["indptr"].shape != (shape[0] + 1,):
        raise InputError(
            f"features must be complete, got {name!r} of shape {shape!r:.60} with "
            f"{parts['indptr'].shape[0]:,} row pointers; store it again"
        )
    n, d = (int(size) for size in shape)
    dtype = parts["data"].dtype
    if n == 0:
        return from_array(np.empty((0, d), dtype))
    reader = _MatrixRows(location=location, complete=complete, d=d, dtype=dtype)
    return _lazy(reader, n, d * dtype.itemsize)


def _lazy(reader: Any, n: int, row_bytes: int) -> da.Array:
    if n == 0:
        return from_array(np.empty(0, object))
    step = chunk_rows(row_bytes, n)
    parts = []
    for start in range(0, n, step):
        run = replace(reader, start=start, stop=min(start + step, n))
        values = delayed(run, pure=False, traverse=False)()
        parts.append(da.from_delayed(values, (run.stop - start, *run.width), dtype=run.dtype))
    return join_rows(parts)


@dataclass(frozen=True, kw_only=True)
class _Run(RowReader):
    """Some rows of an encoded group, which a worker opens anew."""

    location: Location
    complete: bool
    start: int = 0
    stop: int = 0

    def part(self, start: int, stop: int) -> Any:
        """Rows from ``start`` to ``stop`` of these."""
        return replace(self, start=self.start + start, stop=self.start + stop)

    def followed_by(self, other: RowReader) -> Any:
        """Both, where the others come next in the same group."""
        if not isinstance(other, type(self)):
            return None
        if other != replace(self, start=self.stop, stop=other.stop):
            return None
        return replace(self, stop=other.stop)

    def _array(self, part: str) -> Any:
        return open_stored(self.location.child(part), complete=self.complete)


@dataclass(frozen=True, kw_only=True)
class _MatrixRows(_Run):
    """Reads rows of a sparse matrix that is stored by rows, and makes them dense."""

    d: int
    dtype: np.dtype[Any]

    @property
    def width(self) -> tuple[int, ...]:
        """Shape of a row."""
        return (self.d,)

    def __call__(self) -> npt.NDArray[np.generic]:
        with reading(self.location):
            ends = np.asarray(self._array("indptr")[self.start : self.stop + 1]).astype(np.int64)
            inside = slice(int(ends[0]), int(ends[-1]))
            data, columns = self._array("data")[inside], self._array("indices")[inside]
            if np.any(np.diff(ends) < 0) or len(data) != inside.stop - inside.start:
                raise ValueError("row pointers of a sparse matrix that do not ascend")
            if len(columns) and not 0 <= columns.min() <= columns.max() < self.d:
                raise ValueError(
                    f"columns of a sparse matrix that are not within 0 to {self.d - 1}"
                )
            shape = (self.stop - self.start, self.d)
            matrix = sparse.csr_array((data, columns, ends - ends[0]), shape=shape)
            rows: npt.NDArray[np.generic] = matrix.toarray().astype(self.dtype, copy=False)
            return rows


@dataclass(frozen=True, kw_only=True)
class _Labels(_Run):
    """Reads categories, or values with gaps, as objects; None is what is missing."""

    kind: str
    width: ClassVar[tuple[int, ...]] = ()
    dtype: ClassVar[np.dtype[Any]] = np.dtype(object)

    def __call__(self) -> npt.NDArray[np.generic]:
        run = slice(self.start, self.stop)
        with reading(self.location):
            if self.kind == "codes":
                codes = open_stored(self.location, complete=self.complete)[run]
                return _with_gaps(codes, codes < 0)
            if self.kind != "categorical":
                return _with_gaps(self._array("values")[run], self._array("mask")[run])
            codes, known = self._array("codes")[run], self._array("categories")[:]
            if len(codes) and codes.max() >= len(known):
                raise ValueError(f"codes of categories beyond the {len(known)} that there are")
            if not len(known):
                return np.full(len(codes), None)
            return _with_gaps(known[codes], codes < 0)


def _with_gaps(values: Any, gaps: Any) -> npt.NDArray[np.object_]:
    found: npt.NDArray[np.object_] = np.asarray(values).astype(object)
    found[gaps] = None
    return found
