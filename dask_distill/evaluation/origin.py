"""What a subset was selected from, and rows to test it on, opened as the selection saw them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dask_distill.data.dataset import Dataset, check, with_time
from dask_distill.data.weighted import measured, with_weights
from dask_distill.errors import InputError
from dask_distill.evaluation.splits import as_labelled
from dask_distill.subset.subset import Subset
from dask_distill.tables.dataset import read_as


def refuse_without_classes(coreset: Subset) -> None:
    """End where the rows of a subset do not each have one class."""
    task = coreset.provenance.get("parameters", {}).get("task") or "classification"
    if task != "classification":
        raise InputError(
            "evaluate trains classifiers, which give every row one class, got a subset selected "
            f"for {task}; train models of your own on it, and on a random subset of its size"
        )
    if coreset.labels is None:
        raise InputError(
            "evaluate needs labels, got a subset of unlabelled rows; select again with labels= / "
            "--labels"
        )


def labelled_source(
    coreset: Subset, features: Any, labels: Any, sample_weight: Any = None
) -> Dataset:
    """What a subset was selected from, with labels; refuses anything else."""
    refuse_without_classes(coreset)
    told = coreset.provenance
    profile = told.get("input", {}).get("profile")
    dataset = as_labelled(features, labels, "source", carry=_columns_of(told) if profile else ())
    dataset = read_as(dataset, profile)
    if told.get("parameters", {}).get("on_invalid") == "drop" and dataset.unfilled is not None:
        # everything is what was selected from: without the rows that were left out
        dataset = replace(dataset, features=dataset.unfilled(), unfilled=None)
    dataset = _weighted(coreset, dataset, sample_weight)
    weights = told.get("input", {}).get("sample_weight") or {"rows_of_weight_0": 0}
    n = told.get("rows", 0) + told.get("rows_dropped", 0) + weights["rows_of_weight_0"]
    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    # rows that were chosen before are in the source, and not among those that were selected from
    whole = told.get("input", {}).get("shape", [n])[0]
    if dataset.d != d or (n and dataset.n not in (n, whole)):
        raise InputError(
            f"the source must be what the subset was selected from, {whole:,} rows of {d} "
            f"features, got {dataset.n:,} of {dataset.d}; check the path and the names"
        )
    return dataset


def _columns_of(told: Mapping[str, Any]) -> tuple[str, ...]:
    """What a selection from a frame took of it beside features and labels."""
    found = told["input"]
    return tuple(
        name for name in (found["time"], (found["sample_weight"] or {}).get("name")) if name
    )


def _weighted(coreset: Subset, dataset: Dataset, sample_weight: Any) -> Dataset:
    """With sample weights as the subset was selected, unless others are given."""
    if sample_weight is not None:
        return measured(with_weights(dataset, sample_weight))
    told = coreset.provenance.get("input", {}).get("sample_weight")
    if not told:
        return with_weights(dataset, False)
    if dataset.sample_weight is None and told["name"] in dataset.carry:
        dataset = with_weights(dataset, told["name"])
    if dataset.sample_weight is None:
        raise InputError(
            "evaluate needs the sample weights of the source's rows, since the subset was selected "
            f"with {told['name']!r}, got none; pass sample_weight= / --sample-weight, or False / "
            "'' to count rows alike"
        )
    return measured(dataset)


def timed(coreset: Subset, dataset: Dataset, time: Any) -> Dataset:
    """With the time of the rows, where the subset was selected with one."""
    if time is not None:
        return check(with_time(dataset, time))
    name = coreset.provenance.get("input", {}).get("time")
    if name is None or dataset.time_name is not None:
        return dataset
    if name in dataset.carry:
        return check(with_time(dataset, name))
    raise InputError(
        f"evaluate needs the time of the source's rows, since the subset was selected with {name!r}"
        ", got none; pass time=, so that models are tested on later rows than they saw"
    )


def labelled_test(test: Any, source: Dataset) -> Dataset:
    """Held-out rows with labels and the source's features, read as those are."""
    dataset, d = read_as(as_labelled(test, None, "test"), source.profile), source.d
    if dataset.d != d:
        raise InputError(
            f"test must have the {d} features of the source, got {dataset.d}; name the same columns"
        )
    return dataset
