"""Sizes of subsets that a curve is asked for."""

from typing import Any

import numpy as np

from dask_distill.data.size import resolve_size
from dask_distill.errors import InputError


def check_sizes(sizes: Any) -> None:
    """Refuse what are neither parts nor numbers of rows.

    Raises
    ------
    InputError
    """
    if isinstance(sizes, str | int | float) or not len(list(sizes)):
        raise InputError(
            f"sizes must be at least one part or number of rows, got {sizes!r}; try [0.01, 0.1]"
        )
    for size in sizes:
        number = isinstance(size, int | float | np.number) and not isinstance(size, bool)
        whole = number and float(size).is_integer() and not isinstance(size, float)
        if not number or not (size >= 1 if whole else 0 < size <= 1):
            raise InputError(
                "sizes must be parts above 0 and at most 1, or whole numbers of rows, got "
                f"{size!r}; 0.05 is 5 %, 500 is 500 rows"
            )


def rows_of_size(size: float, part: int) -> int:
    """Rows of a size, of those that are selected from.

    Raises
    ------
    InputError
    """
    # only ints are rows: 1.0 is everything
    if not isinstance(size, int | np.integer):
        return resolve_size(float(size), None, part)
    if size > part:
        raise InputError(
            f"sizes must be at most the {part:,} rows that are selected from, got {size:,}; lower "
            "it, or raise max_rows / --max-rows"
        )
    return int(size)
