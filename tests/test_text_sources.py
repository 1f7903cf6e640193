"""CSV and JSON lines: the same table however its rows are dealt out, and sentences for the rest."""

import bz2
import datetime as dt
import gzip
import itertools
import json
import os
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings, strategies as st

from dask_distill import InputError, InputWarning, distill, open_coreset, open_dataset
from dask_distill.cli.main import cli
from dask_distill.sources import cuts, text_files
from dask_distill.sources.cuts import last_end
from dask_distill.sources.files import files_at, files_like
from dask_distill.sources.tables_at import table_at
from dask_distill.storage.location import Location


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, data):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def found_at(*paths):
    """A table and its columns."""
    places = [Location(os.path.realpath(path)) for path in paths]
    files = files_at(places[0]) if len(places) == 1 else files_like(places)
    return table_at(places[0], files)


def table_of(*paths):
    return pa.concat_tables([part.read() for part in found_at(*paths).table.parts])


def refused(*parts):
    return pytest.raises(InputError, match="(?s)" + "".join(f"(?=.*{part})" for part in parts))


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of a few rows."""

    def set_to(size):
        monkeypatch.setattr(cuts, "PART_BYTES", size)
        monkeypatch.setattr(cuts, "_LONGEST_ROW", 10_000)
        text_files._KEPT.clear()

    return set_to


# ---------------------------------------------------------------- what cells are


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", "-2", ""], pa.int64(), [1, -2, None]),
        (["1", "2.5", "NA"], pa.float64(), [1, 2.5, None]),
        (["true", "False", ""], pa.bool_(), [True, False, None]),
        (["0", "1", "1"], pa.int64(), [0, 1, 1]),
        (["1", "true", "x"], pa.string(), ["1", "true", "x"]),
        (["1", "true", "0"], pa.string(), ["1", "true", "0"]),
        (["007", "12", ""], pa.string(), ["007", "12", None]),
        (["0.5", "-0.25", "0"], pa.float64(), [0.5, -0.25, 0]),
        (["0x10", "1", "2"], pa.string(), ["0x10", "1", "2"]),
        (
            ["2020-01-02", "", "2020-01-03"],
            pa.date32(),
            [dt.date(2020, 1, 2), None, dt.date(2020, 1, 3)],
        ),
        (
            ["2020-01-02", "2020-01-02 10:00:00", ""],
            pa.timestamp("s"),
            [dt.datetime(2020, 1, 2), dt.datetime(2020, 1, 2, 10), None],
        ),
        (["2020-01-02", "12", "x"], pa.string(), ["2020-01-02", "12", "x"]),
        (["", "NULL", "n/a"], pa.null(), [None] * 3),
        (["x", "", "NA"], pa.string(), ["x", None, None]),
        (['"a,b"', '"two\nlines"', '"say ""hi"""'], pa.string(), ["a,b", "two\nlines", 'say "hi"']),
        (['5" pipe', "y", '6"'], pa.string(), ['5" pipe', "y", '6"']),
    ],
)
def test_csv__cells_are_what_all_rows_are(cells, kind, values, small_parts):
    data = "n,v\n" + "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    for size in (2**20, 9, 3):
        small_parts(size)
        found = table_of(write("a.csv", data))
        assert found.schema.field("v").type == kind
        assert found.column("v").to_pylist() == values
        assert found.column("n").to_pylist() == [0, 1, 2]


def test_csv__codes_at_the_beginning_of_a_part_are_text(small_parts):
    for size in (2**20, 4):
        small_parts(size)
        assert table_of(write("a.csv", "v\n007\n12\n")).column("v").to_pylist() == ["007", "12"]
        assert table_of(write("a.csv", "v\n-01\n")).schema.types == [pa.string()]
        assert table_of(write("a.csv", "v,w\n1,  07\n")).column("w").to_pylist() == ["  07"]


def test_csv__seconds_that_nanoseconds_cannot_hold_are_text_whatever_the_parts(small_parts):
    """As Arrow has it for all cells at once."""
    data = "v\n1500-01-01\n2020-01-01T00:00:00.5\n"
    for size in (2**20, 12):
        small_parts(size)
        assert table_of(write("a.csv", data)).column("v").to_pylist() == data.split()[1:]
    near = "v\n1970-01-01\n2020-01-01T00:00:00.5\n"
    for size in (2**20, 12):
        small_parts(size)
        assert table_of(write("a.csv", near)).schema.field("v").type == pa.timestamp("ns")


@pytest.mark.parametrize(
    ("name", "head", "cells"),
    [
        ("a.csv", "a,b", "1,x"),
        ("a.csv", "a;b", "1;x"),
        ("a.csv", "a|b", "1|x"),
        ("a.csv", "a\tb", "1\tx"),
        ("a.tsv", "a\tb", "1\tx"),
        ("a.csv", '"a";b', "1;x"),
        ("a.csv", "\ufeffa,b", "1,x"),
        ("a.csv", "\n\na,b", "1,x"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_csv__delimiters_marks_and_ends_of_lines(name, head, cells, end):
    found = table_of(write(name, head.replace("\n", end) + end + cells + end + cells))
    assert found.to_pydict() == {"a": [1, 1], "b": ["x", "x"]}


def test_csv__a_column_without_a_name_is_the_index_that_pandas_wrote():
    write("a.csv", ",x,y\n0,1.5,u\n1,2.5,v\n2,0.5,u\n")
    dataset = open_dataset("a.csv")
    assert dataset.columns == ("x",)
    assert dataset.table.schema.names == ["Unnamed: 0", "x", "y"]
    assert dataset.labels.compute().tolist() == ["u", "v", "u"]


# ---------------------------------------------------------------- any layout, same table

PLAIN = st.text(st.sampled_from('ab",\n; é'), min_size=1, max_size=6).filter(str.strip)
ROWS = st.fixed_dictionaries(
    {
        "i": st.one_of(st.none(), st.integers(-(2**50), 2**50)),
        "f": st.one_of(st.none(), st.floats(-1e9, 1e9, allow_subnormal=False)),
        "t": st.one_of(st.none(), PLAIN.map(lambda text: f"t{text}")),
        "b": st.one_of(st.none(), st.booleans()),
        "d": st.one_of(st.none(), st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1))),
        "mixed": st.sampled_from([None, 1, 2.5, "x", "2020-01-01"]),
    }
)
SCHEMA = pa.schema(
    [
        ("i", pa.int64()),
        ("f", pa.float64()),
        ("t", pa.string()),
        ("b", pa.bool_()),
        ("d", pa.timestamp("s")),
    ]
)
# that types are these, whatever else is there
FIRST = {
    "i": 1,
    "f": 0.5,
    "t": "text",
    "b": True,
    "d": dt.datetime(2020, 1, 1, 10),
    "mixed": "word",
}


def cell(value):
    if value is None:
        return ""
    if isinstance(value, str):
        quoted = value.replace('"', '""')
        return f'"{quoted}"'
    if isinstance(value, dt.datetime):
        return value.isoformat(timespec="seconds")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def as_csv(rows):
    lines = [",".join(FIRST)] + [",".join(cell(row[name]) for name in FIRST) for row in rows]
    return "\n".join(lines) + "\n"


def as_json_lines(rows):
    plain = [
        {
            name: cell(value) if isinstance(value, dt.datetime) else value
            for name, value in row.items()
            # what is missing may be left out
            if value is not None or name in "ib"
        }
        for row in rows
    ]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in plain)


def in_files(rows, edges, write_one, ending):
    """Rows in several files; the paths of those that have some."""
    ends = sorted({0, len(rows), *(edge % (len(rows) + 1) for edge in edges)})
    paths = []
    for number, (start, stop) in enumerate(itertools.pairwise(ends)):
        paths.append(write(f"many/{number}.{ending}", write_one(rows[start:stop])))
    return paths


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(ROWS, min_size=1, max_size=20),
    edges=st.lists(st.integers(0, 40), max_size=4),
    size=st.sampled_from([7, 40, 150, 2**20]),
)
def test_text__same_rows_give_the_same_table_in_any_layout(rows, edges, size, small_parts):
    rows = [*rows, FIRST]
    whole = [row | {"d": row["d"] and row["d"].replace(microsecond=0)} for row in rows]
    columns = {name: [row[name] for row in whole] for name in SCHEMA.names}
    expected = pa.table(columns, SCHEMA)
    pq.write_table(expected, "one.parquet", row_group_size=3)
    for ending, write_one in (("csv", as_csv), ("jsonl", as_json_lines)):
        small_parts(2**20)
        one = table_of(write(f"one.{ending}", write_one(whole)))
        small_parts(size)
        assert table_of(f"one.{ending}").equals(one)
        for path in Path("many").glob("*") if Path("many").exists() else ():
            path.unlink()
        many = table_of(*in_files(whole, edges, write_one, ending))
        assert many.equals(one.select(many.column_names))
        assert set(many.column_names) == set(one.column_names)
        kept = one.select(SCHEMA.names)
        assert kept.cast(table_of("one.parquet").schema).equals(table_of("one.parquet"))
    # cells are text, so that all of them go together; JSON knows a number from a word
    assert table_of("one.csv").column("mixed")[-1].as_py() == "word"
    numbers = any(isinstance(row["mixed"], int | float) for row in whole)
    assert ("mixed" in table_of("one.jsonl").column_names) == (not numbers)


@settings(max_examples=300, deadline=None)
@given(data=st.lists(st.sampled_from(['"', '""', "\n", ",", "x", "\r\n", "a,b\n"]), max_size=14))
@example(data=['"', '"', '"', "\n", '"', '"', '"', ",", "\n"])
def test_last_end__is_never_within_a_quoted_cell(data):
    """Held against one byte after another, as Arrow reads."""
    text = "".join(data).encode()
    state, ends = "start", [0]
    for position, byte in enumerate(text):
        sign = chr(byte)
        if state == "quoted":
            state = "maybe" if sign == '"' else "quoted"
        elif (state == "maybe" and sign == '"') or (sign == '"' and state == "start"):
            state = "quoted"
        else:
            ends += [position + 1] if sign == "\n" else []
            state = "start" if sign in ",\n\r" else "cell"
    assert last_end(text, b",") == ends[-1]


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_part__any_rows_and_columns(ending, small_parts):
    rows = [FIRST | {"i": number, "t": f"row\n{number}"} for number in range(50)]
    data = (as_csv if ending == "csv" else as_json_lines)(rows)
    small_parts(300)
    write(f"a.{ending}", data)
    write(f"a.{ending}.gz", gzip.compress(data.encode()[:700]) + gzip.compress(data.encode()[700:]))
    write(f"a.{ending}.bz2", bz2.compress(data.encode()))
    with pa.CompressedOutputStream(pa.OSFile(f"a.{ending}.zst", "wb"), "zstd") as stream:
        stream.write(data.encode())
    for more in ("", ".gz", ".bz2", ".zst"):
        table = found_at(f"a.{ending}{more}").table
        assert table.n == 50
        assert (len(table.parts) == 1) == bool(more)
        first = 0
        for part in table.parts:
            whole = part.read()
            assert whole.column("i").to_pylist() == list(range(first, first + part.rows))
            middle = slice(part.rows // 3, part.rows - part.rows // 3)
            found = part.read(["t", "i"], middle.start, middle.stop)
            assert found.equals(
                whole.select(["t", "i"]).slice(middle.start, middle.stop - middle.start)
            )
            taken = np.arange(0, part.rows, 3)
            assert part.take(taken, ["t"]).equals(whole.select(["t"]).take(taken))
            assert part.take(taken[:0]).num_rows == 0
            first += part.rows


def test_json_lines__objects_are_structs_of_all_their_members(small_parts):
    data = (
        '{"a":{"b":1},"l":[],"n":null}\n'
        '{"a":{"b":2.5,"c":"x"},"l":[{"u":1}]}\n\n'
        '{"a":null,"l":[{"u":null,"v":[true]}],"late":"2020-01-01"}\n'
    )
    for size in (2**20, 10):
        small_parts(size)
        found = table_of(write("a.jsonl", data))
        inner = pa.struct([("u", pa.int64()), ("v", pa.list_(pa.bool_()))])
        assert dict(zip(found.column_names, found.schema.types, strict=True)) == {
            "a": pa.struct([("b", pa.float64()), ("c", pa.string())]),
            "l": pa.list_(inner),
            "n": pa.null(),
            "late": pa.timestamp("s"),
        }
        assert found.column("a").to_pylist() == [{"b": 1, "c": None}, {"b": 2.5, "c": "x"}, None]
        assert found.column("l")[2].as_py() == [{"u": None, "v": [True]}]


def test_json_lines__what_does_not_go_together_matters_only_where_it_is_used(small_parts):
    data = "".join(json.dumps({"x": n, "v": n if n % 3 else "w", "m": {}}) + "\n" for n in range(9))
    for size in (2**20, 30):
        small_parts(size)
        write("a.jsonl", data)
        assert table_of("a.jsonl").column_names == ["x"]
        left = {use.name: use.why for use in open_dataset("a.jsonl").uses if use.role == "left out"}
        assert left == {"v": "not the same in all rows", "m": "not the same in all rows"}
        with refused("features", "column 'v'", "write them alike"):
            open_dataset("a.jsonl", features="x,v")
        with refused("labels 'v'", "type"):
            open_dataset("a.jsonl", labels="v")


# ---------------------------------------------------------------- sentences

BAD = {
    "a row too long": (
        "a.csv",
        "a,b\n1,2\n1,2,3\n",
        r"\(2\), got 3 cells in row 2 of '.*a.csv'; mend",
    ),
    "no names": ("a.csv", "1,2\n3,4\n", "begin with a row of names, got '1, 2'.*; add one"),
    "names twice": ("a.csv", "a,a\n1,2\n", "different names, got 'a' twice"),
    "other letters": ("a.csv", b"a,b\n1,x\n1,\xff\n", "UTF-8 text, .* column 'b' in row 2 .*iconv"),
    "UTF-16": ("a.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-8 text, got UTF-16"),
    "nothing": ("a.csv", "", "at least one row, got none"),
    "names alone": ("a.csv", "a,b\n", "at least one row, got none"),
    "a list": ("a.jsonl", '[{"a": 1}]', "one object a line, got a list"),
    "no JSON": (
        "a.jsonl",
        '{"a": 1}\nnope\n',
        "one JSON object a line, .*'Invalid value.' in row 2",
    ),
    "half an object": ("a.jsonl", '{"a": 1}\n{"a":\n', "one JSON object a line, .* in row 2 of"),
    "a member twice": ("a.jsonl", '{"a": 1, "a": 2}\n', "'Column.*specified twice' in row 1"),
    "letters": ("a.jsonl", b'{"a": "\xff"}\n', "UTF-8 text, got other bytes in row 1 of"),
}


@pytest.mark.parametrize("case", BAD)
def test_text__what_cannot_be_read_is_one_sentence(case):
    name, data, sentence = BAD[case]
    write(name, data)
    with pytest.raises(InputError, match=sentence) as caught:
        open_dataset(name)
    assert "\n" not in str(caught.value)


def test_csv__a_quote_that_never_closes_is_told(small_parts, monkeypatch):
    small_parts(20)
    monkeypatch.setattr(cuts, "_LONGEST_ROW", 4)
    write("a.csv", 'a,b\n1,"x\n' + "2,y\n" * 50)
    with refused("source must have rows of at most", "begins at byte 4", "close its quotes"):
        found_at("a.csv")


def test_text__a_file_that_has_changed_is_told_with_row_and_column(small_parts):
    small_parts(2**20)
    rows = "".join(f"{n},x\n" for n in range(10))
    table = found_at(write("a.csv", "a,b\n" + rows)).table
    write("a.csv", "a,b\n" + rows.replace("4,x", "?,x"))
    with refused("int64 in all rows of column 'a'", r"'\?'", "in row 5 of", "open it again"):
        table.parts[0].read()
    assert table.parts[0].read(["b"]).num_rows == 10
    write("a.csv", "a,b\n" + rows[:-4])
    with refused("must not change while it is read", "instead of 10"):
        table.parts[0].read()
    table = found_at(write("a.jsonl", '{"a":1}\n{"a":2}\n')).table
    write("a.jsonl", '{"a":1}\n{"a":x}\n')
    with refused("one JSON object a line", "row 2", "open it again"):
        table.parts[0].read()


def test_folder__of_several_kinds_is_refused_by_name():
    write("p/a.csv", "a\n1\n")
    write("p/b.jsonl", '{"a": 1}\n')
    for source in ("p", "p/*", ["p/a.csv", "p/b.jsonl"]):
        with refused("files of one kind", "JSON lines", r"b\.jsonl'", "beside CSV", "pattern"):
            open_dataset(source)
    write("p/notes.txt", "notes")
    assert open_dataset("p/*.csv", features="a", columns={"a": "number"}).n == 1


# ---------------------------------------------------------------- data sets


def flights(n=600):
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "x": pa.array(rng.normal(size=n), mask=np.arange(n) % 7 == 0),
            "city": rng.choice(["rome", "oslo", "bonn"], n),
            "k": rng.integers(0, 90, n),
            "y": rng.choice(["a", "b"], n),
        }
    )


def written(table, path):
    frame = table.to_pandas()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if "csv" in path:
        frame.to_csv(path, index=False)
    elif "json" in path:
        frame.to_json(path, orient="records", lines=True)
    else:
        pq.write_table(table, path)
    return path


def test_distill__selects_the_same_rows_of_a_table_in_any_format():
    table = flights()
    for number, start in enumerate(range(0, 600, 200)):
        written(table.slice(start, 200), f"p/{number}.csv")
    paths = [written(table, f"a.{ending}") for ending in ("parquet", "csv", "jsonl", "csv.gz")]
    found = [distill(open_dataset(path, labels="y"), size=60) for path in (*paths, "p", "p/*.csv")]
    for coreset in found[1:]:
        assert (coreset.indices == found[0].indices).all()
        assert (coreset.weights == found[0].weights).all()
    assert found[1].table.schema.types[1:] == [pa.string(), pa.int64(), pa.string()]


def test_run__a_csv_file_and_judges_what_was_selected_of_it():
    written(flights(), "a.csv")

    def command(*words):
        done = CliRunner().invoke(cli, [*words, "--workers", "1", "--quiet"])
        assert done.exit_code == 0, done.output

    command("run", "a.csv", "out.zarr", "--labels", "y", "--size", "60")
    told = open_coreset("out.zarr").provenance["input"]
    assert told["labels"] == "y"
    command("evaluate", "out.zarr", "--source", "a.csv", "--seeds", "2")


def test_open_dataset__roles_of_a_csv():
    write(
        "a.csv",
        "id,x,w,u,v,when\n" + "".join(f"{n},{n}.5,1,{n % 2},1,2020-01-0{n}\n" for n in range(1, 7)),
    )
    options = {"features": "x", "labels": "u,v", "task": "multilabel", "sample_weight": "w"}
    dataset = open_dataset("a.csv", carry=["when", "id"], **options)
    assert dataset.labels.compute().tolist() == [[n % 2, 1] for n in range(1, 7)]
    assert dataset.carry["when"].dtype == "M8[D]"
    assert dataset.carry["id"].compute().dtype == np.int64
    assert dataset.sample_weight.compute().tolist() == [1] * 6
    for role in ({"labels": "nope"}, {"carry": ["nope"]}, {"sample_weight": "nope"}):
        with refused("nope", "there are: id, x"):
            open_dataset("a.csv", **role)


def test_open_dataset__labels_that_a_csv_lacks_are_missing_labels():
    write("p/0.csv", "a,y\n1,u\n2,v\n")
    write("p/1.csv", "b,a\n5,3\n")
    with pytest.warns(InputWarning, match=r"'y' is not in 1 of 2 files.*1\.csv.*no label"):
        dataset = open_dataset("p")
    assert dataset.labels.compute().tolist() == ["u", "v", None]
    assert table_of("p").to_pydict() == {
        "a": [1, 2, 3],
        "y": ["u", "v", None],
        "b": [None, None, 5],
    }


def test_open_dataset__partitions_splits_and_hidden_files_of_text():
    write("p/year=2020/train.csv", "a\n1\n")
    write("p/year=2021/train.csv", "a\n2\n")
    write("p/year=2021/test.csv", "a\n3\n")
    write("p/_SUCCESS", "")
    found = open_dataset("p", split="train", features="a,year").table
    assert pa.concat_tables([part.read() for part in found.parts]).to_pydict() == {
        "a": [1, 2],
        "year": [2020, 2021],
    }
    assert [(Path(path).parent.name, first) for path, first in found.files] == [
        ("year=2020", 0),
        ("year=2021", 1),
    ]


def test_open_dataset__text_of_other_file_systems(small_parts):
    small_parts(16)
    system = fsspec.filesystem("memory")
    with system.open("/texts/a.csv", "wb") as file:
        file.write(b"x,y\n" + b"".join(b"%d.5,%d\n" % (n, n % 2) for n in range(30)))
    try:
        dataset = open_dataset("memory://texts/a.csv")
        assert dataset.features.ravel().compute().tolist() == [n + 0.5 for n in range(30)]
        assert dataset.labels.compute().tolist() == [n % 2 for n in range(30)]
    finally:
        system.rm("/texts", recursive=True)


def test_open_text__files_are_read_once(monkeypatch):
    written(flights(), "a.csv")
    text_files._KEPT.clear()
    reads = []
    whole = text_files._read_through
    monkeypatch.setattr(
        text_files, "_read_through", lambda *args: reads.append(args) or whole(*args)
    )
    open_dataset("a.csv")
    open_dataset("a.csv", labels="y")
    assert len(reads) == 1
    os.utime("a.csv", ns=(0, 0))
    open_dataset("a.csv")
    assert len(reads) == 2
