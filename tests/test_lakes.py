"""Tables of lake formats, as their own libraries write them, are refused by name."""

import warnings
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dask_distill import InputError, open_dataset

TABLE = pa.table({"a": np.arange(90.0), "b": np.arange(90.0) % 7, "y": np.arange(90) % 3})


def delta(folder):
    """With class 2 deleted: the folder still has its rows."""
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake(str(folder), TABLE, partition_by=["y"])
    deltalake.DeltaTable(str(folder)).delete("a < 30")


def iceberg(folder):
    pytest.importorskip("pyiceberg")
    from pyiceberg.catalog.sql import SqlCatalog

    home = folder.parent
    catalog = SqlCatalog("c", uri=f"sqlite:///{home}/c.db", warehouse=f"file://{home}/house")
    catalog.create_namespace("n")
    table = catalog.create_table("n.t", schema=TABLE.schema, location=f"file://{folder}")
    table.append(TABLE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.delete("y = 2")
    # Python 3.13 warns of connections that nobody closes
    catalog.close()


def hudi(folder):
    """Its library needs a JVM: the folder as its specification has it."""
    (folder / ".hoodie" / "timeline").mkdir(parents=True)
    (folder / ".hoodie" / "hoodie.properties").write_text("hoodie.table.name=t\n")
    pq.write_table(TABLE, folder / "a_0-1-0_2024.parquet")


def lance(folder):
    library = pytest.importorskip("lance")
    library.write_dataset(TABLE, str(folder))


TABLES = {"Delta": delta, "Iceberg": iceberg, "Hudi": hudi, "Lance": lance}


@pytest.fixture(params=TABLES)
def table(request, tmp_path):
    folder = tmp_path / "house" / "table"
    folder.parent.mkdir()
    TABLES[request.param](folder)
    return request.param, folder


def test_open_dataset__a_table_is_refused_by_name(table):
    name, folder = table
    with pytest.raises(InputError, match=rf"an? {name} table.* rows that the table no longer has"):
        open_dataset(folder)


def test_open_dataset__a_folder_of_tables_is_refused(table):
    name, folder = table
    with pytest.raises(InputError, match=f"{name} table"):
        open_dataset(folder.parent)


def test_open_dataset__a_part_of_a_table_is_refused(table):
    name, folder = table
    files = sorted(folder.rglob("*.parquet"))
    for part in {*files, *(file.parent for file in files)}:
        with pytest.raises(InputError, match=f"{name} table"):
            open_dataset(part)


def test_open_dataset__a_table_on_another_file_system_is_refused(table):
    name, folder = table
    memory = fsspec.filesystem("memory")
    memory.put(f"{folder}/", "/lake/table/", recursive=True)
    try:
        with pytest.raises(InputError, match=f"{name} table"):
            open_dataset("memory://lake/table")
    finally:
        memory.rm("/lake", recursive=True)


def test_open_dataset__a_folder_that_is_only_named_like_a_log_is_read(tmp_path):
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "readme.json").write_text("{}")
    (tmp_path / "rows" / "_versions").mkdir(parents=True)
    pq.write_table(TABLE, tmp_path / "rows" / "a.parquet")
    assert open_dataset(tmp_path / "rows").n == 90
    assert open_dataset(Path(tmp_path)).n == 90
