"""Features that count as one: what a column of a table becomes where it takes several numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Features from ``start`` to ``stop``, which are scaled together.

    Their variances add up to one, as if they were one feature: 768 numbers of an embedding do not
    drown ten others, and a rare category is not far from all. With a ``scale`` they are divided by
    that instead.
    """

    start: int
    stop: int
    scale: float | None = None


def grouped_scale(
    scale: Floats, constant: npt.NDArray[np.bool_], groups: Sequence[Group]
) -> Floats:
    """The scale of each feature, those of a group alike.

    Parameters
    ----------
    scale : (d,) float64 array
        Standard deviations.
    constant : (d,) bool array
        Features without any.
    groups : sequence of Group

    Returns
    -------
    (d,) float64 array

    Examples
    --------
    >>> still = np.array([False, False, True])
    >>> grouped_scale(np.array([3.0, 4.0, 1.0]), still, [Group(0, 3)]).tolist()
    [5.0, 5.0, 5.0]
    """
    found = scale.copy()
    for group in groups:
        part = slice(group.start, group.stop)
        if group.scale is not None:
            found[part] = group.scale
            continue
        moving = scale[part][~constant[part]]
        # one by one: the sum is the same for any grouping of rows
        together = float(np.sqrt(np.square(moving).sum()))
        found[part] = together if together > 0 else 1.0
    return found
