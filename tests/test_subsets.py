"""Several subsets of one selection: disjoint where possible, stratified, each stands for all."""

import json
import re
import warnings
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

from dask_distill import InputError, SelectionWarning, distill, open_coreset, open_dataset, verify
from dask_distill.cli.main import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.kernels.dealing import dealt, dealt_weights
from dask_distill.pipeline import distill_to_zarr
from dask_distill.selection.request import Request
from dask_distill.strategies import make_strategy

N = 6_000
rng = np.random.default_rng(0)
Y = rng.choice(3, N, p=[0.7, 0.25, 0.05])
X = rng.normal(size=(N, 4)) + Y[:, None]
pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_dealt__sizes_classes_and_times_are_as_alike_as_they_can_be(draws):
    number = draws.draw(st.integers(1, 9))
    size = draws.draw(st.integers(1, 40))
    k = draws.draw(st.integers(size, number * size))
    codes = np.array(draws.draw(st.lists(st.integers(0, 4), min_size=k, max_size=k)))
    rows = np.cumsum(draws.draw(st.lists(st.integers(1, 9), min_size=k, max_size=k)))
    seed, places = draws.draw(st.integers(0, 9)), None
    if draws.draw(st.booleans()):
        places = np.array(draws.draw(st.lists(st.integers(0, 3), min_size=k, max_size=k)))
    mask = dealt(rows, codes, number, size, seed, places=places)
    assert mask.shape == (k, number)
    assert (mask.sum(axis=0) == size).all()
    times = mask.sum(axis=1)
    assert times.max() - times.min() <= 1
    for label in np.unique(codes):
        counts = mask[codes == label].sum(axis=0)
        assert counts.max() - counts.min() <= 1


def test_dealt__follows_the_rows_not_their_number():
    rows = np.arange(8000)
    mask = dealt(rows, None, 8, 1000, seed=0)
    # every subset has its part of any run of rows
    runs = mask.reshape(80, 100, 8).sum(axis=1)
    assert runs.min() >= 11
    assert runs.max() <= 14
    # which rows is chance: not each eighth
    first = np.flatnonzero(mask[:, 0])
    assert len(np.unique(np.diff(first))) > 5
    assert (dealt(rows, None, 8, 1000, seed=1) != mask).any()
    np.testing.assert_array_equal(dealt(rows, None, 8, 1000, seed=0), mask)


def test_dealt__subsets_have_their_part_of_every_place():
    rows, places = np.arange(2000), rng.integers(0, 20, 2000)
    mask = dealt(rows, None, 5, 400, seed=0, places=places)
    for place in range(20):
        counts = mask[places == place].sum(axis=0)
        # a hand may begin in one place and end in the next
        assert np.ptp(counts) <= 2
    assert np.ptp(dealt(rows, None, 5, 400, seed=0)[places == 3].sum(axis=0)) > 2


def test_dealt_weights__each_class_weighs_what_it_weighs_in_all():
    codes = rng.integers(0, 3, 400)
    weights = rng.uniform(0.5, 3, 400).astype(np.float32)
    mask = dealt(np.arange(400), codes, 4, 100, seed=0)
    found = dealt_weights(weights, codes, mask)
    np.testing.assert_array_equal(found > 0, mask)
    for label in range(3):
        due = weights[codes == label].sum()
        np.testing.assert_allclose(found[codes == label].sum(axis=0), due, rtol=1e-5)
    # a class that one subset has no row of
    lone = np.array([[True, False], [True, True], [False, True]])
    few = dealt_weights(np.ones(3, np.float32), np.array([0, 1, 1]), lone)
    np.testing.assert_allclose(few, [[1, 0], [2, 1.5], [0, 1.5]])


@pytest.mark.parametrize("strategy", ["auto", "stratified", "random", "kcenter"])
def test_distill__subsets_are_disjoint_and_each_stands_for_all(strategy):
    coreset = distill(X, Y, size=200, subsets=6, strategy=strategy)
    assert len(coreset) == 1200
    assert coreset.weights.sum() == pytest.approx(N, rel=1e-5)
    together = np.concatenate(coreset.subsets)
    assert len(np.unique(together)) == len(together) == 1200
    np.testing.assert_array_equal(np.sort(together), coreset.indices)
    shares = np.bincount(Y[coreset.indices], minlength=3) / 6
    for number, rows in enumerate(coreset.subsets):
        one = coreset.subset(number)
        np.testing.assert_array_equal(one.indices, rows)
        assert len(one) == 200
        assert one.weights.dtype == np.float32
        assert (one.weights > 0).all()
        assert one.weights.sum() == pytest.approx(N, rel=1e-5)
        np.testing.assert_array_equal(one.features.compute(), X[rows])
        np.testing.assert_array_equal(one.labels.compute(), Y[rows])
        assert (np.abs(np.bincount(Y[rows], minlength=3) - shares) < 1).all()
        assert all(len(values) == 200 for values in one.scores.values())
    told = coreset.provenance["subsets"]
    assert told == {"number": 6, "size": 200, "least": 1, "most": 1}
    parameters = coreset.provenance["parameters"]
    assert (parameters["size"], parameters["subsets"]) == (200, 6)
    assert "subsets" not in distill(X, Y, size=200, strategy=strategy).provenance["parameters"]


def test_distill__each_subset_has_its_part_of_every_group_of_rows():
    # six clumps that no label and no order of rows tells apart
    clump = rng.integers(0, 6, N)
    centers = rng.normal(size=(6, 4)) * 20
    near = centers[clump] + rng.normal(size=(N, 4))
    coreset = distill(near, size=240, subsets=5, strategy="random")
    counts = np.array([np.bincount(clump[rows], minlength=6) for rows in coreset.subsets])
    # by chance it would be some 14 in all, and 5 at least
    assert np.ptp(counts, axis=0).max() <= 6


def test_distill__the_rows_together_are_those_of_one_selection():
    several = distill(X, Y, size=200, subsets=5, seed=3)
    plain = distill(X, Y, size=1000, seed=3)
    np.testing.assert_array_equal(several.indices, plain.indices)
    np.testing.assert_array_equal(several.weights, plain.weights)
    assert len(plain.subsets) == 1
    assert plain.subset(0).indices is plain.indices


def test_distill__subsets_are_the_same_for_any_chunking():
    bits = set()
    for chunks in (N, 1234, 777):
        found = distill(da.from_array(X, chunks=(chunks, -1)), Y, fraction=0.02, subsets=4, seed=1)
        bits.add((found.indices.tobytes(), found.subset_weights.tobytes()))
    assert len(bits) == 1
    other = distill(X, Y, fraction=0.02, subsets=4, seed=2, strategy="stratified")
    assert other.subset_weights.tobytes() not in {each[1] for each in bits}


def test_distill__where_rows_do_not_suffice_each_is_used_as_often_or_once_more():
    coreset = distill(X[:1000], Y[:1000], size=300, subsets=8, strategy="stratified")
    times = (coreset.subset_weights > 0).sum(axis=1)
    assert len(coreset) == 1000
    assert set(times.tolist()) == {2, 3}
    assert times.sum() == 8 * 300
    assert all(len(np.unique(rows)) == 300 for rows in coreset.subsets)
    assert coreset.provenance["subsets"] == {"number": 8, "size": 300, "least": 2, "most": 3}
    whole = distill(X[:50], Y[:50], fraction=1.0, subsets=3, strategy="random")
    assert all(len(rows) == 50 for rows in whole.subsets)


def test_distill__subsets_of_weighted_unlabelled_and_other_targets():
    weight = rng.uniform(0, 2, N)
    heavy = distill(X, Y, size=100, subsets=3, strategy="stratified", sample_weight=weight)
    for number in range(3):
        one = heavy.subset(number)
        assert one.weights.sum() == pytest.approx(weight.sum(), rel=1e-5)
        share = one.weights[one.labels.compute() == 1].sum() / one.weights.sum()
        assert share == pytest.approx(weight[Y == 1].sum() / weight.sum(), abs=0.002)
    for more in ({"labels": None}, {"labels": X[:, 0], "task": "regression"}):
        coreset = distill(X, size=100, subsets=3, **more)
        assert [len(rows) for rows in coreset.subsets] == [100, 100, 100]
    # strata of the target are as many in each
    targets = [coreset.subset(number).carry["y"].compute() for number in range(3)]
    assert np.ptp([np.median(values) for values in targets]) < 0.3


@pytest.mark.parametrize("subsets", [0, -1, 1.5, True, "3", 101])
def test_distill__refuses_a_number_of_subsets_that_cannot_be(subsets):
    with pytest.raises(InputError, match=f"subsets must be an int from 1 to 100, got {subsets!r}"):
        distill(X, Y, size=10, subsets=subsets)


def test_distill__refuses_more_weights_than_a_memory_should_hold():
    lazy = da.zeros((4_000_000, 1), chunks=1_000_000)
    with pytest.raises(InputError, match="got 80 for each of 4,000,000 rows; ask for fewer, or"):
        Request(strategy=make_strategy("random"), size=50_000, subsets=80).of(as_dataset(lazy))
    Request(strategy=make_strategy("random"), size=50_000, subsets=60).of(as_dataset(lazy))


@pytest.mark.parametrize("more", [{"protect": [1, 2]}, {"initial": [1, 2]}])
def test_distill__refuses_rows_that_one_subset_alone_would_have(more):
    with pytest.raises(InputError, match="subsets must be 1 beside protect and initial, got 2"):
        distill(X, Y, size=10, subsets=2, **more)
    assert len(distill(X, Y, size=10, subsets=1, **more)) == 10


def test_subset__refuses_one_that_is_not_there():
    coreset = distill(X, Y, size=10, subsets=2, strategy="random")
    for number in (2, -1, "0", True):
        with pytest.raises(InputError, match="from 0 to 1, got"):
            coreset.subset(number)
    with pytest.raises(InputError, match="from 0 to 0, got 1; ask for more with subsets="):
        distill(X, Y, size=10, strategy="random").subset(1)


def test_subset__its_provenance_and_report_speak_of_it_alone(tmp_path):
    coreset = distill(X, Y, size=100, subsets=3, strategy="strata")
    one = coreset.subset(1)
    told = one.provenance
    assert (told["subset"], told["selected"]) == (1, 100)
    assert told["classes"] is told["lost"] is told["underrepresented"] is None
    assert coreset.provenance["classes"] is not None
    one.report(tmp_path / "one.html")
    text = (tmp_path / "one.html").read_text()
    assert "100 of 6,000 rows" in text
    assert "The class of which the smallest part was kept" not in text


def test_update__of_several_subsets_is_refused():
    coreset = distill(X, Y, size=100, subsets=2, strategy="random")
    for one in (coreset, coreset.subset(0)):
        with pytest.raises(InputError, match="must be selected without subsets, got 2"):
            one.update(X[:100], Y[:100])


@pytest.fixture
def folder(tmp_path, monkeypatch, threads_for_a_cluster):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dask_distill.clusters.connect.connect", threads_for_a_cluster)
    np.savez("in.npz", X=X, y=Y)
    return tmp_path


def run(*words, code=0):
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == code, done.output
    return done


def test_run__writes_all_rows_once_with_their_weights_in_each(folder):
    done = run("run", "in.npz", "out.zarr", "--size", "150", "--subsets", "4")
    assert re.search(r"^selected +600 of 6,000 rows", done.stdout, re.M)
    assert re.search(r"^subsets +4 of 150 rows each, no row in two$", done.stdout, re.M)
    group = zarr.open_group("out.zarr", mode="r")
    assert group["subset_weight"].shape == (600, 4)
    assert group["subset_weight"].dtype == np.float32
    coreset, expected = open_coreset("out.zarr"), distill(X, Y, size=150, subsets=4)
    np.testing.assert_array_equal(coreset.subset_weights, expected.subset_weights)
    one = coreset.subset(2)
    np.testing.assert_array_equal(one.features.compute(), X[coreset.subsets[2]])
    assert verify("out.zarr").ok
    coreset.report("report.html")
    text = Path("report.html").read_text()
    assert "4 of 150 rows each, no row in two" in text
    assert "--size 150 --strategy auto --subsets 4" in text
    # one of them, as a subset of its own
    one.to_zarr("one.zarr")
    assert verify("one.zarr").ok
    assert len(open_coreset("one.zarr")) == 150
    # as a source it is what it is without subsets
    assert len(distill(open_dataset("out.zarr"), size=50)) == 50


def test_run__json_and_plan_tell_of_subsets(folder):
    words = ("in.npz", "--size", "150", "--subsets", "4", "--json")
    made = json.loads(run("plan", *words).stdout)
    assert (made["size"], made["subsets"]) == (600, 4)
    assert re.search(r"^subsets +4$", run("plan", *words[:-1]).stdout, re.M)
    result = json.loads(run("run", "in.npz", "out.zarr", *words[1:]).stdout)
    assert result["subsets"] == {"number": 4, "size": 150, "least": 1, "most": 1}
    assert result["selected"] == 600
    line = run("plan", *words[:4], "0", code=2).stderr
    assert "subsets must be an int from 1 to 100, got 0" in line


def test_verify__finds_what_is_wrong_with_subsets(folder):
    coreset = distill(X, Y, size=100, subsets=3, strategy="random")
    values = coreset.subset_weights
    for change, words in (
        (lambda w: w * np.float32(1.1), "subset 0 weighs 6600, all rows weigh 6000"),
        (lambda w: np.where(w > 0, w, np.float32(-1)), "not finite and 0 or more"),
        (lambda w: np.roll(w, 1, axis=1) * 0 + np.float32(20), "subset 0 has 300 rows, not 100"),
    ):
        object.__setattr__(coreset, "subset_weights", change(values))
        coreset.to_zarr("bad.zarr", overwrite=True)
        found = verify("bad.zarr")
        assert not found.ok
        assert any(words in problem for problem in found.problems), found.problems


def test_resume__goes_on_with_subsets_that_were_chosen(folder, monkeypatch):
    dataset = open_dataset("in.npz")
    request = Request(strategy=make_strategy("auto"), size=100, subsets=3)

    def dies(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as broken:
        broken.setattr("dask_distill.pipeline.write_subset", dies)
        with pytest.raises(OSError, match="no space"):
            distill_to_zarr(dataset, "out.zarr", request)
    other = Request(strategy=make_strategy("auto"), size=100, subsets=2)
    with pytest.raises(InputError, match="subsets"):
        distill_to_zarr(dataset, "out.zarr", other, resume=True)
    with monkeypatch.context() as idle:
        # what was chosen is not chosen again
        idle.setattr("dask_distill.selection.select.chosen", dies)
        coreset, _ = distill_to_zarr(dataset, "out.zarr", request, resume=True)
    expected = distill(X, Y, size=100, subsets=3)
    np.testing.assert_array_equal(coreset.subset_weights, expected.subset_weights)
    assert verify("out.zarr").ok


def test_names__a_column_of_that_name_gets_an_underscore(tmp_path):
    carried = np.arange(N)
    coreset = distill(X, Y, size=100, subsets=2, carry={"subset_weight": carried})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coreset.to_zarr(tmp_path / "out.zarr")
    assert not any(issubclass(w.category, SelectionWarning) for w in caught)
    again = open_coreset(tmp_path / "out.zarr")
    np.testing.assert_array_equal(again.carry["subset_weight"].compute(), coreset.indices)
    assert again.subset_weights.shape == (200, 2)
