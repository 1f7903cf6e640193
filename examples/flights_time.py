"""Flights by the hour of departure: no month is lost, and tests lie ahead.

    python examples/flights_time.py

Needs ``pip install "dask-distill[demo]"``.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dask_distill import distill
from dask_distill.cli.flights import flights_table
from dask_distill.data.dataset import as_dataset


def main() -> None:
    table = flights_table(numeric=True).iloc[::5].reset_index(drop=True)
    day = pd.to_datetime({"year": 2013, "month": table.month, "day": table.day})
    departure = (day + pd.to_timedelta(table.departure, unit="h")).to_numpy()
    columns = table.drop(columns=["flight", "late", "month", "day"])
    dataset = as_dataset(columns.astype(np.float32), table.late, time=departure)

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    for strategy in ("stratified", "periods", "auto"):
        coreset = distill(dataset, fraction=0.05, strategy=strategy)
        months = coreset.carry["time"].compute().astype("M8[M]")
        fewest = np.unique(months, return_counts=True)[1].min()
        found = coreset.evaluate(dataset, models=model, seeds=3)
        print(
            f"{strategy:<10} {len(coreset):,} of {dataset.n:,} flights, {fewest} of the rarest "
            f"month; {found.score('subset').accuracy:.1%} right on later flights "
            f"(all earlier ones: {found.score('everything').accuracy:.1%})"
        )


if __name__ == "__main__":
    main()
