"""Whoever judges a selection draws independently of it, with the same seed, for every strategy."""

import dask
import dask.array as da
import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from dask_distill import distill
from dask_distill.evaluation.splits import pool_rows, split_rows
from dask_distill.kernels.streams import Generator, Stream
from dask_distill.strategies.parts.clustering import DRAWS

N, K, RARE = 20_000, 1000, 0.03
# of each figure, were seeds drawn anew: they are fixed, so what passes once always passes
ALARM = 2e-5
# with these each is drawn by its own stream alone: nothing else decides
STRATEGIES = [
    ("auto", {}),
    ("auto", {"trust": 1.0, "tilt": 0.0}),
    ("random", {}),
    ("stratified", {}),
    ("gradient", {"sample": True}),
    ("entropy", {"sample": True}),
    ("gradient", {}),
    ("entropy", {}),
    ("strata", {}),
    ("kcenter", {}),
    ("kmeans", {}),
    ("kmedoids", {}),
    ("dbscan", {}),
    ("coverage", {}),
    ("hierarchical", {}),
    ("combined", {}),
    ("combined", {"criterion": "random", "diversity": "none", "trust": 1.0}),
    ("combined", {"diversity": "none", "trust": 1.0}),
    ("periods", {"period": 50}),
    ("spaced", {"min_gap": 3.0}),
]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    rare = rng.random(N) < RARE
    X = rng.normal(size=(N, 4))
    X[rare] += 8
    return X, (X[:, 0] > 0).astype(int), rare


def likely(found, law):
    """Whether a count is one that chance may well give."""
    return min(law.cdf(found), law.sf(found - 1)) > ALARM / 2


@pytest.mark.filterwarnings("ignore::dask_distill.selection.select.SelectionWarning")
@pytest.mark.parametrize(("name", "options"), STRATEGIES)
def test_judge__draws_independently_of_the_selection(data, name, options):
    X, y, rare = data
    with dask.config.set(scheduler="sync"):
        selected = distill(
            da.from_array(X, chunks=(5000, -1)),
            y,
            size=K,
            strategy=name,
            options=options,
            time=np.arange(float(N)),
        ).indices
    left = np.setdiff1d(np.arange(N), selected)
    for seed in (0, 1, 2):
        split = split_rows(np.arange(N), y.astype(np.int64), selected, seed, K, 50_000, None)
        # of the rows that are not tested on, all of which may be drawn
        rest = N - len(split.test)
        for drawn in (split.random, split.stratified):
            common = len(np.intersect1d(drawn, selected))
            assert likely(common, hypergeom(rest, K, len(drawn))), (seed, common)
        tested = int(rare[split.test].sum())
        assert likely(tested, hypergeom(len(left), int(rare[left].sum()), len(split.test)))
        pool = pool_rows(N, 1000, seed)
        common = len(np.intersect1d(pool, selected))
        assert likely(common, binom(K, len(pool) / N)), (seed, common)


def test_streams__of_judges_are_none_of_a_selection():
    """Values are unique by the enum; clusterings take some in a row."""
    draws = set(range(Stream.KMEANS_DRAW, Stream.KMEANS_DRAW + DRAWS + 1))
    taken = {stream for stream in Stream if stream in draws}
    # the hashes of a reservoir are of other numbers, see there
    assert taken == {Stream.KMEANS_DRAW, Stream.RESERVOIR}
    judges = {s for s in Stream if s.name.startswith(("JUDGE", "SEARCH", "PICTURES", "SYNTH"))}
    assert min(judges) > max(set(Stream) - judges | draws)
    assert len(set(Generator)) == len(Generator.__members__)
