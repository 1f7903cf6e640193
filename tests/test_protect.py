"""Rows that are never dropped: by mask, rule or density, with every strategy, in any chunking."""

import json

import dask.array as da
import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from dask_distill import InputError, distill, open_coreset
from dask_distill.cli.main import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.kernels.hashing import row_keys
from dask_distill.pipeline import distill_to_zarr
from dask_distill.report.page import render
from dask_distill.selection.lost import shown
from dask_distill.selection.marks import Protection
from dask_distill.selection.request import Request
from dask_distill.strategies import STRATEGIES, make_strategy

pytestmark = pytest.mark.filterwarnings("ignore::dask_distill.SelectionWarning")

N, SIZE = 9_000, 400


@pytest.fixture(scope="module")
def table():
    """Two classes, a third of 30 rows, and a clump of rows far away."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(N, 4)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    y[rng.choice(N, 30, replace=False)] = 7
    clump = np.sort(rng.choice(N, 15, replace=False))
    X[clump] += 40
    mask = np.zeros(N, bool)
    mask[rng.choice(N, 60, replace=False)] = True
    return X, y, mask, clump


def lazily(X, y, chunks):
    return da.from_array(X, chunks=(chunks, -1)), da.from_array(y, chunks=chunks)


def protected(coreset):
    return coreset.indices[coreset.scores["protected"] == 1]


# a search selects by one of the others; two draw at random by time
@pytest.mark.parametrize(
    "name", [name for name, kind in STRATEGIES.items() if name != "search" and not kind.needs_time]
)
def test_protect__every_strategy_keeps_them_with_weight_1_for_any_chunking(table, name):
    X, y, mask, _ = table
    wanted = np.flatnonzero(mask | (y == 7))
    # how badly a row is made again needs something that makes it
    reduce = "pca:2" if name == "novelty" else None
    found = []
    for chunks, marks in ((1_700, da.from_array(mask, chunks=2_500)), (N, mask)):
        data = lazily(X, y, chunks)
        first = distill(
            *data,
            size=SIZE,
            strategy=name,
            carry={"m": marks},
            seed=3,
            reduce=reduce,
            protect={"column": "m", "class": 7},
        )
        found.append(first)
    one, other = found
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(protected(one), wanted)
    kept = np.isin(one.indices, wanted)
    assert len(one) == SIZE
    assert (one.weights[kept] == 1).all()
    assert one.weights.sum(dtype=float) == pytest.approx(N)
    assert all(np.isnan(values[kept]).all() for n, values in one.scores.items() if n != "protected")
    rare = [entry for entry in one.provenance["classes"] if entry["label"] == 7]
    assert rare[0]["selected"] == rare[0]["rows"] == 30
    assert one.provenance["selection"]["rows_protected"] == len(wanted)


def test_protect__the_strategy_chooses_among_the_others_alone(table):
    X, _, mask, _ = table
    coreset = distill(X, size=SIZE, strategy="random", protect=mask)
    rest = np.flatnonzero(~mask)
    keys = row_keys(rest, 0, stream=3)
    lowest = np.sort(rest[np.argsort(keys, kind="stable")[: SIZE - 60]])
    np.testing.assert_array_equal(np.setdiff1d(coreset.indices, np.flatnonzero(mask)), lowest)


@pytest.mark.parametrize("form", ["mask", "numbers", "function", "list of labels", "rare"])
def test_protect__every_form_names_the_same_rows(table, form):
    X, y, _, _ = table
    wanted = np.flatnonzero(y == 7)
    protect = {
        "mask": y == 7,
        "numbers": wanted[::-1],
        "function": lambda features, labels: labels == 7,
        "list of labels": {"class": [7]},
        "rare": {"rare": 30},
    }[form]
    np.testing.assert_array_equal(
        protected(distill(X, y, size=100, strategy="random", protect=protect)), wanted
    )


def test_protect__function_of_features_without_labels(table):
    X, _, _, clump = table
    coreset = distill(
        X, size=50, strategy="random", protect=lambda features, _: features[:, 0] > 30
    )
    np.testing.assert_array_equal(protected(coreset), clump)


def test_protect__sparse_keeps_rows_in_empty_surroundings(table):
    X, y, _, _ = table
    shares = []
    for chunks in (1_000, N):
        coreset = distill(
            *lazily(X, y, chunks), size=900, strategy="auto", protect={"sparse": 0.02}
        )
        shares.append(protected(coreset))
    np.testing.assert_array_equal(*shares)
    assert 0.005 * N < len(shares[0]) < 0.05 * N
    length = np.linalg.norm(X, axis=1)
    assert np.median(length[shares[0]]) > np.quantile(length, 0.95)


def test_protect__fills_the_size_by_itself(table):
    X, y, mask, _ = table
    coreset = distill(X, y, size=60, protect=mask)
    np.testing.assert_array_equal(coreset.indices, np.flatnonzero(mask))
    np.testing.assert_allclose(coreset.weights, N / 60)


def test_protect__a_whole_class_leaves_the_others_to_the_strategy(table):
    X, y, _, _ = table
    small = np.where(y == 1, 0, y)
    coreset = distill(X, small, size=200, protect={"class": 7})
    assert np.isin(np.flatnonzero(y == 7), coreset.indices).all()


def test_protect__with_rows_left_out_as_invalid(table):
    X, y, mask, _ = table
    X = X.copy()
    rows = np.flatnonzero(mask)
    X[rows[:3]] = np.nan
    with pytest.raises(InputError, match=f"got 3 with NaN .* first row {rows[0]}"):
        distill(X, y, size=SIZE, protect=mask, on_invalid="drop", strategy="stratified")
    mask = mask & np.isfinite(X).all(axis=1)
    coreset = distill(X, y, size=SIZE, protect=mask, on_invalid="drop", strategy="stratified")
    np.testing.assert_array_equal(protected(coreset), rows[3:])
    assert coreset.weights.sum(dtype=float) == pytest.approx(N - 3)


@pytest.mark.parametrize(
    ("protect", "message"),
    [
        (np.ones(N, bool), "size must be at least the 9,000 protected rows, got 400 of 9,000"),
        (np.ones(5, bool), "as many values as there are rows"),
        (np.array([N]), "row numbers from 0 to 8999, got 9000"),
        (np.array([1, 1]), "each row number once, got 1 again"),
        (np.ones(N), "must be a boolean mask"),
        ("nothing", "must name a carried array, got 'nothing'"),
        ("number", "must name a boolean array"),
        ({"class": "fraud"}, "must name classes of labels, got 'fraud'"),
        ({"colour": 1}, "protect must be a boolean array"),
        ({"sparse": 2}, "sparse must be above 0 and at most 1, got 2"),
        ({"rare": 2.5}, "rare must be a whole number of at least 1, got 2.5"),
        (["sparse=0.1", "sparse=0.2"], "must name sparse once"),
        (lambda features, labels: labels, "must give a boolean for each"),
    ],
)  # fmt: skip
def test_protect__refuses_what_cannot_be_meant(table, protect, message):
    X, y, _, _ = table
    with pytest.raises(InputError, match=message):
        distill(X, y, size=SIZE, protect=protect, carry={"number": np.arange(N)})


def test_protect__by_class_needs_labels(table):
    with pytest.raises(InputError, match="protect by class must have labels"):
        distill(table[0], size=SIZE, protect={"rare": 3})


def test_protect__words_of_a_command_line_mean_labels(table):
    X, y, mask, _ = table
    data = as_dataset(X, y, carry={"m": mask})
    made = Protection.of(["m", "class=7", "class=1", "rare=5"], data)
    assert (made.column, made.classes, made.rare, made.words) == ("m", ("7", "1"), 5, True)


def test_run__protects_a_column_and_a_class(table, tmp_path):
    X, y, mask, _ = table
    group = zarr.open_group(tmp_path / "source.zarr", mode="w")
    for name, values in (("X", X), ("y", y), ("keep", mask)):
        group.create_array(name, data=values, chunks=(2_000, *values.shape[1:]))
    done = CliRunner().invoke(
        cli,
        ["run", str(tmp_path / "source.zarr"), str(tmp_path / "t.zarr"), "--size", "300",
         "--protect", "keep", "--protect", "class=7", "--workers", "1", "--json"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    coreset = open_coreset(tmp_path / "t.zarr")
    np.testing.assert_array_equal(protected(coreset), np.flatnonzero(mask | (y == 7)))
    told = json.loads(done.stdout)["parameters"]["protect"]
    assert told == {"column": "keep", "class": ["7"]}


def test_resume__refuses_another_mask(table, tmp_path, monkeypatch):
    X, y, mask, _ = table
    data = as_dataset(X, y)
    strategy = make_strategy("random")
    monkeypatch.setattr("dask_distill.pipeline.write_subset", _dies)
    with pytest.raises(RuntimeError, match="dies"):
        distill_to_zarr(data, tmp_path / "t", Request(strategy=strategy, size=200, protect=mask))
    monkeypatch.undo()
    other = mask.copy()
    other[np.flatnonzero(mask)[0]] = False
    other[np.flatnonzero(~mask)[0]] = True
    with pytest.raises(InputError, match="protect digest"):
        distill_to_zarr(
            data, tmp_path / "t", Request(strategy=strategy, size=200, protect=other), resume=True
        )
    coreset, _ = distill_to_zarr(
        data, tmp_path / "t", Request(strategy=strategy, size=200, protect=mask), resume=True
    )
    np.testing.assert_array_equal(protected(coreset), np.flatnonzero(mask))


def _dies(*_args, **_kwargs):
    raise RuntimeError("dies")


# ---------------------------------------------------------------- what was lost


def test_lost__names_dense_groups_without_a_row(table):
    X, y, mask, _ = table
    X, y = X.copy(), np.where(y == 7, 1, y)
    far = np.arange(0, N, 5)
    X[far] += 90
    y[far] = 0
    found = []
    for chunks in (1_300, N):
        # of the group far away every row is certain
        data = lazily(X, y, chunks)
        coreset = distill(*data, size=SIZE, strategy="entropy", protect=np.flatnonzero(mask)[:10])
        found.append(coreset.provenance["lost"])
    lost = found[0]
    assert found[1] == lost
    assert lost["groups_measured"] == 20
    away = [entry for entry in lost["groups"] if entry["near_row"] % 5 == 0]
    assert sum(entry["rows"] for entry in away) > 400
    assert {entry["label"] for entry in away} == {0}
    assert "groups" in shown(lost)
    json.dumps(lost)


def test_lost__classes_by_their_label(table):
    X, y, _, _ = table
    names = np.array(["a", "b", "c", "d", "e", "f", "g", "rare"])[y]
    coreset = distill(X, names, size=100, strategy="random", protect=np.flatnonzero(y != 7)[:100])
    assert coreset.provenance["lost"]["classes"] == ["rare"]
    assert shown(coreset.provenance["lost"]).startswith("no row of 1 class (rare)")


def test_lost__nothing_of_a_random_subset(table):
    X, y, _, _ = table
    lost = distill(X, y, size=1_500, strategy="stratified").provenance["lost"]
    assert (lost["classes"], lost["groups"]) == ([], [])
    assert shown(lost) == shown(None) == ""


def test_report__shows_what_is_lost_and_scores_of_protected_rows(table):
    X, y, mask, _ = table
    X = X.copy()
    X[::5, 0] += 200
    coreset = distill(X, y, size=150, strategy="entropy", protect=mask, seed=2)
    page = render(coreset)
    lost = shown(coreset.provenance["lost"])
    assert lost
    assert f"<li>Lost: {lost}.</li>" in page
    assert "nan" not in page.partition("<script>")[0].lower().replace("dominan", "")


@pytest.mark.parametrize("name", ["auto", "stratified", "combined"])
def test_floor__every_class_has_so_many_rows(table, name):
    X, y, _, _ = table
    coreset = distill(X, y, size=SIZE, strategy=name, options={"floor": 25})
    assert all(entry["selected"] >= 25 for entry in coreset.provenance["classes"])
    with pytest.raises(InputError, match="floor must be at least"):
        distill(X, y, size=SIZE, strategy=name, options={"floor": -1})
