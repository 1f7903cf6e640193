"""A table's columns side by side: each number where its name says, whatever rows come together."""

import datetime
import pickle

import numpy as np
import pyarrow as pa
import pytest

from dask_distill.data.table import table_of_one
from dask_distill.tables import encoding as module
from dask_distill.tables.dataset import Wanted, profiled
from dask_distill.tables.encoding import Encoding

N = 400
rng = np.random.default_rng(0)


def holed(values, kind=None):
    """An Arrow array of which every ninth value is missing."""
    return pa.array(values, kind, mask=np.arange(N) % 9 == 4)


CITIES = rng.choice(["Accra", "Oslo", "Quito"], N)
STREETS = rng.zipf(1.3, N) % 60
HOURS = rng.integers(0, 24 * 900, N)
START = datetime.datetime(2023, 1, 1)
WORDS = ["big", "old", "red", "tea", "cup", "pot"]
TABLE = pa.table(
    {
        "age": holed(rng.normal(40, 9, N)),
        "city": holed(CITIES),
        "street": holed([f"street {number}" for number in STREETS]),
        "plain": pa.array(rng.integers(0, 50, N)),
        "at": holed([START + datetime.timedelta(hours=int(hour)) for hour in HOURS]),
        "note": holed([" ".join(words) for words in rng.choice(WORDS, (N, 6))]),
        "paid": holed(rng.random(N) < 0.3),
        "vector": pa.array(rng.normal(size=(N, 3)).tolist(), pa.list_(pa.float32(), 3)),
    }
)
PROFILE = profiled(
    table_of_one(TABLE), Wanted(apart={}, left_out={}, kinds={"note": "text", "street": "category"})
)
ENCODING = Encoding(PROFILE)
X = ENCODING(TABLE)


def column(name):
    return X[:, ENCODING.names.index(name)]


def test_encoding__each_number_is_where_its_name_says():
    missing = np.arange(N) % 9 == 4
    for name in ("age", "city", "street", "at", "note", "paid"):
        np.testing.assert_array_equal(column(f"{name} is null"), missing)
    known = ~missing
    np.testing.assert_allclose(column("age")[known], TABLE["age"].to_numpy()[known], rtol=1e-6)
    assert np.unique(column("age")[missing]).size == 1
    for city in ("Accra", "Oslo", "Quito"):
        np.testing.assert_array_equal(column(f"city={city}"), (city == CITIES) & known)
    number = np.bincount(STREETS[known]).argmax()
    here = (number == STREETS) & known
    np.testing.assert_array_equal(column(f"street=street {number}"), here)
    np.testing.assert_array_equal(column("plain"), TABLE["plain"].to_numpy())
    np.testing.assert_allclose(np.stack(TABLE["vector"].to_pylist())[:, 1], column("vector[1]"))
    for name, length in (("day", 24), ("week", 24 * 7), ("year", 24 * 365.2425)):
        # hours since 1970 began on a Thursday
        angle = 2 * np.pi * ((HOURS + 24 * 19_358) % length) / length
        np.testing.assert_allclose(column(f"at {name} sin"), np.sin(angle) * known, atol=1e-6)
        np.testing.assert_allclose(column(f"at {name} cos"), np.cos(angle) * known, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 7, 64, 399])
def test_encoding__same_bits_for_any_block(rows):
    parts = [ENCODING(TABLE.slice(start, rows)) for start in range(0, N, rows)]
    np.testing.assert_array_equal(np.concatenate(parts), X)


@pytest.mark.parametrize("size", [1, 5_000])
def test_encoding__same_bits_however_many_rows_are_written_at_a_time(monkeypatch, size):
    monkeypatch.setattr(module, "_AT_ONCE", size)
    np.testing.assert_array_equal(ENCODING(TABLE), X)


def test_encoding__unfilled_columns_are_nan_where_values_are_missing():
    found = Encoding(PROFILE.unfilled())(TABLE)
    missing = np.arange(N) % 9 == 4
    holes = np.isnan(found)
    whole = np.array([name.startswith(("plain", "vector")) for name in ENCODING.names])
    assert not holes[:, whole].any()
    assert (holes[:, ~whole] == missing[:, None]).all()
    np.testing.assert_array_equal(found[~missing], X[~missing])


def test_encoding__travels_small():
    again = pickle.loads(pickle.dumps(ENCODING))
    assert len(pickle.dumps(ENCODING)) < 12_000
    np.testing.assert_array_equal(again(TABLE), X)


def test_encoding__no_rows():
    assert ENCODING(TABLE.slice(0, 0)).shape == (0, ENCODING.width)
