"""What `auto` decides on the survey's sample: wrong labels, overlap, and when to draw at random."""

import sys
from pathlib import Path

import numpy as np
import pytest

from dask_distill import InputError, distill
from dask_distill.strategies import Auto, Stratified
from dask_distill.strategies.parts.regime import METRICS

sys.path.insert(0, str(Path(__file__).parent))
from cells import mixture, select, survey


def curved(n, seed=0):
    """Two classes that do not overlap, and no straight line between them."""
    X = np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)


def overlapping(n, seed=0):
    """A class of a fifth of the rows whose chances are a logistic function: all labels right."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8)).astype(np.float32)
    chance = 1 / (1 + np.exp(-(1.5 * X[:, 0] + X[:, 1] - X[:, 2] - 1.9)))
    return X, (rng.random(n) < chance).astype(int)


def rare(n, seed=0):
    """A class of five per cent that overlaps."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    score = 1.2 * X[:, 0] + 0.8 * X[:, 1] + rng.logistic(size=n)
    return X, (score > np.quantile(score, 0.95)).astype(int)


def easy(n, seed=0):
    """Two classes so far apart that any rows serve."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(n, 2)).astype(np.float32), rng.integers(0, 2, n)
    X[:, 0] += 20 * y
    return X, y


def meaningless(n, d, seed=0):
    """Labels that nothing tells: half of them contradict any judge, and none is wrong."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(np.float32), rng.integers(0, 2, n)


def decision_of(X, y, size, blocks=4, strategy=None):
    """The decision, and which rows of the sample are left out."""
    edges = [round(b * len(X) / blocks) for b in range(blocks + 1)]
    _, schema = survey(X, y, edges)
    question = (strategy or Auto()).ask(schema, size, None)
    return question.decision, question, schema


def gaussians(n, seed=0):
    """Two classes a quarter of a standard deviation apart in each of eight features."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return (rng.normal(size=(n, 8)) + 0.25 * y[:, None]).astype(np.float32), y


def faint(n, seed=0):
    """Features that tell little, as of clicks: the best of models is wrong of 43 per cent."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8)).astype(np.float32)
    return X, (rng.random(n) < 1 / (1 + np.exp(-0.35 * X[:, 0]))).astype(int)


@pytest.mark.parametrize("made", [overlapping, rare, gaussians, faint])
@pytest.mark.parametrize("part", [0.01, 0.1])
@pytest.mark.parametrize("seed", [0, 1])
def test_auto__overlap_alone_leaves_nothing_out(made, part, seed):
    X, y = made(20_000, seed)
    size = round(part * len(y))
    coreset = distill(X, y, size=size, seed=seed)
    told = coreset.provenance["selection"]["decision"]
    assert told["way"] != "trusted"
    # nobody of a class is left out, so that its share is that of the data
    taken = np.bincount(coreset.labels.compute())
    assert abs(taken[1] - size * y.mean()) <= 1
    np.testing.assert_allclose(coreset.weights.sum(), len(y), rtol=1e-5)


@pytest.mark.parametrize(
    ("flips", "precision", "recall"),
    [
        ((0.05, 0.05), 0.8, 0.8),
        ((0.2, 0.2), 0.85, 0.8),
        ((0.4, 0.4), 0.75, 0.7),
        ((0.2, 0.0), 0.9, 0.7),
        ((0.4, 0.0), 0.9, 0.5),
    ],
)
def test_auto__wrong_labels_are_found(flips, precision, recall):
    """Of all classes or of one."""
    X, y = curved(10_000)
    wrong = np.random.default_rng(1).random(len(y)) < np.array(flips)[y]
    labels = np.where(wrong, 1 - y, y)
    decision, _, _ = decision_of(X, labels, 1000)
    # of few wrong labels not every model gains, and many look like features that tell little
    assert decision.noise.believed == (wrong.mean() < 0.25)
    assert decision.way == "trusted" or not 0.1 < wrong.mean() < 0.25
    _, question, schema = decision_of(X, labels, 1000, strategy=Auto(trust="confident"))
    _, judged = judged_again(schema, question)
    out = judged.gap > question.judgement.thresholds[schema.sample.codes]
    mine = wrong[schema.sample.rows]
    assert mine[out].mean() > precision
    assert out[mine].mean() > recall
    assert decision.noise.rate == pytest.approx(wrong.mean(), abs=0.1)


def judged_again(schema, question):
    """What the blocks see of the sample's own rows."""
    from dask_distill.strategies.parts.trust import judge_sample

    return judge_sample(schema, question.proxy, question.scaling, "confident", 0.1)


def test_auto__rows_are_less_often_wrong_where_wrong_labels_are_found():
    X, y = curved(12_000)
    wrong = np.random.default_rng(1).random(len(y)) < 0.2
    labels = np.where(wrong, 1 - y, y)
    found = {
        trust: wrong[select(X, labels, 1200, blocks=6, strategy=Auto(trust=trust)).rows].mean()
        for trust in ("auto", "confident", 1)
    }
    assert found["auto"] == found["confident"] < 0.06
    assert found[1] > 0.15


def test_auto__doubts_no_label_where_more_rows_are_asked_for_than_judges_had():
    """What they say is less than what a model of so many rows will know."""
    X, y = curved(24_000)
    labels = np.where(np.random.default_rng(1).random(len(y)) < 0.2, 1 - y, y)
    decision, question, _ = decision_of(X, labels, 10_500)
    assert decision.noise.believed
    assert decision.way != "trusted"
    assert set(decision.leads) == {"cells"}
    assert decision_of(X, labels, 2000)[0].way == "trusted"
    if decision.way == "cells":
        assert "labels look wrong, to judges of fewer rows" in decision.why
        assert np.isinf(question.judgement.thresholds).all()


def test_auto__keeps_classes_in_proportion_where_labels_are_wrong():
    X, y = curved(10_000)
    wrong = (np.random.default_rng(1).random(len(y)) < 0.3) & (y == 0)
    labels = np.where(wrong, 1, y)
    found = select(X, labels, 1000, blocks=5)
    assert abs(labels[found.rows].mean() - labels.mean()) < 0.002


@pytest.mark.parametrize("blocks", [1, 5, 16])
def test_auto__draws_a_stratified_sample_where_cells_do_no_better(blocks):
    """Row by row and weight by weight that of `stratified` with its floor."""
    X, y = easy(3000)
    decision, _, _ = decision_of(X, y, 200, blocks, Auto(proxy="linear"))
    assert decision.way == "stratified"
    assert "stratified random sample: cells do no better" in decision.why
    ours = select(X, y, 200, blocks=blocks, strategy=Auto(proxy="linear"))
    coreset = distill(X, y, size=200, strategy=Stratified(floor=10))
    assert np.array_equal(ours.rows, coreset.indices)
    np.testing.assert_allclose(ours.weights, coreset.weights, rtol=1e-6)


@pytest.mark.parametrize("proxy", ["ensemble", "linear"])
@pytest.mark.parametrize("d", [4, 30, 60])
def test_auto__what_cannot_be_learnt_is_not_wrong(d, proxy):
    """A judge that has seen the rows it is tried on would find a way to tell."""
    X, y = meaningless(3000, d)
    assert decision_of(X, y, 300, strategy=Auto(proxy=proxy))[0].way != "trusted"


def test_auto__has_no_scores_of_a_stratified_sample():
    X, y = easy(3000)
    coreset = distill(X, y, size=200, options={"proxy": "linear"})
    assert coreset.provenance["selection"]["decision"]["way"] == "stratified"
    assert coreset.scores == {}


def test_auto__decides_alike_however_blocks_are_cut():
    X, y = overlapping(8000)
    decisions = [decision_of(X, y, 800, blocks)[0] for blocks in (1, 7, 32)]
    assert decisions[0].facts() == decisions[1].facts() == decisions[2].facts()
    assert set(METRICS) <= set(decisions[0].leads["cells"])


def test_auto__tells_why_in_the_provenance():
    X, y = overlapping(8000)
    told = distill(X, y, fraction=0.1).provenance["selection"]["decision"]
    assert told["why"].startswith("Cells of all rows: against stratified samples")
    assert told["why"].endswith("Tried with 600 rows; 800 are asked for.")
    assert told["trial_rows"] == 600
    assert 0 <= told["wrong_labels"] < told["contradicted"] < 0.3
    mean, half = told["leads"]["cells"]["roc_auc"]
    assert half > 0
    assert mean + half > 0


@pytest.mark.parametrize(
    ("n", "classes", "options", "why"),
    [
        (200, 2, {}, "a sample of 200 rows is too small"),
        (3000, 70, {}, "70 classes are too many"),
        (3000, 3, {"balance": "sqrt"}, "classes are not kept in proportion"),
    ],
)
def test_auto__says_where_nothing_can_be_tried(n, classes, options, why):
    X, y = mixture(n, classes, d=8)
    found = distill(X, y, size=150, options=options)
    told = found.provenance["selection"]["decision"]
    assert told["trial_rows"] == 0
    assert told["leads"] == {}
    assert why in told["why"]


def test_auto__a_number_for_trust_decides_nothing():
    X, y = mixture(3000, 3)
    for trust in (0.3, 1):
        found = distill(X, y, size=100, options={"trust": trust})
        assert "decision" not in found.provenance["selection"]


def test_auto__sample_weights_count_in_the_decision():
    """A row of weight two is two rows: what is wrong is counted by weight."""
    X, y = curved(6000)
    wrong = np.random.default_rng(1).random(len(y)) < 0.2
    labels = np.where(wrong, 1 - y, y)
    weights = np.where(wrong, 3.0, 1.0)
    found = distill(X, labels, size=300, sample_weight=weights)
    plain = distill(X, labels, size=300)
    rates = [c.provenance["selection"]["decision"]["wrong_labels"] for c in (found, plain)]
    assert rates[0] > 1.5 * rates[1]


@pytest.mark.parametrize("value", [True, None, [1]])
def test_auto__what_is_no_number_and_no_word_is_told_both(value):
    with pytest.raises(InputError, match=r"option trust of .* auto must be a float or a word, got"):
        distill(*curved(100), size=10, options={"trust": value})
