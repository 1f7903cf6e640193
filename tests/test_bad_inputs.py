"""Hostile, broken and odd input: one sentence and nothing created, or the contract's invariants."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dask_distill import distill, open_dataset
from dask_distill.cli.main import cli
from dask_distill.errors import DistillError, InputError
from dask_distill.pipeline import distill_to_zarr
from dask_distill.selection.request import Request
from dask_distill.storage import group as store
from dask_distill.strategies import make_strategy

sys.path.insert(0, str(Path(__file__).parent))
import bad_inputs
from bad_inputs import BAD, OWN_CLUSTER

PROGRAM = Path(sys.executable).with_name("dask-distill")


# parameters and methods of Python's, which no command takes
PYTHON = re.compile(
    r"\b(fraction|size|labels|features|time|task|reduce|test|resume|overwrite|on_invalid|seed"
    r"|on_missing|split|min_gap|period|time_scale)=|astype|reshape|map_blocks|to_datetime"
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_table__is_long_enough():
    assert len(BAD) >= 60


@pytest.mark.parametrize("case", BAD)
def test_bad_input__is_one_sentence_and_nothing_created(
    case, folder, monkeypatch, threads_for_a_cluster
):
    bad = BAD[case]
    if "--tls" in bad.words and importlib.util.find_spec("cryptography") is None:
        pytest.skip("cryptography is not installed")
    bad.make()
    if not OWN_CLUSTER & set(bad.words):
        monkeypatch.setattr("dask_distill.clusters.connect.connect", threads_for_a_cluster)
    before = sorted(os.listdir())
    done = CliRunner().invoke(cli, bad.words)
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("dask-distill: error: ")
    assert re.search(bad.sentence, done.stderr), done.stderr
    said = done.stderr.partition("must be readable, got")[0]
    assert not PYTHON.search(said), said
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("case", ["pickle codec", "fraction above 1"])
def test_bad_input__a_process_of_its_own_ends_in_one_line_too(case, folder):
    bad = BAD[case]
    bad.make()
    before = sorted(os.listdir())
    done = subprocess.run(
        [PROGRAM, *bad.words], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert re.search(bad.sentence, done.stderr)
    assert sorted(os.listdir()) == before


def test_bad_input__a_damaged_chunk_is_one_line_from_worker_processes(folder):
    """Only a worker sees it: its log must not come between."""
    bad = BAD["flipped bit"]
    bad.make()
    done = subprocess.run(
        [PROGRAM, *bad.words, "--workers", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert re.search(bad.sentence, done.stderr)
    assert os.listdir() == ["in.zarr"]


# ---------------------------------------------------------------- from Python


def test_distill__label_types_that_differ_by_block():
    y = da.from_array(np.arange(10_000) % 2, chunks=5000).map_blocks(
        lambda block, block_id=(0,): block.astype(str) if block_id[0] else block,
        meta=np.empty(0, int),
    )
    with pytest.raises(InputError, match="labels must be all ints or all strings, got"):
        distill(np.random.default_rng(0).normal(size=(10_000, 3)), y, size=10)


def test_distill__blocks_that_are_not_what_metadata_say():
    X = da.from_array(np.random.default_rng(0).normal(size=(10_000, 3)), chunks=(5000, -1))
    shorter = X.map_blocks(lambda block: block[:-1], meta=np.empty((0, 3)), chunks=X.chunks)
    with pytest.raises(DistillError, match="the source is not what its metadata says"):
        distill(shorter, size=10, strategy="random")


def test_distill__unknown_chunks_are_counted(labelled):
    table = pd.DataFrame(labelled.X[:3000]).assign(y=labelled.y[:3000])
    dask_dataframe = pytest.importorskip("dask.dataframe")
    frame = dask_dataframe.from_pandas(table, npartitions=3)
    features = frame[[0, 1, 2]].to_dask_array()
    assert np.isnan(features.shape[0])
    check(distill(features, frame["y"].to_dask_array(), size=30, strategy="stratified"), 3000, 30)


def test_run__files_that_go_midway_are_named(folder):
    bad_inputs.good_parquet()
    dataset = open_dataset("in.parquet")
    os.remove("in.parquet")
    request = Request(strategy=make_strategy("random"), size=3)
    with (
        dask.config.set(scheduler="sync"),
        pytest.raises(InputError, match="files must not go while a run reads them"),
    ):
        distill_to_zarr(dataset, "out.zarr", request)
    assert os.listdir() == []


# ---------------------------------------------------------------- odd, and valid


def check(coreset, n, k):
    """The contract's invariants."""
    assert len(coreset.indices) == k
    assert coreset.indices.dtype == np.int64
    assert np.all(np.diff(coreset.indices) > 0)
    assert 0 <= coreset.indices[0] <= coreset.indices[-1] < n
    assert coreset.weights.dtype == np.float32
    assert np.all(np.isfinite(coreset.weights) & (coreset.weights > 0))
    assert np.isclose(coreset.weights.sum(dtype=float), n, rtol=1e-5)


GENERATOR = np.random.default_rng(0)
PLAIN = GENERATOR.normal(size=(300, 4))
ODD = {
    "1e30": (PLAIN * 1e30, None),
    "denormals": (PLAIN * 1e-310, None),
    "from tiny to huge": (PLAIN * np.geomspace(1e-30, 1e30, 4), None),
    "one huge row": (np.where(np.arange(300)[:, None] == 7, 1e30, PLAIN), None),
    "100,000 features": (GENERATOR.normal(size=(40, 100_000)).astype("f4"), None),
    "constant columns": (PLAIN * [1, 0, 0, 0], None),
    "all rows equal": (PLAIN * 0 + 3, None),
    "classes in runs": (PLAIN, np.repeat([0, 1, 2], 100)),
    "each row twice": (np.repeat(PLAIN[:150], 2, axis=0), None),
    "markup": (PLAIN, np.array(["<script>alert(1)</script>", "a\n\x1b[31mb", "&lt;"] * 100)),
    "surrogates of planes": (PLAIN, np.array(["😀", "é", "e\u0301"] * 100)),
    "empty text": (PLAIN, np.array(["", " ", "  "] * 100)),
    "extreme ints": (PLAIN, np.array([-(2**63), 2**63 - 1, 0] * 100)),
    "bools": (PLAIN > 0, np.arange(300) % 2 == 0),
    "a class of one row": (PLAIN, (np.arange(300) == 17).astype(int)),
}


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("strategy", ["auto", "stratified", "entropy", "kcenter", "kmeans"])
@pytest.mark.parametrize("kind", ODD)
def test_odd_input__gives_the_invariants(kind, strategy):
    X, y = ODD[kind]
    labels = np.arange(len(X)) % 3 if y is None else y
    size = 6
    options = {"proxy": "linear"} if strategy == "auto" else {}
    with dask.config.set(scheduler="sync"):
        # squares of denormal distances vanish
        if kind in ("all rows equal", "denormals") and strategy == "kcenter":
            with pytest.raises(InputError, match="at most the number of distinct rows 1, got 6"):
                distill(X, labels, size=size, strategy=strategy)
            return
        coreset = distill(X, labels, size=size, strategy=strategy, options=options)
    check(coreset, len(X), size)


def test_odd_input__one_row():
    check(distill(np.ones((1, 3)), size=1, strategy="random"), 1, 1)
    check(distill(np.ones((1, 3)), fraction=0.001), 1, 1)


def test_odd_input__markup_stays_text_in_every_artefact(folder):
    X, y = ODD["markup"]
    coreset = distill(X, y, size=30, strategy="stratified")
    coreset.to_zarr("out.zarr")
    assert store.verify("out.zarr").ok
    assert set(store.read("out.zarr")[0]["y"].compute()) == set(y)
    assert "<script>alert" not in coreset._repr_html_()


# ---------------------------------------------------------------- disks


def in_a_process(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


# set by the process itself: a fork of this one would be warned of by libraries that it has loaded
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))"


WRITE = """
import sys, signal, numpy as np
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from dask_distill.errors import DistillError
from dask_distill.selection.request import Request
from dask_distill.pipeline import distill_to_zarr
from dask_distill.data.dataset import as_dataset
from dask_distill.strategies import make_strategy
X = np.random.default_rng(0).normal(size=(4000, 50))
request = Request(strategy=make_strategy("random"), size=3000)
try:
    resume = "resume" in sys.argv
    print(distill_to_zarr(as_dataset(X), sys.argv[1], request, resume=resume)[1]["digest"])
except DistillError as error:
    print(error, file=sys.stderr)
"""


def test_full_disk__is_one_sentence_and_resumes(tmp_path):
    """A limit on the size of a file stands for a disk that is full in the middle of one."""
    target = tmp_path / "t"
    full = in_a_process(f"{LIMIT}\n{WRITE}", target)
    assert full.stderr.count("\n") == 1, full.stderr
    assert "must be written, got OSError: [Errno 27] File too large" in full.stderr
    assert "run again with resume=True / --resume" in full.stderr
    assert not target.exists()
    done = in_a_process(WRITE, target, "resume")
    assert done.stderr == ""
    assert store.verify(target).digest == done.stdout.strip()
    assert os.listdir(tmp_path) == ["t"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_full_disk__a_small_file_system(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", place]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        full = in_a_process(WRITE, place / "t")
        assert full.stderr.count("\n") == 1, full.stderr
        assert "No space left on device" in full.stderr
        assert not (place / "t").exists()
        subprocess.run(["mount", "-o", "remount,size=20m", place], check=True)
        done = in_a_process(WRITE, place / "t", "resume")
        assert store.verify(place / "t").digest == done.stdout.strip(), done.stderr
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        with pytest.raises(InputError, match="must lie in a folder that can be written to"):
            store.check_target(place / "u")
    finally:
        subprocess.run(["umount", "-l", place], check=False)
