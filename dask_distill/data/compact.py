"""Rows of features in a smaller form, of which arrays are made for those that are looked at."""

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class CompactRows(Protocol):
    """Rows of which each can be made an array, and all be told apart from others.

    What is said of them hangs on their values alone, not on the parts that they were read in.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and features of each."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the features."""

    def __len__(self) -> int:
        """Rows."""

    def __getitem__(self, rows: Any) -> Self:
        """Some of them: a slice, a mask or ascending numbers."""

    def joined(self, others: Sequence[Self]) -> Self:
        """These and then others."""

    def dense(self) -> npt.NDArray[np.floating]:
        """(m, d) features, C order."""

    def checksum(self) -> int:
        """Of all that features are made of."""

    def ends(self) -> tuple[Floats, Floats]:
        """(d,) least and greatest value of each feature; inf and -inf where it is not looked."""


def stacked(parts: Sequence[Any]) -> CompactRows:
    """Rows of several parts, one after another."""
    first: CompactRows = parts[0]
    return first.joined(parts[1:]) if len(parts) > 1 else first


def is_compact(rows: Any) -> bool:
    """Whether rows are in such a form."""
    return hasattr(rows, "dense") and hasattr(rows, "checksum")
