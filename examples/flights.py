"""From monthly parquet files to a training set of a tenth of the rows, in a script of one's own.

    python examples/flights.py [FOLDER]

Flights are a table of dates, text and numbers, some of them missing. Selects on a cluster of this
machine, trains on everything and on the subset, and compares on later months, which are read
by the profile that came with the subset. Needs ``pip install "dask-distill[demo]"``.
"""

import sys
import tempfile
import time
from pathlib import Path

from distributed import Client, LocalCluster
from sklearn.ensemble import HistGradientBoostingClassifier

from dask_distill import distill, open_coreset, open_dataset
from dask_distill.cli.flights import flights_table, write_partitions


def main(folder: Path) -> None:
    table = flights_table()
    # the last two months are for testing, and no selection sees them
    month = table.departure.dt.month
    write_partitions(table[month <= 10], folder / "flights")
    write_partitions(table[month > 10], folder / "later")

    # a direction of 350 degrees is near one of 10
    names = {"labels": "late", "carry": ["flight"]}
    dataset = open_dataset(folder / "flights", **names, columns={"wind_dir": "category"})
    print(dataset)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster),
    ):
        coreset = distill(dataset, fraction=0.1, seed=0)
        coreset.to_parquet(folder / "selected.parquet", overwrite=True)

    coreset = open_coreset(folder / "selected.parquet")
    print(coreset)
    profile = coreset.provenance["input"]["profile"]
    later = open_dataset(folder / "later", **names, profile=profile)
    X_test, y_test = later.features.compute(), later.labels.compute()

    def report(name, X, y, weights):
        started = time.perf_counter()
        model = HistGradientBoostingClassifier(random_state=0, l2_regularization=1.0)
        model.fit(X, y, sample_weight=weights)
        seconds = time.perf_counter() - started
        print(
            f"{name:<10} {len(X):>9,} rows  {model.score(X_test, y_test):.1%} right "
            f"on the months after  {seconds:.1f} s to train"
        )

    report("all rows", dataset.features.compute(), dataset.labels.compute(), None)
    report("selected", coreset.features.compute(), coreset.labels.compute(), coreset.weights)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
