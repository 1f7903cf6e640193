"""How many rows to make of each class, and what each of them stands for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError
from dask_distill.kernels.quotas import class_quotas

Counts = npt.NDArray[np.int64]


def rows_to_make(
    classes: npt.NDArray[Any],
    mass: npt.NDArray[np.float64],
    *,
    rows: int,
    selected: int,
    fraction: float | None = None,
    size: int | None = None,
    per_class: int | Mapping[Any, int] | None = None,
    balance: str | None = None,
) -> Counts:
    """Rows to make of each class.

    Parameters
    ----------
    classes : (C,) array
    mass : (C,) float64 array
        Rows of the data in each class.
    rows, selected : int
        Of the data, and of the subset: as many are made unless something is asked for.
    fraction, size, per_class, balance : as for `synthesize`

    Returns
    -------
    (C,) int64 array

    Raises
    ------
    InputError

    Examples
    --------
    >>> mass = np.array([900.0, 100.0])
    >>> rows_to_make(np.array(["a", "b"]), mass, rows=1000, selected=100, size=10)
    array([9, 1])
    >>> rows_to_make(np.array(["a", "b"]), mass, rows=1000, selected=100, per_class={"b": 40})
    array([ 0, 40])
    """
    check_amounts(fraction=fraction, size=size, per_class=per_class, balance=balance)
    if per_class is not None:
        return _per_class(classes, per_class)
    total = selected if size is None else int(size)
    if fraction is not None:
        total = max(1, round(fraction * rows))
    shares = {None: mass, "sqrt": np.sqrt(mass), "equal": np.ones(len(mass))}[balance]
    unlimited = np.full(len(classes), total, np.int64)
    return class_quotas(total, shares, unlimited, floor=1)


def check_amounts(
    *,
    fraction: float | None = None,
    size: int | None = None,
    per_class: int | Mapping[Any, int] | None = None,
    balance: str | None = None,
) -> None:
    """Refuse amounts that fit no data.

    Raises
    ------
    InputError
    """
    asked = {"fraction": fraction, "size": size, "per_class": per_class}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise InputError(
            f"at most one of size, fraction and per_class may be given, got {' and '.join(given)}"
        )
    if balance not in (None, "sqrt", "equal"):
        raise InputError(f"balance must be sqrt or equal, got {balance!r}")
    if per_class is not None and balance is not None:
        raise InputError("balance must not be given with per_class, got both; leave one out")
    if size is not None:
        _whole("size", size)
    if isinstance(per_class, Mapping):
        for label, count in per_class.items():
            _whole(f"per_class of {str(label)!r}", count)
        if not per_class:
            raise InputError("per_class must name at least one class, got none")
    elif per_class is not None:
        _whole("per_class", per_class)
    if fraction is None:
        return
    if isinstance(fraction, bool) or not isinstance(fraction, int | float):
        raise InputError(f"fraction must be a number, got {fraction!r}")
    if not 0 < fraction <= 1:
        raise InputError(
            f"fraction must be above 0 and at most 1, got {fraction:g}; to give a number of "
            "rows, use size="
        )


def weights_of(
    counts: Counts, mass: npt.NDArray[np.float64], total: float, *, by_class: bool
) -> npt.NDArray[np.float32]:
    """(m,) what each row stands for, ``total`` together; all the same for other class shares.

    Examples
    --------
    >>> weights_of(np.array([2, 1]), np.array([90.0, 10.0]), 100, by_class=True)
    array([45., 45., 10.], dtype=float32)
    """
    each = np.full(len(counts), total / counts.sum())
    if by_class:
        # a class of which no row fits in is stood for by the others
        made = counts > 0
        each[made] = mass[made] / counts[made] * total / mass[made].sum()
    return np.repeat(each, counts).astype(np.float32)


def _per_class(classes: npt.NDArray[Any], wanted: int | Mapping[Any, int]) -> Counts:
    if not isinstance(wanted, Mapping):
        return np.full(len(classes), wanted, np.int64)
    # on the command line every label is a text
    known = {str(label): number for number, label in enumerate(classes.tolist())}
    counts = np.zeros(len(classes), np.int64)
    for label, count in wanted.items():
        if str(label) not in known:
            listed = ", ".join(list(known)[:10])
            raise InputError(
                f"per_class must name classes of the subset, got {str(label)!r}; there are {listed}"
            )
        counts[known[str(label)]] = count
    return counts


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} must be an int of at least 1, got {value!r}")
