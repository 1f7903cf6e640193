"""What parquet files say of themselves: types, row groups, and where values may be missing.

Reads footers alone, of many files a few at a time. Knows no roles: a column is a column here.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dask_distill.data.texts import TextSize
from dask_distill.errors import InputError
from dask_distill.sources.files import DataFile
from dask_distill.sources.reader import open_filesystem, unreadable
from dask_distill.storage.location import Location

# what writers let a dictionary grow to
_DICTIONARY_BYTES = 2**20
# the type of some depends on whether values are missing, and how others are written
_WITHOUT_NAN = ("BOOLEAN", "INT32", "INT64", "BYTE_ARRAY")
# float64 holds every whole number up to here
LARGEST_EXACT = 2**53
_THREADS = 16
_FOOTER_CACHE_BYTES = 32 * 2**20


@dataclass(frozen=True, kw_only=True)
class Footer:
    """What opening needs of a file.

    Attributes
    ----------
    path : str
    partition : tuple of (name, value)
        What the names of its folders say.
    kinds : dict
        Types by name.
    nulls, untold : frozenset of str
        Columns of which values are missing, and those of which it does not say whether any are.
    rows : tuple of int
        Of each row group.
    index : frozenset of str
        Columns that are an index of pandas.
    texts : dict
        Bytes of a value of columns of text, by row group; None where nothing tells.
    schema : Arrow schema
        With all that types and metadata say.
    large : frozenset of str
        Columns of whole numbers that float64 would round, as far as it tells.
    """

    path: str
    partition: tuple[tuple[str, str | None], ...]
    kinds: dict[str, Any]
    nulls: frozenset[str]
    untold: frozenset[str]
    rows: tuple[int, ...]
    index: frozenset[str]
    texts: dict[str, tuple[float | None, ...]]
    schema: Any
    large: frozenset[str] = frozenset()


def read_footers(location: Location, files: Sequence[DataFile]) -> list[Footer]:
    """The footers of all files, in order; a few at a time, for they may be far away."""
    with ThreadPoolExecutor(min(_THREADS, len(files))) as pool:
        footers = list(pool.map(partial(_read_footer, location), files))
    # a file without rows does not know its types: pandas makes objects of empty columns
    return [footer for footer in footers if any(footer.rows)] or footers[:1]


def _read_footer(location: Location, data: DataFile) -> Footer:
    path = data.path
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
    kinds = {field.name: plain_type(field.type) for field in schema}
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    nulls, untold = _may_hold_nulls(metadata.schema, [g for g in groups if g.num_rows])
    return Footer(
        path=path,
        partition=data.partition,
        kinds=kinds | {name: pa.string() for name, _ in data.partition},
        nulls=frozenset(nulls),
        untold=frozenset(untold),
        rows=tuple(group.num_rows for group in groups),
        index=frozenset(_index_names(schema.metadata)),
        texts=_texts(metadata.schema, groups),
        schema=schema,
        large=frozenset(_large(metadata.schema, groups)),
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


def plain_type(kind: Any) -> Any:
    """The type of the values: categories, and widths of text, differ from file to file."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_view = getattr(pa.types, "is_string_view", lambda _: False)
    return pa.string() if pa.types.is_large_string(kind) or is_view(kind) else kind


def _may_hold_nulls(schema: Any, groups: Sequence[Any]) -> tuple[set[str], set[str]]:
    """Whole numbers, booleans and text with nulls; and those of which the footer does not tell."""
    nulls, untold = set(), set()
    for position in range(len(schema)):
        leaf = schema.column(position)
        if leaf.max_definition_level == 0 or leaf.physical_type not in _WITHOUT_NAN:
            continue
        found = [group.column(position).statistics for group in groups]
        if not all(told is not None and told.has_null_count for told in found):
            untold.add(leaf.path)
        elif any(told.null_count for told in found):
            nulls.add(leaf.path)
    return nulls, untold


def _large(schema: Any, groups: Sequence[Any]) -> set[str]:
    """Columns of whole numbers of 64 bits that have some beyond what float64 holds."""
    found = set()
    for position in range(len(schema)):
        leaf = schema.column(position)
        if leaf.physical_type != "INT64" or leaf.logical_type.type not in ("NONE", "INT"):
            continue
        for group in groups:
            told = group.column(position).statistics
            if told is not None and told.has_min_max:
                ends = (told.min, told.max)
                if any(isinstance(end, int) and abs(end) > LARGEST_EXACT for end in ends):
                    found.add(leaf.path)
    return found


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
