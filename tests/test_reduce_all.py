"""Directions of all rows, by dask-ml: the same bits for any chunking, and no rows held."""

import threading
import weakref

import dask
import dask.array as da
import numpy as np
import pytest
from sklearn import decomposition

from dask_distill import distill
from dask_distill.data.blocks import block_bounds
from dask_distill.errors import InputError
from dask_distill.report.words import circumstances, command
from dask_distill.spaces.reductions import PCA, SVD
from dask_distill.spaces.words import make_reduction, word_of

N = 30_000


@pytest.fixture(scope="module")
def skewed():
    """Counts that go together in three ways, of which each is less frequent than the last."""
    rng = np.random.default_rng(7)
    ways = rng.random((N, 3)) * [3, 2, 1] @ np.repeat(np.eye(3), [5, 3, 2], axis=1)
    X = rng.poisson(ways)
    return X.astype(np.float32), (X[:, 9] > 1).astype(int)


def directions(X, reduce, **more):
    """What a run has fitted."""
    found = []
    original = PCA.found, SVD.found

    def keep(kind, at):
        def found_(self, scaling, components, parts, rows):
            found.append((components, parts, rows))
            return original[at](self, scaling, components, parts, rows)

        return found_

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PCA, "found", keep(PCA, 0))
        patch.setattr(SVD, "found", keep(SVD, 1))
        coreset = distill(X, size=50, strategy="random", reduce=reduce, **more)
    (one,) = found
    return coreset, *one


def test_all__pca_is_that_of_all_rows(skewed):
    X = skewed[0]
    coreset, components, parts, rows = directions(X, "pca:3:all")
    exact = X.astype(np.float64)
    exact = (exact - exact.mean(axis=0)) / exact.std(axis=0)
    expected = decomposition.PCA(3, svd_solver="full").fit(exact)
    assert rows == N
    assert np.abs(np.abs(components) - np.abs(expected.components_)).max() < 1e-4
    assert parts == pytest.approx(expected.explained_variance_ratio_, rel=1e-4)
    told = coreset.provenance["reduction"]
    assert (told["space"], told["fitted_on"]) == ("pca:3:all", N)
    assert coreset.provenance["parameters"]["reduce"] == {
        **{"name": "pca", "components": 3, "scale": "standard", "rows": "all"}
    }
    # the sample's is another
    _, sampled, _, some = directions(X, "pca:3")
    assert some < N
    assert np.abs(np.abs(sampled) - np.abs(expected.components_)).max() > 1e-3


@pytest.mark.parametrize("scale", ["standard", "none"])
def test_all__svd_is_that_of_all_rows_about_0(skewed, scale):
    X = skewed[0]
    _, components, parts, _ = directions(X, SVD(2, scale=scale, rows="all"))
    exact = X.astype(np.float64)
    exact = exact if scale == "none" else exact / exact.std(axis=0)
    singular, right = np.linalg.svd(exact, full_matrices=False)[1:]
    assert np.abs(np.abs(components) - np.abs(right[:2])).max() < 1e-4
    assert parts == pytest.approx(singular[:2] ** 2 / (singular**2).sum(), rel=1e-5)


def test_svd__of_the_sample_is_about_0(skewed):
    X = skewed[0][:5000]
    _, components, parts, rows = directions(X, SVD(2, scale="none"))
    singular, right = np.linalg.svd(X.astype(np.float64), full_matrices=False)[1:]
    assert rows == len(X)
    assert np.abs(np.abs(components) - np.abs(right[:2])).max() < 1e-3
    assert parts == pytest.approx(singular[:2] ** 2 / (singular**2).sum(), rel=1e-3)


@pytest.mark.parametrize("reduce", ["pca:3:all", "svd:3:all"])
def test_all__same_bits_for_any_chunking_and_scheduler(skewed, reduce, local_client):
    X, y = skewed
    found = []
    for scheduler, chunk in (("threads", N), ("sync", 1777), ("threads", 4096)):
        parts = da.from_array(X, chunks=(chunk, 5)), da.from_array(y, chunks=chunk)
        with dask.config.set(scheduler=scheduler):
            found.append(distill(*parts, size=300, strategy="kcenter", reduce=reduce, certify=True))
    local_client(workers=2)
    parts = da.from_array(X, chunks=(5000, 10)), y
    found.append(distill(*parts, size=300, strategy="kcenter", reduce=reduce, certify=True))
    for other in found[1:]:
        assert np.array_equal(found[0].indices, other.indices)
        assert found[0].certificate == other.certificate
        assert found[0].provenance["reduction"] == other.provenance["reduction"]


def test_all__rows_count_by_their_weights(skewed):
    X = skewed[0][:8000]
    often = 1 + np.arange(len(X)) % 3
    _, components, *_ = directions(X, "pca:2:all", sample_weight=often)
    _, repeated, *_ = directions(np.repeat(X, often, axis=0), "pca:2:all")
    assert np.allclose(components, repeated, atol=1e-4)


def test_all__rows_that_are_left_out_are_not_fitted_on(skewed):
    X = skewed[0].copy()
    X[:5000] = np.nan
    _, components, _, rows = directions(X, "svd:2:all", on_invalid="drop")
    _, plain, *_ = directions(X[5000:], "svd:2:all")
    assert rows == N - 5000
    assert np.allclose(components, plain, atol=1e-4)


def test_all__one_pass_more_and_few_blocks_in_memory():
    n, d = 120_000, 6
    bounds = block_bounds(n, d)
    lock, count = threading.Lock(), {"now": 0, "most": 0, "made": 0}

    def load(block):
        fresh = np.array(block)
        with lock:
            count["made"] += 1
            count["now"] += 1
            count["most"] = max(count["most"], count["now"])

        def gone():
            with lock:
                count["now"] -= 1

        weakref.finalize(fresh, gone)
        return fresh

    X = da.from_array(np.random.default_rng(0).normal(size=(n, d)), chunks=(bounds, d))
    X = X.map_blocks(load, meta=np.empty((0, 0)))
    with dask.config.set(scheduler="threads", num_workers=2):
        told = distill(X, size=20, strategy="random", reduce="pca:2:all").provenance
    assert count["made"] == 3 * len(bounds)
    assert told["bytes_read"] == 3 * n * d * 8
    assert count["most"] <= 6 < len(bounds)


def test_all__data_that_is_in_the_graph_is_not_warned_of(local_client):
    """Arrays in memory go to the workers with the graph: of more than 10 MB distributed warns."""
    X = da.from_array(np.zeros((400_000, 8), np.float32), chunks=(50_000, 8)) + da.arange(8)
    local_client(workers=1)
    coreset = distill(X, size=20, strategy="random", reduce="svd:2:all")
    assert coreset.provenance["reduction"]["fitted_on"] == 400_000


def test_all__is_told_in_the_words_that_ask_for_it(skewed):
    coreset = distill(skewed[0][:3000], size=20, reduce="svd:2:all", strategy="random")
    assert word_of(coreset.provenance["parameters"]["reduce"]) == "svd:2:all"
    space = dict(circumstances(coreset))["Compared in"]
    assert space.startswith("svd:2:all, 2 features, ")
    assert space.endswith("% of the squares")
    assert "reduce='svd:2:all'" in command(coreset)
    assert make_reduction("svd:2") == SVD(2)


@pytest.mark.parametrize(
    ("reduce", "message"),
    [
        ("pca:3:some", "reduce must be one of pca:32, svd:32, .*got 'pca:3:some'"),
        ("random-projection:3:all", "cannot be fitted on all rows, got 'random-projection:3:all'"),
        ("pca:10:all", "must keep fewer than the 10 features there are, got 10; lower it"),
        ("svd:11", "at most the 10 features there are, got 11"),
    ],
)
def test_all__bad_input_is_one_sentence(skewed, reduce, message):
    with pytest.raises(InputError, match=message):
        distill(skewed[0][:3000], size=10, reduce=reduce)


def test_all__rows_must_be_a_word():
    with pytest.raises(InputError, match='rows must be "sample" or "all", got \'some\''):
        PCA(3, rows="some")
