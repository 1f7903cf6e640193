"""A table as people have it: ids, text, categories, nulls, dates, an embedding, a label."""

import string
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CITIES = ["Oslo", "Lima", "Kyiv", "Hanoi", "Quito", "Accra"]
WORDS = ["refund", "late", "broken", "thanks", "great", "parcel", "invoice", "again"]


def mixed_table(n=600, seed=0):
    """(n rows) as an Arrow table; its label depends on all kinds of columns."""
    rng = np.random.default_rng(seed)
    city = rng.integers(0, len(CITIES), n)
    age = np.round(rng.normal(40, 12, n), 1)
    churn = (age + 8 * (city == 2) + rng.normal(0, 6, n) > 44).astype(int)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    vectors = rng.normal(size=(n, 4)).astype(np.float32) + churn[:, None]
    code = ["".join(rng.choice(list(string.hexdigits.lower()[:16]), 20)) for _ in range(n)]
    return pa.table(
        {
            "customer_id": pa.array(np.arange(n) + 10_000),
            "code": pa.array(code),
            "age": pa.array(age, mask=rng.random(n) < 0.1),
            "visits": pa.array(rng.poisson(3, n), pa.int32()),
            "city": pa.array(np.array(CITIES)[city], mask=rng.random(n) < 0.05),
            "plan": pa.array(rng.choice(["basic", "gold"], n)).dictionary_encode(),
            "street": pa.array([f"street {int(k)}" for k in rng.integers(0, n // 2, n)]),
            "active": pa.array(rng.random(n) < 0.7, mask=rng.random(n) < 0.02),
            "since": pa.array(
                [start + timedelta(hours=int(h)) for h in rng.integers(0, 24 * 700, n)],
                pa.timestamp("us", "UTC"),
            ),
            "note": pa.array([" ".join(rng.choice(WORDS, 6)) + f" {k}" for k in range(n)]),
            "vector": pa.FixedSizeListArray.from_arrays(vectors.ravel(), 4),
            "address": pa.array(
                [{"zip": f"{int(z):02d}", "floor": int(f)} for z, f in rng.integers(0, 9, (n, 2))]
            ),
            "tags": pa.array([["a", "b"][: int(k)] for k in rng.integers(0, 3, n)]),
            "source": pa.array(["web"] * n),
            "empty": pa.nulls(n),
            "churn": pa.array(np.array(["no", "yes"])[churn]),
        }
    )


def write_mixed(path, table=None, rows=None):
    """The table as a parquet file; row groups of so many rows."""
    table = mixed_table() if table is None else table
    pq.write_table(table, path, row_group_size=rows or table.num_rows)
    return str(path)
