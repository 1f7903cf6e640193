"""One file of a folder of parquet files: what a worker writes, reads again, and checks.

A row group is written as soon as it is full, so that a task holds one of them, whatever the file
has. Where it ends is decided by the values alone: rows come in steps of a fixed number, and a
group ends with the step that fills it.
"""

import hashlib
import io
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dask_distill.errors import DistillError, IncompleteOutput
from dask_distill.storage.chunks import Finding, facts_of, stop_if_called_off
from dask_distill.storage.form import FOLDER
from dask_distill.storage.local import sync
from dask_distill.storage.location import Location
from dask_distill.storage.values import ValueDigest
from dask_distill.storage.variables import ARRAYS

GROUP_BYTES = 64 * 2**20
_DIGEST_BYTES = 16
_READ_BYTES = 8 * 2**20
# a footer ends with its length, and the four letters of the format
_END = 8


class Rows(Protocol):
    """Rows of one file, as they come from wherever they lie; runs on a worker."""

    def tables(self, *parts: Any) -> Iterator[Any]:
        """Arrow tables of the folder's columns, one after another, as large as they like."""


@dataclass(frozen=True, kw_only=True)
class PartReceipt:
    """What a task has written.

    Attributes
    ----------
    name : str
    groups : tuple of int
        Rows of each row group.
    digest : str
        Of the values.
    nbytes, file_bytes : int
        Of the values, and of the file.
    file_digest : str
        Of the file's bytes.
    footer : (str, int)
        Digest of its footer, and bytes of that.
    """

    name: str
    groups: tuple[int, ...]
    digest: str
    nbytes: int
    file_bytes: int
    file_digest: str
    footer: tuple[str, int]

    def entry(self) -> dict[str, Any]:
        """Of the manifest."""
        return {
            "rows": sum(self.groups),
            "row_groups": list(self.groups),
            "digest": self.digest,
            "file_bytes": self.file_bytes,
            "file_digest": self.file_digest,
            "footer_digest": self.footer[0],
            "footer_bytes": self.footer[1],
        }


def part_name(number: int) -> str:
    """What a file is called."""
    return f"part-{number:05d}.parquet"


def write_part(
    work: Location, number: int, schema: Any, step: int, there: bool, rows: Rows, *parts: Any
) -> PartReceipt:
    """Write one file, row group by row group; runs on a worker.

    One that is ``there``, and is what would be written now, stays as it is.
    """
    name = part_name(number)

    def encoded(sink: _Sink) -> PartReceipt:
        return _encode(sink, name, schema, step, rows.tables(*parts))

    if there:
        receipt = encoded(_Sink(None))
        if _digest_of_file(work, name) == receipt.file_digest:
            return receipt
    with work.guard(f"file {name} must be written"):
        if work.path is not None:
            return _written_here(work, work.path, name, encoded)
        memory = io.BytesIO()
        receipt = encoded(_Sink(memory))
        system, path = work.filesystem()
        system.pipe_file(f"{path.rstrip('/')}/{name}", memory.getvalue())
        stop_if_called_off(work, FOLDER)
    return receipt


def find_part(work: Location, name: str, schema: Any, step: int) -> PartReceipt | None:
    """The receipt of a file that an earlier run has written; None where it must be written.

    Runs on a worker.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    digest, values = _digest_of_file(work, name), ValueDigest()
    if digest is None:
        return None
    system, path = work.filesystem()
    try:
        with (
            work.guard(f"file {name} must be readable"),
            system.open(f"{path.rstrip('/')}/{name}", "rb") as file,
        ):
            end = _tail(file, _END)
            length = _END + int.from_bytes(end[: _END // 2], "little")
            footer, size = _tail(file, length), file.tell()
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            if parquet.schema_arrow != schema:
                return None
            numbers = range(parquet.num_row_groups)
            groups = tuple(parquet.metadata.row_group(i).num_rows for i in numbers)
            for number in numbers:
                # with the metadata that each table had
                table = pa.table(parquet.read_row_group(number).columns, schema=schema)
                for rows in in_steps([table], step):
                    values.add(rows)
    except DistillError:
        return None
    return PartReceipt(
        name=name,
        groups=groups,
        digest=values.hexdigest(),
        nbytes=values.nbytes,
        file_bytes=size,
        file_digest=digest,
        footer=(digest_of(footer), length),
    )


def _tail(file: Any, length: int) -> bytes:
    """The last bytes of a file, which is at its end then."""
    file.seek(0, io.SEEK_END)
    file.seek(max(0, file.tell() - length))
    found: bytes = file.read()
    return found


def _written_here(
    work: Location, folder: Path, name: str, encoded: Callable[["_Sink"], PartReceipt]
) -> PartReceipt:
    """A file that is there whole, on the disk, or not at all."""
    part = folder / f".{name}.{uuid.uuid4().hex[:12]}"
    try:
        with open(part, "wb") as file:
            receipt = encoded(_Sink(file))
        sync(part)
        stop_if_called_off(work, FOLDER)
        part.replace(folder / name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return receipt


class _Sink(io.RawIOBase):
    """Passes on what is written, and remembers what it was."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.count = 0
        self._tail, self._keeps = bytearray(), False

    def keep_tail(self) -> None:
        """Remember what comes from now on."""
        self._tail, self._keeps = bytearray(), True

    def footer(self) -> tuple[str, int]:
        """Digest and length of the footer, which is in what was remembered."""
        length = _END + int.from_bytes(self._tail[-_END : -_END // 2], "little")
        assert len(self._tail) >= length, "a footer comes when a file is closed"
        return digest_of(bytes(self._tail[-length:])), length

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.count

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.digest.update(view)
        self.count += view.nbytes
        if self._keeps:
            self._tail += view
        if self._file is not None:
            self._file.write(view)
        return view.nbytes


def _encode(sink: _Sink, name: str, schema: Any, step: int, tables: Iterable[Any]) -> PartReceipt:
    import pyarrow.parquet as pq

    values, groups = ValueDigest(), []
    waiting: list[Any] = []
    how = {"compression": "zstd", "write_page_checksum": True}
    with pq.ParquetWriter(sink, schema, **how) as writer:

        def put() -> None:
            # one dictionary for all chunks, or the others would be written without
            group = concatenated(waiting)
            writer.write_table(group, row_group_size=group.num_rows)
            groups.append(group.num_rows)
            waiting.clear()

        filled = 0
        for table in in_steps(tables, step):
            if table.schema != schema:
                raise DistillError(f"file {name} must have {schema}, got {table.schema}")
            waiting.append(table)
            filled += values.add(table)
            if filled >= GROUP_BYTES:
                put()
                filled = 0
        if waiting:
            put()
        sink.keep_tail()
    return PartReceipt(
        name=name,
        groups=tuple(groups),
        digest=values.hexdigest(),
        nbytes=values.nbytes,
        file_bytes=sink.count,
        file_digest=sink.digest.hexdigest(),
        footer=sink.footer(),
    )


def in_steps(tables: Iterable[Any], step: int) -> Iterator[Any]:
    """The same rows in tables of so many, but for the last; each column of each in one chunk."""
    waiting: list[Any] = []
    count = 0
    for table in tables:
        first = 0
        while first < table.num_rows:
            taken = table.slice(first, step - count)
            first += taken.num_rows
            count += taken.num_rows
            waiting.append(taken)
            if count == step:
                yield concatenated(waiting).combine_chunks()
                waiting, count = [], 0
    if waiting:
        yield concatenated(waiting).combine_chunks()


def concatenated(tables: list[Any]) -> Any:
    """One table, of one dictionary for each column that has some."""
    import pyarrow as pa

    whole = pa.concat_tables(tables)
    coded = any(pa.types.is_dictionary(kind) for kind in whole.schema.types)
    return whole.unify_dictionaries() if coded else whole


def digest_of(data: bytes) -> str:
    """Of a file's bytes, or of some of them."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _digest_of_file(location: Location, name: str) -> str | None:
    """Of all bytes, a few at a time; None where the file is not there."""
    system, path = location.filesystem()
    key = f"{path.rstrip('/')}/{name}"
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    try:
        size = system.info(key)["size"]
        for start in range(0, size, _READ_BYTES):
            digest.update(system.cat_file(key, start=start, end=min(size, start + _READ_BYTES)))
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def check_part(location: Location, name: str, entry: Mapping[str, Any]) -> list[Finding]:
    """Compare a file with its digest, and gather facts of our columns; runs on a worker."""
    try:
        with location.guard(f"file {name} must be readable"):
            found = _digest_of_file(location, name)
            if found is None:
                raise IncompleteOutput(f"file {name}: missing")
            if found != entry["file_digest"]:
                return [Finding(name, f"file {name}: digest differs")]
            return _facts(location, name, entry)
    except Exception as error:
        return [Finding(name, location.clean(str(error)))]


def _facts(location: Location, name: str, entry: Mapping[str, Any]) -> list[Finding]:
    """Of each row group in turn, for files may be large."""
    import pyarrow.parquet as pq

    findings = []
    system, path = location.filesystem()
    with system.open(f"{path.rstrip('/')}/{name}", "rb") as file:
        parquet = pq.ParquetFile(file)
        groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        if groups != entry["row_groups"]:
            return [Finding(name, f"file {name}: rows differ from the manifest's")]
        ours = [column for column in ARRAYS if column in parquet.schema_arrow.names]
        for number in range(len(groups)):
            table = parquet.read_row_group(number, columns=ours)
            findings += [
                Finding(
                    ARRAYS[column], None, facts_of(ARRAYS[column], _values(table.column(column)))
                )
                for column in ours
            ]
    return findings


def _values(column: Any) -> Any:
    """Numbers, or a table of them where each row has a list."""
    import pyarrow as pa

    if not pa.types.is_fixed_size_list(column.type):
        return column.to_numpy()
    flat = column.combine_chunks().flatten().to_numpy()
    return np.ascontiguousarray(flat).reshape(len(column), -1)
