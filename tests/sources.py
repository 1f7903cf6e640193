"""Sources: kinds of data as their own libraries write them, and what becomes of each.

Each case makes one in the current folder, of the rows ``X``, labels ``Y`` and row numbers, and is
either read, and then gives these back to the last bit, or refused with a sentence that names the
way. ``test_sources.py`` walks through them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pytest
import xarray as xr
import zarr

from dask_distill import distill

N = 240
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).round(3)
Y = np.arange(N) % 3
FRAME = pd.DataFrame(X, columns=list("abc")).assign(y=Y)


@dataclass(frozen=True)
class Source:
    """One kind of data: how it comes about, where it lies, what it is opened with."""

    make: Callable[[], Any]
    place: Any = "in"
    opened: dict[str, Any] = field(default_factory=dict)
    # what is selected from; X and Y, unless the kind has them otherwise
    features: Any = None
    labels: Any = None
    refused: str | None = None


def arrays(path="in", *, version=3, folder="", **options):
    def make():
        root = zarr.open_group(path, mode="w", zarr_format=version)
        group = root.require_group(folder) if folder else root
        for name, values in (("X", X), ("y", Y)):
            group.create_array(name, data=values, chunks=(50, *values.shape[1:]), **options)
        return root

    return make


def with_an_array_of_a_strange_type():
    root = arrays()()
    root.create_array("odd", data=np.zeros(N, np.float32), chunks=(50,))
    file = Path("in/odd/zarr.json")
    file.write_text(file.read_text().replace('"float32"', '"bfloat16"'))


def columns_of_a_group():
    root = zarr.open_group("in", mode="w")
    for name in FRAME:
        root.create_array(name, data=FRAME[name].to_numpy(), chunks=(50,))


def packed():
    data = xr.Dataset({"X": (("row", "column"), X), "y": (("row",), Y)})
    encoding = {"X": {"dtype": "int16", "scale_factor": 1e-3, "_FillValue": -1}}
    data.to_zarr("in", encoding=encoding, consolidated=False)


def packed_zip():
    arrays("plain")()
    with ZipFile("in.zip", "w", ZIP_STORED) as archive:
        for file in sorted(Path("plain").rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to("plain"))


def parts(*names, folder="in"):
    def make():
        Path(folder).mkdir()
        for name, rows in zip(names, np.array_split(np.arange(N), len(names)), strict=True):
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            FRAME.iloc[rows].to_parquet(file)

    return make


def drifting():
    Path("in").mkdir()
    half = FRAME.iloc[: N // 2], FRAME.iloc[N // 2 :]
    half[0].astype({"y": np.int32}).assign(note=1).to_parquet("in/0.parquet")
    half[1].assign(note="text").to_parquet("in/1.parquet")


def hive():
    table = pa.Table.from_pandas(FRAME.assign(part=np.arange(N) // 80), preserve_index=False)
    pa.dataset.write_dataset(
        table, "in", format="parquet", partitioning=["part"], partitioning_flavor="hive"
    )


def delta():
    deltalake = pytest.importorskip("deltalake")
    deltalake.write_deltalake("in", pa.Table.from_pandas(FRAME, preserve_index=False))


def lance():
    lance = pytest.importorskip("lance")
    lance.write_dataset(pa.Table.from_pandas(FRAME, preserve_index=False), "in")


def npz():
    np.savez("in.npz", X=X, y=Y)


def own(write):
    def make():
        coreset = distill(X, Y, size=N // 2, strategy="random")
        write(coreset)
        return coreset

    return make


NUMBERS = {"features": ["a", "b", "c"]}
# numbers that rows are compared by
AS_READ = {"opened": NUMBERS, "features": X.astype(np.float32), "labels": Y}

SOURCES = {
    "zarr 3": Source(arrays()),
    "zarr 2": Source(arrays(version=2)),
    "zarr, shards": Source(arrays(shards=None)),
    "zarr, group in a group": Source(
        arrays(folder="deep/down"),
        opened={"features": "deep/down/X", "labels": "deep/down/y"},
    ),
    "zarr, columns": Source(columns_of_a_group, opened={"features": "a,b,c"}),
    "zarr, columns by glob": Source(columns_of_a_group, opened={"features": "[abc]"}),
    "zarr, beside an array of an unknown type": Source(with_an_array_of_a_strange_type),
    "zarr, that array itself": Source(
        with_an_array_of_a_strange_type,
        opened={"labels": "odd"},
        refused=r"bfloat16|unknown type",
    ),
    "zarr by xarray, packed": Source(
        packed, refused=r"must be the numbers they seem.*scale_factor"
    ),
    "zarr in a zip archive": Source(packed_zip, place="zip://::in.zip"),
    "zarr, a name that is not there": Source(
        arrays(), opened={"features": "Z"}, refused="features must be in .* there are: X, y"
    ),
    "npz": Source(npz, place="in.npz"),
    "parquet file": Source(lambda: FRAME.to_parquet("in.parquet"), place="in.parquet"),
    "parquet folder by dask": Source(
        lambda: dd.from_pandas(FRAME, npartitions=12).to_parquet("in", write_index=False)
    ),
    "parquet, part 2 before part 10": Source(
        parts(*(f"part-{number}.parquet" for number in range(12)))
    ),
    "parquet without suffix": Source(parts("000000_0", "000001_0")),
    "parquet, hive partitions": Source(hive, opened=NUMBERS),
    "parquet by pattern": Source(
        parts("2013-1.parquet", "2013-2.parquet"), place="in/2013-*.parquet"
    ),
    "parquet by list": Source(
        parts("one.parquet", "two.parquet"), place=["in/two.parquet", "in/one.parquet"]
    ),
    "parquet, one split": Source(
        parts("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet"),
        opened={"split": "train"},
        features=X[: N // 2],
        labels=Y[: N // 2],
    ),
    "parquet, a split that is not there": Source(
        parts("train-00000-of-00001.parquet"),
        opened={"split": "test"},
        refused="split must be .* there are: train",
    ),
    "CSV": Source(lambda: FRAME.to_csv("in.csv", index=False), place="in.csv", **AS_READ),
    "CSV, several and compressed": Source(
        lambda: (
            Path("in").mkdir(),
            FRAME.iloc[:100].to_csv("in/part-2.csv.gz", index=False),
            FRAME.iloc[100:].to_csv("in/part-10.csv.gz", index=False),
        ),
        **AS_READ,
    ),
    "JSON lines": Source(
        lambda: FRAME.to_json("in.jsonl", orient="records", lines=True, double_precision=15),
        place="in.jsonl",
        **AS_READ,
    ),
    "CSV beside parquet": Source(
        lambda: (
            Path("in").mkdir(),
            FRAME.to_csv("in/a.csv"),
            FRAME.to_parquet("in/b.parquet"),
        ),
        refused="files of one kind, got parquet .* beside CSV",
    ),
    "parquet, types that drift": Source(drifting, opened=NUMBERS),
    "parquet, a column that does not fit": Source(
        drifting, opened={"features": ["a", "note"]}, refused="types go together.*'note'"
    ),
    "parquet, an id alone": Source(
        lambda: pd.DataFrame({"id": np.arange(N), "y": Y}).to_parquet("in.parquet"),
        place="in.parquet",
        refused=r"no column of '.*in.parquet' that does: id \(int64: .*named like an identifier\)",
    ),
    "Delta table": Source(delta, refused="Delta table.*deltalake"),
    "a file of a Delta table": Source(
        delta, place="in/*.parquet", refused="Delta table.*deltalake"
    ),
    "Lance data set": Source(lance, refused="Lance table.*lance"),
    "a subset of ours, zarr": Source(own(lambda coreset: coreset.to_zarr("in")), features=own),
    "a subset of ours, parquet": Source(
        own(lambda coreset: coreset.to_parquet("in")), features=own
    ),
    "a folder of other things": Source(
        lambda: (Path("in").mkdir(), Path("in/a.txt").write_text("a,b\n1,2\n")),
        refused="must be a zarr group, or a file or folder of parquet, CSV or JSON lines",
    ),
    "nothing": Source(lambda: None, refused="does not exist; check the path"),
}
