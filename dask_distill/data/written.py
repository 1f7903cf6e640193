"""What is written of a data set that is a table: which columns, and what beside them."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from dask_distill.data.dataset import Dataset
from dask_distill.data.table import Table
from dask_distill.errors import InputError
from dask_distill.storage.variables import LABELS


def with_written(dataset: Dataset, columns: str | Sequence[str]) -> Dataset:
    """Write some columns alone, beside labels and what is carried.

    Rows are selected by the same features: it is no matter whether these are written.

    Parameters
    ----------
    dataset : Dataset
        Of a table.
    columns : str or sequence of str
        Names, or globs; in a string, comma-separated.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        Where there is no such column, or no table.
    """
    if dataset.table is None:
        raise InputError(
            f"columns must be those of a table, got {columns!r:.60} for a source of arrays; name "
            "what is to be written beside features and labels with carry= / --carry"
        )
    label = None if dataset.labels is None else dataset.label_name
    return replace(dataset, table=some_columns(dataset.table, columns, label, dataset.carry))


def some_columns(
    table: Table, columns: str | Sequence[str], label: str | None, carry: Collection[str]
) -> Table:
    """Some columns of a table, beside the label and what is carried.

    Raises
    ------
    InputError
        Where there is no such column.
    """
    kept = {*carry, *([] if label is None else [label])}
    return table.select(columns, keep=kept & set(table.schema.names))


def beside_table(features: Any, labels: Any, carry: Collection[str] | None) -> Any:
    """What is selected from, with labels named so that no column of a table is in their place.

    Parameters
    ----------
    features : Dataset or other
        What is no `Dataset` of a table comes back as it is.
    labels : array or None
        Given instead of the labels in the data set.
    carry : collection of str or None
        Names of the arrays that are given.

    Raises
    ------
    InputError
        Where a carried array is named as a column.
    """
    if not isinstance(features, Dataset) or features.table is None:
        return features
    there = set(features.table.schema.names)
    taken = next((name for name in carry or () if name in there), None)
    if taken is not None:
        raise InputError(
            f"carry must not be named as a column of the table, got {taken!r}; the column is "
            "written in any case: leave it out, or rename it"
        )
    if labels is None or features.label_name not in there:
        return features
    name = LABELS
    while name in there or name in features.carry:
        name += "_"
    return replace(features, label_name=name)


def without_bytes_label(table: Table | None, label: str | None) -> Table | None:
    """A table for zarr: labels that are bytes are the text that they stand for, as an array.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from dask_distill.data.table import table_of_one
    >>> table = table_of_one(pa.table({"a": [1], "y": [b"cat"]}))
    >>> without_bytes_label(table, "y").schema.names
    ['a']
    """
    if table is None or label not in table.schema.names:
        return table
    import pyarrow as pa

    kind = table.schema.field(label).type
    bytes_tests = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
    if not any(test(kind) for test in bytes_tests) or len(table.schema.names) == 1:
        return table
    return table.select([name for name in table.schema.names if name != label])
