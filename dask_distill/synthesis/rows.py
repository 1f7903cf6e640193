"""Synthetic rows: what they are, how they are stored, and how they are opened again.

The group has a format of its own: no `index`, since no row of a source is in it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.runtime.progress import Progress, countdown
from dask_distill.storage import group as store
from dask_distill.storage.location import Location
from dask_distill.storage.manifest import SYNTHETIC, open_content
from dask_distill.storage.targets import refuse_folder
from dask_distill.storage.variables import FEATURES, INDEX, LABELS, WEIGHT
from dask_distill.subset.names import ArrayNames
from dask_distill.subset.subset import Subset
from dask_distill.support.digest import combined_digest, digest_values
from dask_distill.support.html import facts_table

FORMAT = "dask_distill.synthetic"
SYNTHETIC_VERSION = 1


def learnt_from(coreset: Subset, rows: int) -> dict[str, Any]:
    """What tells the subset: its rows by digest, how it was selected, and from what."""
    told = coreset.provenance
    source = told.get("input", {})
    parameters = told.get("parameters", {})
    return {
        "rows": rows,
        "selected": len(coreset),
        "digest": rows_digest(coreset),
        "strategy": parameters.get("strategy"),
        "seed": told.get("seed"),
        "fingerprint": source.get("fingerprint"),
        "sources": source.get("sources", []),
        "columns": source.get("columns"),
        **({"profile": source["profile"]} if source.get("profile") else {}),
        "subset": None,
    }


def rows_digest(coreset: Subset) -> str:
    """Digest of which rows were selected, and of their weights."""
    return combined_digest(
        {INDEX: digest_values(coreset.indices), WEIGHT: digest_values(coreset.weights)}
    )


@dataclass(frozen=True, kw_only=True)
class SyntheticRows:
    """Rows that were made, not selected: the fields of a `Synthetic`, which tells of each."""

    weights: npt.NDArray[np.float32]
    provenance: dict[str, Any]
    features: da.Array = field(repr=False)
    labels: da.Array | None = field(repr=False, default=None)
    feature_name: str = FEATURES
    label_name: str = LABELS

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        told = self.provenance
        learnt = told.get("learnt_from", {}).get("rows", 0)
        how = f"{len(self):,} rows by {told.get('method', '?')} from {learnt:,} real ones"
        return f"{type(self).__name__}({how})"

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
        return facts_table(type(self).__name__, facts)


def names_of_made(made: SyntheticRows) -> ArrayNames:
    """Under which names synthetic rows are written."""
    return ArrayNames.of(made.feature_name, None if made.labels is None else made.label_name, ())


def write_synthetic(
    made: SyntheticRows,
    target: str | os.PathLike[str],
    storage_options: Mapping[str, Any] | None,
    overwrite: bool,
    progress: Progress | None,
) -> dict[str, Any]:
    """Write them to one zarr group; see `Synthetic.to_zarr`."""
    options = dict(storage_options or {})
    check_target(target, made.provenance, overwrite, options)
    names = names_of_made(made)
    rows, _ = names.arrays(made.features, made.labels, {}, ())
    rows[WEIGHT] = da.from_array(made.weights, chunks=-1)
    attributes = {
        SYNTHETIC: True,
        "format": {"name": FORMAT, "version": SYNTHETIC_VERSION},
        "provenance": made.provenance,
        "names": names.as_dict(),
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
    refuse_folder(target, "synthetic rows")
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


def _is_ours(location: Location) -> bool:
    try:
        content = open_content(location)
    except IncompleteOutput:
        return False
    return content is not None and bool(content.get(SYNTHETIC))
