"""Tables in files of JSON lines: an object a line, whose members are columns.

Objects within are structs, lists are lists, dates and times in ISO 8601 are times where all values
are. What is a number here and text there is not one column.
"""

import json
import re
from typing import Any

import pyarrow as pa
import pyarrow.json as pj

from dask_distill.data.table import Table
from dask_distill.errors import InputError
from dask_distill.sources.columns import Column
from dask_distill.sources.files import DataFile
from dask_distill.sources.text_files import BadRowError, Kind, Kinds, TextFormat, open_text
from dask_distill.storage.location import Location

_UTF8 = b"\xef\xbb\xbf"
_CHANGED = re.compile(r"Column\(/([^)]*)\) changed from (\S+) to (\S+) in row (\d+)")
_ROW = re.compile(r"in row (\d+)")


class JsonLines(TextFormat):
    """An object a line."""

    def __repr__(self) -> str:
        return "JsonLines()"

    def begun(self, head: bytes, path: str) -> "tuple[JsonLines, int]":
        """Nothing comes before the first row."""
        mark = len(_UTF8) * head.startswith(_UTF8)
        if head[mark:].lstrip()[:1] == b"[":
            raise InputError(
                f"source must have one object a line, got a list that begins in '{path}'; write "
                "its objects a line each"
            )
        return self, mark

    def kinds(self, data: bytes) -> tuple[Kinds, int]:
        """What Arrow takes members for; those that change within these rows do not fit."""
        _refuse_other_bytes(data)
        misfits: dict[str, Kind] = {}
        rest = data
        while True:
            try:
                table = _parsed(rest)
                break
            except pa.ArrowInvalid as error:
                found = _CHANGED.search(str(error))
                top = found[1].partition("/")[0] if found else ""
                if found is None or not top or top in misfits:
                    raise _told(str(error)) from None
                words = f"of {found[2]} and {found[3]}"
                misfits[top] = Kind(pa.null(), nulls=True, misfit=words)
                rest = _without(data, misfits)
        kinds = {
            field.name: Kind(field.type, table.column(field.name).null_count > 0)
            for field in table.schema
        }
        return kinds | misfits, table.num_rows

    def join(self, one: Kind, other: Kind, path: str) -> Kind:
        """The type that holds both, where there is one."""
        misfit = one.misfit or other.misfit
        kind = None if misfit else _joined(one.type, other.type)
        if kind is None and not misfit:
            misfit = f"of type {other.type} in '{path}' and {one.type} before it"
        return Kind(one.type if kind is None else kind, one.nulls or other.nulls, misfit=misfit)

    def settled(self, kind: Kind) -> Kind:
        """Objects that have no member anywhere are no column: parquet cannot hold them."""
        if kind.misfit or not _has_no_member(kind.type):
            return kind
        return Kind(kind.type, kind.nulls, misfit="of objects without members")

    def rows(self, data: bytes, schema: Any) -> Any:
        """These members alone; others are skipped."""
        try:
            return _parsed(data, schema).select(schema.names)
        except pa.ArrowInvalid as error:
            raise _told(str(error), "; it has changed: open it again") from None


def open_json_lines(location: Location, files: list[DataFile]) -> tuple[Table, dict[str, Column]]:
    """Files of JSON lines as a table, and its columns; reads them once.

    Parameters
    ----------
    location : Location
        Where the files lie.
    files : list of DataFile

    Raises
    ------
    InputError
    """
    return open_text(location, files, JsonLines())


def _parsed(data: bytes, schema: Any = None) -> Any:
    other = "infer" if schema is None else "ignore"
    if not data.strip():
        return pa.table({name: pa.nulls(0) for name in (schema.names if schema else ())})
    return pj.read_json(
        pa.BufferReader(data),
        pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior=other),
    )


def _refuse_other_bytes(data: bytes) -> None:
    """Arrow takes text for UTF-8 without a look."""
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        lines = data[: error.start].splitlines()[:-1]
        row = sum(1 for line in lines if line.strip())
        way_out = "convert it, e.g. with iconv"
        raise BadRowError("UTF-8 text", "other bytes", row, way_out) from None


def _told(error: str, more: str = "") -> BadRowError:
    found = _ROW.search(error)
    words = " ".join(_ROW.sub("", error).split()).removeprefix("JSON parse error: ")[:160]
    return BadRowError(
        "one JSON object a line",
        f"{words!r}",
        int(found[1]) if found else None,
        f"mend it, or write it anew{more}",
    )


def _without(data: bytes, names: Any) -> bytes:
    """Rows without some members: once these do not fit, what the others are is still wanted."""
    lines: list[str] = []
    for line in data.splitlines():
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError as error:
                raise _told(f"{error} in row {len(lines)}") from None
            lines.append(json.dumps({name: row[name] for name in row if name not in names}))
    return "\n".join(lines).encode()


def _joined(one: Any, other: Any) -> Any:
    """The type of both; None where there is none."""
    kinds = {one, other} - {pa.null()}
    if len(kinds) < 2:
        return kinds.pop() if kinds else pa.null()
    if kinds == {pa.int64(), pa.float64()}:
        return pa.float64()
    if kinds == {pa.timestamp("s"), pa.string()}:
        return pa.string()
    if pa.types.is_list(one) and pa.types.is_list(other):
        inner = _joined(one.value_type, other.value_type)
        return None if inner is None else pa.list_(inner)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = _joined(fields.get(field.name, pa.null()), field.type)
        return None if None in fields.values() else pa.struct(list(fields.items()))
    return None


def _has_no_member(kind: Any) -> bool:
    if pa.types.is_list(kind):
        return _has_no_member(kind.value_type)
    if pa.types.is_struct(kind):
        return kind.num_fields == 0 or any(_has_no_member(field.type) for field in kind)
    return False
