"""From monthly parquet files to a training set of a tenth of the rows, in a script of one's own.

    python examples/flights.py [FOLDER]

Selects on a cluster of this machine, trains on everything and on the subset, and compares. Needs
``pip install "dask-distill[demo]"``.
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
    training, testing = table[table.month <= 10], table[table.month > 10]
    write_partitions(training, folder / "flights")

    dataset = open_dataset(folder / "flights", labels="late", carry=["flight"])
    print(dataset)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster),
    ):
        coreset = distill(dataset, fraction=0.1, seed=0)
        coreset.to_zarr(folder / "selected.zarr", overwrite=True)

    coreset = open_coreset(folder / "selected.zarr")
    print(coreset)
    columns = coreset.provenance["input"]["columns"]
    X_test, y_test = testing[columns].to_numpy(), testing["late"].to_numpy()

    def report(name, X, y, weights):
        started = time.perf_counter()
        model = HistGradientBoostingClassifier(random_state=0, l2_regularization=1.0)
        model.fit(X, y, sample_weight=weights)
        seconds = time.perf_counter() - started
        print(
            f"{name:<10} {len(X):>9,} rows  {model.score(X_test, y_test):.1%} right "
            f"on the months after  {seconds:.1f} s to train"
        )

    report("all rows", training[columns].to_numpy(), training["late"].to_numpy(), None)
    report("selected", coreset.features.compute(), coreset.labels.compute(), coreset.weights)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
