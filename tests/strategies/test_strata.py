"""strata: the hardest rows left out, the others drawn alike from all levels of difficulty."""

import dask
import dask.array as da
import numpy as np
import pytest
from blocks import schema_and_blocks, select
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.quotas import largest_remainder
from dask_distill.kernels.streams import Stream
from dask_distill.proxy.fitting import fit_softmax
from dask_distill.proxy.models import score
from dask_distill.proxy.scaling import Scaling
from dask_distill.strategies import Strata
from dask_distill.strategies.strata import difficulty


def data(n=3_000, d=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.normal(size=(3, d))[y] * 2 + rng.normal(size=(n, d))
    return X.astype(np.float32), y


def brute_force(strategy, X, y, size, seed=0):
    """Sort, cut, draw: rows and weights."""
    schema, (block,) = schema_and_blocks(X, y, seed=seed)
    scores = score(fit_softmax(schema), Scaling.of(schema), X, block.rows, block.codes)
    hard = difficulty(scores, strategy.score)
    n = len(X)
    kept = n - min(int(strategy.drop * n), n - size)
    easy = np.sort(np.lexsort((np.arange(n), hard))[:kept])
    low, high = float(hard[easy].min()), float(hard[easy].max())
    width = max(high - low, 1e-300)
    place = ((hard[easy].astype(float) - low) / width * strategy.strata).astype(int)
    place = np.minimum(place, strategy.strata - 1)
    counts = np.bincount(place, minlength=strategy.strata)
    quotas = largest_remainder(size, np.ones(strategy.strata), counts)
    keys = row_hash(easy, seed, stream=Stream.STRATA) >> np.uint64(32)
    rows, weights = [], []
    for stratum in np.flatnonzero(quotas):
        mine = np.flatnonzero(place == stratum)
        mine = mine[np.lexsort((easy[mine], keys[mine]))[: quotas[stratum]]]
        rows.append(easy[mine])
        weights.append(np.full(len(mine), counts[stratum] / quotas[stratum]))
    rows, weights = np.concatenate(rows), np.concatenate(weights)
    return np.sort(rows), weights[np.argsort(rows)]


@pytest.mark.parametrize("parts", [1, 13, [0, 5, 2_990, 5, 0]])
@pytest.mark.parametrize("score", ["el2n", "gradient", "entropy", "margin"])
def test_strata__equals_a_sort_cut_and_draw(score, parts):
    X, y = data()
    strategy = Strata(score=score)
    rows, weights = brute_force(strategy, X, y, 300)
    found = select(strategy, X, y, 300, parts)
    assert np.array_equal(found.rows, rows)
    np.testing.assert_allclose(found.weights, weights)
    assert found.facts["rows_kept"] == 2_100
    assert sum(found.facts["stratum_selected"]) == 300


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0, 0.99), st.integers(1, 60), st.integers(1, 500), st.integers(0, 2**40), st.data()
)
def test_strata__equals_brute_force_for_any_options(drop, strata, size, seed, draw):
    X, y = data(500)
    cuts = draw.draw(st.lists(st.integers(0, 500), max_size=5).map(sorted))
    strategy = Strata(drop=drop, strata=strata, score="margin")
    rows, weights = brute_force(strategy, X, y, size, seed)
    found = select(strategy, X, y, size, np.diff([0, *cuts, 500]), seed)
    assert np.array_equal(found.rows, rows)
    np.testing.assert_allclose(found.weights, weights)


def test_strata__wrong_labels_are_left_out():
    X, y = data()
    X[np.arange(3_000), y] += 6
    wrong = np.random.default_rng(1).random(3_000) < 0.1
    noisy = np.where(wrong, (y + 1) % 3, y)
    found = select(Strata(drop=0.3), X, noisy, 300, 5)
    kept_all = select(Strata(drop=0), X, noisy, 300, 5)
    assert wrong[found.rows].mean() < 0.02
    assert wrong[kept_all.rows].mean() > 0.1


def test_strata__scores_all_alike_are_one_stratum():
    class Undecided:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    X = np.zeros((100, 2))
    found = select(Strata(score="entropy"), X, None, 20, 3, proxy=Undecided())
    # those left out are drawn, too, and not the end of the data
    assert found.rows.max() > 70
    np.testing.assert_allclose(found.weights, 70 / 20)


# the class whose rows are the hardest is left out for the most part
@pytest.mark.filterwarnings("ignore:1 class is kept at under half of its share")
def test_strata__same_bits_for_any_chunking():
    X, y = data(9_000)
    results = []
    for chunks, scheduler in [(9_000, "sync"), (1_234, "threads"), (4_097, "sync")]:
        with dask.config.set(scheduler=scheduler):
            found = distill(da.from_array(X, chunks=(chunks, -1)), y, size=500, strategy="strata")
        results.append((found.indices.tobytes(), found.weights.tobytes()))
    assert len(set(results)) == 1


def test_strata__needs_labels_or_a_model_that_doubts():
    X, _ = data(100)
    with pytest.raises(InputError, match="strategy strata needs labels"):
        distill(X, size=10, strategy="strata")
    assert Strata(score="el2n").requires_labels(object())
    assert not Strata(score="margin").requires_labels(object())
    assert Strata(score="margin").requires_labels(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop": 1.0}, "drop must be at least 0 and below 1, got 1.0"),
        ({"drop": float("nan")}, "drop must be at least 0"),
        ({"strata": 0}, "strata must be from 1 to 10,000, got 0"),
        ({"score": "loss"}, 'score must be "el2n"'),
    ],
)
def test_strata__refuses_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        Strata(**options)


def test_footprint__counts_the_rounds_that_are_run():
    X, y = data(600)
    found = select(Strata(), X, y, 60, 3)
    footprint = Strata().footprint(600, 4, 3, 60)
    assert len(found.ledger.rounds) <= footprint.rounds <= len(found.ledger.rounds) + 2
