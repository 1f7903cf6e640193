"""Active learning: rows that are chosen already, the rows to label next, and the loop."""

import dask.array as da
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dask_distill import InputError, distill
from dask_distill.labelling import label_in_batches

N = 9_000


@pytest.fixture(scope="module")
def pool():
    """Three classes in eight clumps, and forty labelled rows of two clumps."""
    rng = np.random.default_rng(2)
    centers = rng.normal(size=(8, 5)) * 4
    group = rng.integers(0, 8, N)
    X = (centers[group] + rng.normal(size=(N, 5))).astype(np.float32)
    y = group % 3
    known = np.sort(rng.choice(np.flatnonzero(group < 3), 40, replace=False))
    return X, y, known


def gonzalez(X, known, k):
    """The sequential traversal around known rows, in float64."""
    X = X.astype(np.float64)
    squared = np.min([((X - X[row]) ** 2).sum(axis=1) for row in known], axis=0)
    picks = []
    for _ in range(k):
        picks.append(int(squared.argmax()))
        squared = np.minimum(squared, ((X - X[picks[-1]]) ** 2).sum(axis=1))
    return np.sort(picks), float(np.sqrt(squared.max()))


@pytest.mark.parametrize("d", [3, 5])
def test_kcenter__exact_continues_the_traversal_around_initial_rows(pool, d):
    X, _, known = pool
    X = np.ascontiguousarray(X[:, :d])
    expected, radius = gonzalez(X, known, 150)
    mask = np.zeros(N, bool)
    mask[known] = True
    for chunks, initial in ((N, known), (1_100, mask), (2_000, da.from_array(mask, chunks=700))):
        coreset = distill(
            da.from_array(X, chunks=(chunks, -1)),
            size=150,
            strategy="kcenter",
            options={"exact": True},
            initial=initial,
        )
        np.testing.assert_array_equal(coreset.indices, expected)
    assert coreset.provenance["selection"]["covering_radius"] == pytest.approx(radius)
    assert coreset.weights.sum(dtype=float) == pytest.approx(N - len(known))


def test_kcenter__two_rounds_come_near_the_exact_radius_around_initial_rows(pool):
    X, _, known = pool
    _, radius = gonzalez(X, known, 150)
    found = [
        distill(
            da.from_array(X, chunks=(chunks, -1)), size=150, strategy="kcenter", initial=known,
            certify=True,
        )
        for chunks in (1_300, N)
    ]  # fmt: skip
    one, other = found
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.weights, other.weights)
    assert not np.isin(one.indices, known).any()
    told = one.provenance["selection"]
    assert told["initial"] == told["rows_initial"] == len(known)
    assert told["covering_radius"] <= 1.1 * radius
    # the certificate is for initial and selected rows together
    centers = X[np.union1d(known, one.indices)].astype(np.float64)
    nearest = ((X[:, None].astype(np.float64) - centers) ** 2).sum(axis=2).min(axis=1)
    assert one.certificate.radius == pytest.approx(np.sqrt(nearest.max()))
    assert one.certificate.radius == pytest.approx(told["covering_radius"])


def test_kcenter__protected_rows_are_centers(pool):
    X, _, known = pool
    expected, _ = gonzalez(X, known, 60)
    coreset = distill(
        X, size=60 + len(known), strategy="kcenter", options={"exact": True}, protect=known
    )
    np.testing.assert_array_equal(coreset.indices, np.union1d(expected, known))


def test_kcenter__names_how_many_distinct_rows_initial_ones_leave():
    X = np.repeat(np.arange(5.0), 4)[:, None]
    with pytest.raises(InputError, match="beside those set apart, 3, got 4"):
        distill(X, size=4, strategy="kcenter", initial=[0, 7])
    with pytest.raises(InputError, match="outliers must be 0"):
        distill(X, size=2, strategy="kcenter", options={"outliers": 1}, initial=[0])


def test_active__takes_unsure_rows_apart_from_each_other_and_from_labelled_ones(pool):
    X, y, known = pool
    model = LogisticRegression(max_iter=200).fit(X[known], y[known])
    found = []
    for chunks in (1_500, N):
        data = da.from_array(X, chunks=(chunks, -1))
        found.append(distill(data, size=60, strategy="active", proxy=model, initial=known))
    rows = found[0].indices
    np.testing.assert_array_equal(rows, found[1].indices)
    assert not np.isin(rows, known).any()
    P = np.sort(model.predict_proba(X), axis=1)
    margin = P[:, -1] - P[:, -2]
    margin[known] = np.inf
    assert margin[rows].max() <= np.sort(margin)[5 * 60 - 1] + 1e-6
    plain = distill(X, size=60, strategy="active", options={"diversity": "none"}, proxy=model,
                    initial=known)  # fmt: skip

    def apart(rows):
        squared = ((X[rows, None] - X[rows]) ** 2).sum(axis=2)
        return np.sqrt(np.sort(squared, axis=1)[:, 1]).mean()

    assert apart(rows) > 1.3 * apart(plain.indices)


def test_active__needs_a_model_or_labels(pool):
    with pytest.raises(InputError, match="strategy active needs labels"):
        distill(pool[0], size=10, strategy="active")


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        (np.ones(N, bool), "initial must leave rows to choose among"),
        ([N], "initial must hold row numbers from 0"),
        (np.ones(3, bool), "initial must have as many values"),
        ("labelled", "initial must name a carried array"),
    ],
)
def test_initial__refuses_what_cannot_be_meant(pool, initial, message):
    with pytest.raises(InputError, match=message):
        distill(pool[0], size=10, strategy="random", initial=initial)


def test_label_in_batches__learns_more_than_from_random_rows(pool):
    X, y, _ = pool
    asked = []

    def person(rows):
        asked.extend(rows.tolist())
        return y[rows]

    score = {}
    for strategy, first in (("active", "kmeans"), ("random", "random")):
        *_, last = label_in_batches(
            X, person, LogisticRegression(max_iter=300), size=12, batches=4,
            strategy=strategy, first=first,
        )  # fmt: skip
        score[strategy] = last.model.score(X, y)
        assert len(last.rows) == 48
        np.testing.assert_array_equal(last.labels, y[last.rows])
    assert len(set(asked[:48])) == 48, "no row is asked for twice"
    assert score["active"] > score["random"]


def test_label_in_batches__refuses_answers_for_other_rows(pool):
    X, _, known = pool
    loop = label_in_batches(X, lambda rows: rows[:2], LogisticRegression(), size=5, batches=1)
    with pytest.raises(InputError, match="ask must give a label for each of 5 rows"):
        next(loop)
    with pytest.raises(InputError, match="labels must be as many as rows"):
        next(label_in_batches(X, len, LogisticRegression(), size=5, batches=1, rows=known))


@pytest.mark.parametrize("unknown", [None, np.nan])
@pytest.mark.parametrize("names", [[0, 1], ["no", "yes"]])
def test_label_in_batches__rows_that_cannot_be_told_are_skipped_and_not_asked_for_again(
    pool, unknown, names
):
    X, truth = pool[0][:300], pool[1][:300] > 0
    asked = []

    def ask(rows):
        asked.extend(rows.tolist())
        return [unknown if row % 3 == 0 else names[int(truth[row])] for row in rows]

    model = LogisticRegression()
    *_, last = label_in_batches(X, ask, model, size=20, batches=4)
    assert len(asked) == len(set(asked)) == 80
    told = sorted(row for row in asked if row % 3)
    assert last.rows.tolist() == told
    assert last.labels.tolist() == [names[int(truth[row])] for row in told]


def test_label_in_batches__ends_with_the_pool(pool):
    X, truth = pool[0][:25], pool[1][:25] % 2
    found = list(
        label_in_batches(X, lambda rows: truth[rows], LogisticRegression(), size=10, batches=9)
    )
    assert [len(batch.fresh) for batch in found] == [10, 10, 5]
    assert found[-1].rows.tolist() == list(range(25))


def test_label_in_batches__nobody_can_tell(pool):
    found = list(
        label_in_batches(
            pool[0][:20], lambda rows: [None] * len(rows), LogisticRegression(), size=10, batches=3
        )
    )
    assert [len(batch.rows) for batch in found] == [0, 0]
    assert found[-1].model is None
