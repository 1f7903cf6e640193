"""Features in fewer dimensions: what may be asked for, and how it is fitted.

A `Reduction` is what the user asks for. Fitted on the survey's sample it becomes a `Reducer`,
which travels to the blocks. Knows nothing of Dask; `dask_distill.spaces.reduce` takes it there.
"""

from dataclasses import MISSING, asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np

from dask_distill.data.blocks import block_bounds
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.kernels.projection import (
    forward,
    principal_components,
    random_directions,
    singular_directions,
    squared_error,
)
from dask_distill.kernels.streams import Generator
from dask_distill.proxy.scaling import Scaling
from dask_distill.runtime.threads import single_threaded
from dask_distill.spaces.autoencoder import fit_autoencoder, require_torch
from dask_distill.spaces.fitted import FittedAutoencoder, Linear, Reducer
from dask_distill.support.options import Interval, OneOf, check_options, option
from dask_distill.survey.schema import Schema

# rows of more features are fitted in float32: their float64 copy would be too large
_EXACT_FEATURES = 4096
_COUNT = Interval(1, kind="int")
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

    def __post_init__(self) -> None:
        check_options(self, f"reduce={self.name}: {{}}")

    @property
    def fits_all_rows(self) -> bool:
        """Whether it is fitted on all rows, not on the sample: see `spaces.whole`."""
        return False

    def meeting_bytes(self, n: int, d: int) -> int:
        """What one worker takes to fit it, beside the sample."""
        return 0

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

    components: int = option(MISSING, _COUNT)
    scale: str = option("standard", OneOf("standard", "none"))

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
class Directions(Sized):
    """Base of those that keep orthonormal directions, found in a sample or in all rows.

    All rows go through dask-ml's `TruncatedSVD`, block by block: its `PCA` would hold all of them
    in memory. Blocks are cut at fixed multiples of the row number, so that the bits do not change
    with the chunks of the input.
    """

    rows: str = option("sample", OneOf("sample", "all"))

    reconstructs: ClassVar[bool] = True

    @property
    def label(self) -> str:
        """As on the command line."""
        return f"{super().label}:all" if self.fits_all_rows else super().label

    @property
    def fits_all_rows(self) -> bool:
        """As asked for."""
        return self.rows == "all"

    def meeting_bytes(self, n: int, d: int) -> int:
        """A triangle of each block, and what their decomposition takes."""
        return 3 * 8 * d * d * len(block_bounds(n, d)) if self.fits_all_rows else 0

    def describe(self) -> dict[str, Any]:
        """Of rows nothing is told where it is the sample."""
        found = super().describe()
        return found if self.fits_all_rows else {k: v for k, v in found.items() if k != "rows"}

    def check(self, dataset: Dataset) -> None:
        """No more directions than rows, either."""
        super().check(dataset)
        if self.components > dataset.n:
            raise InputError(
                f"reduce={self.label} must keep at most as many directions as there are rows "
                f"({dataset.n}), got {self.components}; lower it"
            )
        if self.fits_all_rows and self.components == dataset.d:
            raise InputError(
                f"reduce={self.label} must keep fewer than the {dataset.d} features there are, "
                f"got {self.components}; lower it"
            )

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> Linear:
        """On the sample."""
        if self.components > len(schema.sample.X):
            raise InputError(
                f"reduce={self.label} must keep at most as many directions as the sample has rows "
                f"({len(schema.sample.X)}), got {self.components}; lower it"
            )
        scaling = self.scaling(schema)
        Z = scaling(schema.sample.X)
        exact = Z.astype(np.float64) if Z.shape[1] <= _EXACT_FEATURES else Z
        return self.found(scaling, *self.directions(exact, schema.seed), len(Z))

    def directions(self, Z: Any, seed: int) -> tuple[Any, Any]:
        """(p, d) directions of scaled rows, and the part of their squares that each has."""
        raise NotImplementedError

    def found(self, scaling: Scaling, components: Any, parts: Any, rows: int) -> Linear:
        """What is applied to blocks."""
        raise NotImplementedError


@dataclass(frozen=True)
class PCA(Directions):
    """The directions in which the rows vary most.

    Fitted on the survey's sample of some 10,000 rows, in one thread, by scikit-learn; or on all
    rows, for one more pass over the data.

    Parameters
    ----------
    components : int
        Features to keep.
    scale : "standard" or "none"
        Whether each feature is divided by its standard deviation first: for columns of
        different units. With "none" the features must be in one unit, e.g. pixels.
    rows : "sample" or "all"
        What it is fitted on.

    Examples
    --------
    >>> PCA(32).label, PCA(32, rows="all").label
    ('pca:32', 'pca:32:all')
    """

    name: ClassVar[str] = "pca"

    def directions(self, Z: Any, seed: int) -> tuple[Any, Any]:
        """Of the correlations, or covariances."""
        return principal_components(Z, self.components, seed)

    def found(self, scaling: Scaling, components: Any, parts: Any, rows: int) -> Linear:
        """With the part of the variance."""
        told = {"explained_variance": round(float(parts.sum()), 6), "fitted_on": rows}
        return Linear(scaling, components, True, told)


@dataclass(frozen=True)
class SVD(Directions):
    """The directions along which rows are longest, from where all features are 0.

    As `PCA`, but without taking the mean off: for counts and n-grams, of which most are 0.

    Parameters
    ----------
    components : int
        Features to keep.
    scale : "standard" or "none"
        As for `PCA`.
    rows : "sample" or "all"
        What it is fitted on.

    Examples
    --------
    >>> SVD(32).label, SVD(32, rows="all").label
    ('svd:32', 'svd:32:all')
    """

    name: ClassVar[str] = "svd"

    def scaling(self, schema: Schema) -> Scaling:
        """Features as far from 0 as they are."""
        made = super().scaling(schema)
        return replace(made, mean=np.zeros_like(made.mean))

    def directions(self, Z: Any, seed: int) -> tuple[Any, Any]:
        """Of the second moments."""
        return singular_directions(Z, self.components, seed)

    def found(self, scaling: Scaling, components: Any, parts: Any, rows: int) -> Linear:
        """With the part of the squares, which is not one of the variance."""
        told = {"explained_squares": round(float(parts.sum()), 6), "fitted_on": rows}
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

    hidden: int = option(256, _COUNT)
    epochs: int = option(40, _COUNT)

    name: ClassVar[str] = "autoencoder"
    reconstructs: ClassVar[bool] = True
    fits_at_home: ClassVar[bool] = True

    def check(self, dataset: Dataset) -> None:
        """PyTorch must be here."""
        super().check(dataset)
        require_torch()

    def fit(self, schema: Schema, shape: tuple[int, ...]) -> FittedAutoencoder:
        """On nine tenths of the sample; the rest tells how well rows are made again."""
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
        return FittedAutoencoder(scaling, encoder, decoder, told)
