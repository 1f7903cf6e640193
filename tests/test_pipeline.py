"""`distill`: the contract's invariants, whatever runs it and however the input is cut."""

import json
import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import zarr
from dask.multiprocessing import initialize_worker_process
from hypothesis import HealthCheck, given, settings, strategies as st
from sklearn.naive_bayes import GaussianNB

from dask_distill import InputError, SelectionWarning, distill, open_coreset, open_dataset
from dask_distill.data.blocks import block_bounds
from dask_distill.strategies import STRATEGIES, Auto, KCenter

# those that need no more than rows; the others are in test_reduce.py, test_time.py, test_search.py
NAMES = [
    name
    for name, kind in STRATEGIES.items()
    if not (kind.needs_novelty or kind.needs_time or name == "search")
]
# one of each way to converse; the others are in tests/strategies
FORMS = ["auto", "stratified", "gradient", "kcenter", "kmeans"]
LABELLED = ["stratified", "gradient", "entropy", "strata"]
SIZE = 1500

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")


def lazily(data, chunks, names=False):
    y = data.names if names else data.y
    return da.from_array(data.X, chunks=(chunks, -1)), da.from_array(y, chunks=chunks)


def bits(coreset):
    """Everything that a selection decides, as bytes."""
    scores = b"".join(coreset.scores[name].tobytes() for name in sorted(coreset.scores))
    return coreset.indices.tobytes() + coreset.weights.tobytes() + scores


@pytest.fixture(scope="module")
def reference(labelled):
    """One selection by each strategy: one chunk, one thread, numbers as labels."""
    with dask.config.set(scheduler="sync"), warnings.catch_warnings():
        warnings.simplefilter("ignore", SelectionWarning)
        return {
            name: distill(*lazily(labelled, 100_000), size=SIZE, strategy=name) for name in NAMES
        }


# ---------------------------------------------------------------- the same rows


@pytest.mark.parametrize(
    ("name", "chunks"),
    [(name, 7_919) for name in NAMES]
    + [(name, chunks) for name in FORMS for chunks in (1_000, 100_000)],
)
def test_distill__same_bits_for_any_chunking(labelled, reference, name, chunks):
    found = distill(*lazily(labelled, chunks), size=SIZE, strategy=name)
    assert bits(found) == bits(reference[name])
    assert (
        found.provenance["input"]["fingerprint"]
        == (reference[name].provenance["input"]["fingerprint"])
    )


@pytest.mark.parametrize(
    ("name", "scheduler"),
    [(name, "threads") for name in NAMES] + [(name, "sync") for name in FORMS],
)
def test_distill__same_bits_for_any_scheduler(labelled, reference, name, scheduler):
    with dask.config.set(scheduler=scheduler, num_workers=2):
        assert bits(distill(*lazily(labelled, 7_919), size=SIZE, strategy=name)) == (
            bits(reference[name])
        )


@pytest.mark.parametrize("name", ["auto", "kcenter"])
def test_distill__same_bits_from_a_pool_of_processes(labelled, reference, name):
    # one pool for all rounds: Dask starts a new one for each otherwise
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(2, spawn, initialize_worker_process) as pool,
        dask.config.set(scheduler="processes", pool=pool),
    ):
        found = distill(*lazily(labelled, 7_919), size=SIZE, strategy=name)
    assert bits(found) == bits(reference[name])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_distill__same_bits_for_any_number_of_workers(labelled, reference, local_client, workers):
    local_client(workers)
    for name in FORMS:
        found = distill(*lazily(labelled, 1_000, names=True), size=SIZE, strategy=name)
        assert bits(found) == bits(reference[name])


@pytest.mark.parametrize("name", FORMS)
def test_distill__same_bits_for_labels_as_ints_or_strings(labelled, reference, name):
    X, y = lazily(labelled, 7_919, names=True)
    assert bits(distill(X, y, size=SIZE, strategy=name)) == bits(reference[name])
    as_objects = da.from_array(labelled.names.astype(object), chunks=5_000)
    assert bits(distill(X, as_objects, size=SIZE, strategy=name)) == bits(reference[name])


@pytest.mark.parametrize("name", ["auto", "kcenter", "gradient"])
def test_distill__same_bits_whoever_is_killed(labelled, reference, local_client, name):
    """A worker is killed after the survey's blocks have begun to arrive."""
    client = local_client(2)

    class Assassin:
        done = 0

        def start(self, phase, total):
            pass

        def advance(self):
            self.done += 1
            if self.done == 3:
                pids = client.run(lambda: __import__("os").getpid())
                import os
                import signal

                os.kill(min(pids.values()), signal.SIGKILL)

        def finish(self):
            pass

    found = distill(*lazily(labelled, 1_000), size=SIZE, strategy=name, progress=Assassin())
    assert bits(found) == bits(reference[name])


@pytest.mark.parametrize("name", NAMES)
def test_distill__another_seed_is_another_draw(labelled, reference, name):
    found = distill(*lazily(labelled, 100_000), size=SIZE, strategy=name, seed=1)
    drawn = name in ("random", "stratified", "auto")
    assert (bits(found) != bits(reference[name])) == drawn or not drawn


# ---------------------------------------------------------------- what a selection is


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_distill__invariants_of_the_contract(data):
    n = data.draw(st.integers(2, 400), "n")
    d = data.draw(st.integers(1, 5), "d")
    classes = data.draw(st.integers(2, 4), "classes")
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "rng"))
    dtype = data.draw(st.sampled_from(["f4", "f8", "i2", "u1"]), "dtype")
    X = (rng.normal(size=(n, d)) * 20 + 100).astype(dtype)
    y = rng.permutation(np.arange(n) % classes if n >= 2 * classes else np.arange(n) % 2)
    kind = data.draw(st.sampled_from(["ints", "words", "bools", "far apart"]), "labels")
    if kind == "words":
        y = np.array(["", "ü<b>", "a" * 40, "1"])[y]
    elif kind == "bools":
        y = y % 2 == 1
    elif kind == "far apart":
        y = np.array([-(2**63), 2**63 - 1, 0, -1])[y]
    chunks = data.draw(st.integers(1, n), "chunks")
    # how many distinct rows are left of those in doubt cannot be told beforehand
    name = data.draw(st.sampled_from([name for name in NAMES if name != "active"]), "strategy")
    distinct = len(np.unique(X, axis=0)) if name == "kcenter" else n
    size = data.draw(st.integers(1, distinct), "size")
    labels = da.from_array(y, chunks=max(1, chunks // 2))
    with dask.config.set(scheduler="sync"):
        found = distill(
            da.from_array(X, chunks=(chunks, -1)),
            labels,
            size=size,
            strategy=name,
            carry={"number": da.arange(n, chunks=chunks)},
        )
        assert len(found.indices) == len(found.weights) == size
        assert found.indices.dtype == np.int64
        assert found.weights.dtype == np.float32
        assert np.all(np.diff(found.indices) > 0)
        assert 0 <= found.indices[0] <= found.indices[-1] < n
        assert np.all(np.isfinite(found.weights))
        assert np.all(found.weights > 0)
        assert np.isclose(found.weights.sum(dtype=float), n, rtol=1e-6)
        assert all(v.shape == (size,) and v.dtype == np.float32 for v in found.scores.values())
        assert all(np.isfinite(v).all() for v in found.scores.values())
        assert np.array_equal(found.features.compute(), X[found.indices])
        assert found.features.dtype == X.dtype
        assert np.array_equal(found.labels.compute(), y[found.indices])
        assert np.array_equal(found.carry["number"].compute(), found.indices)
    if name in ("stratified", "auto") and size >= len(np.unique(y)):
        assert set(y[found.indices]) == set(y)
    table = found.provenance["classes"]
    assert sum(entry["selected"] for entry in table) == size
    assert {e["label"]: e["rows"] for e in table} == dict(
        zip(*(a.tolist() for a in np.unique(y, return_counts=True)), strict=True)
    )
    json.dumps(found.provenance, allow_nan=False)


@pytest.mark.parametrize(
    ("fraction", "rows"),
    [(0.1, 3000), (1e-9, 1), (1, 30_000), (0.00005, 2), (np.float32(0.5), 15_000)],
)
def test_distill__fraction_means_the_rounded_part(labelled, fraction, rows):
    found = distill(labelled.X, labelled.y, fraction=fraction, strategy="random")
    assert len(found) == rows


@pytest.mark.parametrize("name", NAMES)
def test_distill__all_rows_can_be_selected(name):
    X = np.random.default_rng(0).normal(size=(300, 3))
    found = distill(X, np.arange(300) % 3, fraction=1, strategy=name)
    assert np.array_equal(found.indices, np.arange(300))
    np.testing.assert_allclose(found.weights, 1)


@pytest.mark.parametrize("name", ["random", "kcenter", "auto"])
def test_distill__works_without_labels(labelled, name):
    found = distill(labelled.X, size=300, strategy=name)
    assert len(found) == 300
    assert found.labels is None
    assert found.provenance["classes"] is None


@pytest.mark.parametrize("name", LABELLED)
def test_distill__strategies_that_need_labels_say_so(labelled, name):
    with pytest.raises(InputError, match=f"strategy {name} needs labels, got none"):
        distill(labelled.X, size=300, strategy=name)


def test_distill__entropy_of_a_users_model_needs_no_labels(labelled):
    model = GaussianNB().fit(labelled.X[:2000], labelled.names[:2000])
    found = distill(labelled.X, size=300, strategy="entropy", proxy=model)
    P = model.predict_proba(labelled.X)
    entropy = -(P * np.log(np.maximum(P, 1e-300))).sum(1)
    assert entropy[found.indices].min() >= np.sort(entropy)[-300] - 1e-4


def test_distill__gradient_takes_the_highest_scores(labelled, reference):
    """The scores of all rows, from a selection of all of them, say which are highest."""
    whole = distill(*lazily(labelled, 100_000), fraction=1, strategy="gradient")
    for name in ("gradient", "entropy"):
        scores = whole.scores[name]
        highest = np.sort(np.lexsort((whole.indices, -scores))[:SIZE])
        assert np.array_equal(reference[name].indices, highest)


def test_distill__stratified_keeps_the_proportions(labelled, reference):
    all_, taken = (
        np.bincount(y, minlength=4)
        for y in (labelled.y, labelled.y[reference["stratified"].indices])
    )
    np.testing.assert_allclose(taken, all_ * SIZE / len(labelled.y), atol=1)


def test_distill__weighted_class_shares_are_those_of_the_data(labelled, reference):
    for name in ("stratified", "auto"):
        found = reference[name]
        shares = np.bincount(labelled.y[found.indices], weights=found.weights)
        np.testing.assert_allclose(shares, np.bincount(labelled.y), rtol=1e-4)


def test_distill__warns_where_a_strategy_hurts(labelled):
    for name in ("gradient", "entropy"):
        with pytest.warns(SelectionWarning, match="do worse than on random"):
            distill(labelled.X[:500], labelled.y[:500], size=50, strategy=name)


def test_distill__kcenter_covers_and_weighs_by_the_nearest(labelled, reference):
    found = reference["kcenter"]
    X = labelled.X.astype(np.float64)
    centers = X[found.indices]
    squared = np.full(len(X), np.inf)
    nearest = np.zeros(len(X), int)
    for j, center in enumerate(centers):
        to = ((X - center) ** 2).sum(1)
        nearest[to < squared] = j
        squared = np.minimum(squared, to)
    np.testing.assert_allclose(found.weights, np.bincount(nearest, minlength=SIZE), rtol=1e-5)


def test_distill__takes_strategy_objects_and_options(labelled):
    by_name = distill(
        labelled.X, labelled.y, size=200, strategy="auto", options={"balance": "equal"}
    )
    by_object = distill(labelled.X, labelled.y, size=200, strategy=Auto(balance="equal"))
    assert bits(by_name) == bits(by_object)
    assert np.bincount(labelled.y[by_name.indices]).tolist() == [50] * 4


# ---------------------------------------------------------------- what is accepted


def test_distill__the_same_rows_from_any_kind_of_input(labelled, tmp_path):
    X, y = labelled.X[:9000], labelled.y[:9000]
    names = [f"f{i}" for i in range(X.shape[1])]
    frame = pd.DataFrame(X, columns=names).assign(y=y)
    frame.to_parquet(tmp_path / "data.parquet", row_group_size=1000)
    group = zarr.create_group(tmp_path / "data.zarr")
    for name, values in {"X": X, "y": y}.items():
        group.create_array(name, data=values, chunks=(700, *values.shape[1:]))
    np.savez(tmp_path / "data.npz", X=X, y=y)
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    lazy = dd.from_pandas(frame, npartitions=5)
    import xarray as xr

    expected = bits(distill(X, y, size=400))
    for features, labels in [
        (frame[names], frame["y"]),
        (lazy[names], lazy["y"]),
        (xr.DataArray(X), xr.DataArray(y)),
        (X.reshape(-1, 2, 3), y),
        (X, y.astype(np.int8)),
        (da.from_array(X, chunks=(1000, 2)), list(y)),
        (open_dataset(tmp_path / "data.zarr"), None),
        (open_dataset(tmp_path / "data.parquet"), None),
        (open_dataset(tmp_path / "data.npz"), None),
        (open_dataset(tmp_path / "X.npy", labels=tmp_path / "y.npy"), None),
    ]:
        assert bits(distill(features, labels, size=400)) == expected


def test_distill__unknown_chunks_are_counted(labelled):
    X = da.from_array(labelled.X, chunks=(5000, -1))
    y = da.from_array(labelled.y, chunks=5000)
    keep = X[:, 0] > 0
    rows = labelled.X[:, 0] > 0
    found = distill(X[keep], y[keep], size=300)
    assert bits(found) == bits(distill(labelled.X[rows], labelled.y[rows], size=300))


# ---------------------------------------------------------------- how it runs


def test_distill__building_the_graph_computes_nothing(labelled):
    from dask_distill.data.dataset import as_dataset
    from dask_distill.runtime.dask_runner import DaskRunner
    from dask_distill.selection.request import Request
    from dask_distill.strategies import make_strategy
    from dask_distill.survey.reading import raw_blocks

    def refuse(*args, **kwargs):
        raise AssertionError("computed")

    with dask.config.set(scheduler=refuse):
        dataset = as_dataset(*lazily(labelled, 1000))
        Request(strategy=make_strategy("auto"), fraction=0.1).of(dataset)
        blocks = raw_blocks(dataset, DaskRunner())
    assert len(blocks) == len(block_bounds(dataset.n, dataset.d))


@pytest.mark.parametrize("kind", ["zarr", "npy"])
@pytest.mark.parametrize("chunk", [1000, 4096, 30_000])
def test_raw_blocks__each_is_read_in_one_go_whatever_the_chunks(tmp_path, monkeypatch, kind, chunk):
    from dask_distill.data import rows as chunk_sizes
    from dask_distill.data.dataset import Dataset
    from dask_distill.runtime.dask_runner import DaskRunner
    from dask_distill.sources import npy, stored as zarr_source
    from dask_distill.survey.reading import raw_blocks

    X = np.random.default_rng(0).normal(size=(9000, 3)).astype(np.float32)
    if kind == "zarr":
        zarr.create_array(tmp_path / "X", data=X, chunks=(chunk, 3))
    else:
        np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr(chunk_sizes, "_CHUNK_BYTES", 12 * chunk)
    monkeypatch.setattr("dask_distill.survey.reading.block_bounds", lambda n, d: (4096, 4096, 808))
    dataset = open_dataset(tmp_path / ("X" if kind == "zarr" else "X.npy"))
    assert dataset.features.chunks[0][0] == min(chunk, 9000)
    readers = zarr_source._Rows if kind == "zarr" else npy._Rows
    reads, read = [], readers.__call__

    def count(self):
        values = read(self)
        reads.append(len(values))
        return values

    monkeypatch.setattr(readers, "__call__", count)
    runner = DaskRunner()

    def parts(dataset):
        blocks = raw_blocks(dataset, runner)
        return runner.fetch_all([runner.call("X", lambda block: block.X, b) for b in blocks])

    found = parts(dataset)
    assert np.concatenate(found).tobytes() == X.tobytes()
    assert sorted(reads) == [808, 4096, 4096]
    # what comes from two sources does not come in one go
    both = da.concatenate([dataset.features[:4000], dataset.features])
    monkeypatch.setattr("dask_distill.survey.reading.block_bounds", lambda n, d: (8192, 4808))
    found = parts(Dataset(features=both))
    assert np.concatenate(found).tobytes() == X[:4000].tobytes() + X.tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_distill__reads_the_source_once_for_the_sample_and_twice_in_all_beside(
    labelled, tmp_path, name
):
    """Chunks counted as the tasks ask for them, from the first pass to the written rows."""
    reads = []

    def count(block, block_info=None):
        if block_info:
            reads.append(block_info[0]["chunk-location"][0])
        return block

    X, y = lazily(labelled, 1_000)
    X = X.map_blocks(count, meta=np.empty((0, 0), np.float32))
    with dask.config.set(scheduler="threads"):
        coreset = distill(X, y, fraction=0.1, strategy=name)
        before = len(reads)
        coreset.to_zarr(tmp_path / "out.zarr")
    assert max(np.bincount(reads)) <= 3
    assert before <= 2 * X.numblocks[0]


def test_distill__no_task_holds_more_than_a_few_blocks(labelled, monkeypatch):
    """Every value that a task takes or gives is bounded by blocks or by candidates."""
    from dask_distill.conversation import converse as rounds

    largest = {"state": 0, "message": 0}
    block = max(block_bounds(*labelled.X.shape)) * labelled.X.shape[1] * 4

    def watch(function, slot):
        def watched(*args):
            out = function(*args)
            held = out.state if slot == "state" else out
            largest[slot] = max(largest[slot], rounds.payload_bytes(held))
            return out

        return watched

    monkeypatch.setattr(rounds, "_step", watch(rounds._step, "state"))
    monkeypatch.setattr(rounds, "_advance", watch(rounds._advance, "message"))
    for name in FORMS:
        distill(*lazily(labelled, 1000), size=300, strategy=name)
    assert largest["state"] <= 4 * block
    # the survey's sample of 10,000 rows is the largest message
    assert largest["message"] <= 1.2 * 10_000 * (labelled.X.shape[1] * 4 + 20)


def test_distill__an_asynchronous_client_is_refused(labelled):
    import asyncio

    from distributed import Client

    async def attempt():
        async with Client(
            processes=False, asynchronous=True, dashboard_address="127.0.0.1:0"
        ) as client:
            with client.as_current(), pytest.raises(InputError, match="asynchronous=True"):
                distill(labelled.X, labelled.y, size=10)

    asyncio.run(attempt())


def test_distill__tells_progress_by_blocks(labelled):
    calls = []

    class Recorder:
        def start(self, phase, total):
            calls.append([phase, total, 0])

        def advance(self):
            calls[-1][2] += 1

        def finish(self):
            calls[-1].append("done")

    distill(*lazily(labelled, 1000), size=100, strategy="kcenter", progress=Recorder())
    assert calls[0][0] == "survey"
    assert all(done == total and end == "done" for _, total, done, end in calls)


def test_distill__provenance_tells_what_was_done(labelled):
    found = distill(*lazily(labelled, 1000), fraction=0.1, strategy=KCenter(scale="standard"))
    facts = found.provenance
    assert facts["parameters"]["options"] == {"metric": "euclidean", "scale": "standard"} | {
        key: value
        for key, value in facts["parameters"]["options"].items()
        if key not in ("metric", "scale")
    }
    assert facts["rows"] == 30_000
    assert facts["selected"] == 3_000
    assert facts["bytes_moved"] > 0
    assert facts["bytes_on_the_wire"]["total"] == 0
    assert facts["bytes_to_gather_everything"] == labelled.X.nbytes + labelled.y.nbytes
    assert {"survey", "select", "total"} <= set(facts["seconds"])
    assert {"dask", "numpy", "zarr", "python", "dask-distill"} <= set(facts["versions"])


# ---------------------------------------------------------------- invalid rows


def spoiled(labelled):
    X = labelled.X[:6000].copy()
    X[7, 2] = np.nan
    X[7, 3] = np.inf
    X[4999, 0] = -np.inf
    return X, labelled.y[:6000]


def test_distill__invalid_values_are_counted_and_the_first_named(labelled):
    X, y = spoiled(labelled)
    with pytest.raises(
        InputError,
        match=r"features has 1 NaN and 2 infinite values, first in row 7, column 2; clean them",
    ):
        distill(da.from_array(X, chunks=(999, -1)), y, size=10)


@pytest.mark.parametrize("name", NAMES)
def test_distill__invalid_rows_can_be_dropped(labelled, name):
    X, y = spoiled(labelled)
    found = [
        distill(da.from_array(X, chunks=(c, -1)), y, fraction=0.5, strategy=name, on_invalid="drop")
        for c in (6000, 999)
    ]
    assert bits(found[0]) == bits(found[1])
    assert not {7, 4999} & set(found[0].indices)
    assert found[0].provenance["rows_dropped"] == 2
    assert len(found[0]) == 2999
    assert np.isclose(found[0].weights.sum(dtype=float), 5998)


# ---------------------------------------------------------------- to zarr and back


def test_coreset__round_trip_is_bit_for_bit(labelled, tmp_path):
    names = labelled.names
    time = np.datetime64("2013-01-01", "s") + np.arange(len(names))
    coreset = distill(
        *lazily(labelled, 7_919, names=True),
        fraction=0.1,
        carry={"time": time, "image": labelled.X.reshape(-1, 2, 3)},
        certify=True,
    )
    coreset.to_zarr(tmp_path / "out.zarr")
    back = open_coreset(tmp_path / "out.zarr")
    assert bits(back) == bits(coreset)
    assert np.array_equal(back.features.compute(), labelled.X[coreset.indices])
    assert back.labels.compute().tolist() == names[coreset.indices].tolist()
    assert np.array_equal(back.carry["time"].compute(), time[coreset.indices])
    assert np.array_equal(back.carry["image"].compute(), labelled.X.reshape(-1, 2, 3)[back.indices])
    told, before = dict(back.provenance), json.loads(json.dumps(coreset.provenance))
    # writing moves bytes, too
    assert told.pop("bytes_on_the_wire")["total"] >= before.pop("bytes_on_the_wire")["total"]
    assert told == before
    assert back.certificate == coreset.certificate
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert group["X"].metadata.dimension_names == ("row", "feature")
    assert group["index"].dtype == np.int64
    assert group["weight"].dtype == np.float32
    assert set(group["score"].array_keys()) == set(coreset.scores)


def test_coreset__repr_is_short_and_says_what_it_is(reference):
    assert repr(reference["auto"]) == "Coreset(1,500 rows, 5.0% of 30,000, strategy='auto')"


@pytest.mark.filterwarnings("default::dask_distill.SelectionWarning")
def test_seed__where_no_seed_plays_a_part_that_is_said():
    X = np.random.default_rng(0).normal(size=(500, 3))
    with pytest.warns(SelectionWarning, match=r"kcenter does not use seed: .* got 7; leave it out"):
        other = distill(X, size=20, strategy="kcenter", seed=7)
    assert np.array_equal(other.indices, distill(X, size=20, strategy="kcenter").indices)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        distill(X, size=20, strategy="kcenter", seed=7, reduce="pca:2")
