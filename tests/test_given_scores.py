"""Scores that a selection is given: the same rows as without, and nothing is scored again."""

from collections import Counter

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dask_distill import distill, open_scores, score
from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.scoring import ChunkScorer
from dask_distill.strategies.parts.scorers import Scorer

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")

RNG = np.random.default_rng(0)
N = 9000
Y = RNG.integers(0, 3, N)
X = RNG.normal(size=(N, 6)).astype(np.float32)
X[:, 0] += Y
HOLES = X.copy()
HOLES[[3, 700, 8999], 2] = np.nan
FEATURES, LABELS = da.from_array(X, chunks=(1100, 6)), da.from_array(Y, chunks=2000)
LOGISTIC = LogisticRegression().fit(X[:500], Y[:500])
ALL = ("gradient", "entropy", "el2n", "margin", "trust_gap")


def same(found, wanted):
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.weights, wanted.weights)
    assert set(found.scores) == set(wanted.scores)
    for name, values in wanted.scores.items():
        np.testing.assert_array_equal(found.scores[name], values)


CASES = {
    "gradient": ({}, {}, {}),
    "gradient, a sample": ({}, {}, {"options": {"sample": True}}),
    "gradient, rows left out": ({"on_invalid": "drop"}, {}, {}),
    "gradient, scaled by rank": ({"scale": "rank"}, {}, {}),
    "gradient, another seed": ({"seed": 7}, {}, {"options": {"sample": True}}),
    "gradient, some protected": ({"proxy": LOGISTIC}, {}, {"protect": np.arange(5)}),
    "gradient, rows that weigh": ({"sample_weight": np.arange(N) % 4 + 1.0}, {}, {}),
    "entropy": ({}, {}, {}),
    "entropy, by a model of one's own": ({"proxy": LOGISTIC}, {}, {"options": {"sample": True}}),
    "entropy, when rows were": ({"time": np.arange(N) * 1.0}, {}, {}),
    "strata": ({}, {}, {}),
    "gradient, reduced": ({"reduce": "pca:3"}, {}, {"options": {"sample": True}}),
    "gradient, reduced behind a model": ({"reduce": "pca:3", "proxy": LOGISTIC}, {}, {}),
    "entropy, in time": ({"time": np.arange(N) * 1.0, "time_scale": 200.0}, {}, {}),
    "combined": ({}, {"proxy": "ensemble", "criteria": ALL}, {}),
    "active": ({}, {"proxy": "ensemble"}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_given_scores__give_the_same_rows(name):
    how, made, asked = CASES[name]
    rows = HOLES if "left out" in name else X
    scores = score(da.from_array(rows, chunks=(1300, 6)), LABELS, **how, **made).persist()
    words = {"size": 300, "strategy": name.partition(",")[0], **how, **asked}
    wanted = distill(rows, Y, **words)
    same(distill(da.from_array(rows, chunks=(4096, 6)), LABELS, scores=scores, **words), wanted)


def test_given_scores__are_made_once_for_three_sizes(monkeypatch):
    made, blocks = Counter(), Counter()
    of_chunk, named = ChunkScorer.__call__, Scorer.named

    def chunk(self, X, y, number):
        made[number] += 1
        return of_chunk(self, X, y, number)

    def counted(self, rows, names):
        blocks[type(rows).__name__] += 1
        return named(self, rows, names)

    monkeypatch.setattr(ChunkScorer, "__call__", chunk)
    scores = score(FEATURES, LABELS).persist()
    assert made == dict.fromkeys(range(9), 1)
    monkeypatch.setattr(Scorer, "named", counted)
    for size in (100, 300, 900):
        distill(FEATURES, LABELS, size=size, strategy="gradient", scores=scores)
    assert made == dict.fromkeys(range(9), 1)
    assert not blocks
    distill(FEATURES, LABELS, size=100, strategy="gradient")
    assert blocks == {Block.__name__: 3}


def test_given_scores__on_workers_are_read_where_they_lie(local_client):
    wanted = distill(X, Y, size=300, strategy="entropy")
    local_client(2)
    scores = score(FEATURES, LABELS).persist()
    same(distill(FEATURES, LABELS, size=300, strategy="entropy", scores=scores), wanted)


def test_given_scores__may_be_lazy_or_stored(tmp_path):
    wanted = distill(X, Y, size=300, strategy="gradient")
    scores = score(FEATURES, LABELS)
    same(distill(FEATURES, LABELS, size=300, strategy="gradient", scores=scores), wanted)
    for name in ("scores.zarr", "scores.parquet"):
        scores.write(tmp_path / name)
        stored = open_scores(tmp_path / name)
        found = distill(FEATURES, LABELS, size=300, strategy="gradient", scores=stored)
        same(found, wanted)
    assert found.provenance["parameters"]["scores"] == ["gradient", "entropy", "el2n", "margin"]


def test_given_scores__show_those_that_are_there():
    scores = score(FEATURES, LABELS, "gradient")
    found = distill(FEATURES, LABELS, size=300, strategy="gradient", scores=scores)
    assert set(found.scores) == {"gradient"}


def test_first_rounds__tasks_have_the_names_of_what_they_do():
    def called(**how):
        names = set()

        class Seen(dask.callbacks.Callback):
            def _pretask(self, key, *_):
                names.add(dask.utils.key_split(key))

        with Seen():
            distill(FEATURES, LABELS, size=300, strategy="gradient", **how)
        return names

    scores = score(FEATURES, LABELS)
    assert {layer.partition("-")[0] for layer in scores.table.dask.layers} >= {"score", "proxy"}
    assert "distill-score" in called()
    assert "distill-score" not in called(scores=scores.persist())


def other(**words):
    return score(FEATURES, LABELS, **words)


REFUSED = {
    "scores must be what dask_distill.score or open_scores gives, got dict": lambda: (
        {"scores": {"gradient": np.ones(N)}}
    ),
    "a strategy that ranks by them, .*gradient.*, got auto": lambda: (
        {"scores": other(), "strategy": "auto"}
    ),
    "scores must be given to a strategy that ranks by them, .*, got kcenter": lambda: (
        {"scores": other(), "strategy": "kcenter"}
    ),
    "of the 9000 rows of features, got 500": lambda: {"scores": score(X[:500], Y[:500])},
    "of the values of features, labels and sample weights, got scores of others": lambda: (
        {"scores": score(X + 1, Y)}
    ),
    "where a selection has one, got scores without it": lambda: (
        {"scores": other(), "time": np.arange(N) * 1.0}
    ),
    "where a selection has one, got scores with it": lambda: (
        {"scores": score(X, Y, time=np.arange(N) * 1.0)}
    ),
    "scores must hold gradient for strategy gradient, got entropy, margin": lambda: (
        {"scores": other(criteria=("entropy", "margin"))}
    ),
    "scores must hold trust_gap for strategy combined": lambda: (
        {"scores": other(proxy="ensemble"), "strategy": "combined"}
    ),
    "judges by, linear, got ensemble": lambda: {"scores": other(proxy="ensemble")},
    "judges by, ensemble, got linear": lambda: (
        {"scores": other(criteria=ALL), "strategy": "combined"}
    ),
    "judges by, LogisticRegression, got linear": lambda: {"scores": other(), "proxy": LOGISTIC},
    "with the seed that distill is given, 1, got 0": lambda: {"scores": other(), "seed": 1},
    "with the scale that distill is given, 'rank', got 'auto'": lambda: (
        {"scores": other(), "scale": "rank"}
    ),
    "proxy of your own beside protect, got none": lambda: (
        {"scores": other(), "protect": np.arange(5)}
    ),
    "scores must be made with the reduce that distill is given": lambda: (
        {"scores": other(), "reduce": "pca:2"}
    ),
    'where labels are classes, got task="regression"': lambda: (
        {"scores": other(), "task": "regression"}
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_given_scores__that_do_not_fit_are_refused(said):
    with pytest.raises(InputError, match=said):
        distill(X, Y, **({"size": 300, "strategy": "gradient"} | REFUSED[said]()))


def test_given_scores__must_be_known_of_rows_that_can_be_selected():
    scores = score(HOLES, Y, on_invalid="drop")
    # as those of a source that has changed since
    scores.provenance["input"].pop("fingerprint")
    with pytest.raises(InputError, match="got NaN by gradient in row 3"):
        distill(X, Y, size=300, strategy="gradient", on_invalid="drop", scores=scores)
