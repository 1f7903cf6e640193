"""Features as networks like them, and back: values that come out are of the kind that went in.

Knows NumPy and SciPy. A column of few values becomes one number for each value, any other one the
normal score of its weighted rank.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from dask_distill.errors import InputError

Float32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_MOST_CATEGORIES = 10
_MOST_LEVELS = 200
# a value must come this often, on average, to count as one of a few
_ROWS_PER_LEVEL = 5


@dataclass(frozen=True, eq=False)
class EncodedColumn:
    """One feature.

    Attributes
    ----------
    values : (v,) float64 array
        Those that occur, ascending.
    ranks : (2 v,) float64 array
        Where a value begins and ends on the scale from 0 to 1 that numbers are drawn from.
    one_hot : bool
        Whether each value is a category with a number of its own.
    few : bool
        Whether only values that occur may come out.
    whole : bool
        Whether all values are whole numbers.
    """

    values: Floats
    ranks: Floats
    one_hot: bool
    few: bool
    whole: bool

    @classmethod
    def of(cls, x: npt.NDArray[np.floating], weights: Floats) -> "EncodedColumn":
        """How one column is told, from its rows and their weights."""
        values, place, counts = np.unique(
            x.astype(np.float64), return_inverse=True, return_counts=True
        )
        mass = np.bincount(place, weights=weights) / weights.sum()
        middle = np.cumsum(mass) - mass / 2
        # a value of one row is a point, of many rows nearly its whole share of the scale
        half = (mass - mass / counts) / 2
        few = len(values) * _ROWS_PER_LEVEL <= len(x)
        return cls(
            values,
            np.column_stack([middle - half, middle + half]).ravel(),
            one_hot=few and 2 <= len(values) <= _MOST_CATEGORIES,
            few=few and len(values) <= _MOST_LEVELS,
            whole=bool((values == np.rint(values)).all()),
        )

    @property
    def width(self) -> int:
        """How many numbers it becomes."""
        if len(self.values) == 1:
            return 0
        return len(self.values) if self.one_hot else 1

    def encode(self, x: npt.NDArray[np.floating]) -> Float32:
        """(m, width) numbers: +1 for the value and −1 for others, or a normal score."""
        if self.width == 0:
            return np.empty((len(x), 0), np.float32)
        if self.one_hot:
            return np.where(x[:, None] == self.values, 1, -1).astype(np.float32)
        middle = self.ranks.reshape(-1, 2).mean(axis=1)
        scores: Float32 = ndtri(np.interp(x, self.values, middle))[:, None].astype(np.float32)
        return scores

    def decode(self, z: Float32) -> Floats:
        """(m,) values of the column's kind, within its range."""
        if self.width == 0:
            return np.full(len(z), self.values[0])
        if self.one_hot:
            return self.values[np.argmax(z, axis=1)]
        x = np.interp(ndtr(z[:, 0].astype(np.float64)), self.ranks, np.repeat(self.values, 2))
        if self.few:
            return self.values[np.argmin(np.abs(x[:, None] - self.values), axis=1)]
        # zero has no sign among whole numbers
        return np.rint(x) + 0.0 if self.whole else x


@dataclass(frozen=True, eq=False)
class Encoder:
    """All columns of a table.

    Examples
    --------
    >>> X = np.column_stack([np.arange(100.0) / 7, np.arange(100) % 3])
    >>> encoder = Encoder.fit(X, np.ones(100))
    >>> encoder.width, encoder.categories
    (4, ((1, 4),))
    >>> bool(np.allclose(encoder.decode(encoder.encode(X)), X))
    True
    """

    columns: tuple[EncodedColumn, ...]

    @classmethod
    def fit(cls, X: npt.NDArray[np.floating], weights: npt.ArrayLike) -> "Encoder":
        """From (n, d) features and the (n,) weights of the rows.

        Raises
        ------
        InputError
            Where a value is NaN or infinite, or no column varies.
        """
        share = np.asarray(weights, np.float64)
        if not np.isfinite(X).all():
            bad = int((~np.isfinite(X)).any(axis=1).sum())
            raise InputError(
                f"features must be finite, got {bad} rows with NaN or infinite values; clean them"
            )
        encoder = cls(tuple(EncodedColumn.of(x, share) for x in X.T))
        if encoder.width == 0:
            raise InputError(
                "features must have a column that varies, got none; nothing can be learnt from "
                "constant ones"
            )
        return encoder

    @property
    def width(self) -> int:
        """Numbers of an encoded row."""
        return sum(column.width for column in self.columns)

    @property
    def edges(self) -> list[int]:
        """Where each column's numbers begin, and where the last ones end."""
        return [0, *np.cumsum([column.width for column in self.columns]).tolist()]

    @property
    def categories(self) -> tuple[tuple[int, int], ...]:
        """Which encoded numbers stand for the values of one column."""
        edges = self.edges
        return tuple(
            (edges[number], edges[number + 1])
            for number, column in enumerate(self.columns)
            if column.one_hot and column.width
        )

    def encode(self, X: npt.NDArray[np.floating]) -> Float32:
        """(n, width) numbers of about unit size."""
        parts = [column.encode(x) for column, x in zip(self.columns, X.T, strict=True)]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))

    def decode(self, Z: Float32) -> Floats:
        """(n, d) features again."""
        edges = self.edges
        return np.column_stack(
            [
                column.decode(Z[:, edges[number] : edges[number + 1]])
                for number, column in enumerate(self.columns)
            ]
        )


def as_source(X: Floats, dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Rows in the type and the shape of the source's."""
    if dtype.kind == "b":
        return (X > 0.5).reshape(len(X), *shape)
    if dtype.kind in "iu":
        X = np.rint(X)
    return X.astype(dtype).reshape(len(X), *shape)
