"""Tables in CSV files: cells between delimiters, quoted or not, under a row of names.

Cells are what Arrow's reader takes them for, with three more rules that keep what is written: codes
such as 007 are text, 1 and 0 are numbers alone, and a type holds for all rows or not at all.
"""

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from dask_distill.data.table import Table
from dask_distill.errors import InputError
from dask_distill.sources.columns import Column
from dask_distill.sources.cuts import first_end
from dask_distill.sources.files import DataFile
from dask_distill.sources.text_files import BadRowError, Kind, Kinds, TextFormat, open_text
from dask_distill.storage.location import Location

_DELIMITERS = (b",", b"\t", b";", b"|")
_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_NUMBER = re.compile(r"[-+]?[0-9.]+([eE][-+]?[0-9]+)?")
# as in zip codes: numbers would lose what they begin with
_MAYBE_CODES = re.compile(rb"[,;|\t\r\n\" ][-+]?0[0-9xX]")
_CODE = r"^\s*[-+]?0[0-9xX]"
_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
_WIDTH = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)")
_VALUE = re.compile(r"CSV column #(\d+): (?:Row #(\d+): )?.*?conversion error to (.+?): (.*)", re.S)
# nanoseconds from 1970 on, in seconds
_FARTHEST = 2**63 // 10**9
_DAY = 86_400


@dataclass(frozen=True)
class Delimited(TextFormat):
    """How cells are told apart, and what columns are named, once a file has shown that."""

    delimiter: bytes | None = b","
    names: tuple[str, ...] = ()

    def begun(self, head: bytes, path: str) -> "tuple[Delimited, int]":
        """With the names of the first row."""
        if head.startswith(_UTF16):
            raise InputError(
                f"source must be UTF-8 text, got UTF-16 in '{path}'; convert it, e.g. with iconv"
            )
        mark = len(_UTF8) * head.startswith(_UTF8)
        if not head[mark:].strip():
            return self, len(head)
        delimiter = _delimiter(head[mark:], path)
        end = mark + first_end(head[mark:], delimiter)
        begun = Delimited(delimiter, _names(head[mark:end], delimiter, path))
        return begun, end

    def kinds(self, data: bytes) -> tuple[Kinds, int]:
        """What Arrow takes cells for; codes for text."""
        table = self._parsed(data, {})
        codes = self._codes(data, table)
        found = {}
        for name, values in zip(table.column_names, table.columns, strict=True):
            kind = pa.string() if name in codes else values.type
            if pa.types.is_binary(kind):
                raise BadRowError(
                    "UTF-8 text",
                    f"other bytes in column {name!r}",
                    _first_wrong(values),
                    "convert it, e.g. with iconv",
                )
            found[name] = Kind(kind, values.null_count > 0, _is_far(values))
        return found, table.num_rows

    def join(self, one: Kind, other: Kind, path: str) -> Kind:
        """The type that holds both; text where only that does, for text is what a cell is."""
        return Kind(_joined(one, other), one.nulls or other.nulls, one.far or other.far)

    def rows(self, data: bytes, schema: Any) -> Any:
        """These columns alone; other cells are skipped."""
        return self._parsed(data, {field.name: field.type for field in schema}, schema.names)

    def _parsed(self, data: bytes, types: dict[str, Any], names: list[str] | None = None) -> Any:
        assert self.delimiter is not None
        try:
            return csv.read_csv(
                pa.BufferReader(data),
                csv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=list(self.names)
                ),
                csv.ParseOptions(delimiter=self.delimiter.decode(), newlines_in_values=True),
                csv.ConvertOptions(
                    column_types=types,
                    include_columns=names,
                    strings_can_be_null=True,
                    true_values=_TRUE,
                    false_values=_FALSE,
                ),
            )
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return pa.table({name: pa.nulls(0) for name in names or self.names})
            raise self._told(str(error)) from None

    def _told(self, error: str) -> BadRowError:
        if found := _WIDTH.search(error):
            row, wanted, got = found.groups()
            return BadRowError(
                f"as many cells in every row as there are names ({wanted})",
                f"{got} cells",
                int(row) - 1 if row else None,
                "mend the row, or quote cells that hold the delimiter",
            )
        if found := _VALUE.search(error):
            column, row, kind, words = found.groups()
            name = self.names[int(column)]
            return BadRowError(
                f"{kind} in all rows of column {name!r}, as it had when it was opened",
                words[:60],
                int(row) - 1 if row else None,
                "it has changed: open it again",
            )
        words = " ".join(error.split())[:200]
        return BadRowError("rows of cells", words, None, "mend it, or write it anew")

    def _codes(self, data: bytes, table: Any) -> set[str]:
        """Columns that would be numbers, but for values such as 007."""
        numbers = [
            field.name
            for field in table.schema
            if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        ]
        # the first cell has nothing before it
        maybe = _MAYBE_CODES.match(b"\n" + data[:3]) or _MAYBE_CODES.search(data)
        if not numbers or maybe is None:
            return set()
        texts = self._parsed(data, dict.fromkeys(numbers, pa.string()), numbers)
        return {
            name
            for name in numbers
            if pc.any(pc.match_substring_regex(texts.column(name), _CODE)).as_py()
        }


def open_csv(location: Location, files: list[DataFile]) -> tuple[Table, dict[str, Column]]:
    """CSV files as a table, and its columns; reads them once.

    Parameters
    ----------
    location : Location
        Where the files lie.
    files : list of DataFile

    Raises
    ------
    InputError
    """
    return open_text(location, files, Delimited())


def _delimiter(text: bytes, path: str) -> bytes:
    """Tabs in .tsv; else the first of the usual ones that the row of names has."""
    if ".tsv" in path.rpartition("/")[2].lower():
        return b"\t"
    row = re.sub(rb'"[^"]*"', b"", text[: first_end(text, b",")])
    return next((one for one in _DELIMITERS if one in row), b",")


def _names(row: bytes, delimiter: bytes, path: str) -> tuple[str, ...]:
    try:
        table = csv.read_csv(
            pa.BufferReader(row),
            csv.ReadOptions(use_threads=False),
            csv.ParseOptions(delimiter=delimiter.decode(), newlines_in_values=True),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        words = " ".join(str(error).split())[:200]
        raise InputError(
            f"source must begin with a row of names, got {words} in '{path}'; give one"
        ) from None
    names = [name or f"Unnamed: {number}" for number, name in enumerate(table.column_names)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"source must have columns of different names, got {twice!r} twice in '{path}'; "
            "rename one"
        )
    if all(_NUMBER.fullmatch(name.strip()) for name in names):
        raise InputError(
            f"source must begin with a row of names, got {', '.join(names)[:60]!r} in '{path}'; "
            "add one"
        )
    return tuple(names)


def _joined(one: Kind, other: Kind) -> Any:
    kinds = {one.type, other.type} - {pa.null()}
    if len(kinds) < 2:
        return kinds.pop() if kinds else pa.null()
    if kinds == {pa.int64(), pa.float64()}:
        return pa.float64()
    if kinds <= {pa.date32(), pa.timestamp("s")}:
        return pa.timestamp("s")
    for zone in (None, "UTC"):
        days = set() if zone else {pa.date32()}
        fine = pa.timestamp("ns", zone)
        if kinds <= days | {pa.timestamp("s", zone), fine} and not (one.far or other.far):
            return fine
    return pa.string()


def _is_far(values: Any) -> bool:
    """Whether nanoseconds cannot hold some of these days or seconds."""
    if pa.types.is_date32(values.type):
        ticks, size = values.cast(pa.int32()), _DAY
    elif pa.types.is_timestamp(values.type) and values.type.unit == "s":
        ticks, size = values.cast(pa.int64()), 1
    else:
        return False
    ends = pc.min_max(ticks).as_py().values()
    return any(end is not None and abs(end) * size >= _FARTHEST for end in ends)


def _first_wrong(values: Any) -> int | None:
    for number, value in enumerate(values.to_pylist()):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return number
    return None
