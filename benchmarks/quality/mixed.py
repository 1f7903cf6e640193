"""What the columns of a mixed table that are no numbers add to a selection.

    python benchmarks/quality/mixed.py                       # 14 tables, 5 seeds: about 20 minutes
    python benchmarks/quality/mixed.py --tables flights --seeds 1
    python benchmarks/quality/mixed.py --report              # mixed.md again

Rows are selected by `distill` from the whole table as parquet has it, and from its numbers alone
(nulls filled with the median). Both are held against class-stratified random of the same size, by
models that read such tables; see table_judges.py. Writes results-mixed.csv, and from it mixed.md.
"""

import argparse
import csv
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import dask
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import tables
from summary import BASELINE, interval
from table_judges import MODELS, Columns, judged, numbers_in
from threadpoolctl import threadpool_limits

from dask_distill import distill, open_dataset

HERE = Path(__file__).parent
WAYS = ("mixed", "numbers")
GAIN = "mixed − numbers"
# column, title, what differences are multiplied by
METRICS = (
    ("accuracy", "accuracy", 100),
    ("balanced", "balanced accuracy", 100),
    ("roc_auc", "AUC", 100),
    ("log_loss", "log loss", -100),
    ("brier", "Brier score", -100),
)
FIELDS = (
    "table", "n", "seed", "rows_by", "draw", "fraction", "size", "model",
    *(name for name, *_ in METRICS), "select_seconds",
)  # fmt: skip
_CAP, _TESTS = 10_000, 5_000


def stratified(labels, size, rng):
    """Rows of each class by its share, drawn at random; of every class one at least."""
    shares = np.bincount(labels) * size / len(labels)
    quotas = np.maximum(1, np.floor(shares)).astype(int)
    most_lost = np.argsort(np.floor(shares) - shares, kind="stable")
    quotas[most_lost[: max(0, size - quotas.sum())]] += 1
    drawn = [
        rng.choice(np.flatnonzero(labels == code), quota, replace=False)
        for code, quota in enumerate(quotas)
    ]
    return np.sort(np.concatenate(drawn))


def numbers_of(table, label):
    """(n, d) numbers of the table, nulls filled with the median."""
    columns = []
    for field in table.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        if number and field.name != label:
            values = numbers_in(table, field.name)
            columns.append(np.where(np.isnan(values), np.nanmedian(values), values))
    return np.column_stack(columns)


def select(pool, label, way, fraction, seed):
    """By the whole table as a file, or by its numbers alone."""
    with (
        warnings.catch_warnings(),
        dask.config.set(scheduler="sync"),
        tempfile.TemporaryDirectory() as folder,
    ):
        warnings.simplefilter("ignore")
        if way == "numbers":
            labels = pool.column(label).to_numpy().astype(str)
            return distill(numbers_of(pool, label), labels, fraction=fraction, seed=seed)
        file = str(Path(folder) / "table.parquet")
        pq.write_table(pool.replace_schema_metadata(None), file)
        return distill(open_dataset(file, labels=label), fraction=fraction, seed=seed)


def measure(name, seed, fractions, draws, ways, whole):
    """All lines of results of one cut of one table."""
    table, label = tables.load(name)
    shuffled = np.random.default_rng(1000 + seed).permutation(table.num_rows)
    tests = min(_TESTS, table.num_rows // 4)
    test, pool = table.take(shuffled[:tests]), table.take(shuffled[tests:][:_CAP])
    names, labels = np.unique(pool.column(label).to_numpy(), return_inverse=True)
    # a class that there is nothing to learn of counts as wrong
    codes = {value: code for code, value in enumerate(names)}
    truth = np.array([codes.get(v, len(names)) for v in test.column(label).to_pylist()])
    columns = Columns(pool, label)
    frame, test_frame = columns.frame(pool), columns.frame(test)
    out = []

    def record(rows_by, draw, fraction, rows, weights, seconds=0.0):
        for model in MODELS:
            found = judged(
                model, columns, frame.iloc[rows], labels[rows], weights, test_frame, truth, seed
            )
            cut = (name, len(labels), seed, rows_by, draw, fraction, len(rows), model)
            out.append((*cut, *found, round(seconds, 2)))

    if whole:
        record("all rows", 0, 1.0, np.arange(len(labels)), None)
    for fraction in fractions:
        size = round(fraction * len(labels))
        for draw in range(draws):
            rows = stratified(labels, size, np.random.default_rng([seed, draw, size]))
            record(BASELINE, draw, fraction, rows, None)
        for way in ways:
            started = time.perf_counter()
            coreset = select(pool, label, way, fraction, seed)
            seconds = time.perf_counter() - started
            record(way, 0, fraction, coreset.indices, coreset.weights, seconds)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tables", nargs="+", default=list(tables.TABLES))
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.01, 0.1])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=4, help="of stratified")
    parser.add_argument("--whole", action="store_true", help="train on all rows, too")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="mixed.md alone, from results")
    parser.add_argument("--out", type=Path, default=HERE / "results-mixed.csv")
    given = parser.parse_args()
    if not given.report:
        _run(given)
    text = markdown(pd.read_csv(given.out))
    if given.out.parent == HERE:
        (HERE / "mixed.md").write_text(text)
    print(text)


def _run(given):
    for name in given.tables:
        tables.load(name)
    pool = ProcessPoolExecutor(given.jobs, initializer=threadpool_limits, initargs=(1,))
    with open(given.out, "w", newline="") as file, pool:
        lines = csv.writer(file)
        lines.writerow(FIELDS)
        futures = {}
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            for name in given.tables:
                asked = (name, seed, given.fractions, given.draws, given.ways, given.whole)
                futures[pool.submit(measure, *asked)] = name, seed
        for future in as_completed(futures):
            lines.writerows(future.result())
            file.flush()
            print(time.strftime("%H:%M:%S"), *futures[future], flush=True)


def leads(results, measure, factor):
    """Lead over the mean of the stratified draws of the same cut: a column for each way."""
    subsets = results[results.rows_by != "all rows"]
    cut = ["table", "fraction", "model", "seed"]
    means = subsets.groupby([*cut, "rows_by"])[measure].mean().unstack()
    above = means.drop(columns=BASELINE).sub(means[BASELINE], axis=0) * factor
    if set(WAYS) <= set(above.columns):
        above = above[list(WAYS)].dropna()
        above[GAIN] = above["mixed"] - above["numbers"]
    return above.reset_index()


def markdown(results):
    """Leads over all tables, by table, and by model."""
    found = {title: leads(results, name, factor) for name, title, factor in METRICS}
    lines = [
        "# Mixed tables",
        "",
        "Points (accuracies, AUC) and hundredths (losses) better than class-stratified random; ± "
        "is a 95 % interval over tables, or over seeds where it is about one. Made by mixed.py.",
        "",
    ]
    for name, part in (
        ("All tables", tables.TABLES),
        ("Tables on which variants of the encoding were tried", tables.DEVELOPMENT),
        ("Tables on which none was", tables.HELD_OUT),
    ):
        if found["accuracy"].table.isin(part).any():
            lines += [f"## {name}", "", *_over_tables(found, part), ""]
    lines += ["## By table, mean of the models", "", *_each(found, ["table"]), ""]
    lines += ["## By model, mean of the tables", "", *_each(found, ["model"], over="table"), ""]
    return "\n".join(lines)


def _ways(found):
    return [way for way in found["accuracy"] if way in (*WAYS, GAIN)]


def _over_tables(found, part):
    head = ["selected", "rows by", "tables", *found, "behind in accuracy"]
    yield from _head(head)
    for fraction in sorted(found["accuracy"].fraction.unique()):
        for way in _ways(found):
            means = []
            for each in found.values():
                rows = each[each.table.isin(part) & (each.fraction == fraction)]
                means.append(rows.groupby("table")[way].mean())
            cells = [_text(values) for values in means]
            behind = ", ".join(f"{t} {v:+.2f}" for t, v in means[0].items() if v < 0) or "none"
            yield _row([f"{fraction:.0%}", way, len(means[0]), *cells, behind.replace("-", "−")])


def _each(found, by, over="seed"):
    yield from _head(["selected", *by, "rows by", *found])
    rows = found["accuracy"].groupby(["fraction", *by])
    for key in rows.groups:
        for way in _ways(found):
            cells = []
            for each in found.values():
                same = (each[["fraction", *by]] == list(key)).all(axis=1)
                cells.append(_text(each[same].groupby(over)[way].mean()))
            yield _row([f"{key[0]:.0%}", *key[1:], way, *cells])


def _text(values):
    mean, half = interval(values)
    return f"{mean:+.2f}".replace("-", "−") + ("" if np.isnan(half) else f" ± {half:.2f}")


def _head(names):
    return [_row(names), "|---" * len(names) + "|"]


def _row(cells):
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    main()
