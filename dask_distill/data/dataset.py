"""A data set: arrays that share the row axis, checked as far as metadata goes.

Nothing here reads values of dask arrays; only unknown chunk sizes are counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dask.array as da
import numpy as np

from dask_distill.data.arrays import (
    NUMBERS,
    TEXT,
    as_dask,
    columns_of,
    known_chunks,
    one_row_axis,
)
from dask_distill.data.groups import Group
from dask_distill.data.labels import missing_labels, text_of
from dask_distill.data.objects import attributes_of, columns_in, known_form
from dask_distill.data.table import Table
from dask_distill.data.texts import TextSize
from dask_distill.data.uses import FEATURE, LEFT_OUT, ColumnUse, listed, told, used_columns
from dask_distill.data.weights import UNNAMED, Weighing
from dask_distill.errors import InputError
from dask_distill.storage.variables import FEATURES, LABELS
from dask_distill.support.html import facts_table

# arrays and groups of the output that are ours


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Dataset:
    """Features, labels and carried arrays of the same rows.

    Attributes
    ----------
    features : (n, d) or (n, ...) dask array
        Known chunks, one chunk along every axis but the first.
    labels : (n,) dask array or None
        (n, L) where it was opened for several labels a row.
    carry : dict of (n, ...) dask arrays
    feature_name, label_name : str
        Names in the output, unless no array of it can be named so.
    columns : tuple of str or None
        Names of the feature columns, where the source has them.
    sources : tuple of str
        Paths and URLs that are read from, without credentials.
    time_name : str or None
        Which of the carried arrays says when each row was.
    missing : dict
        Of zarr arrays that lack chunks, which are read as the fill value: how many, and of how
        many. Counted at opening, if the store can be listed and an array has at most 100,000.
    uses : tuple of ColumnUse
        What becomes of each column or array of the source, where it was opened by us.
    texts : dict of TextSize
        Of labels and carried columns that are text, where the source tells how long they are.
    renamed : dict
        Of arrays that go by another name than in the source: that name, by the one they go by.
    attributes : dict of dict
        Of arrays and feature columns that have some in the source, by name: units and the like.
    without_nulls : frozenset of str
        Carried arrays of text in which, as is known, no value is missing.
    split : str or None
        Of the source's files, those that were opened, where it was asked for some.
    where : str or None
        What was asked of the names of their folders.
    sample_weight : (n,) dask array or None
        How many rows each row stands for; None where they count alike.
    weight_name : str
        Of the array or column, in words; empty where the user wants none.
    weighing : Weighing or None
        What the weights come to; see `measured`.
    table : Table or None
        All columns of the same rows, where the source is a table; what is selected of it is
        written then, and features are how its columns are read.
    profile : mapping or None
        How the columns of the table are read, JSON-able; see `dask_distill.tables.profile`.
    groups : tuple of Group
        Features that count as one column.
    unfilled : callable or None
        Gives the features with NaN where values are missing, where they are filled in otherwise.
    """

    features: da.Array
    labels: da.Array | None = None
    carry: dict[str, da.Array] = field(default_factory=dict)
    feature_name: str = FEATURES
    label_name: str = LABELS
    columns: tuple[str, ...] | None = None
    sources: tuple[str, ...] = ()
    time_name: str | None = None
    missing: dict[str, tuple[int, int]] = field(default_factory=dict)
    uses: tuple[ColumnUse, ...] = ()
    texts: dict[str, TextSize] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)
    without_nulls: frozenset[str] = frozenset()
    split: str | None = None
    where: str | None = None
    sample_weight: da.Array | None = None
    weight_name: str = UNNAMED
    weighing: Weighing | None = None
    table: Table | None = None
    profile: Mapping[str, Any] | None = None
    groups: tuple[Group, ...] = ()
    unfilled: Callable[[], da.Array] | None = None

    @property
    def time(self) -> da.Array | None:
        """(n,) times, numbers or dates; None where rows have none."""
        return None if self.time_name is None else self.carry[self.time_name]

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.features.shape[0])

    @property
    def d(self) -> int:
        """Features of a row, all axes but the first flattened."""
        return int(np.prod(self.features.shape[1:], dtype=np.int64))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's features and label in memory."""
        label = 0
        if self.labels is not None:
            label = int(self.labels.dtype.itemsize * np.prod(self.labels.shape[1:], dtype=np.int64))
        return self.d * int(self.features.dtype.itemsize) + label

    @property
    def nbytes(self) -> int:
        """Bytes of all features and labels in memory."""
        return self.n * self.row_bytes

    def carried_name(self, name: str) -> str:
        """The name that a carried array goes by, given that or its name in the source."""
        sources = {theirs: ours for ours, theirs in self.renamed.items()}
        return name if name in self.carry else sources.get(name, name)

    def missing_lines(self) -> list[str]:
        """For people: which arrays lack chunks."""
        return [
            f"{count:,} of {total:,} chunks of {name} are not stored and read as the fill value"
            for name, (count, total) in self.missing.items()
        ]

    def __repr__(self) -> str:
        labels = "no labels" if self.labels is None else f"labels {self.labels.dtype}"
        shape = " x ".join(f"{size:,}" for size in self.features.shape)
        what = f"{shape} {self.features.dtype}"
        if self.profile is not None:
            what = f"{self.n:,} rows, columns: {used_columns(self.profile)}"
        weighted = "" if self.sample_weight is None else f", weighted by {self.weight_name}"
        rest = f"{labels}, {len(self.carry)} carried{weighted}"
        return f"Dataset({what}, {rest})"

    def _repr_html_(self) -> str:
        arrays = {} if self.profile is not None else {self.feature_name: self.features}
        if self.labels is not None:
            arrays[self.label_name] = self.labels
        facts: list[tuple[str, object]] = [("rows", f"{self.n:,}")]
        if self.profile is not None:
            names = listed([use.name for use in self.uses if use.role == FEATURE])
            facts.append(("columns", f"{used_columns(self.profile)}: {names}".removesuffix(": ")))
        facts += [(name, f"{a.shape} {a.dtype}") for name, a in (arrays | self.carry).items()]
        if self.columns is not None and self.profile is None:
            facts.append(("columns", listed(self.columns)))
        if self.sample_weight is not None:
            facts.append(("sample weights", self.weight_name))
        facts += [(role, text) for role, text in told(self.uses) if role == LEFT_OUT]
        facts += [("not stored", line) for line in self.missing_lines()]
        return facts_table("Dataset", [*facts, *(("source", url) for url in self.sources)])


def as_dataset(
    features: Any,
    labels: Any = None,
    *,
    carry: Mapping[str, Any] | None = None,
    time: Any = None,
) -> Dataset:
    """Bring arrays of any accepted kind into a `Dataset`, without computing values.

    Unknown chunk sizes are the exception: rows have to be counted.

    Parameters
    ----------
    features : array, DataFrame or Dataset
        NumPy and dask arrays, pandas and dask DataFrames, xarray objects, nested lists, Arrow
        and polars tables, Hugging Face data sets, arrays of zarr and h5py.
        With a `Dataset`, labels and carry given here replace its own. Columns of different
        types get their common type. Columns that may hold missing values (pandas' nullable
        types) become float64 with NaN; in pandas only those that do.
    labels : (n,) array or Series, optional
    carry : mapping of (n, ...) arrays, optional
        More arrays to write with the selected rows, by the name they get in the output.
    time : (n,) array of numbers or dates, or str, optional
        When each row was; carried under the name "time". Or the name of a carried array.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        For shapes, types or lengths that cannot be used.

    Examples
    --------
    >>> as_dataset(np.zeros((1000, 3)), ["a", "b"] * 500)
    Dataset(1,000 x 3 float64, labels <U1, 0 carried)
    """
    if isinstance(features, Dataset):
        base = features
    else:
        known = known_form(features, "features")
        columns = columns_of(known) or columns_in(features)
        base = Dataset(features=as_dask(known, "features"), columns=columns)
    found = {base.feature_name: features, base.label_name: labels}
    if labels is not None:
        base = replace(base, labels=as_dask(labels, "labels"))
    if carry is not None:
        if not isinstance(carry, Mapping):
            raise InputError(
                f"carry must map names to arrays, got {type(carry).__name__}; pass a dict"
            )
        arrays = {name: as_dask(array, f"carry {name}") for name, array in carry.items()}
        same = {name for name, array in arrays.items() if array is base.carry.get(name)}
        whole = {name for name, given in carry.items() if _is_whole(given)}
        base = replace(base, carry=arrays, without_nulls=(base.without_nulls & same) | whole)
        found |= carry
    attributes = base.attributes | attributes_of(found)
    base = replace(base, attributes=attributes)
    if time is not None:
        base = with_time(base, time)
    return check(base)


def _is_whole(values: Any) -> bool:
    """Whether these are in memory, and none is missing: of others it is not known."""
    if isinstance(values, np.ndarray):
        return values.dtype == object and not missing_labels(values.ravel()).any()
    if isinstance(values, da.Array) or hasattr(values, "dask") or not hasattr(values, "isna"):
        return False
    return not np.asarray(values.isna()).any()


def with_time(dataset: Dataset, time: Any) -> Dataset:
    """Name the carried array that says when rows were, or carry one.

    Raises
    ------
    InputError
    """
    if not isinstance(time, str):
        if "time" in dataset.carry:
            raise InputError(
                'carry must not hold "time" beside time=, got both; pass time="time" for the '
                "carried one"
            )
        carry = dataset.carry | {"time": as_dask(time, "time")}
        return replace(dataset, carry=carry, time_name="time")
    time = dataset.carried_name(time)
    if time not in dataset.carry:
        raise InputError(
            f"time must be an array or the name of a carried one, got {time!r}; carried: "
            f"{', '.join(dataset.carry) or 'none'}"
        )
    return replace(dataset, time_name=time)


def check(dataset: Dataset, *, several: bool = False) -> Dataset:
    """Refuse what metadata shows to be unusable; bring chunks and labels into form.

    Parameters
    ----------
    dataset : Dataset
    several : bool
        Whether a row may have several labels.

    Raises
    ------
    InputError
    """
    features = one_row_axis(known_chunks(dataset.features))
    carry = {name: one_row_axis(known_chunks(a)) for name, a in dataset.carry.items()}
    labels = None if dataset.labels is None else known_chunks(dataset.labels)
    _check_features(features)
    n = int(features.shape[0])
    if labels is not None:
        labels = one_row_axis(labels) if several else _one_label_a_row(labels)
        _check_length("labels", labels, n)
    _check_names(dataset, labelled=labels is not None)
    for name, array in carry.items():
        _check_length(f"carry {name}", array, n)
        # what the output cannot hold is refused before the work, not after it
        if array.dtype.kind not in f"{NUMBERS}cmM{TEXT}" or array.dtype.char in "gG":
            raise InputError(
                f"carry {name} must hold numbers, dates or text, got dtype {array.dtype}; convert "
                "it, or leave it out"
            )
    if dataset.time_name is not None:
        _check_time(carry[dataset.time_name])
    weights = None if dataset.sample_weight is None else known_chunks(dataset.sample_weight)
    if weights is not None:
        weights = _one_weight_a_row(weights, n)
    return replace(dataset, features=features, labels=labels, carry=carry, sample_weight=weights)


def _check_features(features: da.Array) -> None:
    kind = features.dtype
    if kind.kind not in NUMBERS:
        raise InputError(
            f"features must be numbers, got dtype {kind}; encode or leave out what is not a number"
        )
    if kind.char == "g":
        raise InputError(f"features must be at most float64, got dtype {kind}; store them so")
    if features.ndim < 2:
        raise InputError(
            f"features must have rows and columns, got shape {features.shape}; give one feature "
            f"a second axis, shape ({features.shape[0]}, 1)"
        )
    for size, what in ((features.shape[0], "row"), (min(features.shape[1:]), "column")):
        if size == 0:
            raise InputError(
                f"features must have at least one {what}, got shape {features.shape}; check what "
                "was selected"
            )


def _one_label_a_row(labels: da.Array) -> da.Array:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise InputError(
            f"labels must have one value a row, got shape {labels.shape}; of one-hot labels give "
            "the number of the class (their argmax), for several labels a row pass "
            'task="multilabel"'
        )
    if labels.dtype.kind == "S":
        # what HDF5 and zarr often have of text
        labels = da.map_blocks(text_of, labels, dtype=object, meta=np.empty(0, object))
    if labels.dtype.kind not in NUMBERS + TEXT:
        raise InputError(
            f"labels must be ints or strings, got dtype {labels.dtype}; convert them to one of "
            "these, e.g. to text"
        )
    return labels


def _check_length(name: str, array: da.Array, n: int) -> None:
    if array.ndim == 0 or array.shape[0] != n:
        found = array.shape[0] if array.ndim else "a scalar"
        raise InputError(
            f"{name} must have as many rows as features ({n}), got {found}; pass arrays of the "
            "same rows"
        )


def _check_time(time: da.Array) -> None:
    if time.ndim != 1 or time.dtype.kind not in "iufM":
        raise InputError(
            f"time must have one number or date a row, got shape {time.shape} of {time.dtype}; "
            "convert it, e.g. text to dates"
        )


def _one_weight_a_row(weights: da.Array, n: int) -> da.Array:
    if weights.ndim == 2 and weights.shape[1] == 1:
        weights = weights[:, 0]
    _check_length("sample_weight", weights, n)
    if weights.ndim != 1 or weights.dtype.kind not in NUMBERS:
        raise InputError(
            f"sample_weight must have one number a row, got shape {weights.shape} of "
            f"{weights.dtype}; convert it"
        )
    return weights


def _check_names(dataset: Dataset, labelled: bool) -> None:
    """Arrays have names, and carried ones others than the labels; the output may change them."""
    for what, name in (
        ("features", dataset.feature_name),
        ("labels", dataset.label_name),
        *(("carry", name) for name in dataset.carry),
    ):
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{what} must have a name, got {name!r}; rename it")
    if labelled and dataset.label_name in dataset.carry:
        raise InputError(
            f"carry must not be named as the labels are, got {dataset.label_name!r}; labels are "
            "written in any case: leave it out, or rename it"
        )
