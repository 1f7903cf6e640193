"""Tables in files of text: read once when they are opened, then part by part on workers.

The first reading finds the type of each column, which all rows have a say in, the number of rows,
and where parts begin; so neither depends on how rows are dealt out over files and parts. Knows no
format but through `TextFormat`.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from dask_distill.data.table import Rows, Table, TablePart
from dask_distill.errors import InputError
from dask_distill.sources.arrow_groups import in_types
from dask_distill.sources.columns import Column, partition_column
from dask_distill.sources.cuts import PART_BYTES, Begun, cut, read_up_to
from dask_distill.sources.files import DataFile, compression_of
from dask_distill.sources.footers import open_file
from dask_distill.sources.reader import open_filesystem
from dask_distill.storage.location import Location, reading

# files that are read at once: many small ones, or a few of any size
_THREADS, _FEW = 16, 4
_MOST_KEPT = 4096
# what names columns is in so much of the beginning
_HEAD_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Kind:
    """What the values of a column are, as far as they are known.

    Attributes
    ----------
    type : Arrow type
    nulls : bool
        Whether some are missing.
    far : bool
        Whether some are times that nanoseconds cannot hold.
    misfit : str
        What does not go together, in words.
    """

    type: Any
    nulls: bool
    far: bool = False
    misfit: str = ""


Kinds = Mapping[str, Kind]


class BadRowError(Exception):
    """What is wrong with a row: the rule, what was found, the row among those read, a way out."""

    def __init__(self, rule: str, found: str, row: int | None, way_out: str) -> None:
        super().__init__(rule)
        self._words = rule, found, way_out
        self._row = row

    def told(self, path: str, before: int) -> InputError:
        """In a sentence, given the file and how many rows come before those read."""
        rule, found, way_out = self._words
        where = "" if self._row is None else f"row {before + self._row + 1} of "
        return InputError(f"source must have {rule}, got {found} in {where}'{path}'; {way_out}")


class TextFormat:
    """How rows stand in a file. Small, and picklable."""

    # between cells, where these may be quoted and then hold ends of lines
    delimiter: bytes | None = None

    def begun(self, head: bytes, path: str) -> tuple["TextFormat", int]:
        """The format as the beginning of a file shows it, and the bytes before its first row."""
        raise NotImplementedError

    def kinds(self, data: bytes) -> tuple[Kinds, int]:
        """What some rows hold, by column, and how many they are; or a `BadRowError`."""
        raise NotImplementedError

    def join(self, one: Kind, other: Kind, path: str) -> Kind:
        """What two runs of rows hold together."""
        raise NotImplementedError

    def settled(self, kind: Kind) -> Kind:
        """What all rows hold, once all are known."""
        return kind

    def rows(self, data: bytes, schema: Any) -> Any:
        """An Arrow table of these columns, which the file has; or a `BadRowError`."""
        raise NotImplementedError


@dataclass(frozen=True)
class ByteRange:
    """Rows that are read together: their first byte, how many bytes and rows."""

    start: int
    size: int
    rows: int


@dataclass(frozen=True)
class TextFile:
    """What the first reading found in a file."""

    path: str
    format: TextFormat
    kinds: Kinds
    runs: tuple[ByteRange, ...]

    @property
    def rows(self) -> int:
        """Of all runs."""
        return sum(run.rows for run in self.runs)


@dataclass(frozen=True, eq=False, kw_only=True)
class TextPart(TablePart):
    """Rows of a file: a run of them, or all where it is compressed.

    Attributes
    ----------
    location : Location
    path : str
    format : TextFormat
    names : tuple of str
        Columns that the file has.
    runs : tuple of ByteRange
    first : int
        Number in the file of the first row.
    partition : tuple of (name, value)
        What the names of the file's folders say.
    whole : Arrow schema
        Of all files together.
    """

    location: Location
    path: str
    format: TextFormat
    names: tuple[str, ...]
    runs: tuple[ByteRange, ...]
    first: int
    partition: tuple[tuple[str, str | None], ...]
    whole: Any

    @property
    def schema(self) -> Any:
        """Of all files together."""
        return self.whole

    @property
    def rows(self) -> int:
        """Of all runs."""
        return sum(run.rows for run in self.runs)

    def read(
        self, columns: Sequence[str] | None = None, start: int = 0, stop: int | None = None
    ) -> Any:
        """Rows from ``start`` to ``stop``."""
        stop = self.rows if stop is None else min(stop, self.rows)
        return self._chosen(np.arange(start, max(start, stop)), columns)

    def take(self, rows: Rows, columns: Sequence[str] | None = None) -> Any:
        """Rows by ascending number."""
        return self._chosen(rows, columns)

    def _chosen(self, rows: Rows, columns: Sequence[str] | None) -> Any:
        names = self.whole.names if columns is None else columns
        kinds = pa.schema([self.whole.field(name) for name in names])
        folders = {name for name, _ in self.partition}
        stored = [kind for kind in kinds if kind.name in self.names and kind.name not in folders]
        found = None
        if stored and len(rows):
            with reading(self.location):
                found = pa.concat_tables(self._parsed(rows, pa.schema(stored)))
        return in_types(found, len(rows), kinds, self.partition)

    def _parsed(self, rows: Rows, schema: Any) -> Iterator[Any]:
        """Of each run that has some of these rows, those rows."""
        edges = np.cumsum((0, *(run.rows for run in self.runs)))
        cuts = np.searchsorted(rows, edges)
        wanted = {number for number in range(len(self.runs)) if cuts[number] < cuts[number + 1]}
        for number, data in self._data(wanted):
            run, before = self.runs[number], self.first + int(edges[number])
            try:
                table = self.format.rows(data, schema)
            except BadRowError as bad:
                raise bad.told(self.path, before) from None
            if len(data) != run.size or table.num_rows != run.rows:
                raise InputError(
                    f"source must not change while it is read, got {table.num_rows} rows instead "
                    f"of {run.rows} from byte {run.start} of '{self.path}'; open it again"
                )
            mine = rows[cuts[number] : cuts[number + 1]] - edges[number]
            every = mine[-1] - mine[0] + 1 == len(mine)
            yield table.slice(int(mine[0]), len(mine)) if every else table.take(mine)

    def _data(self, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
        """The bytes of runs; what is compressed is read from its beginning."""
        with opened(self.location, self.path) as stream:
            at = 0
            for number, run in enumerate(self.runs):
                if number not in wanted:
                    continue
                if compression_of(self.path) is None:
                    stream.seek(run.start)
                else:
                    _skip(stream, run.start - at)
                yield number, stream.read(run.size)
                at = run.start + run.size


def open_text(
    location: Location, files: Sequence[DataFile], form: TextFormat
) -> tuple[Table, dict[str, Column]]:
    """A table of all files, and its columns, also those whose values do not go together.

    Reads all files once. ``location`` is where they lie.

    Raises
    ------
    InputError
    """
    # many small files are far away, large ones are held
    system, _ = open_filesystem(location)
    sizes = [int(system.info(file.path).get("size") or 0) for file in files[:_THREADS]]
    threads = min(len(files), _FEW if max(sizes) > PART_BYTES // 4 else _THREADS)
    scan = partial(_scanned, location, form, max(1, _FEW // threads))
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(scan, (file.path for file in files)))
    kept = [(f, text) for f, text in zip(files, found, strict=True) if text.rows]
    if not kept:
        raise InputError(
            f"features must have at least one row, got none in '{location.url}'; check the path"
        )
    columns = _columns([text for _, text in kept], [file for file, _ in kept])
    whole = pa.schema(
        [pa.field(name, column.kind) for name, column in columns.items() if not column.misfit]
    )
    complete = frozenset(name for name in whole.names if not columns[name].nulls)
    return replace(_table(location, kept, whole), without_nulls=complete), columns


def _table(location: Location, kept: Sequence[tuple[DataFile, TextFile]], whole: Any) -> Table:
    parts, starts, first = [], [], 0
    for file, text in kept:
        starts.append((text.path, first))
        runs = [text.runs] if compression_of(text.path) else [(run,) for run in text.runs]
        inner = 0
        for several in runs:
            part = TextPart(
                location=location,
                path=text.path,
                format=text.format,
                names=tuple(text.kinds),
                runs=several,
                first=inner,
                partition=file.partition,
                whole=whole,
            )
            if part.rows:
                parts.append(part)
            inner += part.rows
        first += text.rows
    return Table(whole, tuple(parts), tuple(part.rows for part in parts), tuple(starts))


def _columns(found: Sequence[TextFile], files: Sequence[DataFile]) -> dict[str, Column]:
    """Of all files together, in the order in which files first have them."""
    folders = dict.fromkeys(name for file in files for name, _ in file.partition)
    columns = {}
    for name in dict.fromkeys(name for text in found for name in text.kinds):
        lacking = tuple(text.path for text in found if name not in text.kinds)
        first, *others = [text for text in found if name in text.kinds]
        kind = first.kinds[name]
        for text in others:
            kind = text.format.join(kind, text.kinds[name], text.path)
        kind = found[0].format.settled(kind)
        nulls = kind.nulls or bool(lacking)
        columns[name] = Column(name, kind.type, nulls, kind.misfit, lacking)
    for name in folders:
        stored = [
            text.path
            for text, file in zip(found, files, strict=True)
            if name in text.kinds and name not in dict(file.partition)
        ]
        columns[name] = partition_column(name, [dict(f.partition) for f in files], stored)
    return columns


def _scanned(location: Location, form: TextFormat, threads: int, path: str) -> TextFile:
    """A file as it was read before, or reads it."""
    system, _ = open_filesystem(location)
    state = f"{location.url} {form} {path} {sorted(system.info(path).items(), key=str)}"
    if state not in _KEPT:
        _KEPT[state] = _read_through(location, form, threads, path)
        while len(_KEPT) > _MOST_KEPT:
            _KEPT.popitem(last=False)
    return _KEPT[state]


_KEPT: OrderedDict[str, TextFile] = OrderedDict()


def _read_through(location: Location, form: TextFormat, threads: int, path: str) -> TextFile:
    """Reads a file from its beginning to its end; some runs of rows are looked at at once."""
    waiting: deque[tuple[ByteRange, Future[tuple[Kinds, int]]]] = deque()
    with opened(location, path) as stream, ThreadPoolExecutor(threads) as pool:
        head = read_up_to(stream, _HEAD_BYTES)
        form, skipped = form.begun(head, path)
        text = TextFile(path, form, {}, ())
        rest = Begun(head[skipped:], stream)
        for start, data in cut(rest, path, form.delimiter, skipped):
            waiting.append((ByteRange(start, len(data), 0), pool.submit(form.kinds, data)))
            while len(waiting) > threads:
                text = _with_run(text, *waiting.popleft())
        for run, future in waiting:
            text = _with_run(text, run, future)
    return text


def _with_run(text: TextFile, run: ByteRange, future: "Future[tuple[Kinds, int]]") -> TextFile:
    try:
        kinds, rows = future.result()
    except BadRowError as bad:
        raise bad.told(text.path, text.rows) from None
    if not rows:
        return text
    joined = dict(text.kinds)
    for name, kind in kinds.items():
        if name in joined:
            joined[name] = text.format.join(joined[name], kind, text.path)
        else:
            joined[name] = replace(kind, nulls=kind.nulls or bool(text.runs))
    for name in joined.keys() - kinds.keys():
        joined[name] = replace(joined[name], nulls=True)
    return replace(text, kinds=joined, runs=(*text.runs, replace(run, rows=rows)))


@contextmanager
def opened(location: Location, path: str) -> Iterator[Any]:
    """A file's bytes, as they are without compression."""
    with open_file(location, path) as file:
        compression = compression_of(path)
        if compression is None:
            yield file
        else:
            with pa.CompressedInputStream(file, compression) as stream:
                yield stream


def _skip(stream: Any, size: int) -> None:
    while size > 0:
        got = len(stream.read(min(size, PART_BYTES)))
        if not got:
            return
        size -= got
