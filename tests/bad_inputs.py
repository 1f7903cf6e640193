"""Bad inputs: what is there, what is asked, and the sentence that the user reads.

Each case is a function that fills the current folder, a command line, and a pattern that the one
line on stderr must match. ``test_bad_inputs.py`` walks through them.
"""

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

from dask_distill.storage import group as store
from dask_distill.strategies import STRATEGIES

X = np.arange(40.0).reshape(20, 2)
Y = np.arange(20) % 2
SPOILED = np.where(X == 7, np.nan, X)
INFINITE = np.where(X > 35, -np.inf, X)


def group(**arrays):
    """Write a zarr group of these arrays, `in.zarr`."""

    def make():
        root = zarr.open_group("in.zarr", mode="w")
        for name, values in arrays.items():
            array = np.asarray(values)
            if array.dtype.kind == "U":
                array = array.astype(np.dtypes.StringDType())
            chunks = (max(1, min(8, len(array))), *(max(1, s) for s in array.shape[1:]))
            # chunks of zeros are stored too: a source without chunks is another case
            config = {"write_empty_chunks": True}
            root.create_array(name, data=array, chunks=chunks, config=config)

    return make


good = group(X=X, y=Y)


def nothing():
    pass


@dataclass(frozen=True)
class Bad:
    """One bad input."""

    sentence: str
    make: Callable[[], None] = good
    more: tuple[str, ...] = ("--size", "3")
    source: str = "in.zarr"
    target: str = "out.zarr"
    # a whole command instead
    command: tuple[str, ...] = ()

    @property
    def words(self):
        """Of the command line."""
        return list(self.command or ("run", self.source, self.target, "--quiet", *self.more))


def size(*more):
    return ("--size", "3", *more)


# ---------------------------------------------------------------- files that are made by hand


def v2(dtype, filters=None, chunks=(20, 2), data=b"", compressor=None, shape=(20, 2)):
    """A group in zarr's second format whose array X says what we like."""

    def make():
        group(y=Y)()
        root = Path("in.zarr")
        (root / "zarr.json").unlink()
        (root / ".zgroup").write_text('{"zarr_format": 2}')
        for name, meta, values in (
            ("X", (dtype, filters, chunks, compressor, shape), data),
            ("y", ("<i8", None, (20,), None, (20,)), Y.astype("<i8").tobytes()),
        ):
            folder = root / name
            if (folder / "zarr.json").exists():
                (folder / "zarr.json").unlink()
            folder.mkdir(exist_ok=True)
            kind, how, cut, packed, size_ = meta
            (folder / ".zarray").write_text(
                json.dumps(
                    {
                        "zarr_format": 2,
                        "shape": size_,
                        "chunks": cut,
                        "dtype": kind,
                        "compressor": packed,
                        "fill_value": 0,
                        "order": "C",
                        "filters": how,
                    }
                )
            )
            if values:
                (folder / ".".join("0" for _ in size_)).write_bytes(values)

    return make


class Evil:
    """What a pickle may do when it is opened."""

    def __reduce__(self):
        return (Path("pwned").touch, ())


def pickled_npy():
    np.save("in.npy", np.array([[Evil(), 1]], dtype=object))


def pickled_npz():
    np.savez("in.npz", X=X, y=np.array([Evil()] * 20, dtype=object))


def spoil(change, pattern="in.zarr/X/c/1/0"):
    """Change the bytes of a chunk of a good group."""

    def make():
        good()
        chunk = Path(pattern)
        chunk.write_bytes(change(chunk.read_bytes()))

    return make


def flip(data):
    return data[:-3] + bytes([data[-3] ^ 8]) + data[-2:]


def checked():
    """A group whose chunks have a checksum, one of them spoiled."""
    root = zarr.open_group("in.zarr", mode="w")
    for name, values in {"X": X, "y": Y}.items():
        codec = zarr.codecs.Crc32cCodec()
        root.create_array(name, data=values, chunks=(8, *values.shape[1:]), compressors=[codec])
    chunk = Path("in.zarr/X/c/1/0")
    chunk.write_bytes(flip(chunk.read_bytes()))


def metadata(**changes):
    """A good group whose array X says something else of itself."""

    def make():
        good()
        path = Path("in.zarr/X/zarr.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return make


def claimed(shape, chunks):
    grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
    return metadata(shape=shape, chunk_grid=grid)


def damaged_group():
    Path("in.zarr").mkdir()
    Path("in.zarr/zarr.json").write_text("{")


def parquet(**columns):
    def make():
        pd.DataFrame(columns).to_parquet("in.parquet")

    return make


good_parquet = parquet(a=X[:, 0], b=X[:, 1], y=Y)


def two_types():
    Path("in.parquet").mkdir()
    pd.DataFrame({"a": [1.0, 2.0], "y": [0, 1]}).to_parquet("in.parquet/0.parquet")
    pd.DataFrame({"a": ["x", "z"], "y": [0, 1]}).to_parquet("in.parquet/1.parquet")


def label_types():
    Path("in.parquet").mkdir()
    pd.DataFrame({"a": [1.0, 2.0], "y": [0, 1]}).to_parquet("in.parquet/0.parquet")
    pd.DataFrame({"a": [1.0, 2.0], "y": ["0", "1"]}).to_parquet("in.parquet/1.parquet")


def text(path, content="no data"):
    def make():
        Path(path).write_text(content)

    return make


def cut_parquet():
    good_parquet()
    data = Path("in.parquet").read_bytes()
    Path("in.parquet").write_bytes(data[: len(data) // 2])


def cut_npy():
    np.save("in.npy", X)
    data = Path("in.npy").read_bytes()
    Path("in.npy").write_bytes(data[:-40])


def huge_npy():
    np.save("in.npy", X)
    data = Path("in.npy").read_bytes()
    Path("in.npy").write_bytes(data.replace(b"(20, 2)", b"(2000000000, 2000)"[:18], 1))


def cut_npz():
    np.savez("in.npz", X=X, y=Y)
    data = Path("in.npz").read_bytes()
    Path("in.npz").write_bytes(data[:-100])


def pickle_file():
    Path("in.npy").write_bytes(pickle.dumps(Evil()))


def folder(name):
    def make():
        good()
        Path(name).mkdir()

    return make


def blocker():
    good()
    Path("file").write_text("")


def later_format():
    arrays = {"index": np.arange(3), "weight": np.ones(3, "f4")}
    import dask.array as da

    store.write("old.zarr", {k: da.from_array(v) for k, v in arrays.items()}, {})
    path = Path("old.zarr/zarr.json")
    content = json.loads(path.read_text())
    content["attributes"]["dask_distill"]["format_version"] = 99
    path.write_text(json.dumps(content))


def made_rows():
    import dask.array as da

    from dask_distill import Synthetic

    Synthetic(weights=np.ones(20, "f4"), provenance={}, features=da.from_array(X)).to_zarr(
        "made.zarr"
    )


def subset():
    from dask_distill import distill

    distill(X, Y, size=12, strategy="random").to_zarr("subset.zarr")


def subset_and_source():
    subset()
    good()


def scores_and_source(target="out.zarr"):
    import dask.array as da

    from dask_distill.subset.scores_target import write_scores

    good()
    write_scores({"entropy": da.from_array(np.ones(20, "f4"))}, {}, target)


def scores_elsewhere():
    scores_and_source("scores.zarr")


def scores_of_more_rows():
    scores_elsewhere()
    group(X=X[:12], y=Y[:12])()


def scores_beside():
    scores_and_source("out.scores.zarr")


def score(*more):
    return ("score", "in.zarr", "out.zarr", "--quiet", *more)


def synthesize(*more):
    return ("synthesize", "subset.zarr", "out.zarr", *more)


def follow(*more):
    return ("follow", "in.zarr", "out.zarr", "--once", "--quiet", *more)


def plain_group():
    zarr.open_group("old.zarr", mode="w")


OWN_CLUSTER = {"--workers", "--scheduler-address", "--scheduler-file", "--cluster", "--tls"}

BAD: dict[str, Bad] = {
    # ------------------------------------------------ the source
    "no source": Bad("source '.*in.zarr' does not exist; check the path", nothing),
    "empty folder": Bad(
        "must be a zarr group, or a file or folder of parquet, CSV or JSON lines, got a folder",
        folder("in"),
        source="in",
    ),
    "where of arrays": Bad(
        "where must be of a folder, list or pattern of tables, got 'year=1' of .*leave it out",
        more=("--size", "3", "--where", "year=1"),
    ),
    "where that cannot be read": Bad(
        "where must be conditions such as .*, got 'year=>1', which cannot be read from '>' on",
        more=("--size", "3", "--where", "year=>1"),
    ),
    "CSV without names": Bad(
        "source must begin with a row of names, got '1, 2' in '.*in.csv'; add one",
        text("in.csv", "1,2\n3,4\n"),
        source="in.csv",
    ),
    "CSV with a row too long": Bad(
        r"as many cells in every row as there are names \(2\), got 3 cells in row 2 of",
        text("in.csv", "a,b\n1,2\n1,2,3\n"),
        source="in.csv",
    ),
    "JSON that is none": Bad(
        "source must have one JSON object a line, got .* in row 2 of '.*in.jsonl'; mend it",
        text("in.jsonl", '{"a": 1}\nnope\n'),
        source="in.jsonl",
    ),
    "unknown kind of file": Bad(
        "must be a zarr group, a file or folder of parquet, CSV or JSON lines, or an .npy or .npz",
        text("in.txt"),
        source="in.txt",
    ),
    "unknown protocol": Bad(
        "must be readable, got ValueError: Protocol not known: gopher",
        nothing,
        source="gopher://here/in.zarr",
    ),
    "damaged group": Bad(
        "source 'in.zarr' must be readable, got JSONDecodeError: .*; check that it is complete",
        damaged_group,
    ),
    "missing features": Bad(r"features must be in '.*', got 'X'", group(y=Y)),
    "missing labels array": Bad("labels must be in '.*', got 'z'", more=size("--labels", "z")),
    "column to write that is not there": Bad(
        r"columns must be of the table, got 'bb' \(did you mean 'b'\?\)",
        good_parquet,
        source="in.parquet",
        more=size("--columns", "a,bb"),
    ),
    "how a column is read among those to write": Bad(
        "--columns must be names of columns to write, got 'b=category'; to say how one is read: "
        "--column b=category",
        good_parquet,
        source="in.parquet",
        more=size("--columns", "b=category"),
    ),
    "columns to write of arrays": Bad(
        "columns must be those of a table, got 'X' for a source of arrays; name what is to be "
        "written beside features and labels with --carry",
        more=size("--columns", "X"),
    ),
    "nested column for zarr": Bad(
        r"got at \(struct<x: int64>\); write parquet, a target that ends in .parquet, or restrict "
        "what is written with --columns",
        parquet(a=X[:, 0], at=[{"x": 1}] * 20, y=Y),
        source="in.parquet",
    ),
    "lists of two lengths for zarr": Bad(
        "column 'v' must have as many numbers in every list to be a zarr array, got 1 and 2; write",
        parquet(a=X[:, 0], v=[[1.0] * (1 + row % 2) for row in range(20)], y=Y),
        source="in.parquet",
    ),
    "missing sample weights": Bad(
        "--sample-weight must be in '.*', got 'w'; there are: X, y",
        more=size("--sample-weight", "w"),
    ),
    "missing column of sample weights": Bad(
        "--sample-weight must be in '.*', got 'w'; there are: a, b, y",
        good_parquet,
        source="in.parquet",
        more=size("--sample-weight", "w"),
    ),
    "negative sample weight": Bad(
        "--sample-weight must be finite and at least 0, got -1 in row 7 and 1 such in all; mend "
        "them, or pass --sample-weight '' to count rows alike",
        group(X=X, y=Y, w=np.where(np.arange(20) == 7, -1.0, 1.0)),
        more=size("--sample-weight", "w"),
    ),
    "missing sample weight in a column": Bad(
        "--sample-weight must be finite and at least 0, got nan in row 3 and 2 such in all",
        parquet(a=X[:, 0], y=Y, w=np.where(np.isin(np.arange(20), (3, 5)), np.nan, 1.0)),
        source="in.parquet",
        more=size("--sample-weight", "w"),
    ),
    "no sample weight above 0": Bad(
        "--sample-weight must be above 0 in some row, got 0 in all 20",
        group(X=X, y=Y, w=np.zeros(20)),
        more=size("--sample-weight", "w"),
    ),
    "sample weights beyond float32": Bad(
        "--sample-weight must be 0 or at least 1.2e-38, and sum to at most 3.4e.38, .* got 1e-50",
        group(X=X, y=Y, w=np.where(np.arange(20) == 7, 1e-50, 1.0)),
        more=size("--sample-weight", "w"),
    ),
    "text for sample weights": Bad(
        "--sample-weight must have one number a row, got shape .20,. of ",
        group(X=X, y=Y, w=np.full(20, "a")),
        more=size("--sample-weight", "w"),
    ),
    "two sample weights a row": Bad(
        "--sample-weight must have one number a row, got shape .20, 2. of float64",
        group(X=X, y=Y, w=X),
        more=size("--sample-weight", "w"),
    ),
    "more rows than have a weight": Bad(
        "size must be from 1 to the number of rows 2, got 3; lower it",
        group(X=X, y=Y, w=np.where(np.arange(20) < 2, 1.0, 0.0)),
        more=size("--sample-weight", "w", "--strategy", "stratified"),
    ),
    "search with sample weights": Bad(
        "strategy search takes no sample weights, got w; choose the strategy first, or pass",
        group(X=X, y=Y, w=np.ones(20)),
        more=size("--sample-weight", "w", "--strategy", "search"),
    ),
    "sample weights of data that grows": Bad(
        "--sample-weight cannot be used on data that grows, got w; select from all of it",
        group(X=X, y=Y, w=np.ones(20)),
        command=follow("--size", "3", "--sample-weight", "w"),
    ),
    "missing carry": Bad("carry t must be in '.*', got 't'", more=size("--carry", "t")),
    "name that leaves": Bad(
        "must be readable, got ValueError: The path '../in.zarr/X' is invalid",
        more=size("--features", "../in.zarr/X"),
    ),
    "carry that leaves": Bad(
        "must be readable, got ValueError: The path '../../etc/passwd' is invalid",
        more=size("--carry", "../../etc/passwd"),
    ),
    "absolute name": Bad(
        "labels must be in '.*', got '/etc/passwd'; there are: X, y",
        more=size("--labels", "/etc/passwd"),
    ),
    "group for an array": Bad(
        "features must be an array, got 'X', which is a group in '.*'; its arrays are: X/a",
        group(**{"X/a": X, "y": Y}),
    ),
    "columns that are none": Bad(
        r"columns of one number a row .* got X \(float64, 20 x 2\); name one array",
        more=size("--features", "X,y"),
    ),
    "columns of other rows": Bad(
        "columns of the same rows, got 20 in a, 19 in b; name others",
        group(a=Y, b=Y[:19]),
        more=size("--features", "a,b"),
    ),
    "columns with the label": Bad(
        "must not hold labels or what is carried, got column 'y'",
        group(a=Y, y=Y),
        more=size("--features", "a,y"),
    ),
    "no column fits": Bad(
        r"features must be in '.*', got 'z\*'; there are: X, y", more=size("--features", "z*")
    ),
    "chain as a target": Bad(
        "target 'simplecache::memory://out' must be a path or one URL, got a chain",
        target="simplecache::memory://out",
    ),
    "an archive of one reader": Bad(
        "must be readable by several at once, got 'tar://::in.tar'.* pack it as zip",
        source="tar://::in.tar",
    ),
    "lengths differ": Bad(
        r"labels must have as many rows as features \(20\), got 19", group(X=X, y=Y[:19])
    ),
    "no features": Bad(r"at least one column, got shape \(20, 0\)", group(X=X[:, :0], y=Y)),
    "no rows": Bad(r"at least one row, got shape \(0, 2\)", group(X=X[:0], y=Y[:0])),
    "complex features": Bad(
        "features must be numbers, got dtype complex128; encode or leave out", group(X=X + 1j, y=Y)
    ),
    "dates for features": Bad(
        r"features must be numbers, got dtype datetime64\[s\]; encode",
        group(X=X.astype("M8[s]"), y=Y),
    ),
    "text for features": Bad(
        "features must be numbers, got dtype StringDType", group(X=X.astype(str), y=Y)
    ),
    "nan": Bad("features has 1 NaN value, first in row 3, column 1; clean", group(X=SPOILED, y=Y)),
    "infinite": Bad("4 infinite values, first in row 18, column 0", group(X=INFINITE, y=Y)),
    "nothing valid": Bad(
        "features has no valid row among 20: all hold NaN or infinite .*; clean them",
        group(X=X * np.nan, y=Y),
        size("--on-invalid", "drop"),
    ),
    # ------------------------------------------------ labels
    "missing labels": Bad(
        "labels has 1 missing, first in row 5; fill",
        group(X=X, y=np.where(Y + X[:, 0] == 11, np.nan, 1.0)),
    ),
    "one class": Bad("at least two classes, got only 0 in 20 rows", group(X=X, y=Y * 0)),
    "one row": Bad(
        "at least two classes, got only 0 in 1 rows; pass --labels '' to select without",
        group(X=X[:1], y=Y[:1]),
        ("--size", "1"),
    ),
    "regression": Bad(
        r"labels must be classes \(ints or strings\), got float64", group(X=X, y=Y / 3)
    ),
    "every row a class": Bad(
        "labels must be classes with rows to choose from, got 20 different values in 20 rows",
        group(X=X, y=np.arange(20)),
    ),
    "labels of two axes": Bad(
        r"labels must have one value a row, got shape \(20, 2\); of one-hot", group(X=X, y=X)
    ),
    "dates for labels": Bad(
        r"labels must be ints or strings, got dtype datetime64\[s\]; convert",
        group(X=X, y=Y.astype("M8[s]")),
    ),
    "unlabelled": Bad(
        "strategy stratified needs labels, got none; pass",
        group(X=X),
        size("--strategy", "stratified"),
    ),
    "types of labels differ": Bad(
        "types go together in all files, got column 'y' of type string in .* and int64 before it; "
        "write them alike",
        label_types,
        source="in.parquet",
    ),
    # ------------------------------------------------ hostile and damaged files
    "pickled features": Bad(
        "must hold no object arrays: they would be unpickled", pickled_npy, source="in.npy"
    ),
    "pickled labels": Bad(
        "must hold no object arrays: they would be unpickled; save numbers",
        pickled_npz,
        source="in.npz",
    ),
    "a pickle": Bad(
        "must be readable, got ValueError: the magic string is not correct",
        pickle_file,
        source="in.npy",
    ),
    "pickle codec": Bad(
        "must be readable, got ValueError: No Zarr data type .* 'pickle'",
        v2("|O", [{"id": "pickle"}], data=pickle.dumps(Evil())),
    ),
    "json objects": Bad(
        "must be readable, got ValueError: No Zarr data type .* 'json2'",
        v2("|O", [{"id": "json2"}], data=b"[1]"),
    ),
    "unknown codec": Bad(
        "must be readable, got UnknownCodecError: .*'mystery'",
        v2("<f8", compressor={"id": "mystery"}, data=b"1"),
    ),
    "huge chunk": Bad(
        "source '.*in.zarr/X' must be readable, got ValueError: cannot reshape .*; it is damaged",
        claimed([20, 2], [2**40, 2]),
    ),
    "huge shape": Bad(
        r"labels must have as many rows as features \(1125899906842624\), got 20",
        claimed([2**50, 2], [2**40, 2]),
    ),
    "huge zarr 2 chunk": Bad(
        "source '.*in.zarr/X' must be readable, got ValueError: cannot reshape .*; it is dam",
        v2("<f8", chunks=(2**40, 2), data=b"1" * 320),
    ),
    "negative shape": Bad(
        "must be readable, got ValueError: Expected all values to be non-negative",
        metadata(shape=[-20, 2]),
    ),
    "unknown type": Bad(
        "must be readable, got ValueError: No Zarr data type .* 'float1024'",
        metadata(data_type="float1024"),
    ),
    "truncated chunk": Bad(
        "source '.*in.zarr/X' must be readable, got RuntimeError: Zstd .*; it is damaged: rest",
        spoil(lambda data: data[:-5]),
    ),
    "garbage in a chunk": Bad(
        "source '.*in.zarr/X' must be readable, got RuntimeError: Zstd .*; it is damaged",
        spoil(lambda data: b"garbage"),
    ),
    "empty chunk": Bad(
        "source '.*in.zarr/X' must be readable, got RuntimeError: Zstd .*; it is damaged",
        spoil(lambda data: b""),
    ),
    "flipped bit": Bad(
        "source '.*in.zarr/X' must be readable, got ValueError: Stored and computed checksum do",
        checked,
    ),
    "truncated npy": Bad(
        r"must hold 448 bytes for shape \(20, 2\), got 408; check that it is complete",
        cut_npy,
        source="in.npy",
    ),
    "huge npy": Bad(
        "must hold 32000000000128 bytes for shape .*, got 459; check that it is",
        huge_npy,
        source="in.npy",
    ),
    "npy that is none": Bad(
        "must be readable, got ValueError: EOF: reading magic string, .* got 7;",
        text("in.npy"),
        source="in.npy",
    ),
    "empty npy": Bad(
        "must be readable, got ValueError: EOF: reading magic string, .* got 0;",
        text("in.npy", ""),
        source="in.npy",
    ),
    "truncated npz": Bad(
        "source 'in.npz' must be readable, got BadZipFile: File is not a zip file",
        cut_npz,
        source="in.npz",
    ),
    "npz that is none": Bad(
        "source 'in.npz' must be readable, got BadZipFile: File is not a zip file",
        text("in.npz"),
        source="in.npz",
    ),
    "parquet that is none": Bad(
        "must be readable, got ArrowInvalid: Parquet file size is 7 bytes",
        text("in.parquet"),
        source="in.parquet",
    ),
    "truncated parquet": Bad(
        "must be readable, got ArrowInvalid: Parquet magic bytes not found",
        cut_parquet,
        source="in.parquet",
    ),
    "parquet folder without files": Bad(
        "got a folder without any file that ends in .parquet, .parq, .pq, .csv, .tsv, .jsonl",
        lambda: Path("in.parquet").mkdir(),
        source="in.parquet",
    ),
    "types differ by file": Bad(
        "types go together in all files, got column 'a' of type string in .* and double before it",
        two_types,
        size("--features", "a"),
        source="in.parquet",
    ),
    "nothing but types that differ by file": Bad(
        r"got no column of '.*' that does: a \(not the same in all files\); name features",
        two_types,
        source="in.parquet",
    ),
    "missing column": Bad(
        "features must be in '.*', got 'c'; there are: a, b, y",
        good_parquet,
        size("--features", "c"),
        source="in.parquet",
    ),
    "missing label column": Bad(
        "labels must be in '.*', got 'z'; there are: a, b, y",
        good_parquet,
        size("--labels", "z"),
        source="in.parquet",
    ),
    "ragged column": Bad(
        r"got no column of '.*' that does: a \(list.*: lists of differing length\); name features",
        parquet(a=[[1], [1, 2]] * 10, y=Y),
        size("--features", "a"),
        source="in.parquet",
    ),
    "bytes column": Bad(
        r"a \(binary: bytes say nothing of what a row is like\); name features with --features, "
        "or say how one is read: --column NAME=KIND",
        parquet(a=[b"u", b"v"] * 10, y=Y),
        source="in.parquet",
    ),
    "text column of an archive": Bad(
        "features must be numbers",
        lambda: np.savez("in.npz", X=np.array(["u", "v"] * 10).reshape(-1, 1), y=Y),
        source="in.npz",
    ),
    # ------------------------------------------------ how many, and how
    "fraction 0": Bad("fraction must be above 0 and at most 1, got 0", more=("--fraction", "0")),
    "fraction negative": Bad("fraction must be above 0 .* got -0.1", more=("--fraction", "-0.1")),
    "fraction above 1": Bad(
        "got 1.5; to give a number of rows, use --size", more=("--fraction", "1.5")
    ),
    "fraction nan": Bad("fraction must be above 0 .* got nan", more=("--fraction", "nan")),
    "fraction word": Bad(
        "'some' is no part; give one such as 0.1 or 10%", more=("--fraction", "some")
    ),
    "fraction of many digits": Bad("fraction must be .* got inf", more=("--fraction", "1e400%")),
    "size 0": Bad("from 1 to the number of rows 20, got 0", more=("--size", "0")),
    "size above n": Bad("number of rows 20, got 21; lower it", more=("--size", "21")),
    "size word": Bad("'1.5' is no number of rows", more=("--size", "1.5")),
    "size a part": Bad("no number of rows; for a part of them: --fraction", more=("--size", "9%")),
    "both": Bad("exactly one of fraction and size .* got", more=size("--fraction", "0.1")),
    "neither": Bad("exactly one of fraction and size must be given, got neither", more=()),
    "no subsets": Bad(
        "subsets must be an int from 1 to 100, got 0; 1 is one", more=size("--subsets", "0")
    ),
    "subsets and protected rows": Bad(
        "subsets must be 1 beside protect and initial, got 2: .*; leave one of them out",
        more=size("--subsets", "2", "--protect", "rare=3"),
    ),
    "seed": Bad("seed must be an int from 0 to .* got -1", more=size("--seed", "-1")),
    "huge seed": Bad("seed must be an int from 0 to", more=size("--seed", str(2**63))),
    "strategy that is like one": Bad(
        r"got 'kcentre' \(did you mean 'kcenter'\?\)", more=size("--strategy", "kcentre")
    ),
    "option that is like one": Bad(
        r"got 'trst' \(did you mean 'trust'\?\)", more=size("--option", "trst=1")
    ),
    "carry that is like an array": Bad(
        r"got 'XX' \(did you mean 'X'\?\); there are", more=size("--carry", "XX")
    ),
    "word that is like a choice": Bad(
        r"'standrd' is not one of .* \(did you mean 'standard'\?\)",
        more=size("--scale", "standrd"),
    ),
    "on-invalid": Bad("'skip' is not one of 'raise', 'drop'", more=size("--on-invalid", "skip")),
    "unknown strategy": Bad(
        f"strategy must be one of {', '.join(STRATEGIES)}, got 'best'",
        more=size("--strategy", "best"),
    ),
    "unknown option": Bad(
        "option of strategy auto must be one of: .*; got 'trusty'",
        more=size("--option", "trusty=1"),
    ),
    "option value": Bad(
        "pick must be \"auto\" or from 0 to 1, got 'much'",
        more=size("--option", "pick=much"),
    ),
    "option word": Bad(
        'trust must be "auto", "confident" or a number of at least 0, got \'much\'',
        more=size("--option", "trust=much"),
    ),
    "option form": Bad("--option must be KEY=VALUE", more=size("--option", "trust")),
    "option out of range": Bad(
        'pick must be "auto" or from 0 to 1, got 7.0', more=size("--option", "pick=7")
    ),
    "balance": Bad('balance must be "proportional"', more=size("--option", "balance=fair")),
    "metric": Bad(
        'metric must be "euclidean" or "cosine", got',
        more=size("--strategy", "kcenter", "--option", "metric=taxi"),
    ),
    "scale": Bad(
        'scale must be "standard" or "none", got',
        more=size("--strategy", "kcenter", "--option", "scale=big"),
    ),
    "iterations": Bad(
        "iterations must be from 0 to 100, got -1",
        more=size("--strategy", "kmeans", "--option", "iterations=-1"),
    ),
    "eps": Bad("eps must", more=size("--strategy", "dbscan", "--option", "eps=-1")),
    "distinct rows": Bad(
        "number of distinct rows 1, got 3; lower it",
        group(X=X * 0, y=Y),
        size("--strategy", "kcenter"),
    ),
    "refine": Bad(
        "refine must be 0 with exact, got 2; leave one of them out",
        more=size("--strategy", "kcenter", "--option", "refine=2", "--option", "exact=true"),
    ),
    "outliers": Bad(
        "size and outliers must be fewer than the rows [0-9]+, got 3 and 9999; lower outliers",
        more=size("--strategy", "kcenter", "--option", "outliers=9999"),
    ),
    "carry name": Bad("carry must not be named as the labels", more=size("--carry", "y")),
    # ------------------------------------------------ where it runs
    "workers": Bad("workers must be at least 1, got 0", more=size("--workers", "0")),
    "two clusters": Bad(
        "at most one of workers, --scheduler-address and --scheduler-file may be given, got 2",
        more=size("--workers", "1", "--scheduler-address", "tcp://127.0.0.1:1"),
    ),
    "unknown cluster": Bad("'cloud' is not one of", more=size("--cluster", "cloud")),
    "no scheduler file": Bad(
        "--scheduler-file must be a file, got 'none.json'",
        more=size("--scheduler-file", "none.json"),
    ),
    "tls elsewhere": Bad(
        "tls must be for a cluster that is started on this machine, got a sched",
        more=size("--tls", "--scheduler-address", "tls://127.0.0.1:1"),
    ),
    "one tls file": Bad(
        "--tls-ca-file must be given with the other two",
        more=size("--scheduler-address", "tls://127.0.0.1:1", "--tls-cert", "in.zarr/zarr.json"),
    ),
    "no tls file": Bad(
        "--tls-ca-file must be a file, got 'a'",
        more=size(
            "--scheduler-address",
            "tls://127.0.0.1:1",
            "--tls-ca-file",
            "a",
            "--tls-cert",
            "b",
            "--tls-key",
            "c",
        ),
    ),
    "tls without certificates": Bad(
        "must be joined with certificates, got none",
        more=size("--scheduler-address", "tls://127.0.0.1:1"),
    ),
    "unknown flag": Bad("No such option", more=size("--sized")),
    "storage option": Bad(
        "--storage-option must be KEY=VALUE", more=size("--storage-option", "anon")
    ),
    # ------------------------------------------------ the target
    "target exists": Bad(
        "target 'there' exists; choose another, or pass --overwrite",
        folder("there"),
        target="there",
    ),
    "target that is not ours": Bad(
        "must be a subset written by dask-distill to be overwritten",
        folder("there"),
        size("--overwrite"),
        target="there",
    ),
    "target is the source": Bad(
        "target 'in.zarr' must not be, hold or lie in the source", target="in.zarr"
    ),
    "target in the source": Bad(
        "target 'in.zarr/sub' must not be, hold or lie in", target="in.zarr/sub"
    ),
    "target without name": Bad("target must be a path or URL, got an empty string", target=""),
    "target in a file": Bad(
        "target must lie in a folder that can be written to", blocker, target="file/out.zarr"
    ),
    "target of unknown protocol": Bad(
        "must be within reach, got ValueError: Protocol not known: gopher",
        target="gopher://here/out",
    ),
    "array that parquet does not have": Bad(
        "carry z must be of a type that parquet has, got complex128; write it to zarr",
        group(X=X, y=Y, z=Y.astype(complex)),
        more=size("--carry", "z"),
        target="out.parquet",
    ),
    "folder that is not ours": Bad(
        "must be a subset written by dask-distill to be overwritten",
        folder("there.parquet"),
        size("--overwrite"),
        target="there.parquet",
    ),
    "parquet file as a target": Bad(
        "target 'in.parquet' must not be, hold or lie in the source",
        good_parquet,
        size("--overwrite"),
        source="in.parquet",
        target="in.parquet",
    ),
    "follow into parquet": Bad(
        "target must be a zarr group for the subset of a source that is followed, got 'o.parquet'",
        command=("follow", "in.zarr", "o.parquet", *size(), "--once"),
    ),
    "verify of parquet that is not there": Bad(
        "target 'out.parquet' does not exist; check the path", command=("verify", "out.parquet")
    ),
    "report of parquet that is not ours": Bad(
        "target 'in.parquet' must be a subset written by dask-distill, got something else",
        good_parquet,
        command=("report", "in.parquet"),
    ),
    "target is a bucket": Bad(
        "target 'gs://bucket' must be a place in a bucket, got the bucket itself",
        target="gs://bucket",
    ),
    "resume and overwrite": Bad(
        "at most one of resume and overwrite may be given", more=size("--resume", "--overwrite")
    ),
    # ------------------------------------------------ reductions and time
    "an unknown reduction": Bad(
        "reduce must be one of pca:32",
        command=("run", "in.zarr", "out.zarr", "--size", "3", "--reduce", "umap:3"),
    ),
    "more directions than features": Bad(
        "at most the 2 features there are, got 3",
        command=("run", "in.zarr", "out.zarr", "--size", "3", "--reduce", "pca:3"),
    ),
    "a function that is not there": Bad(
        "must name a function that can be imported",
        command=("run", "in.zarr", "out.zarr", "--size", "3", "--reduce", "no_such_module:f"),
    ),
    "a time scale without time": Bad(
        "--time-scale auto needs to know when each row was",
        command=("run", "in.zarr", "out.zarr", "--size", "3", "--time-scale", "auto"),
    ),
    "a time that is not there": Bad(
        "when",
        command=("run", "in.zarr", "out.zarr", "--size", "3", "--time", "when"),
    ),
    # ------------------------------------------------ data that grows
    "a source to follow that is not there": Bad(
        "source 'in.zarr' does not exist; check the path", nothing, command=follow(*size())
    ),
    "a file to follow": Bad(
        "source 'in.npz' must be a folder of files or a zarr group to be followed, got a file",
        lambda: np.savez("in.npz", X=X),
        command=("follow", "in.npz", "out.zarr", *size(), "--once"),
    ),
    "a parquet target of data that grows": Bad(
        "target must be a zarr group for the subset of a source that is followed, got "
        "'out.parquet'; give a name that does not end in .parquet",
        command=("follow", "in.zarr", "out.parquet", *size(), "--once"),
    ),
    "a strategy that cannot follow": Bad(
        "strategy gradient cannot follow data that grows: .* use one of kcenter, auto",
        command=follow(*size("--strategy", "gradient")),
    ),
    "following in a reduced space": Bad(
        "reduce cannot be used on data that grows, got pca:2: .* leave it out",
        command=follow(*size("--reduce", "pca:2")),
    ),
    "a window smaller than the subset": Bad(
        "window must be a number of rows, at least size 3, got 2",
        command=follow(*size("--window", "2")),
    ),
    "a half-life of nothing": Bad(
        "--half-life must be a number of rows above 0, got 0.0",
        command=follow(*size("--half-life", "0")),
    ),
    "a window of a part": Bad(
        "window needs a subset of fixed size, got --fraction 0.5; pass --size",
        command=follow("--fraction", "0.5", "--window", "9"),
    ),
    "too few rows to keep": Bad(
        "oversample must be a number from 1 to 1000, got 0.5",
        command=follow(*size("--oversample", "0.5")),
    ),
    "no time between two looks": Bad(
        "interval must be a number of seconds above 0, got 0",
        command=follow(*size("--interval", "0")),
    ),
    "batches without rows": Bad(
        "--max-rows must be at least 1, got 0", command=follow(*size("--max-rows", "0"))
    ),
    "a subset that follows nothing": Bad(
        "target 'subset.zarr' must follow the source .*in.zarr', got a subset that follows none",
        subset_and_source,
        command=("follow", "in.zarr", "subset.zarr", *size(), "--once"),
    ),
    "NaN in what is followed": Bad(
        "features has 1 NaN value, first in row 3, column 1",
        group(X=SPOILED, y=Y),
        command=follow(*size()),
    ),
    # ------------------------------------------------ synthetic rows
    "synthesize from nothing": Bad(
        "target 'subset.zarr' does not exist; check the path", nothing, command=synthesize()
    ),
    "synthesize from synthetic rows": Bad(
        "target 'made.zarr' must hold selected rows, got synthetic ones",
        made_rows,
        command=("synthesize", "made.zarr", "out.zarr"),
    ),
    "synthesize over the subset": Bad(
        "target 'subset.zarr' must not be, hold or lie in the source",
        subset,
        command=("synthesize", "subset.zarr", "subset.zarr", "--overwrite"),
    ),
    "an unknown way to synthesize": Bad(
        "method must be one of gan, diffusion, condensation, got 'vae'",
        subset,
        command=synthesize("--method", "vae"),
    ),
    "an unknown option of a GAN": Bad(
        "options of gan must be among steps, batch",
        subset,
        command=synthesize("--method", "gan", "--option", "depth=3"),
    ),
    "steps that are no number": Bad(
        "steps of diffusion must be an int of at least 1, got 'many'",
        subset,
        command=synthesize("--option", "steps=many"),
    ),
    "a size and a fraction of synthetic rows": Bad(
        "at most one of size, fraction and --per-class may be given",
        subset,
        command=synthesize("--size", "3", "--fraction", "0.1"),
    ),
    "more than all rows": Bad(
        "fraction must be above 0 and at most 1, got 2",
        subset,
        command=synthesize("--fraction", "2"),
    ),
    "an unknown balance": Bad(
        "balance must be sqrt or equal, got 'half'", subset, command=synthesize("--balance", "half")
    ),
    "rows of a class that are no number": Bad(
        "--per-class must be ROWS, or LABEL=ROWS for each class named, got '1=few'",
        subset,
        command=synthesize("--per-class", "1=few"),
    ),
    "no rows of a class": Bad(
        "--per-class of '1' must be an int of at least 1, got 0",
        subset,
        command=synthesize("--per-class", "1=0"),
    ),
    "evaluate synthetic rows of unknown origin": Bad(
        "subset must say what the synthetic rows",
        made_rows,
        command=("evaluate", "made.zarr", "--source", "in.zarr"),
    ),
    "evaluate synthetic rows beside all rows": Bad(
        "everything must be left out for synthetic rows, .*, got 'all'; name the subset",
        made_rows,
        command=("evaluate", "made.zarr", "--source", "in.zarr", "--everything", "all"),
    ),
    "evaluate beside what is neither a part nor all": Bad(
        'everything must be "part", "all" or "all:3" .*, got \'some\'',
        subset_and_source,
        command=("evaluate", "subset.zarr", "--source", "in.zarr", "--everything", "some"),
    ),
    "evaluate beside all rows by a model that needs them at once": Bad(
        "--everything all needs models that learn block by block .*, got boosting; choose others",
        subset_and_source,
        command=(
            *("evaluate", "subset.zarr", "--source", "in.zarr"),
            *("--everything", "all", "--model", "boosting"),
        ),
    ),
    "evaluate synthetic rows by another metric": Bad(
        "metric must be left out for synthetic rows, which are judged by accuracy, got log_loss",
        made_rows,
        command=("evaluate", "made.zarr", "--source", "in.zarr", "--metric", "log_loss"),
    ),
    # ------------------------------------------------ metrics and models of judgements
    "curve by an unknown metric": Bad(
        "metric must be one of accuracy, balanced_accuracy, .*, got 'f2'",
        command=("curve", "in.zarr", "--metric", "f2"),
    ),
    "search by an unknown metric": Bad(
        "metric must be one of accuracy, balanced_accuracy, .*, got 'f2'",
        command=("search", "in.zarr", "--size", "3", "--metric", "f2"),
    ),
    "search with an unknown model": Bad(
        "model must be one of logistic-regression, .*, got 'forest'",
        command=("search", "in.zarr", "--size", "3", "--model", "forest"),
    ),
    "search without size": Bad("exactly one of fraction and size", command=("search", "in.zarr")),
    # ------------------------------------------------ scores of all rows
    "score by an unknown criterion": Bad(
        r"criteria must be of gradient, .*, got 'gradiant' \(did you mean 'gradient'\?\)",
        command=score("--criteria", "entropy,gradiant"),
    ),
    "score by nothing": Bad(
        "criteria must name at least one of gradient, .*, got none",
        command=score("--criteria", " , "),
    ),
    "score by one criterion twice": Bad(
        "criteria must be named once each, got entropy, entropy",
        command=score("--criteria", "entropy,entropy"),
    ),
    "score by an unknown model": Bad(
        "proxy must be one of linear, ensemble, or a fitted estimator, got 'trees'",
        command=score("--proxy", "trees"),
    ),
    "score in more directions than features": Bad(
        "at most the 2 features there are, got 3", command=score("--reduce", "pca:3")
    ),
    "score in a space that is not known": Bad(
        "reduce must be one of pca:32", command=score("--reduce", "umap:3")
    ),
    "score by a time scale without time": Bad(
        "--time-scale 5 needs to know when each row was, got no time; pass --time",
        command=score("--time-scale", "5"),
    ),
    "score by a time that is not there": Bad("when", command=score("--time", "when")),
    "score without labels": Bad(
        "labels must be given for gradient, el2n, got none; pass --labels",
        group(X=X),
        command=score("--criteria", "gradient,el2n,entropy"),
    ),
    "score the source itself": Bad(
        "target 'in.zarr' must not be, hold or lie in the source '.*in.zarr'; choose another",
        command=("score", "in.zarr", "in.zarr", "--overwrite"),
    ),
    "score where something is": Bad(
        "target 'out.zarr' exists; choose another, or pass --overwrite",
        scores_and_source,
        command=score(),
    ),
    "score over a subset": Bad(
        "target 'subset.zarr' must be scores written by dask-distill to be overwritten",
        subset_and_source,
        command=("score", "in.zarr", "subset.zarr", "--overwrite"),
    ),
    "score both anew and on": Bad(
        "at most one of resume and overwrite may be given",
        command=score("--resume", "--overwrite"),
    ),
    "judge scores": Bad(
        "target 'out.zarr' must hold selected rows, got the scores of all rows; open it with",
        scores_and_source,
        command=("evaluate", "out.zarr", "--source", "in.zarr"),
    ),
    "select rows of scores": Bad(
        "features must be in '.*out.zarr', got 'X'; there are: score/entropy",
        scores_and_source,
        source="out.zarr",
        target="other.zarr",
    ),
    "scores of all rows that nothing judges": Bad(
        "--scores all must be asked for where a model judges rows, got --task multilabel and "
        "strategy kcenter, for which none is fitted: .*; pass --strategy gradient, or leave out",
        group(X=X, y=np.arange(40).reshape(20, 2) % 2),
        more=size("--scores", "all", "--task", "multilabel", "--strategy", "kcenter"),
    ),
    "scores of all rows where something is": Bad(
        "target 'out.scores.zarr' exists; choose another, or pass --overwrite",
        scores_beside,
        more=size("--scores", "all"),
    ),
    "select by scores that are not there": Bad(
        "target 'old.zarr' does not exist; check the path",
        more=size("--strategy", "gradient", "--from-scores", "old.zarr"),
    ),
    "select by scores of other rows": Bad(
        "scores must be of the 12 rows of features, got 20; score these features, or leave scores",
        scores_of_more_rows,
        more=size("--strategy", "entropy", "--from-scores", "scores.zarr"),
    ),
    "select by scores that are not those": Bad(
        "scores must hold gradient for strategy gradient, got entropy; add gradient to criteria",
        scores_elsewhere,
        more=size("--strategy", "gradient", "--from-scores", "scores.zarr"),
    ),
    "select by scores that play no part": Bad(
        "scores must be given to a strategy that ranks by them, .*entropy.*, got random; leave",
        scores_elsewhere,
        more=size("--strategy", "random", "--from-scores", "scores.zarr"),
    ),
    "select by scores, and write them all again": Bad(
        "--scores all must be asked for without --from-scores, which has them already; leave one",
        scores_elsewhere,
        more=size("--scores", "all", "--from-scores", "scores.zarr"),
    ),
    "select over scores": Bad(
        "target 'out.zarr' must be a subset written by dask-distill to be overwritten",
        scores_and_source,
        more=size("--overwrite"),
    ),
    "scores by another word": Bad(
        "'some' is not one of 'selected', 'all'", more=size("--scores=some")
    ),
    # ------------------------------------------------ other commands
    "plan without source": Bad(
        "does not exist; check the path", nothing, command=("plan", "in.zarr", "--size", "3")
    ),
    "plan without size": Bad("exactly one of fraction and size", command=("plan", "in.zarr")),
    "verify nothing": Bad(
        "target 'out.zarr' does not exist; check the path", command=("verify", "out.zarr")
    ),
    "verify a later format": Bad(
        "must have format version 1 at most, got 99; update",
        later_format,
        command=("verify", "old.zarr"),
    ),
    "report of nothing": Bad("target 'out.zarr' does not exist", command=("report", "out.zarr")),
    "report of a group": Bad(
        "target 'old.zarr' must be a zarr group written by dask-distill, got something",
        plain_group,
        command=("report", "old.zarr"),
    ),
    "evaluate nothing": Bad(
        "target 'out.zarr' does not exist; check the path",
        command=("evaluate", "out.zarr", "--source", "in.zarr"),
    ),
    "no command": Bad("No such command", command=("distil",)),
}
