"""How many rows are asked for."""

import math

import numpy as np

from dask_distill.errors import InputError


def resolve_size(fraction: float | None, size: int | None, n: int) -> int:
    """Rows to select from n.

    Raises
    ------
    InputError
        Unless exactly one of the two is given, and within its range.
    """
    if fraction is None and size is None:
        raise InputError("exactly one of fraction and size must be given, got neither")
    if fraction is not None and size is not None:
        found = f"fraction={fraction!r} and size={size!r}"
        raise InputError(f"exactly one of fraction and size must be given, got {found}")
    if size is not None:
        if isinstance(size, bool) or not isinstance(size, int | np.integer):
            raise InputError(f"size must be an int, got {size!r}; for a part of all use fraction=")
        if not 1 <= size <= n:
            raise InputError(
                f"size must be from 1 to the number of rows {n}, got {size}; lower it"
                if size > n
                else f"size must be from 1 to the number of rows {n}, got {size}"
            )
        return int(size)
    if isinstance(fraction, bool) or not isinstance(fraction, int | float | np.number):
        raise InputError(f"fraction must be a number, got {fraction!r}")
    if not (math.isfinite(fraction) and 0 < fraction <= 1):
        raise InputError(
            f"fraction must be above 0 and at most 1, got {fraction}; to give a number of rows, "
            "use size="
        )
    return max(1, round(float(fraction) * n))
