"""Cutting files of text between rows: at ends of lines that no quoted cell holds.

Knows quotes and ends of lines, and neither types nor formats.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.errors import InputError

# of what a part is read from a file
PART_BYTES = 16 * 2**20
_LONGEST_ROW = 16
_QUOTE, _END = ord('"'), ord("\n")
_ENDS = b"\r\n"


class Begun:
    """A stream of which the beginning is read already, and read again."""

    def __init__(self, head: bytes, stream: Any) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        if not self._head:
            found: bytes = self._stream.read(size)
            return found
        found, self._head = self._head[:size], self._head[size:]
        return found


def cut(
    stream: Any, path: str, delimiter: bytes | None, start: int = 0
) -> Iterator[tuple[int, bytes]]:
    """Whole rows of a stream, some 16 MiB at a time, each with the offset of its first byte.

    Parameters
    ----------
    stream : binary file
    path : str
        For errors.
    delimiter : bytes or None
        Between cells, where these may be quoted and then hold ends of lines.
    start : int
        Offset of the first byte.

    Raises
    ------
    InputError
        Where a row is longer than 256 MiB, as where a quote is never closed.
    """
    left = b""
    while True:
        more = read_up_to(stream, PART_BYTES)
        data = left + more
        end = len(data) if len(more) < PART_BYTES else last_end(data, delimiter)
        if end:
            yield start, data[:end]
        elif len(data) >= _LONGEST_ROW * PART_BYTES:
            raise InputError(
                f"source must have rows of at most {_LONGEST_ROW * PART_BYTES >> 20} MiB, got "
                f"one that begins at byte {start} of '{path}' and does not end; close its quotes"
            )
        start, left = start + end, data[end:]
        if len(more) < PART_BYTES:
            return


def last_end(data: bytes, delimiter: bytes | None) -> int:
    r"""Bytes up to the last end of a row; 0 where there is none.

    Examples
    --------
    >>> last_end(b'a,b\n1,"x\ny', b",")
    4
    """
    if delimiter is None or b'"' not in data:
        return data.rfind(b"\n") + 1
    values = np.frombuffer(data, np.uint8)
    quotes = _quotes(values, delimiter)
    ends = np.flatnonzero(values == _END)
    outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0


def first_end(data: bytes, delimiter: bytes) -> int:
    """Bytes up to the end of the first row that is not empty: of the one that names columns."""
    values = np.frombuffer(data, np.uint8)
    quotes = _quotes(values, delimiter)
    blank = len(data) - len(data.lstrip(_ENDS))
    for found in re.finditer(rb"\r\n|\n|\r", data):
        if found.start() >= blank and np.searchsorted(quotes, found.start()) % 2 == 0:
            return found.end()
    return len(data)


def _quotes(values: npt.NDArray[np.uint8], delimiter: bytes) -> npt.NDArray[np.int64]:
    """Where quotes open and close, in turns: one within a cell that is not quoted is a sign."""
    quotes = np.flatnonzero(values == _QUOTE)
    before = np.frombuffer(b'\n\r"' + delimiter, np.uint8)
    # an opening quote follows a delimiter or an end; or a quote, with which it stands for one
    opening = quotes[::2]
    starts = (opening == 0) | np.isin(values[np.maximum(opening, 1) - 1], before)
    return quotes if starts.all() else _told_apart(values, quotes, delimiter)


def _told_apart(
    values: npt.NDArray[np.uint8], quotes: npt.NDArray[np.int64], delimiter: bytes
) -> npt.NDArray[np.int64]:
    """Quotes one by one, without those that are signs."""
    begins = (quotes == 0) | np.isin(
        values[np.maximum(quotes, 1) - 1], np.frombuffer(b"\n\r" + delimiter, np.uint8)
    )
    found: list[int] = []
    inside = double = False
    for number, (quote, begin) in enumerate(zip(quotes.tolist(), begins.tolist(), strict=True)):
        if double:
            double = False
        elif not inside and begin:
            inside = True
            found.append(quote)
        elif inside:
            double = number + 1 < len(quotes) and quotes[number + 1] == quote + 1
            if not double:
                inside = False
                found.append(quote)
    return np.array(found, np.int64)


def read_up_to(stream: Any, size: int) -> bytes:
    """So many bytes, unless it ends before: archives and networks give fewer at a time."""
    parts, missing = [], size
    while missing:
        part = stream.read(missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
