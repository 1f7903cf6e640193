"""Files by the names of their folders: what conditions mean, and what they are refused for."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from dask_distill import InputError, distill, open_coreset, open_dataset
from dask_distill.cli.main import cli
from dask_distill.sources.where import Condition, conditions, usual_where

YEARS, COUNTRIES = (2019, 2020, 2021), ("de", "fr", "c\u00f4te d")
ROWS = 40


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of nine files; column a numbers all rows."""
    monkeypatch.chdir(tmp_path)
    start = 0
    for year in YEARS:
        for country in sorted(COUNTRIES):
            path = Path(f"p/year={year}/country={country}/part-0.parquet")
            path.parent.mkdir(parents=True)
            a = np.arange(start, start + ROWS)
            table = {"a": a * 1.0, "y": a % 2, "b": np.random.default_rng(start).random(ROWS)}
            pq.write_table(pa.table(table), path)
            start += ROWS
    return tmp_path


def refused(*parts):
    return pytest.raises(InputError, match="(?s)" + "".join(f"(?=.*{part})" for part in parts))


def left(where, source="p"):
    """Which years and countries there are."""
    table = open_dataset(source, where=where).table
    return {tuple(Path(path).parts[-3:-1]) for path, _ in table.files}


def of(years, countries=COUNTRIES):
    return {(f"year={year}", f"country={country}") for year in years for country in countries}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("year=2020", of([2020])),
        ("year==2020", of([2020])),
        ("year = 02020", of([2020])),
        ("year=2020.0", of([2020])),
        ("year!=2020", of([2019, 2021])),
        ("year<2020", of([2019])),
        ("year<=2020", of([2019, 2020])),
        ("year > 2020", of([2021])),
        ("year>=2019.5", of([2020, 2021])),
        ("year in (2019,2021)", of([2019, 2021])),
        ("country=de", of(YEARS, ["de"])),
        ("country='c\u00f4te d' and year=2019", of([2019], ["c\u00f4te d"])),
        ('year>=2020 AND country IN (de, "fr")', of([2020, 2021], ["de", "fr"])),
        ("country>=de and country<fr", of(YEARS, ["de"])),
    ],
)
def test_where__chooses_files(where, expected):
    assert left(where) == expected
    assert left(where, "p/*/*") == expected
    again = usual_where(where)
    assert usual_where(again) == again
    assert left(again) == expected


def test_where__of_folders_without_a_value_nothing_holds():
    path = Path("p/year=__HIVE_DEFAULT_PARTITION__/country=de/x.parquet")
    path.parent.mkdir(parents=True)
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": [1.0, 0.0], "y": [0, 1]}), path)
    assert left("year!=2020") == of([2019, 2021])
    assert len(left("country=de")) == 4


@pytest.mark.parametrize(
    ("where", "parts"),
    [
        (
            "yaer=2020",
            ["columns that folders of", "did you mean 'year'", "are: year, country"],
        ),
        ("a>3", ["columns that folders of", "got 'a'", "there are: year, country"]),
        ("year>2030", ["must leave some files", "'year>2030'", "year: 2019, 2020, 2021"]),
        ("year=de", ["compare 'year' with numbers", "got 'de'"]),
        ("", ["must be conditions such as", "''"]),
        (3, ["must be conditions such as", "got 3"]),
        ("year", ["cannot be read from 'its end' on"]),
        ("year=", ["cannot be read from 'its end' on"]),
        ("year=2020 or year=2021", ["cannot be read from 'or' on"]),
        ("year in 2020", ["cannot be read from '2020' on"]),
        ("year in (2020", ["cannot be read from 'its end' on"]),
        ("year in ()", [r"cannot be read from '\)' on"]),
        ("year=2020 and", ["cannot be read from 'its end' on"]),
        ("__import__('os')=1", [r"cannot be read from '\(' on"]),
        ("country='de", ['cannot be read from "\'de" on', "quote values"]),
    ],
)
def test_where__what_it_cannot_be_is_one_sentence(where, parts):
    with refused("where must", *parts) as caught:
        open_dataset("p", where=where)
    assert "\n" not in str(caught.value)


WORDS = st.text(min_size=1, max_size=8).filter(lambda word: not {"'", '"'} <= set(word))


@given(
    st.lists(
        st.one_of(
            st.builds(
                Condition,
                WORDS,
                st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
                st.tuples(WORDS),
            ),
            st.builds(
                Condition,
                WORDS,
                st.just("in"),
                st.lists(WORDS, min_size=1, max_size=3).map(tuple),
            ),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_conditions__are_read_as_they_are_told(asked):
    assert list(conditions(" and ".join(map(str, asked)))) == asked


def test_distill__of_some_partitions_numbers_their_rows_alone():
    dataset = open_dataset("p", where="year >= 2020", features="a,b", labels="y")
    assert (dataset.n, dataset.where) == (6 * ROWS, "year>=2020")
    coreset = distill(dataset, size=30, strategy="random")
    assert coreset.provenance["input"]["where"] == "year>=2020"
    taken = pa.concat_tables([part.read(["a"]) for part in coreset.table.parts]).column("a")
    assert (taken.to_numpy() == coreset.indices + 3 * ROWS).all()


def test_commands__open_what_was_selected_from():
    def command(*words, code=0):
        done = CliRunner().invoke(cli, words)
        assert done.exit_code == code, done.output
        return done

    words = ("--labels", "y", "--features", "a,b", "--where", "year in (2020, 2021)")
    command("run", "p", "out.zarr", "--size", "30", "--workers", "1", "--quiet", *words)
    coreset = open_coreset("out.zarr")
    assert coreset.provenance["rows"] == 6 * ROWS
    assert coreset.provenance["input"]["where"] == "year in (2020, 2021)"
    # other rows would be refused
    command("evaluate", "out.zarr", "--source", "p", "--seeds", "2", "--workers", "1", "--quiet")
    command("report", "out.zarr", "--source", "p", "--quiet")
    assert "--where" in Path("out.html").read_text()
    done = command("plan", "p", "--size", "30", "--json", *words)
    assert f'"rows": {6 * ROWS}' in done.stdout
    found = command("plan", "p", "--size", "30", "--where", "yaer=1", code=2)
    assert "did you mean 'year'" in found.stderr


def test_follow__takes_files_of_some_partitions():
    words = ("follow", "p", "out.zarr", "--size", "20", "--once", "--workers", "1", "--quiet")
    done = CliRunner().invoke(
        cli, [*words, "--features", "a,b", "--labels", "y", "--where", "year=2020"]
    )
    assert done.exit_code == 0, done.output
    told = open_coreset("out.zarr").provenance
    assert told["rows"] == 3 * ROWS
    assert told["input"]["where"] == "year=2020"
