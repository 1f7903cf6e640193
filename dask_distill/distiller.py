"""`distill` as an estimator with ``fit_resample``, in the manner of imbalanced-learn."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_feature_names,
    check_array,
    check_consistent_length,
    column_or_1d,
)

from dask_distill.errors import InputError
from dask_distill.pipeline import distill
from dask_distill.survey.validity import OnInvalid


class Distiller(OneToOneFeatureMixin, BaseEstimator):  # type: ignore[misc]
    """Select rows worth training on, by ``fit_resample(X, y)``.

    A thin wrapper of `dask_distill.distill`. What comes in as NumPy, pandas or a list comes out as
    such; dask arrays and DataFrames stay lazy, and are read where they are. Rows keep their values
    and their order.

    Weights: ``fit_resample`` returns X and y alone, and so a pipeline of imbalanced-learn passes
    no weights on to its last step. They are in ``sample_weight_``: outside of a pipeline give them
    to the model's ``fit``. Inside one take a strategy whose rows count nearly alike, such as
    "stratified", or "auto" where the model takes no weights anyway.

    Parameters
    ----------
    fraction : float, optional
        Part of the rows to select, 0 < fraction <= 1; 0.1 unless this or ``size`` is given.
    size : int, optional
        Rows to select instead.
    strategy : str or Strategy
        As for `dask_distill.distill`.
    options : dict, optional
        Options of the strategy that is given by name.
    random_state : int or numpy.random.RandomState, optional
        The seed; None is 0, the same rows each time.
    on_invalid : "raise", "drop" or "fill", optional
        As for `dask_distill.distill`: rows with NaN or infinite values end it, unless X is a frame
        with text, categories or dates, whose missing values are filled in for the selection.

    Attributes
    ----------
    sample_indices_ : (k,) int64 array
        Rows that were selected, ascending.
    sample_weight_ : (k,) float32 array
        The share of the data that each stands for; they sum to the number of rows.
    sampling_strategy_ : dict of int
        Rows that were selected, by class.
    coreset_ : Coreset
        Scores, provenance, ``report`` and ``to_zarr`` of the selection.
    n_features_in_ : int
    feature_names_in_ : (d,) object array
        Where X has column names that are strings.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 3))
    >>> y = np.where(X[:, 0] > 0, "yes", "no")
    >>> distiller = Distiller(size=50)
    >>> X_selected, y_selected = distiller.fit_resample(X, y)
    >>> X_selected.shape, y_selected.dtype, float(distiller.sample_weight_.sum().round())
    ((50, 3), dtype('<U3'), 1000.0)
    """

    def __init__(
        self,
        *,
        fraction: float | None = None,
        size: int | None = None,
        strategy: Any = "auto",
        options: Mapping[str, Any] | None = None,
        random_state: Any = None,
        on_invalid: OnInvalid | None = None,
    ) -> None:
        self.fraction = fraction
        self.size = size
        self.strategy = strategy
        self.options = options
        self.random_state = random_state
        self.on_invalid = on_invalid

    def fit(self, X: Any, y: Any) -> "Distiller":
        """Select rows; `fit_resample` returns them, too.

        Parameters
        ----------
        X : (n, d) array, DataFrame or list, also of dask
        y : (n,) array, Series or list

        Returns
        -------
        Distiller
            This one.
        """
        self._select(X, y)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Select rows.

        Parameters
        ----------
        X : (n, d) array, DataFrame or list
            Numbers; a DataFrame may have any columns. A dask array or DataFrame stays one.
        y : (n,) array, Series, DataFrame of one column, or list
            Class labels; also as (n, C) indicators of one class a row.

        Returns
        -------
        X_resampled, y_resampled
            The selected rows, of the types that were given.

        Raises
        ------
        ValueError
            For labels that are no classes, and values that are no numbers.
        InputError
            Which is a ValueError, for parameters that cannot be used.
        """
        self._select(X, y)
        return _taken(X, self.coreset_), _taken(y, self.coreset_, labels=True)

    def _select(self, X: Any, y: Any) -> None:
        features, labels = X, y
        if not _is_lazy(X) and not _is_mixed(X):
            # a frame of sparse columns is taken as the dense one that it stands for
            dense = X.sparse.to_dense() if hasattr(X, "sparse") else X
            features = check_array(
                dense,
                dtype="numeric",
                estimator=self,
                input_name="X",
                ensure_all_finite=self.on_invalid != "drop",
            )
        _check_feature_names(self, X._meta if hasattr(X, "to_dask_array") else X, reset=True)
        width = int(features.shape[1]) if len(features.shape) > 1 else 1
        if y is None:
            raise InputError(
                "Distiller requires y to be passed, but the target y is None; for rows without "
                "labels use distill"
            )
        if not _is_lazy(y):
            labels = _checked_labels(y)
            if not _is_lazy(X):
                check_consistent_length(features, labels)
        fraction = self.fraction
        if fraction is None and self.size is None:
            fraction = 0.1
        self.n_features_in_ = width
        self.coreset_ = distill(
            features,
            labels,
            fraction=fraction,
            size=self.size,
            strategy=self.strategy,
            options=self.options,
            seed=_seed(self.random_state),
            on_invalid=self.on_invalid,
        )
        self.sample_indices_: npt.NDArray[np.int64] = self.coreset_.indices
        self.sample_weight_: npt.NDArray[np.float32] = self.coreset_.weights
        self.sampling_strategy_ = {
            entry["label"]: entry["selected"] for entry in self.coreset_.provenance["classes"]
        }

    def __sklearn_tags__(self) -> Any:
        plain = super().__sklearn_tags__()
        plain.target_tags.required = True
        plain.target_tags.one_d_labels = True
        # its own tags have a place for samplers, and whoever asks for it has imported it
        if "imblearn" not in sys.modules:
            plain.estimator_type = "sampler"
            return plain
        from imblearn.utils._tags import InputTags, SamplerTags, Tags

        tags = Tags(
            estimator_type="sampler",
            target_tags=plain.target_tags,
            transformer_tags=None,
            classifier_tags=None,
            regressor_tags=None,
            sampler_tags=SamplerTags(sample_indices=True),
        )
        tags.input_tags = InputTags(two_d_array=True, dataframe=True)
        return tags


def _is_lazy(values: Any) -> bool:
    return hasattr(values, "__dask_graph__")


def _is_mixed(values: Any) -> bool:
    """Whether this is a frame with columns that are no numbers: it is taken as the table it is."""
    kinds = getattr(values, "dtypes", None)
    if kinds is None or not hasattr(values, "iloc"):
        return False
    return any(getattr(kind, "kind", "O") not in "biufcO" or _is_text(kind) for kind in kinds)


def _is_text(kind: Any) -> bool:
    """Of pandas, text and categories: objects alone may be numbers."""
    sparse = hasattr(kind, "subtype")
    return not isinstance(kind, np.dtype) and getattr(kind, "kind", "O") == "O" and not sparse


def _seed(state: Any) -> int:
    if state is None:
        return 0
    if isinstance(state, np.random.RandomState):
        return int(state.randint(2**31))
    if isinstance(state, bool) or not isinstance(state, int | np.integer):
        raise InputError(
            f"random_state must be an int, a numpy.random.RandomState or None, got {state!r}"
        )
    return int(state)


def _checked_labels(y: Any) -> Any:
    """(n,) labels; class numbers for indicators of one class a row."""
    check_classification_targets(y)
    kind = type_of_target(y)
    if kind.startswith("multilabel") or kind.endswith("multioutput"):
        indicators = np.asarray(y)
        if kind != "multilabel-indicator" or np.any(indicators.sum(axis=1) != 1):
            raise InputError(
                "Multilabel and multioutput targets are not supported: y must have one class a "
                f"row, got {kind}"
            )
        return indicators.argmax(axis=1)
    labels = column_or_1d(y)
    if len(np.unique(labels)) < 2:
        raise InputError(
            "y must have at least two classes, got one class; for rows without labels use distill"
        )
    return labels


def _taken(values: Any, coreset: Any, *, labels: bool = False) -> Any:
    """The selected ones of what was given, as the same type."""
    if hasattr(values, "to_dask_array"):
        return coreset.take(values)
    if _is_lazy(values):
        return coreset.labels if labels else coreset.features
    if isinstance(values, list):
        return [values[row] for row in coreset.indices]
    return (values.iloc if hasattr(values, "iloc") else np.asarray(values))[coreset.indices]
