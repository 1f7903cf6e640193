"""A data set whose rows stand for other numbers than one: named, and measured."""

from dataclasses import replace
from typing import Any

from dask_distill.data.arrays import as_dask
from dask_distill.data.dataset import Dataset, check
from dask_distill.data.weights import UNNAMED, weighing_of
from dask_distill.errors import InputError
from dask_distill.support.text import likely


def with_weights(dataset: Dataset, sample_weight: Any) -> Dataset:
    """Weigh rows by an array or a column.

    Parameters
    ----------
    dataset : Dataset
    sample_weight : (n,) array of numbers from 0, str, False or None
        How many rows each row stands for; or the name of a carried array, or of a column of
        features, which is then none any more. None changes nothing, False takes rows alike.

    Raises
    ------
    InputError
    """
    if sample_weight is None:
        return dataset
    plain = replace(dataset, sample_weight=None, weighing=None)
    if sample_weight is False or (isinstance(sample_weight, str) and not sample_weight):
        return replace(plain, weight_name="")
    if not isinstance(sample_weight, str):
        array = as_dask(sample_weight, "sample_weight")
        return check(replace(plain, sample_weight=array, weight_name=UNNAMED))
    if sample_weight in dataset.carry:
        array = dataset.carry[sample_weight]
        return check(replace(plain, sample_weight=array, weight_name=sample_weight))
    columns = dataset.columns or ()
    if sample_weight not in columns:
        known = ", ".join([*dataset.carry, *columns][:20])
        raise InputError(
            "sample_weight must be an array, or name a carried one or a column of features, got "
            f"{sample_weight!r}{likely(sample_weight, [*dataset.carry, *columns])}; there are: "
            f"{known or 'none'}"
        )
    at = columns.index(sample_weight)
    others = [place for place in range(len(columns)) if place != at]
    weighted = replace(
        plain,
        features=dataset.features[:, others],
        columns=tuple(columns[place] for place in others),
        sample_weight=dataset.features[:, at],
        weight_name=sample_weight,
    )
    return check(weighted)


def measured(dataset: Dataset) -> Dataset:
    """With what its sample weights come to, where it has some: one pass over them.

    Raises
    ------
    InputError
        For weights that cannot be used.
    """
    if dataset.sample_weight is None or dataset.weighing is not None:
        return dataset
    return replace(dataset, weighing=weighing_of(dataset.sample_weight))
