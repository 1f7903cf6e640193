"""What sets a row apart, beside masks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block
from dask_distill.errors import InputError
from dask_distill.kernels.nearest import nearest_center
from dask_distill.proxy.scaling import Scaling
from dask_distill.survey.schema import Schema

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Features = npt.NDArray[np.floating]

# rows of the sample that emptiness is measured from
_REFERENCES = 1000


@dataclass(frozen=True, eq=False)
class Emptiness:
    """How far is a row from the nearest of some rows; and how far is far."""

    references: npt.NDArray[np.float32]
    threshold: float
    scaling: Scaling

    @classmethod
    def of(cls, part_: float, schema: Schema) -> "Emptiness":
        """Every other row of the sample measures how far the others are."""
        sample = schema.sample
        Z = Scaling.of(schema)(sample.X)
        step = max(2, -(-len(Z) // _REFERENCES))
        reference = np.arange(len(Z)) % step == 0
        if reference.all():
            return cls(Z, np.inf, Scaling.of(schema))
        _, squared = nearest_center(Z[~reference], Z[reference])
        threshold = float(np.quantile(squared, 1 - part_, method="higher"))
        return cls(Z[reference], threshold, Scaling.of(schema))

    def __call__(self, X: Features) -> Mask:
        """Mask of the rows that are farther than the threshold."""
        _, squared = nearest_center(self.scaling(X), self.references)
        far: Mask = squared > self.threshold
        return far


@dataclass(frozen=True, eq=False, kw_only=True)
class Rules:
    """What sets a row apart, beside masks."""

    protect: Rows | None
    initial: Rows | None
    codes: Rows
    emptiness: Emptiness | None
    function: Any
    labels: npt.NDArray[np.generic] | None

    def protects(self, block: Block, unreduced: Block | None) -> Mask:
        """Mask of the rows that a rule protects."""
        mask = np.zeros(len(block.rows), bool)
        if self.protect is not None:
            mask |= is_in(block.rows, self.protect)
        if block.codes is not None and len(self.codes):
            mask |= np.isin(block.codes, self.codes)
        if self.emptiness is not None:
            mask |= self.emptiness(block.X)
        if self.function is not None and len(mask):
            labels = None
            if block.codes is not None and self.labels is not None:
                labels = self.labels[block.codes]
            # a copy: it may work in place
            told = np.asarray(self.function((unreduced or block).X.copy(), labels))
            if told.shape != mask.shape or told.dtype != bool:
                raise InputError(
                    f"protect must give a boolean for each of {len(mask)} rows, got {told.dtype} "
                    f"of shape {told.shape}; check the function"
                )
            mask |= told
        return mask


def is_in(rows: Rows, wanted: Rows) -> Mask:
    """Which rows are among the wanted, both ascending."""
    if len(rows) == 0:
        return np.zeros(0, bool)
    low, high = np.searchsorted(wanted, [rows[0], rows[-1] + 1])
    return np.isin(rows, wanted[low:high])
