"""Whether a batch fits what came before it, as far as metadata tells."""

from dataclasses import replace
from typing import Any

import numpy as np

from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.growing.tables import read_alike
from dask_distill.selection.request import Request
from dask_distill.subset.summary import Settings, Summary

_TEXT = "OUST"
_WHOLE = "biu"


def check_batch(summary: Summary, dataset: Dataset) -> tuple[Summary, Dataset]:
    """Refuse a batch that does not fit what came before, without reading a row.

    Parameters
    ----------
    summary : Summary
    dataset : Dataset
        The batch.

    Returns
    -------
    summary : Summary
        Whose settings say what is done where values are missing.
    dataset : Dataset
        A table read as those before it were, with what is missing as the settings want it.

    Raises
    ------
    InputError
    """
    refuse_weights(dataset)
    settings, before = summary.settings, summary.dataset
    if before is not None:
        dataset = read_alike(dataset, before)
    asked = made_request(settings, 1).of(dataset)
    if before is not None:
        _refuse_unlike(asked.dataset, before)
    settings = replace(settings, on_invalid=asked.request.on_invalid)
    return replace(summary, settings=settings), asked.dataset


def _refuse_unlike(dataset: Dataset, before: Dataset) -> None:
    for what, now, then in (
        ("features of shape", dataset.features.shape[1:], before.features.shape[1:]),
        ("features of type", dataset.features.dtype, before.features.dtype),
        ("labels", dataset.labels is not None, before.labels is not None),
        ("carried arrays", sorted(dataset.carry), sorted(before.carry)),
    ):
        if now != then:
            raise InputError(
                f"a batch must have {what} {then} like those before it, got {now}; convert it, or "
                "begin a new subset"
            )
    if dataset.columns and before.columns and dataset.columns != before.columns:
        odd = sorted(set(dataset.columns) ^ set(before.columns)) or "another order"
        raise InputError(
            f"a batch must have the columns of those before it, got a difference in {odd}; convert "
            "it, or begin a new subset"
        )
    check_alike(dataset, before)


def refuse_weights(dataset: Dataset) -> None:
    """What is kept of data that grows stands for rows that count alike.

    Raises
    ------
    InputError
    """
    if dataset.sample_weight is not None:
        raise InputError(
            f"sample_weight cannot be used on data that grows, got {dataset.weight_name}; select "
            "from all of it with distill / run, or open it with sample_weight=False / "
            "--sample-weight '' to count rows alike"
        )


def check_alike(dataset: Dataset, before: Dataset) -> None:
    """Refuse labels and carried arrays that cannot be put behind those of another data set.

    Raises
    ------
    InputError
    """
    arrays: list[tuple[str, Any, Any]] = [
        (f"carry {name}", array, before.carry[name]) for name, array in dataset.carry.items()
    ]
    if dataset.labels is not None:
        arrays.append(("labels", dataset.labels, before.labels))
    for name, array, like in arrays:
        if not _joins(array.dtype, like.dtype) or array.shape[1:] != like.shape[1:]:
            raise InputError(
                f"{name} of a batch must be like that before it ({like.dtype}, {like.shape[1:]}), "
                f"got {array.dtype}, {array.shape[1:]}; convert it, or begin a new subset"
            )


def _joins(one: np.dtype[Any], other: np.dtype[Any]) -> bool:
    """Whether both are text, or one type holds the values of both as they are."""
    if one.kind in _TEXT or other.kind in _TEXT:
        return one.kind in _TEXT and other.kind in _TEXT
    if one.kind in _WHOLE and other.kind in _WHOLE:
        # int64 and uint64 would become floats
        return np.result_type(one, other).kind in _WHOLE
    return one.kind == other.kind


def made_request(settings: Settings, size: int) -> Request:
    """What would be asked of a data set that does not grow."""
    return Request(
        strategy=settings.made_strategy(),
        size=size,
        seed=settings.seed,
        on_invalid=settings.on_invalid,
    )
