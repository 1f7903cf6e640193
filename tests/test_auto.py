"""`auto`: cells, over blocks that are cut anywhere."""

import sys
from dataclasses import replace
from functools import reduce
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.naive_bayes import GaussianNB

from dask_distill import InputError, distill
from dask_distill.data.dataset import as_dataset
from dask_distill.selection.plan import make_plan
from dask_distill.selection.request import Request
from dask_distill.strategies import Auto
from dask_distill.strategies.parts.allocation import POOL_FACTOR, allocate, block_shares

sys.path.insert(0, str(Path(__file__).parent))
from cells import mixture, select, survey


def check(found, y, size, n):
    """What the contract promises of any selection."""
    assert len(found.rows) == len(found.weights) == size
    assert np.all(np.diff(found.rows) > 0)
    assert np.all(found.weights > 0)
    assert np.all(np.isfinite(found.weights))
    np.testing.assert_allclose(found.weights.sum(), n, rtol=1e-9)
    assert found.candidates <= POOL_FACTOR * size
    if y is not None and size >= len(np.unique(y)):
        assert set(y[found.rows]) == set(y)


# ---------------------------------------------------------------- the contract, over any blocks


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_auto__invariants_for_any_blocks(data):
    n = data.draw(st.integers(4, 700), "n")
    classes = data.draw(st.integers(2, min(12, n // 2)), "classes")
    X, y = mixture(n, classes, d=data.draw(st.integers(1, 5), "d"), seed=n)
    y[:2] = [0, 1]
    if data.draw(st.booleans(), "by class"):
        X, y = X[np.argsort(y, kind="stable")], np.sort(y)
    cuts = data.draw(st.lists(st.integers(0, n), max_size=12), "cuts")
    size = data.draw(st.integers(1, n), "size")
    strategy = Auto(
        balance=data.draw(st.sampled_from(["proportional", "sqrt", "equal"]), "balance"),
        pick=data.draw(st.sampled_from([0.0, 0.5, 1.0]), "pick"),
        trust=data.draw(st.sampled_from([0.0, 0.3, 1.0]), "trust"),
        tilt=data.draw(st.sampled_from([0.0, 0.5, 1.0]), "tilt"),
        proxy="linear",
    )
    # a small sample, so that classes are chosen from it, by candidates, and in the blocks alone
    rows = data.draw(st.sampled_from([20, 100, 10_000]), "rows of the sample")
    found = select(X, y, size, edges=[0, *sorted(cuts), n], strategy=strategy, rows=rows)
    check(found, y, size, n)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 500), blocks=st.integers(1, 9), data=st.data())
def test_auto__invariants_without_labels(n, blocks, data):
    X, _ = mixture(n, 1, seed=n)
    size = data.draw(st.integers(1, n), "size")
    rows = data.draw(st.sampled_from([20, 10_000]), "rows of the sample")
    found = select(X, None, size, blocks=blocks, rows=rows)
    check(found, None, size, n)


@pytest.mark.parametrize("rows", [50, 300, 10_000])
@pytest.mark.parametrize("blocks", [1, 7, 32])
def test_auto__answers_combine_in_any_order(blocks, rows):
    X, y = mixture(3000, 5)
    strategy = Auto(proxy="linear", trust=0.3)
    edges = [round(b * len(X) / blocks) for b in range(blocks + 1)]
    states, schema = survey(X, y, edges, rows=rows)
    question = strategy.ask(schema, 200, None)
    picked = [strategy.observe(state, question) for state in states]
    answers = [strategy.answer(state, question) for state in picked]
    choices = []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(blocks)
        combined = reduce(strategy.combine, [answers[b] for b in order])
        choices.append(strategy.advance(question, combined))
    for other in choices[1:]:
        for state in picked:
            left, right = (strategy.choose(state, choice) for choice in (choices[0], other))
            assert left.rows.tobytes() == right.rows.tobytes()
            assert left.weights.tobytes() == right.weights.tobytes()


@pytest.mark.parametrize("order", [None, "class"])
def test_auto__a_thousand_classes_each_present(order):
    X, y = mixture(12_000, 1000, d=8, order=order)
    strategy = Auto(proxy="linear")
    for size in (1000, 3000):
        found = select(X, y, size, blocks=16, strategy=strategy)
        check(found, y, size, len(y))
        assert len(np.unique(y[found.rows])) == len(np.unique(y))


@pytest.mark.parametrize("classes", [64, 127, 128, 300])
def test_auto__hundreds_of_classes_with_the_default_judge(classes):
    X, y = mixture(6_000, classes, d=8)
    found = select(X, y, 900, blocks=8)
    check(found, y, 900, len(y))
    assert len(np.unique(y[found.rows])) == len(np.unique(y))


def test_auto__fewer_rows_than_classes():
    X, y = mixture(400, 20)
    found = select(X, y, 7, blocks=3)
    check(found, y, 7, 400)
    assert len(np.unique(y[found.rows])) == 7


def test_auto__classes_of_one_row():
    X, y = mixture(600, 2)
    y[[5, 300, 599]] = [2, 3, 4]
    for size in (5, 40, 600):
        check(select(X, y, size, blocks=6), y, size, 600)


@pytest.mark.parametrize("labelled", [True, False])
def test_auto__rows_that_are_all_alike(labelled):
    X = np.ones((500, 3), np.float32)
    y = np.arange(500) % 3 if labelled else None
    found = select(X, y, 50, blocks=5, rows=60)
    check(found, y, 50, 500)


# ---------------------------------------------------------------- how rows move


@pytest.mark.parametrize("order", [None, "class"])
@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("size", [60, 300, 1500])
def test_auto__at_most_two_and_a_half_rows_move_for_each_selected(order, classes, size):
    X, y = mixture(15_000, classes, order=order)
    found = select(X, y, size, blocks=32, strategy=Auto(trust=1, proxy="linear"), rows=1000)
    assert found.candidates <= 2.5 * size


def test_auto__nothing_moves_where_blocks_have_quota_enough():
    X, y = mixture(40_000, 2)
    assert select(X, y, 24_000, blocks=8, strategy=Auto(trust=1)).candidates == 0


def test_auto__nothing_moves_where_the_sample_is_large_enough():
    X, y = mixture(15_000, 2)
    assert select(X, y, 100, blocks=32, strategy=Auto(trust=1)).candidates == 0


def test_auto__provenance_tells_how_many_rows_met():
    X, y = mixture(20_000, 10)
    coreset = distill(X, y, fraction=0.05, options={"trust": 1, "proxy": "linear"})
    moved = coreset.provenance["selection"]["candidates"]
    assert 0 < moved <= 2.5 * len(coreset)
    assert 0 <= coreset.provenance["selection"]["reserve"] <= 10_000


def test_allocate__gives_each_class_one_place():
    quotas = np.array([90_000, 20_000, 5, 3])
    counts = np.array([900_000, 200_000, 500, 3])
    by_block = np.array([[450_000, 100_000, 250, 3], [450_000, 100_000, 250, 0]])
    found = allocate(quotas, counts, by_block, np.array([500, 200, 300, 3]), by_block * 1.0)
    assert found.local.tolist() == [True, True, False, True]
    assert found.sampled.tolist() == [False, False, True, False]
    assert found.cells.sum(axis=0).tolist() == [90_000, 20_000, 0, 3]
    assert np.all(found.cells <= by_block)


def test_allocate__the_smallest_classes_meet_while_candidates_are_few():
    quotas = np.array([2000, 900, 800, 4000])
    counts = quotas * 10
    by_block = np.stack([counts // 2, counts // 2])
    # the last lies in one block
    by_block[:, 3] = [counts[3], 0]
    found = allocate(quotas, counts, by_block, np.array([100, 100, 100, 100]), by_block * 1.0)
    assert found.local.tolist() == [False, False, False, True]
    assert found.cells.sum(axis=0).tolist() == [5000, 2250, 2000, 4000]
    more = np.array([3000, 900, 800, 4000])
    found = allocate(more, more * 10, by_block * 2, np.full(4, 100), by_block * 1.0)
    assert found.local.tolist() == [True, False, False, True]


def test_allocate__candidates_where_neither_blocks_nor_sample_suffice():
    by_block = np.full((32, 1), 100)
    found = allocate(np.array([64]), np.array([3200]), by_block, np.array([100]), by_block * 1.0)
    assert not found.local[0]
    assert not found.sampled[0]
    assert found.cells.sum() == 160
    assert np.all(found.cells == 5)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_footprint__as_many_rows_meet_at_most_whatever_the_size(data):
    blocks = data.draw(st.integers(1, 60), "blocks")
    classes = data.draw(st.integers(1, 5), "classes")
    rng = np.random.default_rng(data.draw(st.integers(0, 99), "seed"))
    by_block = rng.integers(0, 10 ** rng.integers(1, 6, classes), (blocks, classes)) + 1
    counts = by_block.sum(axis=0)
    quotas = (counts * rng.uniform(0, 1, classes) ** 3).astype(np.int64)
    sizes = np.minimum(counts, 10_000 // classes)
    found = allocate(quotas, counts, by_block, sizes, by_block * 1.0)
    # a row of the sample may be a candidate, too
    meet = min(found.cells[:, ~found.local].sum() + sizes.sum(), counts.sum())
    need = Auto().footprint(int(counts.sum()), 8, classes, int(quotas.sum()))
    assert meet <= need.pool(int(counts.sum()), blocks)


def test_plan__what_meets_does_not_grow_with_the_rows_selected():
    def meeting(rows, fraction):
        features = da.zeros((rows, 217), dtype="f4", chunks=(100_000, 217))
        data = as_dataset(features, da.zeros(rows, dtype="i8", chunks=100_000))
        request = Request(strategy=Auto(), fraction=fraction)
        made = make_plan(data, request, workers=2)
        # a selected row's number, weight and class stay
        return made.coordinator_bytes - made.worker_bytes - 40 * made.size

    assert meeting(10_000_000, 0.1) < 2**30
    # blocks, of 32 MiB, are four times as many; of a tenth or a hundredth alike
    assert meeting(40_000_000, 0.1) < 4 * meeting(10_000_000, 0.1)
    assert meeting(40_000_000, 0.1) == meeting(40_000_000, 0.05)


def test_block_shares__sums_of_the_sample_drawn_to_the_class():
    X, y = mixture(2000, 2)
    _, schema = survey(X, y, [0, 1000, 2000])
    value = np.where(schema.sample.rows < 1000, 1.0, 3.0)
    shares = block_shares(schema, schema.sample, schema.block_classes, value)
    rate = shares / schema.block_classes
    assert np.all((rate[0] > 1) & (rate[0] < 1.1))
    assert np.all((rate[1] < 3) & (rate[1] > 2.9))


def test_auto__a_block_of_wrong_labels_is_hardly_chosen_from():
    X, y = mixture(8000, 2)
    wrong = y.copy()
    wrong[:1000] = 1 - wrong[:1000]
    found = select(X, wrong, 800, blocks=8, strategy=Auto(tilt=0))
    assert (found.rows < 1000).sum() < 10


# ---------------------------------------------------------------- trust


def test_auto__flipped_labels_are_left_out():
    """Recall and precision of the filter, seen through a selection of nearly all that is kept."""
    X, y = mixture(6000, 4, d=6)
    rng = np.random.default_rng(1)
    flipped = rng.random(len(y)) < 0.2
    wrong = np.where(flipped, (y + rng.integers(1, 4, len(y))) % 4, y)
    found = select(X, wrong, 4500, blocks=4)
    left_out = np.ones(len(y), bool)
    left_out[found.rows] = False
    recall = left_out[flipped].mean()
    precision = flipped[left_out].mean()
    assert recall > 0.95
    assert precision > 0.75
    drawn = select(X, wrong, 300, blocks=4)
    assert flipped[drawn.rows].mean() < 0.03
    all_trusted = select(X, wrong, 300, blocks=4, strategy=Auto(trust=1))
    assert 0.1 < flipped[all_trusted.rows].mean() < 0.3


def test_auto__what_is_not_linear_is_kept_by_the_ensemble_alone():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    # a blob whose label the linear model would take for wrong
    X[:300] = rng.normal(scale=0.2, size=(300, 2)) + np.array([6, 0])
    y[:300] = np.arange(300) % 10 == 0
    ensemble, linear = (
        select(X, y, 3600, blocks=2, strategy=Auto(proxy=proxy)) for proxy in ("ensemble", "linear")
    )
    check(ensemble, y, 3600, 4000)
    check(linear, y, 3600, 4000)
    assert not np.array_equal(ensemble.rows, linear.rows)


def test_auto__at_least_three_tenths_of_a_class_are_kept():
    X, _ = mixture(3000, 2)
    rng = np.random.default_rng(0)
    # labels say nothing: the proxy contradicts many rows of both classes
    strategy = Auto(trust=0)
    _, schema = survey(X, rng.integers(0, 2, 3000), [0, 3000])
    question = strategy.ask(schema, 100, None)
    assert np.all(question.judgement.thresholds >= 0)
    classes = np.where(np.arange(3000) < 200, 1, 0)
    X[:200] = X[200:400]
    _, schema = survey(X, classes, [0, 3000])
    question = strategy.ask(schema, 100, None)
    # nearly all of the small class are contradicted
    assert question.judgement.thresholds[schema.classes.tolist().index(1)] > 0.3


def test_auto__small_classes_are_never_filtered():
    X, y = mixture(3000, 2)
    y[:99] = 2
    _, schema = survey(X, y, [0, 3000])
    question = Auto(trust=0.3).ask(schema, 100, None)
    thresholds = dict(zip(schema.classes.tolist(), question.judgement.thresholds, strict=True))
    assert thresholds[2] == np.inf
    assert thresholds[0] < 1


# ---------------------------------------------------------------- quotas and weights


def test_auto__floors_and_balance():
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1, 2], [9000, 960, 40]))
    X = (rng.normal(size=(10_000, 3)) + y[:, None] * 4).astype(np.float32)
    taken = {
        balance: np.bincount(y[select(X, y, 300, blocks=4, strategy=Auto(balance=balance)).rows])
        for balance in ("proportional", "sqrt", "equal")
    }
    assert taken["proportional"][2] == 10
    assert abs(taken["proportional"][1] - 29) <= 3
    assert taken["equal"].tolist() == [130, 130, 40]
    root = np.sqrt([9000, 960, 40])
    np.testing.assert_allclose(taken["sqrt"], 300 * root / root.sum(), atol=3)


@pytest.mark.parametrize("rows", [50, 400, 10_000])
@pytest.mark.parametrize("blocks", [1, 8, 32])
def test_auto__weighted_class_shares_are_those_of_the_data(blocks, rows):
    X, y = mixture(5000, 6)
    found = select(X, y, 400, blocks=blocks, rows=rows)
    shares = np.bincount(y[found.rows], weights=found.weights)
    np.testing.assert_allclose(shares, np.bincount(y), rtol=1e-9)


def test_auto__balanced_rows_weigh_alike():
    X, y = mixture(2000, 3)
    found = select(X, y, 90, blocks=3, strategy=Auto(balance="equal"))
    np.testing.assert_allclose(found.weights, 2000 / 90)


def test_auto__weighted_means_are_those_of_the_data():
    """The cells stand for the data: far nearer to its mean than a random sample."""
    X, y = mixture(12_000, 3, d=4, spread=1.0)
    strategy = Auto(trust=2, proxy="linear")
    apart = {}
    for blocks in (1, 16):
        found = select(X, y, 300, blocks=blocks, strategy=strategy)
        apart[blocks] = np.abs(np.average(X[found.rows], axis=0, weights=found.weights) - X.mean(0))
    random = X.std(0) / np.sqrt(300)
    assert apart[1].mean() < 0.5 * random.mean()
    assert apart[16].mean() < 0.7 * random.mean()


# ---------------------------------------------------------------- options


def test_auto__takes_the_users_model_or_its_own():
    X, y = mixture(3000, 3)
    model = GaussianNB().fit(X, y)
    drawn = [
        select(X, y, 100, blocks=2, **kind).rows.tobytes()
        for kind in ({}, {"strategy": Auto(proxy="linear")}, {"proxy": model})
    ]
    assert len(set(drawn)) == 3


@pytest.mark.parametrize(
    ("option", "value", "rule"),
    [
        ("balance", "even", 'balance must be "proportional", "sqrt" or "equal"'),
        ("proxy", "deep", 'proxy must be "ensemble" or "linear", got \'deep\''),
        ("trust", -0.1, 'trust must be "auto", "confident" or a number of at least 0, got -0.1'),
        ("trust", float("nan"), "trust must be .* got nan"),
        ("trust", "much", "trust must be .* got 'much'; \"auto\" is the default"),
        ("tilt", 1.1, 'tilt must be "auto" or from 0 to 1, got 1.1'),
        ("tilt", "much", "tilt must be .* got 'much'"),
        ("pick", -1, 'pick must be "auto" or from 0 to 1, got -1'),
    ],
)
def test_auto__options_are_checked(option, value, rule):
    with pytest.raises(InputError, match=rule):
        Auto(**{option: value})


def test_auto__tilt_gives_uncertain_regions_more_rows():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(6000, 2)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    near = np.abs(X[:, 0]) < 0.1
    shares = [
        near[select(X, y, 400, strategy=Auto(tilt=tilt), blocks=2).rows].mean() for tilt in (0, 0.9)
    ]
    assert shares[1] > 1.3 * shares[0]


def test_auto__picks_of_large_cells_reach_as_far_out_as_rows_do():
    """Of few of many: rows near the middle of cells alone would leave classes thin."""
    X, y = mixture(60_000, 2, d=10, spread=0.5)
    whole = X[y == 0].std(axis=0).mean()
    spread = {}
    for pick in ("auto", 0.2, 0.5):
        found = select(X, y, 3000, blocks=16, strategy=Auto(trust=1, pick=pick, proxy="linear"))
        mine = found.rows[y[found.rows] == 0]
        spread[pick] = np.sqrt(np.average((X[mine] - X[y == 0].mean(0)) ** 2, axis=0)).mean()
    assert spread["auto"] > 0.93 * whole
    assert spread[0.2] < spread["auto"]
    assert spread[0.5] < spread["auto"]


def test_auto__another_seed_is_another_draw():
    X, y = mixture(2000, 2)
    assert not np.array_equal(select(X, y, 50).rows, select(X, y, 50, seed=1).rows)
    assert replace(Auto(), tilt=0.2).tilt == 0.2
