"""What is projected, and what is refused by it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr

from dask_distill import distill, open_dataset
from dask_distill.data.dataset import as_dataset
from dask_distill.errors import InputError
from dask_distill.selection.plan import make_plan, plan_of, refuse_unfit
from dask_distill.selection.request import Request
from dask_distill.strategies import make_strategy

GiB = 2**30
N = 2_000
WORDS = [f"{i:05d}" + "ä" * (i % 50) for i in range(N)]
UTF8 = sum(len(word.encode()) for word in WORDS) / N


@pytest.fixture
def plan():
    data = as_dataset(np.zeros((5000, 4), "f4"), np.arange(5000) % 2)
    return make_plan(data, Request(strategy=make_strategy("auto"), size=100))


def test_refuse_unfit__says_what_is_needed_and_what_is_there(plan):
    with pytest.raises(InputError, match=r"needs .* GiB on a worker and 0.1 GiB are allowed; add"):
        refuse_unfit(plan, [(GiB, 1), (GiB // 10, 1)])


def test_refuse_unfit__threads_share_a_workers_memory(plan):
    limit = plan.coordinator_bytes + 2**20
    refuse_unfit(plan, [(limit, 1)])
    with pytest.raises(InputError, match="on a worker with 5000 threads"):
        refuse_unfit(plan, [(limit, 5000)])


def test_refuse_unfit__without_limits_nothing_is_refused(plan):
    refuse_unfit(plan, [])
    refuse_unfit(plan, [(0, 4)])


def test_refuse_unfit__again_when_classes_are_counted(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(9_000, 4)).astype("f4"), np.arange(9_000) % 3_000
    asked = Request(strategy=make_strategy("auto"), size=3_000).of(as_dataset(X, y))
    few, many, unknown = (plan_of(asked, 1, classes) for classes in (10, 3_000, None))
    assert few.coordinator_bytes + 2**27 < many.coordinator_bytes <= unknown.coordinator_bytes
    limit = (few.coordinator_bytes + many.coordinator_bytes) // 2
    monkeypatch.setattr("dask_distill.selection.plan.limits_here", lambda _: [(limit, 1)])
    with pytest.raises(InputError, match=r"GiB on the coordinator and .* are allowed"):
        distill(X, y, size=3_000)
    distill(X, y % 10, size=3_000)


def test_plan__lane_of_a_chunk_that_several_blocks_need():
    """Cut for blocks that wait, while it, or the next, is read: as stored and decoded."""
    import dask.array as da

    def lane(chunk):
        zeros = da.zeros((1_000_000, 64), dtype="f4", chunks=(chunk, 64))
        return make_plan(
            as_dataset(zeros), Request(strategy=make_strategy("random"), size=100)
        ).lane_bytes

    assert lane(65_536) == lane(10_000)
    assert lane(500_000) == pytest.approx(4 * 500_000 * 64 * 4, rel=0.001)
    assert lane(1_000_000) == pytest.approx(3 * 1_000_000 * 64 * 4, rel=0.001)


# ---------------------------------------------------------------- text


def parquet(**more):
    pq.write_table(pa.table({"a": np.arange(float(N)), "t": WORDS}), "in.parquet", **more)
    return open_dataset("in.parquet", carry=["t"])


def small_chunks():
    group = zarr.open_group("in.zarr", mode="w")
    group.create_array("X", data=np.zeros((N, 1)))
    kind = np.dtypes.StringDType()
    # every chunk has words of all lengths
    group.create_array("t", shape=(N,), chunks=(100,), dtype=kind)[:] = np.array(WORDS, kind)
    return open_dataset("in.zarr", carry=["t"])


@pytest.mark.parametrize(
    "open_one",
    [
        parquet,
        lambda: parquet(row_group_size=300),
        lambda: parquet(use_dictionary=False),
        lambda: parquet(use_dictionary=False, column_encoding={"t": "DELTA_LENGTH_BYTE_ARRAY"}),
        small_chunks,
    ],
)
def test_plan__written_counts_text(tmp_path, monkeypatch, open_one):
    monkeypatch.chdir(tmp_path)
    made = make_plan(open_one(), Request(strategy=make_strategy("random"), fraction=1.0))
    assert made.unmeasured == ()
    # a dictionary hides how long words are: its ends tell about
    assert made.bytes_written == pytest.approx(N * (8 + 12 + UTF8), rel=0.3)


def test_plan__written_counts_carried_numbers():
    carry = {"wide": np.zeros((N, 7), "f4")}
    dataset = as_dataset(np.zeros((N, 2)), carry=carry)
    made = make_plan(dataset, Request(strategy=make_strategy("random"), size=10))
    assert made.bytes_written == 10 * (2 * 8 + 7 * 4 + 12)


@pytest.mark.parametrize("statistics", [True, False])
def test_plan__says_of_which_text_nothing_tells_the_length(tmp_path, monkeypatch, statistics):
    monkeypatch.chdir(tmp_path)
    dataset = parquet(write_statistics=statistics)
    made = make_plan(dataset, Request(strategy=make_strategy("random"), size=10))
    assert made.unmeasured == (() if statistics else ("t",))
    in_memory = as_dataset(np.zeros((N, 1)), carry={"word": np.array(WORDS, object)})
    made = make_plan(in_memory, Request(strategy=make_strategy("random"), size=10))
    assert made.unmeasured == ("word",)
    assert made.bytes_written == 10 * (8 + 12 + 32)
