"""`Distiller` behaves as scikit-learn and imbalanced-learn expect of a sampler."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import estimator_checks_generator

from dask_distill import Distiller, InputError, distill
from dask_distill.strategies import Stratified


def checked(case):
    """The name of what scikit-learn checks."""
    return getattr(case[1], "func", case[1]).__name__


# none is expected to fail
@pytest.mark.parametrize("case", list(estimator_checks_generator(Distiller())), ids=checked)
def test_scikit_learn__checks(case):
    estimator, check = case
    check(clone(estimator))


def imblearn_checks():
    checks = pytest.importorskip("imblearn.utils.estimator_checks")
    return list(checks.estimator_checks_generator(Distiller(fraction=0.3)))


def test_imbalanced_learn__checks():
    names = []
    for estimator, check in imblearn_checks():
        names.append(check.func.__name__)
        check(estimator)
    assert "check_target_type" in names
    assert "check_samplers_sample_indices" in names
    assert len(names) > 12


@pytest.fixture(scope="module")
def frame(labelled):
    X = pd.DataFrame(labelled.X[:2000], columns=list("abcdef"), index=np.arange(2000)[::-1])
    return X, pd.Series(labelled.names[:2000], name="kind", index=X.index)


def test_fit_resample__selects_what_distill_does(labelled):
    X, y = labelled.X[:2000], labelled.names[:2000]
    distiller = Distiller(size=100, strategy="strata", options={"strata": 5}, random_state=3)
    X_selected, y_selected = distiller.fit_resample(X, y)
    coreset = distill(X, y, size=100, strategy="strata", options={"strata": 5}, seed=3)
    assert np.array_equal(distiller.sample_indices_, coreset.indices)
    assert np.array_equal(distiller.sample_weight_, coreset.weights)
    assert np.array_equal(X_selected, X[coreset.indices])
    assert np.array_equal(y_selected, y[coreset.indices])
    assert sum(distiller.sampling_strategy_.values()) == 100
    assert distiller.n_features_in_ == 6


def test_fit_resample__frames_stay_frames_and_keep_their_index(frame):
    X, y = frame
    distiller = Distiller(size=50, strategy="random")
    X_selected, y_selected = distiller.fit_resample(X, y)
    assert X_selected.equals(X.iloc[distiller.sample_indices_])
    assert y_selected.equals(y.iloc[distiller.sample_indices_])
    assert distiller.feature_names_in_.tolist() == list("abcdef")
    distiller.fit_resample(X.to_numpy(), y.to_numpy())
    assert not hasattr(distiller, "feature_names_in_")


def test_fit_resample__dask_stays_lazy(labelled, frame):
    X, y = frame
    distiller = Distiller(size=50, strategy=Stratified())
    rows = distiller.fit(X, y).sample_indices_
    lazy = da.from_array(X.to_numpy(), chunks=(300, -1)), da.from_array(y.to_numpy(str), chunks=300)
    found = distiller.fit_resample(*lazy)
    assert all(isinstance(each, da.Array) for each in found)
    assert np.array_equal(distiller.sample_indices_, rows)
    assert np.array_equal(found[0].compute(), X.iloc[rows])
    tables = (
        dd.from_pandas(X, npartitions=3, sort=False),
        dd.from_pandas(y, npartitions=3, sort=False),
    )
    found = distiller.fit_resample(*tables)
    assert isinstance(found[0], dd.DataFrame)
    assert isinstance(found[1], dd.Series)
    assert np.array_equal(found[0].compute(), X.iloc[rows])
    assert found[1].compute().tolist() == y.iloc[rows].tolist()
    assert distiller.feature_names_in_.tolist() == list("abcdef")


def test_clone_and_parameters():
    distiller = Distiller(size=7, strategy="kcenter", options={"exact": True}, random_state=1)
    again = clone(distiller)
    assert again.get_params() == distiller.get_params()
    assert again.set_params(size=8).size == 8


def test_random_state__may_be_a_generator(labelled):
    X, y = labelled.X[:500], labelled.y[:500]
    state = np.random.RandomState(0)
    one, two = (
        Distiller(size=20, strategy="random", random_state=state).fit(X, y).sample_indices_
        for _ in range(2)
    )
    assert not np.array_equal(one, two)
    with pytest.raises(InputError, match="random_state must be an int"):
        Distiller(random_state="x").fit(X, y)


def test_pipeline__of_imbalanced_learn_trains_on_the_selected_rows(labelled):
    pipeline = pytest.importorskip("imblearn.pipeline")
    X, y = labelled.X[:3000], labelled.y[:3000]
    steps = pipeline.make_pipeline(
        Distiller(fraction=0.1, strategy="stratified"), DecisionTreeClassifier(random_state=0)
    )
    steps.fit(X, y)
    assert len(steps[0].sample_indices_) == 300
    by_hand = DecisionTreeClassifier(random_state=0)
    by_hand.fit(X[steps[0].sample_indices_], y[steps[0].sample_indices_])
    assert np.array_equal(steps.predict(X), by_hand.predict(X))


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"fraction": 2}, "fraction must be above 0 and at most 1"),
        ({"fraction": 0.5, "size": 3}, "exactly one of fraction and size"),
        ({"strategy": "best"}, "strategy must be one of"),
    ],
)
def test_fit_resample__refuses_in_one_sentence(labelled, parameters, sentence):
    with pytest.raises(InputError, match=sentence):
        Distiller(**parameters).fit_resample(labelled.X[:100], labelled.y[:100])
    with pytest.raises(InputError, match="Distiller requires y"):
        Distiller().fit_resample(labelled.X[:100], None)


def test_fit_resample__leaves_invalid_rows_out_where_it_is_told_to(labelled):
    X, y = labelled.X[:500].copy(), labelled.y[:500]
    X[7, 1], X[9, 0] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        Distiller(size=490).fit_resample(X, y)
    distiller = Distiller(size=498, on_invalid="drop").fit(X, y)
    assert np.array_equal(distiller.sample_indices_, np.delete(np.arange(500), [7, 9]))
