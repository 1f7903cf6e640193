"""Trained on everything, out of core: every row once, as by a loop, a few blocks at a time."""

import json
import re
import threading
import weakref
from contextlib import nullcontext
from dataclasses import dataclass, field

import dask
import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_distill import Evaluation, InputError, distill, open_dataset
from dask_distill.cli.main import cli
from dask_distill.conversation.run import Run
from dask_distill.curve import size_curve
from dask_distill.data.blocks import block_bounds
from dask_distill.data.dataset import as_dataset
from dask_distill.evaluation.learner import Learner
from dask_distill.evaluation.training import block_models, standard_models_named
from dask_distill.evaluation.whole import TOGETHER, blocks_of, learnt

N = 30_000
SGD = SGDClassifier(loss="log_loss", random_state=0)
HOW = {"everything": "all", "seeds": 2, "max_rows": 2000, "models": SGD}


class Counting(ClassifierMixin, BaseEstimator):
    """Writes down the row numbers that the last feature holds, and answers the first class."""

    def fit(self, X, y, sample_weight=None):
        self.seen_, self.weights_ = [], []
        return self.partial_fit(X, y, sample_weight=sample_weight)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        self.seen_ = [*getattr(self, "seen_", []), X[:, -1].astype(int)]
        self.weights_ = [*getattr(self, "weights_", []), sample_weight]
        self.classes_ = np.arange(3)
        return self

    def predict(self, X):
        return np.zeros(len(X), int)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    X[:, -1] = np.arange(N)
    y = np.array(["a", "b", "c"])[(X[:, 0] > 0) + (X[:, 1] > 1).astype(int)]
    return X, y


@pytest.fixture(scope="module")
def drawn(data):
    return distill(*data, fraction=0.02, strategy="random")


def learner(model, tests=(), classes=3, **more):
    values = {"until": None, "weight": None, "counts": np.zeros(classes)} | more
    return Learner(
        name="it", seed=0, model=model, steps=[], tests=np.sort(np.array(tests, np.int64)), **values
    )


def learnt_from(X, y, *learners, passes=1, **more):
    dataset = as_dataset(X, y, **more)
    return learnt(Run.here(), dataset, learners, ("a", "b", "c"), 0, passes)


# ---------------------------------------------------------------- every row


def test_everything__every_row_is_seen_once_but_those_tested_on(data):
    tests = np.arange(5, N, 7)
    (found,) = learnt_from(*data, learner(Counting(), tests))
    seen = np.concatenate(found.model.seen_)
    assert np.array_equal(np.sort(seen), np.setdiff1d(np.arange(N), tests))
    assert found.counts.sum() == len(seen)
    # in blocks cut at fixed rows, in another order than they lie in
    assert max(map(len, found.model.seen_)) <= max(block_bounds(N, 4))
    firsts = [part[0] for part in found.model.seen_]
    assert len(firsts) == len(block_bounds(N, 4)) > TOGETHER
    assert firsts != sorted(firsts)


def test_everything__several_passes_see_rows_as_often_each_in_an_order_of_its_own(data):
    (found,) = learnt_from(*data, learner(Counting()), passes=3)
    seen = np.concatenate(found.model.seen_)
    assert np.array_equal(np.bincount(seen), np.full(N, 3))
    firsts = np.array([part[0] for part in found.model.seen_]).reshape(3, -1)
    assert not np.array_equal(firsts[0], firsts[1])


def test_everything__rows_that_are_not_valid_are_left_out(data):
    X, y = data[0].copy(), data[1].astype(object)
    X[::10, 1] = np.nan
    y[3::10] = None
    y[4::10] = "of no class here"
    (found,) = learnt_from(X, y, learner(Counting()))
    seen = np.concatenate(found.model.seen_)
    assert np.array_equal(np.sort(seen), np.flatnonzero(~np.isin(np.arange(N) % 10, (0, 3, 4))))


def test_everything__no_later_row_is_seen_and_weights_go_along(data):
    times = np.arange(N)[::-1] * 2.0
    weights = 1.0 + np.arange(N) % 5
    dataset = as_dataset(*data, time=times)
    dataset = type(dataset)(**{**vars(dataset), "sample_weight": da.from_array(weights)})
    one = learner(Counting(), until=20_000.0, weight=2.0)
    (found,) = learnt(Run.here(), dataset, [one], ("a", "b", "c"), 0, 1)
    seen = np.concatenate(found.model.seen_)
    assert np.array_equal(np.sort(seen), np.flatnonzero(times <= 20_000))
    assert np.array_equal(np.concatenate(found.model.weights_), weights[seen] / 2)


# ---------------------------------------------------------------- the same as a loop


def plain_loop(X, y, model, tests=(), passes=1):
    """What the learners do, without Dask and dask-ml."""
    codes = np.unique(y, return_inverse=True)[1]
    blocks = blocks_of(as_dataset(X, y), ("a", "b", "c"), 0, passes)
    for _, about in blocks:
        for part in about.blocks:
            rows = np.setdiff1d(part.compute()["row"], tests)
            model.partial_fit(X[rows], codes[rows], classes=np.arange(3))
    return model


@pytest.mark.parametrize("chunk", [N, 1234])
@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_everything__equals_a_plain_loop_for_any_chunking(data, chunk, scheduler):
    X, y = data
    tests = np.arange(0, N, 3)
    expected = plain_loop(X, y, SGDClassifier(random_state=4), tests, passes=2)
    parts = da.from_array(X, chunks=(chunk, 2)), da.from_array(y, chunks=chunk + 7)
    with dask.config.set(scheduler=scheduler):
        found, bayes = learnt_from(
            *parts,
            learner(SGDClassifier(random_state=4), tests),
            learner(GaussianNB()),
            passes=2,
        )
    assert np.array_equal(found.model.coef_, expected.coef_)
    assert np.array_equal(bayes.model.theta_, plain_loop(X, y, GaussianNB(), passes=2).theta_)


def test_everything__same_on_a_cluster(data, drawn, local_client):
    here = drawn.evaluate(*data, **HOW)
    local_client(2)
    there = drawn.evaluate(*(da.from_array(part, chunks=5000) for part in data), **HOW)
    assert [s.accuracy for s in here.scores] == [s.accuracy for s in there.scores]


def test_everything__figures_are_of_a_model_of_all_rows(data, drawn):
    found = drawn.evaluate(*data, **HOW | {"models": GaussianNB()})
    assert found.ways() == ("subset", "random", "stratified", "everything", "majority")
    rows = found.score("everything").rows
    assert rows == N - found.test_rows
    assert f"Everything is {rows:,} of 30,000 rows, learnt block by block, once." in found.notes
    assert "of training on everything" in found.verdict
    assert not any("drawn at random" in note for note in found.notes[:1])
    # the moments of all rows, whatever the blocks
    part = drawn.evaluate(
        *data, **HOW | {"models": GaussianNB(), "max_rows": N, "everything": "part"}
    )
    assert found.score("everything").accuracy == pytest.approx(
        part.score("everything").accuracy, abs=0.01
    )


def test_everything__steps_before_the_model_are_fitted_on_the_part(data, drawn):
    pipeline = make_pipeline(StandardScaler(), SGD)
    found = drawn.evaluate(*data, **HOW | {"models": {"scaled": pipeline, "as they are": SGD}})
    scaled, plain = (found.score("everything", name) for name in ("scaled", "as they are"))
    # unscaled, the row numbers drown all else
    assert scaled.accuracy > plain.accuracy + 0.1
    assert scaled.rows == plain.rows == N - found.test_rows


# ---------------------------------------------------------------- memory


@dataclass
class Alive:
    """Counts arrays that are made, and those of them that are still there."""

    now: int = 0
    most: int = 0
    made: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, block):
        fresh = np.array(block)
        with self.lock:
            self.now, self.made = self.now + 1, self.made + 1
            self.most = max(self.most, self.now)
        weakref.finalize(fresh, self._gone)
        return fresh

    def _gone(self):
        with self.lock:
            self.now -= 1


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_everything__few_blocks_are_in_memory_at_a_time_each_read_once(scheduler):
    n, d = 200_000, 4
    bounds = block_bounds(n, d)
    assert len(bounds) > 3 * TOGETHER
    rng, alive = np.random.default_rng(0), Alive()
    X = da.from_array(rng.normal(size=(n, d)), chunks=(bounds, d))
    X = X.map_blocks(alive, meta=np.empty((0, 0)))
    y = np.array(["a", "b", "c"])[rng.integers(0, 3, n)]
    with dask.config.set(scheduler=scheduler, num_workers=2):
        learners = learnt_from(X, y, learner(SGDClassifier()), learner(GaussianNB(), [3]))
    assert [one.counts.sum() for one in learners] == [n, n - 1]
    assert alive.made == len(bounds)
    # let go before the next ones are read; a thread may still hold its last one
    assert alive.most <= TOGETHER + 2


# ---------------------------------------------------------------- words


def test_everything__rows_sorted_by_class_are_told(data):
    X, y = data
    order = np.argsort(y, kind="stable")
    coreset = distill(X[order], y[order], fraction=0.02, strategy="random")
    found = coreset.evaluate(X[order], y[order], **HOW | {"models": GaussianNB()})
    (told,) = [note for note in found.notes if note.startswith("Rows lie sorted by class")]
    # 7 or 8 blocks, of which one or two have rows of two classes
    assert re.search(r"\(a block tells [789]\d% of it\)", told)
    mixed = distill(X, y, fraction=0.02, strategy="random")
    notes = mixed.evaluate(X, y, **HOW | {"models": GaussianNB()}).notes
    assert not any("sorted by class" in note for note in notes)


def test_block_models__are_named_beside_the_standard_ones():
    assert list(standard_models_named(["sgd", "naive-bayes", "boosting"])) == [
        *("sgd", "naive bayes", "boosting"),
    ]
    for model in block_models().values():
        last = model.steps[-1][1] if hasattr(model, "steps") else model
        assert hasattr(last, "partial_fit")


class Stubborn(GaussianNB):
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        raise ValueError("no block is good enough")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"everything": "most"}, 'everything must be "part", "all" or "all:3" .*, got \'most\''),
        ({"everything": "all:0"}, "got 'all:0'"),
        (
            {"models": {"lr": LogisticRegression(), "nb": GaussianNB()}},
            r"needs models that learn block by block \(partial_fit\), got lr; choose others",
        ),
        (
            {"models": Stubborn()},
            "learn block by block for everything='all', but Stubborn on .* no block is good enough",
        ),
    ],
)
def test_everything__refuses_in_one_sentence(data, drawn, more, sentence):
    with pytest.raises(InputError, match=sentence):
        drawn.evaluate(*data, **HOW | more)


def test_everything__a_model_that_fails_on_a_worker_ends_in_the_same_sentence(
    data, drawn, local_client
):
    local_client(2)
    with pytest.raises(InputError, match=r"but Stubborn on .* no block is good enough; choose"):
        drawn.evaluate(*data, **HOW | {"models": Stubborn()})


def test_command__everything_is_all_rows(data, tmp_path, monkeypatch):
    monkeypatch.setattr("dask_distill.clusters.connect.connect", lambda **places: nullcontext())
    monkeypatch.chdir(tmp_path)
    group = zarr.open_group("in.zarr", mode="w")
    group.create_array("X", data=data[0], chunks=(3000, 4))
    group.create_array("y", shape=(N,), dtype="str")[:] = data[1]
    distill(open_dataset("in.zarr"), fraction=0.02, strategy="random").to_zarr("out.zarr")
    words = ["evaluate", "out.zarr", "--source", "in.zarr", "--seeds", "2", "--everything", "all:2"]
    done = CliRunner().invoke(cli, [*words, "--model", "sgd", "--model", "naive-bayes", "--json"])
    assert done.exit_code == 0, done.output
    found = Evaluation.from_dict(json.loads(done.stdout))
    assert found.score("everything").rows == N - found.test_rows
    assert any("learnt block by block, 2 times" in note for note in found.notes)
    assert {score.model for score in found.scores} == {"all models", "sgd", "naive bayes"}


# ---------------------------------------------------------------- of a curve


def test_curve__of_all_rows_learns_from_all_but_those_tested_on(data):
    X, y = data
    how = {"sizes": [100], "strategies": ["random"]} | HOW
    found = size_curve(X, y, **how)
    (full,) = found.line("everything", "SGDClassifier")
    assert full.rows == N - found.test_rows
    assert full.share == 1
    (point,) = found.line("random", "SGDClassifier")
    assert (point.rows, point.share) == (100, 100 / full.rows)
    assert point.kept == pytest.approx(point.accuracy / full.accuracy)
    assert any(f"Everything is {full.rows:,} of {N:,} rows" in note for note in found.notes)
    again = size_curve(da.from_array(X, chunks=(7000, 4)), da.from_array(y, chunks=999), **how)
    same = again.line("everything", "SGDClassifier")[0]
    assert (same.accuracy, same.log_loss) == (full.accuracy, full.log_loss)
    part = size_curve(X, y, **{**how, "everything": "part"})
    assert part.line("everything")[0].rows == part.selected_from == 2000
    assert part.line("random", "SGDClassifier")[0].accuracy == point.accuracy


def test_curve__of_all_rows_wants_models_that_can(data):
    with pytest.raises(InputError, match="needs models that learn block by block"):
        size_curve(*data, everything="all", models=LogisticRegression())
