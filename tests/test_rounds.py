"""Both rounds of k-center as Dask graphs: against brute force, bounds and the strategy itself."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.utils import key_split

from dask_distill import InputError, candidates, distill, merge_candidates, open_dataset
from dask_distill.data.blocks import block_bounds
from dask_distill.data.dataset import as_dataset
from dask_distill.strategies.parts.two_rounds import OfferPicks

OURS = ["_index", "_block", "_insertion_radius", "_covering_radius", "_weight"]


def mixture(n, d, seed=0, groups=20):
    """Rows of Gaussian groups, group after group: blocks see different data."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(groups, d)) * 3
    group = np.sort(rng.choice(groups, n, p=rng.dirichlet(np.ones(groups))))
    spread = np.exp(0.5 * rng.normal(size=groups))[group]
    return (centers[group] + rng.normal(size=(n, d)) * spread[:, None]).astype(np.float32)


def blocks_of(X):
    edges = np.cumsum([0, *block_bounds(*X.shape)])
    return list(pairwise(edges.tolist()))


def gonzalez(X, k):
    """Plain farthest-first traversal in float64: picks, radii, and the next radius."""
    X = X.astype(float)
    picks, radii = [0], [np.inf]
    far = np.linalg.norm(X - X[0], axis=1)
    while len(picks) < k:
        picks.append(int(far.argmax()))
        radii.append(far.max())
        far = np.minimum(far, np.linalg.norm(X - X[picks[-1]], axis=1))
    return np.array(picks), np.array(radii), far.max()


def far_from(X, centers):
    """Distance of each row to the nearest center, and which it is."""
    far, nearest = np.full(len(X), np.inf), np.zeros(len(X), int)
    for number, center in enumerate(centers.astype(float)):
        to = np.linalg.norm(X.astype(float) - center, axis=1)
        nearest[to < far] = number
        far = np.minimum(far, to)
    return far, nearest


def coordinates(frame):
    return frame[[name for name in frame.columns if name not in OURS]].to_numpy()


# ---------------------------------------------------------------- the first round


@pytest.mark.parametrize("common_radius", [True, False])
def test_candidates__are_a_plain_traversal_of_each_block(common_radius):
    X, k = mixture(13_000, 3), 150
    frame = candidates(X, k, common_radius=common_radius).compute()
    lowest, next_ = np.inf, 0.0
    for number, (start, stop) in enumerate(blocks_of(X)):
        mine = frame[frame["_block"] == number]
        picks, radii, following = gonzalez(X[start:stop], len(mine))
        np.testing.assert_array_equal(mine["_index"], start + picks)
        np.testing.assert_allclose(mine["_insertion_radius"], radii, rtol=1e-12)
        lowest, next_ = min(lowest, radii[-1]), max(next_, following)
        far, nearest = far_from(X[start:stop], X[mine["_index"]])
        np.testing.assert_array_equal(mine["_weight"], np.bincount(nearest))
        reach = np.zeros(len(mine))
        np.maximum.at(reach, nearest, far)
        np.testing.assert_allclose(mine["_covering_radius"], reach, rtol=1e-9)
        if not common_radius:
            assert len(mine) == k
    if common_radius:
        # cut where all blocks together have some 1.9 candidates for each center
        assert len(frame) == np.ceil(1.9 * k)
        assert next_ <= lowest
        # the blocks differ, and offer differently
        assert np.ptp(frame["_block"].value_counts()) > 20
    assert frame["_weight"].sum() == len(X)
    np.testing.assert_array_equal(coordinates(frame), X[frame["_index"]])


@pytest.mark.parametrize("chunks", [13_000, 5_000, 999, (1, 12_999), (4096, 4096, 4096, 712)])
def test_candidates__same_bits_for_any_chunking(chunks):
    X = mixture(13_000, 5)
    expected = candidates(X, 300).compute(scheduler="sync")
    found = candidates(da.from_array(X, chunks=(chunks, 2)), 300)
    pd.testing.assert_frame_equal(found.compute(scheduler="threads"), expected, check_exact=True)
    assert found.npartitions == len(blocks_of(X))


def test_candidates__are_what_the_strategy_merges(monkeypatch):
    X = mixture(20_000, 4)
    merged = []

    def watched(self, answer, _advance=OfferPicks.advance):
        merged.append(answer.sorted())
        return _advance(self, answer)

    monkeypatch.setattr(OfferPicks, "advance", watched)
    with dask.config.set(scheduler="sync"):
        distill(X, size=400, strategy="kcenter")
    (pool,) = merged
    frame = candidates(X, 400).compute().sort_values("_index")
    np.testing.assert_array_equal(frame["_index"], pool.rows)
    np.testing.assert_array_equal(coordinates(frame), pool.X)


def test_candidates__nothing_is_read_before_it_is_asked_for():
    def read(block):
        raise AssertionError("read")

    X = da.zeros((20_000, 3), chunks=(999, 3)).map_blocks(read, dtype=float, meta=np.empty((0, 0)))
    offered = candidates(X, 100)
    merge_candidates(offered, 100)
    assert offered.dtypes.to_dict() == {
        "_index": np.int64,
        "_block": np.int32,
        **dict.fromkeys(OURS[2:], np.float64),
        **dict.fromkeys(["x0", "x1", "x2"], np.float64),
    }
    with pytest.raises(AssertionError, match="read"):
        offered.compute()


def test_graphs__name_their_tasks_and_see_radii_alone_before_the_cut():
    X = da.from_array(mixture(13_000, 3), chunks=(1000, 3))
    offered = candidates(X, 100)
    names = Counter(key_split(key) for key in offered.__dask_graph__())
    blocks = offered.npartitions
    assert names["candidates-traverse"] == blocks
    assert names["candidates"] >= blocks
    assert names["candidates-cut"] == 3
    assert names["candidates-radii"] == 3 * blocks
    merged = merge_candidates(offered, 100)
    assert "merge-candidates" in {key_split(key) for key in merged.__dask_graph__()}
    # the textbook's blocks wait for nothing
    textbook = candidates(X, 100, common_radius=False).__dask_graph__()
    assert "candidates-cut" not in {key_split(key) for key in textbook}
    # same arguments, same keys: a cluster that holds them does not make them again
    assert candidates(X, 100).__dask_keys__() == offered.__dask_keys__()
    assert candidates(X, 101).__dask_keys__() != offered.__dask_keys__()


def test_candidates__graph_of_many_blocks_has_few_tasks_for_each():
    X = da.zeros((10_000_000, 64), chunks=(1_000, 64), dtype="f4")
    offered = candidates(X, 10_000)
    names = Counter(key_split(key) for key in offered.__dask_graph__())
    ours = sum(count for name, count in names.items() if name.startswith("candidates"))
    assert ours <= 9 * offered.npartitions + 3


def test_candidates__duplicates_and_blocks_of_one_row_value():
    X = np.repeat(np.arange(6.0), 3000)[:, None]
    X[4096:8192] = 9.0
    frame = candidates(X, 5).compute()
    assert sorted(frame["_block"].unique()) == list(range(len(blocks_of(X))))
    assert frame["_weight"].sum() == len(X)
    assert (frame["_insertion_radius"] > 0).all()
    merged = merge_candidates(frame, 5).compute()
    assert len(np.unique(X[merged["_index"]])) == 5


def test_candidates__columns_of_a_frame_keep_their_names():
    X = mixture(9_000, 2)
    frame = pd.DataFrame({"lat": X[:, 0], "lon": X[:, 1].astype(np.float64)})
    for given in (frame, dd.from_pandas(frame, npartitions=3), as_dataset(frame)):
        offered = candidates(given, 50)
        assert list(offered.columns) == [*OURS, "lat", "lon"]
        found = offered.compute()
        np.testing.assert_array_equal(coordinates(found), frame.to_numpy()[found["_index"]])
    pictures = X.reshape(4_500, 2, 2)
    assert list(candidates(pictures, 50).columns)[5:] == ["x0", "x1", "x2", "x3"]


# ---------------------------------------------------------------- the second round


@pytest.mark.parametrize("chunks", [20_000, 3_333, 4096])
@pytest.mark.parametrize("d", [2, 20])
def test_merge__with_features_is_the_strategy(chunks, d):
    X = da.from_array(mixture(20_000, d), chunks=(chunks, -1))
    expected = distill(X, size=500, strategy="kcenter")
    found = merge_candidates(candidates(X, 500), 500, X).compute()
    by_row = found.sort_values("_index")
    np.testing.assert_array_equal(by_row["_index"], expected.indices)
    np.testing.assert_array_equal(by_row["_weight"], expected.weights)
    np.testing.assert_array_equal(coordinates(by_row), expected.features.compute())
    radius = expected.provenance["selection"]["covering_radius"]
    assert (found["_covering_radius"] == radius).all()
    radii = found["_insertion_radius"].replace(np.inf, found["_insertion_radius"][1:].max())
    assert Counter(radii.astype(np.float32)) == Counter(expected.scores["insertion_radius"])
    starts = np.array([start for start, _ in blocks_of(X)])
    np.testing.assert_array_equal(
        found["_block"], np.searchsorted(starts, found["_index"], side="right") - 1
    )


def test_merge__of_cosine_is_the_strategy():
    X = mixture(12_000, 6)
    # multiples of a row are one point
    X[7_000:7_500] = 3 * X[:500]
    expected = distill(X, size=200, strategy="kcenter", options={"metric": "cosine"})
    offered = candidates(X, 200, metric="cosine")
    np.testing.assert_allclose(np.linalg.norm(coordinates(offered.compute()), axis=1), 1, rtol=1e-6)
    found = merge_candidates(offered, 200, X, metric="cosine").compute()
    np.testing.assert_array_equal(found["_index"].sort_values(), expected.indices)
    assert len(merge_candidates(offered, 200, metric="cosine").compute()) == 200


SPACES = {
    "in units of the spread": {"scale": "standard"},
    "by angles of these": {"scale": "standard", "metric": "cosine"},
    "of some columns": {"reduce": lambda X: X[:, 1:]},
    "of some in units of their spread": {"reduce": lambda X: X[:, :2], "scale": "standard"},
}


@pytest.mark.parametrize("name", SPACES)
def test_merge__in_a_space_is_the_strategy(name):
    features = da.from_array(mixture(9000, 3) * [1, 50, 0.01], chunks=(1700, 3))
    how = SPACES[name]
    centers = merge_candidates(candidates(features, 40, **how), 40, features, **how).compute()
    is_the_strategys(centers, distill(features, size=40, strategy="kcenter", options=how))


@pytest.mark.parametrize("scale", ["none", "standard"])
def test_merge__of_a_table_is_the_strategy(scale):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=9000), "b": rng.normal(size=9000) * 50})
    frame["town"] = rng.choice(["Oslo", "Rome", None], 9000)
    frame.loc[3, "a"] = np.nan
    offered = candidates(frame, 40, scale=scale)
    assert [name for name in offered.columns if name not in OURS][:2] == ["a", "b"]
    centers = merge_candidates(offered, 40, frame, scale=scale).compute()
    is_the_strategys(centers, distill(frame, size=40, strategy="kcenter", scale=scale))


def sample_weights(kind, n):
    """Numbers of which some are 0, and all of one block; or all the same but these."""
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 5, n) * (1.0 if kind == "whole" else np.pi)
    weights[4096:8192] = 0
    return np.where(weights > 0, 2.5, 0) if kind == "even" else weights


@pytest.mark.parametrize("how", [{}, {"scale": "standard"}, {"metric": "cosine"}])
@pytest.mark.parametrize("kind", ["whole", "broken", "even"])
def test_merge__weighs_as_the_strategy_does(kind, how):
    X = mixture(13_000, 3) * np.float32([1, 50, 0.01])
    weights = sample_weights(kind, len(X))
    features = da.from_array(X, chunks=(1700, 3))
    offered = candidates(features, 100, sample_weight=weights, **how)
    centers = merge_candidates(offered, 100, features, sample_weight=weights, **how).compute()
    expected = distill(X, size=100, strategy="kcenter", sample_weight=weights, options=how)
    is_the_strategys(centers, expected)
    # in every round all weight is on some center, and none on rows of weight 0
    assert centers["_weight"].sum() == pytest.approx(weights.sum())
    frame = offered.compute()
    assert frame["_weight"].sum() == pytest.approx(weights.sum())
    assert (weights[frame["_index"]] > 0).all()
    merged = merge_candidates(offered, 100, **({"metric": "cosine"} if "metric" in how else {}))
    assert merged["_weight"].sum().compute() == pytest.approx(weights.sum())


def test_candidates__weigh_what_the_nearest_rows_of_their_block_do():
    X, weights = mixture(13_000, 3), sample_weights("whole", 13_000)
    frame = candidates(da.from_array(X, chunks=(999, 3)), 80, sample_weight=weights).compute()
    for number, (start, stop) in enumerate(blocks_of(X)):
        mine = frame[frame["_block"] == number]
        there = weights[start:stop] > 0
        if not there.any():
            assert mine.empty
            continue
        picks, radii, _ = gonzalez(X[start:stop][there], len(mine))
        np.testing.assert_array_equal(mine["_index"], start + np.flatnonzero(there)[picks])
        np.testing.assert_allclose(mine["_insertion_radius"], radii, rtol=1e-12)
        _, nearest = far_from(X[start:stop][there], X[mine["_index"]])
        expected = np.bincount(nearest, weights[start:stop][there])
        np.testing.assert_array_equal(mine["_weight"], expected)


def test_merge__sample_weights_by_name_and_of_an_opened_data_set(tmp_path):
    frame = pd.DataFrame(mixture(9_000, 2), columns=["a", "b"])
    frame["often"] = sample_weights("whole", 9_000)
    expected = distill(frame, size=40, strategy="kcenter", sample_weight="often")
    is_the_strategys(
        merge_candidates(
            candidates(frame, 40, sample_weight="often"), 40, frame, sample_weight="often"
        ).compute(),
        expected,
    )
    frame.to_parquet(tmp_path / "weighed.parquet")
    dataset = open_dataset(tmp_path / "weighed.parquet", sample_weight="often")
    offered = candidates(dataset, 40)
    is_the_strategys(merge_candidates(offered, 40, dataset).compute(), expected)
    # rows alike, where that is asked for
    alike = candidates(dataset, 40, sample_weight=False).compute()
    assert alike["_weight"].sum() == 9_000


def is_the_strategys(centers, coreset):
    centers = centers.sort_values("_index")
    np.testing.assert_array_equal(centers["_index"], coreset.indices)
    np.testing.assert_array_equal(centers["_weight"].astype(np.float32), coreset.weights)
    radius = coreset.provenance["selection"]["covering_radius"]
    np.testing.assert_allclose(centers["_covering_radius"], radius)


def test_merge__on_a_cluster_of_ones_own_takes_what_is_persisted(local_client):
    X = da.from_array(mixture(13_000, 4), chunks=(2_000, -1))
    repaired = merge_candidates(candidates(X, 200), 200, X).compute()
    merged = merge_candidates(candidates(X, 200), 200).compute()
    client = local_client(2)
    offered = candidates(X, 200).persist()
    found = merge_candidates(offered, 200, X).compute()
    pd.testing.assert_frame_equal(found, repaired, check_exact=True)
    held = {name for names in client.has_what().values() for name in map(key_split, names)}
    assert "candidates" in held
    found = merge_candidates(offered, 200).compute()
    pd.testing.assert_frame_equal(found, merged, check_exact=True)


def test_merge__is_a_plain_traversal_of_the_candidates():
    X = mixture(13_000, 3)
    offered = candidates(X, 200).compute()
    pool = offered.sort_values("_index")
    picks, radii, _ = gonzalez(coordinates(pool), 120)
    merged = merge_candidates(offered, 120).compute()
    np.testing.assert_array_equal(merged["_index"], pool["_index"].to_numpy()[picks])
    np.testing.assert_allclose(merged["_insertion_radius"], radii, rtol=1e-12)
    # whoever comes first
    again = merge_candidates(offered.sample(frac=1, random_state=0), 120).compute()
    pd.testing.assert_frame_equal(again, merged, check_exact=True)
    # fewer centers are the first of more
    fewer = merge_candidates(offered, 30).compute()
    np.testing.assert_array_equal(fewer["_index"], merged["_index"][:30])


@pytest.mark.parametrize("common_radius", [True, False])
@pytest.mark.parametrize("d", [1, 3, 20])
def test_merge__no_row_is_farther_than_is_proven(d, common_radius):
    X, k = mixture(13_000, d), 60
    offered = candidates(X, k, common_radius=common_radius).compute()
    merged = merge_candidates(offered, k).compute()
    assert merged["_weight"].sum() == len(X)
    far, _ = far_from(X, coordinates(merged))
    assert far.max() <= merged["_covering_radius"].max() * (1 + 1e-9)
    following = merge_candidates(offered, k + 1).compute()["_insertion_radius"].iloc[-1]
    sum_ = offered["_covering_radius"].max() + following
    assert merged["_covering_radius"].max() <= sum_ * (1 + 1e-9)
    repaired = merge_candidates(offered, k, X).compute()
    far, nearest = far_from(X, coordinates(repaired))
    assert repaired["_covering_radius"].max() == pytest.approx(far.max(), rel=1e-9)
    np.testing.assert_array_equal(repaired["_weight"], np.bincount(nearest, minlength=k))


def optimum_on_a_line(values, k):
    """The smallest radius with which k centers anywhere on a line cover all values."""
    values = np.sort(values)

    def covered(radius):
        at, used = 0, 0
        while at < len(values):
            at, used = np.searchsorted(values, values[at] + 2 * radius, side="right"), used + 1
        return used <= k

    low, high = 0.0, float(np.ptp(values))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if covered(middle) else (middle, high)
    return high


@pytest.mark.parametrize("seed", range(6))
def test_merge__of_the_textbooks_coreset_is_within_four_times_the_optimum(seed):
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 40))
    values = rng.lognormal(sigma=rng.uniform(0.1, 2), size=13_000)
    values = np.sort(values) if seed % 2 else values
    X = values[:, None]
    best = optimum_on_a_line(values, k)
    offered = candidates(X, k, common_radius=False)
    merged = merge_candidates(offered, k).compute()
    far, _ = far_from(X, coordinates(merged))
    assert far.max() <= merged["_covering_radius"].max() * (1 + 1e-9) <= 4 * best * (1 + 1e-6)
    more = merge_candidates(offered, k + 1).compute()
    assert more["_insertion_radius"].iloc[-1] / 2 <= best * (1 + 1e-9)


def test_merge__of_merges_holds_what_it_proves():
    """What was merged is a coreset again: parts of the data can be merged where they lie."""
    X = mixture(26_000, 3)
    offered = candidates(X, 200)
    halves = [offered.partitions[:3], offered.partitions[3:]]
    both = dd.concat([merge_candidates(half, 150) for half in halves])
    merged = merge_candidates(both, 100).compute()
    assert merged["_weight"].sum() == len(X)
    far, _ = far_from(X, coordinates(merged))
    assert far.max() <= merged["_covering_radius"].max() * (1 + 1e-9)
    # what was left out of it is found among the rows
    repaired = merge_candidates(both, 100, X).compute()
    assert repaired["_covering_radius"].max() < far.max()


def test_merge__reads_the_features_once_for_each_round():
    X = mixture(13_000, 3)
    reads = []

    def read(block, block_id):
        reads.append(block_id)
        return block

    given = da.from_array(X, chunks=(4096, 3)).map_blocks(read, dtype=X.dtype, meta=X[:0])
    with dask.config.set(scheduler="sync"):
        offered = candidates(given, 100).persist()
        assert len(reads) == 4
        merge_candidates(offered, 100).compute()
        assert len(reads) == 4
        merge_candidates(offered, 100, given)
    assert len(reads) == 8


# ---------------------------------------------------------------- what is refused

X = mixture(9_000, 2)
OFFERED = candidates(X, 50).compute()
TEXT = pd.DataFrame({"town": ["Oslo", "Rome"]})
SPOILED = np.where(np.arange(9_000)[:, None] == 7_000, [np.nan, 1.0], X)
TAKEN = pd.DataFrame({"_weight": X[:, 0], "b": X[:, 1]})

BAD = {
    "size too large": (
        lambda: candidates(X, 9_001),
        r"size must be from 1 to the number of rows 9000, got 9001; lower it",
    ),
    "size of none": (lambda: candidates(X, 0), r"size must be from 1 to .* 9000, got 0"),
    "size no int": (lambda: candidates(X, 0.1), r"size must be an int, got 0.1; .*"),
    "no rows": (lambda: candidates(X[:0], 1), r"features must have at least one row, got .*"),
    "no columns": (lambda: candidates(X[:, :0], 1), r"features must have at least one column.*"),
    "not numbers, an array": (
        lambda: candidates(np.array([["a"], ["b"]]), 1),
        r"features must be numbers, got dtype <U1; .*",
    ),
    "an unknown scale": (
        lambda: candidates(X, 5, scale="rank"),
        r"scale must be \"standard\" or \"none\", got 'rank'",
    ),
    "reduce no function": (
        lambda: candidates(X, 5, reduce="pca:2"),
        r"reduce must be a function of a block, got 'pca:2'",
    ),
    "NaN where all rows are read for the scale": (
        lambda: candidates(SPOILED, 5, scale="standard"),
        r"features has 1 NaN value, first in row 7000, column 0; clean them, or leave their rows.*",
    ),
    "merge in an unknown scale": (
        lambda: merge_candidates(OFFERED, 5, X, scale="rank"),
        r"scale must be \"standard\" or \"none\", got 'rank'",
    ),
    "an unknown metric": (
        lambda: candidates(X, 5, metric="manhattan"),
        r"metric must be \"euclidean\" or \"cosine\", got 'manhattan'",
    ),
    "weights of other rows": (
        lambda: candidates(X, 5, sample_weight=np.ones(8)),
        r"sample_weight must have as many rows as features \(9000\), got 8; pass arrays of the .*",
    ),
    "weights below 0": (
        lambda: candidates(X, 5, sample_weight=np.arange(9_000) - 1.0),
        r"sample_weight must be finite and at least 0, got -1 in row 0 and 1 such in all; mend .*",
    ),
    "merge of rows that weigh nothing": (
        lambda: merge_candidates(OFFERED, 5, X, sample_weight=np.arange(9_000)),
        r"candidates must be rows of sample weights above 0, got row 0; take them with the .*",
    ),
    "columns named as ours": (
        lambda: candidates(TAKEN, 5),
        r"features must not have columns named _index, .*, got _weight; rename them, .*",
    ),
    "common_radius no flag": (
        lambda: candidates(X, 5, common_radius=0.5),
        r"common_radius must be True or False, got 0.5",
    ),
    "merge of no frame": (
        lambda: merge_candidates(X, 5),
        r"candidates must be a DataFrame as dask_distill.candidates gives it, got ndarray; .*",
    ),
    "merge of another frame": (
        lambda: merge_candidates(TEXT, 5),
        r"candidates must have _index, .* and coordinates, got no _index, .*; leave .*",
    ),
    "merge without coordinates": (
        lambda: merge_candidates(OFFERED[OURS], 5),
        r"candidates must have _index, .* and coordinates, got no coordinates; leave .*",
    ),
    "merge with text": (
        lambda: merge_candidates(OFFERED.assign(town="Oslo"), 5),
        r"candidates must have _index, .*, got no number in town; leave .*",
    ),
    "merge to none": (
        lambda: merge_candidates(OFFERED, 0),
        r"size must be an int of at least 1, got 0",
    ),
    "merge beside features of other columns": (
        lambda: merge_candidates(OFFERED, 5, X[:, :1]),
        r"features must have the 2 columns of the candidates, got 1; pass .*",
    ),
    "merge to more than rows": (
        lambda: merge_candidates(OFFERED, 9_001, X),
        r"size must be from 1 to the number of rows 9000, got 9001; lower it",
    ),
}
# what only the values show
LATE = {
    "NaN": (
        lambda: candidates(SPOILED, 5),
        r"features has 1 NaN value, first in row 7000, column 0; clean them, or leave their rows.*",
    ),
    "NaN in a named column": (
        lambda: candidates(replace(as_dataset(SPOILED), columns=("a", "b")), 5),
        r"features has 1 NaN value, first in row 7000, column 'a'; clean them, or leave .*",
    ),
    "infinite": (
        lambda: candidates(np.where(np.isnan(SPOILED), -np.inf, SPOILED), 5),
        r"features has 1 infinite value, first in row 7000, column 0; clean them, .*",
    ),
    "huge": (
        lambda: candidates(np.where(np.isnan(SPOILED), 1e200, SPOILED), 5),
        r"features must be below 1e\+150 in size, .*, got 1e\+200 between rows 4096 and 8191; .*",
    ),
    "merge to more than candidates": (
        lambda: merge_candidates(OFFERED, 96),
        r"size must be at most the number of distinct candidates 95, got 96; lower it, or .*",
    ),
    "merge in another scale": (
        lambda: merge_candidates(OFFERED, 5, X, scale="standard"),
        r"features must be what candidates were taken of, got another row \d+; pass the same .*",
    ),
    "merge by another metric": (
        lambda: merge_candidates(OFFERED, 5, metric="cosine"),
        r"candidates must have rows of length 1 for metric=\"cosine\", got .*; take them .*",
    ),
    "merge of other features": (
        lambda: merge_candidates(OFFERED, 5, X[::-1]),
        r"features must be what candidates were taken of, got another row \d+; pass the same .*",
    ),
    "merge of fewer features": (
        lambda: merge_candidates(OFFERED, 5, X[:4_000]),
        r"candidates must be some of the 4000 rows of features, got row \d+; pass what .*",
    ),
    "merge of nothing": (
        lambda: merge_candidates(OFFERED[:0], 5, X),
        r"candidates must be some of the 9000 rows of features, got none; pass what .*",
    ),
    "merge of NaN beside features": (
        lambda: merge_candidates(candidates(SPOILED, 5), 5, SPOILED),
        r"features has 1 NaN value, first in row 7000, column 0; clean them, or leave their rows.*",
    ),
    "merge to more than distinct rows": (
        lambda: merge_candidates(candidates(X * 0, 1), 2, X * 0),
        r"size must be at most the number of distinct rows 1, got 2; lower it",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input__is_one_sentence_before_work(case):
    call, sentence = BAD[case]
    with pytest.raises(InputError) as found:
        call()
    assert re.fullmatch(sentence, str(found.value)), str(found.value)


@pytest.mark.parametrize("case", LATE)
def test_bad_values__are_one_sentence(case):
    call, sentence = LATE[case]
    with pytest.raises(InputError) as found:
        call().compute()
    assert re.fullmatch(sentence, str(found.value)), str(found.value)
