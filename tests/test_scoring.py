"""Scores of all rows as Dask arrays: those that strategies select by, whatever the chunks."""

from collections import Counter

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
import zarr
from distributed import wait
from hypothesis import given, settings, strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from dask_distill import distill, score
from dask_distill.data.places import Places
from dask_distill.errors import InputError
from dask_distill.kernels.scores import el2n, entropy, margin
from dask_distill.proxy.criteria import CRITERIA
from dask_distill.scoring import ChunkScorer

X, Y = load_digits(return_X_y=True)
X = X.astype(np.float32)
LOGISTIC = LogisticRegression(max_iter=1000).fit(X[:500], Y[:500])


def computed(scores):
    return dask.compute(dict(scores))[0]


def with_holes():
    holes = X.copy()
    holes[[3, 700, 701, 1500], 5] = np.nan
    return holes


def with_a_stray_value():
    stray = X.copy()
    stray[:, 2] = np.exp(stray[:, 3] / 2)
    stray[11, 2] = 1e9
    return stray


CASES = {
    "plain": (X, {}),
    "doubles": (X.astype(np.float64), {}),
    "pictures": (X.reshape(-1, 8, 8), {}),
    "rows left out": (with_holes(), {"on_invalid": "drop"}),
    "a model of one's own": (X, {"proxy": LOGISTIC}),
    "a model of one's own, rows left out": (
        with_holes(),
        {"proxy": LOGISTIC, "on_invalid": "drop"},
    ),
    "scaled by rank": (X, {"scale": "rank"}),
    "a stray value": (with_a_stray_value(), {}),
    "a stray value, a model of one's own": (with_a_stray_value(), {"proxy": LOGISTIC}),
    "reduced": (X, {"reduce": "pca:5"}),
    "reduced, rows left out": (with_holes(), {"reduce": "pca:5", "on_invalid": "drop"}),
    "pictures, reduced, a model of one's own": (
        X.reshape(-1, 8, 8),
        {"reduce": "random-projection:4", "proxy": LOGISTIC},
    ),
    "in time": (X, {"time": np.arange(len(X)) * 1.0, "time_scale": 100.0}),
    "weights": (X, {"sample_weight": np.arange(len(X)) % 5 + 1.0}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
def test_scores__are_those_that_strategies_select_by(name):
    rows, how = CASES[name]
    wanted = None
    for chunks in (len(X), 100, (1, 255, 512, 1000, 29)):
        features = da.from_array(rows, chunks=(chunks, *rows.shape[1:]))
        scores = score(features, da.from_array(Y, chunks=333), CRITERIA, **how)
        for array in scores.values():
            assert array.chunks == (features.chunks[0],)
            assert array.dtype == np.float32
        found = computed(scores)
        wanted = wanted or found
        for criterion, values in found.items():
            np.testing.assert_array_equal(values, wanted[criterion])
    for strategy in ("gradient", "entropy"):
        options = {"sample": True} if "weights" in name else {}
        coreset = distill(rows, Y, strategy=strategy, options=options, fraction=0.2, **how)
        for criterion, values in coreset.scores.items():
            np.testing.assert_array_equal(values, wanted[criterion][coreset.indices])
    left_out = np.isnan(rows.reshape(len(rows), -1)).any(axis=1)
    for values in wanted.values():
        np.testing.assert_array_equal(np.isnan(values), left_out)


def test_scores__by_what_auto_judges_by():
    wanted = computed(score(X, Y, proxy="ensemble"))
    found = computed(score(da.from_array(X, chunks=(100, 64)), Y, proxy="ensemble"))
    coreset = distill(X, Y, fraction=0.1, options={"trust": 0.3})
    assert set(coreset.scores) == set(wanted)
    for name, values in coreset.scores.items():
        np.testing.assert_array_equal(found[name], wanted[name])
        np.testing.assert_array_equal(values, wanted[name][coreset.indices])


def test_scores__are_what_the_formulas_say_of_the_model():
    found = computed(score(X, Y, CRITERIA, proxy=LOGISTIC))
    P = LOGISTIC.predict_proba(X)
    np.testing.assert_allclose(found["entropy"], entropy(P), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["margin"], margin(P), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["el2n"], el2n(P, Y), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["doubt"], 1 - P.max(axis=1), atol=1e-5)
    own = P[np.arange(len(P)), Y]
    others = np.where(np.arange(10) == Y[:, None], -np.inf, P).max(axis=1)
    np.testing.assert_allclose(found["trust_gap"], others - own, atol=1e-5)


def test_scores__judge_each_chunk_once_for_all_criteria(monkeypatch):
    judged = Counter()
    plain = ChunkScorer.__call__

    def counted(self, X, y, number):
        judged[number] += 1
        return plain(self, X, y, number)

    monkeypatch.setattr(ChunkScorer, "__call__", counted)
    scores = score(da.from_array(X, chunks=(500, 64)), Y, CRITERIA)
    assert not judged
    computed(scores)
    assert judged == dict.fromkeys(range(4), 1)
    judged.clear()
    scores.to_frame().compute()
    assert judged == dict.fromkeys(range(4), 1)
    judged.clear()
    kept = scores.persist()
    computed(kept)
    frame = dd.from_array(da.from_array(X, chunks=(500, 64)))
    assert len(frame.assign(**kept).compute()) == len(X)
    assert judged == dict.fromkeys(range(4), 1)


def test_scores__show_what_they_are_as_tasks():
    features, labels = da.from_array(X, chunks=(500, 64)), da.from_array(Y, chunks=300)
    scores = score(features, labels)
    layers = list(scores["entropy"].dask.layers)
    assert sum(name.startswith("score-entropy-") for name in layers) == 1
    assert scores.table.name.startswith("score-")
    assert any(name.startswith("proxy-") for name in layers)
    # the same question gives the same keys: what is persisted is not made again
    assert score(features, labels).table.name == scores.table.name
    assert score(features, labels, seed=1).table.name != scores.table.name


# dask.dataframe calls pandas so
@pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.set_index")
def test_scores__are_arrays_like_others(tmp_path):
    scores = score(da.from_array(X, chunks=(500, 64)), Y)
    wanted = computed(scores)
    scores["entropy"].to_zarr(str(tmp_path / "entropy.zarr"))
    np.testing.assert_array_equal(zarr.open(tmp_path / "entropy.zarr")[:], wanted["entropy"])
    scores.to_frame().to_parquet(tmp_path / "scores")
    stored = pd.read_parquet(tmp_path / "scores")
    np.testing.assert_array_equal(stored["gradient"], wanted["gradient"])
    assert list(stored) == list(scores) == ["gradient", "entropy", "el2n", "margin"]
    assert "1,797 rows, 4 chunks" in repr(scores)
    assert "score" in scores._repr_html_().lower()
    with pytest.raises(KeyError):
        scores["doubt"]


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
def test_scores__of_a_frame_stand_beside_it():
    frame = pd.DataFrame(X[:, 1:6], columns=list("abcde"))
    frame["town"] = np.where(X[:, 10] > 8, "Oslo", None)
    frame["digit"] = Y
    scores = computed(score(frame, "digit"))
    coreset = distill(frame, "digit", fraction=0.1, strategy="gradient")
    np.testing.assert_array_equal(coreset.scores["el2n"], scores["el2n"][coreset.indices])
    parts = dd.from_pandas(frame, npartitions=3)
    kept = score(parts, "digit").persist()
    together = parts.assign(**kept).compute()
    np.testing.assert_array_equal(together["entropy"], scores["entropy"])


def test_scores__on_workers_of_a_cluster(local_client):
    wanted = computed(score(X, Y))["margin"]
    client = local_client(2)
    scores = score(da.from_array(X, chunks=(300, 64)), Y).persist()
    wait(scores.table)
    assert len(client.who_has(scores.table)) == 6
    np.testing.assert_array_equal(scores.to_frame().compute()["margin"], wanted)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"criteria": ()}, "criteria must name at least one"),
        ({"criteria": ("entropi",)}, "did you mean 'entropy'"),
        ({"criteria": ("entropy", "entropy")}, "named once each"),
        ({"labels": None}, "labels must be given for gradient, el2n, got none"),
        ({"labels": None, "criteria": "entropy"}, "labels must be given to fit the proxy"),
        ({"proxy": LogisticRegression()}, "proxy must be a fitted estimator"),
        (
            {"labels": X[:, 10] / 7},
            "labels must be classes.*; scores are of classes",
        ),
        ({"labels": Y * 0}, "two classes, got only 0.*; scores are of classes"),
        ({"proxy": "liner"}, "proxy must be one of linear, ensemble, or a fitted estimator"),
        ({"seed": -1}, "seed must be an int"),
    ],
)
def test_scores__refuse_in_a_sentence(how, said):
    with pytest.raises(InputError, match=said):
        score(**({"features": X, "labels": Y} | how))


def test_scores__without_labels_need_a_model():
    found = computed(score(X, criteria=("entropy", "margin"), proxy=LOGISTIC))
    np.testing.assert_array_equal(
        found["entropy"], computed(score(X, Y, proxy=LOGISTIC))["entropy"]
    )


@given(st.lists(st.integers(0, 400), min_size=1, unique=True), st.integers(1, 64), st.data())
@settings(max_examples=100, deadline=None)
def test_places__are_those_of_the_row_numbers(numbers, granule, data):
    rows = np.array(sorted(numbers))
    most = granule * data.draw(st.integers(1, 4))
    values = rows * 3.0
    back = np.full(len(rows), np.nan)
    for tile in Places.of(rows, granule).tiles(most):
        assert len(tile.numbers) % granule == 0
        assert len(tile.numbers) <= most
        placed = tile.placed(values)
        there = np.isin(tile.numbers, rows)
        np.testing.assert_array_equal(placed, np.where(there, tile.numbers * 3.0, 0))
        back[tile.rows] = tile.taken(placed)
    np.testing.assert_array_equal(back, values)


@pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")
def test_first_rounds__go_by_name():
    def called(strategy):
        names = set()

        class Seen(dask.callbacks.Callback):
            def _pretask(self, key, *_):
                names.add(dask.utils.key_split(key))

        with Seen():
            distill(da.from_array(X, chunks=(500, 64)), Y, strategy=strategy, fraction=0.1)
        return names

    for strategy in ("gradient", "entropy", "auto"):
        assert "distill-score" in called(strategy)
    assert "distill-candidates" in called("kcenter")
