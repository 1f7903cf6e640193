"""Models that read mixed tables: how they see a column, and what they are worth on rows held out.

Neither sees how rows were encoded for a selection. What a column is for them is told by its type
and the rows to select from; what is learnt of it (categories, words, bins), by the selected rows.
"""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
from models import brier_score, log_loss, roc_auc
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MODELS = ("boosting", "logistic")
# strings of more distinct values are texts, where they have several words
_FEW = 40
_MOST_CATEGORIES = 200
_TEXT_DIMENSIONS = 20
_CYCLES = ("month", "day_of_week", "hour")


def numbers_in(table, name):
    """A column of numbers or booleans as floats with NaN."""
    values = table.column(name).to_pandas().astype("Float64")
    return values.to_numpy(float, na_value=np.nan)


class Columns:
    """What the columns of a table are for the models, and frames of them."""

    def __init__(self, table, label):
        self.numbers, self.dates, self.categories, self.texts = [], [], [], []
        for field in table.schema:
            if field.name != label:
                self._list_for(field.type, table.column(field.name)).append(field.name)

    def _list_for(self, kind, values):
        if pa.types.is_temporal(kind):
            return self.dates
        if not pa.types.is_string(kind) and not pa.types.is_large_string(kind):
            return self.numbers
        distinct = values.drop_null().unique().to_pylist()
        words = np.mean([len(value.split()) for value in distinct] or [0])
        return self.texts if len(distinct) > _FEW and words >= 2 else self.categories

    def frame(self, table):
        """Numbers and parts of dates as floats with NaN, the rest as text, "" where missing."""
        columns = {name: numbers_in(table, name) for name in self.numbers}
        for name in self.dates:
            when = pd.to_datetime(table.column(name).to_pandas())
            columns[name] = (when - pd.Timestamp("2000-01-01")) / pd.Timedelta("1D")
            for part in _CYCLES:
                columns[f"{name}.{part}"] = getattr(when.dt, part).astype(float)
        for name in (*self.categories, *self.texts):
            values = table.column(name).to_pandas().astype(object)
            columns[name] = values.where(values.notna(), "")
        return pd.DataFrame(columns)


def _boosting(columns, frame, test, n, seed):
    """Boosting that knows nulls and categories; texts in a few dimensions."""
    X, X_test = {}, {}
    for name in frame:
        train_values, test_values = frame[name], test[name]
        if name in columns.texts:
            for made, values in zip(
                (X, X_test), _dimensions(train_values, test_values), strict=True
            ):
                made.update({f"{name}.{j}": column for j, column in enumerate(values.T)})
        elif name in columns.categories:
            known = train_values.value_counts().index[:_MOST_CATEGORIES]
            for made, values in ((X, train_values), (X_test, test_values)):
                made[name] = pd.Categorical(values.where(values.isin(known)), known)
        else:
            X[name], X_test[name] = _binned(train_values.to_numpy(), test_values.to_numpy())
    model = HistGradientBoostingClassifier(
        categorical_features="from_dtype",
        max_iter=50,
        learning_rate=0.2,
        max_leaf_nodes=15,
        l2_regularization=2.0,
        early_stopping=False,
        min_samples_leaf=10 if n >= 1000 else 5,
        random_state=seed,
    )
    return model, "sample_weight", pd.DataFrame(X), pd.DataFrame(X_test)


def _binned(values, test_values):
    """Numbers as numbers of quantiles: scikit-learn 1.9 bins weighted rows slowly."""
    missing, test_missing = np.isnan(values), np.isnan(test_values)
    if missing.all():
        # a column without any value tells nothing
        return np.zeros(len(values)), np.zeros(len(test_values))
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, 256)[1:-1]))
    bins, test_bins = (np.searchsorted(edges, v, side="right") for v in (values, test_values))
    return np.where(missing, np.nan, bins), np.where(test_missing, np.nan, test_bins)


def _words(texts):
    return bool(texts.str.contains(r"\w").any())


def _dimensions(texts, test_texts):
    """Texts by latent semantic analysis."""
    if not _words(texts):
        return np.zeros((len(texts), 0)), np.zeros((len(test_texts), 0))
    words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+")
    X = words.fit_transform(texts)
    few = TruncatedSVD(min(_TEXT_DIMENSIONS, X.shape[1] - 1, len(texts) - 1), random_state=0)
    return few.fit_transform(X), few.transform(words.transform(test_texts))


def _logistic(columns, frame, test, n, seed):
    """Logistic regression on one-hot categories, TF-IDF of texts, and standardised numbers."""
    filled = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
    apart = {*columns.categories, *columns.texts}
    indicators = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist")
    parts = [
        ("numbers", make_pipeline(filled, StandardScaler()), [c for c in frame if c not in apart]),
        ("categories", indicators, columns.categories),
    ]
    texts = [name for name in columns.texts if _words(frame[name])]
    parts += [(t, TfidfVectorizer(sublinear_tf=True, token_pattern=r"\w+"), t) for t in texts]
    model = make_pipeline(
        ColumnTransformer(parts, sparse_threshold=1.0),
        LogisticRegression(C=1.0, max_iter=200, tol=1e-3),
    )
    return model, "logisticregression__sample_weight", frame, test


_MAKERS = {"boosting": _boosting, "logistic": _logistic}


def judged(name, columns, frame, labels, weights, test, test_labels, seed):
    """Accuracy, balanced accuracy, AUC, log loss and Brier score of a model on the test rows."""
    frame = frame.reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, weight, X, X_test = _MAKERS[name](columns, frame, test, len(labels), seed)
        if weights is None:
            model.fit(X, labels)
        else:
            model.fit(X, labels, **{weight: weights * (len(weights) / weights.sum())})
        P = model.predict_proba(X_test)
    right = model.classes_[P.argmax(axis=1)] == test_labels
    recalls = [right[test_labels == c].mean() for c in np.unique(test_labels)]
    probable = [f(P, model.classes_, test_labels) for f in (roc_auc, log_loss, brier_score)]
    return [round(float(v), 5) for v in (right.mean(), np.mean(recalls), *probable)]
