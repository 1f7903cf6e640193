"""What the survey found."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.conversation.protocol import Final
from dask_distill.data.groups import Group
from dask_distill.data.labels import MissingLabel
from dask_distill.data.weights import Weighing
from dask_distill.survey.stray import Stray

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows drawn by hash, ascending: (m,) row numbers, (m, d) features, (m,) class numbers.

    ``novelty``, ``probabilities``, ``time`` and ``mass`` are as for a `Block`.
    """

    rows: npt.NDArray[np.int64]
    X: npt.NDArray[np.floating]
    codes: npt.NDArray[np.int32] | None
    novelty: npt.NDArray[np.float32] | None = None
    probabilities: npt.NDArray[np.float32] | None = None
    time: Floats | None = None
    mass: Floats | None = None

    @property
    def times(self) -> Floats:
        """(m,) when each row was, of data that has times.

        Raises
        ------
        ValueError
        """
        if self.time is None:
            raise ValueError("the sample must have times, got none")
        return self.time

    @property
    def class_numbers(self) -> npt.NDArray[np.int32]:
        """(m,) class numbers, of a labelled data set.

        Raises
        ------
        ValueError
        """
        if self.codes is None:
            raise ValueError("the sample must be labelled, got one without classes")
        return self.codes


@dataclass(frozen=True, kw_only=True)
class Outline(Final):
    """What the survey found, but for rows: small enough to go to every block.

    Attributes
    ----------
    n_source, n : int
        Rows in the source, and those that are valid.
    d : int
        Features.
    classes : (C,) array or None
        Label of each class; numbered by first appearance, so that renaming changes nothing.
    counts : (C,) int64 array or None
    block_counts : (B,) int64 array
        Valid rows by block.
    block_classes : (B, C) int64 array or None
        Rows of each class by block.
    mean, scale : (d,) float64 arrays
        Mean and standard deviation; where a feature is constant, the size of its mean,
        at least 1.
    dropped : int
        Invalid rows left out.
    fingerprint : str
        Digest of the content, the same for any chunking and storage; of a table for all but dask
        frames, of which it is that of the features that columns become.
    block_starts : (B,) int64 array
        Global number of each block's first row, valid or not.
    reduction : dict or None
        Where features are reduced: by what, and how well; JSON-able. Then d, mean, scale and
        the sample are of the reduced space.
    stray : tuple of Stray
        Features of the source whose mean and standard deviation a few rows make.
    largest : (int, float) or None
        The source's column with the value of largest size, and that value.
    invalid : dict or None
        Of invalid rows that are left out: rows by column, by label, and without one.
    filled : dict or None
        Of NaN in features that the reduction fills in: rows by column, and where the first is.
    none : MissingLabel or None
        What stands for no label: such rows are left out.
    weighing : Weighing or None
        Of the sample weights, where there are some.
    block_masses : (B, C) int64 array or None
        What the rows of each class (one, where there are no labels) stand for, by block; None
        where they are alike. Mean and scale are weighted by it.
    weightless : int
        Valid rows of sample weight 0, which are left out.
    groups : tuple of Group
        Features of the source that are scaled together.
    """

    n_source: int
    n: int
    d: int
    classes: npt.NDArray[np.generic] | None
    counts: npt.NDArray[np.int64] | None
    block_counts: npt.NDArray[np.int64]
    block_classes: npt.NDArray[np.int64] | None
    mean: Floats
    scale: Floats
    dropped: int
    fingerprint: str
    seed: int
    block_starts: npt.NDArray[np.int64]
    reduction: dict[str, Any] | None = None
    invalid: dict[str, Any] | None = None
    stray: tuple[Stray, ...] = ()
    largest: tuple[int, float] | None = None
    filled: dict[str, Any] | None = None
    none: MissingLabel | None = None
    weighing: Weighing | None = None
    block_masses: npt.NDArray[np.int64] | None = None
    weightless: int = 0
    groups: tuple[Group, ...] = ()

    @property
    def class_counts(self) -> npt.NDArray[np.int64]:
        """(C,) rows of each class, of a labelled data set.

        Raises
        ------
        ValueError
        """
        if self.counts is None:
            raise ValueError("the data set must be labelled, got one without classes")
        return self.counts

    @property
    def masses(self) -> npt.NDArray[np.int64]:
        """(C,) what the rows of each class stand for (one, where there are no labels)."""
        if self.block_masses is not None:
            return self.block_masses.sum(axis=0)
        return np.array([self.n], np.int64) if self.counts is None else self.counts

    @property
    def mass(self) -> int:
        """What all rows stand for together: their number, where they are alike."""
        return self.n if self.block_masses is None else int(self.block_masses.sum())

    @property
    def mean_mass(self) -> float:
        """What a row stands for on average; 1 where rows are alike."""
        return 1.0 if self.block_masses is None else self.mass / self.n

    @property
    def weight(self) -> float:
        """The sum of the sample weights: the number of rows, where they have none."""
        return self.mass * self.unit

    @property
    def unit(self) -> float:
        """Weight of one unit of mass."""
        return 1.0 if self.weighing is None else self.weighing.unit


@dataclass(frozen=True, kw_only=True)
class Schema(Outline):
    """What the survey found, with rows: what a strategy asks its first question by.

    Attributes
    ----------
    sample : Sample
    chosen : Sample or None
        Rows that count as chosen before the strategy begins, where it wants them.
    """

    sample: Sample
    chosen: Sample | None = None

    def outline(self) -> Outline:
        """Everything but rows."""
        return Outline(**{part.name: getattr(self, part.name) for part in fields(Outline)})
