"""Rows that blocks offer for the survey's sample: those of lowest hash, as a whole and by class."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.kernels.reservoir import lowest_in_class

Floats = npt.NDArray[np.float64]

# of the lowest rows of all classes so many are kept, if that leaves two a class
FLOOR_ROWS = 30_000


@dataclass(frozen=True, kw_only=True)
class Offer:
    """Rows of low hash, with all that the sample needs of them.

    These are the rows whose hash is at most ``limit``, and the ``floor`` lowest of each class,
    or fewer where classes are thousands. More classes only make them fewer: what is kept of all
    was kept of each part.
    """

    limit: np.uint64
    floor: int
    hashes: npt.NDArray[np.uint64]
    rows: npt.NDArray[np.int64]
    X: npt.NDArray[np.floating]
    labels: npt.NDArray[np.generic] | None
    time: Floats | None = None
    mass: Floats | None = None


def lowest_offer(offer: Offer, inverse: npt.NDArray[np.intp] | None) -> Offer:
    """What an offer must hold of these rows; ``inverse`` numbers their labels in any way."""
    chosen = offer.hashes <= offer.limit
    if inverse is not None:
        classes = int(inverse.max(initial=0)) + 1
        floor = min(offer.floor, max(2, FLOOR_ROWS // classes))
        chosen |= lowest_in_class(offer.hashes, offer.rows, inverse, floor)
    return replace(
        offer,
        hashes=offer.hashes[chosen],
        rows=offer.rows[chosen],
        X=offer.X[chosen],
        labels=None if offer.labels is None else offer.labels[chosen],
        time=None if offer.time is None else offer.time[chosen],
        mass=None if offer.mass is None else offer.mass[chosen],
    )


def merge_offers(left: Offer, right: Offer) -> Offer:
    """Of the rows of both, those that are still lowest."""
    labels = inverse = None
    if left.labels is not None and right.labels is not None:
        labels = joined([left.labels, right.labels])
        inverse = np.unique(labels, return_inverse=True)[1]
    both = replace(
        left,
        hashes=np.concatenate([left.hashes, right.hashes]),
        rows=np.concatenate([left.rows, right.rows]),
        X=np.concatenate([left.X, right.X]),
        labels=labels,
        time=None
        if left.time is None or right.time is None
        else np.concatenate([left.time, right.time]),
        mass=side_by_side([left.mass, right.mass]),
    )
    return lowest_offer(both, inverse)


def joined(parts: list[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    """Labels of all parts; those of no rows have a type that means nothing."""
    return np.concatenate([part for part in parts if len(part)] or parts)


def side_by_side(parts: list[Any]) -> Any:
    """All parts together; None where rows are alike."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None
