"""Reductions of the user's own: a fitted transformer, or a function."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.spaces.fitted import Applied, Transform
from dask_distill.spaces.reductions import Reduction
from dask_distill.survey.schema import Schema

# of dask-ml
_OF_FRAMES = ("Categorizer", "DummyEncoder", "OrdinalEncoder")


@dataclass(frozen=True)
class Transformer(Reduction):
    """A fitted transformer of the user's, with ``transform``."""

    estimator: Any

    name: ClassVar[str] = "transformer"
    fills: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """The class's name."""
        return type(self.estimator).__name__

    @property
    def code(self) -> Any:
        """The estimator."""
        return self.estimator

    def check(self, dataset: Dataset) -> None:
        """Fitted, and on as many features."""
        from sklearn.exceptions import NotFittedError
        from sklearn.utils.validation import check_is_fitted

        if self.label in _OF_FRAMES and type(self.estimator).__module__.startswith("dask_ml."):
            raise InputError(
                f"reduce must work on arrays of numbers, got a {self.label}, which takes frames; "
                "give what it makes of the frame as features"
            )
        # of others than scikit-learn's, only their answers tell
        if hasattr(self.estimator, "get_params") and hasattr(self.estimator, "fit"):
            try:
                check_is_fitted(self.estimator)
            except NotFittedError:
                raise InputError(
                    f"reduce must be a fitted transformer, got a {self.label} that is not fitted; "
                    'call its fit first, or use reduce="pca:32"'
                ) from None
        features = getattr(self.estimator, "n_features_in_", dataset.d)
        if features != dataset.d:
            raise InputError(
                f"reduce must know the data's {dataset.d} features, got a {self.label} fitted on "
                f"{features}; fit it on these features"
            )

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> Applied:
        """Nothing but to see what it makes of the sample."""
        return Applied.tried(Transform(self.estimator), schema, (schema.d,), self.label)

    def describe(self) -> dict[str, Any]:
        """Its parameters, if they are plain."""
        return {"name": self.name, "class": self.label}


@dataclass(frozen=True)
class Function(Reduction):
    """A function of the user's: (m, ...) rows of a block as they are in the source -> (m, p)."""

    function: Callable[[Any], Any]

    name: ClassVar[str] = "function"
    fills: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """Its name."""
        inner = self.function.func if isinstance(self.function, partial) else self.function
        return str(getattr(inner, "__qualname__", type(inner).__name__))

    @property
    def code(self) -> Any:
        """The function."""
        return self.function

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> Applied:
        """Nothing but to see what it makes of the sample."""
        return Applied.tried(self.function, schema, shape, self.label)

    def describe(self) -> dict[str, Any]:
        """By name: functions cannot be compared."""
        return {"name": self.name, "function": self.label}
