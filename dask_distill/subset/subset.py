"""Selected rows and their certificate, as plain data."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.data.table import Table
from dask_distill.data.uses import used_columns
from dask_distill.data.written import some_columns
from dask_distill.errors import InputError
from dask_distill.storage.variables import FEATURES, LABELS
from dask_distill.subset.summary import Summary
from dask_distill.support.html import facts_table


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """How well the selected rows cover all rows, and what is proven about it.

    Attributes
    ----------
    radius : float
        Covering radius: the largest distance of any row to its nearest selected row, measured
        over all rows.
    lower_bound : float
        No choice of as many centers, anywhere in space, has a smaller covering radius.
    ratio : float
        radius / lower_bound: the selection is at most this much worse than the best possible.
    random_radius : float or None
        Covering radius of a uniform random subset of the same size; None where it is not known.
    metric : str
    space : str
        "features", or the reduction in whose space the distances are.
    measured : bool
        Whether ``radius`` was measured. Of data that grew it is a bound: no row is farther.
    """

    radius: float
    lower_bound: float
    ratio: float
    random_radius: float | None
    metric: str = "euclidean"
    space: str = "features"
    measured: bool = True

    @classmethod
    def of(
        cls, radius: float, lower_bound: float, random_radius: float | None, **more: Any
    ) -> "Certificate":
        """With the ratio that follows."""
        ratio = radius / lower_bound if lower_bound > 0 else (1.0 if radius == 0 else np.inf)
        return cls(
            radius=radius, lower_bound=lower_bound, ratio=ratio, random_radius=random_radius, **more
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return dataclasses.asdict(self)

    def _repr_html_(self) -> str:
        far = "largest distance of a row to a selected one"
        facts: list[tuple[str, object]] = [
            ("covering radius", f"{self.radius:.4g}, the {far}"),
            ("at least, of any as many rows", f"{self.lower_bound:.4g}"),
            ("at most times the best", f"{self.ratio:.2f}"),
        ]
        if self.random_radius is not None:
            facts.append(("of a random subset", f"{self.random_radius:.4g}"))
        facts.append(("distance", f"{self.metric}, of {self.space}"))
        if not self.measured:
            facts.append(("measured", "no: a bound, since old rows were not read again"))
        return facts_table("Certificate", facts)


@dataclass(frozen=True, kw_only=True)
class Subset:
    """Selected rows of a data set, with weights: the fields of a `Coreset`, which tells of each."""

    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    scores: dict[str, npt.NDArray[np.float32]]
    certificate: Certificate | None
    provenance: dict[str, Any]
    features: da.Array = field(repr=False)
    labels: da.Array | None = field(repr=False, default=None)
    carry: dict[str, da.Array] = field(repr=False, default_factory=dict)
    feature_name: str = FEATURES
    label_name: str = LABELS
    summary: Summary | None = field(repr=False, default=None)
    without_nulls: frozenset[str] = field(repr=False, default=frozenset())
    subset_weights: npt.NDArray[np.float32] | None = field(repr=False, default=None)
    table: Table | None = field(repr=False, default=None)

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        rows = self.provenance.get("rows", 0)
        share = f", {len(self) / rows:.1%} of {rows:,}" if rows else ""
        strategy = self.provenance.get("parameters", {}).get("strategy", "?")
        return f"{type(self).__name__}({len(self):,} rows{share}, strategy={strategy!r})"

    def _repr_html_(self) -> str:
        told = self.provenance
        facts: list[tuple[str, object]] = [
            ("rows", f"{len(self):,} of {told.get('rows', 0):,}"),
            ("strategy", told.get("parameters", {}).get("strategy", "?")),
        ]
        profile = told.get("input", {}).get("profile")
        if profile:
            facts.append(("columns", used_columns(profile)))
        else:
            facts.append((self.feature_name, f"{self.features.shape} {self.features.dtype}"))
        if self.labels is not None:
            facts.append((self.label_name, f"{self.labels.shape} {self.labels.dtype}"))
        facts += [(name, f"{array.shape} {array.dtype}") for name, array in self.carry.items()]
        for entry in (told.get("classes") or [])[:10]:
            amount = f"{entry['selected']:,} of {entry['rows']:,}"
            facts.append((f"class {entry['label']}", amount))
        if growing := told.get("growing"):
            facts.append(("came in", f"{growing['batches']:,} batches"))
        if self.certificate is not None:
            facts.append(("covering radius", f"{self.certificate.radius:.4g}"))
        return facts_table(type(self).__name__, facts)


def with_columns(subset: Subset, columns: str | Sequence[str]) -> Subset:
    """Of a subset of a table, with some columns alone, beside the label and what is carried.

    Raises
    ------
    InputError
        Where there is no such column, or no table.
    """
    if subset.table is None:
        raise InputError(
            f"columns must be those of a table, got {columns!r:.60} for a subset of arrays; leave "
            "it out"
        )
    label = None if subset.labels is None else subset.label_name
    return replace(subset, table=some_columns(subset.table, columns, label, subset.carry))
