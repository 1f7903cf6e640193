"""A table that grows by a month: each month is selected once, by itself, and left alone after.

    python examples/periods.py [FOLDER]

Months are folders of parquet files (`flights/month=3/…`, as Hive, Spark and pyarrow write them). A
month that has its subset already is not read again, and one whose run died is continued. Needs
``pip install "dask-distill[demo]"``.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from dask_distill import (
    IncompleteOutput,
    InputError,
    Request,
    distill_to_zarr,
    open_coreset,
    open_dataset,
)
from dask_distill.cli.flights import flights_table
from dask_distill.strategies import Auto

FRACTION = 0.05


def select_new_months(source, target):
    """Select from the months that have no subset yet; give their names."""
    done = []
    for month in sorted(source.glob("month=*"), key=lambda path: int(path.name[6:])):
        subset = target / f"{month.name}.zarr"
        if is_written(subset):
            continue
        dataset = open_dataset(month, labels="late", carry=["flight"])
        distill_to_zarr(dataset, subset, Request(strategy=Auto(), fraction=FRACTION), resume=True)
        done.append(month.name)
    return done


def is_written(subset):
    """Whether a whole subset is there: the commit marker is written last."""
    try:
        open_coreset(subset)
    except (InputError, IncompleteOutput):
        return False
    return True


def all_months(target):
    """Features, labels and weights of all months together: weights sum to all rows."""
    parts = [open_coreset(subset) for subset in sorted(target.glob("*.zarr"))]
    return (
        np.concatenate([part.features.compute() for part in parts]),
        np.concatenate([part.labels.compute() for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def main(folder):
    source, target = folder / "flights", folder / "selected"
    table = flights_table(numeric=True)
    table = table[table.month <= 4]

    for come in ((1, 2), (3,), (4,)):
        new = table[table.month.isin(come)]
        new.to_parquet(source, partition_cols=["month"], index=False)
        print(f"months {come} have come; selected: {', '.join(select_new_months(source, target))}")
    print(f"nothing new; selected: {select_new_months(source, target)}")

    features, labels, weights = all_months(target)
    late = weights[labels == "late"].sum() / weights.sum()
    print(f"{len(features):,} of {len(table):,} rows for training, {features.shape[1]} features")
    print(f"late: {late:.1%} by weight, {(table.late == 'late').mean():.1%} of all rows")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
