"""One of several subsets that were selected together."""

from dataclasses import replace
from typing import Any

import numpy as np

from dask_distill.data.rows import take_rows
from dask_distill.errors import InputError
from dask_distill.subset.subset import Subset

# of the provenance, what counts rows of all subsets together
_TOGETHER: dict[str, Any] = dict.fromkeys(("classes", "labels", "underrepresented", "lost"))


def subset_of(subset: Subset, number: int) -> Subset:
    """The rows of one subset, with its weights.

    Parameters
    ----------
    subset : Subset
        Of all rows together.
    number : int
        From 0.

    Returns
    -------
    Subset
        Without a certificate, and without the classes' rows in its provenance: these are of all
        rows together. Its provenance has the number of the ``subset``.

    Raises
    ------
    InputError
        Where there is no such subset.
    """
    weights = subset.subset_weights
    count = 1 if weights is None else weights.shape[1]
    whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    if not whole or not 0 <= number < count:
        raise InputError(
            f"number must be that of a subset, from 0 to {count - 1}, got {number!r}; ask for more "
            "with subsets= / --subsets"
        )
    if weights is None:
        return subset
    at = np.flatnonzero(weights[:, number])
    return replace(
        subset,
        indices=subset.indices[at],
        weights=weights[at, number],
        scores={name: values[at] for name, values in subset.scores.items()},
        certificate=None,
        provenance=subset.provenance | _TOGETHER | {"selected": len(at), "subset": int(number)},
        features=take_rows(subset.features, at),
        labels=None if subset.labels is None else take_rows(subset.labels, at),
        carry={name: take_rows(array, at) for name, array in subset.carry.items()},
        table=None if subset.table is None else subset.table.take(at),
        subset_weights=None,
    )
