"""Sample weights: how many rows each row stands for, before any is selected.

Measured once, by a pass over them alone. From there on they are masses: whole numbers of one
unit, whose sums are exact in float64, in any order.
"""

import math
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.errors import InputError

Floats = npt.NDArray[np.float64]

# what weights are called that came as an array
UNNAMED = "sample_weight"
# the masses of all rows sum to no more, so that every sum of them is exact
_TOTAL_BITS = 52
_MANTISSA_BITS, _HALF_BITS = 53, 26
_LEAST, _MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_WAY_OUT = "mend them, or pass sample_weight=False / --sample-weight '' to count rows alike"


@dataclass(frozen=True)
class Weighing:
    """What the sample weights of a data set come to.

    Attributes
    ----------
    unit : float
        Weight of one unit of mass: the one weight where there is no other, else a power of two,
        so that whole weights are told exactly.
    even : bool
        Whether all weights above 0 are the same, and say nothing of which rows to choose.
    total : float
        Their sum.
    """

    unit: float
    even: bool
    total: float

    def masses(self, weights: Floats) -> Floats | None:
        """(m,) whole numbers, 0 where a weight is; None where rows are alike."""
        if self.even:
            return None
        return np.where(weights > 0, np.maximum(np.rint(weights / self.unit), 1.0), 0.0)


@dataclass(frozen=True)
class _Facts:
    """Of some rows: what is wrong, least weight above 0 and greatest, sums by exponent."""

    wrong: int = 0
    first: tuple[int, float] | None = None
    least: float = math.inf
    greatest: float = 0.0
    sums: dict[int, int] = field(default_factory=dict)

    def merge(self, other: "_Facts") -> "_Facts":
        """Of both; whole numbers, so that order does not matter."""
        firsts = [first for first in (self.first, other.first) if first is not None]
        sums = dict(self.sums)
        for exponent, part in other.sums.items():
            sums[exponent] = sums.get(exponent, 0) + part
        return _Facts(
            self.wrong + other.wrong,
            min(firsts, default=None),
            min(self.least, other.least),
            max(self.greatest, other.greatest),
            sums,
        )


def weighing_of(weights: da.Array) -> Weighing:
    """Measure sample weights: one pass over them.

    Parameters
    ----------
    weights : (n,) dask array of numbers

    Returns
    -------
    Weighing

    Raises
    ------
    InputError
        For weights that are negative, infinite or missing, all 0, or beyond float32.

    Examples
    --------
    >>> weighing_of(da.from_array(np.array([2.0, 2.0, 0.0, 2.0])))
    Weighing(unit=2.0, even=True, total=6.0)
    """
    starts = np.cumsum((0, *weights.chunks[0][:-1])).tolist()
    tell = delayed(_facts, pure=False)
    parts = weights.to_delayed().ravel()
    found = dask.compute(*(tell(part, start) for part, start in zip(parts, starts, strict=True)))
    facts = reduce(_Facts.merge, found, _Facts())
    if facts.first is not None:
        row, value = facts.first
        raise InputError(
            f"sample_weight must be finite and at least 0, got {value:g} in row {row} and "
            f"{facts.wrong:,} such in all; {_WAY_OUT}"
        )
    if not facts.sums:
        raise InputError(
            f"sample_weight must be above 0 in some row, got 0 in all {len(weights):,}; {_WAY_OUT}"
        )
    total = _exact(facts.sums)
    if facts.least < _LEAST or total > _MOST:
        raise InputError(
            f"sample_weight must be 0 or at least {_LEAST:.2g}, and sum to at most {_MOST:.2g}, "
            f"since weights are written as float32, got {facts.least:g} and a sum of {total:g}; "
            "multiply them by a number"
        )
    if facts.least == facts.greatest:
        return Weighing(facts.least, True, total)
    return Weighing(math.ldexp(1.0, math.frexp(total)[1] - _TOTAL_BITS), False, total)


def as_weights(values: npt.ArrayLike) -> Floats:
    """A block's weights as float64."""
    return np.asarray(values).reshape(-1).astype(np.float64)


def weight_line(name: str, total: float) -> str:
    """For people."""
    return f"{name}, sum {total:,.6g}" if total < 1e6 else f"{name}, sum {total:,.0f}"


def _facts(values: Any, start: int) -> _Facts:
    weights = as_weights(values)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        at = int(wrong.argmax())
        return _Facts(int(wrong.sum()), (start + at, float(weights[at])))
    above = weights[weights > 0]
    if len(above) == 0:
        return _Facts()
    mantissas, exponents = np.frexp(above)
    whole = np.ldexp(mantissas, _MANTISSA_BITS).astype(np.int64)
    # in halves, of which no sum overflows
    low = whole & (2**_HALF_BITS - 1)
    sums = {}
    for exponent in np.unique(exponents).tolist():
        mine = exponents == exponent
        high = int((whole[mine] >> _HALF_BITS).sum())
        sums[exponent] = (high << _HALF_BITS) + int(low[mine].sum())
    return _Facts(least=float(above.min()), greatest=float(above.max()), sums=sums)


def _exact(sums: dict[int, int]) -> float:
    """The sum, rounded once; infinite where float64 does not reach so far."""
    lowest = min(sums)
    whole = sum(part << (exponent - lowest) for exponent, part in sums.items())
    shift = lowest - _MANTISSA_BITS
    try:
        return float(whole << shift) if shift >= 0 else whole / (1 << -shift)
    except OverflowError:
        return math.inf
