"""What becomes of each column is said: used, carried, left out and why; and what looks wrong."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from click.testing import CliRunner

from dask_distill import InputError, open_dataset
from dask_distill.cli import cli

N = 300
rng = np.random.default_rng(0)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(folder):
    """As people have them: numbers, text, an embedding, an index, an id and a label."""
    embedding = pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=N * 4)), 4)
    frame = pd.DataFrame({"a": rng.normal(size=N), "b": np.arange(N) % 7})
    frame.index = pd.Index(np.arange(N) + 5, name="when")
    plain = pa.Table.from_pandas(frame, preserve_index=True)
    for name, values in (
        ("embedding", embedding),
        ("city", pa.array(["x", "y", None] * 100)),
        ("order_id", pa.array(np.arange(N))),
        ("target", pa.array(np.arange(N) % 3)),
    ):
        plain = plain.append_column(name, values)
    pq.write_table(plain, "t.parquet")
    return "t.parquet"


def roles(dataset):
    return {use.name: (use.role, use.why) for use in dataset.uses}


def test_open_dataset__tells_what_becomes_of_each_column(table):
    dataset = open_dataset(table, labels="target", carry=["order_id"])
    assert roles(dataset) == {
        "a": ("feature", ""),
        "b": ("feature", ""),
        "when": ("left out", "the index"),
        "embedding": ("feature", ""),
        "city": ("feature", ""),
        "order_id": ("carried", ""),
        "target": ("label", ""),
    }
    kinds = {use.name: use.kind for use in dataset.uses}
    assert kinds["a"] == "double"
    assert kinds["city"] == "string"
    assert "fixed_size_list" in kinds["embedding"]
    named = open_dataset(table, features="a", labels="target")
    assert roles(named)["b"] == ("left out", "not named")
    read = {use.name: use.read_as for use in open_dataset(table, labels="target").uses}
    assert read["a"] == read["b"] == "number"
    assert (read["city"], read["embedding"]) == ("category", "embedding")
    assert roles(open_dataset(table))["order_id"] == ("left out", "named like an identifier")


def test_open_dataset__tells_of_arrays_beside(folder):
    group = zarr.open_group("z.zarr", mode="w")
    arrays = {
        "X": rng.normal(size=(N, 3)),
        "y": np.arange(N) % 2,
        "t": np.arange(N),
        "e": rng.normal(size=(N, 9)),
    }
    for name, values in arrays.items():
        group.create_array(name, data=values)
    np.savez("z.npz", **arrays)
    for source in ("z.zarr", "z.npz"):
        found = open_dataset(source, carry=["t"])
        assert roles(found) == {
            "X": ("feature", ""),
            "y": ("label", ""),
            "t": ("carried", ""),
            "e": ("left out", "not named"),
        }
        assert next(use.kind for use in found.uses if use.name == "X") == "float64, 300 x 3"


@pytest.mark.parametrize("command", ["plan", "run"])
def test_command__lists_columns_and_warns_of_doubtful_ones(table, command):
    place = ["t.parquet"] + (["out.zarr", "--workers", "1"] if command == "run" else [])
    words = [command, *place, "--size", "30"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    lines = " ".join(done.stdout.split())
    assert "features 5 used (3 numbers, 1 embedding, 1 category)" in lines
    assert "nulls 33.3% of city: filled in, and marked" in lines
    assert "labels none" in lines
    assert "order_id (int64: named like an identifier)" in lines
    assert "warning: column 'target' (int64) is taken as a feature, and there are no" in done.stderr
    assert "order_id" not in done.stderr
    more = ["--labels", "target", "--carry", "order_id", "--json"]
    done = CliRunner().invoke(cli, [*words, *more, *(["--overwrite"] if command == "run" else [])])
    assert done.exit_code == 0, done.output
    told = {use["name"]: use["role"] for use in json.loads(done.stdout)["columns"]}
    assert told["target"] == "label"
    assert told["embedding"] == "feature"
    assert "warning" not in done.stderr
    done = CliRunner().invoke(cli, ["plan", "t.parquet", "--size", "30", "--features", "target,a"])
    # named by the user
    assert "warning" not in done.stderr


@pytest.mark.parametrize("name", ["id", "customer_id", "userId", "index", "uuid"])
def test_open_dataset__an_id_alone_is_refused(folder, name):
    frame = pd.DataFrame({name: np.arange(N), "city": ["x"] * N, "label": np.arange(N) % 2})
    frame.to_parquet("i.parquet")
    with pytest.raises(InputError, match=rf"no column .* does: {name} \(.*identifier\), city"):
        open_dataset("i.parquet")
    assert open_dataset("i.parquet", features=name).d == 1
    frame[[name, "label"]].to_parquet("i.parquet")
    with pytest.raises(InputError, match=r"identifier\); name features with"):
        open_dataset("i.parquet")
    assert open_dataset("i.parquet", features=name).d == 1
