"""A table as users have it: an id, text, categories, nulls, times, booleans, an embedding."""

import datetime

import numpy as np
import pyarrow as pa

WORDS = ["little", "about", "any", "of", "these", "rows", "long", "words", "more"]
START = datetime.datetime(2020, 1, 1)


def mixed_table(n, seed=0, first=0, cities=("Oslo", "Rome", "Paris")):
    """An Arrow table of n rows, the label in "late"; ids count from ``first``."""
    rng = np.random.default_rng(seed)

    def gone():
        return rng.random(n) < 0.1

    age, city = rng.normal(40, 10, n), rng.integers(0, len(cities), n)
    vectors = rng.normal(size=(n, 4)).astype(np.float32)
    late = age / 10 + city + vectors[:, 0] + 0.5 * rng.normal(size=n) > 5
    hours = np.sort(rng.integers(0, 10_000, n)).tolist()
    texts = [f"{' '.join(rng.choice(WORDS, 6))} {number}" for number in range(n)]
    return pa.table(
        {
            "id": [f"row-{first + number:08d}" for number in range(n)],
            "age": pa.array(age, mask=gone()),
            "city": pa.array(np.array(cities)[city].tolist(), mask=gone()),
            "member": rng.random(n) < 0.5,
            "when": pa.array([START + datetime.timedelta(hours=hour) for hour in hours]),
            "text": texts,
            "vector": pa.array(list(vectors), pa.list_(pa.float32())),
            "count": pa.array(rng.integers(0, 50, n), mask=gone()),
            "amount": rng.normal(size=n),
            "times": rng.integers(1, 4, n).astype(np.float64),
            "keep": rng.random(n) < 0.02,
            "late": np.where(late, "yes", "no"),
        }
    )
