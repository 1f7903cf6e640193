"""Times of rows and lengths of time, as numbers: dates become seconds since 1970."""

import datetime
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError


def as_times(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """(m,) float64: numbers as they are, dates in seconds since 1970; NaN for what is missing.

    Examples
    --------
    >>> as_times(np.array(["1970-01-02", "NaT"], "M8[D]"))
    array([86400.,    nan])
    """
    array = np.asarray(values).reshape(-1)
    if array.dtype.kind != "M":
        return array.astype(np.float64)
    # whole microseconds: nanoseconds since 1970 do not fit in a float64
    micro = array.astype("datetime64[us]")
    seconds = micro.astype(np.int64) / 1e6
    return np.where(np.isnat(micro), np.nan, seconds)


@dataclass(frozen=True)
class Span:
    """A length of time: a number in the unit of the times, or one that only dates can have."""

    length: float
    of_dates: bool

    @classmethod
    def of(cls, value: Any, name: str) -> "Span":
        """From a number, a timedelta, or text such as "6h".

        Raises
        ------
        InputError

        Examples
        --------
        >>> Span.of("90min", "time_scale")
        Span(length=5400.0, of_dates=True)
        """
        length, of_dates = math.nan, not isinstance(value, int | float | np.number)
        if isinstance(value, str):
            try:
                length, of_dates = float(value), False
            except ValueError:
                length = _text_seconds(value)
        elif isinstance(value, datetime.timedelta):
            length = value.total_seconds()
        elif isinstance(value, np.timedelta64):
            length, of_dates = float(value / np.timedelta64(1, "us")) / 1e6, True
        elif not of_dates and not isinstance(value, bool):
            length = float(value)
        if not (math.isfinite(length) and length > 0):
            raise InputError(
                f'{name} must be a length of time above 0, got {value!r}; e.g. 10.5, or "6h" for '
                "dates"
            )
        return cls(length, of_dates)

    def check(self, name: str, dates: bool) -> None:
        """Refuse hours and days where times are plain numbers."""
        if self.of_dates and not dates:
            raise InputError(
                f"{name} must be a number in the unit of time=, which holds numbers, got a length "
                "in hours or days; give a number, or dates as time"
            )


def _text_seconds(text: str) -> float:
    import pandas as pd

    try:
        return float(pd.Timedelta(text).total_seconds())
    except ValueError:
        return math.nan
