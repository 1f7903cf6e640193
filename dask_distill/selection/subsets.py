"""Several subsets of one selection: rows are dealt out, and weighed for each."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.kernels.dealing import dealt, dealt_weights

Float32 = npt.NDArray[np.float32]
MOST = 100
# weights of all rows in all subsets, which are in one memory: 1 GiB
MOST_WEIGHTS = 2**28


def check_subsets(subsets: Any, *, apart: bool) -> None:
    """Refuse a number of subsets that cannot be made, or rows that none of them could share.

    Raises
    ------
    InputError
    """
    whole = isinstance(subsets, int | np.integer) and not isinstance(subsets, bool)
    if not whole or not 1 <= subsets <= MOST:
        raise InputError(f"subsets must be an int from 1 to {MOST}, got {subsets!r}; 1 is one")
    if subsets > 1 and apart:
        raise InputError(
            f"subsets must be 1 beside protect and initial, got {subsets}: rows that must stay "
            "would be in one of the subsets alone; leave one of them out"
        )


def check_weights(subsets: int, rows: int) -> None:
    """Refuse more weights, of rows in subsets, than one memory should hold.

    Raises
    ------
    InputError
    """
    if subsets > 1 and rows * subsets > MOST_WEIGHTS:
        raise InputError(
            f"subsets must have at most {MOST_WEIGHTS:,} weights together, got {subsets} for each "
            f"of {rows:,} rows; ask for fewer, or lower size"
        )


def subset_weights(
    indices: npt.NDArray[np.int64],
    weights: Float32,
    codes: npt.NDArray[np.int32] | None,
    number: int,
    size: int,
    seed: int,
    groups: npt.NDArray[np.uint8] | None = None,
) -> tuple[Float32, dict[str, Any]]:
    """Weights of each row in each of several subsets, 0 where it is not in it; and the facts.

    Parameters
    ----------
    indices, weights : (k,) arrays
        Of all rows selected.
    codes : (k,) int32 array or None
        Their class numbers.
    number, size : int
        Subsets, and rows of each.
    seed : int
    groups : (k,) uint8 array, optional
        Where the rows lie; see `watched`.

    Returns
    -------
    weights : (k, number) float32 array
    facts : dict
        For the provenance: ``number``, ``size``, and how often a row is used at ``least`` and at
        ``most``.
    """
    mask = dealt(indices, codes, number, size, seed, places=groups)
    times = mask.sum(axis=1)
    facts = {
        "number": number,
        "size": size,
        "least": int(times.min()),
        "most": int(times.max()),
    }
    return dealt_weights(weights, codes, mask), facts


def shown_subsets(facts: Mapping[str, Any]) -> str:
    """For people: how many, of how many rows, and whether these are in several.

    Examples
    --------
    >>> shown_subsets({"number": 8, "size": 10_000, "least": 1, "most": 1})
    '8 of 10,000 rows each, no row in two'
    """
    least, most = facts["least"], facts["most"]
    shared = "no row in two"
    if most > 1:
        shared = f"each row in {least}" if least == most else f"each row in {least} or {most}"
    return f"{facts['number']:,} of {facts['size']:,} rows each, {shared}"
