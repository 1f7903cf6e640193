"""What is stored under which name: arrays of a zarr group, columns of a folder of parquet files.

Features, labels and what is carried go by the names of the source. What is ours beside them is
named here and nowhere else. Each file of a folder says in its schema's metadata which columns are
ours: that stays true of a part of it, and of a table that was read from it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# where the source does not name them
FEATURES, LABELS = "X", "y"

# ---------------------------------------------------------------- arrays of a group

# (k,) int64 row numbers, float32 weights; (k, N) float32 weights in each of several subsets
INDEX, WEIGHT, SUBSET_WEIGHT = "index", "weight", "subset_weight"
# followed by a name: (k,) float32 scores; (k,) bool masks of what is missing; rows that are kept
# beside the subset, as many as they may be
SCORE, NULL, SUMMARY = "score/", "null/", "summary/"
# names that no array of the source can have
RESERVED = (
    INDEX,
    WEIGHT,
    SCORE.removesuffix("/"),
    SUMMARY.removesuffix("/"),
    NULL.removesuffix("/"),
    SUBSET_WEIGHT,
)

# ---------------------------------------------------------------- columns of a folder

INDEX_COLUMN, WEIGHT_COLUMN, SUBSET_WEIGHT_COLUMN = "_index", "_weight", "_subset_weight"
# followed by a name
SCORE_COLUMN = "_score_"
# in frames of arrays, and in the folders of which the files did not say themselves what is ours
SCORE_OF_FRAME = "score_"
# what they are called among a subset's arrays
ARRAYS = {INDEX_COLUMN: INDEX, WEIGHT_COLUMN: WEIGHT, SUBSET_WEIGHT_COLUMN: SUBSET_WEIGHT}
METADATA = b"dask_distill"
# what a target that is no class is called by, where strata or sets of it are the classes
STRATUM = "_stratum"
_OURS = re.compile(
    rf"{INDEX_COLUMN}|{WEIGHT_COLUMN}|{SUBSET_WEIGHT_COLUMN}|{SCORE_COLUMN}.+|.+{STRATUM}_*"
)
# columns of such folders
FORMER = re.compile(rf"{INDEX}|{WEIGHT}|{SCORE_OF_FRAME}.+")


def scores_among(arrays: Mapping[str, Any], prefix: str = SCORE) -> dict[str, Any]:
    """Of arrays or columns those that are scores, by criterion.

    Examples
    --------
    >>> scores_among({"index": 1, "score/entropy": 2})
    {'entropy': 2}
    """
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def noted(columns: Sequence[str]) -> dict[bytes, bytes]:
    """Metadata that say which columns are ours."""
    return {METADATA: json.dumps({"columns": list(columns)}).encode()}


def own_columns(metadata: Mapping[bytes, bytes] | None) -> frozenset[str]:
    """Columns that we have added, by a schema's metadata.

    Examples
    --------
    >>> sorted(own_columns(noted(["_index", "_weight"]))), own_columns(None)
    (['_index', '_weight'], frozenset())
    """
    try:
        told = json.loads((metadata or {})[METADATA])["columns"]
        return frozenset(name for name in told if _OURS.fullmatch(name))
    except (KeyError, ValueError, TypeError):
        return frozenset()
