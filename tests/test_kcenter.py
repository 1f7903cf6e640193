"""k-center over blocks: the sequential traversal's rows, or nearly its radius; the certificate."""

import functools
import itertools
import tracemalloc
import warnings
from dataclasses import replace

import dask
import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, distill
from dask_distill.conversation.converse import choose, converse
from dask_distill.conversation.run import Run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block
from dask_distill.kernels.farthest_first import FarthestFirst, farthest_first
from dask_distill.kernels.outliers import centers_with_outliers
from dask_distill.runtime.runner import LocalRunner
from dask_distill.selection.certify import lower_bound
from dask_distill.strategies import Combined, KCenter, kcenter, make_strategy
from dask_distill.strategies.parts import exact_rounds, two_rounds
from dask_distill.strategies.parts.exact_rounds import First
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.strategies.parts.two_rounds import Covering, Followers, Traverse
from dask_distill.survey.schema import Sample, Schema


def mixture(n, d, seed=0, groups=20):
    """Rows of Gaussian groups of different spread and weight, and their groups."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(groups, d)) * 3
    group = rng.choice(groups, n, p=rng.dirichlet(np.ones(groups)))
    spread = np.exp(0.5 * rng.normal(size=groups))[group]
    X = centers[group] + rng.normal(size=(n, d)) * spread[:, None]
    return X.astype(np.float32), group


def select(X, parts, k, strategy):
    """The strategy's rows over blocks that are these runs of rows; nothing of Dask."""
    edges = np.concatenate([[0], np.cumsum(parts)])
    blocks = [
        Block(number=i, rows=np.arange(a, b), X=X[a:b], codes=None)
        for i, (a, b) in enumerate(itertools.pairwise(edges))
    ]
    schema = Schema(
        n_source=len(X),
        n=len(X),
        d=X.shape[1],
        classes=None,
        counts=None,
        block_counts=np.diff(edges),
        block_starts=edges[:-1],
        block_classes=None,
        mean=X.mean(0, dtype=float),
        scale=X.std(0, dtype=float),
        sample=Sample(rows=np.arange(1), X=X[:1], codes=None),
        dropped=0,
        fingerprint="",
        seed=0,
    )
    question = strategy.ask(schema, k, None)
    final, states = converse(strategy, blocks, question, Run(LocalRunner()), phase="select")
    chosen = choose(strategy, states, final, Run(LocalRunner()))
    rows = np.concatenate([c.rows for c in chosen])
    return rows, np.concatenate([c.weights for c in chosen]), content(final)


def even(n, blocks):
    return np.diff(np.linspace(0, n, blocks + 1).astype(int))


def distances_to(X, centers):
    """Float64 distance of each row to the nearest center, and which it is."""
    best, nearest = np.full(len(X), np.inf), np.zeros(len(X), int)
    for j, center in enumerate(X[centers].astype(float)):
        squared = ((X.astype(float) - center) ** 2).sum(1)
        nearest[squared < best] = j
        best = np.minimum(best, squared)
    return np.sqrt(best), nearest


# ---------------------------------------------------------------- exact


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize("blocks", [1, 7, 20, 100])
def test_exact__same_rows_as_the_sequential_traversal(blocks, order):
    X, group = mixture(8_000, 12)
    X = X[np.argsort(group, kind="stable")] if order == "sorted" else X
    expected, radii = farthest_first(X, 800)
    rows, weights, choice = select(X, even(len(X), blocks), 800, KCenter(exact=True))
    assert np.array_equal(rows, np.sort(expected))
    far, nearest = distances_to(X, rows)
    assert choice.told["covering_radius"] == pytest.approx(far.max(), rel=1e-12)
    assert np.array_equal(weights, np.bincount(nearest, minlength=800))
    own = np.sort(radii[1:])[::-1]
    assert np.array_equal(
        np.sort(choice.scores["insertion_radius"])[::-1][1:], own.astype(np.float32)
    )
    assert choice.told["pools"] <= 25
    assert choice.told["rows_moved"] <= 3 * 800


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_exact__same_rows_for_any_partition_ties_and_duplicates_included(data):
    n, d = data.draw(st.integers(1, 300)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    X = rng.integers(0, data.draw(st.integers(2, 30)), size=(n, d)).astype(np.float64)
    k = data.draw(st.integers(1, len(np.unique(X, axis=0))))
    cuts = data.draw(st.lists(st.integers(0, n), max_size=6).map(sorted))
    expected, _ = farthest_first(X, k)
    parts = np.diff([0, *cuts, n])
    rows, weights, _ = select(X, parts, k, KCenter(exact=True))
    assert np.array_equal(rows, np.sort(expected))
    assert weights.sum() == n


def test_exact__very_many_equally_far_rows():
    """Rows of one-hot features: all distances are alike, every pool is a tie."""
    X = np.eye(1_000, dtype=np.float32)
    expected, _ = farthest_first(X, 700)
    rows, _, choice = select(X, even(1_000, 9), 700, KCenter(exact=True))
    assert np.array_equal(rows, np.sort(expected))
    assert choice.told["pools"] < 20


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_exact__same_bits_over_dask_as_over_numpy(labelled, scheduler):
    X = labelled.X[:9000]
    expected, _ = farthest_first(X, 500)
    with dask.config.set(scheduler=scheduler):
        found = distill(da.from_array(X, chunks=(1234, -1)), size=500, strategy=KCenter(exact=True))
    assert np.array_equal(found.indices, np.sort(expected))
    facts = found.provenance["selection"]
    assert facts["covering_radius"] == pytest.approx(distances_to(X, expected)[0].max())


@pytest.mark.parametrize("strategy", [KCenter(exact=True), KCenter()])
def test_kcenter__a_killed_workers_state_is_rebuilt(labelled, local_client, strategy):
    client = local_client(2)
    X = labelled.X[:12_000]
    expected = distill(X, size=900, strategy=strategy)

    class Assassin:
        """Kills a worker in the middle of every third round."""

        rounds = 0

        def start(self, phase, total):
            self.rounds += 1
            self.armed = self.rounds % 3 == 0 and self.rounds < 12

        def advance(self):
            if self.armed:
                self.armed = False
                import os
                import signal

                pids = client.run(os.getpid)
                os.kill(sorted(pids.values())[0], signal.SIGKILL)

        def finish(self):
            pass

    found = distill(X, size=900, strategy=strategy, progress=Assassin())
    assert np.array_equal(found.indices, expected.indices)
    assert np.array_equal(found.weights, expected.weights)


# ---------------------------------------------------------------- two rounds


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize("k", [200, 2_000])
def test_two_rounds__radius_is_nearly_that_of_the_sequential_traversal(k, order):
    X, group = mixture(20_000, 8)
    X = X[np.argsort(group, kind="stable")] if order == "sorted" else X
    rows, weights, choice = select(X, even(len(X), 20), k, KCenter())
    sequential = FarthestFirst(X)
    sequential.extend(k)
    assert choice.told["covering_radius"] <= 1.05 * sequential.covering_radius()
    assert choice.told["rows_moved"] <= 2.3 * k
    far, nearest = distances_to(X, rows)
    assert choice.told["covering_radius"] == pytest.approx(far.max(), rel=1e-12)
    assert np.array_equal(weights, np.bincount(nearest, minlength=k))


def test_blocks__hold_their_rows_once_while_they_wait():
    X, _ = mixture(20_000, 32)
    block, space = (
        Block(number=0, rows=np.arange(len(X)), X=X, codes=None),
        MetricSpace("euclidean", None, None),
    )
    aim = Covering(size=2000, n=len(X))
    select(X[:2000], [2000], 20, KCenter())
    tracemalloc.start()
    try:
        state = Traverse.begin(aim, space, 3800, np.array([len(X)])).observe(block)
        traversing, _ = tracemalloc.get_traced_memory()
        first = First(replace(aim, exact=True), space=space).observe(block)
        beginning = tracemalloc.get_traced_memory()[0] - traversing
    finally:
        tracemalloc.stop()
    # distances, marks and picks: fewer bytes than a copy of the rows
    assert state.X is X
    assert len(state.traversal.indices) > 2000
    assert traversing < 0.4 * X.nbytes
    assert first.X is X
    assert beginning < 0.4 * X.nbytes


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(0, 40), max_size=60), min_size=1, max_size=5),
    order=st.randoms(),
)
def test_followers__add_up_to_the_counts_of_all_rows(parts, order):
    told = [Followers.of(np.array(part, np.int64)) for part in parts]
    order.shuffle(told)
    counts = functools.reduce(Followers.merge, told).dense(41)
    expected = np.bincount(np.concatenate([np.array(p, np.int64) for p in parts]), minlength=41)
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == np.int64


def test_followers__are_wide_only_where_they_must_be():
    few = Followers.of(np.array([3, 3, 7]))
    assert (few.centers.dtype, few.counts.dtype) == (np.int32, np.int32)
    many = Followers(np.array([2**31, 2**31 + 1]), np.array([2**31 - 1, 5], np.int32))
    both = many.merge(many)
    assert both.counts.tolist() == [2**32 - 2, 10]
    assert both.centers.tolist() == [2**31, 2**31 + 1]
    assert Followers.of(np.array([2**31])).centers.dtype == np.int64
    assert Followers().merge(few).dense(8).tolist() == [0, 0, 0, 2, 0, 0, 0, 1]


def test_questions__carry_centers_to_the_blocks_once(monkeypatch):
    """Rows of the centers are most of what a question weighs."""
    asked = []

    def watched(self, state, _observe=two_rounds.Worst.observe):
        asked.append(self)
        return _observe(self, state)

    monkeypatch.setattr(two_rounds.Worst, "observe", watched)
    X, _ = mixture(6000, 8)
    select(X, even(6000, 4), 300, KCenter())
    assert asked
    assert all(len(worst.cover.chosen.fresh) == 0 for worst in asked)


def test_join__holds_no_block_twice():
    X, _ = mixture(40_000, 32)

    def blocks():
        return [
            Block(number=i, rows=np.arange(5000) + 5000 * i, X=X[5000 * i :][:5000], codes=None)
            for i in range(8)
        ]

    question = KCenter(exact=True, reduce=lambda Z: Z[:, :16] * 2).ask(
        Schema(
            n_source=40_000,
            n=40_000,
            d=32,
            classes=None,
            counts=None,
            block_counts=np.full(8, 5000),
            block_starts=np.arange(8) * 5000,
            block_classes=None,
            mean=None,
            scale=None,
            sample=Sample(rows=np.arange(1), X=X[:1], codes=None),
            dropped=0,
            fingerprint="",
            seed=0,
        ),
        10,
        None,
    )
    given = blocks()
    held = KCenter(exact=True).join(question, given)
    np.testing.assert_array_equal(held.X, X[:, :16] * 2)
    np.testing.assert_array_equal(held.rows, np.arange(40_000))
    assert given == []
    # the user's function may give other types for other rows
    kinds = iter([np.float32, np.float64] * 4)
    mixed = replace(question.space, reduce=lambda Z: Z.astype(next(kinds)))
    held = KCenter(exact=True).join(replace(question, space=mixed), blocks())
    assert held.X.dtype == np.float64
    np.testing.assert_array_equal(held.X, X)


def test_two_rounds__a_merge_that_is_spread_gives_the_same_rows(monkeypatch):
    X, _ = mixture(6_000, 5)
    parts = even(len(X), 11)
    together = select(X, parts, 400, KCenter())
    monkeypatch.setattr(two_rounds, "SPREAD_ROWS", 100)
    apart = select(X, parts, 400, KCenter())
    assert np.array_equal(together[0], apart[0])
    assert np.array_equal(together[1], apart[1])
    assert apart[2].told["pools"] > together[2].told["pools"]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_two_rounds__duplicates_and_uneven_blocks(data):
    n, d = data.draw(st.integers(1, 200)), data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    X = rng.integers(0, data.draw(st.integers(2, 9)), size=(n, d)).astype(np.float32)
    distinct = len(np.unique(X, axis=0))
    k = data.draw(st.integers(1, distinct))
    parts = np.diff([0, *data.draw(st.lists(st.integers(0, n), max_size=5).map(sorted)), n])
    rows, weights, choice = select(X, parts, k, KCenter())
    assert len(np.unique(rows)) == k
    assert weights.sum() == n
    assert weights.min() >= 1
    if k == distinct:
        assert choice.told["covering_radius"] == 0


@pytest.mark.parametrize("exact", [False, True])
def test_kcenter__fewer_distinct_rows_than_wanted_is_bad_input(exact):
    X = np.repeat(np.arange(5.0), 100)[:, None]
    with pytest.raises(InputError, match="number of distinct rows 5, got 6; lower it"):
        distill(X, size=6, strategy=KCenter(exact=exact))


# ---------------------------------------------------------------- metrics and outliers


@pytest.mark.parametrize("exact", [False, True])
def test_kcenter__cosine_is_euclid_on_rows_of_length_one(exact):
    X, _ = mixture(3_000, 6)
    X[5] = 0
    unit = X / np.maximum(np.linalg.norm(X, axis=1), 1e-30)[:, None]
    found = distill(X, size=100, strategy=KCenter(metric="cosine", exact=exact))
    radius = found.provenance["selection"]["covering_radius"]
    assert radius == pytest.approx(distances_to(unit, found.indices)[0].max(), rel=1e-5)
    assert radius <= 2


def parallel(directions, n, d, dtype, seed=0):
    """Rows of few directions, each of any length."""
    rng = np.random.default_rng(seed)
    one = rng.normal(size=(directions, d))
    which = rng.permutation(
        np.r_[np.arange(directions), rng.integers(0, directions, n - directions)]
    )
    return which, (one[which].astype(dtype) * rng.uniform(1e-3, 1e3, (n, 1)).astype(dtype))


@pytest.mark.parametrize("options", [{}, {"exact": True}, {"outliers": 7}])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", [2, 9, 40])
def test_kcenter__multiples_of_a_row_are_one_point_by_cosine(options, dtype, d):
    which, X = parallel(60, 2_000, d, dtype)
    most = 60 - options.get("outliers", 0)
    for chunks in (2_000, 170):
        blocks = da.from_array(X, chunks=(chunks, -1))
        found = distill(blocks, size=most, strategy=KCenter(metric="cosine", **options))
        assert len(set(which[found.indices])) == len(found) == most
        with pytest.raises(InputError, match="distinct rows 60, since multiples of a row are one"):
            distill(blocks, size=61, strategy=KCenter(metric="cosine", **options))


def test_kcenter__opposite_and_zero_rows_are_points_of_their_own_by_cosine():
    _, X = parallel(10, 500, 3, np.float64)
    X = np.concatenate([X, -X, np.zeros((5, 3))])
    assert len(distill(X, size=21, strategy=KCenter(metric="cosine"))) == 21
    with pytest.raises(InputError, match="distinct rows 21,"):
        distill(X, size=22, strategy=KCenter(metric="cosine"))


def test_kcenter__multiples_of_initial_rows_are_covered_by_cosine():
    which, X = parallel(30, 1_000, 5, np.float32)
    initial = [int(np.argmax(which == one)) for one in range(12)]
    found = distill(X, size=18, strategy=KCenter(metric="cosine"), initial=initial)
    assert set(which[found.indices]) == set(range(12, 30))
    with pytest.raises(InputError, match="beside those set apart, 18, since multiples"):
        distill(X, size=19, strategy=KCenter(metric="cosine"), initial=initial)


def test_combined__multiples_of_a_row_are_one_point_by_cosine():
    _, X = parallel(40, 1_000, 5, np.float32)
    plain = {"criterion": "random", "trust": 1.0, "pool": 20.0, "scale": "none"}
    strategy = Combined(metric="cosine", diversity="kcenter", **plain)
    assert len(distill(X, size=40, strategy=strategy)) == 40
    with pytest.raises(InputError, match="distinct rows 40, since multiples"):
        distill(X, size=41, strategy=strategy)


def test_kcenter__standard_scale_undoes_units():
    X, _ = mixture(3_000, 4)
    units = np.array([1e-3, 1, 1e3, 1e6], np.float32)
    a = distill(X, size=100, strategy=KCenter(scale="standard"))
    b = distill(X * units, size=100, strategy=KCenter(scale="standard"))
    assert len(np.intersect1d(a.indices, b.indices)) >= 90


def test_kcenter__reduced_features():
    X, _ = mixture(3_000, 6)

    def first_two(block):
        return block[:, :2]

    found = distill(X, size=100, strategy=KCenter(reduce=first_two, exact=True))
    assert np.array_equal(found.indices, np.sort(farthest_first(X[:, :2].copy(), 100)[0]))
    assert found.provenance["parameters"]["options"]["reduce"].endswith("first_two")
    with pytest.raises(InputError, match=r"reduce must give .* rows .* got shape"):
        distill(X, size=10, strategy=KCenter(reduce=lambda block: block[:5]))
    with pytest.raises(InputError, match="reduce must give finite values"):
        distill(X, size=10, strategy=KCenter(reduce=lambda block: block * np.nan))


def test_kcenter__refuses_options_that_do_not_fit():
    for options, words in [
        ({"metric": "manhattan"}, 'metric must be "euclidean" or "cosine"'),
        ({"scale": "unit"}, 'scale must be "standard" or "none"'),
        ({"outliers": -1}, "outliers must be at least 0"),
        ({"outliers": 3, "exact": True}, "exact must be False with outliers"),
        ({"refine": -1}, "refine must be"),
        ({"refine": 2, "exact": True}, "refine must be 0 with exact, got 2; leave one"),
        ({"refine": 2, "outliers": 3}, "refine must be 0 with outliers, got 2; leave one"),
        ({"outliers": "some"}, "option outliers of strategy kcenter must be of type int"),
        ({"reduce": "f"}, "option reduce of strategy kcenter must be given from Python"),
    ]:
        with pytest.raises(InputError, match=words):
            make_strategy("kcenter", options)
    with pytest.raises(InputError, match="must be below 10000 together, got 10001"):
        distill(
            np.random.default_rng(0).normal(size=(20_000, 2)),
            size=10_000,
            strategy=KCenter(outliers=1),
        )


@pytest.mark.parametrize("options", [{}, {"metric": "cosine"}, {"scale": "standard"}])
def test_refine__covers_all_rows_within_less(options):
    X, _ = mixture(3_000, 8)
    plain, refined = (
        distill(X, size=150, strategy=KCenter(**options, refine=passes), certify=True)
        for passes in (0, 8)
    )
    assert refined.certificate.radius < 0.92 * plain.certificate.radius
    told = refined.provenance["selection"]["covering_radius"]
    assert told == pytest.approx(refined.certificate.radius, rel=1e-6)
    assert len(refined.indices) == 150
    assert refined.weights.sum(dtype=float) == pytest.approx(3_000)
    if not options:
        distances, nearest = distances_to(X, refined.indices)
        assert told == pytest.approx(distances.max(), rel=1e-6)
        counts = np.bincount(nearest, minlength=150)
        np.testing.assert_array_equal(refined.weights, counts)


def test_refine__of_more_rows_than_are_candidates_the_worst_get_centers(monkeypatch):
    X, _ = mixture(6_000, 8)
    for module in (two_rounds, kcenter):
        monkeypatch.setattr(module, "MOST_REFINED", 2_000)
    _, _, plain = select(X, [2_000] * 3, 200, KCenter())
    rows, weights, refined = select(X, [2_000] * 3, 200, KCenter(refine=8))
    assert len(np.unique(rows)) == 200
    radius = refined.told["covering_radius"]
    distances, nearest = distances_to(X, np.sort(rows))
    assert radius == pytest.approx(distances.max(), rel=1e-6)
    np.testing.assert_array_equal(weights, np.bincount(nearest, minlength=200))
    assert radius < 0.95 * plain.told["covering_radius"]


def test_refine__chosen_before_stay_centers():
    X, _ = mixture(3_000, 4)
    known = np.arange(100)
    plain, refined = (
        distill(X, size=100, strategy=KCenter(refine=passes), initial=known) for passes in (0, 8)
    )
    assert len(np.intersect1d(refined.indices, known)) == 0
    both = np.concatenate([known, refined.indices])
    told = refined.provenance["selection"]["covering_radius"]
    assert told == pytest.approx(distances_to(X, both)[0].max(), rel=1e-6)
    assert told < plain.provenance["selection"]["covering_radius"]


def test_refine__same_rows_for_any_chunking():
    X, _ = mixture(4_000, 6)
    expected = distill(X, size=120, strategy=KCenter(refine=4))
    for chunk in (4_000, 700):
        lazy = da.from_array(X, chunks=(chunk, -1))
        found = distill(lazy, size=120, strategy=KCenter(refine=4))
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.weights, expected.weights)


def test_refine__refuses_more_centers_than_candidates_allow_before_a_row_is_read():
    def read(block):
        raise AssertionError("a row is read")

    unread = da.zeros((12_000, 2), chunks=(3_000, 2)).map_blocks(read, meta=np.empty((0, 0)))
    with pytest.raises(InputError, match="size must be at most 10526 with refine, got 11000"):
        distill(unread, size=11_000, strategy=KCenter(refine=1))


# far rows are what is tested
@pytest.mark.filterwarnings("ignore:a few rows make the spread")
def test_outliers__need_not_be_covered():
    X, _ = mixture(6_000, 4)
    rng = np.random.default_rng(1)
    far = rng.choice(len(X), 12, replace=False)
    X[far] += rng.normal(size=(12, 4)).astype(np.float32) * 300
    plain = distill(X, size=60, strategy=KCenter())
    robust = distill(X, size=60, strategy=KCenter(outliers=12))
    distances = np.sort(distances_to(X, robust.indices)[0])[::-1]
    radius = robust.provenance["selection"]["covering_radius_without_outliers"]
    assert radius == pytest.approx(distances[12], rel=1e-6)
    assert len(np.intersect1d(plain.indices, far)) > len(np.intersect1d(robust.indices, far))
    covered = np.sort(distances_to(X, plain.indices)[0])[::-1][12]
    assert radius < covered
    assert robust.weights.sum(dtype=float) == pytest.approx(6_000)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_centers_with_outliers__within_three_times_the_best(data):
    n, d = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 2))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    X = rng.integers(0, 40, size=(n, d)).astype(np.float64)
    k = data.draw(st.integers(1, min(3, len(np.unique(X, axis=0)))))
    z = data.draw(st.integers(0, 2))
    every = np.sqrt(((X[:, None] - X[None]) ** 2).sum(2))

    def radius(centers):
        return np.sort(every[list(centers)].min(0))[::-1][min(z, n - 1)]

    best = min(radius(centers) for centers in itertools.combinations(range(n), k))
    picks, _ = centers_with_outliers(X, np.ones(n), k, z)
    assert len(set(picks.tolist())) == k
    assert radius(picks) <= 3 * best * 1.011


# ---------------------------------------------------------------- certificate


@pytest.mark.parametrize("strategy", ["kcenter", "random"])
def test_certificate__measures_and_bounds(strategy, labelled):
    X = labelled.X[:9000] / labelled.X[:9000].std(0)
    found = distill(da.from_array(X, chunks=(2000, -1)), size=300, strategy=strategy, certify=True)
    proof = found.certificate
    assert proof.radius == pytest.approx(distances_to(X, found.indices)[0].max(), rel=1e-9)
    sequential = FarthestFirst(X)
    sequential.extend(300)
    # no choice beats half of what the traversal reaches, and the bound must not say otherwise
    assert proof.lower_bound <= sequential.covering_radius()
    assert proof.ratio == pytest.approx(proof.radius / proof.lower_bound)
    assert proof.random_radius > 0
    if strategy == "kcenter":
        assert proof.ratio < 3.2
        assert proof.random_radius > proof.radius


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_lower_bound__never_above_the_best_there_is(data):
    """On a line the best centers are known: dynamic programming over the sorted rows."""
    n = data.draw(st.integers(2, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x = np.sort(rng.choice(500, n, replace=False).astype(float))
    k = data.draw(st.integers(1, n))
    _, radii = farthest_first(x[:, None], n)
    best = np.full((k + 1, n + 1), np.inf)
    best[:, 0] = 0
    for c, stop in itertools.product(range(1, k + 1), range(1, n + 1)):
        best[c, stop] = min(
            max(best[c - 1, start], (x[stop - 1] - x[start]) / 2) for start in range(stop)
        )
    bound = lower_bound(radii**2, k)
    assert bound <= best[k, n] + 1e-9
    if k < n:
        assert bound >= radii[k] / 2


def test_certificate__all_rows_selected_is_a_radius_of_zero():
    X = np.random.default_rng(0).normal(size=(200, 3))
    proof = distill(X, fraction=1, strategy="random", certify=True).certificate
    assert (proof.radius, proof.lower_bound, proof.ratio) == (0, 0, 1)


def test_certificate__leaves_dropped_rows_out():
    X = np.random.default_rng(0).normal(size=(3000, 2))
    X[7] = np.nan
    with warnings.catch_warnings():
        proof = distill(X, size=50, strategy="kcenter", certify=True, on_invalid="drop").certificate
    assert np.isfinite([proof.radius, proof.random_radius]).all()


def test_levels__thresholds_bracket_the_wanted_rows():
    rng = np.random.default_rng(0)
    squared = np.concatenate([rng.exponential(size=5000), np.zeros(50)])
    levels = exact_rounds.Levels.of(squared[:3000]).merge(exact_rounds.Levels.of(squared[3000:]))
    for wanted in (1, 10, 500, 4999, 5000):
        threshold = levels.threshold(wanted)
        above = int((squared > threshold).sum())
        assert above == levels.above(threshold)
        assert wanted <= above <= wanted + 5
    assert levels.threshold(9999) == 0
