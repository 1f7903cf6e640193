"""A table's columns as numbers against reading it: text alone, and a mixed table of 20 columns.

python benchmarks/encoding.py [--rows N] [--repeat N] [--peers]

All of one thread, in CPU seconds: nothing waits here, and what else runs on the machine counts
little. Times are medians of runs in turns, in one process; a ratio is the median of the ratios of
runs side by side. With --peers scikit-learn's HashingVectorizer and skrub, where it is installed,
run on a tenth of the rows, and their times are counted tenfold.
"""

import argparse
import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import pickle
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.random_projection import SparseRandomProjection

from dask_distill.data.table import table_of_one
from dask_distill.tables.dataset import Wanted, profiled
from dask_distill.tables.encoding import Encoding
from dask_distill.tables.ngrams import fit_ngrams, ngram_features

SYLLABLES = [a + b + c for a in "bcdfgklmnprst" for b in "aeiou" for c in ("", "n", "r", "s")]
BLOCK = 2**17
CATEGORIES = (5, 12, 100, 1_000, 10_000, 50_000)


def texts(rng, rows, length=40):
    """Texts of words, common ones more often, each of the same length."""
    words = np.array(["".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in range(5_000)])
    drawn = words[np.minimum(rng.zipf(1.3, (rows, length // 4)) - 1, len(words) - 1)]
    joined = [" ".join(row)[:length].ljust(length, "s") for row in drawn.tolist()]
    return pa.array(joined)


def mixed_table(rows, seed=0):
    """8 numbers, 6 categories, 2 dates, a text of 40 characters, a boolean; nulls in 10 of them.

    And two more numbers, so that there are 20 columns.
    """
    rng = np.random.default_rng(seed)
    columns = {}
    for number in range(5):
        columns[f"float{number}"] = pa.array(rng.normal(size=rows).round(3))
    for number in range(3):
        columns[f"int{number}"] = pa.array(rng.integers(0, 10_000, rows))
    columns["price"] = pa.array(rng.lognormal(3, 1, rows).round(2))
    columns["count"] = pa.array(rng.poisson(3, rows).astype(np.int32))
    for most in CATEGORIES:
        names = pa.array([f"{most}-{number * 7919 % 99_991}" for number in range(most)])
        codes = np.minimum(rng.zipf(1.2, rows) - 1, most * 20) % most
        columns[f"category{most}"] = names.take(pa.array(codes))
    seconds = rng.integers(1_600_000_000, 1_700_000_000, rows)
    columns["at"] = pa.array(seconds.astype("M8[s]").astype("M8[us]"))
    columns["day"] = pa.array((seconds // 86_400).astype(np.int32), pa.int32()).cast(pa.date32())
    columns["text"] = texts(rng, rows)
    columns["flag"] = pa.array(rng.random(rows) < 0.3)
    for name in list(columns)[::2]:
        missing = pa.array(rng.random(rows) < 0.05)
        columns[name] = pc.if_else(missing, pa.scalar(None, columns[name].type), columns[name])
    return pa.table(columns)


def seconds(function):
    started = time.process_time()
    function()
    return time.process_time() - started


def beside(read, others, repeat):
    """Median seconds of reading, and of each other median seconds and ratio to it."""
    for function in others.values():
        function()
    times = {name: [] for name in others}
    reads = []
    for _ in range(repeat):
        reads.append(seconds(read))
        for name, function in others.items():
            times[name].append(seconds(function))
    found = {
        name: (np.median(own), np.median(np.array(own) / reads)) for name, own in times.items()
    }
    return np.median(reads), found


def tenth(column, function):
    """On every tenth row, counted tenfold."""
    few = column.slice(0, len(column) // 10)
    return seconds(lambda: function(few)) * 10


def show(what, taken, ratio):
    print(f"{what}: {taken:.3f} s, / reading: {ratio:.2f}")


def text_case(folder, rows, repeat, peers):
    column = texts(np.random.default_rng(0), rows)
    place = folder / "text.parquet"
    pq.write_table(pa.table({"text": column}), place)
    print(f"text of 40 characters, {rows:,} rows")
    sample = column.take(pa.array(np.arange(0, rows, rows // 4_096)))
    started = time.process_time()
    projections = {width: fit_ngrams(sample, width) for width in (16, 32)}
    print(
        f"fitting on {len(sample):,} texts: {(time.process_time() - started) / 2:.3f} s, pickled "
        f"{[len(pickle.dumps(p)) for p in projections.values()]} bytes"
    )
    others = {
        f"fitted, width {width}": lambda own=own: ngram_features(column, projection=own)
        for width, own in projections.items()
    }
    others["signs, width 32"] = lambda: ngram_features(column, 32)
    os.environ["DISTILL_NUMBA"] = "1"
    read, found = beside(lambda: pq.read_table(place, use_threads=False), others, repeat)
    print(f"reading: {read:.3f} s")
    for name, (taken, ratio) in found.items():
        show(name, taken, ratio)
    os.environ["DISTILL_NUMBA"] = "0"
    slow = tenth(column, lambda few: ngram_features(few, projection=projections[16]))
    os.environ["DISTILL_NUMBA"] = "1"
    show("fitted, width 16, without numba", slow, slow / read)
    if peers:
        text_peers(column, read)


def transformed(fitted, column):
    return fitted.transform(column.to_pandas().rename("text"))


def text_peers(column, read):
    vectorizer = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), n_features=2**18)
    projection = SparseRandomProjection(32, random_state=0)
    projection.fit(vectorizer.transform(column[:100].to_pylist()))

    def hashed(few):
        return projection.transform(vectorizer.transform(few.to_pylist()))

    taken = tenth(column, hashed)
    show("HashingVectorizer and SparseRandomProjection, width 32", taken, taken / read)
    try:
        from skrub import MinHashEncoder, StringEncoder
    except ImportError:
        print("skrub is not installed")
        return
    few = column[:4_000].to_pandas().rename("text")
    for encoder in (StringEncoder(n_components=30), MinHashEncoder(n_components=30)):
        fitted = encoder.fit(few)
        taken = tenth(column, partial(transformed, fitted))
        show(f"skrub {type(encoder).__name__}, width 30", taken, taken / read)


def table_case(folder, rows, repeat, peers):
    table = mixed_table(rows)
    place = folder / "table.parquet"
    pq.write_table(table, place)
    nulls = sum(column.null_count > 0 for column in table.columns)
    print(f"a table of {table.num_columns} columns, nulls in {nulls}, {rows:,} rows")
    profile = profiled(table_of_one(table), Wanted(apart={}, left_out={}, kinds={}))
    encoding = Encoding(profile)
    used = [
        f"{sum(c.kind == kind for c in profile.features)} {kind}"
        for kind in dict.fromkeys(c.kind for c in profile.features)
    ]
    print(
        f"read as {', '.join(used)}: {encoding.width} numbers a row; the encoding pickled: "
        f"{len(pickle.dumps(encoding)):,} bytes"
    )
    read_table = pq.read_table(place, use_threads=False)
    read, found = beside(
        lambda: pq.read_table(place, use_threads=False),
        {"encoding": lambda: by_blocks(encoding, read_table)},
        repeat,
    )
    print(f"reading: {read:.3f} s")
    for name, (taken, ratio) in found.items():
        show(name, taken, ratio)
    if peers:
        table_peers(read_table, read)


def by_blocks(encoding, table):
    """As workers do it: a block's numbers are gone when the next one's turn comes."""
    for start in range(0, len(table), BLOCK):
        encoding(table.slice(start, BLOCK))


def table_peers(table, read):
    try:
        from skrub import TableVectorizer
    except ImportError:
        print("skrub is not installed")
        return
    few = table.slice(0, len(table) // 10).to_pandas()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = TableVectorizer().fit(few[:8_000])
        taken = seconds(lambda: fitted.transform(few)) * 10
    show(
        f"skrub TableVectorizer.transform, {fitted.transform(few[:2]).shape[1]} numbers a row",
        taken,
        taken / read,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--peers", action="store_true")
    asked = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        text_case(Path(folder), asked.rows, asked.repeat, asked.peers)
        table_case(Path(folder), asked.rows, asked.repeat, asked.peers)


if __name__ == "__main__":
    main()
