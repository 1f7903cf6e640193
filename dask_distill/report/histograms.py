"""All rows against selected ones, column by column: small histograms for the cells of a table.

What all rows look like is stored with the subset, of the rows that were looked at; selected rows
are read from where they lie.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import dask
import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import as_features
from dask_distill.data.dataset import Dataset
from dask_distill.data.rows import take_rows
from dask_distill.data.table import Table
from dask_distill.data.times import as_times
from dask_distill.evaluation.splits import hashed_rows
from dask_distill.kernels.shapes import counted, moved, moved_by_chance, number_shape
from dask_distill.kernels.streams import Stream
from dask_distill.subset.features import NotWrittenError
from dask_distill.subset.subset import Subset
from dask_distill.tables.columns import source_of, values_at
from dask_distill.tables.profile import DATE, ColumnProfile, Profile
from dask_distill.tables.sampling import looked_at
from dask_distill.tables.shapes import column_counts, column_shape

# of a source, where its subset does not tell
_ROWS = 2000
_WIDTH, _HEIGHT = 96, 24
_NAMED = 4
_DAY = 86_400.0

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """Values of a column by the same bars.

    Attributes
    ----------
    name : str
    shape : dict
        What the bars are of; see `tables.shapes`.
    every : float array or None
        Of all rows, where it is known.
    own : float array
        Of selected rows.
    dates : bool
        Whether numbers are days since 1970.
    """

    name: str
    shape: Mapping[str, Any]
    every: Counts | None
    own: Counts
    dates: bool = False

    @property
    def moved(self) -> float | None:
        """The part of selected rows that lie otherwise than all rows do."""
        if self.every is None:
            return None
        found = moved(self.every, self.own)
        return None if np.isnan(found) else found

    @property
    def by_chance(self) -> float | None:
        """What that would be of random rows, about; it counts that not all rows are looked at."""
        if self.every is None:
            return None
        rows = 1 / (1 / max(self.own.sum(), 1) + 1 / max(self.every.sum(), 1))
        return math.hypot(moved_by_chance(self.every, rows), self.shape.get("error", 0.0))

    def words(self) -> str:
        """What it shows, for those who do not see it."""
        if "values" in self.shape:
            return f"{self.name}: {'; '.join(self._values())}"
        ends = [self.shape[end] for end in ("low", "high")] if "low" in self.shape else None
        ends = ends or [self.shape["at"][0], self.shape["at"][-1]]
        low, high = (_day(end) if self.dates else f"{end:.4g}" for end in ends)
        return f"{self.name}: from {low} to {high}"

    def _values(self) -> list[str]:
        own = self.own / max(self.own.sum(), 1)
        every = None if self.every is None else self.every / max(self.every.sum(), 1)
        found = []
        for number, value in enumerate(self.shape["values"][:_NAMED]):
            of_all = "" if every is None else f"{every[number]:.0%} of all, "
            found.append(f"{value} {of_all}{own[number]:.0%} of selected")
        return found

    def svg(self) -> str:
        """Bars of all rows, and a line of selected ones over them."""
        heights = [None if c is None else c / max(c.sum(), 1) for c in (self.every, self.own)]
        top = max(float(h.max(initial=0)) for h in heights if h is not None) or 1.0
        every, own = (None if h is None else _steps(h / top) for h in heights)
        bars = "" if every is None else f'<path class="all" d="{every}V{_HEIGHT}Z"/>'
        words = escape(self.words())
        return (
            f'<svg class="small" viewBox="0 -1 {_WIDTH} {_HEIGHT + 2}" role="img" '
            f'aria-label="{words}"><title>{words}</title>{bars}'
            f'<path class="own" d="{own}V{_HEIGHT}"/></svg>'
        )


def _steps(heights: Counts) -> str:
    """An outline of bars, from the ground up."""
    width = _WIDTH / len(heights)
    parts = [f"M0 {_HEIGHT}"]
    for number, height in enumerate(heights):
        parts.append(f"V{_HEIGHT * (1 - height):.1f}H{(number + 1) * width:.1f}")
    return "".join(parts)


def _day(days: float) -> str:
    return str(np.datetime64(round(days * _DAY), "s").astype("M8[D]"))


def histograms(coreset: Subset, dataset: Dataset | None = None) -> dict[str, Histogram]:
    """Of each column or feature that has one, by its name.

    Parameters
    ----------
    coreset : Subset
    dataset : Dataset, optional
        What was selected from; looked at where the subset does not tell how all rows lie.
    """
    stored = coreset.provenance.get("input", {}).get("profile")
    if stored and coreset.table is not None:
        return _of_table(coreset, Profile.parse(stored), dataset, coreset.table)
    return _of_arrays(coreset, dataset)


def _tells_of_all(coreset: Subset) -> bool:
    """Whether what is stored was made of the rows that were selected from, and of all of them."""
    told = coreset.provenance
    given = (told.get("input", {}).get("profile") or {}).get("given")
    return coreset.summary is None and not told.get("growing") and not given


def _of_table(
    coreset: Subset, profile: Profile, dataset: Dataset | None, table: Table
) -> dict[str, Histogram]:
    there = [c for c in profile.features if _is_there(c.name, table)]
    known = {c.name: c.shape for c in there if c.shape} if _tells_of_all(coreset) else {}
    if dataset is not None and dataset.table is not None:
        rows = hashed_rows(dataset.n, _ROWS, 0, Stream.PICTURES)
        unknown = [c for c in there if c.name not in known and _is_there(c.name, dataset.table)]
        if unknown:
            looked = _columns(dataset.table, unknown, rows)
            known |= {c.name: column_shape(looked[c.name], c.kind) for c in unknown}
    own = _columns(table, there, looked_at(len(coreset)))
    found = {}
    for column in there:
        values, shape = own[column.name], known.get(column.name)
        bars = shape or column_shape(values, column.kind)
        if bars:
            found[column.name] = Histogram(
                name=column.name,
                shape=bars,
                every=np.asarray(shape["counts"], np.float64) if shape else None,
                own=column_counts(values, column.kind, bars),
                dates=column.kind == DATE,
            )
    return found


def _is_there(name: str, table: Table) -> bool:
    names = table.schema.names
    return any(name == each or name.startswith(f"{each}.") for each in names)


def _columns(
    table: Table, columns: list[ColumnProfile], rows: npt.NDArray[np.int64]
) -> dict[str, Any]:
    if not columns:
        return {}
    names = list(dict.fromkeys(source_of(column.name, table.schema) for column in columns))
    looked = table.take(rows).to_arrow(names).combine_chunks()
    return {column.name: values_at(looked, column.name) for column in columns}


def _of_arrays(coreset: Subset, dataset: Dataset | None) -> dict[str, Histogram]:
    told = coreset.provenance.get("input", {})
    stored = (told.get("shapes") or {}).get("features") if _tells_of_all(coreset) else None
    d = int(np.prod(coreset.features.shape[1:], dtype=np.int64))
    shapes = stored if stored is not None and len(stored) == d else None
    if shapes is None and (dataset is None or told.get("profile") or d > _ROWS):
        return {}
    wanted: list[Any] = [take_rows(coreset.features, looked_at(len(coreset)))]
    if shapes is None and dataset is not None:
        rows = hashed_rows(dataset.n, _ROWS, 0, Stream.PICTURES)
        wanted.append(take_rows(dataset.features, rows))
    try:
        values = [as_features(each) for each in dask.compute(*wanted)]
    except NotWrittenError:
        return {}
    if shapes is None:
        shapes = [number_shape(column.astype(np.float64)) for column in values[1].T]
    names = told.get("columns") or [f"{coreset.feature_name}[{i}]" for i in range(d)]
    return {
        str(name): Histogram(
            name=str(name),
            shape=shape,
            every=np.asarray(shape["counts"], np.float64),
            own=counted(column.astype(np.float64), shape),
        )
        for name, shape, column in zip(names, shapes, values[0].T, strict=False)
        if shape
    }


def time_histogram(coreset: Subset) -> Histogram | None:
    """Of the times of rows; None where there are none, or it is not known how all rows lie."""
    told = coreset.provenance.get("input", {})
    shape, name = (told.get("shapes") or {}).get("time"), told.get("time")
    if not shape or "counts" not in shape or name not in coreset.carry:
        return None
    times = as_times(take_rows(coreset.carry[name], looked_at(len(coreset))).compute())
    return Histogram(
        name=name,
        shape=shape,
        every=np.asarray(shape["counts"], np.float64),
        own=counted(times, shape),
        dates=bool(shape.get("dates")),
    )
