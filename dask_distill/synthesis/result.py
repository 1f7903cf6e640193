"""Synthetic rows: what they are, how they are stored, and how they are opened again.

The group has a format of its own: no `index`, since no row of a source is in it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill import store
from dask_distill._html import facts_table
from dask_distill._location import Location
from dask_distill._manifest import SYNTHETIC, open_content
from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.progress import Progress, countdown

if TYPE_CHECKING:
    from dask_distill.coreset import Coreset
    from dask_distill.synthesis.judged import SyntheticEvaluation

FORMAT = "dask_distill.synthetic"
SYNTHETIC_VERSION = 1


@dataclass(frozen=True)
class Synthetic:
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

    weights: npt.NDArray[np.float32]
    provenance: dict[str, Any]
    features: da.Array = field(repr=False)
    labels: da.Array | None = field(repr=False, default=None)
    feature_name: str = "X"
    label_name: str = "y"

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        told = self.provenance
        learnt = told.get("learnt_from", {}).get("rows", 0)
        return (
            f"Synthetic({len(self):,} rows by {told.get('method', '?')} from {learnt:,} real ones)"
        )

    def _repr_html_(self) -> str:
        told = self.provenance
        facts: list[tuple[str, object]] = [
            ("rows", f"{len(self):,}, none of them real"),
            ("method", told.get("method", "?")),
            ("learnt from", f"{told.get('learnt_from', {}).get('rows', 0):,} real rows"),
        ]
        facts += [
            (f"class {entry['label']}", f"{entry['made']:,}")
            for entry in (told.get("classes") or [])[:10]
        ]
        return facts_table("Synthetic", facts)

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
        options = dict(storage_options or {})
        check_target(target, self.provenance, overwrite, options)
        rows = {self.feature_name: self.features}
        if self.labels is not None:
            rows[self.label_name] = self.labels
        rows["weight"] = da.from_array(self.weights, chunks=-1)
        attributes = {
            SYNTHETIC: True,
            "format": {"name": FORMAT, "version": SYNTHETIC_VERSION},
            "provenance": self.provenance,
            "names": {
                "features": self.feature_name,
                "labels": None if self.labels is None else self.label_name,
            },
        }
        return store.write(
            target,
            rows,
            attributes,
            overwrite=overwrite,
            storage_options=options,
            on_chunk=None if progress is None else countdown("write", progress),
            marks={SYNTHETIC: True},
        )

    def evaluate(
        self, coreset: "Coreset", features: Any, labels: Any = None, **options: Any
    ) -> "SyntheticEvaluation":
        """Measure what these rows are good for, beside the subset they were made from.

        Parameters
        ----------
        coreset : Coreset
            What they were made from.
        features : Dataset, (n, d) array, or pair of features and labels
            What that was selected from.
        labels : (n,) array, optional
        **options
            Of `evaluate_synthetic`: test, models, seeds, test_rows, max_rows, seed.

        Returns
        -------
        SyntheticEvaluation
        """
        from dask_distill.synthesis.judging import evaluate_synthetic

        return evaluate_synthetic(self, coreset, features, labels, **options)


def check_target(
    target: str | os.PathLike[str],
    told: Mapping[str, Any],
    overwrite: bool,
    storage_options: Mapping[str, Any],
) -> None:
    """Refuse a target that is the subset or its source, or that may not be replaced.

    Raises
    ------
    InputError
    """
    learnt = told.get("learnt_from", {})
    sources = [*learnt.get("sources", ()), *filter(None, [learnt.get("subset")])]
    store.check_target(
        target, overwrite=overwrite, storage_options=storage_options, sources=sources, ours=_is_ours
    )


def is_synthetic(
    target: str | os.PathLike[str], storage_options: Mapping[str, Any] | None = None
) -> bool:
    """Whether a group holds synthetic rows; False for whatever cannot be read as one."""
    place = Location(os.fspath(target).rstrip("/") or "/", dict(storage_options or {}))
    try:
        return _is_ours(place)
    except (InputError, OSError):
        return False


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
    names = attributes["names"]
    return Synthetic(
        weights=arrays["weight"].compute(),
        provenance=attributes["provenance"],
        features=arrays[names["features"]],
        labels=None if names["labels"] is None else arrays[names["labels"]],
        feature_name=names["features"],
        label_name=names["labels"] or "y",
    )


def _is_ours(location: Location) -> bool:
    try:
        content = open_content(location)
    except IncompleteOutput:
        return False
    return content is not None and bool(content.get(SYNTHETIC))
