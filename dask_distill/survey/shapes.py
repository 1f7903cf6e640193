"""Small histograms of features and times, of the survey's sample: kept to be looked at."""

from typing import Any

import numpy as np

from dask_distill.kernels.shapes import number_shape
from dask_distill.survey.schema import Schema

# of more features nobody looks at each
_MOST = 512


def sample_shapes(schema: Schema, features: bool, dates: bool) -> dict[str, Any]:
    """Histograms of a sample, in which each class counts as in all rows.

    Parameters
    ----------
    schema : Schema
        As surveyed: with features as they are in the source.
    features : bool
        Whether features are the source's, and not what columns of a table were made into.
    dates : bool
        Whether times are dates, in seconds since 1970.

    Returns
    -------
    dict
        ``features``: one a feature, as of `number_shape`, or None; ``time``: the same, and whether
        it is of ``dates``, or None.
    """
    sample, weights = schema.sample, None
    if sample.codes is not None and schema.counts is not None:
        drawn = np.bincount(sample.codes, minlength=len(schema.counts))
        weights = (schema.counts / np.maximum(drawn, 1))[sample.codes]
    made = None
    if features and schema.d <= _MOST:
        columns = np.asarray(sample.X, np.float64).T
        made = [number_shape(column, weights) for column in columns]
    time = None
    if sample.time is not None:
        time = number_shape(sample.time, weights) | {"dates": dates}
    return {"features": made, "time": time}
