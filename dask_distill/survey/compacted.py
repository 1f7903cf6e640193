"""The survey of rows that are not encoded one and all: what is looked at, what the sample tells."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import RawBlock, tile_rows
from dask_distill.kernels.moments import moments
from dask_distill.survey.schema import Sample

Floats = npt.NDArray[np.float64]
Ends = tuple[Floats, Floats]


def looked_over(block: RawBlock) -> tuple[RawBlock, Ends | None]:
    """A block, and least and greatest values of its features where these are compact.

    Where one is too large for the features' type, these become what they are: that is told of.
    """
    if block.compact is None:
        return block, None
    ends, limit = block.compact.ends(), np.finfo(block.compact.dtype).max
    if all((np.abs(values[np.isfinite(values)]) <= limit).all() for values in ends):
        return block, ends
    with np.errstate(over="ignore"):
        return replace(block, X=block.compact.dense(), compact=None), None


def moments_of_sample(
    sample: Sample, shares: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], list[Floats], list[Floats]]:
    """What the classes come to, and moments of their rows in the sample: rare ones have more."""
    codes = np.zeros(len(sample.rows), np.int32) if sample.codes is None else sample.codes
    rows = np.argsort(codes, kind="stable")
    there = np.bincount(codes, minlength=len(shares))
    step = tile_rows(sample.X.shape[1])
    found = [
        moments(sample.X[part], step, None if sample.mass is None else sample.mass[part])
        for part in np.split(rows, np.cumsum(there)[:-1])
    ]
    shares = np.where(there > 0, shares, 0)
    return shares, [mean for mean, _ in found], [spread for _, spread in found]
