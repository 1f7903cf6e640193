"""Fitted transformers of dask-ml as ``reduce=``, and what works in place."""

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask_ml import decomposition, preprocessing, wrappers
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_distill import InputError, distill
from dask_distill.strategies import KCenter

N = 9000


@pytest.fixture
def rows():
    X = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32) * [1, 2, 3, 4, 5]
    return X.astype(np.float32), (X[:, 0] > 0).astype(int)


TRANSFORMERS = {
    "StandardScaler": preprocessing.StandardScaler(),
    "MinMaxScaler": preprocessing.MinMaxScaler(),
    "RobustScaler": preprocessing.RobustScaler(),
    "QuantileTransformer": preprocessing.QuantileTransformer(),
    "PolynomialFeatures": preprocessing.PolynomialFeatures(2),
    "PCA": decomposition.PCA(2, svd_solver="tsqr"),
    "TruncatedSVD": decomposition.TruncatedSVD(2),
    "ParallelPostFit": wrappers.ParallelPostFit(StandardScaler()),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_reduce__takes_what_dask_ml_has_fitted(rows, name):
    X, y = rows
    kept = X.copy()
    # ParallelPostFit fits what it wraps, which takes no Dask arrays
    given = X if name == "ParallelPostFit" else da.from_array(X, chunks=(2000, 5))
    fitted = TRANSFORMERS[name].fit(given)
    one, other = (
        distill(values, y, size=60, strategy="kcenter", reduce=fitted)
        for values in (X, da.from_array(X, chunks=(777, 5)))
    )
    assert one.provenance["reduction"]["space"] == name
    assert np.array_equal(one.indices, other.indices)
    # StandardScaler and RobustScaler of dask-ml work in place
    for coreset in (one, other):
        assert np.array_equal(coreset.features.compute(), kept[coreset.indices])
    before = fitted.transform(da.from_array(kept.copy(), chunks=(2000, 5)))
    reduced = distill(before, y, size=60, strategy="kcenter")
    assert len(np.intersect1d(one.indices, reduced.indices)) >= 50


def doubled(rows, *labels):
    rows *= 2
    return rows if not labels else rows[:, 0] > 5


def scaled_model(X, y):
    return make_pipeline(StandardScaler(copy=False), LogisticRegression()).fit(X.copy(), y)


@pytest.mark.parametrize(
    "how",
    [
        {"reduce": doubled, "strategy": "kcenter"},
        {"strategy": KCenter(reduce=doubled)},
        {"proxy": True, "strategy": "auto"},
        {"protect": doubled, "strategy": "random"},
    ],
    ids=["reduce", "kcenter", "proxy", "protect"],
)
def test_rows__are_what_they_were_whatever_works_in_place(rows, how):
    X, y = rows
    kept = X.copy()
    how = how | ({"proxy": scaled_model(X, y)} if "proxy" in how else {})
    coreset = distill(X, y, size=200, **how)
    assert np.array_equal(X, kept)
    assert np.array_equal(coreset.features.compute(), kept[coreset.indices])


def test_frames__that_dask_ml_has_encoded_are_features():
    rng = np.random.default_rng(0)
    kinds = pd.Series(rng.choice(list("xyz"), 3000), dtype="object")
    frame = dd.from_pandas(pd.DataFrame({"a": kinds, "b": rng.normal(size=3000)}), npartitions=3)
    known = preprocessing.Categorizer().fit_transform(frame)
    for encoder in (preprocessing.DummyEncoder(), preprocessing.OrdinalEncoder()):
        encoded = encoder.fit_transform(known)
        coreset = distill(encoded, size=30, strategy="kcenter")
        assert coreset.features.shape == (30, encoded.shape[1])
        whole = encoded.compute().to_numpy(np.float64)
        assert np.array_equal(coreset.features.compute(), whole[coreset.indices])


@pytest.mark.parametrize("kind", ["Categorizer", "DummyEncoder", "OrdinalEncoder"])
def test_reduce__refuses_what_takes_frames(rows, kind):
    found = getattr(preprocessing, kind)()
    with pytest.raises(InputError, match=f"got a {kind}, which takes frames; give what it makes"):
        distill(rows[0], size=10, reduce=found)
