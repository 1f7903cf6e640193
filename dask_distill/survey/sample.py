"""The survey's sample: of the rows that blocks offer those of lowest hash, by class."""

import numpy as np
import numpy.typing as npt

from dask_distill.data.labels import class_codes
from dask_distill.kernels.quotas import class_quotas
from dask_distill.survey.offer import Offer
from dask_distill.survey.schema import Sample


def sample_of(
    offer: Offer,
    classes: npt.NDArray[np.generic] | None,
    counts: npt.NDArray[np.int64] | None,
    wanted: int,
    floor: int,
) -> Sample:
    """Of the rows offered, the lowest hashes, class by class in proportion."""
    order = np.lexsort((offer.rows, offer.hashes))
    if classes is None or counts is None or offer.labels is None:
        chosen = np.sort(order[:wanted])
        by_row = chosen[np.argsort(offer.rows[chosen])]
        return _taken(offer, by_row, None)
    codes = class_codes(offer.labels, classes)
    available = np.bincount(codes, minlength=len(classes)).astype(np.int64)
    size = min(max(wanted, 2 * len(classes)), int(available.sum()))
    quota = class_quotas(size, counts, available, floor)
    grouped = np.lexsort((offer.rows, offer.hashes, codes))
    starts = np.cumsum(available) - available
    rank = np.arange(len(grouped)) - np.repeat(starts, available)
    chosen = grouped[rank < quota[codes[grouped]]]
    by_row = chosen[np.argsort(offer.rows[chosen])]
    return _taken(offer, by_row, codes[by_row])


def _taken(
    offer: Offer, by_row: npt.NDArray[np.intp], codes: npt.NDArray[np.int32] | None
) -> Sample:
    time = None if offer.time is None else offer.time[by_row]
    mass = None if offer.mass is None else offer.mass[by_row]
    return Sample(rows=offer.rows[by_row], X=offer.X[by_row], codes=codes, time=time, mass=mass)
