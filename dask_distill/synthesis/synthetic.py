"""Synthetic rows with what can be done with them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dask_distill.errors import InputError
from dask_distill.runtime.progress import Progress
from dask_distill.storage import group as store
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import SYNTHETIC
from dask_distill.storage.variables import WEIGHT
from dask_distill.subset.names import ArrayNames
from dask_distill.subset.subset import Subset
from dask_distill.synthesis.judged import SyntheticEvaluation
from dask_distill.synthesis.judging import evaluate_synthetic
from dask_distill.synthesis.rows import (
    FORMAT,
    SYNTHETIC_VERSION,
    SyntheticRows,
    names_of_made,
    write_synthetic,
)


@dataclass(frozen=True, repr=False)
class Synthetic(SyntheticRows):
    """Rows that were made, not selected.

    Attributes
    ----------
    weights : (m,) float32 array
        The share of the data that each row stands for; they sum to the rows of the data.
    provenance : dict
        JSON-able: method, parameters, seed, versions, and what it was learnt from.
    features, labels : dask arrays of the rows
        Labels are None where there were none. Ordered by class.
    """

    def to_zarr(
        self,
        target: str | os.PathLike[str],
        storage_options: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        *,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Write the rows, their weights and the provenance to one zarr group.

        The group's attribute ``synthetic`` is true, and there is no ``index``. `verify` checks
        it as it does a subset: digests, the commit, and that the weights fit.

        Parameters
        ----------
        target : path or URL
            Must not exist unless ``overwrite``.
        storage_options : mapping, optional
            For fsspec; never stored.
        overwrite : bool
            Replace synthetic rows that are there, at commit; nothing else is replaced.
        progress : Progress, optional
            Takes the chunks that are written.

        Returns
        -------
        dict
            ``target``, ``digest`` and ``bytes_written``.

        Raises
        ------
        InputError
            Where the target exists, is the source, or cannot be written.
        """
        names_of_made(self).warn(stacklevel=2)
        return write_synthetic(self, target, storage_options, overwrite, progress)

    def evaluate(
        self, coreset: Subset, features: Any, labels: Any = None, **options: Any
    ) -> SyntheticEvaluation:
        """Measure what these rows are good for, beside the subset they were made from.

        Parameters
        ----------
        coreset : Coreset
            What they were made from.
        features : Dataset, (n, d) array, or pair of features and labels
            What that was selected from.
        labels : (n,) array, optional
        **options
            Of `evaluate_synthetic`: test, models, seeds, test_rows, max_rows, seed, sample_weight.

        Returns
        -------
        SyntheticEvaluation
        """
        return evaluate_synthetic(self, coreset, features, labels, **options)


def open_synthetic(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> Synthetic:
    """Open rows that `Synthetic.to_zarr` or ``dask-distill synthesize`` has written.

    Parameters
    ----------
    target : path or URL
    storage_options : mapping, optional
        For fsspec.

    Returns
    -------
    Synthetic
        Features and labels stay on disk until computed.

    Raises
    ------
    IncompleteOutput
        Where the commit marker or a part is missing.
    InputError
        Where nothing is there, or something else, a subset of real rows among it.
    """
    arrays, attributes = store.read(target, storage_options=dict(storage_options or {}))
    shown = Location(os.fspath(target)).shown
    if not attributes.get(SYNTHETIC):
        raise InputError(
            f"target '{shown}' must hold synthetic rows, got a subset of real ones; open it with "
            "open_coreset"
        )
    version = attributes["format"]["version"]
    if version > SYNTHETIC_VERSION:
        raise InputError(
            f"target '{shown}' must have version {SYNTHETIC_VERSION} of {FORMAT} at most, got "
            f"{version}; update dask-distill"
        )
    names = ArrayNames.parse(attributes["names"])
    fields = names.fields(arrays)
    return Synthetic(
        weights=arrays[WEIGHT].compute(),
        provenance=attributes["provenance"],
        **{name: fields[name] for name in ("features", "labels", "feature_name", "label_name")},
    )
