"""Columns whose names an array of the output cannot have: written under another, and told once."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr
from click.testing import CliRunner
from hypothesis import given, strategies as st

from dask_distill import InputWarning, distill, grow, open_coreset, open_dataset, verify
from dask_distill.cli.main import cli
from dask_distill.storage.chunks import is_plain_name
from dask_distill.subset.names import ArrayNames, distinct, fits

ROWS = 600
rng = np.random.default_rng(0)
LABELS = rng.integers(0, 2, ROWS)
X = rng.normal(size=(ROWS, 2))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


ODD = {
    "score": "score_",
    "weight": "weight_",
    "index": "index_",
    "summary": "summary_",
    "null": "null_",
    "km/h": "km_h",
    "../y": "y",
    ".y": "y",
    "__y": "y",
}


@pytest.mark.parametrize("name", ODD)
def test_run__a_label_of_any_name_is_written_and_told_once(name):
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], name: LABELS, "row": np.arange(ROWS)})
    frame.to_parquet("in.parquet")
    words = ("--features", "a,b", "--labels", name, "--carry", "row", "--size", "60")
    assert command("plan", "in.parquet", *words).stderr.count("is written as") == 1
    done = command("run", "in.parquet", "out.zarr", *words, "--workers", "1", "--json")
    lines = [line for line in done.stderr.splitlines() if "is written as" in line]
    assert len(lines) == 1
    assert f"{name!r} is written as {ODD[name]!r}" in lines[0]
    assert verify("out.zarr").ok
    written = zarr.open_group("out.zarr", mode="r")
    assert (written[ODD[name]][:] == LABELS[written["index"][:]]).all()
    coreset = open_coreset("out.zarr")
    assert coreset.label_name == coreset.provenance["input"]["labels"] == name
    assert (coreset.labels.compute() == LABELS[coreset.indices]).all()
    names = ("evaluate", "out.zarr", "--source", "in.parquet", "--seeds", "2", "--workers", "1")
    command(*names, "--quiet")


@pytest.mark.parametrize("name", ["weight", "score", "time/of day"])
def test_run__options_name_columns_as_the_source_does(name):
    """What is carried goes by its own name everywhere but in the group."""
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": LABELS, name: np.arange(ROWS)})
    frame["kept/always"] = np.arange(ROWS) < 3
    frame.to_parquet("in.parquet")
    words = ("--features", "a,b", "--time", name, "--protect", "kept/always", "--size", "60")
    command("run", "in.parquet", "out.zarr", *words, "--workers", "1", "--quiet")
    coreset = open_coreset("out.zarr")
    assert set(coreset.carry) == {name, "kept/always"}
    assert coreset.indices[:3].tolist() == [0, 1, 2]
    assert (coreset.carry[name].compute() == coreset.indices).all()
    assert coreset.provenance["input"]["time"] == name


def test_open_dataset__arrays_of_a_subgroup_can_be_carried():
    group = zarr.open_group("in.zarr", mode="w")
    group["X"] = X
    inner = group.create_group("obs")
    inner["kind"], inner["barcode"] = LABELS, np.arange(ROWS)
    words = ("--labels", "obs/kind", "--carry", "obs/barcode", "--size", "60", "--workers", "1")
    command("run", "in.zarr", "out.zarr", *words, "--quiet")
    written = zarr.open_group("out.zarr", mode="r")
    assert (written["barcode"][:] == written["index"][:]).all()
    assert (written["kind"][:] == LABELS[written["index"][:]]).all()
    coreset = open_coreset("out.zarr")
    assert list(coreset.carry) == ["barcode"]
    assert coreset.provenance["input"]["renamed"]["barcode"] == "obs/barcode"


def test_to_zarr__warns_and_is_written_again_alike():
    coreset = distill(X, LABELS, size=60, strategy="random", carry={"weight": np.arange(ROWS)})
    with pytest.warns(InputWarning, match="'weight' is written as 'weight_'"):
        digest = coreset.to_zarr("one.zarr")["digest"]
    again = open_coreset("one.zarr")
    with pytest.warns(InputWarning, match="'weight' is written as 'weight_'"):
        assert again.to_zarr("two.zarr")["digest"] == digest
    assert (again.weights == coreset.weights).all()
    # as a source, it is what it is
    assert open_dataset("one.zarr", carry=["weight_"]).carry["weight_"].shape == (60,)


def test_update__keeps_odd_names():
    def batch(start, stop):
        return {"features": X[start:stop], "labels": LABELS[start:stop]} | {
            "carry": {"a/b": np.arange(start, stop), "score": np.array(["t"] * (stop - start))}
        }

    coreset = grow(**batch(0, 300), size=50, strategy="random")
    with pytest.warns(InputWarning) as caught:
        coreset.to_zarr("one.zarr")
    told = [str(warning.message).partition(":")[0] for warning in caught]
    assert told == ["'a/b' is written as 'a_b'", "'score' is written as 'score_'"]
    coreset = open_coreset("one.zarr").update(**batch(300, ROWS))
    assert (coreset.carry["a/b"].compute() == coreset.indices).all()
    assert (coreset.summary.dataset.carry["a/b"].compute() == coreset.summary.rows).all()


def test_follow__tells_of_a_name_once(folder):
    (folder / "in").mkdir()
    for number in range(2):
        frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "score": LABELS})
        frame.to_parquet(f"in/{number}.parquet")
    words = ("--features", "a,b", "--labels", "score", "--size", "50", "--max-rows", "600")
    done = command("follow", "in", "out.zarr", *words, "--once", "--quiet", "--workers", "1")
    assert done.stderr.count("is written as") == 1
    coreset = open_coreset("out.zarr")
    assert coreset.summary.batches == 2
    assert coreset.label_name == "score"


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
def test_to_parquet__columns_named_like_ours_get_another_name():
    values = {"_index": X[:, 0], "_score_el2n": X[:, 1], "_weight": LABELS, "a/b": LABELS}
    frame = pd.DataFrame(values)
    frame.to_parquet("in.parquet")
    dataset = open_dataset("in.parquet", features=["_index", "_score_el2n"], labels="_weight")
    coreset = distill(dataset, size=60, strategy="entropy")
    with pytest.warns(InputWarning) as caught:
        coreset.to_parquet("out", scores=True)
    told = sorted(str(warning.message) for warning in caught)
    assert [line.partition(" is written as ")[0] for line in told] == [
        "'_index'",
        "'_score_el2n'",
        "'_weight'",
    ]
    found = pq.read_table("out").to_pandas()
    rows = frame.iloc[coreset.indices]
    assert (found["_index"] == coreset.indices).all()
    assert (found["_index_"] == rows["_index"].to_numpy()).all()
    assert (found["_weight_"] == rows["_weight"].to_numpy()).all()
    assert (found["_weight"] == coreset.weights).all()


NAMES = st.lists(
    st.text("ab_./\\ X\0", min_size=1, max_size=6).filter(str.strip)
    | st.sampled_from(["index", "weight", "score", "zarr.json", "null", "summary", "é"]),
    max_size=8,
    unique=True,
)


@given(carry=NAMES, label=st.sampled_from(["y", "X", "score", "a/b", "a_b"]))
def test_names__are_such_as_arrays_can_have_and_come_back(carry, label):
    names = ArrayNames.of("X", label, carry)
    written = [names.features, names.labels, *names.carry.values()]
    ours = ["index", "weight", "score", "summary", "null"]
    assert len({*written, *ours}) == len(written) + len(ours)
    for name in written:
        assert is_plain_name(name)
        assert "/" not in name
        assert fits(name)
    assert ArrayNames.parse(json.loads(json.dumps(names.as_dict()))) == names
    assert names.original(names.labels) == label
    # a name that can be kept is kept, whatever the others are
    free = {*ours, "X", label}
    assert all(names.carry[name] == name for name in carry if fits(name) and name not in free)


def test_names__of_tables_need_not_be_plain():
    assert distinct(["a/b", "a/b", "weight"], ["weight"], plain=False) == [
        "a/b",
        "a/b_",
        "weight_",
    ]


def test_names__paths_do_not_leave_the_group():
    carry = {"../../evil": np.arange(ROWS)}
    coreset = distill(X, LABELS, size=60, strategy="random", carry=carry)
    with pytest.warns(InputWarning, match="no array can have it"):
        coreset.to_zarr("deep/er/out.zarr")
    assert [path.name for path in Path().iterdir()] == ["deep"]
    assert (open_coreset("deep/er/out.zarr").carry["../../evil"].compute() == coreset.indices).all()
