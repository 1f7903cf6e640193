"""A selection that dies goes on from its last question; what is read there is never unpickled."""

import threading
from contextlib import nullcontext
from dataclasses import dataclass

import dask
import dask.array as da
import numpy as np
import pytest

from dask_distill.conversation.codec import NotDecodable, NotEncodable, decode, encode, is_sound
from dask_distill.conversation.journal import Journal
from dask_distill.conversation.protocol import Selection
from dask_distill.data.dataset import as_dataset
from dask_distill.data.weighted import with_weights
from dask_distill.errors import DistillError
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.pipeline import distill_to_zarr
from dask_distill.selection import choose as selecting
from dask_distill.selection.certify import _Certifier
from dask_distill.selection.request import Request
from dask_distill.spaces.fitted import Linear
from dask_distill.spaces.own import Function
from dask_distill.spaces.reduce import Reducing
from dask_distill.spaces.reductions import PCA
from dask_distill.storage import group as store
from dask_distill.strategies import make_strategy

# ---------------------------------------------------------------- bytes and back


def test_codec__gives_back_what_it_was_given():
    shared = np.arange(4.0)
    value = {
        "plain": (None, True, 3, -0.0, 1e300, float("inf"), "ü"),
        7: [shared, shared, np.float32(0.1)],
        "text": np.array(["a", "bc"]),
        "none": np.empty((0, 3), np.int32),
        "object": Selection(np.arange(2), shared, None, {"margin": shared}),
    }
    back = decode(encode(value))
    assert back["plain"] == value["plain"]
    assert back[7][0] is back[7][1] is back["object"].scores["margin"]
    assert type(back[7][2]) is np.float32
    assert back["text"].dtype == "U2"
    assert back["none"].shape == (0, 3)
    assert isinstance(back["object"], Selection)


@pytest.mark.parametrize("d", [2, 8, 20])
def test_codec__a_traversal_goes_on_with_the_same_bits(d):
    X = np.random.default_rng(d).normal(size=(3000, d)).astype(np.float32)
    whole = FarthestFirst(X)
    whole.extend(300)
    part = FarthestFirst(X)
    part.extend(100)
    data = encode(part, {"X": X})
    assert len(data) < 200_000
    again = decode(data, {"X": X})
    again.extend(300)
    assert np.array_equal(again.indices, whole.indices)
    assert np.array_equal(again.squared_radii, whole.squared_radii)
    with pytest.raises(NotDecodable, match="array X is not what it was"):
        decode(data, {"X": X + 1})


@dataclass
class Foreign:
    value: int = 0


@pytest.mark.parametrize("value", [print, Foreign(), {1}, b"bytes", np.array([print]), [lambda: 0]])
def test_codec__what_is_not_ours_is_not_written(value):
    with pytest.raises(NotEncodable):
        encode(value)


@pytest.mark.parametrize(
    "path",
    ["os:system", "builtins:eval", "dask_distill.storage.group:uuid", "dask_distill.cli:main", "x"],
)
def test_codec__nothing_but_our_classes_is_made(path, monkeypatch):
    data = encode(Selection(np.arange(2), np.ones(2), None))
    import hashlib

    body = data[31:].replace(b"dask_distill.conversation.protocol:Selection", path.encode())
    size = int.from_bytes(data[31:39], "little") + len(path) - 35
    body = size.to_bytes(8, "little") + body[8:]
    forged = data[:15] + hashlib.blake2b(body, digest_size=16).digest() + body
    with pytest.raises(NotDecodable):
        decode(forged)


def test_codec__damage_is_seen():
    data = encode([np.arange(100)])
    for place in range(0, len(data), 37):
        spoiled = bytearray(data)
        spoiled[place] ^= 4
        with pytest.raises(NotDecodable):
            decode(bytes(spoiled))
    with pytest.raises(NotDecodable):
        decode(data[:-1])


@pytest.mark.parametrize("earlier", [1, 2])
def test_codec__what_was_written_before_classes_moved_is_not_sound(earlier):
    data = encode({"a": 1})
    name = data[: data.index(b"\n")].rpartition(b" ")[0]
    assert not is_sound(name + b" %d" % earlier + data[data.index(b"\n") :])


# ---------------------------------------------------------------- selections


class Counter:
    """Counts what the coordinator and the blocks of a strategy do; may fail."""

    def __init__(self, monkeypatch, kind):
        self.lock = threading.Lock()
        self.calls = {}
        self.asked = self.observed = self.advanced = 0
        self.fail_observe = self.fail_advance = None
        self.wrap(monkeypatch, selecting, "ask", "asked")
        self.wrap(monkeypatch, kind, "observe", "observed", "fail_observe")
        self.wrap(monkeypatch, kind, "advance", "advanced", "fail_advance")

    def wrap(self, monkeypatch, where, name, count, fail=None):
        whole = getattr(where, name)

        def counted(*args):
            with self.lock:
                calls = self.calls[name] = self.calls.get(name, 0) + 1
            if fail and getattr(self, fail) == calls - 1:
                raise DistillError("the cluster died")
            result = whole(*args)
            # a state that stays as it is was no work
            if len(args) < 2 or result is not args[1]:
                with self.lock:
                    setattr(self, count, getattr(self, count) + 1)
            return result

        monkeypatch.setattr(where, name, counted)


def dataset(labelled, weighted=False):
    X = labelled.X[:20_000]
    plain = as_dataset(da.from_array(X, chunks=(3000, -1)), labelled.y[:20_000])
    return with_weights(plain, 1 + np.arange(20_000) % 7) if weighted else plain


LONG = [
    ("auto", {"proxy": "linear"}),
    ("stratified", {}),
    ("kcenter", {}),
    ("kcenter", {"exact": "true"}),
    ("kmeans", {}),
    ("kmedoids", {}),
    ("dbscan", {"eps": "0.5"}),
]


@pytest.mark.parametrize(
    ("name", "options", "weighted"),
    [(*each, False) for each in LONG] + [("stratified", {}, True), ("kmeans", {}, True)],
    ids=lambda v: str(v),
)
def test_resume__goes_on_from_the_last_question(
    labelled, tmp_path, monkeypatch, name, options, weighted
):
    strategy = make_strategy(name, options)
    request = Request(strategy=strategy, size=200)
    whole, first, second = (), (), ()
    with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"}):

        def run(target, resume=False, **fail):
            with monkeypatch.context() as patch:
                count = Counter(patch, type(strategy))
                for what, at in fail.items():
                    setattr(count, what, at)
                words = "the cluster died; what is finished is kept"
                with pytest.raises(DistillError, match=words) if fail else nullcontext():
                    source = dataset(labelled, weighted)
                    distill_to_zarr(source, target, request, resume=resume)
                return count

        whole = run(tmp_path / "whole")
        # dies when most is done, in the middle of a round
        first = run(tmp_path / "t", fail_observe=int(0.8 * whole.calls["observe"]))
        second = run(tmp_path / "t", resume=True)
        assert (first.asked, second.asked) == (1, 0)
        # coordinator and blocks did together what an undisturbed run does, and nothing twice
        assert first.advanced + second.advanced == whole.advanced
        finished = first.observed
        redone = first.observed + second.observed - whole.observed
        assert redone <= 0.1 * finished, (first.observed, second.observed, whole.observed)
        # and once more, on the coordinator
        run(tmp_path / "u", fail_advance=whole.advanced - 1)
        last = run(tmp_path / "u", resume=True)
        assert last.advanced == 1
        assert last.observed <= 0.1 * whole.observed
    digest = store.summary(tmp_path / "whole")["digest"]
    for target in ("t", "u"):
        assert store.verify(tmp_path / target).ok
        assert store.summary(tmp_path / target)["digest"] == digest


def test_resume__damaged_or_lost_states_are_replayed(labelled, tmp_path, monkeypatch):
    strategy = make_strategy("kmeans")
    request = Request(strategy=strategy, size=100)
    with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"}):
        expected = distill_to_zarr(dataset(labelled), tmp_path / "whole", request)[1]["digest"]
        with monkeypatch.context() as patch:
            count = Counter(patch, type(strategy))
            count.fail_advance = 5
            with pytest.raises(DistillError):
                distill_to_zarr(dataset(labelled), tmp_path / "t", request)
        states = sorted(tmp_path.glob(".t.resume-*/select/state-*/*"))
        states[0].write_bytes(states[0].read_bytes()[:-1])
        states[1].unlink()
        [last] = tmp_path.glob(".t.resume-*/select/turn-5")
        last.write_bytes(b"?")
        assert (
            distill_to_zarr(dataset(labelled), tmp_path / "t", request, resume=True)[1]["digest"]
            == expected
        )
    assert [entry.name for entry in sorted(tmp_path.iterdir())] == ["t", "whole"]


def test_journal__short_work_is_not_written(labelled, tmp_path, monkeypatch):
    names = []
    whole = Journal.put

    def put(self, name, *args):
        names.append(name)
        return whole(self, name, *args)

    monkeypatch.setattr(Journal, "put", put)
    with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "1h"}):
        request = Request(strategy=make_strategy("stratified"), size=100)
        distill_to_zarr(dataset(labelled), tmp_path / "t", request)
    assert "schema" in names
    assert not [name for name in names if name.startswith("state")]


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
def test_resume__a_users_model_is_not_written_and_no_hindrance(labelled, tmp_path, monkeypatch):
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(labelled.X[:500] / 100, labelled.y[:500])
    request = Request(strategy=make_strategy("entropy"), size=100, proxy=model)
    expected = distill_to_zarr(dataset(labelled), tmp_path / "whole", request)[1]["digest"]
    with monkeypatch.context() as patch:
        count = Counter(patch, type(request.strategy))
        count.fail_advance = 1
        with pytest.raises(DistillError, match="the cluster died"):
            distill_to_zarr(dataset(labelled), tmp_path / "t", request)
    found = distill_to_zarr(dataset(labelled), tmp_path / "t", request, resume=True)[1]["digest"]
    assert found == expected


# ---------------------------------------------------------------- reductions and certificates


class Calls:
    """Counts calls of a function or method; the one of a number fails."""

    def __init__(self, whole, fail=None):
        self.whole, self.fail, self.number = whole, fail, 0

    def __call__(self, *args):
        self.number += 1
        if self.number - 1 == self.fail:
            raise DistillError("the cluster died")
        return self.whole(*args)


def counted(patch, where, name, fail=None):
    calls = Calls(getattr(where, name), fail)
    patch.setattr(where, name, lambda *args: calls(*args))
    return calls


def written(labelled, target, request, *, resume=False, dies=False, scheduler="sync", worth="0s"):
    words = "the cluster died; what is finished is kept"
    with (
        dask.config.set({"scheduler": scheduler, "distill.checkpoint.worth": worth}),
        pytest.raises(DistillError, match=words) if dies else nullcontext(),
    ):
        return distill_to_zarr(dataset(labelled), target, request, resume=resume)[0]


def halves(rows):
    """A reduction of the user's."""
    return rows[:, :3] / 2


def quarters(rows):
    """Another one, which goes by the same name below."""
    return rows[:, :3] / 4


@pytest.mark.parametrize("reduce", [PCA(3), Function(halves)], ids=["pca", "function"])
@pytest.mark.parametrize("phase", ["reduce", "select"])
def test_resume__a_reduction_is_not_fitted_or_applied_again(
    labelled, tmp_path, monkeypatch, reduce, phase
):
    request = Request(strategy=make_strategy("kcenter"), size=60, reduce=reduce)
    applied = "_reduced"
    with monkeypatch.context() as patch:
        blocks = counted(patch, Reducing, applied)
        seen = counted(patch, type(request.strategy), "observe")
        whole = written(labelled, tmp_path / "whole", request)
    where, name, fail = (
        (Reducing, applied, blocks.number * 3 // 4)
        if phase == "reduce"
        else (type(request.strategy), "observe", seen.number * 3 // 4)
    )
    with monkeypatch.context() as patch:
        counted(patch, where, name, fail)
        written(labelled, tmp_path / "t", request, dies=True)
    with monkeypatch.context() as patch:
        fits = counted(patch, PCA, "fit")
        again = counted(patch, Reducing, applied)
        observed = counted(patch, type(request.strategy), "observe")
        found = written(labelled, tmp_path / "t", request, resume=True)
    assert fits.number == 0
    assert again.number == (blocks.number - fail if phase == "reduce" else 0)
    if phase == "select":
        assert observed.number <= 0.4 * seen.number
    assert np.array_equal(found.indices, whole.indices)
    digests = [store.summary(tmp_path / name)["digest"] for name in ("whole", "t")]
    assert digests[0] == digests[1]


def test_resume__what_another_function_has_reduced_is_not_used(labelled, tmp_path, monkeypatch):
    before = Request(strategy=make_strategy("kcenter"), size=60, reduce=Function(halves))
    with monkeypatch.context() as patch:
        patch.setattr(quarters, "__qualname__", "halves")
        after = Request(strategy=make_strategy("kcenter"), size=60, reduce=Function(quarters))
        whole = written(labelled, tmp_path / "whole", after)
        with monkeypatch.context() as inner:
            counted(inner, Reducing, "_reduced", 3)
            written(labelled, tmp_path / "t", before, dies=True)
        with monkeypatch.context() as inner:
            blocks = counted(inner, Reducing, "_reduced")
            found = written(labelled, tmp_path / "t", after, resume=True)
    assert blocks.number == whole.provenance["input"]["blocks"]
    assert np.array_equal(found.indices, whole.indices)


@pytest.mark.parametrize("at_home", [False, True])
def test_resume__quick_reductions_are_not_written(labelled, tmp_path, monkeypatch, at_home):
    monkeypatch.setattr(PCA, "fits_at_home", at_home)
    request = Request(strategy=make_strategy("kcenter"), size=60, reduce=PCA(3))
    with monkeypatch.context() as patch:
        counted(patch, type(request.strategy), "observe", 20)
        written(labelled, tmp_path / "t", request, dies=True, worth="1h")
    assert [path.name for path in tmp_path.glob(".t.resume-*/reduce/*")] == ["reducer"]
    with monkeypatch.context() as patch:
        rows, fits = counted(patch, Linear, "__call__"), counted(patch, PCA, "fit")
        found = written(labelled, tmp_path / "t", request, resume=True)
    # the blocks, and the sample
    assert rows.number == found.provenance["input"]["blocks"] + 1
    assert fits.number == 0
    assert store.verify(tmp_path / "t").ok
    assert len(found) == 60


@pytest.mark.parametrize("reduce", [None, PCA(3)], ids=["plain", "reduced"])
@pytest.mark.parametrize("place", ["observe", "advance"])
def test_resume__a_certificate_goes_on_and_nothing_is_selected_again(
    labelled, tmp_path, monkeypatch, reduce, place
):
    apart = {"initial": np.arange(0, 2_000, 40), "protect": {"sparse": 0.001}}
    request = Request(
        strategy=make_strategy("stratified"), size=200, certify=True, reduce=reduce, **apart
    )
    with monkeypatch.context() as patch:
        seen = counted(patch, _Certifier, "observe")
        said = counted(patch, _Certifier, "advance")
        whole = written(labelled, tmp_path / "whole", request)
    with monkeypatch.context() as patch:
        fail = seen.number * 4 // 5 if place == "observe" else said.number - 1
        counted(patch, _Certifier, place, fail)
        written(labelled, tmp_path / "t", request, dies=True)
    with monkeypatch.context() as patch:
        selected = counted(patch, selecting, "select_rows")
        parted = counted(patch, selecting, "set_apart")
        observed = counted(patch, _Certifier, "observe")
        advanced = counted(patch, _Certifier, "advance")
        found = written(labelled, tmp_path / "t", request, resume=True)
    assert (selected.number, parted.number) == (0, 0)
    assert advanced.number <= 2 if place == "observe" else advanced.number == 1
    assert observed.number <= 0.4 * seen.number
    assert found.certificate == whole.certificate
    assert found.provenance["lost"] == whole.provenance["lost"]
    assert found.provenance["classes"] == whole.provenance["classes"]
    digests = [store.summary(tmp_path / name)["digest"] for name in ("whole", "t")]
    assert digests[0] == digests[1]


# ---------------------------------------------------------------- what need not be written

STRATEGIES_OF_BLOCKS = [
    ("auto", {}),
    ("random", {}),
    ("stratified", {}),
    ("gradient", {"sample": "true"}),
    ("entropy", {}),
    ("strata", {}),
    ("kcenter", {}),
    ("kcenter", {"exact": "true"}),
    ("kmeans", {}),
    ("kmedoids", {}),
    ("dbscan", {"eps": "3"}),
    ("coverage", {}),
    ("hierarchical", {}),
    ("combined", {}),
    ("periods", {"period": "50"}),
    ("spaced", {"min_gap": "2"}),
]


def arrays_of(value, seen):
    """All arrays within a state, each once."""
    if isinstance(value, np.ndarray):
        seen[id(value)] = value
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            arrays_of(item, seen)
    elif type(value).__module__.startswith("dask_distill."):
        own = any("__getstate__" in kind.__dict__ for kind in type(value).__mro__[:-1])
        arrays_of(value.__getstate__() if own else dict(vars(value)), seen)
    return seen


def written_states(monkeypatch, tmp_path, data, name, options, size):
    """States that the pipeline writes: what it leaves out, bytes, number of the question."""
    found, keep, put = [], Journal.keep_state, Journal.put

    def noted(self, block, number, state):
        found.append([state, {}, 0, number])
        keep(self, block, number, state)

    def measured(self, name, value, known=None):
        if found and value is found[-1][0]:
            found[-1][1:3] = known, len(encode(value, known))
        return put(self, name, value, known)

    monkeypatch.setattr(Journal, "keep_state", noted)
    monkeypatch.setattr(Journal, "put", measured)
    with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"}):
        request = Request(strategy=make_strategy(name, options), size=size)
        distill_to_zarr(data, tmp_path / "t", request)
    return found


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
@pytest.mark.parametrize(("name", "options"), STRATEGIES_OF_BLOCKS)
def test_journal__leaves_out_what_a_blocks_rows_give_again(name, options, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9000, 6)).astype(np.float32)
    y = rng.integers(0, 3, 9000)
    X[:, 0] += y
    data = as_dataset(da.from_array(X, chunks=(2500, -1)), y, time=np.arange(9000.0))
    for state, known, *_ in written_states(monkeypatch, tmp_path, data, name, options, 300):
        left_out = {id(array) for array in known.values()}
        for array in arrays_of(state, {}).values():
            if id(array) in left_out or len(array) < 2000:
                continue
            assert array.shape[1:] != (6,), "features are written"
            # row numbers and times are the same here
            if array.ndim == 1 and array.dtype in (np.int64, np.float64) and np.isfinite(array[0]):
                numbers = np.arange(array[0], array[0] + len(array))
                assert not np.array_equal(array, numbers), "row numbers are written"


def test_journal__a_kcenter_state_is_small_as_the_pipeline_writes_it(tmp_path, monkeypatch):
    X = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    data = as_dataset(da.from_array(X, chunks=(5000, -1)))
    found = written_states(monkeypatch, tmp_path, data, "kcenter", {}, 500)
    sizes = {}
    for _, _, size, number in found:
        sizes[number] = sizes.get(number, 0) + size
    # of all blocks together; with features it would be 5.8 MB
    assert 0 < max(sizes.values()) < 600_000


def _died(*_, **__):
    raise DistillError("the cluster died")


def test_resume__a_journal_of_another_layout_is_not_gone_on_from(labelled, tmp_path, monkeypatch):
    """Its values name classes that have moved: all is selected anew, nothing fails."""
    request = Request(strategy=make_strategy("auto"), size=100, reduce=PCA(3), certify=True)
    expected = distill_to_zarr(dataset(labelled), tmp_path / "whole", request)[1]["digest"]
    with dask.config.set({"distill.checkpoint.worth": "0s"}), monkeypatch.context() as patch:
        patch.setattr("dask_distill.conversation.codec._MAGIC", b"dask_distill 1\n")
        patch.setattr("dask_distill.pipeline.write_subset", _died)
        with pytest.raises(DistillError, match="the cluster died"):
            distill_to_zarr(dataset(labelled), tmp_path / "t", request)
    for receipt in tmp_path.rglob("selection.npz"):
        receipt.unlink()
    found = distill_to_zarr(dataset(labelled), tmp_path / "t", request, resume=True)[1]["digest"]
    assert found == expected


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
@pytest.mark.parametrize(("name", "options"), STRATEGIES_OF_BLOCKS)
def test_resume__every_state_that_was_written_is_read_again(name, options, tmp_path, monkeypatch):
    """What is left out of it is what the block gives at its start."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(9000, 6)).astype(np.float32)
    y = rng.integers(0, 3, 9000)
    X[:, 0] += y
    data = as_dataset(da.from_array(X, chunks=(2500, -1)), y, time=np.arange(9000.0))
    request = Request(strategy=make_strategy(name, options), size=300)
    get, found = Journal.get, []

    def spied(self, key, known=None):
        value = get(self, key, known)
        if key.startswith("state-"):
            found.append(value is not None)
        return value

    with dask.config.set({"scheduler": "sync", "distill.checkpoint.worth": "0s"}):
        with monkeypatch.context() as patch:
            patch.setattr("dask_distill.pipeline.write_subset", _died)
            with pytest.raises(DistillError, match="the cluster died"):
                distill_to_zarr(data, tmp_path / "t", request)
        for receipt in tmp_path.rglob("selection.npz"):
            receipt.unlink()
        monkeypatch.setattr(Journal, "get", spied)
        coreset, _ = distill_to_zarr(data, tmp_path / "t", request, resume=True)
    assert found
    assert all(found)
    assert len(coreset) == 300
