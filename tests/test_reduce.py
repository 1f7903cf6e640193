"""Reductions: rows are chosen by their reduced form, and written as they were."""

import pickle
import sys

import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn import decomposition
from sklearn.decomposition import TruncatedSVD
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from dask_distill import distill, open_coreset
from dask_distill.cli.main import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.errors import InputError
from dask_distill.kernels.projection import forward, principal_components
from dask_distill.report.words import circumstances
from dask_distill.selection.plan import make_plan
from dask_distill.selection.request import Request
from dask_distill.spaces.reductions import PCA, Autoencoder, RandomProjection
from dask_distill.spaces.words import make_reduction
from dask_distill.strategies import KCenter, Novelty, make_strategy

N = 12_000


def squares(rows):
    return rows[:, :3] ** 2


@pytest.fixture(scope="module")
def flat():
    """Rows near a plane in eight dimensions, classes by the plane's first axis."""
    rng = np.random.default_rng(3)
    inner = rng.normal(size=(N, 2)) * [3, 1]
    X = inner @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(N, 8))
    return X.astype(np.float32), (inner[:, 0] > 0).astype(int)


def same(left, right):
    assert np.array_equal(left.indices, right.indices)
    assert np.array_equal(left.weights, right.weights)
    assert left.scores.keys() == right.scores.keys()
    for name in left.scores:
        assert np.array_equal(left.scores[name], right.scores[name])


def torch_here():
    return pytest.importorskip("torch", reason="needs the extra torch")


# ---------------------------------------------------------------- bits


@pytest.mark.parametrize(
    ("reduce", "strategy"),
    [
        ("pca:3", "auto"),
        ("random-projection:3", "kcenter"),
        (squares, "gradient"),
        (TruncatedSVD(2, random_state=0), "entropy"),
        ("pca:2", "novelty"),
    ],
)
@pytest.mark.filterwarnings("ignore::dask_distill.selection.select.SelectionWarning")
def test_reduce__same_bits_for_any_chunking(flat, reduce, strategy):
    X, y = flat
    if hasattr(reduce, "fit"):
        reduce.fit(X[:500])
    found = [
        distill(
            da.from_array(X, chunks=(chunk, 8)),
            da.from_array(y, chunks=chunk),
            fraction=0.02,
            strategy=strategy,
            reduce=reduce,
        )
        for chunk in (N, 1777)
    ]
    same(*found)
    assert np.array_equal(found[0].features.compute(), X[found[0].indices])


def test_reduce__same_bits_on_a_cluster(flat, local_client):
    X, y = flat
    here = distill(X, y, fraction=0.02, reduce="pca:3", strategy="stratified")
    local_client(workers=2)
    there = distill(
        da.from_array(X, chunks=(1500, 8)), y, fraction=0.02, reduce="pca:3", strategy="stratified"
    )
    same(here, there)
    assert here.provenance["reduction"] == there.provenance["reduction"]


# ---------------------------------------------------------------- the space


def test_reduce__selects_as_from_features_reduced_before(flat):
    X, y = flat
    strategy = KCenter(exact=True)
    reduced = distill(X, y, size=40, strategy=strategy, reduce=squares, certify=True)
    before = distill(squares(X), y, size=40, strategy=strategy, certify=True)
    assert np.array_equal(reduced.indices, before.indices)
    assert reduced.certificate.radius == before.certificate.radius
    assert reduced.certificate.space == "squares"
    assert before.certificate.space == "features"
    assert reduced.features.shape == (40, 8)


def test_reduce__pca_keeps_what_varies(flat):
    X, y = flat
    told = distill(X, y, size=50, reduce="pca:2").provenance
    Z = (X - X.mean(axis=0, dtype=float)) / X.std(axis=0, dtype=float)
    expected = decomposition.PCA(2).fit(Z)
    reduction = told["reduction"]
    assert reduction["space"] == "pca:2"
    assert reduction["explained_variance"] == pytest.approx(
        expected.explained_variance_ratio_.sum(), abs=0.01
    )
    again = expected.inverse_transform(expected.transform(Z))
    assert reduction["mean_squared_error"] == pytest.approx(np.square(Z - again).mean(), rel=0.05)
    assert told["parameters"]["reduce"] == {"name": "pca", "components": 2, "scale": "standard"}


def test_principal_components__signs_do_not_depend_on_the_rows_signs(flat):
    X = flat[0] - flat[0].mean(axis=0)
    one, _ = principal_components(X, 2, 0)
    other, _ = principal_components(-X[::-1], 2, 0)
    assert np.allclose(one, other, atol=1e-4)


def test_reduce__random_projection_keeps_distances_on_average():
    X = np.random.default_rng(0).normal(size=(4000, 300)).astype(np.float32)
    request = Request(strategy=make_strategy("random"), size=10, reduce=RandomProjection(200))
    assert make_plan(as_dataset(X), request).worker_bytes > 0
    coreset = distill(X, size=300, strategy="kcenter", reduce="random-projection:200", certify=True)
    plain = distill(X, size=300, strategy="kcenter", certify=True)
    assert coreset.certificate.radius == pytest.approx(plain.certificate.radius, rel=0.2)


def test_reduce__the_users_model_judges_features_as_they_are(flat):
    X, y = flat
    model = LogisticRegression().fit(X[:2000], y[:2000])
    coreset = distill(X, y, fraction=0.05, reduce="pca:1", proxy=model, strategy="stratified")
    with pytest.warns(UserWarning, match="entropy"):
        coreset = distill(X, y, fraction=0.05, reduce="pca:1", proxy=model, strategy="entropy")
    P = model.predict_proba(X[coreset.indices])
    assert np.allclose(coreset.scores["entropy"], -(P * np.log(P)).sum(axis=1), atol=1e-5)


def test_reduce__images_come_in_their_own_shape():
    images = np.random.default_rng(1).integers(0, 255, (5000, 6, 4), np.uint8)
    shapes = set()

    def brightness(rows):
        shapes.add(rows.shape[1:])
        return rows.reshape(len(rows), -1).mean(axis=1, keepdims=True)

    coreset = distill(images, size=20, strategy="kcenter", reduce=brightness)
    assert shapes == {(6, 4)}
    assert coreset.features.dtype == np.uint8
    assert np.array_equal(coreset.features.compute(), images[coreset.indices])


def test_reduce__leaves_out_invalid_rows_first(flat):
    X, y = flat
    X = X.copy()
    X[[5, 4500, 9000]] = np.nan
    coreset = distill(X, y, fraction=0.1, reduce="pca:2", on_invalid="drop")
    assert coreset.provenance["rows_dropped"] == 3
    assert not np.isin([5, 4500, 9000], coreset.indices).any()
    assert coreset.weights.sum() == pytest.approx(N - 3)


# ---------------------------------------------------------------- novelty


@pytest.mark.filterwarnings("ignore::dask_distill.selection.select.SelectionWarning")
def test_novelty__finds_the_rows_off_the_plane(flat):
    X = flat[0].copy()
    planted = np.arange(100, N, 1000)
    X[planted] += np.random.default_rng(5).normal(size=(len(planted), 8)).astype(np.float32) * 8
    coreset = distill(X, size=len(planted), strategy="novelty", reduce="pca:2")
    assert np.array_equal(coreset.indices, planted)
    Z = (X - X.mean(axis=0, dtype=float)) / X.std(axis=0, dtype=float)
    mean = coreset.provenance["reduction"]["mean_squared_error"]
    assert coreset.scores["novelty"].min() > 20 * mean
    assert coreset.scores["novelty"].max() < np.square(Z).mean(axis=1).max()


def test_novelty__a_sample_estimates_the_mean_error(flat):
    coreset = distill(flat[0], size=600, strategy=Novelty(sample=True), reduce="pca:2")
    told = coreset.provenance["selection"]
    assert told["novelty_mean"] == pytest.approx(
        coreset.provenance["reduction"]["mean_squared_error"], rel=1e-3
    )
    error = 5 * told["novelty_mean_standard_error"]
    assert abs(told["novelty_mean_estimated"] - told["novelty_mean"]) < error
    assert coreset.weights.std() > 0


# ---------------------------------------------------------------- the autoencoder


@pytest.fixture(scope="module")
def circle():
    """A circle in six dimensions: one number says where a row is, but no direction does."""
    angle = np.random.default_rng(2).uniform(0, 2 * np.pi, 6000)
    turned = np.linalg.qr(np.random.default_rng(4).normal(size=(6, 6)))[0]
    round_ = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ turned[:2]
    return round_.astype(np.float32)


def test_autoencoder__bends_where_no_direction_does(circle):
    torch_here()
    ways = ("pca:1", Autoencoder(1, hidden=64, epochs=40))
    straight, bent = (
        distill(circle, size=50, strategy="random", reduce=reduce).provenance["reduction"]
        for reduce in ways
    )
    assert bent["mean_squared_error"] < 0.5 * straight["mean_squared_error"]
    assert bent["reconstruction_error"] == pytest.approx(bent["mean_squared_error"], rel=0.5)


def test_autoencoder__same_bits_again_and_for_any_chunking(circle):
    torch_here()
    reduce = Autoencoder(2, hidden=16, epochs=3)
    found = [
        distill(
            da.from_array(circle, chunks=(chunk, 6)),
            size=60,
            strategy=Novelty(sample=True),
            reduce=reduce,
        )
        for chunk in (6000, 1111)
    ]
    same(*found)


def test_autoencoder__weights_travel_as_arrays_and_give_what_torch_gives(circle):
    torch = torch_here()
    from dask_distill.spaces.autoencoder import fit_autoencoder

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.random.get_rng_state()
    encoder, decoder = fit_autoencoder(circle[:512], 2, hidden=8, epochs=2, seed=1)
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    assert torch.equal(state, torch.random.get_rng_state())
    assert b"torch" not in pickle.dumps((encoder, decoder))
    rows = torch.from_numpy(circle[:100])
    for number, (weights, offsets) in enumerate(encoder):
        rows = torch.relu(rows) if number else rows
        rows = rows @ torch.from_numpy(weights) + torch.from_numpy(offsets)
    assert np.allclose(forward(circle[:100], encoder), rows.numpy(), atol=1e-5)


def test_autoencoder__without_torch_names_the_extra(flat, monkeypatch):
    monkeypatch.setattr("dask_distill.spaces.autoencoder.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"install dask-distill\[torch\]"):
        distill(flat[0], size=10, reduce="autoencoder:2")


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("reduce", "message"),
    [
        ("pca", "reduce must be one of pca:32"),
        ("umap:3", "got 'umap:3'"),
        ("pca:-3", "reduce must be one of"),
        ("pca:0", "components must be an int of at least 1"),
        ("pca:9", "at most the 8 features there are, got 9"),
        (3.5, "got float"),
        (TruncatedSVD, "got the class TruncatedSVD"),
        (TruncatedSVD(2), "TruncatedSVD that is not fitted"),
        (lambda rows: rows[:5, :2], "reduce must give 8 rows"),
        (lambda rows: rows[:, 0], "with at least one column"),
        (lambda rows: rows[:, :0], "with at least one column"),
        (lambda rows: rows[:, :2] / 0, "finite values"),
        (lambda rows: rows[:, :2].astype(str), "reduce must give numbers, got dtype"),
        (lambda rows: rows.no_such_thing, "got AttributeError"),
        (lambda rows: rows[:, : 1 + len(rows) % 2 + (len(rows) > 8)], "for every block"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_reduce__bad_input_is_one_sentence(flat, reduce, message):
    with pytest.raises(InputError, match=message):
        distill(flat[0], size=10, strategy="random", reduce=reduce)


def test_reduce__a_block_that_fails_is_named(flat):
    def fails(rows):
        if len(rows) > 8 and not (rows == flat[0][0]).all(axis=1).any():
            raise ValueError("too odd")
        return rows[:, :2]

    with pytest.raises(InputError, match=r"too odd.*in the block from row \d+ on"):
        distill(flat[0], size=10, strategy="random", reduce=fails)


def test_reduce__refuses_what_knows_other_features(flat):
    fitted = TruncatedSVD(2).fit(flat[0][:100, :5])
    with pytest.raises(InputError, match="data's 8 features, got a TruncatedSVD fitted on 5"):
        distill(flat[0], size=10, reduce=fitted)


def test_reduce__more_directions_than_rows_are_refused():
    X = np.random.default_rng(0).normal(size=(5, 8))
    with pytest.raises(InputError, match="as many directions as there are rows"):
        distill(X, size=2, strategy="random", reduce="pca:6")


@pytest.mark.parametrize("reduce", [None, "random-projection:2"])
def test_novelty__needs_a_reduction_that_makes_rows_again(flat, reduce):
    with pytest.raises(InputError, match="novelty needs a reduction that makes rows again"):
        distill(flat[0], size=10, strategy="novelty", reduce=reduce)


@pytest.mark.parametrize("kind", [PCA, RandomProjection, Autoencoder])
def test_reduction__refuses_bad_parameters(kind):
    with pytest.raises(InputError, match="components must be an int"):
        kind(True)
    with pytest.raises(InputError, match="scale must be"):
        kind(2, scale="log")
    assert make_reduction(f"{kind.name}:4") == kind(4)


# ---------------------------------------------------------------- the command line


def test_run__reduces_by_a_function_of_a_module(flat, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "ways_to_reduce.py").write_text("def first(rows):\n    return rows[:, :1]\n")
    np.save("X.npy", flat[0])
    command = ["run", "X.npy", "out.zarr", "--size", "20", "--strategy", "kcenter", "--json"]
    command += ["--certify", "--workers", "1", "--reduce", "ways_to_reduce:first"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    coreset = open_coreset("out.zarr")
    assert coreset.certificate.space == "first"
    assert coreset.provenance["parameters"]["reduce"]["function"] == "first"
    here = distill(flat[0], size=20, strategy="kcenter", reduce=lambda rows: rows[:, :1])
    assert np.array_equal(here.indices, coreset.indices)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no_such_module_here:f", "must name a function that can be imported"),
        ("json:no_such_function", "must name a function that can be imported"),
        ("json:decoder", "or a function, got module"),
        ("model.joblib", "reduce must be one of pca:32"),
    ],
)
def test_run__a_bad_reduce_is_one_line(flat, tmp_path, monkeypatch, spec, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    np.save("X.npy", flat[0][:50])
    done = CliRunner().invoke(cli, ["plan", "X.npy", "--size", "5", "--reduce", spec])
    assert done.exit_code == 2
    assert message in done.stderr


# ---------------------------------------------------------------- reductions that fill in


@pytest.fixture(scope="module")
def gaps(flat):
    """The same rows with NaN here and there, and what a pipeline makes of them."""
    X, y = flat[0][:4_000].copy(), flat[1][:4_000]
    rng = np.random.default_rng(5)
    X[rng.random(X.shape) < 0.03] = np.nan
    X[:, 7] = flat[0][:4_000, 7]
    return X, y, make_pipeline(SimpleImputer(), decomposition.PCA(3)).fit(X)


@pytest.mark.parametrize("strategy", ["auto", "kcenter", "coverage", "random"])
def test_reduce__that_fills_in_selects_as_from_what_it_gives(gaps, strategy):
    X, y, pipeline = gaps
    found = distill(X, y, size=150, strategy=strategy, reduce=pipeline)
    plain = distill(pipeline.transform(X), y, size=150, strategy=strategy)
    np.testing.assert_array_equal(found.indices, plain.indices)
    # rows are given as they are, and told
    np.testing.assert_array_equal(found.features.compute(), X[found.indices])
    told = {entry["column"]: entry["rows"] for entry in found.provenance["filled"]}
    assert told == {column: int(np.isnan(X[:, column]).sum()) for column in range(7)}
    assert found.provenance["rows_dropped"] == 0
    assert dict(circumstances(found))["Filled in to compare"].startswith("NaN in column ")


def test_reduce__that_fills_in_gives_the_same_rows_for_any_chunking(gaps):
    X, y, pipeline = gaps
    one, other = (
        distill(da.from_array(X, chunks=(rows, -1)), y, size=99, reduce=pipeline, certify=True)
        for rows in (700, 4_000)
    )
    np.testing.assert_array_equal(one.indices, other.indices)
    assert one.certificate == other.certificate


def test_reduce__a_function_may_fill_in_too(gaps):
    X, y, _ = gaps
    found = distill(X, y, size=50, reduce=lambda rows: np.nan_to_num(rows))
    assert len(found) == 50
    assert distill(X, y, size=50, reduce=gaps[2], on_invalid="drop").provenance["filled"] is None


@pytest.mark.parametrize(
    ("reduce", "message"),
    [
        (decomposition.PCA(2), "NaN in .* first in row .* reduce=PCA does not fill them in; clean"),
        (lambda rows: rows[:, ::-1], "reduce=.*lambda.* does not fill them in; clean them, pass a"),
        (lambda rows: np.delete(rows, 3, 1), "features has NaN in|finite values.*rows with NaN"),
        ("pca:2", "features has .* NaN values, first in row"),
        (None, "features has .* NaN values, first in row"),
    ],
)
def test_reduce__that_leaves_gaps_is_refused(gaps, reduce, message):
    X, y, _ = gaps
    if isinstance(reduce, decomposition.PCA):
        reduce = reduce.fit(np.nan_to_num(X))
    with pytest.raises(InputError, match=message):
        distill(X, y, size=50, reduce=reduce)


def test_reduce__that_fills_in_does_not_make_infinite_values_or_missing_labels_valid(gaps):
    X, y, pipeline = gaps
    infinite = X.copy()
    infinite[9, 2] = np.inf
    with pytest.raises(InputError, match="1 infinite value, first in row 9, column 2"):
        distill(infinite, y, size=50, reduce=pipeline)
    with pytest.raises(InputError, match="labels has 1 missing"):
        distill(X, np.where(np.arange(len(y)) == 3, np.nan, y), size=50, reduce=pipeline)


def test_evaluate__leaves_out_rows_with_gaps_on_both_sides_and_says_so(gaps):
    X, y, pipeline = gaps
    coreset = distill(X, y, size=300, strategy="random", reduce=pipeline)
    found = coreset.evaluate(X, y, models=LogisticRegression(), seeds=2)
    complete = int(np.isfinite(X[coreset.indices]).all(axis=1).sum())
    assert complete < 300
    assert found.score("subset").rows == found.score("random").rows == complete
    assert f"Rows with NaN were left out, {300 - complete} of the subset's too." in found.notes
