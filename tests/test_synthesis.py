"""Synthetic rows: kept apart, of the kind of real ones, reproducible, and judged honestly."""

import json
import re
from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from dask_distill import (
    InputError,
    distill,
    evaluate_synthetic,
    open_coreset,
    open_synthetic,
    synthesize,
)
from dask_distill.cli.main import cli
from dask_distill.evaluation.statistics import Difference, Score
from dask_distill.evaluation.training import LabelledRows
from dask_distill.storage import group as store
from dask_distill.synthesis.amounts import rows_to_make, weights_of
from dask_distill.synthesis.distances import correlation_distance, fidelity, largest_step, privacy
from dask_distill.synthesis.encoding import Encoder, as_source
from dask_distill.synthesis.judged import (
    SYNTHETIC_WAYS,
    Privacy,
    SyntheticEvaluation,
    verdict_on_synthetic,
)
from dask_distill.synthesis.methods import GAN, Condensation, Diffusion, Material, make_method
from dask_distill.synthesis.rows import learnt_from
from dask_distill.synthesis.synthetic import Synthetic

N = 4_000
MODEL = LogisticRegression(max_iter=300)
QUICK = {
    "gan": GAN(steps=40, width=16, batch=32),
    "diffusion": Diffusion(steps=40, width=16, levels=8, batch=32),
    "condensation": Condensation(steps=20, width=16, batch=32),
}


def torch_here():
    return pytest.importorskip("torch", reason="needs the extra torch")


@pytest.fixture(scope="module")
def mixed():
    """Columns of many kinds: a number, a count, a yes or no, three grades, a constant."""
    rng = np.random.default_rng(1)
    y = rng.choice(3, N, p=[0.6, 0.37, 0.03])
    number = rng.normal(size=N) + 3 * y
    count = rng.poisson(3 + 2 * y)
    yes = rng.random(N) < 0.2 + 0.3 * y
    grade = np.array([0.5, 1.5, 7])[rng.integers(0, 3, N)]
    X = np.column_stack([number, count, yes, grade, np.full(N, 4.0)]).astype(np.float32)
    return X, np.array(["common", "other", "rare"])[y]


@pytest.fixture(scope="module")
def coreset(mixed):
    return distill(*mixed, size=400, strategy="stratified")


def made_by_hand(coreset, size=200, shift=0.0):
    """Synthetic rows without PyTorch: the subset's own, moved."""
    rng = np.random.default_rng(0)
    some = rng.choice(len(coreset), size)
    X = coreset.features.compute()[some]
    X = X + rng.normal(scale=0.3, size=X.shape).astype(X.dtype) + np.float32(shift)
    return Synthetic(
        weights=np.full(size, N / size, np.float32),
        provenance={
            "method": "hand",
            "rows": N,
            "made": size,
            "learnt_from": learnt_from(coreset, len(coreset)),
            "classes": None,
        },
        features=da.from_array(X, chunks=-1),
        labels=da.from_array(coreset.labels.compute()[some], chunks=-1),
    )


@pytest.fixture(scope="module")
def synthetic(coreset):
    return made_by_hand(coreset)


@pytest.fixture(scope="module")
def evaluation(synthetic, coreset, mixed):
    return evaluate_synthetic(synthetic, coreset, *mixed, models=MODEL, seeds=2)


# ---------------------------------------------------------------- columns


def test_encoder__gives_back_what_went_in(mixed):
    X = mixed[0][:500]
    encoder = Encoder.fit(X, np.ones(500))
    Z = encoder.encode(X)
    assert Z.dtype == np.float32
    # a number, a count, two for yes or no, three for the grades, none for the constant
    assert Z.shape[1] == encoder.width
    assert [column.width for column in encoder.columns[2:]] == [2, 3, 0]
    assert np.allclose(encoder.decode(Z), X, atol=1e-5)


def test_encoder__restores_values_of_the_columns_kind(mixed):
    X = mixed[0][:500]
    encoder = Encoder.fit(X, np.ones(500))
    Z = np.random.default_rng(0).normal(scale=3, size=(2000, encoder.width)).astype(np.float32)
    found = encoder.decode(Z).astype(np.float32)
    for column in (1, 2, 3, 4):
        assert set(found[:, column]) <= set(X[:, column])
    assert X[:, 0].min() <= found[:, 0].min() <= found[:, 0].max() <= X[:, 0].max()
    # between the values that occur, too
    assert len(set(found[:, 0]) - set(X[:, 0])) > 1000


def test_encoder__whole_numbers_stay_whole_where_there_are_many():
    X = np.random.default_rng(0).integers(0, 10**6, (300, 1)).astype(float)
    encoder = Encoder.fit(X, np.ones(300))
    found = encoder.decode(np.linspace(-3, 3, 700, dtype=np.float32)[:, None])
    assert np.array_equal(found, np.rint(found))
    assert len(np.unique(found)) > 400


def test_encoder__a_value_of_half_the_rows_gets_half_the_scale():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(2000) < 0.5, 0.0, rng.exponential(size=2000))
    encoder = Encoder.fit(x[:, None], np.ones(2000))
    found = encoder.decode(rng.normal(size=(20_000, 1)).astype(np.float32))
    assert (found == 0).mean() == pytest.approx((x == 0).mean(), abs=0.02)
    assert stats.ks_2samp(found[:, 0], x).statistic < 0.03


def test_encoder__weights_count_as_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1))
    times = rng.integers(1, 5, 300)
    weighted = Encoder.fit(x, times).encode(x)
    repeated = Encoder.fit(np.repeat(x, times, axis=0), np.ones(times.sum())).encode(x)
    assert np.allclose(weighted, repeated, atol=1e-5)


def test_encoder__refuses_what_cannot_be_learnt():
    with pytest.raises(InputError, match="features must be finite, got 1 rows"):
        Encoder.fit(np.array([[1.0], [np.nan]]), np.ones(2))
    with pytest.raises(InputError, match="must have a column that varies"):
        Encoder.fit(np.ones((5, 2)), np.ones(5))


@pytest.mark.parametrize(("dtype", "expected"), [("i2", 3), ("?", True), ("f4", 2.6)])
def test_rows__come_back_in_the_sources_type_and_shape(dtype, expected):
    found = as_source(np.full((2, 6), 2.6), np.dtype(dtype), (3, 2))
    assert (found.shape, found.dtype) == ((2, 3, 2), np.dtype(dtype))
    assert found[0, 0, 0] == np.array(expected, dtype)


# ---------------------------------------------------------------- amounts


def test_amounts__shares_are_kept_or_balanced():
    classes, mass = np.array(["a", "b", "c"]), np.array([8900.0, 1000, 100])
    told = {"rows": 10_000, "selected": 50}
    assert rows_to_make(classes, mass, **told, size=100).tolist() == [89, 10, 1]
    assert rows_to_make(classes, mass, **told).sum() == 50
    assert rows_to_make(classes, mass, **told, fraction=0.1).tolist() == [890, 100, 10]
    assert rows_to_make(classes, mass, **told, size=9, balance="equal").tolist() == [3, 3, 3]
    assert rows_to_make(classes, mass, **told, per_class=7).tolist() == [7, 7, 7]
    assert rows_to_make(classes, mass, **told, per_class={"c": 70}).tolist() == [0, 0, 70]
    assert rows_to_make(np.array([0, 3]), mass[:2], **told, per_class={"3": 5}).tolist() == [0, 5]


@pytest.mark.parametrize("by_class", [True, False])
def test_weights__sum_to_the_rows_of_the_data(by_class):
    counts, mass = np.array([3, 0, 5]), np.array([70.0, 10.0, 20.0])
    weights = weights_of(counts, mass, 100, by_class=by_class)
    assert weights.sum() == pytest.approx(100)
    assert (len(set(weights.tolist())) == 1) is not by_class


# ---------------------------------------------------------------- bad input, without PyTorch, too


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "vae"}, "method must be one of gan, diffusion, condensation, got 'vae'"),
        ({"method": "gan", "options": {"depth": 3}}, "options of gan must be among steps"),
        ({"method": "gan", "options": {"steps": 0}}, "steps of gan must be an int of at least 1"),
        ({"method": "gan", "options": {"by_class": "so"}}, "by_class of gan must be true or false"),
        ({"method": GAN(), "options": {"steps": 3}}, "got a method object and options"),
        (
            {"method": "condensation", "options": {"initial": "zero"}},
            'initial of condensation must be "real" or "noise", got',
        ),
        ({"seed": -1}, "seed must be an int from 0"),
        ({"max_rows": 3}, "max_rows must be an int of at least 10, got 3"),
    ],
)
def test_synthesize__bad_input_is_one_sentence(coreset, options, message):
    with pytest.raises(InputError, match=message):
        coreset.synthesize(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be an int of at least 1, got 0"),
        ({"size": 2, "fraction": 0.1}, "at most one of size, fraction and per_class"),
        ({"fraction": 1.5}, "fraction must be above 0 and at most 1, got 1.5"),
        ({"fraction": "half"}, "fraction must be a number, got 'half'"),
        ({"balance": "log"}, "balance must be sqrt or equal, got 'log'"),
        ({"per_class": 5, "balance": "equal"}, "balance must not be given with per_class"),
        ({"per_class": {"d": 5}}, "per_class must name classes of the subset, got 'd'"),
        ({"per_class": {}}, "per_class must name at least one class"),
        ({"per_class": {"a": 0.5}}, "per_class of 'a' must be an int of at least 1"),
    ],
)
def test_amounts__bad_input_is_one_sentence(options, message):
    with pytest.raises(InputError, match=message):
        rows_to_make(np.array(["a", "b"]), np.array([5.0, 5.0]), rows=10, selected=5, **options)


def test_synthesize__refuses_what_is_no_subset_or_too_small(mixed, coreset):
    with pytest.raises(InputError, match="coreset must be a Coreset, got ndarray"):
        synthesize(mixed[0])
    with pytest.raises(InputError, match="must have at least 10 rows to learn from, got 5"):
        synthesize(distill(*mixed, size=5, strategy="random"))
    task = coreset.provenance | {"parameters": {"task": "regression"}}
    with pytest.raises(InputError, match='got task="regression"'):
        synthesize(replace(coreset, provenance=task))


def test_synthesize__without_torch_names_the_extra(coreset, monkeypatch):
    monkeypatch.setattr("dask_distill.synthesis.methods.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'dask-distill\[torch\]'"):
        coreset.synthesize(size=10)


def test_make_method__reads_texts():
    assert make_method("gan", {"steps": "7", "by_class": "True"}) == GAN(steps=7, by_class=True)
    assert make_method("condensation", {"initial": "noise"}).initial == "noise"


# ---------------------------------------------------------------- kept apart


def test_output__is_marked_and_is_no_subset(synthetic, coreset, tmp_path):
    target = tmp_path / "made.zarr"
    receipt = synthetic.to_zarr(target)
    group = zarr.open_group(target)
    assert group.attrs["synthetic"] is True
    assert group.attrs["dask_distill"]["format"]["name"] == "dask_distill.synthetic"
    assert set(group) == {"X", "y", "weight"}
    found = store.verify(target)
    assert (found.ok, found.synthetic, found.digest) == (True, True, receipt["digest"])
    again = open_synthetic(target)
    assert np.array_equal(again.features.compute(), synthetic.features.compute())
    assert np.array_equal(again.labels.compute(), synthetic.labels.compute())
    assert np.array_equal(again.weights, synthetic.weights)
    assert again.provenance["learnt_from"]["digest"] == learnt_from(coreset, 1)["digest"]
    with pytest.raises(InputError, match="must hold selected rows, got synthetic ones; open it wi"):
        open_coreset(target)
    assert "200 rows" in repr(again)
    assert "none of them real" in again._repr_html_()


def test_output__replaces_synthetic_rows_alone(synthetic, coreset, tmp_path):
    subset, target = tmp_path / "subset.zarr", tmp_path / "made.zarr"
    coreset.to_zarr(subset)
    assert not store.verify(subset).synthetic
    with pytest.raises(InputError, match="must hold synthetic rows, got a subset of real ones"):
        open_synthetic(subset)
    with pytest.raises(InputError, match="to be overwritten, got something else"):
        synthetic.to_zarr(subset, overwrite=True)
    synthetic.to_zarr(target)
    with pytest.raises(InputError, match="exists"):
        synthetic.to_zarr(target)
    assert synthetic.to_zarr(target, overwrite=True)["bytes_written"] > 0


def test_verify__finds_an_index_among_synthetic_rows(synthetic, tmp_path):
    rows = {"X": synthetic.features, "index": da.arange(200, chunks=-1)}
    store.write(tmp_path / "made.zarr", rows, {"synthetic": True, "names": {}})
    found = store.verify(tmp_path / "made.zarr")
    assert found.problems == (
        "array 'index' must not be there: synthetic rows are no rows of a source",
    )


def test_open_synthetic__refuses_a_later_version(synthetic, tmp_path, monkeypatch):
    monkeypatch.setattr("dask_distill.synthesis.rows.SYNTHETIC_VERSION", 9)
    synthetic.to_zarr(tmp_path / "made.zarr")
    monkeypatch.undo()
    with pytest.raises(InputError, match=r"version 1 of dask_distill\.synthetic at most, got 9"):
        open_synthetic(tmp_path / "made.zarr")


# ---------------------------------------------------------------- distances


def test_distances__are_those_of_scipy_and_numpy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=300), rng.normal(0.5, size=200)
    assert largest_step(x, y) == pytest.approx(stats.ks_2samp(x, y).statistic)
    times = rng.integers(1, 4, 300)
    assert largest_step(x, y, times) == pytest.approx(largest_step(np.repeat(x, times), y))
    own, real = rng.normal(size=(2, 100, 3))
    pairs = np.triu_indices(3, 1)
    expected = np.abs(np.corrcoef(own.T) - np.corrcoef(real.T))[pairs].mean()
    assert correlation_distance(own, real) == pytest.approx(expected)


def test_fidelity__grows_with_what_differs():
    rng = np.random.default_rng(0)
    real = LabelledRows(rng.normal(size=(2000, 3)), rng.integers(0, 2, 2000))
    same = LabelledRows(rng.normal(size=(2000, 3)), rng.integers(0, 2, 2000))
    moved = LabelledRows(same.X + 1, np.zeros(2000, int))
    one, other = (fidelity("synthetic", rows, real, 2) for rows in (same, moved))
    assert max(one.kinds) < 0.06
    assert other.wasserstein == pytest.approx(1, abs=0.1)
    assert other.total_variation == pytest.approx(0.5, abs=0.05)
    weighted = LabelledRows(real.X[:1000], real.codes[:1000], np.ones(1000, np.float32))
    assert fidelity("subset", weighted, real, 2).wasserstein < 0.1


def test_privacy__sees_copies_and_what_is_nearly_one():
    rng = np.random.default_rng(0)
    learnt, held_out, fresh = (
        LabelledRows(X, np.zeros(400, int)) for X in rng.normal(size=(3, 400, 4)).astype(np.float32)
    )
    fair = privacy(fresh, learnt, held_out)
    assert fair.copies == fair.copies_held_out == 0
    assert fair.nearer == pytest.approx(0.05, abs=0.04)
    assert "no proof of privacy" in fair.verdict
    near = privacy(LabelledRows(learnt.X + np.float32(1e-3), learnt.codes), learnt, held_out)
    assert near.nearer == 1
    assert "not private: 100% are nearer" in near.verdict
    half = LabelledRows(np.concatenate([learnt.X[:200], fresh.X[:200]]), learnt.codes)
    assert privacy(half, learnt, held_out).copies == 0.5
    assert "50.0% are copies" in privacy(half, learnt, held_out).verdict


# ---------------------------------------------------------------- the verdict


@pytest.mark.parametrize(
    ("gap", "words"),
    [
        ((-0.05, -0.07, -0.03), "The subset is better; train on it"),
        ((0.05, 0.03, 0.07), "Synthetic rows are better here"),
        ((-0.05, -0.17, 0.03), "Synthetic rows are no better than the subset"),
        ((-0.001, -0.0011, -0.0009), "Synthetic rows are no better than the subset"),
    ],
)
def test_verdict__says_which_rows_to_train_on(gap, words):
    scores = [
        Score(
            way=way,
            model="all models",
            rows=10,
            accuracy=0.8,
            balanced_accuracy=0.8,
            worst_class_recall=0.8,
            seconds=1.0,
        )
        for way in SYNTHETIC_WAYS
    ]
    text = verdict_on_synthetic(scores, [Difference.of("subset", "accuracy", "all models", gap)])
    assert text.startswith(words)
    assert "keep 100.0%" in text


def test_evaluation__sees_rows_that_are_wrong(coreset, mixed, evaluation):
    assert evaluation.score("everything").rows > evaluation.score("synthetic").rows == 200
    assert evaluation.score("subset").rows == 200
    assert evaluation.score("both").rows == 400
    assert evaluation.fidelity[0].wasserstein < 0.5
    shifted = made_by_hand(coreset, shift=4.0)
    wrong = evaluate_synthetic(shifted, coreset, *mixed, models=MODEL, seeds=2)
    assert wrong.verdict.startswith("The subset is better")
    assert wrong.fidelity[0].wasserstein > 1
    assert wrong.difference("subset").mean < -0.1


def test_evaluation__is_told_again_from_json(evaluation):
    plain = json.loads(json.dumps(evaluation.as_dict()))
    assert plain["synthetic"] is True
    again = SyntheticEvaluation.from_dict(plain)
    assert again == evaluation
    shown = str(again)
    assert "both together" in shown
    assert again.privacy.verdict in shown
    assert "Wasserstein" in shown


def test_evaluation__takes_test_rows(coreset, mixed, synthetic):
    X, y = mixed
    test = (X[:500], y[:500])
    found = evaluate_synthetic(synthetic, coreset, X, y, test=test, models=MODEL, seeds=2)
    assert found.test_rows == 500


def test_evaluation__refuses_what_does_not_belong_together(coreset, mixed, synthetic):
    other = distill(*mixed, size=400, strategy="random", seed=5)
    with pytest.raises(InputError, match="must be the subset that the synthetic rows were made"):
        synthetic.evaluate(other, *mixed)
    with pytest.raises(InputError, match="needs synthetic rows and the Coreset"):
        evaluate_synthetic(coreset, coreset, *mixed)
    with pytest.raises(InputError, match="needs labels"):
        evaluate_synthetic(replace(synthetic, labels=None), coreset, *mixed)
    told = coreset.provenance | {"input": coreset.provenance["input"] | {"time": "when"}}
    with pytest.raises(InputError, match="test must be given where rows have a time"):
        synthetic.evaluate(replace(coreset, provenance=told), *mixed)


def test_report__has_a_section_and_the_verdict(coreset, evaluation, tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    coreset.report(tmp_path / "report.html", synthetic=evaluation)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "<h2>Synthetic rows beside the subset</h2>" in text
    assert text.count(f'<p class="verdict">{evaluation.verdict}</p>') == 1
    assert evaluation.privacy.verdict in text
    for tag in ("table", "div", "tr", "td", "th", "p", "tbody"):
        assert len(re.findall(rf"<{tag}[ >]", text)) == text.count(f"</{tag}>")
    coreset.report(tmp_path / "plain.html")
    assert "Synthetic" not in (tmp_path / "plain.html").read_text("utf-8")


# ---------------------------------------------------------------- with PyTorch


@pytest.mark.parametrize("name", QUICK)
def test_synthesize__makes_rows_of_the_kind_asked_for(name, coreset, mixed):
    torch_here()
    made = coreset.synthesize(method=QUICK[name], size=100)
    X, y = made.features.compute(), made.labels.compute()
    assert X.dtype == np.float32
    for column in (1, 2, 3, 4):
        assert set(X[:, column]) <= set(mixed[0][:, column])
    shares = dict(zip(*np.unique(y, return_counts=True), strict=True))
    assert shares == pytest.approx({"common": 60, "other": 37, "rare": 3}, abs=1)
    assert made.weights.sum() == pytest.approx(N)
    assert made.provenance["classes"][2]["made"] == 3
    assert made.provenance["versions"]["torch"]
    balanced = coreset.synthesize(method=QUICK[name], per_class={"rare": 20})
    assert set(balanced.labels.compute()) == {"rare"}
    assert len(balanced) == 20


@pytest.mark.parametrize("name", QUICK)
def test_synthesize__same_bits_again_and_other_ones_for_another_seed(name, coreset):
    torch = torch_here()
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.random.get_rng_state()
    one, same, other = (
        coreset.synthesize(method=QUICK[name], size=50, seed=seed).features.compute()
        for seed in (3, 3, 4)
    )
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    assert torch.equal(state, torch.random.get_rng_state())


def test_synthesize__same_bits_on_a_cluster_by_class(coreset):
    torch_here()
    from distributed import Client

    method = replace(QUICK["diffusion"], by_class=True)
    here = coreset.synthesize(method=method, size=60).features.compute()
    with Client(n_workers=2, processes=False, dashboard_address="127.0.0.1:0"):
        there = coreset.synthesize(method=method, size=60).features.compute()
    assert np.array_equal(here, there)


def test_by_class__a_class_is_the_same_whoever_else_is_made(coreset):
    torch_here()
    method = replace(QUICK["gan"], by_class=True)
    alone = coreset.synthesize(method=method, per_class={"rare": 10}).features.compute()
    among = coreset.synthesize(method=method, per_class=10)
    rare = among.labels.compute() == "rare"
    assert np.array_equal(alone, among.features.compute()[rare])


def two_groups():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2, 600)
    Z = rng.normal(size=(600, 2)) * 0.5 + np.where(codes, 1.5, -1.5)[:, None]
    return Z.astype(np.float32), codes


@pytest.mark.parametrize(
    "method",
    [
        GAN(steps=600, width=32, batch=64, noise=4),
        Diffusion(steps=400, width=32, batch=64, levels=30),
        Condensation(steps=150, width=32, batch=64, initial="noise"),
    ],
    ids=lambda method: method.name,
)
def test_methods__learn_where_classes_are(method):
    torch_here()
    Z, codes = two_groups()
    material = Material(Z, codes, np.ones(600), (), np.array([100, 100]))
    if method.each_class:
        made = np.concatenate([method.generate(material.of_class(c), (0, c)) for c in (0, 1)])
    else:
        made = method.generate(material, (0,))
    model = KNeighborsClassifier(5).fit(Z, codes)
    assert model.score(made, np.repeat([0, 1], 100)) > 0.9
    for code in (0, 1):
        mine = made[100 * code : 100 * code + 100]
        assert np.abs(mine.mean(axis=0) - Z[codes == code].mean(axis=0)).max() < 0.4
    assert made.std() > 1


def test_condensation__comes_nearer_to_the_mean_than_drawn_rows(coreset):
    torch_here()
    Z, codes = two_groups()
    material = Material(Z, codes, np.ones(600), (), np.array([8, 8])).of_class(1)
    made = Condensation(steps=150, width=32, batch=64).generate(material, (0,))
    drawn = np.random.default_rng(0).permutation(material.Z)[:8]
    aim = material.Z.mean(axis=0)
    assert np.linalg.norm(made.mean(axis=0) - aim) < np.linalg.norm(drawn.mean(axis=0) - aim)


def test_synthesize__unlabelled_images_and_integers(mixed):
    torch_here()
    images = np.random.default_rng(0).integers(0, 255, (300, 4, 3), np.uint8)
    made = distill(images, size=60, strategy="random").synthesize(method=QUICK["gan"], size=20)
    assert made.labels is None
    assert made.features.shape == (20, 4, 3)
    assert made.features.dtype == np.uint8


def test_synthesize__a_class_that_max_rows_leaves_out_is_named():
    torch_here()
    # more classes than rows to learn from
    X = np.random.default_rng(0).normal(size=(600, 3))
    coreset = distill(X, np.arange(600) % 12, size=60, strategy="stratified")
    with pytest.raises(InputError, match="max_rows must leave rows of each class"):
        coreset.synthesize(method=QUICK["gan"], max_rows=10)


# ---------------------------------------------------------------- the command line


@pytest.fixture
def folder(tmp_path, monkeypatch, mixed, coreset):
    monkeypatch.chdir(tmp_path)
    X, y = mixed
    group = zarr.open_group("in.zarr", mode="w")
    group.create_array("X", data=X)
    group.create_array("y", data=(y == "other").astype(int))
    distill_from = da.from_zarr("in.zarr/X"), da.from_zarr("in.zarr/y")
    distill(*distill_from, size=200, strategy="stratified").to_zarr("subset.zarr")
    return tmp_path


@pytest.fixture
def on_threads(monkeypatch):
    """Commands use Dask's threads here: the way to a cluster is tested elsewhere."""
    from contextlib import contextmanager

    @contextmanager
    def connect(**places):
        yield None

    monkeypatch.setattr("dask_distill.clusters.connect.connect", connect)


def call(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_commands__evaluate_and_report_synthetic_rows(folder, on_threads):
    coreset = open_coreset("subset.zarr")
    rows = made_by_hand(coreset, size=100)
    told = rows.provenance["learnt_from"] | {"subset": "subset.zarr"}
    replace(rows, provenance=rows.provenance | {"learnt_from": told}).to_zarr("made.zarr")
    done = call("verify", "made.zarr")
    assert "complete, 100 synthetic rows" in done.output
    quick = ("--seeds", 2, "--max-rows", 300, "--test-rows", 200)
    done = call("evaluate", "made.zarr", "--source", "in.zarr", *quick, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["synthetic"] is True
    (folder / "found.json").write_text(done.stdout)
    pytest.importorskip("matplotlib")
    done = call("report", "subset.zarr", "--synthetic", "found.json", "-o", "report.html")
    assert done.exit_code == 0, done.output
    assert found["verdict"] in (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("evaluate", "made.zarr", "--source", "in.zarr"),
            "were made from, which they do not know",
        ),
        (("evaluate", "subset.zarr", "--source", "in.zarr", "--subset", "x"), "leave --subset out"),
        (("report", "made.zarr"), "must hold selected rows, got synthetic ones"),
        (("report", "subset.zarr", "--synthetic", "in.zarr"), "evaluate --json has printed"),
        (("synthesize", "made.zarr", "out.zarr"), "must hold selected rows, got synthetic ones"),
    ],
)
def test_commands__kinds_of_rows_are_not_mixed_up(folder, words, message):
    made_by_hand(open_coreset("subset.zarr"), size=20).to_zarr("made.zarr")
    done = call(*words)
    assert done.exit_code == 2
    assert message in done.stderr


def test_command__synthesizes(folder, on_threads):
    torch_here()
    quick = ("--option", "steps=20", "--option", "width=8", "--option", "levels=4")
    done = call("synthesize", "subset.zarr", "made.zarr", "--per-class", 10, *quick)
    assert done.exit_code == 0, done.output
    assert re.search(r"made 20 synthetic rows by diffusion from 200 real ones in", done.stdout)
    assert store.verify("made.zarr").synthetic
    again = ("--overwrite", "--json", "--per-class", "1=5")
    done = call("synthesize", "subset.zarr", "made.zarr", *quick, *again)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["made"], told["learnt_from"]["subset"]) == (5, "subset.zarr")


def test_privacy__is_plain():
    assert Privacy(
        median=1, median_held_out=1, near=1, nearer=0.0, copies=0.0, copies_held_out=0.0
    ).verdict.startswith("Synthetic rows keep about")
