"""What a report shows of a table: how its columns are read, and some of the selected rows."""

import datetime
import decimal
from collections.abc import Mapping, Sequence
from typing import Any

import dask
import numpy as np
import numpy.typing as npt
from dask.delayed import delayed

from dask_distill.data.table import Table, TablePart
from dask_distill.data.uses import used_columns
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.streams import Stream
from dask_distill.report.histograms import Histogram
from dask_distill.report.words import target_name
from dask_distill.subset.subset import Subset
from dask_distill.tables.columns import paths, plain, source_of
from dask_distill.tables.profile import ColumnProfile, Profile

# rows that are shown as they are, and columns that are not folded away
_ROWS, _UNFOLDED = 10, 20
# characters of a value, and values of a list
_LONGEST, _FEW = 60, 3
# what is told of a column, the name first, and how it is set: as words, numbers or a picture
HEADS = {
    "Column": "words",
    "All and selected rows": "picture",
    "Differs": "number",
    "By chance": "number",
    "Nulls": "number",
    "Distinct": "number",
    "Type": "words",
    "Read as": "words",
    "What it is": "words",
}
# the same of the features of arrays
PLAIN_HEADS = {"Feature": "words"} | {name: HEADS[name] for name in list(HEADS)[1:4]}


def columns_shown(coreset: Subset, found: Mapping[str, Histogram]) -> dict[str, Any] | None:
    """What became of each column of the table that was selected from, or of each feature.

    Parameters
    ----------
    coreset : Subset
    found : mapping
        Histograms by column.

    Returns
    -------
    dict or None
        ``used`` in words, or "" for arrays; ``heads`` and ``lines`` of `HEADS`; ``looked``, of how
        many rows they tell; ``compared``, whether it is known how all rows lie. None where nothing
        is known of columns.
    """
    stored = coreset.provenance.get("input", {}).get("profile")
    told: dict[str, Any] = {
        "compared": any(each.every is not None for each in found.values()),
        "looked": "",
        "used": "",
        "noun": "columns",
    }
    if not stored:
        lines = [(name, each.svg(), *_differs(each)) for name, each in found.items()]
        heads = list(PLAIN_HEADS.items())
        return told | {"heads": heads, "lines": lines, "noun": "features"} if lines else None
    profile = Profile.parse(stored)
    looked = "" if profile.sampled >= profile.rows else f"{profile.sampled:,} rows"
    return told | {
        "used": used_columns(stored),
        "heads": list(HEADS.items()),
        "lines": [_line(*use, found.get(use[0])) for use in _uses(coreset, profile)],
        "looked": looked,
    }


def _differs(found: Histogram | None) -> tuple[str, str]:
    """How far selected rows lie from all, and what that is by chance."""
    parts = (None, None) if found is None else (found.moved, found.by_chance)
    if None in parts:
        return "", ""
    return f"{parts[0]:.1%}", f"{parts[1]:.1%}"


def _uses(coreset: Subset, profile: Profile) -> list[tuple[str, str, ColumnProfile | None, str]]:
    """Name, type, profile and role of each column, in the order of the table where it is there."""
    told = coreset.provenance.get("input", {})
    weights = told.get("sample_weight")
    roles = dict.fromkeys(told.get("carry") or (), "carried")
    roles |= {weights["name"]: "sample weights"} if weights else {}
    roles |= {told["time"]: "time"} if told.get("time") else {}
    target = target_name(coreset)
    roles |= {} if target is None else {target: "label"}
    known = {column.name: column for column in profile.columns}
    if coreset.table is None:
        found = [(name, "", None, role) for name, role in roles.items() if name not in known]
        return found + [(name, column.type, column, "") for name, column in known.items()]
    schema = coreset.table.schema
    return [
        (name, str(kind), known.get(name), roles.get(source_of(name, schema), ""))
        for name, kind in paths(schema)
    ]


def _line(
    name: str, kind: str, column: ColumnProfile | None, role: str, found: Histogram | None
) -> tuple[str, ...]:
    shown = ("" if found is None else found.svg(), *_differs(found))
    if column is None:
        return name, *shown, "", "", kind, "", role or "left out: not named"
    nulls = f"{column.nulls:.1%}" if column.nulls else "none"
    distinct = f"{column.distinct:,}" if column.distinct else ""
    if not column.used:
        why = f"left out: {column.why or column.kind}"
        return name, *shown, nulls, distinct, kind, "", why
    read = f"{column.kind}, as asked for" if column.asked else column.kind
    return name, *shown, nulls, distinct, kind, read, role or "feature"


def rows_shown(coreset: Subset) -> dict[str, Any] | None:
    """Some of the selected rows, with all columns; None where there is no table.

    Returns
    -------
    dict or None
        ``numbers`` of the rows in the source and their ``weights`` as text; ``lines``, one a
        column, of its name and a value a row, None where it is missing; ``first`` of these are
        not folded.
    """
    if coreset.table is None:
        return None
    hashes = row_hash(coreset.indices, 0, stream=Stream.PICTURES)
    chosen = np.sort(np.argsort(hashes, kind="stable")[:_ROWS])
    table = _read(coreset.table, chosen)
    lines = [(name, values_shown(table.column(name))) for name in table.column_names]
    return {
        "numbers": [f"{number:,}" for number in coreset.indices[chosen].tolist()],
        "weights": [f"{weight:,.4g}" for weight in coreset.weights[chosen].tolist()],
        "lines": lines,
        "first": len(lines) if len(lines) <= 1.5 * _UNFOLDED else _UNFOLDED,
    }


def _read(table: Table, rows: npt.NDArray[np.int64]) -> Any:
    import pyarrow as pa

    read = delayed(_part, pure=False, traverse=False)
    return pa.concat_tables(dask.compute(*(read(part) for part in table.take(rows).parts)))


def _part(part: TablePart) -> Any:
    return part.read()


def values_shown(column: Any) -> list[str | None]:
    """Values of an Arrow column in short form; None where they are missing.

    Examples
    --------
    >>> import pyarrow as pa
    >>> values_shown(pa.chunked_array([[[1.5, 2, 3, 4], None]]))
    ['[1.5, 2, 3, … 4 in all]', None]
    """
    found: list[str | None] = []
    for chunk in column.chunks:
        for scalar in plain(chunk):
            try:
                found.append(_shown(scalar.as_py()))
            except (ValueError, OverflowError):
                # text that is none, and years that Python does not have
                found.append("(no text)" if "string" in str(scalar.type) else "(out of range)")
    return found


def _shown(value: Any) -> str | None:
    """A value in short form; None for none."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, Mapping):
        pairs = [f"{key}: {_inner(each)}" for key, each in list(value.items())[:_FEW]]
        return _cut(f"{{{', '.join(pairs)}{', …' if len(value) > _FEW else ''}}}")
    if isinstance(value, str | int | decimal.Decimal | datetime.timedelta):
        return _cut(str(value))
    if isinstance(value, Sequence):
        words = [_inner(each) for each in value[:_FEW]]
        more = f", … {len(value):,} in all" if len(value) > _FEW else ""
        return _cut(f"[{', '.join(words)}{more}]")
    return _cut(str(value))


def _inner(value: Any) -> str:
    if isinstance(value, tuple):
        return ": ".join(map(_inner, value))
    found = f"{value:.3g}" if isinstance(value, float) else _shown(value)
    return "null" if found is None else found[: _LONGEST // _FEW]


def _cut(text: str) -> str:
    """One line of characters that are seen, and few of them."""
    short = text[: 2 * _LONGEST]
    seen = " ".join("".join(c if c.isprintable() else " " for c in short).split())
    return seen if len(seen) <= _LONGEST and len(short) == len(text) else f"{seen[:_LONGEST]}…"
