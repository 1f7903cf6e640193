"""Where `auto` makes the cells of each class: in the sample, in each block, or over candidates."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.quotas import systematic
from dask_distill.survey.schema import Sample, Schema

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# a sample of so many rows for each one wanted serves as well as all rows
SAMPLE_FACTOR = 20
# a block finishes a class alone from this mean quota a block; below, rounding is too coarse
LOCAL_QUOTA = 20
# unless so many candidates, those of the smallest classes first, are all that would meet
POOL_ROWS = 10_000
# candidates offered for each row selected, where blocks do not finish alone
POOL_FACTOR = 2.5
# so many rows' worth of what the class is like on the whole go into a block's share
_PRIOR_ROWS = 10


@dataclass(frozen=True)
class Allocation:
    """Cells to make.

    Attributes
    ----------
    sampled : (C,) bool array
        Classes that are chosen from the sample.
    local : (C,) bool array
        Classes whose cells are final as the blocks make them.
    cells : (B, C) int64 array
        Cells that each block makes of each class.
    """

    sampled: npt.NDArray[np.bool_]
    local: npt.NDArray[np.bool_]
    cells: Counts


def allocate(
    quotas: Counts,
    counts: Counts,
    block_classes: Counts,
    sizes: Counts,
    share: Floats,
    *,
    alike: bool = True,
) -> Allocation:
    """Decide class by class who makes its cells.

    Parameters
    ----------
    quotas, counts : (C,) int64 arrays
        Rows wanted of each class, and rows it has.
    block_classes : (B, C) int64 array
        Rows of each class by block.
    sizes : (C,) int64 array
        Rows of each class in the sample.
    share : (B, C) float array
        What each block's cells are proportional to.
    alike : bool
        Whether rows stand for the same: else a sample may lack the few that count for most.

    Returns
    -------
    Allocation
    """
    blocks = (block_classes > 0).sum(axis=0)
    # cells over the whole class are finer than those of each block
    offers = np.where(blocks > 1, POOL_FACTOR * quotas, 0.0)
    smallest = np.argsort(quotas, kind="stable")
    meets = np.empty(len(quotas), bool)
    meets[smallest] = np.cumsum(offers[smallest]) <= POOL_ROWS
    # a class that lies in one block has nobody to meet
    local = ((quotas >= LOCAL_QUOTA * blocks) & ~meets) | (blocks <= 1)
    sampled = ~local & ((alike & (sizes >= SAMPLE_FACTOR * quotas)) | (sizes == counts))
    cells = np.zeros_like(block_classes)
    for code in np.flatnonzero((quotas > 0) & ~sampled):
        wanted = int(quotas[code])
        if not local[code]:
            wanted = min(int(POOL_FACTOR * wanted), int(counts[code]))
        cells[:, code] = systematic(wanted, share[:, code], block_classes[:, code])
    return Allocation(sampled, local, cells)


def block_shares(schema: Schema, sample: Sample, block_classes: Counts, value: Floats) -> Floats:
    """Estimate the sum of a value over each class in each block.

    Parameters
    ----------
    schema : Schema
    sample : Sample
    block_classes : (B, C) int64 array
        Rows of each class by block.
    value : (m,) float array
        Of the rows of the sample.

    Returns
    -------
    (B, C) float array
        Rows times the mean in block and class, drawn to the mean of the class where the sample
        has few rows there.
    """
    B, C = block_classes.shape
    codes = np.zeros(len(sample.rows), np.int64) if sample.codes is None else sample.codes
    total = np.bincount(codes, weights=value, minlength=C)
    mean = total / np.maximum(np.bincount(codes, minlength=C), 1)
    block = np.searchsorted(schema.block_starts, sample.rows, side="right") - 1
    cell = block * C + codes
    sums = np.bincount(cell, weights=value, minlength=B * C).reshape(B, C)
    sizes = np.bincount(cell, minlength=B * C).reshape(B, C)
    return block_classes * (sums + _PRIOR_ROWS * mean) / (sizes + _PRIOR_ROWS)
