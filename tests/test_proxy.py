"""The proxy: probabilities are softmax's, in our order of classes, and the same in any block."""

import dataclasses
import os
import subprocess
import sys
from contextlib import ExitStack
from threading import Barrier, Thread

import numpy as np
import pandas as pd
import pytest
from dask_ml.wrappers import ParallelPostFit
from hypothesis import given, settings, strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_info, threadpool_limits

from dask_distill.data.blocks import RawBlock, as_features, tile_rows
from dask_distill.data.labels import as_labels
from dask_distill.errors import InputError
from dask_distill.kernels import scores as kernels
from dask_distill.proxy.estimator import check_estimator, use_estimator
from dask_distill.proxy.fitting import FOLDS, fit_ensemble, fit_softmax
from dask_distill.proxy.models import EnsembleProxy, SoftmaxProxy, score
from dask_distill.proxy.scaling import Scaling, tiles
from dask_distill.runtime.threads import single_threaded
from dask_distill.survey.survey import Survey


def schema_of(X, y=None, **options):
    block = RawBlock(number=0, start=0, X=as_features(X), y=None if y is None else as_labels(y))
    talk = Survey()
    question = talk.ask(len(X), block.X.shape[1], labelled=y is not None, seed=0, **options)
    return talk.advance(question, talk.answer(block, question))


def mixture(n=1500, d=5, C=4, seed=0, kind=np.float32):
    """Overlapping classes; features of different offsets and scales."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, C, n)
    X = rng.normal(size=(C, d))[y] * 1.5 + rng.normal(size=(n, d))
    return (X * np.geomspace(0.01, 1000, d) + np.arange(d)).astype(kind), y


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def judge(proxy, schema, X, rows=None):
    """Probabilities of a proxy for raw features."""
    rows = np.arange(len(X)) if rows is None else rows
    return proxy.probabilities(X, Scaling.of(schema)(X), rows)


@pytest.fixture(autouse=True)
def one_thread():
    with ExitStack() as stack:
        stack.enter_context(single_threaded())
        yield stack


# ---------------------------------------------------------------- the built-in models


@settings(deadline=None)
@given(
    st.integers(1, 30), st.integers(2, 20), st.integers(1, 6), st.sampled_from([0.1, 1, 100, 1e6])
)
def test_softmax_proxy__gives_the_softmax_of_its_logits(m, C, d, size):
    rng = np.random.default_rng(m)
    W, b = rng.normal(size=(C, d)).astype("f4"), rng.normal(size=C).astype("f4")
    Z = (rng.normal(size=(m, d)) * size).astype(np.float32)
    P = SoftmaxProxy(W, b).probabilities(Z, Z, np.arange(m))
    assert P.dtype == np.float32
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    exact = softmax(Z.astype(float) @ W.T.astype(float) + b)
    np.testing.assert_allclose(P, exact, atol=max(1e-5, 1e-6 * size))


@pytest.mark.parametrize("C", [2, 3, 10])
def test_fit_softmax__agrees_with_scikit_learn(C):
    X, y = mixture(C=C)
    schema = schema_of(X, y)
    Z = (X.astype(float) - X.mean(axis=0, dtype=float)) / X.std(axis=0, dtype=float)
    P = judge(fit_softmax(schema), schema, X)
    alike = LogisticRegression(tol=1e-3).fit(Z, y).predict_proba(Z)[:, schema.classes]
    np.testing.assert_allclose(P, alike, atol=0.03)
    converged = LogisticRegression(tol=1e-9, max_iter=5000).fit(Z, y)
    exact = converged.predict_proba(Z)[:, schema.classes]
    np.testing.assert_allclose(P, exact, atol=0.06)
    assert (P.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.98


@pytest.mark.parametrize("fit", [fit_softmax, fit_ensemble])
@pytest.mark.parametrize("seen", [[0], [0, 2], [0, 1, 2]])
def test_fit__a_class_that_the_sample_lacks_is_hardly_probable(fit, seen):
    X, y = mixture()
    schema = schema_of(X, y)
    keep = np.isin(schema.sample.codes, seen)
    sample = dataclasses.replace(
        schema.sample,
        rows=schema.sample.rows[keep],
        X=schema.sample.X[keep],
        codes=schema.sample.codes[keep],
    )
    partial = dataclasses.replace(schema, sample=sample)
    P = judge(fit(partial), partial, X)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    unseen = [code for code in range(4) if code not in seen]
    assert P[:, unseen].sum(axis=1).mean() < 0.01


@pytest.mark.parametrize("fit", [fit_softmax, fit_ensemble])
def test_fit__needs_labels(fit):
    X, _ = mixture(50)
    with pytest.raises(ValueError, match="must be labelled, got one without classes"):
        fit(schema_of(X))


@pytest.mark.parametrize("fit", [fit_softmax, fit_ensemble])
@pytest.mark.parametrize(
    "X",
    [
        np.zeros((2, 3)),
        np.full((2, 3), 1e30),
        np.array([[0.0], [1.0]]),
        np.array([[-1e300], [1e300]]),
    ],
    ids=["zeros", "huge constant", "two rows", "huge"],
)
def test_fit__bears_the_least_data_there_can_be(fit, X):
    schema = schema_of(X, np.array(["a", "b"]))
    P = judge(fit(schema), schema, X)
    assert np.isfinite(P).all()
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("fit", [fit_softmax, fit_ensemble])
@pytest.mark.parametrize("names", [np.array(["z", "m", "a", "k"]), np.array([40, -7, 3, 0])])
def test_fit__renaming_the_labels_changes_no_bit(fit, names):
    X, y = mixture()
    plain, renamed = schema_of(X, y), schema_of(X, names[y])
    assert names[plain.classes].tolist() == renamed.classes.tolist()
    assert judge(fit(plain), plain, X).tobytes() == judge(fit(renamed), renamed, X).tobytes()


@pytest.mark.parametrize("fit", [fit_softmax, fit_ensemble])
def test_fit__float32_and_float64_input_judge_alike(fit):
    X, y = mixture()
    narrow, wide = schema_of(X, y), schema_of(X.astype(np.float64), y)
    np.testing.assert_allclose(
        judge(fit(narrow), narrow, X), judge(fit(wide), wide, X.astype(np.float64)), atol=0.02
    )


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("offset", "unit"), [(0, 1), (1e6, 1), (1e30, 1e27), (0, 1e-40)])
def test_scaling__standardises_at_any_offset_and_unit(kind, offset, unit):
    X = (np.random.default_rng(0).normal(size=(5000, 3)) * unit + offset).astype(kind)
    Z = Scaling.of(schema_of(X))(X)
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z.mean(axis=0, dtype=float), 0, atol=1e-4)
    np.testing.assert_allclose(Z.std(axis=0, dtype=float), 1, rtol=1e-4)


@pytest.mark.parametrize("d", [1, 3, 64, 5000])
@pytest.mark.parametrize("rows", [0, 1, 63, 64, 200, 4096])
def test_scaling__rows_side_by_side_are_as_one_by_one_in_every_bit(rows, d):
    rng = np.random.default_rng(rows + d)
    X = rng.normal(3, 2, size=(rows, d)).astype(np.float32)
    scaling = Scaling(rng.normal(3, 1, d), rng.uniform(0.1, 2, d))
    expected = (X - scaling.mean.astype("f4")) * scaling.inverse.astype("f4")
    assert scaling(X).tobytes() == expected.tobytes()
    assert scaling(np.asfortranarray(X)).tobytes() == expected.tobytes()
    room = np.full((rows, 2 * d), np.nan, np.float32)
    assert scaling(X, out=room[:, ::2]).tobytes() == expected.tobytes()


def test_fit__runs_on_one_thread_in_a_process_that_has_not_loaded_scikit_learn():
    script = """
import sys
import numpy as np
from threadpoolctl import threadpool_info
from dask_distill.data.blocks import RawBlock
from dask_distill.proxy.fitting import fit_softmax
from dask_distill.survey.survey import Survey
from dask_distill.runtime.threads import single_threaded

X = np.random.default_rng(0).normal(size=(90, 3))
talk = Survey()
question = talk.ask(90, 3, labelled=True, seed=0)
answer = talk.answer(RawBlock(number=0, start=0, X=X, y=np.arange(90) % 3), question)
seen = []
with single_threaded():
    assert "sklearn" not in sys.modules
    from sklearn.linear_model import LogisticRegression
    fit = LogisticRegression.fit
    def watched(*args, **kwargs):
        seen.extend(pool["num_threads"] for pool in threadpool_info())
        return fit(*args, **kwargs)
    LogisticRegression.fit = watched
    fit_softmax(talk.advance(question, answer))
assert len(seen) >= 2, seen
assert set(seen) == {1}, seen
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr


def threads_of_pools():
    return {pool["num_threads"] for pool in threadpool_info()}


def test_single_threaded__holds_for_all_and_gives_back_what_was(one_thread):
    """Although the main thread has set the limit before, and is alive."""
    barrier, seen = Barrier(3), []

    def work():
        with single_threaded():
            barrier.wait(10)
            with single_threaded():
                seen.append(threads_of_pools())
            seen.append(threads_of_pools())
            barrier.wait(10)

    one_thread.close()
    with threadpool_limits(2):
        workers = [Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert threads_of_pools() == {2}
    assert seen == [{1}] * 6


# ---------------------------------------------------------------- the ensemble


def test_ensemble__a_row_of_the_sample_is_judged_by_the_fold_that_has_not_seen_it():
    X, y = mixture(1200)
    schema = schema_of(X, y, size=600)
    proxy = fit_ensemble(schema)
    assert len(proxy.members) == FOLDS
    assert np.array_equal(proxy.seen_rows, schema.sample.rows)
    # members that say who they are: the fold's number, and no feature
    marked = []
    for fold in range(FOLDS):
        intercepts = np.zeros(4, np.float32)
        intercepts[fold] = 50
        marked.append(SoftmaxProxy(np.zeros_like(proxy.members[0].weights), intercepts))
    P = judge(dataclasses.replace(proxy, members=tuple(marked)), schema, X)
    fold_of = np.full(1200, -1)
    fold_of[proxy.seen_rows] = proxy.seen_fold
    for fold in range(FOLDS):
        mine = P[fold_of == fold]
        np.testing.assert_allclose(mine, np.eye(4)[[fold] * len(mine)], atol=1e-6)
    strangers = P[fold_of == -1]
    assert len(strangers) == 600
    np.testing.assert_allclose(strangers[:, :FOLDS], 1 / FOLDS, rtol=1e-5)


def test_ensemble__members_learn_without_their_fold():
    """A label that no other row explains is known only to who has seen it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 60)).astype(np.float32), rng.integers(0, 2, 300)
    schema = schema_of(X, y)
    P = judge(fit_ensemble(schema), schema, X)
    own = (P.argmax(axis=1) == np.searchsorted([0, 1], y) ^ (schema.classes[0] == 1)).mean()
    assert 0.4 < own < 0.6
    seen = judge(fit_ensemble(schema), schema, X, rows=np.arange(300) + 10_000)
    right = (seen.argmax(axis=1) == np.searchsorted([0, 1], y) ^ (schema.classes[0] == 1)).mean()
    # not all: what does not help a fold that is not seen is not learnt to the end
    assert right > 0.65


def test_ensemble__folds_share_every_class_out():
    X, y = mixture(900)
    schema = schema_of(X, y)
    proxy = fit_ensemble(schema)
    for code in range(4):
        dealt = np.bincount(proxy.seen_fold[schema.sample.codes == code], minlength=FOLDS)
        assert dealt.max() - dealt.min() <= 1


def test_ensemble__sees_what_a_plane_cannot_divide():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(2000, 2)).astype(np.float32)
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    schema = schema_of(X, y)
    codes = (y != schema.classes[0]).astype(int)
    assert (judge(fit_softmax(schema), schema, X).argmax(axis=1) == codes).mean() < 0.65
    assert (judge(fit_ensemble(schema), schema, X).argmax(axis=1) == codes).mean() > 0.9


def test_fit_ensemble__takes_little_memory_for_many_features():
    """All differences of 200 rows to 200 others would take 1.9 GB."""
    import tracemalloc

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 6000)).astype(np.float32), np.arange(60) % 2
    schema = schema_of(X, y)
    tracemalloc.start()
    assert isinstance(fit_ensemble(schema), EnsembleProxy)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6


@pytest.mark.parametrize("d", [5, 700])
@pytest.mark.parametrize("fit", [fit_softmax, fit_ensemble])
def test_fit__takes_no_more_for_thousands_of_classes_and_scores_neither(fit, d):
    """At 5,000 classes all weights took 1.9 GB, ten steps of them remembered."""
    import tracemalloc

    from dask_distill.proxy.fitting import fit_bytes

    C = 5_000
    rng = np.random.default_rng(0)
    X = rng.normal(size=(C, d)).repeat(2, axis=0) * 3 + rng.normal(size=(2 * C, d)) * 0.1
    X, y = X.astype(np.float32), np.repeat(np.arange(C), 2)
    schema = schema_of(X, y)
    tracemalloc.start()
    proxy = fit(schema)
    _, peak = tracemalloc.get_traced_memory()
    assert peak < fit_bytes(2 * C, d, C) < fit_bytes(2 * C, d, 10) + 500e6
    tracemalloc.reset_peak()
    scores = every_score(proxy, schema, X, y)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300e6
    assert np.isfinite(scores["gradient"]).all()


def test_fit__many_classes_are_told_apart_along_fewer_axes(monkeypatch):
    """Features stand for those along random directions, where weights would be too many."""
    from dask_distill.proxy import fitting

    C, d = 80, 200
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(C, d)).repeat(30, axis=0) * 2 + rng.normal(size=(30 * C, d))).astype("f4")
    schema = schema_of(X, np.repeat(np.arange(C), 30))
    whole = fit_ensemble(schema)
    monkeypatch.setattr(fitting, "_MOST_WEIGHTS", 3 * C * 150)
    fewer = fit_ensemble(schema)
    assert whole.axes is None
    assert whole.frequencies.shape == (d, 600)
    assert fewer.axes.shape[1] + fewer.frequencies.shape[1] == 149
    monkeypatch.setattr(fitting, "_MOST_WEIGHTS", C * 100)
    codes = np.repeat(np.arange(C), 30)
    for proxy in (whole, fewer, fit_softmax(schema)):
        assert (judge(proxy, schema, X).argmax(axis=1) == codes).mean() > 0.95


def test_score__of_an_ensemble_is_the_same_in_smaller_tiles(monkeypatch):
    X, y = mixture(9_000)
    schema = schema_of(X, y)
    proxy = fit_ensemble(schema)
    whole = every_score(proxy, schema, X, y)
    monkeypatch.setattr("dask_distill.proxy.models._MOST_PROBABILITIES", 2_000)
    smaller = every_score(proxy, schema, X, y)
    for name, values in whole.items():
        assert values.tobytes() == smaller[name].tobytes(), name


# ---------------------------------------------------------------- scores in tiles


def every_score(proxy, schema, X, y, start=0):
    codes = None if y is None else (y.astype(np.int32))
    rows = np.arange(start, start + len(X))
    return score(proxy, Scaling.of(schema), X, rows, codes)


def test_tiles__cut_a_block_into_equal_parts():
    for count in (0, 1, 4095, 4096, 9000):
        got = [(tile.start, tile.stop) for tile in tiles(count, 10)]
        assert got == [(a, min(a + 4096, count)) for a in range(0, count, 4096)]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("fit", [fit_softmax, fit_ensemble])
def test_score__is_the_same_in_any_block_that_starts_at_a_tile(fit, kind):
    d = 1500
    tile = tile_rows(d)
    X, y = mixture(6 * tile, d, kind=kind)
    schema = schema_of(X, y, size=200)
    proxy = fit(schema)
    whole = every_score(proxy, schema, X, y)
    for first, last in [(0, 1), (1, 3), (2, 6), (5, 6)]:
        part = slice(first * tile, last * tile)
        scores = every_score(proxy, schema, X[part], y[part], start=part.start)
        for name, values in scores.items():
            assert values.tobytes() == whole[name][part].tobytes(), name


def test_score__equals_the_kernels_and_needs_no_labels():
    X, y = mixture(5000)
    schema = schema_of(X, y)
    codes = np.argsort(schema.classes)[y]
    proxy = fit_softmax(schema)
    P, Z = judge(proxy, schema, X), Scaling.of(schema)(X)
    got = every_score(proxy, schema, X, codes)
    for name, expected in {
        "entropy": kernels.entropy(P),
        "margin": kernels.margin(P),
        "doubt": 1 - P.max(axis=1),
        "el2n": kernels.el2n(P, codes),
        "gradient": kernels.gradient_norm(P, codes, Z),
        "trust_gap": kernels.trust_gap(P, codes),
    }.items():
        assert got[name].dtype == np.float32
        np.testing.assert_allclose(got[name], expected, rtol=1e-3, atol=1e-5)
    assert set(every_score(proxy, schema, X, None)) == {"entropy", "margin", "doubt"}
    assert all(len(v) == 0 for v in every_score(proxy, schema, X[:0], codes[:0]).values())


# ---------------------------------------------------------------- the user's estimator


@pytest.mark.parametrize("names", [[0, 1, 2, 3], ["d", "b", "a", "c"], [3, -1, 7, 0]])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_use_estimator__brings_its_columns_into_our_order(names, kind):
    X, y = mixture(400, kind=kind)
    labels = np.array(names)[y]
    model = GaussianNB().fit(X, labels)
    schema = schema_of(X, labels)
    P = judge(use_estimator(model, schema), schema, X)
    for code, label in enumerate(schema.classes):
        column = model.classes_.tolist().index(label)
        np.testing.assert_allclose(P[:, code], model.predict_proba(X)[:, column], rtol=1e-6)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
def test_use_estimator__takes_classes_in_an_order_that_is_not_sorted(order):
    class Permuted:
        classes_ = np.array(order)

        def predict_proba(self, X):
            return np.tile(self.classes_ / 6.0, (len(X), 1))

    X, y = mixture(40)
    schema = schema_of(X, y)
    P = judge(use_estimator(Permuted(), schema), schema, X)
    np.testing.assert_allclose(P, np.tile(schema.classes / 6, (40, 1)), rtol=1e-6)


def test_use_estimator__takes_labels_of_other_types_that_are_equal():
    X, y = mixture(200, C=2)
    model = GaussianNB().fit(X, y.astype(float))
    for labels in (y, y.astype(bool), y.astype(np.uint8), y.astype(object)):
        schema = schema_of(X, labels)
        assert judge(use_estimator(model, schema), schema, X).shape == (200, 2)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda: ParallelPostFit(LogisticRegression(max_iter=2000)),
        lambda: make_pipeline(StandardScaler(), LogisticRegression()),
        lambda: GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1e-3]}, cv=2),
        lambda: RFE(RandomForestClassifier(5, random_state=0), n_features_to_select=2),
        lambda: CalibratedClassifierCV(GaussianNB(), cv=2),
        lambda: RandomForestClassifier(5, random_state=0),
    ],
)
def test_use_estimator__wrappers_judge_as_they_do_by_themselves(wrap):
    X, y = mixture(300)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float64)
    schema = schema_of(X, y)
    model = wrap().fit(X, y)
    check_estimator(model)
    P = judge(use_estimator(model, schema), schema, X)
    np.testing.assert_allclose(P, model.predict_proba(X)[:, schema.classes], rtol=1e-6, atol=1e-7)


def test_use_estimator__takes_a_fitted_model_in_an_unfitted_parallel_post_fit():
    X, y = mixture(300)
    model = GaussianNB().fit(X, y)
    schema = schema_of(X, y)
    got = use_estimator(ParallelPostFit(model), schema)
    assert got.estimator is model


def test_use_estimator__prefers_calibration_to_what_it_calibrates():
    X, y = mixture(300)
    inner = GaussianNB().fit(X, y)
    model = CalibratedClassifierCV(FrozenEstimator(inner)).fit(X, y)
    schema = schema_of(X, y)
    P = judge(use_estimator(model, schema), schema, X)
    np.testing.assert_allclose(P, model.predict_proba(X)[:, schema.classes], rtol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        GaussianNB(),
        LinearSVC(),
        ParallelPostFit(GaussianNB()),
        GridSearchCV(GaussianNB(), {}),
        "auto",
        GaussianNB,
        CalibratedClassifierCV(GaussianNB().fit([[0.0], [1.0]], [0, 1])),
        SVC().fit([[0.0], [1.0]], [0, 1]),
    ],
    ids=lambda e: type(e).__name__,
)
def test_use_estimator__refuses_what_is_not_fitted(estimator):
    X, y = mixture(50)
    for check in (check_estimator, lambda e: use_estimator(e, schema_of(X, y))):
        with pytest.raises(InputError, match="must be a fitted estimator with predict_proba, got"):
            check(estimator)


def test_use_estimator__refuses_other_classes_and_says_which():
    X, y = mixture(100)
    schema = schema_of(X, np.array(["a", "b", "c", "d"])[y])
    fewer = GaussianNB().fit(X, np.array(["a", "b", "c", "c"])[y])
    with pytest.raises(InputError, match=r"3 classes for 4 in the data \(missing: \['d'\]\)"):
        use_estimator(fewer, schema)
    with pytest.raises(InputError, match="4 classes for 4 in the data"):
        use_estimator(GaussianNB().fit(X, y), schema)
    more = GaussianNB().fit(np.r_[X, X[:9]], np.r_[np.array(["a", "b", "c", "d"])[y], ["e"] * 9])
    with pytest.raises(InputError, match="5 classes for 4"):
        use_estimator(more, schema)


def test_use_estimator__refuses_several_outputs():
    X, y = mixture(100)
    model = RandomForestClassifier(3, random_state=0).fit(X, np.c_[y, y])
    with pytest.raises(InputError, match="must have one output, got an estimator with 2"):
        use_estimator(model, schema_of(X, y))
    ragged = RandomForestClassifier(3, random_state=0).fit(X, np.c_[y, y // 2])
    with pytest.raises(InputError, match="must have one output, got an estimator with 2"):
        use_estimator(ragged, schema_of(X, y))


def test_use_estimator__refuses_other_features():
    X, y = mixture(100)
    with pytest.raises(InputError, match="the data's 5 features, got an estimator fitted on 2"):
        use_estimator(GaussianNB().fit(X[:, :2], y), schema_of(X, y))


def test_use_estimator__without_labels_keeps_its_own_order():
    X, y = mixture(100)
    model = GaussianNB().fit(X, y)
    schema = schema_of(X)
    P = judge(use_estimator(model, schema), schema, X)
    np.testing.assert_allclose(P, model.predict_proba(X), rtol=1e-6)
    with pytest.raises(InputError, match="at least two classes"):
        use_estimator(GaussianNB().fit(X, np.zeros(100)), schema)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda P: P[:, :3], r"shape \(100, 4\), got \(100, 3\)"),
        (lambda P: P[:50], r"shape \(100, 4\), got \(50, 4\)"),
        (lambda P: P[:, 0], r"shape \(100, 4\), got \(100,\)"),
        (lambda P: np.where(P > 0.9, np.nan, P), "from 0 to 1, got values from nan"),
        (lambda P: P * 3, "from 0 to 1, got values from"),
        (lambda P: P - 0.5, "from 0 to 1, got values from -0.5"),
    ],
)
def test_use_estimator__refuses_answers_that_are_no_probabilities(answer, problem):
    class Wrong(GaussianNB):
        def predict_proba(self, X):
            return answer(super().predict_proba(X))

    X, y = mixture(100)
    schema = schema_of(X, y)
    proxy = use_estimator(Wrong().fit(X, y), schema)
    with pytest.raises(InputError, match=problem):
        judge(proxy, schema, X)


def test_use_estimator__takes_a_frame_for_an_answer():
    class Framed(GaussianNB):
        def predict_proba(self, X):
            return pd.DataFrame(super().predict_proba(X))

    X, y = mixture(100)
    schema = schema_of(X, y)
    assert judge(use_estimator(Framed().fit(X, y), schema), schema, X).shape == (100, 4)
