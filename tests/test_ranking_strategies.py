"""Random, stratified, gradient, entropy: what a sort of all rows selects, for any blocks."""

import dataclasses
import math

import dask
import dask.array as da
import numpy as np
import pytest
from dask.delayed import delayed
from hypothesis import given, settings, strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from dask_distill import distill
from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.ledger import Ledger
from dask_distill.conversation.run import Run
from dask_distill.data.blocks import RawBlock, as_features
from dask_distill.data.labels import as_labels
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash, row_keys
from dask_distill.kernels.quotas import class_quotas
from dask_distill.kernels.ranking import KEY_BITS
from dask_distill.kernels.streams import Stream
from dask_distill.proxy.estimator import use_estimator
from dask_distill.proxy.fitting import fit_softmax
from dask_distill.proxy.models import score
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.runner import DaskRunner, LocalRunner
from dask_distill.strategies import Entropy, Gradient, Random, Stratified, make_strategy
from dask_distill.strategies.parts import ranking
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.ranking import RankQuestion
from dask_distill.strategies.parts.scorers import REPORTED
from dask_distill.survey.survey import Survey, valid_block


def raw_blocks(X, y, cuts):
    edges = [0, *cuts, len(X)]
    return [
        RawBlock(number, edges[number], as_features(part), None if y is None else as_labels(labels))
        for number, (part, labels) in enumerate(
            zip(
                np.split(X, cuts),
                [None] * (len(cuts) + 1) if y is None else np.split(y, cuts),
                strict=True,
            )
        )
    ]


def survey(blocks, n, seed=0, on_invalid="raise"):
    talk = Survey()
    labelled = blocks[0].y is not None
    d = blocks[0].X.shape[1]
    question = talk.ask(n, d, labelled=labelled, seed=seed, on_invalid=on_invalid)
    turn, _ = converse(talk, blocks, question, Run(LocalRunner()), phase="survey")
    return turn.content


def run(strategy, schema, blocks, size, *, proxy=None, runner=None):
    """Selections by block."""
    job = Run(runner or LocalRunner())
    question = strategy.ask(schema, size, proxy)
    if isinstance(runner, DaskRunner):
        strategy, question = delayed(strategy, traverse=False), delayed(question, traverse=False)
        blocks = [delayed(block, traverse=False) for block in blocks]
    final, states = converse(strategy, blocks, question, job, phase="select")
    return job.fetch_all(choose(strategy, states, final, job))


def assembled(selections):
    """Rows, weights, codes and scores of all blocks together."""
    rows = np.concatenate([s.rows for s in selections])
    weights = np.concatenate([s.weights for s in selections])
    codes = None
    if selections[0].codes is not None:
        codes = np.concatenate([s.codes for s in selections])
    scores = {
        name: np.concatenate([s.scores[name] for s in selections]) for name in selections[0].scores
    }
    return rows, weights, codes, scores


def lowest(keys, rows, size, seed=0):
    """The reference: of all rows, the lowest keys; of equal ones, the lowest hashes."""
    drawn = row_keys(rows, seed, stream=Stream.TIES)
    return np.sort(rows[np.lexsort((rows, drawn, keys))[:size]])


def random_keys(rows, seed):
    return row_hash(rows, seed, stream=Stream.RANKING) >> np.uint64(32)


def data(n=600, d=3, C=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, n)
    X = rng.normal(size=(C, d))[y] + rng.normal(size=(n, d))
    return X.astype(np.float32), y


CUTS = [(), (1,), (300,), (0, 599), tuple(range(20, 600, 20)), (7, 7, 8, 500)]


# ---------------------------------------------------------------- random and stratified


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("size", [1, 2, 150, 599, 600])
@pytest.mark.parametrize("seed", [0, 12345])
def test_random__equals_the_lowest_hashes_of_a_sort(cuts, size, seed):
    X, y = data()
    blocks = raw_blocks(X, y, cuts)
    schema = survey(blocks, 600, seed)
    rows, weights, codes, scores = assembled(
        run(Random(), schema, [valid_block(b, schema) for b in blocks], size)
    )
    every = np.arange(600)
    assert np.array_equal(rows, lowest(random_keys(every, seed), every, size))
    assert np.array_equal(schema.classes[codes], y[rows])
    np.testing.assert_allclose(weights, 600 / size)
    assert scores == {}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0, 1))
def test_stratified__equals_a_sort_within_each_class(seed, floor, part):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(20, 300))
    C = int(rng.integers(2, 9))
    y = rng.choice(C, n, p=rng.dirichlet(np.full(C, 0.5)))
    y[: 2 * C] = np.repeat(np.arange(C), 2)
    X = rng.normal(size=(n, 2))
    cuts = tuple(np.sort(rng.integers(0, n, rng.integers(0, 6))).tolist())
    size = max(1, int(part * n))
    blocks = raw_blocks(X, y, cuts)
    schema = survey(blocks, n, seed)
    strategy = Stratified(floor=floor)
    selections = run(strategy, schema, [valid_block(b, schema) for b in blocks], size)
    rows, weights, codes, _ = assembled(selections)
    quotas = class_quotas(size, schema.counts, schema.counts, floor)
    expected = [
        lowest(random_keys(mine, seed), mine, quota)
        for mine, quota in (
            (np.flatnonzero(y == c), q) for c, q in zip(schema.classes, quotas, strict=True)
        )
    ]
    assert np.array_equal(rows, np.sort(np.concatenate(expected)))
    np.testing.assert_allclose(weights, (schema.counts / np.maximum(quotas, 1))[codes])
    if np.all(quotas > 0):
        assert math.fsum(weights) == pytest.approx(n)


@pytest.mark.parametrize("cuts", [(), (50,), (10, 20, 30)])
def test_stratified__rare_classes_are_kept_and_fewer_rows_than_classes_serve_the_largest(cuts):
    y = np.repeat(np.arange(10), [600, 300, 60, 20, 10, 4, 2, 2, 1, 1])
    y = np.random.default_rng(0).permutation(y)
    X = np.zeros((1000, 1))
    blocks = raw_blocks(X, y, cuts)
    schema = survey(blocks, 1000)
    clean = [valid_block(b, schema) for b in blocks]
    rows, _, _, _ = assembled(run(Stratified(), schema, clean, 20))
    assert set(y[rows]) == set(range(10))
    rows, weights, _, _ = assembled(run(Stratified(), schema, clean, 3))
    assert sorted(y[rows]) == [0, 1, 2]
    assert np.all(weights > 0)


def test_stratified__of_many_classes_asks_for_small_digits():
    n, C = 6000, 3000
    y = np.arange(n) % C
    blocks = raw_blocks(np.zeros((n, 1)), y, (1000, 2500))
    schema = survey(blocks, n)
    rows, weights, codes, _ = assembled(
        run(Stratified(), schema, [valid_block(b, schema) for b in blocks], C)
    )
    assert np.array_equal(np.bincount(codes), np.ones(C))
    assert math.fsum(weights) == n
    keys = random_keys(np.arange(n), 0)
    assert np.array_equal(rows % C, y[rows])
    assert np.all(keys[rows] <= keys[(rows + C) % n])


@pytest.mark.parametrize("groups", [1, 2, 3, 1000, 2**17, 10**6])
def test_rank_question__digits_add_up_to_the_key_and_bound_the_histogram(groups):
    none = np.zeros(groups, np.int64)
    question = RankQuestion(none, none, none, none.astype(np.uint32), 0, 0, None)
    while question.digit_bits:
        assert groups << question.digit_bits <= max(2**17, groups << 2)
        known = question.known_bits + question.digit_bits
        question = dataclasses.replace(question, known_bits=known)
    assert question.known_bits == KEY_BITS


# ---------------------------------------------------------------- gradient and entropy


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("size", [1, 77, 600])
@pytest.mark.parametrize("strategy", [Gradient(), Entropy()])
def test_top_k__equals_a_sort_of_the_scores(strategy, cuts, size):
    X, y = data()
    blocks = raw_blocks(X, y, cuts)
    schema = survey(blocks, 600)
    clean = [valid_block(b, schema) for b in blocks]
    proxy, scaling = fit_softmax(schema), Scaling.of(schema)
    parts = [score(proxy, scaling, b.X, b.rows, b.codes) for b in clean]
    expected = {name: np.concatenate([part[name] for part in parts]) for name in REPORTED}
    rows, weights, codes, scores = assembled(run(strategy, schema, clean, size))
    every = np.arange(600)
    assert np.array_equal(rows, lowest(-expected[strategy.name], every, size))
    assert math.fsum(weights) == pytest.approx(600)
    assert np.array_equal(schema.classes[codes], y[rows])
    assert set(scores) == set(REPORTED)
    for name, values in scores.items():
        assert values.tobytes() == expected[name][rows].tobytes()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 3), st.floats(0, 1))
def test_entropy__ties_are_drawn_by_hash_whatever_the_blocks(seed, depth, part):
    """A tree's few leaves give few different scores."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(30, 400))
    X, y = data(n, seed=seed % 1000)
    y[:3] = [0, 1, 2]
    tree = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(X, y)
    cuts = tuple(np.sort(rng.integers(0, n, rng.integers(0, 6))).tolist())
    size = max(1, int(part * n))
    blocks = raw_blocks(X, y, cuts)
    schema = survey(blocks, n)
    clean = [valid_block(b, schema) for b in blocks]
    rows, _, _, scores = assembled(run(Entropy(), schema, clean, size, proxy=tree))
    judged = score(use_estimator(tree, schema), Scaling.of(schema), X, np.arange(n), None)
    assert np.array_equal(rows, lowest(-judged["entropy"], np.arange(n), size))
    assert np.array_equal(scores["entropy"], judged["entropy"][rows])


@pytest.mark.parametrize("strategy", [Gradient(), Entropy()])
@pytest.mark.parametrize("cuts", [(), (10, 50), tuple(range(5, 100, 5))])
@pytest.mark.parametrize("size", [1, 37, 100])
@pytest.mark.parametrize("hashes", [1, 3, 2**32])
def test_top_k__where_all_scores_are_equal_draws_by_hash_and_then_by_row(
    strategy, cuts, size, hashes, monkeypatch
):
    class Undecided:
        classes_ = np.array([0, 1])

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    def few(rows, seed, *, stream):
        return (row_keys(rows, seed, stream=stream) % np.uint64(hashes)).astype(np.uint32)

    monkeypatch.setattr(ranking, "row_keys", few)
    X, y = np.zeros((100, 2)), np.arange(100) % 2
    blocks = raw_blocks(X, y, cuts)
    schema = survey(blocks, 100)
    clean = [valid_block(b, schema) for b in blocks]
    rows, _, _, _ = assembled(run(strategy, schema, clean, size, proxy=Undecided()))
    every = np.arange(100)
    drawn = few(every, 0, stream=Stream.TIES)
    assert np.array_equal(rows, np.sort(every[np.lexsort((every, drawn))[:size]]))


def test_entropy__ties_of_trees_come_from_all_over_the_data():
    X, y = data(4000)
    forest = RandomForestClassifier(4, max_depth=2, random_state=0).fit(X[:400], y[:400])
    blocks = raw_blocks(X, y, (1000, 2500))
    schema = survey(blocks, 4000)
    clean = [valid_block(b, schema) for b in blocks]
    rows, _, _, _ = assembled(run(Entropy(), schema, clean, 40, proxy=forest))
    assert rows.max() > 3000
    assert 1200 < np.median(rows) < 2800


def test_entropy__of_an_unlabelled_pool_uses_the_users_model():
    X, y = data()
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, y)
    blocks = raw_blocks(X, None, (200,))
    schema = survey(blocks, 600)
    clean = [valid_block(b, schema) for b in blocks]
    rows, _, codes, scores = assembled(run(Entropy(), schema, clean, 60, proxy=tree))
    assert codes is None
    assert set(scores) == {"entropy", "margin"}
    assert len(rows) == 60
    assert Entropy().requires_labels(None)
    assert not Entropy().requires_labels(tree)


def test_top_k__renaming_the_labels_changes_nothing():
    X, y = data()
    names = np.array(["z", "y", "a"])
    results = []
    for labels in (y, names[y], -y):
        blocks = raw_blocks(X, labels, (100, 400))
        schema = survey(blocks, 600)
        clean = [valid_block(b, schema) for b in blocks]
        results.append(assembled(run(Gradient(), schema, clean, 60)))
    for rows, weights, codes, scores in results[1:]:
        assert np.array_equal(rows, results[0][0])
        assert np.array_equal(weights, results[0][1])
        assert np.array_equal(codes, results[0][2])
        assert scores["gradient"].tobytes() == results[0][3]["gradient"].tobytes()


# ---------------------------------------------------------------- runners, chunks, invalid rows


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
@pytest.mark.parametrize("strategy", [Random(), Stratified(2), Gradient(), Entropy()])
def test_runners__local_and_dask_give_the_same_bits(strategy, scheduler):
    X, y = data(2000, C=5)
    blocks = raw_blocks(X, y, tuple(range(150, 2000, 150)))
    schema = survey(blocks, 2000)
    clean = [valid_block(b, schema) for b in blocks]
    local = run(strategy, schema, clean, 200)
    with dask.config.set(scheduler=scheduler):
        lazy = run(strategy, schema, clean, 200, runner=DaskRunner())
    for here, there in zip(local, lazy, strict=True):
        assert here.rows.tobytes() == there.rows.tobytes()
        assert here.weights.tobytes() == there.weights.tobytes()
        assert here.codes.tobytes() == there.codes.tobytes()
        for name in here.scores:
            assert here.scores[name].tobytes() == there.scores[name].tobytes()


@pytest.mark.parametrize("strategy", [Random(), Stratified(), Gradient(), Entropy()])
def test_combine__in_any_order_gives_the_same_choice(strategy):
    X, y = data()
    blocks = raw_blocks(X, y, (50, 170, 400))
    schema = survey(blocks, 600)
    clean = [valid_block(b, schema) for b in blocks]
    question = strategy.ask(schema, 60, None)
    states = clean
    while isinstance(question, RankQuestion):
        states = [strategy.observe(state, question) for state in states]
        a, b, c, d = (strategy.answer(state, question) for state in states)
        join = strategy.combine
        left = strategy.advance(question, join(join(join(a, b), c), d))
        right = strategy.advance(question, join(join(d, b), join(c, a)))
        question = left
        for name in ("thresholds", "limits", "prefixes", "wanted", "quotas"):
            assert np.array_equal(getattr(left, name, 0), getattr(right, name, 0))
    assert left.ties is right.ties is None or all(
        np.array_equal(left.ties[i], right.ties[i]) for i in range(4)
    )


@pytest.mark.filterwarnings("ignore::dask_distill.selection.select.SelectionWarning")
@pytest.mark.parametrize("strategy", ["stratified", "gradient"])
def test_distill__dropped_rows_leave_the_result_the_same_for_any_chunks(strategy):
    """Tiles are counted within blocks, and blocks are cut from n and d alone."""
    X, y = data(9000, d=40)
    X[np.random.default_rng(1).random(9000) < 0.1, 7] = np.nan
    results = []
    for chunks in (9000, 4096, 1234, (1, 8000, 999)):
        features = da.from_array(X, chunks=(chunks, -1))
        labels = da.from_array(y, chunks=500)
        results.append(distill(features, labels, size=500, strategy=strategy, on_invalid="drop"))
    first = results[0]
    valid = ~np.isnan(X).any(axis=1)
    assert valid[first.indices].all()
    assert first.weights.sum() == pytest.approx(valid.sum())
    for other in results[1:]:
        assert other.indices.tobytes() == first.indices.tobytes()
        assert other.weights.tobytes() == first.weights.tobytes()
        for name in first.scores:
            assert other.scores[name].tobytes() == first.scores[name].tobytes()
        fingerprints = [r.provenance["input"]["fingerprint"] for r in (first, other)]
        assert fingerprints[0] == fingerprints[1]


# ---------------------------------------------------------------- options and footprint


def test_stratified__refuses_a_floor_below_one():
    with pytest.raises(InputError, match="floor must be at least 1, got 0"):
        Stratified(floor=0)


@pytest.mark.parametrize("name", ["random", "stratified", "gradient", "entropy"])
def test_footprint__counts_the_rounds_that_are_run(name):
    strategy = make_strategy(name)
    X, y = data()
    blocks = raw_blocks(X, y, (300,))
    schema = survey(blocks, 600)
    ledger = Ledger()
    clean = [valid_block(b, schema) for b in blocks]
    question = strategy.ask(schema, 60, None)
    converse(strategy, clean, question, Run(LocalRunner(), ledger=ledger), phase="select")
    footprint = strategy.footprint(600, 3, 3, 60)
    assert len(ledger.rounds) <= footprint.rounds <= len(ledger.rounds) + 1
    assert max(r.answer_bytes for r in ledger.rounds) <= 2 * footprint.answer_bytes_per_block


# ---------------------------------------------------------------- the metric space


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-40, 1e-20, 1.0, 1e30])
def test_space__cosine_gives_rows_of_length_one_at_any_unit(kind, unit):
    if kind == np.float64:
        unit = unit**5
    X = (np.random.default_rng(0).normal(size=(50, 4)) * unit).astype(kind)
    X[7] = 0
    schema = survey(raw_blocks(np.ones((50, 4)), None, ()), 50)
    Z = MetricSpace.of("cosine", "none", schema)(X)
    assert Z.dtype == kind
    length = np.linalg.norm(Z.astype(float), axis=1)
    np.testing.assert_allclose(np.delete(length, 7), 1, rtol=1e-6)
    assert length[7] == 0


def test_space__standard_scales_with_the_surveys_moments():
    X = np.random.default_rng(0).normal(size=(500, 3)) * [1, 10, 100] + 5
    schema = survey(raw_blocks(X, None, ()), 500)
    Z = MetricSpace.of("euclidean", "standard", schema)(X.astype(np.float32))
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(Z.std(axis=0), 1, rtol=1e-5)
    assert np.array_equal(MetricSpace.of("euclidean", "none", schema)(X), X)
    assert MetricSpace.of("cosine", "none", schema)(X[:0]).shape == (0, 3)


def test_space__refuses_unknown_names():
    with pytest.raises(InputError, match="metric must be"):
        MetricSpace.check("manhattan", "none")
    with pytest.raises(InputError, match="scale must be"):
        MetricSpace.check("cosine", "robust")
    MetricSpace.check("cosine", "standard")
