"""Windows of a series as examples: rows that follow each other stay together."""

from typing import Any

import dask.array as da
import numpy as np

from dask_distill.data.dataset import as_dataset
from dask_distill.data.objects import known_form
from dask_distill.errors import InputError


def windows(series: Any, length: int, step: int | None = None) -> da.Array:
    """Cut a series into windows, each of which is then one row.

    Window i holds the rows from i * step to i * step + length - 1; what does not fill one at
    the end is left out. Select among windows as among any rows: `distill` flattens them, or
    ``reduce=`` a function of windows. The label of a window is, for instance, that of its last
    row: ``labels[length - 1 :: step]``, as many as there are windows.

    Parameters
    ----------
    series : (n, ...) array
        Of one series, in the order of time; NumPy, dask, a DataFrame.
    length : int
        Rows of a window, at most n.
    step : int, optional
        From the start of one window to that of the next; ``length`` unless given, so that no
        two share a row.

    Returns
    -------
    (m, length, ...) dask array, m = (n - length) // step + 1.

    Raises
    ------
    InputError

    Examples
    --------
    >>> windows(np.arange(7).reshape(-1, 1), length=3, step=2)[:, :, 0].compute()
    array([[0, 1, 2],
           [2, 3, 4],
           [4, 5, 6]])
    """
    series = known_form(series, "series")
    array = as_dataset(series).features if np.ndim(series) != 1 else _column(series)
    step = length if step is None else step
    for name, value, most in (("length", length, array.shape[0]), ("step", step, None)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < 1 or (most is not None and value > most):
            top = "" if most is None else f" to the {most} rows of the series"
            raise InputError(f"{name} must be an int from 1{top}, got {value!r}")
    seen = da.lib.stride_tricks.sliding_window_view(array, length, axis=0)[::step]
    # the axis of the window comes last there
    moved: da.Array = da.moveaxis(seen, -1, 1)
    return moved[:, :, 0] if np.ndim(series) == 1 else moved


def _column(series: Any) -> da.Array:
    values = series if isinstance(series, da.Array) else np.asarray(series)
    return as_dataset(values.reshape(-1, 1)).features
