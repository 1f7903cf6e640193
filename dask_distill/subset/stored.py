"""A subset as a zarr group, written and opened."""

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import dask
import dask.array as da

from dask_distill.data.written import without_bytes_label
from dask_distill.errors import InputError
from dask_distill.runtime.client import active_client
from dask_distill.runtime.progress import Progress, countdown
from dask_distill.runtime.wire import measured
from dask_distill.sources.arrow_arrays import SCHEMA, schema_text, table_in
from dask_distill.storage import group as store
from dask_distill.storage.form import FOLDER, form_wanted
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import SYNTHETIC
from dask_distill.storage.targets import form_of, located, refuse_scores
from dask_distill.storage.variables import INDEX, SCORE, SUBSET_WEIGHT, WEIGHT, scores_among
from dask_distill.subset.arrays import WrittenArrays, table_fields, written_arrays
from dask_distill.subset.folder import open_folder
from dask_distill.subset.names import ArrayNames
from dask_distill.subset.parquet import write_parquet
from dask_distill.subset.subset import Certificate, Subset
from dask_distill.subset.summary import Summary
from dask_distill.subset.written import attributes_of, with_bytes_sent


def write_subset(
    subset: Subset,
    target: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    *,
    scores: bool = False,
    keep_encoded: bool = False,
    **how: Any,
) -> dict[str, Any]:
    """Write a subset in the form that the target's name asks for.

    Parameters
    ----------
    subset, target, storage_options, overwrite
        As for `write_group`. A target that ends in ``.parquet`` becomes a folder of parquet
        files, any other a zarr group.
    scores : bool
        Whether a folder of parquet files has the rows' scores; a zarr group has them always.
    keep_encoded : bool
        Whether a zarr group has the numbers that a table's rows were compared by.
    **how
        Of `write_group`: progress, run, request.

    Returns
    -------
    dict
        As `Coreset.to_zarr`.
    """
    if form_wanted(target) is FOLDER:
        return write_parquet(subset, target, storage_options, overwrite, scores=scores, **how)
    how |= {"keep_encoded": keep_encoded}
    return write_group(subset, target, storage_options, overwrite, **how)


def write_group(
    subset: Subset,
    target: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    *,
    keep_encoded: bool = False,
    progress: Progress | None = None,
    run: str | None = None,
    request: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write rows, weights, scores and provenance to one zarr group, by the workers.

    Parameters
    ----------
    subset : Subset
    target, storage_options, overwrite, keep_encoded, progress, run : as for `Coreset.to_zarr`
    request : mapping, optional
        What a run that may be resumed was asked for; is stored beside the provenance.

    Returns
    -------
    dict
        As `Coreset.to_zarr`.
    """
    label = None if subset.labels is None else subset.label_name
    subset = replace(subset, table=without_bytes_label(subset.table, label))
    options = dict(storage_options or {})
    sources = subset.provenance.get("input", {}).get("sources", [])
    store.check_target(target, overwrite=overwrite, storage_options=options, sources=sources)
    names = names_of(subset)
    written = _of_rows(subset, names, keep_encoded)
    rows = written.arrays
    rows[INDEX] = da.from_array(subset.indices, chunks=-1)
    rows[WEIGHT] = da.from_array(subset.weights, chunks=-1)
    for name, values in subset.scores.items():
        rows[f"{SCORE}{name}"] = da.from_array(values, chunks=-1)
    if subset.subset_weights is not None:
        rows[SUBSET_WEIGHT] = da.from_array(subset.subset_weights, chunks=-1)
    if subset.summary is not None:
        rows |= subset.summary.arrays(names)
    attributes = attributes_of(subset, names.as_dict(), request)
    attributes["array_attributes"] = written.about
    if subset.table is not None:
        attributes[SCHEMA] = schema_text(subset.table.schema)
    if subset.summary is not None:
        attributes["growing"] = subset.summary.attributes()
    with measured(active_client()) as wire:
        receipt = store.write(
            target,
            rows,
            attributes,
            overwrite=overwrite,
            storage_options=options,
            on_chunk=None if progress is None else countdown("write", progress),
            run=run,
            amend=partial(with_bytes_sent, wire=wire),
            compared=written.compared,
        )
    return receipt | {"bytes_on_the_wire": wire.figures()}


def _of_rows(subset: Subset, names: ArrayNames, keep_encoded: bool) -> WrittenArrays:
    """The arrays of the rows themselves: columns of a table, or features, labels and the like."""
    if subset.table is not None:
        return written_arrays(subset, subset.table, names, keep_encoded=keep_encoded)
    found = names.arrays(subset.features, subset.labels, subset.carry, subset.without_nulls)
    return WrittenArrays(*found, subset.provenance.get("input", {}).get("attributes", {}))


def names_of(subset: Subset) -> ArrayNames:
    """Under which names a subset is written."""
    labels = None if subset.labels is None else subset.label_name
    columns = None if subset.table is None else subset.table.schema.names
    return ArrayNames.of(subset.feature_name, labels, list(subset.carry), columns)


def open_subset(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Subset:
    """Open a subset that we have written, in whatever form.

    Parameters
    ----------
    target : path or URL
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Subset
        Features, labels and carried arrays stay on disk until computed.

    Raises
    ------
    IncompleteOutput
        Where the commit marker or a part is missing.
    InputError
        Where nothing is there, or something else.
    """
    location = located(target, storage_options)
    if form_of(location) is FOLDER:
        return open_folder(location)
    arrays, attributes = store.read(target, storage_options=dict(storage_options or {}))
    refuse_scores(location, attributes)
    if attributes.get(SYNTHETIC):
        raise InputError(
            f"target '{Location(os.fspath(target)).shown}' must hold selected rows, got synthetic "
            "ones; open it with open_synthetic, or name the subset that they were made from"
        )
    names = ArrayNames.parse(attributes["names"])
    certificate = attributes.get("certificate")
    small = {
        name: array
        for name, array in arrays.items()
        if name in (INDEX, WEIGHT, SUBSET_WEIGHT) or name.startswith(SCORE)
    }
    growing = attributes.get("growing")
    summary = None
    if growing is not None:
        summary = Summary.stored(growing, arrays, names)
    values = dict(zip(small, dask.compute(*small.values()), strict=True))
    if SCHEMA in attributes:
        table = table_in(Location(os.fspath(target), dict(storage_options or {})), attributes)
        fields = table_fields(names, arrays, table, attributes["provenance"])
    else:
        fields = names.fields(arrays)
    return Subset(
        indices=values[INDEX],
        weights=values[WEIGHT],
        scores=scores_among(values),
        certificate=None if certificate is None else Certificate(**certificate),
        provenance=attributes["provenance"],
        summary=summary,
        subset_weights=values.get(SUBSET_WEIGHT),
        **fields,
    )
