"""What parquet files say of themselves: columns, row groups, and where values may be missing.

Reads footers alone, of many files a few at a time. Knows no roles: a column is a column here.
"""

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dask_distill.data.texts import TextSize
from dask_distill.errors import InputError
from dask_distill.sources.lakes import refuse_lake_files, refuse_part_of_lake
from dask_distill.sources.reader import is_web, open_filesystem, unreadable
from dask_distill.storage.location import Location

_SUFFIXES = (".parquet", ".parq", ".pq")
_HIDDEN = re.compile(r"/[._]")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBERS = "biuf"
# of these alone the type depends on whether values are missing
_WITHOUT_NAN = ("BOOLEAN", "INT32", "INT64")
# what writers let a dictionary grow to
_DICTIONARY_BYTES = 2**20
_THREADS = 16
_FOOTER_CACHE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Column:
    """A column in all files: its Arrow type, and whether values may be missing."""

    name: str
    kind: Any
    nulls: bool

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy type that holds it; void for what has no rows of numbers, dates or text."""
        types = pa.types
        if types.is_boolean(self.kind) or types.is_integer(self.kind):
            return np.dtype(np.float64 if self.nulls else self.kind.to_pandas_dtype())
        if types.is_floating(self.kind):
            return np.dtype(self.kind.to_pandas_dtype())
        if types.is_decimal(self.kind):
            return np.dtype(np.float64)
        if types.is_string(self.kind):
            return np.dtype(object)
        if types.is_date(self.kind):
            return np.dtype("M8[D]" if types.is_date32(self.kind) else "M8[ms]")
        if types.is_temporal(self.kind) and hasattr(self.kind, "unit"):
            letter = "M" if types.is_timestamp(self.kind) else "m"
            return np.dtype(f"{letter}8[{self.kind.unit}]")
        return np.dtype("V")

    @property
    def is_number(self) -> bool:
        """Whether it can be a feature."""
        return self.dtype.kind in _NUMBERS


@dataclass(frozen=True)
class Footer:
    """What opening needs of a file: types by name, columns that may hold nulls, group sizes.

    ``texts`` are bytes of a value of columns of text, by row group; None where nothing tells.
    """

    path: str
    partition: tuple[tuple[str, str | None], ...]
    kinds: dict[str, Any]
    nulls: frozenset[str]
    rows: tuple[int, ...]
    index: frozenset[str]
    texts: dict[str, tuple[float | None, ...]]


def read_footers(location: Location) -> list[Footer]:
    """The footers of all files, in order; a few at a time, for they may be far away."""
    system, root = open_filesystem(location)
    files = [root] if system.isfile(root) else _files(location, system, root)
    if not is_web(location):
        refuse_part_of_lake(location, system, root)
    with ThreadPoolExecutor(min(_THREADS, len(files))) as pool:
        footers = list(pool.map(partial(_read_footer, location, root), files))
    # a file without rows does not know its types: pandas makes objects of empty columns
    return [footer for footer in footers if any(footer.rows)] or footers[:1]


def _files(location: Location, system: Any, root: str) -> list[str]:
    start = len(root.rstrip("/"))
    found = system.find(root)
    refuse_lake_files(location, (path[start:] for path in found))
    files = [
        path
        for path in found
        # paths in an archive begin without a slash
        if path.endswith(_SUFFIXES) and not _HIDDEN.search(f"/{path[start:].lstrip('/')}")
    ]
    if not files:
        raise InputError(
            f"source '{location.url}' must be a zarr group, a parquet file or a folder of parquet "
            f"files, got a folder without any that ends in {', '.join(_SUFFIXES)}; check the path, "
            "or rename the files"
        )
    return sorted(files, key=_natural)


def _natural(path: str) -> tuple[list[Any], str]:
    """Part 2 before part 10."""
    pieces = re.split(r"([0-9]+)", path)
    return [(int(t), "") if t.isdecimal() else (-1, t) for t in pieces], path


def _read_footer(location: Location, root: str, path: str) -> Footer:
    try:
        metadata = metadata_of(location, path)
        schema = metadata.schema.to_arrow_schema()
    except Exception as error:
        raise unreadable(path, error) from None
    if len(set(schema.names)) < len(schema.names):
        twice = next(name for name in schema.names if schema.names.count(name) > 1)
        raise InputError(
            f"source must have columns of different names, got {twice!r} twice in '{path}'; "
            "rename one"
        )
    partition = _partition(path[len(root.rstrip("/")) :])
    kinds = {field.name: plain_type(field.type) for field in schema}
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    return Footer(
        path,
        partition,
        kinds | {name: pa.string() for name, _ in partition},
        frozenset(_may_hold_nulls(metadata.schema, [g for g in groups if g.num_rows])),
        tuple(group.num_rows for group in groups),
        frozenset(_index_names(schema.metadata)),
        _texts(metadata.schema, groups),
    )


def metadata_of(location: Location, path: str) -> Any:
    """A file's footer; kept for a while, or labels would read again what features have read."""
    system, _ = open_filesystem(location)
    state = f"{path} {sorted(system.info(path).items(), key=str)}"
    return _CACHE.get(f"{location.url} {state}", partial(_read_metadata, location, path))


def _read_metadata(location: Location, path: str) -> Any:
    with open_file(location, path) as file:
        return pq.read_metadata(file)


def open_file(location: Location, path: str) -> Any:
    """A file whose reader says which bytes it wants: fsspec is not to read ahead of it."""
    system, _ = open_filesystem(location)
    # a cache before it, or an archive, has its own way of reading
    return system.open(path, "rb", **({} if len(location.links) > 1 else {"cache_type": "none"}))


class _FooterCache:
    """The footers read last, by file and state, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str, read: Callable[[], Any]) -> Any:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = read()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = found
                self._bytes += found.serialized_size
            while self._bytes > self._most_bytes:
                self._bytes -= self._kept.popitem(last=False)[1].serialized_size
        return found


_CACHE = _FooterCache(_FOOTER_CACHE_BYTES)


def _partition(path: str) -> tuple[tuple[str, str | None], ...]:
    """Hive partitions of a path: year=2013/month=1."""
    folders = [folder.partition("=") for folder in path.strip("/").split("/")[:-1]]
    return tuple(
        (unquote(name), None if value == _NO_VALUE else unquote(value))
        for name, equals, value in folders
        if equals
    )


def plain_type(kind: Any) -> Any:
    """The type of the values: categories, and widths of text, differ from file to file."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_view = getattr(pa.types, "is_string_view", lambda _: False)
    return pa.string() if pa.types.is_large_string(kind) or is_view(kind) else kind


def _may_hold_nulls(schema: Any, groups: Sequence[Any]) -> Iterable[str]:
    """Whole numbers and booleans with nulls, or of which the footer does not tell."""
    for position in range(len(schema)):
        leaf = schema.column(position)
        if leaf.max_definition_level == 0 or leaf.physical_type not in _WITHOUT_NAN:
            continue
        if not all(_is_full(group.column(position).statistics) for group in groups):
            yield leaf.path


def _is_full(statistics: Any) -> bool:
    return statistics is not None and statistics.has_null_count and statistics.null_count == 0


def _texts(schema: Any, groups: Sequence[Any]) -> dict[str, tuple[float | None, ...]]:
    """Of each column of bytes or text, those of a value by row group."""
    return {
        schema.column(position).path: tuple(_text(group, position) for group in groups)
        for position in range(len(schema))
        if schema.column(position).physical_type == "BYTE_ARRAY"
    }


def _text(group: Any, position: int) -> float | None:
    """What the footer tells of a value's bytes: by its size, unless a dictionary hides that."""
    column = group.column(position)
    rows, size = max(1, group.num_rows), column.total_uncompressed_size
    # writers give a dictionary up where it would be larger
    if not column.has_dictionary_page or size > 2 * _DICTIONARY_BYTES + 4 * rows:
        return float(max(0, size / rows - 4))
    statistics = column.statistics
    if statistics is None or not statistics.has_min_max:
        return None
    ends = statistics.min, statistics.max
    return sum(len(end if isinstance(end, bytes) else str(end).encode()) for end in ends) / 2


def text_sizes(footers: Sequence[Footer], names: Iterable[str]) -> dict[str, TextSize]:
    """Of these columns, those that are text of which all footers tell."""
    found = {}
    for name in names:
        parts = [
            (size, rows)
            for footer in footers
            for size, rows in zip(footer.texts.get(name, ()), footer.rows, strict=False)
            if rows
        ]
        known = [(size, rows) for size, rows in parts if size is not None]
        if known and len(known) == len(parts):
            every = sum(rows for _, rows in known)
            mean = sum(size * rows for size, rows in known) / every
            found[name] = TextSize(mean, max(size for size, _ in known))
    return found


def _index_names(metadata: Any) -> Iterable[str]:
    """Columns that are the index of a pandas DataFrame: they name rows and do not describe them."""
    try:
        names = json.loads(metadata[b"pandas"])["index_columns"]
    except (TypeError, KeyError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)]


def common_columns(footers: Sequence[Footer]) -> dict[str, Column]:
    """The columns that all files have, of the same types."""
    kinds = dict(footers[0].kinds)
    for footer in footers:
        if footer.kinds != kinds:
            _join_kinds(kinds, footer)
    nulls = frozenset().union(*(footer.nulls for footer in footers))
    columns = {name: Column(name, kind, name in nulls) for name, kind in kinds.items()}
    for name, _ in footers[0].partition:
        values = {dict(footer.partition)[name] for footer in footers}
        known = values - {None}
        whole = bool(known) and all(_WHOLE.fullmatch(value or "") for value in known)
        kind = pa.int64() if whole else pa.string()
        columns[name] = Column(name, kind, None in values)
    return columns


def _join_kinds(kinds: dict[str, Any], footer: Footer) -> None:
    """Take in another file's types; one whose values are all missing has any type."""
    for name in dict.fromkeys((*kinds, *footer.kinds)):
        ours, theirs = kinds.get(name), footer.kinds.get(name)
        if ours == pa.null() and theirs is not None:
            kinds[name] = theirs
        elif ours != theirs and (ours is None or theirs != pa.null()):
            raise InputError(
                f"source must have the same columns in all files, got column {name!r} of type "
                f"{theirs or 'none'} in '{footer.path}' and {ours or 'none'} in those before; "
                "write them alike"
            )
