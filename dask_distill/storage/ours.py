"""Columns that a folder of parquet files has beside those of the source, and how to know them.

Each file says in its schema's metadata which columns are ours: that stays true of a part of it,
and of a table that was read from it.
"""

import json
import re
from collections.abc import Mapping, Sequence

INDEX, WEIGHT, SUBSET_WEIGHTS, SCORE = "_index", "_weight", "_subset_weight", "_score_"
# what they are called among a subset's arrays
ARRAYS = {INDEX: "index", WEIGHT: "weight", SUBSET_WEIGHTS: "subset_weight"}
METADATA = b"dask_distill"
# what a target that is no class is called by, where strata or sets of it are the classes
STRATUM = "_stratum"
_OURS = re.compile(rf"{INDEX}|{WEIGHT}|{SUBSET_WEIGHTS}|{SCORE}.+|.+{STRATUM}_*")


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
