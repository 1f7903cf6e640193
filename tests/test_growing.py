"""Data that grows: old rows are not read again, and what is selected is as if they were."""

import os
import signal

import dask
import dask.array as da
import numpy as np
import pytest

from dask_distill import InputError, distill, grow, open_coreset
from dask_distill.growing.start import summary_of
from dask_distill.kernels.nearest import nearest_center
from dask_distill.storage import group as store

N = 8_000
SAMPLED = ["auto", "coverage", "hierarchical", "kmeans", "kmedoids", "random", "strata"]


@pytest.fixture(scope="module")
def rows(labelled):
    return labelled.X[:N], labelled.names[:N]


def cuts(*edges):
    return list(zip((0, *edges), (*edges, N), strict=True))


def grown(X, y, batches, **options):
    """A subset of all batches, one after the other."""
    coreset = None
    for start, stop in batches:
        part = (X[start:stop], None if y is None else y[start:stop])
        coreset = grow(*part, **options) if coreset is None else coreset.update(*part)
    return coreset


def same(one, other):
    return (
        np.array_equal(one.indices, other.indices)
        and np.array_equal(one.weights, other.weights)
        and np.array_equal(one.features.compute(), other.features.compute())
    )


def radius(X, coreset):
    return float(np.sqrt(nearest_center(X, X[coreset.indices])[1].max()))


@pytest.mark.parametrize("strategy", SAMPLED)
def test_update__batches_give_the_rows_and_weights_of_all_at_once(rows, strategy):
    X, y = rows
    once = grown(X, y, [(0, N)], size=60, strategy=strategy)
    many = grown(X, y, cuts(2_500, 2_600, 5_000, 7_999), size=60, strategy=strategy)
    assert same(once, many)
    assert np.array_equal(many.features.compute(), X[many.indices])
    assert np.array_equal(many.labels.compute(), y[many.indices])
    assert many.weights.sum() == pytest.approx(N)
    counts = {entry["label"]: entry["rows"] for entry in many.provenance["classes"]}
    assert counts == dict(zip(*np.unique(y, return_counts=True), strict=True))


@pytest.mark.parametrize(
    "options", [{"fraction": 0.02}, {"size": 60, "window": 3_000}, {"size": 60, "half_life": 900.0}]
)
def test_update__any_batches_any_rule_of_what_counts(rows, options):
    X, y = rows
    once = grown(X, y, [(0, N)], strategy="stratified", **options)
    many = grown(X, y, cuts(1_000, 4_000, 6_000), strategy="stratified", **options)
    assert same(once, many)


def test_window__only_its_rows_count(rows):
    coreset = grown(*rows, cuts(3_000, 6_000), size=50, window=2_000)
    assert len(coreset) == 50
    assert coreset.indices.min() >= N - 2_000
    assert coreset.provenance["rows"] == 2_000
    assert coreset.weights.sum() == pytest.approx(2_000)
    assert sum(entry["rows"] for entry in coreset.provenance["classes"]) == pytest.approx(2_000, 3)


def test_half_life__recent_rows_have_the_larger_part(rows):
    X, _ = rows
    coreset = grown(X, None, cuts(4_000), size=400, half_life=1_000.0, strategy="random")
    part = coreset.weights[coreset.indices >= N - 1_000].sum() / coreset.weights.sum()
    # of 1 + 1/2 + 1/4 + ..., the last half-life has a half
    assert part == pytest.approx(0.5, abs=0.08)


def test_half_life__classes_weigh_what_they_are(rows):
    X, _ = rows
    y = (np.arange(N) % 100 == 0).astype(int)
    coreset = grown(X, y, cuts(3_000), size=300, half_life=2_000.0, strategy="stratified")
    share = coreset.weights[coreset.labels.compute() == 1].sum() / N
    aged = np.exp2((np.arange(N) - N) / 2_000.0)
    assert share == pytest.approx((aged * y).sum() / aged.sum(), abs=0.008)


def test_half_life__however_short_every_weight_is_above_0(rows, tmp_path):
    coreset = grown(*rows, cuts(4_000), size=200, half_life=5.0)
    assert coreset.weights.min() > 0
    coreset.to_zarr(tmp_path / "subset.zarr")
    assert store.verify(tmp_path / "subset.zarr").ok


@pytest.mark.parametrize("window", [500, 5_000])
def test_window__never_fewer_rows_than_asked_for(rows, window):
    X, y = rows
    coreset = None
    for start in range(0, N, 250):
        batch = (X[start : start + 250], y[start : start + 250])
        options = {"size": 60, "window": window, "oversample": 1.0}
        coreset = grow(*batch, **options) if coreset is None else coreset.update(*batch)
        assert len(coreset) == 60


def test_fraction__of_few_rows_leaves_some(rows):
    coreset = grow(rows[0][:5], fraction=0.01, strategy="random")
    assert len(coreset) == 1
    assert len(coreset.update(rows[0][5:1000])) == 10


@pytest.mark.parametrize("strategy", ["auto", "stratified"])
def test_update__rows_come_sorted_by_class(rows, strategy):
    X, _ = rows
    y = np.arange(N) // 3_000
    many = grown(X, y, cuts(2_000, 4_000), size=60, strategy=strategy)
    assert same(many, grown(X, y, [(0, N)], size=60, strategy=strategy))
    first = grow(X[:2_000], y[:2_000], size=60, strategy=strategy)
    assert first.provenance["classes"] == [{"label": 0, "rows": 2_000, "selected": 60}]
    assert np.array_equal(first.labels.compute(), np.zeros(60))


def test_update__rare_classes_get_about_their_share(rows):
    X, _ = rows
    y = (np.arange(N) % 100 == 0).astype(int)
    coreset = grown(X, y, cuts(4_000), size=20, strategy="stratified")
    assert coreset.labels.compute().sum() <= 2


@pytest.mark.parametrize("order", ["random", "sorted"])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_kcenter__the_bound_holds_and_the_radius_is_near_that_of_one_run(order, metric):
    rng = np.random.default_rng(3)
    X = (rng.normal(size=(20, 8))[rng.integers(0, 20, N)] * 4 + rng.normal(size=(N, 8))).astype(
        "f4"
    )
    if order == "sorted":
        X = X[np.argsort(X[:, 0])]
    options = {"metric": metric}
    many = grown(X, None, cuts(*range(400, N, 400)), size=80, strategy="kcenter", options=options)
    once = distill(X, size=80, strategy="kcenter", options=options, certify=True)
    Z = X / np.linalg.norm(X, axis=1, keepdims=True) if metric == "cosine" else X
    measured = radius(Z, many)
    assert measured <= many.certificate.radius * (1 + 1e-6)
    assert many.certificate.lower_bound <= once.certificate.radius
    assert not many.certificate.measured
    assert measured <= 1.15 * once.certificate.radius
    assert many.weights.sum() == pytest.approx(N)
    # what is kept is bounded, however many batches come
    assert len(many.summary.rows) <= 800


def test_kcenter__weights_are_the_rows_that_came(rows):
    X, _ = rows
    many = grown(X, None, cuts(3_000), size=20, strategy="kcenter", oversample=400.0)
    # where all rows are kept, each is counted for the selected row nearest to it
    assert len(many.summary.rows) == N
    nearest, _ = nearest_center(X, X[many.indices])
    assert np.array_equal(many.weights, np.bincount(nearest, minlength=20))
    assert many.certificate.radius == pytest.approx(radius(X, many))


def test_update__old_rows_are_not_read_again(rows, tmp_path):
    X, y = rows
    reads = []

    def source(start, stop):
        def read():
            reads.append((start, stop))
            return X[start:stop]

        part = dask.delayed(read, pure=False)()
        return da.from_delayed(part, (stop - start, X.shape[1]), X.dtype)

    target = tmp_path / "subset.zarr"
    for start, stop in cuts(4_000, 6_000):
        batch = (source(start, stop), y[start:stop])
        coreset = open_coreset(target).update(*batch) if start else grow(*batch, size=50)
        coreset.to_zarr(target, overwrite=start > 0)
        # once to see what there is, once for the rows that are kept
        assert set(reads) == {(start, stop)}
        assert len(reads) <= 2
        reads.clear()


def test_summary__is_stored_and_read_with_the_subset(rows, tmp_path):
    X, y = rows
    target = tmp_path / "subset.zarr"
    hours = np.datetime64("2024-01-01") + np.arange(N).astype("m8[h]")
    carry = {"id": np.array([f"row {i}" for i in range(N)])}

    def batch(start, stop):
        return {
            "carry": {"id": carry["id"][start:stop]},
            "time": hours[start:stop],
        }

    kept = grow(X[:3_000], y[:3_000], size=50, **batch(0, 3_000))
    kept.to_zarr(target)
    stored = open_coreset(target)
    assert store.verify(target).ok
    assert store.verify(target).rows == 50
    more = (X[3_000:], y[3_000:])
    one, other = (each.update(*more, **batch(3_000, N)) for each in (kept, stored))
    assert same(one, other)
    assert np.array_equal(other.carry["id"].compute(), carry["id"][other.indices])
    assert np.array_equal(other.carry["time"].compute(), hours[other.indices])
    assert other.summary.dataset.time_name == "time"
    # the kept rows are checked as the selected ones are
    chunk = next(f for f in (target / "summary" / "X" / "c").rglob("*") if f.is_file())
    chunk.write_bytes(b"")
    assert any("summary/X" in problem for problem in store.verify(target).problems)


def test_update__of_a_subset_that_was_selected_once(rows):
    X, y = rows
    first = distill(X[:5_000], y[:5_000], size=200, strategy="random")
    coreset = first.update(X[5_000:], y[5_000:])
    assert len(coreset) == 200
    assert coreset.weights.sum() == pytest.approx(N)
    assert coreset.provenance["rows"] == N
    # as fine as the rows that are left of the first batch: one for 25
    part = np.mean(coreset.indices >= 5_000)
    assert part == pytest.approx(3 / 8, abs=0.12)
    centers = distill(X[:5_000], size=100, strategy="kcenter")
    assert centers.update(X[5_000:]).certificate is None
    certified = distill(X[:5_000], size=100, strategy="kcenter", certify=True).update(X[5_000:])
    assert radius(X, certified) <= certified.certificate.radius


def test_update__rare_classes_are_kept_and_found(rows):
    X, _ = rows
    y = np.zeros(N, np.int64)
    y[[10, 5_001]] = 1
    y[N // 2 :: 2] = 2
    coreset = grown(X, y, cuts(2_000, 4_000), size=40)
    assert set(coreset.labels.compute()) == {0, 1, 2}
    rare = coreset.weights[coreset.labels.compute() == 1].sum()
    assert rare == pytest.approx(2, rel=1e-3)


def test_update__invalid_rows_are_left_out_and_counted(rows):
    X, y = rows
    X = X.copy()
    X[[5, 6_000]] = np.nan
    coreset = grown(X, y, cuts(4_000), size=50, on_invalid="drop")
    assert coreset.provenance["rows"] == N - 2
    assert coreset.provenance["rows_dropped"] == 2
    with pytest.raises(InputError, match="NaN"):
        grown(X, y, cuts(4_000), size=50)


def test_update__few_rows_and_then_more(rows):
    X, y = rows
    coreset = grow(X[:30], y[:30], size=50)
    assert len(coreset) == 30
    assert len(coreset.update(X[30:], y[30:])) == 50


@pytest.mark.parametrize("strategy", ["auto", "kcenter"])
def test_update__same_bits_on_workers_that_die(rows, local_client, strategy):
    X, y = rows
    expected = grown(X, y, cuts(4_000), size=60, strategy=strategy)
    client = local_client(workers=2)
    first = grow(X[:4_000], y[:4_000], size=60, strategy=strategy)
    # the kept rows are on the workers: what the dead one had must come from somewhere
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    found = first.update(X[4_000:], y[4_000:])
    assert same(found, expected)


def test_update__a_batch_that_does_not_fit_is_refused(rows):
    X, y = rows
    coreset = grow(X[:100], y[:100], size=10)
    for batch, sentence in (
        ((X[:10, :3], y[:10]), "features of shape"),
        ((X[:10].astype("f8"), y[:10]), "features of type"),
        ((X[:10], None), "labels True"),
        ((X[:10], np.arange(10)), "labels of a batch must be like that before it"),
    ):
        with pytest.raises(InputError, match=sentence):
            coreset.update(*batch)
    with pytest.raises(InputError, match="carried arrays"):
        coreset.update(X[:10], y[:10], carry={"id": np.arange(10)})
    # these would become floats, and lose their last digits
    known = grow(X[:100], y[:100], size=10, carry={"id": np.arange(100, dtype=np.uint64)})
    for other in (np.arange(10), np.arange(10.0)):
        with pytest.raises(InputError, match="carry id of a batch must be like that before it"):
            known.update(X[:10], y[:10], carry={"id": other})


@pytest.mark.parametrize("balance", ["equal", "sqrt"])
def test_update__classes_are_balanced_as_in_one_run(rows, balance):
    X, _ = rows
    y = (np.arange(N) % 100 == 0).astype(int)
    options = {"balance": balance}
    many = grown(X, y, cuts(3_000, 5_000), size=100, options=options)
    assert same(many, grown(X, y, [(0, N)], size=100, options=options))
    once = distill(X, y, size=100, options=options)
    assert many.labels.compute().sum() == pytest.approx(once.labels.compute().sum(), abs=4)


def test_grow__numbers_of_numpys_are_as_good_as_pythons(rows, tmp_path):
    X, y = rows
    coreset = grow(X[:500], y[:500], size=np.int64(20), half_life=np.float32(300))
    coreset.to_zarr(tmp_path / "subset.zarr")
    assert open_coreset(tmp_path / "subset.zarr").summary.settings == coreset.summary.settings


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strategy": "gradient"}, "cannot follow data that grows"),
        ({"strategy": "dbscan"}, "cannot follow data that grows"),
        ({"window": 5}, "window must be a number of rows, at least size 10, got 5"),
        ({"window": 50, "half_life": 5.0}, "at most one of window and half_life"),
        ({"half_life": 0.0}, "half_life must be a number of rows above 0"),
        ({"oversample": 0.5}, "oversample must be a number from 1 to 1000"),
        ({"oversample": 1.5, "strategy": "kcenter"}, "oversample must be at least 2 for kcenter"),
        ({"window": 50, "on_invalid": "drop"}, "on_invalid must be"),
        ({"window": 50, "strategy": "kcenter"}, "need a strategy that samples"),
        ({"strategy": "kcenter", "options": {"scale": "standard"}}, "option scale of kcenter"),
        ({"size": 0}, "size must be from 1"),
        ({"fraction": 0.5}, "exactly one of fraction and size"),
        ({"size": None, "fraction": 0.5, "window": 50}, "needs a subset of fixed size"),
    ],
)
def test_grow__what_cannot_work_is_refused(rows, options, sentence):
    X, y = rows
    with pytest.raises(InputError, match=sentence):
        grow(X[:100], y[:100], **{"size": 10} | options)


def test_update__a_subset_of_another_kind_is_refused(rows):
    X, y = rows
    for options in ({"reduce": "pca:2"}, {"protect": np.arange(3)}):
        with pytest.raises(InputError, match="selected without"):
            distill(X[:500], y[:500], size=20, **options).update(X[500:600], y[500:600])
    numbers = distill(X[:500], X[:500, 0], size=20, task="regression", strategy="random")
    with pytest.raises(InputError, match="task 'regression'"):
        numbers.update(X[500:600])


def test_summary__says_what_it_is(rows):
    X, y = rows
    summary = grow(X[:500], y[:500], size=10).summary
    assert repr(summary).startswith("Summary(")
    assert summary_of(grow(X[:500], y[:500], size=10)).n == 500
