"""Rows at hand that a size curve selects from and tests on: where the tasks run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.evaluation.splits import Rows, Split
from dask_distill.evaluation.statistics import rarest_classes
from dask_distill.runtime.handle import Handle

Features = npt.NDArray[np.floating]


@dataclass(frozen=True)
class CurvePool:
    """Rows at hand: features where the tasks run, classes and weights here; test rows second.

    ``rows`` are their global numbers.
    """

    parts: Sequence[Handle[Features]]
    codes: Sequence[npt.NDArray[np.int64]]
    weights: Sequence[npt.NDArray[np.float64] | None]
    d: int
    rows: Rows

    def rarest(self, splits: Sequence[Split], classes: int) -> int:
        """Class number with the fewest test rows."""
        if len(self.codes) > 1:
            return rarest_classes(self.codes[1:], self.weights[1:], classes)[0]
        tests = np.concatenate([split.test for split in splits])
        weights = None if self.weights[0] is None else self.weights[0][tests]
        return rarest_classes([self.codes[0][tests]], [weights], classes)[0]

    def part(self, run: Run, rows: Rows) -> da.Array:
        """Some rows as a dask array that stays where it is."""
        handle = run.call("part", _rows, self.parts[0], rows)
        kept, dtype = run.held(handle, run.call("dtype", _dtype, handle))
        return run.array([kept], [len(rows)], self.d, run.fetch(dtype))


def _rows(X: Features, rows: Rows) -> Features:
    return X[rows]


def _dtype(X: Features) -> np.dtype[Any]:
    return X.dtype
