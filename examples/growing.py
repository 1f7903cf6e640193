"""Flights come month by month: one subset of fixed size follows them, and no month is read twice.

    python examples/growing.py

Every third month a model is trained on the subset and tested on the month after it, beside one that
is trained on everything so far. Needs ``pip install "dask-distill[demo]"``.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from dask_distill import grow, open_coreset, open_dataset
from dask_distill.cli.flights import flights_table, write_partitions

SIZE = 3_000


def take(month, target):
    """Add a month to the subset, or begin one."""
    batch = open_dataset(month, labels="late", carry=["flight"])
    coreset = open_coreset(target).update(batch) if target.exists() else grow(batch, size=SIZE)
    coreset.to_zarr(target, overwrite=target.exists())
    return open_coreset(target)


def accuracy(X, y, weights, test):
    model = HistGradientBoostingClassifier(random_state=0)
    return model.fit(X, y, sample_weight=weights).score(*test)


def main():
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "flights", Path(folder) / "subset.zarr"
        write_partitions(flights_table(numeric=True), source)
        months = sorted(source.rglob("*.parquet"))
        seen = []
        print("months  rows so far  selected  accuracy next month  of everything so far")
        for number, month in enumerate(months[:-1]):
            coreset = take(month, target)
            dataset = open_dataset(month, labels="late", carry=["flight"])
            seen.append((dataset.features.compute(), dataset.labels.compute()))
            if number % 3 != 2:
                continue
            later = open_dataset(months[number + 1], labels="late", carry=["flight"])
            test = later.features.compute(), later.labels.compute()
            X, y = (np.concatenate(each) for each in zip(*seen, strict=True))
            weights = coreset.weights / coreset.weights.mean()
            chosen = coreset.features.compute(), coreset.labels.compute()
            print(
                f"{number + 1:>6}  {coreset.provenance['rows']:>11,}  {len(coreset):>8,}"
                f"  {accuracy(*chosen, weights, test):>19.1%}"
                f"  {accuracy(X, y, None, test):>20.1%}"
            )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
