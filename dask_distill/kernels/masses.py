"""Rows counted as often as they stand for one, and drawn by it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.hashing import row_hash, row_keys
from dask_distill.kernels.ranking import Keys, ascending_keys, scores_of
from dask_distill.kernels.sampling import uniforms

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]


def counted(
    groups: npt.NDArray[np.integer[Any]], number: int, mass: Floats | None = None
) -> Counts:
    """Count the rows of each group, each as often as it stands for one.

    Parameters
    ----------
    groups : (n,) int array
        Group numbers, 0 <= group < number.
    number : int
    mass : (n,) float64 array of whole numbers, optional
        1 a row where not given. All masses of a data set sum to less than 2**53, so that every
        sum is exact.

    Returns
    -------
    (number,) int64 array.

    Examples
    --------
    >>> counted(np.array([0, 2, 2]), 3, np.array([5.0, 1.0, 2.0]))
    array([5, 0, 3])
    """
    return np.bincount(groups, mass, minlength=number).astype(np.int64)


def draw_keys(rows: Rows, seed: int, *, stream: int, mass: Floats | None = None) -> Any:
    """Key to draw each row by, the lowest first: with chances in proportion to the masses.

    Sequential Poisson sampling: of uniform numbers over masses, the lowest are drawn.

    Parameters
    ----------
    rows, seed, stream : as for `row_hash`
    mass : (n,) float64 array > 0, optional
        All rows have the same chance where not given.

    Returns
    -------
    (n,) uint32 array.

    References
    ----------
    Ohlsson (1998), Sequential Poisson sampling.
    """
    if mass is None:
        return row_keys(rows, seed, stream=stream)
    uniform = uniforms(row_hash(rows, seed, stream=stream))
    return ascending_keys((uniform / mass).astype(np.float32))


def sure_masses(keys: Keys, some: npt.NDArray[np.bool_]) -> Floats:
    """Find the masses from which on rows were sure to be drawn, up to a key of `draw_keys`.

    Parameters
    ----------
    keys : (G,) uint32 array
        Of the last row drawn of each group.
    some : (G,) bool array
        Whether the group has rows that were not drawn.

    Returns
    -------
    (G,) float64 array
        0 where all were drawn: then nobody has others to stand for.
    """
    drawn = some & (keys > 0)
    return np.rint(1 / np.where(drawn, scores_of(keys).astype(np.float64), 1.0)) * drawn


@dataclass(frozen=True)
class Shares:
    """What rows that were drawn stand for, together as much as their group.

    Attributes
    ----------
    masses : (G,) int64 array
        Of all rows of each group.
    least : (G,) float64 array
        Rows of so much were sure to be drawn, and stand for themselves; see `sure_masses`.
    each : (G,) float64 array or None
        What each of the others stands for, whole; None until it is known.

    References
    ----------
    Duffield, Lund, Thorup (2007), Priority sampling for estimation of arbitrary subset sums.

    Examples
    --------
    >>> groups, mass = np.array([0, 0, 0]), np.array([9.0, 1.0, 2.0])
    >>> shares = Shares(np.array([29]), np.array([4.0]))
    >>> shares.after(shares.drawn(groups, mass)).of(groups, mass)
    array([ 9., 10., 10.])
    """

    masses: Counts
    least: Floats
    each: Floats | None = None

    def of(self, groups: npt.NDArray[np.integer[Any]], mass: Floats) -> Floats:
        """(m,) masses of rows drawn, and of those like them that were not."""
        if self.each is None:
            return mass
        return np.where(mass >= self.least[groups], mass, self.each[groups])

    def drawn(self, groups: npt.NDArray[np.integer[Any]], mass: Floats) -> Counts:
        """(2 G,) masses of the rows that were sure to be drawn, and how many others were."""
        sure, number = mass >= self.least[groups], len(self.masses)
        own = counted(groups[sure], number, mass[sure])
        return np.concatenate([own, counted(groups[~sure], number)])

    def after(self, drawn: Counts) -> "Shares":
        """Once all rows drawn are counted: the others share what is left of their group."""
        sure, others = np.split(drawn, 2)
        each = np.rint((self.masses - sure) / np.maximum(others, 1))
        return replace(self, each=np.maximum(each, 1.0))
