"""Features in fewer dimensions: what may be asked for, and how it is fitted.

A `Reduction` is what the user asks for. Fitted on the survey's sample it becomes a `Reducer`,
which travels to the blocks. Knows nothing of Dask; `dask_distill.spaces.reduce` takes it there.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.kernels.projection import (
    forward,
    principal_components,
    random_directions,
    squared_error,
)
from dask_distill.kernels.streams import Generator
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.threads import single_threaded
from dask_distill.spaces.autoencoder import fit_autoencoder, require_torch
from dask_distill.spaces.fitted import Applied, Linear, Network, Reducer, Transform
from dask_distill.survey.schema import Schema

# rows of more features are fitted in float32: their float64 copy would be too large
_EXACT_FEATURES = 4096
# part of the sample that the autoencoder is judged on, and not fitted to
_JUDGED = 0.1


@dataclass(frozen=True)
class Reduction:
    """Base of all reductions; what they need to know is in their fields."""

    name: ClassVar[str]
    # whether rows can be made again from their reduced form, so that novelty can be measured
    reconstructs: ClassVar[bool] = False
    # whether it is the user's own, and may fill in what is missing
    fills: ClassVar[bool] = False
    # whether fitting needs more than workers are sure to have
    fits_at_home: ClassVar[bool] = False

    def check(self, dataset: Dataset) -> None:
        """Refuse what cannot work, without reading a row.

        Raises
        ------
        InputError
        """

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> Reducer:
        """On the survey's sample; ``shape`` is that of a row in the source."""
        raise NotImplementedError

    @property
    def code(self) -> Any:
        """What of it is the user's own, which no parameter tells; None for ours."""
        return None

    @property
    def label(self) -> str:
        """Short form, for the certificate."""
        return self.name

    @property
    def width(self) -> int | None:
        """Features of a row afterwards, where that is known before."""
        return None

    def describe(self) -> dict[str, Any]:
        """Name and parameters, JSON-able."""
        return {"name": self.name} | asdict(self)


@dataclass(frozen=True)
class Sized(Reduction):
    """Base of the reductions to a given number of features."""

    components: int
    scale: str = "standard"

    def __post_init__(self) -> None:
        _check_count(f"{self.name}: components", self.components)
        if self.scale not in ("standard", "none"):
            raise InputError(
                f'reduce={self.name}: scale must be "standard" or "none", got {self.scale!r}'
            )

    @property
    def label(self) -> str:
        """As on the command line."""
        return f"{self.name}:{self.components}"

    @property
    def width(self) -> int:
        """What was asked for."""
        return int(self.components)

    def check(self, dataset: Dataset) -> None:
        """No more features than there are."""
        if self.components > dataset.d:
            raise InputError(
                f"reduce={self.label} must keep at most the {dataset.d} features there are, got "
                f"{self.components}; lower it"
            )

    def scaling(self, schema: Schema) -> Scaling:
        """Features of mean 0; each divided by its standard deviation unless they are not."""
        made = Scaling.of(schema)
        if self.scale == "none":
            made = replace(made, inverse=np.ones_like(made.inverse))
        return made


@dataclass(frozen=True)
class PCA(Sized):
    """The directions in which the rows vary most.

    Fitted on the survey's sample of some 10,000 rows, in one thread, by scikit-learn: the PCA
    of dask-ml works on all rows, but its bits change with the chunks, and so would the
    selected rows.

    Parameters
    ----------
    components : int
        Features to keep.
    scale : "standard" or "none"
        Whether each feature is divided by its standard deviation first: for columns of
        different units. With "none" the features must be in one unit, e.g. pixels.

    Examples
    --------
    >>> PCA(32).label
    'pca:32'
    """

    name: ClassVar[str] = "pca"
    reconstructs: ClassVar[bool] = True

    def check(self, dataset: Dataset) -> None:
        """No more directions than rows, either."""
        super().check(dataset)
        if self.components > dataset.n:
            raise InputError(
                f"reduce={self.label} must keep at most as many directions as there are rows "
                f"({dataset.n}), got {self.components}; lower it"
            )

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> Linear:
        """Of the sample's correlations, or covariances."""
        assert schema.sample is not None
        if self.components > len(schema.sample.X):
            raise InputError(
                f"reduce={self.label} must keep at most as many directions as the sample has rows "
                f"({len(schema.sample.X)}), got {self.components}; lower it"
            )
        scaling = self.scaling(schema)
        Z = scaling(schema.sample.X)
        exact = Z.astype(np.float64) if Z.shape[1] <= _EXACT_FEATURES else Z
        components, explained = principal_components(exact, self.components, schema.seed)
        told = {
            "explained_variance": round(float(explained.sum()), 6),
            "fitted_on": len(Z),
        }
        return Linear(scaling, components, True, told)


@dataclass(frozen=True)
class RandomProjection(Sized):
    """Random directions, the same for the same seed: cheap, and no direction is favoured.

    Keeps distances to some per cent where components are hundreds (Johnson and Lindenstrauss);
    says nothing of which features matter.

    Parameters
    ----------
    components : int
    scale : "standard" or "none"
        As for `PCA`.

    Examples
    --------
    >>> RandomProjection(64).label
    'random-projection:64'
    """

    name: ClassVar[str] = "random-projection"

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> Linear:
        """Drawn, not fitted."""
        directions = random_directions(schema.d, self.components, schema.seed)
        return Linear(self.scaling(schema), directions, False, {})


@dataclass(frozen=True)
class Autoencoder(Sized):
    """A small network that learns to make each row again from few numbers.

    Fitted on the survey's sample with PyTorch (the extra ``torch``), in the process that calls
    `distill`; the workers apply its weights with NumPy, and need no PyTorch.

    Parameters
    ----------
    components : int
    scale : "standard" or "none"
        As for `PCA`; with "none" features should be of the order of 1.
    hidden : int
        Units between the features and the few numbers.
    epochs : int
        How many times each row of the sample is seen.

    Examples
    --------
    >>> Autoencoder(32).describe()["hidden"]
    256
    """

    hidden: int = 256
    epochs: int = 40

    name: ClassVar[str] = "autoencoder"
    reconstructs: ClassVar[bool] = True
    fits_at_home: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_count("autoencoder: hidden", self.hidden)
        _check_count("autoencoder: epochs", self.epochs)

    def check(self, dataset: Dataset) -> None:
        """PyTorch must be here."""
        super().check(dataset)
        require_torch()

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> Network:
        """On nine tenths of the sample; the rest tells how well rows are made again."""
        assert schema.sample is not None
        scaling = self.scaling(schema)
        with single_threaded():
            Z = scaling(schema.sample.X)
            rng = np.random.default_rng([schema.seed, Generator.AUTOENCODER])
            order = rng.permutation(len(Z))
            judged = order[: int(_JUDGED * len(Z))]
            encoder, decoder = fit_autoencoder(
                Z[order[len(judged) :]],
                self.components,
                hidden=self.hidden,
                epochs=self.epochs,
                seed=schema.seed,
            )
            held = Z[judged] if len(judged) else Z
            error = squared_error(held, forward(forward(held, encoder), decoder))
            told = {
                "reconstruction_error": round(float(error.mean(dtype=np.float64)), 6),
                # what the mean of all rows would have as an error
                "variance": round(float(np.square(held, dtype=np.float64).mean()), 6),
                "fitted_on": len(Z) - len(judged),
                "judged_on": len(held),
            }
        return Network(scaling, encoder, decoder, told)


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


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"reduce={name} must be an int of at least 1, got {value!r}")
