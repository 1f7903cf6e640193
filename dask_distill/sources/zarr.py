"""Opening zarr groups and arrays, of format 2 or 3: which arrays are features, labels, carried."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import dask.array as da
import numpy as np
import zarr

from dask_distill.data.dataset import Dataset
from dask_distill.data.nulls import with_nulls
from dask_distill.data.packed import refuse_packed
from dask_distill.data.texts import TextSize
from dask_distill.data.uses import ColumnUse, array_uses
from dask_distill.data.weights import UNNAMED
from dask_distill.errors import InputError
from dask_distill.sources.anndata import lazy_codes, lazy_encoded, parts_of
from dask_distill.sources.arrow_arrays import SCHEMA, table_in
from dask_distill.sources.members import (
    encoding_of,
    find_columns,
    find_member,
    holds,
    member_kind,
    members_of,
)
from dask_distill.sources.stored import count_missing, lazy_columns, lazy_rows
from dask_distill.storage.form import ATTRIBUTE, is_committed
from dask_distill.storage.location import Location
from dask_distill.storage.variables import FEATURES, LABELS, NULL, WEIGHT
from dask_distill.tables.dataset import dataset_of

_SEVERAL = re.compile(r"[,*?\[]")
# the first chunk of a text array is read at opening, to know how long texts are, up to so many
_SAMPLED_BYTES = 2**20


def open_zarr(
    location: Location,
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: Sequence[str],
    weight: str | bool | None = None,
    *,
    complete: bool = False,
    kinds: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
) -> Dataset:
    """Lazy arrays of a group (or one array alone, as features); complete ones, if that is asked.

    Several names, or a glob, stand for arrays of one number a row, which become columns. A subset
    that we have written brings its weights, unless ``weight`` is False or another; one of a table
    is that table, whose columns are read as ``kinds`` or ``profile`` say.
    """
    # a consolidated copy of the metadata does not know of arrays that came later, and cannot be
    # opened where one array is of a type that zarr does not know
    node = zarr.open(**location.zarr_arguments, mode="r", use_consolidated=False)
    if isinstance(node, zarr.Array):
        if features is not None or labels or carry or weight:
            raise InputError(
                "features, labels, carry and sample_weight name arrays of a group, got the single "
                f"array '{location.url}'; leave them out, or give the group"
            )
        return _one_array(node, location, complete)
    group = _Group(node, location, complete)
    usual_features, usual_labels, own = _usual_names(node, location)
    ours = node.attrs.get(ATTRIBUTE)
    if isinstance(ours, dict) and SCHEMA in ours and _of_columns(ours, features):
        read = (features, labels, carry, weight, own, kinds, profile)
        return _own_table(group, ours, *read)
    y = labels if isinstance(labels, str) else ""
    if labels is None and holds(node, usual_labels):
        y = usual_labels
    w = own if weight is None else str(weight or "")
    columns: Mapping[str, Any] = {}
    X = usual_features if features is None else group.one_name(features)
    if not X:
        columns = find_columns(node, location, _patterns(features), {y, w, *carry})
    elif features is not None:
        # one that is named may be a column, too
        found = find_member(node, location, X, "features")
        columns = {X: found} if isinstance(found, zarr.Array) and found.ndim == 1 else {}
    carried = {name: group.array(name, f"carry {name}") for name in carry}
    weights = group.array(w, "sample_weight") if w else None
    masked = {name for name in carry if _has_mask(node, name)}
    for name in masked:
        mask = group.array(NULL + name, f"carry {NULL}{name}")
        carried[name] = with_nulls(carried[name], mask)
    return Dataset(
        features=group.columns(columns) if columns else group.array(X, "features"),
        labels=group.array(y, "labels") if y else None,
        carry=carried,
        texts=_text_sizes(node, [*carry, *([y] if y else [])], location),
        feature_name=FEATURES if columns else X,
        label_name=y or LABELS,
        columns=tuple(columns) or None,
        sources=(location.url,),
        missing=group.missing,
        attributes=group.attributes,
        uses=_uses(node, location, tuple(columns) or (X,), y, carry, w),
        without_nulls=frozenset(carry) - masked,
        sample_weight=weights,
        weight_name=w or ("" if own else UNNAMED),
    )


def _one_array(array: Any, location: Location, complete: bool) -> Dataset:
    refuse_packed(array, "features", array.basename or FEATURES)
    missing: dict[str, tuple[int, int]] = {}
    count_missing(location, array, "features", missing, complete)
    rows = lazy_rows(location, array, "features", complete)
    about = {FEATURES: dict(array.attrs)}
    return Dataset(features=rows, sources=(location.url,), missing=missing, attributes=about)


def _of_columns(ours: Mapping[str, Any], features: str | Sequence[str] | None) -> bool:
    """Whether features are columns of a table that we have written, and no array beside it."""
    return features is None or not {ours["names"]["features"]} & set(_patterns(features))


def _own_table(
    group: "_Group",
    ours: Mapping[str, Any],
    features: str | Sequence[str] | None,
    labels: str | bool | None,
    carry: Sequence[str],
    weight: str | bool | None,
    own_weight: str,
    kinds: Mapping[str, str] | None,
    profile: Mapping[str, Any] | None,
) -> Dataset:
    """A subset of a table, as the table that it is; weights and scores are arrays beside it."""
    table = table_in(group.location, ours)
    there = table.schema.names
    # by its name in the source, which the array may not have
    array = str(ours["names"].get("labels") or "")
    own = str(ours["names"].get("source", {}).get(array, array))
    label = own if labels is None else str(labels or "")
    beside = {name: group.array(name, f"carry {name}") for name in carry if name not in there}
    apart = None
    if label and label not in there:
        apart = group.array(array if label == own else label, "labels")
    column = weight if isinstance(weight, str) and weight in there else ""
    made = dataset_of(
        table,
        labels=None if apart is not None else label or None,
        carry=[name for name in carry if name in there],
        features=None if features is None else _patterns(features),
        weight=column,
        columns=kinds,
        profile=profile,
        source=group.location.url,
    )
    # ours, where nobody names another
    w = "" if column else own_weight if weight is None else str(weight or "")
    if w:
        made = replace(made, sample_weight=group.array(w, "sample_weight"), weight_name=w)
    elif weight is not None and not column:
        made = replace(made, weight_name="")
    if apart is not None:
        made = replace(made, labels=apart, label_name=label)
    return replace(
        made,
        carry={name: (made.carry | beside)[name] for name in carry},
        sources=(group.location.url,),
        missing=group.missing,
    )


@dataclass(frozen=True)
class _Group:
    """Arrays of a group as dask arrays, which of them lack chunks, and what is said of them."""

    node: Any
    location: Location
    complete: bool
    missing: dict[str, tuple[int, int]] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def one_name(self, features: str | Sequence[str]) -> str:
        """The name of one array; "" where several are meant."""
        if not isinstance(features, str):
            if len(features) != 1:
                return ""
            features = features[0]
        # a name may have commas and brackets in it
        return "" if _SEVERAL.search(features) and not holds(self.node, features) else features

    def array(self, name: str, what: str) -> da.Array:
        """An array, or what stands for one, by its name."""
        found = find_member(self.node, self.location, name, what)
        place = self.location.child(name)
        if isinstance(found, zarr.Array):
            return self.rows(found, place, name, what)
        lazy = lazy_encoded(place, found, name, what, self.complete)
        for part, array in parts_of(found, name, what).items():
            child = place.child(part)
            count_missing(child, array, f"{name}/{part}", self.missing, self.complete)
        return lazy

    def rows(self, array: Any, place: Location, name: str, what: str) -> da.Array:
        """The rows of a stored array."""
        refuse_packed(array, what, name)
        count_missing(place, array, name, self.missing, self.complete)
        folder, _, last = name.rpartition("/")
        codes = what == "labels" and last == "codes" and folder and array.ndim == 1
        if codes and encoding_of(self.node.get(folder)) == "categorical":
            return lazy_codes(place, array, self.complete)
        self.attributes[name] = dict(array.attrs)
        return lazy_rows(place, array, what, self.complete)

    def columns(self, found: Mapping[str, Any]) -> da.Array:
        """Arrays of one number a row, side by side in their common type."""
        for name, array in found.items():
            refuse_packed(array, "features", name)
            place = self.location.child(name)
            count_missing(place, array, name, self.missing, self.complete)
            self.attributes[name] = dict(array.attrs)
        dtype = np.result_type(*(array.dtype for array in found.values()))
        places = [(self.location.child(name), array) for name, array in found.items()]
        return lazy_columns(places, dtype, self.complete)


def _patterns(features: str | Sequence[str] | None) -> list[str]:
    names = features.split(",") if isinstance(features, str) else features or ()
    patterns = [name.strip() for name in names if name.strip()]
    if patterns:
        return patterns
    raise InputError("features must name at least one array, got none; name some")


def _uses(
    group: Any,
    location: Location,
    features: Collection[str],
    labels: str,
    carry: Sequence[str],
    weight: str,
) -> tuple[ColumnUse, ...]:
    """What becomes of each array: of those beside what is named, too, and of other groups."""
    named = {name: group[name] for name in (*carry, weight, labels, *features) if name}
    found = dict(named)
    with suppress(Exception):
        # those of groups in which something is named, a level at a time
        folders = {"", *(name.rpartition("/")[0] for name in named)}
        for folder in sorted(folders):
            node = group[folder] if folder else group
            place = location.child(folder) if folder else location
            start = f"{folder}/" if folder else ""
            found |= {f"{start}{name}": member for name, member in members_of(node, place).items()}
        for folder in folders:
            # told of by its members
            found.pop(folder, None)
    kinds = {name: member_kind(member) for name, member in (found | named).items()}
    return array_uses(kinds, features, labels, carry, weight)


def _text_sizes(group: Any, names: Sequence[str], location: Location) -> dict[str, TextSize]:
    """Of arrays of text, by their first chunks, unless these are large."""
    found = {}
    for name in names:
        array = group.get(name)
        if (
            isinstance(array, zarr.Array)
            and array.dtype.kind == "T"
            and array.ndim == 1
            and array.shape[0]
        ):
            with suppress(Exception):
                # what cannot be read is told by the run
                system, path = location.child(name).filesystem()
                key = array.metadata.encode_chunk_key((0,))
                if system.size(f"{path}/{key}") <= _SAMPLED_BYTES:
                    texts: Any = array[: array.chunks[0]]
                    mean = sum(len(str(text).encode()) for text in texts) / len(texts)
                    found[name.rpartition("/")[2]] = TextSize(mean, mean)
    return found


def _usual_names(group: Any, location: Location) -> tuple[str, str, str]:
    """Names of features, labels and weights: X, y and none, unless we have written it."""
    ours = group.attrs.get(ATTRIBUTE)
    if not isinstance(ours, dict):
        return FEATURES, LABELS, ""
    if not is_committed(ours):
        raise InputError(
            f"source '{location.url}' must be complete, got a subset without its commit marker; "
            "write it again, or see what is missing with dask-distill verify"
        )
    names = ours.get("names")
    names = names if isinstance(names, dict) else {}
    own = WEIGHT if WEIGHT in group else ""
    return str(names.get("features") or FEATURES), str(names.get("labels") or LABELS), own


def _has_mask(group: Any, name: str) -> bool:
    """Whether a subset that we have written says where this text is missing."""
    return isinstance(group.attrs.get(ATTRIBUTE), dict) and NULL + name in group
