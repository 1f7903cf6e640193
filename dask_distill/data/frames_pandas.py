"""A pandas frame as an Arrow table, or a sentence that names the column that cannot be one.

Arrow guesses what a column of objects holds by what it meets first, and takes some of what does
not fit for it (text among bytes, times among dates); that is refused here.
"""

import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from dask_distill.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

# what Arrow raises for values, among them those of Unicode and of numbers that are too large
_FAILURES = (TypeError, ValueError, OverflowError, NotImplementedError)
# extension types whose columns Arrow holds as what they are
_KNOWN = ("BaseMaskedDtype", "StringDtype", "CategoricalDtype", "DatetimeTZDtype", "ArrowDtype")
_WAYS = {
    "SparseDtype": "make it dense with frame[{name!r}].sparse.to_dense()",
    "IntervalDtype": "take its bounds, e.g. frame[{name!r}].array.left",
    "PeriodDtype": "make dates of it, e.g. frame[{name!r}].dt.to_timestamp()",
    "GeometryDtype": "make bytes or numbers of it, e.g. frame[{name!r}].to_wkb(), or drop it",
}


def arrow_of_pandas(frame: Any) -> "pa.Table":
    """A frame's columns with their types, and pandas' metadata.

    Parameters
    ----------
    frame : pandas DataFrame
        Levels of its index that have a name are columns, behind the others; unnamed ones are
        dropped.

    Returns
    -------
    Arrow table
        NaN, NaT, None and NA are nulls.

    Raises
    ------
    InputError
        For columns that cannot be one of Arrow's, by name.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=pd.Index([7, 8], name="id"))
    >>> arrow_of_pandas(frame).column_names
    ['a', 'b', 'id']
    """
    import pyarrow as pa

    frame = _with_names(frame)
    for name, values in _columns(frame):
        _refuse_exotic(name, values.dtype)
    frame = _native(frame)
    keep = any(name is not None for name in frame.index.names)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=keep, nthreads=1)
    except _FAILURES as error:
        raise _culprit(frame, error) from None
    for name, values in _columns(frame):
        if values.dtype == object and _is_misread(values, table.schema.field(name).type):
            raise _of_many_types(name, values, "")
    return table


def refuse_names(names: list[str]) -> None:
    """Refuse columns that go by one name, and frames without any.

    Raises
    ------
    InputError
    """
    if not names:
        raise InputError("features must have at least one column, got a frame without any")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"features must have columns of different names, got {twice!r} twice; rename one"
        )


def _columns(frame: Any) -> list[tuple[str, Any]]:
    """Of the frame, and of the levels of its index that have a name."""
    index = frame.index
    levels = [
        (str(name), index.get_level_values(at).to_series())
        for at, name in enumerate(index.names)
        if name is not None
    ]
    return [(str(name), frame.iloc[:, at]) for at, name in enumerate(frame.columns)] + levels


def _with_names(frame: Any) -> Any:
    """With text for names, and without what has none in the index."""
    import pandas as pd

    if isinstance(frame.columns, pd.MultiIndex):
        raise InputError(
            f"features must have one name a column, got {frame.columns.nlevels} levels of names; "
            "join them, e.g. frame.columns = ['_'.join(map(str, name)) for name in frame.columns]"
        )
    names = list(map(str, frame.columns))
    refuse_names(names + [str(name) for name in frame.index.names if name is not None])
    if names != list(frame.columns):
        frame = frame.set_axis(names, axis=1)
    nameless = [at for at, name in enumerate(frame.index.names) if name is None]
    return frame.reset_index(level=nameless, drop=True) if nameless else frame


def _refuse_exotic(name: str, kind: Any) -> None:
    if isinstance(kind, np.dtype):
        return
    bases = [base.__name__ for base in type(kind).__mro__]
    if not any(base in _KNOWN for base in bases):
        way_out = next((_WAYS[base] for base in bases if base in _WAYS), "convert it, or drop it")
        raise InputError(
            f"column {name!r} must be of a type that Arrow holds, got {kind}; "
            f"{way_out.format(name=name)}"
        )


def _native(frame: Any) -> Any:
    """With byte order of this machine, and dates that are objects as dates: exact ones."""
    import pandas as pd

    changed = {}
    for at, kind in enumerate(frame.dtypes):
        values = frame.iloc[:, at]
        if not isinstance(kind, np.dtype):
            continue
        if not kind.isnative:
            changed[frame.columns[at]] = values.astype(kind.newbyteorder("="))
        elif kind.kind == "O" and pd.api.types.infer_dtype(values) in _TIMES:
            changed[frame.columns[at]] = values.infer_objects()
    return frame.assign(**changed) if changed else frame


_TIMES = ("datetime", "datetime64", "timedelta", "timedelta64")


def _culprit(frame: Any, error: Exception) -> InputError:
    """Which column it is that Arrow cannot hold, and what is in it."""
    import pyarrow as pa

    for name, values in _columns(frame):
        try:
            pa.Array.from_pandas(values)
        except _FAILURES as reason:
            return _of_many_types(name, values, str(reason))
    return InputError(f"features must be columns that Arrow holds, got {_words(error)}; convert it")


def _of_many_types(name: str, values: Any, reason: str) -> InputError:
    held = values.array.categories if hasattr(values, "cat") else values.dropna()
    kinds = sorted({type(value).__name__ for value in held}) if held.dtype == object else []
    if len(kinds) > 1:
        return InputError(
            f"column {name!r} must hold values of one type, got {', '.join(kinds[:5])}; make it "
            f"one, e.g. with frame[{name!r}].astype(str), or drop it"
        )
    found = kinds[0] if kinds else str(values.dtype)
    return InputError(
        f"column {name!r} must hold what Arrow can hold, got {found} ({_words(reason)}); convert "
        "it, or drop it"
    )


def _is_misread(values: Any, kind: Any) -> bool:
    """Whether Arrow has taken some objects for what they are not, and lost what they were."""
    import pyarrow.types as kinds

    held = values.dropna()
    if kinds.is_binary(kind) or kinds.is_large_binary(kind):
        return any(isinstance(value, str) for value in held)
    if kinds.is_date(kind):
        return any(isinstance(value, datetime.datetime) for value in held)
    if kinds.is_timestamp(kind):
        return len({getattr(value, "tzinfo", None) is None for value in held}) > 1
    return False


def _words(reason: object) -> str:
    return " ".join(str(reason).split())[:200]
