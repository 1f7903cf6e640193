"""A selected table as a dask DataFrame: pandas' types where they lose nothing, or Arrow's."""

import sys
from datetime import date, time
from decimal import Decimal
from pathlib import Path

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings

from dask_distill import InputError, distill, open_coreset
from dask_distill.data.arrow_columns import plain_column
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputWarning

sys.path.insert(0, str(Path(__file__).parent))
from arrow_tables import in_parts, plain, same, tables

ROWS = 60
COLUMNS = {
    "whole": (pa.array(range(ROWS), pa.int16()), "int16"),
    "holes": (pa.array([None, 2**60 + 1] * 30, pa.int64()), "int64[pyarrow]"),
    "share": (pa.array([None, 0.5] * 30), "float64"),
    "flag": (pa.array([True, False] * 30), "bool"),
    "maybe": (pa.array([True, None] * 30), "bool[pyarrow]"),
    "text": (pa.array(["a", None] * 30), "str"),
    "seen": (pa.array([None, 10**15] * 30, pa.timestamp("us", "UTC")), "datetime64[us, UTC]"),
    "span": (pa.array([None, 5] * 30, pa.duration("s")), "timedelta64[s]"),
    "day": (pa.array([date(1500, 1, 1), None] * 30), "date32[day][pyarrow]"),
    "hour": (pa.array([time(1), None] * 30), "time64[us][pyarrow]"),
    "price": (pa.array([Decimal("1.10"), None] * 30), "decimal128(3, 2)[pyarrow]"),
    "kind": (pa.array(["x", "y", None] * 20).dictionary_encode(), "category"),
    "at": (pa.array([{"x": 1}, None] * 30), "struct<x: int64>[pyarrow]"),
    "words": (pa.array([[1, 2], None, []] * 20), "list<item: int64>[pyarrow]"),
    "file": (pa.array([b"a", None] * 30), "binary[pyarrow]"),
    "nothing": (pa.nulls(ROWS), "null[pyarrow]"),
}
TABLE = pa.table({name: values for name, (values, _) in COLUMNS.items()})


def as_arrow(series, kind):
    """A column of a frame as Arrow has it."""
    if isinstance(series.dtype, pd.ArrowDtype):
        return series.array.__arrow_array__()
    return pa.chunked_array([pa.array(series, kind, from_pandas=True)])


def selected(table, size=25, rows=20, **known):
    features = da.from_array(np.arange(2.0 * len(table)).reshape(len(table), 2))
    dataset = Dataset(features=features, table=in_parts(table, size, **({"known": True} | known)))
    return distill(dataset, size=rows, strategy="random")


def test_to_dataframe__of_a_table_has_its_columns_with_all_that_they_say():
    coreset = selected(TABLE)
    lazy = coreset.to_dataframe()
    assert isinstance(lazy, dd.DataFrame)
    assert list(lazy.columns) == [*COLUMNS, "_index", "_weight"]
    frame = lazy.compute()
    rows = TABLE.take(coreset.indices)
    for name, (_, kind) in COLUMNS.items():
        assert str(frame[name].dtype) == str(lazy[name].dtype) == kind, name
        expected = rows[name].cast(pa.string()) if name == "kind" else rows[name]
        found = as_arrow(
            frame[name].astype("str") if name == "kind" else frame[name], expected.type
        )
        assert same(found, expected), name
    assert np.array_equal(frame["_index"], coreset.indices)
    assert np.array_equal(frame["_weight"], coreset.weights)
    assert frame["_weight"].dtype == np.float32
    assert frame.index.tolist() == list(range(20))


def test_to_dataframe__where_nothing_tells_of_nulls_integers_keep_arrows_type():
    frame = selected(TABLE.select(["whole", "flag"]), known=False).to_dataframe()
    assert frame.dtypes.astype(str).tolist()[:2] == ["int16[pyarrow]", "bool[pyarrow]"]


def test_to_dataframe__of_many_partitions_is_the_same(monkeypatch):
    whole = selected(TABLE, rows=40).to_dataframe().compute()
    monkeypatch.setattr("dask_distill.subset.frames._PART_ROWS", 7)
    lazy = selected(TABLE, size=11, rows=40).to_dataframe()
    assert lazy.npartitions == 6
    assert lazy.divisions == (0, 7, 14, 21, 28, 35, 39)
    # a category that a partition lacks is none of its categories
    pd.testing.assert_frame_equal(lazy.compute(), whole, check_categorical=False)


@settings(max_examples=30, deadline=None)
@given(tables(8))
def test_to_dataframe__of_any_types_keeps_values(table):
    coreset = selected(table, size=3, rows=8)
    frame = coreset.to_dataframe().compute()
    for name in table.column_names:
        column = plain_column(table[name])
        kind = column.type
        if frame[name].dtype == "category":
            found = [None if value != value else value for value in frame[name]]
            assert found == column.to_pylist()
            continue
        made = as_arrow(frame[name], kind)
        if pa.types.is_floating(kind):
            # in pandas both are missing
            gaps = column.is_nan().fill_null(True).to_numpy()
            assert np.array_equal(frame[name].isna(), gaps)
            continue
        if frame[name].dtype.kind in "mM":
            # NumPy's least number is no time
            ticks = [None if tick == -(2**63) else tick for tick in plain(column)]
            assert plain(made) == ticks
            continue
        assert same(made, column), name


def test_to_dataframe__of_what_was_written_and_opened(tmp_path):
    flat = TABLE.drop_columns(["at", "words", "file"])
    coreset = selected(flat)
    coreset.to_zarr(tmp_path / "out.zarr")
    found = open_coreset(tmp_path / "out.zarr").to_dataframe().compute()
    pd.testing.assert_frame_equal(found, coreset.to_dataframe().compute())


def test_to_dataframe__columns_that_are_named_as_ours_get_an_underscore():
    table = pa.table({"_weight": range(ROWS), "a": range(ROWS)})
    coreset = selected(table)
    with pytest.warns(InputWarning, match="'_weight' is written as '_weight_'") as told:
        frame = coreset.to_dataframe()
    assert told[0].filename == __file__
    assert list(frame.columns) == ["_weight_", "a", "_index", "_weight"]


def test_to_dataframe__names_for_features_are_refused_for_a_table():
    with pytest.raises(InputError, match="columns must not be given for a table"):
        selected(TABLE).to_dataframe(columns=["a"])
