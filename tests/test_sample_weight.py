"""Sample weights: a row of weight w stands for w rows, wherever rows are counted."""

import json
from fractions import Fraction

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import zarr
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from dask_distill import InputError, distill, grow, open_coreset, open_dataset, size_curve
from dask_distill.cli import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.data.weighted import with_weights
from dask_distill.data.weights import weighing_of
from dask_distill.evaluation.training import LabelledRows, train_and_test
from dask_distill.kernels.softmax import fit_all
from dask_distill.pipeline import distill_to_zarr
from dask_distill.report.words import circumstances, command
from dask_distill.selection.request import Request
from dask_distill.strategies import (
    STRATEGIES,
    Coverage,
    KCenter,
    KMeans,
    KMedoids,
    Random,
    make_strategy,
)
from tests.strategies.blocks import schema_and_blocks, select

N, SIZE = 3000, 150
RNG = np.random.default_rng(0)
Y = RNG.choice(3, N, p=[0.7, 0.25, 0.05])
X = (RNG.normal(size=(N, 4)) + Y[:, None] * [1.5, 0, 0, 0]).astype(np.float32)
SKEWED = RNG.lognormal(0, 1.2, N)
TIME = np.arange(float(N))
# one of each way to choose
FORMS = {
    **{name: (name, {}) for name in STRATEGIES if name not in ("search", "novelty", "periods")},
    "auto, equal": ("auto", {"balance": "equal"}),
    "gradient, sample": ("gradient", {"sample": True}),
    "kcenter, exact": ("kcenter", {"exact": True}),
    "combined, medoids": ("combined", {"diversity": "medoids", "criterion": "el2n"}),
    "combined, none": ("combined", {"diversity": "none"}),
    "combined, kcenter": ("combined", {"diversity": "kcenter"}),
    "novelty": ("novelty", {}),
    "periods": ("periods", {"period": 5}),
    "spaced": ("spaced", {"min_gap": 3.0}),
}
# those whose weights sum, in each class, to those of the class
BY_CLASS = ("auto", "stratified", "coverage", "combined", "combined, none", "periods")

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")


def chosen(form, weights, chunks=N, **more):
    strategy, options = FORMS[form]
    lazy = [da.from_array(values, chunks=(chunks, *values.shape[1:])) for values in (X, Y)]
    given = weights if weights is None else da.from_array(weights, chunks=chunks + 7)
    reduce = "pca:2" if strategy == "novelty" else None
    how = {"size": SIZE, "strategy": strategy, "options": options, "time": TIME, "reduce": reduce}
    return distill(*lazy, sample_weight=given, **(how | more))


def bits(coreset):
    return coreset.indices.tobytes() + coreset.weights.tobytes()


# ---------------------------------------------------------------- measured


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1e30).filter(lambda w: w == 0 or w > 1e-30), min_size=1, max_size=40),
    st.integers(1, 9),
)
def test_weighing__is_exact_whatever_the_chunks(weights, chunk):
    values = np.array(weights)
    if not values.any():
        return
    found = weighing_of(da.from_array(values, chunks=chunk))
    assert found.total == float(sum(map(Fraction, weights)))
    assert found == weighing_of(da.from_array(values, chunks=-1))
    masses = found.masses(values)
    if found.even:
        assert masses is None
        assert set(weights) - {0.0} == {found.unit}
    else:
        assert np.array_equal(masses > 0, values > 0)
        assert masses.sum() <= 2**53
        assert np.array_equal(masses, np.rint(masses))


def test_weighing__tells_whole_weights_exactly():
    weights = np.array([3, 0, 7, 1])
    found = weighing_of(da.from_array(weights))
    assert np.array_equal(found.masses(weights.astype(float)) * found.unit, weights)


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([1, -2, 3], "finite and at least 0, got -2 in row 1 and 1 such in all"),
        ([1, 2, np.nan], "finite and at least 0, got nan in row 2"),
        ([np.inf, 2, np.nan], "got inf in row 0 and 2 such in all"),
        ([0, 0, 0], "above 0 in some row, got 0 in all 3"),
        ([1e-60, 1, 1], "at least 1.2e-38"),
        ([3e38, 3e38, 1], "sum to at most 3.4e"),
    ],
)
def test_weighing__refuses_what_cannot_be_used(weights, sentence):
    with pytest.raises(InputError, match=sentence):
        weighing_of(da.from_array(np.array(weights, float), chunks=1))


# ---------------------------------------------------------------- selected


@pytest.mark.parametrize("form", FORMS)
def test_distill__equal_weights_give_the_same_rows(form):
    plain, weighted = chosen(form, None), chosen(form, np.full(N, 3.7))
    assert np.array_equal(plain.indices, weighted.indices)
    np.testing.assert_allclose(weighted.weights, 3.7 * plain.weights, rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_distill__weights_sum_to_the_sample_weights(form):
    found = chosen(form, SKEWED)
    assert np.isclose(found.weights.sum(dtype=float), SKEWED.sum(), rtol=1e-6)
    assert np.all(found.weights > 0)
    if form in BY_CLASS:
        own = np.bincount(Y[found.indices], found.weights.astype(float))
        np.testing.assert_allclose(own, np.bincount(Y, SKEWED), rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_distill__weighted_rows_are_the_same_for_any_chunking(form):
    assert bits(chosen(form, SKEWED)) == bits(chosen(form, SKEWED, chunks=701))


@pytest.mark.parametrize("form", FORMS)
def test_distill__rows_of_weight_0_are_not_selected(form):
    weights = np.where(np.arange(N) % 3 == 0, 0, RNG.integers(1, 4, N))
    found = chosen(form, weights, size=SIZE)
    assert np.all(found.indices % 3 != 0)
    assert np.isclose(found.weights.sum(dtype=float), weights.sum(), rtol=1e-6)
    told = found.provenance["input"]["sample_weight"]
    assert told == {"name": "sample_weight", "sum": weights.sum(), "rows_of_weight_0": N // 3}
    assert found.provenance["rows"] == N - N // 3


@pytest.mark.parametrize("strategy", [KCenter(), KMeans(), KMedoids(), Coverage()])
def test_strategies__a_mass_of_one_is_a_row(strategy):
    plain = select(strategy, X, Y, size=60, parts=3)
    weighted = select(strategy, X, Y, size=60, parts=3, weights=np.ones(N))
    assert np.array_equal(plain.rows, weighted.rows)
    np.testing.assert_allclose(plain.weights, weighted.weights)


@pytest.mark.parametrize("strategy", ["stratified", "coverage"])
def test_quotas__are_those_of_repeated_rows(strategy):
    weights = np.where(Y == 2, 6, np.where(Y == 1, 1, 2))
    repeated = np.repeat(np.arange(N), weights)
    once = distill(X, Y, size=SIZE, strategy=strategy, sample_weight=weights)
    often = distill(X[repeated], Y[repeated], size=SIZE, strategy=strategy)
    ours, theirs = (
        {entry["label"]: entry["selected"] for entry in found.provenance["classes"]}
        for found in (once, often)
    )
    assert ours == theirs
    told = {entry["label"]: entry["weight"] for entry in once.provenance["classes"]}
    assert told == {entry["label"]: entry["rows"] for entry in often.provenance["classes"]}


def test_survey__moments_and_masses_are_those_of_repeated_rows():
    weights = RNG.integers(0, 5, N)
    repeated = np.repeat(np.arange(N), weights)
    once, blocks = schema_and_blocks(X, Y, parts=3, weights=weights)
    often, _ = schema_and_blocks(X[repeated], Y[repeated])
    np.testing.assert_allclose(once.mean, often.mean, rtol=1e-6)
    np.testing.assert_allclose(once.scale, often.scale, rtol=1e-6)
    by_label = dict(zip(once.classes, once.masses, strict=True))
    assert by_label == dict(zip(often.classes, often.counts, strict=True))
    assert (once.mass, once.weightless) == (weights.sum(), (weights == 0).sum())
    assert sum(block.mass.sum() for block in blocks) == weights.sum()


def test_random__draws_in_proportion_to_the_weights():
    weights = np.tile([1, 2, 5, 8], 50)
    drawn, estimates = np.zeros(200), []
    values = np.arange(200.0)
    for seed in range(400):
        found = select(Random(), X[:200], size=20, seed=seed, weights=weights)
        drawn[found.rows] += 1
        estimates.append(found.shares @ values[found.rows])
    chances = drawn.reshape(50, 4).mean(axis=0) / 400
    np.testing.assert_allclose(chances, 20 * np.array([1, 2, 5, 8]) / weights.sum(), rtol=0.08)
    error = np.std(estimates) / np.sqrt(400)
    assert abs(np.mean(estimates) - np.average(values, weights=weights)) < 4 * error


def test_random__a_row_that_weighs_most_is_kept_with_its_own_weight():
    weights = np.ones(N)
    weights[777] = 5 * N
    found = distill(X, size=50, strategy="random", sample_weight=weights)
    assert 777 in found.indices
    assert np.isclose(found.weights[found.indices == 777][0], 5 * N, rtol=1e-3)


def test_gradient__the_weighted_mean_is_estimated_without_bias():
    found = chosen("gradient, sample", SKEWED, size=600)
    told = found.provenance["selection"]
    estimated, error = told["gradient_mean_estimated"], told["gradient_mean_standard_error"]
    assert abs(estimated - told["gradient_mean"]) < 4 * error
    assert found.weights.min() > 0


def test_auto__a_heavy_row_is_not_passed_over():
    weights = np.ones(N)
    weights[[5, 1500, 2990]] = N
    found = distill(X, Y, size=100, strategy="auto", options={"trust": 2.0}, sample_weight=weights)
    near = found.weights > N / 2
    assert near.sum() == 3
    assert np.isclose(found.weights[near].sum(), 3 * N, rtol=0.1)


def test_protect__rows_weigh_what_they_are_given_with():
    found = distill(X, Y, size=SIZE, sample_weight=SKEWED, protect=np.arange(20))
    np.testing.assert_allclose(found.weights[found.indices < 20], SKEWED[:20], rtol=1e-6)
    assert np.isclose(found.weights.sum(dtype=float), SKEWED.sum(), rtol=1e-6)
    none = np.where(np.arange(N) == 3, 0, SKEWED)
    with pytest.raises(InputError, match=r"got 1 with .* or sample weight 0, first row 3"):
        distill(X, Y, size=SIZE, sample_weight=none, protect=np.arange(20))


def test_initial__weights_are_of_the_others():
    found = distill(X, Y, size=SIZE, sample_weight=SKEWED, initial=np.arange(500))
    assert np.isclose(found.weights.sum(dtype=float), SKEWED[500:].sum(), rtol=1e-6)


def test_distill__takes_a_column_or_a_carried_array():
    array = distill(X, Y, size=SIZE, strategy="stratified", sample_weight=SKEWED)
    frame = pd.DataFrame(X.astype(float)).add_prefix("x").assign(w=SKEWED)
    column = distill(frame, Y, size=SIZE, strategy="stratified", sample_weight="w")
    carried = distill(
        X, Y, size=SIZE, strategy="stratified", carry={"w": SKEWED}, sample_weight="w"
    )
    assert bits(array) == bits(column) == bits(carried)
    assert column.features.shape[1] == 4
    assert carried.provenance["input"]["sample_weight"]["name"] == "w"
    with pytest.raises(InputError, match="got 'v'; there are: w"):
        distill(X, Y, size=SIZE, carry={"w": SKEWED}, sample_weight="v")


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (np.ones(5), "sample_weight must have as many rows as features"),
        (np.ones((N, 2)), "sample_weight must have one number a row"),
        (np.full(N, "a"), "sample_weight must have one number a row"),
    ],
)
def test_distill__refuses_weights_of_another_form(weights, sentence):
    with pytest.raises(InputError, match=sentence):
        distill(X, Y, size=SIZE, sample_weight=weights)


def test_distill__more_rows_than_have_a_weight_are_refused():
    with pytest.raises(InputError, match="size must be from 1 to the number of rows 100"):
        distill(X, Y, size=SIZE, strategy="random", sample_weight=np.arange(N) < 100)


# ---------------------------------------------------------------- a subset of a subset


@pytest.fixture(scope="module")
def subset(tmp_path_factory):
    """Of a rare class, a twentieth of the data, a third of the rows: 10 times what is due."""
    target = tmp_path_factory.mktemp("weights") / "subset.zarr"
    options = {"floor": 100}
    distill(X, Y, size=300, strategy="stratified", options=options).to_zarr(target)
    return target


@pytest.mark.parametrize("strategy", ["stratified", "auto", "coverage"])
def test_subset__of_a_subset_stands_for_the_data(subset, strategy):
    found = distill(open_dataset(subset), size=60, strategy=strategy)
    own = np.bincount(found.labels.compute(), found.weights.astype(float))
    np.testing.assert_allclose(own, np.bincount(Y), rtol=1e-5)


def test_subset__says_that_it_brings_weights_and_how_to_leave_them(subset):
    dataset = open_dataset(subset)
    assert "weighted by weight" in repr(dataset)
    assert "sample weights" in dataset._repr_html_()
    (use,) = [use for use in dataset.uses if use.role == "sample weights"]
    assert "--sample-weight ''" in use.why
    for alike in (open_dataset(subset, sample_weight=False), open_dataset(subset)):
        found = distill(alike, size=60, strategy="stratified", sample_weight=False)
        assert np.isclose(found.weights.sum(), 300)
        assert found.provenance["input"]["sample_weight"] is False


def test_subset__as_parquet_brings_its_weights_too(subset, tmp_path):
    open_coreset(subset).to_parquet(tmp_path / "table")
    dataset = open_dataset(tmp_path / "table")
    roles = {use.name: use.role for use in dataset.uses}
    assert roles.pop("_weight") == "sample weights"
    assert roles.pop("_index") == "left out"
    assert set(roles.values()) == {"feature", "label"}
    found = distill(dataset, size=60, strategy="stratified")
    own = np.bincount(found.labels.compute(), found.weights.astype(float))
    np.testing.assert_allclose(own, np.bincount(Y), rtol=1e-5)
    alike = open_dataset(tmp_path / "table", sample_weight=False)
    assert alike.sample_weight is None
    assert alike.d == 4


def test_commands__tell_of_weights(subset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        done = CliRunner().invoke(cli, list(words))
        assert done.exit_code == 0, done.stderr
        return done.stdout

    asked = [str(subset), "--size", "60", "--strategy", "stratified"]
    assert "sample weights" in run("plan", *asked)
    columns = json.loads(run("plan", *asked, "--json"))["columns"]
    assert [use["name"] for use in columns if use["role"] == "sample weights"] == ["weight"]
    place = ["--workers", "1"]
    told = run("run", asked[0], "a.zarr", *asked[1:], *place)
    assert "sample weights  weight, sum 3,000" in told
    assert "complete, 60 rows" in run("verify", "a.zarr")
    plain = ["--sample-weight", "", "--json"]
    found = json.loads(run("run", asked[0], "b.zarr", *asked[1:], *place, *plain))
    assert found["sample_weight"] is False
    assert np.isclose(open_coreset("a.zarr").weights.sum(), N)
    assert np.isclose(open_coreset("b.zarr").weights.sum(), 300)


# ---------------------------------------------------------------- sources


def test_sources__bring_weights_by_name(tmp_path):
    reference = bits(distill(X, Y, size=SIZE, strategy="stratified", sample_weight=SKEWED))
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name, values in (("X", X), ("y", Y), ("w", SKEWED)):
        group.create_array(name, data=values, chunks=(1000, *values.shape[1:]))
        np.save(tmp_path / f"{name}.npy", values)
    np.savez(tmp_path / "a.npz", X=X, y=Y, w=SKEWED)
    frame = pd.DataFrame(X).add_prefix("x").assign(y=Y, w=SKEWED)
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=1000)
    for name in ("a.zarr", "a.npz", "a.parquet"):
        dataset = open_dataset(tmp_path / name, sample_weight="w")
        assert dataset.d == 4
        assert [use.name for use in dataset.uses if use.role == "sample weights"] == ["w"]
        assert bits(distill(dataset, size=SIZE, strategy="stratified")) == reference, name
        with pytest.raises(InputError, match=r"sample_weight must be in .* got 'v'"):
            open_dataset(tmp_path / name, sample_weight="v")
    files = {"labels": tmp_path / "y.npy", "sample_weight": tmp_path / "w.npy"}
    dataset = open_dataset(tmp_path / "X.npy", **files)
    assert bits(distill(dataset, size=SIZE, strategy="stratified")) == reference
    with pytest.raises(InputError, match="sample_weight must be a name"):
        open_dataset(tmp_path / "a.zarr", sample_weight=3)


def test_report__says_how_to_get_the_weighted_rows_again(subset, tmp_path):
    found = distill(open_dataset(subset), size=60, strategy="stratified")
    assert "--sample-weight weight" in command(found)
    assert ("Sample weights", "weight, sum 3,000") in circumstances(found)
    alike = distill(open_dataset(subset, sample_weight=False), size=60, strategy="stratified")
    assert "--sample-weight ''" in command(alike)
    given = distill(X, size=9, strategy="random", sample_weight=SKEWED)
    assert "sample_weight=<weights>" in command(given)
    page = tmp_path / "page.html"
    found.report(page)
    assert "weight, sum 3,000" in page.read_text()


def test_resume__other_weights_are_another_input(tmp_path, monkeypatch):
    """A run that died goes on with the weights it began with, to the same rows, or not at all."""
    request = Request(strategy=make_strategy("stratified"), size=SIZE)
    weighted, other = (
        with_weights(as_dataset(X, Y), weights) for weights in (SKEWED, SKEWED[::-1].copy())
    )
    target = tmp_path / "a.zarr"
    with monkeypatch.context() as patched:
        patched.setattr("dask_distill.selection.select.make_provenance", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            distill_to_zarr(weighted, target, request, resume=True)
    with pytest.raises(InputError, match="the values have changed"):
        distill_to_zarr(other, target, request, resume=True)
    with pytest.raises(InputError, match="sample weight was"):
        distill_to_zarr(as_dataset(X, Y), target, request, resume=True)
    coreset, _ = distill_to_zarr(weighted, target, request, resume=True)
    assert bits(coreset) == bits(distill(weighted, size=SIZE, strategy="stratified"))


def test_fingerprint__knows_the_weights():
    one, other = (
        distill(X, size=9, strategy="random", sample_weight=np.full(N, c)).provenance["input"]
        for c in (2.0, 3.0)
    )
    assert one["fingerprint"] != other["fingerprint"]


# ---------------------------------------------------------------- who takes none


def test_growing__refuses_weights(subset):
    dataset = open_dataset(subset)
    with pytest.raises(InputError, match="sample_weight cannot be used on data that grows"):
        grow(dataset, size=30)
    grow(open_dataset(subset, sample_weight=False), size=30)
    coreset = grow(X, Y, size=30, strategy="random")
    with pytest.raises(InputError, match="sample_weight cannot be used on data that grows"):
        coreset.update(dataset)
    weighted = distill(X, Y, size=30, strategy="random", sample_weight=SKEWED)
    with pytest.raises(InputError, match="must be selected without sample_weight, got"):
        weighted.update(X, Y)


def test_search__refuses_weights():
    with pytest.raises(InputError, match="strategy search takes no sample weights"):
        distill(X, Y, size=SIZE, strategy="search", sample_weight=SKEWED)


# ---------------------------------------------------------------- judged


@pytest.mark.parametrize("model", [GaussianNB(), LogisticRegression(C=1e6, tol=1e-8)])
def test_training__weighted_is_as_with_repeated_rows(model):
    weights = RNG.integers(1, 4, N)
    repeated = (
        np.repeat(np.arange(1000), weights[:1000]),
        np.repeat(np.arange(1000, N), weights[1000:]),
    )
    once = train_and_test(
        "subset",
        "model",
        model,
        0,
        LabelledRows(X[:1000].astype(float), Y[:1000], weights[:1000].astype(float)),
        LabelledRows(X[1000:].astype(float), Y[1000:], weights[1000:].astype(float)),
        3,
    )
    often = train_and_test(
        "subset", "model", model, 0, *(LabelledRows(X[r].astype(float), Y[r]) for r in repeated), 3
    )
    assert np.isclose(once.accuracy, often.accuracy, atol=2e-3)
    np.testing.assert_allclose(once.recalls, often.recalls, atol=5e-3)


def test_evaluate__is_weighted_as_the_subset_was_selected():
    # rows of which nobody can tell the class count for nearly nothing
    noise = np.arange(N) % 2 == 0
    labels = np.where(noise, RNG.integers(0, 3, N), Y)
    weights = np.where(noise, 1e-3, 1.0)
    how = {"models": LogisticRegression(), "seeds": 2}
    coreset = distill(X, labels, size=300, strategy="stratified", sample_weight=weights)

    def accuracy(found):
        return next(s.accuracy for s in found.scores if s.way == "everything")

    found = coreset.evaluate(X, labels, sample_weight=weights, **how)
    assert any("weighted by sample_weight" in note for note in found.notes)
    weighted = accuracy(found)
    alike = accuracy(coreset.evaluate(X, labels, sample_weight=False, **how))
    assert weighted > alike + 0.1
    with pytest.raises(InputError, match="evaluate needs the sample weights of the source"):
        coreset.evaluate(X, labels, **how)


def test_evaluate__leaves_out_rows_of_weight_0(subset):
    weights = np.where(np.arange(N) % 5 == 0, 0.0, SKEWED)
    coreset = distill(X, Y, size=SIZE, strategy="random", sample_weight=weights)
    found = coreset.evaluate(
        X, Y, sample_weight=weights, models=GaussianNB(), seeds=2, test_rows=N // 2
    )
    assert found.test_rows == N // 2
    with pytest.raises(InputError, match="needs at least 2400 rows to test on"):
        coreset.evaluate(X, Y, sample_weight=weights, models=GaussianNB(), seeds=2, test_rows=2400)


def test_curve__selects_and_trains_by_weight():
    how = {"sizes": [100], "strategies": ["stratified"], "models": GaussianNB(), "seeds": 2}
    noise = np.arange(N) % 2 == 0
    labels = np.where(noise, RNG.integers(0, 3, N), Y)
    weighted, alike = (
        size_curve(X, labels, sample_weight=weights, **how)
        for weights in (np.where(noise, 1e-3, 1.0), None)
    )

    def accuracy(curve):
        return next(p.accuracy for p in curve.points if p.strategy == "stratified")

    assert accuracy(weighted) > accuracy(alike) + 0.1


@pytest.mark.parametrize("strategy", ["strata", "entropy"])
def test_many_classes__the_judge_of_a_thousand_knows_weights(strategy):
    rng = np.random.default_rng(0)
    n, classes = 10_000, 1_000
    y = np.arange(n) % classes
    X = rng.normal(size=(classes, 4))[y] + 0.3 * rng.normal(size=(n, 4))
    options = {"sample": True} if strategy == "entropy" else {}
    plain = distill(X, y, size=500, strategy=strategy, options=options)
    assert plain.weights.sum() == pytest.approx(n, rel=1e-4)
    weight = rng.integers(1, 4, n)
    found = distill(X, y, size=500, strategy=strategy, options=options, sample_weight=weight)
    assert found.weights.sum() == pytest.approx(weight.sum(), rel=1e-4)


def test_fit_all__a_weight_of_two_is_a_row_twice():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    codes = (X[:, 0] + 0.5 * rng.normal(size=300) > 0).astype(int)
    weight = rng.integers(1, 3, 300)
    one = fit_all(X, codes, 2, strength=1, steps=200, weight=weight.astype(np.float32))
    rows = np.repeat(np.arange(300), weight)
    other = fit_all(X[rows], codes[rows], 2, strength=1, steps=200)
    np.testing.assert_allclose(one[0], other[0], atol=2e-3)
    np.testing.assert_allclose(one[1], other[1], atol=2e-3)
