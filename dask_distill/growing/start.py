"""From a subset that was selected once to one that can be updated."""

import math
from dataclasses import replace
from typing import Any

import dask
import numpy as np

from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.growing.tables import kept_table
from dask_distill.subset.kept import of_table
from dask_distill.subset.subset import Subset
from dask_distill.subset.summary import Settings, Summary

# what a later batch could not follow, by its name in the provenance
_UNFIT = ("protect", "initial", "reduce", "time_scale", "proxy", "subsets")


def summary_of(coreset: Subset) -> Summary:
    """What a subset remembers; of one that `distill` has made, its own rows are all.

    Parameters
    ----------
    coreset : Coreset

    Returns
    -------
    Summary
        Rows stand for as many as they weigh. For ``kcenter`` each stands for rows as far away as
        the certificate says; without one it is not known how far.

    Raises
    ------
    InputError
        Where the subset was selected in a way that a later batch cannot follow.
    """
    if coreset.summary is not None:
        return coreset.summary
    told = coreset.provenance
    parameters = told.get("parameters", {})
    _refuse(parameters)
    if weights := told["input"].get("sample_weight"):
        raise InputError(
            "a subset to be updated must be selected without sample_weight, got "
            f"{weights['name']!r}; select again without it, and begin with grow()"
        )
    settings = Settings.of(
        parameters["strategy"],
        parameters["options"],
        parameters["fraction"],
        # of a fraction, the provenance holds the rows it came to
        None if parameters["fraction"] is not None else parameters["size"],
        None,
        seed=told["seed"],
        on_invalid=parameters["on_invalid"],
    )
    every = np.arange(len(coreset))
    table = None if coreset.table is None else kept_table([(coreset.table, every)])
    parts = () if table is None else table.parts
    features, labels, carry, parts = dask.persist(
        coreset.features, coreset.labels, coreset.carry, parts
    )
    columns = told["input"]["columns"]
    dataset = Dataset(
        features=features,
        labels=labels,
        carry=carry,
        feature_name=coreset.feature_name,
        label_name=coreset.label_name,
        columns=None if columns is None else tuple(columns),
        time_name=told["input"].get("time"),
        without_nulls=coreset.without_nulls,
    )
    if table is not None:
        table = replace(table, parts=parts)
        dataset = of_table(dataset, table, told["input"]["profile"], settings.on_invalid)
    classes = told["classes"]
    n = told["rows"]
    reach, least = math.inf, math.log2(n / len(coreset))
    if settings.covering:
        reach, least = _reach(coreset), 0.0
    return Summary(
        settings=settings,
        dataset=dataset,
        rows=coreset.indices,
        masses=coreset.weights.astype(np.float64),
        reach=np.full(len(coreset), reach),
        # a sample can be no finer than the rows that are left
        least=least,
        n_source=told["input"]["shape"][0],
        n=n,
        classes=None if classes is None else tuple(entry["label"] for entry in classes),
        counts=None if classes is None else tuple(entry["rows"] for entry in classes),
        batches=1,
        fingerprint=told["input"]["fingerprint"],
    )


def _refuse(parameters: dict[str, Any]) -> None:
    for name in _UNFIT:
        if parameters.get(name) is not None:
            raise InputError(
                f"a subset to be updated must be selected without {name}, got "
                f"{parameters[name]!r}; select again, and begin with grow()"
            )
    if parameters.get("task", "classification") != "classification":
        raise InputError(
            f"a subset to be updated must be of classes or without labels, got task "
            f"{parameters['task']!r}; select again without it"
        )


def _reach(coreset: Subset) -> float:
    certificate = coreset.certificate
    if certificate is None or certificate.space != "features":
        return math.inf
    return certificate.radius
