"""What other libraries hold rows in, brought into a form that is known here, or refused.

The type is asked for first: NumPy would walk an unknown object for minutes, load a file whole, or
take the names of its members. None of these libraries is imported; who has an object of one has.
"""

import array
import collections
from collections.abc import Callable, Mapping
from typing import Any

import dask.array as da
import numpy as np

from dask_distill.data.packed import refuse_undecoded
from dask_distill.data.stores import not_an_array, of_h5py, of_zarr, rows_of_object
from dask_distill.errors import InputError

# taken as they are: `as_dask` knows them
FRAMES = ("dask", "pandas")
_PLAIN = (list, tuple, range, array.array, memoryview, collections.deque)
# text of a file that is read at a time
_OBJECT_ROWS = 2**18
_IN_MEMORY = ("torch", "jax", "jaxlib", "tensorflow", "mlx")


def known_form(values: Any, name: str) -> Any:
    """An object of any accepted kind as array, Series, frame or list; others are refused.

    Parameters
    ----------
    values : object
    name : str
        What it is given for.

    Returns
    -------
    NumPy or dask array, pandas or dask Series or frame, list.

    Raises
    ------
    InputError
        With the way to what is accepted.
    """
    home = home_of(values)
    if home in _CONVERTERS:
        return _CONVERTERS[home](values, name)
    if home == "dask" and not any(hasattr(type(values), part) for part in ("dtype", "dtypes")):
        raise not_an_array(name, values, "make a dask array or DataFrame of it")
    if home in FRAMES or isinstance(values, np.ndarray | np.generic | str | bytes | None):
        return values
    if isinstance(values, _PLAIN):
        return _plain(values, name)
    if hasattr(type(values), "__arrow_c_stream__"):
        return _arrow_capsule(values, name)
    if all(hasattr(values, part) for part in ("__array__", "shape", "dtype")):
        return _array_like(values, name, home)
    raise not_an_array(name, values, "pass NumPy or dask arrays, or a DataFrame")


def home_of(values: Any) -> str:
    """The package that a value's type, or the type it is derived from, comes from."""
    if isinstance(values, np.ndarray | np.generic):
        return "numpy"
    homes = [kind.__module__.partition(".")[0] for kind in type(values).__mro__]
    known = (*_CONVERTERS, *FRAMES)
    return next((home for home in homes if home in known), homes[0])


def _plain(values: Any, name: str) -> Any:
    """Lists and the like; of what they hold, too, the type is asked for."""
    for kind in set(map(type, values)):
        home = kind.__module__.partition(".")[0]
        if home in _CONVERTERS and home != "pyarrow":
            raise InputError(
                f"{name} must be an array, got a {type(values).__name__} of {home}.{kind.__name__};"
                " pass one array of all rows"
            )
    return values


def _array_like(values: Any, name: str, home: str) -> Any:
    """What says of itself that it is an array: at once if it is in memory, else rows by rows."""
    if home not in _IN_MEMORY:
        return rows_of_object(values, name, tuple(values.shape), np.dtype(values.dtype))
    try:
        return np.asarray(values)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise not_an_array(
            name, values, f"pass it as NumPy array, which it was not: {reason}"
        ) from None


# ---------------------------------------------------------------- tables


def _of_arrow(values: Any, name: str) -> Any:
    import pandas as pd
    import pyarrow as pa

    if isinstance(values, pa.RecordBatch):
        values = pa.Table.from_batches([values])
    if isinstance(values, pa.Table):
        if len(set(values.column_names)) < values.num_columns:
            raise InputError(f"{name} must have columns of different names, got one twice; rename")
        columns = [_plain_column(column, name) for column in values.columns]
        if any(isinstance(column, np.ndarray) for column in columns):
            if len(columns) == 1:
                return columns[0]
            wide = [
                f"{field.name} ({field.type})"
                for field, column in zip(values.schema, columns, strict=True)
                if isinstance(column, np.ndarray)
            ]
            raise InputError(
                f"{name} must be columns of one value a row, got {', '.join(wide[:10])}; pass such "
                "a column alone, or leave it out"
            )
        # as a list of Series: a dict would take the last of those that share a name
        return pd.DataFrame(dict(zip(values.column_names, columns, strict=True)), copy=False)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return _plain_column(values, name)
    raise not_an_array(name, values, "read it to a table, or open its files with open_dataset")


def _plain_column(column: Any, name: str) -> Any:
    """A column of Arrow's as Series; rows of a fixed number of numbers as an array."""
    import pandas as pd
    import pyarrow as pa

    chunked = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
    kind = chunked.type
    if isinstance(kind, pa.BaseExtensionType):
        chunked = pa.chunked_array([c.storage for c in chunked.chunks], kind.storage_type)
        kind = chunked.type
    if pa.types.is_dictionary(kind):
        chunked, kind = chunked.cast(kind.value_type), kind.value_type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        chunked = _of_one_length(chunked, name)
        kind = chunked.type
    if pa.types.is_fixed_size_list(kind):
        inner = chunked.combine_chunks()
        flat = inner.flatten()
        if inner.null_count or flat.null_count:
            raise InputError(f"{name} must have no nulls in lists, got some; fill them")
        return flat.to_numpy(zero_copy_only=False).reshape(len(chunked), kind.list_size)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or "string_view" in str(kind):
        return chunked.cast(pa.large_string()).to_pandas()
    if pa.types.is_date(kind):
        chunked = chunked.cast(pa.timestamp("s"))
    return pd.Series(pd.arrays.ArrowExtensionArray(chunked))


def _of_one_length(lists: Any, name: str) -> Any:
    """Lists of numbers as lists of a fixed size, such as embeddings are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    inner, sizes = lists.type.value_type, pc.unique(pc.list_value_length(lists)).to_pylist()
    if not pa.types.is_primitive(inner) or pa.types.is_temporal(inner) or len(sizes) != 1:
        found = f"{lists.type}" + (f" of {len(sizes)} lengths" if len(sizes) > 1 else "")
        raise InputError(
            f"{name} must have as many numbers in every row, got {found}; make an array of one "
            "shape of it"
        )
    if sizes[0] is None:
        raise InputError(f"{name} must have no nulls in lists, got nulls alone; fill them")
    return lists.cast(pa.list_(inner, sizes[0]))


def _arrow_capsule(values: Any, name: str) -> Any:
    """What any library hands over by Arrow's protocol."""
    import pyarrow as pa

    try:
        table = pa.table(values)
    except (pa.ArrowException, TypeError, ValueError):
        try:
            return _of_arrow(pa.chunked_array(values), name)
        except (pa.ArrowException, TypeError, ValueError):
            raise not_an_array(name, values, "pass an Arrow table or a DataFrame") from None
    return _of_arrow(table, name)


def _of_polars(values: Any, name: str) -> Any:
    if not hasattr(type(values), "to_arrow"):
        raise not_an_array(name, values, "collect() it, or sink_parquet() and open_dataset that")
    return _of_arrow(values.to_arrow(), name)


def _of_datasets(values: Any, name: str) -> Any:
    """Of Hugging Face's: they are Arrow tables, whose rows may be picked from a file."""
    kind = type(values).__name__
    if kind == "Column" and hasattr(values.source, "with_format"):
        return _of_arrow(values.source.with_format("arrow")[values.column_name][:], name)
    if kind in ("DatasetDict", "IterableDatasetDict"):
        splits = ", ".join(repr(split) for split in values)
        raise not_an_array(name, values, f"pick one split of {splits}")
    if kind != "Dataset":
        raise not_an_array(name, values, "write it with to_parquet(), and open_dataset that")
    table = values.with_format("arrow")
    numbers = ("bool", "int", "uint", "float", "double", "halffloat")
    # before all of it is read
    odd = [f"{f.name} ({f.type})" for f in table[:1].schema if not str(f.type).startswith(numbers)]
    if odd and values.num_columns > 1:
        way_out = "pick columns of numbers with select_columns([...]), or one, e.g. data['label']"
        raise not_an_array(name, values, f"it has {', '.join(odd[:10])}: {way_out}")
    return _of_arrow(table[:], name)


# ---------------------------------------------------------------- what is refused by name


def _refused(way_out: str) -> Callable[[Any, str], Any]:
    def refuse(values: Any, name: str) -> Any:
        raise not_an_array(name, values, way_out)

    return refuse


def _of_xarray(values: Any, name: str) -> Any:
    """One variable, or a Dataset of columns: of variables of one number a row, the same rows."""
    kind = type(values).__name__
    # asked of the type: asking the object would load it
    if hasattr(type(values), "data") and values.dims:
        refuse_undecoded(values.attrs, values.dtype, name)
        return in_chunks(values)
    if name != "features" or kind != "Dataset":
        raise not_an_array(name, values, "pick one variable")
    columns = dict(values.data_vars)
    odd = [
        f"{column} ({variable.dtype}, {' x '.join(variable.dims) or 'one value'})"
        for column, variable in columns.items()
        if len(variable.dims) != 1 or variable.dtype.kind not in "biuf"
    ]
    rows = {str(variable.dims[0]) for variable in columns.values() if variable.dims}
    if odd or len(rows) != 1:
        found = ", ".join(odd[:10]) or f"rows along {', '.join(sorted(rows)) or 'nothing'}"
        raise InputError(
            f"features must be an array, or variables of one number a row, got an xarray {kind} "
            f"with {found}; pick one variable, or those, e.g. data[['a', 'b']]"
        )
    dtype = np.result_type(*(variable.dtype for variable in columns.values()))
    each = [_of_xarray(variable, name) for variable in columns.values()]
    lazy = [da.asarray(column).astype(dtype) for column in each]
    stacked: da.Array = da.stack(lazy, axis=1)
    return stacked


def in_chunks(values: Any) -> Any:
    """The array in an xarray object; one still in a file is opened lazily."""
    if not getattr(values, "variable", values)._in_memory and values.chunks is None:
        first, *others = values.dims
        # how large objects are dask does not guess
        rows = _OBJECT_ROWS if values.dtype.hasobject else "auto"
        values = values.chunk({first: rows, **dict.fromkeys(others, -1)})
    return values.data


_CONVERTERS: dict[str, Callable[[Any, str], Any]] = {
    "zarr": of_zarr,
    "h5py": of_h5py,
    "xarray": _of_xarray,
    "pyarrow": _of_arrow,
    "polars": _of_polars,
    "datasets": _of_datasets,
    "anndata": _refused("pass its X, and labels of its obs, e.g. data.X and data.obs['kind']"),
    "scipy": _refused("a sparse matrix is made dense with toarray(), or block by block with Dask"),
    "netCDF4": _refused("open it with xarray.open_dataset, and pass a variable of that"),
    "tables": _refused("open it with h5py, and pass a data set of that"),
    "cupy": _refused("bring it to the host with get()"),
}


def attributes_of(arrays: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What stores and xarray say of their arrays, and of a Dataset's columns, by name."""
    found: dict[str, dict[str, Any]] = {}
    for name, values in arrays.items():
        if columns_in(values) is not None:
            found |= attributes_of({str(column): values[column] for column in values.data_vars})
        elif home_of(values) in ("zarr", "h5py", "xarray") and values.attrs:
            found[name] = dict(values.attrs)
    return found


def columns_in(values: Any) -> tuple[str, ...] | None:
    """Names of the variables of an xarray Dataset, which are columns; None for others."""
    if home_of(values) == "xarray" and type(values).__name__ == "Dataset":
        return tuple(str(name) for name in values.data_vars)
    return None
