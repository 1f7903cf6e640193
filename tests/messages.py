"""What a user is warned of: what is there, what is asked, and the line that is read.

Each case is a function that fills the current folder, more words of a command line, and a pattern
that one line on stderr must match. Where Python tells it as a warning too, it is the same line;
otherwise the `Dataset` shows it. ``test_messages.py`` walks through them.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import zarr

N = 3_000
RNG = np.random.default_rng(0)
Y = (np.arange(N) % 3).astype(np.int64)
# which rows these are nothing tells: to a model they are the hardest
FEW = (np.arange(N) % 5 == 0).astype(np.int64)
X = RNG.normal(size=(N, 4)) + Y[:, None]


def arrays(**changes):
    """Write an archive of X and y, of which some values are others."""

    def make():
        np.savez("in.npz", **({"X": X, "y": Y} | changes))

    return make


good = arrays()


def changed(rows, column, value):
    values = X.copy()
    values[rows, column] = value
    return values


def table():
    """A column that looks like labels, and one that looks like an identifier."""
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame.assign(target=Y, order_id=np.arange(N) + 0.5).to_parquet("in.parquet")


def group_without_a_chunk():
    root = zarr.open_group("in.zarr", mode="w")
    for name, values in (("X", X), ("y", Y)):
        root.create_array(name, data=values, chunks=(1000, *values.shape[1:]))
    Path("in.zarr/X/c/1/0").unlink()


@dataclass(frozen=True)
class Message:
    """One situation that a user is told of."""

    sentence: str
    make: Callable[[], None] = good
    more: tuple[str, ...] = ()
    source: str = "in.npz"
    # arguments of `distill` that give the same warning; None where the data set shows it
    python: dict | None = field(default_factory=dict)


MESSAGES = {
    "highest gradient": Message(
        r"strategy gradient keeps .* mislabelled and borderline rows, .*; use auto unless",
        more=("--strategy", "gradient"),
        python={"strategy": "gradient"},
    ),
    "highest entropy": Message(
        r"strategy entropy keeps .* border between classes alone, .*; use auto unless",
        more=("--strategy", "entropy"),
        python={"strategy": "entropy"},
    ),
    "highest novelty": Message(
        r"strategy novelty keeps .* faults and outliers first; .*; use auto to train",
        more=("--strategy", "novelty", "--reduce", "pca:2"),
        python={"strategy": "novelty", "reduce": "pca:2"},
    ),
    "a seed that nothing uses": Message(
        r"strategy kcenter does not use seed: every seed gives the same rows, got 7; leave it out",
        more=("--strategy", "kcenter", "--seed", "7"),
        python={"strategy": "kcenter", "seed": 7},
    ),
    "a class without a sound row": Message(
        r"no row is left of class 2 \(1,000 rows\): .*; fill them in, or leave out column 3, "
        r"which has 1,000 of these values",
        arrays(X=changed(Y == 2, 3, np.nan)),
        more=("--on-invalid", "drop", "--strategy", "random"),
        python={"on_invalid": "drop", "strategy": "random"},
    ),
    "a class at under half of its share": Message(
        r"1 class is kept at under half of its share: 1 \(0 of 600 rows, share 12\); .*stratified "
        r"keeps every class at its share, .*--protect keeps any rows that you name$",
        arrays(y=FEW),
        more=("--strategy", "strata"),
        python={"strategy": "strata"},
    ),
    "a value that makes the spread": Message(
        r"a few rows make the spread of feature 1: 1 has values from .* to 1e\+20, .*; "
        r"scaled by robust for the selection",
        arrays(X=changed([5], 1, 1e20)),
        more=("--strategy", "coverage"),
        python={"strategy": "coverage"},
    ),
    "a value that makes all distances": Message(
        r"a few rows make the spread of feature 1: .*; distances see little else: ",
        arrays(X=changed([5], 1, 1e20)),
        more=("--strategy", "kcenter"),
        python={"strategy": "kcenter"},
    ),
    "a feature that looks like labels": Message(
        r"column 'target' \(int64\) is taken as a feature, and there are no labels; if it is the "
        r"label, pass --labels target",
        table,
        source="in.parquet",
        python=None,
    ),
    "a feature that looks like an identifier": Message(
        r"column 'order_id' \(double\) is taken as a feature, and named like an identifier; leave "
        r"it out with --features, or carry it with --carry order_id",
        table,
        source="in.parquet",
        python=None,
    ),
    "a chunk that is not stored": Message(
        r"1 of 3 chunks of X are not stored and read as the fill value; --on-missing error refuses",
        group_without_a_chunk,
        source="in.zarr",
        python=None,
    ),
}
