"""Some rows of what another reader has given of the same source, as what it is."""

from collections.abc import Callable
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.delayed import delayed

from dask_distill.data.arrays import known_chunks
from dask_distill.data.frames_lazy import partitions_of
from dask_distill.data.objects import home_of
from dask_distill.data.table import Rows, rows_of_table
from dask_distill.errors import InputError


def rows_in(values: Any, indices: Rows, n: int) -> Any:
    """Rows by their numbers.

    Parameters
    ----------
    values : frame, table, Series or array with n rows
        Of pandas, polars, Arrow, dask, NumPy, or Hugging Face's `datasets`.
    indices : (k,) int64 array, ascending
    n : int
        Rows that they were counted in.

    Returns
    -------
    The same kind, with k rows; lazy where ``values`` is.

    Raises
    ------
    InputError
        Of another number of rows, or a kind that rows cannot be taken of.

    Examples
    --------
    >>> rows_in(np.array(["a", "b", "c"]), np.array([0, 2]), 3)
    array(['a', 'c'], dtype='<U1')
    """
    if isinstance(values, da.Array):
        known = known_chunks(values)
        _check(known.shape[0] if known.ndim else None, n)
        return known[indices]
    if hasattr(type(values), "__dask_graph__") and hasattr(values, "to_delayed"):
        return _of_dask_frame(values, indices, n)
    take = _KINDS.get(home_of(values))
    if take is None or not hasattr(type(values), "__len__") or isinstance(values, np.generic):
        kind = f"{type(values).__module__.partition('.')[0]}.{type(values).__name__}"
        raise InputError(
            "frame must be of pandas, polars, Arrow, dask, NumPy or Hugging Face datasets, got "
            f"{kind.removeprefix('builtins.')}; collect it, or make one of it"
        )
    _check(None if isinstance(values, np.ndarray) and not values.ndim else len(values), n)
    return take(values, indices)


def _check(rows: int | None, n: int) -> None:
    if rows != n:
        raise InputError(
            f"frame must have the {n:,} rows that were selected from, in their order, got "
            f"{'one value' if rows is None else f'{rows:,} rows'}; read all of the same source"
        )


def _of_dask_frame(frame: Any, indices: Rows, n: int) -> Any:
    """Partitions with rows that are taken: counted first, since frames do not know their rows."""
    import dask.dataframe as dd

    partitions = partitions_of(frame)
    lengths = [delayed(len, pure=False, traverse=False)(one) for one in partitions]
    edges = np.cumsum([0, *dask.compute(*lengths)])
    _check(int(edges[-1]), n)
    cuts = np.searchsorted(indices, edges)
    parts = [
        delayed(_of_pandas, pure=False, traverse=False)(one, indices[low:high] - start)
        for one, low, high, start in zip(partitions, cuts, cuts[1:], edges, strict=False)
        if low < high
    ]
    return dd.from_delayed(parts, meta=frame._meta, verify_meta=False)


def _of_pandas(values: Any, indices: Rows) -> Any:
    # an index has no iloc
    return values.iloc[indices] if hasattr(values, "iloc") else values.take(indices)


def _of_arrow(values: Any, indices: Rows) -> Any:
    import pyarrow as pa

    if isinstance(values, pa.Table):
        return rows_of_table(values, indices)
    return values.take(pa.array(indices))


def _of_numpy(values: Any, indices: Rows) -> Any:
    return values[indices]


def _of_datasets(values: Any, indices: Rows) -> Any:
    return values.select(indices)


_KINDS: dict[str, Callable[[Any, Rows], Any]] = {
    "pandas": _of_pandas,
    "polars": _of_numpy,
    "pyarrow": _of_arrow,
    "numpy": _of_numpy,
    "datasets": _of_datasets,
}
